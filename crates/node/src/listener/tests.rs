//! What strangers may try at the public port. Short limits stand in for the real ones; nothing here waits on a clock
//! except for what the clock must do.

use crate::limits::Limits;
use crate::rpc::tests::{MAILBOX, World};
use crate::tls::tests::{identity, tls12_hello};
use crate::tls::{ALPN, client_config};
use clearhouse_protocol::ids::Digest;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Deadlines a test can wait for.
fn quick() -> Limits {
    Limits { handshake: Duration::from_millis(300), preface: Duration::from_millis(300), ..Limits::HARD }
}

async fn from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn shake(config: Arc<ClientConfig>, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("node.invalid").unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

async fn member(world: &World, n: u8) -> TlsStream<TcpStream> {
    let config = client_config(&identity(n), &[identity(1).public_key()]).unwrap();
    shake(config, TcpStream::connect(world.at).await.unwrap()).await.unwrap()
}

/// How long the other side keeps the stream open.
async fn closed_after(stream: &mut (impl AsyncReadExt + Unpin)) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "still open after ten seconds");
    began.elapsed()
}

fn count(world: &World, name: &str) -> u64 {
    world.counters.read().into_iter().find(|(n, _)| *n == name).unwrap().1
}

async fn still_serves(world: &World) {
    let client = world.client(2).await.unwrap();
    assert!(client.deposit(MAILBOX, Digest([7; 32]), vec![1; 100]).await.is_ok());
}

#[tokio::test]
async fn silence_and_half_a_hello_are_closed_in_time() {
    let world = World::start(quick()).await;
    let hello = tls12_hello();
    for said in [&[][..], &hello[..1], &hello[..40]] {
        let mut stream = TcpStream::connect(world.at).await.unwrap();
        stream.write_all(said).await.unwrap();
        let open = closed_after(&mut stream).await;
        assert!(open >= Duration::from_millis(250) && open < Duration::from_secs(3), "{open:?}");
    }
    assert_eq!(count(&world, "handshake_slow"), 3);
    still_serves(&world).await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_the_handshake_is_closed_in_time() {
    let world = World::start(quick()).await;
    let config = client_config(&identity(2), &[identity(1).public_key()]).unwrap();
    let name = ServerName::try_from("node.invalid").unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut hello).unwrap();
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    assert!(closed_after(&mut stream).await < Duration::from_secs(3));
    assert_eq!(count(&world, "handshake_slow"), 1);
}

#[tokio::test]
async fn an_accredited_peer_that_does_not_begin_http2_is_closed_in_time() {
    let world = World::start(quick()).await;
    let mut half_settings = [PREFACE, &EMPTY_SETTINGS].concat();
    half_settings[26] = 12;
    for said in [&[][..], &PREFACE[..10], PREFACE, &half_settings] {
        let mut stream = member(&world, 2).await;
        stream.write_all(said).await.unwrap();
        let open = closed_after(&mut stream).await;
        assert!(open < Duration::from_secs(3), "{open:?}");
    }
    assert_eq!(count(&world, "preface_slow"), 4);
    still_serves(&world).await;
}

#[tokio::test]
async fn a_peer_that_has_begun_http2_may_be_idle() {
    let world = World::start(quick()).await;
    let mut stream = member(&world, 2).await;
    stream.write_all(&[PREFACE, &EMPTY_SETTINGS].concat()).await.unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await.unwrap();
    tokio::time::sleep(2 * quick().preface).await;
    assert_eq!(world.places.lines(), 1);
    assert_eq!(count(&world, "preface_slow"), 0);
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_closed_at_once() {
    let world = World::start(Limits::HARD).await;
    let mut stream = member(&world, 2).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(closed_after(&mut stream).await < Duration::from_secs(2));
    assert_eq!(count(&world, "preface_wrong"), 1);
}

#[tokio::test]
async fn a_client_without_the_protocol_name_is_not_let_in() {
    let world = World::start(Limits::HARD).await;
    let mut config = ClientConfig::clone(&client_config(&identity(2), &[identity(1).public_key()]).unwrap());
    for names in [vec![], vec![b"http/1.1".to_vec()]] {
        config.alpn_protocols = names;
        let stream = TcpStream::connect(world.at).await.unwrap();
        if let Ok(mut stream) = shake(Arc::new(config.clone()), stream).await {
            closed_after(&mut stream).await;
        }
    }
    assert_eq!(ALPN, b"h2");
    assert_eq!(count(&world, "lines_opened"), 0);
    assert_eq!(count(&world, "handshake_failed"), 2);
}

#[tokio::test]
async fn attack_32_a_tls_1_2_client_and_an_unknown_key_leave_no_line() {
    let world = World::start(Limits::HARD).await;
    let mut old = TcpStream::connect(world.at).await.unwrap();
    old.write_all(&tls12_hello()).await.unwrap();
    closed_after(&mut old).await;
    assert!(world.client(9).await.is_err());
    assert_eq!((count(&world, "handshake_failed"), count(&world, "lines_opened")), (2, 0));
    still_serves(&world).await;
}

#[tokio::test]
async fn one_address_has_its_cap_of_strangers_and_is_told_at_once() {
    let world = World::start(Limits { strangers_per_address: 3, ..Limits::HARD }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(from("127.0.0.5", world.at).await);
    }
    let mut fourth = from("127.0.0.5", world.at).await;
    assert!(closed_after(&mut fourth).await < Duration::from_secs(1));
    assert_eq!(count(&world, "over_cap"), 1);
    // Members elsewhere do not notice.
    still_serves(&world).await;
    drop(held);
    // And the address has its places back.
    let config = client_config(&identity(3), &[identity(1).public_key()]).unwrap();
    let mut tries = 0;
    while shake(Arc::clone(&config), from("127.0.0.5", world.at).await).await.is_err() {
        tries += 1;
        assert!(tries < 100);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn members_behind_one_address_are_not_strangers_to_each_other() {
    let world = World::start(Limits { strangers_per_address: 1, lines_per_node: 8, ..Limits::HARD }).await;
    let mut clients = Vec::new();
    for n in [2, 3, 2, 3, 2, 3] {
        clients.push(world.client(n).await.unwrap());
    }
    assert_eq!(world.places.lines(), 6);
}

#[tokio::test]
async fn a_nodes_fifth_line_ends_its_first() {
    let world = World::start(Limits::HARD).await;
    let mut clients = Vec::new();
    for _ in 0..=Limits::HARD.lines_per_node {
        clients.push(world.client(2).await.unwrap());
    }
    assert!(clients[0].outcome(Digest([1; 32])).await.is_err());
    for client in &clients[1..] {
        assert!(client.outcome(Digest([1; 32])).await.is_ok());
    }
    assert_eq!(count(&world, "lines_replaced"), 1);
}

#[tokio::test]
async fn waiting_handshakes_do_not_keep_a_turn_before_their_hello_is_whole() {
    let world = World::start(Limits { handshakes_in_flight: 1, ..Limits::HARD }).await;
    let hello = tls12_hello();
    let mut silent = Vec::new();
    for n in 2..7 {
        let mut stream = from(&format!("127.0.0.{n}"), world.at).await;
        stream.write_all(&hello[..60]).await.unwrap();
        silent.push(stream);
    }
    let began = Instant::now();
    still_serves(&world).await;
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_line_past_its_age_and_grace_is_ended() {
    let limits = Limits {
        connection_age: Duration::from_millis(200),
        connection_grace: Duration::from_millis(200),
        ..Limits::HARD
    };
    let world = World::start(limits).await;
    let client = world.client(2).await.unwrap();
    let began = Instant::now();
    // This call never answers, and the line does not wait for it longer than the grace.
    assert!(client.outcome(Digest([0xaa; 32])).await.is_err());
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_peer_that_leaves_no_window_for_its_answer_loses_its_line() {
    let world = World::start(Limits { call: Duration::from_millis(300), ..Limits::HARD }).await;
    let mut stream = member(&world, 2).await;
    // SETTINGS with INITIAL_WINDOW_SIZE 0, then a call of Records.
    let mut said = PREFACE.to_vec();
    said.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    said.extend(call_of("/clearhouse.v1.Exchange/Records"));
    stream.write_all(&said).await.unwrap();
    closed_after(&mut stream).await;
    assert_eq!(count(&world, "answers_not_taken"), 1);
    still_serves(&world).await;
}

/// Nodes that come back in the same second (row 60 of reliability section 5), each over two lines of its own.
const COME_BACK: u8 = 200;
/// Everybody has been served by then, on a busy machine.
const ALL_SERVED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_nodes_that_come_back_in_the_same_second_are_all_served() {
    let nodes: Vec<u8> = (20..20 + COME_BACK).collect();
    // A machine so fast that the cap of all strangers is not felt has a smaller one.
    let world = World::knowing(&nodes, Limits { strangers: 24, ..Limits::HARD }, false).await;
    let at = world.at;
    let mut coming = tokio::task::JoinSet::new();
    for node in nodes {
        let identity = identity(node);
        for side in [10u8, 11] {
            let identity = identity.clone();
            coming.spawn(async move {
                let (began, mut refused) = (Instant::now(), 0u32);
                while !is_served(&identity, &format!("127.0.{side}.{node}"), at).await {
                    refused += 1;
                    // As a courier waits: between half and the whole of a pause that doubles. Told apart by who it is.
                    let pause = 1000 << refused.min(4);
                    let share = pause / 2 + pause / 2 * u64::from(node) / 256;
                    tokio::time::sleep(Duration::from_millis(share)).await;
                }
                (began.elapsed(), refused)
            });
        }
    }
    let all = tokio::time::timeout(ALL_SERVED, coming.join_all()).await.expect("somebody starves");
    let (slowest, again) = (all.iter().map(|one| one.0).max(), all.iter().filter(|one| one.1 > 0).count());
    println!("{} lines at once: {again} came again, the last was served after {slowest:?}", all.len());
    assert_eq!(count(&world, "panics"), 0);
    // The test is of what happens when there is not room for all.
    assert!(count(&world, "over_cap") > 0, "all found room at once");
    still_serves_node(&world, 20).await;
}

/// Whether a line from this address is let in, and a call on it answered.
async fn is_served(identity: &crate::tls::Identity, address: &str, at: SocketAddr) -> bool {
    let config = client_config(identity, &[crate::tls::tests::identity(1).public_key()]).unwrap();
    let Ok(mut stream) = shake(config, from(address, at).await).await else { return false };
    let said = [PREFACE, &EMPTY_SETTINGS, &call_of("/clearhouse.v1.Exchange/Records")].concat();
    if stream.write_all(&said).await.is_err() {
        return false;
    }
    let mut header = [0; 9];
    while stream.read_exact(&mut header).await.is_ok() {
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let answers = header[3] == 1;
        if stream.read_exact(&mut vec![0; len]).await.is_err() || answers {
            return answers;
        }
    }
    false
}

async fn still_serves_node(world: &World, node: u8) {
    let client = world.client(node).await.unwrap();
    assert!(client.deposit(MAILBOX, Digest([7; 32]), vec![1; 100]).await.is_ok());
}

/// HEADERS and DATA of one unary call with an empty message, on stream 1, without HPACK's compression.
fn call_of(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "node.invalid"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    let mut frames = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 4, 0, 0, 0, 1];
    frames.extend(block);
    frames.extend([0, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    frames
}
