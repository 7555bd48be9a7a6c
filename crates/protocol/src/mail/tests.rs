mod limits;
mod states;

use super::*;
use crate::envelope::{Letter as Draft, Opened, Opening, Outside, Reader, Sealed, open, seal};
use crate::fixture::{NOW, Region};
use crate::limits::{BACKOFF_MAX_SECS, BEGUN_SLACK_SECS, DAY, ENVELOPE_LIFE_SECS, MAILBOX_ITEMS_MAX, PLACES_SKIPPED};
use crate::receipt::storage_batch;
use clearhouse_wire::v1 as wire;

fn letter(region: &mut Region, room: &Mailroom, id: u8) -> (Sealed, Vec<Row>) {
    letter_made(region, room, id, (NOW, NOW + DAY))
}

/// A letter of this place in its conversation, that was made then and ends then.
fn sealed_at(
    region: &mut Region,
    id: u8,
    (seq, prev_digest): (u64, Option<[u8; 32]>),
    (created, expires): (u64, u64),
) -> Sealed {
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let draft = Draft {
        net: region.net,
        msg_type: 2,
        body_version: 1,
        msg_id: MsgId([id; 16]),
        sender: (a.org, a.node),
        conversation: ConversationId([1; 32]),
        seq,
        prev_digest,
        created,
        expires,
        actor: None,
        body: &[id],
        attachments: &[],
    };
    seal(&draft, &to, 0, &a.sign, &mut region.rng).unwrap()
}

/// A letter that was made then, and ends then.
fn letter_made(region: &mut Region, room: &Mailroom, id: u8, (created, expires): (u64, u64)) -> (Sealed, Vec<Row>) {
    let conversation = ConversationId([1; 32]);
    let place = room.next_place(conversation, region.members[1].node);
    let sealed = sealed_at(region, id, (place.seq, place.prev), (created, expires));
    let b = &region.members[1];
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let out = Outbound {
        sealed: &sealed,
        msg_id: MsgId([id; 16]),
        peer: (b.org, b.node),
        conversation,
        seq: place.seq,
        msg_type: 2,
        body: &[id],
        expires,
        case: None,
        prekey: to.prekey.id(),
        prev: place.prev,
        actor: None,
        not_before: 0,
        remade: 0,
    };
    let rows = room.queue(&[], &out, NOW);
    (sealed, rows)
}

fn apply(room: &mut Mailroom, rows: &[Row]) {
    rows.iter().for_each(|row| room.apply(row));
}

fn store(region: &Region, room: &mut Mailroom, sealed: &Sealed) -> Outside {
    let b = &region.members[1];
    let outside = Outside::parse(&sealed.bytes).unwrap();
    let receipt = storage_batch(region.net, b.node, &[outside.digest], NOW, &b.sign).remove(0);
    let rows = room.store(&outside, sealed.bytes.clone(), 0, &receipt, NOW);
    apply(room, &rows);
    outside
}

fn opened(region: &Region, outside: &Outside) -> Box<Opened> {
    let b = &region.members[1];
    let me = Reader::new((b.org, b.node), &region.directory, NOW);
    match open(outside, Some(b.prekey(NOW)), &me) {
        Ok(Opening::Whole(opened)) => opened,
        Ok(Opening::Rejected(..) | Opening::Ended(_) | Opening::Early(_)) | Err(_) => panic!("a genuine letter opens"),
    }
}

fn receive(region: &Region, room: &mut Mailroom, sealed: &Sealed) {
    let outside = store(region, room, sealed);
    let opened = opened(region, &outside);
    let rows = room.take(&opened, wire::Stage::Received, wire::RefusalCode::Unspecified);
    apply(room, &rows);
}

// Attack 4.
#[test]
fn attack_04_a_replayed_envelope_meets_its_first_receipt_and_has_no_second_effect() {
    let mut region = Region::new(1, 2);
    let (sealed, _) = letter(&mut region, &Mailroom::default(), 1);
    let mut room = Mailroom::default();
    let outside = store(&region, &mut room, &sealed);
    let mine = [region.members[1].mailbox];
    let Ok(Arrival::Repeat(again)) = room.arrive(&outside, sealed.bytes.len(), (0, 0), &mine, NOW) else { panic!() };
    assert_eq!(prost::Message::encode_to_vec(&again), room.letter(outside.digest).unwrap().receipt);
    let first = opened(&region, &outside);
    let rows = room.take(&first, wire::Stage::Received, wire::RefusalCode::Unspecified);
    apply(&mut room, &rows);
    assert!(room.seen(first.sender.1, first.msg_id).is_some());
    // After a restart memory is a fold of the same rows, and on day 29 the envelope is still known.
    assert!(room.unopened().is_empty());
    let later = NOW + 29 * DAY;
    assert!(room.forget(later - 16 * DAY).is_empty());
    assert!(matches!(room.arrive(&outside, 1, (0, 0), &mine, later), Ok(Arrival::Repeat(_))));
    let rows = room.take(&first, wire::Stage::Received, wire::RefusalCode::Unspecified);
    assert!(!rows.iter().any(|r| matches!(r.table, Table::Taken | Table::Conversation)));
}

#[test]
fn a_mailbox_refuses_what_is_not_for_it_what_is_over_and_what_is_too_much() {
    let mut region = Region::new(1, 2);
    let (sealed, _) = letter(&mut region, &Mailroom::default(), 1);
    let outside = Outside::parse(&sealed.bytes).unwrap();
    let mine = [region.members[1].mailbox];
    let mut room = Mailroom::default();
    assert_eq!(room.arrive(&outside, 1, (0, 0), &[], NOW).err(), Some(DepositFault::NoSuchMailbox));
    assert_eq!(room.arrive(&outside, 1, (0, 0), &mine, NOW + 2 * DAY).err(), Some(DepositFault::Expired));
    let stored = store(&region, &mut room, &sealed);
    let row = room.letter(stored.digest).unwrap().clone();
    for n in 0..MAILBOX_ITEMS_MAX as u64 {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        room.apply(&service_row(Table::Mailbox, &key, Some(&Letter { arrival: 10 + n, ..row.clone() })));
    }
    room.apply(&service_row(Table::Mailbox, stored.digest.as_bytes(), None::<&Letter>));
    assert_eq!(room.arrive(&outside, 1, (0, 0), &mine, NOW).err(), Some(DepositFault::Full));
}

#[test]
fn a_conversation_goes_out_in_order_and_a_failure_holds_what_follows() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    for id in 1..=3 {
        let (_, rows) = letter(&mut region, &room, id);
        apply(&mut room, &rows);
    }
    assert_eq!(room.due(NOW), [MsgId([1; 16])]);
    let rows = room.attempted(MsgId([1; 16]), Attempt::Failed { fault: 1 }, NOW, &mut region.rng);
    apply(&mut room, &rows);
    assert!(room.due(NOW).is_empty());
    let later = NOW + BACKOFF_MAX_SECS;
    let rows = room.attempted(MsgId([1; 16]), Attempt::Stored { locked: true }, later, &mut region.rng);
    apply(&mut room, &rows);
    assert_eq!(room.due(later), [MsgId([2; 16])]);
    assert!(room.outgoing(MsgId([1; 16])).unwrap().locked);
}

#[test]
fn gaps_are_listed_until_they_are_filled_and_a_place_used_twice_is_seen() {
    let mut region = Region::new(1, 2);
    let mut sender = Mailroom::default();
    let mut letters = Vec::new();
    for id in 1..=3 {
        let (sealed, rows) = letter(&mut region, &sender, id);
        apply(&mut sender, &rows);
        letters.push(sealed);
    }
    let (conversation, peer) = (ConversationId([1; 32]), region.members[0].node);
    let mut room = Mailroom::default();
    receive(&region, &mut room, &letters[0]);
    receive(&region, &mut room, &letters[2]);
    assert_eq!(room.gaps(conversation, peer), (&[2u64][..], false));
    receive(&region, &mut room, &letters[1]);
    assert_eq!(room.gaps(conversation, peer), (&[][..], false));
    // A sender that starts over uses place 1 again with another message.
    let (second_one, _) = letter(&mut region, &Mailroom::default(), 9);
    receive(&region, &mut room, &second_one);
    assert!(room.gaps(conversation, peer).1);
}

#[test]
fn after_a_restore_no_place_is_used_twice_and_the_other_side_sees_that_some_are_missing() {
    let mut region = Region::new(1, 2);
    let (conversation, to) = (ConversationId([1; 32]), region.members[1].node);
    let (mut sender, mut backup) = (Mailroom::default(), Mailroom::default());
    let mut room = Mailroom::default();
    for id in 1..=4 {
        let (sealed, rows) = letter(&mut region, &sender, id);
        apply(&mut sender, &rows);
        if id <= 2 {
            apply(&mut backup, &rows);
        }
        receive(&region, &mut room, &sealed);
    }
    let moved = backup.move_places_on(NOW);
    apply(&mut backup, &[moved]);
    let place = backup.next_place(conversation, to);
    assert!(place.seq > sender.next_place(conversation, to).seq && place.prev.is_some(), "{place:?}");
    let (sealed, _) = letter(&mut region, &backup, 9);
    receive(&region, &mut room, &sealed);
    let from = region.members[0].node;
    assert_eq!(room.received_up_to(conversation, from), place.seq);
    assert!(room.gaps(conversation, from).1, "the other side sees that something is missing");
}

#[test]
fn a_conversation_whose_first_message_went_after_the_backup_goes_on_above_it_and_is_delivered() {
    let mut region = Region::new(1, 2);
    let (conversation, from, to) = (ConversationId([1; 32]), region.members[0].node, region.members[1].node);
    let (mut sender, mut backup, mut room) = (Mailroom::default(), Mailroom::default(), Mailroom::default());
    let (sealed, rows) = letter(&mut region, &sender, 1);
    apply(&mut sender, &rows);
    receive(&region, &mut room, &sealed);
    // Twice, as when the start was cut short: it moves on again.
    for times in 1..=2 {
        let moved = backup.move_places_on(NOW);
        apply(&mut backup, &[moved]);
        let place = backup.next_place(conversation, to);
        assert_eq!((place.seq, place.prev), (times * PLACES_SKIPPED + 1, None));
    }
    let (sealed, rows) = letter(&mut region, &backup, 9);
    apply(&mut backup, &rows);
    receive(&region, &mut room, &sealed);
    assert_eq!(room.received_up_to(conversation, from), 2 * PLACES_SKIPPED + 1);
    assert!(room.gaps(conversation, from).1, "the other side sees that something is missing");
    assert_eq!(backup.next_place(conversation, to).seq, 2 * PLACES_SKIPPED + 2);
    // What it sends next follows, and is no gap more.
    let fresh = Mailroom::default();
    assert_eq!(fresh.next_place(conversation, to).seq, 1, "who was never put back counts from one");
}

#[test]
fn a_conversation_begun_after_a_restore_has_places_of_its_own_until_the_next_one() {
    let (conversation, to) = (ConversationId([1; 32]), NodeId([2; 16]));
    let mut room = Mailroom::default();
    assert!(room.begin(conversation).is_none(), "nothing is kept where nothing was put back");
    let moved = room.move_places_on(NOW);
    apply(&mut room, &[moved]);
    let begun = room.begin(conversation).unwrap();
    apply(&mut room, &[begun]);
    assert!(room.has_begun(conversation) && room.next_place(conversation, to).seq == 1);
    assert_eq!(room.next_place(ConversationId([3; 32]), to).seq, PLACES_SKIPPED + 1);
    let moved = room.move_places_on(NOW);
    apply(&mut room, &[moved]);
    assert_eq!(room.next_place(conversation, to).seq, 2 * PLACES_SKIPPED + 1, "it may have been used since");
    room.apply(&service_row(Table::Conversation, conversation.as_bytes(), None::<&Places>));
    assert!(!room.has_begun(conversation), "it goes with its case");
}

#[test]
fn a_conversation_that_others_began_counts_from_one_only_where_its_first_letter_was_surely_made_after_the_restore() {
    let mut region = Region::new(1, 2);
    let to = region.members[0].node;
    let mut begun = |put_back: Option<u64>, places_before: u64, sealed_again_after: u64| {
        let mut sender = Mailroom::default();
        for id in 0..places_before {
            let (_, rows) = letter(&mut region, &sender, 100 + u8::try_from(id).unwrap());
            apply(&mut sender, &rows);
        }
        let (sealed, _) = letter_made(&mut region, &sender, 1, (NOW, NOW - sealed_again_after + ENVELOPE_LIFE_SECS));
        let mut room = Mailroom::default();
        if let Some(at) = put_back {
            let moved = room.move_places_on(at);
            apply(&mut room, &[moved]);
        }
        let outside = store(&region, &mut room, &sealed);
        let opened = opened(&region, &outside);
        let row = room.begun_by(&opened);
        // In the same commit already, and afterwards.
        let rows: Vec<Row> = row.into_iter().collect();
        let beside = room.next_place_beside(&rows, opened.conversation, to).seq;
        apply(&mut room, &rows);
        assert_eq!(room.next_place(opened.conversation, to).seq, beside);
        beside == 1 && !rows.is_empty()
    };
    let long_ago = NOW - BEGUN_SLACK_SECS - 1;
    assert!(begun(Some(long_ago), 0, 0));
    assert!(!begun(Some(long_ago + 1), 0, 0), "by the clocks of both sides it may be older");
    assert!(!begun(Some(long_ago), 0, 1), "sealed again: dated anew, and first made before");
    assert!(!begun(Some(long_ago), 1, 0), "not the first of its sender");
    assert!(!begun(Some(0), 0, 0), "when it was put back is not known");
    assert!(!begun(None, 0, 0), "nothing is kept where nothing was put back");
}

#[test]
fn what_may_have_left_cannot_be_recalled_and_an_answer_closes_once() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    let id = MsgId([1; 16]);
    assert!(room.can_recall(id));
    let rows = room.attempted(id, Attempt::Unclear { fault: 2 }, NOW, &mut region.rng);
    apply(&mut room, &rows);
    assert!(!room.can_recall(id));
    let b = region.members[1].node;
    assert!(room.settle(id, region.members[0].node, NOW).is_none());
    let rows = room.settle(id, b, NOW).unwrap();
    apply(&mut room, &rows);
    assert!(room.settle(id, b, NOW).is_none());
    assert!(room.expired(NOW + 2 * DAY).is_empty());
}

#[test]
fn what_departs_cannot_be_recalled_until_it_is_known_that_nothing_left() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    let id = MsgId([1; 16]);
    let rows = room.depart(id, NOW).unwrap();
    apply(&mut room, &rows);
    assert!(room.is_waiting(id) && !room.can_recall(id), "it is on its way now");
    let rows = room.attempted(id, Attempt::Failed { fault: 2 }, NOW, &mut region.rng);
    apply(&mut room, &rows);
    assert!(room.can_recall(id), "nothing left, and everybody knows it");
    // It departs, the process dies, and the next start departs again: the first attempt may have got through.
    let rows = room.depart(id, NOW).unwrap();
    apply(&mut room, &rows);
    let rows = room.depart(id, NOW).unwrap();
    apply(&mut room, &rows);
    let rows = room.attempted(id, Attempt::Failed { fault: 2 }, NOW, &mut region.rng);
    apply(&mut room, &rows);
    assert!(room.is_waiting(id) && !room.can_recall(id));
    assert!(room.depart(id, NOW).unwrap().is_empty(), "nothing new to write down");
}

#[test]
fn only_what_waits_departs() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    let id = MsgId([1; 16]);
    assert!(room.depart(MsgId([2; 16]), NOW).is_none());
    assert!(room.depart(id, NOW + DAY).is_none(), "its life is over");
    let rows = room.end(id, Delivery::Recalled, NOW);
    apply(&mut room, &rows);
    assert!(room.depart(id, NOW).is_none());
}

#[test]
fn an_unanswered_message_expires_and_is_still_shown() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    assert_eq!(room.expired(NOW + DAY), [MsgId([1; 16])]);
    let rows = room.end(MsgId([1; 16]), Delivery::Expired, NOW + DAY);
    apply(&mut room, &rows);
    assert!(room.expired(NOW + DAY).is_empty() && room.due(NOW + DAY).is_empty());
    assert_eq!(Delivery::of(room.outgoing(MsgId([1; 16])).unwrap()), Delivery::Expired);
}

#[test]
fn pauses_grow_and_stay_within_their_limit() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter(&mut region, &room, 1);
    apply(&mut room, &rows);
    let mut now = NOW;
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let rows = room.attempted(MsgId([1; 16]), Attempt::Failed { fault: 1 }, now, &mut region.rng);
        apply(&mut room, &rows);
        let next = room.outgoing(MsgId([1; 16])).unwrap().next_try;
        pauses.push(next - now);
        now = next;
    }
    assert!(pauses[0] <= 2 && pauses.iter().all(|p| *p <= BACKOFF_MAX_SECS) && pauses[19] >= BACKOFF_MAX_SECS / 2);
}

#[test]
fn a_pause_that_a_wrong_clock_set_is_not_waited_for_when_it_is_right_again() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter_made(&mut region, &room, 1, (NOW, NOW + 9 * DAY));
    apply(&mut room, &rows);
    let id = MsgId([1; 16]);
    let rows = room.attempted(id, Attempt::Failed { fault: 1 }, NOW + 5 * DAY, &mut region.rng);
    apply(&mut room, &rows);
    let at = room.outgoing(id).unwrap().next_try;
    assert_eq!([at - 1, at].map(|now| room.due(now).len()), [0, 1]);
    assert_eq!([at - BACKOFF_MAX_SECS, at - BACKOFF_MAX_SECS - 1].map(|now| room.due(now).len()), [0, 1]);
    // What was never tried waits for its own time, however late that is.
    let row = Row {
        value: Some(Outgoing { attempts: 0, ..room.outgoing(id).unwrap().clone() }.encode_to_vec()),
        ..rows[0].clone()
    };
    apply(&mut room, &[row]);
    assert!(room.due(NOW).is_empty());
}

#[test]
fn nor_is_a_question_put_off_by_a_clock_that_was_years_ahead() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, rows) = letter_made(&mut region, &room, 1, (NOW, NOW + 9 * DAY));
    apply(&mut room, &rows);
    let id = MsgId([1; 16]);
    let rows = room.attempted(id, Attempt::Stored { locked: false }, NOW + 3650 * DAY, &mut region.rng);
    apply(&mut room, &rows);
    assert!(room.to_ask(NOW).eq([id]));
    let longest = crate::limits::RECEIPT_ASK_SECS << (2 * crate::limits::RECEIPT_ASKS_MAX);
    let at = room.outgoing(id).unwrap().next_try;
    let until = Outgoing { expires: u64::MAX, ..room.outgoing(id).unwrap().clone() };
    apply(&mut room, &[service_row(Table::Outbox, id.as_bytes(), Some(&until))]);
    let asked = |now: u64| room.to_ask(now).count();
    assert_eq!([at - longest - 1, at - longest, at - 1, at].map(asked), [1, 0, 0, 1]);
}

#[test]
fn a_message_whose_keeper_is_silent_goes_to_the_next_mailbox_and_one_that_was_fetched_does_not() {
    use crate::limits::KEEPER_LOST_ASKS;
    let mut region = Region::new(1, 2);
    let keeper = NodeId([8; 16]);
    let id = MsgId([1; 16]);
    for fetched in [false, true] {
        let mut room = Mailroom::default();
        let (_, rows) = letter(&mut region, &room, 1);
        apply(&mut room, &rows);
        let mut attempt = |room: &mut Mailroom, attempt| {
            let rows = room.attempted(id, attempt, NOW, &mut region.rng);
            apply(room, &rows);
        };
        attempt(&mut room, Attempt::StoredAt { keeper });
        assert_eq!(room.outgoing(id).unwrap().keeper, keeper.to_vec());
        for _ in 0..KEEPER_LOST_ASKS - 1 {
            attempt(&mut room, Attempt::Failed { fault: 2 });
        }
        attempt(&mut room, Attempt::StoredAt { keeper });
        assert_eq!(room.outgoing(id).unwrap().unanswered, 0, "one answer and it counts from the beginning");
        if fetched {
            attempt(&mut room, Attempt::Fetched);
            assert!(room.outgoing(id).unwrap().keeper.is_empty());
        }
        for _ in 0..KEEPER_LOST_ASKS {
            assert!(room.due(NOW).is_empty());
            attempt(&mut room, Attempt::Unclear { fault: 4 });
        }
        assert_eq!(room.due(NOW).is_empty(), fetched);
        assert!(!room.can_recall(id), "it may be there");
    }
}

#[test]
fn attack_37_what_waits_for_its_time_waits_alone_and_goes_with_what_a_person_sends_behind_it() {
    let mut region = Region::new(1, 2);
    let mut room = Mailroom::default();
    let (_, mut rows) = letter(&mut region, &room, 1);
    let mut held = Outgoing::decode(rows[0].value.as_deref().unwrap()).unwrap();
    held.next_try = NOW + 30;
    rows[0].value = Some(held.encode_to_vec());
    apply(&mut room, &rows);
    assert!(room.due(NOW + 29).is_empty());
    assert_eq!((room.due(NOW + 30), room.next_due()), (vec![MsgId([1; 16])], Some(NOW + 30)));
    let rows = room.hurry(NOW);
    assert!(rows.is_empty(), "nobody's impatience shows when somebody read");
    let (_, rows) = letter(&mut region, &room, 2);
    apply(&mut room, &rows);
    assert_eq!(room.due(NOW), [MsgId([1; 16])], "in order, and now");
}
