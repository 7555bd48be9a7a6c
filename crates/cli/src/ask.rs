//! How a command reaches the running node: through its local socket, for a person where one must act.
//!
//! Only one process may own the store, so nothing here opens it. Calls are wiped after use: they may carry a pass
//! phrase or a case.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clearhouse_node::calls::Call;
use clearhouse_node::config::{Config, ConfigError, Fault};
use clearhouse_node::control::{ControlRequest, SessionToken, call_control};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::cli::{App, Global};
use crate::sessions;
use crate::trouble::{Code, Trouble};
use crate::{secrets, sessions::Login};

/// How long an answer is awaited. Asking every peer for its records takes the longest.
const ANSWER_TIME: Duration = Duration::from_secs(300);
/// The folder looked at when none is named.
const DEFAULT_FOLDER: &str = "clearhouse-node";
/// Names the folder instead of `--node`.
const FOLDER_VARIABLE: &str = "CLEARHOUSE_NODE";
/// The configuration in a node's folder.
const CONFIG_NAME: &str = "node.toml";
/// What the node says when a session is not, or no longer, one.
const NOT_SIGNED_IN: &str = "CH-K0101";

/// The folder meant: `--node`, else the environment, else `./clearhouse-node`.
pub(crate) fn node_folder(global: &Global) -> PathBuf {
    let variable = || std::env::var_os(FOLDER_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    global.node.clone().or_else(variable).unwrap_or_else(|| PathBuf::from(DEFAULT_FOLDER))
}

/// The configuration file of the folder meant.
pub(crate) fn config_path(global: &Global) -> PathBuf {
    node_folder(global).join(CONFIG_NAME)
}

/// A node, known by its folder. Whether it runs only asking tells.
pub(crate) struct Node {
    folder: PathBuf,
    socket: PathBuf,
}

impl Node {
    /// The node meant by the command line.
    ///
    /// # Errors
    /// [`Code::NoNode`], or what is wrong with its configuration.
    pub(crate) fn find(global: &Global) -> Result<Self, Trouble> {
        let folder = node_folder(global);
        let config = Config::read(&folder.join(CONFIG_NAME)).map_err(|error| no_node(&folder, error))?;
        Ok(Self { folder, socket: config.control_socket })
    }

    /// The file by which the node knows its network.
    pub(crate) fn genesis(&self) -> PathBuf {
        self.folder.join(clearhouse_node::setup::files::GENESIS)
    }

    /// Asks one thing that needs nobody to be signed in.
    ///
    /// # Errors
    /// The node's failure, or why it was not reached.
    pub(crate) async fn ask(&self, call: Call) -> Result<Value, Trouble> {
        self.ask_with(&Sealed::new(&call)?, None).await
    }

    async fn ask_with(&self, call: &Sealed, session: Option<&SessionToken>) -> Result<Value, Trouble> {
        let mut request = ControlRequest { id: 1, session: session.cloned(), call: call.0.clone() };
        let answer = call_control(&self.socket, &request, ANSWER_TIME).await;
        wipe(&mut request.call);
        Ok(answer?.result?)
    }

    /// Asks one thing for the person who acts.
    ///
    /// # Errors
    /// As [`Node::ask`], and when it is not clear who acts or nobody is signed in.
    pub(crate) async fn ask_as(&self, app: &App, call: Call) -> Result<Value, Trouble> {
        let mut desk = self.sit_down(app).await?;
        let answer = desk.ask(call).await;
        desk.leave().await;
        answer
    }

    /// Takes the place of the person who acts: by her session, or for this one command by her pass phrase.
    ///
    /// # Errors
    /// [`Code::WhoActs`], [`Code::NeedPassphrase`], or a failed sign-in.
    pub(crate) async fn sit_down<'a>(&'a self, app: &'a App) -> Result<Desk<'a>, Trouble> {
        let login = self.who_acts(&app.global)?;
        let (token, only_now) = match sessions::read(&self.folder, &login)? {
            Some(token) => (token, false),
            None if app.global.passphrase_file.is_some() => (self.sign_in_now(app, &login).await?, true),
            None => {
                let text = format!("{login} is not signed in at this node.");
                return Err(Trouble::new(Code::NeedPassphrase, text, format!("clearhouse user sign-in {login}")));
            }
        };
        Ok(Desk { node: self, app, login, token, only_now })
    }

    fn who_acts(&self, global: &Global) -> Result<Login, Trouble> {
        if let Some(login) = &global.acting {
            return Login::parse(login);
        }
        let mut signed_in = sessions::list(&self.folder);
        match (signed_in.pop(), signed_in.is_empty()) {
            (Some(login), true) => Ok(login),
            (Some(_), false) => {
                let text = "Several people are signed in here: say who acts with --as LOGIN.";
                Err(Trouble::new(Code::WhoActs, text, "clearhouse --as LOGIN ..."))
            }
            (None, _) => {
                let text = "Nobody is signed in here, and this is somebody's to do.";
                Err(Trouble::new(Code::NeedPassphrase, text, "clearhouse user sign-in LOGIN"))
            }
        }
    }

    async fn sign_in_now(&self, app: &App, login: &Login) -> Result<SessionToken, Trouble> {
        let file = app.global.passphrase_file.as_deref();
        let passphrase = secrets::passphrase(file, login.as_str(), app.global.no_input)?;
        self.sign_in(login, &passphrase).await.map(|(token, _)| token)
    }

    /// Signs a person in; the reply without its token, which must reach no screen.
    ///
    /// # Errors
    /// As [`Node::ask`].
    pub(crate) async fn sign_in(&self, login: &Login, pass: &str) -> Result<(SessionToken, Value), Trouble> {
        let reply = self.ask(Call::SignIn { login: login.to_string(), passphrase: pass.to_owned() }).await?;
        split_session(reply)
    }

    /// Keeps a person's session for the commands to come, ending the one before.
    ///
    /// # Errors
    /// [`Code::File`].
    pub(crate) async fn keep_session(&self, login: &Login, token: &SessionToken) -> Result<(), Trouble> {
        if let Ok(Some(old)) = sessions::read(&self.folder, login) {
            let _ = self.ask_with(&Sealed::new(&Call::SignOut)?, Some(&old)).await;
        }
        sessions::write(&self.folder, login, token)
    }
}

/// Takes the token out of a `ch.session/1` reply.
///
/// # Errors
/// [`Code::NoAnswer`] when there is none: the node is of another version.
pub(crate) fn split_session(mut reply: Value) -> Result<(SessionToken, Value), Trouble> {
    let token = reply.as_object_mut().and_then(|o| o.remove("token"));
    match token {
        Some(Value::String(token)) => Ok((SessionToken::new(token), reply)),
        _ => {
            let text = "The node's answer has no session: program and node differ in version.";
            Err(Trouble::new(Code::NoAnswer, text, "clearhouse version"))
        }
    }
}

/// A person at work: calls made for her.
pub(crate) struct Desk<'a> {
    node: &'a Node,
    app: &'a App,
    login: Login,
    token: SessionToken,
    only_now: bool,
}

impl Desk<'_> {
    /// Asks one thing for her. A kept session that has ended is replaced once, if her pass phrase file was named.
    ///
    /// # Errors
    /// As [`Node::ask`].
    pub(crate) async fn ask(&mut self, call: Call) -> Result<Value, Trouble> {
        let call = Sealed::new(&call)?;
        let answer = self.node.ask_with(&call, Some(&self.token)).await;
        let ended = matches!(&answer, Err(trouble) if trouble.code == NOT_SIGNED_IN);
        if !ended || self.only_now {
            return answer;
        }
        sessions::forget(&self.node.folder, &self.login);
        if self.app.global.passphrase_file.is_none() {
            return answer;
        }
        self.token = self.node.sign_in_now(self.app, &self.login).await?;
        self.only_now = true;
        self.node.ask_with(&call, Some(&self.token)).await
    }

    /// Who she is.
    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// Ends a session that was only for this command.
    pub(crate) async fn leave(self) {
        if self.only_now
            && let Ok(call) = Sealed::new(&Call::SignOut)
        {
            let _ = self.node.ask_with(&call, Some(&self.token)).await;
        }
    }

    /// Ends her session here and at the node.
    ///
    /// # Errors
    /// As [`Node::ask`]; the kept session is gone in any case.
    pub(crate) async fn sign_out(mut self) -> Result<Value, Trouble> {
        let answer = self.ask(Call::SignOut).await;
        sessions::forget(&self.node.folder, &self.login);
        answer
    }
}

/// A call as a value whose texts are wiped when it is dropped.
struct Sealed(Value);

impl Sealed {
    fn new(call: &Call) -> Result<Self, Trouble> {
        serde_json::to_value(call).map(Self).map_err(|_| {
            Trouble::new(Code::Form, "The call cannot be written.", "clearhouse config default --form NAME")
        })
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites every text in a value.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Why a folder's configuration is not used; that there is none has words of its own.
pub(crate) fn no_node(folder: &Path, error: ConfigError) -> Trouble {
    if error.fault != Fault::Unreadable(std::io::ErrorKind::NotFound) {
        return error.into();
    }
    let text = format!("There is no node in {}: say where it is with --node DIR.", folder.display());
    Trouble::new(Code::NoNode, text, "clearhouse init --help")
}

/// Base64 of bytes, wiped when dropped.
pub(crate) fn base64(bytes: &[u8]) -> Zeroizing<String> {
    use base64::Engine as _;
    Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Bytes of a base64 field of a reply.
///
/// # Errors
/// [`Code::NoAnswer`].
pub(crate) fn bytes_of(reply: &Value, field: &str) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    use base64::Engine as _;
    let text = reply.get(field).and_then(Value::as_str);
    let bytes = text.and_then(|t| base64::engine::general_purpose::STANDARD.decode(t).ok());
    bytes.map(Zeroizing::new).ok_or_else(|| {
        let text = "The node's answer cannot be read: program and node differ in version.";
        Trouble::new(Code::NoAnswer, text, "clearhouse version")
    })
}
