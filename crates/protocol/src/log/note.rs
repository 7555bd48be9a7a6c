//! Signed notes (C2SP signed-note): a text, a blank line, and signature lines that name their keys.
//!
//! Signatures by keys nobody asked about are passed over; a bad signature by a key that was asked about spoils the
//! whole note. Refuses control characters, a text that does not end its last line, and more signatures than
//! [`SIGNATURES_MAX`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::keys::{KeyFault, SigningKey, VerifyKey};

/// Signature lines of one note.
pub const SIGNATURES_MAX: usize = 16;
/// Bytes of one note.
pub const NOTE_MAX: usize = 16 << 10;
/// Bytes of a key's name.
pub const NAME_MAX: usize = 200;
/// What stands before a signature line: an em dash and a blank.
const BULLET: &str = "\u{2014} ";
/// First line of what a cosignature signs.
const COSIGNATURE: &str = "cosignature/v1";

/// Why a note is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// Too long, not UTF-8, control characters, no blank line, or a signature line that is none.
    #[error("this is not a signed note")]
    Malformed,
    /// More signatures than are read.
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// No signature by the key that had to sign.
    #[error("the note is not signed by the key that had to sign it")]
    NotSigned,
    /// A signature by a known key does not verify.
    #[error("a signature on the note does not verify")]
    BadSignature,
    /// The text of a key cannot be read.
    #[error("this is not a note verifier key")]
    BadKey,
    /// A name with blanks, plus signs, control characters, or of the wrong length.
    #[error("a note key has a name that cannot be used")]
    BadName,
    /// Signed properly, and the text is not a checkpoint.
    #[error("the note is not a checkpoint")]
    NotACheckpoint,
    /// A checkpoint of another log.
    #[error("the checkpoint is of another log")]
    OtherOrigin,
}

/// What a note key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// The bare text (0x01): a log's own key.
    Log,
    /// The text with a time before it (0x04): a witness.
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Log, Self::Witness].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A key that signs notes, as others know it. Its Ed25519 key passed admission.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    kind: KeyKind,
    key: VerifyKey,
}

impl NoteKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteFault::BadName`], [`NoteFault::BadKey`].
    pub fn new(name: &str, kind: KeyKind, public: &[u8]) -> Result<Self, NoteFault> {
        Self::read(name, kind, public, VerifyKey::admit)
    }

    fn read(
        name: &str,
        kind: KeyKind,
        public: &[u8],
        read: impl Fn(&[u8]) -> Result<VerifyKey, KeyFault>,
    ) -> Result<Self, NoteFault> {
        let key = read(public).map_err(|_| NoteFault::BadKey)?;
        is_name(name).then_some(()).ok_or(NoteFault::BadName)?;
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// Reads `<name>+<id, 8 hex digits>+<base64 of kind and key>`.
    ///
    /// # Errors
    /// [`NoteFault::BadKey`] also when the id is not the key's.
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        Self::parse_by(text, VerifyKey::admit)
    }

    /// [`NoteKey::parse`], where the key inside was admitted before, or is by other means.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn parse_by(text: &str, read: impl Fn(&[u8]) -> Result<VerifyKey, KeyFault>) -> Result<Self, NoteFault> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteFault::BadKey);
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteFault::BadKey)?;
        let (kind, public) = bytes.split_first().ok_or(NoteFault::BadKey)?;
        let key = Self::read(name, KeyKind::of(*kind).ok_or(NoteFault::BadKey)?, public, read)?;
        if crate::ids::hex(&key.id()) == id { Ok(key) } else { Err(NoteFault::BadKey) }
    }

    /// The key inside, whatever it is worth: to be admitted.
    pub(crate) fn public_in(text: &str) -> Option<[u8; 32]> {
        // Base64 itself has a plus.
        let bytes = STANDARD.decode(text.splitn(3, '+').nth(2)?).ok()?;
        bytes.split_first()?.1.try_into().ok()
    }

    /// Its name. A log's key has the log's origin for a name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The first four bytes of SHA-256(name, newline, kind, key).
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.key.public())
            .finalize()
            .into();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    fn check(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, KeyFault> {
        let wrong = |_| KeyFault::Length;
        match self.kind {
            KeyKind::Log => {
                self.key.verify_bare(text.as_bytes(), signature.try_into().map_err(wrong)?)?;
                Ok(None)
            }
            KeyKind::Witness => {
                let (time, signature) = signature.split_first_chunk::<8>().ok_or(KeyFault::Length)?;
                let time = u64::from_be_bytes(*time);
                self.key.verify_bare(&cosigned(time, text), signature.try_into().map_err(wrong)?)?;
                Ok(Some(time))
            }
        }
    }
}

impl std::fmt::Display for NoteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = [&[self.kind.byte()], self.key.public().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, crate::ids::hex(&self.id()), STANDARD.encode(key))
    }
}

/// A name: not empty, not too long, no blanks, no plus signs, no control characters.
fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(|c| c == '+' || c.is_whitespace() || c.is_control())
}

/// What a cosignature signs.
fn cosigned(time: u64, text: &str) -> Vec<u8> {
    format!("{COSIGNATURE}\ntime {time}\n{text}").into_bytes()
}

/// One signature line.
#[derive(Clone, PartialEq, Eq)]
struct Line {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// A note as it was read. Nothing about it is believed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    lines: Vec<Line>,
}

impl Note {
    /// A text that nobody has signed yet. It must end with a newline.
    #[must_use]
    pub fn unsigned(text: String) -> Self {
        Self { text, lines: Vec::new() }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteFault::Malformed`], [`NoteFault::TooManySignatures`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteFault> {
        let whole = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= NOTE_MAX);
        let whole = whole.ok_or(NoteFault::Malformed)?;
        if whole.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteFault::Malformed);
        }
        let (text, signatures) = whole.rsplit_once("\n\n").ok_or(NoteFault::Malformed)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteFault::Malformed)?;
        let lines: Vec<&str> = signatures.split('\n').collect();
        if lines.len() > SIGNATURES_MAX {
            return Err(NoteFault::TooManySignatures);
        }
        let lines = lines.into_iter().map(|line| read_line(line).ok_or(NoteFault::Malformed));
        Ok(Self { text: format!("{text}\n"), lines: lines.collect::<Result<_, _>>()? })
    }

    /// The text. Believe it only after [`Note::signed_by`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `key` signed the text: `None` when there is no signature of it; the time of a cosignature.
    ///
    /// # Errors
    /// [`NoteFault::BadSignature`] when a line claims to be by this key and is not.
    pub fn signed_by(&self, key: &NoteKey) -> Result<Option<Signed>, NoteFault> {
        let id = key.id();
        let line = self.lines.iter().find(|line| line.name == key.name && line.id == id);
        line.map(|line| key.check(&self.text, &line.signature).map(Signed).map_err(|_| NoteFault::BadSignature))
            .transpose()
    }

    /// Adds a log's signature.
    ///
    /// # Errors
    /// [`NoteFault::BadName`], [`NoteFault::TooManySignatures`].
    pub fn sign(&mut self, name: &str, key: &SigningKey) -> Result<(), NoteFault> {
        let signature = key.sign_bare(self.text.as_bytes()).to_vec();
        self.add(NoteKey::new(name, KeyKind::Log, &key.public())?, signature)
    }

    /// Adds a witness's signature: it saw this text at `time`.
    ///
    /// # Errors
    /// As [`Note::sign`].
    pub fn cosign(&mut self, name: &str, key: &SigningKey, time: u64) -> Result<(), NoteFault> {
        let signature = key.sign_bare(&cosigned(time, &self.text));
        let signature = [time.to_be_bytes().as_slice(), &signature].concat();
        self.add(NoteKey::new(name, KeyKind::Witness, &key.public())?, signature)
    }

    /// Takes the signature lines of another note with the same text that are not here yet. Returns how many.
    pub fn gather(&mut self, other: &Self) -> usize {
        if other.text != self.text {
            return 0;
        }
        let mut taken = 0;
        for line in &other.lines {
            let known = self.lines.iter().any(|l| l.name == line.name && l.id == line.id);
            if !known && self.lines.len() < SIGNATURES_MAX {
                self.lines.push(line.clone());
                taken += 1;
            }
        }
        taken
    }

    /// The same text with the signature line of this key alone, unchecked; without any when it has none.
    #[must_use]
    pub fn only(&self, key: &NoteKey) -> Self {
        let id = key.id();
        let line = self.lines.iter().find(|line| line.name == key.name && line.id == id);
        Self { text: self.text.clone(), lines: line.cloned().into_iter().collect() }
    }

    fn add(&mut self, key: NoteKey, signature: Vec<u8>) -> Result<(), NoteFault> {
        let id = key.id();
        self.lines.retain(|line| line.name != key.name || line.id != id);
        if self.lines.len() >= SIGNATURES_MAX {
            return Err(NoteFault::TooManySignatures);
        }
        self.lines.push(Line { name: key.name, id, signature });
        Ok(())
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.lines.iter().try_for_each(|line| {
            let signature = [line.id.as_slice(), &line.signature].concat();
            writeln!(f, "{BULLET}{} {}", line.name, STANDARD.encode(signature))
        })
    }
}

/// Proof that a key signed a note; made by [`Note::signed_by`] alone. Holds the time of a cosignature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signed(Option<u64>);

impl Signed {
    /// When a witness signed; `None` for a log's own signature, which has no time.
    #[must_use]
    pub fn at(&self) -> Option<u64> {
        self.0
    }
}

fn read_line(line: &str) -> Option<Line> {
    let (name, signature) = line.strip_prefix(BULLET)?.split_once(' ')?;
    let bytes = STANDARD.decode(signature).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    (is_name(name) && !signature.is_empty()).then(|| Line {
        name: name.to_owned(),
        id: *id,
        signature: signature.to_vec(),
    })
}

#[cfg(test)]
mod tests;
