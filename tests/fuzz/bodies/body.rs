//! What a case message says, and what a store keeps of a case: bodies of every kind, facts, fields, consents.
//!
//! Promises: what is read is written again byte for byte; a body that holds keeps the rules of its parts; a fact comes back
//! as it was.

use clearhouse_casework::body::{self, Kind, needs_consent};
use clearhouse_casework::case::Fact;
use clearhouse_casework::consent::{self, history::History};
use clearhouse_casework::deadlines::{Deadlines, Zone};
use clearhouse_casework::forms::{
    AcknowledgeForm, AnswerForm, ArrivalForm, ConsentForm, DepartureForm, NoticeForm, PartForm, ProfileForm,
};
use clearhouse_casework::htcds::fields::{FIELDS, check};
use clearhouse_protocol::ids::OrgId;
use clearhouse_protocol::limits::INNER_MAX;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::CaseBody;
use clearhouse_wire::v1::case_body::What;
use prost::Message as _;
use rand_core::SeedableRng as _;
use serde::de::DeserializeOwned;

use super::bytes::Bytes;
use super::forms::{NOW, SAMPLES};
use super::{Seed, seed};

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    match bytes.u8() % 12 {
        way @ 0..7 => body(Kind::ALL[usize::from(way)], bytes.rest()),
        7 => fact(bytes.rest()),
        8 => field(&mut bytes),
        9 => consents(bytes.rest()),
        10 => bodies(bytes.rest()),
        _ => {
            let read = History::decode(bytes.rest());
            assert!(read.is_err() || read.is_ok_and(|read| History::decode(&*read.encode_to_vec()).is_ok()));
        }
    }
}

fn body(kind: Kind, bytes: &[u8]) {
    let msg_type = kind.message_type() as u32;
    let Ok(read) = body::check(msg_type, 1, bytes) else { return };
    assert!(bytes.len() <= INNER_MAX && *read.encode() == bytes, "a body that was read is written otherwise");
    assert!(read.kind() == kind && body::prepare(read.body()).is_ok());
    assert!(
        read.consents().all(|given| consent::check(given).is_ok()),
        "a body travels with a consent that does not hold"
    );
    // A profile may need more than one, and a departure none; nothing else needs what its kind does not.
    assert!(read.needs().is_empty() || needs_consent(msg_type).is_some());
    let _ = (read.act(), read.actor_role(), read.skeleton().len());
    for (class, part) in read.parts() {
        let part = wire::ProfilePart::decode(part.as_slice()).expect("a part of a body is one");
        assert!(part.data_class == class.code());
    }
}

/// The same bytes as every kind: they are one kind at most.
fn bodies(bytes: &[u8]) {
    let kinds = Kind::ALL.iter().filter(|kind| body::check(kind.message_type() as u32, 1, bytes).is_ok());
    assert!(kinds.count() <= 1, "a body is of two kinds");
}

fn fact(bytes: &[u8]) {
    let Ok(fact) = Fact::decode(bytes) else { return };
    assert!(Fact::decode(&fact.encode()).is_ok_and(|again| again == fact), "a fact comes back otherwise");
}

/// Values of one field of the standard.
fn field(bytes: &mut Bytes<'_>) {
    let field = &FIELDS[usize::from(bytes.u16()) % FIELDS.len()];
    let Ok(text) = std::str::from_utf8(bytes.rest()) else { return };
    let values: Vec<&str> = text.split('\0').collect();
    if check(field.name, &values).is_ok() {
        assert!(values.iter().all(|value| !value.trim().is_empty()) && values.len() <= field.kind.values_max());
        assert!(check(field.name, &values[..1]).is_ok(), "the first of several values does not hold alone");
    }
}

fn consents(bytes: &[u8]) {
    if let Ok(given) = wire::Consent::decode(bytes)
        && consent::check(&given).is_ok()
    {
        assert!(given.id.len() == 16 && given.given_at < given.expires_at);
    }
    if let Ok(taken_back) = wire::Withdrawal::decode(bytes) {
        let _ = consent::check_withdrawal(&taken_back);
    }
}

fn form<T: DeserializeOwned>(name: &str) -> T {
    let text = SAMPLES.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text);
    toml::from_str(text).expect("a sample is a form")
}

/// The bodies of the sample forms, in the order of their kinds.
fn samples() -> Vec<(&'static str, CaseBody)> {
    let (deadlines, zone) = (Deadlines::default(), Zone::utc());
    let body = |role: &str, replies: bool, what: What| CaseBody {
        actor_label: "Ana P.".into(),
        actor_role: role.into(),
        zone: "UTC".into(),
        in_reply_to: if replies { vec![1; 16] } else { vec![] },
        what: Some(what),
        ..CaseBody::default()
    };
    let notice = form::<NoticeForm>("notice").build(None, &deadlines, &zone, NOW).expect("a sample is sound");
    let departure = form::<DepartureForm>("departure").build(false, &deadlines, &zone, NOW).expect("sound");
    let profile: ProfileForm = form("profile");
    let parts = profile.parts.into_iter().map(PartForm::build).collect();
    let profile = wire::VictimProfile { for_worker: "Ana P.".into(), parts, consents: vec![] };
    let answer = form::<AnswerForm>("answer").build().expect("a sample is sound");
    let acknowledged = form::<AcknowledgeForm>("acknowledge").build().expect("a sample is sound");
    let arrival = form::<ArrivalForm>("arrival").build(NOW).expect("a sample is sound");
    let withdrawal = wire::Withdrawal {
        consent_id: vec![1; 16],
        purpose: "ShareNotice".into(),
        data_classes: vec![],
        effective: NOW,
    };
    vec![
        ("notice", body("Caseworker", false, What::ReturnNotice(notice))),
        ("acknowledgement", body("Caseworker", true, What::Acknowledgement(acknowledged))),
        ("answer", body("Manager", true, What::Answer(answer))),
        ("profile", body("Caseworker", false, What::VictimProfile(profile))),
        ("departure", body("Caseworker", false, What::Departure(departure))),
        ("arrival", body("Caseworker", true, What::Arrival(arrival))),
        ("withdrawal", body("Caseworker", false, What::Withdrawal(withdrawal))),
    ]
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (way, (name, body)) in (0..).zip(samples()) {
        seeds.push(seed(name, way, &body::encode(&body)));
    }
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let given = form::<ConsentForm>("consent").build(OrgId([7; 16]), &Deadlines::default(), NOW, &mut rng);
    let given = given.expect("a sample is sound");
    let mut with_consent = samples().remove(0).1;
    with_consent.consent = Some(given.clone());
    let notice = body::encode(&with_consent);
    seeds.push(seed("notice-consent", 0, &notice));
    seeds.push(seed("notice-cut", 0, &notice[..notice.len() - 1]));
    seeds.push(seed("any", 10, &notice));
    seeds.push(seed("consent", 9, &given.encode_to_vec()));
    // Tags 1 to 18, each with nothing in it, and a message that came in.
    for tag in [1u8, 7, 15] {
        seeds.push(seed(&format!("fact-{tag}"), 7, &[tag << 3 | 2, 0]));
    }
    let text = [&[0, 3][..], "Илеана".as_bytes()].concat();
    seeds.push(seed("field", 8, &text));
    seeds.push(seed("history", 11, &[8, 1, 16, 2, 0x2a, 2, 0x10, 5]));
    seeds
}
