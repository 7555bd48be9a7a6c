//! `audit bundle`: chosen entries on their way from a node to a folder, and what checking one says.

use std::path::Path;

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::log::bundle::{self, BundleFault, Entry, Head, Held};
use clearhouse_node::log::folder::FolderFault;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::note::Note;
use serde_json::{Value, json};

use super::{FILE_MAX, add, seen, whose};
use crate::ask::{Node, bytes_of};
use crate::cli::App;
use crate::files::{self, NewFolder};
use crate::trouble::{Code, Trouble, sentence};

/// Entries asked for at once; a node answers with no more.
const PAGE: usize = 256;

/// Asks for what `choose` names and writes it to a new folder.
pub(super) async fn bundle(app: &App, out: &Path, choose: Call) -> Result<(), Trouble> {
    let place = NewFolder::choose(out)?;
    if place.is_taken() {
        let text = format!("{} exists and is not empty. Nothing was written.", out.display());
        return Err(Trouble::new(Code::Exists, text, "clearhouse audit bundle --out ANOTHER ..."));
    }
    let node = Node::find(&app.global)?;
    let mut desk = node.sit_down(app).await?;
    let genesis = files::read(&node.genesis(), FILE_MAX, Code::Records)?;
    let chosen = desk.ask(choose).await?;
    let indices: Vec<u64> = items(&chosen, "entries").iter().filter_map(Value::as_u64).collect();
    let size = chosen.get("size").and_then(Value::as_u64).unwrap_or(0);
    let mut entries = Vec::with_capacity(indices.len());
    for page in indices.chunks(PAGE) {
        let reply = desk.ask(Call::AuditEvidence { entries: page.to_vec(), size }).await?;
        for one in items(&reply, "evidence") {
            entries.push(read(one)?);
        }
    }
    desk.leave().await;
    let count = entries.len();
    let text = chosen.get("checkpoint").and_then(Value::as_str).unwrap_or_default();
    let note = Note::parse(text.as_bytes()).map_err(|fault| wrong(&fault.to_string()))?;
    let records = bytes_of(&chosen, "records")?;
    place.fill(|folder| {
        let head = Head { note: &note, genesis: &genesis, records: &records };
        let made = bundle::make(folder, head, entries, SystemClock.now());
        made.map_err(|fault| wrong(&fault.to_string()))
    })?;
    let folder = out.display().to_string();
    let head = chosen.get("head").cloned().unwrap_or_default();
    app.out.reply(&json!({"schema": "ch.audit-bundle/1", "folder": folder, "entries": count, "head": head}))?;
    Ok(())
}

fn wrong(fault: &str) -> Trouble {
    Trouble::new(Code::Record, sentence(fault), "clearhouse doctor")
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One entry as the node gives it.
fn read(one: &Value) -> Result<(Entry, Vec<Hash>), Trouble> {
    let unreadable = || {
        let text = "The node's answer cannot be read: program and node differ in version.";
        Trouble::new(Code::NoAnswer, text, "clearhouse version")
    };
    let hash = |field| bytes_of(one, field).and_then(|bytes| bytes.as_slice().try_into().map_err(|_| unreadable()));
    let index = one.get("index").and_then(Value::as_u64).ok_or_else(unreadable)?;
    let opened = match one.get("salt") {
        Some(Value::String(_)) => Some((hash("salt")?, bytes_of(one, "opening")?.to_vec())),
        _ => None,
    };
    let path = bytes_of(one, "path")?;
    let (path, _) = path.as_chunks::<32>();
    Ok((Entry { index, commitment: hash("commitment")?, opened }, path.to_vec()))
}

/// What holds, in plain values.
pub(super) fn told(held: &Held) -> Value {
    let mut told = json!({
        "schema": "ch.evidence-verify/1",
        "whole": true,
        "origin": held.checkpoint.origin,
        "entries": held.entries.len(),
        "log_entries": held.checkpoint.size,
        "key": held.key.to_string(),
        "evidence": held.entries,
    });
    add(&mut told, whose(&held.vouched));
    add(&mut told, seen(&held.sight));
    told
}

/// Why it does not hold.
pub(super) fn not_held(folder: &Path, fault: &BundleFault) -> Trouble {
    let code = match fault {
        BundleFault::Folder(FolderFault::Missing { file, .. }) if file.is_empty() => Code::NoFile,
        BundleFault::Missing(_)
        | BundleFault::Added(_)
        | BundleFault::Length { .. }
        | BundleFault::Changed(_)
        | BundleFault::Wrong { .. }
        | BundleFault::Folder(_)
        | BundleFault::Count(_) => Code::Record,
    };
    let text = format!("{}: this evidence does not hold: {}", folder.display(), sentence(&fault.to_string()));
    Trouble::new(code, text, "Ask for the folder again; keep this one as it is")
}
