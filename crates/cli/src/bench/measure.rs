//! Clocks and counts, and what is made of them: rates, medians, shares of a thread. Knows nothing of what is measured.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

/// What a measurement gives, or why there is none.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Processor time of the calling thread so far.
pub(crate) fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Processor time of this process so far.
fn process_time() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// What threads of one kind got: time on a core, and time ready to run with no core free.
#[derive(Clone, Copy, Default)]
struct Spent {
    ran: Duration,
    queued: Duration,
}

/// What every living thread of this process got so far, added up by the name of its kind. Empty where the kernel keeps
/// no such account.
fn by_thread() -> BTreeMap<String, Spent> {
    let mut all: BTreeMap<String, Spent> = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let text = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let account = text("schedstat");
        let mut nanos = account.split(' ').map_while(|n| n.parse().ok()).map(Duration::from_nanos);
        let (Some(ran), Some(queued)) = (nanos.next(), nanos.next()) else { continue };
        let kind = all.entry(text("comm").trim().to_owned()).or_default();
        kind.ran += ran;
        kind.queued += queued;
    }
    all
}

/// What callers saw: each answer's time, and the time from the first question to the last answer.
pub(crate) struct Load {
    times: Vec<Duration>,
    wall: Duration,
}

/// Runs `lanes` callers side by side. Each takes the `next` piece of work as soon as its last one is answered, until
/// there is none.
pub(crate) async fn load<W, N, C, A>(lanes: usize, next: N, call: C) -> Outcome<Load>
where
    W: Send + 'static,
    N: Fn() -> Option<W> + Clone + Send + 'static,
    C: Fn(usize, W) -> A + Clone + Send + 'static,
    A: Future<Output = Outcome<()>> + Send + 'static,
{
    let began = Instant::now();
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let (next, call) = (next.clone(), call.clone());
        running.spawn(async move {
            let mut times = Vec::new();
            while let Some(work) = next() {
                let asked = Instant::now();
                call(lane, work).await?;
                times.push(asked.elapsed());
            }
            Outcome::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(lane) = running.join_next().await {
        times.extend(lane??);
    }
    Ok(Load { times, wall: began.elapsed() })
}

/// Work without end for `time` from now.
pub(crate) fn during(time: Duration) -> impl Fn() -> Option<()> + Clone + Send + 'static {
    let began = Instant::now();
    move || (began.elapsed() < time).then_some(())
}

/// One case of one round: what callers saw and what it cost.
#[derive(Default)]
pub(crate) struct Run {
    times: Vec<Duration>,
    wall: Duration,
    cpu: Duration,
    threads: BTreeMap<String, Spent>,
}

impl Run {
    /// Measures one load. Nothing else of this process should be busy meanwhile.
    pub(crate) async fn of(work: impl Future<Output = Outcome<Load>>) -> Outcome<Self> {
        let (threads, cpu) = (by_thread(), process_time());
        let load = work.await?;
        let cpu = process_time().saturating_sub(cpu);
        let since = |(name, after): (String, Spent)| {
            let before = threads.get(&name).copied().unwrap_or_default();
            let (ran, queued) = (after.ran.saturating_sub(before.ran), after.queued.saturating_sub(before.queued));
            (name, Spent { ran, queued })
        };
        let threads = by_thread().into_iter().map(since).collect();
        Ok(Self { times: load.times, wall: load.wall, cpu, threads })
    }

    /// Adds another stretch of the same case.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.times.extend(other.times);
        self.wall += other.wall;
        self.cpu += other.cpu;
        for (name, more) in other.threads {
            let kind = self.threads.entry(name).or_default();
            kind.ran += more.ran;
            kind.queued += more.queued;
        }
    }

    /// Answers.
    pub(crate) fn count(&self) -> f64 {
        self.times.len() as f64
    }

    /// From the first question to the last answer, in seconds.
    pub(crate) fn wall(&self) -> f64 {
        self.wall.as_secs_f64()
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count() / self.wall()
    }

    /// Processor microseconds of the whole process for each answer: both ends of every line.
    pub(crate) fn cpu_us(&self) -> f64 {
        micros(self.cpu) / self.count()
    }

    /// Processor microseconds for each answer of the threads of one name.
    pub(crate) fn thread_us(&self, name: &str) -> f64 {
        self.threads.get(name).map_or(0.0, |kind| micros(kind.ran)) / self.count()
    }

    /// How long the threads of one name were ready and found no free core, in microseconds, all answers together.
    pub(crate) fn queued_us(&self, name: &str) -> f64 {
        self.threads.get(name).map_or(0.0, |kind| micros(kind.queued))
    }

    /// The time within which this share of the answers came, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let millis: Vec<f64> = self.times.iter().map(|time| micros(*time) / 1000.0).collect();
        quantile(millis, share)
    }
}

/// A duration in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The median of some values.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Smallest, median and largest of the rounds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) mid: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: Vec<f64>) -> Self {
        Self { low: quantile(values.clone(), 0.0), mid: median(values.clone()), high: quantile(values, 1.0) }
    }
}

impl Spread {
    /// Median and range, for programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({"median": self.mid, "least": self.low, "most": self.high})
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = match self.mid {
            mid if mid >= 100.0 => 0,
            mid if mid >= 10.0 => 1,
            mid if mid >= 0.1 => 2,
            _ => 3,
        };
        write!(f, "{:.digits$} ({:.digits$}-{:.digits$})", self.mid, self.low, self.high)
    }
}
