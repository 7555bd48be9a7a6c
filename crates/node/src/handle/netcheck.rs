//! What stands between this node and another: each step of the way tried by itself, with what to do about the one that
//! fails. Refuses to repeat a peer's words, to keep anything, and to take longer than a named time a step.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{Digest, MailboxId, NodeId, OrgId};
use clearhouse_protocol::limits::{DAY, FRAME_MAX, HOUR, MINUTE, SKEW_SECS};
use clearhouse_store::Store;
use clearhouse_wire::v1::{DigestsRequest, MailboxState};
use rand_core::Rng as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::records::{no_org, org_named};
use super::{Answer, Handle, not_taken};
use crate::clock::{Clock, chance};
use crate::rpc::client::{Address, Client, Pool, Step};
use crate::rpc::status::{PeerError, Refused, TlsFault};
use crate::sync::partners::own_address;

/// Longest time for one step.
const STEP_TIME: Duration = Duration::from_secs(10);
/// Nodes tried when none is named. More would be a scan.
const PEERS_MAX: usize = 32;
/// Nodes tried at once.
const AT_ONCE: usize = 8;

/// One node to try.
struct Peer {
    label: String,
    node: NodeId,
}

/// What came of the steps tried so far.
#[derive(Default)]
struct Steps(Vec<Value>);

impl Steps {
    fn ok(&mut self, step: &str, text: impl Into<String>) {
        self.0.push(json!({"step": step, "ok": true, "text": text.into()}));
    }

    fn problem(&mut self, step: &str, code: &str, text: impl Into<String>, next: &str) {
        self.0.push(json!({"step": step, "ok": false, "code": code, "text": text.into(), "next": next}));
    }
}

impl<S: Store + 'static> Handle<S> {
    /// Tries the way to the nodes of one organisation, or of all.
    pub(super) async fn netcheck(&self, named: Option<String>) -> Answer {
        let own = self.owner.look(|world| world.office.me().node).await.map_err(not_taken)?;
        let directory = self.owner.signals.directory.borrow().clone();
        let only = match named {
            Some(name) => Some(org_named(&directory, &name).ok_or_else(no_org)?),
            None => None,
        };
        let chosen = |org: &OrgId| only.is_none_or(|only| only == *org);
        let nodes = directory.orgs().filter(|(org, _)| chosen(org));
        let nodes = nodes.flat_map(|(org, record)| directory.nodes_of(org).map(|node| (record.label.clone(), node)));
        let mut peers: Vec<Peer> =
            nodes.filter(|(_, node)| *node != own).map(|(label, node)| Peer { label, node }).collect();
        let left_out = peers.len().saturating_sub(PEERS_MAX);
        peers.truncate(PEERS_MAX);
        let mut tried: Vec<(usize, Value)> = Vec::new();
        let (mut waiting, mut running) = (peers.into_iter().enumerate(), JoinSet::new());
        loop {
            while running.len() < AT_ONCE
                && let Some((n, peer)) = waiting.next()
            {
                let (pool, directory, clock) =
                    (Arc::clone(&self.pool), Arc::clone(&directory), Arc::clone(&self.clock));
                running.spawn(async move { (n, check(&pool, &directory, clock.as_ref(), peer).await) });
            }
            match running.join_next().await {
                Some(done) => tried.extend(done.ok()),
                None => break,
            }
        }
        tried.sort_by_key(|(n, _)| *n);
        let peers: Vec<Value> = tried.into_iter().map(|(_, peer)| peer).collect();
        let steps = peers.iter().flat_map(|peer| peer["steps"].as_array().into_iter().flatten());
        let problems = steps.filter(|step| step["ok"] == json!(false)).count();
        Ok(json!({"schema": "ch.netcheck/1", "problems": problems, "left_out": left_out, "peers": peers}))
    }
}

async fn check(pool: &Pool, directory: &Directory, clock: &dyn Clock, peer: Peer) -> Value {
    let mut steps = Steps::default();
    let Peer { label, node } = peer;
    if let Some(address) = own_address(directory, node) {
        if let Some(client) = reach(pool, &address, &mut steps).await {
            // Each of these is a call of its own: one that fails says nothing about the others.
            check_clock(&client, clock, &mut steps).await;
            check_mailboxes(&client, directory, node, clock.now(), &mut steps).await;
            check_size(&client, &mut steps).await;
        }
    } else if let Some(address) = keepers(directory, node).find_map(|keeper| own_address(directory, keeper)) {
        // It has no door of its own: its mail goes to who keeps it.
        if let Some(client) = reach(pool, &address, &mut steps).await {
            check_mailboxes(&client, directory, node, clock.now(), &mut steps).await;
            check_size(&client, &mut steps).await;
        }
    } else {
        let next = "Ask now: clearhouse directory refresh. Or import their records from a file.";
        steps.problem("address", "CH-N0208", "no address of this node is known", next);
    }
    json!({"label": label, "node": node.to_string(), "steps": steps.0})
}

/// Name, connection, TLS and keys.
async fn reach(pool: &Pool, address: &Address, steps: &mut Steps) -> Option<Client> {
    let texts = [
        (Step::Name, "dns", "its name has an address"),
        (Step::Connection, "tcp", "something answers there"),
        (Step::Tls, "tls", "it speaks TLS 1.3 as an exchange node does"),
        (Step::Key, "key", "its key is the one of its descriptor, and it knows ours"),
    ];
    let reached = pool.probe(address).await;
    let failed = reached.as_ref().err().map(|(step, _)| *step);
    for (step, name, text) in texts {
        if failed == Some(step) {
            break;
        }
        steps.ok(name, text);
    }
    match reached {
        Ok(client) => Some(client),
        Err((step, error)) => {
            let (name, code, text, next) = unreached(step, &error);
            steps.problem(name, code, text, next);
            None
        }
    }
}

fn unreached(step: Step, error: &PeerError) -> (&'static str, &'static str, String, &'static str) {
    match step {
        Step::Name => {
            let next = "Check this office's DNS: does the name of any web site resolve? If so, phone them: their address may \
                        have changed.";
            ("dns", "CH-N0201", "its host name has no address".into(), next)
        }
        Step::Connection => {
            let next = "Ask them whether their node runs. If other nodes answer, a firewall there is in the way; if none does, \
                        one here is: the port of their address has to be open outwards.";
            ("tcp", "CH-N0202", "nobody answers at its address".into(), next)
        }
        Step::Key if *error == PeerError::Tls(TlsFault::NotKnownThere) => {
            let next = "Send them this office's records: clearhouse directory export --out we.record. It may also be their \
                        clock, or a revocation: ask your coordinator.";
            ("key", "CH-N0204", "it does not know this node's key".into(), next)
        }
        Step::Key => {
            let next = "Do not go on by another way. Phone them: has their node been set up anew? If so, import their new \
                        records; if not, somebody stands in between.";
            ("key", "CH-N0205", "what answers proved another key than that of its descriptor".into(), next)
        }
        Step::Tls => {
            let next = "A login page of the network, a proxy or a virus scanner that opens TLS may stand between: log in to \
                        the network, or have this program's connections left alone.";
            ("tls", "CH-N0203", "what answers does not speak TLS 1.3 as an exchange node does".into(), next)
        }
    }
}

/// One call within the time of a step.
async fn within<T>(call: impl Future<Output = Result<T, PeerError>>) -> Result<T, PeerError> {
    timeout(STEP_TIME, call).await.unwrap_or(Err(PeerError::Deadline(STEP_TIME)))
}

/// Its clock, by what it says over this line; and that eight kilobytes come back.
async fn check_clock(client: &Client, clock: &dyn Clock, steps: &mut Steps) {
    let asked = clock.now();
    match within(client.digests(DigestsRequest::default())).await {
        Ok(said) => {
            let ours = asked + clock.now().saturating_sub(asked) / 2;
            let (off, ahead) = (ours.abs_diff(said.now), ours > said.now);
            if off > SKEW_SECS {
                let way = if ahead { "ahead of" } else { "behind" };
                let text = format!("this computer's clock is {} {way} theirs", span(off));
                let next = "Look at the clock here first: timedatectl set-ntp true. If other nodes agree with this one, phone \
                            them: letters are refused while clocks differ by more than ten minutes.";
                steps.problem("clock", "CH-N0206", text, next);
            } else {
                steps.ok("clock", format!("both clocks agree within {}", span(off.max(1))));
            }
        }
        Err(error) => answered_badly("clock", &error, steps),
    }
}

/// The nodes that keep a node's mail, in its order.
fn keepers(directory: &Directory, node: NodeId) -> impl Iterator<Item = NodeId> {
    let mailboxes = directory.descriptor(node).map(|d| d.mailboxes.as_slice()).unwrap_or_default();
    mailboxes.iter().filter_map(|m| NodeId::try_from(m.node_id.as_slice()).ok())
}

async fn check_mailboxes(client: &Client, directory: &Directory, node: NodeId, now: u64, steps: &mut Steps) {
    let stands = |keeper: NodeId| {
        let org = directory.org_of(keeper)?;
        directory.may_speak(org, keeper, now).ok()
    };
    if keepers(directory, node).any(|keeper| stands(keeper).is_none()) {
        let next = "Letters to it wait or go by its other mailboxes. Ask now: clearhouse directory refresh; then ask your \
                    coordinator.";
        steps.problem("mailbox", "CH-N0207", "a node that keeps its mail is not accredited now", next);
        return;
    }
    let mut digest = [0; 32];
    chance().fill_bytes(&mut digest);
    match within(client.outcome(Digest(digest))).await {
        Ok(reply) if reply.state() == MailboxState::NotHere => {
            steps.ok("mailbox", "who keeps its mail is accredited and answers");
        }
        Ok(_) => answered_badly("mailbox", &PeerError::Protocol, steps),
        Err(error) => answered_badly("mailbox", &error, steps),
    }
}

/// Sends one full frame to a mailbox that nobody has: that it is refused by name shows that it came through whole. Nothing
/// of it is kept there.
async fn check_size(client: &Client, steps: &mut Steps) {
    let mut nobodys = [0; 16];
    chance().fill_bytes(&mut nobodys);
    let frame = client.deposit(MailboxId(nobodys), Digest([0; 32]), vec![0; FRAME_MAX]);
    match within(frame).await {
        Err(PeerError::Refused(Refused::UnknownMailbox)) => {
            steps.ok("size", format!("{} KiB in one piece come through", FRAME_MAX >> 10));
        }
        Ok(_) | Err(PeerError::Refused(Refused::Malformed | Refused::TooLarge)) => {
            answered_badly("size", &PeerError::Protocol, steps);
        }
        Err(PeerError::Refused(refused)) => answered_badly("size", &PeerError::Refused(refused), steps),
        Err(_) => {
            let next = "Small packets pass and large ones do not: a tunnel (VPN, mobile line) swallows them. Lower the MTU of \
                        this computer's network, say to 1280, and let ICMP through the firewall.";
            steps.problem("size", "CH-N0209", "a large piece does not come through", next);
        }
    }
}

/// A call on a good line that was not answered as it should.
fn answered_badly(step: &str, error: &PeerError, steps: &mut Steps) {
    let next = "It is tried again by itself. If it stays so, tell them: their node may be too busy or too old.";
    steps.problem(step, "CH-N0211", error.to_string(), next);
}

/// A span of time as people say it.
pub(super) fn span(secs: u64) -> String {
    let (n, unit) = match secs {
        0..120 => (secs, "second"),
        120..7200 => (secs / MINUTE, "minute"),
        7200..172_800 => (secs / HOUR, "hour"),
        _ => (secs / DAY, "day"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_say_them() {
        let said = [0, 1, 119, 120, 7199, 7200, 172_799, 172_800, 3 * DAY].map(span);
        let meant = [
            "0 seconds",
            "1 second",
            "119 seconds",
            "2 minutes",
            "119 minutes",
            "2 hours",
            "47 hours",
            "2 days",
            "3 days",
        ];
        assert_eq!(said, meant);
    }

    #[test]
    fn every_failure_has_a_code_of_its_own_and_says_what_to_do() {
        let key = |fault| (Step::Key, PeerError::Tls(fault));
        let all = [
            (Step::Name, PeerError::Name),
            (Step::Connection, PeerError::Unreachable),
            (Step::Tls, PeerError::Tls(TlsFault::NotANode)),
            key(TlsFault::NotKnownThere),
            key(TlsFault::OtherKey),
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(|(step, error)| unreached(*step, error).1).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|(step, error)| unreached(*step, error).3.len() > 40));
    }
}
