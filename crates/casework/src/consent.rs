//! Consent: one receiver, one purpose, named classes of data, limited in time, withdrawn by word of mouth.
//!
//! Checks what a consent says ([`check`]), whether it covers one step ([`covers`]) and keeps a case's consents with
//! their withdrawals ([`Ledger`]). Refuses to guess: what is not covered is not covered, in doubt it is withdrawn, and
//! a consent is never edited.

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

pub mod history;
mod ledger;

pub use ledger::{Ledger, Status};

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
    let life = consent
        .expires_at
        .checked_sub(consent.given_at)
        .ok_or(fault(FaultKind::Contradiction, "consent.expires_at"))?;
    hold((1..=CONSENT_LIFE_MAX_SECS).contains(&life), FaultKind::Contradiction, "consent.expires_at")?;
    hold(
        consent.withhold.len() <= WITHHOLD_MAX && no_doubles(&consent.withhold),
        FaultKind::Count,
        "consent.withhold",
    )?;
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
mod tests;
