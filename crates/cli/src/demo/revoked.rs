//! A revocation that overtakes a message: the answer of an organisation lies unopened at its receiver when two
//! coordinators revoke the sender. Nothing of it is shown; a person decides; the sender's keys open no door any more.

use std::time::Instant;

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::rpc::status::PeerError;
use clearhouse_node::rpc::status::TlsFault;
use clearhouse_protocol::ceremony;
use clearhouse_wire::v1 as wire;
use serde_json::Value;

use super::admission::{NEWCOMER, state, until};
use super::journey::{LOOK_EVERY, WAIT_MAX, accepted, wait_for};
use super::portless::{ARTA, case_of};
use super::region::{Member, Region};
use super::{Failure, Teller, outsider};

/// The newcomer answers while Porto Sicuro is locked, and is revoked before anybody unlocks.
pub(super) async fn overtaken(
    region: &mut Region,
    newcomer: &Member,
    case: &str,
    teller: &mut Teller,
) -> Result<(), Failure> {
    let theirs = case_of(newcomer).await?;
    region.destination.ask(Call::Lock).await?;
    newcomer
        .ask(Call::Answer { case: theirs.clone(), form: accepted("sqi", [(ARTA, "Manager"), (ONLY_THERE, "Manager")]) })
        .await?;
    wait_for(newcomer, &theirs, |shown| shown["their_node_locked"] == true).await?;
    let began = Instant::now();
    let known = outsider::known(region, SystemClock.now())?;
    let before = outsider::knock(&known, &newcomer.made, &region.destination).await;
    let before = before.map(drop).map_err(|e| Failure::new("CH-E0321", format!("The door was closed too early: {e}.")));
    before?;
    revoke(region, newcomer).await?;
    until(&region.destination, "the revocation", |list| state(list, NEWCOMER) == "revoked").await?;
    let text = format!(
        "{NEWCOMER}'s answer lies sealed at Porto Sicuro, which is locked for the night, when two coordinators revoke \
         {NEWCOMER}: the word goes from node to node and is there before anybody reads"
    );
    teller.step("Revoked", &text, Some(began.elapsed()));
    match outsider::knock(&known, &newcomer.made, &region.destination).await {
        Err(PeerError::Tls(TlsFault::NotKnownThere)) => {}
        Err(other) => return Err(Failure::new("CH-E0322", format!("A revoked key met something else: {other}."))),
        Ok(_) => return Err(Failure::new("CH-E0322", "A revoked key was let in.")),
    }
    let text =
        format!("{NEWCOMER}'s node, with all its keys, calls Porto Sicuro again: refused before it can say a word");
    teller.step("Door", &text, None);
    quarantine(region, case, teller).await
}

/// Two coordinators sign; one of them takes it in at its desk.
async fn revoke(region: &Region, newcomer: &Member) -> Result<(), Failure> {
    let signers: Vec<_> = region.coordinators.iter().take(2).collect();
    let subject = newcomer.made.org.0;
    let kind = wire::SubjectKind::Organisation;
    let record = ceremony::revoke(region.net, kind, subject, "Compromised", SystemClock.now(), &signers);
    let taken = region.coordinator.import(&wire::RecordBundle { records: vec![record], ..Default::default() }).await?;
    if taken["new"] == 1 { Ok(()) } else { Err(Failure::new("CH-E0323", "The revocation was not taken.")) }
}

/// The receiver unlocks: the letter waits sealed, and a manager ends it.
async fn quarantine(region: &mut Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    // Her pass phrase opens the cases again.
    region.destination.sign_in("paola").await?;
    let d = &region.destination;
    let held = held(d, |waiting| !waiting.is_empty()).await?;
    let shows_nothing = |shown: &Value| shown["facts"]["accepted"].is_null() && !shown.to_string().contains(ONLY_THERE);
    let shown = d.ask(Call::CaseShow { case: case.to_owned() }).await?;
    let named = held.len() == 1 && held.iter().all(|one| one["from"] == NEWCOMER && one["kind"] == "answer");
    if !named || !shows_nothing(&shown) {
        return Err(Failure::new("CH-E0324", "A letter of a revoked sender was not held back as it must be."));
    }
    let text = "in the morning: of the answer it is shown who and what kind, and not a word; the case stands as before";
    teller.step("Quarantine", text, Some(began.elapsed()));
    let letter = held.first().and_then(|one| one["letter"].as_str()).unwrap_or_default().to_owned();
    let decided = d.ask(Call::QuarantineDecide { letter, take: false }).await?;
    self::held(d, <[Value]>::is_empty).await?;
    if !shows_nothing(&d.ask(Call::CaseShow { case: case.to_owned() }).await?) {
        return Err(Failure::new("CH-E0324", "A letter that was refused had an effect."));
    }
    let done = decided["done"].as_str().unwrap_or_default();
    teller.step("Decision", &format!("Paola G., a manager, refuses: {done}; nobody there is counted on"), None);
    Ok(())
}

/// Waits until the letters in quarantine are as they should be.
async fn held(member: &Member, done: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>, Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let inbox = member.ask(Call::Inbox).await?;
        let waiting = inbox["quarantined"].as_array().cloned().unwrap_or_default();
        if done(&waiting) {
            return Ok(waiting);
        }
        if Instant::now() > deadline {
            return Err(Failure::new("CH-E0324", "A letter of a revoked sender is not where it must be."));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Somebody whom the answer alone names: nobody may be shown that.
const ONLY_THERE: &str = "Drita H.";
