//! Batches of deposits: what the one signature over them covers, and the room that those before in a batch take.

use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::limits::{MAILBOX_BYTES_MAX, MAILBOX_ITEMS_MAX};
use clearhouse_protocol::rows::Table;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::tests::{letter_at, office};
use super::*;

/// Deposits a batch; what each depositor is told.
fn deposit(region: &Region, office: &mut Office, batch: Vec<Deposit>) -> (Step, Vec<Deposited>) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
    let (step, replies) = office.deposit(batch, &mut now);
    office.take(&step);
    (step, replies)
}

fn stored(step: &Step) -> usize {
    step.rows.iter().filter(|row| row.table == Table::Envelope && row.value.is_some()).count()
}

#[test]
fn what_is_not_stored_is_under_no_signature() {
    let mut region = Region::new(1, 2);
    let mut office = office(&region);
    let bytes: Vec<Vec<u8>> = (1..=4).map(|seq| letter_at(&mut region, (seq, None), NOW)).collect();
    let of = |n: usize| Deposit { outside: Outside::parse(&bytes[n]).unwrap(), bytes: bytes[n].clone() };
    let (_, before) = deposit(&region, &mut office, vec![of(0)]);
    let (mut late, mut astray) = (of(1), of(2));
    late.outside.expires = NOW;
    astray.outside.mailbox.0[0] ^= 1;
    let (step, replies) = deposit(&region, &mut office, vec![of(0), late, astray, of(3)]);
    assert_eq!((stored(&step), step.events.len()), (1, 1));
    assert!(replies[0] == before[0], "the same receipt again");
    assert!(replies[1] == Err(DepositFault::Expired));
    assert!(replies[2] == Err(DepositFault::NoSuchMailbox));
    let receipt = replies[3].as_ref().unwrap();
    assert!(receipt.path.is_empty() && receipt.index == 0, "the signature is over the one that is stored");
}

#[test]
fn those_before_in_a_batch_take_room_too() {
    let half = usize::try_from(MAILBOX_BYTES_MAX / 2).unwrap();
    for (len, fits) in [(half, true), (half + 1, false)] {
        let mut region = Region::new(1, 2);
        let mut office = office(&region);
        let first = Outside::parse(&letter_at(&mut region, (1, None), NOW)).unwrap();
        let second = Outside::parse(&letter_at(&mut region, (2, None), NOW)).unwrap();
        let deposits = [(first, half), (second, len)];
        let batch = deposits.map(|(outside, len)| Deposit { outside, bytes: vec![0; len] });
        let (step, replies) = deposit(&region, &mut office, batch.into());
        assert_eq!((replies[0].is_ok(), replies[1].is_ok(), stored(&step)), (true, fits, 1 + usize::from(fits)));
    }
}

#[test]
fn a_mailbox_takes_as_many_letters_as_it_may_hold_and_none_more() {
    let mut region = Region::new(1, 2);
    let mut office = office(&region);
    let bytes = letter_at(&mut region, (1, None), NOW);
    // Each is another letter by its name; the mailbox looks at nothing else of it.
    let another = |n: usize| {
        let mut outside = Outside::parse(&bytes).unwrap();
        outside.digest.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        Deposit { outside, bytes: vec![0; 9] }
    };
    let (_, replies) = deposit(&region, &mut office, (0..MAILBOX_ITEMS_MAX - 1).map(another).collect());
    assert!(replies.iter().all(Result::is_ok));
    let last = MAILBOX_ITEMS_MAX - 1..MAILBOX_ITEMS_MAX + 1;
    let (step, replies) = deposit(&region, &mut office, last.map(another).collect());
    assert!(replies[0].is_ok() && replies[1] == Err(DepositFault::Full));
    assert_eq!(stored(&step), 1);
}
