//! The readers of what strangers send before anybody knows who they are, one at a time and from bytes, for `tests/fuzz`.
//! Behind the feature `probe`, which no node is built with.

use std::time::Instant;

use prost::Name;

use crate::listener::probe;
use crate::rpc::fits;
use crate::tls;

/// Whether the bytes of a message of this kind would be decoded at all.
#[must_use]
pub fn shape<M: Name>(bytes: &[u8]) -> bool {
    fits::<M>(bytes)
}

/// Whether a line may go on after these frames came on it, cut after every `piece` bytes.
#[must_use]
pub fn chatter(bytes: &[u8], piece: usize) -> bool {
    probe(bytes, piece, Instant::now())
}

/// The certificate of a node with this seed; `None` only if the library refuses its own key.
#[must_use]
pub fn certificate_of(seed: [u8; 32]) -> Option<Vec<u8>> {
    tls::Identity::from_seed(&seed.into()).ok()?.leaf()
}

/// The key in a certificate that came with a handshake.
#[must_use]
pub fn certificate(der: &[u8]) -> Option<[u8; 32]> {
    tls::key_in(der)
}
