//! How much a message of a peer would become, counted in its bytes before any of it is built (attack row 7 of
//! reliability section 5): a megabyte of empty records takes fifty in memory.
//!
//! Knows from the descriptors of `proto/` which fields hold messages; what a later version adds is passed over, as it is
//! when it is decoded. Refuses to say what a message means, or whether it is one.

use clearhouse_protocol::limits::{DEPTH_MAX, ELEMENTS_MAX};
use prost::Name;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::descriptor;
use crate::limits::FIELDS_MAX;

/// The shape of one kind of message.
pub(super) struct Shape(usize);

impl Shape {
    /// The shape of `M`. A message that `proto/` does not have is counted as one whose fields hold none.
    pub(super) fn of<M: Name>() -> Self {
        let schema = schema();
        Self(schema.by_name.get(&M::full_name()).copied().unwrap_or(NO_FIELDS))
    }

    /// Whether `bytes` have no more than [`ELEMENTS_MAX`] elements in any list, [`FIELDS_MAX`] fields in all and
    /// [`DEPTH_MAX`] messages within each other. False also for what is cut off, and for groups, which nobody writes.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        Walk { schema: schema(), left: FIELDS_MAX }.message(self.0, bytes, DEPTH_MAX).is_some()
    }
}

/// Messages by their number, and the numbers by name.
struct Schema {
    by_name: BTreeMap<String, usize>,
    messages: Vec<BTreeMap<u64, Holds>>,
}

/// What a field of bytes holds, where it holds more than one thing.
#[derive(Clone, Copy)]
enum Holds {
    /// A message of that number.
    Message(usize),
    /// Numbers without names, one after the other: each that ends in a byte, or is so many bytes long.
    Packed(usize),
}

/// The number of the message without fields.
const NO_FIELDS: usize = 0;

struct Walk {
    schema: &'static Schema,
    left: usize,
}

impl Walk {
    /// `None` as soon as something is too much.
    fn message(&mut self, number: usize, mut bytes: &[u8], depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let schema = self.schema;
        let fields = schema.messages.get(number)?;
        let mut lists = BTreeMap::<u64, usize>::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let contents = contents(key & 7, &mut bytes)?;
            let mut elements = 1;
            match fields.get(&(key >> 3)) {
                Some(Holds::Message(inner)) => self.message(*inner, contents, depth)?,
                Some(Holds::Packed(len)) => elements = packed(contents, *len).max(1),
                None => {}
            }
            self.left = self.left.checked_sub(elements)?;
            let list = lists.entry(key >> 3).or_default();
            *list += elements;
            if *list > ELEMENTS_MAX {
                return None;
            }
        }
        Some(())
    }
}

/// What stands in a field of this wire type, taken off `bytes`.
fn contents<'a>(wire_type: u64, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    match wire_type {
        0 => varint(bytes).map(|_| &[][..]),
        1 => take(bytes, 8),
        2 => {
            let len = varint(bytes)?;
            take(bytes, usize::try_from(len).ok()?)
        }
        5 => take(bytes, 4),
        _ => None,
    }
}

fn packed(contents: &[u8], len: usize) -> usize {
    contents.len().checked_div(len).unwrap_or_else(|| contents.iter().filter(|byte| **byte < 0x80).count())
}

pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| read(&descriptor::set()))
}

fn read(set: &FileDescriptorSet) -> Schema {
    let mut all = Vec::new();
    for file in &set.file {
        file.message_type.iter().for_each(|kind| collect(file.package(), kind, &mut all));
    }
    let by_name: BTreeMap<String, usize> =
        all.iter().zip(NO_FIELDS + 1..).map(|((name, _), number)| (name.clone(), number)).collect();
    let fields = |kind: &DescriptorProto| kind.field.iter().filter_map(|field| held(field, &by_name)).collect();
    let messages = std::iter::once(BTreeMap::new()).chain(all.iter().map(|(_, kind)| fields(kind))).collect();
    Schema { by_name, messages }
}

fn collect<'a>(within: &str, kind: &'a DescriptorProto, all: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{within}.{}", kind.name());
    kind.nested_type.iter().for_each(|nested| collect(&name, nested, all));
    all.push((name, kind));
}

/// What a field holds, by its number.
fn held(field: &FieldDescriptorProto, by_name: &BTreeMap<String, usize>) -> Option<(u64, Holds)> {
    let holds = match field.r#type() {
        Type::Message => Holds::Message(*by_name.get(field.type_name().trim_start_matches('.'))?),
        Type::Group | Type::String | Type::Bytes => return None,
        _ if field.label() != Label::Repeated => return None,
        Type::Double | Type::Fixed64 | Type::Sfixed64 => Holds::Packed(8),
        Type::Float | Type::Fixed32 | Type::Sfixed32 => Holds::Packed(4),
        Type::Int64 | Type::Uint64 | Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Sint64 => Holds::Packed(0),
        Type::Bool | Type::Enum => Holds::Packed(0),
    };
    Some((u64::try_from(field.number()).ok()?, holds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clearhouse_wire::v1::{
        BucketReply, DepositFrame, DescriptorsRequest, DigestsRequest, OutcomeRequest, Prekey, RecordBundle,
        RootPolicy, Signature, Signed,
    };
    use prost::Message as _;

    fn holds<M: Name>(bytes: &[u8]) -> bool {
        Shape::of::<M>().holds(bytes)
    }

    /// One field of bytes.
    fn field(number: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        prost::encode_length_delimiter(contents.len(), &mut bytes).unwrap();
        bytes.extend(contents);
        bytes
    }

    #[test]
    fn every_message_of_proto_is_known_by_the_name_that_its_type_has() {
        let schema = schema();
        assert!(schema.by_name.len() > 40, "{}", schema.by_name.len());
        for name in [RecordBundle::full_name(), DigestsRequest::full_name(), BucketReply::full_name()] {
            assert!(schema.by_name.contains_key(&name), "{name}");
        }
        assert_ne!(Shape::of::<DepositFrame>().0, NO_FIELDS);
    }

    #[test]
    fn a_list_may_have_its_elements_and_not_one_more_wherever_it_stands() {
        let ids = |n: usize| DescriptorsRequest { nodes: vec![vec![]; n] }.encode_to_vec();
        assert!(holds::<DescriptorsRequest>(&ids(ELEMENTS_MAX)));
        assert!(!holds::<DescriptorsRequest>(&ids(ELEMENTS_MAX + 1)));
        let signed = |n: usize| Signed { signatures: vec![Signature::default(); n], ..Signed::default() };
        let vouched = |n: usize| DigestsRequest { vouching: vec![signed(n)], ..DigestsRequest::default() };
        assert!(holds::<DigestsRequest>(&vouched(ELEMENTS_MAX).encode_to_vec()));
        assert!(!holds::<DigestsRequest>(&vouched(ELEMENTS_MAX + 1).encode_to_vec()));
        let packed = |n: usize| RootPolicy { allowed_suites: vec![300; n], ..RootPolicy::default() };
        assert!(holds::<RootPolicy>(&packed(ELEMENTS_MAX).encode_to_vec()));
        assert!(!holds::<RootPolicy>(&packed(ELEMENTS_MAX + 1).encode_to_vec()));
    }

    #[test]
    fn all_fields_together_are_bounded_and_a_full_bundle_is_below() {
        let signature = Signature { key_id: vec![1; 16], sig: vec![2; 64] };
        let full = |signatures| Signed {
            payload_type: "t".into(),
            payload: vec![3; 90],
            signatures: vec![signature.clone(); signatures],
        };
        let bundle = |signatures| RecordBundle {
            records: vec![full(signatures); 2048],
            prekeys: vec![Prekey { week: 1, pk: vec![4; 20] }; 2048],
            published: vec![],
        };
        assert!(holds::<RecordBundle>(&bundle(5).encode_to_vec()));
        assert!(!holds::<RecordBundle>(&bundle(16).encode_to_vec()));
    }

    #[test]
    fn bytes_that_look_like_messages_are_bytes_and_what_is_unknown_is_passed_over() {
        // Half a million empty fields, as the data of a deposit, and in a field that a later version may have.
        let bomb = [0x0a, 0].repeat(500_000);
        assert!(holds::<DepositFrame>(&DepositFrame { data: bomb.clone(), ..DepositFrame::default() }.encode_to_vec()));
        assert!(holds::<OutcomeRequest>(&field(9, &bomb)));
        assert!(!holds::<OutcomeRequest>(&bomb));
        assert!(!holds::<OutcomeRequest>(&[0x78, 0].repeat(ELEMENTS_MAX + 1)), "nor without end");
    }

    #[test]
    fn groups_and_what_is_cut_off_do_not_hold() {
        for deep in [1, 17, 101, 10_000] {
            assert!(!holds::<OutcomeRequest>(&[[0x7b].repeat(deep), [0x7c].repeat(deep)].concat()), "{deep}");
        }
        assert!(!holds::<OutcomeRequest>(&[0x0a, 2, 0]));
        assert!(!holds::<OutcomeRequest>(&[0xff; 20]));
        assert!(!holds::<OutcomeRequest>(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]));
        assert!(holds::<OutcomeRequest>(&[]));
    }

    #[test]
    fn messages_within_messages_go_no_deeper_than_they_may() {
        // Our own do not nest without end; one made up does.
        let schema = Box::leak(Box::new(Schema {
            by_name: BTreeMap::new(),
            messages: vec![BTreeMap::from([(1, Holds::Message(0))])],
        }));
        let nested = |deep: usize| (1..deep).fold(vec![], |within, _| field(1, &within));
        let walk = |bytes: &[u8]| Walk { schema, left: FIELDS_MAX }.message(0, bytes, DEPTH_MAX);
        assert!(walk(&nested(DEPTH_MAX)).is_some());
        assert!(walk(&nested(DEPTH_MAX + 1)).is_none());
    }
}
