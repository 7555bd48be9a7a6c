//! One session with one peer, as a node has it: its own introduction, digests, lists, descriptors, and the records of whom
//! nobody here knows. Every check is the product's.

use clearhouse_protocol::directory::buckets::{Listing, SyncFault, Wanted};
use clearhouse_protocol::directory::introduction::{introduction, own_digest};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::{DESCRIPTORS_ASKED_MAX, HOUR, ORGS_SESSION_MAX, SYNC_SESSION_MAX};
use clearhouse_wire::v1 as wire;
use prost::Message;

use crate::flaw::Flaw;
use crate::line::Line;
use crate::replica::Replica;
use crate::standings::Ending;

/// A peer is told of this node again so often, whatever else.
const TOLD_EVERY_SECS: u64 = HOUR;

/// What one session may still bring, and what was new of it.
struct Basket {
    room: usize,
    new: usize,
}

impl Basket {
    fn count(&mut self, answer: &impl Message) -> Result<(), SyncFault> {
        self.room = self.room.checked_sub(answer.encoded_len()).ok_or(SyncFault::TooMuch)?;
        Ok(())
    }
}

impl Replica {
    /// Pulls what is newer at the other end of a line.
    pub(crate) fn pull(&mut self, line: &mut Line<'_>) -> Ending {
        let mut basket = Basket { room: SYNC_SESSION_MAX, new: 0 };
        line.common.tally.sessions += 1;
        match self.session(line, &mut basket) {
            Err(_) => {
                line.common.tally.faults += 1;
                Ending::Lied
            }
            Ok(differs) if basket.new > 0 || !differs => Ending::Good,
            Ok(_) => Ending::Barren,
        }
    }

    /// Whether the peer's directory differed at all.
    fn session(&mut self, line: &mut Line<'_>, basket: &mut Basket) -> Result<bool, SyncFault> {
        let told = self.told();
        let (peer, state) = (line.peer.org, told.state().to_vec());
        let own_digest = own_digest(&self.directory, self.node, peer).map(|own| own.to_vec()).unwrap_or_default();
        let mut digests =
            line.digests(wire::DigestsRequest { state: state.clone(), own_digest, ..wire::DigestsRequest::default() });
        basket.count(&digests)?;
        let now = line.common.now;
        if digests.unheard && self.is_to_be_told(line) {
            digests = line.digests(wire::DigestsRequest { state, ..introduction(&self.directory, self.node, peer) });
            basket.count(&digests)?;
        }
        let (differing, other) = told.compare(&digests)?;
        self.hear_heads(line, &digests.heads);
        if other {
            self.fetch_records(line, None, basket)?;
        }
        let mut wanted = Wanted::default();
        for bucket in &differing {
            let items = read_list(line, *bucket, &digests.digests, basket)?;
            wanted.add(&self.directory, &items, now);
        }
        if !wanted.is_empty() {
            self.fetch_descriptors(line, &wanted, basket)?;
        }
        Ok(other || !differing.is_empty())
    }

    /// Whether a peer that has not heard of this node is to be told now.
    fn is_to_be_told(&mut self, line: &Line<'_>) -> bool {
        let (now, peer) = (line.common.now, line.peer.place);
        let serial = self.directory.descriptor(self.node).map_or(0, |own| own.serial);
        let told = self.introduced.get(&peer);
        let due = told.is_none_or(|(said, at)| *said != serial || at.abs_diff(now) >= TOLD_EVERY_SECS);
        if due {
            self.introduced.insert(peer, (serial, now));
        }
        due
    }

    /// Reads on whatever directory log is longer there, and suspends one that showed two histories.
    fn hear_heads(&mut self, line: &mut Line<'_>, heads: &[Vec<u8>]) {
        if line.common.has(Flaw::SkipsLogs) {
            return;
        }
        // What is held here byte for byte says nothing; a thousand nodes would open it a million times.
        let held = self.directory.heads();
        let heads: Vec<Vec<u8>> = heads.iter().filter(|head| !held.contains(head)).cloned().collect();
        let heard = self.directory.hear_heads(&heads);
        for log in heard.further {
            self.read(log, line);
        }
        for (log, _) in heard.forked {
            self.suspend(log, line.common);
        }
    }

    fn fetch_records(&mut self, line: &mut Line<'_>, org: Option<OrgId>, basket: &mut Basket) -> Result<(), SyncFault> {
        let bundle = line.records(org);
        basket.count(&bundle)?;
        // The proofs in it are for whoever follows no log.
        basket.new += self.take(&bundle.records, line.common);
        Ok(())
    }

    fn fetch_descriptors(
        &mut self,
        line: &mut Line<'_>,
        wanted: &Wanted,
        basket: &mut Basket,
    ) -> Result<(), SyncFault> {
        for org in &wanted.orgs {
            self.fetch_records(line, Some(*org), basket)?;
        }
        let mut open: Vec<NodeId> = wanted.known.iter().map(|item| item.node).collect();
        while !open.is_empty() {
            let asked = &open[..open.len().min(DESCRIPTORS_ASKED_MAX)];
            let bundle: wire::RecordBundle = line.descriptors(asked);
            basket.count(&bundle)?;
            let came = bundle.records.len();
            let done = if came == 0 { asked.len() } else { came.min(asked.len()) };
            open.drain(..done);
            basket.new += self.take(&bundle.records, line.common);
        }
        // A descriptor by a key that is not certified here: the certificate may be newer there, too.
        let mut orgs: Vec<OrgId> = Vec::new();
        for item in wanted.left(&self.directory).filter(|item| !wanted.orgs.contains(&item.org)) {
            if !orgs.contains(&item.org) && orgs.len() + wanted.orgs.len() < ORGS_SESSION_MAX {
                orgs.push(item.org);
            }
        }
        for org in orgs {
            self.fetch_records(line, Some(org), basket)?;
        }
        let left = wanted.left(&self.directory).count();
        if left == wanted.known.len() + wanted.strangers.len() { Err(SyncFault::Hollow) } else { Ok(()) }
    }
}

fn read_list(
    line: &mut Line<'_>,
    bucket: u8,
    digests: &[u8],
    basket: &mut Basket,
) -> Result<Vec<clearhouse_protocol::directory::buckets::Item>, SyncFault> {
    let (mut listing, mut after) = (Listing::new(bucket), None);
    loop {
        let page = line.bucket(bucket, after);
        basket.count(&page)?;
        after = listing.read(&page)?;
        if after.is_none() {
            return listing.whole(digests);
        }
    }
}
