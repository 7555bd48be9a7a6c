//! Whole bodies for tests, about nobody.

use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{
    Acknowledgement, Answer, Arrival, AttachmentNote, CaseBody, Consent, Contact, Departure, Due, FieldValue,
    ProfilePart, ReturnNotice, ServiceOffer, VictimProfile, Withdrawal,
};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const TODAY: u32 = (NOW / 86_400) as u32;
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const RECEIVER: [u8; 16] = [0xb0; 16];

pub(crate) fn contact(label: &str, role: &str) -> Option<Contact> {
    Some(Contact { label: label.into(), role: role.into() })
}

pub(crate) fn due(at: u64, rule: &str) -> Option<Due> {
    Some(Due { at, zone: "Europe/Sofia".into(), rule: rule.into() })
}

pub(crate) fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

pub(crate) fn consent(id: u8, purpose: &str, classes: &[&str]) -> Consent {
    Consent {
        id: vec![id; 16],
        purpose: purpose.into(),
        recipient_org: RECEIVER.to_vec(),
        data_classes: words(classes),
        given_by: "Person".into(),
        form: "Written".into(),
        language: "ron".into(),
        given_at: NOW - 2 * DAY,
        expires_at: NOW + 150 * DAY,
        ..Consent::default()
    }
}

pub(crate) fn body(role: &str, what: What) -> CaseBody {
    let label = match role {
        "Manager" => "Mira M.",
        "ChildOfficer" => "Cora C.",
        _ => "Ana P.",
    };
    CaseBody {
        actor_label: label.into(),
        actor_role: role.into(),
        zone: "Europe/Sofia".into(),
        what: Some(what),
        ..CaseBody::default()
    }
}

pub(crate) fn notice_at(now: u64) -> CaseBody {
    let what = ReturnNotice {
        age_band: "21--23".into(),
        age_status: "Adult".into(),
        age_basis: "Document".into(),
        gender: "Feminine".into(),
        citizenship: words(&["MD"]),
        languages: words(&["ron", "rus"]),
        dependant_bands: words(&["0--8", "0--8"]),
        window_from_day: (now / DAY) as u32 + 14,
        window_to_day: (now / DAY) as u32 + 28,
        country: "MD".into(),
        region: "MD-CU".into(),
        services: words(&["Shelter", "Legal"]),
        risk_level: "Medium".into(),
        urgency: "Routine".into(),
        voluntary: "Voluntary".into(),
        alternatives_explained: true,
        reflection_ends_day: (now / DAY) as u32 - 1,
        trafficking_status: "ActualVictimOfTrafficking".into(),
        status_decided_by: "NGO".into(),
        referral_reason: "MigrationOrChangeOfLocation".into(),
        worker: contact("Ana P.", "Caseworker"),
        alternate: contact("Mira M.", "Manager"),
        acknowledge_by: due(now + DAY, "acknowledge"),
        answer_by: due(now + 5 * DAY, "answer"),
        ..ReturnNotice::default()
    };
    let mut body = body("Caseworker", What::ReturnNotice(what));
    body.consent = Some(consent(1, "ShareNotice", &[]));
    body
}

pub(crate) fn notice() -> CaseBody {
    notice_at(NOW)
}

pub(crate) fn child_notice() -> CaseBody {
    let mut body = notice();
    body.actor_role = "ChildOfficer".into();
    body.actor_label = "Cora C.".into();
    let consent = body.consent.as_mut().unwrap();
    consent.given_by = "Guardian".into();
    consent.child_view = "Agrees".into();
    let Some(What::ReturnNotice(n)) = &mut body.what else { unreachable!() };
    n.age_band = "9--17".into();
    n.age_status = "Child".into();
    n.guardian_status = "Appointed".into();
    n.best_interests = "Pending".into();
    body
}

pub(crate) fn acknowledgement(to: &[u8]) -> CaseBody {
    let what = Acknowledgement {
        contact: contact("Elena R.", "Caseworker"),
        alternate: contact("Mira M.", "Manager"),
        expected_answer_day: TODAY + 3,
    };
    let mut body = body("Caseworker", What::Acknowledgement(what));
    body.in_reply_to = to.to_vec();
    body
}

pub(crate) fn answer(kind: &str, to: &[u8]) -> CaseBody {
    let mut what = Answer { answer: kind.into(), ..Answer::default() };
    let mut role = "Manager";
    match kind {
        "Accepted" | "AcceptedWithConditions" => {
            let offer =
                ServiceOffer { service: "Shelter".into(), start_day: TODAY + 14, days: 90, paid_by: "Receiver".into() };
            what.services = vec![offer];
            what.conflict_check_done = true;
            what.language = "ron".into();
            what.contact = contact("Elena R.", "Caseworker");
            what.alternate = contact("Mira M.", "Manager");
            if kind == "AcceptedWithConditions" {
                what.conditions = words(&["Arrival on a working day."]);
            }
        }
        "InfoRequested" => {
            what.info_requested = words(&["region", "services"]);
            role = "Caseworker";
        }
        _ => what.decline_reason = "NoCapacity".into(),
    }
    let mut body = body(role, What::Answer(what));
    body.in_reply_to = to.to_vec();
    body
}

pub(crate) fn value(field: &str, values: &[&str]) -> FieldValue {
    FieldValue { field: field.into(), values: words(values), null_reason: String::new() }
}

pub(crate) fn part(class: &str, fields: Vec<FieldValue>) -> ProfilePart {
    ProfilePart { data_class: class.into(), fields, attachments: Vec::new() }
}

pub(crate) fn profile() -> CaseBody {
    let identity = part(
        "Identity",
        vec![
            value("prs_FirstName", &["Ileana"]),
            FieldValue { field: "prs_Birthdate".into(), values: vec![], null_reason: "Refused".into() },
        ],
    );
    let contact = part(
        "Contact",
        vec![
            value("prs_MobilePhone", &["+37360000101"]),
            value("xsc_Channel", &["Text"]),
            value("xsc_SafeTimes", &["weekdays 10-12"]),
            value("xsc_MayLeaveMessage", &["false"]),
            value("xsc_CallerMayNameNGO", &["false"]),
        ],
    );
    let mut health = part("Health", vec![value("xhs_Summary", &["Needs a quiet room."])]);
    let note =
        AttachmentNote { name_tag: vec![5; 16], name: "letter.pdf".into(), media_type: "application/pdf".into() };
    health.attachments.push(note);
    let what = VictimProfile {
        parts: vec![identity, contact, health],
        consents: vec![consent(3, "ShareHealth", &["Health"])],
        for_worker: "Elena R.".into(),
    };
    let mut body = body("Caseworker", What::VictimProfile(what));
    body.consent = Some(consent(2, "ShareProfile", &["Identity", "Contact"]));
    body
}

pub(crate) fn departure(outcome: &str, now: u64) -> CaseBody {
    let mut what = Departure { outcome: outcome.into(), at: now, ..Departure::default() };
    if outcome == "Left" {
        what.planned_arrival = now + 20 * HOUR;
        what.arrival_due = due(now + 44 * HOUR, "arrival-confirm");
    }
    let mut body = body("Caseworker", What::Departure(what));
    if outcome != "ChoseNotToTravel" {
        body.consent = Some(consent(4, "ShareTravel", &["Travel"]));
    }
    body
}

pub(crate) fn arrival(result: &str, to: &[u8], now: u64) -> CaseBody {
    let mut what = Arrival { result: result.into(), at: now, ..Arrival::default() };
    if result == "ArrivedMet" {
        what.needs_now = "Shelter".into();
        what.met_by = contact("Elena R.", "Caseworker");
    }
    let mut body = body("Caseworker", What::Arrival(what));
    body.in_reply_to = to.to_vec();
    body
}

pub(crate) fn withdrawal(consent_id: u8, purpose: &str, classes: &[&str], now: u64) -> CaseBody {
    let what = Withdrawal {
        consent_id: vec![consent_id; 16],
        purpose: purpose.into(),
        data_classes: words(classes),
        effective: now,
    };
    body("Caseworker", What::Withdrawal(what))
}
