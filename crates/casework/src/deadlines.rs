//! The one table of clocks: how long each step may take, who is alerted when it is late, what a network may change.
//!
//! The side that starts a timer computes its end once and signs it (decision 30); the other side reads it and never
//! computes it again, because calendars differ. Where the wire has no room for a due time, the rule counts from a
//! signed time in UTC, so that both sides still get the same instant. Refuses a policy that would switch lateness off.

use std::collections::BTreeMap;

use clearhouse_protocol::limits::{DAY, HOUR, MINUTE};
use clearhouse_wire::v1::Due;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A length of time as a rule states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// Seconds that pass for everybody alike.
    Elapsed(u64),
    /// Working days of the acting office: same time of day, so many working days later.
    WorkingDays(u32),
}

/// Who is told when a rule's time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alert {
    /// The worker who sent the notice.
    Sender,
    /// The sender's manager.
    SenderManager,
    /// The receiver's duty line and manager.
    ReceiverManager,
    /// The managers of both sides.
    BothManagers,
    /// Both sides, and the coordinator sees that something is unanswered.
    BothAndCoordinator,
}

/// One line of the table.
pub struct Line {
    /// Which rule.
    pub rule: Rule,
    /// Its id, as it stands in [`Due::rule`] and in a RootPolicy.
    pub id: &'static str,
    /// Its length unless the network says otherwise.
    pub default: Span,
    /// The shortest a live network may set, in seconds: a slip of the pen must not make everything late.
    pub floor: u64,
    /// The longest a live network may set, in seconds: lateness cannot be configured away.
    pub ceiling: u64,
    /// Who hears of it.
    pub alert: Alert,
    /// What it measures, and from when.
    pub doc: &'static str,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $id:literal, $default:expr, $floor:expr, $ceiling:expr, $alert:ident, $text:literal;)+) => {
        /// A clock of the exchange.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Rule { $($(#[$doc])* #[doc = $text] $rule),+ }

        /// Every clock, in the order of a case (domain sections b and c).
        pub const TABLE: &[Line] = &[$(Line {
            rule: Rule::$rule, id: $id, default: $default, floor: $floor, ceiling: $ceiling,
            alert: Alert::$alert, doc: $text,
        }),+];
    };
}

use Span::{Elapsed, WorkingDays};

rules! {
    DraftPurge = "draft-purge", Elapsed(90 * DAY), 7 * DAY, 365 * DAY, Sender,
        "A case opened and never sent is offered for deletion.";
    NodeReceipt = "node-receipt", Elapsed(15 * MINUTE), 5 * MINUTE, DAY, Sender,
        "From sending to the other node's receipt; then the receiver counts as unreachable.";
    AcknowledgeEmergency = "acknowledge-emergency", Elapsed(2 * HOUR), 15 * MINUTE, 12 * HOUR, ReceiverManager,
        "From an emergency notice to a named human's acknowledgement.";
    Acknowledge = "acknowledge", Elapsed(24 * HOUR), HOUR, 72 * HOUR, ReceiverManager,
        "From a notice to a named human's acknowledgement.";
    UnansweredReroute = "unanswered-reroute", Elapsed(72 * HOUR), 2 * HOUR, 7 * DAY, BothAndCoordinator,
        "From a notice nobody acknowledged to the sender's right to turn elsewhere.";
    AnswerEmergency = "answer-emergency", Elapsed(12 * HOUR), HOUR, 48 * HOUR, ReceiverManager,
        "From an emergency notice to its answer.";
    Answer = "answer", WorkingDays(3), DAY, 10 * DAY, ReceiverManager,
        "From a complete notice to its answer.";
    NoticeExpires = "notice-expires", Elapsed(7 * DAY), DAY, 14 * DAY, BothAndCoordinator,
        "From a notice nobody answered to its end; the sender must act.";
    InfoReply = "info-reply", Elapsed(2 * DAY), 4 * HOUR, 7 * DAY, SenderManager,
        "From 'information requested' to the notice that brings it.";
    ConditionsSettle = "conditions-settle", WorkingDays(5), DAY, 15 * DAY, BothManagers,
        "From an acceptance with conditions to their settlement.";
    DeclineRerouteHigh = "decline-reroute-high", Elapsed(24 * HOUR), 4 * HOUR, 3 * DAY, BothAndCoordinator,
        "From a declined high-risk notice to another receiver.";
    DeclineReroute = "decline-reroute", Elapsed(3 * DAY), DAY, 10 * DAY, BothAndCoordinator,
        "From a declined notice to another receiver.";
    NoticeLeadChild = "notice-lead-child", WorkingDays(20), DAY, 60 * DAY, Sender,
        "From a child's notice to the first possible day of travel; less is marked as short notice.";
    NoticeLead = "notice-lead", WorkingDays(10), DAY, 30 * DAY, Sender,
        "From a notice to the first possible day of travel; less is marked as short notice.";
    ProfileLead = "profile-lead", WorkingDays(5), DAY, 20 * DAY, Sender,
        "From the profile to the departure; a journey with less is marked unprepared.";
    ArrivalConfirmChild = "arrival-confirm-child", Elapsed(2 * HOUR), 15 * MINUTE, 6 * HOUR, BothAndCoordinator,
        "From a child's planned arrival to the word of whoever met the child.";
    ArrivalConfirm = "arrival-confirm", Elapsed(24 * HOUR), HOUR, 48 * HOUR, BothManagers,
        "From the planned arrival to the word of whoever met her.";
    UnmetContact = "unmet-contact", Elapsed(24 * HOUR), HOUR, 72 * HOUR, BothManagers,
        "From an arrival nobody met to contact by her safe rules.";
    WithdrawalRead = "withdrawal-read", Elapsed(24 * HOUR), HOUR, 48 * HOUR, BothManagers,
        "From a withdrawal of consent to a human at the receiver having read it.";
    ConsentLife = "consent-life", Elapsed(183 * DAY), DAY, 366 * DAY, Sender,
        "How long a consent lasts when nobody says otherwise.";
    ConsentRenewal = "consent-renewal", Elapsed(14 * DAY), DAY, 60 * DAY, Sender,
        "How long before its end a consent asks to be renewed.";
}

impl Rule {
    /// The rule's line in [`TABLE`].
    #[must_use]
    pub fn line(self) -> &'static Line {
        &TABLE[self as usize]
    }

    /// The rule's id.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.line().id
    }

    /// Whether what it waits for is that somebody there takes or reads a message, and not yet that anything is done.
    #[must_use]
    pub fn awaits_reading(self) -> bool {
        use Rule as R;
        match self {
            R::NodeReceipt | R::Acknowledge | R::AcknowledgeEmergency | R::UnansweredReroute | R::WithdrawalRead => {
                true
            }
            R::DraftPurge
            | R::AnswerEmergency
            | R::Answer
            | R::NoticeExpires
            | R::InfoReply
            | R::ConditionsSettle
            | R::DeclineRerouteHigh
            | R::DeclineReroute
            | R::NoticeLeadChild
            | R::NoticeLead
            | R::ProfileLead
            | R::ArrivalConfirmChild
            | R::ArrivalConfirm
            | R::UnmetContact
            | R::ConsentLife
            | R::ConsentRenewal => false,
        }
    }

    /// Finds a rule by its id; `None` for an unknown one.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        TABLE.iter().find(|line| line.id == id).map(|line| line.rule)
    }
}

/// A zone of the world: its IANA name and its rules. The node brings both; this room reads no zone database.
#[derive(Clone)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// A zone by name and rules; `None` unless the name has the shape of an IANA name.
    #[must_use]
    pub fn new(name: &str, rules: TimeZone) -> Option<Self> {
        is_zone_name(name).then(|| Self { name: name.to_owned(), rules })
    }

    /// Universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Longest IANA zone name taken.
pub const ZONE_NAME_MAX: usize = 40;

/// True for `UTC` or `Area/Place` with an area of the IANA list. A zone is written into name-free messages, so free
/// words are refused; the places themselves change too often to be listed here.
#[must_use]
pub fn is_zone_name(name: &str) -> bool {
    const AREAS: [&str; 11] = [
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Etc",
        "Europe",
        "Indian",
        "Pacific",
    ];
    let place = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_uppercase())
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if name == "UTC" {
        return true;
    }
    name.len() <= ZONE_NAME_MAX
        && name.split_once('/').is_some_and(|(area, rest)| {
            AREAS.contains(&area) && rest.split('/').count() <= 2 && rest.split('/').all(place)
        })
}

/// Which days count as working days. The joint for holiday calendars: a country's feasts are added by another
/// implementation of this trait, chosen by the office that starts the clock. Nothing else needs to change, because
/// the other side reads the signed due time.
pub trait Calendar {
    /// True when offices work on that day.
    fn is_working(&self, date: Date) -> bool;
}

/// Monday to Friday, no feasts.
pub struct MondayToFriday;

impl Calendar for MondayToFriday {
    fn is_working(&self, date: Date) -> bool {
        !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
    }
}

/// A network's policy asks for a clock it may not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OverrideFault {
    /// No rule has this id.
    #[error("the policy sets a deadline that does not exist; correct its rule id against the deadline table")]
    Unknown,
    /// The value lies outside what the table allows.
    #[error("the policy sets '{rule}' outside {floor} to {ceiling} seconds; choose a value between them")]
    OutOfRange {
        /// The rule's id.
        rule: &'static str,
        /// Shortest allowed, seconds.
        floor: u64,
        /// Longest allowed, seconds.
        ceiling: u64,
    },
}

/// Shortest clock of a training network, seconds: an exercise runs in minutes.
pub const TRAINING_FLOOR_SECS: u64 = 1;

/// The table as one network has it.
#[derive(Clone, Default)]
pub struct Deadlines {
    changed: BTreeMap<Rule, Span>,
}

impl Deadlines {
    /// Applies a RootPolicy's overrides, seconds by rule id.
    ///
    /// A working-day rule given in whole days stays a rule of working days; any other number of seconds just elapses.
    /// A training network may go below the floors, never above the ceilings.
    ///
    /// # Errors
    /// [`OverrideFault`] for an unknown rule or a value outside floor and ceiling. Nothing is applied then.
    pub fn with_overrides(overrides: &BTreeMap<String, u64>, training: bool) -> Result<Self, OverrideFault> {
        let mut changed = BTreeMap::new();
        for (id, &secs) in overrides {
            let rule = Rule::parse(id).ok_or(OverrideFault::Unknown)?;
            let line = rule.line();
            let floor = if training { TRAINING_FLOOR_SECS } else { line.floor };
            if !(floor..=line.ceiling).contains(&secs) {
                return Err(OverrideFault::OutOfRange { rule: line.id, floor, ceiling: line.ceiling });
            }
            let whole_days = u32::try_from(secs / DAY).ok().filter(|_| secs.is_multiple_of(DAY));
            let span = match (line.default, whole_days) {
                (Span::WorkingDays(_), Some(days)) => Span::WorkingDays(days),
                (Span::WorkingDays(_) | Span::Elapsed(_), _) => Span::Elapsed(secs),
            };
            changed.insert(rule, span);
        }
        Ok(Self { changed })
    }

    /// How long the rule runs in this network.
    #[must_use]
    pub fn span(&self, rule: Rule) -> Span {
        self.changed.get(&rule).copied().unwrap_or(rule.line().default)
    }

    /// When a clock started at `start` (unix seconds) ends, for the side that starts it, Monday to Friday.
    #[must_use]
    pub fn due(&self, rule: Rule, start: u64, zone: &Zone) -> Due {
        self.due_in(rule, start, zone, &MondayToFriday)
    }

    /// As [`Deadlines::due`], with a calendar of the acting office.
    #[must_use]
    pub fn due_in(&self, rule: Rule, start: u64, zone: &Zone, calendar: &impl Calendar) -> Due {
        let at = match self.span(rule) {
            Span::Elapsed(secs) => start.saturating_add(secs),
            // A time no calendar knows falls back to plain days: early is the safe side of late.
            Span::WorkingDays(days) => working_days_after(start, days, &zone.rules, calendar)
                .unwrap_or_else(|| start.saturating_add(u64::from(days) * DAY)),
        };
        Due { at, zone: zone.name.clone(), rule: rule.id().to_owned() }
    }

    /// When a clock ends that both sides count from the same signed time, because the wire carries no due time for it.
    #[must_use]
    pub fn shared(&self, rule: Rule, signed_start: u64) -> Due {
        self.due(rule, signed_start, &Zone::utc())
    }
}

/// Most calendar days looked at for one deadline: a calendar without working days must not hang a node.
const CALENDAR_DAYS_MAX: u32 = 366;

fn working_days_after(start: u64, days: u32, zone: &TimeZone, calendar: &impl Calendar) -> Option<u64> {
    let start = Timestamp::from_second(i64::try_from(start).ok()?).ok()?.to_zoned(zone.clone());
    let mut date = start.date();
    let mut left = days;
    for _ in 0..CALENDAR_DAYS_MAX {
        if left == 0 {
            let end = date.to_datetime(start.time()).to_zoned(zone.clone()).ok()?;
            return u64::try_from(end.timestamp().as_second()).ok();
        }
        date = date.checked_add(1.day()).ok()?;
        left -= u32::from(calendar.is_working(date));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    // Friday 2026-01-02, 16:00 UTC.
    const FRIDAY: u64 = 1_767_369_600;

    #[test]
    fn every_rule_stands_in_its_own_line_with_an_id_of_its_own() {
        for (place, line) in TABLE.iter().enumerate() {
            assert_eq!(line.rule as usize, place);
            assert_eq!(Rule::parse(line.id), Some(line.rule));
            assert!(line.floor <= line.ceiling && !line.doc.is_empty());
            let secs = match line.default {
                Span::Elapsed(secs) => secs,
                Span::WorkingDays(days) => u64::from(days) * DAY,
            };
            assert!((line.floor..=line.ceiling).contains(&secs), "{}", line.id);
        }
        assert_eq!(Rule::parse("answer "), None);
    }

    #[test]
    fn the_defaults_are_those_of_the_domain() {
        let expected = [
            (Rule::Acknowledge, Span::Elapsed(24 * HOUR)),
            (Rule::AcknowledgeEmergency, Span::Elapsed(2 * HOUR)),
            (Rule::Answer, Span::WorkingDays(3)),
            (Rule::AnswerEmergency, Span::Elapsed(12 * HOUR)),
            (Rule::ArrivalConfirm, Span::Elapsed(24 * HOUR)),
            (Rule::ArrivalConfirmChild, Span::Elapsed(2 * HOUR)),
            (Rule::UnansweredReroute, Span::Elapsed(72 * HOUR)),
            (Rule::NoticeExpires, Span::Elapsed(7 * DAY)),
            (Rule::InfoReply, Span::Elapsed(2 * DAY)),
            (Rule::ConditionsSettle, Span::WorkingDays(5)),
            (Rule::NodeReceipt, Span::Elapsed(15 * MINUTE)),
            (Rule::DeclineRerouteHigh, Span::Elapsed(24 * HOUR)),
            (Rule::DeclineReroute, Span::Elapsed(3 * DAY)),
            (Rule::WithdrawalRead, Span::Elapsed(24 * HOUR)),
        ];
        for (rule, span) in expected {
            assert_eq!(Deadlines::default().span(rule), span, "{}", rule.id());
        }
    }

    #[test]
    fn working_days_step_over_the_weekend_of_the_acting_office() {
        let due = Deadlines::default().due(Rule::Answer, FRIDAY, &Zone::utc());
        assert_eq!(due.at, FRIDAY + 5 * DAY, "Friday plus three working days is Wednesday, same hour");
        assert_eq!((due.zone.as_str(), due.rule.as_str()), ("UTC", "answer"));
        assert_eq!(Deadlines::default().due(Rule::Answer, FRIDAY + DAY, &Zone::utc()).at, FRIDAY + 5 * DAY);

        // 16:00 UTC on Friday is already Saturday, eleven hours further east: Monday, Tuesday, Wednesday.
        let east = Zone::new("Pacific/Noumea", TimeZone::fixed(jiff::tz::offset(11))).unwrap();
        assert_eq!(Deadlines::default().due(Rule::Answer, FRIDAY, &east).at, FRIDAY + 4 * DAY);
    }

    #[test]
    fn a_working_day_keeps_its_hour_when_the_clocks_change() {
        let sofia = TimeZone::posix("EET-2EEST,M3.5.0/3,M10.5.0/4").unwrap();
        let sofia = Zone::new("Europe/Sofia", sofia).unwrap();
        // Friday 2026-03-27 10:00 in Sofia (08:00 UTC); the clocks go forward on Sunday.
        let friday = 1_774_598_400;
        let due = Deadlines::default().due(Rule::Answer, friday, &sofia);
        assert_eq!(due.at, friday + 5 * DAY - HOUR);
    }

    #[test]
    fn a_calendar_of_feasts_moves_the_day_and_an_empty_one_does_not_hang() {
        struct Feast;
        impl Calendar for Feast {
            fn is_working(&self, date: Date) -> bool {
                MondayToFriday.is_working(date) && date.day() != 6
            }
        }
        struct Never;
        impl Calendar for Never {
            fn is_working(&self, _: Date) -> bool {
                false
            }
        }
        let table = Deadlines::default();
        assert_eq!(table.due_in(Rule::Answer, FRIDAY, &Zone::utc(), &Feast).at, FRIDAY + 6 * DAY);
        assert_eq!(table.due_in(Rule::Answer, FRIDAY, &Zone::utc(), &Never).at, FRIDAY + 3 * DAY);
        assert_eq!(table.due_in(Rule::Answer, u64::MAX, &Zone::utc(), &Never).at, u64::MAX);
    }

    #[test]
    fn a_policy_changes_a_clock_only_between_floor_and_ceiling() {
        let policy =
            |id: &str, secs, training| Deadlines::with_overrides(&BTreeMap::from([(id.to_owned(), secs)]), training);
        assert_eq!(policy("answer", 2 * DAY, false).unwrap().span(Rule::Answer), Span::WorkingDays(2));
        assert_eq!(policy("answer", 30 * HOUR, false).unwrap().span(Rule::Answer), Span::Elapsed(30 * HOUR));
        assert_eq!(policy("acknowledge", HOUR, false).unwrap().span(Rule::Acknowledge), Span::Elapsed(HOUR));
        assert!(policy("acknowledge", 10, false).is_err(), "below the floor");
        assert!(policy("acknowledge", 10, true).is_ok(), "an exercise runs in seconds");
        assert!(policy("acknowledge", 0, true).is_err());
        assert!(policy("acknowledge", 365 * DAY, false).is_err(), "above the ceiling");
        assert!(policy("acknowledge", 365 * DAY, true).is_err());
        assert_eq!(policy("lunch", 10, false).err(), Some(OverrideFault::Unknown));
    }

    #[test]
    fn a_zone_name_is_no_place_for_words() {
        for name in ["UTC", "Europe/Sofia", "America/Argentina/Buenos_Aires", "Etc/GMT+2"] {
            assert!(is_zone_name(name), "{name}");
        }
        for name in ["", "Maria", "Europe/", "Europe/../etc", "Europe/a b", "europe/Sofia", "Europe/A/B/C", "Mars/Base"]
        {
            assert!(!is_zone_name(name), "{name}");
        }
    }
}
