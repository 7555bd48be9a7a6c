//! `directory renew`: an accreditation and its certificates before they end, with the same root key or another that the old
//! one signs.
//!
//! Reads what is in force from the node and writes a file for the coordinators; nothing changes here before it comes back
//! signed. Refuses a root key that is not the one in force.

use std::path::{Path, PathBuf};

use clap::Args;
use clearhouse_casework::forms::show_time;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_protocol::ceremony::{end_itself, next_cert, next_org};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{OrgId, hex};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::signed::add_signature;
use clearhouse_wire::v1::{OrgRecord, RecordBundle, Signed};
use prost::Message as _;
use serde_json::json;
use zeroize::Zeroizing;

use super::ceremony::no_record;
use super::records;
use crate::ask::{Node, bytes_of};
use crate::cli::App;
use crate::trouble::{Code, Exit, Trouble};
use crate::{files, secrets};

/// Arguments of `directory renew`.
#[derive(Args)]
pub(crate) struct Renew {
    /// The organisation's root key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make another root key, and write it here
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
    /// Write what ends the organisation by a phone call here, signed with the new key
    #[arg(long, value_name = "FILE", requires = "new_key")]
    self_revocation: Option<PathBuf>,
    /// The application to make, for the coordinators
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// This organisation as its node knows it.
struct Own {
    directory: Directory,
    bundle: RecordBundle,
    org: OrgId,
}

impl Own {
    async fn ask(node: &Node) -> Result<Self, Trouble> {
        let bundle = bytes_of(&node.ask(Call::DirectoryExport { org: None }).await?, "bundle")?;
        let bundle = RecordBundle::decode(bundle.as_slice()).map_err(|_| no_record())?;
        let mut directory =
            Directory::found(bundle.records.first().ok_or_else(no_record)?, None).map_err(|_| no_record())?;
        for record in &bundle.records {
            if let Ok(Some(checked)) = directory.check(record, SystemClock.now()) {
                directory.insert(checked);
            }
        }
        let status = node.ask(Call::Status).await?;
        let org = status.get("org").and_then(|org| OrgId::from_hex(org.as_str()?)).ok_or_else(no_record)?;
        Ok(Self { directory, bundle, org })
    }

    /// The newest record of it: what is renewed follows it, whether it counts yet or not.
    fn newest(&self) -> Result<(&Signed, OrgRecord), Trouble> {
        let own = |record: &&Signed| record.payload_type == media::ORG;
        let all = self.bundle.records.iter().filter(own).filter_map(|signed| {
            let record = OrgRecord::decode(signed.payload.as_slice()).ok()?;
            (record.org_id == self.org.0).then_some((signed, record))
        });
        all.max_by_key(|(_, record)| record.version).ok_or_else(|| {
            let text = "This organisation is not accredited yet. Nothing was made.";
            Trouble::new(Code::Record, text, "Send application.record to your coordinators")
        })
    }

    /// A key file that has to hold the root key in force.
    fn root_key(&self, file: &Path) -> Result<SigningKey, Trouble> {
        let key = secrets::signing_key(file)?;
        let held = self.directory.org(self.org).map(|org| org.org_root_pk.clone());
        if held.is_some_and(|held| held == key.public()) {
            return Ok(key);
        }
        let text = format!("{} is not the root key of this organisation. Nothing was made.", file.display());
        Err(Trouble::new(Code::NotACoordinator, text, "clearhouse directory words"))
    }
}

impl Renew {
    pub(super) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let own = Own::ask(&Node::find(&app.global)?).await?;
        let (held, _) = own.newest()?;
        let old = own.root_key(&self.key)?;
        let new = self.new_key.as_ref().map(|_| SigningKey::generate(&mut chance()));
        let root = new.as_ref().map_or(&old, |(key, _)| key);
        let now = SystemClock.now();
        let public = root.public();
        let mut next = next_org(held, now, |record| record.org_root_pk = public.to_vec()).ok_or_else(no_record)?;
        if new.is_some() {
            add_signature(&mut next, &old);
        }
        let record = OrgRecord::decode(next.payload.as_slice()).map_err(|_| no_record())?;
        let bundle = self.application(&own, next, root, now)?;

        if let (Some(file), Some((_, seed))) = (&self.new_key, &new) {
            files::write_new(file, Zeroizing::new(hex(seed.as_ref()) + "\n").as_bytes())?;
        }
        if let Some(file) = &self.self_revocation {
            let records = vec![end_itself(own.directory.net(), own.org, root, now)];
            let end = RecordBundle { records, ..RecordBundle::default() };
            files::write_new(file, Zeroizing::new(end.encode_to_vec()).as_slice())?;
        }
        files::write_new(&self.out, &bundle.encode_to_vec())?;
        app.out.reply(&json!({
            "schema": "ch.renewal/1", "label": record.label, "org": own.org.to_string(), "version": record.version,
            "until": show_time(record.valid_until), "fingerprint": records::fingerprint(&record.org_root_pk),
            "new_key": self.new_key.as_ref().map(|file| file.display().to_string()),
            "file": self.out.display().to_string(),
        }))?;
        Ok(Exit::Done)
    }

    /// What goes to the coordinators: the policies, the accreditation to sign, and everything it vouches for.
    fn application(&self, own: &Own, next: Signed, root: &SigningKey, now: u64) -> Result<RecordBundle, Trouble> {
        let of = |kind: &'static str| own.bundle.records.iter().filter(move |record| record.payload_type == kind);
        let mut records: Vec<Signed> = of(media::ROOT).cloned().collect();
        records.push(next);
        let newest = |node: &Vec<u8>| own.directory.newest_cert(node.as_slice().try_into().ok()?).cloned();
        let nodes = own.directory.nodes_of(own.org).map(|node| node.to_vec());
        for held in nodes.filter_map(|node| newest(&node)) {
            records.push(next_cert(&held, now, root).ok_or_else(no_record)?);
        }
        records.extend(of(media::DESCRIPTOR).cloned());
        Ok(RecordBundle { records, prekeys: own.bundle.prekeys.clone(), published: vec![] })
    }
}
