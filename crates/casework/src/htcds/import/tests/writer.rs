//! The smallest writer of workbooks and archives that can also write wrong ones.

use std::io::Write;

/// One part of an archive; every lie about it is possible.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) packed: Vec<u8>,
    pub(super) size: u32,
    pub(super) crc: u32,
}

impl Entry {
    pub(super) fn stored(name: &str, content: &[u8]) -> Self {
        let crc = super::super::zip::crc32(content);
        let size = u32::try_from(content.len()).unwrap();
        Self { name: name.to_owned(), method: 0, flags: 0, packed: content.to_vec(), size, crc }
    }

    pub(super) fn deflated(name: &str, content: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        Self { method: 8, packed: encoder.finish().unwrap(), ..Self::stored(name, content) }
    }
}

/// An archive of these entries, in order.
pub(super) fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = u32::try_from(out.len()).unwrap();
        let mut common = Vec::new();
        for number in [20, entry.flags, entry.method, 0, 0x21] {
            common.extend(number.to_le_bytes());
        }
        for number in [entry.crc, u32::try_from(entry.packed.len()).unwrap(), entry.size] {
            common.extend(number.to_le_bytes());
        }
        common.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(entry.name.as_bytes());
        out.extend(&entry.packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let (start, len) = (u32::try_from(out.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    out.extend(directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count);
    out.extend(count);
    out.extend(len.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The content of a cell.
pub(super) enum Put<'a> {
    Text(&'a str),
    Shared(usize),
    Number(&'a str),
    Day(u32),
    Flag(bool),
    Formula(&'a str, &'a str),
    Error,
    IsoDay(&'a str),
}

/// A workbook under construction: sheets of XML and whatever else is put beside them.
pub(super) struct Book {
    sheets: Vec<String>,
    shared: Vec<String>,
    properties: &'static str,
    pub(super) extra: Vec<Entry>,
}

impl Book {
    /// A workbook with one empty sheet.
    pub(super) fn new() -> Self {
        Self { sheets: vec![String::new()], shared: Vec::new(), properties: "", extra: Vec::new() }
    }

    /// A workbook whose first row holds these headings from column A on.
    pub(super) fn headed(headings: &[&str]) -> Self {
        Self::new().texts(1, headings)
    }

    pub(super) fn dated_from_1904(mut self) -> Self {
        self.properties = "<workbookPr date1904=\"1\"/>";
        self
    }

    pub(super) fn another_sheet(mut self) -> Self {
        self.sheets.push(String::new());
        self
    }

    pub(super) fn shared(mut self, text: &str) -> Self {
        self.shared.push(text.to_owned());
        self
    }

    /// Adds XML to the last sheet as it is.
    pub(super) fn raw(mut self, xml: &str) -> Self {
        self.sheets.last_mut().unwrap().push_str(xml);
        self
    }

    /// Adds a row of texts from column A on; an empty text leaves the cell out.
    pub(super) fn texts(self, row: u32, texts: &[&str]) -> Self {
        let cells: Vec<_> = texts.iter().enumerate().filter(|(_, text)| !text.is_empty()).collect();
        let cells: Vec<_> = cells.into_iter().map(|(at, text)| (u32::try_from(at).unwrap(), Put::Text(text))).collect();
        self.row(row, &cells)
    }

    /// Adds a row of cells by column from 0.
    pub(super) fn row(self, row: u32, cells: &[(u32, Put<'_>)]) -> Self {
        self.row_with(row, "", cells)
    }

    pub(super) fn row_with(mut self, row: u32, attributes: &str, cells: &[(u32, Put<'_>)]) -> Self {
        let mut xml = format!("<row r=\"{row}\" {attributes}>");
        for (column, put) in cells {
            let place = format!("r=\"{}{row}\"", super::letters(*column));
            xml += &match put {
                Put::Text(text) => {
                    format!("<c {place} t=\"inlineStr\"><is><t xml:space=\"preserve\">{}</t></is></c>", escaped(text))
                }
                Put::Shared(index) => format!("<c {place} t=\"s\"><v>{index}</v></c>"),
                Put::Number(number) => format!("<c {place}><v>{number}</v></c>"),
                Put::Day(serial) => format!("<c {place} s=\"1\"><v>{serial}</v></c>"),
                Put::Flag(flag) => format!("<c {place} t=\"b\"><v>{}</v></c>", u8::from(*flag)),
                Put::Formula(formula, value) => {
                    format!("<c {place} t=\"str\"><f>{}</f><v>{value}</v></c>", escaped(formula))
                }
                Put::Error => format!("<c {place} t=\"e\"><v>#REF!</v></c>"),
                Put::IsoDay(day) => format!("<c {place} t=\"d\"><v>{day}</v></c>"),
            };
        }
        xml += "</row>";
        self.sheets.last_mut().unwrap().push_str(&xml);
        self
    }

    /// The parts of the workbook, unpacked.
    pub(super) fn parts(&self) -> Vec<(String, String)> {
        let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let package = "http://schemas.openxmlformats.org/package/2006";
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>";
        let relation = |id: &str, kind: &str, target: &str| {
            format!("<Relationship Id=\"{id}\" Type=\"{office}/{kind}\" Target=\"{target}\"/>")
        };
        let numbers = 1..=self.sheets.len();
        let listed: String =
            numbers.clone().map(|n| format!("<sheet name=\"S{n}\" sheetId=\"{n}\" r:id=\"rId{n}\"/>")).collect();
        let related: String =
            numbers.map(|n| relation(&format!("rId{n}"), "worksheet", &format!("worksheets/sheet{n}.xml"))).collect();
        let strings: String = self.shared.iter().map(|s| format!("<si><t>{}</t></si>", escaped(s))).collect();
        let mut parts = vec![
            ("[Content_Types].xml".to_owned(), format!("{head}<Types xmlns=\"{package}/content-types\"/>")),
            (
                "_rels/.rels".to_owned(),
                format!(
                    "{head}<Relationships xmlns=\"{package}/relationships\">{}</Relationships>",
                    relation("rId1", "officeDocument", "xl/workbook.xml")
                ),
            ),
            (
                "xl/workbook.xml".to_owned(),
                format!(
                    "{head}<workbook xmlns=\"{main}\" xmlns:r=\"{office}\">{}<sheets>{listed}</sheets></workbook>",
                    self.properties
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels".to_owned(),
                format!(
                    "{head}<Relationships xmlns=\"{package}/relationships\">{related}{}{}</Relationships>",
                    relation("rId98", "styles", "styles.xml"),
                    relation("rId99", "sharedStrings", "sharedStrings.xml")
                ),
            ),
            (
                "xl/styles.xml".to_owned(),
                format!(
                    "{head}<styleSheet xmlns=\"{main}\"><cellXfs count=\"2\"><xf numFmtId=\"0\"/><xf numFmtId=\"14\" applyNumberFormat=\"1\"/></cellXfs></styleSheet>"
                ),
            ),
            (
                "xl/sharedStrings.xml".to_owned(),
                format!("{head}<sst xmlns=\"{main}\" uniqueCount=\"{}\">{strings}</sst>", self.shared.len()),
            ),
        ];
        for (at, rows) in self.sheets.iter().enumerate() {
            let sheet = format!("{head}<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData></worksheet>");
            parts.push((format!("xl/worksheets/sheet{}.xml", at + 1), sheet));
        }
        parts
    }

    /// The entries of the archive, deflated.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let own = self.parts();
        own.iter()
            .map(|(name, text)| Entry::deflated(name, text.as_bytes()))
            .chain(self.extra.iter().cloned())
            .collect()
    }

    /// The file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        archive(&self.entries())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
