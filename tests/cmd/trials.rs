//! What is tried and measured on a machine: `selftest` and `bench` touch nothing but a folder of their own, which is gone on
//! every way out, and never work where a node lives.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Desk, Ran, clearhouse, finish, free_address, pause, program};

fn in_folder(words: &[&str], folder: &Path) -> Ran {
    clearhouse(words.iter().map(OsStr::new).chain(["--folder".as_ref(), folder.as_os_str()]))
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn bench_says_product_floor_and_ratio_and_leaves_nothing() {
    let desk = Desk::new();
    let ran = in_folder(&["bench", "sealing", "--rounds", "1", "--json"], desk.0.path()).exits(0);
    assert_eq!(ran.err.contains("these figures say nothing"), cfg!(debug_assertions), "{}", ran.err);
    let said = ran.json();
    assert_eq!(said["schema"], "ch.bench/1");
    assert_eq!((&said["rounds"], &said["is_release"]), (&1.into(), &Value::Bool(!cfg!(debug_assertions))));
    let rows = said["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "{said}");
    for row in rows {
        let figure = |name: &str| row[name]["median"].as_f64().unwrap_or_else(|| panic!("{row}"));
        assert!((figure("product") / figure("floor") - figure("ratio")).abs() < 1e-6, "{row}");
        let is_judged = ["met", "missed", "stretch", "not yet"].contains(&row["verdict"].as_str().unwrap());
        assert_eq!(is_judged, !cfg!(debug_assertions) && row["goal"] != "", "{row}");
    }
    assert!(said["machine"]["cores"].as_u64().unwrap() > 0 && said["machine"]["file_system"].is_string());
    assert_eq!(names(desk.0.path()), Vec::<String>::new());
}

#[test]
fn neither_works_in_the_folder_of_a_node() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "RO", "Origin", &free_address());
    for place in [node.clone(), node.join("store")] {
        let before = names(&place);
        for command in ["bench", "selftest"] {
            let ran = in_folder(&[command], &place).exits(2);
            assert!(ran.err.contains("belongs to a node"), "{}", ran.err);
        }
        assert_eq!(names(&place), before);
    }
    in_folder(&["bench"], &desk.path("none")).exits(4);
    in_folder(&["bench", "--rounds", "0"], desk.0.path()).exits(2);
    in_folder(&["bench", "speed"], desk.0.path()).exits(2);
}

#[test]
fn selftest_passes_on_this_machine_and_leaves_nothing() {
    let desk = Desk::new();
    // Nobody names the folder, so that a machine whose temporary folder is memory fails nothing.
    let mut command = program();
    command.args(["selftest", "--json"]).env("TMPDIR", desk.0.path());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = finish(child).exits(0).json();
    assert_eq!((&said["schema"], &said["failed"]), (&"ch.selftest/1".into(), &0.into()), "{said}");
    let rows = said["rows"].as_array().unwrap();
    let state = |name: &str| {
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {said}"))["state"].clone()
    };
    for name in [
        "SHA-256",
        "Ed25519, keys of small order refused",
        "HPKE with X-Wing, opened",
        "XChaCha20-Poly1305, sealed",
        "HMAC-SHA-256",
        "Argon2id",
        "chance of the system",
        "store, killed while it writes",
        "store, one record damaged",
        "core dumps",
        "a case between two nodes, over TLS",
        "a backup, verified and put back",
        "a search of all of it for her name",
        "clock",
    ] {
        assert_eq!(state(name), "ok", "{name}: {said}");
    }
    assert_eq!(names(desk.0.path()), Vec::<String>::new());
}

#[test]
fn selftest_fails_where_a_folder_in_memory_is_named_as_the_disk() {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        return println!("skipped: selftest_fails_where_a_folder_in_memory_is_named_as_the_disk (no /dev/shm)");
    }
    let folder = tempfile::tempdir_in(memory).unwrap();
    let ran = in_folder(&["selftest"], folder.path()).exits(3);
    assert!(ran.out.contains("failed") && ran.out.contains("CH-D0236 disk"), "{}", ran.out);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn ctrl_c_leaves_neither_a_folder_nor_a_process() {
    for words in [["bench", "log"], ["selftest", "--quiet"]] {
        let desk = Desk::new();
        let mut command = program();
        command.args(words).arg("--folder").arg(desk.0.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        // Its folder has something in it: it is in the middle of its work.
        while !names(desk.0.path()).iter().any(|made| fs::read_dir(desk.path(made)).is_ok_and(|e| e.count() > 0)) {
            assert!(began.elapsed() < super::HANGS && child.try_wait().unwrap().is_none(), "{words:?}");
            pause(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(super::wait(&mut child, super::HANGS), Some(130), "{words:?}");
        assert_eq!(names(desk.0.path()), Vec::<String>::new(), "{words:?}");
    }
}

#[test]
fn what_a_process_of_its_own_is_started_for_is_not_offered_to_people() {
    for (command, hidden) in [("bench", "--part"), ("selftest", "--writer")] {
        assert!(!clearhouse([command, "--help"]).exits(0).out.contains(hidden));
    }
    clearhouse(["bench", "--part", "nothing"]).exits(1);
}
