//! Files of directory records: reading them, and what a person compares by voice. Refuses what is no such file before
//! anybody asks what it says.

use std::path::{Path, PathBuf};

use clearhouse_protocol::canon;
use clearhouse_protocol::directory::{Checked, Directory, RECORD_TYPES};
use clearhouse_protocol::ids::Net;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::{BUNDLE_MAX, RECORD_MAX};
use clearhouse_protocol::words::words;
use clearhouse_wire::v1::{OrgRecord, RecordBundle, Signed};
use prost::Message as _;

use crate::files;
use crate::trouble::{Code, Trouble, sentence};

/// Longest file of records: in base64 it has to fit into one call.
pub(crate) const FILE_MAX: usize = 720 << 10;

/// Reads a file of records.
///
/// # Errors
/// [`Code::Records`], [`Code::NoFile`].
pub(crate) fn read(path: &Path) -> Result<RecordBundle, Trouble> {
    let bytes = files::read(path, FILE_MAX, Code::Records)?;
    decode(path, &bytes)
}

/// The records in the bytes of a file: a bundle, or one record by itself as a node's folder keeps its genesis.
///
/// # Errors
/// [`Code::Records`].
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<RecordBundle, Trouble> {
    let bytes = bytes.get(..bytes.len().min(FILE_MAX + 1)).unwrap_or_default();
    let known = |signed: &Signed| RECORD_TYPES.contains(&signed.payload_type.as_str());
    if let Ok(bundle) = RecordBundle::decode(bytes)
        && (1..=BUNDLE_MAX).contains(&bundle.records.len())
        && bundle.records.iter().all(known)
    {
        return Ok(bundle);
    }
    if let Ok(signed) = canon::decode::<Signed>(bytes, RECORD_MAX + 4096)
        && known(&signed)
    {
        return Ok(RecordBundle { records: vec![signed], prekeys: vec![], published: vec![] });
    }
    let text = format!("{} is not a file of directory records.", path.display());
    Err(Trouble::new(Code::Records, text, "clearhouse directory verify FILE --genesis FILE"))
}

/// The genesis policy in a file: the first policy there.
///
/// # Errors
/// [`Code::Records`] when there is none. Whether it holds is asked of [`Directory::found`].
pub(crate) fn genesis(path: &Path) -> Result<Signed, Trouble> {
    let bundle = read(path)?;
    bundle.records.into_iter().find(|r| r.payload_type == media::ROOT).ok_or_else(|| {
        let text = format!("{} holds no founding policy.", path.display());
        Trouble::new(Code::Records, text, "Ask a coordinator for genesis.record")
    })
}

/// The directory a genesis file founds.
///
/// # Errors
/// [`Code::Record`] when it does not hold, or is not of the network that is `expected`.
pub(crate) fn found(path: &Path, expected: Option<Net>) -> Result<Directory, Trouble> {
    Directory::found(&genesis(path)?, expected).map_err(|fault| {
        let text = sentence(&format!("{} does not hold: {fault}", path.display()));
        Trouble::new(Code::Record, text, "Ask a coordinator for genesis.record and compare the network's id")
    })
}

/// The directory a genesis file founds, and what files of records say since: the policies among them say who coordinates now.
///
/// # Errors
/// As [`found`] and [`take`].
pub(crate) fn known(genesis: &Path, records: &[PathBuf], now: u64) -> Result<Directory, Trouble> {
    let mut directory = found(genesis, None)?;
    for file in records {
        take(&mut directory, file, now)?;
    }
    Ok(directory)
}

/// Takes the policies of a bundle that follow what is held. Others are left: who made the bundle has no say in what holds.
pub(crate) fn take_policies(directory: &mut Directory, bundle: &RecordBundle, now: u64) {
    for policy in bundle.records.iter().filter(|record| record.payload_type == media::ROOT) {
        if let Ok(Some(checked @ Checked::Policy(..))) = directory.check(policy, now) {
            directory.insert(checked);
        }
    }
}

/// Takes the records of a file into a directory that lives as long as this command.
///
/// # Errors
/// [`Code::Records`], or [`Code::Record`] for the first that does not hold.
pub(crate) fn take(directory: &mut Directory, path: &Path, now: u64) -> Result<(), Trouble> {
    for record in &read(path)?.records {
        let checked = directory.check(record, now).map_err(|fault| {
            let text = sentence(&format!("{} does not hold: {fault}. Nothing was signed", path.display()));
            Trouble::new(Code::Record, text, "clearhouse directory verify FILE --genesis FILE")
        })?;
        checked.into_iter().for_each(|checked| directory.insert(checked));
    }
    Ok(())
}

/// A coordinator's notice that it refused an application, if the bytes of a file are one. Whether it holds is not asked.
pub(crate) fn refusal(bytes: &[u8]) -> Option<Signed> {
    let signed = canon::decode::<Signed>(bytes, RECORD_MAX + 4096).ok()?;
    (signed.payload_type == media::REFUSAL).then_some(signed)
}

/// The root key of the organisation that applies in a file.
///
/// # Errors
/// [`Code::Records`].
pub(crate) fn application_root_key(path: &Path) -> Result<Vec<u8>, Trouble> {
    let bundle = read(path)?;
    let record = bundle.records.iter().find(|r| r.payload_type == media::ORG);
    let org = record.and_then(|r| OrgRecord::decode(r.payload.as_slice()).ok());
    org.map(|o| o.org_root_pk).ok_or_else(|| {
        let text = format!("{} holds no organisation's record.", path.display());
        Trouble::new(Code::Records, text, "clearhouse init --help")
    })
}

/// Eight words to compare by telephone; the same as `directory show` prints.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    words(key)
}
