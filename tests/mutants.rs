//! `mutants.md` and `.cargo/mutants.toml` name files and functions of the rooms that decide; this holds that they are there,
//! so that no reason outlives the code it was given for. Mutants are not tried here: that takes hours.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A row of the list: the files it is about, from the top level, and the functions it names.
struct Row {
    files: Vec<String>,
    functions: Vec<String>,
    kind: String,
    why: String,
}

/// The rows that name a file. A cell keeps a `|` of its own behind a backslash.
fn rows(text: &str) -> Vec<Row> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let line = line.replace("\\|", "\u{0}");
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [files, change, kind, why] = cells[..] else { panic!("four cells: {line}") };
        Row { files: files_of(files), functions: functions_of(change), kind: kind.into(), why: why.into() }
    })
    .collect()
}

/// `store/keyfile/keys.rs, secret.rs`: the first with its room, others in the same folder.
fn files_of(cell: &str) -> Vec<String> {
    let mut named = cell.trim_matches('`').split(", ");
    let (room, first) = named.next().and_then(|path| path.split_once('/')).unwrap();
    let first = format!("crates/{room}/src/{first}");
    let folder = first.rsplit_once('/').unwrap().0.to_owned();
    std::iter::once(first).chain(named.map(|file| format!("{folder}/{file}"))).collect()
}

/// The functions before the colon that are named plainly; `Drop of X` and the like are not looked for.
fn functions_of(cell: &str) -> Vec<String> {
    let cell = cell.split(": ").next().unwrap().split(" -&gt; ").next().unwrap();
    let names = cell.split(", ").map(|name| name.rsplit("::").next().unwrap());
    names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).map(str::to_owned).collect()
}

/// The paths in quotes of the tool's settings.
fn left_out(text: &str) -> Vec<String> {
    let quoted = text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once('"'));
    quoted.map(|(path, _)| path.to_owned()).collect()
}

/// What of these rows and settings is not there.
fn astray(rows: &[Row], left_out: &[String]) -> Vec<String> {
    let read = |file: &String| std::fs::read_to_string(root().join(file)).ok();
    let mut astray: Vec<String> = left_out.iter().filter(|file| read(file).is_none()).cloned().collect();
    for row in rows {
        let texts: Vec<String> = row.files.iter().filter_map(read).collect();
        astray.extend(row.files.iter().filter(|file| read(file).is_none()).cloned());
        let is_there = |name: &String| {
            let (plain, generic) = (format!("fn {name}("), format!("fn {name}<"));
            texts.iter().any(|text| text.contains(&plain) || text.contains(&generic))
        };
        let lost = row.functions.iter().filter(|name| !is_there(name));
        astray.extend(lost.map(|name| format!("{name} in {}", row.files.join(", "))));
    }
    astray
}

#[test]
fn every_file_and_function_that_the_lists_of_mutants_name_is_there() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let (rows, left_out) = (rows(&read("tests/mutants.md")), left_out(&read(".cargo/mutants.toml")));
    assert!(rows.len() > 20 && left_out.len() > 4, "{} rows, {} left out", rows.len(), left_out.len());
    assert_eq!(astray(&rows, &left_out), Vec::<String>::new());
    for row in &rows {
        let files = row.files.join(", ");
        assert!(["*same*", "*cost*", "*elsewhere*", "*open*"].contains(&row.kind.as_str()), "{files}: {}", row.kind);
        assert!(!row.why.is_empty(), "{files}: without a reason");
    }
}

#[test]
fn a_name_that_is_not_there_is_found() {
    let of = |line: &str| astray(&rows(line), &[]);
    let row = |file: &str, change: &str| format!("| `{file}` | {change} | *same* | why |");
    assert_eq!(of(&row("protocol/words.rs", "unword: replace \\| with ^")), Vec::<String>::new());
    assert_eq!(of(&row("protocol/swords.rs", "Drop of X")), ["crates/protocol/src/swords.rs"]);
    assert_eq!(of(&row("protocol/words.rs, swords.rs", "unword: x")), ["crates/protocol/src/swords.rs"]);
    assert_eq!(of(&row("protocol/words.rs", "Words::unsword -&gt; x")), ["unsword in crates/protocol/src/words.rs"]);
    let settings = "exclude_globs = [\n    \"crates/protocol/src/sword.rs\", # why\n]\n";
    assert_eq!(astray(&[], &left_out(settings)), ["crates/protocol/src/sword.rs"]);
}
