//! The child path end to end: what stops, what goes on, and that nobody leaves it by another form.

use super::guards::{as_notice, ask, sign};
use super::*;
use crate::refusal::Moment;

fn child_pair(guardian: &str) -> (Pair, CaseBody) {
    let mut body = bodies::child_notice();
    as_notice(&mut body).guardian_status = guardian.into();
    let mut pair = Pair::new();
    pair.record(body.consent.clone().unwrap()).unwrap();
    (pair, body)
}

#[test]
fn a_childs_notice_needs_a_guardian_appointed_or_pending() {
    for (guardian, expected) in [
        ("Appointed", Ok(())),
        ("Pending", Ok(())),
        ("", Err(Refusal::ChildNoGuardian)),
        ("Refused", Err(Refusal::ChildGuardianRefused)),
    ] {
        for status in ["Child", "PresumedChild", "AgeDisputed"] {
            let (pair, mut body) = child_pair(guardian);
            as_notice(&mut body).age_status = status.into();
            assert_eq!(ask(&pair, true, &body), expected, "{guardian} {status}");
        }
    }
    let (pair, mut body) = child_pair("Appointed");
    as_notice(&mut body).best_interests = "NotInInterest".into();
    assert_eq!(ask(&pair, true, &body), Err(Refusal::ChildNotInInterest));
    let (pair, mut body) = child_pair("Appointed");
    for role in [Role::Caseworker, Role::Manager] {
        sign(&mut body, role);
        assert_eq!(ask(&pair, true, &body), Err(Refusal::ChildOfficerOnly));
    }
}

#[test]
fn a_disputed_age_walks_the_child_path_even_with_an_adult_band() {
    let (pair, mut body) = child_pair("");
    as_notice(&mut body).age_band = "21--23".into();
    as_notice(&mut body).age_status = "AgeDisputed".into();
    assert_eq!(ask(&pair, true, &body), Err(Refusal::ChildNoGuardian));
}

#[test]
fn a_childs_consent_is_the_guardians() {
    for (by, view, expected) in [
        ("Person", "", Refusal::ChildConsent),
        ("Guardian", "", Refusal::ChildView),
        ("Guardian", "Objects", Refusal::ChildObjects),
    ] {
        let (_, mut body) = child_pair("Appointed");
        let consent = body.consent.as_mut().unwrap();
        (consent.given_by, consent.child_view) = (by.into(), view.into());
        let mut pair = Pair::new();
        pair.record(consent.clone()).unwrap();
        assert_eq!(ask(&pair, true, &body), Err(expected), "{by} {view}");
    }
}

/// A child's case, accepted by a child officer.
fn accepted_child() -> Pair {
    let (mut pair, body) = child_pair("Appointed");
    let notice = pair.send(true, &body).unwrap();
    pair.settle();
    let mut ack = bodies::acknowledgement(notice.as_bytes());
    sign(&mut ack, Role::ChildOfficer);
    assert_eq!(pair.send(false, &ack), Err(Refusal::ChildContact), "the contact is a child officer");
    let Some(What::Acknowledgement(a)) = &mut ack.what else { unreachable!() };
    a.contact = bodies::contact("Cora C.", "ChildOfficer");
    pair.send(false, &ack).unwrap();
    let mut yes = bodies::answer("Accepted", notice.as_bytes());
    assert_eq!(pair.send(false, &yes), Err(Refusal::ChildOfficerOnly), "a manager alone does not accept a child");
    sign(&mut yes, Role::ChildOfficer);
    assert_eq!(pair.send(false, &yes), Err(Refusal::ChildPlace));
    let Some(What::Answer(a)) = &mut yes.what else { unreachable!() };
    a.child_place = true;
    pair.send(false, &yes).unwrap();
    pair.settle();
    pair.both_are(State::Accepted);
    pair
}

#[test]
fn profile_and_departure_of_a_child_are_refused_with_the_reason() {
    let mut pair = accepted_child();
    let guardians = |id, purpose, classes: &[&str]| {
        let mut consent = bodies::consent(id, purpose, classes);
        (consent.given_by, consent.child_view) = ("Guardian".into(), "Agrees".into());
        consent
    };
    pair.record(guardians(4, "ShareTravel", &["Travel"])).unwrap();
    let mut left = bodies::departure("Left", NOW);
    left.consent = Some(guardians(4, "ShareTravel", &["Travel"]));
    assert_eq!(ask(&pair, true, &left), Err(Refusal::ChildDeparture));
    assert_eq!(ask(&pair, true, &bodies::profile()), Err(Refusal::ChildProfile));
    let forced = pair.force(true, &left);
    assert_eq!(pair.d.case.release_still_allowed(forced, NOW), Err(Refusal::ChildDeparture));
    pair.recall(forced).unwrap();
    for refusal in [Refusal::ChildDeparture, Refusal::ChildProfile] {
        assert!(refusal.sentence(Moment::Act, "Casa Nova").contains("best-interests decision is not supported yet"));
        assert!(refusal.wire() == RefusalCode::ChildPath);
    }
    assert_eq!(
        pair.d.case.may(
            &Act::RecordConsent(&bodies::consent(5, "ShareProfile", &["Needs"])),
            &actor(Role::Caseworker),
            NOW
        ),
        Err(Refusal::ChildConsent)
    );
    pair.stay(true);
    pair.settle();
    pair.both_are(State::Stayed);
}

#[test]
fn nobody_becomes_an_adult_by_a_second_form() {
    // Refused at the other end, recalled here, or superseded: the case stays a child's.
    let (mut pair, body) = child_pair("Appointed");
    let id = pair.send(true, &body).unwrap();
    pair.recall(id).unwrap();
    pair.record(bodies::consent(9, "ShareNotice", &[])).unwrap_err();
    let mut adult = bodies::notice();
    sign(&mut adult, Role::ChildOfficer);
    adult.consent = body.consent.clone();
    assert_eq!(ask(&pair, true, &adult), Err(Refusal::ChildStaysChild));
    assert_eq!(ask(&pair, true, &body), Ok(()));
}

#[test]
fn an_adults_case_becomes_a_childs_by_a_second_notice_without_asking_anybody() {
    let mut pair = pair_in(State::InfoRequested);
    let mut child = bodies::child_notice();
    as_notice(&mut child).supersedes = pair.notice_id().to_vec();
    let consent = child.consent.as_mut().unwrap();
    consent.id = vec![8; 16];
    pair.record(consent.clone()).unwrap();
    pair.send(true, &child).unwrap();
    pair.settle();
    pair.both_are(State::Delivered);
    assert!(pair.d.case.is_child() && pair.o.case.is_child());
}

#[test]
fn what_a_peer_was_refused_counts_for_nothing_and_can_be_done_again() {
    let mut body = bodies::child_notice();
    as_notice(&mut body).guardian_status = "Pending".into();
    let mut pair = Pair::new();
    pair.record(body.consent.clone().unwrap()).unwrap();
    let notice = pair.send(true, &body).unwrap();
    pair.settle();
    // Other software lets a caseworker acknowledge a child's notice.
    pair.force(false, &bodies::acknowledgement(notice.as_bytes()));
    assert_eq!(pair.o.case.state(), State::Acknowledged);
    pair.settle();
    pair.both_are(State::Delivered);
    let mut ack = bodies::acknowledgement(notice.as_bytes());
    sign(&mut ack, Role::ChildOfficer);
    let Some(What::Acknowledgement(a)) = &mut ack.what else { unreachable!() };
    a.contact = bodies::contact("Cora C.", "ChildOfficer");
    pair.send(false, &ack).unwrap();
    pair.settle();
    pair.both_are(State::Acknowledged);
}
