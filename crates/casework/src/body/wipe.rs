//! Overwrites the words of a body in memory. Refuses nothing; forgets everything that could name or place a person.
//! Vectors are wiped as they stand: copies that earlier growth of a buffer left behind are beyond reach.

use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, Contact, ProfilePart, ReturnNotice};
use zeroize::Zeroize as _;

use crate::consent;

pub(super) fn body(body: &mut CaseBody) {
    body.actor_label.zeroize();
    body.consent.iter_mut().for_each(consent::wipe);
    match &mut body.what {
        Some(What::ReturnNotice(n)) => notice(n),
        Some(What::Acknowledgement(a)) => {
            contact(&mut a.contact);
            contact(&mut a.alternate);
        }
        Some(What::Answer(a)) => {
            a.answer.zeroize();
            a.decline_reason.zeroize();
            a.conditions.zeroize();
            a.info_requested.zeroize();
            a.services.iter_mut().for_each(|s| s.service.zeroize());
            contact(&mut a.contact);
            contact(&mut a.alternate);
        }
        Some(What::VictimProfile(p)) => {
            p.parts.iter_mut().for_each(part);
            p.consents.iter_mut().for_each(consent::wipe);
            p.for_worker.zeroize();
        }
        Some(What::Departure(d)) => {
            d.outcome.zeroize();
            d.at.zeroize();
            d.planned_arrival.zeroize();
        }
        Some(What::Arrival(a)) => {
            a.result.zeroize();
            a.needs_now.zeroize();
            contact(&mut a.met_by);
        }
        Some(What::Withdrawal(w)) => {
            w.purpose.zeroize();
            w.data_classes.zeroize();
        }
        None => {}
    }
}

pub(super) fn part(part: &mut ProfilePart) {
    for field in &mut part.fields {
        field.field.zeroize();
        field.values.zeroize();
        field.null_reason.zeroize();
    }
    for note in &mut part.attachments {
        note.name.zeroize();
        note.media_type.zeroize();
    }
}

fn notice(n: &mut ReturnNotice) {
    for word in [
        &mut n.age_band,
        &mut n.age_status,
        &mut n.age_basis,
        &mut n.gender,
        &mut n.country,
        &mut n.region,
        &mut n.risk_level,
        &mut n.urgency,
        &mut n.voluntary,
        &mut n.trafficking_status,
        &mut n.status_decided_by,
        &mut n.referral_reason,
        &mut n.guardian_status,
        &mut n.best_interests,
    ] {
        word.zeroize();
    }
    for words in [&mut n.citizenship, &mut n.languages, &mut n.dependant_bands, &mut n.services] {
        words.zeroize();
    }
    contact(&mut n.worker);
    contact(&mut n.alternate);
}

fn contact(contact: &mut Option<Contact>) {
    if let Some(contact) = contact {
        contact.label.zeroize();
        contact.role.zeroize();
    }
}
