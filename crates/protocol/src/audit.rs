//! A node's own record: what happened, committed to without saying what. Refuses content by having no field for it.
//!
//! Each event is an [`wire::Opening`], padded to one length and hidden behind an HMAC under a salt of its own; the
//! commitment is the future leaf of the node's log (protocol section 7.5, decisions 20 and 27).

use clearhouse_wire::v1 as wire;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prost::Message as _;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

pub use wire::AuditEvent;

use crate::canon;
use crate::ids::{Digest, Net, NodeId, OrgId};
use crate::keys::{KeyFault, VerifyKey};
use crate::labels::media;
use crate::limits::{ERASED_RANGES_MAX, OPENING_LEN, OPENING_STEP_SECS, RETENTION_RULE_MAX};
use crate::log::note::{KeyKind, NoteKey};
use crate::pae::pae_head;
use crate::rows::EventRow;

/// An event before it is numbered and hidden. Everything but the kind may be absent.
#[derive(Clone, Copy, Default)]
pub struct Happening {
    /// What happened.
    pub event: AuditEvent,
    /// The other party.
    pub peer: Option<(OrgId, NodeId)>,
    /// The envelope it concerns.
    pub digest: Option<Digest>,
    /// The envelope it answers.
    pub answers: Option<Digest>,
    /// The earlier sealing of the same message, in whose place this envelope stands.
    pub replaces: Option<Digest>,
    /// A MessageType number, 0 for none.
    pub msg_class: u32,
    /// A day something is due, unix days, 0 for none.
    pub due_day: u64,
    /// The role in which somebody acted; empty when the node acted.
    pub role: &'static str,
}

impl Happening {
    /// An event of this kind with nothing else known.
    #[must_use]
    pub fn of(event: AuditEvent) -> Self {
        Self { event, ..Self::default() }
    }

    /// Names the other party.
    #[must_use]
    pub fn with(mut self, org: OrgId, node: NodeId) -> Self {
        self.peer = Some((org, node));
        self
    }

    /// Names the envelope and its class.
    #[must_use]
    pub fn about(mut self, digest: Digest, msg_class: u32) -> Self {
        self.digest = Some(digest);
        self.msg_class = msg_class;
        self
    }

    /// Names the role that acted.
    #[must_use]
    pub fn by(mut self, role: &'static str) -> Self {
        self.role = role;
        self
    }
}

/// The name of a node's log: `clearhouse.<net8>/<org>/<node>/g<generation>`.
#[must_use]
pub fn origin(net: Net, org: OrgId, node: NodeId, generation: u32) -> String {
    format!("clearhouse.{}/{org}/{node}/g{generation}", crate::ids::hex(&net.0[..4]))
}

/// The generation a log starts with. A next one is handed over by coordinators, after a loss nothing can mend.
pub const FIRST_GENERATION: u32 = 1;

/// The name under which a node cosigns the heads of others.
#[must_use]
pub fn witness_name(net: Net, org: OrgId, node: NodeId) -> String {
    format!("clearhouse.{}/{org}/{node}/witness", crate::ids::hex(&net.0[..4]))
}

/// How a key is taken out of a record: admitted, or read again where it was admitted with its record.
type Read = Result<VerifyKey, KeyFault>;

/// The log's key as a certificate names it, if it is a key for a log of exactly this node.
#[must_use]
pub(crate) fn log_key(vkey: &str, net: Net, org: OrgId, node: NodeId, read: impl Fn(&[u8]) -> Read) -> Option<NoteKey> {
    let key = NoteKey::parse_by(vkey, read).ok().filter(|key| key.kind() == KeyKind::Log)?;
    let generation = key.name().rsplit_once("/g")?.1.parse().ok().filter(|g| *g >= FIRST_GENERATION)?;
    (key.name() == origin(net, org, node, generation)).then_some(key)
}

/// The witness key as a certificate names it, if it is a key of exactly this node.
#[must_use]
pub(crate) fn witness_key(
    vkey: &str,
    net: Net,
    org: OrgId,
    node: NodeId,
    read: impl Fn(&[u8]) -> Read,
) -> Option<NoteKey> {
    let key = NoteKey::parse_by(vkey, read).ok().filter(|key| key.kind() == KeyKind::Witness)?;
    (key.name() == witness_name(net, org, node)).then_some(key)
}

/// Numbers and hides an event. The salt is fresh, so equal events have unrelated commitments.
pub fn record(
    happening: &Happening,
    net: Net,
    origin: &str,
    index: u64,
    now: u64,
    rng: &mut impl CryptoRng,
) -> EventRow {
    hide(&opening(happening, net, origin, index, now), rng)
}

/// What can no longer be opened, and why. One event holds at most [`ERASED_RANGES_MAX`] ranges: more use more events.
#[derive(Clone, Copy)]
pub struct Erasure<'a> {
    /// Positions in the node's own record, before this event, first and last included.
    pub ranges: &'a [(u64, u64)],
    /// The rule by which it was erased, at most [`RETENTION_RULE_MAX`] bytes; empty for a restore.
    pub rule: &'a str,
}

/// [`record`] for an event after which earlier ones cannot be opened: CASE_ERASED or RESTORE. `None` when it is of
/// another kind, does not fit, or names a range that is none.
pub fn record_erasure(
    happening: &Happening,
    erasure: Erasure<'_>,
    net: Net,
    origin: &str,
    index: u64,
    now: u64,
    rng: &mut impl CryptoRng,
) -> Option<EventRow> {
    let mut opening = opening(happening, net, origin, index, now);
    opening.erased = erasure.ranges.iter().map(|(from, to)| wire::IndexRange { from: *from, to: *to }).collect();
    opening.retention_rule = erasure.rule.to_owned();
    erasure_is_sound(&opening).then(|| hide(&opening, rng))
}

/// Whether what an opening says of earlier ones can stand: nothing at all, or a few ranges that all end before it, in
/// an event that may have some.
#[must_use]
pub fn erasure_is_sound(opening: &wire::Opening) -> bool {
    let erases = matches!(opening.event(), AuditEvent::CaseErased | AuditEvent::Restore);
    let sound = opening.erased.iter().all(|r| r.from <= r.to && r.to < opening.index);
    let few = opening.erased.len() <= ERASED_RANGES_MAX && opening.retention_rule.len() <= RETENTION_RULE_MAX;
    sound && few && (erases || (opening.erased.is_empty() && opening.retention_rule.is_empty()))
}

fn opening(happening: &Happening, net: Net, origin: &str, index: u64, now: u64) -> wire::Opening {
    let (org, node) = happening.peer.map(|(o, n)| (o.to_vec(), n.to_vec())).unwrap_or_default();
    wire::Opening {
        net: net.to_vec(),
        origin: origin.to_owned(),
        event: happening.event.into(),
        time: now - now % OPENING_STEP_SECS,
        peer_org: org,
        peer_node: node,
        envelope_digest: happening.digest.map(Digest::to_vec).unwrap_or_default(),
        msg_class: happening.msg_class,
        due_day: happening.due_day,
        ref_digest: happening.answers.map(Digest::to_vec).unwrap_or_default(),
        actor_role: happening.role.to_owned(),
        index,
        replaces_digest: happening.replaces.map(Digest::to_vec).unwrap_or_default(),
        erased: vec![],
        retention_rule: String::new(),
    }
}

fn hide(opening: &wire::Opening, rng: &mut impl CryptoRng) -> EventRow {
    let index = opening.index;
    let opening = padded(opening);
    let mut salt = [0u8; 32];
    rng.fill_bytes(&mut salt);
    EventRow { index, commitment: commit(&salt, &opening), salt, opening }
}

/// HMAC-SHA256(salt, PAE(opening type, padded opening)).
#[must_use]
pub fn commit(salt: &[u8; 32], opening: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length; 32 bytes never fail.
    Hmac::<Sha256>::new_from_slice(salt).map_or([0; 32], |mut mac| {
        mac.update(&pae_head(media::OPENING, opening.len()));
        mac.update(opening);
        mac.finalize().into_bytes().into()
    })
}

/// Reads an opening that belongs to a commitment. `None` when it does not, or is not one.
#[must_use]
pub fn reveal(commitment: &[u8; 32], salt: &[u8; 32], padded: &[u8]) -> Option<wire::Opening> {
    if !bool::from(commit(salt, padded).ct_eq(commitment)) {
        return None;
    }
    unpad(padded)
}

/// Reads a padded opening without a commitment.
#[must_use]
pub fn unpad(padded: &[u8]) -> Option<wire::Opening> {
    let (len, rest) = padded.split_first_chunk::<2>()?;
    let (opening, zeros) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    if padded.len() != OPENING_LEN || zeros.iter().any(|b| *b != 0) {
        return None;
    }
    canon::decode(opening, OPENING_LEN).ok()
}

/// An opening behind its length in two bytes, filled up with zeros.
fn padded(opening: &wire::Opening) -> Vec<u8> {
    let len = opening.encoded_len();
    let mut padded = Vec::with_capacity(OPENING_LEN.max(2 + len));
    padded.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    opening.encode_raw(&mut padded);
    padded.resize(OPENING_LEN.max(padded.len()), 0);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    fn row(index: u64) -> EventRow {
        let mut rng = ChaCha20Rng::seed_from_u64(index);
        let net = Net([9; 32]);
        let origin = origin(net, OrgId([1; 16]), NodeId([2; 16]), 1);
        let happening = Happening {
            due_day: 20_000,
            answers: Some(Digest([4; 32])),
            ..Happening::of(AuditEvent::Sent)
                .with(OrgId([7; 16]), NodeId([8; 16]))
                .about(Digest([3; 32]), 6)
                .by("ChildOfficer")
        };
        record(&happening, net, &origin, index, 1_794_657_600 + 599, &mut rng)
    }

    #[test]
    fn the_fullest_opening_fits_its_padding_and_reads_back() {
        let row = row(u64::MAX);
        assert_eq!(row.opening.len(), OPENING_LEN);
        let opening = reveal(&row.commitment, &row.salt, &row.opening).unwrap();
        assert_eq!(opening.time % OPENING_STEP_SECS, 0);
        assert_eq!(opening.actor_role, "ChildOfficer");
    }

    #[test]
    fn another_salt_or_one_changed_byte_does_not_open_the_commitment() {
        let row = row(1);
        assert!(reveal(&row.commitment, &[0; 32], &row.opening).is_none());
        let mut changed = row.opening.clone();
        changed[OPENING_LEN - 1] = 1;
        assert!(reveal(&row.commitment, &row.salt, &changed).is_none());
        assert!(unpad(&changed).is_none());
    }

    #[test]
    fn the_fullest_erasure_fits_its_padding_and_an_unsound_one_is_not_recorded() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let net = Net([9; 32]);
        let origin = origin(net, OrgId([1; 16]), NodeId([2; 16]), u32::MAX);
        let mut erase = |event, ranges: &[(u64, u64)], rule: &str| {
            let happening = Happening::of(event).by("NationalCoordinationOfficer");
            record_erasure(&happening, Erasure { ranges, rule }, net, &origin, u64::MAX, u64::MAX, &mut rng)
        };
        let longest = [(u64::MAX - 1, u64::MAX - 1); ERASED_RANGES_MAX];
        let row = erase(AuditEvent::CaseErased, &longest, &"r".repeat(RETENTION_RULE_MAX)).unwrap();
        assert_eq!(row.opening.len(), OPENING_LEN);
        let opening = reveal(&row.commitment, &row.salt, &row.opening).unwrap();
        assert_eq!(opening.erased.len(), ERASED_RANGES_MAX);
        assert!(erase(AuditEvent::Restore, &[(0, 0)], "").is_some());
        assert!(erase(AuditEvent::CaseErased, &[(1, 2); ERASED_RANGES_MAX + 1], "r").is_none());
        assert!(erase(AuditEvent::CaseErased, &[(1, 2)], &"r".repeat(RETENTION_RULE_MAX + 1)).is_none());
        assert!(erase(AuditEvent::CaseErased, &[(2, 1)], "r").is_none());
        assert!(erase(AuditEvent::CaseErased, &[(1, u64::MAX)], "r").is_none(), "itself");
        assert!(erase(AuditEvent::Sent, &[(1, 2)], "").is_none());
    }

    #[test]
    fn attack_41_without_its_salt_no_guess_of_event_day_and_organisations_fits_a_leaf() {
        let (leaf, others) = (row(0), [row(1), row(2)]);
        let truth = unpad(&leaf.opening).unwrap();
        let salts = [[0; 32], [0xff; 32], others[0].salt, others[1].salt, leaf.commitment];
        let mut tried = 0;
        for (org, node) in [([7; 16], [8; 16]), ([1; 16], [2; 16]), ([8; 16], [7; 16])] {
            for event in [AuditEvent::Sent, AuditEvent::AuditReceived, AuditEvent::AuditOpened] {
                // Two weeks in steps of ten minutes, the true time, parties and digest among them.
                for step in 0..2 * 7 * 144 {
                    let time = truth.time - 7 * 86_400 + step * OPENING_STEP_SECS;
                    let (peer_org, peer_node) = (Vec::from(org), Vec::from(node));
                    let guess = wire::Opening { event: event.into(), time, peer_org, peer_node, ..truth.clone() };
                    let guess = padded(&guess);
                    tried += 1;
                    assert!(salts.iter().all(|salt| commit(salt, &guess) != leaf.commitment));
                }
            }
        }
        assert_eq!(tried, 9 * 2016);
        assert!(reveal(&leaf.commitment, &leaf.salt, &padded(&truth)).is_some(), "the truth was among them");
    }

    #[test]
    fn equal_events_commit_differently() {
        assert_ne!(row(1).commitment, row(2).commitment);
    }
}
