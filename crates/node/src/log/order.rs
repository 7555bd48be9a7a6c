//! In which order witnesses are asked to cosign a head: coordinators first, because they mirror the log, and the others
//! only once one of them has signed.
//!
//! A witness that signed a head shows it for ever. If nobody mirrored the entries up to it and this node's disk is lost,
//! the log cannot be taken back and the node never starts again. So a head that no coordinator has does not leave.
//! The cost: while all coordinators are away no head is cosigned. Without them none would have a quorum either, and
//! messages go on; but an image put back from that time passes for the newest folder, for nobody can show what it lacks.
//! Refuses no witness the question what it holds: that binds nobody and is asked of each.

use std::collections::VecDeque;

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::note::NoteKey;

/// What a witness can do for this log. In the order in which they are asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Part {
    /// A coordinator's node that has the log up to the head when it signs it.
    Mirrors,
    /// A coordinator's node that was told too little to be brought up to the head with one request. It signs all the
    /// same: accounts, by which it catches up, go out only under heads with a quorum.
    IsBehind,
    /// Anybody else: it keeps the head and no entry.
    OnlySigns,
}

/// What a witness is asked in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// To cosign the head.
    Sign,
    /// What it holds of the log, and nothing to sign.
    Holds,
}

/// The witnesses of one head, in their turns.
pub(super) struct Turns {
    left: VecDeque<(NodeId, NoteKey, Part)>,
    /// Somebody who mirrors has this head, or nobody among the witnesses could.
    is_kept: bool,
}

impl Turns {
    /// At most `most` of these witnesses, by what each can do; within one part in the order given.
    pub(super) fn of(witnesses: Vec<(NodeId, NoteKey)>, part: impl Fn(NodeId) -> Part, most: usize) -> Self {
        let mut left: Vec<_> = witnesses.into_iter().map(|(node, key)| (node, key, part(node))).collect();
        left.sort_by_key(|(.., part)| *part);
        left.truncate(most);
        let is_kept = left.iter().all(|(.., part)| *part == Part::OnlySigns);
        Self { left: left.into(), is_kept }
    }

    /// Whose turn it is, and what it is asked.
    pub(super) fn next(&mut self) -> Option<(NodeId, NoteKey, Part, Question)> {
        let (node, key, part) = self.left.pop_front()?;
        let question = if part == Part::OnlySigns && !self.is_kept { Question::Holds } else { Question::Sign };
        Some((node, key, part, question))
    }

    /// Takes that a witness with this part signed the head.
    pub(super) fn signed(&mut self, part: Part) {
        self.is_kept |= part != Part::OnlySigns;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::log::note::KeyKind;

    use super::Part::{IsBehind, Mirrors, OnlySigns};
    use super::Question::{Holds, Sign};
    use super::*;

    /// One witness for each part; its id is its place.
    fn turns(parts: &'static [Part], most: usize) -> Turns {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let witness = |place: u8| (NodeId([place; 16]), NoteKey::new("w", KeyKind::Witness, &key).unwrap());
        let all = (0..).take(parts.len()).map(witness).collect();
        Turns::of(all, |node| parts[usize::from(node.0[0])], most)
    }

    /// Who is asked what, when those in `signing` sign when they are asked to.
    fn asked(mut turns: Turns, signing: &[u8]) -> Vec<(u8, Question)> {
        let mut all = Vec::new();
        while let Some((node, _, part, question)) = turns.next() {
            if question == Sign && signing.contains(&node.0[0]) {
                turns.signed(part);
            }
            all.push((node.0[0], question));
        }
        all
    }

    #[test]
    fn who_mirrors_is_asked_first_and_the_others_only_when_one_of_them_has_the_head() {
        let parts = &[OnlySigns, IsBehind, OnlySigns, Mirrors, Mirrors];
        let all = [0, 1, 2, 3, 4];
        assert_eq!(asked(turns(parts, 15), &all), [(3, Sign), (4, Sign), (1, Sign), (0, Sign), (2, Sign)]);
        assert_eq!(asked(turns(parts, 15), &[4])[3..], [(0, Sign), (2, Sign)], "one of them is enough");
        let away = [(3, Sign), (4, Sign), (1, Sign), (0, Holds), (2, Holds)];
        assert_eq!(asked(turns(parts, 15), &[0, 2]), away, "while they are away the head waits; what is held is asked");
    }

    #[test]
    fn where_no_coordinator_witnesses_everybody_is_asked_and_those_left_out_are_never_coordinators() {
        assert_eq!(asked(turns(&[OnlySigns, OnlySigns], 15), &[]), [(0, Sign), (1, Sign)]);
        assert_eq!(asked(turns(&[OnlySigns, OnlySigns, Mirrors], 2), &[2]), [(2, Sign), (0, Sign)]);
    }
}
