//! What of a case outlives it: who heard which consent, and the lines of its history.
//!
//! Refuses to tell more than [`Line`] has room for, and nothing of what was drafted or taken back before it left.

use std::collections::BTreeMap;

use clearhouse_protocol::ids::{ConsentId, OrgId};
use clearhouse_wire::v1::{Consent, RefusalCode, Withdrawal};

use super::fact::{By, Fact};
use super::{Case, Fate, Letter, keep};
use crate::body::{self, CheckedBody};
use crate::consent::history::{Line, Said, Witness};
use crate::consent::{CONSENTS_MAX, ConsentFault, DataClass, Purpose, WITHDRAWALS_MAX};
use crate::roles::Role;

/// Who was the first to write down each consent and each withdrawal.
#[derive(Default)]
pub(super) struct Witnesses {
    given: Vec<(ConsentId, Witness)>,
    withdrawn: BTreeMap<(Vec<u8>, u64), Witness>,
}

impl Witnesses {
    fn given(&mut self, consent: &Consent, witness: Witness) {
        let Ok(id) = ConsentId::try_from(consent.id.as_slice()) else { return };
        if self.given.len() < CONSENTS_MAX && self.of(id).is_none() {
            keep(&mut self.given, (id, witness));
        }
    }

    fn of(&self, consent: ConsentId) -> Option<Witness> {
        self.given.iter().find(|(id, _)| *id == consent).map(|(_, witness)| *witness)
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
            Line::given(consent, id.and_then(|id| self.witnesses.of(id)))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_wire::v1::{MessageType, Stage};

    use super::super::fact::{ConsentRecorded, MessageOut, Opened, Recalled, ReceiptIn, RefusedHere, Stored};
    use super::*;
    use crate::body::samples::{self, NOW, RECEIVER};

    /// A case towards the receiver, and what happened in it.
    fn lines(facts: Vec<Fact>) -> Vec<(String, String, String)> {
        let opened = Fact::Opened(Opened {
            case: vec![1; 16],
            direction: 1,
            conversation: vec![2; 32],
            peer_org: RECEIVER.to_vec(),
            own_org: vec![3; 16],
            own_node: vec![4; 16],
            at: NOW,
            by: None,
        });
        let case = Case::fold(std::iter::once(&opened).chain(&facts)).unwrap();
        assert_eq!(case.unreadable(), 0);
        case.consent_history().into_iter().map(|line| (line.said, line.purpose, line.classes.join(" "))).collect()
    }

    fn profile() -> Fact {
        let body = body::prepare(&samples::profile()).ok().unwrap();
        Fact::MessageOut(MessageOut {
            msg_id: vec![9; 16],
            msg_type: MessageType::VictimProfile as u32,
            seq: 1,
            body: body.skeleton().to_vec(),
            at: NOW,
            body_version: 1,
            by: None,
        })
    }

    fn refused(refusal: RefusalCode) -> Fact {
        let (stage, org) = (Stage::Refused.into(), RECEIVER.to_vec());
        Fact::ReceiptIn(ReceiptIn {
            msg_id: vec![9; 16],
            stage,
            org,
            node: vec![5; 16],
            refusal: refusal.into(),
            ..ReceiptIn::default()
        })
    }

    /// What the sample's profile carries: its consents, and then what is said of the message.
    fn of_profile(after: Vec<Fact>) -> Vec<(String, String, String)> {
        let facts = std::iter::once(profile()).chain(after).collect();
        lines(facts).into_iter().filter(|line| line.0 != "Given").collect()
    }

    #[test]
    fn a_message_is_shared_when_it_got_there_and_refused_when_consent_was_why() {
        let both = |said: &str| {
            [("ShareProfile", "Identity Contact"), ("ShareHealth", "Health")]
                .map(|(purpose, classes)| (said.to_owned(), purpose.to_owned(), classes.to_owned()))
        };
        assert_eq!(of_profile(vec![refused(RefusalCode::Consent)]), both("Refused"));
        let stored = Fact::Stored(Stored { msg_id: vec![9; 16], node: vec![5; 16], at: NOW, ..Stored::default() });
        assert_eq!(of_profile(vec![stored]), both("Shared"), "a line for each purpose");
        assert_eq!(of_profile(vec![refused(RefusalCode::OutOfOrder)]), [], "not because of her");
        let recalled = Fact::Recalled(Recalled { msg_id: vec![9; 16], at: NOW, by: None });
        assert_eq!((of_profile(vec![recalled]), of_profile(vec![])), (vec![], vec![]), "it never left");
    }

    #[test]
    fn what_came_without_a_consent_is_refused_here_and_says_so() {
        let came = |code: &str| {
            vec![Fact::RefusedHere(RefusedHere {
                msg_id: vec![7; 16],
                msg_type: MessageType::VictimProfile as u32,
                seq: 1,
                at: NOW,
                code: code.to_owned(),
                digest: Vec::new(),
            })]
        };
        let refused = ("Refused".to_owned(), "ShareProfile".to_owned(), String::new());
        assert_eq!(lines(came(ConsentFault::Withdrawn.code())), [refused]);
        assert_eq!(lines(came("CH-C0701")), []);
    }

    #[test]
    fn who_wrote_a_consent_down_first_is_its_witness() {
        let consent = samples::consent(1, "ShareNotice", &[]);
        let recorded = |role: &str| {
            let by = Some(By { role: role.to_owned(), label: "Ana P.".to_owned(), ..By::default() });
            Fact::ConsentRecorded(ConsentRecorded { consent: Some(consent.clone()), at: NOW, by })
        };
        let opened = Fact::Opened(Opened {
            case: vec![1; 16],
            direction: 1,
            conversation: vec![2; 32],
            peer_org: RECEIVER.to_vec(),
            own_org: vec![3; 16],
            own_node: vec![4; 16],
            ..Opened::default()
        });
        let case = Case::fold([&opened, &recorded("ChildOfficer"), &recorded("Caseworker")]).unwrap();
        let history = case.consent_history();
        assert_eq!(
            (history.len(), history[0].role.as_str(), history[0].org.as_slice()),
            (1, "ChildOfficer", &[3; 16][..])
        );
        // A role that is none is kept as none, whatever the record says.
        let case = Case::fold([&opened, &recorded("Ileana")]).unwrap();
        assert_eq!(case.consent_history()[0].role, "");
    }

    #[test]
    fn who_wrote_a_consent_down_is_kept_once_and_for_so_many() {
        let mut witnesses = Witnesses::default();
        for n in 0..=CONSENTS_MAX {
            let id = (n as u128).to_be_bytes().to_vec();
            let consent = Consent { id, ..samples::consent(1, "ShareNotice", &[]) };
            let witness = Witness { role: None, org: OrgId([1; 16]), at: NOW };
            witnesses.given(&consent, witness);
            witnesses.given(&consent, witness);
            assert_eq!(witnesses.given.len(), (n + 1).min(CONSENTS_MAX));
        }
    }
}
