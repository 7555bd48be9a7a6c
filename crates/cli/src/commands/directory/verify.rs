//! `directory verify`: every record of a file checked against the genesis, or a coordinator's notice that it refused an
//! application, with nothing but the two files. What an outsider can repeat.

use std::path::PathBuf;

use clap::Args;
use clearhouse_casework::forms::show_time;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::labels::media;
use clearhouse_wire::v1::{Descriptor, NodeCert, Objection, OrgRecord, Revocation, RootPolicy, Signed};
use prost::Message as _;
use serde_json::{Value, json};

use super::{records, refuse};
use crate::cli::App;
use crate::commands::init::network_id;
use crate::files;
use crate::trouble::{Code, Exit, Trouble};

/// Arguments of `directory verify`.
#[derive(Args)]
pub(crate) struct Verify {
    /// The file of records
    file: PathBuf,
    /// The network's genesis record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Newer policies, for what a coordinator of today signed; can be repeated
    #[arg(long = "records", value_name = "FILE")]
    records: Vec<PathBuf>,
    /// The network's id, as compared on paper or by voice
    #[arg(long, value_name = "HEX")]
    network: Option<String>,
}

impl Verify {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let expected = self.network.as_deref().map(network_id).transpose()?;
        let mut directory = records::found(&self.genesis, expected)?;
        for file in &self.records {
            records::take(&mut directory, file, SystemClock.now())?;
        }
        let bytes = files::read(&self.file, records::FILE_MAX, Code::Records)?;
        if let Some(refusal) = records::refusal(&bytes) {
            app.out.reply(&refuse::verified(&directory, &refusal, &self.file)?)?;
            return Ok(Exit::Done);
        }
        let bundle = records::decode(&self.file, &bytes)?;
        let now = SystemClock.now();
        let mut rows: Vec<Value> = bundle.records.iter().map(|r| verify(&mut directory, r, now)).collect();
        for prekey in &bundle.prekeys {
            let why = match directory.check_prekey(prekey.week, &prekey.pk) {
                Ok(checked) => {
                    checked.into_iter().for_each(|c| directory.insert(c));
                    None
                }
                Err(fault) => Some(fault.to_string()),
            };
            rows.push(json!({
                "kind": "prekey", "subject": format!("week {}", prekey.week), "holds": why.is_none(), "why": why,
            }));
        }
        for published in &bundle.published {
            let why = match directory.check_published(published) {
                Ok(record) => {
                    directory.publish(record);
                    None
                }
                Err(fault) => Some(fault.to_string()),
            };
            let log = hex(&published.node);
            rows.push(
                json!({"kind": "proof", "subject": format!("in the log of {log}"), "holds": why.is_none(), "why": why}),
            );
        }
        let broken = rows.iter().filter(|row| row["holds"] != json!(true)).count();
        app.out.reply(&json!({
            "schema": "ch.records/1", "file": self.file.display().to_string(), "net": directory.net().to_string(),
            "network": directory.policy().label, "records": rows, "broken": broken,
        }))?;
        Ok(if broken == 0 { Exit::Done } else { Exit::Integrity })
    }
}

fn verify(directory: &mut Directory, signed: &Signed, now: u64) -> Value {
    let why = match directory.check_told(signed, now) {
        Ok(checked) => {
            checked.into_iter().for_each(|c| directory.insert(c));
            None
        }
        Err(fault) => Some(fault.to_string()),
    };
    let (kind, subject, until) = describe(signed);
    let expired = until.is_some_and(|u| u <= now);
    json!({
        "kind": kind, "subject": subject, "until": until.map(show_time), "expired": expired, "holds": why.is_none(),
        "why": why,
    })
}

/// What a record says it is: kind, about whom, until when. Said, not verified.
fn describe(signed: &Signed) -> (&'static str, String, Option<u64>) {
    let payload = signed.payload.as_slice();
    let unreadable = |kind| (kind, "unreadable".to_owned(), None);
    match signed.payload_type.as_str() {
        media::ROOT => RootPolicy::decode(payload).map_or_else(
            |_| unreadable("policy"),
            |p| ("policy", format!("{} (version {})", p.label, p.version), Some(p.not_after)),
        ),
        media::ORG => OrgRecord::decode(payload).map_or_else(
            |_| unreadable("organisation"),
            |o| {
                let lost = if o.lost_key {
                    ", a NEW ROOT KEY without the old one's word: it waits for three days"
                } else {
                    ""
                };
                let subject = format!("{}, {} {}{lost}", o.label, o.country, hex(&o.org_id));
                ("organisation", subject, Some(o.valid_until))
            },
        ),
        media::NODECERT => NodeCert::decode(payload)
            .map_or_else(|_| unreadable("node"), |n| ("node", hex(&n.node_id), Some(n.valid_until))),
        media::DESCRIPTOR => Descriptor::decode(payload)
            .map_or_else(|_| unreadable("presence"), |d| ("presence", hex(&d.node_id), Some(d.expires))),
        media::REVOCATION => Revocation::decode(payload).map_or_else(
            |_| unreadable("revocation"),
            |r| ("revocation", format!("{} {}", hex(&r.subject), r.reason), None),
        ),
        media::OBJECTION => Objection::decode(payload).map_or_else(
            |_| unreadable("objection"),
            |o| ("objection", format!("{} to version {}", hex(&o.org_id), o.version), None),
        ),
        _ => unreadable("unknown"),
    }
}
