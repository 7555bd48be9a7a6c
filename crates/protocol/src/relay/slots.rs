//! The frames of an answer to a fetch: always [`FETCH_SLOTS`] slots, of which an idle one looks on the line like one
//! that carries an envelope of the smallest class.
//!
//! [`Reader`] refuses an answer that has more, claims more than an envelope, or goes on for ever.

use clearhouse_wire::v1::FetchFrame;

use crate::ids::Digest;
use crate::limits::{ENVELOPE_MAX, FETCH_SLOTS, FRAME_MAX, SLOT_LEN, SMALLEST_ENVELOPE_LEN};

/// What a dummy's digest is: no envelope has it.
const NOTHING: Digest = Digest([0; 32]);

/// The one frame of a slot without envelope.
#[must_use]
pub fn dummy() -> FetchFrame {
    FetchFrame { digest: NOTHING.to_vec(), total_len: SMALLEST_ENVELOPE_LEN as u64, data: vec![0; SLOT_LEN] }
}

/// The frames of a slot that carries `bytes`, made one at a time.
pub fn frames(digest: Digest, bytes: Vec<u8>) -> impl Iterator<Item = FetchFrame> + Send + 'static {
    let total = bytes.len();
    let count = total.div_ceil(FRAME_MAX).max(1);
    (0..count).map(move |i| {
        let mut data = bytes[i * FRAME_MAX..total.min((i + 1) * FRAME_MAX)].to_vec();
        if i > 0 {
            return FetchFrame { data, ..FetchFrame::default() };
        }
        data.resize(data.len().max(SLOT_LEN), 0);
        FetchFrame { digest: digest.to_vec(), total_len: total as u64, data }
    })
}

/// What a frame completed.
pub enum Slot {
    /// Nothing yet: more frames belong to this slot.
    Unfinished,
    /// A slot without envelope.
    Empty,
    /// Bytes said to be this envelope.
    Filled(Digest, Vec<u8>),
}

/// Why an answer is not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keeper's answer does not follow the rules")]
pub struct BadAnswer;

/// Puts the frames of one answer together. Holds one envelope at a time.
#[derive(Default)]
pub struct Reader {
    begun: Option<(Digest, usize, Vec<u8>)>,
    slots: usize,
}

impl Reader {
    /// Whether all slots have come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.slots == FETCH_SLOTS && self.begun.is_none()
    }

    /// Takes the next frame.
    ///
    /// # Errors
    /// [`BadAnswer`] for anything that [`frames`] and [`dummy`] would not have made; nothing more is read then.
    pub fn take(&mut self, frame: FetchFrame) -> Result<Slot, BadAnswer> {
        let (digest, total, mut bytes) = match self.begun.take() {
            Some((digest, total, mut bytes)) => {
                let bare = frame.digest.is_empty() && frame.total_len == 0;
                let fits = !frame.data.is_empty() && frame.data.len() <= FRAME_MAX.min(total - bytes.len());
                if !bare || !fits {
                    return Err(BadAnswer);
                }
                bytes.extend_from_slice(&frame.data);
                (digest, total, bytes)
            }
            None => self.begin(frame)?,
        };
        if digest == NOTHING {
            return Ok(Slot::Empty);
        }
        if bytes.len() < total {
            self.begun = Some((digest, total, bytes));
            return Ok(Slot::Unfinished);
        }
        bytes.truncate(total);
        Ok(Slot::Filled(digest, bytes))
    }

    fn begin(&mut self, frame: FetchFrame) -> Result<(Digest, usize, Vec<u8>), BadAnswer> {
        let digest = Digest::try_from(frame.digest.as_slice()).map_err(|_| BadAnswer)?;
        let total = usize::try_from(frame.total_len).map_err(|_| BadAnswer)?;
        let small = total <= SLOT_LEN;
        let fits = if small { frame.data.len() == SLOT_LEN } else { frame.data.len() == total.min(FRAME_MAX) };
        let padded = !small || frame.data.iter().skip(total).all(|b| *b == 0);
        if self.slots == FETCH_SLOTS || total == 0 || total > ENVELOPE_MAX || !fits || !padded {
            return Err(BadAnswer);
        }
        self.slots += 1;
        Ok((digest, total, frame.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    fn read(frames: impl IntoIterator<Item = FetchFrame>) -> Result<Vec<(Digest, Vec<u8>)>, BadAnswer> {
        let (mut reader, mut all) = (Reader::default(), Vec::new());
        for frame in frames {
            match reader.take(frame)? {
                Slot::Filled(digest, bytes) => all.push((digest, bytes)),
                Slot::Empty | Slot::Unfinished => {}
            }
        }
        if reader.is_done() { Ok(all) } else { Err(BadAnswer) }
    }

    fn dummies(n: usize) -> Vec<FetchFrame> {
        vec![dummy(); n]
    }

    #[test]
    fn envelopes_of_every_length_come_out_as_they_went_in() {
        for len in [1, SMALLEST_ENVELOPE_LEN, SLOT_LEN, SLOT_LEN + 1, FRAME_MAX, FRAME_MAX + 1, 3 * FRAME_MAX + 7] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let all = frames(Digest([7; 32]), bytes.clone()).chain(dummies(7));
            assert!(read(all).is_ok_and(|got| got == [(Digest([7; 32]), bytes)]), "{len}");
        }
        assert!(read(dummies(FETCH_SLOTS)).is_ok_and(|got| got.is_empty()));
    }

    #[test]
    fn a_frame_behind_the_first_is_bare_and_holds_no_more_than_is_left() {
        let first = || frames(Digest([7; 32]), vec![1; FRAME_MAX + 5]).next().unwrap();
        let second = |change: &dyn Fn(&mut FetchFrame)| {
            let mut reader = Reader::default();
            assert!(matches!(reader.take(first()), Ok(Slot::Unfinished)));
            let mut frame = FetchFrame { data: vec![1; 5], ..FetchFrame::default() };
            change(&mut frame);
            reader.take(frame).map(|slot| matches!(slot, Slot::Filled(_, bytes) if bytes == [1; FRAME_MAX + 5]))
        };
        assert_eq!(second(&|_| {}), Ok(true));
        assert_eq!(second(&|frame| drop(frame.data.split_off(4))), Ok(false), "one byte is left");
        assert_eq!(second(&|frame| frame.data.push(1)), Err(BadAnswer));
        assert_eq!(second(&|frame| frame.data.clear()), Err(BadAnswer));
        assert_eq!(second(&|frame| frame.digest = vec![7; 32]), Err(BadAnswer));
        assert_eq!(second(&|frame| frame.total_len = 1), Err(BadAnswer));
        let begun = |change: &dyn Fn(&mut FetchFrame)| {
            let mut frame = first();
            change(&mut frame);
            Reader::default().take(frame).is_ok()
        };
        assert!(begun(&|frame| frame.total_len = ENVELOPE_MAX as u64));
        assert!(!begun(&|frame| frame.total_len = ENVELOPE_MAX as u64 + 1));
        assert!(!begun(&|frame| frame.data.truncate(FRAME_MAX - 1)), "a frame is full while more is to come");
        assert!(!begun(&|frame| frame.digest.truncate(31)));
        assert!(!begun(&|frame| (frame.total_len, frame.data) = (0, vec![0; SLOT_LEN])), "an envelope of nothing");
        assert!(!begun(&|frame| (frame.total_len, frame.data) = (1, vec![0; SLOT_LEN - 1])), "a short slot");
    }

    // Attack 37, as far as fetching goes: an idle slot and one with a small envelope are of one length on the line.
    #[test]
    fn attack_37_a_dummy_and_a_small_envelope_have_the_same_length_on_the_line() {
        let small: Vec<_> = frames(Digest([7; 32]), vec![1; SMALLEST_ENVELOPE_LEN]).collect();
        assert_eq!(small.len(), 1);
        assert_eq!(small[0].encoded_len(), dummy().encoded_len());
    }

    #[test]
    fn an_answer_with_a_slot_too_many_too_few_or_without_end_is_not_read_on() {
        assert!(read(dummies(FETCH_SLOTS + 1)).is_err());
        assert!(read(dummies(FETCH_SLOTS - 1)).is_err());
        let endless = FetchFrame { data: vec![1; FRAME_MAX], ..FetchFrame::default() };
        let mut first = frames(Digest([7; 32]), vec![1; FRAME_MAX + 1]).next().unwrap();
        assert!(read([first.clone(), endless]).is_err(), "more than was announced");
        first.total_len = ENVELOPE_MAX as u64 + 1;
        assert!(read([first]).is_err(), "more than any envelope");
        let mut hidden = dummy();
        hidden.data[SLOT_LEN - 1] = 1;
        assert_eq!(Reader::default().take(hidden).err(), Some(BadAnswer), "bytes behind the envelope");
        let empty = [frames(Digest([7; 32]), vec![1; FRAME_MAX + 1]).next().unwrap(), FetchFrame::default()];
        assert!(read(empty).is_err(), "a frame without anything");
    }
}
