//! Members that are no longer, or never were: revoked, expired, of another network, strangers. Rows 12, 17 and 18 of
//! reliability section 5.
//!
//! Refuses a door that only forgets them: they are turned away in the handshake, and what they sent before stays.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::limits::Limits;
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::{PeerError, Refused, TlsFault};
use clearhouse_node::tls::Identity;
use clearhouse_protocol::ceremony;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::Rng as _;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::notice::line;
use super::station::{Station, in_station};
use super::{WAIT_MAX, found, found_at, runtime, silent};

#[test]
fn a_letter_of_another_network_is_not_opened_and_its_member_does_not_get_a_line() {
    in_station(async |station| {
        let client = station.line().await;
        let other = found("keep_content_open = true\n");
        let mut draft = station.draft();
        draft.net = other.net;
        let (_, letter) = station.seal(&draft);
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        station.ends(&client, letter.digest, wire::MailboxState::Unopenable).await;
        let foreign = line(&station.known, &other.destination, &station.region.origin).await;
        assert_eq!(foreign.err(), Some(PeerError::Tls(TlsFault::NotKnownThere)));
        // Their records are not taken either, and it is said which network they are not of.
        let file = station.office().path("theirs.record");
        std::fs::write(&file, other.records.encode_to_vec()).unwrap();
        let mut office = station.office();
        office.sign_in("ana");
        let told = office.run(&["directory", "import", file.to_str().unwrap(), "--as", "ana"]);
        told.silent();
        assert!(told.all.contains("another network"), "{}", told.all);
        assert_eq!(told.out["new"], 0, "{}", told.all);
        station.still_takes(&client, vec![]).await;
    });
}

/// A revocation of the member the test plays, in the office's hands.
async fn revoke(station: &Station, keys: &[&SigningKey], kind: wire::SubjectKind, subject: [u8; 16]) -> Value {
    use base64::Engine as _;
    let net = station.region.net;
    let record = ceremony::revoke(net, kind, subject, "Compromised", SystemClock.now(), keys);
    let bundle = wire::RecordBundle { records: vec![record], prekeys: vec![], published: vec![] };
    let bundle = base64::engine::general_purpose::STANDARD.encode(bundle.encode_to_vec());
    station.region.origin.ask(Call::DirectoryImport { bundle }).await.unwrap()
}

/// The member is out: on the line it had, in the handshake of the next, and at the desk.
async fn is_out(station: Station, client: Client, before: String) {
    let (_, letter) = station.seal(&station.draft());
    let told = client.deposit(letter.mailbox, letter.digest, letter.bytes).await.err().unwrap();
    // Refused on the line, or the line is gone.
    let refused = PeerError::Refused(Refused::NotAccredited);
    assert!(told == refused || matches!(told, PeerError::Protocol | PeerError::Unreachable), "{told}");
    let next = line(&station.known, &station.region.destination, &station.region.origin).await;
    assert_eq!(next.err(), Some(PeerError::Tls(TlsFault::NotKnownThere)));
    let mut office = station.office();
    office.sign_in("ana");
    let told = office.run(&["case", "open", "--to", "Porto Sicuro", "--as", "ana"]);
    told.refused(5, "CH-R0104", &["Porto Sicuro is revoked", "Nothing has left", "ask your coordinator"]);
    // What came while it was a member is still there.
    assert_eq!(station.cases().await, [before]);
    silent(&office.log());
}

#[test]
fn a_member_revoked_by_two_coordinators_is_refused_at_once_and_in_the_next_handshake() {
    in_station(async |station| {
        let client = station.line().await;
        let (code, letter) = station.seal(&station.draft());
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        let org = station.region.destination.made.org.0;
        let coordinators = &station.region.coordinators;
        let one = revoke(&station, &[&coordinators[0]], wire::SubjectKind::Organisation, org).await;
        assert_eq!((&one["new"], &one["refused"][0]["why"]), (&0.into(), &"not enough coordinators signed".into()));
        client.outcome(letter.digest).await.unwrap();
        let two = [&coordinators[0], &coordinators[1]];
        assert_eq!(revoke(&station, &two, wire::SubjectKind::Organisation, org).await["new"], 1);
        is_out(station, client, code).await;
    });
}

#[test]
fn a_member_that_revokes_its_own_node_is_refused_at_once_and_after_a_restart() {
    in_station(async |mut station| {
        let client = station.line().await;
        let (code, letter) = station.seal(&station.draft());
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        let own = SigningKey::from_seed(station.region.destination.made.keys.service().node_seed.expose());
        let node = station.region.destination.made.node.0;
        assert_eq!(revoke(&station, &[&own], wire::SubjectKind::Node, node).await["new"], 1);
        station.restart().await;
        is_out(station, client, code).await;
    });
}

#[test]
fn a_member_whose_descriptor_has_expired_gets_no_line_and_nothing_is_sent_to_it() {
    runtime().block_on(async {
        let mut station = Station::of(found_at(SystemClock.now() - 40 * DAY)).await;
        // After so long it believes its clock when another office's says the same.
        let records = station.region.records.clone();
        station.region.coordinator.start().await.unwrap();
        station.region.coordinator.learn(&records).await.unwrap();
        let began = Instant::now();
        while station.region.origin.ask(Call::Status).await.unwrap()["clock"]
            .as_str()
            .is_none_or(|told| !told.starts_with("trusted"))
        {
            assert!(began.elapsed() < WAIT_MAX, "nobody confirms its clock");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let told = line(&station.known, &station.region.destination, &station.region.origin).await.err();
        assert_eq!(told, Some(PeerError::Tls(TlsFault::NotKnownThere)));
        let mut office = station.office();
        office.sign_in("ana");
        let told = office.run(&["case", "open", "--to", "Porto Sicuro", "--as", "ana"]);
        told.refused(5, "CH-R0105", &["Porto Sicuro", "not known", "Nothing has left", "directory refresh"]);
        silent(&office.log());
    });
}

#[test]
fn a_stranger_with_a_key_of_its_own_gets_no_line_and_no_answer() {
    in_station(async |station| {
        let mut seed = Zeroizing::new([0u8; 32]);
        chance().fill_bytes(seed.as_mut());
        let stranger = Identity::from_seed(&seed).unwrap();
        let descriptor = station.known.descriptor(station.region.origin.made.node).unwrap();
        let pins: Vec<[u8; 32]> = descriptor.tls_pks.iter().map(|k| k.as_slice().try_into().unwrap()).collect();
        let endpoint = &descriptor.mailboxes[0].endpoint;
        let told = Client::connect(endpoint, &pins, &stranger, &Limits::HARD).await.err();
        assert_eq!(told, Some(PeerError::Tls(TlsFault::NotKnownThere)));
        let client = station.line().await;
        station.still_takes(&client, vec![]).await;
    });
}
