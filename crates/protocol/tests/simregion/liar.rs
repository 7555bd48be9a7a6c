//! stub
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_wire::v1 as wire;
use crate::common::Common;
use crate::replica::Replica;
pub(crate) struct Liar;
impl Liar {
    pub(crate) fn new(_: usize, _: &[usize], _: &mut Common) -> Self { Self }
    pub(crate) fn digests(&mut self, _: &mut Replica, _: &mut Common, _: usize, _: &mut wire::DigestsReply) {}
    pub(crate) fn bucket(&mut self, _: u8, _: &mut wire::BucketReply) {}
    pub(crate) fn descriptors(&mut self, _: &[NodeId], _: &mut wire::RecordBundle) {}
    pub(crate) fn records(&mut self, _: Option<OrgId>, _: &mut Common, _: &mut wire::RecordBundle) {}
    pub(crate) fn log(&mut self, _: &mut Replica, _: &mut Common, _: usize, _: &wire::DirectoryLogRequest, _: &mut wire::DirectoryLogReply) {}
    pub(crate) fn cosign(&mut self, _: &mut Replica, _: &mut Common, _: &Request, _: &mut Result<Note, Option<WitnessFault>>) {}
}
