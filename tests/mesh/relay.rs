//! An office that lets nobody in, and the node that keeps its mailbox: messages pass both ways, the keeper is killed
//! under load, and what it has on its disk tells nobody who wrote.

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::rpc::client::Client;
use clearhouse_node::setup::files;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::ids::{Digest, MailboxId, hex};
use clearhouse_protocol::keys::PrekeySecret;
use clearhouse_protocol::limits::{DAY, ENVELOPE_LIFE_SECS, HOUR, MAILBOX_ITEMS_MAX};
use clearhouse_protocol::relay::{Depot, Kept, rented};
use clearhouse_protocol::rows::Table;
use clearhouse_store::DurableStore;
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::MailboxState;
use prost::Message as _;
use rand_core::Rng as _;
use serde_json::Value;

use super::canaries::{agreed, ask};
use super::found;
use super::load::{Sent, judge, wave};
use super::notice::{directory, line, sealed_notice};
use super::region::{Member, Region};

/// Kills of the keeper in one run; `CLEARHOUSE_RELAY_KILLS` sets another number. A hundred take about two minutes.
const KILLS: usize = 100;
/// What the keeper's own node may have left for the office meanwhile: answers to what its log told.
const NODES_MAIL_MAX: usize = 4;
/// After so many rounds the office fetches all there is: a mailbox holds no more than [`MAILBOX_ITEMS_MAX`].
const DRAIN_EVERY: usize = 15;
/// Deposits side by side.
const AT_ONCE: usize = 8;
/// Deposits of one round: with the same once more below the door's rate for one node.
const ROUND: usize = 24;
/// How long anything may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is said of a message that lies at the keeper.
pub(super) const WAITS: &str = "at Regional coordinator, waiting for Casa Nova to fetch it";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Changes lines of a node's configuration: those that begin with a key of `with` are replaced or added.
pub(super) fn reconfigure(folder: &Path, with: &[(&str, Option<String>)]) {
    let path = folder.join(files::CONFIG);
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text.lines().filter(|line| !with.iter().any(|(key, _)| line.starts_with(&format!("{key} = "))));
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    lines.extend(with.iter().filter_map(|(key, value)| value.as_ref().map(|v| format!("{key} = {v}"))));
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// A region whose origin lets nobody in and has its mailbox at the coordinator.
pub(super) fn behind_a_router(log_level: &str) -> Region {
    let region = found(&format!("keep_content_open = true\nlog_level = \"{log_level}\"\n"));
    let relays = format!("[\"{}\"]", region.coordinator.made.node);
    let none = Some("\"none\"".to_owned());
    reconfigure(&region.origin.folder, &[("listen", none), ("endpoint", None), ("relays", Some(relays))]);
    reconfigure(&region.coordinator.folder, &[("relay", Some("true".to_owned()))]);
    region
}

fn mailbox(region: &Region) -> MailboxId {
    rented(region.net, region.origin.made.node, region.coordinator.made.node)
}

/// Starts everybody; the origin says where its mailbox is, and its new entry goes round by itself.
pub(super) async fn start(region: &mut Region) -> wire::RecordBundle {
    let records = region.records.clone();
    for member in region.members() {
        member.start().await.unwrap();
        member.learn(&records).await.unwrap();
    }
    let entry = entry(&region.origin, mailbox(region)).await;
    // It has no port at which anybody could ask for its entry: it says so itself, and others ask those whom it told.
    for member in [&region.destination, &region.coordinator] {
        let began = Instant::now();
        while !holds(member, &region.origin, mailbox(region)).await {
            assert!(began.elapsed() < PATIENCE, "nobody heard of the mailbox");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    entry
}

/// Whether a member's directory has an entry of another that lists this mailbox.
pub(super) async fn holds(member: &Member, of: &Member, mailbox: MailboxId) -> bool {
    use base64::Engine as _;
    let exported = ask(member, Call::DirectoryExport { org: Some(of.made.org.to_string()) }).await;
    let bytes = base64::engine::general_purpose::STANDARD.decode(exported["bundle"].as_str().unwrap()).unwrap();
    memchr::memmem::find(&bytes, mailbox.as_bytes()).is_some()
}

/// The entry of a member that lists this mailbox.
async fn entry(member: &Member, mailbox: MailboxId) -> wire::RecordBundle {
    use base64::Engine as _;
    let began = Instant::now();
    loop {
        let exported = ask(member, Call::DirectoryExport { org: None }).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(exported["bundle"].as_str().unwrap()).unwrap();
        if memchr::memmem::find(&bytes, mailbox.as_bytes()).is_some() {
            return wire::RecordBundle::decode(bytes.as_slice()).unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "no entry lists the mailbox");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ports on which a process accepts connections.
fn ports(pid: u32) -> usize {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let tables = ["tcp", "tcp6"].map(|t| std::fs::read_to_string(format!("/proc/net/{t}")).unwrap_or_default());
    let listening = tables.iter().flat_map(|t| t.lines()).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_it = |line: &Vec<&str>| {
        line.get(3) == Some(&"0A") && line.get(9).is_some_and(|n| sockets.contains(&(*n).to_owned()))
    };
    listening.filter(of_it).count()
}

async fn outbox(member: &Member) -> Vec<String> {
    let outbox = ask(member, Call::Outbox).await;
    let state = |m: &Value| m["state"].as_str().unwrap_or_default().to_owned();
    outbox["messages"].as_array().unwrap().iter().map(state).collect()
}

#[test]
fn an_office_without_a_port_receives_through_its_keeper_and_answers() {
    runtime().block_on(async {
        let mut region = behind_a_router("debug");
        start(&mut region).await;
        assert_eq!((ports(region.origin.pid().unwrap()), ports(region.coordinator.pid().unwrap())), (0, 1));
        let status = ask(&region.origin, Call::Status).await;
        assert_eq!(status["mailboxes"], serde_json::json!(["Regional coordinator"]), "{status}");
        region.destination.employ("elena", "Elena R.", "Caseworker").await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        // The notice goes there, the acknowledgement and the answer come back, and receipts go both ways.
        let case = agreed(&region).await;
        let shown = ask(&region.destination, Call::CaseShow { case: case.clone() }).await;
        assert_eq!(shown["facts"]["accepted"]["for"], "Ana P.", "{shown}");
        // Switched off at night: what is sent says where it waits, and is there in the morning.
        region.origin.kill();
        depart(&region, &case).await;
        comes_to_wait(&region.destination, WAITS).await;
        let status = ask(&region.coordinator, Call::Status).await;
        assert!(status["kept_for_others"].as_u64() > Some(0), "{status}");
        assert_eq!(status["mailboxes"], serde_json::json!(["this node"]));
        let shown = ask(&region.destination, Call::CaseShow { case: case.clone() }).await.to_string();
        assert!(shown.contains(WAITS), "{shown}");
        region.origin.start().await.unwrap();
        region.origin.session = None;
        region.origin.sign_in("ana").await.unwrap();
        super::canaries::until(&region.origin, &case, |s| s["state"] == "IN_TRANSIT").await;
        super::canaries::until(&region.destination, &case, |s| !s["messages"].to_string().contains(WAITS)).await;
        // The keeper writes to its own tenant like everybody else.
        let began = Instant::now();
        while !outbox(&region.coordinator).await.is_empty() {
            assert!(began.elapsed() < PATIENCE, "{:?}", outbox(&region.coordinator).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

/// Sends word of a departure that changes nothing but has to arrive.
pub(super) async fn depart(region: &Region, case: &str) {
    let form = clearhouse_casework::forms::DepartureForm {
        outcome: "Left".to_owned(),
        at: None,
        planned_arrival: Some(clearhouse_casework::forms::show_time(SystemClock.now() + 3600)),
    };
    ask(&region.destination, Call::Depart { case: case.to_owned(), form }).await;
}

pub(super) async fn comes_to_wait(member: &Member, words: &str) {
    let began = Instant::now();
    while !outbox(member).await.iter().any(|state| state == words) {
        assert!(began.elapsed() < PATIENCE, "{:?}", outbox(member).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

// Promise P12, of mailboxes: several are tried in order, and what comes through two of them is one letter.
#[test]
fn a_message_whose_keeper_is_lost_takes_the_next_mailbox_and_is_one_letter() {
    runtime().block_on(async {
        let mut region = found("keep_content_open = true\nlog_level = \"debug\"\n");
        let relays = format!("[\"{}\"]", region.coordinator.made.node);
        reconfigure(&region.origin.folder, &[("relays", Some(relays))]);
        reconfigure(&region.coordinator.folder, &[("relay", Some("true".to_owned()))]);
        start(&mut region).await;
        region.destination.employ("elena", "Elena R.", "Caseworker").await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let case = agreed(&region).await;
        region.origin.kill();
        depart(&region, &case).await;
        comes_to_wait(&region.destination, WAITS).await;
        // The keeper is gone; the office is back and can be reached itself.
        region.coordinator.kill();
        let digest = kept(&region);
        region.origin.start().await.unwrap();
        region.origin.session = None;
        region.origin.sign_in("ana").await.unwrap();
        let began = Instant::now();
        while ask(&region.origin, Call::CaseShow { case: case.clone() }).await["state"] != "IN_TRANSIT" {
            assert!(began.elapsed() < PATIENCE, "it did not take the next mailbox");
            ask(&region.destination, Call::OutboxRetry).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        // It is back after all, with its copy.
        let departures = async |region: &Region| {
            let shown = ask(&region.origin, Call::CaseShow { case: case.clone() }).await;
            shown["messages"].as_array().unwrap().iter().filter(|m| m["kind"] == "departure").count()
        };
        assert_eq!(departures(&region).await, 1);
        region.coordinator.start().await.unwrap();
        let known = directory(&region);
        let client = keepers_line(&region, &known).await.unwrap();
        emptied(&client, digest).await;
        assert_eq!(departures(&region).await, 1, "two copies are one letter");
    });
}

/// What lies at the keeper, by its disk.
fn kept(region: &Region) -> Digest {
    let keys = &region.coordinator.made.keys;
    let store = DurableStore::open(&region.coordinator.folder.join(files::STORE)).unwrap().0;
    let rows =
        Ledger::new(store, Vault::new(keys.service(), keys.content()).unwrap()).load(&[Table::Relay]).unwrap().rows;
    let kept = rows.iter().filter_map(|row| Kept::decode(row.value.as_ref()?.as_slice()).ok());
    let waiting: Vec<Kept> = kept.filter(|kept| kept.state == 1).collect();
    Digest::try_from(waiting.last().expect("something waits").digest.as_slice()).unwrap()
}

/// Notices for the origin, named for its mailbox at the keeper.
fn letters(region: &Region, known: &Directory, count: usize) -> Vec<(String, clearhouse_protocol::envelope::Sealed)> {
    let mailbox = mailbox(region);
    let letter = |_| {
        let (code, mut letter) = sealed_notice(known, &region.destination, &region.origin);
        letter.mailbox = mailbox;
        (code, letter)
    };
    (0..count).map(letter).collect()
}

async fn keepers_line(region: &Region, known: &Directory) -> Option<Client> {
    line(known, &region.destination, &region.coordinator).await.ok()
}

/// Deposits at the keeper until a round is full or the line breaks.
async fn burst(region: &Region, known: &Directory, sent: &Sent) {
    let until_broken = async {
        let Some(client) = keepers_line(region, known).await else { return };
        while sent.count() < ROUND {
            let letters = letters(region, known, AT_ONCE);
            letters.iter().for_each(|(code, letter)| sent.add(code.clone(), letter.clone()));
            if !wave(&client, letters, sent).await {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), until_broken).await;
}

/// How many that were acknowledged the keeper does not know.
async fn lost(region: &Region, known: &Directory, sent: &Sent) -> usize {
    let client = keepers_line(region, known).await.unwrap();
    let acknowledged = sent.acknowledged();
    let mut lost = 0;
    for (_, letter) in sent.letters().into_iter().filter(|(code, _)| acknowledged.contains(code)) {
        let outcome = client.outcome(letter.digest).await.unwrap();
        lost += usize::from(!matches!(outcome.state(), MailboxState::Stored | MailboxState::Fetched));
    }
    lost
}

/// Waits until a letter is not at the keeper any more, nor any before it.
async fn emptied(client: &Client, digest: Digest) {
    let began = Instant::now();
    while client.outcome(digest).await.unwrap().state() != MailboxState::Fetched {
        assert!(began.elapsed() < PATIENCE, "it was not fetched");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn kill_now(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn a_keeper_killed_again_and_again_under_load_loses_nothing_it_acknowledged() {
    let kills = std::env::var("CLEARHOUSE_RELAY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    runtime().block_on(async {
        let mut region = behind_a_router("info");
        let entry = start(&mut region).await;
        // Only its doors are tried: the sender is the test itself.
        region.destination.kill();
        let known = directory(&region);
        let sent = Sent::default();
        for round in 0..kills {
            let moment = Duration::from_millis(5 + chance().next_u64() % 150);
            let pid = region.coordinator.pid().unwrap();
            let killer = async {
                tokio::time::sleep(moment).await;
                kill_now(pid);
            };
            let last = Sent::default();
            tokio::join!(burst(&region, &known, &last), killer);
            region.coordinator.kill();
            region.coordinator.start().await.unwrap_or_else(|f| panic!("round {round}: {f:?}"));
            assert_eq!(lost(&region, &known, &last).await, 0, "round {round}");
            // Whoever lost an answer deposits again.
            let client = keepers_line(&region, &known).await.unwrap();
            for some in last.letters().chunks(AT_ONCE) {
                assert!(wave(&client, some.to_vec(), &last).await, "round {round}: not taken again");
            }
            let newest = last.letters().pop();
            sent.absorb(&last);
            if round % DRAIN_EVERY == DRAIN_EVERY - 1 {
                // Between kills as close as these the office hardly comes to fetch; started anew it does at once.
                region.origin.kill();
                region.origin.start().await.unwrap();
                emptied(&client, newest.unwrap().1.digest).await;
            }
        }
        region.origin.session = None;
        region.origin.learn(&entry).await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let began = Instant::now();
        // Everything reaches the office behind the router, each once.
        let cases = loop {
            match judge(&region.origin, &sent).await {
                Ok(cases) => break cases,
                Err(what) => assert!(began.elapsed() < PATIENCE, "{what}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let acknowledged = sent.acknowledged().len();
        assert!(acknowledged > kills, "only {acknowledged} deposits were acknowledged: no load");
        println!(
            "{kills} kills of a keeper: {acknowledged} acknowledged of {} sent, {cases} cases, 0 lost",
            sent.count()
        );
    });
}

/// Every file below a folder.
fn files_of(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_of(&path, into);
        } else if path.is_file() {
            into.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

// Attack 36: whoever takes a keeper's machine with all its keys, after as many messages as a mailbox holds.
#[test]
fn attack_36_a_keepers_disk_and_log_name_nobody_who_wrote_and_open_nothing() {
    runtime().block_on(async {
        let mut region = behind_a_router("trace");
        start(&mut region).await;
        region.origin.kill();
        region.destination.kill();
        let known = directory(&region);
        let sent = Sent::default();
        while sent.count() < MAILBOX_ITEMS_MAX - NODES_MAIL_MAX {
            // A keeper that starts again has forgotten how fast somebody was: the pace is not what is tried.
            region.coordinator.kill();
            region.coordinator.start().await.unwrap();
            let mut client = keepers_line(&region, &known).await.unwrap();
            for _ in 0..6 {
                let some = letters(&region, &known, AT_ONCE.min(MAILBOX_ITEMS_MAX - NODES_MAIL_MAX - sent.count()));
                some.iter().for_each(|(code, letter)| sent.add(code.clone(), letter.clone()));
                // On a busy machine an answer can come too late: the same again has one effect, but counts for the pace.
                let mut tries = 0;
                while !wave(&client, some.clone(), &sent).await {
                    tries += 1;
                    assert!(tries < 4, "not taken");
                    region.coordinator.kill();
                    region.coordinator.start().await.unwrap();
                    client = keepers_line(&region, &known).await.unwrap();
                }
            }
        }
        let mut client = keepers_line(&region, &known).await.unwrap();
        let mut refused = 0;
        for _ in 0..=2 * NODES_MAIL_MAX {
            let one = letters(&region, &known, 1);
            one.iter().for_each(|(code, letter)| sent.add(code.clone(), letter.clone()));
            if wave(&client, one, &sent).await {
                refused = 0;
                continue;
            }
            refused += 1;
            region.coordinator.kill();
            region.coordinator.start().await.unwrap();
            client = keepers_line(&region, &known).await.unwrap();
        }
        assert!(refused > NODES_MAIL_MAX, "more than it holds");
        let acknowledged = sent.acknowledged().len();
        assert!((MAILBOX_ITEMS_MAX - NODES_MAIL_MAX..=MAILBOX_ITEMS_MAX).contains(&acknowledged), "{acknowledged}");
        region.coordinator.kill();
        nothing_names_the_sender(&region);
        nothing_opens(&region, &known, &sent);
    });
}

fn nothing_names_the_sender(region: &Region) {
    let from = &region.destination;
    let text = std::fs::read_to_string(from.folder.join(files::CONFIG)).unwrap();
    let endpoint =
        text.lines().find_map(|line| line.strip_prefix("endpoint = \"")).unwrap().trim_end_matches('"').to_owned();
    let mut secrets = vec![from.name.as_bytes().to_vec(), endpoint.into_bytes()];
    for id in [from.made.org.to_vec(), from.made.node.to_vec()] {
        secrets.extend([hex(&id).into_bytes(), id]);
    }
    let mut all = Vec::new();
    files_of(&region.coordinator.folder, &mut all);
    let bytes: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes > MAILBOX_ITEMS_MAX * 4096, "only {bytes} bytes were searched");
    for (name, content) in &all {
        for secret in &secrets {
            let found = memchr::memmem::find(content, secret).is_some();
            assert!(!found, "{} is in {name}", String::from_utf8_lossy(secret));
        }
    }
    println!("{bytes} bytes of a keeper searched for who wrote: nothing");
}

fn nothing_opens(region: &Region, known: &Directory, sent: &Sent) {
    let (keeper, keys) = (&region.coordinator.made, &region.coordinator.made.keys);
    let store = DurableStore::open(&region.coordinator.folder.join(files::STORE)).unwrap().0;
    let ledger = Ledger::new(store, Vault::new(keys.service(), keys.content()).unwrap());
    let kept = ledger.load(&[Table::Relay]).unwrap();
    assert!(kept.damaged.is_empty());
    let secrets: Vec<PrekeySecret> =
        keys.content().unwrap().prekeys().values().map(|seed| PrekeySecret::from_seed(seed.expose())).collect();
    let now = SystemClock.now();
    let reader = Reader::new((keeper.org, keeper.node), known, now);
    let from = &region.destination.made;
    let letters: Vec<Digest> = sent.letters().iter().map(|(_, letter)| letter.digest).collect();
    let mut others = 0;
    for row in &kept.rows {
        let value = row.value.as_ref().unwrap();
        for id in [from.org.to_vec(), from.node.to_vec()] {
            assert!(memchr::memmem::find(value, &id).is_none(), "a row names who wrote");
        }
        let kept = Kept::decode(value.as_slice()).unwrap();
        let digest = Digest::try_from(kept.digest.as_slice()).unwrap();
        let is_ours = letters.contains(&digest);
        others += usize::from(!is_ours);
        // What nodes write to each other lives as long as anything may.
        let life = if is_ours { DAY } else { ENVELOPE_LIFE_SECS };
        assert!(now / HOUR - kept.hour <= 1, "hours");
        assert!(kept.until_hour <= (now + life) / HOUR + 1, "hours: {} of {}", kept.until_hour, now / HOUR);
        assert!(clearhouse_protocol::limits::SIZE_CLASSES.contains(&kept.size_class), "classes");
        let bytes = ledger.read(Table::Envelope, &Depot::bytes_key(mailbox(region), digest)).unwrap().unwrap();
        let outside = Outside::parse(&bytes).unwrap();
        assert!(secrets.iter().all(|secret| open(&outside, Some(secret), &reader).is_err()), "a keeper opened one");
    }
    assert_eq!(kept.rows.len(), MAILBOX_ITEMS_MAX);
    assert!(others <= NODES_MAIL_MAX, "{others} that nobody here sent");
}
