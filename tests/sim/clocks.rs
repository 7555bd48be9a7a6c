//! Clocks that are set wrong, and what must hold all the same (P22). Each node judges its own as the product does; it hears
//! the others' when they are in touch. Here clocks leap while a node runs, by seconds or by years, and show nonsense at a
//! start.

use std::collections::BTreeSet;

use clearhouse_casework::office::{Now, Office, Step};
use clearhouse_protocol::audit;
use clearhouse_protocol::clocks::Reading;
use clearhouse_protocol::clocks::watch::{Doubt, Watch};
use clearhouse_protocol::fixture::NOW;
use clearhouse_protocol::ids::OrgId;
use clearhouse_protocol::limits::{DAY, HOUR, MINUTE, SKEW_SECS};
use clearhouse_protocol::mail::Delivery;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_store::ledger::Ledger;
use rand_core::CryptoRng;

use super::Violation;
use super::dice::Dice;
use super::flaw::Flaw;
use super::net::Site;
use super::node::{Node, SITES};
use super::world::{SKEW_MAX, World};

const YEAR: i64 = 365 * DAY as i64;
/// By how much a clock is set wrong while its node runs, seconds.
const LEAPS: [i64; 10] = [
    -20,
    60,
    -11 * MINUTE as i64,
    11 * MINUTE as i64,
    3 * HOUR as i64,
    -2 * DAY as i64,
    13 * DAY as i64,
    -30 * DAY as i64,
    10 * YEAR,
    -10 * YEAR,
];
/// What a clock may show at a start that nobody confirms: such a one is believed.
const BELIEVED_AT_A_START: std::ops::RangeInclusive<i64> = 1..=25 * DAY as i64;

/// Judges a node's clock from its start, by what its store knows.
pub(super) fn watch<S: Store>(ledger: &Ledger<S>, attested: Option<u64>, at: Reading) -> Result<Watch, Violation> {
    let signed = times(ledger)?.into_iter().max().unwrap_or(0);
    Ok(Watch::begin(at, signed, attested.unwrap_or(0)))
}

/// The times of all events that are still open, in order.
fn times<S: Store>(ledger: &Ledger<S>) -> Result<Vec<u64>, Violation> {
    let all = ledger.store().events(0, usize::MAX).map_err(Violation::because("events cannot be read"))?;
    let time = |leaf| Some(audit::unpad(&ledger.vault().open_event(leaf).ok()?.opening)?.time);
    Ok(all.iter().filter_map(time).collect())
}

impl Node {
    /// What a look at its machine's clocks shows.
    pub(super) fn reading(&self, time: u64) -> Reading {
        Reading { wall: time.saturating_add_signed(self.skew + self.off), up: time - NOW }
    }

    /// The time it goes by.
    pub(super) fn clock(&self, time: u64) -> u64 {
        let reading = self.reading(time);
        if self.flaw == Some(Flaw::ClockBelieved) {
            return reading.wall;
        }
        self.watch.borrow_mut().as_mut().map_or(reading.wall, |watch| watch.read(reading))
    }

    /// The time that others vouch for as well.
    pub(super) fn sure(&self, time: u64) -> u64 {
        let reading = self.reading(time);
        if self.flaw == Some(Flaw::ClockBelieved) {
            return reading.wall;
        }
        self.watch.borrow_mut().as_mut().map_or(reading.wall, |watch| watch.sure(reading))
    }

    /// Whether it seals and opens nothing.
    pub(super) fn doubts(&self, time: u64) -> bool {
        self.clock(time);
        self.flaw != Some(Flaw::ClockBelieved)
            && self.watch.borrow().as_ref().is_some_and(|watch| watch.doubt().is_some())
    }

    /// Whether another node's clock has agreed with its own since the start.
    pub(super) fn is_confirmed(&self, time: u64) -> bool {
        self.clock(time);
        self.flaw == Some(Flaw::ClockBelieved) || self.watch.borrow().as_ref().is_none_or(Watch::is_confirmed)
    }

    /// Whether no reading of its clock was believed since the start.
    fn is_unbelieved(&self, time: u64) -> bool {
        self.clock(time);
        let doubt = self.watch.borrow().as_ref().and_then(Watch::doubt);
        matches!(doubt, Some(Doubt::Ahead(_) | Doubt::Behind(_)))
    }

    fn hear(&self, org: OrgId, theirs: u64, time: u64) {
        let up = self.reading(time).up;
        if let Some(watch) = self.watch.borrow_mut().as_mut() {
            watch.hear(org, theirs, up);
        }
    }

    /// Before a start: a clock that is a little ahead would be believed, and is not what is looked at here.
    pub(super) fn battery(&mut self, dice: &mut Dice) {
        if BELIEVED_AT_A_START.contains(&self.off) {
            self.off = dice.pick(&[0, 10 * YEAR, -10 * YEAR]);
        }
    }
}

impl World {
    /// Somebody, or something, sets a clock: wrong, or right again.
    pub(super) fn set_a_clock(&mut self, site: Site) {
        let wrong = self.nodes.iter().position(|node| node.off != 0);
        let (site, off) = match wrong {
            Some(site) if self.dice.percent(70) => (site, 0),
            _ => (site, self.dice.pick(&LEAPS)),
        };
        // Whoever was not believed since the start, and is set to what would have been believed at it, is believed.
        let as_at_a_start = BELIEVED_AT_A_START.contains(&off) && self.nodes[site].is_unbelieved(self.time);
        // Two that are wrong alike would vouch for each other.
        let is_shared = self.nodes.iter().enumerate().any(|(other, node)| other != site && node.off == off);
        let off = if as_at_a_start || is_shared { 0 } else { off };
        self.note(format!("the clock of site {site} is set {off} s off"));
        self.nodes[site].off = off;
    }

    /// One node hears what another's clock shows.
    pub(super) fn ask_the_time(&mut self) {
        let (a, b) = (self.dice.index(SITES), self.dice.index(SITES));
        if a != b && !self.net.is_parted(a, b) && self.nodes[b].up.is_some() {
            self.tell_the_time(a, b);
        }
    }

    fn tell_the_time(&self, a: Site, b: Site) {
        let theirs = self.nodes[b].reading(self.time).wall;
        self.nodes[a].hear(self.nodes[b].member().org, theirs, self.time);
    }

    /// The calm: every clock is set right, and everybody hears everybody.
    pub(super) fn clocks_are_right(&mut self) {
        for node in &mut self.nodes {
            node.off = 0;
        }
        for a in 0..SITES {
            (0..SITES).filter(|b| a != *b).for_each(|b| self.tell_the_time(a, b));
        }
    }

    /// Nothing came to its end before its time, whatever a clock said.
    pub(super) fn nothing_ended_early(&self, site: Site) -> Result<(), Violation> {
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        let early = |expires: u64| self.time + SKEW_MAX + SKEW_SECS < expires;
        let ended = |state: Delivery| state == Delivery::Expired;
        match up.office.mail().all_outgoing().find(|(_, out)| ended(Delivery::of(out)) && early(out.expires)) {
            Some((id, _)) => Err(Violation::new(format!("P22: {id} of site {site} expired before its time"))),
            None => Ok(()),
        }
    }

    /// What a node wrote down is dated in the order in which it was written, but for what nodes forgive each other: one that
    /// was ahead by that much, and is told so by others, goes back.
    pub(super) fn dated_in_order(&self, site: Site) -> Result<(), Violation> {
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        match times(&up.ledger)?.windows(2).find(|two| two[1] + HOUR < two[0]) {
            Some(two) => {
                let back = two[0] - two[1];
                Err(Violation::new(format!("P22: site {site} wrote down a time {back} s before the one before")))
            }
            None => Ok(()),
        }
    }
}

/// A tick. It looks at few cases; now and then all are looked at instead, and it must have passed over nothing.
pub(super) fn ticked(office: &mut Office, sure: u64, now: &mut Now<'_, impl CryptoRng>) -> Result<Step, Violation> {
    let step = office.tick(sure, now);
    if !now.rng.next_u32().is_multiple_of(4) {
        return Ok(step);
    }
    office.look_at_all();
    let whole = office.tick(sure, now);
    // Facts name their events, and those are counted in the order in which cases are looked at.
    let of_cases = |step: &Step| -> BTreeSet<_> {
        let rows = step.rows.iter().filter(|row| matches!(row.table, Table::Fact | Table::Timer));
        rows.map(|row| (row.key.clone(), row.value.clone().filter(|_| row.table == Table::Timer))).collect()
    };
    match of_cases(&step) == of_cases(&whole) {
        true => Ok(whole),
        false => Err(Violation::new("a tick passed over a case whose clock had run out".to_owned())),
    }
}
