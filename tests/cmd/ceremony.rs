//! Founding a network, accrediting and ending an organisation, verifying files: all without a node.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Desk, Ran, clearhouse};

fn accredit(desk: &Desk, application: &Path, keys: &[&str], out: &str) -> Ran {
    let (genesis, out) = (desk.path("ceremony/genesis.record"), desk.path(out));
    let keys: Vec<_> = keys.iter().map(|k| desk.path(&format!("ceremony/{k}.key"))).collect();
    let mut args: Vec<&OsStr> =
        vec!["directory".as_ref(), "accredit".as_ref(), application.as_ref(), "--json".as_ref()];
    args.extend(["--genesis".as_ref(), genesis.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    keys.iter().for_each(|key| args.extend(["--key".as_ref(), key.as_os_str()]));
    clearhouse(args)
}

fn verify(desk: &Desk, file: &str) -> Ran {
    let (file, genesis) = (desk.path(file), desk.path("ceremony/genesis.record"));
    clearhouse([
        "directory".as_ref(),
        "verify".as_ref(),
        file.as_os_str(),
        "--genesis".as_ref(),
        genesis.as_os_str(),
        "--json".as_ref(),
    ])
}

#[test]
fn coordinators_sign_one_after_another_until_every_record_holds() {
    let desk = Desk::new();
    let ceremony = desk.network();
    for key in ["first", "second", "third"] {
        let mode = fs::metadata(ceremony.join(format!("{key}.key"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    assert_eq!(verify(&desk, "ceremony/genesis.record").exits(0).json()["broken"], 0);
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17020");
    let application = node.join("application.record");
    assert_ne!(verify(&desk, "node/application.record").exits(8).json()["broken"], 0);

    let first = accredit(&desk, &application, &["first"], "one").exits(0).json();
    assert_eq!((first["signatures"].as_u64(), first["complete"].as_bool()), (Some(1), Some(false)));
    assert_eq!(first["label"], "node");
    verify(&desk, "one").exits(8);
    // The same coordinator again adds nothing.
    let again = accredit(&desk, &desk.path("one"), &["first"], "again").exits(0).json();
    assert_eq!((again["signatures"].as_u64(), again["signers"][0]["had_signed"].as_bool()), (Some(1), Some(true)));
    let whole = accredit(&desk, &desk.path("one"), &["second", "third"], "whole").exits(0).json();
    assert_eq!((whole["signatures"].as_u64(), whole["complete"].as_bool()), (Some(3), Some(true)));
    assert_eq!(verify(&desk, "whole").exits(0).json()["broken"], 0);
    // Nothing is overwritten.
    accredit(&desk, &application, &["first"], "whole").exits(5);
    assert_eq!(verify(&desk, "whole").exits(0).json()["broken"], 0);
}

#[test]
fn one_changed_byte_anywhere_does_not_hold() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17021");
    let whole = fs::read(desk.accredit(&node)).unwrap();
    for at in (40..whole.len()).step_by(whole.len() / 23) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(desk.path("bent"), bytes).unwrap();
        let ran = verify(&desk, "bent");
        assert!(matches!(ran.code, Some(2 | 8)), "byte {at}: {:?} {}", ran.code, ran.out);
    }
    for bytes in [&b""[..], b"hello", &whole[..whole.len() / 2]] {
        fs::write(desk.path("cut"), bytes).unwrap();
        assert!(matches!(verify(&desk, "cut").code, Some(2 | 8)));
    }
}

#[test]
fn a_key_without_a_say_and_an_application_of_another_network_are_refused() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17022");
    let application = node.join("application.record");
    fs::copy(node.join("organisation-root.key"), desk.path("ceremony/root.key")).unwrap();
    let ran = accredit(&desk, &application, &["root"], "out").exits(5);
    assert!(ran.err.contains("not the key of a coordinator") && !desk.path("out").exists(), "{}", ran.err);

    let other = Desk::new();
    other.network();
    accredit(&other, &application, &["first"], "out").exits(8);
    assert!(!other.path("out").exists());
    let genesis = other.path("ceremony/genesis.record");
    let (mine, wrong) = (desk.path("ceremony/genesis.record"), "00".repeat(32));
    clearhouse(["directory".as_ref(), "verify".as_ref(), mine.as_os_str(), "--genesis".as_ref(), genesis.as_os_str()])
        .exits(8);
    clearhouse([
        "directory".as_ref(),
        "verify".as_ref(),
        mine.as_os_str(),
        "--genesis".as_ref(),
        mine.as_os_str(),
        "--network".as_ref(),
        OsStr::new(&wrong),
    ])
    .exits(8);
}

#[test]
fn an_organisation_is_ended_by_as_many_as_the_policy_asks() {
    let desk = Desk::new();
    desk.network();
    let org = "0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e";
    let (genesis, one) = (desk.path("ceremony/genesis.record"), desk.path("one"));
    let (first, second, two) = (desk.path("ceremony/first.key"), desk.path("ceremony/second.key"), desk.path("two"));
    let revoke = ["directory".as_ref(), "revoke".as_ref(), "--genesis".as_ref(), genesis.as_os_str()];
    let begun = ["--org", org, "--reason", "Compromised", "--json", "--key"].map(OsStr::new);
    let out = [first.as_os_str(), "--out".as_ref(), one.as_os_str()];
    let reply = clearhouse(revoke.into_iter().chain(begun).chain(out)).exits(0).json();
    assert_eq!((reply["signatures"].as_u64(), reply["complete"].as_bool()), (Some(1), Some(false)));
    verify(&desk, "one").exits(8);
    let more = ["--json".as_ref(), "--add-to".as_ref(), one.as_os_str(), "--key".as_ref(), second.as_os_str()];
    let out = ["--out".as_ref(), two.as_os_str()];
    let reply = clearhouse(revoke.into_iter().chain(more).chain(out)).exits(0).json();
    assert_eq!((reply["signatures"].as_u64(), reply["complete"].as_bool()), (Some(2), Some(true)));
    assert_eq!(reply["org"], org);
    verify(&desk, "two").exits(0);
}

#[test]
fn a_network_no_node_would_take_is_not_founded() {
    let desk = Desk::new();
    let out = desk.path("net");
    let found = |more: &[&str]| {
        let args = ["directory", "found", "--name", "R", "--kind", "live", "--out"].map(OsStr::new);
        clearhouse(args.into_iter().chain([out.as_os_str()]).chain(more.iter().map(OsStr::new)))
    };
    for wrong in [
        &["--coordinator", "RO:a"][..],
        &["--coordinator", "RO:a", "--coordinator", "RO:b"],
        &["--coordinator", "RO:a", "--coordinator", "IT:a"],
        &["--coordinator", "RO:a", "--coordinator", "IT:../b"],
        &["--coordinator", "RO:a", "--coordinator", "XX:b"],
        &["--coordinator", "RO:a", "--coordinator", "IT:b", "--accredit", "3"],
        &["--coordinator", "RO:a", "--coordinator", "IT:b", "--revoke", "0"],
    ] {
        found(wrong).exits(2);
        assert!(!out.exists(), "{wrong:?}");
    }
    found(&["--coordinator", "RO:a", "--coordinator", "IT:b"]).exits(0);
    found(&["--coordinator", "RO:a", "--coordinator", "IT:b"]).exits(5);
}

/// A policy act without a node: paths as they are, everything in JSON.
fn policy_act(desk: &Desk, act: &str, file: Option<&str>, more: &[(&str, String)]) -> Ran {
    let genesis = desk.path("ceremony/genesis.record");
    let mut args: Vec<String> = ["directory", act].map(str::to_owned).to_vec();
    args.extend(file.map(|file| desk.path(file).display().to_string()));
    args.extend(["--json".to_owned(), "--genesis".to_owned(), genesis.display().to_string()]);
    more.iter().for_each(|(option, value)| args.extend([(*option).to_owned(), value.clone()]));
    clearhouse(args.iter().map(AsRef::<OsStr>::as_ref).collect::<Vec<_>>())
}

#[test]
fn the_next_policy_is_proposed_read_out_signed_by_each_and_changes_nothing_unsaid() {
    let desk = Desk::new();
    desk.network();
    let path = |name: &str| desk.path(name).display().to_string();
    let out = |name: &str| ("--out", path(name));
    let key = |name: &str| ("--key", path(&format!("ceremony/{name}.key")));
    let mut logs = Vec::new();
    for (n, port) in [(1, "127.0.0.1:17031"), (2, "127.0.0.1:17032")] {
        let node = desk.node(&format!("coordinator-{n}"), "RO", "Coordinator", port);
        logs.push(("--log", format!("{n}={}", node.join("application.record").display())));
    }
    // One log alone is cosigned by nobody.
    policy_act(&desk, "propose", None, &[logs[0].clone(), out("alone")]).exits(8);
    policy_act(&desk, "propose", None, &[("--log", logs[0].1.replace("1=", "9=")), out("none")]).exits(2);
    assert!(!desk.path("alone").exists() && !desk.path("none").exists());

    let proposal = policy_act(&desk, "propose", None, &[logs[0].clone(), logs[1].clone(), out("two")]).exits(0).json();
    assert_eq!((proposal["version"].as_u64(), proposal["complete"].as_bool()), (Some(2), Some(false)));
    let changes: Vec<&str> = proposal["changes"].as_array().unwrap().iter().filter_map(|c| c.as_str()).collect();
    assert!(changes.len() == 2 && changes.iter().all(|c| c.contains("keeps a directory log, key ")), "{changes:?}");

    let first = policy_act(&desk, "sign", Some("two"), &[key("first"), out("two-1")]).exits(0).json();
    assert_eq!((first["words"].clone(), first["signatures"].as_u64()), (proposal["words"].clone(), Some(1)));
    let whole = policy_act(&desk, "sign", Some("two-1"), &[key("second"), key("third"), out("two-3")]).exits(0).json();
    assert_eq!(whole["complete"].as_bool(), Some(true));
    assert_eq!(verify(&desk, "two-3").exits(0).json()["broken"], 0);
    verify(&desk, "two-1").exits(8);

    // The third, on top of it: corridors, each in words; and a form that is none says where.
    fs::write(
        desk.path("rules.toml"),
        "[[rule]]\nname = \"out-of-italy\"\nkinds = [\"RETURN_NOTICE\"]\nfrom_countries = [\"IT\"]\nto_countries = [\"MD\", \"RS\"]\n",
    )
    .unwrap();
    let more = [("--policies", path("two-3")), ("--corridors", path("rules.toml")), out("three")];
    let third = policy_act(&desk, "propose", None, &more).exits(0).json();
    let said = "the rule `out-of-italy`: return_notice may go from anybody in IT to anybody in MD or RS";
    assert!(third["version"] == 3 && third["changes"][0] == said, "{third}");
    let all = [key("first"), key("second"), key("third"), out("three-3")];
    assert_eq!(policy_act(&desk, "sign", Some("three"), &all).exits(0).json()["complete"].as_bool(), Some(true));
    assert_eq!(verify(&desk, "three-3").exits(0).json()["broken"], 0);
    let more = [("--policies", path("three-3")), ("--cover", "yes".into()), out("five")];
    let fourth = policy_act(&desk, "propose", None, &more).exits(0).json();
    assert_eq!(fourth["changes"][0], "receipts leave only at the log's tick, every 1 s");
    fs::write(desk.path("rules.toml"), "[[rule]]\nname = \"x\"\nkinds = [\"LETTER\"]\n").unwrap();
    let refused = policy_act(&desk, "propose", None, &[("--corridors", path("rules.toml")), out("four")]).exits(2);
    assert!(refused.err.contains("`LETTER` is no kind of message"), "{}", refused.err);
}
