//! How the node is, what is wrong with it, and who works there.

use serde_json::Value;

use super::{counted, flag, items, number, pairs, table, text};

pub(super) fn status(v: &Value) -> String {
    let count = |field: &str, one: &str, many: &str| counted(number(v, field), one, many);
    let cases = match (text(v, "cases").as_str(), flag(v, "kept_open_by_policy")) {
        ("", _) => String::new(),
        (state, true) => format!("{state}, kept open by policy"),
        (state, false) => state.to_owned(),
    };
    let space = match (v.get("free_bytes"), flag(v, "low_on_space")) {
        (None, _) => String::new(),
        (Some(_), low) => {
            format!("{} MiB free{}", number(v, "free_bytes") >> 20, if low { ", TOO LITTLE" } else { "" })
        }
    };
    let network = [text(v, "network"), text(v, "kind").to_uppercase()].join("  ").trim().to_owned();
    let overdue = number(v, "overdue_cases");
    let (raised, heard) = (number(v, "alarms_raised"), number(v, "alarms_heard"));
    let alarms = match (raised, heard) {
        (0, 0) => "none".to_owned(),
        (0, _) => {
            format!("{}: clearhouse case list", counted(heard, "ALARM OF A COORDINATOR", "ALARMS OF COORDINATORS"))
        }
        (_, _) => format!("{}: clearhouse audit alarms", counted(raised, "ALARM RAISED", "ALARMS RAISED")),
    };
    let quarantine = match number(v, "quarantined") {
        0 => String::new(),
        _ => format!("{} OF A REVOKED SENDER: clearhouse inbox", count("quarantined", "LETTER", "LETTERS")),
    };
    let lost = match number(v, "lost_root_keys") {
        0 => String::new(),
        _ => format!("{}: clearhouse doctor", count("lost_root_keys", "NEW ROOT KEY WAITS", "NEW ROOT KEYS WAIT")),
    };
    let directory = match number(v, "contested_records") {
        0 => [count("organisations", "organisation", "organisations"), text(v, "directory"), lost]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
        _ => format!(
            "{}: clearhouse directory list",
            count("contested_records", "RECORD SIGNED TWICE", "RECORDS SIGNED TWICE")
        ),
    };
    let mailboxes = match text(v, "mailboxes") {
        none if none.is_empty() => none,
        all => format!("at {all}"),
    };
    let kept = match number(v, "kept_for_others") {
        0 => String::new(),
        _ => format!(
            "{}, {} KiB",
            count("kept_for_others", "message", "messages"),
            number(v, "kept_for_others_bytes").div_ceil(1024)
        ),
    };
    pairs(
        0,
        &[
            ("network", network),
            ("organisation", text(v, "organisation")),
            ("accredited", text(v, "accreditation")),
            ("reached at", text(v, "endpoint")),
            ("mailboxes", mailboxes),
            ("kept for others", kept),
            ("running since", text(v, "running_since")),
            ("cases", cases),
            ("alarms", alarms),
            ("overdue", if overdue == 0 { "none".into() } else { count("overdue_cases", "CASE", "CASES") }),
            ("not opened yet", count("sealed_letters", "message", "messages")),
            ("quarantine", quarantine),
            (
                "outbox",
                format!("{} waiting, {} unanswered", number(v, "waiting_to_leave"), number(v, "stored_unanswered")),
            ),
            (
                "log",
                format!("{}, {} under a signed head", count("events", "entry", "entries"), number(v, "log_signed")),
            ),
            ("witnesses", text(v, "witnesses")),
            ("last backup", text(v, "last_backup")),
            ("signed in", count("signed_in", "person", "people")),
            ("directory", directory),
            ("clock", text(v, "clock")),
            ("disk", space),
        ],
    )
}

pub(super) fn doctor(v: &Value) -> String {
    let mut out = String::new();
    for finding in items(v, "findings") {
        let mark = if flag(finding, "problem") { "PROBLEM" } else { "note   " };
        out += &format!("{mark}  {}  {}\n", text(finding, "code"), text(finding, "text"));
        let next = text(finding, "next");
        if !next.is_empty() {
            out += &format!("         {next}\n");
        }
    }
    let scrubbed = text(v, "scrubbed");
    if !scrubbed.is_empty() {
        out += &format!("Everything was read at {scrubbed}.\n");
    }
    match number(v, "problems") {
        0 => out + "Nothing is wrong.\n",
        n => out + &counted(n, "thing to repair", "things to repair") + ".\n",
    }
}

pub(super) fn netcheck(v: &Value) -> String {
    let mut out = String::new();
    for peer in items(v, "peers") {
        out += &format!("{}  {}\n", text(peer, "label"), text(peer, "node"));
        for step in items(peer, "steps") {
            let mark = if flag(step, "ok") { "ok     " } else { "PROBLEM" };
            let code = text(step, "code");
            let code = if code.is_empty() { code } else { format!("{code}  ") };
            out += &format!("  {mark}  {:<7}  {code}{}\n", text(step, "step"), text(step, "text"));
            let next = text(step, "next");
            if !next.is_empty() {
                out += &format!("                    {next}\n");
            }
        }
    }
    if number(v, "left_out") > 0 {
        out +=
            &format!("{} not tried: name one to try it.\n", counted(number(v, "left_out"), "node was", "nodes were"));
    }
    match number(v, "problems") {
        0 => out + "Nothing stands in the way.\n",
        n => out + &counted(n, "thing to repair", "things to repair") + ".\n",
    }
}

pub(super) fn session(v: &Value) -> String {
    let unlocked = if flag(v, "unlocked") { " Cases are open." } else { "" };
    format!("Signed in: {} ({}).{unlocked}\n", text(v, "label"), text(v, "login"))
}

pub(super) fn done(v: &Value) -> String {
    let next = text(v, "next");
    let next = if next.is_empty() { next } else { format!("Next: {next}\n") };
    format!("Done: {}\n{next}", text(v, "done"))
}

pub(super) fn invitation(v: &Value) -> String {
    format!(
        "Code for {}, good for {} days:\n\n  {}\n\n{}\n",
        text(v, "login"),
        text(v, "days"),
        text(v, "code"),
        text(v, "next")
    )
}

pub(super) fn users(v: &Value) -> String {
    let row = |u: &Value| ["login", "label", "role", "state"].map(|f| text(u, f)).to_vec();
    table(&["LOGIN", "NAME", "ROLE", "STATE"], &items(v, "users").iter().map(row).collect::<Vec<_>>())
}
