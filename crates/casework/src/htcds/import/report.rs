//! What an import could not take, or took with a remark: one finding a cell, a column or a part of the file.
//!
//! Every non-empty cell of the case sheet is either in a row's values or covered by a finding; nothing disappears without
//! a sentence. Sentences and `Debug` never hold what a cell says, since reports may be logged. The one place that quotes
//! a cell is [`Finding::detail`], for the screen of the person who imports, and never for a field of free text.

use std::fmt;

use zeroize::Zeroizing;

use crate::htcds::fields::{Field, FieldFault};

/// Most findings of one import; a file with more is refused as a whole.
pub const FINDINGS_MAX: usize = 100_000;
/// Longest quote of a cell in a [`Finding::detail`], in characters.
pub const DETAIL_MAX_CHARS: usize = 80;

/// What a finding asks of the person who imports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Worth knowing; everything typed was taken, or never was a part of the case.
    Note,
    /// Something typed was not taken: the file needs repair, or a person must decide to go on without it.
    Fault,
}

/// Everything an import can find. Closed: a new way to go wrong is a new variant and a new sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The file holds macros. They were not read.
    MacrosIgnored,
    /// The file points to other files or data sources. Nothing was fetched.
    ExternalLinksIgnored,
    /// The file holds pictures or embedded objects. They were not read.
    EmbeddedIgnored,
    /// The file holds cell comments. They were not read.
    CommentsIgnored,
    /// Another sheet of the file is not a case sheet.
    OtherSheetIgnored {
        /// Its place in the workbook, from 1.
        sheet: usize,
    },
    /// A row above the headings is not part of the table.
    RowAboveTable,
    /// A row above the headings looks like a case. It was not read.
    CaseAboveTable,
    /// A row is hidden in the file; its values were taken.
    HiddenRow,
    /// A row has the names and the date of birth of an earlier one. Both were taken.
    LikeEarlierRow {
        /// The earlier row, from 1.
        row: u32,
    },
    /// A column is hidden in the file; its values were taken.
    HiddenColumn,
    /// Name and label of a column mean two fields.
    NameLabelConflict {
        /// The field its system name means.
        by_name: &'static str,
        /// The field its visible label means.
        by_label: &'static str,
        /// Whether the name was followed.
        by_name_chosen: bool,
    },
    /// A column has values but neither name nor label.
    ColumnWithoutHeading,
    /// A column without heading only counts the rows.
    NumberingColumn,
    /// Neither name nor label of a column is known.
    UnknownColumn,
    /// The label of a column is not known, though its system name is.
    UnknownLabel {
        /// The field its system name means.
        by_name: &'static str,
        /// Whether the name was followed.
        by_name_chosen: bool,
    },
    /// The label of a column fits several fields and there is no name to choose by.
    AmbiguousLabel,
    /// Two columns with values mean the same field.
    RepeatedColumn,
    /// A tick-box about consent. It never becomes a consent to share.
    ConsentBoxIgnored,
    /// The standard has withdrawn this field; its values were taken and are never sent.
    DeprecatedField,
    /// A formula. Its value was not taken.
    Formula,
    /// An error of the spreadsheet, such as #REF!.
    ErrorCell,
    /// Not a value of the field's list.
    UnknownChoice,
    /// Can be read as several different choices.
    AmbiguousChoice,
    /// A kind of cell the field cannot hold: a number for a name, a yes for a date.
    WrongCellType,
    /// The value breaks a rule of its field.
    Refused(FieldFault),
    /// Looks like a year alone, not like a date.
    YearOnly,
    /// A date that can be read day first and month first.
    AmbiguousDate,
    /// A date in text that is neither ISO nor day first.
    UnreadableDate,
    /// A date after today where only the past makes sense.
    FutureDate,
    /// A date read from text, day first.
    DateFromText,
    /// A date read from a number without date format.
    DateFromNumber,
    /// The time of day beside a date was left out.
    TimeLeftOut,
    /// Digits read from a number cell; a leading zero or plus sign may be missing.
    DigitsFromNumber,
    /// Blanks and signs were taken out of a phone number.
    PhoneTidied,
}

impl Kind {
    /// What the finding asks of the person who imports.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::MacrosIgnored
            | Self::ExternalLinksIgnored
            | Self::EmbeddedIgnored
            | Self::CommentsIgnored
            | Self::OtherSheetIgnored { .. }
            | Self::RowAboveTable
            | Self::HiddenRow
            | Self::LikeEarlierRow { .. }
            | Self::HiddenColumn
            | Self::NameLabelConflict { .. }
            | Self::NumberingColumn
            | Self::UnknownLabel { by_name_chosen: true, .. }
            | Self::ConsentBoxIgnored
            | Self::DeprecatedField
            | Self::DateFromText
            | Self::DateFromNumber
            | Self::TimeLeftOut
            | Self::DigitsFromNumber
            | Self::PhoneTidied => Severity::Note,
            Self::CaseAboveTable
            | Self::ColumnWithoutHeading
            | Self::UnknownColumn
            | Self::UnknownLabel { by_name_chosen: false, .. }
            | Self::AmbiguousLabel
            | Self::RepeatedColumn
            | Self::Formula
            | Self::ErrorCell
            | Self::UnknownChoice
            | Self::AmbiguousChoice
            | Self::WrongCellType
            | Self::Refused(_)
            | Self::YearOnly
            | Self::AmbiguousDate
            | Self::UnreadableDate
            | Self::FutureDate => Severity::Fault,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MacrosIgnored => f.write_str("the file holds macros; they were not read and not run"),
            Self::ExternalLinksIgnored => f.write_str("the file points to other files or data; nothing was fetched"),
            Self::EmbeddedIgnored => f.write_str("the file holds pictures or objects; they were not read"),
            Self::CommentsIgnored => f.write_str("the file holds cell comments; they were not read"),
            Self::OtherSheetIgnored { sheet } => write!(f, "sheet {sheet} is not a case sheet and was not read"),
            Self::RowAboveTable => f.write_str("this row stands above the headings and was not read"),
            Self::CaseAboveTable => {
                f.write_str("this row looks like a case but stands above the headings: move it below")
            }
            Self::HiddenRow => f.write_str("this row is hidden in the file; its values were taken"),
            Self::LikeEarlierRow { row } => write!(f, "this case looks like the one in row {row}: send it once only"),
            Self::HiddenColumn => f.write_str("this column is hidden in the file; its values were taken"),
            Self::NameLabelConflict { by_name, by_label, by_name_chosen } => {
                let chosen = if *by_name_chosen { "the hidden name was followed" } else { "the label was followed" };
                write!(f, "the visible label means {by_label}, the hidden name means {by_name}; {chosen}")
            }
            Self::ColumnWithoutHeading => {
                f.write_str("this column has values but no heading: give it one, or empty it")
            }
            Self::NumberingColumn => f.write_str("this column only counts the rows and was not read"),
            Self::UnknownColumn => {
                f.write_str("this heading is not known: use a heading of the HTCDS, or empty the column")
            }
            Self::UnknownLabel { by_name, by_name_chosen: true } => {
                write!(f, "the label is not known; the hidden name {by_name} was followed")
            }
            Self::UnknownLabel { by_name, by_name_chosen: false } => {
                write!(f, "the label is not known, the hidden name means {by_name}: correct the label, or choose names")
            }
            Self::AmbiguousLabel => f.write_str("this label fits several fields: use the system name of the field"),
            Self::RepeatedColumn => f.write_str("two columns mean the same field: keep one"),
            Self::ConsentBoxIgnored => {
                f.write_str("a tick-box is not a consent to share and was not taken: record the consent itself")
            }
            Self::DeprecatedField => {
                f.write_str("the standard has withdrawn this field; it stays here and is never sent")
            }
            Self::Formula => f.write_str("this is a formula and its value was not taken: type the value"),
            Self::ErrorCell => f.write_str("this cell shows an error of the spreadsheet: type the value"),
            Self::UnknownChoice => f.write_str("this is not a choice of the list: choose one of the list"),
            Self::AmbiguousChoice => f.write_str("this can be read as different choices: put one choice in each part"),
            Self::WrongCellType => f.write_str("this kind of cell does not fit the field: type it as the field asks"),
            Self::Refused(fault) => fault.fmt(f),
            Self::YearOnly => f.write_str("this looks like a year, not a date: write YYYY-MM-DD, or leave it empty"),
            Self::AmbiguousDate => f.write_str("day and month cannot be told apart: write YYYY-MM-DD"),
            Self::UnreadableDate => f.write_str("this text is not a date: write YYYY-MM-DD"),
            Self::FutureDate => f.write_str("this date lies in the future: correct it"),
            Self::DateFromText => f.write_str("a date written as text was read day first: compare it"),
            Self::DateFromNumber => f.write_str("a plain number was read as a date of the spreadsheet: compare it"),
            Self::TimeLeftOut => f.write_str("the time of day was left out"),
            Self::DigitsFromNumber => {
                f.write_str("read from a number: a leading zero or plus sign may be missing; compare it")
            }
            Self::PhoneTidied => f.write_str("blanks and signs were taken out of the phone number"),
        }
    }
}

/// One finding.
#[derive(Clone)]
pub struct Finding {
    row: Option<u32>,
    column: Option<u32>,
    field: Option<&'static Field>,
    kind: Kind,
    detail: Option<Zeroizing<String>>,
}

impl Finding {
    /// A finding about the file as a whole.
    pub(super) fn of_file(kind: Kind) -> Self {
        Self { row: None, column: None, field: None, kind, detail: None }
    }

    /// A finding about a row; `row` counts from 0.
    pub(super) fn of_row(row: u32, kind: Kind) -> Self {
        Self { row: Some(row), ..Self::of_file(kind) }
    }

    /// A finding about a whole column; `column` counts from 0.
    pub(super) fn of_column(column: u32, field: Option<&'static Field>, kind: Kind) -> Self {
        Self { column: Some(column), field, ..Self::of_file(kind) }
    }

    /// A finding about one cell.
    pub(super) fn of_cell(row: u32, column: u32, field: &'static Field, kind: Kind) -> Self {
        Self { row: Some(row), column: Some(column), field: Some(field), kind, detail: None }
    }

    /// Adds a quote for the screen of the person who imports; never for a field where people write words of their own.
    pub(super) fn quoting(mut self, text: &str) -> Self {
        if self.field.is_none_or(|f| f.kind.is_closed()) {
            let visible = text.chars().filter(|c| !c.is_control()).take(DETAIL_MAX_CHARS);
            self.detail = Some(Zeroizing::new(visible.collect()));
        }
        self
    }

    /// The row as the spreadsheet numbers it, from 1; `None` for a finding about a column or the file.
    #[must_use]
    pub fn row(&self) -> Option<u32> {
        self.row.map(|r| r.saturating_add(1))
    }

    /// The letters of the column; `None` for a finding about a row or the file.
    #[must_use]
    pub fn column(&self) -> Option<String> {
        self.column.map(letters)
    }

    /// The field, where the column has one.
    #[must_use]
    pub fn field(&self) -> Option<&'static Field> {
        self.field
    }

    /// What was found.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it asks of the person who imports.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// Where and what, in one sentence without any content: safe to log.
    #[must_use]
    pub fn sentence(&self) -> String {
        let place = match (self.column(), self.row()) {
            (Some(column), Some(row)) => format!("{column}{row}"),
            (Some(column), None) => format!("column {column}"),
            (None, Some(row)) => format!("row {row}"),
            (None, None) => "the workbook".to_owned(),
        };
        match self.field {
            Some(field) => format!("{place} ({}): {}", field.label(), self.kind),
            None => format!("{place}: {}", self.kind),
        }
    }

    /// The heading or list value that was not understood, cut to [`DETAIL_MAX_CHARS`]. For the screen of the person who
    /// imports and for nothing else: it is case content and belongs in no log.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_ref().map(|d| d.as_str())
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

/// All findings of one import, in the order they were made: file, columns, rows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn is_full(&self) -> bool {
        self.findings.len() > FINDINGS_MAX
    }

    /// All findings.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The findings that stand for something typed and not taken. Empty: the file may be imported as it is.
    pub fn blocking(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.severity() == Severity::Fault)
    }

    /// The columns whose name and label disagree: the person who imports is shown both readings.
    pub fn conflicts(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| matches!(f.kind, Kind::NameLabelConflict { .. }))
    }

    /// The findings that speak of this cell; `row` from 1, `column` in letters. Those about its whole row or column too.
    pub fn about<'a>(&'a self, row: u32, column: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |f| match (f.row(), f.column()) {
            (Some(r), Some(c)) => r == row && c == column,
            (Some(r), None) => r == row,
            (None, Some(c)) => c == column,
            (None, None) => false,
        })
    }
}

/// The letters of a column counted from 0: 0 is `A`, 35 is `AJ`.
#[must_use]
pub fn letters(column: u32) -> String {
    const ALPHABET: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut left = u64::from(column) + 1;
    let mut out = Vec::new();
    while left > 0 {
        left -= 1;
        out.push(char::from(ALPHABET[usize::try_from(left % 26).unwrap_or(0)]));
        left /= 26;
    }
    out.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::htcds::fields::find;

    #[test]
    fn columns_have_the_letters_a_spreadsheet_gives_them() {
        let known = [(0, "A"), (25, "Z"), (26, "AA"), (35, "AJ"), (701, "ZZ"), (702, "AAA"), (16383, "XFD")];
        for (column, text) in known {
            assert_eq!(letters(column), text);
        }
    }

    #[test]
    fn a_quote_is_kept_for_lists_and_never_for_words_of_the_person() {
        let gender = Finding::of_cell(2, 7, find("prs_Gender").unwrap(), Kind::UnknownChoice).quoting("femal\u{7}e");
        assert_eq!(gender.detail(), Some("female"));
        assert_eq!(format!("{gender:?}"), gender.sentence());
        assert!(!format!("{gender:?}").contains("female"), "Debug quotes a cell");
        let name = Finding::of_cell(2, 3, find("prs_FirstName").unwrap(), Kind::WrongCellType).quoting("Ileana");
        assert_eq!(name.detail(), None);
        assert_eq!(
            name.sentence(),
            "D3 (First Name): this kind of cell does not fit the field: type it as the field asks"
        );
    }
}
