//! What stays of a case that two offices erased, and when that goes too.

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::ConversationId;
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_wire::v1::{Consent, Withdrawal, Withhold};

use super::super::cases::case_code;
use super::super::erasing::tests::{act, actor, carry_out, decide, hear, only_case, over, read_all};
use super::super::hearing::tests::Node;
use super::*;
use crate::body::samples as bodies;
use crate::consent::history::Said;

const LATER: u64 = NOW + 30 * DAY;

/// The one history that a node keeps.
fn kept(node: &Node) -> (Row, History) {
    let mut rows = node.rows.iter().filter(|row| row.table == Table::ConsentHistory);
    let row = rows.next().unwrap().clone();
    assert!(rows.next().is_none(), "kept twice");
    let history = History::decode(row.value.as_deref().unwrap()).unwrap();
    (row, history)
}

fn conversation(node: &Node) -> ConversationId {
    node.office.cases().unwrap().case(only_case(node)).unwrap().conversation()
}

/// A case that is over, in which a second consent was given and taken back, erased at both ends.
fn erased() -> (Region, Node, Node, ConversationId) {
    let (region, mut coordinator, mut sender, mut receiver) = over();
    let (case, peer, ana) = (only_case(&sender), receiver.office.me().org, actor(Role::Caseworker));
    let consent = Consent {
        recipient_org: peer.to_vec(),
        given_at: NOW,
        expires_at: NOW + 90 * DAY,
        withhold: vec![Withhold { what: "Risk".into(), from: "family".into(), reason: "fear".into() }],
        ..bodies::consent(2, "ShareProfile", &["Identity", "Needs"])
    };
    let withdrawal = Withdrawal {
        consent_id: consent.id.clone(),
        purpose: "ShareProfile".into(),
        data_classes: vec!["Needs".into()],
        effective: NOW + 3 * HOUR,
    };
    act(&region, (&mut sender, &mut receiver), NOW + HOUR, |office, now| {
        office.record_consent(case, &ana, consent, now).unwrap()
    });
    act(&region, (&mut sender, &mut receiver), NOW + 3 * HOUR, |office, now| {
        office.withdraw(case, &ana, withdrawal, now).unwrap().0
    });
    read_all(&region, &mut receiver, &mut sender);
    let conversation = conversation(&sender);
    for node in [&mut sender, &mut receiver] {
        hear(&region, node, &mut coordinator, LATER);
        decide(&region, node, LATER).unwrap();
        hear(&region, node, &mut coordinator, LATER + 2);
        carry_out(&region, node, LATER + 2).unwrap();
    }
    (region, sender, receiver, conversation)
}

#[test]
fn what_stays_says_who_agreed_to_what_and_what_was_shared_on_that_ground() {
    let (_, sender, receiver, conversation) = erased();
    let (row, history) = kept(&sender);
    assert!(row.under == Under::Evidence && row.must_be_new);
    assert_eq!((history.rule.as_str(), history.role.as_str()), ("RetentionEnded", "Manager"));
    assert_eq!((history.erased_at, history.until), (LATER, LATER + CONSENT_HISTORY_KEPT_SECS));
    let told = |line: &crate::consent::history::Line| {
        let (from, to) = (line.org == sender.office.me().org.0, line.receiver == receiver.office.me().org.0);
        assert!(from, "heard in the sender's office");
        (Said::parse(&line.said).unwrap(), line.at, line.purpose.clone(), line.classes.join(" "), to, line.opened > 0)
    };
    let lines: Vec<_> = history.lines.iter().map(told).collect();
    let text = str::to_owned;
    assert_eq!(
        lines,
        [
            (Said::Given, NOW - DAY, text("ShareNotice"), text(""), true, false),
            (Said::Given, NOW, text("ShareProfile"), text("Identity Needs"), true, false),
            (Said::Shared, NOW, text("ShareNotice"), text(""), true, true),
            (Said::Withdrawn, NOW + 3 * HOUR, text("ShareProfile"), text("Needs"), false, false),
        ]
    );
    let given = &history.lines[0];
    assert_eq!((given.given_by.as_str(), given.role.as_str()), ("Person", "Caseworker"));
    assert!(!given.form.is_empty() && given.expires == NOW + 90 * DAY && !history.incomplete);
    // The other end keeps the same of what reached it: a consent that no message carried is the sender's alone.
    let (_, theirs) = kept(&receiver);
    let same: Vec<_> = theirs.lines.iter().map(told).collect();
    assert_eq!(same, [lines[0].clone(), lines[2].clone(), lines[3].clone()]);
    // By the whole code, however it is written; by nothing else.
    for training in [true, false] {
        let code = case_code(conversation, training);
        assert_eq!(sender.office.histories(&code), std::slice::from_ref(&row.key));
        assert!(sender.office.histories(&code[..code.len() - 1]).is_empty());
    }
    assert!(sender.office.histories("0000-0000").is_empty() && sender.office.histories("").is_empty());
}

#[test]
fn nothing_else_of_her_is_in_what_stays() {
    let (_, sender, receiver, conversation) = erased();
    for node in [&sender, &receiver] {
        let (row, _) = kept(node);
        let bytes = [row.key.as_slice(), row.value.as_deref().unwrap()].concat();
        let has = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
        // People, her language, what she wanted withheld and why, what the notice said; the ids of the case.
        for word in ["Ana", "Mira", "ron", "fear", "family", "Risk", "MD", "Shelter", "Declined", "NoCapacity"] {
            assert!(!has(word.as_bytes()), "{word}");
        }
        assert!(!has(&conversation.0[..6]) && !has(&[1; 16]) && !has(&[2; 16]), "ids of the case or a consent");
        let messages = node.events.iter().filter_map(|row| clearhouse_protocol::audit::unpad(&row.opening));
        assert!(messages.filter(|o| !o.envelope_digest.is_empty()).all(|o| !has(&o.envelope_digest)));
    }
}

/// An office with one history that ends at `until`.
fn keeping(until: u64) -> (Region, Node) {
    let region = Region::new(3, 2);
    let mut node = Node::new(&region, 0);
    let value = Some(History { until, ..History::default() }.encode_to_vec());
    let (key, under) = (vec![5; CODE_LEN + SALT], Under::Evidence);
    node.office.apply(&[Row { table: Table::ConsentHistory, key, value, under, must_be_new: true }]);
    (region, node)
}

#[test]
fn it_goes_at_the_end_of_its_time_with_an_entry_in_the_log() {
    // The other members signed their newest records at NOW.
    let (region, mut node) = keeping(NOW);
    let (early, ()) = node.act(&region, NOW - 1, |office, now| (office.tick(now.time, now), ()));
    assert!(early.rows.is_empty() && early.events.is_empty(), "not before its time");
    let (step, ()) = node.act(&region, NOW, |office, now| (office.tick(now.time, now), ()));
    let gone: Vec<_> = step.rows.iter().map(|row| (row.table, row.value.is_none())).collect();
    assert_eq!(gone, [(Table::ConsentHistory, true)]);
    let said: Vec<_> = step.events.iter().filter_map(|row| clearhouse_protocol::audit::unpad(&row.opening)).collect();
    assert!(said.len() == 1 && said[0].event() == AuditEvent::KeyErased);
    assert!(node.office.histories.0.is_empty());
    let (again, ()) = node.act(&region, NOW, |office, now| (office.tick(now.time, now), ()));
    assert!(again.rows.is_empty() && again.events.is_empty(), "once");
}

#[test]
fn one_clock_that_jumped_deletes_no_history() {
    let (region, mut node) = keeping(NOW + 1);
    let (step, ()) = node.act(&region, NOW + 50 * 366 * DAY, |office, now| (office.tick(now.time, now), ()));
    assert!(step.rows.is_empty() && step.events.is_empty());
    assert_eq!(node.office.histories.0.len(), 1);
}

#[test]
fn a_manager_and_an_auditor_may_see_it_and_nobody_else() {
    let may: Vec<Role> = Role::ALL.iter().copied().filter(|role| may_see(&actor(*role))).collect();
    assert_eq!(may, [Role::Manager, Role::Auditor]);
}
