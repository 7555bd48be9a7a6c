//! Directory logs between real nodes: two coordinators keep one each and cosign the other's, a member follows both, and
//! an accreditation that was shown to one node alone counts for nobody.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::ceremony::{Application, NodeKeys, accredit, certify, name_log, next_policy};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::merkle::leaf;
use clearhouse_protocol::signed::add_signature;
use clearhouse_wire::v1 as wire;
use serde_json::Value;

use super::found;
use super::region::{Member, Region};

/// How long it may take on a busy machine until everybody has followed.
const FOLLOWED: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The second policy: the coordinator's node and Casa Nova's keep directory logs.
fn with_logs(region: &Region) -> wire::Signed {
    let genesis = genesis_of(region);
    let keepers = [&region.coordinator.made, &region.origin.made];
    let policy = next_policy(&genesis, SystemClock.now(), |policy| {
        for (coordinator, made) in policy.coordinators.iter_mut().zip(keepers) {
            let keys = made.keys.service();
            let public = |seed| SigningKey::from_seed(seed).public();
            let (log, witness) = (public(keys.log_seed.expose()), public(keys.witness_seed.expose()));
            name_log(coordinator, region.net, (made.org, made.node), &log, &witness).unwrap();
        }
    });
    let mut policy = policy.unwrap();
    region.coordinators.iter().for_each(|key| add_signature(&mut policy, key));
    policy
}

/// An accreditation with every signature it needs, and a node that nobody runs.
fn stranger(region: &Region, label: &str) -> wire::RecordBundle {
    let now = SystemClock.now();
    let key = |n: u8| SigningKey::from_seed(&[n ^ label.as_bytes()[0]; 32]);
    let drawn = [label.as_bytes()[0]; 16];
    let (org, node) = (OrgId(drawn), NodeId::of(region.net, OrgId(drawn), drawn));
    let application = Application {
        org,
        label,
        country: "AL",
        roles: &["Origin"],
        competences: &["Shelter"],
        root_pk: key(1).public(),
    };
    let signers: Vec<&SigningKey> = region.coordinators.iter().collect();
    let keys = NodeKeys { sign: key(2).public(), log: key(3).public(), witness: key(4).public() };
    let records = vec![
        accredit(region.net, &application, &signers, now),
        certify(region.net, org, node, &keys, &key(1), now).unwrap(),
    ];
    wire::RecordBundle { records, ..wire::RecordBundle::default() }
}

pub(super) async fn state(member: &Member, label: &str) -> String {
    let listed = member.ask(Call::DirectoryList).await.unwrap_or(Value::Null);
    let all = listed["organisations"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|org| org["label"] == label);
    found.and_then(|org| org["state"].as_str()).unwrap_or("unknown here").to_owned()
}

async fn until(member: &Member, label: &str, wanted: &str) {
    let began = Instant::now();
    loop {
        let state = state(member, label).await;
        if state.contains(wanted) {
            return;
        }
        assert!(began.elapsed() < FOLLOWED, "{label} at {}: {state}", member.name);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[test]
fn attack_19_an_accreditation_counts_when_it_stands_in_a_log_that_everybody_follows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = found("keep_content_open = true\n");
        let records = region.records.clone();
        for member in region.members() {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        let reachable = "reachable by record";
        assert_eq!(state(&region.origin, "Porto Sicuro").await, reachable, "before the logs signatures are enough");
        let policy = wire::RecordBundle { records: vec![with_logs(&region)], ..wire::RecordBundle::default() };
        for member in region.members() {
            assert_eq!(member.learn(&policy).await.unwrap(), 1);
        }
        // The keepers enter what they hold, cosign each other, and everybody follows.
        until(&region.coordinator, "Porto Sicuro", reachable).await;
        until(&region.origin, "Porto Sicuro", reachable).await;
        until(&region.destination, "Porto Sicuro", reachable).await;
        until(&region.destination, "Casa Nova", reachable).await;
        let status = region.destination.ask(Call::Status).await.unwrap();
        assert!(status["directory"].as_str().unwrap().starts_with("heard"), "{status}");

        // Signed by every coordinator, and shown to the member alone.
        let hidden = stranger(&region, "Hidden House");
        assert_eq!(region.destination.learn(&hidden).await.unwrap(), 2);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(state(&region.destination, "Hidden House").await.contains("not shown to everybody"));
        assert_eq!(state(&region.origin, "Hidden House").await, "unknown here");

        // A keeper that is killed goes on where its log was, and what it enters then reaches the member too.
        region.coordinator.kill();
        region.coordinator.start().await.unwrap();
        region.coordinator.session = None;
        region.coordinator.learn(&hidden).await.unwrap();
        until(&region.destination, "Hidden House", "its current address and keys are not known").await;
        until(&region.origin, "Hidden House", "its current address and keys are not known").await;

        // The member forgets nothing of it, and with one keeper away the other tells both logs on.
        region.coordinator.kill();
        region.destination.kill();
        region.destination.start().await.unwrap();
        assert!(state(&region.destination, "Hidden House").await.contains("address and keys"));
    });
}

/// How many entries of the log of a member's node another one has followed.
async fn followed(at: &Member, of: &Member) -> u64 {
    let listed = at.ask(Call::DirectoryList).await.unwrap_or(Value::Null);
    let logs = listed["logs"].as_array().cloned().unwrap_or_default();
    let log = logs.iter().find(|log| log["node"] == of.made.node.to_string());
    log.and_then(|log| log["entries"].as_u64()).unwrap_or(0)
}

#[test]
fn a_directory_log_is_told_on_by_another_coordinator_while_its_keeper_is_away() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = found("keep_content_open = true\n");
        let mut records = region.records.clone();
        let policy = with_logs(&region);
        for member in [&mut region.coordinator, &mut region.origin] {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
            member.learn(&wire::RecordBundle { records: vec![policy.clone()], ..Default::default() }).await.unwrap();
        }
        let all = records.records.iter().filter(|record| record.payload_type != media::DESCRIPTOR).count() as u64;
        let began = Instant::now();
        // The policy is an entry too.
        while followed(&region.origin, &region.coordinator).await <= all {
            assert!(began.elapsed() < FOLLOWED, "{}", followed(&region.origin, &region.coordinator).await);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        region.coordinator.kill();
        region.destination.start().await.unwrap();
        records.records.push(policy);
        region.destination.learn(&records).await.unwrap();
        until(&region.destination, "Porto Sicuro", "reachable by record").await;
        let began = Instant::now();
        while followed(&region.destination, &region.coordinator).await <= all {
            assert!(began.elapsed() < FOLLOWED, "{}", followed(&region.destination, &region.coordinator).await);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        exported(&region, &["Regional coordinator", "no such"]);
    });
}

/// Somebody who only follows a log can give it to anybody, whole and in the common layout.
fn exported(region: &Region, named: &[&str; 2]) {
    let out = region.destination.folder.with_extension("log");
    let [there, none] = named.map(|name| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clearhouse"));
        command.args(["directory", "log", name, "--out"]).arg(&out).arg("--node").arg(&region.destination.folder);
        command.output().unwrap()
    });
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    assert!(!none.status.success());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clearhouse"));
    command.args(["directory", "history", "Porto Sicuro", "--node"]).arg(&region.destination.folder);
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(told.contains("accredited, version 1") && told.contains("certified a node, version 1"), "{told}");
    // The first line says whose log it is.
    assert!(!told.lines().skip(1).any(|line| line.contains("Casa Nova")), "{told}");
    let checkpoint = std::fs::read_to_string(out.join("checkpoint")).unwrap();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let mut bundle = std::fs::read(out.join(format!("tile/entries/000.p/{size}"))).unwrap();
    let mut edge = Edge::default();
    while !bundle.is_empty() {
        let len = usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
        edge.push(leaf(&bundle[2..2 + len]));
        bundle.drain(..2 + len);
    }
    let note = Note::parse(checkpoint.as_bytes()).unwrap();
    assert_eq!((edge.size(), edge.root()), (size, Checkpoint::parse(note.text()).unwrap().root));
    std::fs::remove_dir_all(&out).unwrap();
}

fn genesis_of(region: &Region) -> wire::Signed {
    use prost::Message as _;
    let path = region.coordinator.folder.join(clearhouse_node::setup::files::GENESIS);
    wire::Signed::decode(std::fs::read(path).unwrap().as_slice()).unwrap()
}
