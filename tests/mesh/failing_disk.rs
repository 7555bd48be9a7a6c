//! A disk that fails under the real program, at each of its calls: full, read-only, with errors. Nothing is acknowledged
//! that is not there; other nodes and its own people are told that it was not taken; when the disk works again, so does
//! the node. After a failed sync of the journal nobody knows what the disk holds: the node ends, and the next start does.
//!
//! The calls fail by `faults/failat.c`. A disk that is really gone needs one of its own: there `faults/powercut_node.sh`
//! says so.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::rpc::status::{PeerError, Refused};
use clearhouse_protocol::directory::Directory;

use super::behind::behind;
use super::load::{Sent, again, holds, judge};
use super::notice::{directory, line, sealed_notice};
use super::powercut::{CUTS, Kind, found_on_disk};
use super::region::{Member, Region};

/// Where the failing calls stand, in a node's folder.
const FAIL_AT: &str = "fail-at";
/// Only every so manieth call is the first to fail; 1 for all.
const EVERY: &str = "CLEARHOUSE_FAIL_EVERY";
/// Without it.
const EVERY_USUALLY: usize = 8;
/// More calls than are made for the letters of one round.
const CALLS_MAX: usize = 40;
const LETTERS: usize = 6;
const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";
/// On a busy machine.
const LATE: Duration = Duration::from_secs(60);
/// What an integrity fault ends with (`desk.md` section 9).
const INTEGRITY: i32 = 8;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;

/// How a round went.
#[derive(Default)]
struct Round {
    sent: Sent,
    /// Deposits that were refused, and not taken.
    refused: usize,
    /// How the process ended, if it did.
    ended: Option<i32>,
}

/// A letter after the other; each is acknowledged, or refused with a word of its own, or the node ended.
async fn letters(known: &Directory, from: &Member, to: &mut Member) -> Round {
    let mut round = Round::default();
    for _ in 0..LETTERS {
        let (code, letter) = sealed_notice(known, from, to);
        round.sent.add(code.clone(), letter.clone());
        let answer = match line(known, from, to).await {
            Ok(client) => client.deposit(letter.mailbox, letter.digest, letter.bytes).await.map(drop),
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => round.sent.acknowledge(&code),
            Err(PeerError::Refused(Refused::Unavailable)) => round.refused += 1,
            Err(other) => {
                let began = Instant::now();
                while round.ended.is_none() {
                    round.ended = to.ended();
                    assert!(began.elapsed() < LATE, "the node lives, and says: {other}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return round;
            }
        }
    }
    round
}

/// The disk works again, and everything is as it must be.
async fn whole(known: &Directory, region: &mut Region, round: &Round, what: &str) {
    let (from, to) = (&region.destination, &mut region.origin);
    holds(known, from, to, &round.sent).await.unwrap_or_else(|why| panic!("{what}: {why}"));
    again(known, from, to, &round.sent).await;
    to.sign_in("ana").await.unwrap();
}

/// A region whose receiver's disk can be made to fail, with somebody in its office.
async fn scene(program: &Path) -> (Region, Directory) {
    let mut region = Region::found_with(program, CONFIG, false, SystemClock.now()).unwrap();
    let (records, known) = (region.records.clone(), directory(&region));
    let receiver = &mut region.origin;
    receiver.start().await.unwrap();
    receiver.learn(&records).await.unwrap();
    receiver.employ("ana", "Ana P.", "Manager").await.unwrap();
    receiver.kill();
    (region, known)
}

fn log(member: &Member) -> String {
    std::fs::read_to_string(member.folder.join("serve.log")).unwrap_or_default()
}

fn run<F: Future<Output = ()>>(what: impl FnOnce(PathBuf) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = behind(folder.path(), "failat.c", "CLEARHOUSE_FAIL_AT", FAIL_AT) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what(program));
}

fn every() -> usize {
    std::env::var(EVERY).ok().and_then(|n| n.parse().ok()).unwrap_or(EVERY_USUALLY)
}

/// From call `n` on everything that writes fails, until the disk works again.
async fn writes_fail(program: &Path, error: i32, name: &str) {
    let (mut region, known) = scene(program).await;
    let (all, mut refused, mut ended) = (Sent::default(), 0, 0);
    for n in (1..CALLS_MAX).step_by(every()) {
        region.origin.start().await.unwrap();
        region.origin.sign_in("ana").await.unwrap();
        let control = region.origin.folder.join(FAIL_AT);
        std::fs::write(&control, format!("w {n} 0 {error}\n")).unwrap();
        let round = letters(&known, &region.destination, &mut region.origin).await;
        // Its own people are told as well.
        if round.refused > 0 && round.ended.is_none() {
            let opened = region.origin.ask(Call::CaseOpen { to: region.destination.name.to_owned() }).await;
            let told = opened.expect_err("a case was opened on a disk that takes nothing");
            assert!(told.code.starts_with("CH-S") && told.text.contains("not"), "{} {}", told.code, told.text);
        }
        std::fs::remove_file(control).unwrap();
        let what = format!("{name} from write {n} on");
        if let Some(exit) = round.ended {
            assert_eq!(exit, INTEGRITY, "{what}: {}", log(&region.origin));
            region.origin.start().await.unwrap_or_else(|f| panic!("{what}: {f:?}"));
            ended += 1;
        }
        // By itself: nobody starts it again.
        whole(&known, &mut region, &round, &what).await;
        refused += round.refused;
        all.absorb(&round.sent);
        region.origin.kill();
    }
    region.origin.start().await.unwrap();
    region.origin.sign_in("ana").await.unwrap();
    let cases = judge(&region.origin, &all).await.unwrap_or_else(|what| panic!("{name}: {what}"));
    assert!(refused > 0, "{name} was never met");
    println!("{name} at writes: {refused} refused, {ended} ended the node; {cases} cases, 0 lost, 0 doubled");
}

#[test]
fn a_disk_that_takes_no_writes_costs_no_letter_and_the_node_goes_on_when_it_does() {
    run(|program| async move {
        for (error, name) in [(ENOSPC, "a full disk"), (EROFS, "a read-only disk"), (EIO, "an error")] {
            writes_fail(&program, error, name).await;
        }
    });
}

#[test]
fn a_failed_sync_ends_the_node_at_once_or_costs_nothing_and_the_next_start_serves() {
    run(|program| async move {
        let (mut region, known) = scene(&program).await;
        let (all, mut ended) = (Sent::default(), 0);
        for n in (1..CALLS_MAX).step_by(every()) {
            region.origin.start().await.unwrap();
            let control = region.origin.folder.join(FAIL_AT);
            std::fs::write(&control, format!("s {n} 1 {EIO}\n")).unwrap();
            let round = letters(&known, &region.destination, &mut region.origin).await;
            std::fs::remove_file(control).unwrap();
            let what = format!("an error at sync {n}");
            let exit = round.ended.or_else(|| region.origin.ended());
            if let Some(exit) = exit {
                assert_eq!(exit, INTEGRITY, "{what}: {}", log(&region.origin));
                assert!(log(&region.origin).contains("CH-I0901"), "{what}: {}", log(&region.origin));
                ended += 1;
            }
            region.origin.kill();
            region.origin.start().await.unwrap_or_else(|f| panic!("{what}: {f:?}"));
            whole(&known, &mut region, &round, &what).await;
            all.absorb(&round.sent);
            region.origin.kill();
        }
        region.origin.start().await.unwrap();
        region.origin.sign_in("ana").await.unwrap();
        let cases = judge(&region.origin, &all).await.unwrap_or_else(|what| panic!("{what}"));
        assert!(ended > 0, "no failed sync ended the node");
        println!("errors at syncs: {ended} ended the node; {cases} cases, 0 lost, 0 doubled");
    });
}

#[test]
fn a_disk_that_goes_away_under_the_node_takes_nothing_acknowledged_with_it() {
    if std::env::var(CUTS).is_err() {
        println!("skipped: {CUTS} is not set; tests/faults/powercut_node.sh sets it");
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_clearhouse"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for kind in [Kind::Ext4, Kind::Xfs] {
            let (mut region, known, disk) = found_on_disk(program, 91, kind).await;
            let records = region.records.clone();
            region.origin.session = None;
            region.origin.learn(&records).await.unwrap();
            region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
            let before = letters(&known, &region.destination, &mut region.origin).await;
            assert_eq!(before.sent.acknowledged().len(), LETTERS);
            disk.cut();
            let during = letters(&known, &region.destination, &mut region.origin).await;
            assert_eq!(during.sent.acknowledged().len(), 0, "acknowledged by a node without a disk");
            println!("{kind:?}: {} refused, ended with {:?}", during.refused, during.ended);
            assert!(during.ended.is_none_or(|exit| exit == INTEGRITY), "{:?}", during.ended);
            region.origin.kill();
            disk.umount();
            disk.mount();
            region.origin.start().await.unwrap();
            for round in [&before, &during] {
                whole(&known, &mut region, round, "the disk is back").await;
            }
            before.sent.absorb(&during.sent);
            judge(&region.origin, &before.sent).await.unwrap();
            region.origin.kill();
            drop(disk);
        }
    });
}
