//! Bugs planted on purpose. A harness that does not find them proves nothing. Refuses to be part of a node: it is built
//! only with the feature `planted`.

use std::fs::File;
use std::io::{self, Write};

use crate::journal::Appended;

/// A journal that says it synced and did not: what sled's own log does.
pub(crate) struct NeverSynced(pub(crate) File);

impl Appended for NeverSynced {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
