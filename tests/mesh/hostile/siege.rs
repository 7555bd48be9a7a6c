//! Attacks one after the other and side by side, and what must hold over all of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::site::{Deposited, RESIDENT_OVER_IDLE, Site, Used, judge_deposits};

/// How an attack ended: in words for the table, or what should have been.
pub(super) type Ending = Result<String, String>;

/// What is the matter when an attack did not end as it must.
pub(super) fn must(holds: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Files, threads and memory that a process at rest may have more than before.
const FILES_LEFT: usize = 24;
/// Every thread of the pool for what blocks may be there at once: tokio's cap is 512, one beside the few of its own.
const THREADS_MAX: u64 = 64;
/// Connections in all, and what a process has open beside them.
const FILES_MAX: usize = 512 + 128;
/// How often the process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long things may take to be as they were.
const REST_MAX: Duration = Duration::from_secs(15);

/// A siege under way: what was measured so far.
pub(super) struct Siege<'a> {
    pub(super) site: &'a Site,
    done: &'a Mutex<Vec<Deposited>>,
    most: &'a Mutex<Used>,
    told: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Siege<'_> {
    /// One attack: how it ended, the counters that rose, what the honest members felt. A wrong ending is told at the end,
    /// with those of the others.
    pub(super) async fn attack(&self, name: &str, rises: &[&str], attack: impl Future<Output = Ending>) {
        let (before, began) = (self.site.counters().await, Instant::now());
        let mut ending = attack.await;
        let after = self.site.counters().await;
        for counter in rises {
            if after[*counter] <= before[*counter] && ending.is_ok() {
                ending = Err(format!("the counter {counter} did not rise"));
            }
        }
        let took = began.elapsed();
        let done = self.done.lock().unwrap();
        let felt = done.iter().filter(|one| one.began >= began).map(|one| one.took).max().unwrap_or_default();
        let resident = self.most.lock().unwrap().resident >> 20;
        let (word, is) = match &ending {
            Ok(is) => ("ok   ", is),
            Err(is) => ("WRONG", is),
        };
        let line = format!("{word} {name:<44} {took:>8.1?}  slowest honest {felt:>8.1?}  most {resident} MiB  {is}");
        println!("{line}");
        self.told.lock().unwrap().push(line);
        if ending.is_err() {
            self.wrong.lock().unwrap().push(format!("{name}: {is}"));
        }
    }
}

/// Besieges the site: honest members deposit and the process is looked at while `attacks` run; then everything must be as
/// it was, nothing acknowledged be lost, and nothing have panicked.
pub(super) async fn besiege(site: &Site, attacks: impl AsyncFnOnce(&Siege<'_>)) {
    let idle = site.used();
    let (stop, done, most) = (AtomicBool::new(false), Mutex::new(Vec::new()), Mutex::new(idle));
    let siege = Siege { site, done: &done, most: &most, told: Mutex::default(), wrong: Mutex::default() };
    let began = Instant::now();
    let sent = std::thread::scope(|scope| {
        let honest = scope.spawn(|| site.deposit_until(&stop, &done));
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let most = &most;
        scope.spawn(move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let mut most = most.lock().unwrap();
                *most = most.most(site.used());
            }
        });
        let handle = tokio::runtime::Handle::current();
        // An attack that panics must not leave the other two threads running for ever.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| handle.block_on(attacks(&siege)));
        }));
        stop.store(true, Ordering::Release);
        drop(end);
        let sent = honest.join().unwrap();
        attacked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent
    });
    let took = began.elapsed();
    let wrong = siege.wrong.into_inner().unwrap();
    let (done, most) = (done.into_inner().unwrap(), most.into_inner().unwrap());
    let rest = at_rest(site, idle).await;
    let counters = site.counters().await;
    println!("idle {idle:?}\nmost {most:?}\nrest {rest:?}\ncounters {counters:?}");
    assert!(wrong.is_empty(), "attacks that did not end as they must:\n{}", wrong.join("\n"));
    let (p99, slowest) = judge_deposits(&done, usize::try_from(took.as_secs()).unwrap());
    println!("{} honest deposits in {took:.1?}: p99 {p99:?}, slowest {slowest:?}", done.len());
    assert!(most.peak <= idle.resident + RESIDENT_OVER_IDLE, "memory: {most:?}, idle {idle:?}");
    assert!(most.threads <= idle.threads + THREADS_MAX, "threads: {most:?}, idle {idle:?}");
    assert!(most.files.is_none_or(|files| files <= FILES_MAX), "files: {most:?}");
    assert_eq!(counters["panics"], 0, "something panicked");
    assert!(rest.files.zip(idle.files).is_none_or(|(rest, idle)| rest <= idle + FILES_LEFT), "files: {rest:?}");
    site.holds_all(&sent).await;
}

/// Waits until the attackers' lines are gone.
async fn at_rest(site: &Site, idle: Used) -> Used {
    let began = Instant::now();
    loop {
        let used = site.used();
        if used.lines <= idle.lines + super::site::HONEST {
            return used;
        }
        assert!(began.elapsed() < REST_MAX, "lines stay open: {used:?}, idle {idle:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
