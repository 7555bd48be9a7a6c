//! The cells of the sheets, as the workbook reader gives them: typed, counted, and with no formula taken for a value.
//!
//! Cells are streamed, never laid out as a rectangle: one cell in the last corner would ask for seventeen thousand
//! million places. A panic of the reader is caught here and becomes a fault like any other. What the reader itself keeps
//! of the texts while it works is freed by it and not wiped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{DataRef, Reader, SheetType, Xlsx, XlsxError};
use zeroize::Zeroizing;

use super::fault::ImportFault;
use super::parts::{Clean, Hidden};
use super::{CELL_TEXT_MAX, CELLS_MAX, COLUMNS_MAX, SHEETS_MAX, TEXT_TOTAL_MAX};

/// Rows a spreadsheet can have.
const SHEET_ROWS: u32 = 1 << 20;

/// One filled cell.
pub(super) enum Cell {
    Value(Value),
    /// Computed: the stored value is somebody's arithmetic, not an answer.
    Formula,
    /// An error such as #REF!.
    Error,
    /// More text than any field holds; not kept.
    TooLong,
}

/// What somebody typed into a cell.
pub(super) enum Value {
    Text(Zeroizing<String>),
    Number(f64),
    /// A number shown as a date, counted in days by the workbook's calendar.
    Date(f64),
    /// A date the file itself writes as text, in ISO 8601.
    IsoDate(Zeroizing<String>),
    Flag(bool),
}

impl Cell {
    /// The text of the cell, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Value(Value::Text(text)) => Some(text),
            Self::Value(Value::Number(_) | Value::Date(_) | Value::IsoDate(_) | Value::Flag(_)) => None,
            Self::Formula | Self::Error | Self::TooLong => None,
        }
    }
}

/// The filled cells of one sheet; rows and columns count from 0.
pub(super) struct Sheet {
    /// Place in the workbook, from 1.
    pub(super) number: usize,
    pub(super) cells: BTreeMap<(u32, u32), Cell>,
    /// A filled cell lies beyond the last column read.
    pub(super) too_wide: bool,
    pub(super) hidden: Hidden,
    /// Dates of this workbook count from 1904.
    pub(super) from_1904: bool,
}

impl Sheet {
    /// The text of a cell, if it is one.
    pub(super) fn text(&self, row: u32, column: u32) -> Option<&str> {
        self.cells.get(&(row, column))?.text()
    }

    /// The filled rows, in order.
    pub(super) fn rows(&self) -> BTreeSet<u32> {
        self.cells.keys().map(|(row, _)| *row).collect()
    }

    /// The filled cells of one row, in order.
    pub(super) fn row(&self, row: u32) -> impl Iterator<Item = (u32, &Cell)> {
        self.cells.range((row, 0)..=(row, u32::MAX)).map(|((_, column), cell)| (*column, cell))
    }
}

/// Reads all worksheets of a clean archive.
///
/// # Errors
/// [`ImportFault::Unreadable`] when the reader gives up or panics; the limits otherwise.
pub(super) fn read(clean: Clean) -> Result<Vec<Sheet>, ImportFault> {
    let Clean { archive, hidden } = clean;
    // The closure owns or only reads what it touches: nothing half-changed survives a panic.
    catch_unwind(AssertUnwindSafe(|| read_sheets(&archive, hidden))).unwrap_or(Err(ImportFault::Unreadable))
}

fn read_sheets(archive: &[u8], hidden: Vec<Hidden>) -> Result<Vec<Sheet>, ImportFault> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(archive)).map_err(unreadable)?;
    let from_1904 = book.has_1904_epoch();
    let names: Vec<_> =
        book.sheets_metadata().iter().map(|s| (s.name.clone(), matches!(s.typ, SheetType::WorkSheet))).collect();
    if names.len() > SHEETS_MAX {
        return Err(ImportFault::TooManySheets);
    }
    let mut hidden = hidden.into_iter();
    let mut left = Budget { cells: CELLS_MAX, text: TEXT_TOTAL_MAX };
    let mut sheets = Vec::new();
    for (at, (name, is_table)) in names.iter().enumerate() {
        let hidden = hidden.next().unwrap_or_default();
        if *is_table {
            let (cells, too_wide) = read_cells(&mut book, name, &mut left)?;
            sheets.push(Sheet { number: at + 1, cells, too_wide, hidden, from_1904 });
        }
    }
    Ok(sheets)
}

/// What may still be kept.
struct Budget {
    cells: usize,
    text: usize,
}

impl Budget {
    fn spend(&mut self, cell: &Cell) -> Result<(), ImportFault> {
        let text = match cell {
            Cell::Value(Value::Text(text) | Value::IsoDate(text)) => text.len(),
            Cell::Value(Value::Number(_) | Value::Date(_) | Value::Flag(_)) => 0,
            Cell::Formula | Cell::Error | Cell::TooLong => 0,
        };
        self.cells = self.cells.checked_sub(1).ok_or(ImportFault::TooManyCells)?;
        self.text = self.text.checked_sub(text).ok_or(ImportFault::TooManyCells)?;
        Ok(())
    }
}

type Cells = BTreeMap<(u32, u32), Cell>;

fn read_cells(book: &mut Xlsx<Cursor<&[u8]>>, name: &str, left: &mut Budget) -> Result<(Cells, bool), ImportFault> {
    let mut reader = book.worksheet_cells_reader(name).map_err(unreadable)?;
    let (mut cells, mut too_wide) = (BTreeMap::new(), false);
    while let Some(found) = reader.next_cell_with_formula_metadata().map_err(unreadable)? {
        let cell = if found.formula.is_some() { Some(Cell::Formula) } else { cell_of(found.value) };
        let (Some(cell), (row, column)) = (cell, found.pos) else { continue };
        if row >= SHEET_ROWS {
            return Err(ImportFault::Unreadable);
        }
        if column >= COLUMNS_MAX {
            too_wide = true;
            continue;
        }
        left.spend(&cell)?;
        if cells.insert((row, column), cell).is_some() {
            return Err(ImportFault::Unreadable);
        }
    }
    Ok((cells, too_wide))
}

/// What a cell holds; `None` for an empty one and one of blanks.
fn cell_of(value: DataRef<'_>) -> Option<Cell> {
    let value = match value {
        DataRef::Empty => return None,
        DataRef::Error(_) => return Some(Cell::Error),
        DataRef::String(owned) => return text_cell(&Zeroizing::new(owned)),
        DataRef::SharedString(shared) => return text_cell(shared),
        DataRef::DateTimeIso(iso) | DataRef::DurationIso(iso) => Value::IsoDate(Zeroizing::new(iso)),
        #[expect(clippy::cast_precision_loss, reason = "numbers of a case sheet are small; larger ones fit no field")]
        DataRef::Int(number) => Value::Number(number as f64),
        DataRef::Float(number) => Value::Number(number),
        DataRef::DateTime(date) if date.is_datetime() => Value::Date(date.as_f64()),
        DataRef::DateTime(duration) => Value::Number(duration.as_f64()),
        DataRef::Bool(flag) => Value::Flag(flag),
    };
    Some(Cell::Value(value))
}

fn text_cell(text: &str) -> Option<Cell> {
    match text.trim() {
        "" => None,
        trimmed if trimmed.len() > CELL_TEXT_MAX => Some(Cell::TooLong),
        trimmed => Some(Cell::Value(Value::Text(Zeroizing::new(trimmed.to_owned())))),
    }
}

/// The reader's own words may quote a cell, so they end here.
fn unreadable(_: XlsxError) -> ImportFault {
    ImportFault::Unreadable
}
