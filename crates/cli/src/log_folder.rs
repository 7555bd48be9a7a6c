//! A log on its way from a node to a folder: pages of commitments under one head.

use std::path::Path;

use clearhouse_node::calls::Call;
use clearhouse_node::log::folder::{Export, FolderFault};
use clearhouse_protocol::log::note::Note;
use serde_json::Value;

use crate::ask::bytes_of;
use crate::trouble::Trouble;

/// Pages that were taken so far. The first fixes the head.
pub(crate) struct Pages {
    first: Value,
    commitments: Vec<[u8; 32]>,
}

impl Pages {
    /// What to ask first.
    pub(crate) fn first() -> Call {
        Call::AuditEntries { from: 0 }
    }

    /// Takes the first answer.
    ///
    /// # Errors
    /// A reply that cannot be read.
    pub(crate) fn of(first: Value) -> Result<Self, Trouble> {
        let mut pages = Self { first, commitments: Vec::new() };
        let page = pages.first.clone();
        pages.take(&page)?;
        Ok(pages)
    }

    /// How many entries the head covers.
    pub(crate) fn size(&self) -> u64 {
        self.first.get("size").and_then(Value::as_u64).unwrap_or(0)
    }

    /// What to ask next; `None` when all is here.
    pub(crate) fn next(&self) -> Option<Call> {
        let had = self.commitments.len() as u64;
        (had < self.size()).then_some(Call::AuditEntries { from: had })
    }

    /// Takes an answer; `false` when it brings nothing more.
    ///
    /// # Errors
    /// A reply that cannot be read.
    pub(crate) fn take(&mut self, page: &Value) -> Result<bool, Trouble> {
        let bytes = bytes_of(page, "commitments")?;
        let (whole, _) = bytes.as_chunks::<32>();
        let room = usize::try_from(self.size()).unwrap_or(usize::MAX).saturating_sub(self.commitments.len());
        self.commitments.extend(whole.iter().take(room));
        Ok(!whole.is_empty())
    }

    /// Writes it all, with the records that vouch for the key.
    ///
    /// # Errors
    /// [`FolderFault`]: the pages do not make the tree of the head, or the folder cannot be written.
    pub(crate) fn write(&self, folder: &Path, genesis: &[u8]) -> Result<(), FolderFault> {
        let text = |field: &str| self.first.get(field).and_then(Value::as_str).unwrap_or_default();
        let records = bytes_of(&self.first, "records").map_err(|_| FolderFault::Broken("records".to_owned()))?;
        let mut export = Export::new(folder)?;
        export.push(&self.commitments)?;
        export.finish(&Note::parse(text("checkpoint").as_bytes())?, text("key"), genesis, &records)
    }
}
