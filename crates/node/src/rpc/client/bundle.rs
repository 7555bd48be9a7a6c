//! Reading a bundle of directory records from a stranger's hand.
//!
//! Refuses to build what it has not counted: a megabyte of empty records would take fifty in memory.

use std::marker::PhantomData;

use crate::rpc::shape::{take, varint};
use crate::rpc::stubs::{exchange_server, sync_server};
use clearhouse_protocol::limits::{BUNDLE_MAX, RECORD_MAX, SIGNATURES_MAX, UNARY_MAX};
use clearhouse_wire::v1::RecordBundle;
use prost::Message;
use prost::bytes::Buf;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{GrpcMethod, Request, Response, Status};
use tonic_prost::ProstEncoder;

/// A call that answers with a bundle.
pub(super) struct Method {
    service: &'static str,
    name: &'static str,
    path: &'static str,
}

/// The records of an organisation.
pub(super) const RECORDS: Method =
    Method { service: exchange_server::SERVICE_NAME, name: "Records", path: "/clearhouse.v1.Exchange/Records" };
/// The descriptors of nodes.
pub(super) const DESCRIPTORS: Method =
    Method { service: sync_server::SERVICE_NAME, name: "Descriptors", path: "/clearhouse.v1.Sync/Descriptors" };

/// The generated call with another reader of its answer.
pub(super) async fn ask<Q: Message + 'static>(
    channel: Channel,
    request: Q,
    method: &Method,
) -> Result<Response<RecordBundle>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(UNARY_MAX);
    // A line that is gone is not a refusal: `unknown` says that it was our side.
    grpc.ready().await.map_err(|_| Status::unknown("the line is gone"))?;
    let mut request = Request::new(request);
    request.extensions_mut().insert(GrpcMethod::new(method.service, method.name));
    grpc.unary(request, PathAndQuery::from_static(method.path), Counting(PhantomData)).await
}

/// A codec that counts before it decodes.
struct Counting<Q>(PhantomData<fn(Q)>);

impl<Q: Message + 'static> Codec for Counting<Q> {
    type Encode = Q;
    type Decode = RecordBundle;
    type Encoder = ProstEncoder<Q>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<Q> Decoder for Counting<Q> {
    type Item = RecordBundle;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<RecordBundle>, Status> {
        let bytes = source.copy_to_bytes(source.remaining());
        if !is_countable(&bytes) {
            return Err(Status::unknown("not a bundle"));
        }
        RecordBundle::decode(bytes).map(Some).map_err(|_| Status::unknown("not a bundle"))
    }
}

/// Whether an encoded bundle has no more records, prekeys and signatures than a bundle may have.
fn is_countable(bundle: &[u8]) -> bool {
    let (mut records, mut prekeys, mut published) = (0, 0, 0);
    fields(bundle, |number, contents| {
        match number {
            RECORDS_FIELD => {
                records += 1;
                let mut inside = 0;
                let known = fields(contents, |_, _| {
                    inside += 1;
                    inside <= SIGNATURES_MAX + 2
                });
                known && contents.len() <= RECORD_MAX && records <= BUNDLE_MAX
            }
            PREKEYS_FIELD => {
                prekeys += 1;
                prekeys <= BUNDLE_MAX
            }
            PUBLISHED_FIELD => {
                published += 1;
                published <= BUNDLE_MAX
            }
            // What a later version adds is skipped, not built.
            _ => true,
        }
    })
}

const RECORDS_FIELD: u64 = 1;
const PREKEYS_FIELD: u64 = 2;
const PUBLISHED_FIELD: u64 = 3;

/// Walks the fields of one message, contents of length-delimited ones given to `each`; false when `each` says so or
/// the bytes are no message.
fn fields(mut bytes: &[u8], mut each: impl FnMut(u64, &[u8]) -> bool) -> bool {
    let mut step = || -> Option<bool> {
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let contents = match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                    &[]
                }
                1 => take(&mut bytes, 8)?,
                2 => {
                    let len = varint(&mut bytes)?;
                    take(&mut bytes, usize::try_from(len).ok()?)?
                }
                5 => take(&mut bytes, 4)?,
                _ => return None,
            };
            if !each(key >> 3, contents) {
                return Some(false);
            }
        }
        Some(true)
    };
    step().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearhouse_wire::v1::{Prekey, Signature, Signed};

    fn record(signatures: usize) -> Signed {
        let signature = Signature { key_id: vec![1; 16], sig: vec![2; 64] };
        Signed { payload_type: "t".into(), payload: vec![3; 300], signatures: vec![signature; signatures] }
    }

    fn bundle(records: usize, signatures: usize, prekeys: usize) -> Vec<u8> {
        let prekey = Prekey { week: 1, pk: vec![4; 20] };
        RecordBundle { records: vec![record(signatures); records], prekeys: vec![prekey; prekeys], published: vec![] }
            .encode_to_vec()
    }

    #[test]
    fn a_full_bundle_is_read_and_one_record_prekey_or_signature_more_is_not() {
        assert!(is_countable(&[]));
        assert!(is_countable(&bundle(BUNDLE_MAX, 3, BUNDLE_MAX)));
        assert!(is_countable(&bundle(1, SIGNATURES_MAX, 0)));
        assert!(!is_countable(&bundle(BUNDLE_MAX + 1, 0, 0)));
        assert!(!is_countable(&bundle(0, 0, BUNDLE_MAX + 1)));
        assert!(!is_countable(&bundle(1, SIGNATURES_MAX + 1, 0)));
    }

    #[test]
    fn half_a_million_empty_records_or_signatures_are_refused() {
        assert!(!is_countable(&[0x0a, 0].repeat(500_000)));
        let inside = [0x1a, 0].repeat(30_000);
        let mut outside = vec![0x0a];
        prost::encode_length_delimiter(inside.len(), &mut outside).unwrap();
        outside.extend(inside);
        assert!(!is_countable(&outside));
    }

    #[test]
    fn what_is_cut_off_or_of_an_unknown_wire_type_is_no_bundle() {
        let whole = bundle(1, 1, 1);
        assert!(!is_countable(&whole[..whole.len() - 1]));
        assert!(!is_countable(&[0x0b]));
        assert!(!is_countable(&[0xff; 20]));
        assert!(!is_countable(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]));
    }
}
