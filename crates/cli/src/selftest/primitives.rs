//! Primitives and chance. An answer that is not the published one to the last bit has failed; chance is only asked
//! whether it is plainly broken, which is all that can be seen from outside.

use std::collections::BTreeSet;

use clearhouse_protocol::answers::{self, KnownAnswer};

use super::line::{Line, Part};

/// Draws of the generator, and bytes of each.
const DRAWS: usize = 256;
const DRAWN: usize = 32;
/// Ones among the 65,536 bits: an honest generator is outside of this less than once in 10^14 runs.
const ONES: std::ops::RangeInclusive<u32> = 31_744..=33_792;

/// The answers of every room that reckons with primitives: each room knows its own.
pub(crate) fn known() -> Vec<KnownAnswer> {
    answers::all().into_iter().chain(clearhouse_store::answers::all()).collect()
}

/// Holds this program's answer against the published one.
pub(crate) fn answer(known: &KnownAnswer) -> Line {
    match known.holds() {
        true => Line::ok(Part::Primitive, known.name, known.source),
        false => Line::failed(Part::Primitive, known.name, format!("not the answer of {}", known.source)),
    }
}

/// Draws from the generator that keys come from.
pub(crate) fn chance(mut draw: impl FnMut(&mut [u8])) -> Line {
    let mut seen = BTreeSet::new();
    let mut ones = 0;
    for _ in 0..DRAWS {
        let mut bytes = [0; DRAWN];
        draw(&mut bytes);
        ones += bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
        seen.insert(bytes);
    }
    let name = "chance of the system";
    if seen.len() < DRAWS {
        return Line::failed(Part::Primitive, name, "the same bytes were drawn twice");
    }
    match ONES.contains(&ones) {
        true => Line::ok(Part::Primitive, name, format!("{DRAWS} draws, no two alike")),
        false => Line::failed(Part::Primitive, name, format!("{ones} ones in {} bits", DRAWS * DRAWN * 8)),
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;

    use super::super::line::State;
    use super::*;

    #[test]
    fn a_wrong_vector_is_told() {
        for mut known in known() {
            assert_eq!(answer(&known).state, State::Ok, "{}", known.name);
            known.expected.replace_range(..1, if known.expected.starts_with('a') { "b" } else { "a" });
            assert_eq!(answer(&known).state, State::Failed, "{}", known.name);
        }
    }

    #[test]
    fn a_generator_that_repeats_itself_or_leans_is_told() {
        let mut real = clearhouse_node::clock::chance();
        assert_eq!(chance(|bytes| real.fill_bytes(bytes)).state, State::Ok);
        assert_eq!(chance(|_| ()).state, State::Failed);
        let mut n = 0u64;
        let counter = |bytes: &mut [u8]| {
            n += 1;
            bytes[..8].copy_from_slice(&n.to_be_bytes());
        };
        assert_eq!(chance(counter).state, State::Failed);
        let mut turn = 0;
        let repeats = |bytes: &mut [u8]| {
            turn += 1;
            if turn % 200 == 0 { bytes.fill(0x55) } else { real.fill_bytes(bytes) }
        };
        // Once is no repetition, twice is.
        assert_eq!(chance(repeats).state, State::Ok);
        let repeats = |bytes: &mut [u8]| {
            turn += 1;
            if turn % 100 == 0 { bytes.fill(0x55) } else { real.fill_bytes(bytes) }
        };
        assert_eq!(chance(repeats).state, State::Failed);
    }
}
