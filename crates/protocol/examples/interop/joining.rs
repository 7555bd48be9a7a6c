//! First records and refusals, good ones and bad ones, with what clearhouse says of each: the other implementation has to
//! say the same.

use std::path::Path;

use clearhouse_protocol::ceremony::{Application, Membership, apply, next_org, object};
use clearhouse_protocol::directory::{Checked, Directory};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::{OrgId, hex};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::refusal;
use clearhouse_protocol::signed::{add_signature, sign};
use clearhouse_wire::v1::{Agreement, NetworkKind, OrgRecord, Refusal, Signed};
use prost::Message as _;
use serde_json::{Value, json};

type Change<T> = fn(&mut T);

const RECORDS: [(&str, Change<OrgRecord>); 24] = [
    ("as it should be", |_| {}),
    ("says nothing", |r| (r.area, r.standards, r.standards_signed) = (String::new(), String::new(), 0)),
    ("an area of another country", |r| r.area = "RO-IS".into()),
    ("an area with a small letter", |r| r.area = "MD-cu".into()),
    ("an area too long", |r| r.area = "MD-CUXX".into()),
    ("standards without a day", |r| r.standards_signed = 0),
    ("a day without standards", |r| r.standards.clear()),
    ("standards that are a text", |r| r.standards = "the rules".into()),
    ("standards signed today", |r| r.standards_signed = r.valid_from + DAY),
    ("standards signed tomorrow", |r| r.standards_signed = r.valid_from + DAY + 1),
    ("an agreement with a capital", |r| r.agreements[0].name = "South".into()),
    ("an agreement that is a telephone number", |r| r.agreements[0].name = "0722-123-456".into()),
    ("an agreement without a name", |r| r.agreements[0].name.clear()),
    ("an agreement without an end", |r| r.agreements[0].valid_until = 0),
    ("an agreement twice", |r| r.agreements.push(r.agreements[0].clone())),
    ("thirty-two agreements", |r| r.agreements = agreements(32)),
    ("thirty-three agreements", |r| r.agreements = agreements(33)),
    ("nobody vouches", |r| r.sponsors.clear()),
    ("nobody vouches for a later version", |r| (r.version, r.prev_hash, r.sponsors) = (2, vec![0; 32], vec![])),
    ("a coordinator that nobody vouches for", |r| (r.org_id, r.sponsors) = (vec![1; 16], vec![])),
    ("one vouches", |r| r.sponsors.truncate(1)),
    ("three vouch", |r| r.sponsors.push(vec![3; 16])),
    ("one vouches twice", |r| r.sponsors[1] = r.sponsors[0].clone()),
    ("it vouches for itself", |r| r.sponsors[1] = r.org_id.clone()),
];

const REFUSALS: [(&str, Change<Refusal>); 7] = [
    ("as it should be", |_| {}),
    ("a code nobody knows", |r| r.reason = "ForAReasonOfNextYear".into()),
    ("a reason that is a text", |r| r.reason = "Ana said so".into()),
    ("no reason", |r| r.reason.clear()),
    ("another coordinator's name", |r| r.coordinator = vec![2; 16]),
    ("half a hash", |r| r.application.truncate(16)),
    ("another network", |r| r.net = vec![0; 32]),
];

fn agreements(n: usize) -> Vec<Agreement> {
    (0..n).map(|n| Agreement { name: format!("a{n}"), valid_until: 1 }).collect()
}

/// `joining.json` in `folder`.
pub(crate) fn make(folder: &Path) {
    let networks = [NetworkKind::Training, NetworkKind::Live].map(|kind| {
        let region = Region::of_kind(7, 0, kind);
        let records: Vec<Value> = RECORDS.iter().map(|(name, change)| record(&region, name, *change)).collect();
        let refusals: Vec<Value> = REFUSALS.iter().map(|(name, change)| notice(&region, name, *change)).collect();
        json!({
            "now": NOW, "net": hex(&region.net.0), "genesis": hex(&region.genesis.encode_to_vec()),
            "records": records, "refusals": refusals, "second": second(&region),
        })
    });
    super::write_json(folder, "joining.json", &json!(networks));
}

fn applied(region: &Region) -> Signed {
    let application = Application {
        org: OrgId([7; 16]),
        label: "Casa Nova",
        country: "MD",
        roles: &["Origin"],
        competences: &["Shelter"],
        root_pk: SigningKey::from_seed(&[7; 32]).public(),
    };
    let said = Membership {
        area: "MD-CU".to_owned(),
        standards: Some(("Region2026".to_owned(), NOW - DAY)),
        agreements: vec![("south-2026".to_owned(), NOW + DAY)],
        sponsors: vec![[1; 16], [2; 16]],
    };
    apply(region.net, &application, &said, NOW)
}

fn record(region: &Region, name: &str, change: Change<OrgRecord>) -> Value {
    let mut org = OrgRecord::decode(applied(region).payload.as_slice()).unwrap();
    change(&mut org);
    let mut signed = Signed { payload_type: media::ORG.into(), payload: org.encode_to_vec(), signatures: vec![] };
    region.coordinators.iter().for_each(|key| add_signature(&mut signed, key));
    let directory = Directory::found(&region.genesis, None).unwrap();
    let taken = matches!(directory.check(&signed, NOW), Ok(Some(Checked::Org(..))));
    json!({"name": name, "record": hex(&signed.encode_to_vec()), "taken": taken})
}

/// Second records of the same organisation, and what is said against them: what becomes of each behind the first.
fn second(region: &Region) -> Vec<Value> {
    let by_all = |signed: &mut Signed| region.coordinators.iter().for_each(|key| add_signature(signed, key));
    let (root, other) = (SigningKey::from_seed(&[7; 32]), SigningKey::from_seed(&[8; 32]));
    let mut first = applied(region);
    by_all(&mut first);
    let mut directory = Directory::found(&region.genesis, None).unwrap();
    let checked = directory.check(&first, NOW).unwrap().unwrap();
    directory.insert(checked);
    let next = |key: &SigningKey, lost| {
        let change = |org: &mut OrgRecord| (org.org_root_pk, org.lost_key) = (key.public().to_vec(), lost);
        let mut signed = next_org(&first, NOW, change).unwrap();
        by_all(&mut signed);
        signed
    };
    let mut agreed = next(&other, true);
    add_signature(&mut agreed, &root);
    let rows = [
        ("the same key", next(&root, false)),
        ("the same key, said to be lost", next(&root, true)),
        ("another key without a word", next(&other, false)),
        ("another key, the old one lost", next(&other, true)),
        ("another key, and the old one signs", agreed),
        ("an objection", object(&next(&other, true), &root, NOW).unwrap()),
        ("an objection by the new key", object(&next(&other, true), &other, NOW).unwrap()),
        ("an objection to the first", object(&first, &root, NOW).unwrap()),
    ];
    let told = rows.map(|(name, signed)| {
        let becomes = match directory.check(&signed, NOW) {
            Ok(Some(Checked::Org(..))) => "taken",
            Ok(Some(Checked::Announced(..))) => "waits",
            Ok(Some(Checked::Objection(..))) => "objects",
            _ => "refused",
        };
        let (first, record) = (hex(&first.encode_to_vec()), hex(&signed.encode_to_vec()));
        json!({"name": name, "first": first, "record": record, "becomes": becomes})
    });
    told.to_vec()
}

fn notice(region: &Region, name: &str, change: Change<Refusal>) -> Value {
    let key = &region.coordinators[0];
    let made = refusal::refuse(&region.directory, &applied(region), "Incomplete", key, NOW).unwrap();
    let mut said = Refusal::decode(made.payload.as_slice()).unwrap();
    change(&mut said);
    let signed = sign(media::REFUSAL, said.encode_to_vec(), key);
    let holds = refusal::read(&region.directory, &signed).is_ok();
    json!({"name": name, "record": hex(&signed.encode_to_vec()), "holds": holds, "reason": said.reason})
}
