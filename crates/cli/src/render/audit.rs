//! The log: its entries, a proof, a folder written, a folder checked.

use serde_json::Value;

use super::{counted, flag, items, number, table, text};

pub(super) fn list(v: &Value) -> String {
    let row = |e: &Value| {
        let mut row = vec![number(e, "index").to_string()];
        row.extend(["time", "event", "message", "with", "role", "due"].map(|field| text(e, field)));
        row.push(if flag(e, "signed") { "yes" } else { "not yet" }.to_owned());
        row
    };
    let rows: Vec<_> = items(v, "entries").iter().map(row).collect();
    let head = ["ENTRY", "TIME", "WHAT", "MESSAGE", "WITH", "AS", "DUE", "SIGNED"];
    let all = counted(number(v, "events"), "entry", "entries");
    format!(
        "{}\n{all}, {} under a signed head. Times are in steps of ten minutes.\n",
        table(&head, &rows),
        number(v, "signed")
    )
}

pub(super) fn proof(v: &Value) -> String {
    text(v, "proof")
}

pub(super) fn export(v: &Value) -> String {
    let (folder, entries) = (text(v, "folder"), counted(number(v, "entries"), "entry", "entries"));
    format!("{folder}: {entries}. Anybody can check it: clearhouse audit verify {folder}\n")
}

pub(super) fn verify(v: &Value) -> String {
    let entries = counted(number(v, "entries"), "entry", "entries");
    let since = match v.get("since").and_then(Value::as_u64) {
        Some(since) => format!("Nothing was removed or changed since the checkpoint of {since}; {entries}"),
        None => format!("Nothing was removed or changed under this checkpoint; {entries}"),
    };
    let whose = match text(v, "vouched").as_str() {
        "records" => format!(
            "signed by {}, for whom the coordinators of network {} vouch. Compare that number with one you know.",
            text(v, "by"),
            text(v, "net").chars().take(16).collect::<String>()
        ),
        "given key" => "signed by the key you gave.".to_owned(),
        _ => "signed by the key the folder itself names. Compare it with one you know.".to_owned(),
    };
    let witness = |w: &Value| format!("  {} ({}) at {}\n", text(w, "label"), text(w, "country"), text(w, "time"));
    let witnesses = items(v, "witnesses");
    let seen = match witnesses.len() as u64 {
        0 => "No witness has cosigned it.\n".to_owned(),
        n => counted(n, "witness has cosigned it", "witnesses have cosigned it") + ":\n",
    };
    let witnesses: String = witnesses.iter().map(witness).collect();
    format!("{since}; {whose}\n{seen}{witnesses}\nlog  {}\nkey  {}\n", text(v, "origin"), text(v, "key"))
}

pub(super) fn logs(v: &Value) -> String {
    let yes = |v: &Value, field, word: &str| if flag(v, field) { word.to_owned() } else { String::new() };
    let told = |t: &Value| {
        vec![text(t, "with"), number(t, "took").to_string(), yes(t, "refused", "refused the last account: tell them")]
    };
    let told: Vec<_> = items(v, "told").iter().map(told).collect();
    let own = counted(number(v, "events"), "entry", "entries");
    let mut page = format!("This node's log has {own}.\n");
    if !told.is_empty() {
        page += &format!("\n{}", table(&["COORDINATOR", "HAS", ""], &told));
    }
    let heard = |h: &Value| {
        let mut row = vec![text(h, "with"), number(h, "entries").to_string(), text(h, "cosigned"), text(h, "heard")];
        row.push(yes(h, "contradicted", "contradicts its own head"));
        row
    };
    let heard: Vec<_> = items(v, "heard").iter().map(heard).collect();
    if !heard.is_empty() {
        page += &format!("\n{}", table(&["LOG OF", "ENTRIES", "COSIGNED", "LAST HEARD", ""], &heard));
    }
    page
}

pub(super) fn reconcile(v: &Value) -> String {
    let logs = items(v, "logs");
    let entries: u64 = logs.iter().map(|log| number(log, "entries")).sum();
    let mut page = format!(
        "{} of {} held against each other: {}.\n",
        counted(entries, "entry", "entries"),
        counted(logs.len() as u64, "log", "logs"),
        match number(v, "findings") {
            0 => "nothing is missing".to_owned(),
            n => counted(n, "finding", "findings"),
        }
    );
    if number(v, "waiting") > 0 {
        let wait = counted(number(v, "waiting"), "question waits", "questions wait");
        page += &format!("{wait} for logs that were not heard far enough yet.\n");
    }
    for alert in items(v, "alerts") {
        let (from, to) = (text(alert, "from"), text(alert, "to"));
        page += &format!(
            "\nURGENT  {}: phone {from} and {to} now.\n        {}\n",
            text(alert, "finding"),
            meaning(&text(alert, "finding"))
        );
    }
    let node =
        |n: &Value| vec![text(n, "finding"), text(n, "with"), text(n, "week"), meaning(&text(n, "finding")).to_owned()];
    let nodes: Vec<_> = items(v, "nodes").iter().map(node).collect();
    if !nodes.is_empty() {
        page += &format!("\n{}", table(&["FINDING", "NODE OF", "WEEK OF", "MEANING"], &nodes));
    }
    let corridors: Vec<_> = items(v, "corridors").iter().map(corridor).collect();
    if !corridors.is_empty() {
        page += &format!("\n{}", table(&["FROM", "TO", "OPEN", "WHAT IS MISSING"], &corridors));
    }
    page + "\nOrganisations, weeks and counts only; a corridor with few open messages shows no figures.\n"
}

pub(super) fn alarms(v: &Value) -> String {
    let knows =
        |a: &Value, end: &str, field: &str| format!("{end} {}", if flag(a, field) { "knows" } else { "NOT YET TOLD" });
    let row = |a: &Value| {
        let (from, to, ended) = (text(a, "from"), text(a, "to"), text(a, "ended"));
        let taken = match (text(a, "taken_by"), ended.is_empty()) {
            (_, false) => format!("ended {ended}"),
            (by, true) if by.is_empty() => "NOBODY YET".to_owned(),
            (by, true) => format!("{by}, {}", text(a, "taken")),
        };
        let told = format!("{}, {}", knows(a, &from, "from_knows"), knows(a, &to, "to_knows"));
        vec![number(a, "alarm").to_string(), text(a, "kind"), text(a, "since"), taken, told]
    };
    let rows: Vec<_> = items(v, "alarms").iter().map(row).collect();
    if rows.is_empty() {
        return "No alarm was raised.\n".to_owned();
    }
    let page = table(&["ALARM", "WHAT", "SINCE", "TAKEN UP BY", "TOLD"], &rows);
    let next =
        "Phone both organisations of every alarm that nobody has taken up: clearhouse audit alarms --take NUMBER\n";
    if number(v, "open") == 0 { page } else { page + "\n" + next }
}

fn corridor(c: &Value) -> Vec<String> {
    let mut row = vec![text(c, "from"), text(c, "to")];
    if c.get("open").is_none() {
        row.extend(["few".to_owned(), if flag(c, "overdue") { "something is overdue" } else { "" }.to_owned()]);
        return row;
    }
    let finding = |f: &Value| format!("{} {} (week of {})", number(f, "count"), text(f, "finding"), text(f, "week"));
    let findings: Vec<String> = items(c, "findings").iter().map(finding).collect();
    row.extend([number(c, "open").to_string(), findings.join(", ")]);
    row
}

/// What a finding says, in words for a person who has to act on it.
fn meaning(finding: &str) -> &'static str {
    match finding {
        "OVERDUE_ARRIVAL" => "She left, the day is over, and nobody said whether she arrived.",
        "UNANSWERED" => "A notice was not answered in time.",
        "SPLIT_VIEW" => "The log signed heads that do not fit together: it shows different things to different people.",
        "NOT_WITNESSED" => "No head with enough witnesses, or none lately: the node is down, cut off, or keeps back.",
        "LOG_MISMATCH" => "The entries it showed are not those it signed for.",
        "UNEXPLAINED" => "An entry was shown without what it says, and nothing tells that it was erased.",
        "BACKDATED" => "An entry claims a time at which it was not in the log.",
        "UNATTENDED" => "Received, and no person opened it in time.",
        "WITHHELD_BY_RECIPIENT" => "The recipient's mailbox took it, and its log knows nothing of it.",
        "RECIPIENT_OFFLINE" => "It lies in the mailbox: the recipient's node is locked or off.",
        "LOST_OR_NOT_DEPOSITED" => "Sent, and no trace of it after that.",
        "UNLOGGED_SENDER" => "Received, and the sender's log does not say that it was sent.",
        "MISDIRECTED" => "The logs disagree on who sent it to whom.",
        "REPLAY" => "One envelope was received more than once.",
        "ERASED_UNOPENED" => "Erased, and no person had opened it.",
        "ERASED_OPEN_NOTICE" => "Erased while an answer or an arrival was still due.",
        "PROBING" => "Far more of this sender's messages are refused than is usual.",
        _ => "",
    }
}
