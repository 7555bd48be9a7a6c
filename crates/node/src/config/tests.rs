//! Files an operator might write, and what they are told.

use super::*;

const FILE: &str = "/etc/clearhouse/node.toml";
const LEAST: &str = "network = 'T'\ndata = 'd'\nkey_file = 'k'\ndevice_secret = 's'\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new(FILE))
}

/// The error of the least configuration with `line` added as its fifth.
fn with(line: &str) -> ConfigError {
    parse(&format!("{LEAST}{line}\n")).unwrap_err()
}

#[test]
fn the_sample_is_a_configuration_and_shows_every_key_with_its_default() {
    let sample = Config::sample();
    let config = parse(sample).unwrap();
    // Taking the '#' off the lines that show a default must change nothing.
    let uncommented: Vec<_> = sample
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[')
                    || rest.split_once(" = ").is_some_and(|(key, _)| all_keys().contains(&key)) =>
            {
                rest
            }
            _ => line,
        })
        .filter(|line| !line.starts_with("passphrase_file") && !line.starts_with("credential_file"))
        .collect();
    assert_eq!(parse(&uncommented.join("\n")).unwrap(), config);
    for key in all_keys() {
        assert!(sample.contains(&format!("{key} = ")) || sample.contains(&format!("[{key}]")), "{key}");
    }
    assert_eq!(config.limits, Limits::HARD);
    assert_eq!((config.unattended, config.log_level), (Unattended::No, LogLevel::Info));
}

fn all_keys() -> Vec<&'static str> {
    KEYS.iter().chain(LIMIT_KEYS).copied().collect()
}

#[test]
fn relative_paths_count_from_the_folder_of_the_file() {
    let config = parse(&format!("{LEAST}credential_file = '/run/c'\n")).unwrap();
    assert_eq!(config.data, Path::new("/etc/clearhouse/d"));
    assert_eq!(config.control_socket, Path::new("/etc/clearhouse/d/control.sock"));
    assert_eq!(config.unattended, Unattended::Credential("/run/c".into()));
}

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_what_was_probably_meant() {
    for (typed, meant) in [
        ("lisen = '127.0.0.1:1'", "listen"),
        ("Log-Level = 'info'", "log_level"),
        ("idle_lock = 900", "idle_lock_secs"),
        ("keep_contents_open = true", "keep_content_open"),
        ("[limit]", "limits"),
        ("[limits]\nconnection = 5", "connections"),
    ] {
        let error = with(typed);
        assert_eq!(error.fault, Fault::UnknownKey { meant: Some(meant) }, "{typed}");
        assert_eq!(error.line, Some(if typed.contains("connection") { 6 } else { 5 }));
        assert!(error.to_string().contains(&format!("Did you mean '{meant}'?")));
    }
    let strange = with("\"a\\u001b[31m\" = 1");
    assert_eq!(strange.fault, Fault::UnknownKey { meant: None });
    assert!(!strange.to_string().contains('\u{1b}'));
    assert!(with(&format!("{} = 1", "x".repeat(5000))).to_string().len() < 300);
}

#[test]
fn the_first_mistake_in_the_file_is_the_one_told() {
    let error = with("zebra = 1\nant = 1");
    assert_eq!((error.line, error.key.as_deref()), (Some(5), Some("zebra")));
}

#[test]
fn a_missing_key_is_named() {
    for key in REQUIRED {
        let rest: String = LEAST.lines().filter(|l| !l.starts_with(key)).map(|l| format!("{l}\n")).collect();
        assert_eq!(parse(&rest).unwrap_err().fault, Fault::Missing(key));
    }
    assert_eq!(parse("").unwrap_err().fault, Fault::Missing("network"));
}

#[test]
fn a_wrong_value_is_told_with_key_and_line() {
    for line in [
        "listen = 'everywhere'",
        "listen = 7443",
        "idle_lock_secs = '15 min'",
        "idle_lock_secs = -1",
        "idle_lock_secs = 100000000000000000000",
        "idle_lock_secs = 59",
        "idle_lock_secs = 1.5",
        "reflection = 'yes'",
        "log_level = 'verbose'",
        "endpoint = 'https://node.example.org'",
        "endpoint = 'node.example.org'",
        "endpoint = 'node.example.org:0'",
        "endpoint = ':7443'",
        "endpoint = 'a b:7443'",
        "passphrase_file = ''",
    ] {
        let error = with(line);
        let key = line.split(' ').next().unwrap();
        assert_eq!((error.line, error.key.as_deref()), (Some(5), Some(key)), "{line}: {error}");
    }
    assert!(with("log_level = 'verbose'").to_string().contains("trace"), "says what there is");
    assert!(parse(&format!("{LEAST}endpoint = '[2001:db8::1]:7443'\n")).is_ok());
}

#[test]
fn an_office_without_a_port_says_so_and_names_who_keeps_its_mailbox() {
    let relay = "7d0c4e5f60718293a4b5c6d7e8f90112";
    let other = "8d0c4e5f60718293a4b5c6d7e8f90112";
    let config = parse(&format!("{LEAST}listen = 'none'\nrelays = ['{relay}', '{other}']\n")).unwrap();
    assert_eq!((config.listen, config.endpoint, config.relays.len(), config.keeps), (None, None, 2, None));
    assert_eq!(with("listen = 'none'").fault, Fault::NoWayIn);
    let without_port = format!("listen = 'none'\nrelays = ['{relay}']\n");
    assert_eq!(with(&format!("{without_port}endpoint = 'a.example.org:1'")).fault, Fault::NoPort);
    assert_eq!(with(&format!("{without_port}relay = true")).fault, Fault::NoPort);
    for wrong in ["'7d'", &format!("'{relay}', '{relay}'"), &format!("'{relay}', '{other}', '{}'", "9".repeat(32))] {
        assert_eq!(with(&format!("relays = [{wrong}]")).fault, Fault::Relays, "{wrong}");
    }
    assert_eq!(parse(&format!("{LEAST}relay = true\nrelay_gib = 2\n")).unwrap().keeps, Some(2 << 30));
    assert_eq!(with("relay_gib = 65").fault, Fault::OutOfRange { min: 1, max: 64 });
}

#[test]
fn duplicate_keys_and_broken_toml_are_told_with_their_line() {
    for line in ["data = 'again'", "reflection = ", "reflection", "[limits", "'''"] {
        let error = with(line);
        assert!(matches!(error.fault, Fault::Syntax(_)), "{line}: {error}");
        assert!(error.line.is_some_and(|l| l >= 5), "{line}: {error}");
    }
}

#[test]
fn a_byte_order_mark_and_the_line_ends_of_another_system_change_nothing() {
    let plain = parse(LEAST).unwrap();
    assert_eq!(parse(&format!("\u{feff}{}", LEAST.replace('\n', "\r\n"))).unwrap(), plain);
    let error = parse(&format!("\u{feff}{}wrong = 1\r\n", LEAST.replace('\n', "\r\n"))).unwrap_err();
    assert_eq!(error.line, Some(5));
}

#[test]
fn a_limit_may_be_lowered_and_never_raised_above_its_cap() {
    for key in LIMIT_KEYS {
        let low = parse(&format!("{LEAST}[limits]\n{key} = 1\n")).unwrap();
        assert_ne!(low.limits, Limits::HARD, "{key}");
        for wrong in ["0", "100000"] {
            let error = with(&format!("[limits]\n{key} = {wrong}"));
            assert!(matches!(error.fault, Fault::OutOfRange { min: 1, .. }), "{key} = {wrong}: {error}");
            assert_eq!((error.line, error.key.as_deref()), (Some(6), Some(*key)));
        }
    }
    let exactly = format!("{LEAST}[limits]\nconnections = {}\n", Limits::HARD.connections);
    assert_eq!(parse(&exactly).unwrap().limits, Limits::HARD);
}

#[test]
fn two_ways_to_open_the_keys_exclude_each_other() {
    assert_eq!(with("passphrase_file = 'a'\ncredential_file = 'b'").fault, Fault::TwoSecrets);
}

#[test]
fn a_socket_path_that_does_not_fit_is_refused_also_when_it_is_the_default() {
    let long = "x".repeat(SOCKET_PATH_MAX);
    assert_eq!(with(&format!("control_socket = '/{long}'")).fault, Fault::SocketPath);
    let error = parse(&LEAST.replace("'d'", &format!("'/{long}'"))).unwrap_err();
    assert_eq!((error.fault, error.key.as_deref()), (Fault::SocketPath, Some("control_socket")));
}

#[test]
fn trace_is_refused_where_it_would_tell_on_people_unless_it_is_meant() {
    let trace = parse(&format!("{LEAST}log_level = 'trace'\n")).unwrap();
    assert_eq!(trace.check_for(NetworkKind::Live), Err(Fault::TraceOnLive));
    assert_eq!(trace.check_for(NetworkKind::Unspecified), Err(Fault::TraceOnLive));
    assert_eq!(trace.check_for(NetworkKind::Training), Ok(()));
    let meant = parse(&format!("{LEAST}log_level = 'trace'\nallow_trace_on_live = true\n")).unwrap();
    assert_eq!(meant.check_for(NetworkKind::Live), Ok(()));
    assert_eq!(parse(LEAST).unwrap().check_for(NetworkKind::Live), Ok(()));
}

#[test]
fn a_file_that_is_missing_or_no_configuration_is_told_as_such() {
    let missing = Config::read(Path::new("/no/such/node.toml")).unwrap_err();
    assert_eq!(missing.fault, Fault::Unreadable(std::io::ErrorKind::NotFound));
    let path = std::env::temp_dir().join(format!("clearhouse-config-{}", std::process::id()));
    std::fs::write(&path, vec![b'#'; FILE_MAX as usize + 1]).unwrap();
    assert_eq!(Config::read(&path).unwrap_err().fault, Fault::TooLong);
    std::fs::write(&path, [0xff, 0xfe, b'd', 0]).unwrap();
    assert_eq!(Config::read(&path).unwrap_err().fault, Fault::Unreadable(std::io::ErrorKind::InvalidData));
    std::fs::remove_file(path).unwrap();
}
