//! Receipts that their recipient could not open.

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::MsgId;
use clearhouse_protocol::limits::{DAY, RECEIPT_AGAIN_SECS, RECEIPT_ASK_SECS, RECEIPT_ASKS_MAX, RECEIPTS_REMADE_MAX};
use clearhouse_protocol::mail::{Attempt, Delivery};
use clearhouse_wire::v1::MessageType;

use super::super::super::hearing::tests::{Node, envelopes, region};
use super::*;

const STORED: Attempt = Attempt::Stored { locked: false };

/// A member whose account came to a coordinator, and whose receipt is stored with it.
struct Answered {
    region: Region,
    coordinator: Node,
    one: Node,
    receipt: MsgId,
}

impl Answered {
    fn new() -> Self {
        let (region, mut coordinator, mut one, _) = region();
        one.send(&region, 2, 1);
        let (tell, head) = (one.office.to_tell(NOW)[0], one.head(&region, &[0, 2]));
        let sent = one.tell(&region, tell, &head, NOW);
        coordinator.take(&region, sent, NOW);
        let receipt = newest(&coordinator);
        let mut answered = Self { region, coordinator, one, receipt };
        answered.attempted(STORED, NOW);
        answered
    }

    fn attempted(&mut self, attempt: Attempt, at: u64) -> Step {
        let id = self.receipt;
        self.coordinator.act(&self.region, at, |office, now| (office.attempted(id, attempt, now), ())).0
    }

    fn to_ask(&self, at: u64) -> bool {
        self.coordinator.office.mail().to_ask(at).eq([self.receipt])
    }

    fn state(&self) -> Delivery {
        Delivery::of(self.coordinator.office.mail().outgoing(self.receipt).unwrap())
    }
}

/// The newest receipt of an office: the one that was made again most often.
fn newest(node: &Node) -> MsgId {
    let receipts = node.office.mail().all_outgoing().filter(|(_, o)| o.msg_type == MessageType::Receipt as u32);
    receipts.max_by_key(|(_, o)| o.remade).unwrap().0
}

#[test]
fn a_receipt_that_did_not_open_is_made_again_in_the_same_words_and_ends_what_it_is_about() {
    let mut answered = Answered::new();
    assert_eq!(answered.state(), Delivery::Settled);
    let waits = |one: &Node| one.office.told().first().is_none_or(|told| told.took == 0);
    assert!(waits(&answered.one) && !answered.to_ask(NOW + RECEIPT_ASK_SECS - 1));
    let at = NOW + RECEIPT_ASK_SECS;
    assert!(answered.to_ask(at), "its mailbox is asked once");
    let words = answered.coordinator.office.mail().outgoing(answered.receipt).unwrap().statement.clone();
    let step = answered.attempted(Attempt::NotOpened, at);
    assert_eq!(answered.state(), Delivery::Settled, "nobody is told");
    let again = newest(&answered.coordinator);
    let row = answered.coordinator.office.mail().outgoing(again).unwrap();
    assert!(again != answered.receipt && row.statement == words && row.remade == 1);
    assert!(row.queued_at == at && row.next_try == at, "sealed at this time, and at once");
    assert_eq!(answered.coordinator.office.mail().due(at), [again]);
    let sealed = envelopes(&step);
    assert_eq!(sealed.len(), 1);
    answered.one.take(&answered.region, sealed, at);
    assert!(!waits(&answered.one), "what it is about is answered");
    let step = answered.attempted(Attempt::NotOpened, at);
    assert!(step.rows.is_empty(), "the old one is not made again");
}

#[test]
fn it_is_made_again_a_few_times_after_longer_pauses_and_then_shown() {
    let mut answered = Answered::new();
    let (mut at, mut pauses) = (NOW, Vec::new());
    for nth in 1..=RECEIPTS_REMADE_MAX {
        at += RECEIPT_ASK_SECS;
        answered.attempted(Attempt::NotOpened, at);
        answered.receipt = newest(&answered.coordinator);
        let row = answered.coordinator.office.mail().outgoing(answered.receipt).unwrap();
        assert_eq!(row.remade, nth);
        pauses.push(row.next_try - at);
        at = row.next_try;
        answered.attempted(STORED, at);
    }
    assert_eq!(pauses, [0, RECEIPT_AGAIN_SECS, 4 * RECEIPT_AGAIN_SECS]);
    let step = answered.attempted(Attempt::NotOpened, at + RECEIPT_ASK_SECS);
    assert!(envelopes(&step).is_empty() && answered.state() == Delivery::NotOpened, "a person has to phone");
    assert!(!answered.coordinator.office.mail().is_unconfirmed(answered.receipt));
}

#[test]
fn what_opened_is_asked_after_once_and_what_nobody_opens_a_few_times() {
    for told in [Attempt::Taken, Attempt::Fetched, Attempt::Lost] {
        let mut answered = Answered::new();
        let step = answered.attempted(told, NOW + RECEIPT_ASK_SECS);
        assert!(step.events.is_empty() && envelopes(&step).is_empty());
        let row = answered.coordinator.office.mail().outgoing(answered.receipt).unwrap();
        assert!(row.statement.is_empty() && !answered.to_ask(u64::MAX), "its words are not kept");
    }
    let mut answered = Answered::new();
    let (mut at, mut asks) = (NOW, 0);
    while let Some(next) = answered.coordinator.office.mail().next_due() {
        assert!(next > at && answered.to_ask(next));
        at = next;
        asks += 1;
        answered.attempted(Attempt::Stored { locked: true }, at);
    }
    assert_eq!((asks, answered.state()), (RECEIPT_ASKS_MAX, Delivery::Settled));
}

#[test]
fn one_that_nothing_can_be_sealed_for_today_keeps_its_words_and_is_asked_after_again() {
    let mut answered = Answered::new();
    // Their keys have run out, and newer ones are not here yet.
    let late = NOW + 90 * DAY;
    let step = answered.attempted(Attempt::NotOpened, late);
    assert!(envelopes(&step).is_empty() && answered.state() == Delivery::Settled);
    assert!(answered.coordinator.office.mail().is_unconfirmed(answered.receipt));
    let next = answered.coordinator.office.mail().next_due().unwrap();
    assert!(next > late && answered.to_ask(next));
}

#[test]
fn one_that_nothing_can_be_sealed_for_is_asked_after_as_often_as_any_and_then_shown() {
    let mut answered = Answered::new();
    let (mut at, mut asks) = (NOW + 90 * DAY, 1);
    answered.attempted(Attempt::NotOpened, at);
    while let Some(next) = answered.coordinator.office.mail().next_due() {
        at = next;
        asks += 1;
        answered.attempted(Attempt::NotOpened, at);
        assert!(asks <= RECEIPT_ASKS_MAX, "without end");
    }
    assert_eq!((asks, answered.state()), (RECEIPT_ASKS_MAX, Delivery::NotOpened));
}

#[test]
fn a_statement_names_the_envelope_it_is_about_or_none() {
    let said = |digest: Vec<u8>| {
        let payload = wire::Receipt { envelope_digest: digest, ..wire::Receipt::default() }.encode_to_vec();
        wire::Signed { payload, ..wire::Signed::default() }.encode_to_vec()
    };
    assert!(about(&said(vec![7; 32])) == Some(Digest([7; 32])));
    assert!(about(&said(vec![7; 31])).is_none() && about(&[0xff]).is_none() && about(&[]).is_none());
}

#[test]
fn every_stage_of_every_message_has_a_row_of_its_own() {
    let keys = |n: u8| receipt_keys(MsgId([n; 16])).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((keys(1).len(), keys(1).union(&keys(2)).count()), (17, 34));
    assert!(keys(1).contains(&receipt_row(MsgId([1; 16]), STAGE_LAST, &[]).key));
}

#[test]
fn a_receipt_that_is_made_again_names_the_letter_it_is_about() {
    let mut answered = Answered::new();
    let said = |row: &clearhouse_protocol::rows::EventRow| clearhouse_protocol::audit::unpad(&row.opening).unwrap();
    let first = answered.coordinator.events.iter().map(said).rfind(|o| o.event() == AuditEvent::ReceiptSent);
    let step = answered.attempted(Attempt::NotOpened, NOW + RECEIPT_AGAIN_SECS);
    let again: Vec<_> = step.events.iter().map(said).filter(|o| o.event() == AuditEvent::ReceiptSent).collect();
    assert_eq!(again.len(), 1);
    assert!(!again[0].envelope_digest.is_empty() && again[0].envelope_digest == first.unwrap().envelope_digest);
}
