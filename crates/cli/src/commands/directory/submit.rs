//! `directory submit`: the last step of a ceremony. What was signed in files goes into this node, and by it to everybody.
//!
//! Says what it is and who signed it before anything moves, and sends nothing that lacks a signature or does not hold: half
//! a ceremony in a directory is noise, and a revocation cannot be called back.

use std::path::{Path, PathBuf};

use clap::Args;
use clearhouse_casework::forms::show_time;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::directory::{Checked, Directory, RecordFault};
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::labels::media;
use clearhouse_wire::v1::{Objection, OrgRecord, RecordBundle, Revocation, RootPolicy, Signed, SubjectKind};
use prost::Message as _;
use serde_json::{Value, json};

use super::ceremony::{Coordinators, no_record};
use super::{pages, policy, records};
use crate::ask::{Node, base64, bytes_of};
use crate::cli::App;
use crate::trouble::{Code, Exit, Trouble, sentence};
use crate::{files, render, secrets};

/// Arguments of `directory submit`.
#[derive(Args)]
pub(crate) struct Submit {
    /// The finished record: an accreditation, a policy, a revocation
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What has become of a record of the file, as this node's directory sees it.
enum Verdict {
    /// It is held already.
    Known,
    /// Everything is there.
    Complete,
    /// Everything but the word of the root key that it replaces.
    Waits,
    /// Signatures are missing.
    Lacks,
    /// Signed by itself, and this node does not know who that is.
    Stranger,
}

impl Submit {
    pub(super) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let bytes = files::read(&self.file, pages::FILE_MAX, Code::Records)?;
        if pages::is_file(&bytes) {
            let text = "This is a whole directory, not the record of a ceremony. Nothing was sent.";
            return Err(Trouble::new(Code::Records, text, "clearhouse directory import FILE"));
        }
        let mut bundle = records::decode(&self.file, &bytes)?;
        let node = Node::find(&app.global)?;
        let mut directory = known(&node, &bundle).await?;
        let (rows, left) = examine(&mut directory, &bundle, &self.file)?;
        let lacking = rows.iter().any(|row| row["lacks"] == json!(true));
        let own = node.ask(Call::Status).await?;
        let mut reply = json!({
            "schema": "ch.submission/1", "network": directory.policy().label, "submitted": rows, "sent": false,
            "file": self.file.display().to_string(), "next": next(&directory, &own),
        });
        if lacking {
            app.out.reply(&reply)?;
            return Ok(Exit::Findings);
        }
        app.out.read_out(&render::reply(&reply));
        secrets::confirm(question(&rows), "submit", self.yes, app.global.no_input)?;
        let mut position = 0..;
        bundle.records.retain(|_| position.next().is_some_and(|position| !left.contains(&position)));
        let bytes = bundle.encode_to_vec();
        let intake = node.ask_as(app, Call::DirectoryImport { bundle: base64(&bytes).to_string() }).await?;
        let refused = intake["refused"].as_array().is_some_and(|refused| !refused.is_empty());
        let contested = intake["contested"].as_u64().is_some_and(|count| count > 0);
        reply["sent"] = json!(true);
        reply["import"] = intake;
        app.out.reply(&reply)?;
        Ok(if refused || contested { Exit::Findings } else { Exit::Done })
    }
}

fn question(rows: &[Value]) -> &'static str {
    if rows.iter().any(|row| row["kind"] == json!("revocation")) {
        "Every node that hears of it refuses that organisation at once, and nothing lifts it again."
    } else if rows.iter().any(|row| row["waits"] == json!(true)) {
        "Every node will tell its people that a new root key waits which the old one has not signed."
    } else {
        "Every node will hear of it, and it stays."
    }
}

/// What this node holds that the records of the file stand on: every policy, every revocation, and those they are about.
async fn known(node: &Node, bundle: &RecordBundle) -> Result<Directory, Trouble> {
    let mut held = exported(node.ask(Call::DirectoryExport { org: None }).await?)?;
    for org in bundle.records.iter().filter_map(subject) {
        match node.ask(Call::DirectoryExport { org: Some(hex(&org)) }).await {
            Ok(reply) => held.records.extend(exported(reply)?.records),
            Err(trouble) if trouble.exit == Exit::NotFound => {}
            Err(trouble) => return Err(trouble),
        }
    }
    let genesis = held.records.first().ok_or_else(no_record)?;
    let mut directory = Directory::found(genesis, None).map_err(|_| no_record())?;
    for record in &held.records {
        // What the node holds it has judged; what does not fit here is none of this file's business.
        if let Ok(Some(checked)) = directory.check_told(record, SystemClock.now()) {
            directory.insert(checked);
        }
    }
    Ok(directory)
}

fn exported(reply: Value) -> Result<RecordBundle, Trouble> {
    RecordBundle::decode(bytes_of(&reply, "bundle")?.as_slice()).map_err(|_| no_record())
}

/// The organisation that a record is about, where it is about one.
fn subject(record: &Signed) -> Option<Vec<u8>> {
    let payload = record.payload.as_slice();
    match record.payload_type.as_str() {
        media::ORG => OrgRecord::decode(payload).ok().map(|org| org.org_id),
        media::OBJECTION => Objection::decode(payload).ok().map(|objection| objection.org_id),
        media::REVOCATION => {
            let revocation = Revocation::decode(payload).ok()?;
            (revocation.subject_kind() == SubjectKind::Organisation).then_some(revocation.subject)
        }
        _ => None,
    }
}

/// Every record of the file that a ceremony makes, in words, one row each; the others go with them, but for those, by
/// position, that stand on a record which does not count yet.
fn examine(directory: &mut Directory, bundle: &RecordBundle, path: &Path) -> Result<(Vec<Value>, Vec<usize>), Trouble> {
    let (mut rows, mut left) = (Vec::new(), Vec::new());
    for (position, record) in bundle.records.iter().enumerate() {
        let checked = match directory.check(record, SystemClock.now()) {
            // Handed in, it would undo the one that is held: not by a command that finishes ceremonies.
            Ok(Some(Checked::Rival(_))) => return Err(does_not_hold(path, RecordFault::Equivocation)),
            Ok(checked) => checked,
            Err(RecordFault::Threshold) if is_ceremonys(record) => {
                rows.push(row(directory, record, &lacking(directory, record))?);
                continue;
            }
            // It stands on a record that lacks a signature, or waits.
            Err(RecordFault::Signer) if !rows.is_empty() => {
                left.push(position);
                continue;
            }
            Err(fault) => return Err(does_not_hold(path, fault)),
        };
        let verdict = match &checked {
            None => Verdict::Known,
            Some(Checked::Announced(..)) => Verdict::Waits,
            Some(_) => Verdict::Complete,
        };
        if is_ceremonys(record) {
            rows.push(row(directory, record, &verdict)?);
        }
        checked.into_iter().for_each(|checked| directory.insert(checked));
    }
    // A policy brings those before it: only what is new is worth a word, if anything is.
    if rows.iter().any(|row| row["known"] != json!(true)) {
        rows.retain(|row| row["known"] != json!(true));
    }
    if rows.is_empty() {
        let text =
            format!("{} holds no accreditation, policy, revocation or objection. Nothing was sent.", path.display());
        return Err(Trouble::new(Code::Records, text, "clearhouse directory import FILE"));
    }
    Ok((rows, left))
}

fn is_ceremonys(record: &Signed) -> bool {
    [media::ROOT, media::ORG, media::REVOCATION, media::OBJECTION].contains(&record.payload_type.as_str())
}

fn lacking(directory: &Directory, record: &Signed) -> Verdict {
    let alone = Revocation::decode(record.payload.as_slice()).is_ok_and(|revocation| revocation.pre_signed);
    let held = subject(record).and_then(|org| org.as_slice().try_into().ok()).and_then(|org| directory.org(org));
    let stranger = record.payload_type == media::REVOCATION && alone && held.is_none();
    if stranger { Verdict::Stranger } else { Verdict::Lacks }
}

fn row(directory: &Directory, record: &Signed, verdict: &Verdict) -> Result<Value, Trouble> {
    let (policy, payload) = (directory.policy(), record.payload.as_slice());
    let (kind, what, needed) = match record.payload_type.as_str() {
        media::ROOT => {
            let next = RootPolicy::decode(payload).map_err(|_| no_record())?;
            let unsaid = || vec!["something this program cannot put into words".to_owned()];
            let changes = policy::changes(policy, &next).unwrap_or_else(|_| unsaid()).join("; ");
            ("policy", format!("policy {} of the network {}: {changes}", next.version, next.label), next.k_root)
        }
        media::ORG => {
            let org = OrgRecord::decode(payload).map_err(|_| no_record())?;
            let (label, country, id) = (&org.label, &org.country, hex(&org.org_id));
            ("accreditation", format!("{label} of {country} ({id}) is accredited",), policy.k_accredit)
        }
        media::OBJECTION => {
            let objection = Objection::decode(payload).map_err(|_| no_record())?;
            let held = objection.org_id.as_slice().try_into().ok().and_then(|org| directory.org(org));
            let label = held.map_or("an organisation", |org| org.label.as_str());
            let what =
                format!("{label} ({}) says NO to version {} of its record", hex(&objection.org_id), objection.version);
            ("objection", what, 0)
        }
        _ => {
            let revocation = Revocation::decode(payload).map_err(|_| no_record())?;
            ("revocation", ends(directory, &revocation), policy.k_revoke)
        }
    };
    let signers = Coordinators::of(directory)?.who_signed(record)?;
    let by_itself = matches!(verdict, Verdict::Complete | Verdict::Known)
        && ["revocation", "objection"].contains(&kind)
        && signers.is_empty();
    Ok(json!({
        "kind": kind, "what": what, "signatures": signers.len(), "needed": needed, "signers": signers,
        "by_itself": by_itself, "waits": matches!(verdict, Verdict::Waits), "known": matches!(verdict, Verdict::Known), "unknown_here": matches!(verdict, Verdict::Stranger),
        "lacks": matches!(verdict, Verdict::Lacks | Verdict::Stranger),
    }))
}

fn ends(directory: &Directory, revocation: &Revocation) -> String {
    let subject = hex(&revocation.subject);
    let org = <[u8; 16]>::try_from(revocation.subject.as_slice()).ok();
    let label = org.and_then(|id| Some(directory.org(clearhouse_protocol::ids::OrgId(id))?.label.clone()));
    let who = match revocation.subject_kind() {
        SubjectKind::Organisation => label.unwrap_or_else(|| "an organisation".to_owned()),
        SubjectKind::Node => "a node".to_owned(),
        SubjectKind::Key => "a key".to_owned(),
        SubjectKind::Unspecified => "something unknown".to_owned(),
    };
    let beforehand = if revocation.pre_signed { ", signed beforehand" } else { "" };
    let (reason, from) = (&revocation.reason, show_time(revocation.effective));
    format!("{who} ({subject}) ENDS for good, from {from}, reason {reason}{beforehand}")
}

/// What happens once this node has it.
fn next(directory: &Directory, own: &Value) -> &'static str {
    let node = own.get("node").and_then(Value::as_str).unwrap_or_default();
    let mut coordinators = directory.policy().coordinators.iter().filter(|c| !c.log_vkey.is_empty()).peekable();
    if coordinators.peek().is_none() {
        return "No directory log is kept in this network yet: the other nodes take it from this one in their rounds, \
                within minutes.";
    }
    if coordinators.any(|c| hex(&c.node_id) == node) {
        return "This is a coordinator's node: it enters it in its directory log at the next tick, and every other node \
                hears of it within minutes. `clearhouse directory history` shows it.";
    }
    "The other nodes hear of it in their rounds, within minutes; the first coordinator's node that does enters it in its \
     directory log. `clearhouse directory history` shows it then."
}

fn does_not_hold(path: &Path, fault: RecordFault) -> Trouble {
    let text = sentence(&format!("{} does not hold: {fault}. Nothing was sent", path.display()));
    Trouble::new(Code::Record, text, "clearhouse directory verify FILE --genesis FILE")
}
