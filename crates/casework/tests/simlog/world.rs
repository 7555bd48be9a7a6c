//! Everything together: what happens, and what of it must never be.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use clearhouse_protocol::audit::origin;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_protocol::log::{Hash, tree};
use clearhouse_protocol::merkle;

use crate::dice::Dice;
use crate::flaw::Flaw;
use crate::log::{self, Kind, Leaves, Lie, LogNode, Tree, agree};
use crate::place::{LOGS, Place, TIMES, face, liars, place};
use crate::witness::{self, Asked, Reply, WitnessNode};

/// Things that happen in one run.
const STEPS: usize = 220;
/// What a run was like.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) cosigned: u64,
    pub(crate) crashes: u64,
    pub(crate) refused: u64,
    pub(crate) witnessed: u64,
    pub(crate) proofs: u64,
    pub(crate) images: u64,
    pub(crate) stops: u64,
    pub(crate) races: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.cosigned += other.cosigned;
        self.crashes += other.crashes;
        self.refused += other.refused;
        self.witnessed += other.witnessed;
        self.proofs += other.proofs;
        self.images += other.images;
        self.stops += other.stops;
        self.races += other.races;
    }
}

/// One head with every signature that ever left for it, put together by whoever wants it believed.
pub(crate) struct Gathered {
    pub(crate) tree: Leaves,
    pub(crate) note: Note,
    pub(crate) answered: BTreeSet<usize>,
}

/// One run.
pub(crate) struct World {
    pub(crate) place: &'static Place,
    pub(crate) region: &'static Region,
    /// Which of [`TIMES`] it is.
    pub(crate) era: usize,
    pub(crate) dice: Dice,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) now: u64,
    pub(crate) logs: Vec<LogNode>,
    pub(crate) witnesses: BTreeMap<usize, WitnessNode>,
    /// Every head that a log signed, by log and root.
    pub(crate) heads: BTreeMap<(usize, Hash), Gathered>,
    /// Lines that are cut now: log and witness.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let (mut dice, place) = (Dice::new(seed), place(seed));
        let region = &place.region;
        let from = region.members.len() - LOGS;
        let bits = u64::from_be_bytes(dice.leaf()[..8].try_into().unwrap());
        let lies = [None, Some(Lie::Split(bits)), Some(Lie::ByQuarter)];
        let node = |(n, lie): (usize, &Option<Lie>)| {
            let kind = lie.map_or(Kind::Honest, |lie| Kind::Lying(lie, Default::default()));
            LogNode::new(from + n, kind)
        };
        // The third has two faces in every other run only.
        let lies = if seed.is_multiple_of(2) { lies } else { [lies[0], lies[1], None] };
        let logs: Vec<LogNode> = lies.iter().enumerate().map(node).collect();
        let liars = liars(place, &mut dice);
        let witnesses =
            (0..region.members.len()).map(|n| (n, WitnessNode::new(region, n, liars.contains(&n)))).collect();
        let (heads, cut, tally) = Default::default();
        Self { place, region, era: 0, dice, flaw, now: NOW, logs, witnesses, heads, cut, tally }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Things happen, in any order.
    pub(crate) fn live(&mut self) -> Result<(), String> {
        for step in 0..STEPS {
            self.era = (step * 4 / STEPS).saturating_sub(1);
            self.now = TIMES[self.era] + step as u64;
            let log = self.dice.below(LOGS);
            match self.dice.below(100) {
                0..20 => self.grow(log),
                20..36 => self.tick(log)?,
                36..50 => {
                    let all = &self.place.lists[log][self.era];
                    all.iter().try_for_each(|witness| self.ask(log, *witness))?;
                }
                50..60 => {
                    let all = &self.place.lists[log][self.era];
                    let witness = all[self.dice.below(all.len())];
                    self.ask(log, witness)?;
                }
                60..86 => (0..=self.dice.below(4)).try_for_each(|_| self.answer())?,
                86..88 => {
                    let n = self.dice.below(self.witnesses.len());
                    self.witnesses.get_mut(&n).unwrap().restart(self.region);
                    self.tally.crashes += 1;
                }
                88..90 => {
                    self.logs[log].newest = None;
                    self.logs[log].known.clear();
                }
                90..92 => self.take_image(log),
                92..94 => self.put_back(log),
                94..97 => self.mend(log),
                _ => {
                    let line = (log, self.dice.below(self.witnesses.len()));
                    if !self.cut.remove(&line) {
                        self.cut.insert(line);
                    }
                }
            }
        }
        Ok(())
    }

    fn grow(&mut self, log: usize) {
        for _ in 0..=self.dice.below(3) {
            let (one, other, same) = (self.dice.leaf(), self.dice.leaf(), self.dice.percent(50));
            match &mut self.logs[log].kind {
                Kind::Honest => self.logs[log].disk.store.push(one),
                Kind::Lying(_, faces) => {
                    faces[0].push(one);
                    faces[1].push(if same { one } else { other });
                }
            }
        }
    }

    fn tick(&mut self, log: usize) -> Result<(), String> {
        let crash = match self.dice.below(10) {
            0 => Some(log::Beat::Before),
            1 | 2 => Some(log::Beat::Between),
            _ => None,
        };
        if matches!(self.logs[log].kind, Kind::Lying(..)) {
            return Ok(());
        }
        let before = self.logs[log].stopped;
        let signed = self.logs[log].tick(crash, self.flaw);
        self.tally.crashes += u64::from(crash.is_some());
        self.tally.stops += u64::from(!before && self.logs[log].stopped);
        signed.map_or(Ok(()), |tree| self.signed(log, &tree))
    }

    /// The judge: a log's signature under this tree exists from now on.
    fn signed(&mut self, log: usize, tree: &Leaves) -> Result<(), String> {
        let node = &mut self.logs[log];
        if matches!(node.kind, Kind::Honest) {
            if node.told {
                return Err(format!("log {log} signed on after a witness had told it that there is another history"));
            }
            let follows = tree.len() >= node.last.len() && agree(tree, &node.last);
            if !follows && !node.amnesia {
                return Err(format!(
                    "log {log} signed {} entries that do not continue {}",
                    tree.len(),
                    node.last.len()
                ));
            }
            node.last = Rc::clone(tree);
        }
        let member = &self.region.members[node.member];
        let root = merkle::root(tree);
        self.heads.entry((log, root)).or_insert_with(|| {
            let origin = origin(self.region.net, member.org, member.node, 1);
            let note = Checkpoint { origin, size: tree.len() as u64, root }.sign(&member.log()).unwrap();
            Gathered { tree: Rc::clone(tree), note, answered: BTreeSet::new() }
        });
        Ok(())
    }

    fn ask(&mut self, log: usize, witness: usize) -> Result<(), String> {
        // A liar keeps his stories apart, mostly.
        let slips = self.dice.percent(5);
        let tree = match &self.logs[log].kind {
            Kind::Honest => self.logs[log].newest.clone(),
            Kind::Lying(lie, faces) => {
                let face = face(self.place, *lie, log, witness) ^ usize::from(slips);
                Some(Rc::new(faces[face].clone()))
            }
        };
        let Some(tree) = tree.filter(|tree| !tree.is_empty()) else { return Ok(()) };
        if matches!(self.logs[log].kind, Kind::Lying(..)) {
            self.signed(log, &tree)?;
        }
        let size = tree.len() as u64;
        let old = self.logs[log].known.get(&witness).copied().unwrap_or(0).min(size);
        let Ok(path) = tree::consistency(&Tree(&tree), old, size);
        let note = self.heads[&(log, merkle::root(&tree))].note.clone();
        if !self.cut.contains(&(log, witness)) && !self.dice.percent(8) {
            let asked = Asked { log: self.logs[log].member, request: Request { old, path, note }, tree };
            self.witnesses.get_mut(&witness).unwrap().inbox.push(asked);
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<(), String> {
        let waiting: Vec<usize> = self.witnesses.values().filter(|w| !w.inbox.is_empty()).map(|w| w.member).collect();
        let Some(&n) = waiting.get(self.dice.below(waiting.len())) else { return Ok(()) };
        let crash = match self.dice.below(12) {
            0 => Some(witness::Beat::BeforeStore),
            1 => Some(witness::Beat::BeforeReply),
            _ => None,
        };
        let node = self.witnesses.get_mut(&n).unwrap();
        let mut batch = Vec::new();
        for _ in 0..=self.dice.below(3) {
            if !node.inbox.is_empty() {
                batch.push(node.inbox.swap_remove(self.dice.below(node.inbox.len())));
            }
        }
        let of_one_log = batch.windows(2).any(|pair| pair[0].log == pair[1].log);
        self.tally.races += u64::from(of_one_log);
        self.tally.crashes += u64::from(crash.is_some());
        let replies = node.answer(self.region, batch, crash, (self.now, &mut self.dice, self.flaw));
        replies.into_iter().try_for_each(|reply| self.replied(n, reply))
    }

    /// The judge: this reply left the witness. Then it arrives, or does not.
    fn replied(&mut self, n: usize, Reply { asked, answer }: Reply) -> Result<(), String> {
        let log = self.logs.iter().position(|l| l.member == asked.log).unwrap();
        let witness = self.witnesses.get_mut(&n).unwrap();
        let gathered = self.heads.get_mut(&(log, merkle::root(&asked.tree))).unwrap();
        gathered.answered.insert(n);
        match &answer {
            Ok(note) => {
                self.tally.cosigned += 1;
                gathered.note.gather(note);
                let last = witness.last.entry(asked.log).or_default();
                let follows = asked.tree.len() >= last.len() && agree(&asked.tree, last);
                if !witness.lying && !follows {
                    let (new, old) = (asked.tree.len(), last.len());
                    return Err(format!("witness {n} cosigned {new} entries of log {log} that do not continue {old}"));
                }
                *last = Rc::clone(&asked.tree);
            }
            Err(fault) => {
                self.tally.refused += 1;
                let named = self.region.members[asked.log].node;
                if fault.is_proof() && !witness.office.equivocations().any(|(node, _)| node == named) {
                    return Err(format!("witness {n} met both histories of log {log} and has no proof"));
                }
            }
        }
        if self.cut.contains(&(log, n)) || self.dice.percent(10) {
            return Ok(());
        }
        let honest = !witness.lying;
        let node = &mut self.logs[log];
        let ours = node.disk.heads.map_or(0, |(size, _)| size as u64);
        match answer {
            Ok(_) => drop(node.known.insert(n, asked.tree.len() as u64)),
            Err(WitnessFault::Conflict(size)) if matches!(node.kind, Kind::Lying(..)) || size <= ours => {
                node.known.insert(n, size);
            }
            Err(_) => {
                let stopped = node.stopped;
                node.alarm(self.flaw);
                node.told |= honest && matches!(node.kind, Kind::Honest);
                self.tally.stops += u64::from(!stopped && node.stopped);
            }
        }
        Ok(())
    }

    fn take_image(&mut self, log: usize) {
        let node = &mut self.logs[log];
        if !node.stopped && !node.amnesia {
            node.image = Some(node.disk.clone());
        }
    }

    /// Puts back an old image: of the store alone, or of the whole disk with the file of heads.
    fn put_back(&mut self, log: usize) {
        let whole = self.dice.percent(50);
        let node = &mut self.logs[log];
        let Some(image) = node.image.clone().filter(|_| matches!(node.kind, Kind::Honest)) else { return };
        self.tally.images += 1;
        if whole {
            node.amnesia |= node.last.len() > image.store.len();
            node.disk = image;
        } else {
            node.disk.store = image.store;
        }
        node.newest = None;
        node.known.clear();
    }

    /// A person mends a node that stopped: with the store of its last day, or, when its file of heads is old too, with
    /// the largest tree that an honest witness mirrors.
    fn mend(&mut self, log: usize) {
        let node = &mut self.logs[log];
        if !node.stopped {
            return;
        }
        if node.amnesia || node.told {
            let held = self.witnesses.values().filter(|w| !w.lying).filter_map(|w| w.last.get(&node.member));
            node.last = held.max_by_key(|tree| tree.len()).cloned().unwrap_or_default();
        }
        node.disk.store = node.last.to_vec();
        node.disk.heads = Some((node.last.len(), merkle::root(&node.last)));
        (node.stopped, node.amnesia, node.told, node.image, node.newest) = (false, false, false, None, None);
        node.known.clear();
    }
}
