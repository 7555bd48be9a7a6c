//! Readers that go away, input that is not there, paths that are odd, and Ctrl-C.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Desk, clearhouse, pause, program, wait};

#[test]
fn a_reader_that_went_away_is_no_failure_and_no_panic() {
    for args in [&["--help"][..], &["completions", "bash"], &["config", "default"], &["version", "--json"]] {
        let mut child =
            program().args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // As `| head -0`: nobody will read.
        drop(child.stdout.take());
        let mut told = String::new();
        let mut err = child.stderr.take().unwrap();
        assert_eq!(wait(&mut child, Duration::from_secs(10)), Some(0), "{args:?}");
        err.read_to_string(&mut told).unwrap();
        assert!(told.is_empty(), "{args:?}: {told}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_told() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child = program().args(["version"]).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).spawn();
    let ran = super::finish(child.unwrap()).exits(1);
    assert!(ran.err.contains("could not be written"), "{}", ran.err);
}

#[test]
fn closed_stdin_stdout_and_stderr_are_survived() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let program = env!("CARGO_BIN_EXE_clearhouse");
        let script = format!("'{program}' config default --form notice {closed}");
        let mut child = std::process::Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_secs(10)), Some(0), "{closed}");
    }
}

#[test]
fn nothing_is_asked_where_nobody_sits() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17001");
    let began = Instant::now();
    for args in [&["unlock"][..], &["user", "sign-in", "ana"], &["user", "accept", "ana"], &["inbox"]] {
        let ran = clearhouse(args.iter().map(OsStr::new).chain(["--node".as_ref(), node.as_os_str()])).exits(7);
        assert!(ran.out.is_empty(), "{args:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn ctrl_c_ends_a_waiting_command_within_a_second_with_130() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17002");
    // A socket that takes the call and never answers.
    let silent = std::os::unix::net::UnixListener::bind(node.join("control.sock")).unwrap();
    let mut child = program();
    child.args(["status", "--node"]).arg(&node).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let _line = silent.accept().unwrap();
    pause(Duration::from_millis(200));
    let began = Instant::now();
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(wait(&mut child, Duration::from_secs(5)), Some(130));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn ctrl_c_ends_a_command_that_reads_a_form_from_stdin() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17003");
    let mut command = program();
    command.args(["notice", "send", "T-AAAA", "--from", "-", "--node"]).arg(&node);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _held_open = child.stdin.take();
    pause(Duration::from_millis(300));
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(wait(&mut child, Duration::from_secs(5)), Some(130));
}

#[test]
fn odd_paths_get_a_sentence() {
    let desk = Desk::new();
    let long = "x/".repeat(2500);
    let paths = [OsStr::from_bytes(b"/no/\xff\xfe/such"), OsStr::new(&long), OsStr::new("/dev/null"), OsStr::new("")];
    for path in paths {
        let ran = clearhouse(["status".as_ref(), "--node".as_ref(), path]);
        assert!(matches!(ran.code, Some(1 | 2)), "{path:?}: {:?} {}", ran.code, ran.err);
        assert!(!ran.err.is_empty() && !ran.err.contains("panicked"), "{}", ran.err);
        let out = [OsStr::new("directory"), "export".as_ref(), "--out".as_ref(), path];
        assert_ne!(clearhouse(out).code, Some(0), "{path:?}");
        let read = clearhouse(["directory".as_ref(), "verify".as_ref(), path, "--genesis".as_ref(), path]);
        assert!(matches!(read.code, Some(1 | 2 | 4)), "{path:?}: {:?} {}", read.code, read.err);
    }
    // A link where the output should be is not followed.
    desk.network();
    let target = desk.path("target");
    symlink(&target, desk.path("link")).unwrap();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17004");
    let (application, genesis) = (node.join("application.record"), desk.path("ceremony/genesis.record"));
    let (key, link) = (desk.path("ceremony/first.key"), desk.path("link"));
    let ran = clearhouse([
        "directory".as_ref(),
        "accredit".as_ref(),
        application.as_os_str(),
        "--genesis".as_ref(),
        genesis.as_os_str(),
        "--key".as_ref(),
        key.as_os_str(),
        "--out".as_ref(),
        link.as_os_str(),
    ])
    .exits(5);
    assert!(ran.err.contains("exists already") && !target.exists());
}

#[test]
fn ctrl_c_leaves_no_half_file_behind() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17005");
    fs::create_dir(node.join("sessions")).unwrap();
    desk.secret("node/sessions/ana", "a session nobody knows");
    let silent = std::os::unix::net::UnixListener::bind(node.join("control.sock")).unwrap();
    let out = desk.path("out.pdf");
    let mut command = program();
    command.args(["profile", "attachment", "T-AAAA", "--message", "00", "--handle", "00", "--out"]).arg(&out);
    command.arg("--node").arg(&node).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let _line = silent.accept().unwrap();
    assert!(out.exists(), "the file is made before anything is fetched");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(wait(&mut child, Duration::from_secs(5)), Some(130));
    assert!(!out.exists());
}
