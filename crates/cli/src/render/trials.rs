//! What was tried on this machine: the table of the benchmark, the lines of the self test.

use serde_json::Value;

use super::{flag, items, number, shown, table, text};

pub(super) fn bench(v: &Value) -> String {
    let mut out = String::new();
    if let Some(machine) = v.get("machine") {
        out += &format!(
            "clearhouse {}{}, {} rounds; median (least-most), ratios of the same round\n\
             machine  {} cores, {}; Linux {}; load {} before, {} after\n\
             folder   {} on {}{}\n\n",
            text(v, "version"),
            if flag(v, "is_release") { "" } else { " BUILT WITHOUT --release: THESE FIGURES SAY NOTHING" },
            number(v, "rounds"),
            number(machine, "cores"),
            text(machine, "processor"),
            text(machine, "kernel"),
            text(machine, "load_before"),
            text(machine, "load_after"),
            text(machine, "folder"),
            text(machine, "file_system"),
            if text(machine, "untrusted").is_empty() { "" } else { ": NOT A DISK OF THIS MACHINE" },
        );
    }
    let row = |r: &Value| {
        let figure = |field| with_unit(&spread(r.get(field)), &text(r, "unit"));
        let cells = [figure("product"), figure("floor"), spread(r.get("ratio")), text(r, "goal"), text(r, "verdict")];
        [vec![text(r, "name")], cells.to_vec()].concat()
    };
    let rows: Vec<_> = items(v, "rows").iter().map(row).collect();
    if !rows.is_empty() {
        out += &table(&["NAME", "PRODUCT", "FLOOR", "RATIO", "GOAL", ""], &rows);
    }
    let grown = |r: &Value| {
        let of = |field| spread(r.get(field));
        vec![
            text(r, "messages"),
            of("deposits_per_s"),
            of("p99_ms"),
            of("start_ms"),
            of("memory_mb"),
            r.get("disk_mb").and_then(Value::as_f64).map_or_else(String::new, |mb| format!("{mb:.1}")),
        ]
    };
    let growth: Vec<_> = items(v, "growth").iter().map(grown).collect();
    if !growth.is_empty() {
        out += if rows.is_empty() { "" } else { "\n" };
        out += &table(&["MESSAGES", "DEPOSITS /s", "P99 ms", "START ms", "MEMORY MB", "DISK MB"], &growth);
    }
    if !items(v, "remarks").is_empty() {
        out += "\nWhere the time goes\n";
    }
    items(v, "remarks").iter().for_each(|remark| out += &format!("  {}\n", shown(remark)));
    out
}

fn with_unit(figure: &str, unit: &str) -> String {
    if figure.is_empty() { String::new() } else { format!("{figure} {unit}") }
}

/// `median (least-most)` with as many digits as say something; one figure where all rounds agree.
fn spread(v: Option<&Value>) -> String {
    let read = |field: &str| v.and_then(|v| v.get(field)).and_then(Value::as_f64);
    let (Some(mid), Some(low), Some(high)) = (read("median"), read("least"), read("most")) else {
        return String::new();
    };
    let digits = match mid {
        mid if mid >= 100.0 => 0,
        mid if mid >= 10.0 => 1,
        mid if mid >= 0.1 => 2,
        _ => 3,
    };
    if low == high { format!("{mid:.digits$}") } else { format!("{mid:.digits$} ({low:.digits$}-{high:.digits$})") }
}

pub(super) fn selftest(v: &Value) -> String {
    let row = |r: &Value| [text(r, "name"), text(r, "state"), text(r, "text")].to_vec();
    let mut out = String::new();
    let rows: Vec<_> = items(v, "rows").iter().map(row).collect();
    if !rows.is_empty() {
        out += &table(&["TRIED", "", ""], &rows);
    }
    for failed in items(v, "rows").iter().filter(|r| !text(r, "next").is_empty()) {
        out += &format!("\n{} {}\n    {}\n", text(failed, "code"), text(failed, "name"), text(failed, "next"));
    }
    if v.get("failed").is_some() {
        out += &format!(
            "\n{} tried, {} failed, {} cannot be tried here; {:.1} s\n",
            rows.len(),
            number(v, "failed"),
            number(v, "cannot"),
            v.get("seconds").and_then(Value::as_f64).unwrap_or_default(),
        );
    }
    out
}
