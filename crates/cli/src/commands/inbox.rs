//! `inbox`: messages of others that nobody here has opened. Opening is an act: its sender is told who did it.

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::trouble::{Exit, Trouble};

/// List and open messages of others
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse inbox
  clearhouse inbox open T-7Q4M-2KXY")]
pub(crate) struct Inbox {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Subcommand)]
enum Act {
    /// List the messages that nobody here has opened
    #[command(after_help = "\
Examples:
  clearhouse inbox list
  clearhouse inbox list --json")]
    List,
    /// Open a message; its sender is told that you did
    #[command(after_help = "\
Examples:
  clearhouse inbox open T-7Q4M-2KXY
  clearhouse inbox open T-7Q4M-2KXY --message 3f9c0d1e2b3a495867768594a3b2c1d0")]
    Open {
        /// The case's code, or enough of its beginning
        code: String,
        /// The message's id; the newest unread one when left out
        #[arg(long, value_name = "ID")]
        message: Option<String>,
    },
    /// Take a letter out of quarantine although its sender was revoked; a manager's decision
    #[command(after_help = "\
Examples:
  clearhouse inbox take 3f9c0d1e2b3a
  clearhouse inbox take 3f9c0d1e2b3a --as mira")]
    Take {
        /// The letter's id, or enough of its beginning
        letter: String,
    },
    /// End a letter in quarantine, unopened; a manager's decision
    #[command(after_help = "\
Examples:
  clearhouse inbox refuse 3f9c0d1e2b3a
  clearhouse inbox refuse 3f9c0d1e2b3a --as mira")]
    Refuse {
        /// The letter's id, or enough of its beginning
        letter: String,
    },
}

impl Inbox {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let call = match self.act {
            None | Some(Act::List) => Call::Inbox,
            Some(Act::Take { letter }) => Call::QuarantineDecide { letter, take: true },
            Some(Act::Refuse { letter }) => Call::QuarantineDecide { letter, take: false },
            Some(Act::Open { code, message }) => Call::Open { case: code, message },
        };
        app.out.reply(&node.ask_as(app, call).await?)?;
        Ok(Exit::Done)
    }
}
