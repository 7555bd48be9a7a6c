//! A workbook of cases, read from bytes: what was taken, and a finding for everything that was not.
//!
//! The file is a stranger's: it is measured, unpacked under limits, screened and packed again before the workbook reader
//! sees it. Headings are found by content, columns are mapped by name and label, cells become values only when they are
//! exactly what their field asks for. Nothing is evaluated, fetched or guessed, and nothing disappears: every filled cell
//! of the case sheet is in a row or covered by a finding. Whether a file with faults is taken in part is the caller's
//! choice; the default of the exchange is all or nothing ([`Report::blocking`]).

mod cell;
mod fault;
mod headings;
mod markup;
mod parts;
mod report;
mod sheet;
mod zip;

use std::collections::BTreeMap;

use jiff::civil::Date;

pub use self::fault::ImportFault;
pub use self::report::{DETAIL_MAX_CHARS, FINDINGS_MAX, Finding, Kind, Report, Severity, letters};
pub use self::zip::{FILE_MAX, PART_MAX, PARTS_MAX, RATIO_MAX, TOTAL_MAX};

use self::cell::{Context, take};
use self::headings::{Headings, map_columns};
use self::sheet::{Cell, Sheet};
use super::fields::{Field, LONG_TEXT_MAX_CHARS};
use super::row::{CaseRow, CellValue};

/// Most sheets of a workbook.
pub const SHEETS_MAX: usize = 32;
/// Most cases of a sheet.
pub const ROWS_MAX: usize = 10_000;
/// Columns of a case sheet that are read; a filled cell beyond refuses the file.
pub const COLUMNS_MAX: u32 = 256;
/// Most filled cells of a workbook.
pub const CELLS_MAX: usize = 600_000;
/// Longest text of a cell that is kept, in bytes: the longest free text, each character at its widest.
pub const CELL_TEXT_MAX: usize = 4 * LONG_TEXT_MAX_CHARS;
/// Text of all cells together, in bytes. A cell can name a shared text, so a small file can hold very much of it.
pub const TEXT_TOTAL_MAX: usize = 48 << 20;

/// Which heading decides where the hidden name and the visible label of a column disagree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reading {
    /// The label: it is what the caseworker saw while typing.
    #[default]
    ByLabel,
    /// The name: for files that a system wrote.
    ByName,
}

/// How a workbook is read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// The day on the caller's calendar; dates of what has happened do not lie after it.
    pub today: Date,
    /// Which heading decides.
    pub reading: Reading,
    /// The sheet to read, from 1; `None` for the only one with HTCDS headings.
    pub sheet: Option<usize>,
}

impl ReadOptions {
    /// Labels decide, the only case sheet is read.
    #[must_use]
    pub fn new(today: Date) -> Self {
        Self { today, reading: Reading::default(), sheet: None }
    }
}

/// What was read from a workbook.
pub struct Import {
    /// The cases, in the order of the sheet. A case with faults is here with what could be taken.
    pub rows: Vec<CaseRow>,
    /// Everything that was not taken, and every remark.
    pub report: Report,
    /// The sheet that was read, from 1.
    pub sheet: usize,
}

/// Reads the cases of a workbook.
///
/// # Errors
/// An [`ImportFault`] when the file as a whole cannot or must not be read. Single cells that cannot be taken are
/// findings of the report, not errors.
pub fn read(bytes: &[u8], options: &ReadOptions) -> Result<Import, ImportFault> {
    let mut report = Report::default();
    let sheets = sheet::read(parts::clean(bytes, &mut report)?)?;
    let (sheet, headings) = case_sheet(&sheets, options.sheet)?;
    if sheet.too_wide {
        return Err(ImportFault::TooManyColumns);
    }
    for other in sheets.iter().filter(|s| s.number != sheet.number && !s.cells.is_empty()) {
        report.add(Finding::of_file(Kind::OtherSheetIgnored { sheet: other.number }));
    }
    let columns = map_columns(sheet, headings, options.reading, &mut report);
    report_above(sheet, headings, &columns, &mut report);
    let context = Context { today: options.today, from_1904: sheet.from_1904 };
    let rows = read_rows(sheet, headings, &columns, context, &mut report)?;
    report_repeated(&rows, &mut report);
    Ok(Import { rows, report, sheet: sheet.number })
}

/// Two rows with the same names and the same date of birth may be one person typed twice. A remark, never a merge.
fn report_repeated(rows: &[CaseRow], report: &mut Report) {
    let mut seen: BTreeMap<[&str; 3], u32> = BTreeMap::new();
    for row in rows {
        let [Some(first), Some(second), Some(born)] = SAME_PERSON.map(|field| row.value(field)) else { continue };
        let earlier = *seen.entry([first, second, born]).or_insert(row.row_number());
        if earlier != row.row_number() {
            report.add(Finding::of_row(row.row_number().saturating_sub(1), Kind::LikeEarlierRow { row: earlier }));
        }
    }
}

/// What two rows share when they look like one person.
const SAME_PERSON: [&str; 3] = ["prs_FirstName", "prs_SecondName", "prs_Birthdate"];

/// The sheet with the cases: the one asked for, else the only one; one with names goes before those with labels only.
fn case_sheet(sheets: &[Sheet], wanted: Option<usize>) -> Result<(&Sheet, Headings), ImportFault> {
    let asked_for = |sheet: &&Sheet| wanted.is_none_or(|number| sheet.number == number);
    let found: Vec<_> =
        sheets.iter().filter(asked_for).filter_map(|s| Headings::find(s).map(|headings| (s, headings))).collect();
    let named: Vec<_> = found.iter().filter(|(_, headings)| headings.has_names()).copied().collect();
    let candidates = if named.is_empty() { found } else { named };
    match candidates.as_slice() {
        [] => Err(ImportFault::NoCaseSheet),
        [one] => Ok(*one),
        [(first, _), (second, _), ..] => {
            Err(ImportFault::SeveralCaseSheets { first: first.number, second: second.number })
        }
    }
}

/// Rows above or between the headings: a title is a remark, a row that looks like a case is a fault.
fn report_above(sheet: &Sheet, headings: Headings, columns: &BTreeMap<u32, &'static Field>, report: &mut Report) {
    let above = sheet.rows().into_iter().filter(|row| *row < headings.first_data_row() && !headings.holds(*row));
    for row in above {
        let in_table = sheet.row(row).filter(|(column, _)| columns.contains_key(column)).count();
        let kind = if in_table < TITLE_CELLS_MAX { Kind::RowAboveTable } else { Kind::CaseAboveTable };
        report.add(Finding::of_row(row, kind));
    }
}

/// A row above the headings with fewer filled cells than this is a title or a remark.
const TITLE_CELLS_MAX: usize = 3;

fn read_rows(
    sheet: &Sheet,
    headings: Headings,
    columns: &BTreeMap<u32, &'static Field>,
    context: Context,
    report: &mut Report,
) -> Result<Vec<CaseRow>, ImportFault> {
    let mut rows: Vec<CaseRow> = Vec::new();
    for row in sheet.rows().range(headings.first_data_row()..) {
        let cells: Vec<(u32, &'static Field, &Cell)> =
            sheet.row(*row).filter_map(|(column, cell)| Some((column, *columns.get(&column)?, cell))).collect();
        if cells.is_empty() {
            continue;
        }
        if rows.len() == ROWS_MAX {
            return Err(ImportFault::TooManyRows);
        }
        if sheet.hidden.rows.contains(row) {
            report.add(Finding::of_row(*row, Kind::HiddenRow));
        }
        let mut case = CaseRow::new(*row, rows.len());
        for (column, field, cell) in cells {
            read_cell(&mut case, (*row, column), field, cell, context, report);
        }
        if report.is_full() {
            return Err(ImportFault::TooManyFindings);
        }
        rows.push(case);
    }
    Ok(rows)
}

fn read_cell(
    case: &mut CaseRow,
    at: (u32, u32),
    field: &'static Field,
    cell: &Cell,
    context: Context,
    report: &mut Report,
) {
    let finding = |kind| Finding::of_cell(at.0, at.1, field, kind);
    match take(field, cell, context) {
        Ok(mut taken) => {
            taken.notes.iter().for_each(|kind| report.add(finding(*kind)));
            let values = std::mem::take(&mut taken.values);
            case.put(field.name, CellValue::new(values, taken.null_reason, Some(at)));
        }
        Err(kind) => report.add(match cell.text() {
            Some(text) => finding(kind).quoting(text),
            None => finding(kind),
        }),
    }
}

#[cfg(test)]
mod tests;
