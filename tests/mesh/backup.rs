//! Backups of real nodes: made under load, put back with two of three sheets after the folder is lost, refused when a byte
//! of them is not what it was, and nothing half is left when either is killed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::setup::files;
use clearhouse_store::keyfile::KeyFile;
use serde_json::Value;

use super::account::heard_past;
use super::canaries::{ask, journey};
use super::erasure::{decide, erase, gone, keys, read_all, settle};
use super::found;
use super::load::{Sent, burst};
use super::notice::directory;
use super::region::{Member, Region};

pub(super) const KEPT_OPEN: &str = "keep_content_open = true\n";
const DONE_SECS: Duration = Duration::from_secs(90);

pub(super) fn run(args: &[&str], paths: &[&Path]) -> Output {
    let paths = paths.iter().map(|path| path.as_os_str());
    let mut command = Command::new(env!("CARGO_BIN_EXE_clearhouse"));
    command.args(args).args(paths).args(["--no-input", "--json"]).stdin(Stdio::null());
    command.output().unwrap()
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A folder for backups beside the members' own.
pub(super) fn shelf(region: &Region) -> PathBuf {
    let shelf = region.folder.join("shelf");
    std::fs::create_dir(&shelf).unwrap();
    std::fs::set_permissions(&shelf, Permissions::from_mode(0o700)).unwrap();
    shelf
}

/// The sheets of a member, taken out of its folder as its people were told to.
pub(super) fn take_sheets(member: &Member, to: &Path) -> Vec<PathBuf> {
    let sheets = files::SHEETS.map(|name| to.join(format!("{}-{name}", member.made.node)));
    files::SHEETS.iter().zip(&sheets).for_each(|(name, to)| std::fs::rename(member.folder.join(name), to).unwrap());
    sheets.to_vec()
}

pub(super) async fn create(member: &Member, shelf: &Path) -> Value {
    member
        .ask(Call::BackupCreate { folder: shelf.display().to_string() })
        .await
        .unwrap_or_else(|f| panic!("{}", f.text))
}

pub(super) fn restore(file: &Path, folder: &Path, sheets: [&Path; 2], more: &[&str]) -> Output {
    restoring(file, folder, sheets, more).output().unwrap()
}

pub(super) fn restoring(file: &Path, folder: &Path, sheets: [&Path; 2], more: &[&str]) -> Command {
    let passphrase = file.with_file_name("new-passphrase");
    std::fs::write(&passphrase, "seven green kettles sing").unwrap();
    std::fs::set_permissions(&passphrase, Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clearhouse"));
    command.args(["restore", "--no-input", "--json", "--yes"]).args(more).arg(file);
    command.arg("--folder").arg(folder).arg("--passphrase-file").arg(&passphrase);
    command.arg("--sheet").arg(sheets[0]).arg("--sheet").arg(sheets[1]).stdin(Stdio::null());
    command
}

/// The names in a folder that are no backup's.
fn leftovers(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

async fn started() -> (tokio::runtime::Handle, Region) {
    let mut region = found(KEPT_OPEN);
    let records = region.records.clone();
    for member in region.members() {
        member.start().await.unwrap();
        member.learn(&records).await.unwrap();
    }
    (tokio::runtime::Handle::current(), region)
}

pub(super) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

pub(super) async fn entries_named(member: &Member, event: &str) -> Vec<u64> {
    let page = ask(member, Call::AuditList { from: Some(0), count: Some(1000) }).await;
    let entries = page["entries"].as_array().unwrap().iter().enumerate();
    entries.filter(|(_, entry)| entry["event"] == event).map(|(at, _)| at as u64).collect()
}

#[test]
fn a_lost_node_comes_back_from_two_sheets_and_signs_no_second_history() {
    block_on(async {
        let (_, mut region) = started().await;
        let (shelf, sheets) = (shelf(&region), take_sheets(&region.origin, &region.folder));
        let (known, sent) = (directory(&region), Sent::default());
        burst(&known, &region.destination, &region.origin, &sent).await;
        // Under load, and twice: the keys of the first go with the second.
        let first = create(&region.origin, &shelf).await;
        let (backup, ()) =
            tokio::join!(create(&region.origin, &shelf), burst(&known, &region.destination, &region.origin, &sent));
        assert_eq!((&first["older_destroyed"], &backup["older_destroyed"]), (&0.into(), &1.into()));
        assert!(!Path::new(first["keys"].as_str().unwrap()).exists());
        let file = PathBuf::from(backup["file"].as_str().unwrap());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(leftovers(&shelf), Vec::<String>::new());
        assert!(!region.origin.folder.join("backup.pin").exists());
        let made = backup["entries"].as_u64().unwrap();
        assert_eq!(entries_named(&region.origin, "backup").await.len(), 2);
        assert!(ask(&region.origin, Call::Status).await["last_backup"].is_string());
        let listed = run(&["backup", "list"], &[&shelf]);
        assert!(said(&listed).contains(file.file_name().unwrap().to_str().unwrap()), "{}", said(&listed));
        let checked = run(&["backup", "verify"], &[&file]);
        assert!(checked.status.success() && said(&checked).contains("takes two sheets to tell"), "{}", said(&checked));

        // What comes after the backup is signed, seen by its witnesses, and lost with the folder.
        burst(&known, &region.destination, &region.origin, &sent).await;
        let signed = heard_past(&region, &region.origin, made + 10).await;
        region.origin.kill();
        let lost = region.origin.folder.with_extension("lost");
        std::fs::rename(&region.origin.folder, &lost).unwrap();
        region.origin.session = None;
        let restored = restore(&file, &region.origin.folder, [&sheets[2], &sheets[0]], &[]);
        assert!(restored.status.success(), "{}", said(&restored));

        // With nobody to ask it does not start, and signs nothing.
        region.coordinator.kill();
        region.destination.kill();
        assert!(region.origin.start().await.is_err(), "it serves");
        let log = std::fs::read_to_string(region.origin.folder.join("serve.log")).unwrap();
        assert!(log.contains("restored from a backup") && log.contains("witnesses"), "{log}");
        assert!(!region.origin.folder.join("log/checkpoint").exists() || signed_in(&region.origin.folder) <= made);

        let records = region.records.clone();
        for member in [&mut region.coordinator, &mut region.destination] {
            member.session = None;
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        // Until somebody answered it ends again, and whoever keeps it running starts it again: a busy witness is slow.
        let began = Instant::now();
        while let Err(told) = region.origin.start().await {
            let log = std::fs::read_to_string(region.origin.folder.join("serve.log")).unwrap();
            assert!(began.elapsed() < DONE_SECS, "{told:?}: {log}");
        }
        region.origin.learn(&records).await.unwrap();
        let restores = entries_named(&region.origin, "restore").await;
        assert!(restores.len() == 1 && restores[0] >= signed - 1, "{restores:?} {signed}");
        let doctor = ask(&region.origin, Call::Doctor).await.to_string();
        assert!(doctor.contains("CH-D0227"), "{doctor}");
        // It goes on in one history: witnesses cosign, coordinators hear it, and find nothing but who pressed on.
        burst(&known, &region.destination, &region.origin, &sent).await;
        heard_past(&region, &region.origin, restores[0] + 10).await;
        let found = ask(&region.coordinator, Call::AuditReconcile).await;
        let about = found["nodes"].as_array().unwrap();
        assert!(about.iter().all(|node| node["finding"] == "PROBING"), "{found}");
        // A second start asks for nothing more.
        region.origin.kill();
        region.origin.start().await.unwrap();
        region.origin.session = None;
        region.origin.learn(&records).await.unwrap();
        assert_eq!(entries_named(&region.origin, "restore").await, restores);
    });
}

/// How many entries the checkpoint in a folder covers.
fn signed_in(folder: &Path) -> u64 {
    let text = std::fs::read_to_string(folder.join("log/checkpoint")).unwrap();
    text.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn messages_received_before_are_read_again_and_no_name_stands_in_a_backup() {
    block_on(async {
        let mut region = found(KEPT_OPEN);
        let case = journey(&mut region).await;
        let (shelf, sheets) = (shelf(&region), take_sheets(&region.origin, &region.folder));
        region.origin.session = None;
        let records = region.records.clone();
        region.origin.learn(&records).await.unwrap();
        let before = ask(&region.origin, Call::Status).await["rows"].as_u64().unwrap();
        let backup = create(&region.origin, &shelf).await;
        assert!(backup["rows"].as_u64().unwrap() >= before);
        let file = PathBuf::from(backup["file"].as_str().unwrap());
        for path in [&file, &PathBuf::from(backup["keys"].as_str().unwrap())] {
            let bytes = std::fs::read(path).unwrap();
            for canary in ["Zarnixa", "Жарникса", "+37369"] {
                assert!(memchr::memmem::find(&bytes, canary.as_bytes()).is_none(), "{canary} in {}", path.display());
            }
        }
        region.origin.kill();
        std::fs::remove_dir_all(&region.origin.folder).unwrap();
        let restored = restore(&file, &region.origin.folder, [&sheets[0], &sheets[1]], &[]);
        assert!(restored.status.success(), "{}", said(&restored));
        region.origin.session = None;
        region.origin.start().await.unwrap();
        region.origin.sign_in("ana").await.unwrap();
        let shown = ask(&region.origin, Call::ProfileShow { case: case.clone() }).await;
        assert!(shown.to_string().contains("Zarnixa3"), "the profile is not read");
    });
}

/// A case erased after the backup, at a node that opens cases at its start or only when somebody unlocks them.
async fn erased_since(config: &str) {
    let mut region = found(config);
    let case = journey(&mut region).await;
    let (shelf, sheets) = (shelf(&region), take_sheets(&region.origin, &region.folder));
    let backup = create(&region.origin, &shelf).await;
    let (made, epoch) = (backup["entries"].as_u64().unwrap(), keys(&region.origin.folder).epoch());
    let o = &region.origin;
    read_all(o).await;
    read_all(&region.destination).await;
    settle(o).await;
    settle(&region.destination).await;
    decide(o, || erase(&case, &[])).await;
    gone(o).await;
    // The coordinator hears that it is erased without the pause between two accounts.
    let erased = *entries_named(o, "case erased").await.last().unwrap();
    heard_past(&region, &region.origin, erased).await;
    assert!(erased > made);

    region.origin.kill();
    std::fs::remove_dir_all(&region.origin.folder).unwrap();
    let file = PathBuf::from(backup["file"].as_str().unwrap());
    let restored = restore(&file, &region.origin.folder, [&sheets[0], &sheets[2]], &[]);
    assert!(restored.status.success(), "{}", said(&restored));
    region.origin.start().await.unwrap();
    region.origin.session = None;
    region.origin.sign_in("ana").await.unwrap();
    if config.is_empty() {
        let locked = region.origin.ask(Call::CaseList).await.err().unwrap();
        assert_eq!(locked.code, "CH-K0102", "{}", locked.text);
        ask(&region.origin, Call::Unlock { login: None, passphrase: "seven green kettles sing".to_owned() }).await;
    }
    // The first look after the cases are open.
    let cases = ask(&region.origin, Call::CaseList).await;
    assert!(cases["cases"].as_array().unwrap().is_empty(), "{cases}");
    let shown = region.origin.ask(Call::CaseShow { case: case.clone() }).await.err().unwrap();
    assert_eq!(shown.code, "CH-N0101", "{}", shown.text);
    assert!(!ask(&region.origin, Call::CaseConsents { case }).await["histories"].as_array().unwrap().is_empty());
    // Its keys go with the next turn, as after any erasure.
    let began = Instant::now();
    while locked_epoch(&region.origin.folder) == epoch {
        assert!(began.elapsed() < DONE_SECS, "the keys never turned");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn locked_epoch(folder: &Path) -> u32 {
    KeyFile::open(&folder.join(files::KEYS)).unwrap().epoch()
}

#[test]
fn a_case_erased_after_the_backup_does_not_come_back() {
    block_on(erased_since(KEPT_OPEN));
}

#[test]
fn a_case_erased_after_the_backup_is_not_seen_when_cases_are_unlocked() {
    block_on(erased_since(""));
}

#[test]
fn a_damaged_backup_wrong_sheets_and_a_folder_in_use_are_refused_by_name() {
    block_on(async {
        let mut region = found(KEPT_OPEN);
        let records = region.records.clone();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        let (shelf, sheets) = (shelf(&region), take_sheets(&region.origin, &region.folder));
        let others = take_sheets(&region.coordinator, &region.folder);
        let inside = region.origin.folder.join("log").display().to_string();
        let refused = region.origin.ask(Call::BackupCreate { folder: inside }).await.err().unwrap();
        assert_eq!(refused.code, "CH-U0121", "{}", refused.text);
        let backup = create(&region.origin, &shelf).await;
        let file = PathBuf::from(backup["file"].as_str().unwrap());
        let target = region.folder.join("target");
        let refuses = |sheets: [&Path; 2], code: &str| {
            let output = restore(&file, &target, sheets, &[]);
            assert!(!output.status.success() && !target.exists(), "{}", said(&output));
            assert!(said(&output).contains(code), "{code}: {}", said(&output));
            said(&output)
        };
        refuses([&others[0], &others[1]], "CH-K0902");
        refuses([&sheets[0], &others[1]], "different recovery keys");
        refuses([&sheets[0], &sheets[0]], "two different sheets");
        let typed = std::fs::read_to_string(&sheets[0]).unwrap();
        let line = typed.lines().find(|line| line.starts_with(" 4 ")).unwrap();
        let word = line.split_whitespace().nth(2).unwrap();
        let wrong = if word == "babab" { "babad" } else { "babab" };
        let mistyped = region.folder.join("mistyped");
        std::fs::write(&mistyped, typed.replace(line, &line.replacen(word, wrong, 1))).unwrap();
        refuses([&mistyped, &sheets[1]], "line 4");

        // One byte in the middle of every part, by the part's name.
        let whole = std::fs::read(&file).unwrap();
        let mut parts = vec!["node.toml", "identity.toml", "genesis.record", "keys/log.heads", "store/FORMAT"];
        parts.push("store/journal-");
        for part in parts {
            let at = memchr::memmem::find(&whole, part.as_bytes()).unwrap() + part.len() + 30;
            let mut changed = whole.clone();
            changed[at] ^= 0x20;
            std::fs::write(&file, &changed).unwrap();
            assert!(refuses([&sheets[0], &sheets[1]], "CH-I0901").contains(part), "{part}");
        }
        std::fs::write(&file, &whole[..whole.len() - 7]).unwrap();
        refuses([&sheets[0], &sheets[1]], "cut off");
        std::fs::write(&file, &whole).unwrap();
        let keys = PathBuf::from(backup["keys"].as_str().unwrap());
        let sealed = std::fs::read(&keys).unwrap();
        for at in [0, 30, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            std::fs::write(&keys, &changed).unwrap();
            refuses([&sheets[0], &sheets[1]], "its keys: ");
        }
        std::fs::write(&keys, &sealed).unwrap();

        let taken = restore(&file, &region.coordinator.folder, [&sheets[0], &sheets[1]], &[]);
        assert!(said(&taken).contains("CH-R0902") && region.coordinator.folder.join(files::KEYS).exists());
        let verified = run(&["backup", "verify", "--sheet"], &[&sheets[1], Path::new("--sheet"), &sheets[2], &file]);
        assert!(verified.status.success(), "{}", said(&verified));
        assert_eq!(leftovers(&shelf), Vec::<String>::new());
    });
}

#[test]
fn a_kill_while_it_is_made_or_put_back_leaves_nothing_half() {
    block_on(async {
        let (_, mut region) = started().await;
        let (shelf, sheets) = (shelf(&region), take_sheets(&region.origin, &region.folder));
        let (known, sent) = (directory(&region), Sent::default());
        burst(&known, &region.destination, &region.origin, &sent).await;
        for nth in 0..6u64 {
            let asked = region.origin.ask(Call::BackupCreate { folder: shelf.display().to_string() });
            let _ = tokio::time::timeout(Duration::from_millis(5 + 40 * nth), asked).await;
            region.origin.kill();
            for found in std::fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().path()) {
                // Whatever has the name of a backup with its keys is one.
                if found.extension().is_some_and(|ending| ending == "keys") {
                    let checked = run(&["backup", "verify"], &[&found.with_extension("")]);
                    assert!(checked.status.success(), "{}", said(&checked));
                }
            }
            region.origin.start().await.unwrap();
            assert!(!region.origin.folder.join("backup.pin").exists());
            region.origin.session = None;
            region.origin.learn(&region.records).await.unwrap();
        }
        let backup = create(&region.origin, &shelf).await;
        assert_eq!(leftovers(&shelf), Vec::<String>::new(), "what was cut short is cleared away");
        let file = PathBuf::from(backup["file"].as_str().unwrap());
        let target = region.folder.join("target");
        for nth in 0..4u32 {
            kill_in_restore(&file, &target, &sheets, Duration::from_millis(20) * nth).await;
            assert!(!target.exists(), "a folder that looks finished after kill {nth}");
        }
        let restored = restore(&file, &target, [&sheets[1], &sheets[2]], &[]);
        assert!(restored.status.success(), "{}", said(&restored));
        assert!(target.join(files::RESTORED).exists() && target.join(files::KEYS).exists());
    });
}

/// Ends a restore in its middle; it is too slow to have ended by itself in this time, for it stretches a pass phrase.
async fn kill_in_restore(file: &Path, target: &Path, sheets: &[PathBuf], after: Duration) {
    let passphrase = file.with_file_name("new-passphrase");
    std::fs::write(&passphrase, "seven green kettles sing").unwrap();
    std::fs::set_permissions(&passphrase, Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clearhouse"));
    command.args(["restore", "--no-input", "--yes"]).arg(file).arg("--folder").arg(target);
    command.arg("--passphrase-file").arg(&passphrase).arg("--sheet").arg(&sheets[0]).arg("--sheet").arg(&sheets[1]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (unfinished, began) = (target.with_file_name(".target.unfinished"), Instant::now());
    while !unfinished.exists() && child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < DONE_SECS);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(after).await;
    let _ = child.kill();
    let _ = child.wait();
    if target.exists() {
        // It was faster on this machine: the next one begins anew all the same.
        std::fs::remove_dir_all(target).unwrap();
    }
}
