//! The whole of `proto/` as this program carries it, for reflection and for whoever asks what a message or a service has.

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Its bytes, as they were generated.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");

/// Read. The bytes are this program's own, and tests read every message and every call in them: nothing is never found.
pub(super) fn set() -> FileDescriptorSet {
    FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap_or_default()
}
