//! What nodes tell each other about messages and logs: receipts, accounts, proofs, erasures, alarms. From an accredited node
//! that means no good: every signature and commitment is right around whatever it says.
//!
//! Promises: what is taken is within its named limits, opens to what it commits to, and is what was signed.

use std::sync::OnceLock;

use clearhouse_protocol::account;
use clearhouse_protocol::audit::{self, AuditEvent, Happening, commit, origin, record, reveal, unpad};
use clearhouse_protocol::fixture::{Member, NOW, Region};
use clearhouse_protocol::ids::{Digest, MsgId};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::{ACCOUNT_ENTRIES_MAX, OPENING_LEN, PROVED_ENTRIES_MAX};
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{KeyKind, NoteKey};
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::receipt::{self, Statement};
use clearhouse_protocol::rows::EventRow;
use clearhouse_protocol::{alarm, erased, merkle, proofs, signed};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::bytes::Bytes;
use super::{Seed, seed};

fn region() -> &'static Region {
    static REGION: OnceLock<Region> = OnceLock::new();
    REGION.get_or_init(|| Region::new(3, 2))
}

/// The node that tells, and the one that is told.
fn ends() -> (&'static Member, &'static Member) {
    (&region().members[0], &region().members[1])
}

fn log() -> NoteKey {
    NoteKey::new(&log_name(), KeyKind::Log, &ends().0.log().public()).expect("a sound key")
}

fn log_name() -> String {
    let (teller, _) = ends();
    origin(region().net, teller.org, teller.node, 1)
}

fn key() -> VerifyKey {
    VerifyKey::admit(&ends().0.sign.public()).expect("a sound key")
}

fn head(size: u64, root: Hash) -> Vec<u8> {
    let head = Checkpoint { origin: log_name(), size, root };
    head.sign(&ends().0.log()).expect("a sound name").to_string().into_bytes()
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 9 {
        0 => account_of(bytes.rest()),
        1 => account_of(&told(bytes.rest())),
        2 => proofs_of(bytes.rest()),
        3 => proofs_of(&proved(bytes.rest())),
        4 => small(bytes.rest()),
        5 => receipt_of(bytes.rest()),
        6 => stored(bytes.rest()),
        7 => statements(bytes.rest()),
        _ => opening(bytes.rest()),
    }
}

fn account_of(body: &[u8]) {
    let Ok(account) = account::check(body, region().net, &log()) else { return };
    let entries = account.entries();
    assert!((1..=ACCOUNT_ENTRIES_MAX).contains(&entries.len()));
    assert!(account.first() + entries.len() as u64 <= account.head().checkpoint().size);
    for (index, entry) in (account.first()..).zip(entries) {
        let opened = entry.opened.as_ref().map(|(salt, padded)| reveal(&entry.commitment, salt, padded));
        assert!(opened.is_none_or(|said| said.is_some_and(|said| said.index == index)));
    }
}

/// An account with commitments that fit its openings, under a head that covers it.
fn told(bytes: &[u8]) -> Vec<u8> {
    let Ok(mut said) = wire::Account::decode(bytes) else { return bytes.to_vec() };
    said.origin = log_name();
    for (index, entry) in (said.first..).zip(&mut said.entries) {
        let (salt, opening) = fitting(&entry.salt, &entry.opening, index);
        if !opening.is_empty() {
            entry.commitment = commit(&salt, &opening).to_vec();
            (entry.salt, entry.opening) = (salt.to_vec(), opening);
        }
    }
    let size = said.first.saturating_add(said.entries.len() as u64);
    said.head = head(size, [7; 32]);
    said.encode_to_vec()
}

/// A salt of the right length, and an opening that says of itself where it stands, when it is one at all.
fn fitting(salt: &[u8], opening: &[u8], index: u64) -> ([u8; 32], Vec<u8>) {
    let salt = salt.try_into().unwrap_or([4; 32]);
    let Some(mut said) = unpad(opening) else { return (salt, opening.to_vec()) };
    (said.index, said.net, said.origin) = (index, region().net.to_vec(), log_name());
    (salt, padded(&said))
}

fn padded(opening: &wire::Opening) -> Vec<u8> {
    let said = opening.encode_to_vec();
    let mut padded = [&(said.len() as u16).to_be_bytes()[..], &said].concat();
    padded.resize(OPENING_LEN.max(padded.len()), 0);
    padded
}

fn proofs_of(body: &[u8]) {
    let (_, me) = ends();
    let Ok((head, proved)) = proofs::check(body, region().net, &log(), me.node) else { return };
    assert!((1..=PROVED_ENTRIES_MAX).contains(&proved.len()));
    for one in &proved {
        assert!(one.opening().peer_node == me.node.0 && one.opening().index < head.checkpoint().size);
        let evidence = clearhouse_protocol::log::proof::Proof::parse(one.evidence().as_bytes());
        let (salt, padded) =
            evidence.as_ref().ok().and_then(|proof| proof.extra.split_first_chunk()).expect("evidence");
        let leaf = clearhouse_protocol::log::leaf_data(&commit(salt, padded));
        assert!(
            evidence.as_ref().is_ok_and(|proof| proof.check(&leaf, &log()).is_ok()),
            "evidence does not stand alone"
        );
    }
}

/// Proofs of a tree that has the entries.
fn proved(bytes: &[u8]) -> Vec<u8> {
    let Ok(mut said) = wire::Proofs::decode(bytes) else { return bytes.to_vec() };
    said.entries.truncate(PROVED_ENTRIES_MAX + 1);
    for (index, entry) in (0..).zip(&mut said.entries) {
        let (salt, opening) = fitting(&entry.salt, &entry.opening, index);
        (entry.index, entry.salt, entry.opening) = (index, salt.to_vec(), opening);
    }
    let commitment = |e: &wire::ProvedEntry| commit(&e.salt.as_slice().try_into().unwrap_or([0; 32]), &e.opening);
    let leaves: Vec<Hash> = said.entries.iter().map(|entry| leaf_hash(&commitment(entry))).collect();
    for (index, entry) in said.entries.iter_mut().enumerate() {
        if entry.path.is_empty() {
            entry.path = merkle::path(&leaves, index).concat();
        }
    }
    said.head = head(leaves.len() as u64, merkle::root(&leaves));
    said.encode_to_vec()
}

fn small(body: &[u8]) {
    assert!(erased::check(body).is_none_or(|read| erased::compose(&read) == body), "an erasure is written otherwise");
    assert!(alarm::check(body).is_none_or(|read| alarm::compose(&read) == body), "an alarm is written otherwise");
}

/// A receipt whose signature holds.
fn receipt_of(payload: &[u8]) {
    let (teller, _) = ends();
    let mut payload = payload.to_vec();
    if let Ok(mut said) = wire::Receipt::decode(payload.as_slice()) {
        said.net = region().net.to_vec();
        (said.holder_org, said.holder_node) = (teller.org.to_vec(), teller.node.to_vec());
        payload = said.encode_to_vec();
    }
    let receipt = signed::sign(media::RECEIPT, payload.clone(), &teller.sign);
    let Ok(read) = receipt::check(&receipt, region().net, (teller.org, teller.node), &key()) else { return };
    assert!(read.raw() == &receipt && read.value().encode_to_vec() == payload);
    assert!(unpad(&read.value().opening).is_some_and(|said| said.envelope_digest == read.value().envelope_digest));
}

fn stored(bytes: &[u8]) {
    let (teller, _) = ends();
    let Ok(mut receipt) = wire::StorageReceipt::decode(bytes) else { return };
    if let Some(head) = &mut receipt.head
        && let Ok(mut said) = wire::StorageHead::decode(head.payload.as_slice())
    {
        (said.net, said.node) = (region().net.to_vec(), teller.node.to_vec());
        *head = signed::sign(media::STORAGE, said.encode_to_vec(), &teller.sign);
    }
    let check = |digest| receipt::check_storage(&receipt, region().net, teller.node, digest, &key()).is_ok();
    assert!(!(check(Digest([1; 32])) && check(Digest([2; 32]))), "one receipt is for two envelopes");
}

fn statements(payload: &[u8]) {
    let (teller, _) = ends();
    let digest = Digest([4; 32]);
    let signed = |media: &str| signed::sign(media, payload.to_vec(), &teller.sign);
    let opened = receipt::check_not_opened(&signed(media::NOT_OPENED), region().net, teller.node, digest, &key());
    let fetched = receipt::check_expired(&signed(media::EXPIRED), region().net, teller.node, digest, &key());
    assert!((opened.is_err() && fetched.is_err()) || payload.windows(32).any(|part| part == digest.0));
}

fn opening(bytes: &[u8]) {
    let Some(said) = unpad(bytes) else { return };
    assert!(padded(&said) == bytes, "an opening that was read is written otherwise");
    let _ = (audit::erasure_is_sound(&said), proofs::concerns(&said));
}

fn rows() -> Vec<EventRow> {
    let (_, me) = ends();
    let mut rng = rand_core::SeedableRng::seed_from_u64(1);
    let rng: &mut rand_chacha::ChaCha20Rng = &mut rng;
    let told = [AuditEvent::Sent, AuditEvent::AuditReceived, AuditEvent::AuditOpened];
    let of = |(index, event): (u64, AuditEvent)| {
        let happening = Happening::of(event).with(me.org, me.node).about(Digest([4; 32]), 2);
        record(&happening, region().net, &log_name(), index, NOW, rng)
    };
    (0..).zip(told).map(of).collect()
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let (teller, _) = ends();
    let (rows, digest) = (rows(), Digest([4; 32]));
    let shown: Vec<_> = rows.iter().cloned().map(account::Shown::Open).collect();
    let leaves: Vec<Hash> = rows.iter().map(|row| leaf_hash(&row.commitment)).collect();
    let head = String::from_utf8(head(3, merkle::root(&leaves))).expect("a text");
    let account = account::compose(&log_name(), 0, &shown, &head);
    let closed = account::compose(&log_name(), 1, &[account::Shown::Closed([3; 32])], &head);
    let entries: Vec<_> =
        rows.iter().enumerate().map(|(index, row)| (row.clone(), merkle::path(&leaves, index))).collect();
    let proofs = proofs::compose(&head, &entries);
    let statement = Statement {
        digest,
        msg_id: MsgId([1; 16]),
        stage: wire::Stage::Received,
        refusal: wire::RefusalCode::Unspecified,
        holder: (teller.org, teller.node),
        actor_label: "Ana P.",
        event: &rows[1],
    };
    let receipt = receipt::issue(region().net, &statement, NOW, &teller.sign);
    let digests = [Digest([1; 32]), Digest([2; 32]), Digest([3; 32])];
    let stored = receipt::storage_batch(region().net, teller.node, &digests, NOW, &teller.sign);
    let erased = erased::compose(&erased::Erased { digests: digests.to_vec(), rule: "PersonAsked".to_owned() });
    let said = alarm::Alarm { kind: alarm::AlarmKind::OverdueArrival, digest, since: NOW, ended: false };
    let word = receipt::not_opened(region().net, teller.node, digest, NOW, &teller.sign);
    vec![
        seed("account", 0, &account),
        seed("account-cut", 0, &account[..account.len() - 1]),
        seed("account-told", 1, &account),
        seed("account-closed", 1, &closed),
        seed("proofs", 2, &proofs),
        seed("proofs-proved", 3, &proofs),
        seed("erased", 4, &erased),
        seed("alarm", 4, &alarm::compose(&said)),
        seed("receipt", 5, &receipt.payload),
        seed("stored", 6, &stored[1].encode_to_vec()),
        seed("not-opened", 7, &word.payload),
        seed("opening", 8, &rows[0].opening),
        seed("opening-padded", 8, &[&rows[0].opening[..OPENING_LEN - 1], &[1]].concat()),
    ]
}
