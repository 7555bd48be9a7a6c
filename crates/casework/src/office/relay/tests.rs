//! Envelopes of others' mailboxes, as an office keeps them.

use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::envelope::{Letter, seal};
use clearhouse_protocol::fixture::{Member, NOW, Region};
use clearhouse_protocol::ids::{ConversationId, MsgId};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::limits::{DAY, RELAY_TOLD_SECS};
use clearhouse_protocol::mail::DepositFault;
use clearhouse_protocol::relay::{KeptState, rented};
use clearhouse_protocol::rows::{Row, Table};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::super::Me;
use super::*;

const ROOM: u64 = 1 << 30;

/// Member 0 writes, member 1 reads, member 2 keeps.
struct World {
    region: Region,
    keeper: Office,
    rng: ChaCha20Rng,
    rows: Vec<Row>,
}

fn office(region: &Region, m: &Member) -> Office {
    let (mailboxes, zone) = (vec![m.mailbox], crate::deadlines::Zone::utc());
    let me = Me { net: region.net, org: m.org, node: m.node, mailboxes, generation: 1, zone };
    Office::new(me, region.directory.clone())
}

impl World {
    fn new() -> Self {
        let region = Region::new(1, 3);
        let keeper = office(&region, &region.members[2]);
        Self { region, keeper, rng: ChaCha20Rng::seed_from_u64(7), rows: Vec::new() }
    }

    fn mailbox(&self) -> MailboxId {
        rented(self.region.net, self.region.members[1].node, self.region.members[2].node)
    }

    fn sealed(&mut self, n: u8) -> (Outside, Vec<u8>) {
        let (a, b) = (&self.region.members[0], &self.region.members[1]);
        let to = self.region.directory.recipient(b.org, b.node, NOW).unwrap();
        let letter = Letter {
            net: self.region.net,
            msg_type: 2,
            body_version: 1,
            msg_id: MsgId([n; 16]),
            sender: (a.org, a.node),
            conversation: ConversationId([n; 32]),
            seq: 1,
            prev_digest: None,
            created: NOW,
            expires: NOW + 2 * DAY,
            actor: None,
            body: b"a notice",
            attachments: &[],
        };
        let bytes = seal(&letter, &to, 0, &a.sign, &mut self.region.rng).unwrap().bytes;
        (Outside::parse(&bytes).unwrap(), bytes)
    }

    fn leave(&mut self, letters: &[(Outside, Vec<u8>)], time: u64) -> (Step, Vec<Deposited>) {
        let mailbox = self.mailbox();
        let leave = |(outside, bytes): &(Outside, Vec<u8>)| Leave {
            mailbox,
            outside: outside.clone(),
            bytes: bytes.clone(),
            bytes_max: ROOM,
        };
        let batch = letters.iter().map(leave).collect();
        let mut now = Now { time, rng: &mut self.rng, key: &self.region.members[2].sign };
        let (step, replies) = self.keeper.leave(batch, &mut now);
        self.take(&step);
        (step, replies)
    }

    fn tick(&mut self, time: u64) -> Step {
        let mut now = Now { time, rng: &mut self.rng, key: &self.region.members[2].sign };
        let step = self.keeper.tick(now.time, &mut now);
        self.take(&step);
        step
    }

    fn take(&mut self, step: &Step) {
        self.keeper.take(step);
        self.rows.extend(step.rows.iter().cloned());
    }
}

fn key(m: &Member) -> VerifyKey {
    VerifyKey::admit(&m.sign.public()).unwrap()
}

#[test]
fn a_batch_for_others_has_one_signature_and_the_same_again_an_equal_receipt() {
    let mut world = World::new();
    let letters: Vec<_> = (1..=3).map(|n| world.sealed(n)).collect();
    let twice: Vec<_> = letters.iter().chain(&letters[..1]).cloned().collect();
    let (step, replies) = world.leave(&twice, NOW + 700);
    assert_eq!(step.rows.len(), 6, "three rows and three envelopes");
    assert!(step.events.is_empty(), "an entry would name an envelope beside a time");
    assert!(replies[0].as_ref().unwrap() == replies[3].as_ref().unwrap());
    let keeper = &world.region.members[2];
    for ((outside, _), reply) in letters.iter().zip(&replies) {
        let receipt = reply.as_ref().unwrap();
        let held = receipt::check_storage(receipt, world.region.net, keeper.node, outside.digest, &key(keeper));
        assert_eq!(held, Ok(()));
        assert!(receipt.head == replies[0].as_ref().unwrap().head);
    }
    let (again, later) = world.leave(&letters, NOW + 5000);
    assert!(again.rows.is_empty());
    assert!(later.iter().zip(&replies).all(|(a, b)| a.as_ref().unwrap() == b.as_ref().unwrap()));
}

// Attack 36: what a keeper writes down.
#[test]
fn attack_36_a_keepers_rows_hold_hours_and_classes_and_nobody_who_wrote() {
    let mut world = World::new();
    let letters: Vec<_> = (1..=20).map(|n| world.sealed(n)).collect();
    for (i, letter) in letters.iter().enumerate() {
        world.leave(std::slice::from_ref(letter), NOW + 61 * i as u64);
    }
    let (net, sender) = (world.region.net, &world.region.members[0]);
    let secrets = [sender.org.to_vec(), sender.node.to_vec(), sender.mailbox.to_vec(), b"Member 0".to_vec()];
    for row in world.rows.iter().filter(|row| row.table == Table::Relay) {
        let value = row.value.as_ref().unwrap();
        for secret in &secrets {
            assert!(
                !value.windows(secret.len()).any(|w| w == secret)
                    && !row.key.windows(secret.len()).any(|w| w == secret)
            );
        }
        let kept = <clearhouse_protocol::relay::Kept as prost::Message>::decode(value.as_slice()).unwrap();
        assert_eq!((kept.hour, kept.until_hour, kept.size_class), (NOW / HOUR, (NOW + 2 * DAY) / HOUR, 4096));
        let receipt = <clearhouse_wire::v1::StorageReceipt as prost::Message>::decode(kept.receipt.as_slice()).unwrap();
        let head = receipt.head.unwrap();
        let head = <clearhouse_wire::v1::StorageHead as prost::Message>::decode(head.payload.as_slice()).unwrap();
        assert_eq!((head.time, head.net), (NOW, net.to_vec()), "NOW is a whole hour, and these came minutes apart");
    }
    assert_eq!(world.keeper.event_count(), 0);
}

#[test]
fn what_nobody_fetched_ends_in_a_signed_word_an_event_without_a_party_and_no_bytes() {
    let mut world = World::new();
    let letter = world.sealed(1);
    let digest = letter.0.digest;
    world.leave(&[letter], NOW);
    assert!(world.tick(NOW + 2 * DAY - 1).rows.is_empty());
    let step = world.tick(NOW + 2 * DAY);
    assert!(step.rows.iter().any(|row| row.table == Table::Envelope && row.value.is_none()));
    let event = unpad(&step.events[0].opening).unwrap();
    assert!(event.event() == AuditEvent::ExpiredAtRelay && event.peer_org.is_empty() && event.peer_node.is_empty());
    assert_eq!(event.envelope_digest, digest.to_vec());
    let kept = world.keeper.depot().outcome(digest).unwrap();
    assert_eq!(kept.state(), KeptState::Expired);
    let word = <clearhouse_wire::v1::Signed as prost::Message>::decode(kept.expired.as_slice()).unwrap();
    let keeper = &world.region.members[2];
    assert_eq!(receipt::check_expired(&word, world.region.net, keeper.node, digest, &key(keeper)), Ok(()));
    assert!(world.tick(NOW + 2 * DAY + 1).rows.is_empty());
    world.tick(NOW + 2 * DAY + RELAY_TOLD_SECS + HOUR);
    assert!(world.keeper.depot().outcome(digest).is_none());
}

#[test]
fn a_keeper_that_starts_again_from_its_rows_keeps_the_same() {
    let mut world = World::new();
    let letters: Vec<_> = (1..=5).map(|n| world.sealed(n)).collect();
    world.leave(&letters, NOW);
    let step = world.keeper.fetched(world.mailbox(), &[letters[0].0.digest, letters[3].0.digest], NOW);
    world.take(&step);
    let mut again = office(&world.region, &world.region.members[2]);
    again.apply(&world.rows);
    let waiting = |office: &Office| office.depot().waiting(world.mailbox()).collect::<Vec<_>>();
    assert_eq!(waiting(&again), waiting(&world.keeper));
    assert_eq!(waiting(&again), [1, 2, 4].map(|i: usize| letters[i].0.digest));
    assert_eq!(again.depot().held(), world.keeper.depot().held());
}

#[test]
fn a_letter_through_two_mailboxes_has_one_effect_at_its_reader() {
    let mut world = World::new();
    let (outside, bytes) = world.sealed(1);
    let mut reader = office(&world.region, &world.region.members[1]);
    let mut times = 0;
    for _ in 0..2 {
        let deposit = super::super::mailing::Deposit { outside: outside.clone(), bytes: bytes.clone() };
        let mut now = Now { time: NOW, rng: &mut world.rng, key: &world.region.members[1].sign };
        let (step, replies) = reader.deposit(vec![deposit], &mut now);
        assert!(replies[0].is_ok());
        times += usize::from(!step.rows.is_empty());
        reader.take(&step);
    }
    assert_eq!((times, reader.mail().unopened().len()), (1, 1));
}

#[test]
fn what_is_full_says_so_and_the_rest_of_the_batch_is_taken() {
    let mut world = World::new();
    let letters: Vec<_> = (1..=3).map(|n| world.sealed(n)).collect();
    let mailbox = world.mailbox();
    let leave = |(outside, bytes): &(Outside, Vec<u8>), bytes_max| Leave {
        mailbox,
        outside: outside.clone(),
        bytes: bytes.clone(),
        bytes_max,
    };
    let batch = vec![leave(&letters[0], ROOM), leave(&letters[1], 4096), leave(&letters[2], ROOM)];
    let mut now = Now { time: NOW, rng: &mut world.rng, key: &world.region.members[2].sign };
    let (step, replies) = world.keeper.leave(batch, &mut now);
    assert!(replies[0].is_ok() && replies[2].is_ok());
    assert_eq!(replies[1].as_ref().err(), Some(&DepositFault::Full));
    world.take(&step);
    let order: Vec<Digest> = world.keeper.depot().waiting(mailbox).collect();
    assert_eq!(order, [letters[0].0.digest, letters[2].0.digest]);
}
