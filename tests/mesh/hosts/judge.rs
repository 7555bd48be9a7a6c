//! What was sent, by whom, and whether each of it is there once. Looks at both ends: what a sender shows of its messages,
//! what a receiver shows, and what each of them wrote into its log.
//!
//! Refuses to call anything delivered that the receiver does not show, and to pass over anything that nobody sent.

use std::collections::BTreeMap;

use clearhouse_node::calls::Call;
use clearhouse_node::control::{ControlRequest, SessionToken, call_control};
use clearhouse_node::setup::files;
use serde_json::Value;

use super::super::canaries::ask;
use super::super::region::{Member, demo_passphrase};
use super::PATIENCE;

/// What is said of a message that has not been answered, while it is on its way; a keeper's name stands in the last one.
const ON_ITS_WAY: [&str; 3] = ["waiting to leave", "stored there, not answered yet", ", waiting for "];

/// A message as an office shows it: of which case, its id, its kind.
type Shown = (String, String, String);

/// What one office shows of its cases.
#[derive(Default)]
struct Desk {
    out: Vec<Shown>,
    came: Vec<Shown>,
    /// Ids of messages that went out and whose reception was not answered.
    unanswered: Vec<String>,
    /// Cases by code, as listed.
    cases: Vec<String>,
    /// Envelopes by the log, each entry of reception once.
    taken: Vec<String>,
}

/// Everything that was sent.
#[derive(Default)]
pub(super) struct Sent {
    /// How many of a kind went out of an office in a case.
    counts: BTreeMap<(&'static str, String, &'static str), usize>,
}

impl Sent {
    /// Takes down that `from` sent a message.
    pub(super) fn sent(&mut self, from: &Member, case: &str, kind: &'static str) {
        *self.counts.entry((from.name, case.to_owned(), kind)).or_default() += 1;
    }

    /// How many messages were sent.
    pub(super) fn count(&self) -> usize {
        self.counts.values().sum()
    }

    /// How many messages are not known to be received, each of which its sender's outbox told of in words; and the words.
    pub(super) async fn visible(&self, from: &Member) -> (usize, Vec<String>) {
        // In this order: what is not received afterwards was on its way before.
        let outbox = ask(from, Call::Outbox).await;
        let told: BTreeMap<String, (String, String)> = outbox["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (text(&m["message"]), (text(&m["state"]), text(&m["why"]))))
            .collect();
        let desk = self.desk(from).await;
        let mut words = Vec::new();
        for id in &desk.unanswered {
            let (state, why) = told.get(id).unwrap_or_else(|| panic!("{id} is not delivered and nobody is told"));
            assert!(ON_ITS_WAY.iter().any(|known| state.contains(known)), "what does that mean: {state}");
            words.push(format!("{state}; {why}"));
        }
        (desk.unanswered.len(), words)
    }

    async fn desk(&self, member: &Member) -> Desk {
        let mut desk = Desk::default();
        let listed = ask(member, Call::CaseList).await;
        desk.cases = listed["cases"].as_array().unwrap().iter().map(|case| text(&case["case"])).collect();
        for case in &desk.cases {
            let shown = ask(member, Call::CaseShow { case: case.clone() }).await;
            for message in shown["messages"].as_array().unwrap() {
                let row = (case.clone(), text(&message["message"]), text(&message["kind"]));
                let out = message["out"] == true;
                if out && message["received"].is_null() {
                    desk.unanswered.push(row.1.clone());
                }
                if out { desk.out.push(row) } else { desk.came.push(row) }
            }
        }
        desk
    }

    /// What is wrong, if anything: everything sent is at its receiver once, in no case that nobody opened, taken into its
    /// log once, and nothing is on its way any more. How many messages there are when nothing is.
    pub(super) async fn judge(&self, members: [&Member; 3]) -> Result<usize, String> {
        let mut desks = Vec::new();
        for member in members {
            desks.push((member.name, self.desk(member).await));
            let outbox = ask(member, Call::Outbox).await;
            let left = outbox["messages"].as_array().unwrap();
            if !left.is_empty() {
                return Err(format!(
                    "{} messages are still on their way from {}: {}",
                    left.len(),
                    member.name,
                    left[0]
                ));
            }
        }
        self.agree(&desks)?;
        // The logs are read only when they can be the last word.
        for (member, (_, desk)) in members.iter().zip(&mut desks) {
            desk.taken = taken(member).await;
        }
        self.agree(&desks)
    }

    /// [`Self::judge`] of what was seen.
    fn agree(&self, desks: &[(&'static str, Desk)]) -> Result<usize, String> {
        let mut out = BTreeMap::<Shown, usize>::new();
        let mut came = BTreeMap::<Shown, usize>::new();
        let mut sent = BTreeMap::<(&'static str, String, String), usize>::new();
        for (name, desk) in desks {
            for row in &desk.out {
                *out.entry(row.clone()).or_default() += 1;
                *sent.entry((name, row.0.clone(), row.2.clone())).or_default() += 1;
            }
            desk.came.iter().for_each(|row| *came.entry(row.clone()).or_default() += 1);
            if !desk.unanswered.is_empty() {
                return Err(format!("{} were not told that {} came", name, desk.unanswered.len()));
            }
            for list in [&desk.cases, &desk.taken] {
                let mut once = list.clone();
                once.sort_unstable();
                if let Some(two) = once.windows(2).find(|two| two[0] == two[1]) {
                    return Err(format!("{} is twice at {name}", two[0]));
                }
            }
        }
        let expected: BTreeMap<_, _> =
            self.counts.iter().map(|((from, case, kind), n)| ((*from, case.clone(), (*kind).to_owned()), *n)).collect();
        if let Some(wrong) = differs(&expected, &sent) {
            return Err(format!("not what was sent: {wrong}"));
        }
        match (differs(&out, &came), came.values().find(|n| **n != 1)) {
            (None, None) => Ok(came.len()),
            (Some(wrong), _) => Err(format!("lost, or twice: {wrong}")),
            (None, Some(n)) => Err(format!("the same {n} times")),
        }
    }
}

/// The first entry in which two counts differ.
fn differs<K: Ord + std::fmt::Debug>(one: &BTreeMap<K, usize>, other: &BTreeMap<K, usize>) -> Option<String> {
    let count = |of: &BTreeMap<K, usize>, key: &K| of.get(key).copied().unwrap_or(0);
    let keys = one.keys().chain(other.keys());
    let mut wrong = keys.filter(|key| count(one, key) != count(other, key));
    wrong.next().map(|key| format!("{key:?}: {} and {}", count(one, key), count(other, key)))
}

/// The envelopes of messages that a member's log says were received, once for each entry. An administrator reads it: who
/// works on cases does not.
pub(in crate::mesh) async fn taken(member: &Member) -> Vec<String> {
    let passphrase = demo_passphrase("admin").to_string();
    let signed_in = asked(member, None, Call::SignIn { login: "admin".to_owned(), passphrase }).await;
    let token = SessionToken::new(text(&signed_in["token"]));
    let (mut taken, mut from) = (Vec::new(), 0);
    loop {
        let page = asked(member, Some(&token), Call::AuditList { from: Some(from), count: None }).await;
        let entries = page["entries"].as_array().unwrap();
        let Some(last) = entries.last() else { break };
        let received = entries.iter().filter(|entry| entry["event"] == "received");
        taken.extend(received.map(|entry| text(&entry["envelope"])));
        from = last["index"].as_u64().unwrap() + 1;
    }
    asked(member, Some(&token), Call::SignOut).await;
    taken
}

async fn asked(member: &Member, session: Option<&SessionToken>, call: Call) -> Value {
    let call = serde_json::to_value(call).unwrap();
    let request = ControlRequest { id: 1, session: session.cloned(), call };
    let reply = call_control(&member.folder.join(files::SOCKET), &request, PATIENCE).await.unwrap();
    reply.result.unwrap_or_else(|f| panic!("{} {}", f.code, f.text))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> Shown {
        ("case".to_owned(), id.to_owned(), "return_notice".to_owned())
    }

    /// Two offices, one message between them.
    fn world() -> (Sent, Vec<(&'static str, Desk)>) {
        let mut sent = Sent::default();
        sent.counts.insert(("a", "case".to_owned(), "return_notice"), 1);
        let cases = vec!["case".to_owned()];
        let a = Desk { out: vec![row("1")], cases: cases.clone(), ..Desk::default() };
        let b = Desk { came: vec![row("1")], taken: vec!["e".to_owned()], cases, ..Desk::default() };
        (sent, vec![("a", a), ("b", b)])
    }

    fn wrong(change: impl FnOnce(&mut Sent, &mut Desk, &mut Desk)) -> String {
        let (mut sent, mut desks) = world();
        let (a, b) = desks.split_at_mut(1);
        change(&mut sent, &mut a[0].1, &mut b[0].1);
        sent.agree(&desks).unwrap_err()
    }

    #[test]
    fn the_judge_of_real_hosts_passes_what_is_there_once_and_finds_what_is_lost_doubled_or_strange() {
        let (sent, desks) = world();
        assert_eq!(sent.agree(&desks), Ok(1));
        assert!(wrong(|_, _, b| b.came.clear()).contains("lost"));
        assert!(wrong(|_, _, b| b.came.push(row("1"))).contains("twice"));
        assert!(wrong(|_, _, b| b.came.push(row("2"))).contains("twice"));
        assert!(wrong(|_, _, b| b.taken.push("e".to_owned())).contains("twice"));
        assert!(wrong(|_, _, b| b.cases.push("case".to_owned())).contains("twice"));
        assert!(wrong(|_, a, _| a.unanswered.push("1".to_owned())).contains("not told"));
        assert!(wrong(|sent, _, _| sent.counts.clear()).contains("not what was sent"));
        assert!(wrong(|_, a, b| (a.out.clear(), b.came.clear()).0).contains("not what was sent"));
    }
}
