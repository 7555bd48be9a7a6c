//! Descriptors: what a node says of itself, by its own key, for a while.

use clearhouse_wire::v1::{Descriptor, DutyHours, Signed};

use super::{Checked, Directory, RecordFault, checked_parse, is_code, no_critical, node_id};
use crate::directory::entry::CODES_MAX;
use crate::labels::media;
use crate::limits::{
    DESCRIPTOR_AHEAD_SECS, DESCRIPTOR_LIFE_SECS, DUTY_MAX, HOUR, LABEL_MAX, MAILBOXES_MAX, PREKEY_WEEKS, TLS_KEYS_MAX,
};
use crate::signed::{self, Verdicts, Verified};

impl Directory {
    pub(super) fn check_descriptor(
        &self,
        signed: &Signed,
        now: u64,
        verdicts: &Verdicts,
    ) -> Result<Option<Checked>, RecordFault> {
        let claim: Verified<Descriptor> = checked_parse(media::DESCRIPTOR, signed)?;
        let descriptor = claim.value();
        self.same_net(&descriptor.net)?;
        let node = node_id(&descriptor.node_id)?;
        no_critical(&descriptor.extensions)?;
        let signer = verdicts.held(&self.cert(node).ok_or(RecordFault::Signer)?.sign_pk)?;
        if signed::count_beside(media::DESCRIPTOR, signed, &[signer], verdicts)?.is_empty() {
            return Err(RecordFault::Signer);
        }
        check_descriptor_fields(descriptor)?;
        if !crate::relay::are_its_own(descriptor, self.net(), node) {
            return Err(RecordFault::Field);
        }
        let serial_time = descriptor.serial.checked_mul(HOUR).ok_or(RecordFault::Broken)?;
        if serial_time > now.saturating_add(DESCRIPTOR_AHEAD_SECS) {
            return Err(RecordFault::Broken);
        }
        // What is said tomorrow is said in tomorrow's descriptor.
        let attested_ahead = descriptor.attested > serial_time.saturating_add(DESCRIPTOR_AHEAD_SECS);
        if descriptor.expires > serial_time.saturating_add(DESCRIPTOR_LIFE_SECS) || attested_ahead {
            return Err(RecordFault::Field);
        }
        for pk in &descriptor.tls_pks {
            verdicts.admit(pk)?;
            let pk: [u8; 32] = pk.as_slice().try_into().map_err(|_| RecordFault::Field)?;
            // One channel key names one node, or a pinned connection would have two owners.
            if self.tls.get(&pk).is_some_and(|owner| *owner != node) {
                return Err(RecordFault::Field);
            }
        }
        match self.descriptors.get(&node) {
            Some(held) if held.record.raw().payload == signed.payload => Ok(None),
            Some(held) if held.value().serial == descriptor.serial => Err(RecordFault::Equivocation),
            Some(held) if held.value().serial > descriptor.serial => Err(RecordFault::Rollback),
            Some(_) | None => Ok(Some(Checked::Descriptor(node, claim))),
        }
    }
}

fn check_descriptor_fields(descriptor: &Descriptor) -> Result<(), RecordFault> {
    let weeks: Vec<u64> = descriptor.prekeys.iter().map(|p| p.week).collect();
    let mailboxes = &descriptor.mailboxes;
    let sound = (1..=TLS_KEYS_MAX).contains(&descriptor.tls_pks.len())
        && (1..=MAILBOXES_MAX).contains(&mailboxes.len())
        && mailboxes.iter().all(|m| m.id.len() == 16 && m.node_id.len() == 16)
        && short(mailboxes.iter().map(|m| &m.endpoint))
        && descriptor.languages.len() <= CODES_MAX
        && descriptor.languages.iter().all(|language| is_language(language))
        && (1..=PREKEY_WEEKS as usize + 1).contains(&weeks.len())
        && weeks.windows(2).all(|w| w[0] < w[1])
        && descriptor.prekeys.iter().all(|p| p.sha256.len() == 32)
        && (1..=16).contains(&descriptor.suites.len())
        && descriptor.reads.len() <= 64
        && descriptor.duty.len() <= DUTY_MAX
        && descriptor.duty.iter().all(is_duty)
        && (descriptor.alternate.is_empty() || is_code(&descriptor.alternate));
    if sound { Ok(()) } else { Err(RecordFault::Field) }
}

fn is_duty(hours: &DutyHours) -> bool {
    hours.day <= 7 && hours.from_minute < hours.until_minute && hours.until_minute <= 24 * 60
}

/// ISO 639-2.
fn is_language(language: &str) -> bool {
    language.len() == 3 && language.bytes().all(|c| c.is_ascii_lowercase())
}

fn short<'a>(texts: impl IntoIterator<Item = &'a String>) -> bool {
    let plain = |t: &String| t.chars().count() <= LABEL_MAX && !t.chars().any(char::is_control);
    texts.into_iter().all(plain)
}
