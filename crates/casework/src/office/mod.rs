//! The whole of what an organisation's node knows and decides: directory, mailroom, staff and cases in one value.
//!
//! Pure. A method looks at the office as it stands and answers with a [`Step`]: rows to keep, events to record,
//! effects to carry out. [`Office::apply`] takes rows and is the only thing that changes memory, so an office that
//! starts again from its rows is the same office. No step may have its effects before its rows are durable.
//!
//! Split by subject: [`mailing`] letters in and out, [`records`] the directory, [`people`] staff, [`desk`] what persons do,
//! with `sending` and `taking` for what goes to the other side of a case and comes from it, [`erasing`] how a case goes,
//! [`history`] what stays of it,
//! [`publishing`] the coordinators' directory logs,
//! [`cases`] what is known of cases while content is open, [`witness`] others' logs, [`telling`] and [`hearing`] what nodes
//! show coordinators of their logs, [`proving`] what the ends of a message show each other, [`alarms`] what coordinators
//! raise when a word is missing, [`relay`] the mailboxes kept here for others.

pub mod alarms;
pub mod cases;
pub mod desk;
pub mod erasing;
pub mod hearing;
pub mod history;
pub mod mailing;
pub mod people;
pub mod proving;
pub mod publishing;
pub mod records;
pub mod relay;
mod sending;
mod taking;
pub mod telling;
pub mod watch;
pub mod witness;

use std::sync::Arc;

use clearhouse_protocol::audit::{self, Happening};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{MailboxId, MsgId, Net, NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::mail::Mailroom;
use clearhouse_protocol::relay::Depot;
use clearhouse_protocol::rows::{EventRow, Row, Table};
use clearhouse_protocol::signed::Verdicts;
use rand_core::CryptoRng;

use crate::deadlines::{Deadlines, Zone};
use alarms::Alarms;
use cases::Cases;
use erasing::Erasing;
use hearing::Hearing;
use history::Histories;
use people::Staff;
use proving::Proving;
use publishing::waiting::Waiting;
use telling::Telling;
use watch::DueTimes;
use witness::Witnessed;

/// Who this office is. Fixed for the life of a process.
#[derive(Clone)]
pub struct Me {
    /// The network.
    pub net: Net,
    /// This organisation.
    pub org: OrgId,
    /// This node.
    pub node: NodeId,
    /// Its mailboxes: the first kept here, the others by nodes that keep them for it.
    pub mailboxes: Vec<MailboxId>,
    /// Generation of its record.
    pub generation: u32,
    /// Its time zone, for the deadlines it starts.
    pub zone: Zone,
}

/// What a decision needs besides the office: the time, chance, and the node's signing key.
pub struct Now<'a, R> {
    /// Unix seconds.
    pub time: u64,
    /// A generator fit for keys.
    pub rng: &'a mut R,
    /// The node's signing key.
    pub key: &'a SigningKey,
}

/// Something to do once a step's rows are durable. A hint, never a promise: each can be derived again at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Letters wait to be opened.
    OpenLetters,
    /// Messages wait to be deposited.
    Deliver,
    /// The directory changed: verifiers need the new one.
    DirectoryChanged,
    /// Something was left in a mailbox kept for another node, which may be waiting for it.
    Relayed(MailboxId),
}

/// What a decision asks for.
#[derive(Default)]
pub struct Step {
    /// Rows to keep, all or none.
    pub rows: Vec<Row>,
    /// Events to record in the same commit.
    pub events: Vec<EventRow>,
    /// What to do afterwards.
    pub effects: Vec<Effect>,
    /// What was verified of the records among the rows, so that taking them does not verify it again.
    pub verdicts: Verdicts,
    /// Which cases a tick looked at; other steps look at none.
    pub looked: Option<cases::Looked>,
}

/// An organisation's node, in memory.
pub struct Office {
    me: Me,
    origin: String,
    directory: Arc<Directory>,
    deadlines: Deadlines,
    mail: Mailroom,
    staff: Staff,
    next_event: u64,
    cases: Option<Cases>,
    due_times: DueTimes,
    witnessed: Witnessed,
    telling: Telling,
    hearing: Hearing,
    proving: Proving,
    erasing: Erasing,
    alarms: Alarms,
    histories: Histories,
    depot: Depot,
    waiting: Waiting,
}

impl Office {
    /// An office that knows its network and nothing else. Rows bring back the rest.
    #[must_use]
    pub fn new(me: Me, directory: Directory) -> Self {
        let origin = audit::origin(me.net, me.org, me.node, me.generation);
        let deadlines = records::deadlines_of(&directory);
        Self {
            me,
            origin,
            directory: Arc::new(directory),
            deadlines,
            mail: Mailroom::default(),
            staff: Staff::default(),
            next_event: 0,
            cases: None,
            due_times: DueTimes::default(),
            witnessed: Witnessed::default(),
            telling: Telling::default(),
            hearing: Hearing::default(),
            proving: Proving::default(),
            erasing: Erasing::default(),
            alarms: Alarms::default(),
            histories: Histories::default(),
            depot: Depot::default(),
            waiting: Waiting::default(),
        }
    }

    /// Takes rows, at start from the store and later from the steps just decided. Rows of cases are passed over
    /// while content is locked.
    pub fn apply<'r>(&mut self, rows: impl IntoIterator<Item = &'r Row>) {
        self.apply_beside(rows, &Verdicts::default());
    }

    /// [`Office::apply`], where [`Office::try_rows`] has verified beforehand what it could of the records among the rows.
    pub fn apply_beside<'r>(&mut self, rows: impl IntoIterator<Item = &'r Row>, verdicts: &Verdicts) {
        for row in rows {
            match row.table {
                Table::Mailbox | Table::Taken | Table::Conversation => self.mail.apply(row),
                Table::Outbox => self.apply_outgoing(row),
                Table::Directory => self.apply_record(row, verdicts),
                Table::DirectoryLog => self.apply_directory_log(row),
                Table::Staff => self.staff.apply(row),
                Table::Timer => self.due_times.apply(row),
                Table::Witness => self.apply_witness(row),
                Table::Told => self.telling.apply(row),
                Table::Heard => self.hearing.apply(row),
                Table::Proving => self.proving.apply(row),
                Table::Alarm => self.alarms.apply(row),
                Table::ConsentHistory => self.histories.apply(row),
                Table::Relay => self.depot.apply(row),
                Table::Erasing => {
                    if let (Some(case), Some(cases)) = (self.erasing.apply(row), &mut self.cases) {
                        cases.forget(case);
                    }
                }
                Table::Fact => {
                    if let Some(cases) = &mut self.cases
                        && !cases::case_of(row).is_some_and(|case| self.erasing.is_gone(case))
                    {
                        cases.apply(row);
                    }
                }
                Table::Wrap
                | Table::Envelope
                | Table::Document
                | Table::Meta
                | Table::Receipt
                | Table::Draft
                | Table::Account
                | Table::DirectoryEntry => {}
            }
        }
    }

    fn apply_outgoing(&mut self, row: &Row) {
        self.mail.apply(row);
        let Ok(id) = MsgId::try_from(row.key.as_slice()) else { return };
        if let (Some(cases), Some(out)) = (&mut self.cases, self.mail.outgoing(id)) {
            cases.note_delivery(id, out);
        }
    }

    /// Folds the fate of every outgoing message into the cases just read. After an unlock.
    pub fn settle_cases(&mut self) {
        if let Some(cases) = &mut self.cases {
            for (id, out) in self.mail.all_outgoing() {
                cases.note_delivery(id, out);
            }
        }
    }

    /// Counts events that were recorded. At start, the number the store holds.
    pub fn recorded(&mut self, events: u64) {
        self.next_event = events;
    }

    /// Applies a whole step: its rows, and its events counted.
    pub fn take(&mut self, step: &Step) {
        if let (Some(cases), Some(looked)) = (&mut self.cases, &step.looked) {
            cases.looked(looked);
        }
        self.apply_beside(&step.rows, &step.verdicts);
        self.next_event += step.events.len() as u64;
    }

    /// Opens the content compartment: from now on rows of cases are taken.
    pub fn unlock(&mut self) {
        self.cases.get_or_insert_with(Cases::default);
    }

    /// Drops everything that is known of cases.
    pub fn lock(&mut self) {
        self.cases = None;
    }

    /// Whether cases can be read.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.cases.is_some()
    }

    /// Who this office is.
    #[must_use]
    pub fn me(&self) -> &Me {
        &self.me
    }

    /// The directory as it stands.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The deadlines of this network.
    #[must_use]
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// The mailroom.
    #[must_use]
    pub fn mail(&self) -> &Mailroom {
        &self.mail
    }

    /// The members of staff.
    #[must_use]
    pub fn staff(&self) -> &Staff {
        &self.staff
    }

    /// What is known of cases; `None` while locked.
    #[must_use]
    pub fn cases(&self) -> Option<&Cases> {
        self.cases.as_ref()
    }

    /// How many events this node has recorded.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.next_event
    }

    /// Numbers an event as the next of `step` and adds it.
    fn record<'s, R: CryptoRng>(
        &self,
        step: &'s mut Step,
        happening: &Happening,
        now: &mut Now<'_, R>,
    ) -> &'s EventRow {
        let index = self.next_event + step.events.len() as u64;
        let event = audit::record(happening, self.me.net, &self.origin, index, now.time, now.rng);
        step.events.push(event);
        &step.events[step.events.len() - 1]
    }
}
