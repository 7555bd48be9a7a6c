//! Whether values may stand in a field: the rules a form, an import and a peer's message are all held to.
//!
//! Values are judged as they travel (codes, ISO dates, `true`), never as a person typed them. A fault says what is wrong
//! and never repeats the value: faults may be logged.

use jiff::civil;

use super::{EMAIL_MAX, FieldType, LONG_TEXT_MAX_CHARS, PHONE_DIGITS_MAX, TEXT_MAX_CHARS, YEAR_MAX, YEAR_MIN, find};
use crate::htcds::codes;

/// Why values may not stand in a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FieldFault {
    /// No such field.
    #[error("this field is not known: correct its name or leave it out")]
    UnknownField,
    /// No value, or an empty one.
    #[error("the value is empty: leave the field out, or give a reason why it is missing")]
    Empty,
    /// More values than the field holds.
    #[error("at most {max} value(s) may stand here: choose which to keep")]
    TooMany {
        /// Most values.
        max: usize,
    },
    /// The same value twice.
    #[error("the same value stands here twice: remove one")]
    Repeated,
    /// Longer than the limit.
    #[error("the text is longer than {max} characters: shorten it")]
    TooLong {
        /// Limit in characters.
        max: usize,
    },
    /// A character that does not belong in text.
    #[error("the text holds an invisible control or replacement character: type it again")]
    ForbiddenCharacter,
    /// Not a value of the field's list.
    #[error("this is not a value of the list for this field: choose one of the list")]
    NotACode,
    /// Not a country code.
    #[error("this is not an ISO 3166 country code: choose a country from the list")]
    NotACountry,
    /// Not a language code.
    #[error("this is not an ISO 639-2 language code: choose a language from the list")]
    NotALanguage,
    /// Not a calendar day.
    #[error("this is not a date: write year, month and day as YYYY-MM-DD")]
    NotADate,
    /// A calendar day no case can have.
    #[error("the year must lie between {YEAR_MIN} and {YEAR_MAX}: correct the date")]
    YearOutOfRange,
    /// Not a number.
    #[error("this is not a number: write digits only")]
    NotANumber,
    /// A number outside the field's range.
    #[error("the number must lie between {min} and {max}: correct it")]
    OutOfRange {
        /// Lowest value.
        min: i64,
        /// Highest value.
        max: i64,
    },
    /// Neither yes nor no.
    #[error("this is neither yes nor no: choose one")]
    NotAFlag,
    /// Not a phone number in international form.
    #[error("this is not a phone number in international form: write + country code and number, digits only")]
    NotAPhone,
    /// Not an e-mail address.
    #[error("this is not an e-mail address: correct it")]
    NotAnEmail,
}

/// Whether `values` may stand in the field named `field`.
///
/// # Errors
/// The first [`FieldFault`] found. A date is judged as a date only; whether it lies in the future needs a clock and is
/// the importer's and the form's question.
pub fn check(field: &str, values: &[impl AsRef<str>]) -> Result<(), FieldFault> {
    let field = find(field).ok_or(FieldFault::UnknownField)?;
    let max = field.kind.values_max();
    if values.is_empty() {
        return Err(FieldFault::Empty);
    }
    if values.len() > max {
        return Err(FieldFault::TooMany { max });
    }
    for (at, value) in values.iter().enumerate() {
        let value = value.as_ref();
        if value.trim().is_empty() {
            return Err(FieldFault::Empty);
        }
        check_one(field.kind, value)?;
        if values.iter().take(at).any(|earlier| earlier.as_ref() == value) {
            return Err(FieldFault::Repeated);
        }
    }
    Ok(())
}

fn check_one(kind: FieldType, value: &str) -> Result<(), FieldFault> {
    match kind {
        FieldType::Text | FieldType::Texts => clean_text(value, TEXT_MAX_CHARS, false),
        FieldType::LongText => clean_text(value, LONG_TEXT_MAX_CHARS, true),
        FieldType::Date(_) => parse_date(value).map(drop),
        FieldType::Number(max) => whole_number(value, max).map(drop),
        FieldType::Degrees(max) => degrees(value, max),
        FieldType::Checkbox => matches!(value, "true" | "false").then_some(()).ok_or(FieldFault::NotAFlag),
        FieldType::Picklist(list) | FieldType::Multi(list) => {
            codes::is_valid(list, value).then_some(()).ok_or(FieldFault::NotACode)
        }
        FieldType::Country | FieldType::Countries => {
            codes::is_country(value).then_some(()).ok_or(FieldFault::NotACountry)
        }
        FieldType::Language => codes::is_language(value).then_some(()).ok_or(FieldFault::NotALanguage),
        FieldType::Phone => phone(value),
        FieldType::Email => email(value),
    }
}

/// Whether a text is short enough and free of characters nobody typed.
///
/// Refused are control characters (line breaks and tabs only where `lines`), the replacement character that marks a
/// broken encoding, private and unassigned-for-ever code points, byte-order marks, and the marks that turn the direction
/// of what follows: they make a screen show another text than the one that is stored. Scripts are never judged.
///
/// # Errors
/// [`FieldFault::TooLong`] or [`FieldFault::ForbiddenCharacter`].
pub fn clean_text(text: &str, max_chars: usize, lines: bool) -> Result<(), FieldFault> {
    let allowed = |c: char| match c {
        '\n' | '\r' | '\t' => lines,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' => false,
        '\u{e0000}'..='\u{10ffff}' => false,
        other => !other.is_control() && u32::from(other) & 0xfffe != 0xfffe,
    };
    if text.chars().count() > max_chars {
        return Err(FieldFault::TooLong { max: max_chars });
    }
    text.chars().all(allowed).then_some(()).ok_or(FieldFault::ForbiddenCharacter)
}

/// Reads `YYYY-MM-DD` within the years of a case.
pub(crate) fn parse_date(value: &str) -> Result<civil::Date, FieldFault> {
    let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = value.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(FieldFault::NotADate);
    };
    if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) {
        return Err(FieldFault::NotADate);
    }
    let number = |part: &str| part.parse::<i16>().map_err(|_| FieldFault::NotADate);
    day_of(number(year)?, number(month)?, number(day)?)
}

/// The calendar day, if there is one and it lies within the years of a case.
pub(crate) fn day_of(year: i16, month: i16, day: i16) -> Result<civil::Date, FieldFault> {
    if !(YEAR_MIN..=YEAR_MAX).contains(&year) {
        return Err(FieldFault::YearOutOfRange);
    }
    let small = |n: i16| i8::try_from(n).map_err(|_| FieldFault::NotADate);
    civil::Date::new(year, small(month)?, small(day)?).map_err(|_| FieldFault::NotADate)
}

/// Reads digits without sign or leading zeros.
fn whole_number(value: &str, max: u32) -> Result<u32, FieldFault> {
    let digits = value.bytes().all(|b| b.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
    if value.is_empty() || !digits {
        return Err(FieldFault::NotANumber);
    }
    let out = FieldFault::OutOfRange { min: 0, max: i64::from(max) };
    value.parse::<u32>().ok().filter(|n| *n <= max).ok_or(out)
}

fn degrees(value: &str, max: u32) -> Result<(), FieldFault> {
    let shape =
        !value.is_empty() && value.len() <= 24 && value.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    let number: f64 =
        if shape { value.parse().map_err(|_| FieldFault::NotANumber)? } else { return Err(FieldFault::NotANumber) };
    let out = FieldFault::OutOfRange { min: -i64::from(max), max: i64::from(max) };
    (number.abs() <= f64::from(max)).then_some(()).ok_or(out)
}

/// E.164 by the standard's own pattern: `^\+?[1-9]\d{1,14}$`.
fn phone(value: &str) -> Result<(), FieldFault> {
    let digits = value.strip_prefix('+').unwrap_or(value);
    let right = (2..=PHONE_DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    right.then_some(()).ok_or(FieldFault::NotAPhone)
}

/// The shape of an address only; nobody is ever written to in order to try it.
fn email(value: &str) -> Result<(), FieldFault> {
    let shape = value.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty()
            && !host.contains('@')
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
            && !host.contains("..")
    });
    let plain = value.len() <= EMAIL_MAX && !value.contains(|c: char| c.is_whitespace() || "<>,;:\"()[]\\".contains(c));
    if shape && plain { clean_text(value, EMAIL_MAX, false) } else { Err(FieldFault::NotAnEmail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(field: &str, value: &str) -> Result<(), FieldFault> {
        check(field, &[value])
    }

    #[test]
    fn text_keeps_every_script_and_refuses_what_nobody_typed() {
        for name in
            ["Петра", "Стоянова", "Hadžić", "Çelik", "Ș", "Γιώργος", "ქეთევან", "O'Neil", "Null", "NaN", "علی‌رضا"]
        {
            assert_eq!(one("prs_FirstName", name), Ok(()), "{name}");
        }
        for bad in [
            "A\u{0}",
            "A\u{202e}B",
            "A\u{2066}B",
            "\u{feff}A",
            "A\u{fffd}",
            "A\u{85}",
            "A\nB",
            "A\u{200b}B",
            "\u{fffe}",
            "A\u{e001}",
        ] {
            assert_eq!(one("prs_FirstName", bad), Err(FieldFault::ForbiddenCharacter), "{}", bad.escape_unicode());
        }
        assert_eq!(one("cas_IncomingReferralDetails", "two\nlines\tand a tab"), Ok(()));
        assert_eq!(one("cas_IncomingReferralDetails", "bell\u{7}"), Err(FieldFault::ForbiddenCharacter));
    }

    #[test]
    fn limits_are_in_characters_and_hold_at_the_edge() {
        let long = "Ж".repeat(TEXT_MAX_CHARS);
        assert_eq!(one("prs_FirstName", &long), Ok(()));
        assert_eq!(one("prs_FirstName", &(long + "Ж")), Err(FieldFault::TooLong { max: TEXT_MAX_CHARS }));
    }

    #[test]
    fn degrees_are_plain_short_numbers_up_to_their_limit() {
        let longest = format!("{:0<24}", "44.81");
        for good in ["90", "-90", "+44.8125", "90.0", &longest] {
            assert_eq!(one("org_ShippingLatitude", good), Ok(()), "{good}");
        }
        let too_long = format!("{longest}0");
        for bad in [&too_long[..], "1e1", "NaN", "inf", "44,8", "4 4", "north", "+-4"] {
            assert_eq!(one("org_ShippingLatitude", bad), Err(FieldFault::NotANumber), "{bad}");
        }
        for out in ["90.001", "-91"] {
            let fault = FieldFault::OutOfRange { min: -90, max: 90 };
            assert_eq!(one("org_ShippingLatitude", out), Err(fault), "{out}");
        }
    }

    #[test]
    fn dates_are_real_days_of_plausible_years() {
        for good in ["2000-02-29", "1900-01-01", "2013-03-11"] {
            assert_eq!(one("prs_Birthdate", good), Ok(()), "{good}");
        }
        for bad in [
            "1900-02-29",
            "2001-02-29",
            "2001-13-01",
            "11.03.2013",
            "2013-3-11",
            "2013-03-11 ",
            "+013-03-11",
            "2013-03-11-",
        ] {
            assert_eq!(one("prs_Birthdate", bad), Err(FieldFault::NotADate), "{bad}");
        }
        assert_eq!(one("prs_Birthdate", "0001-01-01"), Err(FieldFault::YearOutOfRange));
        assert_eq!(one("prs_Birthdate", "9999-12-31"), Err(FieldFault::YearOutOfRange));
    }

    #[test]
    fn numbers_lie_in_their_range() {
        assert_eq!(one("vic_AgeWhenTrafficked", "13"), Ok(()));
        assert_eq!(one("vic_AgeWhenTrafficked", "0"), Ok(()));
        assert_eq!(one("vic_AgeWhenTrafficked", "200"), Err(FieldFault::OutOfRange { min: 0, max: 120 }));
        assert_eq!(one("vic_AgeWhenTrafficked", "99999999999"), Err(FieldFault::OutOfRange { min: 0, max: 120 }));
        for bad in ["-1", "1.5", "013", "+3", "NaN", "১৩"] {
            assert_eq!(one("vic_AgeWhenTrafficked", bad), Err(FieldFault::NotANumber), "{bad}");
        }
        assert_eq!(one("hte_Latitude", "-44.5"), Ok(()));
        assert_eq!(one("hte_Latitude", "91"), Err(FieldFault::OutOfRange { min: -90, max: 90 }));
        assert_eq!(one("hte_Latitude", "NaN"), Err(FieldFault::NotANumber));
    }

    #[test]
    fn phones_are_international_and_addresses_look_like_addresses() {
        for good in ["+37360000101", "37360000101", "+12"] {
            assert_eq!(one("prs_MobilePhone", good), Ok(()), "{good}");
        }
        for bad in ["069123456", "+0123", "+1", "+1234567890123456", "+373 60", "112a"] {
            assert_eq!(one("prs_MobilePhone", bad), Err(FieldFault::NotAPhone), "{bad}");
        }
        assert_eq!(one("prs_Email", "a.b@example.org"), Ok(()));
        for bad in ["a", "a@b", "@b.c", "a@b..c", "a b@c.d", "a@b.c, d@e.f", "a@@b.c"] {
            assert_eq!(one("prs_Email", bad), Err(FieldFault::NotAnEmail), "{bad}");
        }
    }

    #[test]
    fn lists_take_codes_only_each_once_and_no_more_than_fit() {
        assert_eq!(one("prs_Gender", "Feminine"), Ok(()));
        assert_eq!(one("prs_Gender", "feminine"), Err(FieldFault::NotACode));
        assert_eq!(check("prs_Gender", &["Feminine", "Masculine"]), Err(FieldFault::TooMany { max: 1 }));
        assert_eq!(check("prs_Citizenship", &["MD", "XK"]), Ok(()));
        assert_eq!(check("prs_Citizenship", &["MD", "MD"]), Err(FieldFault::Repeated));
        assert_eq!(one("prs_Citizenship", "MDA"), Err(FieldFault::NotACountry));
        assert_eq!(one("prs_PrimaryLanguage", "ro"), Err(FieldFault::NotALanguage));
        assert_eq!(one("con_Consent", "Yes"), Err(FieldFault::NotAFlag));
        assert_eq!(one("prs_Gender", ""), Err(FieldFault::Empty));
        assert_eq!(check("prs_Gender", &[""; 0]), Err(FieldFault::Empty));
        assert_eq!(one("prs_ShoeSize", "38"), Err(FieldFault::UnknownField));
    }

    #[test]
    fn a_fault_never_repeats_the_value() {
        let fault = one("prs_FirstName", "Ileana\u{0}").unwrap_err();
        assert!(!fault.to_string().contains("Ileana") && !format!("{fault:?}").contains("Ileana"));
    }
}
