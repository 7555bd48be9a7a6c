//! `directory refuse`: a coordinator's signed notice that an application is refused, with a reason out of a closed list.
//!
//! Says what is signed before the key is touched. It goes to the applicant, who can show it and apply again; nobody else is
//! told, and no directory holds it.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clearhouse_casework::forms::show_time;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::directory::{Directory, RecordFault};
use clearhouse_protocol::ids::hex;
use clearhouse_protocol::refusal::{self, Refused};
use clearhouse_wire::v1::Signed;
use prost::Message as _;
use serde_json::{Value, json};

use super::ceremony::{does_not_hold, not_a_coordinator};
use super::joining::Application;
use super::records;
use crate::cli::App;
use crate::trouble::{Exit, Trouble};
use crate::{files, render, secrets};

/// Why an application is refused. The protocol takes any code; people choose among these.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Reason {
    /// Two that vouch for it are missing, or do not stand by it
    NotEnoughSponsors,
    /// It is not proven who applies
    IdentityNotProven,
    /// It has not signed the region's standards
    StandardsNotSigned,
    /// Somebody who decides has an interest of their own in it
    ConflictOfInterest,
    /// The application says too little, or something wrong
    Incomplete,
    /// It is not an organisation that this network is for
    NotEligible,
}

impl Reason {
    fn code(self) -> &'static str {
        match self {
            Self::NotEnoughSponsors => "NotEnoughSponsors",
            Self::IdentityNotProven => "IdentityNotProven",
            Self::StandardsNotSigned => "StandardsNotSigned",
            Self::ConflictOfInterest => "ConflictOfInterest",
            Self::Incomplete => "Incomplete",
            Self::NotEligible => "NotEligible",
        }
    }
}

/// Arguments of `directory refuse`.
#[derive(Args)]
pub(crate) struct Refuse {
    /// application.record of the organisation
    application: PathBuf,
    /// The network's genesis record
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The coordinator's key file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Newer policies, and records of those who vouch for it, to say who they are; can be repeated
    #[arg(long = "records", value_name = "FILE")]
    records: Vec<PathBuf>,
    /// Why
    #[arg(long, value_enum)]
    reason: Reason,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Refuse {
    pub(super) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let now = SystemClock.now();
        let mut directory = records::known(&self.genesis, &self.records, now)?;
        let application = Application::read(&self.application)?;
        records::take_policies(&mut directory, &application.bundle, now);
        app.out.read_out(&render::reply(&application.described(&directory, now)));
        app.out.read_out(&format!(
            "Your key signs that you refuse exactly this application, today, for the reason {}.",
            self.reason.code()
        ));
        secrets::confirm("The applicant can show it to anybody.", "refuse", self.yes, app.global.no_input)?;

        let key = secrets::signing_key(&self.key)?;
        let record = &application.bundle.records[application.position];
        let signed = refusal::refuse(&directory, record, self.reason.code(), &key, now).map_err(|fault| {
            if fault == RecordFault::Signer {
                not_a_coordinator(&self.key)
            } else {
                does_not_hold(&self.application, fault)
            }
        })?;
        let refused = refusal::read(&directory, &signed).map_err(|fault| does_not_hold(&self.application, fault))?;
        files::write_new(&self.out, &signed.encode_to_vec())?;
        let mut reply = reply(&directory, &refused, &self.out);
        reply["label"] = json!(application.org.label);
        reply["written"] = json!(true);
        app.out.reply(&reply)?;
        Ok(Exit::Done)
    }
}

/// What a notice in a file says, if it holds: for `directory verify`.
///
/// # Errors
/// [`crate::trouble::Code::Record`] when it does not.
pub(super) fn verified(directory: &Directory, signed: &Signed, path: &Path) -> Result<Value, Trouble> {
    let refused = refusal::read(directory, signed).map_err(|fault| does_not_hold(path, fault))?;
    Ok(reply(directory, &refused, path))
}

fn reply(directory: &Directory, refused: &Refused, path: &Path) -> Value {
    json!({
        "schema": "ch.refusal/1", "network": directory.policy().label, "org": refused.org.to_string(),
        "application": hex(&refused.application), "reason": refused.reason, "country": refused.country,
        "coordinator": hex(&refused.coordinator), "made": show_time(refused.made), "file": path.display().to_string(),
    })
}
