//! Whose mailbox is whose, and what lies in them.

mod limits;

use super::*;
use crate::envelope::Outside;
use crate::fixture::{NOW, Region};
use crate::ids::Digest;
use crate::limits::{DAY, HOUR, MAILBOX_ITEMS_MAX, RELAY_BYTES_MAX, RELAY_KEEP_SECS, RELAY_TOLD_SECS};
use crate::mail::{Arrival, DepositFault};
use crate::rows::Row;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

const BOX: MailboxId = MailboxId([1; 16]);
const OTHER: MailboxId = MailboxId([2; 16]);

/// The outside of an envelope nobody can open: a keeper cannot tell.
pub(crate) fn outside(n: u64, expires: u64) -> (Outside, Vec<u8>) {
    let header = wire::Header {
        version: 1,
        suite: 1,
        mailbox: BOX.to_vec(),
        prekey_id: vec![3; 16],
        expires_hour: expires / HOUR,
        size_class: 4096,
    };
    let mut content = vec![0; crate::chunked::sealed_len(4096)];
    content[..8].copy_from_slice(&n.to_be_bytes());
    let kem = vec![9; crate::limits::KEM_LEN];
    let bytes = wire::Envelope { header: header.encode_to_vec(), kem, content }.encode_to_vec();
    (Outside::parse(&bytes).unwrap(), bytes)
}

struct World {
    depot: Depot,
    count: u64,
}

impl World {
    fn leave(&mut self, mailbox: MailboxId, n: u64, expires: u64, now: u64) -> Result<Option<Vec<Row>>, DepositFault> {
        let (outside, bytes) = outside(n, expires);
        let leaving = Leaving { mailbox, outside: &outside, bytes_max: RELAY_BYTES_MAX };
        match self.depot.arrive(&leaving, &Left::default(), now)? {
            Arrival::Repeat(_) => Ok(None),
            Arrival::New => {
                self.count += 1;
                let receipt = wire::StorageReceipt { index: n, ..Default::default() };
                let handle = u128::from(self.count).to_be_bytes();
                let rows = self.depot.keep(&leaving, bytes, 0, &receipt, handle, now);
                rows.iter().filter(|r| r.table == crate::rows::Table::Relay).for_each(|r| self.depot.apply(r));
                Ok(Some(rows))
            }
        }
    }

    fn take(&mut self, rows: &[Row]) {
        rows.iter().filter(|r| r.table == crate::rows::Table::Relay).for_each(|r| self.depot.apply(r));
    }
}

fn world() -> World {
    World { depot: Depot::default(), count: 0 }
}

fn digest(n: u64, expires: u64) -> Digest {
    outside(n, expires).0.digest
}

#[test]
fn the_length_of_the_smallest_envelope_is_the_one_a_dummy_claims() {
    assert_eq!(outside(1, NOW).1.len(), crate::limits::SMALLEST_ENVELOPE_LEN);
}

#[test]
fn what_is_left_waits_in_order_and_the_same_again_changes_nothing() {
    let mut world = world();
    for n in [5, 3, 9] {
        assert!(world.leave(BOX, n, NOW + DAY, NOW).unwrap().is_some());
    }
    assert!(world.leave(BOX, 3, NOW + DAY, NOW).unwrap().is_none());
    assert!(world.leave(OTHER, 3, NOW + DAY, NOW).unwrap().is_some(), "another mailbox has a copy of its own");
    let order: Vec<Digest> = world.depot.waiting(BOX).collect();
    assert_eq!(order, [5, 3, 9].map(|n| digest(n, NOW + DAY)));
    let gone = world.depot.fetched(OTHER, &[digest(3, NOW + DAY)], NOW);
    world.take(&gone);
    assert_eq!(world.depot.waiting(BOX).count(), 3, "what one has fetched is still there for the other");
    let name = digest(3, NOW + DAY);
    assert_ne!(Depot::bytes_key(BOX, name), Depot::bytes_key(OTHER, name), "with its bytes");
    assert_ne!(Depot::bytes_key(BOX, name), name.to_vec(), "and apart from one that was sent or received here");
    assert_eq!(world.depot.outcome(digest(3, NOW + DAY)).unwrap().state(), KeptState::Waiting);
}

#[test]
fn what_was_fetched_is_gone_with_its_bytes_and_remembered_for_a_while() {
    let mut world = world();
    world.leave(BOX, 1, NOW + DAY, NOW).unwrap();
    let name = digest(1, NOW + DAY);
    let rows = world.depot.fetched(BOX, &[name, name, Digest([0; 32])], NOW);
    assert_eq!(rows.len(), 2);
    assert!(rows[1].value.is_none() && rows[1].key == Depot::bytes_key(BOX, name));
    world.take(&rows);
    assert_eq!((world.depot.held(), world.depot.waiting(BOX).count()), ((0, 0), 0));
    assert!(world.depot.fetched(BOX, &[name], NOW).is_empty(), "once more changes nothing");
    assert_eq!(world.depot.outcome(name).unwrap().state(), KeptState::Fetched);
    assert!(world.leave(BOX, 1, NOW + DAY, NOW).unwrap().is_none(), "the depositor that lost the answer gets it again");
    assert!(world.depot.forget(NOW + RELAY_TOLD_SECS - HOUR).is_empty());
    let rows = world.depot.forget(NOW + RELAY_TOLD_SECS + HOUR);
    world.take(&rows);
    assert!(world.depot.outcome(name).is_none());
}

#[test]
fn what_nobody_fetches_ends_with_its_own_time_or_after_thirty_days() {
    let mut world = world();
    world.leave(BOX, 1, NOW + 2 * DAY, NOW).unwrap();
    world.leave(BOX, 2, NOW + 90 * DAY, NOW).unwrap();
    let (short, long) = (digest(1, NOW + 2 * DAY), digest(2, NOW + 90 * DAY));
    assert!(world.depot.outlived(NOW + 2 * DAY - HOUR).is_empty());
    assert_eq!(world.depot.outlived(NOW + 2 * DAY), [(BOX, short)]);
    let rows = world.depot.expire(BOX, short, &wire::Signed::default(), NOW + 2 * DAY);
    world.take(&rows);
    assert_eq!(world.depot.outcome(short).unwrap().state(), KeptState::Expired);
    assert_eq!(world.depot.outlived(NOW + RELAY_KEEP_SECS), [(BOX, long)]);
    assert_eq!(world.leave(BOX, 3, NOW, NOW).err(), Some(DepositFault::Expired));
}

// Attack 39: what an infiltrated member leaves fills one mailbox and no other.
#[test]
fn attack_39_a_mailbox_that_is_full_refuses_keeps_what_it_has_and_leaves_others_theirs() {
    let mut world = world();
    let mut refused = 0;
    for n in 0..10_000 {
        match world.leave(BOX, n, NOW + DAY, NOW) {
            Ok(taken) => assert!(taken.is_some()),
            Err(fault) => {
                assert_eq!(fault, DepositFault::Full);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 10_000 - MAILBOX_ITEMS_MAX);
    assert_eq!(world.depot.waiting(BOX).next(), Some(digest(0, NOW + DAY)), "the oldest was not dropped");
    assert!(world.leave(OTHER, 1, NOW + DAY, NOW).unwrap().is_some());
}

#[test]
fn what_the_operator_offers_in_all_is_not_exceeded() {
    let depot = Depot::default();
    let (outside, _) = outside(1, NOW + DAY);
    let leaving = |bytes_max| Leaving { mailbox: BOX, outside: &outside, bytes_max };
    assert!(depot.arrive(&leaving(4096), &Left::default(), NOW).is_ok());
    assert_eq!(depot.arrive(&leaving(4095), &Left::default(), NOW).err(), Some(DepositFault::Full));
    let mut left = Left::default();
    assert_eq!(left.count(&leaving(9000)), 0);
    assert_eq!(left.count(&leaving(9000)), 1);
    assert_eq!(depot.arrive(&leaving(9000), &left, NOW).err(), Some(DepositFault::Full), "the batch counts");
}

/// A descriptor of member 0 with these mailboxes, as (id, keeper).
fn descriptor(mailboxes: &[(MailboxId, NodeId)]) -> Descriptor {
    let mailbox = |(id, keeper): &(MailboxId, NodeId)| wire::Mailbox {
        id: id.to_vec(),
        node_id: keeper.to_vec(),
        endpoint: String::new(),
    };
    Descriptor { mailboxes: mailboxes.iter().map(mailbox).collect(), ..Descriptor::default() }
}

// Attack 42: relays that refer to themselves, and mailboxes of others.
#[test]
fn attack_42_nobody_can_name_anothers_mailbox_or_one_keeper_twice() {
    let region = Region::new(1, 3);
    let [me, other, keeper] = [0, 1, 2].map(|n| region.members[n].node);
    let (net, own) = (region.net, region.members[0].mailbox);
    let mine = rented(net, me, keeper);
    let fits = |mailboxes: &[(MailboxId, NodeId)]| are_its_own(&descriptor(mailboxes), net, me);
    assert!(fits(&[(own, me), (mine, keeper), (rented(net, me, other), other)]));
    assert!(fits(&[(mine, keeper)]));
    assert!(!fits(&[(rented(net, other, keeper), keeper)]), "another's");
    assert!(!fits(&[(own, keeper)]), "an id of its own choice at another's node");
    assert!(!fits(&[(mine, keeper), (mine, keeper)]));
    assert!(!fits(&[(own, me), (MailboxId([8; 16]), me)]), "one keeper twice");
    assert!(!fits(&[(mine, me), (mine, keeper)]), "one id twice");
}

#[test]
fn attack_42_a_descriptor_that_names_anothers_mailbox_is_not_admitted() {
    use crate::ceremony::{Attested, Presence, describe};
    let region = Region::new(1, 3);
    let [thief, victim, keeper] = [0, 1, 2].map(|n| &region.members[n]);
    let held = region.directory.descriptor(thief.node).unwrap();
    let tls = crate::keys::SigningKey::from_seed(&thief.tls_seed).public();
    let prekeys: Vec<_> = thief.prekeys.iter().map(|(week, secret)| (*week, secret.public().unwrap())).collect();
    let with = |mailbox| {
        let presence = Presence {
            node: thief.node,
            tls_pks: &[tls],
            mailboxes: &[(mailbox, keeper.node, "keeper.example.org:7443".to_owned())],
            prekeys: &prekeys,
            languages: &[],
            reads: &[],
            attested: &Attested::default(),
        };
        region.directory.check(&describe(region.net, &presence, &thief.sign, held.serial, NOW), NOW).is_ok()
    };
    assert!(with(rented(region.net, thief.node, keeper.node)));
    assert!(!with(rented(region.net, victim.node, keeper.node)));
    assert!(!with(keeper.mailbox));
}

#[test]
fn a_tenant_is_one_while_its_chain_holds() {
    let region = Region::new(1, 2);
    let (a, b) = (&region.members[0], &region.members[1]);
    let tenants = Tenants::of(&region.directory, b.node);
    assert_eq!(tenants.tenant(&region.directory, b.mailbox, NOW), None, "its own mailbox is not rented");
    let mut tenants = Tenants::default();
    let mailbox = rented(region.net, a.node, b.node);
    tenants.0.insert(mailbox, a.node);
    assert_eq!(tenants.tenant(&region.directory, mailbox, NOW), Some(a.node));
    assert_eq!(tenants.tenant(&region.directory, mailbox, NOW + 400 * DAY), None);
    assert_eq!(tenants.tenant(&region.directory, OTHER, NOW), None);
}
