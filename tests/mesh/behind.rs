//! The program people run, behind a small library that is loaded before the C library: to be killed at a call of its own,
//! or to live at another time. Needs a C compiler; without one the test is skipped by name, and fails under `CI=true`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a script in `folder` that runs the program behind `source`, a file of `faults/`. The variable `name` tells the
/// library of a file called `control` in the folder of the node that runs.
pub(super) fn behind(folder: &Path, source: &str, name: &str, control: &str) -> Option<PathBuf> {
    behind_all(folder, &[source], name, control)
}

/// [`behind`] several; the first meets a call first.
pub(super) fn behind_all(folder: &Path, sources: &[&str], name: &str, control: &str) -> Option<PathBuf> {
    let libraries: Option<Vec<String>> = sources.iter().map(|source| made(folder, source)).collect();
    let libraries = libraries?.join(" ");
    let (script, real) = (folder.join(sources.concat()).with_extension("sh"), env!("CARGO_BIN_EXE_clearhouse"));
    // As the region starts it: serve --node FOLDER.
    let text = format!("#!/bin/sh\n{name}=\"$3/{control}\" LD_PRELOAD='{libraries}' exec '{real}' \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    Some(script)
}

/// Compiles one of them.
fn made(folder: &Path, source: &str) -> Option<String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/faults").join(source);
    let library = folder.join(source).with_extension("so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(from).status();
    if !made.is_ok_and(|status| status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no C compiler");
        println!("skipped: there is no C compiler, and tests/faults/{source} needs one");
        return None;
    }
    Some(library.display().to_string())
}
