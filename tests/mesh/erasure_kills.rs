//! Kills the real program ahead of every call by which an erasure changes what is on the disk: the decision, the plan,
//! its parts, the wraps, the compaction, the key file, the device secret, the mark. Wherever it is cut, the next start
//! brings it to its end: the case is in no row that opens, every other one stands, the log is what it was.
//!
//! The calls are found by a library loaded before the C library, `faults/killat.c`; the program is the one people run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::control::SessionToken;
use clearhouse_node::setup::files;
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_store::keyfile::KeyFile;
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_store::{DurableStore, Store as _};
use memchr::memmem::find;
use rustix::process::{Pid, Signal, kill_process};

use super::behind::behind;
use super::canaries::{ask, forms, journey};
use super::erasure::{GONE_SECS, LOOK_EVERY, decide, erase, ids, keys, read_all, settle};
use super::region::{Member, Region, demo_passphrase};

/// Where the number of the deadly call stands, in a node's folder.
const KILL_AT: &str = "kill-at";
/// When nothing kills, so long after the keys turned everything is over.
const OVER: Duration = Duration::from_secs(2);
/// Set to another number, only every so manieth call kills.
const EVERY: &str = "CLEARHOUSE_ERASURE_KILL_EVERY";
/// Calls that kill while a coordinator has to hear of it, from the decision on. How many calls the telling takes depends
/// on the machine: it goes on until one kills behind it, or none does.
const TOLD_KILLS: [usize; 11] = [1, 2, 3, 5, 7, 10, 16, 24, 36, 54, 81];
const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Starts a node and signs its manager in.
async fn start(member: &mut Member) {
    member.start().await.unwrap();
    let passphrase = demo_passphrase("ana").as_str().to_owned();
    member.session = None;
    let session = ask(member, Call::SignIn { login: "ana".to_owned(), passphrase }).await;
    member.session = session["token"].as_str().map(|token| SessionToken::new(token.to_owned()));
}

fn is_dead(member: &Member) -> bool {
    let stat = member.pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stat.is_none_or(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')))
}

/// The epoch of a running node's keys, looked at in a copy.
fn epoch(member: &Member) -> u32 {
    let aside = member.folder.join("keys-seen");
    std::fs::copy(member.folder.join(files::KEYS), &aside).unwrap();
    KeyFile::open(&aside).unwrap().epoch()
}

/// Has a case erased while call `n` kills. Whether one did, and what the calls were.
async fn killed_at(member: &Member, case: &str, n: usize) -> (bool, Vec<String>) {
    let before = epoch(member);
    let control = member.folder.join(KILL_AT);
    std::fs::write(&control, format!("{n}\n")).unwrap();
    // Where the decision itself is cut, nobody answers.
    let _ = member.ask(erase(case, &[])).await;
    let (began, mut turned) = (Instant::now(), None);
    let dead = loop {
        if is_dead(member) {
            break true;
        }
        if epoch(member) > before && turned.get_or_insert_with(Instant::now).elapsed() > OVER {
            break false;
        }
        assert!(began.elapsed() < GONE_SECS, "it neither dies nor ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let calls = std::fs::read_to_string(&control).unwrap().lines().skip(1).map(str::to_owned).collect();
    (dead, calls)
}

fn signal(member: &Member, signal: Signal) {
    if let Some(pid) = member.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) {
        let _ = kill_process(pid, signal);
    }
}

/// Everything in the store of a node, opened with the keys there are; in a copy, so that looking mends nothing.
fn rows(member: &Member) -> (Vec<Row>, Vec<[u8; 32]>, u32) {
    let aside = member.folder.with_extension("aside");
    signal(member, Signal::STOP);
    copy(&member.folder, &aside);
    signal(member, Signal::CONT);
    let keys = keys(&aside);
    let store = DurableStore::open(&aside.join(files::STORE)).unwrap().0;
    let ledger = Ledger::new(store, Vault::new(keys.service(), keys.content()).unwrap());
    let tables: Vec<Table> = Table::ALL.into_iter().filter(|table| *table != Table::Wrap).collect();
    let rows = ledger.load(&tables).unwrap().rows;
    let count = ledger.store().event_count();
    let leaves = ledger.store().events(0, usize::try_from(count).unwrap()).unwrap();
    std::fs::remove_dir_all(aside).unwrap();
    (rows, leaves.iter().map(|leaf| leaf.commitment).collect(), keys.epoch())
}

/// Where the disk says that the erasure was cut.
fn stage(rows: &[Row], turned: bool) -> &'static str {
    let is = |kind: u8| rows.iter().any(|row| row.table == Table::Erasing && row.key[0] == kind);
    match (is(b'I'), is(b'P'), is(b'T'), turned) {
        (false, false, false, false) => "before the decision",
        (true, false, false, false) => "decided",
        (false, true, false, false) => "planned",
        (false, false, true, false) => "carried out",
        (false, false, true, true) => "keys turned",
        (false, false, false, true) => "over",
        found => panic!("no stage of an erasure: {found:?}"),
    }
}

/// Waits until nothing of an erasure is left to do and the keys are beyond this epoch, then looks at everything.
async fn ended(member: &mut Member, case: &str, before: u32) -> (Vec<Row>, Vec<[u8; 32]>) {
    let began = Instant::now();
    loop {
        let shown = ask(member, Call::CaseList).await.to_string();
        if !shown.contains(case) && epoch(member) > before {
            break;
        }
        assert!(began.elapsed() < GONE_SECS, "it is not brought to its end: {shown}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // The mark is the last row to go.
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (rows, leaves, _) = rows(member);
        if !rows.iter().any(|row| row.table == Table::Erasing) {
            member.kill();
            return (rows, leaves);
        }
        assert!(began.elapsed() < GONE_SECS, "something of the erasure is left to do for ever");
    }
}

/// What the erased case and the one that stays look like, and the log so far.
struct Before {
    gone: String,
    stays: String,
    ids: Vec<Vec<u8>>,
    leaves: Vec<[u8; 32]>,
}

fn judge(before: &Before, rows: &[Row], leaves: &[[u8; 32]]) {
    let forms = forms();
    for row in rows {
        let value = row.value.as_deref().unwrap_or_default();
        for (canary, form) in &forms {
            assert!(find(value, form).is_none(), "{canary} in a row of {:?}", row.table);
        }
        let named = before.ids.iter().any(|id| find(&row.key, id).is_some() || find(value, id).is_some());
        let remembered = [Table::Taken, Table::Mailbox].contains(&row.table);
        assert!(!named || remembered, "a row of {:?} names a message", row.table);
    }
    let of = |table: Table| rows.iter().filter(move |row| row.table == table);
    let facts: BTreeSet<&[u8]> = of(Table::Fact).map(|row| &row.key[..16]).collect();
    assert_eq!((facts.len(), of(Table::ConsentHistory).count()), (1, 1), "one case, and one history");
    assert!(of(Table::Document).next().is_none());
    assert_eq!(leaves[..before.leaves.len()], before.leaves, "the log is not what it was");
}

async fn every_call(program: &Path) {
    let mut region = Region::found_with(program, CONFIG, false, SystemClock.now()).unwrap();
    // The two ends know of no coordinator's node, so that nobody is waited for and a folder may be put back.
    let (records, prekeys) = (region.records.records.len() / 3 * 2, region.records.prekeys.len() / 3 * 2);
    region.records.records.truncate(records);
    region.records.prekeys.truncate(prekeys);
    let gone = journey(&mut region).await;
    let (d, o) = (&region.destination, &region.origin);
    read_all(o).await;
    read_all(d).await;
    settle(o).await;
    settle(d).await;
    let opened = ask(o, Call::CaseOpen { to: d.name.to_owned() }).await;
    let stays = opened["case"].as_str().unwrap().to_owned();
    let ids = ids(o, &gone).await;
    assert!(ids.len() > 5);
    region.destination.kill();
    region.coordinator.kill();
    let o = &mut region.origin;
    o.kill();
    let kept = o.folder.with_extension("kept");
    copy(&o.folder, &kept);
    let (rows_before, leaves, _) = rows(o);
    let before = Before { gone, stays, ids, leaves };
    assert!(
        forms().iter().any(|(_, form)| rows_before.iter().any(|r| find(r.value.as_deref().unwrap(), form).is_some()))
    );

    let every = std::env::var(EVERY).ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut stages: BTreeSet<&str> = BTreeSet::new();
    for n in (1..).step_by(every) {
        copy(&kept, &o.folder);
        start(o).await;
        let (dead, calls) = killed_at(o, &before.gone, n).await;
        o.kill();
        std::fs::remove_file(o.folder.join(KILL_AT)).unwrap();
        let (found, _, epoch) = rows(o);
        let stage = stage(&found, epoch > 1);
        println!("{n}: {} at {:?}: {stage}", if dead { "killed" } else { "not killed" }, calls.last());
        start(o).await;
        if stage == "before the decision" {
            // Nothing happened to it.
            let shown = ask(o, Call::ProfileShow { case: before.gone.clone() }).await.to_string();
            assert!(shown.contains("Zarnixa3"), "{shown}");
            decide(o, || erase(&before.gone, &[])).await;
        }
        let (after, leaves) = ended(o, &before.gone, 1).await;
        judge(&before, &after, &leaves);
        // With the keys of the new epoch the node serves on, and the other case stands.
        start(o).await;
        let shown = ask(o, Call::CaseShow { case: before.stays.clone() }).await;
        assert_eq!(shown["state"], "DRAFT");
        let doctor = ask(o, Call::Doctor).await;
        assert!(!doctor.to_string().contains("damaged"), "{doctor}");
        o.kill();
        stages.insert(stage);
        if !dead {
            assert_eq!(stage, "over");
            break;
        }
    }
    let all = ["before the decision", "carried out", "decided", "keys turned", "over", "planned"];
    assert_eq!(stages, BTreeSet::from(all), "a stage was never cut");
}

/// In a region with a coordinator that has to hear of each: cases erased one after the other, each cut elsewhere.
async fn with_a_coordinator(program: &Path) {
    let mut region = Region::found_with(program, CONFIG, false, SystemClock.now()).unwrap();
    let records = region.records.clone();
    for member in region.members() {
        member.start().await.unwrap();
        member.learn(&records).await.unwrap();
    }
    region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
    let (to, o) = (region.destination.name.to_owned(), &mut region.origin);
    let opened = ask(o, Call::CaseOpen { to: to.clone() }).await;
    let stays = opened["case"].as_str().unwrap().to_owned();
    let (mut cut, mut erased_cases) = (BTreeSet::new(), 0);
    for n in TOLD_KILLS {
        erased_cases += 1;
        let opened = ask(o, Call::CaseOpen { to: to.clone() }).await;
        let gone = opened["case"].as_str().unwrap().to_owned();
        let turns = epoch(o);
        let (dead, calls) = killed_at(o, &gone, n).await;
        o.kill();
        std::fs::remove_file(o.folder.join(KILL_AT)).unwrap();
        let (found, _, turned) = rows(o);
        let stage = stage(&found, turned > turns);
        println!("{n}: {} at {:?}: {stage}", if dead { "killed" } else { "not killed" }, calls.last());
        start(o).await;
        if stage == "before the decision" {
            decide(o, || erase(&gone, &[])).await;
        }
        let (after, _) = ended(o, &gone, turns).await;
        let facts: BTreeSet<&[u8]> = after.iter().filter(|r| r.table == Table::Fact).map(|r| &r.key[..16]).collect();
        assert_eq!(facts.len(), 1, "one case stays");
        start(o).await;
        assert_eq!(ask(o, Call::CaseShow { case: stays.clone() }).await["state"], "DRAFT");
        cut.insert(stage);
        if !["before the decision", "decided"].contains(&stage) {
            break;
        }
    }
    assert!(
        cut.contains("decided") && cut.len() > 2,
        "the telling was not cut, or it took more calls than that: {cut:?}"
    );
    // The log verifies, the erased entries with it, and its coordinator has nothing to ask.
    let began = Instant::now();
    loop {
        let list = ask(&region.origin, Call::AuditList { from: Some(0), count: None }).await;
        let entries = list["entries"].as_array().unwrap();
        let erased: Vec<u64> =
            entries.iter().filter(|e| e["event"] == "erased").map(|e| e["index"].as_u64().unwrap()).collect();
        // The opening of each case.
        assert_eq!(erased.len(), erased_cases, "{list}");
        if list["signed"].as_u64() >= erased.last().map(|last| last + 1) {
            for index in erased {
                ask(&region.origin, Call::AuditProve { index }).await;
            }
            break;
        }
        assert!(began.elapsed() < GONE_SECS, "no head is signed any more: {list}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let found = ask(&region.coordinator, Call::AuditReconcile).await;
    assert!(!found.to_string().contains("ERASED") && !found.to_string().contains("UNEXPLAINED"), "{found}");
}

fn run<F: Future<Output = ()>>(what: impl FnOnce(PathBuf) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = behind(folder.path(), "killat.c", "CLEARHOUSE_KILL_AT", KILL_AT) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what(program));
}

#[test]
fn an_erasure_killed_ahead_of_every_change_on_its_disk_comes_to_its_end() {
    run(|program| async move { every_call(&program).await });
}

#[test]
fn erasures_that_a_coordinator_has_to_hear_of_come_to_their_end_wherever_they_are_killed() {
    run(|program| async move { with_a_coordinator(&program).await });
}
