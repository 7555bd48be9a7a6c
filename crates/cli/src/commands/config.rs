//! `config`: the one configuration file, shown with the origin of every value, checked, explained; and the forms
//! that people fill in. Opens neither keys nor store.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_node::config::{Config, FILE_MAX, LogLevel, NO_PORT, Unattended};
use clearhouse_node::setup;
use serde_json::{Value, json};

use super::directory::records;
use crate::ask::config_path;
use crate::cli::App;
use crate::files;
use crate::forms::Form;
use crate::trouble::{Code, Exit, Trouble};

/// Show and check the configuration; print samples
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse config check --node /var/lib/clearhouse
  clearhouse config default --form notice > notice.toml"
)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Show every value and where it comes from
    #[command(after_help = "\
Examples:
  clearhouse config show
  clearhouse config show --node /var/lib/clearhouse --json")]
    Show,
    /// Check the configuration without starting the node
    #[command(after_help = "\
Examples:
  clearhouse config check
  clearhouse config check /etc/clearhouse/node.toml")]
    Check {
        /// The file; the node's own when left out
        file: Option<PathBuf>,
    },
    /// Print a sample configuration, or a sample form
    #[command(after_help = "\
Examples:
  clearhouse config default > node.toml
  clearhouse config default --form consent > consent.toml")]
    Default {
        /// A form instead of the configuration
        #[arg(long, value_enum, value_name = "NAME")]
        form: Option<Form>,
    },
}

impl ConfigCommand {
    pub(crate) fn run(self, app: &App) -> Result<Exit, Trouble> {
        match self.act {
            Act::Show => app.out.reply(&show(&config_path(&app.global))?)?,
            Act::Check { file } => {
                let file = file.unwrap_or_else(|| config_path(&app.global));
                let config = Config::read(&file)?;
                check_for_network(&config, &file)?;
                app.out.reply(&json!({
                    "schema": "ch.config-check/1", "file": file.display().to_string(), "network": config.network,
                    "problems": 0,
                }))?;
            }
            Act::Default { form: None } => app.out.data(Config::sample().as_bytes())?,
            Act::Default { form: Some(form) } => app.out.data(form.sample().as_bytes())?,
        }
        Ok(Exit::Done)
    }
}

/// What only the network can say, where the folder already knows its network.
fn check_for_network(config: &Config, file: &Path) -> Result<(), Trouble> {
    let genesis = config.data.join(setup::files::GENESIS);
    if !genesis.exists() {
        return Ok(());
    }
    let kind = records::found(&genesis, None)?.policy().kind();
    config.check_for(kind).map_err(|fault| {
        let text = format!("{}: {fault}.", file.display());
        Trouble::new(Code::Configuration, text, "clearhouse config default")
    })
}

fn show(file: &Path) -> Result<Value, Trouble> {
    let config = Config::read(file)?;
    let max = usize::try_from(FILE_MAX).unwrap_or(usize::MAX);
    let bytes = files::read(file, max, Code::Configuration)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let table: toml::Table = toml::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
    let limits = table.get("limits").and_then(toml::Value::as_table);
    let from = |known: bool| if known { "file" } else { "default" };
    let top = |key: &str, value: Value| json!({"key": key, "value": value, "from": from(table.contains_key(key))});
    let limit = |key: &str, value: Value| {
        let known = limits.is_some_and(|l| l.contains_key(key));
        json!({"key": format!("limits.{key}"), "value": value, "from": from(known)})
    };
    // Without the `.` of `data = "."`, which only stands in the way of reading.
    let path = |path: &Path| json!(path.components().collect::<PathBuf>().display().to_string());
    let (passphrase, credential) = match &config.unattended {
        Unattended::No => (Value::Null, Value::Null),
        Unattended::Passphrase(file) => (path(file), Value::Null),
        Unattended::Credential(file) => (Value::Null, path(file)),
    };
    let values = vec![
        top("network", json!(config.network)),
        top("data", path(&config.data)),
        top("key_file", path(&config.key_file)),
        top("device_secret", path(&config.device_secret)),
        top("listen", json!(config.listen.map_or_else(|| NO_PORT.to_owned(), |listen| listen.to_string()))),
        top("endpoint", json!(config.endpoint)),
        top("relays", json!(config.relays.iter().map(ToString::to_string).collect::<Vec<_>>())),
        top("relay", json!(config.keeps.is_some())),
        top("relay_gib", json!(config.keeps.map(|bytes| bytes >> 30))),
        top("passphrase_file", passphrase),
        top("credential_file", credential),
        top("idle_lock_secs", json!(config.idle_lock_secs)),
        top("keep_content_open", json!(config.keep_content_open)),
        top("reflection", json!(config.reflection)),
        top("log_level", json!(level(config.log_level))),
        top("allow_trace_on_live", json!(config.allow_trace_on_live)),
        top("allow_any_file_system", json!(config.allow_any_file_system)),
        top("control_socket", path(&config.control_socket)),
        limit("connections", json!(config.limits.connections)),
        limit("strangers_per_address", json!(config.limits.strangers_per_address)),
        limit("lines_per_node", json!(config.limits.lines_per_node)),
        limit("deposits_per_minute", json!(config.limits.deposits_per_minute)),
        limit("outcomes_per_minute", json!(config.limits.outcomes_per_minute)),
        limit("records_per_minute", json!(config.limits.records_per_minute)),
        limit("checkpoints_per_minute", json!(config.limits.checkpoints_per_minute)),
        limit("syncs_per_minute", json!(config.limits.syncs_per_minute)),
    ];
    Ok(json!({"schema": "ch.config/1", "file": file.display().to_string(), "values": values}))
}

/// The word of a level, as the file has it.
pub(crate) fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}
