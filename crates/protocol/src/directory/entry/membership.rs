//! What an entry says of how an organisation came in and what it bound itself to: where in its country it works, which
//! standards it signed, which agreements it has, who vouches for it.
//!
//! Refuses anything but codes, ids and times, and an organisation that joins a live network with nobody vouching for it.
//! Whether its sponsors are known here is not asked: records come in any order. Whoever signs asks it, and is told.

use std::collections::BTreeSet;

use clearhouse_wire::v1::OrgRecord;

use super::{DIGITS_MAX, is_code};
use crate::limits::{AGREEMENTS_MAX, SPONSORS, STANDARDS_AHEAD_SECS};

/// Longest name of a corridor rule or of an agreement, in bytes.
pub const SLUG_MAX: usize = 32;
/// Longest second half of a sub-national code of ISO 3166-2.
const AREA_MAX: usize = 3;

/// Whether a text is a name of a rule or an agreement: 1 to [`SLUG_MAX`] small letters, digits, hyphens.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=SLUG_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a text is the name of an agreement: [`is_slug`] with no more digits than a year has. A longer number is a
/// register's or a telephone's.
#[must_use]
pub fn is_agreement(text: &str) -> bool {
    is_slug(text) && text.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX
}

/// Whether a text is an area of `country` as ISO 3166-2 writes it: the country, a hyphen, 1 to 3 capitals or digits.
#[must_use]
pub fn is_area(country: &str, area: &str) -> bool {
    let code = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit();
    area.split_once('-')
        .is_some_and(|(of, part)| of == country && (1..=AREA_MAX).contains(&part.len()) && part.bytes().all(code))
}

/// Whether area, standards and agreements are within their limits. What has ended may be said all the same: time decides
/// nothing at the door.
pub(in crate::directory) fn is_sound(org: &OrgRecord) -> bool {
    let standards = match (org.standards.is_empty(), org.standards_signed) {
        (true, signed) => signed == 0,
        (false, signed) => {
            is_code(&org.standards) && signed > 0 && signed <= org.valid_from.saturating_add(STANDARDS_AHEAD_SECS)
        }
    };
    let names: BTreeSet<&str> = org.agreements.iter().map(|agreement| agreement.name.as_str()).collect();
    let agreements = org.agreements.len() <= AGREEMENTS_MAX
        && names.len() == org.agreements.len()
        && org.agreements.iter().all(|agreement| is_agreement(&agreement.name) && agreement.valid_until > 0);
    (org.area.is_empty() || is_area(&org.country, &org.area)) && standards && agreements
}

/// Whether its sponsors are as many as they must be, different ones, and not itself. `required` where it may not come in
/// without.
pub(in crate::directory) fn is_vouched_for(org: &OrgRecord, required: bool) -> bool {
    let sponsors: BTreeSet<&[u8]> = org.sponsors.iter().map(Vec::as_slice).collect();
    let others = sponsors.iter().all(|id| id.len() == org.org_id.len() && *id != org.org_id);
    match org.sponsors.len() {
        0 => !required,
        n => n == SPONSORS && sponsors.len() == SPONSORS && others,
    }
}

#[cfg(test)]
mod tests;
