//! An office that lets nobody in: its node listens on nothing, the coordinator's node keeps its mailbox. What is sent to it
//! at night waits there, and the keeper's own rows are opened with the keeper's own keys to see what it learns.

use std::time::Instant;

use clearhouse_casework::forms::{AcknowledgeForm, ContactForm, show_day};
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::setup::files;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::ids::{Digest, MailboxId};
use clearhouse_protocol::keys::PrekeySecret;
use clearhouse_protocol::limits::{DAY, HOUR, SIZE_CLASSES};
use clearhouse_protocol::relay::{Depot, Kept, KeptState, rented};
use clearhouse_protocol::rows::Table;
use clearhouse_store::DurableStore;
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use serde_json::Value;

use super::admission::{NEWCOMER, REACHABLE, state, until};
use super::journey::{LOOK_EVERY, WAIT_MAX, wait_for};
use super::person::Person;
use super::region::{Member, Region};
use super::{Failure, Teller, outsider};

/// Who works at the newcomer's.
pub(super) const ARTA: &str = "Arta K.";

/// How a case shows that an acknowledgement is there.
const ACKNOWLEDGED: &str = "\"kind\":\"acknowledgement\"";

/// Starts the newcomer's node and makes sure that nobody is told of a door of its own.
pub(super) async fn started(region: &mut Region, newcomer: &mut Member, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    newcomer.start().await?;
    newcomer.learn(&region.records).await?;
    newcomer.employ("arta", ARTA, "Manager").await?;
    // What it was given by hand counts for it, too, only when it has read the logs.
    until(newcomer, "the directory logs", |list| {
        [&region.destination, &region.origin].iter().all(|of| state(list, of.name) == REACHABLE)
    })
    .await?;
    let status = newcomer.ask(Call::Status).await?;
    let coordinator = region.coordinator.name;
    let config = std::fs::read_to_string(newcomer.folder.join(files::CONFIG)).unwrap_or_default();
    if status["mailboxes"] != serde_json::json!([coordinator]) || !config.contains("listen = \"none\"") {
        return Err(Failure::new("CH-E0317", "The office without a port has a door of its own, or no mailbox."));
    }
    let text =
        format!("{NEWCOMER} runs behind a router and listens on nothing; its mailbox is at the {coordinator}'s node");
    teller.step("No port", &text, Some(began.elapsed()));
    Ok(())
}

/// A notice to the newcomer while its node is switched off: it waits at the keeper. The case.
pub(super) async fn waits(region: &mut Region, newcomer: &mut Member, teller: &mut Teller) -> Result<String, Failure> {
    newcomer.kill();
    let began = Instant::now();
    let d = &mut region.destination;
    // Consent is a caseworker's, what becomes of a letter of a revoked sender a manager's.
    d.sign_in("admin").await?;
    d.employ("paola", "Paola G.", "Manager").await?;
    d.sign_in("admin").await?;
    d.employ("nadia", "Nadia B.", "Caseworker").await?;
    let person = Person::invented(0, SystemClock.now());
    let opened = d.ask(Call::CaseOpen { to: NEWCOMER.to_owned() }).await?;
    let case = opened["case"].as_str().unwrap_or_default().to_owned();
    let form = person.consent("ShareNotice", vec![]);
    d.ask(Call::ConsentRecord { case: case.clone(), form }).await?;
    d.ask(Call::NoticeSend { case: case.clone(), form: Box::new(person.notice) }).await?;
    let words = format!("at {}, waiting for {NEWCOMER} to fetch it", region.coordinator.name);
    wait_for(&region.destination, &case, |shown| shown["messages"].to_string().contains(&words)).await?;
    let text = format!("{case}, another invented person: sent while {NEWCOMER} is switched off; it is {words}");
    teller.step("Mailbox", &text, Some(began.elapsed()));
    Ok(case)
}

/// Looks at what the keeper knows, with all its keys.
pub(super) async fn kept(region: &mut Region, newcomer: &Member, teller: &mut Teller) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new("CH-E0318", format!("What the keeper has: {e}."));
    let now = SystemClock.now();
    let known = outsider::known(region, now)?;
    let began = Instant::now();
    // Only one may hold its store.
    region.coordinator.kill();
    let seen = learned(region, newcomer, &known, now).map_err(|e| failed(&e))?;
    region.coordinator.start().await?;
    region.coordinator.session = None;
    region.coordinator.sign_in("admin").await?;
    let text = format!(
        "its disk opened with all its keys: 1 envelope for {NEWCOMER}, the hour it came, size class {} KiB; who sent it \
         is nowhere in that, and no key there opens a word; it was killed for the look and lost nothing",
        seen.size_class / 1024
    );
    teller.step("Keeper", &text, Some(began.elapsed()));
    Ok(())
}

/// The only envelope kept, when nothing about it names its sender or opens.
fn learned(region: &Region, newcomer: &Member, known: &Directory, now: u64) -> Result<Kept, String> {
    let (keeper, from) = (&region.coordinator.made, &region.destination.made);
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let (service, content) = (keeper.keys.service(), keeper.keys.content());
    let store = DurableStore::open(&region.coordinator.folder.join(files::STORE)).map_err(|e| text(&e))?.0;
    let vault = Vault::new(service, content).map_err(|e| text(&e))?;
    let ledger = Ledger::new(store, vault);
    let loaded = ledger.load(&[Table::Relay]).map_err(|e| text(&e))?;
    let rows: Vec<&[u8]> = loaded.rows.iter().filter_map(|row| Some(row.value.as_ref()?.as_slice())).collect();
    for id in [from.org.as_bytes(), from.node.as_bytes()] {
        if rows.iter().any(|row| memchr::memmem::find(row, id).is_some()) {
            return Err("a row names who sent it".to_owned());
        }
    }
    let kept: Vec<Kept> = rows.iter().filter_map(|row| <Kept as prost::Message>::decode(*row).ok()).collect();
    let waiting: Vec<&Kept> = kept.iter().filter(|kept| kept.state == KeptState::Waiting as u32).collect();
    let [kept] = waiting.as_slice() else { return Err(format!("{} envelopes wait", waiting.len())) };
    if now / HOUR - kept.hour > 1 || !SIZE_CLASSES.contains(&kept.size_class) {
        return Err("it knows more than an hour and a size class".to_owned());
    }
    let mailbox: MailboxId = rented(region.net, newcomer.made.node, keeper.node);
    let digest = Digest::try_from(kept.digest.as_slice()).map_err(|_| "no digest".to_owned())?;
    let bytes = ledger.read(Table::Envelope, &Depot::bytes_key(mailbox, digest)).map_err(|e| text(&e))?;
    let outside = Outside::parse(&bytes.ok_or("it lies in no mailbox of the newcomer")?).map_err(|e| text(&e))?;
    let reader = Reader::new((keeper.org, keeper.node), known, now);
    let prekeys = content.ok_or("its own keys are locked")?.prekeys();
    let mut secrets = prekeys.values().map(|seed| PrekeySecret::from_seed(seed.expose()));
    if prekeys.is_empty() || secrets.any(|secret| open(&outside, Some(&secret), &reader).is_ok()) {
        return Err("a key there opens it, or there is none".to_owned());
    }
    Ok((*kept).clone())
}

/// In the morning: fetched, opened, acknowledged.
pub(super) async fn fetched(
    region: &Region,
    newcomer: &mut Member,
    case: &str,
    teller: &mut Teller,
) -> Result<(), Failure> {
    let began = Instant::now();
    newcomer.start().await?;
    newcomer.session = None;
    newcomer.sign_in("arta").await?;
    let deadline = Instant::now() + WAIT_MAX;
    while newcomer.ask(Call::Inbox).await?["messages"].as_array().is_none_or(Vec::is_empty) {
        if Instant::now() > deadline {
            return Err(Failure::new("CH-E0319", format!("{NEWCOMER} did not fetch what waits for it.")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let theirs = case_of(newcomer).await?;
    newcomer.ask(Call::Open { case: theirs.clone(), message: None }).await?;
    let contact = |label: &str| ContactForm { label: label.to_owned(), role: "Manager".to_owned() };
    let expected_answer = show_day(SystemClock.now() / DAY + 1);
    let form = AcknowledgeForm { contact: contact(ARTA), alternate: contact("Besa M."), expected_answer };
    newcomer.ask(Call::Acknowledge { case: theirs, form }).await?;
    // What she wrote herself comes after what her node signed.
    let all = |shown: &Value| !shown["facts"]["read"].is_null() && shown["messages"].to_string().contains(ACKNOWLEDGED);
    let shown = wait_for(&region.destination, case, all).await?;
    let by = shown["facts"]["read"]["for"].as_str().unwrap_or_default();
    let text = format!("switched on again, {NEWCOMER} asks its keeper, takes the notice and signs: read by {by}");
    teller.step("Fetched", &text, Some(began.elapsed()));
    Ok(())
}

/// The newcomer's only case.
pub(super) async fn case_of(newcomer: &Member) -> Result<String, Failure> {
    let cases = newcomer.ask(Call::CaseList).await?;
    match cases["cases"].as_array().map(Vec::as_slice) {
        Some([Value::Object(one)]) => Ok(one["case"].as_str().unwrap_or_default().to_owned()),
        _ => Err(Failure::new("CH-E0320", format!("{NEWCOMER} has not the one case it was sent."))),
    }
}
