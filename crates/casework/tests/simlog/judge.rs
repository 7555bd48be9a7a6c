//! The end of a run: everybody starts once more, compares what it holds, and the judge puts all signatures together.

use std::collections::BTreeSet;

use clearhouse_casework::office::Now;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::checkpoint::SignedCheckpoint;
use clearhouse_protocol::log::equivocation::{Equivocation, Relation, relate};
use clearhouse_protocol::log::note::NoteKey;
use clearhouse_protocol::log::quorum::{List, Quorum, enough};
use clearhouse_protocol::log::tree;

use crate::flaw::Flaw;
use crate::log::{Leaves, Tree, agree};
use crate::place::LOGS;
use crate::world::World;

impl World {
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
        let mut now = Now { time: self.now, rng: &mut self.dice.0, key };
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
