//! Every guard of [`Case::may`], each with the act it must stop beside the same act that passes.

use clearhouse_wire::v1::ReturnNotice;

use super::*;
use crate::consent::{ConsentFault, DataClass};
use crate::refusal::{Moment, Subject};

type Change = fn(&mut CaseBody);

pub(super) fn as_notice(body: &mut CaseBody) -> &mut ReturnNotice {
    match &mut body.what {
        Some(What::ReturnNotice(n)) => n,
        _ => unreachable!(),
    }
}

pub(super) fn sign(body: &mut CaseBody, role: Role) {
    body.actor_label = actor(role).label;
    body.actor_role = role.code().into();
}

/// What the end that may act would send next in each state; the same body is then spoilt row by row.
pub(super) fn ask(pair: &Pair, from_d: bool, body: &CaseBody) -> Result<(), Refusal> {
    let checked = body::prepare(body).map_err(Refusal::Body)?;
    let case = if from_d { &pair.d.case } else { &pair.o.case };
    case.may(&Act::Send(&checked), &signer(body), pair.now)
}

fn consent_refusal(fault: ConsentFault, purpose: Purpose, class: Option<DataClass>) -> Refusal {
    Refusal::Consent(fault, Subject { purpose, class, receiver: ORG_O })
}

#[test]
fn each_message_may_be_sent_in_exactly_its_states() {
    use State as S;
    let supersede = |pair: &Pair| {
        let mut body = bodies::notice_at(pair.now);
        as_notice(&mut body).supersedes = pair.d.case.notice().map(|n| n.id().to_vec()).unwrap_or_else(|| vec![1; 16]);
        body
    };
    let to = |pair: &Pair| pair.d.case.notice().map(|n| n.id().to_vec()).unwrap_or_else(|| vec![1; 16]);
    let journey = |pair: &Pair| pair.d.case.journey().map(|l| l.id().to_vec()).unwrap_or_else(|| vec![1; 16]);
    type Make<'a> = Box<dyn Fn(&Pair) -> CaseBody + 'a>;
    let table: Vec<(&str, bool, Make<'_>, Vec<State>)> = vec![
        ("notice", true, Box::new(|p| bodies::notice_at(p.now)), vec![S::Draft]),
        ("superseding", true, Box::new(supersede), vec![S::InfoRequested]),
        ("acknowledgement", false, Box::new(|p| bodies::acknowledgement(&to(p))), vec![S::Delivered, S::Expired]),
        ("question", false, Box::new(|p| bodies::answer("InfoRequested", &to(p))), vec![S::Acknowledged]),
        (
            "accepted",
            false,
            Box::new(|p| bodies::answer("Accepted", &to(p))),
            vec![S::Acknowledged, S::InfoRequested, S::AcceptedCond],
        ),
        (
            "declined",
            false,
            Box::new(|p| bodies::answer("Declined", &to(p))),
            vec![S::Acknowledged, S::InfoRequested, S::AcceptedCond, S::Accepted, S::Prepared],
        ),
        ("profile", true, Box::new(|_| bodies::profile()), vec![S::Accepted, S::Prepared, S::InTransit]),
        ("left", true, Box::new(|p| bodies::departure("Left", p.now)), vec![S::Accepted, S::Prepared, S::NoShow]),
        (
            "did not leave",
            true,
            Box::new(|p| bodies::departure("DidNotLeave", p.now)),
            vec![S::Accepted, S::Prepared, S::NoShow, S::InTransit],
        ),
        (
            "met",
            false,
            Box::new(|p| bodies::arrival("ArrivedMet", &journey(p), p.now)),
            vec![S::InTransit, S::ArrivedUnmet, S::NoShow],
        ),
        ("withdrawal", true, Box::new(|p| bodies::withdrawal(1, "ShareNotice", &[], p.now)), S::ALL.to_vec()),
        (
            "withdrawal at the receiver",
            false,
            Box::new(|p| bodies::withdrawal(1, "ShareNotice", &[], p.now)),
            S::ALL.to_vec(),
        ),
        ("she stays", true, Box::new(|p| bodies::departure("ChoseNotToTravel", p.now)), S::ALL.to_vec()),
        ("she stays, there", false, Box::new(|p| bodies::arrival("ChoseNotToTravel", &[], p.now)), S::ALL.to_vec()),
    ];
    for &state in State::ALL {
        let mut pair = pair_in(state);
        pair.settle();
        let state = pair.states().1;
        for (name, from_d, make, allowed) in &table {
            let verdict = ask(&pair, *from_d, &make(&pair));
            assert_eq!(verdict.is_ok(), allowed.contains(&state), "{name} in {state:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_refusal_out_of_order_says_which_order() {
    let notice = |pair: &Pair| bodies::notice_at(pair.now);
    let table = [
        (State::Delivered, true, 0, Refusal::AlreadySent),
        (State::Draft, false, 1, Refusal::NothingToAcknowledge),
        (State::Acknowledged, false, 1, Refusal::NothingToAcknowledge),
        (State::Delivered, false, 2, Refusal::NotAcknowledged),
        (State::Declined, false, 2, Refusal::AnsweredAlready),
        (State::Accepted, false, 2, Refusal::AnsweredAlready),
        (State::InTransit, false, 2, Refusal::AnsweredAlready),
        (State::InfoRequested, false, 3, Refusal::AskedAlready),
        (State::AcceptedCond, true, 4, Refusal::NotAccepted),
        (State::Acknowledged, true, 4, Refusal::NotAccepted),
        (State::AcceptedCond, true, 5, Refusal::NotAccepted),
        (State::InTransit, true, 5, Refusal::NotWaitingToLeave),
        (State::Arrived, true, 5, Refusal::NotWaitingToLeave),
        (State::Accepted, false, 6, Refusal::NotOnTheWay),
        (State::Arrived, false, 6, Refusal::AnsweredAlready),
        (State::Stayed, true, 5, Refusal::CaseEnded),
        (State::Withdrawn, true, 4, Refusal::CaseEnded),
        (State::Stayed, false, 1, Refusal::CaseEnded),
        (State::Draft, true, 1, Refusal::WrongSide),
        (State::Draft, false, 0, Refusal::WrongSide),
        (State::Accepted, false, 4, Refusal::WrongSide),
        (State::InTransit, true, 6, Refusal::WrongSide),
    ];
    for (state, from_d, what, refusal) in table {
        let pair = pair_in(state);
        let to = pair.d.case.notice().map_or(vec![1; 16], |n| n.id().to_vec());
        let journey = pair.d.case.journey().map_or(vec![1; 16], |l| l.id().to_vec());
        let body = match what {
            0 => notice(&pair),
            1 => bodies::acknowledgement(&to),
            2 => bodies::answer("Accepted", &to),
            3 => bodies::answer("InfoRequested", &to),
            4 => bodies::profile(),
            5 => bodies::departure("Left", pair.now),
            _ => bodies::arrival("ArrivedMet", &journey, pair.now),
        };
        assert_eq!(ask(&pair, from_d, &body), Err(refusal), "{what} in {state:?}");
    }
}

#[test]
fn a_notice_is_held_to_every_guard_of_its_own() {
    let table: [(Change, Refusal); 5] = [
        (|b| as_notice(b).risk_level = "High".into(), Refusal::HighRiskNeedsManager),
        (|b| as_notice(b).reflection_ends_day = bodies::TODAY + 3, Refusal::ReflectionRuns),
        (
            |b| {
                as_notice(b).window_from_day = bodies::TODAY - 9;
                as_notice(b).window_to_day = bodies::TODAY - 1;
            },
            Refusal::WindowPast,
        ),
        (|b| as_notice(b).supersedes = vec![7; 16], Refusal::NothingToSupersede),
        (|b| sign(b, Role::ChildOfficer), Refusal::SignedForAnother),
    ];
    let pair = pair_in(State::Draft);
    assert_eq!(ask(&pair, true, &bodies::notice()), Ok(()));
    for (spoil, refusal) in table {
        let mut body = bodies::notice();
        spoil(&mut body);
        let checked = body::prepare(&body).map_err(|f| f.to_string()).unwrap();
        let verdict = pair.d.case.may(&Act::Send(&checked), &actor(Role::Caseworker), pair.now);
        assert_eq!(verdict, Err(refusal));
    }
    let mut earlier = bodies::notice();
    as_notice(&mut earlier).reflection_ends_day = bodies::TODAY + 3;
    as_notice(&mut earlier).wishes_to_go_earlier = true;
    assert_eq!(ask(&pair, true, &earlier), Ok(()), "her own wish ends the reflection");
    let mut high = bodies::notice();
    as_notice(&mut high).risk_level = "High".into();
    sign(&mut high, Role::Manager);
    assert_eq!(ask(&pair, true, &high), Ok(()));
}

#[test]
fn nobody_signs_for_somebody_else_nor_under_another_role() {
    let pair = pair_in(State::Draft);
    let checked = body::prepare(&bodies::notice()).map_err(|f| f.to_string()).unwrap();
    let may = |who: &Actor| pair.d.case.may(&Act::Send(&checked), who, pair.now);
    assert_eq!(may(&actor(Role::Caseworker)), Ok(()));
    assert_eq!(may(&elena()), Err(Refusal::SignedForAnother));
    let promoted = Actor { role: Role::Manager, ..actor(Role::Caseworker) };
    assert_eq!(may(&promoted), Err(Refusal::SignedForAnother));
}

#[test]
fn every_act_is_closed_to_accounts_without_content() {
    let pair = pair_in(State::Prepared);
    let id = pair.notice_id();
    let notice = body::prepare(&bodies::notice()).map_err(|f| f.to_string()).unwrap();
    let consent = consents().remove(0);
    let Some(What::Withdrawal(withdrawal)) = bodies::withdrawal(1, "ShareNotice", &[], NOW).what else {
        unreachable!()
    };
    let acts = [
        Act::RecordConsent(&consent),
        Act::Send(&notice),
        Act::WithdrawConsent(&withdrawal),
        Act::Stay,
        Act::Recall(id),
        Act::OpenMessage(id),
    ];
    for act in &acts {
        for role in [Role::Administrator, Role::Auditor] {
            assert_eq!(pair.o.case.may(act, &actor(role), NOW), Err(Refusal::NoContentRole));
        }
    }
    for role in [Role::Caseworker, Role::Manager, Role::ChildOfficer] {
        assert_eq!(pair.o.case.may(&Act::WithdrawConsent(&withdrawal), &actor(role), NOW), Ok(()));
        assert_eq!(pair.o.case.may(&Act::Stay, &actor(role), NOW), Ok(()));
    }
}

#[test]
fn a_consent_is_written_down_only_for_this_receiver_and_only_once() {
    let pair = pair_in(State::Accepted);
    let may = |consent: &clearhouse_wire::v1::Consent| {
        pair.d.case.may(&Act::RecordConsent(consent), &actor(Role::Caseworker), pair.now)
    };
    let fresh = bodies::consent(9, "ShareProfile", &["Needs"]);
    assert_eq!(may(&fresh), Ok(()));
    let fault = |fault| Err(consent_refusal(fault, Purpose::ShareProfile, None));
    let other = clearhouse_wire::v1::Consent { recipient_org: vec![1; 16], ..fresh.clone() };
    assert_eq!(may(&other), fault(ConsentFault::OtherReceiver));
    let future = clearhouse_wire::v1::Consent { given_at: NOW + DAY, ..fresh.clone() };
    assert_eq!(may(&future), fault(ConsentFault::GivenInFuture));
    let over = clearhouse_wire::v1::Consent { expires_at: NOW, ..fresh.clone() };
    assert_eq!(may(&over), fault(ConsentFault::Expired));
    let edited = clearhouse_wire::v1::Consent { id: vec![2; 16], ..fresh.clone() };
    assert_eq!(may(&edited), fault(ConsentFault::Changed));
    let bad = clearhouse_wire::v1::Consent { form: String::new(), ..fresh.clone() };
    assert!(matches!(may(&bad), Err(Refusal::Body(_))));
    assert_eq!(pair.d.case.may(&Act::RecordConsent(&fresh), &actor(Role::Manager), pair.now), Err(Refusal::RoleMayNot));
    assert_eq!(
        pair.o.case.may(&Act::RecordConsent(&fresh), &actor(Role::Caseworker), pair.now),
        Err(Refusal::WrongSide)
    );
    let ended = pair_in(State::Stayed);
    assert_eq!(ended.d.case.may(&Act::RecordConsent(&fresh), &actor(Role::Caseworker), NOW), Err(Refusal::CaseEnded));
}

#[test]
fn nothing_leaves_without_its_own_consent() {
    use ConsentFault as F;
    type Spoil = fn(&mut CaseBody, &mut Pair);
    let profile = Some(Purpose::ShareProfile);
    type Row = (State, fn() -> CaseBody, Spoil, F, Option<Purpose>, Option<DataClass>);
    let table: [Row; 12] = [
        (State::Draft, bodies::notice, |b, _| b.consent = None, F::Missing, None, None),
        (
            State::Draft,
            bodies::notice,
            |b, _| b.consent = Some(bodies::consent(2, "ShareProfile", &["Identity", "Contact"])),
            F::OtherPurpose,
            None,
            None,
        ),
        (
            State::Draft,
            bodies::notice,
            |b, _| b.consent.as_mut().unwrap().recipient_org = vec![1; 16],
            F::OtherReceiver,
            None,
            None,
        ),
        (
            State::Draft,
            bodies::notice,
            |b, _| b.consent.as_mut().unwrap().id = vec![77; 16],
            F::NotRecorded,
            None,
            None,
        ),
        (State::Draft, bodies::notice, |b, _| b.consent.as_mut().unwrap().expires_at += 1, F::Changed, None, None),
        (State::Accepted, bodies::profile, |b, _| b.consent = None, F::Missing, profile, Some(DataClass::Identity)),
        (
            State::Accepted,
            bodies::profile,
            |b, _| b.consent = Some(bodies::consent(9, "ShareProfile", &["Contact"])),
            F::ClassNotCovered,
            profile,
            Some(DataClass::Identity),
        ),
        (
            State::Accepted,
            bodies::profile,
            |b, _| {
                let Some(What::VictimProfile(p)) = &mut b.what else { unreachable!() };
                p.consents.clear();
            },
            F::Missing,
            Some(Purpose::ShareHealth),
            Some(DataClass::Health),
        ),
        (
            State::Accepted,
            bodies::profile,
            |_, p| {
                p.send(true, &bodies::withdrawal(2, "ShareProfile", &["Contact"], NOW)).unwrap();
            },
            F::Withdrawn,
            profile,
            Some(DataClass::Contact),
        ),
        (State::Accepted, bodies::profile, |_, p| p.now += 151 * DAY, F::Expired, profile, Some(DataClass::Identity)),
        (
            State::Accepted,
            || bodies::departure("Left", NOW),
            |b, _| b.consent = None,
            F::Missing,
            Some(Purpose::ShareTravel),
            Some(DataClass::Travel),
        ),
        (
            State::Accepted,
            || bodies::departure("Left", NOW),
            |_, p| {
                p.send(true, &bodies::withdrawal(4, "ShareTravel", &[], NOW)).unwrap();
            },
            F::Withdrawn,
            Some(Purpose::ShareTravel),
            Some(DataClass::Travel),
        ),
    ];
    for (at, (state, make, spoil, fault, purpose, class)) in table.into_iter().enumerate() {
        let mut pair = pair_in(state);
        let mut body = make();
        assert_eq!(ask(&pair, true, &body), Ok(()), "row {at} before it is spoilt");
        spoil(&mut body, &mut pair);
        let refusal = consent_refusal(fault, purpose.unwrap_or(Purpose::ShareNotice), class);
        assert_eq!(ask(&pair, true, &body), Err(refusal), "row {at}");
        let text = refusal.sentence(Moment::Act, "Casa Nova");
        assert!(text.contains("Casa Nova") && class.is_none_or(|c| text.contains(c.code())), "{text}");
    }
}

#[test]
fn a_profile_goes_to_a_worker_the_acceptance_named() {
    let pair = pair_in(State::Accepted);
    let mut body = bodies::profile();
    let Some(What::VictimProfile(p)) = &mut body.what else { unreachable!() };
    p.for_worker = "Stranger S.".into();
    assert_eq!(ask(&pair, true, &body), Err(Refusal::NotTheirWorker));
    let Some(What::VictimProfile(p)) = &mut body.what else { unreachable!() };
    p.for_worker = "Mira M.".into();
    assert_eq!(ask(&pair, true, &body), Ok(()), "the alternate will do");
}

#[test]
fn departure_and_arrival_report_what_has_happened() {
    let pair = pair_in(State::Accepted);
    assert_eq!(ask(&pair, true, &bodies::departure("Left", NOW + HOUR)), Err(Refusal::NotYetHappened));
    let pair = pair_in(State::InTransit);
    let journey = pair.journey_id();
    let met = |at| bodies::arrival("ArrivedMet", journey.as_bytes(), at);
    assert_eq!(ask(&pair, false, &met(NOW + HOUR)), Err(Refusal::NotYetHappened));
    assert_eq!(ask(&pair, false, &bodies::arrival("ArrivedMet", &[1; 16], NOW)), Err(Refusal::NotThisJourney));
    assert_eq!(ask(&pair, false, &met(NOW)), Ok(()));
}

#[test]
fn she_may_refuse_to_share_anything_and_still_travel_and_be_met() {
    let mut pair = pair_in(State::Accepted);
    pair.send(true, &bodies::departure("Left", NOW)).unwrap();
    pair.settle();
    pair.both_are(State::InTransit);
    assert!(pair.o.case.facts_view(&Deadlines::default()).unprepared);
}

#[test]
fn the_answer_is_to_the_notice_in_force() {
    let pair = pair_in(State::Acknowledged);
    assert_eq!(ask(&pair, false, &bodies::answer("Accepted", &[1; 16])), Err(Refusal::NotThisNotice));
    let pair = pair_in(State::Delivered);
    assert_eq!(ask(&pair, false, &bodies::acknowledgement(&[1; 16])), Err(Refusal::NotThisNotice));
}

#[test]
fn answers_are_a_managers_and_questions_anybodys() {
    let pair = pair_in(State::Acknowledged);
    let to = pair.notice_id().to_vec();
    for (kind, role, expected) in [
        ("Accepted", Role::Caseworker, Err(Refusal::RoleMayNot)),
        ("Declined", Role::ChildOfficer, Err(Refusal::RoleMayNot)),
        ("Accepted", Role::Manager, Ok(())),
        ("InfoRequested", Role::Caseworker, Ok(())),
    ] {
        let mut body = bodies::answer(kind, &to);
        sign(&mut body, role);
        assert_eq!(ask(&pair, false, &body), expected, "{kind} {role:?}");
    }
}

#[test]
fn only_what_has_not_left_is_recalled_and_a_withdrawal_never() {
    let mut pair = pair_in(State::Accepted);
    let waiting = pair.send(true, &bodies::profile()).unwrap();
    pair.recall(waiting).unwrap();
    assert_eq!(pair.recall(waiting), Err(Refusal::IsOver));
    assert_eq!(pair.d.case.release_still_allowed(waiting, NOW), Err(Refusal::IsOver));
    let stored = pair.send(true, &bodies::profile()).unwrap();
    pair.store(stored, false);
    assert_eq!(pair.recall(stored), Err(Refusal::HasLeft));
    let withdrawal = pair.send(true, &bodies::withdrawal(2, "ShareProfile", &[], NOW)).unwrap();
    assert_eq!(pair.recall(withdrawal), Err(Refusal::NeverRecalled));
    assert_eq!(pair.recall(MsgId([0x99; 16])), Err(Refusal::NoSuchMessage));
    let theirs = pair.d.case.letters().iter().find(|l| !l.is_out()).map(Letter::id).unwrap();
    assert_eq!(pair.recall(theirs), Err(Refusal::NoSuchMessage));
}

#[test]
fn a_recalled_notice_counts_as_never_sent() {
    let mut pair = pair_in(State::Notified);
    let id = pair.notice_id();
    pair.recall(id).unwrap();
    pair.settle();
    pair.both_are(State::Draft);
    assert_eq!(ask(&pair, true, &bodies::notice()), Ok(()));
}

#[test]
fn a_profile_opens_for_its_named_worker_or_a_manager() {
    let mut pair = pair_in(State::Accepted);
    let profile = pair.send(true, &bodies::profile()).unwrap();
    pair.settle();
    let may = |pair: &Pair, who: &Actor| pair.o.case.may(&Act::OpenMessage(profile), who, pair.now);
    assert_eq!(may(&pair, &elena()), Ok(()));
    assert_eq!(may(&pair, &actor(Role::Manager)), Ok(()));
    assert_eq!(may(&pair, &actor(Role::Caseworker)), Err(Refusal::ProfileForAnother));
    assert_eq!(pair.d.case.may(&Act::OpenMessage(profile), &elena(), NOW), Err(Refusal::NotForReading));
    assert_eq!(pair.o.case.may(&Act::OpenMessage(MsgId([0x99; 16])), &elena(), NOW), Err(Refusal::NoSuchMessage));
    pair.now += 151 * DAY;
    let expired = consent_refusal(ConsentFault::Expired, Purpose::ShareHealth, Some(DataClass::Health));
    assert_eq!(may(&pair, &elena()), Err(expired), "an expired consent blocks the receiver");
}

#[test]
fn an_expired_consent_hides_a_notice_but_not_the_hour_of_an_arrival() {
    let mut pair = pair_in(State::InTransit);
    let (notice, journey) = (pair.notice_id(), pair.journey_id());
    pair.now += 151 * DAY;
    let may = |id| pair.o.case.may(&Act::OpenMessage(id), &elena(), pair.now);
    assert_eq!(may(notice), Err(consent_refusal(ConsentFault::Expired, Purpose::ShareNotice, None)));
    assert_eq!(may(journey), Ok(()));
    pair.send(true, &bodies::withdrawal(4, "ShareTravel", &[], NOW)).unwrap();
    pair.settle();
    let withdrawn = consent_refusal(ConsentFault::Withdrawn, Purpose::ShareTravel, Some(DataClass::Travel));
    assert_eq!(pair.o.case.may(&Act::OpenMessage(journey), &elena(), pair.now), Err(withdrawn));
}
