//! `consent`: what she agreed to, for which receiver, and her word that it ends. Withdrawing is never refused.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::forms::Form;
use crate::secrets;
use crate::trouble::{Exit, Trouble};

/// Record, show and withdraw consents
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse consent record T-7Q4M-2KXY --from consent.toml
  clearhouse consent withdraw T-7Q4M-2KXY ShareProfile"
)]
pub(crate) struct Consent {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Write down a consent
    #[command(after_help = "\
Examples:
  clearhouse config default --form consent > consent.toml
  clearhouse consent record T-7Q4M-2KXY --from consent.toml")]
    Record {
        /// The case's code, or enough of its beginning
        code: String,
        /// The form, TOML or JSON; - for stdin
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Show the consents of a case
    #[command(after_help = "\
Examples:
  clearhouse consent show T-7Q4M-2KXY
  clearhouse consent show T-7Q4M-2KXY --json")]
    Show {
        /// The case's code, or enough of its beginning
        code: String,
    },
    /// Withdraw a consent, on her word; cannot be taken back
    #[command(after_help = "\
Examples:
  clearhouse consent withdraw T-7Q4M-2KXY ShareProfile
  clearhouse consent withdraw T-7Q4M-2KXY ShareProfile --class Contact")]
    Withdraw {
        /// The case's code, or enough of its beginning
        code: String,
        /// The consent, by purpose or id
        consent: String,
        /// Only this class of data; can be repeated
        #[arg(long = "class", value_name = "CLASS")]
        classes: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Consent {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let call = match self.act {
            Act::Record { code, from } => Call::ConsentRecord { case: code, form: Form::Consent.read(&from)? },
            Act::Show { code } => Call::ConsentShow { case: code },
            Act::Withdraw { code, consent, classes, yes } => {
                let question = "A withdrawal counts at once, here and there. Only a new consent changes it.";
                secrets::confirm(question, "withdraw", yes, app.global.no_input)?;
                Call::ConsentWithdraw { case: code, consent, classes }
            }
        };
        app.out.reply(&node.ask_as(app, call).await?)?;
        Ok(Exit::Done)
    }
}
