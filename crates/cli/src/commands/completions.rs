//! `completions`: what a shell needs to complete commands and options.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::{App, Cli};
use crate::trouble::{Exit, Trouble};

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse completions bash > ~/.local/share/bash-completion/completions/clearhouse
  clearhouse completions fish > ~/.config/fish/completions/clearhouse.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "clearhouse", &mut script);
        app.out.data(&script)?;
        Ok(Exit::Done)
    }
}
