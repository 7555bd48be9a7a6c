//! Behind the public door: what a node answers to another node. Verifies what can be verified without a key, hands
//! the rest to the owner, and speaks only after the owner's commit.

mod logs;

use std::sync::Arc;

use clearhouse_casework::office::mailing::Deposit;
use clearhouse_protocol::directory::introduction::is_unheard;
use clearhouse_protocol::directory::logs::Newest;
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::UNARY_MAX;
use clearhouse_protocol::log::witness::{MIRROR_BEHIND, Request};
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
use logs::Word;

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
        let standing = directory.org_of(from).map(|org| directory.may_speak(org, from, self.clock.now()));
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
        let request = match Request::parse(&asked.request) {
            Ok(request) => request,
            Err(fault) => return Ok(logs::not_cosigned(fault, None, 0)),
        };
        // A cosignature says when: what this node does not know it does not sign. Who asks comes again.
        if self.clock.doubt().is_some() {
            return Err(Refused::Unavailable);
        }
        let decided = self.owner.decide(move |world, now| logs::cosign(&world.office, from, &request, &asked, now));
        match decided.await {
            Ok((mirrored, Word::Cosign(cosigning))) => {
                let (name, key) = &self.witness;
                let note = cosigning.cosign(name, key, self.clock.now()).map_err(|_| Refused::Broken)?;
                Ok(wire::AddCheckpointReply { status: 200, note: note.to_string().into_bytes(), size: 0, mirrored })
            }
            Ok((mirrored, Word::Behind)) => {
                Ok(wire::AddCheckpointReply { status: MIRROR_BEHIND, mirrored, ..Default::default() })
            }
            Ok((mirrored, Word::Not(fault, held))) => {
                if fault.is_proof() {
                    tracing::error!(node = %from, "this node's log shows two histories: tell a coordinator");
                }
                Ok(logs::not_cosigned(fault, held, mirrored))
            }
            Err(NotTaken::Store(_) | NotTaken::Stopping) => Err(Refused::Unavailable),
            Err(NotTaken::Bug) => Err(Refused::Broken),
        }
    }

    async fn own_log(&self, from: NodeId, first: u64) -> Result<wire::OwnLogReply, Refused> {
        self.still_accredited(from)?;
        let shown = self.owner.look(move |world| logs::mirrored(world, from, first));
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
