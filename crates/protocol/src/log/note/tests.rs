//! Notes as others write them, and as nobody may.

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn known(name: &str, kind: KeyKind, seed: u8) -> NoteKey {
    NoteKey::new(name, kind, &key(seed).public()).unwrap()
}

const TEXT: &str = "example.org/log\n7\nqINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n";

fn signed() -> Note {
    let mut note = Note::unsigned(TEXT.to_owned());
    note.sign("example.org/log", &key(1)).unwrap();
    note.cosign("witness.example", &key(2), 1_794_657_600).unwrap();
    note
}

#[test]
fn the_note_of_the_specifications_own_example_verifies() {
    // golang.org/x/mod/sumdb/note: the key and the note of its package documentation.
    let key = NoteKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let note = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n\n\
                \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(note.as_bytes()).unwrap();
    assert_eq!(note.signed_by(&key), Ok(Some(Signed(None))));
}

#[test]
fn a_note_reads_back_and_its_signers_are_found() {
    let text = signed().to_string();
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!((note.text(), note.to_string()), (TEXT, text));
    assert_eq!(note.signed_by(&known("example.org/log", KeyKind::Log, 1)).unwrap().unwrap().at(), None);
    let witness = note.signed_by(&known("witness.example", KeyKind::Witness, 2)).unwrap().unwrap();
    assert_eq!(witness.at(), Some(1_794_657_600));
    // The same key under another name or kind is another key.
    assert_eq!(note.signed_by(&known("example.org/log2", KeyKind::Log, 1)), Ok(None));
    assert_eq!(note.signed_by(&known("example.org/log", KeyKind::Witness, 1)), Ok(None));
}

#[test]
fn one_changed_byte_anywhere_spoils_the_note_or_a_signature() {
    let whole = signed().to_string().into_bytes();
    let keys = [known("example.org/log", KeyKind::Log, 1), known("witness.example", KeyKind::Witness, 2)];
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let Ok(note) = Note::parse(&bytes) else { continue };
        let both = keys.iter().all(|key| matches!(note.signed_by(key), Ok(Some(_))));
        assert!(!both, "byte {at}");
    }
}

#[test]
fn what_is_no_note_is_refused() {
    let good = signed().to_string();
    let wrong = [
        String::new(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        good.replace('\n', "\r\n"),
        good.replace("example.org/log\n7", "example.org/log\u{7}\n7"),
        good.replace(BULLET, "- "),
        good.replace("witness.example ", "witness.example  "),
        good.replace("witness.example ", "witness+example "),
        format!("{good}garbage\n"),
        format!("{TEXT}\n{BULLET}witness.example AAAA\n"),
        "x".repeat(NOTE_MAX) + &good,
    ];
    for text in wrong {
        assert_eq!(Note::parse(text.as_bytes()).err(), Some(NoteFault::Malformed), "{text:?}");
    }
    assert!(Note::parse(&[0xFF, b'\n', b'\n']).is_err());
}

#[test]
fn seventeen_signatures_are_refused_and_sixteen_are_not() {
    let mut note = Note::unsigned(TEXT.to_owned());
    for n in 0..16 {
        note.cosign(&format!("w{n}"), &key(n), 9).unwrap();
    }
    assert_eq!(note.cosign("w16", &key(16), 9), Err(NoteFault::TooManySignatures));
    let text = note.to_string();
    assert!(Note::parse(text.as_bytes()).is_ok());
    let last = text.lines().last().unwrap();
    let more = format!("{text}{}\n", last.replace("w15", "w99"));
    assert_eq!(Note::parse(more.as_bytes()).err(), Some(NoteFault::TooManySignatures));
}

#[test]
fn who_signs_again_is_there_once_and_takes_no_other_line_away() {
    let mut note = signed();
    // Another key under the name of the log, and the witness's own key under another name.
    note.sign("example.org/log", &key(3)).unwrap();
    note.cosign("other.example", &key(2), 9).unwrap();
    note.cosign("witness.example", &key(2), 10).unwrap();
    let at = |name, kind, seed| note.signed_by(&known(name, kind, seed)).unwrap().map(|signed| signed.at());
    assert_eq!(note.to_string().matches(BULLET).count(), 4);
    assert_eq!(at("witness.example", KeyKind::Witness, 2), Some(Some(10)), "the newest");
    assert_eq!(at("other.example", KeyKind::Witness, 2), Some(Some(9)));
    assert_eq!([1, 3].map(|seed| at("example.org/log", KeyKind::Log, seed)), [Some(None); 2]);
    let mut gathered = Note::unsigned(TEXT.to_owned());
    gathered.sign("example.org/log", &key(1)).unwrap();
    assert_eq!(gathered.gather(&note), 3, "of one name with another key, too");
    // One line alone, of that name and that key.
    let only = note.only(&known("example.org/log", KeyKind::Log, 3));
    assert_eq!(only.signed_by(&known("example.org/log", KeyKind::Log, 3)), Ok(Some(Signed(None))));
    assert_eq!(only.to_string().matches(BULLET).count(), 1);
    assert_eq!(note.only(&known("nobody", KeyKind::Log, 3)).to_string().matches(BULLET).count(), 0);
}

#[test]
fn a_note_as_long_as_may_be_is_read_and_takes_no_more_lines_than_are_read() {
    let good = signed().to_string();
    let padded = "x".repeat(NOTE_MAX - good.len()) + &good;
    assert!(Note::parse(padded.as_bytes()).is_ok());
    assert_eq!(Note::parse(format!("x{padded}").as_bytes()).err(), Some(NoteFault::Malformed));
    let (mut first, mut second) = (Note::unsigned(TEXT.to_owned()), Note::unsigned(TEXT.to_owned()));
    (0..10).for_each(|n| first.cosign(&format!("w{n}"), &key(n), 9).unwrap());
    (6..16).for_each(|n| second.cosign(&format!("w{n}"), &key(n), 9).unwrap());
    second.cosign("w99", &key(99), 9).unwrap();
    assert_eq!(first.gather(&second), SIGNATURES_MAX - 10);
    assert!(Note::parse(first.to_string().as_bytes()).is_ok());
    // As many as there may be, and one of them again.
    assert!(first.cosign("w3", &key(3), 10).is_ok());
    assert!(NoteKey::new(&"x".repeat(NAME_MAX), KeyKind::Log, &key(1).public()).is_ok());
}

#[test]
fn a_key_reads_back_and_a_wrong_one_is_refused() {
    let key = known("example.org/log", KeyKind::Log, 1);
    assert!(NoteKey::parse(&key.to_string()) == Ok(key.clone()));
    let text = key.to_string();
    let id = crate::ids::hex(&key.id());
    for wrong in
        [text.replace(&id, "00000000"), text.replace("example", "sample"), text[..60].to_owned(), String::new()]
    {
        assert_eq!(NoteKey::parse(&wrong).err(), Some(NoteFault::BadKey), "{wrong}");
    }
    for name in ["", "a b", "a+b", "a\tb", "a\u{a0}b", &"x".repeat(NAME_MAX + 1)] {
        assert!(NoteKey::new(name, KeyKind::Log, &self::key(1).public()).is_err(), "{name:?}");
    }
    assert_eq!(NoteKey::new("weak", KeyKind::Log, &[0; 32]).err(), Some(NoteFault::BadKey));
}

#[test]
fn signatures_are_gathered_only_for_the_same_text() {
    let mut note = Note::unsigned(TEXT.to_owned());
    note.sign("example.org/log", &key(1)).unwrap();
    let mut other = Note::unsigned(TEXT.replace('7', "8"));
    other.cosign("witness.example", &key(2), 9).unwrap();
    assert_eq!(note.gather(&other), 0);
    assert_eq!(note.gather(&signed()), 1);
    assert_eq!(note.gather(&signed()), 0);
    assert!(note == signed());
}
