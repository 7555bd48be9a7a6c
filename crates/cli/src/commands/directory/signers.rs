//! Who signs a record for the coordinators: their keys by the newest policy that is known here, what each key adds, and what
//! is said of one that has no say. Refuses to sign with a key that counts nowhere.

use std::path::{Path, PathBuf};

use clearhouse_protocol::directory::{Directory, RecordFault};
use clearhouse_protocol::keys::VerifyKey;
use clearhouse_protocol::limits::SIGNATURES_MAX;
use clearhouse_protocol::signed::{add_signature, count};
use clearhouse_wire::v1::Signed;
use serde_json::{Value, json};

use super::records;
use crate::secrets;
use crate::trouble::{Code, Trouble, sentence};

/// The coordinators of a network by key and country.
pub(super) struct Coordinators(Vec<(VerifyKey, String)>);

impl Coordinators {
    pub(super) fn of(directory: &Directory) -> Result<Self, Trouble> {
        let admitted = directory.policy().coordinators.iter().map(|c| {
            let key = VerifyKey::admit(&c.accreditation_pk).map_err(|_| no_record())?;
            Ok((key, c.country.clone()))
        });
        admitted.collect::<Result<_, _>>().map(Self)
    }

    /// Signs with every key of `files`, each once; says who signed. `strangers` may sign too where one could count.
    pub(super) fn sign(
        &self,
        signed: &mut Signed,
        media: &str,
        files: &[PathBuf],
        strangers: bool,
    ) -> Result<Vec<Value>, Trouble> {
        let mut signers = Vec::new();
        for file in files {
            let key = secrets::signing_key(file)?;
            let known = self.0.iter().find(|(pk, _)| pk.public() == key.public());
            if known.is_none() && !strangers {
                return Err(not_a_coordinator(file));
            }
            let again = VerifyKey::admit(&key.public())
                .is_ok_and(|pk| count(media, signed, &[pk]).is_ok_and(|found| !found.is_empty()));
            if !again && signed.signatures.len() < SIGNATURES_MAX {
                add_signature(signed, &key);
            }
            signers.push(json!({
                "fingerprint": records::fingerprint(&key.public()), "country": known.map(|(_, c)| c.clone()),
                "coordinator": known.is_some(), "had_signed": again,
            }));
        }
        Ok(signers)
    }

    /// Which coordinators have signed, each once.
    pub(super) fn who_signed(&self, signed: &Signed) -> Result<Vec<Value>, Trouble> {
        let keys: Vec<VerifyKey> = self.0.iter().map(|(key, _)| key.clone()).collect();
        let found = count(&signed.payload_type, signed, &keys);
        let found = found.map_err(|fault| does_not_hold(Path::new("It"), fault.into()))?;
        let one = |(key, country): &(VerifyKey, String)| json!({"fingerprint": records::fingerprint(&key.public()), "country": country, "coordinator": true});
        Ok(found.into_iter().filter_map(|at| self.0.get(at)).map(one).collect())
    }

    /// How many coordinators have signed.
    pub(super) fn signed(&self, signed: &Signed, media: &str) -> Result<usize, Trouble> {
        let keys: Vec<VerifyKey> = self.0.iter().map(|(key, _)| key.clone()).collect();
        let found = count(media, signed, &keys).map_err(|fault| does_not_hold(Path::new("It"), fault.into()))?;
        Ok(found.len())
    }
}

pub(super) fn not_a_coordinator(file: &Path) -> Trouble {
    let text = format!("{} is not the key of a coordinator of this network. Nothing was signed.", file.display());
    Trouble::new(Code::NotACoordinator, text, "clearhouse directory verify FILE --genesis FILE")
}

pub(super) fn does_not_hold(path: &Path, fault: RecordFault) -> Trouble {
    let text = sentence(&format!("{} does not hold: {fault}. Nothing was signed", path.display()));
    Trouble::new(Code::Record, text, "clearhouse directory verify FILE --genesis FILE")
}

pub(super) fn no_record() -> Trouble {
    let text = "The file holds no such record, or one that cannot be read. Nothing was signed.";
    Trouble::new(Code::Records, text, "clearhouse directory verify FILE --genesis FILE")
}
