//! What a person is told when something was not done: a sentence, a stable code, the next command, and an exit code
//! that follows from the code's letter alone. Refuses to hold what was in a form, a secret or a message.

use clearhouse_node::backup::BackupFault;
use clearhouse_node::config::{ConfigError, Fault};
use clearhouse_node::control::{ControlError, ControlFailure};
use clearhouse_node::listener::ListenError;
use clearhouse_node::serve::ServeError;
use clearhouse_node::setup::SetupError;
use clearhouse_store::backup::keys::KeysFault;
use clearhouse_store::backup::records::RecordsFault;
use clearhouse_store::keyfile::KeyFileError;
use clearhouse_store::passphrase::PassphraseError;

/// How the program ends. `desk.md` section 9 fixes the numbers; scripts depend on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Not done, for a reason that is none of the others.
    Failed = 1,
    /// Command line, configuration or form.
    Usage = 2,
    /// A check found problems.
    Findings = 3,
    /// No such case, organisation, file.
    NotFound = 4,
    /// Consent, role or state forbids it.
    Refused = 5,
    /// A node or peer cannot be reached; trying again may help.
    Unreachable = 6,
    /// A key or pass phrase is needed or wrong.
    Keys = 7,
    /// A signature or chain does not hold.
    Integrity = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The exit code of an error code such as `CH-N0101`, ours or the node's.
    pub(crate) fn of(code: &str) -> Self {
        match code.strip_prefix("CH-").and_then(|rest| rest.chars().next()) {
            Some('U') => Self::Usage,
            Some('N') => Self::NotFound,
            Some('C' | 'R') => Self::Refused,
            Some('P') => Self::Unreachable,
            Some('K') => Self::Keys,
            Some('I') => Self::Integrity,
            Some(_) | None => Self::Failed,
        }
    }

    /// The number the system gets.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

/// Codes of this program itself, all in the block 09; the node has the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// The command line.
    Arguments,
    /// No node in the folder named.
    NoNode,
    /// The configuration file.
    Configuration,
    /// A form that cannot be read or does not fit.
    Form,
    /// It is not clear who acts.
    WhoActs,
    /// A workbook that cannot be read.
    Workbook,
    /// A file of records that cannot be read.
    Records,
    /// A port that cannot be listened on.
    Port,
    /// A file that is not there.
    NoFile,
    /// A row that is not there.
    NoRow,
    /// A coordinator's key that has no say.
    NotACoordinator,
    /// No node answers.
    NotRunning,
    /// Another user's node.
    OtherUser,
    /// A pass phrase is needed and cannot be asked for.
    NeedPassphrase,
    /// A pass phrase, key or credential that is not usable.
    Secret,
    /// A record that does not verify.
    Record,
    /// A node whose store is gone.
    NoStore,
    /// A file that makes a folder a node is gone or is not what it was.
    NodeFile,
    /// A second process with the same node's keys.
    Twin,
    /// A backup that is too old, or whose age the clock cannot tell.
    Expired,
    /// A node that runs already.
    AlreadyRuns,
    /// A file that cannot be read or written.
    File,
    /// Something stands where a file should be made.
    Exists,
    /// The node did not answer.
    NoAnswer,
    /// The node stopped by itself.
    Stopped,
    /// Stopped by Ctrl-C.
    Interrupted,
    /// Asked, and the answer was not yes.
    NotConfirmed,
}

impl Code {
    /// The stable word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Arguments => "CH-U0901",
            Self::NoNode => "CH-U0902",
            Self::Configuration => "CH-U0903",
            Self::Form => "CH-U0904",
            Self::WhoActs => "CH-U0905",
            Self::Workbook => "CH-U0906",
            Self::Records => "CH-U0907",
            Self::Port => "CH-U0908",
            Self::NoFile => "CH-N0901",
            Self::NoRow => "CH-N0902",
            Self::NotACoordinator => "CH-R0901",
            Self::NotRunning => "CH-P0901",
            Self::OtherUser => "CH-P0902",
            Self::NeedPassphrase => "CH-K0901",
            Self::Secret => "CH-K0902",
            Self::Record => "CH-I0901",
            Self::NoStore => "CH-I0902",
            Self::NodeFile => "CH-I0903",
            Self::Twin => "CH-I0904",
            Self::AlreadyRuns => "CH-R0903",
            Self::Expired => "CH-R0904",
            Self::File => "CH-S0901",
            Self::Exists => "CH-R0902",
            Self::NoAnswer => "CH-S0902",
            Self::Stopped => "CH-S0903",
            Self::Interrupted => "CH-S0904",
            Self::NotConfirmed => "CH-S0905",
        }
    }
}

/// Why a command was not done.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// The stable code.
    pub(crate) code: String,
    /// How the program ends.
    pub(crate) exit: Exit,
    /// A sentence.
    pub(crate) text: String,
    /// What to type next.
    pub(crate) next: String,
}

impl Trouble {
    /// A trouble with its sentence and the next command.
    pub(crate) fn new(code: Code, text: impl Into<String>, next: impl Into<String>) -> Self {
        let exit = if code == Code::Interrupted { Exit::Interrupted } else { Exit::of(code.word()) };
        Self { code: code.word().to_owned(), exit, text: text.into(), next: next.into() }
    }

    /// Ctrl-C, while something waited for a person.
    pub(crate) fn interrupted() -> Self {
        Self::new(Code::Interrupted, "Stopped. Nothing was sent.", "clearhouse status")
    }
}

impl From<ControlFailure> for Trouble {
    fn from(failure: ControlFailure) -> Self {
        // A refusal's sentence ends with its code, which gets a line of its own here.
        let tail = format!(" ({})", failure.code);
        let text = failure.text.strip_suffix(&tail).unwrap_or(&failure.text).to_owned();
        Self { exit: Exit::of(&failure.code), next: next_for(&failure.code).to_owned(), text, code: failure.code }
    }
}

/// What to type after one of the node's codes.
fn next_for(code: &str) -> &'static str {
    const WHOLE: &[(&str, &str)] = &[
        ("CH-K0101", "clearhouse user sign-in LOGIN"),
        ("CH-K0102", "clearhouse unlock"),
        ("CH-K0120", "clearhouse backup key --help"),
        ("CH-K0106", "clearhouse user invite LOGIN --name NAME --role ROLE"),
        ("CH-N0102", "clearhouse directory list"),
        ("CH-N0103", "clearhouse user list"),
        ("CH-N0104", "clearhouse consent show CODE"),
        ("CH-R0104", "clearhouse directory show ORG"),
        ("CH-R0105", "clearhouse directory refresh"),
        ("CH-R0106", "clearhouse user list"),
        ("CH-R0107", "clearhouse user invite LOGIN --name NAME --role Administrator"),
        ("CH-S0103", "clearhouse outbox"),
        ("CH-U0105", "clearhouse config default --form NAME"),
        ("CH-U0101", "clearhouse config default --form NAME"),
    ];
    const BEGINNINGS: &[(&str, &str)] = &[
        ("CH-C01", "clearhouse user list"),
        ("CH-C03", "clearhouse consent record CODE --from FILE"),
        ("CH-C05", "clearhouse config default --form NAME"),
        ("CH-C", "clearhouse case show CODE"),
        ("CH-K", "clearhouse unlock"),
        ("CH-N", "clearhouse case list"),
        ("CH-R", "clearhouse directory list"),
        ("CH-U", "clearhouse --help"),
        ("CH-P", "clearhouse status"),
    ];
    let whole = WHOLE.iter().find(|(known, _)| *known == code);
    let found = whole.or_else(|| BEGINNINGS.iter().find(|(start, _)| code.starts_with(start)));
    found.map_or("clearhouse doctor", |(_, next)| next)
}

impl From<ControlError> for Trouble {
    fn from(error: ControlError) -> Self {
        let text = sentence(&error.to_string());
        let (code, next) = match error {
            ControlError::NotRunning(_) => (Code::NotRunning, "clearhouse serve --node DIR"),
            ControlError::OtherUser => (Code::OtherUser, "ls -ld DIR"),
            ControlError::Folder(_) | ControlError::NotASocket(_) | ControlError::AlreadyServed(_) => {
                (Code::NotRunning, "clearhouse status --node DIR")
            }
            ControlError::System(_) => (Code::NotRunning, "clearhouse status --node DIR"),
            ControlError::PathTooLong { .. } => (Code::Configuration, "clearhouse config check --node DIR"),
            ControlError::Deadline(_) | ControlError::Broken => (Code::NoAnswer, "clearhouse status --node DIR"),
            ControlError::TooLong => (Code::Form, "clearhouse config default --form NAME"),
        };
        Self::new(code, text, next)
    }
}

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Self {
        let text = sentence(&error.to_string());
        if matches!(error.fault, Fault::SecretMode(_) | Fault::SecretOwner | Fault::SecretShape) {
            return Self::new(Code::Secret, text, "chmod 600 FILE");
        }
        Self::new(Code::Configuration, text, "clearhouse config default")
    }
}

impl From<PassphraseError> for Trouble {
    fn from(error: PassphraseError) -> Self {
        Self::new(Code::Secret, sentence(&error.to_string()), "clearhouse unlock --help")
    }
}

impl From<KeyFileError> for Trouble {
    fn from(error: KeyFileError) -> Self {
        Self::new(Code::Secret, sentence(&error.to_string()), "clearhouse config check --node DIR")
    }
}

impl From<SetupError> for Trouble {
    fn from(error: SetupError) -> Self {
        let text = sentence(&error.to_string());
        match error {
            SetupError::Exists(_) => Self::new(Code::Exists, text, "clearhouse status --node DIR"),
            SetupError::Genesis(_) => Self::new(Code::Record, text, "clearhouse directory verify FILE --genesis FILE"),
            SetupError::Staff(_) => Self::new(Code::WhoActs, text, "clearhouse init --help"),
            SetupError::Name(_) | SetupError::Field(_) => Self::new(Code::Arguments, text, "clearhouse init --help"),
            SetupError::Keys(_) => Self::new(Code::Secret, text, "clearhouse init --help"),
            SetupError::File { .. } | SetupError::Heads(_) | SetupError::Store(_) | SetupError::Generation => {
                Self::new(Code::File, text, "clearhouse init --help")
            }
        }
    }
}

impl From<ServeError> for Trouble {
    fn from(error: ServeError) -> Self {
        let text = sentence(&error.to_string());
        let check = "clearhouse config check --node DIR";
        match error {
            ServeError::Config(error) => error.into(),
            ServeError::Control(error) => error.into(),
            ServeError::Keys(KeyFileError::WrongPassphrase) | ServeError::Passphrase(_) => {
                Self::new(Code::Secret, text, "clearhouse serve --passphrase-file FILE")
            }
            ServeError::Keys(_) => {
                Self::new(Code::Secret, text, "Put key file and device secret back from your backup")
            }
            ServeError::AlreadyRuns(_) => Self::new(Code::AlreadyRuns, text, "clearhouse status --node DIR"),
            ServeError::NoStore(_) => Self::new(Code::NoStore, text, "Put the folder back from your backup"),
            ServeError::File { .. } => Self::new(Code::NodeFile, text, "Put the file back, then clearhouse serve"),
            ServeError::Restored(_) => Self::new(Code::NodeFile, text, "clearhouse restore --help"),
            ServeError::Twin(_) => Self::new(Code::Twin, text, "Stop the other copy, or leave this one stopped"),
            ServeError::Store(_) | ServeError::Fatal(_) => Self::new(Code::Record, text, check),
            ServeError::Listen(ListenError::Bind { .. }) => Self::new(Code::Port, text, check),
            ServeError::Tls(_) | ServeError::Listen(_) => Self::new(Code::Stopped, text, check),
        }
    }
}

impl From<BackupFault> for Trouble {
    fn from(fault: BackupFault) -> Self {
        let text = sentence(&format!("The backup was not taken: {fault}"));
        let other = "Take another copy of it, or another backup: clearhouse backup list FOLDER";
        match fault {
            BackupFault::Keys(KeysFault::OtherSheets(_)) => {
                Self::new(Code::Secret, text, "Take the sheets of that key")
            }
            BackupFault::Keys(KeysFault::File(_)) => {
                Self::new(Code::NoFile, text, "Keep FILE.backup and FILE.backup.keys in one folder")
            }
            BackupFault::ClockBehind { .. } => Self::new(Code::Expired, text, "timedatectl set-ntp true"),
            BackupFault::Expired { .. } => Self::new(Code::Expired, text, "clearhouse restore --help"),
            BackupFault::Taken(_) => Self::new(Code::Exists, text, "Name a folder that does not exist"),
            BackupFault::File { .. } | BackupFault::Records(RecordsFault::Io { .. }) => {
                Self::new(Code::File, text, "Look at the path and its folder")
            }
            BackupFault::Keys(_) | BackupFault::Records(_) | BackupFault::Differs(_) => {
                Self::new(Code::Record, text, other)
            }
            BackupFault::Locked
            | BackupFault::NoRecoveryKey
            | BackupFault::Erasing
            | BackupFault::Busy
            | BackupFault::Folder { .. }
            | BackupFault::Store(_)
            | BackupFault::Node(_)
            | BackupFault::NotTaken(_) => Self::new(Code::File, text, other),
        }
    }
}

/// A library's error as a sentence: with a full stop. Its first word stays as it is, for it may be a path.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_of_a_code_is_the_exit_code() {
        let table = [
            ("CH-U0101", 2),
            ("CH-N0101", 4),
            ("CH-C0301", 5),
            ("CH-R0105", 5),
            ("CH-P0101", 6),
            ("CH-K0101", 7),
            ("CH-I0101", 8),
            ("CH-S0101", 1),
            ("", 1),
            ("nonsense", 1),
        ];
        for (code, exit) in table {
            assert_eq!(Exit::of(code).number(), exit, "{code}");
        }
        assert_eq!(Trouble::interrupted().exit.number(), 130);
    }

    #[test]
    fn a_refusal_says_its_code_once() {
        let failure = ControlFailure { code: "CH-C0301".into(), text: "No consent. Ask her. (CH-C0301)".into() };
        let trouble = Trouble::from(failure);
        assert_eq!(trouble.text, "No consent. Ask her.");
        assert_eq!(trouble.exit, Exit::Refused);
        assert!(trouble.next.starts_with("clearhouse consent record"));
    }

    #[test]
    fn library_errors_become_sentences() {
        assert_eq!(sentence("the pass phrase is empty"), "the pass phrase is empty.");
        assert_eq!(sentence("./node.toml, line 3: wrong"), "./node.toml, line 3: wrong.");
        assert_eq!(sentence("Really?"), "Really?");
    }
}
