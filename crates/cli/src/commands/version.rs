//! `version`: what this program is and what it can read. Asks no node.

use clap::Args;
use clearhouse_node::setup::readable;
use serde_json::json;

use crate::cli::App;
use crate::trouble::{Exit, Trouble};

/// Print the version and what it can read
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse version
  clearhouse version --json")]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        let reads: Vec<_> =
            readable().iter().map(|(kind, version)| json!({"type": kind, "version": version})).collect();
        app.out.reply(&json!({
            "schema": "ch.version/1", "version": env!("CARGO_PKG_VERSION"), "protocol": "clearhouse.v1",
            "suites": [1], "reads": reads,
        }))?;
        Ok(Exit::Done)
    }
}
