//! The corridor: each room imports only rooms to its left and only the libraries it may know; the pure rooms touch no
//! clock, file, socket or global chance. Reads `cargo metadata` and the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const CORRIDOR: [&str; 7] = [
    "clearhouse-wire",
    "clearhouse-protocol",
    "clearhouse-casework",
    "clearhouse-store",
    "clearhouse-node",
    "clearhouse-desk",
    "clearhouse",
];

/// What a room must never name, though cargo would let it.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("clearhouse-wire", &["tokio", "tonic", "rustls", "sled", "serde"]),
    ("clearhouse-protocol", &["tokio", "tonic", "rustls", "sled", "axum", "calamine", "getrandom", "rand", "tracing"]),
    ("clearhouse-casework", &["tokio", "tonic", "rustls", "sled", "axum", "getrandom", "rand", "tracing", "hpke"]),
    ("clearhouse-store", &["tonic", "axum", "tokio", "rustls", "hpke", "ed25519-dalek", "calamine"]),
    ("clearhouse-node", &["ed25519-dalek", "chacha20poly1305", "hpke", "sled", "argon2", "calamine", "axum"]),
    ("clearhouse-desk", &["tonic", "sled", "rustls", "ed25519-dalek", "chacha20poly1305", "hpke", "argon2"]),
    ("clearhouse", &["ed25519-dalek", "chacha20poly1305", "hpke", "sled", "tonic", "argon2", "rustls"]),
];

/// What the sources of the pure rooms must not contain.
const IMPURE: [&str; 8] =
    ["std::fs", "std::net", "std::thread", "SystemTime", "Instant::now", "getrandom", "std::env", "std::process"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter().filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn imports_point_left_and_no_room_knows_what_it_must_not() {
    let packages = packages();
    assert_eq!(packages.len(), CORRIDOR.len(), "a room was added or lost: say so here and in crates/README.md");
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let place = CORRIDOR.iter().position(|c| *c == name).unwrap_or_else(|| panic!("{name} is no room"));
        let dependencies = dependencies(package);
        for dependency in &dependencies {
            if let Some(other) = CORRIDOR.iter().position(|c| c == dependency) {
                assert!(other < place, "{name} imports {dependency}, which lies to its right");
            }
        }
        let forbidden = FORBIDDEN.iter().find(|(n, _)| *n == name).unwrap().1;
        for library in forbidden {
            assert!(!dependencies.contains(*library), "{name} must not know {library}");
        }
    }
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file without its comments and without its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().take_while(|l| !l.starts_with("#[cfg(test)]"));
    lines.filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_rooms_that_decide_touch_nothing_of_the_world() {
    let mut seen = 0;
    for room in ["protocol", "casework"] {
        let mut files = Vec::new();
        sources(&root().join("crates").join(room).join("src"), &mut files);
        for file in files {
            let name = file.to_string_lossy().into_owned();
            if name.contains("/tests")
                || name.ends_with("vectors.rs")
                || name.contains("/vectors/")
                || name.contains("testing")
            {
                continue;
            }
            seen += 1;
            let code = code(&file);
            for word in IMPURE {
                assert!(!code.contains(word), "{name} names {word}");
            }
        }
    }
    assert!(seen > 30, "only {seen} files were looked at");
}

#[test]
fn no_room_contains_unsafe_code_and_every_file_says_what_it_is_for() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    for file in files {
        let name = file.to_string_lossy().into_owned();
        if name.contains("/gen/") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!code(&file).contains("unsafe {"), "{name} contains unsafe code");
        let test_file = name.ends_with("tests.rs") || name.contains("/tests/");
        assert!(text.starts_with("//!") || test_file, "{name} does not say what it is for");
    }
}

#[test]
fn the_top_level_is_the_customers() {
    let out = Command::new("git").args(["ls-files"]).current_dir(root()).output();
    let Ok(out) = out else { return println!("skipped: the_top_level_is_the_customers (no git)") };
    let files = String::from_utf8(out.stdout).unwrap();
    let allowed = ["Cargo.toml", "Cargo.lock", "proto", "crates", "deploy", "tests", "README.md"];
    for file in files.lines() {
        let top = file.split('/').next().unwrap();
        let fine = allowed.contains(&top) || top.starts_with('.') || top.starts_with("LICENSE");
        assert!(fine, "{file} lies outside the fixed top level");
    }
}

/// Features that open a room to tests. `cli` asks for them where its tests are built and nowhere else.
const FOR_TESTS: [&str; 2] = ["probe", "fixture"];

#[test]
fn no_program_is_built_with_what_is_there_for_tests() {
    for package in packages() {
        let name = &package["name"];
        let dependencies = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        let asked: Vec<&Value> = dependencies.flat_map(|d| d["features"].as_array().unwrap()).collect();
        assert!(!asked.iter().any(|f| FOR_TESTS.contains(&f.as_str().unwrap())), "{name} asks for {asked:?}");
        for (feature, brings) in package["features"].as_object().unwrap() {
            let brings: Vec<&str> = brings.as_array().unwrap().iter().map(|b| b.as_str().unwrap()).collect();
            let opens = |b: &&str| FOR_TESTS.iter().any(|f| b == f || b.ends_with(&format!("/{f}")));
            let is_for_tests = FOR_TESTS.contains(&feature.as_str());
            assert!(is_for_tests || !brings.iter().any(opens), "feature {feature} of {name} brings {brings:?}");
        }
    }
}
