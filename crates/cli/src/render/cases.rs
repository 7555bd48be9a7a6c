//! Cases: five separate facts, clocks, consents. A fact that is not there says "not yet", whatever the others say.

use clearhouse_casework::forms::show_time;
use serde_json::Value;

use super::{flag, items, pairs, table, text};

/// The facts of a case in their order, and what each means.
const FACTS: [(&str, &str); 5] = [
    ("stored", "stored there"),
    ("received", "at their node"),
    ("read", "read"),
    ("accepted", "accepted"),
    ("met", "met"),
];

pub(super) fn cases(v: &Value) -> String {
    let row = |c: &Value| {
        let mut marks = Vec::new();
        if flag(c, "alarm") {
            marks.push("ALARM".to_owned());
        }
        if flag(c, "overdue") {
            marks.push("OVERDUE".to_owned());
        }
        if flag(c, "child") {
            marks.push("CHILD".to_owned());
        }
        marks.extend(items(c, "waiting").first().map(super::shown));
        let with = match text(c, "direction").as_str() {
            // Of a case that is being erased nothing else is shown.
            "" => String::new(),
            "sent" => format!("to {}", text(c, "with")),
            _ => format!("from {}", text(c, "with")),
        };
        vec![text(c, "case"), with, text(c, "words"), text(c, "next_due"), marks.join(", ")]
    };
    let rows: Vec<_> = items(v, "cases").iter().map(row).collect();
    if rows.is_empty() {
        return "There are no cases here.\n".to_owned();
    }
    table(&["CASE", "WITH", "STATE", "NEXT DUE", "WAITING FOR"], &rows)
}

/// A case that is being erased, or of which parts are.
pub(super) fn erasing(v: &Value) -> String {
    let classes: Vec<String> = items(v, "classes").iter().map(super::shown).collect();
    let what = if classes.is_empty() { "the whole case".to_owned() } else { classes.join(", ") };
    let lines =
        [("what", what), ("reason", text(v, "rule")), ("since", text(v, "since")), ("waits for", text(v, "waits_for"))];
    let keep = format!("Until it is final, `clearhouse case keep {}` calls it off.\n", text(v, "case"));
    let stays = match text(v, "history_kept_until") {
        until if until.is_empty() => "Nothing of it stays.\n".to_owned(),
        until => format!(
            "The history of its consents stays until {until}; `clearhouse case consents {}` shows it.\n",
            text(v, "case")
        ),
    };
    let stays = if items(v, "classes").is_empty() { stays } else { String::new() };
    format!("{} is being erased.\n{}{stays}{keep}", text(v, "case"), pairs(2, &lines))
}

/// What stays of cases that were erased under one code.
pub(super) fn history(v: &Value) -> String {
    let row = |l: &Value| {
        let whom = match text(l, "receiver") {
            receiver if receiver.is_empty() => receiver,
            receiver => format!("to {receiver}"),
        };
        let mut how = vec![text(l, "given_by"), text(l, "form")];
        how.extend([("expires", "until"), ("opened", "opened")].map(|(field, word)| match text(l, field) {
            time if time.is_empty() => time,
            time => format!("{word} {time}"),
        }));
        how.retain(|word| !word.is_empty());
        let by = [text(l, "role"), text(l, "by")].join(" ");
        vec![
            text(l, "time"),
            text(l, "said"),
            text(l, "purpose"),
            text(l, "data_classes"),
            whom,
            by.trim().to_owned(),
            how.join(", "),
        ]
    };
    let one = |h: &Value| {
        let lines: Vec<_> = items(h, "lines").iter().map(row).collect();
        let decided = match text(h, "role") {
            role if role.is_empty() => role,
            role => format!(", decided by a {role}"),
        };
        let gap = if flag(h, "incomplete") { "Something could not be read then: lines may be missing.\n" } else { "" };
        format!(
            "Erased {} ({}{decided}); this stays until {}.\n{gap}{}",
            text(h, "erased"),
            text(h, "rule"),
            text(h, "until"),
            table(&["TIME", "", "PURPOSE", "CLASSES", "RECEIVER", "BY", "HOW"], &lines)
        )
    };
    items(v, "histories").iter().map(one).collect::<Vec<_>>().join("\n")
}

pub(super) fn code(v: &Value) -> String {
    format!("{}\n", text(v, "case"))
}

pub(super) fn case(v: &Value) -> String {
    let direction = if text(v, "direction") == "sent" { "to" } else { "from" };
    let child = if flag(v, "child") { "   CHILD" } else { "" };
    let mut out = format!("{} {direction} {}{child}\n{}\n\n", text(v, "case"), text(v, "with"), text(v, "words"));
    out += &pairs(2, &FACTS.map(|(field, label)| (label, light(v.get("facts").and_then(|f| f.get(field))))));
    out += &warnings(v);
    out += &section("Clocks", &timers(v));
    out += &section("Consents", &consent_table(v));
    out += &section("Messages", &messages(v));
    let refused: Vec<Vec<String>> =
        items(v, "not_taken").iter().map(|n| ["time", "code", "message"].map(|f| text(n, f)).to_vec()).collect();
    if !refused.is_empty() {
        out += &section("Not taken from them", &table(&["TIME", "CODE", "MESSAGE"], &refused));
    }
    out
}

/// One light: when, by which node, for whom.
fn light(light: Option<&Value>) -> String {
    match light.filter(|l| l.is_object()) {
        None => "not yet".to_owned(),
        Some(l) => {
            let person = text(l, "for");
            let person = if person.is_empty() { person } else { format!(", {person}") };
            format!("{}  {}{person}", text(l, "time"), text(l, "node"))
        }
    }
}

/// A coordinator's alarm, or the other end's proved word that time was over.
fn alarm(a: &Value) -> String {
    let (by, since) = (text(a, "by"), text(a, "since"));
    let ended = match text(a, "ended") {
        ended if ended.is_empty() => ended,
        ended => format!("; it ended {ended}"),
    };
    match text(a, "kind").as_str() {
        "OVERDUE_ARRIVAL" => format!("ALARM by {by}: nobody has said whether she arrived, since {since}{ended}"),
        "UNANSWERED" => format!("ALARM by {by}: the notice is not answered, since {since}{ended}"),
        "COPY_ERASED" => format!("{by} erased its copy ({}), heard {since}", text(a, "rule")),
        _ => format!("{by} recorded that time was over, {since}, and proved it by its log"),
    }
}

fn warnings(v: &Value) -> String {
    let mut lines: Vec<String> = items(v, "alarms").iter().map(alarm).collect();
    lines.extend(items(v, "waiting").iter().map(super::shown));
    for (field, words) in [
        ("their_node_locked", "their node is locked: nobody can read there now"),
        ("unprepared", "she left with less time than agreed for those who receive her"),
    ] {
        if flag(v, field) {
            lines.push(words.to_owned());
        }
    }
    for class in items(v, "erased_classes") {
        lines.push(format!("{} was erased here", super::shown(class)));
    }
    if !items(v, "gaps").is_empty() {
        lines.push("messages of theirs are missing".to_owned());
    }
    lines.dedup();
    lines.iter().map(|line| format!("  ! {line}\n")).collect()
}

fn section(title: &str, body: &str) -> String {
    if body.lines().count() < 2 { String::new() } else { format!("\n{title}\n{body}") }
}

fn timers(v: &Value) -> String {
    let row = |t: &Value| vec![text(t, "due"), text(t, "state"), text(t, "why")];
    table(&["DUE", "STATE", "CLOCK"], &items(v, "timers").iter().map(row).collect::<Vec<_>>())
}

fn consent_table(v: &Value) -> String {
    let row = |c: &Value| {
        ["purpose", "status", "expires", "receiver", "data_classes", "consent"].map(|f| text(c, f)).to_vec()
    };
    let rows: Vec<_> = items(v, "consents").iter().map(row).collect();
    table(&["PURPOSE", "STATUS", "UNTIL", "RECEIVER", "CLASSES", "ID"], &rows)
}

fn messages(v: &Value) -> String {
    let row = |m: &Value| {
        let out = if flag(m, "out") { "ours" } else { "theirs" };
        vec![text(m, "signed"), out.to_owned(), text(m, "kind"), text(m, "by"), text(m, "fate"), text(m, "message")]
    };
    let rows: Vec<_> = items(v, "messages").iter().map(row).collect();
    table(&["SIGNED", "", "KIND", "BY", "NOW", "ID"], &rows)
}

pub(super) fn consent(v: &Value) -> String {
    let until = v.get("expires_at").and_then(Value::as_u64).map(show_time).unwrap_or_default();
    format!("Recorded.\n{}", pairs(2, &[("consent", text(v, "consent")), ("until", until)]))
}

pub(super) fn consents(v: &Value) -> String {
    if items(v, "consents").is_empty() {
        return "No consent is recorded in this case.\n".to_owned();
    }
    consent_table(v)
}

pub(super) fn withdrawn(v: &Value) -> String {
    let mut out = "It counts here from now on.\n".to_owned();
    let recalled = items(v, "recalled").len();
    if recalled > 0 {
        out += &format!("Taken back before it left: {recalled}.\n");
    }
    if !text(v, "told").is_empty() {
        out += "The other organisation is being told.\n";
    }
    if flag(v, "must_tell") {
        out += &format!("NOT TOLD YET: {}\n", text(v, "next"));
    }
    out
}
