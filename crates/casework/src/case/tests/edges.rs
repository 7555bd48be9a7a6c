//! The last second, day and number at which something still holds, and the first at which it does not.

use std::collections::BTreeSet;

use clearhouse_protocol::limits::SKEW_SECS;

use super::guards::{as_notice, ask};
use super::*;
use crate::case::act::{has_happened, left};
use crate::case::fact::{Gap, PartsErased};
use crate::case::timers::TimerState;
use crate::consent::DataClass;
use crate::deadlines::Rule;

#[test]
fn a_window_is_open_on_its_last_day() {
    let pair = pair_in(State::Draft);
    let today = u32::try_from(pair.now / DAY).unwrap();
    let asked = |last: u32| {
        let mut body = bodies::notice();
        let notice = as_notice(&mut body);
        (notice.window_from_day, notice.window_to_day) = (last - 3, last);
        ask(&pair, true, &body)
    };
    assert_eq!((asked(today), asked(today - 1)), (Ok(()), Err(Refusal::WindowPast)));
}

#[test]
fn what_is_told_has_happened_as_far_as_clocks_may_differ() {
    assert_eq!(has_happened(NOW + SKEW_SECS, NOW), Ok(()));
    assert_eq!(has_happened(NOW + SKEW_SECS + 1, NOW), Err(Refusal::NotYetHappened));
}

#[test]
fn only_who_left_is_under_way() {
    for (outcome, is_under_way) in [("Left", true), ("DidNotLeave", false)] {
        let mut pair = pair_in(State::Accepted);
        let sent = pair.send(true, &bodies::departure(outcome, NOW)).unwrap();
        assert_eq!(left(pair.d.case.letter(sent).unwrap()), is_under_way, "{outcome}");
    }
    let pair = pair_in(State::Accepted);
    assert!(!left(pair.d.case.notice().unwrap()), "a notice is no departure");
}

#[test]
fn so_many_gaps_are_remembered() {
    let mut pair = pair_in(State::Delivered);
    for n in 0..=GAPS_MAX as u64 {
        pair.o.note(Fact::Gap(Gap { from: 10 + 2 * n, to: 10 + 2 * n, at: NOW }));
    }
    assert_eq!(pair.o.case.facts_view(&Deadlines::default()).gaps.len(), GAPS_MAX);
}

#[test]
fn a_class_that_comes_after_it_was_erased_is_shown_again() {
    let mut pair = pair_in(State::InTransit);
    let at = pair.now;
    let shown = |pair: &Pair| pair.o.case.visible_parts(pair.now).iter().any(|part| part.class == DataClass::Health);
    let (classes, rule, role) = (vec!["Health".to_owned()], "RetentionEnded".to_owned(), "Manager".to_owned());
    pair.o.note(Fact::PartsErased(PartsErased { classes, rule, at, role }));
    assert!(!shown(&pair));
    pair.send(true, &bodies::profile()).unwrap();
    pair.settle();
    assert!(shown(&pair));
}

#[test]
fn a_meeting_starts_no_clock_and_an_arrival_unmet_does() {
    for (state, runs) in [(State::Arrived, false), (State::ArrivedUnmet, true)] {
        let pair = pair_in(state);
        let timers = pair.d.case.timers(&Deadlines::default(), pair.now);
        assert_eq!(timers.iter().any(|timer| timer.rule == Rule::UnmetContact), runs, "{state:?}");
    }
}

#[test]
fn the_next_clock_is_the_first_of_those_that_run() {
    let pair = pair_in(State::Acknowledged);
    let deadlines = Deadlines::default();
    let timers = pair.d.case.timers(&deadlines, pair.now);
    assert!(timers.iter().any(|timer| timer.state == TimerState::Met), "one is over");
    let next = pair.d.case.next_due(&deadlines, pair.now).unwrap();
    assert!(
        next > pair.now && !pair.d.case.is_overdue(&deadlines, next) && pair.d.case.is_overdue(&deadlines, next + 1)
    );
}

#[test]
fn a_notice_is_short_on_the_day_before_its_lead_begins_to_hold() {
    let pair = pair_in(State::Draft);
    let is_short = |first: u64| {
        let mut pair = pair_in(State::Draft);
        let mut body = bodies::notice();
        let notice = as_notice(&mut body);
        notice.window_from_day = u32::try_from(first).unwrap();
        notice.window_to_day = notice.window_from_day + 7;
        pair.send(true, &body).unwrap();
        pair.d.case.facts_view(&Deadlines::default()).short_notice
    };
    let lead = Deadlines::default().shared(Rule::NoticeLead, pair.now).at / DAY;
    assert_eq!((is_short(lead - 1), is_short(lead)), (true, false));
}

#[test]
fn each_end_knows_which_it_is_and_every_state_has_words_of_its_own() {
    let pair = pair_in(State::Delivered);
    assert!(pair.o.case.is_receiver() && !pair.d.case.is_receiver());
    let states = [
        State::Draft,
        State::Notified,
        State::Delivered,
        State::Acknowledged,
        State::InfoRequested,
        State::Declined,
        State::Expired,
        State::AcceptedCond,
        State::Accepted,
        State::Prepared,
        State::InTransit,
        State::Arrived,
        State::ArrivedUnmet,
        State::NoShow,
        State::Withdrawn,
        State::Stayed,
    ];
    let words: BTreeSet<_> = states.iter().map(|state| state.words()).collect();
    assert!(words.len() == states.len() && words.iter().all(|word| word.len() > 5));
    let ends: Vec<_> = states.iter().filter(|state| state.is_end()).collect();
    assert_eq!(ends, [&State::Withdrawn, &State::Stayed]);
}

#[test]
fn lights_are_those_of_the_letter_they_stand_at() {
    let mut pair = pair_in(State::Notified);
    let notice = pair.notice_id();
    let lit = |pair: &Pair| {
        let letter = pair.d.case.letter(notice).unwrap();
        (letter.stored().is_some(), letter.received().is_some(), letter.read().is_some())
    };
    assert_eq!(lit(&pair), (false, false, false));
    pair.store(notice, false);
    assert_eq!(lit(&pair), (true, false, false));
    pair.settle();
    assert_eq!(lit(&pair), (true, true, false));
}

#[test]
fn whoever_may_decide_an_erasure_may_call_it_off() {
    let pair = pair_in(State::Declined);
    assert_eq!(pair.d.case.may_keep(&actor(Role::Manager)), Ok(()));
    for role in [Role::Caseworker, Role::Administrator, Role::Auditor] {
        assert!(pair.d.case.may_keep(&actor(role)).is_err(), "{role:?}");
    }
}

#[test]
fn a_profile_is_usable_while_a_part_rests_on_a_consent_of_its_own_class() {
    let mut pair = Pair::new();
    let consent = |id, classes: &[&str], given_at| clearhouse_wire::v1::Consent {
        given_at,
        ..bodies::consent(id, "ShareProfile", classes)
    };
    let mut body = bodies::profile();
    let Some(What::VictimProfile(profile)) = &mut body.what else { unreachable!() };
    profile.parts.truncate(2);
    profile.consents = vec![consent(3, &["Contact"], NOW - DAY)];
    body.consent = Some(consent(2, &["Identity"], NOW - 2 * DAY));
    let sent = pair.force(true, &body);
    let usable = |pair: &Pair| pair.d.case.is_usable(pair.d.case.letter(sent).unwrap());
    let says = |pair: &mut Pair, consent: u8, classes: &[&str]| {
        let said = clearhouse_wire::v1::Withdrawal {
            consent_id: vec![consent; 16],
            purpose: "ShareProfile".into(),
            data_classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            // Before the later of the two was given.
            effective: NOW - 2 * DAY,
        };
        let fact = crate::case::fact::ConsentWithdrawn { withdrawal: Some(said), at: NOW, by: None };
        pair.d.note(Fact::ConsentWithdrawn(fact));
    };
    assert!(usable(&pair));
    says(&mut pair, 2, &[]);
    assert!(usable(&pair), "the other part is");
    says(&mut pair, 3, &["Contact"]);
    assert!(!usable(&pair), "what is left of that consent is for another class");
}

#[test]
fn the_question_that_a_newer_notice_answers_is_no_answer_to_the_earlier_one() {
    for crossed in [false, true] {
        let mut pair = pair_in(State::InfoRequested);
        let old = pair.notice_id();
        let mut newer = bodies::notice();
        as_notice(&mut newer).supersedes = old.to_vec();
        pair.send(true, &newer).unwrap();
        if crossed {
            pair.send(false, &bodies::answer("Accepted", old.as_bytes())).unwrap();
        }
        pair.settle();
        pair.both_are(State::Delivered);
        for end in [&pair.d, &pair.o] {
            let waiting = end.case.facts_view(&Deadlines::default()).waiting;
            assert_eq!(waiting.contains(&Waiting::AnswerToEarlierNotice), crossed, "{waiting:?}");
        }
    }
}

#[test]
fn the_next_change_of_a_case_without_clocks_is_the_end_of_its_next_consent() {
    let pair = pair_in(State::Draft);
    let deadlines = Deadlines::default();
    let ends: BTreeSet<u64> = pair.d.case.ledger().consents().map(|consent| consent.expires_at).collect();
    let first = *ends.first().unwrap();
    assert_eq!(pair.d.case.next_change(&deadlines, first - 1), Some(first));
    assert_eq!(pair.d.case.next_change(&deadlines, first), ends.range(first + 1..).next().copied());
    assert_eq!(pair.d.case.next_change(&deadlines, *ends.last().unwrap()), None, "nothing ends twice");
}
