//! The newest heads of directory logs, told to each other with everything else: so that a longer log is read from whoever
//! has it, and a log that shows two histories to two offices is found out as soon as these two meet.
//!
//! A head is believed as far as its keeper's own signature goes: it says where to read on, and what a keeper cannot deny.

use super::super::Directory;
use crate::ids::NodeId;
use crate::limits::COORDINATORS_MAX;
use crate::log::Hash;
use crate::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::log::equivocation::Equivocation;

/// What the heads that somebody holds say beside those that are held here.
#[derive(Default)]
pub struct Heard {
    /// Logs of which they hold more.
    pub further: Vec<NodeId>,
    /// Logs that showed them another history, with the proof.
    pub forked: Vec<(NodeId, Equivocation)>,
}

impl Directory {
    /// The newest head held of each directory log, as signed notes.
    #[must_use]
    pub fn heads(&self) -> Vec<Vec<u8>> {
        let held = self.directory_logs().filter_map(|(node, _)| self.newest_head(node));
        held.map(|head| head.note().to_string().into_bytes()).collect()
    }

    /// How far each directory log is held, as 40 bytes: the number of entries and the newest head's root.
    pub(in super::super) fn reached(&self) -> impl Iterator<Item = (NodeId, Vec<u8>)> {
        self.directory_logs().map(|(node, _)| {
            let head = self.newest_head(node).and_then(|head| Checkpoint::parse(head.note().text()).ok());
            let root: Hash = head.map_or([0; 32], |head| head.root);
            (node, [&self.followed(node).to_be_bytes()[..], &root[..]].concat())
        })
    }

    /// Compares the heads that somebody else holds with those held here. What is no head of a log that the policy names,
    /// or comes after as many as a policy can name, is passed over.
    #[must_use]
    pub fn hear_heads(&self, heads: &[Vec<u8>]) -> Heard {
        let mut heard = Heard::default();
        for (node, key) in self.directory_logs() {
            let name = [key.name().as_bytes(), b"\n"].concat();
            let known = self.newest_head(node).map(|head| head.note().to_string().into_bytes());
            // A signature is verified only where it could say something new.
            let news = heads.iter().take(COORDINATORS_MAX).filter(|head| head.starts_with(&name));
            let told = news.filter(|head| known.as_ref() != Some(*head));
            let told = told.filter_map(|head| SignedCheckpoint::open(head, &key).ok());
            let held = self.newest_head(node).and_then(|held| SignedCheckpoint::of(held.note().clone(), &key).ok());
            for told in told {
                let Some(held) = &held else {
                    heard.further.push(node);
                    continue;
                };
                if told.checkpoint().size > held.checkpoint().size {
                    heard.further.push(node);
                } else if let Ok(proof) = Equivocation::of(held, &told, &[], &key) {
                    heard.forked.push((node, proof));
                }
            }
        }
        heard.further.dedup();
        heard
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::directory::buckets::Buckets;
    use crate::fixture::{NOW, Region};
    use crate::limits::HOUR;

    fn entries(region: &Region, node: NodeId) -> Vec<Vec<u8>> {
        region.directory.to_enter(node).into_iter().map(|signed| signed.encode_to_vec()).collect()
    }

    // Attack 17: a log that shows two offices two histories, each cosigned by whom it could deceive or bribe.
    #[test]
    fn attack_17_two_offices_that_were_shown_two_histories_find_out_when_they_meet() {
        let region = Region::with_logs(5, 5);
        let node = region.members[0].node;
        let all = entries(&region, node);
        let mut other = all.clone();
        other.swap(1, 2);
        let shown = |all: &[Vec<u8>]| {
            let mut directory = region.directory.clone();
            let page = region.log_page(0, all, (0, all.len()), (&[1, 2], NOW));
            let page = directory.check_page(node, &page, NOW).unwrap();
            directory.follow(&page);
            directory
        };
        let (one, another) = (shown(&all), shown(&other));
        let heard = one.hear_heads(&another.heads());
        assert!(heard.further.is_empty());
        let [(of, proof)] = heard.forked.as_slice() else { panic!() };
        assert_eq!(*of, node);
        assert!(proof.check(&one.directory_log(node).unwrap()).is_ok());
        // They would not even compare heads if one word said that they have the same.
        let state = |directory: &Directory| Buckets::of(directory).state();
        assert!(state(&one) != state(&another));
        let nothing = one.hear_heads(&one.heads());
        assert!(nothing.further.is_empty() && nothing.forked.is_empty());
    }

    #[test]
    fn a_longer_log_is_read_on_and_what_is_no_head_is_passed_over() {
        let mut region = Region::with_logs(6, 4);
        let empty = region.directory.clone();
        region.publish_all(NOW + HOUR);
        let heads = region.directory.heads();
        assert_eq!((heads.len(), empty.heads().len()), (3, 0));
        let keepers: Vec<NodeId> = empty.directory_logs().map(|(node, _)| node).collect();
        assert_eq!(empty.hear_heads(&heads).further, keepers);
        assert!(region.directory.hear_heads(&heads).further.is_empty());
        let mut unsigned = heads.clone();
        for head in &mut unsigned {
            let at = head.len() - 5;
            head.truncate(at);
        }
        let noise = vec![vec![], vec![0xff; 100_000], b"no head".to_vec()];
        assert!(empty.hear_heads(&[noise.clone(), unsigned].concat()).further.is_empty());
        let late = [vec![noise[2].clone(); COORDINATORS_MAX], heads].concat();
        assert!(empty.hear_heads(&late).further.is_empty(), "more than a policy can name");
    }
}
