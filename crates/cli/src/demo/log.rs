//! The last step: the log of a node in a stranger's hands.

use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::log::folder::{self, FolderFault, Known, Whole};
use clearhouse_node::log::vouched::Vouched;
use clearhouse_node::setup::files;
use clearhouse_protocol::log::LEAF_LEN;
use clearhouse_protocol::log::tiles::{TILE_WIDTH, bundles_added};

use super::region::Region;
use super::{Failure, Teller};
use crate::log_folder::Pages;

/// How long the next signed head may take.
const WAIT_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Entries about the telling and proving of entries, at the end of a log at rest.
const OWN_MAIL_MAX: u64 = 24;

/// Waits until each end has proved to the other, by its log, what it did with every message.
pub(super) async fn proved(region: &mut Region, case: &str, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let deadline = Instant::now() + WAIT_MAX;
    let mut messages = 0;
    for member in [&region.destination, &region.origin] {
        loop {
            let shown = member.ask(Call::CaseShow { case: case.to_owned() }).await?;
            let all = shown["messages"].as_array().cloned().unwrap_or_default();
            if all.iter().all(|message| !message["proved"].is_null()) {
                messages = all.len();
                break;
            }
            if Instant::now() > deadline {
                return Err(Failure::new("CH-E0309", "A message was not proved by the other side's log in time."));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    let text =
        format!("each end holds the proof that all {messages} messages are in the other's log, under a cosigned head");
    teller.step("Proofs", &text, Some(began.elapsed()));
    Ok(())
}

/// Waits until the coordinator has heard the whole case, and lets it hold the two logs against each other.
pub(super) async fn reconciled(region: &mut Region, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let deadline = Instant::now() + WAIT_MAX;
    let happened = region.origin.ask(Call::AuditList { from: None, count: Some(1) }).await?["events"].as_u64();
    let found = loop {
        // The last entries may be about the telling itself, which is told along with the next thing that happens.
        let logs = region.coordinator.ask(Call::AuditLogs).await?;
        let heard = |name: &str| logs["heard"].as_array()?.iter().find(|log| log["with"] == name)?["entries"].as_u64();
        let whole =
            heard(region.destination.name) > Some(0) && heard(region.origin.name).map(|n| n + OWN_MAIL_MAX) > happened;
        if whole {
            let found = region.coordinator.ask(Call::AuditReconcile).await?;
            if found["waiting"] == 0 {
                break found;
            }
        }
        if Instant::now() > deadline {
            return Err(Failure::new("CH-E0310", "The coordinator did not hear the logs in time."));
        }
        tokio::time::sleep(LOOK_EVERY * 10).await;
    };
    let entries: u64 = found["logs"].as_array().map_or(0, |l| l.iter().filter_map(|l| l["entries"].as_u64()).sum());
    if found["findings"] != 0 {
        return Err(Failure::new("CH-E0311", format!("The coordinator found what nobody did: {found}.")));
    }
    let text = format!(
        "the coordinator held {entries} entries of two logs against each other: nothing is missing; what it found is \
         signed and in its own log"
    );
    teller.step("Audit", &text, Some(began.elapsed()));
    Ok(())
}

/// Takes the receiver's log away, checks it with no key of anybody, and again with one byte changed.
pub(super) async fn checked(region: &mut Region, teller: &mut Teller) -> Result<(), Failure> {
    let began = Instant::now();
    let failed = |what: &str| Failure::new("CH-E0308", format!("The log could not be tried: {what}."));
    let o = &region.origin;
    let deadline = Instant::now() + WAIT_MAX;
    // The next head covers all that happened so far.
    let newest = || o.ask(Call::AuditList { from: None, count: Some(1) });
    let happened = newest().await?["events"].as_u64();
    while newest().await?["signed"].as_u64() < happened {
        if Instant::now() > deadline {
            return Err(failed("no head covers it"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // Each look is itself an entry, so that there is always a next head to be cosigned.
    let first = loop {
        let first = o.ask(Pages::first()).await?;
        let signatures = first["checkpoint"].as_str().map_or(0, |note| note.matches("\n\u{2014} ").count());
        if signatures > 1 || Instant::now() > deadline {
            break first;
        }
        tokio::time::sleep(LOOK_EVERY * 10).await;
    };
    let mut pages = Pages::of(first).map_err(|e| failed(&e.text))?;
    while let Some(call) = pages.next() {
        if !pages.take(&o.ask(call).await?).map_err(|e| failed(&e.text))? {
            break;
        }
    }
    let genesis = std::fs::read(o.folder.join(files::GENESIS)).map_err(|e| failed(&e.to_string()))?;
    let folder = region.folder.join("exported-log");
    pages.write(&folder, &genesis).map_err(|e| failed(&e.to_string()))?;
    let check = || folder::verify(&folder, Known::default(), SystemClock.now());
    let whole = check().map_err(|fault| failed(&fault.to_string()))?;
    let Vouched::Records { label, .. } = &whole.vouched else { return Err(failed("nobody vouches for its key")) };
    let changed = whole.checkpoint.size / 2;
    flip(&folder, &whole, changed).map_err(|e| failed(&e.to_string()))?;
    match check() {
        Err(FolderFault::Entry(at)) if at == changed => {}
        Err(fault) => return Err(failed(&format!("the changed byte was seen as: {fault}"))),
        Ok(_) => return Err(failed("a changed byte was not seen")),
    }
    let cosigned = whole.sight.witnesses.first().map_or_else(String::new, |w| format!(", cosigned in {}", w.country));
    let text = format!(
        "{label}'s log of {} entries{cosigned}, checked with no key of anybody: nothing removed or changed; one byte \
         changed in a copy: found at entry {changed}",
        whole.checkpoint.size
    );
    teller.step("Log", &text, Some(began.elapsed()));
    Ok(())
}

/// Changes one byte of one entry of an exported log.
fn flip(folder: &Path, log: &Whole, entry: u64) -> std::io::Result<()> {
    let Some(bundle) = bundles_added(0, log.checkpoint.size).find(|bundle| bundle.index == entry / TILE_WIDTH) else {
        return Ok(());
    };
    let path = folder.join(bundle.path());
    let mut bytes = std::fs::read(&path)?;
    let at = usize::try_from(entry % TILE_WIDTH).unwrap_or(0) * (LEAF_LEN + 2) + 10;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    std::fs::write(path, bytes)
}
