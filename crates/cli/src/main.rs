//! `clearhouse`: one program for the node, the people who work at it, and those who look after both.
//!
//! Reads the command line, runs one command, and ends with the exit code that `desk.md` section 9 promises. Holds no
//! rule of its own: what may be done is decided in the node, what is said is written in `output` and `render`.

mod ask;
mod bench;
mod cli;
mod commands;
mod demo;
mod files;
mod forms;
mod free_port;
mod fresh_folder;
mod interrupt;
mod log_folder;
mod log_lines;
mod memory_bounds;
mod output;
mod render;
mod scratch;
mod secrets;
mod selftest;
mod sessions;
mod trouble;
mod workbook;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use cli::{App, Cli, Command};
use output::Out;
use trouble::{Code, Exit, Trouble};

fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told_by_clap(&error),
    };
    if matches!(command, Command::Serve(_)) {
        memory_bounds::set();
    }
    let app = App { out: Out::new(global.json, global.quiet), global };
    if !command.stops_by_itself() {
        interrupt::watch();
    }
    // A node works on many lines at once, a question waits for one.
    let mut builder = if command.stops_by_itself() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let outcome = match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(command.run(&app)),
        Err(e) => {
            let text = format!("The system gave no resources to run with: {e}.");
            Err(Trouble::new(Code::File, text, "ulimit -a"))
        }
    };
    interrupt::wait_if_ending();
    let exit = outcome.unwrap_or_else(|trouble| {
        app.out.trouble(&trouble);
        trouble.exit
    });
    ExitCode::from(exit.number())
}

/// Help goes to stdout and is no error; everything else is a mistake in what was typed.
fn told_by_clap(error: &clap::Error) -> ExitCode {
    // The reader may have gone (`clearhouse --help | head -1`): that is no reason to fail.
    let _ = error.print();
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let exit = if asked { Exit::Done } else { Exit::of(Code::Arguments.word()) };
    ExitCode::from(exit.number())
}
