//! What goes again by itself, sealed to a newer prekey: to no node whose log showed two histories, not once its time is
//! over, and with everything its entry said the first time.

use std::sync::Arc;

use super::*;

#[test]
fn a_notice_goes_again_to_no_suspended_node_and_waits_for_a_person() {
    for suspended in [false, true] {
        let mut told = Told::before();
        let (region, at) = (&told.region, NOW + WEEK);
        let (case, who) = (only_case(&told.sender), actor(Role::Manager));
        let what = bodies::notice_at(NOW).what.unwrap();
        told.sender.act(region, NOW, |office, now| (office.send(case, &who, what, None, &[], now).unwrap().0, ()));
        if suspended {
            Arc::make_mut(&mut told.sender.office.directory).suspend(told.receiver.office.me().node);
        }
        let (msg_id, _, step) = not_opened(&mut told, at);
        assert_eq!(envelopes(&step).is_empty(), suspended);
        let stands = if suspended { Delivery::NotOpened } else { Delivery::Queued };
        assert_eq!(state(&told, msg_id), stands, "the other side could not open it, and nothing new is told to it");
    }
}

#[test]
fn an_answer_that_goes_again_names_what_it_answers_as_the_first_one_did() {
    let mut told = Told::new();
    let notice = told.notice();
    told.send(false, &bodies::acknowledgement(&[]), Some(notice));
    let Told { region, receiver, .. } = &mut told;
    let (case, who) = (only_case(receiver), actor(Role::Manager));
    let (what, at) = (bodies::answer("Declined", &[]).what.unwrap(), NOW + DAY);
    let (sent, answer) =
        receiver.act(region, at, |office, now| office.send(case, &who, what, Some(notice), &[], now).unwrap());
    let mut tried = |attempt, at| receiver.act(region, at, |o, now| (o.attempted(answer, attempt, now), ())).0;
    tried(Attempt::Stored { locked: false }, at);
    let again = tried(Attempt::NotOpened, NOW + WEEK);
    let entry = |step: &Step| {
        let openings = step.events.iter().map(|row| audit::unpad(&row.opening).unwrap());
        openings.into_iter().find(|o| o.event() == AuditEvent::Declined).unwrap()
    };
    let (first, second) = (entry(&sent), entry(&again));
    assert_eq!(envelopes(&again).len(), 1);
    assert!(!first.ref_digest.is_empty() && second.ref_digest == first.ref_digest);
    assert_eq!(second.replaces_digest, first.envelope_digest);
    assert_eq!((second.msg_class, second.actor_role), (first.msg_class, first.actor_role));
}

#[test]
fn what_has_expired_waits_for_nobody_to_unlock() {
    for late in [false, true] {
        let (mut told, msg_id) = Told::queued();
        let expires = told.sender.office.mail().outgoing(msg_id).unwrap().expires;
        let stored = Attempt::Stored { locked: false };
        told.sender.act(&told.region, NOW, |office, now| (office.attempted(msg_id, stored, now), ()));
        assert!(told.sender.office.is_open());
        told.sender.office.lock();
        assert!(!told.sender.office.is_open());
        let at = if late { expires } else { expires - 1 };
        told.sender.act(&told.region, at, |o, now| (o.attempted(msg_id, Attempt::NotOpened, now), ()));
        let stands = if late { Delivery::NotOpened } else { Delivery::Stored };
        assert_eq!(state(&told, msg_id), stands, "no newer sealing could leave any more: {late}");
    }
}
