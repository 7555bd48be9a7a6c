//! Root keys that wait: looks each round whether a wait begins or is over, and has what was refused meanwhile tried again.
//!
//! What a new root key vouches for stands in the directory logs, and was refused while the old one was in force. Refuses to
//! judge any of it: that is the office's.

use clearhouse_casework::office::publishing::waiting::News;
use clearhouse_store::Store;

use crate::owner::{NotTaken, Owner};

/// One look. Of a node that stops in the middle the rest is done at its start, where all that waits is tried.
///
/// # Errors
/// [`NotTaken`], when nothing can be kept here.
pub(crate) async fn mind<S: Store + 'static>(owner: &Owner<S>) -> Result<(), NotTaken> {
    let changed = owner.decide(|world, now| world.office.mind_lost_keys(now)).await?;
    let mut news = News::default();
    changed.into_iter().for_each(|org| news.join(News::of(org)));
    owner.try_again(news).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use clearhouse_protocol::ceremony::{next_cert, next_org, object};
    use clearhouse_protocol::directory::Directory;
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::limits::LOST_KEY_WAIT_SECS;
    use clearhouse_protocol::signed::add_signature;
    use clearhouse_store::MemoryStore;

    use clearhouse_wire::v1 as wire;
    use prost::Message as _;

    use super::*;
    use crate::clock::Clock;

    /// Whose root key is lost.
    const OF: usize = 4;

    struct Stands(AtomicU64);

    impl Clock for Stands {
        fn now(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// A node that knows a network's policies and nothing else, and follows one directory log.
    struct Node {
        region: Region,
        owner: Owner<MemoryStore>,
        clock: Arc<Stands>,
        entries: Vec<Vec<u8>>,
    }

    impl Node {
        fn new() -> Self {
            let region = Region::with_logs(5, 6);
            let mut directory = Directory::found(&region.genesis, None).unwrap();
            let policy = directory.check(&region.records[0], NOW).unwrap().unwrap();
            directory.insert(policy);
            let clock = Arc::new(Stands(AtomicU64::new(NOW)));
            let owner = crate::fixture::owner(&region, 5, directory, Arc::clone(&clock) as Arc<dyn Clock>);
            Self { region, owner, clock, entries: Vec::new() }
        }

        /// Reads these entries behind the others, under a head that was cosigned now.
        async fn follow(&mut self, fresh: &[wire::Signed]) -> usize {
            let held = self.entries.len();
            self.entries.extend(fresh.iter().map(wire::Signed::encode_to_vec));
            let until = self.entries.len();
            let page = self.region.log_page(0, &self.entries, (held, until), (&[1, 2], self.clock.now()));
            let log = self.region.members[0].node;
            self.owner.follow(log, Some(held as u64), page).await.unwrap().unwrap().refused.len()
        }

        /// Three days pass, and the coordinators are heard at their end.
        async fn three_days(&mut self) {
            self.clock.0.fetch_add(LOST_KEY_WAIT_SECS, Ordering::SeqCst);
            self.follow(&[]).await;
        }

        fn versions(&self) -> (u64, u64) {
            let (m, directory) = (&self.region.members[OF], self.owner.signals.directory.borrow().clone());
            (directory.org(m.org).unwrap().version, directory.cert(m.node).unwrap().version)
        }

        fn all(&self) -> Vec<wire::Signed> {
            let log = self.region.members[0].node;
            self.region.directory.to_enter(log).into_iter().cloned().collect()
        }

        fn lost(&self, key: &SigningKey) -> wire::Signed {
            let held = self.region.directory.newest_org(self.region.members[OF].org).unwrap();
            let change =
                |record: &mut wire::OrgRecord| (record.org_root_pk, record.lost_key) = (key.public().to_vec(), true);
            self.signed(next_org(held, NOW, change).unwrap())
        }

        fn signed(&self, mut record: wire::Signed) -> wire::Signed {
            self.region.coordinators.iter().for_each(|key| add_signature(&mut record, key));
            record
        }
    }

    #[tokio::test]
    async fn what_the_new_key_vouched_for_meanwhile_is_read_again_when_the_wait_is_over() {
        let mut node = Node::new();
        let key = SigningKey::from_seed(&[7; 32]);
        let all = node.all();
        assert_eq!(node.follow(&all).await, 0);
        let lost = node.lost(&key);
        let next = node.signed(next_org(&lost, NOW, |record| record.label = "Casa Nova".into()).unwrap());
        let held = node.region.directory.newest_cert(node.region.members[OF].node).unwrap();
        let cert = next_cert(held, NOW, &key).unwrap();
        assert_eq!(node.follow(&[lost, next, cert]).await, 2, "it waits, and what stands on it is refused");
        mind(&node.owner).await.unwrap();
        node.clock.0.fetch_add(LOST_KEY_WAIT_SECS, Ordering::SeqCst);
        mind(&node.owner).await.unwrap();
        assert_eq!(node.versions(), (1, 1), "this node's own clock ends nothing");
        node.follow(&[]).await;
        mind(&node.owner).await.unwrap();
        assert_eq!(node.versions(), (3, 2));
    }

    #[tokio::test]
    async fn a_node_that_stopped_right_then_reads_on_at_its_start() {
        let mut node = Node::new();
        let key = SigningKey::from_seed(&[7; 32]);
        let all = node.all();
        let lost = node.lost(&key);
        let held = node.region.directory.newest_cert(node.region.members[OF].node).unwrap();
        let cert = next_cert(held, NOW, &key).unwrap();
        node.follow(&[all, vec![lost, cert]].concat()).await;
        mind(&node.owner).await.unwrap();
        node.three_days().await;
        node.owner.decide(|world, now| (world.office.mind_lost_keys(now).0, ())).await.unwrap();
        assert_eq!(node.versions(), (2, 1));
        node.owner.try_again(News::of_everybody()).await.unwrap();
        assert_eq!(node.versions(), (2, 2));
    }

    #[tokio::test]
    async fn an_objection_that_a_log_shows_before_the_organisation_is_heard_all_the_same() {
        let mut node = Node::new();
        let lost = node.lost(&SigningKey::from_seed(&[7; 32]));
        let objection = object(&lost, &node.region.members[OF].root, NOW).unwrap();
        let all = node.all();
        assert_eq!(node.follow(&[objection]).await, 1);
        assert_eq!(node.follow(&[all, vec![lost]].concat()).await, 0);
        mind(&node.owner).await.unwrap();
        node.three_days().await;
        mind(&node.owner).await.unwrap();
        assert_eq!(node.versions(), (1, 1));
    }
}
