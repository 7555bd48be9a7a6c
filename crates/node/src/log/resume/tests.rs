//! What a log that is taken back does to the store and the office, wherever it was cut short.

use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::ConversationId;
use clearhouse_protocol::limits::PLACES_SKIPPED;
use clearhouse_protocol::log::note::KeyKind;
use clearhouse_store::MemoryStore;
use tokio::sync::Barrier;

use super::*;
use crate::fixture::world;

/// A member that recorded so many sign-ins.
fn node(region: &Region, entries: usize) -> World<MemoryStore> {
    let mut world = world(region, 1, region.directory.clone());
    for _ in 0..entries {
        let mut rng = chance();
        let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[1].sign };
        let step = world.office.note(AuditEvent::SignIn, None, &mut now);
        world.ledger.commit(&step.rows, &step.events, &mut chance()).unwrap();
        world.office.take(&step);
    }
    world
}

fn commitments(world: &World<MemoryStore>) -> Vec<Hash> {
    world.ledger.store().events(0, usize::MAX).unwrap().iter().map(|leaf| leaf.commitment).collect()
}

/// The commitments of a node, and some that came after the copy which it is.
fn mirror_of(world: &World<MemoryStore>) -> Vec<Hash> {
    [commitments(world), vec![[8; 32], [9; 32]]].concat()
}

#[test]
fn the_entry_that_says_what_came_back_moves_every_place_on_in_the_same_commit() {
    let region = Region::new(1, 2);
    let mut world = node(&region, 3);
    let mirror = mirror_of(&world);
    let unknown = (ConversationId([5; 32]), region.members[0].node);
    assert_eq!(world.office.mail().next_place(unknown.0, unknown.1).seq, 1);
    let generation = world.ledger.store().generation();
    let adopted = adopt(&mut world, &mirror, &[], 3, &region.members[1].sign, NOW).unwrap().unwrap();
    assert_eq!((adopted.taken_back, adopted.size, world.ledger.store().event_count()), (2, 5, 6));
    assert_eq!(world.ledger.store().generation(), generation + 3, "how far it goes, the entries, and what they mean");
    let place = world.office.mail().next_place(unknown.0, unknown.1).seq;
    assert!(place > PLACES_SKIPPED, "{place}");
    // A start that was cut short after it finds it done.
    assert_eq!(
        adopt(&mut world, &mirror, &[], 3, &region.members[1].sign, NOW).unwrap(),
        Some(Adopted { taken_back: 2, size: 5 })
    );
    assert_eq!(
        (world.ledger.store().event_count(), world.office.mail().next_place(unknown.0, unknown.1).seq),
        (6, place)
    );
}

/// A store with these entries; `true` for one that opens.
fn store(entries: &[(u8, bool)]) -> MemoryStore {
    let mut store = MemoryStore::new();
    for (index, (commitment, opens)) in (0..).zip(entries) {
        let leaf = EventLeaf { index, commitment: [*commitment; 32], sealed: vec![7; usize::from(*opens)] };
        let generation = store.generation();
        store.commit(&Changes { generation, events: vec![leaf], ..Changes::default() }).unwrap();
    }
    store
}

#[test]
fn a_log_taken_back_goes_on_wherever_the_taking_back_was_cut_short() {
    let mirror = [[1; 32], [2; 32], [3; 32], [4; 32]];
    let at = |entries: &[(u8, bool)]| beside(&store(entries), &mirror, false).unwrap();
    assert_eq!(at(&[(1, true), (2, true)]), Beside::Lacks { closed_from: 2 }, "an old copy");
    assert_eq!(at(&[(1, true), (2, true), (3, false)]), Beside::Lacks { closed_from: 2 }, "cut in the middle");
    let all = [(1, true), (2, true), (3, false), (4, false)];
    assert_eq!(at(&all), Beside::Lacks { closed_from: 2 }, "cut before it was said");
    let said = [all.as_slice(), &[(9, true)]].concat();
    assert_eq!(at(&said), Beside::GoesOn, "cut before the next head");
    assert_eq!(at(&[said.as_slice(), &[(8, true)]].concat()), Beside::GoesOn);
    assert_eq!(at(&[(1, true), (2, true), (3, true), (4, true)]), Beside::GoesOn, "nothing is missing");
}

#[test]
fn a_shorter_mirror_after_a_longer_one_finishes_what_was_cut_short_and_does_not_take_it_for_done() {
    let region = Region::new(1, 2);
    let mut world = node(&region, 3);
    let (longer, key) = (mirror_of(&world), &region.members[1].sign);
    // What came back was written, and the start ended before the entry that says so.
    elsewhere::begin(&mut world, &longer).unwrap();
    let generation = world.ledger.store().generation();
    let leaf = |index: u64| EventLeaf { index, commitment: longer[usize::try_from(index).unwrap()], sealed: vec![] };
    let events = vec![leaf(3), leaf(4)];
    world.ledger.store_mut().commit(&Changes { generation, events, ..Changes::default() }).unwrap();
    // At the next start only one answers that has the fourth entry and not the fifth.
    let shorter = &longer[..4];
    let wanted = elsewhere::wanted(&mut world, 3, Some(4)).unwrap();
    assert_eq!(wanted, Some(Wanted { signed: 5, of_a_mirror: 0 }), "all that was signed is here: any mirror will do");
    let place = |world: &World<MemoryStore>| {
        world.office.mail().next_place(ConversationId([5; 32]), region.members[0].node).seq
    };
    for times in 1..=2 {
        let erasures = [erasure(3, &[(0, 1)])];
        let adopted = adopt(&mut world, shorter, &erasures, 3, key, NOW).unwrap().unwrap();
        assert_eq!((adopted.taken_back, world.ledger.store().event_count()), (2, 6), "{times}");
        assert_eq!(world.office.after_copy().map(|after| after.entries), Some(2));
        assert!(place(&world) > PLACES_SKIPPED && world.office.is_entry_retracted(1));
        assert_eq!(adopted.size, 5, "what the longer one was signed for is known, and is no twin's: {times}");
    }
    let said = world.ledger.store().events(5, 1).unwrap();
    assert!(!said[0].sealed.is_empty(), "the entry that says so stands after all that came back, and opens");
}

/// A node with three entries that began to take these back, and was killed when the first `taken` were here.
fn cut_short(region: &Region, taken: usize) -> (World<MemoryStore>, Vec<Hash>) {
    let mut world = node(region, 3);
    let longer = mirror_of(&world);
    elsewhere::begin(&mut world, &longer).unwrap();
    for (index, commitment) in (3..).zip(longer[3..].iter().take(taken)) {
        let generation = world.ledger.store().generation();
        let leaf = EventLeaf { index, commitment: *commitment, sealed: vec![] };
        world.ledger.store_mut().commit(&Changes { generation, events: vec![leaf], ..Changes::default() }).unwrap();
    }
    world.office.recorded(world.ledger.store().event_count());
    (world, longer)
}

#[test]
fn a_taking_back_that_was_cut_in_the_middle_never_goes_on_below_what_it_began_with() {
    let region = Region::new(1, 2);
    let key = &region.members[1].sign;
    for taken in [0, 1] {
        let (mut world, longer) = cut_short(&region, taken);
        let here = world.ledger.store().event_count();
        // Whoever showed the fifth is away: a witness shows the fourth, or nobody anything.
        for shown in [Some(4), None] {
            let wanted = elsewhere::wanted(&mut world, 3, shown).unwrap();
            assert_eq!(wanted, Some(Wanted { signed: 5, of_a_mirror: 5 }), "{taken} {shown:?}");
        }
        for shorter in [&longer[..2], &longer[..3], &longer[..4]] {
            assert_eq!(adopt(&mut world, shorter, &[], 3, key, NOW).unwrap(), None, "{taken}");
            assert_eq!(
                world.ledger.store().event_count(),
                here,
                "what was taken stays, and nothing is recorded after it"
            );
        }
        let adopted = adopt(&mut world, &longer, &[], 3, key, NOW).unwrap();
        assert_eq!(adopted, Some(Adopted { taken_back: 2, size: 5 }), "{taken}");
        assert_eq!((world.ledger.store().event_count(), world.office.signed_elsewhere()), (6, None));
        assert_eq!(elsewhere::wanted(&mut world, 3, None).unwrap(), None);
    }
}

#[test]
fn a_mirror_shorter_than_the_copy_is_not_taken_for_one_that_shows_nothing_missing() {
    let region = Region::new(1, 2);
    let (mut world, longer) = cut_short(&region, 2);
    assert_eq!(beside(world.ledger.store(), &longer[..2], true).unwrap(), Beside::Lacks { closed_from: 3 });
    let adopted = adopt(&mut world, &longer[..2], &[], 3, &region.members[1].sign, NOW).unwrap();
    assert_eq!(adopted, Some(Adopted { taken_back: 2, size: 5 }), "what came back is said");
    assert_eq!(world.ledger.store().event_count(), 6);
}

#[test]
fn what_a_witness_showed_once_counts_at_each_start_until_it_is_here() {
    let region = Region::new(1, 2);
    let mut world = node(&region, 3);
    assert_eq!(elsewhere::wanted(&mut world, 3, None).unwrap(), None);
    for shown in [Some(7), None, Some(5), Some(9), None] {
        let least = if shown == Some(9) { 9 } else { 7 };
        let wanted = elsewhere::wanted(&mut world, 3, shown).unwrap().unwrap();
        assert!(wanted.signed >= least && wanted.of_a_mirror == wanted.signed, "{wanted:?}");
    }
    // It is a row, so that a start finds it.
    let row = world.office.elsewhere(world.office.signed_elsewhere());
    let mut again = node(&region, 3);
    again.office.apply([&row]);
    assert_eq!(again.office.signed_elsewhere().map(|known| known.signed), Some(9));
    assert_eq!(elsewhere::wanted(&mut again, 9, None).unwrap(), None, "a head signed here covers it");
}

#[test]
fn what_came_back_once_is_news_until_a_head_covers_it_and_a_second_copy_is_told_with_its_own_number() {
    let region = Region::new(1, 2);
    let (mut world, key) = (node(&region, 3), &region.members[1].sign);
    let mirror = mirror_of(&world);
    let taken = |world: &mut _, log: &[Hash], signed| {
        adopt(world, log, &[], signed, key, NOW).unwrap().map(|adopted| adopted.taken_back)
    };
    assert_eq!(taken(&mut world, &mirror, 3), Some(2));
    assert_eq!(taken(&mut world, &mirror, 5), Some(2), "the entry that says so is the sixth: no head covers it");
    assert_eq!(taken(&mut world, &mirror, 6), Some(0), "it was told, and signed for");
    // A second old copy not long after: `doctor` tells both together, this start its own.
    let longer = [commitments(&world), vec![[7; 32]; 3]].concat();
    assert_eq!(taken(&mut world, &longer, 6), Some(3));
    assert_eq!(taken(&mut world, &longer, 6), Some(3), "cut short after it");
    assert_eq!(world.office.after_copy().map(|after| after.entries), Some(5));
    assert_eq!(taken(&mut world, &longer, 10), Some(0));
}

#[test]
fn a_log_that_goes_past_a_mirror_was_taken_back_only_where_an_entry_opens_there() {
    let mirror = [[1; 32], [2; 32]];
    let at = |entries: &[(u8, bool)]| beside(&store(entries), &mirror, false).unwrap();
    assert_eq!(at(&[(1, true), (2, false), (3, false)]), Beside::Lacks { closed_from: 1 });
    assert_eq!(at(&[(1, true), (2, true), (3, false)]), Beside::Lacks { closed_from: 2 });
    assert_eq!(at(&[(1, true), (2, false), (3, false), (4, true)]), Beside::GoesOn);
    assert_eq!(at(&[(1, true), (2, true), (3, true)]), Beside::GoesOn, "never shown to this mirror");
}

#[test]
fn what_went_another_way_is_not_taken_for_an_old_copy() {
    let mirror = [[1; 32], [2; 32], [3; 32]];
    for entries in [&[(1, true), (9, true)][..], &[(1, true), (2, true), (9, true), (4, true)], &[(9, false)]] {
        assert_eq!(beside(&store(entries), &mirror, false).unwrap(), Beside::Strays);
    }
}

/// An erasure at a place of the log; of parts of a profile when it names nothing.
fn erasure(index: u64, erased: &[(u64, u64)]) -> wire::Opening {
    let erased = erased.iter().map(|(from, to)| wire::IndexRange { from: *from, to: *to }).collect();
    wire::Opening { event: AuditEvent::CaseErased.into(), index, erased, ..wire::Opening::default() }
}

#[test]
fn what_is_not_known_of_erasures_is_kept_with_the_entry_that_says_what_came_back() {
    let region = Region::new(1, 2);
    let mut world = node(&region, 3);
    let mirror = mirror_of(&world);
    // The first is in the copy: what it erased was gone already.
    let erasures = [erasure(1, &[]), erasure(3, &[]), erasure(4, &[(0, 1)])];
    adopt(&mut world, &mirror, &erasures, 3, &region.members[1].sign, NOW).unwrap().unwrap();
    let after = world.office.after_copy().unwrap();
    assert_eq!((after.at, after.entries, after.parts), (NOW, 2, 1));
    assert!(
        world.office.has_retractions() && world.office.is_entry_retracted(1) && !world.office.is_entry_retracted(2)
    );
    // Another start, and it is found again, whatever became of the first.
    let adopted = adopt(&mut world, &mirror, &erasures, 3, &region.members[1].sign, NOW).unwrap();
    assert_eq!((adopted.map(|adopted| adopted.taken_back), world.office.after_copy()), (Some(2), Some(after)));
}

#[test]
fn a_log_that_is_not_of_this_node_is_passed_over_and_nothing_is_written() {
    let region = Region::new(1, 2);
    let mut world = node(&region, 3);
    let other = vec![[1; 32]; 5];
    assert_eq!(adopt(&mut world, &other, &[], 3, &region.members[1].sign, NOW).unwrap(), None);
    assert_eq!((world.ledger.store().event_count(), world.office.after_copy()), (3, None));
}

#[tokio::test]
async fn witnesses_are_asked_side_by_side_and_each_is_heard_whatever_becomes_of_the_others() {
    let key = SigningKey::from_seed(&[7; 32]).public();
    let key = NoteKey::new("w", KeyKind::Witness, &key).unwrap();
    let witnesses = |most: u8| (0..most).map(|id| (NodeId([id; 16]), key.clone())).collect::<Vec<_>>();
    // Nobody answers before all of them were asked: one after the other, nobody would.
    let all = Arc::new(Barrier::new(4));
    let ask = |node: NodeId, _| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            match node.0[0] {
                0 => std::future::pending().await,
                1 => None,
                2 => Some(Word::NothingMore),
                _ => Some(Word::More(9)),
            }
        }
    };
    let asked = gather(witnesses(4), ask).await;
    assert_eq!((asked.all, asked.answered, asked.nothing_more), (4, 2, 1));
    assert_eq!(asked.fatal, Some(Memory::Older { signed: 9 }));
    let many = gather(witnesses(40), |_, _| async { Some(Word::NothingMore) }).await;
    assert_eq!((many.all, many.answered), (40, WITNESSES_MAX), "and no more than there may be");
}
