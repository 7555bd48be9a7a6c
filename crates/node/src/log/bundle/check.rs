//! Checks a bundle. First that its files are those of the manifest, to the byte; then that they prove what they say.
//! Refuses to read a name out of the manifest that it did not find in the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clearhouse_protocol::ids::hex;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::proof::Proof;
use clearhouse_protocol::pae::sha256;
use serde_json::Value;

use super::entry::Entry;
use super::{
    BundleFault, CHECKPOINT, ENTRIES, ENTRIES_MAX, FILE_MAX, File, GENESIS, KEY, MANIFEST, MANIFEST_MAX, Manifest,
    RECORDS, SCHEMA, VERIFY, WITNESSES, entry_name, pretty, proof_name, witnesses,
};
use crate::log::folder::{FolderFault, Known, read, whose};
use crate::log::vouched::{Sight, Vouched, Voucher};

/// Files that every bundle has.
const ALWAYS: [&str; 6] = [CHECKPOINT, KEY, GENESIS, RECORDS, WITNESSES, VERIFY];

/// Evidence that holds.
pub struct Held {
    /// The head that the entries are under.
    pub checkpoint: Checkpoint,
    /// The key that signed it.
    pub key: NoteKey,
    /// How that key is known.
    pub vouched: Vouched,
    /// Who saw the head.
    pub sight: Sight,
    /// Each entry in plain words, in order.
    pub entries: Vec<Value>,
}

/// Whether a folder is, or was, a bundle and no whole log.
#[must_use]
pub fn is_bundle(dir: &Path) -> bool {
    [MANIFEST, VERIFY, WITNESSES, ENTRIES].iter().any(|name| dir.join(name).exists())
}

/// Checks a bundle. An older checkpoint says nothing about single entries and is not looked at.
///
/// # Errors
/// [`BundleFault`]: the first thing that is wrong, and with which file.
pub fn verify(dir: &Path, known: Known<'_>, now: u64) -> Result<Held, BundleFault> {
    let (manifest, files) = files(dir)?;
    let indices = indices(&manifest, &files)?;
    let note = Note::parse(&files[CHECKPOINT])?;
    let claimed = Checkpoint::parse(note.text())?;
    let (own_genesis, own_policy) = (known.genesis.is_none() && known.key.is_none(), known.policy.is_none());
    let voucher = whose(dir, known, &claimed.origin, now)?;
    let head = SignedCheckpoint::of(note, voucher.key())?;
    let sight = voucher.sight(&head, now)?;
    if (manifest.log.as_str(), manifest.size) != (claimed.origin.as_str(), claimed.size) {
        return Err(BundleFault::wrong(MANIFEST, "it names another log or head than the checkpoint"));
    }
    if files[KEY] != format!("{}\n", voucher.key()).as_bytes() {
        return Err(BundleFault::wrong(KEY, "it is not the key of this log"));
    }
    if own_genesis && own_policy && json(&files, WITNESSES)? != witnesses(&voucher, &head)? {
        return Err(BundleFault::wrong(WITNESSES, "the records and the checkpoint say otherwise"));
    }
    // Words were made by the bundle's own records, whatever the checker knows besides.
    let own = whose(dir, Known::default(), &claimed.origin, now)?;
    let entries = indices.into_iter().map(|index| entry(index, &files, &head, &own)).collect::<Result<_, _>>()?;
    let (key, vouched) = (voucher.key().clone(), voucher.by().clone());
    Ok(Held { checkpoint: claimed, key, vouched, sight, entries })
}

/// Every file of the folder, as the manifest says.
fn files(dir: &Path) -> Result<(Manifest, BTreeMap<String, Vec<u8>>), BundleFault> {
    let there = listed(dir)?;
    if !there.contains_key(MANIFEST) {
        return Err(BundleFault::Missing(MANIFEST.to_owned()));
    }
    let bytes = read(dir, MANIFEST, MANIFEST_MAX)?;
    let manifest: Option<Manifest> = serde_json::from_slice(&bytes).ok();
    // In one writing only, so that its last byte counts too.
    let manifest =
        manifest.filter(|manifest| manifest.schema == SCHEMA && pretty(&serde_json::json!(manifest)) == bytes);
    let manifest = manifest.ok_or_else(|| {
        BundleFault::wrong(MANIFEST, "it was changed or cut off, or is of another version of this program")
    })?;
    let named: BTreeMap<&str, &File> = manifest.files.iter().map(|file| (file.name.as_str(), file)).collect();
    if named.len() != manifest.files.len() {
        return Err(BundleFault::wrong(MANIFEST, "it names a file twice"));
    }
    let missing = |name: &&str| !there.contains_key(*name);
    if let Some(name) = named.keys().copied().chain(ALWAYS).find(missing) {
        return Err(BundleFault::Missing(name.to_owned()));
    }
    if let Some(name) = there.keys().find(|name| *name != MANIFEST && !named.contains_key(name.as_str())) {
        return Err(BundleFault::Added(name.clone()));
    }
    let mut files = BTreeMap::new();
    for (name, has) in there.into_iter().filter(|(name, _)| name != MANIFEST) {
        let Some(file) = named.get(name.as_str()) else { continue };
        if has != file.len {
            return Err(BundleFault::Length { file: name, has, wants: file.len });
        }
        let bytes = read(dir, &name, FILE_MAX)?;
        if hex(&sha256(&bytes)) != file.sha256 {
            return Err(BundleFault::Changed(name));
        }
        files.insert(name, bytes);
    }
    Ok((manifest, files))
}

/// What lies in the folder: names and lengths of plain files, one level of folders deep.
fn listed(dir: &Path) -> Result<BTreeMap<String, u64>, BundleFault> {
    let mut there = BTreeMap::new();
    for (folder, before) in [(dir.to_owned(), String::new()), (dir.join(ENTRIES), format!("{ENTRIES}/"))] {
        let missing = |error: std::io::Error| FolderFault::Missing { file: before.clone(), kind: error.kind() };
        let found = match fs::read_dir(&folder) {
            Err(_) if !before.is_empty() => return Err(BundleFault::Missing(ENTRIES.to_owned())),
            found => found.map_err(missing)?,
        };
        for item in found {
            let item = item.map_err(missing)?;
            let name = format!("{before}{}", item.file_name().to_string_lossy());
            // Of the item itself: a link is no plain file, wherever it leads.
            let kind = item.metadata().map_err(missing)?;
            if name == ENTRIES && kind.is_dir() {
                continue;
            }
            if !kind.is_file() || there.len() > ENTRIES_MAX * 2 + ALWAYS.len() + 1 {
                return Err(BundleFault::Added(name));
            }
            there.insert(name, kind.len());
        }
    }
    Ok(there)
}

/// The entries that the files are about: each has two, and there is nothing else.
fn indices(manifest: &Manifest, files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u64>, BundleFault> {
    let mut indices = Vec::new();
    for name in files.keys().filter(|name| !ALWAYS.contains(&name.as_str())) {
        let stem = name.strip_prefix("entries/").and_then(|name| name.split_once('.'));
        let index: Option<u64> = stem.and_then(|(index, _)| index.parse().ok());
        let index = index.filter(|index| [proof_name(*index), entry_name(*index)].contains(name));
        indices.push(index.ok_or_else(|| BundleFault::Added(name.clone()))?);
    }
    indices.sort_unstable();
    indices.dedup();
    for index in &indices {
        for name in [proof_name(*index), entry_name(*index)] {
            files.get(&name).ok_or(BundleFault::Missing(name))?;
        }
    }
    if indices.is_empty() || indices.len() as u64 != manifest.entries {
        return Err(BundleFault::wrong(MANIFEST, format!("it speaks of {} entries", manifest.entries)));
    }
    Ok(indices)
}

/// One entry: what it says is what was committed to, and that is under the head.
fn entry(
    index: u64,
    files: &BTreeMap<String, Vec<u8>>,
    head: &SignedCheckpoint,
    voucher: &Voucher,
) -> Result<Value, BundleFault> {
    let (proof_file, file) = (proof_name(index), entry_name(index));
    let proof = Proof::parse(&files[&proof_file]).map_err(|fault| BundleFault::wrong(&proof_file, fault))?;
    if proof.index != index || proof.note != *head.note() {
        return Err(BundleFault::wrong(&proof_file, "it is about another entry or another head"));
    }
    let shown = json(files, &file)?;
    let entry = Entry::read(index, &shown);
    let entry = entry.ok_or_else(|| BundleFault::wrong(&file, "leaf, salt and opening do not fit each other"))?;
    proof.check(&entry.leaf(), voucher.key()).map_err(|fault| BundleFault::wrong(&proof_file, fault))?;
    if let Some(opening) = entry.opening()
        && (opening.index != index || opening.origin != voucher.key().name())
    {
        return Err(BundleFault::wrong(&file, "the opening is of another entry or another log"));
    }
    if entry.opened.is_some() && entry.opening().is_none() {
        return Err(BundleFault::wrong(&file, "the opening cannot be read"));
    }
    if shown != entry.shown(voucher) {
        return Err(BundleFault::wrong(&file, "its words are not what its bytes say"));
    }
    Ok(shown)
}

fn json(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Result<Value, BundleFault> {
    serde_json::from_slice(&files[name]).map_err(|_| BundleFault::wrong(name, "it is not JSON"))
}
