//! What stops an erasure: each guard beside the same case in which it has nothing to stop.

use super::*;
use crate::consent::DataClass;

const ALL: &[DataClass] = &[];

fn open_all(pair: &mut Pair) {
    for at_d in [true, false] {
        let case = if at_d { &pair.d.case } else { &pair.o.case };
        let unread = case.letters().iter().filter(|l| !l.out && l.read.is_none()).map(|l| (l.id, l.kind()));
        for (id, kind) in unread.collect::<Vec<_>>() {
            let who = if kind == Some(Kind::VictimProfile) { elena() } else { actor(Role::Caseworker) };
            // Her word may have closed it meanwhile.
            let _ = pair.open(at_d, id, &who);
        }
    }
    pair.settle();
}

fn settled(state: State) -> Pair {
    let mut pair = pair_in(state);
    open_all(&mut pair);
    pair
}

fn erase(case: &Case) -> Result<(), Refusal> {
    case.may_erase(&actor(Role::Manager), ALL, false, NOW + 30 * DAY)
}

#[test]
fn a_case_that_is_over_may_go_at_either_end_and_by_a_manager_alone() {
    for state in [State::Declined, State::Arrived, State::Stayed] {
        let pair = settled(state);
        for case in [&pair.d.case, &pair.o.case] {
            assert_eq!(erase(case), Ok(()), "{state:?}");
            let by = |role| case.may_erase(&actor(role), ALL, true, NOW + 30 * DAY);
            assert_eq!(by(Role::Caseworker), Err(Refusal::RoleMayNot));
            assert_eq!(by(Role::ChildOfficer), Err(Refusal::RoleMayNot), "not a child's");
            assert_eq!(by(Role::Auditor), Err(Refusal::NoContentRole));
        }
    }
    let nothing_sent = pair_in(State::Draft);
    assert_eq!(erase(&nothing_sent.d.case), Ok(()));
}

#[test]
fn attack_44_what_nobody_opened_is_not_erased_whatever_is_said_with_it() {
    let mut pair = pair_in(State::Declined);
    let notice = pair.notice_id();
    pair.open(false, notice, &actor(Role::Caseworker)).unwrap();
    pair.settle();
    // The sender has not opened the answer; the receiver has opened everything.
    assert_eq!(erase(&pair.d.case), Err(Refusal::ErasureUnopened));
    assert_eq!(pair.d.case.may_erase(&actor(Role::Manager), ALL, true, NOW + 30 * DAY), Err(Refusal::ErasureUnopened));
    assert_eq!(erase(&pair.o.case), Ok(()));
    open_all(&mut pair);
    assert_eq!(erase(&pair.d.case), Ok(()));
}

#[test]
fn what_her_word_closed_before_anybody_read_it_goes_with_an_open_word_about_it() {
    let mut pair = pair_in(State::Withdrawn);
    // The receiver has read nothing yet; the withdrawal itself can be read, the notice cannot any more.
    assert_eq!(pair.o.case.may_erase(&actor(Role::Manager), ALL, true, pair.now), Err(Refusal::ErasureUnopened));
    open_all(&mut pair);
    assert!(pair.o.case.letters().iter().any(|l| !l.out && l.read.is_none()), "the test has nothing to test");
    assert_eq!(erase(&pair.o.case), Err(Refusal::ErasureNeverOpened));
    assert_eq!(pair.o.case.may_erase(&actor(Role::Manager), ALL, true, pair.now), Ok(()));
}

#[test]
fn what_is_kept_sealed_for_a_newer_version_is_not_erased() {
    let mut pair = settled(State::Declined);
    let held = fact::HeldUnread { msg_id: vec![0x99; 16], msg_type: 50, seq: 9, at: NOW, digest: vec![7; 32] };
    pair.o.note(Fact::HeldUnread(held));
    assert_eq!(erase(&pair.o.case), Err(Refusal::ErasureCannotRead));
    assert!(pair.o.case.came_in().contains(&Digest([7; 32])));
}

#[test]
fn what_is_on_its_way_is_not_erased() {
    let mut pair = settled(State::Declined);
    let body = bodies::withdrawal(1, "ShareNotice", &[], pair.now);
    let word = pair.send(true, &body).unwrap();
    assert_eq!(erase(&pair.d.case), Err(Refusal::ErasureUnderWay));
    pair.store(word, false);
    assert_eq!(erase(&pair.d.case), Err(Refusal::ErasureUnderWay), "stored is not received");
    pair.settle();
    assert_eq!(erase(&pair.d.case), Ok(()));
}

#[test]
fn what_is_waited_for_needs_the_word_that_it_goes_all_the_same() {
    for (state, due) in [
        (State::Delivered, Refusal::ErasureAnswerDue),
        (State::Acknowledged, Refusal::ErasureAnswerDue),
        (State::InfoRequested, Refusal::ErasureAnswerDue),
        (State::Expired, Refusal::ErasureAnswerDue),
        (State::InTransit, Refusal::ErasureArrivalDue),
    ] {
        let pair = settled(state);
        for case in [&pair.d.case, &pair.o.case] {
            assert_eq!(erase(case), Err(due), "{state:?}");
            assert_eq!(case.may_erase(&actor(Role::Manager), ALL, true, NOW + 30 * DAY), Ok(()), "{state:?}");
        }
    }
    // A clock that ran out is no arrival.
    let mut pair = settled(State::InTransit);
    pair.now += 3 * DAY;
    pair.tick();
    pair.both_are(State::NoShow);
    assert_eq!(erase(&pair.o.case), Err(Refusal::ErasureArrivalDue));
}

#[test]
fn a_class_goes_and_the_case_stays_without_it() {
    let mut pair = settled(State::InTransit);
    let health = [DataClass::Health];
    let may =
        |case: &Case, classes: &[DataClass]| case.may_erase(&actor(Role::Manager), classes, false, NOW + 30 * DAY);
    assert_eq!(may(&pair.o.case, &health), Ok(()), "that an arrival is due is no matter of a class");
    assert_eq!(may(&pair.o.case, &[DataClass::Health, DataClass::Travel]), Err(Refusal::NothingToErase));
    let shown = |pair: &Pair| pair.o.case.visible_parts(pair.now).iter().any(|part| part.class == DataClass::Health);
    assert!(shown(&pair));
    let at = pair.now;
    let (classes, rule, role) = (vec!["Health".to_owned()], "RetentionEnded".to_owned(), "Manager".to_owned());
    pair.o.note(Fact::PartsErased(fact::PartsErased { classes, rule, at, role }));
    assert!(!shown(&pair));
    assert_eq!(pair.o.case.erased_classes(), [DataClass::Health]);
    assert_eq!(may(&pair.o.case, &health), Err(Refusal::NothingToErase));
    assert_eq!(pair.o.case.parts().len(), 2);
    assert_eq!(pair.o.case.visible_parts(pair.now).len(), 2, "the others stay");
}
