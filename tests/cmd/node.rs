//! Making a node, asking one that is not there, and its configuration.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use super::{Desk, Running, clearhouse, free_address};

fn asked<'a>(node: &'a Path, args: &[&'a str]) -> super::Ran {
    clearhouse(args.iter().map(OsStr::new).chain(["--node".as_ref(), node.as_os_str()]))
}

#[test]
fn a_node_that_does_not_run_is_unreachable_and_a_folder_without_one_is_a_mistake() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17010");
    for args in [&["status"][..], &["doctor"], &["directory", "list"], &["status", "--json"]] {
        let ran = asked(&node, args);
        assert_eq!(ran.code, Some(6), "{args:?}: {}", ran.err);
        assert!(ran.err.contains("clearhouse serve"), "{}", ran.err);
    }
    let json: serde_json::Value = serde_json::from_str(&asked(&node, &["status", "--json"]).err).unwrap();
    assert_eq!((json["schema"].as_str(), json["exit"].as_i64()), (Some("ch.error/1"), Some(6)));
    asked(&desk.path("nothing"), &["status"]).exits(2);
}

#[test]
fn an_office_without_a_port_is_made_with_who_keeps_its_mailbox_or_not_at_all() {
    let desk = Desk::new();
    desk.network();
    let genesis = desk.path("ceremony/genesis.record");
    let pass = desk.secret("node.pass", "the pass phrase of the node\n");
    let init = |folder: &Path, way_in: &[&str]| {
        let mut args: Vec<&OsStr> = vec!["init".as_ref(), folder.as_ref(), "--genesis".as_ref(), genesis.as_ref()];
        args.extend(["--passphrase-file".as_ref(), pass.as_os_str()]);
        args.extend(["--name", "Casa Nova", "--country", "MD", "--role", "Origin"].map(OsStr::new));
        args.extend(["--language", "ron", "--listen", "none", "--json"].map(OsStr::new));
        clearhouse(args.into_iter().chain(way_in.iter().map(OsStr::new)))
    };
    let relay = "7d0c4e5f60718293a4b5c6d7e8f90112";
    let node = desk.path("node");
    assert!(init(&node, &[]).exits(2).err.contains("needs a --relay"));
    assert!(init(&node, &["--relay", "7d"]).exits(2).err.contains("32 hex digits"));
    assert!(init(&node, &["--relay", relay, "--endpoint", "a.example.org:1"]).exits(2).err.contains("--endpoint"));
    assert!(!node.exists());
    init(&node, &["--relay", relay]).exits(0);
    let text = fs::read_to_string(node.join("node.toml")).unwrap();
    assert!(text.contains("listen = \"none\"") && text.contains(relay) && !text.contains("endpoint"), "{text}");
    asked(&node, &["config", "check"]).exits(0);
    let shown = asked(&node, &["config", "show"]).exits(0).out;
    assert!(shown.contains("none") && shown.contains(relay), "{shown}");
}

#[test]
fn a_node_is_made_once_private_and_whole() {
    let desk = Desk::new();
    desk.network();
    let node = desk.path("node");
    let made = desk.init(&node, "Casa Nova", "MD", "Origin", "127.0.0.1:17011").exits(0).json();
    assert_eq!((made["schema"].as_str(), made["kind"].as_str()), (Some("ch.init/1"), Some("training")));
    assert_eq!(made["fingerprint"].as_str().map(|f| f.split(' ').count()), Some(8));
    for file in [
        "node.toml",
        "organisation-root.key",
        "self-revocation.record",
        "keys/node.keys",
        "keys/device.secret",
        "application.record",
    ] {
        let mode = fs::metadata(node.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    assert_eq!(fs::metadata(&node).unwrap().permissions().mode() & 0o777, 0o700);
    let before = fs::read(node.join("keys/node.keys")).unwrap();
    let again = desk.init(&node, "Casa Nova", "MD", "Origin", "127.0.0.1:17011").exits(5);
    assert!(again.out.is_empty() && again.err.contains("holds a node already"), "{}", again.err);
    assert_eq!(fs::read(node.join("keys/node.keys")).unwrap(), before);
    asked(&node, &["config", "check"]).exits(0);
}

#[test]
fn an_init_that_fails_leaves_nothing_and_can_be_repeated() {
    let desk = Desk::new();
    desk.network();
    let node = desk.path("node");
    // An endpoint no configuration takes is found before the folder appears.
    desk.init(&node, "Casa Nova", "MD", "Origin", "127.0.0.1:0").exits(2);
    assert!(!node.exists());
    assert!(fs::read_dir(desk.path(".")).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().contains("unfin")));
    desk.init(&node, "Casa Nova", "md", "Origin", "127.0.0.1:17012").exits(2);
    // What every member would read must not say where the house stands.
    let told = desk.init(&node, "Casa Nova, Strada Lunga 12", "MD", "Origin", "127.0.0.1:17012").exits(2);
    assert!(told.err.contains("street address") && told.err.contains("choose another"), "{}", told.err);
    assert!(!node.exists());
    desk.init(&node, "Casa Nova", "MD", "Origin", "127.0.0.1:17012").exits(0);
}

#[test]
fn a_credential_beside_a_pass_phrase_starts_the_node_and_opens_no_case() {
    let desk = Desk::new();
    desk.network();
    let (node, genesis) = (desk.path("node"), desk.path("ceremony/genesis.record"));
    let pass = desk.secret("node.pass", "the pass phrase of the node\n");
    let credential = node.join("keys/credential");
    let address = free_address();
    let init = |keep: Option<&'static str>| {
        let mut args: Vec<&OsStr> = vec!["init".as_ref(), node.as_ref(), "--genesis".as_ref(), genesis.as_ref()];
        args.extend(["--name", "Casa", "--country", "MD", "--role", "Origin"].map(OsStr::new));
        args.extend(["--language", "ron", "--listen", &address, "--endpoint", &address].map(OsStr::new));
        args.extend(["--credential-file".as_ref(), credential.as_os_str()]);
        args.extend(["--passphrase-file".as_ref(), pass.as_os_str()]);
        args.extend(keep.map(OsStr::new));
        clearhouse(args).exits(0)
    };
    init(None);
    assert_eq!(fs::read(&credential).unwrap().len(), 32);
    let mode = fs::metadata(&credential).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let running = Running::start(&desk, &node);
    assert_eq!(running.run(["status", "--json"]).exits(0).json()["cases"], "locked");
    let node_pass = pass.to_str().unwrap();
    running.run(["unlock", "--passphrase-file", node_pass]).exits(0);
    assert_eq!(running.run(["status", "--json"]).exits(0).json()["cases"], "open");
    assert_eq!(running.stop(Signal::TERM), Some(0));
    fs::remove_dir_all(&node).unwrap();
    init(Some("--keep-content-open"));
    let running = Running::start(&desk, &node);
    let status = running.run(["status", "--json"]).exits(0).json();
    assert_eq!((status["cases"].as_str(), status["kept_open_by_policy"].as_bool()), (Some("open"), Some(true)));
    assert_eq!(running.stop(Signal::INT), Some(130));
}

#[test]
fn secrets_others_can_read_are_refused_with_the_chmod() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17013");
    let pass = desk.secret("loose", "a pass phrase that is long enough\n");
    fs::set_permissions(&pass, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = asked(&node, &["unlock", "--passphrase-file", pass.to_str().unwrap()]).exits(7);
    assert!(ran.err.contains("chmod 600") && !ran.err.contains("long enough"), "{}", ran.err);
    let genesis = desk.path("ceremony/genesis.record");
    let key = desk.path("ceremony/first.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let (application, out) = (node.join("application.record"), desk.path("out"));
    let ran = clearhouse([
        "directory".as_ref(),
        "accredit".as_ref(),
        application.as_os_str(),
        "--genesis".as_ref(),
        genesis.as_os_str(),
        "--key".as_ref(),
        key.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ])
    .exits(7);
    assert!(ran.err.contains("chmod 600") && !out.exists(), "{}", ran.err);
}

#[test]
fn a_configuration_is_checked_without_starting_and_shown_with_the_origin_of_values() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17014");
    let file = node.join("node.toml");
    let right = fs::read_to_string(&file).unwrap();
    let lines = right.lines().count();
    for (wrong, told) in [
        ("reflecton = true", "Did you mean 'reflection'?"),
        ("idle_lock_secs = -1", "idle_lock_secs"),
        ("idle_lock_secs = 100000000000000000000", "idle_lock_secs"),
        ("idle_lock_secs = '15 min'", "idle_lock_secs"),
        ("listen = '0.0.0.0:1'", "duplicate key"),
    ] {
        fs::write(&file, format!("{right}{wrong}\n")).unwrap();
        for command in [&["config", "check"][..], &["config", "show"], &["status"]] {
            let ran = asked(&node, command).exits(2);
            assert!(ran.err.contains(&format!("line {}", lines + 1)) && ran.err.contains(told), "{wrong}: {}", ran.err);
        }
    }
    for empty in ["", "\u{feff}"] {
        fs::write(&file, empty).unwrap();
        asked(&node, &["config", "check"]).exits(2);
    }
    fs::write(&file, format!("\u{feff}{}", right.replace('\n', "\r\n"))).unwrap();
    let shown = asked(&node, &["config", "show", "--json"]).exits(0).json();
    let from = |key: &str| {
        let values = shown["values"].as_array().unwrap();
        values.iter().find(|v| v["key"] == key).unwrap()["from"].as_str().unwrap().to_owned()
    };
    assert_eq!((from("listen").as_str(), from("idle_lock_secs").as_str()), ("file", "default"));
    // What only the network can say is said too.
    fs::write(&file, format!("{right}log_level = 'trace'\n")).unwrap();
    asked(&node, &["config", "check"]).exits(0);
    let live = desk.path("live");
    let found = ["directory", "found", "--name", "L", "--kind", "live", "--coordinator", "RO:a"].map(OsStr::new);
    let more = ["--coordinator".as_ref(), "IT:b".as_ref(), "--out".as_ref(), live.as_os_str()];
    clearhouse(found.into_iter().chain(more)).exits(0);
    fs::copy(live.join("genesis.record"), node.join("genesis.record")).unwrap();
    assert!(asked(&node, &["config", "check"]).exits(2).err.contains("allow_trace_on_live"));
    on_memory(&node, &right, &live.join("genesis.record"));
    let sample = desk.path("sample.toml");
    fs::write(&sample, clearhouse(["config", "default"]).exits(0).out).unwrap();
    clearhouse(["config".as_ref(), "check".as_ref(), sample.as_os_str()]).exits(0);
}

/// A node of a live network is not kept in memory unless that is meant.
fn on_memory(node: &Path, right: &str, live: &Path) {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        println!("skipped: there is no /dev/shm");
        return;
    }
    let lost = tempfile::tempdir_in(memory).unwrap();
    let (file, data) = (node.join("node.toml"), lost.path().display());
    let moved = right.replace("data = \".\"", &format!("data = \"{data}\""));
    assert_ne!(moved, right);
    fs::write(&file, &moved).unwrap();
    asked(node, &["config", "check"]).exits(0);
    fs::copy(live, lost.path().join("genesis.record")).unwrap();
    let refused = asked(node, &["config", "check"]).exits(2);
    for word in ["tmpfs", "ext4 or xfs", "allow_any_file_system"] {
        assert!(refused.err.contains(word), "{word}: {}", refused.err);
    }
    fs::write(&file, format!("{moved}allow_any_file_system = true\n")).unwrap();
    asked(node, &["config", "check"]).exits(0);
}
