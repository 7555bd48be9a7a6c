//! The answering end of `Sync`: the same doorman as for the exchange, with a pace of its own.
//!
//! Changes nothing and asks the owner nothing: all answers come out of the directory as committed, which is looked through
//! once for each of its states.

use clearhouse_protocol::directory::buckets::Buckets;
use clearhouse_protocol::directory::introduction::introduced;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{
    DESCRIPTORS_ASKED_MAX, INTRODUCED_PREKEYS_MAX, INTRODUCED_RECORDS_MAX, LOG_ENTRY_MAX, PREKEY_LEN,
};
use clearhouse_wire::v1::{
    BucketReply, BucketRequest, DescriptorsRequest, DigestsReply, DigestsRequest, PrekeysReply, PrekeysRequest,
    RecordBundle,
};
use tonic::{Request, Response, Status};

use super::server::{Door, Doorman, answer, name};
use super::status::Refused;
use super::stubs::sync_server::Sync as Sync_;
use crate::sync::Told;

/// Largest request: a node's word about itself, with what vouches for it, its prekeys and their tags; more than all node ids
/// that may be asked for.
pub(super) const REQUEST_MAX: usize =
    LOG_ENTRY_MAX * (1 + INTRODUCED_RECORDS_MAX) + INTRODUCED_PREKEYS_MAX * (PREKEY_LEN + 32);

impl<D: Door> Doorman<D> {
    /// What the caller, if it may ask now, is told from.
    fn told<T>(&self, request: &Request<T>) -> Result<Told, Refused> {
        self.door.told(self.admit(request, &self.syncs)?)
    }

    async fn digests_for(&self, request: Request<DigestsRequest>) -> Result<DigestsReply, Refused> {
        let from = self.admit(&request, &self.syncs)?;
        let asked = request.into_inner();
        let (state, own_digest) = (asked.state.clone(), asked.own_digest.clone());
        let org = self.door.told(from)?.directory.org_of(from);
        if let Some(said) = introduced(asked, from, org) {
            self.door.introduced(from, said).await?;
        }
        let told = self.door.told(from)?;
        let unheard = self.door.is_unheard(from, &own_digest)?;
        Ok(DigestsReply { unheard, ..told.buckets.answer(&told.directory, &state, told.now) })
    }

    fn page(&self, request: &Request<BucketRequest>) -> Result<BucketReply, Refused> {
        let told = self.told(request)?;
        let asked = request.get_ref();
        let bucket = u8::try_from(asked.bucket).map_err(|_| Refused::Malformed)?;
        let after = match asked.after.as_slice() {
            [] => None,
            after => Some(NodeId(name(after)?)),
        };
        Ok(told.buckets.page(bucket, after))
    }

    fn descriptors_of(&self, request: &Request<DescriptorsRequest>) -> Result<RecordBundle, Refused> {
        let told = self.told(request)?;
        let asked = &request.get_ref().nodes;
        if asked.len() > DESCRIPTORS_ASKED_MAX {
            return Err(Refused::TooLarge);
        }
        let nodes: Vec<NodeId> = asked.iter().map(|node| name(node).map(NodeId)).collect::<Result<_, _>>()?;
        Ok(Buckets::descriptors(&told.directory, &nodes))
    }
}

#[tonic::async_trait]
impl<D: Door> Sync_ for Doorman<D> {
    async fn digests(&self, request: Request<DigestsRequest>) -> Result<Response<DigestsReply>, Status> {
        let reply = self.digests_for(request).await;
        answer(reply)
    }

    async fn bucket(&self, request: Request<BucketRequest>) -> Result<Response<BucketReply>, Status> {
        answer(self.page(&request))
    }

    async fn descriptors(&self, request: Request<DescriptorsRequest>) -> Result<Response<RecordBundle>, Status> {
        answer(self.descriptors_of(&request))
    }

    async fn prekeys(&self, request: Request<PrekeysRequest>) -> Result<Response<PrekeysReply>, Status> {
        let asked = request.get_ref();
        let reply = self.told(&request).map(|told| told.buckets.group(&told.directory, asked.week, asked.group));
        answer(reply)
    }
}
