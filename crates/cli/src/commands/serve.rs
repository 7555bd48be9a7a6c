//! `serve`: runs the node until it is told to stop. Everything it does is `clearhouse_node::serve`; here are only the
//! terminal, the signals and the log.

use std::io;

use clap::Args;
use clearhouse_node::config::Config;
use clearhouse_node::serve::{Up, run};
use clearhouse_store::passphrase::PassphraseError;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use zeroize::Zeroizing;

use super::config::level;
use crate::ask::{config_path, no_node, node_folder};
use crate::cli::App;
use crate::files::cannot;
use crate::log_lines::Lines;
use crate::secrets;
use crate::trouble::{Exit, Trouble};

/// Run the node until it is told to stop
///
/// SIGTERM stops it with exit code 0, Ctrl-C with 130; both finish what is under
/// way first, a second Ctrl-C does not.
#[derive(Args)]
#[command(after_help = "\
Examples:
  clearhouse serve --node /var/lib/clearhouse
  clearhouse serve --passphrase-file /run/secrets/node")]
pub(crate) struct Serve {}

impl Serve {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let path = config_path(&app.global);
        let config = Config::read(&path).map_err(|error| no_node(&node_folder(&app.global), error))?;
        log_to_stderr(&config);
        let mut refused = None;
        let ask = || {
            let file = app.global.passphrase_file.as_deref();
            match secrets::passphrase(file, "the node", app.global.no_input) {
                Ok(text) => Ok(Some(text)),
                Err(trouble) => {
                    refused = Some(trouble);
                    Ok::<Option<Zeroizing<String>>, PassphraseError>(None)
                }
            }
        };
        let up = |up: &Up| {
            let cases = if up.open { "cases are open" } else { "cases are locked: clearhouse unlock" };
            let at = up.listen.map_or_else(|| "without a port".to_owned(), |listen| format!("on {listen}"));
            app.out.say(&format!("The node is up {at}; {cases}. Ctrl-C stops it."));
            up.findings.iter().for_each(|finding| app.out.say(&format!("Found at the start: {finding}")));
        };
        let (stopped_by, stop) = signals(app)?;
        let served = run(&path, ask, up, stop).await;
        if let Some(trouble) = refused {
            return Err(trouble);
        }
        served?;
        let interrupted = stopped_by.await.unwrap_or(false);
        Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
    }
}

type Stopped = (tokio::sync::oneshot::Receiver<bool>, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);

/// A future that ends at SIGTERM or Ctrl-C, and which of them it was. A second Ctrl-C ends the program at once.
fn signals(app: &App) -> Result<Stopped, Trouble> {
    let watch = |kind| signal(kind).map_err(|e| cannot("watch", "signals".as_ref(), &e));
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    let (tell, told) = tokio::sync::oneshot::channel();
    let quiet = app.global.quiet;
    let stop = async move {
        let interrupted = tokio::select! {
            _ = terminate.recv() => false,
            _ = interrupt.recv() => true,
        };
        let _ = tell.send(interrupted);
        if interrupted {
            crate::output::Out::new(false, quiet).say("Stopping; Ctrl-C again stops at once.");
        }
        tokio::spawn(async move {
            if interrupt.recv().await.is_some() {
                std::process::exit(i32::from(Exit::Interrupted.number()));
            }
        });
    };
    Ok((told, Box::pin(stop)))
}

/// The log goes to stderr, where a service manager keeps it. Nothing from inside a message is in it at any level.
fn log_to_stderr(config: &Config) {
    let own: LevelFilter = level(config.log_level).parse().unwrap_or(LevelFilter::INFO);
    let ours = ["clearhouse", "clearhouse_node", "clearhouse_store"].map(|room| (room, own));
    let filter = Targets::new().with_default(LevelFilter::WARN).with_targets(ours);
    // A log that cannot be written, on a full disk say, must not end the node: telling that on stderr would panic.
    let log = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let log = log.event_format(Lines::new(Format::default())).with_filter(filter);
    // Another subscriber can only be one of a test in this process; its log is as good.
    let _ = tracing_subscriber::registry().with(log).try_init();
}
