//! What a caseworker is refused at her own desk: a receiver nobody knows, one that cannot be reached, a consent that is
//! missing, over, withdrawn or for something else, a form that does not fit. Rows 31 to 34 of reliability section 5 as
//! far as they apply, and the consents.
//!
//! Refuses an error that repeats what she typed.

use std::os::unix::fs::PermissionsExt as _;

use clearhouse_casework::forms::show_day;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::limits::DAY;
use serde_json::Value;

use super::{Office, notice_form, runtime, silent, world};

/// Elena's desk: her node runs and she is signed in.
async fn desk(mut office: Office) -> Office {
    office.start().await.unwrap_or_else(|told| panic!("{}", told.all));
    office.sign_in("elena");
    office
}

fn at_desk(test: impl AsyncFnOnce(&Office)) {
    runtime().block_on(async {
        let office = desk(Office::of(&world().sender)).await;
        test(&office).await;
        office.shows_the_case("elena");
    });
}

/// A consent as a form, with the lines that differ.
fn consent(purpose: &str, lines: &str) -> String {
    format!("purpose = \"{purpose}\"\ngiven_by = \"Person\"\nform = \"OralWitnessed\"\nlanguage = \"ron\"\n{lines}")
}

fn new_case(office: &Office) -> String {
    let opened = office.run(&["case", "open", "--to", "Casa Nova", "--as", "elena"]).done();
    opened["case"].as_str().unwrap().to_owned()
}

fn send(office: &Office, case: &str) -> super::Told {
    let form = notice_form(SystemClock.now()).to_string();
    office.run_with(&["notice", "send", case, "--as", "elena", "--from"], &form)
}

fn messages(office: &Office, case: &str) -> usize {
    let shown = office.run(&["case", "show", case, "--as", "elena"]).done();
    shown["messages"].as_array().unwrap().len()
}

#[test]
fn a_receiver_or_case_nobody_knows_is_not_found_and_the_list_is_named() {
    at_desk(async |office| {
        let told = office.run(&["case", "open", "--to", "Casa Nuova", "--as", "elena"]);
        told.refused(4, "CH-N0102", &["No organisation of that name"]);
        assert_eq!(told.next, "clearhouse directory list");
        let told = office.run(&["case", "show", "T-0000-0000", "--as", "elena"]);
        told.refused(4, "CH-N0101", &["There is no such case"]);
    });
}

#[test]
fn a_receiver_that_cannot_be_reached_keeps_the_notice_waiting_and_gets_it_when_it_is_back() {
    runtime().block_on(async {
        let office = desk(Office::at_its_address(&world().sender)).await;
        let case = new_case(&office);
        office.run_with(&["consent", "record", &case, "--as", "elena", "--from"], &consent("ShareNotice", "")).done();
        send(&office, &case).done();
        let began = std::time::Instant::now();
        let row = loop {
            let outbox = office.run(&["outbox", "--as", "elena"]);
            outbox.silent();
            let outbox = outbox.done();
            let row = outbox["messages"].as_array().unwrap().iter().find(|m| m["case"] == case.as_str()).cloned();
            let row = row.unwrap();
            if row["attempts"].as_u64().unwrap() > 0 {
                break row;
            }
            assert!(began.elapsed() < super::WAIT_MAX, "it is not tried");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!(row["state"], "waiting to leave");
        assert!(row["why"].as_str().unwrap().contains("cannot be reached; it is tried again by itself"), "{row}");
        // Its computer is switched on again, at the address it had.
        let mut theirs = Office::at_its_address(&world().receiver);
        theirs.start().await.unwrap_or_else(|told| panic!("{}", told.all));
        office.run(&["outbox", "retry", "--as", "elena"]).done();
        office.until(&case, |shown| !shown["facts"]["received"].is_null()).await;
        office.shows_the_case("elena");
        theirs.sign_in("ana");
        theirs.run(&["case", "show", &case, "--as", "ana"]).done();
        theirs.shows_the_case("ana");
    });
}

#[test]
fn a_notice_without_consent_or_with_one_that_is_over_withdrawn_or_for_another_purpose_does_not_leave() {
    at_desk(async |office| {
        let case = new_case(office);
        let record = |lines: &str| office.run_with(&["consent", "record", &case, "--as", "elena", "--from"], lines);
        let words = ["Nothing was sent or changed", "'ShareNotice'", "Casa Nova"];
        send(office, &case).refused(5, "CH-C0301", &words);
        record(&consent("PrepareReturn", "")).done();
        send(office, &case).refused(5, "CH-C0301", &words);
        let today = show_day(SystemClock.now() / DAY);
        let before = "given_at = \"2026-01-01T10:15Z\"\n";
        let over = record(&consent("ShareNotice", &format!("{before}expires = \"{today}\"\n")));
        if over.exit == 0 {
            send(office, &case).refused(5, "CH-C0302", &words);
        } else {
            over.refused(5, "CH-C0302", &["Nothing was sent or changed", "has run out"]);
        }
        record(&consent("ShareNotice", "")).done();
        office.run(&["consent", "withdraw", &case, "ShareNotice", "--yes", "--as", "elena"]).done();
        let told = send(office, &case);
        assert!(["CH-C0201", "CH-C0303"].contains(&told.code.as_str()), "{}", told.all);
        told.refused(5, &told.code, &["Nothing was sent or changed"]);
        assert_eq!(messages(office, &case), 0, "a notice left without consent");
    });
}

#[test]
fn a_consent_dated_three_days_ahead_is_refused_with_a_word_about_the_clock() {
    at_desk(async |office| {
        let case = new_case(office);
        let ahead = clearhouse_casework::forms::show_time(SystemClock.now() + 3 * DAY);
        let form = consent("ShareNotice", &format!("given_at = \"{ahead}\"\n"));
        let told = office.run_with(&["consent", "record", &case, "--as", "elena", "--from"], &form);
        told.refused(5, "CH-C0307", &["dated in the future", "Check the clock"]);
        send(office, &case).refused(5, "CH-C0301", &["There is no consent"]);
    });
}

#[test]
fn a_form_with_a_slip_in_it_is_told_by_line_and_key_and_what_was_typed_is_not_repeated() {
    at_desk(async |office| {
        let case = new_case(office);
        let forms = [
            ("language_ = \"Zarnixa\"\n", "`language_`"),
            ("interpreter_used = \"Zarnixa tamarisk\"\n", "line 5"),
            ("expires = \"Жарникса\"\n", "`expires`"),
            ("purpose = \"Жарникса\"\n", "duplicate key"),
            ("= Zarnixa\n", "line 5"),
        ];
        for (lines, word) in forms {
            let form = consent("ShareNotice", lines);
            let told = office.run_with(&["consent", "record", &case, "--as", "elena", "--from"], &form);
            assert!(["CH-U0904", "CH-U0105"].contains(&told.code.as_str()), "{}", told.all);
            told.refused(2, &told.code, &[word]);
        }
        let mut notice = notice_form(SystemClock.now());
        notice["age_band"] = "Zarnixa".into();
        let told = office.run_with(&["notice", "send", &case, "--as", "elena", "--from"], &Value::to_string(&notice));
        assert!(told.code.starts_with("CH-C05") || told.code == "CH-C0301", "{}", told.all);
        told.refused(5, &told.code, &["Nothing was sent or changed"]);
        let told = office.run(&["notice", "send", &case, "--as", "elena", "--from", "/nowhere/notice.toml"]);
        told.refused(4, "CH-N0901", &["/nowhere/notice.toml"]);
        assert_eq!(messages(office, &case), 0);
    });
}

#[test]
fn a_form_longer_than_any_is_refused_without_being_read_whole() {
    at_desk(async |office| {
        let case = new_case(office);
        let long = "# Zarnixa\n".repeat(1 << 20);
        let told = office.run_with(&["consent", "record", &case, "--as", "elena", "--from"], &long);
        told.refused(2, "CH-U0904", &["is longer than", "right file"]);
    });
}

#[test]
fn a_file_of_records_that_is_cut_or_is_something_else_changes_nothing() {
    at_desk(async |office| {
        let whole = office.run(&["directory", "export", "--out", office.path("we.record").to_str().unwrap()]);
        whole.done();
        let records = std::fs::read(office.path("we.record")).unwrap();
        for bytes in [&records[..records.len() / 2], b"PK\x03\x04 Zarnixa", b""] {
            office.put("cut.record", bytes);
            let told =
                office.run(&["directory", "import", office.path("cut.record").to_str().unwrap(), "--as", "elena"]);
            told.refused(2, "CH-U0907", &["cut.record"]);
        }
        // A record that was altered is refused by number; a whole one is known already.
        let mut altered = records.clone();
        let at = altered.len() / 3;
        altered[at] ^= 1;
        office.put("cut.record", &altered);
        let told = office.run(&["directory", "import", office.path("cut.record").to_str().unwrap(), "--as", "elena"]);
        told.silent();
        assert!(told.exit == 2 || told.out["refused"].as_array().is_some_and(|r| !r.is_empty()), "{}", told.all);
        // An output that exists is never overwritten.
        let told = office.run(&["directory", "export", "--out", office.path("we.record").to_str().unwrap()]);
        assert_ne!(told.exit, 0);
        assert_eq!(std::fs::read(office.path("we.record")).unwrap(), records);
    });
}

#[test]
fn a_pass_phrase_file_that_others_may_read_is_refused_with_the_command_that_helps() {
    at_desk(async |office| {
        let path = office.path("shared-phrase");
        office.put("shared-phrase", b"tamarisk tamarisk tamarisk");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = office.run(&["user", "sign-in", "elena", "--passphrase-file", path.to_str().unwrap()]);
        told.refused(7, "CH-K0902", &["others on this machine may read", "chmod 600"]);
        // A pass phrase as an argument or in the environment is not offered at all.
        let told = office.run(&["user", "sign-in", "elena", "--passphrase", "secret words"]);
        assert_eq!(told.exit, 2, "{}", told.all);
        silent(&office.log());
    });
}

#[test]
fn a_locked_office_shows_nothing_and_says_how_to_open_it() {
    runtime().block_on(async {
        let office = desk(Office::of(&world().sender)).await;
        office.run(&["lock", "--as", "elena"]).done();
        let told = office.run(&["case", "show", &world().case, "--as", "elena"]);
        told.refused(7, "CH-K0102", &["Cases are locked", "clearhouse unlock"]);
        let told = office.run_with(&["unlock", "--as", "elena", "--passphrase-file"], "tamarisk tamarisk tamarisk");
        told.refused(7, &told.code, &["pass phrase"]);
        let right = super::demo_passphrase("elena");
        office.run_with(&["unlock", "--as", "elena", "--passphrase-file"], &right).done();
        office.shows_the_case("elena");
    });
}
