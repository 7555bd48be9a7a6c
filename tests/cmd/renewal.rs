//! An accreditation is renewed before it ends, and a root key is changed with the old one's word.

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
    assert_eq!((&told["version"], &told["new_key"]), (&json!(2), &Value::Null));
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
