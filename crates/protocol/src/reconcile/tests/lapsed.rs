//! The ends know the hour at which word was due, where others know the day: when they say that it is over, nobody waits
//! for midnight.

use clearhouse_wire::v1::MessageType::{self, Answer, Arrival, Departure, ReturnNotice};

use super::small::{day, ends};
use super::world::{START, World, party};
use crate::audit::{AuditEvent, Happening};
use crate::ids::Digest;
use crate::limits::{DAY, HOUR};
use crate::reconcile::{Corridor, Kind, Report};

const DUE: u64 = START + DAY;

/// A message from 0 to 1 of which word is due, that was opened.
fn asked(seed: u64, class: MessageType) -> (World, Digest) {
    let mut world = World::new(3, seed);
    let digest = world.digest();
    world.sends(0, 1, class, START, digest, day(DUE), None, AuditEvent::Sent);
    world.deposit(0, 1, class, START + HOUR, digest);
    world.receive(0, 1, class, START + HOUR, digest);
    world.open(0, 1, class, START + 2 * HOUR, digest);
    (world, digest)
}

/// An end records that the time is over.
fn lapses(world: &mut World, end: usize, event: AuditEvent, class: MessageType, digest: Digest) {
    let (org, node) = party(1 - end.min(1));
    let over = Happening { due_day: day(DUE), ..Happening::of(event) };
    world.at(end, DUE, over.with(org, node).about(digest, class as u32));
}

#[test]
fn the_side_that_owes_the_word_is_believed_at_once() {
    for (class, kind) in [(Departure, Kind::OverdueArrival), (ReturnNotice, Kind::Unanswered)] {
        let (mut world, digest) = asked(31, class);
        lapses(&mut world, 1, AuditEvent::Unanswered, class, digest);
        assert_eq!(world.kinds(DUE - 1), []);
        let found = world.only(DUE + 1);
        assert_eq!((found.kind, &found.parties, found.digest), (kind, &ends(0, 1), Some(digest)));
        assert!(found.since <= DUE && found.since + 600 > DUE, "the hour, in steps of ten minutes");
    }
}

#[test]
fn the_side_that_waits_is_believed_when_the_other_is_heard_or_late() {
    let (mut world, digest) = asked(32, Departure);
    lapses(&mut world, 0, AuditEvent::Unanswered, Departure, digest);
    assert_eq!(world.kinds(DUE + HOUR / 2), [Kind::OverdueArrival], "the other's account says nothing of an arrival");
    let (mut world, digest) = asked(32, Departure);
    lapses(&mut world, 0, AuditEvent::Unanswered, Departure, digest);
    world.off_from(1, DUE - HOUR);
    assert_eq!(world.kinds(DUE + HOUR / 2), [], "its word may be on its way");
    assert_eq!(world.kinds(DUE + HOUR), [Kind::OverdueArrival]);
}

#[test]
fn a_word_that_came_after_all_ends_it() {
    for (class, answer, said) in
        [(Departure, Arrival, AuditEvent::Arrived), (ReturnNotice, Answer, AuditEvent::Accepted)]
    {
        let (mut world, digest) = asked(33, class);
        lapses(&mut world, 0, AuditEvent::Unanswered, class, digest);
        lapses(&mut world, 1, AuditEvent::Unanswered, class, digest);
        let word = world.digest();
        world.sends(1, 0, answer, DUE + HOUR, word, 0, Some(digest), said);
        world.arrives(1, 0, answer, DUE + HOUR, word);
        assert_eq!(world.kinds(DUE + HOUR / 2).len(), 1);
        assert_eq!(world.kinds(DUE + 2 * HOUR), []);
    }
}

#[test]
fn openings_are_needed_until_180_days_after_the_end_and_a_year_at_most() {
    let now = START + 800 * DAY;
    let corridor = |oldest| Corridor { open: [(2, 1)].into(), oldest };
    let with = |corridors: Vec<Corridor>| {
        let ends = |n: usize| (party(n).0, party(n + 1).0);
        Report {
            corridors: corridors.into_iter().enumerate().map(|(n, c)| (ends(n), c)).collect(),
            ..Report::default()
        }
    };
    assert_eq!(with(vec![]).needed_from(now), now - 180 * DAY, "nothing is open");
    assert_eq!(with(vec![corridor(now - 10 * DAY)]).needed_from(now), now - 180 * DAY);
    let open = with(vec![corridor(now - DAY), corridor(now - 200 * DAY)]);
    assert_eq!(open.needed_from(now), now - 231 * DAY, "and what led to it");
    assert_eq!(with(vec![corridor(now - 700 * DAY)]).needed_from(now), now - 366 * DAY);
    let ended = Corridor { open: [].into(), oldest: now - 300 * DAY };
    assert_eq!(with(vec![ended]).needed_from(now), now - 180 * DAY);
    assert_eq!(with(vec![]).needed_from(5), 0, "a clock that begins");
}

#[test]
fn what_is_unread_and_what_strangers_say_raises_no_alarm() {
    let (mut world, digest) = asked(34, ReturnNotice);
    lapses(&mut world, 0, AuditEvent::Unread, ReturnNotice, digest);
    lapses(&mut world, 1, AuditEvent::Unread, ReturnNotice, digest);
    lapses(&mut world, 2, AuditEvent::Unanswered, ReturnNotice, digest);
    assert_eq!(world.kinds(DUE + HOUR), []);
    // Nor does the end of a clock about another message.
    let (mut world, _) = asked(34, Departure);
    let other = world.digest();
    lapses(&mut world, 1, AuditEvent::Unanswered, Departure, other);
    assert_eq!(world.kinds(DUE + HOUR), []);
}
