//! Heads against leaves: which head can be relied on, and between which times a leaf came into the log.

use super::{Account, Edge, Finding, Hash, Head, Kind, Policy, leaf_hash};

/// The tree that an account can be read by.
pub(super) struct Tree {
    /// The newest head with a quorum that the leaves make up.
    pub(super) trusted: Option<(u64, Hash)>,
    /// Heads that the leaves make up, by size, with times between which others saw them first and last.
    bounds: Vec<Bound>,
}

struct Bound {
    size: u64,
    earliest: u64,
    latest: u64,
}

/// Reads the heads and says what is wrong with them.
pub(super) fn read(account: &Account<'_>, policy: &Policy, now: u64, findings: &mut Vec<Finding>) -> Tree {
    let mut heads: Vec<&Head> = account.heads.iter().collect();
    heads.sort_by_key(|head| (head.size, head.root));
    let two_faced = heads.windows(2).any(|two| two[0].size == two[1].size && two[0].root != two[1].root);

    let roots = roots(account, &heads);
    let grown = |size: u64, root: &Hash| {
        roots.binary_search_by_key(&size, |(size, _)| *size).ok().map(|place| roots[place].1 == *root)
    };
    let quorum = |head: &&&Head| head.witnessed(account.quorum).is_some();
    let newest = heads.iter().rfind(quorum).map_or(0, |head| head.size);
    let trusted = heads.iter().filter(quorum).rfind(|head| grown(head.size, &head.root) == Some(true));
    let reached = trusted.is_some_and(|head| head.size == newest);

    // Leaves that are not mirrored yet may come; leaves that make up something else will not get better.
    let wrong = heads.iter().any(|head| head.size == newest && grown(head.size, &head.root) == Some(false));
    let late = heads.iter().filter(quorum).filter(|head| grown(head.size, &head.root).is_none());
    let late = late.filter_map(|head| head.not_before(account.faulty)).min();
    let strays = |size: u64, root: &Hash| grown(size, root) == Some(false);
    let strayed = heads.iter().any(|head| strays(head.size, &head.root))
        || account.audited.is_some_and(|(size, root)| strays(size, &root));
    let since = trusted.and_then(|head| head.witnessed(account.quorum)).unwrap_or(0);
    if two_faced || (reached && strayed) {
        findings.push(account.finding(Kind::SplitView, None, since));
    } else if (wrong && !reached) || late.is_some_and(|at| now >= at.saturating_add(policy.grace_secs)) {
        findings.push(account.finding(Kind::LogMismatch, None, since));
    }
    let seen = heads.iter().filter_map(|head| head.witnessed(account.quorum)).max();
    if seen.is_none_or(|at| now > at.saturating_add(policy.head_stale_secs)) {
        findings.push(account.finding(Kind::NotWitnessed, None, seen.unwrap_or(0)));
    }

    let trusted = trusted.map(|head| (head.size, head.root));
    let sound = heads.iter().filter(|head| grown(head.size, &head.root) == Some(true));
    let bounds = sound.filter(|head| trusted.is_some_and(|(size, _)| head.size <= size)).filter_map(|head| {
        let (earliest, latest) = (head.not_before(account.faulty)?, head.not_after(account.faulty)?);
        Some(Bound { size: head.size, earliest: earliest.min(latest), latest: latest.max(earliest) })
    });
    Tree { trusted, bounds: bounds.collect() }
}

/// The roots of the mirrored leaves at every size that some head speaks of.
fn roots(account: &Account<'_>, heads: &[&Head]) -> Vec<(u64, Hash)> {
    let mut sizes: Vec<u64> = heads.iter().map(|head| head.size).chain(account.audited.map(|(size, _)| size)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut edge = Edge::default();
    let mut leaves = account.commitments.iter();
    let mut roots = Vec::with_capacity(sizes.len());
    for size in sizes {
        while edge.size() < size {
            let Some(commitment) = leaves.next() else { return roots };
            edge.push(leaf_hash(commitment));
        }
        roots.push((size, edge.root()));
    }
    roots
}

impl Tree {
    /// How many leaves can be relied on.
    pub(super) fn leaves(&self) -> usize {
        self.trusted.and_then(|(size, _)| usize::try_from(size).ok()).unwrap_or(0)
    }

    /// Up to when everything that was recorded is in the leaves.
    pub(super) fn until(&self) -> u64 {
        self.bounds.last().map_or(0, |bound| bound.earliest)
    }

    /// The head before the first that covers a leaf, and that first one.
    fn around(&self, index: u64) -> (Option<&Bound>, Option<&Bound>) {
        let covering = self.bounds.partition_point(|bound| bound.size <= index);
        (covering.checked_sub(1).map(|i| &self.bounds[i]), self.bounds.get(covering))
    }

    /// A leaf was not in the log at this time yet.
    pub(super) fn not_before(&self, index: u64) -> u64 {
        self.around(index).0.map_or(0, |bound| bound.earliest)
    }

    /// A leaf was in the log by this time, clocks considered.
    pub(super) fn not_after(&self, index: u64, policy: &Policy) -> u64 {
        self.around(index).1.map_or(u64::MAX, |bound| bound.latest.saturating_add(policy.slack_secs()))
    }

    /// When others first saw a leaf.
    pub(super) fn covered_at(&self, index: u64) -> u64 {
        self.around(index).1.map_or(u64::MAX, |bound| bound.earliest)
    }

    /// Whether the claimed time of a leaf lies between the heads around it (protocol section 7.6, step 7). Times in
    /// openings are rounded down, so the true one may be a step later.
    pub(super) fn can_be_true(&self, index: u64, time: u64, policy: &Policy) -> bool {
        let (before, covering) = self.around(index);
        let late_enough = before.is_none_or(|b| time.saturating_add(policy.slack_secs()) >= b.earliest);
        late_enough && covering.is_none_or(|c| time <= c.latest.saturating_add(policy.skew_secs))
    }
}
