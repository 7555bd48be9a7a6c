//! Which kind of message may go from whom to whom: the corridors of a network, as its policy has them.
//!
//! Two rules hold everywhere: who only coordinates never sends or gets a message of a case, and what nodes tell each other
//! about their logs is nobody's to forbid. Beside these, a kind of message that some rule of the policy speaks of goes only
//! where one of those rules lets it; a kind that none speaks of goes as before. Refuses by name: who is refused can look
//! the rule up.

use clearhouse_wire::v1::{CorridorRule, MessageType, OrgRecord, RootPolicy};

use super::entry::membership::{SLUG_MAX, is_agreement, is_slug};
use super::{Directory, RecordFault};
use crate::ids::OrgId;
use crate::limits::CORRIDOR_RULES_MAX;

/// The first number of messages that nodes write by themselves.
const NODE_MAIL: u32 = MessageType::Receipt as u32;
const COORDINATOR: &str = "Coordinator";
/// The name of the rule that needs no policy.
const COORDINATORS_READ_NOTHING: &str = "coordinators-read-nothing";

/// The name of a rule, small enough to travel in a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RuleName {
    len: u8,
    bytes: [u8; SLUG_MAX],
}

impl RuleName {
    fn of(name: &str) -> Self {
        let name = name.as_bytes().get(..SLUG_MAX).unwrap_or(name.as_bytes());
        let mut bytes = [0; SLUG_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Self { len: u8::try_from(name.len()).unwrap_or(0), bytes }
    }
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("?"))
    }
}

impl std::fmt::Debug for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Directory {
    /// Whether a message of this kind may go from one organisation to another at `now`.
    ///
    /// # Errors
    /// The name of a rule that speaks of this kind and does not let it; of several, the first.
    pub fn corridor(&self, from: OrgId, to: OrgId, msg_type: u32, now: u64) -> Result<(), RuleName> {
        if msg_type >= NODE_MAIL {
            return Ok(());
        }
        let (Some(from), Some(to)) = (self.accredited(from), self.accredited(to)) else {
            // Whether they may speak at all is asked elsewhere, and said better.
            return Ok(());
        };
        let only_coordinates =
            |org: &OrgRecord| !org.roles.is_empty() && org.roles.iter().all(|role| role == COORDINATOR);
        if only_coordinates(from) || only_coordinates(to) {
            return Err(RuleName::of(COORDINATORS_READ_NOTHING));
        }
        let mut about =
            self.policy().corridor_rules.iter().filter(|rule| rule.msg_types.contains(&msg_type)).peekable();
        let Some(first) = about.peek().map(|rule| RuleName::of(&rule.name)) else { return Ok(()) };
        if about.any(|rule| lets(rule, from, to, now)) { Ok(()) } else { Err(first) }
    }
}

fn lets(rule: &CorridorRule, from: &OrgRecord, to: &OrgRecord, now: u64) -> bool {
    let one_of = |wanted: &[String], has: &[String]| wanted.is_empty() || wanted.iter().any(|one| has.contains(one));
    let in_one = |wanted: &[String], country: &String| wanted.is_empty() || wanted.contains(country);
    // An agreement binds those who signed it: both have to, and it must not have ended.
    let agreed = |org: &OrgRecord| {
        let it = org.agreements.iter().find(|agreement| agreement.name == rule.agreement);
        rule.agreement.is_empty() || it.is_some_and(|agreement| now < agreement.valid_until)
    };
    (rule.valid_until == 0 || now < rule.valid_until)
        && agreed(from)
        && agreed(to)
        && one_of(&rule.from_roles, &from.roles)
        && one_of(&rule.to_roles, &to.roles)
        && in_one(&rule.from_countries, &from.country)
        && in_one(&rule.to_countries, &to.country)
}

/// A few rules, each with a name of its own in small letters, digits and hyphens, about messages of cases.
pub(super) fn check_rules(
    policy: &RootPolicy,
    is_role: impl Fn(&str) -> bool,
    is_country: impl Fn(&str) -> bool,
) -> Result<(), RecordFault> {
    let rules = &policy.corridor_rules;
    let sound = |rule: &CorridorRule| {
        let named = is_slug(&rule.name) && (rule.agreement.is_empty() || is_agreement(&rule.agreement));
        let kinds =
            (1..=16).contains(&rule.msg_types.len()) && rule.msg_types.iter().all(|t| (1..NODE_MAIL).contains(t));
        let mut roles = rule.from_roles.iter().chain(&rule.to_roles);
        let mut countries = rule.from_countries.iter().chain(&rule.to_countries);
        named && kinds && roles.all(|role| is_role(role)) && countries.all(|country| is_country(country))
    };
    let mut names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let fits = rules.len() <= CORRIDOR_RULES_MAX && names.len() == rules.len() && rules.iter().all(sound);
    if fits { Ok(()) } else { Err(RecordFault::Field) }
}

#[cfg(test)]
mod tests {
    use clearhouse_wire::v1::{Agreement, Signed};
    use prost::Message as _;

    use super::*;
    use crate::ceremony::next_policy;
    use crate::fixture::{NOW, Region};
    use crate::labels::media;
    use crate::limits::DAY;
    use crate::pae::sha256;
    use crate::signed::add_signature;

    const NOTICE: u32 = MessageType::ReturnNotice as u32;
    const PROFILE: u32 = MessageType::VictimProfile as u32;
    const ANSWER: u32 = MessageType::Answer as u32;

    /// Members 0 is a coordinator, 1 of MD, 2 of RS, 3 of AL, 4 of IT.
    fn region(rules: Vec<CorridorRule>) -> Result<Region, RecordFault> {
        let mut region = Region::with_coordinators(1, 5, 1);
        let mut policy = next_policy(&region.genesis, NOW, |policy| policy.corridor_rules = rules).unwrap();
        region.coordinators.iter().for_each(|key| add_signature(&mut policy, key));
        let checked = region.directory.check(&policy, NOW)?.unwrap();
        region.directory.insert(checked);
        Ok(region)
    }

    fn rule(name: &str, msg_types: &[u32]) -> CorridorRule {
        CorridorRule { name: name.to_owned(), msg_types: msg_types.to_vec(), ..CorridorRule::default() }
    }

    fn goes(region: &Region, from: usize, to: usize, msg_type: u32) -> Option<String> {
        let m = &region.members;
        region.directory.corridor(m[from].org, m[to].org, msg_type, NOW).err().map(|rule| rule.to_string())
    }

    #[test]
    fn who_only_coordinates_sends_and_gets_nothing_of_a_case_and_everything_of_the_logs() {
        let region = region(vec![]).ok().unwrap();
        for (from, to) in [(0, 1), (1, 0)] {
            assert_eq!(goes(&region, from, to, NOTICE).as_deref(), Some(COORDINATORS_READ_NOTHING));
            assert_eq!(goes(&region, from, to, MessageType::Audit as u32), None);
        }
        assert_eq!(goes(&region, 1, 4, NOTICE), None, "without rules everybody else writes to everybody");
    }

    #[test]
    fn a_kind_that_a_rule_speaks_of_goes_only_where_one_lets_it() {
        let out_of_italy = CorridorRule {
            from_countries: vec!["IT".to_owned()],
            to_countries: vec!["MD".to_owned(), "RS".to_owned()],
            ..rule("out-of-italy", &[NOTICE, PROFILE])
        };
        let to_albania = CorridorRule {
            to_countries: vec!["AL".to_owned()],
            to_roles: vec!["Origin".to_owned()],
            valid_until: NOW + DAY,
            ..rule("to-albania", &[NOTICE])
        };
        let region = region(vec![out_of_italy, to_albania]).ok().unwrap();
        assert_eq!(goes(&region, 4, 1, NOTICE), None);
        assert_eq!(goes(&region, 1, 4, NOTICE).as_deref(), Some("out-of-italy"), "the first that speaks of it");
        assert_eq!(goes(&region, 1, 3, NOTICE), None, "one that lets it is enough");
        assert_eq!(goes(&region, 1, 3, PROFILE).as_deref(), Some("out-of-italy"));
        assert_eq!(goes(&region, 1, 4, ANSWER), None, "nobody speaks of answers");
        let m = &region.members;
        let at = |now| region.directory.corridor(m[1].org, m[3].org, NOTICE, now).is_ok();
        assert_eq!((at(NOW + DAY - 1), at(NOW + DAY)), (true, false), "a rule that ended");
    }

    #[test]
    fn a_rule_under_an_agreement_lets_those_who_both_have_it_until_it_ends() {
        let under = CorridorRule { agreement: "south-2026".to_owned(), ..rule("under-the-agreement", &[NOTICE]) };
        let mut region = region(vec![under]).ok().unwrap();
        let forbidden = Some("under-the-agreement");
        let signs = |region: &mut Region, who: usize, name: &str, valid_until: u64| {
            let org = region.members[who].org;
            let mut next = region.directory.org(org).unwrap().clone();
            let held = region.directory.bundle(org);
            let newest = held.records.iter().rfind(|record| record.payload_type == media::ORG).unwrap();
            (next.version, next.prev_hash) = (next.version + 1, sha256(&newest.payload).to_vec());
            next.agreements = vec![Agreement { name: name.to_owned(), valid_until }];
            let mut signed =
                Signed { payload_type: media::ORG.into(), payload: next.encode_to_vec(), signatures: vec![] };
            region.coordinators.iter().for_each(|key| add_signature(&mut signed, key));
            let checked = region.directory.check(&signed, NOW).ok().unwrap().unwrap();
            region.directory.insert(checked);
        };
        assert_eq!(goes(&region, 1, 4, NOTICE).as_deref(), forbidden, "nobody has it");
        signs(&mut region, 1, "south-2026", NOW + 2 * DAY);
        assert_eq!(goes(&region, 1, 4, NOTICE).as_deref(), forbidden, "the receiver has not");
        assert_eq!(goes(&region, 4, 1, NOTICE).as_deref(), forbidden, "the sender has not");
        signs(&mut region, 4, "north-2026", NOW + DAY);
        assert_eq!(goes(&region, 1, 4, NOTICE).as_deref(), forbidden, "another one");
        signs(&mut region, 4, "south-2026", NOW + DAY);
        assert_eq!([goes(&region, 1, 4, NOTICE), goes(&region, 4, 1, NOTICE)], [None, None]);
        assert_eq!(goes(&region, 1, 4, ANSWER), None, "no rule speaks of answers");
        let (one, other) = (region.members[1].org, region.members[4].org);
        let at = |now| region.directory.corridor(one, other, NOTICE, now).is_ok();
        assert_eq!((at(NOW + DAY - 1), at(NOW + DAY)), (true, false), "one of the two ended");
    }

    #[test]
    fn rules_are_few_and_each_is_one() {
        let longest = "n".repeat(SLUG_MAX);
        let good = [
            vec![rule(&longest, &[NOTICE])],
            vec![rule("kinds", &[NOTICE; 16])],
            vec![rule("first", &[1]), rule("last", &[NODE_MAIL - 1])],
            (0..CORRIDOR_RULES_MAX).map(|n| rule(&format!("r{n}"), &[NOTICE])).collect(),
        ];
        for rules in good {
            assert_eq!(region(rules).err(), None);
        }
        let named = region(vec![CorridorRule { to_countries: vec!["AL".to_owned()], ..rule(&longest, &[NOTICE]) }]);
        assert_eq!(goes(&named.ok().unwrap(), 1, 4, NOTICE), Some(longest), "told whole");
        let bad = [
            vec![rule("kinds", &[NOTICE; 17])],
            vec![rule("none", &[0])],
            vec![CorridorRule { from_roles: vec!["a street 5".to_owned()], ..rule("role", &[NOTICE]) }],
            vec![CorridorRule { from_countries: vec!["Italy".to_owned()], ..rule("country", &[NOTICE]) }],
            vec![rule("", &[NOTICE])],
            vec![rule("Two Words", &[NOTICE])],
            vec![rule(&"n".repeat(SLUG_MAX + 1), &[NOTICE])],
            vec![rule("nothing", &[])],
            vec![rule("logs", &[NODE_MAIL])],
            vec![rule("twice", &[NOTICE]), rule("twice", &[PROFILE])],
            vec![CorridorRule { to_countries: vec!["Italy".to_owned()], ..rule("country", &[NOTICE]) }],
            vec![CorridorRule { agreement: "Two Words".to_owned(), ..rule("agreement", &[NOTICE]) }],
            vec![CorridorRule { agreement: "0722-123-456".to_owned(), ..rule("agreement", &[NOTICE]) }],
            vec![CorridorRule { to_roles: vec!["a street 5".to_owned()], ..rule("role", &[NOTICE]) }],
            (0..=CORRIDOR_RULES_MAX).map(|n| rule(&format!("r{n}"), &[NOTICE])).collect(),
        ];
        for rules in bad {
            assert_eq!(region(rules).err(), Some(RecordFault::Field));
        }
    }
}
