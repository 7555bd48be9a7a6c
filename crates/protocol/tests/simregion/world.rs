//! Everybody together: who is awake, what happens in which round, and who asks whom.

use std::collections::BTreeSet;

use clearhouse_protocol::ceremony::Thresholds;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;

use crate::common::{Common, ROUND_SECS, Tally};
use crate::dice::Dice;
use crate::figures::Figures;
use crate::flaw::Flaw;
use crate::forgery::Forgery;
use crate::fork::Fork;
use crate::liar::Liar;
use crate::line::Line;
use crate::plan::{self, Event, Truth, What};
use crate::replica::Replica;
use crate::standings::Ending;

/// Seven coordinators in five countries.
pub(crate) const COUNTRIES: [&str; 7] = ["RO", "RO", "IT", "MD", "MD", "RS", "AL"];
/// Of them may lie.
pub(crate) const F: u32 = 2;
/// Nodes that are asleep at any time, in a hundred.
const ASLEEP: usize = 30;
/// Of those asleep so many in a hundred wake in a round, and as many fall asleep.
const TURNOVER: usize = 10;
/// Coordinators and others that a node asks in a round, and tries for each that should answer.
const ASKED: usize = 2;
const TRIES: usize = 4;
/// Rounds at the end in which nobody sleeps any more: who wakes then may know something that nobody else does.
const AWAKE_AT_LAST: u64 = 9;
/// Between two things that happen.
const EVERY: u64 = 3;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Organisations at the beginning, coordinators among them.
    pub(crate) orgs: usize,
    /// Rounds in which nothing happens.
    pub(crate) idle: u64,
    /// Rounds in which things happen, and descriptors are renewed.
    pub(crate) live: u64,
    /// Rounds after that until all must agree.
    pub(crate) calm: u64,
}

impl Scale {
    fn events(&self) -> usize {
        usize::try_from(self.live / EVERY).unwrap()
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) scale: Scale,
    pub(crate) common: Common,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) truth: Truth,
    pub(crate) events: Vec<Event>,
    pub(crate) round: u64,
    /// By replica: the round in which it was last asleep, and in which it last woke.
    pub(crate) slept: Vec<Option<u64>>,
    pub(crate) woke: Vec<Option<u64>>,
    /// Who is part of the region, as itself and not only as a name.
    pub(crate) born: Vec<bool>,
    pub(crate) figures: Figures,
    pub(crate) liars: Vec<usize>,
    seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64, scale: Scale, liars: bool, flaw: Option<Flaw>) -> Self {
        let few = flaw == Some(Flaw::TwoAreEnough);
        let k = Thresholds { accredit: if few { 2 } else { 4 }, revoke: if few { 2 } else { 3 }, root: 5, f: F };
        let mut region = Region::with_council(seed, scale.orgs, &COUNTRIES, k);
        region.publish_all(NOW);
        let newcomers = scale.events().div_ceil(3);
        let strangers = Region::new(seed ^ (1 << 40), newcomers).members;
        region.members.extend(strangers.into_iter().map(|member| member.moved_to(region.net)));
        let count = region.members.len();
        let mut dice = Dice::new(seed);
        let liars = if liars { vec![dice.below(3), 3 + dice.below(4)] } else { vec![] };
        let mut common = Common::new(region, dice, flaw);
        let base = common.region.directory.clone();
        let mut replicas: Vec<Replica> = (0..count).map(|place| Replica::new(place, &common, base.clone())).collect();
        replicas[..COUNTRIES.len()].iter_mut().for_each(Replica::remember);
        for log in base.directory_logs().map(|(node, _)| node) {
            common.show(base.entered(log, 0, usize::MAX));
        }
        let truth = Truth::of(&common);
        let mut world = Self {
            scale,
            common,
            replicas,
            truth,
            events: Vec::new(),
            round: 0,
            slept: vec![None; count],
            woke: vec![None; count],
            born: (0..count).map(|place| place < scale.orgs).collect(),
            figures: Figures::default(),
            liars,
            seed,
        };
        world.send_to_bed();
        world
    }

    /// Lives through all rounds. What it cost and how fast it was is in the figures.
    pub(crate) fn live(&mut self) -> Result<(), String> {
        let told = |world: &Self, what: String| format!("round {}: {what}", world.round);
        for _ in 0..self.scale.idle {
            self.round().map_err(|what| told(self, what))?;
        }
        self.figures.idle = self.count_traffic();
        self.engage_liars();
        for n in 0..self.scale.live {
            if n % EVERY == 0 {
                self.happen(usize::try_from(n / EVERY).unwrap());
            }
            self.churn();
            self.round().map_err(|what| told(self, what))?;
        }
        self.figures.churn = self.count_traffic();
        for n in 0..self.scale.calm {
            if n + AWAKE_AT_LAST == self.scale.calm {
                self.wake_all();
            }
            self.round().map_err(|what| told(self, what))?;
        }
        self.end().and_then(|()| self.freeze()).map_err(|what| told(self, what))
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.common.tally
    }

    /// Whether a replica is one to be judged.
    pub(crate) fn is_honest(&self, place: usize) -> bool {
        self.born[place] && !self.truth.revoked[place] && !self.liars.contains(&place)
    }

    /// All of these.
    pub(crate) fn honest(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|place| self.is_honest(*place)).collect()
    }

    pub(crate) fn honest_coordinators(&self) -> Vec<usize> {
        (0..COUNTRIES.len()).filter(|place| !self.liars.contains(place)).collect()
    }

    fn engage_liars(&mut self) {
        let &[one, other] = self.liars.as_slice() else { return };
        let honest = self.honest_coordinators();
        let until = self.common.now + self.scale.live * ROUND_SECS;
        self.common.forgery =
            Some(Forgery::new(self.seed, &[one, other], &honest, (self.scale.orgs, until), &mut self.common));
        // One of the two shows two histories, in the middle; the other never does.
        let forks_at = [self.scale.idle + self.scale.live / 2, u64::MAX];
        for ((me, pal), forks_at) in [(one, other), (other, one)].into_iter().zip(forks_at) {
            let liar = Liar::new(me, pal, &self.replicas[me], forks_at, &mut self.common);
            self.replicas[me].liar = Some(Box::new(liar));
        }
    }

    fn send_to_bed(&mut self) {
        for place in COUNTRIES.len()..self.replicas.len() {
            self.replicas[place].awake = self.born[place] && !self.common.dice.percent(ASLEEP);
            self.slept[place] = (!self.replicas[place].awake).then_some(0);
        }
    }

    /// Some wake, as many fall asleep: coordinators do not, the two that lie are the two that may fail.
    fn turn_over(&mut self) {
        let ordinary = |place: &usize| *place >= COUNTRIES.len() && self.born[*place];
        let (mut awake, mut asleep): (Vec<usize>, Vec<usize>) =
            (0..self.replicas.len()).filter(ordinary).partition(|place| self.replicas[*place].awake);
        // Whoever rotates a key sits there until somebody has asked.
        awake.retain(|place| self.events.iter().all(|event| event.place != *place || event.complete.is_some()));
        let count = (asleep.len() * TURNOVER).div_ceil(100).min(awake.len());
        self.common.dice.shuffle(&mut awake);
        self.common.dice.shuffle(&mut asleep);
        asleep.truncate(count);
        asleep.into_iter().for_each(|place| self.wake(place));
        for place in awake.into_iter().take(count) {
            self.replicas[place].awake = false;
        }
        for place in 0..self.replicas.len() {
            if !self.replicas[place].awake {
                self.slept[place] = Some(self.round);
            }
        }
    }

    fn wake(&mut self, place: usize) {
        self.replicas[place].awake = true;
        self.woke[place] = Some(self.round);
    }

    fn wake_all(&mut self) {
        let asleep = |place: &usize| self.born[*place] && !self.replicas[*place].awake;
        let asleep: Vec<usize> = (0..self.replicas.len()).filter(asleep).collect();
        asleep.into_iter().for_each(|place| self.wake(place));
        self.figures.all_awake = true;
    }

    fn round(&mut self) -> Result<(), String> {
        self.round += 1;
        if !self.figures.all_awake {
            self.turn_over();
        }
        let mut order: Vec<usize> = (0..self.replicas.len()).filter(|place| self.replicas[*place].awake).collect();
        self.common.dice.shuffle(&mut order);
        self.figures.node_rounds += order.len() as u64;
        for me in order {
            self.act(me);
        }
        self.judge()?;
        self.common.now += ROUND_SECS;
        Ok(())
    }

    fn act(&mut self, me: usize) {
        let skips = self.common.has(Flaw::SkipsLogs) && self.woke[me] == Some(self.round);
        if !skips {
            let directory = &self.replicas[me].directory;
            let logs: Vec<NodeId> = directory.directory_logs().map(|(node, _)| node).collect();
            let all = me < COUNTRIES.len() || self.woke[me] == Some(self.round);
            let count = if all { logs.len() } else { directory.logs_each_round() };
            let turn = self.replicas[me].turn;
            self.replicas[me].turn += count;
            for log in logs.iter().cycle().skip(turn % logs.len().max(1)).take(count) {
                self.follow(me, *log, &logs);
            }
        }
        if me < COUNTRIES.len() {
            self.keep(me);
        }
        self.pull(me);
    }

    /// Reads one log from its keeper, else from the other coordinators.
    pub(crate) fn follow(&mut self, me: usize, log: NodeId, keepers: &[NodeId]) {
        let others = keepers.iter().filter(|node| **node != log);
        for peer in std::iter::once(&log).chain(others) {
            let peer = self.common.places[peer];
            if peer != me && self.line(me, peer, |me, line| me.read(log, line)) == Some(true) {
                return;
            }
        }
    }

    /// A coordinator enters what is new, and takes its head round.
    pub(crate) fn keep(&mut self, me: usize) {
        if self.replicas[me].liar.as_ref().is_some_and(|liar| liar.forks_at <= self.round) {
            return self.keep_two(me);
        }
        let Some((head, mut note)) = self.replicas[me].enter(&mut self.common) else { return };
        let witnesses = self.replicas[me].directory.directory_witnesses(self.replicas[me].node);
        for witness in witnesses.witnesses() {
            let peer = self.common.places[&witness.node.unwrap()];
            let line = self.line(me, peer, |me, line| me.ask(line, &witness.key, &head, &note));
            match line.flatten() {
                Some(Ok(signed)) => drop(note.gather(&signed)),
                // It has seen more of this log than is here, it says.
                Some(Err(())) => return,
                None => {}
            }
        }
        self.replicas[me].publish(&head, &note, &mut self.common);
    }

    /// Shows each witness one of two histories, some both, and each half of the region another.
    fn keep_two(&mut self, me: usize) {
        let mut liar = self.replicas[me].liar.take().unwrap();
        let fork = liar.fork.get_or_insert_with(|| Fork::new(&self.replicas[me], &mut self.common));
        let (node, log) = (self.replicas[me].node, self.replicas[me].directory.directory_log(self.replicas[me].node));
        let list = self.replicas[me].directory.directory_witnesses(node);
        for witness in list.witnesses() {
            let peer = self.common.places[&witness.node.unwrap()];
            let first = self.common.dice.below(2);
            for face in [first, 1 - first] {
                if face != first && !self.common.dice.percent(30) && !self.liars.contains(&peer) {
                    continue;
                }
                let old = self.replicas[peer].cosigned.get(&node).map_or(0, |(held, _)| held.size);
                let request = fork.request(face, old);
                if let Some(Ok(signed)) = self.line(me, peer, |_, line| line.cosign(node, &request)) {
                    fork.faces[face].note.gather(&signed.only(&witness.key));
                }
            }
        }
        for face in 0..2 {
            let reached = |log| {
                let head = SignedCheckpoint::of(fork.faces[face].note.clone(), &log).ok()?;
                list.standing(&head).ok().filter(|standing| standing.reached)
            };
            if log.clone().and_then(reached).is_some() {
                self.common.show(&fork.entered(face));
            }
        }
        self.replicas[me].liar = Some(liar);
    }

    fn pull(&mut self, me: usize) {
        self.replicas[me].standings.begin();
        for (pool, first) in [(COUNTRIES.len(), 0), (self.replicas.len() - COUNTRIES.len(), COUNTRIES.len())] {
            let (mut answered, mut tries, mut drawn) = (0, ASKED * TRIES, BTreeSet::new());
            // The same draw as shuffling all candidates, one at a time.
            while answered < ASKED && tries > 0 && drawn.len() < pool {
                let peer = first + self.common.dice.below(pool);
                if !drawn.insert(peer) || peer == me {
                    continue;
                }
                let (replica, other) = (&self.replicas[me], &self.replicas[peer]);
                let knows = replica.lets_in(other.org, other.node, self.common.now);
                if !knows || replica.standings.is_passed_over(peer) {
                    continue;
                }
                tries -= 1;
                let ending = self.line(me, peer, |me, line| me.pull(line)).unwrap_or(Ending::Away);
                self.common.tally.away += u64::from(ending == Ending::Away);
                self.replicas[me].standings.ended(peer, ending);
                answered += usize::from(matches!(ending, Ending::Good | Ending::Barren));
            }
        }
    }

    /// What is said on a line between two, if the other one is awake and lets this one in.
    fn line<T>(&mut self, me: usize, peer: usize, say: impl FnOnce(&mut Replica, &mut Line<'_>) -> T) -> Option<T> {
        let common = &mut self.common;
        let [one, other] = self.replicas.get_disjoint_mut([me, peer]).ok()?;
        let open = other.awake && self.born[peer] && other.lets_in(one.org, one.node, common.now);
        open.then(|| say(one, &mut Line { asker: me, peer: other, common }))
    }

    /// A few nodes say that all is as it was.
    fn churn(&mut self) {
        let count = (self.scale.orgs / 100).max(1);
        for _ in 0..count {
            let place = self.common.dice.below(self.scale.orgs);
            if self.replicas[place].awake && self.is_honest(place) {
                plan::renew(&mut self.common, &mut self.truth, &mut self.replicas[place]);
            }
        }
    }

    /// The next thing happens: each kind in its turn.
    fn happen(&mut self, n: usize) {
        let honest = self.honest_coordinators();
        let at = self.common.dice.one(&honest);
        let what = [What::Admission, What::Rotation, What::Revocation][n % 3];
        let place = match what {
            What::Admission => self.scale.orgs + n / 3,
            What::Rotation | What::Revocation => self.somebody(),
        };
        let (common, truth) = (&mut self.common, &mut self.truth);
        match what {
            What::Admission => {
                let two = self.replicas.get_disjoint_mut([at, place]).unwrap();
                plan::admit(place, &honest[..4], common, truth, two);
                self.born[place] = true;
                self.replicas[place].awake = true;
                self.woke[place] = None;
            }
            What::Rotation => plan::rotate(common, truth, &mut self.replicas[place]),
            What::Revocation => plan::put_out(place, &honest[2..5], common, truth, &mut self.replicas[at]),
        }
        self.events.push(Event::new(what, place, self.round + 1, self.replicas.len()));
    }

    /// An ordinary member, awake, to whom nothing happened yet.
    fn somebody(&mut self) -> usize {
        let free = |place: &usize| self.replicas[*place].awake && self.events.iter().all(|event| event.place != *place);
        let free: Vec<usize> = (COUNTRIES.len()..self.scale.orgs).filter(free).collect();
        self.common.dice.one(&free)
    }

    /// Bytes since the last count, by awake node and round, and what the busiest coordinator answered in a round.
    fn count_traffic(&mut self) -> crate::figures::Traffic {
        let rounds = std::mem::take(&mut self.figures.node_rounds).max(1);
        let all: u64 = self.common.asked.iter().sum();
        let busiest = self.common.answered[..COUNTRIES.len()].iter().max().copied().unwrap_or(0);
        self.figures.by_call.push(
            std::mem::take(&mut self.common.by_call).into_iter().map(|(call, bytes)| (call, bytes / rounds)).collect(),
        );
        self.common.asked.iter_mut().chain(&mut self.common.answered).for_each(|bytes| *bytes = 0);
        let nodes = self.replicas.iter().filter(|replica| replica.awake).count() as u64;
        crate::figures::Traffic { node_round: all / rounds, coordinator_round: busiest * nodes.max(1) / rounds }
    }
}
