//! Cuts the power under the real program while it takes deposits of 5 KiB to 8 MiB. What was acknowledged is there
//! afterwards, once, and the node serves again without a hand being lifted. On ext4 and on xfs.
//!
//! The receiver's folder lies on a file system of its own. The node is stopped, its acknowledgements are drained, the
//! file system is shut down without flushing its log, the node is killed, the file system is mounted again, and the
//! node is started. The calibration is the same program with every sync made to do nothing (`faults/nosync.c`): plain
//! kills must show nothing, and power cuts must be seen.
//!
//! Runs where `faults/powercut_node.sh` says how many cuts: it needs root, loop devices and `xfs_io`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_protocol::directory::Directory;
use rand_core::Rng as _;
use rustix::process::{Pid, Signal, kill_process};

use super::load::{Sent, again, burst, holds, judge, parcels};
use super::notice::directory;
use super::region::Region;

/// How many cuts on ext4; unset where the machine cannot make any.
pub(super) const CUTS: &str = "CLEARHOUSE_POWERCUTS";
/// How many on xfs.
const XFS_CUTS: &str = "CLEARHOUSE_POWERCUTS_XFS";
/// A library that makes every sync do nothing.
const NOSYNC: &str = "CLEARHOUSE_NOSYNC";
/// How long a stopped process may take until none of its threads runs.
const STOP_MAX: Duration = Duration::from_secs(10);
/// What left before the stop is read within this.
const DRAIN: Duration = Duration::from_millis(200);
/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(10);

/// What is deposited beside notices: below and above what the store keeps in its journal, and a few photographs.
const PARCELS: [usize; 3] = [40 << 10, 200 << 10, 8 << 20];
/// Rounds whose parcels are asked after at once: fewer than a node answers one other in a minute.
const ASKED: usize = 30;
/// Every so manieth cut comes late enough for all of them; the others meet the first deposits.
const LATE_EVERY: u32 = 3;
/// How late that is at most, in milliseconds.
const LATE: u64 = 900;
/// The same for the others.
const EARLY: u64 = 90;

/// Which file system lies under a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Ext4,
    Xfs,
}

/// A file system of its own in a file, mounted where a member's folder was.
pub(super) struct Disk {
    image: PathBuf,
    device: String,
    at: PathBuf,
}

impl Disk {
    /// Makes the file system, moves what lies in `folder` onto it, and mounts it there.
    fn under(folder: &Path, n: u32, kind: Kind) -> Self {
        let image = folder.with_extension(format!("{n}.image"));
        std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        match kind {
            Kind::Ext4 => run("mkfs.ext4", &["-q", "-F"], &[&image]),
            Kind::Xfs => run("mkfs.xfs", &["-q", "-f"], &[&image]),
        };
        let device = run("losetup", &["-f", "--show"], &[&image]).trim().to_owned();
        let disk = Self { image, device, at: folder.to_owned() };
        let aside = folder.with_extension(format!("{n}.aside"));
        std::fs::rename(folder, &aside).unwrap();
        std::fs::create_dir(folder).unwrap();
        disk.mount();
        run("cp", &["-a"], &[&aside.join("."), folder]);
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        run("sync", &["-f"], &[folder]);
        std::fs::remove_dir_all(aside).unwrap();
        disk
    }

    pub(super) fn mount(&self) {
        run("mount", &[&self.device], &[&self.at]);
    }

    /// The power is gone: what was not flushed is lost.
    pub(super) fn cut(&self) {
        run("xfs_io", &["-x", "-c", "shutdown"], &[&self.at]);
    }

    pub(super) fn umount(&self) {
        run("umount", &[], &[&self.at]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
        let _ = std::fs::remove_file(&self.image);
    }
}

fn run(program: &str, words: &[&str], paths: &[&Path]) -> String {
    let out = Command::new(program).args(words).args(paths).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Cut,
    Kill,
}

/// What was sent in all rounds so far.
#[derive(Default)]
struct Load {
    notices: Sent,
    /// By round.
    parcels: Vec<Sent>,
    /// How many of each were acknowledged before their cut.
    acknowledged: (usize, usize),
    /// Cuts by which something under way was hit.
    in_the_middle: u32,
}

/// One burst that ends in the middle, between so many ms after its start; or what is wrong afterwards.
async fn round(
    region: &mut Region,
    known: &Directory,
    disk: &Disk,
    (how, from, to): (How, u64, u64),
    load: &mut Load,
) -> Result<(), String> {
    let (last, large) = (Sent::default(), Sent::default());
    let moment = Duration::from_millis(from + chance().next_u64() % (to - from));
    let pid = region.origin.pid().and_then(|p| Pid::from_raw(p.try_into().ok()?)).ok_or("no process")?;
    let stopped = async {
        tokio::time::sleep(moment).await;
        kill_process(pid, Signal::STOP).map_err(|e| e.to_string())?;
        let began = Instant::now();
        while !all_stopped(pid) {
            if began.elapsed() > STOP_MAX {
                return Err("the node does not stop".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(DRAIN).await;
        Ok(())
    };
    let (sender, receiver) = (&region.destination, &region.origin);
    let sending = async {
        tokio::join!(burst(known, sender, receiver, &last), parcels(&PARCELS, known, sender, receiver, &large));
        std::future::pending().await
    };
    tokio::select! {
        () = sending => {}
        done = stopped => done?,
    }
    if how == How::Cut {
        disk.cut();
    }
    region.origin.kill();
    if how == How::Cut {
        disk.umount();
        disk.mount();
    }
    let back = region.origin.start().await.map_err(|f| format!("{f:?}"))?;
    assert!(back < START_MAX, "serving again after {back:?}");
    let (sender, receiver) = (&region.destination, &region.origin);
    for sent in [&last, &large] {
        holds(known, sender, receiver, sent).await?;
    }
    let acknowledged = (last.acknowledged().len(), large.acknowledged().len());
    load.acknowledged = (load.acknowledged.0 + acknowledged.0, load.acknowledged.1 + acknowledged.1);
    load.in_the_middle += u32::from(acknowledged.0 < last.count() || acknowledged.1 < large.count());
    for sent in [&last, &large] {
        again(known, sender, receiver, sent).await;
    }
    load.notices.absorb(&last);
    load.parcels.push(large);
    Ok(())
}

/// Every thread must be stopped: one that is still in a sync would make the cut come before its acknowledgement.
fn all_stopped(pid: Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// A region whose receiver keeps its folder on a disk of its own and runs `program`. The sender's node is up beside it:
/// without a witness a node that starts again signs nothing.
pub(super) async fn found_on_disk(program: &Path, n: u32, kind: Kind) -> (Region, Directory, Disk) {
    let config = "keep_content_open = true\nlog_level = \"info\"\n";
    let mut region = Region::found_with(program, config, false, SystemClock.now()).unwrap();
    let records = region.records.clone();
    for member in [&mut region.destination, &mut region.origin] {
        member.start().await.unwrap();
        member.learn(&records).await.unwrap();
    }
    region.origin.kill();
    let known = directory(&region);
    let disk = Disk::under(&region.origin.folder, n, kind);
    region.origin.start().await.unwrap();
    (region, known, disk)
}

/// So many rounds, each on a new disk and late enough that something was acknowledged; in how many something was wrong.
async fn seen(program: &Path, rounds: u32, how: How, kind: Kind) -> u32 {
    let mut seen = 0;
    for n in 0..rounds {
        let (mut region, known, disk) = found_on_disk(program, n, kind).await;
        let what = round(&mut region, &known, &disk, (how, 60, LATE), &mut Load::default()).await;
        region.origin.kill();
        drop(disk);
        if let Err(what) = what {
            println!("  never synced, {kind:?} {n}: {}", what.lines().next().unwrap_or_default());
            seen += 1;
        }
    }
    seen
}

/// How many cuts are asked for on a file system.
fn cuts(kind: Kind) -> Option<u32> {
    let name = if kind == Kind::Ext4 { CUTS } else { XFS_CUTS };
    let cuts = std::env::var(name).ok().and_then(|n| n.parse().ok());
    if cuts.is_none() {
        println!("skipped: {name} is not set; tests/faults/powercut_node.sh sets it");
    }
    cuts
}

async fn cut_under_load(cuts: u32, kind: Kind) {
    let program = Path::new(env!("CARGO_BIN_EXE_clearhouse"));
    let (mut region, known, disk) = found_on_disk(program, 0, kind).await;
    let mut load = Load::default();
    for n in 0..cuts {
        let to = if n % LATE_EVERY == 0 { LATE } else { EARLY };
        let done = round(&mut region, &known, &disk, (How::Cut, 5, to), &mut load).await;
        done.unwrap_or_else(|what| panic!("cut {n} on {kind:?}: {what}"));
    }
    let (notices, parcels) = load.acknowledged;
    assert!(notices > 2 * cuts as usize && load.in_the_middle > cuts / 10, "the cuts met no load");
    assert!(cuts < 5 || parcels > 0, "no parcel was ever acknowledged before its cut");
    let records = region.records.clone();
    region.origin.session = None;
    region.origin.learn(&records).await.unwrap();
    region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
    let cases = judge(&region.origin, &load.notices).await.unwrap_or_else(|what| panic!("{what}"));
    for some in load.parcels.chunks(ASKED) {
        // A node that starts again has not counted yet how much it was asked.
        region.origin.kill();
        region.origin.start().await.unwrap();
        for sent in some {
            holds(&known, &region.destination, &region.origin, sent).await.unwrap_or_else(|what| panic!("{what}"));
        }
    }
    println!(
        "{cuts} power cuts on {kind:?}, {} in the middle of deposits: {} notices sent, {notices} acknowledged before \
         their cut, {cases} cases; {} parcels of up to 8 MiB, {parcels} before their cut; 0 lost, 0 doubled",
        load.in_the_middle,
        load.notices.count(),
        load.parcels.iter().map(Sent::count).sum::<usize>()
    );
    region.origin.kill();
    drop(disk);
}

fn run_on<F: Future<Output = ()>>(what: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what);
}

#[test]
fn power_cuts_under_load_lose_nothing_acknowledged_and_double_nothing() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        if let Some(cuts) = cuts(kind) {
            run_on(cut_under_load(cuts, kind));
        }
    }
}

#[test]
fn a_node_that_never_syncs_is_seen_by_power_cuts_and_not_by_kills() {
    let Ok(nosync) = std::env::var(NOSYNC) else {
        println!("skipped: {NOSYNC} is not set; tests/faults/powercut_node.sh sets it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("clearhouse-never-synced");
    let real = env!("CARGO_BIN_EXE_clearhouse");
    std::fs::write(&program, format!("#!/bin/sh\nLD_PRELOAD='{nosync}' exec '{real}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    for kind in [Kind::Ext4, Kind::Xfs] {
        let Some(cuts) = cuts(kind) else { continue };
        let rounds = (cuts / 5).clamp(4, 10);
        run_on(async {
            let killed = seen(&program, 1, How::Kill, kind).await;
            let cut = seen(&program, rounds, How::Cut, kind).await;
            println!("never synced on {kind:?}: {killed} of 1 kills seen, {cut} of {rounds} power cuts seen");
            assert_eq!(killed, 0, "a kill must not show what only a power cut shows");
            assert!(cut * 10 >= rounds * 6, "the planted bug was seen in {cut} of {rounds}: nothing here is proven");
        });
    }
}
