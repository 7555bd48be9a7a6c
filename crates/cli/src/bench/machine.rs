//! What is measured on: cores, processor, kernel, file system, how busy it is. Figures without it say nothing.

use std::fs;
use std::path::Path;

use clearhouse_node::ground;
use serde_json::{Value, json};

/// How many threads run at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The load of the last minute, as the system counts it.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// The machine as it is told; `before` is the load before the first round.
pub(crate) fn told(folder: &Path, before: &str) -> Value {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = file("/proc/cpuinfo");
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    json!({
        "cores": cores(), "processor": model.trim_start_matches(['\t', ' ', ':']),
        "kernel": file("/proc/sys/kernel/osrelease").trim(), "folder": folder.display().to_string(),
        "file_system": ground::name(folder), "untrusted": ground::untrusted(folder),
        "load_before": before, "load_after": load_average(),
    })
}
