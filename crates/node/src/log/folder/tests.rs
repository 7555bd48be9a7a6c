//! Folders that hold, and folders somebody touched.

use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::note::KeyKind;
use clearhouse_protocol::pae::sha256;

use super::*;

const ORIGIN: &str = "clearhouse.01010101/02020202020202020202020202020202/03030303030303030303030303030303/g1";

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn known() -> NoteKey {
    NoteKey::new(ORIGIN, KeyKind::Log, &key().public()).unwrap()
}

fn commitments(n: u64, history: u8) -> Vec<Hash> {
    (0..n).map(|i| sha256(&[&i.to_be_bytes()[..], &[history]].concat())).collect()
}

fn head(commitments: &[Hash]) -> Note {
    let mut edge = Edge::default();
    commitments.iter().for_each(|c| edge.push(clearhouse_protocol::log::leaf_hash(c)));
    Checkpoint { origin: ORIGIN.to_owned(), size: edge.size(), root: edge.root() }.sign(&key()).unwrap()
}

fn export(dir: &Path, commitments: &[Hash], page: usize) {
    let mut export = Export::new(dir).unwrap();
    commitments.chunks(page).for_each(|page| export.push(page).unwrap());
    export.finish(&head(commitments), &known().to_string(), b"", b"").unwrap();
}

fn check(dir: &Path, older: Option<&[u8]>) -> Result<Whole, FolderFault> {
    verify(dir, Known { key: Some(known()), older, ..Known::default() }, 0)
}

#[test]
fn a_folder_of_any_size_made_in_any_pages_holds_and_holds_against_its_past() {
    for n in [0u64, 1, 255, 256, 257, 1000, 70_000] {
        let all = commitments(n, 0);
        let older = head(&all[..n as usize / 2]).to_string();
        for page in [1000, 7 + n as usize / 3] {
            let dir = tempfile::tempdir().unwrap();
            export(dir.path(), &all, page);
            let whole = check(dir.path(), Some(older.as_bytes())).unwrap_or_else(|fault| panic!("{n}: {fault}"));
            assert_eq!((whole.checkpoint.size, whole.since), (n, Some(Older { size: n / 2, time: None })));
            assert_eq!(whole.vouched, Vouched::Given);
        }
    }
}

#[test]
fn one_changed_byte_of_an_entry_is_found_at_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(700, 0), 1000);
    for (index, file) in [(0u64, "000"), (255, "000"), (300, "001"), (699, "002.p/188")] {
        let path = dir.path().join("tile/entries").join(file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[(index % 256) as usize * 35 + 20] ^= 1;
        fs::write(&path, bytes).unwrap();
        let fault = check(dir.path(), None).err().unwrap();
        assert!(matches!(fault, FolderFault::Entry(at) if at == index), "{fault}");
        fs::write(&path, whole).unwrap();
    }
    assert!(check(dir.path(), None).is_ok());
}

#[test]
fn an_entry_changed_together_with_its_tile_is_found_by_the_tile_above() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = commitments(700, 0);
    export(dir.path(), &all, 1000);
    let other = tempfile::tempdir().unwrap();
    all[300] = [9; 32];
    export(other.path(), &all, 1000);
    for file in ["tile/entries/001", "tile/0/001"] {
        fs::copy(other.path().join(file), dir.path().join(file)).unwrap();
    }
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Entries { from: 256, to: 511 })));
    fs::copy(other.path().join("tile/1/000.p/2"), dir.path().join("tile/1/000.p/2")).unwrap();
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Root(700))));
}

#[test]
fn dropped_and_reordered_entries_are_found() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(100, 0), 1000);
    let path = dir.path().join("tile/entries/000.p/100");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..35 * 40], &whole[35 * 41..]].concat()).unwrap();
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Broken(file)) if file == "tile/entries/000.p/100"));
    let swapped = [&whole[..35 * 40], &whole[35 * 41..35 * 42], &whole[35 * 40..35 * 41], &whole[35 * 42..]].concat();
    fs::write(&path, swapped).unwrap();
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Entry(40))));
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Broken(_))));
    fs::remove_file(&path).unwrap();
    assert!(
        matches!(check(dir.path(), None), Err(FolderFault::Missing { file, .. }) if file == "tile/entries/000.p/100")
    );
}

#[test]
fn a_tile_that_does_not_fit_entries_that_hold_is_named() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(700, 0), 1000);
    let path = dir.path().join("tile/0/001");
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Tile(file)) if file == "tile/0/001"));
}

#[test]
fn attack_22_a_log_that_was_rewritten_or_shrank_is_found_by_an_older_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(100, 0), 1000);
    for size in [0u64, 1, 50, 100] {
        let same = head(&commitments(size, 0)).to_string();
        assert!(check(dir.path(), Some(same.as_bytes())).is_ok(), "{size}");
        if size > 0 {
            let other = head(&commitments(size, 1)).to_string();
            let fault = check(dir.path(), Some(other.as_bytes())).err().unwrap();
            assert!(matches!(fault, FolderFault::Rewritten(at) if at == size), "{fault}");
        }
    }
    // Also where the older head ends within a full bundle, or at its end.
    let long = tempfile::tempdir().unwrap();
    export(long.path(), &commitments(700, 0), 1000);
    for size in [1u64, 100, 255, 256, 257, 300, 512, 699] {
        let (same, other) = (head(&commitments(size, 0)).to_string(), head(&commitments(size, 1)).to_string());
        assert!(check(long.path(), Some(same.as_bytes())).is_ok(), "{size}");
        assert!(matches!(check(long.path(), Some(other.as_bytes())), Err(FolderFault::Rewritten(at)) if at == size));
    }
    let larger = head(&commitments(101, 0)).to_string();
    assert!(matches!(check(dir.path(), Some(larger.as_bytes())), Err(FolderFault::Older)));
}

#[test]
fn a_checkpoint_by_another_key_of_another_log_or_with_a_changed_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(10, 0), 1000);
    let stranger = NoteKey::new(ORIGIN, KeyKind::Log, &SigningKey::from_seed(&[2; 32]).public()).unwrap();
    let fault = verify(dir.path(), Known { key: Some(stranger), ..Known::default() }, 0).err().unwrap();
    assert!(matches!(fault, FolderFault::Checkpoint(NoteFault::NotSigned)), "{fault}");
    let path = dir.path().join(CHECKPOINT);
    let text = fs::read_to_string(&path).unwrap();
    for (wrong, right) in [("\n10\n", "\n9\n"), ("/g1\n", "/g2\n"), ("\n10\n", "\n18446744073709551615\n")] {
        fs::write(&path, text.replacen(wrong, right, 1)).unwrap();
        assert!(matches!(check(dir.path(), None), Err(FolderFault::Checkpoint(_))), "{right}");
    }
    fs::write(&path, vec![b'x'; NOTE_MAX + 1]).unwrap();
    assert!(matches!(check(dir.path(), None), Err(FolderFault::Broken(file)) if file == CHECKPOINT));
    fs::write(&path, text).unwrap();
    // Nobody named the key: the folder's own word counts, and is called that.
    fs::remove_file(dir.path().join(GENESIS)).unwrap();
    assert_eq!(verify(dir.path(), Known::default(), 0).ok().unwrap().vouched, Vouched::Folder);
}

#[test]
fn a_folder_with_something_in_it_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), b"y").unwrap();
    assert!(matches!(Export::new(dir.path()), Err(FolderFault::Broken(_))));
}

/// A way to spoil a folder, and what must be said about it.
type Spoilt = (&'static str, fn(&Path), &'static str);

fn rewrite(path: &Path, change: impl Fn(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "{}", path.display());
    fs::write(path, changed).unwrap();
}

/// The head with so many more signature lines of strangers.
fn crowded(dir: &Path, more: u8) {
    rewrite(&dir.join(CHECKPOINT), |text| {
        let lines = (0..more).map(|n| {
            let mut note = Note::unsigned("x\n".to_owned());
            note.cosign(&format!("stranger{n}"), &SigningKey::from_seed(&[100 + n; 32]), 1).unwrap();
            note.to_string().lines().last().unwrap().to_owned() + "\n"
        });
        text + &lines.collect::<String>()
    });
}

/// A head that the log signed and that is not of these entries.
fn signed(dir: &Path, change: impl FnOnce(&mut Checkpoint)) {
    let mut head = Checkpoint { origin: ORIGIN.to_owned(), size: 700, root: [7; 32] };
    change(&mut head);
    let mut note = Note::unsigned(head.text());
    note.sign(ORIGIN, &key()).unwrap();
    fs::write(dir.join(CHECKPOINT), note.to_string()).unwrap();
}

fn cut(dir: &Path, name: &str) {
    let bytes = fs::read(dir.join(name)).unwrap();
    fs::write(dir.join(name), &bytes[..bytes.len() - 5]).unwrap();
}

#[test]
fn every_way_to_spoil_a_log_is_refused_with_what_is_wrong_and_where() {
    const TABLE: &[Spoilt] = &[
        (
            "nothing but its own head",
            |dir| fs::remove_dir_all(dir.join("tile")).unwrap(),
            "tile/entries/000 is missing",
        ),
        (
            "half copied: a bundle",
            |dir| fs::remove_file(dir.join("tile/entries/001")).unwrap(),
            "tile/entries/001 is missing",
        ),
        ("half copied: a tile", |dir| fs::remove_file(dir.join("tile/0/001")).unwrap(), "tile/0/001 is missing"),
        ("half copied: no head", |dir| fs::remove_file(dir.join(CHECKPOINT)).unwrap(), "checkpoint is missing"),
        ("an empty head", |dir| fs::write(dir.join(CHECKPOINT), b"").unwrap(), "this is not a signed note"),
        ("a truncated bundle", |dir| cut(dir, "tile/entries/002.p/188"), "tile/entries/002.p/188 is cut off"),
        ("a truncated tile", |dir| cut(dir, "tile/0/000"), "tile/0/000 is cut off"),
        ("a truncated head", |dir| cut(dir, CHECKPOINT), "this is not a signed note"),
        (
            "a directory for a file",
            |dir| {
                fs::remove_file(dir.join("tile/entries/000")).unwrap();
                fs::create_dir(dir.join("tile/entries/000")).unwrap();
            },
            "tile/entries/000",
        ),
        (
            "garbage between the lines of the head",
            |dir| rewrite(&dir.join(CHECKPOINT), |t| t.replace("\n700\n", "\n700\n#\n")),
            "the note is not a checkpoint",
        ),
        (
            "garbage between the signatures",
            |dir| rewrite(&dir.join(CHECKPOINT), |t| t.replace("\n\n", "\n\n?\n")),
            "this is not a signed note",
        ),
        (
            "a control character",
            |dir| rewrite(&dir.join(CHECKPOINT), |t| t.replace("\n700\n", "\n700\r\n")),
            "this is not a signed note",
        ),
        ("sixteen signatures are read, not seventeen", |dir| crowded(dir, 16), "more than 16 signatures"),
        (
            "a head of another origin, signed for it by this key",
            |dir| signed(dir, |head| head.origin = "elsewhere".to_owned()),
            "the checkpoint is of another log",
        ),
        ("another root", |dir| signed(dir, |_| ()), "the 700 entries are not those that were signed"),
        (
            "fewer entries than signed for",
            |dir| signed(dir, |head| head.size = 701),
            "tile/entries/002.p/189 is missing",
        ),
        ("a huge size", |dir| signed(dir, |head| head.size = u64::MAX), "tile/entries/002 is missing"),
        ("no entries at all", |dir| signed(dir, |head| head.size = 0), "the 0 entries are not those that were signed"),
    ];
    for (what, spoil, says) in TABLE {
        let dir = tempfile::tempdir().unwrap();
        export(dir.path(), &commitments(700, 0), 1000);
        assert!(check(dir.path(), None).is_ok());
        spoil(dir.path());
        let fault = check(dir.path(), None).err().unwrap_or_else(|| panic!("{what}: it was taken"));
        assert!(fault.to_string().contains(says), "{what}: {fault}");
    }
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(700, 0), 1000);
    crowded(dir.path(), 15);
    assert!(check(dir.path(), None).is_ok(), "sixteen signatures are no fault");
}
