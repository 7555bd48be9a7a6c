//! The archive around a workbook: read with suspicion, unpacked under limits, packed again clean.
//!
//! An .xlsx file is a zip archive from a stranger's disk. Before any other code sees it, the central directory is walked
//! here and everything that is not an honest small workbook is refused: too many parts, sizes or ratios of a bomb, parts
//! that overlap, names that climb out of a folder, encryption, checksums that do not fit. Declared sizes are never
//! believed: unpacking stops at the limit. Refuses zip64, multi-disk archives and every method but stored and deflated.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use zeroize::Zeroizing;

use super::fault::ImportFault;

/// Largest file read.
pub const FILE_MAX: usize = 8 << 20;
/// Most parts of one archive.
pub const PARTS_MAX: usize = 256;
/// Longest name of a part, in bytes.
const PART_NAME_MAX: usize = 200;
/// Largest part, unpacked.
pub const PART_MAX: u64 = 32 << 20;
/// All parts of one archive, unpacked.
pub const TOTAL_MAX: u64 = 64 << 20;
/// A part that unpacks to more than a mebibyte may grow by this factor at most.
pub const RATIO_MAX: u64 = 200;
/// Below this size the ratio does not matter.
const RATIO_FREE: u64 = 1 << 20;

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const END_LEN: usize = 22;
const CENTRAL_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
const COMMENT_MAX: usize = 0xffff;
/// The first bytes of an OLE file: an old .xls, or a workbook with a password.
const OLE: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// One part as the central directory describes it, its place checked.
pub(super) struct Part {
    pub(super) name: String,
    deflated: bool,
    crc: u32,
    packed: Range<usize>,
    /// From its local header to its last byte: no two parts may share a byte.
    place: Range<usize>,
    /// Unpacked size as declared; a promise that [`unpack`] holds it to.
    size: u64,
}

/// Walks the central directory and refuses the archive unless every part is what it should be.
///
/// Nothing is unpacked.
///
/// # Errors
/// An [`ImportFault`] that says what is wrong with the file.
pub(super) fn parts(bytes: &[u8]) -> Result<Vec<Part>, ImportFault> {
    if bytes.len() > FILE_MAX {
        return Err(ImportFault::FileTooLarge { max: FILE_MAX });
    }
    if bytes.starts_with(&OLE) {
        return Err(ImportFault::OldOrEncrypted);
    }
    if !bytes.starts_with(b"PK") {
        return Err(ImportFault::NotAWorkbook);
    }
    let end = end_record(bytes).ok_or(ImportFault::DamagedArchive)?;
    let count = usize::from(end.u16(10)?);
    let disks = [end.u16(4)?, end.u16(6)?];
    if disks != [0, 0] || end.u16(8)? != end.u16(10)? || count == 0xffff {
        return Err(ImportFault::UnsupportedArchive);
    }
    if count > PARTS_MAX {
        return Err(ImportFault::TooManyParts { max: PARTS_MAX });
    }
    let start = usize::try_from(end.u32(16)?).map_err(|_| ImportFault::DamagedArchive)?;
    let mut at = start;
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let (part, next) = central_entry(bytes, at)?;
        found.push(part);
        at = next;
    }
    check_together(&found, start)?;
    Ok(found)
}

/// Unpacks one part, at most to its declared and checked size.
///
/// # Errors
/// [`ImportFault::TooCompressed`] when it grows beyond what it declared, [`ImportFault::DamagedArchive`] when it does
/// not unpack or its checksum is wrong.
pub(super) fn unpack(bytes: &[u8], part: &Part) -> Result<Zeroizing<Vec<u8>>, ImportFault> {
    let packed = bytes.get(part.packed.clone()).ok_or(ImportFault::DamagedArchive)?;
    let declared = usize::try_from(part.size).map_err(|_| ImportFault::DamagedArchive)?;
    // The whole size at once: a vector that grows leaves copies of what it held behind.
    let mut out = Zeroizing::new(Vec::with_capacity(declared.saturating_add(1)));
    let limit = part.size.saturating_add(1);
    let read = if part.deflated {
        flate2::read::DeflateDecoder::new(packed).take(limit).read_to_end(&mut out)
    } else {
        packed.take(limit).read_to_end(&mut out)
    };
    read.map_err(|_| ImportFault::DamagedArchive)?;
    if out.len() > declared {
        return Err(ImportFault::TooCompressed);
    }
    if out.len() < declared || crc32(&out) != part.crc {
        return Err(ImportFault::DamagedArchive);
    }
    Ok(out)
}

/// Packs parts into an archive of stored entries: what the workbook reader is given instead of the stranger's file.
pub(super) fn pack(parts: &BTreeMap<String, Zeroizing<Vec<u8>>>) -> Result<Zeroizing<Vec<u8>>, ImportFault> {
    let small = |n: usize| u32::try_from(n).map_err(|_| ImportFault::DamagedArchive);
    let names: usize = parts.keys().map(String::len).sum();
    let content: usize = parts.values().map(|p| p.len()).sum();
    let total = content + 2 * names + parts.len() * (LOCAL_LEN + CENTRAL_LEN) + END_LEN;
    let mut out = Zeroizing::new(Vec::with_capacity(total));
    let mut directory = Vec::new();
    for (name, content) in parts {
        let (offset, size, crc) = (small(out.len())?, small(content.len())?, crc32(content));
        let name_len = u16::try_from(name.len()).map_err(|_| ImportFault::DamagedArchive)?;
        // Version 2.0, UTF-8 names, stored, no time.
        let mut common = Vec::with_capacity(26);
        common.extend_from_slice(&[20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0]);
        for number in [crc, size, size] {
            common.extend_from_slice(&number.to_le_bytes());
        }
        common.extend_from_slice(&name_len.to_le_bytes());
        common.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&LOCAL);
        out.extend_from_slice(&common);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(content);
        directory.extend_from_slice(&CENTRAL);
        directory.extend_from_slice(&[20, 0]);
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let count = u16::try_from(parts.len()).map_err(|_| ImportFault::DamagedArchive)?;
    let (start, len) = (small(out.len())?, small(directory.len())?);
    out.extend_from_slice(&directory);
    out.extend_from_slice(&END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    Ok(out)
}

/// CRC-32 as the archive has it.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A record inside the file, read by offset; short ones read as damage.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn u16(&self, at: usize) -> Result<u16, ImportFault> {
        let bytes = self.0.get(at..at + 2).and_then(|b| b.try_into().ok()).ok_or(ImportFault::DamagedArchive)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn u32(&self, at: usize) -> Result<u32, ImportFault> {
        let bytes = self.0.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or(ImportFault::DamagedArchive)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn len_at(&self, at: usize) -> Result<usize, ImportFault> {
        self.u16(at).map(usize::from)
    }
}

/// The last end record whose comment ends exactly where the file does.
fn end_record(bytes: &[u8]) -> Option<Record<'_>> {
    let last = bytes.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(COMMENT_MAX);
    (first..=last).rev().find_map(|at| {
        let record = Record(bytes.get(at..)?);
        let whole = record.0.starts_with(&END) && record.len_at(20).ok()? + END_LEN == record.0.len();
        whole.then_some(record)
    })
}

fn central_entry(bytes: &[u8], at: usize) -> Result<(Part, usize), ImportFault> {
    let entry = Record(bytes.get(at..).ok_or(ImportFault::DamagedArchive)?);
    if !entry.0.starts_with(&CENTRAL) {
        return Err(ImportFault::DamagedArchive);
    }
    let flags = entry.u16(8)?;
    if flags & 0x2041 != 0 {
        return Err(ImportFault::OldOrEncrypted);
    }
    let deflated = match entry.u16(10)? {
        0 => false,
        8 => true,
        _ => return Err(ImportFault::UnsupportedArchive),
    };
    let (packed, size, local) = (entry.u32(20)?, entry.u32(24)?, entry.u32(42)?);
    if [packed, size, local].contains(&u32::MAX) {
        return Err(ImportFault::UnsupportedArchive);
    }
    let (name_len, extra, comment) = (entry.len_at(28)?, entry.len_at(30)?, entry.len_at(32)?);
    let name = entry.0.get(CENTRAL_LEN..CENTRAL_LEN + name_len).ok_or(ImportFault::DamagedArchive)?;
    let (place, packed) = local_entry(bytes, local, packed, name)?;
    if !deflated && packed.len() as u64 != u64::from(size) {
        return Err(ImportFault::DamagedArchive);
    }
    let part = Part { name: part_name(name)?, deflated, crc: entry.u32(16)?, packed, place, size: u64::from(size) };
    if part.size > PART_MAX {
        return Err(ImportFault::PartTooLarge { max: PART_MAX });
    }
    if part.size > RATIO_FREE && part.size / RATIO_MAX > part.packed.len() as u64 {
        return Err(ImportFault::TooCompressed);
    }
    Ok((part, at + CENTRAL_LEN + name_len + extra + comment))
}

/// Where a part and its packed bytes lie, by its local header, which must carry the same name.
fn local_entry(
    bytes: &[u8],
    offset: u32,
    packed: u32,
    name: &[u8],
) -> Result<(Range<usize>, Range<usize>), ImportFault> {
    let wide = |n: u32| usize::try_from(n).map_err(|_| ImportFault::DamagedArchive);
    let at = wide(offset)?;
    let header = Record(bytes.get(at..).ok_or(ImportFault::DamagedArchive)?);
    let (name_len, extra) = (header.len_at(26)?, header.len_at(28)?);
    let same_name = header.0.get(LOCAL_LEN..LOCAL_LEN + name_len) == Some(name);
    if !header.0.starts_with(&LOCAL) || !same_name {
        return Err(ImportFault::DamagedArchive);
    }
    let start = at + LOCAL_LEN + name_len + extra;
    let end = start.checked_add(wide(packed)?).filter(|end| *end <= bytes.len()).ok_or(ImportFault::DamagedArchive)?;
    Ok((at..end, start..end))
}

/// The name of a part, if it stays inside the archive: no root, no climbing, no drive, no backslash, no control.
fn part_name(name: &[u8]) -> Result<String, ImportFault> {
    let text = std::str::from_utf8(name).map_err(|_| ImportFault::UnsafePartName)?;
    let folder = text.strip_suffix('/').unwrap_or(text);
    let safe = !folder.is_empty()
        && text.len() <= PART_NAME_MAX
        && !text.contains(|c: char| c.is_control() || c == '\\' || c == ':')
        && folder.split('/').all(|step| !matches!(step, "" | "." | ".."));
    safe.then(|| text.to_owned()).ok_or(ImportFault::UnsafePartName)
}

/// What only all parts together show: two of one name, overlapping places, a total beyond the limit.
fn check_together(parts: &[Part], directory: usize) -> Result<(), ImportFault> {
    let total: u64 = parts.iter().map(|p| p.size).sum();
    if total > TOTAL_MAX {
        return Err(ImportFault::PartTooLarge { max: TOTAL_MAX });
    }
    let mut names: Vec<_> = parts.iter().map(|p| p.name.to_lowercase()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ImportFault::UnsafePartName);
    }
    // A part that lies inside another is how a small file holds a petabyte.
    let mut places: Vec<_> = parts.iter().map(|p| &p.place).collect();
    places.sort_unstable_by_key(|place| place.start);
    let overlap = places.windows(2).any(|pair| pair[0].end > pair[1].start);
    if overlap || places.last().is_some_and(|last| last.end > directory) {
        return Err(ImportFault::OverlappingParts);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of an archive without parts that says it has so many, behind what every archive begins with.
    fn end_of(count: u16) -> Vec<u8> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend_from_slice(&count.to_le_bytes());
        end.extend_from_slice(&count.to_le_bytes());
        end.extend_from_slice(&[0; 10]);
        end
    }

    #[test]
    fn a_file_may_be_as_long_and_of_as_many_parts_as_it_says_and_no_more() {
        assert_eq!(parts(&vec![0; FILE_MAX]).err(), Some(ImportFault::NotAWorkbook));
        assert_eq!(parts(&vec![0; FILE_MAX + 1]).err(), Some(ImportFault::FileTooLarge { max: FILE_MAX }));
        let many = |count: usize| parts(&end_of(u16::try_from(count).unwrap())).err();
        assert_eq!(many(PARTS_MAX + 1), Some(ImportFault::TooManyParts { max: PARTS_MAX }));
        assert!(many(PARTS_MAX).is_some_and(|fault| fault != ImportFault::TooManyParts { max: PARTS_MAX }));
    }

    #[test]
    fn parts_lie_beside_each_other_before_the_directory_under_names_of_their_own() {
        let part = |name: &str, place: std::ops::Range<usize>, size: u64| Part {
            name: name.into(),
            deflated: false,
            crc: 0,
            packed: 0..0,
            place,
            size,
        };
        let together = |second: &str, place: std::ops::Range<usize>, size: u64| {
            check_together(&[part("a", 0..50, 1), part(second, place, size)], 100)
        };
        assert_eq!(together("b", 50..100, 1), Ok(()));
        assert_eq!(together("b", 49..100, 1), Err(ImportFault::OverlappingParts));
        assert_eq!(together("b", 50..101, 1), Err(ImportFault::OverlappingParts), "in the directory");
        assert_eq!(together("A", 50..100, 1), Err(ImportFault::UnsafePartName), "whatever its case");
        assert_eq!(together("b", 50..100, TOTAL_MAX - 1), Ok(()));
        assert_eq!(together("b", 50..100, TOTAL_MAX), Err(ImportFault::PartTooLarge { max: TOTAL_MAX }));
    }
}
