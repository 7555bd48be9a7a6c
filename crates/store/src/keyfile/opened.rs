//! An open key file: its keys, and every change of it. Refuses to change a compartment that is locked, and to go on
//! after a write that did not finish.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clearhouse_protocol::ids::{Net, NodeId};
use clearhouse_protocol::recovery::RecoveryKey;
use rand_core::CryptoRng;

use crate::keyfile::device::DeviceSecret;
use crate::keyfile::error::KeyFileError;
use crate::keyfile::format::{Body, FILE_MAX};
use crate::keyfile::keys::{ContentKeys, Seed, ServiceKeys};
use crate::keyfile::slot::{self, NewSlot, SlotSecret};
use crate::keyfile::{Compartment, Locked, PREKEYS_MAX, Sealing, SlotInfo, slots};
use crate::private_file::{self, Previous, Step};
use crate::secret::{SecretBytes, never};

/// An open key file. The service keys are there; the content keys while it is unlocked. Everything is wiped when it is
/// dropped; it has no `Debug` and no `Clone`.
///
/// Every change is written at once: to a new file, synced, renamed over the old, read back, and only then are the old
/// blocks overwritten. When a change fails on the way, what is on disk may be old or new, and the value refuses
/// further changes with [`KeyFileError::Unfinished`] until it is opened again.
pub struct Opened {
    path: PathBuf,
    image: Vec<u8>,
    body: Body,
    device: DeviceSecret,
    boxes: Boxes,
    service: ServiceKeys,
    content: Option<ContentKeys>,
    unfinished: bool,
}
never!(Opened: std::fmt::Debug, Clone);

/// The keys of the next epoch, not yet in any file: what survives an erasure is wrapped under them first.
pub struct NextEpoch {
    service: ServiceKeys,
    content: ContentKeys,
}

never!(NextEpoch: std::fmt::Debug, Clone);

struct Boxes {
    service: SecretBytes,
    content: Option<SecretBytes>,
}

/// A change of the key file: what is `None` stays.
struct Draft {
    body: Body,
    service: Option<ServiceKeys>,
    content: Option<ContentKeys>,
    /// Turn the device secret, so that no older block of the file opens with what this machine keeps.
    turn: bool,
}

impl NextEpoch {
    /// The service keys of the next epoch.
    #[must_use]
    pub fn service(&self) -> &ServiceKeys {
        &self.service
    }

    /// The content keys of the next epoch.
    #[must_use]
    pub fn content(&self) -> &ContentKeys {
        &self.content
    }
}

impl Opened {
    pub(super) fn create(
        path: &Path,
        (net, node): (Net, NodeId),
        (service, content): (ServiceKeys, ContentKeys),
        new_slots: &[NewSlot<'_>],
        device: &DeviceSecret,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyFileError> {
        let boxes = Boxes { service: SecretBytes::random(rng), content: Some(SecretBytes::random(rng)) };
        let mut body = Body {
            net: net.to_vec(),
            node: node.to_vec(),
            epoch: service.epoch,
            next_slot: 1,
            slots: Vec::new(),
            content: Vec::new(),
            service: Vec::new(),
        };
        for new in new_slots {
            slot::add(&mut body, new, &boxes.service, boxes.content.as_ref(), device, rng)?;
        }
        check_doors(&body, 0)?;
        close(&mut body, &boxes, device.turn(), &service, Some(&content), rng)?;
        let image = body.to_file();
        prove(&image, &boxes, device.turn())?;
        private_file::create(path, &image)?;
        let (device, path) = (device.at(device.turn()), path.to_owned());
        Ok(Self { path, image, body, device, boxes, service, content: Some(content), unfinished: false })
    }

    pub(super) fn unlock(
        locked: &Locked,
        secret: &SlotSecret<'_>,
        device: &DeviceSecret,
    ) -> Result<Self, KeyFileError> {
        let body = locked.body.clone();
        let keys = slot::open_any(&body, secret, device)?;
        let boxes = Boxes { service: keys.service.ok_or(KeyFileError::OpensContentOnly)?, content: keys.content };
        let opened = device.turns().find_map(|turn| Some((turn, open_service(&body, &boxes, turn).ok()?)));
        let (turn, service) = opened.ok_or(KeyFileError::Altered)?;
        let content = open_content(&body, boxes.content.as_ref(), turn)?;
        if turn.expose() != device.turn().expose() {
            // An erasure was cut short after the key file was replaced: the device secret follows now.
            device.promote(turn)?;
        }
        let (path, image, device) = (locked.path.clone(), locked.image.clone(), device.at(turn));
        Ok(Self { path, image, body, device, boxes, service, content, unfinished: false })
    }

    /// The network it is for.
    #[must_use]
    pub fn net(&self) -> Net {
        self.body.net()
    }

    /// The node it is for.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.body.node()
    }

    /// The epoch of its wrapping keys.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.body.epoch
    }

    /// Its slots, by number.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        slots(&self.body)
    }

    /// The service keys.
    #[must_use]
    pub fn service(&self) -> &ServiceKeys {
        &self.service
    }

    /// The content keys; `None` while locked.
    #[must_use]
    pub fn content(&self) -> Option<&ContentKeys> {
        self.content.as_ref()
    }

    /// Drops and wipes the content keys. The vault keeps its own copies: lock it too.
    pub fn lock_content(&mut self) {
        self.content = None;
        self.boxes.content = None;
    }

    /// Opens the content compartment.
    ///
    /// # Errors
    /// [`KeyFileError::WrongPassphrase`] or [`KeyFileError::WrongCredential`]; [`KeyFileError::OpensServiceOnly`];
    /// [`KeyFileError::Altered`]; [`KeyFileError::NoMemory`].
    pub fn unlock_content(&mut self, secret: &SlotSecret<'_>) -> Result<(), KeyFileError> {
        let keys = slot::open_any(&self.body, secret, &self.device)?;
        let content = keys.content.ok_or(KeyFileError::OpensServiceOnly)?;
        self.content = open_content(&self.body, Some(&content), self.device.turn())?;
        self.boxes.content = Some(content);
        Ok(())
    }

    /// Adds a slot and returns its number. A slot that opens content can be added while content is open.
    ///
    /// # Errors
    /// [`KeyFileError::ContentLocked`], [`KeyFileError::TooManySlots`], [`KeyFileError::Passphrase`], and those of any
    /// change: [`KeyFileError::File`], [`KeyFileError::Unfinished`].
    pub fn add_slot(&mut self, new: &NewSlot<'_>, rng: &mut impl CryptoRng) -> Result<u32, KeyFileError> {
        let mut draft = self.draft();
        let (service, content) = (&self.boxes.service, self.boxes.content.as_ref());
        let id = slot::add(&mut draft.body, new, service, content, &self.device, rng)?;
        self.write(draft, rng)?;
        Ok(id)
    }

    /// Removes a slot and turns the device secret, so that who had it cannot come back with an old copy of the key
    /// file. Content must be open.
    ///
    /// # Errors
    /// [`KeyFileError::NoSuchSlot`], [`KeyFileError::LastSlot`], [`KeyFileError::ContentLocked`], and those of any
    /// change.
    pub fn remove_slot(&mut self, id: u32, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        let draft = self.draft_without(id)?;
        check_doors(&draft.body, id)?;
        self.write(draft, rng)
    }

    /// Puts a new slot in the place of an old one in one step: a changed pass phrase. Returns the new number.
    ///
    /// # Errors
    /// Those of [`Opened::add_slot`] and [`Opened::remove_slot`].
    pub fn change_slot(&mut self, id: u32, new: &NewSlot<'_>, rng: &mut impl CryptoRng) -> Result<u32, KeyFileError> {
        let mut draft = self.draft_without(id)?;
        let (service, content) = (&self.boxes.service, self.boxes.content.as_ref());
        let new_id = slot::add(&mut draft.body, new, service, content, &self.device, rng)?;
        check_doors(&draft.body, id)?;
        self.write(draft, rng)?;
        Ok(new_id)
    }

    /// Replaces the prekey seeds (by week number). When a seed goes, the device secret turns, so that the seed is in
    /// no block that still opens. Content must be open.
    ///
    /// # Errors
    /// [`KeyFileError::ContentLocked`], [`KeyFileError::TooManyPrekeys`], and those of any change.
    pub fn set_prekeys(
        &mut self,
        prekeys: BTreeMap<u64, SecretBytes>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyFileError> {
        let content = self.content.as_ref().ok_or(KeyFileError::ContentLocked)?;
        if prekeys.len() > PREKEYS_MAX {
            return Err(KeyFileError::TooManyPrekeys);
        }
        let kept =
            |(week, old): (&u64, &SecretBytes)| prekeys.get(week).is_some_and(|new| new.expose() == old.expose());
        let turn = !content.prekeys.iter().all(kept);
        let content = ContentKeys { nmk: content.nmk.duplicate(), epoch: content.epoch, prekeys };
        self.write(Draft { content: Some(content), turn, ..self.draft() }, rng)
    }

    /// Renews one seed of the service compartment. The caller has the new public key certified first.
    ///
    /// # Errors
    /// Those of any change.
    pub fn renew(&mut self, which: Seed, seed: SecretBytes, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        let service = self.service.with_seed(which, seed);
        self.write(Draft { service: Some(service), ..self.draft() }, rng)
    }

    /// Puts the organisation's recovery key in the place of the one before. From then on backups are sealed to it; what
    /// was sealed to the old one still opens with the old sheets.
    ///
    /// # Errors
    /// Those of any change.
    pub fn set_recovery(&mut self, key: RecoveryKey, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        let service = self.service.duplicate().with_recovery(key);
        self.write(Draft { service: Some(service), ..self.draft() }, rng)
    }

    /// New wrapping keys, in memory only. Wrap what survives under them, make that durable, then call
    /// [`Opened::enter_epoch`] (decision 20). Content must be open.
    ///
    /// # Errors
    /// [`KeyFileError::ContentLocked`].
    pub fn next_epoch(&self, rng: &mut impl CryptoRng) -> Result<NextEpoch, KeyFileError> {
        let content = self.content.as_ref().ok_or(KeyFileError::ContentLocked)?;
        let epoch = self.body.epoch.checked_add(1).ok_or(KeyFileError::Damaged)?;
        let prekeys = content.duplicate_prekeys();
        let service = ServiceKeys { nmk: SecretBytes::random(rng), epoch, ..self.service.duplicate() };
        Ok(NextEpoch { service, content: ContentKeys { nmk: SecretBytes::random(rng), epoch, prekeys } })
    }

    /// Replaces the wrapping keys for good and turns the device secret. From here on nothing that was wrapped under
    /// the old ones alone can be opened by anyone.
    ///
    /// # Errors
    /// [`KeyFileError::ContentLocked`], [`KeyFileError::Altered`] when the keys are not of the epoch after this one,
    /// and those of any change.
    pub fn enter_epoch(&mut self, next: NextEpoch, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        if Some(next.service.epoch) != self.body.epoch.checked_add(1) {
            return Err(KeyFileError::Altered);
        }
        let mut draft = Draft { turn: true, ..self.draft() };
        draft.body.epoch = next.service.epoch;
        (draft.service, draft.content) = (Some(next.service), Some(next.content));
        self.write(draft, rng)
    }

    fn draft(&self) -> Draft {
        Draft { body: self.body.clone(), service: None, content: None, turn: false }
    }

    fn draft_without(&self, id: u32) -> Result<Draft, KeyFileError> {
        let mut draft = Draft { turn: true, ..self.draft() };
        draft.body.slots.retain(|slot| slot.id != id);
        let found = draft.body.slots.len() != self.body.slots.len();
        if found { Ok(draft) } else { Err(KeyFileError::NoSuchSlot(id)) }
    }

    fn write(&mut self, draft: Draft, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        self.write_stepwise(draft, rng, &mut |_| Ok(()))
    }

    /// The one way a key file changes. `before` is asked ahead of every step of the replacement.
    fn write_stepwise(
        &mut self,
        mut draft: Draft,
        rng: &mut impl CryptoRng,
        before: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> Result<(), KeyFileError> {
        if self.unfinished {
            return Err(KeyFileError::Unfinished);
        }
        let reseals_content = draft.turn || draft.content.is_some();
        if reseals_content && self.boxes.content.is_none() {
            return Err(KeyFileError::ContentLocked);
        }
        let turn = if draft.turn { SecretBytes::random(rng) } else { self.device.turn().duplicate() };
        let service = draft.service.unwrap_or_else(|| self.service.duplicate());
        let content = draft.content.as_ref().or(self.content.as_ref()).filter(|_| reseals_content);
        close(&mut draft.body, &self.boxes, &turn, &service, content, rng)?;
        let image = draft.body.to_file();
        if image.len() > FILE_MAX {
            return Err(KeyFileError::TooManySlots);
        }
        prove(&image, &self.boxes, &turn)?;
        if draft.turn {
            self.device.stage(&turn)?;
        }
        self.unfinished = true;
        private_file::replace_stepwise(&self.path, &self.image, &image, Previous::Erase, before)?;
        if draft.turn {
            self.device.promote(&turn)?;
            self.device = self.device.at(&turn);
        }
        self.unfinished = false;
        (self.body, self.image, self.service) = (draft.body, image, service);
        self.content = draft.content.or(self.content.take());
        Ok(())
    }
}

/// Seals the compartments into `body`: content when it is given, else it is carried as it is; the lid always, last.
fn close(
    body: &mut Body,
    boxes: &Boxes,
    turn: &SecretBytes,
    service: &ServiceKeys,
    content: Option<&ContentKeys>,
    rng: &mut impl CryptoRng,
) -> Result<(), KeyFileError> {
    if let Some(content) = content {
        let box_key = boxes.content.as_ref().ok_or(KeyFileError::ContentLocked)?;
        let sealing = Sealing { which: Compartment::Content, body, box_key, turn };
        body.content = sealing.seal(&content.encode(), rng)?;
    }
    let sealing = Sealing { which: Compartment::Service, body, box_key: &boxes.service, turn };
    body.service = sealing.seal(&service.encode(), rng)?;
    Ok(())
}

/// Opens the bytes about to be written with the keys at hand: a file that would not open is never written.
fn prove(image: &[u8], boxes: &Boxes, turn: &SecretBytes) -> Result<(), KeyFileError> {
    let body = Body::from_file(image)?;
    open_service(&body, boxes, turn)?;
    open_content(&body, boxes.content.as_ref(), turn)?;
    Ok(())
}

fn open_service(body: &Body, boxes: &Boxes, turn: &SecretBytes) -> Result<ServiceKeys, KeyFileError> {
    let sealing = Sealing { which: Compartment::Service, body, box_key: &boxes.service, turn };
    ServiceKeys::decode(&sealing.open()?, body.epoch).ok_or(KeyFileError::Damaged)
}

fn open_content(
    body: &Body,
    box_key: Option<&SecretBytes>,
    turn: &SecretBytes,
) -> Result<Option<ContentKeys>, KeyFileError> {
    let Some(box_key) = box_key else { return Ok(None) };
    let sealing = Sealing { which: Compartment::Content, body, box_key, turn };
    ContentKeys::decode(&sealing.open()?, body.epoch).ok_or(KeyFileError::Damaged).map(Some)
}

/// Refuses a file that nobody could start or nobody could read cases with.
fn check_doors(body: &Body, id: u32) -> Result<(), KeyFileError> {
    let infos = slots(body);
    let service = infos.iter().any(|slot| slot.opens.service());
    let content = infos.iter().any(|slot| slot.opens.content());
    if service && content { Ok(()) } else { Err(KeyFileError::LastSlot(id)) }
}

#[cfg(test)]
impl Opened {
    pub(super) fn boxes_for_test(&self) -> (&SecretBytes, &SecretBytes) {
        (&self.boxes.service, self.boxes.content.as_ref().unwrap())
    }

    /// Adds nothing and removes nothing, but turns, stopping before `at`: a power cut in an erasure.
    pub(super) fn cut_short(&mut self, rng: &mut impl CryptoRng, at: Step) -> Result<(), KeyFileError> {
        let next = self.next_epoch(rng)?;
        let mut draft = Draft { turn: true, ..self.draft() };
        draft.body.epoch = next.service.epoch;
        (draft.service, draft.content) = (Some(next.service), Some(next.content));
        let mut stop = |step| if step == at { Err(io::Error::other("power cut")) } else { Ok(()) };
        self.write_stepwise(draft, rng, &mut stop)
    }
}
