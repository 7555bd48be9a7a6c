//! What a store found wrong with itself, in words an operator can act on.
//!
//! A finding never stops the store by itself and never hides: everything a start, a scrub or a compaction noticed is
//! returned to the caller. Names are file names, table numbers and blinded keys; nothing here can name a person.

use std::fmt;

use crate::changes::Key;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Worth a line in the log: the store put it right and nothing can be missing.
    Note,
    /// Something may be missing that was never acknowledged, or a spare part is gone.
    Warning,
    /// Something that was acknowledged is damaged or missing.
    Loss,
}

/// One thing found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An incomplete last record was cut off the journal; its bytes are kept in `kept` until the next compaction.
    TailCut {
        /// The segment.
        file: String,
        /// Where the cut was made.
        offset: u64,
        /// How many bytes were cut.
        bytes: u64,
        /// The file that holds the cut bytes.
        kept: String,
    },
    /// Bytes of the journal no longer say what was written. Rows that lay there are found one by one.
    JournalDamaged {
        /// The segment.
        file: String,
        /// Where the damage starts.
        offset: u64,
        /// The first commit that cannot be read.
        first: u64,
        /// The last commit that cannot be read.
        last: u64,
    },
    /// A file's heading is damaged; what follows it was verified another way.
    HeadingDamaged {
        /// The file.
        file: String,
    },
    /// The index was missing, damaged or of another time, and was derived anew from snapshot and journal.
    IndexRebuilt {
        /// What was wrong with it.
        why: String,
    },
    /// The index could not be kept on disk; a copy in memory serves until the next start or compaction.
    IndexInMemory {
        /// What was wrong with the one on disk.
        why: String,
    },
    /// The running count and digest of all rows differ from what the rows themselves say.
    RowsDisagree {
        /// Rows there should be.
        expected: u64,
        /// Rows there are.
        found: u64,
    },
    /// A row's value is damaged or missing. Ask the sender again, then write or remove the row.
    RowDamaged {
        /// Its table.
        table: u8,
        /// Its blinded key.
        key: Key,
        /// The file that should hold its value.
        file: String,
    },
    /// Events whose bytes are damaged or missing.
    EventsDamaged {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
        /// The file that should hold them.
        file: String,
    },
    /// A whole snapshot no longer matches its digest; rows are checked one by one.
    SnapshotDamaged {
        /// The file.
        file: String,
    },
    /// A salvage left something behind for good.
    GivenUp {
        /// Rows whose value could not be read.
        rows: u64,
        /// Commits that could not be read.
        commits: u64,
    },
    /// Files that nothing refers to were removed: remains of a commit or a compaction that never finished.
    LeftoversRemoved {
        /// How many.
        files: u64,
    },
    /// A file in the folder that this program did not make. It is left alone.
    UnknownFile {
        /// The file.
        file: String,
    },
    /// The reserve of disk space is spent or could not be made. Free space on this disk.
    NoReserve,
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::IndexRebuilt { .. } | Self::LeftoversRemoved { .. } | Self::UnknownFile { .. } => Weight::Note,
            Self::TailCut { .. }
            | Self::HeadingDamaged { .. }
            | Self::IndexInMemory { .. }
            | Self::RowsDisagree { .. }
            | Self::NoReserve => Weight::Warning,
            Self::JournalDamaged { .. }
            | Self::RowDamaged { .. }
            | Self::EventsDamaged { .. }
            | Self::SnapshotDamaged { .. }
            | Self::GivenUp { .. } => Weight::Loss,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TailCut { file, offset, bytes, kept } => write!(
                f,
                "{file}: the last record is incomplete from byte {offset}; {bytes} bytes were cut off and kept in {kept}. \
                 After a power cut this is normal: what was cut had not been acknowledged"
            ),
            Self::JournalDamaged { file, offset, first, last } if first > last => {
                write!(f, "{file}: from byte {offset} there are bytes of no commit; no commit is missing")
            }
            Self::JournalDamaged { file, offset, first, last } => write!(
                f,
                "{file}: damaged at byte {offset}: commits {first} to {last} cannot be read; rows that lay there are \
                 named one by one, and once those are written anew a compaction heals the file"
            ),
            Self::HeadingDamaged { file } => {
                write!(f, "{file}: the heading is damaged; the rest was verified without it")
            }
            Self::IndexRebuilt { why } => write!(f, "the index was rebuilt from snapshot and journal: {why}"),
            Self::IndexInMemory { why } => {
                write!(f, "the index cannot be kept on disk and is served from memory until the next start: {why}")
            }
            Self::RowsDisagree { expected, found } => {
                write!(f, "the index does not hold the rows it should: {expected} expected, {found} found")
            }
            Self::RowDamaged { table, key, file } => write!(
                f,
                "{file}: the value of row {} in table {table} is damaged or missing; ask its sender again",
                short(key)
            ),
            Self::EventsDamaged { first, last, file } => {
                write!(f, "{file}: events {first} to {last} are damaged or missing; restore this file from a backup")
            }
            Self::SnapshotDamaged { file } => {
                write!(f, "{file}: does not match its digest; damaged rows are named one by one")
            }
            Self::GivenUp { rows, commits } => {
                write!(f, "salvage: {rows} rows and {commits} commits could not be read and were given up")
            }
            Self::LeftoversRemoved { files } => write!(f, "{files} files of unfinished work were removed"),
            Self::UnknownFile { file } => write!(f, "{file}: not made by this program; left alone"),
            Self::NoReserve => f.write_str("there is no reserve of disk space; free some space on this disk"),
        }
    }
}

/// The first four bytes of a blinded key, in hex: enough to tell rows of a report apart.
fn short(key: &Key) -> String {
    clearhouse_protocol::ids::hex(&key[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_damage_that_cost_nothing_from_commits_that_are_missing_and_names_rows_shortly() {
        let damaged =
            |first, last| Finding::JournalDamaged { file: "journal-1".into(), offset: 9, first, last }.to_string();
        assert_eq!(damaged(4, 3), "journal-1: from byte 9 there are bytes of no commit; no commit is missing");
        for (first, last) in [(3, 3), (3, 4)] {
            assert!(damaged(first, last).contains(&format!("commits {first} to {last} cannot be read")));
        }
        let mut key = [0xee; 32];
        key[..4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        let row = Finding::RowDamaged { table: 8, key, file: "bodies/1".into() }.to_string();
        assert!(row.starts_with("bodies/1: the value of row 12345678 in table 8 is damaged or missing"), "{row}");
    }
}
