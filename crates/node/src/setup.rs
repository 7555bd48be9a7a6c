//! Making a node: keys, certificate, first descriptor, configuration. Once, into a folder that holds no node yet.
//!
//! The organisation's root key is written beside the application and belongs offline from then on; the node never
//! reads it again. So does the revocation that it signed beforehand, for the day on which the key is out of reach. Nothing
//! here talks to a network.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clearhouse_casework::body::versions;
use clearhouse_casework::office::people::{Invitee, StaffFault};
use clearhouse_casework::office::{Me, Now, Office};
use clearhouse_casework::roles::Role;
use clearhouse_protocol::ceremony::{self, Application, Attested, Membership, NodeKeys, Presence};
use clearhouse_protocol::directory::entry::{Telling, check_name};
use clearhouse_protocol::directory::{Directory, RecordFault};
use clearhouse_protocol::ids::{MailboxId, Net, NodeId, OrgId, hex};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::LABEL_MAX;
use clearhouse_protocol::recovery::RecoverySecret;
use clearhouse_protocol::relay::rented;
use clearhouse_store::DurableStore;
use clearhouse_store::heads::{Heads, HeadsError, HeadsFile};
use clearhouse_store::keyfile::{
    ContentKeys, DeviceSecret, KdfCost, KeyFile, KeyFileError, NewSlot, Opened, ServiceKeys, Verifier,
};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::passphrase::Passphrase;
use clearhouse_store::secret::SecretBytes;
use clearhouse_store::vault::Vault;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::config::{NO_PORT, RELAYS_MAX};
use crate::prekeys::renew_prekeys;

/// Names of what [`init`] writes, below the node's folder.
pub mod files {
    /// The configuration.
    pub const CONFIG: &str = "node.toml";
    /// The key file.
    pub const KEYS: &str = "keys/node.keys";
    /// The machine's secret.
    pub const DEVICE: &str = "keys/device.secret";
    /// What the log signed last.
    pub const HEADS: &str = "keys/log.heads";
    /// The log's tiles and its last checkpoint, for tools.
    pub const LOG: &str = "log";
    /// The store.
    pub const STORE: &str = "store";
    /// What stands in the store from the moment it was made whole.
    pub const STORE_MADE: &str = "store/FORMAT";
    /// The network's genesis policy.
    pub const GENESIS: &str = "genesis.record";
    /// Who this node is.
    pub const IDENTITY: &str = "identity.toml";
    /// What goes to the coordinators.
    pub const APPLICATION: &str = "application.record";
    /// The organisation's root key, to be taken offline.
    pub const ROOT_KEY: &str = "organisation-root.key";
    /// Ends the organisation for good, in anybody's hand; to be given to a coordinator and deleted.
    pub const SELF_REVOCATION: &str = "self-revocation.record";
    /// The sheets of the recovery key, to be printed and deleted.
    pub const SHEETS: [&str; 3] = ["recovery-sheet-1.txt", "recovery-sheet-2.txt", "recovery-sheet-3.txt"];
    /// What stands in a folder that was restored from a backup.
    pub const RESTORED: &str = "keys/restored";
    /// The local socket.
    pub const SOCKET: &str = "control.sock";
}

/// What an operator says when making a node.
pub struct Plan<'a> {
    /// The node's folder.
    pub folder: &'a Path,
    /// The genesis policy.
    pub genesis: &'a wire::Signed,
    /// Its expected network, compared on paper or by voice.
    pub expected: Option<Net>,
    /// The organisation's working name.
    pub label: &'a str,
    /// ISO 3166-1 alpha-2, or XK.
    pub country: &'a str,
    /// Destination, Origin, Coordinator ...
    pub roles: &'a [&'a str],
    /// Shelter, LegalAid, ChildProtection ...
    pub competences: &'a [&'a str],
    /// How it comes in, and what it bound itself to.
    pub membership: &'a Membership,
    /// ISO 639-2.
    pub languages: &'a [String],
    /// Where to listen; `None` for an office that lets nobody in.
    pub listen: Option<SocketAddr>,
    /// `host:port` for others; empty without a port.
    pub endpoint: &'a str,
    /// Nodes that keep mailboxes for this one, at most two; one at least without a port.
    pub relays: &'a [NodeId],
    /// Extra lines for the configuration: how the keys open unattended, and the like.
    pub config_lines: &'a str,
}

/// Why a node was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is one already.
    #[error("{} holds a node already; nothing was changed. Choose another folder", .0.display())]
    Exists(PathBuf),
    /// The genesis does not hold.
    #[error("the genesis file does not hold: {0}. Ask the coordinator for it again and compare its eight words")]
    Genesis(RecordFault),
    /// The working name tells what no directory may say.
    #[error("the name cannot stand in the directory: {0}. Every member reads it; choose another")]
    Name(#[from] Telling),
    /// A text is empty, too long, or not what it must be.
    #[error("`{0}` is not usable: 1 to {LABEL_MAX} plain characters, and a country as two capital letters")]
    Field(&'static str),
    /// The key file.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The file of signed heads.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first account does not fit.
    #[error("{0}")]
    Staff(StaffFault),
    /// The store could not be made.
    #[error("{0}")]
    Store(String),
    /// The generator gave a key that is not sound.
    #[error("key generation failed; nothing was made")]
    Generation,
}

/// A node just made.
pub struct Made {
    /// Its network.
    pub net: Net,
    /// Its organisation.
    pub org: OrgId,
    /// Its node id.
    pub node: NodeId,
    /// The open key file, for a first account.
    pub keys: Opened,
}

/// Makes a node. Of everything it writes only `application.record` leaves the machine.
///
/// # Errors
/// [`SetupError`]. A folder in which it failed half-way holds no configuration and can be given again after emptying.
pub fn init(plan: &Plan<'_>, slots: &[NewSlot<'_>], now: u64, rng: &mut impl CryptoRng) -> Result<Made, SetupError> {
    let directory = Directory::found(plan.genesis, plan.expected).map_err(SetupError::Genesis)?;
    check_plan(plan)?;
    let config = plan.folder.join(files::CONFIG);
    if config.exists() || plan.folder.join(files::KEYS).exists() {
        return Err(SetupError::Exists(plan.folder.to_owned()));
    }
    private_folder(plan.folder)?;
    private_folder(&plan.folder.join("keys"))?;
    let mut id = || {
        let mut bytes = [0u8; 16];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let (net, org) = (directory.net(), OrgId(id()));
    let (node, mailbox) = (NodeId::of(net, org, id()), MailboxId(id()));
    let service = ServiceKeys::generate(rng);
    let sign = SigningKey::from_seed(service.node_seed.expose());
    let public = |seed: &SecretBytes| SigningKey::from_seed(seed.expose()).public();
    let tls = public(&service.tls_seed);
    let node_keys =
        NodeKeys { sign: sign.public(), log: public(&service.log_seed), witness: public(&service.witness_seed) };
    let device = DeviceSecret::create(&plan.folder.join(files::DEVICE), rng)?;
    let secret = RecoverySecret::generate(rng);
    let service = service.with_recovery(secret.key().map_err(|_| SetupError::Generation)?);
    let parts = (service, ContentKeys::generate(rng));
    let mut keys = KeyFile::create(&plan.folder.join(files::KEYS), (net, node), parts, slots, &device, rng)?;
    let prekeys = renew_prekeys(&mut keys, now, rng)?;

    let (root, root_seed) = SigningKey::generate(rng);
    let application = Application {
        org,
        label: plan.label,
        country: plan.country,
        roles: plan.roles,
        competences: plan.competences,
        root_pk: root.public(),
    };
    // Where a keeper is its own entry says; this node does not know it yet.
    let there = |keeper: &NodeId| (rented(net, node, *keeper), *keeper, String::new());
    let here = plan.listen.map(|_| (mailbox, node, plan.endpoint.to_owned()));
    let mailboxes: Vec<_> = here.into_iter().chain(plan.relays.iter().map(there)).collect();
    let presence = Presence {
        node,
        tls_pks: &[tls],
        mailboxes: &mailboxes,
        prekeys: &prekeys,
        languages: plan.languages,
        reads: &readable(),
        attested: &Attested { at: now, ..Attested::default() },
    };
    let bundle = wire::RecordBundle {
        records: vec![
            ceremony::apply(net, &application, plan.membership, now),
            ceremony::certify(net, org, node, &node_keys, &root, now).map_err(|_| SetupError::Generation)?,
            ceremony::describe(net, &presence, &sign, 0, now),
        ],
        prekeys: prekeys.iter().map(|(week, key)| wire::Prekey { week: *week, pk: key.as_bytes().to_vec() }).collect(),
        published: vec![],
    };
    let write = |name: &str, bytes: &[u8]| write_new(&plan.folder.join(name), bytes);
    write(files::GENESIS, &plan.genesis.encode_to_vec())?;
    write(files::APPLICATION, &bundle.encode_to_vec())?;
    write(files::ROOT_KEY, Zeroizing::new(hex(root_seed.as_ref()) + "\n").as_bytes())?;
    let end = ceremony::end_itself(net, org, &root, now);
    let end = wire::RecordBundle { records: vec![end], ..wire::RecordBundle::default() };
    write(files::SELF_REVOCATION, Zeroizing::new(end.encode_to_vec()).as_slice())?;
    for (name, text) in files::SHEETS.iter().zip(sheet_texts(&secret, (net, org, node), rng)?) {
        write(name, text.as_bytes())?;
    }
    write(files::IDENTITY, identity_text(net, org, node, mailbox, &presence).as_bytes())?;
    HeadsFile::create(&plan.folder.join(files::HEADS), (net, node), keys.service(), Heads::default())?;
    // A node that finds no store later knows that it lost one.
    DurableStore::open(&plan.folder.join(files::STORE)).map_err(|e| SetupError::Store(e.to_string()))?;
    // Last: a folder with a configuration is a node.
    write(files::CONFIG, config_text(plan, directory.policy().label.as_str()).as_bytes())?;
    Ok(Made { net, org, node, keys })
}

/// The three sheets of a recovery key as text, in order.
///
/// # Errors
/// [`SetupError::Generation`].
pub fn sheet_texts(
    secret: &RecoverySecret,
    (net, org, node): (Net, OrgId, NodeId),
    rng: &mut impl CryptoRng,
) -> Result<Vec<Zeroizing<String>>, SetupError> {
    let whose = [("Organisation", org.to_string()), ("Node", node.to_string()), ("Network", net.to_string())];
    let sheets = secret.sheets(rng).map_err(|_| SetupError::Generation)?;
    Ok(sheets.iter().map(|sheet| sheet.text(&whose)).collect())
}

/// Creates the first account of a node just made, an administrator's, who invites everybody else. Works on the
/// folder; the node must not run.
///
/// # Errors
/// [`SetupError`]; [`SetupError::Staff`] for a login or name that does not fit.
pub fn first_administrator(
    folder: &Path,
    made: &Made,
    (login, label): (&str, &str),
    (passphrase, cost): (&Passphrase, KdfCost),
    now: u64,
    rng: &mut impl CryptoRng,
) -> Result<(), SetupError> {
    let genesis = fs::read(folder.join(files::GENESIS)).ok().and_then(|b| wire::Signed::decode(b.as_slice()).ok());
    let directory = genesis.and_then(|g| Directory::found(&g, Some(made.net)).ok()).ok_or(SetupError::Generation)?;
    let me = Me {
        net: made.net,
        org: made.org,
        node: made.node,
        mailboxes: vec![],
        generation: 1,
        zone: clearhouse_casework::deadlines::Zone::utc(),
    };
    let (store, _) = DurableStore::open(&folder.join(files::STORE)).map_err(|e| SetupError::Store(e.to_string()))?;
    let vault = Vault::new(made.keys.service(), made.keys.content()).map_err(|e| SetupError::Store(e.to_string()))?;
    let mut ledger = Ledger::new(store, vault);
    let mut office = Office::new(me, directory);
    let key = SigningKey::from_seed(made.keys.service().node_seed.expose());
    let mut now = Now { time: now, rng, key: &key };
    let invitee = Invitee { login, label, role: Role::Administrator, code_hash: [0; 32] };
    let (invited, person) = office.invite(None, &invitee, &mut now).map_err(SetupError::Staff)?;
    office.take(&invited);
    let verifier = Verifier::make(person, passphrase, cost, now.rng)?.to_bytes();
    let accepted = office.accept_invitation(login, [0; 32], verifier, &mut now).map_err(SetupError::Staff)?.0;
    let rows = [invited.rows, accepted.rows].concat();
    let events = [invited.events, accepted.events].concat();
    ledger.commit(&rows, &events, now.rng).map_err(|e| SetupError::Store(e.to_string()))?;
    Ok(())
}

/// The message types this version reads, each with its highest version.
#[must_use]
pub fn readable() -> Vec<(u32, u32)> {
    let case = [2u32, 3, 4, 6, 9, 10, 16, 17].into_iter().filter_map(|t| Some((t, *versions(t).iter().max()?)));
    use wire::MessageType::{Alarm, Audit, Erased, Proofs, Receipt};
    case.chain([Receipt, Audit, Proofs, Erased, Alarm].map(|kind| (kind as u32, 1))).collect()
}

/// Who a node is, as its folder says.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Network, hex.
    pub net: String,
    /// Organisation, hex.
    pub org: String,
    /// Node, hex.
    pub node: String,
    /// Mailbox, hex.
    pub mailbox: String,
    /// Languages its people read.
    pub languages: Vec<String>,
    /// Time zone of the office, IANA; UTC until set.
    pub zone: String,
}

fn identity_text(net: Net, org: OrgId, node: NodeId, mailbox: MailboxId, p: &Presence<'_>) -> String {
    let languages: Vec<String> = p.languages.iter().map(|l| format!("{l:?}")).collect();
    format!(
        "# Who this node is. Made once; a changed line makes another node of it, and the key file will refuse.\n\
         net = \"{net}\"\norg = \"{org}\"\nnode = \"{node}\"\nmailbox = \"{mailbox}\"\nlanguages = [{}]\nzone = \"UTC\"\n",
        languages.join(", ")
    )
}

fn config_text(plan: &Plan<'_>, network: &str) -> String {
    format!(
        "# Every key is explained in deploy/samples/node.toml.\nnetwork = {network:?}\ndata = \".\"\n\
         key_file = \"{}\"\ndevice_secret = \"{}\"\nlisten = \"{}\"\n{}{}control_socket = \"{}\"\n{}",
        files::KEYS,
        files::DEVICE,
        plan.listen.map_or_else(|| NO_PORT.to_owned(), |listen| listen.to_string()),
        plan.listen.map_or_else(String::new, |_| format!("endpoint = {:?}\n", plan.endpoint)),
        relays_line(plan.relays),
        files::SOCKET,
        plan.config_lines
    )
}

fn relays_line(relays: &[NodeId]) -> String {
    let ids: Vec<String> = relays.iter().map(|relay| format!("\"{relay}\"")).collect();
    if ids.is_empty() { String::new() } else { format!("relays = [{}]\n", ids.join(", ")) }
}

fn check_plan(plan: &Plan<'_>) -> Result<(), SetupError> {
    let plain = |t: &str| !t.is_empty() && t.chars().count() <= LABEL_MAX && !t.chars().any(char::is_control);
    check_name(plan.label)?;
    if plan.country.len() != 2 || !plan.country.bytes().all(|c| c.is_ascii_uppercase()) {
        return Err(SetupError::Field("country"));
    }
    if plan.listen.is_some() != plain(plan.endpoint) {
        return Err(SetupError::Field("endpoint"));
    }
    if plan.relays.len() > RELAYS_MAX || (plan.listen.is_none() && plan.relays.is_empty()) {
        return Err(SetupError::Field("relay"));
    }
    if plan.roles.is_empty() || plan.languages.is_empty() {
        return Err(SetupError::Field("role or language"));
    }
    Ok(())
}

fn private_folder(path: &Path) -> Result<(), SetupError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| SetupError::File { path: path.to_owned(), source })
}

/// Writes a file that must not exist, mode 0600, synced.
///
/// # Errors
/// [`SetupError::File`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), SetupError> {
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| SetupError::File { path: path.to_owned(), source })
}
