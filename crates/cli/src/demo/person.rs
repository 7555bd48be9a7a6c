//! Whose case the demo carries: an invented person, or one row of a workbook. What a workbook lacks is taken from
//! `--with` or from a demo default, and every such value is listed.

use std::path::Path;

use clearhouse_casework::forms::{ConsentForm, ContactForm, FieldForm, NoticeForm, PartForm, show_day};
use clearhouse_casework::htcds::{CaseRow, FILE_MAX, ReadOptions};
use clearhouse_protocol::limits::DAY;

use super::Failure;
use crate::files;
use crate::forms::FORM_MAX;
use crate::trouble::{Code, Trouble};
use crate::workbook::read_quietly;

/// Names that are planted in the demo's case and searched for where they must not be.
const INVENTED: [(&str, &str, &str, &str); 4] = [
    ("Lidia", "Munteanu", "Лидия Мунтяну", "ron"),
    ("Mirela", "Dragomir", "Мирела Драгомир", "ron"),
    ("Светлана", "Ковальчук", "Svitlana Kovalchuk", "ukr"),
    ("Ilinca", "Șerban-Țurcanu", "Илинка Шербан", "ron"),
];

/// One case, ready to be sent.
pub(crate) struct Person {
    pub(crate) notice: NoticeForm,
    pub(crate) parts: Vec<PartForm>,
    /// Texts that must be found nowhere but at the two desks.
    pub(crate) canaries: Vec<String>,
    /// Values that came from no workbook: field and where from.
    pub(crate) filled: Vec<(String, &'static str)>,
    /// Where the case comes from, in words.
    pub(crate) source: String,
}

impl Person {
    /// An invented person, the same for the same seed.
    pub(crate) fn invented(seed: u64, now: u64) -> Self {
        let pick = usize::try_from(seed % INVENTED.len() as u64).unwrap_or(0);
        let (first, second, script, language) = INVENTED[pick];
        let mut notice = defaults(now);
        notice.languages = vec![language.to_owned()];
        let text = |field: &str, value: &str| FieldForm {
            field: field.to_owned(),
            values: vec![value.to_owned()],
            null_reason: String::new(),
        };
        let identity = vec![
            text("prs_FirstName", first),
            text("prs_SecondName", second),
            text("prs_Birthdate", "1998-04-12"),
            text("xpr_NameOriginalScript", script),
        ];
        let needs = vec![text("prs_PrimaryLanguage", language)];
        let parts = vec![
            PartForm { data_class: "Identity".to_owned(), fields: identity },
            PartForm { data_class: "Needs".to_owned(), fields: needs },
        ];
        let canaries = vec![first.to_owned(), second.to_owned(), script.to_owned(), "1998-04-12".to_owned()];
        Self { notice, parts, canaries, filled: vec![], source: "an invented person".to_owned() }
    }

    /// The `row`-th data row of a workbook.
    pub(crate) fn from_workbook(file: &Path, row: usize, with: Option<&Path>, now: u64) -> Result<Self, Failure> {
        let not_started = |code, trouble: Trouble| Failure::new(code, format!("{} Nothing was started.", trouble.text));
        let bytes = files::read(file, FILE_MAX, Code::Workbook).map_err(|e| not_started("CH-E0101", e))?;
        let today: jiff::civil::Date = show_day(now / DAY).parse().map_err(|_| Failure::bug("today"))?;
        let import = read_quietly(&bytes, &ReadOptions::new(today))
            .map_err(|e| Failure::new("CH-E0102", format!("The workbook cannot be used: {e}. Nothing was started.")))?;
        let case = row.checked_sub(1).and_then(|i| import.rows.get(i)).ok_or_else(|| {
            let text = format!("The workbook has {} data rows; there is no row {row}.", import.rows.len());
            Failure::new("CH-E0103", text)
        })?;
        let with: toml::Table = match with {
            None => toml::Table::new(),
            Some(path) => {
                let bytes = files::read(path, FORM_MAX, Code::Form).map_err(|e| not_started("CH-E0104", e))?;
                std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                    Failure::new("CH-E0104", "The file of --with cannot be read as TOML. Nothing was started.")
                })?
            }
        };
        Self::fold(case, today, &with, row, now)
    }

    fn fold(
        case: &CaseRow,
        today: jiff::civil::Date,
        with: &toml::Table,
        row: usize,
        now: u64,
    ) -> Result<Self, Failure> {
        let suggested = case.notice_suggestions(today);
        let mut notice = defaults(now);
        if suggested.age_status != Some("Adult") {
            notice.worker.role = "ChildOfficer".to_owned();
        }
        let mut filled = Vec::new();
        {
            let mut one = |name: &str, slot: &mut String, from_row: Option<&'static str>| {
                if let Some(value) = with.get(name).and_then(toml::Value::as_str) {
                    *slot = value.to_owned();
                    filled.push((name.to_owned(), "--with"));
                } else if let Some(value) = from_row {
                    *slot = value.to_owned();
                } else if !slot.is_empty() {
                    filled.push((name.to_owned(), "demo default"));
                }
            };
            one("age_band", &mut notice.age_band, suggested.age_band);
            one("age_status", &mut notice.age_status, suggested.age_status);
            one("age_basis", &mut notice.age_basis, suggested.age_basis);
            one("gender", &mut notice.gender, suggested.gender);
            one("trafficking_status", &mut notice.trafficking_status, suggested.trafficking_status);
            one("status_decided_by", &mut notice.status_decided_by, suggested.status_decided_by);
            one("referral_reason", &mut notice.referral_reason, suggested.referral_reason);
            one("risk_level", &mut notice.risk_level, suggested.risk_level);
            one("guardian_status", &mut notice.guardian_status, suggested.guardian_status);
            one("best_interests", &mut notice.best_interests, suggested.best_interests);
            one("country", &mut notice.country, None);
            one("region", &mut notice.region, None);
            one("urgency", &mut notice.urgency, None);
            one("voluntary", &mut notice.voluntary, None);
            one("window_from", &mut notice.window_from, None);
            one("window_to", &mut notice.window_to, None);
        }
        // A child's notice says where the best-interests decision stands; undecided is the honest default.
        if notice.age_status != "Adult" && notice.best_interests.is_empty() {
            notice.best_interests = "Pending".to_owned();
            filled.push(("best_interests".to_owned(), "demo default"));
        }
        list("citizenship", &mut notice.citizenship, &suggested.citizenship, &mut filled);
        list("languages", &mut notice.languages, &suggested.languages, &mut filled);
        list("services", &mut notice.services, &suggested.services, &mut filled);
        filled.push(("alternatives_explained".to_owned(), "demo default"));
        let draft = case.to_profile_parts();
        let parts: Vec<PartForm> = draft.parts.iter().map(PartForm::of).collect();
        if parts.is_empty() {
            return Err(Failure::new("CH-E0105", "The row holds nothing that a profile could carry."));
        }
        let canaries = ["prs_FirstName", "prs_SecondName", "prs_MobilePhone", "prs_Birthdate", "prs_IdentityNumber"]
            .iter()
            .filter_map(|f| case.value(f))
            .filter(|v| v.chars().count() >= 4)
            .map(str::to_owned)
            .collect();
        Ok(Self { notice, parts, canaries, filled, source: format!("row {row} of the workbook") })
    }

    /// The data classes of the profile.
    pub(crate) fn classes(&self) -> Vec<String> {
        self.parts.iter().map(|p| p.data_class.clone()).collect()
    }

    /// True when the adult path is closed.
    pub(crate) fn is_child(&self) -> bool {
        self.notice.age_status != "Adult"
    }

    /// A consent for one purpose.
    pub(crate) fn consent(&self, purpose: &str, data_classes: Vec<String>) -> ConsentForm {
        ConsentForm {
            purpose: purpose.to_owned(),
            data_classes,
            given_by: if self.is_child() { "PersonWithGuardian" } else { "Person" }.to_owned(),
            child_view: if self.is_child() { "Agrees" } else { "" }.to_owned(),
            form: "OralWitnessed".to_owned(),
            language: self.notice.languages.first().cloned().unwrap_or_else(|| "ron".to_owned()),
            interpreter_used: false,
            given_at: None,
            expires: None,
        }
    }
}

fn list(name: &str, slot: &mut Vec<String>, from_row: &[&'static str], filled: &mut Vec<(String, &'static str)>) {
    if from_row.is_empty() {
        filled.push((name.to_owned(), "demo default"));
    } else {
        *slot = from_row.iter().map(|s| (*s).to_owned()).collect();
    }
}

fn defaults(now: u64) -> NoticeForm {
    let text = |s: &str| s.to_owned();
    NoticeForm {
        age_band: text("27--29"),
        age_status: text("Adult"),
        age_basis: text("Declared"),
        gender: text("Feminine"),
        citizenship: vec![text("MD")],
        languages: vec![text("ron")],
        dependant_bands: vec![],
        window_from: show_day(now / DAY + 14),
        window_to: show_day(now / DAY + 28),
        country: text("MD"),
        region: text("MD-CU"),
        services: vec![text("Shelter"), text("Legal")],
        risk_level: text("Medium"),
        urgency: text("Routine"),
        voluntary: text("Voluntary"),
        alternatives_explained: true,
        reflection_ends: None,
        wishes_to_go_earlier: false,
        trafficking_status: text("ActualVictimOfTrafficking"),
        status_decided_by: text("NGO"),
        referral_reason: text("MigrationOrChangeOfLocation"),
        worker: ContactForm { label: text("Elena R."), role: text("Caseworker") },
        alternate: ContactForm { label: text("Paola G."), role: text("Manager") },
        guardian_status: String::new(),
        best_interests: String::new(),
    }
}
