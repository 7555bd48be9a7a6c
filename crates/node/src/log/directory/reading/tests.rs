//! A log that is longer than one look reads: it is read in so many looks, and no look is kept busy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use clearhouse_casework::office::publishing::waiting::News;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_store::MemoryStore;

use super::*;
use crate::clock::Clock;

struct At;

impl Clock for At {
    fn now(&self) -> u64 {
        NOW
    }
}

/// Entries of one page here.
const ENTRIES: usize = 3;

/// A keeper that shows its log page by page.
struct Keeper {
    region: Mutex<Region>,
    entries: Vec<Vec<u8>>,
    asked: AtomicUsize,
}

impl Keeper {
    /// With so many entries, no record among them: what is in a log is not its keeper's to judge.
    fn of(count: u8) -> Self {
        Self::showing((0..count).map(|n| vec![n; 1000]).collect())
    }

    fn showing(entries: Vec<Vec<u8>>) -> Self {
        Self { region: Mutex::new(Region::with_logs(3, 4)), entries, asked: AtomicUsize::new(0) }
    }

    fn node(&self) -> NodeId {
        self.region.lock().unwrap().members[0].node
    }

    fn page_len(&self) -> usize {
        self.page_from(0).encoded_len()
    }

    fn page_from(&self, first: usize) -> wire::DirectoryLogReply {
        let until = (first + ENTRIES).min(self.entries.len());
        self.region.lock().unwrap().log_page(0, &self.entries, (first, until), (&[1, 2], NOW))
    }
}

impl Pages for Keeper {
    async fn page(&self, asked: wire::DirectoryLogRequest) -> Result<wire::DirectoryLogReply, PeerError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let first = usize::try_from(asked.first).unwrap();
        let whole = first == self.entries.len();
        Ok(if whole { wire::DirectoryLogReply::default() } else { self.page_from(first) })
    }
}

/// A member's node that follows it.
fn follower(keeper: &Keeper) -> Owner<MemoryStore> {
    let region = keeper.region.lock().unwrap();
    let mut directory = Directory::found(&region.genesis, None).unwrap();
    // All but the last member, whose records come in the log.
    for record in region.records.iter().take(1 + 3 * 3) {
        let checked = directory.check(record, NOW).unwrap().unwrap();
        directory.insert(checked);
    }
    crate::fixture::owner(&region, 2, directory, Arc::new(At))
}

/// One look with so much room: what it came to, and how many pages were asked for.
async fn look(owner: &Owner<MemoryStore>, keeper: &Keeper, room: usize) -> (Read, usize) {
    let before = keeper.asked.load(Ordering::Relaxed);
    let read = read(owner, keeper.node(), keeper.node(), keeper, room).await.unwrap();
    (read, keeper.asked.load(Ordering::Relaxed) - before)
}

fn held(owner: &Owner<MemoryStore>, keeper: &Keeper) -> u64 {
    owner.signals.directory.borrow().followed(keeper.node())
}

#[tokio::test]
async fn a_long_log_is_read_in_so_many_looks_each_of_which_gets_on() {
    let keeper = Keeper::of(12);
    let owner = follower(&keeper);
    assert_eq!(look(&owner, &keeper, keeper.page_len() * 3 / 2).await, (Read::Part, 2));
    assert_eq!(held(&owner, &keeper), 6);
    // However little room there is, one page is read.
    assert_eq!(look(&owner, &keeper, 0).await, (Read::Part, 1));
    assert_eq!(held(&owner, &keeper), 9);
    assert_eq!(look(&owner, &keeper, usize::MAX).await, (Read::Whole, 2));
    assert_eq!(held(&owner, &keeper), 12);
    assert_eq!(look(&owner, &keeper, 0).await, (Read::Whole, 1), "and nothing more");
}

#[tokio::test]
async fn what_a_look_reads_has_an_end_in_bytes() {
    let keeper = Keeper::of(30);
    let owner = follower(&keeper);
    let room = keeper.page_len() * 7 / 2;
    assert_eq!(look(&owner, &keeper, room).await, (Read::Part, 4), "the page with which it is reached is taken");
}

#[tokio::test]
async fn a_certificate_pages_before_its_organisation_is_taken_and_never_asked_for_again() {
    let region = Region::with_logs(3, 4);
    let newcomer = &region.members[3];
    let [org, cert] = [10, 11].map(|n: usize| region.records[n].encode_to_vec());
    // Of three pages: the certificate in the first, the record in the last.
    let between = (0..5u8).map(|n| vec![n; 1000]);
    let keeper = Keeper::showing(std::iter::once(cert).chain(between).chain([org]).collect());
    let owner = follower(&keeper);
    assert_eq!(look(&owner, &keeper, 0).await, (Read::Part, 1));
    let certified = || owner.signals.directory.borrow().cert(newcomer.node).is_some();
    assert!(!certified());
    assert_eq!(look(&owner, &keeper, usize::MAX).await, (Read::Whole, 3));
    assert!(certified());
    let waiting = owner.look(|world| world.office.waiting_for(&News::of_everybody()).len()).await.unwrap();
    assert_eq!(waiting, 0);
}
