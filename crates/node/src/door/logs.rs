//! Behind the public door: what a node says to heads of others' logs, and shows of what it mirrors of them.
//!
//! Says that it mirrors only what is kept by the same commit, and signs nothing itself. Refuses what it mirrors to anybody
//! but the log's own node.

use clearhouse_casework::office::hearing::{BLOCK, Kept, Mirrored, Offered, Page, block_first, block_key, page_key};
use clearhouse_casework::office::{Now, Office, Step};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::witness::{Cosigning, Request, WitnessFault};
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;

use crate::owner::World;

/// Bytes of one answer about a log, as it is sent, but for a first page that is larger by itself: also what callers of
/// before read.
const OWN_LOG_BYTES_MAX: usize = 60 << 10;

/// What this node says to a head of another's log.
pub(super) enum Word {
    /// It may be signed.
    Cosign(Cosigning),
    /// It was asked to sign only what it mirrors, and does not mirror all of it; or the head is no larger than what it heard
    /// under a head that others cosigned, and is not known to be of that log.
    Behind,
    /// It is not signed, and why; the head held here.
    Not(WitnessFault, Option<SignedCheckpoint>),
}

/// Decides on a head, and takes what goes along with it. Entries of the log that are mirrored here, and the word.
pub(super) fn cosign<R: CryptoRng>(
    office: &Office,
    from: NodeId,
    request: &Request,
    asked: &wire::AddCheckpointRequest,
    now: &mut Now<'_, R>,
) -> (Step, (u64, Word)) {
    let (mut step, decided) = office.cosign(from, request, now);
    let cosigning = match decided {
        Ok(cosigning) => cosigning,
        Err(fault) => {
            let held = office.log_asked_for(from, request).and_then(|key| office.head_held(&key));
            let mirrored = office.mirrored(from).map_or(0, |heard| heard.mirrored());
            return (step, (mirrored, Word::Not(fault, held)));
        }
    };
    // Entries of a directory log are for everybody to follow: only a node's own log is mirrored.
    let key = office.directory().log_key(from);
    let own = key.and_then(|key| SignedCheckpoint::of(request.note.clone(), &key).ok());
    let mirror = own.map(|head| {
        let (head, (leaves, _), (path, _)) = (head.checkpoint(), asked.leaves.as_chunks(), asked.path.as_chunks());
        office.mirror(from, Offered { first: asked.first, leaves, path }, (head.size, head.root))
    });
    let Mirrored { rows, up_to, reaches, strays } = mirror.unwrap_or_default();
    if strays || asked.mirror && !reaches {
        // What was to be remembered as cosigned is not: nobody could take the log back up to there.
        return (Step { rows, ..Step::default() }, (up_to, Word::Behind));
    }
    step.rows.extend(rows);
    (step, (up_to, Word::Cosign(cosigning)))
}

pub(super) fn not_cosigned(
    fault: WitnessFault,
    held: Option<SignedCheckpoint>,
    mirrored: u64,
) -> wire::AddCheckpointReply {
    let size = if let WitnessFault::Conflict(size) = fault { size } else { 0 };
    // Its own signature shows a log that was put back from an old image that it has signed more, and one of two
    // processes with the same keys that there is another.
    let shown = held.filter(|_| size > 0 || fault.is_proof());
    let note = shown.map(|held| held.note().to_string().into_bytes()).unwrap_or_default();
    wire::AddCheckpointReply { status: fault.status().into(), note, size, mirrored }
}

/// What is mirrored of a node's own log from entry `first` on, as far as one answer takes it.
pub(super) fn mirrored<S: Store>(world: &World<S>, from: NodeId, first: u64) -> Option<wire::OwnLogReply> {
    let heard = world.office.mirrored(from)?;
    let held = world.office.head_held(&world.office.directory().log_key(from)?);
    // The newer of what was cosigned here and what came with an account under others' signatures.
    let (size, note) =
        held.map_or((0, Vec::new()), |held| (held.checkpoint().size, held.note().to_string().into_bytes()));
    let head = if heard.head_size > size { heard.head.clone() } else { note };
    let mut reply = wire::OwnLogReply { head, ..wire::OwnLogReply::default() };
    let mut next = first;
    while next < heard.size {
        let page = world.ledger.read(Table::Account, &page_key(&heard.origin, next)).ok().flatten()?;
        let page = Page::decode(page.as_slice()).ok().filter(|page| !page.entries.is_empty())?;
        if !add_page(&mut reply, next, &page) {
            break;
        }
        next += page.entries.len() as u64;
    }
    while (heard.size..heard.tail_first()).contains(&next) {
        let nth = next / BLOCK;
        let block = world.ledger.read(Table::Account, &block_key(&heard.origin, nth)).ok().flatten()?;
        let known = usize::try_from(next.checked_sub(block_first(nth, &block))?).ok()?;
        let rest = block.get(known * size_of::<Hash>()..).filter(|rest| !rest.is_empty())?;
        if !has_room(&reply, rest.len()) {
            break;
        }
        reply.commitments.extend(rest);
        next = (nth + 1) * BLOCK;
    }
    reply.next = next;
    if next == heard.tail_first() && has_room(&reply, heard.tail.len()) {
        reply.commitments.extend(&heard.tail);
        reply.next = 0;
    }
    Some(reply)
}

/// Whether an answer takes so many bytes more. An empty one takes anything: a page of 96 entries is at most
/// [`UNARY_MAX`], for it came in one message.
fn has_room(reply: &wire::OwnLogReply, more: usize) -> bool {
    reply.commitments.is_empty() || reply.encoded_len() + more <= OWN_LOG_BYTES_MAX
}

/// Adds a page that begins with entry `first`, if the answer takes it.
fn add_page(reply: &mut wire::OwnLogReply, first: u64, page: &Page) -> bool {
    let entries = (first..).zip(&page.entries);
    let more = wire::OwnLogReply {
        commitments: page.entries.iter().flat_map(|kept| kept.commitment.iter().copied()).collect(),
        erasures: entries.filter_map(|(index, kept)| own_erasure(index, kept)).collect(),
        ..wire::OwnLogReply::default()
    };
    let fits = has_room(reply, more.encoded_len());
    if fits {
        reply.commitments.extend(more.commitments);
        reply.erasures.extend(more.erasures);
    }
    fits
}

/// An entry that says that a case was erased, for the node whose log it is in.
fn own_erasure(index: u64, kept: &Kept) -> Option<wire::OwnErasure> {
    let is_one = kept.opening()?.event() == wire::AuditEvent::CaseErased;
    is_one.then(|| wire::OwnErasure { index, salt: kept.salt.to_vec(), opening: kept.opening.to_vec() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::audit::{self, FIRST_GENERATION};
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::limits::{OPENING_LEN, TAIL_MAX};
    use clearhouse_protocol::log::checkpoint::Checkpoint;
    use clearhouse_protocol::log::leaf_hash;
    use clearhouse_protocol::log::tree::{Edge, Levels, consistency};
    use clearhouse_protocol::merkle;

    use clearhouse_casework::office::hearing::Heard;

    use super::*;
    use crate::clock::chance;
    use crate::fixture::world;

    /// Member 1's request to cosign a head over all of `log`, with the commitments from `first` on, as many as go.
    fn asked(region: &Region, log: &[Hash], first: usize) -> (Request, wire::AddCheckpointRequest) {
        let me = &region.members[1];
        let leaves: Vec<_> = log.iter().map(leaf_hash).collect();
        let origin = audit::origin(region.net, me.org, me.node, FIRST_GENERATION);
        let head = Checkpoint { origin, size: log.len() as u64, root: merkle::root(&leaves) };
        let end = log.len().min(first + TAIL_MAX);
        let path = consistency(&Levels::over(leaves), end as u64, log.len() as u64).unwrap().concat();
        let request = Request { old: 0, path: Vec::new(), note: head.sign(&me.log()).unwrap() };
        let leaves = log[first..end].concat();
        (request, wire::AddCheckpointRequest { first: first as u64, leaves, path, mirror: true, ..Default::default() })
    }

    #[test]
    fn a_head_is_cosigned_and_remembered_only_when_the_mirror_reaches_it_and_all_of_it_is_shown() {
        let region = Region::with_coordinators(1, 3, 1);
        let (mut world, from) = (world(&region, 0, region.directory.clone()), region.members[1].node);
        let log: Vec<Hash> = (0..2_500_u64).map(|n| clearhouse_protocol::pae::sha256(&n.to_be_bytes())).collect();
        let key = region.directory.log_key(from).unwrap();
        for (first, up_to) in [(0, 1_024), (1_024, 2_048), (2_048, 2_500)] {
            let (request, asked) = asked(&region, &log, first);
            let mut rng = chance();
            let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[0].sign };
            let (step, (mirrored, word)) = cosign(&world.office, from, &request, &asked, &mut now);
            assert_eq!((mirrored, matches!(word, Word::Cosign(_))), (up_to, up_to == 2_500));
            world.ledger.commit(&step.rows, &step.events, &mut chance()).unwrap();
            world.office.take(&step);
            assert_eq!(world.office.head_held(&key).is_some(), up_to == 2_500, "what is not mirrored binds nobody");
        }
        // Its own node reads all of it back, in pages.
        let (mut next, mut read) = (0, Vec::new());
        loop {
            let page = super::mirrored(&world, from, next).unwrap();
            read.extend(page.commitments);
            next = page.next;
            if next == 0 {
                break;
            }
        }
        assert!(read == log.concat());
        // Another witness's request asks for no mirror, and a member keeps none.
        let (request, asked) = asked(&region, &log, 0);
        let member = crate::fixture::world(&region, 2, region.directory.clone());
        let mut rng = chance();
        let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[2].sign };
        let (_, (mirrored, word)) = cosign(&member.office, from, &request, &asked, &mut now);
        assert!(mirrored == 0 && matches!(word, Word::Behind));
        let plain = wire::AddCheckpointRequest::default();
        let (_, (mirrored, word)) = cosign(&member.office, from, &request, &plain, &mut now);
        assert!(mirrored == 0 && matches!(word, Word::Cosign(_)));
    }

    #[test]
    fn a_head_below_what_others_vouched_for_is_cosigned_for_no_asking() {
        let region = Region::with_coordinators(1, 3, 1);
        let (world, from) = (world(&region, 0, region.directory.clone()), region.members[1].node);
        let log: Vec<Hash> = (0..600_u64).map(|n| clearhouse_protocol::pae::sha256(&n.to_be_bytes())).collect();
        let cosigned = |office: &Office, size: usize| {
            let (request, asked) = asked(&region, &log[..size], 0);
            let plain = wire::AddCheckpointRequest { mirror: false, ..asked };
            let mut rng = chance();
            let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[0].sign };
            let (step, (_, word)) = cosign(office, from, &request, &plain, &mut now);
            (step, matches!(word, Word::Cosign(_)))
        };
        // Heard up to 500 under a head that this coordinator did not cosign: what it has is not a mirror it vouches for.
        let (step, _) = cosigned(&world.office, 500);
        let mut row = step.rows.iter().find(|row| row.table == Table::Heard).unwrap().clone();
        let heard = Heard::decode(row.value.as_deref().unwrap()).unwrap();
        let mut edge = Edge::default();
        log[..500].iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        let heard = Heard { size: 500, edge: edge.roots(), tail: Vec::new(), tail_first: 0, sure: 0, ..heard };
        row.value = Some(heard.encode_to_vec());
        let mut office = crate::fixture::world(&region, 0, region.directory.clone()).office;
        office.apply([&row]);
        assert_eq!([400, 500, 600].map(|size| cosigned(&office, size).1), [false, true, true]);
    }

    #[test]
    fn pages_full_of_erasures_come_in_answers_that_a_caller_reads() {
        let opening = wire::Opening {
            event: wire::AuditEvent::CaseErased.into(),
            erased: (0..20).map(|n| wire::IndexRange { from: 3 * n + 1000, to: 3 * n + 1001 }).collect(),
            ..wire::Opening::default()
        };
        // As it is padded in an account.
        let bytes = opening.encode_to_vec();
        let mut padded = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        padded.extend(bytes);
        padded.resize(OPENING_LEN, 0);
        let (commitment, salt) = (vec![7; 32].into(), vec![8; 32].into());
        let kept = Kept { commitment, salt, opening: padded.into(), ..Kept::default() };
        let page = Page { entries: vec![kept; 96], ..Page::default() };
        let (mut next, mut erasures, mut answers) = (0, 0, 0);
        while next < 10 * 96 {
            let (mut reply, first) = (wire::OwnLogReply::default(), next);
            while next < 10 * 96 && add_page(&mut reply, next, &page) {
                next += 96;
            }
            assert!(next > first, "a page always fits an empty answer");
            assert!(reply.encoded_len() <= OWN_LOG_BYTES_MAX || next == first + 96, "{}", reply.encoded_len());
            assert_eq!(reply.erasures.first().unwrap().index, first);
            erasures += reply.erasures.len();
            answers += 1;
        }
        assert_eq!(erasures, 960);
        assert!(answers > 1);
    }
}
