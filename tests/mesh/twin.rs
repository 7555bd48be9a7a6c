//! A node's folder is copied while the node runs, and both are started: one of them finds out from the witnesses of their
//! common log, stops with its sentence, and the other goes on. Nobody else is touched.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use clearhouse_node::calls::Call;
use clearhouse_node::setup::files;
use rustix::process::{Pid, Signal, kill_process};

use super::account::heard_past;
use super::canaries::{agreed, ask, staffed};
use super::found;
use super::load::{Sent, burst, judge};
use super::notice::directory;
use super::old_image::copy;
use super::region::{Member, Region};
use super::relay::reconfigure;

/// How long finding out may take on a busy machine; a network for training signs each second.
const FOUND_SECS: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How the program ends when something stored is not what it must be.
const INTEGRITY: i32 = 8;

/// A second process on a copied folder, with a port of its own.
struct Twin {
    endpoint: String,
    process: Child,
    folder: PathBuf,
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            println!(
                "what the copy said:\n{}",
                std::fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
            );
        }
    }
}

impl Twin {
    fn start(folder: &Path) -> Self {
        let endpoint = crate::free_port::on_loopback().unwrap().to_string();
        let quoted = Some(format!("{endpoint:?}"));
        reconfigure(folder, &[("listen", quoted.clone()), ("endpoint", quoted)]);
        let log = std::fs::File::create(folder.join("serve.log")).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_clearhouse"));
        serve.args(["serve", "--node"]).arg(folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { endpoint, process: serve.spawn().unwrap(), folder: folder.to_owned() }
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Copies the folder of a node that runs, at one moment of it. The node goes on, or stays frozen as a computer asleep.
fn copied(member: &Member, goes_on: bool) -> PathBuf {
    let (pid, to) = (member.pid().unwrap(), member.folder.with_extension("copy"));
    signal(pid, Signal::STOP);
    copy(&member.folder, &to);
    if goes_on {
        signal(pid, Signal::CONT);
    }
    to
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < FOUND_SECS, "{what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the process on this folder said when it stopped.
fn last_words(folder: &Path) {
    let said = std::fs::read_to_string(folder.join("serve.log")).unwrap();
    for words in ["another process uses this node's keys", "keep both", "CH-I0904"] {
        assert!(said.contains(words), "{said}");
    }
}

/// Waits until a member writes to the origin at this endpoint.
async fn writes_to(member: &Member, org: String, endpoint: &str) {
    until("the entry does not name where the node is", async || {
        let exported = ask(member, Call::DirectoryExport { org: Some(org.clone()) }).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(exported["bundle"].as_str().unwrap()).unwrap();
        memchr::memmem::find(&bytes, endpoint.as_bytes()).is_some()
    })
    .await;
}

fn endpoint_of(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join(files::CONFIG)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("endpoint = \"")).unwrap();
    line.trim_end_matches('"').to_owned()
}

async fn working() -> (Region, Sent) {
    let mut region = found("keep_content_open = true\nlog_level = \"info\"\n");
    staffed(&mut region).await;
    let sent = Sent::default();
    burst(&directory(&region), &region.destination, &region.origin, &sent).await;
    heard_past(&region, &region.origin, 10).await;
    (region, sent)
}

/// Nobody holds a proof against anybody, the coordinator hears all of the log, and what was acknowledged is there.
async fn nobody_is_harmed(region: &Region, sent: &Sent) {
    let logs = ask(&region.coordinator, Call::AuditLogs).await;
    assert!(!logs.to_string().contains("\"contradicted\":true"), "{logs}");
    for other in [&region.destination, &region.coordinator] {
        let said = std::fs::read_to_string(other.folder.join("serve.log")).unwrap();
        assert!(!said.contains("two histories"), "{said}");
    }
    judge(&region.origin, sent).await.unwrap();
}

fn run(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(what);
}

#[test]
fn a_copy_that_is_started_beside_a_node_that_works_on_finds_it_alive_and_stops() {
    run(async {
        let (region, sent) = working().await;
        let folder = copied(&region.origin, true);
        // What comes now is in the first folder alone.
        let known = directory(&region);
        burst(&known, &region.destination, &region.origin, &sent).await;
        let mut twin = Twin::start(&folder);
        let mut ended = None;
        until("the copy runs on", async || {
            // Somebody works in the first: looking at the log is an entry.
            ask(&region.origin, Call::AuditEntries { from: 0 }).await;
            ended = twin.process.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().code(), Some(INTEGRITY));
        last_words(&folder);
        // The first goes on, is found where it is, and has all it acknowledged.
        writes_to(&region.destination, region.origin.made.org.to_string(), &endpoint_of(&region.origin.folder)).await;
        agreed_with_all(&region, &sent).await;
    });
}

/// A case goes to the end between the two, on top of what the test itself sent.
async fn agreed_with_all(region: &Region, sent: &Sent) {
    nobody_is_harmed(region, sent).await;
    agreed(region).await;
}

#[test]
fn a_node_that_wakes_beside_a_copy_which_worked_meanwhile_stops_before_it_signs() {
    run(async {
        let (mut region, sent) = working().await;
        let (first, sleeper) = (region.origin.folder.clone(), region.origin.pid().unwrap());
        let signed = || std::fs::read(first.join("log/checkpoint")).unwrap();
        let folder = copied(&region.origin, false);
        let before = signed();
        let mut twin = Twin::start(&folder);
        region.origin.folder = folder;
        region.origin.session = None;
        until("the copy does not answer", async || region.origin.sign_in("ana").await.is_ok()).await;
        let entries = ask(&region.origin, Call::Status).await["log_signed"].as_u64().unwrap();
        writes_to(&region.destination, region.origin.made.org.to_string(), &twin.endpoint).await;
        heard_past(&region, &region.origin, entries).await;
        signal(sleeper, Signal::CONT);
        until("the first runs on", async || !answers(&first).await).await;
        last_words(&first);
        assert!(signed() == before, "it signed");
        assert!(twin.process.try_wait().unwrap().is_none(), "the copy stopped too");
        writes_to(&region.destination, region.origin.made.org.to_string(), &twin.endpoint).await;
        agreed_with_all(&region, &sent).await;
        region.origin.folder = first;
    });
}

/// Whether a process still serves this folder: its local door is the last thing that closes.
async fn answers(folder: &Path) -> bool {
    tokio::net::UnixStream::connect(folder.join(files::SOCKET)).await.is_ok()
}
