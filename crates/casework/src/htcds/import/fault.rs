//! Why a workbook was refused as a whole. A sentence for the person who imports, without a word of the file.

use super::report::FINDINGS_MAX;
use super::{CELLS_MAX, COLUMNS_MAX, ROWS_MAX, SHEETS_MAX};

/// Why nothing at all was read. Holds no part of the file, so it may be logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImportFault {
    /// Larger than the limit.
    #[error("the file is larger than {} MiB: split it", max >> 20)]
    FileTooLarge {
        /// Limit in bytes.
        max: usize,
    },
    /// Not an .xlsx file.
    #[error("this is not an Excel workbook: save it as .xlsx and try again")]
    NotAWorkbook,
    /// An old .xls, or a workbook with a password.
    #[error("this is an old .xls file or has a password: save it as .xlsx without password and try again")]
    OldOrEncrypted,
    /// The archive is cut off or changed.
    #[error("the file is damaged or cut off: copy it again, or open it and save it anew")]
    DamagedArchive,
    /// An archive of a kind no spreadsheet writes.
    #[error("the file is packed in an unusual way: open it and save it anew as .xlsx")]
    UnsupportedArchive,
    /// More parts than a workbook has.
    #[error("the file holds more than {max} parts and was not opened: it may be built to do harm")]
    TooManyParts {
        /// Most parts.
        max: usize,
    },
    /// A part, or all together, larger than the limit.
    #[error("the file unpacks to more than {} MiB and was not opened: it may be built to do harm", max >> 20)]
    PartTooLarge {
        /// Limit in bytes.
        max: u64,
    },
    /// Grows more than an honest file does, or more than it says.
    #[error("the file grows far too much when unpacked and was not opened: it may be built to do harm")]
    TooCompressed,
    /// A part with a name that leaves the archive, or that another has too.
    #[error("the file holds a part with an unsafe name and was not opened: it may be built to do harm")]
    UnsafePartName,
    /// Parts that share bytes.
    #[error("the file holds parts that overlap and was not opened: it may be built to do harm")]
    OverlappingParts,
    /// A document type definition, entities, or another encoding than UTF-8.
    #[error("the file holds markup no spreadsheet writes and was not opened: open it and save it anew as .xlsx")]
    ForbiddenMarkup,
    /// The reader of workbooks did not understand it.
    #[error("the workbook cannot be read: open it, save it anew as .xlsx and try again")]
    Unreadable,
    /// More sheets than the limit.
    #[error("the workbook has more than {SHEETS_MAX} sheets: remove those without cases")]
    TooManySheets,
    /// More cells, or more text in them, than the limit.
    #[error("the workbook has more than {CELLS_MAX} filled cells, or too much text in them: split it")]
    TooManyCells,
    /// A filled cell beyond the columns a case sheet can have.
    #[error("the sheet has a filled cell beyond column {COLUMNS_MAX}: remove what does not belong to the table")]
    TooManyColumns,
    /// More cases than the limit.
    #[error("the sheet has more than {ROWS_MAX} cases: split it")]
    TooManyRows,
    /// No sheet has HTCDS headings.
    #[error("no sheet has the headings of the HTCDS: use the names or labels of the standard as headings")]
    NoCaseSheet,
    /// Several sheets have HTCDS headings.
    #[error("sheets {first} and {second} both hold cases: say which one to read")]
    SeveralCaseSheets {
        /// The first, counted from 1.
        first: usize,
        /// The second, counted from 1.
        second: usize,
    },
    /// More findings than a person can work through.
    #[error("more than {FINDINGS_MAX} cells cannot be read as they are: compare the headings with the HTCDS")]
    TooManyFindings,
}
