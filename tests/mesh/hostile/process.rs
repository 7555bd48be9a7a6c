//! What the machine does to the process (row 56 of reliability section 5): stopped and let go on, out of files, out of
//! threads, out of memory, told to end under load. It recovers or refuses; what was accepted stays.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::rpc::status::PeerError;
use clearhouse_protocol::ids::Digest;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::super::load::{Sent, again, burst, holds};
use super::super::notice::line;
use super::peer::tcp;
use super::site::Site;

/// How long the process is stopped.
const STOPPED: Duration = Duration::from_secs(10);
/// How long anything may take on a busy machine that has no time of its own.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a node may take to end calls under way, and what a busy machine adds.
const DRAINED: Duration = Duration::from_secs(10 + 5);
const FILES: u64 = 64;

#[test]
fn what_the_machine_does_to_the_process_loses_nothing_that_was_accepted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut site = Site::open().await;
        let sent: Vec<Sent> = site.honest.iter().map(|_| Sent::default()).collect();
        stopped_and_let_go_on(&site, &sent[0]).await;
        out_of_files(&site, &sent[1]).await;
        out_of_threads(&site, &sent[2]).await;
        told_to_end(&mut site, &sent[3]).await;
        out_of_memory(&mut site, &sent[4]).await;
        for (from, sent) in site.honest.iter().zip(&sent) {
            let there = holds(&site.known, from, &site.region.origin, sent).await;
            there.unwrap_or_else(|what| panic!("{}: {what}", from.name));
        }
        let counters = site.counters().await;
        assert_eq!(counters["panics"], 0, "{counters:?}");
    });
}

fn pid(site: &Site) -> Pid {
    Pid::from_raw(site.region.origin.pid().unwrap().cast_signed()).unwrap()
}

/// More deposits, all of which must be acknowledged now or when they are made again.
async fn still_takes(site: &Site, at: usize, sent: &Sent) {
    let (from, to) = (&site.honest[at], &site.region.origin);
    let before = sent.acknowledged().len();
    let last = Sent::default();
    burst(&site.known, from, to, &last).await;
    assert!(!last.acknowledged().is_empty(), "nothing is taken any more");
    sent.absorb(&last);
    assert!(sent.acknowledged().len() > before);
}

/// Waits for the first deposit that is acknowledged.
async fn under_load(sent: &Sent) {
    let began = Instant::now();
    while sent.acknowledged().is_empty() {
        assert!(began.elapsed() < PATIENCE, "no load");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn stopped_and_let_go_on(site: &Site, sent: &Sent) {
    let (from, to) = (&site.honest[0], &site.region.origin);
    let stop = async {
        under_load(sent).await;
        kill_process(pid(site), Signal::STOP).unwrap();
        tokio::time::sleep(STOPPED).await;
        kill_process(pid(site), Signal::CONT).unwrap();
    };
    tokio::join!(burst(&site.known, from, to, sent), stop);
    again(&site.known, from, to, sent).await;
}

async fn out_of_files(site: &Site, sent: &Sent) {
    let few = Rlimit { current: Some(FILES), ..getrlimit(Resource::Nofile) };
    let many = prlimit(Some(pid(site)), Resource::Nofile, few).unwrap();
    let before = site.counters().await["no_files"];
    let old = line(&site.known, &site.honest[1], &site.region.origin).await.unwrap();
    let mut crowd = Vec::new();
    for n in 0..200u8 {
        match tcp([127, 0, 8, n % 40 + 1], site.fast.at).await {
            Ok(stream) => crowd.push(stream),
            Err(error) => {
                panic!("{error}: {}", std::fs::read_to_string(site.region.origin.folder.join("serve.log")).unwrap())
            }
        }
    }
    // A line that is open goes on while there is no file for another.
    let (code, letter) = super::super::notice::sealed_notice(&site.known, &site.honest[1], &site.region.origin);
    sent.add(code.clone(), letter.clone());
    let told = old.deposit(letter.mailbox, letter.digest, letter.bytes).await;
    assert!(matches!(told, Ok(_) | Err(PeerError::Refused(_))), "{:?}", told.err());
    drop(crowd);
    let began = Instant::now();
    while line(&site.known, &site.honest[1], &site.region.origin).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "no line any more");
    }
    assert!(site.counters().await["no_files"] > before, "there were files enough: not what is tried");
    still_takes(site, 1, sent).await;
    prlimit(Some(pid(site)), Resource::Nofile, many).unwrap();
}

/// A control group of this test's, gone with it. `None` where none can be made.
struct Group(PathBuf);

impl Group {
    fn new(kind: &str) -> Option<Self> {
        let path = Path::new("/sys/fs/cgroup").join(kind).join(format!("clearhouse-test-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn set(&self, name: &str, value: impl ToString) -> bool {
        std::fs::write(self.0.join(name), value.to_string()).is_ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whoever is still in it goes back to where it came from.
        let parent = self.0.parent().unwrap_or(Path::new("/")).join("cgroup.procs");
        for pid in std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = std::fs::write(&parent, pid);
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

async fn out_of_threads(site: &Site, sent: &Sent) {
    // Held still, or it begins a thread between being counted and being bounded.
    kill_process(pid(site), Signal::STOP).unwrap();
    let threads = site.used().threads;
    let bounded = Group::new("pids")
        .filter(|group| group.set("pids.max", threads) && group.set("cgroup.procs", site.region.origin.pid().unwrap()));
    kill_process(pid(site), Signal::CONT).unwrap();
    let Some(_group) = bounded else {
        return println!("SKIPPED out of threads: no control group for pids that takes a process can be made here");
    };
    still_takes(site, 2, sent).await;
    site.region.origin.ask(Call::Status).await.unwrap();
    assert!(site.used().threads <= threads);
}

async fn told_to_end(site: &mut Site, sent: &Sent) {
    let (was, hostile) = (pid(site), site.slow.line([127, 0, 8, 50]).await);
    let mut hostile = hostile;
    hostile.say(&super::slow::unfinished_deposit()).await;
    let ends = async {
        under_load(sent).await;
        let began = Instant::now();
        kill_process(was, Signal::TERM).unwrap();
        while !is_over(was) {
            assert!(began.elapsed() < DRAINED, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    };
    let ((), took) = tokio::join!(burst(&site.known, &site.honest[3], &site.region.origin, sent), ends);
    println!("told to end under load: over after {took:.1?}, {} acknowledged before", sent.acknowledged().len());
    start_again(site).await;
    again(&site.known, &site.honest[3], &site.region.origin, sent).await;
}

/// Its process has ended; nobody has looked at how yet.
fn is_over(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    status.lines().find(|line| line.starts_with("State:")).is_none_or(|line| line.contains('Z'))
}

async fn start_again(site: &mut Site) {
    site.region.origin.kill();
    site.region.origin.start().await.unwrap();
    site.region.origin.session = None;
    site.region.origin.sign_in("admin").await.unwrap();
}

async fn out_of_memory(site: &mut Site, sent: &Sent) {
    still_takes(site, 4, sent).await;
    let little = 24u64 << 20;
    let Some(group) = Group::new("memory").filter(|group| group.set("memory.limit_in_bytes", little)) else {
        return println!("SKIPPED out of memory: no control group for memory can be made here");
    };
    let was = pid(site);
    if !group.set("cgroup.procs", was.as_raw_nonzero()) {
        return println!("SKIPPED out of memory: the control group takes no process");
    }
    // The largest parcel there is: what the process has already stays its own, this is charged to the group.
    let client = line(&site.known, &site.region.destination, &site.region.origin).await.unwrap();
    let mailbox = site.known.descriptor(site.region.origin.made.node).unwrap().mailboxes[0].id.clone();
    let mailbox = mailbox.as_slice().try_into().unwrap();
    let told = client.deposit(mailbox, Digest([9; 32]), vec![7; 33 << 20]).await;
    assert!(told.is_err(), "it had memory enough: not what is tried");
    let began = Instant::now();
    while !is_over(was) {
        assert!(began.elapsed() < PATIENCE, "it was not ended: {:?}", told.err());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(group);
    start_again(site).await;
    still_takes(site, 4, sent).await;
}

#[test]
fn a_process_that_serves_leaves_no_core_and_lets_nobody_look_in() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = super::super::found("keep_content_open = true\nlog_level = \"info\"\n");
        region.origin.start().await.unwrap();
        let pid = region.origin.pid().unwrap();
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "0", "0"], "{core}");
        is_closed_to_its_own_user(pid, &region.origin.folder).await;
    });
}

/// The system gives what a process that must not be dumped has in /proc to root, whoever runs it. Root has to become
/// somebody else to see that.
async fn is_closed_to_its_own_user(serving: u32, folder: &Path) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65_534;
    // Whose what stands in a process's memory is.
    let memory_of = |pid: u32| std::fs::metadata(format!("/proc/{pid}/environ")).map(|of| of.uid());
    let me = std::fs::metadata("/proc/self").unwrap().uid();
    if me != 0 {
        return assert_eq!(memory_of(serving).ok(), Some(0), "its own user may look into the process");
    }
    // A program that ends by itself once its configuration is not there shows nothing; one that waits for a pass phrase
    // has hardened itself before it asks.
    let shared = std::env::temp_dir().join(format!("clearhouse-nobody-{}", std::process::id()));
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = shared.join("clearhouse");
    std::fs::copy(env!("CARGO_BIN_EXE_clearhouse"), &program).unwrap();
    let node = shared.join("node");
    copy_to(folder, &node, NOBODY);
    let mut serving = std::process::Command::new(&program)
        .args(["serve", "--node"])
        .arg(&node)
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let closed = loop {
        match (memory_of(serving.id()), serving.try_wait()) {
            (Ok(0), Ok(None)) => break true,
            (_, Ok(Some(_)) | Err(_)) | (Err(_), _) => break false,
            _ if began.elapsed() > PATIENCE => break false,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let mut plain = std::process::Command::new("sleep").arg("60").uid(NOBODY).spawn().unwrap();
    let open = memory_of(plain.id()).ok();
    for child in [&mut serving, &mut plain] {
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = std::fs::remove_dir_all(&shared);
    assert_eq!(open, Some(NOBODY), "any other process is its user's: what is seen above means something");
    assert!(closed, "its own user may look into the process");

    fn copy_to(from: &Path, to: &Path, owner: u32) {
        std::fs::create_dir(to).unwrap();
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
        chown(to, Some(owner), Some(owner)).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                copy_to(&path, &to, owner);
            } else if kind.is_file() {
                std::fs::copy(&path, &to).unwrap();
                chown(&to, Some(owner), Some(owner)).unwrap();
            }
        }
    }
}
