//! What a node finds when it starts: its configuration, keys, store, port, and another of itself. Rows 23, 26, 29, 35
//! and 37 of reliability section 5.
//!
//! Refuses a start that goes on in silence: each fault is told, and the folder serves again once it is undone.

use std::os::unix::fs::PermissionsExt as _;

use clearhouse_node::setup::files;

use super::{Office, PROGRAM, Told, demo_passphrase, runtime, silent, world};

/// The office of a caseworker, its node not running.
fn office() -> Office {
    Office::of(&world().sender)
}

/// Spoils the office, asks why it does not start, repairs it, and looks for the case.
fn row(spoil: impl FnOnce(&Office) -> Box<dyn FnOnce(&Office)>, judge: impl FnOnce(&Told)) {
    runtime().block_on(async {
        let mut office = office();
        let repair = spoil(&office);
        let Err(told) = office.start().await else { panic!("it started: {}", office.log()) };
        judge(&told);
        repair(&office);
        office.has_lost_nothing("elena").await;
    });
}

/// A row that changes one file.
fn file_row(name: &'static str, change: impl FnOnce(&mut Vec<u8>), judge: impl FnOnce(&Told)) {
    row(
        |office| {
            let whole = office.spoil(name, change);
            Box::new(move |office| office.put(name, &whole))
        },
        judge,
    );
}

fn gone_row(name: &'static str, judge: impl FnOnce(&Told)) {
    row(
        |office| {
            let aside = office.path("aside");
            std::fs::rename(office.path(name), &aside).unwrap();
            Box::new(move |office| {
                let _ = std::fs::remove_dir_all(office.path(name));
                std::fs::rename(&aside, office.path(name)).unwrap();
            })
        },
        judge,
    );
}

fn config_row(line: &str, judge: impl FnOnce(&Told)) {
    let line = format!("{line}\n");
    file_row(files::CONFIG, |text| text.extend_from_slice(line.as_bytes()), judge);
}

#[test]
fn a_key_that_no_configuration_has_is_named_with_its_line_and_the_one_that_was_meant() {
    config_row("log_levle = \"debug\"", |told| {
        told.refused(2, "CH-U0903", &["node.toml, line ", "'log_levle'", "Did you mean 'log_level'?"]);
    });
}

#[test]
fn a_value_that_cannot_be_is_refused_with_what_can_and_is_not_repeated() {
    config_row("idle_lock_secs = \"Zarnixa tamarisk\"", |told| {
        told.refused(2, "CH-U0903", &["'idle_lock_secs'", "line "]);
    });
    config_row("idle_lock_secs = 99999999999999999999999", |told| told.refused(2, "CH-U0903", &["line "]));
    config_row("idle_lock_secs = 5", |told| told.refused(2, "CH-U0903", &["must be 60 to 43200"]));
    config_row("keep_content_open = true", |told| told.refused(2, "CH-U0903", &["line ", "duplicate key"]));
}

#[test]
fn a_port_that_is_taken_is_named_and_what_to_do_about_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    row(
        |office| {
            let whole = office.config();
            let listen = whole.lines().find(|l| l.starts_with("listen")).unwrap();
            office.set_config(&whole.replace(listen, &format!("listen = \"127.0.0.1:{port}\"")));
            Box::new(move |office| office.set_config(&whole))
        },
        |told| told.refused(2, "CH-U0908", &[&format!("127.0.0.1:{port}"), "using the port?"]),
    );
}

#[test]
fn a_second_process_on_the_same_store_is_turned_away_and_the_first_goes_on() {
    runtime().block_on(async {
        let mut first = office();
        first.start().await.unwrap_or_else(|told| panic!("{}", told.all));
        let ended = first.run(&["serve"]);
        ended.refused(5, "CH-R0903", &["A node already runs", "stop it"]);
        first.sign_in("elena");
        first.shows_the_case("elena");
        // Another configuration of the same folder, with a port and a socket of its own, is turned away by the store.
        let config = first.config();
        let listen = config.lines().find(|l| l.starts_with("listen")).unwrap();
        let other = config
            .replace(listen, &format!("listen = \"{}\"", super::free_address()))
            .replace("control.sock", "other.sock");
        first.set_config(&other);
        first.run(&["serve"]).refused(5, "CH-R0903", &["A node already runs", "stop it"]);
        first.set_config(&config);
        first.shows_the_case("elena");
    });
}

#[test]
fn a_training_nodes_folder_in_memory_is_told_at_the_start_and_by_doctor_and_serves() {
    let memory = std::path::Path::new("/dev/shm");
    if !memory.is_dir() {
        println!("skipped: there is no /dev/shm");
        return;
    }
    runtime().block_on(async {
        let (made, lost) = (office(), tempfile::tempdir_in(memory).unwrap());
        let copied = std::process::Command::new("cp").arg("-a").arg(made.path(".")).arg(lost.path()).status();
        assert!(copied.unwrap().success());
        let mut office = Office::running_in(lost.path());
        office.start().await.unwrap_or_else(|told| panic!("{}", told.all));
        assert!(office.log().contains("lie on tmpfs"), "{}", office.log());
        office.sign_in("elena");
        let doctor = office.run(&["doctor", "--as", "elena"]);
        assert!(doctor.all.contains("CH-D0228") && doctor.all.contains("tmpfs"), "{}", doctor.all);
        office.shows_the_case("elena");
    });
}

#[test]
fn a_key_file_that_is_missing_is_named() {
    gone_row(files::KEYS, |told| told.refused(7, "CH-K0902", &["There is no file", files::KEYS]));
    gone_row(files::DEVICE, |told| told.refused(7, "CH-K0902", &["There is no file", files::DEVICE]));
    gone_row("credential", |told| told.refused(7, "CH-K0902", &["There is no file", "credential"]));
}

#[test]
fn a_key_file_with_one_flipped_bit_is_called_damaged_wherever_the_bit_is() {
    runtime().block_on(async {
        let mut office = office();
        let len = world().sender.file(files::KEYS).len();
        for at in [0, 19, 20, 25, 60, len / 2, len - 1] {
            let whole = office.spoil(files::KEYS, |bytes| bytes[at] ^= 1);
            let Err(told) = office.start().await else { panic!("it started with byte {at} flipped") };
            told.refused(7, "CH-K0902", &["key file"]);
            office.put(files::KEYS, &whole);
        }
        let whole = office.spoil(files::KEYS, |bytes| bytes.truncate(bytes.len() / 2));
        let Err(told) = office.start().await else { panic!("it started with half a key file") };
        told.refused(7, "CH-K0902", &["damaged", "backup"]);
        office.put(files::KEYS, &whole);
        office.has_lost_nothing("elena").await;
    });
}

#[test]
fn a_file_of_signed_heads_that_is_missing_or_changed_is_named_and_nothing_is_signed() {
    gone_row(files::HEADS, |told| told.refused(8, "CH-I0903", &[files::HEADS]));
    file_row(files::HEADS, |bytes| bytes[30] ^= 1, |told| told.refused(8, "CH-I0903", &[files::HEADS, "damaged"]));
}

#[test]
fn attack_30_an_older_copy_of_the_store_is_not_signed_for() {
    runtime().block_on(async {
        let mut office = office();
        let (store, old, new) =
            (office.path(files::STORE), office.path("store-of-before"), office.path("store-of-now"));
        let copied = std::process::Command::new("cp").arg("-a").args([&store, &old]).status().unwrap();
        assert!(copied.success());
        // Each start signs what the run before it did.
        for _ in 0..2 {
            office.has_lost_nothing("elena").await;
            office.stop();
        }
        std::fs::rename(&store, &new).unwrap();
        std::fs::rename(&old, &store).unwrap();
        let Err(told) = office.start().await else { panic!("it started on an older store") };
        told.refused(8, "CH-I0903", &["older than what this node has signed", "Nothing is signed"]);
        std::fs::remove_dir_all(&store).unwrap();
        std::fs::rename(&new, &store).unwrap();
        office.has_lost_nothing("elena").await;
    });
}

#[test]
fn a_key_file_of_a_newer_version_asks_for_the_newer_program() {
    let newer = |bytes: &mut Vec<u8>| {
        bytes[23] = 2;
        let body = bytes.len() - 32;
        let sum = clearhouse_protocol::pae::sha256(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum);
    };
    file_row(files::KEYS, newer, |told| told.refused(7, "CH-K0902", &["version 2", "newer program"]));
}

#[test]
fn the_keys_of_another_node_are_refused_whichever_of_them_it_is() {
    let theirs = |name: &'static str| move |bytes: &mut Vec<u8>| *bytes = world().receiver.file(name);
    file_row(files::KEYS, theirs(files::KEYS), |told| told.refused(7, "CH-K0902", &["another node", "backup"]));
    file_row(files::DEVICE, theirs(files::DEVICE), |told| told.refused(7, "CH-K0902", &["does not"]));
    file_row("credential", theirs("credential"), |told| told.refused(7, "CH-K0902", &["does not open this key file"]));
    file_row(files::IDENTITY, theirs(files::IDENTITY), |told| told.refused(7, "CH-K0902", &["another node"]));
}

#[test]
fn a_wrong_pass_phrase_for_the_node_is_told_and_not_repeated() {
    row(
        |office| {
            let whole = office.config();
            office.put("phrase", b"tamarisk tamarisk tamarisk");
            office.set_config(&whole.replace("credential_file = \"credential\"", "passphrase_file = \"phrase\""));
            Box::new(move |office| office.set_config(&whole))
        },
        |told| told.refused(7, "CH-K0902", &["pass phrase does not open"]),
    );
}

#[test]
fn a_secret_that_others_may_read_is_refused_with_the_command_that_helps() {
    for name in [files::KEYS, files::DEVICE, "credential"] {
        row(
            |office| {
                let mode = |office: &Office, mode| {
                    std::fs::set_permissions(office.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
                };
                mode(office, 0o644);
                Box::new(move |office| mode(office, 0o600))
            },
            |told| told.refused(7, "CH-K0902", &["others on this machine may read", "chmod 600"]),
        );
    }
}

#[test]
fn a_store_that_is_missing_is_never_quietly_begun_anew() {
    gone_row(files::STORE, |told| told.refused(8, "CH-I0902", &["no store", "backup"]));
    gone_row(files::STORE_MADE, |told| told.refused(8, "CH-I0902", &["no store", "backup"]));
}

#[test]
fn a_store_of_another_node_is_refused_and_left_alone() {
    runtime().block_on(async {
        let mut office = office();
        let own = office.path("own-store");
        std::fs::rename(office.path(files::STORE), &own).unwrap();
        let theirs = Office::of(&world().receiver);
        std::fs::rename(theirs.path(files::STORE), office.path(files::STORE)).unwrap();
        let Err(told) = office.start().await else { panic!("it started: {}", office.log()) };
        told.refused(8, "CH-I0901", &["does not open with this node's keys", "backup"]);
        std::fs::rename(office.path(files::STORE), theirs.path(files::STORE)).unwrap();
        std::fs::rename(&own, office.path(files::STORE)).unwrap();
        office.has_lost_nothing("elena").await;
        let mut theirs = theirs;
        theirs.has_lost_nothing("ana").await;
    });
}

#[test]
fn a_store_of_a_newer_version_asks_for_the_newer_program_and_is_left_as_it_is() {
    let newer = |text: &mut Vec<u8>| {
        let line = String::from_utf8(text.clone()).unwrap().replace(" 1 ", " 2 ");
        *text = line.into_bytes();
    };
    file_row("store/FORMAT", newer, |told| told.refused(8, "CH-I0901", &["format 2", "newer program"]));
}

#[test]
fn a_flipped_byte_in_the_journal_is_told_by_the_name_of_its_file_or_shown_as_a_finding() {
    runtime().block_on(async {
        let name = world().sender.0.keys().find(|p| p.to_string_lossy().contains("journal-")).unwrap().clone();
        let segment = name.file_name().unwrap().to_str().unwrap().to_owned();
        let name = name.to_str().unwrap();
        let len = world().sender.file(name).len();
        let (mut refused, mut served) = (0, 0);
        for at in [3, len / 5, len / 2, len * 9 / 10, len - 2] {
            let mut office = office();
            let whole = office.spoil(name, |bytes| bytes[at] ^= 0x10);
            match office.start().await {
                Err(told) => {
                    refused += 1;
                    told.refused(8, "CH-I0901", &[&segment]);
                    silent(&office.log());
                    // The index may have been derived anew from the damaged journal; with it whole all is there again.
                    office.put(name, &whole);
                    office.has_lost_nothing("elena").await;
                }
                Ok(()) => {
                    served += 1;
                    let doctor = office.run(&["doctor"]);
                    assert_eq!(doctor.exit, 3, "byte {at}: a damaged journal and nothing found: {}", doctor.all);
                    doctor.silent();
                    assert!(doctor.all.contains(&segment), "byte {at}: {}", doctor.all);
                    // It goes on from there: a journal of before would be an older store now.
                    silent(&office.log());
                }
            }
        }
        println!("{refused} refused, {served} served with a finding");
    });
}

#[test]
fn damage_while_the_node_runs_is_named_by_the_scrub() {
    runtime().block_on(async {
        let mut office = office();
        office.has_lost_nothing("elena").await;
        office.sign_in("admin");
        let scrub = |office: &Office| office.run(&["doctor", "--scrub", "--as", "admin"]);
        let whole = scrub(&office);
        assert!(whole.exit == 0 && whole.all.contains("\"scrubbed\":\"2"), "{}", whole.all);
        office.run(&["doctor", "--scrub", "--as", "elena"]).refused(5, "CH-R0109", &["administrator"]);
        let name = world().sender.0.keys().find(|p| p.to_string_lossy().contains("journal-")).unwrap().clone();
        let segment = name.file_name().unwrap().to_str().unwrap().to_owned();
        office.spoil(name.to_str().unwrap(), |bytes| bytes[300] ^= 0x10);
        let told = scrub(&office);
        assert!(told.exit == 3 && told.all.contains(&segment), "{}", told.all);
        assert!(office.run(&["doctor"]).all.contains(&segment), "the finding stays until the next scrub");
        silent(&office.log());
    });
}

#[test]
fn a_journal_that_is_cut_off_or_gone_is_refused_and_nothing_is_begun_anew() {
    let name = world().sender.0.keys().find(|p| p.to_string_lossy().contains("journal-")).unwrap().clone();
    let name: &'static str = Box::leak(name.to_str().unwrap().to_owned().into_boxed_str());
    file_row(name, |bytes| bytes.truncate(bytes.len() / 2), |told| told.refused(8, "CH-I0901", &["journal-"]));
    gone_row(name, |told| told.refused(8, "CH-I0901", &["journal-"]));
}

#[test]
fn an_identity_or_genesis_that_is_missing_damaged_or_of_another_network_is_named() {
    gone_row(files::GENESIS, |told| told.refused(8, "CH-I0903", &[files::GENESIS, "coordinator"]));
    gone_row(files::IDENTITY, |told| told.refused(8, "CH-I0903", &[files::IDENTITY, "backup"]));
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    };
    file_row(files::GENESIS, flip, |told| told.refused(8, "CH-I0903", &[files::GENESIS, "coordinator"]));
    file_row(files::IDENTITY, |b| b.truncate(20), |told| told.refused(8, "CH-I0903", &[files::IDENTITY]));
    let other = super::found("keep_content_open = true\n");
    let foreign = std::fs::read(other.origin.folder.join(files::GENESIS)).unwrap();
    file_row(
        files::GENESIS,
        |b| *b = foreign,
        |told| {
            told.refused(8, "CH-I0903", &[files::GENESIS, "another network", "coordinator"]);
        },
    );
}

#[test]
fn a_folder_without_a_node_is_told_apart_from_one_whose_node_does_not_run() {
    let office = office();
    office.run(&["status"]).refused(6, "CH-P0901", &["No node runs"]);
    let empty = tempfile::tempdir().unwrap();
    for words in [["status"], ["serve"]] {
        let ended = std::process::Command::new(PROGRAM)
            .args(words)
            .args(["--json", "--no-input", "--node"])
            .arg(empty.path())
            .output()
            .unwrap();
        let told = Told::of(ended.status.code().unwrap(), &ended.stdout, &ended.stderr);
        told.refused(2, "CH-U0902", &["There is no node in"]);
    }
}

#[test]
fn a_wrong_pass_phrase_of_a_person_opens_nothing_and_the_right_one_does_afterwards() {
    runtime().block_on(async {
        let mut office = office();
        office.start().await.unwrap_or_else(|told| panic!("{}", told.all));
        let wrong = "tamarisk tamarisk tamarisk";
        let told = office.run_with(&["user", "sign-in", "elena", "--passphrase-file"], wrong);
        told.refused(7, "CH-K0104", &["login or the pass phrase is not right"]);
        // Nobody of that name: the same words, so that nobody learns who works here.
        let stranger = office.run_with(&["user", "sign-in", "marta", "--passphrase-file"], wrong);
        assert_eq!((stranger.exit, &stranger.code, &stranger.text), (7, &told.code, &told.text));
        office.run(&["case", "list", "--as", "elena"]).refused(7, "CH-K0901", &["elena is not signed in"]);
        let right = demo_passphrase("elena");
        office.run_with(&["user", "sign-in", "elena", "--passphrase-file"], &right).done();
        office.shows_the_case("elena");
    });
}
