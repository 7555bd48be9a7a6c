//! Organisations and their records: in plain words, with what is compared by voice. What coordinators sign is next door.

use clearhouse_casework::forms::show_time;
use serde_json::Value;

use super::ceremonies::{membership, signers, so_far};
use super::{counted, flag, items, number, pairs, table, text};

pub(super) fn directory(v: &Value) -> String {
    let row = |o: &Value| {
        let own = if flag(o, "self") { "this node" } else { "" };
        let contested = if flag(o, "contested") { "TWO DIFFERENT RECORDS SIGNED" } else { "" };
        let state = [text(o, "state"), contested.to_owned(), own.to_owned()];
        let state: Vec<String> = state.into_iter().filter(|word| !word.is_empty()).collect();
        vec![text(o, "label"), text(o, "country"), text(o, "roles"), text(o, "org"), state.join(" ")]
    };
    let rows: Vec<_> = items(v, "organisations").iter().map(row).collect();
    let log = |l: &Value| ["of", "entries", "heard"].map(|f| text(l, f)).to_vec();
    let logs: Vec<_> = items(v, "logs").iter().map(log).collect();
    let logs = match logs.len() {
        0 => String::new(),
        _ => format!("\n{}", table(&["DIRECTORY LOG OF", "ENTRIES", "HEARD"], &logs)),
    };
    format!(
        "{}\n{}{logs}",
        pairs(0, &[("network", text(v, "network")), ("kind", text(v, "kind")), ("id", text(v, "net"))]),
        table(&["ORGANISATION", "CC", "ROLES", "ID", "STATE"], &rows)
    )
}

pub(super) fn history(v: &Value) -> String {
    let row = |e: &Value| ["entry", "label", "what", "new"].map(|f| text(e, f)).to_vec();
    let rows: Vec<_> = items(v, "entries").iter().map(row).collect();
    let all = table(&["ENTRY", "ORGANISATION", "WHAT", "NEW IN IT"], &rows);
    format!("{}\n{all}", pairs(0, &[("directory log of", text(v, "log"))]))
}

pub(super) fn organisation(v: &Value) -> String {
    let until = v.get("valid_until").and_then(Value::as_u64).map(show_time).unwrap_or_default();
    let mut out = pairs(
        0,
        &[
            ("organisation", text(v, "label")),
            ("country", text(v, "country")),
            ("roles", text(v, "roles")),
            ("competences", text(v, "competences")),
            ("id", text(v, "org")),
            ("valid until", until),
            ("fingerprint", text(v, "fingerprint")),
        ],
    );
    out += &pairs(0, &membership(v));
    for node in items(v, "nodes") {
        out += "\n";
        out += &pairs(
            0,
            &[
                ("node", text(node, "node")),
                ("reached at", text(node, "endpoints")),
                ("languages", text(node, "languages")),
                ("answers", text(node, "duty")),
                ("otherwise ask", text(node, "alternate")),
                ("for children", child_places(node)),
                ("confirmed", text(node, "attested")),
                ("state", text(node, "state")),
            ],
        );
    }
    out
}

fn child_places(v: &Value) -> String {
    match v.get("child_places").and_then(Value::as_bool) {
        Some(true) => "places".to_owned(),
        Some(false) => "no places".to_owned(),
        None => String::new(),
    }
}

pub(super) fn attested(v: &Value) -> String {
    let mut out = pairs(
        0,
        &[
            ("confirmed", text(v, "attested")),
            ("answers", text(v, "duty")),
            ("otherwise ask", text(v, "alternate")),
            ("for children", child_places(v)),
        ],
    );
    out += &format!("Others rely on it until {}. Say it again before.\n", text(v, "stale_from"));
    out
}

pub(super) fn import(v: &Value) -> String {
    let mut out = format!("{} new, {} known already.\n", number(v, "new"), number(v, "known"));
    if number(v, "waiting") > 0 {
        out += &format!(
            "{}: not signed by the old one, for three days everybody can see it and object. `clearhouse doctor` tells.\n",
            counted(number(v, "waiting"), "NEW ROOT KEY WAITS", "NEW ROOT KEYS WAIT")
        );
    }
    if number(v, "contested") > 0 {
        out += &format!(
            "{} another that is held: somebody signed two truths, and neither counts. Phone your coordinators.\n",
            counted(number(v, "contested"), "record CONTRADICTS", "records CONTRADICT")
        );
    }
    if v.get("answered").is_some() {
        let silent = counted(number(v, "unreachable"), "node", "nodes");
        out += &format!("{} answered, {silent} did not.\n", counted(number(v, "answered"), "node", "nodes"));
    }
    for page in items(v, "damaged_pages") {
        out += &format!(
            "Page {} is damaged: nothing of it was taken. Have the file written again.\n",
            text(page, "number")
        );
    }
    for peer in items(v, "not_followed") {
        out += &format!("Not followed: node {}: {}\n", text(peer, "node"), text(peer, "why"));
    }
    for refused in items(v, "refused") {
        out += &format!("Refused: record {}: {}\n", text(refused, "record"), text(refused, "why"));
    }
    out
}

pub(super) fn records(v: &Value) -> String {
    let row = |r: &Value| {
        let verdict = match (flag(r, "holds"), flag(r, "expired")) {
            (true, false) => "holds".to_owned(),
            (true, true) => "holds, EXPIRED".to_owned(),
            (false, _) => format!("DOES NOT HOLD: {}", text(r, "why")),
        };
        vec![text(r, "kind"), text(r, "subject"), text(r, "until"), verdict]
    };
    let rows: Vec<_> = items(v, "records").iter().map(row).collect();
    let end = match number(v, "broken") {
        0 => "Every record holds.".to_owned(),
        n => counted(n, "record does not hold: do not use it.", "records do not hold: do not use them."),
    };
    format!(
        "{}\n{}\n{end}\n",
        pairs(0, &[("network", text(v, "network")), ("id", text(v, "net"))]),
        table(&["RECORD", "OF", "UNTIL", "VERDICT"], &rows)
    )
}

pub(super) fn founding(v: &Value) -> String {
    let row = |c: &Value| ["country", "name", "id", "fingerprint", "key"].map(|f| text(c, f)).to_vec();
    let rows: Vec<_> = items(v, "coordinators").iter().map(row).collect();
    let votes = format!(
        "{} accredit, {} revoke, {} change the policy",
        text(v, "accredit"),
        text(v, "revoke"),
        text(v, "root")
    );
    format!(
        "{}\n{}",
        pairs(
            0,
            &[
                ("network founded", text(v, "network")),
                ("kind", text(v, "kind")),
                ("id", text(v, "net")),
                ("signatures", votes),
                ("valid until", text(v, "until")),
                ("genesis", text(v, "genesis")),
            ]
        ),
        table(&["CC", "COORDINATOR", "ID", "FINGERPRINT", "KEY"], &rows)
    )
}

pub(super) fn policy(v: &Value) -> String {
    let mut out = format!("Policy {} of the network {}:\n", number(v, "version"), text(v, "network"));
    let mut lines: Vec<_> = items(v, "changes").iter().map(|change| ("changes", super::shown(change))).collect();
    lines.extend([("valid until", text(v, "until")), ("its words", text(v, "words"))]);
    lines.extend(signers(v));
    out += &pairs(2, &lines);
    out += &so_far(v, "Submit it on a coordinator's node; every other takes it from there.");
    out + &pairs(0, &[("written", text(v, "file"))])
}

pub(super) fn words(v: &Value) -> String {
    let lines = [("organisation", text(v, "label")), ("id", text(v, "org")), ("words", text(v, "words"))];
    pairs(0, &lines) + "Read them to each other over the telephone: all eight have to be the same.\n"
}
