//! A computer whose clock is three days off, both ways and on both sides, by `faketime`. Rows 13, 52 and 53 of
//! reliability section 5.
//!
//! Refuses to lose a case to a clock: what could not be opened is told to its sender, and goes once the clock is right.
//! Without `faketime` these tests are skipped by name, and fail under `CI=true`.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::rpc::status::{PeerError, Refused};
use clearhouse_protocol::limits::DAY;
use serde_json::Value;

use super::super::histories::head;
use super::super::notice::{directory, line};
use super::{Office, found_at, runtime, silent};

/// Two offices in contact, both stopped, their records old enough for a clock that lies behind.
pub(super) struct Pair {
    pub(super) from: Office,
    pub(super) to: Office,
    region: super::super::region::Region,
}

impl Pair {
    pub(super) async fn make() -> Self {
        let mut region = found_at(SystemClock.now() - 10 * DAY);
        let records = region.records.clone();
        for member in [&mut region.destination, &mut region.origin] {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        region.destination.employ("elena", "Zarnixa R.", "Caseworker").await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        region.destination.kill();
        region.origin.kill();
        let (from, to) = (&region.destination.folder, &region.origin.folder);
        Self { from: Office::running_in(from), to: Office::running_in(to), region }
    }

    /// A coordinator whose clock is right runs, and the receiver has heard it.
    async fn confirm_receiver(&mut self) {
        let records = self.region.records.clone();
        self.region.coordinator.start().await.unwrap();
        self.region.coordinator.learn(&records).await.unwrap();
        start(&mut self.to, "", "ana").await;
        let began = std::time::Instant::now();
        while self.to.run(&["status"]).done()["clock"] != "trusted" {
            assert!(began.elapsed() < super::WAIT_MAX, "nobody confirms its clock: {}", self.to.log());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// Starts an office whose clock is `off`, such as `+3d`; right when that is empty.
async fn start(office: &mut Office, off: &str, login: &str) {
    office.stop();
    let mut command = office.command(&["serve"]);
    if !off.is_empty() {
        // Only the date is wrong, as with a dead battery; timers run on. The library is loaded without its wrapper, for
        // the process to be the node itself and not its parent.
        let library = library().unwrap();
        command.env("LD_PRELOAD", library).env("FAKETIME", off).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    office.start_by(command).await.unwrap_or_else(|told| panic!("{}", told.all));
    office.sign_in(login);
}

/// Where `faketime` keeps its library, asked for once.
pub(super) fn library() -> Option<&'static str> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        sweep();
        let told = Command::new("faketime").args(["-f", "+1d", "printenv", "LD_PRELOAD"]).output().ok()?;
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    FOUND.get_or_init(ask).as_deref()
}

/// Removes what `faketime` left of processes that are no more: named by their number, it would stop the next process
/// that gets the same. Ours are killed, so they leave something each time.
pub(super) fn sweep() {
    let Ok(shared) = std::fs::read_dir("/dev/shm") else { return };
    for entry in shared.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of = name.strip_prefix("faketime_shm_").or_else(|| name.strip_prefix("sem.faketime_sem_"));
        let gone = |pid: u32| !Path::new("/proc").join(pid.to_string()).exists();
        if of.and_then(|pid| pid.parse().ok()).is_some_and(gone) {
            // Somebody else's is not ours to remove, and does not matter then.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

pub(super) fn has_faketime() -> bool {
    let there = library().is_some();
    if !there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "faketime is missing: apt-get install faketime");
        println!("skipped: faketime is not installed");
    }
    there
}

/// A notice as the office's own clock dates it. Its code.
async fn send(office: &Office) -> String {
    let case = office.open_case().await;
    office.consent(&case, "ShareNotice", None).await.unwrap_or_else(|f| panic!("{}", f.text));
    office.notice(&case).await.unwrap_or_else(|f| panic!("{}", f.text));
    case
}

fn fate(shown: &Value) -> &str {
    shown["messages"].as_array().unwrap().last().map_or("", |m| m["fate"].as_str().unwrap())
}

fn has(office: &Office, login: &str, case: &str) -> bool {
    let listed = office.run(&["case", "list", "--as", login]).done();
    listed["cases"].as_array().unwrap().iter().any(|c| c["case"] == case)
}

/// Both clocks are right again.
async fn set_right(pair: &mut Pair) {
    start(&mut pair.from, "", "elena").await;
    start(&mut pair.to, "", "ana").await;
}

/// The notice was not opened, its sender is told, and it goes when it is sent again with both clocks right.
async fn is_told_and_goes_later(mut pair: Pair) {
    let case = send(&pair.from).await;
    let shown = pair.from.until(&case, |shown| fate(shown) == "could not be opened there").await;
    assert!(shown["facts"]["received"].is_null(), "{shown}");
    assert!(!has(&pair.to, "ana", &case), "a letter of another day became a case");
    assert!(pair.to.log().contains("not valid at this time"), "{}", pair.to.log());
    let outbox = pair.from.run(&["outbox", "--as", "elena"]);
    outbox.silent();
    let outbox = outbox.done();
    let row = outbox["messages"].as_array().unwrap().iter().find(|m| m["case"] == case.as_str()).unwrap().clone();
    assert!(row["why"].as_str().unwrap().contains("clock"), "nothing tells her what to look at: {row}");
    set_right(&mut pair).await;
    assert!(has(&pair.from, "elena", &case), "the case is gone with the wrong date");
    if let Err(refused) = pair.from.notice(&case).await {
        // A consent that the wrong clock dated in the future counts for nothing until then: she is asked again.
        assert_eq!(refused.code, "CH-C0307", "{}", refused.text);
        pair.from.consent(&case, "ShareNotice", None).await.unwrap_or_else(|f| panic!("{}", f.text));
        pair.from.notice(&case).await.unwrap_or_else(|f| panic!("it cannot be sent again: {}", f.text));
    }
    pair.from.until(&case, |shown| !shown["facts"]["received"].is_null()).await;
    assert!(has(&pair.to, "ana", &case));
    silent(&pair.from.log());
    silent(&pair.to.log());
}

/// The notice was taken, and its receipt speaks of a day that the sender's clock does not know or calls the future. With
/// both clocks right a person opens it, and the sender sees that.
async fn is_taken_and_read_later(mut pair: Pair) {
    let case = send(&pair.from).await;
    pair.from.until(&case, |shown| !shown["facts"]["stored"].is_null()).await;
    let began = std::time::Instant::now();
    loop {
        let outbox = pair.to.run(&["outbox", "--as", "ana"]).done();
        let waits = outbox["messages"].as_array().unwrap().iter().any(|m| m["state"] == "waiting to leave");
        if has(&pair.to, "ana", &case) && !waits {
            break;
        }
        assert!(began.elapsed() < super::WAIT_MAX, "it is not taken: {}", pair.to.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    set_right(&mut pair).await;
    pair.to.run(&["inbox", "open", &case, "--as", "ana"]).done();
    pair.from.until(&case, |shown| fate(shown) == "opened by a person").await;
    silent(&pair.from.log());
    silent(&pair.to.log());
}

#[test]
fn a_notice_from_a_clock_three_days_ahead_is_not_opened_and_its_sender_is_told_to_look_at_the_clock() {
    if !has_faketime() {
        return;
    }
    runtime().block_on(async {
        let mut pair = Pair::make().await;
        start(&mut pair.from, "+3d", "elena").await;
        pair.confirm_receiver().await;
        is_told_and_goes_later(pair).await;
    });
}

/// What `doctor` says of the clock.
fn doubted(office: &Office) -> bool {
    let doctor = office.run(&["doctor"]).out;
    doctor["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == "CH-N0211")
}

#[test]
fn a_notice_to_a_clock_three_days_behind_stays_closed_and_is_opened_by_itself_when_that_clock_is_right() {
    if !has_faketime() {
        return;
    }
    runtime().block_on(async {
        let mut pair = Pair::make().await;
        start(&mut pair.from, "", "elena").await;
        start(&mut pair.to, "-3d", "ana").await;
        assert!(doubted(&pair.to) && !doubted(&pair.from));
        let case = send(&pair.from).await;
        pair.from.until(&case, |shown| !shown["facts"]["stored"].is_null()).await;
        assert!(!has(&pair.to, "ana", &case), "opened by a clock in doubt");
        start(&mut pair.to, "", "ana").await;
        pair.from.until(&case, |shown| !shown["facts"]["received"].is_null()).await;
        assert!(has(&pair.to, "ana", &case) && !doubted(&pair.to));
        silent(&pair.from.log());
        silent(&pair.to.log());
    });
}

#[test]
fn a_notice_to_a_clock_three_days_ahead_is_kept_and_its_reading_is_seen_when_that_clock_is_right() {
    if !has_faketime() {
        return;
    }
    runtime().block_on(async {
        let mut pair = Pair::make().await;
        start(&mut pair.from, "", "elena").await;
        start(&mut pair.to, "+3d", "ana").await;
        is_taken_and_read_later(pair).await;
    });
}

#[test]
fn by_a_clock_three_days_behind_nothing_is_sealed_and_what_was_written_goes_when_it_is_right() {
    if !has_faketime() {
        return;
    }
    runtime().block_on(async {
        let mut pair = Pair::make().await;
        start(&mut pair.from, "-3d", "elena").await;
        start(&mut pair.to, "", "ana").await;
        let case = pair.from.open_case().await;
        pair.from.consent(&case, "ShareNotice", None).await.unwrap_or_else(|f| panic!("{}", f.text));
        let refused = pair.from.notice(&case).await.expect_err("sealed by a clock in doubt");
        assert_eq!(refused.code, "CH-N0211");
        assert!(
            refused.text.contains("Not done, nothing sent") && refused.text.contains("Set the clock"),
            "{}",
            refused.text
        );
        let status = pair.from.run(&["status"]).done();
        assert!(status["clock"].as_str().unwrap().starts_with("not trusted"), "{status}");
        set_right(&mut pair).await;
        pair.from.notice(&case).await.unwrap_or_else(|f| panic!("{}", f.text));
        pair.from.until(&case, |shown| !shown["facts"]["received"].is_null()).await;
        assert!(has(&pair.to, "ana", &case));
        silent(&pair.from.log());
        silent(&pair.to.log());
    });
}

#[test]
fn a_witness_whose_clock_is_three_days_behind_cosigns_nothing_and_holds_nothing_against_who_asks_again() {
    if !has_faketime() {
        return;
    }
    runtime().block_on(async {
        let mut region = found_at(SystemClock.now() - 10 * DAY);
        let records = region.records.clone();
        region.coordinator.start().await.unwrap();
        region.coordinator.learn(&records).await.unwrap();
        region.coordinator.employ("mira", "Mira K.", "Manager").await.unwrap();
        region.coordinator.kill();
        let mut witness = Office::running_in(&region.coordinator.folder);
        let known = directory(&region);
        start(&mut witness, "-3d", "mira").await;
        assert!(doubted(&witness));
        // The member's node does not run: the test asks in its name.
        let asked = || async {
            let client = line(&known, &region.destination, &region.coordinator).await.unwrap();
            client.add_checkpoint(head(&region.destination, 0, 1), Default::default()).await
        };
        assert!(matches!(asked().await, Err(PeerError::Refused(Refused::Unavailable))));
        start(&mut witness, "", "mira").await;
        assert_eq!(asked().await.unwrap().status, 200, "what a clock in doubt refused counts as asked");
        silent(&witness.log());
    });
}
