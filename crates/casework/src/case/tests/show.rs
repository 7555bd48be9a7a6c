//! Lights and clocks as both ends show them.

use super::super::fact::{Ended, Gap, HeldUnread};
use super::*;
use crate::deadlines::Alert;

fn view(end: &End) -> View {
    end.case.facts_view(&Deadlines::default())
}

fn lit(end: &End) -> [bool; 5] {
    let v = view(end);
    [v.stored.is_some(), v.received.is_some(), v.read.is_some(), v.accepted.is_some(), v.met.is_some()]
}

#[test]
fn five_lights_come_on_one_by_one_and_none_lights_another() {
    let mut pair = pair_in(State::Notified);
    let notice = pair.notice_id();
    assert_eq!(lit(&pair.d), [false; 5]);
    pair.store(notice, false);
    assert_eq!(lit(&pair.d), [true, false, false, false, false]);
    pair.settle();
    assert_eq!(lit(&pair.d), [true, true, false, false, false]);
    assert!(pair.d.case.letter(notice).unwrap().fate() == Fate::Received);
    pair.open(false, notice, &elena()).unwrap();
    pair.settle();
    assert_eq!(lit(&pair.d), [true, true, true, false, false]);
    assert!(pair.d.case.letter(notice).unwrap().fate() == Fate::Opened);
    assert_eq!(pair.states(), (State::Delivered, State::Delivered), "opened is not acknowledged");
    pair.send(false, &bodies::acknowledgement(notice.as_bytes())).unwrap();
    pair.send(false, &bodies::answer("AcceptedWithConditions", notice.as_bytes())).unwrap();
    pair.settle();
    assert_eq!(lit(&pair.d), [true, true, true, false, false], "a yes with conditions is not a yes");
    pair.send(false, &bodies::answer("Accepted", notice.as_bytes())).unwrap();
    pair.settle();
    assert_eq!(lit(&pair.d), [true, true, true, true, false]);
    pair.send(true, &bodies::departure("Left", NOW)).unwrap();
    pair.settle();
    assert_eq!(lit(&pair.d), [true, true, true, true, false], "gone is not arrived");
    let journey = pair.journey_id();
    pair.send(false, &bodies::arrival("ArrivedNotMet", journey.as_bytes(), NOW)).unwrap();
    pair.settle();
    assert!(!lit(&pair.d)[4], "arrived is not met");
    pair.send(false, &bodies::arrival("ArrivedMet", journey.as_bytes(), NOW)).unwrap();
    pair.settle();
    assert_eq!(lit(&pair.d), [true; 5]);
    assert_eq!(lit(&pair.o)[1..], [true; 4], "the receiver shows the same, its own mailbox apart");
}

#[test]
fn each_light_names_its_signer() {
    let pair = pair_in(State::Arrived);
    let node_o = NodeId::try_from(pair.o.node().as_slice()).unwrap();
    for end in [&pair.d, &pair.o] {
        let v = view(end);
        for (light, label) in [(v.received, ""), (v.read, "Ana P."), (v.accepted, "Mira M."), (v.met, "Ana P.")] {
            let light = light.unwrap();
            assert!(light.node == node_o && light.org == Some(ORG_O));
            assert_eq!(light.label, label);
        }
    }
}

#[test]
fn acceptance_shows_that_the_risk_annex_is_missing() {
    for state in [State::Accepted, State::Prepared, State::InTransit] {
        let pair = pair_in(state);
        for end in [&pair.d, &pair.o] {
            assert!(view(end).risk_annex_missing, "{state:?}");
        }
    }
    assert!(view(&pair_in(State::Accepted).d).waiting.contains(&Waiting::RiskAnnexMissing));
    assert!(!view(&pair_in(State::Delivered).d).risk_annex_missing);
    assert_eq!(Waiting::RiskAnnexMissing.words(), "risk annex missing");
}

#[test]
fn a_locked_node_and_a_waiting_message_are_said() {
    let mut pair = pair_in(State::Notified);
    let notice = pair.notice_id();
    assert_eq!(view(&pair.d).waiting, [Waiting::NotLeftHere]);
    assert_eq!(pair.d.case.unreachable_since(), Some(NOW));
    pair.store(notice, true);
    let v = view(&pair.d);
    assert!(v.their_node_locked);
    assert_eq!(v.waiting, [Waiting::StoredLocked]);
    pair.store(notice, false);
    assert_eq!(view(&pair.d).waiting, [Waiting::StoredUnopened]);
    pair.settle();
    let v = view(&pair.d);
    assert!(!v.their_node_locked && v.waiting == [Waiting::NotRead]);
    assert_eq!(pair.d.case.unreachable_since(), None);
}

#[test]
fn undeliverable_and_unreadable_notices_say_so_and_late_evidence_wins() {
    for (make, waiting) in [
        (Fact::SendFailed as fn(Ended) -> Fact, Waiting::NoticeNotDelivered),
        (Fact::Expired as fn(Ended) -> Fact, Waiting::NoticeNotDelivered),
    ] {
        let mut pair = pair_in(State::Notified);
        let msg_id = pair.notice_id().to_vec();
        pair.d.note(make(Ended { msg_id, at: NOW }));
        assert_eq!(pair.d.case.state(), State::Draft);
        assert_eq!(view(&pair.d).waiting, [waiting]);
        pair.settle();
        pair.both_are(State::Delivered);
    }
    let mut pair = pair_in(State::Notified);
    let msg_id = pair.notice_id().to_vec();
    pair.d.note(Fact::ReceiptIn(ReceiptIn {
        msg_id,
        stage: Stage::CannotRead.into(),
        at: NOW,
        node: pair.o.node(),
        org: ORG_O.to_vec(),
        actor_label: String::new(),
        refusal: 0,
    }));
    assert_eq!(view(&pair.d).waiting, [Waiting::NoticeNotReadable]);
}

#[test]
fn a_gap_is_shown_until_the_missing_messages_came() {
    let mut pair = pair_in(State::Delivered);
    pair.o.note(Fact::Gap(Gap { from: 2, to: 4, at: NOW }));
    assert_eq!(view(&pair.o).gaps, [(2, 4)]);
    assert!(view(&pair.o).waiting.contains(&Waiting::Gap));
    let held = |seq| {
        Fact::HeldUnread(HeldUnread { msg_id: vec![seq as u8 + 100; 16], msg_type: 50, seq, at: NOW, digest: vec![] })
    };
    pair.o.note(held(3));
    assert_eq!(view(&pair.o).gaps, [(2, 2), (4, 4)]);
    pair.send(true, &bodies::withdrawal(9, "Feedback", &[], NOW)).unwrap();
    pair.settle();
    assert_eq!(view(&pair.o).gaps, [(4, 4)]);
    pair.o.note(held(4));
    let v = view(&pair.o);
    assert!(v.gaps.is_empty() && !v.waiting.contains(&Waiting::Gap) && v.waiting.contains(&Waiting::CannotReadYet));
    pair.o.note(Fact::Gap(Gap { from: 1, to: 1, at: NOW }));
    assert!(view(&pair.o).gaps.is_empty(), "what came before the gap was seen closes it too");
    pair.d.note(Fact::Gap(Gap { from: 2, to: 2, at: NOW }));
    let mine = bodies::withdrawal(8, "Feedback", &[], NOW);
    pair.send(true, &mine).unwrap();
    assert_eq!(view(&pair.d).gaps, [(2, 2)], "our own numbers close none of theirs");
    pair.o.note(Fact::Gap(Gap { from: 3, to: 1, at: NOW }));
    assert_eq!(pair.o.case.unreadable(), 1);
}

// Clocks.

fn clock(end: &End, rule: Rule, now: u64) -> TimerState {
    let timers = end.case.timers(&Deadlines::default(), now);
    timers.iter().find(|t| t.rule == rule).map(|t| t.state).unwrap()
}

#[test]
fn each_clock_runs_is_overdue_and_is_met_at_both_ends_alike() {
    use State as S;
    // (state it runs in, rule, seconds until due, what answers it)
    type Answer = fn(&mut Pair);
    let acknowledge: Answer = |p| {
        let to = p.notice_id();
        {
            p.send(false, &bodies::acknowledgement(to.as_bytes())).unwrap();
        }
    };
    let accept: Answer = |p| {
        let to = p.notice_id();
        {
            p.send(false, &bodies::answer("Accepted", to.as_bytes())).unwrap();
        }
    };
    let supersede: Answer = |p| {
        let mut body = bodies::notice();
        let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
        n.supersedes = p.notice_id().to_vec();
        (n.window_from_day, n.window_to_day) = (bodies::TODAY + 60, bodies::TODAY + 61);
        {
            p.send(true, &body).unwrap();
        }
    };
    let meet: Answer = |p| {
        let to = p.journey_id();
        {
            p.send(false, &bodies::arrival("ArrivedMet", to.as_bytes(), p.now)).unwrap();
        }
    };
    let read_withdrawal: Answer = |p| {
        let id = p.o.case.letters().iter().rfind(|l| l.kind() == Some(Kind::Withdrawal)).map(Letter::id).unwrap();
        p.open(false, id, &elena()).unwrap();
    };
    let five_working_days = Deadlines::default().shared(Rule::ConditionsSettle, NOW).at - NOW;
    let table: [(State, Rule, u64, Answer); 9] = [
        (S::Delivered, Rule::Acknowledge, DAY, acknowledge),
        (S::Delivered, Rule::UnansweredReroute, 3 * DAY, acknowledge),
        (S::Acknowledged, Rule::Answer, 5 * DAY, accept),
        (S::Acknowledged, Rule::NoticeExpires, 7 * DAY, accept),
        (S::InfoRequested, Rule::InfoReply, 2 * DAY, supersede),
        (S::AcceptedCond, Rule::ConditionsSettle, five_working_days, accept),
        (S::InTransit, Rule::ArrivalConfirm, 44 * HOUR, meet),
        (S::ArrivedUnmet, Rule::UnmetContact, DAY, meet),
        (S::Withdrawn, Rule::WithdrawalRead, DAY, read_withdrawal),
    ];
    for (state, rule, secs, answer) in table {
        for late in [false, true] {
            let mut pair = pair_in(state);
            for end in [&pair.d, &pair.o] {
                assert_eq!(clock(end, rule, NOW + secs), TimerState::Running, "{rule:?}");
                assert_eq!(clock(end, rule, NOW + secs + 1), TimerState::Overdue, "{rule:?}");
                assert!(end.case.is_overdue(&Deadlines::default(), NOW + secs + 1));
            }
            pair.now = NOW + secs + u64::from(late);
            answer(&mut pair);
            pair.settle();
            let expected = if late { TimerState::MetLate } else { TimerState::Met };
            for end in [&pair.d, &pair.o] {
                assert_eq!(clock(end, rule, NOW + 90 * DAY), expected, "{rule:?} late: {late}");
            }
        }
    }
}

#[test]
fn a_declined_notice_starts_the_clock_to_look_elsewhere_shorter_for_high_risk() {
    let pair = pair_in(State::Declined);
    assert_eq!(clock(&pair.d, Rule::DeclineReroute, NOW + 3 * DAY), TimerState::Running);
    assert_eq!(clock(&pair.o, Rule::DeclineReroute, NOW + 3 * DAY + 1), TimerState::Overdue);

    let mut high = Pair::with(&consents());
    let mut body = bodies::notice();
    (body.actor_label, body.actor_role) = ("Mira M.".into(), "Manager".into());
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.risk_level = "High".into();
    let id = high.send(true, &body).unwrap();
    high.settle();
    high.send(false, &bodies::acknowledgement(id.as_bytes())).unwrap();
    high.send(false, &bodies::answer("Declined", id.as_bytes())).unwrap();
    high.settle();
    assert_eq!(clock(&high.d, Rule::DeclineRerouteHigh, NOW + DAY + 1), TimerState::Overdue);
}

#[test]
fn a_message_without_receipt_is_overdue_after_a_quarter_of_an_hour() {
    let mut pair = pair_in(State::Notified);
    assert_eq!(clock(&pair.d, Rule::NodeReceipt, NOW + 900), TimerState::Running);
    assert_eq!(clock(&pair.d, Rule::NodeReceipt, NOW + 901), TimerState::Overdue);
    pair.now += 901;
    pair.settle();
    assert_eq!(clock(&pair.d, Rule::NodeReceipt, NOW + 901), TimerState::MetLate);
    assert_eq!(Rule::NodeReceipt.line().alert, Alert::Sender);
}

#[test]
fn a_draft_asks_to_be_purged_and_a_consent_to_be_renewed() {
    let delivered = pair_in(State::Delivered);
    let at_o: Vec<_> = delivered.o.case.timers(&Deadlines::default(), NOW).iter().map(|t| t.rule).collect();
    for only_at_d in [Rule::DraftPurge, Rule::ConsentRenewal, Rule::NodeReceipt] {
        assert!(!at_o.contains(&only_at_d), "{only_at_d:?}");
    }
    let mut pair = pair_in(State::Accepted);
    pair.send(true, &bodies::withdrawal(2, "ShareProfile", &[], NOW)).unwrap();
    let renewals =
        |case: &Case| case.timers(&Deadlines::default(), NOW).iter().filter(|t| t.rule == Rule::ConsentRenewal).count();
    assert_eq!(renewals(&pair.d.case), 3, "what was withdrawn asks for nothing");
    let recalled = pair.send(true, &bodies::departure("Left", NOW)).unwrap();
    pair.recall(recalled).unwrap();
    assert!(!pair.d.case.timers(&Deadlines::default(), NOW).iter().any(|t| t.about == Some(recalled)));
    let pair = pair_in(State::Draft);
    assert_eq!(clock(&pair.d, Rule::DraftPurge, NOW + 89 * DAY), TimerState::Running);
    assert_eq!(clock(&pair.d, Rule::DraftPurge, NOW + 90 * DAY), TimerState::Overdue);
    assert_eq!(clock(&pair.d, Rule::ConsentRenewal, NOW + 136 * DAY), TimerState::Running);
    assert_eq!(clock(&pair.d, Rule::ConsentRenewal, NOW + 136 * DAY + 1), TimerState::Overdue);
}

#[test]
fn a_clock_fires_once_and_ends_states_only_by_being_written_down() {
    let mut pair = pair_in(State::Delivered);
    pair.now += 7 * DAY + 1;
    pair.both_are(State::Delivered);
    pair.tick();
    pair.both_are(State::Expired);
    assert!(pair.d.case.fires(&Deadlines::default(), pair.now + DAY).is_empty());
    let late = pair.d.case.fired().iter().map(|f| f.rule).collect::<Vec<_>>();
    for rule in [Rule::Acknowledge, Rule::UnansweredReroute, Rule::Answer, Rule::NoticeExpires] {
        assert!(late.contains(&rule), "{rule:?}");
    }
    // A late yes is still a yes, and stays late.
    let to = pair.notice_id();
    pair.send(false, &bodies::acknowledgement(to.as_bytes())).unwrap();
    pair.both_are(State::Expired);
    pair.send(false, &bodies::answer("Accepted", to.as_bytes())).unwrap();
    pair.settle();
    pair.both_are(State::Accepted);
    assert_eq!(clock(&pair.d, Rule::NoticeExpires, pair.now), TimerState::MetLate);
    assert!(pair.d.case.fired().iter().any(|f| f.rule == Rule::NoticeExpires), "the late clock is never removed");
}

#[test]
fn silence_after_the_planned_arrival_becomes_not_arrived_and_a_late_word_still_counts() {
    let mut pair = pair_in(State::InTransit);
    pair.now += 44 * HOUR + 1;
    pair.tick();
    pair.both_are(State::NoShow);
    assert!(view(&pair.o).waiting.contains(&Waiting::DidNotCome));
    let to = pair.journey_id();
    pair.send(false, &bodies::arrival("ArrivedMet", to.as_bytes(), pair.now)).unwrap();
    pair.settle();
    pair.both_are(State::Arrived);
}

#[test]
fn when_she_ends_it_nothing_is_owed_but_that_her_word_arrives() {
    let mut pair = pair_in(State::Acknowledged);
    pair.stay(true);
    pair.settle();
    assert_eq!(clock(&pair.d, Rule::Answer, NOW + 90 * DAY), TimerState::Stopped);
    assert!(!pair.d.case.is_overdue(&Deadlines::default(), NOW + 90 * DAY));
    let withdrawn = pair_in(State::Withdrawn);
    assert_eq!(clock(&withdrawn.o, Rule::WithdrawalRead, NOW + 2 * DAY), TimerState::Overdue);
    assert!(view(&withdrawn.d).waiting.contains(&Waiting::WithdrawalNotRead));
    let mut read = withdrawn;
    let word = read.o.case.letters().last().map(Letter::id).unwrap();
    read.open(false, word, &elena()).unwrap();
    read.settle();
    assert!(!view(&read.d).waiting.contains(&Waiting::WithdrawalNotRead));
}

#[test]
fn a_stay_is_the_outcome_even_beside_a_withdrawal_and_what_was_withdrawn_stays_shown() {
    let mut pair = pair_in(State::Withdrawn);
    pair.stay(false);
    pair.settle();
    pair.both_are(State::Stayed);
    assert_eq!(view(&pair.o).withdrawn, [(Purpose::ShareNotice, vec![])]);
}

#[test]
fn the_expected_day_is_known_while_she_is_on_her_way() {
    let pair = pair_in(State::InTransit);
    assert_eq!(pair.o.case.expected_day(), Some((NOW + 20 * HOUR) / DAY));
    assert_eq!(pair_in(State::Arrived).o.case.expected_day(), None);
}

#[test]
fn a_delivered_profile_is_not_a_read_one() {
    let mut pair = pair_in(State::Accepted);
    assert_eq!(view(&pair.d).waiting, [Waiting::RiskAnnexMissing, Waiting::ProfileNotSent, Waiting::NotLeft]);
    let profile = pair.send(true, &bodies::profile()).unwrap();
    pair.settle();
    pair.both_are(State::Accepted);
    assert_eq!(view(&pair.d).waiting, [Waiting::RiskAnnexMissing, Waiting::ProfileNotRead, Waiting::NotLeft]);
    pair.open(false, profile, &elena()).unwrap();
    pair.settle();
    pair.both_are(State::Prepared);
    assert_eq!(view(&pair.d).waiting, [Waiting::RiskAnnexMissing, Waiting::NotLeft]);
}

#[test]
fn who_did_not_leave_after_all_is_not_on_her_way() {
    let mut pair = pair_in(State::InTransit);
    pair.send(true, &bodies::departure("DidNotLeave", NOW)).unwrap();
    pair.settle();
    pair.both_are(State::Prepared);
    assert_eq!(clock(&pair.o, Rule::ArrivalConfirm, NOW + 90 * DAY), TimerState::Met, "nobody waits for her");
}

#[test]
fn short_notice_and_an_unprepared_journey_are_flagged_at_both_ends() {
    let mut early = Pair::with(&consents());
    let mut body = bodies::notice();
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    (n.window_from_day, n.window_to_day) = (bodies::TODAY + 15, bodies::TODAY + 20);
    early.send(true, &body).unwrap();
    early.settle();
    let mut late = Pair::with(&consents());
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.window_from_day = bodies::TODAY + 5;
    late.send(true, &body).unwrap();
    late.settle();
    for (pair, short) in [(&early, false), (&late, true)] {
        assert_eq!((view(&pair.d).short_notice, view(&pair.o).short_notice), (short, short));
    }
    let mut pair = pair_in(State::Prepared);
    assert!(!view(&pair.d).unprepared, "nobody has left");
    pair.now += 8 * DAY;
    pair.send(true, &bodies::departure("Left", pair.now)).unwrap();
    pair.settle();
    assert!(!view(&pair.d).unprepared && !view(&pair.o).unprepared);
    let hasty = pair_in(State::InTransit);
    assert!(view(&hasty.d).unprepared && view(&hasty.o).unprepared);
}

#[test]
fn words_are_there_for_every_state_and_hold_no_codes() {
    for &state in State::ALL {
        assert!(!state.words().is_empty() && !state.words().contains('_'));
        assert_eq!(State::parse(state.code()), Some(state));
    }
}
