//! Which column is which field: by system name *and* by visible label, never by position.
//!
//! The standard's own templates hide a row of names above a row of labels, leave one name out and let names and labels
//! of five address columns disagree (domain.md 1.1, trap 6). The label is what the caseworker saw while typing, so it
//! decides, and both readings are reported; [`Reading::ByName`] turns that round. Refuses to choose where a heading
//! fits two fields, where two columns fit one, and where a heading is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::Reading;
use super::report::{Finding, Kind, Report};
use super::sheet::{Cell, Sheet, Value};
use crate::htcds::fields::{Field, by_label, by_name};

/// Headings are looked for in this many filled rows.
const SEARCH_ROWS: usize = 30;
/// A row of headings has at least this many that are known.
const KNOWN_MIN: usize = 3;
/// Beside a row of names, this many known labels make a row of labels.
const KNOWN_BESIDE_NAMES: usize = 2;
/// Names and labels stand at most this many rows apart.
const APART_MAX: u32 = 4;

/// Where the headings of a sheet stand.
#[derive(Clone, Copy)]
pub(super) struct Headings {
    names: Option<u32>,
    labels: Option<u32>,
}

impl Headings {
    /// Looks for a row of names and a row of labels; `None` when the sheet is no case sheet.
    pub(super) fn find(sheet: &Sheet) -> Option<Self> {
        let rows: Vec<u32> = sheet.rows().into_iter().take(SEARCH_ROWS).collect();
        let names = best(&rows, KNOWN_MIN, &|row| known(sheet, row, &|text| by_name(text).into_iter().collect()));
        let labelled = |row| known(sheet, row, &|text| by_label(text).to_vec());
        let Some(at) = names else {
            // A sheet of labels alone may be the list of allowed values: that one has lists and nothing else.
            let labels = best(&rows, KNOWN_MIN, &labelled);
            let is_table = |row: &u32| labelled(*row).iter().filter_map(|f| by_name(f)).any(|f| !f.kind.is_closed());
            return labels.filter(is_table).map(|row| Self { names: None, labels: Some(row) });
        };
        let near: Vec<u32> = rows.into_iter().filter(|r| *r != at && r.abs_diff(at) <= APART_MAX).collect();
        let labels = best(&near, KNOWN_BESIDE_NAMES, &labelled).or_else(|| unknown_labels(sheet, at, &near));
        Some(Self { names, labels })
    }

    /// Whether names, not only labels, were found.
    pub(super) fn has_names(self) -> bool {
        self.names.is_some()
    }

    /// Whether this row holds headings.
    pub(super) fn holds(self, row: u32) -> bool {
        self.names == Some(row) || self.labels == Some(row)
    }

    /// The first row below the headings.
    pub(super) fn first_data_row(self) -> u32 {
        self.names.max(self.labels).map_or(0, |row| row.saturating_add(1))
    }
}

/// The fields that the texts of a row can mean.
fn known(sheet: &Sheet, row: u32, of: &dyn Fn(&str) -> Vec<&'static Field>) -> BTreeSet<&'static str> {
    sheet.row(row).filter_map(|(column, _)| sheet.text(row, column)).flat_map(of).map(|f| f.name).collect()
}

/// The labels below hidden names when none of them is known, as in a translated template: the first row that is seen.
///
/// Somebody typed under those words. Taken for a case they would become a person called "Name".
fn unknown_labels(sheet: &Sheet, names: u32, near: &[u32]) -> Option<u32> {
    let first = near.iter().find(|row| **row > names && !sheet.hidden.rows.contains(*row))?;
    let worded = sheet.row(*first).all(|(_, cell)| cell.text().is_some());
    let wide = 2 * sheet.row(*first).count() >= sheet.row(names).count();
    (sheet.hidden.rows.contains(&names) && worded && wide).then_some(*first)
}

/// The first of the rows with the most known headings, if they are enough.
fn best(rows: &[u32], least: usize, known: &dyn Fn(u32) -> BTreeSet<&'static str>) -> Option<u32> {
    let scored = rows.iter().map(|row| (known(*row).len(), *row)).filter(|(score, _)| *score >= least);
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, row)| row)
}

/// Decides for every column with values which field it is, and reports every one that is not a plain match.
pub(super) fn map_columns(
    sheet: &Sheet,
    headings: Headings,
    reading: Reading,
    report: &mut Report,
) -> BTreeMap<u32, &'static Field> {
    let mut filled: BTreeMap<u32, Vec<&Cell>> = BTreeMap::new();
    for ((row, column), cell) in &sheet.cells {
        if *row >= headings.first_data_row() {
            filled.entry(*column).or_default().push(cell);
        }
    }
    let mut found = BTreeMap::new();
    for (column, cells) in &filled {
        let heading = |row: Option<u32>| row.and_then(|row| sheet.text(row, *column));
        let (name, label) = (heading(headings.names), heading(headings.labels));
        let verdict = match (name, label) {
            (None, None) if only_counts(cells) => Verdict::none(Kind::NumberingColumn),
            (None, None) => Verdict::none(Kind::ColumnWithoutHeading),
            _ => judge(name, label, reading),
        };
        if let Some(kind) = verdict.kind {
            let finding = Finding::of_column(*column, verdict.field, kind);
            report.add(match label.or(name) {
                Some(text) if verdict.field.is_none() => finding.quoting(text),
                _ => finding,
            });
        }
        if let Some(field) = verdict.field {
            found.insert(*column, field);
        }
    }
    without_repeated(&found, report)
        .into_iter()
        .filter(|(column, field)| is_taken(sheet, *column, field, report))
        .collect()
}

/// What was decided on one column.
struct Verdict {
    field: Option<&'static Field>,
    kind: Option<Kind>,
}

impl Verdict {
    fn plain(field: &'static Field) -> Self {
        Self { field: Some(field), kind: None }
    }

    fn none(kind: Kind) -> Self {
        Self { field: None, kind: Some(kind) }
    }
}

/// Name and label of one column, at least one of them present.
fn judge(name: Option<&str>, label: Option<&str>, reading: Reading) -> Verdict {
    let named = name.and_then(|text| by_name(text).or_else(|| only(by_label(text))));
    let labelled = label.map_or_else(Vec::new, |text| match by_name(text) {
        Some(field) => vec![field],
        None => by_label(text).to_vec(),
    });
    let by_name_chosen = reading == Reading::ByName;
    match (named, labelled.as_slice()) {
        (Some(field), []) if label.is_none() => Verdict::plain(field),
        (Some(field), []) => {
            let kind = Kind::UnknownLabel { by_name: field.name, by_name_chosen };
            Verdict { field: by_name_chosen.then_some(field), kind: Some(kind) }
        }
        (Some(field), fits) if fits.iter().any(|f| f.name == field.name) => Verdict::plain(field),
        (Some(field), [seen]) => {
            let kind = Kind::NameLabelConflict { by_name: field.name, by_label: seen.name, by_name_chosen };
            Verdict { field: Some(if by_name_chosen { field } else { seen }), kind: Some(kind) }
        }
        (None, [seen]) => Verdict::plain(seen),
        (_, [_, _, ..]) => Verdict::none(Kind::AmbiguousLabel),
        (None, []) if name.is_some_and(|text| by_label(text).len() > 1) => Verdict::none(Kind::AmbiguousLabel),
        (None, []) => Verdict::none(Kind::UnknownColumn),
    }
}

fn only(fields: &[&'static Field]) -> Option<&'static Field> {
    match fields {
        [field] => Some(field),
        _ => None,
    }
}

/// Whether a column holds nothing but the numbers of its rows, written or computed.
fn only_counts(cells: &[&Cell]) -> bool {
    let mut last: Option<f64> = None;
    cells.iter().all(|cell| match cell {
        Cell::Value(Value::Number(n)) => {
            let follows = n.fract() == 0.0 && last.is_none_or(|last| *n == last + 1.0);
            last = Some(*n);
            follows
        }
        Cell::Formula => {
            last = last.map(|last| last + 1.0);
            last.is_some()
        }
        Cell::Value(Value::Text(_) | Value::Date(_) | Value::IsoDate(_) | Value::Flag(_)) => false,
        Cell::Error | Cell::TooLong => false,
    })
}

/// Leaves out every field that two columns claim: which of them is right is not for us to say.
fn without_repeated(found: &BTreeMap<u32, &'static Field>, report: &mut Report) -> BTreeMap<u32, &'static Field> {
    let claims = |field: &Field| found.values().filter(|f| f.name == field.name).count();
    let mut once = BTreeMap::new();
    for (column, field) in found {
        if claims(field) == 1 {
            once.insert(*column, *field);
        } else {
            report.add(Finding::of_column(*column, Some(field), Kind::RepeatedColumn));
        }
    }
    once
}

/// Whether the values of a known column are taken; reports what a person should know about it.
fn is_taken(sheet: &Sheet, column: u32, field: &'static Field, report: &mut Report) -> bool {
    if field.is_consent_box() {
        report.add(Finding::of_column(column, Some(field), Kind::ConsentBoxIgnored));
        return false;
    }
    if field.deprecated {
        report.add(Finding::of_column(column, Some(field), Kind::DeprecatedField));
    }
    if sheet.hidden.columns.contains(&column) {
        report.add(Finding::of_column(column, Some(field), Kind::HiddenColumn));
    }
    true
}
