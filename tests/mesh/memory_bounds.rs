//! A node has the C library's bounds of `memory_bounds.rs`, unless somebody set others.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clearhouse_node::clock::{Clock as _, SystemClock};

use super::region::Region;

/// A bound somebody may set.
const SET: &str = "MALLOC_ARENA_MAX=8";

#[test]
fn a_node_has_bounds_for_its_memory_and_leaves_those_somebody_set() {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) {
        println!("skipped: the bounds are glibc's");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(own) = bounds("env -u MALLOC_ARENA_MAX -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_").await
        else {
            println!("skipped: only root may read the environment of a node");
            return;
        };
        assert_eq!(own, ["MALLOC_ARENA_MAX=2", "MALLOC_MMAP_THRESHOLD_=262144", "MALLOC_TRIM_THRESHOLD_=1048576"]);
        let set = bounds(&format!("env -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ {SET}")).await;
        assert_eq!(set.unwrap(), [SET]);
    });
}

/// The bounds in the environment of a node that serves and was started through `environment`. The process that serves is
/// the one that was started.
async fn bounds(environment: &str) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("clearhouse-in-an-environment");
    let real = env!("CARGO_BIN_EXE_clearhouse");
    std::fs::write(&program, format!("#!/bin/sh\nexec {environment} '{real}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut region = Region::found_with(&program, "", false, SystemClock.now()).unwrap();
    region.origin.start().await.unwrap();
    let process = Path::new("/proc").join(region.origin.pid().unwrap().to_string());
    let words = std::fs::read(process.join("cmdline")).unwrap();
    assert!(words.split(|byte| *byte == 0).any(|word| word == b"serve"), "another process serves");
    let all = String::from_utf8(std::fs::read(process.join("environ")).ok()?).unwrap();
    let mut bounds: Vec<_> = all.split('\0').filter(|set| set.starts_with("MALLOC_")).map(str::to_owned).collect();
    bounds.sort();
    Some(bounds)
}
