//! `import htcds`: a workbook of cases becomes drafts, one file each, that a person completes and sends.
//!
//! Nothing goes to the node and nothing is sent. Refuses a file with anything it could not take, unless rows are named;
//! quotes a cell only on the screen of the person who imports; makes no consent out of a tick-box.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_casework::htcds::fields::find;
use clearhouse_casework::htcds::{
    CaseRow, FILE_MAX, Finding, Import as Read, NoticeSuggestion, ReadOptions, Reading, Severity, WhyLeftOut,
};
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::limits::HOUR;
use clearhouse_wire::v1::{FieldValue, ProfilePart};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::ask::wipe;
use crate::cli::App;
use crate::files::{self, NewFile};
use crate::forms::DRAFT_SCHEMA;
use crate::output::plain;
use crate::trouble::{Code, Exit, Trouble};
use crate::workbook::read_quietly;

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
        let import = read_quietly(&bytes, &options).map_err(|fault| {
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
            let mut file = NewFile::create(&path)?;
            file.write(Draft::of(row, import, now).text().as_bytes())?;
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

/// One case as a draft, in the order a person works through it. What the workbook does not say is `null`, and `--from`
/// asks for it.
#[derive(Serialize)]
struct Draft {
    schema: &'static str,
    row: u32,
    notice: NoticeDraft,
    profile: Value,
    read_before_sending: Vec<&'static str>,
    not_taken: Vec<String>,
    left_out: Vec<Value>,
}

impl Draft {
    fn of(row: &CaseRow, import: &Read, now: u64) -> Self {
        let profile = row.to_profile_parts();
        let field = |f: &FieldValue| {
            if f.null_reason.is_empty() {
                json!({"field": f.field, "values": f.values})
            } else {
                json!({"field": f.field, "null_reason": f.null_reason})
            }
        };
        let part = |p: &ProfilePart| json!({"data_class": p.data_class, "fields": p.fields.iter().map(field).collect::<Vec<_>>()});
        let about = |f: &&Finding| f.row().is_none_or(|r| r == row.row_number());
        Self {
            schema: DRAFT_SCHEMA,
            row: row.row_number(),
            notice: NoticeDraft::of(&row.notice_suggestions(earliest_day(now))),
            profile: json!({"for_worker": "", "parts": profile.parts.iter().map(part).collect::<Vec<_>>()}),
            read_before_sending: profile.free_text,
            not_taken: import.report.blocking().filter(about).map(Finding::sentence).collect(),
            left_out: profile.left_out.iter().map(|l| json!({"field": l.field, "why": why(l.why)})).collect(),
        }
    }

    /// The text of its file.
    fn text(&self) -> Zeroizing<String> {
        // Plain texts, numbers and lists: this cannot fail.
        Zeroizing::new(serde_json::to_string_pretty(self).unwrap_or_default() + "\n")
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        wipe(&mut self.profile);
    }
}

fn why(why: WhyLeftOut) -> &'static str {
    match why {
        WhyLeftOut::StaysLocal => "never leaves the local case file",
        WhyLeftOut::TravelsElsewhere => "travels in another message, not in a profile",
        WhyLeftOut::NeedsSafeContact => "a phone number needs the safe-contact rules first",
    }
}

/// The notice as far as the workbook suggests it, field by field as `notice send --from` wants it. Nothing that a
/// person must decide is decided here.
#[derive(Serialize)]
struct NoticeDraft {
    age_band: Option<&'static str>,
    age_status: Option<&'static str>,
    age_basis: Option<&'static str>,
    gender: Option<&'static str>,
    citizenship: Option<Vec<&'static str>>,
    languages: Option<Vec<&'static str>>,
    dependant_bands: Vec<&'static str>,
    window_from: Option<()>,
    window_to: Option<()>,
    country: Option<&'static str>,
    region: Option<()>,
    services: Option<Vec<&'static str>>,
    risk_level: Option<&'static str>,
    urgency: Option<()>,
    voluntary: Option<()>,
    alternatives_explained: Option<()>,
    trafficking_status: Option<&'static str>,
    status_decided_by: Option<&'static str>,
    referral_reason: Option<&'static str>,
    worker: Nobody,
    alternate: Nobody,
    /// For everybody who is not known to be an adult: `null` there, absent here.
    #[serde(skip_serializing_if = "Option::is_none")]
    guardian_status: Option<Option<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_interests: Option<Option<&'static str>>,
}

/// A worker still to be named.
#[derive(Serialize, Default)]
struct Nobody {
    label: Option<()>,
    role: Option<()>,
}

impl NoticeDraft {
    fn of(s: &NoticeSuggestion) -> Self {
        let list = |values: &[&'static str]| (!values.is_empty()).then(|| values.to_vec());
        let maybe_child = s.age_status != Some("Adult");
        Self {
            age_band: s.age_band,
            age_status: s.age_status,
            age_basis: s.age_basis,
            gender: s.gender,
            citizenship: list(&s.citizenship),
            languages: list(&s.languages),
            dependant_bands: vec![],
            window_from: None,
            window_to: None,
            country: s.country,
            region: None,
            services: list(&s.services),
            risk_level: s.risk_level,
            urgency: None,
            voluntary: None,
            alternatives_explained: None,
            trafficking_status: s.trafficking_status,
            status_decided_by: s.status_decided_by,
            referral_reason: s.referral_reason,
            worker: Nobody::default(),
            alternate: Nobody::default(),
            guardian_status: maybe_child.then_some(s.guardian_status),
            best_interests: maybe_child.then_some(s.best_interests),
        }
    }
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
    use clearhouse_casework::forms::NoticeForm;

    use super::*;

    #[test]
    fn nothing_a_person_must_decide_is_decided_by_an_import() {
        let suggestion = NoticeSuggestion { age_status: Some("Adult"), age_band: Some("24--26"), ..Default::default() };
        let notice = serde_json::to_value(NoticeDraft::of(&suggestion)).unwrap();
        for open in ["alternatives_explained", "window_from", "urgency", "voluntary", "country", "services"] {
            assert!(notice[open].is_null(), "{open}");
        }
        assert!(notice.get("guardian_status").is_none());
    }

    #[test]
    fn who_is_not_known_to_be_an_adult_is_asked_for_a_guardian() {
        for status in [None, Some("Child"), Some("PresumedChild"), Some("AgeDisputed")] {
            let suggestion = NoticeSuggestion { age_status: status, ..Default::default() };
            let notice = serde_json::to_value(NoticeDraft::of(&suggestion)).unwrap();
            assert!(notice["guardian_status"].is_null() && notice.get("guardian_status").is_some(), "{status:?}");
        }
    }

    #[test]
    fn a_draft_that_is_filled_in_is_a_notice_form() {
        for status in ["Adult", "Child"] {
            let suggestion = NoticeSuggestion { age_status: Some(status), ..Default::default() };
            let mut notice = serde_json::to_value(NoticeDraft::of(&suggestion)).unwrap();
            for (key, field) in notice.as_object_mut().unwrap() {
                match key.as_str() {
                    "citizenship" | "languages" | "services" => *field = json!([]),
                    "alternatives_explained" => *field = json!(true),
                    "worker" | "alternate" => *field = json!({"label": "Ana P.", "role": "Caseworker"}),
                    _ if field.is_null() => *field = json!("x"),
                    _ => {}
                }
            }
            assert!(serde_json::from_value::<NoticeForm>(notice).is_ok(), "{status}");
        }
    }

    #[test]
    fn days_are_those_where_a_doubt_falls_on_the_safe_side() {
        let noon = 1_795_003_200;
        assert!(latest_day(noon) > earliest_day(noon));
        assert_eq!(day(86_400).to_string(), "1970-01-02");
    }
}
