//! What holds keys, and what brings them back: the key file, the file of heads, backups and their keys, verifiers of pass
//! phrases, recovery sheets as somebody typed them.
//!
//! Promises: what is read was written so; no cost that a file asks for is above the limit; a sheet with a wrong word opens
//! nothing.

use std::fs;
use std::path::Path;

use clearhouse_protocol::recovery::{RecoverySecret, Sheet, join};
use clearhouse_store::backup::records::{self, ID_LEN, Writer};
use clearhouse_store::keyfile::Verifier;
use clearhouse_store::probe;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::bytes::Bytes;
use super::{Seed, seed};

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder for one file");
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 8 {
        0 => {
            let _ = probe::key_file(bytes.rest());
        }
        1 => {
            let _ = probe::key_file(&probe::key_file_of(bytes.rest()));
        }
        2 => {
            let _ = probe::heads(bytes.rest());
        }
        3 => {
            let _ = probe::heads(&probe::heads_of(bytes.rest()));
        }
        4 => {
            let _ = probe::backup_keys(bytes.rest());
        }
        5 => {
            let rest = bytes.rest();
            let verifier = Verifier::from_bytes(rest);
            assert!(verifier.is_ok_and(|verifier| verifier.to_bytes() == rest) || Verifier::from_bytes(rest).is_err());
        }
        6 => sheet(bytes.rest()),
        _ => FOLDER.with(|folder| backup(folder.path(), bytes.rest())),
    }
}

fn sheets() -> [Sheet; 3] {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    RecoverySecret::generate(&mut rng).sheets(&mut rng).expect("a fresh secret is shared")
}

fn sheet(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(typed) = Sheet::read(text) else { return };
    let again = Sheet::read(&typed.text(&[])).expect("a sheet that was read is printed again");
    assert!(again.number() == typed.number() && again.key() == typed.key() && *again.text(&[]) == *typed.text(&[]));
    // Check words find slips of the hand; whether two sheets belong together, the key itself says.
    let [_, second, third] = sheets();
    let other = if typed.number() == second.number() { third } else { second };
    let is_ours = sheets().iter().any(|sheet| *sheet.text(&[]) == *typed.text(&[]));
    assert_eq!(join(&[typed, other]).is_ok(), is_ours, "two sheets that do not belong together open something");
}

fn backup(folder: &Path, bytes: &[u8]) {
    let (file, into) = (folder.join("records"), folder.join("into"));
    fs::write(&file, bytes).expect("room for a small file");
    let read = records::read(&file, None);
    if let Ok((_, written)) = &read {
        assert_eq!(written.bytes, bytes.len() as u64);
    }
    let _ = fs::remove_dir_all(&into);
    fs::create_dir(&into).expect("room for a folder");
    // What is written is written below the folder and nowhere else; the names are the file's.
    let taken = records::read(&file, Some(&into));
    assert_eq!(taken.is_err(), read.is_err() || taken.is_err());
    let left: Vec<_> = fs::read_dir(folder).expect("our own folder").filter_map(Result::ok).collect();
    assert_eq!(left.len(), 2, "a part was put back beside the folder");
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let folder = tempfile::tempdir().expect("a folder for one file");
    let file = folder.path().join("backup");
    let mut writer = Writer::begin(&file, [1; ID_LEN]).expect("a new file");
    writer.part("keys/one", 3, &mut &b"abc"[..]).expect("a part");
    writer.part("two.bin", 0, &mut &b""[..]).expect("a part");
    writer.finish().expect("an end");
    let backup = fs::read(&file).expect("it was just written");
    // Network, node and no slots: fields 1 and 2 of the body, and the number of the next slot.
    let body = [&[0x0a, 32][..], &[7; 32], &[0x12, 16], &[9; 16]].concat();
    let heads = [&b"clearhouse heads\n"[..], &[0, 0, 0, 1], &[0; 16], &[0, 0, 0, 2], b"hd"].concat();
    let [one, ..] = sheets();
    let text = one.text(&[("Organisation", "Nobody".to_owned())]);
    let keys = [&b"clearhouse backup keys\n"[..], &[0, 0, 0, 1], &[0, 0, 0, 2, 8, 1, 0, 0, 0, 1, 5], &[0; 32]].concat();
    let verifier = [&[1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1][..], &[4; 48]].concat();
    vec![
        seed("key-file", 0, &probe::key_file_of(&body)),
        seed("key-file-cut", 0, &probe::key_file_of(&body)[..60]),
        seed("key-file-body", 1, &body),
        seed("heads", 2, &probe::heads_of(&heads)),
        seed("heads-content", 3, &heads),
        seed("backup-keys", 4, &keys),
        seed("verifier", 5, &verifier),
        seed("sheet", 6, text.as_bytes()),
        seed("sheet-cut", 6, &text.as_bytes()[..text.len() / 2]),
        seed("backup", 7, &backup),
        seed("backup-cut", 7, &backup[..backup.len() - 1]),
        seed("backup-longer", 7, &[&backup[..], &[0]].concat()),
    ]
}
