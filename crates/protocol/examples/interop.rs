//! The Rust half of `tests/interop`: writes what another implementation must read, reads what it made.
//!
//! `interop make DIR` writes records, an envelope, receipts and the public test keys of one invented member into DIR.
//! `interop open DIR` opens what that member made, and says so. Not part of the product; holds no secret worth one.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used, reason = "a test program talks and stops")]

#[path = "interop/joining.rs"]
mod joining;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clearhouse_protocol::account::Shown;
use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::directory::Checked;
use clearhouse_protocol::envelope::{self, Attachment, Letter, Opened, Opening, Outside, Reader, Sealed};
use clearhouse_protocol::fixture::{self, Member, NOW, Region};
use clearhouse_protocol::ids::{ConversationId, Digest, MailboxId, MsgId, NodeId, OrgId, StaffId, hex, unhex};
use clearhouse_protocol::keys::{PrekeySecret, SigningKey};
use clearhouse_protocol::limits::{DAY, PREKEY_WEEKS, WEEK};
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::leaf_hash;
use clearhouse_protocol::rows::EventRow;
use clearhouse_protocol::{account, audit, canon, merkle, receipt};
use clearhouse_wire::v1::Signed;
use prost::Message as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The member that the other implementation plays. Everybody knows its keys.
const STRANGER: u8 = 0x77;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", folder] => make(Path::new(folder)),
        ["open", folder] => open(Path::new(folder)),
        _ => {
            println!("usage: interop make DIR | interop open DIR");
            std::process::exit(2);
        }
    }
}

/// Clearhouse's own two members and the stranger, in one directory.
fn region() -> (Region, Member) {
    let mut region = Region::new(7, 2);
    let weeks = NOW / WEEK..NOW / WEEK + PREKEY_WEEKS;
    let stranger = Member {
        org: OrgId([STRANGER; 16]),
        node: NodeId::of(region.net, OrgId([STRANGER; 16]), [STRANGER + 1; 16]),
        mailbox: MailboxId([STRANGER + 2; 16]),
        root: SigningKey::from_seed(&[STRANGER; 32]),
        sign: SigningKey::from_seed(&[STRANGER + 1; 32]),
        tls_seed: [STRANGER + 2; 32],
        prekeys: weeks.map(|w| (w, PrekeySecret::from_seed(&[w as u8; 32]))).collect(),
    };
    for record in fixture::member_records(region.net, &stranger, 2, &region.coordinators) {
        admit(&mut region, &record);
        region.records.push(record);
    }
    for (week, secret) in &stranger.prekeys {
        let public = secret.public().unwrap();
        let checked = region.directory.check_prekey(*week, public.as_bytes()).unwrap().unwrap();
        region.directory.insert(checked);
    }
    (region, stranger)
}

fn admit(region: &mut Region, record: &Signed) -> bool {
    match region.directory.check(record, NOW).expect("a sound record") {
        Some(checked) => {
            region.directory.insert(checked);
            true
        }
        None => false,
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap_or_else(|fault| panic!("{name}: {fault}"));
}

fn write_json(folder: &Path, name: &str, value: &Value) {
    write(folder, name, format!("{value:#}\n").as_bytes());
}

fn read_json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect(name)).expect(name)
}

fn make(folder: &Path) {
    let (mut region, stranger) = region();
    let sealed = letter_to(&mut region, &stranger);
    write(folder, "envelope.bin", &sealed.bytes);
    let reader = Reader::new((stranger.org, stranger.node), &region.directory, NOW);
    let outside = Outside::parse(&sealed.bytes).unwrap();
    let Ok(Opening::Whole(opened)) = envelope::open(&outside, Some(stranger.prekey(NOW)), &reader) else {
        panic!("our own letter opens")
    };
    write_json(folder, "expected.json", &said(&opened));
    write_json(folder, "region.json", &described(&region, &stranger));
    accreditation(folder, &region);
    receipts(folder, &region);
    account(folder, &mut region, &stranger);
    joining::make(folder);
    println!("made {}", folder.display());
}

/// Three events of our log told to the stranger, who plays a coordinator, and a letter that is none of its business.
fn account(folder: &Path, region: &mut Region, stranger: &Member) {
    let (me, peer) = (&region.members[0], &region.members[1]);
    let origin = audit::origin(region.net, me.org, me.node, 1);
    let events = [AuditEvent::Sent, AuditEvent::ReceiptReceived, AuditEvent::SignIn];
    let happening = |event| Happening::of(event).with(peer.org, peer.node).about(Digest([0x44; 32]), 2);
    let rows: Vec<EventRow> = (0..)
        .zip(events)
        .map(|(index, event)| audit::record(&happening(event), region.net, &origin, index, NOW, &mut region.rng))
        .collect();
    let leaves: Vec<_> = rows.iter().map(|row| leaf_hash(&row.commitment)).collect();
    let head = Checkpoint { origin: origin.clone(), size: 3, root: merkle::root(&leaves) }.sign(&me.log()).unwrap();
    let shown: Vec<Shown> = rows.into_iter().map(Shown::Open).collect();
    let body = account::compose(&origin, 0, &shown, &head.to_string());
    let letter = |msg_type, id: u8, body| Letter {
        net: region.net,
        msg_type,
        body_version: 1,
        msg_id: MsgId([id; 16]),
        sender: (me.org, me.node),
        conversation: ConversationId([id; 32]),
        seq: 1,
        prev_digest: None,
        created: NOW,
        expires: NOW + DAY,
        actor: None,
        body,
        attachments: &[],
    };
    let told = letter(101, 0x41, body.as_slice());
    let private = letter(6, 0x42, b"what a coordinator never opens".as_slice());
    let mut seal = |letter: &Letter<'_>, to: (OrgId, NodeId)| {
        let to = region.directory.recipient(to.0, to.1, NOW).unwrap();
        envelope::seal(letter, &to, 0, &me.sign, &mut region.rng).unwrap().bytes
    };
    write(folder, "account.bin", &seal(&told, (stranger.org, stranger.node)));
    write(folder, "private.bin", &seal(&private, (peer.org, peer.node)));
    write_json(folder, "account.json", &json!({ "origin": origin, "events": [1, 26, 29], "peer": hex(&peer.org.0) }));
}

fn letter_to(region: &mut Region, stranger: &Member) -> Sealed {
    let me = &region.members[0];
    let to = region.directory.recipient(stranger.org, stranger.node, NOW).unwrap();
    let attachments = [(1, vec![0xab; 20_000]), (2, vec![0xcd; 1])]
        .map(|(tag, bytes)| Attachment { name_tag: [tag; 16], bytes: Zeroizing::new(bytes) });
    let letter = Letter {
        net: region.net,
        msg_type: 6,
        body_version: 1,
        msg_id: MsgId([0x10; 16]),
        sender: (me.org, me.node),
        conversation: ConversationId([0x20; 32]),
        seq: 2,
        prev_digest: Some(envelope::body_digest(MsgId([0x0f; 16]), b"the message before")),
        created: NOW,
        expires: NOW + 7 * DAY + 1,
        actor: Some(StaffId([0x30; 16])),
        body: b"an invented body",
        attachments: &attachments,
    };
    envelope::seal(&letter, &to, 0, &me.sign, &mut region.rng).unwrap()
}

fn said(opened: &Opened) -> Value {
    let inner = opened.inner();
    let attachments: Vec<Value> =
        opened.attachments().iter().map(|a| json!({ "name_tag": hex(&a.name_tag), "bytes": hex(&a.bytes) })).collect();
    json!({
        "digest": hex(&opened.digest.0),
        "msg_type": inner.msg_type,
        "body_version": inner.body_version,
        "msg_id": hex(&inner.msg_id),
        "sender_org": hex(&opened.sender.0.0),
        "sender_node": hex(&opened.sender.1.0),
        "created": inner.created,
        "expires": inner.expires,
        "conversation": hex(&inner.conversation),
        "seq": inner.seq,
        "prev_digest": hex(&inner.prev_digest),
        "body": hex(&inner.body),
        "actor_id": hex(&inner.actor_id),
        "attachments": attachments,
    })
}

fn described(region: &Region, stranger: &Member) -> Value {
    let records: Vec<String> = region.records.iter().map(|r| hex(&r.encode_to_vec())).collect();
    let me = &region.members[0];
    json!({
        "now": NOW,
        "net": hex(&region.net.0),
        "genesis": hex(&region.genesis.encode_to_vec()),
        "records": records,
        "clearhouse": {
            "org": hex(&me.org.0),
            "node": hex(&me.node.0),
            "bundle": hex(&region.directory.bundle(me.org).encode_to_vec()),
        },
        "stranger": {
            "org": hex(&stranger.org.0),
            "node": hex(&stranger.node.0),
            "mailbox": hex(&stranger.mailbox.0),
            "sign_seed": hex(&[STRANGER + 1; 32]),
            "prekey_seed": hex(stranger.prekey(NOW).seed()),
        },
    })
}

/// One OrgRecord signed by k coordinators and the same by one fewer, as DSSE's JSON.
fn accreditation(folder: &Path, region: &Region) {
    let record = &region.records[0];
    let k = record.signatures.len();
    let mut fewer = record.clone();
    fewer.signatures.pop();
    write_json(folder, "org.k.json", &dsse(record));
    write_json(folder, "org.k-1.json", &dsse(&fewer));
    let keys: Vec<Value> = region
        .coordinators
        .iter()
        .map(|key| json!({ "keyid": hex(&key.id().0), "public": hex(&key.public()) }))
        .collect();
    write_json(folder, "coordinators.json", &json!({ "k": k, "keys": keys }));
}

fn dsse(signed: &Signed) -> Value {
    let signatures: Vec<Value> =
        signed.signatures.iter().map(|s| json!({ "keyid": hex(&s.key_id), "sig": STANDARD.encode(&s.sig) })).collect();
    json!({
        "payloadType": signed.payload_type,
        "payload": STANDARD.encode(&signed.payload),
        "signatures": signatures,
    })
}

fn receipts(folder: &Path, region: &Region) {
    let me = &region.members[0];
    let digests: Vec<Digest> = (0..7).map(|n| Digest([n; 32])).collect();
    let stored: Vec<Value> = receipt::storage_batch(region.net, me.node, &digests, NOW, &me.sign)
        .iter()
        .zip(&digests)
        .map(|(r, d)| json!({ "digest": hex(&d.0), "receipt": hex(&r.encode_to_vec()) }))
        .collect();
    let closed = receipt::not_opened(region.net, me.node, Digest([9; 32]), NOW, &me.sign);
    let file =
        json!({ "stored": stored, "not_opened": { "digest": hex(&[9; 32]), "signed": hex(&closed.encode_to_vec()) } });
    write_json(folder, "receipts.json", &file);
}

fn open(folder: &Path) {
    let (mut region, stranger) = region();
    let claims = read_json(folder, "answers.json");
    for claim in claims["envelopes"].as_array().expect("a list") {
        let name = claim["file"].as_str().expect("a name");
        let bytes = std::fs::read(folder.join(name)).expect(name);
        let found = match (read(&region, &bytes), claim["refusal"].as_str()) {
            (Ok(opened), None) => {
                assert_eq!(said(&opened), claim["said"], "{name}");
                format!("opens, {}", opened.digest)
            }
            (Err(fault), Some(refusal)) if fault == refusal => format!("is refused, {fault}"),
            (found, wanted) => panic!("{name}: wanted {wanted:?}, found {:?}", found.map(|o| o.digest)),
        };
        println!("ok {name}: {found}");
    }
    // A descriptor the stranger wrote and signed itself: the directory takes it as anybody's.
    let record = unhex(claims["descriptor"].as_str().expect("hex")).expect("hex");
    let record: Signed = canon::decode(&record, 64 << 10).expect("a canonical record");
    assert!(
        matches!(region.directory.check(&record, NOW), Ok(Some(Checked::Descriptor(node, _))) if node == stranger.node)
    );
    assert!(admit(&mut region, &record));
    println!("ok descriptor: admitted");
}

fn read(region: &Region, bytes: &[u8]) -> Result<Box<Opened>, String> {
    let me = &region.members[0];
    let outside = Outside::parse(bytes).map_err(|f| format!("{f:?}"))?;
    let held = me.prekeys.iter().map(|(_, secret)| secret).find(|s| s.public().unwrap().id() == outside.prekey);
    let reader = Reader::new((me.org, me.node), &region.directory, NOW);
    match envelope::open(&outside, held, &reader).map_err(|f| format!("{f:?}"))? {
        Opening::Whole(opened) => Ok(opened),
        Opening::Rejected(_, why) => Err(format!("Rejected({why:?})")),
        Opening::Early(_) => Err("Time".to_owned()),
        Opening::Ended(_) => Err("Revoked".to_owned()),
    }
}
