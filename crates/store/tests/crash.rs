//! Crash images: what is on disk after a stop at any moment, opened again. Acknowledged is there, all of it.
#![allow(clippy::unwrap_used)]

mod history;

use std::fs;
use std::path::{Path, PathBuf};

use clearhouse_store::{DurableStore, Finding, MemoryStore, Store, Weight};
use history::{Dice, commit, copy_dir, files, folder, same};

/// A store of some commits in one segment, with the length of the segment and the model after each.
struct Film {
    root: tempfile::TempDir,
    segment: PathBuf,
    takes: Vec<(u64, MemoryStore)>,
}

impl Film {
    fn new(seed: u64, commits: u64, compact_first: bool) -> Self {
        let root = folder();
        let dir = root.path().join("store");
        let (mut dice, mut model) = (Dice(seed), MemoryStore::new());
        let (mut store, _) = DurableStore::open(&dir).unwrap();
        if compact_first {
            commit(&mut store, &mut model, &mut dice, 10);
            store.compact().unwrap();
        }
        let is_segment = |file: &PathBuf| file.to_str().unwrap().starts_with("journal-");
        let segment = files(&dir).into_iter().find(is_segment).unwrap();
        let length = || fs::metadata(dir.join(&segment)).unwrap().len();
        let mut takes = vec![(length(), model.clone())];
        for take in 0..commits {
            commit(&mut store, &mut model, &mut dice, 1);
            takes.push((length(), model.clone()));
            // What a crash at this moment would leave of everything that is not the journal.
            copy_dir(&dir, &root.path().join(format!("take-{}", take + 1)));
        }
        drop(store);
        Self { segment, takes, root }
    }

    /// The folder as a crash after `take` commits, with `more` bytes of the next one written, would leave it. Bodies of
    /// later commits may be there already; the index may be as it was then, or be missing.
    fn image(&self, take: usize, more: u64, index: bool) -> PathBuf {
        let image = self.root.path().join("image");
        let _ = fs::remove_dir_all(&image);
        copy_dir(&self.root.path().join("store"), &image);
        let whole = fs::read(image.join(&self.segment)).unwrap();
        fs::write(image.join(&self.segment), &whole[..(self.takes[take].0 + more) as usize]).unwrap();
        for entry in fs::read_dir(&image).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("index-") {
                fs::remove_dir_all(&path).unwrap();
                if index {
                    let then = self.root.path().join(format!("take-{take}"));
                    copy_dir(&then.join(path.file_name().unwrap()), &path);
                }
            }
        }
        self.add_bodies(&image, take);
        image
    }

    /// Bodies that were live then and were removed since.
    fn add_bodies(&self, image: &Path, take: usize) {
        let then = self.root.path().join(format!("take-{take}")).join("bodies");
        if then.is_dir() {
            copy_dir(&then, &image.join("bodies"));
        }
    }
}

#[test]
fn a_stop_at_any_record_boundary_or_within_leaves_every_acknowledged_commit() {
    for (seed, compact_first) in [(1, false), (2, true)] {
        let film = Film::new(seed, 12, compact_first);
        let mut dice = Dice(seed);
        for take in 1..film.takes.len() {
            let (end, model) = &film.takes[take];
            let next = film.takes.get(take + 1).map_or(0, |(next, _)| next - end);
            let mut mores = vec![0];
            if next > 0 {
                mores.extend([1, 63, 64, next - 33, next - 1, 1 + dice.roll(next - 1)]);
            }
            for more in mores {
                let index = dice.roll(2) == 0;
                let image = film.image(take, more, index);
                let (mut store, findings) = DurableStore::open(&image).unwrap();
                let what = format!("take {take}, {more} bytes more, index {index}: {findings:?}");
                assert!(same(&store, model), "{what}");
                assert!(findings.iter().all(|finding| finding.weight() < Weight::Loss), "{what}");
                let cut = findings.iter().any(|finding| matches!(finding, Finding::TailCut { .. }));
                assert_eq!(cut, more > 0, "{what}");
                assert_eq!(store.scrub().unwrap(), [], "{what}");
                let mut model = model.clone();
                commit(&mut store, &mut model, &mut dice, 2);
                drop(store);
                let (store, findings) = DurableStore::open(&image).unwrap();
                assert!(same(&store, &model), "{what}, and two commits more: {findings:?}");
            }
        }
    }
}

#[test]
fn blocks_of_the_last_commit_may_be_lost_in_any_pattern() {
    let film = Film::new(3, 8, true);
    let mut dice = Dice(3);
    for round in 0..60 {
        let take = 1 + dice.roll(film.takes.len() as u64 - 2) as usize;
        let (synced, model) = &film.takes[take];
        let next = film.takes[take + 1].0;
        let image = film.image(take, next - synced, dice.roll(2) == 0);
        let path = image.join(&film.segment);
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.clone();
        for block in synced / 4096..=(next - 1) / 4096 {
            if dice.roll(2) == 0 {
                let from = (block * 4096).max(*synced) as usize;
                bytes[from..((block + 1) * 4096).min(next) as usize].fill(0);
            }
        }
        if bytes == whole {
            continue;
        }
        fs::write(&path, bytes).unwrap();
        let (store, findings) = DurableStore::open(&image).unwrap();
        assert!(same(&store, model), "round {round}: {findings:?}");
    }
}

#[test]
fn an_index_of_any_earlier_moment_catches_up() {
    let film = Film::new(4, 10, true);
    let (_, model) = film.takes.last().unwrap();
    for take in 1..film.takes.len() {
        let image = film.image(film.takes.len() - 1, 0, false);
        let then = film.root.path().join(format!("take-{take}"));
        for entry in fs::read_dir(&then).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("index-") {
                copy_dir(&path, &image.join(path.file_name().unwrap()));
            }
        }
        let (store, findings) = DurableStore::open(&image).unwrap();
        assert!(same(&store, model), "index of take {take}: {findings:?}");
    }
}

#[test]
fn opening_again_and_again_changes_nothing() {
    let film = Film::new(5, 6, true);
    let dir = film.root.path().join("store");
    let (_, model) = film.takes.last().unwrap();
    let digest = |file: &PathBuf| (file.clone(), fs::read(dir.join(file)).unwrap());
    let truth = || -> Vec<_> {
        let derived = |file: &PathBuf| file.to_str().unwrap().starts_with("index-");
        files(&dir).iter().filter(|file| !derived(file)).map(digest).collect()
    };
    let before = truth();
    for _ in 0..3 {
        let (store, findings) = DurableStore::open(&dir).unwrap();
        assert_eq!(findings, []);
        assert!(same(&store, model));
    }
    assert!(truth() == before);
}
