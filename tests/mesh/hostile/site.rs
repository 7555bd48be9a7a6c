//! The place under attack: one real office, eight honest members from eight nodes of their own who deposit all the time,
//! and what the office's process uses meanwhile.
//!
//! Refuses to look away: an honest deposit that is not acknowledged fails the test, whatever it was that attacked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::tls::Identity;
use clearhouse_protocol::directory::Directory;
use clearhouse_wire::v1 as wire;
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::super::found;
use super::super::load::{Sent, holds};
use super::super::notice::{directory, line, sealed_notice};
use super::super::region::{Member, Region, Role, sign_first};
use super::super::relay::reconfigure;
use super::peer::Target;

/// Honest members, each a node with keys and an address book entry of its own.
pub(super) const HONEST: usize = 8;
/// Between two deposits of one of them: below the pace of the door, which is not what is tried.
const EVERY: Duration = Duration::from_millis(900);
/// P20: what the process may take beyond what it takes when nobody attacks.
pub(super) const RESIDENT_OVER_IDLE: u64 = 256 << 20;
/// P20: the slowest one in a hundred honest deposits. A promise with a number in it, so it is asserted.
const P99_MAX: Duration = Duration::from_secs(2);

const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";
/// Folder and name of members beyond the region's three.
const OTHERS: [(&str, &str); HONEST + 1] = [
    ("m1", "One"),
    ("m2", "Two"),
    ("m3", "Three"),
    ("m4", "Four"),
    ("m5", "Five"),
    ("m6", "Six"),
    ("m7", "Seven"),
    ("m8", "Eight"),
    ("slow", "Slow"),
];

/// The office, and everybody who has keys of the region.
pub(super) struct Site {
    pub(super) region: Region,
    pub(super) known: Directory,
    honest: Vec<Member>,
    /// Accredited, and hostile: attacks at once.
    pub(super) fast: Target,
    /// Accredited, and hostile: attacks by taking its time.
    pub(super) slow: Target,
    /// Accredited, and hostile: its mailbox is kept at the office.
    pub(super) tenant: (Target, Member),
    /// Nobody the region knows.
    pub(super) stranger: Target,
}

impl Site {
    pub(super) async fn open() -> Self {
        let mut region = found(CONFIG);
        reconfigure(&region.origin.folder, &[("relay", Some("true".to_owned()))]);
        let mut others: Vec<Member> = Vec::new();
        let now = SystemClock.now();
        for names in OTHERS {
            let (member, bundle) = region.join(names, CONFIG, now).unwrap();
            take(&mut region.records, bundle);
            others.push(member);
        }
        let tenant = {
            let keeper = Some(region.origin.made.node);
            let (key, name, country) = ("tenant", "Tenant", "AL");
            let role = Role { key, name, country, roles: &["Origin"], competences: &[], language: "sqi", keeper };
            let (member, mut bundle) = region.apply(&role, CONFIG, now).unwrap();
            sign_first(&mut bundle, &region.coordinators);
            take(&mut region.records, bundle);
            member
        };
        let records = region.records.clone();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        let known = directory(&region);
        let slow = others.pop().unwrap();
        let descriptor = known.descriptor(region.origin.made.node).unwrap();
        let pins = descriptor.tls_pks.iter().map(|k| k.as_slice().try_into().unwrap()).collect::<Vec<_>>();
        let at = descriptor.mailboxes[0].endpoint.parse().unwrap();
        let as_of = |shown| Target { at, pins: pins.clone(), shown };
        let own = |member: &Member| {
            Identity::from_seed(&Zeroizing::new(*member.made.keys.service().tls_seed.expose())).unwrap()
        };
        let mut seed = Zeroizing::new([0; 32]);
        chance().fill_bytes(seed.as_mut());
        let stranger = as_of(Identity::from_seed(&seed).unwrap());
        let (fast, slow) = (as_of(own(&region.destination)), as_of(own(&slow)));
        let tenant = (as_of(own(&tenant)), tenant);
        Self { known, honest: others, fast, slow, tenant, stranger, region }
    }

    /// The counters of the door.
    pub(super) async fn counters(&self) -> BTreeMap<String, u64> {
        let doctor = self.region.origin.ask(Call::Doctor).await.unwrap();
        let each = doctor["door"].as_object().unwrap().iter();
        each.map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
    }

    /// What the office's process uses now.
    pub(super) fn used(&self) -> Used {
        Used::of(self.region.origin.pid().unwrap(), self.fast.at.port())
    }

    /// The honest members deposit until `stop`. On a thread of their own, so that no attack takes their time but the door.
    pub(super) fn deposit_until(&self, stop: &AtomicBool, done: &Mutex<Vec<Deposited>>) -> Vec<Sent> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let each = (0..HONEST).map(|at| self.deposit_on(at, stop, done));
            all_of(each).await
        })
    }

    async fn deposit_on(&self, at: usize, stop: &AtomicBool, done: &Mutex<Vec<Deposited>>) -> Sent {
        let (from, to, sent) = (&self.honest[at], &self.region.origin, Sent::default());
        tokio::time::sleep(EVERY * u32::try_from(at).unwrap() / u32::try_from(HONEST).unwrap()).await;
        let client = line(&self.known, from, to).await.unwrap();
        while !stop.load(Ordering::Acquire) {
            let (code, letter) = sealed_notice(&self.known, from, to);
            sent.add(code.clone(), letter.clone());
            let began = Instant::now();
            let answer = client.deposit(letter.mailbox, letter.digest, letter.bytes).await;
            done.lock().unwrap().push(Deposited {
                began,
                took: began.elapsed(),
                fault: answer.err().map(|e| e.to_string()),
            });
            tokio::time::sleep(EVERY.saturating_sub(began.elapsed())).await;
        }
        sent
    }

    /// Everything that was acknowledged is there.
    pub(super) async fn holds_all(&self, sent: &[Sent]) {
        for (from, sent) in self.honest.iter().zip(sent) {
            holds(&self.known, from, &self.region.origin, sent).await.unwrap_or_else(|what| panic!("{what}"));
        }
    }
}

fn take(records: &mut wire::RecordBundle, bundle: wire::RecordBundle) {
    records.records.extend(bundle.records);
    records.prekeys.extend(bundle.prekeys);
}

/// Runs futures side by side on one task, for what they borrow; their ends, in order.
async fn all_of<T>(each: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = each.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (one, ended) in &mut running {
            if ended.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *ended = Some(value);
            }
        }
        if running.iter().all(|(_, ended)| ended.is_some()) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    running.into_iter().filter_map(|(_, ended)| ended).collect()
}

/// One honest deposit.
#[derive(Clone)]
pub(super) struct Deposited {
    pub(super) began: Instant,
    pub(super) took: Duration,
    /// Why it was not acknowledged.
    pub(super) fault: Option<String>,
}

/// The slowest of a hundred, and of all; panics at one that was not acknowledged, or with too slow a hundredth.
pub(super) fn judge_deposits(done: &[Deposited], at_least: usize) -> (Duration, Duration) {
    let faults: Vec<&String> = done.iter().filter_map(|one| one.fault.as_ref()).collect();
    assert!(faults.is_empty(), "honest deposits were not acknowledged: {faults:?}");
    assert!(done.len() >= at_least, "only {} honest deposits: no load", done.len());
    let mut times: Vec<Duration> = done.iter().map(|one| one.took).collect();
    times.sort();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    assert!(p99 <= P99_MAX, "the slowest honest deposit of a hundred took {p99:?}");
    (p99, times[times.len() - 1])
}

/// What a process uses.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Used {
    /// Bytes in memory now, and the most there ever were.
    pub(super) resident: u64,
    pub(super) peak: u64,
    pub(super) threads: u64,
    /// Open files; `None` where the system shows them to nobody but root, as of a process that lets itself not be looked into.
    pub(super) files: Option<usize>,
    /// Connections at its port.
    pub(super) lines: usize,
}

impl Used {
    pub(super) fn of(pid: u32, port: u16) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of every process");
            line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap()
        };
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count);
        let (resident, peak) = (number("VmRSS:") << 10, number("VmHWM:") << 10);
        Self { resident, peak, threads: number("Threads:"), files, lines: lines_at(port) }
    }

    /// The larger of each.
    pub(super) fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            peak: self.peak.max(other.peak),
            threads: self.threads.max(other.threads),
            files: self.files.max(other.files),
            lines: self.lines.max(other.lines),
        }
    }
}

/// Established connections whose own end is `port`.
fn lines_at(port: u16) -> usize {
    let (here, established) = (format!(":{port:04X}"), "01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|own| own.ends_with(&here)) && fields.nth(1) == Some(established)
    };
    table.lines().skip(1).filter(is_one).count()
}
