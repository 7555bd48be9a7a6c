//! Acknowledgement (M03) and answer (M04). Refuses an acceptance without services, people and conflict check, and a
//! refusal without a reason: a person plans her journey on these words.

use clearhouse_wire::v1::{Acknowledgement, Answer, ServiceOffer};

use super::codes::{AnswerKind, NOTICE_FIELDS};
use super::shape::{
    Checked, FaultKind, absent, code, codes_of, contact, contact_or_none, hold, id16_or_none, language, listed,
    no_doubles, text,
};
use crate::htcds::codes::List;

/// Most conditions of one answer.
pub const CONDITIONS_MAX: usize = 8;
/// Longest condition, characters.
pub const CONDITION_MAX: usize = 200;
/// Longest offer of one service, days: three years.
const OFFER_DAYS_MAX: u32 = 1_100;

pub(super) fn check_acknowledgement(a: &Acknowledgement) -> Checked {
    contact(a.contact.as_ref(), "acknowledgement.contact")?;
    contact(a.alternate.as_ref(), "acknowledgement.alternate")?;
    hold(a.expected_answer_day > 0, FaultKind::Missing, "acknowledgement.expected_answer_day")
}

pub(super) fn check(a: &Answer) -> Checked {
    match code(&a.answer, AnswerKind::parse, "answer.answer")? {
        AnswerKind::Accepted => {
            check_acceptance(a)?;
            absent(a.conditions.is_empty(), "answer.conditions")
        }
        AnswerKind::AcceptedWithConditions => {
            check_acceptance(a)?;
            hold(!a.conditions.is_empty(), FaultKind::Missing, "answer.conditions")?;
            hold(
                a.conditions.len() <= CONDITIONS_MAX && no_doubles(&a.conditions),
                FaultKind::Count,
                "answer.conditions",
            )?;
            a.conditions.iter().try_for_each(|c| text(c, CONDITION_MAX, "answer.conditions"))
        }
        AnswerKind::InfoRequested => {
            no_offer(a)?;
            absent(a.decline_reason.is_empty(), "answer.decline_reason")?;
            absent(a.alternative_org.is_empty(), "answer.alternative_org")?;
            let known = |f: &str| NOTICE_FIELDS.contains(&f);
            codes_of(&a.info_requested, 1, NOTICE_FIELDS.len(), known, "answer.info_requested")
        }
        AnswerKind::Declined => {
            no_offer(a)?;
            absent(a.info_requested.is_empty(), "answer.info_requested")?;
            listed(&a.decline_reason, List::DeclineReason, "answer.decline_reason")?;
            id16_or_none(&a.alternative_org, "answer.alternative_org")
        }
    }
}

/// What both kinds of yes must say.
fn check_acceptance(a: &Answer) -> Checked {
    absent(a.decline_reason.is_empty(), "answer.decline_reason")?;
    absent(a.alternative_org.is_empty(), "answer.alternative_org")?;
    absent(a.info_requested.is_empty(), "answer.info_requested")?;
    hold(!a.services.is_empty(), FaultKind::Missing, "answer.services")?;
    let names: Vec<_> = a.services.iter().map(|offer| offer.service.as_str()).collect();
    hold(names.len() <= List::Service.codes().len() && no_doubles(&names), FaultKind::Count, "answer.services")?;
    a.services.iter().try_for_each(check_offer)?;
    hold(a.conflict_check_done, FaultKind::NoConflictCheck, "answer.conflict_check_done")?;
    language(&a.language, "answer.language")?;
    contact(a.contact.as_ref(), "answer.contact")?;
    contact(a.alternate.as_ref(), "answer.alternate").map(drop)
}

fn check_offer(offer: &ServiceOffer) -> Checked {
    listed(&offer.service, List::Service, "answer.services.service")?;
    hold(offer.start_day > 0, FaultKind::Missing, "answer.services.start_day")?;
    hold(offer.days > 0, FaultKind::Missing, "answer.services.days")?;
    hold(offer.days <= OFFER_DAYS_MAX, FaultKind::Contradiction, "answer.services.days")?;
    listed(&offer.paid_by, List::PaidBy, "answer.services.paid_by")
}

/// What an answer that is no yes must not say.
fn no_offer(a: &Answer) -> Checked {
    absent(a.services.is_empty(), "answer.services")?;
    absent(a.conditions.is_empty(), "answer.conditions")?;
    absent(!a.child_place, "answer.child_place")?;
    if !a.language.is_empty() {
        language(&a.language, "answer.language")?;
    }
    contact_or_none(a.contact.as_ref(), "answer.contact")?;
    contact_or_none(a.alternate.as_ref(), "answer.alternate")
}
