//! `lock` and `unlock`: dropping the keys of cases, and opening them with a pass phrase.

use clap::Args;
use clearhouse_node::calls::Call;

use crate::ask::{Node, split_session};
use crate::cli::App;
use crate::secrets;
use crate::sessions::Login;
use crate::trouble::{Exit, Trouble};

/// Drop the keys of all cases now
///
/// Messages of others are still stored; their senders see that the node is locked.
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse lock
  clearhouse lock --as ana")]
pub(crate) struct Lock {}

impl Lock {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        app.out.reply(&Node::find(&app.global)?.ask_as(app, Call::Lock).await?)?;
        Ok(Exit::Done)
    }
}

/// Open the cases with the node's pass phrase, or with a person's (--as)
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse unlock
  clearhouse unlock --as ana
  clearhouse unlock --passphrase-file /run/secrets/node")]
pub(crate) struct Unlock {}

impl Unlock {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let login = app.global.acting.as_deref().map(Login::parse).transpose()?;
        let of = login.as_ref().map_or("the node", Login::as_str);
        let passphrase = secrets::passphrase(app.global.passphrase_file.as_deref(), of, app.global.no_input)?;
        let name = login.as_ref().map(ToString::to_string);
        let reply = node.ask(Call::Unlock { login: name, passphrase: passphrase.to_string() }).await?;
        let reply = match &login {
            // A person who unlocks has signed in by it.
            Some(login) => {
                let (token, reply) = split_session(reply)?;
                node.keep_session(login, &token).await?;
                reply
            }
            None => reply,
        };
        app.out.reply(&reply)?;
        Ok(Exit::Done)
    }
}
