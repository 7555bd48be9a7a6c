//! The next policy of a network, over days and with files: one coordinator proposes it, each signs it after reading what
//! it changes, and whoever holds it complete has it imported.
//!
//! Says every change in plain words before a signature is made. Refuses to sign a proposal that no node would take, and
//! one that changes what this version cannot put into words.

use std::path::{Path, PathBuf};

use clap::Args;
use clearhouse_casework::forms::show_time;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::ceremony::{name_log, next_policy};
use clearhouse_protocol::directory::{Directory, RecordFault};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::log::note::NoteKey;
use clearhouse_protocol::words::words;
use clearhouse_wire::v1::{CorridorRule, MessageType, NodeCert, RecordBundle, RootPolicy, Signed};
use prost::Message as _;
use serde::Deserialize;
use serde_json::json;

use super::ceremony::{Coordinators, does_not_hold, no_record};
use super::records;
use crate::cli::App;
use crate::trouble::{Code, Exit, Trouble};
use crate::{files, secrets};

/// Arguments of `directory propose`.
#[derive(Args)]
pub(crate) struct Propose {
    /// The network's genesis record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A file with every policy since, when there are some
    #[arg(long, value_name = "FILE")]
    policies: Option<PathBuf>,
    /// Let a coordinator keep a directory log: its number and its organisation's records; can be repeated
    #[arg(long = "log", value_name = "N=FILE", value_parser = numbered, required_unless_present_any = ["corridors", "cover"])]
    logs: Vec<(usize, PathBuf)>,
    /// Whether receipts leave at the log's ticks alone, so that nobody sees on the line when somebody read
    #[arg(long, value_enum, value_name = "YES|NO")]
    cover: Option<super::YesNo>,
    /// A form of corridor rules, which take the place of all before
    #[arg(long, value_name = "FILE")]
    corridors: Option<PathBuf>,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `directory sign`.
#[derive(Args)]
pub(crate) struct Sign {
    /// The proposal, or what another coordinator signed
    proposal: PathBuf,
    /// The network's genesis record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A coordinator's key file; can be repeated
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn numbered(text: &str) -> Result<(usize, PathBuf), String> {
    let wrong = || "wants a coordinator's number and a file, such as 1=casa-nova.record".to_owned();
    let (number, file) = text.split_once('=').ok_or_else(wrong)?;
    Ok((number.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?, PathBuf::from(file)))
}

impl Propose {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let mut directory = records::found(&self.genesis, None)?;
        let mut bundle = match &self.policies {
            Some(path) => policies(path)?,
            None => RecordBundle::default(),
        };
        walk(&mut directory, &bundle)?;
        let net = directory.net();
        let rules = self.corridors.as_deref().map(corridors).transpose()?;
        let mut fault = None;
        let next = next_policy(directory.newest_policy(), SystemClock.now(), |policy| {
            if let Some(rules) = rules {
                policy.corridor_rules = rules;
            }
            policy.cover = self.cover.map_or(policy.cover, |said| said == super::YesNo::Yes);
            for (number, file) in &self.logs {
                let named = node_in(file).and_then(|(org, node, keys)| {
                    let coordinator = policy.coordinators.get_mut(number - 1).ok_or_else(|| no_such(*number))?;
                    name_log(coordinator, net, (org, node), &keys.0, &keys.1).map_err(|_| no_record())
                });
                if let Err(trouble) = named {
                    fault = fault.take().or(Some(trouble));
                }
            }
        });
        if let Some(trouble) = fault {
            return Err(trouble);
        }
        bundle.records.push(next.ok_or_else(no_record)?);
        self::write(app, &directory, &bundle, &self.out, &[])
    }
}

impl Sign {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let mut directory = records::found(&self.genesis, None)?;
        let mut bundle = policies(&self.proposal)?;
        let mut proposal = bundle.records.pop().ok_or_else(no_record)?;
        walk(&mut directory, &bundle)?;
        // Before a key is touched: a proposal that does not follow is signed by nobody.
        check(&directory, &proposal).map_err(|fault| does_not_hold(&self.proposal, fault))?;
        let next = RootPolicy::decode(proposal.payload.as_slice()).map_err(|_| no_record())?;
        let changes = changes(directory.policy(), &next)?;
        let (label, version) = (&next.label, next.version);
        app.out.read_out(&format!("Each key signs policy {version} of the network {label}. It changes:"));
        changes.iter().for_each(|change| app.out.read_out(&format!("  {change}")));
        app.out.read_out(&format!("Its words: {}", words(&proposal.payload)));
        let question = "Compare the words with the other coordinators before you sign.";
        secrets::confirm(question, "sign", self.yes, app.global.no_input)?;
        let coordinators = Coordinators::of(&directory)?;
        let signers = coordinators.sign(&mut proposal, media::ROOT, &self.keys, false)?;
        bundle.records.push(proposal);
        self::write(app, &directory, &bundle, &self.out, &signers)
    }
}

/// Whether the directory would take it, signatures apart; `true` when it has all it needs.
fn check(directory: &Directory, proposal: &Signed) -> Result<bool, RecordFault> {
    match directory.check(proposal, SystemClock.now()) {
        Ok(_) => Ok(true),
        Err(RecordFault::Threshold) => Ok(false),
        Err(fault) => Err(fault),
    }
}

fn write(
    app: &App,
    directory: &Directory,
    bundle: &RecordBundle,
    out: &Path,
    signers: &[serde_json::Value],
) -> Result<Exit, Trouble> {
    let proposal = bundle.records.last().ok_or_else(no_record)?;
    let complete = check(directory, proposal).map_err(|fault| does_not_hold(Path::new("The proposal"), fault))?;
    let next = RootPolicy::decode(proposal.payload.as_slice()).map_err(|_| no_record())?;
    let changes = changes(directory.policy(), &next)?;
    let signed = Coordinators::of(directory)?.signed(proposal, media::ROOT)?;
    files::write_new(out, &bundle.encode_to_vec())?;
    app.out.reply(&json!({
        "schema": "ch.policy/1", "network": next.label, "version": next.version, "until": show_time(next.not_after),
        "changes": changes, "words": words(&proposal.payload), "signers": signers, "signatures": signed,
        "needed": next.k_root, "complete": complete, "file": out.display().to_string(),
    }))?;
    Ok(Exit::Done)
}

/// What the next policy changes, in words.
pub(super) fn changes(before: &RootPolicy, next: &RootPolicy) -> Result<Vec<String>, Trouble> {
    let mut words = Vec::new();
    let mut rest = next.clone();
    rest.version = before.version;
    rest.prev_hash.clone_from(&before.prev_hash);
    (rest.not_before, rest.not_after) = (before.not_before, before.not_after);
    for (n, (was, is)) in before.coordinators.iter().zip(&mut rest.coordinators).enumerate() {
        if was.log_vkey != is.log_vkey || was.witness_vkey != is.witness_vkey || was.node_id != is.node_id {
            let key = NoteKey::parse(&is.log_vkey).map(|key| words_of(&key)).unwrap_or_default();
            words.push(if is.log_vkey.is_empty() {
                format!("coordinator {} of {} keeps no directory log any more", n + 1, is.country)
            } else {
                format!("coordinator {} of {} keeps a directory log, key {key}", n + 1, is.country)
            });
            is.clone_from(was);
        }
    }
    if rest.cover != before.cover {
        words.push(match rest.cover {
            true => format!("receipts leave only at the log's tick, every {} s", rest.log_tick_secs),
            false => "receipts leave at once".to_owned(),
        });
        rest.cover = before.cover;
    }
    if rest.corridor_rules != before.corridor_rules {
        words.extend(rest.corridor_rules.iter().map(rule_in_words));
        let gone = before.corridor_rules.iter().filter(|was| !rest.corridor_rules.iter().any(|is| is.name == was.name));
        words.extend(gone.map(|was| format!("the rule `{}` ends", was.name)));
        rest.corridor_rules.clone_from(&before.corridor_rules);
    }
    if rest != *before {
        let text = "The proposal changes something this program cannot put into words. Nothing was signed.";
        return Err(Trouble::new(Code::Record, text, "Use the version of the program that made the proposal"));
    }
    Ok(words)
}

fn rule_in_words(rule: &CorridorRule) -> String {
    let kind = |number: &u32| {
        let kind = i32::try_from(*number).ok().and_then(|number| MessageType::try_from(number).ok());
        kind.map_or_else(|| number.to_string(), |kind| kind.as_str_name().to_ascii_lowercase())
    };
    let some = |all: &[String], everybody: &str| if all.is_empty() { everybody.to_owned() } else { all.join(" or ") };
    let under = match rule.agreement.as_str() {
        "" => String::new(),
        name => format!(", where both have the agreement `{name}` and it has not ended"),
    };
    let until = if rule.valid_until == 0 { String::new() } else { format!(", until {}", show_time(rule.valid_until)) };
    format!(
        "the rule `{}`: {} may go from {} in {} to {} in {}{under}{until}",
        rule.name,
        rule.msg_types.iter().map(kind).collect::<Vec<_>>().join(", "),
        some(&rule.from_roles, "anybody"),
        some(&rule.from_countries, "any country"),
        some(&rule.to_roles, "anybody"),
        some(&rule.to_countries, "any country"),
    )
}

/// A form of rules: `[[rule]]` tables with `name`, `kinds` as `--json` spells them, and whom each lets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesForm {
    rule: Vec<RuleForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    name: String,
    kinds: Vec<String>,
    #[serde(default)]
    from_roles: Vec<String>,
    #[serde(default)]
    to_roles: Vec<String>,
    #[serde(default)]
    from_countries: Vec<String>,
    #[serde(default)]
    to_countries: Vec<String>,
    /// Both sides' records must list it, not ended.
    #[serde(default)]
    agreement: String,
    /// Days from now; with the policy when left out.
    valid_days: Option<u64>,
}

fn corridors(path: &Path) -> Result<Vec<CorridorRule>, Trouble> {
    let unreadable = |why: &str| {
        let text = format!("{} is not a form of corridor rules: {why}.", path.display());
        Trouble::new(Code::Arguments, text, "clearhouse directory propose --help")
    };
    let bytes = files::read(path, records::FILE_MAX, Code::Arguments)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable("it is not text"))?;
    let form: RulesForm = toml::from_str(text).map_err(|error| unreadable(error.message()))?;
    let kind = |name: &String| {
        let kind = MessageType::from_str_name(&name.to_ascii_uppercase());
        let number = kind.and_then(|kind| u32::try_from(i32::from(kind)).ok());
        number.ok_or_else(|| unreadable(&format!("`{name}` is no kind of message")))
    };
    let rule = |form: RuleForm| {
        Ok(CorridorRule {
            msg_types: form.kinds.iter().map(kind).collect::<Result<_, Trouble>>()?,
            valid_until: form.valid_days.map_or(0, |days| SystemClock.now() + days.saturating_mul(DAY)),
            name: form.name,
            from_roles: form.from_roles,
            to_roles: form.to_roles,
            from_countries: form.from_countries,
            to_countries: form.to_countries,
            agreement: form.agreement,
        })
    };
    form.rule.into_iter().map(rule).collect()
}

fn words_of(key: &NoteKey) -> String {
    words(&key.public())
}

/// The policies in a file, in order, and nothing else.
fn policies(path: &Path) -> Result<RecordBundle, Trouble> {
    let mut bundle = records::read(path)?;
    bundle.records.retain(|record| record.payload_type == media::ROOT);
    Ok(RecordBundle { records: bundle.records, ..RecordBundle::default() })
}

fn walk(directory: &mut Directory, bundle: &RecordBundle) -> Result<(), Trouble> {
    for policy in &bundle.records {
        match directory.check(policy, SystemClock.now()) {
            Ok(checked) => checked.into_iter().for_each(|checked| directory.insert(checked)),
            Err(fault) => return Err(does_not_hold(Path::new("A policy before it"), fault)),
        }
    }
    Ok(())
}

/// A node and the public keys of its log and of its cosignatures.
type Named = (OrgId, NodeId, ([u8; 32], [u8; 32]));

/// The node in a file of an organisation's records.
fn node_in(path: &Path) -> Result<Named, Trouble> {
    let bundle = records::read(path)?;
    let cert = bundle.records.iter().find(|record| record.payload_type == media::NODECERT);
    let named = cert.and_then(|cert| {
        let cert = NodeCert::decode(cert.payload.as_slice()).ok()?;
        let key = |vkey: &str| NoteKey::parse(vkey).ok().map(|key| key.public());
        let keys = (key(&cert.log_vkey)?, key(&cert.witness_vkey)?);
        Some((cert.org_id.as_slice().try_into().ok()?, cert.node_id.as_slice().try_into().ok()?, keys))
    });
    named.ok_or_else(|| {
        let text = format!("{} holds no node with a log.", path.display());
        Trouble::new(Code::Records, text, "clearhouse directory export --out FILE on the coordinator's node")
    })
}

fn no_such(number: usize) -> Trouble {
    let text = format!("The network has no coordinator number {number}.");
    Trouble::new(Code::Arguments, text, "clearhouse directory propose --help")
}
