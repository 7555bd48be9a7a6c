//! Real hosts: five offices on five machines of their own network, two of them behind routers that let nobody in, one of
//! these on a slow line. The whole journey, then what happens to lines and machines: each delay is told in words while it
//! lasts, and in the end everything was delivered once.
//!
//! Few tests, because the machines are dear. They need root, `ip` and `nft`; where namespaces cannot be made they are skipped by
//! name, and fail under `CI=true`. Time is no part of the verdict.

mod forwarder;
pub(super) mod judge;
mod net;
mod offices;
mod people;
mod soak;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_protocol::limits::{BACKOFF_MAX_SECS, DAY, SMALLEST_ENVELOPE_LEN};
use clearhouse_wire::v1 as wire;

use super::canaries::ask;
use super::region::Member;
use forwarder::Forwarder;
use judge::Sent;
use net::{CUT, Host, Net, PORT, detour, loss, one_way};
use offices::{Hosts, entry, place};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What is due at once has been tried a moment later.
const SOON: Duration = Duration::from_secs(2);
/// How long a stage may take to end before time is let pass.
const BY_ITSELF_MAX: Duration = Duration::from_secs(30);
/// How long a door that does not open is knocked at.
const KNOCK: Duration = Duration::from_secs(1);
/// Each way, of the line with the long delay.
const DELAY: Duration = Duration::from_millis(800);
/// Of a hundred packets, each way.
const LOST: u8 = 20;
/// Ports of the router through which the delayed lines go.
const DETOUR: u16 = 9000;

const AT_FIRST: &str = "at Regional coordinator, waiting for Casa Nova to fetch it";
const AT_SECOND: &str = "at Second coordinator, waiting for Casa Nova to fetch it";
/// Whichever of the two: a day that passes in a moment breaks lines.
const AT_A_KEEPER: &str = "waiting for Casa Nova to fetch it";
const BY_ITSELF: &str = "tried again by itself";

/// One stage: what it is called, when it began, how many messages there were.
struct Stage(&'static str, Instant, usize);

struct Story {
    hosts: Hosts,
    sent: Sent,
}

#[test]
fn five_real_hosts_lose_and_double_nothing_over_nat_partition_loss_delay_a_lost_relay_and_three_days_away() {
    let Some((_alone, hosts)) = ready() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut story = Story { hosts, sent: Sent::default() };
        nobody_comes_in(&story.hosts.net);
        story.hosts.start().await;
        story.whole_journey().await;
        story.partition().await;
        story.loss().await;
        story.long_delay().await;
        story.lost_relay().await;
        story.three_days_away().await;
    });
}

/// The offices on their machines, for one test at a time; `None` where this cannot be done, which is said.
fn ready() -> Option<(MutexGuard<'static, ()>, Hosts)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let net = match Net::make() {
        Ok(net) => net,
        Err(why) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
            println!("skipped: network namespaces cannot be made here: {why}");
            return None;
        }
    };
    net.lay().unwrap();
    Some((alone, Hosts::found(net)?))
}

/// Routers turn away what comes from outside, though something listens behind them.
fn nobody_comes_in(net: &Net) {
    for (office, router) in [(Host::Destination, Host::DestinationRouter), (Host::Origin, Host::OriginRouter)] {
        let _listener = net.inside(office, || TcpListener::bind(("0.0.0.0", PORT)).unwrap());
        let knock = |from: Host, at: Host| {
            let at = SocketAddr::from((at.address(), PORT));
            net.inside(from, || TcpStream::connect_timeout(&at, KNOCK).is_ok())
        };
        assert!(knock(router, office), "nobody listens, so nothing is shown");
        assert!(!knock(Host::Reachable, router), "the router lets strangers in");
        // Somebody on the line who knows what is behind the router.
        let route = ["192.168.1.0/24", "via", &router.address().to_string()].map(str::to_owned);
        let route = |what: &str| {
            let words = [&["ip", "route", what][..], &route.each_ref().map(String::as_str)].concat();
            net.run(Host::Line, &words).unwrap();
        };
        route("add");
        assert!(!knock(Host::Line, office), "the router lets strangers through");
        route("del");
    }
}

impl Story {
    fn offices(&self) -> [&Member; 3] {
        [&self.hosts.region.destination, &self.hosts.region.origin, &self.hosts.reachable]
    }

    fn begin(&self, name: &'static str) -> Stage {
        Stage(name, Instant::now(), self.sent.count())
    }

    /// Waits until everything sent so far is there once; whatever is not is told of in words at each look.
    /// What nature does not bring soon, later hours do: nobody waits for the pauses between two tries.
    async fn delivered(&mut self, stage: Stage) {
        let Stage(name, began, before) = stage;
        let waiting = Instant::now();
        let mut by_itself = BY_ITSELF_MAX;
        let all = loop {
            for office in self.offices() {
                self.sent.visible(office).await;
            }
            match self.sent.judge(self.offices()).await {
                Ok(all) => break all,
                Err(why) => assert!(waiting.elapsed() < PATIENCE, "{name}: {why}"),
            }
            if waiting.elapsed() > by_itself {
                self.hosts.pass(BACKOFF_MAX_SECS).await;
                by_itself += SOON * 4;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        assert_eq!(all, self.sent.count());
        let (secs, healed) = (began.elapsed().as_secs_f64(), waiting.elapsed().as_secs_f64());
        println!(
            "real hosts, {name}: {secs:.1} s, {healed:.1} s of them to the end, {} messages, 0 lost",
            all - before
        );
    }

    /// Waits until `count` or more messages of an office that are not delivered are told of with these words.
    async fn told(&self, from: &Member, count: usize, words: &str) {
        let began = Instant::now();
        loop {
            let (_, told) = self.sent.visible(from).await;
            if told.iter().filter(|told| told.contains(words)).count() >= count {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "fewer than {count} times '{words}': {told:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A notice from the slow office to the origin, and one from the reachable office.
    async fn two_notices(&mut self) -> [String; 2] {
        let (now, region) = (self.hosts.now(), &self.hosts.region);
        let slow = people::notice(&mut self.sent, &region.destination, &region.origin, now).await;
        let other = people::notice(&mut self.sent, &self.hosts.reachable, &region.origin, now).await;
        [slow, other]
    }

    async fn acknowledge(&mut self, case: &str) {
        let now = self.hosts.now();
        people::acknowledge(&mut self.sent, &self.hosts.region.origin, case, now).await;
    }

    async fn whole_journey(&mut self) {
        let stage = self.begin("the whole journey between two offices without a port");
        let now = self.hosts.now();
        let region = &self.hosts.region;
        people::journey(&mut self.sent, &region.destination, &region.origin, now).await;
        self.delivered(stage).await;
    }

    async fn partition(&mut self) {
        let stage = self.begin("a partition, and a line that is open one way");
        let [case, _] = self.two_notices().await;
        self.have(&case).await;
        self.hosts.net.rules(Host::OriginRouter, "cut", CUT).unwrap();
        self.hosts.net.rules(Host::Line, "cut", &one_way(Host::First, Host::Reachable)).unwrap();
        self.acknowledge(&case).await;
        self.two_notices().await;
        self.told(&self.hosts.region.destination, 1, AT_FIRST).await;
        self.told(&self.hosts.reachable, 1, AT_SECOND).await;
        self.told(&self.hosts.region.origin, 1, BY_ITSELF).await;
        self.hosts.net.lift(Host::OriginRouter, "cut");
        self.hosts.net.lift(Host::Line, "cut");
        self.delivered(stage).await;
    }

    async fn loss(&mut self) {
        let stage = self.begin("every fifth packet lost");
        self.hosts.net.rules(Host::OriginRouter, "lost", &loss(LOST)).unwrap();
        for _ in 0..3 {
            let [case, _] = self.two_notices().await;
            self.have(&case).await;
            self.acknowledge(&case).await;
        }
        self.delivered(stage).await;
        let lost = self.hosts.net.counted(Host::OriginRouter, "lost");
        assert!(lost > 20, "only {lost} packets were lost");
        self.hosts.net.lift(Host::OriginRouter, "lost");
        println!("real hosts: {lost} packets were lost");
    }

    async fn long_delay(&mut self) {
        let stage = self.begin("800 ms each way");
        let far = [Host::First, Host::Second, Host::Reachable];
        let (ports, rules): (Vec<_>, Vec<_>) = far
            .iter()
            .zip(DETOUR..)
            .map(|(to, port)| ((port, (to.address(), PORT).into()), (to.address(), port)))
            .unzip();
        let way = self.hosts.net.inside(Host::OriginRouter, || Forwarder::start(&ports, DELAY));
        self.hosts.net.rules(Host::OriginRouter, "detour", &detour(&rules)).unwrap();
        for _ in 0..2 {
            let [case, _] = self.two_notices().await;
            self.have(&case).await;
            self.acknowledge(&case).await;
        }
        self.delivered(stage).await;
        assert!(way.passed() > 6 * SMALLEST_ENVELOPE_LEN as u64, "{} bytes went the long way", way.passed());
        self.hosts.net.lift(Host::OriginRouter, "detour");
    }

    async fn lost_relay(&mut self) {
        let stage = self.begin("a relay killed with mail in it, and put on another machine");
        self.hosts.net.rules(Host::OriginRouter, "cut", CUT).unwrap();
        let lying = self.two_notices().await;
        self.told(&self.hosts.region.destination, 1, AT_FIRST).await;
        self.told(&self.hosts.reachable, 1, AT_FIRST).await;
        self.hosts.region.coordinator.kill();
        let later = self.two_notices().await;
        self.told(&self.hosts.region.destination, 1, AT_SECOND).await;
        self.told(&self.hosts.reachable, 1, AT_SECOND).await;
        self.hosts.net.lift(Host::OriginRouter, "cut");
        for case in later {
            self.have(&case).await;
        }
        // What lay in the lost one: told of, and after some hours taken to the second by itself.
        for from in [&self.hosts.region.destination, &self.hosts.reachable] {
            self.told(from, 1, &format!("{AT_FIRST}; their node cannot be reached")).await;
        }
        for case in lying {
            while !self.has(&case).await {
                assert!(stage.1.elapsed() < PATIENCE, "it stays in the keeper that was lost");
                self.hosts.pass(BACKOFF_MAX_SECS).await;
                tokio::time::sleep(SOON).await;
            }
        }
        let Hosts { region, reachable, second, .. } = &mut self.hosts;
        place(&region.coordinator, Host::Spare);
        region.coordinator.start().await.unwrap();
        region.coordinator.session = None;
        region.coordinator.learn(&wire::RecordBundle::default()).await.unwrap();
        // Nobody asks at an address that nobody knows: whoever moved hands its entry to one other. The rest hear of it.
        let moved = format!("{}:{PORT}", Host::Spare.address());
        let told = entry(&region.coordinator, moved.as_bytes()).await;
        second.session = None;
        second.learn(&told).await.unwrap();
        for member in [&region.destination, &region.origin, &*reachable] {
            let began = Instant::now();
            let show = || Call::DirectoryShow { org: "Regional coordinator".to_owned() };
            while !ask(member, show()).await.to_string().contains(&moved) {
                assert!(began.elapsed() < PATIENCE, "{} does not hear where the keeper is", member.name);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        self.two_notices().await;
        self.delivered(stage).await;
    }

    async fn three_days_away(&mut self) {
        let stage = self.begin("an office away for three days");
        let [case, other] = self.two_notices().await;
        self.have(&case).await;
        self.have(&other).await;
        self.hosts.region.origin.kill();
        for days in 1..=3 {
            self.two_notices().await;
            self.told(&self.hosts.region.destination, days, AT_A_KEEPER).await;
            self.told(&self.hosts.reachable, days, AT_A_KEEPER).await;
            self.hosts.pass(DAY).await;
            tokio::time::sleep(SOON).await;
            self.hosts.region.destination.sign_in("elena").await.unwrap();
            self.hosts.reachable.sign_in("besa").await.unwrap();
        }
        let status = ask(&self.hosts.region.destination, Call::Status).await;
        assert!(
            status["overdue_cases"].as_u64() >= Some(3) && status["stored_unanswered"].as_u64() >= Some(3),
            "{status}"
        );
        let origin = &mut self.hosts.region.origin;
        origin.start().await.unwrap();
        origin.session = None;
        origin.sign_in("ana").await.unwrap();
        self.acknowledge(&case).await;
        self.delivered(stage).await;
    }

    /// Whether a case is at the origin.
    async fn has(&self, case: &str) -> bool {
        let listed = ask(&self.hosts.region.origin, Call::CaseList).await;
        listed["cases"].as_array().unwrap().iter().any(|c| c["case"] == case)
    }

    async fn have(&self, case: &str) {
        let began = Instant::now();
        while !self.has(case).await {
            assert!(began.elapsed() < PATIENCE, "it does not come");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
