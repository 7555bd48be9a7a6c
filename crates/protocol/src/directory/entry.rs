//! What an entry of the directory may say of an organisation: never where a shelter is, and never who somebody is.
//!
//! Every word in it is a code but one, the working name. Nobody can tell by a pattern that a name is a person's; what
//! tells a place or a way to somebody can be told, and is refused at admission, whoever signed it. Refuses too much rather
//! than too little: another working name is found quickly, a shelter that stood in a directory is not hidden again.

pub mod membership;

/// The most characters of a working name: enough for what a caseworker calls them, too few for a description.
pub const NAME_MAX: usize = 60;
/// The most characters of a code.
pub const CODE_MAX: usize = 40;
/// The most codes of one kind in an entry.
pub const CODES_MAX: usize = 32;
/// More digits than a year has are a postal code, a telephone number or a register's number.
const DIGITS_MAX: usize = 4;
/// A number with so many places behind its point finds a house.
const PLACES_MAX: usize = 2;

/// What a working name tells that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Telling {
    /// Longer than [`NAME_MAX`], empty, or with characters that are not written.
    #[error("a working name has 1 to {NAME_MAX} characters")]
    Length,
    /// A street and a number.
    #[error("a working name must not hold a street address")]
    Address,
    /// Degrees, or a number with many places.
    #[error("a working name must not hold coordinates")]
    Coordinates,
    /// A telephone number, a postal code, a number in a register.
    #[error("a working name must not hold long numbers")]
    Number,
    /// An address for mail, or of a site.
    #[error("a working name must not hold an address to write to or a site")]
    Contact,
}

/// Words for a street in the region's languages and in those of its partners, in small letters without their point.
const STREETS: [&str; 42] = [
    "street",
    "st",
    "road",
    "rd",
    "avenue",
    "ave",
    "lane",
    "square",
    "str",
    "strada",
    "bd",
    "bvd",
    "blvd",
    "bulevardul",
    "bulevardi",
    "bulevar",
    "boulevard",
    "calea",
    "aleea",
    "sos",
    "soseaua",
    "șoseaua",
    "piata",
    "piața",
    "ul",
    "ulica",
    "ulitsa",
    "trg",
    "rruga",
    "rr",
    "via",
    "viale",
    "piazza",
    "odos",
    "sokak",
    "cad",
    "caddesi",
    "utca",
    "улица",
    "ул",
    "бул",
    "οδός",
];

/// Whether a text is a code: letters and digits after a capital, at most [`CODE_MAX`]. Which codes there are is not asked
/// here: an older node must not refuse what a newer one knows.
#[must_use]
pub fn is_code(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_alphanumeric())
        && text.len() <= CODE_MAX
        && text.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX
}

/// Whether a working name tells nothing that it must not.
///
/// # Errors
/// [`Telling`], what it tells.
pub fn check_name(name: &str) -> Result<(), Telling> {
    if name.trim().is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Telling::Length);
    }
    let small = name.to_lowercase();
    if small.contains('@') || small.contains("://") || small.contains("www.") {
        return Err(Telling::Contact);
    }
    if small.contains(['°', '′', '″']) || numbers(&small).any(|number| places(number) > PLACES_MAX) {
        return Err(Telling::Coordinates);
    }
    let digits = small.chars().filter(|letter| letter.is_numeric()).count();
    if digits > DIGITS_MAX {
        return Err(Telling::Number);
    }
    let mut words = small.split(|letter: char| !letter.is_alphanumeric());
    if digits > 0 && words.any(|word| STREETS.contains(&word)) {
        return Err(Telling::Address);
    }
    Ok(())
}

/// Runs of digits with points and commas in them.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_numeric() || letter == '.' || letter == ','))
}

/// Digits behind the last point or comma of a number, when digits stand before it too.
fn places(number: &str) -> usize {
    let Some((whole, places)) = number.trim_end_matches(['.', ',']).rsplit_once(['.', ',']) else { return 0 };
    if whole.chars().any(char::is_numeric) { places.chars().count() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_organisations_are_names() {
        let names = [
            "Casa Nova",
            "La Strada Moldova",
            "Porto Sicuro (origin)",
            "Organizația Inima 1998",
            "Кућа на путу",
            "Qendra Vatra",
            "24/7 Line",
            "Via Libera",
            "Σπίτι",
            "Star House",
        ];
        for name in names {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_tells_a_place_or_a_way_to_somebody_is_refused() {
        let told = [
            ("Casa Nova, Str. Lungă 12", Telling::Address),
            ("Shelter ul. Kralja Petra 7", Telling::Address),
            ("Via Roma 3", Telling::Address),
            ("Улица Мира 5", Telling::Address),
            ("12 Long Street", Telling::Address),
            ("House 44.4268, 26.1025", Telling::Coordinates),
            ("House 44,4268", Telling::Coordinates),
            ("44°25' N", Telling::Coordinates),
            ("Casa 010071", Telling::Number),
            ("Line 0722 123 456", Telling::Number),
            ("casa@example.org", Telling::Contact),
            ("https://example.org", Telling::Contact),
            ("www.example.org", Telling::Contact),
            ("", Telling::Length),
            ("  ", Telling::Length),
            ("a\nb", Telling::Length),
        ];
        for (name, tells) in told {
            assert_eq!(check_name(name), Err(tells), "{name}");
        }
        for (name, tells) in [
            ("House 4.42", Ok(())),
            ("House 4,42.", Ok(())),
            ("House 4.421", Err(Telling::Coordinates)),
            ("House 4,421.", Err(Telling::Coordinates)),
            ("House .4421", Ok(())),
            ("Casa 1234", Ok(())),
            ("Casa 12345", Err(Telling::Number)),
            ("Casa ١٢٣٤٥", Err(Telling::Number)),
            ("Strada fara numar", Ok(())),
        ] {
            assert_eq!(check_name(name), tells, "{name}");
        }
        for street in STREETS {
            assert_eq!(check_name(&format!("{street} 5")), Err(Telling::Address), "{street}");
        }
        assert_eq!((check_name(&"ș".repeat(60)), check_name(&"ș".repeat(61))), (Ok(()), Err(Telling::Length)));
    }

    #[test]
    fn a_code_is_no_text() {
        assert!(["Destination", "LegalAid", "ChildProtection", "Iso9001"].into_iter().all(is_code));
        assert!(is_code("A") && is_code(&format!("A{}", "a".repeat(CODE_MAX - 1))) && !is_code("Iso90010"));
        let texts = ["", "legalAid", "Legal Aid", "Str12345", "Casa-Nova", "Țară"];
        assert!(!texts.into_iter().any(is_code) && !is_code(&format!("A{}", "a".repeat(40))));
    }
}
