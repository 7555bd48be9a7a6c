//! What somebody does with a node's keys and without its program: knows the directory, knocks at another node's door,
//! changes a byte of a message on its way. Refuses nothing itself; that is what is tried.

use std::time::Instant;

use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::limits::Limits;
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::PeerError;
use clearhouse_node::setup::Made;
use clearhouse_node::tls::Identity;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Letter, Outside, seal};
use clearhouse_protocol::ids::{ConversationId, Digest, MsgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::receipt;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use zeroize::Zeroizing;

use super::journey::{LOOK_EVERY, WAIT_MAX};
use super::region::{Member, Region};
use super::{Failure, Teller};

/// The directory as the region's records make it.
pub(super) fn known(region: &Region, now: u64) -> Result<Directory, Failure> {
    let mut known = Directory::found(&region.genesis()?, Some(region.net)).map_err(|_| Failure::bug("a directory"))?;
    for record in &region.records.records {
        if let Ok(Some(checked)) = known.check(record, now) {
            known.insert(checked);
        }
    }
    for prekey in &region.records.prekeys {
        if let Ok(Some(checked)) = known.check_prekey(prekey.week, &prekey.pk) {
            known.insert(checked);
        }
    }
    Ok(known)
}

/// A line to a node with the keys of another.
pub(super) async fn knock(known: &Directory, with: &Made, at: &Member) -> Result<Client, PeerError> {
    let descriptor = known.descriptor(at.made.node).ok_or(PeerError::Name)?;
    let endpoint = &descriptor.mailboxes.first().ok_or(PeerError::Name)?.endpoint;
    let pins: Vec<[u8; 32]> = descriptor.tls_pks.iter().filter_map(|k| k.as_slice().try_into().ok()).collect();
    let tls = Identity::from_seed(&Zeroizing::new(*with.keys.service().tls_seed.expose()));
    Client::connect(endpoint, &pins, &tls.map_err(|_| PeerError::Name)?, &Limits::HARD).await
}

/// Deposits a sealed message with one byte changed, as an accredited member could, and looks at what becomes of it.
pub(super) async fn tamper(region: &Region, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let failed = |what: &dyn std::fmt::Display| {
        Failure::new("CH-E0305", format!("The tampered message could not be tried: {what}."))
    };
    let now = SystemClock.now();
    let known = known(region, now)?;
    let to = &region.origin.made;
    let outside = changed_on_the_way(&known, &region.coordinator.made, to, now).map_err(|e| failed(&e))?;
    let client = knock(&known, &region.coordinator.made, &region.origin).await.map_err(|e| failed(&e))?;
    client.deposit(outside.0.mailbox, outside.0.digest, outside.1).await.map_err(|e| failed(&e))?;
    let key = known.signing_key(to.org, to.node, now).map_err(|e| failed(&e))?;
    refused(&client, outside.0.digest, |statement| {
        receipt::check_not_opened(statement, region.net, to.node, outside.0.digest, &key).map_err(|e| failed(&e))
    })
    .await?;
    let text = "one byte of a sealed message changed on the way: not opened, and Casa Nova's node signed that";
    teller.step("Tamper", text, Some(began.elapsed()));
    Ok(())
}

/// A notice as `from` would seal it for `to`, with one byte of its content changed; its bytes.
fn changed_on_the_way(known: &Directory, from: &Made, to: &Made, now: u64) -> Result<(Outside, Vec<u8>), String> {
    let recipient = known.recipient(to.org, to.node, now).map_err(|e| e.to_string())?;
    let letter = Letter {
        net: from.net,
        msg_type: wire::MessageType::ReturnNotice as u32,
        body_version: 1,
        msg_id: MsgId([9; 16]),
        sender: (from.org, from.node),
        conversation: ConversationId([9; 32]),
        seq: 1,
        prev_digest: None,
        created: now,
        expires: now + DAY,
        actor: None,
        body: b"tampered on the way",
        attachments: &[],
    };
    let sign = SigningKey::from_seed(from.keys.service().node_seed.expose());
    let sealed = seal(&letter, &recipient, 0, &sign, &mut chance()).map_err(|e| e.to_string())?;
    let mut envelope = wire::Envelope::decode(sealed.bytes.as_slice()).map_err(|e| e.to_string())?;
    if let Some(byte) = envelope.content.get_mut(1000) {
        *byte ^= 1;
    }
    let bytes = envelope.encode_to_vec();
    Ok((Outside::parse(&bytes).map_err(|e| e.to_string())?, bytes))
}

/// Waits until a node says that a message does not open, in a statement that holds.
async fn refused(
    client: &Client,
    digest: Digest,
    holds: impl Fn(&wire::Signed) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    while Instant::now() < deadline {
        let outcome = client.outcome(digest).await;
        let outcome = outcome.map_err(|e| Failure::new("CH-E0305", format!("The line for the test broke: {e}.")))?;
        if let (wire::MailboxState::Unopenable, Some(statement)) = (outcome.state(), &outcome.not_opened) {
            return holds(statement);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::new("CH-E0306", "A changed message was not refused."))
}
