//! Exports a log of made-up events, for strangers' tools to check (`tests/interop/golog.sh`).
//!
//! ```text
//! log_export FOLDER SIZE [directory]
//! ```
//! The same entries every time, so that a larger log begins with a smaller. With `directory` they are accreditations.
#![allow(clippy::print_stderr, reason = "a failure is told")]

use std::path::Path;
use std::process::ExitCode;

use clearhouse_node::log::folder::Export;
use clearhouse_protocol::ceremony::{Application, accredit};
use clearhouse_protocol::directory::logs;
use clearhouse_protocol::ids::{Net, NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{KeyKind, NoteKey};
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle::leaf;
use clearhouse_protocol::pae::sha256;
use prost::Message as _;

/// A log's name as nodes have them.
const ORIGIN: &str = "clearhouse.01010101/02020202020202020202020202020202/03030303030303030303030303030303/g1";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (folder, size) = (args.next().unwrap_or_default(), args.next().and_then(|n| n.parse().ok()).unwrap_or(0));
    let made =
        if args.next().is_some() { directory(Path::new(&folder), size) } else { export(Path::new(&folder), size) };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn export(folder: &Path, size: u64) -> Result<(), Box<dyn std::error::Error>> {
    let commitments: Vec<Hash> = (0..size).map(|n| sha256(&n.to_be_bytes())).collect();
    let (mut export, mut edge) = (Export::new(folder)?, Edge::default());
    for page in commitments.chunks(1000) {
        export.push(page)?;
        page.iter().for_each(|commitment| edge.push(leaf_hash(commitment)));
    }
    let key = SigningKey::from_seed(&[1; 32]);
    let head = Checkpoint { origin: ORIGIN.to_owned(), size, root: edge.root() };
    let known = NoteKey::new(ORIGIN, KeyKind::Log, &key.public())?;
    Ok(export.finish(&head.sign(&key)?, &known.to_string(), b"", b"")?)
}

fn directory(folder: &Path, size: u64) -> Result<(), Box<dyn std::error::Error>> {
    let key = SigningKey::from_seed(&[1; 32]);
    let entries: Vec<Vec<u8>> = (0..size)
        .map(|n| {
            let id = sha256(&n.to_be_bytes());
            let org = OrgId(id[..16].try_into().unwrap_or_default());
            let label = "Shelter of friends ".repeat(1 + usize::from(id[16] % 3));
            let application = Application {
                org,
                label: label.trim(),
                country: "RO",
                roles: &["Origin"],
                competences: &[],
                root_pk: SigningKey::from_seed(&id).public(),
            };
            accredit(Net([1; 32]), &application, &[&key], 1_800_000_000).encode_to_vec()
        })
        .collect();
    let (mut export, mut edge) = (Export::new(folder)?, Edge::default());
    for page in entries.chunks(100) {
        export.push_entries(page)?;
        page.iter().for_each(|entry| edge.push(leaf(entry)));
    }
    let origin = logs::origin(Net([1; 32]), OrgId([2; 16]), NodeId([3; 16]));
    let head = Checkpoint { origin: origin.clone(), size, root: edge.root() };
    let known = NoteKey::new(&origin, KeyKind::Log, &key.public())?;
    Ok(export.finish(&head.sign(&key)?, &known.to_string(), b"", b"")?)
}
