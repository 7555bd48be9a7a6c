//! Return notices made by the test itself, as an accredited member's program would make them, and the line on which
//! they are deposited.

use clearhouse_casework::body::{self, EXTENSION_MAX, EXTENSIONS_MAX};
use clearhouse_casework::deadlines::{Deadlines, Zone};
use clearhouse_casework::forms::{ConsentForm, ContactForm, NoticeForm, show_day};
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::limits::Limits;
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::PeerError;
use clearhouse_node::tls::Identity;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Attachment, Letter, Sealed, seal};
use clearhouse_protocol::ids::{ConversationId, MsgId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use prost::Message as _;
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::region::{Member, Region};

/// The directory as the region's records make it.
pub(super) fn directory(region: &Region) -> Directory {
    let now = SystemClock.now();
    let genesis = std::fs::read(region.coordinator.folder.join(clearhouse_node::setup::files::GENESIS)).unwrap();
    let genesis = wire::Signed::decode(genesis.as_slice()).unwrap();
    let mut directory = Directory::found(&genesis, Some(region.net)).unwrap();
    for record in &region.records.records {
        if let Some(checked) = directory.check(record, now).unwrap() {
            directory.insert(checked);
        }
    }
    for prekey in &region.records.prekeys {
        if let Some(checked) = directory.check_prekey(prekey.week, &prekey.pk).unwrap() {
            directory.insert(checked);
        }
    }
    directory
}

/// A valid notice with its consent, in a conversation of its own, and the code its receiver will show.
pub(super) fn sealed_notice(directory: &Directory, from: &Member, to: &Member) -> (String, Sealed) {
    sealed(directory, from, to, &notice_body(to.made.org, SystemClock.now()), &[])
}

/// The same, with as much in it as a notice carries: three times the bytes.
pub(super) fn sealed_long_notice(directory: &Directory, from: &Member, to: &Member) -> (String, Sealed) {
    let long = wire::Extension { r#type: 60_000, critical: false, value: vec![7; EXTENSION_MAX] };
    let body = body_with(to.made.org, SystemClock.now(), vec![long; EXTENSIONS_MAX]);
    sealed(directory, from, to, &body, &[])
}

/// A letter of `len` bytes beside its body. They belong to nothing in it: it is stored as any other, and refused once it
/// was opened and read to its end.
pub(super) fn sealed_parcel(directory: &Directory, from: &Member, to: &Member, len: usize) -> (String, Sealed) {
    let mut bytes = vec![0; len];
    chance().fill_bytes(&mut bytes);
    let attached = [Attachment { name_tag: [1; 16], bytes: bytes.into() }];
    sealed(directory, from, to, &notice_body(to.made.org, SystemClock.now()), &attached)
}

fn sealed(
    directory: &Directory,
    from: &Member,
    to: &Member,
    body: &[u8],
    attachments: &[Attachment],
) -> (String, Sealed) {
    let now = SystemClock.now();
    let mut bytes = [0u8; 32];
    chance().fill_bytes(&mut bytes);
    let letter = Letter {
        net: from.made.net,
        msg_type: wire::MessageType::ReturnNotice as u32,
        body_version: 1,
        msg_id: MsgId(bytes[..16].try_into().unwrap()),
        sender: (from.made.org, from.made.node),
        conversation: ConversationId(bytes),
        seq: 1,
        prev_digest: None,
        created: now,
        expires: now + DAY,
        actor: None,
        body,
        attachments,
    };
    let recipient = directory.recipient(to.made.org, to.made.node, now).unwrap();
    let key = SigningKey::from_seed(from.made.keys.service().node_seed.expose());
    let code = clearhouse_casework::office::cases::case_code(letter.conversation, true);
    (code, seal(&letter, &recipient, 0, &key, &mut chance()).unwrap())
}

/// The body of a valid notice whose consent names `receiver`.
pub(super) fn notice_body(receiver: OrgId, now: u64) -> Vec<u8> {
    body_with(receiver, now, vec![])
}

fn body_with(receiver: OrgId, now: u64, extensions: Vec<wire::Extension>) -> Vec<u8> {
    let deadlines = Deadlines::default();
    let text = |s: &str| s.to_owned();
    let consent = ConsentForm {
        purpose: text("ShareNotice"),
        data_classes: vec![],
        given_by: text("Person"),
        child_view: String::new(),
        form: text("Written"),
        language: text("ron"),
        interpreter_used: false,
        given_at: None,
        expires: None,
    };
    let contact = |label: &str| ContactForm { label: text(label), role: text("Caseworker") };
    let notice = NoticeForm {
        age_band: text("27--29"),
        age_status: text("Adult"),
        age_basis: text("Declared"),
        gender: text("Feminine"),
        citizenship: vec![text("MD")],
        languages: vec![text("ron")],
        dependant_bands: vec![],
        window_from: show_day(now / DAY + 14),
        window_to: show_day(now / DAY + 28),
        country: text("MD"),
        region: text("MD-CU"),
        services: vec![text("Shelter")],
        risk_level: text("Medium"),
        urgency: text("Routine"),
        voluntary: text("Voluntary"),
        alternatives_explained: true,
        reflection_ends: None,
        wishes_to_go_earlier: false,
        trafficking_status: text("ActualVictimOfTrafficking"),
        status_decided_by: text("NGO"),
        referral_reason: text("MigrationOrChangeOfLocation"),
        worker: contact("Elena R."),
        alternate: contact("Paola G."),
        guardian_status: String::new(),
        best_interests: String::new(),
    };
    let body = wire::CaseBody {
        actor_label: text("Elena R."),
        actor_role: text("Caseworker"),
        zone: text("UTC"),
        consent: Some(consent.build(receiver, &deadlines, now, &mut chance()).unwrap()),
        extensions,
        what: Some(What::ReturnNotice(notice.build(None, &deadlines, &Zone::utc(), now).unwrap())),
        ..wire::CaseBody::default()
    };
    body::prepare(&body).unwrap_or_else(|_| panic!("the notice keeps the rules")).encode().to_vec()
}

/// A line to a node, as another member.
pub(super) async fn line(directory: &Directory, from: &Member, to: &Member) -> Result<Client, PeerError> {
    let tls = Identity::from_seed(&Zeroizing::new(*from.made.keys.service().tls_seed.expose())).unwrap();
    let descriptor = directory.descriptor(to.made.node).unwrap();
    let pins: Vec<[u8; 32]> = descriptor.tls_pks.iter().map(|k| k.as_slice().try_into().unwrap()).collect();
    Client::connect(&descriptor.mailboxes[0].endpoint, &pins, &tls, &Limits::HARD).await
}
