//! A whole directory as a file, for a stick that is carried where no line goes: pages of one length, each with its number
//! and a checksum of its own, so that what is damaged is known by its number and costs no other page.
//!
//! The checksum finds accidents and proves nothing: every record in a page is checked as a stranger's. Refuses to say what
//! stands in a page that does not have its checksum.

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::Directory;
use crate::labels;
use crate::limits::{BUNDLE_MAX, FILE_PAGE_LEN, FILE_PAGES_MAX};
use crate::pae::hash;

/// How every page begins.
const MAGIC: &[u8; 8] = b"CHPAGE01";
const CHECKSUM_END: usize = MAGIC.len() + 32;
/// Number, count and length of the bundle, four bytes each.
const HEAD: usize = CHECKSUM_END + 12;
/// Bytes of the bundle of one page.
const ROOM: usize = FILE_PAGE_LEN - HEAD;

/// Why a page is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageFault {
    /// A bit of it is not as it was written, or it is cut off.
    #[error("damaged")]
    Damaged,
    /// It is whole and belongs to another place, or no bundle is in it.
    #[error("not a page of this place")]
    Misplaced,
}

/// One page of a directory, and how many there are.
pub struct Page {
    /// Its bytes, [`FILE_PAGE_LEN`] of them.
    pub bytes: Vec<u8>,
    /// Pages in all.
    pub of: u32,
}

/// Page `number`, counted from 0, of a directory: its records in the order in which a stranger must read them, then its
/// prekeys on pages of their own. `None` behind the last, and when it would take more than [`FILE_PAGES_MAX`].
#[must_use]
pub fn page(directory: &Directory, number: u32) -> Option<Page> {
    let mut bundle = wire::RecordBundle::default();
    let mut place = Place::default();
    for record in directory.records() {
        if place.next(record.encoded_len()) == number {
            bundle.records.push(record.clone());
        }
    }
    place.turn();
    for ((_, week), key) in &directory.prekeys {
        let prekey = wire::Prekey { week: *week, pk: key.as_bytes().to_vec() };
        if place.next(prekey.encoded_len()) == number {
            bundle.prekeys.push(prekey);
        }
    }
    let of = place.page + u32::from(place.items > 0);
    let fits = number < of && usize::try_from(of).is_ok_and(|of| of <= FILE_PAGES_MAX);
    fits.then(|| Page { bytes: framed(number, of, &bundle.encode_to_vec()), of })
}

/// Where in a file the next record goes.
#[derive(Default)]
struct Place {
    page: u32,
    items: usize,
    len: usize,
}

impl Place {
    fn next(&mut self, len: usize) -> u32 {
        let len = 1 + prost::length_delimiter_len(len) + len;
        if self.items == BUNDLE_MAX || self.len + len > ROOM {
            self.turn();
        }
        self.items += 1;
        self.len += len;
        self.page
    }

    fn turn(&mut self) {
        // None is left empty: the first has the genesis, and no record is as long as a page.
        *self = Self { page: self.page + 1, ..Self::default() };
    }
}

fn framed(number: u32, of: u32, bundle: &[u8]) -> Vec<u8> {
    // A record is bounded far below a page.
    let len = u32::try_from(bundle.len()).unwrap_or(u32::MAX);
    let mut page = Vec::with_capacity(FILE_PAGE_LEN);
    page.extend_from_slice(MAGIC);
    page.extend_from_slice(&[0; 32]);
    [number, of, len].iter().for_each(|n| page.extend_from_slice(&n.to_be_bytes()));
    page.extend_from_slice(bundle);
    page.resize(FILE_PAGE_LEN, 0);
    let checksum = checksum(&page);
    page[MAGIC.len()..CHECKSUM_END].copy_from_slice(&checksum);
    page
}

fn checksum(page: &[u8]) -> [u8; 32] {
    hash(labels::DIRECTORY_PAGE, &[page.get(CHECKSUM_END..).unwrap_or_default()])
}

/// Whether bytes are a directory's file: any page of it begins as one does.
#[must_use]
pub fn is_file(bytes: &[u8]) -> bool {
    bytes.chunks(FILE_PAGE_LEN).any(|page| page.starts_with(MAGIC))
}

/// Reads the page that stands at place `number` of a file; with it how many pages the file had.
///
/// # Errors
/// [`PageFault`].
pub fn read(number: u32, page: &[u8]) -> Result<(wire::RecordBundle, u32), PageFault> {
    let told = page.get(MAGIC.len()..CHECKSUM_END).unwrap_or_default();
    if page.len() != FILE_PAGE_LEN || !page.starts_with(MAGIC) || told != checksum(page) {
        return Err(PageFault::Damaged);
    }
    let word = |at: usize| {
        let bytes = page.get(CHECKSUM_END + 4 * at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes))
    };
    let len = usize::try_from(word(2)).unwrap_or(usize::MAX);
    let bundle = page.get(HEAD..).and_then(|rest| rest.get(..len));
    let bundle = bundle.and_then(|bundle| wire::RecordBundle::decode(bundle).ok()).ok_or(PageFault::Misplaced)?;
    let counted = bundle.records.len() <= BUNDLE_MAX && bundle.prekeys.len() <= BUNDLE_MAX;
    if word(0) == number && counted { Ok((bundle, word(1))) } else { Err(PageFault::Misplaced) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, Region};

    fn file(directory: &Directory) -> Vec<Vec<u8>> {
        let first = page(directory, 0).unwrap();
        (0..first.of).map(|number| page(directory, number).unwrap().bytes).collect()
    }

    fn import(region: &Region, pages: &[Vec<u8>]) -> (Directory, Vec<usize>) {
        let mut directory = Directory::found(&region.genesis, None).unwrap();
        let mut damaged = Vec::new();
        for (n, page) in pages.iter().enumerate() {
            let Ok((bundle, of)) = read(n as u32, page) else {
                damaged.push(n);
                continue;
            };
            assert_eq!(of as usize, pages.len());
            for record in &bundle.records {
                if let Ok(Some(checked)) = directory.check(record, NOW) {
                    directory.insert(checked);
                }
            }
            for prekey in &bundle.prekeys {
                if let Ok(Some(checked)) = directory.check_prekey(prekey.week, &prekey.pk) {
                    directory.insert(checked);
                }
            }
        }
        (directory, damaged)
    }

    fn usable(region: &Region, directory: &Directory) -> usize {
        region.members.iter().filter(|m| directory.recipient(m.org, m.node, NOW).is_ok()).count()
    }

    #[test]
    fn a_directory_without_prekeys_has_no_empty_page_behind_its_records() {
        let region = Region::new(1, 1);
        let founded = Directory::found(&region.genesis, None).unwrap();
        assert_eq!(page(&founded, 0).map(|page| page.of), Some(1));
        assert!(page(&founded, 1).is_none());
        assert_eq!(page(&region.directory, 0).map(|page| page.of), Some(2), "its prekeys are behind");
    }

    #[test]
    fn a_directory_goes_through_a_file_whole() {
        let region = Region::new(1, 60);
        let pages = file(&region.directory);
        assert!(pages.len() >= 6 && pages.iter().all(|page| page.len() == FILE_PAGE_LEN), "{}", pages.len());
        let (directory, damaged) = import(&region, &pages);
        assert_eq!((usable(&region, &directory), damaged), (60, vec![]));
        assert!(is_file(&pages.concat()) && !is_file(b"application") && !is_file(&[]));
        assert!(page(&region.directory, pages.len() as u32).is_none());
    }

    #[test]
    fn one_flipped_bit_costs_its_page_and_no_other() {
        let region = Region::new(2, 60);
        let pages = file(&region.directory);
        let last = pages.len() - 1;
        for at in [0, 7, 8, 39, 40, 44, 48, HEAD, HEAD + 5000, FILE_PAGE_LEN - 1] {
            for bit in [0, 7] {
                let mut touched = pages.clone();
                touched[last][at] ^= 1 << bit;
                let (directory, damaged) = import(&region, &touched);
                assert_eq!(damaged, [last], "byte {at}");
                let left = usable(&region, &directory);
                assert!((1..60).contains(&left), "{left} of 60 with one page of prekeys missing");
                assert!(is_file(&touched.concat()));
            }
        }
        let mut cut = pages.clone();
        cut[last].truncate(100);
        assert_eq!(import(&region, &cut).1, [last]);
        let mut swapped = pages;
        swapped.swap(0, 1);
        assert_eq!(import(&region, &swapped).1, [0, 1]);
        assert_eq!(read(0, &swapped[0]).err(), Some(PageFault::Misplaced));
    }

    #[test]
    fn a_page_holds_as_many_records_and_bytes_as_it_has_room_for() {
        let mut place = Place::default();
        assert!((0..BUNDLE_MAX).all(|_| place.next(1) == 0));
        assert_eq!(place.next(1), 1, "one record more");
        // A record is framed by a tag and, from 16384 bytes on, three bytes of length.
        for (second, page) in [(ROOM - 40_000 - 4, 0), (ROOM - 40_000 - 3, 1)] {
            let mut place = Place::default();
            assert_eq!(place.next(40_000 - 4), 0);
            assert_eq!(place.next(second), page, "{second}");
        }
        let most = vec![wire::Signed::default(); BUNDLE_MAX];
        let most = wire::RecordBundle { records: most, prekeys: vec![], published: vec![] }.encode_to_vec();
        assert!(read(0, &framed(0, 1, &most)).is_ok());
        let many = vec![wire::Prekey::default(); BUNDLE_MAX + 1];
        let many = wire::RecordBundle { prekeys: many, ..wire::RecordBundle::default() }.encode_to_vec();
        assert_eq!(read(0, &framed(0, 1, &many)).err(), Some(PageFault::Misplaced));
    }

    #[test]
    fn a_page_that_lies_about_itself_is_refused() {
        let of_len = |len: u32| {
            let mut page = framed(0, 1, b"");
            page[CHECKSUM_END + 8..HEAD].copy_from_slice(&len.to_be_bytes());
            let sum = checksum(&page);
            page[MAGIC.len()..CHECKSUM_END].copy_from_slice(&sum);
            read(0, &page).err()
        };
        assert_eq!(of_len(0), None);
        for len in [ROOM as u32 + 1, u32::MAX] {
            assert_eq!(of_len(len), Some(PageFault::Misplaced));
        }
        let records = vec![wire::Signed::default(); BUNDLE_MAX + 1];
        let many = wire::RecordBundle { records, prekeys: vec![], published: vec![] }.encode_to_vec();
        assert_eq!(read(0, &framed(0, 1, &many)).err(), Some(PageFault::Misplaced));
    }
}
