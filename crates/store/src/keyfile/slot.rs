//! Slots: how a pass phrase, a credential or a person opens the box keys of the compartments.
//!
//! KEK = HKDF-SHA256(Argon2id(pass phrase, salt) || device secret, PAE("clearhouse/kek/v1", NET || node || slot)); a
//! credential stands in for the Argon2id output, it is random already. Refuses to tell a wrong secret from a damaged
//! slot.

use clearhouse_protocol::ids::StaffId;
use clearhouse_protocol::labels;
use clearhouse_protocol::pae::pae_parts;
use rand_core::CryptoRng;

use crate::aead;
use crate::keyfile::device::DeviceSecret;
use crate::keyfile::error::KeyFileError;
use crate::keyfile::format::{Body, Slot, SlotRecord, VERSION};
use crate::keyfile::kdf::{self, KdfCost, SALT_LEN};
use crate::keyfile::{Opens, PASSPHRASE_SLOTS_MAX, SLOTS_MAX, SlotKind};
use crate::passphrase::{Credential, Passphrase};
use crate::secret::SecretBytes;

/// What someone has in hand to open a key file.
pub enum SlotSecret<'a> {
    /// The node's own pass phrase.
    Passphrase(&'a Passphrase),
    /// A service's credential.
    Credential(&'a Credential),
    /// A member of staff and her pass phrase.
    Person(StaffId, &'a Passphrase),
}

/// A slot to be added.
pub enum NewSlot<'a> {
    /// A pass phrase of the node.
    Passphrase {
        /// At least [`PASSPHRASE_MIN_CHARS`](crate::passphrase::PASSPHRASE_MIN_CHARS) characters.
        secret: &'a Passphrase,
        /// What a guess costs.
        cost: KdfCost,
        /// What it opens.
        opens: Opens,
    },
    /// A credential file, for a service nobody sits at.
    Credential {
        /// The credential.
        secret: &'a Credential,
        /// What it opens.
        opens: Opens,
    },
    /// A member of staff; opens the case keys only.
    Person {
        /// Who.
        staff: StaffId,
        /// At least [`PASSPHRASE_MIN_CHARS`](crate::passphrase::PASSPHRASE_MIN_CHARS) characters.
        secret: &'a Passphrase,
        /// What a guess costs.
        cost: KdfCost,
    },
}

/// The box keys a slot gave.
pub(crate) struct BoxKeys {
    pub(crate) service: Option<SecretBytes>,
    pub(crate) content: Option<SecretBytes>,
}

/// Opens the first slot of `body` that the secret fits.
pub(crate) fn open_any(body: &Body, secret: &SlotSecret<'_>, device: &DeviceSecret) -> Result<BoxKeys, KeyFileError> {
    for record in &body.slots {
        let slot = record.read()?;
        let fits = match (secret, slot.kind) {
            (SlotSecret::Passphrase(_), SlotKind::Passphrase) | (SlotSecret::Credential(_), SlotKind::Credential) => {
                true
            }
            (SlotSecret::Person(who, _), SlotKind::Person(staff)) => *who == staff,
            (SlotSecret::Passphrase(_) | SlotSecret::Credential(_) | SlotSecret::Person(..), _) => false,
        };
        if !fits {
            continue;
        }
        let kek = kek(body, &slot, secret, device)?;
        if let Ok(plain) = aead::open_framed(&kek, &slot_aad(body, record), slot.boxed) {
            return split(&plain, slot.opens).ok_or(KeyFileError::Damaged);
        }
    }
    Err(match secret {
        SlotSecret::Passphrase(_) | SlotSecret::Person(..) => KeyFileError::WrongPassphrase,
        SlotSecret::Credential(_) => KeyFileError::WrongCredential,
    })
}

/// Adds a slot to `body` and returns its number. The lid has to be sealed anew afterwards.
pub(crate) fn add(
    body: &mut Body,
    new: &NewSlot<'_>,
    service: &SecretBytes,
    content: Option<&SecretBytes>,
    device: &DeviceSecret,
    rng: &mut impl CryptoRng,
) -> Result<u32, KeyFileError> {
    let mut salt = [0; SALT_LEN];
    rng.fill_bytes(&mut salt);
    let (kind, staff, opens, cost, secret) = match new {
        NewSlot::Passphrase { secret, cost, opens } => {
            (1, Vec::new(), *opens, Some(*cost), SlotSecret::Passphrase(secret))
        }
        NewSlot::Credential { secret, opens } => (2, Vec::new(), *opens, None, SlotSecret::Credential(secret)),
        NewSlot::Person { staff, secret, cost } => {
            (3, staff.to_vec(), Opens::Content, Some(*cost), SlotSecret::Person(*staff, secret))
        }
    };
    check_room(body, &secret)?;
    let id = body.next_slot;
    let mut record = SlotRecord {
        id,
        kind,
        staff,
        opens: opens.bits(),
        m_kib: cost.map_or(0, KdfCost::m_kib),
        t: cost.map_or(0, KdfCost::t),
        p: cost.map_or(0, KdfCost::p),
        salt: cost.map_or(Vec::new(), |_| salt.to_vec()),
        boxed: Vec::new(),
    };
    let content = if opens.content() { Some(content.ok_or(KeyFileError::ContentLocked)?) } else { None };
    let service = opens.service().then_some(service);
    let parts: Vec<&[u8]> = service.into_iter().chain(content).map(|key| key.expose().as_slice()).collect();
    let kek = kek(body, &record.read()?, &secret, device)?;
    record.boxed = aead::seal_framed(&kek, &slot_aad(body, &record), &parts, rng)?;
    body.slots.push(record);
    body.next_slot = id.checked_add(1).ok_or(KeyFileError::TooManySlots)?;
    Ok(id)
}

fn check_room(body: &Body, secret: &SlotSecret<'_>) -> Result<(), KeyFileError> {
    let passphrases = body.slots.iter().filter(|slot| slot.kind == 1).count();
    let full = match secret {
        SlotSecret::Passphrase(passphrase) => {
            passphrase.check_new()?;
            passphrases >= PASSPHRASE_SLOTS_MAX
        }
        SlotSecret::Person(_, passphrase) => {
            passphrase.check_new()?;
            false
        }
        SlotSecret::Credential(_) => false,
    };
    if full || body.slots.len() >= SLOTS_MAX { Err(KeyFileError::TooManySlots) } else { Ok(()) }
}

fn kek(
    body: &Body,
    slot: &Slot<'_>,
    secret: &SlotSecret<'_>,
    device: &DeviceSecret,
) -> Result<SecretBytes, KeyFileError> {
    let info = pae_parts(labels::KEK, &[&body.net, &body.node, &slot.id.to_be_bytes()]);
    let device = device.fixed().expose();
    let passphrase = match secret {
        SlotSecret::Credential(credential) => return Ok(aead::derive(&[credential.0.expose(), device], &info)?),
        SlotSecret::Passphrase(passphrase) | SlotSecret::Person(_, passphrase) => passphrase,
    };
    let (cost, salt) = slot.stretch.ok_or(KeyFileError::Damaged)?;
    let stretched = kdf::stretch(passphrase, salt, cost, b"")
        .map_err(|_| KeyFileError::NoMemory { mib: cost.m_kib().div_ceil(1024) })?;
    Ok(aead::derive(&[stretched.as_ref(), device], &info)?)
}

/// Everything of the slot but its box, and whose file it is in.
fn slot_aad(body: &Body, slot: &SlotRecord) -> Vec<u8> {
    use prost::Message as _;
    let clear = SlotRecord { boxed: Vec::new(), ..slot.clone() }.encode_to_vec();
    pae_parts(labels::KEY_SLOT, &[&VERSION.to_be_bytes(), &body.net, &body.node, &clear])
}

fn split(plain: &[u8], opens: Opens) -> Option<BoxKeys> {
    let mut keys = plain.chunks_exact(SecretBytes::LEN).map(SecretBytes::from_slice);
    let service = if opens.service() { Some(keys.next()??) } else { None };
    let content = if opens.content() { Some(keys.next()??) } else { None };
    let exact = plain.len() == SecretBytes::LEN * (usize::from(opens.service()) + usize::from(opens.content()));
    exact.then_some(BoxKeys { service, content })
}
