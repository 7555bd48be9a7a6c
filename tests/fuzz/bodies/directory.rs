//! Records of the directory and pages of its logs: from strangers, and from members and coordinators whose signatures hold
//! around whatever they say.
//!
//! Promises: what was admitted is held and known again byte for byte; what the directory tells on, another one admits; its
//! look-ups have an answer whatever was admitted.

use std::sync::OnceLock;

use clearhouse_node::log::vouched::Voucher;
use clearhouse_protocol::directory::logs::Newest;
use clearhouse_protocol::directory::lost_key::Wait;
use clearhouse_protocol::directory::{Directory, pages};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::{DAY, HOUR, WEEK};
use clearhouse_protocol::{ceremony, refusal, signed};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::bytes::{Bytes, piece};
use super::{Seed, seed};

/// Records in one run.
const RECORDS_MAX: usize = 6;

fn region() -> &'static Region {
    static REGION: OnceLock<Region> = OnceLock::new();
    REGION.get_or_init(|| {
        let mut region = Region::with_logs(9, 4);
        region.publish_all(NOW);
        region
    })
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 8 {
        0 => records(bytes.rest()),
        1 => insiders(&mut bytes),
        2 => page(&mut bytes),
        3 => voucher(bytes.rest()),
        4 => refused(bytes.rest()),
        5 => kept(bytes.rest()),
        6 => prekeys(&mut bytes),
        _ => published(bytes.rest()),
    }
}

/// A bundle as anybody can write one.
fn records(bytes: &[u8]) {
    let Ok(bundle) = wire::RecordBundle::decode(bytes) else { return };
    let mut directory = region().directory.clone();
    let mut is_changed = false;
    for record in bundle.records.iter().take(RECORDS_MAX) {
        is_changed |= admit(&mut directory, record);
    }
    for prekey in bundle.prekeys.iter().take(RECORDS_MAX) {
        if let Ok(Some(checked)) = directory.check_prekey(prekey.week, &prekey.pk) {
            directory.insert(checked);
            is_changed = true;
        }
    }
    if is_changed {
        answers(&directory);
    }
}

/// Payloads that are signed by whoever may sign such a thing, in the order in which they come.
fn insiders(bytes: &mut Bytes<'_>) {
    let (mut directory, mut is_changed) = (region().directory.clone(), false);
    for _ in 0..RECORDS_MAX {
        if bytes.is_empty() {
            break;
        }
        let (kind, who) = (bytes.u8(), bytes.u8());
        let record = by_its_signers(&directory, kind, who.into(), bytes.piece());
        is_changed |= admit(&mut directory, &record);
    }
    if is_changed {
        answers(&directory);
    }
}

fn by_its_signers(directory: &Directory, kind: u8, who: usize, payload: &[u8]) -> wire::Signed {
    let region = region();
    let member = &region.members[who % region.members.len()];
    let net = region.net.to_vec();
    let coordinators: Vec<&SigningKey> = region.coordinators.iter().collect();
    let payload = payload.to_vec();
    let (media, payload, keys) = match kind % 7 {
        0 => {
            let payload = wire::RootPolicy::decode(payload.as_slice()).map_or(payload, |policy| {
                let version = directory.policy().version + 1;
                let previous = clearhouse_protocol::pae::sha256(&directory.newest_policy().payload).to_vec();
                wire::RootPolicy { version, prev_hash: previous, ..policy }.encode_to_vec()
            });
            (media::ROOT, payload, coordinators)
        }
        1 => {
            let payload = wire::OrgRecord::decode(payload.as_slice())
                .map_or(payload, |org| wire::OrgRecord { net, ..org }.encode_to_vec());
            (media::ORG, payload, [coordinators, vec![&member.root]].concat())
        }
        2 => {
            let payload = wire::NodeCert::decode(payload.as_slice()).map_or(payload, |cert| {
                let (org_id, node_id) = (member.org.to_vec(), member.node.to_vec());
                let sign_pk = member.sign.public().to_vec();
                wire::NodeCert { net, org_id, node_id, sign_pk, ..cert }.encode_to_vec()
            });
            (media::NODECERT, payload, vec![&member.root])
        }
        3 => {
            let payload = wire::Descriptor::decode(payload.as_slice()).map_or(payload, |said| {
                wire::Descriptor { net, node_id: member.node.to_vec(), ..said }.encode_to_vec()
            });
            (media::DESCRIPTOR, payload, vec![&member.sign])
        }
        4 => {
            let payload = wire::Revocation::decode(payload.as_slice())
                .map_or(payload, |end| wire::Revocation { net, ..end }.encode_to_vec());
            (media::REVOCATION, payload, [coordinators, vec![&member.root]].concat())
        }
        5 => (media::OBJECTION, payload, vec![&member.root]),
        _ => {
            let payload = wire::OrgRecord::decode(payload.as_slice())
                .map_or(payload, |org| wire::OrgRecord { net, org_id: member.org.to_vec(), ..org }.encode_to_vec());
            // Without the word of the root key before: it has to wait.
            (media::ORG, payload, coordinators)
        }
    };
    let mut record = wire::Signed { payload_type: media.to_owned(), payload, signatures: vec![] };
    keys.iter().for_each(|key| signed::add_signature(&mut record, key));
    record
}

/// What was admitted is known again.
fn admit(directory: &mut Directory, record: &wire::Signed) -> bool {
    let Ok(Some(checked)) = directory.check(record, NOW) else { return false };
    directory.insert(checked);
    assert!(directory.check(record, NOW).is_ok_and(|again| again.is_none()) || is_behind(directory, record));
    true
}

/// A record may be overtaken by what is held already, and then it is refused for that.
fn is_behind(directory: &Directory, record: &wire::Signed) -> bool {
    !directory.records().any(|held| held == record)
}

/// Everything a node asks of its directory.
fn answers(directory: &Directory) {
    let region = region();
    for member in &region.members {
        let _ = (directory.recipient(member.org, member.node, NOW), directory.accredited(member.org));
        let _ = (directory.standing(member.org, member.node, NOW), directory.lost_key(member.org, NOW));
        let bundle = directory.bundle(member.org);
        assert!(bundle.records.iter().all(|record| directory.records().any(|held| held == record)));
    }
    for now in [0, NOW, NOW + WEEK, u64::MAX] {
        let _ = (directory.freshness(now), directory.waits_begun(now), directory.waits_over(now).len());
        let _ = directory.unlogged_revocations(now).count();
    }
    let _ = (directory.is_contested(), directory.heads(), pages::page(directory, 0).map(|page| page.of));
    // A stranger who is told everything in this order has nothing left to say.
    let told: Vec<_> = directory.records().cloned().collect();
    let mut fresh = Directory::found(&region.genesis, Some(region.net)).expect("the genesis is sound");
    for record in &told {
        if let Ok(Some(checked)) = fresh.check(record, NOW) {
            fresh.insert(checked);
        }
    }
    assert_eq!(fresh.policy().version, directory.policy().version, "a stranger comes to another policy");
}

/// A page of a coordinator's log with entries of its own choice, cosigned by the others or not.
fn page(bytes: &mut Bytes<'_>) {
    let region = region();
    let (of, witnesses) = (bytes.below(3), usize::from(bytes.u8() % 4));
    let (first, time) = (bytes.below(4), NOW + u64::from(bytes.u8()) * HOUR);
    let mut entries = Vec::new();
    while !bytes.is_empty() && entries.len() < 8 {
        entries.push(bytes.piece().to_vec());
    }
    let others: Vec<usize> = (0..3).filter(|n| *n != of).take(witnesses).collect();
    let first = first.min(entries.len());
    let reply = region.log_page(of, &entries, (first, entries.len()), (&others, time));
    let mut directory = Directory::found(&region.genesis, None).expect("the genesis is sound");
    let policy = directory.check(&region.records[0], NOW).expect("the next policy is sound").expect("new");
    directory.insert(policy);
    let node = region.members[of].node;
    if let Ok(page) = directory.check_page(node, &reply, NOW) {
        assert!(others.len() == 2 && first == 0, "a log is followed that others have not seen, or from its middle");
        directory.follow(&page);
        assert_eq!(directory.followed(node), entries.len() as u64);
        assert!(directory.freshness(NOW + DAY) == directory.clone().freshness(NOW + DAY));
    }
}

/// Records beside a copied log, as whoever copied it wrote them.
fn voucher(bytes: &[u8]) {
    let region = region();
    let member = &region.members[0];
    let origin = clearhouse_protocol::audit::origin(region.net, member.org, member.node, 1);
    if let Ok(voucher) = Voucher::of_records(&region.genesis, bytes, &origin, NOW) {
        assert!(voucher.key().name() == origin);
    }
}

/// A coordinator's notice about an application.
fn refused(payload: &[u8]) {
    let region = region();
    let said = wire::Refusal::decode(payload).map_or(payload.to_vec(), |said| {
        let coordinator = region.directory.policy().coordinators[0].id.clone();
        wire::Refusal { net: region.net.to_vec(), coordinator, ..said }.encode_to_vec()
    });
    let notice = signed::sign(media::REFUSAL, said, &region.coordinators[0]);
    if let Ok(refused) = refusal::read(&region.directory, &notice) {
        assert!(!refused.reason.is_empty() && refused.reason.is_ascii());
    }
}

/// Rows of a node's own store.
fn kept(bytes: &[u8]) {
    assert!(Newest::kept(bytes).is_none_or(|newest| newest.bytes() == bytes), "a head is kept otherwise");
    let Some((key, value)) = bytes.split_at_checked(17) else { return };
    assert!(Wait::kept(key, value).is_none_or(|wait| wait.row_key() == key && wait.bytes() == value));
}

fn prekeys(bytes: &mut Bytes<'_>) {
    let region = region();
    let member = &region.members[bytes.below(region.members.len())];
    let (week, at, mask) = (NOW / WEEK + u64::from(bytes.u8()), usize::from(bytes.u16()), bytes.u8());
    let mut public = member.prekey(NOW).public().expect("a sound key").as_bytes().to_vec();
    let place = at % public.len();
    public[place] ^= mask;
    let mut directory = region.directory.clone();
    let told = directory.check_prekey(week, &public);
    assert!(told.is_err() || (mask == 0 && week == NOW / WEEK), "a prekey that nobody lists is taken");
    if let Ok(Some(checked)) = directory.check_prekey(week, bytes.rest()) {
        directory.insert(checked);
    }
}

/// A proof that a record stands in a log.
fn published(bytes: &[u8]) {
    let Ok(said) = wire::Published::decode(bytes) else { return };
    if region().directory.check_published(&said).is_ok() {
        let known = region().directory.prove(&region().records);
        assert!(known.iter().any(|one| one.entry == said.entry), "a record is published that stands in no log");
    }
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let region = region();
    let member = &region.members[3];
    let bundle = |records: Vec<wire::Signed>| wire::RecordBundle { records, ..Default::default() }.encode_to_vec();
    let of = |media: &str| region.records.iter().rev().find(|record| record.payload_type == media).expect("one of it");
    let insider = |kind: u8, who: u8, payload: &[u8]| [&[kind, who][..], &piece(payload)].concat();
    let org = of(media::ORG);
    let next_org = ceremony::next_org(org, NOW + HOUR, |org| org.label = "Another".into()).expect("one after it");
    let lost = ceremony::next_org(org, NOW + HOUR, |org| org.org_root_pk = vec![1; 32]).expect("one after it");
    let cert = ceremony::next_cert(of(media::NODECERT), NOW + HOUR, &member.root).expect("one after it");
    let policy = ceremony::next_policy(&region.records[0], NOW, |policy| policy.label = "another".into());
    let policy = policy.expect("one after it");
    let kind = wire::SubjectKind::Node;
    let keys: Vec<&SigningKey> = region.coordinators.iter().collect();
    let end = ceremony::revoke(region.net, kind, member.node.0, "Misuse", NOW, &keys);
    let objection = ceremony::object(&lost, &member.root, NOW).expect("it is about a record");
    let said = refusal::refuse(&region.directory, org, "Incomplete", &region.coordinators[0], NOW).expect("a code");
    let proof = region.directory.prove(&region.records[..1]);
    let head = region.directory.newest_head(region.members[0].node).expect("it is followed").bytes();
    let entries = [region.records[1].encode_to_vec(), b"no record".to_vec()].map(|entry| piece(&entry)).concat();
    let mut seeds = vec![
        seed("bundle", 0, &bundle(region.records[1..4].to_vec())),
        seed("bundle-end", 0, &bundle(vec![end.clone()])),
        seed("voucher", 3, &bundle(region.records[..4].to_vec())),
        seed("refused", 4, &said.payload),
        seed("head", 5, &head),
        seed("prekey", 6, &[3, 0, 0, 0, 0]),
        seed("page", 2, &[&[0, 3, 0, 0][..], &entries].concat()),
        seed("page-unseen", 2, &[&[1, 0, 0, 0][..], &entries].concat()),
    ];
    seeds.extend(proof.iter().take(1).map(|one| seed("published", 7, &one.encode_to_vec())));
    let lost_then = [insider(6, 3, &lost.payload), insider(5, 3, &objection.payload)].concat();
    for (name, bytes) in [
        ("policy", insider(0, 0, &policy.payload)),
        ("org", insider(1, 3, &next_org.payload)),
        ("cert", insider(2, 3, &cert.payload)),
        ("descriptor", insider(3, 3, &of(media::DESCRIPTOR).payload)),
        ("end", insider(4, 3, &end.payload)),
        ("lost-key", lost_then),
    ] {
        seeds.push(seed(&format!("insider-{name}"), 1, &bytes));
    }
    seeds
}
