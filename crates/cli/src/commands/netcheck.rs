//! `netcheck`: what stands between this node and another, step by step, with what to do about it. Anybody on this machine
//! who may open the socket may ask; nothing a peer says is printed.

use clap::Args;
use clearhouse_node::calls::Call;
use serde_json::Value;

use crate::ask::Node;
use crate::cli::App;
use crate::trouble::{Exit, Trouble};

/// Try each step of the way to other nodes and say what to fix
///
/// Name, connection, TLS, keys, clocks, mailbox and size. Ends with exit code 3
/// when there is a problem.
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse netcheck
  clearhouse netcheck 'Casa Nova'
  clearhouse netcheck --json")]
pub(crate) struct Netcheck {
    /// The organisation, by name or id; all when left out
    peer: Option<String>,
}

impl Netcheck {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let reply = Node::find(&app.global)?.ask(Call::Netcheck { peer: self.peer }).await?;
        app.out.reply(&reply)?;
        let problems = reply.get("problems").and_then(Value::as_u64).unwrap_or(0);
        Ok(if problems == 0 { Exit::Done } else { Exit::Findings })
    }
}
