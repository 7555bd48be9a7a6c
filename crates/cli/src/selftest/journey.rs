//! A whole case between two nodes of a training network on loopback, as the demo carries it, the search of what it left, and
//! a backup of the receiver that is verified and put back.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clearhouse_node::backup::restore::Opened;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::setup::files;
use serde_json::Value;

use super::line::{Line, Part};
use super::store::sentence;
use crate::commands::backup::secret;
use crate::demo::person::Person;
use crate::demo::region::{Member, Region};
use crate::demo::{Failure, Teller, disks, journey};

/// Which invented person.
const SEED: u64 = 7;
/// What the restored node would be opened with. Nobody ever does.
const NEW_PHRASE: &str = "a pass phrase of the self test\n";

/// All lines about nodes.
pub(crate) async fn tried(folder: &Path) -> Vec<Line> {
    let case = "a case between two nodes, over TLS";
    let backup = "a backup, verified and put back";
    let region = match carried(folder).await {
        Ok(region) => region,
        Err(failure) => {
            let unclear = Line::cannot(Part::Case, backup, "no case to make one of");
            return vec![told(case, Err(failure)), unclear];
        }
    };
    let put_back = put_back(&region, folder).await;
    let person = Person::invented(SEED, SystemClock.now());
    vec![
        told(
            case,
            Ok("refused without consent, then notice, profile, a node killed, arrival; each receipt came".to_owned()),
        ),
        told(backup, put_back),
        Line::of(Part::Case, "a search of all of it for her name", searched(folder, &person)),
    ]
}

fn told(name: &str, outcome: Result<String, Failure>) -> Line {
    Line::of(Part::Case, name, outcome.map_err(|failure| failure.to_string()))
}

/// Every file below the folder, whoever wrote it: nodes, logs, backup, what was put back.
fn searched(folder: &Path, person: &Person) -> Result<String, String> {
    let found = disks::search(folder, &person.canaries).map_err(|e| format!("a folder could not be searched: {e}"))?;
    match (found.hits, found.bytes) {
        (_, 0) => Err("nothing was there to search".to_owned()),
        (0, bytes) => Ok(format!("{} names and dates in {} KiB: none in clear", person.canaries.len(), bytes / 1024)),
        (hits, _) => Err(format!("{hits} names or dates lie on the disk in clear")),
    }
}

async fn carried(folder: &Path) -> Result<Region, Failure> {
    let now = SystemClock.now();
    let person = Person::invented(SEED, now);
    let program = std::env::current_exe().map_err(|e| wrong(&format!("this program does not find itself: {e}")))?;
    let mut region = Region::found_in(folder, &program, "keep_content_open = true\n", false, now)?;
    journey::carried(&mut region, &person, &mut Teller::silent()).await?;
    Ok(region)
}

async fn put_back(region: &Region, folder: &Path) -> Result<String, Failure> {
    let shelf = folder.join("shelf");
    fs::DirBuilder::new().mode(0o700).create(&shelf).map_err(|e| wrong(&e.to_string()))?;
    let made = region.origin.ask(Call::BackupCreate { folder: shelf.display().to_string() }).await?;
    let file = PathBuf::from(made["file"].as_str().unwrap_or_default());
    let sheets = sheets(&region.origin);
    let rows = verified(&file, &sheets, &shelf)?;
    let back = folder.join("back");
    let said = restored(&file, &sheets, &back, folder)?;
    let rows_back = said["rows"].as_u64().unwrap_or(0);
    let is_there = [files::IDENTITY, files::KEYS, files::STORE_MADE].iter().all(|name| back.join(name).exists());
    match is_there && rows_back == rows && rows > 0 {
        true => Ok(format!("{rows} rows, opened by two of three sheets")),
        false => Err(wrong(&format!("{rows} rows were copied and {rows_back} came back"))),
    }
}

/// Two of the three sheets of a member.
fn sheets(member: &Member) -> Vec<PathBuf> {
    files::SHEETS.iter().take(2).map(|name| member.folder.join(name)).collect()
}

/// Opens and verifies a backup as `backup verify` does. Returns how many rows it has.
fn verified(file: &Path, sheets: &[PathBuf], beside: &Path) -> Result<u64, Failure> {
    let secret = secret(sheets).map_err(|trouble| wrong(&trouble.text))?;
    let opened = Opened::open(file, &secret).map_err(|fault| wrong(&sentence(&fault)))?;
    opened.verify(beside).map_err(|fault| wrong(&sentence(&fault)))?;
    Ok(opened.about().rows)
}

/// Puts it back by the command itself, which asks for more than a call would.
fn restored(file: &Path, sheets: &[PathBuf], back: &Path, folder: &Path) -> Result<Value, Failure> {
    let phrase = folder.join("phrase");
    let mut options = fs::OpenOptions::new();
    let written = options.write(true).create_new(true).mode(0o600).open(&phrase);
    let written = written.and_then(|mut file| std::io::Write::write_all(&mut file, NEW_PHRASE.as_bytes()));
    written.map_err(|e| wrong(&e.to_string()))?;
    let program = std::env::current_exe().map_err(|e| wrong(&e.to_string()))?;
    let mut command = Command::new(program);
    command.args(["restore", "--json", "--yes", "--no-input", "--passphrase-file"]).arg(phrase);
    command.arg("--folder").arg(back).arg(file).stdin(Stdio::null());
    for sheet in sheets {
        command.arg("--sheet").arg(sheet);
    }
    let ran = command.output().map_err(|e| wrong(&e.to_string()))?;
    match serde_json::from_slice(&ran.stdout) {
        Ok(said) if ran.status.success() => Ok(said),
        _ => Err(wrong(String::from_utf8_lossy(&ran.stderr).trim())),
    }
}

fn wrong(why: &str) -> Failure {
    Failure::new("CH-D0238", why)
}

#[cfg(test)]
mod tests {
    use super::super::line::State;
    use super::*;

    #[test]
    fn a_name_in_clear_and_an_empty_folder_are_told() {
        let (folder, person) = (tempfile::tempdir().unwrap(), Person::invented(SEED, 1_790_000_000));
        assert!(searched(folder.path(), &person).is_err());
        fs::write(folder.path().join("file"), b"sealed").unwrap();
        assert!(searched(folder.path(), &person).is_ok());
        fs::write(folder.path().join("other"), format!("x{}x", person.canaries[0])).unwrap();
        assert!(searched(folder.path(), &person).is_err());
    }

    #[test]
    fn a_case_that_did_not_arrive_is_told_with_its_code() {
        let line = told("a case", Err(Failure::new("CH-E0302", "The profile did not arrive as it was written.")));
        assert_eq!(line.state, State::Failed);
        assert_eq!(told("a case", Ok(String::new())).state, State::Ok);
    }
}
