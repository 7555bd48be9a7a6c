//! Before the doors open: does anybody hold this node's signature under a larger head than is here? Then the folder is an
//! old copy, and what is missing of the log is taken back from a coordinator's mirror (protocol section 7.6, step 6).
//!
//! What comes back are commitments: that something happened, and not what. A RESTORE entry says so. Cases and messages
//! that came since the copy do not come back this way. Refuses a mirror that does not begin with what is here, or that
//! does not reach what witnesses know, or ever showed: then the node does not start, because it would sign a second history.

mod elsewhere;
mod mirror;

use std::sync::Arc;
use std::time::Duration;

use clearhouse_casework::office::{Now, Step};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::note::NoteKey;
use clearhouse_protocol::log::quorum::{enough, tolerated};
use clearhouse_store::{Changes, EventLeaf, Store, StoreError};
use clearhouse_wire::v1 as wire;
use tokio::task::JoinSet;

use super::alone::Heard;
use super::witnesses::{Line, Memory, WITNESSES_MAX, Word};
use super::{Head, LogError};
use crate::clock::chance;
use crate::owner::World;
use crate::restored::HELD_AT_ONCE;
use elsewhere::Wanted;
use mirror::Mirrors;

/// How long one witness is waited for, all of them at once: a start must not hang on those that are away.
const ASK_ONE: Duration = Duration::from_secs(3);
/// Entries written in one commit, and read in one look.
const BATCH: usize = 1000;

/// What asking before the doors open came to.
pub struct Resumed {
    /// What is known of this node's memory now.
    pub memory: Memory,
    /// Entries that came back from a mirror, also at a start before this one that was cut short; 0 when none were missing.
    pub taken_back: u64,
    /// What the witnesses said.
    pub heard: Heard,
    /// Witnesses that answered.
    pub answered: usize,
}

impl Resumed {
    /// Whether enough witnesses know of nothing more than is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.memory == Memory::Whole
    }
}

/// Asks the witnesses, and takes back what is missing.
///
/// # Errors
/// [`LogError::Older`] when something is missing and does not come back; [`LogError::Twin`] when the log here is not the
/// one that was signed elsewhere; [`LogError::Store`]. The node must not start.
pub async fn resume<S: Store>(
    line: &Line,
    world: &mut World<S>,
    head: Option<Head>,
    key: &SigningKey,
    now: u64,
) -> Result<Resumed, LogError> {
    let Some(head) = head else {
        return Ok(Resumed { memory: Memory::Whole, taken_back: 0, heard: Heard::default(), answered: 0 });
    };
    let directory = world.office.directory().clone();
    let mut asked = ask_all(line, &directory, &head, now).await;
    let shown = match asked.fatal {
        Some(Memory::Older { signed }) => Some(signed),
        Some(Memory::Twin { signed }) => return Err(LogError::Twin { signed, here: head.checkpoint.size }),
        Some(Memory::Unasked | Memory::Whole) | None => None,
    };
    let Some(Wanted { signed, of_a_mirror }) = elsewhere::wanted(world, head.checkpoint.size, shown)? else {
        let whole = asked.all == 0 || asked.nothing_more > tolerated(asked.all);
        let memory = if whole { Memory::Whole } else { Memory::Unasked };
        return Ok(Resumed { memory, taken_back: 0, heard: asked.heard, answered: asked.answered });
    };
    tracing::error!(
        signed,
        here = head.checkpoint.size,
        "this folder is an old copy: the log is taken back from a mirror"
    );
    let older = LogError::Older { signed, here: head.checkpoint.size };
    // Whoever did not answer may know of still more, unless no quorum is possible among them.
    if asked.answered + enough(asked.all) <= asked.all {
        return Err(older);
    }
    let mirrors = Mirrors::read(line, &directory, of_a_mirror, now).await;
    for log in &mirrors.logs {
        // One that does not go on from what is here is passed over; what cannot be written stops the start.
        if let Some(adopted) = adopt(world, log, &mirrors.proved(log), head.checkpoint.size, key, now)? {
            asked.heard.is_taken_back(adopted.size);
            let (memory, answered) = (Memory::Whole, asked.answered);
            return Ok(Resumed { memory, taken_back: adopted.taken_back, heard: asked.heard, answered });
        }
    }
    Err(older)
}

/// What the witnesses said.
#[derive(Default)]
struct Asked {
    all: usize,
    answered: usize,
    nothing_more: usize,
    fatal: Option<Memory>,
    heard: Heard,
}

async fn ask_all(line: &Line, directory: &Arc<Directory>, head: &Head, now: u64) -> Asked {
    let ask = |node: NodeId, key: NoteKey| {
        let (line, directory, head) = (line.clone(), Arc::clone(directory), head.clone());
        // Nothing new is signed for it: a head that no mirror reaches yet must not be with anybody.
        async move { line.probe(&directory, (node, &key), &head).await.map(|said| said.word) }
    };
    gather(directory.witnesses(line.me, now), ask).await
}

/// Asks them side by side, each with a time of its own: those that let every packet fall cost nobody else's answer.
async fn gather<F>(witnesses: Vec<(NodeId, NoteKey)>, ask: impl Fn(NodeId, NoteKey) -> F) -> Asked
where
    F: Future<Output = Option<Word>> + Send + 'static,
{
    let mut asked = Asked { all: witnesses.len(), ..Asked::default() };
    let mut asking = JoinSet::new();
    for (node, key) in witnesses.into_iter().take(WITNESSES_MAX) {
        let word = tokio::time::timeout(ASK_ONE, ask(node, key));
        asking.spawn(async move { (node, word.await.ok().flatten().unwrap_or(Word::Silent)) });
    }
    while let Some(said) = asking.join_next().await {
        let Ok((node, word)) = said else { continue };
        if matches!(word, Word::Silent) {
            continue;
        }
        asked.answered += 1;
        match asked.heard.take(node, &word) {
            Some(fatal) => asked.fatal = Some(worse(asked.fatal, fatal)),
            None => asked.nothing_more += 1,
        }
    }
    asked
}

/// Of two reasons to stop: another history before an older one, and the larger head.
fn worse(one: Option<Memory>, other: Memory) -> Memory {
    match (one, other) {
        (Some(Memory::Twin { signed }), _) => Memory::Twin { signed },
        (Some(Memory::Older { signed: a }), Memory::Older { signed: b }) => Memory::Older { signed: a.max(b) },
        (_, other) => other,
    }
}

/// What a log that goes on from what is here came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Adopted {
    /// Entries that came back, also in an attempt before this one.
    taken_back: u64,
    /// Entries of the log that was signed elsewhere, as far as they are here now.
    size: u64,
}

/// Takes back what is missing, and records that. `None` when the log does not begin with what is here, or ends before what
/// was signed. `erasures` are those that it proves, `signed` is the size of the last head that was signed here.
fn adopt<S: Store>(
    world: &mut World<S>,
    log: &[Hash],
    erasures: &[wire::Opening],
    signed: u64,
    key: &SigningKey,
    now: u64,
) -> Result<Option<Adopted>, LogError> {
    let closed_from = match beside(world.ledger.store(), log, elsewhere::is_under_way(world))? {
        Beside::Strays => return Ok(None),
        Beside::GoesOn => {
            elsewhere::keep(world, None)?;
            let after = world.office.after_copy();
            let cut_short = after.and_then(|after| Some((after.unfinished(signed)?, after.event)));
            // The row stays; what it says of a copy before is no news at this start.
            let (taken_back, up_to) = cut_short.unwrap_or_default();
            return Ok(Some(Adopted { taken_back, size: up_to.max(log.len() as u64) }));
        }
        Beside::Lacks { closed_from } => closed_from,
    };
    let here = world.ledger.store().event_count();
    // An attempt that was cut short may have taken more from another mirror than this one has.
    let size = here.max(log.len() as u64);
    if world.office.signed_elsewhere().is_some_and(|known| known.signed > size) {
        return Ok(None);
    }
    hold_outbox(world, now)?;
    elsewhere::begin(world, log)?;
    let came_back = size - closed_from;
    let count = usize::try_from(here).unwrap_or(usize::MAX);
    for (nth, batch) in log.get(count..).unwrap_or_default().chunks(BATCH).enumerate() {
        let first = count + nth * BATCH;
        let leaf = |(place, commitment): (usize, &Hash)| EventLeaf {
            index: (first + place) as u64,
            commitment: *commitment,
            sealed: Vec::new(),
        };
        let events = batch.iter().enumerate().map(leaf).collect();
        let generation = world.ledger.store().generation();
        let commit = world.ledger.store_mut().commit(&Changes { generation, events, ..Changes::default() });
        commit.map_err(|error| LogError::NotTakenBack(error.to_string()))?;
    }
    world.office.recorded(world.ledger.store().event_count());
    let mut rng = chance();
    let step = world.office.restored((closed_from, size - 1), &mut Now { time: now, rng: &mut rng, key });
    let mut step = step.ok_or_else(|| LogError::NotTakenBack("the entry that says so cannot be made".to_owned()))?;
    // What was erased since goes again, before anybody sees it: known from here on, whatever is cut short.
    let since = || erasures.iter().filter(|opening| opening.index >= closed_from);
    let parts = since().filter(|opening| opening.erased.is_empty()).count() as u64;
    step.rows.extend(world.office.retractions(since()));
    step.rows.push(world.office.came_back(came_back, parts, size, now));
    step.rows.extend(world.office.move_on(now));
    step.rows.push(world.office.elsewhere(None));
    let commit = world.ledger.commit(&step.rows, &step.events, &mut chance());
    commit.map_err(|error| LogError::NotTakenBack(error.to_string()))?;
    world.office.take(&step);
    Ok(Some(Adopted { taken_back: came_back, size }))
}

/// Holds what was under way in the copy, before the entry that says that it is one: people may have recalled it since.
fn hold_outbox<S: Store>(world: &mut World<S>, now: u64) -> Result<(), LogError> {
    loop {
        let step = Step { rows: world.office.hold_old(HELD_AT_ONCE, now), ..Step::default() };
        if step.rows.is_empty() {
            return Ok(());
        }
        let commit = world.ledger.commit(&step.rows, &[], &mut chance());
        commit.map_err(|error| LogError::NotTakenBack(error.to_string()))?;
        world.office.take(&step);
    }
}

/// How the entries here stand to those of a mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beside {
    /// They are not of one log.
    Strays,
    /// All of the mirror is here, and that it was taken back is recorded: a crash came before the next head.
    GoesOn,
    /// The mirror has more, or the entry is missing that says what came back. Entries at the end that are closed, from
    /// this one on, came back in an attempt that was cut short.
    Lacks {
        /// The first of them, or the next entry.
        closed_from: u64,
    },
}

/// `is_under_way` when a start began to take a log back, and none has said so yet.
fn beside(store: &impl Store, mirror: &[Hash], is_under_way: bool) -> Result<Beside, StoreError> {
    let (count, mirrored) = (store.event_count(), mirror.len() as u64);
    let (mut next, mut closed_from) = (0, 0);
    // To the last entry here, also past the mirror: an attempt that was cut short may have followed a longer one.
    while next < count {
        let wanted = usize::try_from(count - next).unwrap_or(usize::MAX).min(BATCH);
        let page = store.events(next, wanted)?;
        for leaf in &page {
            let place = usize::try_from(leaf.index).unwrap_or(usize::MAX);
            if leaf.index < mirrored && mirror.get(place) != Some(&leaf.commitment) {
                return Ok(Beside::Strays);
            }
            if !leaf.sealed.is_empty() {
                closed_from = leaf.index + 1;
            }
        }
        if page.is_empty() {
            return Ok(Beside::Strays);
        }
        next += page.len() as u64;
    }
    // Nothing is recorded after what came back but by way of the entry that says so, and that one opens.
    let said = closed_from > mirrored || (closed_from == mirrored && count == mirrored);
    Ok(if said && !is_under_way { Beside::GoesOn } else { Beside::Lacks { closed_from } })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
