//! Mirrors that hide, repeat, invent and never end.

use clearhouse_protocol::audit::{self, Erasure, Happening};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::EventRow;

use super::*;
use crate::clock::chance;

/// The log of a member in which every second entry is an erasure.
struct Log {
    own: NoteKey,
    head: Vec<u8>,
    rows: Vec<EventRow>,
}

impl Log {
    fn of(entries: u64) -> Self {
        let region = Region::new(1, 2);
        let me = &region.members[1];
        let origin = audit::origin(region.net, me.org, me.node, audit::FIRST_GENERATION);
        let row = |index: u64| {
            let ranges = [(0, index - 1)];
            let happening = Happening::of(AuditEvent::CaseErased);
            let erasure = Erasure { ranges: &ranges, rule: "PersonAsked" };
            audit::record_erasure(&happening, erasure, region.net, &origin, index, NOW, &mut chance()).unwrap()
        };
        let quiet =
            |index| audit::record(&Happening::of(AuditEvent::SignIn), region.net, &origin, index, NOW, &mut chance());
        let rows: Vec<_> = (0..entries).map(|n| if n % 2 == 1 { row(n) } else { quiet(n) }).collect();
        let leaves: Vec<_> = rows.iter().map(|row| leaf_hash(&row.commitment)).collect();
        let head = Checkpoint { origin, size: entries, root: merkle::root(&leaves) };
        let head = head.sign(&me.log()).unwrap().to_string().into_bytes();
        Self { own: region.directory.log_key(me.node).unwrap(), head, rows }
    }

    fn commitments(&self) -> Vec<Hash> {
        self.rows.iter().map(|row| row.commitment).collect()
    }

    fn erasure(&self, index: usize) -> wire::OwnErasure {
        let row = &self.rows[index];
        wire::OwnErasure { index: row.index, salt: row.salt.to_vec(), opening: row.opening.clone() }
    }

    /// An answer of entries `first` up to `to`, with these erasures.
    fn page(&self, first: usize, to: usize, erasures: Vec<wire::OwnErasure>) -> wire::OwnLogReply {
        let commitments = self.rows[first..to].iter().flat_map(|row| row.commitment).collect();
        wire::OwnLogReply { head: self.head.clone(), commitments, erasures, next: to as u64 }
    }

    /// A mirror that shows these erasures and all entries.
    fn mirror(&self, erasures: &[usize]) -> Reading {
        let mut read = Reading::default();
        let shown = erasures.iter().map(|index| self.erasure(*index)).collect();
        assert_eq!(read.take(self.page(0, self.rows.len(), shown), &self.own), None);
        read
    }
}

fn indexes(openings: &[wire::Opening]) -> Vec<u64> {
    openings.iter().map(|opening| opening.index).collect()
}

#[test]
fn an_erasure_that_one_mirror_hides_another_shows_and_none_makes_one_up() {
    let log = Log::of(8);
    let mut forged = log.mirror(&[1]);
    // At its place, and not what stands there: it must not stand in the way of the true one.
    let lie = wire::OwnErasure { index: 3, ..log.erasure(5) };
    forged.erasures.insert(3, lie);
    let short = {
        let mut short = Reading::default();
        short.take(log.page(0, 6, vec![log.erasure(5)]), &log.own);
        assert!(short.log().is_none(), "it does not reach the head");
        short
    };
    let erasures = [forged, short, log.mirror(&[3]), log.mirror(&[])].map(|read| read.erasures).into();
    let mirrors = Mirrors { logs: Vec::new(), erasures };
    assert_eq!(indexes(&mirrors.proved(&log.commitments())), [1, 3, 5]);
}

#[test]
fn a_page_brings_erasures_of_its_own_entries_alone_and_each_once() {
    let log = Log::of(8);
    let mut read = Reading::default();
    let many = vec![log.erasure(1), log.erasure(1), log.erasure(5), wire::OwnErasure { index: 2, ..log.erasure(1) }];
    assert_eq!(read.take(log.page(0, 4, many), &log.own), Some(4));
    assert_eq!(read.erasures.keys().copied().collect::<Vec<_>>(), [1, 2], "of this page, by place");
    let short = wire::OwnErasure { opening: vec![1; OPENING_LEN - 1], ..log.erasure(5) };
    assert_eq!(read.take(log.page(4, 8, vec![short, log.erasure(7)]), &log.own), None);
    assert_eq!(read.erasures.keys().copied().collect::<Vec<_>>(), [1, 2, 7]);
    assert_eq!(read.log(), Some(log.commitments()));
    assert_eq!(
        indexes(&Mirrors { logs: Vec::new(), erasures: vec![read.erasures] }.proved(&log.commitments())),
        [1, 7]
    );
}

#[test]
fn reading_stops_at_the_head_this_node_signed_and_without_one_at_once() {
    let log = Log::of(4);
    let more = Log::of(9);
    let mut read = Reading::default();
    // More entries than there are under its own head: cut off, and nothing is asked on.
    let page = wire::OwnLogReply { head: log.head.clone(), ..more.page(0, 9, Vec::new()) };
    assert_eq!(read.take(page, &log.own), None);
    assert_eq!((read.commitments.len(), read.log()), (4, None));
    let mut read = Reading::default();
    assert_eq!(read.take(wire::OwnLogReply { head: Vec::new(), ..log.page(0, 2, Vec::new()) }, &log.own), None);
    assert!(read.commitments.is_empty());
    let mut read = Reading::default();
    assert_eq!(read.take(wire::OwnLogReply { next: 1, ..log.page(0, 2, Vec::new()) }, &log.own), None, "it goes back");
}
