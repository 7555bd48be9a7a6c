//! One node: an office, the disk under it, and the four beats with a crash between any two.

use std::collections::BTreeMap;

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::{Me, Now, Office, Step};
use clearhouse_protocol::audit::origin;
use clearhouse_protocol::fixture::{Member, Region};
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::{EventRow, Row, Table};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::flaw::Flaw;

/// What survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) rows: BTreeMap<(u8, Vec<u8>), Row>,
    pub(crate) events: Vec<EventRow>,
}

impl Disk {
    pub(crate) fn leaves(&self) -> Vec<Hash> {
        self.events.iter().map(|row| leaf_hash(&row.commitment)).collect()
    }

    /// A value as it was kept.
    pub(crate) fn value(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        self.rows.get(&(table as u8, key.to_vec()))?.value.as_deref()
    }

    /// Takes a step, all of it.
    fn store(&mut self, step: &Step, flaw: Option<Flaw>) -> Result<(), String> {
        for row in &step.rows {
            let key = (row.table as u8, row.key.clone());
            let left_out = match flaw {
                Some(Flaw::PageNotKept) => row.table == Table::Account,
                Some(Flaw::OwedNotKept) => row.table == Table::Proving && row.key != b"cursor",
                _ => false,
            };
            if row.must_be_new && self.rows.contains_key(&key) {
                return Err(format!("a row of {:?} that must be new stands there already", row.table));
            }
            if row.value.is_none() {
                self.rows.remove(&key);
            } else if !left_out {
                self.rows.insert(key, row.clone());
            }
        }
        for event in &step.events {
            if flaw == Some(Flaw::EventsNotKept) {
                continue;
            }
            if event.index != self.events.len() as u64 {
                return Err(format!("entry {} after {}", event.index, self.events.len()));
            }
            self.events.push(event.clone());
        }
        Ok(())
    }
}

/// Where a node crashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Decided, and not stored.
    BeforeStore,
    /// Stored, and nothing left.
    BeforeSending,
}

/// A node.
pub(crate) struct Node {
    pub(crate) n: usize,
    pub(crate) office: Office,
    pub(crate) disk: Disk,
    /// An image of the disk as it once was.
    pub(crate) image: Option<Disk>,
    /// Put back from an image that lacked what it had signed, and gone on from there.
    pub(crate) strayed: bool,
    /// Every history that it signed heads of: more than one when it strayed.
    pub(crate) histories: Vec<Vec<Hash>>,
    /// The newest head: its size and its note.
    pub(crate) head: Option<(u64, Note)>,
    rng: ChaCha20Rng,
}

impl Node {
    pub(crate) fn new(region: &Region, n: usize, seed: u64) -> Self {
        let (disk, rng) = (Disk::default(), ChaCha20Rng::seed_from_u64(seed ^ ((n as u64) << 56)));
        let office = wake(region, n, &disk, None);
        Self { n, office, disk, image: None, strayed: false, histories: vec![vec![]], head: None, rng }
    }

    pub(crate) fn restart(&mut self, region: &Region, flaw: Option<Flaw>) {
        self.office = wake(region, self.n, &self.disk, flaw);
    }

    /// Decides, stores, and says whether what it decided may leave: not when the power went.
    pub(crate) fn act<T>(
        &mut self,
        region: &Region,
        at: u64,
        crash: Option<Beat>,
        flaw: Option<Flaw>,
        decide: impl FnOnce(&Office, &mut Now<'_, ChaCha20Rng>) -> (Step, T),
    ) -> Result<Option<T>, String> {
        let mut now = Now { time: at, rng: &mut self.rng, key: &region.members[self.n].sign };
        let (step, value) = decide(&self.office, &mut now);
        if crash == Some(Beat::BeforeStore) {
            self.restart(region, flaw);
            // Planted: it left all the same.
            return Ok((flaw == Some(Flaw::SendsBeforeDurable)).then_some(value));
        }
        self.disk.store(&step, flaw)?;
        self.office.take(&step);
        if crash == Some(Beat::BeforeSending) {
            self.restart(region, flaw);
            return Ok(None);
        }
        Ok(Some(value))
    }

    /// Signs a head over everything on the disk. It is the newest to show once all these members cosigned it, which they
    /// do unless it does not continue what they saw; who strayed shows it all the same.
    pub(crate) fn sign(&mut self, region: &Region, witnesses: &[usize], all: usize, at: u64) {
        let (member, leaves) = (&region.members[self.n], self.disk.leaves());
        if leaves.is_empty() {
            return;
        }
        let (size, root) = (leaves.len() as u64, merkle::root(&leaves));
        let last = self.histories.last_mut().unwrap();
        if leaves.starts_with(last) {
            *last = leaves;
        } else {
            self.strayed = true;
            self.histories.push(leaves);
        }
        let origin = origin(region.net, member.org, member.node, 1);
        let mut note = Checkpoint { origin, size, root }.sign(&member.log()).unwrap();
        if !self.strayed {
            for witness in witnesses.iter().map(|n| &region.members[*n]) {
                let name = clearhouse_protocol::audit::witness_name(region.net, witness.org, witness.node);
                note.cosign(&name, &witness.witness(), at).unwrap();
            }
        }
        if self.strayed || witnesses.len() == all {
            self.head = Some((size, note));
        }
    }

    /// The whole disk is put back as it once was.
    pub(crate) fn put_back(&mut self, region: &Region) -> bool {
        let Some(image) = self.image.clone() else { return false };
        self.disk = image;
        self.head = None;
        // Chance of a machine that starts again is not that of its image.
        self.rng = ChaCha20Rng::seed_from_u64(self.rng_seed());
        self.restart(region, None);
        true
    }

    fn rng_seed(&mut self) -> u64 {
        use rand_core::Rng as _;
        self.rng.next_u64()
    }
}

fn wake(region: &Region, n: usize, disk: &Disk, flaw: Option<Flaw>) -> Office {
    let member: &Member = &region.members[n];
    let me = Me {
        net: region.net,
        org: member.org,
        node: member.node,
        mailboxes: vec![member.mailbox],
        generation: 1,
        zone: Zone::utc(),
    };
    let mut office = Office::new(me, region.directory.clone());
    office.recorded(disk.events.len() as u64);
    office.unlock();
    let forgotten = |row: &&Row| flaw != Some(Flaw::HeardNotReadBack) || row.table != Table::Heard;
    office.apply(disk.rows.values().filter(forgotten));
    office
}
