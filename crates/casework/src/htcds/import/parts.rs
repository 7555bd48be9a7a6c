//! From a stranger's archive to a clean one: only the parts a table needs, each of them screened.
//!
//! Macros, links, pictures, comments and everything else stay behind unread; that they were there is reported. Refuses
//! document type definitions and entities (nothing may expand or be fetched), other encodings than UTF-8 (the reader
//! would judge other bytes than were screened), and counts that make a reader reserve memory for what is not there.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::fault::ImportFault;
use super::markup::{Tag, tags};
use super::report::{Finding, Kind, Report};
use super::zip;

/// Largest style part: every format in it costs the reader memory, and a case sheet has a handful.
const STYLES_MAX: usize = 1 << 20;
/// Most tags of the style part.
const STYLE_TAGS_MAX: usize = 1 << 16;

/// What is left of a workbook: a clean archive for the reader, and which rows and columns are hidden in which sheet.
pub(super) struct Clean {
    pub(super) archive: Zeroizing<Vec<u8>>,
    /// By place of the sheet in the workbook, from 0.
    pub(super) hidden: Vec<Hidden>,
}

/// Rows and columns of one sheet that the person at the spreadsheet does not see; both count from 0.
#[derive(Default)]
pub(super) struct Hidden {
    pub(super) rows: BTreeSet<u32>,
    pub(super) columns: BTreeSet<u32>,
}

/// Opens the archive, reports what is left behind, screens and packs what is needed.
///
/// # Errors
/// An [`ImportFault`] for every archive and every part that is not what a spreadsheet writes.
pub(super) fn clean(bytes: &[u8], report: &mut Report) -> Result<Clean, ImportFault> {
    let mut kept = BTreeMap::new();
    let mut left_behind = BTreeSet::new();
    for part in zip::parts(bytes)? {
        let name = part.name.to_lowercase();
        if is_needed(&name) {
            let content = zip::unpack(bytes, &part)?;
            screen(&name, &content)?;
            kept.insert(part.name.clone(), content);
        } else if let Some(kind) = left_behind_as(&name) {
            left_behind.insert(kind);
        }
    }
    if !kept.keys().any(|name| name.to_lowercase().starts_with("xl/workbook")) {
        return Err(ImportFault::NotAWorkbook);
    }
    for left in left_behind {
        report.add(Finding::of_file(left.kind()));
    }
    let hidden = hidden_of_sheets(&kept);
    Ok(Clean { archive: zip::pack(&kept)?, hidden })
}

/// Whether a table can be read without this part. Only named kinds pass; everything new stays out.
fn is_needed(name: &str) -> bool {
    let in_folder = |folder: &str| name.strip_prefix(folder).filter(|rest| !rest.contains('/'));
    let xml = |file: &str, stem: &str| file.starts_with(stem) && file.ends_with(".xml");
    matches!(name, "[content_types].xml" | "_rels/.rels")
        || in_folder("xl/").is_some_and(|f| ["workbook", "sharedstrings", "styles"].iter().any(|stem| xml(f, stem)))
        || in_folder("xl/_rels/").is_some_and(|f| f.starts_with("workbook") && f.ends_with(".xml.rels"))
        || in_folder("xl/worksheets/").is_some_and(|f| f.ends_with(".xml"))
}

/// What a person should hear about a part that stays behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LeftBehind {
    Macros,
    Links,
    Objects,
    Comments,
}

impl LeftBehind {
    fn kind(self) -> Kind {
        match self {
            Self::Macros => Kind::MacrosIgnored,
            Self::Links => Kind::ExternalLinksIgnored,
            Self::Objects => Kind::EmbeddedIgnored,
            Self::Comments => Kind::CommentsIgnored,
        }
    }
}

fn left_behind_as(name: &str) -> Option<LeftBehind> {
    let any = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if name.ends_with('/') {
        None
    } else if any(&["vbaproject", "activex", "macrosheet", "xl/ctrlprops"]) {
        Some(LeftBehind::Macros)
    } else if any(&["externallink", "connections.xml", "querytable", "xl/model", "webextension"]) {
        Some(LeftBehind::Links)
    } else if any(&["comment", "xl/persons"]) {
        Some(LeftBehind::Comments)
    } else if any(&["xl/media", "xl/embeddings", "xl/drawings/drawing", "xl/richdata"]) {
        Some(LeftBehind::Objects)
    } else {
        None
    }
}

/// Whether a part is markup that a reader can be given.
fn screen(name: &str, content: &[u8]) -> Result<(), ImportFault> {
    let text = std::str::from_utf8(content).map_err(|_| ImportFault::ForbiddenMarkup)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let declares = |at: usize| !text[at..].starts_with("<!--") && !text[at..].starts_with("<![CDATA[");
    if !text.trim_start().starts_with('<') || text.match_indices("<!").any(|(at, _)| declares(at)) {
        return Err(ImportFault::ForbiddenMarkup);
    }
    let declaration = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or("", |(head, _)| head);
    let declared = quoted_attribute(declaration, "encoding").unwrap_or("utf-8").to_ascii_lowercase();
    if !matches!(declared.as_str(), "utf-8" | "utf8" | "us-ascii") {
        return Err(ImportFault::ForbiddenMarkup);
    }
    // The reader sets memory aside for as many strings as the part says it has.
    if text.match_indices("uniqueCount").any(|(at, _)| promised(&text[at..]) > content.len() as u64) {
        return Err(ImportFault::TooCompressed);
    }
    if name.contains("styles") && (content.len() > STYLES_MAX || text.matches('<').count() > STYLE_TAGS_MAX) {
        return Err(ImportFault::PartTooLarge { max: STYLES_MAX as u64 });
    }
    Ok(())
}

fn quoted_attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(value, _)| value)
}

/// The number an attribute at the start of `text` promises; the largest there is when it is not a plain number.
fn promised(text: &str) -> u64 {
    let value = text.split_once('=').map(|(_, rest)| rest.trim_start().trim_start_matches(['"', '\'']));
    let digits: String = value.unwrap_or("").chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) }
}

/// Hidden rows and columns of every sheet, in workbook order. A sheet whose part is not found has none.
fn hidden_of_sheets(parts: &BTreeMap<String, Zeroizing<Vec<u8>>>) -> Vec<Hidden> {
    let text = |wanted: &dyn Fn(&str) -> bool| {
        let part = parts.iter().find(|(name, _)| wanted(&name.to_lowercase()))?.1;
        std::str::from_utf8(part).ok()
    };
    let workbook = text(&|name| name.starts_with("xl/workbook") && name.ends_with(".xml"));
    let relations = text(&|name| name.starts_with("xl/_rels/workbook"));
    let (Some(workbook), Some(relations)) = (workbook, relations) else { return Vec::new() };
    let targets: BTreeMap<_, _> = tags(relations)
        .filter(|t| t.name == "Relationship")
        .filter_map(|t| Some((t.attr("Id")?, t.attr("Target")?)))
        .collect();
    let target = |sheet: Tag<'_>| {
        let target = *targets.get(sheet.attr("id")?)?;
        let path = target.strip_prefix('/').map_or_else(|| format!("xl/{target}"), str::to_owned).to_lowercase();
        text(&|name| name == path)
    };
    tags(workbook)
        .filter(|t| t.name == "sheet")
        .map(|sheet| target(sheet).map_or_else(Hidden::default, hidden_of))
        .collect()
}

fn hidden_of(sheet: &str) -> Hidden {
    let mut hidden = Hidden::default();
    let mut row: u32 = 0;
    let number = |tag: &Tag<'_>, name: &str| tag.attr(name).and_then(|n| n.parse::<u32>().ok());
    let concealed = |tag: &Tag<'_>| tag.attr("hidden").is_some_and(|h| matches!(h, "1" | "true"));
    for tag in tags(sheet) {
        match tag.name {
            "row" => {
                row = number(&tag, "r").unwrap_or(row.saturating_add(1));
                if concealed(&tag) {
                    hidden.rows.insert(row.saturating_sub(1));
                }
            }
            "col" if concealed(&tag) => {
                let (first, last) = (number(&tag, "min").unwrap_or(0), number(&tag, "max").unwrap_or(0));
                let last = last.min(super::COLUMNS_MAX);
                hidden.columns.extend((first..=last).map(|column| column.saturating_sub(1)));
            }
            _ => {}
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parts_of_a_table_are_needed() {
        for name in [
            "[content_types].xml",
            "_rels/.rels",
            "xl/workbook.xml",
            "xl/workbook2.xml",
            "xl/_rels/workbook.xml.rels",
            "xl/sharedstrings.xml",
            "xl/styles.xml",
            "xl/worksheets/sheet12.xml",
        ] {
            assert!(is_needed(name), "{name}");
        }
        for name in [
            "xl/vbaproject.bin",
            "xl/worksheets/_rels/sheet1.xml.rels",
            "xl/externallinks/externallink1.xml",
            "xl/theme/theme1.xml",
            "docprops/core.xml",
            "xl/worksheets/sheet1.bin",
            "customxml/item1.xml",
        ] {
            assert!(!is_needed(name), "{name}");
        }
    }

    #[test]
    fn markup_that_expands_fetches_or_speaks_another_encoding_is_refused() {
        let refused = |text: &str| screen("xl/workbook.xml", text.as_bytes()) == Err(ImportFault::ForbiddenMarkup);
        assert!(!refused("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>"));
        assert!(!refused("\u{feff}<?xml version='1.0'?><a/>"));
        assert!(!refused("<a><!-- said beside --><![CDATA[as it is]]></a>"));
        assert!(refused("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"));
        assert!(refused("<?xml version=\"1.0\" encoding = 'windows-1251'?><a/>"));
        assert!(refused("plain text"));
        assert_eq!(screen("xl/workbook.xml", b"\xff\xfe<\0a\0"), Err(ImportFault::ForbiddenMarkup));
    }

    #[test]
    fn styles_are_read_up_to_their_limits() {
        let long = |len: usize| format!("<a/>{}", " ".repeat(len - 4));
        let many = |tags: usize| "<".repeat(tags);
        let of = |text: String| screen("xl/styles.xml", text.as_bytes());
        let refused = Err(ImportFault::PartTooLarge { max: STYLES_MAX as u64 });
        assert_eq!([of(long(STYLES_MAX)), of(many(STYLE_TAGS_MAX))], [Ok(()), Ok(())]);
        assert_eq!([of(long(STYLES_MAX + 1)), of(many(STYLE_TAGS_MAX + 1))], [refused, refused]);
    }

    #[test]
    fn a_promise_of_more_strings_than_bytes_is_refused() {
        let part = |count: &str| format!("<sst count=\"1\" uniqueCount = \"{count}\"><si><t>a</t></si></sst>");
        assert_eq!(screen("xl/sharedstrings.xml", part("1").as_bytes()), Ok(()));
        for count in ["99999999999", "99999999999999999999999999"] {
            assert_eq!(
                screen("xl/sharedstrings.xml", part(count).as_bytes()),
                Err(ImportFault::TooCompressed),
                "{count}"
            );
        }
    }

    #[test]
    fn hidden_rows_and_columns_are_seen_with_and_without_numbers() {
        let hidden = hidden_of(
            "<x:worksheet><cols><col min=\"2\" max=\"3\" hidden=\"1\"/><col min=\"9\" max=\"9\"/></cols><sheetData>\
             <row r=\"1\" hidden=\"1\"/><row><c><is><t>&lt;row hidden='1'></t></is></c></row><!-- <row hidden=\"1\"/> -->\
             <row hidden='true'></row></sheetData></x:worksheet>",
        );
        assert_eq!(hidden.rows.into_iter().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(hidden.columns.into_iter().collect::<Vec<_>>(), [1, 2]);
    }
}
