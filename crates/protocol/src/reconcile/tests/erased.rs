//! What erasing hides and what it does not; what it excuses and what it does not.

use clearhouse_wire::v1::MessageType::{Answer, ReturnNotice, VictimProfile};

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

/// A notice from 0 to 1, opened and answered; its events at either side.
fn answered(seed: u64) -> (World, [Vec<Event>; 2]) {
    let mut world = World::new(3, seed);
    let (notice, answer) = (world.digest(), world.digest());
    let due = day(START + 4 * DAY);
    let sent = world.sends(0, 1, ReturnNotice, START, notice, due, None, AuditEvent::Sent);
    let [deposited, stored] = world.deposit(0, 1, ReturnNotice, START + HOUR, notice);
    let received = world.receive(0, 1, ReturnNotice, START + HOUR, notice);
    let opened = world.open(0, 1, ReturnNotice, START + DAY, notice);
    let accepted = world.sends(1, 0, Answer, START + DAY, answer, 0, Some(notice), AuditEvent::Accepted);
    let heard = world.receive(1, 0, Answer, START + DAY + HOUR, answer);
    let read = world.open(1, 0, Answer, START + 2 * DAY, answer);
    let receipt_for = |event: Event| (event.0, event.1 + 1);
    let ours = vec![sent, stored, heard, receipt_for(heard), read, receipt_for(read)];
    (world, [ours, vec![deposited, received, receipt_for(received), opened, receipt_for(opened), accepted]])
}

#[test]
fn openings_of_an_erased_case_are_let_go_and_of_nothing_else() {
    for first in [0, 1] {
        let (mut world, events) = answered(30);
        let other = world.whole(0, 1, VictimProfile, START);
        assert_eq!((world.kinds(LATE), world.let_go(LATE)), (vec![], 0), "nobody erased anything");
        world.erase(first, START + 5 * DAY, &events[first]);
        assert_eq!(world.let_go(LATE), events[first].len());
        assert_eq!(
            (world.kinds(LATE), world.closed.len()),
            (vec![], 2),
            "the other side still speaks of both messages"
        );
        assert_eq!(world.let_go(LATE), 0, "once");
        // Its silence about the rest counts as much as before: what was let go of is no gap.
        let lost = world.send(1 - first, first, VictimProfile, START + HOUR);
        world.deposit(1 - first, first, VictimProfile, START + HOUR, lost);
        assert_eq!(world.only(LATE).kind, Kind::RecipientOffline);
        world.erase(1 - first, START + 6 * DAY, &events[1 - first]);
        assert_eq!(world.let_go(LATE), events[1 - first].len());
        assert_eq!(world.let_go(LATE), 0);
        assert_eq!(world.closed, [], "nobody speaks of them any more");
        let found = world.only(LATE);
        assert_eq!((found.kind, found.digest), (Kind::RecipientOffline, Some(lost)));
        assert_ne!(Some(other), found.digest);
    }
}

#[test]
fn what_others_are_still_judged_by_is_not_let_go() {
    // The answer is in nobody's hands yet: it is lost, so nothing that names it goes, and neither does what it answers.
    let mut world = World::new(2, 31);
    let (notice, answer) = (world.digest(), world.digest());
    let due = day(START + 4 * DAY);
    world.sends(0, 1, ReturnNotice, START, notice, due, None, AuditEvent::Sent);
    let received = world.receive(0, 1, ReturnNotice, START + HOUR, notice);
    let opened = world.open(0, 1, ReturnNotice, START + DAY, notice);
    let accepted = world.sends(1, 0, Answer, START + DAY, answer, 0, Some(notice), AuditEvent::Accepted);
    world.erase(1, START + 2 * DAY, &[received, opened, accepted]);
    assert_eq!(world.kinds(START + 3 * DAY), []);
    assert_eq!(world.let_go(START + 3 * DAY), 2, "the answer is under way");
    assert_eq!(world.only(LATE).kind, Kind::LostOrNotDeposited);
    assert_eq!(world.let_go(LATE), 0, "a finding rests on it");
    // The notice itself is still not unanswered.
    world.arrives(1, 0, Answer, START + DAY, answer);
    assert_eq!(world.kinds(LATE), []);
    assert_eq!(world.let_go(LATE), 1);
    assert_eq!(world.kinds(LATE), []);
}

#[test]
fn a_question_about_an_open_notice_is_kept_with_what_followed_it() {
    let mut world = World::new(2, 32);
    let [notice, question, newer] = std::array::from_fn(|_| world.digest());
    let due = day(START + 2 * DAY);
    world.sends(0, 1, ReturnNotice, START, notice, due, None, AuditEvent::Sent);
    world.arrives(0, 1, ReturnNotice, START, notice);
    world.sends(1, 0, Answer, START + DAY, question, 0, Some(notice), AuditEvent::Sent);
    let asked = world.receive(1, 0, Answer, START + DAY, question);
    let read = world.open(1, 0, Answer, START + DAY, question);
    let again = world.sends(0, 1, ReturnNotice, START + 2 * DAY, newer, 0, Some(question), AuditEvent::Sent);
    world.arrives(0, 1, ReturnNotice, START + 2 * DAY, newer);
    assert_eq!(world.kinds(LATE), []);
    // Only what followed is erased, by an office that keeps the rest: without it the first notice would look unanswered.
    world.erase(0, START + 3 * DAY, &[asked, read, again]);
    assert_eq!(world.let_go(LATE), 0);
    assert_eq!(world.kinds(LATE), []);
}

#[test]
fn what_a_mailbox_took_and_nobody_names_is_let_go_after_the_grace() {
    let mut world = World::new(2, 35);
    let nobody_s = world.digest();
    let deposited = world.at(0, START, Happening::of(AuditEvent::Deposited).about(nobody_s, 0));
    world.erase(0, START + HOUR, &[deposited]);
    assert_eq!((world.let_go(START + 2 * HOUR), world.let_go(START + 2 * DAY)), (0, 1));
}

#[test]
fn what_waits_for_its_senders_account_is_not_settled() {
    let mut world = World::new(2, 33);
    let digest = world.digest();
    let received = world.receive(0, 1, VictimProfile, START, digest);
    let opened = world.open(0, 1, VictimProfile, START + HOUR, digest);
    world.erase(1, START + 2 * HOUR, &[received, opened]);
    assert_eq!(world.let_go(START + 3 * HOUR), 0, "its sender may still say so");
    assert_eq!(world.only(LATE).kind, Kind::UnloggedSender);
    assert_eq!(world.let_go(LATE), 0);
}

#[test]
fn a_settled_message_that_somebody_else_takes_in_is_found() {
    let (mut world, events) = answered(34);
    world.erase(1, START + 5 * DAY, &events[1]);
    world.let_go(LATE);
    let closed = world.closed.clone();
    let notice = closed.into_iter().find(|digest| world.sent(0, *digest)).unwrap();
    world.receive(0, 2, ReturnNotice, START + 6 * DAY, notice);
    world.open(0, 2, ReturnNotice, START + 6 * DAY, notice);
    assert_eq!(world.only(LATE).kind, Kind::Misdirected);
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
