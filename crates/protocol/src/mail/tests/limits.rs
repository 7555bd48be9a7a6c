//! What a mailbox takes, how long it remembers, and what a row says of a message at each of its steps.

use super::*;
use crate::ids::{CaseId, Digest, OrgId, PrekeyId, StaffId};
use crate::limits::{
    BACKOFF_FIRST_SECS, GAP_MAX, HOUR, MAILBOX_BYTES_MAX, OUTBOX_MAX, RECEIPT_ASK_SECS, RECEIPT_ASKS_MAX,
    REPLAY_MEMORY_SECS,
};

const ID: MsgId = MsgId([1; 16]);

fn letter_row(n: u8, letter: &Letter) -> Row {
    service_row(Table::Mailbox, &[n; 32], Some(letter))
}

/// A letter at a place of its sender's choice.
fn at_place(region: &mut Region, id: u8, seq: u64, prev_digest: Option<[u8; 32]>) -> Sealed {
    sealed_at(region, id, (seq, prev_digest), (NOW, NOW + DAY))
}

/// The row of the first message after a step.
fn after(room: &mut Mailroom, rows: &[Row]) -> Outgoing {
    apply(room, rows);
    room.outgoing(ID).unwrap().clone()
}

#[test]
fn a_mailbox_takes_as_many_letters_and_bytes_as_it_has_room_for() {
    let mut region = Region::new(1, 2);
    let (sealed, _) = letter(&mut region, &Mailroom::default(), 1);
    let outside = Outside::parse(&sealed.bytes).unwrap();
    let mine = [region.members[1].mailbox];
    let mut room = Mailroom::default();
    let waits = Letter { state: LetterState::Stored as u32, arrival: 1, len: 1000, ..Letter::default() };
    room.apply(&letter_row(1, &waits));
    let mut other = Mailroom::default();
    store(&region, &mut other, &sealed);
    let kept = other.letter(sealed.digest).unwrap();
    assert_eq!((kept.stored_hour, kept.len, kept.expires), (NOW / HOUR, sealed.bytes.len() as u64, outside.expires));
    let full = Some(DepositFault::Full);
    let fault = |room: &Mailroom, len, staged| room.arrive(&outside, len, staged, &mine, NOW).err();
    let left = MAILBOX_BYTES_MAX - 1000;
    assert_eq!(fault(&room, 60, (0, left - 60)), None);
    assert_eq!(fault(&room, 61, (0, left - 60)), full);
    assert_eq!(fault(&room, 60, (0, left - 59)), full);
    assert_eq!(fault(&room, 1, (MAILBOX_ITEMS_MAX - 2, 0)), None);
    assert_eq!(fault(&room, 1, (MAILBOX_ITEMS_MAX - 1, 0)), full);
    // What was opened takes no room any more.
    room.apply(&letter_row(1, &Letter { state: LetterState::Taken as u32, ..waits }));
    assert_eq!(fault(&room, 60, (MAILBOX_ITEMS_MAX - 1, MAILBOX_BYTES_MAX - 60)), None);
    let ends = |now| room.arrive(&outside, 1, (0, 0), &mine, now).err();
    assert_eq!((ends(outside.expires - 1), ends(outside.expires)), (None, Some(DepositFault::Expired)));
}

#[test]
fn what_ended_is_forgotten_when_it_can_come_no_more_and_what_waits_never() {
    let (mut room, mut forgotten) = (Mailroom::default(), Vec::new());
    for (n, state) in
        (1..).zip([LetterState::Stored, LetterState::Taken, LetterState::Unopenable, LetterState::Quarantined])
    {
        room.apply(&letter_row(n, &Letter { state: state as u32, expires: NOW, ..Letter::default() }));
    }
    let key = [NodeId([7; 16]).as_bytes(), ID.as_bytes()].concat();
    let taken = Taken { keep_until: NOW + REPLAY_MEMORY_SECS, ..Taken::default() };
    room.apply(&service_row(Table::Taken, &key, Some(&taken)));
    for now in [NOW + REPLAY_MEMORY_SECS, NOW + REPLAY_MEMORY_SECS + 1] {
        let rows = room.forget(now);
        assert!(rows.iter().all(|row| row.value.is_none()));
        forgotten.push(rows.into_iter().map(|row| (row.table, row.key[0])).collect::<Vec<_>>());
    }
    let (letter, sealed) = (Table::Mailbox, Table::Envelope);
    let all = vec![(letter, 2), (letter, 3), (letter, 4), (sealed, 4), (Table::Taken, 7)];
    assert_eq!(forgotten, [vec![], all], "with the bytes of what nobody opened");
}

#[test]
fn an_envelope_is_shared_with_the_node_it_went_to_or_came_from_and_with_no_other() {
    let mut region = Region::new(1, 3);
    let nodes = [0, 1, 2].map(|n: usize| region.members[n].node);
    let mut sender = Mailroom::default();
    let (sealed, rows) = letter(&mut region, &sender, 1);
    apply(&mut sender, &rows);
    assert_eq!(nodes.map(|node| sender.is_shared(sealed.digest, node)), [false, true, false]);
    let mut room = Mailroom::default();
    receive(&region, &mut room, &sealed);
    assert_eq!(nodes.map(|node| room.is_shared(sealed.digest, node)), [true, false, false]);
    assert!(!room.is_shared(Digest([9; 32]), nodes[0]));
    let ids = |conversation, org| sender.in_conversation(conversation, org).map(|(id, _)| id).collect::<Vec<_>>();
    let (conversation, org) = (ConversationId([1; 32]), region.members[1].org);
    assert_eq!(ids(conversation, org), [ID]);
    assert!(ids(conversation, OrgId([9; 16])).is_empty() && ids(ConversationId([2; 32]), org).is_empty());
}

#[test]
fn a_row_says_of_a_message_where_it_stands_and_since_when() {
    let mut region = Region::new(1, 2);
    let b = region.members[1].node;
    let mut room = Mailroom::default();
    let (sealed, rows) = letter(&mut region, &room, 1);
    let queued = after(&mut room, &rows);
    assert_eq!((queued.state, queued.queued_at, queued.next_try), (Delivery::Queued as u32, NOW, NOW));
    assert_eq!((queued.digest.as_slice(), queued.seq, queued.expires), (&sealed.digest.0[..], 1, NOW + DAY));
    assert!(room.hurry(NOW).is_empty(), "what was never tried is due when it is due");

    let failed = room.attempted(ID, Attempt::Failed { fault: 7 }, NOW, &mut region.rng);
    let failed = after(&mut room, &failed);
    assert_eq!((failed.fault, failed.attempts, failed.settled_at, failed.stored_at), (7, 1, 0, 0));
    let hurried = room.hurry(NOW + 1);
    assert_eq!((hurried.len(), after(&mut room, &hurried).next_try), (1, NOW + 1));
    // Answered from here without ever being seen stored; or ended by its time.
    let mut answered = room.clone();
    let rows = answered.settle(ID, b, NOW + 5).unwrap();
    let settled = after(&mut answered, &rows);
    assert_eq!((settled.settled_at, settled.stored_at, settled.fault), (NOW + 5, NOW + 5, 0));
    let mut ended = room.clone();
    let rows = ended.end(ID, Delivery::Expired, NOW + 6);
    let expired = after(&mut ended, &rows);
    assert_eq!((Delivery::of(&expired), expired.settled_at, expired.stored_at), (Delivery::Expired, NOW + 6, 0));

    let stored = room.attempted(ID, Attempt::Stored { locked: false }, NOW + 2, &mut region.rng);
    let stored = after(&mut room, &stored);
    assert_eq!((stored.stored_at, stored.attempts, stored.fault, stored.may_have_left), (NOW + 2, 0, 0, true));
    let soon = NOW + 2 + BACKOFF_FIRST_SECS / 2..=NOW + 2 + BACKOFF_FIRST_SECS;
    assert!(soon.contains(&stored.next_try), "asked after it the first time");
    let hurried = room.hurry(NOW + 2);
    assert_eq!(after(&mut room, &hurried).next_try, NOW + 2, "a person asks what became of it");
    assert!(room.to_ask(NOW + 1).eq([]));
    assert!([NOW + 2, NOW + DAY - 1].into_iter().all(|now| room.to_ask(now).eq([ID])));
    assert!(room.to_ask(NOW + DAY).eq([]), "its time is over");
    let rows = room.settle(ID, b, NOW + 9).unwrap();
    let settled = after(&mut room, &rows);
    assert_eq!((settled.settled_at, settled.stored_at), (NOW + 9, NOW + 2));
}

#[test]
fn the_pauses_between_two_questions_after_a_receipt_grow_fourfold_and_there_are_seven_questions() {
    let mut region = Region::new(1, 2);
    let to = (region.members[1].org, region.members[1].node);
    let mut room = Mailroom::default();
    let sealed = at_place(&mut region, 1, 1, None);
    let out = Outbound {
        sealed: &sealed,
        msg_id: ID,
        peer: to,
        conversation: ConversationId([1; 32]),
        seq: 1,
        msg_type: MessageType::Receipt as u32,
        body: b"words",
        expires: NOW + DAY,
        case: Some(CaseId([2; 16])),
        prekey: PrekeyId([1; 16]),
        prev: Some([3; 32]),
        actor: Some(StaffId([4; 16])),
        not_before: NOW + 3,
        remade: 5,
    };
    let rows = room.queue(&[], &out, NOW);
    let queued = after(&mut room, &rows);
    assert_eq!((queued.next_try, queued.remade, queued.msg_type), (NOW + 3, 5, MessageType::Receipt as u32));
    assert_eq!((queued.case, queued.prev_digest, queued.actor), (vec![2; 16], vec![3; 32], vec![4; 16]));
    assert_eq!((queued.prekey, queued.peer_org, queued.peer_node), (vec![1; 16], to.0.to_vec(), to.1.to_vec()));
    let rows = room.attempted(ID, Attempt::Stored { locked: false }, NOW + 3, &mut region.rng);
    let stored = after(&mut room, &rows);
    assert_eq!(
        (Delivery::of(&stored), stored.settled_at, stored.statement),
        (Delivery::Settled, NOW + 3, b"words".to_vec())
    );
    let mut now = stored.next_try;
    assert_eq!(now, NOW + 3 + RECEIPT_ASK_SECS);
    let mut pauses = Vec::new();
    while room.is_unconfirmed(ID) {
        assert!(room.to_ask(now - 1).eq([]) && room.to_ask(now).eq([ID]));
        assert_eq!(room.next_due(), Some(now));
        let mut told = room.clone();
        let rows = told.attempted(ID, Attempt::Taken, now, &mut region.rng);
        assert!(after(&mut told, &rows).statement.is_empty(), "it says so, and nobody asks again");
        let rows = room.attempted(ID, Attempt::Failed { fault: 1 }, now, &mut region.rng);
        let next = after(&mut room, &rows).next_try;
        pauses.push((next - now) / RECEIPT_ASK_SECS);
        now = next;
    }
    assert_eq!(pauses, [4, 16, 64, 256, 1024, 4096, 16384]);
    assert_eq!(pauses.len(), RECEIPT_ASKS_MAX as usize);
    assert!(room.attempted(ID, Attempt::Taken, now, &mut region.rng).is_empty(), "nothing was asked");
}

#[test]
fn a_gap_is_listed_up_to_its_limit_and_one_place_twice_is_seen_whatever_it_names() {
    let mut region = Region::new(1, 2);
    let (conversation, peer) = (ConversationId([1; 32]), region.members[0].node);
    let first = at_place(&mut region, 1, 1, None);
    let digest = crate::envelope::body_digest(ID, &[1]);
    for (seq, prev, listed, broken) in [
        (2, Some(digest), 0, false),
        (2, Some([9; 32]), 0, true),
        (2, None, 0, true),
        (1 + GAP_MAX, Some([9; 32]), GAP_MAX - 1, false),
        (2 + GAP_MAX, Some([9; 32]), 0, true),
        (1, Some(digest), 0, true),
    ] {
        let mut room = Mailroom::default();
        receive(&region, &mut room, &first);
        let second = at_place(&mut region, 2, seq, prev);
        receive(&region, &mut room, &second);
        let (missing, found) = room.gaps(conversation, peer);
        assert_eq!((missing.len() as u64, found), (listed, broken), "{seq}");
        assert_eq!(room.received_up_to(conversation, peer), seq);
        assert!(room.has_written_with(peer) && !room.has_written_with(NodeId([9; 16])));
    }
}

#[test]
fn the_outbox_takes_as_many_as_may_wait_and_what_ended_takes_no_room() {
    let mut room = Mailroom::default();
    let row = |n: usize, state: Delivery| {
        let row = Outgoing { state: state as u32, ..Outgoing::default() };
        service_row(Table::Outbox, &(n as u128).to_be_bytes(), Some(&row))
    };
    (1..OUTBOX_MAX).for_each(|n| room.apply(&row(n, Delivery::Queued)));
    assert!(room.outbox_has_room());
    room.apply(&row(0, Delivery::Stored));
    assert!(!room.outbox_has_room());
    room.apply(&row(5, Delivery::Settled));
    assert!(room.outbox_has_room());
}

#[test]
fn a_message_sealed_anew_goes_at_once_as_if_it_had_never_been_tried() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (old, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    for attempt in [Attempt::Stored { locked: false }, Attempt::Failed { fault: 7 }] {
        let rows = room.attempted(ID, attempt, NOW, &mut region.rng);
        apply(&mut room, &rows);
    }
    let new = at_place(&mut region, 1, 1, None);
    let rows = room.reseal(ID, &new, PrekeyId([8; 16]), NOW + 9);
    let envelopes = rows.iter().filter(|row| row.table == Table::Envelope);
    let envelopes: Vec<_> = envelopes.map(|row| (row.key.clone(), row.value.clone())).collect();
    assert_eq!(envelopes, [(old.digest.to_vec(), None), (new.digest.to_vec(), Some(new.bytes.clone()))]);
    let row = after(&mut room, &rows);
    assert_eq!((row.state, row.attempts, row.next_try, row.fault), (Delivery::Queued as u32, 0, NOW + 9, 0));
    assert_eq!((row.digest, row.prekey, row.seq), (new.digest.to_vec(), vec![8; 16], 1));
    assert!(room.knows(new.digest) && !room.knows(old.digest));
    assert!(room.reseal(MsgId([9; 16]), &new, PrekeyId([8; 16]), NOW).is_empty());
}

#[test]
fn a_pause_is_between_half_and_the_whole_of_its_step_and_anywhere_between_them() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    for attempt in 0..12 {
        let whole = (BACKOFF_FIRST_SECS << attempt).min(BACKOFF_MAX_SECS);
        let mut drawn = Vec::new();
        let mut rows = Vec::new();
        for _ in 0..60 {
            rows = room.attempted(ID, Attempt::Failed { fault: 1 }, NOW, &mut region.rng);
            drawn.push(after(&mut room.clone(), &rows).next_try - NOW);
        }
        let (least, most) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
        assert!(whole / 2 <= least && most <= whole, "{attempt}: {least} to {most} of {whole}");
        assert!(most - least >= whole / 3, "{attempt}: {least} to {most} of {whole}");
        assert!(attempt > 2 || (least, most) == (whole / 2, whole), "{attempt}: both ends are drawn");
        apply(&mut room, &rows);
    }
}

#[test]
fn a_place_follows_what_the_same_commit_sends_in_that_conversation_to_that_node_alone() {
    let mut region = Region::new(1, 3);
    let room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    let (one, other) = (ConversationId([1; 32]), ConversationId([2; 32]));
    let [_, b, c] = [0, 1, 2].map(|n: usize| region.members[n].node);
    let at = |conversation, peer| room.next_place_beside(&rows, conversation, peer);
    let digest = crate::envelope::body_digest(ID, &[1]);
    assert_eq!(at(one, b), Place { seq: 2, prev: Some(digest) });
    for place in [at(one, c), at(other, b), room.next_place(one, b)] {
        assert_eq!(place, Place { seq: 1, prev: None });
    }
    // Who only ever heard from somebody begins at one as well.
    let mut hears = Mailroom::default();
    let sealed = at_place(&mut region, 1, 1, None);
    receive(&region, &mut hears, &sealed);
    assert_eq!(hears.next_place(one, region.members[0].node), Place { seq: 1, prev: None });
}

#[test]
fn with_a_messages_end_its_envelope_goes_and_what_was_only_for_its_way() {
    let mut region = Region::new(1, 2);
    let b = region.members[1].node;
    let mut room = Mailroom::default();
    let (sealed, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    let rows = room.attempted(ID, Attempt::Stored { locked: true }, NOW, &mut region.rng);
    let mut stored = after(&mut room, &rows);
    assert!(stored.locked);
    stored.statement = b"words".to_vec();
    room.apply(&service_row(Table::Outbox, ID.as_bytes(), Some(&stored)));
    for rows in [room.settle(ID, b, NOW).unwrap(), room.end(ID, Delivery::Expired, NOW), room.end_old(ID, NOW)] {
        let gone: Vec<_> = rows.iter().filter(|row| row.table == Table::Envelope).collect();
        assert!(gone.len() == 1 && gone[0].key == sealed.digest.0 && gone[0].value.is_none());
    }
    let rows = room.settle(ID, b, NOW).unwrap();
    assert!(!after(&mut room.clone(), &rows).locked, "they opened it");
    let rows = room.end(ID, Delivery::Expired, NOW);
    assert!(after(&mut room.clone(), &rows).statement.is_empty(), "it is asked after no more");
}

#[test]
fn the_first_place_of_a_conversation_goes_first_whatever_the_messages_are_called() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    for id in [9, 5, 7] {
        let (_, rows) = letter(&mut region, &room, id);
        apply(&mut room, &rows);
    }
    for id in [9, 5, 7] {
        assert_eq!(room.due(NOW), [MsgId([id; 16])]);
        let rows = room.attempted(MsgId([id; 16]), Attempt::Stored { locked: false }, NOW, &mut region.rng);
        apply(&mut room, &rows);
    }
    assert!(room.due(NOW).is_empty());
}
