//! Workbooks as they come: the two filled templates, and those somebody built to do harm.

mod archives;
mod fixtures;
mod workbooks;
mod writer;

use std::collections::BTreeSet;

use jiff::civil::{Date, date};

use super::{Import, ImportFault, Kind, ReadOptions, Report, letters, parts, sheet};

/// The day on which these tests take place.
const TODAY: Date = date(2026, 11, 21);

fn read(bytes: &[u8]) -> Result<Import, ImportFault> {
    super::read(bytes, &ReadOptions::new(TODAY))
}

fn fault(bytes: &[u8]) -> Option<ImportFault> {
    read(bytes).err()
}

/// The findings as `place kind`, such as `G5 AmbiguousDate`; `*` stands for a whole column, row or file.
fn findings(import: &Import) -> Vec<String> {
    let place = |f: &super::Finding| match (f.column(), f.row()) {
        (Some(column), Some(row)) => format!("{column}{row}"),
        (Some(column), None) => format!("{column}*"),
        (None, Some(row)) => format!("*{row}"),
        (None, None) => "*".to_owned(),
    };
    import.report.findings().iter().map(|f| format!("{} {:?}", place(f), f.kind())).collect()
}

fn has(report: &Report, wanted: Kind) -> bool {
    report.findings().iter().any(|f| f.kind() == wanted)
}

/// The promise of the importer: every filled cell of the case sheet but the headings is in a row or in the report.
///
/// Cells come from the reader below the importer, so a cell that the importer forgets is missed here.
fn assert_nothing_disappeared(bytes: &[u8], import: &Import) {
    let sheets = sheet::read(parts::clean(bytes, &mut Report::default()).unwrap()).unwrap();
    let sheet = sheets.iter().find(|s| s.number == import.sheet).unwrap();
    let headings = super::Headings::find(sheet).unwrap();
    let taken: BTreeSet<String> =
        import.rows.iter().flat_map(|row| row.values().values().filter_map(|v| v.source())).collect();
    for (row, column) in sheet.cells.keys().filter(|(row, _)| !headings.holds(*row)) {
        let (place, row) = (letters(*column), row + 1);
        let told = import.report.about(row, &place).next().is_some();
        assert!(told || taken.contains(&format!("{place}{row}")), "{place}{row} disappeared");
    }
}
