//! What really happens in a region, by whom, and what is true of everybody because of it: admissions, rotations of a
//! node's key, revocations, descriptors renewed.

use std::collections::BTreeMap;

use clearhouse_protocol::ceremony::{Attested, attest, revoke};
use clearhouse_protocol::directory::{Directory, RouteFault};
use clearhouse_protocol::fixture::member_records;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::HOUR;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::signed::sign;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::common::Common;
use crate::replica::Replica;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum What {
    /// An organisation came in: a coordinator got its records as a file.
    Admission,
    /// A node has another key: it says so to nobody but who asks.
    Rotation,
    /// An organisation was put out: a coordinator got the revocation as a file.
    Revocation,
}

/// One thing that happened, and who acts on it since when.
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) place: usize,
    /// The round at whose beginning it was published.
    pub(crate) round: u64,
    /// By replica, the round at whose end it was first acted on.
    pub(crate) seen: Vec<Option<u64>>,
    /// The round at whose end everybody acted on it who was awake all the time.
    pub(crate) complete: Option<u64>,
}

/// What is true of everybody.
#[derive(Default)]
pub(crate) struct Truth {
    /// The signing keys that each node ever had, the newest last.
    pub(crate) keys: Vec<Vec<[u8; 32]>>,
    pub(crate) revoked: Vec<bool>,
    /// Every descriptor that a node signed of itself, by node and serial.
    pub(crate) descriptors: BTreeMap<(NodeId, u64), wire::Descriptor>,
}

impl Truth {
    pub(crate) fn of(common: &Common) -> Self {
        let members = &common.region.members;
        let described = common.region.directory.described();
        Self {
            keys: members.iter().map(|member| vec![member.sign.public()]).collect(),
            revoked: vec![false; members.len()],
            descriptors: described.map(|(node, said)| ((node, said.serial), said.clone())).collect(),
        }
    }

    fn describe(&mut self, record: &wire::Signed) {
        let said = wire::Descriptor::decode(record.payload.as_slice()).unwrap();
        self.descriptors.insert((NodeId::try_from(said.node_id.as_slice()).unwrap(), said.serial), said);
    }
}

impl Event {
    pub(crate) fn new(what: What, place: usize, round: u64, replicas: usize) -> Self {
        Self { what, place, round, seen: vec![None; replicas], complete: None }
    }

    /// Whether a directory acts on it.
    pub(crate) fn is_acted_on(&self, directory: &Directory, common: &Common, truth: &Truth) -> bool {
        let member = common.member(self.place);
        let key = directory.signing_key(member.org, member.node, common.now);
        match self.what {
            What::Admission => key.is_ok() && directory.descriptor(member.node).is_some_and(|d| d.expires > common.now),
            What::Rotation => key.is_ok_and(|key| Some(&key.public()) == truth.keys[self.place].last()),
            What::Revocation => key.err() == Some(RouteFault::Revoked),
        }
    }
}

/// A coordinator and the newcomer itself get the newcomer's records, signed by these coordinators.
pub(crate) fn admit(place: usize, signers: &[usize], common: &mut Common, truth: &mut Truth, at: [&mut Replica; 2]) {
    let mut records = member_records(common.region.net, common.member(place), place, &common.region.coordinators);
    let all = std::mem::take(&mut records[0].signatures);
    records[0].signatures = signers.iter().map(|n| all[*n].clone()).collect();
    truth.describe(&records[2]);
    for replica in at {
        assert_eq!(replica.take(&records, common), records.len(), "its records are sound");
    }
}

/// Another key of a node, certified by its organisation, and a descriptor by it, at the node itself.
pub(crate) fn rotate(common: &mut Common, truth: &mut Truth, at: &mut Replica) {
    let (net, place) = (common.region.net, at.place);
    let held = common.region.records[1 + 3 * place + 1].clone();
    let fresh = SigningKey::from_seed(&common.dice.bytes());
    let mut cert = at.directory.cert(at.node).unwrap().clone();
    assert!(cert.net == net.to_vec() && held.payload_type == media::NODECERT);
    common.old.push(held.clone());
    cert.version += 1;
    cert.prev_hash = sha256(&held.payload).to_vec();
    cert.sign_pk = fresh.public().to_vec();
    let cert = sign(media::NODECERT, cert.encode_to_vec(), &common.member(place).root);
    truth.keys[place].push(fresh.public());
    common.region.members[place].sign = fresh;
    assert_eq!(at.take(&[cert], common), 1);
    say_again(common, truth, at);
}

/// Puts an organisation out: a coordinator gets what these signed.
pub(crate) fn put_out(place: usize, signers: &[usize], common: &mut Common, truth: &mut Truth, at: &mut Replica) {
    let keys: Vec<&SigningKey> = signers.iter().map(|n| &common.region.coordinators[*n]).collect();
    let org = common.member(place).org;
    let kind = wire::SubjectKind::Organisation;
    let record = revoke(common.region.net, kind, org.0, "Compromised", common.now, &keys);
    at.take(&[record], common);
    truth.revoked[place] = true;
}

/// A node's next descriptor, at itself; none when its serial would be too far ahead.
pub(crate) fn renew(common: &mut Common, truth: &mut Truth, at: &mut Replica) {
    let held = at.directory.descriptor(at.node).unwrap();
    if held.serial.saturating_add(1) * HOUR > common.now + HOUR {
        return;
    }
    say_again(common, truth, at);
}

fn say_again(common: &mut Common, truth: &mut Truth, at: &mut Replica) {
    let held = at.directory.descriptor(at.node).unwrap();
    let said = Attested { at: common.now, ..Attested::of(held) };
    let record = attest(held, &said, &common.member(at.place).sign, common.now);
    truth.describe(&record);
    assert_eq!(at.take(&[record], common), 1, "its own descriptor is sound");
}
