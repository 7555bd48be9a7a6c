//! What erasing hides and what it does not; what it excuses and what it does not.

use clearhouse_wire::v1::MessageType::{ReturnNotice, VictimProfile};

use super::small::{LATE, day, ends};
use super::world::{Event, START, World, party};
use crate::audit::{AuditEvent, Happening};
use crate::limits::{DAY, HOUR};
use crate::reconcile::Kind;

#[test]
fn attack_44_erase_to_hide_is_found_when_the_coordinator_had_seen_the_receipt() {
    let mut world = World::new(2, 15);
    let digest = world.send(0, 1, VictimProfile, START);
    world.deposit(0, 1, VictimProfile, START + HOUR, digest);
    let received = world.receive(0, 1, VictimProfile, START + HOUR, digest);
    world.erase(1, START + 2 * HOUR, &[received]);
    let found = world.only(START + 3 * HOUR);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::ErasedUnopened, &ends(0, 1), Some(digest)));
    // A notice with its answer still due: that nobody opened it says more than that nobody answered.
    let mut world = World::new(2, 15);
    let notice = world.digest();
    world.sends(0, 1, ReturnNotice, START, notice, day(START + 20 * DAY), None, AuditEvent::Sent);
    let received = world.receive(0, 1, ReturnNotice, START + HOUR, notice);
    world.erase(1, START + 2 * HOUR, &[received]);
    assert_eq!(world.kinds(LATE), [Kind::ErasedUnopened]);
}

#[test]
fn attack_44_erase_to_hide_within_the_same_tick_is_found() {
    let mut world = World::new(2, 16);
    let digest = world.send(0, 1, VictimProfile, START);
    world.deposit(0, 1, VictimProfile, START + HOUR, digest);
    let (org, node) = party(0);
    let received = Happening::of(AuditEvent::AuditReceived).with(org, node).about(digest, VictimProfile as u32);
    let received = world.at(1, START + HOUR + 1, received);
    world.erase(1, START + HOUR + 2, &[received]);
    world.withhold(received);
    let found = world.only(LATE);
    assert_eq!((found.kind, &found.parties, found.digest), (Kind::ErasedUnopened, &ends(0, 1), Some(digest)));
}

#[test]
fn an_honest_erasure_makes_no_loss_of_the_other_sides_account() {
    for side in [0, 1] {
        let mut world = World::new(2, 17);
        let digest = world.digest();
        let sent = world.sends(0, 1, VictimProfile, START, digest, 0, None, AuditEvent::Sent);
        let [_, stored] = world.deposit(0, 1, VictimProfile, START + HOUR, digest);
        let received = world.receive(0, 1, VictimProfile, START + HOUR, digest);
        let opened = world.open(0, 1, VictimProfile, START + DAY, digest);
        let receipt_for = |event: Event| (event.0, event.1 + 1);
        let theirs = [received, receipt_for(received), opened, receipt_for(opened)];
        let own: &[_] = if side == 0 { &[sent, stored] } else { &theirs };
        world.erase(side, START + 4 * DAY, own);
        // While the coordinator holds the openings, there is nothing to find, and it may close the digest.
        let report = world.reconcile(LATE);
        assert_eq!((report.findings, report.closed), (vec![], vec![digest]));
        // Then it deletes them, and the closed digest keeps the other side's account from looking wrong.
        own.iter().for_each(|event| world.withhold(*event));
        let expected: &[Kind] = if side == 0 { &[] } else { &[Kind::ErasedUnopened] };
        assert_eq!(world.kinds(LATE), expected, "not closed, erased by {side}");
        world.closed.push(digest);
        assert_eq!(world.kinds(LATE), [], "erased by {side}");
    }
}

#[test]
fn where_what_would_tell_is_erased_no_loss_is_claimed() {
    for side in [0, 1] {
        let mut world = World::new(2, 24);
        world.send(0, 1, VictimProfile, START);
        let gone = world.at(side, START + HOUR, Happening::of(AuditEvent::LocalAct));
        world.erase(side, START + 2 * HOUR, &[gone]);
        assert_eq!(world.kinds(LATE), [Kind::LostOrNotDeposited], "shown before it was erased, so it tells nothing");
        world.withhold(gone);
        assert_eq!(world.kinds(LATE), []);
    }
}

#[test]
fn what_was_erased_before_a_message_left_excuses_nothing_about_it() {
    let mut world = World::new(2, 25);
    let gone = world.at(1, START, Happening::of(AuditEvent::LocalAct));
    world.erase(1, START + HOUR, &[gone]);
    world.withhold(gone);
    let sent = START + DAY;
    let digest = world.send(0, 1, VictimProfile, sent);
    assert_eq!(world.kinds(LATE), [Kind::LostOrNotDeposited]);
    world.deposit(0, 1, VictimProfile, sent + HOUR, digest);
    assert_eq!(world.kinds(LATE), [Kind::RecipientOffline]);
}

#[test]
fn what_a_sender_erased_excuses_it_from_having_logged_it() {
    let mut world = World::new(2, 18);
    let digest = world.digest();
    let sent = world.sends(0, 1, VictimProfile, START, digest, 0, None, AuditEvent::Sent);
    world.arrives(0, 1, VictimProfile, START, digest);
    world.erase(0, START + 3 * DAY, &[sent]);
    world.withhold(sent);
    assert_eq!(world.kinds(LATE), []);
}

#[test]
fn erased_with_the_answer_still_due_is_found() {
    for side in [0, 1] {
        let mut world = World::new(2, 19);
        let digest = world.digest();
        let due = day(START + 20 * DAY);
        let sent = world.sends(0, 1, ReturnNotice, START, digest, due, None, AuditEvent::Sent);
        world.deposit(0, 1, ReturnNotice, START + HOUR, digest);
        let received = world.receive(0, 1, ReturnNotice, START + HOUR, digest);
        world.open(0, 1, ReturnNotice, START + DAY, digest);
        world.erase(side, START + 2 * DAY, &[if side == 0 { sent } else { received }]);
        let found = world.only(LATE);
        assert_eq!((found.kind, &found.parties, found.digest), (Kind::ErasedOpenNotice, &ends(0, 1), Some(digest)));
    }
}

#[test]
fn a_message_lost_in_a_restore_is_not_forgotten() {
    let mut world = World::new(2, 20);
    let digest = world.send(0, 1, VictimProfile, START);
    let [deposited, _] = world.deposit(0, 1, VictimProfile, START + HOUR, digest);
    world.restore(1, START + DAY, &[deposited]);
    world.withhold(deposited);
    assert_eq!(world.only(LATE).kind, Kind::LostOrNotDeposited);
}
