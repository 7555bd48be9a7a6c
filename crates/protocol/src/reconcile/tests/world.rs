//! A region in a few lines: events are planned in any order, and become logs with heads, openings and accounts.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1::MessageType;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::audit::{self, AuditEvent, Erasure, Happening};
use crate::fixture;
use crate::ids::{Digest, Net, NodeId, OrgId};
use crate::limits::{DAY, HOUR};
use crate::log::tree::Edge;
use crate::log::{Hash, leaf_hash};
use crate::reconcile::account::{Account, Head, Shown, examine};
use crate::reconcile::{Finding, Join, Kind, Party, Policy, RelayWord, Report, settle};
use crate::rows::EventRow;

/// When the world begins.
pub(super) const START: u64 = fixture::NOW;
/// How often logs sign a head and have it cosigned.
const HEAD_EVERY: u64 = 6 * HOUR;

/// A planned event: whose, and which of it.
pub(super) type Event = (usize, usize);

enum Plan {
    Happens(Happening),
    Erases(Vec<Event>),
    Restores(Vec<Event>),
}

/// One node's log in the making.
#[derive(Default)]
pub(super) struct Log {
    plans: Vec<(u64, Plan)>,
    /// Times claimed that are not the true ones.
    claims: BTreeMap<usize, u64>,
    /// Openings that never come.
    withheld: BTreeSet<usize>,
    /// The coordinator deleted its opening.
    let_go: BTreeSet<usize>,
    /// The opening of one shown for the other.
    swapped: BTreeMap<usize, usize>,
    /// No head after this.
    off_from: Option<u64>,
}

/// Several nodes and what relays say.
pub(super) struct World {
    pub(super) rng: ChaCha20Rng,
    logs: Vec<Log>,
    relays: Vec<(Digest, RelayWord)>,
    unaudited: BTreeSet<usize>,
    pub(super) closed: Vec<Digest>,
}

/// A log as it was built.
pub(super) struct Built {
    pub(super) party: Party,
    pub(super) origin: String,
    pub(super) rows: Vec<EventRow>,
    pub(super) shown: Vec<Shown>,
    pub(super) heads: Vec<Head>,
    settled: Vec<(u64, u64)>,
}

pub(super) fn net() -> Net {
    Net([9; 32])
}

pub(super) fn party(n: usize) -> Party {
    let n = u8::try_from(n + 1).unwrap();
    (OrgId([n; 16]), NodeId([n + 100; 16]))
}

impl Built {
    /// What an honest coordinator holds of it.
    pub(super) fn account<'a>(&'a self, commitments: &'a [Hash]) -> Account<'a> {
        Account {
            party: self.party,
            net: net(),
            origin: &self.origin,
            heads: &self.heads,
            audited: None,
            quorum: 2,
            faulty: 0,
            commitments,
            first: 0,
            settled: &self.settled,
        }
    }

    pub(super) fn commitments(&self) -> Vec<Hash> {
        self.rows.iter().map(|row| row.commitment).collect()
    }
}

impl World {
    pub(super) fn new(nodes: usize, seed: u64) -> Self {
        Self {
            rng: ChaCha20Rng::seed_from_u64(seed),
            logs: (0..nodes).map(|_| Log::default()).collect(),
            relays: Vec::new(),
            unaudited: BTreeSet::new(),
            closed: Vec::new(),
        }
    }

    /// Something happens at a node.
    pub(super) fn at(&mut self, node: usize, time: u64, happening: Happening) -> Event {
        self.plan(node, time, Plan::Happens(happening))
    }

    fn plan(&mut self, node: usize, time: u64, plan: Plan) -> Event {
        let log = &mut self.logs[node];
        log.plans.push((time, plan));
        (node, log.plans.len() - 1)
    }

    pub(super) fn digest(&mut self) -> Digest {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        Digest(bytes)
    }

    /// A message leaves. `due_day` and `answers` as the event bears them.
    pub(super) fn send(&mut self, from: usize, to: usize, class: MessageType, time: u64) -> Digest {
        let digest = self.digest();
        self.sends(from, to, class, time, digest, 0, None, AuditEvent::Sent);
        digest
    }

    #[allow(clippy::too_many_arguments, reason = "an event has that many fields")]
    pub(super) fn sends(
        &mut self,
        from: usize,
        to: usize,
        class: MessageType,
        time: u64,
        digest: Digest,
        due_day: u64,
        answers: Option<Digest>,
        event: AuditEvent,
    ) -> Event {
        let (org, node) = party(to);
        let happening = Happening { due_day, answers, ..Happening::of(event) };
        self.at(from, time, happening.with(org, node).about(digest, class as u32).by("Caseworker"))
    }

    /// The recipient's mailbox has it, and the sender has the receipt for that. Events: deposited, stored.
    pub(super) fn deposit(
        &mut self,
        from: usize,
        to: usize,
        class: MessageType,
        time: u64,
        digest: Digest,
    ) -> [Event; 2] {
        let (org, node) = party(to);
        let deposited = self.at(to, time, Happening::of(AuditEvent::Deposited).about(digest, 0));
        let stored = Happening::of(AuditEvent::ReceiptReceived).with(org, node).about(digest, class as u32);
        [deposited, self.at(from, time + 1, stored)]
    }

    /// The recipient's node takes it in, and its receipt travels back. The first event is the one that says so.
    pub(super) fn receive(&mut self, from: usize, to: usize, class: MessageType, time: u64, digest: Digest) -> Event {
        let (org, node) = party(from);
        let received = Happening::of(AuditEvent::AuditReceived).with(org, node).about(digest, class as u32);
        let received = self.at(to, time, received);
        self.receipt(from, to, time + 1, digest);
        received
    }

    fn receipt(&mut self, from: usize, to: usize, time: u64, digest: Digest) {
        let (receipt, back) = (self.digest(), party(from));
        self.at(to, time, Happening::of(AuditEvent::ReceiptSent).with(back.0, back.1).about(digest, 0));
        self.at(from, time + 60, Happening::of(AuditEvent::Deposited).about(receipt, 0));
        let (org, node) = party(to);
        let taken = Happening::of(AuditEvent::ReceiptReceived).with(org, node).about(receipt, 100);
        self.at(from, time + 61, taken);
        let stored = Happening::of(AuditEvent::ReceiptReceived).with(back.0, back.1).about(receipt, 100);
        self.at(to, time + 62, stored);
    }

    /// A person opens it, and the receipt says so.
    pub(super) fn open(&mut self, from: usize, to: usize, class: MessageType, time: u64, digest: Digest) -> Event {
        let (org, node) = party(from);
        let opened = Happening::of(AuditEvent::AuditOpened).with(org, node).about(digest, class as u32);
        let opened = self.at(to, time, opened.by("Caseworker"));
        self.receipt(from, to, time + 1, digest);
        opened
    }

    /// A message that goes all the way: sent, stored an hour later, received, opened a day later. What the recipient
    /// recorded of it.
    pub(super) fn whole(&mut self, from: usize, to: usize, class: MessageType, time: u64) -> Digest {
        let digest = self.send(from, to, class, time);
        self.arrives(from, to, class, time, digest);
        digest
    }

    pub(super) fn arrives(&mut self, from: usize, to: usize, class: MessageType, time: u64, digest: Digest) {
        self.deposit(from, to, class, time + HOUR, digest);
        self.receive(from, to, class, time + HOUR + 5, digest);
        self.open(from, to, class, time + DAY, digest);
    }

    pub(super) fn erase(&mut self, node: usize, time: u64, events: &[Event]) -> Event {
        self.plan(node, time, Plan::Erases(events.to_vec()))
    }

    pub(super) fn restore(&mut self, node: usize, time: u64, events: &[Event]) -> Event {
        self.plan(node, time, Plan::Restores(events.to_vec()))
    }

    pub(super) fn claim(&mut self, event: Event, time: u64) {
        self.logs[event.0].claims.insert(event.1, time);
    }

    pub(super) fn withhold(&mut self, event: Event) {
        self.logs[event.0].withheld.insert(event.1);
    }

    /// The coordinator deletes what it is told it may, and remembers what is settled.
    pub(super) fn let_go(&mut self, now: u64) -> usize {
        let (join, _) = self.join(now, false);
        let report = join.report(now);
        self.closed.extend(&report.closed);
        self.closed.sort();
        self.closed.dedup();
        let settled = join.settled(&report, now);
        let mut deleted = 0;
        for node in 0..self.logs.len() {
            for (plan, row) in self.rows(node, now) {
                let log = &mut self.logs[node];
                if settled.lets_go(party(node), &audit::unpad(&row.opening).unwrap()) && log.let_go.insert(plan) {
                    deleted += 1;
                }
            }
        }
        self.closed.retain(|digest| !settled.is_forgotten(digest));
        deleted
    }

    /// Whether a node sent this.
    pub(super) fn sent(&mut self, node: usize, digest: Digest) -> bool {
        let mut openings = self.rows(node, u64::MAX).into_iter().filter_map(|(_, row)| audit::unpad(&row.opening));
        openings.any(|o| o.event() == AuditEvent::Sent && o.envelope_digest == digest.0)
    }

    pub(super) fn swap(&mut self, event: Event, with: Event) {
        self.logs[event.0].swapped.insert(event.1, with.1);
    }

    /// The node signs no head after this time.
    pub(super) fn off_from(&mut self, node: usize, time: u64) {
        self.logs[node].off_from = Some(time);
    }

    /// This coordinator does not audit that node.
    pub(super) fn not_audited(&mut self, node: usize) {
        self.unaudited.insert(node);
    }

    pub(super) fn relay(&mut self, digest: Digest, word: RelayWord) {
        self.relays.push((digest, word));
    }

    /// The entries of a log as it stands at `now`, and what they come from.
    fn rows(&mut self, node: usize, now: u64) -> Vec<(usize, EventRow)> {
        let me = party(node);
        let origin = audit::origin(net(), me.0, me.1, 1);
        let log = &self.logs[node];
        let last = log.off_from.unwrap_or(now).min(now);
        let mut order: Vec<usize> = (0..log.plans.len()).filter(|i| log.plans[*i].0 <= last).collect();
        order.sort_by_key(|i| (log.plans[*i].0, *i));
        let index: BTreeMap<usize, u64> = order.iter().zip(0..).map(|(plan, index)| (*plan, index)).collect();
        let ranges = |events: &[Event]| events.iter().map(|e| (index[&e.1], index[&e.1])).collect::<Vec<_>>();
        let rows = order.iter().zip(0..).map(|(plan, index)| {
            let (time, what) = &log.plans[*plan];
            let time = log.claims.get(plan).copied().unwrap_or(*time);
            let (kind, erased, rule) = match what {
                Plan::Happens(h) => return audit::record(h, net(), &origin, index, time, &mut self.rng),
                Plan::Erases(events) => (AuditEvent::CaseErased, ranges(events), "x.closed.90d"),
                Plan::Restores(events) => (AuditEvent::Restore, ranges(events), ""),
            };
            let erasure = Erasure { ranges: &erased, rule };
            audit::record_erasure(&Happening::of(kind), erasure, net(), &origin, index, time, &mut self.rng).unwrap()
        });
        let rows: Vec<EventRow> = rows.collect();
        order.into_iter().zip(rows).collect()
    }

    /// Builds a log as it stands at `now`.
    pub(super) fn build(&mut self, node: usize, now: u64) -> Built {
        let me = party(node);
        let (order, rows): (Vec<usize>, Vec<EventRow>) = self.rows(node, now).into_iter().unzip();
        let index: BTreeMap<usize, usize> = order.iter().zip(0..).map(|(plan, index)| (*plan, index)).collect();
        let log = &self.logs[node];
        let hidden = |plan: &usize| log.withheld.contains(plan) || log.let_go.contains(plan);
        let shown = order.iter().zip(&rows).filter(|(plan, _)| !hidden(plan)).map(|(plan, row)| {
            let from = log.swapped.get(plan).map_or(row, |other| &rows[index[other]]);
            Shown { index: row.index, salt: from.salt, opening: from.opening.clone().into() }
        });
        let shown = shown.collect();
        let gone = order.iter().zip(0..).filter(|(plan, _)| log.let_go.contains(plan));
        let settled = gone.map(|(_, index)| (index, index)).collect();
        let times: Vec<u64> = order.iter().map(|plan| log.plans[*plan].0).collect();
        let last = log.off_from.unwrap_or(now).min(now);
        let origin = audit::origin(net(), me.0, me.1, 1);
        Built { party: me, origin, heads: heads(&rows, &times, last), shown, rows, settled }
    }

    /// Examines every log and joins them.
    pub(super) fn reconcile(&mut self, now: u64) -> Report {
        self.reconcile_in(now, false)
    }

    /// The same, the nodes from first to last or the other way round.
    pub(super) fn reconcile_in(&mut self, now: u64, reversed: bool) -> Report {
        let (join, findings) = self.join(now, reversed);
        let mut report = join.report(now);
        report.findings.extend(findings);
        settle(&mut report.findings);
        report
    }

    pub(super) fn join(&mut self, now: u64, reversed: bool) -> (Join, Vec<Finding>) {
        let policy = Policy::default();
        let mut join = Join::new(policy, (0..self.logs.len()).map(party));
        let mut findings = Vec::new();
        let mut nodes: Vec<usize> = (0..self.logs.len()).filter(|n| !self.unaudited.contains(n)).collect();
        if reversed {
            nodes.reverse();
        }
        for node in nodes {
            let built = self.build(node, now);
            let commitments = built.commitments();
            let shown = built.shown.iter().cloned();
            let done = examine(&built.account(&commitments), shown, &policy, now, |o| join.take(built.party, o));
            findings.extend(done.findings);
            join.hear(done.standing);
        }
        self.relays.iter().for_each(|(digest, word)| join.relay_says(*digest, *word));
        self.closed.iter().for_each(|digest| join.close(*digest));
        (join, findings)
    }

    /// The kinds of what is found.
    pub(super) fn kinds(&mut self, now: u64) -> Vec<Kind> {
        self.reconcile(now).findings.into_iter().map(|f| f.kind).collect()
    }

    /// The only finding.
    pub(super) fn only(&mut self, now: u64) -> Finding {
        let findings = self.reconcile(now).findings;
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.into_iter().next().unwrap()
    }
}

/// A head every few hours, and one at the end, each cosigned by three within seconds.
fn heads(rows: &[EventRow], times: &[u64], last: u64) -> Vec<Head> {
    let mut edge = Edge::default();
    let mut heads = Vec::new();
    let mut at = START - HEAD_EVERY;
    loop {
        while edge.size() < rows.len() as u64 && times[usize::try_from(edge.size()).unwrap()] <= at {
            edge.push(leaf_hash(&rows[usize::try_from(edge.size()).unwrap()].commitment));
        }
        let seen = vec![at + 1, at + 2, at + 3];
        match heads.last_mut() {
            Some(Head { size, seen: before, .. }) if *size == edge.size() => *before = seen,
            _ => heads.push(Head { size: edge.size(), root: edge.root(), seen }),
        }
        if at >= last {
            return heads;
        }
        at = (at + HEAD_EVERY).min(last);
    }
}
