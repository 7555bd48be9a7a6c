//! Bundles that hold, and bundles somebody touched.

use std::fs;
use std::os::unix::fs::symlink;

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::log::note::KeyKind;
use clearhouse_protocol::log::note::NoteKey;

use super::*;
use crate::log::fixture::Log;
use crate::log::folder::Known;
use crate::log::vouched::Vouched;

/// Checked a year later, when most records have expired.
const LATER: u64 = NOW + 400 * DAY;

fn bundle(log: &Log, dir: &Path, entries: &[usize]) -> Result<Held, BundleFault> {
    let (note, genesis, records) = (log.witnessed(log.head(), NOW), log.genesis(), log.records());
    let head = Head { note: &note, genesis: &genesis, records: &records };
    make(dir, head, entries.iter().map(|index| log.entry(*index)).collect(), NOW)
}

fn check(dir: &Path) -> Result<Held, BundleFault> {
    verify(dir, Known::default(), LATER)
}

fn fault(dir: &Path) -> String {
    check(dir).err().unwrap().to_string()
}

/// Writes a file and makes the manifest agree with it, as somebody would who wants to deceive.
fn replace(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(name), bytes).unwrap();
    let path = dir.join(MANIFEST);
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let file = manifest.files.iter_mut().find(|file| file.name == name).unwrap();
    (file.len, file.sha256) = (bytes.len() as u64, hex(&sha256(bytes)));
    fs::write(path, pretty(&json!(manifest))).unwrap();
}

fn edit(dir: &Path, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from}: {text}");
    replace(dir, name, text.replacen(from, to, 1).as_bytes());
}

#[test]
fn evidence_holds_a_year_later_and_shows_exactly_the_entries_chosen() {
    let log = Log::of(300);
    let dir = tempfile::tempdir().unwrap();
    bundle(&log, dir.path(), &[299, 3, 17, 3]).unwrap_or_else(|fault| panic!("{fault}"));
    let held = check(dir.path()).unwrap_or_else(|fault| panic!("{fault}"));
    let indices: Vec<_> = held.entries.iter().filter_map(|e| e["index"].as_u64()).collect();
    assert_eq!(indices, [3, 17, 299]);
    assert_eq!(
        (held.entries[0]["event"].as_str(), held.entries[0]["with"].as_str()),
        (Some("sent"), Some("Member 5 (MD)"))
    );
    assert!(held.sight.enough && held.sight.time == Some(NOW + 1), "of six witnesses one may lie");
    assert_eq!((held.sight.witnesses.len(), held.sight.countries().map(|c| c.len())), (6, Some(4)));
    assert!(matches!(held.vouched, Vouched::Records { ref label, .. } if label == "Member 4"));
    // Of the other 297 entries there is nothing, and no node's address.
    let mut all = Vec::new();
    for folder in [dir.path().to_owned(), dir.path().join(ENTRIES)] {
        let files = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_file());
        all.extend(files.flat_map(|path| fs::read(path).unwrap()));
    }
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains(&hex(&log.rows[17].salt)) && !all.contains(&hex(&log.rows[18].salt)));
    assert!(!all.contains("node5.example.org"));
}

#[test]
fn an_erased_entry_is_proved_to_have_stood_there_and_says_no_more() {
    let log = Log::of(9);
    let dir = tempfile::tempdir().unwrap();
    let (note, genesis, records) = (log.head(), log.genesis(), log.records());
    let (mut entry, path) = log.entry(4);
    entry.opened = None;
    let head = Head { note: &note, genesis: &genesis, records: &records };
    make(dir.path(), head, vec![(entry, path)], NOW).unwrap_or_else(|fault| panic!("{fault}"));
    let held = check(dir.path()).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(held.entries[0]["event"], "not readable any more");
    assert!(!held.sight.enough && held.sight.time.is_none() && held.sight.witnesses.is_empty());
}

#[test]
fn a_file_missing_changed_cut_off_or_added_is_named() {
    let log = Log::of(9);
    let dir = tempfile::tempdir().unwrap();
    bundle(&log, dir.path(), &[2, 5]).unwrap_or_else(|fault| panic!("{fault}"));
    let names = ["checkpoint", "log.vkey", "genesis.record", "directory.records", "witnesses.json", "VERIFY.txt"];
    let entries = ["entries/2.json", "entries/2.tlog-proof", "entries/5.json", "entries/5.tlog-proof"];
    for name in names.into_iter().chain(entries) {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(
            fault(dir.path()).starts_with(&format!("{name} has {} bytes and should have", whole.len() - 1)),
            "{name}"
        );
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(fault(dir.path()), format!("{name} is not the file of the manifest: it was changed"));
        fs::remove_file(&path).unwrap();
        assert_eq!(fault(dir.path()), format!("{name} is missing"));
        // A link to the same bytes is no file of the bundle.
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), &whole).unwrap();
        symlink(elsewhere.path(), &path).unwrap();
        assert!(fault(dir.path()).starts_with(&format!("{name} was added")), "{name}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, &whole).unwrap();
    }
    for name in ["notes.txt", "entries/3.json", "entries/more"] {
        fs::write(dir.path().join(name), b"x").unwrap();
        assert!(fault(dir.path()).starts_with(&format!("{name} was added")), "{}", fault(dir.path()));
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::create_dir(dir.path().join("tile")).unwrap();
    assert!(fault(dir.path()).starts_with("tile was added"));
    fs::remove_dir(dir.path().join("tile")).unwrap();
    let manifest = fs::read(dir.path().join(MANIFEST)).unwrap();
    for end in [0, manifest.len() / 2, manifest.len() - 1] {
        fs::write(dir.path().join(MANIFEST), &manifest[..end]).unwrap();
        assert!(fault(dir.path()).starts_with("MANIFEST.json does not hold: it was changed or cut off"));
    }
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    assert_eq!(fault(dir.path()), "MANIFEST.json is missing");
    assert!(is_bundle(dir.path()));
    fs::write(dir.path().join(MANIFEST), &manifest).unwrap();
    check(dir.path()).unwrap_or_else(|fault| panic!("{fault}"));
    fs::remove_dir_all(dir.path().join(ENTRIES)).unwrap();
    assert_eq!(fault(dir.path()), "entries is missing");
}

#[test]
fn evidence_whose_manifest_was_made_to_agree_is_found_by_what_it_proves() {
    let log = Log::of(9);
    let table: [(&str, &str, &str, &str); 9] = [
        ("entries/2.json", "\"sent\"", "\"arrived\"", "entries/2.json does not hold: its words"),
        ("entries/2.json", "\"with\": \"Member 5 (MD)\"", "\"with\": \"Member 6 (RS)\"", "its words"),
        ("entries/2.json", "\"salt\": \"", "\"salt\": \"0", "entries/2.json does not hold: leaf, salt and opening"),
        ("entries/2.json", "\"leaf\": \"01", "\"leaf\": \"02", "leaf, salt and opening"),
        ("entries/2.tlog-proof", "index 2", "index 5", "entries/2.tlog-proof does not hold: it is about another entry"),
        ("entries/2.tlog-proof", "\n9\n", "\n8\n", "it is about another entry or another head"),
        ("checkpoint", "\n9\n", "\n8\n", "the checkpoint does not hold"),
        ("witnesses.json", "\"enough\": true", "\"enough\": false", "witnesses.json does not hold"),
        ("log.vkey", "+", "+0", "log.vkey does not hold"),
    ];
    for (name, from, to, says) in table {
        let dir = tempfile::tempdir().unwrap();
        bundle(&log, dir.path(), &[2, 5]).unwrap_or_else(|fault| panic!("{fault}"));
        edit(dir.path(), name, from, to);
        let fault = fault(dir.path());
        assert!(fault.contains(says), "{name} with {to}: {fault}");
    }
    // Two entries under each other's numbers.
    let dir = tempfile::tempdir().unwrap();
    bundle(&log, dir.path(), &[2, 5]).unwrap_or_else(|fault| panic!("{fault}"));
    let file = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let (two, five) = (file("entries/2.json"), file("entries/5.json"));
    replace(dir.path(), "entries/2.json", &five);
    replace(dir.path(), "entries/5.json", &two);
    assert!(fault(dir.path()).starts_with("entries/2.tlog-proof does not hold: the proof does not lead"));
    // An entry taken out with its lines: a smaller bundle, but the manifest still counts it.
    replace(dir.path(), "entries/2.json", &two);
    replace(dir.path(), "entries/5.json", &five);
    let mut manifest: Manifest = serde_json::from_slice(&file(MANIFEST)).unwrap();
    manifest.files.retain(|file| !file.name.starts_with("entries/5."));
    fs::write(dir.path().join(MANIFEST), pretty(&json!(manifest))).unwrap();
    entries_gone(dir.path(), 5);
    assert_eq!(fault(dir.path()), "MANIFEST.json does not hold: it speaks of 2 entries");
}

fn entries_gone(dir: &Path, index: u64) {
    for name in [proof_name(index), entry_name(index)] {
        fs::remove_file(dir.join(name)).unwrap();
    }
}

#[test]
fn evidence_of_another_network_or_key_than_the_checker_knows_is_refused() {
    let log = Log::of(9);
    let dir = tempfile::tempdir().unwrap();
    bundle(&log, dir.path(), &[2]).unwrap_or_else(|fault| panic!("{fault}"));
    let other = Region::new(2, 1);
    let known = Known { genesis: Some(&other.genesis), ..Known::default() };
    assert!(matches!(verify(dir.path(), known, LATER), Err(BundleFault::Folder(FolderFault::Records(_)))));
    let known = Known { genesis: Some(&log.region.genesis), ..Known::default() };
    assert!(verify(dir.path(), known, LATER).is_ok());
    let key = NoteKey::new(&log.origin, KeyKind::Log, &other.members[0].log().public()).unwrap();
    let known = Known { key: Some(key), ..Known::default() };
    let fault = verify(dir.path(), known, LATER).err().unwrap();
    assert!(fault.to_string().contains("not signed by the key"), "{fault}");
}

#[test]
fn a_bundle_of_nothing_of_too_much_or_of_parts_that_do_not_fit_is_not_made() {
    let log = Log::of(9);
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(bundle(&log, dir.path(), &[]), Err(BundleFault::Count(0))));
    let (note, genesis, records) = (log.head(), log.genesis(), log.records());
    let head = Head { note: &note, genesis: &genesis, records: &records };
    let many: Vec<_> = (0..=ENTRIES_MAX as u64).map(|index| (Entry { index, ..log.entry(0).0 }, vec![])).collect();
    assert!(matches!(make(dir.path(), head, many, NOW), Err(BundleFault::Count(n)) if n == ENTRIES_MAX + 1));
    let (entry, _) = log.entry(2);
    let fault = make(dir.path(), head, vec![(entry, log.entry(3).1)], NOW).err().unwrap();
    assert!(fault.to_string().starts_with("entries/2.tlog-proof"), "{fault}");
}
