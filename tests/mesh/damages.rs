//! Rot in the folder of a real node: every kind of file, damaged in every way. Each damage is named, by a start that
//! refuses, by what a start finds or by the scrub, or it changes nothing of what can be read. Never is anything missing
//! in silence, shown otherwise than it was, or added.
//!
//! The folder was filled by the program people run. Most damages are judged by opening it as the program does, without a
//! process; every so manieth of them, and all of files that only the program itself reads, by the program.

mod folders;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::log::Keeper;
use clearhouse_node::setup::files;
use clearhouse_protocol::audit::origin;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::rows::Table;
use clearhouse_store::heads::HeadsFile;
use clearhouse_store::keyfile::{DeviceSecret, KeyFile, Opened, SlotSecret};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::passphrase::Credential;
use clearhouse_store::vault::Vault;
use clearhouse_store::{DurableStore, Finding, Store as _};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use self::folders::{ALL, Damage, Folders, copy, listed};
use super::canaries::ask;
use super::found;
use super::fulldisk::all_signed;
use super::load::{Sent, burst, parcels};
use super::notice::directory;
use super::region::{Member, Region};

/// How many damages are judged.
const DAMAGES: &str = "CLEARHOUSE_DAMAGES";
const DAMAGES_USUALLY: usize = 500;
/// A number that has them all again.
const SEED: &str = "CLEARHOUSE_DAMAGE_SEED";
/// Every so manieth is shown to the program too.
const SHOWN_EVERY: usize = 40;
/// How long a child that is not its program yet may hold a lock.
const LOCK_MAX: Duration = Duration::from_secs(10);
/// Read by the program before it opens its store.
const FIRST: [&str; 5] = [files::IDENTITY, files::GENESIS, files::KEYS, files::DEVICE, "credential"];

fn unlocked(folder: &Path) -> Result<Opened, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let locked = KeyFile::open(&folder.join(files::KEYS)).map_err(|e| said(&e))?;
    let device = DeviceSecret::open(&folder.join(files::DEVICE)).map_err(|e| said(&e))?;
    let secret = Credential::from_file(&folder.join("credential")).map_err(|e| said(&e))?;
    locked.unlock(&SlotSecret::Credential(&secret), &device).map_err(|e| said(&e))
}

/// Everything that can be read in a folder, and what was found on the way.
struct Seen {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    unreadable: BTreeMap<Table, usize>,
    events: Vec<[u8; 32]>,
    told: Vec<Finding>,
}

/// Opens a folder as a start does, reads it whole and scrubs it; or the sentence with which the start refuses.
fn seen(folder: &Path, of: &Member, region: &Region) -> Result<Seen, String> {
    let keys = unlocked(folder)?;
    if !folder.join(files::STORE_MADE).exists() {
        return Err("no store is here".to_owned());
    }
    let (store, mut told) = opened(&folder.join(files::STORE))?;
    let vault = Vault::new(keys.service(), keys.content()).map_err(|e| e.to_string())?;
    let mut ledger = Ledger::new(store, vault);
    let tables: Vec<Table> = Table::ALL.into_iter().filter(|table| *table != Table::Wrap).collect();
    let loaded = ledger.load(&tables).map_err(|e| e.to_string())?;
    let whose = (region.net, of.made.node);
    let heads = HeadsFile::open(&folder.join(files::HEADS), whose, keys.service()).map_err(|e| e.to_string())?;
    let name = origin(region.net, of.made.org, of.made.node, 1);
    let key = SigningKey::from_seed(keys.service().log_seed.expose());
    let keeper = Keeper::open(heads, &folder.join(files::LOG), name, key, ledger.store()).map_err(|e| e.to_string())?;
    let count = ledger.store().event_count();
    assert!(keeper.size() <= count, "a head over events that are not there");
    let mut events = Vec::new();
    while let Ok(page) = ledger.store().commitments(events.len() as u64, 100) {
        match page.is_empty() {
            true => break,
            false => events.extend(page),
        }
    }
    told.extend(ledger.store_mut().scrub().map_err(|e| e.to_string())?);
    let rows = loaded.rows.into_iter().map(|row| ((row.table, row.key), row.value.unwrap_or_default())).collect();
    Ok(Seen { rows, unreadable: loaded.damaged.into_iter().collect(), events, told })
}

/// Opens a store that this process may have closed a moment ago. Other tests of this process start programs meanwhile, and
/// a child has the lock of every open folder until it is that program.
#[expect(clippy::disallowed_methods, reason = "a child tells nobody when it lets go of a lock")]
fn opened(store: &Path) -> Result<(DurableStore, Vec<Finding>), String> {
    let began = Instant::now();
    loop {
        match DurableStore::open(store).map_err(|e| e.to_string()) {
            Err(why) if why.contains("in use by another process") && began.elapsed() < LOCK_MAX => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

/// What became of a damage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fate {
    Refused,
    Named,
    NoEffect,
}

/// Holds what can be read after a damage against what was there before. Wrong is whatever nobody was told of.
fn judged(before: &Seen, after: Result<Seen, String>) -> Result<Fate, String> {
    let after = match after {
        Ok(after) => after,
        Err(why) if why.len() > 10 => return Ok(Fate::Refused),
        Err(why) => return Err(format!("refused without a sentence: {why}")),
    };
    let mut missing = BTreeMap::<Table, usize>::new();
    for (place, value) in &before.rows {
        match after.rows.get(place) {
            Some(now) if now == value => {}
            Some(_) => return Err(format!("a row of {:?} is shown that was never so", place.0)),
            None => *missing.entry(place.0).or_default() += 1,
        }
    }
    if after.rows.keys().any(|place| !before.rows.contains_key(place)) {
        return Err("a row was added".to_owned());
    }
    for (table, count) in missing {
        let named = after.unreadable.get(&table).copied().unwrap_or(0);
        if named < count || after.told.is_empty() {
            return Err(format!("{count} rows of {table:?} are missing, {named} named: {:?}", after.told));
        }
    }
    let all = after.events.len() == before.events.len();
    let named = after.told.iter().any(|finding| matches!(finding, Finding::EventsDamaged { .. }));
    if !before.events.starts_with(&after.events) || !(all || named) {
        return Err(format!("other events, or fewer, and no word of it: {:?}", after.told));
    }
    Ok(if after.told.is_empty() { Fate::NoEffect } else { Fate::Named })
}

/// The judge itself: what would be missing, changed or new in silence is seen.
fn is_awake(before: &Seen, read: impl Fn() -> Seen) {
    let spoilt = |spoil: &dyn Fn(&mut Seen)| {
        let mut after = read();
        spoil(&mut after);
        judged(before, Ok(after))
    };
    assert_eq!(spoilt(&|_| {}), Ok(Fate::NoEffect));
    spoilt(&|seen| drop(seen.rows.pop_last())).unwrap_err();
    spoilt(&|seen| seen.rows.values_mut().next().unwrap().push(1)).unwrap_err();
    spoilt(&|seen| drop(seen.rows.insert((Table::Fact, vec![9; 40]), vec![1]))).unwrap_err();
    spoilt(&|seen| seen.events.truncate(1)).unwrap_err();
    spoilt(&|seen| seen.events[0][0] ^= 1).unwrap_err();
    judged(before, Err(String::new())).unwrap_err();
}

/// A region whose receiver holds cases, a snapshot, archives, letters nobody opened and a body in a file of its own.
async fn lived_in(home: &Path) -> (Region, Folders) {
    let mut region = found("keep_content_open = true\nlog_level = \"info\"\n");
    let records = region.records.clone();
    for member in [&mut region.destination, &mut region.origin] {
        member.start().await.unwrap();
        member.learn(&records).await.unwrap();
    }
    region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
    let known = directory(&region);
    let folders = Folders { today: home.join("today"), yesterday: home.join("yesterday"), other: home.join("other") };
    for day in 0..3 {
        let locked = day > 0;
        if locked {
            region.origin.start().await.unwrap();
            region.origin.sign_in("ana").await.unwrap();
            ask(&region.origin, Call::Lock).await;
            parcels(&[200 << 10], &known, &region.destination, &region.origin, &Sent::default()).await;
        }
        burst(&known, &region.destination, &region.origin, &Sent::default()).await;
        all_signed(&region).await;
        region.origin.kill();
        if day == 0 {
            DurableStore::open(&region.origin.folder.join(files::STORE)).unwrap().0.compact().unwrap();
        }
        if day == 1 {
            copy(&region.origin.folder, &folders.yesterday);
        }
    }
    region.destination.kill();
    copy(&region.destination.folder, &folders.other);
    copy(&region.origin.folder, &folders.today);
    (region, folders)
}

/// Shows a damaged folder to the program: it refuses with a sentence, or it starts and can say what is wrong.
async fn shown(region: &mut Region, folder: &Path, what: &str) -> Fate {
    let office = &mut region.origin;
    office.kill();
    fs::remove_dir_all(&office.folder).unwrap();
    copy(folder, &office.folder);
    if office.start().await.is_err() {
        let exit = office.ended();
        assert!(matches!(exit, Some(2 | 7 | 8)), "{what}: ended with {exit:?}");
        let log = fs::read_to_string(office.folder.join("serve.log")).unwrap_or_default();
        let told =
            log.lines().rev().any(|line| line.contains("CH-U09") || line.contains("CH-K09") || line.contains("CH-I09"));
        assert!(told && !log.contains("a panic"), "{what}: {log}");
        return Fate::Refused;
    }
    office.sign_in("ana").await.unwrap_or_else(|f| panic!("{what}: {} {}", f.code, f.text));
    let doctor = ask(office, Call::Scrub).await;
    office.kill();
    let found =
        doctor["findings"].as_array().unwrap().iter().any(|f| f["code"] == "CH-D0101" || f["code"] == "CH-D0102");
    if found { Fate::Named } else { Fate::NoEffect }
}

/// The kind of a file, for the table that is printed.
fn kind(file: &Path) -> &'static str {
    let text = file.to_str().unwrap();
    let kinds = [
        "store/journal-",
        "store/snapshot-",
        "store/events-",
        "store/bodies",
        "store/index-",
        "store/FORMAT",
        "store/LOCK",
        "log/",
        "keys/log.heads",
    ];
    kinds
        .into_iter()
        .find(|kind| text.starts_with(kind))
        .or_else(|| FIRST.into_iter().find(|f| *f == text))
        .unwrap_or("other")
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// What an identity says, its languages apart: an office changes those.
fn says(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(files::IDENTITY)).ok()?;
    let identity: clearhouse_node::setup::Identity = toml::from_str(&text).ok()?;
    Some([identity.net, identity.org, identity.node, identity.mailbox, identity.zone].join(" ").to_lowercase())
}

/// Makes another identifier of one in an identity.
fn change_first_digit(path: &Path, name: &str) {
    let text = fs::read_to_string(path).unwrap();
    let at = text.find(&format!("\n{name} = \"")).unwrap() + name.len() + 5;
    let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    fs::write(path, [&text[..at], other, &text[at + 1..]].concat()).unwrap();
}

#[test]
fn five_hundred_damages_of_a_nodes_folder_are_named_or_change_nothing() {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let (wanted, seed) = (number(DAMAGES, DAMAGES_USUALLY as u64), number(SEED, SystemClock.now()));
    println!("{SEED}={seed}");
    let mut dice = ChaCha20Rng::seed_from_u64(seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut region, folders) = lived_in(home.path()).await;
        let image = home.path().join("image");
        let lay = || {
            let _ = fs::remove_dir_all(&image);
            copy(&folders.today, &image);
        };
        lay();
        let before = seen(&image, &region.origin, &region).unwrap();
        assert!(before.told.is_empty() && before.unreadable.is_empty(), "{:?}", before.told);
        is_awake(&before, || seen(&image, &region.origin, &region).unwrap());
        let (ours, first): (Vec<PathBuf>, Vec<PathBuf>) =
            listed(&folders.today).into_iter().partition(|file| !FIRST.iter().any(|name| file == Path::new(name)));
        // sled does not check everything it wrote.
        let index = ours.iter().find(|file| kind(file) == "store/index-" && file.ends_with("db")).unwrap();
        let mut table = BTreeMap::<&str, [usize; 3]>::new();
        let mut done = 0;
        // Of the files that are read first, all damages are shown to the program.
        for file in &first {
            for how in ALL {
                lay();
                if !folders.damage(&image, file, how, &mut dice) {
                    continue;
                }
                let what = format!("{how:?} of {}", file.display());
                let fate = shown(&mut region, &image, &what).await;
                let identity = file == Path::new(files::IDENTITY);
                assert!(
                    fate == Fate::Refused || (identity && says(&image) == says(&folders.today)),
                    "{what}: the node serves with it"
                );
                table.entry(kind(file)).or_default()[fate as usize] += 1;
                done += 1;
            }
        }
        for name in ["net", "org", "node", "mailbox"] {
            lay();
            change_first_digit(&image.join(files::IDENTITY), name);
            let fate = shown(&mut region, &image, name).await;
            assert_eq!(fate, Fate::Refused, "an identity with another {name}: the node serves with it");
            done += 1;
        }
        for n in (0..).take_while(|n| *n < 100_000) {
            if done >= usize::try_from(wanted).unwrap() {
                break;
            }
            // Every file in every way before any of them again; in between, bits of the index.
            let (file, how) = match n % 4 {
                0 => (index, Damage::Flip),
                _ => (&ours[n % ours.len()], ALL[n / ours.len() % ALL.len()]),
            };
            lay();
            if !folders.damage(&image, file, how, &mut dice) {
                continue;
            }
            let what = format!("{how:?} of {}", file.display());
            let show = done % SHOWN_EVERY == 0;
            let aside = home.path().join("aside");
            if show {
                copy(&image, &aside);
            }
            let fate = judged(&before, seen(&image, &region.origin, &region));
            let fate = fate.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            if show {
                let by_the_program = shown(&mut region, &aside, &what).await;
                assert_eq!(
                    by_the_program == Fate::Refused,
                    fate == Fate::Refused,
                    "{what}: {by_the_program:?}, {fate:?}"
                );
                fs::remove_dir_all(&aside).unwrap();
            }
            table.entry(kind(file)).or_default()[fate as usize] += 1;
            done += 1;
        }
        println!("{done} damages. kind: refused, named, no effect");
        table.iter().for_each(|(kind, counts)| println!("{kind}: {counts:?}"));
        assert!(table.len() > 10, "a kind of file was not damaged: {table:?}");
        let index = table["store/index-"];
        assert!(index[0] == 0 && index[1] > 0, "the index can be derived, and its damage is named: {index:?}");
        for kind in ["store/journal-", "store/snapshot-", "store/events-", "store/bodies", "store/FORMAT"] {
            assert_eq!(table[kind][2], 0, "{kind}: not noticed");
        }
    });
}
