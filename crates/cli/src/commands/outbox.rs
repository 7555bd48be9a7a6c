//! `outbox`: messages under way, and trying them now.

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::trouble::{Exit, Trouble};

/// List messages under way, or try them now
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse outbox
  clearhouse outbox retry")]
pub(crate) struct Outbox {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Subcommand)]
enum Act {
    /// List messages that are not answered yet
    #[command(after_help = "\
Examples:
  clearhouse outbox list
  clearhouse outbox list --json")]
    List,
    /// Try everything under way now
    #[command(after_help = "\
Examples:
  clearhouse outbox retry
  clearhouse outbox retry --as ana")]
    Retry,
}

impl Outbox {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let call = match self.act {
            None | Some(Act::List) => Call::Outbox,
            Some(Act::Retry) => Call::OutboxRetry,
        };
        app.out.reply(&node.ask_as(app, call).await?)?;
        Ok(Exit::Done)
    }
}
