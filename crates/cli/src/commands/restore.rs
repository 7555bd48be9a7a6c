//! `restore`: puts a backup back into a folder of its own, with two of the three sheets and a new pass phrase. Needs no node
//! and starts none.

use std::path::{Path, PathBuf};

use clap::Args;
use clearhouse_casework::forms::show_time;
use clearhouse_node::backup::restore::{Opened, Said};
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::config::{Config, Unattended};
use clearhouse_node::setup::{SetupError, files as names};
use clearhouse_protocol::directory::Directory;
use clearhouse_store::backup::keys::About;
use clearhouse_store::keyfile::{KdfCost, NewSlot, Opens};
use clearhouse_store::passphrase::{Credential, Passphrase};
use clearhouse_wire::v1::NetworkKind;

use super::backup::{secret, shown};
use super::directory::records;
use crate::cli::App;
use crate::files::{self, NewFolder};
use crate::secrets;
use crate::trouble::{Code, Exit, Trouble};

/// Put a backup back into a new folder
///
/// Shows what will come back, and asks. Starts nothing. Stop the old node for
/// good first: two with the same keys contradict each other. The restored node
/// starts only when its witnesses have said how far its log went, and after it
/// has heard who was revoked since.
///
/// Where no coordinator's node will ever answer again, restore once more into
/// another folder, with --nobody-to-ask. The node then knows of nobody who was
/// revoked since the backup: before anybody unlocks a case, have a partner whose
/// directory is newer bring it on a stick (clearhouse directory import), and phone
/// whoever you write to. If a member's node shows more of its log than there is
/// here, it does not start all the same: nobody has the rest. Then the
/// organisation needs a new node (clearhouse init).
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse restore /mnt/usb/clearhouse-0f3a5c7e-20261123-0214-9b1d2f4a.backup \\
      --folder /var/lib/clearhouse --sheet one.txt --sheet two.txt
  clearhouse restore FILE --folder DIR --sheet one.txt --sheet two.txt --yes \\
      --passphrase-file /run/secrets/node")]
pub(crate) struct Restore {
    /// The records, FILE.backup; the keys lie beside them
    file: PathBuf,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// A recovery sheet as a file that only you can read; two are needed
    #[arg(long = "sheet", value_name = "FILE", required = true)]
    sheets: Vec<PathBuf>,
    /// Also a backup of more than 35 days ago, by which cases that were erased since come back
    #[arg(long)]
    although_expired: bool,
    /// Say that nobody can be asked: there never was a witness or partner, or no coordinator is left; never to save time
    #[arg(long)]
    nobody_to_ask: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Restore {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let place = NewFolder::choose(&self.folder)?;
        if place.is_taken() {
            let text = format!("{} is not empty. Nothing was restored.", self.folder.display());
            return Err(Trouble::new(Code::Exists, text, "Name a folder that does not exist"));
        }
        let now = SystemClock.now();
        let opened = Opened::open(&self.file, &secret(&self.sheets)?)?;
        // By a clock that can tell, in any case: the mark that is left says when it was made and when it came back.
        let expired = opened.is_expired(now)?;
        if !self.although_expired {
            opened.check_age(now)?;
        }
        let about = opened.about().clone();
        let question = self.question(&about, expired);
        secrets::confirm(&question, "restore", self.yes, app.global.no_input)?;
        let file = app.global.passphrase_file.as_deref();
        let text = secrets::new_passphrase(file, "--passphrase-file FILE", "the node", app.global.no_input)?;
        let passphrase = Passphrase::new(text)?;
        app.out.progress("Putting it back and reading it.");
        place.fill(|folder| {
            let opened = opened.extract_into(folder)?;
            let config = Config::read(&folder.join(names::CONFIG))?;
            let credential = credential(&config)?;
            let cost = cost(folder)?;
            let slots = slots(&config, (&passphrase, cost), credential.as_ref());
            let said = Said { alone: self.nobody_to_ask, although_expired: self.although_expired };
            opened.finish(folder, &slots, (now, said), &mut chance())?;
            Ok(())
        })?;
        let mut reply = shown(&self.file, &about, "read to the last row on its way back");
        reply["expired"] = expired.into();
        (reply["schema"], reply["folder"]) = ("ch.restored/1".into(), self.folder.display().to_string().into());
        app.out.reply(&reply)?;
        if !app.out.is_json() {
            let folder = self.folder.display();
            app.out.say(&format!(
                "\nNext:\n  1. Make sure that the old node never runs again.\n  2. clearhouse serve --node {folder}\n     \
                 It asks its witnesses before it does anything, and stops if they do not answer.\n  3. People sign in as \
                 before; cases open with the new pass phrase.\n  4. Ask every organisation you exchange cases with what it sent \
                 since {}.\n  5. clearhouse backup create FOLDER",
                show_time(about.created)
            ));
        }
        Ok(Exit::Done)
    }

    fn question(&self, about: &About, expired: bool) -> String {
        let mut text = format!(
            "This backup was made on {}: {} commits, {} rows, {} entries of the log. It will be put into {}. What came after it \
             is not in it.",
            show_time(about.created),
            about.generation,
            about.rows,
            about.events,
            self.folder.display()
        );
        if expired {
            text += " It is expired, older than 35 days: cases that were erased since then come back.";
        }
        if self.nobody_to_ask {
            text += " The node will sign without asking anybody: if it had witnesses, it can contradict itself before them.";
        }
        text
    }
}

/// The credential file of the configuration, made anew where it is not there: it is in no backup.
fn credential(config: &Config) -> Result<Option<Credential>, Trouble> {
    let Unattended::Credential(path) = &config.unattended else { return Ok(None) };
    if path.exists() {
        return Ok(Some(Credential::from_file(path)?));
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        files::private_folder(parent)?;
    }
    Ok(Some(Credential::create(path as &Path, &mut chance())?))
}

/// What a guess at the pass phrase costs, as `init` has it.
fn cost(folder: &Path) -> Result<KdfCost, Trouble> {
    let genesis = records::genesis(&folder.join(names::GENESIS))?;
    let directory = Directory::found(&genesis, None).map_err(SetupError::Genesis)?;
    let training = directory.policy().kind() == NetworkKind::Training;
    Ok(if training { KdfCost::FLOOR } else { KdfCost::STANDARD })
}

fn slots<'a>(
    config: &Config,
    (secret, cost): (&'a Passphrase, KdfCost),
    credential: Option<&'a Credential>,
) -> Vec<NewSlot<'a>> {
    let mut slots = vec![NewSlot::Passphrase { secret, cost, opens: Opens::Both }];
    if let Some(secret) = credential {
        let opens = if config.keep_content_open { Opens::Both } else { Opens::Service };
        slots.push(NewSlot::Credential { secret, opens });
    }
    slots
}
