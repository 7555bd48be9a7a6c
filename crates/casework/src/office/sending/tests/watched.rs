//! What time does to a case between two offices: what the log says when a clock runs out, and how often that is written.
//! And by which event the log tells each kind of message.

use super::*;
use crate::body::prepare;
use crate::deadlines::Rule;

impl Told {
    fn ticks(&mut self, at: u64) -> Step {
        self.sender.act(&self.region, at, |office, now| (office.tick(at, now), ())).0
    }

    /// The due time of its case that a step writes; `None` when it writes none.
    fn written(&self, step: &Step) -> Option<Option<u64>> {
        let mut rows = step.rows.iter().filter(|row| row.table == Table::Timer);
        let value = rows.next().map(|row| row.value.clone());
        assert!(rows.next().is_none());
        value.map(|value| value.map(|due| u64::from_be_bytes(due.try_into().unwrap())))
    }
}

#[test]
fn the_next_due_time_is_written_once_and_an_overdue_case_keeps_when_it_was_first_seen_so() {
    let mut told = Told::new();
    let at = told.at;
    let step = told.ticks(at);
    let due = told.written(&step).unwrap().unwrap();
    let deadlines = told.sender.office.deadlines().clone();
    assert!(due > at && !told.case().is_overdue(&deadlines, due) && told.case().is_overdue(&deadlines, due + 1));
    let step = told.ticks(at + 1);
    assert_eq!(told.written(&step), None, "nothing new");
    let step = told.ticks(due + HOUR);
    assert_eq!(told.written(&step), None, "overdue since then");
    assert_eq!(told.sender.office.due_times().overdue(due + HOUR), 1);
    // Where nobody ticked before, it is overdue since it was first seen.
    let mut late = Told::new();
    let at = NOW + 30 * DAY;
    let step = late.ticks(at);
    assert_eq!(late.written(&step), Some(Some(at)));
    let step = late.ticks(at + HOUR);
    assert_eq!(late.written(&step), None);
    assert!(step.rows.is_empty() && step.events.is_empty(), "each clock fires once");
}

#[test]
fn a_clock_that_ran_out_is_told_as_unread_or_unanswered_and_names_what_it_is_about() {
    let mut told = Told::new();
    let notice = told.sender.office.digest_of_ours(told.notice()).unwrap();
    let what = told.case().letter(told.notice()).unwrap().body().unwrap().what().cloned();
    let Some(What::ReturnNotice(said)) = what else { unreachable!() };
    let sent = newest(&told.sender, MessageType::ReturnNotice);
    assert_eq!(sent.due_day, said.answer_by.as_ref().unwrap().at / DAY, "said when it was sent");
    let step = told.ticks(NOW + 60 * DAY);
    let openings: Vec<_> = step.events.iter().map(|row| audit::unpad(&row.opening).unwrap()).collect();
    let about = |event: AuditEvent, due: u64| {
        let found = |o: &&wire::Opening| o.event() == event && o.due_day == due / DAY && o.envelope_digest == notice.0;
        openings.iter().filter(found).count()
    };
    assert!(about(AuditEvent::Unread, said.acknowledge_by.unwrap().at) > 0, "not acknowledged");
    assert!(about(AuditEvent::Unanswered, said.answer_by.unwrap().at) > 0, "not answered");
    let nameless = openings.iter().filter(|o| o.envelope_digest.is_empty());
    assert!(nameless.clone().all(|o| o.event() == AuditEvent::LocalAct));
    // Those that coordinators must hear are told to them without a pause, and no other.
    let urgent = step.rows.iter().filter(|row| row.table == Table::Told).count();
    assert_eq!(urgent, openings.len() - nameless.count());
}

#[test]
fn a_consent_that_ends_soon_is_a_reminder_here_and_nobody_elses() {
    let mut told = Told::before();
    let step = told.ticks(NOW + 89 * DAY);
    let deadlines = told.sender.office.deadlines().clone();
    let timers = told.case().timers(&deadlines, NOW + 89 * DAY);
    assert!(timers.iter().any(|timer| timer.rule == Rule::ConsentRenewal));
    let all_local = step.events.iter().all(|row| {
        let opening = audit::unpad(&row.opening).unwrap();
        opening.event() == AuditEvent::LocalAct && opening.envelope_digest.is_empty()
    });
    assert!(!step.events.is_empty() && all_local);
}

#[test]
fn every_kind_of_message_has_its_event_and_its_due_day() {
    let of = |body: &CaseBody| prepare(body).unwrap();
    let arrival = |result| of(&bodies::arrival(result, &[7; 16], NOW));
    let notice = of(&bodies::notice());
    let departure = of(&bodies::departure("Left", NOW));
    for (body, event) in [
        (&notice, AuditEvent::Sent),
        (&departure, AuditEvent::Sent),
        (&of(&bodies::acknowledgement(&[7; 16])), AuditEvent::Acknowledged),
        (&of(&bodies::answer("Accepted", &[7; 16])), AuditEvent::Accepted),
        (&of(&bodies::answer("Declined", &[7; 16])), AuditEvent::Declined),
        (&of(&bodies::profile()), AuditEvent::Released),
        (&arrival("ArrivedMet"), AuditEvent::Arrived),
        (&arrival("NotArrived"), AuditEvent::NotArrived),
    ] {
        assert!(event_of(body) == event, "{:?}", body.kind());
    }
    let Some(What::ReturnNotice(said)) = notice.what() else { unreachable!() };
    assert_eq!(due_day(&notice), said.answer_by.as_ref().unwrap().at / DAY);
    assert_eq!(due_day(&departure), (NOW + 44 * HOUR) / DAY);
    assert_eq!(due_day(&arrival("ArrivedMet")), 0);
}

#[test]
fn an_attempt_that_was_stored_is_told_once_and_others_move_the_timetable_only() {
    let (mut told, msg_id) = Told::queued();
    let mut tried = |attempt| told.sender.act(&told.region, NOW, |o, now| (o.attempted(msg_id, attempt, now), ())).0;
    let failed = tried(Attempt::Failed { fault: 1 });
    assert!(failed.events.is_empty() && failed.effects.is_empty() && !failed.rows.is_empty());
    let stored = tried(Attempt::Stored { locked: false });
    let said = audit::unpad(&stored.events[0].opening).unwrap();
    assert!(said.event() == AuditEvent::ReceiptReceived && stored.effects.len() == 1);
    let again = tried(Attempt::Stored { locked: false });
    assert!(again.events.is_empty() && again.effects.is_empty());
}

#[test]
fn a_message_that_lies_in_a_mailbox_is_shown_so_and_whether_people_there_are_away() {
    for locked in [false, true] {
        let (mut told, msg_id) = Told::queued();
        assert!(told.case().letter(msg_id).unwrap().fate() == crate::case::Fate::Waiting);
        let stored = Attempt::Stored { locked };
        told.sender.act(&told.region, NOW, |office, now| (office.attempted(msg_id, stored, now), ()));
        assert!(told.case().letter(msg_id).unwrap().fate() == crate::case::Fate::Stored { locked });
    }
}

#[test]
fn what_she_takes_back_after_an_answer_still_settles_her_notice() {
    let mut told = Told::new().accepted();
    told.withdraw(1, "ShareNotice");
    let notice = oldest(&told.sender, MessageType::ReturnNotice);
    assert_eq!(newest(&told.sender, MessageType::Withdrawal).ref_digest, notice, "an answer is no journey");
}

#[test]
fn a_consent_that_covers_two_classes_travels_once() {
    let mut told = Told::new().accepted();
    let (case, ana, at) = (only_case(&told.sender), actor(Role::Caseworker), told.at);
    let peer = told.receiver.office.me().org;
    let consent = Consent {
        // Before the one of identity alone.
        id: [vec![2; 15], vec![9]].concat(),
        recipient_org: peer.to_vec(),
        given_at: NOW - DAY,
        expires_at: NOW + 90 * DAY,
        ..bodies::consent(9, "ShareProfile", &["Identity", "Contact"])
    };
    let recorded = consent.clone();
    told.sender.act(&told.region, at, |o, now| (o.record_consent(case, &ana, consent, now).unwrap(), ()));
    let Some(What::VictimProfile(mut profile)) = bodies::profile().what else { unreachable!() };
    profile.parts.truncate(2);
    profile.consents.clear();
    let what = What::VictimProfile(profile);
    let (_, sent) =
        told.sender.act(&told.region, at, |office, now| office.send(case, &ana, what, None, &[], now).unwrap());
    let body = told.case().letter(sent).unwrap().body().unwrap();
    assert!(body.consents().collect::<Vec<_>>() == [&recorded]);
}

#[test]
fn messages_in_their_order_leave_no_gap_and_every_act_stands_in_its_case() {
    let mut told = Told::new().accepted();
    let deadlines = told.sender.office.deadlines().clone();
    let case = told.receiver.office.cases().unwrap().case(only_case(&told.receiver)).unwrap();
    assert!(case.facts_view(&deadlines).gaps.is_empty());
    told.withdraw(3, "ShareProfile");
    let mut openings = told.sender.events.iter().filter_map(|row| Some((row.index, audit::unpad(&row.opening)?)));
    let word = openings.rfind(|(_, o)| o.event() == AuditEvent::Withdrawn && o.envelope_digest.is_empty());
    assert!(told.case().logged().contains(&word.unwrap().0), "an erasure of the case takes it along");
}

#[test]
fn nothing_is_sealed_anew_when_its_time_is_over() {
    for late in [false, true] {
        let (mut told, msg_id) = Told::queued();
        let expires = told.sender.office.mail().outgoing(msg_id).unwrap().expires;
        let (_, _, step) = not_opened(&mut told, if late { expires } else { expires - 1 });
        assert_eq!(envelopes(&step).is_empty(), late);
    }
}

#[test]
fn a_message_that_is_missing_is_a_gap_of_its_number() {
    let mut told = Told::new().accepted();
    let part = bodies::part("Identity", vec![bodies::value("prs_FirstName", &["Ileana"])]);
    let profile = wire::VictimProfile { parts: vec![part], for_worker: "Elena R.".into(), consents: vec![] };
    let (case, ana, at) = (only_case(&told.sender), actor(Role::Caseworker), told.at);
    let what = What::VictimProfile(profile);
    // Nobody carries it.
    let (_, lost) =
        told.sender.act(&told.region, at, |office, now| office.send(case, &ana, what, None, &[], now).unwrap());
    let missing = told.case().letter(lost).unwrap().seq();
    told.send(true, &bodies::departure("Left", at), None);
    let deadlines = told.sender.office.deadlines().clone();
    let id = only_case(&told.receiver);
    let case = told.receiver.office.cases().unwrap().case(id).unwrap();
    assert_eq!(case.facts_view(&deadlines).gaps, [(missing, missing)]);
    // The gap and the message were written in one commit; each fact of a case has its own number, without a hole.
    let facts: Vec<_> = told.receiver.rows.iter().filter(|row| row.table == Table::Fact).collect();
    let numbered = (0..facts.len() as u64).map(|n| [id.as_bytes(), &n.to_be_bytes()[..]].concat());
    assert_eq!(facts.iter().map(|row| row.key.clone()).collect::<Vec<_>>(), numbered.collect::<Vec<_>>());
    assert!(facts.iter().all(|row| crate::office::cases::case_of(row) == Some(id)));
    assert!(crate::office::cases::case_of(&Row { key: vec![1; 23], ..facts[0].clone() }).is_none());
}
