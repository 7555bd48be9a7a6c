//! The journal: every commit since the snapshot, one hash-chained record each. This is the truth; all else is derived.
//!
//! **Appending.** One `write_all` and one `sync_data` for each commit, nothing else on the way. A write that fails is
//! taken back by cutting the file to its last confirmed length. A *sync* that fails poisons the journal for good:
//! after it nobody knows what the disk holds, so it is never retried and nothing is appended again.
//!
//! **Reading.** [`walk`] goes from the snapshot's point to the end and checks every byte. What it cannot read falls
//! into two kinds. At the very end of the last file, with nothing whole behind it, it is the *tail*: the only record a
//! crash can leave incomplete, and one that was never acknowledged. Anywhere else it is *damage*, reported with file,
//! offset and the commits concerned; the walk finds the next whole record and goes on. `walk` changes nothing.
//!
//! Refuses to decide whether a store with damage may be used; `opening.rs` does, which also knows the index.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::contract::{CommitError, StoreError};
use crate::files::{failed, names, read_at, short_name, sync_folder, write_then_rename};
use crate::finding::Finding;
use crate::format::{Hash, StoreId, number_of, numbered, segment_name};
use crate::record::PAYLOAD_MAX;
use crate::segment::{
    CHAIN_LEN, Frame, HEADER_LEN, HEADING_LEN, Header, Point, Reader, heading, read_heading, seal_frame,
};

/// A segment that has reached this length is followed by a new one.
pub(crate) const SEGMENT_MAX: u64 = 32 << 20;
/// The longest a single record can be, and so the longest tail a crash can leave.
const RECORD_MAX: u64 = (HEADER_LEN + PAYLOAD_MAX + CHAIN_LEN) as u64;
/// Damaged places a walk goes past, each of which costs reading the rest of a file once more.
const DAMAGES_MAX: usize = 64;
/// Frame buffers above this are given back after a commit.
const BUFFER_KEPT: usize = 1 << 20;

/// What a walk meets, in order.
pub(crate) enum Seen<'a> {
    /// A whole record, in its place in the chain.
    Record(Placed<'a>),
    /// Commits `first..=last` cannot be read, from a byte of a file on.
    Damage { first: u64, last: u64, file: &'a str, offset: u64 },
}

/// A whole record and where its payload lies.
pub(crate) struct Placed<'a> {
    pub(crate) seq: u64,
    pub(crate) spot: Spot,
    pub(crate) payload: &'a [u8],
}

/// Where a payload lies: the segment that starts with commit `segment`, `at` bytes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot {
    pub(crate) segment: u64,
    pub(crate) at: u64,
}

/// An incomplete last record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The segment that is appended to.
#[derive(Clone, Copy)]
pub(crate) struct Last {
    first: u64,
    start: Hash,
    len: u64,
}

impl Last {
    /// Its first commit.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }
}

/// What a walk found.
pub(crate) struct Walked {
    /// Where the history ends.
    pub(crate) end: Point,
    /// The segment to append to; `None` when there is not one segment.
    pub(crate) last: Option<Last>,
    /// What lies behind the end, if anything.
    pub(crate) tail: Option<Tail>,
    /// Damage before the end.
    pub(crate) findings: Vec<Finding>,
    /// Length of all segments together.
    pub(crate) bytes: u64,
}

/// First commits of the segments in a folder that start behind commit `base`, in order.
pub(crate) fn segments_after(dir: &Path, base: u64) -> io::Result<Vec<u64>> {
    let all = names(dir)?;
    Ok(all.iter().filter_map(|name| number_of(name, "journal-", ".log")).filter(|first| *first > base).collect())
}

/// Reads and verifies the whole journal behind `base`. Gives every whole record and every damage to `visit`, in order,
/// and stops at its first error.
///
/// # Errors
/// [`StoreError::Damaged`] when a file is not of this store or this place, or more is broken at the end than one
/// unfinished commit can explain. [`StoreError::Io`] when reading fails.
pub(crate) fn walk(
    dir: &Path,
    id: &StoreId,
    base: Point,
    visit: &mut dyn FnMut(Seen<'_>) -> Result<(), StoreError>,
) -> Result<Walked, StoreError> {
    let segments = segments_after(dir, base.seq).map_err(failed("listing", dir))?;
    let found = Walked { end: base, last: None, tail: None, findings: Vec::new(), bytes: 0 };
    let mut walk = Walk { dir, id, found, lost_from: None, visit };
    for (n, first) in segments.iter().enumerate() {
        walk.segment(*first, n + 1 == segments.len())?;
    }
    Ok(walk.found)
}

struct Walk<'w> {
    dir: &'w Path,
    id: &'w StoreId,
    found: Walked,
    /// Where an earlier segment became unreadable for good; what it lost is known when the next one says its first.
    lost_from: Option<(String, u64)>,
    visit: &'w mut dyn FnMut(Seen<'_>) -> Result<(), StoreError>,
}

impl Walk<'_> {
    fn segment(&mut self, first: u64, last: bool) -> Result<(), StoreError> {
        let path = self.dir.join(segment_name(first));
        let (mut reader, found) = Reader::open(&path).map_err(failed("reading", &path))?;
        if reader.len() < HEADING_LEN {
            // Segments get their name when their heading is durable, so no crash leaves this.
            return if last { Err(damaged(&path, reader.len())) } else { self.lose(&path, 0) };
        }
        let mut trusted = self.enter(&path, first, &found)?;
        let start = self.found.end.chain;
        reader.starts_from(start);
        self.found.bytes += reader.len();
        loop {
            let offset = reader.at();
            match reader.next().map_err(failed("reading", &path))? {
                Frame::End => break,
                Frame::Whole { header, at, chain } if self.continues(&header) => {
                    trusted = true;
                    self.pass_gap(&path, offset, &header)?;
                    self.found.end = Point { seq: header.seq, chain };
                    let spot = Spot { segment: first, at };
                    (self.visit)(Seen::Record(Placed { seq: header.seq, spot, payload: reader.payload() }))?;
                }
                Frame::Broken if trusted => {
                    let next = reader.find(|header| self.continues(header)).map_err(failed("reading", &path))?;
                    match next {
                        Some(header) => self.damage(&path, offset, &header)?,
                        None => {
                            self.give_up_rest(&path, first, offset, reader.len(), last)?;
                            break;
                        }
                    }
                }
                // Whole but out of its place is no accident of a disk, and a broken file that was never found to be
                // ours is not ours to cut.
                Frame::Whole { .. } | Frame::Broken => return Err(damaged(&path, offset)),
            }
        }
        let len = self.found.tail.as_ref().map_or(reader.len(), |tail| tail.offset);
        self.found.last = Some(Last { first, start, len });
        Ok(())
    }

    /// Holds a segment's heading against what must stand there. Returns whether the file may be trusted to be ours
    /// before a record of it was found whole.
    fn enter(&mut self, path: &Path, first: u64, found: &[u8]) -> Result<bool, StoreError> {
        let next = self.found.end.seq + 1;
        let lost = self.lost_from.take();
        if first < next {
            return Err(damaged(path, 0));
        }
        if first == next {
            if let Some((file, offset)) = lost {
                self.report(file, offset, next, next - 1)?;
            }
            let whole = found == heading(self.id, &self.found.end);
            if !whole {
                self.found.findings.push(Finding::HeadingDamaged { file: short_name(path) });
            }
            return Ok(whole);
        }
        // Commits are missing, so the chain is too: only the heading can say where this file goes on.
        let before = read_heading(found).filter(|(id, before)| id == self.id && before.seq + 1 == first);
        let Some((_, before)) = before else { return Err(damaged(path, 0)) };
        let (file, offset) = lost.unwrap_or_else(|| (segment_name(next), 0));
        self.report(file, offset, next, first - 1)?;
        self.found.end = before;
        Ok(true)
    }

    /// Whether a record can follow here: the next one in the chain, or one behind it.
    fn continues(&self, header: &Header) -> bool {
        let end = &self.found.end;
        header.seq > end.seq + 1 || (header.seq == end.seq + 1 && header.before == end.chain)
    }

    /// Notes the commits between the end so far and a whole record further on.
    fn pass_gap(&mut self, path: &Path, offset: u64, header: &Header) -> Result<(), StoreError> {
        if header.seq == self.found.end.seq + 1 { Ok(()) } else { self.damage(path, offset, header) }
    }

    fn damage(&mut self, path: &Path, offset: u64, until: &Header) -> Result<(), StoreError> {
        let first = self.found.end.seq + 1;
        self.found.end = Point { seq: until.seq - 1, chain: until.before };
        self.report(short_name(path), offset, first, until.seq - 1)
    }

    fn report(&mut self, file: String, offset: u64, first: u64, last: u64) -> Result<(), StoreError> {
        if self.found.findings.len() >= DAMAGES_MAX {
            return Err(StoreError::Damaged { file, offset });
        }
        self.found.findings.push(Finding::JournalDamaged { file: file.clone(), offset, first, last });
        (self.visit)(Seen::Damage { first, last, file: &file, offset })
    }

    fn lose(&mut self, path: &Path, offset: u64) -> Result<(), StoreError> {
        self.lost_from = Some((short_name(path), offset));
        Ok(())
    }

    /// Nothing whole follows in this file. In the last file that is a tail; in another it is a loss.
    fn give_up_rest(&mut self, path: &Path, first: u64, offset: u64, len: u64, last: bool) -> Result<(), StoreError> {
        let bytes = len - offset;
        if !last {
            self.lose(path, offset)?;
        } else if bytes > RECORD_MAX {
            return Err(damaged(path, offset));
        } else {
            self.found.tail = Some(Tail { segment: first, offset, bytes });
        }
        Ok(())
    }
}

fn damaged(path: &Path, offset: u64) -> StoreError {
    StoreError::Damaged { file: short_name(path), offset }
}

/// Cuts an incomplete last record off its file, after its bytes were put aside.
///
/// # Errors
/// [`StoreError::Io`]; then nothing was cut.
pub(crate) fn cut(dir: &Path, tail: &Tail, next: u64) -> Result<Finding, StoreError> {
    let path = dir.join(segment_name(tail.segment));
    let kept = numbered("cut-", next, &format!("-{}.bin", tail.offset));
    let len = usize::try_from(tail.bytes).unwrap_or(usize::MAX);
    let bytes = read_at(&path, tail.offset, len).map_err(failed("reading", &path))?.unwrap_or_default();
    write_then_rename(&dir.join(&kept), |out| out.write_all(&bytes)).map_err(failed("writing", &path))?;
    let cut = OpenOptions::new().write(true).open(&path).and_then(|file| {
        file.set_len(tail.offset)?;
        file.sync_all()?;
        sync_folder(dir)
    });
    cut.map_err(failed("cutting", &path))?;
    Ok(Finding::TailCut { file: segment_name(tail.segment), offset: tail.offset, bytes: tail.bytes, kept })
}

/// The file that is appended to, as far as the journal cares. A seam, so that tests can make each step fail.
pub(crate) trait Appended: Send {
    /// Writes all bytes at the end, or fails having written some.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back what lies behind `len`, durably.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Appended for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        // A file system that went read-only refused the write whole; there is nothing to take back then.
        if self.metadata()?.len() == len {
            return Ok(());
        }
        self.set_len(len)?;
        self.sync_all()
    }
}

/// Turns an opened file into what the journal appends to.
pub(crate) type Through = Box<dyn Fn(File) -> Box<dyn Appended> + Send>;

/// The plain way: the file itself.
pub(crate) fn plain() -> Through {
    Box::new(|file| Box::new(file))
}

/// The journal, open for appending.
pub(crate) struct Journal {
    dir: PathBuf,
    id: StoreId,
    through: Through,
    file: Box<dyn Appended>,
    last: Last,
    end: Point,
    /// Length of all segments together.
    bytes: u64,
    poisoned: bool,
    frame: Vec<u8>,
}

impl Journal {
    /// Opens the last segment of a walk, whose tail was cut.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when there is no segment: it was there when the last commit was acknowledged.
    pub(crate) fn resume(dir: &Path, id: StoreId, walked: &Walked, through: Through) -> Result<Self, StoreError> {
        let missing = || StoreError::Damaged { file: segment_name(walked.end.seq + 1), offset: 0 };
        let last = walked.last.ok_or_else(missing)?;
        let path = dir.join(segment_name(last.first));
        let file = through(open_to_append(&path).map_err(failed("opening", &path))?);
        let cut = walked.tail.as_ref().map_or(0, |tail| tail.bytes);
        let (dir, end, bytes) = (dir.to_owned(), walked.end, walked.bytes.saturating_sub(cut));
        Ok(Self { dir, id, through, file, last, end, bytes, poisoned: false, frame: Vec::new() })
    }

    /// Makes the first segment behind `before`, for a new store. Durable, except for the folder's entry.
    pub(crate) fn create_segment(dir: &Path, id: &StoreId, before: &Point) -> io::Result<()> {
        let bytes = heading(id, before);
        write_then_rename(&dir.join(segment_name(before.seq + 1)), |out| out.write_all(&bytes))
    }

    /// The file that is appended to.
    pub(crate) fn file_name(&self) -> String {
        segment_name(self.last.first)
    }

    /// Where the history ends.
    pub(crate) fn end(&self) -> Point {
        self.end
    }

    /// Length of all segments behind the snapshot together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// First commit of the segment that is appended to.
    pub(crate) fn segment(&self) -> u64 {
        self.last.first
    }

    /// Whether a sync failed before, so that nothing may be done any more.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Forgets the length of segments that were removed: only the last is left, and it is empty.
    pub(crate) fn older_segments_are_gone(&mut self) {
        self.bytes = self.last.len;
    }

    /// Appends one record whose payload `fill` writes behind what the buffer holds. Durable on return.
    ///
    /// # Errors
    /// [`CommitError::Full`] or [`CommitError::NotTaken`]: nothing was taken, the journal goes on.
    /// [`CommitError::Fatal`]: the journal is poisoned.
    pub(crate) fn append(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<Spot, CommitError> {
        self.alive()?;
        if self.last.len >= SEGMENT_MAX {
            self.roll()?;
        }
        self.frame.clear();
        self.frame.shrink_to(BUFFER_KEPT);
        self.frame.resize(HEADER_LEN, 0);
        fill(&mut self.frame);
        let end = seal_frame(&mut self.frame, &self.last.start, &self.end);
        if let Err(source) = self.file.append(&self.frame) {
            return Err(self.take_back(source));
        }
        self.file.sync().map_err(|source| self.poison("confirming a commit", source))?;
        let spot = Spot { segment: self.last.first, at: self.last.len + HEADER_LEN as u64 };
        self.end = end;
        self.last.len += self.frame.len() as u64;
        self.bytes += self.frame.len() as u64;
        Ok(spot)
    }

    /// Starts a new segment, unless the last one is empty.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub(crate) fn roll(&mut self) -> Result<(), CommitError> {
        self.alive()?;
        if self.last.first == self.end.seq + 1 {
            return Ok(());
        }
        let first = self.end.seq + 1;
        let path = self.dir.join(segment_name(first));
        let doing = "starting a new journal segment";
        Self::create_segment(&self.dir, &self.id, &self.end).map_err(|source| CommitError::not_taken(doing, source))?;
        let file = match open_to_append(&path) {
            Ok(file) => file,
            // Left in place, it would claim the commits that still go to the old segment.
            Err(source) => match fs::remove_file(&path) {
                Ok(()) => return Err(CommitError::not_taken(doing, source)),
                Err(source) => return Err(self.poison(doing, source)),
            },
        };
        sync_folder(&self.dir).map_err(|source| self.poison("confirming a new journal segment", source))?;
        self.file = (self.through)(file);
        self.last = Last { first, start: self.end.chain, len: HEADING_LEN };
        self.bytes += HEADING_LEN;
        Ok(())
    }

    /// Poisons the journal: what was just tried leaves the disk in doubt, or the store without an index.
    pub(crate) fn stop(&mut self) {
        self.poisoned = true;
    }

    /// # Errors
    /// [`CommitError::Fatal`] when the journal is poisoned.
    pub(crate) fn alive(&self) -> Result<(), CommitError> {
        if !self.poisoned {
            return Ok(());
        }
        let source = io::Error::other("an earlier write was not confirmed");
        Err(CommitError::Fatal { doing: "confirming an earlier commit", source })
    }

    /// A write failed: part of a record may be in the file. It was not synced and is not whole, so cutting is safe.
    fn take_back(&mut self, source: io::Error) -> CommitError {
        match self.file.cut(self.last.len) {
            Ok(()) => CommitError::not_taken("writing a commit", source),
            Err(source) => self.poison("taking back a failed write", source),
        }
    }

    fn poison(&mut self, doing: &'static str, source: io::Error) -> CommitError {
        self.poisoned = true;
        CommitError::Fatal { doing, source }
    }
}

fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// Removes every segment that starts at or before commit `base`. Returns how many there were.
pub(crate) fn remove_segments_until(dir: &Path, base: u64) -> io::Result<u64> {
    let mut removed = 0;
    for name in names(dir)? {
        if number_of(&name, "journal-", ".log").is_some_and(|first| first <= base) {
            fs::remove_file(dir.join(name))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
pub(crate) mod tests;
