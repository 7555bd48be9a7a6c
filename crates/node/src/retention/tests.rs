//! What a coordinator's node deletes of what others showed it, what it keeps, and that it does so by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::hearing::page_key;
use clearhouse_casework::office::{Me, Office};
use clearhouse_protocol::audit::{self, AuditEvent, Happening};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{DAY, OPENINGS_KEPT_MAX_SECS, OPENINGS_KEPT_SECS};
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_store::MemoryStore;
use clearhouse_store::keyfile::{ContentKeys, ServiceKeys};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_wire::v1::MessageType;
use prost::Message as _;

use super::*;
use crate::alarms::{self, Watch};
use crate::clock::{Clock, chance};
use crate::owner::World;

/// A clock that stands.
struct At(u64);

impl Clock for At {
    fn now(&self) -> u64 {
        self.0
    }
}

/// One that others vouch for only up to an earlier time.
struct Unsure(u64, u64);

impl Clock for Unsure {
    fn now(&self) -> u64 {
        self.0
    }

    fn sure(&self) -> u64 {
        self.1
    }
}

/// What one entry of the member's log says, and when.
type Entry = (u64, Happening);

fn quiet(at: u64) -> Entry {
    (at, Happening::of(AuditEvent::LocalAct))
}

/// The row of a page with these entries, as the member's node showed them under a witnessed head; the first is entry
/// `first` of its log. `leaves` are those before, and then also its own.
fn page(region: &Region, origin: &str, leaves: &mut Vec<Hash>, entries: &[Entry]) -> Row {
    let first = leaves.len() as u64;
    let kept = entries.iter().zip(first..).map(|((at, happening), index)| {
        let row = audit::record(happening, region.net, origin, index, *at, &mut chance());
        leaves.push(leaf_hash(&row.commitment));
        let (commitment, salt) = (row.commitment.to_vec().into(), row.salt.to_vec().into());
        Kept { commitment, salt, opening: row.opening.into(), ..Kept::default() }
    });
    let entries = kept.collect();
    let root = merkle::root(leaves).to_vec();
    let page = Page { entries, size: leaves.len() as u64, root, seen: vec![NOW] };
    let (key, value) = (page_key(origin, first), Some(page.encode_to_vec()));
    Row { table: Table::Account, key, value, under: Under::Evidence, must_be_new: true }
}

/// The owner of a coordinator's node that heard a member's log in these pages, and the member's node.
fn heard(pages: &[&[Entry]]) -> (Owner<MemoryStore>, NodeId, String) {
    let mut region = Region::with_coordinators(1, 3, 1);
    let (own, member) = (&region.members[0], &region.members[1]);
    let me = Me {
        net: region.net,
        org: own.org,
        node: own.node,
        mailboxes: vec![own.mailbox],
        generation: 1,
        zone: Zone::utc(),
    };
    let origin = audit::origin(region.net, member.org, member.node, 1);
    let mut leaves = Vec::new();
    let mut rows: Vec<Row> = pages.iter().map(|entries| page(&region, &origin, &mut leaves, entries)).collect();
    let size = leaves.len() as u64;
    let log = Heard { org: member.org.to_vec(), origin: origin.clone(), size, ..Heard::default() };
    rows.push(Row {
        table: Table::Heard,
        key: member.node.to_vec(),
        value: Some(log.encode_to_vec()),
        under: Under::Service,
        must_be_new: true,
    });
    let (service, content) = (ServiceKeys::generate(&mut chance()), ContentKeys::generate(&mut chance()));
    let mut ledger = Ledger::new(MemoryStore::new(), Vault::new(&service, Some(&content)).unwrap());
    ledger.commit(&rows, &[], &mut chance()).unwrap();
    let office = Office::new(me, region.directory.clone());
    let (world, _) = World::load(office, ledger).unwrap();
    let node = member.node;
    let owner = Owner::start(world, region.members.swap_remove(0).sign, Arc::new(At(NOW))).0;
    (owner, node, origin)
}

/// Of each page: how many entries it has, and how many of them still say something. And the first that does.
async fn shown(owner: &Owner<MemoryStore>, node: NodeId, origin: &str) -> (Vec<(usize, usize)>, u64) {
    let origin = origin.to_owned();
    let look = owner.look(move |world| {
        let log = world.office.heard().find(|(of, _)| *of == node).unwrap().1.clone();
        let (mut pages, mut at) = (Vec::new(), 0);
        while at < log.size {
            let page = world.ledger.read(Table::Account, &page_key(&origin, at)).unwrap().unwrap();
            let page = Page::decode(page.as_slice()).unwrap();
            assert!(page.entries.iter().all(|kept| kept.commitment.len() == 32), "the tree stays");
            let open = page.entries.iter().filter(|kept| !kept.opening.is_empty() || !kept.salt.is_empty());
            pages.push((page.entries.len(), open.count()));
            at += page.entries.len() as u64;
        }
        (pages, log.first)
    });
    look.await.unwrap()
}

async fn events(owner: &Owner<MemoryStore>) -> u64 {
    owner.look(|world| world.office.event_count()).await.unwrap()
}

#[tokio::test]
async fn what_is_older_goes_page_by_page_and_the_rest_stays() {
    let time = NOW - 180 * DAY;
    let (old, young) = (quiet(time - DAY), quiet(time));
    let pages: [&[Entry]; 4] = [&[old, old], &[old], &[old, young], &[old]];
    let (owner, node, origin) = heard(&pages);
    assert_eq!(delete_before(&owner, time - 2 * DAY).await.unwrap(), 0, "nothing is as old as that");
    assert_eq!(shown(&owner, node, &origin).await, (vec![(2, 2), (1, 1), (2, 2), (1, 1)], 0));
    assert_eq!(events(&owner).await, 0);
    assert_eq!(delete_before(&owner, time).await.unwrap(), 3);
    // A page with one entry that is needed stays whole, and so does what comes after it.
    assert_eq!(shown(&owner, node, &origin).await, (vec![(2, 0), (1, 0), (2, 2), (1, 1)], 3));
    assert_eq!(events(&owner).await, 1, "that it happened is an entry of this node's log");
    assert_eq!(delete_before(&owner, time).await.unwrap(), 0, "once");
    assert_eq!((events(&owner).await, delete_before(&owner, NOW).await.unwrap()), (1, 3));
    assert_eq!(shown(&owner, node, &origin).await, (vec![(2, 0), (1, 0), (2, 0), (1, 0)], 6));
}

#[tokio::test]
async fn a_page_that_cannot_be_read_ends_it_and_stays() {
    let old = quiet(NOW - 300 * DAY);
    let (owner, node, origin) = heard(&[&[old], &[old]]);
    let key = page_key(&origin, 1);
    let gone = owner.decide(move |_, _| {
        let row = Row { table: Table::Account, key, value: None, under: Under::Evidence, must_be_new: false };
        (clearhouse_casework::office::Step { rows: vec![row], ..Default::default() }, ())
    });
    gone.await.unwrap();
    let failed = delete_before(&owner, NOW).await;
    assert!(matches!(failed, Err(ReconcileError::Page { node: of, entry: 1 }) if of == node));
    assert_eq!(
        (owner.look(|world| world.office.heard().next().unwrap().1.first).await.unwrap(), events(&owner).await),
        (0, 0)
    );
}

/// Lets the watch of a coordinator's node run until it has deleted something; what is left then.
async fn watched(pages: &[&[Entry]]) -> (Vec<(usize, usize)>, u64) {
    let (owner, node, origin) = heard(pages);
    let watch = tokio::spawn(Watch { owner: owner.clone(), clock: Arc::new(At(NOW)) }.run());
    let began = Instant::now();
    while shown(&owner, node, &origin).await.1 == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "it deletes nothing by itself");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watch.abort();
    shown(&owner, node, &origin).await
}

#[tokio::test]
async fn a_coordinators_node_deletes_by_itself_what_ended_half_a_year_ago() {
    let (old, young) = (quiet(NOW - OPENINGS_KEPT_SECS - DAY), quiet(NOW - OPENINGS_KEPT_SECS + DAY));
    let pages: [&[Entry]; 3] = [&[old, old], &[young], &[quiet(NOW - DAY)]];
    assert_eq!(watched(&pages).await, (vec![(2, 0), (1, 1), (1, 1)], 2));
}

#[tokio::test]
async fn it_deletes_nothing_on_the_word_of_its_own_clock_alone() {
    let (owner, node, origin) = heard(&[&[quiet(NOW - OPENINGS_KEPT_SECS - DAY)], &[quiet(NOW - DAY)]]);
    let watch = |clock| Watch { owner: owner.clone(), clock: Arc::new(clock) };
    watch(Unsure(NOW, NOW - DAY - 1)).look(&mut alarms::Kept::default()).await.unwrap();
    assert_eq!(shown(&owner, node, &origin).await, (vec![(1, 1), (1, 1)], 0));
    watch(Unsure(NOW, NOW - DAY)).look(&mut alarms::Kept::default()).await.unwrap();
    assert_eq!(shown(&owner, node, &origin).await, (vec![(1, 0), (1, 1)], 1));
}

#[tokio::test]
async fn it_keeps_what_belongs_to_a_message_that_never_came_to_an_end_and_that_for_a_year_at_most() {
    let region = Region::with_coordinators(1, 3, 1);
    let to = &region.members[2];
    // Nobody received it.
    let sent = Happening::of(AuditEvent::Sent).with(to.org, to.node);
    let notice = (NOW - OPENINGS_KEPT_SECS - 20 * DAY, sent.about(Digest([7; 32]), MessageType::ReturnNotice as u32));
    let year = quiet(NOW - OPENINGS_KEPT_MAX_SECS - DAY);
    let (before, led_to_it) = (quiet(notice.0 - 40 * DAY), quiet(notice.0 - 20 * DAY));
    let pages: [&[Entry]; 4] = [&[year], &[before], &[led_to_it], &[notice]];
    assert_eq!(watched(&pages).await, (vec![(1, 0), (1, 0), (1, 1), (1, 1)], 2));
    // One that is open for more than a year keeps nothing any more.
    let late = (NOW - OPENINGS_KEPT_MAX_SECS - DAY, pages[3][0].1);
    let pages: [&[Entry]; 2] = [&[late], &[quiet(NOW - OPENINGS_KEPT_MAX_SECS + DAY)]];
    assert_eq!(watched(&pages).await, (vec![(1, 0), (1, 1)], 1));
}
