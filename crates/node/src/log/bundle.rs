//! Evidence that travels: chosen entries of a log with their proofs, as a folder for a court or an auditor. Made here and
//! checked here; the checking needs no node and no secret.
//!
//! A bundle holds the openings of exactly the entries chosen, and of the parties only what the directory says. Refuses
//! to check half: a file that is missing, changed, cut off or added refuses the whole. That nothing was left out is not
//! shown; only a whole log shows that.

mod check;
mod entry;

use std::collections::BTreeMap;
use std::path::Path;

use clearhouse_protocol::directory::RECORD_TYPES;
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::note::{Note, NoteFault};
use clearhouse_protocol::log::policy::Rule;
use clearhouse_protocol::log::proof::Proof;
use clearhouse_protocol::log::quorum::{List, Listed};
use clearhouse_protocol::pae::sha256;
use clearhouse_store::tile_files::{TileError, TileFiles};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use check::{Held, is_bundle, verify};
pub use entry::{Entry, words};

use super::folder::{CHECKPOINT, FolderFault, GENESIS, KEY, RECORDS};
use super::vouched::{Voucher, VoucherFault};

/// Entries of one bundle.
pub const ENTRIES_MAX: usize = 4096;
/// Every other file, with its length and hash.
pub const MANIFEST: &str = "MANIFEST.json";
/// What it is and how to check it, in plain words.
pub const VERIFY: &str = "VERIFY.txt";
/// Who had to see the head, and who did.
pub const WITNESSES: &str = "witnesses.json";
/// The folder of entries.
const ENTRIES: &str = "entries";
/// What a manifest calls itself.
const SCHEMA: &str = "ch.evidence-bundle/1";
/// Bytes of a manifest that are read.
const MANIFEST_MAX: u64 = 4 << 20;
/// Bytes of any other file that are read.
const FILE_MAX: u64 = 4 << 20;

/// Why a folder is not evidence. Each says what is wrong and with which file.
#[derive(Debug, thiserror::Error)]
pub enum BundleFault {
    /// A file of the manifest, or one that every bundle has, is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// Something is there that the manifest does not name, or is no plain file.
    #[error("{0} was added: the manifest does not name it, or it is no plain file")]
    Added(String),
    /// A file has another length.
    #[error("{file} has {has} bytes and should have {wants}: it was cut off or added to")]
    Length {
        /// The file.
        file: String,
        /// Its length.
        has: u64,
        /// Its length in the manifest.
        wants: u64,
    },
    /// A file has other bytes.
    #[error("{0} is not the file of the manifest: it was changed")]
    Changed(String),
    /// A file is as the manifest says, and does not say what it must.
    #[error("{file} does not hold: {why}")]
    Wrong {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Key, checkpoint or records.
    #[error(transparent)]
    Folder(#[from] FolderFault),
    /// More entries than a bundle has, or none.
    #[error("a bundle has 1 to {ENTRIES_MAX} entries, not {0}")]
    Count(usize),
}

impl BundleFault {
    fn wrong(file: &str, why: impl ToString) -> Self {
        Self::Wrong { file: file.to_owned(), why: why.to_string() }
    }
}

impl From<NoteFault> for BundleFault {
    fn from(fault: NoteFault) -> Self {
        Self::Folder(FolderFault::Checkpoint(fault))
    }
}

impl From<TileError> for BundleFault {
    fn from(error: TileError) -> Self {
        Self::Folder(FolderFault::Write(error))
    }
}

impl From<VoucherFault> for BundleFault {
    fn from(fault: VoucherFault) -> Self {
        Self::Folder(fault.into())
    }
}

/// One file of a manifest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    len: u64,
    sha256: String,
    what: String,
}

/// `MANIFEST.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    schema: String,
    log: String,
    /// Entries of the log under the checkpoint.
    size: u64,
    /// Entries in this bundle.
    entries: u64,
    files: Vec<File>,
}

/// What a bundle is made of, besides its entries.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The signed head, with the witnesses' lines.
    pub note: &'a Note,
    /// The network's genesis (a Signed).
    pub genesis: &'a [u8],
    /// Records (a RecordBundle) that vouch for the keys of log and witnesses. Where nodes can be reached and how to write
    /// to them is left out.
    pub records: &'a [u8],
}

/// Writes a bundle into a folder that is empty or not there yet, and checks it as a stranger would.
///
/// # Errors
/// [`BundleFault`]: the parts do not hold together, or the folder cannot be written.
pub fn make(dir: &Path, head: Head<'_>, mut entries: Vec<(Entry, Vec<Hash>)>, now: u64) -> Result<Held, BundleFault> {
    entries.sort_by_key(|(entry, _)| entry.index);
    entries.dedup_by_key(|(entry, _)| entry.index);
    if entries.is_empty() || entries.len() > ENTRIES_MAX {
        return Err(BundleFault::Count(entries.len()));
    }
    let signed = wire::Signed::decode(head.genesis).map_err(|_| FolderFault::Broken(GENESIS.to_owned()))?;
    let records = without_addresses(head.records)?;
    let origin = head.note.text().lines().next().unwrap_or_default();
    let voucher = Voucher::of_records(&signed, &records, origin, now)?;
    let checkpoint = SignedCheckpoint::of(head.note.clone(), voucher.key())?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert(CHECKPOINT.to_owned(), head.note.to_string().into_bytes());
    files.insert(KEY.to_owned(), format!("{}\n", voucher.key()).into_bytes());
    files.insert(GENESIS.to_owned(), head.genesis.to_vec());
    files.insert(RECORDS.to_owned(), records);
    files.insert(WITNESSES.to_owned(), pretty(&witnesses(&voucher, &checkpoint)?));
    files.insert(VERIFY.to_owned(), include_bytes!("bundle/VERIFY.txt").to_vec());
    for (entry, path) in &entries {
        let proof = Proof { extra: Vec::new(), index: entry.index, path: path.clone(), note: head.note.clone() };
        files.insert(proof_name(entry.index), proof.to_string().into_bytes());
        files.insert(entry_name(entry.index), pretty(&entry.shown(&voucher)));
    }
    let file = |(name, bytes): (&String, &Vec<u8>)| File {
        name: name.clone(),
        len: bytes.len() as u64,
        sha256: hex(&sha256(bytes)),
        what: what(name),
    };
    let manifest = Manifest {
        schema: SCHEMA.to_owned(),
        log: origin.to_owned(),
        size: checkpoint.checkpoint().size,
        entries: entries.len() as u64,
        files: files.iter().map(file).collect(),
    };
    let writer = TileFiles::new(dir);
    for (name, bytes) in &files {
        writer.write_bytes(name, bytes)?;
    }
    // Last, so that a bundle half made has none.
    writer.write_bytes(MANIFEST, &pretty(&json!(manifest)))?;
    verify(dir, super::folder::Known::default(), now)
}

/// The records without descriptors and prekeys: who checks evidence needs keys, not where an office's node is.
fn without_addresses(records: &[u8]) -> Result<Vec<u8>, FolderFault> {
    let bundle = wire::RecordBundle::decode(records).map_err(|_| FolderFault::Broken(RECORDS.to_owned()))?;
    let kept = |record: &wire::Signed| {
        record.payload_type != media::DESCRIPTOR && RECORD_TYPES.contains(&record.payload_type.as_str())
    };
    let mut records: Vec<wire::Signed> = Vec::new();
    for record in bundle.records.into_iter().filter(kept) {
        if !records.contains(&record) {
            records.push(record);
        }
    }
    Ok(wire::RecordBundle { records, prekeys: Vec::new(), published: vec![] }.encode_to_vec())
}

/// Who could see the head, how many of them were enough by the lists of that time, and who did.
fn witnesses(voucher: &Voucher, head: &SignedCheckpoint) -> Result<Value, NoteFault> {
    // As the note says, whatever this machine's clock says.
    let sight = voucher.sight(head, u64::MAX)?;
    let saw: Vec<Value> =
        sight.witnesses.iter().map(|w| json!({"label": w.label, "country": w.country, "at": w.at})).collect();
    let quorum = voucher.quorum(&sight);
    Ok(json!({
        "schema": "ch.witnesses/1",
        "list": quorum.as_ref().map(|quorum| listed(voucher, &quorum.current)),
        "list_of_the_quarter_before": quorum.as_ref().and_then(|quorum| Some(listed(voucher, quorum.before.as_ref()?))),
        "saw": saw,
        "enough": sight.enough,
        "at": sight.time,
    }))
}

fn listed(voucher: &Voucher, list: &List) -> Value {
    let one = |one: &Listed| json!({"label": voucher.name_of(one), "country": one.country, "key": one.key.to_string()});
    let all: Vec<Value> = list.witnesses().iter().map(one).collect();
    json!({"witnesses": all, "must_have_signed": list.rule().map(|rule| asked(rule, list))})
}

/// A rule in plain values: a witness by the name of its key, a group by how many of which.
fn asked(rule: &Rule, list: &List) -> Value {
    match rule {
        Rule::Witness(place) => json!(list.witnesses().get(*place).map(|one| one.key.name())),
        Rule::Group { enough, of } => {
            json!({"enough": enough, "of": of.iter().map(|rule| asked(rule, list)).collect::<Vec<_>>()})
        }
    }
}

fn proof_name(index: u64) -> String {
    format!("{ENTRIES}/{index}.tlog-proof")
}

fn entry_name(index: u64) -> String {
    format!("{ENTRIES}/{index}.json")
}

/// What a file is, in words.
fn what(name: &str) -> String {
    match name {
        CHECKPOINT => "the log's signed head, with the witnesses' cosignatures (C2SP signed-note)".to_owned(),
        KEY => "the log's key (C2SP note key)".to_owned(),
        GENESIS => "the network's first policy, signed".to_owned(),
        RECORDS => "accreditations and certificates that say whose the keys are".to_owned(),
        WITNESSES => "who had to see the head and who did".to_owned(),
        VERIFY => "what this is and how to check it".to_owned(),
        name if name.ends_with(".json") => "an entry in plain words, with the bytes it was made of".to_owned(),
        _ => "the proof that an entry is under the head (C2SP tlog-proof)".to_owned(),
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
