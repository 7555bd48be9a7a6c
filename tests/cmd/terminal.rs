//! At a real terminal: pass phrases are not echoed, Ctrl-C at a question ends with 130, nothing is done without the
//! word. `script` of util-linux gives the terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Desk, pause, wait};

/// The program at a terminal of its own, or nothing, said aloud, where `script` is missing outside of CI.
fn at_a_terminal(args: &str) -> Option<Child> {
    let line = format!("'{}' {args}", env!("CARGO_BIN_EXE_clearhouse"));
    let mut command = Command::new("script");
    command.args(["-qfec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Some(child),
        Err(_) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "script (util-linux) is missing");
            eprintln!("skipped: script (util-linux) is missing");
            None
        }
    }
}

/// Types after each question and says what stood on the screen.
fn converse(mut child: Child, answers: &[(&str, &str)]) -> (Option<i32>, String) {
    let (mut typed, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut from = 0;
    for (question, answer) in answers {
        while !String::from_utf8_lossy(&seen[from..]).contains(question) {
            let mut byte = [0];
            if screen.read(&mut byte).unwrap() == 0 {
                panic!("no '{question}' in: {}", String::from_utf8_lossy(&seen));
            }
            seen.push(byte[0]);
        }
        from = seen.len();
        // The question is written a moment before the echo is off.
        pause(Duration::from_millis(300));
        typed.write_all(answer.as_bytes()).unwrap();
    }
    // What `script` types at the end of its input must not come before the answer was read.
    pause(Duration::from_millis(500));
    drop(typed);
    screen.read_to_end(&mut seen).unwrap();
    (wait(&mut child, Duration::from_secs(20)), String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn a_pass_phrase_is_not_echoed_and_ctrl_c_at_the_question_ends_with_130() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17050");
    let sign_in = format!("user sign-in ana --node '{}'", node.display());
    let Some(child) = at_a_terminal(&sign_in) else { return };
    let (code, screen) = converse(child, &[("Pass phrase of ana: ", "never to be seen\r")]);
    assert_eq!(code, Some(6), "{screen}");
    assert!(!screen.contains("never to be seen"), "{screen}");
    let Some(child) = at_a_terminal(&sign_in) else { return };
    let (code, screen) = converse(child, &[("Pass phrase of ana: ", "\u{3}")]);
    assert_eq!(code, Some(130), "{screen}");
}

#[test]
fn what_cannot_be_undone_asks_for_a_word_and_a_new_pass_phrase_is_typed_twice() {
    let desk = Desk::new();
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17051");
    let node = node.display();
    for (command, word) in [("case stay T-AAAA", "stays"), ("consent withdraw T-AAAA ShareNotice", "withdraw")] {
        let Some(child) = at_a_terminal(&format!("{command} --node '{node}'")) else { return };
        let (code, screen) = converse(child, &[("to go on: ", "yes\r")]);
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains(word) && screen.contains("Nothing was done"), "{screen}");
        let Some(child) = at_a_terminal(&format!("{command} --node '{node}'")) else { return };
        let (code, screen) = converse(child, &[("to go on: ", &format!("{word}\r"))]);
        assert_eq!(code, Some(7), "then somebody must be signed in: {screen}");
    }
    let Some(child) = at_a_terminal(&format!("user accept ana --node '{node}'")) else { return };
    let answers =
        [("invitation: ", "AAAA\r"), ("New pass phrase of ana: ", "one two three four\r"), ("again: ", "other\r")];
    let (code, screen) = converse(child, &answers);
    assert_eq!(code, Some(7), "{screen}");
    assert!(screen.contains("differ"), "{screen}");
}
