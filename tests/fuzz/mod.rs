//! Replays what fuzzing left behind: every input of the corpus, every find, and changed copies of each, through the same
//! bodies that cargo-fuzz drives (`run.sh`). `CLEARHOUSE_REGENERATE=1` writes the seeds anew.
//!
//! `CLEARHOUSE_FUZZ_SEED=<seed>` changes the copies otherwise; a failing copy is kept under `target/fuzz-failed/`.

#[allow(unreachable_pub, reason = "the fuzz package has the same files as a library")]
pub(crate) mod bodies;

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bodies::{TARGETS, Target};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Longest input that is committed, and that is tried.
const INPUT_MAX: usize = 64 << 10;
/// Most inputs of one target, and most bytes of them.
const INPUTS_MAX: usize = 60;
const INPUTS_BYTES_MAX: usize = 200 << 10;
/// Changes of one copy.
const CHANGES_MAX: u64 = 4;

fn folder(kind: &str, target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(kind).join(target.name)
}

/// The files of a folder, by name. One that is not there is empty.
fn inputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found.map(|file| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).unwrap())).collect()
}

/// A copy with a few changes: a bit, a byte of weight, a piece cut, doubled, moved, or taken from another input.
fn changed(from: &[u8], other: &[u8], rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut copy = from.to_vec();
    for _ in 0..=rng.next_u64() % CHANGES_MAX {
        let mut below = |n: usize| usize::try_from(rng.next_u64()).unwrap() % n.max(1);
        let (at, len) = (below(copy.len() + 1), below(32));
        let end = (at + len).min(copy.len());
        match below(8) {
            0..=1 if at < copy.len() => copy[at] ^= 1 << below(8),
            2 if at < copy.len() => copy[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
            3 => drop(copy.drain(at..end)),
            4 => {
                let piece = copy[at..end].to_vec();
                copy.splice(at..at, piece);
            }
            5 => {
                let from = below(other.len());
                copy.splice(at..end, other[from..(from + len).min(other.len())].iter().copied());
            }
            6 => copy.truncate(at),
            _ => copy.insert(at, u8::try_from(below(256)).unwrap()),
        }
    }
    copy.truncate(INPUT_MAX);
    copy
}

fn try_one(target: &Target, name: &str, bytes: &[u8]) {
    if catch_unwind(|| (target.run)(bytes)).is_err() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz-failed");
        fs::create_dir_all(&kept).unwrap();
        let kept = kept.join(target.name);
        fs::write(&kept, bytes).unwrap();
        panic!("{}: {name} breaks a promise (printed above); the bytes are in {}", target.name, kept.display());
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seed = std::env::var("CLEARHOUSE_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("CLEARHOUSE_FUZZ_SEED={seed}");
    let mut all = inputs(&folder("corpus", target));
    assert!(!all.is_empty(), "the corpus of {name} is empty");
    let bytes = all.values().map(Vec::len).sum::<usize>();
    assert!(all.len() <= INPUTS_MAX && bytes <= INPUTS_BYTES_MAX, "{name}: {} inputs, {bytes} bytes", all.len());
    all.extend(inputs(&folder("crashes", target)));
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let others: Vec<Vec<u8>> = all.values().cloned().collect();
    for (file, bytes) in &all {
        assert!(bytes.len() <= INPUT_MAX, "{name}/{file} is too long to be committed");
        try_one(target, file, bytes);
        for n in 0..target.changed {
            let other = &others[usize::try_from(rng.next_u64()).unwrap() % others.len()];
            try_one(target, &format!("{file}, copy {n}"), &changed(bytes, other, &mut rng));
        }
    }
}

/// The seeds are what the product's own writers make today.
#[test]
fn seeds_are_what_the_product_writes() {
    let regenerate = std::env::var("CLEARHOUSE_REGENERATE").is_ok_and(|v| v == "1");
    for target in &TARGETS {
        let folder = folder("corpus", target);
        if regenerate {
            fs::create_dir_all(&folder).unwrap();
            let old = inputs(&folder).into_keys().filter(|name| name.starts_with("seed-"));
            old.for_each(|name| fs::remove_file(folder.join(name)).unwrap());
        }
        for (name, bytes) in (target.seeds)() {
            let file = folder.join(format!("seed-{name}"));
            if regenerate {
                fs::write(&file, &bytes).unwrap();
            }
            let kept = fs::read(&file).unwrap_or_default();
            assert!(kept == bytes, "{} is not what is written today: CLEARHOUSE_REGENERATE=1", file.display());
        }
    }
}

/// Every target has a body here, a binary in the fuzz package, and a test below.
#[test]
fn every_target_is_fuzzed_and_replayed() {
    let package = include_str!("Cargo.toml");
    let tests = include_str!("mod.rs");
    for target in &TARGETS {
        assert!(package.contains(&format!("name = \"{}\"\n", target.name)), "{} is not fuzzed", target.name);
        assert!(tests.contains(&format!("\n    {};", target.name)), "{} is not replayed", target.name);
    }
    assert_eq!(package.matches("[[bin]]").count(), TARGETS.len());
}

/// A conversation that nobody disturbs goes from the notice to the arrival: the events mean what they should.
#[test]
fn an_undisturbed_conversation_goes_all_the_way() {
    let seeds = bodies::conversation::seeds();
    let settled = |name: &str| {
        let (_, bytes) = seeds.iter().find(|(seed, _)| seed == name).unwrap();
        bodies::conversation::settled(bytes)
    };
    let all = ["opened", "accepted", "whole"].map(settled);
    println!("settled: {all:?}");
    assert!(all[0] >= 1 && all[0] < all[1] && all[1] < all[2], "{all:?}");
}

macro_rules! replayed {
    ($($name:ident;)+) => { $(
        #[test]
        fn $name() {
            replay(stringify!($name));
        }
    )+ };
}

replayed! {
    body;
    config;
    conversation;
    directory;
    envelope;
    forms;
    journal;
    keys;
    node_mail;
    note;
    shape;
    sync;
    tree;
    workbook;
}
