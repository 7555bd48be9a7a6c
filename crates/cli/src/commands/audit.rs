//! `audit`: the log. Listed and proved through the node; taken away as a folder; checked by anybody, without a node.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_casework::forms::show_time;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::log::folder::{self, FolderFault, Vouched, Whole};
use clearhouse_protocol::log::note::NoteKey;
use serde_json::{Value, json};

use crate::ask::Node;
use crate::cli::App;
use crate::commands::directory::records;
use crate::files::{self, NewFolder};
use crate::log_folder::Pages;
use crate::trouble::{Code, Exit, Trouble, sentence};

/// Bytes of a file given to be checked against.
const FILE_MAX: usize = 64 << 10;

/// See the log, prove an entry, take the log away, check one
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
    /// Check an exported log: no node, no secret and no trust in whoever made it
    #[command(after_help = "\
Examples:
  clearhouse audit verify casa-nova-log
  clearhouse audit verify casa-nova-log --genesis genesis.record --since last-month/checkpoint")]
    Verify {
        /// The folder
        folder: PathBuf,
        /// The genesis you know the network by; without it the folder's own is taken and shown
        #[arg(long)]
        genesis: Option<PathBuf>,
        /// The log's key as you know it, instead of records
        #[arg(long, conflicts_with = "genesis")]
        key: Option<String>,
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
            Act::Verify { folder, genesis, key, since } => {
                let read = |path: PathBuf| files::read(&path, FILE_MAX, Code::File);
                let genesis = genesis.map(|path| records::genesis(&path)).transpose()?;
                let since = since.map(read).transpose()?;
                let key = key.map(|key| NoteKey::parse(&key)).transpose().map_err(|fault| {
                    Trouble::new(Code::Arguments, format!("--key: {fault}."), "clearhouse audit verify --help")
                })?;
                let since = since.as_ref().map(|file| file.as_slice());
                let whole = folder::verify(&folder, genesis.as_ref(), key, since, SystemClock.now())
                    .map_err(|fault| not_whole(&folder, &fault))?;
                app.out.reply(&told(&whole))?;
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

fn told(whole: &Whole) -> Value {
    let (vouched, by, net) = match &whole.vouched {
        Vouched::Records { label, country, net } => ("records", Some(format!("{label} ({country})")), Some(net)),
        Vouched::Given => ("given key", None, None),
        Vouched::Folder => ("the folder itself", None, None),
    };
    let witnesses: Vec<Value> = whole
        .witnesses
        .iter()
        .map(|w| json!({"label": w.label, "country": w.country, "time": show_time(w.at)}))
        .collect();
    json!({
        "schema": "ch.audit-verify/1",
        "witnesses": witnesses,
        "whole": true,
        "origin": whole.checkpoint.origin,
        "entries": whole.checkpoint.size,
        "since": whole.since,
        "key": whole.key.to_string(),
        "vouched": vouched,
        "by": by,
        "net": net,
    })
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
