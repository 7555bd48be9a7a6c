//! The log: its entries, a proof, a folder written, a folder checked.

use serde_json::Value;

use super::{counted, flag, items, number, pairs, table, text};

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

pub(super) fn bundle(v: &Value) -> String {
    let (folder, entries) = (text(v, "folder"), counted(number(v, "entries"), "entry", "entries"));
    let head = v.get("head").unwrap_or(&Value::Null);
    let proved =
        if flag(head, "enough") { "" } else { " Too few witnesses have seen the head yet: a later one shows more." };
    format!(
        "{folder}: {entries}, each with its proof.{proved} Anybody can check it: clearhouse audit verify {folder}\n"
    )
}

pub(super) fn entry(v: &Value) -> String {
    let (none, head) = (Value::Null, v.get("head").unwrap_or(&Value::Null));
    let e = v.get("entry").unwrap_or(&none);
    let under = format!("the head of {}", counted(number(head, "entries"), "entry", "entries"));
    let proof = match text(v, "proof").as_str() {
        "witnessed" => format!("under {under}, which {} saw by {}", saw(head), text(head, "time")),
        "signed" => format!("under {under}, signed here; {}, which is not enough yet", saw(head)),
        "pending" => "under no signed head yet; the next one covers it".to_owned(),
        other => other.to_owned(),
    };
    let other_side = match text(v, "other_side").as_str() {
        "given" => "has been sent the proof",
        "owed" => "is sent the proof after a head that enough witnesses saw",
        _ => "",
    };
    let field = |name| text(e, name);
    pairs(
        0,
        &[
            ("entry", field("index")),
            ("what", field("event")),
            ("time", field("time")),
            ("message", field("message")),
            ("with", field("with")),
            ("as", field("role")),
            ("due", field("due")),
            ("envelope", field("envelope")),
            ("answers", field("answers")),
            ("proof", proof),
            ("other side", other_side.to_owned()),
        ],
    )
}

/// "three witnesses in three countries"; without the countries when one of them is not known.
fn saw(v: &Value) -> String {
    let witnesses = items(v, "witnesses");
    let mut countries: Vec<String> = witnesses.iter().map(|w| text(w, "country")).collect();
    countries.sort_unstable();
    countries.dedup();
    let seen = match witnesses.len() as u64 {
        0 => return "no witness".to_owned(),
        1 => "one witness".to_owned(),
        n => format!("{} witnesses", words(n)),
    };
    match countries.len() as u64 {
        _ if countries.iter().any(String::is_empty) => seen,
        1 => format!("{seen} in one country"),
        n => format!("{seen} in {} countries", words(n)),
    }
}

/// A number as people write it: small ones in words, large ones in groups of three.
fn words(n: u64) -> String {
    const SMALL: [&str; 13] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    let small = usize::try_from(n).ok().and_then(|n| SMALL.get(n));
    small.map_or_else(|| grouped(n), |word| (*word).to_owned())
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let places = digits.char_indices().map(|(at, digit)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        if comma { format!(",{digit}") } else { digit.to_string() }
    });
    places.collect()
}

fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(n)) }
}

/// `2026-11-14T12:00Z` as `14 November 2026`.
fn day(time: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let mut parts = time.get(..10).unwrap_or_default().split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|m| MONTHS.get(m.parse::<usize>().ok()?.checked_sub(1)?));
    match (year, month, day.and_then(|d| d.parse::<u8>().ok())) {
        (Some(year), Some(month), Some(day)) => format!("{day} {month} {year}"),
        _ => time.to_owned(),
    }
}

/// The one sentence about a whole log: since when, how much, who saw it.
fn sentence(v: &Value) -> String {
    let (time, since_time) = (text(v, "time"), text(v, "since_time"));
    let since = match v.get("since").and_then(Value::as_u64) {
        Some(_) if !since_time.is_empty() => format!("since {}", day(&since_time)),
        Some(since) => format!("since the checkpoint of {} that you kept", entries(since)),
        None if !time.is_empty() => format!("since {}", day(&time)),
        None => "under this checkpoint".to_owned(),
    };
    format!("Nothing was removed or changed {since}; {}; {}", entries(number(v, "entries")), witnessed(v))
}

fn witnessed(v: &Value) -> String {
    let few = number(v, "listed") > 0 && !flag(v, "enough");
    format!("{}{}", saw(v), if few { ", too few to count" } else { "" })
}

/// Whose it is, who saw it, and its names.
fn grounds(v: &Value) -> String {
    let whose = match text(v, "vouched").as_str() {
        "records" => format!(
            "Signed by {}, for whom the coordinators of network {} vouch. Compare that number with one you know.",
            text(v, "by"),
            text(v, "net").chars().take(16).collect::<String>()
        ),
        "given key" => "Signed by the key you gave.".to_owned(),
        _ => "Signed by the key the folder itself names. Compare it with one you know.".to_owned(),
    };
    let witness = |w: &Value| {
        let (label, country) = (text(w, "label"), text(w, "country"));
        let place = if country.is_empty() { String::new() } else { format!(" ({country})") };
        format!("  {label}{place} at {}\n", text(w, "time"))
    };
    let lines = |field, head: &str| match items(v, field) {
        [] => String::new(),
        all => format!("{head}\n{}", all.iter().map(witness).collect::<String>()),
    };
    let ahead = "Not counted: dated after this machine's clock, so one of the two clocks is wrong.";
    let (seen, ahead) = (lines("witnesses", "Cosigned by"), lines("not_counted", ahead));
    format!("{whose}\n{seen}{ahead}\nlog  {}\nkey  {}\n", text(v, "origin"), text(v, "key"))
}

pub(super) fn verify(v: &Value) -> String {
    format!("{}.\n{}", sentence(v), grounds(v))
}

pub(super) fn evidence(v: &Value) -> String {
    let (count, time) = (number(v, "entries"), text(v, "time"));
    let log = entries(number(v, "log_entries"));
    let stood = if count == 1 { "stands in this log as it was" } else { "stand in this log as they were" };
    let since = if time.is_empty() { String::new() } else { format!(" since {} at the latest", day(&time)) };
    let evidence = items(v, "evidence");
    let row =
        |e: &Value| ["index", "time", "event", "message", "with", "role", "due"].map(|field| text(e, field)).to_vec();
    let rows: Vec<_> = evidence.iter().map(row).collect();
    let head = ["ENTRY", "TIME", "WHAT", "MESSAGE", "WITH", "AS", "DUE"];
    format!(
        "{} {stood} logged{since}; {log} in all; {}.\n{}\n{}",
        entries(count),
        witnessed(v),
        grounds(v),
        table(&head, &rows)
    )
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(countries: &[&str]) -> Value {
        let all = countries.iter().map(|c| json!({"label": "x", "country": c, "time": "2026-11-14T12:00Z"}));
        json!({"entries": 1204, "listed": 4, "enough": true, "time": "2026-11-20T12:00Z", "witnesses": all.collect::<Vec<_>>()})
    }

    #[test]
    fn a_log_that_holds_is_told_in_one_sentence_that_says_no_more_than_is_known() {
        let mut v = seen(&["RO", "IT", "MD"]);
        assert_eq!(
            sentence(&v),
            "Nothing was removed or changed since 20 November 2026; 1,204 entries; three witnesses in three countries"
        );
        v["since"] = json!(1);
        v["since_time"] = json!("2026-11-04T23:59Z");
        assert!(sentence(&v).starts_with("Nothing was removed or changed since 4 November 2026; "));
        v["since_time"] = Value::Null;
        assert!(
            sentence(&v).starts_with("Nothing was removed or changed since the checkpoint of 1 entry that you kept; ")
        );
        v["since"] = Value::Null;
        v["time"] = Value::Null;
        v["enough"] = json!(false);
        assert_eq!(
            sentence(&v),
            "Nothing was removed or changed under this checkpoint; 1,204 entries; three witnesses in three countries, too few to count"
        );
        let tail = |v: &Value| sentence(v).rsplit("; ").next().map(str::to_owned).unwrap_or_default();
        assert_eq!(tail(&seen(&["IT", "IT"])), "two witnesses in one country");
        assert_eq!(tail(&seen(&["IT"])), "one witness in one country");
        assert_eq!(tail(&seen(&["IT", ""])), "two witnesses", "the country of one is not known");
        assert_eq!(tail(&json!({"entries": 1})), "no witness");
        assert_eq!((grouped(0), grouped(999), grouped(1_000_000)), ("0".into(), "999".into(), "1,000,000".into()));
    }
}
