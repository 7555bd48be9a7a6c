//! The judge of every back end: each promise of `contract.rs` that can be checked from outside, as a named check.
//!
//! A back end's test makes a [`Bench`] and asserts that [`run`] finds nothing broken. That the judge is awake is shown
//! by the lies of `faulty.rs`, each of which must turn at least one check red. Refuses to test power cuts: no store
//! can be asked about those from inside; `tests/faults/powercut.sh` does.

use crate::changes::{BODIES_MAX, Changes, EVENT_MAX, EventLeaf, INLINE_MAX, Key, Put, ROWS_MAX, VALUE_MAX};
use crate::contract::{CommitError, Page, Store, StoreError};
use crate::memory::MemoryStore;

/// Where the stores under test come from.
pub trait Bench {
    /// A new, empty store.
    fn fresh(&mut self) -> Box<dyn Store>;
    /// The same store after the process ended and started again.
    fn restart(&mut self, store: Box<dyn Store>) -> Box<dyn Store>;
}

/// A check that failed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The check.
    pub check: &'static str,
    /// What was seen.
    pub seen: String,
}

type Checked = Result<(), String>;
type Check = fn(&mut dyn Bench) -> Checked;

/// Runs every check. Returns those that failed.
pub fn run(bench: &mut dyn Bench) -> Vec<Broken> {
    let checks: [(&'static str, Check); 16] = [
        ("a new store is empty", new_is_empty),
        ("a commit is there at once and after a restart", commits_stay),
        ("values of every size come back as they were", sizes),
        ("rows are overwritten and removed", overwrites_and_removals),
        ("tables do not mix", tables),
        ("a wrong generation changes nothing", generation),
        ("a row that had to be new and is not changes nothing", must_be_new),
        ("event numbers have no gap", event_gaps),
        ("events come back in order and in pages", events),
        ("a closed event keeps its place and its commitment alone", closing),
        ("an event that is not there cannot be closed", closing_nothing),
        ("pages are in key order and complete", pages),
        ("pages of large rows are short and complete", large_pages),
        ("a batch over a limit changes nothing", limits),
        ("compaction and scrub change nothing that can be read", compaction),
        ("a random history leaves what a model says", random_history),
    ];
    let failed = checks.into_iter().filter_map(|(check, of)| Some(Broken { check, seen: of(bench).err()? }));
    failed.collect()
}

macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}

fn key(n: u64) -> Key {
    let mut key = [0; 32];
    // Spread over the key space, so that key order is not the order of insertion.
    key[..8].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key[24..].copy_from_slice(&n.to_be_bytes());
    key
}

fn put(table: u8, n: u64, value: Vec<u8>) -> Put {
    Put { table, key: key(n), value }
}

fn filled(n: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (n as usize).wrapping_mul(31).wrapping_add(at.wrapping_mul(7)) as u8).collect()
}

fn leaf(index: u64) -> EventLeaf {
    EventLeaf { index, commitment: key(index), sealed: filled(index, 40) }
}

fn puts(generation: u64, puts: Vec<Put>) -> Changes {
    Changes { generation, puts, ..Changes::default() }
}

fn committed(store: &mut dyn Store, changes: &Changes) -> Checked {
    let new = store.commit(changes).map_err(|error| format!("a good batch was refused: {error}"))?;
    ensure!(new == changes.generation + 1, "generation {} was followed by {new}", changes.generation);
    ensure!(store.generation() == new, "the store says {} after commit {new}", store.generation());
    Ok(())
}

fn got(store: &dyn Store, table: u8, n: u64) -> Result<Option<Vec<u8>>, String> {
    store.get(table, &key(n)).map_err(|error| format!("a read failed: {error}"))
}

fn page(store: &dyn Store, table: u8, after: Option<Key>, limit: usize) -> Result<Page, String> {
    store.scan(table, after, limit).map_err(|error| format!("a scan failed: {error}"))
}

/// Reads a table page by page.
fn table(store: &dyn Store, number: u8, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, String> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = page(store, number, after, limit)?;
        ensure!(page.damaged.is_empty(), "a healthy store called a row damaged");
        ensure!(page.rows.len() <= limit, "a page of {limit} held {}", page.rows.len());
        rows.extend(page.rows);
        let Some(next) = page.next else { return Ok(rows) };
        ensure!(after.is_none_or(|after| next > after), "pages do not go forward");
        after = Some(next);
    }
}

fn new_is_empty(bench: &mut dyn Bench) -> Checked {
    let store = bench.fresh();
    ensure!(store.generation() == 0 && store.event_count() == 0, "a new store has a past");
    ensure!(got(&*store, 1, 1)?.is_none() && table(&*store, 1, 10)?.is_empty(), "a new store has rows");
    let stats = store.stats();
    ensure!(stats.rows == 0 && stats.live_bytes == 0 && stats.digest == [0; 32], "a new store counts something");
    Ok(())
}

fn commits_stay(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    for n in 0..20 {
        let changes = Changes { events: vec![leaf(n)], ..puts(n, vec![put(1, n, filled(n, 100))]) };
        committed(&mut *store, &changes)?;
        ensure!(got(&*store, 1, n)? == Some(filled(n, 100)), "commit {n} is not there at once");
    }
    let before = store.stats();
    let mut store = bench.restart(store);
    ensure!(store.generation() == 20, "20 commits became {} by a restart", store.generation());
    ensure!(store.event_count() == 20, "20 events became {} by a restart", store.event_count());
    for n in 0..20 {
        ensure!(got(&*store, 1, n)? == Some(filled(n, 100)), "commit {n} is gone after a restart");
    }
    let after = store.stats();
    ensure!(before.digest == after.digest && before.rows == 20 && after.rows == 20, "the rows' digest changed");
    committed(&mut *store, &puts(20, vec![]))
}

fn sizes(bench: &mut dyn Bench) -> Checked {
    let sizes = [0, 1, 255, 256, 257, 4096, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, 200 << 10];
    let mut store = bench.fresh();
    let rows = sizes.iter().zip(0..).map(|(len, n)| put(3, n, filled(n, *len))).collect();
    committed(&mut *store, &puts(0, rows))?;
    for round in ["at once", "after a restart"] {
        for (len, n) in sizes.iter().zip(0..) {
            ensure!(got(&*store, 3, n)? == Some(filled(n, *len)), "a value of {len} bytes is another {round}");
        }
        store = bench.restart(store);
    }
    Ok(())
}

fn overwrites_and_removals(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    committed(&mut *store, &puts(0, vec![put(1, 1, filled(1, 9)), put(1, 2, filled(2, INLINE_MAX + 1))]))?;
    let one = store.stats();
    committed(&mut *store, &puts(1, vec![put(1, 1, filled(3, INLINE_MAX + 9)), put(1, 2, filled(4, 9))]))?;
    ensure!(got(&*store, 1, 1)? == Some(filled(3, INLINE_MAX + 9)), "an overwritten row is the old one");
    ensure!(got(&*store, 1, 2)? == Some(filled(4, 9)), "an overwritten body is the old one");
    committed(&mut *store, &puts(2, vec![put(1, 1, filled(1, 9)), put(1, 2, filled(2, INLINE_MAX + 1))]))?;
    let same = store.stats();
    ensure!(
        (one.rows, one.digest, one.live_bytes) == (same.rows, same.digest, same.live_bytes),
        "equal rows, other digest"
    );
    let dels = vec![(1, key(1)), (1, key(2)), (1, key(3))];
    committed(&mut *store, &Changes { generation: 3, dels, ..Changes::default() })?;
    for round in ["at once", "after a restart"] {
        ensure!(got(&*store, 1, 1)?.is_none() && got(&*store, 1, 2)?.is_none(), "a removed row is there {round}");
        ensure!(store.stats().rows == 0 && store.stats().digest == [0; 32], "removed rows are counted {round}");
        store = bench.restart(store);
    }
    Ok(())
}

fn tables(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let rows = [1, 2, 0xFE].map(|number| put(number, 7, vec![number]));
    committed(&mut *store, &puts(0, rows.to_vec()))?;
    for number in [1, 2, 0xFE] {
        ensure!(got(&*store, number, 7)? == Some(vec![number]), "table {number} has another table's row");
        ensure!(table(&*store, number, 5)?.len() == 1, "table {number} is scanned with its neighbours");
    }
    committed(&mut *store, &Changes { generation: 1, dels: vec![(2, key(7))], ..Changes::default() })?;
    ensure!(got(&*store, 1, 7)?.is_some() && got(&*store, 2, 7)?.is_none(), "a removal took the wrong table");
    for reserved in [0, 0xFF] {
        let refused = matches!(store.get(reserved, &key(7)), Err(StoreError::Refused(_)));
        ensure!(refused, "reserved table {reserved} can be read");
    }
    Ok(())
}

fn generation(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    committed(&mut *store, &puts(0, vec![put(1, 1, vec![1])]))?;
    for wrong in [0, 2, u64::MAX] {
        let refused = store.commit(&puts(wrong, vec![put(1, 1, vec![2])]));
        let named = matches!(refused, Err(CommitError::WrongGeneration { store: 1, caller }) if caller == wrong);
        ensure!(named, "generation {wrong} was taken for 1");
    }
    ensure!(got(&*store, 1, 1)? == Some(vec![1]), "a refused batch was written");
    committed(&mut *store, &puts(1, vec![]))
}

fn must_be_new(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let new = |n| Changes { must_be_new: vec![(1, key(n))], ..puts(0, vec![put(1, n, vec![1])]) };
    committed(&mut *store, &new(1))?;
    let again = Changes {
        generation: 1,
        must_be_new: vec![(2, key(1)), (1, key(1))],
        puts: vec![put(2, 1, vec![2]), put(1, 1, vec![2]), put(1, 2, filled(2, INLINE_MAX + 1))],
        events: vec![leaf(0)],
        ..Changes::default()
    };
    match store.commit(&again) {
        Err(CommitError::Conflict { table: 1, key: taken }) if taken == key(1) => {}
        other => return Err(format!("a row that had to be new was not a conflict but {other:?}")),
    }
    for _ in 0..2 {
        ensure!(store.generation() == 1 && store.event_count() == 0, "a conflict was counted");
        ensure!(got(&*store, 1, 1)? == Some(vec![1]), "a conflict overwrote the row");
        ensure!(got(&*store, 2, 1)?.is_none() && got(&*store, 1, 2)?.is_none(), "a conflict wrote other rows");
        store = bench.restart(store);
    }
    let gone = Changes { generation: 1, dels: vec![(1, key(1))], ..Changes::default() };
    committed(&mut *store, &gone)?;
    committed(&mut *store, &Changes { generation: 2, ..again })
}

fn event_gaps(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let batch = |generation, numbers: &[u64]| {
        let events = numbers.iter().map(|n| leaf(*n)).collect();
        Changes { events, ..puts(generation, vec![put(1, generation, vec![1])]) }
    };
    committed(&mut *store, &batch(0, &[0, 1]))?;
    for wrong in [&[0][..], &[1], &[3], &[2, 4], &[3, 2], &[2, 2]] {
        let refused = matches!(store.commit(&batch(1, wrong)), Err(CommitError::EventGap { .. }));
        ensure!(refused, "events {wrong:?} were taken after 1");
    }
    ensure!(store.event_count() == 2 && got(&*store, 1, 1)?.is_none(), "a refused batch left something");
    committed(&mut *store, &batch(1, &[2, 3, 4]))?;
    ensure!(store.event_count() == 5, "5 events are counted as {}", store.event_count());
    Ok(())
}

fn all_events(store: &dyn Store, limit: usize) -> Result<Vec<EventLeaf>, String> {
    let mut all = Vec::new();
    loop {
        let page = store.events(all.len() as u64, limit).map_err(|error| format!("events failed: {error}"))?;
        let commitments = store.commitments(all.len() as u64, limit).map_err(|error| format!("{error}"))?;
        ensure!(
            commitments.iter().eq(page.iter().map(|event| &event.commitment)),
            "commitments are not those of the events"
        );
        ensure!(page.len() <= limit, "a page of {limit} events held {}", page.len());
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn events(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    for generation in 0..10 {
        let events = (generation * 5..generation * 5 + 5).map(leaf).collect();
        committed(&mut *store, &Changes { generation, events, ..Changes::default() })?;
        if generation == 4 || generation == 6 {
            store.compact().map_err(|error| format!("compaction failed: {error}"))?;
        }
    }
    let expected: Vec<EventLeaf> = (0..50).map(leaf).collect();
    for _ in 0..2 {
        for limit in [1, 7, 50, 1000] {
            ensure!(all_events(&*store, limit)? == expected, "events in pages of {limit} are not those committed");
        }
        let none = store.events(50, 10).map_err(|error| format!("events past the end failed: {error}"))?;
        ensure!(none.is_empty(), "there are events past the end");
        store = bench.restart(store);
    }
    Ok(())
}

fn closing(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let batch = |generation, events: std::ops::Range<u64>, closes: &[u64]| Changes {
        events: events.map(leaf).collect(),
        closes: closes.to_vec(),
        ..puts(generation, vec![])
    };
    committed(&mut *store, &batch(0, 0..20, &[]))?;
    let mut expected: Vec<EventLeaf> = (0..20).map(leaf).collect();
    let close = |expected: &mut Vec<EventLeaf>, closed: &[u64]| {
        closed.iter().for_each(|index| expected[*index as usize].sealed.clear());
    };
    // Before a compaction, across one, and in what an earlier one already put away; the last one twice.
    for (round, closed) in [[3, 4, 17], [0, 19, 5], [1, 2, 5]].into_iter().enumerate() {
        let next = 20 + round as u64;
        committed(&mut *store, &batch(next - 19, next..next + 1, &closed))?;
        expected.push(leaf(next));
        close(&mut expected, &closed);
        for step in ["at once", "after a restart", "after a compaction", "after a compaction and a restart"] {
            match step {
                "after a compaction" => store.compact().map_err(|error| format!("compaction failed: {error}"))?,
                "at once" => {}
                _ => store = bench.restart(store),
            }
            ensure!(
                all_events(&*store, 7)? == expected,
                "round {round}, {step}: other events are closed than should be"
            );
            let findings = store.scrub().map_err(|error| format!("scrub failed: {error}"))?;
            ensure!(findings.is_empty(), "round {round}, {step}: a closed event is a finding: {findings:?}");
        }
    }
    Ok(())
}

fn closing_nothing(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    committed(&mut *store, &Changes { events: vec![leaf(0), leaf(1)], ..puts(0, vec![]) })?;
    // The batch's own events are not there before it either.
    for wrong in [vec![2], vec![0, 3], vec![u64::MAX]] {
        let changes = Changes { events: vec![leaf(2)], closes: wrong.clone(), ..puts(1, vec![put(1, 1, vec![1])]) };
        let refused = matches!(store.commit(&changes), Err(CommitError::NoSuchEvent(_)));
        ensure!(refused, "{wrong:?} of two events were closed");
    }
    let same = all_events(&*store, 9)? == [leaf(0), leaf(1)] && got(&*store, 1, 1)?.is_none();
    ensure!(same && store.generation() == 1, "a refused batch left something");
    Ok(())
}

fn pages(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let rows: Vec<Put> = (0..50).map(|n| put(5, n, filled(n, 20))).chain((0..9).map(|n| put(6, n, vec![6]))).collect();
    committed(&mut *store, &puts(0, rows.clone()))?;
    let mut expected: Vec<(Key, Vec<u8>)> = rows[..50].iter().map(|put| (put.key, put.value.clone())).collect();
    expected.sort();
    for limit in [1, 7, 49, 50, 51] {
        ensure!(table(&*store, 5, limit)? == expected, "pages of {limit} are not the table in key order");
    }
    ensure!(page(&*store, 5, None, 50)?.next.is_none(), "a full last page says that more follow");
    ensure!(page(&*store, 5, Some([0xFF; 32]), 5)?.rows.is_empty(), "there are rows behind the last key");
    let middle = expected[24].0;
    ensure!(page(&*store, 5, Some(middle), 1)?.rows == [expected[25].clone()], "a page starts in the wrong place");
    Ok(())
}

fn large_pages(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let mut expected: Vec<(Key, Vec<u8>)> = (0..24).map(|n| (key(n), filled(n, 300 << 10))).collect();
    let rows = expected.iter().map(|(key, value)| Put { table: 9, key: *key, value: value.clone() }).collect();
    committed(&mut *store, &puts(0, rows))?;
    expected.sort();
    let first = page(&*store, 9, None, 24)?;
    ensure!(first.next.is_some() && !first.rows.is_empty(), "a page of seven megabytes was not cut");
    ensure!(table(&*store, 9, 24)? == expected, "short pages are not the whole table");
    Ok(())
}

fn limits(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    let large = || vec![0; VALUE_MAX];
    let refused = [
        puts(0, vec![put(1, 1, vec![0; VALUE_MAX + 1])]),
        puts(0, vec![put(0, 1, vec![])]),
        puts(0, vec![put(1, 1, vec![]), put(1, 1, vec![])]),
        puts(0, (0..=ROWS_MAX as u64).map(|n| put(1, n, vec![])).collect()),
        puts(0, (0..=(BODIES_MAX / VALUE_MAX) as u64).map(|n| put(1, n, large())).collect()),
        Changes { events: vec![EventLeaf { sealed: vec![0; EVENT_MAX + 1], ..leaf(0) }], ..puts(0, vec![]) },
    ];
    for changes in &refused {
        ensure!(matches!(store.commit(changes), Err(CommitError::Refused(_))), "a batch over a limit was taken");
    }
    ensure!(store.generation() == 0 && got(&*store, 1, 1)?.is_none(), "a batch over a limit left something");
    committed(&mut *store, &puts(0, (0..ROWS_MAX as u64).map(|n| put(1, n, vec![1])).collect()))?;
    ensure!(store.stats().rows == ROWS_MAX as u64, "the largest number of rows is not there");
    Ok(())
}

fn compaction(bench: &mut dyn Bench) -> Checked {
    let mut store = bench.fresh();
    for n in 0..30 {
        let rows = vec![put(1, n % 10, filled(n, 700)), put(2, n % 3, filled(n, INLINE_MAX + n as usize))];
        let dels = if n % 4 == 3 { vec![(1, key(n % 10 + 100)), (1, key(n))] } else { vec![] };
        let dels = dels.into_iter().filter(|del| !rows.iter().any(|put| (put.table, put.key) == *del)).collect();
        committed(&mut *store, &Changes { dels, events: vec![leaf(n)], ..puts(n, rows) })?;
    }
    let look = |store: &dyn Store| -> Result<_, String> {
        let stats = store.stats();
        let counts = (stats.generation, stats.rows, stats.digest, stats.live_bytes, stats.events);
        Ok((counts, table(store, 1, 4)?, table(store, 2, 4)?, all_events(store, 8)?.len()))
    };
    let before = look(&*store)?;
    for _ in 0..2 {
        store.compact().map_err(|error| format!("compaction failed: {error}"))?;
        let findings = store.scrub().map_err(|error| format!("scrub failed: {error}"))?;
        ensure!(findings.is_empty(), "a healthy store has findings: {findings:?}");
        ensure!(look(&*store)? == before, "compaction changed what can be read");
        store = bench.restart(store);
        ensure!(look(&*store)? == before, "a restart after compaction changed what can be read");
    }
    committed(&mut *store, &puts(30, vec![put(1, 1, vec![1])]))?;
    ensure!(got(&*store, 1, 1)? == Some(vec![1]), "the first commit after a compaction is not there");
    Ok(())
}

/// A small generator with a fixed seed: the same history every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

fn random_batch(dice: &mut Dice, generation: u64, events: u64) -> Changes {
    let mut changes = puts(generation, vec![]);
    let mut named = std::collections::BTreeSet::new();
    for _ in 0..dice.roll(6) {
        let (number, n) = (1 + dice.roll(3) as u8, dice.roll(40));
        if !named.insert((number, n)) {
            continue;
        }
        match dice.roll(8) {
            0 | 1 => changes.dels.push((number, key(n))),
            2 => changes.puts.push(put(number, n, filled(dice.roll(99), INLINE_MAX + 1 + dice.roll(999) as usize))),
            3 => changes.must_be_new.push((number, key(n))),
            _ => changes.puts.push(put(number, n, filled(dice.roll(99), dice.roll(2000) as usize))),
        }
    }
    changes.events = (events..events + dice.roll(4)).map(leaf).collect();
    changes.closes = (0..dice.roll(3).min(events)).map(|_| dice.roll(events + 1)).collect();
    changes
}

fn random_history(bench: &mut dyn Bench) -> Checked {
    for seed in 0..3 {
        let (mut store, mut model, mut dice) = (bench.fresh(), MemoryStore::new(), Dice(seed));
        for step in 0..150 {
            match dice.roll(20) {
                0 => store = bench.restart(store),
                1 => store.compact().map_err(|error| format!("seed {seed} step {step}: compaction failed: {error}"))?,
                _ => {
                    let changes = random_batch(&mut dice, model.generation(), model.event_count());
                    let (done, modelled) = (store.commit(&changes), model.commit(&changes));
                    let alike = match (&done, &modelled) {
                        (Ok(new), Ok(expected)) => new == expected,
                        (Err(CommitError::Conflict { .. }), Err(CommitError::Conflict { .. }))
                        | (Err(CommitError::NoSuchEvent(_)), Err(CommitError::NoSuchEvent(_))) => true,
                        _ => false,
                    };
                    ensure!(alike, "seed {seed} step {step}: {done:?} where the model says {modelled:?}");
                }
            }
            let (stats, expected) = (store.stats(), model.stats());
            ensure!(stats.digest == expected.digest, "seed {seed} step {step}: the rows are not the model's");
            ensure!(stats.live_bytes == expected.live_bytes, "seed {seed} step {step}: live bytes differ");
        }
        for number in 1..=3 {
            ensure!(table(&*store, number, 9)? == table(&model, number, 9)?, "seed {seed}: table {number} differs");
        }
        ensure!(all_events(&*store, 9)? == all_events(&model, 9)?, "seed {seed}: events differ");
    }
    Ok(())
}
