//! What persons write, filled in as the office would: valid bodies of every kind, with canaries where people's words go.

use clearhouse_casework::consent::DataClass;
use clearhouse_casework::office::desk::Attached;
use clearhouse_protocol::envelope::Attachment;
use clearhouse_protocol::ids::{ConsentId, MsgId, OrgId};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{
    Acknowledgement, Answer, Arrival, AttachmentNote, Consent, Contact, Departure, Due, FieldValue, ProfilePart,
    ReturnNotice, ServiceOffer, VictimProfile, Withdrawal,
};

use super::canary;
use super::dice::Dice;

/// The caseworker of every office, as the other side reads her name.
pub(super) const CASEWORKER: &str = "Anamaria P.";
/// Its manager.
pub(super) const MANAGER: &str = "Miroslava M.";
/// Its child officer.
pub(super) const CHILD_OFFICER: &str = "Coralia C.";

/// Classes of a profile in this simulation, with the purpose each needs.
pub(super) const PARTS: [(DataClass, &str); 4] = [
    (DataClass::Identity, "ShareProfile"),
    (DataClass::Contact, "ShareProfile"),
    (DataClass::Health, "ShareHealth"),
    (DataClass::Travel, "ShareTravel"),
];

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

fn contact(label: &str, role: &str) -> Option<Contact> {
    Some(Contact { label: label.into(), role: role.into() })
}

fn due(at: u64, rule: &str) -> Option<Due> {
    Some(Due { at, zone: "UTC".into(), rule: rule.into() })
}

fn day(at: u64) -> u32 {
    u32::try_from(at / DAY).unwrap_or(u32::MAX)
}

/// What about the person decides who may act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) child: bool,
    pub(super) high_risk: bool,
}

pub(super) fn notice(person: Person, supersedes: Option<MsgId>, now: u64, dice: &mut Dice) -> What {
    let emergency = dice.percent(20);
    let (read, answered) =
        if emergency { ("acknowledge-emergency", "answer-emergency") } else { ("acknowledge", "answer") };
    let (read_in, answer_in) = if emergency { (2 * HOUR, 12 * HOUR) } else { (DAY, 4 * DAY) };
    What::ReturnNotice(ReturnNotice {
        age_band: if person.child { "9--17" } else { "21--23" }.into(),
        age_status: if person.child { "Child" } else { "Adult" }.into(),
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
        risk_level: if person.high_risk { "High" } else { "Medium" }.into(),
        urgency: if emergency { "Emergency24h" } else { "Routine" }.into(),
        voluntary: "Voluntary".into(),
        alternatives_explained: true,
        reflection_ends_day: day(now) - 1,
        trafficking_status: "ActualVictimOfTrafficking".into(),
        status_decided_by: "NGO".into(),
        referral_reason: "MigrationOrChangeOfLocation".into(),
        worker: contact(CASEWORKER, "Caseworker"),
        alternate: contact(MANAGER, "Manager"),
        guardian_status: if person.child { "Appointed" } else { "" }.into(),
        best_interests: if person.child { "Pending" } else { "" }.into(),
        supersedes: supersedes.map(MsgId::to_vec).unwrap_or_default(),
        acknowledge_by: due(now + read_in, read),
        answer_by: due(now + answer_in, answered),
        ..ReturnNotice::default()
    })
}

pub(super) fn consent(purpose: &str, receiver: OrgId, child: bool, now: u64, dice: &mut Dice) -> Consent {
    let classes: &[&str] = match purpose {
        "ShareProfile" => &["Identity", "Contact", "Needs"],
        "ShareHealth" => &["Health"],
        "ShareTravel" => &["Travel"],
        _ => &[],
    };
    // A few are short, so that they run out while a message under them waits.
    let life = if dice.percent(10) { dice.between(HOUR, DAY) } else { 150 * DAY };
    Consent {
        id: dice.id().to_vec(),
        purpose: purpose.into(),
        recipient_org: receiver.to_vec(),
        data_classes: words(classes),
        given_by: if child { "Guardian" } else { "Person" }.into(),
        child_view: if child { "Agrees" } else { "" }.into(),
        form: "Written".into(),
        language: "ron".into(),
        given_at: now - dice.below(120),
        expires_at: now + life,
        ..Consent::default()
    }
}

pub(super) fn acknowledgement(child: bool, now: u64) -> What {
    What::Acknowledgement(Acknowledgement {
        contact: if child { contact(CHILD_OFFICER, "ChildOfficer") } else { contact(CASEWORKER, "Caseworker") },
        alternate: contact(MANAGER, "Manager"),
        expected_answer_day: day(now) + 3,
    })
}

pub(super) fn answer(kind: &str, child: bool, now: u64) -> What {
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

fn value(field: &str, value: &str) -> FieldValue {
    FieldValue { field: field.into(), values: words(&[value]), null_reason: String::new() }
}

fn part(class: DataClass, dice: &mut Dice, attached: &mut Vec<Attached>) -> ProfilePart {
    let mut part = ProfilePart { data_class: class.code().into(), ..ProfilePart::default() };
    match class {
        DataClass::Identity => {
            let name = if dice.percent(50) { canary::NAME_LATIN } else { canary::NAME_CYRILLIC };
            part.fields = vec![value("prs_FirstName", name)];
        }
        DataClass::Contact => {
            part.fields = vec![
                value("prs_MobilePhone", canary::PHONE),
                value("xsc_Channel", "Text"),
                value("xsc_SafeTimes", "weekdays 10-12"),
                value("xsc_MayLeaveMessage", "false"),
                value("xsc_CallerMayNameNGO", "false"),
            ];
        }
        _ => {
            part.fields = vec![value("xhs_Summary", canary::HEALTH)];
            let name_tag = dice.id();
            let media_type = "application/pdf".to_owned();
            part.attachments =
                vec![AttachmentNote { name_tag: name_tag.to_vec(), name: "letter.pdf".into(), media_type }];
            let bytes = canary::ATTACHED.repeat(usize::try_from(dice.between(1, 200)).unwrap_or(1)).into_bytes();
            attached.push((class, Attachment { name_tag, bytes: bytes.into() }));
        }
    }
    part
}

/// A profile of these classes for the worker named in the answer, and what is attached to it.
pub(super) fn profile(classes: &[DataClass], dice: &mut Dice) -> (What, Vec<Attached>) {
    let mut attached = Vec::new();
    let parts = classes.iter().map(|class| part(*class, dice, &mut attached)).collect();
    let profile = VictimProfile { parts, consents: Vec::new(), for_worker: CASEWORKER.into() };
    (What::VictimProfile(profile), attached)
}

pub(super) fn departure(left: bool, now: u64) -> What {
    let outcome = if left { "Left" } else { "DidNotLeave" }.to_owned();
    let mut departure = Departure { outcome, at: now, ..Departure::default() };
    if left {
        departure.planned_arrival = now + 20 * HOUR;
        departure.arrival_due = due(now + 44 * HOUR, "arrival-confirm");
    }
    What::Departure(departure)
}

pub(super) fn arrival(result: &str, now: u64) -> What {
    let mut arrival = Arrival { result: result.into(), at: now, ..Arrival::default() };
    if result == "ArrivedMet" {
        arrival.needs_now = "Shelter".into();
        arrival.met_by = contact(CASEWORKER, "Caseworker");
    }
    What::Arrival(arrival)
}

pub(super) fn withdrawal(consent: ConsentId, purpose: &str, classes: &[DataClass], now: u64) -> Withdrawal {
    Withdrawal {
        consent_id: consent.to_vec(),
        purpose: purpose.into(),
        data_classes: classes.iter().map(|c| c.code().to_owned()).collect(),
        effective: now,
    }
}
