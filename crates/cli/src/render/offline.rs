//! What was done without a node: a node made, a configuration, an import, a file saved.

use serde_json::Value;

use super::{counted, flag, items, number, pairs, shown, table, text};

pub(super) fn init(v: &Value) -> String {
    pairs(
        0,
        &[
            ("node made", text(v, "folder")),
            ("network", text(v, "network")),
            ("kind", text(v, "kind")),
            ("network id", text(v, "net")),
            ("organisation", text(v, "org")),
            ("node", text(v, "node")),
            ("fingerprint", text(v, "fingerprint")),
            ("administrator", text(v, "admin")),
        ],
    )
}

pub(super) fn backup(v: &Value) -> String {
    let destroyed = match number(v, "older_destroyed") {
        0 => String::new(),
        older => format!("the keys of {}", counted(older, "older backup", "older backups")),
    };
    let stays = |field, why: &str| match number(v, field) {
        0 => String::new(),
        older => format!("{} {why}", counted(older, "older backup", "older backups")),
    };
    let other_key = "of another recovery key: once two new sheets opened this one (backup verify), delete it yourself";
    let unreadable = "whose keys cannot be read: whatever was erased may be in it; look, and delete it yourself";
    let size = v.get("bytes").map_or_else(String::new, |_| format!("{} KiB", number(v, "bytes").div_ceil(1024)));
    pairs(
        0,
        &[
            ("restored to", text(v, "folder")),
            ("backup", text(v, "file")),
            ("its keys", text(v, "keys")),
            ("made", text(v, "made")),
            ("node", text(v, "node")),
            ("size", size),
            ("commits", text(v, "commits")),
            ("rows", text(v, "rows")),
            ("log entries", text(v, "entries")),
            ("last head", text(v, "head")),
            ("sealed to", text(v, "sealed_to")),
            ("checked", text(v, "verified")),
            ("expires", text(v, "expires")),
            ("expired", v.get("expired").map(shown).unwrap_or_default()),
            ("destroyed", destroyed),
            ("not destroyed", stays("older_other_key", other_key)),
            ("not readable", stays("older_unreadable", unreadable)),
        ],
    )
}

pub(super) fn backups(v: &Value) -> String {
    let row = |r: &Value| ["time", "node", "entries", "bytes", "state", "file"].map(|field| text(r, field)).to_vec();
    let rows: Vec<_> = items(v, "rows").iter().map(row).collect();
    match rows.is_empty() {
        true => "No backup is in this folder.\n".to_owned(),
        false => table(&["MADE", "NODE", "ENTRIES", "BYTES", "STATE", "FILE"], &rows),
    }
}

pub(super) fn recovery_key(v: &Value) -> String {
    let mut out = pairs(0, &[("recovery key", text(v, "key")), ("instead of", text(v, "replaced"))]);
    for path in items(v, "written") {
        out += &format!("  {}\n", shown(path));
    }
    out
}

pub(super) fn config(v: &Value) -> String {
    let row = |r: &Value| {
        let value = r.get("value").map(shown).unwrap_or_default();
        let value = if value.is_empty() { "(none)".to_owned() } else { value };
        vec![text(r, "key"), text(r, "from"), value]
    };
    let rows: Vec<_> = items(v, "values").iter().map(row).collect();
    format!("{}\n\n{}", text(v, "file"), table(&["KEY", "FROM", "VALUE"], &rows))
}

pub(super) fn config_check(v: &Value) -> String {
    format!("{} is right.\n", text(v, "file"))
}

pub(super) fn htcds(v: &Value) -> String {
    let column = |c: &Value| ["column", "field", "label"].map(|f| text(c, f)).to_vec();
    let columns: Vec<_> = items(v, "columns").iter().map(column).collect();
    let row = |r: &Value| ["row", "fields", "parts"].map(|f| text(r, f)).to_vec();
    let rows: Vec<_> = items(v, "rows").iter().map(row).collect();
    let mut out = format!(
        "Sheet {}\n\n{}\n{}",
        text(v, "sheet"),
        table(&["COLUMN", "FIELD", "LABEL"], &columns),
        table(&["ROW", "FIELDS", "PROFILE PARTS"], &rows)
    );
    if !items(v, "findings").is_empty() {
        out += "\n";
    }
    for finding in items(v, "findings") {
        let mark = if flag(finding, "problem") { "NOT TAKEN" } else { "note     " };
        out += &format!("{mark}  {}\n", text(finding, "text"));
    }
    let written = items(v, "written");
    out += &format!(
        "\n{}, {}, {}.\n",
        counted(items(v, "rows").len() as u64, "case", "cases"),
        counted(number(v, "problems"), "thing not taken", "things not taken"),
        counted(written.len() as u64, "draft written", "drafts written")
    );
    for path in written {
        out += &format!("  {}\n", shown(path));
    }
    out
}

pub(super) fn saved(v: &Value) -> String {
    format!("Written: {} ({} bytes)\n", text(v, "file"), number(v, "bytes"))
}

pub(super) fn version(v: &Value) -> String {
    format!("clearhouse {} ({}, suite {})\n", text(v, "version"), text(v, "protocol"), text(v, "suites"))
}
