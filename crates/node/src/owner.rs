//! The one owner of an office and its ledger: takes what wants to be decided, in batches, and keeps the four beats.
//!
//! 1 verify happened before, in the caller's task. 2 decide on memory as staged so far. 3 commit the whole batch with
//! one sync. 4 only then answer and act. A batch that is refused leaves memory as the store has it and is told to
//! every caller; a failed sync ends the process, because nobody knows any more what the disk holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use clearhouse_casework::office::mailing::{Deposit, Deposited};
use clearhouse_casework::office::records::reading_order;
use clearhouse_casework::office::relay::Leave;
use clearhouse_casework::office::{Effect, Now, Office, Step};
use clearhouse_protocol::audit;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::rows::Table;
use clearhouse_store::keyfile::ContentKeys;
use clearhouse_store::ledger::{Ledger, LedgerError, Loaded, ReadError};
use clearhouse_store::{Store, StoreError};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::ahead::on_all_cores;
use crate::clock::{Chance, Clock, chance};
use crate::relay::Polls;

/// Inputs decided and committed together.
const BATCH_MAX: usize = 256;
/// Bytes of deposits committed together.
const BATCH_BYTES_MAX: usize = 48 << 20;
/// Inputs that may wait for the owner; a caller beyond that waits itself.
const QUEUE_MAX: usize = 1024;
/// Entries of the log that are asked for the time.
const TIMES_KNOWN: u64 = 64;
/// Tables held in memory whether cases are open or not, in the order they are read.
pub const SERVICE_TABLES: [Table; 16] = [
    Table::Directory,
    Table::DirectoryLog,
    Table::Mailbox,
    Table::Outbox,
    Table::Taken,
    Table::Conversation,
    Table::Staff,
    Table::Timer,
    Table::Witness,
    Table::Told,
    Table::Heard,
    Table::Proving,
    Table::Erasing,
    Table::Alarm,
    Table::ConsentHistory,
    Table::Relay,
];
/// Tables of cases, held in memory while content is open.
pub const CONTENT_TABLES: [Table; 1] = [Table::Fact];

/// Why an input had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The store refused the batch: disk full, write error, a limit. Nothing was taken; the text says what to do.
    #[error("{0}")]
    Store(String),
    /// The node is stopping.
    #[error("the node is stopping; nothing was taken")]
    Stopping,
    /// Deciding failed by a bug; it was counted and nothing was taken.
    #[error("an internal error; nothing was taken")]
    Bug,
}

type Then<S> = Box<dyn FnOnce(Result<&World<S>, NotTaken>) + Send>;
type Decide<S> = Box<dyn FnOnce(&World<S>, &mut Now<'_, Chance>) -> (Step, Then<S>) + Send>;
/// Who waits for the answer to a deposit.
type Depositor = oneshot::Sender<Result<(Deposited, bool), NotTaken>>;
type Look<S> = Box<dyn FnOnce(&mut World<S>) + Send>;
type Alone<S> = Box<dyn FnOnce(&mut World<S>, &mut Now<'_, Chance>) -> Option<String> + Send>;

enum Ask<S> {
    Deposit(Deposit, Depositor),
    Leave(Leave, Depositor),
    Decide(Decide<S>),
    /// Sees, and may lock or unlock, what is committed; runs after the batch it came in.
    Look(Look<S>),
    /// Runs between two batches and commits what it wants by itself. Says why the process has to stop, if it has to.
    Alone(Alone<S>),
}

/// What the owner owns.
pub struct World<S> {
    /// The office.
    pub office: Office,
    /// Its store behind the vault.
    pub ledger: Ledger<S>,
}

impl<S: Store> World<S> {
    /// Reads the service tables into a fresh office.
    ///
    /// # Errors
    /// [`ReadError`] when a table cannot be read at all, or nothing in any of them opens.
    pub fn load(mut office: Office, ledger: Ledger<S>) -> Result<(Self, Loaded), ReadError> {
        let (found, opened) = read_service(&mut office, &ledger)?;
        if opened == 0 && !found.damaged.is_empty() {
            // Going on would look like an office without staff and cases.
            return Err(ReadError::OtherKeys);
        }
        let mut world = Self { office, ledger };
        if !world.ledger.vault().is_locked() {
            world.load_cases()?;
        }
        Ok((world, found))
    }

    /// The newest time that this node wrote down, and the newest that another node signed, unix seconds; 0 for none.
    ///
    /// # Errors
    /// Of the store.
    pub fn times_known(&self) -> Result<(u64, u64), StoreError> {
        let (count, vault) = (self.ledger.store().event_count(), self.ledger.vault());
        let last = self.ledger.store().events(count.saturating_sub(TIMES_KNOWN), TIMES_KNOWN as usize)?;
        let opening = |leaf| audit::unpad(&vault.open_event(leaf).ok()?.opening);
        let written = last.iter().filter_map(opening).map(|opening| opening.time).max();
        let attested = self.office.directory().newest_word_of_others(self.office.me().node);
        Ok((written.unwrap_or(0), attested.unwrap_or(0)))
    }

    /// Opens the content compartment and reads the cases.
    ///
    /// # Errors
    /// The vault's, when the keys belong to another epoch, or [`ReadError`].
    pub fn unlock(&mut self, content: &ContentKeys) -> Result<(), ReadError> {
        self.ledger.vault().unlock(content)?;
        self.load_cases()?;
        self.retract().map_err(|error| {
            self.lock();
            ReadError::NotErased(error.to_string())
        })
    }

    /// Drops every case and every case key.
    pub fn lock(&mut self) {
        self.ledger.vault().lock();
        self.office.lock();
    }

    fn load_cases(&mut self) -> Result<(), ReadError> {
        let mut loaded = self.ledger.load(&CONTENT_TABLES)?;
        loaded.rows.sort_by(|a, b| a.key.cmp(&b.key));
        self.office.lock();
        self.office.unlock();
        // One by one: what is read and what it was read from are not both held.
        loaded.rows.into_iter().for_each(|row| self.office.apply([&row]));
        self.office.settle_cases();
        Ok(())
    }
}

/// Reads the service tables into an office, one after the other: none is held once it is folded in. Returns what was found,
/// without the rows, and how many there were.
fn read_service<S: Store>(office: &mut Office, ledger: &Ledger<S>) -> Result<(Loaded, usize), ReadError> {
    let (mut found, mut opened) = (Loaded::default(), 0);
    office.recorded(ledger.store().event_count());
    for table in SERVICE_TABLES {
        let mut loaded = ledger.load(&[table])?;
        reading_order(&mut loaded.rows);
        let verdicts = office.try_rows(&loaded.rows, &on_all_cores);
        office.apply_beside(&loaded.rows, &verdicts);
        opened += loaded.rows.len();
        found.locked += loaded.locked;
        found.damaged.extend(loaded.damaged);
    }
    Ok((found, opened))
}

/// What the rest of the node waits for.
pub struct Signals {
    /// Letters wait to be opened.
    pub letters: Notify,
    /// Messages wait to be deposited.
    pub outbox: Notify,
    /// Who waits for what is left in mailboxes kept here.
    pub polls: Arc<Polls>,
    /// The directory as committed.
    pub directory: watch::Sender<Arc<Directory>>,
}

/// The way to the owner. Clones share it.
pub struct Owner<S> {
    asks: mpsc::Sender<Ask<S>>,
    /// What to wait for.
    pub signals: Arc<Signals>,
}

impl<S> Clone for Owner<S> {
    fn clone(&self) -> Self {
        Self { asks: self.asks.clone(), signals: Arc::clone(&self.signals) }
    }
}

impl<S: Store + 'static> Owner<S> {
    /// Starts the owner's thread. The receiver tells when, and with which error, it ended.
    #[must_use]
    pub fn start(world: World<S>, key: SigningKey, clock: Arc<dyn Clock>) -> (Self, oneshot::Receiver<Option<String>>) {
        let (asks, inbox) = mpsc::channel(QUEUE_MAX);
        let signals = Arc::new(Signals {
            letters: Notify::new(),
            outbox: Notify::new(),
            polls: Arc::default(),
            directory: watch::Sender::new(Arc::clone(world.office.directory())),
        });
        let (ended, end) = oneshot::channel();
        let desk = Desk { world, key, clock, signals: Arc::clone(&signals) };
        // A thread of its own: commits block on the disk, and nothing else may wait for them.
        thread::spawn(move || {
            let _ = ended.send(desk.run(inbox));
        });
        (Self { asks, signals }, end)
    }

    /// Takes a deposit. The answer comes once it is durable, with whether cases are locked.
    ///
    /// # Errors
    /// [`NotTaken`]; a refusal by the mailroom is an answer, not an error.
    pub async fn deposit(&self, deposit: Deposit) -> Result<(Deposited, bool), NotTaken> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Deposit(deposit, reply)).await.map_err(|_| NotTaken::Stopping)?;
        answer.await.unwrap_or(Err(NotTaken::Stopping))
    }

    /// Takes an envelope for a mailbox kept here for another node, like [`Owner::deposit`].
    ///
    /// # Errors
    /// [`NotTaken`]; a refusal by a quota is an answer, not an error.
    pub async fn leave(&self, leave: Leave) -> Result<Deposited, NotTaken> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Leave(leave, reply)).await.map_err(|_| NotTaken::Stopping)?;
        answer.await.unwrap_or(Err(NotTaken::Stopping)).map(|(deposited, _)| deposited)
    }

    /// Decides: `decide` sees the office as staged and answers with a step and a value; the value comes back once
    /// the step is durable. An empty step costs no commit.
    ///
    /// # Errors
    /// [`NotTaken`]: then the step had no effect.
    pub async fn decide<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&World<S>, &mut Now<'_, Chance>) -> (Step, T) + Send + 'static,
    ) -> Result<T, NotTaken> {
        let (reply, answer) = oneshot::channel();
        let ask: Decide<S> = Box::new(move |world, now| {
            let (step, value) = decide(world, now);
            let then: Then<S> = Box::new(move |durable| drop(reply.send(durable.map(|_| value))));
            (step, then)
        });
        self.asks.send(Ask::Decide(ask)).await.map_err(|_| NotTaken::Stopping)?;
        answer.await.unwrap_or(Err(NotTaken::Bug))
    }

    /// Looks at what is committed, or locks and unlocks it.
    ///
    /// # Errors
    /// [`NotTaken::Stopping`].
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut World<S>) -> T + Send + 'static,
    ) -> Result<T, NotTaken> {
        let (reply, answer) = oneshot::channel();
        let ask: Look<S> = Box::new(move |world| drop(reply.send(look(world))));
        self.asks.send(Ask::Look(ask)).await.map_err(|_| NotTaken::Stopping)?;
        answer.await.map_err(|_| NotTaken::Bug)
    }
}

impl<S: Store + 'static> Owner<S> {
    /// Acts between two batches, with nothing staged: for what takes more than one commit, or the store itself. Whoever
    /// acts keeps memory and store together. A reason in the answer stops the process.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn alone<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut World<S>, &mut Now<'_, Chance>) -> (T, Option<String>) + Send + 'static,
    ) -> Result<T, NotTaken> {
        let (reply, answer) = oneshot::channel();
        let ask: Alone<S> = Box::new(move |world, now| {
            let (value, fatal) = act(world, now);
            let _ = reply.send(value);
            fatal
        });
        self.asks.send(Ask::Alone(ask)).await.map_err(|_| NotTaken::Stopping)?;
        answer.await.map_err(|_| NotTaken::Bug)
    }
}

struct Desk<S> {
    world: World<S>,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    signals: Arc<Signals>,
}

/// What a batch has gathered while it is decided.
struct Staged<S> {
    step: Step,
    deposits: Vec<Deposit>,
    depositors: Vec<Depositor>,
    leaves: Vec<Leave>,
    leavers: Vec<Depositor>,
    receipts: Vec<(Depositor, Deposited)>,
    thens: Vec<Then<S>>,
    looks: Vec<Look<S>>,
}

impl<S: Store> Desk<S> {
    /// Runs until every way to the owner is gone (`None`) or the store can no longer be trusted (why).
    fn run(mut self, mut inbox: mpsc::Receiver<Ask<S>>) -> Option<String> {
        while let Some(first) = inbox.blocking_recv() {
            let (staged, alone) = self.decide_batch(first, &mut inbox);
            if let Err(fatal) = self.commit_batch(staged) {
                return Some(fatal);
            }
            if let Some(fatal) = alone.and_then(|alone| self.act_alone(alone)) {
                return Some(fatal);
            }
        }
        None
    }

    /// Gathers a batch, and what is to run alone after it, which ends it.
    fn decide_batch(&mut self, first: Ask<S>, inbox: &mut mpsc::Receiver<Ask<S>>) -> (Staged<S>, Option<Alone<S>>) {
        let mut staged = Staged {
            step: Step::default(),
            deposits: vec![],
            depositors: vec![],
            leaves: vec![],
            leavers: vec![],
            receipts: vec![],
            thens: vec![],
            looks: vec![],
        };
        let (mut count, mut bytes, mut next, mut alone) = (0, 0, Some(first), None);
        while let Some(ask) = next {
            match ask {
                Ask::Deposit(deposit, reply) => {
                    bytes += deposit.bytes.len();
                    staged.deposits.push(deposit);
                    staged.depositors.push(reply);
                }
                Ask::Leave(leave, reply) => {
                    bytes += leave.bytes.len();
                    staged.leaves.push(leave);
                    staged.leavers.push(reply);
                }
                Ask::Decide(decide) => {
                    self.decide_deposits(&mut staged);
                    self.decide_one(decide, &mut staged);
                }
                Ask::Look(look) => staged.looks.push(look),
                Ask::Alone(act) => alone = Some(act),
            }
            count += 1;
            // A look may lock or unlock: nothing is decided between it and its batch's commit.
            let full = count >= BATCH_MAX || bytes >= BATCH_BYTES_MAX || !staged.looks.is_empty() || alone.is_some();
            next = if full { None } else { inbox.try_recv().ok() };
        }
        self.decide_deposits(&mut staged);
        (staged, alone)
    }

    /// Runs what runs alone. A bug in it may have left memory behind the store: memory is then read again.
    fn act_alone(&mut self, alone: Alone<S>) -> Option<String> {
        let mut rng = chance();
        let mut now = Now { time: self.clock.now(), rng: &mut rng, key: &self.key };
        let world = &mut self.world;
        match catch_unwind(AssertUnwindSafe(|| alone(world, &mut now))) {
            Ok(fatal) => fatal,
            Err(_) => {
                tracing::error!("an act ended by a bug; memory is read again");
                self.reload().err()
            }
        }
    }

    fn decide_deposits(&mut self, staged: &mut Staged<S>) {
        let mut rng = chance();
        let mut now = Now { time: self.clock.now(), rng: &mut rng, key: &self.key };
        if !staged.deposits.is_empty() {
            let (step, replies) = self.world.office.deposit(std::mem::take(&mut staged.deposits), &mut now);
            self.world.office.take(&step);
            merge(&mut staged.step, step);
            staged.receipts.extend(staged.depositors.drain(..).zip(replies));
        }
        if !staged.leaves.is_empty() {
            let (step, replies) = self.world.office.leave(std::mem::take(&mut staged.leaves), &mut now);
            self.world.office.take(&step);
            merge(&mut staged.step, step);
            staged.receipts.extend(staged.leavers.drain(..).zip(replies));
        }
    }

    fn decide_one(&mut self, decide: Decide<S>, staged: &mut Staged<S>) {
        let mut rng = chance();
        let mut now = Now { time: self.clock.now(), rng: &mut rng, key: &self.key };
        let world = &self.world;
        // A panic costs this one input: memory changes only in `take`, which did not run.
        match catch_unwind(AssertUnwindSafe(|| decide(world, &mut now))) {
            Ok((step, then)) => {
                self.world.office.take(&step);
                merge(&mut staged.step, step);
                staged.thens.push(then);
            }
            Err(_) => tracing::error!("deciding an input failed by a bug; nothing was taken"),
        }
    }

    /// Commits and answers. `Err` ends the process.
    fn commit_batch(&mut self, staged: Staged<S>) -> Result<(), String> {
        let Staged { step, receipts, thens, looks, .. } = staged;
        let outcome = if step.rows.is_empty() && step.events.is_empty() {
            Ok(())
        } else {
            self.world.ledger.commit(&step.rows, &step.events, &mut chance()).map(|_| ())
        };
        match outcome {
            Ok(()) => {
                // Before anybody is told: a revocation that was answered must be in force at the door.
                self.act(&step.effects);
                let locked = !self.world.office.is_open();
                for (reply, deposited) in receipts {
                    let _ = reply.send(Ok((deposited, locked)));
                }
                for then in thens {
                    then(Ok(&self.world));
                }
                for look in looks {
                    look(&mut self.world);
                }
                // Whoever waited has the answer, and goes on meanwhile.
                self.world.ledger.settle().map_err(|error| error.to_string())
            }
            Err(LedgerError::Commit(error)) if error.is_fatal() => {
                refuse(&error.to_string(), receipts, thens);
                Err(error.to_string())
            }
            Err(error) => {
                tracing::warn!(error = %error, "a batch was not taken");
                refuse(&error.to_string(), receipts, thens);
                self.reload()?;
                for look in looks {
                    look(&mut self.world);
                }
                Ok(())
            }
        }
    }

    /// Brings memory back to what the store has, after a batch that was staged and not taken.
    fn reload(&mut self) -> Result<(), String> {
        let directory = self.world.office.directory();
        let found = Directory::found(directory.genesis(), Some(directory.net())).ok();
        let Some(found) = found else { return Err("the directory in memory cannot be founded again".into()) };
        let mut fresh = Office::new(self.world.office.me().clone(), found);
        let failed = |error: ReadError| format!("the store could not be read again: {error}");
        read_service(&mut fresh, &self.world.ledger).map_err(failed)?;
        self.world.office = fresh;
        if !self.world.ledger.vault().is_locked() {
            self.world.load_cases().map_err(failed)?;
        }
        Ok(())
    }

    fn act(&self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::OpenLetters => self.signals.letters.notify_one(),
                Effect::Deliver => self.signals.outbox.notify_one(),
                Effect::Relayed(mailbox) => self.signals.polls.ring(*mailbox),
                Effect::DirectoryChanged => {
                    drop(self.signals.directory.send_replace(Arc::clone(self.world.office.directory())));
                }
            }
        }
    }
}

fn merge(into: &mut Step, step: Step) {
    into.rows.extend(step.rows);
    into.events.extend(step.events);
    for effect in step.effects {
        if !into.effects.contains(&effect) {
            into.effects.push(effect);
        }
    }
}

fn refuse<S>(why: &str, receipts: Vec<(Depositor, Deposited)>, thens: Vec<Then<S>>) {
    for (reply, _) in receipts {
        let _ = reply.send(Err(NotTaken::Store(why.to_owned())));
    }
    for then in thens {
        then(Err(NotTaken::Store(why.to_owned())));
    }
}
