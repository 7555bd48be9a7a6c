//! `notice`: the return notice and the two answers to it. Whether it may leave is the case's to say.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::forms::Form;
use crate::trouble::{Exit, Trouble};

/// Send, acknowledge and answer return notices
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse config default --form notice > notice.toml
  clearhouse notice send T-7Q4M-2KXY --from notice.toml"
)]
pub(crate) struct Notice {
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
    /// Send the return notice of a case
    #[command(after_help = "\
Examples:
  clearhouse notice send T-7Q4M-2KXY --from notice.toml
  clearhouse notice send T-7Q4M-2KXY --from drafts/row-3.json
  clearhouse notice send T-7Q4M-2KXY --from - < notice.toml")]
    Send(Filled),
    /// Say that you have read the notice; it is not an acceptance
    #[command(after_help = "\
Examples:
  clearhouse config default --form acknowledge > read.toml
  clearhouse notice acknowledge T-7Q4M-2KXY --from read.toml")]
    Acknowledge(Filled),
    /// Accept, accept with conditions, ask, or decline
    #[command(after_help = "\
Examples:
  clearhouse config default --form answer > answer.toml
  clearhouse notice answer T-7Q4M-2KXY --from answer.toml")]
    Answer(Filled),
}

impl Notice {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let call = match self.act {
            Act::Send(Filled { code, from }) => {
                Call::NoticeSend { case: code, form: Box::new(Form::Notice.read(&from)?) }
            }
            Act::Acknowledge(Filled { code, from }) => {
                Call::Acknowledge { case: code, form: Form::Acknowledge.read(&from)? }
            }
            Act::Answer(Filled { code, from }) => Call::Answer { case: code, form: Form::Answer.read(&from)? },
        };
        app.out.reply(&node.ask_as(app, call).await?)?;
        Ok(Exit::Done)
    }
}
