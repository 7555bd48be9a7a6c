//! Pass phrases, codes and keys: from a file only its owner can read, or typed without echo. Refuses arguments and the
//! environment by offering no such door, and asks nothing where nobody sits.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use clearhouse_node::config::read_secret;
use clearhouse_protocol::ids::unhex;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_store::passphrase::Passphrase;
use zeroize::Zeroizing;

use crate::interrupt;
use crate::trouble::{Code, Trouble};

/// Whether questions may be asked: a person sits at the keyboard and did not forbid it.
pub(crate) fn may_ask(no_input: bool) -> bool {
    !no_input && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The pass phrase of `file`, or typed; `of` says whose it is.
///
/// # Errors
/// [`Code::NeedPassphrase`] when there is no file and nobody to ask, [`Code::Secret`] for one that cannot be used.
pub(crate) fn passphrase(file: Option<&Path>, of: &str, no_input: bool) -> Result<Zeroizing<String>, Trouble> {
    match file {
        Some(file) => from_file(file),
        None => checked(ask(&format!("Pass phrase of {of}: "), "--passphrase-file FILE", no_input)?),
    }
}

/// A new pass phrase: as [`passphrase`], typed twice, and not too short.
///
/// # Errors
/// As [`passphrase`], and when the two differ.
pub(crate) fn new_passphrase(
    file: Option<&Path>,
    option: &str,
    of: &str,
    no_input: bool,
) -> Result<Zeroizing<String>, Trouble> {
    let text = match file {
        Some(file) => from_file(file)?,
        None => {
            let text = checked(ask(&format!("New pass phrase of {of}: "), option, no_input)?)?;
            let again = ask("The same again: ", option, no_input)?;
            if *text != *again {
                return Err(Trouble::new(Code::Secret, "The two pass phrases differ. Nothing was done.", "Try again"));
            }
            text
        }
    };
    Passphrase::new(text.clone())?.check_new()?;
    Ok(text)
}

/// An invitation's code: from a file, or typed.
///
/// # Errors
/// As [`passphrase`].
pub(crate) fn code(file: Option<&Path>, no_input: bool) -> Result<Zeroizing<String>, Trouble> {
    match file {
        Some(file) => text_of(file),
        None => ask("Code of the invitation: ", "--code-file FILE", no_input),
    }
}

/// A signing key from its file of 64 hex digits.
///
/// # Errors
/// [`Code::Secret`].
pub(crate) fn signing_key(file: &Path) -> Result<SigningKey, Trouble> {
    let text = text_of(file)?;
    let seed = unhex(text.trim_end()).map(Zeroizing::new);
    let seed: Option<Zeroizing<[u8; 32]>> = seed.and_then(|s| s.as_slice().try_into().ok().map(Zeroizing::new));
    let wrong = || {
        let text = format!("{} does not hold a signing key: 64 hex digits on one line.", file.display());
        Trouble::new(Code::Secret, text, "clearhouse directory found --help")
    };
    let seed = seed.ok_or_else(wrong)?;
    Ok(SigningKey::from_seed(&seed))
}

fn from_file(file: &Path) -> Result<Zeroizing<String>, Trouble> {
    // The store's own reader judges owner, mode and content; it gives no text back, so the text is read after it.
    Passphrase::from_file(file)?;
    text_of(file)
}

fn checked(text: Zeroizing<String>) -> Result<Zeroizing<String>, Trouble> {
    Passphrase::new(text.clone())?;
    Ok(text)
}

/// The text of a private file, without its line end.
fn text_of(file: &Path) -> Result<Zeroizing<String>, Trouble> {
    let bytes = read_secret(file, true)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Trouble::new(Code::Secret, format!("{} is not text.", file.display()), "Use the file that was made")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Asks without echo. `option` is what to give instead where nobody sits.
fn ask(question: &str, option: &str, no_input: bool) -> Result<Zeroizing<String>, Trouble> {
    if !may_ask(no_input) {
        let what = question.trim_end_matches([':', ' ']);
        let text = format!("{what} is needed, and there is no terminal to ask at. Give {option}.");
        return Err(Trouble::new(Code::NeedPassphrase, text, "clearhouse --help"));
    }
    match interrupt::while_prompting(|| rpassword::prompt_password(question)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(Trouble::interrupted()),
        Err(e) => {
            let text = format!("The terminal could not be asked: {e}. Give {option}.");
            Err(Trouble::new(Code::NeedPassphrase, text, "clearhouse --help"))
        }
    }
}

/// Asks somebody at the keyboard to type `word` before something that cannot be undone.
///
/// Where nobody sits nothing is asked: a script that names the case and the act has said so already, and nothing may
/// stand between a person's word and its effect.
///
/// # Errors
/// [`Code::NotConfirmed`] when another word was typed.
pub(crate) fn confirm(question: &str, word: &str, skip: bool, no_input: bool) -> Result<(), Trouble> {
    if skip || !may_ask(no_input) {
        return Ok(());
    }
    let mut typed = String::new();
    use io::Write as _;
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question}\nType {word} to go on: ");
    let _ = err.flush();
    drop(err);
    let read = io::stdin().read_line(&mut typed);
    if read.is_ok() && typed.trim() == word {
        return Ok(());
    }
    Err(Trouble::new(Code::NotConfirmed, "Another word was typed. Nothing was done.", "Try again, or give --yes"))
}
