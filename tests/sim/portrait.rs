//! Everything a node knows, in comparable words: for holding a node that starts again against the node before.
//!
//! Leaves out what a start may forget by right (errands under way, asks that wait) and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clearhouse_casework::case::{Case, Letter, Light};
use clearhouse_casework::office::Office;
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::limits::DAY;
use prost::Message as _;

use super::model::Model;

/// What a node knows, by name.
pub(super) type Portrait = BTreeMap<String, String>;

/// Paints an office. Names only what the model has heard of, which is all there is.
pub(super) fn portrait(office: &Office, model: &Model, now: u64) -> Portrait {
    let mut said = Portrait::new();
    let mail = office.mail();
    said.insert("events".into(), office.event_count().to_string());
    said.insert("kept for others".into(), format!("{:?}", office.depot().held()));
    said.insert("unopened".into(), format!("{:?}", mail.unopened()));
    said.insert("next due".into(), format!("{:?}", mail.next_due()));
    for (id, out) in mail.all_outgoing() {
        said.insert(format!("outgoing {id}"), hex(&out.encode_to_vec()));
    }
    for digest in model.digests() {
        if let Some(letter) = mail.letter(digest) {
            said.insert(format!("letter {digest}"), hex(&letter.encode_to_vec()));
        }
        if let Some(kept) = office.depot().outcome(digest) {
            said.insert(format!("kept {digest}"), hex(&kept.encode_to_vec()));
        }
    }
    for (node, id) in model.messages() {
        if let Some(taken) = mail.seen(node, id) {
            said.insert(format!("taken {node} {id}"), hex(&taken.encode_to_vec()));
        }
    }
    for (conversation, node) in model.threads() {
        let (place, up_to) = (mail.next_place(conversation, node), mail.received_up_to(conversation, node));
        let gaps = mail.gaps(conversation, node);
        if (place.seq, up_to) == (1, 0) {
            continue;
        }
        said.insert(format!("thread {conversation} {node}"), format!("{place:?} {up_to} {gaps:?}"));
    }
    let directory = office.directory();
    said.insert("directory".into(), format!("{}", directory.records().count()));
    said.insert("overdue".into(), format!("{:?}", [0, 1, 7, 40].map(|d| office.due_times().overdue(now + d * DAY))));
    said.insert("staff".into(), office.staff().iter().count().to_string());
    said.insert("open".into(), office.is_open().to_string());
    for case in office.cases().into_iter().flat_map(|cases| cases.iter()) {
        said.insert(format!("case {}", case.id()), paint_case(case, office, now));
    }
    said
}

fn paint_case(case: &Case, office: &Office, now: u64) -> String {
    let mut text = format!(
        "{:?} child {} unreadable {} next {} expected {:?} unreachable {:?} gaps {:?}\n",
        case.state(),
        case.is_child(),
        case.unreadable(),
        case.next_seq(),
        case.expected_day(),
        case.unreachable_since(),
        case.facts_view(office.deadlines()).gaps,
    );
    for letter in case.letters() {
        let _ = writeln!(text, "  {}", paint_letter(letter, case, now));
    }
    for kept in case.not_taken() {
        let _ = writeln!(text, "  not taken {} {} {:?}", kept.id, kept.seq, kept.code);
    }
    for timer in case.timers(office.deadlines(), now) {
        let _ = writeln!(text, "  {:?} {} {:?} {:?}", timer.rule, timer.due.at, timer.state, timer.about);
    }
    let ledger = case.ledger();
    for consent in ledger.consents() {
        let _ = writeln!(text, "  consent {} {:?}", hex(&consent.id), ledger.status(consent, now));
    }
    let _ = writeln!(text, "  fired {:?} visible {:?}", case.fired(), case.visible_parts(now));
    text
}

fn paint_letter(letter: &Letter, case: &Case, now: u64) -> String {
    let light = |l: Option<&Light>| l.map(|l| format!("{} {}", l.at, l.node));
    format!(
        "{} out {} seq {} at {} {} stored {:?} received {:?} read {:?} leave {:?}",
        letter.id(),
        letter.is_out(),
        letter.seq(),
        letter.sent_at(),
        fate(letter),
        light(letter.stored()),
        light(letter.received()),
        light(letter.read()),
        case.release_still_allowed(letter.id(), now).is_ok(),
    )
}

/// What became of a message, in a word.
pub(super) fn fate(letter: &Letter) -> String {
    use clearhouse_casework::case::Fate;
    match letter.fate() {
        Fate::Waiting => "waiting".into(),
        Fate::Stored { locked } => format!("stored, locked {locked}"),
        Fate::Received => "received".into(),
        Fate::Opened => "opened".into(),
        Fate::Refused(code) => format!("refused {}", code.as_str_name()),
        Fate::CannotRead => "cannot read".into(),
        Fate::Recalled => "recalled".into(),
        Fate::Failed => "failed".into(),
        Fate::Expired => "expired".into(),
    }
}

/// The first difference between two portraits, for a sentence.
pub(super) fn difference(before: &Portrait, after: &Portrait) -> Option<String> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let other = names.into_iter().find(|name| before.get(*name) != after.get(*name))?;
    let show = |p: &Portrait| p.get(other).map_or("nothing".to_owned(), Clone::clone);
    Some(format!("{other}:\n  before {}\n  after  {}", show(before), show(after)))
}
