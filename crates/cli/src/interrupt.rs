//! Ctrl-C ends the program within a second, whatever it is doing, and leaves the terminal as it was.
//!
//! A thread of its own waits for the signal, because a command may be in the middle of arithmetic or of a blocking
//! read. Nothing of a command depends on being finished: what must be whole is written under another name first.

use std::io;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::trouble::Exit;

/// Time a prompt has to put the terminal back by itself.
const PROMPT_ENDS: Duration = Duration::from_millis(300);

static PROMPTING: AtomicBool = AtomicBool::new(false);
static TERMINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// Starts to watch for Ctrl-C. A machine that cannot watch keeps the system's own answer, which ends the program too.
pub(crate) fn watch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let registered = std::sync::Arc::new(std::sync::Barrier::new(2));
    let told = std::sync::Arc::clone(&registered);
    let watcher = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let signal = signal(SignalKind::interrupt());
            told.wait();
            let Ok(mut signal) = signal else { return };
            if signal.recv().await.is_none() {
                return;
            }
            if PROMPTING.load(Ordering::SeqCst) {
                tokio::time::sleep(PROMPT_ENDS).await;
                restore();
            }
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

fn restore() {
    if let Ok(Some(was)) = TERMINAL.lock().as_deref() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, was);
    }
}
