//! Who may call what (promise P13): a row for every call that `proto/` offers, read out of the descriptor set, so that a
//! call without a row fails here, and each row tried over a real line before and after its caller was put out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use tonic::Code;

use super::client::Client;
use super::descriptor;
use super::mailboxes::tests::Stock;
use super::server;
use super::status::{PeerError, TlsFault};
use super::tests::{Shelf, raw_answer};
use crate::limits::{Counters, Limits};
use crate::listener::Listener;
use crate::tls::Pins;
use crate::tls::tests::{identity, pins};

/// Every call. Whoever is accredited and not revoked may make it; about whom or what, its own checks say.
const ROWS: [&str; 13] = [
    "/clearhouse.v1.Exchange/Deposit",
    "/clearhouse.v1.Exchange/Outcome",
    "/clearhouse.v1.Exchange/Records",
    "/clearhouse.v1.Exchange/AddCheckpoint",
    "/clearhouse.v1.Exchange/TellEquivocation",
    "/clearhouse.v1.Exchange/OwnLog",
    "/clearhouse.v1.Exchange/DirectoryLog",
    "/clearhouse.v1.Sync/Digests",
    "/clearhouse.v1.Sync/Bucket",
    "/clearhouse.v1.Sync/Descriptors",
    "/clearhouse.v1.Sync/Prekeys",
    "/clearhouse.v1.Mailboxes/Fetch",
    "/clearhouse.v1.Mailboxes/Ack",
];

fn offered() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for file in &descriptor::set().file {
        for service in &file.service {
            let path = |name: &str| format!("/{}.{}/{name}", file.package(), service.name());
            paths.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    paths
}

/// Node 1 with everything it can offer, for node 2 while that is not put out.
struct World {
    at: std::net::SocketAddr,
    out: Arc<AtomicBool>,
    counters: Arc<Counters>,
    _stop: oneshot::Sender<()>,
}

impl World {
    async fn start() -> Self {
        let (limits, counters, out) = (Limits::HARD, Arc::<Counters>::default(), Arc::<AtomicBool>::default());
        let (all, put_out) = (pins(&[2]), Arc::clone(&out));
        let pins: Arc<dyn Pins> =
            Arc::new(move |pk: &[u8; 32]| all.peer(pk).filter(|_| !put_out.load(Ordering::SeqCst)));
        let service =
            server::service(Arc::<Shelf>::default(), Arc::clone(&pins), &limits, Arc::clone(&counters), false);
        let service = service.await.unwrap();
        let service = service.keeping(Arc::<Stock>::default(), Arc::clone(&pins), &limits, Arc::clone(&counters));
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, &identity(1), pins, limits, Arc::clone(&counters)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(listener.serve(service, async move { drop(stopped.await) }));
        Self { at, out, counters, _stop: stop }
    }

    /// How many calls were refused because their caller is not accredited.
    fn refused(&self) -> u64 {
        self.counters.read().into_iter().find(|(name, _)| *name == "not_accredited").map_or(0, |(_, n)| n)
    }

    async fn client(&self, n: u8) -> Result<Client, PeerError> {
        Client::connect(&self.at.to_string(), &[identity(1).public_key()], &identity(n), &Limits::HARD).await
    }
}

#[test]
fn every_call_that_is_offered_has_a_row() {
    assert_eq!(offered(), ROWS.map(str::to_owned).into());
}

#[tokio::test]
async fn nobody_gets_past_the_handshake_who_is_not_accredited() {
    let world = World::start().await;
    assert_eq!(world.client(3).await.err(), Some(PeerError::Tls(TlsFault::NotKnownThere)));
    world.out.store(true, Ordering::SeqCst);
    assert_eq!(world.client(2).await.err(), Some(PeerError::Tls(TlsFault::NotKnownThere)));
}

#[tokio::test]
async fn attack_25_who_is_put_out_is_refused_at_every_call_of_a_line_that_was_open() {
    for path in ROWS {
        let world = World::start().await;
        let client = world.client(2).await.unwrap();
        // An empty message, which most calls have to refuse, and a door that offers little: but not as to one put out.
        let empty = [0, 0, 0, 0, 0];
        let before = raw_answer(&client, path, &empty).await.err().map(|status| status.code());
        assert!(before != Some(Code::PermissionDenied) && world.refused() == 0, "{path}: {before:?}");
        world.out.store(true, Ordering::SeqCst);
        // The line is hung up with the refusal, which may be faster than its words.
        let after = raw_answer(&client, path, &empty).await.err().map(|status| status.code());
        assert!(matches!(after, Some(Code::PermissionDenied | Code::Unknown)), "{path}: {after:?}");
        assert_eq!(world.refused(), 1, "{path}");
        assert!(raw_answer(&client, path, &empty).await.is_err(), "{path}: the line is gone");
    }
}
