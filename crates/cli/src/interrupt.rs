//! Ctrl-C ends the program within a second, whatever it is doing, and leaves the terminal as it was. So do a service manager's
//! SIGTERM and the SIGHUP of a terminal that was closed.
//!
//! A thread of its own waits for the signal, because a command may be in the middle of arithmetic or of a blocking
//! read. Nothing of a command depends on being finished, and what is half written is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal as Watched, SignalKind, signal};

use crate::trouble::Exit;

/// Time a prompt has to put the terminal back by itself.
const PROMPT_ENDS: Duration = Duration::from_millis(300);

/// How often removal is tried.
const REMOVALS: usize = 16;

/// Set before anything is ended or removed.
static ENDING: AtomicBool = AtomicBool::new(false);
static PROMPTING: AtomicBool = AtomicBool::new(false);
static TERMINAL: Mutex<Option<Termios>> = Mutex::new(None);
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// The signals that ask this program to end.
pub(crate) struct Asked {
    interrupt: Watched,
    terminate: Watched,
    /// `None` when whoever started this program had it outlive its terminal (`nohup`).
    hangup: Option<Watched>,
}

impl Asked {
    /// Watches from now on. Must be called within a runtime.
    ///
    /// # Errors
    /// The system's, which then ends the program by itself when asked to.
    pub(crate) fn watch() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = if ignores(&status, Signal::HUP) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits until one of them comes.
    pub(crate) async fn come(&mut self) {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Whether a process of this status (`/proc/PID/status`) was started to ignore a signal.
fn ignores(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// Starts to watch for [`Asked`]. A machine that cannot watch keeps the system's own answer, which ends the program too.
pub(crate) fn watch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let registered = std::sync::Arc::new(std::sync::Barrier::new(2));
    let told = std::sync::Arc::clone(&registered);
    let watcher = move || {
        runtime.block_on(async {
            let asked = Asked::watch();
            told.wait();
            let Ok(mut asked) = asked else { return };
            asked.come().await;
            if PROMPTING.load(Ordering::SeqCst) {
                tokio::time::sleep(PROMPT_ENDS).await;
                restore();
            }
            remove_unfinished();
            process::exit(i32::from(Exit::Interrupted.number()));
        });
    };
    if std::thread::Builder::new().name("interrupt".into()).spawn(watcher).is_ok() {
        registered.wait();
    }
}

/// Runs a prompt that turns the terminal's echo off, remembering how it was.
pub(crate) fn while_prompting<T>(prompt: impl FnOnce() -> T) -> T {
    if let (Ok(now), Ok(mut kept)) = (tcgetattr(io::stdin()), TERMINAL.lock()) {
        *kept = Some(now);
    }
    PROMPTING.store(true, Ordering::SeqCst);
    let answer = prompt();
    PROMPTING.store(false, Ordering::SeqCst);
    answer
}

/// A file or folder of ours that must not outlive this program half made.
pub(crate) fn begun(path: &Path) {
    if let Ok(mut paths) = UNFINISHED.lock() {
        paths.push(path.to_owned());
    }
}

/// It is whole now, or gone.
pub(crate) fn ended(path: &Path) {
    if let Ok(mut paths) = UNFINISHED.lock() {
        paths.retain(|p| p != path);
    }
}

/// A process of ours that must not outlive this program: it writes where [`begun`] is removed.
pub(crate) fn started(process: u32) {
    if let Ok(mut all) = STARTED.lock() {
        all.push(process);
    }
    // Those that were there have been ended: this one came too late to be among them.
    if ENDING.load(Ordering::SeqCst) {
        end_started();
    }
}

/// It has ended, and its number may be somebody else's.
pub(crate) fn over(process: u32) {
    if let Ok(mut all) = STARTED.lock() {
        all.retain(|p| *p != process);
    }
}

/// A command whose process or folder was just taken from it has failed only because it is ended: it says nothing of that,
/// and does not end the program before all is removed.
pub(crate) fn wait_if_ending() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn end_started() {
    let Ok(all) = STARTED.lock() else { return };
    for pid in all.iter().filter_map(|p| Pid::from_raw(i32::try_from(*p).ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn remove_unfinished() {
    ENDING.store(true, Ordering::SeqCst);
    end_started();
    let Ok(paths) = UNFINISHED.lock() else { return };
    for path in paths.iter() {
        remove(path);
    }
}

/// Removes a file or folder. Threads of this program may still write into the folder: then it is tried again.
fn remove(path: &Path) {
    for _ in 0..REMOVALS {
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        if gone.is_ok() {
            return;
        }
    }
}

fn restore() {
    if let Ok(Some(was)) = TERMINAL.lock().as_deref() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, was);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_a_program_was_told_to_outlive_is_not_watched() {
        let status = |mask: &str| format!("Name:\tclearhouse\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\n");
        assert!(ignores(&status("0000000000000001"), Signal::HUP));
        assert!(ignores(&status("0000000000001003"), Signal::INT));
        assert!(!ignores(&status("0000000000001002"), Signal::HUP));
        assert!(!ignores(&status("0000000000000000"), Signal::HUP) && !ignores("", Signal::HUP));
    }
}
