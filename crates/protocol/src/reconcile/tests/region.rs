//! Fifty organisations, twenty thousand messages, one in fifty sabotaged in a known way: every one is found, and
//! nothing else is.

use std::collections::BTreeMap;

use clearhouse_wire::v1::MessageType::{Answer, Arrival, Departure, ReturnNotice, VictimProfile};
use rand_core::Rng as _;

use super::world::{START, World, party};
use crate::audit::{AuditEvent, Happening};
use crate::ids::Digest;
use crate::limits::{DAY, HOUR};
use crate::reconcile::{Kind, Party};

const ORGANISATIONS: usize = 50;
const MESSAGES: usize = 20_000;
/// One message in so many is sabotaged.
const SABOTAGED: usize = 50;
/// When the coordinator looks.
const NOW: u64 = START + 60 * DAY;
/// A node beside the fifty, that was switched off.
const SILENT: usize = ORGANISATIONS;

/// What is to be found: of a message its digest, of a log whose it is.
type Expected = BTreeMap<(Kind, Option<Digest>, Party), usize>;

struct Region {
    world: World,
    expected: Expected,
}

impl Region {
    fn new(seed: u64, messages: usize) -> Self {
        let mut region = Self { world: World::new(ORGANISATIONS + 1, seed), expected: Expected::new() };
        for n in 0..messages {
            if n % SABOTAGED == SABOTAGED - 1 {
                region.sabotage(n / SABOTAGED);
            } else {
                region.honest();
            }
        }
        region.world.off_from(SILENT, NOW - 3 * DAY);
        region.expect(Kind::NotWitnessed, None, SILENT);
        region
    }

    fn below(&mut self, n: u64) -> u64 {
        self.world.rng.next_u64() % n
    }

    /// Three different nodes, and a time that leaves every threshold room to pass before [`NOW`].
    fn draw(&mut self) -> (usize, usize, usize, u64) {
        let all = ORGANISATIONS as u64;
        let from = self.below(all);
        let to = (from + 1 + self.below(all - 2)) % all;
        let mut other = (to + 1) % all;
        if other == from {
            other = (other + 1) % all;
        }
        let at = START + self.below(40 * DAY);
        let node = |n: u64| usize::try_from(n).unwrap();
        (node(from), node(to), node(other), at)
    }

    fn expect(&mut self, kind: Kind, digest: Option<Digest>, first: usize) {
        *self.expected.entry((kind, digest, party(first))).or_default() += 1;
    }

    fn honest(&mut self) {
        let (from, to, _, at) = self.draw();
        let digest = self.world.digest();
        match self.below(20) {
            // A notice and its answer, a departure and its arrival.
            0..=2 => {
                let due = (at + 3 * DAY) / DAY;
                let answer = self.world.digest();
                let said = if self.below(2) == 0 { AuditEvent::Accepted } else { AuditEvent::Declined };
                self.world.sends(from, to, ReturnNotice, at, digest, due, None, AuditEvent::Sent);
                self.world.arrives(from, to, ReturnNotice, at, digest);
                self.world.sends(to, from, Answer, at + 2 * DAY, answer, 0, Some(digest), said);
                self.world.arrives(to, from, Answer, at + 2 * DAY, answer);
            }
            3..=4 => {
                let due = (at + 5 * DAY) / DAY;
                let arrival = self.world.digest();
                let said = if self.below(4) == 0 { AuditEvent::NotArrived } else { AuditEvent::Arrived };
                self.world.sends(from, to, Departure, at, digest, due, None, AuditEvent::Sent);
                self.world.arrives(from, to, Departure, at, digest);
                self.world.sends(to, from, Arrival, at + 4 * DAY, arrival, 0, Some(digest), said);
                self.world.arrives(to, from, Arrival, at + 4 * DAY, arrival);
            }
            // Taken back before it arrived.
            5 => {
                self.world.sends(from, to, VictimProfile, at, digest, 0, None, AuditEvent::Sent);
                let (org, node) = party(to);
                let taken = Happening::of(AuditEvent::Recalled).with(org, node).about(digest, VictimProfile as u32);
                self.world.at(from, at + HOUR, taken);
            }
            // Erased by one side or the other when all was done.
            6 => {
                let sent = self.world.sends(from, to, VictimProfile, at, digest, 0, None, AuditEvent::Sent);
                let received = self.world.receive(from, to, VictimProfile, at + HOUR, digest);
                let opened = self.world.open(from, to, VictimProfile, at + DAY, digest);
                if self.below(2) == 0 {
                    self.world.erase(from, at + 10 * DAY, &[sent]);
                } else {
                    self.world.erase(to, at + 10 * DAY, &[received, opened]);
                }
            }
            _ => {
                self.world.sends(from, to, VictimProfile, at, digest, 0, None, AuditEvent::Sent);
                self.world.arrives(from, to, VictimProfile, at, digest);
            }
        }
    }

    fn sabotage(&mut self, nth: usize) {
        let (from, to, other, at) = self.draw();
        let digest = self.world.digest();
        let class = if nth % 15 < 8 {
            VictimProfile
        } else if nth % 15 == 8 {
            Departure
        } else {
            ReturnNotice
        };
        let due = match nth % 15 {
            8 | 9 => (at + 4 * DAY) / DAY,
            10 => NOW / DAY + 1,
            _ => 0,
        };
        let sent = (nth % 15 != 2).then(|| self.world.sends(from, to, class, at, digest, due, None, AuditEvent::Sent));
        let whole = Some(digest);
        match nth % 15 {
            0 => self.expect(Kind::LostOrNotDeposited, whole, from),
            1 => {
                self.world.receive(from, to, class, at + HOUR, digest);
                self.expect(Kind::Unattended, whole, from);
            }
            2 => {
                self.world.arrives(from, to, class, at, digest);
                self.expect(Kind::UnloggedSender, whole, from);
            }
            3 => {
                self.world.arrives(from, other, class, at, digest);
                self.expect(Kind::Misdirected, whole, from);
            }
            4 => {
                self.world.arrives(from, to, class, at, digest);
                let again = if nth.is_multiple_of(2) { other } else { to };
                self.world.arrives(from, again, class, at + 2 * DAY, digest);
                self.expect(Kind::Replay, whole, from);
            }
            5 => {
                let (org, node) = party(to);
                let stored = Happening::of(AuditEvent::ReceiptReceived).with(org, node).about(digest, class as u32);
                self.world.at(from, at + HOUR, stored);
                self.expect(Kind::WithheldByRecipient, whole, from);
            }
            6 => {
                self.world.deposit(from, to, class, at + HOUR, digest);
                self.expect(Kind::RecipientOffline, whole, from);
            }
            7 => {
                let received = self.world.receive(from, to, class, at + HOUR, digest);
                self.world.erase(to, at + 2 * HOUR, &[received]);
                self.expect(Kind::ErasedUnopened, whole, from);
            }
            8 | 9 => {
                self.world.arrives(from, to, class, at, digest);
                self.expect(if nth % 15 == 8 { Kind::OverdueArrival } else { Kind::Unanswered }, whole, from);
            }
            10 => {
                let received = self.world.receive(from, to, class, at + HOUR, digest);
                self.world.open(from, to, class, at + DAY, digest);
                self.world.erase(to, at + 2 * DAY, &[received]);
                self.expect(Kind::ErasedOpenNotice, whole, from);
            }
            11 => {
                self.world.arrives(from, to, class, at, digest);
                self.world.claim(sent.unwrap(), at - 3 * DAY);
                self.expect(Kind::Backdated, None, from);
            }
            12 => {
                let received = self.world.receive(from, to, class, at + HOUR, digest);
                self.world.open(from, to, class, at + DAY, digest);
                self.world.withhold(received);
                self.expect(Kind::Unexplained, None, to);
            }
            13 => {
                let received = self.world.receive(from, to, class, at + HOUR, digest);
                let opened = self.world.open(from, to, class, at + DAY, digest);
                self.world.swap(received, opened);
                self.expect(Kind::Unexplained, None, to);
            }
            _ => {
                // Within the same tick, in the last days, so that it excuses nothing above.
                let late = NOW - 5 * DAY;
                let late_one = self.world.send(from, to, class, late);
                self.world.deposit(from, to, class, late + HOUR, late_one);
                let received = self.world.receive(from, to, class, late + HOUR + 2, late_one);
                let receipted = (received.0, received.1 + 1);
                self.world.erase(to, late + HOUR + 8, &[received, receipted]);
                self.world.withhold(received);
                self.world.withhold(receipted);
                self.expect(Kind::ErasedUnopened, Some(late_one), from);
                self.world.arrives(from, to, class, at, digest);
            }
        }
    }
}

#[test]
fn in_a_region_of_fifty_every_sabotage_is_found_and_nothing_else_is() {
    let mut region = Region::new(20_260, MESSAGES);
    let report = region.world.reconcile(NOW);
    let mut found = Expected::new();
    for finding in &report.findings {
        *found.entry((finding.kind, finding.digest, finding.parties[0])).or_default() += 1;
    }
    let missed: Vec<_> = region.expected.iter().filter(|(what, n)| found.get(what) != Some(n)).collect();
    let wrong: Vec<_> = found.iter().filter(|(what, n)| region.expected.get(what) != Some(n)).collect();
    assert!(missed.is_empty() && wrong.is_empty(), "missed {missed:#?}\nwrong {wrong:#?}");
    assert_eq!(report.findings.len(), MESSAGES / SABOTAGED + 1);
    assert!(report.unheard.is_empty());
    let kinds: std::collections::BTreeSet<Kind> = report.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds.len(), 14);
    assert!(report.findings.is_sorted() && report.findings[0].is_urgent());
}

#[test]
fn the_report_does_not_depend_on_whose_account_comes_first() {
    let mut region = Region::new(7, 1_500);
    let first = region.world.reconcile_in(NOW, false);
    let again = region.world.reconcile_in(NOW, true);
    assert!(!first.findings.is_empty());
    assert_eq!(first, again);
}
