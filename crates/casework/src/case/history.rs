//! What of a case outlives it: who heard which consent, and the lines of its history.
//!
//! Refuses to tell more than [`Line`] has room for, and nothing of what was drafted or taken back before it left.

use std::collections::BTreeMap;

use clearhouse_protocol::ids::{ConsentId, OrgId};
use clearhouse_wire::v1::{Consent, RefusalCode, Withdrawal};

use super::fact::{By, Fact};
use super::{Case, Fate, Letter};
use crate::body::{self, CheckedBody};
use crate::consent::history::{Line, Said, Witness};
use crate::consent::{CONSENTS_MAX, ConsentFault, DataClass, Purpose, WITHDRAWALS_MAX};
use crate::roles::Role;

/// Who was the first to write down each consent and each withdrawal.
#[derive(Default)]
pub(super) struct Witnesses {
    given: BTreeMap<ConsentId, Witness>,
    withdrawn: BTreeMap<(Vec<u8>, u64), Witness>,
}

impl Witnesses {
    fn given(&mut self, consent: &Consent, witness: Witness) {
        let Ok(id) = ConsentId::try_from(consent.id.as_slice()) else { return };
        if self.given.len() < CONSENTS_MAX {
            self.given.entry(id).or_insert(witness);
        }
    }

    fn withdrawn(&mut self, withdrawal: &Withdrawal, witness: Witness) {
        if self.withdrawn.len() <= WITHDRAWALS_MAX {
            self.withdrawn.entry((withdrawal.consent_id.clone(), withdrawal.effective)).or_insert(witness);
        }
    }
}

impl Case {
    /// Remembers who wrote down what she said.
    pub(super) fn note_witness(&mut self, fact: &Fact) {
        let here =
            |by: Option<&By>, at| Witness { role: by.and_then(|by| Role::parse(&by.role)), org: self.own_org, at };
        if let Fact::ConsentRecorded(f) = fact
            && let Some(consent) = &f.consent
        {
            let witness = here(f.by.as_ref(), f.at);
            self.witnesses.given(consent, witness);
        }
        if let Fact::ConsentWithdrawn(f) = fact
            && let Some(withdrawal) = &f.withdrawal
        {
            let witness = here(f.by.as_ref(), f.at);
            self.witnesses.withdrawn(withdrawal, witness);
        }
    }

    /// The same for what a message brought: its sender heard it first, unless it was written down here before.
    pub(super) fn note_witnessed(&mut self, body: &CheckedBody, org: OrgId, at: u64) {
        let witness = Witness { role: Role::parse(&body.body().actor_role), org, at };
        body.consents().for_each(|consent| self.witnesses.given(consent, witness));
        if let Some(clearhouse_wire::v1::case_body::What::Withdrawal(withdrawal)) = body.what() {
            self.witnesses.withdrawn(withdrawal, witness);
        }
    }

    /// The history of its consents, the oldest line first: given, taken back, and what was shared on their ground.
    #[must_use]
    pub fn consent_history(&self) -> Vec<Line> {
        let given = self.ledger.consents().map(|consent| {
            let id = ConsentId::try_from(consent.id.as_slice()).ok();
            Line::given(consent, id.and_then(|id| self.witnesses.given.get(&id)).copied())
        });
        let withdrawn = self.ledger.withdrawals().iter().map(|withdrawal| {
            let key = (withdrawal.consent_id.clone(), withdrawal.effective);
            Line::withdrawn(withdrawal, self.witnesses.withdrawn.get(&key).copied())
        });
        let mut lines: Vec<Line> = given.chain(withdrawn).collect();
        lines.extend(self.letters.iter().flat_map(|letter| self.sharing(letter)));
        lines.extend(self.refused_here());
        // Stable: a consent stands before what rests on it, where both have the same second.
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// What one message shared, or was refused: a line for each purpose.
    fn sharing(&self, letter: &Letter) -> Vec<Line> {
        let said = match letter.fate() {
            Fate::Stored { .. } | Fate::Received | Fate::Opened => Said::Shared,
            Fate::Refused(RefusalCode::Consent) => Said::Refused,
            Fate::Waiting | Fate::Refused(_) | Fate::CannotRead | Fate::Recalled | Fate::Failed | Fate::Expired => {
                return Vec::new();
            }
        };
        let Some(body) = letter.body() else { return Vec::new() };
        let receiver = if letter.is_out() { self.peer_org } else { self.own_org };
        let witness = Witness { role: Role::parse(&body.body().actor_role), org: letter.org, at: letter.sent_at() };
        let mut by_purpose: BTreeMap<Purpose, Vec<DataClass>> = BTreeMap::new();
        for (purpose, class) in body.needs() {
            by_purpose.entry(purpose).or_default().extend(class);
        }
        let opened = letter.read().map_or(0, |light| light.at);
        let line = |(purpose, classes): (Purpose, Vec<DataClass>)| {
            Line::sent(said, (purpose, &classes), receiver, opened, witness)
        };
        by_purpose.into_iter().map(line).collect()
    }

    /// Messages of theirs that came without a consent that covered them, and were not taken.
    fn refused_here(&self) -> impl Iterator<Item = Line> {
        let for_consent = |code: &str| ConsentFault::ALL.iter().any(|fault| fault.code() == code);
        let refused = self.not_taken().filter(move |n| n.code.as_deref().is_some_and(for_consent));
        refused.filter_map(|n| {
            let purpose = body::needs_consent(n.msg_type)?;
            let witness = Witness { role: None, org: self.peer_org, at: n.at };
            Some(Line::sent(Said::Refused, (purpose, &[]), self.own_org, 0, witness))
        })
    }
}
