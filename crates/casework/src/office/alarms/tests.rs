//! A coordinator's office raises alarms, and those of two members hear them in real envelopes.

use clearhouse_protocol::audit::{AuditEvent, unpad};
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::StaffId;
use clearhouse_protocol::limits::HOUR;
use clearhouse_protocol::mail::Attempt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::office::Me;
use crate::office::mailing::Deposit;
use crate::office::sending::Parcel;
use crate::roles::Role;

/// A coordinator (0), an end that sends (1), an end that owes a word (2), a member that is none (3).
struct World {
    region: Region,
    offices: Vec<Office>,
    events: Vec<Vec<AuditEvent>>,
    rng: ChaCha20Rng,
}

const SINCE: u64 = NOW - HOUR;

impl World {
    fn new() -> Self {
        let region = Region::with_coordinators(1, 4, 1);
        let office = |n: usize| {
            let member = &region.members[n];
            let me = Me {
                net: region.net,
                org: member.org,
                node: member.node,
                mailboxes: vec![member.mailbox],
                generation: 1,
                zone: crate::deadlines::Zone::utc(),
            };
            let mut office = Office::new(me, region.directory.clone());
            office.unlock();
            office
        };
        let offices = (0..4).map(office).collect();
        Self { region, offices, events: vec![vec![]; 4], rng: ChaCha20Rng::seed_from_u64(1) }
    }

    fn party(&self, n: usize) -> (OrgId, NodeId) {
        (self.region.members[n].org, self.region.members[n].node)
    }

    fn act<T>(
        &mut self,
        n: usize,
        at: u64,
        act: impl FnOnce(&Office, &mut Now<'_, ChaCha20Rng>) -> (Step, T),
    ) -> (Step, T) {
        let mut now = Now { time: at, rng: &mut self.rng, key: &self.region.members[n].sign };
        let (step, value) = act(&self.offices[n], &mut now);
        self.offices[n].take(&step);
        self.events[n].extend(step.events.iter().filter_map(|row| Some(unpad(&row.opening)?.event())));
        (step, value)
    }

    /// Member 1 sends a departure to member 2, who takes it in.
    fn departure(&mut self) -> Digest {
        let to = self.party(2);
        let (step, queued) = self.act(1, NOW, |office, now| {
            let parcel = Parcel {
                msg_type: MessageType::Proofs as u32,
                body_version: 1,
                to,
                conversation: clearhouse_protocol::ids::ConversationId([9; 32]),
                body: b"opaque here",
                attachments: &[],
                actor: None,
                case: None,
                not_after: u64::MAX,
                remade: 0,
            };
            let mut step = Step::default();
            let queued = office.seal_and_queue(&parcel, &mut step, now).unwrap();
            (step, queued)
        });
        self.carry(2, step, NOW);
        queued.digest
    }

    /// Takes what a step queued to member `n`, and returns the step of the opening.
    fn carry(&mut self, n: usize, step: Step, at: u64) -> Step {
        let mut queued = step.rows.into_iter().filter(|row| row.table == Table::Envelope).filter_map(|row| row.value);
        let bytes = queued.next().unwrap();
        let (outside, again) = (Outside::parse(&bytes).unwrap(), Outside::parse(&bytes).unwrap());
        self.act(n, at, |office, now| office.deposit(vec![Deposit { outside, bytes }], now));
        let member = &self.region.members[n];
        let me = Reader::new((member.org, member.node), &self.region.directory, at);
        let opened = open(&again, Some(member.prekey(at)), &me);
        self.act(n, at, |office, now| (office.opened(again.digest, opened, now).unwrap(), ())).0
    }

    fn found(&self, digest: Digest) -> Found {
        Found { kind: AlarmKind::OverdueArrival, digest, from: self.party(1), to: self.party(2), since: SINCE }
    }

    fn raise(&mut self, found: &[Found], at: u64) -> Step {
        self.act(0, at, |office, now| (office.raise(found, now), ())).0
    }

    /// Tells everybody that is to be told, and brings the answers back. How many were told.
    fn tell_all(&mut self, at: u64) -> usize {
        let due = self.offices[0].alarms_to_tell();
        for (digest, kind, end) in due.iter().copied() {
            let (step, ()) = self.act(0, at, |office, now| {
                (office.tell_alarm((digest, kind, end), now).unwrap_or_else(|_| panic!("no way")), ())
            });
            let n = if end == End::Sender { 1 } else { 2 };
            let answer = self.carry(n, step, at);
            self.carry(0, answer, at);
        }
        due.len()
    }

    fn raised(&self) -> Raised {
        self.offices[0].raised().next().unwrap().clone()
    }

    fn heard(&self, n: usize, digest: Digest) -> Vec<Heard> {
        self.offices[n].alarms_about(digest).map(|(_, heard)| heard.clone()).collect()
    }
}

#[test]
fn an_alarm_is_raised_once_told_to_both_ends_and_ended_by_the_word_that_was_missing() {
    let mut world = World::new();
    let digest = world.departure();
    let found = world.found(digest);
    world.raise(&[found], NOW);
    assert_eq!(world.events[0].last().map(|e| e.as_str_name()), Some(AuditEvent::AlarmRaised.as_str_name()));
    let again = world.raise(&[found], NOW + HOUR);
    assert!(again.rows.is_empty() && again.events.is_empty(), "once");
    assert_eq!(world.tell_all(NOW), 2);
    assert_eq!(world.tell_all(NOW), 0, "both took it");
    assert!(world.offices[0].alarm_reached(&world.raised(), End::Sender));
    assert!(world.offices[0].alarm_reached(&world.raised(), End::Other));
    for n in [1, 2] {
        let heard = world.heard(n, digest);
        assert_eq!(heard.len(), 1);
        assert_eq!((heard[0].since, heard[0].heard_at, heard[0].ended_at), (SINCE, NOW, 0));
        assert_eq!(world.offices[n].alarms_open(), (0, 1));
    }
    assert_eq!(world.offices[0].alarms_open(), (1, 0));
    world.raise(&[], NOW + HOUR);
    assert_eq!(world.events[0].last().map(|e| e.as_str_name()), Some(AuditEvent::AlarmEnded.as_str_name()));
    assert_eq!(world.tell_all(NOW + HOUR), 2);
    for n in [1, 2] {
        assert_eq!(world.heard(n, digest)[0].ended_at, NOW + HOUR);
        assert_eq!(world.offices[n].alarms_open(), (0, 0));
    }
    // What ended is forgotten after a while, and not before.
    assert!(world.offices[1].forget_alarms(NOW + HOUR + SHOWN_SECS).is_empty());
    for n in [0, 1, 2] {
        let rows = world.offices[n].forget_alarms(NOW + HOUR + SHOWN_SECS + 1);
        assert_eq!(rows.len(), 1);
        world.offices[n].apply(&rows);
        assert_eq!((world.offices[n].raised().count(), world.heard(n, digest).len()), (0, 0));
    }
}

#[test]
fn an_alarm_that_comes_back_begins_anew() {
    let mut world = World::new();
    let digest = world.departure();
    let found = world.found(digest);
    world.raise(&[found], NOW);
    world.tell_all(NOW);
    world.raise(&[], NOW + 1);
    world.tell_all(NOW + 1);
    world.raise(&[found], NOW + 2);
    assert_eq!(world.raised().ended_at, 0);
    assert_eq!(world.tell_all(NOW + 2), 2);
    let heard = &world.heard(2, digest)[0];
    assert_eq!((heard.heard_at, heard.ended_at), (NOW + 2, 0));
}

#[test]
fn an_end_that_could_not_be_told_is_told_again() {
    let mut world = World::new();
    let digest = world.departure();
    world.raise(&[world.found(digest)], NOW);
    let due = world.offices[0].alarms_to_tell();
    assert_eq!(due.len(), 2);
    let (step, ()) = world.act(0, NOW, |office, now| (office.tell_alarm(due[0], now).ok().unwrap(), ()));
    assert!(world.offices[0].alarms_to_tell() == [due[1]], "the first is under way");
    assert!(!world.offices[0].alarm_reached(&world.raised(), due[0].2), "and has reached nobody yet");
    let id = step.rows.iter().find(|row| row.table == Table::Outbox).unwrap().key.clone();
    let id = MsgId::try_from(id.as_slice()).unwrap();
    world.act(0, NOW, |office, now| (office.attempted(id, Attempt::NotOpened, now), ()));
    assert_eq!(world.offices[0].alarms_to_tell().len(), 2, "its node could not open it");
}

#[test]
fn only_a_coordinator_alarms_and_only_about_what_is_known() {
    let mut world = World::new();
    let digest = world.departure();
    let refused = |world: &World| world.events[2].iter().filter(|event| **event == AuditEvent::Rejected).count();
    let before = refused(&world);
    // Member 3 says the same as the coordinator would.
    let to = world.party(2);
    let body = alarm::compose(&Alarm { kind: AlarmKind::OverdueArrival, digest, since: SINCE, ended: false });
    let (step, _) = world.act(3, NOW, |office, now| {
        let mut step = Step::default();
        let id = office.send_node_mail(MessageType::Alarm, to, &body, &mut step, now).ok();
        (step, id)
    });
    world.carry(2, step, NOW);
    assert_eq!(refused(&world), before + 1);
    assert!(world.heard(2, digest).is_empty());
    // The coordinator, about an envelope that member 2 never saw; and something that is no alarm.
    for body in [
        alarm::compose(&Alarm { kind: AlarmKind::OverdueArrival, digest: Digest([1; 32]), since: SINCE, ended: false }),
        b"no alarm".to_vec(),
    ] {
        let (step, _) = world.act(0, NOW, |office, now| {
            let mut step = Step::default();
            let id = office.send_node_mail(MessageType::Alarm, to, &body, &mut step, now).ok();
            (step, id)
        });
        world.carry(2, step, NOW);
    }
    assert_eq!(refused(&world), before + 3);
    assert_eq!(world.offices[2].alarms_open(), (0, 0));
}

#[test]
fn a_duty_officer_takes_an_alarm_up_once_and_by_its_number() {
    let mut world = World::new();
    let digest = world.departure();
    world.raise(&[world.found(digest)], NOW);
    let entry = world.raised().entry;
    let officer = Actor { staff_id: StaffId([1; 16]), label: "Dana K.".to_owned(), role: Role::Auditor };
    let take = |world: &mut World, entry, at| {
        let (step, taken) = world.act(0, at, |office, now| {
            let step = office.take_up(entry, &officer, now);
            let taken = step.is_some();
            (step.unwrap_or_default(), taken)
        });
        (step.events.len(), taken)
    };
    assert_eq!(take(&mut world, entry + 1, NOW), (0, false), "no such alarm");
    assert_eq!(take(&mut world, entry, NOW + 5), (1, true));
    assert_eq!(take(&mut world, entry, NOW + 9), (0, true), "again changes nothing");
    let raised = world.raised();
    assert_eq!((raised.taken_at, raised.taken_by.as_str()), (NOW + 5, "Dana K."));
    assert_eq!(world.events[0].last().map(|e| e.as_str_name()), Some(AuditEvent::AlarmTaken.as_str_name()));
}

#[test]
fn an_office_that_starts_again_knows_its_alarms() {
    let mut world = World::new();
    let digest = world.departure();
    let step = world.raise(&[world.found(digest)], NOW);
    let mut again = World::new().offices.remove(0);
    again.apply(&step.rows);
    assert_eq!(again.alarms_open(), (1, 0));
    assert_eq!(again.alarms_to_tell().len(), 2);
}

#[test]
fn the_other_ends_word_that_time_is_over_is_kept_once_for_what_is_known() {
    let mut world = World::new();
    let digest = world.departure();
    let node = world.party(1).1;
    let office = &mut world.offices[2];
    assert!(office.note_missed(Digest([3; 32]), node, SINCE, NOW).is_none(), "never seen");
    let row = office.note_missed(digest, node, SINCE, NOW).unwrap();
    office.apply([&row]);
    assert!(office.note_missed(digest, node, SINCE, NOW + 1).is_none());
    let missed: Vec<(NodeId, u64)> = office.missed_about(digest).map(|(node, missed)| (node, missed.at)).collect();
    assert_eq!(missed, [(node, SINCE)]);
}

#[test]
fn that_a_copy_was_erased_is_heard_from_who_shares_the_case_alone_and_goes_with_the_case() {
    let mut world = World::new();
    let digest = world.departure();
    let to = world.party(2);
    let say = |world: &mut World, from: usize, body: &[u8]| {
        let before = world.events[2].iter().filter(|event| **event == AuditEvent::Rejected).count();
        let (step, ()) = world.act(from, NOW, |office, now| {
            let mut step = Step::default();
            office.send_node_mail(MessageType::Erased, to, body, &mut step, now).ok().unwrap();
            (step, ())
        });
        world.carry(2, step, NOW);
        world.events[2].iter().filter(|event| **event == AuditEvent::Rejected).count() == before
    };
    let body = |digests: &[Digest]| {
        erased::compose(&erased::Erased { digests: digests.to_vec(), rule: "PersonAsked".to_owned() })
    };
    assert!(!say(&mut world, 3, &body(&[digest])), "the case is not shared with member 3");
    assert!(!say(&mut world, 1, &body(&[Digest([9; 32])])), "never seen");
    assert!(!say(&mut world, 1, b"no such word"));
    assert!(world.offices[2].theirs_erased(digest).next().is_none());
    assert!(say(&mut world, 1, &body(&[Digest([9; 32]), digest])));
    let (node, word) = world.offices[2].theirs_erased(digest).next().unwrap();
    assert_eq!((node, word.rule.as_str(), word.heard_at), (world.party(1).1, "PersonAsked", NOW));
    assert_eq!(world.offices[2].alarms_open(), (0, 0), "it is no alarm");
    // With the case here everything that was said about it goes too.
    world.raise(&[world.found(digest)], NOW);
    world.tell_all(NOW);
    let keys = world.offices[2].alarms.keys_about(&[digest].into());
    assert_eq!(keys.len(), 2);
    let rows: Vec<Row> = keys.into_iter().map(|key| row(key, None)).collect();
    world.offices[2].apply(&rows);
    assert!(world.offices[2].theirs_erased(digest).next().is_none() && world.heard(2, digest).is_empty());
}

#[test]
fn what_ended_leaves_room_for_what_goes_on() {
    let mut world = World::new();
    let digest = world.departure();
    let numbered = |n: usize| {
        let mut digest = Digest([0x55; 32]);
        digest.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
        digest
    };
    // A coordinator with as many ended alarms as it holds raises the next one.
    let ended = |n: usize| {
        let kind = AlarmKind::OverdueArrival.into();
        raised_row(&Raised { kind, digest: numbered(n).to_vec(), ended_at: NOW + n as u64, ..Raised::default() })
    };
    let rows: Vec<Row> = (1..=ALARMS_MAX + 2).map(ended).collect();
    world.offices[0].apply(&rows);
    world.raise(&[world.found(digest)], NOW);
    assert_eq!(world.offices[0].alarms_open(), (1, 0));
    // What is beyond goes, the oldest first.
    let forgotten = world.offices[0].forget_alarms(NOW);
    assert_eq!(forgotten.iter().map(|row| &row.key).collect::<Vec<_>>(), [&rows[0].key, &rows[1].key]);
    let gone: Vec<Row> = rows.into_iter().map(|old| row(old.key, None)).collect();
    world.offices[0].apply(&gone);
    // An end that holds no more alarms still hears that one of them ended, and takes no other.
    world.tell_all(NOW);
    let node = world.party(0).1;
    let heard =
        |n: usize| row(heard_key(numbered(n), 1, node), Some(Heard { kind: 1, ..Heard::default() }.encode_to_vec()));
    let full: Vec<Row> = (1..ALARMS_MAX).map(heard).collect();
    world.offices[2].apply(&full);
    assert_eq!(world.offices[2].alarms_open().1, ALARMS_MAX);
    let other = world.departure();
    world.raise(&[world.found(other)], NOW + 1);
    world.tell_all(NOW + 1);
    assert_ne!(world.heard(2, digest)[0].ended_at, 0);
    let refused = |world: &World| world.events[2].iter().filter(|event| **event == AuditEvent::Rejected).count();
    world.offices[2]
        .apply(&[row(heard_key(numbered(0), 1, node), Some(Heard { kind: 1, ..Heard::default() }.encode_to_vec()))]);
    let third = world.departure();
    let before = refused(&world);
    world.raise(&[world.found(other), world.found(third)], NOW + 2);
    world.tell_all(NOW + 2);
    assert!(world.heard(2, third).is_empty() && refused(&world) == before + 1);
}

#[test]
fn a_node_keeps_so_many_open_alarms_and_not_one_more() {
    for room in [1, 0] {
        let mut world = World::new();
        let digest = world.departure();
        let (org, node) = world.party(0);
        let heard = Heard {
            kind: AlarmKind::OverdueArrival.into(),
            org: org.to_vec(),
            since: SINCE,
            heard_at: NOW,
            ended_at: 0,
        };
        let other = |n: usize| {
            let mut digest = Digest([0xee; 32]);
            digest.0[..8].copy_from_slice(&(n as u64).to_be_bytes());
            row(heard_key(digest, heard.kind, node), Some(heard.encode_to_vec()))
        };
        let rows: Vec<Row> = (0..ALARMS_MAX - room).map(other).collect();
        world.offices[1].apply(&rows);
        world.raise(&[world.found(digest)], NOW);
        world.tell_all(NOW);
        assert_eq!((world.heard(1, digest).len(), world.heard(2, digest).len()), (room, 1));
    }
}

#[test]
fn the_entry_of_an_alarm_names_the_kind_of_message_that_was_missed() {
    for (kind, class) in
        [(AlarmKind::OverdueArrival, MessageType::Departure), (AlarmKind::UnansweredNotice, MessageType::ReturnNotice)]
    {
        let peer = (OrgId([2; 16]), NodeId([3; 16]));
        let said = super::about(AuditEvent::AlarmRaised, Digest([1; 32]), kind, Some(peer));
        assert!(said.msg_class == class as u32 && said.digest == Some(Digest([1; 32])) && said.peer == Some(peer));
    }
}
