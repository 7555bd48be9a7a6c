//! The texts of logs: notes, checkpoints, keys, policies, proofs, requests to witnesses, proofs of two histories.
//!
//! Promises: each text is read in one writing only, so what was read is written again byte for byte; what a witness
//! decides never goes back; a proof of two histories needs two heads that its log signed.

use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::equivocation::Equivocation;
use clearhouse_protocol::log::note::{KeyKind, Note, NoteKey};
use clearhouse_protocol::log::policy::Policy;
use clearhouse_protocol::log::proof::{PROOF_HASHES_MAX, Proof};
use clearhouse_protocol::log::witness::{Held, Request, decide};
use clearhouse_protocol::log::{leaf_data, tree};
use clearhouse_protocol::merkle;

use super::bytes::Bytes;
use super::{Seed, seed};

const ORIGIN: &str = "example.org/log";

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn log() -> NoteKey {
    NoteKey::new(ORIGIN, KeyKind::Log, &key().public()).expect("a sound key")
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 9 {
        0 => note(bytes.rest()),
        1 => again(bytes.rest(), |text| Checkpoint::parse(text).ok().map(|head| head.text())),
        2 => again(bytes.rest(), |text| NoteKey::parse(text).ok().map(|key| key.to_string())),
        3 => policy(bytes.rest()),
        4 => proof(bytes.rest()),
        5 => request(bytes.rest()),
        6 => equivocation(bytes.rest()),
        7 => signed(bytes.rest()),
        _ => asked(&mut bytes),
    }
}

fn again(bytes: &[u8], read: impl Fn(&str) -> Option<String>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(read(text).is_none_or(|written| written == text), "a text that was read is written otherwise");
}

fn note(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    assert!(note.to_string().as_bytes() == bytes, "a note that was read is written otherwise");
    let signed = note.signed_by(&log());
    assert!(SignedCheckpoint::of(note.clone(), &log()).is_err() || signed.is_ok_and(|by| by.is_some()));
    let mut twice = note.clone();
    assert_eq!(twice.gather(&note), 0, "a note gives itself a signature more");
}

fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse(text) else { return };
    let all = (0..policy.witnesses.len()).collect();
    // Whatever is asked for, nobody is not enough of it, and everybody is.
    assert!(policy.quorum.is_none_or(|rule| rule.holds(&all) && !rule.holds(&Default::default())));
}

fn proof(bytes: &[u8]) {
    let Ok(proof) = Proof::parse(bytes) else { return };
    assert!(proof.to_string().as_bytes() == bytes, "a proof that was read is written otherwise");
    assert!(proof.path.len() <= PROOF_HASHES_MAX);
    let leaf = leaf_data(&[4; 32]);
    let _ = proof.check(&leaf, &log());
}

fn request(bytes: &[u8]) {
    let Ok(request) = Request::parse(bytes) else { return };
    assert!(request.to_string().as_bytes() == bytes, "a request that was read is written otherwise");
    let _ = decide(&request, &log(), &Held::default());
}

fn equivocation(bytes: &[u8]) {
    let Ok(proof) = Equivocation::parse(bytes) else { return };
    assert!(proof.to_string().as_bytes() == bytes, "a proof that was read is written otherwise");
    if let Ok((smaller, larger)) = proof.check(&log()) {
        assert!(smaller.size <= larger.size && (smaller.size, smaller.root) != (larger.size, larger.root));
    }
}

/// A text that the log's key signed, whatever it says.
fn signed(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut note = Note::unsigned(format!("{text}\n"));
    note.sign(ORIGIN, &key()).expect("a sound name");
    let Ok(head) = SignedCheckpoint::of(note.clone(), &log()) else { return };
    assert!(head.checkpoint().text() == note.text() && head.checkpoint().origin == ORIGIN);
    let read = Note::parse(note.to_string().as_bytes()).expect("it was written by us");
    assert!(read == note, "a checkpoint is read otherwise than it was written");
}

/// A log that asks a witness, with heads that it signed and hashes of its own choice.
fn asked(bytes: &mut Bytes<'_>) {
    let leaves: Vec<_> = (0..bytes.u8() % 40).map(|n| merkle::leaf(&[n])).collect();
    let (had, old) = (bytes.below(leaves.len() + 1), u64::from(bytes.u8()));
    let root = if bytes.u8().is_multiple_of(4) { [bytes.u8(); 32] } else { merkle::root(&leaves) };
    let size = if bytes.u8().is_multiple_of(4) { bytes.u64() } else { leaves.len() as u64 };
    let held = Held { size: had as u64, root: merkle::root(&leaves[..had]) };
    let whole = leaves.len() as u64;
    let Ok(mut path) = tree::consistency(&tree::Levels::over(leaves), had as u64, whole);
    path.extend(bytes.rest().as_chunks::<32>().0.iter().take(PROOF_HASHES_MAX));
    let head = Checkpoint { origin: ORIGIN.to_owned(), size, root };
    let request = Request { old, path, note: head.sign(&key()).expect("a sound name") };
    if let Ok(cosigning) = decide(&request, &log(), &held) {
        assert!(cosigning.held().size >= held.size, "a witness goes back");
        assert!(cosigning.held().size > held.size || cosigning.held().root == held.root, "a witness forgets");
    }
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let leaves: Vec<_> = (0..7u8).map(|n| merkle::leaf(&leaf_data(&[n; 32]))).collect();
    let head =
        |size: usize| Checkpoint { origin: ORIGIN.to_owned(), size: size as u64, root: merkle::root(&leaves[..size]) };
    let mut note = head(7).sign(&key()).expect("a sound name");
    let witness = SigningKey::from_seed(&[2; 32]);
    note.cosign("witness", &witness, 1_800_000_000).expect("a sound name");
    let proof = Proof { extra: b"salt".to_vec(), index: 4, path: merkle::path(&leaves, 4), note: note.clone() };
    let levels = tree::Levels::over(leaves.clone());
    let Ok(path) = tree::consistency(&levels, 3, 7);
    let request = Request { old: 3, path, note: note.clone() };
    let other = Checkpoint { root: [9; 32], ..head(7) }.sign(&key()).expect("a sound name");
    let opened = |note: Note| SignedCheckpoint::of(note, &log()).expect("our own");
    let two = Equivocation::of(&opened(note.clone()), &opened(other), &[], &log()).expect("two histories");
    let witness = NoteKey::new("witness", KeyKind::Witness, &witness.public()).expect("a sound key");
    let policy = format!("log {}\nwitness w {witness}\ngroup g all w\nquorum g\n", log());
    let text = note.to_string();
    vec![
        seed("note", 0, text.as_bytes()),
        seed("note-cut", 0, &text.as_bytes()[..text.len() - 1]),
        seed("checkpoint", 1, head(7).text().as_bytes()),
        seed("checkpoint-zero", 1, head(0).text().as_bytes()),
        seed("key", 2, witness.to_string().as_bytes()),
        seed("policy", 3, policy.as_bytes()),
        seed("policy-none", 3, b"quorum none\n"),
        seed("proof", 4, proof.to_string().as_bytes()),
        seed("proof-zero", 4, proof.to_string().replace("index 4", "index 04").as_bytes()),
        seed("request-zero", 5, request.to_string().replace("old 3", "old 03").as_bytes()),
        seed("request", 5, request.to_string().as_bytes()),
        seed("equivocation", 6, two.to_string().as_bytes()),
        seed("signed", 7, head(7).text().trim_end().as_bytes()),
        seed("asked", 8, &[7, 3, 3, 1, 1]),
    ]
}
