//! Erasing decided, called off, planned and carried out between offices that exchange real envelopes and logs.

use clearhouse_protocol::audit;
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::{Digest, MsgId, StaffId};
use clearhouse_protocol::limits::{DAY, ERASED_RANGES_MAX, HOUR};
use clearhouse_protocol::mail::Attempt;
use clearhouse_protocol::reconcile::account::{Account, Head, Shown, examine};
use clearhouse_protocol::reconcile::{Join, Kind, Policy, Report};
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{Consent, Withdrawal};

use super::super::hearing::tests::{Node, envelopes, region};
use super::plan::{PART, planned};
use super::*;
use crate::body::samples as bodies;
use crate::roles::Role;

mod again;

/// When the answer is in and everything is over.
const LATER: u64 = NOW + 30 * DAY;

pub(in crate::office) fn actor(role: Role) -> Actor {
    let label = if role == Role::Manager { "Mira M." } else { "Ana P." };
    Actor { staff_id: StaffId([role as u8; 16]), label: label.into(), role }
}

pub(in crate::office) fn order() -> Order {
    Order { rule: ErasureRule::RetentionEnded, classes: Vec::new(), although_open: false }
}

/// Carries what a step queued to the other node and what that answers back, until both are silent; as couriers do, each
/// envelope is noted as stored first.
fn carry(region: &Region, from: &mut Node, to: &mut Node, queued: Vec<Vec<u8>>, at: u64) {
    if queued.is_empty() {
        return;
    }
    for bytes in &queued {
        let digest = Outside::parse(bytes).unwrap().digest;
        let sent = from.office.mail().all_outgoing().find(|(_, out)| out.digest == digest.0).map(|(id, _)| id);
        from.act(region, at, |office, now| {
            (office.attempted(sent.unwrap(), Attempt::Stored { locked: false }, now), ())
        });
    }
    let answers = to.take(region, queued, at);
    carry(region, to, from, answers, at);
}

/// One person's act at `from`, carried to `to`.
pub(in crate::office) fn act(
    region: &Region,
    (from, to): (&mut Node, &mut Node),
    at: u64,
    act: impl FnOnce(&Office, &mut Now<'_, rand_chacha::ChaCha20Rng>) -> Step,
) {
    let (step, ()) = from.act(region, at, |office, now| (act(office, now), ()));
    carry(region, from, to, envelopes(&step), at);
}

pub(in crate::office) fn only_case(node: &Node) -> CaseId {
    node.office.cases().unwrap().iter().next().unwrap().id()
}

/// A notice sent, declined, and read by a person at both ends, except for the answer.
fn declined(region: &Region, sender: &mut Node, receiver: &mut Node) {
    let ana = actor(Role::Caseworker);
    let peer = receiver.office.me().org;
    let (_, case) = sender.act(region, NOW, |office, now| office.open_case(&ana, peer, now).unwrap());
    let consent = Consent {
        recipient_org: peer.to_vec(),
        given_at: NOW - DAY,
        expires_at: NOW + 90 * DAY,
        ..bodies::consent(1, "ShareNotice", &[])
    };
    act(region, (sender, receiver), NOW, |office, now| office.record_consent(case, &ana, consent, now).unwrap());
    let what = bodies::notice_at(NOW).what.unwrap();
    act(region, (sender, receiver), NOW, |office, now| office.send(case, &ana, what, None, &[], now).unwrap().0);
    let theirs = only_case(receiver);
    let notice = receiver.office.cases().unwrap().case(theirs).unwrap().notice().unwrap().id();
    act(region, (receiver, sender), NOW, |office, now| office.open_message(theirs, &ana, notice, now).unwrap());
    let mira = actor(Role::Manager);
    for body in [bodies::acknowledgement(&[]), bodies::answer("Declined", &[])] {
        let mut what = body.what.unwrap();
        if let What::Acknowledgement(ack) = &mut what {
            ack.expected_answer_day = (NOW / DAY) as u32 + 2;
        }
        act(region, (receiver, sender), NOW + HOUR, |office, now| {
            office.send(theirs, &mira, what, Some(notice), &[], now).unwrap().0
        });
    }
}

pub(in crate::office) fn read_all(region: &Region, node: &mut Node, other: &mut Node) {
    let case = only_case(node);
    let unread = node.office.cases().unwrap().case(case).unwrap().letters().iter();
    let unread: Vec<MsgId> = unread.filter(|l| !l.is_out() && l.read().is_none()).map(|l| l.id()).collect();
    for id in unread {
        let ana = actor(Role::Caseworker);
        act(region, (node, other), NOW + 2 * HOUR, |office, now| office.open_message(case, &ana, id, now).unwrap());
    }
}

/// The coordinator's node hears everything of a log.
pub(in crate::office) fn hear(region: &Region, node: &mut Node, coordinator: &mut Node, at: u64) {
    let tell = node.office.to_tell(at)[0];
    let head = node.head(region, &[0, 1, 2]);
    let told = node.tell(region, tell, &head, at);
    carry(region, node, coordinator, told, at);
}

fn trail(node: &Node, case: CaseId) -> Trail {
    let mut trail = node.office.trail(case).unwrap();
    let openings = node.events.iter().rev().filter_map(|row| audit::unpad(&row.opening));
    for opening in openings {
        trail.see(&opening);
    }
    trail
}

pub(in crate::office) fn decide(region: &Region, node: &mut Node, at: u64) -> Result<(), Stop> {
    let case = only_case(node);
    let mira = actor(Role::Manager);
    let (_, done) = node.act(region, at, |office, now| match office.erase(case, &mira, &order(), now) {
        Ok(step) => (step, Ok(())),
        Err(stop) => (Step::default(), Err(stop)),
    });
    done
}

/// Plans and carries out; what the entries were that were closed.
pub(in crate::office) fn carry_out(region: &Region, node: &mut Node, at: u64) -> Result<Vec<u64>, Stop> {
    let case = only_case(node);
    let trail = trail(node, case);
    let (_, planned) = node.act(region, at, |office, now| match office.plan(case, &trail, Vec::new(), now) {
        Ok(step) => (step, Ok(())),
        Err(stop) => (Step::default(), Err(stop)),
    });
    planned?;
    assert!(node.office.cases().unwrap().case(case).is_none(), "nothing of it is known from here on");
    let mut closed = Vec::new();
    for n in 0.. {
        let part = node.office.part(case, n, 1).unwrap();
        closed.extend(part.closes);
        node.office.take(&part.step);
        if part.is_last {
            break;
        }
    }
    assert!(node.office.plans().is_empty() && node.office.turn_due() == Some(1));
    Ok(closed)
}

/// A case between two members, over and read at both ends, and everything of it heard by the coordinator.
pub(in crate::office) fn over() -> (Region, Node, Node, Node) {
    let (region, coordinator, mut sender, mut receiver) = region();
    declined(&region, &mut sender, &mut receiver);
    read_all(&region, &mut sender, &mut receiver);
    (region, coordinator, sender, receiver)
}

/// What a coordinator finds in these logs, of which the entries named are not shown any more.
fn reconcile(region: &Region, logs: &[(&Node, &[u64])], closed: &[Digest], now: u64) -> Report {
    let policy = Policy::default();
    let mut join = Join::new(policy, region.members.iter().map(|member| (member.org, member.node)));
    closed.iter().for_each(|digest| join.close(*digest));
    for (node, hidden) in logs {
        let me = node.office.me();
        let origin = audit::origin(me.net, me.org, me.node, 1);
        let commitments: Vec<_> = node.events.iter().map(|row| row.commitment).collect();
        let leaves: Vec<_> = commitments.iter().map(clearhouse_protocol::log::leaf_hash).collect();
        let head =
            Head { size: leaves.len() as u64, root: clearhouse_protocol::merkle::root(&leaves), seen: vec![now] };
        let account = Account {
            party: (me.org, me.node),
            net: me.net,
            origin: &origin,
            heads: &[head],
            audited: None,
            quorum: 1,
            faulty: 0,
            commitments: &commitments,
            first: 0,
            settled: &[],
        };
        let shown = node.events.iter().filter(|row| !hidden.contains(&row.index));
        let shown = shown.map(|row| Shown { index: row.index, salt: row.salt, opening: row.opening.clone().into() });
        let examined = examine(&account, shown.collect::<Vec<_>>(), &policy, now, |o| join.take((me.org, me.node), o));
        assert!(examined.findings.is_empty(), "{:?}", examined.findings);
        join.hear(examined.standing);
    }
    join.report(now)
}

#[test]
fn attack_44_an_honest_office_refuses_and_one_that_erases_at_once_is_found() {
    let (region, mut coordinator, mut sender, mut receiver) = region();
    declined(&region, &mut sender, &mut receiver);
    // The sender has not read the answer.
    assert_eq!(decide(&region, &mut sender, LATER), Err(Refusal::ErasureUnopened.into()));
    assert!(sender.office.to_erase(LATER).is_empty());
    // One whose program was changed records an erasure all the same.
    let case = only_case(&sender);
    let hidden: Vec<u64> = trail(&sender, case).entries().collect();
    let (step, ()) = sender.act(&region, LATER, |office, now| {
        let mut step = Step::default();
        let all: Vec<(u64, u64)> = hidden.iter().map(|index| (*index, *index)).collect();
        for ranges in all.chunks(ERASED_RANGES_MAX) {
            office.record_erased(ranges, "RetentionEnded", "Manager", &mut step, now);
        }
        (step, ())
    });
    assert!(!step.events.is_empty());
    hear(&region, &mut sender, &mut coordinator, LATER);
    let report = reconcile(&region, &[(&sender, &[]), (&receiver, &[])], &[], LATER + DAY);
    assert!(report.findings.iter().any(|finding| finding.kind == Kind::ErasedUnopened), "{:?}", report.findings);
}

#[test]
fn an_erasure_that_was_heard_waits_for_a_letter_that_nobody_has_opened() {
    let (region, mut coordinator, mut sender, mut receiver) = over();
    let at = LATER;
    decide(&region, &mut sender, at).unwrap();
    hear(&region, &mut sender, &mut coordinator, at);
    let case = only_case(&sender);
    assert_eq!(sender.office.to_erase(at), [case]);
    // It lies in the mailbox, and may be of any case.
    let (theirs, ana) = (only_case(&receiver), actor(Role::Caseworker));
    let (step, _) = receiver.act(&region, at, |office, now| office.stay(theirs, &ana, now).unwrap());
    let letters: Vec<Vec<u8>> = envelopes(&step);
    assert_eq!(letters.len(), 1);
    for bytes in letters {
        let outside = Outside::parse(&bytes).unwrap();
        let batch = vec![crate::office::mailing::Deposit { outside, bytes }];
        sender.act(&region, at, |office, now| office.deposit(batch, now));
    }
    assert!(sender.office.to_erase(at).is_empty() && sender.office.being_erased(case).is_some());
    assert_eq!(carry_out(&region, &mut sender, at).unwrap_err(), Refusal::ErasureLettersWait.into());
}

#[test]
fn an_erasure_waits_for_a_coordinator_and_hurries_it() {
    let (region, mut coordinator, mut sender, _) = over();
    let at = LATER;
    hear(&region, &mut sender, &mut coordinator, at);
    assert!(sender.office.to_tell(at).is_empty(), "the pause has begun");
    decide(&region, &mut sender, at).unwrap();
    let case = only_case(&sender);
    assert!(sender.office.is_hidden(case));
    assert_eq!(sender.office.to_erase(at), [], "nobody else has the decision yet");
    assert_eq!(carry_out(&region, &mut sender, at).unwrap_err(), Refusal::BeingErased.into(), "whoever asks");
    hear(&region, &mut sender, &mut coordinator, at);
    assert_eq!(sender.office.to_erase(at), [case]);
    let trail: Vec<u64> = trail(&sender, case).entries().collect();
    assert_eq!(carry_out(&region, &mut sender, at).unwrap(), trail);
    // Every message and receipt of the case, and every act in it; not the telling.
    let openings: Vec<_> = sender.events.iter().map(|row| audit::unpad(&row.opening).unwrap()).collect();
    let class = |index: &u64| openings[*index as usize].msg_class;
    let mail_about_logs = |class: u32| (101..=103).contains(&class);
    let told = openings.iter().filter(|o| o.msg_class == wire::MessageType::Erased as u32);
    assert_eq!(told.count(), 1, "the other side is told");
    assert!(!trail.iter().any(|index| mail_about_logs(class(index))));
    let of_nothing = |o: &&wire::Opening| !trail.contains(&o.index) && !mail_about_logs(o.msg_class);
    let mut left: Vec<AuditEvent> = openings.iter().filter(of_nothing).map(|o| o.event()).collect();
    // What else is left: receipts of the coordinator and their deposits, the decision, the erasure.
    let of_the_telling = [AuditEvent::Deposited, AuditEvent::ReceiptReceived];
    left.retain(|event| !of_the_telling.contains(event));
    assert_eq!(left.len(), 1 + trail_ranges(&trail).div_ceil(ERASED_RANGES_MAX), "{}", left.len());
    // The outbox has forgotten it.
    assert!(sender.office.mail().all_outgoing().all(|(_, out)| out.case.is_empty()));
}

fn trail_ranges(entries: &[u64]) -> usize {
    let breaks = entries.windows(2).filter(|two| two[0] + 1 != two[1]).count();
    if entries.is_empty() { 0 } else { breaks + 1 }
}

#[test]
fn what_both_ends_erased_honestly_is_no_finding() {
    for both in [false, true] {
        let (region, mut coordinator, mut sender, mut receiver) = over();
        let before = reconcile(&region, &[(&sender, &[]), (&receiver, &[])], &[], LATER);
        assert!(before.findings.is_empty(), "{:?}", before.findings);
        let mut hidden = [Vec::new(), Vec::new()];
        hear(&region, &mut sender, &mut coordinator, LATER);
        decide(&region, &mut sender, LATER).unwrap();
        hear(&region, &mut sender, &mut coordinator, LATER);
        hidden[0] = carry_out(&region, &mut sender, LATER).unwrap();
        // While it holds what it was told, the coordinator notes what is settled.
        let report = reconcile(&region, &[(&sender, &[]), (&receiver, &[])], &[], LATER + DAY);
        assert!(report.findings.is_empty() && !report.closed.is_empty(), "{:?}", report.findings);
        if both {
            hear(&region, &mut receiver, &mut coordinator, LATER);
            decide(&region, &mut receiver, LATER).unwrap();
            hear(&region, &mut receiver, &mut coordinator, LATER + 2);
            hidden[1] = carry_out(&region, &mut receiver, LATER + 2).unwrap();
        }
        let logs: [(&Node, &[u64]); 2] = [(&sender, &hidden[0]), (&receiver, &hidden[1])];
        let after = reconcile(&region, &logs, &report.closed, LATER + 2 * DAY);
        assert!(after.findings.is_empty(), "{both}: {:?}", after.findings);
    }
}

#[test]
fn a_message_that_comes_calls_it_off_and_so_does_her_word() {
    let (region, mut coordinator, mut sender, mut receiver) = over();
    hear(&region, &mut receiver, &mut coordinator, LATER);
    decide(&region, &mut receiver, LATER).unwrap();
    let (case, theirs) = (only_case(&sender), only_case(&receiver));
    assert_eq!(decide(&region, &mut receiver, LATER), Err(Refusal::BeingErased.into()));
    let withdrawal =
        Withdrawal { consent_id: vec![1; 16], purpose: "ShareNotice".into(), data_classes: vec![], effective: LATER };
    let ana = actor(Role::Caseworker);
    let word = withdrawal.clone();
    act(&region, (&mut sender, &mut receiver), LATER, |office, now| office.withdraw(case, &ana, word, now).unwrap().0);
    assert!(receiver.office.being_erased(theirs).is_none(), "it was written to people");
    let last = receiver.events.iter().filter_map(|row| audit::unpad(&row.opening));
    assert!(last.filter(|o| o.event() == AuditEvent::ErasureCalledOff).count() == 1);
    assert_eq!(decide(&region, &mut receiver, LATER), Err(Refusal::ErasureUnopened.into()));
    // Here: her word is heard at an office that is erasing.
    decide(&region, &mut sender, LATER).unwrap();
    assert!(sender.office.is_hidden(case));
    let note = |office: &Office, now: &mut Now<'_, _>| office.record_consent(case, &ana, Consent::default(), now).err();
    let (_, refused) = sender.act(&region, LATER, |office, now| (Step::default(), note(office, now)));
    assert_eq!(refused, Some(Refusal::BeingErased.into()));
    act(&region, (&mut sender, &mut receiver), LATER, |office, now| {
        office.withdraw(case, &ana, withdrawal, now).unwrap().0
    });
    assert!(sender.office.being_erased(case).is_none());
}

#[test]
fn a_letter_nobody_has_looked_into_and_a_receipt_under_way_hold_it_back() {
    let (region, _, mut sender, mut receiver) = region();
    declined(&region, &mut sender, &mut receiver);
    let case = only_case(&sender);
    let answer = sender.office.cases().unwrap().case(case).unwrap().letters().iter().rev().find(|l| !l.is_out());
    let (answer, ana) = (answer.unwrap().id(), actor(Role::Caseworker));
    let unread: Vec<MsgId> = {
        let letters = sender.office.cases().unwrap().case(case).unwrap().letters().iter();
        letters.filter(|l| !l.is_out() && l.read().is_none() && l.id() != answer).map(|l| l.id()).collect()
    };
    for id in unread {
        act(&region, (&mut sender, &mut receiver), LATER, |o, now| o.open_message(case, &ana, id, now).unwrap());
    }
    // The last receipt is not carried.
    let (step, ()) = sender.act(&region, LATER, |o, now| (o.open_message(case, &ana, answer, now).unwrap(), ()));
    assert_eq!(decide(&region, &mut sender, LATER), Err(Refusal::ErasureUnderWay.into()));
    // It comes to the receiver, who has not looked into it.
    let bytes = envelopes(&step).remove(0);
    let outside = Outside::parse(&bytes).unwrap();
    let deposit = super::super::mailing::Deposit { outside, bytes: bytes.clone() };
    receiver.act(&region, LATER, |office, now| office.deposit(vec![deposit], now));
    assert_eq!(decide(&region, &mut receiver, LATER), Err(Refusal::ErasureLettersWait.into()));
    let outside = Outside::parse(&bytes).unwrap();
    let member = &region.members[2];
    let me = Reader::new((member.org, member.node), &region.directory, LATER);
    let opened = open(&outside, Some(member.prekey(NOW)), &me);
    receiver.act(&region, LATER, |office, now| (office.opened(outside.digest, opened, now).unwrap(), ()));
    decide(&region, &mut receiver, LATER).unwrap();
}

#[test]
fn a_receipt_that_comes_late_is_of_the_case_and_waited_for_too() {
    let (region, mut coordinator, mut sender, mut receiver) = region();
    declined(&region, &mut sender, &mut receiver);
    // The receiver may erase; the sender opens the answer only after the decision, which brings a receipt.
    hear(&region, &mut receiver, &mut coordinator, NOW + HOUR);
    decide(&region, &mut receiver, NOW + HOUR).unwrap();
    hear(&region, &mut receiver, &mut coordinator, NOW + HOUR + 2);
    let case = only_case(&receiver);
    assert_eq!(receiver.office.to_erase(NOW + HOUR + 2), [case]);
    read_all(&region, &mut sender, &mut receiver);
    let late = receiver.events.len() as u64 - 1;
    assert!(trail(&receiver, case).entries().any(|index| index == late), "its deposit and the receipt itself");
    assert!(carry_out(&region, &mut receiver, NOW + 3 * HOUR).is_err(), "no coordinator has that yet");
    hear(&region, &mut receiver, &mut coordinator, NOW + 3 * HOUR);
    assert!(carry_out(&region, &mut receiver, NOW + 3 * HOUR).unwrap().contains(&late));
}

#[test]
fn a_network_without_another_coordinator_waits_for_nobody() {
    let region = Region::new(3, 2);
    let (mut one, mut two) = (Node::new(&region, 0), Node::new(&region, 1));
    declined(&region, &mut one, &mut two);
    read_all(&region, &mut one, &mut two);
    decide(&region, &mut one, LATER).unwrap();
    assert_eq!(one.office.to_erase(LATER), [only_case(&one)]);
    assert!(carry_out(&region, &mut one, LATER).unwrap().len() > 10);
}

#[test]
fn a_plan_larger_than_a_commit_is_carried_out_in_parts() {
    let region = Region::new(3, 1);
    let mut node = Node::new(&region, 0);
    let case = CaseId([5; 16]);
    let rows = (0..PART as u32 + 1).map(|n| planned(Table::Fact, n.to_be_bytes().to_vec())).collect();
    let plan = Plan { rows, events: (0..3 * PART as u64).collect(), ..Plan::default() };
    node.office.apply(&[row(PLAN, case.as_bytes(), Some(plan.encode_to_vec()))]);
    let parts: Vec<Part> = (0..3).map(|n| node.office.part(case, n, 7).unwrap()).collect();
    let sizes: Vec<_> = parts.iter().map(|part| (part.step.rows.len(), part.closes.len(), part.is_last)).collect();
    assert_eq!(sizes, [(PART, PART, false), (1, PART, false), (2, PART, true)]);
    // Cut short after the first: the plan still stands, whole.
    node.office.take(&parts[0].step);
    assert_eq!(node.office.plans(), [case]);
    node.office.take(&parts[2].step);
    assert_eq!((node.office.plans(), node.office.turn_due()), (vec![], Some(7)));
    node.office.take(&node.office.turned());
    assert_eq!(node.office.turn_due(), None);
}

#[test]
fn nobody_is_owed_a_proof_of_what_is_erased() {
    let region = Region::new(3, 2);
    let (mut one, mut two) = (Node::new(&region, 0), Node::new(&region, 1));
    declined(&region, &mut one, &mut two);
    read_all(&region, &mut one, &mut two);
    let (up_to, events) = (one.events.len() as u64, one.events.clone());
    one.act(&region, LATER, |office, _| (office.owe(up_to, &events), ()));
    assert!(!one.office.owed().is_empty(), "the test has nothing to test");
    decide(&region, &mut one, LATER).unwrap();
    carry_out(&region, &mut one, LATER).unwrap();
    assert!(one.office.owed().is_empty(), "it would stand before every later proof for ever");
}

#[test]
fn time_does_nothing_to_a_case_that_is_being_erased() {
    let (region, _, mut sender, _) = over();
    // Her consent asks to be renewed then.
    let late = NOW + 80 * DAY;
    let (step, ()) = sender.act(&region, LATER, |office, now| (office.tick(now.time, now), ()));
    assert!(step.rows.iter().any(|row| row.table == Table::Fact), "clocks ran out");
    decide(&region, &mut sender, LATER).unwrap();
    let (step, ()) = sender.act(&region, late, |office, now| (office.tick(now.time, now), ()));
    assert!(step.rows.iter().all(|row| row.table != Table::Fact) && step.events.is_empty());
}

#[test]
fn entries_that_follow_each_other_are_one_range() {
    let entries = |list: &[u64]| Trail { digests: [].into(), entries: list.iter().copied().collect() }.ranges();
    assert_eq!(entries(&[3, 4, 5, 7, 9, 10]), [(3, 5), (7, 7), (9, 10)]);
    assert_eq!(entries(&[]), []);
}

#[test]
fn a_decision_about_classes_is_not_one_about_the_case() {
    let decision = |classes: &[&str]| Decision {
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..Decision::default()
    };
    assert!(decision(&[]).is_whole() && !decision(&["Health"]).is_whole());
}
