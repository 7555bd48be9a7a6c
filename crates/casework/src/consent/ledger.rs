//! The consents of one case and their withdrawals. Refuses to edit a consent, and stops in doubt: a withdrawal reaches
//! further than the record it names, never less far.

use clearhouse_protocol::ids::ConsentId;
use clearhouse_wire::v1::{Consent, Withdrawal};

use super::{CONSENTS_MAX, ConsentFault, DataClass, Purpose, WITHDRAWALS_MAX, covers, wipe};
use crate::refusal::Subject;

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
    /// By id. Of exactly their size, as all that a case keeps: most have one or two, and there are thousands of cases.
    consents: Vec<Consent>,
    withdrawals: Vec<Withdrawal>,
}

impl Ledger {
    /// Adds a consent. The first record under an id stays: a consent is never edited.
    pub fn record(&mut self, consent: &Consent) {
        let is_id = ConsentId::try_from(consent.id.as_slice()).is_ok();
        if let (true, false, Err(place)) = (is_id, self.is_full(), self.place(&consent.id)) {
            self.consents.reserve_exact(1);
            self.consents.insert(place, consent.clone());
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

    /// Where the consent of this id is, or would be.
    fn place(&self, id: &[u8]) -> Result<usize, usize> {
        self.consents.binary_search_by(|consent| consent.id.as_slice().cmp(id))
    }

    fn overflowed(&self) -> bool {
        self.withdrawals.len() > WITHDRAWALS_MAX
    }

    /// A consent by its id.
    #[must_use]
    pub fn find(&self, id: &[u8]) -> Option<&Consent> {
        self.place(id).ok().map(|place| &self.consents[place])
    }

    /// Every consent, by id.
    pub fn consents(&self) -> impl Iterator<Item = &Consent> {
        self.consents.iter()
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
        self.overflowed()
            || self.withdrawals.iter().any(|w| {
                let this = w.consent_id == consent.id;
                let same_thing = w.purpose == consent.purpose && consent.given_at <= w.effective;
                let hit =
                    w.data_classes.is_empty() || class.is_none_or(|c| w.data_classes.iter().any(|d| d == c.code()));
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
        let newer = |c: &Consent| {
            c.purpose == consent.purpose && c.data_classes == consent.data_classes && c.given_at > consent.given_at
        };
        // Asked for no class in particular, a withdrawal of any of them counts.
        if self.is_withdrawn(consent, None) {
            Status::Withdrawn
        } else if consent.expires_at <= now {
            Status::Expired
        } else if self.consents.iter().any(newer) {
            Status::Superseded
        } else {
            Status::Active
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.consents.iter_mut().for_each(wipe);
    }
}
