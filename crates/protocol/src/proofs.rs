//! Proofs to the other side of a message: that what a node says it did with it is in its log, where coordinators see it.
//!
//! A receipt leaves at once and its proof follows after the next head (decision 8). Somebody who acknowledged in
//! private and showed coordinators another log could not make one under a head that witnesses cosigned. Refuses
//! an entry about anybody but sender and reader.

use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::AuditEvent;
use prost::Message as _;

use crate::audit::reveal;
use crate::canon;
use crate::ids::{Digest, Net, NodeId};
use crate::limits::{INNER_MAX, PROVED_ENTRIES_MAX};
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::note::{NoteFault, NoteKey};
use crate::log::proof::{PROOF_HASHES_MAX, Proof, ProofFault};
use crate::log::{Hash, leaf_data};
use crate::mail::is_node_mail;
use crate::rows::EventRow;

/// What an event says about a message that two nodes share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concerns {
    /// The node whose log it is sent the message.
    Sent,
    /// It took, refused or opened a message of the other.
    Got,
    /// It recorded that the time was over for what a message asked for, and that nothing had come.
    Missed,
}

/// Events by which a node sends a message.
const SENDING: [AuditEvent; 7] = [
    AuditEvent::Sent,
    AuditEvent::Acknowledged,
    AuditEvent::Accepted,
    AuditEvent::Declined,
    AuditEvent::Released,
    AuditEvent::Arrived,
    AuditEvent::NotArrived,
];
/// Events by which it takes, refuses or opens one.
const GETTING: [AuditEvent; 3] = [AuditEvent::AuditReceived, AuditEvent::Rejected, AuditEvent::AuditOpened];

/// Events by which it says that the time was over.
const MISSING: [AuditEvent; 2] = [AuditEvent::Unanswered, AuditEvent::Unread];

/// Whether the other side of a message is owed the proof of this event.
#[must_use]
pub fn concerns(opening: &wire::Opening) -> Option<Concerns> {
    // Mail about logs needs no proof of its own.
    let case = opening.msg_class > 0 && !is_node_mail(opening.msg_class);
    if !case || opening.peer_node.len() != NodeId::LEN || opening.envelope_digest.len() != Digest::LEN {
        return None;
    }
    let event = opening.event();
    let said = [(SENDING.as_slice(), Concerns::Sent), (&GETTING, Concerns::Got), (&MISSING, Concerns::Missed)];
    said.into_iter().find_map(|(events, concerns)| events.contains(&event).then_some(concerns))
}

/// The body of a PROOFS message: entries with the paths that lead from them to `head`.
#[must_use]
pub fn compose(head: &str, entries: &[(EventRow, Vec<Hash>)]) -> Vec<u8> {
    let entry = |(row, path): &(EventRow, Vec<Hash>)| wire::ProvedEntry {
        index: row.index,
        salt: row.salt.to_vec(),
        opening: row.opening.clone(),
        path: path.concat(),
    };
    let entries = entries.iter().take(PROVED_ENTRIES_MAX).map(entry).collect();
    wire::Proofs { head: head.as_bytes().to_vec(), entries }.encode_to_vec()
}

/// Why a message of proofs proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofsFault {
    /// Not a message of proofs, or one of too many or no entries.
    #[error("this is not a message of proofs")]
    Malformed,
    /// The head in it.
    #[error(transparent)]
    Head(#[from] NoteFault),
    /// An entry that is not what it is shown to be, or concerns others.
    #[error("entry {0} is not what it is shown to be, or concerns others")]
    Entry(u64),
    /// A path that does not lead to the head.
    #[error("entry {0}: {1}")]
    Path(u64, ProofFault),
}

/// One event of the other node that is in its log. Only [`check`] makes one.
pub struct Proved {
    concerns: Concerns,
    opening: wire::Opening,
    digest: Digest,
    proof: Proof,
}

impl Proved {
    /// Who did what.
    #[must_use]
    pub fn concerns(&self) -> Concerns {
        self.concerns
    }

    /// The event.
    #[must_use]
    pub fn opening(&self) -> &wire::Opening {
        &self.opening
    }

    /// The envelope it is about.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The evidence as a tlog-proof text; its extra data are salt and padded opening.
    #[must_use]
    pub fn evidence(&self) -> String {
        self.proof.to_string()
    }
}

/// Checks the body of a PROOFS message, read by `me`, from the node whose log has this key. Returns the events and the
/// head they are under; whether witnesses cosigned that is for the caller to ask.
///
/// # Errors
/// [`ProofsFault`]: then nothing of it is believed.
pub fn check(body: &[u8], net: Net, log: &NoteKey, me: NodeId) -> Result<(SignedCheckpoint, Vec<Proved>), ProofsFault> {
    let said: wire::Proofs = canon::decode(body, INNER_MAX).map_err(|_| ProofsFault::Malformed)?;
    if said.entries.is_empty() || said.entries.len() > PROVED_ENTRIES_MAX {
        return Err(ProofsFault::Malformed);
    }
    let head = SignedCheckpoint::open(&said.head, log)?;
    let proved = said.entries.into_iter().map(|entry| prove(entry, &head, net, log, me));
    Ok((head.clone(), proved.collect::<Result<_, _>>()?))
}

fn prove(
    entry: wire::ProvedEntry,
    head: &SignedCheckpoint,
    net: Net,
    log: &NoteKey,
    me: NodeId,
) -> Result<Proved, ProofsFault> {
    let wrong = || ProofsFault::Entry(entry.index);
    let salt: [u8; 32] = entry.salt.as_slice().try_into().map_err(|_| wrong())?;
    let commitment = crate::audit::commit(&salt, &entry.opening);
    let opening = reveal(&commitment, &salt, &entry.opening).ok_or_else(wrong)?;
    let own = opening.index == entry.index && opening.net == net.0 && opening.origin == log.name();
    let concerns = concerns(&opening).filter(|_| own && opening.peer_node == me.0).ok_or_else(wrong)?;
    let digest = Digest::try_from(opening.envelope_digest.as_slice()).map_err(|_| wrong())?;
    let (path, rest) = entry.path.as_chunks();
    if !rest.is_empty() || path.len() > PROOF_HASHES_MAX {
        return Err(ProofsFault::Path(entry.index, ProofFault::TooManyHashes));
    }
    let extra = [salt.as_slice(), &entry.opening].concat();
    let proof = Proof { extra, index: entry.index, path: path.to_vec(), note: head.note().clone() };
    proof.check(&leaf_data(&commitment), log).map_err(|fault| ProofsFault::Path(entry.index, fault))?;
    Ok(Proved { concerns, opening, digest, proof })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Happening, origin, record};
    use crate::fixture::{NOW, Region};
    use crate::log::checkpoint::Checkpoint;
    use crate::log::leaf_hash;
    use crate::log::note::KeyKind;
    use crate::merkle;

    /// Entries of member 1's log about messages with member 0, proved under its head. `fork` makes another log of the
    /// same name and key.
    fn shown(
        region: &mut Region,
        events: &[AuditEvent],
        peer: usize,
        fork: u8,
    ) -> (String, Vec<(EventRow, Vec<Hash>)>) {
        let origin = origin(region.net, region.members[1].org, region.members[1].node, 1);
        let peer = (region.members[peer].org, region.members[peer].node);
        let rows: Vec<EventRow> = (0..)
            .zip(events)
            .map(|(index, event)| {
                let happening = Happening::of(*event).with(peer.0, peer.1).about(Digest([fork; 32]), 2);
                record(&happening, region.net, &origin, index, NOW, &mut region.rng)
            })
            .collect();
        let leaves: Vec<Hash> = rows.iter().map(|row| leaf_hash(&row.commitment)).collect();
        let head = Checkpoint { origin, size: leaves.len() as u64, root: merkle::root(&leaves) };
        let head = head.sign(&region.members[1].log()).unwrap().to_string();
        let paths = (0..leaves.len()).map(|index| merkle::path(&leaves, index));
        (head, rows.into_iter().zip(paths).collect())
    }

    fn key(region: &Region, member: usize) -> NoteKey {
        let member = &region.members[member];
        NoteKey::new(&origin(region.net, member.org, member.node, 1), KeyKind::Log, &member.log().public()).unwrap()
    }

    #[test]
    fn what_both_have_a_part_in_is_proved_and_kept_as_a_text_that_stands_alone() {
        let mut region = Region::new(1, 3);
        let events = [AuditEvent::AuditReceived, AuditEvent::AuditOpened, AuditEvent::Sent];
        let (head, entries) = shown(&mut region, &events, 0, 7);
        let (key, me) = (key(&region, 1), region.members[0].node);
        let (_, proved) = check(&compose(&head, &entries), region.net, &key, me).ok().unwrap();
        assert_eq!(
            proved.iter().map(Proved::concerns).collect::<Vec<_>>(),
            [Concerns::Got, Concerns::Got, Concerns::Sent]
        );
        for (proved, (row, _)) in proved.iter().zip(&entries) {
            assert!(*proved.opening() == crate::audit::unpad(&row.opening).unwrap());
            assert_eq!(proved.digest(), Digest([7; 32]));
        }
        let evidence = Proof::parse(proved[1].evidence().as_bytes()).unwrap();
        let (salt, opening) = evidence.extra.split_first_chunk::<32>().unwrap();
        let commitment = crate::audit::commit(salt, opening);
        assert_eq!(evidence.check(&leaf_data(&commitment), &key).ok().unwrap().checkpoint().size, 3);
    }

    #[test]
    fn a_proof_about_others_of_another_log_or_tree_is_refused_whole() {
        let mut region = Region::new(1, 3);
        let (head, entries) = shown(&mut region, &[AuditEvent::AuditReceived, AuditEvent::AuditOpened], 0, 7);
        let (forked, _) = shown(&mut region, &[AuditEvent::Sent, AuditEvent::Sent], 0, 8);
        let (log, me, net) = (key(&region, 1), region.members[0].node, region.net);
        let fault = |head: &str, entries: &[_], log: &NoteKey, me| check(&compose(head, entries), net, log, me).err();
        assert_eq!(fault(&head, &entries, &log, region.members[2].node), Some(ProofsFault::Entry(0)));
        assert!(matches!(fault(&head, &entries, &key(&region, 2), me), Some(ProofsFault::Head(_))));
        assert_eq!(
            fault(&forked, &entries, &log, me),
            Some(ProofsFault::Path(0, ProofFault::NotIncluded)),
            "attack 29: under the head of a fork"
        );
        assert_eq!(fault(&head, &[], &log, me), Some(ProofsFault::Malformed));
        let mut moved = entries.clone();
        moved.swap(0, 1);
        let (a, b) = (moved[0].0.index, moved[1].0.index);
        (moved[0].0.index, moved[1].0.index) = (b, a);
        assert_eq!(fault(&head, &moved, &log, me), Some(ProofsFault::Entry(0)));
        // As many as are read, and one more.
        let many =
            wire::Proofs::decode(compose(&head, &vec![entries[0].clone(); PROVED_ENTRIES_MAX]).as_slice()).unwrap();
        assert!(check(&many.encode_to_vec(), net, &log, me).is_ok());
        let mut more = many.clone();
        more.entries.push(many.entries[0].clone());
        assert_eq!(check(&more.encode_to_vec(), net, &log, me).err(), Some(ProofsFault::Malformed));
        let mut long = entries.clone();
        long[0].1.extend(vec![[0; 32]; 64]);
        assert!(matches!(fault(&head, &long, &log, me), Some(ProofsFault::Path(0, ProofFault::TooManyHashes))));
    }

    #[test]
    fn mail_about_logs_and_what_only_one_node_did_concern_nobody_else() {
        let mut region = Region::new(1, 2);
        for event in [AuditEvent::SignIn, AuditEvent::Deposited, AuditEvent::ReceiptReceived, AuditEvent::Recalled] {
            let (head, entries) = shown(&mut region, &[event], 0, 7);
            let found = check(&compose(&head, &entries), region.net, &key(&region, 1), region.members[0].node);
            assert_eq!(found.err(), Some(ProofsFault::Entry(0)));
        }
        let audit = wire::Opening {
            event: AuditEvent::Sent.into(),
            msg_class: wire::MessageType::Audit as u32,
            peer_node: vec![1; 16],
            envelope_digest: vec![1; 32],
            ..wire::Opening::default()
        };
        assert_eq!(concerns(&audit), None);
        assert_eq!(concerns(&wire::Opening { msg_class: 2, ..audit }), Some(Concerns::Sent));
    }

    #[test]
    fn an_entry_is_owed_when_it_is_of_a_case_and_names_message_and_peer_whole() {
        let whole = || wire::Opening {
            event: AuditEvent::Sent as i32,
            msg_class: 2,
            peer_node: vec![1; NodeId::LEN],
            envelope_digest: vec![2; Digest::LEN],
            ..wire::Opening::default()
        };
        let of = |change: &dyn Fn(&mut wire::Opening)| {
            let mut opening = whole();
            change(&mut opening);
            concerns(&opening)
        };
        assert_eq!(of(&|_| {}), Some(Concerns::Sent));
        assert_eq!(of(&|o| o.event = AuditEvent::Unread as i32), Some(Concerns::Missed));
        assert_eq!(of(&|o| o.event = AuditEvent::LocalAct as i32), None);
        assert_eq!(of(&|o| o.msg_class = 0), None);
        assert_eq!(of(&|o| o.msg_class = wire::MessageType::Audit as u32), None);
        assert_eq!(of(&|o| o.peer_node = vec![1; NodeId::LEN - 1]), None);
        assert_eq!(of(&|o| o.envelope_digest = vec![2; Digest::LEN + 1]), None);
    }
}
