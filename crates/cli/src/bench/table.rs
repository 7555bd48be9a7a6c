//! What was measured, as one table: name, product, floor, their ratio in the same round, the goal and what became of it.
//!
//! Refuses to judge a debug build. A missed goal is told and fails nothing: how long something takes is no test.

use serde_json::{Value, json};

use super::measure::Spread;

/// What a row is held against.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Nothing: it is told to understand the others.
    None,
    /// Product to floor, at least.
    AtLeast(f64),
    /// Product to floor, at most.
    AtMost(f64),
    /// Product to floor, at least; more than was promised.
    Stretch(f64),
    /// The figure itself, at most.
    Within(f64),
}

/// One row.
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    product: Spread,
    floor: Option<Spread>,
    ratio: Option<Spread>,
    goal: Goal,
}

impl Row {
    /// A figure by itself.
    pub(crate) fn alone(name: impl Into<String>, unit: &'static str, product: Spread, goal: Goal) -> Self {
        Self { name: name.into(), unit, product, floor: None, ratio: None, goal }
    }

    /// Product and floor of each round.
    pub(crate) fn held(name: impl Into<String>, unit: &'static str, rounds: &[(f64, f64)], goal: Goal) -> Self {
        let over = |read: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(read).collect());
        Self {
            name: name.into(),
            unit,
            product: over(|(product, _)| *product),
            floor: Some(over(|(_, floor)| *floor)),
            ratio: Some(over(|(product, floor)| product / floor)),
            goal,
        }
    }

    /// The goal in words; empty without one.
    fn goal(&self) -> String {
        match self.goal {
            Goal::None => String::new(),
            Goal::AtLeast(bound) => format!(">= {bound:.2}"),
            Goal::AtMost(bound) => format!("<= {bound:.2}"),
            Goal::Stretch(bound) => format!(">= {bound:.2} (stretch)"),
            Goal::Within(bound) => format!("<= {bound} {}", self.unit),
        }
    }

    /// What became of the goal, by the median.
    fn verdict(&self, is_judged: bool) -> &'static str {
        let ratio = self.ratio.map_or(f64::NAN, |ratio| ratio.mid);
        let of_goal = |is_met| if is_met { "met" } else { "missed" };
        match self.goal {
            Goal::None => "",
            _ if !is_judged => "not judged",
            Goal::AtLeast(bound) => of_goal(ratio >= bound),
            Goal::AtMost(bound) => of_goal(ratio <= bound),
            Goal::Within(bound) => of_goal(self.product.mid <= bound),
            Goal::Stretch(bound) if ratio >= bound => "stretch",
            Goal::Stretch(_) => "not yet",
        }
    }

    /// As it is told.
    pub(crate) fn json(&self, is_judged: bool) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "product": self.product.json(),
            "floor": self.floor.map(|floor| floor.json()), "ratio": self.ratio.map(|ratio| ratio.json()),
            "goal": self.goal(), "verdict": self.verdict(is_judged),
        })
    }
}

/// One size of the table of growth.
pub(crate) struct Grown {
    pub(crate) messages: usize,
    pub(crate) deposits: Spread,
    pub(crate) slowest: Spread,
    pub(crate) start: Spread,
    pub(crate) memory: Spread,
    pub(crate) disk: f64,
}

impl Grown {
    fn json(&self) -> Value {
        json!({
            "messages": self.messages, "deposits_per_s": self.deposits.json(), "p99_ms": self.slowest.json(),
            "start_ms": self.start.json(), "memory_mb": self.memory.json(), "disk_mb": self.disk,
        })
    }
}

/// Everything that is told at the end.
#[derive(Default)]
pub(crate) struct Sheet {
    /// The table.
    pub(crate) rows: Vec<Row>,
    /// Where the time goes, a line each.
    pub(crate) remarks: Vec<String>,
    /// The table of growth.
    pub(crate) growth: Vec<Grown>,
}

impl Sheet {
    /// A line that explains.
    pub(crate) fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// As it is told, beside what is known of the machine.
    pub(crate) fn json(&self, machine: &Value, rounds: usize) -> Value {
        let is_judged = !cfg!(debug_assertions);
        json!({
            "schema": "ch.bench/1", "version": env!("CARGO_PKG_VERSION"), "is_release": is_judged, "rounds": rounds,
            "machine": machine, "rows": self.rows.iter().map(|row| row.json(is_judged)).collect::<Vec<_>>(),
            "growth": self.growth.iter().map(Grown::json).collect::<Vec<_>>(), "remarks": self.remarks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_or_missed_by_the_median_and_a_debug_build_is_not_judged() {
        let rounds = [(8.0, 10.0), (9.5, 10.0), (9.9, 10.0)];
        let verdict = |goal| Row::held("x", "/s", &rounds, goal).verdict(true);
        assert_eq!(verdict(Goal::AtLeast(0.9)), "met");
        assert_eq!(verdict(Goal::AtLeast(0.96)), "missed");
        assert_eq!(verdict(Goal::AtMost(0.9)), "missed");
        assert_eq!(verdict(Goal::AtMost(1.5)), "met");
        assert_eq!(verdict(Goal::Stretch(0.9)), "stretch");
        assert_eq!(verdict(Goal::Stretch(1.0)), "not yet");
        assert_eq!(verdict(Goal::None), "");
        assert_eq!(verdict(Goal::Within(9.0)), "missed");
        assert_eq!(verdict(Goal::Within(10.0)), "met");
        assert_eq!(Row::held("x", "/s", &rounds, Goal::AtLeast(0.9)).verdict(false), "not judged");
    }

    #[test]
    fn a_ratio_that_is_no_number_meets_nothing() {
        let row = Row::held("x", "/s", &[(1.0, f64::NAN)], Goal::AtLeast(0.1));
        assert_eq!(row.verdict(true), "missed");
        assert_eq!(row.json(true)["ratio"]["median"], Value::Null);
    }
}
