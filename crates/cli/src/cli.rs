//! The command line as it can be typed: every command, the options all of them share, and where each goes.
//!
//! Refuses abbreviations and catch-alls: a word is a command or a mistake that is told, with the command it is near.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    arrival, audit, backup, case, completions, config, consent, directory, doors, import, inbox, init, netcheck,
    notice, outbox, profile, restore, serve, status, user, version,
};
use crate::output::Out;
use crate::trouble::{Exit, Trouble};

/// A secure exchange of return notices and victim profiles between NGOs
#[derive(Parser)]
#[command(
    name = "clearhouse",
    max_term_width = 80,
    disable_version_flag = true,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  clearhouse status --node /var/lib/clearhouse
  clearhouse case open --to 'Casa Nova'
  clearhouse inbox --as ana
  clearhouse version

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a check found
problems, 4 not found, 5 refused, 6 unreachable, 7 key or pass phrase,
8 integrity broken, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The node's folder [default: $CLEARHOUSE_NODE, else ./clearhouse-node]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) node: Option<PathBuf>,
    /// Who acts; not needed while only one person is signed in here
    #[arg(long = "as", global = true, value_name = "LOGIN")]
    pub(crate) acting: Option<String>,
    /// Read the pass phrase from a file that only you can read
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Print one line of JSON with its schema's name
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Ask nothing, even at a terminal
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Print no remarks, only data and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// Every command.
#[derive(Subcommand)]
pub(crate) enum Command {
    Init(Box<init::Init>),
    Serve(serve::Serve),
    Lock(doors::Lock),
    Unlock(doors::Unlock),
    User(user::User),
    Status(status::Status),
    Doctor(status::Doctor),
    Netcheck(netcheck::Netcheck),
    Directory(directory::Directory),
    Case(case::Case),
    Consent(consent::Consent),
    Notice(notice::Notice),
    Inbox(inbox::Inbox),
    Profile(profile::Profile),
    Arrival(arrival::Arrival),
    Import(import::Import),
    Outbox(outbox::Outbox),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Config(config::ConfigCommand),
    Demo(crate::demo::Args),
    Selftest(crate::selftest::Selftest),
    Bench(crate::bench::Bench),
    Completions(completions::Completions),
    Version(version::Version),
}

/// What a command works with besides its own arguments.
pub(crate) struct App {
    /// The options of every command.
    pub(crate) global: Global,
    /// Where words go.
    pub(crate) out: Out,
}

impl Command {
    /// Whether this command looks after Ctrl-C itself, because it has something to put down first.
    pub(crate) fn stops_by_itself(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Demo(_) | Self::Selftest(_))
    }

    /// Runs the command.
    ///
    /// # Errors
    /// [`Trouble`]: nothing, or not all, was done.
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        match self {
            Self::Init(command) => command.run(app),
            Self::Serve(command) => command.run(app).await,
            Self::Lock(command) => command.run(app).await,
            Self::Unlock(command) => command.run(app).await,
            Self::User(command) => command.run(app).await,
            Self::Status(command) => command.run(app).await,
            Self::Doctor(command) => command.run(app).await,
            Self::Netcheck(command) => command.run(app).await,
            Self::Directory(command) => command.run(app).await,
            Self::Case(command) => command.run(app).await,
            Self::Consent(command) => command.run(app).await,
            Self::Notice(command) => command.run(app).await,
            Self::Inbox(command) => command.run(app).await,
            Self::Profile(command) => command.run(app).await,
            Self::Arrival(command) => command.run(app).await,
            Self::Import(command) => command.run(app),
            Self::Outbox(command) => command.run(app).await,
            Self::Audit(command) => command.run(app).await,
            Self::Backup(command) => command.run(app).await,
            Self::Restore(command) => command.run(app),
            Self::Config(command) => command.run(app),
            Self::Demo(args) => Ok(match crate::demo::run(args, app.global.json).await {
                0 => Exit::Done,
                130 => Exit::Interrupted,
                _ => Exit::Failed,
            }),
            Self::Selftest(command) => command.run(app).await,
            Self::Bench(command) => command.run(app),
            Self::Completions(command) => command.run(app),
            Self::Version(command) => command.run(app),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
