//! `profile`: who she is, for one named worker who accepted; with files that belong to its classes.
//!
//! Refuses to write an attachment over anything: a new file of mode 0600, whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clearhouse_node::calls::{AttachmentForm, Call, PIECE_MAX};
use clearhouse_protocol::limits::{ATTACHMENTS_MAX, ATTACHMENTS_MAX_BYTES};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::ask::{Desk, Node, base64, bytes_of};
use crate::cli::App;
use crate::files::{NewFile, cannot};
use crate::forms::Form;
use crate::trouble::{Code, Exit, Trouble};

/// Send and show victim profiles
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  clearhouse profile send T-7Q4M-2KXY --from profile.toml
  clearhouse profile show T-7Q4M-2KXY"
)]
pub(crate) struct Profile {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Send the profile, with files for its classes
    #[command(after_help = "\
Examples:
  clearhouse profile send T-7Q4M-2KXY --from profile.toml
  clearhouse profile send T-7Q4M-2KXY --from profile.toml \\
      --attach Documents=passport.pdf --attach Health=letter.pdf")]
    Send {
        /// The case's code, or enough of its beginning
        code: String,
        /// The form, TOML or JSON; - for stdin
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// A file and the class of data it belongs to; can be repeated
        #[arg(long, value_name = "CLASS=PATH")]
        attach: Vec<OsString>,
    },
    /// Show what consent still covers; counts as opening
    #[command(after_help = "\
Examples:
  clearhouse profile show T-7Q4M-2KXY
  clearhouse profile show T-7Q4M-2KXY --json")]
    Show {
        /// The case's code, or enough of its beginning
        code: String,
    },
    /// Save one attachment into a new file that only you can read
    #[command(
        override_usage = "\
clearhouse profile attachment [OPTIONS] --message <ID>
           --handle <HANDLE> --out <FILE> <CODE>",
        after_help = "\
Examples:
  clearhouse profile show T-7Q4M-2KXY
  clearhouse profile attachment T-7Q4M-2KXY --message 3f9c... \\
      --handle 77ab... --out passport.pdf"
    )]
    Attachment {
        /// The case's code, or enough of its beginning
        code: String,
        /// The message's id, as `profile show` prints it
        #[arg(long, value_name = "ID")]
        message: String,
        /// The attachment's handle, as `profile show` prints it
        #[arg(long, value_name = "HANDLE")]
        handle: String,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Profile {
    pub(crate) async fn run(self, app: &App) -> Result<Exit, Trouble> {
        let node = Node::find(&app.global)?;
        let reply = match self.act {
            Act::Send { code, from, attach } => send(app, &node, code, &from, &attach).await?,
            Act::Show { code } => node.ask_as(app, Call::ProfileShow { case: code }).await?,
            Act::Attachment { code, message, handle, out } => {
                let mut desk = node.sit_down(app).await?;
                let saved = save(&mut desk, &code, &message, &handle, &out).await;
                desk.leave().await;
                saved?
            }
        };
        app.out.reply(&reply)?;
        Ok(Exit::Done)
    }
}

async fn send(app: &App, node: &Node, code: String, from: &Path, attach: &[OsString]) -> Result<Value, Trouble> {
    let form = Form::Profile.read(from)?;
    // Everything is looked at before anything is staged.
    let wanted = attach.iter().map(|text| Attach::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if wanted.len() > ATTACHMENTS_MAX {
        return Err(arguments(format!("A message carries at most {ATTACHMENTS_MAX} attachments. Nothing was sent.")));
    }
    let mut desk = node.sit_down(app).await?;
    let sent = stage_and_send(app, &mut desk, code, form, &wanted).await;
    desk.leave().await;
    sent
}

async fn stage_and_send(
    app: &App,
    desk: &mut Desk<'_>,
    case: String,
    form: clearhouse_casework::forms::ProfileForm,
    wanted: &[Attach],
) -> Result<Value, Trouble> {
    let mut attachments = Vec::with_capacity(wanted.len());
    for attach in wanted {
        app.out.progress(&format!("Staging {}", attach.name));
        attachments.push(attach.stage(desk).await?);
    }
    desk.ask(Call::ProfileSend { case, form, attachments }).await
}

/// One `CLASS=PATH`, looked at.
struct Attach {
    class: String,
    path: PathBuf,
    name: String,
}

impl Attach {
    fn parse(text: &OsStr) -> Result<Self, Trouble> {
        let bytes = text.as_bytes();
        let split = bytes.iter().position(|b| *b == b'=').map(|at| (&bytes[..at], &bytes[at + 1..]));
        let Some((class, path)) = split.filter(|(class, path)| !class.is_empty() && !path.is_empty()) else {
            return Err(arguments("--attach wants CLASS=PATH, such as Documents=passport.pdf.".to_owned()));
        };
        let class = String::from_utf8_lossy(class).into_owned();
        if clearhouse_casework::consent::DataClass::from_code(&class).is_none() {
            let known: Vec<_> = clearhouse_casework::consent::DataClass::ALL.iter().map(|c| c.code()).collect();
            return Err(arguments(format!("--attach: the class is one of {}.", known.join(", "))));
        }
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        let meta = path.metadata().map_err(|e| cannot("read", &path, &e))?;
        if !meta.is_file() || meta.len() == 0 || meta.len() > ATTACHMENTS_MAX_BYTES {
            let max = ATTACHMENTS_MAX_BYTES >> 20;
            return Err(arguments(format!("{} is not a file of 1 byte to {max} MiB.", path.display())));
        }
        let name = path.file_name().and_then(OsStr::to_str).map(str::to_owned).ok_or_else(|| {
            arguments(format!("The name of {} cannot be shown there: rename the file.", path.display()))
        })?;
        Ok(Self { class, path, name })
    }

    /// Hands the file to the node in pieces.
    async fn stage(&self, desk: &mut Desk<'_>) -> Result<AttachmentForm, Trouble> {
        let mut file = File::open(&self.path).map_err(|e| cannot("read", &self.path, &e))?;
        let mut handle: Option<String> = None;
        let mut piece = Zeroizing::new(vec![0u8; PIECE_MAX]);
        loop {
            let len = fill(&mut file, &mut piece).map_err(|e| cannot("read", &self.path, &e))?;
            if len == 0 {
                break;
            }
            let call = Call::Stage { handle: handle.take(), piece: base64(&piece[..len]).to_string() };
            let reply = desk.ask(call).await?;
            handle = reply.get("handle").and_then(Value::as_str).map(str::to_owned);
        }
        let handle = handle.ok_or_else(|| arguments(format!("{} is empty.", self.path.display())))?;
        let media_type = media_type(&self.path).to_owned();
        Ok(AttachmentForm { handle, data_class: self.class.clone(), name: self.name.clone(), media_type })
    }
}

/// Reads until `piece` is full or the file ends.
fn fill(file: &mut File, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < piece.len() {
        match file.read(&mut piece[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

async fn save(desk: &mut Desk<'_>, case: &str, message: &str, handle: &str, out: &Path) -> Result<Value, Trouble> {
    // Made first: an attachment that could not be kept is not fetched.
    let mut file = NewFile::create(out)?;
    let (mut offset, mut len) = (0u64, 0u64);
    loop {
        let call = Call::Attachment { case: case.into(), message: message.into(), handle: handle.into(), offset };
        let reply = desk.ask(call).await?;
        let piece = bytes_of(&reply, "piece")?;
        file.write(&piece)?;
        len += piece.len() as u64;
        match reply.get("next").and_then(Value::as_u64) {
            // A node that does not move on must not keep us here.
            Some(next) if next > offset => offset = next,
            _ => break,
        }
    }
    file.keep()?;
    Ok(json!({"schema": "ch.saved/1", "file": out.display().to_string(), "bytes": len}))
}

/// What the end of a name says about a file. A remark for the other side, never a reason to open it.
fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "pdf" => "application/pdf",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "tif" | "tiff" => "image/tiff",
        "txt" => "text/plain",
        "odt" => "application/vnd.oasis.opendocument.text",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        _ => "application/octet-stream",
    }
}

fn arguments(text: String) -> Trouble {
    Trouble::new(Code::Arguments, text, "clearhouse profile send --help")
}
