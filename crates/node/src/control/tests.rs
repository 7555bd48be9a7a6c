//! The local door with real sockets in folders of their own.

use super::socket::{PORCHES_MAX, is_own_user};
use super::*;
use crate::limits::Counters;
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TIME: Duration = Duration::from_secs(5);

/// A private folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("clearhouse-ctl-{}-{n}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A served socket that echoes calls and misbehaves for some.
struct Served {
    counters: Arc<Counters>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn serve(path: &Path) -> Served {
    let socket = ControlSocket::bind(path).unwrap();
    let counters = Arc::<Counters>::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(socket.serve(Arc::clone(&counters), answer, async {
        let _ = stopped.await;
    }));
    Served { counters, stop, task }
}

async fn answer(request: ControlRequest) -> Result<Value, ControlFailure> {
    let session = request.session.map(|s| s.as_str().to_owned());
    match request.call.as_str() {
        Some("panic") => panic!("planted"),
        Some("refuse") => Err(ControlFailure { code: "role".into(), text: "only a manager may".into() }),
        Some("long") => Ok(json!("x".repeat(FRAME_MAX))),
        Some("hang") => std::future::pending().await,
        _ => Ok(json!({ "call": request.call, "session": session })),
    }
}

fn request(id: u64, call: Value) -> ControlRequest {
    ControlRequest { id, session: Some(SessionToken::new("token".into())), call }
}

async fn ask(path: &Path, call: Value) -> Result<Value, ControlFailure> {
    let Ok(reply) = call_control(path, &request(7, call), TIME).await else { panic!("no reply") };
    assert_eq!(reply.id, 7);
    reply.result
}

#[tokio::test]
async fn a_call_brings_its_answer_and_a_refusal_its_words() {
    let folder = Folder::new();
    let served = serve(&folder.socket());
    let call = json!({ "status": { "deep": [1, null, "ž"] } });
    assert_eq!(ask(&folder.socket(), call.clone()).await, Ok(json!({ "call": call, "session": "token" })));
    assert_eq!(ask(&folder.socket(), json!("refuse")).await.unwrap_err().code, "role");
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
    assert!(!folder.socket().exists(), "the path is given back");
}

#[tokio::test]
async fn the_socket_is_closed_to_other_users() {
    let folder = Folder::new();
    let _served = serve(&folder.socket());
    assert_eq!(fs::symlink_metadata(folder.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing unfinished is left");
}

#[test]
fn only_the_nodes_own_user_and_root_are_answered() {
    assert!(is_own_user(1000, 1000) && is_own_user(0, 1000) && is_own_user(0, 0));
    assert!(!is_own_user(1001, 1000) && !is_own_user(1000, 0));
}

#[tokio::test]
async fn a_panic_answers_is_counted_and_leaves_the_door_open() {
    let folder = Folder::new();
    let served = serve(&folder.socket());
    assert_eq!(ask(&folder.socket(), json!("panic")).await.unwrap_err().code, "broken");
    assert_eq!(served.counters.panics.read(), 1);
    assert!(ask(&folder.socket(), json!(1)).await.is_ok());
}

#[tokio::test]
async fn an_answer_too_long_for_a_frame_says_so_and_a_question_is_not_sent() {
    let folder = Folder::new();
    let _served = serve(&folder.socket());
    assert_eq!(ask(&folder.socket(), json!("long")).await.unwrap_err().code, "too-long");
    let long = request(1, json!("x".repeat(FRAME_MAX)));
    assert_eq!(call_control(&folder.socket(), &long, TIME).await.err(), Some(ControlError::TooLong));
    // The longest that fits passes: 48 bytes are the rest of the answer.
    let most = "x".repeat(FRAME_MAX - 100);
    assert!(ask(&folder.socket(), json!(most)).await.is_ok());
}

#[tokio::test]
async fn frames_of_nonsense_close_the_line_and_nothing_else() {
    let folder = Folder::new();
    let served = serve(&folder.socket());
    let huge = u32::MAX.to_be_bytes().to_vec();
    let nonsense: Vec<Vec<u8>> = vec![
        huge,
        [&5u32.to_be_bytes()[..], b"[1,2]"].concat(),
        [&4u32.to_be_bytes()[..], b"\xff\xfe\x00\x01"].concat(),
        [&40u32.to_be_bytes()[..], br#"{"id":1,"session":null,"call":1,"more":2}"#].concat(),
        [&400u32.to_be_bytes()[..], "[".repeat(400).as_bytes()].concat(),
    ];
    let sent = nonsense.len() as u64;
    for bytes in nonsense {
        let mut stream = UnixStream::connect(folder.socket()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        // Unread bytes may turn the end into a reset.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
    assert!(ask(&folder.socket(), json!(1)).await.is_ok());
    assert_eq!(served.counters.control_refused.read(), sent);
}

#[tokio::test]
async fn several_calls_on_one_line_are_answered_in_order() {
    let folder = Folder::new();
    let _served = serve(&folder.socket());
    let mut stream = UnixStream::connect(folder.socket()).await.unwrap();
    for id in 1..=3 {
        frame::write(&mut stream, &request(id, json!(id))).await.unwrap();
    }
    for id in 1..=3 {
        let reply: ControlReply = frame::read(&mut stream, TIME).await.unwrap().unwrap();
        assert_eq!(reply.id, id);
    }
}

#[tokio::test]
async fn more_porches_than_the_cap_are_closed_at_once() {
    let folder = Folder::new();
    let served = serve(&folder.socket());
    let mut held = Vec::new();
    for _ in 0..PORCHES_MAX {
        held.push(UnixStream::connect(folder.socket()).await.unwrap());
    }
    let mut one_more = UnixStream::connect(folder.socket()).await.unwrap();
    assert_eq!(one_more.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(served.counters.control_refused.read(), 1);
    drop(held);
}

#[tokio::test]
async fn a_second_node_on_the_same_path_is_refused_and_the_first_is_not_disturbed() {
    let folder = Folder::new();
    let _served = serve(&folder.socket());
    let second = ControlSocket::bind(&folder.socket()).err();
    assert_eq!(second, Some(ControlError::AlreadyServed(folder.socket())));
    assert!(ask(&folder.socket(), json!(1)).await.is_ok());
}

#[tokio::test]
async fn the_socket_of_a_node_that_died_is_replaced() {
    let folder = Folder::new();
    for name in ["control.sock", "control.sock.new"] {
        drop(std::os::unix::net::UnixListener::bind(folder.0.join(name)).unwrap());
    }
    assert_eq!(
        call_control(&folder.socket(), &request(1, json!(1)), TIME).await.err(),
        Some(ControlError::NotRunning(folder.socket()))
    );
    let _served = serve(&folder.socket());
    assert!(ask(&folder.socket(), json!(1)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.socket(), "a case").unwrap();
    assert_eq!(ControlSocket::bind(&folder.socket()).err(), Some(ControlError::NotASocket(folder.socket())));
    assert_eq!(fs::read(folder.socket()).unwrap(), b"a case");
    fs::remove_file(folder.socket()).unwrap();
    let elsewhere = folder.0.join("elsewhere");
    drop(std::os::unix::net::UnixListener::bind(&elsewhere).unwrap());
    std::os::unix::fs::symlink(&elsewhere, folder.socket()).unwrap();
    assert_eq!(ControlSocket::bind(&folder.socket()).err(), Some(ControlError::NotASocket(folder.socket())));
}

#[tokio::test]
async fn a_folder_others_can_write_to_and_a_path_too_long_are_refused_with_what_to_do() {
    let folder = Folder::new();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o770)).unwrap();
    let error = ControlSocket::bind(&folder.socket()).err().unwrap();
    assert!(error.to_string().contains("chmod go-w"));
    let long = Path::new("/run").join("x".repeat(SOCKET_PATH_MAX));
    let error = ControlSocket::bind(&long).err().unwrap();
    assert_eq!(error, ControlError::PathTooLong { len: SOCKET_PATH_MAX + 5 });
    assert!(error.to_string().contains("control_socket"));
    assert_eq!(call_control(&long, &request(1, json!(1)), TIME).await.err(), Some(error));
}

#[tokio::test]
async fn the_longest_path_allowed_can_be_bound() {
    let folder = Folder::new();
    let rest = SOCKET_PATH_MAX - folder.0.as_os_str().len() - 1;
    let path = folder.0.join("s".repeat(rest));
    let _served = serve(&path);
    assert!(ask(&path, json!(1)).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_deadline_and_a_missing_node_is_said_to_be_missing() {
    let folder = Folder::new();
    let missing = call_control(&folder.socket(), &request(1, json!(1)), TIME).await.err();
    assert_eq!(missing, Some(ControlError::NotRunning(folder.socket())));
    let _served = serve(&folder.socket());
    let short = Duration::from_millis(100);
    let late = call_control(&folder.socket(), &request(1, json!("hang")), short).await.err();
    assert_eq!(late, Some(ControlError::Deadline(short)));
}

#[tokio::test]
async fn idle_porches_do_not_hold_up_a_stopping_node() {
    let folder = Folder::new();
    let served = serve(&folder.socket());
    let _idle = UnixStream::connect(folder.socket()).await.unwrap();
    assert!(ask(&folder.socket(), json!(1)).await.is_ok());
    let began = std::time::Instant::now();
    served.stop.send(()).unwrap();
    served.task.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn dropping_a_socket_removes_only_its_own() {
    let folder = Folder::new();
    let ours = ControlSocket::bind(&folder.socket()).unwrap();
    fs::remove_file(folder.socket()).unwrap();
    let theirs = std::os::unix::net::UnixListener::bind(folder.socket()).unwrap();
    drop(ours);
    assert!(folder.socket().exists());
    drop(theirs);
}
