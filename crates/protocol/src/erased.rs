//! That a case was erased, told to the other side of it (protocol section 7.10, "tell partners"): they hold a lawful copy of
//! their own, and must not take silence for presence. Names envelopes that both sides know and a rule; refuses a word
//! about the person by having no field for it.

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::canon;
use crate::ids::Digest;
use crate::limits::{ERASED_NAMED_MAX, INNER_MAX, RETENTION_RULE_MAX};

/// What an ERASED message says.
#[derive(Clone, PartialEq, Eq)]
pub struct Erased {
    /// Envelopes of the case, 1 to [`ERASED_NAMED_MAX`].
    pub digests: Vec<Digest>,
    /// The rule, at most [`RETENTION_RULE_MAX`] bytes of lower or upper case letters, digits, dots and hyphens.
    pub rule: String,
}

/// The body of an ERASED message; the first [`ERASED_NAMED_MAX`] envelopes are named.
#[must_use]
pub fn compose(erased: &Erased) -> Vec<u8> {
    let digests = erased.digests.iter().take(ERASED_NAMED_MAX).map(|digest| digest.to_vec()).collect();
    wire::Erased { digests, rule: erased.rule.clone() }.encode_to_vec()
}

/// Reads the body of an ERASED message; `None` when it is none.
#[must_use]
pub fn check(body: &[u8]) -> Option<Erased> {
    let said: wire::Erased = canon::decode(body, INNER_MAX).ok()?;
    let plain = said.rule.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if said.digests.is_empty()
        || said.digests.len() > ERASED_NAMED_MAX
        || said.rule.len() > RETENTION_RULE_MAX
        || !plain
    {
        return None;
    }
    let digests = said.digests.iter().map(|digest| Digest::try_from(digest.as_slice()).ok()).collect::<Option<_>>()?;
    Some(Erased { digests, rule: said.rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_erased_is_read_as_it_was_written_and_nothing_else_is() {
        let named = |n: usize| (0..n).map(|n| Digest([u8::try_from(n).unwrap(); 32])).collect::<Vec<_>>();
        let said = Erased { digests: named(3), rule: "PersonAsked".to_owned() };
        let body = compose(&said);
        assert!(check(&body) == Some(said));
        let many = compose(&Erased { digests: named(ERASED_NAMED_MAX + 5), rule: String::new() });
        assert_eq!(check(&many).unwrap().digests.len(), ERASED_NAMED_MAX);
        let raw = |digests: Vec<Vec<u8>>, rule: &str| wire::Erased { digests, rule: rule.to_owned() }.encode_to_vec();
        for (rule, why) in [("x".repeat(RETENTION_RULE_MAX), "the longest rule"), ("A-z.0".to_owned(), "every letter")]
        {
            assert!(check(&raw(vec![vec![1; 32]], &rule)).is_some(), "{why}");
        }
        for (bad, why) in [
            (raw(vec![], "x"), "names nothing"),
            (raw(vec![vec![1; 31]], "x"), "a short digest"),
            (raw(vec![vec![1; 32]; ERASED_NAMED_MAX + 1], "x"), "too many"),
            (raw(vec![vec![1; 32]], &"x".repeat(RETENTION_RULE_MAX + 1)), "a long rule"),
            (raw(vec![vec![1; 32]], "words of a person"), "words"),
            (body[..body.len() - 1].to_vec(), "cut"),
        ] {
            assert!(check(&bad).is_none(), "{why}");
        }
    }
}
