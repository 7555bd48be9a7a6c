//! The victim profile (M06), part by part: each class of data under its own consent, its own key and its own end.
//! Refuses a field outside the class it belongs to, fields that never leave a case file, and a phone number without the
//! rules that make calling it safe.

use clearhouse_protocol::limits::ATTACHMENTS_MAX;
use clearhouse_wire::v1::{AttachmentNote, FieldValue, ProfilePart, VictimProfile};

use super::shape::{Checked, FaultKind, code, fault, hold, id16, listed, no_doubles, text};
use crate::consent::{CONSENTS_MAX, DataClass};
use crate::htcds::codes::List;
use crate::htcds::fields::{self, FieldFault};
use crate::roles::is_label;

/// Most fields of one part.
pub const FIELDS_MAX: usize = 64;
/// Longest shown name of an attachment, characters.
pub const ATTACHMENT_NAME_MAX: usize = 120;
/// Longest media type, bytes.
const MEDIA_TYPE_MAX: usize = 100;

pub(super) fn check(p: &VictimProfile) -> Checked {
    hold(!p.for_worker.is_empty(), FaultKind::Missing, "victim_profile.for_worker")?;
    hold(is_label(&p.for_worker), FaultKind::Label, "victim_profile.for_worker")?;
    hold(!p.parts.is_empty(), FaultKind::Missing, "victim_profile.parts")?;
    let classes: Vec<_> = p.parts.iter().map(|part| part.data_class.as_str()).collect();
    hold(classes.len() <= DataClass::ALL.len() && no_doubles(&classes), FaultKind::Count, "victim_profile.parts")?;
    hold(p.consents.len() <= CONSENTS_MAX, FaultKind::Count, "victim_profile.consents")?;
    let ids: Vec<_> = p.consents.iter().map(|c| &c.id).collect();
    hold(no_doubles(&ids), FaultKind::Count, "victim_profile.consents")?;
    let tags: Vec<_> = p.parts.iter().flat_map(|part| &part.attachments).map(|note| &note.name_tag).collect();
    hold(tags.len() <= ATTACHMENTS_MAX && no_doubles(&tags), FaultKind::Count, "victim_profile.parts.attachments")?;
    p.parts.iter().try_for_each(check_part)
}

fn check_part(part: &ProfilePart) -> Checked {
    let class = code(&part.data_class, DataClass::from_code, "victim_profile.parts.data_class")?;
    let empty = part.fields.is_empty() && part.attachments.is_empty();
    hold(!empty, FaultKind::Missing, "victim_profile.parts.fields")?;
    let names: Vec<_> = part.fields.iter().map(|f| f.field.as_str()).collect();
    hold(names.len() <= FIELDS_MAX && no_doubles(&names), FaultKind::Count, "victim_profile.parts.fields")?;
    part.fields.iter().try_for_each(|field| check_field(field, class))?;
    part.attachments.iter().try_for_each(check_attachment)?;
    check_safe_contact(part)
}

fn check_field(field: &FieldValue, class: DataClass) -> Checked {
    const FIELD: &str = "victim_profile.parts.fields.field";
    const VALUES: &str = "victim_profile.parts.fields.values";
    hold(!field.field.is_empty(), FaultKind::Missing, FIELD)?;
    hold(fields::find(&field.field).is_some(), FaultKind::NotACode, FIELD)?;
    // A name in the part of needs would pass under the consent for needs.
    hold(fields::part_of(&field.field) == Some(class), FaultKind::NotHere, FIELD)?;
    if !field.null_reason.is_empty() {
        hold(field.values.is_empty(), FaultKind::Contradiction, VALUES)?;
        return listed(&field.null_reason, List::NullReason, "victim_profile.parts.fields.null_reason");
    }
    fields::check(&field.field, &field.values).map_err(|reason| fault(kind_of(reason), VALUES))
}

fn kind_of(reason: FieldFault) -> FaultKind {
    match reason {
        FieldFault::Empty => FaultKind::Missing,
        FieldFault::TooMany { .. } | FieldFault::Repeated => FaultKind::Count,
        FieldFault::TooLong { .. } | FieldFault::ForbiddenCharacter => FaultKind::Text,
        FieldFault::UnknownField
        | FieldFault::NotACode
        | FieldFault::NotACountry
        | FieldFault::NotALanguage
        | FieldFault::NotADate
        | FieldFault::YearOutOfRange
        | FieldFault::NotANumber
        | FieldFault::OutOfRange { .. }
        | FieldFault::NotAFlag
        | FieldFault::NotAPhone
        | FieldFault::NotAnEmail => FaultKind::NotACode,
    }
}

/// The name is shown and never used as a path; it still may not look like one.
fn check_attachment(note: &AttachmentNote) -> Checked {
    id16(&note.name_tag, "victim_profile.parts.attachments.name_tag")?;
    text(&note.name, ATTACHMENT_NAME_MAX, "victim_profile.parts.attachments.name")?;
    let path = note.name.contains(['/', '\\', ':']) || note.name.starts_with('.');
    hold(!path, FaultKind::Text, "victim_profile.parts.attachments.name")?;
    let token = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let shaped = note.media_type.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    let good = shaped && note.media_type.len() <= MEDIA_TYPE_MAX;
    hold(good, FaultKind::NotACode, "victim_profile.parts.attachments.media_type")
}

/// Domain (g) rule 3: contact data without channel, safe times and both caller rules must be unusable, so it does not
/// travel. "Not asked" is no rule.
fn check_safe_contact(part: &ProfilePart) -> Checked {
    const RULES: [&str; 4] = ["xsc_Channel", "xsc_SafeTimes", "xsc_MayLeaveMessage", "xsc_CallerMayNameNGO"];
    let given = |name: &str| part.fields.iter().any(|f| f.field == name && !f.values.is_empty());
    let safe = !given("prs_MobilePhone") || RULES.iter().all(|rule| given(rule));
    hold(safe, FaultKind::UnsafeContact, "victim_profile.parts.fields")
}
