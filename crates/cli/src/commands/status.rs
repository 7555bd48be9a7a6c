//! `status` and `doctor`: how the node is, and what is wrong with what repairs it. Anybody on this machine who may
//! open the socket may ask; neither says anything of a case.

use clap::Args;
use clearhouse_node::calls::Call;
use serde_json::Value;

use crate::ask::Node;
use crate::cli::App;
use crate::trouble::{Exit, Trouble};

/// Say how the node is
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse status
  clearhouse status --node /var/lib/clearhouse --json")]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        app.out.reply(&Node::find(&app.global)?.ask(Call::Status).await?)?;
        Ok(Exit::Done)
    }
}

/// Say what is wrong with the node and what repairs it
///
/// Ends with exit code 3 when there is a problem. What the machine itself is worth
/// `clearhouse selftest` tries, without a node.
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse doctor
  clearhouse doctor --json
  clearhouse doctor --scrub --as root")]
pub(crate) struct Doctor {
    /// First read everything in the store and hold it against what it must be, as happens once a day
    #[arg(long)]
    scrub: bool,
}

impl Doctor {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let reply = if self.scrub { node.ask_as(app, Call::Scrub).await? } else { node.ask(Call::Doctor).await? };
        app.out.reply(&reply)?;
        let problems = reply.get("problems").and_then(Value::as_u64).unwrap_or(0);
        Ok(if problems == 0 { Exit::Done } else { Exit::Findings })
    }
}
