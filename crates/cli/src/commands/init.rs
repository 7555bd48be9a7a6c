//! `init`: makes a node, once. Keys, certificate, first account and configuration, and the application that goes to
//! the coordinators.
//!
//! Refuses a folder that holds a node. A node is made under another name and moved into place when it is whole, so a
//! run that was stopped leaves nothing that looks like one and can be repeated.

mod membership;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clearhouse_casework::htcds::codes::{is_country, is_language};
use clearhouse_casework::roles::is_label;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::config::{Config, NO_PORT, RELAYS_MAX};
use clearhouse_node::setup::{self, Made, Plan, files as names};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::entry::{check_name, is_code};
use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_store::keyfile::{KdfCost, NewSlot, Opens};
use clearhouse_store::passphrase::{Credential, Passphrase};
use clearhouse_wire::v1::NetworkKind;
use serde_json::json;

use super::directory::records;
use crate::cli::App;
use crate::files::{self, NewFolder};
use crate::secrets;
use crate::sessions::Login;
use crate::trouble::{Code, Exit, Trouble};

/// Make a node
///
/// Makes keys, certificate and configuration in a new folder, and an application
/// for the coordinators. Cases open with the pass phrase; a credential file lets
/// the node start by itself.
#[derive(Args)]
#[command(
    override_usage = "\
clearhouse init [OPTIONS] --genesis <FILE> --name <NAME>
           --country <CC> --role <ROLE> --language <LLL>
           --listen <ADDR:PORT> --endpoint <HOST:PORT> <DIR>",
    after_help = "\
Examples:
  clearhouse init /var/lib/clearhouse --genesis genesis.record \\
      --name 'Casa Nova' --country MD --role Origin --competence Shelter \\
      --language ron --listen 0.0.0.0:7443 --endpoint node.example.org:7443 \\
      --area MD-CU --standards Region2026 --standards-signed 2026-11-02 \\
      --agreement south-2026=2027-06-30 \\
      --sponsor 0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e \\
      --sponsor 1e2d3c4b5a69788796a5b4c3d2e1f001 \\
      --admin root --admin-name 'Vera S.'
  clearhouse init /var/lib/clearhouse --genesis genesis.record \\
      --name 'Casa Nova' --country MD --role Origin --language ron \\
      --listen none --relay 7d0c4e5f60718293a4b5c6d7e8f90112 \\
      --admin root --admin-name 'Vera S.'"
)]
pub(crate) struct Init {
    /// The folder to make
    dir: PathBuf,
    /// The network's genesis record, from a coordinator
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The network's id, as compared on paper or by voice
    #[arg(long, value_name = "HEX")]
    network: Option<String>,
    /// The organisation's working name; a pseudonym where a shelter needs one, never an address
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The organisation's country, two letters
    #[arg(long, value_name = "CC")]
    country: String,
    /// What it does in a return: Destination, Origin ...; can be repeated
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<String>,
    /// What it can offer: Shelter, LegalAid, ChildProtection ...; can be repeated
    #[arg(long = "competence", value_name = "WORD")]
    competences: Vec<String>,
    #[command(flatten)]
    membership: membership::Membership,
    /// A language its people read, three letters; can be repeated
    #[arg(long = "language", value_name = "LLL", required = true)]
    languages: Vec<String>,
    /// Where to listen, or none behind a router that lets nobody in
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    listen: Listen,
    /// How others reach it; left out with --listen none
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: Option<String>,
    /// A node that keeps a mailbox for it, by its id; up to two
    #[arg(long = "relay", value_name = "NODE")]
    relays: Vec<String>,
    /// Start by itself with this file of 32 random bytes; made if missing
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Keep cases open as long as the node runs: for a server nobody sits at
    #[arg(long)]
    keep_content_open: bool,
    /// Login of the first administrator
    #[arg(long, value_name = "LOGIN", requires = "admin_name")]
    admin: Option<String>,
    /// Name of the first administrator, such as 'Vera S.'
    #[arg(long, value_name = "NAME", requires = "admin")]
    admin_name: Option<String>,
    /// The administrator's pass phrase, from a file that only you can read
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_passphrase_file: Option<PathBuf>,
}

/// Where a node listens, if it does.
#[derive(Clone, Copy)]
struct Listen(Option<SocketAddr>);

fn listen(text: &str) -> Result<Listen, String> {
    if text == NO_PORT {
        return Ok(Listen(None));
    }
    text.parse().map(|at| Listen(Some(at))).map_err(|_| "not an address with a port, nor none".to_owned())
}

/// The first administrator, checked.
struct Admin {
    login: Login,
    name: String,
    passphrase: Passphrase,
}

impl Init {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        self.check_words()?;
        let relays = self.check_way_in()?;
        let membership = self.membership.read(&self.country, SystemClock.now())?;
        let genesis = records::genesis(&self.genesis)?;
        let expected = self.network.as_deref().map(network_id).transpose()?;
        let directory = Directory::found(&genesis, expected).map_err(setup::SetupError::Genesis)?;
        let training = directory.policy().kind() == NetworkKind::Training;
        if !training {
            self.membership.check_live(&self.roles)?;
        }
        let cost = if training { KdfCost::FLOOR } else { KdfCost::STANDARD };
        let place = self.place()?;

        let passphrase = self.node_passphrase(app)?;
        let admin = self.administrator(app)?;
        app.out.progress("Making keys; this takes a few seconds.");
        let made = place.fill(|folder| {
            let credential = self.credential(folder)?;
            let config_lines = self.config_lines(folder)?;
            let slots = self.slots(passphrase.as_ref(), credential.as_ref(), cost);
            let roles: Vec<&str> = self.roles.iter().map(String::as_str).collect();
            let competences: Vec<&str> = self.competences.iter().map(String::as_str).collect();
            let plan = Plan {
                folder,
                genesis: &genesis,
                expected,
                label: &self.name,
                country: &self.country,
                roles: &roles,
                competences: &competences,
                membership: &membership,
                languages: &self.languages,
                listen: self.listen.0,
                endpoint: self.endpoint.as_deref().unwrap_or_default(),
                relays: &relays,
                config_lines: &config_lines,
            };
            let now = SystemClock.now();
            let made = setup::init(&plan, &slots, now, &mut chance())?;
            if let Some(admin) = &admin {
                first_administrator(folder, &made, admin, cost, now)?;
            }
            // What was made must start: a configuration that does not hold is found now.
            let text = fs::read_to_string(folder.join(names::CONFIG)).map_err(|e| files::cannot("read", folder, &e))?;
            Config::parse(&text, &self.dir.join(names::CONFIG))?;
            Ok(made)
        })?;
        self.tell(app, &made, directory.policy().label.as_str(), training)?;
        Ok(Exit::Done)
    }

    fn place(&self) -> Result<NewFolder, Trouble> {
        if self.dir.join(names::CONFIG).exists() || self.dir.join(names::KEYS).exists() {
            return Err(setup::SetupError::Exists(self.dir.clone()).into());
        }
        NewFolder::choose(&self.dir)
    }

    fn check_words(&self) -> Result<(), Trouble> {
        let wrong = |text: String| Err(Trouble::new(Code::Arguments, text, "clearhouse init --help"));
        if !is_country(&self.country) {
            return wrong("--country is two capital letters (ISO 3166-1), or XK.".into());
        }
        if let Some(bad) = self.languages.iter().find(|l| !is_language(l)) {
            return wrong(format!("--language {bad} is not a language of ISO 639-2, such as ron, srp or eng."));
        }
        if let Some(bad) = self.roles.iter().chain(&self.competences).find(|word| !is_code(word)) {
            return wrong(format!("'{bad}' is not one word such as Origin or LegalAid."));
        }
        if let Err(tells) = check_name(&self.name) {
            return wrong(format!(
                "--name cannot stand in the directory: {tells}. Every member reads it; choose another."
            ));
        }
        if let Some(name) = self.admin_name.as_ref().filter(|name| !is_label(name)) {
            return wrong(format!("--admin-name '{name}' is not one to four words of letters, such as 'Vera S.'."));
        }
        Ok(())
    }

    /// How messages come to it: by its port, or through mailboxes that others keep.
    fn check_way_in(&self) -> Result<Vec<NodeId>, Trouble> {
        let wrong = |text: &str| Err(Trouble::new(Code::Arguments, text, "clearhouse init --help"));
        if self.listen.0.is_some() != self.endpoint.is_some() {
            return wrong(
                "--endpoint says how others reach the node: it goes with a port, and not with --listen none.",
            );
        }
        let relays: Option<Vec<NodeId>> = self.relays.iter().map(|id| NodeId::from_hex(id)).collect();
        let Some(relays) = relays.filter(|relays| relays.len() <= RELAYS_MAX) else {
            return wrong("--relay is a node's id, 32 hex digits, at most two; ask your coordinator for it.");
        };
        if relays.is_empty() && self.listen.0.is_none() {
            return wrong("--listen none needs a --relay: a node that keeps a mailbox for this one.");
        }
        Ok(relays)
    }

    /// The pass phrase that opens cases. Left out only where a credential shall open everything.
    fn node_passphrase(&self, app: &App) -> Result<Option<Passphrase>, Trouble> {
        let file = app.global.passphrase_file.as_deref();
        if file.is_none() && self.credential_file.is_some() && !secrets::may_ask(app.global.no_input) {
            return Ok(None);
        }
        let text = secrets::new_passphrase(file, "--passphrase-file FILE", "the node", app.global.no_input)?;
        Ok(Some(Passphrase::new(text)?))
    }

    fn administrator(&self, app: &App) -> Result<Option<Admin>, Trouble> {
        let (Some(login), Some(name)) = (&self.admin, &self.admin_name) else { return Ok(None) };
        let login = Login::parse(login)?;
        let file = self.admin_passphrase_file.as_deref();
        let option = "--admin-passphrase-file FILE";
        let text = secrets::new_passphrase(file, option, login.as_str(), app.global.no_input)?;
        Ok(Some(Admin { login, name: name.clone(), passphrase: Passphrase::new(text)? }))
    }

    /// Where the credential lies while the node is being made in `folder`.
    fn credential_path(&self, folder: &Path) -> Option<PathBuf> {
        let file = self.credential_file.as_ref()?;
        Some(file.strip_prefix(&self.dir).map_or_else(|_| file.clone(), |inside| folder.join(inside)))
    }

    fn credential(&self, folder: &Path) -> Result<Option<Credential>, Trouble> {
        let Some(path) = self.credential_path(folder) else { return Ok(None) };
        if path.exists() {
            return Ok(Some(Credential::from_file(&path)?));
        }
        if let Some(parent) = path.parent().filter(|p| p.starts_with(folder)) {
            files::private_folder(parent)?;
        }
        Ok(Some(Credential::create(&path, &mut chance())?))
    }

    fn slots<'a>(
        &self,
        passphrase: Option<&'a Passphrase>,
        credential: Option<&'a Credential>,
        cost: KdfCost,
    ) -> Vec<NewSlot<'a>> {
        let mut slots = Vec::new();
        if let Some(secret) = passphrase {
            slots.push(NewSlot::Passphrase { secret, cost, opens: Opens::Both });
        }
        if let Some(secret) = credential {
            // With a pass phrase beside it, the file that lies on the disk starts the node and opens no case.
            let alone = passphrase.is_none() || self.keep_content_open;
            slots.push(NewSlot::Credential { secret, opens: if alone { Opens::Both } else { Opens::Service } });
        }
        slots
    }

    fn config_lines(&self, folder: &Path) -> Result<String, Trouble> {
        let mut lines = String::new();
        if let Some(path) = self.credential_path(folder) {
            let path = match path.strip_prefix(folder) {
                Ok(inside) => inside.to_owned(),
                Err(_) => std::path::absolute(&path).map_err(|e| files::cannot("find", &path, &e))?,
            };
            let text = path.to_str().ok_or_else(|| {
                let text = "The credential file's path is not UTF-8 and cannot stand in the configuration.";
                Trouble::new(Code::Arguments, text, "clearhouse init --help")
            })?;
            lines += &format!("credential_file = {}\n", toml::Value::String(text.to_owned()));
        }
        if self.keep_content_open {
            lines += "keep_content_open = true\n";
        }
        Ok(lines)
    }

    fn tell(&self, app: &App, made: &Made, network: &str, training: bool) -> Result<(), Trouble> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let root_pk = records::application_root_key(&self.dir.join(names::APPLICATION))?;
        app.out.reply(&json!({
            "schema": "ch.init/1", "folder": self.dir.display().to_string(), "network": network,
            "net": made.net.to_string(), "kind": if training { "training" } else { "live" },
            "org": made.org.to_string(), "node": made.node.to_string(),
            "fingerprint": records::fingerprint(&root_pk), "application": file(names::APPLICATION),
            "sheets": names::SHEETS.map(file),
            "root_key": file(names::ROOT_KEY), "self_revocation": file(names::SELF_REVOCATION), "admin": self.admin,
        }))?;
        if !app.out.is_json() {
            let folder = self.dir.display();
            app.out.say(&format!(
                "\nNext:\n  1. Send {application} to your coordinators and read them the fingerprint by phone.\n  \
                 2. Take {root} to a medium that stays offline, and delete it here.\n  \
                 3. Give {end} to a coordinator you trust, in person, and delete it here. Whoever has it can end\n     \
                 this organisation, by `clearhouse directory submit`, for good.\n  \
                 4. Print {sheets} (1, 2 and 3), give each to another person to keep elsewhere, and delete\n     \
                 them here. Two of the three open every backup; without them no backup opens.\n  \
                 5. clearhouse serve --node {folder}\n  \
                 6. Import what the coordinators send back: clearhouse directory import FILE\n  \
                 7. Make a backup on another disk every week: clearhouse backup create FOLDER",
                application = file(names::APPLICATION),
                root = file(names::ROOT_KEY),
                end = file(names::SELF_REVOCATION),
                sheets = file(names::SHEETS[0]),
            ));
        }
        if self.admin.is_none() {
            app.out.say("Nobody can sign in at this node: no --admin was named. Make it anew before it is used.");
        }
        if self.network.is_none() {
            app.out.say("The network's id was not compared: read it to a coordinator before you send anything.");
        }
        Ok(())
    }
}

fn first_administrator(folder: &Path, made: &Made, admin: &Admin, cost: KdfCost, now: u64) -> Result<(), Trouble> {
    let secret = (&admin.passphrase, cost);
    setup::first_administrator(folder, made, (admin.login.as_str(), &admin.name), secret, now, &mut chance())?;
    Ok(())
}

/// The network id a person typed.
pub(crate) fn network_id(text: &str) -> Result<Net, Trouble> {
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    Net::from_hex(&bare)
        .ok_or_else(|| Trouble::new(Code::Arguments, "--network is 64 hex digits.", "clearhouse init --help"))
}
