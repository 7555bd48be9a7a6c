//! Both ends of a fetch over real sockets: what an owner gets, and what a caller gets that is slow, strange or without
//! end.

use super::*;
use crate::limits::lock;
use crate::listener::Listener;
use crate::relay::Polls;
use crate::rpc::client::Client;
use crate::rpc::server;
use crate::rpc::status::PeerError;
use crate::rpc::tests::Shelf;
use crate::tls::tests::{identity, pins};
use clearhouse_protocol::limits::{SLOT_LEN, SMALLEST_ENVELOPE_LEN};
use clearhouse_protocol::relay::slots::{Reader, Slot};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;

/// The mailbox of node 2.
const BOX: MailboxId = MailboxId([2; 16]);

/// A keeper with one tenant, in memory.
#[derive(Default)]
pub(in crate::rpc) struct Stock {
    waiting: Mutex<BTreeMap<Digest, Vec<u8>>>,
    polls: Arc<Polls>,
    reads: AtomicUsize,
    acked: Mutex<Vec<Digest>>,
}

impl Stock {
    fn leave(&self, n: u8, len: usize) -> Digest {
        let digest = Digest([n; 32]);
        lock(&self.waiting).insert(digest, vec![n; len]);
        self.polls.ring(BOX);
        digest
    }
}

impl Keeper for Stock {
    fn may_fetch(&self, from: NodeId, mailbox: MailboxId) -> Result<(), Refused> {
        if from.0 == mailbox.0 { Ok(()) } else { Err(Refused::UnknownMailbox) }
    }

    fn begin(&self, mailbox: MailboxId) -> Turn {
        self.polls.begin(mailbox)
    }

    async fn waiting(&self, _mailbox: MailboxId) -> Result<Vec<Digest>, Refused> {
        tokio::task::yield_now().await;
        Ok(lock(&self.waiting).keys().copied().take(FETCH_SLOTS).collect())
    }

    async fn read(&self, _mailbox: MailboxId, digest: Digest) -> Result<Option<Vec<u8>>, Refused> {
        tokio::task::yield_now().await;
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(lock(&self.waiting).get(&digest).cloned())
    }

    async fn ack(&self, _mailbox: MailboxId, digests: Vec<Digest>) -> Result<(), Refused> {
        tokio::task::yield_now().await;
        lock(&self.waiting).retain(|digest, _| !digests.contains(digest));
        lock(&self.acked).extend(digests);
        Ok(())
    }
}

struct World {
    at: std::net::SocketAddr,
    stock: Arc<Stock>,
    counters: Arc<Counters>,
    limits: Limits,
    _stop: oneshot::Sender<()>,
}

impl World {
    /// Node 1 keeps a mailbox for node 2; node 3 is accredited too.
    async fn start(limits: Limits) -> Self {
        let (stock, counters) = (Arc::<Stock>::default(), Arc::<Counters>::default());
        let pins = pins(&[2, 3]);
        let service =
            server::service(Arc::<Shelf>::default(), Arc::clone(&pins), &limits, Arc::clone(&counters), false);
        let service = service.await.unwrap();
        let service = service.keeping(Arc::clone(&stock), Arc::clone(&pins), &limits, Arc::clone(&counters));
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, &identity(1), pins, limits.clone(), Arc::clone(&counters)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listener.serve(service, async move { drop(stopped.await) }));
        Self { at, stock, counters, limits, _stop: stop }
    }

    async fn client(&self, n: u8) -> Client {
        let pins = [identity(1).public_key()];
        Client::connect(&self.at.to_string(), &pins, &identity(n), &self.limits).await.unwrap()
    }

    fn count(&self, name: &str) -> u64 {
        self.counters.read().into_iter().find(|(n, _)| *n == name).unwrap().1
    }
}

async fn all(client: &Client) -> Result<Vec<(Digest, Vec<u8>)>, PeerError> {
    let mut answer = client.fetch(BOX).await?;
    let mut all = Vec::new();
    while let Some(one) = answer.next().await? {
        all.push(one);
    }
    Ok(all)
}

fn short() -> Limits {
    Limits { fetch_hold: Duration::from_millis(300), ..Limits::HARD }
}

#[tokio::test]
async fn what_waits_comes_at_once_in_order_and_stays_until_its_owner_has_it() {
    let world = World::start(Limits::HARD).await;
    let lengths = [SMALLEST_ENVELOPE_LEN, 200_000, FRAME_MAX + 1];
    let digests: Vec<Digest> = (1u8..).zip(lengths).map(|(n, len)| world.stock.leave(n, len)).collect();
    let client = world.client(2).await;
    for _ in 0..2 {
        let got = all(&client).await.unwrap();
        let shape: Vec<_> = got.iter().map(|(digest, bytes)| (*digest, bytes.len())).collect();
        assert_eq!(shape, digests.iter().copied().zip(lengths).collect::<Vec<_>>());
    }
    client.ack(BOX, &digests[..2]).await.unwrap();
    client.ack(BOX, &digests[..2]).await.unwrap();
    assert_eq!(all(&client).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_open_fetch_is_answered_when_something_is_left_and_with_dummies_when_nothing_is() {
    let world = World::start(short()).await;
    let client = world.client(2).await;
    let began = Instant::now();
    assert!(all(&client).await.unwrap().is_empty());
    assert!(began.elapsed() >= world.limits.fetch_hold, "it waited");
    let patient = World::start(Limits::HARD).await;
    let client = patient.client(2).await;
    let (got, ()) = tokio::join!(all(&client), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        patient.stock.leave(7, 100);
    });
    assert_eq!(got.unwrap().len(), 1);
}

// Attack 37: whether there was something or not, an answer has the same number of slots of the same length.
#[tokio::test]
async fn attack_37_an_answer_has_as_many_bytes_with_a_small_envelope_as_without() {
    let world = World::start(short()).await;
    let client = world.client(2).await;
    let mut bytes = Vec::new();
    for filled in [0, 1, 3] {
        for n in 0..filled {
            world.stock.leave(n + 1, SMALLEST_ENVELOPE_LEN);
        }
        let mut stub = super::super::stubs::mailboxes_client::MailboxesClient::new(client.channel.clone());
        let stream = stub.fetch(FetchRequest { mailbox: BOX.to_vec() }).await.unwrap().into_inner();
        let frames: Vec<FetchFrame> = stream.map(|frame| frame.unwrap()).collect().await;
        let lens: Vec<usize> = frames.iter().map(prost::Message::encoded_len).collect();
        bytes.push(lens);
        let mut reader = Reader::default();
        let filled_slots =
            frames.into_iter().filter(|f| matches!(reader.take(f.clone()), Ok(Slot::Filled(..)))).count();
        assert_eq!((filled_slots, reader.is_done()), (usize::from(filled), true));
    }
    assert!(bytes.windows(2).all(|w| w[0] == w[1]) && bytes[0].len() == FETCH_SLOTS, "{bytes:?}");
    assert!(bytes[0][0] > SLOT_LEN);
}

#[tokio::test]
async fn only_the_owner_of_a_mailbox_fetches_from_it_or_lets_go_of_what_is_in_it() {
    let world = World::start(short()).await;
    world.stock.leave(1, 100);
    let other = world.client(3).await;
    let refused = Some(PeerError::Refused(Refused::UnknownMailbox));
    assert_eq!(all(&other).await.err(), refused);
    assert_eq!(other.ack(BOX, &[Digest([1; 32])]).await.err(), refused);
    assert!(lock(&world.stock.acked).is_empty());
    let owner = world.client(2).await;
    for wrong in [vec![], vec![Digest([1; 32]); FETCH_SLOTS + 1]] {
        assert_eq!(owner.ack(BOX, &wrong).await.err(), Some(PeerError::Refused(Refused::Malformed)));
    }
}

#[tokio::test]
async fn a_second_fetch_ends_the_first() {
    let world = World::start(Limits::HARD).await;
    let (one, two) = (world.client(2).await, world.client(2).await);
    let first = tokio::spawn(async move { all(&one).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = tokio::spawn(async move { all(&two).await });
    let ended = tokio::time::timeout(Duration::from_secs(5), first).await.unwrap().unwrap();
    assert_eq!(ended.err(), Some(PeerError::Refused(Refused::Busy)));
    world.stock.leave(1, 100);
    assert_eq!(second.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_caller_that_does_not_take_its_answer_loses_its_line_and_holds_one_envelope_at_most() {
    let limits = Limits {
        deposit_grace: Duration::from_millis(300),
        deposit_pace: 1 << 30,
        // The window of a caller that reads nothing is full after a frame or two.
        ..Limits::HARD
    };
    let world = World::start(limits).await;
    for n in 1..=8 {
        world.stock.leave(n, 8 << 20);
    }
    let client = world.client(2).await;
    let mut stub = super::super::stubs::mailboxes_client::MailboxesClient::new(client.channel.clone());
    let unread = stub.fetch(FetchRequest { mailbox: BOX.to_vec() }).await.unwrap().into_inner();
    let began = Instant::now();
    while world.count("answers_not_taken") == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "it waits for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        world.stock.reads.load(Ordering::SeqCst),
        1,
        "the second envelope is not read before the first is taken"
    );
    drop(unread);
    assert!(client.fetch(BOX).await.is_err(), "the line is gone");
    assert!(world.client(2).await.fetch(BOX).await.is_ok(), "another is welcome");
}

#[tokio::test]
async fn an_impatient_caller_that_reads_nothing_holds_one_envelope_and_not_one_for_each_call() {
    let world = World::start(Limits::HARD).await;
    world.stock.leave(1, 8 << 20);
    let client = world.client(2).await;
    let base = Arc::strong_count(&world.stock);
    let mut stub = super::super::stubs::mailboxes_client::MailboxesClient::new(client.channel.clone());
    let mut unread = Vec::new();
    for _ in 0..10 {
        unread.push(stub.fetch(FetchRequest { mailbox: BOX.to_vec() }).await.unwrap().into_inner());
    }
    let began = Instant::now();
    while Arc::strong_count(&world.stock) > base + 1 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{} answers are made",
            Arc::strong_count(&world.stock) - base
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.count("answers_not_taken"), 0, "long before their time was over");
}

/// A keeper that answers with frames of its own choice.
async fn lying(
    frames: impl Fn() -> Vec<FetchFrame> + Send + Sync + 'static,
) -> Result<Vec<(Digest, Vec<u8>)>, PeerError> {
    struct Liar<F>(F);
    #[tonic::async_trait]
    impl<F: Fn() -> Vec<FetchFrame> + Send + Sync + 'static> Mailboxes for Liar<F> {
        type FetchStream = ReceiverStream<Result<FetchFrame, Status>>;
        async fn fetch(&self, _: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
            let (tx, rx) = mpsc::channel(1);
            let frames = (self.0)();
            tokio::spawn(async move {
                for frame in frames.iter().cycle() {
                    if tx.send(Ok(frame.clone())).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Response::new(ReceiverStream::new(rx)))
        }
        async fn ack(&self, _: Request<AckRequest>) -> Result<Response<AckReply>, Status> {
            Ok(Response::new(AckReply {}))
        }
    }
    let (counters, limits, pins) = (Arc::<Counters>::default(), Limits::HARD, pins(&[2]));
    let service = server::service(Arc::<Shelf>::default(), Arc::clone(&pins), &limits, Arc::clone(&counters), false);
    let service = service.await.unwrap();
    let service = Service { routes: service.routes.add_service(MailboxesServer::new(Liar(frames))), ..service };
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(any, &identity(1), pins, limits.clone(), counters).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(listener.serve(service, std::future::pending()));
    let client = Client::connect(&at.to_string(), &[identity(1).public_key()], &identity(2), &limits).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), all(&client)).await.expect("an answer without end is read for ever")
}

#[tokio::test]
async fn an_answer_without_end_is_read_no_further_than_its_slots() {
    let endless = lying(|| vec![dummy()]).await;
    assert_eq!(endless.err(), Some(PeerError::Protocol));
    let one_envelope = lying(|| vec![FetchFrame { data: vec![1; FRAME_MAX], ..FetchFrame::default() }]).await;
    assert_eq!(one_envelope.err(), Some(PeerError::Protocol));
}
