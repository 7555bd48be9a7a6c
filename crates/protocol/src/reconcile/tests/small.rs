//! One small world for each finding of the join but those of erasure: it yields exactly that one.

use clearhouse_wire::v1::MessageType::{self, Answer, Arrival, Departure, ReturnNotice, VictimProfile, Withdrawal};

use super::world::{START, World, party};
use crate::audit::{AuditEvent, Happening};
use crate::limits::{DAY, HOUR};
use crate::reconcile::account::Standing;
use crate::reconcile::{Join, Kind, Party, Policy, RelayWord, Word};

/// A time by which every threshold is over.
pub(super) const LATE: u64 = START + 9 * DAY;

pub(super) fn day(time: u64) -> u64 {
    time / DAY
}

pub(super) fn ends(from: usize, to: usize) -> Vec<Party> {
    vec![party(from), party(to)]
}

#[test]
fn messages_that_go_all_the_way_yield_nothing() {
    let mut world = World::new(2, 1);
    for class in [ReturnNotice, VictimProfile, MessageType::ConsentRecord] {
        world.whole(0, 1, class, START);
    }
    for now in [START + HOUR, START + 2 * DAY, LATE] {
        let report = world.reconcile(now);
        assert_eq!(report.findings, [], "{now}");
        assert!(report.unheard.is_empty());
    }
    assert!(world.reconcile(LATE).corridors.is_empty());
    assert_eq!(world.reconcile(START + 3 * HOUR).corridors.len(), 1, "open until a person opened it");
}

#[test]
fn attack_27_sent_and_never_received_is_lost() {
    let mut world = World::new(2, 2);
    world.whole(0, 1, VictimProfile, START);
    let digest = world.send(0, 1, VictimProfile, START);
    assert_eq!(world.kinds(START + 72 * HOUR), []);
    let found = world.only(START + 73 * HOUR);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::LostOrNotDeposited, &ends(0, 1), Some(digest)));
    assert_eq!((found.since, found.is_urgent()), (START, false));
}

#[test]
fn what_was_taken_back_or_expired_or_could_not_be_opened_is_not_lost() {
    for event in [AuditEvent::Recalled, AuditEvent::ExpiredUnsent, AuditEvent::NotOpened] {
        let mut world = World::new(2, 3);
        let digest = world.send(0, 1, VictimProfile, START);
        let (org, node) = party(1);
        world.at(0, START + DAY, Happening::of(event).with(org, node).about(digest, VictimProfile as u32));
        assert_eq!(world.kinds(LATE), [], "{}", event.as_str_name());
        // Somebody else's log cannot say so.
        let mut world = World::new(3, 3);
        let digest = world.send(0, 1, VictimProfile, START);
        world.at(2, START + DAY, Happening::of(event).with(org, node).about(digest, VictimProfile as u32));
        assert_eq!(world.kinds(LATE), [Kind::LostOrNotDeposited], "{}", event.as_str_name());
    }
}

#[test]
fn what_one_end_calls_expired_is_still_owed_where_the_other_received_it() {
    // A lost reply: the sender never learnt that it arrived. Whoever received it owes the answer all the same.
    let mut world = World::new(2, 4);
    let notice = world.digest();
    world.sends(0, 1, ReturnNotice, START, notice, day(START + 5 * DAY), None, AuditEvent::Sent);
    world.receive(0, 1, ReturnNotice, START + HOUR, notice);
    world.open(0, 1, ReturnNotice, START + HOUR, notice);
    let (org, node) = party(1);
    let ended = Happening::of(AuditEvent::ExpiredUnsent).with(org, node).about(notice, ReturnNotice as u32);
    world.at(0, START + DAY, ended);
    assert!(!world.kinds(LATE).is_empty(), "nobody answered her");
}

#[test]
fn attack_27_received_and_never_opened_is_unattended() {
    let mut world = World::new(2, 4);
    let digest = world.send(0, 1, ReturnNotice, START);
    world.deposit(0, 1, ReturnNotice, START + HOUR, digest);
    world.receive(0, 1, ReturnNotice, START + HOUR, digest);
    assert_eq!(world.kinds(START + 73 * HOUR), []);
    let found = world.only(START + 74 * HOUR);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::Unattended, &ends(0, 1), Some(digest)));
    assert_eq!(found.since, START + HOUR);
    // That another node opened it does not count.
    let mut world = World::new(3, 4);
    let digest = world.send(0, 1, ReturnNotice, START);
    world.receive(0, 1, ReturnNotice, START + HOUR, digest);
    world.at(2, START + DAY, Happening::of(AuditEvent::AuditOpened).about(digest, ReturnNotice as u32));
    assert_eq!(world.kinds(LATE), [Kind::Unattended]);
}

#[test]
fn the_mail_of_the_audit_is_not_expected_to_be_opened_by_a_person() {
    let mut world = World::new(2, 5);
    let digest = world.send(0, 1, MessageType::Audit, START);
    world.deposit(0, 1, MessageType::Audit, START + HOUR, digest);
    world.receive(0, 1, MessageType::Audit, START + HOUR, digest);
    assert_eq!(world.kinds(LATE), []);
}

#[test]
fn attack_27_overdue_arrival_is_urgent_and_an_arrival_either_way_ends_it() {
    let mut world = World::new(2, 6);
    let departure = world.digest();
    let due = START + 2 * DAY;
    world.sends(0, 1, Departure, START, departure, day(due), None, AuditEvent::Sent);
    world.arrives(0, 1, Departure, START, departure);
    let over = (day(due) + 1) * DAY;
    assert_eq!(world.kinds(over - 1), []);
    let found = world.only(over + HOUR);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::OverdueArrival, &ends(0, 1), Some(departure)));
    assert!(found.is_urgent() && found.since == over);
    for said in [AuditEvent::Arrived, AuditEvent::NotArrived] {
        let mut world = World::new(2, 6);
        let (departure, arrival) = (world.digest(), world.digest());
        world.sends(0, 1, Departure, START, departure, day(due), None, AuditEvent::Sent);
        world.arrives(0, 1, Departure, START, departure);
        world.sends(1, 0, Arrival, due, arrival, 0, Some(departure), said);
        world.arrives(1, 0, Arrival, due, arrival);
        assert_eq!(world.kinds(LATE), [], "{}", said.as_str_name());
    }
}

#[test]
fn a_notice_without_answer_by_its_day_is_urgent() {
    let due = START + 2 * DAY;
    let notice = |world: &mut World| {
        let notice = world.digest();
        world.sends(0, 1, ReturnNotice, START, notice, day(due), None, AuditEvent::Sent);
        world.arrives(0, 1, ReturnNotice, START, notice);
        notice
    };
    let mut world = World::new(2, 7);
    let digest = notice(&mut world);
    let over = (day(due) + 1) * DAY;
    assert_eq!(world.kinds(over - 1), []);
    let found = world.only(over + HOUR);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::Unanswered, &ends(0, 1), Some(digest)));
    assert!(found.is_urgent());
    // Acknowledging is not answering; nor is an answer by somebody else, nor one to another notice.
    for (who, said, right) in [
        (1, AuditEvent::Acknowledged, true),
        (2, AuditEvent::Accepted, true),
        (1, AuditEvent::Accepted, false),
        (1, AuditEvent::Accepted, true),
        (1, AuditEvent::Declined, true),
    ] {
        let mut world = World::new(3, 7);
        let (asked, answer, other) = (notice(&mut world), world.digest(), world.digest());
        let about = if right { asked } else { other };
        world.sends(who, 0, Answer, START + DAY, answer, 0, Some(about), said);
        world.arrives(who, 0, Answer, START + DAY, answer);
        let good = who == 1 && right && said != AuditEvent::Acknowledged;
        let expected: &[Kind] = if good { &[] } else { &[Kind::Unanswered] };
        assert_eq!(world.kinds(LATE), expected, "{who} {} {right}", said.as_str_name());
    }
}

#[test]
fn a_notice_that_does_not_count_any_more_needs_no_answer() {
    let due = START + 2 * DAY;
    for (from, class) in [(0, Withdrawal), (0, Departure), (1, Withdrawal), (0, ReturnNotice)] {
        let mut world = World::new(2, 8);
        let (notice, word) = (world.digest(), world.digest());
        world.sends(0, 1, ReturnNotice, START, notice, day(due), None, AuditEvent::Sent);
        world.arrives(0, 1, ReturnNotice, START, notice);
        world.sends(from, 1 - from, class, START + DAY, word, 0, Some(notice), AuditEvent::Sent);
        world.arrives(from, 1 - from, class, START + DAY, word);
        assert_eq!(world.kinds(LATE), [], "{}", class.as_str_name());
    }
    // It was taken back before it left, or refused.
    for refused in [false, true] {
        let mut world = World::new(2, 8);
        let notice = world.digest();
        world.sends(0, 1, ReturnNotice, START, notice, day(due), None, AuditEvent::Sent);
        let (who, event) = if refused { (1, AuditEvent::Rejected) } else { (0, AuditEvent::Recalled) };
        let (org, node) = party(1 - who);
        world.at(who, START + HOUR, Happening::of(event).with(org, node).about(notice, ReturnNotice as u32));
        assert_eq!(world.kinds(LATE), [], "{}", event.as_str_name());
    }
    // A departure with an arrival due takes nothing back.
    let mut world = World::new(2, 8);
    let (notice, departure) = (world.digest(), world.digest());
    world.sends(0, 1, ReturnNotice, START, notice, day(due), None, AuditEvent::Sent);
    world.arrives(0, 1, ReturnNotice, START, notice);
    world.sends(0, 1, Departure, START + DAY, departure, day(LATE), Some(notice), AuditEvent::Sent);
    world.arrives(0, 1, Departure, START + DAY, departure);
    assert_eq!(world.kinds(LATE), [Kind::Unanswered]);
    // A new notice that follows a question about the old one.
    let mut world = World::new(2, 8);
    let (notice, question, new) = (world.digest(), world.digest(), world.digest());
    world.sends(0, 1, ReturnNotice, START, notice, day(due), None, AuditEvent::Sent);
    world.arrives(0, 1, ReturnNotice, START, notice);
    world.sends(1, 0, Answer, START + DAY, question, 0, Some(notice), AuditEvent::Sent);
    world.arrives(1, 0, Answer, START + DAY, question);
    assert_eq!(world.kinds(LATE), [Kind::Unanswered]);
    world.sends(0, 1, ReturnNotice, START + DAY, new, 0, Some(question), AuditEvent::Sent);
    world.arrives(0, 1, ReturnNotice, START + DAY, new);
    assert_eq!(world.kinds(LATE), []);
}

#[test]
fn attack_27_received_and_not_logged_by_its_sender_is_found() {
    let mut world = World::new(2, 9);
    let digest = world.digest();
    world.arrives(0, 1, VictimProfile, START, digest);
    assert_eq!(world.kinds(START + 24 * HOUR), []);
    let found = world.only(START + 26 * HOUR);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::UnloggedSender, &ends(0, 1), Some(digest)));
}

#[test]
fn attack_27_received_by_another_than_it_was_sent_to_is_misdirected() {
    let mut world = World::new(3, 10);
    let digest = world.send(0, 1, VictimProfile, START);
    world.arrives(0, 2, VictimProfile, START, digest);
    let found = world.only(LATE);
    assert_eq!((found.kind, found.digest), (Kind::Misdirected, Some(digest)));
    assert_eq!(found.parties, [party(0), party(1), party(2)]);
    // The accounts also differ when the recipient names another sender, or another class.
    let mut world = World::new(3, 10);
    let digest = world.send(0, 1, VictimProfile, START);
    world.arrives(2, 1, VictimProfile, START, digest);
    assert_eq!(world.kinds(LATE), [Kind::Misdirected]);
    let mut world = World::new(3, 10);
    let digest = world.send(0, 1, VictimProfile, START);
    world.arrives(0, 1, Answer, START, digest);
    assert_eq!(world.kinds(LATE), [Kind::Misdirected]);
}

#[test]
fn attack_28_a_recipient_that_fetches_and_logs_nothing_withholds() {
    let relay = party(2);
    let mut world = World::new(3, 11);
    let digest = world.send(0, 1, VictimProfile, START);
    world.relay(digest, RelayWord { relay, word: Word::Fetched });
    let found = world.only(LATE);
    assert_eq!((found.kind, &found.parties), (Kind::WithheldByRecipient, &ends(0, 1)));
    // The same with the sender's storage receipt instead of a relay's word.
    let mut world = World::new(2, 11);
    let digest = world.send(0, 1, VictimProfile, START);
    let [deposited, _] = world.deposit(0, 1, VictimProfile, START + HOUR, digest);
    assert_eq!(world.kinds(LATE), [Kind::RecipientOffline], "it lies in the mailbox");
    let mut world = World::new(2, 11);
    let digest = world.send(0, 1, VictimProfile, START);
    let (org, node) = party(deposited.0);
    let stored = Happening::of(AuditEvent::ReceiptReceived).with(org, node).about(digest, VictimProfile as u32);
    world.at(0, START + HOUR, stored);
    assert_eq!(world.only(LATE).kind, Kind::WithheldByRecipient);
    // It lay in one mailbox, and the recipient fetched it from there.
    let mut world = World::new(3, 11);
    let digest = world.send(0, 1, VictimProfile, START);
    world.at(2, START + HOUR, Happening::of(AuditEvent::Deposited).about(digest, 0));
    assert_eq!(world.kinds(LATE), [Kind::RecipientOffline]);
    world.relay(digest, RelayWord { relay, word: Word::Fetched });
    assert_eq!(world.kinds(LATE), [Kind::WithheldByRecipient]);
}

#[test]
fn attack_28_a_relay_that_denies_what_it_signed_for_is_named() {
    let mut world = World::new(3, 12);
    let digest = world.send(0, 1, VictimProfile, START);
    let (org, node) = party(1);
    let stored = Happening::of(AuditEvent::ReceiptReceived).with(org, node).about(digest, VictimProfile as u32);
    world.at(0, START + HOUR, stored);
    world.relay(digest, RelayWord { relay: party(2), word: Word::NoRecord });
    let found = world.only(LATE);
    assert_eq!((found.kind, found.parties), (Kind::LostOrNotDeposited, vec![party(0), party(1), party(2)]));
}

#[test]
fn a_recipient_that_is_off_is_offline_and_not_to_blame() {
    let mut world = World::new(3, 13);
    let digest = world.send(0, 1, VictimProfile, START);
    world.relay(digest, RelayWord { relay: party(2), word: Word::Holds });
    assert_eq!(world.only(LATE).kind, Kind::RecipientOffline);
}

#[test]
fn attack_4_the_same_envelope_taken_in_twice_or_by_two_is_a_replay() {
    let mut world = World::new(3, 14);
    let digest = world.whole(0, 1, VictimProfile, START);
    world.receive(0, 1, VictimProfile, START + 2 * DAY, digest);
    let found = world.only(LATE);
    assert_eq!((found.kind, &found.parties, found.since), (Kind::Replay, &ends(0, 1), START + 2 * DAY));
    // After a restore it may come again.
    world.restore(1, START + DAY + HOUR, &[]);
    assert_eq!(world.kinds(LATE), []);
    let mut world = World::new(3, 14);
    let digest = world.whole(0, 1, VictimProfile, START);
    world.arrives(0, 2, VictimProfile, START + DAY, digest);
    let found = world.only(LATE);
    assert_eq!((found.kind, found.parties), (Kind::Replay, vec![party(0), party(1), party(2)]));
    world.restore(2, START + DAY, &[]);
    assert_eq!(world.kinds(LATE), [Kind::Replay], "a restore does not make it theirs");
    // Saying so a thousand times is one finding, and drowns nobody else's account.
    let mut world = World::new(3, 14);
    let digest = world.send(0, 1, VictimProfile, START);
    let (org, node) = party(0);
    let received = Happening::of(AuditEvent::AuditReceived).with(org, node).about(digest, VictimProfile as u32);
    for n in 0..1000 {
        world.at(2, START + HOUR + n, received);
    }
    world.arrives(0, 1, VictimProfile, START, digest);
    let found = world.reconcile(LATE).findings;
    let kinds: Vec<Kind> = found.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [Kind::Unattended, Kind::Replay]);
    assert_eq!(found[1].parties.len(), 3);
}

#[test]
fn a_sender_refused_far_more_than_usual_is_probing() {
    let mut world = World::new(3, 21);
    let refuse = |world: &mut World, from: usize, n: u64| {
        for i in 0..n {
            let digest = world.send(from, 1, VictimProfile, START + i);
            let (org, node) = party(from);
            let refused = Happening::of(AuditEvent::Rejected).with(org, node).about(digest, VictimProfile as u32);
            world.at(1, START + HOUR + i, refused);
        }
    };
    refuse(&mut world, 0, 20);
    for i in 0..60 {
        world.whole(0, 1, VictimProfile, START + i);
    }
    refuse(&mut world, 2, 19);
    assert_eq!(world.kinds(LATE), [], "a quarter is usual, and nineteen are few");
    refuse(&mut world, 2, 1);
    let found = world.only(LATE);
    assert_eq!((found.kind, found.parties, found.digest), (Kind::Probing, vec![party(2)], None));
}

#[test]
fn a_node_that_is_not_heard_is_never_accused_by_its_silence() {
    let everything = |world: &mut World| {
        let digest = world.send(0, 1, VictimProfile, START);
        let (org, node) = party(1);
        let stored = Happening::of(AuditEvent::ReceiptReceived).with(org, node).about(digest, VictimProfile as u32);
        world.at(0, START + HOUR, stored);
        world.send(0, 1, VictimProfile, START);
        let unlogged = world.digest();
        world.arrives(1, 0, VictimProfile, START + 2 * DAY, unlogged);
    };
    let mut world = World::new(2, 22);
    everything(&mut world);
    world.off_from(1, START + DAY);
    let report = world.reconcile(LATE);
    assert_eq!(
        report.findings.iter().map(|f| (f.kind, f.parties.clone())).collect::<Vec<_>>(),
        [(Kind::NotWitnessed, vec![party(1)])]
    );
    assert_eq!(report.unheard.into_iter().collect::<Vec<_>>(), [(party(1), 3)]);
    let mut world = World::new(2, 22);
    everything(&mut world);
    world.not_audited(1);
    let report = world.reconcile(LATE);
    assert_eq!(report.findings, []);
    assert_eq!(report.unheard.into_iter().collect::<Vec<_>>(), [(party(1), 3)]);
    // A sender whose account is late may have its storage receipt in what is not in yet; a recipient, the opening.
    for late in [0, 1] {
        let mut world = World::new(2, 22);
        let digest = world.send(0, 1, VictimProfile, START);
        if late == 1 {
            world.receive(0, 1, VictimProfile, START + HOUR, digest);
        }
        world.off_from(late, START + DAY);
        let report = world.reconcile(LATE);
        assert_eq!(report.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::NotWitnessed]);
        assert_eq!(report.unheard.into_iter().collect::<Vec<_>>(), [(party(late), 1)]);
    }
}

#[test]
fn what_a_node_recorded_before_it_was_audited_is_not_missed() {
    let (org, node) = party(1);
    let sent = Happening::of(AuditEvent::Sent).with(org, node).about(crate::ids::Digest([5; 32]), 6);
    let mut world = World::new(2, 26);
    world.at(0, START, sent);
    let mut join = Join::new(Policy::default(), []);
    let built = world.build(0, LATE);
    built.shown.iter().filter_map(|s| crate::audit::unpad(&s.opening)).for_each(|o| join.take(party(0), &o));
    let standing = |who: usize, heard_from| Standing {
        party: party(who),
        heard_from,
        heard_until: LATE,
        gaps: vec![],
        erased: vec![],
        restores: vec![],
    };
    join.hear(standing(0, 0));
    join.hear(standing(1, START + HOUR));
    assert_eq!(join.report(LATE).findings, []);
    join.hear(standing(1, 0));
    assert_eq!(join.report(LATE).findings.len(), 1);
}

#[test]
fn an_alarm_waits_for_a_late_account_no_longer_than_the_grace() {
    let mut world = World::new(2, 23);
    let departure = world.digest();
    world.sends(0, 1, Departure, START, departure, day(START + DAY), None, AuditEvent::Sent);
    world.deposit(0, 1, Departure, START + HOUR, departure);
    world.receive(0, 1, Departure, START + HOUR, departure);
    world.open(0, 1, Departure, START + 2 * HOUR, departure);
    world.off_from(1, START + 10 * HOUR);
    let over = (day(START + DAY) + 1) * DAY;
    assert_eq!(world.kinds(over + 23 * HOUR), [Kind::NotWitnessed]);
    assert_eq!(world.kinds(over + 24 * HOUR), [Kind::OverdueArrival, Kind::NotWitnessed]);
    world.not_audited(1);
    assert_eq!(world.kinds(over + 24 * HOUR), [], "another coordinator has its account");
}
