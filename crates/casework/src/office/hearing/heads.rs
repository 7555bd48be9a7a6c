//! When a head that was heard existed at the latest: by the first word of its witnesses, and for a larger one by theirs.

use clearhouse_protocol::fixture::NOW;

use super::tests::region;

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
