//! Which letter may be laid aside, released, ended or proved, by where it stands; and what of an old copy is held.

use super::*;
use crate::ids::Digest;

const STATES: [LetterState; 4] =
    [LetterState::Stored, LetterState::Taken, LetterState::Unopenable, LetterState::Quarantined];

fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// A letter in each state, the last to come first by its digest: their digests are 0 to 3.
fn room() -> Mailroom {
    let mut room = Mailroom::default();
    for (n, state) in (0..).zip(STATES) {
        let letter = Letter { state: state as u32, arrival: u64::from(9 - n), len: 10, ..Letter::default() };
        room.apply(&service_row(Table::Mailbox, &[n; 32], Some(&letter)));
    }
    room
}

/// In which states there is a row, and the letter that it leaves.
fn by_state(row: impl Fn(&Mailroom, Digest) -> Option<Row>) -> Vec<(LetterState, Letter)> {
    let room = room();
    let of = |(n, state): (u8, LetterState)| {
        let row = row(&room, digest(n))?;
        assert_eq!((row.table, row.key.as_slice()), (Table::Mailbox, &[n; 32][..]));
        Some((state, Letter::decode(row.value.as_deref()?).unwrap()))
    };
    assert!(row(&room, digest(77)).is_none(), "one that is not here");
    (0..).zip(STATES).filter_map(of).collect()
}

fn states(found: &[(LetterState, Letter)]) -> Vec<LetterState> {
    found.iter().map(|(state, _)| *state).collect()
}

#[test]
fn only_what_waits_is_laid_aside_and_only_what_is_quarantined_is_released() {
    use LetterState::{Quarantined, Stored};
    let aside = by_state(|room, of| room.lay_aside(of, true));
    assert_eq!(states(&aside), [Stored]);
    assert!(aside[0].1.aside && aside[0].1.opens_at == 0);
    let until = by_state(|room, of| room.lay_aside_until(of, NOW));
    assert_eq!((states(&until), until[0].1.aside, until[0].1.opens_at), (vec![Stored], true, NOW));
    let again = by_state(|room, of| room.lay_aside(of, false));
    assert!(!again[0].1.aside);
    let released = by_state(|room, of| room.release(of));
    assert_eq!((states(&released), released[0].1.state), (vec![Quarantined], Stored as u32));
    assert!(released[0].1.released);
}

#[test]
fn what_nobody_opened_ends_with_an_erased_case_and_what_ended_stays_as_it_is() {
    let ended = by_state(|room, of| {
        let rows = room.end_erased(of);
        let gone: Vec<_> = rows.iter().skip(1).map(|row| (row.table, row.value.is_none())).collect();
        assert_eq!(gone, vec![(Table::Envelope, true); gone.len()]);
        assert_eq!(gone.len(), usize::from(!rows.is_empty()), "its bytes go with it");
        rows.into_iter().next()
    });
    assert_eq!(states(&ended), [LetterState::Stored, LetterState::Quarantined]);
    assert!(ended.iter().all(|(_, letter)| letter.state == LetterState::Taken as u32 && letter.quarantine.is_none()));
    let statement = wire::Signed { payload: vec![1], ..wire::Signed::default() };
    let unopened = by_state(|room, of| room.end_unopened(of, &statement).into_iter().next());
    assert_eq!(unopened.len(), 4);
    for (_, letter) in unopened {
        assert_eq!((letter.state, letter.not_opened), (LetterState::Unopenable as u32, statement.encode_to_vec()));
    }
}

#[test]
fn a_sending_is_proved_once() {
    let proved = by_state(|room, of| room.sending_proved(of, NOW));
    assert!(proved.len() == 4 && proved.iter().all(|(_, letter)| letter.proved_at == NOW));
    let mut room = room();
    room.apply(&room.sending_proved(digest(0), NOW).unwrap());
    assert!(room.sending_proved(digest(0), NOW + 1).is_none());
    let mut region = Region::new(1, 2);
    let mut sender = Mailroom::default();
    let (sealed, rows) = letter(&mut region, &sender, 1);
    apply(&mut sender, &rows);
    let [a, b] = [0, 1].map(|n: usize| region.members[n].node);
    assert!(sender.fate_proved(sealed.digest, a, NOW).is_none(), "by somebody else");
    assert!(sender.fate_proved(digest(9), b, NOW).is_none());
    let row = sender.fate_proved(sealed.digest, b, NOW).unwrap();
    sender.apply(&row);
    assert_eq!(sender.outgoing(MsgId([1; 16])).unwrap().proved_at, NOW);
    assert!(sender.fate_proved(sealed.digest, b, NOW + 1).is_none());
}

#[test]
fn letters_are_listed_by_where_they_stand_in_the_order_they_came() {
    let mut room = room();
    // Three more that wait: one laid aside, one until its time, one that came before all.
    for (n, arrival, aside, opens_at) in [(4, 20, true, 0), (5, 10, true, NOW), (6, 1, false, 0)] {
        let state = LetterState::Stored as u32;
        let letter = Letter { state, arrival, aside, opens_at, ..Letter::default() };
        room.apply(&service_row(Table::Mailbox, &[n; 32], Some(&letter)));
    }
    room.apply(&service_row(
        Table::Mailbox,
        &[7; 32],
        Some(&Letter { state: LetterState::Quarantined as u32, arrival: 3, ..Letter::default() }),
    ));
    let of = |all: Vec<Digest>| all.into_iter().map(|digest| digest.0[0]).collect::<Vec<_>>();
    assert_eq!(of(room.unopened()), [6, 0, 5, 4]);
    assert_eq!(of(room.to_open().collect()), [6, 0]);
    assert_eq!(of(room.aside().collect()), [5, 4]);
    assert_eq!(of(room.dated_ahead().collect()), [5]);
    assert_eq!(of(room.quarantined().into_iter().map(|(digest, _)| digest).collect()), [7, 3]);
    assert_eq!(of(room.sealed_letters().collect()), [0, 3, 4, 5, 6, 7]);
    assert!(room.knows(digest(1)) && !room.knows(digest(77)));
}

/// The id of a message of this kind.
fn of_kind(kind: u8) -> MsgId {
    MsgId([kind; 16])
}

#[test]
fn what_was_under_way_in_an_old_copy_is_held_a_few_at_a_time_and_what_would_do_harm_is_not() {
    use MessageType as M;
    let mut room = Mailroom::default();
    let (held, goes) = ([2, 3, 4, 6, 99], [M::Withdrawal, M::Receipt, M::Audit, M::Proofs, M::Erased, M::Alarm]);
    assert!(goes.iter().all(|kind| !held.contains(&(*kind as u8))));
    for kind in held.into_iter().chain(goes.map(|kind| kind as u8)) {
        let row = Outgoing { state: Delivery::Queued as u32, msg_type: u32::from(kind), ..Outgoing::default() };
        room.apply(&service_row(Table::Outbox, of_kind(kind).as_bytes(), Some(&row)));
    }
    let ended = Outgoing { state: Delivery::Recalled as u32, msg_type: 2, ..Outgoing::default() };
    room.apply(&service_row(Table::Outbox, of_kind(1).as_bytes(), Some(&ended)));
    for rows in [2, 2, 1, 0] {
        let step = room.hold_old(2, NOW);
        assert_eq!(step.len(), rows);
        apply(&mut room, &step);
    }
    for (id, row) in room.all_outgoing() {
        let is_held = held.contains(&id.0[0]);
        assert_eq!((row.of_old, row.may_have_left, row.next_try == NOW), (is_held, is_held, is_held), "{id}");
        assert!(!is_held || !room.can_recall(id));
    }
    assert_eq!(room.held_old().count(), 0, "until a person or its end");
    let rows = room.end_old(of_kind(3), NOW + 5);
    apply(&mut room, &rows);
    let row = room.outgoing(of_kind(3)).unwrap();
    assert_eq!((Delivery::of(row), row.settled_at, row.fault), (Delivery::Expired, NOW + 5, FAULT_OF_OLD));
    let found: Vec<MsgId> = room.held_old().map(|(id, _)| id).collect();
    assert_eq!(found, [of_kind(3)]);
    assert!(!room.is_under_way(of_kind(3)) && room.is_under_way(of_kind(4)));
    // Another message with that fault was never held.
    let other = Outgoing { fault: FAULT_OF_OLD, ..Outgoing::default() };
    room.apply(&service_row(Table::Outbox, of_kind(50).as_bytes(), Some(&other)));
    assert_eq!(room.held_old().count(), 1);
    assert!(room.end_old(MsgId([77; 16]), NOW).is_empty());
}

#[test]
fn what_nodes_write_by_themselves_and_what_nobody_answers_is_known_by_its_kind() {
    use MessageType as M;
    let all = (0..200u32).filter(|kind| is_node_mail(*kind)).collect::<Vec<_>>();
    let mut own = [M::Receipt, M::Audit, M::Proofs, M::Erased, M::Alarm].map(|kind| kind as u32);
    own.sort_unstable();
    assert_eq!(all, own);
    let mut unanswered = [M::Receipt, M::Proofs].map(|kind| kind as u32);
    unanswered.sort_unstable();
    assert_eq!((0..200u32).filter(|kind| is_unanswered(*kind)).collect::<Vec<_>>(), unanswered);
}

#[test]
fn a_letter_has_its_place_behind_all_that_ever_came_and_those_before_it_in_its_batch() {
    let mut region = Region::new(1, 2);
    let (sealed, _) = letter(&mut region, &Mailroom::default(), 1);
    let outside = Outside::parse(&sealed.bytes).unwrap();
    let mut room = Mailroom::default();
    let ended = Letter { state: LetterState::Taken as u32, arrival: 5, ..Letter::default() };
    room.apply(&service_row(Table::Mailbox, &[1; 32], Some(&ended)));
    let rows = room.store(&outside, sealed.bytes, 3, &wire::StorageReceipt::default(), NOW);
    assert_eq!(Letter::decode(rows[0].value.as_deref().unwrap()).unwrap().arrival, 5 + 1 + 3);
}

#[test]
fn a_letter_is_kept_for_a_person_with_whose_it_is_and_since_when_and_once() {
    let mut region = Region::new(1, 2);
    let (sealed, _) = letter(&mut region, &Mailroom::default(), 1);
    let mut room = Mailroom::default();
    let outside = store(&region, &mut room, &sealed);
    let opened = opened(&region, &outside);
    room.apply(&room.quarantine(&opened, NOW + 5).unwrap());
    let from = &region.members[0];
    let expected =
        Quarantine { org: from.org.to_vec(), node: from.node.to_vec(), msg_type: 2, created: NOW, since: NOW + 5 };
    let held = room.letter(outside.digest).unwrap();
    assert_eq!(held.state, LetterState::Quarantined as u32);
    assert!(held.quarantine == Some(expected));
    assert!(room.unopened().is_empty() && room.quarantine(&opened, NOW + 6).is_none());
    // With its case nothing of that stays, nor that another one lay aside.
    let aside = Letter { state: LetterState::Stored as u32, aside: true, ..Letter::default() };
    room.apply(&service_row(Table::Mailbox, &[7; 32], Some(&aside)));
    for of in [outside.digest, digest(7)] {
        let rows = room.end_erased(of);
        apply(&mut room, &rows);
        let ended = room.letter(of).unwrap();
        assert!(ended.quarantine.is_none() && !ended.aside && ended.state == LetterState::Taken as u32);
    }
}

#[test]
fn that_one_conversation_begins_says_nothing_of_another() {
    let (one, other, to) = (ConversationId([1; 32]), ConversationId([2; 32]), NodeId([3; 16]));
    let mut room = Mailroom::default();
    let moved = room.move_places_on(NOW);
    room.apply(&moved);
    let begun = [room.begin(one).unwrap()];
    let places = [one, other].map(|conversation| room.next_place_beside(&begun, conversation, to).seq);
    assert_eq!(places, [1, PLACES_SKIPPED + 1]);
    let elsewhere = [Row { table: Table::Meta, ..begun[0].clone() }];
    assert_eq!(room.next_place_beside(&elsewhere, one, to).seq, PLACES_SKIPPED + 1);
}
