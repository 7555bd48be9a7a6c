//! How what a peer sends becomes a value, at both ends of every call: counted first ([`Shape`]), then decoded.
//!
//! Refuses in words of its own: a library's describe the bytes, and repeat them a hundred times.

use super::shape::Shape;
use prost::bytes::Buf;
use prost::{Message, Name};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// The codec of the generated calls.
pub(crate) struct Counted<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for Counted<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Counted<T, U>
where
    T: Message + 'static,
    U: Message + Name + Default + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Counting<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Counting { shape: Shape::of::<U>(), kind: PhantomData }
    }
}

/// Reads one kind of message.
pub(crate) struct Counting<U> {
    shape: Shape,
    kind: PhantomData<fn() -> U>,
}

impl<U: Message + Default> Decoder for Counting<U> {
    type Item = U;
    type Error = Status;

    /// `unknown` is nobody's refusal: outward it becomes "malformed", and to who asked it says that no answer came.
    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = source.copy_to_bytes(source.remaining());
        if !self.shape.holds(&bytes) {
            return Err(Status::unknown("not a message of this call"));
        }
        U::decode(bytes).map(Some).map_err(|_| Status::unknown("not a message of this call"))
    }
}
