//! What hostile bytes are given to: one module for each layer that reads what a stranger, a colleague gone bad or a broken
//! disk wrote. Compiled twice: by `tests/fuzz/Cargo.toml` for cargo-fuzz, and into the tests, which replay the corpus.
//!
//! A body panics when a promise of a reader is broken, and otherwise says nothing. The same bytes do the same each time.

pub mod body;
pub mod bytes;
pub mod config;
pub mod conversation;
pub mod directory;
pub mod envelope;
pub mod forms;
pub mod journal;
pub mod keys;
pub mod node_mail;
pub mod note;
pub mod shape;
pub mod sync;
pub mod tree;
pub mod workbook;

/// An input that a run begins with, and its name.
pub type Seed = (String, Vec<u8>);

/// A body and what it is begun with.
pub struct Target {
    /// Its name: of the target, and of the folders of its corpus and its finds.
    pub name: &'static str,
    /// Gives it bytes.
    pub run: fn(&[u8]),
    /// Small sound inputs, made by the product's own writers, and some that are broken.
    pub seeds: fn() -> Vec<Seed>,
    /// Changed copies of each input that the tests try besides.
    pub changed: usize,
}

/// Every target.
pub const TARGETS: [Target; 14] = [
    Target { name: "body", run: body::run, seeds: body::seeds, changed: 400 },
    Target { name: "config", run: config::run, seeds: config::seeds, changed: 300 },
    Target { name: "conversation", run: conversation::run, seeds: conversation::seeds, changed: 3 },
    Target { name: "directory", run: directory::run, seeds: directory::seeds, changed: 60 },
    Target { name: "envelope", run: envelope::run, seeds: envelope::seeds, changed: 40 },
    Target { name: "forms", run: forms::run, seeds: forms::seeds, changed: 200 },
    Target { name: "journal", run: journal::run, seeds: journal::seeds, changed: 200 },
    Target { name: "keys", run: keys::run, seeds: keys::seeds, changed: 100 },
    Target { name: "node_mail", run: node_mail::run, seeds: node_mail::seeds, changed: 100 },
    Target { name: "note", run: note::run, seeds: note::seeds, changed: 300 },
    Target { name: "shape", run: shape::run, seeds: shape::seeds, changed: 200 },
    Target { name: "sync", run: sync::run, seeds: sync::seeds, changed: 200 },
    Target { name: "tree", run: tree::run, seeds: tree::seeds, changed: 300 },
    Target { name: "workbook", run: workbook::run, seeds: workbook::seeds, changed: 150 },
];

/// A seed that chooses way `way` of its body.
pub(crate) fn seed(name: &str, way: u8, bytes: &[u8]) -> Seed {
    (name.to_owned(), [&[way], bytes].concat())
}
