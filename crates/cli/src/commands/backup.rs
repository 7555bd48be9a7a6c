//! `backup`: a copy of the node that only two of three people can open, and what is known of such copies. Made by the running
//! node; checked and listed without one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_casework::forms::show_time;
use clearhouse_node::backup::found;
use clearhouse_node::backup::restore::{Looked, Opened, look};
use clearhouse_node::calls::{Call, RECOVERY_KEY_UNCHANGED};
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::setup::{Identity, files as names, sheet_texts};
use clearhouse_protocol::ids::{Net, NodeId, OrgId, hex};
use clearhouse_protocol::recovery::{RecoverySecret, SHEET_TEXT_MAX, SHEETS_NEEDED, Sheet, join};
use clearhouse_store::backup::keys::{About, EXPIRES_SECS};
use serde_json::{Value, json};

use crate::ask::{Node, node_folder};
use crate::cli::App;
use crate::files;
use crate::trouble::{Code, Exit, Trouble};

/// Longest `identity.toml`.
const IDENTITY_MAX: usize = 64 << 10;

/// Make a backup that only two of three people can open, check it, list what is there
///
/// A backup is two files: the records, sealed as they lie in the node, and the
/// keys, sealed to the recovery key. Whoever has one sheet alone, or none, reads
/// nothing in it.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse backup create /mnt/usb
  clearhouse backup verify /mnt/usb/clearhouse-0f3a5c7e-20261123-0214-9b1d2f4a.backup
  clearhouse backup list /mnt/usb"
)]
pub(crate) struct Backup {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Make a backup of the running node and put it back once to see that it is whole
    ///
    /// Cases must be open. The keys of older backups of this node in the same
    /// folder are destroyed when the new one is verified: what was erased since
    /// must not come back. Those sealed to another recovery key stay: delete
    /// them yourself once two of the new sheets opened a backup.
    #[command(after_help = "\
Examples:
  clearhouse backup create /mnt/usb
  clearhouse backup create /mnt/usb --as root --passphrase-file /run/secrets/root")]
    Create {
        /// An existing folder on another disk
        folder: PathBuf,
    },
    /// Check a backup; with two sheets, put it back and read it to the last row
    ///
    /// Without sheets the digests that lie beside the records are all there is to
    /// check by: a broken disk is found, somebody who exchanged both files is not.
    #[command(after_help = "\
Examples:
  clearhouse backup verify /mnt/usb/clearhouse-0f3a5c7e-20261123-0214-9b1d2f4a.backup
  clearhouse backup verify FILE --sheet one.txt --sheet two.txt --beside /var/tmp")]
    Verify {
        /// The records, FILE.backup; the keys lie beside them
        file: PathBuf,
        /// A recovery sheet as a file that only you can read; two are needed
        #[arg(long = "sheet", value_name = "FILE")]
        sheets: Vec<PathBuf>,
        /// Where it is put back for the check, and removed again [default: beside the backup]
        #[arg(long, value_name = "DIR", requires = "sheets")]
        beside: Option<PathBuf>,
    },
    /// List the backups in a folder, by what their keys say in clear
    #[command(after_help = "\
Examples:
  clearhouse backup list /mnt/usb
  clearhouse backup list /mnt/usb --json")]
    List {
        /// The folder
        folder: PathBuf,
    },
    /// Make a recovery key for a node that has none, or another one
    ///
    /// Writes three sheets. Print them, give each to another person, and delete
    /// the files. Backups made before open with the old sheets alone: make a new
    /// one at once.
    #[command(after_help = "\
Examples:
  clearhouse backup key --sheets /media/stick
  clearhouse backup key --sheets /media/stick --as root")]
    Key {
        /// An existing folder for the three sheets; best a stick, not this machine
        #[arg(long, value_name = "DIR")]
        sheets: PathBuf,
    },
}

impl Backup {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let reply = match self.act {
            Act::Create { folder } => {
                let folder = folder.canonicalize().map_err(|e| files::cannot("use", &folder, &e))?;
                let folder = folder.to_str().ok_or_else(|| not_text(&folder))?.to_owned();
                app.out.progress("Copying, and putting the copy back to check it; this takes a while.");
                Node::find(&app.global)?.ask_as(app, Call::BackupCreate { folder }).await?
            }
            Act::Verify { file, sheets, beside } if sheets.is_empty() => {
                let _ = beside;
                looked(&file, &look(&file)?)
            }
            Act::Verify { file, sheets, beside } => verify(&file, &sheets, beside.as_deref())?,
            Act::List { folder } => list(&folder)?,
            Act::Key { sheets } => key(app, &sheets).await?,
        };
        app.out.reply(&reply)?;
        Ok(Exit::Done)
    }
}

/// Two sheets as files, put together.
///
/// # Errors
/// [`Code::Secret`] with the sheet and the line that is wrong; [`Code::NoFile`].
pub(crate) fn secret(sheets: &[PathBuf]) -> Result<RecoverySecret, Trouble> {
    let next = "Type the line again as it is printed";
    let wrong = |text: String| Trouble::new(Code::Secret, text, next);
    if sheets.len() != SHEETS_NEEDED {
        let text = "Two recovery sheets are needed: --sheet FILE --sheet FILE.";
        return Err(Trouble::new(Code::Arguments, text, "clearhouse backup verify --help"));
    }
    let read = |path: &PathBuf| {
        let bytes = files::read(path, SHEET_TEXT_MAX, Code::Secret)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(format!("{} is not text.", path.display())))?;
        Sheet::read(text).map_err(|fault| wrong(format!("{}: {fault}.", path.display())))
    };
    let sheets = sheets.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    join(&sheets).map_err(|fault| Trouble::new(Code::Secret, format!("Not opened: {fault}."), "Take two of one set"))
}

fn verify(file: &Path, sheets: &[PathBuf], beside: Option<&Path>) -> Result<Value, Trouble> {
    let opened = Opened::open(file, &secret(sheets)?)?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    opened.verify(beside.unwrap_or(parent))?;
    let checked = "put back and read to the last row; made by this organisation's node";
    Ok(shown(file, opened.about(), checked))
}

fn looked(file: &Path, found: &Looked) -> Value {
    let checked = format!(
        "the digests of {} parts only: that nobody exchanged them with the parts takes two sheets to tell",
        found.parts
    );
    shown(file, &found.about, &checked)
}

/// What a backup says of itself, and how well that is known.
pub(crate) fn shown(file: &Path, about: &About, checked: &str) -> Value {
    let head = String::from_utf8_lossy(&about.head).lines().skip(1).take(2).collect::<Vec<_>>().join(" ");
    json!({
        "schema": "ch.backup/1",
        "file": file.display().to_string(),
        "keys": found::keys_of(file).display().to_string(),
        "made": show_time(about.created),
        "node": NodeId::try_from(about.node.as_slice()).map(|node| node.to_string()).unwrap_or_default(),
        "bytes": about.bytes, "commits": about.generation, "rows": about.rows, "entries": about.events,
        "head": head, "sealed_to": about.key, "verified": checked,
        "expires": show_time(about.created.saturating_add(EXPIRES_SECS)),
    })
}

fn list(folder: &Path) -> Result<Value, Trouble> {
    let (now, all) = (SystemClock.now(), found::all(folder)?);
    let row = |one: &found::Found| {
        let about = one.about.as_ref();
        let name = one.records.file_name().map(|name| name.to_string_lossy().into_owned());
        json!({
            "file": name, "state": state(one, &all, now),
            "time": about.map(|about| show_time(about.created)),
            "node": about.and_then(|about| NodeId::try_from(about.node.as_slice()).ok()).map(|node| node.to_string()),
            "bytes": about.map(|about| about.bytes), "entries": about.map(|about| about.events),
        })
    };
    let rows: Vec<Value> = all.iter().map(row).collect();
    Ok(json!({"schema": "ch.backups/1", "folder": folder.display().to_string(), "rows": rows}))
}

/// What is to be said of one backup among all of its folder, the newest first.
fn state(one: &found::Found, all: &[found::Found], now: u64) -> &'static str {
    let Some(about) = &one.about else {
        return "its keys cannot be read: no newer backup destroys them; look, and delete it yourself";
    };
    let newest = all.iter().filter_map(|one| one.about.as_ref()).find(|newer| newer.node == about.node);
    match (one.records.exists(), newest.is_some_and(|newest| newest.key != about.key)) {
        (false, _) => "its records are missing",
        (true, true) => {
            "of another recovery key than the newest: no newer backup destroys it; once two sheets opened the newest, delete \
             it yourself"
        }
        (true, false) if about.created.saturating_add(EXPIRES_SECS) < now => "expired",
        (true, false) => "not checked here",
    }
}

async fn key(app: &App, folder: &Path) -> Result<Value, Trouble> {
    let node = Node::find(&app.global)?;
    let whose = identity(&node_folder(&app.global))?;
    let mut rng = chance();
    let secret = RecoverySecret::generate(&mut rng);
    let failed = || Trouble::new(Code::Secret, "Key generation failed. Nothing was changed.", "Try again");
    let public = secret.key().map_err(|_| failed())?;
    let mut desk = node.sit_down(app).await?;
    // All three are on the disk before the node relies on them.
    let sheets = Sheets::write(folder, sheet_texts(&secret, whose, &mut rng)?)?;
    let call = Call::BackupKey { public: hex(public.public()), mark: hex(public.mark()) };
    let answer = desk.ask(call).await;
    desk.leave().await;
    let mut reply = answer.map_err(|trouble| sheets.after(trouble))?;
    reply["written"] = names::SHEETS.iter().map(|name| json!(folder.join(name).display().to_string())).collect();
    Ok(reply)
}

/// Three recovery sheets that lie whole on the disk.
struct Sheets(Vec<PathBuf>);

impl Sheets {
    /// Writes all of them, or none.
    fn write(folder: &Path, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Trouble> {
        let mut written = Self(Vec::new());
        for (name, text) in names::SHEETS.iter().zip(texts) {
            let path = folder.join(name);
            if let Err(trouble) = files::write_new(&path, text.as_ref().as_bytes()) {
                written.remove();
                return Err(trouble);
            }
            written.0.push(path);
        }
        let synced = clearhouse_node::ground::sync(folder);
        synced.map_err(|error| files::cannot("write", folder, &error)).inspect_err(|_| written.remove())?;
        Ok(written)
    }

    /// What becomes of them when the node did not say that it took the key: they stay, unless it is certain that it did
    /// not. A key of which nobody has a sheet would make every later backup worthless.
    fn after(&self, mut trouble: Trouble) -> Trouble {
        let code = trouble.code.as_str();
        // Never reached, or refused.
        if code == Code::NotRunning.word() || RECOVERY_KEY_UNCHANGED.contains(&code) {
            self.remove();
            return trouble;
        }
        trouble.text += " Whether the node has the new recovery key is not known. The three new sheets are kept; keep the old \
                         ones too until another key is made in another folder.";
        trouble.next = "clearhouse backup key --sheets ANOTHER_FOLDER".to_owned();
        trouble
    }

    fn remove(&self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

fn identity(folder: &Path) -> Result<(Net, OrgId, NodeId), Trouble> {
    let path = folder.join(names::IDENTITY);
    let bytes = files::read(&path, IDENTITY_MAX, Code::NodeFile)?;
    let identity = std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str::<Identity>(text).ok());
    let ids = identity.and_then(|identity| {
        let net = Net::from_hex(&identity.net)?;
        Some((net, OrgId::from_hex(&identity.org)?, NodeId::from_hex(&identity.node)?))
    });
    let wrong = || {
        let text = format!("{} is not what `init` wrote. Nothing was changed.", path.display());
        Trouble::new(Code::NodeFile, text, "clearhouse restore --help")
    };
    ids.ok_or_else(wrong)
}

fn not_text(path: &Path) -> Trouble {
    let text = format!("{} is not UTF-8 and cannot be told to the node.", path.display());
    Trouble::new(Code::Arguments, text, "clearhouse backup create --help")
}
