//! Words that must never be seen in clear: planted in every profile, looked for in every byte that reaches a store or
//! the net. Looked for as they are, in both orders of UTF-16, in hex and in base64 at each of its three offsets.

use std::sync::OnceLock;

/// Her name, Latin.
pub(super) const NAME_LATIN: &str = "Zvezdomira-Ileana";
/// Her name, Cyrillic.
pub(super) const NAME_CYRILLIC: &str = "Ђурђица Светлозарова";
/// Her phone.
pub(super) const PHONE: &str = "+37369011223";
/// Words about her health.
pub(super) const HEALTH: &str = "Needs insulin and a lamp at night.";
/// What stands in an attachment.
pub(super) const ATTACHED: &str = "attached-diagnosis-F43-1-kestrel";

/// Everything planted.
pub(super) const ALL: [&str; 5] = [NAME_LATIN, NAME_CYRILLIC, PHONE, HEALTH, ATTACHED];

struct Scanner {
    patterns: Vec<(Vec<u8>, &'static str)>,
    /// Pairs of first bytes that begin a pattern: nearly every position is passed over by one look.
    begins: Vec<bool>,
}

/// The first canary that stands in `bytes`, in whichever writing.
pub(super) fn find(bytes: &[u8]) -> Option<&'static str> {
    static SCANNER: OnceLock<Scanner> = OnceLock::new();
    let scanner = SCANNER.get_or_init(Scanner::new);
    let mut before = usize::from(*bytes.first()?) << 8;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        let pair = before | usize::from(*byte);
        if scanner.begins[pair]
            && let Some((_, word)) = scanner.patterns.iter().find(|(p, _)| bytes[at - 1..].starts_with(p))
        {
            return Some(word);
        }
        before = usize::from(*byte) << 8;
    }
    None
}

impl Scanner {
    fn new() -> Self {
        let mut patterns = Vec::new();
        for word in ALL {
            let utf8 = word.as_bytes().to_vec();
            let wide: Vec<u16> = word.encode_utf16().collect();
            patterns.push(wide.iter().flat_map(|unit| unit.to_le_bytes()).collect());
            patterns.push(wide.iter().flat_map(|unit| unit.to_be_bytes()).collect());
            patterns.push(clearhouse_protocol::ids::hex(&utf8).into_bytes());
            patterns.extend((0..3).map(|offset| base64_inner(&utf8, offset)));
            patterns.push(utf8);
        }
        let each = patterns.len() / ALL.len();
        let patterns: Vec<_> =
            patterns.into_iter().enumerate().map(|(i, p): (_, Vec<u8>)| (p, ALL[i / each])).collect();
        let mut begins = vec![false; 1 << 16];
        for (pattern, _) in &patterns {
            begins[usize::from(pattern[0]) << 8 | usize::from(pattern[1])] = true;
        }
        Self { patterns, begins }
    }
}

/// The base64 letters of `bytes` that do not depend on what stands around them, when they begin `offset` bytes into a
/// group of three.
fn base64_inner(bytes: &[u8], offset: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = |i: usize| bytes.get(i / 8).map_or(0, |byte| usize::from(byte >> (7 - i % 8) & 1));
    let first = (6 - offset * 8 % 6) % 6;
    let whole = (bytes.len() * 8 - first) / 6;
    (0..whole).map(|n| LETTERS[(0..6).fold(0, |acc, b| acc << 1 | bits(first + n * 6 + b))]).collect()
}

#[test]
fn a_canary_is_found_in_every_writing_and_in_nothing_else() {
    for word in ALL {
        let around = |inner: &[u8]| [b"..", inner, b".."].concat();
        assert_eq!(find(&around(word.as_bytes())), Some(word));
        let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(find(&around(&wide)), Some(word));
        assert_eq!(find(&around(clearhouse_protocol::ids::hex(word.as_bytes()).as_bytes())), Some(word));
    }
    // "x" + PHONE and "xy" + PHONE, as any base64 encoder writes them.
    assert_eq!(find(b"KzM3MzY5MDExMjIz"), Some(PHONE));
    assert_eq!(find(b"eCszNzM2OTAxMTIyMw=="), Some(PHONE));
    assert_eq!(find(b"eHkrMzczNjkwMTEyMjM="), Some(PHONE));
    assert_eq!(find(&[0; 64]), None);
    assert_eq!(find(b""), None);
    assert_eq!(find(b"an ordinary line of text, with +373 in it"), None);
}
