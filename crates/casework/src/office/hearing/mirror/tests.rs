//! Mirrors that are brought up page by page, far beyond what was heard.

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::log::tree::{Edge, Levels, consistency};

use super::super::tests::{Node, region};
use super::*;
use crate::office::Step;

/// A log of made-up entries; from entry `fork` on it has this face.
fn log(size: u64, fork: u64, face: u8) -> Vec<Hash> {
    (0..size).map(|n| sha256(&[&n.to_be_bytes()[..], &[if n < fork { 0 } else { face }]].concat())).collect()
}

fn head(log: &[Hash]) -> (u64, Hash) {
    let mut edge = Edge::default();
    log.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
    (edge.size(), edge.root())
}

/// A coordinator that keeps what it is told to keep, and what it has on its disk.
struct Coordinator {
    region: Region,
    node: Node,
    blocks: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Coordinator {
    fn new() -> Self {
        let (region, node, ..) = region();
        Self { region, node, blocks: std::collections::BTreeMap::new() }
    }

    fn of(&self) -> NodeId {
        self.region.members[1].node
    }

    fn keep(&mut self, rows: &[Row]) {
        for row in rows.iter().filter(|row| row.key.first() == Some(&MARK) && row.table == Table::Account) {
            match &row.value {
                Some(value) => drop(self.blocks.insert(row.key.clone(), value.clone())),
                None => drop(self.blocks.remove(&row.key)),
            }
        }
        let step = Step { rows: rows.to_vec(), ..Step::default() };
        self.node.act(&self.region, NOW, |_, _| (step, ()));
    }

    /// One request: the entries from `first` to `end` under the head of the whole log. How far it mirrors, and whether all.
    fn page(&mut self, log: &[Hash], first: usize, end: usize) -> (u64, bool) {
        let leaves = Levels::over(log.iter().map(leaf_hash).collect());
        let path = if end < log.len() { consistency(&leaves, end as u64, log.len() as u64).unwrap() } else { vec![] };
        let offered = Offered { first: first as u64, leaves: &log[first..end], path: &path };
        let Mirrored { rows, up_to, reaches, .. } = self.node.office.mirror(self.of(), offered, head(log));
        self.keep(&rows);
        (up_to, reaches)
    }

    /// As its own node would bring it up.
    fn bring_up(&mut self, log: &[Hash]) -> usize {
        let (mut first, mut requests) = (0, 0);
        loop {
            requests += 1;
            let (up_to, reaches) = self.page(log, first, log.len().min(first + TAIL_MAX));
            if reaches {
                return requests;
            }
            assert!(up_to as usize != first, "it does not get further than {first}");
            first = up_to as usize;
        }
    }

    fn heard(&self) -> &Heard {
        self.node.office.mirrored(self.of()).unwrap()
    }

    /// What it would show, put together as the door does.
    fn shown(&self) -> Vec<Hash> {
        let heard = self.heard();
        let mut all = Vec::new();
        let mut next = heard.size;
        while next < heard.tail_first() {
            let nth = next / BLOCK;
            let block = &self.blocks[&block_key(&heard.origin, nth)];
            let known = (next - block_first(nth, block)) as usize;
            all.extend_from_slice(&block.as_chunks().0[known..]);
            next = (nth + 1) * BLOCK;
        }
        all.extend_from_slice(heard.tail.as_chunks().0);
        all
    }

    /// As after an account of the entries up to here.
    fn hears(&mut self, log: &[Hash], up_to: usize) {
        let mut edge = Edge::default();
        log[..up_to].iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
        let (next, mut rows) = self.heard().heard_on(&edge);
        rows.push(heard_row(self.of(), &next));
        self.keep(&rows);
    }
}

#[test]
fn a_mirror_far_behind_is_brought_up_in_pages_and_says_at_each_how_far_it_is() {
    let mut coordinator = Coordinator::new();
    let mut all = log(5_000, 5_000, 0);
    assert_eq!(coordinator.page(&all, 0, TAIL_MAX), (1024, false));
    assert_eq!(coordinator.page(&all, 0, TAIL_MAX), (1024, false), "the same again changes nothing");
    assert_eq!(coordinator.page(&all, 2000, 3000), (1024, false), "a gap is not kept, and how far it is is said");
    assert_eq!(coordinator.page(&all, 1000, 2000), (2000, false), "what overlaps is kept once");
    assert_eq!(coordinator.bring_up(&all), 4);
    assert!(coordinator.shown() == all && coordinator.blocks.len() == 4, "{}", coordinator.blocks.len());
    // It goes on with the heads that follow.
    all.extend(log(5_700, 0, 1).split_off(5_000));
    assert_eq!(coordinator.page(&all, 5_000, 5_700), (5_700, true));
    assert!(coordinator.shown() == all && coordinator.heard().tail.len() < TAIL_MAX * 32);
}

#[test]
fn accounts_take_over_from_a_mirror_in_blocks_entry_by_entry() {
    let mut coordinator = Coordinator::new();
    let all = log(3_500, 3_500, 0);
    coordinator.bring_up(&all);
    for heard in [96, 1_000, 1_024, 2_500, 3_100, 3_500] {
        coordinator.hears(&all, heard);
        assert!(coordinator.shown() == all[heard..], "after {heard}");
        assert_eq!(coordinator.page(&all, heard, 3_500), (3_500, true), "after {heard}");
    }
    assert!(coordinator.blocks.is_empty(), "no block outlives what it held");
    // From an entry in the middle of a block on.
    let more = log(6_000, 6_000, 0);
    coordinator.bring_up(&more);
    assert!(coordinator.shown() == more[3_500..]);
}

#[test]
fn a_page_that_does_not_begin_the_head_is_not_kept_and_never_said_to_be() {
    let mut coordinator = Coordinator::new();
    let (one, other) = (log(3_000, 3_000, 0), log(3_000, 500, 1));
    let leaves = Levels::over(one.iter().map(leaf_hash).collect());
    let path = consistency(&leaves, 1_000, 3_000).unwrap();
    let mirror = |coordinator: &Coordinator, leaves: &[Hash], path: &[Hash]| {
        let mirrored = coordinator.node.office.mirror(coordinator.of(), Offered { first: 0, leaves, path }, head(&one));
        (mirrored.up_to, mirrored.reaches, mirrored.rows.len())
    };
    assert_eq!(mirror(&coordinator, &one[..1_000], &path), (1_000, false, 1));
    assert_eq!(mirror(&coordinator, &other[..1_000], &path), (0, false, 0), "other entries");
    assert_eq!(mirror(&coordinator, &one[..999], &path), (0, false, 0), "another size");
    assert_eq!(mirror(&coordinator, &one[..1_000], &[]), (0, false, 0), "no path");
    // What was never cosigned does not stand in the way of the history that is, and is not taken for it.
    coordinator.page(&other, 0, 2_000);
    assert_eq!(coordinator.page(&one, 2_000, 3_000), (0, false));
    assert_eq!(coordinator.bring_up(&one), 3);
    assert!(coordinator.shown() == one);
    // What was cosigned is not let go for a page that does not fit.
    let more = log(4_000, 3_000, 1);
    assert_eq!(coordinator.page(&log(4_000, 200, 2), 3_000, 3_500), (3_000, false));
    assert!(coordinator.shown() == one);
    assert_eq!(coordinator.page(&more, 3_000, 4_000), (4_000, true));
}

#[test]
fn what_was_cosigned_stays_when_what_no_head_came_to_goes() {
    let mut coordinator = Coordinator::new();
    let all = log(1_500, 1_500, 0);
    coordinator.bring_up(&all);
    // Beyond it comes a page of a head that goes nowhere, and then another history.
    assert_eq!(coordinator.page(&log(1_900, 1_500, 1), 1_500, 1_700), (1_700, false));
    assert_eq!(coordinator.page(&log(1_900, 1_500, 2), 1_700, 1_900), (1_500, false), "it asks for what it let go");
    assert!(coordinator.shown() == all);
    assert_eq!(coordinator.page(&log(1_900, 1_500, 2), 1_500, 1_900), (1_900, true));
}

#[test]
fn a_head_no_larger_than_what_others_vouched_for_is_not_taken_for_that_log() {
    let mut coordinator = Coordinator::new();
    let all = log(700, 700, 0);
    coordinator.bring_up(&all[..100]);
    // Accounts up to 500 came under a head that this coordinator did not cosign.
    coordinator.page(&all, 100, 600);
    coordinator.hears(&all, 500);
    let asked = |coordinator: &Coordinator, log: &[Hash]| {
        let mirrored = coordinator.node.office.mirror(coordinator.of(), Offered::default(), head(log));
        (mirrored.reaches, mirrored.strays, mirrored.rows.len())
    };
    assert_eq!(asked(&coordinator, &all[..400]), (false, true, 0));
    assert_eq!(asked(&coordinator, &log(400, 200, 1)), (false, true, 0));
    assert_eq!(asked(&coordinator, &log(500, 200, 1)), (false, true, 1), "what lies beyond is not of this head either");
    assert!(!asked(&coordinator, &log(600, 550, 1)).1, "beyond what was heard a consistency proof decides");
    assert_eq!(asked(&coordinator, &all[..600]), (true, false, 1));
    coordinator.bring_up(&all);
    assert_eq!(asked(&coordinator, &all[..90]), (true, false, 0), "smaller than what was cosigned here");
}

#[test]
fn no_more_of_a_log_is_mirrored_than_may_be_and_that_is_said() {
    let full = Heard { tail_first: MIRRORED_MAX, tail_edge: vec![7; 32], sure: MIRRORED_MAX, ..Heard::default() };
    assert!(matches!(page(&full, Offered::default(), (MIRRORED_MAX + 9, [1; 32])), Page::Nothing));
    let leaves = [[1; 32]];
    let one = Offered { first: MIRRORED_MAX, leaves: &leaves, path: &[] };
    assert!(matches!(page(&full, one, (MIRRORED_MAX + 1, [1; 32])), Page::Nothing));
    // What was heard takes no room of it.
    let is_nothing = |heard: u64| {
        let behind = Heard { size: heard, tail_first: MIRRORED_MAX + 9, ..full.clone() };
        let one = Offered { first: MIRRORED_MAX + 9, leaves: &leaves, path: &[] };
        matches!(page(&behind, one, (MIRRORED_MAX + 10, [1; 32])), Page::Nothing)
    };
    assert_eq!([9, 10].map(is_nothing), [true, false]);
}
