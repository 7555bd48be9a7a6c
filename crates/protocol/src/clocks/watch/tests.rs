use super::*;
use crate::limits::MINUTE;

const NOW: u64 = 1_794_657_600;
const YEAR: u64 = 365 * DAY;

/// A machine with a clock on the wall that is off by so much.
struct Machine {
    watch: Watch,
    up: u64,
    off: i64,
}

impl Machine {
    /// Starts at NOW by the true time, with what was signed `ago`.
    fn start(off: i64, ago: u64) -> Self {
        let reading = Reading { wall: NOW.saturating_add_signed(off), up: 500 };
        Self { watch: Watch::begin(reading, NOW - ago, NOW - ago), up: 500, off }
    }

    fn truth(&self) -> u64 {
        NOW + self.up - 500
    }

    fn reading(&self) -> Reading {
        Reading { wall: self.truth().saturating_add_signed(self.off), up: self.up }
    }

    /// The time it goes by, less the true time.
    fn error(&mut self) -> i64 {
        let shown = self.watch.read(self.reading());
        shown.cast_signed() - self.truth().cast_signed()
    }

    fn sure_error(&mut self) -> i64 {
        let sure = self.watch.sure(self.reading());
        sure.cast_signed() - self.truth().cast_signed()
    }

    fn doubt(&mut self) -> Option<Doubt> {
        self.error();
        self.watch.doubt()
    }

    fn pass(&mut self, secs: u64) {
        self.up += secs;
        self.error();
    }

    /// Node `n` is heard, whose clock is off by so much.
    fn hear(&mut self, n: u8, off: i64) {
        self.watch.hear(OrgId([n; 16]), self.truth().saturating_add_signed(off), self.up);
    }
}

fn secs(secs: u64) -> i64 {
    secs.cast_signed()
}

#[test]
fn a_clock_that_nothing_speaks_against_is_gone_by() {
    let mut node = Machine::start(0, 3 * DAY);
    assert_eq!((node.error(), node.doubt()), (0, None));
    node.pass(40 * DAY);
    assert_eq!((node.error(), node.doubt()), (0, None), "it ran all the while");
    assert_eq!(Machine::start(0, AWAY_MAX_SECS).doubt(), None);
    let mut first = Watch::begin(Reading { wall: NOW, up: 1 }, 0, 0);
    assert_eq!((first.read(Reading { wall: NOW, up: 1 }), first.doubt()), (NOW, None), "it has nothing to go by yet");
}

#[test]
fn row_51_a_dead_battery_shows_a_time_before_what_was_signed_and_is_doubted() {
    for off in [-secs(NOW), -secs(30 * DAY), -secs(3 * DAY + HOUR)] {
        let mut node = Machine::start(off, 3 * DAY);
        assert!(matches!(node.doubt(), Some(Doubt::Behind(_))), "{off}");
        assert_eq!(node.error(), -secs(3 * DAY), "what was signed is the least");
        node.pass(HOUR);
        assert_eq!(node.error(), -secs(3 * DAY), "carried on");
        node.hear(1, 30);
        assert!(node.doubt().is_some(), "one that says otherwise does not set it");
        node.off = 0;
        assert_eq!((node.doubt(), node.error()), (None, 0), "set right, it is gone by at once");
    }
}

#[test]
fn one_that_signs_as_far_ahead_as_it_may_puts_nobody_into_doubt() {
    let mut node = Machine::start(0, DAY);
    node.watch.attest(NOW + DESCRIPTOR_AHEAD_SECS, node.reading());
    assert_eq!((node.doubt(), node.error()), (None, 0));
    let reading = node.reading();
    let mut again = Watch::begin(reading, NOW, NOW + DESCRIPTOR_AHEAD_SECS);
    assert_eq!((again.read(reading), again.doubt()), (NOW, None));
    assert!(Watch::begin(reading, NOW + SKEW_SECS + 1, 0).doubt().is_some(), "its own word binds it");
}

#[test]
fn a_clock_years_ahead_waits_for_somebody_else() {
    let mut node = Machine::start(secs(10 * YEAR), DAY);
    assert!(matches!(node.doubt(), Some(Doubt::Ahead(_))));
    assert_eq!(node.error(), -secs(DAY));
    let mut away = Machine::start(0, 60 * DAY);
    assert!(matches!(away.doubt(), Some(Doubt::Ahead(_))), "two months without anybody");
    assert_eq!(away.error(), -secs(60 * DAY));
    away.hear(1, 5);
    assert_eq!((away.doubt(), away.error()), (None, 0), "one other clock is enough to confirm it");
}

#[test]
fn a_record_that_another_signed_since_confirms_a_start_after_long() {
    let mut node = Machine::start(0, 60 * DAY);
    assert!(node.doubt().is_some());
    node.watch.attest(NOW - HOUR, node.reading());
    assert_eq!((node.doubt(), node.error()), (None, 0));
    assert_eq!(node.sure_error(), -secs(HOUR));
}

#[test]
fn row_52_a_leap_while_it_runs_changes_nothing_but_that_it_is_told() {
    for off in [-secs(30 * DAY), secs(10 * YEAR), secs(11 * MINUTE), -secs(11 * MINUTE), -secs(NOW)] {
        let mut node = Machine::start(0, DAY);
        node.hear(1, 0);
        node.pass(DAY);
        node.off = off;
        // The one that agreed before contradicts it now, and one is not enough: the leap itself is.
        assert_eq!(node.doubt(), Some(Doubt::Leapt(off.max(-secs(NOW + DAY)))), "{off}");
        assert_eq!((node.error(), node.sure_error()), (0, 0), "{off}");
        node.pass(5 * DAY);
        assert_eq!((node.error(), node.sure_error()), (0, 0), "{off}");
        node.off = 0;
        assert_eq!((node.doubt(), node.error()), (None, 0), "back again");
    }
    let mut node = Machine::start(0, DAY);
    node.pass(MINUTE);
    node.off = secs(9 * MINUTE);
    assert_eq!(node.doubt(), None, "so much is forgiven among nodes");
}

#[test]
fn a_clock_that_stands_still_is_noticed() {
    let mut node = Machine::start(0, DAY);
    node.pass(10 * MINUTE);
    assert_eq!(node.doubt(), None);
    for minute in 1..=11 {
        node.up += MINUTE;
        node.off -= secs(MINUTE);
        assert_eq!(node.doubt().is_some(), minute > 10, "{minute}");
    }
    assert_eq!(node.error(), 0);
}

#[test]
fn row_53_others_that_contradict_it_are_believed_from_two_on() {
    for days in [2, -2] {
        let off = days * secs(DAY);
        let mut node = Machine::start(off, 5 * DAY);
        node.hear(1, 0);
        assert_eq!(node.doubt(), None, "one may be the one that is wrong");
        node.hear(2, 20);
        let told = node.doubt();
        assert!(matches!(told, Some(Doubt::Contradicted { others: 2, .. })), "{told:?}");
        let shown = node.error();
        node.pass(DAY);
        assert!(node.error() <= shown, "it does not run away from what they say: {shown}");
        node.off = 0;
        assert_eq!((node.doubt(), node.error()), (None, 0), "set right, forwards or back");
    }
    let mut node = Machine::start(0, DAY);
    [(1, 0), (2, 0), (3, secs(YEAR)), (4, secs(YEAR))].into_iter().for_each(|(n, off)| node.hear(n, off));
    assert_eq!(node.doubt(), None, "half of them lie");
}

#[test]
fn nothing_is_sure_by_one_clock() {
    let mut node = Machine::start(secs(13 * DAY), 2 * DAY);
    assert_eq!((node.doubt(), node.error()), (None, secs(13 * DAY)), "a wrong date, and nobody says so");
    assert_eq!(node.sure_error(), -secs(2 * DAY));
    node.pass(DAY);
    assert_eq!(node.sure_error(), -secs(2 * DAY), "what another signed is carried on");
    node.hear(1, 0);
    assert_eq!(node.sure_error(), -secs(2 * DAY), "who contradicts it confirms nothing");
    let mut right = Machine::start(0, 2 * DAY);
    assert_eq!(right.sure_error(), -secs(2 * DAY));
    right.hear(1, 60);
    assert_eq!(right.sure_error(), 0);
}

#[test]
fn the_time_gone_by_never_goes_back_by_the_wall_alone() {
    let mut node = Machine::start(0, DAY);
    node.pass(HOUR);
    let before = node.watch.read(node.reading());
    node.off = -secs(5 * MINUTE);
    assert_eq!(node.watch.read(node.reading()), before);
    node.pass(10 * MINUTE);
    assert!(node.watch.read(node.reading()) >= before);
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    for wall in [0, 1, u64::MAX] {
        for signed in [0, NOW, u64::MAX] {
            for up in [0, u64::MAX] {
                let mut watch = Watch::begin(Reading { wall, up: 0 }, signed, signed);
                watch.hear(OrgId([1; 16]), u64::MAX - wall, up);
                watch.attest(u64::MAX, Reading { wall, up });
                let read = watch.read(Reading { wall: u64::MAX - wall, up });
                assert!(watch.sure(Reading { wall, up }) <= read.max(wall).max(signed));
                let _ = watch.doubt().map(|doubt| doubt.to_string());
            }
        }
    }
}

#[test]
fn a_length_of_time_is_said_in_the_largest_unit_of_which_there_are_two() {
    for (secs, said) in [
        (59, "0 minutes"),
        (2 * HOUR - 1, "119 minutes"),
        (2 * HOUR, "2 hours"),
        (2 * DAY - 1, "47 hours"),
        (2 * DAY, "2 days"),
    ] {
        assert_eq!(Span(secs).to_string(), said);
    }
    let ahead = Doubt::Contradicted { ahead: 7200, others: 3 }.to_string();
    let behind = Doubt::Contradicted { ahead: -7200, others: 3 }.to_string();
    assert!(ahead.contains("2 hours ahead of") && behind.contains("2 hours behind"), "{ahead}, {behind}");
    let set = [7200, -7200].map(|by| Doubt::Leapt(by).to_string());
    assert!(set[0].contains("ahead 2 hours") && set[1].contains("back 2 hours"), "{set:?}");
}

#[test]
fn what_was_believed_is_taken_anew_after_an_hour_and_not_before() {
    for (pause, believed) in [(BELIEVED_ANEW - 1, false), (BELIEVED_ANEW, true)] {
        let mut node = Machine::start(0, DAY);
        node.off = secs(6 * MINUTE);
        node.pass(pause);
        assert_eq!(node.watch.doubt(), None);
        // As far again: too far from the start, and not from an hour later.
        node.off = secs(12 * MINUTE);
        assert_eq!(node.doubt().is_none(), believed, "{pause}");
    }
}

#[test]
fn a_clock_may_be_as_far_off_as_is_forgiven_and_no_second_further() {
    // Behind what it signed itself, by as much as clocks are apart; behind what others signed, by what they may sign ahead.
    let started = |wall: u64, signed: u64, attested: u64| {
        let mut watch = Watch::begin(Reading { wall, up: 1 }, signed, attested);
        watch.read(Reading { wall, up: 1 });
        watch.doubt()
    };
    assert_eq!(started(NOW - SKEW_SECS, NOW, 0), None);
    assert_eq!(started(NOW - SKEW_SECS - 1, NOW, 0), Some(Doubt::Behind(SKEW_SECS + 1)));
    let others = DESCRIPTOR_AHEAD_SECS + SKEW_SECS;
    assert_eq!(started(NOW - others, NOW - YEAR, NOW), None);
    assert_eq!(started(NOW - others - 1, NOW - YEAR, NOW), Some(Doubt::Behind(others + 1)));
    assert_eq!(started(NOW + AWAY_MAX_SECS, NOW - YEAR, NOW), None);
    assert_eq!(started(NOW + AWAY_MAX_SECS + 1, NOW - YEAR, NOW), Some(Doubt::Ahead(AWAY_MAX_SECS + 1)));
    // While it runs, either way.
    for sign in [1, -1] {
        let mut node = Machine::start(0, DAY);
        node.off = sign * secs(SKEW_SECS);
        assert_eq!(node.doubt(), None);
        node.off = sign * secs(SKEW_SECS + 1);
        assert_eq!(node.doubt(), Some(Doubt::Leapt(node.off)));
        // One other confirms it that is as far from it as is forgiven.
        node.hear(1, node.off - sign * secs(SKEW_SECS + 1));
        assert!(node.doubt().is_some());
        node.hear(1, node.off - sign * secs(SKEW_SECS));
        assert_eq!(node.doubt(), None);
    }
}

#[test]
fn a_leap_beyond_all_numbers_is_told_in_its_own_direction() {
    for (from, to, leap) in [(NOW, u64::MAX, i64::MAX), (u64::MAX, 0, i64::MIN)] {
        let mut watch = Watch::begin(Reading { wall: from, up: 1 }, 0, 0);
        watch.read(Reading { wall: to, up: 1 });
        assert_eq!(watch.doubt(), Some(Doubt::Leapt(leap)));
    }
}

#[test]
fn others_who_agree_set_no_time_back_that_is_as_little_ahead_as_is_forgiven() {
    let mut node = Machine::start(0, HOUR);
    (1..=3).for_each(|n| node.hear(n, 0));
    node.pass(60);
    let gone_by = node.watch.read(node.reading());
    node.off = -30;
    assert_eq!((node.doubt(), node.watch.read(node.reading())), (None, gone_by), "it waits for the wall");
}

#[test]
fn a_clock_that_others_contradict_goes_at_half_its_pace_until_their_time_has_come_and_one_voice_does_not_slow_it() {
    for (voices, is_slow) in [(1, false), (2, true), (3, true)] {
        let mut node = Machine::start(secs(3 * HOUR), HOUR);
        (1..=voices).for_each(|n| node.hear(n, 0));
        let before = node.error();
        // However often it is read.
        for _ in 0..5 * MINUTE {
            node.pass(1);
            node.error();
        }
        let since = node.error() - before;
        assert_eq!(since, if is_slow { -secs(5 * MINUTE / 2) } else { 0 }, "{voices}");
        for _ in 0..7 {
            node.pass(HOUR);
            (1..=voices).for_each(|n| node.hear(n, 0));
        }
        assert_eq!(node.error(), if is_slow { 0 } else { secs(3 * HOUR) }, "{voices}");
    }
}
