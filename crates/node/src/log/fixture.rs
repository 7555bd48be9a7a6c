//! For tests: the log of a member of a made-up region, with real events, records and witnesses.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be built must stop the test")]

use clearhouse_protocol::audit::{self, AuditEvent, Happening};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::Digest;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::EventRow;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::bundle::Entry;

/// Whose log it is.
const OWNER: usize = 4;

/// A log and what vouches for it.
pub(super) struct Log {
    pub(super) region: Region,
    pub(super) origin: String,
    pub(super) rows: Vec<EventRow>,
}

impl Log {
    /// A log of `n` entries in a region of three coordinators and four members.
    pub(super) fn of(n: u64) -> Self {
        let mut region = Region::with_coordinators(1, 7, 3);
        let (me, peer) = (&region.members[OWNER], &region.members[5]);
        let origin = audit::origin(region.net, me.org, me.node, audit::FIRST_GENERATION);
        let happening =
            Happening::of(AuditEvent::Sent).with(peer.org, peer.node).about(Digest([3; 32]), 2).by("Manager");
        let net = region.net;
        let rows = (0..n).map(|index| audit::record(&happening, net, &origin, index, NOW, &mut region.rng));
        let rows = rows.collect();
        Self { region, origin, rows }
    }

    pub(super) fn leaves(&self) -> Vec<Hash> {
        self.rows.iter().map(|row| leaf_hash(&row.commitment)).collect()
    }

    /// The signed head over all of it, with no witness.
    pub(super) fn head(&self) -> Note {
        self.head_of(self.rows.len())
    }

    /// The signed head over the first `size`.
    pub(super) fn head_of(&self, size: usize) -> Note {
        let root = merkle::root(&self.leaves()[..size]);
        let head = Checkpoint { origin: self.origin.clone(), size: size as u64, root };
        head.sign(&self.region.members[OWNER].log()).unwrap()
    }

    /// A note with a signature of this member at this time.
    pub(super) fn cosigned(&self, mut note: Note, member: usize, at: u64) -> Note {
        let m = &self.region.members[member];
        note.cosign(&audit::witness_name(self.region.net, m.org, m.node), &m.witness(), at).unwrap();
        note
    }

    /// The head, seen by all six others at this time and the five seconds after it.
    pub(super) fn witnessed(&self, note: Note, at: u64) -> Note {
        let others = [0, 1, 2, 3, 5, 6].into_iter().zip(at..);
        others.fold(note, |note, (member, at)| self.cosigned(note, member, at))
    }

    pub(super) fn genesis(&self) -> Vec<u8> {
        self.region.genesis.encode_to_vec()
    }

    pub(super) fn records(&self) -> Vec<u8> {
        wire::RecordBundle { records: self.region.records.clone(), prekeys: vec![], published: vec![] }.encode_to_vec()
    }

    /// An entry with its path under the head over all.
    pub(super) fn entry(&self, index: usize) -> (Entry, Vec<Hash>) {
        let row = &self.rows[index];
        let opened = Some((row.salt, row.opening.clone()));
        let entry = Entry { index: row.index, commitment: row.commitment, opened };
        (entry, merkle::path(&self.leaves(), index))
    }
}
