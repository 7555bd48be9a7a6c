//! What two coordinators that lie can make with their own keys, and what others were made to sign in secret.

use clearhouse_protocol::ceremony::Attested;
use clearhouse_protocol::ceremony::{attest, next_policy, revoke};
use clearhouse_protocol::directory::buckets::Item;
use clearhouse_protocol::fixture::{Member, Region, member_records};
use clearhouse_protocol::labels::media;
use clearhouse_protocol::pae::sha256;
use clearhouse_protocol::signed::{add_signature, sign};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::common::Common;

/// See the module.
pub(crate) struct Forgery {
    /// An organisation that the two alone accredited, its own node and all.
    pub(crate) fake: (Member, [wire::Signed; 3]),
    /// An organisation that enough coordinators signed, under duress, and that is shown to nobody but one node.
    pub(crate) stealth: (Member, [wire::Signed; 3]),
    /// The node that is to believe in it.
    pub(crate) victim: usize,
    /// Until when it is shown that, so that what it passes on has reached everybody when all are compared.
    pub(crate) until: u64,
    /// Whom the two would put out, or speak for.
    pub(crate) target: usize,
    /// Records that nobody must take.
    pub(crate) never: Vec<wire::Signed>,
    /// A descriptor of the target that it never signed.
    pub(crate) foreign: wire::Signed,
}

impl Forgery {
    pub(crate) fn new(
        seed: u64,
        liars: &[usize],
        honest: &[usize],
        (orgs, until): (usize, u64),
        common: &mut Common,
    ) -> Self {
        let mut strangers = Region::new(seed ^ (1 << 41), 2).members;
        let region = &common.region;
        let (fake, stealth) = (strangers.remove(0).moved_to(region.net), strangers.remove(0).moved_to(region.net));
        let signed_by = |member: &Member, n: usize, signers: &[usize]| {
            let mut records = member_records(region.net, member, n, &region.coordinators);
            let all = std::mem::take(&mut records[0].signatures);
            records[0].signatures = signers.iter().map(|n| all[*n].clone()).collect();
            records
        };
        // One key under its own name and under others' counts once.
        let twice = [liars[0], liars[1], liars[0], liars[1], liars[0]];
        let of_fake = signed_by(&fake, 900, &twice);
        let of_stealth = signed_by(&stealth, 901, &honest[..4]);
        let ordinary = |at: usize| 7 + at % (orgs - 7);
        let (victim, target) = (ordinary(common.dice.below(orgs)), ordinary(common.dice.below(orgs)));
        let mut forgery = Self {
            fake: (fake, of_fake),
            stealth: (stealth, of_stealth),
            victim,
            until,
            target,
            never: Vec::new(),
            foreign: wire::Signed::default(),
        };
        forgery.forge(liars, common);
        forgery
    }

    fn forge(&mut self, liars: &[usize], common: &Common) {
        let region = &common.region;
        let keys = [&region.coordinators[liars[0]], &region.coordinators[liars[1]]];
        let (liar, target) = (common.member(liars[0]), common.member(self.target));
        let now = common.now;
        let org = revoke(region.net, wire::SubjectKind::Organisation, target.org.0, "Closed", now, &keys);
        let mut node = revoke(region.net, wire::SubjectKind::Node, target.node.0, "Compromised", now, &keys);
        add_signature(&mut node, &liar.root);
        // The target's next certificate, by another organisation's root, for a key of the liar's.
        let held = &region.records[1 + 3 * self.target + 1];
        let mut cert = wire::NodeCert::decode(held.payload.as_slice()).unwrap();
        cert.version += 1;
        cert.prev_hash = sha256(&held.payload).to_vec();
        cert.sign_pk = liar.sign.public().to_vec();
        let cert = sign(media::NODECERT, cert.encode_to_vec(), &liar.root);
        // The target's next accreditation, with its root replaced.
        let held = &region.records[1 + 3 * self.target];
        let mut next = wire::OrgRecord::decode(held.payload.as_slice()).unwrap();
        next.version += 1;
        next.prev_hash = sha256(&held.payload).to_vec();
        next.org_root_pk = liar.root.public().to_vec();
        let mut next = sign(media::ORG, next.encode_to_vec(), keys[0]);
        add_signature(&mut next, keys[1]);
        let policy = next_policy(region.directory.newest_policy(), now, |policy| policy.k_accredit = 1);
        let mut policy = policy.unwrap();
        keys.iter().for_each(|key| add_signature(&mut policy, key));
        let said = region.directory.descriptor(target.node).unwrap();
        self.foreign = attest(said, &Attested { at: now, ..Attested::of(said) }, &liar.sign, now + 3600);
        self.never = vec![org, node, cert, next, policy, self.foreign.clone()];
        self.never.extend(self.fake.1.iter().cloned());
    }

    /// Whether this node is told of the secret one now.
    pub(crate) fn tells(&self, asker: usize, common: &Common) -> bool {
        asker == self.victim && common.now < self.until
    }

    /// How the foreign descriptor stands in a list; with nobody behind it, how the fake node or the secret one does.
    pub(crate) fn item(&self, record: &wire::Signed, member: &Member) -> Item {
        let said = wire::Descriptor::decode(record.payload.as_slice()).unwrap();
        Item { node: member.node, org: member.org, serial: said.serial, hash: sha256(&record.payload) }
    }
}
