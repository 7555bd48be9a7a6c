//! In which order witnesses are asked to cosign a head: coordinators first, because they mirror the log, and the others
//! only once one of them has signed and says that it mirrors all of it.
//!
//! A witness that signed a head shows it for ever. If nobody mirrored the entries up to it and this node's disk is lost,
//! the log cannot be taken back and the node never starts again. So a head that no coordinator has does not leave.
//! The cost: while all coordinators are away no head is cosigned. Without them none would have a quorum either, and
//! messages go on; but an image put back from that time passes for the newest folder, for nobody can show what it lacks.
//! Refuses no witness the question what it holds: that binds nobody and is asked of each. Refuses to take a signature for
//! a mirror: what counts is the witness's word.

use std::collections::VecDeque;

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::log::note::NoteKey;

/// What a witness is asked in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// A coordinator's node: to mirror the log up to the head, and to cosign it then.
    Mirror,
    /// To cosign the head.
    Sign,
    /// What it holds of the log, and nothing to sign.
    Holds,
}

/// The witnesses of one head, in their turns.
pub(super) struct Turns {
    mirrors: VecDeque<(NodeId, NoteKey)>,
    others: VecDeque<(NodeId, NoteKey)>,
    /// Coordinators' nodes that do not mirror the log up to the head, before the others.
    behind: VecDeque<(NodeId, NoteKey)>,
    was_any_behind: bool,
    /// Somebody who mirrors has this head, or nobody among the witnesses could.
    is_kept: bool,
}

impl Turns {
    /// At most `most` of these witnesses, coordinators' nodes before others, otherwise in the order given.
    pub(super) fn of(witnesses: Vec<(NodeId, NoteKey)>, is_coordinators: impl Fn(NodeId) -> bool, most: usize) -> Self {
        let (mut mirrors, mut others): (VecDeque<_>, VecDeque<_>) =
            witnesses.into_iter().partition(|(node, _)| is_coordinators(*node));
        mirrors.truncate(most);
        others.truncate(most - mirrors.len());
        let is_kept = mirrors.is_empty();
        Self { mirrors, others, behind: VecDeque::new(), was_any_behind: false, is_kept }
    }

    /// Whose turn it is, and what it is asked.
    pub(super) fn next(&mut self) -> Option<(NodeId, NoteKey, Question)> {
        if let Some((node, key)) = self.mirrors.pop_front() {
            return Some((node, key, Question::Mirror));
        }
        let question = if self.is_kept { Question::Sign } else { Question::Holds };
        let (node, key) = self.behind.pop_front().or_else(|| self.others.pop_front())?;
        Some((node, key, question))
    }

    /// Takes that a witness signed the head; whether it says that it mirrors all of it.
    pub(super) fn signed(&mut self, mirrors: bool) {
        self.is_kept |= mirrors;
    }

    /// Takes that a coordinator's node does not mirror the log up to the head, and has not signed it. It does when somebody
    /// else mirrors it: a quorum needs its signature, and nothing is lost by it then.
    pub(super) fn is_behind(&mut self, node: NodeId, key: NoteKey) {
        self.was_any_behind = true;
        self.behind.push_back((node, key));
    }

    /// Whether any was behind: the head has to go round again.
    pub(super) fn was_any_behind(&self) -> bool {
        self.was_any_behind
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::log::note::KeyKind;

    use super::Question::{Holds, Mirror, Sign};
    use super::*;

    /// Witnesses, `true` for a coordinator's; the id of each is its place.
    fn turns(coordinators: &'static [bool], most: usize) -> Turns {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let witness = |place: u8| (NodeId([place; 16]), NoteKey::new("w", KeyKind::Witness, &key).unwrap());
        let all = (0..).take(coordinators.len()).map(witness).collect();
        Turns::of(all, |node| coordinators[usize::from(node.0[0])], most)
    }

    /// Who is asked what, when those in `mirroring` mirror and sign, those in `behind` answer that they do not, and the rest
    /// is away.
    fn asked(mut turns: Turns, mirroring: &[u8], behind: &[u8]) -> Vec<(u8, Question)> {
        let mut all = Vec::new();
        while let Some((node, key, question)) = turns.next() {
            let place = node.0[0];
            match question {
                Mirror if mirroring.contains(&place) => turns.signed(true),
                Mirror if behind.contains(&place) => turns.is_behind(node, key),
                Sign => turns.signed(false),
                Mirror | Holds => {}
            }
            all.push((place, question));
        }
        assert_eq!(turns.was_any_behind(), all.iter().any(|(place, _)| behind.contains(place)));
        all
    }

    #[test]
    fn who_mirrors_is_asked_first_and_the_others_only_when_one_of_them_says_that_it_has_the_head() {
        let all = &[false, true, false, true, true];
        let first = [(1, Mirror), (3, Mirror), (4, Mirror)];
        let then = |mirroring: &[u8], behind: &[u8]| {
            let asked = asked(turns(all, 15), mirroring, behind);
            assert_eq!(asked[..3], first);
            asked[3..].to_vec()
        };
        assert_eq!(then(&[1, 3, 4], &[]), [(0, Sign), (2, Sign)]);
        assert_eq!(then(&[4], &[]), [(0, Sign), (2, Sign)], "one of them is enough");
        assert_eq!(then(&[3], &[1, 4]), [(1, Sign), (4, Sign), (0, Sign), (2, Sign)], "who is behind signs then");
        assert_eq!(
            then(&[], &[]),
            [(0, Holds), (2, Holds)],
            "while they are away the head waits; what is held is asked"
        );
        assert_eq!(then(&[], &[1, 3]), [(1, Holds), (3, Holds), (0, Holds), (2, Holds)], "nobody has the entries");
    }

    #[test]
    fn a_signature_alone_is_no_mirror() {
        let mut turns = turns(&[true, false], 15);
        assert_eq!(turns.next().unwrap().2, Mirror);
        turns.signed(false);
        assert_eq!(turns.next().unwrap().2, Holds);
    }

    #[test]
    fn where_no_coordinator_witnesses_everybody_is_asked_and_those_left_out_are_never_coordinators() {
        assert_eq!(asked(turns(&[false, false], 15), &[], &[]), [(0, Sign), (1, Sign)]);
        assert_eq!(asked(turns(&[false, false, true], 2), &[2], &[]), [(2, Mirror), (0, Sign)]);
    }
}
