//! One session with one peer, from its digests to what is new of it, within the bounds of the protocol.
//!
//! Order matters: what vouches for a node first, then descriptors, then prekeys, each checked on what came before.

use std::collections::BTreeSet;

use clearhouse_casework::office::records::Intake;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::buckets::{Listing, SyncFault, Wanted};
use clearhouse_protocol::directory::introduction::{introduction, own_digest};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::{
    BUNDLE_MAX, DESCRIPTORS_ASKED_MAX, HOUR, LOG_SESSION_MAX, ORGS_SESSION_MAX, SYNC_SESSION_MAX,
};
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use prost::Message;

use super::partners::{own_address, pause};
use super::{Broken, Brought, Puller};
use crate::limits::lock;
use crate::log::directory::read;
use crate::rpc::client::Client;
use crate::rpc::status::PeerError;

/// So often a peer is told again what it says it has not heard of this node: it may have to refuse it. And so often it is
/// asked for its own records in a network without directory logs, whatever else: a renewed accreditation changes no
/// descriptor.
const RECORDS_EVERY_SECS: u64 = HOUR;
/// Fruitless questions for a prekey, to whomever, before it is asked for less often.
const PATIENCE: u32 = 4;
/// Rounds between two questions for a prekey that nobody has, at most.
const BARREN_MAX: u64 = 64;

/// What came in a session and is not taken yet.
struct Basket {
    bundle: wire::RecordBundle,
    room: usize,
}

impl Basket {
    /// Counts an answer.
    fn count(&mut self, answer: &impl Message) -> Result<(), SyncFault> {
        self.room = self.room.checked_sub(answer.encoded_len()).ok_or(SyncFault::TooMuch)?;
        Ok(())
    }

    /// Whether what comes next may not fit into one bundle any more.
    fn is_full(&self, next: usize) -> bool {
        self.bundle.records.len() + next > BUNDLE_MAX || self.bundle.prekeys.len() + next > BUNDLE_MAX
    }
}

impl<S: Store + 'static> Puller<S> {
    /// Pulls what is newer at `node`. Whether its directory differed at all.
    pub(super) async fn session(&self, node: NodeId, brought: &mut Brought) -> Result<bool, Broken> {
        let directory = self.directory();
        let address = own_address(&directory, node).ok_or(PeerError::Name)?;
        let client = self.pool.client(&address).await?;
        let mut basket = Basket { bundle: wire::RecordBundle::default(), room: SYNC_SESSION_MAX };

        let (asked, told) = (self.clock.up(), self.teller.of(&directory, self.clock.now()));
        let to = directory.org_of(node).ok_or(PeerError::Name)?;
        let own = own_digest(&directory, self.me, to);
        let own_digest = own.map(|own| own.to_vec()).unwrap_or_default();
        let state = told.buckets.state().to_vec();
        let mut digests = client.digests(wire::DigestsRequest { state, own_digest, ..Default::default() }).await?;
        basket.count(&digests)?;
        // Half of the time in between belongs to the answer.
        self.clock.hear(node, digests.now, asked + self.clock.up().saturating_sub(asked) / 2);
        let now = self.clock.now();
        if digests.unheard && self.is_to_be_told(node, own.unwrap_or_default(), now) {
            // What it is told changes its own directory: only its answer to that is over the lists that it gives now.
            let state = told.buckets.state().to_vec();
            digests = client.digests(wire::DigestsRequest { state, ..introduction(&directory, self.me, to) }).await?;
            lock(&self.memory).told.insert(node, (own.unwrap_or_default(), now));
            basket.count(&digests)?;
        }
        let (differing, news) = told.buckets.compare(&digests)?;
        let differs = !differing.is_empty() || news;

        self.hear_heads(&directory, node, &client, &digests.heads).await?;
        // Where there are logs, what is in none counts nowhere, and what is in one came with it, if it held then.
        if news || (!directory.has_logs() && self.is_due_for_records(node, now)) {
            self.fetch_records(&client, None, &mut basket, brought).await?;
            self.take(&mut basket, brought).await?;
        }
        let wanted = self.read_lists(&client, &differing, &digests.digests, &mut basket).await?;
        if !wanted.is_empty() {
            self.fetch_descriptors(&client, &wanted, &mut basket, brought).await?;
        }
        self.fetch_prekeys(&client, &mut basket, brought).await?;
        Ok(differs)
    }

    /// Reads on whatever directory log is longer there, and keeps the proof against one that showed two histories.
    async fn hear_heads(
        &self,
        directory: &Directory,
        node: NodeId,
        client: &Client,
        heads: &[Vec<u8>],
    ) -> Result<(), Broken> {
        let heard = directory.hear_heads(heads);
        // Shared out, so that one log that is made long on purpose does not keep the others waiting.
        let room = LOG_SESSION_MAX / heard.further.len().max(1);
        for log in heard.further {
            read(&self.owner, log, node, client, room).await.map_err(Broken::Here)?;
        }
        for (log, proof) in heard.forked {
            tracing::error!(%log, "this directory log shows two histories: tell a coordinator");
            let kept = self.owner.decide(move |world, now| (world.office.keep_fork(log, &proof, now), ())).await;
            kept.map_err(Broken::Here)?;
        }
        Ok(())
    }

    /// Whether a peer that has not heard this of this node is to be told it now.
    fn is_to_be_told(&self, node: NodeId, own: [u8; 32], now: u64) -> bool {
        let heard = |(told, at): &([u8; 32], u64)| *told == own && at.abs_diff(now) < RECORDS_EVERY_SECS;
        !lock(&self.memory).told.get(&node).is_some_and(heard)
    }

    fn is_due_for_records(&self, node: NodeId, now: u64) -> bool {
        let mut memory = lock(&self.memory);
        let due = memory.records.get(&node).is_none_or(|last| last.abs_diff(now) >= RECORDS_EVERY_SECS);
        if due {
            memory.records.insert(node, now);
        }
        due
    }

    /// The lists of the buckets that differ, and what of them is newer than here.
    async fn read_lists(
        &self,
        client: &Client,
        differing: &[u8],
        digests: &[u8],
        basket: &mut Basket,
    ) -> Result<Wanted, Broken> {
        let mut wanted = Wanted::default();
        for bucket in differing {
            let (mut listing, mut after) = (Listing::new(*bucket), None);
            loop {
                let page = client.bucket(*bucket, after).await?;
                basket.count(&page)?;
                after = listing.read(&page)?;
                if after.is_none() {
                    break;
                }
            }
            wanted.add(&self.directory(), &listing.whole(digests)?, self.clock.now());
        }
        Ok(wanted)
    }

    async fn fetch_descriptors(
        &self,
        client: &Client,
        wanted: &Wanted,
        basket: &mut Basket,
        brought: &mut Brought,
    ) -> Result<(), Broken> {
        for org in &wanted.orgs {
            self.fetch_records(client, Some(*org), basket, brought).await?;
        }
        self.take(basket, brought).await?;
        let mut open: Vec<NodeId> = wanted.known.iter().map(|item| item.node).collect();
        while !open.is_empty() {
            let asked = &open[..open.len().min(DESCRIPTORS_ASKED_MAX)];
            let bundle = client.descriptors(asked).await?;
            basket.count(&bundle)?;
            // An answer holds the first ones that it has room for: the rest is asked for again, and none twice in vain.
            let came = bundle.records.len();
            let done = if came == 0 { asked.len() } else { came.min(asked.len()) };
            open.drain(..done);
            if basket.is_full(came) {
                self.take(basket, brought).await?;
            }
            basket.bundle.records.extend(bundle.records);
        }
        self.take(basket, brought).await?;
        // A descriptor by a key that is not certified here: the certificate may be newer there, too.
        let directory = self.directory();
        let mut orgs: Vec<OrgId> = Vec::new();
        for item in wanted.left(&directory).filter(|item| !wanted.orgs.contains(&item.org)) {
            if !orgs.contains(&item.org) && orgs.len() + wanted.orgs.len() < ORGS_SESSION_MAX {
                orgs.push(item.org);
            }
        }
        for org in orgs {
            self.fetch_records(client, Some(org), basket, brought).await?;
        }
        self.take(basket, brought).await?;
        let left = wanted.left(&self.directory()).count();
        if left == wanted.known.len() + wanted.strangers.len() { Err(SyncFault::Hollow.into()) } else { Ok(()) }
    }

    async fn fetch_records(
        &self,
        client: &Client,
        org: Option<OrgId>,
        basket: &mut Basket,
        brought: &mut Brought,
    ) -> Result<(), Broken> {
        let bundle = match client.records(org).await {
            // What it does not show is missed below, if it is missed; the rest of what it has may be news all the same.
            Err(PeerError::Refused(_)) => return Ok(()),
            answer => answer?,
        };
        basket.count(&bundle)?;
        if basket.is_full(bundle.records.len()) {
            self.take(basket, brought).await?;
        }
        // Prekeys come by groups alone.
        basket.bundle.records.extend(bundle.records);
        Ok(())
    }

    async fn fetch_prekeys(&self, client: &Client, basket: &mut Basket, brought: &mut Brought) -> Result<(), Broken> {
        let directory = self.directory();
        let missing = self.teller.of(&directory, 0).buckets.missing(&directory, self.clock.now());
        let missing: Vec<_> = {
            let memory = lock(&self.memory);
            let round = memory.standings.round();
            let due = |key| memory.barren.get(&key).is_none_or(|(_, from)| *from <= round);
            missing.into_iter().filter(|m| due((m.node, m.week))).collect()
        };
        let mut groups: Vec<(u64, u32)> = missing.iter().map(|m| (m.week, m.group)).collect();
        groups.dedup();
        for (week, group) in groups {
            let reply = client.prekeys(week, group).await?;
            basket.count(&reply)?;
            if basket.is_full(reply.prekeys.len()) {
                self.take(basket, brought).await?;
            }
            basket.bundle.prekeys.extend(reply.prekeys);
        }
        self.take(basket, brought).await?;
        let directory = self.directory();
        let still = self.teller.of(&directory, 0).buckets.missing(&directory, self.clock.now());
        let still: BTreeSet<(NodeId, u64)> = still.iter().map(|m| (m.node, m.week)).collect();
        let mut memory = lock(&self.memory);
        let round = memory.standings.round();
        memory.barren.retain(|key, _| still.contains(key));
        for m in missing.iter().filter(|m| still.contains(&(m.node, m.week))) {
            let (times, from) = memory.barren.entry((m.node, m.week)).or_default();
            *times = times.saturating_add(1);
            *from = if *times < PATIENCE { 0 } else { round + pause(*times - PATIENCE + 1).min(BARREN_MAX) };
        }
        Ok(())
    }

    /// Has the office take what is in the basket.
    async fn take(&self, basket: &mut Basket, brought: &mut Brought) -> Result<(), Broken> {
        let bundle = std::mem::take(&mut basket.bundle);
        if bundle.records.is_empty() && bundle.prekeys.is_empty() {
            return Ok(());
        }
        let taken = self.owner.admit(bundle).await;
        let intake: Intake = taken.map_err(Broken::Here)?;
        brought.add(intake);
        Ok(())
    }
}
