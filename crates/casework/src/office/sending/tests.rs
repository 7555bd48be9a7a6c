//! Which envelope the entry of a message says it settles: without that, those who hold logs against each other would go on
//! waiting for an answer that nobody owes any more.

use clearhouse_protocol::audit;
use clearhouse_protocol::ceremony::next_policy;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::limits::{DAY, HOUR, WEEK};
use clearhouse_protocol::mail::{Attempt, Delivery, Outgoing};
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_protocol::signed::add_signature;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, MessageType, Withdrawal};
use prost::Message as _;

mod put_back;
mod resealed;
mod taken_back;
mod taken_in;
mod watched;

use super::super::erasing::tests::{act, actor, only_case};
use super::super::hearing::tests::{Node, envelopes, region};
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
        let mut told = Self::before();
        told.send(true, &bodies::notice_at(NOW), None);
        told.read();
        told
    }

    /// Her consents are written down, and nothing has left.
    fn before() -> Self {
        Self::opened_after(|_| Vec::new())
    }

    /// [`Told::before`], at a sender that kept these rows before it opened the case.
    fn opened_after(rows: impl FnOnce(&Office) -> Vec<Row>) -> Self {
        let (region, _, sender, receiver) = region();
        let mut told = Self { region, sender, receiver, at: NOW };
        let kept = Step { rows: rows(&told.sender.office), ..Step::default() };
        told.sender.act(&told.region, NOW, |_, _| (kept, ()));
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
        told
    }

    /// [`Told::before`], with a notice that waits here to leave.
    fn queued() -> (Self, MsgId) {
        let mut told = Self::before();
        let (case, who) = (only_case(&told.sender), actor(Role::Manager));
        let what = bodies::notice_at(NOW).what.unwrap();
        let (_, msg_id) =
            told.sender.act(&told.region, NOW, |office, now| office.send(case, &who, what, None, &[], now).unwrap());
        (told, msg_id)
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

/// A notice that is stored there and was not opened when the mailbox is asked at `at`: what the sender decides then, and
/// the digest of before.
fn not_opened(told: &mut Told, at: u64) -> (MsgId, Digest, Step) {
    let Told { region, sender, .. } = told;
    let (case, who) = (only_case(sender), actor(Role::Manager));
    if sender.office.mail().all_outgoing().next().is_none() {
        let what = bodies::notice_at(NOW).what.unwrap();
        sender.act(region, NOW, |office, now| (office.send(case, &who, what, None, &[], now).unwrap().0, ()));
    }
    let msg_id = sender.office.mail().all_outgoing().next().unwrap().0;
    let digest = sender.office.digest_of_ours(msg_id).unwrap();
    let stored = Attempt::Stored { locked: false };
    sender.act(region, at, |office, now| (office.attempted(msg_id, stored, now), ()));
    let (step, ()) = sender.act(region, at, |office, now| (office.attempted(msg_id, Attempt::NotOpened, now), ()));
    (msg_id, digest, step)
}

fn state(told: &Told, msg_id: MsgId) -> Delivery {
    Delivery::of(told.sender.office.mail().outgoing(msg_id).unwrap())
}

#[test]
fn attack_40_what_could_not_be_opened_goes_again_by_itself_sealed_to_a_newer_prekey_and_once_for_each() {
    let mut told = Told::before();
    let at = NOW + WEEK;
    let (msg_id, first, step) = not_opened(&mut told, at);
    assert_eq!(state(&told, msg_id), Delivery::Queued);
    let second = told.sender.office.digest_of_ours(msg_id).unwrap();
    assert_ne!(first, second);
    let said: Vec<_> = step.events.iter().map(|row| audit::unpad(&row.opening).unwrap()).collect();
    assert!(said[0].event() == AuditEvent::NotOpened && said[0].envelope_digest == first.0);
    assert!(said[1].event() == AuditEvent::Sent && said[1].envelope_digest == second.0);
    assert_eq!(
        said[1].replaces_digest, first.0,
        "whoever holds logs against each other knows that it is the same message"
    );
    let fate = told.case().letters().iter().find(|letter| letter.id() == msg_id).map(crate::case::Letter::fate);
    assert!(fate.is_some_and(|fate| fate != crate::case::Fate::Failed), "nobody is told that it could not be opened");
    // It opens there, and its receipt ends it here.
    let Told { region, sender, receiver, .. } = &mut told;
    let sealed = envelopes(&step);
    assert_eq!(sealed.len(), 1);
    let answers = receiver.take(region, sealed.clone(), at);
    assert_eq!(receiver.office.cases().unwrap().iter().count(), 1);
    // The old one, should it turn up and open after all, is the same message.
    sender.take(region, answers, at);
    assert_eq!(state(&told, msg_id), Delivery::Settled);
    let mut again = Told::before();
    not_opened(&mut again, at);
    let (msg_id, _, step) = not_opened(&mut again, at);
    assert_eq!(
        (state(&again, msg_id), envelopes(&step).len()),
        (Delivery::NotOpened, 0),
        "the same prekey: a person looks"
    );
    let (msg_id, first, step) = not_opened(&mut Told::before(), NOW);
    assert!(envelopes(&step).is_empty() && first.0 != [0; 32] && msg_id.0 != [0; 16]);
}

#[test]
fn attack_40_nothing_goes_again_that_may_not_leave_any_more_and_while_locked_it_waits() {
    let at = NOW + WEEK;
    let mut told = Told::before();
    let (case, ana) = (only_case(&told.sender), actor(Role::Caseworker));
    let (what, who) = (bodies::notice_at(NOW).what.unwrap(), actor(Role::Manager));
    let Told { region, sender, .. } = &mut told;
    sender.act(region, NOW, |office, now| (office.send(case, &who, what, None, &[], now).unwrap().0, ()));
    let msg_id = sender.office.mail().all_outgoing().next().unwrap().0;
    let stored = Attempt::Stored { locked: false };
    sender.act(region, NOW, |office, now| (office.attempted(msg_id, stored, now), ()));
    let word = Withdrawal {
        consent_id: vec![1; 16],
        purpose: "ShareNotice".into(),
        data_classes: vec![],
        effective: NOW + HOUR,
    };
    sender.act(region, NOW + HOUR, |office, now| (office.withdraw(case, &ana, word, now).unwrap().0, ()));
    let (step, ()) = sender.act(region, at, |office, now| (office.attempted(msg_id, Attempt::NotOpened, now), ()));
    assert_eq!((state(&told, msg_id), envelopes(&step).len()), (Delivery::NotOpened, 0), "she took her word back");

    let mut told = Told::before();
    let Told { region, sender, .. } = &mut told;
    let what = bodies::notice_at(NOW).what.unwrap();
    let case = only_case(sender);
    sender.act(region, NOW, |office, now| (office.send(case, &who, what, None, &[], now).unwrap().0, ()));
    let msg_id = sender.office.mail().all_outgoing().next().unwrap().0;
    sender.act(region, NOW, |office, now| (office.attempted(msg_id, stored, now), ()));
    sender.office.lock();
    sender.act(region, at, |office, now| (office.attempted(msg_id, Attempt::NotOpened, now), ()));
    assert_eq!(state(&told, msg_id), Delivery::Stored, "the mailbox is asked again when they have unlocked");
}

#[test]
fn attack_37_where_the_network_asks_for_cover_reading_leaves_nothing_on_the_line_before_the_tick() {
    let mut told = Told::before();
    told.send(true, &bodies::notice_at(NOW), None);
    let held = told.region.directory.newest_policy();
    let mut next = next_policy(held, NOW, |policy| (policy.cover, policy.log_tick_secs) = (true, 600)).unwrap();
    told.region.coordinators.iter().for_each(|key| add_signature(&mut next, key));
    let bundle = wire::RecordBundle { records: vec![next], prekeys: vec![], published: vec![] };
    let Told { region, receiver, at, .. } = &mut told;
    let (_, intake) = receiver.act(region, *at, |office, now| office.admit(&bundle, now));
    assert_eq!((intake.new, intake.refused.len()), (1, 0));

    let (case, ana) = (only_case(receiver), actor(Role::Caseworker));
    let notice = receiver.office.cases().unwrap().case(case).unwrap().notice().unwrap().id();
    let read_at = *at + 7;
    let (step, _) =
        receiver.act(region, read_at, |office, now| (office.open_message(case, &ana, notice, now).unwrap(), ()));
    let receipts = step.rows.iter().filter(|row| row.table == Table::Outbox);
    let receipts: Vec<_> = receipts.map(|row| Outgoing::decode(row.value.as_deref().unwrap()).unwrap()).collect();
    assert_eq!(receipts.len(), 1);
    let tick = (read_at / 600 + 1) * 600;
    assert!((tick..=tick + 150).contains(&receipts[0].next_try), "{} and the tick is {tick}", receipts[0].next_try);
    let mail = receiver.office.mail();
    assert!(mail.due(tick - 1).is_empty() && mail.due(tick + 150).len() == 1);
    // Both ends know how long an envelope is by its class, and receipts have one.
    let sealed = step.rows.iter().find(|row| row.table == Table::Envelope).and_then(|row| row.value.as_ref()).unwrap();
    let outside = clearhouse_protocol::envelope::Outside::parse(sealed).unwrap();
    assert_eq!(outside.size_class, 4096);
}
