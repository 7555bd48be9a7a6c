//! One node's account: its log by itself. Is there one tree only, did enough witnesses see it lately, do the leaves
//! make up its head, does every leaf have its opening, and can the times be true?
//!
//! Pure. The caller has verified the notes and mirrored the leaves from index 0. Openings that do not belong to their
//! leaf, to its index, to this log or to this network are refused (attack case 30); nothing above the newest head that
//! a quorum cosigned and the leaves make up is read at all.

mod tree;

use clearhouse_wire::v1::{AuditEvent, Opening};
use prost::bytes::Bytes;

use super::{Finding, Kind, Party, Policy, settle};
use crate::audit;
use crate::ids::Net;
use crate::log::tree::Edge;
use crate::log::{Hash, leaf_hash};
use tree::Tree;

/// Findings of one kind about one log that are listed one by one; what lies behind them says no more.
pub const LEAF_FINDINGS_MAX: usize = 256;

/// A head that the log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// When each witness that counts cosigned it last, unix seconds, one time for each.
    pub seen: Vec<u64>,
}

impl Head {
    /// The earliest time that does not rest on the word of `faulty` witnesses alone.
    fn not_before(&self, faulty: usize) -> Option<u64> {
        let mut seen = self.seen.clone();
        seen.sort_unstable();
        seen.get(faulty).copied()
    }

    /// The latest such time.
    fn not_after(&self, faulty: usize) -> Option<u64> {
        let mut seen = self.seen.clone();
        seen.sort_unstable_by(|a, b| b.cmp(a));
        seen.get(faulty).copied()
    }

    /// The latest time at which `quorum` witnesses together had cosigned it.
    fn witnessed(&self, quorum: usize) -> Option<u64> {
        let latest_by_all_of_them = quorum.max(1) - 1;
        self.not_after(latest_by_all_of_them)
    }
}

/// What a coordinator holds of one node's log.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// Whose.
    pub party: Party,
    /// The network.
    pub net: Net,
    /// The log's name; openings must bear it.
    pub origin: &'a str,
    /// Every signed head it was shown by anybody, in any order.
    pub heads: &'a [Head],
    /// Size and root of the head that was audited last.
    pub audited: Option<(u64, Hash)>,
    /// Cosignatures that make a head witnessed (protocol section 7.6, step 4).
    pub quorum: usize,
    /// Witnesses of it that may lie.
    pub faulty: usize,
    /// The mirrored commitments, from index 0 on.
    pub commitments: &'a [Hash],
    /// Openings below this index are not asked for any more, and silence there counts for nothing: it is too long ago.
    pub first: u64,
    /// Ranges of leaves, first and last included, sorted and apart, whose openings were audited, settled and deleted here
    /// ([`Settled::lets_go`](super::Settled::lets_go)). They spoke of nothing that is open.
    pub settled: &'a [(u64, u64)],
}

/// An opening as a node showed it. Nothing about it is believed yet.
#[derive(Clone)]
pub struct Shown {
    /// Of which leaf.
    pub index: u64,
    /// The key of the commitment.
    pub salt: [u8; 32],
    /// The padded opening.
    pub opening: Bytes,
}

/// Leaves that cannot be opened, were never shown, and are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gap {
    /// What they tell happened after this.
    pub(super) earliest: u64,
    /// And before this.
    pub(super) latest: u64,
    /// They were erased with a case; otherwise lost, and declared by a restore.
    pub(super) erased: bool,
}

/// What an account is good for in the join: how far its silence counts, and where it was erased.
#[derive(Debug, Clone)]
pub struct Standing {
    pub(super) party: Party,
    pub(super) heard_from: u64,
    pub(super) heard_until: u64,
    pub(super) gaps: Vec<Gap>,
    /// Sorted ranges of leaves covered by a CASE_ERASED, first and last included.
    pub(super) erased: Vec<(u64, u64)>,
    /// When it restored.
    pub(super) restores: Vec<u64>,
}

impl Standing {
    /// Of whom.
    #[must_use]
    pub fn party(&self) -> Party {
        self.party
    }

    /// The span of time, unix seconds, in which everything the node recorded is known here.
    #[must_use]
    pub fn heard(&self) -> (u64, u64) {
        (self.heard_from, self.heard_until)
    }
}

/// What came out of an account.
pub struct Examined {
    /// What is wrong with it, in order.
    pub findings: Vec<Finding>,
    /// For [`Join::hear`](super::Join::hear).
    pub standing: Standing,
    /// The head it was audited up to: remember it as [`Account::audited`]. `None` when there is none to rely on.
    pub audited: Option<(u64, Hash)>,
}

/// Examines an account at `now`. Every opening that belongs to its leaf is handed to `sink`, in the order shown; hand
/// it on to [`Join::take`](super::Join::take).
pub fn examine(
    account: &Account<'_>,
    shown: impl IntoIterator<Item = Shown>,
    policy: &Policy,
    now: u64,
    mut sink: impl FnMut(&Opening),
) -> Examined {
    let mut findings = Vec::new();
    let tree = tree::read(account, policy, now, &mut findings);
    let leaves = read_openings(account, &tree, shown, policy, &mut findings, &mut sink);
    let standing = explain(account, &tree, &leaves, policy, now, &mut findings);
    settle(&mut findings);
    Examined { findings, standing, audited: tree.trusted }
}

/// What was learned from the openings of an account.
struct Leaves {
    /// One for each leaf of the trusted tree.
    state: Vec<Leaf>,
    /// Ranges covered by a CASE_ERASED and by a RESTORE, sorted and joined.
    erased: Vec<(u64, u64)>,
    restored: Vec<(u64, u64)>,
    restores: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    NotShown,
    /// Something was shown for it, and it is not what the leaf commits to.
    Wrong,
    Open,
}

fn read_openings(
    account: &Account<'_>,
    tree: &Tree,
    shown: impl IntoIterator<Item = Shown>,
    policy: &Policy,
    findings: &mut Vec<Finding>,
    sink: &mut impl FnMut(&Opening),
) -> Leaves {
    let mut leaves = Leaves {
        state: vec![Leaf::NotShown; tree.leaves()],
        erased: Vec::new(),
        restored: Vec::new(),
        restores: Vec::new(),
    };
    let mut backdated = Vec::new();
    for one in shown {
        let place = usize::try_from(one.index).ok().filter(|i| *i < leaves.state.len());
        let Some((place, commitment)) = place.and_then(|i| Some((i, account.commitments.get(i)?))) else { continue };
        if leaves.state[place] == Leaf::Open {
            continue;
        }
        let opening = audit::reveal(commitment, &one.salt, &one.opening).filter(|o| belongs(account, one.index, o));
        leaves.state[place] = if opening.is_some() { Leaf::Open } else { Leaf::Wrong };
        let Some(opening) = opening else { continue };
        if !tree.can_be_true(one.index, opening.time, policy) {
            backdated.push(one.index);
        }
        let ranges = opening.erased.iter().map(|r| (r.from, r.to));
        if opening.event() == AuditEvent::CaseErased {
            leaves.erased.extend(ranges);
        } else if opening.event() == AuditEvent::Restore {
            leaves.restored.extend(ranges);
            leaves.restores.push(opening.time);
        }
        sink(&opening);
    }
    leaves.erased = joined(leaves.erased);
    leaves.restored = joined(leaves.restored);
    leaves.restores.sort_unstable();
    backdated.sort_unstable();
    let backdated = backdated.into_iter().take(LEAF_FINDINGS_MAX);
    findings.extend(backdated.map(|index| account.finding(Kind::Backdated, Some(index), tree.not_before(index))));
    leaves
}

/// Whether an opening that fits its commitment is about this leaf of this log: one that was moved is not.
fn belongs(account: &Account<'_>, index: u64, opening: &Opening) -> bool {
    opening.index == index
        && opening.origin == account.origin
        && opening.net == account.net.as_bytes()
        && audit::erasure_is_sound(opening)
}

/// Goes through the leaves that are not open: declared, still in time, or unexplained.
fn explain(
    account: &Account<'_>,
    tree: &Tree,
    leaves: &Leaves,
    policy: &Policy,
    now: u64,
    findings: &mut Vec<Finding>,
) -> Standing {
    let mut standing = Standing {
        party: account.party,
        heard_from: if account.first == 0 { 0 } else { tree.not_after(account.first, policy) },
        heard_until: tree.until(),
        gaps: Vec::new(),
        erased: leaves.erased.clone(),
        restores: leaves.restores.clone(),
    };
    let mut unexplained = 0;
    let first = usize::try_from(account.first).unwrap_or(usize::MAX);
    for (place, leaf) in leaves.state.iter().enumerate().skip(first) {
        let index = place as u64;
        if *leaf == Leaf::Open || covers(account.settled, index) {
            continue;
        }
        let erased = covers(&leaves.erased, index);
        if erased || covers(&leaves.restored, index) {
            let earliest = tree.not_before(index).saturating_sub(policy.slack_secs());
            let gap = Gap { earliest, latest: tree.not_after(index, policy), erased };
            if standing.gaps.last() != Some(&gap) {
                standing.gaps.push(gap);
            }
        } else if *leaf == Leaf::NotShown && now < tree.covered_at(index).saturating_add(policy.grace_secs) {
            standing.heard_until = standing.heard_until.min(tree.not_before(index));
        } else if unexplained < LEAF_FINDINGS_MAX {
            unexplained += 1;
            findings.push(account.finding(Kind::Unexplained, Some(index), tree.covered_at(index)));
        }
    }
    // No more than two for each head, however the leaves alternate.
    standing.gaps.sort_unstable();
    standing.gaps.dedup();
    standing
}

impl Account<'_> {
    fn finding(&self, kind: Kind, index: Option<u64>, since: u64) -> Finding {
        Finding { kind, parties: vec![self.party], digest: None, index, since }
    }
}

/// Ranges in order, overlapping and touching ones made one.
fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
#[test]
fn ranges_that_overlap_or_touch_are_one_and_hold_what_lies_in_them() {
    let ranges = joined(vec![(20, 20), (2, 3), (0, 10), (11, 12), (14, 15), (u64::MAX, u64::MAX), (5, 6)]);
    assert_eq!(ranges, [(0, 12), (14, 15), (20, 20), (u64::MAX, u64::MAX)]);
    let held: Vec<u64> = (0..22).filter(|index| covers(&ranges, *index)).collect();
    assert_eq!(held, (0..=12).chain([14, 15, 20]).collect::<Vec<_>>());
}

/// Whether one of the ranges, sorted and joined, holds `index`.
pub(super) fn covers(ranges: &[(u64, u64)], index: u64) -> bool {
    let after = ranges.partition_point(|(from, _)| *from <= index);
    after.checked_sub(1).is_some_and(|i| index <= ranges[i].1)
}
