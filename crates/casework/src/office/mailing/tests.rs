//! Letters of a sender whose key has ended, as an office takes them.

use clearhouse_protocol::ceremony::revoke;
use clearhouse_protocol::envelope::{Letter, Outside, Reader, open, seal};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::{CaseId, ConversationId};
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::rows::Table;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::super::Me;
use super::super::cases::FactWriter;
use super::*;
use crate::case::fact::{Fact, Gap};

/// When the thief's key ended.
const ENDED: u64 = NOW - DAY;
const CONVERSATION: ConversationId = ConversationId([6; 32]);

pub(super) fn office(region: &Region) -> Office {
    let m = &region.members[1];
    let (mailboxes, zone) = (vec![m.mailbox], crate::deadlines::Zone::utc());
    let me = Me { net: region.net, org: m.org, node: m.node, mailboxes, generation: 1, zone };
    let mut office = Office::new(me, region.directory.clone());
    office.unlock();
    office
}

/// A letter signed with a stolen key and dated before it ended.
fn letter(region: &mut Region) -> Vec<u8> {
    letter_at(region, (1, None), ENDED - 10 * DAY)
}

/// A letter at a place of its conversation, with the digest of the body before it.
pub(super) fn letter_at(region: &mut Region, (seq, prev_digest): (u64, Option<[u8; 32]>), created: u64) -> Vec<u8> {
    let (a, b) = (&region.members[0], &region.members[1]);
    let to = region.directory.recipient(b.org, b.node, NOW).unwrap();
    let letter = Letter {
        net: region.net,
        msg_type: MessageType::ReturnNotice as u32,
        body_version: 1,
        msg_id: MsgId([4 + u8::try_from(seq).unwrap(); 16]),
        sender: (a.org, a.node),
        conversation: CONVERSATION,
        seq,
        prev_digest,
        created,
        expires: NOW + 2 * DAY,
        actor: None,
        body: b"a notice nobody should act on",
        attachments: &[],
    };
    seal(&letter, &to, 0, &a.sign, &mut region.rng).unwrap().bytes
}

fn opening(region: &Region, office: &Office, bytes: &[u8]) -> Result<Opening, Unopenable> {
    let m = &region.members[1];
    let reader = Reader::new((m.org, m.node), office.directory(), NOW);
    open(&Outside::parse(bytes).unwrap(), Some(m.prekey(NOW)), &reader)
}

/// A letter that was deposited here, and its bytes.
fn stored(region: &mut Region, office: &mut Office) -> (Digest, Vec<u8>) {
    let bytes = letter(region);
    let outside = Outside::parse(&bytes).unwrap();
    let digest = outside.digest;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
    let (step, replies) = office.deposit(vec![Deposit { outside, bytes: bytes.clone() }], &mut now);
    assert!(replies[0].is_ok(), "the mailbox looks at the outside only");
    office.take(&step);
    (digest, bytes)
}

#[test]
fn attack_25_a_letter_of_a_revoked_key_has_no_effect_whatever_its_date_and_whenever_it_was_opened() {
    for opened_before in [false, true] {
        let mut region = Region::new(1, 2);
        let mut office = office(&region);
        let (digest, bytes) = stored(&mut region, &mut office);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
        // Beside the owner, by the directory of before: the revocation comes while the letter is open.
        let early = opening(&region, &office, &bytes);
        assert!(matches!(early, Ok(Opening::Whole(_))));
        let a = &region.members[0];
        let ended = revoke(region.net, wire::SubjectKind::Node, a.node.0, "Compromised", ENDED, &[&a.root]);
        let bundle = wire::RecordBundle { records: vec![ended], prekeys: vec![], published: vec![] };
        let (step, _) = office.admit(&bundle, &mut now);
        office.take(&step);
        let result = if opened_before { early } else { opening(&region, &office, &bytes) };
        let step = office.opened(digest, result, &mut now).unwrap();
        let tables: Vec<Table> = step.rows.iter().map(|row| row.table).collect();
        let kept_out = [Table::Fact, Table::Taken, Table::Outbox, Table::Document, Table::Receipt];
        assert!(!tables.iter().any(|table| kept_out.contains(table)), "{tables:?}");
        assert_eq!(step.events.len(), 1);
        let event = clearhouse_protocol::audit::unpad(&step.events[0].opening).unwrap();
        assert!(
            event.event() == AuditEvent::Quarantined && event.peer_org.is_empty(),
            "no name that only a thief gave"
        );
        office.take(&step);
        let (held, letter) = office.mail().quarantined()[0];
        let shown = letter.quarantine.clone().unwrap();
        assert!(held == digest && shown.node == a.node.0 && shown.created == ENDED - 10 * DAY);
        assert!(office.mail().unopened().is_empty() && letter.not_opened.is_empty());
        assert!(!step.rows.iter().any(|row| row.table == Table::Envelope), "it stays, sealed");
    }
}

#[test]
fn attack_25_what_waits_in_quarantine_is_taken_or_ended_by_a_person_and_by_nothing_else() {
    for take in [true, false] {
        let mut region = Region::new(1, 2);
        let mut office = office(&region);
        let bytes = letter(&mut region);
        let (a, b) = (&region.members[0], &region.members[1]);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut now = Now { time: NOW, rng: &mut rng, key: &b.sign };
        let outside = Outside::parse(&bytes).unwrap();
        let digest = outside.digest;
        let (step, _) = office.deposit(vec![Deposit { outside, bytes: bytes.clone() }], &mut now);
        office.take(&step);
        let ended = revoke(region.net, wire::SubjectKind::Node, a.node.0, "Compromised", ENDED, &[&a.root]);
        let bundle = wire::RecordBundle { records: vec![ended], prekeys: vec![], published: vec![] };
        let (step, _) = office.admit(&bundle, &mut now);
        office.take(&step);
        let manager = crate::office::erasing::tests::actor(crate::roles::Role::Manager);
        assert!(office.decide_quarantined(digest, true, &manager, &mut now).is_none(), "nothing waits yet");
        let step = office.opened(digest, opening(&region, &office, &bytes), &mut now).unwrap();
        office.take(&step);
        // Asked again, it is no letter that waits to be opened.
        let again = office.opened(digest, opening(&region, &office, &bytes), &mut now).unwrap();
        assert!(again.rows.is_empty());

        let step = office.decide_quarantined(digest, take, &manager, &mut now).unwrap();
        let event = clearhouse_protocol::audit::unpad(&step.events.last().unwrap().opening).unwrap();
        assert!(event.event() == AuditEvent::LocalAct && event.actor_role == "Manager");
        office.take(&step);
        assert!(office.mail().quarantined().is_empty());
        if take {
            assert_eq!(office.mail().unopened(), [digest]);
            let step = office.opened(digest, opening(&region, &office, &bytes), &mut now).unwrap();
            assert!(step.rows.iter().any(|row| row.table == Table::Taken), "like any other");
            assert!(!step.rows.iter().any(|row| row.table == Table::Outbox), "and its sender is told nothing");
        } else {
            assert!(office.mail().letter(digest).unwrap().state == 3 && office.mail().unopened().is_empty());
        }
    }
}

#[test]
fn a_message_outside_the_corridors_leaves_nobody_and_is_refused_where_one_comes_all_the_same() {
    let mut region = Region::new(1, 2);
    let bytes = letter(&mut region);
    let mut office = office(&region);
    let (a, b) = (&region.members[0], &region.members[1]);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { time: NOW, rng: &mut rng, key: &b.sign };
    let outside = Outside::parse(&bytes).unwrap();
    let digest = outside.digest;
    let (step, _) = office.deposit(vec![Deposit { outside, bytes: bytes.clone() }], &mut now);
    office.take(&step);
    // A policy that lets notices go nowhere that these two are.
    let rule = wire::CorridorRule {
        name: "elsewhere".to_owned(),
        msg_types: vec![MessageType::ReturnNotice as u32],
        from_countries: vec!["BA".to_owned()],
        ..wire::CorridorRule::default()
    };
    let mut policy =
        clearhouse_protocol::ceremony::next_policy(&region.genesis, NOW, |policy| policy.corridor_rules = vec![rule]);
    let policy = policy.as_mut().unwrap();
    region.coordinators.iter().for_each(|key| clearhouse_protocol::signed::add_signature(policy, key));
    let bundle = wire::RecordBundle { records: vec![policy.clone()], prekeys: vec![], published: vec![] };
    let (step, intake) = office.admit(&bundle, &mut now);
    assert_eq!(intake.new, 1);
    office.take(&step);

    let step = office.opened(digest, opening(&region, &office, &bytes), &mut now).unwrap();
    assert!(!step.rows.iter().any(|row| row.table == Table::Fact || row.table == Table::Document), "it has no effect");
    let taken = step.rows.iter().find(|row| row.table == Table::Taken).unwrap();
    office.take(&step);
    assert!(taken.value.is_some(), "and is answered, once");
    let seen = office.mail().seen(a.node, MsgId([5; 16])).map(|taken| taken.refusal);
    assert_eq!(seen, Some(RefusalCode::NotAllowed as i32));

    let parcel = crate::office::sending::Parcel {
        msg_type: MessageType::ReturnNotice as u32,
        body_version: 1,
        to: (a.org, a.node),
        conversation: ConversationId([1; 32]),
        body: b"body",
        attachments: &[],
        actor: None,
        case: None,
        not_after: NOW + DAY,
        remade: 0,
    };
    let stop = office.seal_and_queue(&parcel, &mut Step::default(), &mut now).err().unwrap();
    let crate::office::desk::Stop::Route(fault) = stop else { panic!() };
    assert!(fault.to_string().contains("`elsewhere`"), "the rule is named");
}

#[test]
fn what_is_answered_in_the_commit_in_which_it_came_stays_received_and_leaves_no_gap() {
    let mut region = Region::new(1, 2);
    let mut office = office(&region);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut prev = None;
    for seq in 1..=3 {
        let bytes = letter_at(&mut region, (seq, prev), NOW);
        let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
        let outside = Outside::parse(&bytes).unwrap();
        let digest = outside.digest;
        let (step, _) = office.deposit(vec![Deposit { outside, bytes: bytes.clone() }], &mut now);
        office.take(&step);
        let opened = opening(&region, &office, &bytes);
        let Ok(Opening::Whole(whole)) = &opened else { panic!("a sound letter") };
        prev = Some(clearhouse_protocol::envelope::body_digest(whole.msg_id, &whole.inner().body));
        let step = office.opened(digest, opened, &mut now).unwrap();
        assert!(step.rows.iter().any(|row| row.table == Table::Envelope && row.value.is_some()), "it is answered");
        office.take(&step);
        let peer = region.members[0].node;
        assert_eq!(office.mail().received_up_to(CONVERSATION, peer), seq);
        assert_eq!(office.mail().gaps(CONVERSATION, peer), (&[][..], false));
        assert_eq!(office.mail().next_place(CONVERSATION, peer).seq, seq + 1, "three receipts went out");
    }
}

#[test]
fn an_envelope_that_stands_twice_in_a_batch_is_stored_once_and_answered_twice() {
    let mut region = Region::new(1, 2);
    let mut office = office(&region);
    let bytes = [letter_at(&mut region, (1, None), NOW), letter_at(&mut region, (2, Some([1; 32])), NOW)];
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
    let batch =
        [0, 1, 0].map(|n: usize| Deposit { outside: Outside::parse(&bytes[n]).unwrap(), bytes: bytes[n].clone() });
    let (step, replies) = office.deposit(batch.into(), &mut now);
    let count = |table| step.rows.iter().filter(|row| row.table == table).count();
    assert_eq!((count(Table::Envelope), count(Table::Mailbox), step.events.len()), (2, 2, 2));
    assert!(step.effects.len() == 1 && matches!(step.effects[0], Effect::OpenLetters));
    let replies: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
    assert!(replies[0] == replies[2] && replies[0] != replies[1]);
    office.take(&step);
    assert_eq!(office.mail().to_open().count(), 2);
}

#[test]
fn what_is_refused_for_an_extension_is_answered_to_whoever_still_stands_and_to_nobody_else() {
    for revoked in [false, true] {
        let mut region = Region::new(1, 2);
        let mut office = office(&region);
        let (digest, bytes) = stored(&mut region, &mut office);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
        // Beside the owner, by the directory of before.
        let Ok(Opening::Whole(opened)) = opening(&region, &office, &bytes) else { panic!("a sound letter") };
        if revoked {
            let a = &region.members[0];
            let ended = revoke(region.net, wire::SubjectKind::Node, a.node.0, "Compromised", ENDED, &[&a.root]);
            let bundle = wire::RecordBundle { records: vec![ended], prekeys: vec![], published: vec![] };
            let (step, _) = office.admit(&bundle, &mut now);
            office.take(&step);
        }
        let step = office.opened(digest, Ok(Opening::Rejected(opened, Rejected::Extension)), &mut now).unwrap();
        office.take(&step);
        let answered = |table| step.rows.iter().any(|row| row.table == table && row.value.is_some());
        assert_eq!((answered(Table::Taken), answered(Table::Outbox)), (!revoked, !revoked));
        let said = office.mail().seen(region.members[0].node, MsgId([5; 16])).map(|taken| taken.refusal);
        assert_eq!(said, (!revoked).then_some(RefusalCode::Extension as i32));
        assert!(office.mail().unopened().is_empty(), "it has ended either way");
    }
}

#[test]
fn messages_of_cases_are_told_from_what_nodes_tell_each_other() {
    for (kind, of_a_case) in [
        (MessageType::ReturnNotice, true),
        (MessageType::Acknowledgement, true),
        (MessageType::Answer, true),
        (MessageType::VictimProfile, true),
        (MessageType::Departure, true),
        (MessageType::Arrival, true),
        (MessageType::ConsentRecord, true),
        (MessageType::Withdrawal, true),
        (MessageType::Receipt, false),
        (MessageType::Unspecified, false),
    ] {
        assert_eq!(is_of_a_case(kind as u32), of_a_case, "{}", kind as u32);
    }
    assert!(!is_of_a_case(u32::MAX));
}

#[test]
fn a_gap_reaches_from_the_place_that_was_expected_to_the_one_before_what_came() {
    let mut region = Region::new(1, 2);
    let office = office(&region);
    for (seq, gap) in [(1, None), (2, Some((1, 1))), (5, Some((1, 4)))] {
        let bytes = letter_at(&mut region, (seq, (seq > 1).then_some([1; 32])), NOW);
        let Ok(Opening::Whole(opened)) = opening(&region, &office, &bytes) else { panic!("a genuine letter opens") };
        let (mut facts, mut step) = (FactWriter::new(CaseId([7; 16]), 1), Step::default());
        office.note_gap(&opened, &mut facts, &mut step, NOW);
        let fact = gap.map(|(from, to)| Fact::Gap(Gap { from, to, at: NOW }));
        let expected = fact.map(|fact| FactWriter::new(CaseId([7; 16]), 1).row(&fact).value);
        assert!(step.rows.first().map(|row| row.value.clone()) == expected, "{seq}");
    }
}
