//! What persons fill in, and what the local door is asked: forms as TOML and as JSON, calls as JSON.
//!
//! Promises: a form that is read becomes a message or names a field; a call that was read is written so that it reads the
//! same.

use clearhouse_casework::body;
use clearhouse_casework::deadlines::{Deadlines, Zone};
use clearhouse_casework::forms::{
    AcknowledgeForm, AnswerForm, ArrivalForm, ConsentForm, DepartureForm, FormFault, NoticeForm, PartForm, ProfileForm,
};
use clearhouse_node::calls::Call;
use clearhouse_protocol::ids::OrgId;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::CaseBody;
use clearhouse_wire::v1::case_body::What;
use rand_core::SeedableRng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bytes::Bytes;
use super::{Seed, seed};

/// The morning on which the sample departure leaves.
pub const NOW: u64 = 1_797_057_000;

/// The sample forms of the command line.
pub const SAMPLES: [(&str, &str); 7] = [
    ("consent", include_str!("../../../crates/cli/src/samples/consent.toml")),
    ("notice", include_str!("../../../crates/cli/src/samples/notice.toml")),
    ("acknowledge", include_str!("../../../crates/cli/src/samples/acknowledge.toml")),
    ("answer", include_str!("../../../crates/cli/src/samples/answer.toml")),
    ("profile", include_str!("../../../crates/cli/src/samples/profile.toml")),
    ("departure", include_str!("../../../crates/cli/src/samples/departure.toml")),
    ("arrival", include_str!("../../../crates/cli/src/samples/arrival.toml")),
];

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let (way, as_json) = (bytes.u8() % 8, bytes.u8() % 2 == 1);
    let Ok(text) = std::str::from_utf8(bytes.rest()) else { return };
    let (deadlines, zone) = (Deadlines::default(), Zone::utc());
    match way {
        0 => consent(text, as_json, &deadlines),
        1 => told(
            read(text, as_json).map(|form: NoticeForm| form.build(None, &deadlines, &zone, NOW)),
            What::ReturnNotice,
        ),
        2 => told(read(text, as_json).map(AcknowledgeForm::build), What::Acknowledgement),
        3 => told(read(text, as_json).map(AnswerForm::build), What::Answer),
        4 => {
            if let Some(form) = read::<ProfileForm>(text, as_json) {
                let parts = form.parts.into_iter().map(PartForm::build).collect();
                let profile = wire::VictimProfile { for_worker: "Ana P.".into(), parts, consents: vec![] };
                told(Some(Ok(profile)), What::VictimProfile);
            }
        }
        5 => {
            let form = read(text, as_json).map(|form: DepartureForm| form.build(false, &deadlines, &zone, NOW));
            told(form, What::Departure);
        }
        6 => told(read(text, as_json).map(|form: ArrivalForm| form.build(NOW)), What::Arrival),
        _ => call(text),
    }
}

fn read<T: DeserializeOwned>(text: &str, as_json: bool) -> Option<T> {
    if as_json { serde_json::from_str(text).ok() } else { toml::from_str(text).ok() }
}

fn consent(text: &str, as_json: bool, deadlines: &Deadlines) {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
    let form: Option<ConsentForm> = read(text, as_json);
    if let Some(Ok(given)) = form.map(|form| form.build(OrgId([7; 16]), deadlines, NOW, &mut rng)) {
        let _ = clearhouse_casework::consent::check(&given);
    }
}

/// What a form became: whether it keeps the rules is asked, and its faults are sentences.
fn told<T>(built: Option<Result<T, FormFault>>, what: impl Fn(T) -> What) {
    let payload = match built {
        None => return,
        Some(Err(fault)) => return assert!(fault.to_string().len() < 100, "a fault repeats what was written"),
        Some(Ok(payload)) => payload,
    };
    let body = CaseBody {
        actor_label: "Ana P.".into(),
        actor_role: "Manager".into(),
        zone: "UTC".into(),
        in_reply_to: vec![1; 16],
        what: Some(what(payload)),
        ..CaseBody::default()
    };
    if let Ok(checked) = body::prepare(&body) {
        assert!(*checked.body() == body && !checked.encode().is_empty());
    }
}

fn call(text: &str) {
    let Ok(call) = serde_json::from_str::<Call>(text) else { return };
    let written = json(&call);
    let again: Call = serde_json::from_str(&written).expect("a call that was read is written so that it is read");
    assert!(json(&again) == written, "a call is written in two ways");
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it was read from text")
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (way, (name, text)) in (0u8..).zip(SAMPLES) {
        seeds.push(seed(name, way, &[&[0][..], text.as_bytes()].concat()));
        let value: toml::Value = toml::from_str(text).expect("a sample is TOML");
        seeds.push(seed(&format!("{name}-json"), way, &[&[1][..], json(&value).as_bytes()].concat()));
    }
    for (name, call) in [
        ("status", r#"{"ask": "status"}"#),
        ("sign-in", r#"{"ask": "sign_in", "login": "ana", "passphrase": "x"}"#),
        ("evidence", r#"{"ask": "audit_evidence", "entries": [1, 2], "size": 9}"#),
        ("unknown", r#"{"ask": "status", "more": 1}"#),
    ] {
        seeds.push(seed(&format!("call-{name}"), 7, &[&[1][..], call.as_bytes()].concat()));
    }
    seeds.push(seed("far-day", 1, b"\0window_from = \"9999-12-31\""));
    seeds
}
