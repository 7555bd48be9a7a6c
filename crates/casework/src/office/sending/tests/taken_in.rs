//! What the other end takes in: messages of a later version are kept unread, attachments only as the profile speaks of
//! them, and what comes again in another envelope has its effect once.

use clearhouse_protocol::envelope::{Attachment, Letter, Outside, seal};
use clearhouse_wire::v1::{RefusalCode, Stage};
use zeroize::Zeroizing;

use super::*;
use crate::consent::DataClass;
use crate::office::cases::{Document, document_row};

/// A class of message that nobody reads yet, and its version.
const LATER: (u32, u32) = (99, 1);

impl Told {
    /// A message of the sender's node with a body of any kind, in the order of this conversation; sealed beside the
    /// office, as a program of another version may do.
    fn raw(&self, conversation: ConversationId, class: (u32, u32), body: &[u8], attached: &[Attachment]) -> Vec<u8> {
        let (a, b) = (&self.region.members[1], &self.region.members[2]);
        let to = self.region.directory.recipient(b.org, b.node, self.at).unwrap();
        let place = self.sender.office.mail().next_place(conversation, b.node);
        let letter = Letter {
            net: self.region.net,
            msg_type: class.0,
            body_version: class.1,
            msg_id: MsgId([0xab; 16]),
            sender: (a.org, a.node),
            conversation,
            seq: place.seq,
            prev_digest: place.prev,
            created: self.at,
            expires: self.at + DAY,
            actor: None,
            body,
            attachments: attached,
        };
        seal(&letter, &to, 0, &a.sign, &mut self.region.rng.clone()).unwrap().bytes
    }

    /// The receiver takes one envelope: what it kept of it, and the envelopes that answer.
    fn taken(&mut self, bytes: Vec<u8>) -> (Vec<Row>, Vec<Vec<u8>>) {
        let (before, at) = (self.receiver.rows.len(), self.at);
        let answers = self.receiver.take(&self.region, vec![bytes], at);
        (self.receiver.rows[before..].to_vec(), answers)
    }

    /// What the receiver remembers to have answered to [`Told::raw`].
    fn answered(&self) -> (i32, i32) {
        let taken = self.receiver.office.mail().seen(self.sender.office.me().node, MsgId([0xab; 16])).unwrap();
        (taken.stage, taken.refusal)
    }
}

fn of(rows: &[Row], table: Table) -> Vec<&Row> {
    rows.iter().filter(|row| row.table == table && row.value.is_some()).collect()
}

#[test]
fn a_message_that_cannot_be_read_yet_is_kept_in_its_case_and_its_sender_is_told_so() {
    for class in [LATER, (MessageType::ReturnNotice as u32, BODY_VERSION + 1)] {
        let mut told = Told::new();
        let bytes = told.raw(told.case().conversation(), class, b"of a later version", &[]);
        let (rows, answers) = told.taken(bytes);
        assert_eq!(told.answered(), (Stage::CannotRead as i32, 0));
        assert_eq!(answers.len(), 1, "its sender is told");
        let case = told.receiver.office.cases().unwrap().case(only_case(&told.receiver)).unwrap();
        let held: Vec<_> = case.not_taken().map(|n| (n.id, n.msg_type, n.code.clone())).collect();
        assert_eq!(held, [(MsgId([0xab; 16]), class.0, None)], "it is shown, and refused by nobody");
        let kept = of(&rows, Table::Document);
        let place = document_row(case.id(), MsgId([0xab; 16]), Document::Unread, None);
        assert!(kept.len() == 1 && kept[0].key == place.key && kept[0].under == place.under);
        let kept = kept[0].value.as_deref().unwrap();
        assert!(kept.windows(18).any(|part| part == b"of a later version"), "all of it, as it was signed");
    }
}

#[test]
fn a_message_that_cannot_be_read_yet_and_is_of_no_case_leaves_nothing_but_its_answer() {
    let mut told = Told::new();
    let bytes = told.raw(ConversationId([9; 32]), LATER, b"of a later version", &[]);
    let (rows, answers) = told.taken(bytes);
    assert_eq!((told.answered(), answers.len()), ((Stage::CannotRead as i32, 0), 1));
    assert!(of(&rows, Table::Document).is_empty() && of(&rows, Table::Fact).is_empty());
}

#[test]
fn a_message_that_cannot_be_read_yet_calls_an_erasure_off() {
    let mut told = Told::new();
    let notice = told.notice();
    told.send(false, &bodies::acknowledgement(&[]), Some(notice));
    told.send(false, &bodies::answer("Declined", &[]), Some(notice));
    told.at = NOW + 30 * DAY;
    let Told { region, sender, receiver, at } = &mut told;
    super::super::super::erasing::tests::read_all(region, sender, receiver);
    super::super::super::erasing::tests::decide(region, receiver, *at).unwrap();
    let case = only_case(receiver);
    assert!(receiver.office.being_erased(case).is_some());
    let conversation = told.case().conversation();
    let bytes = told.raw(conversation, LATER, b"of a later version", &[]);
    told.taken(bytes);
    assert!(told.receiver.office.being_erased(case).is_none(), "it was written to people, who have to see it");
}

fn attachment(tag: u8) -> Attachment {
    Attachment { name_tag: [tag; 16], bytes: Zeroizing::new(vec![tag; 40]) }
}

#[test]
fn attachments_are_taken_only_as_the_profile_speaks_of_them() {
    // The profile speaks of the handle 5 in its part on health.
    let cases: [(&[u8], bool); 5] = [(&[5], true), (&[], false), (&[6], false), (&[5, 6], false), (&[5, 5], false)];
    for (tags, is_taken) in cases {
        let mut told = Told::new();
        let conversation = told.case().conversation();
        let body = crate::body::prepare(&bodies::profile()).unwrap().encode();
        let attached: Vec<Attachment> = tags.iter().map(|tag| attachment(*tag)).collect();
        let checked = crate::body::prepare(&bodies::profile()).unwrap();
        assert_eq!(crate::office::taking::attached_to(&checked, &attached).is_some(), is_taken, "{tags:?}");
        // One that is not spoken of is refused whatever the case says of the profile.
        if !is_taken && tags != [5, 5] {
            let bytes = told.raw(conversation, (MessageType::VictimProfile as u32, BODY_VERSION), &body, &attached);
            let (rows, _) = told.taken(bytes);
            assert_eq!(told.answered(), (Stage::Refused as i32, RefusalCode::Malformed as i32));
            assert!(of(&rows, Table::Document).is_empty());
        }
    }
}

#[test]
fn an_attachment_lies_under_the_key_of_the_class_that_speaks_of_it() {
    let checked = crate::body::prepare(&bodies::profile()).unwrap();
    let attached = crate::office::taking::attached_to(&checked, &[attachment(5)]).unwrap();
    let classes: Vec<_> = attached.iter().map(|(class, a)| (*class, a.name_tag)).collect();
    assert_eq!(classes, [(DataClass::Health, [5; 16])]);
    // Any other kind of message speaks of none.
    let notice = crate::body::prepare(&bodies::notice()).unwrap();
    assert!(crate::office::taking::attached_to(&notice, &[]).is_some_and(|attached| attached.is_empty()));
    assert!(crate::office::taking::attached_to(&notice, &[attachment(5)]).is_none());
}

#[test]
fn a_receipt_that_comes_again_in_another_envelope_ends_unanswered_and_has_its_effect_once() {
    let mut told = Told::before();
    let (case, who, at) = (only_case(&told.sender), actor(Role::Manager), told.at);
    let what = bodies::notice_at(NOW).what.unwrap();
    let (sent, notice) =
        told.sender.act(&told.region, at, |office, now| office.send(case, &who, what, None, &[], now).unwrap());
    told.sender.act(&told.region, at, |o, now| (o.attempted(notice, Attempt::Stored { locked: false }, now), ()));
    let receipts = told.receiver.take(&told.region, envelopes(&sent), at);
    let receipt = told.receiver.office.mail().all_outgoing().find(|(_, out)| out.case.is_empty()).unwrap();
    let (id, out) = (receipt.0, receipt.1.clone());
    told.sender.take(&told.region, receipts, at);
    assert_eq!(state(&told, notice), Delivery::Settled);

    let (a, b) = (&told.region.members[2], &told.region.members[1]);
    let to = told.region.directory.recipient(b.org, b.node, at).unwrap();
    let letter = Letter {
        net: told.region.net,
        msg_type: MessageType::Receipt as u32,
        body_version: 1,
        msg_id: id,
        sender: (a.org, a.node),
        conversation: ConversationId::try_from(out.conversation.as_slice()).unwrap(),
        seq: out.seq,
        prev_digest: out.prev_digest.as_slice().try_into().ok(),
        created: at,
        expires: at + DAY,
        actor: None,
        body: &out.statement,
        attachments: &[],
    };
    let sealed = seal(&letter, &to, 0, &a.sign, &mut told.region.rng.clone()).unwrap();
    let (rows, events) = (told.sender.rows.len(), told.sender.events.len());
    let answers = told.sender.take(&told.region, vec![sealed.bytes.clone()], at);
    assert!(answers.is_empty(), "nobody answers a receipt");
    let rows = &told.sender.rows[rows..];
    assert!(of(rows, Table::Fact).is_empty() && of(rows, Table::Receipt).is_empty(), "its effect stands already");
    let said: Vec<_> = told.sender.events[events..].iter().map(|row| audit::unpad(&row.opening).unwrap()).collect();
    let last = said.last().unwrap();
    assert!(last.event() == AuditEvent::ReceiptReceived && last.envelope_digest == sealed.digest.0);
    assert!(last.msg_class == MessageType::Receipt as u32 && last.peer_node == a.node.0);
    let digest = Outside::parse(&sealed.bytes).unwrap().digest;
    assert!(told.sender.office.mail().letter(digest).is_none_or(|letter| letter.state == 2), "the letter has ended");
    assert!(told.sender.office.mail().unopened().is_empty());
}

#[test]
fn nothing_goes_to_a_node_that_does_not_read_it() {
    let told = Told::before();
    let (me, to) = (&told.region.members[1], &told.region.members[2]);
    let read = &told.region.directory.recipient(to.org, to.node, NOW).unwrap().reads;
    let newest = read.iter().find(|(class, _)| *class == MessageType::Answer as u32).unwrap().1;
    for (class, version, goes) in [
        (MessageType::Answer as u32, newest, true),
        (MessageType::Answer as u32, newest + 1, false),
        (LATER.0, 1, false),
    ] {
        let parcel = Parcel {
            msg_type: class,
            body_version: version,
            to: (to.org, to.node),
            conversation: ConversationId([3; 32]),
            body: b"words",
            attachments: &[],
            actor: None,
            case: None,
            not_after: u64::MAX,
            remade: 0,
        };
        let mut rng = told.region.rng.clone();
        let mut now = Now { time: NOW, rng: &mut rng, key: &me.sign };
        let queued = told.sender.office.seal_and_queue(&parcel, &mut Step::default(), &mut now);
        assert_eq!(queued.err(), (!goes).then_some(Stop::CannotRead), "{class} {version}");
    }
}
