//! What was erased goes again from a folder that is an old copy, and a decision that nobody carried out is taken back.

use clearhouse_protocol::limits::{CONSENT_HISTORY_KEPT_SECS, RESTORE_TOLD_SECS};

use super::*;
use crate::consent::history::History;
use crate::office::erasing::again::AfterCopy;
use crate::office::mailing::Deposit;

/// An entry that says these entries were erased.
fn erased(from: u64, to: u64) -> wire::Opening {
    wire::Opening {
        erased: vec![wire::IndexRange { from, to }],
        retention_rule: "RetentionEnded".into(),
        actor_role: "Manager".into(),
        time: NOW,
        index: 900,
        ..wire::Opening::default()
    }
}

fn keep_row(region: &Region, node: &mut Node, row: Row) {
    let step = Step { rows: vec![row], ..Step::default() };
    node.act(region, LATER, |_, _| (step, ()));
}

#[test]
fn a_case_with_an_entry_that_was_erased_goes_again_and_no_other_does() {
    let (region, _, mut sender, _) = over();
    let case = only_case(&sender);
    let trail = trail(&sender, case);
    assert!(sender.office.retractions([wire::Opening::default()].iter()).is_none() && !sender.office.has_retractions());
    let elsewhere = sender.office.retractions([erased(1000, 1002)].iter()).unwrap();
    keep_row(&region, &mut sender, elsewhere);
    assert!(sender.office.has_retractions() && !sender.office.is_retracted(&trail));
    let named = |sender: &Node, list: &[u64]| list.iter().filter(|n| sender.office.is_entry_retracted(**n)).count();
    assert_eq!((named(&sender, &[999, 1003]), named(&sender, &[1000, 1001, 1002])), (0, 3));
    // One more, beside what is kept; its last entry alone is of the case.
    let first = trail.entries().next().unwrap();
    let ours = sender.office.retractions([erased(first, first)].iter()).unwrap();
    keep_row(&region, &mut sender, ours);
    assert!(sender.office.is_retracted(&trail) && named(&sender, &[first, 1001]) == 2);
    let trails = sender.office.trails();
    assert!(trails.len() == 1 && trails[0].0 == case);

    let found = vec![(Table::Document, vec![1, 2, 3])];
    let (step, ()) = sender.act(&region, LATER, |office, now| (office.plan_again(case, &trail, found, now.rng), ()));
    assert!(step.events.is_empty() && envelopes(&step).is_empty(), "it was told and recorded when it was erased");
    let histories: Vec<_> = step.rows.iter().filter(|row| row.table == Table::ConsentHistory).collect();
    assert_eq!(histories.len(), 1);
    let history = History::decode(histories[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((history.rule.as_str(), history.role.as_str()), ("RetentionEnded", "Manager"), "as it was decided");
    assert_eq!((history.erased_at, history.until), (NOW, NOW + CONSENT_HISTORY_KEPT_SECS), "kept since then");
    assert!(sender.office.cases().unwrap().case(case).is_none() && sender.office.plans() == [case]);
    let part = sender.office.part(case, 0, 10_000).unwrap();
    assert!(part.is_last && part.closes == trail.entries().collect::<Vec<_>>());
    assert!(part.step.rows.iter().any(|row| row.table == Table::Document && row.key == [1, 2, 3]));
    sender.office.take(&part.step);
    assert!(sender.office.plans().is_empty());
    let done = sender.office.retracted();
    sender.office.take(&done);
    assert!(!sender.office.has_retractions() && !sender.office.is_retracted(&trail));
}

#[test]
fn a_range_takes_the_case_of_its_last_entry_as_of_its_first() {
    let (region, _, mut sender, _) = over();
    let trail = trail(&sender, only_case(&sender));
    let (first, last) = (trail.entries().next().unwrap(), trail.entries().last().unwrap());
    for (from, to, is_ours) in [(last, last + 5, true), (last + 1, last + 5, false), (0, first, true)] {
        let row = sender.office.retractions([erased(from, to)].iter()).unwrap();
        keep_row(&region, &mut sender, row);
        assert_eq!(sender.office.is_retracted(&trail), is_ours, "{from} to {to}");
        let done = sender.office.retracted();
        sender.office.take(&done);
    }
}

#[test]
fn what_came_back_is_told_together_for_a_while() {
    let (region, _, mut sender, _) = over();
    assert!(sender.office.after_copy().is_none());
    let came = |sender: &mut Node, (last, parts, event): (u64, u64, u64), at| {
        let row = sender.office.came_back(last, parts, event, at);
        keep_row(&region, sender, row);
        sender.office.after_copy().unwrap()
    };
    assert_eq!(came(&mut sender, (5, 1, 40), NOW), AfterCopy { at: NOW, entries: 5, parts: 1, event: 40, last: 5 });
    let soon = NOW + RESTORE_TOLD_SECS - 1;
    assert_eq!(came(&mut sender, (2, 1, 50), soon), AfterCopy { at: soon, entries: 7, parts: 2, event: 50, last: 2 });
    let late = soon + RESTORE_TOLD_SECS;
    let last = came(&mut sender, (3, 0, 60), late);
    assert_eq!(last, AfterCopy { at: late, entries: 3, parts: 0, event: 60, last: 3 });
    // Until a head was signed that covers the entry.
    assert_eq!([59, 60, 61].map(|signed| last.unfinished(signed)), [Some(3), Some(3), None]);
    assert_eq!(AfterCopy { event: 0, ..last }.unfinished(0), None, "nobody kept which entry it was");
}

#[test]
fn letters_of_erased_cases_end_unopened_and_their_keys_go() {
    let (region, _, mut sender, mut receiver) = over();
    let (theirs, ana) = (only_case(&receiver), actor(Role::Caseworker));
    let (step, _) = receiver.act(&region, LATER, |office, now| office.stay(theirs, &ana, now).unwrap());
    let bytes = envelopes(&step).remove(0);
    let outside = Outside::parse(&bytes).unwrap();
    let digest = outside.digest;
    assert!(sender.office.unopened_letters().is_empty());
    sender.act(&region, LATER, |office, now| office.deposit(vec![Deposit { outside, bytes }], now));
    assert!(sender.office.unopened_letters() == [digest].into());
    // Also while cases are locked.
    sender.office.lock();
    assert!(sender.office.trails().is_empty());
    let letters = [(digest, vec![3, 4])].into();
    let (step, (keys, closes)) = sender.act(&region, LATER, |office, now| {
        let (step, keys, closes) = office.end_letters(&letters, 9, now);
        (step, (keys, closes))
    });
    assert!(keys == [Under::Letter(digest)] && closes == [3, 4]);
    assert_eq!((step.events.len(), sender.office.turn_due()), (1, Some(9)));
    let said = audit::unpad(&step.events[0].opening).unwrap();
    assert!(said.event() == AuditEvent::KeyErased && said.envelope_digest.is_empty(), "without a name");
    assert!(sender.office.unopened_letters().is_empty());
}

#[test]
fn a_decision_is_taken_back_by_whoever_may_take_it_and_once() {
    let (region, _, mut sender, _) = over();
    let case = only_case(&sender);
    let keep = |sender: &mut Node, role| {
        let who = actor(role);
        sender
            .act(&region, LATER, |office, now| match office.keep(case, &who, now) {
                Ok(step) => (step, Ok(())),
                Err(stop) => (Step::default(), Err(stop)),
            })
            .1
    };
    assert_eq!(keep(&mut sender, Role::Manager), Err(Refusal::NotBeingErased.into()));
    decide(&region, &mut sender, LATER).unwrap();
    assert!(keep(&mut sender, Role::Caseworker).is_err() && sender.office.is_hidden(case));
    keep(&mut sender, Role::Manager).unwrap();
    assert!(sender.office.being_erased(case).is_none() && !sender.office.is_hidden(case));
    let last = audit::unpad(&sender.events.last().unwrap().opening).unwrap();
    assert!(last.event() == AuditEvent::ErasureCalledOff);
    assert_eq!(keep(&mut sender, Role::Manager), Err(Refusal::NotBeingErased.into()));
}

#[test]
fn evidence_of_a_whole_case_is_looked_for_at_every_message_and_envelope() {
    let (region, _, mut sender, _) = over();
    let case = only_case(&sender);
    let trail = trail(&sender, case);
    let places = sender.office.places(case, &trail);
    assert!(places.parts.is_empty() && !places.evidence.is_empty());
    assert!(places.evidence.iter().all(|(table, _)| *table == Table::Receipt));
    for digest in &trail.digests {
        assert!(places.evidence.iter().any(|(_, key)| key.starts_with(digest.as_bytes())), "proofs");
    }
    for (msg_id, _) in sender.office.mail().all_outgoing().filter(|(_, out)| out.case == case.to_vec()) {
        assert!(places.evidence.iter().any(|(_, key)| key.starts_with(msg_id.as_bytes())), "receipts");
    }
    // Where only classes go, evidence of the messages stays.
    let decision = Decision { classes: vec!["Health".into()], ..Decision::default() };
    keep_row(&region, &mut sender, row(INTENT, case.as_bytes(), Some(decision.encode_to_vec())));
    assert!(sender.office.places(case, &trail).evidence.is_empty() && !sender.office.is_hidden(case));
}

#[test]
fn an_entry_is_heard_when_a_coordinator_took_it_and_not_the_one_after() {
    let (region, mut coordinator, mut sender, _) = over();
    hear(&region, &mut sender, &mut coordinator, LATER);
    let took = sender.office.told().iter().map(|standing| standing.took).max().unwrap();
    assert!(took > 0 && sender.office.is_heard(took - 1) && !sender.office.is_heard(took));
}

#[test]
fn the_largest_head_that_was_signed_elsewhere_is_kept_until_all_of_it_came_back() {
    let (region, _, mut sender, _) = over();
    assert!(sender.office.signed_elsewhere().is_none());
    for (signed, known) in [(5, 5), (3, 5), (9, 9)] {
        sender.act(&region, LATER, |office, _| (office.was_signed(signed), ()));
        assert_eq!(sender.office.signed_elsewhere().unwrap().signed, known);
    }
    let gone = sender.office.elsewhere(None);
    keep_row(&region, &mut sender, gone);
    assert!(sender.office.signed_elsewhere().is_none());
}
