//! A line from one node to another: each question is answered by the other's replica, or by what a liar makes of that,
//! and both messages are counted.

use clearhouse_protocol::directory::buckets::Buckets;
use clearhouse_protocol::directory::introduction::{introduced, own_digest};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_wire::v1 as wire;

use crate::common::Common;
use crate::replica::Replica;

/// See the module.
pub(crate) struct Line<'a> {
    pub(crate) asker: usize,
    pub(crate) peer: &'a mut Replica,
    pub(crate) common: &'a mut Common,
}

impl Line<'_> {
    /// Has the peer's liar, if it is one, change an answer.
    fn twist<T>(
        &mut self,
        twist: impl FnOnce(&mut crate::liar::Liar, &mut Replica, &mut Common, usize, &mut T),
        reply: &mut T,
    ) {
        if let Some(mut liar) = self.peer.liar.take() {
            twist(&mut liar, self.peer, self.common, self.asker, reply);
            self.peer.liar = Some(liar);
        }
    }

    pub(crate) fn digests(&mut self, request: wire::DigestsRequest) -> wire::DigestsReply {
        let from = self.common.member(self.asker).node;
        let said = introduced(request.clone(), from, self.peer.directory.org_of(from));
        if let Some(said) = said {
            self.peer.take(&said.records, self.common);
        }
        let mut reply = self.peer.tell_digests(&request.state, self.common.now);
        // Of prekeys a replica has the hashes alone.
        let held = own_digest(&self.peer.directory, from, self.peer.org);
        reply.unheard = held.is_none_or(|held| held[..] != request.own_digest[..]);
        self.twist(|liar, peer, common, asker, reply| liar.digests(peer, common, asker, reply), &mut reply);
        self.common.call(self.asker, self.peer.place, &request, &reply);
        reply
    }

    pub(crate) fn bucket(&mut self, bucket: u8, after: Option<NodeId>) -> wire::BucketReply {
        let after_bytes = after.map(|node| node.to_vec()).unwrap_or_default();
        let request = wire::BucketRequest { bucket: bucket.into(), after: after_bytes };
        let mut reply = self.peer.told().page(bucket, after);
        self.twist(|liar, _, _, _, reply| liar.bucket(bucket, reply), &mut reply);
        self.common.call(self.asker, self.peer.place, &request, &reply);
        reply
    }

    pub(crate) fn descriptors(&mut self, nodes: &[NodeId]) -> wire::RecordBundle {
        let request = wire::DescriptorsRequest { nodes: nodes.iter().map(|node| node.to_vec()).collect() };
        let mut reply = Buckets::descriptors(&self.peer.directory, nodes);
        self.twist(|liar, _, common, _, reply| liar.descriptors(nodes, common, reply), &mut reply);
        self.common.call(self.asker, self.peer.place, &request, &reply);
        reply
    }

    pub(crate) fn records(&mut self, org: Option<OrgId>) -> wire::RecordBundle {
        let request = wire::RecordsRequest { org: org.map(|org| org.to_vec()).unwrap_or_default() };
        let mut reply = self.peer.tell_records(org);
        self.twist(|liar, _, common, _, reply| liar.records(org, common, reply), &mut reply);
        self.common.call(self.asker, self.peer.place, &request, &reply);
        reply
    }

    pub(crate) fn log(&mut self, asked: &wire::DirectoryLogRequest) -> wire::DirectoryLogReply {
        let mut reply = self.peer.tell_log(asked, self.common);
        self.twist(|liar, peer, common, asker, reply| liar.log(peer, common, asker, asked, reply), &mut reply);
        self.common.call(self.asker, self.peer.place, asked, &reply);
        reply
    }

    /// Asks the peer to cosign a head of the log of `from`.
    pub(crate) fn cosign(&mut self, from: NodeId, request: &Request) -> Result<Note, Option<WitnessFault>> {
        let asked = wire::AddCheckpointRequest { request: request.to_string().into_bytes(), ..Default::default() };
        let mut answer = self.peer.cosign(from, request, self.common).map_err(Some);
        self.twist(|liar, peer, common, _, answer| liar.cosign(peer, common, request, answer), &mut answer);
        let note = answer.as_ref().map(|note| note.to_string().into_bytes()).unwrap_or_default();
        let reply = wire::AddCheckpointReply { note, ..Default::default() };
        self.common.call(self.asker, self.peer.place, &asked, &reply);
        answer
    }
}
