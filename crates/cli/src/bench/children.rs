//! Nodes as processes of this very program, so that their memory and their start are theirs alone. Whatever ends the
//! benchmark ends them, Ctrl-C included.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::measure::Outcome;
use crate::interrupt;

/// What `serve` says when both its doors are open.
const UP: &str = "The node is up";
/// How long a node may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running `serve`.
pub(crate) struct Served {
    child: Child,
    /// Told when it says nothing any more.
    silent: Receiver<()>,
}

impl Served {
    /// Starts the node in `folder` and waits until it serves. Returns how long that took, from before the process was
    /// made.
    pub(crate) fn start(folder: &Path) -> Outcome<(Self, Duration)> {
        let program = std::env::current_exe()?;
        let began = Instant::now();
        let mut command = Command::new(program);
        command.args(["serve", "--no-input", "--node"]).arg(folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        interrupt::started(child.id());
        let (tell, silent) = channel();
        let mut served = Self { child, silent };
        let mut lines = BufReader::new(served.child.stderr.take().ok_or("no pipe")?).lines();
        let mut said = String::new();
        let took = loop {
            let Some(line) = lines.next().transpose()? else {
                return Err(format!("a node did not start: {said}").into());
            };
            if line.starts_with(UP) {
                break began.elapsed();
            }
            said = line;
        };
        // A pipe that nobody reads would stop the node when it is full.
        std::thread::spawn(move || {
            lines.for_each(drop);
            let _ = tell.send(());
        });
        Ok((served, took))
    }

    /// A figure that the system keeps of the process, in KiB.
    pub(crate) fn figure(&self, name: &str) -> Outcome<u64> {
        figure(&self.child.id().to_string(), name)
    }

    /// Stops it as a service manager does, and waits for its end.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("a process without a number")?;
        kill_process(pid, Signal::TERM)?;
        // Its end of the pipe closes when it ends.
        self.silent.recv_timeout(STOP_MAX).map_err(|_| "a node did not stop")?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        interrupt::over(self.child.id());
    }
}

/// A figure in KiB that the system keeps of a process: `VmRSS`, `VmHWM`.
pub(crate) fn figure(process: &str, name: &str) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("the system does not count memory")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number of KiB")?.parse()?)
}
