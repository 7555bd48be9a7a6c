//! Makes envelopes for the golden file: honest ones by the product's own `seal`, and whatever an accredited but
//! dishonest sender could make, by the wire specification alone and with nothing of `seal`.

use clearhouse_wire::v1 as wire;
use hpke::{OpModeS, Serializable as _};
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use super::Sample;
use crate::chunked;
use crate::envelope::{Attachment, Letter, body_digest, seal, size_class};
use crate::fixture::{NOW, Region};
use crate::ids::{ConversationId, MsgId, Net, StaffId};
use crate::keys::Kem;
use crate::labels::{HPKE_INFO, OUTER, media};
use crate::limits::{DAY, MINUTE};
use crate::pae::{hash, pae_parts};

pub(super) const EXPIRES: u64 = NOW + 7 * DAY + 5 * MINUTE;
/// Positions in the file of the two envelopes all others are changes of: `seal`'s own and ours.
pub(super) const PLAIN: usize = 0;
pub(super) const FORGED: usize = 4;
const BODY: &[u8] = b"an invented body, for the golden file only";

/// The region of the file and the honest message all others are made from.
pub(super) struct World {
    pub(super) region: Region,
    header: wire::Header,
    inner: wire::Inner,
}

/// What a dishonest sender may change. Each step is the honest one until replaced.
pub(super) struct Draft {
    pub(super) net: Net,
    pub(super) header: wire::Header,
    /// `outer` is filled in after this, unless `bound` is false.
    pub(super) inner: wire::Inner,
    pub(super) bound: bool,
    /// Changes the encoded inner message before it is signed.
    pub(super) encoded: fn(&mut Vec<u8>),
    /// The key that signs: seed of nobody, or a member's.
    pub(super) signer: Option<usize>,
    pub(super) media: &'static str,
    /// Changes the signature.
    pub(super) signature: fn(&mut [u8; 64]),
    /// What stands behind the signature, before the padding.
    pub(super) behind: Vec<u8>,
    /// Changes the whole padded plaintext.
    pub(super) padded: fn(&mut Vec<u8>),
    /// The wrapped content key.
    pub(super) wrapped: Vec<u8>,
    /// The context of the content stream; `None` is the honest one.
    pub(super) context: Option<[u8; 32]>,
}

impl World {
    pub(super) fn new() -> Self {
        let region = Region::new(7, 2);
        let (header, inner) = (wire::Header::default(), wire::Inner::default());
        Self { region, header, inner }
    }

    fn letter(&self) -> Letter<'static> {
        let a = &self.region.members[0];
        Letter {
            net: self.region.net,
            msg_type: wire::MessageType::ReturnNotice as u32,
            body_version: 1,
            msg_id: MsgId([0xa1; 16]),
            sender: (a.org, a.node),
            conversation: ConversationId([0xc1; 32]),
            seq: 1,
            prev_digest: None,
            created: NOW - MINUTE,
            expires: EXPIRES,
            actor: None,
            body: BODY,
            attachments: &[],
        }
    }

    fn seal(&mut self, letter: &Letter<'_>) -> Vec<u8> {
        let (a, b) = (&self.region.members[0], &self.region.members[1]);
        let to = self.region.directory.recipient(b.org, b.node, NOW).unwrap();
        seal(letter, &to, 0, &a.sign, &mut self.region.rng).unwrap().bytes
    }

    /// The envelopes that open. The first is the honest one that everything else is a change of.
    pub(super) fn good(&mut self) -> Vec<Sample> {
        let letter = self.letter();
        let plain = self.seal(&letter);
        self.take_apart(&plain);
        let attachments = [(0xb1, vec![0x5a; 300]), (0xb2, vec![1])]
            .map(|(tag, bytes)| Attachment { name_tag: [tag; 16], bytes: Zeroizing::new(bytes) });
        let second = Letter {
            msg_type: wire::MessageType::VictimProfile as u32,
            msg_id: MsgId([0xa2; 16]),
            seq: 2,
            prev_digest: Some(body_digest(letter.msg_id, letter.body)),
            actor: Some(StaffId([0xd1; 16])),
            attachments: &attachments,
            ..self.letter()
        };
        let second = self.seal(&second);
        let brim = vec![0x42; self.brim()];
        let brim = self.seal(&Letter { body: &brim, ..self.letter() });
        let over = vec![0x42; self.brim() + 1];
        let over = self.seal(&Letter { body: &over, ..self.letter() });
        let again = self.forge(|_| ());
        let later = self.forge(|draft| {
            (draft.inner.msg_type, draft.inner.body_version) = (4242, 9);
            let extension = wire::Extension { r#type: 77, critical: false, value: vec![1, 2, 3] };
            draft.inner.extensions.push(extension);
        });
        vec![
            Sample::opens("a message without attachments", plain.clone()),
            Sample::opens("two attachments, an actor, the second of its conversation", second),
            Sample::opens("a plaintext that fills its class to the last byte", brim),
            Sample::opens("one byte more: the next class, whose final chunk is empty", over),
            Sample::opens("the first message again, sealed with keys that were used before", again),
            Sample::opens("an unknown type and version, an extension that is not critical", later).change_of(FORGED),
            Sample::opens("created ten minutes ahead of our clock", plain.clone())
                .change_of(PLAIN)
                .at(NOW - 11 * MINUTE),
            Sample::opens("in the last second of its life", plain.clone()).change_of(PLAIN).at(EXPIRES - 1),
            Sample::opens("revoked from tomorrow on", plain).change_of(PLAIN).with(self.revoke_sender(NOW + DAY)),
        ]
    }

    /// The longest body whose plaintext still fits 4 KiB.
    fn brim(&self) -> usize {
        let inner = wire::Inner { body: vec![0x42; 3000], ..self.inner.clone() };
        3000 + 4096 - (4 + inner.encoded_len() + 64)
    }

    fn take_apart(&mut self, plain: &[u8]) {
        let envelope = wire::Envelope::decode(plain).unwrap();
        self.header = wire::Header::decode(envelope.header.as_slice()).unwrap();
        let b = &self.region.members[1];
        let outside = crate::envelope::Outside::parse(plain).unwrap();
        let reader = crate::envelope::Reader::new((b.org, b.node), &self.region.directory, NOW);
        let opening = crate::envelope::open(&outside, Some(b.prekey(NOW)), &reader);
        let Ok(crate::envelope::Opening::Whole(opened)) = opening else { panic!("an honest letter opens") };
        self.inner = opened.inner().clone();
    }

    /// The sender's node, revoked by two coordinators.
    pub(super) fn revoke_sender(&self, effective: u64) -> wire::Signed {
        let keys = [&self.region.coordinators[0], &self.region.coordinators[1]];
        let subject = self.region.members[0].node.0;
        crate::ceremony::revoke(self.region.net, wire::SubjectKind::Node, subject, "Compromised", effective, &keys)
    }

    /// An envelope as an insider would make it: the honest message, changed, and sealed to the recipient anew.
    pub(super) fn forge(&self, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
        // The same content key, encapsulation and salt every time, as no sender ever may: so that in the file a change
        // of the message is seen as a change of the envelope, and of nothing else.
        let cek = [0xce; 32];
        let mut draft = Draft {
            net: self.region.net,
            header: self.header.clone(),
            inner: self.inner.clone(),
            bound: true,
            encoded: |_| (),
            signer: Some(0),
            media: media::INNER,
            signature: |_| (),
            behind: vec![],
            padded: |_| (),
            wrapped: cek.to_vec(),
            context: None,
        };
        change(&mut draft);
        self.seal_draft(draft, &cek)
    }

    fn seal_draft(&self, mut draft: Draft, cek: &[u8; 32]) -> Vec<u8> {
        type Aead = hpke::aead::ChaCha20Poly1305;
        type Kdf = hpke::kdf::HkdfSha256;
        let header = draft.header.encode_to_vec();
        let info = pae_parts(HPKE_INFO, &[draft.net.as_bytes(), &header]);
        let prekey = self.region.members[1].prekey(NOW).public().unwrap();
        let rng = &mut ChaCha20Rng::seed_from_u64(7);
        let (enc, ct) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
            &OpModeS::Base,
            prekey.key().unwrap(),
            &info,
            &draft.wrapped,
            b"",
            rng,
        )
        .unwrap();
        let kem = [enc.to_bytes().as_slice(), &ct].concat();
        let outer = hash(OUTER, &[&header, &kem]);

        if draft.bound {
            draft.inner.outer = outer.to_vec();
        }
        let mut inner = draft.inner.encode_to_vec();
        (draft.encoded)(&mut inner);
        let nobody = crate::keys::SigningKey::from_seed(&[0xee; 32]);
        let key = draft.signer.map_or(&nobody, |n| &self.region.members[n].sign);
        let mut sig = key.sign(draft.media, &inner);
        (draft.signature)(&mut sig);
        let len = u32::try_from(inner.len()).unwrap().to_be_bytes();
        let mut plaintext = [len.as_slice(), &inner, &sig, &draft.behind].concat();
        let class = size_class(plaintext.len() as u64).unwrap() as usize;
        plaintext.resize(class, 0);
        (draft.padded)(&mut plaintext);
        let content = chunked::seal_with_salt(cek, &draft.context.unwrap_or(outer), &plaintext, &[0x5a; 24]);
        wire::Envelope { header, kem, content }.encode_to_vec()
    }
}
