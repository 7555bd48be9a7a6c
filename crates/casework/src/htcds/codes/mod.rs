//! The code lists: what may stand in a coded field, what a person sees for it, and which other spellings mean it.
//!
//! HTCDS codes stand here exactly as published, misspellings included (decision 15); ours follow in the same style.
//! A text becomes a code only when it *is* a code, a label or a known alias; nothing here ever picks the nearest one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use zeroize::Zeroizing;

mod countries;
mod htcds;
mod languages;
mod ours;

pub use countries::{COUNTRIES, Country, country_from_label, country_name, is_country};
pub use languages::{LANGUAGES, Language, is_language, language_from_label, language_name};

/// One value of a list.
pub struct Code {
    /// The value on the wire.
    pub code: &'static str,
    /// What a person reads, in English.
    pub label: &'static str,
    /// Other spellings found in the standard's own files and forms.
    pub aliases: &'static [&'static str],
    /// What an export to plain HTCDS writes instead; `None` for a published code.
    pub export: Option<Export>,
}

/// How a value of ours leaves for a system that knows only the published standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Export {
    /// As this published code.
    As(&'static str),
    /// Not at all: the standard has no place for it.
    LeftOut,
}

/// Declares [`List`] with its name on the wire side and its table.
macro_rules! lists {
    ($($(#[$doc:meta])* $variant:ident = $table:path;)*) => {
        /// Every closed list of the standard and of ours.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum List {
            $($(#[$doc])* $variant,)*
        }

        impl List {
            /// All lists.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The values of this list, in published order.
            #[must_use]
            pub fn codes(self) -> &'static [Code] {
                match self {
                    $(Self::$variant => $table,)*
                }
            }
        }
    };
}

lists! {
    /// org_Type.
    OrganisationType = htcds::ORGANISATION_TYPE;
    /// prs_Gender.
    Gender = htcds::GENDER;
    /// prs_MaritalStatus.
    MaritalStatus = htcds::MARITAL_STATUS;
    /// prs_HighestLevelOfEducation, ISCED 2011.
    Education = htcds::EDUCATION;
    /// vic_TraffickingStatus.
    TraffickingStatus = htcds::TRAFFICKING_STATUS;
    /// vic_TraffickingStatusDecisionMakingOrg.
    StatusDecidedBy = htcds::STATUS_DECIDED_BY;
    /// vic_RelationshipToTrafficker.
    RelationshipToTrafficker = htcds::RELATIONSHIP_TO_TRAFFICKER;
    /// vic_MethodOfRecruitment.
    MethodOfRecruitment = htcds::METHOD_OF_RECRUITMENT;
    /// vic_RecruitmentWebsitesAndApps and vic_ExploitationWebsitesAndApps.
    WebsitesAndApps = htcds::WEBSITES_AND_APPS;
    /// vic_MethodsOfControl.
    MethodsOfControl = htcds::METHODS_OF_CONTROL;
    /// vic_TypeOfExploitation.
    TypeOfExploitation = htcds::TYPE_OF_EXPLOITATION;
    /// vic_ForcedLabourIndustry, ISIC Rev. 4 sections.
    ForcedLabourIndustry = htcds::FORCED_LABOUR_INDUSTRY;
    /// vic_TypeOfSexExploitation.
    TypeOfSexExploitation = htcds::TYPE_OF_SEX_EXPLOITATION;
    /// vic_Vulnerabilities, deprecated by the standard.
    Vulnerabilities = htcds::VULNERABILITIES;
    /// per_RoleInProcess.
    RoleInProcess = htcds::ROLE_IN_PROCESS;
    /// cas_Status.
    CaseStatus = htcds::CASE_STATUS;
    /// cas_ReasonForIncomingReferral and cas_ReasonForOutgoingReferral.
    ReferralReason = htcds::REFERRAL_REASON;
    /// hte_Type.
    EventType = htcds::EVENT_TYPE;
    /// spl_Type.
    SupportType = htcds::SUPPORT_TYPE;

    /// Why a field has no value; the standard has no such list (trap 12).
    NullReason = ours::NULL_REASON;
    /// xpr_AgeBand: the age bands of the Counter Trafficking Data Collaborative.
    AgeBand = ours::AGE_BAND;
    /// xpr_AgeStatus.
    AgeStatus = ours::AGE_STATUS;
    /// xpr_AgeBasis.
    AgeBasis = ours::AGE_BASIS;
    /// Kinds of migrant, guidance 7 of the standard; it gives labels only, the codes are ours.
    MigrantType = ours::MIGRANT_TYPE;
    /// Protection and other status, guidance 7 of the standard; labels only, the codes are ours.
    ProtectionStatus = ours::PROTECTION_STATUS;
    /// xsc_Channel: how the person may be reached.
    SafeChannel = ours::SAFE_CHANNEL;
    /// xcn_Class: what a consent is for.
    ConsentPurpose = ours::CONSENT_PURPOSE;
    /// xcn_GivenBy.
    ConsentGivenBy = ours::CONSENT_GIVEN_BY;
    /// xcn_ChildView.
    ChildView = ours::CHILD_VIEW;
    /// xcn_Form.
    ConsentForm = ours::CONSENT_FORM;
    /// xcn_Withhold: from whom.
    WithholdFrom = ours::WITHHOLD_FROM;
    /// xcn_WithholdReason.
    WithholdReason = ours::WITHHOLD_REASON;
    /// xcn_Status.
    ConsentStatus = ours::CONSENT_STATUS;
    /// The twelve data classes, each encrypted, consented and erased by itself.
    DataClass = ours::DATA_CLASS;
    /// xrk_Level.
    RiskLevel = ours::RISK_LEVEL;
    /// xrk_Source.
    RiskSource = ours::RISK_SOURCE;
    /// xrk_HomeSafe and other three-way answers.
    YesNoUnknown = ours::YES_NO_UNKNOWN;
    /// xrn_Services: spl_Type and what a return needs besides.
    Service = ours::SERVICE;
    /// xrn_Urgency.
    Urgency = ours::URGENCY;
    /// xrn_Voluntary.
    Voluntary = ours::VOLUNTARY;
    /// xrs_Answer.
    Answer = ours::ANSWER;
    /// xrs_DeclineReason.
    DeclineReason = ours::DECLINE_REASON;
    /// Who pays for an offered service.
    PaidBy = ours::PAID_BY;
    /// xch_GuardianStatus.
    GuardianStatus = ours::GUARDIAN_STATUS;
    /// xch_BestInterests.
    BestInterests = ours::BEST_INTERESTS;
    /// xch_FamilyAssessment.
    FamilyAssessment = ours::FAMILY_ASSESSMENT;
    /// What became of a planned departure.
    DepartureOutcome = ours::DEPARTURE_OUTCOME;
    /// xar_Result.
    ArrivalResult = ours::ARRIVAL_RESULT;
    /// What the person needs at once on arrival.
    NeedsNow = ours::NEEDS_NOW;
    /// How a search for someone who did not arrive ended.
    MissingOutcome = ours::MISSING_OUTCOME;
    /// xfu_Contact.
    FollowUpContact = ours::FOLLOW_UP_CONTACT;
    /// xfu_Phase.
    FollowUpPhase = ours::FOLLOW_UP_PHASE;
    /// The domains a follow-up asks about.
    FollowUpDomain = ours::FOLLOW_UP_DOMAIN;
    /// The value of one follow-up domain.
    FollowUpValue = ours::FOLLOW_UP_VALUE;
    /// xfu_ReTraffickingConcern.
    ReTraffickingConcern = ours::RE_TRAFFICKING_CONCERN;
    /// xcl_Reason.
    ClosureReason = ours::CLOSURE_REASON;
    /// xct_Kind.
    CourtKind = ours::COURT_KIND;
    /// xct_PersonDecision.
    CourtDecision = ours::COURT_DECISION;
    /// The acting person's role in a case message.
    ActorRole = ours::ACTOR_ROLE;
}

/// Whether `code` is a value of `list`, letter for letter.
#[must_use]
pub fn is_valid(list: List, code: &str) -> bool {
    find(list, code).is_some()
}

/// The value of `list` with this code, letter for letter.
#[must_use]
pub fn find(list: List, code: &str) -> Option<&'static Code> {
    list.codes().iter().find(|c| c.code == code)
}

/// The code that `text` names in `list`: a code, a label or a known alias, whatever its case and spacing.
///
/// `None` when it is none of these, or when it could be two of them. Never the nearest.
#[must_use]
pub fn from_label(list: List, text: &str) -> Option<&'static str> {
    INDEXES.get(&list)?.find(text)
}

/// What a person reads for a code; `None` for a code the list does not hold.
#[must_use]
pub fn label(list: List, code: &str) -> Option<&'static str> {
    find(list, code).map(|c| c.label)
}

/// The code a system that knows only the published HTCDS understands; `None` when it has no place for this one.
#[must_use]
pub fn published(list: List, code: &str) -> Option<&'static str> {
    let code = find(list, code)?;
    match code.export {
        None => Some(code.code),
        Some(Export::As(other)) => Some(other),
        Some(Export::LeftOut) => None,
    }
}

/// `text` in the one form in which two spellings of a label are compared: trimmed, single blanks, lower case.
///
/// Blanks are Unicode's, so the no-break space after "Feminine" in the standard's own file goes too.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        // A typographic apostrophe is what some spreadsheets make of a plain one.
        out.extend(word.chars().map(|c| if c == '\u{2019}' { '\'' } else { c }).flat_map(char::to_lowercase));
    }
    out
}

/// Something with a code and several names: a list value, a country, a language.
trait Named {
    /// The one code that is stored and sent.
    fn code(&self) -> &'static str;
    /// Code spellings, matched letter for letter: "No" in a cell must not become Norway.
    fn spellings(&self) -> impl Iterator<Item = &'static str>;
    /// Names, matched whatever their case and spacing.
    fn names(&self) -> impl Iterator<Item = &'static str>;
}

impl Named for Code {
    fn code(&self) -> &'static str {
        self.code
    }

    fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.code)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.code, self.label].into_iter().chain(self.aliases.iter().copied())
    }
}

/// How texts find codes: spellings letter for letter, names in their plain form. `None` marks a text that two entries claim.
struct Index {
    spellings: BTreeMap<&'static str, &'static str>,
    names: BTreeMap<String, Option<&'static str>>,
}

impl Index {
    fn of<T: Named>(table: &[T]) -> Self {
        let mut index = Self { spellings: BTreeMap::new(), names: BTreeMap::new() };
        for entry in table {
            index.spellings.extend(entry.spellings().map(|spelling| (spelling, entry.code())));
            for name in entry.names() {
                let claim = index.names.entry(plain(name)).or_insert(Some(entry.code()));
                if *claim != Some(entry.code()) {
                    *claim = None;
                }
            }
        }
        index
    }

    /// The code of the one entry that `text` names; `None` for none and for two.
    fn find(&self, text: &str) -> Option<&'static str> {
        let exact = self.spellings.get(text.trim()).copied();
        exact.or_else(|| self.names.get(Zeroizing::new(plain(text)).as_str()).copied().flatten())
    }
}

/// One index a list. Built once: an import asks a hundred thousand times.
static INDEXES: LazyLock<BTreeMap<List, Index>> =
    LazyLock::new(|| List::ALL.iter().map(|list| (*list, Index::of(list.codes()))).collect());

/// A published code.
const fn code(code: &'static str, label: &'static str) -> Code {
    Code { code, label, aliases: &[], export: None }
}

/// A published code with other spellings.
const fn also(code: &'static str, label: &'static str, aliases: &'static [&'static str]) -> Code {
    Code { code, label, aliases, export: None }
}

/// A code of ours, left out of a plain HTCDS export.
const fn own(code: &'static str, label: &'static str) -> Code {
    Code { code, label, aliases: &[], export: Some(Export::LeftOut) }
}

/// A code of ours in a published list, exported as a published one.
const fn own_as(
    code: &'static str,
    label: &'static str,
    aliases: &'static [&'static str],
    export: &'static str,
) -> Code {
    Code { code, label, aliases, export: Some(Export::As(export)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_label_and_alias_of_every_list_finds_its_own_code_and_no_other() {
        for &list in List::ALL {
            assert!(!list.codes().is_empty(), "{list:?} is empty");
            for entry in list.codes() {
                for name in entry.names() {
                    assert_eq!(from_label(list, name), Some(entry.code), "{list:?}: {name}");
                    assert_eq!(from_label(list, &format!("  {}\u{a0} ", name.to_uppercase())), Some(entry.code));
                }
                assert!(is_valid(list, entry.code) && label(list, entry.code) == Some(entry.label));
            }
            let codes: BTreeSet<_> = list.codes().iter().map(|c| c.code).collect();
            assert_eq!(codes.len(), list.codes().len(), "{list:?} holds a code twice");
        }
    }

    #[test]
    fn published_misspellings_are_kept_and_their_right_spelling_finds_them() {
        assert!(is_valid(List::RelationshipToTrafficker, "Unaquainted"));
        assert!(!is_valid(List::RelationshipToTrafficker, "Unacquainted"));
        assert_eq!(from_label(List::RelationshipToTrafficker, "Unacquainted"), Some("Unaquainted"));
        assert_eq!(from_label(List::MethodsOfControl, "DebtBondage "), Some("DebtBondage"));
        assert_eq!(from_label(List::MethodsOfControl, "Threats"), Some("PhysicalThreats"));
        assert_eq!(from_label(List::MethodsOfControl, "ThreatOfLawEnforcement"), Some("ThreatsLawEnforcement"));
        assert_eq!(from_label(List::MethodsOfControl, "PsychoactiveSubstances"), Some("PsychoactiveSubstance"));
        assert_eq!(from_label(List::Gender, "Feminine\u{a0}"), Some("Feminine"));
    }

    #[test]
    fn codes_of_ours_in_published_lists_are_mapped_away_on_export() {
        assert_eq!(published(List::TypeOfExploitation, "x_ForcedCriminality"), Some("Other"));
        assert_eq!(from_label(List::TypeOfExploitation, "Illicit activities"), Some("x_ForcedCriminality"));
        assert_eq!(published(List::MethodsOfControl, "x_UsesChildren"), Some("Other"));
        assert_eq!(published(List::MethodsOfControl, "TakesEarnings"), Some("TakesEarnings"));
        assert_eq!(published(List::RiskLevel, "High"), None);
        for &list in List::ALL {
            for entry in list.codes() {
                if let Some(Export::As(other)) = entry.export {
                    assert!(find(list, other).is_some_and(|c| c.export.is_none()), "{list:?}: {}", entry.code);
                }
            }
        }
    }

    #[test]
    fn a_name_that_two_entries_claim_finds_neither_and_its_codes_still_find_both() {
        let index = Index::of(&[also("A", "First", &["Shared"]), also("B", "Second", &["shared "])]);
        assert_eq!(
            ["A", "second", "Shared", "SHARED"].map(|text| index.find(text)),
            [Some("A"), Some("B"), None, None]
        );
    }

    #[test]
    fn nothing_is_guessed() {
        for text in ["", " ", "Feminin", "female", "Fem", "Other!", "Feminine;Masculine"] {
            assert_eq!(from_label(List::Gender, text), None, "{text}");
        }
        assert_eq!(country_from_label("No"), None, "an answer is not Norway");
        assert_eq!(country_from_label("no"), None);
        assert_eq!(country_from_label("Yugoslavia"), None);
        assert_eq!(language_from_label("Serbo-Croatian"), None);
        assert_eq!(language_from_label("NO"), None);
    }

    #[test]
    fn countries_are_found_by_both_codes_and_by_name_and_kosovo_is_there() {
        assert_eq!(COUNTRIES.len(), 250);
        for country in COUNTRIES {
            for name in country.spellings().chain(country.names()) {
                assert_eq!(country_from_label(name), Some(country.alpha2), "{name}");
            }
            assert!(country.alpha2.len() == 2 && country.alpha3.len() == 3);
        }
        assert_eq!(country_from_label("moldova, republic of"), Some("MD"));
        assert_eq!(country_from_label("Moldova"), Some("MD"));
        assert_eq!(country_from_label("MDA"), Some("MD"));
        assert_eq!(country_from_label("Kosovo"), Some("XK"));
        assert_eq!(country_from_label("NO"), Some("NO"));
        assert!(is_country("XK") && !is_country("MDA") && !is_country("Moldova"));
        assert_eq!(country_name("MK"), Some("North Macedonia"));
    }

    #[test]
    fn languages_are_found_by_all_three_codes_and_by_name() {
        for language in LANGUAGES {
            for name in language.spellings().chain(language.names()) {
                assert_eq!(language_from_label(name), Some(language.code), "{name}");
            }
        }
        for text in ["ron", "rum", "ro", "Romanian", "Moldovan", "romanian; moldavian; moldovan"] {
            assert_eq!(language_from_label(text), Some("ron"), "{text}");
        }
        assert_eq!(language_from_label("alb"), Some("sqi"));
        assert_eq!(language_from_label("Montenegrin"), Some("cnr"));
        assert!(is_language("mkd") && !is_language("mac") && !is_language("mk"));
        assert_eq!(language_name("sqi"), Some("Albanian"));
    }

    #[test]
    fn list_lengths_are_those_of_the_standard() {
        let own = |list: List| list.codes().iter().filter(|c| c.export.is_none()).count();
        let expected: BTreeMap<List, usize> = BTreeMap::from([
            (List::OrganisationType, 9),
            (List::Gender, 6),
            (List::MaritalStatus, 6),
            (List::Education, 9),
            (List::TraffickingStatus, 3),
            (List::StatusDecidedBy, 5),
            (List::RelationshipToTrafficker, 3),
            (List::MethodOfRecruitment, 10),
            (List::WebsitesAndApps, 15),
            (List::MethodsOfControl, 16),
            (List::TypeOfExploitation, 11),
            (List::ForcedLabourIndustry, 21),
            (List::TypeOfSexExploitation, 4),
            (List::Vulnerabilities, 12),
            (List::RoleInProcess, 15),
            (List::CaseStatus, 4),
            (List::ReferralReason, 3),
            (List::EventType, 3),
            (List::SupportType, 9),
        ]);
        for (list, count) in expected {
            assert_eq!(own(list), count, "{list:?}");
        }
    }
}
