//! Accounts: what a node shows a coordinator of its own log, stretch by stretch, and how a coordinator reads it.
//!
//! A stretch is whole or it is refused: its entries follow each other, every opening belongs to its commitment, its
//! place and its log, and a head that the log's key signed covers them. What is missing, late or contradicts others
//! is not judged here but by whoever holds several accounts against each other. Refuses content: an opening has no
//! field for any (protocol sections 7.5 and 7.8).

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::audit::reveal;
use crate::canon;
use crate::ids::Net;
use crate::limits::{ACCOUNT_ENTRIES_MAX, INNER_MAX};
use crate::log::Hash;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::note::{NoteFault, NoteKey};
use crate::rows::EventRow;

/// One entry as it is to be shown.
pub enum Shown {
    /// With what it commits to.
    Open(EventRow),
    /// Its commitment alone: what it says is erased, or does not open any more.
    Closed(Hash),
}

/// The body of an AUDIT message about entries from `first` on, under a head that covers them.
#[must_use]
pub fn compose(origin: &str, first: u64, entries: &[Shown], head: &str) -> Vec<u8> {
    let entry = |shown: &Shown| match shown {
        Shown::Open(row) => wire::AccountEntry {
            commitment: row.commitment.to_vec(),
            salt: row.salt.to_vec(),
            opening: row.opening.clone(),
        },
        Shown::Closed(commitment) => {
            wire::AccountEntry { commitment: commitment.to_vec(), salt: Vec::new(), opening: Vec::new() }
        }
    };
    let entries = entries.iter().take(ACCOUNT_ENTRIES_MAX).map(entry).collect();
    wire::Account { origin: origin.to_owned(), first, entries, head: head.as_bytes().to_vec() }.encode_to_vec()
}

/// Why an account is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountFault {
    /// Not an account, or one of too many or no entries.
    #[error("this is not an account of a log")]
    Malformed,
    /// About a log that is not the sender's.
    #[error("the account is about a log that is not the sender's")]
    OtherLog,
    /// The head in it.
    #[error(transparent)]
    Head(#[from] NoteFault),
    /// The head does not cover what is shown.
    #[error("the head covers fewer entries than are shown")]
    NotCovered,
    /// An opening that is not of its entry: another commitment, another place, another log.
    #[error("entry {0} does not open to what is shown with it")]
    Entry(u64),
}

/// One entry that was checked.
pub struct Entry {
    /// The leaf.
    pub commitment: Hash,
    /// Salt and padded opening; `None` when it is shown closed.
    pub opened: Option<([u8; 32], Vec<u8>)>,
}

/// An account that holds together. Only [`check`] makes one.
pub struct Account {
    first: u64,
    entries: Vec<Entry>,
    head: SignedCheckpoint,
}

impl Account {
    /// Index of the first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The head that covers them.
    #[must_use]
    pub fn head(&self) -> &SignedCheckpoint {
        &self.head
    }
}

/// Checks the body of an AUDIT message that came from the node whose log has this key.
///
/// # Errors
/// [`AccountFault`]: then nothing of it is believed.
pub fn check(body: &[u8], net: Net, log: &NoteKey) -> Result<Account, AccountFault> {
    let said: wire::Account = canon::decode(body, INNER_MAX).map_err(|_| AccountFault::Malformed)?;
    if said.entries.is_empty() || said.entries.len() > ACCOUNT_ENTRIES_MAX {
        return Err(AccountFault::Malformed);
    }
    if said.origin != log.name() {
        return Err(AccountFault::OtherLog);
    }
    let head = SignedCheckpoint::open(&said.head, log)?;
    let end = said.first.checked_add(said.entries.len() as u64).ok_or(AccountFault::Malformed)?;
    if end > head.checkpoint().size {
        return Err(AccountFault::NotCovered);
    }
    let entries = (said.first..).zip(said.entries).map(|(index, entry)| open(index, entry, net, log));
    Ok(Account { first: said.first, entries: entries.collect::<Result<_, _>>()?, head })
}

fn open(index: u64, entry: wire::AccountEntry, net: Net, log: &NoteKey) -> Result<Entry, AccountFault> {
    let wrong = || AccountFault::Entry(index);
    let commitment: Hash = entry.commitment.as_slice().try_into().map_err(|_| AccountFault::Malformed)?;
    if entry.salt.is_empty() && entry.opening.is_empty() {
        return Ok(Entry { commitment, opened: None });
    }
    let salt: [u8; 32] = entry.salt.as_slice().try_into().map_err(|_| AccountFault::Malformed)?;
    let opening = reveal(&commitment, &salt, &entry.opening).ok_or_else(wrong)?;
    if opening.index != index || opening.net != net.0 || opening.origin != log.name() {
        return Err(wrong());
    }
    Ok(Entry { commitment, opened: Some((salt, entry.opening)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditEvent, Happening, log_key, origin, record};
    use crate::fixture::{NOW, Region};
    use crate::ids::Digest;
    use crate::log::checkpoint::Checkpoint;
    use crate::log::leaf_hash;
    use crate::merkle;

    struct Log {
        region: Region,
        rows: Vec<EventRow>,
        origin: String,
    }

    impl Log {
        fn new(entries: u64) -> Self {
            let mut region = Region::new(1, 2);
            let member = &region.members[0];
            let origin = origin(region.net, member.org, member.node, 1);
            let peer = (region.members[1].org, region.members[1].node);
            let of = |index| Happening::of(AuditEvent::Sent).with(peer.0, peer.1).about(Digest([index as u8; 32]), 2);
            let rows = (0..entries).map(|i| record(&of(i), region.net, &origin, i, NOW, &mut region.rng)).collect();
            Self { region, rows, origin }
        }

        fn head(&self, size: usize) -> String {
            let leaves: Vec<_> = self.rows[..size].iter().map(|row| leaf_hash(&row.commitment)).collect();
            let head = Checkpoint { origin: self.origin.clone(), size: size as u64, root: merkle::root(&leaves) };
            head.sign(&self.region.members[0].log()).unwrap().to_string()
        }

        fn key(&self, member: usize) -> NoteKey {
            let member = &self.region.members[member];
            let name = origin(self.region.net, member.org, member.node, 1);
            let key = NoteKey::new(&name, crate::log::note::KeyKind::Log, &member.log().public()).unwrap();
            log_key(&key.to_string(), self.region.net, member.org, member.node, crate::keys::VerifyKey::admit).unwrap()
        }

        fn check(&self, body: &[u8]) -> Result<Account, AccountFault> {
            check(body, self.region.net, &self.key(0))
        }

        fn shown(&self, range: std::ops::Range<usize>) -> Vec<Shown> {
            self.rows[range].iter().map(|row| Shown::Open(row.clone())).collect()
        }
    }

    #[test]
    fn a_stretch_is_read_as_it_was_shown_and_a_closed_entry_stays_an_entry() {
        let log = Log::new(5);
        let mut shown = log.shown(1..4);
        shown[1] = Shown::Closed(log.rows[2].commitment);
        let account = log.check(&compose(&log.origin, 1, &shown, &log.head(5))).ok().unwrap();
        assert_eq!((account.first(), account.head().checkpoint().size), (1, 5));
        let open: Vec<bool> = account.entries().iter().map(|e| e.opened.is_some()).collect();
        assert_eq!(open, [true, false, true]);
        assert!(account.entries().iter().zip(&log.rows[1..]).all(|(e, row)| e.commitment == row.commitment));
    }

    #[test]
    fn a_stretch_has_as_many_entries_as_are_read_and_each_is_whole_or_closed() {
        let log = Log::new(ACCOUNT_ENTRIES_MAX as u64 + 1);
        let head = log.head(log.rows.len());
        let body = compose(&log.origin, 0, &log.shown(0..log.rows.len()), &head);
        assert_eq!(log.check(&body).ok().unwrap().entries().len(), ACCOUNT_ENTRIES_MAX, "the rest is for the next");
        let said = |n: usize, change: &dyn Fn(&mut wire::AccountEntry)| {
            let entry = |row: &EventRow| wire::AccountEntry {
                commitment: row.commitment.to_vec(),
                salt: row.salt.to_vec(),
                opening: row.opening.clone(),
            };
            let mut entries: Vec<_> = log.rows[..n].iter().map(entry).collect();
            change(&mut entries[0]);
            let origin = log.origin.clone();
            log.check(&wire::Account { origin, first: 0, entries, head: head.clone().into() }.encode_to_vec()).err()
        };
        assert_eq!(said(ACCOUNT_ENTRIES_MAX, &|_| {}), None);
        assert_eq!(said(ACCOUNT_ENTRIES_MAX + 1, &|_| {}), Some(AccountFault::Malformed));
        assert_eq!(said(1, &|entry| entry.salt.clear()), Some(AccountFault::Malformed));
        assert_eq!(said(1, &|entry| entry.opening.clear()), Some(AccountFault::Entry(0)));
        assert_eq!(said(1, &|entry| (entry.salt, entry.opening) = Default::default()), None, "closed");
    }

    #[test]
    fn attack_30_an_opening_of_another_entry_place_or_log_is_refused() {
        let log = Log::new(4);
        let head = log.head(4);
        let fault = |shown: &[Shown], first| log.check(&compose(&log.origin, first, shown, &head)).err();
        // The opening of one entry with the commitment of another.
        let mut swapped = log.rows[1].clone();
        (swapped.salt, swapped.opening) = (log.rows[2].salt, log.rows[2].opening.clone());
        assert_eq!(fault(&[Shown::Open(swapped)], 1), Some(AccountFault::Entry(1)));
        // A whole entry in another's place.
        assert_eq!(fault(&log.shown(2..3), 1), Some(AccountFault::Entry(1)));
        let mut changed = log.rows[1].clone();
        changed.opening[100] ^= 1;
        assert_eq!(fault(&[Shown::Open(changed)], 1), Some(AccountFault::Entry(1)));
        // A head for fewer entries, no entries, another's log, another's head.
        let short = compose(&log.origin, 2, &log.shown(2..4), &log.head(3));
        assert_eq!(log.check(&short).err(), Some(AccountFault::NotCovered));
        assert_eq!(fault(&[], 0), Some(AccountFault::Malformed));
        let body = compose(&log.origin, 1, &log.shown(1..2), &head);
        assert_eq!(check(&body, log.region.net, &log.key(1)).err(), Some(AccountFault::OtherLog));
        let unsigned = head.split("\n\n").next().unwrap().to_owned() + "\n\n";
        let body = compose(&log.origin, 1, &log.shown(1..2), &unsigned);
        assert!(matches!(log.check(&body).err(), Some(AccountFault::Head(_))));
        assert_eq!(log.check(&body[1..]).err(), Some(AccountFault::Malformed));
    }

    #[test]
    fn an_opening_that_names_another_place_network_or_log_is_refused_for_each_alone() {
        let mut log = Log::new(2);
        let (member, peer) = (&log.region.members[0], &log.region.members[1]);
        let net = log.region.net;
        let other = crate::ids::Net([0x5a; 32]);
        let theirs = origin(net, peer.org, peer.node, 1);
        let of = Happening::of(AuditEvent::Sent).with(member.org, member.node).about(Digest([7; 32]), 2);
        for (net, name, index, is_ours) in [
            (net, &log.origin, 1, true),
            (other, &log.origin, 1, false),
            (net, &theirs, 1, false),
            (net, &log.origin, 2, false),
        ] {
            log.rows[1] = record(&of, net, name, index, NOW, &mut log.region.rng);
            let fault = log.check(&compose(&log.origin, 1, &log.shown(1..2), &log.head(2))).err();
            assert_eq!(fault, (!is_ours).then_some(AccountFault::Entry(1)), "{name} {index}");
        }
    }
}
