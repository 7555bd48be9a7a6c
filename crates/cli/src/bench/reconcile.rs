//! Reconciliation: a million events of fifty nodes, examined and joined, in a process of its own.

use std::time::Duration;

use clearhouse_node::clock::{Chance, chance};
use clearhouse_protocol::audit::{self, AuditEvent, Happening};
use clearhouse_protocol::ids::{Digest, Net, NodeId, OrgId};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_protocol::log::leaf_hash;
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::reconcile::account::{Account, Head, Shown, examine};
use clearhouse_protocol::reconcile::{Join, Party, Policy};
use rand_core::Rng as _;

use super::children::figure;
use super::measure::{Outcome, thread_time};

const NODES: usize = 50;
/// A message makes ten events: seven of its own and three of its receipt.
const MESSAGES: usize = 100_000;
const START: u64 = 1_794_657_600;
const NOW: u64 = START + 180 * DAY;
/// Of six kinds, as a region writes them.
const CLASSES: [u32; 6] = [2, 3, 4, 6, 9, 10];

#[derive(Clone, Copy)]
struct Event {
    at: u64,
    kind: AuditEvent,
    digest: Digest,
    class: u32,
    peer: Option<usize>,
}

fn party(n: usize) -> Party {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    (OrgId(id), NodeId(id))
}

fn events(rng: &mut Chance) -> Vec<Vec<Event>> {
    let mut logs: Vec<Vec<Event>> = vec![Vec::new(); NODES];
    let digest = |rng: &mut Chance| {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Digest(bytes)
    };
    for n in 0..MESSAGES {
        let from = n % NODES;
        let to = (from + 1 + n / NODES % (NODES - 1)) % NODES;
        let (message, receipt, class) = (digest(rng), digest(rng), CLASSES[n % CLASSES.len()]);
        let at = START + rng.next_u64() % (170 * DAY);
        let mut say = |who: usize, at, kind, digest, class, peer| {
            logs[who].push(Event { at, kind, digest, class, peer });
        };
        say(from, at, AuditEvent::Sent, message, class, Some(to));
        say(to, at + 60, AuditEvent::Deposited, message, 0, None);
        say(from, at + 61, AuditEvent::ReceiptReceived, message, class, Some(to));
        say(to, at + 62, AuditEvent::AuditReceived, message, class, Some(from));
        say(to, at + 63, AuditEvent::ReceiptSent, message, 0, Some(from));
        say(from, at + 120, AuditEvent::Deposited, receipt, 0, None);
        say(from, at + 121, AuditEvent::ReceiptReceived, receipt, 100, Some(to));
        say(to, at + 122, AuditEvent::ReceiptReceived, receipt, 100, Some(from));
        say(to, at + HOUR, AuditEvent::AuditOpened, message, class, Some(from));
        say(to, at + HOUR + 1, AuditEvent::ReceiptSent, message, 0, Some(from));
    }
    logs.iter_mut().for_each(|log| log.sort_by_key(|event| event.at));
    logs
}

/// Makes the logs, then holds them against each other. Says what it took.
pub(crate) fn million() -> Outcome<String> {
    let mut rng = chance();
    let (net, policy) = (Net([9; 32]), Policy::default());
    let mut logs = events(&mut rng);
    let before = figure("self", "VmRSS")?;
    let mut join = Join::new(policy, (0..NODES).map(party));
    let (mut examining, mut findings) = (Duration::ZERO, 0);
    for (n, log) in logs.iter_mut().enumerate() {
        let log = std::mem::take(log);
        let (org, node) = party(n);
        let origin = audit::origin(net, org, node, 1);
        let mut edge = Edge::default();
        let (mut commitments, mut shown, mut heads) = (Vec::new(), Vec::new(), Vec::new());
        for (index, event) in (0u64..).zip(&log) {
            let mut happening = Happening::of(event.kind).about(event.digest, event.class);
            happening.peer = event.peer.map(party);
            let row = audit::record(&happening, net, &origin, index, event.at, &mut rng);
            edge.push(leaf_hash(&row.commitment));
            commitments.push(row.commitment);
            shown.push(Shown { index, salt: row.salt, opening: row.opening.into() });
            let next = log.get(usize::try_from(index).unwrap_or(usize::MAX) + 1).map_or(NOW, |next| next.at);
            if next >= event.at + 600 {
                heads.push(Head { size: index + 1, root: edge.root(), seen: vec![event.at + 30; 3] });
            }
        }
        if let Some(newest) = heads.last_mut() {
            newest.seen = vec![NOW; 3];
        }
        let account = Account {
            party: (org, node),
            net,
            origin: &origin,
            heads: &heads,
            audited: None,
            quorum: 2,
            faulty: 0,
            commitments: &commitments,
            first: 0,
            settled: &[],
        };
        let start = thread_time();
        let done = examine(&account, shown, &policy, NOW, |opening| join.take((org, node), opening));
        join.hear(done.standing);
        examining += thread_time().saturating_sub(start);
        findings += done.findings.len();
    }
    let start = thread_time();
    let report = join.report(NOW);
    let judging = thread_time().saturating_sub(start);
    let entries = (MESSAGES * 10) as u64;
    let found = findings + report.findings.len();
    Ok(format!(
        "{entries} events of {NODES} logs held against each other: examined in {:.2} s, judged in {:.2} s of the processor; \
         {found} findings of none; {} MB with the join, {} MB before it",
        examining.as_secs_f64(),
        judging.as_secs_f64(),
        figure("self", "VmHWM")? / 1024,
        before / 1024,
    ))
}
