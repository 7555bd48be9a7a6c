//! One file of the journal: its heading, the frame around each record, and how both are read back.
//!
//! ```text
//! heading = "chjrnl01" | store id | first commit u64 | chain before it | check              96 bytes
//! record  = header | payload | chain
//! header  = "CHR1" | payload length u32 | commit u64 | chain before | check                 64 bytes
//! check   = SHA-256(chain before the first record of this file | header so far), halved
//! chain   = SHA-256(header | payload)
//! ```
//! The header holds the chain value before it, so the chain covers it. Its check covers the length, so that a length
//! is believed only when it is whole, and bounded before anything is allocated; and it is bound to this file, so that
//! a record of another file or another store is not taken for one of these.
//!
//! Reads only. Refuses to decide what damage means; `journal.rs` does.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::format::{COUNT_MAX, Cursor, Hash, Label, RECORD_MAGIC, SEGMENT_MAGIC, StoreId, labelled, len32};
use crate::record::PAYLOAD_MAX;

/// Length of a segment's heading.
pub(crate) const HEADING_LEN: u64 = 96;
/// Length of a record's header.
pub(crate) const HEADER_LEN: usize = 64;
/// Length of the chain value behind a payload.
pub(crate) const CHAIN_LEN: usize = 32;
const CHECKED_LEN: usize = 48;

/// A place in the history: after commit `seq` the chain stands at `chain`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) seq: u64,
    pub(crate) chain: Hash,
}

impl Point {
    /// Before the first commit of a store.
    pub(crate) fn genesis(id: &StoreId) -> Self {
        Self { seq: 0, chain: labelled(Label::Genesis, &[id]) }
    }
}

/// The heading of the segment that starts behind `before`.
pub(crate) fn heading(id: &StoreId, before: &Point) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADING_LEN as usize);
    out.extend_from_slice(SEGMENT_MAGIC);
    out.extend_from_slice(id);
    out.extend_from_slice(&before.seq.saturating_add(1).to_le_bytes());
    out.extend_from_slice(&before.chain);
    let check = labelled(Label::Segment, &[&out]);
    out.extend_from_slice(&check);
    out
}

/// Reads a heading: the store it names and the point before its first record. `None` when it is damaged.
pub(crate) fn read_heading(bytes: &[u8]) -> Option<(StoreId, Point)> {
    let mut cursor = Cursor::new(bytes);
    let _magic = cursor.array::<8>().filter(|magic| magic == SEGMENT_MAGIC)?;
    let (id, first, chain): (StoreId, u64, Hash) = (cursor.array()?, cursor.u64()?, cursor.array()?);
    let checked = bytes.get(..cursor.at())?;
    let whole = cursor.array()? == labelled(Label::Segment, &[checked]);
    let seq = first.checked_sub(1).filter(|seq| *seq < COUNT_MAX)?;
    whole.then_some((id, Point { seq, chain }))
}

/// Frames a record in place: `frame` holds room for the header and then the payload; the chain is appended.
/// Returns the chain behind it.
pub(crate) fn seal_frame(frame: &mut Vec<u8>, start: &Hash, before: &Point) -> Point {
    let seq = before.seq.saturating_add(1);
    let payload_len = frame.len().saturating_sub(HEADER_LEN);
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(RECORD_MAGIC);
    header.extend_from_slice(&len32(payload_len));
    header.extend_from_slice(&seq.to_le_bytes());
    header.extend_from_slice(&before.chain);
    let check = header_check(start, &header);
    header.extend_from_slice(&check);
    frame[..HEADER_LEN].copy_from_slice(&header);
    let chain = labelled(Label::Chain, &[frame]);
    frame.extend_from_slice(&chain);
    Point { seq, chain }
}

fn header_check(start: &Hash, checked: &[u8]) -> [u8; 16] {
    let hash = labelled(Label::Header, &[start, checked]);
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// A record's header, whole.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) payload_len: usize,
    pub(crate) seq: u64,
    pub(crate) before: Hash,
}

fn read_header(bytes: &[u8], start: &Hash) -> Option<Header> {
    let mut cursor = Cursor::new(bytes);
    let _magic = cursor.array::<4>().filter(|magic| magic == RECORD_MAGIC)?;
    let payload_len = usize::try_from(cursor.u32()?).ok()?;
    let (seq, before) = (cursor.u64()?, cursor.array()?);
    let whole = cursor.array()? == header_check(start, bytes.get(..CHECKED_LEN)?);
    (whole && payload_len <= PAYLOAD_MAX && seq <= COUNT_MAX).then_some(Header { payload_len, seq, before })
}

/// What lies at the reader's place.
pub(crate) enum Frame {
    /// A whole record; its payload is in [`Reader::payload`], `at` bytes into the file.
    Whole { header: Header, at: u64, chain: Hash },
    /// Something else.
    Broken,
    /// The end of the file.
    End,
}

/// Reads one segment from front to back.
pub(crate) struct Reader {
    file: BufReader<File>,
    len: u64,
    at: u64,
    start: Hash,
    frame: Vec<u8>,
}

impl Reader {
    /// Opens a segment and returns its heading with it, as found.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<u8>)> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut found = Vec::new();
        file.by_ref().take(HEADING_LEN).read_to_end(&mut found)?;
        Ok((Self { file, len, at: HEADING_LEN.min(len), start: [0; 32], frame: Vec::new() }, found))
    }

    /// Says which chain value this file starts from. Must come before the first [`Reader::next`].
    pub(crate) fn starts_from(&mut self, start: Hash) {
        self.start = start;
    }

    /// Where the next record starts.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The payload of the record last found whole.
    pub(crate) fn payload(&self) -> &[u8] {
        self.frame.get(HEADER_LEN..self.frame.len().saturating_sub(CHAIN_LEN)).unwrap_or_default()
    }

    /// Reads on by one record. After [`Frame::Broken`] it stands where it stood.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        let left = self.len.saturating_sub(self.at);
        if left == 0 {
            return Ok(Frame::End);
        }
        if left < HEADER_LEN as u64 {
            return Ok(Frame::Broken);
        }
        self.frame.clear();
        self.fill(HEADER_LEN)?;
        let Some(header) = read_header(&self.frame, &self.start) else { return Ok(Frame::Broken) };
        let rest = header.payload_len + CHAIN_LEN;
        if left < (HEADER_LEN + rest) as u64 {
            return Ok(Frame::Broken);
        }
        self.fill(rest)?;
        let (framed, chain) = self.frame.split_at(HEADER_LEN + header.payload_len);
        let expected = labelled(Label::Chain, &[framed]);
        if chain != expected {
            return Ok(Frame::Broken);
        }
        let at = self.at + HEADER_LEN as u64;
        self.at += (HEADER_LEN + rest) as u64;
        Ok(Frame::Whole { header, at, chain: expected })
    }

    /// Reads `more` bytes behind what is in the frame.
    fn fill(&mut self, more: usize) -> io::Result<()> {
        let have = self.frame.len();
        self.frame.resize(have + more, 0);
        self.file.read_exact(&mut self.frame[have..])
    }

    /// Looks for the next whole header behind the current place that `wanted` accepts, and moves there.
    pub(crate) fn find(&mut self, wanted: impl Fn(&Header) -> bool) -> io::Result<Option<Header>> {
        let from = self.at + 1;
        self.file.seek(SeekFrom::Start(from))?;
        let mut rest = Vec::new();
        self.file.by_ref().take(self.len.saturating_sub(from)).read_to_end(&mut rest)?;
        let found = rest
            .windows(HEADER_LEN)
            .enumerate()
            .filter(|(_, bytes)| bytes.starts_with(RECORD_MAGIC))
            .find_map(|(at, bytes)| Some((at, read_header(bytes, &self.start).filter(&wanted)?)));
        let Some((at, header)) = found else { return Ok(None) };
        self.at = from + at as u64;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(Some(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Hash = [3; 32];

    /// A header with a right check, whatever it says.
    fn header(payload_len: usize, seq: u64) -> Vec<u8> {
        let mut header = [&RECORD_MAGIC[..], &len32(payload_len), &seq.to_le_bytes(), &[4; 32]].concat();
        let check = header_check(&START, &header);
        header.extend_from_slice(&check);
        header
    }

    #[test]
    fn a_header_is_believed_when_it_is_whole_of_this_file_and_within_the_limits() {
        let found = read_header(&header(PAYLOAD_MAX, COUNT_MAX), &START).unwrap();
        assert_eq!((found.payload_len, found.seq, found.before), (PAYLOAD_MAX, COUNT_MAX, [4; 32]));
        assert!(read_header(&header(PAYLOAD_MAX + 1, 1), &START).is_none());
        assert!(read_header(&header(1, COUNT_MAX + 1), &START).is_none());
        assert!(read_header(&header(1, 1), &[2; 32]).is_none(), "of another file");
        for at in 0..HEADER_LEN {
            let mut bytes = header(1, 1);
            bytes[at] ^= 1;
            assert!(read_header(&bytes, &START).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_heading_names_a_first_commit_that_a_store_can_reach() {
        let id = [7; 16];
        let read = |seq| read_heading(&heading(&id, &Point { seq, chain: START }));
        for seq in [0, COUNT_MAX - 1] {
            assert!(read(seq) == Some((id, Point { seq, chain: START })), "{seq}");
        }
        assert!(read(COUNT_MAX).is_none());
        // Before the first commit there is none.
        let mut bytes = [&SEGMENT_MAGIC[..], &id, &0u64.to_le_bytes(), &START].concat();
        let check = labelled(Label::Segment, &[&bytes]);
        bytes.extend_from_slice(&check);
        assert!(read_heading(&bytes).is_none());
    }
}
