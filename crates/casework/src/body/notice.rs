//! The return notice (M02). Refuses anything that is not a code, a number or a worker's label: there is no field in
//! which a name, a birth date, an address, a phone number, an exploitation or an illness would fit.

use clearhouse_wire::v1::ReturnNotice;

use super::codes::{AgeBand, AgeBasis, AgeStatus, BestInterests, GuardianStatus, RiskLevel, Urgency};
use super::shape::{Checked, FaultKind, absent, code, codes_of, contact, due, hold, id16_or_none, listed};
use crate::case::child;
use crate::deadlines::Rule;
use crate::htcds::codes::{List, is_country, is_language, is_valid};

/// Most citizenships of one person.
const CITIZENSHIPS_MAX: usize = 4;
/// Most languages of one person.
const LANGUAGES_MAX: usize = 8;
/// Most persons travelling with her.
const DEPENDANTS_MAX: usize = 8;
/// Longest window of travel, days: longer says nothing.
const WINDOW_MAX_DAYS: u32 = 366;

pub(super) fn check(n: &ReturnNotice) -> Checked {
    check_person(n)?;
    check_return(n)?;
    check_status(n)?;
    check_people(n)?;
    check_clocks(n)
}

fn check_person(n: &ReturnNotice) -> Checked {
    let band = code(&n.age_band, AgeBand::parse, "return_notice.age_band")?;
    let status = code(&n.age_status, AgeStatus::parse, "return_notice.age_status")?;
    let basis = code(&n.age_basis, AgeBasis::parse, "return_notice.age_basis")?;
    let doubted = child::band_is_minor(band) || basis == AgeBasis::DocumentDoubted;
    hold(status != AgeStatus::Adult || !doubted, FaultKind::NeverAnAdult, "return_notice.age_status")?;
    listed(&n.gender, List::Gender, "return_notice.gender")?;
    // None at all is a stateless person, not a hole.
    codes_of(&n.citizenship, 0, CITIZENSHIPS_MAX, is_country, "return_notice.citizenship")?;
    codes_of(&n.languages, 1, LANGUAGES_MAX, is_language, "return_notice.languages")?;
    let bands = &n.dependant_bands;
    // Two children of one band are two children: doubles are right here.
    hold(bands.len() <= DEPENDANTS_MAX, FaultKind::Count, "return_notice.dependant_bands")?;
    bands.iter().try_for_each(|b| code(b, AgeBand::parse, "return_notice.dependant_bands").map(drop))?;
    if child::is_child_path(status, basis, band) {
        code(&n.best_interests, BestInterests::parse, "return_notice.best_interests")?;
        // That a guardian is missing is a rule for children, judged with its own sentence in `case::child`.
        if !n.guardian_status.is_empty() {
            code(&n.guardian_status, GuardianStatus::parse, "return_notice.guardian_status")?;
        }
        Ok(())
    } else {
        absent(n.guardian_status.is_empty(), "return_notice.guardian_status")?;
        absent(n.best_interests.is_empty(), "return_notice.best_interests")
    }
}

fn check_return(n: &ReturnNotice) -> Checked {
    hold(n.window_from_day > 0, FaultKind::Missing, "return_notice.window_from_day")?;
    hold(n.window_to_day > 0, FaultKind::Missing, "return_notice.window_to_day")?;
    let length = n.window_to_day.checked_sub(n.window_from_day);
    let ordered = length.is_some_and(|days| days <= WINDOW_MAX_DAYS);
    hold(ordered, FaultKind::Contradiction, "return_notice.window_to_day")?;
    code(&n.country, |c| is_country(c).then_some(()), "return_notice.country")?;
    // ISO 3166-2 has no codes for XK.
    if !(n.country == "XK" && n.region.is_empty()) {
        code(&n.region, |r| is_region_of(&n.country, r).then_some(()), "return_notice.region")?;
    }
    codes_of(&n.services, 1, List::Service.codes().len(), |s| is_valid(List::Service, s), "return_notice.services")?;
    code(&n.risk_level, RiskLevel::parse, "return_notice.risk_level")?;
    code(&n.urgency, Urgency::parse, "return_notice.urgency")?;
    listed(&n.voluntary, List::Voluntary, "return_notice.voluntary")?;
    hold(n.alternatives_explained, FaultKind::AlternativesNotExplained, "return_notice.alternatives_explained")
}

fn check_status(n: &ReturnNotice) -> Checked {
    listed(&n.trafficking_status, List::TraffickingStatus, "return_notice.trafficking_status")?;
    listed(&n.status_decided_by, List::StatusDecidedBy, "return_notice.status_decided_by")?;
    listed(&n.referral_reason, List::ReferralReason, "return_notice.referral_reason")?;
    id16_or_none(&n.supersedes, "return_notice.supersedes")
}

fn check_people(n: &ReturnNotice) -> Checked {
    contact(n.worker.as_ref(), "return_notice.worker")?;
    contact(n.alternate.as_ref(), "return_notice.alternate").map(drop)
}

fn check_clocks(n: &ReturnNotice) -> Checked {
    let emergency = n.urgency == Urgency::Emergency24h.code();
    let (read, answered) = clocks(emergency);
    let read = due(n.acknowledge_by.as_ref(), &[read], "return_notice.acknowledge_by")?;
    let answered = due(n.answer_by.as_ref(), &[answered], "return_notice.answer_by")?;
    hold(read.at <= answered.at, FaultKind::Contradiction, "return_notice.answer_by")
}

/// The clocks a notice starts: to be acknowledged, to be answered.
#[must_use]
pub fn clocks(emergency: bool) -> (Rule, Rule) {
    if emergency { (Rule::AcknowledgeEmergency, Rule::AnswerEmergency) } else { (Rule::Acknowledge, Rule::Answer) }
}

/// True for the shape of an ISO 3166-2 code of `country`: its alpha-2 code, a hyphen, one to three capitals or digits.
/// The list itself changes every year and is not kept; three characters carry no name.
fn is_region_of(country: &str, code: &str) -> bool {
    let Some(rest) = code.strip_prefix(country).and_then(|r| r.strip_prefix('-')) else { return false };
    (1..=3).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
