//! A region in one thread: nodes, the net, the true time, the dice and the judge. Draws what happens next.

use std::collections::BTreeSet;

use clearhouse_casework::case::{Case, State};
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::ceremony;
use clearhouse_protocol::envelope::{Attachment, Letter, Opening, Outside, Reader, open, seal};
use clearhouse_protocol::fixture::NOW;
use clearhouse_protocol::ids::MsgId;
use clearhouse_protocol::limits::{DAY, HOUR, MINUTE};
use clearhouse_store::faulty::Fault;
use clearhouse_wire::v1::{RecordBundle, SubjectKind};

use super::Violation;
use super::dice::Dice;
use super::flaw::Flaw;
use super::model::{Model, site_of};
use super::net::{Call, Net, Packet, Said, Site, Weather};
use super::node::{Ask, BEHIND, Node, Records, SITES, region, unlock};
use super::owner::Meets;
use super::people::{self, Wish};
use super::relay::mailbox_there;

/// Most that clocks of a region differ from the true time, seconds: below what peers forgive each other.
pub(super) const SKEW_MAX: u64 = 240;
/// Most cases one office opens by itself.
const CASES_MAX: u64 = 3;

/// Whose turn it is.
#[derive(Clone, Copy)]
enum Turn {
    Owner(Site),
    Courier(Site),
    Opener(Site),
    Fetcher,
    Net,
}

/// A region.
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) net: Net,
    pub(super) model: Model,
    pub(super) dice: Dice,
    /// Unix seconds. No node sees it; each has a clock of its own.
    pub(super) time: u64,
    pub(super) flaw: Option<Flaw>,
    /// The site that never comes back, in a run that asks whether the rest goes on.
    pub(super) dead: Option<Site>,
    pub(super) calls: u64,
    /// Calls whose line is closed: what else came on it is not read.
    pub(super) closed: BTreeSet<Call>,
    pub(super) commits: u64,
    pub(super) crashes: u64,
    /// Envelopes that were fetched and are durable.
    pub(super) fetched: u64,
    /// How rough this run is: 0 fair, 3 a storm.
    rough: u64,
    /// Cases each office of destination opens: few go far, many meet each other.
    cases: usize,
    /// What happened lately, for a violation's report.
    trail: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, flaw: Option<Flaw>) -> Result<Self, Violation> {
        let mut dice = Dice::new(seed);
        let mut nodes = Vec::with_capacity(SITES);
        for site in 0..SITES {
            let skew = i64::try_from(dice.below(2 * SKEW_MAX)).unwrap_or(0) - i64::try_from(SKEW_MAX).unwrap_or(0);
            let mut node = Node::new(site, skew, flaw);
            node.start(true, Records::Known, NOW + HOUR)?;
            nodes.push(node);
        }
        let rough = dice.below(4);
        let cases = usize::try_from(dice.between(1, CASES_MAX)).unwrap_or(1);
        let mut net = Net::new();
        net.weather = Weather { lose: 8 * rough, double: 4 * rough, delay: 10 * rough };
        // The clocks of a region start after its records were made.
        let time = NOW + HOUR;
        let model = Model::default();
        let (calls, commits, crashes, fetched, trail, closed) = (0, 0, 0, 0, Vec::new(), BTreeSet::new());
        let dead = None;
        Ok(Self {
            nodes,
            net,
            model,
            dice,
            time,
            flaw,
            dead,
            calls,
            closed,
            commits,
            crashes,
            fetched,
            rough,
            cases,
            trail,
        })
    }

    /// Lets `steps` things happen.
    pub(super) fn live(&mut self, steps: u64) -> Result<(), Violation> {
        for _ in 0..steps {
            self.time += self.dice.below(3);
            self.happen()?;
        }
        Ok(())
    }

    fn happen(&mut self) -> Result<(), Violation> {
        let site = self.dice.index(SITES);
        match self.dice.below(1000) {
            0..230 => self.person(),
            230..806 => {
                let turns = self.dice.between(1, 16);
                self.bustle(turns)
            }
            806..816 => {
                self.ask_the_time();
                Ok(())
            }
            816..820 => {
                if self.dice.percent(20 * self.rough) {
                    self.set_a_clock(site);
                }
                Ok(())
            }
            820..850 => self.ask(site, Ask::Tick),
            850..875 => self.second_thoughts(),
            875..900 => self.pass(),
            900..940 => self.power(site),
            940..958 => self.toggle_lock(site),
            958..968 => self.weather(),
            968..980 => self.eavesdropper(),
            980..985 => self.sealed_again(),
            985..988 => self.revoke(),
            _ => self.audit(site),
        }
    }

    /// Turns of the machinery, each one that has something to do.
    pub(super) fn bustle(&mut self, turns: u64) -> Result<(), Violation> {
        for _ in 0..turns {
            let mut turns: Vec<Turn> = (0..SITES).flat_map(|site| self.turns(site)).collect();
            turns.extend(self.net.next_arrival().filter(|at| *at <= self.time).map(|_| Turn::Net));
            turns.extend(self.may_fetch().then_some(Turn::Fetcher));
            if turns.is_empty() {
                return Ok(());
            }
            match self.dice.pick(&turns) {
                Turn::Owner(site) => {
                    let meets = self.draw_meets();
                    self.owner(site, meets)?;
                }
                Turn::Courier(site) => self.courier(site)?,
                Turn::Opener(site) => self.opener(site)?,
                Turn::Fetcher => self.fetch()?,
                Turn::Net => {
                    if let Some(packet) = self.net.arrive(self.time, &mut self.dice) {
                        self.arrive(packet)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn turns(&self, site: Site) -> impl Iterator<Item = Turn> + use<> {
        let node = &self.nodes[site];
        let now = node.clock(self.time);
        let up = node.up.as_ref();
        let owner = up.is_some_and(|up| !up.inbox.is_empty());
        let courier = up.is_some_and(|up| {
            let free = |id: &MsgId| !up.errands.contains_key(id);
            let mail = up.office.mail();
            up.errands.values().any(|e| e.wants_a_turn(self.time))
                || mail.next_due().is_some_and(|due| due <= now)
                    && (mail.due(now).iter().any(free) || mail.to_ask(now).any(|id| free(&id)))
        });
        let opener = up.is_some_and(|up| up.open && up.office.mail().to_open().next().is_some());
        let all = [(owner, Turn::Owner(site)), (courier, Turn::Courier(site)), (opener, Turn::Opener(site))];
        all.into_iter().filter(|(has, _)| *has).map(|(_, turn)| turn)
    }

    fn draw_meets(&mut self) -> Meets {
        if !self.dice.percent(self.rough) {
            return Meets::Nothing;
        }
        self.crashes += 1;
        let meets = self.dice.pick(&[
            Meets::CrashBeforeCommit,
            Meets::CrashAfterCommit,
            Meets::Refusal(Fault::NotTaken),
            Meets::Refusal(Fault::Full),
            Meets::Fatal(Fault::FatalAndLost),
            Meets::Fatal(Fault::FatalButSaved),
        ]);
        self.note(format!("a batch meets {meets:?}"));
        meets
    }

    /// Somebody somewhere wants something.
    fn person(&mut self) -> Result<(), Violation> {
        let mut wishes = Vec::new();
        for site in 0..SITES {
            let Some(cases) = self.nodes[site].up.as_ref().and_then(|up| up.office.cases()) else { continue };
            let all: Vec<&Case> = cases.iter().collect();
            let own = all.iter().filter(|c| !c.is_receiver()).count();
            if own < self.cases && site < 2 && (all.is_empty() || self.dice.percent(4)) {
                let peer = region().members[2 + self.dice.index(2)].org;
                wishes.push((site, Wish::OpenCase(peer)));
            }
            wishes.extend(all.into_iter().filter_map(|case| Some((site, people::wish(case, &mut self.dice)?))));
        }
        if wishes.is_empty() {
            return Ok(());
        }
        let (site, wish) = self.dice.pick(&wishes);
        self.note(format!("site {site}: {wish:?}"));
        self.ask(site, Ask::Wish(wish))
    }

    /// Somebody takes back, or she withdraws, just while a message of the case is being carried.
    fn second_thoughts(&mut self) -> Result<(), Violation> {
        let carried = |site: Site| {
            let up = self.nodes[site].up.as_ref();
            let ids = up.into_iter().flat_map(|up| up.errands.keys());
            ids.filter_map(|id| Some((site, self.model.one(*id)?.case?))).collect::<Vec<_>>()
        };
        let carried: Vec<_> = (0..SITES).flat_map(carried).collect();
        if carried.is_empty() || self.dice.percent(50) {
            return Ok(());
        }
        let (site, case) = self.dice.pick(&carried);
        let wish = if self.dice.percent(60) { Wish::Recall(case) } else { Wish::Withdraw(case) };
        self.note(format!("site {site}, while it is carried: {wish:?}"));
        self.ask(site, Ask::Wish(wish))
    }

    pub(super) fn ask(&mut self, site: Site, ask: Ask) -> Result<(), Violation> {
        if let Some(up) = self.nodes[site].up.as_mut() {
            up.inbox.push_back(ask);
        }
        Ok(())
    }

    /// Time passes: mostly minutes, now and then a day.
    fn pass(&mut self) -> Result<(), Violation> {
        let most = self.dice.pick(&[MINUTE, MINUTE, 20 * MINUTE, 20 * MINUTE, 3 * HOUR, 3 * HOUR, DAY, 2 * DAY]);
        let secs = self.dice.between(1, most);
        self.time += secs;
        self.note(format!("{secs} s pass"));
        Ok(())
    }

    fn power(&mut self, site: Site) -> Result<(), Violation> {
        // Who is down comes back sooner than others go down.
        let down = self.nodes.iter().position(|n| n.up.is_none());
        if let Some(site) = down {
            let open = self.dice.percent(75);
            self.note(format!("site {site} starts, open {open}"));
            self.nodes[site].battery(&mut self.dice);
            return self.nodes[site].start(open, Records::Checked, self.time);
        }
        if self.dice.percent(10 + 10 * self.rough) {
            self.audit(site)?;
            self.crashes += 1;
            self.note(format!("site {site} loses power"));
            self.nodes[site].crash();
        }
        Ok(())
    }

    fn toggle_lock(&mut self, site: Site) -> Result<(), Violation> {
        let locked = self.nodes.iter().position(|n| n.up.as_ref().is_some_and(|up| !up.open));
        let site = locked.filter(|_| self.dice.percent(70)).unwrap_or(site);
        let locks = self.nodes[site].up.as_ref().is_some_and(|up| up.open);
        self.note(format!("site {site}: lock {locks}"));
        self.lock(site, locks)?;
        self.ask(site, Ask::Note(if locks { AuditEvent::Locked } else { AuditEvent::Unlocked }))
    }

    pub(super) fn lock(&mut self, site: Site, locks: bool) -> Result<(), Violation> {
        let node = &mut self.nodes[site];
        let ground = node.ground();
        let Some(up) = node.up.as_mut() else { return Ok(()) };
        if !locks {
            up.open = true;
            return unlock(ground, &mut up.office, &up.ledger);
        }
        up.open = false;
        up.ledger.vault().lock();
        if self.flaw != Some(Flaw::LockKeepsCases) {
            up.office.lock();
        }
        Ok(())
    }

    fn weather(&mut self) -> Result<(), Violation> {
        if self.rough == 0 || self.dice.percent(50) {
            self.net.heal();
            return Ok(());
        }
        let (a, b) = (self.dice.index(SITES), self.dice.index(SITES));
        let both = self.dice.percent(50);
        self.note(format!("the line from {a} to {b} is cut, both ways {both}"));
        self.net.part(a, b, both);
        Ok(())
    }

    /// Somebody who heard an envelope sends it again, as it was or with a changed byte, as any accredited node could.
    fn eavesdropper(&mut self) -> Result<(), Violation> {
        let Some((to, mut digest, bytes)) = self.net.recorded(&mut self.dice) else { return Ok(()) };
        let from = (to + 1 + self.dice.index(SITES - 1)) % SITES;
        let Ok(Outside { mailbox, .. }) = Outside::parse(&bytes) else { return Ok(()) };
        let mut bytes = bytes.to_vec();
        if self.dice.percent(30) {
            let at = self.dice.index(bytes.len());
            bytes[at] ^= 1 << self.dice.below(8);
            let Ok(outside) = Outside::parse(&bytes) else { return Ok(()) };
            digest = outside.digest;
        }
        self.note(format!("site {from} deposits {digest} at {to} again"));
        let said = Said::Deposit { mailbox, digest, bytes: bytes.into() };
        self.net.send(Packet { call: 0, from, to, at: self.time, said }, &mut self.dice)
    }

    /// The same message in another envelope, as a sender may seal it (decision 23): another digest, the same effect.
    fn sealed_again(&mut self) -> Result<(), Violation> {
        let Some((to, _, bytes)) = self.net.recorded(&mut self.dice) else { return Ok(()) };
        let Ok(outside) = Outside::parse(&bytes) else { return Ok(()) };
        let reader = if outside.mailbox == mailbox_there() { BEHIND } else { to };
        let now = self.nodes[reader].clock(self.time);
        let ground = self.nodes[reader].ground();
        let Some((_, prekey)) = ground.prekeys.iter().find(|(id, _)| *id == outside.prekey) else { return Ok(()) };
        let directory = &region().directory;
        let reader = Reader::new((ground.member.org, ground.member.node), directory, now);
        let Ok(Opening::Whole(opened)) = open(&outside, Some(prekey), &reader) else { return Ok(()) };
        let Some(from) = site_of(opened.sender.1.as_bytes()) else { return Ok(()) };
        let Ok(recipient) = directory.recipient(ground.member.org, ground.member.node, now) else { return Ok(()) };
        let inner = opened.inner();
        let attachments: Vec<Attachment> = opened.attachments().to_vec();
        let letter = Letter {
            net: region().net,
            msg_type: inner.msg_type,
            body_version: inner.body_version,
            msg_id: opened.msg_id,
            sender: opened.sender,
            conversation: opened.conversation,
            seq: inner.seq,
            prev_digest: inner.prev_digest.as_slice().try_into().ok(),
            created: inner.created,
            expires: inner.expires,
            actor: opened.actor,
            body: &inner.body,
            attachments: &attachments,
        };
        let Ok(sealed) = seal(&letter, &recipient, 0, &region().members[from].sign, self.dice.rng()) else {
            return Ok(());
        };
        self.note(format!("message {} comes to {to} in another envelope", opened.msg_id));
        self.model.is_strange(opened.msg_id);
        let said = Said::Deposit { mailbox: sealed.mailbox, digest: sealed.digest, bytes: sealed.bytes.into() };
        self.net.send(Packet { call: 0, from, to, at: self.time, said }, &mut self.dice)
    }

    /// The coordinators put a party out. The record reaches the nodes one by one, as records do.
    fn revoke(&mut self) -> Result<(), Violation> {
        let out = self.dice.index(SITES);
        let keys: Vec<_> = region().coordinators.iter().take(2).collect();
        let org = region().members[out].org;
        let record = ceremony::revoke(region().net, SubjectKind::Organisation, org.0, "misuse", NOW, &keys);
        self.note(format!("site {out} is put out"));
        for site in (0..SITES).filter(|site| *site != out) {
            if self.dice.percent(80) {
                let bundle = RecordBundle { records: vec![record.clone()], prekeys: Vec::new(), published: vec![] };
                self.ask(site, Ask::Admit(bundle))?;
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self, what: String) {
        if self.trail.len() >= 60 {
            self.trail.remove(0);
        }
        self.trail.push(format!("{} {what}", self.time - NOW));
    }

    fn count(&self, state: State) -> u64 {
        let offices = self.nodes.iter().filter_map(|n| n.up.as_ref()?.office.cases());
        offices.flat_map(|cases| cases.iter()).filter(|c| c.is_receiver() && c.state() == state).count() as u64
    }

    /// What the run was like.
    pub(super) fn tally(&self) -> super::Tally {
        super::Tally {
            commits: self.commits,
            crashes: self.crashes,
            packets: self.net.carried,
            messages: self.model.mail().count() as u64,
            effects: self.model.all_effects(),
            read: self.model.all_read(),
            arrived: self.count(State::Arrived),
            withdrawn: self.count(State::Withdrawn) + self.count(State::Stayed),
            fetched: self.fetched,
            followed: self.model.followed(),
        }
    }

    /// What happened before a violation.
    pub(super) fn trail(&self) -> String {
        self.trail.join("\n  ")
    }
}
