//! What leaf, tick and receipt add to a durable accept: the same envelopes accepted without and with them, side by side.
//!
//! An accept is what a node does behind its door: it reads the envelope's outside, decides, takes the decision into
//! memory and commits it. On one thread and without a network, so that nothing hides what is added. What is added is
//! held against all of that, and against the commit alone.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use clearhouse_casework::office::mailing::Deposit;
use clearhouse_casework::office::{Me, Now, Office};
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::log::Keeper;
use clearhouse_protocol::audit;
use clearhouse_protocol::envelope::Outside;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::mail::Arrival;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_store::heads::{Heads, HeadsFile};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_store::{DurableStore, Store as _};
use clearhouse_wire::v1::{DepositReply, StorageReceipt};
use prost::Message as _;

use super::measure::{Outcome, Spread, micros, thread_time};
use super::node::{directory, founded, me};
use super::sealing::Sealer;
use super::table::{self, Goal, Sheet};
use crate::demo::region::{Member, Region};

/// Deposits of one commit, and commits of one tick.
const BATCH: usize = 64;
const BATCHES: usize = 16;
/// Ticks in each round.
const TICKS: usize = 2;

/// Processor and time.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn add<T>(&mut self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let (began, cpu) = (Instant::now(), thread_time());
        let done = black_box(work()?);
        self.cpu += thread_time().saturating_sub(cpu);
        self.wall += began.elapsed();
        Ok(done)
    }
}

/// What one round measured.
#[derive(Clone, Copy, Default)]
struct Round {
    /// Without receipt, leaf and tick; of it, the commits.
    plain: Cost,
    commits: Cost,
    /// With receipts and leaves.
    whole: Cost,
    /// Of it, the commits.
    its_commits: Cost,
    ticks: Cost,
}

impl Round {
    /// Microseconds of an accept.
    fn each(of: Duration) -> f64 {
        micros(of) / (TICKS * BATCHES * BATCH) as f64
    }

    fn added(&self) -> f64 {
        Self::each(self.whole.cpu + self.ticks.cpu) - Self::each(self.plain.cpu)
    }
}

/// An office without a network.
struct Desk {
    office: Office,
    ledger: Ledger<DurableStore>,
    key: SigningKey,
    now: u64,
}

impl Desk {
    fn open(region: &Region, member: &Member, me: &Me, folder: &Path, now: u64) -> Outcome<Self> {
        let (store, _) = DurableStore::open(folder)?;
        let keys = &member.made.keys;
        let ledger = Ledger::new(store, Vault::new(keys.service(), None)?);
        let key = SigningKey::from_seed(keys.service().node_seed.expose());
        Ok(Self { office: Office::new(me.clone(), founded(region)?), ledger, key, now })
    }

    /// Without receipt and leaf. Returns the answers, as they go to the network.
    fn keep(&mut self, letters: Vec<Vec<u8>>, commit: &mut Cost) -> Outcome<Vec<Vec<u8>>> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for (nth, deposit) in read(letters)?.into_iter().enumerate() {
            let (len, mine) = (deposit.bytes.len(), &self.office.me().mailboxes);
            let arrival = self.office.mail().arrive(&deposit.outside, len, (nth, bytes), mine, self.now);
            if !matches!(arrival, Ok(Arrival::New)) {
                return Err("an envelope that is not taken".into());
            }
            bytes += len as u64;
            let none = StorageReceipt::default();
            rows.extend(self.office.mail().store(&deposit.outside, deposit.bytes, nth as u64, &none, self.now));
        }
        self.office.apply(&rows);
        commit.add(|| Ok(self.ledger.commit(&rows, &[], &mut chance())?))?;
        let answer = || DepositReply { receipt: None, locked: true }.encode_to_vec();
        Ok((0..rows.len() / 2).map(|_| answer()).collect())
    }

    /// As a node accepts them.
    fn accept(&mut self, letters: Vec<Vec<u8>>, commit: &mut Cost) -> Outcome<Vec<Vec<u8>>> {
        let deposits = read(letters)?;
        let mut rng = chance();
        let mut now = Now { time: self.now, rng: &mut rng, key: &self.key };
        let (step, replies) = self.office.deposit(deposits, &mut now);
        self.office.take(&step);
        commit.add(|| Ok(self.ledger.commit(&step.rows, &step.events, &mut chance())?))?;
        let answer = |receipt| DepositReply { receipt: Some(receipt), locked: true }.encode_to_vec();
        Ok(replies.into_iter().map(|reply| reply.map(answer)).collect::<Result<_, _>>()?)
    }

    /// Signs for everything so far, as a tick does.
    fn tick(&self, keeper: &mut Keeper) -> Outcome<()> {
        let store = self.ledger.store();
        let mut fresh: Vec<Hash> = Vec::new();
        // In pages, as the keeper of a node reads them.
        while keeper.size() + (fresh.len() as u64) < store.event_count() {
            fresh.extend(store.commitments(keeper.size() + fresh.len() as u64, 1000)?);
        }
        Ok(keeper.advance(&fresh, store.generation())?)
    }

    /// Empties its mailbox in memory: it holds only so many. The store keeps them.
    fn empty(&mut self) {
        let gone =
            |digest| Row { table: Table::Mailbox, key: digest, value: None, under: Under::Service, must_be_new: false };
        let rows: Vec<Row> = self.office.mail().unopened().iter().map(|digest| gone(digest.to_vec())).collect();
        self.office.apply(&rows);
    }
}

fn read(letters: Vec<Vec<u8>>) -> Outcome<Vec<Deposit>> {
    let one = |bytes: Vec<u8>| Ok(Deposit { outside: Outside::parse(&bytes)?, bytes });
    letters.into_iter().map(one).collect()
}

/// Adds it, on `rounds` rounds.
pub(crate) fn add(rounds: usize, folder: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let now = SystemClock.now();
    let region = Region::found_in(folder, Path::new("clearhouse"), "", false, now)?;
    let member = &region.coordinator;
    let (me, _) = me(&region, member)?;
    let sealer = Sealer::new(&directory(&region)?, &region.destination, member, now)?;
    let sample = sealer.seal(&vec![0xA5; sealer.longest_small_body()?], &[])?.bytes;
    let mut plain = Desk::open(&region, member, &me, &folder.join("plain"), now)?;
    let mut whole = Desk::open(&region, member, &me, &folder.join("whole"), now)?;
    let keys = member.made.keys.service();
    let heads = HeadsFile::create(&folder.join("heads"), (me.net, me.node), keys, Heads::default())?;
    let origin = audit::origin(me.net, me.org, me.node, me.generation);
    let log_key = SigningKey::from_seed(keys.log_seed.expose());
    let mut keeper = Keeper::open(heads, &folder.join("kept"), origin, log_key, whole.ledger.store())?;
    let mut count = 0u64;
    let mut all = Vec::new();
    // The first round does not count: files grow to their working size.
    for n in 0..=rounds {
        let mut round = Round::default();
        for batch in 1..=TICKS * BATCHES {
            // A mailbox cannot tell what is sealed from what is not, so a number in it makes it another envelope.
            let letters: Vec<Vec<u8>> = (0..BATCH).map(|_| numbered(&sample, &mut count)).collect();
            let again = letters.clone();
            // By turns, so that neither always finds the memory as the other left it.
            if batch % 2 == 0 {
                round.plain.add(|| plain.keep(letters, &mut round.commits))?;
                round.whole.add(|| whole.accept(again, &mut round.its_commits))?;
            } else {
                round.whole.add(|| whole.accept(again, &mut round.its_commits))?;
                round.plain.add(|| plain.keep(letters, &mut round.commits))?;
            }
            plain.empty();
            whole.empty();
            if batch % BATCHES == 0 {
                round.ticks.add(|| whole.tick(&mut keeper))?;
            }
        }
        if n > 0 {
            all.push(round);
        }
    }
    if keeper.size() != count {
        return Err("an accept without a leaf".into());
    }
    report(&all, sample.len(), sheet);
    Ok(())
}

/// The envelope with a number of its own.
fn numbered(sample: &[u8], count: &mut u64) -> Vec<u8> {
    let mut letter = sample.to_vec();
    let at = letter.len().saturating_sub(8);
    letter[at..].copy_from_slice(&count.to_be_bytes());
    *count += 1;
    letter
}

fn report(rounds: &[Round], len: usize, sheet: &mut Sheet) {
    let over = |read: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(read).collect());
    let of: Vec<_> = rounds.iter().map(|r| (Round::each(r.plain.cpu) + r.added(), Round::each(r.plain.cpu))).collect();
    let name = "accept with receipt, leaf and tick, of processor; floor: without them";
    sheet.rows.push(table::Row::held(name, "us", &of, Goal::None));
    sheet.remark(format!(
        "an envelope of {len} bytes accepted, {BATCH} a commit, a tick each {}: before the commit {} us, in it {}, ticks {}; a \
         tick takes {} ms; a bare commit is {} us of the processor",
        BATCH * BATCHES,
        over(&|r| r.added() - Round::each(r.its_commits.cpu) + Round::each(r.commits.cpu) - Round::each(r.ticks.cpu)),
        over(&|r| Round::each(r.its_commits.cpu) - Round::each(r.commits.cpu)),
        over(&|r| Round::each(r.ticks.cpu)),
        over(&|r| micros(r.ticks.wall) / 1000.0 / TICKS as f64),
        over(&|r| Round::each(r.commits.cpu)),
    ));
}
