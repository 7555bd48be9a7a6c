//! What everybody in a run shares and nobody could lie about: the time, the dice, the keys of the cast, the entries of
//! logs by their leaves, and the bytes that went over lines.
//!
//! An entry lies here once for a thousand replicas: it is addressed by its hash, so who has the hash has the entry.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::directory::RecordFault;
use clearhouse_protocol::directory::logs::Entered;
use clearhouse_protocol::fixture::{Member, NOW, Region};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::merkle;
use clearhouse_wire::v1::Signed;
use prost::Message;

use crate::dice::Dice;
use crate::flaw::Flaw;
use crate::forgery::Forgery;

/// Seconds from one round to the next: a live network's.
pub(crate) const ROUND_SECS: u64 = 60;
/// Bytes of a call beside its two messages, on a line that stands: two header blocks and the trailers out of the tables
/// of HTTP/2, frames and prefixes of gRPC, four TLS records.
pub(crate) const FRAMING: usize = 200;

/// What happened, so that a run in which nothing did is seen to prove nothing.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) sessions: u64,
    pub(crate) away: u64,
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    pub(crate) faults: u64,
    pub(crate) pages: u64,
    pub(crate) pages_refused: u64,
    pub(crate) lies: u64,
    pub(crate) proofs: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.away += other.away;
        self.taken += other.taken;
        self.refused += other.refused;
        self.faults += other.faults;
        self.pages += other.pages;
        self.pages_refused += other.pages_refused;
        self.lies += other.lies;
        self.proofs += other.proofs;
    }
}

/// See the module.
pub(crate) struct Common {
    pub(crate) region: Region,
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) flaw: Option<Flaw>,
    /// The entries of all logs by the hash of their leaf.
    pub(crate) entries: BTreeMap<[u8; 32], Vec<u8>>,
    pub(crate) places: BTreeMap<NodeId, usize>,
    /// Hashes of the records that stand under a head of some log that was cosigned by enough.
    pub(crate) public: BTreeSet<[u8; 32]>,
    /// Bytes of the calls that each made, and that each answered.
    pub(crate) asked: Vec<u64>,
    pub(crate) answered: Vec<u64>,
    /// The same by what was asked.
    pub(crate) by_call: BTreeMap<&'static str, u64>,
    pub(crate) tally: Tally,
    /// What liars have, once there are any.
    pub(crate) forgery: Option<Forgery>,
    /// Genuine records that others have taken the place of.
    pub(crate) old: Vec<Signed>,
    /// What records were refused for, and how often.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Common {
    pub(crate) fn new(region: Region, dice: Dice, flaw: Option<Flaw>) -> Self {
        let count = region.members.len();
        let places = region.members.iter().enumerate().map(|(place, member)| (member.node, place)).collect();
        let mut entries = BTreeMap::new();
        for record in &region.records {
            let entry = record.encode_to_vec();
            entries.insert(merkle::leaf(&entry), entry);
        }
        Self {
            region,
            now: NOW,
            dice,
            flaw,
            entries,
            places,
            public: BTreeSet::new(),
            asked: vec![0; count],
            answered: vec![0; count],
            tally: Tally::default(),
            forgery: None,
            old: Vec::new(),
            by_call: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    pub(crate) fn member(&self, place: usize) -> &Member {
        &self.region.members[place]
    }

    /// Whether this bug is planted.
    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Counts a call.
    pub(crate) fn call<R: Message>(&mut self, asker: usize, answerer: usize, request: &R, reply: &impl Message) {
        let bytes = (request.encoded_len() + reply.encoded_len() + FRAMING) as u64;
        *self.by_call.entry(std::any::type_name::<R>()).or_default() += bytes;
        self.asked[asker] += bytes;
        self.answered[answerer] += bytes;
    }

    /// Keeps an entry of a log.
    pub(crate) fn keep(&mut self, entry: &[u8]) {
        self.entries.entry(merkle::leaf(entry)).or_insert_with(|| entry.to_vec());
    }

    /// These stand in a log under a head that enough cosigned: whoever asks is shown them.
    pub(crate) fn show(&mut self, entered: &[Entered]) {
        let record = |entered: &Entered| <[u8; 32]>::try_from(&entered.bytes()[32..]).ok();
        self.public.extend(entered.iter().filter_map(record));
    }

    pub(crate) fn refuse(&mut self, fault: RecordFault) {
        self.tally.refused += 1;
        *self.refused.entry(fault.to_string()).or_default() += 1;
    }
}
