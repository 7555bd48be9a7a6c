//! Two histories of one log, one for each half of the region.

use clearhouse_protocol::directory::logs::Entered;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::tree::{Levels, consistency};
use clearhouse_protocol::log::witness::Request;
use clearhouse_protocol::merkle;
use clearhouse_wire::v1 as wire;

use crate::common::Common;
use crate::replica::Replica;

/// One of the two.
pub(crate) struct Face {
    entry: Vec<u8>,
    leaves: Vec<[u8; 32]>,
    pub(crate) head: Checkpoint,
    pub(crate) note: Note,
}

/// See the module.
pub(crate) struct Fork {
    pub(crate) faces: [Face; 2],
    /// Entries that both have, all but the last one.
    common: u64,
}

impl Fork {
    /// Makes both out of what stands in the log, each with another last entry.
    pub(crate) fn new(keeper: &Replica, common: &mut Common) -> Self {
        let held: Vec<[u8; 32]> =
            keeper.directory.entered(keeper.node, 0, usize::MAX).iter().map(|entered| entered.leaf()).collect();
        let faces = [0u8, 1].map(|face| {
            let entry = [&common.dice.bytes::<32>()[..], &[face]].concat();
            let mut leaves = held.clone();
            leaves.push(merkle::leaf(&entry));
            let mut head = keeper.directory.head_to_sign(keeper.node, keeper.org);
            (head.size, head.root) = (leaves.len() as u64, merkle::root(&leaves));
            let note = head.sign(&common.member(keeper.place).log()).unwrap();
            Face { entry, leaves, head, note }
        });
        Self { faces, common: held.len() as u64 }
    }

    /// What a witness that has the first `old` entries is asked.
    pub(crate) fn request(&self, face: usize, old: u64) -> Request {
        let face = &self.faces[face];
        let Ok(path) = consistency(&Levels::over(face.leaves.clone()), old, face.head.size);
        Request { old, path, note: face.note.clone() }
    }

    /// What of it counts once a head is cosigned by enough.
    pub(crate) fn entered(&self, face: usize) -> [Entered; 1] {
        [Entered::of(&self.faces[face].entry)]
    }

    /// The answer to somebody who follows the log: the face of its half.
    pub(crate) fn show(&self, asker: usize, asked: &wire::DirectoryLogRequest, reply: &mut wire::DirectoryLogReply) {
        let face = &self.faces[asker % 2];
        if asked.first == self.common {
            let (head, entries) = (face.note.to_string().into_bytes(), vec![face.entry.clone()]);
            *reply = wire::DirectoryLogReply { head, entries, ..Default::default() };
        }
    }
}
