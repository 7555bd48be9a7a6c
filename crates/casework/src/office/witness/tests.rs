//! What a witness remembers, what it proves, and what follows from a proof.
use std::sync::OnceLock;

use clearhouse_protocol::audit::{origin, unpad};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::ConversationId;
use clearhouse_protocol::log::tree::{self, Hashes};
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle;

use super::*;
use crate::office::Me;
use crate::office::desk::Stop;
use crate::office::sending::Parcel;

/// The log that is witnessed here: member 1's.
const LOG: usize = 1;

fn region() -> &'static Region {
    static REGION: OnceLock<Region> = OnceLock::new();
    REGION.get_or_init(|| Region::with_coordinators(1, 4, 1))
}

fn office(n: usize) -> Office {
    let member = &region().members[n];
    let me = Me {
        net: region().net,
        org: member.org,
        node: member.node,
        mailboxes: vec![member.mailbox],
        generation: 1,
        zone: crate::deadlines::Zone::utc(),
    };
    Office::new(me, region().directory.clone())
}

/// Runs a decision at `NOW`.
fn at_now<T>(decide: impl FnOnce(&mut Now<'_, rand_chacha::ChaCha20Rng>) -> T) -> T {
    let mut rng = region().rng.clone();
    decide(&mut Now { time: NOW, rng: &mut rng, key: &region().members[0].sign })
}

fn cosign(office: &Office, from: NodeId, request: &Request) -> (Step, Result<Cosigning, WitnessFault>) {
    at_now(|now| office.cosign(from, request, now))
}

struct Leaves(Vec<Hash>);

impl Hashes for Leaves {
    type Error = std::convert::Infallible;

    fn at(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let from = (index as usize) << level;
        Ok(merkle::root(&self.0[from..from + (1 << level)]))
    }
}

/// Member 1's log, which from entry `fork` on has this face.
fn tree(size: u64, fork: u64, face: u8) -> Leaves {
    Leaves((0..size).map(|n| leaf_hash(&[if n < fork { 0 } else { face }; 32])).collect())
}

/// A head of it, and the way there from `old`.
fn request(tree: &Leaves, old: u64, size: u64) -> Request {
    let member = &region().members[LOG];
    let origin = origin(region().net, member.org, member.node, 1);
    let root = tree::root(tree, size).unwrap();
    let note = Checkpoint { origin, size, root }.sign(&member.log()).unwrap();
    Request { old, path: tree::consistency(tree, old, size).unwrap(), note }
}

fn from() -> NodeId {
    region().members[LOG].node
}

/// A witness that cosigned these sizes, with the rows it kept.
fn witness_of(tree: &Leaves, sizes: &[u64]) -> (Office, Vec<Row>) {
    let (mut witness, mut rows, mut old) = (office(0), Vec::new(), 0);
    for size in sizes {
        let (step, decided) = cosign(&witness, from(), &request(tree, old, *size));
        assert_eq!(decided.ok().unwrap().held().size, *size);
        witness.take(&step);
        rows.extend(step.rows);
        old = *size;
    }
    (witness, rows)
}

fn started_from(rows: &[Row]) -> Office {
    let mut again = office(0);
    again.apply(rows);
    again
}

#[test]
fn what_was_cosigned_is_remembered_over_a_restart_and_never_gets_smaller() {
    let (one, other) = (tree(9, 9, 0), tree(9, 0, 1));
    let (witness, rows) = witness_of(&one, &[1, 1, 2, 7]);
    assert_eq!(rows.len(), 3, "a repeat keeps nothing new");
    for office in [&witness, &started_from(&rows)] {
        let smaller = cosign(office, from(), &request(&one, 1, 1));
        assert_eq!((smaller.0.rows.len(), smaller.1.err()), (0, Some(WitnessFault::Conflict(7))));
        let face = cosign(office, from(), &request(&other, 7, 7));
        assert_eq!(face.1.err(), Some(WitnessFault::Equivocation));
    }
}

#[test]
fn a_node_speaks_for_its_own_log_alone() {
    let (witness, log) = (office(0), tree(1, 1, 0));
    assert!(cosign(&witness, from(), &request(&log, 0, 1)).1.is_ok());
    for from in [region().members[2].node, NodeId([9; 16])] {
        let (step, decided) = cosign(&witness, from, &request(&log, 0, 1));
        assert!(step.rows.is_empty() && decided.err() == Some(NoteFault::NotSigned.into()));
    }
}

#[test]
fn attack_22_split_view_is_proved_by_the_first_witness_that_meets_both_faces() {
    let (one, other) = (tree(9, 3, 1), tree(9, 3, 2));
    for size in [7, 9] {
        let (witness, rows) = witness_of(&one, &[2, 7]);
        for mut witness in [witness, started_from(&rows)] {
            let (step, decided) = cosign(&witness, from(), &request(&other, 7, size));
            assert!(decided.err().unwrap().is_proof());
            assert_eq!((step.rows.len(), step.events.len()), (1, 1));
            let opening = unpad(&step.events[0].opening).unwrap();
            assert!(opening.event() == AuditEvent::EquivocationFound);
            assert_eq!(opening.peer_node, from().to_vec());
            witness.take(&step);
            // The proof convinces a stranger who has nothing but the log's key.
            let (node, proof) = witness.equivocations().next().unwrap();
            let log = region().directory.log_key(from()).unwrap();
            let (a, b) = Equivocation::parse(proof.as_bytes()).unwrap().check(&log).unwrap();
            assert_eq!((node, a.size, b.size), (from(), 7, size));
            // Once: the second time changes nothing.
            let (again, decided) = cosign(&witness, from(), &request(&other, 7, size));
            assert!(decided.err().unwrap().is_proof() && again.rows.is_empty() && again.events.is_empty());
            // It stands after a restart.
            let mut all = rows.clone();
            all.extend(step.rows.clone());
            let started = started_from(&all);
            assert!(started.directory().is_suspended(from()) && started.equivocations().count() == 1);
            assert!(!office(0).directory().is_suspended(from()));
        }
    }
}

#[test]
fn a_row_of_before_notes_were_kept_holds_and_is_completed_at_the_next_request() {
    let (one, other) = (tree(9, 3, 1), tree(9, 3, 2));
    let (_, mut rows) = witness_of(&one, &[7]);
    rows[0].value.as_mut().unwrap().truncate(40);
    let mut witness = started_from(&rows);
    assert_eq!(cosign(&witness, from(), &request(&one, 2, 2)).1.err(), Some(WitnessFault::Conflict(7)));
    let (step, decided) = cosign(&witness, from(), &request(&other, 7, 7));
    assert_eq!(decided.err(), Some(WitnessFault::Equivocation));
    assert!(step.rows.is_empty(), "half a proof is none");
    let (step, decided) = cosign(&witness, from(), &request(&one, 7, 7));
    assert!(decided.is_ok() && step.rows.len() == 1);
    witness.take(&step);
    assert_eq!(cosign(&witness, from(), &request(&other, 7, 7)).0.rows.len(), 1);
}

#[test]
fn what_cannot_be_read_is_not_forgotten() {
    let one = tree(9, 9, 0);
    let (_, rows) = witness_of(&one, &[7]);
    for value in [vec![], vec![0; 39], [rows[0].value.clone().unwrap(), b"later".to_vec()].concat()] {
        let strange = Row { value: Some(value), ..rows[0].clone() };
        let (step, decided) = cosign(&started_from(&[strange]), from(), &request(&one, 0, 9));
        assert_eq!((step.rows.len(), decided.err()), (0, Some(WitnessFault::Unreadable)));
    }
}

#[test]
fn a_proof_from_somebody_else_is_checked_taken_once_and_has_the_same_effect() {
    let (one, other) = (tree(9, 3, 1), tree(9, 3, 2));
    let (mut witness, _) = witness_of(&one, &[7]);
    let (step, _) = cosign(&witness, from(), &request(&other, 7, 9));
    witness.take(&step);
    let proof = witness.equivocations().next().unwrap().1.to_owned();
    let mut third = office(2);
    for wrong in [String::new(), proof.replace("v1", "v2"), proof.replacen("\n7\n", "\n8\n", 1)] {
        let (step, taken) = at_now(|now| third.take_equivocation(wrong.as_bytes(), now));
        assert!(taken.is_err() && step.rows.is_empty() && step.events.is_empty());
    }
    let (step, taken) = at_now(|now| third.take_equivocation(proof.as_bytes(), now));
    assert_eq!((taken, step.rows.len(), step.events.len()), (Ok(from()), 1, 1));
    assert_eq!(step.effects, [Effect::DirectoryChanged]);
    third.take(&step);
    assert!(third.directory().is_suspended(from()));
    let (step, taken) = at_now(|now| third.take_equivocation(proof.as_bytes(), now));
    assert!(taken == Ok(from()) && step.rows.is_empty() && step.events.is_empty());
    // The record that a directory renewal brings does not lift it.
    third.apply(&[]);
    assert!(third.directory().is_suspended(from()));
}

fn parcel(kind: MessageType, body: &[u8]) -> Parcel<'_> {
    let to = &region().members[LOG];
    Parcel {
        msg_type: kind as u32,
        body_version: 1,
        to: (to.org, to.node),
        conversation: ConversationId([7; 32]),
        body,
        attachments: &[],
        actor: None,
        case: None,
        not_after: u64::MAX,
        remade: 0,
    }
}

#[test]
fn a_suspended_node_gets_no_new_person_and_still_gets_her_word_and_what_serves_her_on_the_way() {
    let mut sender = office(2);
    let queue = |office: &Office, kind| {
        at_now(|now| {
            let mut step = Step::default();
            office.seal_and_queue(&parcel(kind, b"body"), &mut step, now).map(|queued| (step, queued.msg_id))
        })
    };
    // Queued before: it waits in the outbox, and is not carried.
    let (step, waiting) = queue(&sender, MessageType::VictimProfile).ok().unwrap();
    sender.take(&step);
    assert!(at_now(|now| sender.depart(waiting, now)).1);
    Arc::make_mut(&mut sender.directory).suspend(from());
    let (step, leaves) = at_now(|now| sender.depart(waiting, now));
    assert!(!leaves && step.rows.len() == 1);
    sender.take(&step);
    let out = sender.mail().outgoing(waiting).unwrap();
    assert!(out.fault == FAULT_SUSPENDED && out.next_try > NOW);
    for kind in [MessageType::ReturnNotice, MessageType::VictimProfile] {
        assert_eq!(queue(&sender, kind).err(), Some(Stop::Route(RouteFault::Suspended)));
    }
    for kind in [MessageType::Withdrawal, MessageType::Departure, MessageType::Answer, MessageType::Receipt] {
        let (step, id) = queue(&sender, kind).ok().unwrap();
        sender.take(&step);
        assert!(at_now(|now| sender.depart(id, now)).1);
    }
}

#[test]
fn attack_23_witness_race_between_two_requests_and_a_kill_before_the_reply() {
    let log = tree(20, 20, 0);
    for order in [[9, 15], [15, 9]] {
        let (mut witness, mut rows) = witness_of(&log, &[7]);
        // Both were made while 7 was the newest head; the owner decides one after the other, on what is staged.
        let mut answers = Vec::new();
        for size in order {
            let (step, decided) = cosign(&witness, from(), &request(&log, 7, size));
            witness.take(&step);
            rows.extend(step.rows);
            answers.push(decided.map(|cosigning| cosigning.held().size));
        }
        assert_eq!(answers, [Ok(order[0]), Err(WitnessFault::Conflict(order[0]))]);
        // Killed after the store and before the reply: nobody heard of the signature, and it binds all the same.
        let again = started_from(&rows);
        let smaller = cosign(&again, from(), &request(&log, 7, 8)).1.err();
        assert_eq!(smaller, Some(WitnessFault::Conflict(order[0])));
        assert!(cosign(&again, from(), &request(&log, order[0], order[0])).1.is_ok(), "asked again, it is signed");
    }
}

#[test]
fn attack_31_rollback_to_an_old_disk_image_is_told_by_the_first_witness_and_proved_once_it_grows() {
    let (lost, grown) = (tree(15, 9, 1), tree(20, 9, 2));
    let (mut witness, _) = witness_of(&lost, &[7, 15]);
    // The image ends at 9. Whatever the node says it believes, it learns how far its log had come.
    for size in [7, 9, 12, 20] {
        let told = cosign(&witness, from(), &request(&grown, 0, size)).1.err();
        assert_eq!(told, Some(WitnessFault::Conflict(15)), "{size}");
    }
    assert!(witness.equivocations().next().is_none());
    // It does not stop and shows its new history from there: that is proof.
    let (step, decided) = cosign(&witness, from(), &request(&grown, 15, 20));
    assert_eq!(decided.err(), Some(WitnessFault::Forked));
    witness.take(&step);
    assert!(witness.directory().is_suspended(from()));
    assert!(witness.head_held(&region().directory.log_key(from()).unwrap()).unwrap().checkpoint().size == 15);
}
