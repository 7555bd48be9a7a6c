//! What the system lets this program rely on: the disk's promise, core dumps, memory, the clock.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_node::clock::{Clock as _, JudgedClock, SystemClock};
use clearhouse_node::ground;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use super::line::{Line, Part};

/// Syncs that are measured; the median is told.
const SYNCS: usize = 21;
/// Bytes before each: one page.
const PAGE: usize = 4096;
/// A sync that took less reached no disk: the fastest that keep their promise take some ten microseconds.
const SYNC_MIN: Duration = Duration::from_micros(3);
/// Two clocks of one machine may drift apart by so much in a minute, in seconds; both count whole ones.
const DRIFT_MAX: u64 = 2;
/// 2026-01-01: no clock that shows less is set.
const BUILT_AFTER: u64 = 1_767_225_600;

/// What the folder lies on.
pub(crate) struct Ground {
    pub(crate) name: String,
    pub(crate) untrusted: Option<&'static str>,
    /// Whether somebody named the folder, as one does who means this disk.
    pub(crate) is_named: bool,
}

/// Judges the disk by its kind and by how long a sync takes.
pub(crate) fn disk(ground: &Ground, sync: impl FnOnce() -> io::Result<Duration>) -> Line {
    let name = "disk";
    match (ground.untrusted, sync()) {
        (_, Err(error)) => Line::failed(Part::Disk, name, format!("{}: a sync failed: {error}", ground.name)),
        (Some(what), Ok(_)) if ground.is_named => {
            Line::failed(Part::Disk, name, format!("{what}: when the power fails, what was acknowledged may be gone"))
        }
        (Some(what), Ok(_)) => Line::cannot(
            Part::Disk,
            name,
            format!("the temporary folder lies on {what}; the node's disk was not tried"),
        ),
        (None, Ok(took)) if took < SYNC_MIN => Line::failed(
            Part::Disk,
            name,
            format!("{}: a sync takes {took:?}, in which nothing reaches a disk", ground.name),
        ),
        (None, Ok(took)) => {
            let ms = took.as_secs_f64() * 1000.0;
            let text = format!(
                "{}; a sync takes {ms:.2} ms. Whether it outlives a power cut, only pulling the plug can tell",
                ground.name
            );
            Line::ok(Part::Disk, name, text)
        }
    }
}

/// How long a page takes to the disk: the median.
pub(crate) fn synced(folder: &Path) -> io::Result<Duration> {
    ground::sync(folder)?;
    let mut file = File::create(folder.join("sync"))?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0xA5; PAGE])?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok(took[SYNCS / 2])
}

/// Turns core dumps off for this process, as a node does for itself.
pub(crate) fn turned_off() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// A crash must not write keys to a disk.
pub(crate) fn core_dumps(turned_off: io::Result<()>) -> Line {
    let outcome = turned_off.map(|()| "off for this program".to_owned());
    Line::of(Part::Protection, "core dumps", outcome.map_err(|error| format!("they cannot be turned off: {error}")))
}

/// Bytes this process may keep out of the swap; `None` without a limit.
pub(crate) fn memory_lock_limit() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// Whether the system may write memory to a disk; `None` where it does not say.
pub(crate) fn has_swap() -> Option<bool> {
    let swaps = std::fs::read_to_string("/proc/swaps").ok()?;
    Some(swaps.lines().skip(1).any(|line| !line.trim().is_empty()))
}

/// Keys must not reach a disk by way of the swap.
pub(crate) fn memory_lock(limit: Option<u64>, has_swap: Option<bool>) -> Line {
    let (name, limit) = ("memory", limit.map_or("none".to_owned(), |bytes| format!("{} KiB", bytes / 1024)));
    match has_swap {
        Some(false) => Line::ok(Part::Protection, name, format!("no swap; limit of locked memory: {limit}")),
        Some(true) => {
            let text =
                format!("there is swap, and whether it is encrypted cannot be seen; limit of locked memory: {limit}");
            Line::cannot(Part::Protection, name, text)
        }
        None => Line::cannot(Part::Protection, name, "the system does not say whether there is swap"),
    }
}

/// One look at both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Unix seconds, as the machine's clock shows them.
    pub(crate) wall: u64,
    /// Seconds since the machine was started, which nobody sets.
    pub(crate) up: u64,
}

impl Moment {
    pub(crate) fn read() -> Self {
        let clock = JudgedClock::of_machine(0, 0);
        Self { wall: SystemClock.now(), up: clock.up() }
    }
}

/// The machine's clock against the counter that nobody sets, over the time the self test took.
pub(crate) fn clock(before: Moment, after: Moment) -> Line {
    let name = "clock";
    if after.wall < BUILT_AFTER {
        return Line::failed(Part::Protection, name, "it shows a time before this program was made");
    }
    let (wall, up) = (i128::from(after.wall) - i128::from(before.wall), i128::from(after.up) - i128::from(before.up));
    match (wall - up).unsigned_abs() <= u128::from(DRIFT_MAX) {
        true => Line::ok(
            Part::Protection,
            name,
            format!("runs as the machine's counter does, {up} s long; others tell whether it is set right"),
        ),
        false => Line::failed(
            Part::Protection,
            name,
            format!("it moved by {wall} s in {up} s: somebody sets it while this runs"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::State;
    use super::*;

    fn ground(untrusted: Option<&'static str>, is_named: bool) -> Ground {
        Ground { name: "ext4".to_owned(), untrusted, is_named }
    }

    #[test]
    fn a_disk_that_promises_nothing_is_told() {
        let slow = || Ok(Duration::from_millis(2));
        assert_eq!(disk(&ground(None, true), slow).state, State::Ok);
        assert_eq!(disk(&ground(Some("tmpfs, which is memory"), true), slow).state, State::Failed);
        assert_eq!(disk(&ground(Some("tmpfs, which is memory"), false), slow).state, State::Cannot);
        assert_eq!(disk(&ground(None, true), || Ok(Duration::from_nanos(400))).state, State::Failed);
        assert_eq!(disk(&ground(None, true), || Err(io::ErrorKind::Other.into())).state, State::Failed);
        let folder = tempfile::tempdir().unwrap();
        assert!(synced(folder.path()).is_ok());
        assert!(synced(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_cannot_be_protected_is_told() {
        assert_eq!(core_dumps(Ok(())).state, State::Ok);
        assert_eq!(core_dumps(Err(io::ErrorKind::PermissionDenied.into())).state, State::Failed);
        assert_eq!(memory_lock(Some(8 << 20), Some(false)).state, State::Ok);
        assert_eq!(memory_lock(None, Some(true)).state, State::Cannot);
        assert_eq!(memory_lock(None, None).state, State::Cannot);
    }

    #[test]
    fn a_clock_that_is_set_while_it_runs_or_never_was_is_told() {
        let at = |wall, up| Moment { wall: BUILT_AFTER + wall, up };
        assert_eq!(clock(at(100, 7), at(130, 37)).state, State::Ok);
        assert_eq!(clock(at(100, 7), at(132, 37)).state, State::Ok);
        assert_eq!(clock(at(100, 7), at(133, 37)).state, State::Failed);
        assert_eq!(clock(at(100, 7), at(90, 37)).state, State::Failed);
        assert_eq!(clock(Moment { wall: 0, up: 7 }, Moment { wall: 30, up: 37 }).state, State::Failed);
    }
}
