//! `import htcds`: a workbook of cases becomes drafts, one file each, that a person completes and sends.
//!
//! Nothing goes to the node and nothing is sent. Refuses a file with anything it could not take, unless rows are named;
//! quotes a cell only on the screen of the person who imports; makes no consent out of a tick-box.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_casework::htcds::fields::find;
use clearhouse_casework::htcds::{
    CaseRow, FILE_MAX, Finding, Import as Read, NoticeSuggestion, ReadOptions, Reading, Severity, WhyLeftOut, read,
};
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::limits::HOUR;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::ask::wipe;
use crate::cli::App;
use crate::files::{self, NewFile};
use crate::forms::DRAFT_SCHEMA;
use crate::output::{json_line, plain};
use crate::trouble::{Code, Exit, Trouble};

/// Turn files of other systems into drafts
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse import htcds cases.xlsx --dry-run
  clearhouse import htcds cases.xlsx --out drafts"
)]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Subcommand)]
enum From {
    /// Read a workbook of the Human Trafficking Case Data Standard
    ///
    /// Writes one draft per case into a folder, for `notice send --from` and
    /// `profile send --from`. All or nothing, unless rows are named. Exit code 3
    /// when a cell was not taken.
    #[command(after_help = "\
Examples:
  clearhouse import htcds cases.xlsx --dry-run
  clearhouse import htcds cases.xlsx --out drafts
  clearhouse import htcds cases.xlsx --out drafts --row 3 --row 7")]
    Htcds(Htcds),
}

#[derive(Args)]
struct Htcds {
    /// The workbook, .xlsx
    file: PathBuf,
    /// Only say what would be taken
    #[arg(long)]
    dry_run: bool,
    /// Where hidden column names and visible labels differ, follow the names
    #[arg(long)]
    by_name: bool,
    /// The sheet with the cases, from 1; the only one when left out
    #[arg(long, value_name = "N")]
    sheet: Option<usize>,
    /// Only this row, as the spreadsheet numbers it; can be repeated
    #[arg(long = "row", value_name = "N")]
    rows: Vec<u32>,
    /// The folder for the drafts; made if missing
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
}

impl Import {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        match self.from {
            From::Htcds(htcds) => htcds.run(app),
        }
    }
}

impl Htcds {
    fn run(self, app: &App) -> Result<Exit, Trouble> {
        let bytes = files::read(&self.file, FILE_MAX, Code::Workbook)?;
        let now = SystemClock.now();
        let reading = if self.by_name { Reading::ByName } else { Reading::ByLabel };
        let options = ReadOptions { today: latest_day(now), reading, sheet: self.sheet };
        let import = read(&bytes, &options).map_err(|fault| {
            let text = format!("{}: {fault}. Nothing was read.", self.file.display());
            Trouble::new(Code::Workbook, text, "clearhouse import htcds FILE --dry-run")
        })?;
        let chosen = self.chosen(&import)?;
        let faults = import.report.blocking().count();
        let held_back = faults > 0 && self.rows.is_empty();
        let mut reply = report(&self.file, &import);
        match &self.out {
            Some(out) if !self.dry_run && !held_back => {
                reply["written"] = self.write(out, &chosen, &import, now)?.into()
            }
            Some(_) | None => {}
        }
        app.out.reply(&reply)?;
        if !app.out.is_json() {
            quote(app, &import);
        }
        if held_back && !self.dry_run {
            app.out.say("Nothing was written: repair the file, or name the rows to take as they are with --row.");
        }
        Ok(if faults == 0 { Exit::Done } else { Exit::Findings })
    }

    /// The rows asked for; all of them when none was named.
    fn chosen<'a>(&self, import: &'a Read) -> Result<Vec<&'a CaseRow>, Trouble> {
        if self.rows.is_empty() {
            return Ok(import.rows.iter().collect());
        }
        let find_row = |wanted: &u32| {
            import.rows.iter().find(|row| row.row_number() == *wanted).ok_or_else(|| {
                let text = format!("Row {wanted} holds no case. Nothing was written.");
                Trouble::new(Code::NoRow, text, "clearhouse import htcds FILE --dry-run")
            })
        };
        let mut wanted = self.rows.clone();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.iter().map(find_row).collect()
    }

    /// Writes every draft, or none: a file that was made before another failed is removed again.
    fn write(&self, out: &Path, rows: &[&CaseRow], import: &Read, now: u64) -> Result<Vec<String>, Trouble> {
        files::private_folder(out)?;
        let mut made = Vec::with_capacity(rows.len());
        for row in rows {
            let path = out.join(format!("row-{}.json", row.row_number()));
            let mut draft = draft(row, import, now);
            let mut file = NewFile::create(&path)?;
            let written = file.write(json_line(&draft).as_bytes());
            wipe(&mut draft);
            written?;
            made.push((path, file));
        }
        let mut paths = Vec::with_capacity(made.len());
        for (path, file) in made {
            file.keep()?;
            paths.push(path.display().to_string());
        }
        Ok(paths)
    }
}

/// What was found: columns, rows, every finding. No word of a case, so it may be kept.
fn report(file: &Path, import: &Read) -> Value {
    let mut columns: BTreeMap<(usize, String), &'static str> = BTreeMap::new();
    for row in &import.rows {
        for (field, value) in row.values() {
            if let Some(cell) = value.source() {
                let column = cell.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
                columns.insert((column.len(), column), field);
            }
        }
    }
    let column = |((_, letters), field): (&(usize, String), &&'static str)| json!({"column": letters, "field": field, "label": find(field).map(clearhouse_casework::htcds::fields::Field::label)});
    let row = |r: &CaseRow| {
        let draft = r.to_profile_parts();
        let parts: Vec<&str> = draft.parts.iter().map(|p| p.data_class.as_str()).collect();
        json!({"row": r.row_number(), "fields": r.values().len(), "parts": parts})
    };
    json!({
        "schema": "ch.htcds-import/1", "file": file.display().to_string(), "sheet": import.sheet,
        "columns": columns.iter().map(column).collect::<Vec<_>>(),
        "rows": import.rows.iter().map(row).collect::<Vec<_>>(),
        "findings": import.report.findings().iter().map(finding).collect::<Vec<_>>(),
        "problems": import.report.blocking().count(), "written": [],
    })
}

fn finding(f: &Finding) -> Value {
    json!({
        "row": f.row(), "column": f.column(), "field": f.field().map(|field| field.name),
        "problem": f.severity() == Severity::Fault, "text": f.sentence(),
    })
}

/// What stood in the cells that were not understood: for this screen, and for nothing that keeps it.
fn quote(app: &App, import: &Read) {
    for finding in import.report.blocking() {
        if let Some(detail) = finding.detail() {
            let (column, row) = (finding.column().unwrap_or_default(), finding.row().map(|r| r.to_string()));
            app.out.progress(&format!("{column}{}: '{}'", row.unwrap_or_default(), plain(detail)));
        }
    }
}

/// One case as a draft. What the workbook does not say is `null`, and `--from` asks for it.
fn draft(row: &CaseRow, import: &Read, now: u64) -> Value {
    let profile = row.to_profile_parts();
    let parts: Vec<Value> = profile
        .parts
        .iter()
        .map(|part| {
            let fields: Vec<Value> = part
                .fields
                .iter()
                .map(|f| json!({"field": f.field, "values": f.values, "null_reason": f.null_reason}))
                .collect();
            json!({"data_class": part.data_class, "fields": fields})
        })
        .collect();
    let left_out: Vec<Value> = profile.left_out.iter().map(|l| json!({"field": l.field, "why": why(l.why)})).collect();
    let about: Vec<String> = import
        .report
        .blocking()
        .filter(|f| f.row().is_none_or(|r| r == row.row_number()))
        .map(Finding::sentence)
        .collect();
    json!({
        "schema": DRAFT_SCHEMA, "row": row.row_number(),
        "notice": notice(&row.notice_suggestions(earliest_day(now))),
        "profile": {"for_worker": "", "parts": parts},
        "left_out": left_out, "read_before_sending": profile.free_text, "not_taken": about,
    })
}

fn why(why: WhyLeftOut) -> &'static str {
    match why {
        WhyLeftOut::StaysLocal => "never leaves the local case file",
        WhyLeftOut::TravelsElsewhere => "travels in another message, not in a profile",
        WhyLeftOut::NeedsSafeContact => "a phone number needs the safe-contact rules first",
    }
}

/// The notice as far as the workbook suggests it. Nothing that a person must decide is decided here.
fn notice(s: &NoticeSuggestion) -> Value {
    let list = |values: &[&str]| if values.is_empty() { Value::Null } else { json!(values) };
    let nobody = || json!({"label": null, "role": null});
    let mut notice = json!({
        "age_band": s.age_band, "age_status": s.age_status, "age_basis": s.age_basis, "gender": s.gender,
        "citizenship": list(&s.citizenship), "languages": list(&s.languages), "dependant_bands": [],
        "window_from": null, "window_to": null, "country": s.country, "region": null, "services": list(&s.services),
        "risk_level": s.risk_level, "urgency": null, "voluntary": null, "alternatives_explained": null,
        "trafficking_status": s.trafficking_status, "status_decided_by": s.status_decided_by,
        "referral_reason": s.referral_reason, "worker": nobody(), "alternate": nobody(),
    });
    let known_adult = s.age_status == Some("Adult");
    if let Some(fields) = notice.as_object_mut().filter(|_| !known_adult) {
        child_fields(fields, s);
    }
    notice
}

/// A child's notice, or one of somebody whose age is not known, asks for guardian and best interests.
fn child_fields(fields: &mut Map<String, Value>, s: &NoticeSuggestion) {
    fields.insert("guardian_status".into(), json!(s.guardian_status));
    fields.insert("best_interests".into(), json!(s.best_interests));
}

/// The day at the place on earth where it is latest: a date after it lies in the future for everybody.
fn latest_day(now: u64) -> Date {
    day(now.saturating_add(14 * HOUR))
}

/// The day where it is earliest: who is of age then is of age everywhere. In doubt it is a child.
fn earliest_day(now: u64) -> Date {
    day(now.saturating_sub(12 * HOUR))
}

fn day(at: u64) -> Date {
    let seconds = i64::try_from(at).unwrap_or(0);
    let timestamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_person_must_decide_is_decided_by_an_import() {
        let suggestion = NoticeSuggestion { age_status: Some("Adult"), age_band: Some("24--26"), ..Default::default() };
        let notice = notice(&suggestion);
        for open in ["alternatives_explained", "window_from", "urgency", "voluntary", "country", "services"] {
            assert!(notice[open].is_null(), "{open}");
        }
        assert!(notice.get("guardian_status").is_none());
    }

    #[test]
    fn who_is_not_known_to_be_an_adult_is_asked_for_a_guardian() {
        for status in [None, Some("Child"), Some("PresumedChild"), Some("AgeDisputed")] {
            let notice = notice(&NoticeSuggestion { age_status: status, ..Default::default() });
            assert!(notice["guardian_status"].is_null() && notice.get("guardian_status").is_some(), "{status:?}");
        }
    }

    #[test]
    fn days_are_those_where_a_doubt_falls_on_the_safe_side() {
        let noon = 1_795_003_200;
        assert!(latest_day(noon) > earliest_day(noon));
        assert_eq!(day(86_400).to_string(), "1970-01-02");
    }
}
