//! Holds the logs that a coordinator's node heard of against each other, and says what is missing.
//!
//! Reads page by page through the owner, so that deposits go on meanwhile; what is held in memory is a few bytes for
//! each message, never the openings themselves. What comes out is coarsened before it leaves this module: organisations,
//! weeks and counts, no digest and no position (decision 12).

use std::collections::BTreeMap;

use clearhouse_casework::office::hearing::{Heard, Page, page_key};
use clearhouse_protocol::ids::{Digest, Net, NodeId, OrgId};
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::{Checkpoint, SignedCheckpoint};
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::reconcile::account::{Account, Head, Shown, examine};
use clearhouse_protocol::reconcile::coarse::{Coarse, coarse};
use clearhouse_protocol::reconcile::{Finding, Join, Party, Policy, Settled, settle};
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::mpsc;

use crate::owner::{NotTaken, Owner, World};

/// Pages read in one look at the store.
const PAGES: usize = 16;
/// Openings under way between the store and the examination.
const UNDER_WAY: usize = 128;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The node is stopping.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// A page does not open or does not follow.
    #[error("what was heard of the log of {node} cannot be read from entry {entry} on")]
    Page {
        /// Whose log.
        node: NodeId,
        /// The first entry of the page.
        entry: u64,
    },
    /// An error of this program.
    #[error("an error of this program")]
    Bug,
}

/// One log as it took part.
pub struct Audited {
    /// Whose.
    pub party: Party,
    /// Entries heard.
    pub entries: u64,
    /// Entries up to the head that everything was found to fit; `None` when there is none.
    pub up_to: Option<u64>,
}

/// What was found.
pub struct Reconciled {
    /// The logs, by node.
    pub logs: Vec<Audited>,
    /// What may be shown, between organisations.
    pub coarse: Coarse<OrgId>,
    /// Questions that wait because somebody's log has not been heard far enough.
    pub waiting: u64,
    /// Findings in all, before coarsening.
    pub findings: usize,
    /// The urgent ones, exact: they stay in this process but for the alarm to the two ends.
    pub urgent: Vec<Finding>,
    /// Before this time, unix seconds, no opening is needed any more ([`Report::needed_from`]).
    ///
    /// [`Report::needed_from`]: clearhouse_protocol::reconcile::Report::needed_from
    pub needed_from: u64,
    /// Which openings of erased cases are needed no more.
    pub settled: Settled,
    /// There may be such openings.
    pub lets_go: bool,
}

/// What is asked of the office at the beginning.
struct Scene {
    net: Net,
    known: Vec<Party>,
    logs: Vec<(Party, Heard)>,
}

/// One log without its openings.
struct Outline {
    party: Party,
    origin: String,
    /// Openings below this are deleted.
    first: u64,
    /// Entries let go of, as ranges, and the messages that are settled with them.
    let_go: Vec<(u64, u64)>,
    settled: Vec<Digest>,
    commitments: Vec<Hash>,
    heads: Vec<Head>,
    /// Where its pages begin.
    pages: Vec<u64>,
}

/// Reconciles everything heard of so far, as of `now`.
///
/// # Errors
/// [`ReconcileError`]. A log that contradicts itself is a finding and no error.
pub async fn reconcile<S: Store + 'static>(
    owner: &Owner<S>,
    policy: Policy,
    now: u64,
) -> Result<Reconciled, ReconcileError> {
    let scene = owner.look(|world| scene(world)).await?;
    let mut join = Join::new(policy, scene.known.iter().copied());
    let (mut findings, mut logs): (Vec<Finding>, Vec<Audited>) = (Vec::new(), Vec::new());
    for (party, heard) in scene.logs {
        let outline = outline(owner, party, &heard).await?;
        outline.settled.iter().for_each(|digest| join.close(*digest));
        let entries = heard.size;
        let (shown, openings) = mpsc::channel(UNDER_WAY);
        let reading = read_openings(owner.clone(), party, outline.origin.clone(), outline.pages.clone(), shown);
        let net = scene.net;
        let examining = tokio::task::spawn_blocking(move || examine_one(&outline, net, openings, &policy, now, join));
        let (read, examined) = tokio::join!(reading, examining);
        read?;
        let (taken, examined, up_to) = examined.map_err(|_| ReconcileError::Bug)?;
        join = taken;
        findings.extend(examined);
        logs.push(Audited { party, entries, up_to });
    }
    let judge = move || {
        let mut report = join.report(now);
        report.findings.append(&mut findings);
        settle(&mut report.findings);
        let coarse = coarse(&report, &policy, |org| org);
        let (findings, needed_from) = (report.findings.len(), report.needed_from(now));
        let (lets_go, settled) = (!report.closed.is_empty(), join.settled(&report, now));
        let urgent = report.findings.into_iter().filter(Finding::is_urgent).collect();
        Reconciled {
            logs,
            coarse,
            waiting: report.unheard.values().sum(),
            findings,
            urgent,
            needed_from,
            settled,
            lets_go,
        }
    };
    tokio::task::spawn_blocking(judge).await.map_err(|_| ReconcileError::Bug)
}

fn scene<S: Store>(world: &World<S>) -> Scene {
    let directory = world.office.directory();
    let known = directory.orgs().flat_map(|(org, _)| directory.nodes_of(org).map(move |node| (org, node)));
    let log = |(node, heard): (NodeId, &Heard)| {
        let org = OrgId::try_from(heard.org.as_slice()).ok()?;
        Some(((org, node), heard.clone()))
    };
    Scene { net: world.office.me().net, known: known.collect(), logs: world.office.heard().filter_map(log).collect() }
}

/// Reads everything of a log but its openings.
async fn outline<S: Store + 'static>(owner: &Owner<S>, party: Party, heard: &Heard) -> Result<Outline, ReconcileError> {
    let mut outline = Outline {
        party,
        origin: heard.origin.clone(),
        first: heard.first,
        let_go: Vec::new(),
        settled: Vec::new(),
        commitments: Vec::new(),
        heads: Vec::new(),
        pages: Vec::new(),
    };
    let mut heads: BTreeMap<(u64, Hash), Head> = BTreeMap::new();
    while (outline.commitments.len() as u64) < heard.size {
        let first = outline.commitments.len() as u64;
        for page in pages(owner, party, &outline.origin, first, heard.size).await? {
            outline.pages.push(outline.commitments.len() as u64);
            let root = Hash::try_from(page.root.as_slice()).unwrap_or_default();
            // The earliest time that each head was seen counts: later ones say nothing about when it was made.
            let head = Head { size: page.size, root, seen: page.seen };
            heads.entry((head.size, root)).or_insert(head);
            for (kept, index) in
                page.entries.iter().zip(outline.commitments.len() as u64..).filter(|(k, _)| k.is_let_go)
            {
                match outline.let_go.last_mut() {
                    Some((_, last)) if *last + 1 == index => *last = index,
                    _ => outline.let_go.push((index, index)),
                }
                outline.settled.extend(Digest::try_from(&kept.settled[..]).ok());
            }
            let leaves = page.entries.iter().filter_map(|kept| Hash::try_from(&kept.commitment[..]).ok());
            outline.commitments.extend(leaves);
        }
    }
    outline.heads = heads.into_values().collect();
    let contradiction = heard.contradiction.clone();
    let node = party.1;
    let seen = owner.look(move |world| contradicting(world, node, &contradiction)).await?;
    outline.heads.extend(seen);
    Ok(outline)
}

/// The head that did not fit, if there was one.
fn contradicting<S: Store>(world: &World<S>, node: NodeId, note: &[u8]) -> Option<Head> {
    let directory = world.office.directory();
    let head = SignedCheckpoint::of(Note::parse(note).ok()?, &directory.log_key(node)?).ok()?;
    let Checkpoint { size, root, .. } = *head.checkpoint();
    Some(Head { size, root, seen: Vec::new() })
}

/// The next pages of a log, at least one.
pub(crate) async fn pages<S: Store + 'static>(
    owner: &Owner<S>,
    party: Party,
    origin: &str,
    first: u64,
    size: u64,
) -> Result<Vec<Page>, ReconcileError> {
    let origin = origin.to_owned();
    let pages = owner.look(move |world| {
        let (mut pages, mut next) = (Vec::new(), first);
        while next < size && pages.len() < PAGES {
            let value = world.ledger.read(Table::Account, &page_key(&origin, next)).ok().flatten();
            let page = value.and_then(|value| Page::decode(Bytes::from(value.to_vec())).ok());
            let Some(page) = page.filter(|page| !page.entries.is_empty()) else { return Err(next) };
            next += page.entries.len() as u64;
            pages.push(page);
        }
        Ok(pages)
    });
    pages.await?.map_err(|entry| ReconcileError::Page { node: party.1, entry })
}

/// Sends every opening of a log on to be examined.
async fn read_openings<S: Store + 'static>(
    owner: Owner<S>,
    party: Party,
    origin: String,
    firsts: Vec<u64>,
    shown: mpsc::Sender<Shown>,
) -> Result<(), ReconcileError> {
    let Some(size) = firsts.last().map(|last| last + 1) else { return Ok(()) };
    let mut next = 0;
    while next < size {
        for page in pages(&owner, party, &origin, next, size).await? {
            for kept in page.entries {
                let index = next;
                next += 1;
                let Ok(salt) = <[u8; 32]>::try_from(&kept.salt[..]) else { continue };
                if shown.send(Shown { index, salt, opening: kept.opening }).await.is_err() {
                    return Err(ReconcileError::Bug);
                }
            }
        }
    }
    Ok(())
}

fn examine_one(
    outline: &Outline,
    net: Net,
    mut openings: mpsc::Receiver<Shown>,
    policy: &Policy,
    now: u64,
    mut join: Join,
) -> (Join, Vec<Finding>, Option<u64>) {
    let account = Account {
        party: outline.party,
        net,
        origin: &outline.origin,
        heads: &outline.heads,
        audited: None,
        // A head's witnesses are listed only when they were enough, so that one of them tells that they were.
        quorum: 1,
        faulty: 0,
        commitments: &outline.commitments,
        first: outline.first,
        settled: &outline.let_go,
    };
    let shown = std::iter::from_fn(|| openings.blocking_recv());
    let examined = examine(&account, shown, policy, now, |opening| join.take(outline.party, opening));
    join.hear(examined.standing);
    (join, examined.findings, examined.audited.map(|(size, _)| size))
}
