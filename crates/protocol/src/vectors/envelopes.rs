//! Golden envelopes, `tests/vectors/envelope.json`: some that open, many more that must not, each with its refusal.
//!
//! Everything an implementation needs to agree with us stands in the file: the records of a region, one prekey
//! seed, a moment, bytes, and what must come out. The seeds belong to nobody.

mod forge;
mod insider;
mod outside;

use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::{assemble, bytes, fixed, golden, held, list, recipe, text};
use crate::canon;
use crate::directory::Directory;
use crate::envelope::{Opened, Opening, Outside, Reader, Unopenable, open};
use crate::fixture::NOW;
use crate::ids::{Net, NodeId, OrgId, hex};
use crate::keys::PrekeySecret;
use crate::limits::RECORD_MAX;
use forge::World;

const FILE: &str = "envelope.json";

/// One envelope of the file, before it is written.
struct Sample {
    name: String,
    bytes: Vec<u8>,
    /// The good envelope it is told as a change of; `None`: the file spells its bytes.
    change_of: Option<usize>,
    now: u64,
    records: Vec<wire::Signed>,
    /// `None`: it opens.
    refusal: Option<&'static str>,
}

impl Sample {
    fn opens(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), bytes, change_of: None, now: NOW, records: vec![], refusal: None }
    }

    fn refused(name: &str, bytes: Vec<u8>, refusal: &'static str) -> Self {
        Self { refusal: Some(refusal), ..Self::opens(name, bytes) }
    }

    fn change_of(self, good: usize) -> Self {
        Self { change_of: Some(good), ..self }
    }

    fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }

    fn with(self, record: wire::Signed) -> Self {
        Self { records: vec![record], ..self }
    }

    fn to_json(&self, good: &[Vec<u8>], reader: &ReaderFile) -> Value {
        let mut out = Map::new();
        out.insert("name".into(), self.name.as_str().into());
        if let Some(of) = self.change_of {
            out.insert("of".into(), of.into());
            out.insert("recipe".into(), recipe(&good[of], &self.bytes));
        } else {
            out.insert("bytes".into(), hex(&self.bytes).into());
        }
        if self.now != NOW {
            out.insert("now".into(), self.now.into());
        }
        if !self.records.is_empty() {
            let records: Vec<String> = self.records.iter().map(|r| hex(&r.encode_to_vec())).collect();
            out.insert("records".into(), records.into());
        }
        match (self.refusal, reader.read(&self.bytes, self.now, &self.records)) {
            (None, Ok(opened)) => drop(out.insert("expected".into(), expected(&self.bytes, &opened))),
            (Some(refusal), Err(found)) if refusal == found => drop(out.insert("refusal".into(), refusal.into())),
            (wanted, found) => panic!("{}: wanted {wanted:?}, found {:?}", self.name, found.err()),
        }
        out.into()
    }
}

/// The recipient as the file describes it.
struct ReaderFile {
    org: OrgId,
    node: NodeId,
    prekey: PrekeySecret,
    directory: Directory,
}

impl ReaderFile {
    /// Nothing but what stands in the file.
    fn of(file: &Value) -> Self {
        let signed = |hex: &str| canon::decode(&crate::ids::unhex(hex).unwrap(), RECORD_MAX).unwrap();
        let genesis: wire::Signed = signed(text(file, "genesis"));
        let mut directory = Directory::found(&genesis, Some(Net(fixed(file, "net")))).unwrap();
        for record in list(file, "records") {
            let record: wire::Signed = signed(record.as_str().unwrap());
            directory.insert(directory.check(&record, NOW).unwrap().unwrap());
        }
        let me = &file["recipient"];
        Self {
            org: OrgId(fixed(me, "org")),
            node: NodeId(fixed(me, "node")),
            prekey: PrekeySecret::from_seed(&fixed(me, "prekey_seed")),
            directory,
        }
    }

    /// Opens as a node does; the refusal by its name.
    fn read(&self, bytes: &[u8], now: u64, records: &[wire::Signed]) -> Result<Box<Opened>, String> {
        let mut directory = self.directory.clone();
        for record in records {
            directory.insert(directory.check(record, now).unwrap().unwrap());
        }
        let refusal = |fault: Unopenable| {
            let name = format!("{fault:?}");
            name.find(" {").map_or(name.clone(), |at| format!("{})", &name[..at]))
        };
        let outside = Outside::parse(bytes).map_err(refusal)?;
        let held = (self.prekey.public().unwrap().id() == outside.prekey).then_some(&self.prekey);
        let reader = Reader::new((self.org, self.node), &directory, now);
        match open(&outside, held, &reader).map_err(refusal)? {
            Opening::Whole(opened) => Ok(opened),
            Opening::Rejected(_, why) => Err(format!("Rejected({why:?})")),
            Opening::Early(_) => Err(format!("{:?}", Unopenable::Time)),
            Opening::Ended(_) => Err(format!("{:?}", Unopenable::Sender(crate::directory::RouteFault::Revoked))),
        }
    }
}

fn expected(envelope: &[u8], opened: &Opened) -> Value {
    let outside = Outside::parse(envelope).unwrap();
    let (signed, sig) = opened.signed_bytes();
    let attachments: Vec<String> = opened.attachments().iter().map(|a| hex(&a.bytes)).collect();
    json!({
        "digest": hex(&opened.digest.0),
        "mailbox": hex(&outside.mailbox.0),
        "prekey_id": hex(&outside.prekey.0),
        "expires": outside.expires,
        "size_class": outside.size_class,
        "signed_inner_sha256": hex(&crate::pae::sha256(signed)),
        "signature": hex(sig),
        "inner": inner_fields(opened.inner()),
        "attachments": attachments,
    })
}

fn inner_fields(inner: &wire::Inner) -> Value {
    let party = |p: &Option<wire::Party>| {
        let p = p.as_ref().unwrap();
        json!({ "org": hex(&p.org), "node": hex(&p.node), "key": hex(&p.key) })
    };
    let refer =
        |a: &wire::AttachmentRef| json!({ "name_tag": hex(&a.name_tag), "len": a.len, "sha256": hex(&a.sha256) });
    let extension = |e: &wire::Extension| json!({ "type": e.r#type, "critical": e.critical, "value": hex(&e.value) });
    json!({
        "net": hex(&inner.net),
        "suite": inner.suite,
        "msg_type": inner.msg_type,
        "body_version": inner.body_version,
        "msg_id": hex(&inner.msg_id),
        "sender": party(&inner.sender),
        "recipient": party(&inner.recipient),
        "outer": hex(&inner.outer),
        "created": inner.created,
        "expires": inner.expires,
        "conversation": hex(&inner.conversation),
        "seq": inner.seq,
        "prev_digest": hex(&inner.prev_digest),
        "attachments": inner.attachments.iter().map(refer).collect::<Vec<_>>(),
        "body": hex(&inner.body),
        "actor_id": hex(&inner.actor_id),
        "extensions": inner.extensions.iter().map(extension).collect::<Vec<_>>(),
    })
}

fn made() -> Value {
    let mut world = World::new();
    let good = world.good();
    let bytes_of_good: Vec<Vec<u8>> = good.iter().map(|s| s.bytes.clone()).collect();
    let mut refused = outside::samples(&world, &good[forge::PLAIN].bytes);
    refused.extend(insider::samples(&world));
    let records: Vec<String> = world.region.records.iter().map(|r| hex(&r.encode_to_vec())).collect();
    let (sender, me) = (&world.region.members[0], &world.region.members[1]);
    let mut file = json!({
        "about": "Envelopes of suite 1, proto/README.md sections 4 to 7. A recipe joins parts: [from, to] is a slice \
                  of the good envelope number `of`, a text is hex. An entry may name its own moment, or records to \
                  take after those of the region. Every seed here is public and belongs to nobody.",
        "now": NOW,
        "net": hex(&world.region.net.0),
        "genesis": hex(&world.region.genesis.encode_to_vec()),
        "records": records,
        "sender": { "org": hex(&sender.org.0), "node": hex(&sender.node.0), "sign_pk": hex(&sender.sign.public()) },
        "recipient": {
            "org": hex(&me.org.0),
            "node": hex(&me.node.0),
            "mailbox": hex(&me.mailbox.0),
            "prekey_seed": hex(me.prekey(NOW).seed()),
            "prekey": hex(me.prekey(NOW).public().unwrap().as_bytes()),
        },
    });
    let reader = ReaderFile::of(&file);
    let write = |samples: &[Sample]| samples.iter().map(|s| s.to_json(&bytes_of_good, &reader)).collect::<Vec<_>>();
    file["good"] = write(&good).into();
    file["refused"] = write(&refused).into();
    file
}

#[test]
fn golden_envelopes_are_what_this_version_makes() {
    golden(FILE, &made());
}

#[test]
fn golden_envelopes_open_or_are_refused_as_written() {
    let file = held(FILE);
    let reader = ReaderFile::of(&file);
    assert_eq!(reader.prekey.public().unwrap().as_bytes(), bytes(&file["recipient"], "prekey"));
    let (good, refused) = (list(&file, "good"), list(&file, "refused"));
    let read = |entry: &Value| {
        let envelope = entry.get("recipe").map_or_else(
            || bytes(entry, "bytes"),
            |recipe| assemble(recipe, &bytes(&good[entry["of"].as_u64().unwrap() as usize], "bytes")),
        );
        let records = entry["records"].as_array().into_iter().flatten();
        let records: Vec<wire::Signed> = records
            .map(|r| canon::decode(&crate::ids::unhex(r.as_str().unwrap()).unwrap(), RECORD_MAX).unwrap())
            .collect();
        let opened = reader.read(&envelope, entry["now"].as_u64().unwrap_or(NOW), &records);
        (envelope, opened)
    };
    for entry in good {
        let (envelope, opened) = read(entry);
        let opened = opened.unwrap_or_else(|fault| panic!("{}: {fault}", entry["name"]));
        assert_eq!(expected(&envelope, &opened), entry["expected"], "{}", entry["name"]);
    }
    for entry in refused {
        let (_, opened) = read(entry);
        assert_eq!(opened.err().as_deref(), entry["refusal"].as_str(), "{}", entry["name"]);
    }
    assert_eq!((good.len(), refused.len()), (9, 103));
}
