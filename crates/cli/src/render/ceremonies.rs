//! What coordinators sign, and what is done with it: applications, accreditations, refusals, revocations, each in plain
//! words before and after.

use serde_json::Value;

use super::{counted, flag, items, number, pairs, text};

/// How an organisation came in and what it bound itself to, one line each.
pub(super) fn membership(v: &Value) -> Vec<(&'static str, String)> {
    let Some(said) = v.get("membership") else { return Vec::new() };
    let signed = text(said, "standards_signed");
    let standards = match text(said, "standards") {
        code if code.is_empty() => code,
        code => format!("{code}, signed {signed}"),
    };
    let mut lines = vec![("area", text(said, "area")), ("standards", standards)];
    let agreement = |a: &Value| {
        let (name, until) = (text(a, "name"), text(a, "until"));
        let until =
            if flag(a, "ended") { format!("{name}, ENDED on {until}") } else { format!("{name}, until {until}") };
        ("agreement", until)
    };
    lines.extend(items(said, "agreements").iter().map(agreement));
    lines.extend(items(said, "sponsors").iter().map(|s| ("sponsored by", sponsor(s))));
    lines
}

fn sponsor(s: &Value) -> String {
    let (label, country, id) = (text(s, "label"), text(s, "country"), text(s, "org"));
    let who = match (flag(s, "known"), label.is_empty()) {
        (false, _) => format!("{id}: unknown here, ask who that is"),
        (true, true) if flag(s, "coordinator") => format!("the coordinator of {country} ({id})"),
        (true, true) => format!("a coordinator of {country} until another policy came ({id})"),
        (true, false) => format!("{label} of {country} ({id})"),
    };
    if flag(s, "ended") { who + ", whose accreditation ENDED" } else { who }
}

/// What an entry says, one line each.
fn entry(v: &Value) -> Vec<(&'static str, String)> {
    let mut lines = vec![("id", text(v, "org")), ("roles", text(v, "roles")), ("competences", text(v, "competences"))];
    lines.extend(membership(v));
    lines.extend([("fingerprint", text(v, "fingerprint")), ("until", text(v, "until"))]);
    lines
}

pub(super) fn application(v: &Value) -> String {
    let (label, country, network) = (text(v, "label"), text(v, "country"), text(v, "network"));
    let mut lines = entry(v);
    if v.get("membership").is_some_and(|said| items(said, "sponsors").is_empty()) {
        lines.push(("sponsored by", "nobody".to_owned()));
    }
    format!("{label} of {country} applies to the {} network {network}:\n{}", text(v, "kind"), pairs(2, &lines))
}

pub(super) fn refusal(v: &Value) -> String {
    let network = text(v, "network");
    let mut out = format!("A coordinator of the network {network} refused an application:\n");
    out += &pairs(
        2,
        &[
            ("organisation", text(v, "label")),
            ("id", text(v, "org")),
            ("application", text(v, "application")),
            ("reason", text(v, "reason")),
            ("refused by", format!("the coordinator of {} ({})", text(v, "country"), text(v, "coordinator"))),
            ("on", text(v, "made")),
        ],
    );
    if flag(v, "written") {
        out += "Send it to the applicant. Nobody else is told.\n";
        return out + &pairs(0, &[("written", text(v, "file"))]);
    }
    out + "Its signature holds.\n"
}

pub(super) fn submission(v: &Value) -> String {
    let mut out = format!("For the network {}:\n", text(v, "network"));
    for row in items(v, "submitted") {
        let mut lines = vec![(kind(row), text(row, "what"))];
        lines.extend(signers(row));
        if flag(row, "by_itself") {
            lines.push(("signed by", "the organisation itself".to_owned()));
        }
        out += &pairs(2, &lines);
        out += &standing(row);
    }
    let Some(import) = v.get("import") else { return out };
    out += &super::organisations::import(import);
    out + &text(v, "next") + "\n"
}

fn kind(row: &Value) -> &'static str {
    match row.get("kind").and_then(Value::as_str) {
        Some("accreditation") => "accreditation",
        Some("policy") => "policy",
        Some("revocation") => "revocation",
        Some("objection") => "objection",
        Some(_) | None => "record",
    }
}

/// Whether a record has all it needs, in a sentence.
fn standing(row: &Value) -> String {
    let (have, needed) = (number(row, "signatures"), number(row, "needed"));
    if flag(row, "known") {
        "  This node has it already.\n".to_owned()
    } else if flag(row, "unknown_here") {
        "  NOT SENT: this node does not know that organisation, and cannot tell its key. Import its records first.\n"
            .to_owned()
    } else if flag(row, "lacks") && have < needed {
        let missing = counted(needed - have, "signature is", "signatures are");
        format!("  NOT SENT: {missing} missing, {have} of {needed} are there. Hand it to the next coordinator.\n")
    } else if flag(row, "lacks") {
        format!("  NOT SENT: {have} signatures, but not of two countries. Another coordinator must sign.\n")
    } else if flag(row, "by_itself") {
        "  Complete: its own key is enough.\n".to_owned()
    } else if flag(row, "waits") {
        format!(
            "  Complete with {have} of {needed} signatures. Its NEW ROOT KEY is not signed by the old one: it WAITS, and counts\n  \
             three days after everybody could see it. Submit this file once more then.\n"
        )
    } else {
        format!("  Complete with {have} of {needed} signatures.\n")
    }
}

/// Who signed, one line each.
pub(super) fn signers(v: &Value) -> Vec<(&'static str, String)> {
    let line = |s: &Value| {
        let who = if flag(s, "coordinator") {
            format!("the coordinator of {}", text(s, "country"))
        } else {
            "a key that is no coordinator's".to_owned()
        };
        let again = if flag(s, "had_signed") { " (had signed already)" } else { "" };
        ("signed by", format!("{who}, key {}{again}", text(s, "fingerprint")))
    };
    items(v, "signers").iter().map(line).collect()
}

pub(super) fn so_far(v: &Value, whole: &str) -> String {
    let (have, needed) = (number(v, "signatures"), number(v, "needed"));
    if flag(v, "complete") {
        format!("Complete with {have} of {needed} signatures. {whole}\n")
    } else if have < needed {
        format!("{have} of {needed} signatures: hand the file to the next coordinator.\n")
    } else {
        format!("{have} of {needed} signatures, but not of two countries: another coordinator must sign.\n")
    }
}

pub(super) fn accreditation(v: &Value) -> String {
    let (label, country, network) = (text(v, "label"), text(v, "country"), text(v, "network"));
    let mut out = format!("{label} of {country} is accredited in the network {network}:\n");
    let mut lines = entry(v);
    lines.extend(signers(v));
    out += &pairs(2, &lines);
    out += &so_far(v, "Send it to the organisation; `clearhouse directory submit` on any node hands it to all.");
    out + &pairs(0, &[("written", text(v, "file"))])
}

pub(super) fn revocation(v: &Value) -> String {
    let mut out = format!("The accreditation of an organisation of the network {} ends:\n", text(v, "network"));
    let mut lines = vec![("id", text(v, "org")), ("reason", text(v, "reason")), ("from", text(v, "effective"))];
    lines.extend(signers(v));
    out += &pairs(2, &lines);
    out += &so_far(v, "Hand it to all at once: `clearhouse directory submit` on any node.");
    out + &pairs(0, &[("written", text(v, "file"))])
}

pub(super) fn renewal(v: &Value) -> String {
    let mut out = format!("The next accreditation of {}, for its coordinators to sign:\n", text(v, "label"));
    let mut lines = vec![("id", text(v, "org")), ("version", text(v, "version")), ("until", text(v, "until"))];
    let new = text(v, "new_key");
    if !new.is_empty() {
        lines.extend([("new root key", new.clone()), ("fingerprint", text(v, "fingerprint"))]);
    }
    out += &pairs(2, &lines);
    if flag(v, "lost") {
        out += "The old root key has not signed it: it counts as LOST. Once coordinators of two countries have signed, everybody\n\
                is told, and the new one counts three days after that, unless whoever has the old one objects. Submit the file\n\
                then, and once more after the three days: nobody takes before that what the new key vouches for.\n";
    }
    if !new.is_empty() {
        out += "Take the new root key offline. What the old one signed to end the organisation counts no more.\n";
    }
    out + &pairs(0, &[("written", text(v, "file"))])
}

pub(super) fn objection(v: &Value) -> String {
    let mut out = format!("{} says that a new root key is not its own:\n", text(v, "label"));
    out += &pairs(2, &[("id", text(v, "org")), ("the new key", text(v, "fingerprint"))]);
    out += "Hand it to all at once: `clearhouse directory submit` on any node. Then phone the coordinators.\n";
    out + &pairs(0, &[("written", text(v, "file"))])
}
