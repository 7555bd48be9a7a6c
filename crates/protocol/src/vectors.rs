//! Published vectors, read where they lie, against the calls the product makes; and our own golden files in
//! `tests/vectors`. Refuses to pass on a missing or thinned-out file: every test counts the cases it ran.
//!
//! Published files are looked for beside the workspace, in `../shared/vectors`. Where that folder is missing a test
//! prints its own name and is skipped, unless `CI=true`: then it fails.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod chunked;
mod envelopes;
mod kem;
mod signature;
mod specification;
mod symmetric;
mod tlog;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ids::{hex, unhex};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A published file, unchanged. `None` means: the folder is not here, the test is skipped. A folder without the file
/// is a failure.
fn published(file: &str) -> Option<Vec<u8>> {
    let folder = workspace().join("../shared/vectors");
    if !folder.exists() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!must_run, "{test} needs {}", folder.display());
        eprintln!("skipped: {test}: no {}", folder.display());
        return None;
    }
    Some(std::fs::read(folder.join(file)).unwrap_or_else(|fault| panic!("{file}: {fault}")))
}

fn published_json(file: &str) -> Option<Value> {
    published(file).map(|bytes| serde_json::from_slice(&bytes).expect("a published file is JSON"))
}

/// One case of a Wycheproof file with the group it stands in.
struct Case {
    group: Value,
    test: Value,
}

impl Case {
    /// The named bytes of the case.
    fn bytes(&self, name: &str) -> Vec<u8> {
        bytes(&self.test, name)
    }

    fn is(&self, result: &str) -> bool {
        self.test["result"] == result
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.test["flags"].as_array().is_some_and(|flags| flags.iter().any(|f| f == flag))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tcId {} ({})", self.test["tcId"], self.test["comment"])
    }
}

/// Every case of a Wycheproof file, which must hold exactly `count` of them.
fn wycheproof(file: &str, count: usize) -> Option<Vec<Case>> {
    let file = published_json(&format!("wycheproof/{file}"))?;
    let mut cases = Vec::new();
    for group in list(&file, "testGroups") {
        let tests = list(group, "tests").iter();
        cases.extend(tests.map(|test| Case { group: group.clone(), test: test.clone() }));
    }
    assert_eq!((cases.len(), &file["numberOfTests"]), (count, &Value::from(count)));
    Some(cases)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is a list"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is a text"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    unhex(text(value, name)).unwrap_or_else(|| panic!("{name} is hex"))
}

fn fixed<const N: usize>(value: &Value, name: &str) -> [u8; N] {
    bytes(value, name).try_into().unwrap_or_else(|_| panic!("{name} has {N} bytes"))
}

/// Blocks of `key = value` lines, parted by each line that names `COUNT`; comments and blank lines aside.
fn blocks(file: &[u8]) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    for line in std::str::from_utf8(file).expect("text").lines() {
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        if name.trim() == "COUNT" {
            blocks.push(Value::Object(serde_json::Map::new()));
        }
        let block = blocks.last_mut().expect("COUNT comes first");
        block[name.trim()] = value.trim().into();
    }
    blocks
}

/// One of our own files. With `CLEARHOUSE_REGENERATE=1` it is written anew from `made`; otherwise it must equal it.
fn golden(file: &str, made: &Value) {
    let path = workspace().join("tests/vectors").join(file);
    let made = format!("{made:#}\n");
    if std::env::var("CLEARHOUSE_REGENERATE").is_ok_and(|v| v == "1") {
        // Whole or not at all: another test may be reading it.
        let new = path.with_extension("new");
        std::fs::write(&new, made).expect("the file can be written");
        std::fs::rename(&new, &path).expect("the file can be put in place");
        return;
    }
    let held = std::fs::read_to_string(&path).expect("the golden file is there; CLEARHOUSE_REGENERATE=1 writes it");
    assert!(
        held == made,
        "{file} is not what this version makes. A changed wire format breaks every node that has not changed with it; \
         if that is meant, run again with CLEARHOUSE_REGENERATE=1 and say why in the commit."
    );
}

/// One of our own files, as it lies there.
fn held(file: &str) -> Value {
    let bytes = std::fs::read(workspace().join("tests/vectors").join(file)).expect("the golden file is there");
    serde_json::from_slice(&bytes).expect("the golden file is JSON")
}

/// Puts bytes together from a recipe: `[from, to]` is a slice of `good`, a text is hex.
fn assemble(recipe: &Value, good: &[u8]) -> Vec<u8> {
    let bound = |n: &Value| usize::try_from(n.as_u64().expect("a number")).expect("a small number");
    let part = |part: &Value| match part.as_str() {
        Some(literal) => unhex(literal).expect("hex"),
        None => good[bound(&part[0])..bound(&part[1])].to_vec(),
    };
    recipe.as_array().expect("a recipe is a list").iter().flat_map(part).collect()
}

/// A recipe that turns `good` into `bad`: where lengths agree, slices and the runs that differ; else what stands
/// before the first and after the last difference, and a literal between them.
fn recipe(good: &[u8], bad: &[u8]) -> Value {
    let parts = if good.len() == bad.len() { differing_runs(good, bad) } else { vec![changed_middle(good, bad)] };
    let mut recipe = Vec::new();
    let mut done = 0;
    for Change { from, to, bytes } in parts {
        recipe.push(serde_json::json!([done, from]));
        recipe.push(hex(&bytes).into());
        done = to;
    }
    recipe.push(serde_json::json!([done, good.len()]));
    recipe.retain(|part| part[0] != part[1] || part.as_str().is_some_and(|literal| !literal.is_empty()));
    let recipe = Value::Array(recipe);
    assert_eq!(assemble(&recipe, good), bad);
    recipe
}

/// `good[from..to]` became `bytes`.
struct Change {
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

fn changed_middle(good: &[u8], bad: &[u8]) -> Change {
    let shorter = good.len().min(bad.len());
    let before = (0..shorter).take_while(|i| good[*i] == bad[*i]).count();
    let behind = |i: usize| good[good.len() - 1 - i] == bad[bad.len() - 1 - i];
    let after = (0..shorter - before).take_while(|i| behind(*i)).count();
    Change { from: before, to: good.len() - after, bytes: bad[before..bad.len() - after].to_vec() }
}

fn differing_runs(good: &[u8], bad: &[u8]) -> Vec<Change> {
    // A slice costs as much text as some eight bytes do.
    const GAP: usize = 8;
    let mut runs: Vec<Change> = Vec::new();
    for at in (0..good.len()).filter(|i| good[*i] != bad[*i]) {
        match runs.last_mut() {
            Some(run) if at - run.to < GAP => run.to = at + 1,
            _ => runs.push(Change { from: at, to: at + 1, bytes: vec![] }),
        }
    }
    runs.iter_mut().for_each(|run| run.bytes = bad[run.from..run.to].to_vec());
    runs
}
