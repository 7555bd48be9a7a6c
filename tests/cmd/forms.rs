//! Forms as the command line gives and takes them.

use std::ffi::OsStr;
use std::fs;

use super::{Desk, clearhouse, with_input};

const FORMS: [(&str, &[&str]); 7] = [
    ("consent", &["consent", "record"]),
    ("notice", &["notice", "send"]),
    ("acknowledge", &["notice", "acknowledge"]),
    ("answer", &["notice", "answer"]),
    ("profile", &["profile", "send"]),
    ("departure", &["arrival", "depart"]),
    ("arrival", &["arrival", "confirm"]),
];

#[test]
fn every_sample_form_is_explained_and_taken_by_its_command() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17030");
    for (form, command) in FORMS {
        let sample = clearhouse(["config", "default", "--form", form]).exits(0).out;
        assert!(sample.lines().filter(|l| l.starts_with('#')).count() >= 3, "{form} is explained");
        assert!(sample.lines().all(|l| l.chars().count() <= 80), "{form}");
        let args = command.iter().copied().chain(["T-AAAA", "--from", "-", "--node"]).map(OsStr::new);
        // The form is read before anybody is asked who acts: it fits, and then nobody is signed in.
        let ran = with_input(args.chain([node.as_os_str()]), &sample).exits(7);
        assert!(ran.err.contains("Nobody is signed in"), "{form}: {}", ran.err);
    }
}

#[test]
fn a_form_that_does_not_fit_is_told_by_line_and_key_without_its_values() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17031");
    let send = |text: &str| {
        let args = ["arrival", "confirm", "T-AAAA", "--from", "-", "--node"].map(OsStr::new);
        with_input(args.into_iter().chain([node.as_os_str()]), text).exits(2).err
    };
    assert!(send("result = 'ArrivedMet'\nresult2 = 'Ileana'\n").contains("line 2"));
    for text in ["result = ['Ileana']", "Ileana", "{\"result\": [\"Ileana\"]}", "result = 'x'\nat = 5 'Ileana'"] {
        assert!(!send(text).contains("Ileana"), "{text}");
    }
    assert!(send("").contains("is empty"));
    assert!(send("\u{0}\u{1}").contains("code: CH-U0904"));
    assert!(send(&"#".repeat(600 << 10)).contains("longer than"));
    let missing = desk.path("none.toml");
    let args = ["arrival", "confirm", "T-AAAA", "--node"].map(OsStr::new);
    let args = args.into_iter().chain([node.as_os_str(), "--from".as_ref(), missing.as_os_str()]);
    clearhouse(args).exits(4);
    fs::write(&missing, [0xff, 0xfe]).unwrap();
    let args = ["arrival", "confirm", "T-AAAA", "--node"].map(OsStr::new);
    clearhouse(args.into_iter().chain([node.as_os_str(), "--from".as_ref(), missing.as_os_str()])).exits(2);
}
