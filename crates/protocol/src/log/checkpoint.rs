//! Checkpoints (C2SP tlog-checkpoint): a log says how many leaves it has and what their root is.
//!
//! Three lines and no more: extension lines are refused, because nobody audits them. A [`Checkpoint`] may be anybody's
//! claim; a [`SignedCheckpoint`] was signed by the log's own key, and only [`SignedCheckpoint::open`] makes one.

use super::note::{KeyKind, Note, NoteFault, NoteKey, Signed};
use super::{Hash, read_hash, read_number, show_hash};
use crate::keys::SigningKey;

/// What a log claims to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log: `clearhouse.<net8>/<org>/<node>/g<generation>`.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, show_hash(&self.root))
    }

    /// Reads a text, strictly.
    ///
    /// # Errors
    /// [`NoteFault::NotACheckpoint`].
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteFault::NotACheckpoint)?.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let read = || {
            let origin = origin.filter(|o| !o.is_empty())?.to_owned();
            Some(Self { origin, size: read_number(size?)?, root: read_hash(root?)? })
        };
        read().filter(|c| c.text() == text).ok_or(NoteFault::NotACheckpoint)
    }

    /// Signs it with the log's key. The caller has made sure that this head follows all heads it ever signed.
    ///
    /// # Errors
    /// [`NoteFault::BadName`] for an origin that cannot name a key.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteFault> {
        let mut note = Note::unsigned(self.text());
        note.sign(&self.origin, key)?;
        Ok(note)
    }
}

/// A checkpoint that its log signed, with the whole note.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Believes a note that the log's key signed.
    ///
    /// # Errors
    /// [`NoteFault`]: malformed, not signed, of another origin, or no checkpoint.
    pub fn open(bytes: &[u8], log: &NoteKey) -> Result<Self, NoteFault> {
        Self::of(Note::parse(bytes)?, log)
    }

    /// [`SignedCheckpoint::open`] of a note that was read already.
    ///
    /// # Errors
    /// As there.
    pub fn of(note: Note, log: &NoteKey) -> Result<Self, NoteFault> {
        if log.kind() != KeyKind::Log {
            return Err(NoteFault::BadKey);
        }
        note.signed_by(log)?.ok_or(NoteFault::NotSigned)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != log.name() {
            return Err(NoteFault::OtherOrigin);
        }
        Ok(Self { checkpoint, note })
    }

    /// The claim.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The whole note, with every signature.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Which of these witnesses cosigned it, and when. A witness is counted once.
    ///
    /// # Errors
    /// [`NoteFault::BadSignature`] when a line claims to be by one of them and is not.
    pub fn witnessed_by<'k>(&self, witnesses: &'k [NoteKey]) -> Result<Vec<(&'k NoteKey, u64)>, NoteFault> {
        let mut seen: Vec<(&NoteKey, u64)> = Vec::new();
        for key in witnesses.iter().filter(|key| key.kind() == KeyKind::Witness) {
            if let Some(at) = self.note.signed_by(key)?.as_ref().and_then(Signed::at)
                && !seen.iter().any(|(k, _)| *k == key)
            {
                seen.push((key, at));
            }
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "clearhouse.00c0ffee/0101/0202/g1";

    fn key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn known(name: &str) -> NoteKey {
        NoteKey::new(name, KeyKind::Log, &key().public()).unwrap()
    }

    fn head() -> Checkpoint {
        Checkpoint { origin: ORIGIN.to_owned(), size: 7, root: [5; 32] }
    }

    #[test]
    fn a_checkpoint_its_log_signed_is_believed() {
        let note = head().sign(&key()).unwrap();
        let opened = SignedCheckpoint::open(note.to_string().as_bytes(), &known(ORIGIN)).ok().unwrap();
        assert_eq!(*opened.checkpoint(), head());
    }

    #[test]
    fn a_checkpoint_of_another_log_or_by_another_key_is_not() {
        let open = |note: &Note, key: &NoteKey| SignedCheckpoint::open(note.to_string().as_bytes(), key).err();
        let note = head().sign(&key()).unwrap();
        assert_eq!(open(&note, &known("clearhouse.00c0ffee/0101/0202/g2")), Some(NoteFault::NotSigned));
        let other = NoteKey::new(ORIGIN, KeyKind::Log, &SigningKey::from_seed(&[2; 32]).public()).unwrap();
        assert_eq!(open(&note, &other), Some(NoteFault::NotSigned));
        // Signed by a log for another origin.
        let mut lent = Note::unsigned(Checkpoint { origin: "elsewhere".to_owned(), ..head() }.text());
        lent.sign(ORIGIN, &key()).unwrap();
        assert_eq!(open(&lent, &known(ORIGIN)), Some(NoteFault::OtherOrigin));
    }

    #[test]
    fn a_text_is_a_checkpoint_in_one_writing_only() {
        let good = head().text();
        assert_eq!(Checkpoint::parse(&good), Ok(head()));
        let wrong = [
            String::new(),
            good.trim_end().to_owned(),
            good.replace("\n7\n", "\n07\n"),
            good.replace("\n7\n", "\n7 \n"),
            good.replace("\n7\n", "\n99999999999999999999\n"),
            good.replace("\n7\n", "\n"),
            good.replace(ORIGIN, ""),
            format!("{good}extension\n"),
            format!("{good}\n"),
            good.replace("U=\n", "V=\n"),
            good.replace("=\n", "\n"),
            good.replace("BQUF", "BQ"),
        ];
        for text in wrong {
            assert_eq!(Checkpoint::parse(&text), Err(NoteFault::NotACheckpoint), "{text:?}");
        }
    }

    #[test]
    fn a_witness_counts_once_and_a_false_one_spoils_the_note() {
        let mut note = head().sign(&key()).unwrap();
        let (one, two) = (SigningKey::from_seed(&[8; 32]), SigningKey::from_seed(&[9; 32]));
        note.cosign("one", &one, 100).unwrap();
        let witness = |name, key: &SigningKey| NoteKey::new(name, KeyKind::Witness, &key.public()).unwrap();
        let witnesses = [witness("one", &one), witness("two", &two), witness("one", &one)];
        let opened = SignedCheckpoint::of(note.clone(), &known(ORIGIN)).ok().unwrap();
        let seen = opened.witnessed_by(&witnesses).unwrap();
        assert_eq!(seen.iter().map(|(k, at)| (k.name(), *at)).collect::<Vec<_>>(), [("one", 100)]);
        // Two signs under its own name a text of another tree, and its line is moved here.
        let mut elsewhere = Note::unsigned(Checkpoint { size: 8, ..head() }.text());
        elsewhere.cosign("two", &two, 100).unwrap();
        let line = elsewhere.to_string().lines().last().unwrap().to_owned();
        let forged = Note::parse(format!("{note}{line}\n").as_bytes()).unwrap();
        let forged = SignedCheckpoint::of(forged, &known(ORIGIN)).ok().unwrap();
        assert_eq!(forged.witnessed_by(&witnesses).err(), Some(NoteFault::BadSignature));
    }
}
