//! Strict reading of protobuf: bounded, canonical, nothing unknown. Refuses rather than repairs.
//!
//! Protobuf has many encodings of one message and skips what it does not know. Signed bytes must mean one
//! thing, so what is read is encoded again and must come out equal (protocol section 7.0).

use crate::limits::{DEPTH_MAX, ELEMENTS_MAX};
use prost::Message;

/// Why bytes are not the one canonical encoding of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// Longer than the named limit for this kind of message.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// More nested fields than [`ELEMENTS_MAX`].
    #[error("more than {ELEMENTS_MAX} fields")]
    TooMany,
    /// Not protobuf of this type at all.
    #[error("not a message of the expected type")]
    Undecodable,
    /// Decodable, but not as an honest writer encodes it: unknown or repeated field, other order, long varint.
    #[error("not the canonical encoding")]
    OtherEncoding,
}

/// Decodes `bytes` as the canonical encoding of an `M` of at most `max` bytes.
///
/// Memory stays within a small multiple of `bytes.len()`: fields are counted before anything is decoded.
///
/// # Errors
/// [`NotCanonical`]; nothing of the message is kept.
pub fn decode<M: Message + Default>(bytes: &[u8], max: usize) -> Result<M, NotCanonical> {
    if bytes.len() > max {
        return Err(NotCanonical::TooLong { max });
    }
    if fields(bytes, DEPTH_MAX).is_some_and(|n| n > ELEMENTS_MAX) {
        return Err(NotCanonical::TooMany);
    }
    let message = M::decode(bytes).map_err(|_| NotCanonical::Undecodable)?;
    if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
        return Err(NotCanonical::OtherEncoding);
    }
    Ok(message)
}

/// Reads what `bytes` claim, in any encoding, under the same bound: for what is looked at before it is verified, to know
/// whom to ask or what to wait for. `None` for what is no message, or more than [`ELEMENTS_MAX`] fields.
#[must_use]
pub fn claimed<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    if fields(bytes, DEPTH_MAX).is_some_and(|n| n > ELEMENTS_MAX) {
        return None;
    }
    M::decode(bytes).ok()
}

/// Counts length-delimited fields, nested ones included, without allocating. `None` when this is not protobuf:
/// a text or a key then counts as the one field it is. Whatever a decoder reads has to be read to its end here: what stood
/// behind the first thing that only the decoder knows would be built and not counted.
fn fields(mut bytes: &[u8], depth: usize) -> Option<usize> {
    let mut count = 0usize;
    while !bytes.is_empty() {
        let (tag, rest) = varint(bytes)?;
        bytes = rest;
        match tag & 7 {
            0 => bytes = varint(bytes)?.1,
            1 => bytes = bytes.get(8..)?,
            5 => bytes = bytes.get(4..)?,
            // Groups, which nobody writes: a decoder passes over what is between, as fields of their own.
            3 | 4 => {}
            2 => {
                let (len, rest) = varint(bytes)?;
                let len = usize::try_from(len).ok()?;
                let inner = rest.get(..len)?;
                bytes = &rest[len..];
                count += 1;
                if depth > 1 {
                    count += fields(inner, depth - 1).unwrap_or(0);
                }
                if count > ELEMENTS_MAX {
                    return Some(count);
                }
            }
            _ => return None,
        }
    }
    Some(count)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearhouse_wire::v1::{Header, RecordBundle};

    fn header() -> Vec<u8> {
        Header { version: 1, suite: 1, mailbox: vec![7; 16], ..Header::default() }.encode_to_vec()
    }

    #[test]
    fn the_encoding_an_honest_writer_makes_is_read() {
        assert!(decode::<Header>(&header(), 512).is_ok());
    }

    #[test]
    fn as_long_and_of_as_many_fields_as_may_be_is_read_and_one_more_is_not() {
        let len = header().len();
        assert!(decode::<Header>(&header(), len).is_ok());
        assert_eq!(decode::<Header>(&header(), len - 1).err(), Some(NotCanonical::TooLong { max: len - 1 }));
        assert!(decode::<RecordBundle>(&[0x0a, 0].repeat(ELEMENTS_MAX), 1 << 20).is_ok());
        let more = [0x0a, 0].repeat(ELEMENTS_MAX + 1);
        assert_eq!(decode::<RecordBundle>(&more, 1 << 20).err(), Some(NotCanonical::TooMany));
    }

    #[test]
    fn a_number_is_read_to_its_last_byte_and_no_further_than_ten() {
        let longest = [&[0xff; 9][..], &[1, 7]].concat();
        for (bytes, value, len) in
            [(&[5, 9][..], 5, 1), (&[0xac, 2, 9], 300, 2), (&[0x80, 0x80, 1], 1 << 14, 3), (&longest, u64::MAX, 10)]
        {
            assert_eq!(varint(bytes), Some((value, &bytes[len..])), "{bytes:?}");
        }
        for bytes in [&[0x80][..], &[0x80; 11], &[]] {
            assert_eq!(varint(bytes), None, "{bytes:?}");
        }
    }

    // What a decoder passes over must not end the count: of every kind of number one stands before the fields.
    #[test]
    fn what_stands_behind_a_number_of_any_kind_is_counted() {
        let longest = [&[0xff; 9][..], &[1]].concat();
        let numbers: [(u8, &[u8]); 4] = [(0x78, &[1]), (0x78, &longest), (0x79, &[1; 8]), (0x7d, &[1; 4])];
        for (tag, number) in numbers {
            let bomb = [&[tag], number, &[0x0a, 0].repeat(ELEMENTS_MAX + 1)].concat();
            assert!(claimed::<RecordBundle>(&bomb).is_none(), "{tag:x}");
            let few = [&[tag], number, &[0x0a, 0].repeat(ELEMENTS_MAX)].concat();
            assert!(claimed::<RecordBundle>(&few).is_some(), "{tag:x}");
        }
    }

    // Else one small text could be as deep as it is long, and a thread's stack is not.
    #[test]
    fn fields_are_looked_for_as_deep_as_a_message_may_go_and_no_deeper() {
        let nested = |depth: usize| {
            (0..depth).fold(Vec::new(), |inner: Vec<u8>, _| [&[0x0a, inner.len() as u8][..], &inner].concat())
        };
        for (depth, counted) in [(1, 1), (DEPTH_MAX, DEPTH_MAX), (DEPTH_MAX + 20, DEPTH_MAX)] {
            assert_eq!(fields(&nested(depth), DEPTH_MAX), Some(counted));
        }
    }

    #[test]
    fn a_claim_may_be_in_any_encoding_but_not_of_too_many_fields() {
        let unknown = [header().as_slice(), &[0x7a, 1, 0]].concat();
        assert!(claimed::<Header>(&unknown).is_some_and(|read| read.version == 1));
        assert!(claimed::<RecordBundle>(&[0x0a, 0].repeat(ELEMENTS_MAX)).is_some());
        assert!(claimed::<RecordBundle>(&[0x0a, 0].repeat(ELEMENTS_MAX + 1)).is_none());
        assert!(claimed::<Header>(&[0x0a, 9]).is_none());
    }

    // Attack 13.
    #[test]
    fn unknown_duplicated_reordered_and_overlong_fields_are_refused() {
        let good = header();
        let unknown = [good.as_slice(), &[0x7a, 1, 0]].concat();
        let duplicated = [good.as_slice(), &[0x08, 1]].concat();
        let reordered = [&good[2..], &good[..2]].concat();
        let overlong = [&[0x08, 0x81, 0x00][..], &good[2..]].concat();
        let explicit_default = [good.as_slice(), &[0x28, 0]].concat();
        for bad in [unknown, duplicated, reordered, overlong, explicit_default] {
            assert_eq!(decode::<Header>(&bad, 512).err(), Some(NotCanonical::OtherEncoding));
        }
    }

    // Attack 8.
    #[test]
    fn a_message_of_half_a_million_empty_fields_is_refused_before_it_is_decoded() {
        let bomb = [0x0a, 0].repeat(500_000);
        assert_eq!(decode::<RecordBundle>(&bomb, 1 << 20).err(), Some(NotCanonical::TooMany));
    }

    // Found by fuzzing: the count stopped at a group, and the decoder did not.
    #[test]
    fn what_stands_behind_a_group_is_counted_too() {
        let bomb = [0x0a, 0].repeat(100_000);
        let behind = [&[0x7b, 0x7c][..], &bomb].concat();
        let mut within = vec![0x0a];
        prost::encode_length_delimiter(behind.len(), &mut within).expect("a vector grows");
        within.extend_from_slice(&behind);
        let between = [&[0x7b][..], &bomb, &[0x7c]].concat();
        for bad in [behind, within, between] {
            assert_eq!(decode::<RecordBundle>(&bad, 1 << 20).err(), Some(NotCanonical::TooMany));
            assert!(claimed::<RecordBundle>(&bad).is_none());
        }
        // A few are still only another encoding.
        assert_eq!(decode::<RecordBundle>(&[0x7b, 0x7c], 512).err(), Some(NotCanonical::OtherEncoding));
    }

    #[test]
    fn a_field_that_claims_two_gigabytes_is_refused() {
        let claim = [0x1a, 0xff, 0xff, 0xff, 0xff, 0x07, 1, 2, 3];
        assert_eq!(decode::<Header>(&claim, 512).err(), Some(NotCanonical::Undecodable));
    }

    #[test]
    fn ten_thousand_nested_messages_are_refused() {
        let mut nested = Vec::new();
        for _ in 0..10_000 {
            let mut outer = vec![0x0a];
            prost::encode_length_delimiter(nested.len(), &mut outer).expect("a vector grows");
            outer.extend_from_slice(&nested);
            nested = outer;
            if nested.len() > 60_000 {
                break;
            }
        }
        assert!(decode::<RecordBundle>(&nested, 1 << 20).is_err());
    }
}
