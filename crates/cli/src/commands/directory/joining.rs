//! An application in words, as it is read out before a coordinator's key is touched: who asks to come in, what it bound
//! itself to, and who vouches for it.
//!
//! Refuses to judge: what no directory would take can be read out too, for whoever refuses it.

use std::path::Path;

use clearhouse_casework::forms::show_time;
use clearhouse_node::membership::membership;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::labels::media;
use clearhouse_wire::v1::{NetworkKind, OrgRecord, RecordBundle};
use prost::Message as _;
use serde_json::{Value, json};

use super::ceremony::no_record;
use super::records;
use crate::trouble::{Code, Trouble};

/// A file with an application: all its records, and which of them asks to come in.
pub(super) struct Application {
    pub(super) bundle: RecordBundle,
    pub(super) position: usize,
    pub(super) org: OrgRecord,
}

impl Application {
    /// # Errors
    /// [`Code::Records`] for a file without one.
    pub(super) fn read(path: &Path) -> Result<Self, Trouble> {
        let bundle = records::read(path)?;
        let position = bundle.records.iter().position(|r| r.payload_type == media::ORG).ok_or_else(|| {
            let text = format!("{} holds no application.", path.display());
            Trouble::new(Code::Records, text, "clearhouse init --help")
        })?;
        let org = OrgRecord::decode(bundle.records[position].payload.as_slice()).map_err(|_| no_record())?;
        Ok(Self { bundle, position, org })
    }

    /// What it says, for a person to read before anything is signed.
    pub(super) fn described(&self, directory: &Directory, now: u64) -> Value {
        let (org, policy) = (&self.org, directory.policy());
        json!({
            "schema": "ch.application/1", "network": policy.label,
            "kind": if policy.kind() == NetworkKind::Live { "live" } else { "training" },
            "org": hex(&org.org_id), "label": org.label, "country": org.country, "roles": org.roles,
            "competences": org.competences, "membership": membership(directory, org, now),
            "fingerprint": records::fingerprint(&org.org_root_pk), "until": show_time(org.valid_until),
        })
    }
}
