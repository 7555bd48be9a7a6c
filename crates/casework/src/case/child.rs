//! The child path, whole in one file: who walks it, what stops there, and what this version does not do for a child yet.
//! Refuses to let anybody become an adult by silence, haste or a second form (domain section g, rules 6 and 7).

use clearhouse_wire::v1::{Consent, ReturnNotice};

use crate::body::codes::{AgeBand, AgeBasis, AgeStatus, AnswerKind, BestInterests, GuardianStatus};
use crate::refusal::Refusal;
use crate::roles::{ActKind, Role};

/// True for the bands under 18.
#[must_use]
pub fn band_is_minor(band: AgeBand) -> bool {
    match band {
        AgeBand::To8 | AgeBand::To17 => true,
        AgeBand::To20
        | AgeBand::To23
        | AgeBand::To26
        | AgeBand::To29
        | AgeBand::To38
        | AgeBand::To47
        | AgeBand::From48 => false,
    }
}

/// True unless the person is an adult whom nothing makes doubtful.
#[must_use]
pub fn is_child_path(status: AgeStatus, basis: AgeBasis, band: AgeBand) -> bool {
    status != AgeStatus::Adult || basis == AgeBasis::DocumentDoubted || band_is_minor(band)
}

/// True when a notice speaks of a child, or of somebody who may be one. What cannot be read counts as a child.
#[must_use]
pub fn is_child(notice: &ReturnNotice) -> bool {
    let status = AgeStatus::parse(&notice.age_status);
    let basis = AgeBasis::parse(&notice.age_basis);
    let band = AgeBand::parse(&notice.age_band);
    match (status, basis, band) {
        (Some(status), Some(basis), Some(band)) => is_child_path(status, basis, band),
        _ => true,
    }
}

/// A child's notice needs a guardian appointed or asked for, and no decision against return.
///
/// # Errors
/// [`Refusal::ChildNoGuardian`], [`Refusal::ChildGuardianRefused`], [`Refusal::ChildNotInInterest`].
pub fn guard_notice(notice: &ReturnNotice) -> Result<(), Refusal> {
    match GuardianStatus::parse(&notice.guardian_status) {
        Some(GuardianStatus::Appointed | GuardianStatus::Pending) => {}
        Some(GuardianStatus::Refused) => return Err(Refusal::ChildGuardianRefused),
        None => return Err(Refusal::ChildNoGuardian),
    }
    match BestInterests::parse(&notice.best_interests) {
        Some(BestInterests::NotInInterest) => Err(Refusal::ChildNotInInterest),
        Some(BestInterests::ReturnInInterest | BestInterests::Pending) | None => Ok(()),
    }
}

/// What is not done for a child until the best-interests decision is supported.
///
/// # Errors
/// [`Refusal::ChildProfile`], [`Refusal::ChildDeparture`].
pub fn guard_act(act: ActKind) -> Result<(), Refusal> {
    match act {
        ActKind::SendProfile => Err(Refusal::ChildProfile),
        ActKind::Depart => Err(Refusal::ChildDeparture),
        ActKind::RecordConsent
        | ActKind::SendNotice
        | ActKind::SupersedeNotice
        | ActKind::Acknowledge
        | ActKind::AskInfo
        | ActKind::Answer
        | ActKind::ConfirmArrival
        | ActKind::WithdrawConsent
        | ActKind::Stay
        | ActKind::Recall
        | ActKind::OpenMessage
        | ActKind::Erase => Ok(()),
    }
}

/// For a child the guardian gives consent, alone or with the child, and the child's own view stands beside it.
///
/// # Errors
/// [`Refusal::ChildConsent`], [`Refusal::ChildView`], [`Refusal::ChildObjects`].
pub fn guard_consent(consent: &Consent) -> Result<(), Refusal> {
    if !matches!(consent.given_by.as_str(), "Guardian" | "PersonWithGuardian") {
        return Err(Refusal::ChildConsent);
    }
    match consent.child_view.as_str() {
        "" => Err(Refusal::ChildView),
        "Objects" => Err(Refusal::ChildObjects),
        _ => Ok(()),
    }
}

/// In a child's case the named contact at the receiver is a child officer (M03).
///
/// # Errors
/// [`Refusal::ChildContact`].
pub fn guard_contact(role: &str) -> Result<(), Refusal> {
    if Role::parse(role) == Some(Role::ChildOfficer) { Ok(()) } else { Err(Refusal::ChildContact) }
}

/// A child is accepted only where there is a place for a child (M04).
///
/// # Errors
/// [`Refusal::ChildPlace`].
pub fn guard_place(answer: AnswerKind, child_place: bool) -> Result<(), Refusal> {
    match answer {
        AnswerKind::Accepted | AnswerKind::AcceptedWithConditions if !child_place => Err(Refusal::ChildPlace),
        AnswerKind::Accepted
        | AnswerKind::AcceptedWithConditions
        | AnswerKind::InfoRequested
        | AnswerKind::Declined => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_but_an_undoubted_adult_walks_the_child_path() {
        for &status in AgeStatus::ALL {
            for &basis in AgeBasis::ALL {
                for &band in AgeBand::ALL {
                    let adult = status == AgeStatus::Adult
                        && basis != AgeBasis::DocumentDoubted
                        && !matches!(band, AgeBand::To8 | AgeBand::To17);
                    assert_eq!(is_child_path(status, basis, band), !adult, "{status:?} {basis:?} {band:?}");
                }
            }
        }
        assert!(is_child(&ReturnNotice::default()), "what cannot be read is a child");
    }

    #[test]
    fn a_guardian_is_appointed_or_asked_for() {
        let notice = |guardian: &str, interests: &str| ReturnNotice {
            guardian_status: guardian.into(),
            best_interests: interests.into(),
            ..ReturnNotice::default()
        };
        let table = [
            ("Appointed", "ReturnInInterest", Ok(())),
            ("Appointed", "Pending", Ok(())),
            ("Pending", "Pending", Ok(())),
            ("", "Pending", Err(Refusal::ChildNoGuardian)),
            ("Refused", "Pending", Err(Refusal::ChildGuardianRefused)),
            ("Appointed", "NotInInterest", Err(Refusal::ChildNotInInterest)),
        ];
        for (guardian, interests, expected) in table {
            assert_eq!(guard_notice(&notice(guardian, interests)), expected, "{guardian} {interests}");
        }
    }

    #[test]
    fn a_childs_consent_is_the_guardians_with_the_childs_view() {
        let consent =
            |by: &str, view: &str| Consent { given_by: by.into(), child_view: view.into(), ..Consent::default() };
        let table = [
            ("Guardian", "Agrees", Ok(())),
            ("PersonWithGuardian", "TooYoung", Ok(())),
            ("Guardian", "NotAsked", Ok(())),
            ("Person", "", Err(Refusal::ChildConsent)),
            ("Guardian", "", Err(Refusal::ChildView)),
            ("Guardian", "Objects", Err(Refusal::ChildObjects)),
        ];
        for (by, view, expected) in table {
            assert_eq!(guard_consent(&consent(by, view)), expected, "{by} {view}");
        }
    }
}
