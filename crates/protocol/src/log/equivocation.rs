//! Proof that a log showed different histories: two heads it signed, of which neither continues the other. Whoever knows
//! the log's key can check it, off-line and for ever.
//!
//! Two roots of one size speak for themselves. For two sizes the proof shows, with as many hashes as a consistency proof
//! has, how the larger tree begins: every tree has one beginning of a given size, and it is not the smaller head's. That
//! somebody *cannot* show that a head continues another proves nothing, and is refused here as proof.

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::note::{NOTE_MAX, Note, NoteFault, NoteKey};
use super::tree::{self, Hashes};
use super::{Hash, read_hash, show_hash};
use crate::merkle;

/// First line.
const HEAD: &str = "clearhouse log-equivocation v1";
/// Hashes of one proof: a consistency proof's, and the subtree that it may leave out.
pub const HASHES_MAX: usize = super::proof::PROOF_HASHES_MAX + 1;
/// Bytes of one proof.
pub const EQUIVOCATION_MAX: usize = 2 * NOTE_MAX + 4096;
/// Leaves of a log held in memory out of which a proof is made; a larger log is read by its tiles.
pub const LEAVES_MAX: usize = 1 << 20;

/// Why a text shows no fault of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationFault {
    /// Not such a text.
    #[error("this is not a proof that a log showed two histories")]
    Malformed,
    /// More hashes than a tree is high.
    #[error("the proof has more than {HASHES_MAX} hashes")]
    TooManyHashes,
    /// A head that the log did not sign.
    #[error("one of the two heads was not signed by this log: {0}")]
    Head(#[from] NoteFault),
    /// The smaller head stands second, or heads of one size have one root and hashes after them.
    #[error("the two heads are not in order")]
    Order,
    /// The larger head continues the smaller, or they are the same.
    #[error("the two heads agree: they show one history")]
    Agree,
    /// The hashes do not lead to the larger head, so they say nothing about how its tree begins.
    #[error("the hashes do not lead to the larger head")]
    NotShown,
    /// Leaves in a number that is not the larger head's, or more than [`LEAVES_MAX`].
    #[error("these are not the leaves of the larger head")]
    Leaves,
}

/// A proof. [`Equivocation::parse`] believes nothing; [`Equivocation::check`] does the believing.
#[derive(Clone, PartialEq, Eq)]
pub struct Equivocation {
    smaller: Note,
    larger: Note,
    /// How the larger tree begins, as [`tree::prefix`] gives it; empty for two heads of one size.
    path: Vec<Hash>,
}

impl Equivocation {
    /// The proof out of two heads in either order and the beginning of the larger one's tree, if it is one.
    ///
    /// # Errors
    /// [`EquivocationFault`].
    pub fn of(
        one: &SignedCheckpoint,
        other: &SignedCheckpoint,
        path: &[Hash],
        log: &NoteKey,
    ) -> Result<Self, EquivocationFault> {
        let (smaller, larger) = in_order(one, other);
        let made = Self { smaller: smaller.note().only(log), larger: larger.note().only(log), path: path.to_vec() };
        made.check(log)?;
        Ok(made)
    }

    /// The proof out of two heads and all leaf hashes of the larger one's tree, as a mirror has them.
    ///
    /// # Errors
    /// [`EquivocationFault`].
    pub fn of_leaves(
        one: &SignedCheckpoint,
        other: &SignedCheckpoint,
        leaves: &[Hash],
        log: &NoteKey,
    ) -> Result<Self, EquivocationFault> {
        let (smaller, larger) = in_order(one, other);
        let (old, new) = (smaller.checkpoint().size, larger.checkpoint().size);
        let fits = leaves.len() <= LEAVES_MAX && leaves.len() as u64 == new;
        if old != new && !fits {
            return Err(EquivocationFault::Leaves);
        }
        let Ok(path) = if old == new { Ok(Vec::new()) } else { tree::prefix(&InMemory(leaves), old, new) };
        Self::of(smaller, larger, &path, log)
    }

    /// Reads a proof, strictly.
    ///
    /// # Errors
    /// [`EquivocationFault::Malformed`], [`EquivocationFault::TooManyHashes`], [`EquivocationFault::Head`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EquivocationFault> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= EQUIVOCATION_MAX);
        let blocks: Vec<&str> = text.map(|text| text.split("\n\n").collect()).unwrap_or_default();
        let [head, first, first_lines, second, second_lines] = blocks[..] else {
            return Err(EquivocationFault::Malformed);
        };
        let hashes = match head.split_once('\n') {
            None if head == HEAD => Vec::new(),
            Some((HEAD, rest)) => rest.split('\n').collect(),
            None | Some(_) => return Err(EquivocationFault::Malformed),
        };
        if hashes.len() > HASHES_MAX {
            return Err(EquivocationFault::TooManyHashes);
        }
        let path = hashes.into_iter().map(read_hash).collect::<Option<_>>().ok_or(EquivocationFault::Malformed)?;
        let smaller = Note::parse(format!("{first}\n\n{first_lines}\n").as_bytes())?;
        let larger = Note::parse(format!("{second}\n\n{second_lines}").as_bytes())?;
        Ok(Self { smaller, larger, path })
    }

    /// The log that the first head names, so that its key can be looked up. Nothing is believed.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        Checkpoint::parse(self.smaller.text()).ok().map(|head| head.origin)
    }

    /// Checks that the log with this key signed both heads and that they show two histories. Returns both, the smaller
    /// first.
    ///
    /// # Errors
    /// [`EquivocationFault`]: then nothing is shown about anybody.
    pub fn check(&self, log: &NoteKey) -> Result<(Checkpoint, Checkpoint), EquivocationFault> {
        let open = |note: &Note| SignedCheckpoint::of(note.clone(), log).map(|head| head.checkpoint().clone());
        let (smaller, larger) = (open(&self.smaller)?, open(&self.larger)?);
        if smaller.size > larger.size || (smaller.size == larger.size && !self.path.is_empty()) {
            return Err(EquivocationFault::Order);
        }
        let agree = if smaller.size == larger.size {
            smaller.root == larger.root
        } else {
            let begins = self.path.split_first().and_then(|(first, rest)| {
                merkle::unfold(smaller.size, larger.size, first, rest).filter(|(_, new)| *new == larger.root)
            });
            begins.ok_or(EquivocationFault::NotShown)?.0 == smaller.root
        };
        if agree { Err(EquivocationFault::Agree) } else { Ok((smaller, larger)) }
    }
}

impl std::fmt::Display for Equivocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{HEAD}")?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", show_hash(hash)))?;
        write!(f, "\n{}\n{}", self.smaller, self.larger)
    }
}

/// How a head relates to another of the same log.
#[derive(Clone, PartialEq, Eq)]
pub enum Relation {
    /// The same size and root.
    Same,
    /// The larger is shown to grow out of the smaller.
    Continues,
    /// They show two histories, and this proves it.
    Conflict(Box<Equivocation>),
    /// Nothing that was shown says how they relate. No proof of anything, and no reason to believe the new head.
    Unproved,
}

/// Holds a head that was shown against one that is held, with the consistency proof between the two if one was given
/// (empty otherwise). It does not matter which of them is the newer. A receipt whose proof comes from a private fork is
/// found out so.
///
/// # Errors
/// [`NoteFault`] when one of them is not a head of this log.
pub fn relate(
    held: &SignedCheckpoint,
    shown: &SignedCheckpoint,
    path: &[Hash],
    log: &NoteKey,
) -> Result<Relation, NoteFault> {
    for head in [held, shown] {
        SignedCheckpoint::of(head.note().clone(), log)?;
    }
    let (smaller, larger) = in_order(held, shown);
    let (old, new) = (smaller.checkpoint(), larger.checkpoint());
    if old == new {
        return Ok(Relation::Same);
    }
    if merkle::extends((old.size, &old.root), (new.size, &new.root), path) {
        return Ok(Relation::Continues);
    }
    let path = if old.size == new.size { &[] } else { path };
    let conflict = Equivocation::of(smaller, larger, path, log);
    Ok(conflict.map_or(Relation::Unproved, |proof| Relation::Conflict(Box::new(proof))))
}

fn in_order<'h>(
    one: &'h SignedCheckpoint,
    other: &'h SignedCheckpoint,
) -> (&'h SignedCheckpoint, &'h SignedCheckpoint) {
    if one.checkpoint().size <= other.checkpoint().size { (one, other) } else { (other, one) }
}

/// Leaves in memory as a tree.
struct InMemory<'l>(&'l [Hash]);

impl Hashes for InMemory<'_> {
    type Error = std::convert::Infallible;

    fn at(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        // Only whole subtrees within the leaves are asked for; anything else is the root of nothing.
        let from = usize::try_from(index << level).unwrap_or(usize::MAX);
        let leaves = self.0.get(from..).and_then(|rest| rest.get(..1 << level));
        Ok(merkle::root(leaves.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use crate::log::note::KeyKind;

    const ORIGIN: &str = "example.org/log";

    fn secret() -> SigningKey {
        SigningKey::from_seed(&[1; 32])
    }

    fn known() -> NoteKey {
        NoteKey::new(ORIGIN, KeyKind::Log, &secret().public()).unwrap()
    }

    /// The leaves of a log; from entry `fork` on, `face` makes them another log's.
    fn leaves(n: u64, fork: u64, face: u8) -> Vec<Hash> {
        (0..n).map(|i| merkle::leaf(&[&i.to_be_bytes()[..], &[if i < fork { 0 } else { face }]].concat())).collect()
    }

    fn signed_by(leaves: &[Hash], key: &SigningKey) -> SignedCheckpoint {
        let head = Checkpoint { origin: ORIGIN.to_owned(), size: leaves.len() as u64, root: merkle::root(leaves) };
        let known = NoteKey::new(ORIGIN, KeyKind::Log, &key.public()).unwrap();
        SignedCheckpoint::of(head.sign(key).unwrap(), &known).ok().unwrap()
    }

    fn signed(leaves: &[Hash]) -> SignedCheckpoint {
        signed_by(leaves, &secret())
    }

    fn reread(proof: &Equivocation) -> Equivocation {
        let read = Equivocation::parse(proof.to_string().as_bytes()).ok().unwrap();
        assert!(read == *proof);
        read
    }

    #[test]
    fn attack_22_split_view_is_proved_to_a_stranger_for_every_pair_of_small_sizes() {
        for new in 1..40u64 {
            for old in 1..=new {
                let fork = old / 2;
                let (one, other) = (leaves(old, fork, 1), leaves(new, fork, 2));
                let (a, b) = (signed(&one), signed(&other));
                let proof = reread(&Equivocation::of_leaves(&a, &b, &other, &known()).ok().unwrap());
                let (smaller, larger) = proof.check(&known()).ok().unwrap();
                assert_eq!((&smaller, &larger), (a.checkpoint(), b.checkpoint()));
                assert_eq!(proof.origin().as_deref(), Some(ORIGIN));
                assert!(proof.to_string().len() < EQUIVOCATION_MAX);
                if old < new {
                    let cut = Equivocation { path: proof.path[1..].to_vec(), ..proof.clone() };
                    assert_eq!(cut.check(&known()).err(), Some(EquivocationFault::NotShown));
                    let grown = Equivocation { path: [proof.path.clone(), vec![[9; 32]]].concat(), ..proof.clone() };
                    assert_eq!(grown.check(&known()).err(), Some(EquivocationFault::NotShown));
                    for place in 0..proof.path.len() {
                        let mut bent = proof.clone();
                        bent.path[place][0] ^= 1;
                        assert_eq!(
                            bent.check(&known()).err(),
                            Some(EquivocationFault::NotShown),
                            "{old} {new} {place}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_honest_log_cannot_be_framed() {
        for new in 1..40u64 {
            let all = leaves(new, new, 0);
            for old in 1..=new {
                let (a, b) = (signed(&all[..old as usize]), signed(&all));
                let own = Equivocation::of_leaves(&a, &b, &all, &known()).err();
                assert_eq!(own, Some(EquivocationFault::Agree), "{old} {new}");
                // With leaves of another tree, which it did not sign.
                let forged = Equivocation::of_leaves(&a, &b, &leaves(new, 0, 7), &known()).err();
                let expected = if old == new { EquivocationFault::Agree } else { EquivocationFault::NotShown };
                assert_eq!(forged, Some(expected), "{old} {new}");
                assert_eq!(
                    Equivocation::of(&a, &b, &[], &known()).err(),
                    Some(if old == new { EquivocationFault::Agree } else { EquivocationFault::NotShown }),
                    "a missing proof proves nothing"
                );
            }
        }
        // The empty tree is the beginning of every tree.
        let all = leaves(5, 5, 0);
        assert_eq!(
            Equivocation::of_leaves(&signed(&[]), &signed(&all), &all, &known()).err(),
            Some(EquivocationFault::NotShown)
        );
        assert_eq!(
            Equivocation::of_leaves(&signed(&all), &signed(&all[..2]), &all[..4], &known()).err(),
            Some(EquivocationFault::Leaves)
        );
    }

    #[test]
    fn heads_that_another_key_signed_show_nothing() {
        let (one, other) = (leaves(7, 3, 1), leaves(9, 3, 2));
        let thief = SigningKey::from_seed(&[2; 32]);
        let theirs = NoteKey::new(ORIGIN, KeyKind::Log, &thief.public()).unwrap();
        let foreign = signed_by(&one, &thief);
        let fault = Equivocation::of_leaves(&foreign, &signed(&other), &other, &known()).err();
        assert_eq!(fault, Some(EquivocationFault::Head(NoteFault::NotSigned)));
        let proof = Equivocation::of_leaves(&signed(&one), &signed(&other), &other, &known()).ok().unwrap();
        assert_eq!(proof.check(&theirs).err(), Some(EquivocationFault::Head(NoteFault::NotSigned)));
        let swapped = Equivocation { smaller: proof.larger.clone(), larger: proof.smaller.clone(), ..proof.clone() };
        assert_eq!(swapped.check(&known()).err(), Some(EquivocationFault::Order));
    }

    #[test]
    fn a_text_is_a_proof_in_one_writing_only() {
        let (one, other) = (leaves(7, 3, 1), leaves(9, 3, 2));
        let text = Equivocation::of_leaves(&signed(&one), &signed(&other), &other, &known()).ok().unwrap().to_string();
        let fault = |text: &str| Equivocation::parse(text.as_bytes()).err();
        assert_eq!(fault(&text), None);
        let hash = text.lines().nth(1).unwrap().to_owned();
        for wrong in [
            String::new(),
            text.replace("v1", "v2"),
            text.replace(&hash, "!"),
            text.replace(&hash, ""),
            text.replacen("\n\n", "\n", 1),
            format!("{text}\n"),
            format!("{text}\n\nmore"),
            format!("{text}{}", "x".repeat(EQUIVOCATION_MAX)),
        ] {
            let fault = fault(&wrong);
            let refused = matches!(fault, Some(EquivocationFault::Malformed | EquivocationFault::Head(_)));
            assert!(refused, "{fault:?} {wrong}");
        }
        // Two heads of one size need no hashes, and the first line all the same.
        let (one, two) = (leaves(7, 3, 1), leaves(7, 3, 2));
        let bare = Equivocation::of(&signed(&one), &signed(&two), &[], &known()).ok().unwrap().to_string();
        assert_eq!(Equivocation::parse(bare.as_bytes()).err(), None);
        let otherwise = bare.replace("v1", "v2");
        assert_eq!(Equivocation::parse(otherwise.as_bytes()).err(), Some(EquivocationFault::Malformed));
        let path = text.lines().skip(1).take_while(|line| !line.is_empty()).count();
        let most = text.replacen(&hash, &vec![hash.as_str(); HASHES_MAX + 1 - path].join("\n"), 1);
        assert_eq!(Equivocation::parse(most.as_bytes()).ok().unwrap().path.len(), HASHES_MAX);
        let long = text.replace(&hash, &vec![hash.as_str(); HASHES_MAX + 1].join("\n"));
        assert_eq!(fault(&long), Some(EquivocationFault::TooManyHashes));
        assert!(Equivocation::parse(&[0xff; 10]).is_err());
    }

    #[test]
    fn attack_29_false_receipt_out_of_a_private_fork_is_found_out() {
        let (public, private) = (leaves(20, 11, 1), leaves(24, 11, 2));
        let tree = |leaves: &[Hash], old: u64, new: u64| tree::consistency(&InMemory(leaves), old, new).unwrap();
        let said = |held: &[Hash], shown: &[Hash], path: &[Hash]| {
            relate(&signed(held), &signed(shown), path, &known()).ok().unwrap()
        };
        let conflict = |relation: Relation| match relation {
            Relation::Conflict(proof) => proof.check(&known()).is_ok(),
            Relation::Same | Relation::Continues | Relation::Unproved => false,
        };
        // Honest: newer, older, equal, and a newer without its proof.
        assert!(said(&public[..13], &public, &tree(&public, 13, 20)) == Relation::Continues);
        assert!(said(&public, &public[..13], &tree(&public, 13, 20)) == Relation::Continues);
        assert!(said(&public, &public, &[]) == Relation::Same);
        assert!(said(&public[..13], &public, &[]) == Relation::Unproved);
        // From a fork: of the same size, newer with its own proof, older with the held tree's.
        assert!(conflict(said(&public, &private[..20], &[])));
        assert!(conflict(said(&public[..13], &private, &tree(&private, 13, 24))));
        assert!(conflict(said(&private, &public[..13], &tree(&private, 13, 24))));
        assert!(conflict(said(&public[..16], &private, &tree::prefix(&InMemory(&private), 16, 24).unwrap())));
        // A proof out of the other tree, or nothing, shows nothing.
        assert!(said(&public[..13], &private, &tree(&public, 13, 20)) == Relation::Unproved);
        assert!(said(&public[..13], &private, &[]) == Relation::Unproved);
        // Before the fork it is the same log.
        assert!(said(&public[..11], &private, &tree(&private, 11, 24)) == Relation::Continues);
        let foreign = signed_by(&private, &SigningKey::from_seed(&[2; 32]));
        assert_eq!(relate(&signed(&public), &foreign, &[], &known()).err(), Some(NoteFault::NotSigned));
    }
}
