//! `audit`: the log. Listed and proved through the node; taken away as a folder; checked by anybody, without a node.

mod evidence;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_casework::forms::show_time;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::log::bundle;
use clearhouse_node::log::folder::{self, FolderFault, Known, Whole};
use clearhouse_node::log::vouched::{Sight, Vouched, Witness};
use clearhouse_protocol::log::note::NoteKey;
use clearhouse_protocol::log::policy::Policy;
use serde_json::{Value, json};

use crate::ask::Node;
use crate::cli::App;
use crate::commands::directory::records;
use crate::files::{self, NewFolder};
use crate::log_folder::Pages;
use crate::trouble::{Code, Exit, Trouble, sentence};

/// Bytes of a file given to be checked against.
const FILE_MAX: usize = 64 << 10;

/// See the log, prove an entry, take the log or evidence away, check either
///
/// The log says what was sent, received, opened, answered and left undone, and never about whom.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse audit list
  clearhouse audit export --out casa-nova-log
  clearhouse audit verify casa-nova-log"
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// List entries: the newest, or from a number on
    #[command(after_help = "\
Examples:
  clearhouse audit list
  clearhouse audit list --from 0 --count 50 --json")]
    List {
        /// The first entry, counted from 0
        #[arg(long)]
        from: Option<u64>,
        /// How many, at most 1000
        #[arg(long, default_value_t = 20)]
        count: u64,
    },
    /// Show how far coordinators' nodes have this log, and at a coordinator the logs of the others
    #[command(after_help = "\
Examples:
  clearhouse audit logs
  clearhouse audit logs --json")]
    Logs,
    /// At a coordinator: hold the logs of all nodes against each other and name what is missing
    #[command(after_help = "\
Examples:
  clearhouse audit reconcile
  clearhouse audit reconcile --json")]
    Reconcile,
    /// At a coordinator: who must be phoned now, and who has taken it up
    #[command(after_help = "\
Examples:
  clearhouse audit alarms
  clearhouse audit alarms --take 1204")]
    Alarms {
        /// Take up the alarm of this number, so that others see that somebody does
        #[arg(long)]
        take: Option<u64>,
    },
    /// Write the proof that an entry is in the log (C2SP tlog-proof)
    #[command(after_help = "\
Examples:
  clearhouse audit prove 17 > entry-17.tlog-proof
  clearhouse audit prove 17 --json")]
    Prove {
        /// The entry's number
        entry: u64,
    },
    /// Show one entry: what, when, with whom, and how well it is proved
    #[command(after_help = "\
Examples:
  clearhouse audit show 17
  clearhouse audit show 17 --json")]
    Show {
        /// The entry's number
        entry: u64,
    },
    /// Write chosen entries to a new folder as evidence, with proofs, keys and how to check them
    ///
    /// It holds no content and no name of a person. Whoever has it can check it without a node.
    #[command(after_help = "\
Examples:
  clearhouse audit bundle --out evidence --message 9f86d081884c7d65
  clearhouse audit bundle --out evidence --from 17 --to 40 --as auditor
  clearhouse audit bundle --out evidence --case T-7Q4M-2KXY --as manager")]
    Bundle {
        /// The folder; it must not exist
        #[arg(long)]
        out: PathBuf,
        /// All entries about the messages of this case; for who may see cases and the log
        #[arg(long, conflicts_with_all = ["message", "from", "to"], required_unless_present_any = ["message", "from"])]
        case: Option<String>,
        /// All entries about this message: at least 16 digits of its number
        #[arg(long, conflicts_with_all = ["from", "to"])]
        message: Option<String>,
        /// The first entry
        #[arg(long, requires = "to")]
        from: Option<u64>,
        /// The last entry
        #[arg(long, requires = "from")]
        to: Option<u64>,
    },
    /// Write the log to a new folder that anybody can check
    #[command(after_help = "\
Examples:
  clearhouse audit export --out casa-nova-log
  clearhouse audit export --out /media/usb/casa-nova-log --as auditor")]
    Export {
        /// The folder; it must not exist
        #[arg(long)]
        out: PathBuf,
    },
    /// Check an exported log or a bundle of evidence: no node, no secret and no trust in whoever made it
    #[command(after_help = "\
Examples:
  clearhouse audit verify casa-nova-log
  clearhouse audit verify casa-nova-log --genesis genesis.record --since last-month/checkpoint
  clearhouse audit verify evidence --genesis genesis.record")]
    Verify {
        /// The folder
        folder: PathBuf,
        /// The genesis you know the network by; without it the folder's own is taken and shown
        #[arg(long)]
        genesis: Option<PathBuf>,
        /// The log's key as you know it, instead of records
        #[arg(long, conflicts_with = "genesis")]
        key: Option<String>,
        /// Who must have witnessed it, as you know it (a C2SP tlog-policy file), instead of what records say
        #[arg(long)]
        policy: Option<PathBuf>,
        /// A checkpoint of the same log that you kept from before
        #[arg(long)]
        since: Option<PathBuf>,
    },
}

impl Audit {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        match self.act {
            Act::List { from, count } => {
                let node = Node::find(&app.global)?;
                app.out.reply(&node.ask_as(app, Call::AuditList { from, count: Some(count) }).await?)?;
            }
            Act::Logs => {
                let node = Node::find(&app.global)?;
                app.out.reply(&node.ask_as(app, Call::AuditLogs).await?)?;
            }
            Act::Reconcile => {
                let node = Node::find(&app.global)?;
                app.out.reply(&node.ask_as(app, Call::AuditReconcile).await?)?;
            }
            Act::Alarms { take } => {
                let node = Node::find(&app.global)?;
                let call = take.map_or(Call::AuditAlarms, |alarm| Call::AuditAlarmTake { alarm });
                app.out.reply(&node.ask_as(app, call).await?)?;
            }
            Act::Prove { entry } => {
                let node = Node::find(&app.global)?;
                let reply = node.ask_as(app, Call::AuditProve { index: entry }).await?;
                match reply.get("proof").and_then(Value::as_str) {
                    // As it is, for a file.
                    Some(proof) if !app.global.json => app.out.data(proof.as_bytes())?,
                    _ => app.out.reply(&reply)?,
                }
            }
            Act::Export { out } => export(app, &out).await?,
            Act::Show { entry } => {
                let node = Node::find(&app.global)?;
                app.out.reply(&node.ask_as(app, Call::AuditShow { index: entry }).await?)?;
            }
            Act::Bundle { out, case, message, from, to } => {
                evidence::bundle(app, &out, Call::AuditChoose { case, message, from, to }).await?;
            }
            Act::Verify { folder, genesis, key, policy, since } => {
                let read = |path: PathBuf| files::read(&path, FILE_MAX, Code::File);
                let genesis = genesis.map(|path| records::genesis(&path)).transpose()?;
                let since = since.map(read).transpose()?;
                let key = key.map(|key| NoteKey::parse(&key)).transpose().map_err(|fault| {
                    Trouble::new(Code::Arguments, format!("--key: {fault}."), "clearhouse audit verify --help")
                })?;
                let policy = policy.map(read).transpose()?.map(|text| policy_of(&text)).transpose()?;
                let older = since.as_ref().map(|file| file.as_slice());
                let known = Known { genesis: genesis.as_ref(), key, policy, older };
                app.out.reply(&check(&folder, known)?)?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn export(app: &App, out: &Path) -> Result<(), Trouble> {
    let place = NewFolder::choose(out)?;
    if place.is_taken() {
        let text = format!("{} exists and is not empty. Nothing was written.", out.display());
        return Err(Trouble::new(Code::Exists, text, "clearhouse audit export --out ANOTHER"));
    }
    let node = Node::find(&app.global)?;
    let mut desk = node.sit_down(app).await?;
    let genesis = files::read(&node.genesis(), FILE_MAX, Code::Records)?;
    let mut pages = Pages::of(desk.ask(Pages::first()).await?)?;
    while let Some(call) = pages.next() {
        let page = desk.ask(call).await?;
        if !pages.take(&page)? {
            break;
        }
    }
    desk.leave().await;
    place.fill(|folder| {
        let wrong = |fault: FolderFault| Trouble::new(Code::Record, sentence(&fault.to_string()), "clearhouse doctor");
        pages.write(folder, &genesis).map_err(wrong)
    })?;
    let folder = out.display().to_string();
    app.out.reply(&json!({"schema": "ch.audit-export/1", "folder": folder, "entries": pages.size()}))?;
    Ok(())
}

fn policy_of(text: &[u8]) -> Result<Policy, Trouble> {
    let wrong =
        |why: String| Trouble::new(Code::Arguments, format!("--policy: {why}."), "clearhouse audit verify --help");
    let text = std::str::from_utf8(text).map_err(|_| wrong("this is not a policy text".to_owned()))?;
    Policy::parse(text).map_err(|fault| wrong(fault.to_string()))
}

/// Checks a folder, whichever of the two it is.
fn check(folder: &Path, known: Known<'_>) -> Result<Value, Trouble> {
    let now = SystemClock.now();
    if !bundle::is_bundle(folder) {
        return folder::verify(folder, known, now).map(|whole| told(&whole)).map_err(|fault| not_whole(folder, &fault));
    }
    if known.older.is_some() {
        let text = "A bundle holds single entries. Only a whole log can be held against an older checkpoint.";
        return Err(Trouble::new(Code::Arguments, text, "clearhouse audit export --out FOLDER"));
    }
    bundle::verify(folder, known, now)
        .map(|held| evidence::told(&held))
        .map_err(|fault| evidence::not_held(folder, &fault))
}

fn told(whole: &Whole) -> Value {
    let mut told = json!({
        "schema": "ch.audit-verify/1",
        "whole": true,
        "origin": whole.checkpoint.origin,
        "entries": whole.checkpoint.size,
        "since": whole.since.map(|older| older.size),
        "since_time": whole.since.and_then(|older| older.time).map(show_time),
        "key": whole.key.to_string(),
    });
    add(&mut told, whose(&whole.vouched));
    add(&mut told, seen(&whole.sight));
    told
}

/// Whose log it is and how that is known.
fn whose(vouched: &Vouched) -> Value {
    match vouched {
        Vouched::Records { label, country, net } => {
            json!({"vouched": "records", "by": format!("{label} ({country})"), "net": net})
        }
        Vouched::Given => json!({"vouched": "given key", "by": null, "net": null}),
        Vouched::Folder => json!({"vouched": "the folder itself", "by": null, "net": null}),
    }
}

/// Who saw its head.
fn seen(sight: &Sight) -> Value {
    let named = |witnesses: &[Witness]| -> Vec<Value> {
        witnesses.iter().map(|w| json!({"label": w.label, "country": w.country, "time": show_time(w.at)})).collect()
    };
    json!({
        "witnesses": named(&sight.witnesses),
        "not_counted": named(&sight.ahead),
        "listed": sight.listed,
        "enough": sight.enough,
        "countries": sight.countries().map(|all| all.len()),
        "time": sight.time.map(show_time),
    })
}

fn add(to: &mut Value, more: Value) {
    if let (Some(to), Value::Object(more)) = (to.as_object_mut(), more) {
        to.extend(more);
    }
}

fn not_whole(folder: &Path, fault: &FolderFault) -> Trouble {
    let next = "Ask for the folder again; keep this one as evidence";
    let code = match fault {
        FolderFault::Missing { file, .. } if file == folder::CHECKPOINT => Code::NoFile,
        FolderFault::Missing { .. }
        | FolderFault::Broken(_)
        | FolderFault::Checkpoint(_)
        | FolderFault::Records(_)
        | FolderFault::Entry(_)
        | FolderFault::Entries { .. }
        | FolderFault::Tile(_)
        | FolderFault::Root(_)
        | FolderFault::Older
        | FolderFault::Rewritten(_)
        | FolderFault::Write(_) => Code::Record,
    };
    let text = if code == Code::NoFile {
        format!("{} holds no exported log: there is no checkpoint in it.", folder.display())
    } else {
        format!("{}: this log does not hold: {}", folder.display(), sentence(&fault.to_string()))
    };
    Trouble::new(code, text, next)
}
