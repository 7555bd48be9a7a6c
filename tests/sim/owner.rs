//! The owner of a node, by hand: a batch is decided on staged memory, committed once, and only then answered. Between
//! any two of these beats the power may go, and a commit may fail in every way the store's contract knows.

use clearhouse_casework::case::Fact;
use clearhouse_casework::office::mailing::{Deposit, Deposited};
use clearhouse_casework::office::{Effect, Now, Step};
use clearhouse_protocol::ids::{CaseId, Digest, MsgId};
use clearhouse_protocol::mail::{Delivery, DepositFault, Outgoing};
use clearhouse_protocol::receipt;
use clearhouse_protocol::rows::{EventRow, Row, Table};
use clearhouse_store::Store as _;
use clearhouse_store::changes::{Changes, Put};
use clearhouse_store::faulty::Fault;
use clearhouse_store::ledger::LedgerError;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use std::sync::Arc;

use super::Violation;
use super::clocks::ticked;
use super::flaw::Flaw;
use super::model;
use super::net::{Call, Packet, Said, Site};
use super::node::Ask;
use super::notes::{self, Note};
use super::people::{self, Told, Wish};
use super::portrait::{difference, portrait};
use super::relay::{FETCHED, mailbox_there};
use super::world::World;

/// Most asks decided in one batch.
const BATCH_MAX: u64 = 5;

/// What a batch meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meets {
    /// It is committed and answered.
    Nothing,
    /// The power goes once it is decided.
    CrashBeforeCommit,
    /// The power goes once it is durable, before any answer.
    CrashAfterCommit,
    /// The store takes nothing and says so, and goes on.
    Refusal(Fault),
    /// The sync fails: the process stops, and only a start tells whether the batch is there.
    Fatal(Fault),
}

impl Meets {
    fn keeps(self) -> bool {
        matches!(self, Self::Nothing | Self::CrashAfterCommit | Self::Fatal(Fault::FatalButSaved))
    }

    fn crashes(self) -> bool {
        matches!(self, Self::CrashBeforeCommit | Self::CrashAfterCommit | Self::Fatal(_))
    }
}

/// Whom to tell what, once it is durable.
enum Reply {
    Deposit { call: Call, from: Site, digest: Digest, expires: u64, result: Deposited },
    Person(Told),
    Courier { msg_id: MsgId, leaves: bool },
    Reported(MsgId),
}

/// What a batch gathers while it is decided.
#[derive(Default)]
struct Staged {
    rows: Vec<Row>,
    events: Vec<EventRow>,
    effects: Vec<Effect>,
    /// Of each step, in the order of the decisions.
    notes: Vec<Vec<Note>>,
    replies: Vec<Reply>,
    clear: Option<Vec<u8>>,
}

impl World {
    /// One turn of the owner of a site: takes some asks, if any wait.
    pub(super) fn owner(&mut self, site: Site, meets: Meets) -> Result<(), Violation> {
        let batch = self.dice.between(1, BATCH_MAX);
        let waiting = self.nodes[site].up.as_ref().map_or(0, |up| up.inbox.len() as u64).min(batch);
        if waiting == 0 {
            return Ok(());
        }
        let now = self.nodes[site].clock(self.time);
        let before = (meets != Meets::Nothing)
            .then(|| self.nodes[site].up.as_ref().map(|up| portrait(&up.office, &self.model, now)));
        let mut staged = Staged::default();
        let mut deposits = Vec::new();
        for _ in 0..waiting {
            match self.nodes[site].up.as_mut().and_then(|up| up.inbox.pop_front()) {
                Some(Ask::Deposit { call, from, deposit }) => deposits.push((call, from, deposit)),
                Some(ask) => {
                    self.decide_deposits(site, std::mem::take(&mut deposits), &mut staged)?;
                    self.decide(site, ask, &mut staged)?;
                }
                None => break,
            }
        }
        self.decide_deposits(site, deposits, &mut staged)?;
        let after =
            meets.keeps().then(|| self.nodes[site].up.as_ref().map(|up| portrait(&up.office, &self.model, now)));
        let expected = if meets.keeps() { after } else { before };
        self.commit(site, staged, meets)?;
        if meets != Meets::Nothing {
            self.holds(site, expected.flatten(), now)?;
        }
        if meets.crashes() {
            self.nodes[site].crash();
        }
        Ok(())
    }

    /// What a start would find equals what is expected; after a refused batch memory does too.
    fn holds(&mut self, site: Site, expected: Option<super::portrait::Portrait>, now: u64) -> Result<(), Violation> {
        let (Some(expected), Some(up)) = (expected, self.nodes[site].up.as_ref()) else { return Ok(()) };
        let (found, _) = self.nodes[site].shadow(up.open)?;
        match difference(&expected, &portrait(&found, &self.model, now)) {
            Some(other) => Err(Violation::new(format!("site {site} restarts as another node: {other}"))),
            None => Ok(()),
        }
    }

    fn decide_deposits(
        &mut self,
        site: Site,
        deposits: Vec<(Call, Site, Deposit)>,
        staged: &mut Staged,
    ) -> Result<(), Violation> {
        if deposits.is_empty() {
            return Ok(());
        }
        let node = &mut self.nodes[site];
        let (time, key) = (node.clock(self.time), &node.member().sign);
        let Some(up) = node.up.as_mut() else { return Ok(()) };
        let callers: Vec<_> = deposits.iter().map(|(c, s, d)| (*c, *s, d.outside.digest, d.outside.expires)).collect();
        let batch = deposits.into_iter().map(|(_, _, deposit)| deposit).collect();
        let (step, results) = up.office.deposit(batch, &mut Now { time, rng: self.dice.rng(), key });
        for ((call, from, digest, expires), result) in callers.into_iter().zip(results) {
            let result = self.signed_again(site, digest, result);
            let reply = Reply::Deposit { call, from, digest, expires, result };
            if self.flaw == Some(Flaw::ReceiptBeforeCommit) {
                self.reply(site, reply)?;
            } else {
                staged.replies.push(reply);
            }
        }
        self.take(site, step, staged)
    }

    fn decide(&mut self, site: Site, ask: Ask, staged: &mut Staged) -> Result<(), Violation> {
        let node = &mut self.nodes[site];
        let (time, key) = (node.clock(self.time), &node.member().sign);
        let (sure, doubts) = (node.sure(self.time), node.doubts(self.time));
        let Some(up) = node.up.as_mut() else { return Ok(()) };
        let mut now = Now { time, rng: self.dice.rng(), key };
        let (mut wish, mut departs) = (None, None);
        let step = match ask {
            Ask::Deposit { .. } => Step::default(),
            Ask::LeaveHere { call, from, leave } => {
                let (digest, expires) = (leave.outside.digest, leave.outside.expires);
                let (step, mut results) = up.office.leave(vec![leave], &mut now);
                let result = results.pop().unwrap_or(Err(DepositFault::Full));
                staged.replies.push(Reply::Deposit { call, from, digest, expires, result });
                step
            }
            Ask::Acked(digests) => up.office.fetched(mailbox_there(), &digests, time),
            Ask::Letter { digest, result } => up.office.opened(digest, result, &mut now).unwrap_or_default(),
            Ask::Attempt { msg_id, attempt } => {
                staged.replies.push(Reply::Reported(msg_id));
                up.office.attempted(msg_id, attempt, &mut now)
            }
            Ask::Leave(msg_id) => {
                let (mut step, mut leaves) = up.office.depart(msg_id, &mut now);
                match self.flaw {
                    Some(Flaw::LeavesUnannounced) if leaves => step = Step::default(),
                    Some(Flaw::WithdrawalTakesNothingBack) if !leaves => {
                        (step, leaves) = (Step::default(), up.office.mail().is_waiting(msg_id));
                    }
                    _ => {}
                }
                staged.replies.push(Reply::Courier { msg_id, leaves });
                departs = leaves.then_some(Note::Departs(msg_id));
                step
            }
            // Told why, and asked to set the clock; her own word is taken down all the same.
            Ask::Wish(what) if doubts && what.seals() => Step::default(),
            Ask::Wish(what) => {
                let (step, told) = people::act(what, &up.office, time, key, &mut self.dice);
                staged.replies.push(Reply::Person(told));
                wish = Some(what);
                step
            }
            Ask::Tick => ticked(&mut up.office, sure, &mut now)?,
            Ask::Admit(bundle) => up.office.admit(&bundle, &mut now).0,
            Ask::Note(event) => up.office.note(event, None, &mut now),
        };
        let step = self.spoil(step, wish, staged);
        self.take(site, step, staged)?;
        staged.notes.push(departs.into_iter().collect());
        Ok(())
    }

    /// Stages a step: memory takes it, the batch gathers it.
    fn take(&mut self, site: Site, step: Step, staged: &mut Staged) -> Result<(), Violation> {
        let mut notes = notes::notes(&step)?;
        notes.iter().for_each(|note| self.model.hears(note));
        let ended: Vec<Note> = notes.iter().filter_map(|note| self.may_not_go_on(site, note)).collect();
        notes.splice(0..0, ended);
        staged.notes.push(notes);
        if let Some(up) = self.nodes[site].up.as_mut() {
            up.office.take(&step);
        }
        if self.flaw == Some(Flaw::CarriesUncommitted) {
            self.carry_uncommitted(site, &step)?;
        }
        staged.rows.extend(step.rows);
        staged.events.extend(step.events);
        staged.effects.extend(step.effects);
        Ok(())
    }

    /// What is said first of a message that a step takes back: that it may not leave any more, by its case as it was before.
    fn may_not_go_on(&self, site: Site, note: &Note) -> Option<Note> {
        let Note::Outgoing(msg_id, out) = note else { return None };
        let node = &self.nodes[site];
        let case = node.up.as_ref()?.office.cases()?.case(CaseId::try_from(out.case.as_slice()).ok()?)?;
        let stopped = case.release_still_allowed(*msg_id, node.clock(self.time)).is_err();
        (Delivery::of(out) == Delivery::Recalled && stopped).then_some(Note::MayNotGoOn(*msg_id))
    }

    fn commit(&mut self, site: Site, mut staged: Staged, meets: Meets) -> Result<(), Violation> {
        if meets == Meets::CrashBeforeCommit {
            return Ok(());
        }
        let Some(up) = self.nodes[site].up.as_mut() else { return Ok(()) };
        let nothing = staged.rows.is_empty() && staged.events.is_empty();
        if let Meets::Refusal(fault) | Meets::Fatal(fault) = meets
            && !nothing
        {
            up.ledger.store_mut().plan(fault);
        }
        let done = if nothing { Ok(0) } else { up.ledger.commit(&staged.rows, &staged.events, self.dice.rng()) };
        self.commits += 1;
        if let Some(clear) = staged.clear.take() {
            keep_in_clear(up.ledger.store_mut(), clear);
        }
        if let Some(word) = up.ledger.store().leaked {
            return Err(Violation::new(format!("P9: in clear on the disk of site {site}: {word:?}")));
        }
        match (done, meets) {
            (Ok(_), _) => {}
            (Err(LedgerError::Commit(error)), Meets::Fatal(fault)) if error.is_fatal() => {
                if fault == Fault::FatalButSaved {
                    self.believe(site, &staged.notes)?;
                }
                return Ok(());
            }
            (Err(LedgerError::Commit(_)), Meets::Refusal(_)) => return self.refused(site, staged.replies),
            (Err(error), _) => return Err(Violation::new(format!("site {site}: a batch nobody spoilt: {error}"))),
        }
        self.believe(site, &staged.notes)?;
        if meets == Meets::CrashAfterCommit || matches!(meets, Meets::Fatal(_)) {
            return Ok(());
        }
        if staged.effects.contains(&Effect::DirectoryChanged)
            && let Some(up) = self.nodes[site].up.as_mut()
        {
            up.directory = Arc::clone(up.office.directory());
        }
        staged.replies.into_iter().try_for_each(|reply| self.reply(site, reply))
    }

    /// A batch that the store refused: memory goes back to what the store has, and every caller is told.
    fn refused(&mut self, site: Site, replies: Vec<Reply>) -> Result<(), Violation> {
        if self.flaw != Some(Flaw::MemoryAheadOfStore) {
            let open = self.nodes[site].up.as_ref().is_some_and(|up| up.open);
            let (fresh, _) = self.nodes[site].shadow(open)?;
            if let Some(up) = self.nodes[site].up.as_mut() {
                up.office = fresh;
            }
        }
        for reply in replies {
            match reply {
                // It stays at its keeper.
                Reply::Deposit { call: FETCHED, .. } => {}
                Reply::Deposit { call, from, .. } => self.turn_away(site, from, call, true)?,
                Reply::Courier { msg_id, .. } | Reply::Reported(msg_id) => self.set_down(site, msg_id),
                Reply::Person(_) => {}
            }
        }
        Ok(())
    }

    fn reply(&mut self, site: Site, reply: Reply) -> Result<(), Violation> {
        match reply {
            Reply::Deposit { call: FETCHED, digest, result: Ok(_), .. } => {
                self.fetched += 1;
                self.acknowledge(digest)
            }
            Reply::Deposit { call: FETCHED, .. } => Ok(()),
            Reply::Deposit { call, from, digest, expires, result: Ok(receipt) } => {
                self.model.receipt(site, digest, &receipt, expires)?;
                let locked = self.nodes[site].up.as_ref().is_some_and(|up| !up.office.is_open());
                self.answer(site, from, call, Said::Stored(wire::DepositReply { receipt: Some(receipt), locked }))
            }
            Reply::Deposit { call, from, .. } => self.turn_away(site, from, call, false),
            Reply::Person(Told::Sent(msg_id)) => self.model.promised(msg_id),
            Reply::Person(Told::TakenBack(msg_id)) => self.model.taken_back(msg_id),
            Reply::Person(Told::HerWord(case, done)) => self.she_is_told(site, case, &done),
            Reply::Person(Told::Done | Told::Stopped) => Ok(()),
            Reply::Courier { msg_id, leaves: true } => {
                self.model.granted(msg_id);
                self.carry(site, msg_id)
            }
            Reply::Courier { msg_id, leaves: false } | Reply::Reported(msg_id) => {
                self.set_down(site, msg_id);
                Ok(())
            }
        }
    }

    pub(super) fn answer(&mut self, site: Site, to: Site, call: Call, said: Said) -> Result<(), Violation> {
        self.net.send(Packet { call, from: site, to, at: self.time, said }, &mut self.dice)
    }

    fn set_down(&mut self, site: Site, msg_id: MsgId) {
        if let Some(up) = self.nodes[site].up.as_mut() {
            up.errands.remove(&msg_id);
        }
    }

    /// The model learns what is durable now.
    fn believe(&mut self, site: Site, steps: &[Vec<Note>]) -> Result<(), Violation> {
        for notes in steps {
            // Her word comes first: what the same step takes back is taken back because of it.
            self.hear_her(site, notes);
            notes.iter().for_each(|note| self.model.answered(note));
            notes.iter().try_for_each(|note| self.model.committed(site, note))?;
        }
        // And last: nothing of the whole batch that rests on what she withdrew leaves any more.
        steps.iter().for_each(|notes| self.hear_her(site, notes));
        let receipts = steps.iter().flatten().filter_map(|note| match note {
            Note::Receipt(msg_id, receipt) => Some((*msg_id, receipt)),
            _ => None,
        });
        receipts.into_iter().try_for_each(|(msg_id, receipt)| self.check_receipt(site, msg_id, receipt))
    }

    fn hear_her(&mut self, site: Site, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Withdrawn(case, said) => self.stop_resting(site, *case, Some(said)),
                Note::Stayed(case) => self.stop_resting(site, *case, None),
                _ => {}
            }
        }
    }

    /// The planted bugs that spoil a step.
    fn spoil(&self, mut step: Step, wish: Option<Wish>, staged: &mut Staged) -> Step {
        match self.flaw {
            Some(Flaw::OpeningNotWritten) => step.rows.retain(|row| {
                let fact = (row.table == Table::Fact).then(|| Fact::decode(row.value.as_deref().unwrap_or_default()));
                !matches!(fact, Some(Ok(Fact::OpenedHere(_))))
            }),
            Some(Flaw::EventLeftOut) if matches!(wish, Some(Wish::Depart(..))) => step.events.clear(),
            Some(Flaw::WithdrawalTakesNothingBack) if matches!(wish, Some(Wish::Withdraw(_))) => {
                let recalled = |row: &Row| {
                    let out = row.value.as_deref().and_then(|v| Outgoing::decode(v).ok());
                    row.table == Table::Outbox && out.is_some_and(|o| Delivery::of(&o) == Delivery::Recalled)
                };
                let let_go = |row: &Row| row.table == Table::Envelope && row.value.is_none();
                step.rows.retain(|row| !(recalled(row) || let_go(row)));
            }
            Some(Flaw::KeptInClear) => {
                let part = step.rows.iter().find(|row| row.table == Table::Document);
                staged.clear = staged.clear.take().or_else(|| part.and_then(|row| row.value.clone()));
            }
            _ => {}
        }
        step
    }

    fn signed_again(&self, site: Site, digest: Digest, result: Deposited) -> Deposited {
        if self.flaw != Some(Flaw::ReceiptSignedAgain) || result.is_err() {
            return result;
        }
        let member = self.nodes[site].member();
        let net = super::node::region().net;
        let mut fresh = receipt::storage_batch(net, member.node, &[digest], self.time, &member.sign);
        Ok(fresh.remove(0))
    }

    /// The planted courier that goes by what is decided.
    fn carry_uncommitted(&mut self, site: Site, step: &Step) -> Result<(), Violation> {
        for row in step.rows.iter().filter(|row| row.table == Table::Outbox && row.must_be_new) {
            let Some(Ok(out)) = row.value.as_deref().map(Outgoing::decode) else { continue };
            let sealed = step.rows.iter().find(|r| r.table == Table::Envelope && r.key == out.digest);
            let (Some(to), Some(bytes)) = (model::site_of(&out.peer_node), sealed.and_then(|r| r.value.clone())) else {
                continue;
            };
            let Ok(digest) = Digest::try_from(out.digest.as_slice()) else { continue };
            self.model.leaves(site, digest)?;
            let mailbox = self.nodes[to].member().mailbox;
            self.answer(site, to, 0, Said::Deposit { mailbox, digest, bytes: bytes.into() })?;
        }
        Ok(())
    }
}

fn keep_in_clear(disk: &mut super::disk::Disk, value: Vec<u8>) {
    let put = Put { table: Table::Meta as u8, key: [7; 32], value };
    let _ = disk.commit(&Changes { generation: disk.generation(), puts: vec![put], ..Changes::default() });
}
