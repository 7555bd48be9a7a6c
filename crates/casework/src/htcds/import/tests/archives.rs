//! Archives somebody built, broke or cut: a refusal in words, never a panic, never the memory.

use super::super::{FILE_MAX, PARTS_MAX};
use super::writer::{Book, Entry, Put, archive};
use super::{assert_nothing_disappeared, fault, findings, read};
use crate::htcds::ImportFault;

fn book() -> Book {
    Book::headed(&["First Name", "Gender", "Birthdate", "Forced Labour Industry", "Age when Trafficked", "Consent"])
        .shared("Feminine")
        .row(
            2,
            &[
                (0, Put::Text("Ана")),
                (1, Put::Shared(0)),
                (2, Put::Day(36267)),
                (3, Put::Text("Construction; Education")),
            ],
        )
        .row_with(
            3,
            "hidden=\"1\"",
            &[(0, Put::Text("Eva")), (2, Put::Text("25.3.1999")), (4, Put::Number("13")), (5, Put::Flag(true))],
        )
        .row(4, &[(0, Put::Formula("A3", "Eva")), (1, Put::Text("?")), (2, Put::IsoDay("2013-03-11"))])
}

fn changed(change: impl Fn(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = book().entries();
    change(&mut entries);
    archive(&entries)
}

#[test]
fn the_book_of_these_tests_is_a_good_one() {
    let bytes = book().bytes();
    let import = read(&bytes).unwrap();
    assert_eq!(import.rows.len(), 3);
    assert_nothing_disappeared(&bytes, &import);
    let expected = ["F* ConsentBoxIgnored", "*3 HiddenRow", "C3 DateFromText", "A4 Formula", "B4 UnknownChoice"];
    assert_eq!(findings(&import), expected);
}

#[test]
fn what_is_no_workbook_is_said_to_be_none() {
    for bytes in [&b""[..], b"a", b"First Name;Gender\n", b"\xff\xd8\xff", b"%PDF-1.7", b"<html>"] {
        assert_eq!(fault(bytes), Some(ImportFault::NotAWorkbook));
    }
    assert_eq!(fault(b"PK"), Some(ImportFault::DamagedArchive));
    assert_eq!(fault(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0"), Some(ImportFault::OldOrEncrypted));
    assert_eq!(fault(&vec![b'P'; FILE_MAX + 1]), Some(ImportFault::FileTooLarge { max: FILE_MAX }));
    assert_eq!(fault(&archive(&[Entry::stored("a.txt", b"x")])), Some(ImportFault::NotAWorkbook));
    assert_eq!(fault(&archive(&[])), Some(ImportFault::NotAWorkbook));
}

#[test]
fn a_file_cut_anywhere_is_damaged() {
    let bytes = book().bytes();
    for len in (2..bytes.len()).step_by(7) {
        assert_eq!(fault(&bytes[..len]), Some(ImportFault::DamagedArchive), "cut at {len}");
    }
}

#[test]
fn bombs_are_refused_by_what_they_declare_and_by_what_they_do() {
    let zeros = vec![b' '; 40 << 20];
    let honest = changed(|e| e.push(Entry::deflated("xl/worksheets/sheet9.xml", &zeros)));
    assert!(honest.len() < 100_000);
    assert!(matches!(fault(&honest), Some(ImportFault::PartTooLarge { .. })));
    let dense = changed(|e| e.push(Entry::deflated("xl/worksheets/sheet9.xml", &zeros[..20 << 20])));
    assert_eq!(fault(&dense), Some(ImportFault::TooCompressed));
    let liar = changed(|e| e.push(Entry { size: 1000, ..Entry::deflated("xl/worksheets/sheet9.xml", &zeros) }));
    assert_eq!(fault(&liar), Some(ImportFault::TooCompressed));
    let many = changed(|e| {
        (0..7).for_each(|n| {
            e.push(Entry { size: 31 << 20, packed: vec![0; 1 << 20], ..Entry::deflated(&format!("a{n}"), b"") })
        })
    });
    assert!(matches!(fault(&many), Some(ImportFault::PartTooLarge { .. })));
    let parts = changed(|e| (0..PARTS_MAX).for_each(|n| e.push(Entry::stored(&format!("a{n}"), b""))));
    assert_eq!(fault(&parts), Some(ImportFault::TooManyParts { max: PARTS_MAX }));
}

#[test]
fn parts_that_share_bytes_are_refused() {
    let mut bytes = book().bytes();
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let second = directory + 4 + bytes[directory + 4..].windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    // The second entry of the directory is made a copy of the first, under a name as long as its own was.
    let first = bytes[directory..second].to_vec();
    let padding = bytes.len();
    let mut twice = bytes[..directory].to_vec();
    twice.extend(&first);
    twice.extend(&first);
    let end = u32::try_from(first.len() * 2).unwrap().to_le_bytes();
    let start = u32::try_from(directory).unwrap().to_le_bytes();
    twice.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
    twice.extend(end);
    twice.extend(start);
    twice.extend([0, 0]);
    assert_eq!(fault(&twice), Some(ImportFault::UnsafePartName), "one name twice");
    bytes.truncate(padding);
    let overlapping = {
        // A stored part that contains another whole local entry, which the directory lists as well.
        let inner = archive(&[Entry::stored("b", b"x")]);
        let outer = Entry::stored("a", &inner[..31 + 1]);
        let mut file = archive(&[outer]);
        let directory = file.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        let end = file.len() - 22;
        let mut entry = inner[inner.windows(4).position(|w| w == b"PK\x01\x02").unwrap()..inner.len() - 22].to_vec();
        entry[42..46].copy_from_slice(&31u32.to_le_bytes());
        file.splice(end..end, entry.iter().copied());
        let end = file.len() - 22;
        file[end + 8..end + 12].copy_from_slice(&[2, 0, 2, 0]);
        let len = u32::try_from(end - directory).unwrap().to_le_bytes();
        file[end + 12..end + 16].copy_from_slice(&len);
        file
    };
    assert_eq!(fault(&overlapping), Some(ImportFault::OverlappingParts));
}

#[test]
fn a_part_that_has_another_name_in_its_own_header_is_refused() {
    let mut bytes = book().bytes();
    assert_eq!(&bytes[30..49], b"[Content_Types].xml");
    bytes[31] = b'c';
    assert_eq!(fault(&bytes), Some(ImportFault::DamagedArchive));
}

#[test]
fn names_that_leave_the_archive_are_refused() {
    for name in [
        "../evil.xml",
        "/etc/passwd",
        "xl/../../x",
        "C:\\x",
        "xl\\workbook.xml",
        "a//b",
        "",
        ".",
        "xl/./x",
        "a\0b",
        "XL/WORKBOOK.XML",
    ] {
        let bytes = changed(|e| e.push(Entry::stored(name, b"x")));
        assert_eq!(fault(&bytes), Some(ImportFault::UnsafePartName), "{name:?}");
    }
}

#[test]
fn locked_foreign_and_wrong_archives_are_named() {
    assert_eq!(fault(&changed(|e| e[2].flags = 1)), Some(ImportFault::OldOrEncrypted));
    assert_eq!(fault(&changed(|e| e[2].method = 14)), Some(ImportFault::UnsupportedArchive));
    assert_eq!(fault(&changed(|e| e[2].size = u32::MAX)), Some(ImportFault::UnsupportedArchive));
    assert_eq!(fault(&changed(|e| e[2].crc ^= 1)), Some(ImportFault::DamagedArchive));
    assert_eq!(fault(&changed(|e| e[2].size += 1)), Some(ImportFault::DamagedArchive));
    assert_eq!(fault(&changed(|e| e[2].size -= 1)), Some(ImportFault::TooCompressed));
    assert_eq!(fault(&changed(|e| e.retain(|e| e.name != "_rels/.rels"))), Some(ImportFault::Unreadable));
    assert_eq!(fault(&changed(|e| e.retain(|e| !e.name.contains("sheet1")))), Some(ImportFault::Unreadable));
}

#[test]
fn macros_links_pictures_and_comments_stay_behind_and_are_named() {
    let bytes = changed(|entries| {
        for name in [
            "xl/vbaProject.bin",
            "xl/externalLinks/externalLink1.xml",
            "xl/media/image1.png",
            "xl/comments1.xml",
            "xl/externalLinks/_rels/externalLink1.xml.rels",
        ] {
            entries.push(Entry::stored(name, b"\0not markup <!DOCTYPE"));
        }
    });
    let import = read(&bytes).unwrap();
    let named = ["* MacrosIgnored", "* ExternalLinksIgnored", "* EmbeddedIgnored", "* CommentsIgnored"];
    assert_eq!(findings(&import)[..4], named);
    assert_eq!(import.rows.len(), 3);
    assert_eq!(import.report.blocking().count(), 2);
}

#[test]
fn an_entity_a_foreign_encoding_and_a_promise_of_strings_are_refused() {
    let with = |name: &str, from: &str, to: &str| {
        let parts = book().parts();
        let entries: Vec<_> = parts
            .iter()
            .map(|(n, text)| {
                Entry::deflated(n, if n == name { text.replacen(from, to, 1) } else { text.clone() }.as_bytes())
            })
            .collect();
        fault(&archive(&entries))
    };
    let sheet = "xl/worksheets/sheet1.xml";
    let entity = "?><!DOCTYPE a [<!ENTITY b \"bbbbbbbb\">]>";
    assert_eq!(with(sheet, "?>", entity), Some(ImportFault::ForbiddenMarkup));
    assert_eq!(with(sheet, "UTF-8", "UTF-16"), Some(ImportFault::ForbiddenMarkup));
    assert_eq!(
        with("xl/sharedStrings.xml", "uniqueCount=\"1\"", "uniqueCount=\"888888888888\""),
        Some(ImportFault::TooCompressed)
    );
    let formats = format!("<xf/>{}", "<xf/>".repeat(70_000));
    assert!(matches!(with("xl/styles.xml", "<xf numFmtId=\"0\"/>", &formats), Some(ImportFault::PartTooLarge { .. })));
}

/// A small generator of its own, so that a failure can be repeated from its number (Marsaglia's xorshift64).
fn chance(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 16).unwrap_or(0)
}

fn mutated(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=chance(state) % 4 {
        let at = chance(state) % out.len();
        match chance(state) % 4 {
            0 => out[at] = u8::try_from(chance(state) % 256).unwrap(),
            1 => out[at] ^= 1 << (chance(state) % 8),
            2 => drop(out.drain(at..(at + 1 + chance(state) % 16).min(out.len()))),
            _ => {
                let from = chance(state) % out.len();
                let piece = out[from..(from + chance(state) % 24).min(out.len())].to_vec();
                out.splice(at..at, piece);
            }
        }
        if out.is_empty() {
            out.push(b'P');
        }
    }
    out
}

#[test]
fn two_thousand_mutations_of_the_archive_are_read_or_refused() {
    let good = book().bytes();
    for seed in 1..=2000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        drop(read(&mutated(&good, &mut state)));
    }
}

#[test]
fn two_thousand_mutations_of_the_parts_are_read_or_refused_and_lose_no_cell() {
    // The archive is whole, so that the changed markup reaches the reader; damage to the archive is the test above.
    let parts = book().parts();
    let mut read_well = 0;
    for seed in 1..=2000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let chosen =
            if chance(&mut state).is_multiple_of(3) { chance(&mut state) % parts.len() } else { parts.len() - 1 };
        let entry = |(at, (name, text)): (usize, &(String, String))| {
            let mut state = state;
            Entry::stored(
                name,
                &if at == chosen { mutated(text.as_bytes(), &mut state) } else { text.clone().into_bytes() },
            )
        };
        let bytes = archive(&parts.iter().enumerate().map(entry).collect::<Vec<_>>());
        if let Ok(import) = read(&bytes) {
            assert_nothing_disappeared(&bytes, &import);
            read_well += 1;
        }
    }
    assert!(read_well > 100, "only {read_well} were read: the mutations no longer reach the importer");
}
