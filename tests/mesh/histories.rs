//! A log that shows two histories to one witness is known to the whole region, and to nobody on a false word.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_protocol::audit;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::witness::Request;

use super::found;
use super::notice::{directory, line};
use super::region::Member;

/// How long the telling may take on a busy machine.
const TOLD_SECS: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A request to cosign a head of this member's log with this root.
pub(super) fn head(member: &Member, old: u64, root: u8) -> Vec<u8> {
    let origin = audit::origin(member.made.net, member.made.org, member.made.node, 1);
    let key = SigningKey::from_seed(member.made.keys.service().log_seed.expose());
    let note = Checkpoint { origin, size: 2, root: [root; 32] }.sign(&key).unwrap();
    Request { old, path: Vec::new(), note }.to_string().into_bytes()
}

/// Entries of a member's log about a log with two histories.
async fn found_there(member: &Member) -> usize {
    let log = member.ask(Call::AuditList { from: Some(0), count: None }).await.unwrap();
    let entries = log["entries"].as_array().unwrap().iter();
    entries.filter(|e| e["event"] == "equivocation found" && e["with"] == "Porto Sicuro").count()
}

#[test]
fn attack_22_two_faces_shown_to_one_witness_are_known_to_every_node_and_a_false_word_to_none() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = found("keep_content_open = true\n");
        let records = region.records.clone();
        for member in [&mut region.coordinator, &mut region.origin] {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        let known = directory(&region);
        // The destination's node does not run: this is what a thief of its keys, or a liar, sends.
        let client = line(&known, &region.destination, &region.coordinator).await.unwrap();
        assert!(client.tell_equivocation(b"they lie".to_vec()).await.is_err());
        assert_eq!(
            client.add_checkpoint(head(&region.destination, 0, 1), Default::default()).await.unwrap().status,
            200
        );
        assert_eq!(found_there(&region.coordinator).await, 0);
        assert_eq!(
            client.add_checkpoint(head(&region.destination, 2, 2), Default::default()).await.unwrap().status,
            409
        );
        assert_eq!(found_there(&region.coordinator).await, 1);
        let began = Instant::now();
        while found_there(&region.origin).await == 0 {
            assert!(began.elapsed() < TOLD_SECS, "the other node was not told");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // Told again, also by the one whom it is about: nothing changes.
        assert_eq!(
            client.add_checkpoint(head(&region.destination, 2, 2), Default::default()).await.unwrap().status,
            409
        );
        tokio::time::sleep(LOOK_EVERY * 10).await;
        assert_eq!((found_there(&region.coordinator).await, found_there(&region.origin).await), (1, 1));
    });
}
