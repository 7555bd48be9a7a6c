//! Small checks every body is made of: present, a code, a list without doubles, short text, a name, an id.
//! Refuses in the name of the field and never repeats what stood in it.

use std::fmt;

use clearhouse_wire::v1::{Contact, Due, RefusalCode};

use crate::deadlines::{self, Rule};
use crate::htcds::codes::{self, List};
use crate::htcds::fields;
use crate::roles::{self, Role};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $wire:ident, $why:literal, $next:literal;)+) => {
        /// What is wrong with a body.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum FaultKind { $($(#[$doc])* #[doc = $why] $name),+ }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What the other side is told. `Unspecified` for [`FaultKind::CannotRead`]: that message is kept sealed
            /// and answered with the stage CANNOT_READ, never refused (decision 25).
            #[must_use]
            pub const fn wire(self) -> RefusalCode {
                match self { $(Self::$name => RefusalCode::$wire),+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self { $(Self::$name => $next),+ }
            }

            const fn why(self) -> &'static str {
                match self { $(Self::$name => $why),+ }
            }
        }
    };
}

kinds! {
    CannotRead = "CH-C0501", Unspecified, "This version does not know that type of message.",
        "The message is kept sealed. Update the software to read it.";
    TooLarge = "CH-C0502", Malformed, "The message is larger than a message may be.",
        "Send less, or move parts into attachments.";
    NotExact = "CH-C0503", Malformed, "The message is not written the one way a message is written.",
        "Tell your system administrator: software differs.";
    WrongPayload = "CH-C0504", Malformed, "The message does not hold what its type promises.",
        "Tell your system administrator: software differs.";
    Critical = "CH-C0505", Extension, "The message demands an extension this version does not know.",
        "Update the software.";
    Missing = "CH-C0506", Malformed, "A field that must be filled in is empty.",
        "Fill it in.";
    NotACode = "CH-C0507", Malformed, "A field holds something other than a code of its list.",
        "Choose a value from the list.";
    Text = "CH-C0508", Malformed, "A text is too long or holds characters that are not allowed.",
        "Shorten it and remove anything unusual.";
    Count = "CH-C0509", Malformed, "A list has too many entries, or one twice.",
        "Shorten the list.";
    Label = "CH-C0510", Malformed, "A worker's name is not one to four words of letters, or the role is not a role.",
        "Write it as colleagues say it, such as 'Ana P.'.";
    Id = "CH-C0511", Malformed, "An identifier has the wrong length.",
        "Tell your system administrator: software differs.";
    NotHere = "CH-C0512", Malformed, "A field is filled in that has no place in this message.",
        "Leave it empty.";
    Contradiction = "CH-C0513", Malformed, "Two fields contradict each other.",
        "Correct one of them.";
    NeverAnAdult = "CH-C0514", ChildPath, "An age band under 18 or a doubted document cannot stand beside 'Adult'.",
        "Choose 'Child', 'PresumedChild' or 'AgeDisputed'. In doubt it is a child.";
    AlternativesNotExplained = "CH-C0515", Malformed,
        "The person must have been told what else there is before a return is prepared.",
        "Explain the alternatives first.";
    NoConflictCheck = "CH-C0516", Malformed,
        "An acceptance needs a check whether staff know the family, the village or the trafficker.",
        "Do the check, then accept.";
    UnsafeContact = "CH-C0517", Malformed,
        "A phone number or address without channel, safe times and both caller rules is unusable.",
        "Add the safe-contact rules, or leave the number out.";
}

/// A body breaks a rule. Names the field, never its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyFault {
    /// What is wrong.
    pub kind: FaultKind,
    /// In which field of the wire format.
    pub field: &'static str,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field {}: {}", self.field, self.kind.why())
    }
}

impl std::error::Error for BodyFault {}

/// What a check says.
pub(crate) type Checked = Result<(), BodyFault>;

pub(crate) fn fault(kind: FaultKind, field: &'static str) -> BodyFault {
    BodyFault { kind, field }
}

/// Passes when `ok`, otherwise faults.
pub(crate) fn hold(ok: bool, kind: FaultKind, field: &'static str) -> Checked {
    if ok { Ok(()) } else { Err(fault(kind, field)) }
}

/// A mandatory code of a closed enum.
pub(crate) fn code<T>(value: &str, parse: impl Fn(&str) -> Option<T>, field: &'static str) -> Result<T, BodyFault> {
    hold(!value.is_empty(), FaultKind::Missing, field)?;
    parse(value).ok_or(fault(FaultKind::NotACode, field))
}

/// A mandatory code of a list.
pub(crate) fn listed(value: &str, list: List, field: &'static str) -> Checked {
    code(value, |v| codes::find(list, v).map(drop), field)
}

/// A list of codes without doubles, `min` to `max` long.
pub(crate) fn codes_of(
    values: &[String],
    min: usize,
    max: usize,
    good: impl Fn(&str) -> bool,
    field: &'static str,
) -> Checked {
    hold(values.len() >= min, FaultKind::Missing, field)?;
    hold(values.len() <= max && no_doubles(values), FaultKind::Count, field)?;
    hold(values.iter().all(|v| good(v)), FaultKind::NotACode, field)
}

pub(crate) fn no_doubles<T: PartialEq>(values: &[T]) -> bool {
    values.iter().enumerate().all(|(i, v)| !values[..i].contains(v))
}

pub(crate) fn language(value: &str, field: &'static str) -> Checked {
    code(value, |v| codes::is_language(v).then_some(()), field)
}

pub(crate) fn absent(empty: bool, field: &'static str) -> Checked {
    hold(empty, FaultKind::NotHere, field)
}

/// An id of 16 bytes.
pub(crate) fn id16(value: &[u8], field: &'static str) -> Checked {
    hold(value.len() == 16, if value.is_empty() { FaultKind::Missing } else { FaultKind::Id }, field)
}

/// An id of 16 bytes or none.
pub(crate) fn id16_or_none(value: &[u8], field: &'static str) -> Checked {
    hold(value.is_empty() || value.len() == 16, FaultKind::Id, field)
}

/// Text of one line: present, up to `max` characters, nothing that hides or turns on a screen.
pub(crate) fn text(value: &str, max: usize, field: &'static str) -> Checked {
    hold(!value.trim().is_empty(), FaultKind::Missing, field)?;
    fields::clean_text(value, max, false).map_err(|_| fault(FaultKind::Text, field))
}

/// A worker as the other side will read him or her.
pub(crate) fn contact(value: Option<&Contact>, field: &'static str) -> Result<Role, BodyFault> {
    let value = value.ok_or(fault(FaultKind::Missing, field))?;
    hold(!value.label.is_empty(), FaultKind::Missing, field)?;
    hold(roles::is_label(&value.label), FaultKind::Label, field)?;
    Role::parse(&value.role).filter(|role| role.handles_cases()).ok_or(fault(FaultKind::Label, field))
}

/// As [`contact`], where none is needed.
pub(crate) fn contact_or_none(value: Option<&Contact>, field: &'static str) -> Checked {
    if value.is_some() { contact(value, field).map(drop) } else { Ok(()) }
}

/// A due time under one of `rules`.
pub(crate) fn due<'a>(value: Option<&'a Due>, rules: &[Rule], field: &'static str) -> Result<&'a Due, BodyFault> {
    let value = value.ok_or(fault(FaultKind::Missing, field))?;
    hold(value.at > 0, FaultKind::Missing, field)?;
    let named = Rule::parse(&value.rule).is_some_and(|rule| rules.contains(&rule));
    hold(named && deadlines::is_zone_name(&value.zone), FaultKind::NotACode, field)?;
    Ok(value)
}
