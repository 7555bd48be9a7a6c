//! What invented persons write: a valid body of every kind, filled in as an office would. The simulation puts its canaries
//! where people's words go, the fuzzed conversation takes them as they are; `tests/fuzz/lib.rs` includes this file too.

use clearhouse_protocol::ids::OrgId;
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{
    Acknowledgement, Answer, Arrival, Consent, Contact, Departure, Due, FieldValue, ProfilePart, ReturnNotice,
    ServiceOffer, VictimProfile, Withdrawal,
};

/// The caseworker of every office, as the other side reads her name.
pub(crate) const CASEWORKER: &str = "Anamaria P.";
/// Its manager.
pub(crate) const MANAGER: &str = "Miroslava M.";
/// Its child officer.
pub(crate) const CHILD_OFFICER: &str = "Coralia C.";

pub(crate) fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

pub(crate) fn due(at: u64, rule: &str) -> Option<Due> {
    Some(Due { at, zone: "UTC".into(), rule: rule.into() })
}

pub(crate) fn value(field: &str, value: &str) -> FieldValue {
    FieldValue { field: field.into(), values: words(&[value]), null_reason: String::new() }
}

fn contact(label: &str, role: &str) -> Option<Contact> {
    Some(Contact { label: label.into(), role: role.into() })
}

fn day(at: u64) -> u32 {
    u32::try_from(at / DAY).unwrap_or(u32::MAX)
}

/// A notice without haste.
pub(crate) fn notice(child: bool, now: u64) -> ReturnNotice {
    ReturnNotice {
        age_band: if child { "9--17" } else { "21--23" }.into(),
        age_status: if child { "Child" } else { "Adult" }.into(),
        age_basis: "Document".into(),
        gender: "Feminine".into(),
        citizenship: words(&["MD"]),
        languages: words(&["ron", "rus"]),
        dependant_bands: words(&["0--8"]),
        window_from_day: day(now) + 2,
        window_to_day: day(now) + 28,
        country: "MD".into(),
        region: "MD-CU".into(),
        services: words(&["Shelter", "Legal"]),
        risk_level: "Medium".into(),
        urgency: "Routine".into(),
        voluntary: "Voluntary".into(),
        alternatives_explained: true,
        reflection_ends_day: day(now) - 1,
        trafficking_status: "ActualVictimOfTrafficking".into(),
        status_decided_by: "NGO".into(),
        referral_reason: "MigrationOrChangeOfLocation".into(),
        worker: contact(CASEWORKER, "Caseworker"),
        alternate: contact(MANAGER, "Manager"),
        guardian_status: if child { "Appointed" } else { "" }.into(),
        best_interests: if child { "Pending" } else { "" }.into(),
        acknowledge_by: due(now + DAY, "acknowledge"),
        answer_by: due(now + 4 * DAY, "answer"),
        ..ReturnNotice::default()
    }
}

/// A consent given now, for a good while.
pub(crate) fn consent(id: [u8; 16], purpose: &str, receiver: OrgId, child: bool, now: u64) -> Consent {
    let classes: &[&str] = match purpose {
        "ShareProfile" => &["Identity", "Contact", "Needs"],
        "ShareHealth" => &["Health"],
        "ShareTravel" => &["Travel"],
        _ => &[],
    };
    Consent {
        id: id.to_vec(),
        purpose: purpose.into(),
        recipient_org: receiver.to_vec(),
        data_classes: words(classes),
        given_by: if child { "Guardian" } else { "Person" }.into(),
        child_view: if child { "Agrees" } else { "" }.into(),
        form: "Written".into(),
        language: "ron".into(),
        given_at: now,
        expires_at: now + 150 * DAY,
        ..Consent::default()
    }
}

pub(crate) fn acknowledgement(child: bool, now: u64) -> What {
    What::Acknowledgement(Acknowledgement {
        contact: if child { contact(CHILD_OFFICER, "ChildOfficer") } else { contact(CASEWORKER, "Caseworker") },
        alternate: contact(MANAGER, "Manager"),
        expected_answer_day: day(now) + 3,
    })
}

pub(crate) fn answer(kind: &str, child: bool, now: u64) -> What {
    let mut answer = Answer { answer: kind.into(), ..Answer::default() };
    match kind {
        "Accepted" | "AcceptedWithConditions" => {
            let paid_by = "Receiver".to_owned();
            answer.services =
                vec![ServiceOffer { service: "Shelter".into(), start_day: day(now) + 2, days: 90, paid_by }];
            answer.conflict_check_done = true;
            answer.language = "ron".into();
            answer.child_place = child;
            answer.contact = contact(CASEWORKER, "Caseworker");
            answer.alternate = contact(MANAGER, "Manager");
            if kind == "AcceptedWithConditions" {
                answer.conditions = words(&["Arrival on a working day."]);
            }
        }
        "InfoRequested" => answer.info_requested = words(&["region", "services"]),
        _ => answer.decline_reason = "NoCapacity".into(),
    }
    What::Answer(answer)
}

/// A profile for the worker named in the answer.
pub(crate) fn profile(parts: Vec<ProfilePart>) -> What {
    What::VictimProfile(VictimProfile { parts, consents: Vec::new(), for_worker: CASEWORKER.into() })
}

pub(crate) fn departure(left: bool, now: u64) -> What {
    let outcome = if left { "Left" } else { "DidNotLeave" }.to_owned();
    let mut departure = Departure { outcome, at: now, ..Departure::default() };
    if left {
        departure.planned_arrival = now + 20 * HOUR;
        departure.arrival_due = due(now + 44 * HOUR, "arrival-confirm");
    }
    What::Departure(departure)
}

pub(crate) fn arrival(result: &str, now: u64) -> What {
    let mut arrival = Arrival { result: result.into(), at: now, ..Arrival::default() };
    if result == "ArrivedMet" {
        arrival.needs_now = "Shelter".into();
        arrival.met_by = contact(CASEWORKER, "Caseworker");
    }
    What::Arrival(arrival)
}

/// She takes back a consent, for these classes, from now on.
pub(crate) fn withdrawal(consent: Vec<u8>, purpose: &str, data_classes: Vec<String>, now: u64) -> Withdrawal {
    Withdrawal { consent_id: consent, purpose: purpose.into(), data_classes, effective: now }
}
