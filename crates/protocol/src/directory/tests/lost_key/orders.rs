//! In whichever order it comes, by whichever clock, and from however few logs: the same ends, and never early.

use super::seen::{Council, Kept, OF};
use super::*;
use crate::directory::logs::Newest;

fn objection(council: &Council, to: &Signed) -> Signed {
    ceremony::object(to, &council.region.members[OF].root, NOW).unwrap()
}

#[test]
fn one_log_begins_no_wait_and_ends_none() {
    let mut council = Council::new();
    let signed = lost(&council.region, &council.region.members[OF], &key(7));
    council.take(&signed);
    council.publish_in(0..1, NOW + HOUR, NOW + HOUR);
    council.look(NOW + HOUR);
    assert_eq!(council.stage(), Some(Stage::Unseen));
    council.publish_in(0..2, NOW + 2 * HOUR, NOW + 2 * HOUR);
    council.look(NOW + 2 * HOUR);
    assert_eq!(council.stage(), Some(Stage::Until(NOW + 2 * HOUR + WAIT)));
}

#[test]
fn attack_16_a_clock_that_was_behind_when_the_logs_were_read_begins_no_wait_in_the_past() {
    let mut council = Council::new();
    let signed = lost(&council.region, &council.region.members[OF], &key(7));
    council.take(&signed);
    let slow = NOW - 4 * WAIT;
    council.publish_in(0..4, NOW + HOUR / 2, slow);
    // The same entries again, of which nothing is news but the time that was told.
    council.publish_in(0..4, NOW + HOUR, slow);
    let head = council.region.directory.newest_head(council.region.members[0].node).unwrap();
    assert!(Newest::kept(&head.bytes()).as_ref() == Some(head), "nor after a start");
    council.look(slow);
    assert_eq!(council.stage(), Some(Stage::Until(NOW + HOUR + WAIT)));
    // Set right, and everybody is heard.
    council.publish(NOW + 2 * HOUR);
    council.look(NOW + 2 * HOUR);
    assert_ne!(council.root(), key(7).public());
}

#[test]
fn attack_16_an_old_key_keeps_no_newcomer_on_it_with_an_objection_that_no_honest_log_shows() {
    let mut council = Council::new();
    let new = key(7);
    let signed = lost(&council.region, &council.region.members[OF], &new);
    let late = objection(&council, &signed);
    council.take(&signed);
    council.publish(NOW + HOUR);
    council.look(NOW + HOUR);
    council.take(&late);
    assert_eq!(council.stage(), Some(Stage::Until(NOW + HOUR + WAIT)), "out of a bundle");
    council.publish_in(0..1, NOW + HOUR, NOW + HOUR);
    assert_eq!(council.stage(), Some(Stage::Until(NOW + HOUR + WAIT)), "by one keeper that lies");
    council.publish_in(1..2, NOW + HOUR, NOW + HOUR);
    assert_eq!(council.stage(), Some(Stage::Objected), "where everybody hears it");
}

#[test]
fn of_two_that_wait_the_one_that_is_not_objected_to_goes_on_in_whichever_order_they_came() {
    for refused in [0, 1] {
        let council = Council::new();
        let [a, b] = [key(7), key(8)].map(|key| lost(&council.region, &council.region.members[OF], &key));
        let no = objection(&council, [&a, &b][refused]);
        let records = [a, b, no];
        let goes_on = key([8, 7][refused]).public();
        for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0]] {
            let (mut council, mut at) = (Council::new(), NOW);
            for place in order {
                at += HOUR;
                // An objected one that comes after is not taken at all.
                if council.region.directory.check(&records[place], NOW).is_ok_and(|checked| checked.is_some()) {
                    council.take(&records[place]);
                }
                council.publish(at);
                council.look(at);
            }
            assert!(matches!(council.stage(), Some(Stage::Until(_))), "{order:?}: {:?}", council.stage());
            council.publish(at + WAIT);
            council.look(at + WAIT);
            assert_eq!(council.root(), goes_on, "{order:?}");
        }
    }
}

#[test]
fn what_took_the_place_of_another_is_read_back_as_it_was() {
    let (region, new) = training();
    let m = &region.members[0];
    let (mut directory, mut kept) = (Directory::found(&region.genesis, None).unwrap(), Kept::default());
    region.records.iter().for_each(|record| kept.take(&mut directory, record));
    let [a, b, c] = [new, key(8), key(9)].map(|key| lost(&region, m, &key));
    let no = |record: &Signed| ceremony::object(record, &m.root, NOW).unwrap();
    for signed in [&a, &b, &no(&a), &c, &no(&c)] {
        kept.take(&mut directory, signed);
        kept.look(&mut directory, NOW);
    }
    for directory in [&mut directory, &mut kept.read(&region)] {
        assert_eq!(stage(directory, m, NOW), Some(Stage::Until(NOW + WAIT)));
        let held: Vec<&Signed> = directory.announced(m.org).collect();
        assert!(held == [&b, &c]);
    }
    kept.look(&mut directory, NOW + WAIT);
    assert_eq!(root(&kept.read(&region), m), key(8).public());
    assert_eq!(kept.read(&region).announced(m.org).count(), 0);
}
