//! What a person fills in, as a file or a page has it, and how it becomes a message. Refuses unknown keys by name.
//!
//! Forms hold days as `2026-12-01` and codes as published; a message holds numbers and signed due times. Whether the
//! result keeps the rules is asked of [`crate::body`] and of the case, here only what cannot be read is refused.

use clearhouse_protocol::ids::{ConsentId, OrgId};
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1 as wire;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::consent::default_expiry;
use crate::deadlines::{Deadlines, Rule, Zone};

/// Why a form cannot be read. Names the field, never what was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormFault {
    /// A day that is not `YYYY-MM-DD`.
    #[error("`{0}` must be a day such as 2026-12-01")]
    Day(&'static str),
    /// A time that is not `YYYY-MM-DDTHH:MMZ`.
    #[error("`{0}` must be a time such as 2026-12-01T14:30Z")]
    Time(&'static str),
    /// A field that must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
}

/// Reads `2026-12-01` as unix days.
fn day(text: &str, field: &'static str) -> Result<u32, FormFault> {
    let date: Date = text.parse().map_err(|_| FormFault::Day(field))?;
    let since = date.to_zoned(TimeZone::UTC).map_err(|_| FormFault::Day(field))?.timestamp().as_second();
    u32::try_from(since / i64::try_from(DAY).unwrap_or(i64::MAX)).map_err(|_| FormFault::Day(field))
}

fn days(text: &Option<String>, field: &'static str) -> Result<u32, FormFault> {
    text.as_deref().map_or(Ok(0), |t| day(t, field))
}

/// Reads a time in UTC as unix seconds.
fn time(text: &str, field: &'static str) -> Result<u64, FormFault> {
    let with_seconds = text.strip_suffix('Z').filter(|t| t.len() == 16).map(|t| format!("{t}:00Z"));
    let timestamp: jiff::Timestamp =
        with_seconds.as_deref().unwrap_or(text).parse().map_err(|_| FormFault::Time(field))?;
    u64::try_from(timestamp.as_second()).map_err(|_| FormFault::Time(field))
}

/// Writes unix seconds as `2026-12-01T14:30Z`.
#[must_use]
pub fn show_time(at: u64) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(String::new, |t| t.strftime("%Y-%m-%dT%H:%MZ").to_string())
}

/// Writes unix days as `2026-12-01`.
#[must_use]
pub fn show_day(day: u64) -> String {
    show_time(day.saturating_mul(DAY)).chars().take(10).collect()
}

/// A worker as the other side reads her.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactForm {
    /// "Ana P."
    pub label: String,
    /// Caseworker, Manager, ChildOfficer.
    pub role: String,
}

impl From<ContactForm> for wire::Contact {
    fn from(form: ContactForm) -> Self {
        Self { label: form.label, role: form.role }
    }
}

/// A consent, M16. The receiver is the case's own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentForm {
    /// xcn_Class: ShareNotice, ShareProfile, ShareHealth, ShareTravel ...
    pub purpose: String,
    /// Data classes it covers, for purposes given class by class.
    #[serde(default)]
    pub data_classes: Vec<String>,
    /// Person, Guardian, PersonWithGuardian.
    pub given_by: String,
    /// Agrees, Objects, TooYoung, NotAsked; for a child.
    #[serde(default)]
    pub child_view: String,
    /// Written, OralWitnessed, Recorded.
    pub form: String,
    /// ISO 639-2.
    pub language: String,
    /// Whether an interpreter helped.
    #[serde(default)]
    pub interpreter_used: bool,
    /// When it was given; now when left out.
    #[serde(default)]
    pub given_at: Option<String>,
    /// When it ends; the network's default when left out.
    #[serde(default)]
    pub expires: Option<String>,
}

impl ConsentForm {
    /// The consent, naming `receiver`, with a new id.
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn build(
        self,
        receiver: OrgId,
        deadlines: &Deadlines,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<wire::Consent, FormFault> {
        let mut id = [0u8; 16];
        rng.fill_bytes(&mut id);
        let given_at = self.given_at.as_deref().map_or(Ok(now), |t| time(t, "given_at"))?;
        let expires_at = match self.expires.as_deref() {
            Some(text) => u64::from(day(text, "expires")?) * DAY,
            None => default_expiry(deadlines, given_at),
        };
        Ok(wire::Consent {
            id: ConsentId(id).to_vec(),
            purpose: self.purpose,
            recipient_org: receiver.to_vec(),
            data_classes: self.data_classes,
            given_by: self.given_by,
            child_view: self.child_view,
            form: self.form,
            language: self.language,
            interpreter_used: self.interpreter_used,
            given_at,
            expires_at,
            withhold: vec![],
        })
    }
}

/// A return notice, M02.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the field of the same name in ReturnNotice")]
pub struct NoticeForm {
    pub age_band: String,
    pub age_status: String,
    pub age_basis: String,
    pub gender: String,
    pub citizenship: Vec<String>,
    pub languages: Vec<String>,
    #[serde(default)]
    pub dependant_bands: Vec<String>,
    pub window_from: String,
    pub window_to: String,
    pub country: String,
    #[serde(default)]
    pub region: String,
    pub services: Vec<String>,
    pub risk_level: String,
    pub urgency: String,
    pub voluntary: String,
    pub alternatives_explained: bool,
    #[serde(default)]
    pub reflection_ends: Option<String>,
    #[serde(default)]
    pub wishes_to_go_earlier: bool,
    pub trafficking_status: String,
    #[serde(default)]
    pub status_decided_by: String,
    pub referral_reason: String,
    pub worker: ContactForm,
    pub alternate: ContactForm,
    #[serde(default)]
    pub guardian_status: String,
    #[serde(default)]
    pub best_interests: String,
}

impl NoticeForm {
    /// The notice, with its due times computed once, here, by the side that starts the clocks (decision 30).
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn build(
        self,
        supersedes: Option<clearhouse_protocol::ids::MsgId>,
        deadlines: &Deadlines,
        zone: &Zone,
        now: u64,
    ) -> Result<wire::ReturnNotice, FormFault> {
        let emergency = self.urgency == "Emergency24h";
        let (read, answer) = if emergency {
            (Rule::AcknowledgeEmergency, Rule::AnswerEmergency)
        } else {
            (Rule::Acknowledge, Rule::Answer)
        };
        Ok(wire::ReturnNotice {
            age_band: self.age_band,
            age_status: self.age_status,
            age_basis: self.age_basis,
            gender: self.gender,
            citizenship: self.citizenship,
            languages: self.languages,
            dependant_bands: self.dependant_bands,
            window_from_day: day(&self.window_from, "window_from")?,
            window_to_day: day(&self.window_to, "window_to")?,
            country: self.country,
            region: self.region,
            services: self.services,
            risk_level: self.risk_level,
            urgency: self.urgency,
            voluntary: self.voluntary,
            alternatives_explained: self.alternatives_explained,
            reflection_ends_day: days(&self.reflection_ends, "reflection_ends")?,
            wishes_to_go_earlier: self.wishes_to_go_earlier,
            trafficking_status: self.trafficking_status,
            status_decided_by: self.status_decided_by,
            referral_reason: self.referral_reason,
            worker: Some(self.worker.into()),
            alternate: Some(self.alternate.into()),
            guardian_status: self.guardian_status,
            best_interests: self.best_interests,
            supersedes: supersedes.map(clearhouse_protocol::ids::MsgId::to_vec).unwrap_or_default(),
            acknowledge_by: Some(deadlines.due(read, now, zone)),
            answer_by: Some(deadlines.due(answer, now, zone)),
        })
    }
}

/// A service offered in an answer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the field of the same name in ServiceOffer")]
pub struct ServiceForm {
    pub service: String,
    pub start: String,
    pub days: u32,
    pub paid_by: String,
}

/// An answer, M04.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the field of the same name in Answer")]
pub struct AnswerForm {
    pub answer: String,
    #[serde(default)]
    pub decline_reason: String,
    #[serde(default)]
    pub services: Vec<ServiceForm>,
    #[serde(default)]
    pub conditions: Vec<String>,
    #[serde(default)]
    pub info_requested: Vec<String>,
    #[serde(default)]
    pub conflict_check_done: bool,
    #[serde(default)]
    pub language: String,
    #[serde(default)]
    pub child_place: bool,
    #[serde(default)]
    pub contact: Option<ContactForm>,
    #[serde(default)]
    pub alternate: Option<ContactForm>,
}

impl AnswerForm {
    /// The answer.
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn build(self) -> Result<wire::Answer, FormFault> {
        let offer = |s: ServiceForm| {
            Ok(wire::ServiceOffer {
                service: s.service,
                start_day: day(&s.start, "services.start")?,
                days: s.days,
                paid_by: s.paid_by,
            })
        };
        Ok(wire::Answer {
            answer: self.answer,
            decline_reason: self.decline_reason,
            alternative_org: vec![],
            services: self.services.into_iter().map(offer).collect::<Result<_, FormFault>>()?,
            conditions: self.conditions,
            info_requested: self.info_requested,
            conflict_check_done: self.conflict_check_done,
            language: self.language,
            child_place: self.child_place,
            contact: self.contact.map(Into::into),
            alternate: self.alternate.map(Into::into),
        })
    }
}

/// An acknowledgement, M03.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeForm {
    /// Whom to phone.
    pub contact: ContactForm,
    /// Whom to phone otherwise.
    pub alternate: ContactForm,
    /// The day an answer can be expected.
    pub expected_answer: String,
}

impl AcknowledgeForm {
    /// The acknowledgement.
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn build(self) -> Result<wire::Acknowledgement, FormFault> {
        Ok(wire::Acknowledgement {
            contact: Some(self.contact.into()),
            alternate: Some(self.alternate.into()),
            expected_answer_day: day(&self.expected_answer, "expected_answer")?,
        })
    }
}

/// One field of a profile: values, or the reason there are none.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldForm {
    /// HTCDS field name, or ours with the prefix x.
    pub field: String,
    /// Codes or text.
    #[serde(default)]
    pub values: Vec<String>,
    /// NotAsked, Unknown, Refused, WithheldByPerson, NotApplicable.
    #[serde(default)]
    pub null_reason: String,
}

/// One class of a profile.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartForm {
    /// Identity, Contact, Needs ...
    pub data_class: String,
    /// Its fields.
    #[serde(default)]
    pub fields: Vec<FieldForm>,
}

impl PartForm {
    /// The part, without attachments.
    #[must_use]
    pub fn build(self) -> wire::ProfilePart {
        let field = |f: FieldForm| wire::FieldValue { field: f.field, values: f.values, null_reason: f.null_reason };
        wire::ProfilePart {
            data_class: self.data_class,
            fields: self.fields.into_iter().map(field).collect(),
            attachments: vec![],
        }
    }

    /// A part as a form, to be shown.
    #[must_use]
    pub fn of(part: &wire::ProfilePart) -> Self {
        let field = |f: &wire::FieldValue| FieldForm {
            field: f.field.clone(),
            values: f.values.clone(),
            null_reason: f.null_reason.clone(),
        };
        Self { data_class: part.data_class.clone(), fields: part.fields.iter().map(field).collect() }
    }
}

/// A victim profile, M06.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileForm {
    /// The accepting worker's label; the contact of the answer when left out.
    #[serde(default)]
    pub for_worker: String,
    /// Its classes.
    pub parts: Vec<PartForm>,
}

/// A departure, M09.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepartureForm {
    /// Left, DidNotLeave.
    pub outcome: String,
    /// When; now when left out.
    #[serde(default)]
    pub at: Option<String>,
    /// When she is expected.
    #[serde(default)]
    pub planned_arrival: Option<String>,
}

impl DepartureForm {
    /// The departure, with the time by which her arrival must be confirmed.
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn build(
        self,
        child: bool,
        deadlines: &Deadlines,
        zone: &Zone,
        now: u64,
    ) -> Result<wire::Departure, FormFault> {
        let at = self.at.as_deref().map_or(Ok(now), |t| time(t, "at"))?;
        let planned = self.planned_arrival.as_deref().map(|t| time(t, "planned_arrival")).transpose()?;
        if self.outcome == "Left" && planned.is_none() {
            return Err(FormFault::Missing("planned_arrival"));
        }
        let rule = if child { Rule::ArrivalConfirmChild } else { Rule::ArrivalConfirm };
        Ok(wire::Departure {
            outcome: self.outcome,
            at,
            planned_arrival: planned.unwrap_or(0),
            arrival_due: planned.map(|p| deadlines.due(rule, p, zone)),
        })
    }
}

/// An arrival, M10.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalForm {
    /// ArrivedMet, ArrivedNotMet, NotArrived, Diverted, ReturnedByBorder.
    pub result: String,
    /// When; now when left out.
    #[serde(default)]
    pub at: Option<String>,
    /// Shelter, Medical, None, LeftAtOnce.
    #[serde(default)]
    pub needs_now: String,
    /// Who met her.
    #[serde(default)]
    pub met_by: Option<ContactForm>,
}

impl ArrivalForm {
    /// The arrival.
    ///
    /// # Errors
    /// [`FormFault`].
    pub fn build(self, now: u64) -> Result<wire::Arrival, FormFault> {
        Ok(wire::Arrival {
            result: self.result,
            at: self.at.as_deref().map_or(Ok(now), |t| time(t, "at"))?,
            needs_now: self.needs_now,
            met_by: self.met_by.map(Into::into),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
