//! Workbooks of cases: the archive as it is, and sheets that a stranger's program wrote.
//!
//! Promises: never more rows, findings or text than the named limits; every finding of a cell says where; what was taken
//! keeps the rules of its field.

use clearhouse_casework::htcds::fields::check;
use clearhouse_casework::htcds::{
    DETAIL_MAX_CHARS, FINDINGS_MAX, Import, ROWS_MAX, ReadOptions, Reading, SHEETS_MAX, read,
};
use jiff::civil::{Date, date};

use super::bytes::Bytes;
use super::{Seed, seed};

const TODAY: Date = date(2026, 11, 14);

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let way = bytes.u8();
    let file = match way % 3 {
        0 => bytes.rest().to_vec(),
        1 => workbook("", "", bytes.rest()),
        _ => {
            let (shared, styles) = (bytes.piece(), bytes.piece());
            let (shared, styles) = (String::from_utf8_lossy(shared), String::from_utf8_lossy(styles));
            workbook(&shared, &styles, bytes.rest())
        }
    };
    let reading = if way & 0x10 == 0 { Reading::ByLabel } else { Reading::ByName };
    let sheet = (way & 0x20 != 0).then_some(usize::from(way >> 6));
    if let Ok(import) = read(&file, &ReadOptions { today: TODAY, reading, sheet }) {
        holds(&import);
    }
}

fn holds(import: &Import) {
    assert!(import.rows.len() <= ROWS_MAX && (1..=SHEETS_MAX).contains(&import.sheet));
    assert!(import.rows.windows(2).all(|pair| pair[0].row_number() < pair[1].row_number()), "rows out of order");
    for row in &import.rows {
        for (name, value) in row.values() {
            assert!(value.values().is_empty() || check(name, value.values()).is_ok(), "{name} holds what it may not");
            assert!(!value.values().is_empty() || value.null_reason().is_some(), "{name} holds nothing, for no reason");
        }
        let draft = row.to_profile_parts();
        assert!(draft.parts.len() <= row.values().len());
        let _ = (row.notice_suggestions(TODAY), row.age_band(TODAY));
    }
    let findings = import.report.findings();
    // A row and the file itself may add some behind the last look.
    assert!(findings.len() <= FINDINGS_MAX + ROWS_MAX + SHEETS_MAX);
    for finding in findings {
        assert!(finding.detail().is_none_or(|detail| detail.chars().count() <= DETAIL_MAX_CHARS + 1));
        assert!(finding.field().is_none() || finding.column().is_some() || finding.row().is_some());
        assert!(!finding.sentence().is_empty());
    }
}

/// A workbook of one sheet with these rows, an archive of stored parts.
pub fn workbook(shared: &str, styles: &str, rows: &[u8]) -> Vec<u8> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let relations = "http://schemas.openxmlformats.org/package/2006/relationships";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let book = format!(
        "<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"S\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
    );
    let parts = format!(
        "<Relationships xmlns=\"{relations}\"><Relationship Id=\"rId1\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet1.xml\"/><Relationship Id=\"rId2\" Type=\"{office}/sharedStrings\" Target=\"sharedStrings.xml\"/><Relationship Id=\"rId3\" Type=\"{office}/styles\" Target=\"styles.xml\"/></Relationships>"
    );
    let top = format!(
        "<Relationships xmlns=\"{relations}\"><Relationship Id=\"rId1\" Type=\"{office}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let kinds = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
    let sheet =
        [format!("<worksheet xmlns=\"{main}\"><sheetData>").as_bytes(), rows, b"</sheetData></worksheet>"].concat();
    let shared = format!("<sst xmlns=\"{main}\">{shared}</sst>");
    let styles = format!("<styleSheet xmlns=\"{main}\">{styles}</styleSheet>");
    archive(&[
        ("[Content_Types].xml", kinds.as_bytes()),
        ("_rels/.rels", top.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", parts.as_bytes()),
        ("xl/sharedStrings.xml", shared.as_bytes()),
        ("xl/styles.xml", styles.as_bytes()),
        ("xl/worksheets/sheet1.xml", &sheet),
    ])
}

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in parts {
        let offset = (out.len() as u32).to_le_bytes();
        let (sum, len) = (crc32(content).to_le_bytes(), (content.len() as u32).to_le_bytes());
        let name_len = (name.len() as u16).to_le_bytes();
        let common = [&[20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0][..], &sum, &len, &len, &name_len, &[0, 0]].concat();
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat());
        let entry = [&b"PK\x01\x02\x14\x00"[..], &common, &[0; 10], &offset, name.as_bytes()].concat();
        directory.extend(entry);
    }
    let count = (parts.len() as u16).to_le_bytes();
    let (start, len) = ((out.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &len, &start, &[0, 0]].concat();
    [out, directory, end].concat()
}

/// CRC-32, bit by bit: the inputs are small.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let text = |at: &str, text: &str| format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let row = |n: u32, cells: &[String]| format!("<row r=\"{n}\">{}</row>", cells.concat());
    let heads = row(1, &[text("A1", "prs_FirstName"), text("B1", "prs_Birthdate"), text("C1", "prs_Gender")]);
    let one = row(2, &[text("A2", "Ileana"), "<c r=\"B2\"><v>36526</v></c>".to_owned(), text("C2", "Feminine")]);
    let wrong = row(3, &[text("A3", "x"), text("B3", "yesterday"), "<c r=\"C3\" t=\"e\"><v>#REF!</v></c>".to_owned()]);
    let far = row(1_048_576, &[text("XFD1048576", "far")]);
    let named =
        row(2, &["<c r=\"A2\" t=\"s\"><v>0</v></c>".to_owned(), "<c r=\"B2\" s=\"0\"><v>1.5</v></c>".to_owned()]);
    let shared = "<si><t>Ileana</t></si><si><r><t>two</t></r></si>";
    let styles = "<cellXfs count=\"1\"><xf numFmtId=\"14\"/></cellXfs>";
    let rows = format!("{heads}{one}{wrong}");
    let piece = super::bytes::piece;
    let whole = workbook("", "", rows.as_bytes());
    vec![
        seed("archive", 0, &whole),
        seed("archive-cut", 0, &whole[..whole.len() - 5]),
        seed("archive-old", 0, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]),
        seed("rows", 1, rows.as_bytes()),
        seed("rows-by-name", 0x11, rows.as_bytes()),
        seed("rows-of-sheet", 0x61, rows.as_bytes()),
        seed("far", 1, format!("{heads}{far}").as_bytes()),
        seed("doctype", 1, b"<!DOCTYPE x [<!ENTITY a \"b\">]>"),
        seed(
            "shared",
            2,
            &[&piece(shared.as_bytes())[..], &piece(styles.as_bytes()), heads.as_bytes(), named.as_bytes()].concat(),
        ),
    ]
}
