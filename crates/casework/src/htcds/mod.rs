//! The Human Trafficking Case Data Standard (HTCDS v2.0, International Organization for Migration, CC BY 4.0): its code
//! lists, its fields, and the reading of its workbooks.
//!
//! [`codes`] says what may stand in a coded field, [`fields`] what the fields are and where they may travel, [`read`]
//! turns the bytes of a workbook into cases and a report. Refuses to guess, to evaluate, and to make a consent out of a
//! tick-box (decision 29).

pub mod codes;
pub mod fields;
mod import;
mod row;

pub use import::{
    CELL_TEXT_MAX, CELLS_MAX, COLUMNS_MAX, DETAIL_MAX_CHARS, FILE_MAX, FINDINGS_MAX, Finding, Import, ImportFault,
    Kind, PART_MAX, PARTS_MAX, RATIO_MAX, ROWS_MAX, ReadOptions, Reading, Report, SHEETS_MAX, Severity, TEXT_TOTAL_MAX,
    TOTAL_MAX, letters, read,
};
pub use row::{ADULT_AGE, CaseRow, CellValue, LeftOut, NoticeSuggestion, ProfileDraft, WhyLeftOut, band_of};
