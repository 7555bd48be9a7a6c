//! `arrival`: that she left, and whether she came and was met. Silence after a departure is an alarm, never a yes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::forms::Form;
use crate::trouble::{Exit, Trouble};

/// Report a departure, confirm an arrival
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse arrival depart T-7Q4M-2KXY --from departure.toml
  clearhouse arrival confirm T-7Q4M-2KXY --from arrival.toml"
)]
pub(crate) struct Arrival {
    #[command(subcommand)]
    act: Act,
}

#[derive(Args)]
struct Filled {
    /// The case's code, or enough of its beginning
    code: String,
    /// The form, TOML or JSON; - for stdin
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

#[derive(Subcommand)]
enum Act {
    /// Say that she left, or did not
    #[command(after_help = "\
Examples:
  clearhouse config default --form departure > departure.toml
  clearhouse arrival depart T-7Q4M-2KXY --from departure.toml")]
    Depart(Filled),
    /// Say whether she came and was met
    #[command(after_help = "\
Examples:
  clearhouse config default --form arrival > arrival.toml
  clearhouse arrival confirm T-7Q4M-2KXY --from arrival.toml")]
    Confirm(Filled),
}

impl Arrival {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let call = match self.act {
            Act::Depart(Filled { code, from }) => Call::Depart { case: code, form: Form::Departure.read(&from)? },
            Act::Confirm(Filled { code, from }) => Call::Arrive { case: code, form: Form::Arrival.read(&from)? },
        };
        app.out.reply(&node.ask_as(app, call).await?)?;
        Ok(Exit::Done)
    }
}
