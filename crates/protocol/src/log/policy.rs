//! Witness policies as text (C2SP tlog-policy): which witnesses there are, and which of them together are enough.
//!
//! Read strictly: a line that is not understood refuses the whole text, because a rule that was passed over is a rule
//! that was broken. Refuses to fetch anything: addresses in a policy are skipped.

use std::collections::{BTreeMap, BTreeSet};

use super::note::{KeyKind, NoteKey};

/// Bytes of one policy.
pub const POLICY_MAX: usize = 32 << 10;
/// Logs, witnesses and groups of one policy, each.
pub const ENTRIES_MAX: usize = 32;

/// Why a text is no policy. Lines are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// Longer than [`POLICY_MAX`], a last line without an end, or a character that may not be in it.
    #[error("this is not a policy text")]
    Malformed,
    /// A line that says nothing this program knows, or not all that it must.
    #[error("line {0} of the policy cannot be read")]
    Line(usize),
    /// A key that is none, or is of the wrong kind.
    #[error("line {0} of the policy holds no usable key")]
    Key(usize),
    /// A key or a name for the second time.
    #[error("line {0} of the policy repeats a key or a name")]
    Repeated(usize),
    /// A group or quorum of something that no line before it defines, or that another group has taken already.
    #[error("line {0} of the policy names what is not defined before it, or is in another group already")]
    Member(usize),
    /// A group that asks for none, or for more than it has.
    #[error("line {0} of the policy asks for a number that the group cannot give")]
    Threshold(usize),
    /// More than [`ENTRIES_MAX`] of a kind.
    #[error("the policy has more than {ENTRIES_MAX} logs, witnesses or groups")]
    TooMany,
    /// No quorum line, or a second one.
    #[error("the policy must have exactly one quorum line")]
    Quorum,
}

/// What must have been signed: by one witness, or by enough members of a group.
#[derive(Clone, PartialEq, Eq)]
pub enum Rule {
    /// By the witness with this place in the list.
    Witness(usize),
    /// By `enough` of these.
    Group {
        /// How many.
        enough: usize,
        /// Out of which.
        of: Vec<Rule>,
    },
}

impl Rule {
    /// Whether the witnesses at these places satisfy it.
    #[must_use]
    pub fn holds(&self, signed: &BTreeSet<usize>) -> bool {
        match self {
            Self::Witness(place) => signed.contains(place),
            Self::Group { enough, of } => of.iter().filter(|rule| rule.holds(signed)).count() >= *enough,
        }
    }
}

/// A policy.
#[derive(Clone, PartialEq, Eq)]
pub struct Policy {
    /// The logs it is about; none when that is known from elsewhere.
    pub logs: Vec<NoteKey>,
    /// Its witnesses, each with a key of its own.
    pub witnesses: Vec<NoteKey>,
    /// What is enough; `None` when no witness is asked for (`quorum none`).
    pub quorum: Option<Rule>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyFault`].
    pub fn parse(text: &str) -> Result<Self, PolicyFault> {
        let odd = |c: char| c.is_ascii_control() && c != '\n' && c != '\t';
        if text.len() > POLICY_MAX || text.chars().any(odd) {
            return Err(PolicyFault::Malformed);
        }
        let mut reader = Reader::default();
        for (line, number) in text.strip_suffix('\n').ok_or(PolicyFault::Malformed)?.split('\n').zip(1..) {
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_some_and(|word| !word.starts_with('#')) {
                reader.take(&words, number)?;
            }
        }
        let Reader { logs, witnesses, quorum, .. } = reader;
        Ok(Self { logs, witnesses, quorum: quorum.ok_or(PolicyFault::Quorum)? })
    }

    /// Whether it says anything about the log with this key.
    #[must_use]
    pub fn is_about(&self, log: &NoteKey) -> bool {
        self.logs.is_empty() || self.logs.contains(log)
    }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<NoteKey>,
    witnesses: Vec<NoteKey>,
    groups: usize,
    /// Names that no group has taken yet.
    free: BTreeMap<String, Rule>,
    /// Every name that was defined.
    names: BTreeSet<String>,
    quorum: Option<Option<Rule>>,
}

impl Reader {
    fn take(&mut self, words: &[&str], line: usize) -> Result<(), PolicyFault> {
        match words {
            ["log", key] | ["log", key, _] => enlist(&mut self.logs, key, KeyKind::Log, line),
            ["witness", name, key] | ["witness", name, key, _] => {
                enlist(&mut self.witnesses, key, KeyKind::Witness, line)?;
                self.define(name, Rule::Witness(self.witnesses.len() - 1), line)
            }
            ["group", name, enough, members @ ..] if !members.is_empty() => {
                self.groups += 1;
                if self.groups > ENTRIES_MAX {
                    return Err(PolicyFault::TooMany);
                }
                let enough = threshold(enough, members.len()).ok_or(PolicyFault::Threshold(line))?;
                let of = members.iter().map(|member| self.free.remove(*member).ok_or(PolicyFault::Member(line)));
                let group = Rule::Group { enough, of: of.collect::<Result<_, _>>()? };
                self.define(name, group, line)
            }
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err(PolicyFault::Quorum);
                }
                let found = if *name == "none" { None } else { Some(self.free.get(*name).cloned()) };
                self.quorum = Some(found.map(|rule| rule.ok_or(PolicyFault::Member(line))).transpose()?);
                Ok(())
            }
            _ => Err(PolicyFault::Line(line)),
        }
    }

    fn define(&mut self, name: &str, rule: Rule, line: usize) -> Result<(), PolicyFault> {
        if name == "none" || !self.names.insert(name.to_owned()) {
            return Err(PolicyFault::Repeated(line));
        }
        self.free.insert(name.to_owned(), rule);
        Ok(())
    }
}

/// Takes a key. One under two names would count twice, because a cosignature does not say who made it.
fn enlist(keys: &mut Vec<NoteKey>, text: &str, kind: KeyKind, line: usize) -> Result<(), PolicyFault> {
    let key = NoteKey::parse(text).ok().filter(|key| key.kind() == kind).ok_or(PolicyFault::Key(line))?;
    if keys.iter().any(|known| known.public() == key.public()) {
        return Err(PolicyFault::Repeated(line));
    }
    keys.push(key);
    if keys.len() > ENTRIES_MAX { Err(PolicyFault::TooMany) } else { Ok(()) }
}

fn threshold(text: &str, of: usize) -> Option<usize> {
    let enough = match text {
        "all" => of,
        "any" => 1,
        number => usize::try_from(super::read_number(number)?).ok()?,
    };
    (1..=of).contains(&enough).then_some(enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn key(n: u8, kind: KeyKind) -> String {
        NoteKey::new(&format!("key{n}"), kind, &SigningKey::from_seed(&[n; 32]).public()).unwrap().to_string()
    }

    fn witness(n: u8) -> String {
        key(n, KeyKind::Witness)
    }

    /// The specification's own example.
    fn two_levels() -> String {
        let mut text = format!("# a policy\nlog {}\n\n", key(9, KeyKind::Log));
        (1..=6).for_each(|n| text += &format!("witness\tw{n}  {} https://w{n}.example.org\n", witness(n)));
        text + "group X 2 w1 w2 w3\n group Y any w4 w5 w6 \ngroup both all X Y\nquorum both\n"
    }

    #[test]
    fn groups_of_groups_hold_when_enough_of_each_signed() {
        let policy = Policy::parse(&two_levels()).ok().unwrap();
        assert_eq!((policy.logs.len(), policy.witnesses.len()), (1, 6));
        let quorum = policy.quorum.clone().unwrap();
        let holds = |signed: &[usize]| quorum.holds(&signed.iter().copied().collect());
        assert!(holds(&[0, 1, 3]) && holds(&[1, 2, 5]) && holds(&[0, 1, 2, 3, 4, 5]));
        assert!(!holds(&[]) && !holds(&[0, 1]) && !holds(&[0, 3, 4, 5]) && !holds(&[3, 4, 5, 17]));
        let log = |n| NoteKey::parse(&key(n, KeyKind::Log)).ok().unwrap();
        assert!(policy.is_about(&log(9)) && !policy.is_about(&log(8)));
    }

    #[test]
    fn no_witness_or_one_can_be_enough() {
        assert!(Policy::parse("quorum none\n").ok().unwrap().quorum.is_none());
        let one = Policy::parse(&format!("witness w {}\nquorum w\n", witness(1))).ok().unwrap();
        assert!(one.quorum.unwrap().holds(&[0].into()));
    }

    #[test]
    fn a_policy_as_large_as_may_be_is_read_and_one_with_more_is_not() {
        let table = |n: usize, kind: fn(u8) -> String| (0..n as u8).map(kind).collect::<String>();
        let logs = |n: u8| format!("log {}\n", key(n, KeyKind::Log));
        let witnesses = |n: u8| format!("witness w{n} {}\n", witness(100 + n));
        let groups = |n: u8| format!("group g{n} any w{n}\n");
        for (n, fault) in [(ENTRIES_MAX, None), (ENTRIES_MAX + 1, Some(PolicyFault::TooMany))] {
            for text in [
                table(n, logs),
                table(n, witnesses),
                // A group of each witness; of one too many the number is told, before anything else.
                table(ENTRIES_MAX, witnesses) + &table(ENTRIES_MAX - 1, groups) + &"group h any w31\n".repeat(n - 31),
            ] {
                assert_eq!(Policy::parse(&(text + "quorum none\n")).err(), fault, "{n}");
            }
        }
        let text = two_levels();
        let padded = format!("#{}\n{text}", "x".repeat(POLICY_MAX - text.len() - 2));
        assert_eq!(padded.len(), POLICY_MAX);
        assert!(Policy::parse(&padded).is_ok());
        assert_eq!(Policy::parse(&format!("#{padded}")).err(), Some(PolicyFault::Malformed));
    }

    #[test]
    fn what_is_not_understood_refuses_the_whole_text() {
        use PolicyFault::{Key, Line, Malformed, Member, Quorum, Repeated, Threshold, TooMany};
        let (one, two) = (format!("witness a {}\n", witness(1)), format!("witness b {}\n", witness(2)));
        let many: String = (0..33).map(|n| format!("witness w{n} {}\n", witness(n))).collect();
        let table = [
            (String::new(), Malformed),
            ("quorum none".to_owned(), Malformed),
            ("quorum none\r\n".to_owned(), Malformed),
            ("x".repeat(POLICY_MAX) + "\n", Malformed),
            ("\n".to_owned(), Quorum),
            ("quorum none\nquorum none\n".to_owned(), Quorum),
            ("mirror a b\nquorum none\n".to_owned(), Line(1)),
            ("\nwitness a\nquorum none\n".to_owned(), Line(2)),
            (format!("{}group g 1\nquorum g\n", one), Line(2)),
            (format!("witness a {}\nquorum a\n", key(1, KeyKind::Log)), Key(1)),
            (format!("log {}\nquorum none\n", witness(1)), Key(1)),
            (format!("{one}witness b {}\nquorum a\n", witness(1)), Repeated(2)),
            (format!("{one}witness a {}\nquorum a\n", witness(2)), Repeated(2)),
            (format!("witness none {}\nquorum none\n", witness(1)), Repeated(1)),
            (format!("{one}quorum b\n{two}"), Member(2)),
            (format!("{one}group g any a none\nquorum g\n"), Member(2)),
            (format!("{one}group g all a a\nquorum g\n"), Member(2)),
            (format!("{one}{two}group g all a b\ngroup h any a\nquorum h\n"), Member(4)),
            (format!("{one}group g 0 a\nquorum g\n"), Threshold(2)),
            (format!("{one}group g 2 a\nquorum g\n"), Threshold(2)),
            (format!("{one}group g 01 a\nquorum g\n"), Threshold(2)),
            (many + "quorum none\n", TooMany),
        ];
        for (text, fault) in table {
            assert_eq!(Policy::parse(&text).err(), Some(fault), "{text}");
        }
    }
}
