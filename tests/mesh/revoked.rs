//! A node is put out while it sleeps, and wakes without knowing: every other that is awake refuses it what it sends, for
//! themselves and for others, what waits for it, and what nodes tell each other. It reads why, and loses nothing.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::{PeerError, TlsFault};
use clearhouse_protocol::ceremony::revoke;
use clearhouse_protocol::relay::rented;
use clearhouse_wire::v1 as wire;
use serde_json::Value;

use super::canaries::{agreed, ask, consent, notice, text};
use super::directory_log::state;
use super::notice::{directory, line, sealed_notice};
use super::region::{Member, Region};
use super::relay::{PATIENCE, WAITS, behind_a_router, comes_to_wait, depart, holds, reconfigure, start};

/// What the outbox of one put out says of each message.
const WHY: &str = "does not accept this node's key";
/// MessageType of what a node says by itself when somebody reads.
const RECEIPT: i32 = wire::MessageType::Receipt as i32;

/// Ends its node with the test, whatever becomes of that.
struct Fourth(Member);

impl Drop for Fourth {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// A further member that lets nobody in either, whose mailbox is at the same keeper; everybody knows of it.
async fn fourth(region: &mut Region) -> Fourth {
    let config = "keep_content_open = true\nlog_level = \"info\"\n";
    let (mut member, records) = region.join(("fourth", "Strehe"), config, SystemClock.now()).unwrap();
    let relays = format!("[\"{}\"]", region.coordinator.made.node);
    let none = Some("\"none\"".to_owned());
    reconfigure(&member.folder, &[("listen", none), ("endpoint", None), ("relays", Some(relays))]);
    let known = region.records.clone();
    member.start().await.unwrap();
    for bundle in [&known, &records] {
        member.learn(bundle).await.unwrap();
    }
    for other in region.members() {
        other.learn(&records).await.unwrap();
    }
    member.employ("dren", "Dren K.", "Caseworker").await.unwrap();
    let mailbox = rented(region.net, member.made.node, region.coordinator.made.node);
    until("nobody hears of the mailbox", async || holds(&region.origin, &member, mailbox).await).await;
    Fourth(member)
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Opens a case with somebody and sends a notice; the case.
async fn notify(from: &Member, to: &str) -> String {
    let case = ask(from, Call::CaseOpen { to: text(to) }).await["case"].as_str().unwrap().to_owned();
    ask(from, Call::ConsentRecord { case: case.clone(), form: consent("ShareNotice", &[]) }).await;
    ask(from, Call::NoticeSend { case: case.clone(), form: Box::new(notice()) }).await;
    case
}

async fn outbox(member: &Member) -> Vec<Value> {
    ask(member, Call::Outbox).await["messages"].as_array().unwrap().clone()
}

/// How many entries of the origin's log the coordinator has, and how many messages the destination.
async fn taken(region: &Region) -> (Value, usize) {
    let logs = ask(&region.coordinator, Call::AuditLogs).await;
    let heard = logs["heard"].as_array().unwrap().iter().find(|log| log["with"] == region.origin.name);
    let inbox = ask(&region.destination, Call::Inbox).await;
    (heard.map(|log| log["entries"].clone()).unwrap_or_default(), inbox["messages"].as_array().unwrap().len())
}

/// Every call on lines that stood before is refused, each on a line of its own: the first refusal hangs up.
async fn lines_that_stood_are_cut(region: &Region, lines: [Client; 4]) {
    let [deposit, fetch, ack, heads] = lines;
    let (_, letter) = sealed_notice(&directory(region), &region.origin, &region.destination);
    assert!(deposit.deposit(letter.mailbox, letter.digest, letter.bytes).await.is_err(), "a deposit");
    let mailbox = rented(region.net, region.origin.made.node, region.coordinator.made.node);
    let fetched = match fetch.fetch(mailbox).await {
        Ok(mut answer) => answer.next().await.map(|_| ()),
        Err(refused) => Err(refused),
    };
    assert!(fetched.is_err(), "a fetch");
    assert!(ack.ack(mailbox, &[letter.digest]).await.is_err(), "an ack");
    assert!(heads.own_log(0).await.is_err(), "its log");
}

#[test]
fn a_node_put_out_while_it_slept_is_refused_by_everybody_awake_and_reads_why() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut region = behind_a_router("info");
        start(&mut region).await;
        let fourth = fourth(&mut region).await;
        region.destination.employ("elena", "Elena R.", "Caseworker").await.unwrap();
        region.origin.employ("vera", "Vera P.", "Caseworker").await.unwrap();
        region.origin.session = None;
        let records = region.records.clone();
        region.origin.learn(&records).await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let case = agreed(&region).await;
        let unread = notify(&region.destination, "Casa Nova").await;
        until("the second notice does not come", async || {
            ask(&region.origin, Call::Inbox).await["messages"].to_string().contains(&unread)
        })
        .await;

        // It sleeps, and something is left for it. Lines of its own stand: whoever has its keys may keep them open.
        region.origin.kill();
        depart(&region, &case).await;
        comes_to_wait(&region.destination, WAITS).await;
        let known = directory(&region);
        let to = async |member: &Member| line(&known, &region.origin, member).await.unwrap();
        let (keeper, destination) = (&region.coordinator, &region.destination);
        let lines = [to(destination).await, to(keeper).await, to(keeper).await, to(keeper).await];

        // One of those awake is told; the others hear of it by themselves.
        let keys: Vec<_> = region.coordinators.iter().take(2).collect();
        let subject = region.origin.made.node.0;
        let out = revoke(region.net, wire::SubjectKind::Node, subject, "Compromised", SystemClock.now(), &keys);
        let out = wire::RecordBundle { records: vec![out], ..wire::RecordBundle::default() };
        region.destination.learn(&out).await.unwrap();
        for other in [&region.destination, &region.coordinator, &fourth.0] {
            until("it was not heard", async || state(other, "Casa Nova").await.contains("revoked")).await;
        }
        let before = taken(&region).await;
        lines_that_stood_are_cut(&region, lines).await;
        for other in [&region.destination, &region.coordinator] {
            let refused = line(&known, &region.origin, other).await.err();
            assert_eq!(refused, Some(PeerError::Tls(TlsFault::NotKnownThere)), "{}", other.name);
        }

        // It wakes, knows nothing, and works: a receipt and a notice go to one directly, a notice to one by the keeper.
        region.origin.start().await.unwrap();
        region.origin.session = None;
        region.origin.sign_in("vera").await.unwrap();
        assert_eq!(ask(&region.origin, Call::Status).await["accreditation"], "valid");
        ask(&region.origin, Call::Open { case: unread.clone(), message: None }).await;
        let cases = [notify(&region.origin, "Porto Sicuro").await, notify(&region.origin, "Strehe").await];
        let stays = |rows: &[Value], what: &dyn Fn(&Value) -> bool| {
            rows.iter().any(|m| {
                what(m) && m["state"] == "waiting to leave" && m["why"].as_str().unwrap_or_default().contains(WHY)
            })
        };
        until("its outbox does not say why", async || {
            let rows = outbox(&region.origin).await;
            cases.iter().all(|case| stays(&rows, &|m| m["case"] == *case)) && stays(&rows, &|m| m["type"] == RECEIPT)
        })
        .await;
        let shown = ask(&region.destination, Call::CaseShow { case: unread }).await;
        assert!(shown["facts"]["read"].is_null(), "its receipt was taken: {shown}");
        // What was left for it is where it was, and nothing of it came to anybody.
        comes_to_wait(&region.destination, WAITS).await;
        let shown = ask(&region.origin, Call::CaseShow { case: case.clone() }).await;
        assert_ne!(shown["state"], "IN_TRANSIT", "it fetched");
        assert_eq!(taken(&region).await, before);
        let inbox = ask(&fourth.0, Call::Inbox).await;
        assert!(inbox["messages"].as_array().unwrap().is_empty() && inbox["sealed"] == 0, "{inbox}");

        // Told by a file, it says so itself; what it could not send stays in sight.
        region.origin.session = None;
        region.origin.learn(&out).await.unwrap();
        assert_eq!(ask(&region.origin, Call::Status).await["accreditation"], "revoked");
        let rows = outbox(&region.origin).await;
        assert!(cases.iter().all(|case| rows.iter().any(|m| m["case"] == *case)), "{rows:?}");
    });
}
