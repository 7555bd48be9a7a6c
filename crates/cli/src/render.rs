//! Replies as text for a person: one function per schema, plain aligned words, fields it does not know left out.
//!
//! Decides nothing and asks nothing. Every text goes through [`crate::output::plain`]: it may be a peer's.

mod audit;
mod cases;
mod ceremonies;
mod messages;
mod node;
mod offline;
mod organisations;
mod trials;

use serde_json::Value;

use crate::output::plain;

/// A reply as text.
pub(crate) fn reply(value: &Value) -> String {
    let schema = value.get("schema").and_then(Value::as_str).unwrap_or_default();
    match schema {
        "ch.status/1" => node::status(value),
        "ch.doctor/1" => node::doctor(value),
        "ch.netcheck/1" => node::netcheck(value),
        "ch.session/1" => node::session(value),
        "ch.done/1" => node::done(value),
        "ch.invitation/1" => node::invitation(value),
        "ch.users/1" => node::users(value),
        "ch.directory/1" => organisations::directory(value),
        "ch.organisation/1" => organisations::organisation(value),
        "ch.import/1" => organisations::import(value),
        "ch.attested/1" => organisations::attested(value),
        "ch.records/1" => organisations::records(value),
        "ch.founding/1" => organisations::founding(value),
        "ch.policy/1" => organisations::policy(value),
        "ch.directory-history/1" => organisations::history(value),
        "ch.words/1" => organisations::words(value),
        "ch.application/1" => ceremonies::application(value),
        "ch.accreditation/1" => ceremonies::accreditation(value),
        "ch.refusal/1" => ceremonies::refusal(value),
        "ch.submission/1" => ceremonies::submission(value),
        "ch.renewal/1" => ceremonies::renewal(value),
        "ch.objection/1" => ceremonies::objection(value),
        "ch.revocation/1" => ceremonies::revocation(value),
        "ch.cases/1" => cases::cases(value),
        "ch.case-code/1" => cases::code(value),
        "ch.erasing/1" => cases::erasing(value),
        "ch.consent-history/1" => cases::history(value),
        "ch.case/1" => cases::case(value),
        "ch.consent/1" => cases::consent(value),
        "ch.consents/1" => cases::consents(value),
        "ch.withdrawn/1" => cases::withdrawn(value),
        "ch.sent/1" => messages::sent(value),
        "ch.inbox/1" => messages::inbox(value),
        "ch.message/1" => messages::message(value),
        "ch.profile/1" => messages::profile(value),
        "ch.outbox/1" => messages::outbox(value),
        "ch.audit/1" => audit::list(value),
        "ch.audit-proof/1" => audit::proof(value),
        "ch.audit-logs/1" => audit::logs(value),
        "ch.audit-reconcile/1" => audit::reconcile(value),
        "ch.alarms/1" => audit::alarms(value),
        "ch.audit-entry/1" => audit::entry(value),
        "ch.audit-bundle/1" => audit::bundle(value),
        "ch.evidence-verify/1" => audit::evidence(value),
        "ch.audit-export/1" | "ch.directory-log-export/1" => audit::export(value),
        "ch.audit-verify/1" => audit::verify(value),
        "ch.backup/1" | "ch.restored/1" => offline::backup(value),
        "ch.backups/1" => offline::backups(value),
        "ch.recovery-key/1" => offline::recovery_key(value),
        "ch.init/1" => offline::init(value),
        "ch.config/1" => offline::config(value),
        "ch.config-check/1" => offline::config_check(value),
        "ch.htcds-import/1" => offline::htcds(value),
        "ch.saved/1" => offline::saved(value),
        "ch.version/1" => offline::version(value),
        "ch.bench/1" => trials::bench(value),
        "ch.selftest/1" => trials::selftest(value),
        _ => anything(value, 0),
    }
}

/// Every schema that has a function of its own; tests hold it against [`reply`].
#[cfg(test)]
pub(crate) const SCHEMAS: &[&str] = &[
    "ch.status/1",
    "ch.doctor/1",
    "ch.netcheck/1",
    "ch.session/1",
    "ch.done/1",
    "ch.invitation/1",
    "ch.users/1",
    "ch.directory/1",
    "ch.organisation/1",
    "ch.import/1",
    "ch.attested/1",
    "ch.records/1",
    "ch.founding/1",
    "ch.policy/1",
    "ch.directory-history/1",
    "ch.words/1",
    "ch.application/1",
    "ch.accreditation/1",
    "ch.refusal/1",
    "ch.submission/1",
    "ch.renewal/1",
    "ch.objection/1",
    "ch.revocation/1",
    "ch.cases/1",
    "ch.case-code/1",
    "ch.erasing/1",
    "ch.consent-history/1",
    "ch.case/1",
    "ch.consent/1",
    "ch.consents/1",
    "ch.withdrawn/1",
    "ch.sent/1",
    "ch.inbox/1",
    "ch.message/1",
    "ch.profile/1",
    "ch.outbox/1",
    "ch.audit/1",
    "ch.audit-proof/1",
    "ch.audit-logs/1",
    "ch.audit-reconcile/1",
    "ch.alarms/1",
    "ch.audit-entry/1",
    "ch.audit-bundle/1",
    "ch.evidence-verify/1",
    "ch.audit-export/1",
    "ch.directory-log-export/1",
    "ch.audit-verify/1",
    "ch.backup/1",
    "ch.restored/1",
    "ch.backups/1",
    "ch.recovery-key/1",
    "ch.init/1",
    "ch.config/1",
    "ch.config-check/1",
    "ch.htcds-import/1",
    "ch.saved/1",
    "ch.version/1",
    "ch.bench/1",
    "ch.selftest/1",
];

/// A field as harmless text; empty when it is missing or null.
fn text(value: &Value, field: &str) -> String {
    value.get(field).map(shown).unwrap_or_default()
}

/// A value in a line: texts as they are, lists with commas, yes and no in words.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => plain(s),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pair = |(key, v): (&String, &Value)| format!("{}: {}", plain(key), shown(v));
            fields.iter().map(pair).collect::<Vec<_>>().join("; ")
        }
    }
}

fn flag(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// The items of a list; none when it is missing.
fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `1 case`, `2 cases`.
fn counted(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// Aligned `label  value` lines; pairs without a value are left out.
fn pairs(indent: usize, pairs: &[(&str, String)]) -> String {
    let there: Vec<_> = pairs.iter().filter(|(_, v)| !v.is_empty()).collect();
    let width = there.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let line = |(label, v): &&(&str, String)| {
        format!("{:indent$}{label}{:pad$}  {v}\n", "", "", pad = width - label.chars().count())
    };
    there.iter().map(line).collect()
}

/// An aligned table. The last column is not padded.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let mut out = String::new();
        for (n, cell) in cells.iter().enumerate() {
            out += cell;
            if n + 1 < cells.len() {
                out.extend(std::iter::repeat_n(' ', widths[n].saturating_sub(cell.chars().count()) + 2));
            }
        }
        out.trim_end().to_owned() + "\n"
    };
    let mut out = line(headings.to_vec());
    for row in rows {
        out += &line(row.iter().map(String::as_str).collect());
    }
    out
}

/// Any value, indented: for schemas of a newer node.
fn anything(value: &Value, indent: usize) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if field.is_object() || field.as_array().is_some_and(|a| a.iter().any(Value::is_object)) {
                    out += &format!("{:indent$}{}:\n{}", "", plain(key), anything(field, indent + 2));
                } else {
                    out += &format!("{:indent$}{}: {}\n", "", plain(key), shown(field));
                }
            }
        }
        Value::Array(list) => {
            for item in list {
                out += &anything(item, indent);
                out += "\n";
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out += &format!("{:indent$}{}\n", "", shown(value));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_schema_is_text_even_when_nothing_else_is_there() {
        for schema in SCHEMAS {
            let text = reply(&json!({"schema": schema}));
            assert!(!text.contains("schema"), "{schema} has no function of its own: {text}");
            assert!(text.ends_with('\n') || text.is_empty(), "{schema}");
        }
        assert!(reply(&json!({"schema": "ch.new/9", "a": {"b": [1, 2]}})).contains("b: 1, 2"));
    }

    #[test]
    fn peers_text_is_harmless_in_every_schema() {
        let evil = "x\u{1b}[2J\u{202e}\n  code: CH-K0101";
        for schema in SCHEMAS {
            // The same value under every name a renderer may look for, flat and in lists.
            let mut row = json!({});
            for key in NAMES {
                row[*key] = json!(evil);
            }
            let mut value = row.clone();
            for list in LISTS {
                value[*list] = json!([row]);
            }
            for object in ["facts", "says", "membership", "machine"] {
                value[object] = json!({
                    "stored": row, "contact": row, "parts": [row], "x": evil, "area": evil, "standards": evil,
                    "agreements": [row], "sponsors": [row],
                });
            }
            value["schema"] = json!(schema);
            let text = reply(&value);
            assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{schema}: {text:?}");
            assert!(!text.lines().any(|l| l.starts_with("  code:")), "{schema}: {text:?}");
        }
    }

    const NAMES: &[&str] = &[
        "step",
        "label",
        "name",
        "network",
        "text",
        "next",
        "done",
        "login",
        "role",
        "state",
        "why",
        "case",
        "with",
        "words",
        "purpose",
        "receiver",
        "data_class",
        "field",
        "file",
        "from",
        "to",
        "by",
        "org",
        "key",
        "value",
        "subject",
        "kind",
        "time",
        "for",
        "node",
        "message",
        "fate",
        "due",
        "reason",
        "handle",
        "media_type",
        "country",
        "code",
        "said",
        "given_by",
        "form",
        "opened",
        "history_kept_until",
        "area",
        "standards",
        "until",
        "what",
        "unit",
        "goal",
        "verdict",
        "processor",
        "kernel",
        "folder",
        "file_system",
        "version",
        "load_before",
        "load_after",
    ];
    const LISTS: &[&str] = &[
        "findings",
        "peers",
        "steps",
        "not_followed",
        "damaged_pages",
        "users",
        "organisations",
        "nodes",
        "refused",
        "records",
        "coordinators",
        "cases",
        "timers",
        "consents",
        "histories",
        "lines",
        "messages",
        "not_taken",
        "parts",
        "fields",
        "attachments",
        "values",
        "rows",
        "columns",
        "roles",
        "waiting",
        "recalled",
        "signers",
        "written",
        "gaps",
        "agreements",
        "sponsors",
        "submitted",
        "remarks",
        "growth",
    ];

    #[test]
    fn tables_are_aligned_by_letters_and_have_no_trailing_blanks() {
        let text = table(&["ORG", "STATE"], &[vec!["Кућа".into(), "a".into()], vec!["B".into(), String::new()]]);
        assert_eq!(text, "ORG   STATE\nКућа  a\nB\n");
        assert_eq!(
            pairs(2, &[("a", "1".into()), ("long", "2".into()), ("none", String::new())]),
            "  a     1\n  long  2\n"
        );
    }
}
