//! `directory`: who is who. Through the node: list, show, import, export, refresh. Without one: founding a network,
//! signing, refusing and ending accreditations, verifying a file of records. What a ceremony made goes in by `submit`.

pub(crate) mod ceremony;
mod duty;
mod history;
mod joining;
mod log;
mod pages;
mod policy;
pub(crate) mod records;
mod refuse;
mod renew;
mod signers;
mod submit;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clearhouse_node::calls::Call;
use serde_json::{Value, json};

use crate::ask::{Node, base64, bytes_of};
use crate::cli::App;
use crate::files;
use crate::trouble::{Code, Exit, Trouble};

/// See, exchange, sign and verify the records of organisations
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse directory list
  clearhouse directory verify casa-nova.record --genesis genesis.record"
)]
pub(crate) struct Directory {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// List the organisations this node knows
    #[command(after_help = "\
Examples:
  clearhouse directory list
  clearhouse directory list --json")]
    List,
    /// Show one organisation with its nodes and fingerprint
    #[command(after_help = "\
Examples:
  clearhouse directory show 'Casa Nova'
  clearhouse directory show 'Casa Nova' --json")]
    Show {
        /// The organisation, by name or id
        org: String,
    },
    /// Take records from a file; exit code 3 if one is refused or contested, or a page damaged
    #[command(after_help = "\
Examples:
  clearhouse directory verify casa-nova.record --genesis genesis.record
  clearhouse directory import casa-nova.record")]
    Import {
        /// The file of records
        file: PathBuf,
    },
    /// Write the records of an organisation, of this one, or all into a new file
    #[command(after_help = "\
Examples:
  clearhouse directory export --out we.record
  clearhouse directory export --all --out region.records
  clearhouse directory export 'Casa Nova' --out casa-nova.record")]
    Export {
        /// The organisation, by name or id; this one when left out
        #[arg(conflicts_with = "all")]
        org: Option<String>,
        /// Everything this node holds, in pages: for an office that no line reaches
        #[arg(long)]
        all: bool,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write the directory log of a coordinator into a folder, for anybody's tools
    #[command(after_help = "\
Examples:
  clearhouse directory log 'First coordinator' --out first-log
  clearhouse directory log 'First coordinator' --out first-log --json")]
    Log {
        /// The coordinator, by name or id
        org: String,
        /// The folder to make
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Tell what coordinators did: accreditations, key changes, revocations, in the order of a directory log
    #[command(after_help = "\
Examples:
  clearhouse directory history
  clearhouse directory history 'Casa Nova' --json")]
    History {
        /// The organisation, by name or id; all when left out
        org: Option<String>,
    },
    /// Ask every known node for its newest records now
    #[command(after_help = "\
Examples:
  clearhouse directory refresh
  clearhouse directory refresh --as ana")]
    Refresh,
    /// Say that this organisation's entry is right, and change what is given
    #[command(after_help = "\
Examples:
  clearhouse directory attest
  clearhouse directory attest --duty mon-fri=08:00-16:00 --duty sat=09:00-12:00
  clearhouse directory attest --alternate ChildOfficer --child-places no")]
    Attest {
        /// When somebody answers, in UTC; can be repeated, and takes the place of all before
        #[arg(long, value_name = "DAYS=HH:MM-HH:MM", value_parser = duty::parse)]
        duty: Vec<duty::Stretch>,
        /// The role to ask for when nobody answers, never a name
        #[arg(long, value_name = "ROLE")]
        alternate: Option<String>,
        /// Whether there are places for children
        #[arg(long, value_enum, value_name = "YES|NO")]
        child_places: Option<YesNo>,
    },
    /// Verify a file of records without a node; exit code 8 if one does not hold
    #[command(after_help = "\
Examples:
  clearhouse directory verify casa-nova.record --genesis genesis.record
  clearhouse directory verify genesis.record --genesis genesis.record --json")]
    Verify(verify::Verify),
    /// Found a network: coordinators' keys and the genesis record
    #[command(
        override_usage = "\
clearhouse directory found [OPTIONS] --out <DIR> --name <NAME>
           --kind <KIND> --coordinator <CC:NAME>",
        after_help = "\
Examples:
  clearhouse directory found --out ceremony --name 'South-East' \\
      --kind training --coordinator RO:first --coordinator RO:second \\
      --coordinator IT:third"
    )]
    Found(ceremony::Found),
    /// Sign an organisation's application with coordinators' keys
    #[command(
        override_usage = "\
clearhouse directory accredit [OPTIONS] --genesis <FILE>
           --key <FILE> --out <FILE> <APPLICATION>",
        after_help = "\
Examples:
  clearhouse directory accredit application.record --genesis genesis.record \\
      --key first.key --out casa-nova-1.record
  clearhouse directory accredit casa-nova-1.record --genesis genesis.record \\
      --key second.key --key third.key --out casa-nova.record"
    )]
    Accredit(ceremony::Accredit),
    /// Refuse an organisation's application: a signed notice with a reason
    #[command(
        override_usage = "\
clearhouse directory refuse [OPTIONS] --genesis <FILE>
           --key <FILE> --reason <REASON> --out <FILE> <APPLICATION>",
        after_help = "\
Examples:
  clearhouse directory refuse application.record --genesis genesis.record \\
      --key first.key --reason IdentityNotProven --out refusal.record
  clearhouse directory verify refusal.record --genesis genesis.record"
    )]
    Refuse(refuse::Refuse),
    /// Hand a finished record to the network through this node
    ///
    /// An accreditation, a policy, a revocation: says what it is and who signed it.
    /// Exit code 3, and nothing is sent, if a signature is missing.
    #[command(after_help = "\
Examples:
  clearhouse directory submit casa-nova.record
  clearhouse directory submit self-revocation.record --yes")]
    Submit(submit::Submit),
    /// Make the application for this organisation's next accreditation, before the one in force ends
    ///
    /// With its root key; with --new-key also another, which the old one signs. With
    /// --new-key alone the old one is lost: everybody is told, and the new one counts
    /// three days after that, unless whoever has the old one objects.
    #[command(
        override_usage = "\
clearhouse directory renew [OPTIONS] --out <FILE>
           <--key <FILE>|--new-key <FILE>>",
        after_help = "\
Examples:
  clearhouse directory renew --key organisation-root.key --out application.record
  clearhouse directory renew --new-key new-root.key --out application.record
  clearhouse directory renew --key organisation-root.key --new-key new-root.key \\
      --self-revocation end.record --out application.record"
    )]
    Renew(renew::Renew),
    /// Object to a new root key of this organisation that nobody here asked for
    #[command(after_help = "\
Examples:
  clearhouse directory object --key organisation-root.key --out objection.record
  clearhouse directory submit objection.record")]
    Object(renew::Object),
    /// Propose the network's next policy: coordinators begin to keep directory logs
    #[command(
        override_usage = "\
clearhouse directory propose [OPTIONS] --genesis <FILE>
           --log <N=FILE> --out <FILE>",
        after_help = "\
Examples:
  clearhouse directory propose --genesis genesis.record \\
      --log 1=casa-nova.record --log 2=second.record --log 3=third.record \\
      --out policy-2.record"
    )]
    Propose(policy::Propose),
    /// Sign a proposed policy with coordinators' keys, after reading what it changes
    #[command(
        override_usage = "\
clearhouse directory sign [OPTIONS] --genesis <FILE>
           --key <FILE> --out <FILE> <PROPOSAL>",
        after_help = "\
Examples:
  clearhouse directory sign policy-2.record --genesis genesis.record \\
      --key first.key --out policy-2-1.record
  clearhouse directory submit policy-2-signed.record"
    )]
    Sign(policy::Sign),
    /// Show the words by which an organisation's key is compared over the telephone
    #[command(after_help = "\
Examples:
  clearhouse directory words 'Casa Nova'
  clearhouse directory words 'Casa Nova' --json")]
    Words {
        /// The organisation, by name or id; this one when left out
        org: Option<String>,
    },
    /// End an organisation's accreditation; nothing lifts it again
    #[command(
        override_usage = "\
clearhouse directory revoke [OPTIONS] --genesis <FILE>
           --key <FILE> --out <FILE>",
        after_help = "\
Examples:
  clearhouse directory revoke --genesis genesis.record \\
      --org 0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e --reason Compromised \\
      --key first.key --key second.key --out revocation.record"
    )]
    Revoke(ceremony::Revoke),
}

/// A plain answer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    /// There are
    Yes,
    /// There are none
    No,
}

impl Directory {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let reply = match self.act {
            Act::List => Node::find(&app.global)?.ask(Call::DirectoryList).await?,
            Act::Show { org } => Node::find(&app.global)?.ask(Call::DirectoryShow { org }).await?,
            Act::Import { file } => {
                let bytes = files::read(&file, pages::FILE_MAX, Code::Records)?;
                if pages::is_file(&bytes) {
                    return pages::import(app, &bytes).await;
                }
                records::decode(&file, &bytes)?;
                let call = Call::DirectoryImport { bundle: base64(&bytes).to_string() };
                let reply = Node::find(&app.global)?.ask_as(app, call).await?;
                let refused = reply.get("refused").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
                let contested = reply.get("contested").and_then(Value::as_u64).is_some_and(|count| count > 0);
                app.out.reply(&reply)?;
                return Ok(if refused || contested { Exit::Findings } else { Exit::Done });
            }
            Act::Export { all: true, out, .. } => pages::export(app, &out).await?,
            Act::Export { org, out, all: false } => {
                let reply = Node::find(&app.global)?.ask(Call::DirectoryExport { org }).await?;
                let bytes = bytes_of(&reply, "bundle")?;
                files::write_new(&out, &bytes)?;
                json!({"schema": "ch.saved/1", "file": out.display().to_string(), "bytes": bytes.len()})
            }
            Act::Attest { duty, alternate, child_places } => {
                let duty = (!duty.is_empty()).then(|| duty.iter().flat_map(duty::Stretch::days).collect());
                let child_places = child_places.map(|said| said == YesNo::Yes);
                Node::find(&app.global)?.ask_as(app, Call::DirectoryAttest { duty, alternate, child_places }).await?
            }
            Act::Refresh => Node::find(&app.global)?.ask_as(app, Call::DirectoryRefresh).await?,
            Act::Verify(verify) => return verify.run(app),
            Act::Found(found) => return found.run(app),
            Act::Accredit(accredit) => return accredit.run(app),
            Act::Refuse(refuse) => return refuse.run(app),
            Act::Submit(submit) => return submit.run(app).await,
            Act::Renew(renew) => return renew.run(app).await,
            Act::Object(object) => return object.run(app).await,
            Act::Propose(propose) => return propose.run(app),
            Act::Sign(sign) => return sign.run(app),
            Act::Words { org } => {
                let org = match org {
                    Some(org) => org,
                    None => {
                        let status = Node::find(&app.global)?.ask(Call::Status).await?;
                        status.get("org").and_then(Value::as_str).unwrap_or_default().to_owned()
                    }
                };
                let shown = Node::find(&app.global)?.ask(Call::DirectoryShow { org }).await?;
                let of = |field: &str| shown.get(field).cloned().unwrap_or_default();
                json!({"schema": "ch.words/1", "label": of("label"), "org": of("org"), "words": of("fingerprint")})
            }
            Act::History { org } => history::history(app, org).await?,
            Act::Log { org, out } => log::export(app, &org, &out).await?,
            Act::Revoke(revoke) => return revoke.run(app),
        };
        app.out.reply(&reply)?;
        Ok(Exit::Done)
    }
}
