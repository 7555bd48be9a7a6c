//! Every quota of what is kept for others, from both sides; and what makes way when there is too much of what ended.

use super::*;
use crate::limits::{MAILBOX_BYTES_MAX, RELAY_ENDED_MAX, RELAY_ENDS_AT_ONCE, RELAY_ITEMS_MAX};
use crate::rows::{Table, Under};

/// The outside of an envelope that says it is so large.
fn of_size(size_class: u64) -> Outside {
    let mut outside = outside(1, NOW + DAY).0;
    outside.size_class = size_class;
    outside
}

/// A mailbox for each number.
fn mailbox(n: u64) -> MailboxId {
    MailboxId((u128::from(n) << 64).to_be_bytes())
}

fn row(n: u64, state: KeptState, until_hour: u64) -> Row {
    let digest = crate::pae::sha256(&n.to_be_bytes()).to_vec();
    let kept = Kept { digest, order: n, until_hour, size_class: 10, state: state as u32, ..Kept::default() };
    let key = [BOX.as_bytes(), &u128::from(n).to_be_bytes()].concat();
    Row { table: Table::Relay, key, value: Some(kept.encode_to_vec()), under: Under::Service, must_be_new: false }
}

#[test]
fn each_quota_is_reached_and_not_passed() {
    let depot = Depot::default();
    let fault = |left: &Left, to: MailboxId, size: u64| {
        let outside = of_size(size);
        depot.arrive(&Leaving { mailbox: to, outside: &outside, bytes_max: u64::MAX }, left, NOW).err()
    };
    let full = Some(DepositFault::Full);
    let count = |left: &mut Left, to: MailboxId, size: u64| {
        left.count(&Leaving { mailbox: to, outside: &of_size(size), bytes_max: u64::MAX })
    };
    // The bytes of one mailbox.
    let mut left = Left::default();
    assert_eq!(fault(&left, BOX, MAILBOX_BYTES_MAX), None);
    assert_eq!(fault(&left, BOX, MAILBOX_BYTES_MAX + 1), full);
    count(&mut left, BOX, 100);
    assert_eq!(fault(&left, BOX, MAILBOX_BYTES_MAX - 100), None);
    assert_eq!(fault(&left, BOX, MAILBOX_BYTES_MAX - 99), full);
    assert_eq!(fault(&left, OTHER, MAILBOX_BYTES_MAX), None, "another has its own");
    // The items of one mailbox, in one batch.
    let mut left = Left::default();
    (0..MAILBOX_ITEMS_MAX as u64 - 1).for_each(|n| assert_eq!(count(&mut left, BOX, 1), n));
    assert_eq!(fault(&left, BOX, 1), None);
    count(&mut left, BOX, 1);
    assert_eq!((fault(&left, BOX, 1), fault(&left, OTHER, 1)), (full, None));
    // The items of all.
    let mut left = Left::default();
    (1..RELAY_ITEMS_MAX as u64).for_each(|n| assert_eq!(count(&mut left, mailbox(n), 1), 0));
    assert_eq!(fault(&left, BOX, 1), None);
    count(&mut left, mailbox(0), 1);
    assert_eq!(fault(&left, BOX, 1), full);
    // The bytes of all.
    let mut left = Left::default();
    let boxes = RELAY_BYTES_MAX / MAILBOX_BYTES_MAX;
    (1..boxes).for_each(|n| assert_eq!(count(&mut left, mailbox(n), MAILBOX_BYTES_MAX), 0));
    assert_eq!(fault(&left, BOX, MAILBOX_BYTES_MAX), None);
    count(&mut left, mailbox(0), 1);
    assert_eq!(fault(&left, BOX, MAILBOX_BYTES_MAX), full);
}

#[test]
fn what_waits_is_counted_and_what_ended_is_not() {
    let mut depot = Depot::default();
    for n in 1..=3 {
        depot.apply(&row(n, KeptState::Waiting, NOW / HOUR + 9));
    }
    assert_eq!((depot.held(), depot.waiting(BOX).count()), ((3, 30), 3));
    let outside = of_size(1);
    let leaving = |bytes_max| Leaving { mailbox: BOX, outside: &outside, bytes_max };
    assert!(depot.arrive(&leaving(31), &Left::default(), NOW).is_ok());
    assert_eq!(depot.arrive(&leaving(30), &Left::default(), NOW).err(), Some(DepositFault::Full));
    for (size, fault) in [(MAILBOX_BYTES_MAX - 30, None), (MAILBOX_BYTES_MAX - 29, Some(DepositFault::Full))] {
        let large = of_size(size);
        let leaving = Leaving { mailbox: BOX, outside: &large, bytes_max: u64::MAX };
        assert_eq!(depot.arrive(&leaving, &Left::default(), NOW).err(), fault, "with what waits in this mailbox");
    }
    // The fourth of a batch has its place behind the three before it, and those behind the last that ever came.
    let rows = depot.keep(&leaving(99), vec![1], 3, &wire::StorageReceipt::default(), [9; 16], NOW);
    let kept = Kept::decode(rows[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((kept.order, kept.hour, kept.state()), (3 + 1 + 3, NOW / HOUR, KeptState::Waiting));
    depot.apply(&row(2, KeptState::Fetched, NOW / HOUR + 9));
    assert_eq!((depot.held(), depot.waiting(BOX).count()), ((2, 20), 2));
    depot.apply(&row(2, KeptState::Fetched, NOW / HOUR + 10));
    assert_eq!(depot.held(), (2, 20), "once");
}

#[test]
fn of_too_many_that_ended_the_oldest_are_forgotten_and_none_that_waits() {
    let mut depot = Depot::default();
    let later = NOW / HOUR + 1;
    let most = RELAY_ENDED_MAX as u64;
    // One that waits is due before all of them.
    depot.apply(&row(most * 2, KeptState::Waiting, later));
    (0..most).for_each(|n| depot.apply(&row(n, KeptState::Fetched, later + 1 + n)));
    assert!(depot.forget(NOW).is_empty());
    let forgotten = |depot: &Depot| depot.forget(NOW).iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    depot.apply(&row(most, KeptState::Expired, later + 1 + most));
    assert_eq!(forgotten(&depot), [row(0, KeptState::Fetched, 0).key]);
    let many = RELAY_ENDS_AT_ONCE as u64;
    (1..=many).for_each(|n| depot.apply(&row(most + n, KeptState::Expired, later + 1 + most + n)));
    assert_eq!(forgotten(&depot).len(), RELAY_ENDS_AT_ONCE, "the rest at the next look");
    assert!(forgotten(&depot).contains(&row(many - 1, KeptState::Fetched, 0).key));
}

#[test]
fn so_many_come_to_their_end_at_one_look() {
    let mut depot = Depot::default();
    (0..=RELAY_ENDS_AT_ONCE as u64).for_each(|n| depot.apply(&row(n, KeptState::Waiting, NOW / HOUR)));
    assert_eq!(depot.outlived(NOW - 1).len(), 0);
    assert_eq!(depot.outlived(NOW).len(), RELAY_ENDS_AT_ONCE);
}

#[test]
fn a_node_keeps_for_whoever_names_it_until_that_descriptor_ends() {
    let mut region = Region::new(1, 3);
    let (a, b) = (&region.members[0], &region.members[1]);
    let rents = rented(region.net, a.node, b.node);
    let held = region.directory.descriptor(a.node).unwrap();
    let mut next = Descriptor { serial: held.serial + 1, ..held.clone() };
    let endpoint = "keeper.example.org:7443".to_owned();
    next.mailboxes.push(wire::Mailbox { id: rents.to_vec(), node_id: b.node.to_vec(), endpoint });
    let signed = crate::signed::sign(crate::labels::media::DESCRIPTOR, next.encode_to_vec(), &a.sign);
    let (tenant, keeper, ends) = (a.node, b.node, next.expires);
    let checked = region.directory.check(&signed, NOW).unwrap().unwrap();
    region.directory.insert(checked);
    let tenants = Tenants::of(&region.directory, keeper);
    assert_eq!(tenants.0, [(rents, tenant)].into(), "its own mailbox is nobody's, and others name others");
    let at = |now| tenants.tenant(&region.directory, rents, now);
    assert_eq!([NOW, ends - 1, ends].map(at), [Some(tenant), Some(tenant), None]);
    assert!(Tenants::of(&region.directory, tenant).0.is_empty());
}
