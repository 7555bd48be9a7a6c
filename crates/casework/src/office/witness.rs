//! The office as a witness of other nodes' logs: what it cosigned of each, whether a new head follows from that, and
//! which logs were found to have shown two histories.
//!
//! A cosignature leaves no entry in the office's own log: two nodes that cosign each other would never come to rest. A
//! proof against a log is an entry, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::ids::{MsgId, NodeId};
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::equivocation::{Equivocation, EquivocationFault};
use clearhouse_protocol::log::note::{Note, NoteFault, NoteKey};
use clearhouse_protocol::log::witness::{Cosigning, Held, Request, WitnessFault, decide};
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_wire::v1::MessageType;
use rand_core::CryptoRng;

use super::{Effect, Now, Office, Step};

/// The key of a row that holds a proof: this and SHA-256 of the log's origin. The rows of heads have the bare hash.
const PROOF: u8 = b'E';

/// Why an attempt to carry a message was not made, as the outbox row says it; the courier has the other numbers.
pub const FAULT_SUSPENDED: u32 = 9;

/// What is remembered of one log.
#[derive(Clone)]
enum Kept {
    /// The largest head cosigned, and the note in which the log signed it; rows of before the notes were kept have none.
    Head(Held, Option<Note>),
    /// A row of a later version. It says that there is something, and that nothing may be cosigned on top of it.
    Unreadable,
}

/// A log that showed two histories.
#[derive(Clone)]
struct Found {
    node: NodeId,
    proof: String,
}

/// What this office knows of others' logs, by SHA-256 of the origin.
#[derive(Default)]
pub(super) struct Witnessed {
    heads: BTreeMap<[u8; 32], Kept>,
    found: BTreeMap<[u8; 32], Found>,
}

impl Witnessed {
    fn apply(&mut self, row: &Row) {
        match (row.key.as_slice(), row.value.as_deref()) {
            ([PROOF, log @ ..], Some(value)) => {
                let found = <[u8; 32]>::try_from(log).ok().zip(read_found(value));
                self.found.extend(found);
            }
            (key, value) => {
                let Ok(log) = <[u8; 32]>::try_from(key) else { return };
                match value {
                    Some(value) => drop(self.heads.insert(log, read(value))),
                    None => drop(self.heads.remove(&log)),
                }
            }
        }
    }
}

impl Office {
    pub(super) fn apply_witness(&mut self, row: &Row) {
        self.witnessed.apply(row);
        if row.key.first() == Some(&PROOF) && row.key.len() > 32 {
            let directory = Arc::make_mut(&mut self.directory);
            self.witnessed.found.values().for_each(|found| directory.suspend(found.node));
        }
    }

    /// Decides on a node's request to cosign a head of its own log, or of its directory log if it keeps one. What comes back may be signed once the step is
    /// durable. When the request shows that the log has two histories, the step keeps the proof.
    pub fn cosign<R: CryptoRng>(
        &self,
        from: NodeId,
        request: &Request,
        now: &mut Now<'_, R>,
    ) -> (Step, Result<Cosigning, WitnessFault>) {
        let mut step = Step::default();
        let Some(log) = self.log_asked_for(from, request) else {
            return (step, Err(NoteFault::NotSigned.into()));
        };
        let key = sha256(log.name().as_bytes());
        let (held, signed) = match self.witnessed.heads.get(&key) {
            Some(Kept::Head(held, note)) => (held.clone(), note.as_ref()),
            Some(Kept::Unreadable) => return (step, Err(WitnessFault::Unreadable)),
            None => (Held::default(), None),
        };
        let decided = decide(request, &log, &held);
        match &decided {
            Ok(cosigning) if *cosigning.held() != held || (signed.is_none() && held.size > 0) => {
                step.rows.push(row(key.to_vec(), write(cosigning.held(), cosigning.signed())));
            }
            Err(fault) if fault.is_proof() => {
                if let Some(proof) = signed.and_then(|signed| proof_of(signed, request, &log)) {
                    self.keep_proof(from, &key, &proof, &mut step, now);
                }
            }
            Ok(_) | Err(_) => {}
        }
        (step, decided)
    }

    /// The key of the log whose head a node asks to cosign: its directory log's when the head is named so.
    #[must_use]
    pub fn log_asked_for(&self, from: NodeId, request: &Request) -> Option<NoteKey> {
        let named = |log: &NoteKey| Checkpoint::parse(request.note.text()).is_ok_and(|head| head.origin == log.name());
        self.directory.directory_log(from).filter(named).or_else(|| self.directory.log_key(from))
    }

    /// Decides on a proof, from a peer or a file, that some log showed two histories. Returns whose log it is. A proof
    /// against a log that is known for it already changes nothing.
    ///
    /// # Errors
    /// [`EquivocationFault`]: then nothing is shown about anybody, least of all about whom the bytes name.
    pub fn take_equivocation<R: CryptoRng>(
        &self,
        proof: &[u8],
        now: &mut Now<'_, R>,
    ) -> (Step, Result<NodeId, EquivocationFault>) {
        let mut step = Step::default();
        let checked = Equivocation::parse(proof).and_then(|proof| {
            let named = proof.origin().and_then(|origin| self.directory.log_named(&origin));
            // A log that no record here knows is nobody's.
            let (node, log) = named.ok_or(EquivocationFault::Head(NoteFault::OtherOrigin))?;
            proof.check(&log)?;
            Ok((node, proof, log))
        });
        let taken = checked.map(|(node, proof, log)| {
            self.keep_proof(node, &sha256(log.name().as_bytes()), &proof, &mut step, now);
            node
        });
        (step, taken)
    }

    /// The largest head of a log that was cosigned here, as the log signed it: what a head that comes another way, in a
    /// receipt or from another holder, is held against.
    #[must_use]
    pub fn head_held(&self, log: &NoteKey) -> Option<SignedCheckpoint> {
        match self.witnessed.heads.get(&sha256(log.name().as_bytes()))? {
            Kept::Head(_, note) => SignedCheckpoint::of(note.clone()?, log).ok(),
            Kept::Unreadable => None,
        }
    }

    /// The logs that are proved to have shown two histories: whose, and the proof as it can be given to anybody.
    pub fn equivocations(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.witnessed.found.values().map(|found| (found.node, found.proof.as_str()))
    }

    /// Whether a message must not go to a node because its log showed two histories: one that tells it something new
    /// about a person. What serves somebody already on her way goes, and so does her own word: not to send it would be
    /// the greater harm.
    pub(super) fn is_withheld(&self, node: NodeId, msg_type: u32) -> bool {
        self.directory.is_suspended(node) && is_disclosure(msg_type)
    }

    /// Whether a message in the outbox waits because its receiver was suspended since it was queued. It stays there, in
    /// sight and to be recalled, until it expires.
    pub(super) fn waits_for_suspended(&self, msg_id: MsgId) -> bool {
        self.mail.outgoing(msg_id).is_some_and(|out| {
            out.peer_node.as_slice().try_into().is_ok_and(|node| self.is_withheld(node, out.msg_type))
        })
    }

    pub(super) fn keep_proof<R: CryptoRng>(
        &self,
        node: NodeId,
        log: &[u8; 32],
        proof: &Equivocation,
        step: &mut Step,
        now: &mut Now<'_, R>,
    ) {
        if self.witnessed.found.contains_key(log) {
            return;
        }
        let value = [node.as_bytes(), proof.to_string().as_bytes()].concat();
        step.rows.push(row([&[PROOF], log.as_slice()].concat(), value));
        let mut happening = Happening::of(AuditEvent::EquivocationFound);
        happening.peer = self.directory.org_of(node).map(|org| (org, node));
        self.record(step, &happening, now);
        step.effects.push(Effect::DirectoryChanged);
    }
}

/// Whether a message tells its receiver something new about a person.
pub(super) fn is_disclosure(msg_type: u32) -> bool {
    [MessageType::ReturnNotice, MessageType::VictimProfile].map(|kind| kind as u32).contains(&msg_type)
}

/// The proof out of the head that was cosigned and the request that does not continue it.
fn proof_of(signed: &Note, request: &Request, log: &NoteKey) -> Option<Equivocation> {
    let held = SignedCheckpoint::of(signed.clone(), log).ok()?;
    let shown = SignedCheckpoint::of(request.note.clone(), log).ok()?;
    let path: &[_] = if held.checkpoint().size == shown.checkpoint().size { &[] } else { &request.path };
    Equivocation::of(&held, &shown, path, log).ok()
}

fn row(key: Vec<u8>, value: Vec<u8>) -> Row {
    Row { table: Table::Witness, key, value: Some(value), under: Under::Service, must_be_new: false }
}

/// Size, big-endian, root, and the note.
fn write(held: &Held, signed: &Note) -> Vec<u8> {
    [held.size.to_be_bytes().as_slice(), &held.root, signed.to_string().as_bytes()].concat()
}

/// Reads also what was written before notes were kept: size and root alone.
fn read(bytes: &[u8]) -> Kept {
    let parts = bytes.split_first_chunk::<8>().and_then(|(size, rest)| Some((size, rest.split_first_chunk::<32>()?)));
    let Some((size, (root, note))) = parts else { return Kept::Unreadable };
    let held = Held { size: u64::from_be_bytes(*size), root: *root };
    if note.is_empty() {
        return Kept::Head(held, None);
    }
    let Ok(note) = Note::parse(note) else { return Kept::Unreadable };
    let fits = Checkpoint::parse(note.text()).is_ok_and(|head| head.size == held.size && head.root == held.root);
    if fits { Kept::Head(held, Some(note)) } else { Kept::Unreadable }
}

fn read_found(bytes: &[u8]) -> Option<Found> {
    let (node, proof) = bytes.split_first_chunk::<16>()?;
    Some(Found { node: NodeId(*node), proof: String::from_utf8(proof.to_vec()).ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
