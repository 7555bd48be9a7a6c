//! One cell into the values of its field, as they travel: codes for labels, ISO for dates, `true` for yes.
//!
//! Text is kept letter for letter. Everything else either is exactly what its field asks for or is refused with a reason;
//! no value is repaired beyond blanks, and every reading that a person should compare is reported as well.

use jiff::ToSpan;
use jiff::civil::Date;
use zeroize::{Zeroize, Zeroizing};

use super::report::Kind;
use super::sheet::{Cell, Value};
use crate::htcds::codes::{self, List};
use crate::htcds::fields::{
    Field, FieldFault, FieldType, LONG_TEXT_MAX_CHARS, TEXT_MAX_CHARS, VALUES_MAX, When, check, day_of, parse_date,
};

/// Pieces between `;` that one cell may have: labels hold a `;` themselves.
const PIECES_MAX: usize = 4 * VALUES_MAX;
/// The largest number up to which a spreadsheet keeps every digit.
const EXACT_MAX: f64 = 999_999_999_999_999.0;
/// A plain number is taken for a day of the spreadsheet's calendar from here on (1927); below lie years and ages.
const SERIAL_MIN: f64 = 10_000.0;
/// Last day of the spreadsheet's calendar (9999-12-31).
const SERIAL_MAX: f64 = 2_958_465.0;

/// What the reading of a cell depends on beside the cell.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) today: Date,
    pub(super) from_1904: bool,
}

/// What was read from one cell.
pub(super) struct Taken {
    pub(super) values: Vec<String>,
    /// Why there is no value, where the cell says so.
    pub(super) null_reason: Option<&'static str>,
    /// What a person should compare.
    pub(super) notes: Vec<Kind>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl Taken {
    fn one(value: String) -> Self {
        Self { values: vec![value], null_reason: None, notes: Vec::new() }
    }

    fn noting(mut self, kind: Kind) -> Self {
        self.notes.push(kind);
        self
    }
}

/// Reads one cell for one field.
///
/// # Errors
/// The [`Kind`] of finding that says why nothing was taken.
pub(super) fn take(field: &'static Field, cell: &Cell, context: Context) -> Result<Taken, Kind> {
    let value = match cell {
        Cell::Value(value) => value,
        Cell::Formula => return Err(Kind::Formula),
        Cell::Error => return Err(Kind::ErrorCell),
        Cell::TooLong => {
            let max = if field.kind == FieldType::LongText { LONG_TEXT_MAX_CHARS } else { TEXT_MAX_CHARS };
            return Err(Kind::Refused(FieldFault::TooLong { max }));
        }
    };
    if let Some(reason) = cell.text().and_then(|text| null_reason(field, text)) {
        return Ok(Taken { values: Vec::new(), null_reason: Some(reason), notes: Vec::new() });
    }
    let taken = match field.kind {
        FieldType::Text | FieldType::LongText => words(value)?,
        FieldType::Texts => several_words(value)?,
        FieldType::Date(when) => date(value, when, context)?,
        FieldType::Number(max) => whole_number(value, max)?,
        FieldType::Degrees(_) => decimal(value)?,
        FieldType::Checkbox => flag(value)?,
        FieldType::Picklist(list) | FieldType::Multi(list) => choices(value, &|text| codes::from_label(list, text))?,
        FieldType::Country | FieldType::Countries => choices(value, &codes::country_from_label)?,
        FieldType::Language => choices(value, &codes::language_from_label)?,
        FieldType::Phone => phone(value)?,
        FieldType::Email => Taken::one(words_only(value)?.to_owned()),
    };
    check(field.name, &taken.values).map_err(Kind::Refused)?;
    Ok(taken)
}

/// "Not asked" and its like, where no word of the person can stand: someone may be called Null, nobody is born Refused.
fn null_reason(field: &Field, text: &str) -> Option<&'static str> {
    match field.kind {
        FieldType::Text | FieldType::Texts | FieldType::LongText | FieldType::Phone | FieldType::Email => None,
        FieldType::Picklist(list) | FieldType::Multi(list) if codes::from_label(list, text).is_some() => None,
        FieldType::Picklist(_)
        | FieldType::Multi(_)
        | FieldType::Date(_)
        | FieldType::Number(_)
        | FieldType::Degrees(_)
        | FieldType::Checkbox
        | FieldType::Country
        | FieldType::Countries
        | FieldType::Language => codes::from_label(List::NullReason, text),
    }
}

fn words_only(value: &Value) -> Result<&str, Kind> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Number(_) | Value::Date(_) | Value::IsoDate(_) | Value::Flag(_) => Err(Kind::WrongCellType),
    }
}

fn words(value: &Value) -> Result<Taken, Kind> {
    if let Value::Number(n) = value {
        return digits(*n).map(|text| Taken::one(text).noting(Kind::DigitsFromNumber));
    }
    words_only(value).map(|text| Taken::one(text.to_owned()))
}

fn several_words(value: &Value) -> Result<Taken, Kind> {
    let pieces = words_only(value)?.split([';', '\n']).map(str::trim).filter(|piece| !piece.is_empty());
    Ok(Taken { values: pieces.map(str::to_owned).collect(), null_reason: None, notes: Vec::new() })
}

/// The digits of a whole number a spreadsheet can hold exactly.
fn digits(number: f64) -> Result<String, Kind> {
    let exact = number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number);
    if exact { Ok(format!("{number:.0}")) } else { Err(Kind::WrongCellType) }
}

fn whole_number(value: &Value, max: u32) -> Result<Taken, Kind> {
    let Value::Number(n) = value else { return words_only(value).map(|text| Taken::one(text.to_owned())) };
    let fault =
        if n.fract() == 0.0 { FieldFault::OutOfRange { min: 0, max: i64::from(max) } } else { FieldFault::NotANumber };
    digits(*n).map(Taken::one).map_err(|_| Kind::Refused(fault))
}

fn decimal(value: &Value) -> Result<Taken, Kind> {
    let Value::Number(n) = value else { return words_only(value).map(|text| Taken::one(text.to_owned())) };
    Ok(Taken::one(n.to_string()))
}

fn flag(value: &Value) -> Result<Taken, Kind> {
    let flag = match value {
        Value::Flag(flag) => Some(*flag),
        Value::Number(n) if *n == 1.0 => Some(true),
        Value::Number(n) if *n == 0.0 => Some(false),
        Value::Number(_) => None,
        Value::Text(_) | Value::Date(_) | Value::IsoDate(_) => match codes::plain(words_only(value)?).as_str() {
            "yes" | "true" | "1" => Some(true),
            "no" | "false" | "0" => Some(false),
            _ => None,
        },
    };
    flag.map(|flag| Taken::one(flag.to_string())).ok_or(Kind::Refused(FieldFault::NotAFlag))
}

/// Takes blanks and the usual signs out of a phone number; `00` in front is the `+` it stands for.
fn phone(value: &Value) -> Result<Taken, Kind> {
    if let Value::Number(n) = value {
        return digits(*n).map(|text| Taken::one(text).noting(Kind::DigitsFromNumber));
    }
    let text = words_only(value)?;
    let kept = text.chars().filter(|c| !c.is_whitespace() && !"-./()".contains(*c));
    let bare: Zeroizing<String> = Zeroizing::new(kept.collect());
    let tidy = bare.strip_prefix("00").map_or_else(|| bare.as_str().to_owned(), |rest| format!("+{rest}"));
    let changed = tidy != text;
    let taken = Taken::one(tidy);
    Ok(if changed { taken.noting(Kind::PhoneTidied) } else { taken })
}

/// The values a cell of a list names: the whole cell as one, else its parts between `;`, else codes between blanks.
///
/// Labels may hold a `;` themselves, so every way to cut the cell into known values is tried; two ways are one too many.
fn choices(value: &Value, known: &dyn Fn(&str) -> Option<&'static str>) -> Result<Taken, Kind> {
    let text = words_only(value)?;
    let found = match known(text) {
        Some(code) => vec![code],
        None => cut(text, known)?,
    };
    let mut values: Vec<String> = Vec::with_capacity(found.len());
    for code in found {
        // Twice the same choice is the same choice.
        if !values.iter().any(|v| v == code) {
            values.push(code.to_owned());
        }
    }
    Ok(Taken { values, null_reason: None, notes: Vec::new() })
}

fn cut(text: &str, known: &dyn Fn(&str) -> Option<&'static str>) -> Result<Vec<&'static str>, Kind> {
    let pieces: Vec<&str> = text.split(';').map(str::trim).filter(|piece| !piece.is_empty()).collect();
    if pieces.is_empty() || pieces.len() > PIECES_MAX {
        return Err(Kind::UnknownChoice);
    }
    if let [single] = pieces.as_slice() {
        let spaced = || single.split_whitespace().map(|word| known(word).filter(|code| *code == word)).collect();
        return known(single).map(|code| vec![code]).or_else(spaced).ok_or(Kind::UnknownChoice);
    }
    // ways[i]: how the pieces from i on can be cut; `None` not at all, else the first cut and whether there is another.
    let mut ways: Vec<Option<(Vec<&'static str>, bool)>> = vec![None; pieces.len() + 1];
    ways[pieces.len()] = Some((Vec::new(), false));
    for from in (0..pieces.len()).rev() {
        let mut way: Option<(Vec<&'static str>, bool)> = None;
        for to in from + 1..=pieces.len().min(from + LABEL_PIECES_MAX) {
            let (Some(code), Some((rest, more))) = (known(&pieces[from..to].join("; ")), &ways[to]) else { continue };
            let cut: Vec<_> = std::iter::once(code).chain(rest.iter().copied()).collect();
            way = Some(match way {
                None => (cut, *more),
                Some((first, _)) => (first, true),
            });
        }
        ways[from] = way;
    }
    match ways.swap_remove(0) {
        Some((found, false)) => Ok(found),
        Some((_, true)) => Err(Kind::AmbiguousChoice),
        None => Err(Kind::UnknownChoice),
    }
}

/// Most pieces between `;` that one label has.
const LABEL_PIECES_MAX: usize = 4;

fn date(value: &Value, when: When, context: Context) -> Result<Taken, Kind> {
    let (day, note) = match value {
        Value::Date(serial) => (of_serial(*serial, context.from_1904)?, None),
        Value::Number(n) if (SERIAL_MIN..=SERIAL_MAX).contains(n) => {
            (of_serial(*n, context.from_1904)?, Some(Kind::DateFromNumber))
        }
        Value::Number(n) if looks_like_year(*n) => return Err(Kind::YearOnly),
        Value::Number(_) => return Err(Kind::Refused(FieldFault::NotADate)),
        Value::IsoDate(text) => (parse_date(text.get(..10).unwrap_or(text)).map_err(Kind::Refused)?, None),
        Value::Text(text) => of_text(text)?,
        Value::Flag(_) => return Err(Kind::WrongCellType),
    };
    if when == When::Past && day > context.today {
        return Err(Kind::FutureDate);
    }
    let mut taken = Taken::one(day.to_string());
    taken.notes.extend(note);
    taken.notes.extend(has_time(value).then_some(Kind::TimeLeftOut));
    Ok(taken)
}

fn has_time(value: &Value) -> bool {
    match value {
        Value::Date(serial) | Value::Number(serial) => serial.fract() != 0.0,
        Value::IsoDate(text) => text.get(10..).is_some_and(|time| time.bytes().any(|b| (b'1'..=b'9').contains(&b))),
        Value::Text(_) | Value::Flag(_) => false,
    }
}

fn looks_like_year(number: f64) -> bool {
    number.fract() == 0.0 && (1900.0..=2100.0).contains(&number)
}

/// A day of the spreadsheet's calendar. The one of 1900 counts a 29 February that never was as day 60.
fn of_serial(serial: f64, from_1904: bool) -> Result<Date, Kind> {
    // In 1905 nobody of a living case was born: a year was typed where a date belongs.
    if looks_like_year(serial) && !from_1904 {
        return Err(Kind::YearOnly);
    }
    let not_a_date = Kind::Refused(FieldFault::NotADate);
    let whole = serial.floor();
    if !(0.0..=SERIAL_MAX).contains(&whole) || (!from_1904 && (whole < 1.0 || whole == 60.0)) {
        return Err(not_a_date);
    }
    let start = match from_1904 {
        true => jiff::civil::date(1904, 1, 1),
        false if whole < 60.0 => jiff::civil::date(1899, 12, 31),
        false => jiff::civil::date(1899, 12, 30),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most seven digits, checked above")]
    let days = whole as i64;
    let day = start.checked_add(days.days()).map_err(|_| not_a_date)?;
    day_of(day.year(), day.month().into(), day.day().into()).map_err(Kind::Refused)
}

/// A date written as text: ISO, or day, month, year where that is the only reading.
///
/// Between dots the day comes first wherever dots are used. Between `/` or `-` it must be beyond 12 or equal the month.
fn of_text(text: &str) -> Result<(Date, Option<Kind>), Kind> {
    let shape_of_iso = text.len() == 10 && text.as_bytes().get(4) == Some(&b'-');
    if shape_of_iso {
        return parse_date(text).map(|day| (day, None)).map_err(Kind::Refused);
    }
    let separator = text.chars().find(|c| matches!(c, '.' | '/' | '-')).ok_or(Kind::UnreadableDate)?;
    let body = if separator == '.' { text.strip_suffix('.').unwrap_or(text) } else { text };
    let parts: Vec<&str> = body.split(separator).map(str::trim).collect();
    let [day, month, year] = parts.as_slice() else { return Err(Kind::UnreadableDate) };
    let number = |part: &str, len: std::ops::RangeInclusive<usize>| {
        let right = len.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if right { part.parse::<i16>().map_err(|_| Kind::UnreadableDate) } else { Err(Kind::UnreadableDate) }
    };
    let (day, month, year) = (number(day, 1..=2)?, number(month, 1..=2)?, number(year, 4..=4)?);
    if separator != '.' && day <= 12 && month <= 12 && day != month {
        return Err(Kind::AmbiguousDate);
    }
    if month > 12 {
        return Err(Kind::UnreadableDate);
    }
    day_of(year, month, day).map(|day| (day, Some(Kind::DateFromText))).map_err(Kind::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::htcds::fields::find;

    const TODAY: Date = jiff::civil::date(2026, 11, 21);

    fn text(value: &str) -> Cell {
        Cell::Value(Value::Text(Zeroizing::new(value.to_owned())))
    }

    fn read_with(field: &str, cell: &Cell, from_1904: bool) -> Result<(Vec<String>, Vec<Kind>), Kind> {
        take(find(field).unwrap(), cell, Context { today: TODAY, from_1904 })
            .map(|t| (t.values.clone(), t.notes.clone()))
    }

    fn read(field: &str, cell: &Cell) -> Result<(Vec<String>, Vec<Kind>), Kind> {
        read_with(field, cell, false)
    }

    fn day(cell: &Cell) -> Result<String, Kind> {
        read("prs_Birthdate", cell).map(|(values, _)| values.concat())
    }

    #[test]
    fn a_flag_is_one_of_two_numbers_or_words_and_nothing_else() {
        let number = |n: f64| flag(&Value::Number(n)).ok().map(|taken| taken.values.concat());
        let word = |text: &str| flag(&Value::Text(Zeroizing::new(text.to_owned()))).ok().map(|t| t.values.concat());
        let [yes, no] = [true, false].map(|on| flag(&Value::Flag(on)).ok().map(|taken| taken.values.concat()));
        assert!(yes.is_some() && no.is_some() && yes != no);
        assert_eq!([number(1.0), number(0.0)], [yes.clone(), no.clone()]);
        assert!([2.0, -1.0, 0.5, f64::NAN].iter().all(|n| number(*n).is_none()));
        assert!(["yes", "true", "1", "Yes"].iter().all(|text| word(text) == yes));
        assert!(["no", "false", "0", "NO"].iter().all(|text| word(text) == no));
        assert!(word("perhaps").is_none());
    }

    #[test]
    fn days_of_both_calendars_are_the_days_the_spreadsheet_shows() {
        for (serial, shown) in [
            (1.0, "1900-01-01"),
            (59.0, "1900-02-28"),
            (61.0, "1900-03-01"),
            (36267.0, "1999-04-17"),
            (41344.0, "2013-03-11"),
        ] {
            assert_eq!(day(&Cell::Value(Value::Date(serial))), Ok(shown.to_owned()));
        }
        assert_eq!(
            read_with("prs_Birthdate", &Cell::Value(Value::Date(34805.0)), true),
            Ok((vec!["1999-04-17".to_owned()], vec![]))
        );
        for impossible in [60.0, 0.0, 0.5, -1.0, 3e6, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(
                day(&Cell::Value(Value::Date(impossible))),
                Err(Kind::Refused(FieldFault::NotADate)),
                "{impossible}"
            );
        }
        assert_eq!(read("prs_Birthdate", &Cell::Value(Value::Date(36267.25))).unwrap().1, [Kind::TimeLeftOut]);
    }

    #[test]
    fn a_plain_number_is_a_date_only_where_it_cannot_be_a_year() {
        assert_eq!(read("prs_Birthdate", &Cell::Value(Value::Number(36267.0))).unwrap().1, [Kind::DateFromNumber]);
        assert_eq!(day(&Cell::Value(Value::Number(1999.0))), Err(Kind::YearOnly));
        assert_eq!(day(&Cell::Value(Value::Date(1999.0))), Err(Kind::YearOnly));
        assert_eq!(day(&Cell::Value(Value::Number(13.0))), Err(Kind::Refused(FieldFault::NotADate)));
        assert_eq!(day(&Cell::Value(Value::Date(60000.0))), Err(Kind::FutureDate));
        assert_eq!(day(&Cell::Value(Value::Date(90000.0))), Err(Kind::Refused(FieldFault::YearOutOfRange)));
    }

    #[test]
    fn dates_in_text_are_iso_or_day_first_without_doubt() {
        assert_eq!(read("prs_Birthdate", &text("2013-03-11")), Ok((vec!["2013-03-11".to_owned()], vec![])));
        for day_first in ["25/03/1999", "25-03-1999", "25.3.1999", "25. 3. 1999."] {
            assert_eq!(
                read("prs_Birthdate", &text(day_first)),
                Ok((vec!["1999-03-25".to_owned()], vec![Kind::DateFromText]))
            );
        }
        assert_eq!(day(&text("03.04.1999")), Ok("1999-04-03".to_owned()));
        assert_eq!(day(&text("04/04/1999")), Ok("1999-04-04".to_owned()));
        for doubtful in ["03/04/1999", "3-4-1999", "12/11/2001"] {
            assert_eq!(day(&text(doubtful)), Err(Kind::AmbiguousDate), "{doubtful}");
        }
        for other in
            ["03/25/1999", "25/03/99", "25 March 1999", "1999", "13", "1999/03/25", "25.03.1999.1", "2013-3-11", "о"]
        {
            assert!(matches!(day(&text(other)), Err(Kind::UnreadableDate)), "{other}");
        }
        assert_eq!(day(&text("31.02.1999")), Err(Kind::Refused(FieldFault::NotADate)));
        assert_eq!(day(&text("0001-01-01")), Err(Kind::Refused(FieldFault::YearOutOfRange)));
        assert_eq!(day(&text("2026-11-22")), Err(Kind::FutureDate));
        assert_eq!(day(&text("2026-11-21")), Ok("2026-11-21".to_owned()));
        assert_eq!(read("spl_PlannedEndDate", &text("2027-01-01")).unwrap().0, ["2027-01-01"]);
    }

    #[test]
    fn a_label_with_a_semicolon_is_one_choice_and_others_are_cut_there() {
        let industry = |value: &str| read("vic_ForcedLabourIndustry", &text(value)).map(|(values, _)| values);
        assert_eq!(
            industry("Water supply; sewerage, waste management and remediation").unwrap(),
            ["E_WaterSupplySewerageWasteManagement"]
        );
        assert_eq!(
            industry("Construction; Wholesale and retail trade; repair of motor vehicles and motorcycles ;Education;")
                .unwrap(),
            ["F_Construction", "G_WholesaleAndRetailTradeRepairOfMotorVehicles", "P_Education"]
        );
        assert_eq!(industry("Construction; sewerage"), Err(Kind::UnknownChoice));
        assert_eq!(industry("Construction; Construction").unwrap(), ["F_Construction"]);
        assert_eq!(industry("F_Construction P_Education").unwrap(), ["F_Construction", "P_Education"]);
        assert_eq!(industry("Construction Education"), Err(Kind::UnknownChoice));
        assert_eq!(industry(&"Construction;".repeat(1000)), Err(Kind::UnknownChoice));
        assert_eq!(industry(";;"), Err(Kind::UnknownChoice));
    }

    #[test]
    fn a_cell_that_can_be_cut_in_two_ways_is_not_cut() {
        let known = |piece: &str| ["a", "b", "a; b", "c"].into_iter().find(|k| *k == piece);
        assert!(matches!(cut("a;b;c", &known), Err(Kind::AmbiguousChoice)));
        assert_eq!(cut("c;b", &known).ok(), Some(vec!["c", "b"]));
        assert!(matches!(cut("c;d", &known), Err(Kind::UnknownChoice)));
    }

    #[test]
    fn one_choice_fields_take_one_and_trailing_blanks_do_not_matter() {
        assert_eq!(read("prs_Gender", &text("Feminine\u{a0}")).unwrap().0, ["Feminine"]);
        assert_eq!(
            read("prs_Gender", &text("Feminine; Masculine")),
            Err(Kind::Refused(FieldFault::TooMany { max: 1 }))
        );
        assert_eq!(
            read("vic_MethodsOfControl", &text("Debt bondage ; False promises")).unwrap().0,
            ["DebtBondage", "FalsePromises"]
        );
        assert_eq!(read("prs_Citizenship", &text("Moldova, Republic of; Romania")).unwrap().0, ["MD", "RO"]);
        assert_eq!(read("prs_Gender", &text("female")), Err(Kind::UnknownChoice));
        assert_eq!(read("prs_Gender", &Cell::Value(Value::Number(1.0))), Err(Kind::WrongCellType));
    }

    #[test]
    fn numbers_flags_and_phones_are_exact_or_refused() {
        let out = FieldFault::OutOfRange { min: 0, max: 120 };
        assert_eq!(read("vic_AgeWhenTrafficked", &Cell::Value(Value::Number(13.0))).unwrap().0, ["13"]);
        assert_eq!(read("vic_AgeWhenTrafficked", &Cell::Value(Value::Number(-1.0))), Err(Kind::Refused(out)));
        assert_eq!(read("vic_AgeWhenTrafficked", &Cell::Value(Value::Number(200.0))), Err(Kind::Refused(out)));
        assert_eq!(
            read("vic_AgeWhenTrafficked", &Cell::Value(Value::Number(13.5))),
            Err(Kind::Refused(FieldFault::NotANumber))
        );
        assert_eq!(
            read("vic_AgeWhenTrafficked", &Cell::Value(Value::Number(f64::NAN))),
            Err(Kind::Refused(FieldFault::NotANumber))
        );
        assert_eq!(read("prs_Deceased", &text("No")).unwrap().0, ["false"]);
        assert_eq!(read("prs_Deceased", &Cell::Value(Value::Flag(true))).unwrap().0, ["true"]);
        assert_eq!(read("prs_Deceased", &text("maybe")), Err(Kind::Refused(FieldFault::NotAFlag)));
        assert_eq!(
            read("prs_MobilePhone", &text("00373 (600) 00-101")),
            Ok((vec!["+37360000101".to_owned()], vec![Kind::PhoneTidied]))
        );
        assert_eq!(
            read("prs_MobilePhone", &Cell::Value(Value::Number(37_360_000_101.0))).unwrap().1,
            [Kind::DigitsFromNumber]
        );
        assert_eq!(read("prs_MobilePhone", &text("069 123 456")), Err(Kind::Refused(FieldFault::NotAPhone)));
        assert_eq!(
            read("prs_MailingPostalCode", &Cell::Value(Value::Number(3600.0))),
            Ok((vec!["3600".to_owned()], vec![Kind::DigitsFromNumber]))
        );
        assert_eq!(read("prs_FirstName", &Cell::Value(Value::Number(1e300))), Err(Kind::WrongCellType));
        assert_eq!(read("prs_FirstName", &Cell::Value(Value::Flag(true))), Err(Kind::WrongCellType));
    }

    #[test]
    fn a_reason_for_a_missing_answer_is_kept_as_one_but_never_where_people_write_names() {
        let reason = |field: &str, value: &str| {
            let taken = take(find(field).unwrap(), &text(value), Context { today: TODAY, from_1904: false }).ok();
            taken.and_then(|t| t.null_reason)
        };
        assert_eq!(reason("vic_MethodOfRecruitment", "Not asked"), Some("NotAsked"));
        assert_eq!(reason("prs_Birthdate", "Refused"), Some("Refused"));
        assert_eq!(reason("prs_FirstName", "Unknown"), None);
        assert_eq!(reason("xrk_HomeSafe", "Unknown"), None, "the list's own Unknown is an answer");
    }
}
