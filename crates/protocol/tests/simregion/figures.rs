//! What a run measured: rounds until everybody acts, and bytes.

use std::collections::BTreeMap;

use crate::plan::What;

/// Bytes of calls, each counted once, by whom it was made.
#[derive(Default, Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Of one awake node in one round, on average.
    pub(crate) node_round: u64,
    /// That the busiest coordinator answers in one round.
    pub(crate) coordinator_round: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) idle: Traffic,
    pub(crate) churn: Traffic,
    /// By node and round, by what was asked: idle, then under churn.
    pub(crate) by_call: Vec<BTreeMap<&'static str, u64>>,
    pub(crate) node_rounds: u64,
    pub(crate) all_awake: bool,
    /// By what happened, the rounds after which each acted that was awake all the time.
    pub(crate) rounds: BTreeMap<What, Vec<u64>>,
    /// Sleepers that woke to something everybody knew, and acted in their first session.
    pub(crate) sleepers: u64,
}

impl Figures {
    /// The share of all rounds, in hundredths.
    pub(crate) fn percentile(&self, what: What, share: usize) -> u64 {
        let mut rounds = self.rounds.get(&what).cloned().unwrap_or_default();
        rounds.sort_unstable();
        let place = (rounds.len() * share).div_ceil(100).saturating_sub(1);
        rounds.get(place).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, rounds) in &other.rounds {
            self.rounds.entry(*what).or_default().extend(rounds);
        }
        self.sleepers += other.sleepers;
        self.by_call.clone_from(&other.by_call);
        let most = |one: &mut Traffic, other: &Traffic| {
            one.node_round = one.node_round.max(other.node_round);
            one.coordinator_round = one.coordinator_round.max(other.coordinator_round);
        };
        most(&mut self.idle, &other.idle);
        most(&mut self.churn, &other.churn);
    }

    pub(crate) fn table(&self) -> String {
        let row = |what: What| {
            let of = |share| self.percentile(what, share);
            format!("{what:?}: p50 {} p95 {} max {} rounds", of(50), of(95), of(100))
        };
        let rows: Vec<String> = [What::Admission, What::Rotation, What::Revocation].map(row).into();
        format!(
            "{}; {} sleepers acted in their first session; bytes by node and round: {} idle, {} under churn; answered by the \
             busiest coordinator in a round: {} idle, {} under churn",
            rows.join("; "),
            self.sleepers,
            self.idle.node_round,
            self.churn.node_round,
            self.idle.coordinator_round,
            self.churn.coordinator_round
        )
    }
}
