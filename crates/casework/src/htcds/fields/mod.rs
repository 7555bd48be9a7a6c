//! The fields: the 84 of HTCDS v2.0 and those of ours a victim profile needs, with what may stand in each.
//!
//! One table says for every field its type, its limits, where it may travel and, for a victim profile, in which data
//! class. What the table calls [`Sharing::Local`] never leaves the local case file: no consent unlocks it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

mod check;
mod table;

pub use check::{FieldFault, check, clean_text};
pub(crate) use check::{day_of, parse_date};
pub use table::FIELDS;

use super::codes::{List, plain};

/// Most values one field holds.
pub const VALUES_MAX: usize = 40;
/// Longest one-line text, in characters.
pub const TEXT_MAX_CHARS: usize = 200;
/// Longest free text, in characters.
pub const LONG_TEXT_MAX_CHARS: usize = 4000;
/// Longest e-mail address, in bytes (RFC 5321, path without brackets).
pub const EMAIL_MAX: usize = 254;
/// Most digits of a phone number (ITU-T E.164).
pub const PHONE_DIGITS_MAX: usize = 15;
/// Oldest age a person may have.
pub const AGE_MAX: u32 = 120;
/// Most children a person may have.
pub const CHILDREN_MAX: u32 = 30;
/// No date of a case lies before this year.
pub const YEAR_MIN: i16 = 1900;
/// No date of a case lies after this year.
pub const YEAR_MAX: i16 = 2100;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    /// One line, at most [`TEXT_MAX_CHARS`].
    Text,
    /// Several lines of one text each, every one at most [`TEXT_MAX_CHARS`].
    Texts,
    /// Free text, at most [`LONG_TEXT_MAX_CHARS`].
    LongText,
    /// A calendar day, `YYYY-MM-DD`.
    Date(When),
    /// A whole number from 0 to the limit.
    Number(u32),
    /// Degrees, decimal, from minus to plus the limit.
    Degrees(u32),
    /// `true` or `false`.
    Checkbox,
    /// One code of a list.
    Picklist(List),
    /// Several codes of a list, each once.
    Multi(List),
    /// One country, ISO 3166-1 alpha-2 or `XK`.
    Country,
    /// Several countries, each once.
    Countries,
    /// One language, ISO 639-2 terminology code.
    Language,
    /// A phone number, ITU-T E.164 as the standard's own pattern has it.
    Phone,
    /// An e-mail address.
    Email,
}

impl FieldType {
    /// Whether values come from a closed list, so that a text either is one of them or is wrong.
    #[must_use]
    pub fn is_closed(self) -> bool {
        match self {
            Self::Picklist(_) | Self::Multi(_) | Self::Country | Self::Countries | Self::Language | Self::Checkbox => {
                true
            }
            Self::Text
            | Self::Texts
            | Self::LongText
            | Self::Date(_)
            | Self::Number(_)
            | Self::Degrees(_)
            | Self::Phone
            | Self::Email => false,
        }
    }

    /// Whether a person writes free words here.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Texts | Self::LongText)
    }

    /// Most values a field of this type holds.
    #[must_use]
    pub fn values_max(self) -> usize {
        match self {
            Self::Texts | Self::Multi(_) | Self::Countries => VALUES_MAX,
            Self::Text
            | Self::LongText
            | Self::Date(_)
            | Self::Number(_)
            | Self::Degrees(_)
            | Self::Checkbox
            | Self::Picklist(_)
            | Self::Country
            | Self::Language
            | Self::Phone
            | Self::Email => 1,
        }
    }
}

/// Where in time a date may lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// It has happened: not after today.
    Past,
    /// It may be planned.
    Any,
}

/// The twelve data classes of a victim profile: each encrypted, consented, kept and erased by itself (domain.md a.12).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DataClass {
    /// Who the person is.
    Identity,
    /// How the person may be reached.
    Contact,
    /// What the person needs.
    Needs,
    /// What endangers the person.
    Risk,
    /// Health.
    Health,
    /// What was done to the person, in codes.
    Trafficking,
    /// Forms of sexual exploitation; always by a consent of its own.
    SexualExploitationDetail,
    /// Family and, for a child, those who decide for it.
    Family,
    /// Papers.
    Documents,
    /// The journey.
    Travel,
    /// Proceedings.
    Legal,
    /// What became of it.
    Outcome,
}

impl DataClass {
    /// All classes, in the order of [`List::DataClass`].
    pub const ALL: [Self; 12] = [
        Self::Identity,
        Self::Contact,
        Self::Needs,
        Self::Risk,
        Self::Health,
        Self::Trafficking,
        Self::SexualExploitationDetail,
        Self::Family,
        Self::Documents,
        Self::Travel,
        Self::Legal,
        Self::Outcome,
    ];

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::Contact => "Contact",
            Self::Needs => "Needs",
            Self::Risk => "Risk",
            Self::Health => "Health",
            Self::Trafficking => "Trafficking",
            Self::SexualExploitationDetail => "SexualExploitationDetail",
            Self::Family => "Family",
            Self::Documents => "Documents",
            Self::Travel => "Travel",
            Self::Legal => "Legal",
            Self::Outcome => "Outcome",
        }
    }

    /// The class of a code on the wire.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.code() == code)
    }
}

/// What a victim profile may do with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// It travels in the profile part of this class, with a consent that names the class.
    Part(DataClass),
    /// It stays in the local case file and never leaves (`LOC`).
    Local,
    /// It travels, but not in a profile: in a notice, a header, a directory entry or a follow-up.
    Elsewhere,
}

/// Where domain.md section (a) places a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// Directory entry.
    Dir,
    /// Return notice.
    Rn,
    /// Victim profile.
    Vp,
    /// Risk and needs annex.
    Ra,
    /// Follow-up.
    Fu,
    /// Hotline tip.
    Tip,
    /// Statistics, after generalisation.
    St,
    /// Local case file only.
    Loc,
    /// Message header.
    Hdr,
}

/// One field of the standard or of ours.
pub struct Field {
    /// The system name, prefix included.
    pub name: &'static str,
    /// What forms print over it, the published label first.
    pub labels: &'static [&'static str],
    /// Other spellings of the system name in the standard's own files.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub kind: FieldType,
    /// In the standard's minimum set.
    pub core: bool,
    /// Withdrawn by the standard: read on import, never sent.
    pub deprecated: bool,
    /// Where it may go.
    pub placement: &'static [Placement],
    /// What a victim profile does with it.
    pub sharing: Sharing,
}

impl Field {
    /// The published label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.labels.first().copied().unwrap_or(self.name)
    }

    /// Whether the field is of the standard, not of ours.
    #[must_use]
    pub fn is_published(&self) -> bool {
        !self.name.starts_with('x')
    }

    /// Whether it is a tick-box about consent. No such box ever becomes a consent to share (decision 29).
    #[must_use]
    pub fn is_consent_box(&self) -> bool {
        matches!(self.name, "con_Consent" | "vic_AgreementToManagePersonalData")
    }
}

/// The field with exactly this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.name == name)
}

/// The field a column name means: its name or a known misspelling of it, whatever the case.
#[must_use]
pub fn by_name(text: &str) -> Option<&'static Field> {
    BY_NAME.get(&plain(text)).copied()
}

/// The fields a column label can mean. Several for a label the standard gives twice, such as "Longitude".
#[must_use]
pub fn by_label(text: &str) -> &'static [&'static Field] {
    BY_LABEL.get(&plain(text)).map_or(&[], Vec::as_slice)
}

static BY_NAME: LazyLock<BTreeMap<String, &'static Field>> = LazyLock::new(|| {
    let names = |field: &'static Field| std::iter::once(&field.name).chain(field.aliases);
    FIELDS.iter().flat_map(|field| names(field).map(move |name| (plain(name), field))).collect()
});

static BY_LABEL: LazyLock<BTreeMap<String, Vec<&'static Field>>> = LazyLock::new(|| {
    let mut index: BTreeMap<String, Vec<&'static Field>> = BTreeMap::new();
    for field in FIELDS {
        for label in field.labels {
            index.entry(plain(label)).or_default().push(field);
        }
    }
    index
});

/// The profile part a field travels in; `None` when it is unknown, local, or travels elsewhere.
#[must_use]
pub fn part_of(name: &str) -> Option<DataClass> {
    match find(name)?.sharing {
        Sharing::Part(class) => Some(class),
        Sharing::Local | Sharing::Elsewhere => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::htcds::codes;

    #[test]
    fn the_table_has_the_84_fields_of_the_standard_40_of_them_core_and_3_deprecated() {
        let published = || FIELDS.iter().filter(|f| f.is_published());
        let of = |prefix: &str| published().filter(|f| f.name.starts_with(prefix)).count();
        assert_eq!(published().count(), 84);
        assert_eq!(published().filter(|f| f.core).count(), 40);
        assert_eq!(published().filter(|f| f.deprecated).count(), 3);
        let counts = ["org_", "prs_", "vic_", "per_", "cas_", "cco_", "hte_", "spl_", "con_"].map(of);
        assert_eq!(counts, [10, 25, 16, 3, 13, 1, 10, 5, 1]);
    }

    #[test]
    fn names_and_aliases_are_unique_and_find_their_field() {
        let mut seen = BTreeSet::new();
        for field in FIELDS {
            for name in std::iter::once(&field.name).chain(field.aliases) {
                assert!(seen.insert(plain(name)), "{name} stands twice");
                assert_eq!(by_name(name).map(|f| f.name), Some(field.name));
            }
            assert!(by_label(field.label()).iter().any(|f| f.name == field.name), "{}", field.name);
        }
        assert_eq!(
            by_name("vic_TraffickinStatusDecisionMakingOrg").unwrap().name,
            "vic_TraffickingStatusDecisionMakingOrg"
        );
        assert_eq!(by_name(" PRS_first_name ").unwrap().name, "prs_FirstName");
    }

    #[test]
    fn a_field_placed_local_only_is_never_in_a_profile_and_a_deprecated_one_neither() {
        for field in FIELDS {
            let only_local = field.placement.iter().all(|p| matches!(p, Placement::Loc | Placement::Tip));
            if only_local || field.deprecated {
                assert_eq!(field.sharing, Sharing::Local, "{}", field.name);
            }
            if let Sharing::Part(class) = field.sharing {
                let may = field.placement.iter().any(|p| matches!(p, Placement::Vp | Placement::Ra | Placement::Rn));
                assert!(may, "{} is in part {} without a place for it", field.name, class.code());
            }
        }
        for name in [
            "prs_IdentityNumber",
            "prs_HomePhone",
            "prs_MailingStreet",
            "hte_Description",
            "con_Consent",
            "cco_CaseComment",
        ] {
            assert_eq!(part_of(name), None, "{name}");
            assert_eq!(find(name).unwrap().sharing, Sharing::Local, "{name}");
        }
        assert_eq!(part_of("vic_TypeOfSexExploitation"), Some(DataClass::SexualExploitationDetail));
        assert_eq!(part_of("prs_FirstName"), Some(DataClass::Identity));
    }

    #[test]
    fn perpetrator_fields_never_enter_a_victim_message() {
        for field in FIELDS.iter().filter(|f| f.name.starts_with("per_")) {
            assert_eq!(field.sharing, Sharing::Local, "{}", field.name);
        }
    }

    #[test]
    fn data_classes_are_those_of_the_list() {
        let list: Vec<_> = codes::List::DataClass.codes().iter().map(|c| c.code).collect();
        assert_eq!(DataClass::ALL.map(DataClass::code).to_vec(), list);
        assert!(DataClass::ALL.into_iter().all(|c| DataClass::from_code(c.code()) == Some(c)));
    }
}
