//! Starts that are cut: the real program is killed ahead of every change on its disk while it starts on a folder that
//! needs mending, and again at the same place of the next start. Wherever that was, the start after them serves with
//! everything that was there. And a start on a hundred thousand envelopes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::setup::files;
use clearhouse_protocol::directory::Directory;
use clearhouse_store::{DurableStore, Store as _};

use super::behind::behind;
use super::canaries::ask;
use super::load::{Sent, burst, holds, judge};
use super::notice::directory;
use super::region::Region;

/// Where the number of the deadly call stands, in a node's folder.
const KILL_AT: &str = "kill-at";
/// Only every so manieth call kills; 1 for all.
const EVERY: &str = "CLEARHOUSE_START_KILL_EVERY";
/// Without it.
const EVERY_USUALLY: usize = 5;
/// How long a start may take to be killed or to be up.
const LATE: Duration = Duration::from_secs(60);
const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";

/// A receiver that stopped, and what its folder may look like after a crash.
struct Scene {
    region: Region,
    known: Directory,
    sent: Sent,
    images: Vec<(&'static str, PathBuf)>,
}

/// Copies a folder over another; the other keeps what the first lacks.
fn over(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    assert!(Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap().success());
}

fn lay(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    over(from, to);
}

/// The one entry of a store whose name starts so, the last of them.
fn entry(folder: &Path, start: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder.join(files::STORE)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(start)).max().unwrap()
}

impl Scene {
    async fn set(program: &Path) -> Self {
        let mut region = Region::found_with(program, CONFIG, false, SystemClock.now()).unwrap();
        let (records, known, sent) = (region.records.clone(), directory(&region), Sent::default());
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let at = |name: &str| region.folder.join(name);
        burst(&known, &region.destination, &region.origin, &sent).await;
        region.origin.kill();
        lay(&region.origin.folder, &at("earlier"));
        region.origin.start().await.unwrap();
        burst(&known, &region.destination, &region.origin, &sent).await;
        region.origin.sign_in("ana").await.unwrap();
        judge(&region.origin, &sent).await.unwrap();
        region.origin.kill();
        let whole = at("whole");
        lay(&region.origin.folder, &whole);
        // The last record is one that the power cut short, and the index has not heard of half of what is before it.
        let torn = at("torn");
        lay(&whole, &torn);
        let journal = entry(&torn, "journal-");
        let mut bytes = std::fs::read(&journal).unwrap();
        let piece = bytes[200..600].to_vec();
        bytes.extend(piece);
        std::fs::write(journal, bytes).unwrap();
        let index = entry(&torn, "index-");
        lay(&entry(&at("earlier"), "index-"), &index);
        // No index at all.
        let bare = at("bare");
        lay(&whole, &bare);
        std::fs::remove_dir_all(entry(&bare, "index-")).unwrap();
        // A compaction that wrote everything anew, and had no time to take the old away; and half of the next one.
        let (half, new) = (at("half"), at("new"));
        lay(&whole, &new);
        DurableStore::open(&new.join(files::STORE)).unwrap().0.compact().unwrap();
        lay(&whole, &half);
        over(&new, &half);
        std::fs::write(half.join(files::STORE).join("snapshot-00000000000000099999.snap.tmp"), [7; 5000]).unwrap();
        let images = vec![("torn tail, stale index", torn), ("no index", bare), ("half a compaction", half)];
        Self { region, known, sent, images }
    }

    /// Starts with a kill ahead of call `n`; whether it killed, and at what.
    async fn killed_at(&mut self, n: usize) -> (bool, String) {
        let control = self.region.origin.folder.join(KILL_AT);
        std::fs::write(&control, format!("{n} all\n")).unwrap();
        let began = Instant::now();
        let dead = self.region.origin.start().await.is_err();
        assert!(began.elapsed() < LATE, "it neither starts nor dies");
        let ended = self.region.origin.ended();
        assert!(!dead || ended == Some(-1), "it was to be killed, and ended with {ended:?}");
        self.region.origin.kill();
        let calls = std::fs::read_to_string(&control).unwrap();
        std::fs::remove_file(control).unwrap();
        (dead, calls.lines().skip(1).last().unwrap_or_default().to_owned())
    }

    /// The start that nothing kills, and everything that must be there.
    async fn whole(&mut self, what: &str) {
        let receiver = &mut self.region.origin;
        receiver.start().await.unwrap_or_else(|f| panic!("{what}: {f:?}"));
        receiver.sign_in("ana").await.unwrap();
        judge(receiver, &self.sent).await.unwrap_or_else(|why| panic!("{what}: {why}"));
        holds(&self.known, &self.region.destination, receiver, &self.sent).await.unwrap();
        let doctor = ask(receiver, Call::Scrub).await.to_string();
        assert!(!doctor.contains("damaged or missing") && !doctor.contains("cannot be read"), "{what}: {doctor}");
        receiver.kill();
    }
}

#[test]
fn a_start_killed_ahead_of_every_change_twice_over_is_begun_again_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = behind(folder.path(), "killat.c", "CLEARHOUSE_KILL_AT", KILL_AT) else { return };
    let every = std::env::var(EVERY).ok().and_then(|n| n.parse().ok()).unwrap_or(EVERY_USUALLY);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut scene = Scene::set(&program).await;
        let mut kills = 0;
        for (name, image) in scene.images.clone() {
            let (mut met, mut here) = (BTreeSet::new(), 0);
            for n in (1..).step_by(every) {
                lay(&image, &scene.region.origin.folder);
                let (dead, at) = scene.killed_at(n).await;
                if !dead {
                    break;
                }
                here += 1 + u32::from(scene.killed_at(n).await.0);
                met.insert(at.split(['-', '.']).next().unwrap_or_default().to_owned());
                scene.whole(&format!("{name}, killed at call {n} of its start, {at}")).await;
            }
            println!("{name}: {here} kills, ahead of {met:?}");
            assert!(here > 2, "{name}: the start had nothing to mend");
            kills += here;
        }
        println!("{kills} kills of starts, 0 lost, 0 doubled");
    });
}
