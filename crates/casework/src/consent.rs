//! Consent: one receiver, one purpose, named classes of data, limited in time, withdrawn by word of mouth.
//!
//! Checks what a consent says ([`check`]), whether it covers one step ([`covers`]) and keeps a case's consents with
//! their withdrawals ([`Ledger`]). Refuses to guess: what is not covered is not covered, in doubt it is withdrawn, and
//! a consent is never edited.

use std::collections::BTreeMap;

use clearhouse_protocol::ids::ConsentId;
use clearhouse_protocol::limits::{DAY, SKEW_SECS};
use clearhouse_wire::v1::{Consent, Withdrawal};
use zeroize::Zeroize as _;

use crate::body::codes::codes;
use crate::body::shape::{absent, code, codes_of, fault, hold, id16, language, listed, no_doubles};
use crate::body::{BodyFault, FaultKind};
use crate::deadlines::{Deadlines, Rule};
use crate::htcds::codes::List;
pub use crate::htcds::fields::DataClass;
use crate::refusal::Subject;

codes!(
    /// xcn_Class: what a consent is for.
    Purpose {
        /// To be interviewed and recorded. Stays here.
        Interview = "Interview",
        /// That a return is prepared.
        PrepareReturn = "PrepareReturn",
        /// A capacity enquiry without identity.
        Enquiry = "Enquiry",
        /// The return notice.
        ShareNotice = "ShareNotice",
        /// The profile, class by class.
        ShareProfile = "ShareProfile",
        /// Health, which no other purpose covers.
        ShareHealth = "ShareHealth",
        /// Travel, departure, arrival.
        ShareTravel = "ShareTravel",
        /// How she is, back to the sender.
        Feedback = "Feedback",
        /// That the family is spoken to.
        ContactFamily = "ContactFamily",
        /// Court.
        Testimony = "Testimony",
        /// Figures without identity.
        Reporting = "Reporting",
    }
);
impl DataClass {
    /// The class's number in stores and key wraps, 1 and up; 0 is a case's core. Never reused.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }
}

impl Purpose {
    /// True when withdrawing this ends the case: without it nothing may be prepared for her.
    #[must_use]
    pub const fn is_core(self) -> bool {
        matches!(self, Self::PrepareReturn | Self::ShareNotice)
    }

    /// Which classes a consent of this purpose may name, and whether it must name any.
    fn classes(self) -> (bool, fn(DataClass) -> bool) {
        match self {
            Self::ShareProfile => (true, |c| !matches!(c, DataClass::Health | DataClass::Travel)),
            Self::ShareHealth => (true, |c| c == DataClass::Health),
            Self::ShareTravel => (true, |c| c == DataClass::Travel),
            // The notice is one thing with fixed fields; naming classes is allowed and changes nothing.
            Self::Interview
            | Self::PrepareReturn
            | Self::Enquiry
            | Self::ShareNotice
            | Self::Feedback
            | Self::ContactFamily
            | Self::Testimony
            | Self::Reporting => (false, |_| true),
        }
    }
}

/// Which purpose covers one class of a profile.
#[must_use]
pub const fn purpose_of(class: DataClass) -> Purpose {
    match class {
        DataClass::Health => Purpose::ShareHealth,
        DataClass::Travel => Purpose::ShareTravel,
        DataClass::Identity
        | DataClass::Contact
        | DataClass::Needs
        | DataClass::Risk
        | DataClass::Trafficking
        | DataClass::SexualExploitationDetail
        | DataClass::Family
        | DataClass::Documents
        | DataClass::Legal
        | DataClass::Outcome => Purpose::ShareProfile,
    }
}

/// Longest life of one consent: a person is asked again at least once a year.
pub const CONSENT_LIFE_MAX_SECS: u64 = 366 * DAY;
/// Most withholding rules in one consent.
pub const WITHHOLD_MAX: usize = 32;
/// Most consents kept for one case.
pub const CONSENTS_MAX: usize = 128;
/// Most withdrawals kept for one case. One more and everything counts as withdrawn: in doubt, stop.
pub const WITHDRAWALS_MAX: usize = 256;

/// When a consent given at `given_at` ends if nobody says otherwise: the network's `consent-life`.
#[must_use]
pub fn default_expiry(deadlines: &Deadlines, given_at: u64) -> u64 {
    deadlines.shared(Rule::ConsentLife, given_at).at
}

/// Checks what a consent says, whoever wrote it.
///
/// # Errors
/// [`BodyFault`] naming the first field that breaks a rule.
pub fn check(consent: &Consent) -> Result<(), BodyFault> {
    id16(&consent.id, "consent.id")?;
    let purpose = code(&consent.purpose, Purpose::parse, "consent.purpose")?;
    id16(&consent.recipient_org, "consent.recipient_org")?;
    let (needed, allowed) = purpose.classes();
    let good = |c: &str| DataClass::from_code(c).is_some_and(allowed);
    codes_of(&consent.data_classes, usize::from(needed), DataClass::ALL.len(), good, "consent.data_classes")?;
    listed(&consent.given_by, List::ConsentGivenBy, "consent.given_by")?;
    if consent.given_by == "Person" {
        absent(consent.child_view.is_empty(), "consent.child_view")?;
    } else if !consent.child_view.is_empty() {
        listed(&consent.child_view, List::ChildView, "consent.child_view")?;
    }
    listed(&consent.form, List::ConsentForm, "consent.form")?;
    language(&consent.language, "consent.language")?;
    hold(consent.given_at > 0, FaultKind::Missing, "consent.given_at")?;
    hold(consent.expires_at > 0, FaultKind::Missing, "consent.expires_at")?;
    let life = consent.expires_at.checked_sub(consent.given_at).ok_or(fault(FaultKind::Contradiction, "consent.expires_at"))?;
    hold((1..=CONSENT_LIFE_MAX_SECS).contains(&life), FaultKind::Contradiction, "consent.expires_at")?;
    hold(consent.withhold.len() <= WITHHOLD_MAX && no_doubles(&consent.withhold), FaultKind::Count, "consent.withhold")?;
    for rule in &consent.withhold {
        code(&rule.what, DataClass::from_code, "consent.withhold.what")?;
        listed(&rule.from, List::WithholdFrom, "consent.withhold.from")?;
        listed(&rule.reason, List::WithholdReason, "consent.withhold.reason")?;
    }
    Ok(())
}

/// Checks what a withdrawal says.
///
/// # Errors
/// [`BodyFault`] naming the first field that breaks a rule.
pub fn check_withdrawal(withdrawal: &Withdrawal) -> Result<(), BodyFault> {
    id16(&withdrawal.consent_id, "withdrawal.consent_id")?;
    code(&withdrawal.purpose, Purpose::parse, "withdrawal.purpose")?;
    let good = |c: &str| DataClass::from_code(c).is_some();
    codes_of(&withdrawal.data_classes, 0, DataClass::ALL.len(), good, "withdrawal.data_classes")?;
    hold(withdrawal.effective > 0, FaultKind::Missing, "withdrawal.effective")
}

macro_rules! faults {
    ($($name:ident = $code:literal, $why:literal, $next:literal;)+) => {
        /// Why a consent does not cover a step.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum ConsentFault { $(#[doc = $why] $name),+ }

        impl ConsentFault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self { $(Self::$name => $next),+ }
            }

            const fn template(self) -> &'static str {
                match self { $(Self::$name => $why),+ }
            }
        }
    };
}

faults! {
    Missing = "CH-C0301", "There is no consent for {what} to {peer}.",
        "Ask her. If she agrees, record it and try again. Help does not depend on it.";
    Expired = "CH-C0302", "The consent for {what} to {peer} has run out.",
        "Ask her again and record the new consent.";
    Withdrawn = "CH-C0303", "The consent for {what} to {peer} was withdrawn.",
        "Respect it. Only a new consent of her own changes it.";
    OtherReceiver = "CH-C0304", "The consent for {what} names another receiver than {peer}.",
        "Ask her whether this organisation may have it: a new receiver is a new consent.";
    OtherPurpose = "CH-C0305", "The consent attached is not one for {what} to {peer}.",
        "Attach the consent of that purpose, or ask her for one.";
    ClassNotCovered = "CH-C0306", "The consent does not cover {what} to {peer}.",
        "Leave that class out, or ask her.";
    GivenInFuture = "CH-C0307", "The consent for {what} to {peer} is dated in the future.",
        "Check the clock and the date of the consent.";
    NotSeparate = "CH-C0308", "{what} to {peer} needs a consent that names this class alone.",
        "Leave that class out, or ask her for it separately.";
    NotRecorded = "CH-C0309", "The consent attached for {what} to {peer} is not one recorded in this case.",
        "Record the consent first, then write the message anew.";
    Changed = "CH-C0310", "The consent for {what} to {peer} came before with other words.",
        "A consent is never edited: the sender must record a new one.";
}

impl ConsentFault {
    /// The reason in words: names receiver, purpose and class, nothing else.
    #[must_use]
    pub fn why(self, subject: &Subject, peer: &str) -> String {
        let class = subject.class.map(|c| format!(" of class '{}'", c.code())).unwrap_or_default();
        let what = format!("'{}'{class}", subject.purpose.code());
        self.template().replace("{what}", &what).replace("{peer}", peer)
    }
}

/// Whether one consent covers one step towards one receiver now. Withdrawals are the [`Ledger`]'s.
///
/// `class` is `None` where the purpose is given as a whole (the notice). `now` is unix seconds.
///
/// # Errors
/// The first [`ConsentFault`], in the order: missing, purpose, receiver, date, expiry, class.
pub fn covers(consent: Option<&Consent>, subject: &Subject, now: u64) -> Result<(), ConsentFault> {
    let consent = consent.ok_or(ConsentFault::Missing)?;
    if consent.purpose != subject.purpose.code() {
        return Err(ConsentFault::OtherPurpose);
    }
    if consent.recipient_org != subject.receiver.as_bytes() {
        return Err(ConsentFault::OtherReceiver);
    }
    if consent.given_at > now.saturating_add(SKEW_SECS) {
        return Err(ConsentFault::GivenInFuture);
    }
    if consent.expires_at <= now {
        return Err(ConsentFault::Expired);
    }
    let Some(class) = subject.class else { return Ok(()) };
    if !consent.data_classes.iter().any(|c| c == class.code()) {
        return Err(ConsentFault::ClassNotCovered);
    }
    // HTCDS a.3: detail of sexual exploitation leaves only under a consent of its own.
    if class == DataClass::SexualExploitationDetail && consent.data_classes.len() != 1 {
        return Err(ConsentFault::NotSeparate);
    }
    Ok(())
}

/// Where a consent stands. xcn_Status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// In force.
    Active,
    /// Over by time.
    Expired,
    /// Over by her word, at least for one class.
    Withdrawn,
    /// A newer one of the same purpose is in force.
    Superseded,
}

/// The consents of one case and what was withdrawn.
#[derive(Default)]
pub struct Ledger {
    consents: BTreeMap<ConsentId, Consent>,
    withdrawals: Vec<Withdrawal>,
}

impl Ledger {
    /// Adds a consent. The first record under an id stays: a consent is never edited.
    pub fn record(&mut self, consent: &Consent) {
        let Ok(id) = ConsentId::try_from(consent.id.as_slice()) else { return };
        if !self.is_full() {
            self.consents.entry(id).or_insert_with(|| consent.clone());
        }
    }

    /// Adds a withdrawal, once.
    pub fn withdraw(&mut self, withdrawal: &Withdrawal) {
        if self.withdrawals.len() <= WITHDRAWALS_MAX && !self.withdrawals.contains(withdrawal) {
            self.withdrawals.push(withdrawal.clone());
        }
    }

    /// True when no more consents can be recorded.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.consents.len() >= CONSENTS_MAX
    }

    fn overflowed(&self) -> bool {
        self.withdrawals.len() > WITHDRAWALS_MAX
    }

    /// A consent by its id.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<&Consent> {
        self.consents.get(&ConsentId::try_from(id).ok()?)
    }

    /// Every consent, by id.
    pub fn consents(&self) -> impl Iterator<Item = &Consent> {
        self.consents.values()
    }

    /// Every withdrawal, in the order heard.
    #[must_use]
    pub fn withdrawals(&self) -> &[Withdrawal] {
        &self.withdrawals
    }

    /// True when `consent` no longer counts for `class`, or as a whole where `class` is `None`.
    ///
    /// A withdrawal stops the consent it names and every one of the same purpose given no later than its effect: she
    /// spoke of the thing, not of a record number, and an older renewal must not keep it alive.
    #[must_use]
    pub fn is_withdrawn(&self, consent: &Consent, class: Option<DataClass>) -> bool {
        self.overflowed() || self.withdrawals.iter().any(|w| {
            let this = w.consent_id == consent.id;
            let same_thing = w.purpose == consent.purpose && consent.given_at <= w.effective;
            let hit = w.data_classes.is_empty() || class.is_none_or(|c| w.data_classes.iter().any(|d| d == c.code()));
            (this || same_thing) && hit
        })
    }

    /// True when what the whole case rests on was withdrawn.
    #[must_use]
    pub fn core_withdrawn(&self) -> bool {
        self.overflowed() || self.withdrawals.iter().any(|w| Purpose::parse(&w.purpose).is_some_and(Purpose::is_core))
    }

    /// As [`covers`], and not withdrawn.
    ///
    /// # Errors
    /// As [`covers`], with [`ConsentFault::Withdrawn`] before [`ConsentFault::Expired`]: her word outweighs a date.
    pub fn covers(&self, consent: Option<&Consent>, subject: &Subject, now: u64) -> Result<(), ConsentFault> {
        let verdict = covers(consent, subject, now);
        let named = matches!(verdict, Ok(()) | Err(ConsentFault::Expired | ConsentFault::ClassNotCovered));
        if named && consent.is_some_and(|c| self.is_withdrawn(c, subject.class)) {
            return Err(ConsentFault::Withdrawn);
        }
        verdict
    }

    /// Where a consent stands at `now`.
    #[must_use]
    pub fn status(&self, consent: &Consent, now: u64) -> Status {
        let classes: Vec<_> = consent.data_classes.iter().filter_map(|c| DataClass::from_code(c)).collect();
        let withdrawn =
            self.is_withdrawn(consent, None) || classes.iter().any(|&class| self.is_withdrawn(consent, Some(class)));
        let newer = |c: &Consent| {
            c.purpose == consent.purpose
                && c.recipient_org == consent.recipient_org
                && c.data_classes == consent.data_classes
                && c.given_at > consent.given_at
        };
        if withdrawn {
            Status::Withdrawn
        } else if consent.expires_at <= now {
            Status::Expired
        } else if self.consents.values().any(newer) {
            Status::Superseded
        } else {
            Status::Active
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.consents.values_mut().for_each(wipe);
    }
}

/// Overwrites a consent's words in memory.
pub(crate) fn wipe(consent: &mut Consent) {
    consent.purpose.zeroize();
    consent.data_classes.zeroize();
    consent.given_by.zeroize();
    consent.child_view.zeroize();
    consent.language.zeroize();
    for rule in &mut consent.withhold {
        rule.what.zeroize();
        rule.from.zeroize();
        rule.reason.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::ids::OrgId;
    use clearhouse_wire::v1::Withhold;

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const ORG: OrgId = OrgId([7; 16]);

    fn consent() -> Consent {
        Consent {
            id: vec![1; 16],
            purpose: "ShareProfile".into(),
            recipient_org: ORG.to_vec(),
            data_classes: vec!["Identity".into(), "Needs".into()],
            given_by: "Person".into(),
            child_view: String::new(),
            form: "OralWitnessed".into(),
            language: "ron".into(),
            interpreter_used: true,
            given_at: NOW - DAY,
            expires_at: NOW + 100 * DAY,
            withhold: vec![Withhold { what: "Risk".into(), from: "family".into(), reason: "fear".into() }],
        }
    }

    fn subject(class: DataClass) -> Subject {
        Subject { purpose: purpose_of(class), class: Some(class), receiver: ORG }
    }

    fn withdrawal(classes: &[&str]) -> Withdrawal {
        Withdrawal {
            consent_id: vec![1; 16],
            purpose: "ShareProfile".into(),
            data_classes: classes.iter().map(|c| (*c).to_owned()).collect(),
            effective: NOW,
        }
    }

    #[test]
    fn a_complete_consent_passes_and_each_broken_field_is_named() {
        assert_eq!(check(&consent()), Ok(()));
        type Break = fn(&mut Consent);
        let table: [(Break, FaultKind, &str); 20] = [
            (|c| c.id.clear(), FaultKind::Missing, "consent.id"),
            (|c| c.id = vec![1; 15], FaultKind::Id, "consent.id"),
            (|c| c.purpose.clear(), FaultKind::Missing, "consent.purpose"),
            (|c| c.purpose = "Everything".into(), FaultKind::NotACode, "consent.purpose"),
            (|c| c.recipient_org.clear(), FaultKind::Missing, "consent.recipient_org"),
            (|c| c.data_classes.clear(), FaultKind::Missing, "consent.data_classes"),
            (|c| c.data_classes.push("Needs".into()), FaultKind::Count, "consent.data_classes"),
            (|c| c.data_classes.push("Gossip".into()), FaultKind::NotACode, "consent.data_classes"),
            (|c| c.data_classes.push("Health".into()), FaultKind::NotACode, "consent.data_classes"),
            (|c| c.given_by = "Police".into(), FaultKind::NotACode, "consent.given_by"),
            (|c| c.child_view = "Agrees".into(), FaultKind::NotHere, "consent.child_view"),
            (|c| (c.given_by, c.child_view) = ("Guardian".into(), "Fine".into()), FaultKind::NotACode, "consent.child_view"),
            (|c| c.form = "Ticked".into(), FaultKind::NotACode, "consent.form"),
            (|c| c.language = "ro".into(), FaultKind::NotACode, "consent.language"),
            (|c| c.given_at = 0, FaultKind::Missing, "consent.given_at"),
            (|c| c.expires_at = 0, FaultKind::Missing, "consent.expires_at"),
            (|c| c.expires_at = c.given_at, FaultKind::Contradiction, "consent.expires_at"),
            (|c| c.expires_at = c.given_at + 367 * DAY, FaultKind::Contradiction, "consent.expires_at"),
            (|c| c.withhold[0].from = "everybody".into(), FaultKind::NotACode, "consent.withhold.from"),
            (|c| c.withhold = vec![c.withhold[0].clone(); 2], FaultKind::Count, "consent.withhold"),
        ];
        for (spoil, kind, field) in table {
            let mut bad = consent();
            spoil(&mut bad);
            assert_eq!(check(&bad), Err(BodyFault { kind, field }));
        }
    }

    #[test]
    fn a_consent_covers_its_own_receiver_purpose_class_and_time_only() {
        let good = consent();
        let check = |c: Option<&Consent>, s: &Subject, now| covers(c, s, now);
        assert_eq!(check(Some(&good), &subject(DataClass::Identity), NOW), Ok(()));
        assert_eq!(check(None, &subject(DataClass::Identity), NOW), Err(ConsentFault::Missing));
        assert_eq!(check(Some(&good), &subject(DataClass::Health), NOW), Err(ConsentFault::OtherPurpose));
        assert_eq!(check(Some(&good), &subject(DataClass::Family), NOW), Err(ConsentFault::ClassNotCovered));
        let other = Subject { receiver: OrgId([8; 16]), ..subject(DataClass::Identity) };
        assert_eq!(check(Some(&good), &other, NOW), Err(ConsentFault::OtherReceiver));
        let (start, end) = (good.given_at, good.expires_at);
        assert_eq!(check(Some(&good), &subject(DataClass::Identity), end - 1), Ok(()));
        assert_eq!(check(Some(&good), &subject(DataClass::Identity), end), Err(ConsentFault::Expired));
        assert_eq!(check(Some(&good), &subject(DataClass::Identity), start - SKEW_SECS), Ok(()));
        assert_eq!(
            check(Some(&good), &subject(DataClass::Identity), start - SKEW_SECS - 1),
            Err(ConsentFault::GivenInFuture)
        );
    }

    #[test]
    fn detail_of_sexual_exploitation_needs_a_consent_of_its_own() {
        let mut c = consent();
        c.data_classes.push("SexualExploitationDetail".into());
        let detail = subject(DataClass::SexualExploitationDetail);
        assert_eq!(covers(Some(&c), &detail, NOW), Err(ConsentFault::NotSeparate));
        c.data_classes = vec!["SexualExploitationDetail".into()];
        assert_eq!(covers(Some(&c), &detail, NOW), Ok(()));
    }

    #[test]
    fn a_withdrawal_stops_the_class_it_names_or_all() {
        let mut ledger = Ledger::default();
        ledger.record(&consent());
        ledger.withdraw(&withdrawal(&["Needs"]));
        let stands = |l: &Ledger, class| l.covers(l.find(&[1; 16]), &subject(class), NOW);
        assert_eq!(stands(&ledger, DataClass::Needs), Err(ConsentFault::Withdrawn));
        assert_eq!(stands(&ledger, DataClass::Identity), Ok(()));
        ledger.withdraw(&withdrawal(&[]));
        assert_eq!(stands(&ledger, DataClass::Identity), Err(ConsentFault::Withdrawn));
        assert!(!ledger.core_withdrawn());
        ledger.withdraw(&Withdrawal { purpose: "ShareNotice".into(), ..withdrawal(&[]) });
        assert!(ledger.core_withdrawn());
    }

    #[test]
    fn a_withdrawal_stops_older_consents_of_the_purpose_but_not_one_given_after_it() {
        let mut ledger = Ledger::default();
        let older = Consent { id: vec![2; 16], given_at: NOW - 2 * DAY, ..consent() };
        let fresh = Consent { id: vec![3; 16], given_at: NOW + 60, ..consent() };
        for c in [&consent(), &older, &fresh] {
            ledger.record(c);
        }
        ledger.withdraw(&withdrawal(&[]));
        let stands = |id: u8| ledger.covers(ledger.find(&[id; 16]), &subject(DataClass::Needs), NOW + 120);
        assert_eq!(stands(1), Err(ConsentFault::Withdrawn));
        assert_eq!(stands(2), Err(ConsentFault::Withdrawn));
        assert_eq!(stands(3), Ok(()));
        assert_eq!(ledger.status(&fresh, NOW), Status::Active);
        assert_eq!(ledger.status(&older, NOW), Status::Withdrawn);
    }

    #[test]
    fn a_consent_is_never_edited_and_a_newer_one_supersedes() {
        let mut ledger = Ledger::default();
        ledger.record(&consent());
        ledger.record(&Consent { expires_at: NOW + 300 * DAY, ..consent() });
        assert!(ledger.find(&[1; 16]) == Some(&consent()));
        ledger.record(&Consent { id: vec![2; 16], given_at: NOW, ..consent() });
        assert_eq!(ledger.status(&consent(), NOW), Status::Superseded);
        assert_eq!(ledger.status(&consent(), NOW + 200 * DAY), Status::Expired);
    }

    #[test]
    fn too_many_withdrawals_stop_everything() {
        let mut ledger = Ledger::default();
        ledger.record(&consent());
        for effective in 1..=WITHDRAWALS_MAX as u64 {
            ledger.withdraw(&Withdrawal { consent_id: vec![9; 16], purpose: "Feedback".into(), effective, ..withdrawal(&[]) });
        }
        assert!(!ledger.is_withdrawn(&consent(), None) && !ledger.core_withdrawn());
        ledger.withdraw(&Withdrawal { consent_id: vec![9; 16], purpose: "Feedback".into(), ..withdrawal(&[]) });
        assert!(ledger.is_withdrawn(&consent(), None) && ledger.core_withdrawn());
    }

    #[test]
    fn the_default_life_is_half_a_year() {
        assert_eq!(default_expiry(&Deadlines::default(), NOW), NOW + 183 * DAY);
    }

    #[test]
    fn class_numbers_never_move() {
        let numbers: Vec<_> = DataClass::ALL.iter().map(|c| (c.code(), c.number())).collect();
        assert_eq!(numbers[0], ("Identity", 1));
        assert_eq!(numbers[4], ("Health", 5));
        assert_eq!(numbers[11], ("Outcome", 12));
    }
}
