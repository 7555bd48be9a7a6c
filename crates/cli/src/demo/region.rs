//! The demo's region: a training network founded by three coordinators of three countries, and three real nodes of
//! it as processes of this very program, on loopback, in one private folder that is gone afterwards. Others may apply.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Chance, chance};
use clearhouse_node::control::{ControlFailure, ControlRequest, SessionToken, call_control};
use clearhouse_node::setup::{self, Made, Plan, files};
use clearhouse_protocol::ceremony::{self, Founder, Membership, Thresholds};
use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_store::keyfile::{DeviceSecret, KdfCost, KeyFile, NewSlot, Opens};
use clearhouse_store::passphrase::{Credential, Passphrase};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Failure, fresh_folder, interrupt};
use crate::free_port;

/// How long a node may take to answer.
const START_MAX: Duration = Duration::from_secs(20);
/// Between two looks at whether it answers.
const LOOK_EVERY: Duration = Duration::from_millis(15);
/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(30);

/// One organisation of the demo.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) made: Made,
    program: PathBuf,
    process: Option<Child>,
    /// Session of the person who acts there.
    pub(crate) session: Option<SessionToken>,
}

/// Three members and their coordinators' keys.
pub(crate) struct Region {
    pub(crate) folder: PathBuf,
    pub(crate) net: Net,
    pub(crate) destination: Member,
    pub(crate) origin: Member,
    pub(crate) coordinator: Member,
    pub(crate) records: wire::RecordBundle,
    /// The three coordinators' accreditation keys.
    pub(crate) coordinators: Vec<SigningKey>,
    keep: bool,
}

/// Who an organisation of the demo is.
pub(crate) struct Role {
    /// Its folder.
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) country: &'static str,
    pub(crate) roles: &'static [&'static str],
    pub(crate) competences: &'static [&'static str],
    pub(crate) language: &'static str,
    /// The node that keeps its mailbox, when it lets nobody in.
    pub(crate) keeper: Option<NodeId>,
}

const ROLES: [Role; 3] = [
    Role {
        key: "destination",
        name: "Porto Sicuro",
        country: "IT",
        roles: &["Destination"],
        competences: &["Shelter", "LegalAid"],
        language: "ita",
        keeper: None,
    },
    Role {
        key: "origin",
        name: "Casa Nova",
        country: "MD",
        roles: &["Origin"],
        competences: &["Shelter", "ChildProtection"],
        language: "ron",
        keeper: None,
    },
    Role {
        key: "coordinator",
        name: "Regional coordinator",
        country: "RO",
        roles: &["Coordinator"],
        competences: &[],
        language: "ron",
        keeper: None,
    },
];

impl Region {
    /// Founds the network and makes the three nodes. Nothing runs yet.
    pub(crate) fn found(keep: bool, now: u64) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|e| Failure::new("CH-E0203", format!("This program does not find itself: {e}.")))?;
        let region = Self::found_with(&program, "keep_content_open = true\nlog_level = \"debug\"\n", keep, now)?;
        // The coordinator keeps mailboxes for others.
        region.coordinator.configure("relay = true")?;
        Ok(region)
    }

    /// [`Region::found`] with another program to run as nodes, and other lines for their configuration.
    pub(crate) fn found_with(program: &Path, config: &str, keep: bool, now: u64) -> Result<Self, Failure> {
        Self::found_as("clearhouse-demo", &std::env::temp_dir(), program, config, keep, now)
    }

    /// [`Region::found_with`] in a folder of the caller's own, whose path leaves room for those of sockets.
    pub(crate) fn found_in(parent: &Path, program: &Path, config: &str, keep: bool, now: u64) -> Result<Self, Failure> {
        Self::found_as("demo", parent, program, config, keep, now)
    }

    fn found_as(
        name: &str,
        parent: &Path,
        program: &Path,
        config: &str,
        keep: bool,
        now: u64,
    ) -> Result<Self, Failure> {
        let folder = fresh_folder::make(parent, name)
            .map_err(|e| Failure::new("CH-E0201", format!("A folder cannot be made in {}: {e}.", parent.display())))?;
        let guard = Sweep { folder: folder.clone(), armed: true };
        let mut rng = chance();
        let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate(&mut rng).0).collect();
        let founders: Vec<Founder<'_>> = keys
            .iter()
            .zip(["RO", "IT", "MD"])
            .zip(1u8..)
            .map(|((key, country), n)| Founder { id: [n; 16], country, key, node: NodeId([0; 16]) })
            .collect();
        let k = Thresholds { accredit: 3, revoke: 2, root: 3, f: 0 };
        let (genesis, net) =
            ceremony::genesis(wire::NetworkKind::Training, "clearhouse demo (training)", &founders, k, now);
        let mut records = wire::RecordBundle::default();
        let mut members = Vec::new();
        for role in &ROLES {
            let (member, mut bundle) = make(&folder, role, (program, config), &genesis, net, now, &mut rng)?;
            sign_first(&mut bundle, &keys);
            records.records.append(&mut bundle.records);
            records.prekeys.append(&mut bundle.prekeys);
            members.push(member);
        }
        let mut members = members.into_iter();
        let mut next = || members.next().ok_or_else(|| Failure::bug("three members"));
        let (destination, origin, coordinator) = (next()?, next()?, next()?);
        guard.disarm();
        Ok(Self { folder, net, destination, origin, coordinator, records, coordinators: keys, keep })
    }

    /// A further member, accredited by the same coordinators, with its records. Nothing runs yet, nobody knows of it, and
    /// whoever asked for it ends it.
    #[allow(dead_code, reason = "tests need more than three")]
    pub(crate) fn join(
        &self,
        names: (&'static str, &'static str),
        config: &str,
        now: u64,
    ) -> Result<(Member, wire::RecordBundle), Failure> {
        self.join_as(names, &["Origin"], config, now)
    }

    /// [`Region::join`] of one with other roles.
    #[allow(dead_code, reason = "tests need more than three")]
    pub(crate) fn join_as(
        &self,
        (key, name): (&'static str, &'static str),
        roles: &'static [&'static str],
        config: &str,
        now: u64,
    ) -> Result<(Member, wire::RecordBundle), Failure> {
        let role = Role { key, name, country: "AL", roles, competences: &["Shelter"], language: "sqi", keeper: None };
        let (member, mut bundle) = self.apply(&role, config, now)?;
        sign_first(&mut bundle, &self.coordinators);
        Ok((member, bundle))
    }

    /// A further node with its application, which nobody has signed. Nothing runs yet.
    pub(crate) fn apply(&self, role: &Role, config: &str, now: u64) -> Result<(Member, wire::RecordBundle), Failure> {
        let program = self.coordinator.program.clone();
        make(&self.folder, role, (&program, config), &self.genesis()?, self.net, now, &mut chance())
    }

    /// The first policy of the network.
    pub(crate) fn genesis(&self) -> Result<wire::Signed, Failure> {
        let genesis = std::fs::read(self.coordinator.folder.join(files::GENESIS)).unwrap_or_default();
        wire::Signed::decode(genesis.as_slice()).map_err(|_| Failure::bug("a genesis"))
    }

    /// All three, in order.
    pub(crate) fn members(&mut self) -> [&mut Member; 3] {
        [&mut self.destination, &mut self.origin, &mut self.coordinator]
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        for member in self.members() {
            member.kill();
        }
        if !self.keep {
            sweep(&self.folder);
        }
    }
}

/// Coordinators sign an application, the first record of its bundle.
pub(crate) fn sign_first(bundle: &mut wire::RecordBundle, keys: &[SigningKey]) {
    if let Some(application) = bundle.records.first_mut() {
        keys.iter().for_each(|key| clearhouse_protocol::signed::add_signature(application, key));
    }
}

struct Sweep {
    folder: PathBuf,
    armed: bool,
}

impl Sweep {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        if self.armed {
            sweep(&self.folder);
        }
    }
}

/// Destroys the keys first: what stays on the disk after that opens for nobody.
fn sweep(folder: &Path) {
    for member in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let _ = KeyFile::destroy(&member.join(files::KEYS));
        let _ = DeviceSecret::destroy(&member.join(files::DEVICE));
        let _ = std::fs::remove_file(member.join("credential"));
    }
    let _ = std::fs::remove_dir_all(folder);
}

fn make(
    region: &Path,
    role: &Role,
    (program, config): (&Path, &str),
    genesis: &wire::Signed,
    net: Net,
    now: u64,
    rng: &mut Chance,
) -> Result<(Member, wire::RecordBundle), Failure> {
    let folder = region.join(role.key);
    let failed = |e: &dyn std::fmt::Display| Failure::new("CH-E0202", format!("{} could not be made: {e}.", role.name));
    std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|e| failed(&e))?;
    let credential = Credential::create(&folder.join("credential"), rng).map_err(|e| failed(&e))?;
    let port = if role.keeper.is_some() { None } else { Some(free_port::on_loopback().map_err(|e| failed(&e))?) };
    let plan = Plan {
        folder: &folder,
        genesis,
        expected: Some(net),
        label: role.name,
        country: role.country,
        roles: role.roles,
        competences: role.competences,
        membership: &Membership::default(),
        languages: &[role.language.to_owned()],
        listen: port,
        endpoint: &port.map_or_else(String::new, |port| port.to_string()),
        relays: role.keeper.as_slice(),
        config_lines: &format!("credential_file = \"credential\"\n{config}"),
    };
    let slots = [NewSlot::Credential { secret: &credential, opens: Opens::Both }];
    let made = setup::init(&plan, &slots, now, rng).map_err(|e| failed(&e))?;
    let passphrase = Passphrase::new(demo_passphrase("admin")).map_err(|e| failed(&e))?;
    setup::first_administrator(&folder, &made, ("admin", "Office A."), (&passphrase, KdfCost::FLOOR), now, rng)
        .map_err(|e| failed(&e))?;
    let application = std::fs::read(folder.join(files::APPLICATION)).map_err(|e| failed(&e))?;
    let bundle = wire::RecordBundle::decode(application.as_slice()).map_err(|e| failed(&e))?;
    let program = program.to_owned();
    Ok((Member { name: role.name, folder, made, program, process: None, session: None }, bundle))
}

/// What a person of the demo types. Real offices choose their own.
pub(crate) fn demo_passphrase(login: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("demo pass phrase of {login}"))
}

impl Member {
    /// Adds a line to the configuration, for the next start.
    pub(crate) fn configure(&self, line: &str) -> Result<(), Failure> {
        let file = std::fs::OpenOptions::new().append(true).open(self.folder.join(files::CONFIG));
        let added = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()));
        added.map_err(|e| Failure::new("CH-E0202", format!("{} could not be made: {e}.", self.name)))
    }

    /// Starts the node as a process of its own and waits until it answers.
    pub(crate) async fn start(&mut self) -> Result<Duration, Failure> {
        let began = Instant::now();
        let failed = |e: &dyn std::fmt::Display| Failure::new("CH-E0203", format!("{} did not start: {e}.", self.name));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("serve.log"))
            .map_err(|e| failed(&e))?;
        let again = log.try_clone().map_err(|e| failed(&e))?;
        let child = Command::new(&self.program)
            .args(["serve", "--node"])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn()
            .map_err(|e| failed(&e))?;
        interrupt::started(child.id());
        self.process = Some(child);
        while began.elapsed() < START_MAX {
            if self.try_ask(None, Call::Status).await.is_ok() {
                return Ok(began.elapsed());
            }
            if let Some(child) = &mut self.process
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(failed(&format!("it ended at once ({status}); see serve.log with --keep")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(failed(&"it does not answer"))
    }

    /// The process id, while it runs.
    #[allow(dead_code, reason = "tests look at the process itself")]
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The exit code of a process that ended by itself; -1 when a signal ended it.
    #[allow(dead_code, reason = "tests look at the process itself")]
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.process.as_mut().and_then(|child| child.try_wait().ok()?)?;
        Some(status.code().unwrap_or(-1))
    }

    /// Ends the process the hard way, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
            interrupt::over(child.id());
        }
    }

    /// Asks the node as the person signed in there.
    pub(crate) async fn ask(&self, call: Call) -> Result<Value, ControlFailure> {
        self.try_ask(self.session.clone(), call).await
    }

    async fn try_ask(&self, session: Option<SessionToken>, call: Call) -> Result<Value, ControlFailure> {
        let local = |text: String| ControlFailure { code: "CH-P0102".to_owned(), text };
        let call = serde_json::to_value(call).map_err(|e| local(e.to_string()))?;
        let request = ControlRequest { id: 1, session, call };
        let reply = call_control(&self.folder.join(files::SOCKET), &request, CALL_MAX).await;
        reply.map_err(|e| local(e.to_string()))?.result
    }

    /// Has the administrator, who is signed in, invite a person; from then on that person acts here.
    pub(crate) async fn employ(&mut self, login: &str, label: &str, role: &str) -> Result<(), ControlFailure> {
        let phrase = |login: &str| demo_passphrase(login).as_str().to_owned();
        let invite = Call::UserInvite { login: login.to_owned(), label: label.to_owned(), role: role.to_owned() };
        let invitation = self.ask(invite).await?;
        let code = invitation["code"].as_str().unwrap_or_default().to_owned();
        self.try_ask(None, Call::UserAccept { login: login.to_owned(), code, passphrase: phrase(login) }).await?;
        self.sign_in(login).await
    }

    /// Signs somebody in who has an account here; from then on that person acts.
    pub(crate) async fn sign_in(&mut self, login: &str) -> Result<(), ControlFailure> {
        let passphrase = demo_passphrase(login).as_str().to_owned();
        self.session = token(&self.try_ask(None, Call::SignIn { login: login.to_owned(), passphrase }).await?);
        Ok(())
    }

    /// Signs the administrator in and takes records.
    pub(crate) async fn learn(&mut self, records: &wire::RecordBundle) -> Result<u64, ControlFailure> {
        if self.session.is_none() {
            let passphrase = demo_passphrase("admin").as_str().to_owned();
            self.session = token(&self.try_ask(None, Call::SignIn { login: "admin".to_owned(), passphrase }).await?);
        }
        Ok(self.import(records).await?["new"].as_u64().unwrap_or(0))
    }

    /// Takes records as the person signed in there; the whole answer.
    pub(crate) async fn import(&self, records: &wire::RecordBundle) -> Result<Value, ControlFailure> {
        use base64::Engine as _;
        let bundle = base64::engine::general_purpose::STANDARD.encode(records.encode_to_vec());
        self.ask(Call::DirectoryImport { bundle }).await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

fn token(reply: &Value) -> Option<SessionToken> {
    reply["token"].as_str().map(|t| SessionToken::new(t.to_owned()))
}
