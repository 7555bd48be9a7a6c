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
    verify(dir, None, Some(known()), older, 0)
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
            assert_eq!((whole.checkpoint.size, whole.since), (n, Some(n / 2)));
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
    let larger = head(&commitments(101, 0)).to_string();
    assert!(matches!(check(dir.path(), Some(larger.as_bytes())), Err(FolderFault::Older)));
}

#[test]
fn a_checkpoint_by_another_key_of_another_log_or_with_a_changed_size_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    export(dir.path(), &commitments(10, 0), 1000);
    let stranger = NoteKey::new(ORIGIN, KeyKind::Log, &SigningKey::from_seed(&[2; 32]).public()).unwrap();
    let fault = verify(dir.path(), None, Some(stranger), None, 0).err().unwrap();
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
    assert_eq!(verify(dir.path(), None, None, None, 0).ok().unwrap().vouched, Vouched::Folder);
}

#[test]
fn a_folder_with_something_in_it_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), b"y").unwrap();
    assert!(matches!(Export::new(dir.path()), Err(FolderFault::Broken(_))));
}
