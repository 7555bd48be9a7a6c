//! A node among peers that lie, over real sockets: each lie is bounded and named, who lies is passed over, and what the
//! others know comes all the same.

use std::net::SocketAddr;

use clearhouse_protocol::ceremony::{Attested, Presence, attest, describe};
use clearhouse_protocol::clocks::Reading;
use clearhouse_protocol::directory::buckets::{Item, bucket_of};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::OrgId;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::{BUCKET_ITEMS_MAX, DAY, HOUR};
use clearhouse_store::MemoryStore;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::*;
use crate::clock::JudgedClock;
use crate::limits::{Counters, Limits};
use crate::listener::Listener;
use crate::rpc::server::service;
use crate::rpc::stubs::sync_server::{Sync as Sync_, SyncServer};
use crate::rpc::tests::Shelf;
use crate::tls::Identity;

const ME: usize = 0;
const LIAR: usize = 1;
const HONEST: usize = 2;
/// About whom there is news.
const SUBJECT: usize = 3;

struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// None.
    No,
    /// None; it has not heard of the caller, and what it is told changes its own lists.
    Hears,
    /// Digests of another length.
    ShortDigests,
    /// A bucket without end, in full pages.
    Endless,
    /// A bucket without end, an item a page.
    Dripping,
    /// Every digest is another than that of what it lists.
    OtherLists,
    /// Lists newer descriptors and has none.
    Hollow,
    /// Lists a newer descriptor and gives one by a key of its own.
    Forged,
    /// Does not answer.
    Silent,
}

struct Peer {
    lie: Lie,
    directory: Arc<Directory>,
    buckets: Buckets,
    forged: wire::Signed,
    subject: NodeId,
}

/// An item that nobody holds, in the bucket of the subject.
fn made_up(bucket: u8, from: u128) -> Item {
    let node = (from..).map(|n| NodeId(n.to_be_bytes())).find(|node| bucket_of(*node) == bucket).unwrap();
    Item { node, org: OrgId([1; 16]), serial: NOW / HOUR, hash: [0; 32] }
}

fn shown(item: &Item) -> wire::BucketItem {
    let Item { node, org, serial, hash } = item.clone();
    wire::BucketItem { node: node.to_vec(), org: org.to_vec(), serial, sha256: hash.to_vec() }
}

impl Peer {
    /// The item by which it lies about the subject.
    fn newer(&self) -> Item {
        let org = self.directory.org_of(self.subject).unwrap();
        Item { node: self.subject, org, serial: NOW / HOUR + 2, hash: [9; 32] }
    }
}

#[tonic::async_trait]
impl Sync_ for Peer {
    async fn digests(&self, request: Request<wire::DigestsRequest>) -> Result<Response<wire::DigestsReply>, Status> {
        let unheard = self.lie == Lie::Hears && request.get_ref().own.is_none();
        let mut digests = self.buckets.digests().to_vec();
        let at = usize::from(bucket_of(self.subject)) * 32;
        match self.lie {
            Lie::No => {}
            Lie::Hears if !unheard => {}
            Lie::Hears => digests[at] ^= 1,
            Lie::ShortDigests => digests.truncate(8000),
            Lie::Endless | Lie::Dripping => digests[at] ^= 1,
            Lie::OtherLists => digests.iter_mut().for_each(|byte| *byte ^= 1),
            Lie::Hollow | Lie::Forged => {
                let told = clearhouse_protocol::directory::buckets::digest(&[self.newer()]);
                digests[at..at + 32].copy_from_slice(&told);
            }
            Lie::Silent => std::future::pending().await,
        }
        let common = self.buckets.common().to_vec();
        Ok(Response::new(wire::DigestsReply { digests, heads: vec![], now: NOW + 3 * DAY, common, unheard }))
    }

    async fn bucket(&self, request: Request<wire::BucketRequest>) -> Result<Response<wire::BucketReply>, Status> {
        let asked = request.get_ref();
        let bucket = u8::try_from(asked.bucket).unwrap();
        let after = asked.after.as_slice().try_into().map_or(0, u128::from_be_bytes);
        let page = match self.lie {
            Lie::Endless | Lie::Dripping => {
                let mut page = wire::BucketReply::default();
                let mut from = after + 1;
                for _ in 0..if self.lie == Lie::Endless { 700 } else { 1 } {
                    let item = made_up(bucket, from);
                    from = u128::from_be_bytes(item.node.0) + 1;
                    page.items.push(shown(&item));
                }
                page.next = page.items.last().unwrap().node.clone();
                page
            }
            Lie::Hollow | Lie::Forged if bucket == bucket_of(self.subject) => {
                wire::BucketReply { items: vec![shown(&self.newer())], next: vec![] }
            }
            Lie::No | Lie::Hears | Lie::ShortDigests | Lie::OtherLists | Lie::Hollow | Lie::Forged | Lie::Silent => {
                self.buckets.page(bucket, asked.after.as_slice().try_into().ok())
            }
        };
        Ok(Response::new(page))
    }

    async fn descriptors(
        &self,
        request: Request<wire::DescriptorsRequest>,
    ) -> Result<Response<wire::RecordBundle>, Status> {
        let nodes: Vec<NodeId> = request.get_ref().nodes.iter().map(|n| n.as_slice().try_into().unwrap()).collect();
        Ok(Response::new(match self.lie {
            Lie::Hollow => wire::RecordBundle::default(),
            Lie::Forged => {
                wire::RecordBundle { records: vec![self.forged.clone()], prekeys: vec![], published: vec![] }
            }
            Lie::No | Lie::Hears | Lie::ShortDigests | Lie::Endless | Lie::Dripping | Lie::OtherLists | Lie::Silent => {
                Buckets::descriptors(&self.directory, &nodes)
            }
        }))
    }

    async fn prekeys(&self, request: Request<wire::PrekeysRequest>) -> Result<Response<wire::PrekeysReply>, Status> {
        let asked = request.get_ref();
        Ok(Response::new(self.buckets.group(&self.directory, asked.week, asked.group)))
    }
}

fn limits() -> Limits {
    Limits { call: Duration::from_millis(700), ..Limits::HARD }
}

/// Serves a peer as this member's node.
async fn serve(region: &Region, member: usize) -> (Listener, SocketAddr) {
    let keys: Vec<_> = region.members.iter().map(|m| (SigningKey::from_seed(&m.tls_seed).public(), m.node)).collect();
    let pins = Arc::new(move |pk: &[u8; 32]| keys.iter().find(|(k, _)| k == pk).map(|(_, node)| *node));
    let identity = Identity::from_seed(&Zeroizing::new(region.members[member].tls_seed)).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(any, &identity, pins, Limits::HARD, Arc::default()).await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

async fn answer(listener: Listener, peer: Peer) {
    let none: Arc<dyn crate::tls::Pins> = Arc::new(|_: &[u8; 32]| None);
    let counters = Arc::<Counters>::default();
    let mut around = service(Arc::<Shelf>::default(), none, &Limits::HARD, counters, false).await.unwrap();
    around.routes = Routes::new(SyncServer::new(peer));
    tokio::spawn(async move { listener.serve(around, std::future::pending()).await });
}

fn take(directory: &mut Directory, record: &wire::Signed) {
    let checked = directory.check(record, NOW).unwrap().unwrap();
    directory.insert(checked);
}

/// This node, with a liar and an honest node as its only peers that can be reached; the honest one has news.
struct Scene {
    puller: Puller<MemoryStore>,
    region: Region,
}

impl Scene {
    async fn with(lie: Lie) -> Self {
        let mut region = Region::new(11, 4);
        let mut directory = region.directory.clone();
        let mut listeners = Vec::new();
        for n in [LIAR, HONEST] {
            let (listener, at) = serve(&region, n).await;
            listeners.push(listener);
            let member = &region.members[n];
            let prekeys: Vec<_> = member.prekeys.iter().map(|(w, s)| (*w, s.public().unwrap())).collect();
            let presence = Presence {
                node: member.node,
                tls_pks: &[SigningKey::from_seed(&member.tls_seed).public()],
                mailboxes: &[(member.mailbox, member.node, at.to_string())],
                prekeys: &prekeys,
                languages: &[],
                reads: &[],
                attested: &Attested::default(),
            };
            take(&mut directory, &describe(region.net, &presence, &member.sign, NOW / HOUR, NOW));
        }
        let subject = &region.members[SUBJECT];
        let held = directory.descriptor(subject.node).unwrap();
        let forged = SigningKey::generate(&mut region.rng).0;
        let forged = attest(held, &Attested::default(), &forged, NOW + 2 * HOUR);
        let mut newer = directory.clone();
        take(&mut newer, &attest(held, &Attested::default(), &subject.sign, NOW + HOUR));
        let subject = subject.node;
        for (listener, (lie, directory)) in
            listeners.into_iter().zip([(lie, directory.clone()), (Lie::No, newer.clone())])
        {
            let (buckets, directory) = (Buckets::of(&directory), Arc::new(directory));
            answer(listener, Peer { lie, directory, buckets, forged: forged.clone(), subject }).await;
        }
        let member = &region.members[ME];
        let owner = crate::fixture::owner(&region, ME, directory, Arc::new(At(NOW)));
        let identity = Identity::from_seed(&Zeroizing::new(member.tls_seed)).unwrap();
        let pool = Arc::new(Pool::new(identity, limits()));
        let clock = JudgedClock::over(|| Reading { wall: NOW, up: 9 }, NOW, NOW);
        let puller = Puller::new(owner, pool, Arc::new(clock), member.node, Arc::default());
        Self { puller, region }
    }

    fn serial(&self) -> u64 {
        self.puller.directory().descriptor(self.region.members[SUBJECT].node).unwrap().serial - NOW / HOUR
    }

    fn has_passed_over_the_liar(&self) -> bool {
        let mut memory = lock(&self.puller.memory);
        memory.standings.begin();
        memory.standings.is_passed_over(self.region.members[LIAR].node)
    }
}

/// What a round says of the liar, when everybody is asked; and that the honest one's news came.
async fn told_of(lie: Lie) -> Brought {
    let scene = Scene::with(lie).await;
    // The member without an address of its own here is tried too, and fails.
    let brought = scene.puller.round(Reach::WIDE).await.unwrap();
    assert_eq!(scene.serial(), 1, "{lie:?}: the news of the honest node");
    let liar = scene.region.members[LIAR].node;
    assert!(brought.faults.iter().all(|(node, _)| *node == liar), "{lie:?}");
    assert!(matches!(lie, Lie::No | Lie::Hears) || scene.has_passed_over_the_liar(), "{lie:?}");
    let again = scene.puller.round(Reach::WIDE).await.unwrap();
    assert_eq!((again.intake.new, scene.serial()), (0, 1));
    brought
}

async fn fault_of(lie: Lie) -> Option<SyncFault> {
    told_of(lie).await.faults.first().map(|(_, fault)| *fault)
}

#[tokio::test]
async fn attack_42_each_lie_is_bounded_and_named_and_the_others_news_comes() {
    assert_eq!(fault_of(Lie::No).await, None);
    assert_eq!(fault_of(Lie::Hears).await, None, "its first lists are over what it did not know yet");
    assert_eq!(fault_of(Lie::ShortDigests).await, Some(SyncFault::Digests));
    assert_eq!(fault_of(Lie::Endless).await, Some(SyncFault::TooManyItems));
    assert_eq!(fault_of(Lie::Dripping).await, Some(SyncFault::TooManyPages));
    assert_eq!(fault_of(Lie::OtherLists).await, Some(SyncFault::OtherList));
    assert_eq!(fault_of(Lie::Hollow).await, Some(SyncFault::Hollow));
    const { assert!(BUCKET_ITEMS_MAX < 1_000_000) };
}

#[tokio::test]
async fn attack_42_a_forged_descriptor_is_refused_and_its_bringer_passed_over() {
    let brought = told_of(Lie::Forged).await;
    assert_eq!(brought.faults.first().map(|(_, fault)| *fault), Some(SyncFault::Hollow));
    assert!(brought.intake.refused.len() == 1 && brought.intake.new > 0, "{}", brought.intake.refused.len());
}

#[tokio::test]
async fn a_peer_that_does_not_answer_costs_one_call_and_no_news() {
    let began = std::time::Instant::now();
    let brought = told_of(Lie::Silent).await;
    assert!(brought.faults.is_empty() && brought.unreachable >= 1);
    assert!(began.elapsed() < SESSION_TIME);
}

#[tokio::test]
async fn attack_38_a_clock_three_days_behind_is_told_by_what_others_say() {
    let scene = Scene::with(Lie::No).await;
    assert_eq!(scene.puller.clock.off(), None);
    scene.puller.round(Reach::WIDE).await.unwrap();
    let off = scene.puller.clock.off().unwrap();
    assert_eq!((off.ahead, off.nodes), (-259_200, 2));
}

#[tokio::test]
async fn a_round_against_peers_in_step_is_one_question_each() {
    let scene = Scene::with(Lie::No).await;
    scene.puller.round(Reach::WIDE).await.unwrap();
    let events = async || scene.puller.owner.look(|world| world.office.event_count()).await.unwrap();
    let before = events().await;
    assert!(before > 0, "that the directory changed is an entry");
    for _ in 0..3 {
        scene.puller.round(Reach::ROUTINE).await.unwrap();
    }
    assert_eq!(events().await, before, "nothing new is nothing to record");
    let told = scene.puller.teller.of(&scene.puller.directory(), NOW);
    let again = scene.puller.teller.of(&scene.puller.directory(), NOW + 1);
    assert!(Arc::ptr_eq(&told.buckets, &again.buckets), "a directory is looked through once for each of its states");
}
