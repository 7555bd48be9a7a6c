//! Ordinary bad days, all at once and for long: every twentieth packet is lost, a process is killed each half minute, clocks
//! step, and people go on working. In the end everything was delivered once, and nothing has grown.
//!
//! `CI_LONG=1` takes half an hour, `CLEARHOUSE_SOAK_SECS` another time; a moment of it on every push, so that it does not
//! rot. `CLEARHOUSE_SOAK_SEED` repeats what was drawn; what the machine makes of it is another matter. Who grows is asked of
//! two processes that nobody kills, and only of a long run: a node fills its caches first.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_protocol::limits::HOUR;
use clearhouse_wire::v1 as wire;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::super::canaries::ask;
use super::super::region::Member;
use super::judge::Sent;
use super::net::{Host, loss};
use super::offices::SEEN;
use super::{LOOK_EVERY, PATIENCE, Stage, Story, people, ready};

/// How long it goes on: on every push, and with `CI_LONG=1`.
const SECS: u64 = 40;
const SECS_LONG: u64 = 1800;
/// Shorter than this nothing is said of growth.
const SECS_OF_GROWTH: u64 = 1200;
/// Of a hundred packets.
const LOST: u8 = 5;
const KILL_EVERY: Duration = Duration::from_secs(30);
const STEP_EVERY: Duration = Duration::from_secs(45);
const LOOK_AT_SIZE_EVERY: Duration = Duration::from_secs(10);
/// Between two acts of people.
const ACT_EVERY: Duration = Duration::from_secs(6);
/// How far a clock steps, either way: within what offices forgive each other's clocks, and far beyond it.
const STEP_SMALL: i64 = 240;
const STEP_LARGE: i64 = 26 * HOUR as i64;
/// How long a clock stays wrong.
const WRONG: Duration = Duration::from_secs(8);
/// MiB of resident memory in ten minutes, and open files in all.
const GROWS_MAX: f64 = 1.0;
const FILES_MORE_MAX: f64 = 8.0;

/// What a process holds at a moment.
struct Size {
    at: f64,
    mib: f64,
    files: f64,
}

struct Soak {
    story: Story,
    dice: ChaCha8Rng,
    /// Cases that wait for the origin's word.
    unanswered: Vec<String>,
    sizes: BTreeMap<&'static str, Vec<Size>>,
    kills: usize,
    steps: usize,
}

#[test]
fn five_offices_lose_nothing_while_packets_are_lost_processes_killed_and_clocks_step() {
    let Some((_alone, hosts)) = ready() else { return };
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let long = env::var("CI_LONG").is_ok_and(|v| v == "1");
    let secs = number("CLEARHOUSE_SOAK_SECS").unwrap_or(if long { SECS_LONG } else { SECS });
    let seed = number("CLEARHOUSE_SOAK_SEED").unwrap_or(secs);
    println!("soak: {secs} s, CLEARHOUSE_SOAK_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let story = Story { hosts, sent: Sent::default() };
        let dice = ChaCha8Rng::seed_from_u64(seed);
        let (unanswered, sizes) = (Vec::new(), BTreeMap::new());
        let mut soak = Soak { story, dice, unanswered, sizes, kills: 0, steps: 0 };
        soak.go_on(Duration::from_secs(secs)).await;
        soak.judge(secs);
    });
}

impl Soak {
    async fn go_on(&mut self, length: Duration) {
        self.story.hosts.start().await;
        self.story.hosts.net.rules(Host::Line, "lost", &loss(LOST)).unwrap();
        let stage = self.story.begin("everything at once");
        let began = stage.1;
        let (mut kill, mut step, mut size) = (began + KILL_EVERY / 2, began + STEP_EVERY / 2, began);
        while began.elapsed() < length {
            let turn = Instant::now();
            if turn >= kill {
                kill += KILL_EVERY;
                self.kill().await;
            }
            if turn >= step {
                step += STEP_EVERY;
                self.step().await;
            }
            if turn >= size {
                size += LOOK_AT_SIZE_EVERY;
                self.look_at_sizes(began);
            }
            self.act(None).await;
            tokio::time::sleep(ACT_EVERY.saturating_sub(turn.elapsed())).await;
        }
        let lost = self.story.hosts.net.counted(Host::Line, "lost");
        println!("soak: {} kills, {} clock steps, {lost} packets lost", self.kills, self.steps);
        assert!(lost > 0 && self.kills > 0 && self.steps > 0, "nothing happened");
        self.story.hosts.net.lift(Host::Line, "lost");
        self.story.delivered(Stage(stage.0, began, stage.2)).await;
    }

    /// One of `of`.
    fn draw(&mut self, of: u64) -> usize {
        usize::try_from(self.dice.next_u64() % of).unwrap()
    }

    /// Somebody sends a notice, or the origin reads one and says so; never at the office that is away.
    async fn act(&mut self, away: Option<Host>) {
        let what = self.draw(3);
        if what == 0 && away != Some(Host::Origin) {
            return self.acknowledge().await;
        }
        let (hosts, sent) = (&self.story.hosts, &mut self.story.sent);
        let from =
            if what == 1 && away != Some(Host::Destination) { &hosts.region.destination } else { &hosts.reachable };
        let case = people::notice(sent, from, &hosts.region.origin, hosts.now()).await;
        self.unanswered.push(case);
    }

    /// The origin answers what has come.
    async fn acknowledge(&mut self) {
        let waiting = std::mem::take(&mut self.unanswered);
        for case in waiting {
            if self.story.has(&case).await {
                self.story.acknowledge(&case).await;
            } else {
                self.unanswered.push(case);
            }
        }
    }

    /// A process ends in the middle of whatever it does, is away for a moment, and comes back.
    async fn kill(&mut self) {
        let (host, person) =
            [(Host::Destination, Some("elena")), (Host::Origin, Some("ana")), (Host::First, None)][self.draw(3)];
        self.kills += 1;
        self.member(host).kill();
        self.act(Some(host)).await;
        let member = self.member(host);
        member.start().await.unwrap();
        member.session = None;
        match person {
            Some(login) => member.sign_in(login).await.unwrap(),
            None => drop(member.learn(&wire::RecordBundle::default()).await.unwrap()),
        }
    }

    /// A clock is set wrong for a moment, or time passes for all of them.
    async fn step(&mut self) {
        self.steps += 1;
        let host = match self.draw(4) {
            0 => return self.story.hosts.pass(HOUR / 12).await,
            1 => Host::First,
            2 => Host::Second,
            _ => Host::Destination,
        };
        let far = if self.draw(2) == 0 { STEP_SMALL } else { STEP_LARGE };
        let by = if self.draw(2) == 0 { far } else { -far };
        self.story.hosts.step(host, by);
        let wrong = Instant::now();
        while wrong.elapsed() < WRONG {
            self.act(Some(host)).await;
            tokio::time::sleep(LOOK_EVERY * 5).await;
        }
        self.story.hosts.step(host, 0);
        tokio::time::sleep(SEEN).await;
        let right = Instant::now();
        while ask(self.member(host), Call::Status).await["clock"] != "trusted" {
            assert!(right.elapsed() < PATIENCE, "{host:?} does not trust its clock again, though it is right");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn member(&mut self, host: Host) -> &mut Member {
        self.story.hosts.member(host)
    }

    fn look_at_sizes(&mut self, began: Instant) {
        for host in [Host::Reachable, Host::Second] {
            let member = self.member(host);
            let (name, pid) = (member.name, member.pid().unwrap());
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
            let size = Size { at: began.elapsed().as_secs_f64(), mib: kib / 1024.0, files: files as f64 };
            self.sizes.entry(name).or_default().push(size);
        }
    }

    /// Says how the two that were never killed grew, and judges that of a long run.
    fn judge(&self, secs: u64) {
        for (name, sizes) in &self.sizes {
            let warm = &sizes[sizes.len() / 3..];
            let (first, last) = (&warm[0], &warm[warm.len() - 1]);
            let (mib, files) = (slope(warm, |s| s.mib) * 600.0, slope(warm, |s| s.files) * 600.0);
            println!(
                "soak: {name}: {:.1} to {:.1} MiB, {mib:+.2} MiB in 10 min; {} to {} files, {files:+.1} in 10 min",
                first.mib, last.mib, first.files, last.files
            );
            let grows = mib > GROWS_MAX || files > FILES_MORE_MAX;
            assert!(secs < SECS_OF_GROWTH || !grows, "{name} grows");
        }
    }
}

/// How much a quantity rises in a second: the straight line closest to all looks.
fn slope(sizes: &[Size], of: impl Fn(&Size) -> f64) -> f64 {
    let count = sizes.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Size) -> f64| sizes.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(&|s| s.at), mean(&|s| of(s)));
    let both: f64 = sizes.iter().map(|s| (s.at - at) * (of(s) - value)).sum();
    let square: f64 = sizes.iter().map(|s| (s.at - at).powi(2)).sum();
    if square > 0.0 { both / square } else { 0.0 }
}

#[test]
fn growth_is_told_from_noise() {
    let sizes = |mib: fn(usize) -> f64| (0..60).map(move |n| Size { at: n as f64 * 10.0, mib: mib(n), files: 40.0 });
    let flat: Vec<_> = sizes(|n| 50.0 + (n % 7) as f64).collect();
    let leak: Vec<_> = sizes(|n| 50.0 + (n % 7) as f64 + n as f64 / 20.0).collect();
    assert!((slope(&flat, |s| s.mib) * 600.0).abs() < GROWS_MAX);
    assert!(slope(&leak, |s| s.mib) * 600.0 > 2.0 * GROWS_MAX);
    assert!(slope(&leak, |s| s.files).abs() < f64::EPSILON);
}
