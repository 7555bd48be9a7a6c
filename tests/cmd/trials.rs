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
    // What the self test starts itself for would commit into a store: of its own test, and of nobody else.
    let held = || [node.clone(), node.join("store")].map(|place| place.is_dir().then(|| names(&place)));
    let before = held();
    for place in [node.join("store"), node.join("new"), desk.path("new")] {
        let refused = clearhouse(["selftest".as_ref(), "--writer".as_ref(), place.as_os_str()]).exits(2);
        assert!(refused.err.contains("nothing was written") && !refused.err.contains("removed"), "{}", refused.err);
        assert!(held() == before && !desk.path("new").exists(), "{}", place.display());
    }
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

/// How a program is asked to end: Ctrl-C, a service manager, a terminal that was closed. Without the last where these tests
/// were started to outlive theirs, which they hand on.
fn asked_to_end() -> Vec<Signal> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let is_ignored = u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1;
    if is_ignored {
        println!("skipped: a closed terminal (these tests ignore it)");
    }
    [Signal::INT, Signal::TERM, Signal::HUP].into_iter().filter(|one| !(is_ignored && *one == Signal::HUP)).collect()
}

/// Processes of any kind that were told of this folder, or of one below it.
fn processes(folder: &Path) -> Vec<String> {
    let of_one = |entry: std::io::Result<fs::DirEntry>| {
        let words = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).replace('\0', " "))
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(of_one);
    all.filter(|words| words.contains(folder.to_str().unwrap())).collect()
}

/// Starts a command, asks it to end once it is as far as `is_there` says, and looks at what it left.
fn leaves_nothing(words: &[&str], signal: Signal, is_there: impl Fn(&Path) -> bool) {
    let desk = Desk::new();
    let folder = desk.0.path();
    let mut command = program();
    command.args(words).arg("--folder").arg(folder);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !is_there(folder) {
        assert!(began.elapsed() < super::HANGS && child.try_wait().unwrap().is_none(), "{words:?}");
        pause(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    assert_eq!(super::wait(&mut child, super::HANGS), Some(130), "{words:?} {signal:?}");
    assert_eq!(names(folder), Vec::<String>::new(), "{words:?} {signal:?}");
    // What was killed last may still be on its way out.
    let began = Instant::now();
    while !processes(folder).is_empty() {
        assert!(began.elapsed() < super::HANGS, "{words:?} {signal:?} left {:?}", processes(folder));
        pause(Duration::from_millis(5));
    }
}

#[test]
fn whatever_ends_it_leaves_neither_a_folder_nor_a_process() {
    // Its folder has something in it: it is in the middle of its work.
    let has_begun = |folder: &Path| {
        names(folder).iter().any(|made| fs::read_dir(folder.join(made)).is_ok_and(|found| found.count() > 0))
    };
    for signal in asked_to_end() {
        for words in [["bench", "log"], ["selftest", "--quiet"]] {
            leaves_nothing(&words, signal, has_begun);
        }
    }
}

#[test]
fn whatever_ends_it_leaves_no_node_of_its_own_running() {
    let serves = |folder: &Path| processes(folder).iter().any(|words| words.contains(" serve "));
    let has_all = |folder: &Path| processes(folder).iter().filter(|words| words.contains(" serve ")).count() > 2;
    for (words, signal) in
        [["bench", "start"], ["selftest", "--quiet"]].into_iter().zip(asked_to_end().into_iter().rev())
    {
        leaves_nothing(&words, signal, serves);
    }
    leaves_nothing(&["selftest", "--quiet"], Signal::INT, has_all);
}

#[test]
fn what_a_process_of_its_own_is_started_for_is_not_offered_to_people() {
    for (command, hidden) in [("bench", "--part"), ("selftest", "--writer")] {
        assert!(!clearhouse([command, "--help"]).exits(0).out.contains(hidden));
    }
    clearhouse(["bench", "--part", "nothing"]).exits(1);
}
