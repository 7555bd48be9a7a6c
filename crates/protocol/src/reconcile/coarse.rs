//! What of a report may leave the coordinator's process: figures that point at no one (decision 12, domain d.2 and e).
//!
//! Refuses digests, positions, dates finer than a week, and figures of a corridor with few open messages: of such a one
//! only whether something is overdue. The alarms that may save a life name the two organisations, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Kind, Policy, Report};
use crate::ids::OrgId;
use crate::limits::{DAY, WEEK};

/// An urgent finding as it is told: call these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// [`Kind::is_urgent`].
    pub kind: Kind,
    /// Who sent the notice or announced the departure.
    pub from: OrgId,
    /// Who owes the answer or the arrival.
    pub to: OrgId,
}

/// A finding about a node and not about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AboutNode {
    /// What.
    pub kind: Kind,
    /// Whose node.
    pub org: OrgId,
    /// Monday of the week since when, unix seconds; `None` when nobody knows.
    pub week: Option<u64>,
}

/// How many findings of a kind, and since which week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Monday of the week of the oldest, unix seconds.
    pub week: Option<u64>,
}

/// What may be shown of a corridor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figures {
    /// Too few open messages for figures.
    Few {
        /// Something is late, unanswered or not confirmed.
        overdue: bool,
    },
    /// Enough of them.
    Counted {
        /// Open messages.
        open: u64,
        /// Open messages by class (MessageType number): the classes of which there are enough, and not so many of them
        /// that what is left out could be told.
        classes: BTreeMap<u32, u64>,
        /// Monday of the week of the oldest open message, unix seconds.
        oldest_week: Option<u64>,
        /// Findings by kind.
        findings: BTreeMap<Kind, Tally>,
    },
}

/// What may leave. `P` is what corridors run between: organisations, or countries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coarse<P> {
    /// Urgent ones, each pair of organisations once for each kind.
    pub alerts: Vec<Alert>,
    /// About nodes.
    pub nodes: Vec<AboutNode>,
    /// Corridors, from and to. One that is not listed is like one with few messages and nothing overdue, so that its
    /// absence does not say that there are none.
    corridors: BTreeMap<(P, P), Figures>,
}

impl<P: Ord + Clone> Coarse<P> {
    /// What may be shown of a corridor.
    #[must_use]
    pub fn figures(&self, from: &P, to: &P) -> Figures {
        let key = (from.clone(), to.clone());
        self.corridors.get(&key).cloned().unwrap_or(Figures::Few { overdue: false })
    }

    /// The corridors of which there is something to show, in order.
    pub fn corridors(&self) -> impl Iterator<Item = (&P, &P, &Figures)> {
        self.corridors.iter().map(|((from, to), figures)| (from, to, figures))
    }
}

#[derive(Default)]
struct Exact {
    open: BTreeMap<u32, u64>,
    oldest: Option<u64>,
    findings: BTreeMap<Kind, (u64, Option<u64>)>,
}

/// Coarsens a report. `place` says where an organisation stands: itself, or its country.
pub fn coarse<P: Ord + Clone>(report: &Report, policy: &Policy, place: impl Fn(OrgId) -> P) -> Coarse<P> {
    let mut exact: BTreeMap<(P, P), Exact> = BTreeMap::new();
    for ((from, to), corridor) in &report.corridors {
        let sum = exact.entry((place(*from), place(*to))).or_default();
        for (class, count) in &corridor.open {
            *sum.open.entry(*class).or_default() += count;
        }
        sum.oldest = earliest(sum.oldest, Some(corridor.oldest));
    }
    let (mut alerts, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for finding in &report.findings {
        let Some((from, to)) = corridor_of(finding) else {
            let week = known(finding.since).map(monday);
            nodes.extend(finding.parties.iter().map(|(org, _)| AboutNode { kind: finding.kind, org: *org, week }));
            continue;
        };
        if finding.is_urgent() {
            alerts.insert(Alert { kind: finding.kind, from, to });
        }
        let sum = exact.entry((place(from), place(to))).or_default();
        let tally = sum.findings.entry(finding.kind).or_default();
        *tally = (tally.0 + 1, earliest(tally.1, known(finding.since)));
    }
    let corridors = exact.into_iter().map(|(ends, sum)| (ends, figures(sum, policy)));
    let corridors = corridors.filter(|(_, figures)| *figures != Figures::Few { overdue: false }).collect();
    Coarse { alerts: alerts.into_iter().collect(), nodes: nodes.into_iter().collect(), corridors }
}

fn figures(exact: Exact, policy: &Policy) -> Figures {
    let open: u64 = exact.open.values().sum();
    if open < policy.min_cell {
        return Figures::Few { overdue: exact.findings.keys().any(|kind| is_overdue(*kind)) };
    }
    let tally = |(count, since): (u64, Option<u64>)| Tally { count, week: since.map(monday) };
    Figures::Counted {
        open,
        classes: enough(exact.open, open, policy.min_cell),
        oldest_week: exact.oldest.map(monday),
        findings: exact.findings.into_iter().map(|(kind, of)| (kind, tally(of))).collect(),
    }
}

/// The classes that may be shown beside their total: each large enough, and what is left out large enough too.
fn enough(mut classes: BTreeMap<u32, u64>, total: u64, min_cell: u64) -> BTreeMap<u32, u64> {
    classes.retain(|_, count| *count >= min_cell);
    let left_out = |shown: &BTreeMap<u32, u64>| total - shown.values().sum::<u64>();
    while (1..min_cell).contains(&left_out(&classes)) {
        let smallest = classes.iter().min_by_key(|(class, count)| (**count, **class)).map(|(class, _)| *class);
        let Some(smallest) = smallest else { break };
        classes.remove(&smallest);
    }
    classes
}

/// Between whom a finding lies; `None` when it is about a node.
fn corridor_of(finding: &Finding) -> Option<(OrgId, OrgId)> {
    finding.digest?;
    let from = finding.parties.first()?;
    let to = finding.parties.get(1).unwrap_or(from);
    Some((from.0, to.0))
}

fn is_overdue(kind: Kind) -> bool {
    match kind {
        Kind::OverdueArrival
        | Kind::Unanswered
        | Kind::Unattended
        | Kind::WithheldByRecipient
        | Kind::RecipientOffline
        | Kind::LostOrNotDeposited => true,
        Kind::SplitView
        | Kind::NotWitnessed
        | Kind::LogMismatch
        | Kind::Unexplained
        | Kind::Backdated
        | Kind::UnloggedSender
        | Kind::Misdirected
        | Kind::Replay
        | Kind::ErasedUnopened
        | Kind::ErasedOpenNotice
        | Kind::Probing => false,
    }
}

/// 0 stands for a time nobody knows.
fn known(since: u64) -> Option<u64> {
    (since != 0).then_some(since)
}

fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

/// Monday 00:00 UTC of the week of a time. Unix time began on a Thursday.
fn monday(at: u64) -> u64 {
    const FROM_MONDAY: u64 = 3 * DAY;
    (at.saturating_add(FROM_MONDAY) / WEEK * WEEK).saturating_sub(FROM_MONDAY)
}

#[cfg(test)]
mod tests;
