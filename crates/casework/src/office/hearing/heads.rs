//! When a head that was heard existed at the latest: by the first word of its witnesses, and for a larger one by theirs.

use clearhouse_protocol::audit::{AuditEvent, unpad};
use clearhouse_protocol::fixture::NOW;
use prost::Message as _;

use super::tests::region;
use super::{Kept, Page, Step, page_key};

#[test]
fn a_head_keeps_when_it_was_first_seen_and_a_larger_one_has_a_time_of_its_own() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let (tell, head) = (one.office.to_tell(NOW)[0], one.head_at(&region, &[0, 2], NOW));
    let sent = one.tell(&region, tell, &head, NOW);
    coordinator.take(&region, sent, NOW);
    let heard = |node: &super::tests::Node| {
        let (_, heard) = node.office.heard().next().unwrap();
        (heard.head_size, heard.head_at)
    };
    assert_eq!(heard(&coordinator), (1, NOW));
    // The same head with a later word of its witnesses.
    let again = {
        let mut node = super::tests::Node::new(&region, 1);
        node.events = one.events[..1].to_vec();
        node.head_at(&region, &[0, 2], NOW + 60)
    };
    let sent = one.tell(&region, tell, &again, NOW + 60);
    coordinator.take(&region, sent, NOW + 60);
    assert_eq!(heard(&coordinator), (1, NOW));
    let larger = one.head_at(&region, &[0, 2], NOW + 120);
    let size = one.events.len() as u64;
    let sent = one.tell(&region, tell, &larger, NOW + 120);
    coordinator.take(&region, sent, NOW + 120);
    assert_eq!(heard(&coordinator), (size, NOW + 120));
}

#[test]
fn what_is_let_go_of_keeps_its_leaf_and_what_it_was_about_and_nothing_else() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 7);
    let (tell, head) = (one.office.to_tell(NOW)[0], one.head(&region, &[0, 2]));
    let sent = one.tell(&region, tell, &head, NOW);
    coordinator.take(&region, sent, NOW);
    let node = one.office.me().node;
    let (_, heard) = coordinator.office.heard().next().unwrap();
    let key = page_key(&heard.origin, 0);
    let row = coordinator.rows.iter().rfind(|row| row.key == key).unwrap();
    let page = Page::decode(row.value.as_deref().unwrap()).unwrap();
    assert!(page.entries[0].opening().is_some());
    let gone = Page { entries: page.entries.iter().map(Kept::let_go).collect(), ..page.clone() };
    let entry = &gone.entries[0];
    assert!(entry.is_let_go && entry.salt.is_empty() && entry.opening().is_none());
    assert_eq!((&entry.commitment, &entry.settled[..]), (&page.entries[0].commitment, &[7; 32][..]));
    let pages = [(0, gone.clone())];
    let (step, ()) = coordinator.act(&region, NOW, |office, now| (office.let_go(node, &pages, now).unwrap(), ()));
    let [row] = step.rows.as_slice() else { panic!("one page, one row") };
    assert!(row.key == key && Page::decode(row.value.as_deref().unwrap()).unwrap() == gone);
    let said = unpad(&step.events[0].opening).unwrap();
    assert!(said.event() == AuditEvent::KeyErased && said.peer_node == node.0);
    let nobody = region.members[0].node;
    let (_, of_none) =
        coordinator.act(&region, NOW, |office, now| (Step::default(), office.let_go(nobody, &pages, now)));
    assert!(of_none.is_none(), "of a log that was never heard");
}

#[test]
fn what_coordinators_have_of_a_log_is_kept_when_it_is_more_than_before() {
    let (region, _, mut one, _) = region();
    assert!(one.office.at_coordinators().is_none());
    for (size, at, known) in
        [(5, NOW, (5, NOW)), (5, NOW + 1, (5, NOW)), (4, NOW + 2, (5, NOW)), (6, NOW + 3, (6, NOW + 3))]
    {
        let (step, ()) = one.act(&region, at, |office, _| (office.has_coordinator(size, at), ()));
        assert_eq!(step.rows.is_empty(), known.1 != at);
        let has = one.office.at_coordinators().unwrap();
        assert_eq!((has.size, has.at), known);
    }
}
