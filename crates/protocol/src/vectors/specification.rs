//! Holds `proto/README.md` to the program: its label table is whole, and its worked bytes are what comes out.

use std::fmt::Write as _;

use clearhouse_wire::v1 as wire;
use hpke::{Deserializable as _, OpModeR};
use prost::Message as _;

use super::{bytes, fixed, held, list, workspace};
use crate::chunked::seal_with_salt;
use crate::envelope::{Outside, body_digest};
use crate::ids::{MsgId, Net, hex};
use crate::keys::{Kem, PrekeySecret, SigningKey, key_id};
use crate::labels::{CHUNK_AEAD, HPKE_INFO, OUTER, media};
use crate::limits::KEM_ENC_LEN;
use crate::merkle;
use crate::pae::{hash, pae, pae_parts, sha256};

const FENCE: &str = "```worked\n";

fn specification() -> String {
    std::fs::read_to_string(workspace().join("proto/README.md")).expect("the specification is there")
}

#[test]
fn every_label_of_the_program_stands_in_the_specification() {
    let specification = specification();
    let labels = include_str!("../labels.rs").lines().filter(|line| line.trim_start().starts_with("pub const"));
    let labels: Vec<&str> = labels.map(|line| line.split('"').nth(1).expect("a label")).collect();
    for label in &labels {
        assert!(specification.contains(&format!("`{label}`")), "{label} is missing in proto/README.md");
    }
    assert!(labels.len() >= 22, "{} labels", labels.len());
}

#[test]
fn the_worked_bytes_of_the_specification_come_out() {
    let text = specification();
    let (before, rest) = text.split_once(FENCE).expect("a worked block");
    let (block, after) = rest.split_once("```\n").expect("its end");
    let made = worked();
    if block != made && std::env::var("CLEARHOUSE_REGENERATE").is_ok_and(|v| v == "1") {
        let text = format!("{before}{FENCE}{made}```\n{after}");
        std::fs::write(workspace().join("proto/README.md"), text).expect("it can be written");
        return;
    }
    assert!(block == made, "proto/README.md, section 14, should read:\n{made}");
}

/// `name = hex`, in lines of at most 120 columns.
#[derive(Default)]
struct Block(String);

impl Block {
    fn title(&mut self, text: &str) {
        writeln!(self.0, "-- {text}").unwrap();
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        let hex = hex(bytes);
        let lines: Vec<&str> = (0..hex.len().max(1)).step_by(96).map(|i| &hex[i..hex.len().min(i + 96)]).collect();
        writeln!(self.0, "{name:<16}= {}", lines.join(&format!("\n{:18}", ""))).unwrap();
    }
}

fn worked() -> String {
    let mut block = Block::default();
    block.title("PAE of type http://example.com/HelloWorld and body hello world");
    block.put("pae", &pae("http://example.com/HelloWorld", b"hello world"));
    block.title("a signing key of 32 bytes 01, its id, its signature over the body hello world as a Receipt");
    let key = SigningKey::from_seed(&[1; 32]);
    block.put("public", &key.public());
    block.put("key_id", &key_id(&key.public()).0);
    block.put("sig", &key.sign(media::RECEIPT, b"hello world"));
    stream(&mut block);
    envelope(&mut block);
    block.title("a tree over three digests of 32 bytes 01, 02 and 03; the path of the third");
    let leaves = [1, 2, 3].map(|n| merkle::leaf(&[n; 32]));
    block.put("leaf", &leaves[0]);
    block.put("root", &merkle::root(&leaves));
    block.put("path", &merkle::path(&leaves, 2).concat());
    block.0
}

fn stream(block: &mut Block) {
    block.title("section 5: key 11, salt 22, context 33, each repeated; one byte 00 of plaintext");
    let (key, salt, context) = ([0x11; 32], [0x22; 24], [0x33; 32]);
    let info = [b"c2sp.org/chunked-encryption@v1+", CHUNK_AEAD.as_bytes(), &[0], &salt, &context].concat();
    let mut okm = [0; 76];
    hkdf::Hkdf::<sha2::Sha256>::from_prk(&key).unwrap().expand(&info, &mut okm).unwrap();
    let stream = seal_with_salt(&key, &context, &[0], &salt);
    assert_eq!(stream[24..56], okm[44..]);
    block.put("info", &info);
    block.put("key'", &okm[..32]);
    block.put("base", &okm[32..44]);
    block.put("commitment", &okm[44..]);
    block.put("stream", &stream);
}

fn envelope(block: &mut Block) {
    let file = held("envelope.json");
    let sealed = bytes(&list(&file, "good")[0], "bytes");
    let parts = wire::Envelope::decode(sealed.as_slice()).unwrap();
    let net = Net(fixed(&file, "net"));
    let info = pae_parts(HPKE_INFO, &[net.as_bytes(), &parts.header]);
    let outer = hash(OUTER, &[&parts.header, &parts.kem]);
    let secret = PrekeySecret::from_seed(&fixed(&file["recipient"], "prekey_seed"));
    let (enc, wrapped) = parts.kem.split_at(KEM_ENC_LEN);
    let cek = hpke::single_shot_open::<hpke::aead::ChaCha20Poly1305, hpke::kdf::HkdfSha256, Kem>(
        &OpModeR::Base,
        secret.private().unwrap(),
        &<Kem as hpke::Kem>::EncappedKey::from_bytes(enc).unwrap(),
        &info,
        wrapped,
        b"",
    )
    .unwrap();
    let plaintext = crate::chunked::open(cek.as_slice().try_into().unwrap(), &outer, &parts.content).unwrap();
    let len = u32::from_be_bytes(plaintext[..4].try_into().unwrap()) as usize;
    let inner = wire::Inner::decode(&plaintext[4..4 + len]).unwrap();

    block.title("section 4: the first good envelope");
    block.put("net", &net.0);
    block.put("prekey_seed", secret.seed());
    block.put("prekey_id", &secret.public().unwrap().id().0);
    block.put("header", &parts.header);
    block.put("info", &info);
    block.put("SHA-256(kem)", &sha256(&parts.kem));
    block.put("CEK", &cek);
    block.put("outer", &outer);
    block.put("u32be(len)", &plaintext[..4]);
    block.put("inner", &plaintext[4..4 + len]);
    block.put("sig", &plaintext[4 + len..68 + len]);
    block.put("SHA-256(content)", &sha256(&parts.content));
    block.put("digest", &Outside::parse(&sealed).unwrap().digest.0);
    block.put("next prev_digest", &body_digest(MsgId(inner.msg_id.try_into().unwrap()), &inner.body));
}
