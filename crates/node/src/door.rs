//! Behind the public door: what a node answers to another node. Verifies what can be verified without a key, hands
//! the rest to the owner, and speaks only after the owner's commit.

use std::sync::Arc;

use clearhouse_casework::office::hearing::{Kept, Page, page_key};
use clearhouse_casework::office::mailing::Deposit;
use clearhouse_protocol::directory::introduction::is_unheard;
use clearhouse_protocol::directory::logs::Newest;
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::UNARY_MAX;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_protocol::mail::DepositFault;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::clock::Clock;
use crate::owner::{NotTaken, Owner};
use crate::relay::{self, Keeping};
use crate::rpc::server::Door;
use crate::rpc::status::Refused;
use crate::sync::{Teller, Told};

/// Bytes of one answer about a log, as it is sent, but for a first page that is larger by itself: also what callers of
/// before read.
const OWN_LOG_BYTES_MAX: usize = 60 << 10;

/// The node's own door.
pub struct FrontDoor<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// All of this node's mailboxes; the first is the one kept here.
    pub mailboxes: Vec<MailboxId>,
    /// The mailboxes kept here for others, if any are.
    pub keeping: Option<Arc<Keeping<S>>>,
    /// This organisation.
    pub org: OrgId,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The name and the key with which this node cosigns.
    pub witness: (String, SigningKey),
    /// How the directory is told.
    pub teller: Arc<Teller>,
}

impl<S: Store + 'static> FrontDoor<S> {
    /// The handshake proved who calls; the directory may have learned since that this party is out.
    fn still_accredited(&self, from: NodeId) -> Result<(), Refused> {
        let directory = self.owner.signals.directory.borrow().clone();
        let standing = directory.org_of(from).map(|org| directory.signing_key(org, from, self.clock.now()));
        match standing {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(Refused::NotAccredited),
        }
    }
}

impl<S: Store + 'static> Door for FrontDoor<S> {
    fn deposit_allowed(&self, from: NodeId, mailbox: MailboxId, total_len: u64) -> Result<(), Refused> {
        self.still_accredited(from)?;
        if self.mailboxes.first() == Some(&mailbox) {
            return Ok(());
        }
        self.keeping.as_ref().ok_or(Refused::UnknownMailbox)?.allowed(from, mailbox, total_len)
    }

    async fn deposit(
        &self,
        from: NodeId,
        mailbox: MailboxId,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<wire::DepositReply, Refused> {
        self.still_accredited(from)?;
        let outside = Outside::parse(&bytes).map_err(|_| Refused::Malformed)?;
        if outside.digest != digest {
            return Err(Refused::Malformed);
        }
        if self.mailboxes.first() != Some(&mailbox) {
            return self.keeping.as_ref().ok_or(Refused::UnknownMailbox)?.leave(mailbox, outside, bytes).await;
        }
        // One sealed for another of our mailboxes is ours all the same.
        if !self.mailboxes.contains(&outside.mailbox) {
            return Err(Refused::Malformed);
        }
        match self.owner.deposit(Deposit { outside, bytes }).await {
            Ok((Ok(receipt), locked)) => Ok(wire::DepositReply { receipt: Some(receipt), locked }),
            Ok((Err(DepositFault::Full), _)) => Err(Refused::Full),
            Ok((Err(DepositFault::NoSuchMailbox), _)) => Err(Refused::UnknownMailbox),
            Ok((Err(DepositFault::Expired), _)) => Err(Refused::Malformed),
            Err(NotTaken::Store(_) | NotTaken::Stopping) => Err(Refused::Unavailable),
            Err(NotTaken::Bug) => Err(Refused::Broken),
        }
    }

    async fn outcome(&self, from: NodeId, digest: Digest) -> Result<wire::OutcomeReply, Refused> {
        self.still_accredited(from)?;
        let look = self.owner.look(move |world| {
            let locked = !world.office.is_open();
            let letter = world.office.mail().letter(digest).map(|l| (l.state, l.not_opened.clone(), locked));
            let of_others = relay::outcome(world.office.depot(), digest);
            (letter, of_others)
        });
        let (letter, of_others) = look.await.map_err(|_| Refused::Unavailable)?;
        let (state, statement) = match letter {
            None => return Ok(of_others),
            Some((1 | 4, _, true)) => (wire::MailboxState::StoredLocked, None),
            Some((1 | 4, _, false)) => (wire::MailboxState::Stored, None),
            Some((3, statement, _)) => {
                (wire::MailboxState::Unopenable, wire::Signed::decode(statement.as_slice()).ok())
            }
            Some(_) => (wire::MailboxState::Taken, None),
        };
        Ok(wire::OutcomeReply { state: state.into(), not_opened: statement, expired: None })
    }

    async fn records(&self, from: NodeId, org: Option<OrgId>) -> Result<wire::RecordBundle, Refused> {
        self.still_accredited(from)?;
        let bundle = self.owner.signals.directory.borrow().bundle(org.unwrap_or(self.org));
        // Prekeys are handed out by groups alone: who asks for one node's tells to whom somebody is about to write.
        Ok(wire::RecordBundle { prekeys: Vec::new(), ..bundle })
    }

    fn told(&self, from: NodeId) -> Result<Told, Refused> {
        self.still_accredited(from)?;
        Ok(self.teller.of(&self.owner.signals.directory.borrow().clone(), self.clock.wall()))
    }

    fn is_unheard(&self, from: NodeId, own_digest: &[u8]) -> Result<bool, Refused> {
        self.still_accredited(from)?;
        let directory = self.owner.signals.directory.borrow().clone();
        Ok(is_unheard(&directory, self.org, from, own_digest, self.clock.now()))
    }

    async fn introduced(&self, from: NodeId, said: wire::RecordBundle) -> Result<(), Refused> {
        self.still_accredited(from)?;
        let (directory, now) = (self.owner.signals.directory.borrow().clone(), self.clock.now());
        // Most of what is said was heard from others, and what does not hold is nobody's business: neither comes before
        // the owner.
        let news = said.records.iter().any(|record| matches!(directory.check(record, now), Ok(Some(_))));
        let lacks = |prekey: &wire::Prekey| matches!(directory.check_kept_prekey(prekey.week, &prekey.pk), Ok(Some(_)));
        if news || said.prekeys.iter().any(lacks) {
            self.owner.admit(said).await.map_err(|_| Refused::Unavailable)?;
        }
        Ok(())
    }

    async fn add_checkpoint(
        &self,
        from: NodeId,
        asked: wire::AddCheckpointRequest,
    ) -> Result<wire::AddCheckpointReply, Refused> {
        self.still_accredited(from)?;
        let no = |fault: WitnessFault, held: Option<SignedCheckpoint>| {
            let size = if let WitnessFault::Conflict(size) = fault { size } else { 0 };
            // Its own signature shows a log that was put back from an old image that it has signed more, and one of two
            // processes with the same keys that there is another.
            let shown = held.filter(|_| size > 0 || fault.is_proof());
            let note = shown.map(|held| held.note().to_string().into_bytes()).unwrap_or_default();
            wire::AddCheckpointReply { status: fault.status().into(), note, size }
        };
        let request = match Request::parse(&asked.request) {
            Ok(request) => request,
            Err(fault) => return Ok(no(fault, None)),
        };
        // A cosignature says when: what this node does not know it does not sign. Who asks comes again.
        if self.clock.doubt().is_some() {
            return Err(Refused::Unavailable);
        }
        let decided = self.owner.decide(move |world, now| {
            let (mut step, decided) = world.office.cosign(from, &request, now);
            let asked_for = world.office.log_asked_for(from, &request);
            let held = asked_for.and_then(|key| world.office.head_held(&key));
            // Entries of a directory log are for everybody to follow: only a node's own log is mirrored.
            let key = world.office.directory().log_key(from);
            let head = key.and_then(|key| SignedCheckpoint::of(request.note.clone(), &key).ok());
            if let (Ok(_), Some(head), (leaves, [])) = (&decided, head, asked.leaves.as_chunks()) {
                let head = head.checkpoint();
                step.rows.extend(world.office.mirror(from, asked.first, leaves, (head.size, head.root)));
            }
            (step, decided.map_err(|fault| (fault, held)))
        });
        let decided = decided.await;
        match decided {
            Ok(Ok(cosigning)) => {
                let (name, key) = &self.witness;
                let note = cosigning.cosign(name, key, self.clock.now()).map_err(|_| Refused::Broken)?;
                Ok(wire::AddCheckpointReply { status: 200, note: note.to_string().into_bytes(), size: 0 })
            }
            Ok(Err((fault, held))) => {
                if fault.is_proof() {
                    tracing::error!(node = %from, "this node's log shows two histories: tell a coordinator");
                }
                Ok(no(fault, held))
            }
            Err(NotTaken::Store(_) | NotTaken::Stopping) => Err(Refused::Unavailable),
            Err(NotTaken::Bug) => Err(Refused::Broken),
        }
    }

    async fn own_log(&self, from: NodeId, first: u64) -> Result<wire::OwnLogReply, Refused> {
        self.still_accredited(from)?;
        let shown = self.owner.look(move |world| {
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
            reply.next = next;
            if next == heard.size && has_room(&reply, heard.tail.len()) {
                reply.commitments.extend(&heard.tail);
                reply.next = 0;
            }
            Some(reply)
        });
        Ok(shown.await.map_err(|_| Refused::Unavailable)?.unwrap_or_default())
    }

    async fn directory_log(
        &self,
        from: NodeId,
        node: NodeId,
        asked: wire::DirectoryLogRequest,
    ) -> Result<wire::DirectoryLogReply, Refused> {
        self.still_accredited(from)?;
        let (first, fresh) = (asked.first, asked.fresh);
        let shown = self.owner.look(move |world| {
            let directory = world.office.directory();
            let newer = |head: &&Newest| first < head.size() || (first == head.size() && fresh < head.fresh());
            directory.newest_head(node).filter(newer)?;
            if asked.leaves {
                return Some(directory.page_of_leaves(node, first, fresh));
            }
            let (mut entries, mut bytes) = (Vec::new(), 0);
            for key in world.office.entry_keys(node, first) {
                // An entry that cannot be read ends the page: others have it too.
                let Some(entry) = world.ledger.read(Table::DirectoryEntry, &key).ok().flatten() else { break };
                bytes += entry.len();
                entries.push(entry.to_vec());
                if bytes > UNARY_MAX {
                    break;
                }
            }
            Some(directory.page_of(node, first, fresh, entries))
        });
        Ok(shown.await.map_err(|_| Refused::Unavailable)?.unwrap_or_default())
    }

    async fn tell_equivocation(&self, from: NodeId, proof: Vec<u8>) -> Result<(), Refused> {
        self.still_accredited(from)?;
        let taken = self.owner.decide(move |world, now| world.office.take_equivocation(&proof, now)).await;
        match taken {
            Ok(Ok(node)) => {
                tracing::error!(%node, told_by = %from, "this node's log shows two histories: tell a coordinator");
                Ok(())
            }
            Ok(Err(_)) => Err(Refused::Malformed),
            Err(NotTaken::Store(_) | NotTaken::Stopping) => Err(Refused::Unavailable),
            Err(NotTaken::Bug) => Err(Refused::Broken),
        }
    }
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
    is_one.then(|| wire::OwnErasure { index, salt: kept.salt.clone(), opening: kept.opening.clone() })
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::limits::OPENING_LEN;

    use super::*;

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
        let kept = Kept { commitment: vec![7; 32], salt: vec![8; 32], opening: padded, ..Kept::default() };
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
