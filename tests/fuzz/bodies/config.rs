//! A node's configuration, as an administrator wrote it.
//!
//! Promises: what is wrong is told with a line of the file and a key, in a sentence that repeats no more than a key; what is
//! right is read the same again.

use std::path::Path;

use clearhouse_node::config::Config;
use clearhouse_wire::v1::NetworkKind;

use super::Seed;

/// Longest sentence about a file, whatever stands in it.
const SENTENCE_MAX: usize = 2000;

/// Gives it bytes.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("/etc/clearhouse/node.toml");
    match Config::parse(text, file) {
        Ok(config) => {
            let _ = (config.check_for(NetworkKind::Live), config.check_for(NetworkKind::Training));
            let commented = format!("# read again\n{text}");
            assert!(Config::parse(&commented, file).is_ok(), "a comment makes a configuration wrong");
        }
        Err(wrong) => {
            assert!(wrong.line.is_none_or(|line| (1..=text.lines().count() + 1).contains(&line)), "no such line");
            assert!(wrong.to_string().len() < SENTENCE_MAX, "a sentence repeats the file");
        }
    }
}

/// Small sound inputs, and some that are broken.
pub fn seeds() -> Vec<Seed> {
    let sample = Config::sample();
    let bare: String = sample.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let all: String = sample
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let limits = format!("{bare}[limits]\nconnections = 7\n");
    [
        ("bare", bare.clone()),
        ("all", all),
        ("limits", limits),
        ("missing", bare.lines().skip(1).map(|line| format!("{line}\n")).collect()),
        ("unknown", format!("{bare}lisen = \"x\"\n")),
        ("type", format!("{bare}relay = 7\n")),
        ("cut", bare[..bare.len() / 2].to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text.into_bytes()))
    .into()
}
