//! `case`: opening and looking at cases, the two ends that belong to the person (she stays, or a message that has not
//! left is taken back), and the end of a case's life here: erasing, and what stays.

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::secrets;
use crate::trouble::{Exit, Trouble};

/// Open, list and show cases
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse case open --to 'Casa Nova'
  clearhouse case show T-7Q4M-2KXY"
)]
pub(crate) struct Case {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Open a case towards an organisation; nothing is sent yet
    #[command(after_help = "\
Examples:
  clearhouse case open --to 'Casa Nova'
  clearhouse case open --to 0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e --json")]
    Open {
        /// The organisation, by name or id
        #[arg(long, value_name = "ORG")]
        to: String,
    },
    /// List all cases
    #[command(after_help = "\
Examples:
  clearhouse case list
  clearhouse case list --json")]
    List,
    /// Show one case: five separate facts, clocks, consents, messages
    #[command(after_help = "\
Examples:
  clearhouse case show T-7Q4M-2KXY
  clearhouse case show T-7Q")]
    Show {
        /// The case's code, or enough of its beginning
        code: String,
    },
    /// Write down that she stays; cannot be taken back
    #[command(after_help = "\
Examples:
  clearhouse case stay T-7Q4M-2KXY
  clearhouse case stay T-7Q4M-2KXY --yes")]
    Stay {
        /// The case's code, or enough of its beginning
        code: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Erase a case here, or classes of its profile; cannot be taken back once
    /// it is final
    #[command(after_help = "\
A case goes when a coordinator's node has its entries of the log, as a rule
within minutes; until then 'case keep' calls it off. What the other
organisation holds is theirs to erase. The history of its consents stays, for
five years: see 'case consents'.

Reasons: RetentionEnded, PersonAsked, ConsentWithdrawn, EnteredInError,
CourtOrdered.

Examples:
  clearhouse case erase T-7Q4M-2KXY --reason RetentionEnded
  clearhouse case erase T-7Q4M-2KXY --class Health --reason PersonAsked")]
    Erase {
        /// The case's code, or enough of its beginning
        code: String,
        /// By which rule; one of the reasons below
        #[arg(long, value_name = "RULE")]
        reason: String,
        /// This class of the profile alone; may be repeated
        #[arg(long = "class", value_name = "CLASS")]
        classes: Vec<String>,
        /// Also while an answer or an arrival is due; coordinators see that
        #[arg(long)]
        although_open: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Call an erasure off that is not final yet
    #[command(after_help = "\
Examples:
  clearhouse case list
  clearhouse case keep T-7Q4M-2KXY")]
    Keep {
        /// The case's code, or enough of its beginning
        code: String,
    },
    /// Show what stays of an erased case: the history of its consents
    #[command(after_help = "\
Consents given and taken back, and what was shared on their ground: purposes,
classes, organisations, times and roles, and nothing about her. For a manager
or an auditor who has the case's whole code from her file.

Examples:
  clearhouse case consents T-7Q4M-2KXY
  clearhouse case consents T-7Q4M-2KXY --json")]
    Consents {
        /// The case's whole code, as it stands in her file
        code: String,
    },
    /// Take back a message that has not left this office
    #[command(after_help = "\
Examples:
  clearhouse case show T-7Q4M-2KXY
  clearhouse case recall T-7Q4M-2KXY 3f9c0d1e2b3a495867768594a3b2c1d0")]
    Recall {
        /// The case's code, or enough of its beginning
        code: String,
        /// The message's id, as `case show` prints it
        message: String,
    },
}

impl Case {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let call = match self.act {
            Act::Open { to } => Call::CaseOpen { to },
            Act::List => Call::CaseList,
            Act::Show { code } => Call::CaseShow { case: code },
            Act::Stay { code, yes } => {
                let question = "She stays: what waits is taken back, who knows of her is told, the case ends.";
                secrets::confirm(question, "stays", yes, app.global.no_input)?;
                Call::Stay { case: code }
            }
            Act::Erase { code, reason, classes, although_open, yes } => {
                let what = if classes.is_empty() { "The whole case" } else { "These parts of the profile" };
                let question = format!("{what} will be erased here, and no backup brings it back.");
                secrets::confirm(&question, "erase", yes, app.global.no_input)?;
                Call::CaseErase { case: code, rule: reason, classes, although_open }
            }
            Act::Keep { code } => Call::CaseKeep { case: code },
            Act::Consents { code } => Call::CaseConsents { case: code },
            Act::Recall { code, message } => Call::Recall { case: code, message },
        };
        app.out.reply(&node.ask_as(app, call).await?)?;
        Ok(Exit::Done)
    }
}
