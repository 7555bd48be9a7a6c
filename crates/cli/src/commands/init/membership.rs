//! What `init` is told of how an organisation comes in and what it bound itself to: area, standards, agreements,
//! sponsors. Refuses what no directory would take before a key is made, and says which option to change.

use clap::Args;
use clearhouse_protocol::ceremony;
use clearhouse_protocol::directory::entry::is_code;
use clearhouse_protocol::directory::entry::membership::{is_agreement, is_area};
use clearhouse_protocol::ids::OrgId;
use clearhouse_protocol::limits::{AGREEMENTS_MAX, DAY, SPONSORS};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::trouble::{Code, Trouble};

/// Options of `init` about the organisation's membership.
#[derive(Args)]
pub(super) struct Membership {
    /// Where in the country it works, a code of ISO 3166-2 such as RO-IS
    #[arg(long, value_name = "CODE")]
    area: Option<String>,
    /// The version of the region's standards that it signed, such as Region2026
    #[arg(long, value_name = "CODE", requires = "standards_signed")]
    standards: Option<String>,
    /// The day it signed them
    #[arg(long, value_name = "DATE", requires = "standards", value_parser = day)]
    standards_signed: Option<u64>,
    /// An agreement with others and its last day; can be repeated
    #[arg(long = "agreement", value_name = "NAME=DATE", value_parser = agreement)]
    agreements: Vec<(String, u64)>,
    /// Who vouches for it, by id: an organisation or a coordinator; two, by repeating it
    #[arg(long = "sponsor", value_name = "ID", value_parser = sponsor)]
    sponsors: Vec<[u8; 16]>,
}

impl Membership {
    /// What the application will say, for an organisation of `country`.
    ///
    /// # Errors
    /// [`Code::Arguments`], naming the option.
    pub(super) fn read(&self, country: &str, now: u64) -> Result<ceremony::Membership, Trouble> {
        if let Some(area) = self.area.as_ref().filter(|area| !is_area(country, area)) {
            return Err(wrong(format!("--area {area} is not an area of {country} in ISO 3166-2, such as RO-IS.")));
        }
        if let Some(code) = self.standards.as_ref().filter(|code| !is_code(code)) {
            return Err(wrong(format!("--standards '{code}' is not one word such as Region2026.")));
        }
        if self.standards_signed.is_some_and(|at| at > now) {
            return Err(wrong("--standards-signed is a day to come: sign them first.".to_owned()));
        }
        let mut names: Vec<&str> = self.agreements.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != self.agreements.len() || names.len() > AGREEMENTS_MAX {
            return Err(wrong(format!("Each --agreement is named once, and there are at most {AGREEMENTS_MAX}.")));
        }
        let two = self.sponsors.len() == SPONSORS && self.sponsors[0] != self.sponsors[1];
        if !self.sponsors.is_empty() && !two {
            return Err(wrong("--sponsor names two different organisations or coordinators, or none.".to_owned()));
        }
        Ok(ceremony::Membership {
            area: self.area.clone().unwrap_or_default(),
            standards: self.standards.clone().zip(self.standards_signed),
            agreements: self.agreements.clone(),
            sponsors: self.sponsors.clone(),
        })
    }

    /// Refuses to apply to a live network with nobody vouching. Who will be named in a policy as its coordinator may.
    pub(super) fn check_live(&self, roles: &[String]) -> Result<(), Trouble> {
        let coordinates = roles.iter().all(|role| role == "Coordinator");
        if !self.sponsors.is_empty() || coordinates {
            return Ok(());
        }
        let text = "A live network takes nobody without two that vouch for it: give --sponsor ID twice. \
                    Ask two members or coordinators for their ids.";
        Err(wrong(text.to_owned()))
    }
}

fn wrong(text: String) -> Trouble {
    Trouble::new(Code::Arguments, text, "clearhouse init --help")
}

/// The beginning of a day in UTC, unix seconds.
fn day(text: &str) -> Result<u64, String> {
    let date: Option<Date> = text.parse().ok();
    let begins = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let at = begins.and_then(|begins| u64::try_from(begins.timestamp().as_second()).ok()).filter(|at| *at > 0);
    at.ok_or_else(|| "not a day such as 2026-12-01".to_owned())
}

/// An agreement, and the second after its last day.
fn agreement(text: &str) -> Result<(String, u64), String> {
    let (name, until) = text.split_once('=').ok_or("wants a name and a last day, such as south-2026=2027-06-30")?;
    if !is_agreement(name) {
        return Err("its name is 1 to 32 small letters, digits and hyphens, with at most four digits".to_owned());
    }
    Ok((name.to_owned(), day(until)?.saturating_add(DAY)))
}

fn sponsor(text: &str) -> Result<[u8; 16], String> {
    OrgId::from_hex(text).map(|id| id.0).ok_or_else(|| "not an id: 32 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_day_counts_to_its_end() {
        assert_eq!(agreement("south-2026=1970-01-02"), Ok(("south-2026".to_owned(), 2 * DAY)));
        assert_eq!(day("2026-11-22"), Ok(1_795_305_600));
        for bad in
            ["south-2026", "South=2026-12-01", "a=", "a=2026-13-01", "a=yesterday", "=2026-12-01", "a=1969-12-31"]
        {
            assert!(agreement(bad).is_err(), "{bad}");
        }
    }
}
