//! A recovery key is taken only when people hold its sheets: they stay when nobody knows what the node did, and no backup of
//! an older key is destroyed by one of the new.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::setup::files;
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::recovery::RecoverySecret;

use super::backup::{KEPT_OPEN, block_on, create, entries_named, run, said, shelf, take_sheets};
use super::behind::behind;
use super::found;
use super::region::{Member, Region, demo_passphrase};

/// Bytes of a frame's length at the local door.
const LENGTH: usize = 4;

async fn started() -> Region {
    let mut region = found(KEPT_OPEN);
    let records = region.records.clone();
    region.origin.start().await.unwrap();
    region.origin.learn(&records).await.unwrap();
    region
}

/// Signs the administrator in, as the commands to come find it.
fn sign_in(member: &Member, scratch: &Path) {
    let phrase = scratch.join("admin-passphrase");
    std::fs::write(&phrase, demo_passphrase("admin").as_bytes()).unwrap();
    std::fs::set_permissions(&phrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    let args = ["user", "sign-in", "admin", "--passphrase-file"];
    let signed = run(&args, &[&phrase, Path::new("--node"), &member.folder]);
    assert!(signed.status.success(), "{}", said(&signed));
}

fn new_key(member: &Member, sheets: &Path) -> Output {
    run(&["backup", "key", "--sheets"], &[sheets, Path::new("--node"), &member.folder])
}

fn sheets_in(folder: &Path) -> Vec<PathBuf> {
    let sheets = files::SHEETS.map(|name| folder.join(name));
    sheets.into_iter().filter(|sheet| std::fs::read_to_string(sheet).is_ok_and(|text| text.len() > 100)).collect()
}

/// What the command does when its node hears the call and then ends the line, or says `reply` first.
fn answered(member: &Member, sheets: &Path, reply: Option<&str>) -> (usize, Output) {
    let socket = member.folder.join(files::SOCKET);
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::scope(|scope| {
        let node = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; LENGTH];
            stream.read_exact(&mut length).unwrap();
            let mut call = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut call).unwrap();
            assert!(String::from_utf8(call).unwrap().contains("backup_key"));
            let lying = sheets_in(sheets).len();
            if let Some(reply) = reply {
                stream.write_all(&u32::try_from(reply.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(reply.as_bytes()).unwrap();
            }
            lying
        });
        let output = new_key(member, sheets);
        (node.join().unwrap(), output)
    })
}

#[test]
fn the_sheets_stay_unless_the_node_refused_for_certain() {
    block_on(async {
        let mut region = started().await;
        let sheets = shelf(&region);
        sign_in(&region.origin, &region.folder);
        region.origin.kill();
        let refusal = |code: &str| format!(r#"{{"id":1,"result":{{"Err":{{"code":"{code}","text":"No."}}}}}}"#);
        // A node that does not run, and one that refuses, have the key they had.
        let away = new_key(&region.origin, &sheets);
        assert!(said(&away).contains("CH-P0901") && sheets_in(&sheets).is_empty(), "{}", said(&away));
        let (lying, refused) = answered(&region.origin, &sheets, Some(&refusal("CH-R0110")));
        assert!(said(&refused).contains("CH-R0110") && lying == 3, "{}", said(&refused));
        assert!(sheets_in(&sheets).is_empty());
        // Of one that says nothing, or that it does not know, nobody can tell.
        for reply in [None, Some(refusal("CH-S0121"))] {
            let (lying, lost) = answered(&region.origin, &sheets, reply.as_deref());
            assert!(!lost.status.success() && lying == 3, "{}", said(&lost));
            assert_eq!(sheets_in(&sheets).len(), 3, "{}", said(&lost));
            assert!(said(&lost).contains("The three new sheets are kept"), "{}", said(&lost));
            sheets_in(&sheets).iter().for_each(|sheet| std::fs::remove_file(sheet).unwrap());
        }
    });
}

#[test]
fn a_change_of_the_key_that_fails_has_its_entry_and_is_told() {
    block_on(async {
        let region = started().await;
        let origin = &region.origin;
        let before = entries_named(origin, "key change").await.len();
        let key = RecoverySecret::generate(&mut chance()).key().unwrap();
        let call = || Call::BackupKey { public: hex(key.public()), mark: hex(key.mark()) };
        // Somebody changed the key file: it is not replaced.
        let path = origin.folder.join(files::KEYS);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
        let failed = origin.ask(call()).await.err().unwrap();
        assert_eq!(failed.code, "CH-S0121", "{}", failed.text);
        assert_eq!(entries_named(origin, "key change").await.len(), before + 1);
    });
}

#[test]
fn backups_of_an_older_recovery_key_are_told_of_and_stay() {
    block_on(async {
        let region = started().await;
        let origin = &region.origin;
        let (shelf, old) = (shelf(&region), take_sheets(origin, &region.folder));
        let first = create(origin, &shelf).await;
        sign_in(origin, &region.folder);
        let stick = region.folder.join("stick");
        std::fs::create_dir(&stick).unwrap();
        let made = new_key(origin, &stick);
        assert!(made.status.success(), "{}", said(&made));
        let second = create(origin, &shelf).await;
        assert_ne!(first["sealed_to"], second["sealed_to"]);
        assert!(said(&made).contains(second["sealed_to"].as_str().unwrap()), "{}", said(&made));
        // Of keys that cannot be read nobody knows whose they are.
        std::fs::write(shelf.join("clearhouse-of-somebody.backup.keys"), "nothing").unwrap();
        let third = create(origin, &shelf).await;
        assert_eq!((&second["older_unreadable"], &third["older_unreadable"]), (&0.into(), &1.into()));
        for (backup, destroyed) in [(&second, 0), (&third, 1)] {
            assert_eq!((&backup["older_destroyed"], &backup["older_other_key"]), (&destroyed.into(), &1.into()));
        }
        let listed = said(&run(&["backup", "list"], &[&shelf]));
        assert_eq!(listed.matches("of another recovery key").count(), 1, "{listed}");
        assert_eq!(listed.matches("its keys cannot be read").count(), 1, "{listed}");
        let new = sheets_in(&stick);
        for (backup, sheets) in [(&first, &old), (&third, &new)] {
            let file = Path::new(backup["file"].as_str().unwrap());
            let checked = run(&["backup", "verify", "--sheet"], &[&sheets[0], Path::new("--sheet"), &sheets[1], file]);
            assert!(checked.status.success(), "{}", said(&checked));
        }
    });
}

#[test]
fn where_others_could_read_the_keys_no_backup_is_made_and_nothing_stays() {
    block_on(async {
        let programs = tempfile::tempdir().unwrap();
        let Some(program) = behind(programs.path(), "loose.c", "CLEARHOUSE_LOOSE", "loose") else { return };
        let mut region = Region::found_with(&program, KEPT_OPEN, false, SystemClock.now()).unwrap();
        let records = region.records.clone();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        let shelf = shelf(&region);
        let folder = shelf.display().to_string();
        let refused = region.origin.ask(Call::BackupCreate { folder }).await.err().unwrap();
        assert_eq!(std::fs::read_dir(&shelf).unwrap().count(), 0);
        assert!(refused.code == "CH-U0121" && refused.text.contains("FAT"), "{}", refused.text);
    });
}
