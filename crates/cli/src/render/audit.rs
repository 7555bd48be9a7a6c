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
