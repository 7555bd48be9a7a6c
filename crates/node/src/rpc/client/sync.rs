//! The asking end of `Sync`: what a peer's directory is, and what is newer there.
//!
//! Refuses answers larger than the protocol has them; nothing of an answer is verified yet.

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::SYNC_PAGE_MAX;
use clearhouse_wire::v1::{
    BucketReply, BucketRequest, DescriptorsRequest, DigestsReply, DigestsRequest, PrekeysReply, PrekeysRequest,
    RecordBundle,
};
use tonic::transport::Channel;

use super::{Client, bundle};
use crate::rpc::status::PeerError;
use crate::rpc::stubs::sync_client::SyncClient;

/// Largest answer: a page and what frames it.
const ANSWER_MAX: usize = SYNC_PAGE_MAX + 1024;

impl Client {
    /// Asks what the node's directory is, if it is another than one of the state named; an empty state asks in any case.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn digests(&self, request: DigestsRequest) -> Result<DigestsReply, PeerError> {
        let mut stub = self.sync_stub();
        self.call(self.limits.call, async move { stub.digests(request).await }).await
    }

    /// Asks for a page of one bucket's list.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn bucket(&self, bucket: u8, after: Option<NodeId>) -> Result<BucketReply, PeerError> {
        let mut stub = self.sync_stub();
        let after = after.map(NodeId::to_vec).unwrap_or_default();
        let request = BucketRequest { bucket: bucket.into(), after };
        self.call(self.limits.call, async move { stub.bucket(request).await }).await
    }

    /// Asks for the newest descriptors of some nodes.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn descriptors(&self, nodes: &[NodeId]) -> Result<RecordBundle, PeerError> {
        let channel = self.channel.clone();
        let request = DescriptorsRequest { nodes: nodes.iter().map(|node| node.to_vec()).collect() };
        self.call(self.limits.call, bundle::ask(channel, request, &bundle::DESCRIPTORS)).await
    }

    /// Asks for a group of prekeys.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn prekeys(&self, week: u64, group: u32) -> Result<PrekeysReply, PeerError> {
        let mut stub = self.sync_stub();
        let request = PrekeysRequest { week, group };
        self.call(self.limits.call, async move { stub.prekeys(request).await }).await
    }

    fn sync_stub(&self) -> SyncClient<Channel> {
        SyncClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX)
    }
}
