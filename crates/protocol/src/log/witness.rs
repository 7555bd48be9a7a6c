//! What a witness does: it remembers the largest head of a log that it ever cosigned, and cosigns a larger one only when
//! that is shown to grow out of it (C2SP tlog-witness).
//!
//! Pure: what is remembered is given in and what is to be remembered comes out. The cosignature may leave only when
//! that is durable; [`Cosigning`] holds the text back until the caller says so.

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::note::{NOTE_MAX, Note, NoteFault, NoteKey};
use super::proof::PROOF_HASHES_MAX;
use super::{Hash, read_hash, read_number, show_hash};
use crate::keys::SigningKey;
use crate::merkle;

/// Bytes of one request.
pub const REQUEST_MAX: usize = NOTE_MAX + 16 * 1024;
/// The status of a coordinator's node that was asked to cosign only what it mirrors, and does not mirror all of it yet.
/// Nothing was signed.
pub const MIRROR_BEHIND: u32 = 202;

/// A log asks for a cosignature: the size it believes the witness has, the way from there, the new head.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The size the witness should have.
    pub old: u64,
    /// The consistency proof from there.
    pub path: Vec<Hash>,
    /// The new checkpoint.
    pub note: Note,
}

/// Why a witness does not cosign. The numbers are those a witness answers with over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessFault {
    /// 400: not a request, or a new size below the old.
    #[error("this is not a request for a cosignature")]
    Malformed,
    /// 400: more hashes than a proof can have.
    #[error("the proof has more than {PROOF_HASHES_MAX} hashes")]
    TooManyHashes,
    /// 403: no good signature of the log, or a checkpoint of another log.
    #[error(transparent)]
    Checkpoint(#[from] NoteFault),
    /// 409: the witness has another size, and this is it.
    #[error("the witness has size {0} of this log")]
    Conflict(u64),
    /// 409: two heads of one size with different roots, both signed. The log shows different things to different people.
    #[error("the log signed two different trees of one size")]
    Equivocation,
    /// 422: the new head does not grow out of the old.
    #[error("the new head does not follow from the one the witness has")]
    NotConsistent,
    /// 422: the same, and the request's own hashes show that the new tree begins otherwise.
    #[error("the log signed two trees of which neither continues the other")]
    Forked,
    /// 500: something is remembered of this log that cannot be read here. Forgetting it would let the log go back.
    #[error("what this witness remembers of the log cannot be read by this version")]
    Unreadable,
}

impl WitnessFault {
    /// The HTTP status of tlog-witness.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed | Self::TooManyHashes => 400,
            Self::Checkpoint(_) => 403,
            Self::Conflict(_) | Self::Equivocation => 409,
            Self::NotConsistent | Self::Forked => 422,
            Self::Unreadable => 500,
        }
    }

    /// Whether the request and the head that is remembered together prove that the log showed two histories.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        matches!(self, Self::Equivocation | Self::Forked)
    }
}

impl Request {
    /// Reads a request: `old <size>`, one line for each hash, a blank line, the note.
    ///
    /// # Errors
    /// [`WitnessFault::Malformed`], [`WitnessFault::TooManyHashes`], [`WitnessFault::Checkpoint`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WitnessFault> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= REQUEST_MAX);
        let (head, note) = text.and_then(|text| text.split_once("\n\n")).ok_or(WitnessFault::Malformed)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(read_number);
        let hashes: Vec<&str> = lines.collect();
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(WitnessFault::TooManyHashes);
        }
        let path = hashes.into_iter().map(read_hash).collect::<Option<_>>().ok_or(WitnessFault::Malformed)?;
        Ok(Self { old: old.ok_or(WitnessFault::Malformed)?, path, note: Note::parse(note.as_bytes())? })
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", show_hash(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

/// What a witness remembers of one log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Size of the largest head it cosigned; 0 when none.
    pub size: u64,
    /// Its root; that of the empty tree when none.
    pub root: Hash,
}

impl Default for Held {
    fn default() -> Self {
        Self { size: 0, root: crate::pae::sha256(&[]) }
    }
}

/// A decision to cosign. First make [`Cosigning::held`] durable, then take the note.
pub struct Cosigning {
    held: Held,
    note: Note,
}

impl Cosigning {
    /// What to remember, and to remember first.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The log's own note, to be remembered with it: half of the proof if the log ever shows another history.
    #[must_use]
    pub fn signed(&self) -> &Note {
        &self.note
    }

    /// The note with nothing but the witness's own line, to be sent now that [`Cosigning::held`] is durable.
    ///
    /// # Errors
    /// [`NoteFault::BadName`].
    pub fn cosign(self, name: &str, key: &SigningKey, now: u64) -> Result<Note, NoteFault> {
        let mut note = Note::unsigned(self.note.text().to_owned());
        note.cosign(name, key, now)?;
        Ok(note)
    }
}

/// Decides on a request about the log whose key is `log`, of which `held` is remembered.
///
/// # Errors
/// [`WitnessFault`]. Where that [is a proof](WitnessFault::is_proof), the request is one half of it.
pub fn decide(request: &Request, log: &NoteKey, held: &Held) -> Result<Cosigning, WitnessFault> {
    let signed = SignedCheckpoint::of(request.note.clone(), log)?;
    let Checkpoint { size, root, .. } = signed.checkpoint();
    if *size == held.size && *root != held.root {
        return Err(WitnessFault::Equivocation);
    }
    if request.old != held.size {
        return Err(WitnessFault::Conflict(held.size));
    }
    if *size < request.old {
        return Err(WitnessFault::Malformed);
    }
    if !merkle::extends((held.size, &held.root), (*size, root), &request.path) {
        let begins = request.path.split_first();
        let begins = begins.and_then(|(first, rest)| merkle::unfold(held.size, *size, first, rest));
        let other = begins.is_some_and(|(old, new)| new == *root && old != held.root);
        return Err(if other { WitnessFault::Forked } else { WitnessFault::NotConsistent });
    }
    Ok(Cosigning { held: Held { size: *size, root: *root }, note: request.note.only(log) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::KeyKind;
    use crate::log::tree::{self, Hashes};

    const ORIGIN: &str = "example.org/log";

    struct Leaves(Vec<Hash>);

    impl Hashes for Leaves {
        type Error = std::convert::Infallible;

        fn at(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
            let from = (index as usize) << level;
            Ok(merkle::root(&self.0[from..from + (1 << level)]))
        }
    }

    fn log_key() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn known() -> NoteKey {
        NoteKey::new(ORIGIN, KeyKind::Log, &log_key().public()).unwrap()
    }

    /// A log; `salt` makes it another one with the same key.
    fn log(n: u64, salt: u8) -> Leaves {
        Leaves((0..n).map(|i| merkle::leaf(&[&i.to_be_bytes()[..], &[salt]].concat())).collect())
    }

    fn request(log: &Leaves, old: u64, new: u64) -> Request {
        let root = tree::root(log, new).unwrap();
        let note = Checkpoint { origin: ORIGIN.to_owned(), size: new, root }.sign(&log_key()).unwrap();
        Request { old, path: tree::consistency(log, old, new).unwrap(), note }
    }

    fn held(log: &Leaves, size: u64) -> Held {
        Held { size, root: tree::root(log, size).unwrap() }
    }

    #[test]
    fn a_log_that_grows_is_cosigned_and_what_is_remembered_grows_with_it() {
        let log = log(40, 0);
        let mut remembered = Held::default();
        for size in [0, 1, 1, 7, 8, 33, 40] {
            let request = Request::parse(request(&log, remembered.size, size).to_string().as_bytes()).ok().unwrap();
            let cosigning = decide(&request, &known(), &remembered).ok().unwrap();
            remembered = cosigning.held().clone();
            assert_eq!(remembered, held(&log, size));
            let witness = SigningKey::from_seed(&[9; 32]);
            assert!(cosigning.signed().signed_by(&known()).unwrap().is_some());
            let line = cosigning.cosign("witness", &witness, 77).unwrap();
            let mut note = request.note.clone();
            assert_eq!(note.gather(&line), 1);
            let witness = NoteKey::new("witness", KeyKind::Witness, &witness.public()).unwrap();
            let seen = SignedCheckpoint::of(note, &known()).ok().unwrap();
            assert_eq!(seen.witnessed_by(&[witness]).unwrap()[0].1, 77);
        }
    }

    #[test]
    fn a_smaller_tree_is_never_cosigned_after_a_larger() {
        let log = log(40, 0);
        for (old, new) in [(7, 7), (7, 20), (0, 20), (0, 0), (39, 40), (21, 20)] {
            let fault = decide(&request(&log, old, new), &known(), &held(&log, 33)).err();
            assert_eq!(fault, Some(WitnessFault::Conflict(33)), "{old} {new}");
        }
        let shrunk = Request { old: 33, ..request(&log, 20, 20) };
        assert_eq!(decide(&shrunk, &known(), &held(&log, 33)).err(), Some(WitnessFault::Malformed));
    }

    #[test]
    fn a_log_with_two_faces_is_found_out() {
        let (one, other) = (log(40, 0), log(40, 1));
        let remembered = held(&one, 33);
        let same_size = decide(&request(&other, 33, 33), &known(), &remembered).err();
        assert_eq!(same_size, Some(WitnessFault::Equivocation));
        let forked = decide(&request(&other, 33, 40), &known(), &remembered).err().unwrap();
        assert_eq!((forked, forked.status(), forked.is_proof()), (WitnessFault::Forked, 422, true));
        // A whole subtree is left out of its own proof, so how the other tree begins is not in it.
        let whole = decide(&request(&other, 32, 40), &known(), &held(&one, 32)).err();
        assert_eq!(whole, Some(WitnessFault::NotConsistent));
        let own_path = Request { path: request(&one, 33, 40).path, ..request(&other, 33, 40) };
        assert_eq!(decide(&own_path, &known(), &remembered).err(), Some(WitnessFault::NotConsistent));
        // Hashes that lead nowhere accuse nobody.
        let made_up = Request { path: vec![[9; 32]; own_path.path.len()], ..request(&one, 33, 40) };
        assert_eq!(decide(&made_up, &known(), &remembered).err(), Some(WitnessFault::NotConsistent));
        assert!(!WitnessFault::NotConsistent.is_proof() && !WitnessFault::Conflict(1).is_proof());
    }

    #[test]
    fn another_key_and_what_is_no_request_are_refused() {
        let log = log(7, 0);
        let good = request(&log, 3, 7);
        let other = NoteKey::new(ORIGIN, KeyKind::Log, &SigningKey::from_seed(&[2; 32]).public()).unwrap();
        let fault = decide(&good, &other, &held(&log, 3)).err().unwrap();
        assert_eq!((fault, fault.status()), (WitnessFault::Checkpoint(NoteFault::NotSigned), 403));
        let text = good.to_string();
        for wrong in [
            String::new(),
            text.replace("old 3", "old -3"),
            text.replace("old 3\n", ""),
            text.replace("old 3", "old 3\n!"),
        ] {
            assert_eq!(Request::parse(wrong.as_bytes()).err(), Some(WitnessFault::Malformed), "{wrong}");
        }
        let hash = format!("\n{}", show_hash(&[1; 32]));
        let own = good.path.len();
        let most = text.replace("old 3", &format!("old 3{}", hash.repeat(PROOF_HASHES_MAX - own)));
        assert_eq!(Request::parse(most.as_bytes()).ok().unwrap().path.len(), PROOF_HASHES_MAX);
        let long = text.replace("old 3", &format!("old 3{}", hash.repeat(PROOF_HASHES_MAX - own + 1)));
        assert_eq!(Request::parse(long.as_bytes()).err(), Some(WitnessFault::TooManyHashes));
    }
}
