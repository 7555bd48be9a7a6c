//! Coming in, being refused, being handed to the network, ending oneself: what an application says, and the last step of
//! each ceremony.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clearhouse_protocol::ids::unhex;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::signed::add_signature;
use clearhouse_wire::v1::{OrgRecord, RecordBundle};
use prost::Message as _;
use serde_json::{Value, json};

use super::{Desk, Ran, Running, clearhouse, free_address};

const STRANGER: &str = "0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e";

/// Ids of the coordinators as `found` printed them; founds the network.
fn coordinators(desk: &Desk) -> Vec<String> {
    let out = desk.path("ceremony");
    let args = ["directory", "found", "--name", "Region", "--kind", "training", "--coordinator", "RO:first"];
    let more = ["--coordinator", "RO:second", "--coordinator", "IT:third", "--json", "--out"];
    let told = clearhouse(args.into_iter().chain(more).map(OsStr::new).chain([out.as_os_str()])).exits(0).json();
    told["coordinators"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

/// A directory command without a node on files of the desk.
fn directory(desk: &Desk, act: &str, file: &Path, more: &[&str]) -> Ran {
    let genesis = desk.path("ceremony/genesis.record");
    let args = ["directory".as_ref(), act.as_ref(), file.as_os_str(), "--genesis".as_ref(), genesis.as_os_str()];
    clearhouse(args.into_iter().chain(more.iter().map(OsStr::new)))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_application_says_in_codes_how_it_comes_in_and_is_read_out_before_a_key_is_touched() {
    let desk = Desk::new();
    let ids = coordinators(&desk);
    let said = |more: &[&str], n: u16| {
        let folder = desk.path(&format!("node-{n}"));
        desk.init_with(&folder, "Casa Nova", "MD", "Origin", &format!("127.0.0.1:{}", 17050 + n), more)
    };
    for (n, wrong) in [
        &["--area", "RO-IS"][..],
        &["--area", "Chisinau"],
        &["--standards", "Region2026"],
        &["--standards", "the rules", "--standards-signed", "2026-01-01"],
        &["--standards", "Region2026", "--standards-signed", "2999-01-01"],
        &["--agreement", "South=2027-01-01"],
        &["--agreement", "0722123456=2027-01-01"],
        &["--agreement", "south=soon"],
        &["--agreement", "south=2027-01-01", "--agreement", "south=2028-01-01"],
        &["--sponsor", &ids[0]],
        &["--sponsor", &ids[0], "--sponsor", &ids[0]],
        &["--sponsor", "Casa Alta", "--sponsor", &ids[0]],
    ]
    .into_iter()
    .enumerate()
    {
        said(wrong, 10 + u16::try_from(n).unwrap()).exits(2);
        assert!(!desk.path(&format!("node-{}", 10 + n)).exists(), "{wrong:?}");
    }
    let more = ["--area", "MD-CU", "--standards", "Region2026", "--standards-signed", "2026-01-05"];
    let more = [&more[..], &["--agreement", "south-2026=2999-06-30", "--agreement", "old=2020-01-31"]].concat();
    said(&[&more[..], &["--sponsor", &ids[0], "--sponsor", STRANGER]].concat(), 1).exits(0);

    let application = desk.path("node-1/application.record");
    let (first, out) = (desk.path("ceremony/first.key"), desk.path("one"));
    let signed = directory(&desk, "accredit", &application, &["--key", text(&first), "--out", text(&out)]).exits(0);
    for line in ["MD-CU", "Region2026, signed 2026-01-05", "south-2026, until 2999-06-30", "old, ENDED on 2020-01-31"] {
        assert!(signed.err.contains(line) && signed.out.contains(line), "{line}: {} {}", signed.err, signed.out);
    }
    assert!(signed.err.contains(&format!("the coordinator of RO ({})", ids[0])), "{}", signed.err);
    assert!(signed.err.contains(&format!("{STRANGER}: unknown here")), "{}", signed.err);
    // With the records of who vouches, by name.
    let nova = desk.path("nova");
    let org = desk.init(&nova, "Nova", "MD", "Origin", "127.0.0.1:17049").exits(0).json()["org"].clone();
    let (org, known) = (org.as_str().unwrap(), desk.accredit(&nova));
    said(&["--sponsor", &ids[2], "--sponsor", org], 2).exits(0);
    let (by_it, named) = (desk.path("node-2/application.record"), desk.path("named"));
    let more = ["--records", text(&known), "--key", text(&first), "--out", text(&named)];
    let told = directory(&desk, "accredit", &by_it, &more).exits(0);
    assert!(told.err.contains(&format!("Nova of MD ({org})")), "{}", told.err);
    // A key that cannot be read comes after the words.
    let none = desk.path("no.key");
    let ran = directory(&desk, "accredit", &application, &["--key", text(&none), "--out", text(&desk.path("two"))]);
    assert!(ran.code != Some(0) && ran.err.contains("MD-CU") && !desk.path("two").exists(), "{}", ran.err);
    let ran =
        directory(&desk, "accredit", &application, &["--json", "--key", text(&first), "--out", text(&desk.path("3"))]);
    let membership = ran.exits(0).json()["membership"].clone();
    assert_eq!((&membership["area"], &membership["agreements"][1]["ended"]), (&json!("MD-CU"), &json!(true)));
    assert_eq!(
        (&membership["sponsors"][0]["coordinator"], &membership["sponsors"][1]["known"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn what_ends_an_organisation_and_what_a_policy_changes_is_read_out_before_a_key_is_touched() {
    let desk = Desk::new();
    coordinators(&desk);
    let (none, out) = (desk.path("no.key"), desk.path("out"));
    let genesis = desk.path("ceremony/genesis.record");
    let args = ["directory", "revoke", "--genesis", text(&genesis), "--org", STRANGER, "--reason", "Closed"];
    let ran = clearhouse(args.into_iter().chain(["--key", text(&none), "--out", text(&out)]));
    assert!(ran.code != Some(0) && ran.err.contains(&format!("{STRANGER} ENDS in the network Region")), "{}", ran.err);
    assert!(ran.err.contains("reason Closed") && !out.exists(), "{}", ran.err);

    let (rules, proposal) = (desk.path("rules.toml"), desk.path("two"));
    let rule = "[[rule]]\nname = \"south\"\nkinds = [\"RETURN_NOTICE\"]\nagreement = \"south-2026\"\n";
    fs::write(&rules, rule).unwrap();
    let args = ["directory", "propose", "--genesis", text(&genesis), "--corridors", text(&rules)];
    clearhouse(args.into_iter().chain(["--out", text(&proposal)])).exits(0);
    let ran = directory(&desk, "sign", &proposal, &["--key", text(&none), "--out", text(&out)]);
    let said = "the rule `south`: return_notice may go from anybody in any country to anybody in any country, \
                where both have the agreement `south-2026` and it has not ended";
    assert!(ran.code != Some(0) && ran.err.contains(said) && ran.err.contains("Its words: "), "{}", ran.err);
    assert!(!out.exists());
}

#[test]
fn nobody_applies_to_a_live_network_without_two_who_vouch_for_it() {
    let desk = Desk::new();
    let out = desk.path("ceremony");
    let found = ["directory", "found", "--name", "L", "--kind", "live", "--coordinator", "RO:a", "--coordinator"];
    let found = found.into_iter().map(OsStr::new).chain(["IT:b".as_ref(), "--out".as_ref(), out.as_os_str()]);
    clearhouse(found).exits(0);
    let ran = desk.init(&desk.path("node"), "Casa Nova", "MD", "Origin", "127.0.0.1:17049").exits(2);
    assert!(ran.err.contains("--sponsor ID twice") && !desk.path("node").exists(), "{}", ran.err);
}

#[test]
fn a_refusal_is_signed_says_why_and_anybody_can_check_it() {
    let desk = Desk::new();
    let ids = coordinators(&desk);
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17048");
    let (application, out) = (node.join("application.record"), desk.path("refusal.record"));
    let key = |name: &str| desk.path(&format!("ceremony/{name}.key"));
    let refuse = |key: &Path, reason: &str, out: &Path| {
        let more = ["--json", "--reason", reason, "--key", text(key), "--out", text(out)];
        directory(&desk, "refuse", &application, &more)
    };
    refuse(&key("third"), "BecauseISaySo", &out).exits(2);
    refuse(&node.join("organisation-root.key"), "Incomplete", &out).exits(5);
    assert!(!out.exists());
    let said = refuse(&key("third"), "IdentityNotProven", &out).exits(0).json();
    let read = directory(&desk, "verify", &out, &["--json"]).exits(0).json();
    assert_eq!((&read["reason"], &read["coordinator"]), (&json!("IdentityNotProven"), &json!(ids[2])));
    for field in ["schema", "org", "application", "country", "made", "network"] {
        assert_eq!(read[field], said[field], "{field}");
        assert!(read[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    refuse(&key("third"), "IdentityNotProven", &out).exits(5);
    // Before the key is touched it is read out what is signed.
    let (none, nothing) = (desk.path("no.key"), desk.path("nothing"));
    let more = ["--reason", "Incomplete", "--key", text(&none), "--out", text(&nothing)];
    let told = directory(&desk, "refuse", &application, &more);
    assert!(told.code != Some(0) && told.err.contains("node of MD applies"), "{}", told.err);
    assert!(told.err.contains("for the reason Incomplete") && !nothing.exists(), "{}", told.err);
    let words = directory(&desk, "verify", &out, &[]).exits(0).out;
    assert!(words.contains("the coordinator of IT") && words.contains("Its signature holds"), "{words}");
    // It is no record of a directory, and one changed byte is no notice of anybody.
    let whole = fs::read(&out).unwrap();
    // The name of the key before the signature is a hint that nobody trusts.
    let hint = whole.len() - 64 - 2 - 16..whole.len() - 64 - 2;
    for at in (60..whole.len()).step_by(17).filter(|at| !hint.contains(at)) {
        let mut bent = whole.clone();
        bent[at] ^= 1;
        fs::write(desk.path("bent"), bent).unwrap();
        let ran = directory(&desk, "verify", &desk.path("bent"), &["--json"]);
        assert!(matches!(ran.code, Some(2 | 8)), "byte {at}: {:?} {}", ran.code, ran.out);
    }
    let other = Desk::new();
    other.network();
    directory(&other, "verify", &out, &[]).exits(8);
}

/// A second policy, by which the first two coordinators are their organisations; each with its id of before and of now.
fn second_policy(desk: &Desk, ids: &[String]) -> (std::path::PathBuf, [String; 2]) {
    let (two, whole) = (desk.path("two"), desk.path("policy-2.record"));
    let genesis = desk.path("ceremony/genesis.record");
    let mut now = Vec::new();
    let mut args =
        vec!["directory".to_owned(), "propose".to_owned(), "--genesis".to_owned(), text(&genesis).to_owned()];
    for n in [1, 2] {
        let folder = desk.path(&format!("coordinator-{n}"));
        let made =
            desk.init(&folder, "council", "RO", "Coordinator", &format!("127.0.0.1:{}", 17040 + n)).exits(0).json();
        now.push(made["org"].as_str().unwrap().to_owned());
        args.extend(["--log".to_owned(), format!("{n}={}", text(&folder.join("application.record")))]);
    }
    args.extend(["--out".to_owned(), text(&two).to_owned()]);
    clearhouse(args.iter().map(AsRef::<OsStr>::as_ref).collect::<Vec<_>>()).exits(0);
    let keys = ["first", "second", "third"].map(|name| desk.path(&format!("ceremony/{name}.key")));
    let [a, b, c] = keys.each_ref().map(|key| text(key));
    directory(desk, "sign", &two, &["--key", a, "--key", b, "--key", c, "--out", text(&whole)]).exits(0);
    let now: [String; 2] = now.try_into().unwrap();
    assert!(now[0] != ids[0] && now[1] != ids[1]);
    (whole, now)
}

#[test]
fn after_a_second_policy_coordinators_are_who_it_names_and_sponsors_of_before_are_still_known() {
    let desk = Desk::new();
    let ids = coordinators(&desk);
    let (policy, now) = second_policy(&desk, &ids);
    let folder = desk.path("node");
    let sponsors = ["--sponsor", &ids[0], "--sponsor", &now[1]];
    desk.init_with(&folder, "Casa Nova", "MD", "Origin", "127.0.0.1:17047", &sponsors).exits(0);
    let application = folder.join("application.record");
    let key = desk.path("ceremony/first.key");
    let refuse = |file: &Path, more: &[&str], out: &str| {
        let out = desk.path(out);
        let rest = ["--reason", "Incomplete", "--key", text(&key), "--out", text(&out)];
        directory(&desk, "refuse", file, &[&rest[..], more].concat())
    };
    // By the genesis alone the second sponsor is nobody, and the notice names who the first was founded as.
    let old = refuse(&application, &[], "old").exits(0);
    assert!(old.err.contains(&format!("the coordinator of RO ({})", ids[0])), "{}", old.err);
    assert!(old.err.contains(&format!("{}: unknown here", now[1])), "{}", old.err);

    let records = ["--records", text(&policy)];
    let said = refuse(&application, &records, "new").exits(0);
    for id in [&ids[0], &now[1]] {
        assert!(said.err.contains(&format!("the coordinator of RO ({id})")), "{}", said.err);
    }
    let new = desk.path("new");
    directory(&desk, "verify", &new, &[]).exits(8);
    let read = directory(&desk, "verify", &new, &[&["--json"][..], &records].concat()).exits(0).json();
    assert_eq!(read["coordinator"], now[0].as_str(), "{read}");

    // An application that brings the policy needs no other file, as one of a member that renews does.
    let mut bundle = RecordBundle::decode(fs::read(&policy).unwrap().as_slice()).unwrap();
    bundle.records.extend(RecordBundle::decode(fs::read(&application).unwrap().as_slice()).unwrap().records);
    let whole = desk.path("whole");
    fs::write(&whole, bundle.encode_to_vec()).unwrap();
    let said = refuse(&whole, &[], "by-itself").exits(0);
    assert!(!said.err.contains("unknown here"), "{}", said.err);
    let out = desk.path("signed");
    let signed = directory(&desk, "accredit", &whole, &["--key", text(&key), "--out", text(&out)]).exits(0);
    assert!(signed.err.contains("sponsored by") && !signed.err.contains("unknown here"), "{}", signed.err);
    // What is no record of this network is said before anything is signed.
    let other = Desk::new();
    other.network();
    let strange = other.path("ceremony/genesis.record");
    let ran = refuse(&application, &["--records", text(&strange)], "never");
    assert!(ran.code == Some(8) && !desk.path("never").exists(), "{:?} {}", ran.code, ran.err);
}

/// A node that knows nobody yet, and somebody who may speak for it.
struct Office {
    node: Running,
    pass: String,
}

impl Office {
    fn open(desk: &Desk, name: &str) -> Self {
        let folder = desk.node(name, "RO", "Destination", &free_address());
        Self { node: Running::start(desk, &folder), pass: text(&desk.path("root.pass")).to_owned() }
    }

    fn submit(&self, file: &Path) -> Ran {
        self.said(file, &["--json"])
    }

    fn said(&self, file: &Path, more: &[&str]) -> Ran {
        let args = ["directory", "submit", text(file), "--as", "root", "--passphrase-file", &self.pass];
        self.node.run(args.iter().chain(more).copied())
    }

    fn show(&self, org: &str) -> Value {
        self.node.run(["directory", "show", org, "--json"]).exits(0).json()
    }
}

/// The same accreditation under another name, signed by the same three.
fn contradicts(desk: &Desk, whole: &[u8]) -> Vec<u8> {
    let mut bundle = RecordBundle::decode(whole).unwrap();
    let record = bundle.records.iter_mut().find(|record| record.payload_type == media::ORG).unwrap();
    let mut org = OrgRecord::decode(record.payload.as_slice()).unwrap();
    org.label = "other".to_owned();
    (record.payload, record.signatures) = (org.encode_to_vec(), vec![]);
    for name in ["first", "second", "third"] {
        let seed = fs::read_to_string(desk.path(&format!("ceremony/{name}.key"))).unwrap();
        let seed: [u8; 32] = unhex(seed.trim_end()).unwrap().try_into().unwrap();
        add_signature(record, &SigningKey::from_seed(&seed));
    }
    bundle.encode_to_vec()
}

#[test]
fn what_is_finished_is_handed_to_the_network_and_an_organisation_ends_itself_by_what_it_signed_beforehand() {
    let desk = Desk::new();
    desk.network();
    let nova = desk.path("nova");
    let agreements = ["--agreement", "south-2026=2999-06-30", "--agreement", "old=2020-01-31"];
    let made = desk.init_with(&nova, "nova", "MD", "Origin", &free_address(), &agreements).exits(0).json();
    let end = nova.join("self-revocation.record");
    assert_eq!(made["self_revocation"].as_str(), end.to_str());
    assert_eq!(fs::metadata(&end).unwrap().permissions().mode() & 0o777, 0o600);
    let office = Office::open(&desk, "porto");

    // What ends an organisation nobody here knows is not sent: nobody could tell whose key it is.
    let stranger = office.submit(&end).exits(3).json();
    assert_eq!((&stranger["sent"], &stranger["submitted"][0]["unknown_here"]), (&json!(false), &json!(true)));

    // One signature of three: told, and nothing goes anywhere.
    let (first, one) = (desk.path("ceremony/first.key"), desk.path("one"));
    let application = nova.join("application.record");
    directory(&desk, "accredit", &application, &["--key", text(&first), "--out", text(&one)]).exits(0);
    let lacks = office.submit(&one).exits(3).json();
    let row = &lacks["submitted"][0];
    assert_eq!((&lacks["sent"], &row["kind"], &row["lacks"]), (&json!(false), &json!("accreditation"), &json!(true)));
    assert_eq!((&row["signatures"], &row["needed"]), (&json!(1), &json!(3)));
    office.node.run(["directory", "show", "nova"]).exits(4);

    let whole = desk.accredit(&nova);
    let sent = office.submit(&whole).exits(0).json();
    assert_eq!((&sent["sent"], &sent["submitted"][0]["signatures"]), (&json!(true), &json!(3)));
    assert!(sent["import"]["new"].as_u64().is_some_and(|new| new >= 3), "{sent}");
    let said = office.said(&whole, &[]).exits(0);
    assert!(said.err.contains("nova of MD") && said.err.contains("the coordinator of IT"), "{}", said.err);
    let again = office.submit(&whole).exits(0).json();
    assert_eq!((&again["submitted"][0]["known"], &again["import"]["new"]), (&json!(true), &json!(0)));

    // Another first record of the same organisation, signed like the one that is held, would undo it.
    let rival = desk.path("rival");
    fs::write(&rival, contradicts(&desk, &fs::read(&whole).unwrap())).unwrap();
    let ran = office.submit(&rival).exits(8);
    assert!(ran.err.contains("two different records") && ran.err.contains("Nothing was sent"), "{}", ran.err);

    let shown = office.show("nova");
    assert_eq!(shown["nodes"][0]["state"], "usable now");
    assert_eq!(shown["membership"]["agreements"][1], json!({"name": "old", "until": "2020-01-31", "ended": true}));
    let words = office.node.run(["directory", "show", "nova"]).exits(0).out;
    assert!(words.contains("old, ENDED on 2020-01-31"), "{words}");
    let listed = office.node.run(["directory", "list", "--json"]).exits(0).json();
    assert_eq!(listed["organisations"][0]["membership"], shown["membership"], "{listed}");
    // It is in nothing that leaves a node by itself.
    let exported = desk.path("exported");
    office.node.run(["directory", "export", "nova", "--out", text(&exported)]).exits(0);
    let kinds = directory(&desk, "verify", &exported, &["--json"]).exits(0).json()["records"].to_string();
    assert!(!kinds.contains("revocation"), "{kinds}");
    let application = fs::read(&application).unwrap();
    let signature = fs::read(&end).unwrap()[40..].to_vec();
    assert!(!application.windows(64).any(|window| signature.windows(64).any(|own| own == window)));

    // The telephone call: whoever keeps the file hands it in, and the organisation may not speak any more.
    let ended = office.submit(&end).exits(0).json();
    let row = &ended["submitted"][0];
    assert_eq!((&row["by_itself"], &ended["import"]["new"]), (&json!(true), &json!(1)));
    assert!(
        row["what"].as_str().is_some_and(|what| what.contains("nova") && what.contains("signed beforehand")),
        "{row}"
    );
    assert_eq!(office.show("nova")["nodes"][0]["state"], "revoked");
    // One that somebody bent ends nobody.
    let mut bent = fs::read(&end).unwrap();
    let last = bent.len() - 5;
    bent[last] ^= 1;
    fs::write(desk.path("bent"), bent).unwrap();
    office.submit(&desk.path("bent")).exits(3);
    office.submit(&nova.join("identity.toml")).exits(2);
}
