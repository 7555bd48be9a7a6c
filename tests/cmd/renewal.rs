//! An accreditation is renewed before it ends, a root key is changed with the old one's word, a lost one waits where all can
//! see it, and whoever has it objects.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Desk, Ran, Running, clearhouse, free_address};

struct Office {
    desk: Desk,
    node: Running,
    folder: PathBuf,
}

impl Office {
    /// An accredited node that knows itself.
    fn open() -> Self {
        let desk = Desk::new();
        desk.network();
        let folder = desk.node("nova", "MD", "Origin", &free_address());
        let whole = desk.accredit(&folder);
        let office = Self { node: Running::start(&desk, &folder), desk, folder };
        office.submit(&whole).exits(0);
        office
    }

    fn submit(&self, file: &Path) -> Ran {
        let pass = self.desk.path("root.pass");
        let args = ["directory", "submit", text(file), "--as", "root", "--json", "--passphrase-file", text(&pass)];
        self.node.run(args)
    }

    fn renew(&self, more: &[&str], name: &str) -> (Value, PathBuf) {
        let out = self.desk.path(name);
        let args = ["directory", "renew", "--json", "--out", text(&out)];
        (self.node.run(args.iter().chain(more).copied()).exits(0).json(), out)
    }

    /// What three coordinators make of an application.
    fn sign(&self, application: &Path) -> PathBuf {
        let out = application.with_extension("signed");
        let genesis = self.desk.path("ceremony/genesis.record");
        let mut args =
            vec!["directory", "accredit", text(application), "--genesis", text(&genesis), "--out", text(&out)];
        let keys = ["first", "second", "third"].map(|name| self.desk.path(&format!("ceremony/{name}.key")));
        keys.iter().for_each(|key| args.extend(["--key", text(key)]));
        clearhouse(args).exits(0);
        out
    }

    fn own_key(&self) -> PathBuf {
        self.folder.join("organisation-root.key")
    }

    fn words(&self) -> Value {
        self.node.run(["directory", "words", "--json"]).exits(0).json()["words"].clone()
    }

    fn state(&self) -> Value {
        self.node.run(["directory", "show", "nova", "--json"]).exits(0).json()["nodes"][0]["state"].clone()
    }

    fn finding(&self) -> Option<Value> {
        let told = self.node.run(["doctor", "--json"]).json();
        told["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "CH-D0209").cloned()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_accreditation_is_renewed_and_its_root_key_changed_with_the_old_ones_word() {
    let office = Office::open();
    let before = office.words();
    office.node.run(["directory", "renew", "--out", text(&office.desk.path("none"))]).exits(2);
    let strange = office.desk.path("ceremony/first.key");
    let out = office.desk.path("none");
    office.node.run(["directory", "renew", "--key", text(&strange), "--out", text(&out)]).exits(5);
    assert!(!out.exists());

    let own = office.own_key();
    let (told, next) = office.renew(&["--key", text(&own)], "renewal.record");
    assert_eq!((&told["version"], &told["lost"], &told["new_key"]), (&json!(2), &json!(false), &Value::Null));
    let sent = office.submit(&office.sign(&next)).exits(0).json();
    assert_eq!(sent["sent"], json!(true));
    assert_eq!((office.words(), office.state()), (before.clone(), json!("usable now")));

    let (key, end) = (office.desk.path("new-root.key"), office.desk.path("end.record"));
    let more = ["--key", text(&own), "--new-key", text(&key), "--self-revocation", text(&end)];
    let (told, next) = office.renew(&more, "changed.record");
    assert_eq!(told["version"], json!(3));
    office.submit(&office.sign(&next)).exits(0);
    assert_eq!((office.words(), office.state()), (told["fingerprint"].clone(), json!("usable now")));
    assert_ne!(office.words(), before);
    // What the old key signed beforehand ends nobody any more, what the new one did does.
    office.submit(&office.folder.join("self-revocation.record")).exits(3);
    assert_eq!(office.state(), json!("usable now"));
    office.submit(&end).exits(0);
    assert_eq!(office.state(), json!("revoked"));
}

#[test]
fn a_lost_root_key_waits_where_all_can_see_it_and_who_has_the_old_one_objects() {
    let office = Office::open();
    let (before, own) = (office.words(), office.own_key());
    let object = |key: &Path, name: &str| {
        let out = office.desk.path(name);
        let ran = office.node.run(["directory", "object", "--key", text(key), "--out", text(&out)]);
        (ran, out)
    };
    assert_eq!(office.finding(), None);
    let (ran, out) = object(&own, "nothing.record");
    ran.exits(8);
    assert!(!out.exists());

    let key = office.desk.path("new-root.key");
    let (told, next) = office.renew(&["--new-key", text(&key)], "lost.record");
    assert_eq!((&told["version"], &told["lost"], &told["new_key"]), (&json!(2), &json!(true), &json!(text(&key))));
    let signed = office.sign(&next);
    let sent = office.submit(&signed).exits(0).json();
    assert_eq!(
        (&sent["sent"], &sent["submitted"][0]["waits"], &sent["import"]["waiting"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert_eq!(sent["import"]["refused"], json!([]), "what the new key vouches for is not handed in yet");
    // Everything goes on as before, and it is said.
    assert_eq!((office.words(), office.state()), (before.clone(), json!("usable now")));
    let begun = |finding: &Value| finding["text"].as_str().unwrap().contains("waits until");
    let finding = std::iter::repeat_with(|| office.finding().unwrap()).take(600).find(|finding| {
        super::pause(std::time::Duration::from_millis(100));
        begun(finding)
    });
    let finding = finding.expect("the node looks each round");
    assert!(finding["problem"] == true && finding["text"].as_str().unwrap().contains("this organisation"), "{finding}");
    assert!(finding["next"].as_str().unwrap().contains("clearhouse directory object"), "{finding}");
    assert_eq!(office.node.run(["status", "--json"]).exits(0).json()["lost_root_keys"], json!(1));
    let again = office.submit(&signed).exits(0).json();
    assert_eq!(again["submitted"][0]["known"], json!(true));

    let (ran, out) = object(&key, "forged.record");
    ran.exits(5);
    assert!(!out.exists());
    let (ran, objection) = object(&own, "objection.record");
    ran.exits(0);
    let sent = office.submit(&objection).exits(0).json();
    assert_eq!((&sent["sent"], &sent["submitted"][0]["kind"]), (&json!(true), &json!("objection")));
    let finding = office.finding().unwrap();
    assert!(finding["problem"] == false && finding["text"].as_str().unwrap().contains("objected to"), "{finding}");
    assert_eq!((office.words(), office.state()), (before.clone(), json!("usable now")));

    // And the year goes on with the old one.
    let (told, next) = office.renew(&["--key", text(&own)], "renewal.record");
    assert_eq!(told["version"], json!(2));
    office.submit(&office.sign(&next)).exits(0);
    assert_eq!((office.finding(), office.words(), office.state()), (None, before, json!("usable now")));
    // What was overtaken is refused in words.
    let late = office.submit(&signed).exits(8);
    assert!(late.err.contains("older than the record already held"), "{}", late.err);
}
