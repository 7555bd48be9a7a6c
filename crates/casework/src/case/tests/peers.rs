//! What a peer may send, and what happens when messages cross.

use clearhouse_protocol::ids::ConsentId;
use clearhouse_protocol::limits::SKEW_SECS;

use super::*;
use crate::consent::{ConsentFault, DataClass};

fn judge(pair: &Pair, at_d: bool, body: &CaseBody) -> Result<(), Refusal> {
    let checked = body::prepare(body).map_err(Refusal::Body)?;
    let (case, from) = if at_d { (&pair.d.case, ORG_O) } else { (&pair.o.case, ORG_D) };
    case.accepts(&checked, from, pair.now)
}

#[test]
fn a_message_is_refused_unless_the_case_is_at_that_step() {
    let table = [
        (State::Draft, false, "profile", Refusal::NotAccepted),
        (State::AcceptedCond, false, "profile", Refusal::NotAccepted),
        (State::Acknowledged, false, "left", Refusal::NotAccepted),
        (State::Declined, false, "left", Refusal::NotAccepted),
        (State::Delivered, false, "notice", Refusal::NotSuperseding),
        (State::Stayed, false, "profile", Refusal::CaseEnded),
        (State::Stayed, false, "left", Refusal::CaseEnded),
        (State::Draft, true, "acknowledgement", Refusal::NotThisNotice),
        (State::Acknowledged, true, "acknowledgement", Refusal::NothingToAcknowledge),
        (State::Accepted, true, "accepted", Refusal::AnsweredAlready),
        (State::InfoRequested, true, "question", Refusal::AskedAlready),
        (State::Accepted, true, "met", Refusal::NotOnTheWay),
        (State::Arrived, true, "met", Refusal::AnsweredAlready),
        (State::Delivered, true, "notice", Refusal::WrongSide),
        (State::Accepted, true, "profile", Refusal::WrongSide),
        (State::Accepted, true, "left", Refusal::WrongSide),
        (State::Delivered, false, "acknowledgement", Refusal::WrongSide),
        (State::Acknowledged, false, "accepted", Refusal::WrongSide),
        (State::InTransit, false, "met", Refusal::WrongSide),
    ];
    for (state, at_d, what, refusal) in table {
        let pair = pair_in(state);
        let to = pair.d.case.notice().map_or(vec![1; 16], |n| n.id().to_vec());
        let journey = pair.d.case.journey().map_or(vec![1; 16], |l| l.id().to_vec());
        let body = match what {
            "notice" => bodies::notice(),
            "acknowledgement" => bodies::acknowledgement(&to),
            "accepted" => bodies::answer("Accepted", &to),
            "question" => bodies::answer("InfoRequested", &to),
            "profile" => bodies::profile(),
            "left" => bodies::departure("Left", pair.now),
            _ => bodies::arrival("ArrivedMet", &journey, pair.now),
        };
        assert_eq!(judge(&pair, at_d, &body), Err(refusal), "{what} in {state:?}");
    }
}

#[test]
fn a_stranger_has_no_part_in_a_case() {
    let pair = pair_in(State::Delivered);
    let body = body::prepare(&bodies::withdrawal(1, "ShareNotice", &[], NOW)).map_err(|f| f.to_string()).unwrap();
    assert_eq!(pair.o.case.accepts(&body, ORG_D, NOW), Ok(()));
    assert_eq!(pair.o.case.accepts(&body, OrgId([1; 16]), NOW), Err(Refusal::NotParty));
}

#[test]
fn withdrawal_and_she_stays_are_taken_in_every_state() {
    for &state in State::ALL {
        let pair = pair_in(state);
        for at_d in [true, false] {
            let stays = if at_d {
                bodies::arrival("ChoseNotToTravel", &[], NOW)
            } else {
                bodies::departure("ChoseNotToTravel", NOW)
            };
            assert_eq!(judge(&pair, at_d, &stays), Ok(()), "{state:?}");
            assert_eq!(judge(&pair, at_d, &bodies::withdrawal(8, "ShareHealth", &[], NOW)), Ok(()), "{state:?}");
        }
    }
}

#[test]
fn the_receiver_checks_consent_again() {
    let refusal = |fault, purpose, class| {
        let subject = crate::refusal::Subject { purpose, class, receiver: ORG_O };
        Err(Refusal::Consent(fault, subject))
    };
    let pair = pair_in(State::Draft);
    let mut body = bodies::notice();
    assert_eq!(judge(&pair, false, &body), Ok(()));
    body.consent.as_mut().unwrap().recipient_org = vec![1; 16];
    assert_eq!(judge(&pair, false, &body), refusal(ConsentFault::OtherReceiver, Purpose::ShareNotice, None));
    body.consent = None;
    assert_eq!(judge(&pair, false, &body), refusal(ConsentFault::Missing, Purpose::ShareNotice, None));

    let mut pair = pair_in(State::Accepted);
    let (profile, identity) = (Purpose::ShareProfile, Some(DataClass::Identity));
    assert_eq!(judge(&pair, false, &bodies::profile()), Ok(()));
    // She told the receiver herself.
    pair.send(false, &bodies::withdrawal(2, "ShareProfile", &[], NOW)).unwrap();
    assert_eq!(judge(&pair, false, &bodies::profile()), refusal(ConsentFault::Withdrawn, profile, identity));
    let mut other = bodies::profile();
    other.consent.as_mut().unwrap().id = vec![1; 16];
    let mut fresh = pair_in(State::Accepted);
    assert_eq!(
        judge(&fresh, false, &other),
        refusal(ConsentFault::Changed, profile, identity),
        "id 1 came with other words"
    );
    fresh.now += 151 * DAY;
    assert_eq!(judge(&fresh, false, &bodies::profile()), refusal(ConsentFault::Expired, profile, identity));
}

#[test]
fn the_receiver_holds_the_sender_to_roles_risk_reflection_and_the_child_path() {
    let pair = pair_in(State::Draft);
    let verdict = |change: fn(&mut clearhouse_wire::v1::ReturnNotice)| {
        let mut body = bodies::notice();
        let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
        change(n);
        judge(&pair, false, &body)
    };
    assert_eq!(verdict(|n| n.risk_level = "High".into()), Err(Refusal::HighRiskNeedsManager));
    assert_eq!(verdict(|n| n.reflection_ends_day = bodies::TODAY + 2), Err(Refusal::ReflectionRuns));
    // Clocks may differ by so much, and no second more.
    for (early, held) in [(SKEW_SECS, false), (SKEW_SECS + 1, true)] {
        let mut pair = pair_in(State::Draft);
        pair.now = u64::from(bodies::TODAY + 2) * DAY - early;
        let mut body = bodies::notice_at(pair.now);
        let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
        n.reflection_ends_day = bodies::TODAY + 2;
        let found = judge(&pair, false, &body);
        assert_eq!(found == Err(Refusal::ReflectionRuns), held, "{found:?}");
    }
    let mut child = bodies::child_notice();
    assert_eq!(judge(&pair, false, &child), Ok(()));
    let Some(What::ReturnNotice(n)) = &mut child.what else { unreachable!() };
    n.guardian_status.clear();
    assert_eq!(judge(&pair, false, &child), Err(Refusal::ChildNoGuardian));
    let mut own = bodies::child_notice();
    let consent = own.consent.as_mut().unwrap();
    (consent.given_by, consent.child_view) = ("Person".into(), String::new());
    assert_eq!(judge(&pair, false, &own), Err(Refusal::ChildConsent));

    let mut yes = bodies::answer("Accepted", pair_in(State::Acknowledged).notice_id().as_bytes());
    (yes.actor_label, yes.actor_role) = ("Ana P.".into(), "Caseworker".into());
    assert_eq!(judge(&pair_in(State::Acknowledged), true, &yes), Err(Refusal::RoleMayNot), "a yes is a manager's");
}

#[test]
fn a_childs_profile_and_departure_are_refused_by_the_receiver_too() {
    let mut pair = Pair::new();
    let notice = bodies::child_notice();
    pair.record(notice.consent.clone().unwrap()).unwrap();
    pair.send(true, &notice).unwrap();
    pair.settle();
    assert_eq!(judge(&pair, false, &bodies::profile()), Err(Refusal::ChildProfile));
    assert_eq!(judge(&pair, false, &bodies::departure("Left", NOW)), Err(Refusal::ChildDeparture));
    let mut adult = bodies::notice();
    (adult.actor_label, adult.actor_role) = ("Cora C.".into(), "ChildOfficer".into());
    let Some(What::ReturnNotice(n)) = &mut adult.what else { unreachable!() };
    n.supersedes = pair.notice_id().to_vec();
    let mut ack = bodies::acknowledgement(pair.notice_id().as_bytes());
    let Some(What::Acknowledgement(a)) = &mut ack.what else { unreachable!() };
    a.contact = bodies::contact("Cora C.", "ChildOfficer");
    (ack.actor_label, ack.actor_role) = ("Cora C.".into(), "ChildOfficer".into());
    pair.send(false, &ack).unwrap();
    let mut ask = bodies::answer("InfoRequested", pair.notice_id().as_bytes());
    (ask.actor_label, ask.actor_role) = ("Cora C.".into(), "ChildOfficer".into());
    pair.send(false, &ask).unwrap();
    assert_eq!(judge(&pair, false, &adult), Err(Refusal::ChildStaysChild));
}

#[test]
fn what_was_refused_counts_at_neither_end() {
    let mut pair = pair_in(State::Draft);
    let mut body = bodies::notice();
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.risk_level = "High".into();
    pair.force(true, &body);
    assert_eq!(pair.d.case.state(), State::Notified);
    pair.settle();
    pair.both_are(State::Draft);
    let view = pair.d.case.facts_view(&Deadlines::default());
    assert!(matches!(view.waiting[0], Waiting::NoticeRefused(word) if word.code() == RefusalCode::NotAllowed));
    assert_eq!(pair.o.case.not_taken().count(), 1);
}

#[test]
fn a_new_notice_outranks_an_answer_that_crossed_it() {
    let mut pair = pair_in(State::InfoRequested);
    let mut newer = bodies::notice();
    let Some(What::ReturnNotice(n)) = &mut newer.what else { unreachable!() };
    n.supersedes = pair.notice_id().to_vec();
    let old = pair.notice_id();
    pair.send(true, &newer).unwrap();
    pair.send(false, &bodies::answer("Accepted", old.as_bytes())).unwrap();
    pair.settle();
    pair.both_are(State::Delivered);
    assert!(pair.o.case.facts_view(&Deadlines::default()).waiting.contains(&Waiting::AnswerToEarlierNotice));
    let new = pair.notice_id();
    assert_ne!(new, old);
    pair.send(false, &bodies::acknowledgement(new.as_bytes())).unwrap();
    pair.send(false, &bodies::answer("Accepted", new.as_bytes())).unwrap();
    pair.settle();
    pair.both_are(State::Accepted);
}

#[test]
fn a_refusal_that_crosses_her_departure_does_not_hide_that_she_is_on_her_way() {
    let mut pair = pair_in(State::Accepted);
    let to = pair.notice_id();
    pair.send(true, &bodies::departure("Left", NOW)).unwrap();
    pair.send(false, &bodies::answer("Declined", to.as_bytes())).unwrap();
    pair.settle();
    pair.both_are(State::InTransit);
    for end in [&pair.d, &pair.o] {
        let view = end.case.facts_view(&Deadlines::default());
        assert!(view.waiting.contains(&Waiting::DeclinedOnTheWay) && view.accepted.is_none());
    }
}

#[test]
fn a_profile_that_crosses_a_refusal_is_not_taken() {
    let mut pair = pair_in(State::Accepted);
    let to = pair.notice_id();
    pair.send(true, &bodies::profile()).unwrap();
    pair.send(false, &bodies::answer("Declined", to.as_bytes())).unwrap();
    pair.settle();
    pair.both_are(State::Declined);
    assert!(pair.o.case.visible_parts(NOW).is_empty());
}

#[test]
fn a_withdrawal_hides_its_parts_at_once_and_stops_what_waits() {
    let mut pair = pair_in(State::Prepared);
    let classes = |end: &End, now| end.case.visible_parts(now).into_iter().map(|p| p.class).collect::<Vec<_>>();
    let (identity, contact, health) = (DataClass::Identity, DataClass::Contact, DataClass::Health);
    assert_eq!(classes(&pair.o, NOW), [identity, contact, health]);
    let waiting = pair.send(true, &bodies::profile()).unwrap();
    assert_eq!(pair.d.case.release_still_allowed(waiting, NOW), Ok(()));

    pair.send(true, &bodies::withdrawal(2, "ShareProfile", &["Contact"], NOW)).unwrap();
    assert!(pair.d.case.release_still_allowed(waiting, NOW).is_err());
    assert_eq!(pair.d.case.to_recall(NOW), [waiting]);
    pair.recall(waiting).unwrap();
    assert_eq!(pair.d.case.already_left(ConsentId([2; 16])).len(), 1, "she is told what has left");
    pair.settle();
    assert_eq!(classes(&pair.o, NOW), [identity, health]);
    pair.both_are(State::Prepared);

    pair.send(true, &bodies::withdrawal(3, "ShareHealth", &[], NOW)).unwrap();
    pair.settle();
    assert_eq!(classes(&pair.o, NOW), [identity]);
    let profile = pair.o.case.letters().iter().find(|l| l.kind() == Some(Kind::VictimProfile)).map(Letter::id);
    assert_eq!(pair.o.case.may(&Act::OpenMessage(profile.unwrap()), &elena(), NOW), Ok(()), "one part is left");
    pair.send(true, &bodies::withdrawal(2, "ShareProfile", &[], NOW)).unwrap();
    pair.settle();
    assert!(classes(&pair.o, NOW).is_empty());
    pair.both_are(State::Accepted);

    let mut whole = pair_in(State::Prepared);
    whole.send(false, &bodies::withdrawal(1, "ShareNotice", &[], NOW)).unwrap();
    assert!(classes(&whole.o, NOW).is_empty(), "the core was withdrawn at the receiver itself");
    whole.settle();
    whole.both_are(State::Withdrawn);
}

#[test]
fn parts_vanish_when_their_consent_ends_and_the_newest_part_of_a_class_is_shown() {
    let mut pair = pair_in(State::Prepared);
    assert_eq!(pair.o.case.visible_parts(NOW + 149 * DAY).len(), 3);
    assert!(pair.o.case.visible_parts(NOW + 150 * DAY).is_empty());
    let mut newer = bodies::profile();
    let Some(What::VictimProfile(p)) = &mut newer.what else { unreachable!() };
    p.parts.truncate(1);
    p.consents.clear();
    let second = pair.send(true, &newer).unwrap();
    pair.settle();
    let parts = pair.o.case.visible_parts(NOW);
    let source = |class| parts.iter().find(|p| p.class == class).map(|p| p.message);
    assert_eq!(source(DataClass::Identity), Some(second));
    assert_ne!(source(DataClass::Contact), Some(second));
}

#[test]
fn release_is_asked_again_and_nothing_overtakes_her_word() {
    let notice = pair_in(State::Notified);
    let id = notice.notice_id();
    assert_eq!(notice.d.case.release_still_allowed(id, NOW), Ok(()));
    assert!(notice.d.case.release_still_allowed(id, NOW + 151 * DAY).is_err(), "expired while it waited");

    let mut stays = pair_in(State::Accepted);
    let profile = stays.send(true, &bodies::profile()).unwrap();
    let left = stays.send(true, &bodies::departure("Left", NOW)).unwrap();
    stays.stay(true);
    assert_eq!(stays.d.case.release_still_allowed(profile, NOW), Err(Refusal::CaseEnded));
    assert_eq!(stays.d.case.release_still_allowed(left, NOW), Err(Refusal::CaseEnded));
    let word = stays.d.case.letters().last().map(Letter::id).unwrap();
    assert_eq!(stays.d.case.release_still_allowed(word, NOW), Ok(()), "that she stays always leaves");
    let mut recalls = stays.d.case.to_recall(NOW);
    recalls.sort();
    assert_eq!(recalls, [profile, left]);

    let mut declined = pair_in(State::Accepted);
    let profile = declined.send(true, &bodies::profile()).unwrap();
    let to = declined.notice_id();
    declined.send(false, &bodies::answer("Declined", to.as_bytes())).unwrap();
    while declined.carry(false) {}
    assert_eq!(declined.d.case.release_still_allowed(profile, NOW), Err(Refusal::NotAccepted));
    assert_eq!(declined.d.case.release_still_allowed(MsgId([0x99; 16]), NOW), Err(Refusal::NoSuchMessage));

    let mut withdrawn = pair_in(State::Notified);
    let id = withdrawn.notice_id();
    withdrawn.send(true, &bodies::withdrawal(1, "ShareNotice", &[], NOW)).unwrap();
    assert!(matches!(
        withdrawn.d.case.release_still_allowed(id, NOW),
        Err(Refusal::Consent(ConsentFault::Withdrawn, _))
    ));
}

#[test]
fn a_notice_supersedes_only_the_one_about_which_we_asked() {
    let superseding = |old: &[u8]| {
        let mut body = bodies::notice();
        let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
        n.supersedes = old.to_vec();
        body
    };
    for (state, expected) in [
        (State::InfoRequested, Ok(())),
        (State::Delivered, Err(Refusal::NothingToSupersede)),
        (State::AcceptedCond, Err(Refusal::NothingToSupersede)),
    ] {
        let pair = pair_in(state);
        assert_eq!(judge(&pair, false, &superseding(pair.notice_id().as_bytes())), expected, "{state:?}");
        assert_eq!(judge(&pair, false, &superseding(&[1; 16])), Err(Refusal::NothingToSupersede));
    }
    // She told the receiver that she stays while the new notice was on its way.
    let mut pair = pair_in(State::InfoRequested);
    let crossing = superseding(pair.notice_id().as_bytes());
    pair.send(true, &crossing).unwrap();
    pair.stay(false);
    pair.settle();
    pair.both_are(State::Stayed);
    assert_eq!(pair.o.case.not_taken().next().and_then(|n| n.code.as_deref()), Some(Refusal::CaseEnded.code()));
}

#[test]
fn a_reply_names_a_message_it_can_reply_to() {
    let mut pair = pair_in(State::Accepted);
    let profile = pair.send(true, &bodies::profile()).unwrap();
    pair.settle();
    assert_eq!(judge(&pair, true, &bodies::acknowledgement(profile.as_bytes())), Err(Refusal::NotThisNotice));
    let pair = pair_in(State::InTransit);
    let notice = pair.notice_id();
    assert_eq!(
        judge(&pair, true, &bodies::arrival("ArrivedMet", notice.as_bytes(), NOW)),
        Err(Refusal::NotThisJourney)
    );
    assert_eq!(
        judge(&pair, true, &bodies::arrival("ArrivedMet", pair.journey_id().as_bytes(), NOW + HOUR)),
        Err(Refusal::NotYetHappened)
    );
    let accepted = pair_in(State::Accepted);
    assert_eq!(judge(&accepted, false, &bodies::departure("Left", NOW + HOUR)), Err(Refusal::NotYetHappened));
}

#[test]
fn an_answer_that_overtakes_its_acknowledgement_is_taken() {
    let mut pair = pair_in(State::Delivered);
    let to = pair.notice_id();
    pair.send(false, &bodies::acknowledgement(to.as_bytes())).unwrap();
    pair.send(false, &bodies::answer("Accepted", to.as_bytes())).unwrap();
    pair.to_d.swap(0, 1);
    assert!(pair.carry(false));
    assert_eq!(pair.d.case.state(), State::Accepted);
    pair.settle();
    pair.both_are(State::Accepted);
    assert_eq!(pair.d.case.not_taken().count(), 0);
}

#[test]
fn a_receipt_or_message_of_a_third_organisation_lights_nothing() {
    let mut pair = pair_in(State::Notified);
    let receipt = |org: OrgId, label: &str| {
        Fact::ReceiptIn(ReceiptIn {
            msg_id: pair.notice_id().to_vec(),
            stage: Stage::Opened.into(),
            at: NOW,
            node: vec![7; 16],
            org: org.to_vec(),
            actor_label: label.into(),
            refusal: 0,
        })
    };
    let (foreign, shouted) = (receipt(OrgId([9; 16]), "Ana P."), receipt(ORG_O, "\u{1b}[2J phone 112"));
    pair.d.note(foreign);
    assert_eq!((pair.d.case.state(), pair.d.case.unreadable()), (State::Notified, 1));
    pair.d.note(shouted);
    assert_eq!(pair.d.case.state(), State::Delivered);
    assert!(pair.d.case.facts_view(&Deadlines::default()).read.is_none(), "no name, no light");
}

#[test]
fn a_case_full_of_messages_takes_no_more_but_her_word() {
    let mut pair = pair_in(State::Delivered);
    let full = body::prepare(&bodies::acknowledgement(pair.notice_id().as_bytes())).map_err(|f| f.to_string()).unwrap();
    for n in 0..LETTERS_MAX as u64 {
        pair.d.note(Fact::MessageIn(MessageIn {
            msg_id: (n + 1000).to_be_bytes().repeat(2),
            msg_type: 4,
            body_version: 1,
            seq: n + 10,
            body: bodies_bytes(&bodies::answer("Declined", &[1; 16])),
            sent_at: NOW,
            received_at: NOW,
            org: ORG_O.to_vec(),
            node: vec![1; 16],
            digest: vec![],
        }));
    }
    assert_eq!(pair.d.case.accepts(&full, ORG_O, NOW), Err(Refusal::TooManyMessages));
    assert_eq!(judge(&pair, true, &bodies::withdrawal(1, "ShareNotice", &[], NOW)), Ok(()));
    assert_eq!(
        pair.d.case.may(
            &Act::Send(&body::prepare(&bodies::notice()).map_err(|f| f.to_string()).unwrap()),
            &actor(Role::Caseworker),
            NOW
        ),
        Err(Refusal::TooManyMessages)
    );
    pair.send(true, &bodies::withdrawal(1, "ShareNotice", &[], NOW)).unwrap();
}

#[test]
fn a_case_full_of_consents_takes_no_more() {
    let mut pair = pair_in(State::Draft);
    for n in 10..10 + crate::consent::CONSENTS_MAX as u8 - 4 {
        pair.record(bodies::consent(n, "Feedback", &[])).unwrap();
    }
    assert_eq!(pair.record(bodies::consent(250, "Feedback", &[])), Err(Refusal::TooManyMessages));
}

fn bodies_bytes(body: &CaseBody) -> Vec<u8> {
    body::encode(body).to_vec()
}
