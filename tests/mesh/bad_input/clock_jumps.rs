//! Clocks that jump under two offices while they work, and at a start: a month back, ten years ahead, 1970, 2106, standing
//! still, some minutes either way; and back again. Rows 51, 52 and 53 of reliability section 5.
//!
//! Nothing is lost, nothing is erased early, nothing comes back: what was there before is there after each jump, and what
//! was sent meanwhile was refused with a sentence, or arrives, or its sender is told and sends it again. Each jump meets
//! what the ones before it left behind. By libfaketime, which looks at a file of each node; skipped by name without it.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::control::ControlFailure;
use serde_json::Value;

use super::super::erasure::keys;
use super::clock::{Pair, has_faketime, library, sweep};
use super::{Office, WAIT_MAX, runtime, silent};

/// How many jumps; all of them when it is 30.
const RUNS: &str = "CLEARHOUSE_CLOCK_RUNS";
const RUNS_USUALLY: usize = 5;
/// What a node does by itself every second was done under the clock as it is now.
const TICKS: Duration = Duration::from_millis(1_500);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// As faketime reads them: beside the true time, from then on, or standing still.
const JUMPS: [&str; 10] = [
    "-30d",
    "+10y",
    "@1970-01-02 00:00:00",
    "@2106-02-07 06:28:00",
    "1970-01-02 00:00:00",
    "2026-10-31 23:59:59",
    "+9m",
    "-9m",
    "+11m",
    "-11m",
];
const RIGHT: &str = "+0";

/// Whose clock jumps, and whether the node is started under it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    Sender,
    Receiver,
    ReceiverAtItsStart,
}

fn set(office: &Office, time: &str) {
    let new = office.path("time.new");
    std::fs::write(&new, format!("{time}\n")).unwrap();
    std::fs::rename(new, office.path("time")).unwrap();
}

async fn start(office: &mut Office) {
    office.stop();
    sweep();
    let mut command = office.command(&["serve"]);
    command.env("LD_PRELOAD", library().unwrap()).env("FAKETIME_TIMESTAMP_FILE", office.path("time"));
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    office.start_by(command).await.unwrap_or_else(|told| panic!("it does not start: {}", told.all));
}

/// A case with a notice, or what was said against it. The case, when there is one by then.
async fn send(office: &Office, opened: Option<String>) -> (Option<String>, Result<(), ControlFailure>) {
    let case = match opened {
        Some(case) => case,
        None => match office.ask(Call::CaseOpen { to: "Casa Nova".into() }).await {
            Ok(opened) => opened["case"].as_str().unwrap().to_owned(),
            Err(refused) => return (None, Err(refused)),
        },
    };
    if let Err(refused) = office.consent(&case, "ShareNotice", None).await {
        return (Some(case), Err(refused));
    }
    let sent = office.notice(&case).await.map(drop);
    (Some(case), sent)
}

fn has_arrived(shown: &Value) -> bool {
    !shown["facts"]["received"].is_null()
}

/// What a person is told of the newest message of a case.
fn fate(shown: &Value) -> String {
    let last = shown["messages"].as_array().and_then(|all| all.last());
    last.and_then(|m| m["fate"].as_str()).unwrap_or_default().to_owned()
}

/// With both clocks right the message arrives; where its sender was told that it did not, it goes again. How often.
async fn arrives(office: &Office, case: &str, what: &str) -> usize {
    let (began, mut again) = (Instant::now(), 0);
    let mut told = String::new();
    loop {
        let shown = office.ask(Call::CaseShow { case: case.to_owned() }).await.unwrap_or_else(|f| panic!("{}", f.text));
        if has_arrived(&shown) {
            return again;
        }
        let said = fate(&shown);
        let ended = said.contains("could not be opened") || said.contains("expired") || said.contains("not delivered");
        if ended && told != said {
            told = said.clone();
            again += 1;
            send(office, Some(case.to_owned())).await.1.unwrap_or_else(|f| panic!("{what}: not again: {}", f.text));
        }
        assert!(began.elapsed() < WAIT_MAX, "{what}: it neither arrives nor ends: {said}, {shown}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Codes of the cases that an office shows.
async fn cases(office: &Office) -> Vec<String> {
    let listed = office.ask(Call::CaseList).await.unwrap_or_else(|f| panic!("{}", f.text));
    let mut codes: Vec<String> =
        listed["cases"].as_array().unwrap().iter().map(|c| c["case"].as_str().unwrap().to_owned()).collect();
    codes.sort();
    codes
}

/// The weeks whose prekeys an office has.
fn weeks_of(office: &Office) -> Vec<u64> {
    let keys = keys(&office.folder);
    keys.content().unwrap().prekeys().keys().copied().collect()
}

/// One jump there and back. What became of the message sent meanwhile, in a word.
async fn jump(pair: &mut Pair, time: &str, whose: Whose, there: &mut Vec<String>) -> &'static str {
    let what = format!("{time} at the {whose:?}");
    match whose {
        Whose::Sender => set(&pair.from, time),
        Whose::Receiver => set(&pair.to, time),
        Whose::ReceiverAtItsStart => {
            set(&pair.to, time);
            start(&mut pair.to).await;
        }
    }
    tokio::time::sleep(TICKS).await;
    if whose == Whose::Sender {
        pair.from.sign_in("elena");
    }
    let (case, sent) = send(&pair.from, None).await;
    if let Err(refused) = &sent {
        assert!(
            refused.code.starts_with("CH-") && refused.text.ends_with(['.', '?', '!', ')']),
            "{what}: {}",
            refused.text
        );
    }
    tokio::time::sleep(TICKS).await;
    for office in [&pair.from, &pair.to] {
        set(office, RIGHT);
        silent(&office.log());
    }
    tokio::time::sleep(TICKS).await;
    pair.from.sign_in("elena");
    pair.to.sign_in("ana");
    let (case, word) = match (case, sent) {
        (Some(case), Ok(())) => (case, "sent"),
        (case, Err(_)) => {
            let (case, sent) = send(&pair.from, case).await;
            sent.unwrap_or_else(|f| panic!("{what}: refused with a right clock: {} {}", f.code, f.text));
            (case.unwrap(), "refused")
        }
        (None, Ok(())) => unreachable!("a notice without a case"),
    };
    let again = arrives(&pair.from, &case, &what).await;
    there.push(case);
    there.sort();
    let (ours, theirs) = (cases(&pair.from).await, cases(&pair.to).await);
    assert!(there.iter().all(|code| ours.contains(code)), "{what}: a case is gone at its sender");
    assert_eq!(theirs, *there, "{what}: a case is gone at its receiver, or came twice");
    match (word, again) {
        ("sent", 0) => "arrived",
        ("sent", _) => "told, and arrived when sent again",
        _ => "refused, and arrived later",
    }
}

#[test]
fn clocks_that_jump_lose_nothing_erase_nothing_and_bring_nothing_back() {
    if !has_faketime() {
        return;
    }
    let runs = std::env::var(RUNS).ok().and_then(|n| n.parse().ok()).unwrap_or(RUNS_USUALLY);
    let all: Vec<(&str, Whose)> = [Whose::ReceiverAtItsStart, Whose::Receiver, Whose::Sender]
        .into_iter()
        .flat_map(|whose| JUMPS.map(|time| (time, whose)))
        .collect();
    runtime().block_on(async {
        let mut pair = Pair::make().await;
        for office in [&mut pair.from, &mut pair.to] {
            set(office, RIGHT);
            start(office).await;
        }
        pair.from.sign_in("elena");
        pair.to.sign_in("ana");
        let (first, sent) = send(&pair.from, None).await;
        sent.unwrap_or_else(|f| panic!("{}", f.text));
        let first = first.unwrap();
        arrives(&pair.from, &first, "before any jump").await;
        let mut there = vec![first];
        let weeks = weeks_of(&pair.to);
        let every = all.len().div_ceil(runs.clamp(1, all.len()));
        for (time, whose) in all.into_iter().skip(usize::from(every > 1)).step_by(every) {
            let what = jump(&mut pair, time, whose, &mut there).await;
            let left = weeks_of(&pair.to);
            assert!(weeks.iter().all(|week| left.contains(week)), "{time}: prekeys were erased by one clock");
            println!("{time} at the {whose:?}: {what}");
        }
        println!("{} cases, 0 lost, 0 doubled", there.len());
    });
}
