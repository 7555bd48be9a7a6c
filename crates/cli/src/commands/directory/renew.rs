//! `directory renew` and `directory object`: an accreditation and its certificates before they end, with the same root key,
//! another that the old one signs, or another because the old one is lost; and the word of the old one against that.
//!
//! Reads what is in force from the node and writes a file for the coordinators; nothing changes here before it comes back
//! signed. Refuses a root key that is not the one in force, and to object with any other.

use std::path::{Path, PathBuf};

use clap::Args;
use clearhouse_casework::forms::show_time;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_protocol::ceremony::{end_itself, next_cert, next_org, object};
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
#[group(id = "with", required = true, multiple = true)]
pub(crate) struct Renew {
    /// The organisation's root key; left out, it is LOST: see above
    #[arg(long, value_name = "FILE", group = "with")]
    key: Option<PathBuf>,
    /// Make another root key, and write it here
    #[arg(long, value_name = "FILE", group = "with")]
    new_key: Option<PathBuf>,
    /// Write what ends the organisation by a phone call here, signed with the new key
    #[arg(long, value_name = "FILE", requires = "new_key")]
    self_revocation: Option<PathBuf>,
    /// The application to make, for the coordinators
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `directory object`.
#[derive(Args)]
pub(crate) struct Object {
    /// The organisation's root key, the one in force
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file to make
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
            if let Ok(Some(checked)) = directory.check_told(record, SystemClock.now()) {
                directory.insert(checked);
            }
        }
        let status = node.ask(Call::Status).await?;
        let org = status.get("org").and_then(|org| OrgId::from_hex(org.as_str()?)).ok_or_else(no_record)?;
        Ok(Self { directory, bundle, org })
    }

    /// The newest record of it: what is renewed follows it, whether it counts yet or not.
    fn newest(&self) -> Result<&Signed, Trouble> {
        self.directory.newest_org(self.org).ok_or_else(|| {
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
        let held = own.newest()?;
        let old = self.key.as_ref().map(|file| own.root_key(file)).transpose()?;
        let new = self.new_key.as_ref().map(|_| SigningKey::generate(&mut chance()));
        // One of the two is there: the command line asks for it.
        let root = new.as_ref().map(|(key, _)| key).or(old.as_ref()).ok_or_else(no_record)?;
        let now = SystemClock.now();
        let public = root.public();
        let change = |record: &mut OrgRecord| (record.org_root_pk, record.lost_key) = (public.to_vec(), old.is_none());
        let mut next = next_org(held, now, change).ok_or_else(no_record)?;
        if let (Some(old), Some(_)) = (&old, &new) {
            add_signature(&mut next, old);
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
            "lost": record.lost_key, "file": self.out.display().to_string(),
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

impl Object {
    pub(super) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let own = Own::ask(&Node::find(&app.global)?).await?;
        let now = SystemClock.now();
        let waiting = own.directory.lost_key(own.org, now).ok_or_else(|| {
            let text = "No new root key of this organisation waits. Nothing was made.";
            Trouble::new(Code::Record, text, "clearhouse doctor")
        })?;
        let key = own.root_key(&self.key)?;
        // Where two wait, both are meant.
        let records = own.directory.announced(own.org).filter_map(|announced| object(announced, &key, now)).collect();
        let bundle = RecordBundle { records, ..RecordBundle::default() };
        files::write_new(&self.out, &bundle.encode_to_vec())?;
        app.out.reply(&json!({
            "schema": "ch.objection/1", "label": waiting.record.label, "org": own.org.to_string(),
            "fingerprint": records::fingerprint(&waiting.record.org_root_pk), "file": self.out.display().to_string(),
        }))?;
        Ok(Exit::Done)
    }
}
