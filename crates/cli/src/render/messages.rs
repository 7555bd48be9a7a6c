//! Messages: sent, waiting, opened, and the profile by its classes. Codes are shown as published.

use serde_json::Value;

use super::{flag, items, number, pairs, shown, table, text};

pub(super) fn sent(v: &Value) -> String {
    format!(
        "On its way. Sent is not read, and read is not accepted: clearhouse case show {case}\n{}",
        pairs(2, &[("case", text(v, "case")), ("message", text(v, "message"))]),
        case = text(v, "case")
    )
}

pub(super) fn inbox(v: &Value) -> String {
    let row = |m: &Value| {
        let mut marks = Vec::new();
        if flag(m, "overdue") {
            marks.push("OVERDUE");
        }
        if flag(m, "child") {
            marks.push("CHILD");
        }
        vec![
            text(m, "case"),
            text(m, "from"),
            text(m, "kind"),
            text(m, "signed"),
            text(m, "next_due"),
            marks.join(", "),
        ]
    };
    let rows: Vec<_> = items(v, "messages").iter().map(row).collect();
    let mut out = if rows.is_empty() {
        "Nothing waits for you.\n".to_owned()
    } else {
        table(&["CASE", "FROM", "KIND", "SIGNED", "NEXT DUE", ""], &rows)
    };
    for held in items(v, "quarantined") {
        out += &format!(
            "IN QUARANTINE: a {} of {}, who was revoked; signed {}, came {}, ends {}. Nothing of it was acted on.\n\
             \x20 A manager decides: clearhouse inbox take {id}   or   clearhouse inbox refuse {id}\n",
            text(held, "kind"),
            text(held, "from"),
            text(held, "signed"),
            text(held, "came"),
            text(held, "ends"),
            id = text(held, "letter").chars().take(12).collect::<String>(),
        );
    }
    let sealed = number(v, "sealed");
    if sealed > 0 {
        out += &format!("{sealed} more not opened by the node yet.\n");
    }
    out
}

pub(super) fn message(v: &Value) -> String {
    let by = text(v, "by");
    let from = if by.is_empty() { text(v, "from") } else { format!("{by}, {}", text(v, "from")) };
    let mut out = pairs(
        0,
        &[
            ("case", text(v, "case")),
            ("kind", text(v, "kind")),
            ("from", from),
            ("signed", text(v, "signed")),
            ("message", text(v, "message")),
        ],
    );
    out += "\n";
    match v.get("says") {
        Some(says) if says.get("parts").is_some_and(Value::is_array) => out += &parts(says),
        Some(Value::Object(fields)) => {
            let there = fields.iter().filter(|(_, field)| !shown(field).is_empty());
            let lines: Vec<(String, String)> = there.map(|(key, field)| (words(key), person(field))).collect();
            let lines: Vec<(&str, String)> = lines.iter().map(|(key, field)| (key.as_str(), field.clone())).collect();
            out += &pairs(2, &lines);
        }
        Some(_) | None => {}
    }
    out
}

/// `window_from` as a person reads it.
fn words(key: &str) -> String {
    crate::output::plain(key).replace('_', " ")
}

/// A worker as `Ana P. (Caseworker)`; anything else as it is.
fn person(field: &Value) -> String {
    match (field.get("label"), field.get("role")) {
        (Some(label), Some(role)) => format!("{} ({})", shown(label), shown(role)),
        _ => shown(field),
    }
}

pub(super) fn profile(v: &Value) -> String {
    format!("{}\n{}", pairs(0, &[("case", text(v, "case"))]), parts(v))
}

fn parts(v: &Value) -> String {
    let mut out = String::new();
    if items(v, "parts").is_empty() {
        return "No part of a profile is covered by consent now.\n".to_owned();
    }
    for part in items(v, "parts") {
        out += &format!("{}   message {}\n", text(part, "data_class"), text(part, "message"));
        let rows: Vec<(String, String)> = items(part, "fields").iter().map(field).collect();
        let rows: Vec<(&str, String)> = rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        out += &pairs(2, &rows);
        for note in items(part, "attachments") {
            let (name, media) = (text(note, "name"), text(note, "media_type"));
            out += &format!("  file  {name} ({media})  handle {}\n", text(note, "handle"));
        }
        out += "\n";
    }
    out
}

fn field(field: &Value) -> (String, String) {
    let values = text(field, "values");
    let reason = text(field, "null_reason");
    (text(field, "field"), if values.is_empty() && !reason.is_empty() { format!("({reason})") } else { values })
}

pub(super) fn outbox(v: &Value) -> String {
    let row = |m: &Value| {
        let state = if flag(m, "locked_there") { "stored, their node is locked".to_owned() } else { text(m, "state") };
        let fields = ["case", "to"].map(|f| text(m, f));
        let [case, to] = fields;
        vec![case, to, state, text(m, "attempts"), text(m, "next_try"), text(m, "expires"), text(m, "why")]
    };
    let rows: Vec<_> = items(v, "messages").iter().map(row).collect();
    if rows.is_empty() {
        return "Nothing is under way.\n".to_owned();
    }
    table(&["CASE", "TO", "STATE", "TRIES", "NEXT TRY", "EXPIRES", "WHY"], &rows)
}
