//! One case as imported, and what becomes of it: profile parts by data class, and suggestions for a return notice.
//!
//! A row is content: it has no `Debug`, and its values are wiped when it is dropped. It decides nothing about sharing:
//! parts are made for a profile that a consent must still cover, class by class, and a tick-box in a workbook never is
//! one. Ages are civil arithmetic; in doubt it is a child.

use std::collections::BTreeMap;

use clearhouse_wire::v1;
use jiff::civil::Date;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::codes::{self, List};
use super::fields::{DataClass, FIELDS, FieldFault, Sharing, check, find, parse_date};

/// At this age a person is an adult.
pub const ADULT_AGE: u32 = 18;
/// The channels of `xsc_Channel` that make a phone number usable.
const PHONE_CHANNELS: [&str; 2] = ["Phone", "Text"];
/// What must be said before a phone number leaves: how, when, and what a caller may leave and name. A profile that lacks
/// one of them is refused by the body check too; "not asked" is no rule.
const SAFE_CONTACT: [&str; 4] = ["xsc_Channel", "xsc_SafeTimes", "xsc_MayLeaveMessage", "xsc_CallerMayNameNGO"];

/// The values of one field of one case.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CellValue {
    values: Vec<String>,
    #[zeroize(skip)]
    null_reason: Option<&'static str>,
    #[zeroize(skip)]
    source: Option<(u32, u32)>,
}

impl CellValue {
    pub(super) fn new(values: Vec<String>, null_reason: Option<&'static str>, source: Option<(u32, u32)>) -> Self {
        Self { values, null_reason, source }
    }

    /// The values as they travel: codes, ISO dates, `true` or `false`, text as typed. Empty only with a null reason.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Why there is no value; a code of [`List::NullReason`].
    #[must_use]
    pub fn null_reason(&self) -> Option<&'static str> {
        self.null_reason
    }

    /// The cell it came from, such as `AJ3`; `None` for a value set by hand.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        self.source.map(|(row, column)| format!("{}{}", super::letters(column), row.saturating_add(1)))
    }
}

/// One case: one filled row of a workbook.
pub struct CaseRow {
    row: u32,
    index: usize,
    values: BTreeMap<&'static str, CellValue>,
}

/// The parts of a profile that a row gives, and what was left out of it and why.
pub struct ProfileDraft {
    /// One part per data class that has fields, in the order of [`DataClass::ALL`].
    pub parts: Vec<v1::ProfilePart>,
    /// The fields of the row that are in no part.
    pub left_out: Vec<LeftOut>,
    /// The fields in `parts` where people wrote words of their own: to be read by a person before they are sent.
    pub free_text: Vec<&'static str>,
}

/// A field that is in no profile part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its name.
    pub field: &'static str,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why a field is in no profile part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyLeftOut {
    /// It never leaves the local case file.
    StaysLocal,
    /// It travels in a notice, a header or a follow-up.
    TravelsElsewhere,
    /// A phone number without a rule how to use it safely is unusable: set the `xsc_` fields first.
    NeedsSafeContact,
}

/// What a return notice can take over from a row. Codes only; the caseworker confirms every one.
#[derive(Default)]
pub struct NoticeSuggestion {
    /// CTDC band.
    pub age_band: Option<&'static str>,
    /// Adult, Child, PresumedChild or AgeDisputed; `None` when the row says nothing about age.
    pub age_status: Option<&'static str>,
    /// What the age rests on; `Declared` unless the row says otherwise.
    pub age_basis: Option<&'static str>,
    /// prs_Gender.
    pub gender: Option<&'static str>,
    /// prs_Citizenship, alpha-2.
    pub citizenship: Vec<&'static str>,
    /// Primary, then secondary language.
    pub languages: Vec<&'static str>,
    /// Country of the postal address: often, not always, where the person goes.
    pub country: Option<&'static str>,
    /// Services wanted.
    pub services: Vec<&'static str>,
    /// vic_TraffickingStatus.
    pub trafficking_status: Option<&'static str>,
    /// vic_TraffickingStatusDecisionMakingOrg.
    pub status_decided_by: Option<&'static str>,
    /// cas_ReasonForOutgoingReferral.
    pub referral_reason: Option<&'static str>,
    /// xrk_Level.
    pub risk_level: Option<&'static str>,
    /// xch_GuardianStatus.
    pub guardian_status: Option<&'static str>,
    /// xch_BestInterests.
    pub best_interests: Option<&'static str>,
}

impl CaseRow {
    pub(super) fn new(row: u32, index: usize) -> Self {
        Self { row, index, values: BTreeMap::new() }
    }

    pub(super) fn put(&mut self, field: &'static str, value: CellValue) {
        self.values.insert(field, value);
    }

    /// The row as the spreadsheet numbers it, from 1.
    #[must_use]
    pub fn row_number(&self) -> u32 {
        self.row.saturating_add(1)
    }

    /// Its place among the cases of the file, from 0.
    #[must_use]
    pub fn data_index(&self) -> usize {
        self.index
    }

    /// All values by field name.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<&'static str, CellValue> {
        &self.values
    }

    /// The first value of a field.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&str> {
        self.values.get(field)?.values.first().map(String::as_str)
    }

    /// Sets a field by hand: what the caseworker adds or corrects before the case is used.
    ///
    /// # Errors
    /// The [`FieldFault`] of [`check`]; the row is unchanged then.
    pub fn set(&mut self, field: &str, values: Vec<String>) -> Result<(), FieldFault> {
        check(field, &values)?;
        let name = find(field).ok_or(FieldFault::UnknownField)?.name;
        self.put(name, CellValue::new(values, None, None));
        Ok(())
    }

    /// Completed years on a day, from the date of birth. `None` without one, and before birth.
    ///
    /// Someone born on 29 February is a year older on 1 March of a common year, so stays a child a day longer.
    #[must_use]
    pub fn age_on(&self, day: Date) -> Option<u32> {
        let born = parse_date(self.value("prs_Birthdate")?).ok()?;
        let had_birthday = (day.month(), day.day()) >= (born.month(), born.day());
        let years = i32::from(day.year()) - i32::from(born.year()) - i32::from(!had_birthday);
        u32::try_from(years).ok()
    }

    /// The CTDC age band on a day: from the date of birth, else as the row states it.
    #[must_use]
    pub fn age_band(&self, day: Date) -> Option<&'static str> {
        self.age_on(day).map(band_of).or_else(|| self.code("xpr_AgeBand", List::AgeBand))
    }

    /// The profile parts of this row by data class.
    ///
    /// Local fields never are in one. A phone number is in none until its rules for safe contact are set. The parts are
    /// plain wire messages: seal them soon and do not keep them.
    #[must_use]
    pub fn to_profile_parts(&self) -> ProfileDraft {
        let mut draft = ProfileDraft { parts: Vec::new(), left_out: Vec::new(), free_text: Vec::new() };
        let mut by_class: BTreeMap<DataClass, Vec<v1::FieldValue>> = BTreeMap::new();
        for field in FIELDS {
            let Some(cell) = self.values.get(field.name) else { continue };
            let why = match field.sharing {
                Sharing::Local => WhyLeftOut::StaysLocal,
                Sharing::Elsewhere => WhyLeftOut::TravelsElsewhere,
                Sharing::Part(_) if field.name == "prs_MobilePhone" && !self.has_safe_contact() => {
                    WhyLeftOut::NeedsSafeContact
                }
                Sharing::Part(class) => {
                    let null_reason = cell.null_reason.unwrap_or_default().to_owned();
                    let value =
                        v1::FieldValue { field: field.name.to_owned(), values: cell.values.clone(), null_reason };
                    by_class.entry(class).or_default().push(value);
                    if field.kind.is_text() {
                        draft.free_text.push(field.name);
                    }
                    continue;
                }
            };
            draft.left_out.push(LeftOut { field: field.name, why });
        }
        let part = |(class, fields): (DataClass, _)| v1::ProfilePart {
            data_class: class.code().to_owned(),
            fields,
            attachments: Vec::new(),
        };
        draft.parts = by_class.into_iter().map(part).collect();
        draft
    }

    /// What a return notice that travels on `day` can take over. Suggestions: the caseworker confirms every one.
    #[must_use]
    pub fn notice_suggestions(&self, day: Date) -> NoticeSuggestion {
        let languages = ["prs_PrimaryLanguage", "prs_SecondaryLanguage"];
        let mut spoken: Vec<_> = languages.into_iter().filter_map(|f| self.static_language(f)).collect();
        spoken.dedup();
        NoticeSuggestion {
            age_band: self.age_band(day),
            age_status: self.age_status(day),
            age_basis: self.age_band(day).map(|_| self.code("xpr_AgeBasis", List::AgeBasis).unwrap_or("Declared")),
            gender: self.code("prs_Gender", List::Gender),
            citizenship: self.static_countries("prs_Citizenship"),
            languages: spoken,
            country: self.static_countries("prs_MailingCountry").first().copied(),
            services: self.services(),
            trafficking_status: self.code("vic_TraffickingStatus", List::TraffickingStatus),
            status_decided_by: self.code("vic_TraffickingStatusDecisionMakingOrg", List::StatusDecidedBy),
            referral_reason: self.code("cas_ReasonForOutgoingReferral", List::ReferralReason),
            risk_level: self.code("xrk_Level", List::RiskLevel),
            guardian_status: self.code("xch_GuardianStatus", List::GuardianStatus),
            best_interests: self.code("xch_BestInterests", List::BestInterests),
        }
    }

    /// Under age by any sign is a child; an adult by every sign is an adult; a stated doubt stays a doubt.
    fn age_status(&self, day: Date) -> Option<&'static str> {
        let is_child_band = |band: &str| matches!(band, "0--8" | "9--17");
        let stated = self.code("xpr_AgeStatus", List::AgeStatus);
        let stated_band = self.code("xpr_AgeBand", List::AgeBand);
        let born_child = self.age_on(day).map(|age| age < ADULT_AGE);
        let band_child = stated_band.map(is_child_band);
        match (stated, born_child, band_child) {
            (Some(doubt @ ("Child" | "PresumedChild" | "AgeDisputed")), _, _) if born_child != Some(true) => {
                Some(doubt)
            }
            (_, Some(true), _) | (_, _, Some(true)) => Some("Child"),
            (Some(stated), _, _) => Some(stated),
            (None, None, None) => None,
            (None, _, _) => Some("Adult"),
        }
    }

    fn has_safe_contact(&self) -> bool {
        let given = |field: &str| self.values.get(field).map_or(&[][..], CellValue::values);
        let by_phone = given("xsc_Channel").iter().any(|channel| PHONE_CHANNELS.contains(&channel.as_str()));
        by_phone && SAFE_CONTACT.iter().all(|field| !given(field).is_empty())
    }

    /// The code of a list field, as the table has it and not as a copy of what was typed.
    fn code(&self, field: &str, list: List) -> Option<&'static str> {
        codes::find(list, self.value(field)?).map(|c| c.code)
    }

    fn static_countries(&self, field: &str) -> Vec<&'static str> {
        let values = self.values.get(field).map_or(&[][..], |v| v.values());
        values.iter().filter_map(|v| codes::country_from_label(v)).collect()
    }

    fn static_language(&self, field: &str) -> Option<&'static str> {
        codes::language_from_label(self.value(field)?)
    }

    fn services(&self) -> Vec<&'static str> {
        let wanted =
            ["xrn_Services", "spl_Type"].into_iter().filter_map(|f| self.values.get(f)).flat_map(|v| v.values());
        let mut found = Vec::new();
        for code in wanted.filter_map(|v| codes::find(List::Service, v)) {
            if !found.contains(&code.code) {
                found.push(code.code);
            }
        }
        found
    }
}

/// The CTDC band of an age in completed years.
#[must_use]
pub fn band_of(age: u32) -> &'static str {
    match age {
        0..=8 => "0--8",
        9..=17 => "9--17",
        18..=20 => "18--20",
        21..=23 => "21--23",
        24..=26 => "24--26",
        27..=29 => "27--29",
        30..=38 => "30--38",
        39..=47 => "39--47",
        _ => "48+",
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn row(values: &[(&str, &str)]) -> CaseRow {
        let mut row = CaseRow::new(2, 0);
        for (field, value) in values {
            row.set(field, value.split('|').map(str::to_owned).collect()).unwrap();
        }
        row
    }

    fn born(day: &str) -> CaseRow {
        row(&[("prs_Birthdate", day)])
    }

    #[test]
    fn ages_are_completed_years_and_a_leap_day_child_stays_a_child_longer() {
        assert_eq!(born("2008-11-21").age_on(date(2026, 11, 20)), Some(17));
        assert_eq!(born("2008-11-21").age_on(date(2026, 11, 21)), Some(18));
        assert_eq!(born("2008-02-29").age_on(date(2026, 2, 28)), Some(17));
        assert_eq!(born("2008-02-29").age_on(date(2026, 3, 1)), Some(18));
        assert_eq!(born("2026-11-21").age_on(date(2026, 11, 21)), Some(0));
        assert_eq!(born("2026-11-22").age_on(date(2026, 11, 21)), None);
        assert_eq!(row(&[]).age_on(date(2026, 11, 21)), None);
    }

    #[test]
    fn bands_are_those_of_the_list_and_meet_without_gap() {
        let mut seen: Vec<_> = (0..=130).map(band_of).collect();
        seen.dedup();
        assert_eq!(seen, List::AgeBand.codes().iter().map(|c| c.code).collect::<Vec<_>>());
        assert_eq!(
            [band_of(8), band_of(9), band_of(17), band_of(18), band_of(47), band_of(48)],
            ["0--8", "9--17", "9--17", "18--20", "39--47", "48+"]
        );
    }

    #[test]
    fn in_doubt_it_is_a_child() {
        let status = |values: &[(&str, &str)]| row(values).notice_suggestions(date(2026, 11, 21)).age_status;
        let (adult, child) = (("prs_Birthdate", "1999-04-17"), ("prs_Birthdate", "2013-03-11"));
        assert_eq!(status(&[]), None);
        assert_eq!(status(&[adult]), Some("Adult"));
        assert_eq!(status(&[child]), Some("Child"));
        assert_eq!(status(&[child, ("xpr_AgeStatus", "Adult")]), Some("Child"));
        assert_eq!(status(&[child, ("xpr_AgeStatus", "AgeDisputed")]), Some("Child"));
        assert_eq!(status(&[adult, ("xpr_AgeStatus", "AgeDisputed")]), Some("AgeDisputed"));
        assert_eq!(status(&[adult, ("xpr_AgeStatus", "PresumedChild")]), Some("PresumedChild"));
        assert_eq!(status(&[adult, ("xpr_AgeBand", "9--17")]), Some("Child"));
        assert_eq!(status(&[("xpr_AgeBand", "9--17"), ("xpr_AgeStatus", "Adult")]), Some("Child"));
        assert_eq!(status(&[("xpr_AgeBand", "18--20")]), Some("Adult"));
        assert_eq!(status(&[("xpr_AgeStatus", "Adult")]), Some("Adult"));
    }

    #[test]
    fn a_phone_number_is_in_no_part_until_it_can_be_used_safely() {
        let mut case = row(&[("prs_MobilePhone", "+37360000101"), ("prs_MailingCity", "Ungheni")]);
        let needs = LeftOut { field: "prs_MobilePhone", why: WhyLeftOut::NeedsSafeContact };
        assert_eq!(case.to_profile_parts().left_out, [needs]);
        for (field, value) in
            [("xsc_SafeTimes", "10-12"), ("xsc_MayLeaveMessage", "false"), ("xsc_CallerMayNameNGO", "false")]
        {
            case.set(field, vec![value.to_owned()]).unwrap();
        }
        assert_eq!(case.to_profile_parts().left_out, [needs], "no channel is set");
        case.set("xsc_Channel", vec!["ViaNGO".to_owned()]).unwrap();
        assert_eq!(case.to_profile_parts().left_out, [needs], "the channel is not the phone");
        case.set("xsc_Channel", vec!["Phone".to_owned()]).unwrap();
        assert_eq!(case.to_profile_parts().left_out, []);
    }

    #[test]
    fn a_value_set_by_hand_is_checked_and_a_wrong_one_changes_nothing() {
        let mut case = row(&[("prs_Gender", "Feminine")]);
        assert_eq!(case.set("prs_Gender", vec!["female".to_owned()]), Err(FieldFault::NotACode));
        assert_eq!(case.set("prs_Shoe", vec!["38".to_owned()]), Err(FieldFault::UnknownField));
        assert_eq!(case.value("prs_Gender"), Some("Feminine"));
    }

    #[test]
    fn suggestions_hold_codes_only() {
        let case = row(&[
            ("prs_Gender", "Feminine"),
            ("prs_Citizenship", "MD|RO"),
            ("prs_PrimaryLanguage", "ron"),
            ("prs_SecondaryLanguage", "rus"),
            ("spl_Type", "Health"),
            ("xrn_Services", "Shelter|Health"),
            ("xpr_AgeBand", "24--26"),
            ("xpr_AgeBasis", "Document"),
        ]);
        let notice = case.notice_suggestions(date(2026, 11, 21));
        assert_eq!(notice.citizenship, ["MD", "RO"]);
        assert_eq!(notice.languages, ["ron", "rus"]);
        assert_eq!(notice.services, ["Shelter", "Health"]);
        assert_eq!((notice.age_band, notice.age_basis), (Some("24--26"), Some("Document")));
        assert_eq!(notice.referral_reason, None);
    }
}
