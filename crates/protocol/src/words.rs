//! A fingerprint to be compared by telephone: eight words of five letters that can be spoken in every language of the
//! region (the proquint alphabet: consonant, vowel, consonant, vowel, consonant; 16 bits each).
//!
//! Not words of a dictionary: the two who compare share no mother tongue, and a list in one of them would be spelled out
//! letter by letter by the other. A fingerprint is compared and never typed; what is typed, the sheets of a recovery key, carries
//! check words of its own.

use crate::pae::sha256;

const CONSONANTS: [u8; 16] = *b"bdfghjklmnprstvz";
const VOWELS: [u8; 4] = *b"aiou";
/// Words of one fingerprint: 128 bits.
pub const WORDS: usize = 8;

/// Eight words of the SHA-256 of these bytes.
#[must_use]
pub fn words(bytes: &[u8]) -> String {
    let hash = sha256(bytes);
    let (pairs, _) = hash.as_chunks::<2>();
    let all: Vec<String> = pairs.iter().take(WORDS).map(|pair| word(u16::from_be_bytes(*pair))).collect();
    all.join(" ")
}

/// The word of 16 bits.
pub(crate) fn word(bits: u16) -> String {
    let consonant = |shift: u32| char::from(CONSONANTS[usize::from(bits >> shift & 0xf)]);
    let vowel = |shift: u32| char::from(VOWELS[usize::from(bits >> shift & 0x3)]);
    [consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)].iter().collect()
}

/// The 16 bits of a word as somebody typed it; `None` when it is not one of the alphabet.
pub(crate) fn unword(typed: &str) -> Option<u16> {
    let letters: [u8; 5] = typed.as_bytes().try_into().ok()?;
    let place = |all: &[u8], letter: u8| {
        let found = all.iter().position(|known| *known == letter.to_ascii_lowercase())?;
        u16::try_from(found).ok()
    };
    let (consonant, vowel) = (|at: usize| place(&CONSONANTS, letters[at]), |at: usize| place(&VOWELS, letters[at]));
    Some(consonant(0)? << 12 | vowel(1)? << 10 | consonant(2)? << 6 | vowel(3)? << 4 | consonant(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_published_alphabet() {
        // 127.0.0.1 and 63.84.220.193, as the proposal writes them.
        for (bits, spoken) in [(0x7f00, "lusab"), (0x0001, "babad"), (0x3f54, "gutih"), (0xdcc1, "tugad")] {
            assert_eq!(word(bits), spoken);
        }
    }

    #[test]
    fn every_word_is_read_back_and_no_other_letters_are() {
        for bits in 0..=u16::MAX {
            assert_eq!(unword(&word(bits)), Some(bits));
        }
        assert_eq!(unword("LUSAB"), Some(0x7f00));
        for wrong in ["", "lusa", "lusabb", "lusac", "lesab", "\u{e9}sab"] {
            assert_eq!(unword(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_has_eight_words_and_another_key_has_others() {
        let (one, other) = (words(b"one"), words(b"other"));
        assert_eq!(one.split(' ').count(), WORDS);
        assert!(one.split(' ').all(|word| word.len() == 5));
        assert_ne!(one, other);
    }
}
