//! The bodies of case messages: read strictly, understood, or refused by the name of a field.
//!
//! One way in: [`check`] takes the bytes of an `Inner.body` and returns a [`CheckedBody`], whose type says that exactly
//! one payload matches the message type, that every field keeps its rules, and that the bytes are the only way to write
//! it. Refuses unknown fields, free words where codes belong, and anything in a notice that could name a person.

use clearhouse_protocol::canon::{self, NotCanonical};
use clearhouse_protocol::ids::MsgId;
use clearhouse_protocol::limits::INNER_MAX;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, Consent, Extension, MessageType, ProfilePart};
use prost::Message as _;
use zeroize::Zeroizing;

pub mod answer;
pub mod codes;
pub mod notice;
pub mod profile;
pub mod travel;

pub(crate) mod shape;
mod wipe;

pub use shape::{BodyFault, FaultKind};

use crate::consent::{self, DataClass, Purpose, purpose_of};
use crate::deadlines;
use crate::roles::{self, ActKind, Role};
use codes::{AnswerKind, ArrivalResult, Outcome};
use shape::{Checked, absent, code, fault, hold, id16, id16_or_none};

/// The version of every body this room reads and writes.
pub const BODY_VERSION: u32 = 1;
/// Most extensions of one body.
pub const EXTENSIONS_MAX: usize = 8;
/// Longest value of one extension, bytes.
pub const EXTENSION_MAX: usize = 1024;

/// Versions of a message type this room reads; empty for a type it does not know. A descriptor lists them.
#[must_use]
pub fn versions(msg_type: u32) -> &'static [u32] {
    match kind_of(msg_type) {
        Some(_) => &[BODY_VERSION],
        None => &[],
    }
}

/// The payloads this room knows. Other types are kept sealed as "cannot read yet".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// M02.
    ReturnNotice,
    /// M03.
    Acknowledgement,
    /// M04.
    Answer,
    /// M06.
    VictimProfile,
    /// M09.
    Departure,
    /// M10.
    Arrival,
    /// M17.
    Withdrawal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ReturnNotice,
        Self::Acknowledgement,
        Self::Answer,
        Self::VictimProfile,
        Self::Departure,
        Self::Arrival,
        Self::Withdrawal,
    ];

    /// The message type on the wire.
    #[must_use]
    pub const fn message_type(self) -> MessageType {
        match self {
            Self::ReturnNotice => MessageType::ReturnNotice,
            Self::Acknowledgement => MessageType::Acknowledgement,
            Self::Answer => MessageType::Answer,
            Self::VictimProfile => MessageType::VictimProfile,
            Self::Departure => MessageType::Departure,
            Self::Arrival => MessageType::Arrival,
            Self::Withdrawal => MessageType::Withdrawal,
        }
    }

    const fn of(what: &What) -> Self {
        match what {
            What::ReturnNotice(_) => Self::ReturnNotice,
            What::Acknowledgement(_) => Self::Acknowledgement,
            What::Answer(_) => Self::Answer,
            What::VictimProfile(_) => Self::VictimProfile,
            What::Departure(_) => Self::Departure,
            What::Arrival(_) => Self::Arrival,
            What::Withdrawal(_) => Self::Withdrawal,
        }
    }
}

fn kind_of(msg_type: u32) -> Option<Kind> {
    Kind::ALL.into_iter().find(|k| i64::from(msg_type) == i64::from(i32::from(k.message_type())))
}

/// Which consent a type of message travels with. A profile needs `ShareHealth` besides for its health part; a
/// departure that says "she stays" needs none: [`CheckedBody::needs`] is exact.
#[must_use]
pub fn needs_consent(msg_type: u32) -> Option<Purpose> {
    match kind_of(msg_type)? {
        Kind::ReturnNotice => Some(Purpose::ShareNotice),
        Kind::VictimProfile => Some(Purpose::ShareProfile),
        Kind::Departure => Some(Purpose::ShareTravel),
        Kind::Acknowledgement | Kind::Answer | Kind::Arrival | Kind::Withdrawal => None,
    }
}

/// The bytes of a body, as they are signed. Erased from memory when dropped.
#[must_use]
pub fn encode(body: &CaseBody) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(body.encode_to_vec())
}

/// A body that keeps every rule of its type. Has no `Debug`; its words are overwritten when it is dropped.
#[derive(PartialEq)]
pub struct CheckedBody {
    kind: Kind,
    body: CaseBody,
    role: Role,
}

/// Reads a body strictly.
///
/// `msg_type` and `version` are those of the signed inner message.
///
/// # Errors
/// [`BodyFault`]: [`FaultKind::CannotRead`] for a type or version this room does not know (keep it sealed, do not
/// refuse it), otherwise the first rule broken.
pub fn check(msg_type: u32, version: u32, bytes: &[u8]) -> Result<CheckedBody, BodyFault> {
    let kind = kind_of(msg_type).ok_or(fault(FaultKind::CannotRead, "msg_type"))?;
    hold(versions(msg_type).contains(&version), FaultKind::CannotRead, "body_version")?;
    // Protobuf has many spellings of one message; only the canonical one is taken, and no unknown field.
    let body: CaseBody = canon::decode(bytes, INNER_MAX).map_err(|reason| match reason {
        NotCanonical::TooLong { .. } | NotCanonical::TooMany => fault(FaultKind::TooLarge, "body"),
        NotCanonical::Undecodable | NotCanonical::OtherEncoding => fault(FaultKind::NotExact, "body"),
    })?;
    let checked = CheckedBody::of(body).ok_or(fault(FaultKind::WrongPayload, "what"))?;
    hold(checked.kind == kind, FaultKind::WrongPayload, "what")?;
    checked.check()?;
    Ok(checked)
}

/// Checks a body written here, before it is signed.
///
/// # Errors
/// As [`check`].
pub fn prepare(body: &CaseBody) -> Result<CheckedBody, BodyFault> {
    let kind = body.what.as_ref().map(Kind::of).ok_or(fault(FaultKind::Missing, "what"))?;
    check(kind.message_type() as u32, BODY_VERSION, &encode(body))
}

/// A body from our own store, which was checked before it was kept. `None` when it is damaged.
pub(crate) fn restore(msg_type: u32, bytes: &[u8]) -> Option<CheckedBody> {
    let body = CheckedBody::of(CaseBody::decode(bytes).ok()?)?;
    (kind_of(msg_type) == Some(body.kind)).then_some(body)
}

impl CheckedBody {
    fn of(body: CaseBody) -> Option<Self> {
        let kind = Kind::of(body.what.as_ref()?);
        // A role that is none is refused by `check`; until then nothing may lean on it.
        let role = Role::parse(&body.actor_role).unwrap_or(Role::Auditor);
        Some(Self { kind, body, role })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The message as generated.
    #[must_use]
    pub fn body(&self) -> &CaseBody {
        &self.body
    }

    /// The payload. `None` never happens in a checked body; it stands for a damaged one.
    #[must_use]
    pub fn what(&self) -> Option<&What> {
        self.body.what.as_ref()
    }

    /// The bytes to sign or keep.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode(&self.body)
    }

    /// The role under which somebody signed for it.
    #[must_use]
    pub fn actor_role(&self) -> Role {
        self.role
    }

    /// The message it answers, if any.
    #[must_use]
    pub fn in_reply_to(&self) -> Option<MsgId> {
        MsgId::try_from(self.body.in_reply_to.as_slice()).ok()
    }

    /// Every consent that travels in it.
    pub fn consents(&self) -> impl Iterator<Item = &Consent> {
        let beyond = match self.what() {
            Some(What::VictimProfile(profile)) => profile.consents.as_slice(),
            _ => &[],
        };
        self.body.consent.iter().chain(beyond)
    }

    /// What a person does by sending it. `supersedes` makes a notice another act.
    #[must_use]
    pub fn act(&self) -> ActKind {
        match self.what() {
            Some(What::ReturnNotice(n)) if n.supersedes.is_empty() => ActKind::SendNotice,
            Some(What::ReturnNotice(_)) => ActKind::SupersedeNotice,
            Some(What::Acknowledgement(_)) => ActKind::Acknowledge,
            Some(What::Answer(a)) if a.answer == AnswerKind::InfoRequested.code() => ActKind::AskInfo,
            Some(What::Answer(_)) => ActKind::Answer,
            Some(What::VictimProfile(_)) => ActKind::SendProfile,
            Some(What::Departure(d)) if d.outcome == Outcome::ChoseNotToTravel.code() => ActKind::Stay,
            Some(What::Departure(_)) => ActKind::Depart,
            Some(What::Arrival(a)) if a.result == ArrivalResult::ChoseNotToTravel.code() => ActKind::Stay,
            Some(What::Arrival(_)) => ActKind::ConfirmArrival,
            Some(What::Withdrawal(_)) | None => ActKind::WithdrawConsent,
        }
    }

    /// The consents it cannot leave without: purpose, and class where the purpose is given class by class.
    #[must_use]
    pub fn needs(&self) -> Vec<(Purpose, Option<DataClass>)> {
        match (self.act(), self.what()) {
            (ActKind::SendNotice | ActKind::SupersedeNotice, _) => vec![(Purpose::ShareNotice, None)],
            (ActKind::Depart, _) => vec![(Purpose::ShareTravel, Some(DataClass::Travel))],
            (_, Some(What::VictimProfile(profile))) => {
                let classes = profile.parts.iter().filter_map(|part| DataClass::from_code(&part.data_class));
                classes.map(|class| (purpose_of(class), Some(class))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a case file keeps of it: a profile without its parts' content, everything else whole.
    ///
    /// Parts are kept one by one under the key of their class ([`CheckedBody::parts`]), so that one class can be
    /// erased and the rest stays.
    #[must_use]
    pub fn skeleton(&self) -> Zeroizing<Vec<u8>> {
        let mut bare = CheckedBody { kind: self.kind, body: self.body.clone(), role: self.role };
        if let Some(What::VictimProfile(profile)) = &mut bare.body.what {
            for part in &mut profile.parts {
                wipe::part(part);
                part.fields.clear();
                part.attachments.clear();
            }
        }
        bare.encode()
    }

    /// The parts of a profile, each encoded as a `ProfilePart`; empty for anything else.
    #[must_use]
    pub fn parts(&self) -> Vec<(DataClass, Zeroizing<Vec<u8>>)> {
        let Some(What::VictimProfile(profile)) = self.what() else { return Vec::new() };
        let encoded = |part: &ProfilePart| Zeroizing::new(part.encode_to_vec());
        profile.parts.iter().filter_map(|p| Some((DataClass::from_code(&p.data_class)?, encoded(p)))).collect()
    }

    fn check(&self) -> Checked {
        let body = &self.body;
        hold(!body.actor_label.is_empty(), FaultKind::Missing, "actor_label")?;
        hold(roles::is_label(&body.actor_label), FaultKind::Label, "actor_label")?;
        let role = code(&body.actor_role, Role::parse, "actor_role")?;
        hold(role.handles_cases(), FaultKind::Label, "actor_role")?;
        code(&body.zone, |z| deadlines::is_zone_name(z).then_some(()), "zone")?;
        check_extensions(&body.extensions)?;
        match self.what() {
            Some(What::ReturnNotice(what)) => notice::check(what)?,
            Some(What::Acknowledgement(what)) => answer::check_acknowledgement(what)?,
            Some(What::Answer(what)) => answer::check(what)?,
            Some(What::VictimProfile(what)) => profile::check(what)?,
            Some(What::Departure(what)) => travel::check_departure(what)?,
            Some(What::Arrival(what)) => travel::check_arrival(what)?,
            Some(What::Withdrawal(what)) => consent::check_withdrawal(what)?,
            None => return Err(fault(FaultKind::Missing, "what")),
        }
        self.check_frame()
    }

    /// Whether consent and reply stand where they belong.
    fn check_frame(&self) -> Checked {
        let body = &self.body;
        let replies = match self.act() {
            ActKind::Acknowledge | ActKind::AskInfo | ActKind::Answer | ActKind::ConfirmArrival => true,
            ActKind::RecordConsent
            | ActKind::SendNotice
            | ActKind::SupersedeNotice
            | ActKind::SendProfile
            | ActKind::Depart
            | ActKind::WithdrawConsent
            | ActKind::Stay
            | ActKind::Recall
            | ActKind::OpenMessage
            | ActKind::Erase => false,
        };
        if replies {
            id16(&body.in_reply_to, "in_reply_to")?;
        } else {
            id16_or_none(&body.in_reply_to, "in_reply_to")?;
        }
        absent(body.consent.is_none() || !self.needs().is_empty(), "consent")?;
        self.consents().try_for_each(consent::check)
    }
}

impl Drop for CheckedBody {
    fn drop(&mut self) {
        wipe::body(&mut self.body);
    }
}

fn check_extensions(extensions: &[Extension]) -> Checked {
    hold(extensions.len() <= EXTENSIONS_MAX, FaultKind::Count, "extensions")?;
    hold(extensions.iter().all(|e| e.value.len() <= EXTENSION_MAX), FaultKind::TooLarge, "extensions")?;
    // No extension is known yet, so every critical one is unknown.
    hold(!extensions.iter().any(|e| e.critical), FaultKind::Critical, "extensions")
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
