//! Deposits side by side, as a busy partner makes them, what of them was acknowledged, and whether the receiver has each
//! of them once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::rpc::client::Client;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::Sealed;
use clearhouse_wire::v1::MailboxState;
use tokio::task::JoinSet;

use super::notice::{line, sealed_long_notice, sealed_notice, sealed_parcel};
use super::region::Member;

/// Deposits of one burst. With the same once more it stays below the door's own rate for one node.
pub(super) const BURST_MAX: usize = 24;
/// Deposits under way at once.
const AT_ONCE: usize = 8;
/// A node that was stopped in mid-answer never ends a call; nobody waits for it longer than this.
const BURST_MAX_SECS: Duration = Duration::from_secs(5);
/// How long a receiver may take to open what it has stored, on a busy machine.
const OPENED_SECS: Duration = Duration::from_secs(60);

/// Notices by the code their receiver shows, and whether their deposit was acknowledged. Shared, so that what was
/// acknowledged counts even when the burst is cut short.
#[derive(Clone, Default)]
pub(super) struct Sent(Arc<Mutex<BTreeMap<String, (Sealed, bool)>>>);

impl Sent {
    /// How many were sent.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Codes of those whose deposit was acknowledged.
    pub(super) fn acknowledged(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|(_, (_, acked))| *acked).map(|(code, _)| code.clone()).collect()
    }

    /// Takes what another burst sent.
    pub(super) fn absorb(&self, other: &Self) {
        self.0.lock().unwrap().append(&mut other.0.lock().unwrap());
    }

    pub(super) fn add(&self, code: String, letter: Sealed) {
        self.0.lock().unwrap().insert(code, (letter, false));
    }

    pub(super) fn acknowledge(&self, code: &str) {
        if let Some(entry) = self.0.lock().unwrap().get_mut(code) {
            entry.1 = true;
        }
    }

    pub(super) fn letters(&self) -> Vec<(String, Sealed)> {
        self.0.lock().unwrap().iter().map(|(code, (letter, _))| (code.clone(), letter.clone())).collect()
    }
}

/// Deposits new notices until [`BURST_MAX`] are acknowledged or the line breaks.
pub(super) async fn burst(known: &Directory, from: &Member, to: &Member, sent: &Sent) {
    let until_broken = async {
        let Ok(client) = line(known, from, to).await else { return };
        let before = sent.count();
        while sent.count() < before + BURST_MAX {
            let letters: Vec<_> = (0..AT_ONCE).map(|n| one(n, known, from, to)).collect();
            letters.iter().for_each(|(code, letter)| sent.add(code.clone(), letter.clone()));
            if !wave(&client, letters, sent).await {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(BURST_MAX_SECS, until_broken).await;
}

/// Every fourth notice is a long one.
fn one(n: usize, known: &Directory, from: &Member, to: &Member) -> (String, Sealed) {
    if n % 4 == 3 { sealed_long_notice(known, from, to) } else { sealed_notice(known, from, to) }
}

/// Deposits letters of these lengths, one after the other, until the line breaks. No case comes of them, so only
/// [`holds`] can tell of them.
pub(super) async fn parcels(lens: &[usize], known: &Directory, from: &Member, to: &Member, sent: &Sent) {
    let Ok(client) = line(known, from, to).await else { return };
    for len in lens {
        let (code, letter) = sealed_parcel(known, from, to, *len);
        sent.add(code.clone(), letter.clone());
        if !wave(&client, vec![(code, letter)], sent).await {
            return;
        }
    }
}

/// Asks the receiver after everything that was acknowledged: all of it must be there.
pub(super) async fn holds(known: &Directory, from: &Member, to: &Member, sent: &Sent) -> Result<(), String> {
    let client = line(known, from, to).await.map_err(|e| format!("no line: {e}"))?;
    let acknowledged = sent.acknowledged();
    let mut lost = 0;
    for (_, letter) in sent.letters().into_iter().filter(|(code, _)| acknowledged.contains(code)) {
        let outcome = client.outcome(letter.digest).await.map_err(|e| format!("no answer: {e}"))?;
        lost += usize::from(!matches!(outcome.state(), MailboxState::Stored | MailboxState::Taken));
    }
    if lost == 0 { Ok(()) } else { Err(format!("{lost} of {} acknowledged are lost", acknowledged.len())) }
}

/// Deposits everything once more, acknowledged or not: a partner that never saw the answers.
pub(super) async fn again(known: &Directory, from: &Member, to: &Member, sent: &Sent) {
    let client = line(known, from, to).await.unwrap();
    for letters in sent.letters().chunks(AT_ONCE) {
        assert!(wave(&client, letters.to_vec(), sent).await, "a deposit made again was not acknowledged");
    }
}

/// One wave of deposits; false when any was not acknowledged.
pub(super) async fn wave(client: &Client, letters: Vec<(String, Sealed)>, sent: &Sent) -> bool {
    let mut under_way = JoinSet::new();
    for (code, letter) in letters {
        let (client, sent) = (client.clone(), sent.clone());
        under_way.spawn(async move {
            let done = client.deposit(letter.mailbox, letter.digest, letter.bytes).await;
            if done.is_ok() {
                sent.acknowledge(&code);
            }
            done.is_ok()
        });
    }
    let mut whole = true;
    while let Some(done) = under_way.join_next().await {
        whole &= matches!(done, Ok(true));
    }
    whole
}

/// What is wrong with what the receiver has, if anything: every acknowledged notice must be in its inbox, none twice,
/// and none that nobody sent. Somebody who may read the inbox is signed in there.
pub(super) async fn judge(receiver: &Member, sent: &Sent) -> Result<usize, String> {
    let mut inbox = serde_json::Value::Null;
    let deadline = Instant::now() + OPENED_SECS;
    while inbox["sealed"] != 0 {
        if Instant::now() > deadline {
            return Err(format!("letters were left unopened: {}", inbox["sealed"]));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        inbox = receiver.ask(Call::Inbox).await.map_err(|e| format!("the inbox: {} {}", e.code, e.text))?;
    }
    let mut times = BTreeMap::<&str, usize>::new();
    for message in inbox["messages"].as_array().ok_or("no inbox")? {
        *times.entry(message["case"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let lost = sent.acknowledged().iter().filter(|code| !times.contains_key(code.as_str())).count();
    let doubled = times.values().filter(|n| **n != 1).count();
    let strange = times.keys().filter(|code| !sent.0.lock().unwrap().contains_key(**code)).count();
    match (lost, doubled, strange) {
        (0, 0, 0) => Ok(times.len()),
        _ => Err(format!("{lost} acknowledged and lost, {doubled} doubled, {strange} that nobody sent")),
    }
}
