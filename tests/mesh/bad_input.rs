//! Bad input and faults, as an office meets them, against the real program (reliability section 5). Each row asks the
//! same: a refusal with its exit code, a stable code and a sentence that says what to do; nothing lost once the fault is
//! undone; and no word of a case or a pass phrase in anything that was printed or logged.
//!
//! What is shared stands here: an office that holds one case, copied afresh for every row, and what was told about it.
//! Refuses to judge an output it did not search.

mod clock;
mod clock_jumps;
mod desk;
mod letters;
mod members;
mod relays;
mod start;
mod station;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::control::{ControlRequest, call_control};
use clearhouse_node::setup::files;
use clearhouse_protocol::limits::DAY;
use serde_json::Value;

use super::found;
use super::region::{Region, demo_passphrase};

const PROGRAM: &str = env!("CARGO_BIN_EXE_clearhouse");
/// Words that stand in a case or are typed in secret, and in nothing that is printed about a fault.
const CANARIES: [&str; 3] = ["Zarnixa", "Жарникса", "tamarisk"];
/// How long a node may take to answer, or to say why it does not.
const START_MAX: Duration = Duration::from_secs(60);
/// How long something that happens by itself may take.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How a command ended and everything it printed.
struct Told {
    exit: i32,
    code: String,
    text: String,
    next: String,
    out: Value,
    all: String,
}

impl Told {
    fn of(exit: i32, out: &[u8], err: &[u8]) -> Self {
        let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        let error = err.lines().rev().find(|l| l.starts_with("{\"") && l.contains("ch.error/1"));
        let error: Value = error.and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
        let word = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let (code, text, next) = (word("code"), word("text"), word("next"));
        let reply = out.lines().last().and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
        Self { exit, code, text, next, out: reply, all: format!("{out}{err}") }
    }

    /// A refusal as `desk.md` 9 promises it, whose sentence holds all of `words`.
    #[track_caller]
    fn refused(&self, exit: i32, code: &str, words: &[&str]) {
        self.silent();
        assert_eq!((self.exit, self.code.as_str()), (exit, code), "{}", self.all);
        for word in words {
            assert!(
                self.text.to_lowercase().contains(&word.to_lowercase()),
                "the sentence lacks '{word}': {}",
                self.text
            );
        }
        assert!(self.text.ends_with(['.', '?', '!']), "not a sentence: {}", self.text);
        assert!(!self.next.is_empty(), "it does not say what to do next");
    }

    #[track_caller]
    fn done(self) -> Value {
        assert_eq!(self.exit, 0, "{}", self.all);
        self.out
    }

    #[track_caller]
    fn silent(&self) {
        silent(&self.all);
    }
}

/// Nothing of a case and no secret stands in `text`, and nothing of the program's inside.
#[track_caller]
fn silent(text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} stands in what was printed: {text}");
    }
    for inside in ["panicked", "RUST_BACKTRACE", "Os {", "Some("] {
        assert!(!text.contains(inside), "'{inside}' is no word for an operator: {text}");
    }
}

/// Every file of a folder with its mode, so that it can be laid down again as often as a test wants.
struct Kept(BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>);

impl Kept {
    fn of(folder: &Path) -> Self {
        let mut kept = BTreeMap::new();
        let mut open = vec![PathBuf::new()];
        while let Some(inside) = open.pop() {
            for entry in std::fs::read_dir(folder.join(&inside)).unwrap() {
                let name = entry.unwrap().file_name();
                let (inside, path) = (inside.join(&name), folder.join(&inside).join(&name));
                let meta = std::fs::symlink_metadata(&path).unwrap();
                // The reserve of space is made anew by every start.
                if name == "BALLAST" || name == "serve.log" || !(meta.is_dir() || meta.is_file()) {
                    continue;
                }
                let bytes = meta.is_file().then(|| std::fs::read(&path).unwrap());
                if bytes.is_none() {
                    open.push(inside.clone());
                }
                kept.insert(inside, (meta.permissions().mode() & 0o777, bytes));
            }
        }
        Self(kept)
    }

    fn lay_down(&self, folder: &Path) {
        for (inside, (mode, bytes)) in &self.0 {
            let path = folder.join(inside);
            match bytes {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::create_dir_all(&path).unwrap(),
            }
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        self.0[Path::new(name)].1.clone().unwrap()
    }
}

/// Two offices that stopped after one notice had gone from the first to the second.
struct World {
    sender: Kept,
    receiver: Kept,
    case: String,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    let found = || {
        runtime().block_on(async {
            let mut region = found("keep_content_open = true\nlog_level = \"debug\"\n");
            let records = region.records.clone();
            for member in [&mut region.destination, &mut region.origin] {
                member.start().await.unwrap();
                member.learn(&records).await.unwrap();
            }
            region.destination.employ("elena", "Zarnixa R.", "Caseworker").await.unwrap();
            region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
            let mut from = Office::running_in(&region.destination.folder);
            from.session = region.destination.session.as_ref().map(|s| s.as_str().to_owned());
            let case = from.open_case().await;
            from.consent(&case, "ShareNotice", None).await.unwrap();
            from.notice(&case).await.unwrap();
            from.until(&case, |shown| !shown["facts"]["received"].is_null()).await;
            region.destination.kill();
            region.origin.kill();
            World { sender: Kept::of(&region.destination.folder), receiver: Kept::of(&region.origin.folder), case }
        })
    };
    // A thread of its own: the caller may be on a runtime already.
    WORLD.get_or_init(|| std::thread::spawn(found).join().unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A region whose records were signed at `now`, its offices logging everything.
fn found_at(now: u64) -> Region {
    Region::found_with(Path::new(PROGRAM), "keep_content_open = true\nlog_level = \"trace\"\n", false, now).unwrap()
}

fn free_address() -> std::net::SocketAddr {
    crate::free_port::on_loopback().unwrap()
}

/// An office's folder and the node in it, ended by its own id.
struct Office {
    folder: PathBuf,
    process: Option<Child>,
    session: Option<String>,
    _home: Option<tempfile::TempDir>,
}

impl Office {
    /// A copy, on a port of its own.
    fn of(kept: &Kept) -> Self {
        let office = Self::at_its_address(kept);
        let text = office.config();
        let listen = text.lines().find(|l| l.starts_with("listen = ")).unwrap().to_owned();
        office.set_config(&text.replace(&listen, &format!("listen = \"{}\"", free_address())));
        office
    }

    /// A copy at the address that others know. One test only uses each office so.
    fn at_its_address(kept: &Kept) -> Self {
        let home = tempfile::Builder::new().prefix("ch-bad-").tempdir().unwrap();
        let folder = home.path().to_owned();
        kept.lay_down(&folder);
        Self { folder, process: None, session: None, _home: Some(home) }
    }

    /// The office whose node somebody else keeps.
    fn running_in(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), process: None, session: None, _home: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.path(files::CONFIG)).unwrap()
    }

    fn set_config(&self, text: &str) {
        std::fs::write(self.path(files::CONFIG), text).unwrap();
    }

    /// Changes a file and gives back what it held, to be put back.
    fn spoil(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let whole = std::fs::read(self.path(name)).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        assert_ne!(bytes, whole, "nothing was spoilt");
        self.put(name, &bytes);
        whole
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).args(["--json", "--no-input", "--node"]).arg(&self.folder).stdin(Stdio::null());
        command
    }

    /// Runs one command to its end.
    fn run(&self, words: &[&str]) -> Told {
        let ended = self.command(words).output().unwrap();
        Told::of(ended.status.code().unwrap_or(-1), &ended.stdout, &ended.stderr)
    }

    /// As [`Office::run`], with a file beside it whose path is the last word.
    fn run_with(&self, words: &[&str], file: &str) -> Told {
        let path = self.path("typed");
        self.put("typed", file.as_bytes());
        let mut words = words.to_vec();
        words.push(path.to_str().unwrap());
        self.run(&words)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("serve.log")).unwrap_or_default()).into_owned()
    }

    /// Starts the node, or tells why it ended.
    async fn start(&mut self) -> Result<(), Told> {
        let command = self.command(&["serve"]);
        self.start_by(command).await
    }

    async fn start_by(&mut self, mut command: Command) -> Result<(), Told> {
        let log = std::fs::File::create(self.path("serve.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let began = Instant::now();
        loop {
            // Only its own process counts: another may answer on the same socket.
            if let Some(status) = self.process.as_mut().and_then(|p| p.try_wait().unwrap()) {
                self.process = None;
                return Err(Told::of(status.code().unwrap_or(-1), b"", self.log().as_bytes()));
            }
            if self.log().contains("The node is up") {
                return Ok(());
            }
            assert!(began.elapsed() < START_MAX, "it neither answers nor ends: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.session = None;
    }

    async fn ask(&self, call: Call) -> Result<Value, clearhouse_node::control::ControlFailure> {
        let session = self.session.clone().map(clearhouse_node::control::SessionToken::new);
        let request = ControlRequest { id: 1, session, call: serde_json::to_value(call).unwrap() };
        call_control(&self.path(files::SOCKET), &request, WAIT_MAX).await.unwrap().result
    }

    /// Somebody signs in, here and for the commands to come.
    fn sign_in(&mut self, login: &str) {
        let passphrase = demo_passphrase(login).to_string();
        let told = self.run_with(&["user", "sign-in", login, "--passphrase-file"], &passphrase);
        told.done();
        self.session = Some(std::fs::read_to_string(self.path("sessions").join(login)).unwrap());
    }

    async fn open_case(&self) -> String {
        let opened = self.ask(Call::CaseOpen { to: "Casa Nova".into() }).await.unwrap();
        opened["case"].as_str().unwrap().to_owned()
    }

    async fn consent(
        &self,
        case: &str,
        purpose: &str,
        expires: Option<String>,
    ) -> Result<Value, clearhouse_node::control::ControlFailure> {
        let form = serde_json::json!({
            "purpose": purpose, "given_by": "Person", "form": "OralWitnessed", "language": "ron", "expires": expires,
        });
        self.ask(Call::ConsentRecord { case: case.to_owned(), form: serde_json::from_value(form).unwrap() }).await
    }

    async fn notice(&self, case: &str) -> Result<Value, clearhouse_node::control::ControlFailure> {
        let form = serde_json::from_value(notice_form(SystemClock.now())).unwrap();
        self.ask(Call::NoticeSend { case: case.to_owned(), form: Box::new(form) }).await
    }

    async fn until(&self, case: &str, done: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let shown = self.ask(Call::CaseShow { case: case.to_owned() }).await.unwrap();
            if done(&shown) {
                return shown;
            }
            assert!(began.elapsed() < WAIT_MAX, "it did not happen: {shown}");
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// The node starts, and the case that was there before the fault is still there. The last word of every row.
    async fn has_lost_nothing(&mut self, login: &str) {
        if let Err(told) = self.start().await {
            panic!("the fault is undone and it does not start: {}", told.all);
        }
        self.sign_in(login);
        self.shows_the_case(login);
    }

    fn shows_the_case(&self, login: &str) {
        let shown = self.run(&["case", "show", &world().case, "--as", login]).done();
        assert!(!shown["facts"]["received"].is_null(), "{shown}");
        silent(&self.log());
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A notice whose named contact is a canary.
fn notice_form(now: u64) -> Value {
    let day = |days: u64| clearhouse_casework::forms::show_day(now / DAY + days);
    serde_json::json!({
        "age_band": "27--29", "age_status": "Adult", "age_basis": "Declared", "gender": "Feminine",
        "citizenship": ["MD"], "languages": ["ron"], "window_from": day(14), "window_to": day(28), "country": "MD",
        "region": "MD-CU", "services": ["Shelter"], "risk_level": "Low", "urgency": "Routine",
        "voluntary": "Voluntary", "alternatives_explained": true, "trafficking_status": "ActualVictimOfTrafficking",
        "status_decided_by": "NGO", "referral_reason": "MigrationOrChangeOfLocation",
        "worker": {"label": "Zarnixa R.", "role": "Caseworker"}, "alternate": {"label": "Paola G.", "role": "Manager"},
    })
}
