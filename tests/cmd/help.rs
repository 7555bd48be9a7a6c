//! Help of every command, and what happens to one that was typed wrong.

use super::clearhouse;

/// Every command there is, found by asking.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![vec![]];
    let mut at = 0;
    while at < found.len() {
        let path: Vec<String> = found[at].clone();
        let help = clearhouse(path.iter().map(String::as_str).chain(["--help"])).exits(0).out;
        let listed = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
        for line in listed {
            // Continuation lines are indented further.
            let name = line.strip_prefix("  ").filter(|l| !l.starts_with(' ')).and_then(|l| l.split(' ').next());
            found.extend(name.filter(|n| *n != "help").map(|n| [path.clone(), vec![n.to_owned()]].concat()));
        }
        at += 1;
    }
    found
}

#[test]
fn every_command_explains_itself_within_80_columns_and_with_an_example() {
    let all = commands();
    assert!(all.len() > 50, "found {} commands", all.len());
    for path in all {
        let name = path.join(" ");
        for flag in ["--help", "-h"] {
            let ran = clearhouse(path.iter().map(String::as_str).chain([flag])).exits(0);
            assert!(ran.err.is_empty(), "{name}: {}", ran.err);
            let long = ran.out.lines().find(|l| l.chars().count() > 80);
            assert!(long.is_none(), "{name} {flag}: {}", long.unwrap_or_default());
            let example = ran.out.split("Examples:\n").nth(1).unwrap_or_default();
            let shown = if path.len() == 1 && path[0] == "version" { "clearhouse version" } else { "clearhouse " };
            assert!(example.lines().any(|l| l.contains(shown)), "{name} {flag} has no example");
            assert!(!ran.out.contains('\u{1b}'), "{name} {flag}: colours in a pipe");
        }
    }
}

#[test]
fn the_examples_of_a_command_are_its_own() {
    for path in commands().into_iter().filter(|p| !p.is_empty() && p[0] != "demo") {
        let ran = clearhouse(path.iter().map(String::as_str).chain(["--help"]));
        let example = ran.out.split("Examples:\n").nth(1).unwrap_or_default();
        let own = format!("clearhouse {}", path.join(" "));
        assert!(example.contains(&own), "{own}: {example}");
    }
}

#[test]
fn a_bad_flag_is_a_mistake_of_usage_in_every_command() {
    for path in commands() {
        let ran = clearhouse(path.iter().map(String::as_str).chain(["--no-such-flag"]));
        assert_eq!(ran.code, Some(2), "{}: {}", path.join(" "), ran.err);
        assert!(ran.out.is_empty() && ran.err.contains("--no-such-flag"), "{}", path.join(" "));
    }
}

#[test]
fn a_typo_is_answered_with_what_was_probably_meant() {
    for (typed, meant) in [
        (vec!["sttus"], "status"),
        (vec!["directry", "list"], "directory"),
        (vec!["case", "shwo"], "show"),
        (vec!["status", "--jsn"], "--json"),
        (vec!["config", "default", "--form", "notce"], "notice"),
    ] {
        let ran = clearhouse(&typed).exits(2);
        assert!(ran.err.contains("similar") && ran.err.contains(meant), "{typed:?}: {}", ran.err);
    }
}

#[test]
fn commands_are_not_abbreviated() {
    clearhouse(["stat"]).exits(2);
    clearhouse(["version", "--js"]).exits(2);
    clearhouse(["case"]).exits(2);
}

#[test]
fn secrets_are_not_taken_as_arguments() {
    for path in commands() {
        let help = clearhouse(path.iter().map(String::as_str).chain(["--help"])).out;
        for secret in ["--passphrase <", "--password", "--code <", "--key <HEX", "--token"] {
            assert!(!help.contains(secret), "{}: {secret}", path.join(" "));
        }
    }
}

#[test]
fn completions_and_version_need_no_node() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(clearhouse(["completions", shell]).exits(0).out.contains("directory"), "{shell}");
    }
    assert_eq!(clearhouse(["version", "--json"]).exits(0).json()["schema"], "ch.version/1");
    assert!(clearhouse(["version"]).exits(0).out.starts_with("clearhouse "));
}
