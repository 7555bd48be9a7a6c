//! The command line as people and scripts meet it: help, mistakes, exit codes, pipes, signals, files. Every test runs
//! the real program; nothing here asks how it is made.

mod ceremony;
mod forms;
mod help;
mod import;
mod joining;
mod node;
mod office;
mod pipes;
mod renewal;
mod terminal;
mod trials;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No command may take longer (S 18); the deadline is generous for a busy machine.
const HANGS: Duration = Duration::from_secs(60);

/// What a finished command left.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// The reply of `--json`, whole and with a schema.
    fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err));
        assert!(value["schema"].as_str().is_some_and(|s| s.starts_with("ch.")), "{value}");
        value
    }

    /// Asserts the exit code and, for an error, that it says a code and the next command.
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        if matches!(code, 0 | 3 | 8)
            || !self.out.is_empty()
            || self.err.contains("Usage:")
            || self.err.contains("'--help'")
        {
            return self;
        }
        if self.err.starts_with('{') {
            let error: Value = serde_json::from_str(&self.err).unwrap();
            assert_eq!((error["schema"].as_str(), error["exit"].as_i64()), (Some("ch.error/1"), Some(code.into())));
            assert!(error["code"].is_string() && error["next"].is_string(), "{error}");
        } else {
            assert!(self.err.contains("  code: CH-") && self.err.contains("  next: "), "{}", self.err);
        }
        self
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clearhouse"));
    // What the machine of the developer happens to say must not matter.
    command.env_remove("CLEARHOUSE_NODE").env("NO_COLOR", "1");
    command
}

fn clearhouse<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Ran {
    with_input(args, "")
}

fn with_input<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I, input: &str) -> Ran {
    let child = program().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // A command that does not read its input may have gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    finish(child)
}

/// Waits for the end, reading both pipes meanwhile so that neither fills.
fn finish(mut child: Child) -> Ran {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = read(out.take().map(|p| Box::new(p) as _));
    let err = read(err.take().map(|p| Box::new(p) as _));
    let code = wait(&mut child, HANGS);
    Ran { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

/// The exit code; a child that outlives `time` is killed and the test fails.
fn wait(child: &mut Child, time: Duration) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if began.elapsed() > time {
            let _ = child.kill();
            panic!("the command hangs");
        }
        pause(Duration::from_millis(10));
    }
}

#[allow(clippy::disallowed_methods, reason = "a test that polls another process has nothing to wait on")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A folder with the files a person would have.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file only its owner can read.
    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A training network of three coordinators in two countries.
    fn network(&self) -> PathBuf {
        let out = self.path("ceremony");
        let args = ["directory", "found", "--name", "Region", "--kind", "training", "--coordinator", "RO:first"];
        let more = ["--coordinator", "RO:second", "--coordinator", "IT:third", "--json", "--out"];
        clearhouse(args.into_iter().chain(more).map(OsStr::new).chain([out.as_os_str()])).exits(0).json();
        out
    }

    /// A node made by `init`, with an administrator called `root`.
    fn node(&self, name: &str, country: &str, role: &str, listen: &str) -> PathBuf {
        let folder = self.path(name);
        self.init(&folder, name, country, role, listen).exits(0);
        folder
    }

    fn init(&self, folder: &Path, name: &str, country: &str, role: &str, listen: &str) -> Ran {
        self.init_with(folder, name, country, role, listen, &[])
    }

    /// [`Desk::init`] with more options.
    fn init_with(&self, folder: &Path, name: &str, country: &str, role: &str, listen: &str, more: &[&str]) -> Ran {
        let genesis = self.path("ceremony/genesis.record");
        let pass = self.secret("node.pass", "the pass phrase of the node\n");
        let root = self.secret("root.pass", "the pass phrase of the administrator\n");
        let mut command: Vec<&OsStr> = vec!["init".as_ref(), folder.as_ref(), "--genesis".as_ref(), genesis.as_ref()];
        command.extend(["--passphrase-file".as_ref(), pass.as_os_str(), "--admin-passphrase-file".as_ref()]);
        command.extend([root.as_os_str(), "--admin".as_ref(), "root".as_ref()]);
        command.extend(["--admin-name", "Vera S.", "--name", name, "--country", country].map(OsStr::new));
        command.extend(["--role", role, "--language", "ron", "--listen", listen].map(OsStr::new));
        command.extend(["--endpoint", listen, "--json"].map(OsStr::new));
        command.extend(more.iter().map(OsStr::new));
        clearhouse(command)
    }

    /// Signs a node's application with all three coordinators.
    fn accredit(&self, node: &Path) -> PathBuf {
        let out = node.with_extension("record");
        let application = node.join("application.record");
        let genesis = self.path("ceremony/genesis.record");
        let keys = ["first", "second", "third"].map(|n| self.path(&format!("ceremony/{n}.key")));
        let mut args: Vec<&OsStr> = vec!["directory".as_ref(), "accredit".as_ref(), application.as_ref()];
        args.extend(["--genesis".as_ref(), genesis.as_os_str(), "--out".as_ref(), out.as_os_str()]);
        keys.iter().for_each(|key| args.extend(["--key".as_ref(), key.as_os_str()]));
        clearhouse(args).exits(0);
        out
    }
}

/// A loopback address nobody listens on.
fn free_address() -> String {
    crate::free_port::on_loopback().unwrap().to_string()
}

/// A running node; stopped by SIGTERM when dropped.
struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    fn start(desk: &Desk, folder: &Path) -> Self {
        let pass = desk.path("node.pass");
        let log = fs::File::create(folder.join("serve.log")).unwrap();
        let mut command = program();
        command.args(["serve", "--node"]).arg(folder).arg("--passphrase-file").arg(pass);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut running = Self { child, folder: folder.to_owned() };
        let began = Instant::now();
        while running.run(["status"]).code != Some(0) {
            let ended = running.child.try_wait().unwrap();
            let told = || fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
            assert!(ended.is_none() && began.elapsed() < HANGS, "the node did not come up: {}", told());
            pause(Duration::from_millis(50));
        }
        running
    }

    /// A command asked of this node.
    fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        let args: Vec<&OsStr> = args.into_iter().map(OsStr::new).collect();
        clearhouse(args.into_iter().chain(["--node".as_ref(), self.folder.as_os_str()]))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.unwrap(), signal).unwrap();
    }

    /// Stops it and says how it ended.
    fn stop(mut self, signal: rustix::process::Signal) -> Option<i32> {
        self.signal(signal);
        wait(&mut self.child, HANGS)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
