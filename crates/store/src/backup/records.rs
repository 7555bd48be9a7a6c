//! The records of a backup: named parts, one after the other, then the list of them.
//!
//! ```text
//! file     = "clearhouse backup\n" | version u32 | id [16] | part* | contents
//! part     = 1 | length u64 | name length u16 | name | bytes | digest [32]
//! contents = 2 | count u32 | (length u64 | name length u16 | name | digest [32])* | digest [32]
//! ```
//! Numbers are big-endian. The digest of a part is SHA-256 over PAE(label, id, name, length) and its bytes; that of the
//! contents, over PAE(label, id, the contents before it), stands in the sealed keys as well. So a changed byte is found in
//! the part it is in, a part that was exchanged with its digest by the list, and a list that was exchanged by the keys.
//!
//! Written and read as a stream: memory does not grow with the store. Refuses names that lead out of the folder.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use clearhouse_protocol::labels;
use clearhouse_protocol::pae::pae_parts;
use sha2::{Digest as _, Sha256};

use crate::files::{private_folder, sync_folder};

/// Bytes that name one backup.
pub const ID_LEN: usize = 16;
/// Parts of one backup at most.
pub const PARTS_MAX: usize = 1 << 20;
/// Longest name of a part, in bytes.
pub const NAME_MAX: usize = 200;
/// Bytes that are moved at once.
const PIECE: usize = 1 << 20;

const MAGIC: &[u8; 18] = b"clearhouse backup\n";
const VERSION: u32 = 1;
const PART: u8 = 1;
const CONTENTS: u8 = 2;

/// A digest.
pub type Hash = [u8; 32];

/// Why the records are not taken. Says where.
#[derive(Debug, thiserror::Error)]
pub enum RecordsFault {
    /// Reading or writing failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// It does not begin as one does.
    #[error("it is not a backup of this program, or its beginning is damaged")]
    NotABackup,
    /// Made by a newer program.
    #[error("it is of version {found}, and this program reads version {VERSION}: use the newer program")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// It ends too early.
    #[error("it is cut off in {0}")]
    Cut(String),
    /// Bytes of a part are not those that were written.
    #[error("{0} in it is damaged")]
    Part(String),
    /// What says how a part is called, or how long it is, makes no sense.
    #[error("it is damaged after {0}")]
    After(String),
    /// The list at the end is not that of the parts.
    #[error("its list of contents is damaged")]
    Contents,
    /// It is whole, and the keys are of another.
    #[error("its keys are of another backup")]
    OtherKeys,
    /// Bytes follow.
    #[error("bytes were added at its end")]
    Longer,
    /// A name no part may have, or more parts than there may be.
    #[error("{0}: no part of a backup may be called so, or there are too many")]
    Name(String),
}

/// A part as the list names it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Listed {
    name: String,
    len: u64,
    digest: Hash,
}

/// What was written or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Parts.
    pub parts: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Digest of the list of contents.
    pub contents: Hash,
}

/// Writes records.
pub struct Writer {
    out: BufWriter<File>,
    id: [u8; ID_LEN],
    at: u64,
    listed: Vec<Listed>,
}

impl Writer {
    /// Begins a file that does not exist yet, mode 0600.
    ///
    /// # Errors
    /// [`RecordsFault::Io`].
    pub fn begin(path: &Path, id: [u8; ID_LEN]) -> Result<Self, RecordsFault> {
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let out = BufWriter::with_capacity(1 << 18, made.map_err(io_fault("writing the backup"))?);
        let mut writer = Self { out, id, at: 0, listed: Vec::new() };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_be_bytes())?;
        writer.put(&id)?;
        Ok(writer)
    }

    /// Adds a part of exactly `len` bytes.
    ///
    /// # Errors
    /// [`RecordsFault::Cut`] when there are fewer; [`RecordsFault::Name`]; [`RecordsFault::Io`].
    pub fn part(&mut self, name: &str, len: u64, from: &mut impl Read) -> Result<(), RecordsFault> {
        if !may_be_called(name) || self.listed.len() >= PARTS_MAX {
            return Err(RecordsFault::Name(name.to_owned()));
        }
        self.put(&[PART])?;
        self.put(&head(name, len))?;
        let mut digest = begun(&self.id, name, len);
        let (mut left, mut piece) = (len, vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))]);
        while left > 0 {
            let wanted = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
            take(from, &mut piece[..wanted], name)?;
            digest.update(&piece[..wanted]);
            self.put(&piece[..wanted])?;
            left -= wanted as u64;
        }
        let digest: Hash = digest.finalize().into();
        self.put(&digest)?;
        self.listed.push(Listed { name: name.to_owned(), len, digest });
        Ok(())
    }

    /// Adds a file as a part.
    ///
    /// # Errors
    /// As [`Writer::part`].
    pub fn file(&mut self, name: &str, path: &Path) -> Result<(), RecordsFault> {
        let mut file = File::open(path).map_err(io_fault(name))?;
        let len = file.metadata().map_err(io_fault(name))?.len();
        self.part(name, len, &mut file)
    }

    /// Ends it, and makes it durable but for its folder's entry.
    ///
    /// # Errors
    /// [`RecordsFault::Io`].
    pub fn finish(mut self) -> Result<Written, RecordsFault> {
        let list = list(&self.listed);
        let contents = listed(&self.id, &list);
        self.put(&[CONTENTS])?;
        self.put(&list)?;
        self.put(&contents)?;
        self.out.flush().map_err(io_fault("writing the backup"))?;
        self.out.get_ref().sync_all().map_err(io_fault("writing the backup"))?;
        Ok(Written { parts: self.listed.len() as u64, bytes: self.at, contents })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), RecordsFault> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(io_fault("writing the backup"))
    }
}

/// Reads records to their end and checks every byte. With `into`, a folder that is there and empty, writes the parts there:
/// nothing in it may be used before this returned.
///
/// # Errors
/// [`RecordsFault`]: the first thing that is wrong.
pub fn read(path: &Path, into: Option<&Path>) -> Result<([u8; ID_LEN], Written), RecordsFault> {
    let file = File::open(path).map_err(io_fault("reading the backup"))?;
    let mut from = Counted { inner: BufReader::with_capacity(1 << 18, file), at: 0 };
    let (mut magic, mut version, mut id) = ([0; MAGIC.len()], [0; 4], [0; ID_LEN]);
    take(&mut from, &mut magic, "its beginning")?;
    take(&mut from, &mut version, "its beginning")?;
    if magic != *MAGIC {
        return Err(RecordsFault::NotABackup);
    }
    match u32::from_be_bytes(version) {
        VERSION => {}
        0 => return Err(RecordsFault::NotABackup),
        found => return Err(RecordsFault::Newer { found }),
    }
    take(&mut from, &mut id, "its beginning")?;
    let mut found: Vec<Listed> = Vec::new();
    loop {
        let before = || found.last().map_or_else(|| "its beginning".to_owned(), |part| part.name.clone());
        let mut kind = [0];
        take(&mut from, &mut kind, &before())?;
        match kind {
            [PART] if found.len() < PARTS_MAX => {
                let part = read_part(&mut from, &id, into, &before())?;
                found.push(part);
            }
            [CONTENTS] => break,
            _ => return Err(RecordsFault::After(before())),
        }
    }
    let contents = read_contents(&mut from, &id, &found)?;
    if from.read(&mut [0]).map_err(io_fault("reading the backup"))? > 0 {
        return Err(RecordsFault::Longer);
    }
    Ok((id, Written { parts: found.len() as u64, bytes: from.at, contents }))
}

fn read_part(
    from: &mut impl Read,
    id: &[u8; ID_LEN],
    into: Option<&Path>,
    before: &str,
) -> Result<Listed, RecordsFault> {
    let (name, len) = read_head(from, before)?;
    let mut out = into.map(|into| made(into, &name)).transpose()?;
    let mut digest = begun(id, &name, len);
    let (mut left, mut piece) = (len, vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))]);
    while left > 0 {
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
        take(from, &mut piece[..wanted], &name)?;
        digest.update(&piece[..wanted]);
        if let Some(out) = &mut out {
            out.write_all(&piece[..wanted]).map_err(io_fault(&name))?;
        }
        left -= wanted as u64;
    }
    let (mut told, digest): (Hash, Hash) = ([0; 32], digest.finalize().into());
    take(from, &mut told, &name)?;
    if told != digest {
        return Err(RecordsFault::Part(name));
    }
    if let Some(out) = out {
        out.sync_all().map_err(io_fault(&name))?;
        if let Some(folder) = into.and_then(|into| into.join(&name).parent().map(Path::to_path_buf)) {
            sync_folder(&folder).map_err(io_fault(&name))?;
        }
    }
    Ok(Listed { name, len, digest })
}

fn read_contents(from: &mut impl Read, id: &[u8; ID_LEN], found: &[Listed]) -> Result<Hash, RecordsFault> {
    // Byte for byte the list that was gathered on the way: a part that was exchanged whole is named.
    let wanted = list(found);
    let (count, mut rest) = wanted.split_at(4);
    let mut told = [0; 4];
    take(from, &mut told, "its list of contents")?;
    if told != count {
        return Err(RecordsFault::Contents);
    }
    for part in found {
        let (this, others) = rest.split_at(head(&part.name, part.len).len() + 32);
        let mut told = vec![0; this.len()];
        take(from, &mut told, "its list of contents")?;
        if told != this {
            // The part held what it said of itself; either of the two was exchanged.
            return Err(RecordsFault::Part(part.name.clone()));
        }
        rest = others;
    }
    let (mut told, contents) = ([0; 32], listed(id, &wanted));
    take(from, &mut told, "its list of contents")?;
    if told == contents { Ok(contents) } else { Err(RecordsFault::Contents) }
}

fn read_head(from: &mut impl Read, before: &str) -> Result<(String, u64), RecordsFault> {
    let (mut len, mut name_len) = ([0; 8], [0; 2]);
    take(from, &mut len, before)?;
    take(from, &mut name_len, before)?;
    let after = || RecordsFault::After(before.to_owned());
    let name_len = usize::from(u16::from_be_bytes(name_len));
    if name_len > NAME_MAX {
        return Err(after());
    }
    let mut name = vec![0; name_len];
    take(from, &mut name, before)?;
    let name = String::from_utf8(name).ok().filter(|name| may_be_called(name)).ok_or_else(after)?;
    Ok((name, u64::from_be_bytes(len)))
}

/// Opens the file of a part, and makes the folders on the way.
fn made(into: &Path, name: &str) -> Result<File, RecordsFault> {
    let path = into.join(name);
    let mut folder = into.to_owned();
    let mut steps = name.split('/').peekable();
    while let Some(step) = steps.next() {
        if steps.peek().is_some() {
            folder.push(step);
            private_folder(&folder).map_err(io_fault(name))?;
        }
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io_fault(name))
}

/// Small letters, digits, dots and dashes, at most four steps deep, and no step that leads upwards.
fn may_be_called(name: &str) -> bool {
    let step = |step: &str| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        !step.is_empty() && !step.starts_with('.') && step.bytes().all(plain)
    };
    name.len() <= NAME_MAX && name.split('/').count() <= 4 && name.split('/').all(step)
}

fn head(name: &str, len: u64) -> Vec<u8> {
    let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [&len.to_be_bytes()[..], &name_len.to_be_bytes(), name.as_bytes()].concat()
}

fn begun(id: &[u8; ID_LEN], name: &str, len: u64) -> Sha256 {
    Sha256::new().chain_update(pae_parts(labels::BACKUP, &[id, name.as_bytes(), &len.to_be_bytes()]))
}

fn list(parts: &[Listed]) -> Vec<u8> {
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX).to_be_bytes();
    let each = parts.iter().flat_map(|part| [head(&part.name, part.len), part.digest.to_vec()].concat());
    count.into_iter().chain(each).collect()
}

fn listed(id: &[u8; ID_LEN], list: &[u8]) -> Hash {
    Sha256::digest(pae_parts(labels::BACKUP, &[id, list])).into()
}

fn take(from: &mut impl Read, into: &mut [u8], of: &str) -> Result<(), RecordsFault> {
    from.read_exact(into).map_err(|error| {
        let ended = error.kind() == io::ErrorKind::UnexpectedEof;
        if ended { RecordsFault::Cut(of.to_owned()) } else { io_fault(of)(error) }
    })
}

fn io_fault(doing: &str) -> impl FnOnce(io::Error) -> RecordsFault {
    let doing = doing.to_owned();
    move |source| RecordsFault::Io { doing, source }
}

struct Counted<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.at += read as u64;
        Ok(read)
    }
}
