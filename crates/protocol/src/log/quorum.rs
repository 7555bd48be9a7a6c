//! When a head counts as witnessed: how many cosignatures are enough, whose they are, and when it was seen at the latest.
//!
//! Of `n` witnesses up to `f = (n-1)/3` may lie, and `q = (n+f)/2 + 1` must have signed: any two quorums then share more
//! than `f` witnesses, so an honest one, who never signs two trees that do not continue each other (protocol section
//! 7.6). Refuses to say who the witnesses are; that is the directory's.

use std::collections::BTreeSet;

use super::checkpoint::SignedCheckpoint;
use super::note::{NoteFault, NoteKey, SIGNATURES_MAX};
use super::policy::{Policy, Rule};
use crate::ids::NodeId;

/// Witnesses whose signatures fit on one note beside the log's own.
pub const WITNESSES_MAX: usize = SIGNATURES_MAX - 1;

/// How many of `n` witnesses may lie: `(n-1)/3`, none of one, two or three.
#[must_use]
pub fn tolerated(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// How many of `n` witnesses are enough: `(n+f)/2 + 1`. Of one, that one; of two, both; of three, two. So few tolerate
/// no lie: they show that a log was not rewritten only as long as all of them are honest. Of none, one, who is not there:
/// nothing is ever witnessed.
#[must_use]
pub fn enough(n: usize) -> usize {
    (n + tolerated(n)) / 2 + 1
}

/// One witness of a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its node, if it is one of this network's.
    pub node: Option<NodeId>,
    /// The key it cosigns with.
    pub key: NoteKey,
    /// Its country (ISO 3166-1 alpha-2), empty when nobody knows.
    pub country: String,
}

/// Who can witness a log and which of them are enough.
#[derive(Clone, PartialEq, Eq)]
pub struct List {
    witnesses: Vec<Listed>,
    rule: Option<Rule>,
}

impl List {
    /// A list of a core, who are the same from one quarter to the next, and of others who were drawn: enough of all must
    /// sign, and enough of the core among them. Without the second, the quorums of two quarters would share nobody, and a
    /// log could change its face with the quarter. A key that is in it twice counts once, at its first place.
    #[must_use]
    pub fn drawn(core: Vec<Listed>, others: Vec<Listed>) -> Self {
        let mut witnesses: Vec<Listed> = Vec::new();
        let mut enlist = |all: Vec<Listed>| {
            for one in all {
                // A certificate does not prove that its holder has the witness key it names: signatures by another's
                // key could be shown under this name too.
                if !witnesses.iter().any(|known| known.key.public() == one.key.public()) {
                    witnesses.push(one);
                }
            }
            witnesses.len()
        };
        let (core, n) = (enlist(core), enlist(others));
        let group = |n: usize| Rule::Group { enough: enough(n), of: (0..n).map(Rule::Witness).collect() };
        let of = if core > 0 { vec![group(core), group(n)] } else { vec![group(n)] };
        Self { witnesses, rule: Some(Rule::Group { enough: of.len(), of }) }
    }

    /// The list of a policy's text. Who is behind a key is asked of `whose`; `own` is the witness key of the log's own
    /// node, whose signature under its own log never counts.
    #[must_use]
    pub fn of_policy(policy: &Policy, own: Option<&NoteKey>, whose: impl Fn(&NoteKey) -> Listed) -> Self {
        let mut keys: Vec<&NoteKey> = policy.witnesses.iter().collect();
        let mut rule = policy.quorum.clone();
        if let Some(place) = keys.iter().position(|key| own.is_some_and(|own| own.public() == key.public())) {
            keys.remove(place);
            rule = rule.map(|rule| without(rule, place));
        }
        Self { witnesses: keys.into_iter().map(whose).collect(), rule }
    }

    /// A list that no signatures satisfy.
    #[must_use]
    pub fn nobody() -> Self {
        Self::drawn(Vec::new(), Vec::new())
    }

    /// Its witnesses, the core first.
    #[must_use]
    pub fn witnesses(&self) -> &[Listed] {
        &self.witnesses
    }

    /// Which of them are enough, by their places in [`List::witnesses`]; `None` when none is asked for.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Whose signatures a head has, and whether they are enough.
    ///
    /// # Errors
    /// [`NoteFault::BadSignature`] when a line claims to be by one of these witnesses and is not.
    pub fn standing(&self, head: &SignedCheckpoint) -> Result<Standing, NoteFault> {
        let keys: Vec<NoteKey> = self.witnesses.iter().map(|one| one.key.clone()).collect();
        let mut seen = Vec::new();
        for (key, at) in head.witnessed_by(&keys)? {
            seen.extend(self.witnesses.iter().find(|one| one.key == *key).map(|one| Seen { witness: one.clone(), at }));
        }
        seen.sort_by(|a, b| (a.at, a.witness.key.name()).cmp(&(b.at, b.witness.key.name())));
        let signed = |place: &usize| seen.iter().any(|s| s.witness == self.witnesses[*place]);
        let places: BTreeSet<usize> = (0..self.witnesses.len()).filter(signed).collect();
        let reached = self.rule.as_ref().is_none_or(|rule| rule.holds(&places));
        let time = seen.get(tolerated(self.witnesses.len())).map(|s| s.at).filter(|_| reached);
        Ok(Standing { seen, listed: self.witnesses.len(), reached, time })
    }
}

/// The same rule over the list without this witness, whom nobody can replace.
fn without(rule: Rule, place: usize) -> Rule {
    match rule {
        Rule::Witness(one) if one == place => Rule::Group { enough: 1, of: Vec::new() },
        Rule::Witness(one) => Rule::Witness(one - usize::from(one > place)),
        Rule::Group { enough, of } => {
            Rule::Group { enough, of: of.into_iter().map(|rule| without(rule, place)).collect() }
        }
    }
}

/// One witness's signature under a head.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub witness: Listed,
    /// When, by its own clock, unix seconds.
    pub at: u64,
}

/// Who saw a head.
#[derive(Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose signatures it has, the earliest first.
    pub seen: Vec<Seen>,
    /// How many could have signed.
    pub listed: usize,
    /// Whether these are enough.
    pub reached: bool,
    /// When it existed at the latest: the (f+1)-th earliest time, once the quorum is reached. One of the first f+1 is
    /// honest, so no f liars together can make it earlier than somebody honest saw it, nor, by being late, later than
    /// the honest did. Not the median: more than f of those who signed may be slow without lying.
    pub time: Option<u64>,
}

impl Standing {
    /// The countries of those who saw it, each once, in order.
    #[must_use]
    pub fn countries(&self) -> Vec<&str> {
        let known = self.seen.iter().map(|seen| seen.witness.country.as_str()).filter(|country| !country.is_empty());
        known.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The lists that count at one time: one, or two for a while after the quarter changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The list of the current quarter.
    pub current: List,
    /// That of the quarter before, as long as it counts.
    pub before: Option<List>,
}

impl Quorum {
    /// Every witness of both lists once, the current ones first; at most [`WITNESSES_MAX`].
    #[must_use]
    pub fn witnesses(&self) -> Vec<&Listed> {
        let mut all: Vec<&Listed> = Vec::new();
        for one in std::iter::once(&self.current).chain(&self.before).flat_map(List::witnesses) {
            if !all.iter().any(|known| known.key == one.key) {
                all.push(one);
            }
        }
        all.truncate(WITNESSES_MAX);
        all
    }

    /// How a head stands: by the current list, or by the one before when that alone is satisfied.
    ///
    /// # Errors
    /// [`NoteFault::BadSignature`].
    pub fn standing(&self, head: &SignedCheckpoint) -> Result<Standing, NoteFault> {
        let current = self.current.standing(head)?;
        match &self.before {
            Some(before) if !current.reached => {
                Ok(Some(before.standing(head)?).filter(|s| s.reached).unwrap_or(current))
            }
            Some(_) | None => Ok(current),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::log::checkpoint::Checkpoint;
    use crate::log::note::{KeyKind, Note};

    const LOG: &str = "example.org/log";

    fn secret(n: u8) -> SigningKey {
        SigningKey::from_seed(&[n; 32])
    }

    fn listed(n: u8) -> Listed {
        let key = NoteKey::new(&format!("w{n}"), KeyKind::Witness, &secret(n).public()).unwrap();
        Listed { node: None, key, country: ["IT", "MD", "RS"][usize::from(n) % 3].to_owned() }
    }

    fn stranger(key: &NoteKey) -> Listed {
        Listed { node: None, key: key.clone(), country: String::new() }
    }

    fn many(n: std::ops::Range<u8>) -> Vec<Listed> {
        n.map(listed).collect()
    }

    /// A head with these signatures: witness and time.
    fn head(signed: &[(u8, u64)]) -> SignedCheckpoint {
        let log = secret(200);
        let mut note = Checkpoint { origin: LOG.to_owned(), size: 3, root: [7; 32] }.sign(&log).unwrap();
        for (n, at) in signed {
            note.cosign(&format!("w{n}"), &secret(*n), *at).unwrap();
        }
        SignedCheckpoint::of(note, &NoteKey::new(LOG, KeyKind::Log, &log.public()).unwrap()).ok().unwrap()
    }

    #[test]
    fn attack_22_split_view_has_no_quorum_for_both_faces_of_one_to_ten_witnesses() {
        let table: Vec<_> = (1..=10).map(|n| (tolerated(n), enough(n))).collect();
        assert_eq!(table, [(0, 1), (0, 2), (0, 2), (1, 3), (1, 4), (1, 4), (2, 5), (2, 6), (2, 6), (3, 7)]);
        assert_eq!((tolerated(0), enough(0)), (0, 1));
        for n in 1..=10 {
            let (f, q) = (tolerated(n), enough(n));
            assert!(2 * q - n > f, "two quorums of {n} share more than the {f} who may lie");
            assert!(q <= n - f, "the honest of {n} are a quorum by themselves");
            // Every way to split the honest in two halves, with all f liars signing both.
            for one in 0..=(n - f) {
                let (first, second) = (one + f, n - f - one + f);
                assert!(first < q || second < q, "{n}: faces shown to {one} and {} honest", n - f - one);
            }
        }
    }

    #[test]
    fn a_quorum_is_counted_by_those_who_signed_and_not_by_those_who_answered() {
        let list = List::drawn(Vec::new(), many(0..4));
        let standing = |signed: &[(u8, u64)]| list.standing(&head(signed)).unwrap();
        assert!(!standing(&[]).reached && !standing(&[(0, 1), (1, 1)]).reached);
        // Strangers and repeats do not help.
        assert!(!standing(&[(0, 1), (1, 1), (50, 1), (51, 1), (0, 2)]).reached);
        let reached = standing(&[(0, 9), (1, 5), (3, 7)]);
        assert!(reached.reached && reached.listed == 4);
        assert_eq!(reached.seen.iter().map(|s| s.at).collect::<Vec<_>>(), [5, 7, 9]);
        assert_eq!(reached.countries(), ["IT", "MD"]);
        assert!(!List::nobody().standing(&head(&[(0, 1)])).unwrap().reached);
    }

    #[test]
    fn one_liar_of_four_cannot_move_the_time_before_an_honest_sighting() {
        let list = List::drawn(Vec::new(), many(0..4));
        let time = |signed: &[(u8, u64)]| list.standing(&head(signed)).unwrap().time;
        assert_eq!(time(&[(0, 100), (1, 101), (2, 102)]), Some(101));
        assert_eq!(time(&[(0, 1), (1, 101), (2, 102)]), Some(101), "back-dated by one");
        assert_eq!(time(&[(0, 100), (1, 101), (2, u64::MAX)]), Some(101), "post-dated by one");
        assert_eq!(time(&[(0, 1), (1, 101)]), None, "no quorum, no time");
    }

    #[test]
    fn attack_22_split_view_across_a_change_of_quarter_finds_no_second_quorum() {
        let core = many(0..3);
        let (old, new) = (List::drawn(core.clone(), many(10..14)), List::drawn(core, many(20..24)));
        let both = Quorum { current: new, before: Some(old) };
        let standing = |signed: &[u8]| {
            let signed: Vec<_> = signed.iter().map(|n| (*n, 5)).collect();
            both.standing(&head(&signed)).unwrap().reached
        };
        // One face to a coordinator and all of the old draw, the other to another and all of the new.
        assert!(!(standing(&[0, 10, 11, 12, 13]) && standing(&[1, 20, 21, 22, 23])));
        assert!(standing(&[0, 1, 10, 11, 12]) && standing(&[0, 2, 20, 21, 22]), "either list is enough");
        assert!(!standing(&[0, 1, 10, 11, 20]), "a mixture of both is not");
        let all: Vec<_> = [0, 1, 2].into_iter().chain(10..14).chain(20..24).zip(1..).collect();
        let by_both = both.standing(&head(&all)).unwrap();
        assert!(
            by_both == both.current.standing(&head(&all)).unwrap(),
            "where both are satisfied the current one speaks"
        );
        assert_eq!(both.witnesses().len(), 11);
        let crowd = Quorum {
            current: List::drawn(many(0..11), many(20..24)),
            before: Some(List::drawn(many(0..11), many(30..34))),
        };
        assert_eq!(crowd.witnesses().len(), WITNESSES_MAX);
    }

    #[test]
    fn a_key_listed_twice_counts_once() {
        let mut twin = listed(1);
        twin.key = NoteKey::new("twin", KeyKind::Witness, &secret(1).public()).unwrap();
        let list = List::drawn(Vec::new(), vec![listed(0), listed(1), twin]);
        assert_eq!(list.witnesses().len(), 2);
        let mut note = head(&[(1, 5)]).note().clone();
        note.cosign("twin", &secret(1), 5).unwrap();
        let key = NoteKey::new(LOG, KeyKind::Log, &secret(200).public()).unwrap();
        assert!(!list.standing(&SignedCheckpoint::of(note, &key).ok().unwrap()).unwrap().reached);
    }

    #[test]
    fn a_policy_counts_as_it_is_written_and_never_the_node_itself() {
        let lines: String = (0..3).map(|n| format!("witness w{n} {}\n", listed(n).key)).collect();
        let policy = Policy::parse(&(lines + "group all 2 w0 w1 w2\nquorum all\n")).ok().unwrap();
        let list = |own: Option<u8>| {
            let own = own.map(|n| listed(n).key);
            List::of_policy(&policy, own.as_ref(), stranger)
        };
        let signed = head(&[(0, 5), (1, 6)]);
        assert!(list(None).standing(&signed).unwrap().reached);
        assert!(list(Some(2)).standing(&signed).unwrap().reached);
        assert!(!list(Some(1)).standing(&signed).unwrap().reached);
        assert!(!list(Some(1)).standing(&head(&[(2, 5)])).unwrap().reached, "nobody stands in for it");
        // The places of those behind it move up by one.
        assert!(list(Some(0)).standing(&head(&[(1, 5), (2, 6)])).unwrap().reached);
        for one in [[(0, 5), (1, 6)], [(0, 5), (2, 6)]] {
            assert!(!list(Some(0)).standing(&head(&one)).unwrap().reached);
        }
        let nothing = Policy::parse("quorum none\n").ok().unwrap();
        let none = List::of_policy(&nothing, None, stranger).standing(&signed).unwrap();
        assert!(none.reached && none.time.is_none());
        assert!(list(None).rule().is_some() && List::of_policy(&nothing, None, stranger).rule().is_none());
    }

    #[test]
    fn a_false_line_under_a_witnesss_name_spoils_the_note() {
        let mut elsewhere = Note::unsigned("another text\n".to_owned());
        elsewhere.cosign("w0", &secret(0), 5).unwrap();
        let line = elsewhere.to_string().lines().last().unwrap().to_owned();
        let note = Note::parse(format!("{}{line}\n", head(&[]).note()).as_bytes()).unwrap();
        let key = NoteKey::new(LOG, KeyKind::Log, &secret(200).public()).unwrap();
        let forged = SignedCheckpoint::of(note, &key).ok().unwrap();
        let list = List::drawn(Vec::new(), many(0..2));
        assert_eq!(list.standing(&forged).err(), Some(NoteFault::BadSignature));
    }
}
