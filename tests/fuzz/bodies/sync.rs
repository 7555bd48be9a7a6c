//! How a directory and the letters of a mailbox come piece by piece: pages of a file, lists of buckets, digests, the slots of
//! an answer to a fetch.
//!
//! Promises: what was put together is what was cut up; nothing grows beyond its named limit; a list rises.

use std::sync::OnceLock;

use clearhouse_protocol::directory::buckets::{Buckets, Listing};
use clearhouse_protocol::directory::introduction::introduced;
use clearhouse_protocol::directory::pages;
use clearhouse_protocol::fixture::Region;
use clearhouse_protocol::ids::{Digest, NodeId};
use clearhouse_protocol::labels;
use clearhouse_protocol::limits::{
    BUCKET_ITEMS_MAX, BUCKET_PAGES_MAX, BUCKETS, BUNDLE_MAX, ENVELOPE_MAX, FETCH_SLOTS, FILE_PAGE_LEN,
    INTRODUCED_PREKEYS_MAX, INTRODUCED_RECORDS_MAX,
};
use clearhouse_protocol::pae::hash;
use clearhouse_protocol::relay::slots::{self, Slot};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::bytes::{Bytes, piece};
use super::{Seed, seed};

fn region() -> &'static (Region, Buckets) {
    static REGION: OnceLock<(Region, Buckets)> = OnceLock::new();
    REGION.get_or_init(|| {
        let region = Region::new(5, 3);
        let buckets = Buckets::of(&region.directory);
        (region, buckets)
    })
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 6 {
        0 => page(&mut bytes),
        1 => listing(&mut bytes),
        2 => digests(bytes.rest()),
        3 => answer(&mut bytes),
        4 => cut_up(&mut bytes),
        _ => introduction(bytes.rest()),
    }
}

/// A page with the checksum of what stands in it.
fn page(bytes: &mut Bytes<'_>) {
    let (number, head) = (u32::from(bytes.u8()), bytes.array::<12>());
    let mut page = [&b"CHPAGE01"[..], &[0; 32], &head, bytes.rest()].concat();
    page.resize(FILE_PAGE_LEN, 0);
    let checksum = hash(labels::DIRECTORY_PAGE, &[&page[40..]]);
    page[8..40].copy_from_slice(&checksum);
    assert!(pages::is_file(&page));
    if let Ok((bundle, _)) = pages::read(number, &page) {
        assert!(bundle.records.len() <= BUNDLE_MAX && bundle.prekeys.len() <= BUNDLE_MAX);
    }
    page[41] ^= 1;
    assert!(pages::read(number, &page).is_err(), "a page with another byte is read");
}

/// The pages of one bucket, as a peer lists them.
fn listing(bytes: &mut Bytes<'_>) {
    let mut listing = Listing::new(bytes.u8());
    let mut pages = 0;
    while let (false, Ok(page)) = (bytes.is_empty(), wire::BucketReply::decode(bytes.piece())) {
        pages += 1;
        let Ok(next) = listing.read(&page) else { return };
        assert!(pages <= BUCKET_PAGES_MAX);
        assert!(next.is_none_or(|next| page.items.last().is_some_and(|last| last.node == next.0)));
        if next.is_none() {
            break;
        }
    }
    let told = region().1.digests();
    if let Ok(items) = listing.whole(told) {
        assert!(items.len() <= BUCKET_ITEMS_MAX && items.windows(2).all(|pair| pair[0].node < pair[1].node));
    }
}

fn digests(bytes: &[u8]) {
    let Ok(answer) = wire::DigestsReply::decode(bytes) else { return };
    let (region, buckets) = region();
    if let Ok((differing, _)) = buckets.compare(&answer) {
        assert!(differing.len() <= BUCKETS && differing.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let _ = region.directory.hear_heads(&answer.heads);
}

/// The frames of a keeper's answer.
fn answer(bytes: &mut Bytes<'_>) {
    let mut reader = slots::Reader::default();
    let (mut came, mut filled) = (0, 0);
    while let (false, Ok(frame)) = (bytes.is_empty(), wire::FetchFrame::decode(bytes.piece())) {
        came += frame.data.len();
        match reader.take(frame) {
            Ok(Slot::Filled(_, envelope)) => {
                filled += 1;
                assert!(envelope.len() <= came.min(ENVELOPE_MAX), "more came out than came in");
            }
            Ok(Slot::Empty | Slot::Unfinished) => {}
            Err(_) => return,
        }
        assert!(filled <= FETCH_SLOTS);
    }
}

/// What is cut up into frames is put together again.
fn cut_up(bytes: &mut Bytes<'_>) {
    let len = usize::from(bytes.u16()) * 3;
    let mut envelope = bytes.rest().to_vec();
    envelope.resize(len.max(1), 7);
    let digest = Digest([1; 32]);
    let mut reader = slots::Reader::default();
    let mut last = None;
    for frame in slots::frames(digest, envelope.clone()) {
        last = reader.take(frame).ok();
    }
    let Some(Slot::Filled(named, came)) = last else { panic!("an envelope of {len} bytes does not come") };
    assert!(named == digest && came == envelope, "another envelope comes");
    for _ in 1..FETCH_SLOTS {
        assert!(matches!(reader.take(slots::dummy()), Ok(Slot::Empty)));
    }
    assert!(reader.is_done() && reader.take(slots::dummy()).is_err(), "a ninth slot is read");
}

fn introduction(bytes: &[u8]) {
    let Ok(request) = wire::DigestsRequest::decode(bytes) else { return };
    let member = &region().0.members[0];
    if let Some(bundle) = introduced(request, member.node, Some(member.org)) {
        assert!(bundle.records.len() <= INTRODUCED_RECORDS_MAX + 1 && bundle.prekeys.len() <= INTRODUCED_PREKEYS_MAX);
    }
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let (region, buckets) = region();
    let node: NodeId = region.members[0].node;
    let bucket = clearhouse_protocol::directory::buckets::bucket_of(node);
    let list = buckets.page(bucket, None).encode_to_vec();
    let records = wire::RecordBundle { records: region.records[..1].to_vec(), ..wire::RecordBundle::default() };
    let records = records.encode_to_vec();
    let head = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &(records.len() as u32).to_be_bytes()].concat();
    let mut answer = buckets.answer(&region.directory, &[], 1).encode_to_vec();
    // Most of the digests are of empty buckets.
    answer.truncate(answer.len().min(9000));
    let frames: Vec<u8> = slots::frames(Digest([1; 32]), vec![5; 40])
        .chain([slots::dummy()])
        .flat_map(|frame| piece(&frame.encode_to_vec()))
        .collect();
    let said =
        clearhouse_protocol::directory::introduction::introduction(&region.directory, node, region.members[1].org);
    let said = wire::DigestsRequest { prekeys: vec![], ..said };
    vec![
        seed("page", 0, &[&[0][..], &head, &records].concat()),
        seed("page-length", 0, &[&[0][..], &[0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]].concat()),
        seed("listing", 1, &[&[bucket][..], &piece(&list)].concat()),
        seed("listing-twice", 1, &[&[bucket][..], &piece(&list), &piece(&list)].concat()),
        seed("digests", 2, &answer),
        seed("answer", 3, &frames),
        seed("answer-cut", 3, &frames[..60]),
        seed("cut-up", 4, &[0, 9, 1, 2, 3]),
        seed("cut-up-large", 4, &[0xff, 0xff, 1]),
        seed("introduction", 5, &said.encode_to_vec()),
    ]
}
