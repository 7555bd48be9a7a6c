//! Whose log it is, and who saw a head of it: by records under a genesis, by a key and a witness policy somebody has of
//! their own, or by the word of whoever made the copy alone. Needs no node, no secret and no network.
//!
//! Which records there are is for the copy's maker to say, so witnesses left out are not missed here; who wants to be sure
//! brings a policy. Refuses to count a cosignature from the future: one of the two clocks is wrong.

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::SKEW_SECS;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::note::{NoteFault, NoteKey};
use clearhouse_protocol::log::policy::Policy;
use clearhouse_protocol::log::quorum::{List, Listed, Quorum, Standing};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

/// How a log's key is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Vouched {
    /// By the records of this organisation (label, country) under the genesis with this network id.
    Records {
        /// The organisation.
        label: String,
        /// Its country.
        country: String,
        /// The network, hex.
        net: String,
    },
    /// By whoever checks: the key was given.
    Given,
    /// By the copy's own word alone.
    Folder,
}

/// Who cosigned a head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// Its organisation, or the name of its key when nobody here knows it.
    pub label: String,
    /// Its country (ISO 3166-1 alpha-2), empty when nobody here knows it.
    pub country: String,
    /// When it signed, unix seconds, by its own clock.
    pub at: u64,
}

/// Who saw a head.
#[derive(Clone, Default)]
pub struct Sight {
    /// Who cosigned, the earliest first.
    pub witnesses: Vec<Witness>,
    /// Whose cosignature is dated after now, and does not count.
    pub ahead: Vec<Witness>,
    /// How many could have cosigned; 0 when nobody here knows of any.
    pub listed: usize,
    /// Whether those who did are enough.
    pub enough: bool,
    /// When the head existed at the latest, unix seconds, once they are enough.
    pub time: Option<u64>,
}

impl Sight {
    /// The countries of those who cosigned, each once; `None` when that of one of them is not known.
    #[must_use]
    pub fn countries(&self) -> Option<Vec<&str>> {
        let mut all: Vec<&str> = self.witnesses.iter().map(|witness| witness.country.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        (!all.contains(&"")).then_some(all)
    }
}

/// Why records do not vouch for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoucherFault {
    /// The bundle cannot be read.
    #[error("they cannot be read")]
    Broken,
    /// A record does not hold, or none names this log.
    #[error("{0}")]
    Refused(String),
    /// The name of the log is none.
    #[error(transparent)]
    Name(#[from] NoteFault),
}

/// The key of one log and who can have witnessed it.
pub struct Voucher {
    key: NoteKey,
    by: Vouched,
    records: Option<Box<(Directory, NodeId)>>,
    policy: Option<Policy>,
}

impl Voucher {
    /// A key that somebody knows, or that a copy names. Of its witnesses nobody knows anything yet.
    #[must_use]
    pub fn of_key(key: NoteKey, by: Vouched) -> Self {
        Self { key, by, records: None, policy: None }
    }

    /// The key that a bundle of records names for the log of this origin. Records that expired since still say whose key
    /// it was.
    ///
    /// # Errors
    /// [`VoucherFault`].
    pub fn of_records(genesis: &wire::Signed, records: &[u8], origin: &str, now: u64) -> Result<Self, VoucherFault> {
        let refuse = |why: &str| VoucherFault::Refused(why.to_owned());
        let mut directory = Directory::found(genesis, None).map_err(|fault| refuse(&fault.to_string()))?;
        for record in wire::RecordBundle::decode(records).map_err(|_| VoucherFault::Broken)?.records {
            if let Some(checked) = directory.check(&record, now).map_err(|fault| refuse(&fault.to_string()))? {
                directory.insert(checked);
            }
        }
        let node = origin.split('/').nth(2).and_then(NodeId::from_hex).ok_or(NoteFault::OtherOrigin)?;
        let key = directory.log_key(node).filter(|key| key.name() == origin);
        let key = key.ok_or_else(|| refuse("no certificate names a log of this origin"))?;
        let org = directory.org_of(node).and_then(|org| directory.org(org));
        let org = org.ok_or_else(|| refuse("its organisation is not among them"))?;
        let net = clearhouse_protocol::ids::hex(directory.net().as_bytes());
        let by = Vouched::Records { label: org.label.clone(), country: org.country.clone(), net };
        Ok(Self { key, by, records: Some(Box::new((directory, node))), policy: None })
    }

    /// Judges witnesses by this policy, whatever the records say.
    #[must_use]
    pub fn under(mut self, policy: Option<Policy>) -> Self {
        self.policy = policy.or(self.policy);
        self
    }

    /// The log's key.
    #[must_use]
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// How it is known.
    #[must_use]
    pub fn by(&self) -> &Vouched {
        &self.by
    }

    /// What somebody is called here.
    #[must_use]
    pub fn name_of(&self, one: &Listed) -> String {
        self.named(one, 0).label
    }

    /// An organisation's name and country, if the records know it.
    #[must_use]
    pub fn organisation(&self, org: OrgId) -> Option<(&str, &str)> {
        let record = self.records.as_ref()?.0.org(org)?;
        Some((&record.label, &record.country))
    }

    /// Who saw this head, as of `now`.
    ///
    /// # Errors
    /// [`NoteFault::BadSignature`] when a line claims to be by a witness and is not.
    pub fn sight(&self, head: &SignedCheckpoint, now: u64) -> Result<Sight, NoteFault> {
        let (mut ahead, mut times, mut counted) = (Vec::new(), Vec::new(), head.note().only(&self.key));
        for key in self.candidates() {
            for (_, at) in head.witnessed_by(std::slice::from_ref(&key))? {
                if at > now.saturating_add(SKEW_SECS) {
                    ahead.push(self.named(&self.listed(&key), at));
                } else {
                    times.push(at);
                    counted.gather(&head.note().only(&key));
                }
            }
        }
        let head = SignedCheckpoint::of(counted, &self.key)?;
        let standing = self.standing(&head, times)?;
        let Some(standing) = standing else { return Ok(Sight { ahead, ..Sight::default() }) };
        let witnesses = standing.seen.iter().map(|seen| self.named(&seen.witness, seen.at)).collect();
        Ok(Sight { witnesses, ahead, listed: standing.listed, enough: standing.reached, time: standing.time })
    }

    /// The lists that this head was judged by; `None` when nothing is known of witnesses.
    #[must_use]
    pub fn quorum(&self, sight: &Sight) -> Option<Quorum> {
        let newest = sight.witnesses.last().map(|witness| witness.at);
        match (&self.policy, self.records.as_deref(), sight.time.or(newest)) {
            (Some(_), ..) => Some(Quorum { current: self.by_policy()?, before: None }),
            (None, Some((directory, node)), Some(at)) => Some(directory.quorum(*node, at)),
            (None, _, _) => None,
        }
    }

    fn by_policy(&self) -> Option<List> {
        let policy = self.policy.as_ref()?;
        let own = self.records.as_deref().and_then(|(directory, node)| directory.witness_key(*node));
        let list = List::of_policy(policy, own.as_ref(), |key| self.listed(key));
        Some(if policy.is_about(&self.key) { list } else { List::nobody() })
    }

    /// Everybody who may have cosigned. The log's own node never counts.
    fn candidates(&self) -> Vec<NoteKey> {
        if let Some(policy) = &self.policy {
            return policy.witnesses.clone();
        }
        let Some((directory, own)) = self.records.as_deref() else { return Vec::new() };
        directory.all_witnesses().into_iter().filter(|one| one.node != Some(*own)).map(|one| one.key).collect()
    }

    /// By the lists of the time at which the head was cosigned: who witnesses changes with the quarter. `None` when
    /// nothing is known of witnesses.
    fn standing(&self, head: &SignedCheckpoint, mut times: Vec<u64>) -> Result<Option<Standing>, NoteFault> {
        if let Some(current) = self.by_policy() {
            return Quorum { current, before: None }.standing(head).map(Some);
        }
        let Some((directory, node)) = self.records.as_deref() else { return Ok(None) };
        times.sort_unstable();
        let mut newest = None;
        for at in times {
            let standing = directory.quorum(*node, at).standing(head)?;
            // Judged by the lists of the time that it comes out at, and by no other.
            if let Some(time) = standing.time.filter(|_| standing.reached) {
                let own = directory.quorum(*node, time).standing(head)?;
                if own.reached {
                    return Ok(Some(own));
                }
            }
            newest = Some(standing).map(|standing| Standing { reached: false, time: None, ..standing });
        }
        Ok(newest)
    }

    fn listed(&self, key: &NoteKey) -> Listed {
        let known = self.records.as_deref().and_then(|(directory, _)| {
            directory.all_witnesses().into_iter().find(|listed| listed.key.public() == key.public())
        });
        let known = known.map(|known| Listed { key: key.clone(), ..known });
        known.unwrap_or_else(|| Listed { node: None, key: key.clone(), country: String::new() })
    }

    fn named(&self, one: &Listed, at: u64) -> Witness {
        let org = one
            .node
            .zip(self.records.as_deref())
            .and_then(|(node, (directory, _))| directory.org_of(node).and_then(|org| directory.org(org)));
        let label = org.map_or_else(|| one.key.name().to_owned(), |org| org.label.clone());
        Witness { label, country: one.country.clone(), at }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::fixture::NOW;
    use clearhouse_protocol::limits::{DAY, QUARTER_SECS};
    use clearhouse_protocol::log::note::{KeyKind, Note};

    use super::*;
    use crate::log::fixture::Log;

    fn voucher(log: &Log, now: u64) -> Voucher {
        Voucher::of_records(&log.region.genesis, &log.records(), &log.origin, now).unwrap()
    }

    fn sight(voucher: &Voucher, note: Note, now: u64) -> Result<Sight, NoteFault> {
        voucher.sight(&SignedCheckpoint::of(note, voucher.key()).ok().unwrap(), now)
    }

    #[test]
    fn a_head_is_as_well_seen_years_later_as_on_the_day() {
        let log = Log::of(3);
        for now in [NOW + 10, NOW + 500 * DAY, NOW + 5000 * DAY] {
            let sight = sight(&voucher(&log, now), log.witnessed(log.head(), NOW), now).unwrap();
            assert_eq!((sight.witnesses.len(), sight.listed, sight.enough, sight.time), (6, 6, true, Some(NOW + 1)));
            assert_eq!(sight.countries().unwrap(), ["AL", "IT", "MD", "RS"]);
        }
    }

    #[test]
    fn too_few_witnesses_are_named_and_show_no_time() {
        let log = Log::of(3);
        let voucher = voucher(&log, NOW);
        let some = [0, 1, 2].into_iter().fold(log.head(), |note, member| log.cosigned(note, member, NOW));
        let sight = sight(&voucher, some, NOW).unwrap();
        assert_eq!((sight.witnesses.len(), sight.listed, sight.enough, sight.time), (3, 6, false, None));
        let nobody = super::tests::sight(&voucher, log.head(), NOW).unwrap();
        assert!(nobody.witnesses.is_empty() && !nobody.enough && nobody.time.is_none());
    }

    #[test]
    fn a_cosignature_from_the_future_is_named_and_does_not_count() {
        let log = Log::of(3);
        let voucher = voucher(&log, NOW);
        let three = [0, 1, 2].into_iter().fold(log.head(), |note, member| log.cosigned(note, member, NOW));
        assert!(!sight(&voucher, three.clone(), NOW).unwrap().enough, "of six, four must have signed");
        for (at, counts) in [(NOW + SKEW_SECS, true), (NOW + SKEW_SECS + 1, false), (u64::MAX, false)] {
            let sight = sight(&voucher, log.cosigned(three.clone(), 5, at), NOW).unwrap();
            assert_eq!(
                (sight.enough, sight.witnesses.len(), sight.ahead.len()),
                (counts, 3 + usize::from(counts), usize::from(!counts))
            );
            assert!(counts || (sight.ahead[0].label.as_str(), sight.ahead[0].at) == ("Member 5", at));
        }
    }

    #[test]
    fn a_line_under_a_witnesss_name_that_it_did_not_sign_spoils_the_head() {
        let log = Log::of(3);
        let elsewhere = log.cosigned(log.head_of(2), 0, NOW).to_string();
        let line = elsewhere.lines().last().unwrap();
        let forged = Note::parse(format!("{}{line}\n", log.head()).as_bytes()).unwrap();
        assert_eq!(sight(&voucher(&log, NOW), forged, NOW).err(), Some(NoteFault::BadSignature));
    }

    #[test]
    fn no_single_witness_chooses_the_quarter_by_which_a_head_is_judged() {
        let log = Log::of(3);
        let voucher = voucher(&log, NOW);
        // One dates its signature into another quarter; the list and the time are those of the others.
        let note = [1, 2, 3, 5, 6].into_iter().zip(NOW..).fold(log.head(), |note, (m, at)| log.cosigned(note, m, at));
        let early = sight(&voucher, log.cosigned(note, 0, NOW - 3 * QUARTER_SECS), NOW + 10).unwrap();
        assert_eq!((early.enough, early.time), (true, Some(NOW)));
    }

    #[test]
    fn who_brings_key_and_policy_needs_no_records_and_is_told_no_countries() {
        let log = Log::of(3);
        let region = &log.region;
        let of = |member: usize| region.directory.witness_key(region.members[member].node).unwrap();
        let text = format!("witness a {}\nwitness b {}\ngroup both all a b\nquorum both\n", of(0), of(1));
        let policy = Policy::parse(&text).ok();
        let key = region.directory.log_key(region.members[4].node).unwrap();
        let voucher = || Voucher::of_key(key.clone(), Vouched::Given);
        let seen = sight(&voucher().under(policy.clone()), log.witnessed(log.head(), NOW), NOW).unwrap();
        assert_eq!((seen.witnesses.len(), seen.enough, seen.time, seen.countries()), (2, true, Some(NOW), None));
        let one = sight(&voucher().under(policy), log.cosigned(log.head(), 0, NOW), NOW).unwrap();
        assert!(!one.enough && one.witnesses.len() == 1);
        let unknown = sight(&voucher(), log.witnessed(log.head(), NOW), NOW).unwrap();
        assert!(unknown.witnesses.is_empty() && unknown.listed == 0);
        let about =
            Policy::parse(&format!("log {}\n{text}", NoteKey::new("another", KeyKind::Log, &key.public()).unwrap()));
        let other = sight(&voucher().under(about.ok()), log.witnessed(log.head(), NOW), NOW).unwrap();
        assert!(!other.enough, "a policy about another log says nothing of this one");
    }

    #[test]
    fn records_without_the_log_or_that_cannot_be_read_vouch_for_nothing() {
        let log = Log::of(3);
        let of = |records: &[u8], origin: &str| {
            Voucher::of_records(&log.region.genesis, records, origin, NOW).err().unwrap()
        };
        assert_eq!(of(b"\xff", &log.origin), VoucherFault::Broken);
        assert!(matches!(of(&[], &log.origin), VoucherFault::Refused(_)));
        assert!(matches!(of(&log.records(), &log.origin.replace("/g1", "/g2")), VoucherFault::Refused(_)));
        assert_eq!(of(&log.records(), "elsewhere"), VoucherFault::Name(NoteFault::OtherOrigin));
    }
}
