//! What coordinators do, on a machine without a node: found a network, sign an organisation in, sign it out.
//!
//! Says in plain words what is signed and by whom. Refuses to sign what a directory would not take, and with a key that
//! has no say. Keys are read from files only their owner can read and are written nowhere else.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clearhouse_casework::forms::show_time;
use clearhouse_casework::htcds::codes::is_country;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_protocol::ceremony::{self, Founder, Thresholds};
use clearhouse_protocol::directory::{Directory, RecordFault};
use clearhouse_protocol::ids::{NodeId, OrgId, hex};
use clearhouse_protocol::keys::{SigningKey, VerifyKey};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::signed::count;
use clearhouse_wire::v1::{NetworkKind, NodeCert, OrgRecord, RecordBundle, Revocation, Signed, SubjectKind};
use prost::Message as _;
use rand_core::Rng as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub(super) use super::signers::{Coordinators, does_not_hold, no_record, not_a_coordinator};

use super::joining::Application;
use super::records;
use crate::cli::App;
use crate::files::{self, NewFolder};
use crate::trouble::{Code, Exit, Trouble};
use crate::{render, secrets};

/// Most coordinators of one network.
const COORDINATORS_MAX: usize = 16;

/// The founding policy in the folder of a ceremony.
const GENESIS_NAME: &str = "genesis.record";

/// A key just made, and the seed to keep.
type NewKey = (SigningKey, Zeroizing<[u8; 32]>);

/// Whether cases are invented or real. Never changes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Invented cases
    Training,
    /// Real cases
    Live,
}

/// Arguments of `directory found`.
#[derive(Args)]
pub(crate) struct Found {
    /// The folder to make: genesis.record and one key file per coordinator
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What screens call the network
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Training or live; can never be changed
    #[arg(long, value_enum)]
    kind: Kind,
    /// A coordinator: country and a name for its key file; repeat it
    #[arg(long = "coordinator", value_name = "CC:NAME", required = true)]
    coordinators: Vec<String>,
    /// Signatures that accredit [default: 3, or all if fewer]
    #[arg(long, value_name = "K")]
    accredit: Option<u32>,
    /// Signatures that revoke [default: 2, or all if fewer]
    #[arg(long, value_name = "K")]
    revoke: Option<u32>,
    /// Signatures that change the policy [default: 3, or all if fewer]
    #[arg(long, value_name = "K")]
    root: Option<u32>,
}

impl Found {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let named = coordinators(&self.coordinators)?;
        let keys: Vec<NewKey> = named.iter().map(|_| SigningKey::generate(&mut chance())).collect();
        let founders: Vec<Founder<'_>> = named
            .iter()
            .zip(&keys)
            .map(|((country, _), (key, _))| {
                let mut id = [0; 16];
                chance().fill_bytes(&mut id);
                Founder { id, country, key, node: NodeId([0; 16]) }
            })
            .collect();
        let n = u32::try_from(named.len()).unwrap_or(u32::MAX);
        let k = Thresholds {
            accredit: self.accredit.unwrap_or(n.min(3)),
            revoke: self.revoke.unwrap_or(n.min(2)),
            root: self.root.unwrap_or(n.min(3)),
            f: n.saturating_sub(1) / 3,
        };
        let kind = match self.kind {
            Kind::Training => NetworkKind::Training,
            Kind::Live => NetworkKind::Live,
        };
        let (genesis, net) = ceremony::genesis(kind, &self.name, &founders, k, SystemClock.now());
        // What no node would take is not written.
        let directory = Directory::found(&genesis, Some(net)).map_err(|fault| {
            let n = named.len();
            let text =
                format!("No node would take this genesis: {fault}. With {n} coordinators each number is 1 to {n}.");
            Trouble::new(Code::Arguments, text, "clearhouse directory found --help")
        })?;
        self.write(app, &genesis, &directory, &named, &keys)?;
        Ok(Exit::Done)
    }

    fn write(
        &self,
        app: &App,
        genesis: &Signed,
        directory: &Directory,
        named: &[(String, String)],
        keys: &[NewKey],
    ) -> Result<(), Trouble> {
        let place = NewFolder::choose(&self.out)?;
        if place.is_taken() {
            let text = format!("{} holds something already. A network is founded in a new folder.", self.out.display());
            return Err(Trouble::new(Code::Exists, text, "clearhouse directory found --out DIR"));
        }
        place.fill(|folder| {
            for ((_, name), (_, seed)) in named.iter().zip(keys) {
                let text = Zeroizing::new(hex(seed.as_ref()) + "\n");
                files::write_new(&folder.join(key_name(name)), text.as_bytes())?;
            }
            let bundle = RecordBundle { records: vec![genesis.clone()], prekeys: vec![], published: vec![] };
            files::write_new(&folder.join(GENESIS_NAME), &bundle.encode_to_vec())
        })?;
        let row = |(((country, name), (key, _)), id): ((&(String, String), &NewKey), &Vec<u8>)| {
            json!({
                "name": name, "country": country, "id": hex(id), "key": self.out.join(key_name(name)).display().to_string(),
                "fingerprint": records::fingerprint(&key.public()),
            })
        };
        let policy = directory.policy();
        let ids = policy.coordinators.iter().map(|coordinator| &coordinator.id);
        let rows: Vec<Value> = named.iter().zip(keys).zip(ids).map(row).collect();
        let path = self.out.join(GENESIS_NAME);
        app.out.reply(&json!({
            "schema": "ch.founding/1", "network": policy.label, "net": directory.net().to_string(),
            "kind": if self.kind == Kind::Training { "training" } else { "live" },
            "genesis": path.display().to_string(), "until": show_time(policy.not_after), "coordinators": rows,
            "accredit": policy.k_accredit, "revoke": policy.k_revoke, "root": policy.k_root,
        }))?;
        app.out
            .say("Hand each key to its coordinator in person and delete it here. Publish genesis.record and its id.");
        if self.kind == Kind::Live {
            app.out.say("All keys were made on one machine: for real cases it must be offline and wiped afterwards.");
        }
        Ok(())
    }
}

fn key_name(coordinator: &str) -> String {
    format!("{coordinator}.key")
}

/// The coordinators as typed: country and name.
fn coordinators(typed: &[String]) -> Result<Vec<(String, String)>, Trouble> {
    let wrong = |text: &str| Trouble::new(Code::Arguments, text, "clearhouse directory found --help");
    let mut named: Vec<(String, String)> = Vec::new();
    for text in typed {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let (country, name) = text
            .split_once(':')
            .filter(|(country, name)| is_country(country) && (1..=32).contains(&name.len()) && name.chars().all(plain))
            .ok_or_else(|| wrong("--coordinator wants a country and a name in small letters, such as RO:first."))?;
        if named.iter().any(|(_, other)| other == name) {
            return Err(wrong("Two coordinators have the same name."));
        }
        named.push((country.to_owned(), name.to_owned()));
    }
    let several = named.iter().any(|(country, _)| *country != named[0].0);
    if named.len() > COORDINATORS_MAX || !several {
        return Err(wrong(
            "A network has 2 to 16 coordinators of at least two countries: none accredits its own alone.",
        ));
    }
    Ok(named)
}

/// Arguments of `directory accredit`.
#[derive(Args)]
pub(crate) struct Accredit {
    /// application.record of the organisation, or what another coordinator signed
    application: PathBuf,
    /// The network's genesis record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A coordinator's key file; can be repeated
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Newer policies, and records of those who vouch for it, to say who they are; can be repeated
    #[arg(long = "records", value_name = "FILE")]
    records: Vec<PathBuf>,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Accredit {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let mut directory = records::known(&self.genesis, &self.records, SystemClock.now())?;
        let application = Application::read(&self.application)?;
        records::take_policies(&mut directory, &application.bundle, SystemClock.now());
        let described = application.described(&directory, SystemClock.now());
        let Application { mut bundle, position, org } = application;
        check_application(&directory, &bundle, position, &org)?;

        app.out.read_out(&render::reply(&described));
        app.out.read_out("Each key signs that this organisation belongs in the network, as it stands there.");
        if org.lost_key {
            app.out.read_out(
                "It says that the OLD ROOT KEY IS LOST: sign only after you called people you know there yourself, at a number \
                 you had before. Everybody is told, and for three days whoever has the old key can object.",
            );
        }
        let question = "Compare the fingerprint with the organisation by telephone before you sign.";
        secrets::confirm(question, "sign", self.yes, app.global.no_input)?;
        let coordinators = Coordinators::of(&directory)?;
        let signers = coordinators.sign(&mut bundle.records[position], media::ORG, &self.keys, false)?;
        let signed = coordinators.signed(&bundle.records[position], media::ORG)?;
        let complete = match directory.check(&bundle.records[position], SystemClock.now()) {
            Ok(_) => true,
            Err(RecordFault::Threshold) => false,
            Err(fault) => return Err(does_not_hold(&self.application, fault)),
        };
        files::write_new(&self.out, &bundle.encode_to_vec())?;
        app.out.reply(&json!({
            "schema": "ch.accreditation/1", "network": directory.policy().label, "org": hex(&org.org_id),
            "label": org.label, "country": org.country, "roles": org.roles, "competences": org.competences,
            "membership": described["membership"], "fingerprint": records::fingerprint(&org.org_root_pk), "until": show_time(org.valid_until),
            "signers": signers, "signatures": signed, "needed": directory.policy().k_accredit,
            "complete": complete, "file": self.out.display().to_string(),
        }))?;
        Ok(Exit::Done)
    }
}

/// Whether the application is one a directory would take once enough coordinators have signed.
fn check_application(
    directory: &Directory,
    bundle: &RecordBundle,
    position: usize,
    org: &OrgRecord,
) -> Result<(), Trouble> {
    let record = &bundle.records[position];
    match directory.check(record, SystemClock.now()) {
        Ok(_) | Err(RecordFault::Threshold) => {}
        Err(fault) => return Err(does_not_hold(Path::new("The application"), fault)),
    }
    let root = VerifyKey::admit(&org.org_root_pk).map_err(|_| no_record())?;
    for cert in bundle.records.iter().filter(|r| r.payload_type == media::NODECERT) {
        let own = NodeCert::decode(cert.payload.as_slice()).is_ok_and(|c| c.org_id == org.org_id);
        let vouched = count(media::NODECERT, cert, std::slice::from_ref(&root)).is_ok_and(|found| !found.is_empty());
        if !own || !vouched {
            let text = "The application holds a node that its organisation does not vouch for. Nothing was signed.";
            return Err(Trouble::new(Code::Record, text, "Ask the organisation for a new application"));
        }
    }
    Ok(())
}

/// Why an organisation is ended.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Reason {
    Compromised,
    Closed,
    Suspended,
    Superseded,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::Compromised => "Compromised",
            Self::Closed => "Closed",
            Self::Suspended => "Suspended",
            Self::Superseded => "Superseded",
        }
    }
}

/// Arguments of `directory revoke`.
#[derive(Args)]
pub(crate) struct Revoke {
    /// The network's genesis record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The organisation's id
    #[arg(long, value_name = "HEX", required_unless_present = "add_to")]
    org: Option<String>,
    /// Why
    #[arg(long, value_enum, required_unless_present = "add_to")]
    reason: Option<Reason>,
    /// Sign what another coordinator has begun
    #[arg(long, value_name = "FILE", conflicts_with_all = ["org", "reason"])]
    add_to: Option<PathBuf>,
    /// Newer policies, which say who coordinates now; can be repeated
    #[arg(long = "records", value_name = "FILE")]
    records: Vec<PathBuf>,
    /// A coordinator's key file, or the organisation's own; can be repeated
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Revoke {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let directory = records::known(&self.genesis, &self.records, SystemClock.now())?;
        let mut signed = self.unsigned(&directory)?;
        let revocation = Revocation::decode(signed.payload.as_slice()).map_err(|_| no_record())?;
        if revocation.net != directory.net().as_bytes() {
            return Err(does_not_hold(&self.genesis, RecordFault::OtherNetwork));
        }
        app.out.read_out(&format!(
            "Each key signs that the organisation {} ENDS in the network {}, from {}, reason {}.",
            hex(&revocation.subject),
            directory.policy().label,
            show_time(revocation.effective),
            revocation.reason
        ));
        let question = "Once enough have signed and a node has it, nothing lifts it again.";
        secrets::confirm(question, "revoke", self.yes, app.global.no_input)?;
        let coordinators = Coordinators::of(&directory)?;
        let signers = coordinators.sign(&mut signed, media::REVOCATION, &self.keys, true)?;
        let signatures = coordinators.signed(&signed, media::REVOCATION)?;
        let needed = directory.policy().k_revoke;
        let complete = directory.check(&signed, SystemClock.now()).is_ok();
        let bundle = RecordBundle { records: vec![signed], prekeys: vec![], published: vec![] };
        files::write_new(&self.out, &bundle.encode_to_vec())?;
        app.out.reply(&json!({
            "schema": "ch.revocation/1", "network": directory.policy().label, "org": hex(&revocation.subject),
            "reason": revocation.reason, "effective": show_time(revocation.effective), "signers": signers,
            "signatures": signatures, "needed": needed, "complete": complete, "file": self.out.display().to_string(),
        }))?;
        if signers.iter().any(|s| s["coordinator"] == json!(false)) {
            app.out.say("A key that is no coordinator's counts only if it is the organisation's own root key.");
        }
        Ok(Exit::Done)
    }

    /// The revocation to sign: a new one, or the one begun.
    fn unsigned(&self, directory: &Directory) -> Result<Signed, Trouble> {
        if let Some(begun) = &self.add_to {
            let bundle = records::read(begun)?;
            let found = bundle.records.into_iter().find(|r| r.payload_type == media::REVOCATION);
            return found.ok_or_else(no_record);
        }
        let org = self.org.as_deref().and_then(OrgId::from_hex).ok_or_else(|| {
            let text = "--org is the organisation's id: 32 hex digits.";
            Trouble::new(Code::Arguments, text, "clearhouse directory list")
        })?;
        let reason = self.reason.map_or("", Reason::word);
        let now = SystemClock.now();
        Ok(ceremony::revoke(directory.net(), SubjectKind::Organisation, org.0, reason, now, &[]))
    }
}
