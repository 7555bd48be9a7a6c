//! Both ends over real sockets and real TLS on 127.0.0.1: what a peer may do, and what it gets for anything else.

use super::client::{Address, Client, Pool};
use super::server::{self, Door, Health};
use super::status::{PeerError, Refused, TlsFault};
use crate::limits::{Counters, Limits, lock};
use crate::listener::{Listener, Places};
use crate::tls::Pins;
use crate::tls::tests::{identity, pins};
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::limits::{ENVELOPE_MAX, ERROR_TEXT_MAX, FRAME_MAX, UNARY_MAX};
use clearhouse_wire::v1::{
    AddCheckpointReply, AddCheckpointRequest, DepositFrame, DepositReply, DirectoryLogReply, DirectoryLogRequest,
    MailboxState, OutcomeReply, OwnLogReply, RecordBundle, Signed,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

pub(crate) const MAILBOX: MailboxId = MailboxId([1; 16]);
const NO_MAILBOX: MailboxId = MailboxId([0xff; 16]);
const GOOD: Digest = Digest([2; 32]);
const BAD_INSIDE: Digest = Digest([0xdd; 32]);
const PANICS: Digest = Digest([0xee; 32]);
const HANGS: Digest = Digest([0xaa; 32]);
const HUGE_ORG: OrgId = OrgId([9; 16]);

/// A door that remembers what came through it, and misbehaves for some names.
#[derive(Default)]
pub(crate) struct Shelf {
    stored: Mutex<Vec<(NodeId, Digest, Vec<u8>)>>,
    asked: AtomicUsize,
}

impl Door for Shelf {
    fn deposit_allowed(&self, _from: NodeId, mailbox: MailboxId, _total_len: u64) -> Result<(), Refused> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if mailbox == NO_MAILBOX { Err(Refused::UnknownMailbox) } else { Ok(()) }
    }

    async fn deposit(
        &self,
        from: NodeId,
        _mailbox: MailboxId,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<DepositReply, Refused> {
        tokio::task::yield_now().await;
        assert!(digest != PANICS, "planted");
        if digest == BAD_INSIDE {
            return Err(Refused::Malformed);
        }
        lock(&self.stored).push((from, digest, bytes));
        Ok(DepositReply { receipt: None, locked: true })
    }

    async fn outcome(&self, _from: NodeId, digest: Digest) -> Result<OutcomeReply, Refused> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if digest == HANGS {
            std::future::pending::<()>().await;
        }
        Ok(OutcomeReply { state: MailboxState::Stored.into(), not_opened: None, expired: None })
    }

    async fn records(&self, _from: NodeId, org: Option<OrgId>) -> Result<RecordBundle, Refused> {
        let len = if org == Some(HUGE_ORG) { 2 << 20 } else { 100 };
        let record = Signed { payload_type: "t".into(), payload: vec![0; len], signatures: vec![] };
        Ok(RecordBundle { records: vec![record], prekeys: vec![], published: vec![] })
    }

    async fn add_checkpoint(&self, _from: NodeId, asked: AddCheckpointRequest) -> Result<AddCheckpointReply, Refused> {
        Ok(AddCheckpointReply { status: 200, note: asked.request, size: asked.first, mirrored: 0 })
    }

    async fn own_log(&self, _from: NodeId, first: u64) -> Result<OwnLogReply, Refused> {
        let commitments = vec![0; usize::try_from(first).unwrap()];
        Ok(OwnLogReply { commitments, ..OwnLogReply::default() })
    }

    async fn directory_log(
        &self,
        _from: NodeId,
        _node: NodeId,
        asked: DirectoryLogRequest,
    ) -> Result<DirectoryLogReply, Refused> {
        let count = usize::try_from(asked.first).unwrap();
        Ok(DirectoryLogReply { entries: vec![vec![0; 1000]; count], ..Default::default() })
    }

    async fn tell_equivocation(&self, _from: NodeId, proof: Vec<u8>) -> Result<(), Refused> {
        if proof == b"two histories" { Ok(()) } else { Err(Refused::Malformed) }
    }
}

/// A node that listens as identity 1 for nodes 2 and 3.
pub(crate) struct World {
    pub(crate) at: SocketAddr,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) places: Arc<Places>,
    pub(crate) limits: Limits,
    revoked: Arc<AtomicBool>,
    health: Health,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::with_reflection(limits, false).await
    }

    async fn with_reflection(limits: Limits, reflection: bool) -> Self {
        Self::knowing(&[2, 3], limits, reflection).await
    }

    /// One that knows others than the usual two.
    pub(crate) async fn knowing(nodes: &[u8], limits: Limits, reflection: bool) -> Self {
        let (shelf, counters, revoked) = (Arc::<Shelf>::default(), Arc::<Counters>::default(), Arc::default());
        let all = pins(nodes);
        let seen: Arc<AtomicBool> = Arc::clone(&revoked);
        let pins: Arc<dyn Pins> = Arc::new(move |pk: &[u8; 32]| all.peer(pk).filter(|_| !seen.load(Ordering::SeqCst)));
        let service =
            server::service(Arc::clone(&shelf), Arc::clone(&pins), &limits, Arc::clone(&counters), reflection)
                .await
                .unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, &identity(1), pins, limits.clone(), Arc::clone(&counters)).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (at, places, health) = (listener.local_addr().unwrap(), listener.places(), service.health.clone());
        let served = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            listener.serve(service, stopped).await.unwrap();
        });
        Self { at, shelf, counters, places, limits, revoked, health, stop: Some(stop), served }
    }

    pub(crate) async fn client(&self, n: u8) -> Result<Client, PeerError> {
        self.client_within(n, &self.limits).await
    }

    /// A client with limits of its own.
    async fn client_within(&self, n: u8, limits: &Limits) -> Result<Client, PeerError> {
        Client::connect(&self.at.to_string(), &[identity(1).public_key()], &identity(n), limits).await
    }

    /// A deposit of `frames` as they are; the status that came back.
    async fn deposit_raw(&self, frames: Vec<DepositFrame>) -> Status {
        let client = self.client(2).await.unwrap();
        client.stub().deposit(tokio_stream::iter(frames)).await.err().unwrap()
    }

    fn count(&self, name: &str) -> u64 {
        self.counters.read().into_iter().find(|(n, _)| *n == name).unwrap().1
    }
}

fn first(total_len: usize, data: usize) -> DepositFrame {
    DepositFrame { mailbox: MAILBOX.to_vec(), digest: GOOD.to_vec(), total_len: total_len as u64, data: vec![5; data] }
}

fn more(data: usize) -> DepositFrame {
    DepositFrame { data: vec![5; data], ..DepositFrame::default() }
}

/// Everything a peer can see of a status.
fn seen(status: &Status) -> (Code, String, Vec<u8>, Vec<String>) {
    let mut names: Vec<_> = status.metadata().as_ref().keys().map(|k| k.as_str().to_owned()).collect();
    names.sort();
    (status.code(), status.message().to_owned(), status.details().to_vec(), names)
}

#[tokio::test]
async fn a_deposit_arrives_whole_with_the_name_of_who_sent_it() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    for len in [1, FRAME_MAX, 5 * FRAME_MAX + 17] {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
        let reply = client.deposit(MAILBOX, GOOD, bytes.clone()).await.unwrap();
        assert!(reply.locked);
        let (from, digest, stored) = lock(&world.shelf.stored).pop().unwrap();
        assert!((from, digest) == (NodeId([2; 16]), GOOD) && stored == bytes);
    }
}

#[tokio::test]
async fn the_largest_envelope_passes_and_one_byte_more_is_refused_before_it_is_sent() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    assert!(client.deposit(MAILBOX, GOOD, vec![1; ENVELOPE_MAX]).await.is_ok());
    let refused = client.deposit(MAILBOX, GOOD, vec![1; ENVELOPE_MAX + 1]).await.err().unwrap();
    assert_eq!(refused, PeerError::Refused(Refused::TooLarge));
    assert!(client.is_usable(), "a refusal does not end the line");
    assert_eq!(lock(&world.shelf.stored).len(), 1);
}

#[tokio::test]
async fn outcome_and_records_answer_and_a_bundle_too_large_for_an_answer_is_our_error() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    assert_eq!(client.outcome(GOOD).await.unwrap().state, i32::from(MailboxState::Stored));
    assert_eq!(client.records(None).await.unwrap().records.len(), 1);
    assert_eq!(client.records(Some(OrgId([1; 16]))).await.unwrap().records.len(), 1);
    let refused = client.records(Some(HUGE_ORG)).await.err();
    assert_eq!(refused, Some(PeerError::Refused(Refused::Broken)));
}

#[tokio::test]
async fn a_page_of_a_log_that_is_full_of_erasures_is_read() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    for bytes in [300 << 10, UNARY_MAX as u64 - 16] {
        assert_eq!(client.own_log(bytes).await.unwrap().commitments.len() as u64, bytes);
    }
    assert!(client.own_log(UNARY_MAX as u64).await.is_err(), "it has its limit");
}

#[tokio::test]
async fn a_refusal_of_the_door_arrives_as_what_it_is() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    let refused = client.deposit(NO_MAILBOX, GOOD, vec![1; 10]).await.err();
    assert_eq!(refused, Some(PeerError::Refused(Refused::UnknownMailbox)));
    let refused = client.deposit(MAILBOX, BAD_INSIDE, vec![1; 10]).await.err();
    assert_eq!(refused, Some(PeerError::Refused(Refused::Malformed)));
}

// Attack 43, at the frames; the inside of envelopes is one refusal of the door's.
#[tokio::test]
async fn attack_43_different_malformations_get_the_same_bytes() {
    let world = World::start(Limits::HARD).await;
    let wrong = |change: fn(&mut DepositFrame)| {
        let mut frame = first(10, 10);
        change(&mut frame);
        vec![frame]
    };
    let inside = DepositFrame { digest: BAD_INSIDE.to_vec(), ..first(10, 10) };
    let calls = vec![
        vec![],
        vec![inside],
        wrong(|f| f.mailbox = vec![1; 15]),
        wrong(|f| f.mailbox.clear()),
        wrong(|f| f.digest = vec![1; 33]),
        wrong(|f| f.total_len = 0),
        vec![first(0, 0)],
        wrong(|f| f.data.push(0)),
        vec![first(10, 9)],
        vec![first(10, 9), more(2)],
        vec![first(10, 5), more(0), more(5)],
        vec![first(10, 5), first(10, 5)],
        vec![first(10, 10), more(1)],
    ];
    let mut answers = Vec::new();
    for frames in calls {
        answers.push(seen(&world.deposit_raw(frames).await));
    }
    assert_eq!(answers[0].0, Code::InvalidArgument);
    assert!(answers.windows(2).all(|w| w[0] == w[1]), "{answers:?}");
    let client = world.client(2).await.unwrap();
    let short = clearhouse_wire::v1::OutcomeRequest { digest: vec![1; 31] };
    assert_eq!(seen(&client.stub().outcome(short).await.err().unwrap()), answers[0]);
    assert!(lock(&world.shelf.stored).is_empty());
    // Bytes that are no protobuf at all are refused by the library, in our words.
    let garbage = raw_call(&client, "/clearhouse.v1.Exchange/Outcome", &[0, 0, 0, 0, 3, 0xff, 0xff, 0xff]).await;
    assert_eq!(seen(&garbage), answers[0]);
}

#[tokio::test]
async fn an_oversized_first_frame_and_an_oversized_announcement_are_too_large() {
    let world = World::start(Limits::HARD).await;
    for frame in
        [first(2 * FRAME_MAX, FRAME_MAX + 1), first(4 << 20, 2 << 20), first(ENVELOPE_MAX + 1, 1), first(usize::MAX, 0)]
    {
        let status = world.deposit_raw(vec![frame]).await;
        assert_eq!(PeerError::of(&status), PeerError::Refused(Refused::TooLarge));
    }
    let client = world.client(2).await.unwrap();
    // A length prefix of 4 GiB costs nothing.
    let huge = raw_call(&client, "/clearhouse.v1.Exchange/Deposit", &[0, 0xff, 0xff, 0xff, 0xff, 1]).await;
    assert_eq!(PeerError::of(&huge), PeerError::Refused(Refused::TooLarge));
    assert!(lock(&world.shelf.stored).is_empty());
}

#[tokio::test]
async fn bytes_beyond_what_was_announced_are_refused_without_waiting_for_the_end() {
    let world = World::start(Limits::HARD).await;
    let (frames, open) = mpsc::channel(4);
    frames.send(first(10, 5)).await.unwrap();
    frames.send(more(FRAME_MAX)).await.unwrap();
    let mut stub = world.client(2).await.unwrap().stub();
    let refused = tokio::time::timeout(Duration::from_secs(5), stub.deposit(ReceiverStream::new(open))).await;
    assert_eq!(PeerError::of(&refused.unwrap().err().unwrap()), PeerError::Refused(Refused::Malformed));
    drop(frames);
}

#[tokio::test]
async fn more_calls_at_once_than_a_line_may_have_are_refused_and_not_queued() {
    let world = World::start(Limits { calls_per_connection: 1, ..Limits::HARD }).await;
    let client = world.client(2).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.outcome(HANGS).await.err() }
    });
    while world.shelf.asked.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = tokio::time::timeout(Duration::from_secs(5), client.outcome(GOOD)).await;
    assert_eq!(refused.unwrap().err(), Some(PeerError::Refused(Refused::Busy)));
    waiting.abort();
}

#[tokio::test]
async fn an_answer_that_was_taken_does_not_end_its_line_later() {
    let call = Duration::from_millis(200);
    let world = World::start(Limits { call, ..Limits::HARD }).await;
    let client = world.client(2).await.unwrap();
    assert!(client.outcome(GOOD).await.is_ok());
    tokio::time::sleep(3 * call).await;
    assert!(client.outcome(GOOD).await.is_ok());
    assert_eq!((world.count("answers_not_taken"), world.count("lines_opened")), (0, 1));
}

#[tokio::test]
async fn a_line_past_its_age_ends_its_calls_and_takes_no_new_ones() {
    let world = World::start(Limits { connection_age: Duration::from_millis(200), ..Limits::HARD }).await;
    let client = world.client(2).await.unwrap();
    let (frames, open) = mpsc::channel(4);
    frames.send(first(10, 5)).await.unwrap();
    let mut stub = client.stub();
    let under_way = tokio::spawn(async move { stub.deposit(ReceiverStream::new(open)).await });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.outcome(GOOD).await.err(), Some(PeerError::Protocol));
    assert!(!client.is_usable());
    frames.send(more(5)).await.unwrap();
    drop(frames);
    assert!(under_way.await.unwrap().is_ok());
}

#[tokio::test]
async fn what_is_not_offered_is_said_in_one_way() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    let paths = [
        "/clearhouse.v1.Exchange/Withdraw",
        "/clearhouse.v2.Exchange/Deposit",
        "/",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Watch",
    ];
    for path in paths {
        let status = raw_call(&client, path, &[0, 0, 0, 0, 0]).await;
        assert_eq!(PeerError::of(&status), PeerError::Refused(Refused::NotOffered), "{path}");
        assert!(status.message().len() <= ERROR_TEXT_MAX);
    }
    // Compressed input is not offered either: it could grow to anything.
    let zipped = raw_call(&client, "/clearhouse.v1.Exchange/Outcome", &[1, 0, 0, 0, 1, 0]).await;
    assert_eq!(PeerError::of(&zipped), PeerError::Refused(Refused::Malformed));
}

#[tokio::test]
async fn reflection_is_there_when_the_configuration_asks_for_it() {
    let world = World::with_reflection(Limits::HARD, true).await;
    let client = world.client(2).await.unwrap();
    for path in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        // `list_services` with an empty string: field 7.
        let answer = raw_answer(&client, path, &[0, 0, 0, 0, 2, 0x3a, 0]).await.unwrap();
        assert!(answer.windows(22).any(|w| w == b"clearhouse.v1.Exchange"), "{path}");
    }
}

#[tokio::test]
async fn health_says_what_the_node_says_of_itself() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    let mut ask = tonic_health::pb::health_client::HealthClient::new(client.channel.clone());
    for (serving, told) in [(false, 2), (true, 1), (false, 2)] {
        world.health.set(serving).await;
        for service in ["", "clearhouse.v1.Exchange"] {
            let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
            assert_eq!(ask.check(request).await.unwrap().into_inner().status, told);
        }
    }
}

#[tokio::test]
async fn a_panic_behind_the_door_ends_the_call_is_counted_and_nothing_else() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    let refused = client.deposit(MAILBOX, PANICS, vec![1; 10]).await.err();
    assert_eq!(refused, Some(PeerError::Refused(Refused::Broken)));
    assert_eq!(world.count("panics"), 1);
    assert!(client.deposit(MAILBOX, GOOD, vec![1; 10]).await.is_ok());
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_ended_and_said_so() {
    let world = World::start(Limits { call: Duration::from_millis(200), ..Limits::HARD }).await;
    let client = world.client_within(2, &Limits::HARD).await.unwrap();
    let refused = client.outcome(HANGS).await.err();
    assert_eq!(refused, Some(PeerError::Refused(Refused::TooSlow)));
    // The asking end has a clock of its own.
    let patient = World::start(Limits::HARD).await;
    let limits = Limits { call: Duration::from_millis(200), ..Limits::HARD };
    let client = patient.client_within(2, &limits).await.unwrap();
    assert_eq!(client.outcome(HANGS).await.err(), Some(PeerError::Deadline(limits.call)));
    assert!(!client.is_usable());
}

#[tokio::test]
async fn a_deposit_without_progress_is_cut_and_a_slow_one_with_progress_is_not() {
    // The time of other calls is over long before the slow deposit ends.
    let call = Duration::from_millis(300);
    let limits = Limits { deposit_grace: call, deposit_pace: 100, call, ..Limits::HARD };
    let world = World::start(limits).await;
    let client = world.client(2).await.unwrap();
    let trickle = |bytes: usize, count: usize| {
        let rest = tokio_stream::iter((0..count).map(move |_| more(bytes))).throttle(Duration::from_millis(100));
        tokio_stream::once(first(bytes * (count + 1), bytes)).chain(rest)
    };
    let began = Instant::now();
    let cut = client.stub().deposit(trickle(1, 50)).await.err().unwrap();
    assert_eq!(PeerError::of(&cut), PeerError::Refused(Refused::TooSlow));
    assert!(began.elapsed() < Duration::from_secs(3));
    // The same pauses, but each frame brings a second's worth.
    assert!(client.stub().deposit(trickle(100, 10)).await.is_ok());
}

#[tokio::test]
async fn one_nodes_deposits_share_its_room_and_leave_others_theirs() {
    let limits = Limits { in_flight_per_node: 1000, ..Limits::HARD };
    let world = World::start(limits).await;
    let (client, other) = (world.client(2).await.unwrap(), world.client(3).await.unwrap());
    let (frames, open) = mpsc::channel(1);
    frames.send(first(900, 1)).await.unwrap();
    let mut stub = client.stub();
    let first_call = tokio::spawn(async move { stub.deposit(ReceiverStream::new(open)).await });
    // Room is taken with nothing awaited in between, so on this one thread asked means taken.
    while world.shelf.asked.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = client.deposit(MAILBOX, GOOD, vec![1; 200]).await.err();
    assert_eq!(refused, Some(PeerError::Refused(Refused::Busy)));
    assert!(other.deposit(MAILBOX, GOOD, vec![1; 200]).await.is_ok());
    frames.send(more(899)).await.unwrap();
    drop(frames);
    assert!(first_call.await.unwrap().is_ok());
    assert!(client.deposit(MAILBOX, GOOD, vec![1; 200]).await.is_ok());
}

#[tokio::test]
async fn each_node_has_its_own_pace_for_each_kind_of_call() {
    let limits = Limits { deposits_per_minute: 3, outcomes_per_minute: 2, ..Limits::HARD };
    let world = World::start(limits).await;
    let (client, other) = (world.client(2).await.unwrap(), world.client(3).await.unwrap());
    for _ in 0..3 {
        assert!(client.deposit(MAILBOX, GOOD, vec![1]).await.is_ok());
    }
    let refused = Some(PeerError::Refused(Refused::TooFast));
    assert_eq!(client.deposit(MAILBOX, GOOD, vec![1]).await.err(), refused);
    assert!(client.outcome(GOOD).await.is_ok() && client.outcome(GOOD).await.is_ok());
    assert_eq!(client.outcome(GOOD).await.err(), refused);
    assert!(other.deposit(MAILBOX, GOOD, vec![1]).await.is_ok());
    // Attack 39: what was refused of deposits is counted, for whom it was refused.
    let pressed = |n| world.counters.pressing.of(NodeId([n; 16]));
    assert_eq!((pressed(2), pressed(3)), (1, 0));
}

#[tokio::test]
async fn a_revocation_ends_an_open_line_at_its_next_call() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    assert!(client.outcome(GOOD).await.is_ok());
    world.revoked.store(true, Ordering::SeqCst);
    assert!(client.outcome(GOOD).await.is_err());
    assert!(!client.is_usable());
    assert_eq!(world.client(2).await.err(), Some(PeerError::Tls(TlsFault::NotKnownThere)));
}

#[tokio::test]
async fn hanging_up_on_a_node_ends_its_calls_under_way() {
    let world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.outcome(HANGS).await.err() }
    });
    assert!(client.outcome(GOOD).await.is_ok());
    world.places.hang_up(NodeId([2; 16]));
    assert_eq!(waiting.await.unwrap(), Some(PeerError::Protocol));
}

#[tokio::test]
async fn a_stopping_node_lets_open_calls_end_and_ends_those_that_do_not() {
    let limits = Limits { drain: Duration::from_millis(300), ..Limits::HARD };
    let mut world = World::start(limits).await;
    let client = world.client(2).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.outcome(HANGS).await.err() }
    });
    assert!(client.outcome(GOOD).await.is_ok());
    let began = Instant::now();
    world.stop.take().unwrap().send(()).unwrap();
    world.served.await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(3));
    assert_eq!(waiting.await.unwrap(), Some(PeerError::Protocol));
    assert_eq!(Arc::clone(&world.places).lines(), 0);
}

#[tokio::test]
async fn what_is_called_on_a_line_that_ended_before_has_certainly_not_left() {
    let mut world = World::start(Limits::HARD).await;
    let client = world.client(2).await.unwrap();
    assert!(client.outcome(GOOD).await.is_ok());
    world.stop.take().unwrap().send(()).unwrap();
    world.served.await.unwrap();
    // Whichever call finds the end may have been under way; every later one never came to the line.
    assert!(client.outcome(GOOD).await.is_err());
    assert_eq!(client.deposit(MAILBOX, GOOD, vec![1; 10]).await.err(), Some(PeerError::Unreachable));
    assert!(!client.is_usable());
}

#[tokio::test]
async fn an_idle_line_does_not_hold_up_a_stopping_node() {
    let mut world = World::start(Limits::HARD).await;
    let _idle = world.client(2).await.unwrap();
    let began = Instant::now();
    world.stop.take().unwrap().send(()).unwrap();
    world.served.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_pool_keeps_its_line_until_it_breaks_or_the_address_changes() {
    let world = World::start(Limits::HARD).await;
    let pool = Pool::new(identity(2), Limits::HARD);
    let mut address =
        Address { node: NodeId([1; 16]), endpoint: world.at.to_string(), tls_pks: vec![identity(1).public_key()] };
    let (one, two) = tokio::join!(pool.client(&address), pool.client(&address));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(world.count("lines_opened"), 1);
    world.places.hang_up(NodeId([2; 16]));
    assert!(one.unwrap().outcome(GOOD).await.is_err());
    assert!(pool.client(&address).await.unwrap().outcome(GOOD).await.is_ok());
    assert_eq!(world.count("lines_opened"), 2);
    address.tls_pks.push(identity(4).public_key());
    assert!(pool.client(&address).await.is_ok());
    assert_eq!(world.count("lines_opened"), 3);
    pool.forget(address.node);
    assert!(pool.client(&address).await.is_ok());
    assert_eq!(world.count("lines_opened"), 4);
}

#[tokio::test]
async fn failures_to_dial_are_told_apart() {
    let world = World::start(Limits::HARD).await;
    let (me, key) = (identity(2), identity(1).public_key());
    let short = Limits {
        dial: Duration::from_millis(500),
        handshake: Duration::from_millis(200),
        preface: Duration::from_millis(100),
        ..Limits::HARD
    };
    let dial = async |endpoint: &str, key: [u8; 32]| Client::connect(endpoint, &[key], &me, &short).await.err();

    assert_eq!(dial("no-such-host.invalid:1", key).await, Some(PeerError::Name));
    assert_eq!(dial("no port at all", key).await, Some(PeerError::Name));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(dial(&closed.to_string(), key).await, Some(PeerError::Unreachable));
    let other = identity(3).public_key();
    assert_eq!(dial(&world.at.to_string(), other).await, Some(PeerError::Tls(TlsFault::OtherKey)));
    assert_eq!(world.client(9).await.err(), Some(PeerError::Tls(TlsFault::NotKnownThere)));

    let page = answering(b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome to our hotel").await;
    assert_eq!(dial(&page.to_string(), key).await, Some(PeerError::Tls(TlsFault::NotANode)));
    let silent = answering(b"").await;
    assert_eq!(dial(&silent.to_string(), key).await, Some(PeerError::Deadline(Duration::from_millis(300))));
}

/// A server that says one thing and then nothing.
async fn answering(words: &'static [u8]) -> SocketAddr {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(words).await.unwrap();
        std::future::pending::<()>().await;
    });
    at
}

/// The status of a call of raw bytes, framing included.
async fn raw_call(client: &Client, path: &str, body: &[u8]) -> Status {
    raw_answer(client, path, body).await.err().unwrap()
}

/// The first message of the answer, as bytes.
pub(super) async fn raw_answer(client: &Client, path: &str, body: &[u8]) -> Result<Vec<u8>, Status> {
    use http_body::Body as _;
    use tonic::codegen::http;
    use tower::ServiceExt;
    let request = http::Request::post(format!("http://node.invalid{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(OneFrame(Some(body.to_vec()))))
        .unwrap();
    let response = client.channel.clone().oneshot(request).await.map_err(|e| Status::unknown(e.to_string()))?;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Err(status);
    }
    let mut body = response.into_body();
    let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await.unwrap()?;
    match frame.into_data() {
        Ok(data) => Ok(data.to_vec()),
        Err(frame) => Err(Status::from_header_map(frame.trailers_ref().unwrap()).unwrap()),
    }
}

/// A request's body: these bytes and the end.
struct OneFrame(Option<Vec<u8>>);

impl http_body::Body for OneFrame {
    type Data = tonic::codegen::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Status>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
