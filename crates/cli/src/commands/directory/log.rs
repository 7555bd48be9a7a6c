//! A coordinator's directory log into a folder of the common layout (C2SP tlog-tiles): who was accredited and certified by
//! whom, in which order, under a head that other coordinators cosigned. Strangers' tools check it without us.

use std::path::Path;

use clearhouse_node::calls::Call;
use clearhouse_node::log::folder::{Export, FolderFault};
use clearhouse_protocol::log::note::Note;
use serde_json::{Value, json};

use crate::ask::{Node, bytes_of};
use crate::cli::App;
use crate::files::NewFolder;
use crate::trouble::{Code, Trouble, sentence};

/// Writes the log as far as its newest head goes.
///
/// # Errors
/// The node's failure, or that the folder cannot be made or has something in it; then nothing is written.
pub(super) async fn export(app: &App, of: &str, out: &Path) -> Result<Value, Trouble> {
    let place = NewFolder::choose(out)?;
    if place.is_taken() {
        let text = format!("{} exists and is not empty. Nothing was written.", out.display());
        return Err(Trouble::new(Code::Exists, text, "clearhouse directory log NAME --out ANOTHER"));
    }
    let (entries, page) = read(&Node::find(&app.global)?, of).await?;
    place.fill(|folder| write(folder, &entries, &page))?;
    Ok(json!({"schema": "ch.directory-log-export/1", "folder": out.display().to_string(), "entries": entries.len()}))
}

/// All entries of a directory log as the node has followed it, and the last answer, with the head over them.
///
/// # Errors
/// The node's failure.
pub(super) async fn read(node: &Node, of: &str) -> Result<(Vec<Vec<u8>>, Value), Trouble> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut page;
    loop {
        let fresh = node.ask(Call::DirectoryLog { of: of.to_owned(), first: entries.len() as u64 }).await?;
        let some = entries_of(&fresh)?;
        let ended = some.is_empty();
        entries.extend(some);
        page = fresh;
        // Each page has its own head: when one comes meanwhile, the entries are read to the end of that.
        if ended || entries.len() as u64 >= page.get("size").and_then(Value::as_u64).unwrap_or(0) {
            return Ok((entries, page));
        }
    }
}

fn write(folder: &Path, entries: &[Vec<u8>], page: &Value) -> Result<(), Trouble> {
    let wrong = |why: String| Trouble::new(Code::Record, why, "clearhouse doctor");
    let text = |field: &str| page.get(field).and_then(Value::as_str).unwrap_or_default();
    let note = Note::parse(text("checkpoint").as_bytes()).map_err(|fault| wrong(fault.to_string()))?;
    let (genesis, records) = (bytes_of(page, "genesis")?, bytes_of(page, "records")?);
    let made = || -> Result<(), FolderFault> {
        let mut export = Export::new(folder)?;
        for some in entries.chunks(AT_ONCE) {
            export.push_entries(some)?;
        }
        export.finish(&note, text("key"), &genesis, &records)
    };
    made().map_err(|fault| wrong(sentence(&fault.to_string())))
}

/// Entries written at once.
const AT_ONCE: usize = 1_000;

fn entries_of(page: &Value) -> Result<Vec<Vec<u8>>, Trouble> {
    let listed = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
    listed.into_iter().map(|entry| Ok(bytes_of(&json!({ "entry": entry }), "entry")?.to_vec())).collect()
}
