//! Attack 45: strangers' tools take what is ours and refuse it with one byte changed. Go's golang.org/x/mod on a whole log
//! and on evidence; PyCA on our key wrap; securesystemslib on the coordinators' signatures.
//!
//! Drives the programs of `tests/interop` on what it makes itself. A tool that is not here is skipped by name; `.ci/run`
//! installs all of them for the longer runs of the same programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clearhouse_node::log::bundle::{self, Entry, Head};
use clearhouse_node::log::folder::{Export, Known, verify};
use clearhouse_protocol::audit::{self, AuditEvent, Happening};
use clearhouse_protocol::envelope::{Letter, seal};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::{ConversationId, Digest, MsgId, hex};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::{Value, json};

/// Entries of the log: more than one tile.
const SIZE: u64 = 300;
/// Those that become evidence.
const CHOSEN: [usize; 3] = [0, 17, 299];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop")
}

/// A log and evidence out of it, below a folder.
fn written(folder: &Path) -> (PathBuf, PathBuf) {
    let mut region = Region::with_coordinators(1, 5, 2);
    let (me, peer) = (&region.members[3], &region.members[4]);
    let origin = audit::origin(region.net, me.org, me.node, audit::FIRST_GENERATION);
    let happening = Happening::of(AuditEvent::Sent).with(peer.org, peer.node).about(Digest([3; 32]), 2).by("Manager");
    let rows: Vec<_> =
        (0..SIZE).map(|n| audit::record(&happening, region.net, &origin, n, NOW, &mut region.rng)).collect();
    let commitments: Vec<Hash> = rows.iter().map(|row| row.commitment).collect();
    let leaves: Vec<Hash> = commitments.iter().map(leaf_hash).collect();
    let note = Checkpoint { origin, size: SIZE, root: merkle::root(&leaves) }.sign(&me.log()).unwrap();
    let genesis = region.genesis.encode_to_vec();
    let records =
        wire::RecordBundle { records: region.records.clone(), prekeys: vec![], published: vec![] }.encode_to_vec();
    let (log, evidence) = (folder.join("log"), folder.join("evidence"));
    let mut export = Export::new(&log).unwrap();
    export.push(&commitments).unwrap();
    let key = region.directory.log_key(me.node).unwrap().to_string();
    export.finish(&note, &key, &genesis, &records).unwrap();
    let chosen = CHOSEN.map(|n| {
        let row = &rows[n];
        let opened = Some((row.salt, row.opening.clone()));
        (Entry { index: row.index, commitment: row.commitment, opened }, merkle::path(&leaves, n))
    });
    let head = Head { note: &note, genesis: &genesis, records: &records };
    bundle::make(&evidence, head, chosen.to_vec(), NOW).unwrap_or_else(|fault| panic!("{fault}"));
    (log, evidence)
}

/// Changes one byte of a file for as long as `look` takes.
fn with_one_byte_changed(file: &Path, at: usize, look: impl FnOnce()) {
    let whole = fs::read(file).unwrap();
    let mut changed = whole.clone();
    // Another letter, so that a text stays a text.
    changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
    fs::write(file, changed).unwrap();
    look();
    fs::write(file, whole).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).trim().to_owned()
}

/// The Go program, built into a folder; `None` when Go or golang.org/x/mod is not here.
fn golog(folder: &Path) -> Option<PathBuf> {
    let library = Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog");
    let missing =
        [("go", Command::new("go").arg("version").output().is_err()), ("golang-golang-x-mod-dev", !library.exists())];
    if let Some((name, _)) = missing.iter().find(|(_, missing)| *missing) {
        println!("attack_45: skipped: {name} is not installed");
        return None;
    }
    let program = folder.join("golog");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(here().join("golog/main.go"))
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", ""), ("GOTOOLCHAIN", "local")])
        .env("GOCACHE", folder.join("gocache"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", said(&built));
    Some(program)
}

#[test]
fn attack_45_go_verifies_a_log_and_evidence_and_refuses_one_changed_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (log, evidence) = written(dir.path());
    // Ours first, so that a refusal by Go is not the first to speak.
    assert!(verify(&log, Known::default(), NOW).is_ok() && bundle::verify(&evidence, Known::default(), NOW).is_ok());
    let Some(golog) = golog(dir.path()) else { return };
    let run = |args: &[&Path]| Command::new(&golog).args(args).output().unwrap();
    let (size, bundled) = (SIZE.to_string(), Path::new("-bundle"));
    let accepts = |args: &[&Path]| {
        let ran = run(args);
        assert!(ran.status.success(), "{}", said(&ran));
    };
    let refuses = |what: &str, args: &[&Path]| assert!(!run(args).status.success(), "{what} was taken");
    let (whole, chosen) = ([log.as_path(), Path::new(&size)], [bundled, evidence.as_path()]);
    accepts(&whole);
    accepts(&chosen);
    with_one_byte_changed(&log.join("tile/entries/000"), 1000, || refuses("a changed entry", &whole));
    with_one_byte_changed(&log.join("tile/0/000"), 100, || refuses("a changed tile", &whole));
    let head = fs::read(log.join("checkpoint")).unwrap();
    for at in [40, head.len() - 9] {
        with_one_byte_changed(&log.join("checkpoint"), at, || refuses("a changed head", &whole));
    }
    let (entry, proof) = (evidence.join("entries/17.json"), evidence.join("entries/17.tlog-proof"));
    let text = fs::read_to_string(&entry).unwrap();
    for field in ["\"salt\": \"", "\"opening\": \"", "\"leaf\": \"01"] {
        let at = text.find(field).unwrap() + field.len() + 9;
        with_one_byte_changed(&entry, at, || refuses(field, &chosen));
    }
    for at in [30, 45, 200] {
        with_one_byte_changed(&proof, at, || refuses("a changed proof", &chosen));
    }
    accepts(&whole);
    accepts(&chosen);
}

/// A Python with PyCA's HPKE for our key wrap and securesystemslib; `None` when there is none.
fn python() -> Option<PathBuf> {
    let own = here().join("../../target/interop-venv/bin/python");
    let fits = |python: &PathBuf| {
        let needs = "import securesystemslib; from cryptography.hazmat.primitives.hpke import KEM; KEM.MLKEM768_X25519";
        Command::new(python).args(["-c", needs]).output().is_ok_and(|ran| ran.status.success())
    };
    let found = [own, PathBuf::from("python3")].into_iter().find(fits);
    if found.is_none() {
        println!(
            "attack_45: skipped: no Python with PyCA's HPKE and securesystemslib (tests/interop/run.sh makes one)"
        );
    }
    found
}

#[test]
fn attack_45_pyca_opens_our_key_wrap_and_securesystemslib_counts_k_of_n_and_not_k_less_one() {
    let Some(python) = python() else { return };
    let mut region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let body = b"for another program to read";
    let letter = Letter {
        net: region.net,
        msg_type: 2,
        body_version: 1,
        msg_id: MsgId([5; 16]),
        sender: (a.org, a.node),
        conversation: ConversationId([6; 32]),
        seq: 1,
        prev_digest: None,
        created: NOW,
        expires: NOW + DAY,
        actor: None,
        body,
        attachments: &[],
    };
    let sealed = seal(&letter, &to, 0, &a.sign, &mut region.rng).unwrap();
    let record = region.records.iter().find(|r| r.payload_type.contains(".org.")).unwrap();
    let k = record.signatures.len();
    let dsse = |signatures: usize| -> Value {
        let signatures = record.signatures.iter().take(signatures);
        let signatures: Vec<_> =
            signatures.map(|s| json!({"keyid": hex(&s.key_id), "sig": STANDARD.encode(&s.sig)})).collect();
        let payload = STANDARD.encode(&record.payload);
        json!({"payload": payload, "payloadType": record.payload_type, "signatures": signatures})
    };
    let keys: Vec<Value> = region
        .coordinators
        .iter()
        .map(|key| {
            let public = key.public();
            json!({"public": hex(&public), "keyid": hex(&VerifyKey::admit(&public).unwrap().id().0)})
        })
        .collect();
    let me = &region.members[1];
    let case = json!({
        "net": hex(region.net.as_bytes()), "now": NOW, "genesis": hex(&region.genesis.encode_to_vec()),
        "records": region.records.iter().map(|r| hex(&r.encode_to_vec())).collect::<Vec<_>>(),
        "org": me.org.to_string(), "node": me.node.to_string(), "seed": hex(me.prekey(NOW).seed()),
        "envelope": hex(&sealed.bytes), "digest": sealed.digest.to_string(), "body": hex(body),
        "k": k, "keys": keys, "enough": dsse(k), "too_few": dsse(k - 1),
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("case.json");
    fs::write(&file, case.to_string()).unwrap();
    let ran = Command::new(python).arg("-B").arg(here().join("attack_45.py")).arg(&file).output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(said(&ran), "ok", "{}", said(&ran));
}
