//! One log by itself: heads, leaves, openings and times.

use clearhouse_wire::v1::MessageType::{ReturnNotice, VictimProfile};

use super::world::{Built, START, World, party};
use crate::audit::{self, AuditEvent, Happening};
use crate::limits::{DAY, HOUR, MINUTE};
use crate::log::Hash;
use crate::reconcile::account::{Account, Examined, Shown, examine};
use crate::reconcile::{Finding, Kind, Policy};

const NOW: u64 = START + 3 * DAY;

/// A node with some twenty events over two days, as it stands at [`NOW`].
fn built() -> Built {
    let mut world = World::new(2, 1);
    for n in 0..4 {
        world.whole(0, 1, VictimProfile, START + n * 8 * HOUR);
    }
    world.build(0, NOW)
}

fn examined(built: &Built, now: u64, change: impl FnOnce(&mut Account<'_>)) -> Examined {
    let commitments = built.commitments();
    let mut account = built.account(&commitments);
    change(&mut account);
    examine(&account, built.shown.iter().cloned(), &Policy::default(), now, |_| {})
}

fn found(built: &Built, now: u64) -> Vec<(Kind, Option<u64>)> {
    kinds(&examined(built, now, |_| {}).findings)
}

fn kinds(findings: &[Finding]) -> Vec<(Kind, Option<u64>)> {
    assert!(findings.iter().all(|f| f.parties == [party(0)] && f.digest.is_none() && !f.is_urgent()));
    findings.iter().map(|f| (f.kind, f.index)).collect()
}

#[test]
fn an_honest_log_is_audited_to_its_newest_head_and_heard_until_then() {
    let built = built();
    let done = examined(&built, NOW + HOUR, |_| {});
    assert_eq!(kinds(&done.findings), []);
    let newest = built.heads.last().unwrap();
    assert_eq!(done.audited, Some((newest.size, newest.root)));
    assert_eq!(done.standing.heard(), (0, NOW + 1));
    let again = examined(&built, NOW + HOUR, |a| a.audited = done.audited);
    assert_eq!(kinds(&again.findings), []);
}

#[test]
fn attack_22_two_faces_of_one_log_are_a_split_view() {
    let mut built = built();
    let fork = |size: u64, built: &Built| {
        let mut head = built.heads.last().unwrap().clone();
        (head.size, head.root) = (size, [7; 32]);
        head
    };
    // Of one size, each with a quorum.
    let newest = built.heads.last().unwrap().size;
    built.heads.insert(0, fork(newest, &built));
    assert_eq!(found(&built, NOW), [(Kind::SplitView, None)]);
    // Also while the leaves that would tell which of them is right are not mirrored.
    let none = examined(&built, NOW, |a| a.commitments = &[]);
    assert_eq!(kinds(&none.findings), [(Kind::SplitView, None)]);
    // Of another size, shown to somebody else, with no cosignature at all.
    built.heads.remove(0);
    let mut smaller = fork(newest - 1, &built);
    smaller.seen.clear();
    built.heads.push(smaller);
    assert_eq!(found(&built, NOW), [(Kind::SplitView, None)]);
    // And the head that was audited last is not where the log comes from any more.
    built.heads.pop();
    let done = examined(&built, NOW, |a| a.audited = Some((3, [7; 32])));
    assert_eq!(kinds(&done.findings), [(Kind::SplitView, None)]);
}

#[test]
fn a_head_without_a_quorum_or_without_a_late_one_is_not_witnessed() {
    let built = built();
    assert_eq!(found(&built, NOW + 48 * HOUR), []);
    assert_eq!(found(&built, NOW + 48 * HOUR + MINUTE), [(Kind::NotWitnessed, None)]);
    let few = examined(&built, NOW, |a| a.quorum = 4);
    assert_eq!(kinds(&few.findings), [(Kind::NotWitnessed, None)]);
    assert_eq!((few.audited, few.standing.heard()), (None, (0, 0)));
    let none = examined(&built, NOW, |a| a.heads = &[]);
    assert_eq!(kinds(&none.findings), [(Kind::NotWitnessed, None)]);
    // A time that one witness invents makes no head fresh.
    let mut lied = self::built();
    lied.heads.last_mut().unwrap().seen[2] = NOW + 30 * DAY;
    assert_eq!(found(&lied, NOW + 49 * HOUR), [(Kind::NotWitnessed, None)]);
}

#[test]
fn leaves_that_do_not_make_up_the_head_are_a_mismatch_and_nothing_in_them_is_believed() {
    let built = built();
    let mut commitments = built.commitments();
    commitments.last_mut().unwrap()[0] ^= 1;
    let mut believed = 0;
    let account = built.account(&commitments);
    let done = examine(&account, built.shown.iter().cloned(), &Policy::default(), NOW, |_| believed += 1);
    assert_eq!(kinds(&done.findings), [(Kind::LogMismatch, None)]);
    let before = built.heads[built.heads.len() - 2].size;
    assert_eq!((done.audited.unwrap().0, believed), (before, before));
    // Leaves that are not mirrored yet have until the grace is over.
    let short = |now| {
        let commitments = &built.commitments()[..built.rows.len() - 1];
        examine(&built.account(commitments), built.shown.iter().cloned(), &Policy::default(), now, |_| {}).findings
    };
    let seen = built.heads.last().unwrap().seen[0];
    assert_eq!(kinds(&short(seen + 23 * HOUR)), []);
    assert_eq!(kinds(&short(seen + 24 * HOUR)), [(Kind::LogMismatch, None)]);
}

#[test]
fn attack_26_back_dated_leaf_is_found() {
    for (claimed, honest) in [
        (START + 20 * HOUR - 18 * HOUR, false),
        (START + 17 * HOUR + 30 * MINUTE, false),
        (START + 17 * HOUR + 50 * MINUTE, true),
        (START + 20 * HOUR, true),
        (START + 24 * HOUR + 5 * MINUTE, true),
        (START + 24 * HOUR + 20 * MINUTE, false),
    ] {
        // Heads are signed every six hours: the leaf came between those of the 18th and of the 24th.
        let mut world = World::new(2, 2);
        world.whole(0, 1, VictimProfile, START);
        let event = world.at(0, START + 20 * HOUR, Happening::of(AuditEvent::LocalAct));
        world.claim(event, claimed);
        let expected: &[_] = if honest { &[] } else { &[(Kind::Backdated, Some(4))] };
        assert_eq!(found(&world.build(0, NOW), NOW), expected, "{claimed}");
    }
}

#[test]
fn attack_26_one_lying_witness_makes_nobody_a_liar() {
    let mut built = built();
    for head in &mut built.heads {
        head.seen[2] += 30 * DAY;
    }
    assert_eq!(kinds(&examined(&built, NOW, |a| a.faulty = 1).findings), []);
    for head in &mut built.heads {
        head.seen[2] = 0;
    }
    assert_eq!(kinds(&examined(&built, NOW, |a| a.faulty = 1).findings), []);
}

#[test]
fn attack_26_one_lying_witness_hides_no_back_dated_leaf() {
    let mut world = World::new(2, 2);
    let event = world.at(0, START + 20 * HOUR, Happening::of(AuditEvent::LocalAct));
    world.at(0, START + 2 * HOUR, Happening::of(AuditEvent::LocalAct));
    world.claim(event, START + 2 * HOUR);
    let mut built = world.build(0, NOW);
    for head in &mut built.heads {
        head.seen[0] = START;
    }
    assert_eq!(kinds(&examined(&built, NOW, |a| a.faulty = 1).findings), [(Kind::Backdated, Some(1))]);
}

#[test]
fn an_opening_shown_twice_counts_once() {
    let built = built();
    let commitments = built.commitments();
    let twice = built.shown.iter().chain(&built.shown).cloned();
    let mut taken = 0;
    let done = examine(&built.account(&commitments), twice, &Policy::default(), NOW, |_| taken += 1);
    assert_eq!((done.findings, taken), (vec![], built.rows.len()));
}

#[test]
fn attack_30_an_opening_withheld_is_unexplained_after_the_grace() {
    let mut built = built();
    let gone = built.shown.remove(4);
    let covered = built.heads.iter().find(|h| h.size > gone.index).unwrap().seen[0];
    let done = examined(&built, covered + 23 * HOUR, |_| {});
    assert_eq!(kinds(&done.findings), []);
    let before = built.heads.iter().rfind(|h| h.size <= gone.index).unwrap().seen[0];
    assert_eq!(done.standing.heard(), (0, before), "its silence counts up to there only");
    let done = examined(&built, covered + 24 * HOUR, |_| {});
    assert_eq!(kinds(&done.findings), [(Kind::Unexplained, Some(4))]);
    assert_eq!(done.standing.heard().1, NOW + 1);
}

#[test]
fn attack_30_an_opening_of_another_leaf_is_unexplained_at_once() {
    let mut world = World::new(2, 3);
    world.whole(0, 1, VictimProfile, START);
    let one = world.at(0, NOW - 2 * HOUR, Happening::of(AuditEvent::SignIn));
    let other = world.at(0, NOW - HOUR, Happening::of(AuditEvent::Locked));
    world.swap(other, one);
    let built = world.build(0, NOW);
    let last = built.rows.len() as u64 - 1;
    assert_eq!(found(&built, NOW), [(Kind::Unexplained, Some(last))]);
    // The right one after a wrong one is good.
    let mut mended = built.shown.clone();
    mended.push(Shown {
        index: last,
        salt: built.rows.last().unwrap().salt,
        opening: built.rows.last().unwrap().opening.clone().into(),
    });
    let commitments = built.commitments();
    let done = examine(&built.account(&commitments), mended, &Policy::default(), NOW, |_| {});
    assert_eq!(kinds(&done.findings), []);
}

#[test]
fn attack_30_a_leaf_whose_opening_is_of_another_place_log_or_network_is_unexplained() {
    let good = built();
    let opening = audit::unpad(&good.shown[4].opening).unwrap();
    let happening = Happening::of(AuditEvent::SignIn);
    let mut rng = World::new(1, 4).rng;
    let other_net = crate::ids::Net([8; 32]);
    let origin = good.origin.as_str();
    for (net, origin, index) in [
        (super::world::net(), origin, 5),
        (super::world::net(), "clearhouse.09090909/0101/0202/g1", 4),
        (other_net, origin, 4),
        (super::world::net(), origin, 4),
    ] {
        let row = audit::record(&happening, net, origin, index, opening.time, &mut rng);
        let is_its_own = net == super::world::net() && origin == good.origin && index == 4;
        // The node itself committed to it, so the HMAC fits and the heads cover it.
        let mut world = World::new(2, 1);
        let mut built = world.build(0, START);
        built.rows = good.rows.clone();
        built.rows[4].commitment = row.commitment;
        built.shown = good.shown.clone();
        built.shown[4] = Shown { index: 4, salt: row.salt, opening: row.opening.into() };
        built.heads = good.heads.clone();
        let commitments = built.commitments();
        for head in &mut built.heads {
            let leaves: Vec<Hash> = commitments.iter().map(crate::log::leaf_hash).collect();
            head.root = crate::merkle::root(&leaves[..usize::try_from(head.size).unwrap()]);
        }
        let expected: &[_] = if is_its_own { &[] } else { &[(Kind::Unexplained, Some(4))] };
        assert_eq!(found(&built, NOW), expected, "{origin} {index}");
    }
}

#[test]
fn what_a_later_erasure_or_restore_names_needs_no_opening_and_nothing_else_does() {
    for restore in [false, true] {
        let mut world = World::new(2, 5);
        world.whole(0, 1, ReturnNotice, START);
        let gone = world.at(0, START + HOUR, Happening::of(AuditEvent::LocalAct));
        let kept = world.at(0, START + 2 * HOUR, Happening::of(AuditEvent::LocalAct));
        let declared =
            if restore { world.restore(0, START + DAY, &[gone]) } else { world.erase(0, START + DAY, &[gone]) };
        world.withhold(gone);
        assert_eq!(found(&world.build(0, NOW), NOW), []);
        // A leaf beside it, and the declaration itself, are not covered by it.
        world.withhold(kept);
        let beside = found(&world.build(0, NOW), NOW);
        assert_eq!(beside.len(), 1);
        world.withhold(declared);
        assert_eq!(found(&world.build(0, NOW), NOW).len(), 3);
    }
}

#[test]
fn openings_below_the_first_one_asked_for_are_not_missed_and_silence_there_counts_for_nothing() {
    let mut built = built();
    built.shown.drain(..5);
    let done = examined(&built, NOW, |a| a.first = 5);
    assert_eq!(kinds(&done.findings), []);
    let covered = built.heads.iter().find(|h| h.size > 5).unwrap().seen[2];
    assert!(done.standing.heard().0 >= covered, "{} {covered}", done.standing.heard().0);
    assert_eq!(found(&built, NOW).len(), 5);
}

#[test]
fn attack_41_without_its_salt_a_leaf_is_not_found_by_trying_all_days_and_parties() {
    let built = built();
    let known = audit::unpad(&built.shown[0].opening).unwrap();
    assert!(audit::reveal(&built.rows[0].commitment, &built.rows[0].salt, &built.shown[0].opening).is_some());
    // The very opening, under the salts a coordinator has of other leaves, and under a blank one.
    for salt in built.rows[1..].iter().map(|row| row.salt).chain([[0; 32]]) {
        assert!(audit::reveal(&built.rows[0].commitment, &salt, &built.rows[0].opening).is_none());
    }
    assert!(known.event() == AuditEvent::Sent);
}
