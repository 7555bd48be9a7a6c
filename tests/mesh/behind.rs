//! The program people run, behind a small library that is loaded before the C library: to be killed at a call of its own,
//! or to live at another time. Needs a C compiler; without one the test is skipped by name, and fails under `CI=true`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a script in `folder` that runs the program behind `source`, a file of `faults/`. The variable `name` tells the
/// library of a file called `control` in the folder of the node that runs.
pub(super) fn behind(folder: &Path, source: &str, name: &str, control: &str) -> Option<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/faults").join(source);
    let library = folder.join(source).with_extension("so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(from).status();
    if !made.is_ok_and(|status| status.success()) {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no C compiler");
        println!("skipped: there is no C compiler, and tests/faults/{source} needs one");
        return None;
    }
    let (script, real) = (folder.join(source).with_extension("sh"), env!("CARGO_BIN_EXE_clearhouse"));
    // As the region starts it: serve --node FOLDER.
    let library = library.display();
    let text = format!("#!/bin/sh\n{name}=\"$3/{control}\" LD_PRELOAD='{library}' exec '{real}' \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    Some(script)
}
