//! A node that witnesses: the real office, a disk of rows, and an inbox. Or a liar, who signs everything.

use std::collections::BTreeMap;

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::{Me, Now, Office, Step};
use clearhouse_protocol::audit::{AuditEvent, unpad, witness_name};
use clearhouse_protocol::fixture::Region;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_protocol::rows::Row;

use crate::dice::Dice;
use crate::flaw::Flaw;
use crate::log::Leaves;

/// A request under way, with the tree that the node showed beside it (what a mirror fetches).
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) log: usize,
    pub(crate) request: Request,
    pub(crate) tree: Leaves,
}

/// What a witness answers.
pub(crate) struct Reply {
    pub(crate) asked: Asked,
    pub(crate) answer: Result<Note, WitnessFault>,
}

/// Where a witness crashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    BeforeStore,
    BeforeReply,
}

/// A witness.
pub(crate) struct WitnessNode {
    pub(crate) member: usize,
    pub(crate) lying: bool,
    pub(crate) office: Office,
    pub(crate) disk: BTreeMap<Vec<u8>, Row>,
    pub(crate) inbox: Vec<Asked>,
    /// The last tree of each log for which a signature left here, as a just observer remembers it.
    pub(crate) last: BTreeMap<usize, Leaves>,
    /// The trees that were shown here, by root.
    pub(crate) mirror: BTreeMap<Hash, Leaves>,
    /// Durable events that tell of a proof, by the node they name.
    pub(crate) told: BTreeMap<Vec<u8>, usize>,
    /// Held by [`Flaw::SkipsConsistency`] alone.
    sizes: BTreeMap<usize, u64>,
}

fn office(region: &Region, n: usize) -> Office {
    let m = &region.members[n];
    let me =
        Me { net: region.net, org: m.org, node: m.node, mailboxes: vec![m.mailbox], generation: 1, zone: Zone::utc() };
    Office::new(me, region.directory.clone())
}

impl WitnessNode {
    pub(crate) fn new(region: &Region, member: usize, lying: bool) -> Self {
        Self {
            member,
            lying,
            office: office(region, member),
            disk: BTreeMap::new(),
            inbox: Vec::new(),
            last: BTreeMap::new(),
            mirror: BTreeMap::new(),
            told: BTreeMap::new(),
            sizes: BTreeMap::new(),
        }
    }

    /// Forgets everything that is not on the disk.
    pub(crate) fn restart(&mut self, region: &Region) {
        self.office = office(region, self.member);
        self.office.apply(self.disk.values());
        self.inbox.clear();
    }

    /// Makes a step durable, as far as the planted bug lets it.
    pub(crate) fn store(&mut self, step: &Step, flaw: Option<Flaw>) {
        for row in &step.rows {
            let (mut row, is_proof) = (row.clone(), row.key.len() > 32);
            if is_proof && flaw == Some(Flaw::ProofNotKept) {
                continue;
            }
            if !is_proof && flaw == Some(Flaw::HeadNotKept) {
                row.value.as_mut().unwrap().truncate(40);
            }
            self.disk.insert(row.key.clone(), row);
        }
        for event in &step.events {
            let opening = unpad(&event.opening).unwrap();
            assert!(opening.event() == AuditEvent::EquivocationFound);
            *self.told.entry(opening.peer_node).or_default() += 1;
        }
    }

    /// Decides on these requests in one go, stores, replies: three beats, and a crash between any two. The replies that
    /// left, in their order.
    pub(crate) fn answer(
        &mut self,
        region: &Region,
        batch: Vec<Asked>,
        crash: Option<Beat>,
        (now, dice, flaw): (u64, &mut Dice, Option<Flaw>),
    ) -> Vec<Reply> {
        let me = &region.members[self.member];
        let (name, key) = (witness_name(region.net, me.org, me.node), me.witness());
        let cosign_anything = |request: &Request| {
            let mut note = Note::unsigned(request.note.text().to_owned());
            note.cosign(&name, &key, now).unwrap();
            note
        };
        let (mut steps, mut replies) = (Vec::new(), Vec::new());
        for asked in batch {
            self.mirror.insert(clearhouse_protocol::merkle::root(&asked.tree), asked.tree.clone());
            let size = Checkpoint::parse(asked.request.note.text()).unwrap().size;
            let answer = if self.lying || flaw == Some(Flaw::IgnoresOldSize) {
                Ok(cosign_anything(&asked.request))
            } else if flaw == Some(Flaw::SkipsConsistency) {
                let held = self.sizes.entry(asked.log).or_default();
                if size < *held {
                    Err(WitnessFault::Conflict(*held))
                } else {
                    *held = size;
                    Ok(cosign_anything(&asked.request))
                }
            } else {
                let from = region.members[asked.log].node;
                let mut at = Now { time: now, rng: &mut dice.0, key: &me.sign };
                let (step, decided) = self.office.cosign(from, &asked.request, &mut at);
                if flaw != Some(Flaw::DecidesSideBySide) {
                    self.office.take(&step);
                }
                steps.push(step);
                decided.map(|cosigning| cosigning.cosign(&name, &key, now).unwrap())
            };
            replies.push(Reply { asked, answer });
        }
        if flaw == Some(Flaw::DecidesSideBySide) {
            steps.iter().for_each(|step| self.office.take(step));
        }
        if crash == Some(Beat::BeforeStore) {
            self.restart(region);
            return if flaw == Some(Flaw::RepliesBeforeDurable) { replies } else { Vec::new() };
        }
        steps.iter().for_each(|step| self.store(step, flaw));
        if crash == Some(Beat::BeforeReply) {
            self.restart(region);
            return Vec::new();
        }
        replies
    }
}
