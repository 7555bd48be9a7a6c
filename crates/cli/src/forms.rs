//! Forms that people fill in: read from TOML or JSON, a file or stdin, and the samples that explain them.
//!
//! Refuses unknown keys by name, says what is still to be filled in, and repeats no value: what stands in a form may
//! be a person's.

use std::path::Path;

use clap::ValueEnum;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::ask::wipe;
use crate::files;
use crate::trouble::{Code, Trouble};

/// Longest form: it has to fit into one call.
pub(crate) const FORM_MAX: usize = 512 << 10;
/// Schema of the drafts that an import writes.
pub(crate) const DRAFT_SCHEMA: &str = "ch.draft/1";

/// The forms there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Form {
    /// For `consent record`
    Consent,
    /// For `notice send`
    Notice,
    /// For `notice acknowledge`
    Acknowledge,
    /// For `notice answer`
    Answer,
    /// For `profile send`
    Profile,
    /// For `arrival depart`
    Departure,
    /// For `arrival confirm`
    Arrival,
}

impl Form {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Notice => "notice",
            Self::Acknowledge => "acknowledge",
            Self::Answer => "answer",
            Self::Profile => "profile",
            Self::Departure => "departure",
            Self::Arrival => "arrival",
        }
    }

    /// A form filled in with an invented case, every key explained.
    pub(crate) const fn sample(self) -> &'static str {
        match self {
            Self::Consent => include_str!("samples/consent.toml"),
            Self::Notice => include_str!("samples/notice.toml"),
            Self::Acknowledge => include_str!("samples/acknowledge.toml"),
            Self::Answer => include_str!("samples/answer.toml"),
            Self::Profile => include_str!("samples/profile.toml"),
            Self::Departure => include_str!("samples/departure.toml"),
            Self::Arrival => include_str!("samples/arrival.toml"),
        }
    }

    /// Reads a filled-in form from `from`, `-` for stdin. A draft of an import gives its part of this name.
    ///
    /// # Errors
    /// [`Code::Form`] with line and key, [`Code::NoFile`].
    pub(crate) fn read<T: DeserializeOwned>(self, from: &Path) -> Result<T, Trouble> {
        let bytes = if from == Path::new("-") {
            files::read_stdin(FORM_MAX, Code::Form)?
        } else {
            files::read(from, FORM_MAX, Code::Form)?
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| self.trouble("is not UTF-8 text"))?;
        self.parse(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    fn parse<T: DeserializeOwned>(self, text: &str) -> Result<T, Trouble> {
        let start = text.trim_start();
        if start.is_empty() {
            return Err(self.trouble("is empty"));
        }
        if start.starts_with('{') { self.parse_json(text) } else { self.parse_toml(text) }
    }

    fn parse_toml<T: DeserializeOwned>(self, text: &str) -> Result<T, Trouble> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text.bytes().take(span.start).filter(|b| *b == b'\n').count());
            self.fault(line, error.message())
        })
    }

    fn parse_json<T: DeserializeOwned>(self, text: &str) -> Result<T, Trouble> {
        let told = |error: serde_json::Error| {
            let line = (error.line() > 0).then(|| error.line());
            self.fault(line, &Zeroizing::new(error.to_string()))
        };
        let mut value: Value = serde_json::from_str(text).map_err(told)?;
        let is_draft = value.get("schema").and_then(Value::as_str) == Some(DRAFT_SCHEMA);
        if is_draft {
            let part = value.get_mut(self.name()).map(Value::take);
            wipe(&mut value);
            value = part.ok_or_else(|| self.trouble("is a draft that has no such part"))?;
        }
        let mut open = Vec::new();
        unfilled(&value, String::new(), &mut open);
        if !open.is_empty() {
            wipe(&mut value);
            let open = open.join(", ");
            return Err(self.trouble(&format!("is not filled in yet: {open}. Remove a line that does not apply")));
        }
        if is_draft {
            serde_json::from_value(value).map_err(told)
        } else {
            wipe(&mut value);
            serde_json::from_str(text).map_err(told)
        }
    }

    fn fault(self, line: Option<usize>, message: &str) -> Trouble {
        let place = line.map(|n| format!(", line {n}")).unwrap_or_default();
        self.trouble(&format!("does not fit{place}: {}", without_values(message)))
    }

    fn trouble(self, what: &str) -> Trouble {
        let text = format!("The form '{}' {what}. Nothing was sent.", self.name());
        Trouble::new(Code::Form, text, format!("clearhouse config default --form {}", self.name()))
    }
}

/// Paths of every `null` in a form: what an import could not know and a person must decide.
fn unfilled(value: &Value, path: String, open: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null => open.push(path),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                unfilled(item, below(&(n + 1).to_string()), open);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(key, field)| unfilled(field, below(key), open)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Letters of a key that are repeated.
const KEY_SHOWN_MAX: usize = 60;

/// A parser's message with the names of keys and without what stood in the form.
fn without_values(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let keep = |start: &str| first.starts_with(start);
    if keep("missing field") || keep("unknown field") || keep("duplicate field") || keep("duplicate key") {
        let key: String = first.split('`').nth(1).unwrap_or_default().chars().take(KEY_SHOWN_MAX).collect();
        let what = first.split('`').next().unwrap_or_default().trim();
        let key = key.escape_debug();
        return match first.rsplit_once("expected") {
            Some((_, rest)) if keep("unknown field") => {
                let rest = rest.split(" at line").next().unwrap_or_default();
                format!("{what} `{key}`, expected{rest}")
            }
            _ => format!("{what} `{key}`"),
        };
    }
    match first.rsplit_once(", expected ") {
        Some((_, wanted)) if !wanted.contains('"') => {
            let wanted = wanted.split(" at line").next().unwrap_or_default();
            format!("here belongs {wanted}")
        }
        _ => "this is not written as TOML or JSON is written".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clearhouse_casework::body;
    use clearhouse_casework::deadlines::{Deadlines, Zone};
    use clearhouse_casework::forms::{
        AcknowledgeForm, AnswerForm, ArrivalForm, ConsentForm, DepartureForm, NoticeForm, PartForm, ProfileForm,
    };
    use clearhouse_protocol::ids::OrgId;
    use clearhouse_wire::v1::case_body::What;
    use clearhouse_wire::v1::{CaseBody, VictimProfile};
    use rand_core::SeedableRng as _;

    use super::*;

    /// The morning on which the sample departure leaves.
    const NOW: u64 = 1_797_057_000;

    fn sample<T: DeserializeOwned>(form: Form) -> T {
        form.parse(form.sample()).unwrap_or_else(|t| panic!("{}: {}", form.name(), t.text))
    }

    fn passes(form: Form, role: &str, what: What, replies: bool) {
        let body = CaseBody {
            actor_label: "Ana P.".into(),
            actor_role: role.into(),
            zone: "UTC".into(),
            in_reply_to: if replies { vec![1; 16] } else { vec![] },
            what: Some(what),
            ..CaseBody::default()
        };
        assert!(body::prepare(&body).is_ok(), "{}: {:?}", form.name(), body::prepare(&body).err());
    }

    #[test]
    fn every_sample_is_a_message_that_could_be_sent() {
        let (deadlines, zone) = (Deadlines::default(), Zone::utc());
        let notice: NoticeForm = sample(Form::Notice);
        let notice = notice.build(None, &deadlines, &zone, NOW).unwrap();
        passes(Form::Notice, "Caseworker", What::ReturnNotice(notice), false);
        let acknowledge: AcknowledgeForm = sample(Form::Acknowledge);
        passes(Form::Acknowledge, "Caseworker", What::Acknowledgement(acknowledge.build().unwrap()), true);
        let answer: AnswerForm = sample(Form::Answer);
        passes(Form::Answer, "Manager", What::Answer(answer.build().unwrap()), true);
        let profile: ProfileForm = sample(Form::Profile);
        let parts = profile.parts.into_iter().map(PartForm::build).collect();
        let profile = VictimProfile { for_worker: "Ana P.".into(), parts, consents: vec![] };
        passes(Form::Profile, "Caseworker", What::VictimProfile(profile), false);
        let departure: DepartureForm = sample(Form::Departure);
        let departure = departure.build(false, &deadlines, &zone, NOW).unwrap();
        passes(Form::Departure, "Caseworker", What::Departure(departure), false);
        let arrival: ArrivalForm = sample(Form::Arrival);
        passes(Form::Arrival, "Caseworker", What::Arrival(arrival.build(NOW).unwrap()), true);
    }

    #[test]
    fn the_sample_consent_keeps_the_rules_of_a_consent() {
        let consent: ConsentForm = sample(Form::Consent);
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let consent = consent.build(OrgId([7; 16]), &Deadlines::default(), NOW, &mut rng).unwrap();
        assert!(clearhouse_casework::consent::check(&consent).is_ok());
    }

    #[test]
    fn the_same_form_is_read_as_json() {
        for form in Form::value_variants() {
            let value: toml::Value = toml::from_str(form.sample()).unwrap();
            let json = serde_json::to_string(&value).unwrap();
            let read: Result<Value, _> = form.parse(&json);
            assert!(read.is_ok(), "{}", form.name());
        }
        let toml: toml::Value = toml::from_str(Form::Arrival.sample()).unwrap();
        let arrival: ArrivalForm = Form::Arrival.parse(&serde_json::to_string(&toml).unwrap()).unwrap();
        assert_eq!(arrival.result, "ArrivedMet");
    }

    #[test]
    fn a_form_that_does_not_fit_names_line_and_key_and_no_value() {
        let told = |text: &str| Form::Arrival.parse::<ArrivalForm>(text).err().unwrap().text;
        assert!(told("result = 'x'\nIleana = 1\n").contains("line 2: unknown field `Ileana`, expected one of"));
        assert!(told("at = 'x'\n").contains("missing field `result`"));
        for text in ["result = ['Ileana']", "result = Ileana", "{\"result\": [\"Ileana\"]}", "{\"result\": Ileana"] {
            let told = told(text);
            assert!(!told.contains("Ileana"), "{told}");
            assert!(told.contains("line 1"), "{told}");
        }
        // Where a parser would quote the value it cannot use.
        for text in ["answer = 'x'\nchild_place = 'Ileana'\n", "{\"answer\": \"x\",\n\"child_place\": \"Ileana\"}"] {
            let told = Form::Answer.parse::<AnswerForm>(text).err().unwrap().text;
            assert!(told.contains("line 2: here belongs a boolean") && !told.contains("Ileana"), "{told}");
        }
        assert!(told("  \n").contains("is empty"));
    }

    #[test]
    fn a_draft_gives_its_part_and_says_what_is_open() {
        let draft =
            r#"{"schema": "ch.draft/1", "arrival": {"result": "ArrivedMet", "met_by": {"label": null, "role": null}}}"#;
        let told = Form::Arrival.parse::<ArrivalForm>(draft).err().unwrap().text;
        assert!(told.contains("met_by.label, met_by.role"), "{told}");
        let filled =
            draft.replace("{\"label\": null, \"role\": null}", "{\"label\": \"Ana P.\", \"role\": \"Caseworker\"}");
        assert_eq!(Form::Arrival.parse::<ArrivalForm>(&filled).ok().unwrap().result, "ArrivedMet");
        assert!(Form::Notice.parse::<NoticeForm>(&filled).err().unwrap().text.contains("no such part"));
    }
}
