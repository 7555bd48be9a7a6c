//! What persons do at an office: what the next byte says, to the first case there is. A refusal by the case is an answer.

use clearhouse_casework::case::{Case, Direction, Letter};
use clearhouse_casework::office::desk::Stop;
use clearhouse_casework::office::{Now, Office, Step};
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::ids::{CaseId, ConsentId, MsgId, StaffId};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{
    Acknowledgement, Answer, Arrival, Consent, Contact, Departure, Due, FieldValue, ProfilePart, ReturnNotice,
    ServiceOffer, VictimProfile, Withdrawal,
};
use rand_chacha::ChaCha20Rng;

use super::office::Site;
use super::region;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
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

fn actor(role: Role) -> Actor {
    Actor { staff_id: StaffId([role as u8 + 1; 16]), label: "Ana P.".into(), role }
}

/// One act at an office.
pub(super) fn act(site: &mut Site, which: u8, time: u64) {
    site.decides(time, |office, now| attempt(office, which, now).unwrap_or_default());
}

fn attempt(office: &Office, which: u8, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    // An answer is a manager's; the other bit lets somebody else try.
    let is_managers = which & 0x0f == 5 || which & 0x80 != 0;
    let (time, who) = (now.time, actor(if is_managers { Role::Manager } else { Role::Caseworker }));
    if which & 0x0f == 0 {
        let peer = region().members.iter().find(|member| member.org != office.me().org).ok_or(Stop::NoSuch)?;
        return Ok(office.open_case(&who, peer.org, now)?.0);
    }
    let case = office.cases().ok_or(Stop::Locked)?.iter().next().ok_or(Stop::NoSuch)?;
    let (id, notice) = (case.id(), case.notice().map(Letter::id));
    let (what, reply) = match which & 0x0f {
        1 => return office.record_consent(id, &who, consent(case, "ShareNotice", &[], time), now),
        6 => return office.record_consent(id, &who, consent(case, "ShareProfile", &["Identity"], time), now),
        7 => return office.record_consent(id, &who, consent(case, "ShareTravel", &["Travel"], time), now),
        2 => (notice_at(time), None),
        3 => return read(office, case, &who, now),
        4 => (acknowledgement(time), notice),
        5 => (answer(if which & 0x40 == 0 { "Accepted" } else { "Declined" }, time), notice),
        8 => (profile(), None),
        9 => (departure(time), None),
        10 => (arrival(time), journey(case)),
        11 => return withdraw(office, case, &who, now),
        12 => return Ok(office.stay(id, &who, now)?.0),
        13 => return recall(office, case, &who, now),
        14 => (answer("InfoRequested", time), notice),
        _ => (notice_at(time), notice),
    };
    Ok(office.send(id, &who, what, reply, &[], now)?.0)
}

fn journey(case: &Case) -> Option<MsgId> {
    let left = |letter: &&Letter| letter.kind() == Some(clearhouse_casework::body::Kind::Departure);
    case.letters().iter().filter(left).max_by_key(|letter| letter.seq()).map(Letter::id)
}

fn read(office: &Office, case: &Case, who: &Actor, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    let unread = case.letters().iter().find(|letter| !letter.is_out() && letter.read().is_none());
    office.open_message(case.id(), who, unread.ok_or(Stop::NoSuch)?.id(), now)
}

fn recall(office: &Office, case: &Case, who: &Actor, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    let last = case.letters().iter().rev().find(|letter| letter.is_out()).ok_or(Stop::NoSuch)?;
    office.recall(case.id(), who, last.id(), now)
}

fn withdraw(office: &Office, case: &Case, who: &Actor, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    let consent = case.ledger().consents().last().ok_or(Stop::NoSuch)?;
    let id = ConsentId::try_from(consent.id.as_slice()).map_err(|_| Stop::NoSuch)?;
    let said = Withdrawal {
        consent_id: id.to_vec(),
        purpose: consent.purpose.clone(),
        data_classes: vec![],
        effective: now.time,
    };
    Ok(office.withdraw(case.id(), who, said, now)?.0)
}

fn consent(case: &Case, purpose: &str, classes: &[&str], time: u64) -> Consent {
    let receiver = if case.direction() == Direction::Sent { case.peer_org() } else { case.receiver() };
    let number = case.ledger().consents().count() as u8;
    Consent {
        id: vec![number + 1; 16],
        purpose: purpose.into(),
        recipient_org: receiver.to_vec(),
        data_classes: words(classes),
        given_by: "Person".into(),
        form: "Written".into(),
        language: "ron".into(),
        given_at: time,
        expires_at: time + 150 * DAY,
        ..Consent::default()
    }
}

fn notice_at(time: u64) -> What {
    What::ReturnNotice(ReturnNotice {
        age_band: "21--23".into(),
        age_status: "Adult".into(),
        age_basis: "Document".into(),
        gender: "Feminine".into(),
        citizenship: words(&["MD"]),
        languages: words(&["ron"]),
        window_from_day: day(time) + 14,
        window_to_day: day(time) + 28,
        country: "MD".into(),
        region: "MD-CU".into(),
        services: words(&["Shelter"]),
        risk_level: "Medium".into(),
        urgency: "Routine".into(),
        voluntary: "Voluntary".into(),
        alternatives_explained: true,
        reflection_ends_day: day(time) - 1,
        trafficking_status: "ActualVictimOfTrafficking".into(),
        status_decided_by: "NGO".into(),
        referral_reason: "MigrationOrChangeOfLocation".into(),
        worker: contact("Ana P.", "Caseworker"),
        alternate: contact("Mira M.", "Manager"),
        acknowledge_by: due(time + DAY, "acknowledge"),
        answer_by: due(time + 5 * DAY, "answer"),
        ..ReturnNotice::default()
    })
}

fn acknowledgement(time: u64) -> What {
    What::Acknowledgement(Acknowledgement {
        contact: contact("Ana P.", "Caseworker"),
        alternate: contact("Mira M.", "Manager"),
        expected_answer_day: day(time) + 3,
    })
}

fn answer(kind: &str, time: u64) -> What {
    let mut answer = Answer { answer: kind.into(), ..Answer::default() };
    match kind {
        "Accepted" => {
            let paid_by = "Receiver".to_owned();
            let service = "Shelter".to_owned();
            answer.services = vec![ServiceOffer { service, start_day: day(time) + 14, days: 90, paid_by }];
            answer.conflict_check_done = true;
            answer.language = "ron".into();
            answer.contact = contact("Ana P.", "Caseworker");
            answer.alternate = contact("Mira M.", "Manager");
        }
        "InfoRequested" => answer.info_requested = words(&["region"]),
        _ => answer.decline_reason = "NoCapacity".into(),
    }
    What::Answer(answer)
}

fn profile() -> What {
    let name = FieldValue { field: "prs_FirstName".into(), values: words(&["Ileana"]), null_reason: String::new() };
    let part = ProfilePart { data_class: "Identity".into(), fields: vec![name], attachments: vec![] };
    What::VictimProfile(VictimProfile { parts: vec![part], consents: vec![], for_worker: "Ana P.".into() })
}

fn departure(time: u64) -> What {
    What::Departure(Departure {
        outcome: "Left".into(),
        at: time,
        planned_arrival: time + 20 * HOUR,
        arrival_due: due(time + 44 * HOUR, "arrival-confirm"),
    })
}

fn arrival(time: u64) -> What {
    What::Arrival(Arrival {
        result: "ArrivedMet".into(),
        at: time,
        needs_now: "Shelter".into(),
        met_by: contact("Ana P.", "Caseworker"),
    })
}

/// The name of a case, for whoever compares two offices.
pub(super) fn name(id: CaseId) -> String {
    format!("{id}")
}
