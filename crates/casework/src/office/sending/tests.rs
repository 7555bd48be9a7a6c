//! Which envelope the entry of a message says it settles: without that, those who hold logs against each other would go on
//! waiting for an answer that nobody owes any more.

use clearhouse_protocol::audit;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, MessageType, Withdrawal};

use super::super::erasing::tests::{act, actor, only_case};
use super::super::hearing::tests::{Node, region};
use super::*;
use crate::body::samples as bodies;
use crate::roles::Role;

/// Two offices and a case between them: the notice is with the receiver, and read.
struct Told {
    region: Region,
    sender: Node,
    receiver: Node,
    at: u64,
}

impl Told {
    fn new() -> Self {
        let (region, _, sender, receiver) = region();
        let mut told = Self { region, sender, receiver, at: NOW };
        let (ana, peer) = (actor(Role::Caseworker), told.receiver.office.me().org);
        let (_, case) = told.sender.act(&told.region, NOW, |office, now| office.open_case(&ana, peer, now).unwrap());
        for (id, purpose, classes) in
            [(1, "ShareNotice", &[][..]), (2, "ShareTravel", &["Travel"]), (3, "ShareProfile", &["Identity"])]
        {
            let (given_at, expires_at) = (NOW - DAY, NOW + 90 * DAY);
            let consent =
                Consent { recipient_org: peer.to_vec(), given_at, expires_at, ..bodies::consent(id, purpose, classes) };
            told.sender
                .act(&told.region, NOW, |office, now| (office.record_consent(case, &ana, consent, now).unwrap(), ()));
        }
        told.send(true, &bodies::notice_at(NOW), None);
        told.read();
        told
    }

    fn case(&self) -> &Case {
        self.sender.office.cases().unwrap().case(only_case(&self.sender)).unwrap()
    }

    fn notice(&self) -> MsgId {
        self.case().notice().unwrap().id()
    }

    /// One office sends what a sample says.
    fn send(&mut self, from_sender: bool, body: &CaseBody, reply: Option<MsgId>) {
        self.at += HOUR;
        let at = self.at;
        let mut what = body.what.clone().unwrap();
        if let What::Acknowledgement(ack) = &mut what {
            ack.expected_answer_day = (NOW / DAY) as u32 + 2;
        }
        if let What::Answer(answer) = &mut what {
            answer.services.iter_mut().for_each(|service| service.start_day = (NOW / DAY) as u32 + 14);
        }
        let Self { region, sender, receiver, .. } = self;
        let (from, to) = if from_sender { (sender, receiver) } else { (receiver, sender) };
        let (case, who) = (only_case(from), actor(Role::Manager));
        act(region, (from, to), at, |office, now| office.send(case, &who, what, reply, &[], now).unwrap().0);
    }

    /// The receiver opens the notice.
    fn read(&mut self) {
        let Self { region, sender, receiver, at } = self;
        let (case, ana) = (only_case(receiver), actor(Role::Caseworker));
        let notice = receiver.office.cases().unwrap().case(case).unwrap().notice().unwrap().id();
        act(region, (receiver, sender), *at, |office, now| office.open_message(case, &ana, notice, now).unwrap());
    }

    fn accepted(mut self) -> Self {
        let notice = self.notice();
        self.send(false, &bodies::acknowledgement(&[]), Some(notice));
        self.send(false, &bodies::answer("Accepted", &[]), Some(notice));
        self
    }

    fn withdraw(&mut self, consent: u8, purpose: &str) {
        self.at += HOUR;
        let Self { region, sender, receiver, at } = self;
        let (case, ana) = (only_case(sender), actor(Role::Caseworker));
        let word =
            Withdrawal { consent_id: vec![consent; 16], purpose: purpose.into(), data_classes: vec![], effective: *at };
        act(region, (sender, receiver), *at, |office, now| office.withdraw(case, &ana, word, now).unwrap().0);
    }

    fn stay(&mut self, at_sender: bool) {
        self.at += HOUR;
        let Self { region, sender, receiver, at } = self;
        let (from, to) = if at_sender { (sender, receiver) } else { (receiver, sender) };
        let (case, ana) = (only_case(from), actor(Role::Caseworker));
        act(region, (from, to), *at, |office, now| office.stay(case, &ana, now).unwrap().0);
    }
}

/// The entry of the newest message of a class that left a node.
fn newest(node: &Node, class: MessageType) -> wire::Opening {
    let openings = node.events.iter().rev().filter_map(|row| audit::unpad(&row.opening));
    let left = |o: &wire::Opening| {
        // Entries about what came in, and about receipts, name the same classes.
        let event = o.event();
        event == AuditEvent::Sent
            || event == AuditEvent::Accepted
            || event == AuditEvent::Arrived
            || event == AuditEvent::Acknowledged
    };
    openings.filter(left).find(|o| o.msg_class == class as u32).unwrap()
}

/// The envelope of the oldest or newest message of a class that left a node.
fn oldest(node: &Node, class: MessageType) -> Vec<u8> {
    let openings = node.events.iter().filter_map(|row| audit::unpad(&row.opening));
    openings.filter(|o| o.event() == AuditEvent::Sent).find(|o| o.msg_class == class as u32).unwrap().envelope_digest
}

#[test]
fn an_answer_names_the_envelope_it_answers_and_a_first_notice_none() {
    let told = Told::new().accepted();
    assert!(newest(&told.sender, MessageType::ReturnNotice).ref_digest.is_empty());
    let notice = oldest(&told.sender, MessageType::ReturnNotice);
    assert_eq!(newest(&told.receiver, MessageType::Acknowledgement).ref_digest, notice);
    assert_eq!(newest(&told.receiver, MessageType::Answer).ref_digest, notice);
}

#[test]
fn a_newer_notice_names_the_one_it_replaces() {
    let mut told = Told::new();
    let first = told.notice();
    told.send(false, &bodies::acknowledgement(&[]), Some(first));
    told.send(false, &bodies::answer("InfoRequested", &[]), Some(first));
    let mut newer = bodies::notice_at(NOW);
    let Some(What::ReturnNotice(notice)) = &mut newer.what else { unreachable!() };
    notice.supersedes = first.to_vec();
    told.send(true, &newer, None);
    let (before, after) =
        (oldest(&told.sender, MessageType::ReturnNotice), newest(&told.sender, MessageType::ReturnNotice));
    assert!(after.envelope_digest != before && after.ref_digest == before);
}

#[test]
fn her_word_that_takes_everything_back_names_what_was_still_waited_for() {
    let mut told = Told::new();
    told.withdraw(1, "ShareNotice");
    let notice = oldest(&told.sender, MessageType::ReturnNotice);
    assert_eq!(newest(&told.sender, MessageType::Withdrawal).ref_digest, notice, "no answer is owed any more");
    // On her way nobody waits for an answer, but for her.
    let mut told = Told::new().accepted();
    let at = told.at;
    told.send(true, &bodies::departure("Left", at), None);
    told.withdraw(1, "ShareNotice");
    let departure = oldest(&told.sender, MessageType::Departure);
    assert_eq!(newest(&told.sender, MessageType::Withdrawal).ref_digest, departure);
}

#[test]
fn her_word_that_takes_one_thing_back_settles_nothing() {
    let mut told = Told::new();
    told.withdraw(3, "ShareProfile");
    assert!(newest(&told.sender, MessageType::Withdrawal).ref_digest.is_empty());
}

#[test]
fn her_staying_names_what_was_still_waited_for_at_either_end() {
    for at_sender in [true, false] {
        let mut told = Told::new();
        told.stay(at_sender);
        let notice = oldest(&told.sender, MessageType::ReturnNotice);
        let (node, class) =
            if at_sender { (&told.sender, MessageType::Departure) } else { (&told.receiver, MessageType::Arrival) };
        assert_eq!(newest(node, class).ref_digest, notice, "{at_sender}");
        let mut told = Told::new().accepted();
        let at = told.at;
        told.send(true, &bodies::departure("Left", at), None);
        let departure = oldest(&told.sender, MessageType::Departure);
        told.stay(at_sender);
        let node = if at_sender { &told.sender } else { &told.receiver };
        assert_eq!(newest(node, class).ref_digest, departure, "{at_sender}");
    }
}
