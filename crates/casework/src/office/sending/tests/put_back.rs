//! What was under way when a backup was made, at a node that was put back from it: people may have recalled it since.

use clearhouse_protocol::limits::PLACES_SKIPPED;
use clearhouse_protocol::mail::{FAULT_OF_OLD, FAULT_UNASKED};

use super::*;

impl Told {
    /// What the sender says stays in its outbox, and then the folder is put back from a backup made at that time.
    fn put_back(&mut self, say: impl FnOnce(&Office, CaseId, &mut Now<'_, rand_chacha::ChaCha20Rng>) -> Step) -> MsgId {
        self.at += HOUR;
        let msg_id = self.says(say);
        self.hold();
        msg_id
    }

    fn says(&mut self, say: impl FnOnce(&Office, CaseId, &mut Now<'_, rand_chacha::ChaCha20Rng>) -> Step) -> MsgId {
        let (at, case) = (self.at, only_case(&self.sender));
        let (step, ()) = self.sender.act(&self.region, at, |office, now| (say(office, case, now), ()));
        let queued = step.rows.iter().find(|row| row.table == Table::Outbox).unwrap();
        MsgId::try_from(queued.key.as_slice()).unwrap()
    }

    fn departs_unasked(&mut self, msg_id: MsgId) -> bool {
        self.sender.act(&self.region, self.at, |office, now| office.depart_unasked(msg_id, now)).1
    }

    fn hold(&mut self) {
        let at = self.at;
        let hold = |office: &Office| Step { rows: office.hold_old(1, at), ..Step::default() };
        while !self.sender.act(&self.region, at, |office, _| (hold(office), ())).0.rows.is_empty() {}
    }

    fn departs(&mut self, msg_id: MsgId) -> bool {
        self.sender.act(&self.region, self.at, |office, now| office.depart(msg_id, now)).1
    }

    fn outgoing(&self, msg_id: MsgId) -> &Outgoing {
        self.sender.office.mail().outgoing(msg_id).unwrap()
    }
}

#[test]
fn what_was_under_way_in_a_backup_is_not_sent_again_by_itself() {
    let mut told = Told::before();
    let who = actor(Role::Manager);
    let what = bodies::notice_at(NOW).what.unwrap();
    let notice = told.put_back(|office, case, now| office.send(case, &who, what, None, &[], now).unwrap().0);
    assert!(!told.departs(notice));
    let ended = told.outgoing(notice);
    assert!(Delivery::of(ended) == Delivery::Expired && ended.fault == FAULT_OF_OLD);
    assert_eq!(told.sender.office.mail().held_old().count(), 1);
    let at = told.at;
    assert!(told.sender.office.mail().due(at).is_empty());
    let last = told.sender.events.last().and_then(|row| audit::unpad(&row.opening)).unwrap();
    assert!(last.event() == AuditEvent::ExpiredUnsent, "its end stands in the log");
}

#[test]
fn only_what_may_be_her_word_waits_for_the_cases() {
    let mut told = Told::before();
    let who = actor(Role::Manager);
    let what = bodies::notice_at(NOW).what.unwrap();
    let notice = told.put_back(|office, case, now| office.send(case, &who, what, None, &[], now).unwrap().0);
    told.sender.office.lock();
    assert!(!told.departs(notice) && Delivery::of(told.outgoing(notice)) == Delivery::Expired);
}

#[test]
fn what_was_stored_in_a_backup_is_asked_after_and_not_carried_again_when_it_is_lost() {
    let mut told = Told::before();
    let who = actor(Role::Manager);
    let what = bodies::notice_at(NOW).what.unwrap();
    let notice = told.put_back(|office, case, now| office.send(case, &who, what, None, &[], now).unwrap().0);
    let at = told.at;
    let stored = Attempt::Stored { locked: false };
    told.sender.act(&told.region, at, |office, now| (office.attempted(notice, stored, now), ()));
    assert!(told.sender.office.mail().to_ask(at + DAY).eq([notice]));
    assert_eq!(told.sender.office.mail().held_old().count(), 0, "it is where it should be");
    told.sender.act(&told.region, at, |office, now| (office.attempted(notice, Attempt::Lost, now), ()));
    assert!(!told.departs(notice) && told.outgoing(notice).fault == FAULT_OF_OLD);
}

#[test]
fn her_own_word_of_a_backup_leaves_and_waits_for_the_cases_where_it_cannot_be_told_apart() {
    let ana = actor(Role::Caseworker);
    let mut told = Told::new();
    let word =
        Withdrawal { consent_id: vec![1; 16], purpose: "ShareNotice".into(), data_classes: vec![], effective: NOW };
    let withdrawal = told.put_back(|office, case, now| office.withdraw(case, &ana, word, now).unwrap().0);
    assert!(told.departs(withdrawal));
    let mut told = Told::new();
    let stay = told.put_back(|office, case, now| office.stay(case, &ana, now).unwrap().0);
    assert!(told.departs(stay));
    let mut told = Told::new();
    let stay = told.put_back(|office, case, now| office.stay(case, &ana, now).unwrap().0);
    told.sender.office.lock();
    assert!(!told.departs(stay) && Delivery::of(told.outgoing(stay)) == Delivery::Queued);
    // A departure of hers is no such word.
    let mut told = Told::new().accepted();
    let (who, at) = (actor(Role::Manager), told.at);
    let what = bodies::departure("Left", at).what.unwrap();
    let departure = told.put_back(|office, case, now| office.send(case, &who, what, None, &[], now).unwrap().0);
    assert!(!told.departs(departure) && told.outgoing(departure).fault == FAULT_OF_OLD);
}

#[test]
fn what_may_be_recalled_waits_until_witnesses_were_heard_and_her_own_word_does_not() {
    let mut told = Told::before();
    let (who, what) = (actor(Role::Manager), bodies::notice_at(NOW).what.unwrap());
    let at = told.at;
    let notice = told.says(|office, case, now| office.send(case, &who, what, None, &[], now).unwrap().0);
    assert!(!told.departs_unasked(notice));
    let waits = told.outgoing(notice);
    assert_eq!((Delivery::of(waits), waits.fault, waits.may_have_left), (Delivery::Queued, FAULT_UNASKED, false));
    // It is not tried again meanwhile without end, and goes at once when they were heard.
    assert!(told.sender.office.mail().due(at).is_empty());
    let (step, ()) = told.sender.act(&told.region, at, |office, _| (office.is_newest(at), ()));
    assert_eq!((step.rows.len(), step.effects.len()), (1, 1));
    assert_eq!(told.sender.office.mail().due(at), [notice]);
    assert!(told.departs(notice));
    let (again, ()) = told.sender.act(&told.region, at, |office, _| (office.is_newest(at), ()));
    assert!(again.rows.is_empty(), "once");
    let ana = actor(Role::Caseworker);
    let mut told = Told::new();
    let stay = told.says(|office, case, now| office.stay(case, &ana, now).unwrap().0);
    assert!(told.departs_unasked(stay));
}

#[test]
fn after_a_restore_the_other_side_takes_what_comes_and_sees_a_gap_and_none_in_a_new_case() {
    let mut told = Told::new();
    let at = told.at;
    told.receiver.act(&told.region, at, |office, _| (Step { rows: office.move_on(at), ..Step::default() }, ()));
    let notice = told.notice();
    told.send(false, &bodies::acknowledgement(&[]), Some(notice));
    let view = told.case().facts_view(&crate::deadlines::Deadlines::default());
    assert!(
        told.case().letters().iter().any(|letter| !letter.is_out() && letter.seq() > PLACES_SKIPPED),
        "it is taken"
    );
    assert_eq!(view.gaps.len(), 1, "{:?}", view.gaps);
    // A case that the restored office opens begins at one, and nobody over there is alarmed.
    let mut told = Told::opened_after(|office| office.move_on(NOW));
    told.send(true, &bodies::notice_at(NOW), None);
    let theirs = told.receiver.office.cases().unwrap().case(only_case(&told.receiver)).unwrap();
    assert!(theirs.notice().is_some_and(|notice| notice.seq() == 1));
    assert!(theirs.facts_view(&crate::deadlines::Deadlines::default()).gaps.is_empty());
}

#[test]
fn after_a_restore_a_case_that_others_open_later_has_no_gap_and_one_that_may_be_older_keeps_it() {
    let answered = |put_back: u64| {
        let mut told = Told::before();
        let rows = told.receiver.office.move_on(put_back);
        told.receiver.act(&told.region, NOW, |_, _| (Step { rows, ..Step::default() }, ()));
        told.send(true, &bodies::notice_at(NOW), None);
        told.read();
        let notice = told.notice();
        told.send(false, &bodies::acknowledgement(&[]), Some(notice));
        let answer = told.case().letters().iter().find(|letter| !letter.is_out()).unwrap().seq();
        let their_places = told.sender.office.mail().gaps(told.case().conversation(), told.receiver.office.me().node);
        (their_places == (&[][..], false), answer, told)
    };
    // Receipts that it is stored and read go before.
    let (is_whole, answer, told) = answered(NOW - DAY);
    assert_eq!((is_whole, answer), (true, 3));
    let case = told.receiver.office.cases().unwrap().case(only_case(&told.receiver)).unwrap();
    assert!(told.receiver.office.mail().has_begun(case.conversation()), "and it goes with the case");
    // Made an hour after `NOW`: that close to the restore it may be one that was answered before.
    let (is_whole, answer, _) = answered(NOW - DAY + HOUR);
    assert!(!is_whole && answer > PLACES_SKIPPED);
}

#[test]
fn what_nobody_recalls_does_not_wait_for_witnesses() {
    let mut told = Told::before();
    told.send(true, &bodies::notice_at(NOW), None);
    let Told { region, receiver, at, .. } = &mut told;
    let (case, ana) = (only_case(receiver), actor(Role::Caseworker));
    let notice = receiver.office.cases().unwrap().case(case).unwrap().notice().unwrap().id();
    let (step, ()) =
        receiver.act(region, *at, |office, now| (office.open_message(case, &ana, notice, now).unwrap(), ()));
    let queued = step.rows.iter().find(|row| row.table == Table::Outbox).unwrap();
    let receipt = MsgId::try_from(queued.key.as_slice()).unwrap();
    assert!(receiver.act(region, *at, |office, now| office.depart_unasked(receipt, now)).1);
}
