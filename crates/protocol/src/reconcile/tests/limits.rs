//! From which account on something is found, whose word it takes, and how it is counted.

use clearhouse_wire::v1::MessageType::{self, Answer, Departure, ReturnNotice, VictimProfile};

use super::small::{LATE, day, ends};
use super::world::{START, World, party};
use crate::audit::{AuditEvent, Happening, unpad};
use crate::ids::Digest;
use crate::limits::{DAY, ENVELOPE_LIFE_SECS, HOUR};
use crate::reconcile::account::Standing;
use crate::reconcile::join::SIDES_MAX;
use crate::reconcile::{Finding, Join, Kind, Policy, settle};

#[test]
fn every_kind_has_a_name_of_its_own_that_never_changes() {
    for kind in Kind::ALL {
        let spelt: String = format!("{kind:?}")
            .char_indices()
            .flat_map(|(n, c)| (n > 0 && c.is_uppercase()).then_some('_').into_iter().chain(c.to_uppercase()))
            .collect();
        assert_eq!(kind.name(), spelt);
    }
}

#[test]
fn only_what_says_the_same_in_every_respect_is_left_out_and_the_earliest_stays() {
    let one = Finding { kind: Kind::Replay, parties: ends(0, 1), digest: None, index: None, since: 5 };
    let others = [
        Finding { kind: Kind::Probing, ..one.clone() },
        Finding { parties: ends(1, 0), ..one.clone() },
        Finding { digest: Some(Digest([1; 32])), ..one.clone() },
        Finding { index: Some(1), ..one.clone() },
    ];
    let later = Finding { since: 6, ..one.clone() };
    let mut all: Vec<Finding> = [&later, &one, &one].into_iter().chain(&others).cloned().collect();
    settle(&mut all);
    let mut expected: Vec<Finding> = std::iter::once(&one).chain(&others).cloned().collect();
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn who_could_not_open_an_envelope_says_so_without_knowing_whose_it_is() {
    let mut world = World::new(2, 31);
    let digest = world.send(0, 1, VictimProfile, START);
    world.at(1, START + HOUR, Happening::of(AuditEvent::NotOpened).about(digest, 0));
    assert_eq!(world.kinds(LATE), [], "it has it");
}

#[test]
fn a_second_sender_of_one_envelope_is_asked_where_it_arrived() {
    let mut world = World::new(3, 32);
    let digest = world.whole(0, 1, VictimProfile, START);
    world.sends(2, 1, VictimProfile, START, digest, 0, None, AuditEvent::Sent);
    let found = world.only(LATE);
    assert_eq!((found.kind, found.parties), (Kind::Misdirected, vec![party(2), party(1), party(0)]));
}

#[test]
fn a_new_notice_behind_a_message_that_asks_nothing_does_not_replace_the_old_one() {
    for (class, expected) in [(VictimProfile, vec![Kind::Unanswered]), (Answer, vec![])] {
        let mut world = World::new(2, 33);
        let (notice, other, new) = (world.digest(), world.digest(), world.digest());
        world.sends(0, 1, ReturnNotice, START, notice, day(START + 2 * DAY), None, AuditEvent::Sent);
        world.arrives(0, 1, ReturnNotice, START, notice);
        world.sends(1, 0, class, START + DAY, other, 0, Some(notice), AuditEvent::Sent);
        world.arrives(1, 0, class, START + DAY, other);
        world.sends(0, 1, ReturnNotice, START + DAY, new, 0, Some(other), AuditEvent::Sent);
        world.arrives(0, 1, ReturnNotice, START + DAY, new);
        assert_eq!(world.kinds(LATE), expected, "{}", class.as_str_name());
    }
}

#[test]
fn of_one_node_a_few_accounts_of_an_envelope_are_kept_and_one_is_asked_who_opened_it() {
    let mut world = World::new(2, 34);
    let digest = world.send(0, 1, VictimProfile, START);
    for n in 0..9 {
        world.receive(0, 1, VictimProfile, START + n * HOUR, digest);
    }
    assert_eq!(world.kinds(LATE), [Kind::Unattended, Kind::Replay]);
    let (join, _) = world.join(LATE, false);
    assert_eq!(join.more_received[&digest].len() + 1, SIDES_MAX);
}

#[test]
fn what_was_settled_stays_so_only_where_it_was_erased() {
    let mut world = World::new(2, 35);
    let digest = world.whole(0, 1, VictimProfile, START);
    world.closed.push(digest);
    assert_eq!(world.reconcile(LATE).closed, [], "nobody erased anything of it");
}

#[test]
fn open_messages_are_counted_by_corridor_and_class() {
    let mut world = World::new(3, 36);
    world.send(0, 1, VictimProfile, START + HOUR);
    world.send(0, 1, VictimProfile, START);
    world.send(0, 1, ReturnNotice, START + 2 * HOUR);
    world.send(0, 2, VictimProfile, START);
    let corridors = world.reconcile(START + 3 * HOUR).corridors;
    let corridor = &corridors[&(party(0).0, party(1).0)];
    assert_eq!(corridor.open, [(VictimProfile as u32, 2), (ReturnNotice as u32, 1)].into());
    assert_eq!((corridor.oldest, corridors.len()), (START, 2));
}

#[test]
fn refused_receipts_are_counted_with_refused_messages() {
    let refuse = |world: &mut World, n: u64| {
        for i in 0..n {
            let (digest, (org, node)) = (world.digest(), party(0));
            let refused = Happening::of(AuditEvent::Rejected).with(org, node);
            world.at(1, START + HOUR + i, refused.about(digest, MessageType::Receipt as u32));
        }
    };
    let probing = Policy::default().probing_count;
    let mut world = World::new(2, 37);
    refuse(&mut world, probing - 1);
    assert_eq!(world.kinds(LATE), []);
    refuse(&mut world, 1);
    let found = world.only(LATE);
    assert_eq!((found.kind, found.parties), (Kind::Probing, vec![party(0)]));
    // A quarter of all is usual.
    for i in 0..3 * probing {
        world.whole(0, 1, VictimProfile, START + i);
    }
    assert_eq!(world.kinds(LATE), []);
}

/// A join of one node's openings, and how far the other one was heard.
fn heard(who: usize, openings: &mut World, (of, from, until): (usize, u64, u64), now: u64) -> Join {
    let mut join = Join::new(Policy::default(), []);
    let built = openings.build(who, now);
    built.shown.iter().filter_map(|shown| unpad(&shown.opening)).for_each(|o| join.take(party(who), &o));
    let standing = |who: usize, heard_from, heard_until| Standing {
        party: party(who),
        heard_from,
        heard_until,
        gaps: vec![],
        erased: vec![],
        restores: vec![],
    };
    join.hear(standing(who, 0, u64::MAX));
    join.hear(standing(of, from, until));
    join
}

#[test]
fn a_sender_has_to_be_heard_for_as_long_as_an_envelope_may_live() {
    let policy = Policy::default();
    let at = START + 50 * DAY;
    let (from, until) = (at - ENVELOPE_LIFE_SECS - policy.slack_secs(), at + policy.slack_secs());
    let found = |from: u64, until: u64| {
        let mut world = World::new(2, 38);
        let digest = world.digest();
        world.receive(0, 1, VictimProfile, at, digest);
        world.open(0, 1, VictimProfile, at + HOUR, digest);
        let join = heard(1, &mut world, (0, from, until), at + 9 * DAY);
        let report = join.report(at + 9 * DAY);
        (report.findings.iter().map(|found| found.kind).collect::<Vec<_>>(), report.unheard.len())
    };
    assert_eq!(found(from, until), (vec![Kind::UnloggedSender], 0));
    assert_eq!(found(from + 1, until), (vec![], 0), "what it said then is asked for no more");
    assert_eq!(found(from, until - 1), (vec![], 1), "it may still come");
}

#[test]
fn a_recipient_has_to_be_heard_until_the_time_is_over() {
    let policy = Policy::default();
    let until = START + policy.received_within_secs + policy.slack_secs();
    let found = |from: u64, heard_until: u64, now: u64| {
        let mut world = World::new(2, 39);
        world.send(0, 1, VictimProfile, START);
        let join = heard(0, &mut world, (1, from, heard_until), now);
        let report = join.report(now);
        (report.findings.iter().map(|found| found.kind).collect::<Vec<_>>(), report.unheard.len())
    };
    let from = START - policy.slack_secs();
    assert_eq!(found(from, until, until), (vec![Kind::LostOrNotDeposited], 0));
    assert_eq!(found(from, until, until - 1), (vec![], 0), "it is not over");
    assert_eq!(found(from, until - 1, until), (vec![], 1));
    assert_eq!(found(from + 1, until, until), (vec![], 1));
}

#[test]
fn an_arrival_is_overdue_with_the_first_second_of_the_day_after() {
    let mut world = World::new(2, 40);
    let (departure, due) = (world.digest(), START + 2 * DAY);
    world.sends(0, 1, Departure, START, departure, day(due), None, AuditEvent::Sent);
    world.arrives(0, 1, Departure, START, departure);
    let over = (day(due) + 1) * DAY;
    let join = |heard_until, now| {
        let mut join = world_join(&mut world, now);
        join.hear(Standing {
            party: party(1),
            heard_from: 0,
            heard_until,
            gaps: vec![],
            erased: vec![],
            restores: vec![],
        });
        join.report(now).findings.iter().map(|found| found.kind).collect::<Vec<_>>()
    };
    let cases = [(over, over - 1), (over, over), (over - 1, over)];
    let found: Vec<_> = cases.into_iter().scan(join, |join, (until, now)| Some(join(until, now))).collect();
    assert_eq!(found, [vec![], vec![Kind::OverdueArrival], vec![]]);
}

fn world_join(world: &mut World, now: u64) -> Join {
    world.join(now, false).0
}

#[test]
fn a_log_is_not_witnessed_one_second_after_its_time() {
    let mut world = World::new(1, 41);
    world.at(0, START, Happening::of(AuditEvent::SignIn));
    world.off_from(0, START + HOUR);
    let built = world.build(0, START + DAY);
    // Two of its three witnesses have to have seen it.
    let seen = built.heads.last().unwrap().seen[1];
    let stale = Policy::default().head_stale_secs;
    assert_eq!(world.kinds(seen + stale), []);
    assert_eq!(world.kinds(seen + stale + 1), [Kind::NotWitnessed]);
}

#[test]
fn findings_that_say_the_same_are_one_with_the_earliest_time_and_others_stay() {
    let finding = |kind, to: usize, digest: u8, index, since| {
        let parties = vec![party(0), party(to)];
        Finding { kind, parties, digest: Some(Digest([digest; 32])), index: Some(index), since }
    };
    let one = finding(Kind::Replay, 1, 1, 1, 5);
    let others = [
        finding(Kind::Unattended, 1, 1, 1, 5),
        finding(Kind::Replay, 2, 1, 1, 5),
        finding(Kind::Replay, 1, 2, 1, 5),
        finding(Kind::Replay, 1, 1, 2, 5),
    ];
    for other in others {
        let later = Finding { since: 9, ..one.clone() };
        let mut all = vec![later.clone(), other.clone(), one.clone()];
        settle(&mut all);
        let mut left = vec![one.clone(), other];
        left.sort();
        assert_eq!(all, left);
    }
}
