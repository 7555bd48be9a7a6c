//! A small training region with every key at hand, for tests. Built by the same ceremony as a real one.
//!
//! Not compiled into the product: only with the feature `fixture` or in this crate's own tests.
#![allow(clippy::expect_used, reason = "a fixture that cannot be built must stop the test")]

use clearhouse_wire::v1::{DirectoryLogReply, NetworkKind, OrgRecord, Signed};
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::ceremony::{self, Application, Attested, Founder, NodeKeys, Presence, Thresholds};
use crate::directory::Directory;
use crate::ids::{MailboxId, Net, NodeId, OrgId};
use crate::keys::{Prekey, PrekeySecret, SigningKey};
use crate::limits::{LOG_PAGE_ENTRIES_MAX, SPONSORS, WEEK};
use crate::log::checkpoint::Checkpoint;
use crate::log::tree::{Levels, consistency};
use crate::pae::sha256;

/// A convenient "now": 14 November 2026, 12:00 UTC, a Saturday.
pub const NOW: u64 = 1_794_657_600;

/// One member with all its secrets.
pub struct Member {
    /// Organisation.
    pub org: OrgId,
    /// Node.
    pub node: NodeId,
    /// Mailbox at its own node.
    pub mailbox: MailboxId,
    /// Organisation root key.
    pub root: SigningKey,
    /// Node signing key.
    pub sign: SigningKey,
    /// Seed of the TLS key.
    pub tls_seed: [u8; 32],
    /// Prekeys by week.
    pub prekeys: Vec<(u64, PrekeySecret)>,
}

impl Member {
    /// The same in another network: its node's id is of that one.
    #[must_use]
    pub fn moved_to(mut self, net: Net) -> Self {
        self.node = NodeId::of(net, self.org, self.node.0);
        self
    }

    /// The key of its log.
    #[must_use]
    pub fn log(&self) -> SigningKey {
        SigningKey::from_seed(&sha256(&[self.tls_seed.as_slice(), b"log"].concat()))
    }

    /// The key with which it cosigns.
    #[must_use]
    pub fn witness(&self) -> SigningKey {
        SigningKey::from_seed(&sha256(&[self.tls_seed.as_slice(), b"witness"].concat()))
    }

    /// What its certificate names.
    #[must_use]
    pub fn keys(&self) -> NodeKeys {
        NodeKeys { sign: self.sign.public(), log: self.log().public(), witness: self.witness().public() }
    }

    /// The secret prekey of the week of `now`.
    #[must_use]
    pub fn prekey(&self, now: u64) -> &PrekeySecret {
        &self.prekeys.iter().find(|(week, _)| *week == now / WEEK).expect("prekeys cover five weeks").1
    }
}

/// A network of coordinators, three in two countries where no others are asked for, and members.
pub struct Region {
    /// The network.
    pub net: Net,
    /// Its genesis policy.
    pub genesis: Signed,
    /// Coordinator keys: two of RO, one of IT, but for a council.
    pub coordinators: Vec<SigningKey>,
    /// Members in order.
    pub members: Vec<Member>,
    /// All records but the genesis, in reading order.
    pub records: Vec<Signed>,
    /// A directory that holds everything.
    pub directory: Directory,
    /// The generator, for what a test draws next.
    pub rng: ChaCha20Rng,
}

impl Region {
    /// A training region of `members` organisations, the same for the same seed.
    #[must_use]
    pub fn new(seed: u64, members: usize) -> Self {
        Self::of_kind(seed, members, NetworkKind::Training)
    }

    /// [`Region::new`] for either kind of network.
    #[must_use]
    pub fn of_kind(seed: u64, members: usize, kind: NetworkKind) -> Self {
        Self::founded(seed, members, 0, kind)
    }

    /// A training region whose first `coordinators` members have that role, and so witness the others' logs.
    #[must_use]
    pub fn with_coordinators(seed: u64, members: usize, coordinators: usize) -> Self {
        Self::founded(seed, members, coordinators, NetworkKind::Training)
    }

    /// [`Region::with_coordinators`] of three, under a second policy that names their directory logs. Nothing stands in
    /// them yet, so only the coordinators' own records count.
    #[must_use]
    pub fn with_logs(seed: u64, members: usize) -> Self {
        Self::with_coordinators(seed, members, 3).named()
    }

    /// A training region of one coordinator for each of these countries, the first members, under a second policy that
    /// names their directory logs, with these thresholds. Nothing stands in the logs yet.
    #[must_use]
    pub fn with_council(seed: u64, members: usize, countries: &[&str], k: Thresholds) -> Self {
        Self::council(seed, members, (countries, k), countries.len(), NetworkKind::Training).named()
    }

    /// Under a second policy that names the directory logs of the coordinators, the first members.
    fn named(self) -> Self {
        let mut region = self;
        let named = region.members.iter().take(region.coordinators.len()).map(|m| ((m.org, m.node), m.keys()));
        let named: Vec<_> = named.collect();
        let net = region.net;
        let policy = ceremony::next_policy(&region.genesis, NOW, |policy| {
            for (coordinator, (ends, keys)) in policy.coordinators.iter_mut().zip(named) {
                ceremony::name_log(coordinator, net, ends, &keys.log, &keys.witness).expect("fresh keys are sound");
            }
        });
        let mut policy = policy.expect("the genesis is a policy");
        region.coordinators.iter().for_each(|key| crate::signed::add_signature(&mut policy, key));
        let checked = region.directory.check(&policy, NOW).expect("the next policy is sound").expect("new");
        region.directory.insert(checked);
        region.records.insert(0, policy);
        region
    }

    /// A page of the directory log of member `of` that holds these entries: those from `first` to `until`, under a head
    /// over all of them, cosigned at `time` by `witnesses`.
    #[must_use]
    pub fn log_page(
        &self,
        of: usize,
        entries: &[Vec<u8>],
        (first, until): (usize, usize),
        (witnesses, time): (&[usize], u64),
    ) -> DirectoryLogReply {
        let keeper = &self.members[of];
        let leaves: Vec<[u8; 32]> = entries.iter().map(|entry| crate::merkle::leaf(entry)).collect();
        let origin = crate::directory::logs::origin(self.net, keeper.org, keeper.node);
        let head = Checkpoint { origin, size: leaves.len() as u64, root: crate::merkle::root(&leaves) };
        let mut note = head.sign(&keeper.log()).expect("a sound name");
        for witness in witnesses {
            let m = &self.members[*witness];
            let name = crate::audit::witness_name(self.net, m.org, m.node);
            note.cosign(&name, &m.witness(), time).expect("a sound name");
        }
        let Ok(path) = consistency(&Levels::over(leaves), until as u64, head.size);
        DirectoryLogReply {
            head: note.to_string().into_bytes(),
            entries: entries[first..until].to_vec(),
            path: path.into_iter().map(Vec::from).collect(),
            leaves: Vec::new(),
        }
    }

    /// Shows everybody all records: every coordinator's log is followed to a head that the others cosigned at `time`.
    pub fn publish_all(&mut self, time: u64) {
        for of in 0..self.coordinators.len() {
            let node = self.members[of].node;
            let fresh = self.directory.to_enter(node);
            let entries: Vec<Vec<u8>> = fresh.into_iter().map(prost::Message::encode_to_vec).collect();
            let others: Vec<usize> = (0..self.coordinators.len()).filter(|n| *n != of).collect();
            for first in (0..entries.len()).step_by(LOG_PAGE_ENTRIES_MAX) {
                let until = (first + LOG_PAGE_ENTRIES_MAX).min(entries.len());
                let page = self.log_page(of, &entries, (first, until), (&others, time));
                let page = self.directory.check_page(node, &page, time).expect("a sound page");
                self.directory.follow(&page);
            }
        }
    }

    fn founded(seed: u64, members: usize, coordinating: usize, kind: NetworkKind) -> Self {
        let k = Thresholds { accredit: 3, revoke: 2, root: 3, f: 0 };
        Self::council(seed, members, (&["RO", "RO", "IT"], k), coordinating, kind)
    }

    fn council(
        seed: u64,
        members: usize,
        (countries, k): (&[&str], Thresholds),
        coordinating: usize,
        kind: NetworkKind,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let coordinators: Vec<SigningKey> = countries.iter().map(|_| SigningKey::generate(&mut rng).0).collect();
        let founders: Vec<Founder<'_>> = coordinators
            .iter()
            .zip(countries.iter().copied())
            .zip(1u8..)
            .map(|((key, country), n)| Founder { id: [n; 16], country, key, node: NodeId([0; 16]) })
            .collect();
        let (genesis, net) = ceremony::genesis(kind, "fixture", &founders, k, NOW);
        let mut directory = Directory::found(&genesis, None).expect("the genesis is sound");
        let mut records = Vec::new();
        let mut all = Vec::new();
        for n in 0..members {
            let member = member(net, &mut rng);
            let roles: &[&str] = if n < coordinating { &["Coordinator"] } else { &["Destination", "Origin"] };
            let mut of_it = records_of(net, &member, n, roles, &coordinators);
            if kind == NetworkKind::Live {
                // Nobody joins a live network without two that vouch for it: here its founders.
                of_it[0] = sponsored(&of_it[0], &founders, &coordinators);
            }
            records.extend(of_it);
            all.push(member);
        }
        for record in &records {
            let checked = directory.check(record, NOW).expect("a fixture record is sound").expect("new");
            directory.insert(checked);
        }
        for member in &all {
            for (week, secret) in &member.prekeys {
                let public = secret.public().expect("a fresh prekey is sound");
                let checked = directory.check_prekey(*week, public.as_bytes()).expect("listed").expect("new");
                directory.insert(checked);
            }
        }
        Self { net, genesis, coordinators, members: all, records, directory, rng }
    }
}

/// The same first record with the first two founders as sponsors, signed anew.
fn sponsored(record: &Signed, founders: &[Founder<'_>], coordinators: &[SigningKey]) -> Signed {
    let mut org = OrgRecord::decode(record.payload.as_slice()).expect("just made");
    org.sponsors = founders.iter().take(SPONSORS).map(|founder| founder.id.to_vec()).collect();
    let mut signed = Signed { payload: org.encode_to_vec(), signatures: vec![], ..record.clone() };
    coordinators.iter().for_each(|key| crate::signed::add_signature(&mut signed, key));
    signed
}

fn member(net: Net, rng: &mut ChaCha20Rng) -> Member {
    let mut id = || {
        let mut bytes = [0u8; 16];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    let org = OrgId(id());
    let (node, mailbox) = (NodeId::of(net, org, id()), MailboxId(id()));
    let mut tls_seed = [0u8; 32];
    rng.fill_bytes(&mut tls_seed);
    let weeks = crate::prekeys::published(NOW);
    Member {
        org,
        node,
        mailbox,
        root: SigningKey::generate(rng).0,
        sign: SigningKey::generate(rng).0,
        tls_seed,
        prekeys: weeks.map(|w| (w, PrekeySecret::generate(rng))).collect(),
    }
}

/// The three records that bring one member in.
#[must_use]
pub fn member_records(net: Net, m: &Member, n: usize, coordinators: &[SigningKey]) -> [Signed; 3] {
    records_of(net, m, n, &["Destination", "Origin"], coordinators)
}

fn records_of(net: Net, m: &Member, n: usize, roles: &[&str], coordinators: &[SigningKey]) -> [Signed; 3] {
    let label = format!("Member {n}");
    let country = ["IT", "MD", "RS", "AL"][n % 4];
    let application =
        Application { org: m.org, label: &label, country, roles, competences: &["Shelter"], root_pk: m.root.public() };
    let keys: Vec<&SigningKey> = coordinators.iter().collect();
    let tls = SigningKey::from_seed(&m.tls_seed).public();
    let prekeys: Vec<(u64, Prekey)> =
        m.prekeys.iter().map(|(w, s)| (*w, s.public().expect("a fresh prekey is sound"))).collect();
    let presence = Presence {
        node: m.node,
        tls_pks: &[tls],
        mailboxes: &[(m.mailbox, m.node, format!("node{n}.example.org:7443"))],
        prekeys: &prekeys,
        languages: &["ron".to_owned()],
        reads: &[2, 3, 4, 6, 9, 10, 17, 100, 101, 102, 103, 104].map(|t| (t, 1)),
        attested: &Attested { at: NOW, ..Attested::default() },
    };
    [
        ceremony::accredit(net, &application, &keys, NOW),
        ceremony::certify(net, m.org, m.node, &m.keys(), &m.root, NOW).expect("fresh keys are sound"),
        ceremony::describe(net, &presence, &m.sign, 0, NOW),
    ]
}
