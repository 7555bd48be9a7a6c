//! Which cases a tick looks at: thousands of quiet ones cost it nothing, and none is passed over.

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::rows::Row;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::case::fact::{MessageOut, Opened, Stayed};
use crate::deadlines::Zone;
use crate::office::Me;

const CASES: u8 = 5;

/// An office with some drafts, opened at NOW.
struct Stage {
    region: Region,
    office: Office,
}

impl Stage {
    fn new() -> Self {
        let region = Region::new(7, 2);
        let m = &region.members[1];
        let (mailboxes, zone) = (vec![m.mailbox], Zone::utc());
        let me = Me { net: region.net, org: m.org, node: m.node, mailboxes, generation: 1, zone };
        let mut office = Office::new(me, region.directory.clone());
        office.unlock();
        let mut stage = Self { region, office };
        (0..CASES).for_each(|n| stage.note(n, 0, &stage.opened(n)));
        stage
    }

    fn opened(&self, n: u8) -> Fact {
        let (us, them) = (&self.region.members[1], &self.region.members[0]);
        Fact::Opened(Opened {
            case: vec![n; 16],
            direction: 1,
            conversation: vec![n; 32],
            peer_org: them.org.to_vec(),
            own_org: us.org.to_vec(),
            own_node: us.node.to_vec(),
            at: NOW,
            by: None,
        })
    }

    fn note(&mut self, n: u8, place: u64, fact: &Fact) {
        let row: Row = FactWriter::new(CaseId([n; 16]), place).row(fact);
        self.office.apply([&row]);
    }

    /// A tick whose step is taken: the cases it looked at, and how many clocks ran out.
    fn tick(&mut self, time: u64) -> (Vec<u8>, usize) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let key = &self.region.members[1].sign;
        let step = self.office.tick(time, &mut Now { time, rng: &mut rng, key });
        self.office.take(&step);
        let mut looked: Vec<u8> = step.looked.as_ref().unwrap().again.iter().map(|(case, _)| case.0[0]).collect();
        looked.sort_unstable();
        (looked, step.rows.iter().filter(|row| row.table == Table::Fact).count())
    }
}

fn all() -> Vec<u8> {
    (0..CASES).collect()
}

#[test]
fn a_tick_looks_at_what_changed_and_at_the_rest_once_an_hour() {
    let mut stage = Stage::new();
    assert_eq!(stage.tick(NOW), (all(), 0), "all are new");
    assert_eq!(stage.tick(NOW + 1).0, [] as [u8; 0]);
    stage.note(3, 1, &Fact::Stayed(Stayed { at: NOW, by: None }));
    assert_eq!(stage.tick(NOW + 2).0, [3]);
    assert_eq!(stage.tick(NOW + 3).0, [] as [u8; 0]);
    assert_eq!(stage.tick(NOW + LOOK_EVERY_SECS).0, [0, 1, 2, 4]);
    assert_eq!(stage.tick(NOW + LOOK_EVERY_SECS + 2).0, [3]);
    stage.office.look_at_all();
    assert_eq!(stage.tick(NOW + LOOK_EVERY_SECS + 3).0, all());
}

#[test]
fn a_clock_that_runs_out_is_seen_by_the_next_tick() {
    let mut stage = Stage::new();
    stage.tick(NOW);
    let due = stage.office.deadlines().shared(Rule::DraftPurge, NOW).at;
    stage.tick(due - 1);
    assert_eq!(stage.tick(due), (all(), 0), "the last second of them all");
    assert_eq!(stage.tick(due + 1), (all(), 2 * usize::from(CASES)), "each, and its place in the log");
    assert_eq!((stage.tick(due + 2), stage.office.due_times().overdue(due + 2)), ((all(), 0), usize::from(CASES)));
    assert_eq!(stage.tick(due + 3), (vec![], 0), "what is overdue is written down and waits for people");
}

#[test]
fn a_clock_that_goes_back_has_all_looked_at() {
    let mut stage = Stage::new();
    let due = stage.office.deadlines().shared(Rule::DraftPurge, NOW).at;
    stage.tick(due + 365 * DAY);
    stage.tick(due + 365 * DAY);
    assert_eq!(stage.office.due_times().overdue(due + 364 * DAY), 0, "they seem to be due in a year");
    assert_eq!(stage.tick(due + 1).0, all());
    assert_eq!(stage.office.due_times().overdue(due + 1), usize::from(CASES));
}

#[test]
fn a_case_whose_message_has_not_left_is_looked_at_each_time() {
    let mut stage = Stage::new();
    let mut out = MessageOut::default();
    (out.msg_id, out.seq, out.at) = (vec![9; 16], 1, NOW);
    stage.note(2, 1, &Fact::MessageOut(out));
    (0..3).for_each(|n| drop(stage.tick(NOW + n)));
    assert_eq!(stage.tick(NOW + 3).0, [2]);
}
