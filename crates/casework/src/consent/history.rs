//! The history of a case's consents, as it outlives the case (decision 20; domain rules, number 12): so that she can be
//! told, years later, on what ground her data was shared, and with whom.
//!
//! Every word in it is a code of a closed list, a time, or the id of an organisation: it has no field that could hold a
//! name, a text or anything of a profile. Refuses what says more about her than about the ground: her language, her
//! interpreter, what was to be withheld and why, a child's own view.

use clearhouse_protocol::ids::OrgId;
use clearhouse_wire::v1::{Consent, Withdrawal};

use super::{DataClass, Purpose};
use crate::body::codes::codes;
use crate::htcds::codes::{List, find};
use crate::roles::Role;

codes!(
    /// What a line of a history says.
    Said {
        /// She, or who speaks for her, agreed.
        Given = "Given",
        /// It was taken back.
        Withdrawn = "Withdrawn",
        /// A message that rested on it went to its receiver.
        Shared = "Shared",
        /// A message was refused by its receiver, because no consent covered it.
        Refused = "Refused",
    }
);

/// One line, as it is kept. Field numbers are on disk.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Line {
    /// What, see [`Said`].
    #[prost(string, tag = "1")]
    pub said: String,
    /// When, unix seconds.
    #[prost(uint64, tag = "2")]
    pub at: u64,
    /// For what purpose, see [`Purpose`]. Empty when nobody knows it any more.
    #[prost(string, tag = "3")]
    pub purpose: String,
    /// Which classes of data. None means the purpose as a whole.
    #[prost(string, repeated, tag = "4")]
    pub classes: Vec<String>,
    /// Which organisation was to have it, 16 bytes; empty for a withdrawal, which reaches every one.
    #[prost(bytes = "vec", tag = "5")]
    pub receiver: Vec<u8>,
    /// Given: who agreed.
    #[prost(string, tag = "6")]
    pub given_by: String,
    /// Given: written, or spoken before a witness.
    #[prost(string, tag = "7")]
    pub form: String,
    /// Given: until when, unix seconds.
    #[prost(uint64, tag = "8")]
    pub expires: u64,
    /// In which role somebody heard or did it; empty when no person did.
    #[prost(string, tag = "9")]
    pub role: String,
    /// In which organisation, 16 bytes.
    #[prost(bytes = "vec", tag = "10")]
    pub org: Vec<u8>,
    /// Shared: when a person there opened it, unix seconds; 0 when none did.
    #[prost(uint64, tag = "11")]
    pub opened: u64,
}

/// The whole of it, as it is kept. Field numbers are on disk.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct History {
    /// When it goes itself, unix seconds.
    #[prost(uint64, tag = "1")]
    pub until: u64,
    /// When the erasure was decided, unix seconds.
    #[prost(uint64, tag = "2")]
    pub erased_at: u64,
    /// By which rule the case was erased.
    #[prost(string, tag = "3")]
    pub rule: String,
    /// The role of who decided that.
    #[prost(string, tag = "4")]
    pub role: String,
    /// The lines, the oldest first.
    #[prost(message, repeated, tag = "5")]
    pub lines: Vec<Line>,
    /// Something of the case could not be read when it was erased, so lines may be missing.
    #[prost(bool, tag = "6")]
    pub incomplete: bool,
}

/// Who heard or did something: role, organisation, time.
#[derive(Clone, Copy)]
pub(crate) struct Witness {
    pub(crate) role: Option<Role>,
    pub(crate) org: OrgId,
    pub(crate) at: u64,
}

impl Line {
    fn of(said: Said, at: u64, witness: Option<Witness>) -> Self {
        Self {
            said: said.code().to_owned(),
            at,
            role: witness.and_then(|w| w.role).map_or("", Role::code).to_owned(),
            org: witness.map(|w| w.org.to_vec()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// That a consent was given.
    pub(crate) fn given(consent: &Consent, witness: Option<Witness>) -> Self {
        Self {
            purpose: purpose(&consent.purpose),
            classes: classes(&consent.data_classes),
            receiver: OrgId::try_from(consent.recipient_org.as_slice()).map(OrgId::to_vec).unwrap_or_default(),
            given_by: listed(List::ConsentGivenBy, &consent.given_by),
            form: listed(List::ConsentForm, &consent.form),
            expires: consent.expires_at,
            ..Self::of(Said::Given, consent.given_at, witness)
        }
    }

    /// That one was taken back.
    pub(crate) fn withdrawn(withdrawal: &Withdrawal, witness: Option<Witness>) -> Self {
        Self {
            purpose: purpose(&withdrawal.purpose),
            classes: classes(&withdrawal.data_classes),
            ..Self::of(Said::Withdrawn, withdrawal.effective, witness)
        }
    }

    /// That a message went to `receiver` for this purpose, or was refused there.
    pub(crate) fn sent(
        said: Said,
        (purpose, classes): (Purpose, &[DataClass]),
        receiver: OrgId,
        opened: u64,
        witness: Witness,
    ) -> Self {
        Self {
            purpose: purpose.code().to_owned(),
            classes: classes.iter().map(|class| class.code().to_owned()).collect(),
            receiver: receiver.to_vec(),
            opened,
            ..Self::of(said, witness.at, Some(witness))
        }
    }
}

// Codes are looked up once more, whoever checked them before: what is kept for years holds no word of anybody's.

fn purpose(code: &str) -> String {
    Purpose::parse(code).map_or("", Purpose::code).to_owned()
}

fn classes(codes: &[String]) -> Vec<String> {
    codes.iter().filter_map(|code| DataClass::from_code(code)).map(|class| class.code().to_owned()).collect()
}

fn listed(list: List, code: &str) -> String {
    find(list, code).map_or("", |code| code.code).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_codes_and_nothing_that_anybody_wrote() {
        let name = || "Ileana".to_owned();
        let consent = Consent {
            purpose: name(),
            data_classes: vec![name(), "Health".to_owned()],
            given_by: name(),
            form: name(),
            language: name(),
            child_view: name(),
            recipient_org: name().into_bytes(),
            ..Consent::default()
        };
        let withdrawal = Withdrawal { purpose: name(), data_classes: vec![name()], ..Withdrawal::default() };
        for line in [Line::given(&consent, None), Line::withdrawn(&withdrawal, None)] {
            let bytes = prost::Message::encode_to_vec(&line);
            assert!(!bytes.windows(6).any(|six| six == b"Ileana"));
        }
        assert_eq!(Line::given(&consent, None).classes, ["Health"]);
    }
}
