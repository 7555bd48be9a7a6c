//! Everything live at one commit, in one file: where the journal starts over.
//!
//! ```text
//! file    = heading | rows | heading again | heading length u32 | rows length u64 | SHA-256 of all before | "chsnapEN"
//! heading = "chsnap01" | store id | commit u64 | chain | totals | archives | check
//! row     = table | key | kind | length u64 | sha-256 | value, if kind is 0
//! ```
//! The heading stands at both ends because without it nothing else can be found. Rows carry their digest, so that one
//! damaged row is one damaged row. Refuses to be read as whole unless its last digest matches.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::archive::ArchiveInfo;
use crate::census::Totals;
use crate::changes::{INLINE_MAX, Key, VALUE_MAX, usable};
use crate::contract::StoreError;
use crate::files::{failed, names, short_name};
use crate::format::{
    COUNT_MAX, Cursor, Hash, Label, SNAPSHOT_END, SNAPSHOT_MAGIC, StoreId, digest, labelled, number_of, snapshot_name,
};
use crate::segment::Point;

/// Longest heading that is read: room for some 18,000 archives.
const HEADING_MAX: usize = 1 << 20;
const ENDING_LEN: usize = 4 + 8 + 32 + 8;
const ROW_HEAD_LEN: usize = 1 + 32 + 1 + 8 + 32;
const INLINE: u8 = 0;
const BODY: u8 = 1;

/// A snapshot's heading: what a start needs to know of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    /// Where the journal goes on.
    pub(crate) point: Point,
    /// What the rows amount to.
    pub(crate) totals: Totals,
    /// Where the events up to here lie, in order.
    pub(crate) archives: Vec<ArchiveInfo>,
}

impl Snapshot {
    /// Before the first commit: nothing.
    pub(crate) fn genesis(id: &StoreId) -> Self {
        Self { point: Point::genesis(id), totals: Totals::default(), archives: Vec::new() }
    }

    /// Its file, in the store's folder. The genesis has none.
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(snapshot_name(self.point.seq))
    }

    fn encode(&self, id: &StoreId) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(SNAPSHOT_MAGIC);
        out.extend_from_slice(id);
        out.extend_from_slice(&self.point.seq.to_le_bytes());
        out.extend_from_slice(&self.point.chain);
        self.totals.encode(&mut out);
        ArchiveInfo::encode_all(&self.archives, &mut out);
        let check = labelled(Label::Snapshot, &[&out]);
        out.extend_from_slice(&check);
        out
    }

    /// Reads a heading at the start of `bytes`; also says how long it is. `None` when it is damaged or not of `id`.
    fn decode(bytes: &[u8], id: &StoreId) -> Option<(Self, usize)> {
        let cursor = &mut Cursor::new(bytes);
        cursor.array::<8>().filter(|magic| magic == SNAPSHOT_MAGIC)?;
        cursor.array::<16>().filter(|found| found == id)?;
        let seq = cursor.u64().filter(|seq| *seq <= COUNT_MAX)?;
        let point = Point { seq, chain: cursor.array()? };
        let totals = Totals::decode(cursor)?;
        let archives = ArchiveInfo::decode_all(cursor)?;
        let checked = bytes.get(..cursor.at())?;
        let whole = cursor.array()? == labelled(Label::Snapshot, &[checked]);
        whole.then(|| (Self { point, totals, archives }, cursor.at()))
    }
}

/// A snapshot as a start found it.
pub(crate) struct Found {
    pub(crate) snapshot: Snapshot,
    /// Whether both headings and the length are as they should be. Rows were not read.
    pub(crate) whole: bool,
}

/// Commits at which a folder has a snapshot, newest first.
pub(crate) fn all(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found: Vec<u64> = names(dir)?.iter().filter_map(|name| number_of(name, "snapshot-", ".snap")).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Reads the heading of the snapshot taken after `commit`, from whichever end is whole.
///
/// # Errors
/// [`StoreError::Damaged`] when neither is, or the file is of another store or another commit.
pub(crate) fn open(dir: &Path, id: &StoreId, commit: u64) -> Result<Found, StoreError> {
    let path = dir.join(snapshot_name(commit));
    let (front, back, len) = ends(&path).map_err(failed("reading", &path))?;
    let right = |(snapshot, _): &(Snapshot, usize)| snapshot.point.seq == commit;
    let first = Snapshot::decode(&front, id).filter(right);
    let ending = Ending::decode(&back);
    let second = ending.as_ref().and_then(|ending| {
        let from = back.len().checked_sub(ENDING_LEN + ending.heading_len)?;
        Snapshot::decode(back.get(from..)?, id).filter(right)
    });
    let adds_up = |heading: usize| {
        // The length of the rows is the file's own word: anything, until the check over all of it was made.
        let around = (2 * heading + ENDING_LEN) as u64;
        ending.as_ref().is_some_and(|ending| ending.rows_len.checked_add(around) == Some(len))
    };
    let whole = first.is_some() && second == first && first.as_ref().is_some_and(|(_, heading)| adds_up(*heading));
    let damaged = || StoreError::Damaged { file: short_name(&path), offset: 0 };
    let (snapshot, _) = first.or(second).ok_or_else(damaged)?;
    Ok(Found { snapshot, whole })
}

/// As much of both ends of a file as a heading may take, and the file's length.
fn ends(path: &Path) -> io::Result<(Vec<u8>, Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let most = (HEADING_MAX + ENDING_LEN) as u64;
    let (mut front, mut back) = (Vec::new(), Vec::new());
    Read::by_ref(&mut file).take(most).read_to_end(&mut front)?;
    file.seek(SeekFrom::Start(len.saturating_sub(most)))?;
    file.take(most).read_to_end(&mut back)?;
    Ok((front, back, len))
}

struct Ending {
    heading_len: usize,
    rows_len: u64,
    whole: Hash,
}

impl Ending {
    fn decode(back: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(back.get(back.len().checked_sub(ENDING_LEN)?..)?);
        let heading_len = usize::try_from(cursor.u32()?).ok().filter(|len| *len <= HEADING_MAX)?;
        let (rows_len, whole) = (cursor.u64()?, cursor.array()?);
        (cursor.take(8)? == SNAPSHOT_END).then_some(Self { heading_len, rows_len, whole })
    }
}

/// A row of a snapshot.
pub(crate) struct Row<'a> {
    pub(crate) table: u8,
    pub(crate) key: Key,
    pub(crate) hash: Hash,
    pub(crate) value: RowValue<'a>,
}

/// Where a row's value is.
pub(crate) enum RowValue<'a> {
    /// In the snapshot, `at` bytes into the file.
    Inline { at: u64, bytes: &'a [u8] },
    /// In a file of its own.
    Body { len: u64 },
}

/// Writes a snapshot, row by row, keeping the digest of the whole.
pub(crate) struct Writer<'w, W: Write> {
    out: &'w mut W,
    heading: Vec<u8>,
    digest: Sha256,
    at: u64,
}

impl<'w, W: Write> Writer<'w, W> {
    pub(crate) fn begin(out: &'w mut W, id: &StoreId, snapshot: &Snapshot) -> io::Result<Self> {
        let mut writer = Self { out, heading: snapshot.encode(id), digest: Sha256::new(), at: 0 };
        if writer.heading.len() > HEADING_MAX {
            return Err(io::Error::other("too many event archives"));
        }
        let heading = writer.heading.clone();
        writer.put(&heading)?;
        Ok(writer)
    }

    /// Writes a row whose value is kept here. Returns where the value starts.
    pub(crate) fn inline(&mut self, table: u8, key: &Key, hash: &Hash, value: &[u8]) -> io::Result<u64> {
        self.row_head(table, key, INLINE, value.len() as u64, hash)?;
        let at = self.at;
        self.put(value)?;
        Ok(at)
    }

    /// Writes a row whose value is a file of its own.
    pub(crate) fn body(&mut self, table: u8, key: &Key, hash: &Hash, len: u64) -> io::Result<()> {
        self.row_head(table, key, BODY, len, hash)
    }

    fn row_head(&mut self, table: u8, key: &Key, kind: u8, len: u64, hash: &Hash) -> io::Result<()> {
        let mut head = Vec::with_capacity(ROW_HEAD_LEN);
        head.push(table);
        head.extend_from_slice(key);
        head.push(kind);
        head.extend_from_slice(&len.to_le_bytes());
        head.extend_from_slice(hash);
        self.put(&head)
    }

    /// Writes what ends the file.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let heading = std::mem::take(&mut self.heading);
        let rows_len = self.at - heading.len() as u64;
        self.put(&heading)?;
        self.put(&u32::try_from(heading.len()).map_err(io::Error::other)?.to_le_bytes())?;
        self.put(&rows_len.to_le_bytes())?;
        let whole: Hash = self.digest.finalize().into();
        self.out.write_all(&whole)?;
        self.out.write_all(SNAPSHOT_END)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// What reading all rows of a snapshot found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReadBack {
    /// Rows whose value does not match its digest. They were not visited.
    pub(crate) damaged: u64,
    /// Whether every byte of the file is as it was written.
    pub(crate) whole: bool,
}

/// Reads every row of a snapshot, in order, as far as they can be told apart.
///
/// # Errors
/// [`StoreError::Io`], and whatever `visit` returns. Damage is in [`ReadBack`].
pub(crate) fn read_rows(
    dir: &Path,
    id: &StoreId,
    snapshot: &Snapshot,
    visit: &mut dyn FnMut(Row<'_>) -> Result<(), StoreError>,
) -> Result<ReadBack, StoreError> {
    let path = snapshot.path(dir);
    let file = File::open(&path).map_err(failed("opening", &path))?;
    let len = file.metadata().map_err(failed("reading", &path))?.len();
    let heading = snapshot.encode(id);
    let tail = (heading.len() + ENDING_LEN) as u64;
    let rows_end = len.saturating_sub(tail);
    let mut reader = RowReader { file: BufReader::with_capacity(1 << 18, file), digest: Sha256::new(), at: 0 };
    let mut back = ReadBack { damaged: 0, whole: false };
    reader.take(heading.len()).map_err(failed("reading", &path))?;
    while reader.at < rows_end {
        let Some(head) = reader.head(rows_end).map_err(failed("reading", &path))? else { return Ok(back) };
        let at = reader.at;
        let bytes = reader.take(if head.kind == INLINE { head.len } else { 0 }).map_err(failed("reading", &path))?;
        let value = match head.kind {
            INLINE if digest(&bytes) != head.hash => {
                back.damaged += 1;
                continue;
            }
            INLINE => RowValue::Inline { at, bytes: &bytes },
            _ => RowValue::Body { len: head.len as u64 },
        };
        visit(Row { table: head.table, key: head.key, hash: head.hash, value })?;
    }
    back.whole = reader.ends_whole(tail).map_err(failed("reading", &path))?;
    Ok(back)
}

struct RowHead {
    table: u8,
    key: Key,
    kind: u8,
    len: usize,
    hash: Hash,
}

struct RowReader {
    file: BufReader<File>,
    digest: Sha256,
    at: u64,
}

impl RowReader {
    fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact(&mut bytes)?;
        self.digest.update(&bytes);
        self.at += len as u64;
        Ok(bytes)
    }

    /// The next row's head; `None` when it makes no sense, so that no row behind it can be found either.
    fn head(&mut self, end: u64) -> io::Result<Option<RowHead>> {
        if end - self.at < ROW_HEAD_LEN as u64 {
            return Ok(None);
        }
        let bytes = self.take(ROW_HEAD_LEN)?;
        let head = decode_head(&bytes);
        let fits = |head: &RowHead| head.kind != INLINE || head.len as u64 <= end - self.at;
        Ok(head.filter(fits))
    }

    /// Whether the end of the file is what it should be, the digest of everything included.
    fn ends_whole(mut self, tail: u64) -> io::Result<bool> {
        let mut end = Vec::new();
        self.file.by_ref().take(tail).read_to_end(&mut end)?;
        let Some(ending) = Ending::decode(&end).filter(|_| end.len() as u64 == tail) else { return Ok(false) };
        self.digest.update(&end[..end.len() - 40]);
        let whole: Hash = self.digest.finalize().into();
        Ok(whole == ending.whole)
    }
}

fn decode_head(bytes: &[u8]) -> Option<RowHead> {
    let cursor = &mut Cursor::new(bytes);
    let (table, key, kind) = (cursor.u8()?, cursor.array()?, cursor.u8()?);
    let len = usize::try_from(cursor.u64()?).ok()?;
    let hash = cursor.array()?;
    usable(table).ok()?;
    let limit = match kind {
        INLINE => INLINE_MAX,
        BODY => VALUE_MAX,
        _ => return None,
    };
    (len <= limit).then_some(RowHead { table, key, kind, len, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Found by fuzzing: the sum of the lengths overflowed, and a start ended in a panic instead of naming the damage.
    #[test]
    fn an_ending_that_claims_any_length_of_rows_is_damage_and_not_the_end() {
        let (dir, id) = (tempfile::tempdir().unwrap(), [1; 16]);
        let made = Snapshot { point: Point { seq: 1, chain: [2; 32] }, ..Snapshot::genesis(&id) };
        let heading = made.encode(&id);
        for (rows_len, whole) in [(0, true), (1, false), (u64::MAX, false), (u64::MAX - 100, false)] {
            let len = u32::try_from(heading.len()).unwrap().to_le_bytes();
            let ending = [&len[..], &rows_len.to_le_bytes(), &[0; 32], SNAPSHOT_END].concat();
            std::fs::write(dir.path().join(snapshot_name(1)), [&heading[..], &heading, &ending].concat()).unwrap();
            let found = open(dir.path(), &id, 1).unwrap();
            assert!(found.snapshot == made && found.whole == whole, "{rows_len}");
        }
    }

    #[test]
    fn a_heading_is_read_from_whichever_end_is_whole_and_then_the_file_is_not() {
        let (dir, id) = (tempfile::tempdir().unwrap(), [1; 16]);
        let made = Snapshot { point: Point { seq: 1, chain: [2; 32] }, ..Snapshot::genesis(&id) };
        let path = dir.path().join(snapshot_name(1));
        let mut file = File::create(&path).unwrap();
        Writer::begin(&mut file, &id, &made).unwrap().finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let back = made.encode(&id).len();
        let changed = |at: &[usize]| {
            let mut bytes = whole.clone();
            at.iter().for_each(|at| bytes[*at] ^= 1);
            std::fs::write(&path, bytes).unwrap();
            open(dir.path(), &id, 1).ok().map(|found| (found.snapshot == made, found.whole))
        };
        assert_eq!(changed(&[]), Some((true, true)));
        assert_eq!((changed(&[30]), changed(&[back + 30])), (Some((true, false)), Some((true, false))));
        assert_eq!(changed(&[30, back + 30]), None);
        // Of another store, or under the name of another commit.
        changed(&[]);
        assert!(open(dir.path(), &[2; 16], 1).is_err());
        std::fs::rename(&path, dir.path().join(snapshot_name(2))).unwrap();
        assert!(open(dir.path(), &id, 2).is_err());
    }

    #[test]
    fn a_heading_that_nobody_would_read_is_not_written() {
        let id = [1; 16];
        let with = |archives: u64| {
            let one = |n| ArchiveInfo { first: n, last: n, len: 1, hash: [0; 32], anew: 0 };
            let many = Snapshot { archives: (0..archives).map(one).collect(), ..Snapshot::genesis(&id) };
            Writer::begin(&mut Vec::new(), &id, &many).is_ok()
        };
        assert!(with(18_000) && !with(19_000));
    }
}
