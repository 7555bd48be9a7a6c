//! `user`: who works here, and signing in and out. Roles and names are the node's to judge.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clearhouse_node::calls::Call;

use crate::ask::Node;
use crate::cli::App;
use crate::secrets;
use crate::sessions::Login;
use crate::trouble::{Exit, Trouble};

/// Invite people, sign in and out
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse user sign-in ana
  clearhouse user invite ana --name 'Ana P.' --role Caseworker"
)]
pub(crate) struct User {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Invite a person; prints a code to hand over
    #[command(after_help = "\
Examples:
  clearhouse user invite ana --name 'Ana P.' --role Caseworker --as root
  clearhouse user invite ion --name 'Ion M.' --role Manager --as root")]
    Invite {
        /// Login name: lower-case letters, digits, dots, hyphens
        login: String,
        /// The name colleagues and the other side read, such as 'Ana P.'
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What the person is in the office
        #[arg(long, value_parser = ["Caseworker", "Manager", "ChildOfficer", "Administrator", "Auditor"])]
        role: String,
    },
    /// Take up an invitation with a pass phrase of your own
    #[command(after_help = "\
Examples:
  clearhouse user accept ana
  clearhouse user accept ana --code-file code --passphrase-file pass")]
    Accept {
        /// Your login name
        login: String,
        /// Read the invitation's code from a file that only you can read
        #[arg(long, value_name = "FILE")]
        code_file: Option<PathBuf>,
    },
    /// List who works here
    #[command(after_help = "\
Examples:
  clearhouse user list
  clearhouse user list --json")]
    List,
    /// End an account
    #[command(after_help = "\
Examples:
  clearhouse user leave ana --as root
  clearhouse user leave ana --as root --yes")]
    Leave {
        /// Login name
        login: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Sign in, for the commands to come
    #[command(after_help = "\
Examples:
  clearhouse user sign-in ana
  clearhouse user sign-in ana --passphrase-file /run/user/1000/pass")]
    SignIn {
        /// Your login name
        login: String,
    },
    /// Sign out
    #[command(after_help = "\
Examples:
  clearhouse user sign-out
  clearhouse user sign-out --as ana")]
    SignOut,
}

impl User {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let (file, no_input) = (app.global.passphrase_file.as_deref(), app.global.no_input);
        let reply = match self.act {
            Act::Invite { login, name, role } => {
                let login = Login::parse(&login)?.to_string();
                node.ask_as(app, Call::UserInvite { login, label: name, role }).await?
            }
            Act::Accept { login, code_file } => {
                let login = Login::parse(&login)?;
                let code = secrets::code(code_file.as_deref(), no_input)?;
                let passphrase = secrets::new_passphrase(file, "--passphrase-file FILE", login.as_str(), no_input)?;
                let (login, code) = (login.to_string(), code.to_string());
                node.ask(Call::UserAccept { login, code, passphrase: passphrase.to_string() }).await?
            }
            Act::List => node.ask_as(app, Call::UserList).await?,
            Act::Leave { login, yes } => {
                let login = Login::parse(&login)?.to_string();
                secrets::confirm("An account that has ended is not opened again.", &login, yes, no_input)?;
                node.ask_as(app, Call::UserLeave { login }).await?
            }
            Act::SignIn { login } => {
                let login = Login::parse(&login)?;
                let passphrase = secrets::passphrase(file, login.as_str(), no_input)?;
                let (token, reply) = node.sign_in(&login, &passphrase).await?;
                node.keep_session(&login, &token).await?;
                reply
            }
            Act::SignOut => {
                let desk = node.sit_down(app).await?;
                app.out.say(&format!("Signing out {}.", desk.login()));
                desk.sign_out().await?
            }
        };
        app.out.reply(&reply)?;
        Ok(Exit::Done)
    }
}
