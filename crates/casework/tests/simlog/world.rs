//! Everything together: what happens, and the judge who remembers all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::OnceLock;

use clearhouse_protocol::audit::origin;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{QUARTER_GRACE_SECS, QUARTER_SECS};
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::equivocation::{Equivocation, Relation, relate};
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::quorum::{List, Quorum, enough, tolerated};
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_protocol::log::{Hash, tree};
use clearhouse_protocol::merkle;

use crate::dice::Dice;
use crate::flaw::Flaw;
use crate::log::{self, Kind, Leaves, Lie, LogNode, Tree, agree};
use crate::witness::{self, Asked, Reply, WitnessNode};

/// Things that happen in one run.
const STEPS: usize = 220;
/// The first moment of the next quarter.
const TURN: u64 = (NOW / QUARTER_SECS + 1) * QUARTER_SECS;
/// Before the turn, while both quarters count, and after.
const TIMES: [u64; 3] = [NOW, TURN, TURN + QUARTER_GRACE_SECS];
/// Logs of one run, the last members' of the region.
const LOGS: usize = 3;

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
struct Gathered {
    tree: Leaves,
    note: Note,
    answered: BTreeSet<usize>,
}

/// One run.
pub(crate) struct World {
    place: &'static Place,
    region: &'static Region,
    /// Which of [`TIMES`] it is.
    era: usize,
    dice: Dice,
    flaw: Option<Flaw>,
    now: u64,
    logs: Vec<LogNode>,
    witnesses: BTreeMap<usize, WitnessNode>,
    /// Every head that a log signed, by log and root.
    heads: BTreeMap<(usize, Hash), Gathered>,
    /// Lines that are cut now: log and witness.
    cut: BTreeSet<(usize, usize)>,
    tally: Tally,
}

/// A region and what follows from its directory, which stays the same in all runs.
struct Place {
    region: Region,
    /// Who witnesses each log: until the turn, for a while after it, and then.
    lists: Vec<[Vec<usize>; 3]>,
    quorums: Vec<[Quorum; 3]>,
    core: BTreeSet<usize>,
}

/// One to four coordinators beside fourteen members, or three coordinators alone.
fn place(which: usize) -> &'static Place {
    static ALL: [OnceLock<Place>; 5] = [const { OnceLock::new() }; 5];
    ALL[which].get_or_init(|| {
        let region = match which {
            4 => Region::with_coordinators(105, 3, 3),
            n => Region::with_coordinators(100 + n as u64, n + 15, n + 1),
        };
        let logs: Vec<NodeId> = region.members[region.members.len() - LOGS..].iter().map(|m| m.node).collect();
        let member = |(node, _)| region.members.iter().position(|m| m.node == node).unwrap();
        let list = |node, at| region.directory.witnesses(node, at).into_iter().map(member).collect();
        let lists = logs.iter().map(|node| TIMES.map(|at| list(*node, at))).collect();
        let quorums = logs.iter().map(|node| TIMES.map(|at| region.directory.quorum(*node, at))).collect();
        let core = (region.directory.orgs())
            .filter(|(_, org)| org.roles.iter().any(|role| role == "Coordinator"))
            .filter_map(|(org, _)| region.members.iter().position(|m| m.org == org))
            .collect();
        Place { region, lists, quorums, core }
    })
}

impl World {
    pub(crate) fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let (mut dice, place) = (Dice::new(seed), place(usize::try_from(seed % 5).unwrap()));
        let region = &place.region;
        let from = region.members.len() - LOGS;
        let bits = u64::from_be_bytes(dice.leaf()[..8].try_into().unwrap());
        let lies = [None, Some(Lie::Split(bits)), Some(Lie::ByQuarter)];
        let node = |(n, lie): (usize, &Option<Lie>)| {
            let kind = lie.map_or(Kind::Honest, |lie| Kind::Lying(lie, Default::default()));
            LogNode::new(from + n, kind)
        };
        // The third has two faces in every other run only.
        let lies = if seed % 2 == 0 { lies } else { [lies[0], lies[1], None] };
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

    /// Everybody starts once more, and all compare what they hold.
    pub(crate) fn calm(&mut self) -> Result<(), String> {
        for witness in self.witnesses.values_mut().filter(|w| !w.lying) {
            witness.restart(self.region);
            for (node, times) in &witness.told {
                let node = NodeId::try_from(node.as_slice()).unwrap();
                if *times != 1 || !witness.office.directory().is_suspended(node) {
                    return Err(format!(
                        "witness {} told {times} times of a proof that it does not have",
                        witness.member
                    ));
                }
            }
        }
        for log in 0..LOGS {
            self.one_history_has_quorums(log)?;
            self.holders_exchange_heads(log)?;
        }
        Ok(())
    }

    fn key(&self, log: usize) -> NoteKey {
        self.region.directory.log_key(self.region.members[self.logs[log].member].node).unwrap()
    }

    fn one_history_has_quorums(&mut self, log: usize) -> Result<(), String> {
        let (key, quorums) = (self.key(log), &self.place.quorums[log]);
        let mut reached: Vec<&Leaves> = Vec::new();
        for gathered in self.heads.range((log, [0; 32])..=(log, [255; 32])).map(|(_, gathered)| gathered) {
            let head = SignedCheckpoint::of(gathered.note.clone(), &key).ok().unwrap();
            let holds = |quorum: &Quorum| match self.flaw {
                Some(Flaw::MajorityOfAnswers) => count(&quorum.current, &head) * 2 > gathered.answered.len(),
                Some(Flaw::NoCore) => count(&quorum.current, &head) >= enough(quorum.current.witnesses().len()),
                _ => quorum.standing(&head).unwrap().reached,
            };
            if quorums.iter().any(holds) {
                self.tally.witnessed += 1;
                reached.push(&gathered.tree);
            }
        }
        for (n, one) in reached.iter().enumerate() {
            if let Some(other) = reached[n + 1..].iter().find(|other| !agree(one, other)) {
                let (one, other) = (one.len(), other.len());
                return Err(format!("log {log}: {one} and {other} entries, two histories, both with a quorum"));
            }
        }
        Ok(())
    }

    fn holders_exchange_heads(&mut self, log: usize) -> Result<(), String> {
        let (key, member) = (self.key(log), self.logs[log].member);
        let named = self.region.members[member].node;
        let holders: Vec<(usize, SignedCheckpoint, Leaves)> = (self.witnesses.values().filter(|w| !w.lying))
            .filter_map(|w| {
                let head = w.office.head_held(&key)?;
                let tree = w.mirror.get(&head.checkpoint().root)?.clone();
                Some((w.member, head, tree))
            })
            .collect();
        let mut taken = BTreeSet::new();
        for (n, (a, one, one_tree)) in holders.iter().enumerate() {
            for (b, other, other_tree) in &holders[n + 1..] {
                let larger = if one_tree.len() > other_tree.len() { one_tree } else { other_tree };
                let sizes = (one_tree.len().min(other_tree.len()) as u64, larger.len() as u64);
                let Ok(path) = tree::consistency(&Tree(larger), sizes.0, sizes.1);
                let relation = relate(one, other, &path, &key).unwrap();
                let agreed = matches!(relation, Relation::Same | Relation::Continues);
                if agreed != agree(one_tree, other_tree) {
                    return Err(format!("holders {a} and {b} of log {log}: agreed {agreed}, and it is not so"));
                }
                if agreed {
                    continue;
                }
                let proof = Equivocation::of_leaves(one, other, larger, &key)
                    .map_err(|fault| format!("holders {a} and {b} of log {log} have no proof: {fault}"))?;
                for holder in [*a, *b] {
                    // Once is enough: what a second proof does is a test of the office's own.
                    if taken.insert(holder) {
                        self.take_proof(holder, &proof.to_string(), named)?;
                    }
                }
            }
        }
        let trees: Vec<&Leaves> = self.heads.iter().filter(|((l, _), _)| *l == log).map(|(_, g)| &g.tree).collect();
        let forked = trees.iter().enumerate().any(|(n, one)| trees[n + 1..].iter().any(|other| !agree(one, other)));
        let accused = self.witnesses.values().any(|w| w.office.directory().is_suspended(named));
        if accused && !forked {
            return Err(format!("log {log} showed one history and is suspended"));
        }
        Ok(())
    }

    fn take_proof(&mut self, holder: usize, proof: &str, named: NodeId) -> Result<(), String> {
        let witness = self.witnesses.get_mut(&holder).unwrap();
        let key = &self.region.members[holder].sign;
        let mut now = clearhouse_casework::office::Now { time: self.now, rng: &mut self.dice.0, key };
        let (step, taken) = witness.office.take_equivocation(proof.as_bytes(), &mut now);
        witness.office.take(&step);
        witness.store(&step, self.flaw);
        self.tally.proofs += 1;
        if taken != Ok(named) || !witness.office.directory().is_suspended(named) {
            return Err(format!("holder {holder} does not take a proof that holds"));
        }
        Ok(())
    }
}

/// How many of a list signed.
fn count(list: &List, head: &SignedCheckpoint) -> usize {
    list.standing(head).unwrap().seen.len()
}

/// Which face a witness is shown.
fn face(place: &Place, lie: Lie, log: usize, witness: usize) -> usize {
    match lie {
        Lie::Split(bits) => usize::from(bits >> (witness % 64) & 1 == 1),
        Lie::ByQuarter if place.core.contains(&witness) => witness % 2,
        Lie::ByQuarter => usize::from(!place.lists[log][0].contains(&witness)),
    }
}

/// As many liars as every list of every log tolerates, and the coordinators among them by themselves.
fn liars(place: &Place, dice: &mut Dice) -> BTreeSet<usize> {
    let mut liars = BTreeSet::new();
    for _ in 0..4 {
        let mut more = liars.clone();
        more.insert(dice.below(place.region.members.len()));
        let lists = place.quorums.iter().flatten().flat_map(|q| std::iter::once(&q.current).chain(&q.before));
        let mut all = lists.map(|list| -> BTreeSet<usize> {
            let member = |node| place.region.members.iter().position(|m| Some(m.node) == node).unwrap();
            list.witnesses().iter().map(|listed| member(listed.node)).collect()
        });
        let tolerable = all.all(|list| {
            let inner: BTreeSet<usize> = list.intersection(&place.core).copied().collect();
            let lying = |of: &BTreeSet<usize>| of.intersection(&more).count();
            lying(&list) <= tolerated(list.len()) && lying(&inner) <= tolerated(inner.len())
        });
        if tolerable {
            liars = more;
        }
    }
    liars
}
