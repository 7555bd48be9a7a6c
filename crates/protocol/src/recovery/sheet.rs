//! The sheets: a seed in three shares of which any two people together have all, as words that can be read out and typed.
//!
//! `seed = a ^ b ^ c`; the first sheet holds a and b, the second b and c, the third c and a. One sheet alone fits every
//! seed there is. Each line ends with a check word, so that a mistyped one is named before two people part. Refuses
//! sheets of different keys, the same sheet twice, and a seed whose public key is not the one on the sheets.

use std::fmt::Write as _;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::RecoverySecret;
use crate::labels;
use crate::pae::hash;
use crate::words::{unword, word};

/// Sheets of one key.
pub const SHEETS: u8 = 3;
/// Sheets that open together.
pub const SHEETS_NEEDED: usize = 2;
/// Longest text that is read as a sheet, in bytes.
pub const SHEET_TEXT_MAX: usize = 16 << 10;

const SHARE_LEN: usize = 32;
const LINE_WORDS: usize = 4;
const LINE_LEN: usize = 2 * LINE_WORDS;
/// How the lines begin that are read back; all other text is for people.
const SHEET_FIELD: &str = "Sheet:";
const KEY_FIELD: &str = "Key:";

/// Why sheets are not taken. Names lines and never what stands in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SheetFault {
    /// The lines that name sheet and key are missing or twice there.
    #[error("it is no recovery sheet: the lines `Sheet:` and `Key:` are not there, or twice")]
    NotASheet,
    /// A numbered line is missing, twice there, or has not five words.
    #[error("line {0} is missing, twice there, or has not five words")]
    Line(u8),
    /// A word that is none.
    #[error("line {line}: word {word} is not a word of a sheet")]
    Word {
        /// The line, from 1.
        line: u8,
        /// The word, from 1.
        word: u8,
    },
    /// The check word says that another word of the line is wrong, or is wrong itself.
    #[error("line {0} does not fit its check word: a word of it is wrong")]
    Check(u8),
    /// Not two sheets, or twice the same.
    #[error("two different sheets of the three are needed")]
    Two,
    /// They are of different keys, or do not fit each other.
    #[error("the sheets are of different recovery keys")]
    Mixed,
}

/// One sheet. Wiped when dropped; no `Debug`, no `Clone`.
pub struct Sheet {
    number: u8,
    key: String,
    shares: [Zeroizing<[u8; SHARE_LEN]>; 2],
}

impl RecoverySecret {
    /// The three sheets. Each call shares the seed anew; keep those of one call alone.
    ///
    /// # Errors
    /// [`crate::keys::KeyFault`] only if the KEM refuses its own seed.
    pub fn sheets(&self, rng: &mut impl CryptoRng) -> Result<[Sheet; SHEETS as usize], crate::keys::KeyFault> {
        let mut random = || {
            let mut share = Zeroizing::new([0u8; SHARE_LEN]);
            rng.fill_bytes(share.as_mut());
            share
        };
        let (a, b) = (random(), random());
        let c = xor(&[&a, &b, self.seed()]);
        let key = self.key()?.words();
        let sheet = |number, first: &Zeroizing<[u8; SHARE_LEN]>, second: &Zeroizing<[u8; SHARE_LEN]>| Sheet {
            number,
            key: key.clone(),
            shares: [first.clone(), second.clone()],
        };
        Ok([sheet(1, &a, &b), sheet(2, &b, &c), sheet(3, &c, &a)])
    }
}

impl Sheet {
    /// Which of the three it is, from 1.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The eight words of the key it is of.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As text to be printed and kept; `whose` names organisation and network, a line each.
    #[must_use]
    pub fn text(&self, whose: &[(&str, String)]) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(2048));
        let _ = writeln!(out, "Recovery sheet of a clearhouse node\n");
        for (field, value) in whose {
            let _ = writeln!(out, "{field}: {value}");
        }
        let _ = writeln!(out, "{SHEET_FIELD} {} of {SHEETS}\n{KEY_FIELD} {}\n", self.number, self.key);
        let bytes = Zeroizing::new([self.shares[0].as_ref(), self.shares[1].as_ref()].concat());
        for (line, bytes) in (1u8..).zip(bytes.chunks(LINE_LEN)) {
            let _ = write!(out, "{line:>2} ");
            for pair in bytes.chunks(2) {
                out.push(' ');
                out.push_str(&Zeroizing::new(word(u16::from_be_bytes([pair[0], pair[1]]))));
            }
            let _ = writeln!(out, "   {}", word(self.check(line, bytes)));
        }
        out.push_str(ADVICE);
        out
    }

    /// Reads a sheet, from the file or as somebody typed it.
    ///
    /// # Errors
    /// [`SheetFault`]: the first line that is wrong.
    pub fn read(text: &str) -> Result<Self, SheetFault> {
        let only = |field: &str| {
            let mut found = text.lines().filter_map(|line| line.trim().strip_prefix(field));
            found.next().filter(|_| found.next().is_none()).ok_or(SheetFault::NotASheet)
        };
        let number = only(SHEET_FIELD)?.split_whitespace().next().and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=SHEETS).contains(number)).ok_or(SheetFault::NotASheet)?;
        let key = only(KEY_FIELD)?.split_whitespace().map(str::to_ascii_lowercase).collect::<Vec<_>>().join(" ");
        let mut sheet = Self { number, key, shares: [Zeroizing::new([0; SHARE_LEN]), Zeroizing::new([0; SHARE_LEN])] };
        let mut bytes = Zeroizing::new([0u8; 2 * SHARE_LEN]);
        for (line, bytes) in (1u8..).zip(bytes.chunks_mut(LINE_LEN)) {
            let check = read_line(text, line, bytes)?;
            if sheet.check(line, bytes) != check {
                return Err(SheetFault::Check(line));
            }
        }
        sheet.shares[0].copy_from_slice(&bytes[..SHARE_LEN]);
        sheet.shares[1].copy_from_slice(&bytes[SHARE_LEN..]);
        Ok(sheet)
    }

    /// Also binds key and sheet number: a line copied from another sheet is named.
    fn check(&self, line: u8, bytes: &[u8]) -> u16 {
        let whole = hash(labels::RECOVERY_SHEET, &[self.key.as_bytes(), &[self.number, line], bytes]);
        u16::from_be_bytes([whole[0], whole[1]])
    }

    /// The first, second and third share, where this sheet has them.
    fn by_place(&self) -> [Option<&[u8; SHARE_LEN]>; 3] {
        let mut places = [None; 3];
        let first = usize::from(self.number - 1);
        places[first] = Some(&*self.shares[0]);
        places[(first + 1) % 3] = Some(&*self.shares[1]);
        places
    }
}

/// Reads the words of one line into `into`; gives its check word.
fn read_line(text: &str, line: u8, into: &mut [u8]) -> Result<u16, SheetFault> {
    let mut lines = text.lines().filter_map(|found| {
        let mut words = found.split_whitespace();
        (words.next()?.parse() == Ok(line)).then(move || words.collect::<Vec<_>>())
    });
    let words = lines.next().filter(|words| words.len() == LINE_WORDS + 1).ok_or(SheetFault::Line(line))?;
    if lines.next().is_some() {
        return Err(SheetFault::Line(line));
    }
    let mut last = 0;
    for (place, typed) in (0u8..).zip(words) {
        last = unword(typed).ok_or(SheetFault::Word { line, word: place + 1 })?;
        if let Some(pair) = into.chunks_mut(2).nth(place.into()) {
            pair.copy_from_slice(&last.to_be_bytes());
        }
    }
    Ok(last)
}

/// Puts two sheets together.
///
/// # Errors
/// [`SheetFault::Two`], [`SheetFault::Mixed`].
pub fn join(sheets: &[Sheet]) -> Result<RecoverySecret, SheetFault> {
    let [one, other] = sheets else { return Err(SheetFault::Two) };
    if one.number == other.number {
        return Err(SheetFault::Two);
    }
    let mut shares = [const { None }; 3];
    for (place, (one, other)) in one.by_place().into_iter().zip(other.by_place()).enumerate() {
        shares[place] = match (one, other) {
            (Some(one), Some(other)) if one != other => return Err(SheetFault::Mixed),
            (one, other) => one.or(other),
        };
    }
    let [Some(a), Some(b), Some(c)] = shares else { return Err(SheetFault::Two) };
    let secret = RecoverySecret::from_seed(&xor(&[a, b, c]));
    let key = secret.key().map_err(|_| SheetFault::Mixed)?.words();
    if key == one.key && key == other.key { Ok(secret) } else { Err(SheetFault::Mixed) }
}

fn xor(shares: &[&[u8; SHARE_LEN]; 3]) -> Zeroizing<[u8; SHARE_LEN]> {
    let mut out = Zeroizing::new([0u8; SHARE_LEN]);
    for share in shares {
        out.iter_mut().zip(*share).for_each(|(out, byte)| *out ^= byte);
    }
    out
}

const ADVICE: &str = "
Print this sheet, read it over, and delete the file. Two of the three sheets open
every backup of this node; one alone tells nothing. Give each to another person
(a director, a member of the board, a lawyer), who keeps it in another building
and apart from backups. Type it only into `clearhouse backup verify` or
`clearhouse restore`, at a machine you trust. The last word of a line checks the
others. If a sheet may be in wrong hands: clearhouse backup key --help
";

#[cfg(test)]
mod tests;
