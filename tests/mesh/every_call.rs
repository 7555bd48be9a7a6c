//! Kills the real program ahead of every change on its disk while twenty messages come: journal, bodies, index, log,
//! heads. The sender, who cannot know what was taken, then finishes; each message has exactly one effect.
//!
//! A kill takes nothing back that was written, so what the next start finds differs only from one change to the next, and
//! not from one sync to the next: those are for power cuts. The calls are found by `faults/killat.c`. The calibration is a
//! node that answers before its journal has anything (`faults/early.c`), which must be seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::directory::Directory;

use super::behind::behind_all;
use super::canaries::ask;
use super::hosts::judge::taken;
use super::load::{Sent, again, holds, judge, wave};
use super::notice::{directory, line, sealed_long_notice, sealed_notice};
use super::region::{Member, Region};

/// Only every so manieth call kills; 1 for all.
const EVERY: &str = "CLEARHOUSE_KILL_EVERY";
/// Without it.
const EVERY_USUALLY: usize = 9;
const MESSAGES: usize = 20;
const AT_ONCE: usize = 4;
/// Where the number of the deadly call stands, in a node's folder.
const KILL_AT: &str = "kill-at";
/// A run that nothing killed has changed everything it wants to change so long after the last message was opened.
const OVER: Duration = Duration::from_secs(2);
/// On a busy machine.
const LATE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";
/// Calls tried with the planted bug: each deposit ends with one, and the bug must be seen at most of them.
const PLANTED: std::ops::Range<usize> = 2..6;

/// A receiver with somebody in its office, stopped; the sender's node never runs, its letters are made here.
struct Scene {
    region: Region,
    known: Directory,
    kept: PathBuf,
}

impl Scene {
    async fn set(program: &Path) -> Self {
        let mut region = Region::found_with(program, CONFIG, false, SystemClock.now()).unwrap();
        let (records, known) = (region.records.clone(), directory(&region));
        let receiver = &mut region.origin;
        receiver.start().await.unwrap();
        receiver.learn(&records).await.unwrap();
        receiver.employ("ana", "Ana P.", "Manager").await.unwrap();
        receiver.kill();
        let kept = receiver.folder.with_extension("kept");
        copy(&receiver.folder, &kept);
        Self { region, known, kept }
    }

    /// As many new letters as the script has.
    fn letters(&self) -> Sent {
        let sent = Sent::default();
        for n in 0..MESSAGES {
            let make = if n % 5 == 4 { sealed_long_notice } else { sealed_notice };
            let (code, letter) = make(&self.known, &self.region.destination, &self.region.origin);
            sent.add(code, letter);
        }
        sent
    }

    /// The script, with a kill ahead of call `n`: whether one killed, and what the calls were.
    async fn killed_at(&mut self, n: usize, locked: bool, sent: &Sent) -> (bool, Vec<String>) {
        self.region.origin.kill();
        copy(&self.kept, &self.region.origin.folder);
        self.region.origin.start().await.unwrap();
        self.region.origin.sign_in("ana").await.unwrap();
        if locked {
            ask(&self.region.origin, Call::Lock).await;
        }
        let control = self.region.origin.folder.join(KILL_AT);
        // While cases are locked nobody reads what came: then only the store's own changes matter.
        let which = if locked { "" } else { " all" };
        std::fs::write(&control, format!("{n}{which}\n")).unwrap();
        let (sender, receiver) = (&self.region.destination, &self.region.origin);
        if let Ok(client) = line(&self.known, sender, receiver).await {
            for letters in sent.letters().chunks(AT_ONCE) {
                if !wave(&client, letters.to_vec(), sent).await {
                    break;
                }
            }
        }
        let (began, mut opened) = (Instant::now(), None);
        let dead = loop {
            if is_dead(receiver) {
                break true;
            }
            let inbox = receiver.ask(Call::Inbox).await;
            if locked || inbox.is_ok_and(|inbox| inbox["sealed"] == 0) {
                opened.get_or_insert_with(Instant::now);
            }
            if opened.is_some_and(|at| at.elapsed() > OVER) {
                break false;
            }
            assert!(began.elapsed() < LATE, "it neither dies nor ends");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let calls = std::fs::read_to_string(&control).unwrap().lines().skip(1).map(str::to_owned).collect();
        self.region.origin.kill();
        std::fs::remove_file(control).unwrap();
        (dead, calls)
    }

    /// The next start, and the rest of the script. What is wrong afterwards, if anything.
    async fn finished(&mut self, sent: &Sent) -> Result<(), String> {
        self.region.origin.start().await.map_err(|f| format!("no start: {f:?}"))?;
        let (sender, receiver) = (&self.region.destination, &mut self.region.origin);
        holds(&self.known, sender, receiver, sent).await?;
        again(&self.known, sender, receiver, sent).await;
        receiver.sign_in("ana").await.map_err(|f| format!("{} {}", f.code, f.text))?;
        let cases = judge(receiver, sent).await?;
        let logged = taken(receiver).await;
        let once: BTreeSet<&String> = logged.iter().collect();
        let doctor = ask(receiver, Call::Doctor).await.to_string();
        receiver.kill();
        if cases != MESSAGES || logged.len() != MESSAGES || once.len() != MESSAGES {
            return Err(format!("{cases} cases, {} entries of the log for {} messages", logged.len(), once.len()));
        }
        if doctor.contains("damaged") { Err(doctor) } else { Ok(()) }
    }
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn is_dead(member: &Member) -> bool {
    let stat = member.pid().and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stat.is_none_or(|stat| stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')))
}

fn run<F: Future<Output = ()>>(sources: &[&str], what: impl FnOnce(PathBuf) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = behind_all(folder.path(), sources, "CLEARHOUSE_KILL_AT", KILL_AT) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what(program));
}

#[test]
fn twenty_messages_killed_ahead_of_every_change_on_the_disk_have_one_effect_each() {
    let every = std::env::var(EVERY).ok().and_then(|n| n.parse().ok()).unwrap_or(EVERY_USUALLY);
    run(&["killat.c"], |program| async move {
        let mut scene = Scene::set(&program).await;
        let (mut kills, mut acknowledged, mut met) = (0, 0, BTreeSet::new());
        for n in (1..).step_by(every) {
            let sent = scene.letters();
            let (dead, calls) = scene.killed_at(n, false, &sent).await;
            acknowledged += sent.acknowledged().len();
            let at = calls.last().cloned().unwrap_or_default();
            scene.finished(&sent).await.unwrap_or_else(|what| panic!("killed at call {n}, {at}: {what}"));
            if !dead {
                println!(
                    "{kills} kills in {} calls: {acknowledged} acknowledged before, 0 lost, 0 doubled",
                    calls.len()
                );
                break;
            }
            met.insert(at.split(['-', '.']).next().unwrap_or_default().to_owned());
            kills += 1;
        }
        println!("killed ahead of: {met:?}");
        assert!(kills * every > MESSAGES && acknowledged > 0, "the kills met no load");
        assert!(met.contains("write journal"), "{met:?}");
    });
}

#[test]
fn a_node_that_answers_before_its_journal_is_written_is_seen_by_kills() {
    run(&["killat.c", "early.c"], |program| async move {
        let mut scene = Scene::set(&program).await;
        let (mut seen, mut tried) = (0, 0);
        for n in PLANTED {
            let sent = scene.letters();
            let (dead, _) = scene.killed_at(n, true, &sent).await;
            if !dead {
                break;
            }
            tried += 1;
            if let Err(what) = scene.finished(&sent).await {
                println!("  answered early, call {n}: {what}");
                seen += 1;
            }
        }
        println!("answered early: seen at {seen} of {tried} calls");
        assert!(seen * 2 >= tried && tried > 0, "the planted bug was not seen: nothing here is proven");
    });
}
