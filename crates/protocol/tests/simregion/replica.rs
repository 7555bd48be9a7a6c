//! One node's directory, and how it is told to others: every answer by the product's own functions.
//!
//! A replica is a copy of one verified directory, which shares its records. Prekeys by value are left out; descriptors
//! list them by hash.

use std::collections::BTreeMap;
use std::rc::Rc;

use clearhouse_protocol::directory::buckets::Buckets;
use clearhouse_protocol::directory::logs::Newest;
use clearhouse_protocol::directory::{Checked, Directory};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::{BUNDLE_MAX, LOG_PAGE_ENTRIES_MAX};
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::witness::Held;
use clearhouse_protocol::pae::sha256;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::common::Common;
use crate::flaw::Flaw;
use crate::liar::Liar;
use crate::standings::Standings;

/// See the module.
pub(crate) struct Replica {
    pub(crate) place: usize,
    pub(crate) org: OrgId,
    pub(crate) node: NodeId,
    pub(crate) directory: Directory,
    /// How the directory is told, until it changes.
    told: Option<Rc<Buckets>>,
    /// Its own records as it hands them out, until anything but a descriptor of somebody else changes.
    bundle: Option<wire::RecordBundle>,
    pub(crate) standings: Standings,
    /// The serial of its own descriptor that each was told of, and when.
    pub(crate) introduced: BTreeMap<usize, (u64, u64)>,
    /// How many logs were read until now: which ones come next.
    pub(crate) turn: usize,
    /// As a witness: the largest head of each log that it cosigned.
    pub(crate) cosigned: BTreeMap<NodeId, (Held, Note)>,
    pub(crate) awake: bool,
    pub(crate) liar: Option<Box<Liar>>,
}

impl Replica {
    pub(crate) fn new(place: usize, common: &Common, directory: Directory) -> Self {
        let member = common.member(place);
        Self {
            place,
            org: member.org,
            node: member.node,
            directory,
            told: None,
            bundle: None,
            standings: Standings::default(),
            introduced: BTreeMap::new(),
            turn: place,
            cosigned: BTreeMap::new(),
            awake: true,
            liar: None,
        }
    }

    /// The directory changed; `records` when more than somebody's descriptor did.
    pub(crate) fn changed(&mut self, records: bool) {
        self.told = None;
        if records {
            self.bundle = None;
        }
    }

    pub(crate) fn told(&mut self) -> Rc<Buckets> {
        let directory = &self.directory;
        Rc::clone(self.told.get_or_insert_with(|| Rc::new(Buckets::of(directory))))
    }

    /// Takes what is sound of these, as the office does. How many were new.
    pub(crate) fn take(&mut self, records: &[wire::Signed], common: &mut Common) -> usize {
        let mut new = 0;
        for record in records.iter().take(BUNDLE_MAX) {
            let dropped = common.has(Flaw::DropsRevocations) && record.payload_type == media::REVOCATION;
            if dropped || self.holds(record) {
                continue;
            }
            match self.directory.check(record, common.now) {
                Ok(Some(checked)) => {
                    let anothers = matches!(&checked, Checked::Descriptor(node, _) if *node != self.node);
                    self.directory.insert(checked);
                    if common.has(Flaw::TakesUnproved) {
                        self.directory.publish(sha256(&record.payload));
                    }
                    self.changed(!anothers);
                    new += 1;
                    common.tally.taken += 1;
                }
                Ok(None) => {}
                Err(fault) => common.refuse(fault),
            }
        }
        new
    }

    /// Whether exactly this is held, so that a check would end in nothing new. Saves the verifying of what a thousand
    /// replicas hold since the beginning; what is not held is checked by the product each time.
    fn holds(&self, record: &wire::Signed) -> bool {
        let payload = record.payload.as_slice();
        match record.payload_type.as_str() {
            media::ORG => wire::OrgRecord::decode(payload).is_ok_and(|said| {
                let org = OrgId::try_from(said.org_id.as_slice());
                org.is_ok_and(|org| self.directory.org(org) == Some(&said))
            }),
            media::NODECERT => wire::NodeCert::decode(payload).is_ok_and(|said| {
                let node = NodeId::try_from(said.node_id.as_slice());
                node.is_ok_and(|node| self.directory.cert(node) == Some(&said))
            }),
            media::DESCRIPTOR => wire::Descriptor::decode(payload).is_ok_and(|said| {
                let node = NodeId::try_from(said.node_id.as_slice());
                node.is_ok_and(|node| self.directory.descriptor(node) == Some(&said))
            }),
            _ => false,
        }
    }

    /// Whether it would let this node in at its door.
    pub(crate) fn lets_in(&self, org: OrgId, node: NodeId, now: u64) -> bool {
        self.directory.signing_key(org, node, now).is_ok()
            && self.directory.descriptor(node).is_some_and(|d| d.expires > now)
    }

    /// What it answers somebody whose own state is this.
    pub(crate) fn tell_digests(&mut self, state: &[u8], now: u64) -> wire::DigestsReply {
        self.told().answer(&self.directory, state, now)
    }

    pub(crate) fn tell_records(&mut self, org: Option<OrgId>) -> wire::RecordBundle {
        let directory = &self.directory;
        let bundle = |org| wire::RecordBundle { prekeys: vec![], ..directory.bundle(org) };
        match org {
            None => self.bundle.get_or_insert_with(|| bundle(self.org)).clone(),
            Some(org) => bundle(org),
        }
    }

    pub(crate) fn tell_log(&self, asked: &wire::DirectoryLogRequest, common: &Common) -> wire::DirectoryLogReply {
        let Ok(node) = NodeId::try_from(asked.node.as_slice()) else { return Default::default() };
        let (first, fresh) = (asked.first, asked.fresh);
        let newer = |head: &&Newest| first < head.size() || (first == head.size() && fresh < head.fresh());
        if self.directory.newest_head(node).filter(newer).is_none() {
            return Default::default();
        }
        if asked.leaves {
            return self.directory.page_of_leaves(node, first, fresh);
        }
        let held = self.directory.entered(node, first, LOG_PAGE_ENTRIES_MAX);
        let entries = held.iter().map(|entered| common.entries[&entered.leaf()].clone()).collect();
        self.directory.page_of(node, first, fresh, entries)
    }
}
