//! The one door through which the command line and the desk come: plain questions, plain values, a signed-in person.
//!
//! Every act is somebody's (decision 28): a call that touches a case names a session, a session names a person, and
//! the office asks that person's role. Nothing here formats for a screen and nothing here logs what it is asked.

mod acts;
mod alarms;
mod astray;
mod attest;
mod audit;
mod backup;
mod erasing;
mod evidence;
mod findings;
mod history;
mod netcheck;
mod outbox;
mod people;
mod quarantine;
mod records;
mod show;
mod standing;
mod state;
mod vouched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clearhouse_casework::office::desk::Stop;
use clearhouse_casework::refusal::Moment;
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::ids::{NodeId, StaffId};
use clearhouse_protocol::rows::Table;
use clearhouse_store::keyfile::{KdfCost, KeyFileError, Opened};
use clearhouse_store::{Finding, Store};
use serde_json::Value;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::calls::Call;
use crate::clock::Clock;
use crate::control::{ControlFailure, SessionToken};
use crate::limits::Counters;
use crate::log::view::View;
use crate::log::witnesses::Memory;
use crate::opener::Prekeys;
use crate::owner::{NotTaken, Owner};
use crate::rpc::client::Pool;
use crate::sync::Puller;

pub(crate) use show::org_label;

/// A session ends this long after its last call.
const SESSION_IDLE_SECS: u64 = 12 * 60 * 60;
/// Sessions at once.
const SESSIONS_MAX: usize = 64;
/// Bytes of staged attachments, all sessions together.
const STAGED_MAX: usize = 64 << 20;

/// What a call answers.
pub type Answer = Result<Value, ControlFailure>;

/// A failure with its stable code.
#[must_use]
pub fn failure(code: &str, text: impl Into<String>) -> ControlFailure {
    ControlFailure { code: code.to_owned(), text: text.into() }
}

/// What the last reading of everything found.
#[derive(Default)]
struct Scrubbed {
    /// When it ended, unix seconds; `None` before the first.
    at: Option<u64>,
    findings: Vec<Finding>,
}

struct Session {
    person: StaffId,
    last_used: u64,
}

/// What the handle stands on.
pub struct Parts<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The open key file.
    pub keys: Opened,
    /// The prekeys at hand.
    pub prekeys: Prekeys,
    /// Lines to other nodes.
    pub pool: Arc<Pool>,
    /// Keeps the directory equal to the others'.
    pub puller: Arc<Puller<S>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The node's own log.
    pub log: View,
    /// Whether this node remembers all it signed.
    pub memory: watch::Receiver<Memory>,
    /// What was found when the store was opened.
    pub findings: Vec<Finding>,
    /// Tables with values that do not open, and how many.
    pub unreadable: Vec<(Table, usize)>,
    /// What a guess at a new pass phrase costs.
    pub cost: KdfCost,
    /// Whether this is a training network.
    pub training: bool,
    /// Whether content stays open by policy.
    pub keep_open: bool,
    /// The public door's counters.
    pub counters: Arc<Counters>,
    /// The node's folder.
    pub data: PathBuf,
    /// What it or the keys lie on when that may lose them, in words.
    pub ground: Option<&'static str>,
    /// The public address, as others are told it.
    pub endpoint: String,
    /// Nodes that keep mailboxes for this one.
    pub relays: Vec<NodeId>,
    /// Languages for the descriptor.
    pub languages: Vec<String>,
}

/// See the module.
pub struct Handle<S> {
    owner: Owner<S>,
    keys: Arc<Mutex<Opened>>,
    prekeys: Prekeys,
    pool: Arc<Pool>,
    puller: Arc<Puller<S>>,
    clock: Arc<dyn Clock>,
    log: View,
    memory: watch::Receiver<Memory>,
    findings: Vec<Finding>,
    unreadable: Vec<(Table, usize)>,
    scrubbed: Mutex<Scrubbed>,
    cost: KdfCost,
    training: bool,
    keep_open: bool,
    counters: Arc<Counters>,
    data: PathBuf,
    ground: Option<&'static str>,
    endpoint: String,
    relays: Vec<NodeId>,
    languages: Vec<String>,
    sessions: Mutex<BTreeMap<String, Session>>,
    staged: Mutex<BTreeMap<String, Zeroizing<Vec<u8>>>>,
    paging: Mutex<Option<records::Paging>>,
    /// Held while a backup is made.
    backing_up: tokio::sync::Mutex<()>,
    failures: Mutex<BTreeMap<String, u32>>,
    last_used: AtomicU64,
    started: u64,
}

impl<S: Store + 'static> Handle<S> {
    /// Takes over the parts of a node that is about to serve.
    #[must_use]
    pub fn new(parts: Parts<S>) -> Self {
        let started = parts.clock.now();
        Self {
            owner: parts.owner,
            keys: Arc::new(Mutex::new(parts.keys)),
            prekeys: parts.prekeys,
            pool: parts.pool,
            puller: parts.puller,
            clock: parts.clock,
            log: parts.log,
            memory: parts.memory,
            findings: parts.findings,
            unreadable: parts.unreadable,
            scrubbed: Mutex::default(),
            cost: parts.cost,
            training: parts.training,
            keep_open: parts.keep_open,
            counters: parts.counters,
            data: parts.data,
            ground: parts.ground,
            endpoint: parts.endpoint,
            relays: parts.relays,
            languages: parts.languages,
            sessions: Mutex::default(),
            staged: Mutex::default(),
            paging: Mutex::default(),
            backing_up: tokio::sync::Mutex::default(),
            failures: Mutex::default(),
            last_used: AtomicU64::new(started),
            started,
        }
    }

    /// Answers one call.
    ///
    /// # Errors
    /// [`ControlFailure`]: a code, what happened, and what to do next.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a new call needs a session unless it is listed here")]
    pub async fn ask(&self, session: Option<&SessionToken>, call: Call) -> Answer {
        match call {
            Call::Status => self.status().await,
            Call::Doctor => self.doctor().await,
            Call::SignIn { login, passphrase } => self.sign_in(login, Zeroizing::new(passphrase)).await,
            Call::UserAccept { login, code, passphrase } => {
                self.accept(login, Zeroizing::new(code), Zeroizing::new(passphrase)).await
            }
            Call::Unlock { login, passphrase } => self.unlock(login, Zeroizing::new(passphrase)).await,
            Call::DirectoryList => self.directory_list().await,
            Call::DirectoryShow { org } => self.directory_show(org).await,
            Call::DirectoryExport { org } => self.directory_export(org).await,
            Call::DirectoryPage { number, ticket } => self.directory_page(number, ticket),
            Call::DirectoryLog { of, first } => self.directory_log(of, first).await,
            Call::Netcheck { peer } => self.netcheck(peer).await,
            other => {
                let actor = self.who(session).await?;
                self.ask_as(session, actor, other).await
            }
        }
    }

    async fn ask_as(&self, session: Option<&SessionToken>, actor: Actor, call: Call) -> Answer {
        match call {
            Call::SignOut => self.sign_out(session),
            Call::Lock => self.lock_cases(Some(actor)).await,
            Call::UserInvite { login, label, role } => self.invite(actor, login, label, role).await,
            Call::UserList => self.users().await,
            Call::UserLeave { login } => self.leave(actor, login).await,
            Call::DirectoryImport { bundle } => self.directory_import(&actor, &bundle).await,
            Call::DirectoryRefresh => self.directory_refresh().await,
            Call::DirectoryAttest { duty, alternate, child_places } => {
                self.attest(actor, duty, alternate, child_places).await
            }
            Call::CaseOpen { to } => self.case_open(actor, to).await,
            Call::CaseList => self.case_list(actor).await,
            Call::CaseShow { case } => self.case_show(actor, case).await,
            Call::ConsentRecord { case, form } => self.consent_record(actor, case, form).await,
            Call::ConsentShow { case } => self.consent_show(actor, case).await,
            Call::ConsentWithdraw { case, consent, classes } => self.withdraw(actor, case, consent, classes).await,
            Call::NoticeSend { case, form } => self.notice_send(actor, case, *form).await,
            Call::Inbox => self.inbox(actor).await,
            Call::QuarantineDecide { letter, take } => self.quarantine_decide(actor, &letter, take).await,
            Call::Open { case, message } => self.open(actor, case, message).await,
            Call::Acknowledge { case, form } => self.acknowledge(actor, case, form).await,
            Call::Answer { case, form } => self.answer(actor, case, form).await,
            Call::Stage { handle, piece } => self.stage(&actor, handle, &piece),
            Call::ProfileSend { case, form, attachments } => self.profile_send(actor, case, form, attachments).await,
            Call::ProfileShow { case } => self.profile_show(actor, case).await,
            Call::Attachment { case, message, handle, offset } => {
                self.attachment(actor, case, message, handle, offset).await
            }
            Call::Depart { case, form } => self.depart(actor, case, form).await,
            Call::Arrive { case, form } => self.arrive(actor, case, form).await,
            Call::Stay { case } => self.stay(actor, case).await,
            Call::Recall { case, message } => self.recall(actor, case, message).await,
            Call::CaseErase { case, rule, classes, although_open } => {
                self.case_erase(actor, case, rule, classes, although_open).await
            }
            Call::CaseKeep { case } => self.case_keep(actor, case).await,
            Call::CaseConsents { case } => self.case_consents(actor, case).await,
            Call::Outbox => self.outbox().await,
            Call::OutboxRetry => self.outbox_retry().await,
            Call::Scrub => self.scrub_for(&actor).await,
            Call::BackupCreate { folder } => self.backup_create(actor, folder).await,
            Call::BackupKey { public, mark } => self.backup_key(actor, public, Zeroizing::new(mark)).await,
            Call::AuditList { from, count } => self.audit_list(&actor, from, count).await,
            Call::AuditProve { index } => self.audit_prove(&actor, index).await,
            Call::AuditShow { index } => self.audit_show(&actor, index).await,
            Call::AuditChoose { case, message, from, to } => self.audit_choose(actor, case, message, (from, to)).await,
            Call::AuditEvidence { entries, size } => self.audit_evidence(&actor, entries, size).await,
            Call::AuditEntries { from } => self.audit_entries(actor, from).await,
            Call::AuditLogs => self.audit_logs(&actor).await,
            Call::AuditReconcile => self.audit_reconcile(actor).await,
            Call::AuditAlarms => self.alarms(&actor).await,
            Call::AuditAlarmTake { alarm } => self.alarm_take(actor, alarm).await,
            Call::Status
            | Call::Doctor
            | Call::SignIn { .. }
            | Call::UserAccept { .. }
            | Call::Unlock { .. }
            | Call::DirectoryList
            | Call::DirectoryShow { .. }
            | Call::DirectoryPage { .. }
            | Call::DirectoryLog { .. }
            | Call::Netcheck { .. }
            | Call::DirectoryExport { .. } => Err(failure("CH-U0001", "this call needs no session")),
        }
    }

    /// The person behind a session. A session is used up by idleness, sign-out and the end of the account.
    async fn who(&self, session: Option<&SessionToken>) -> Result<Actor, ControlFailure> {
        let refused = || failure("CH-K0101", "Nobody is signed in. Sign in with `clearhouse user sign-in LOGIN`.");
        let token = session.ok_or_else(refused)?;
        let now = self.clock.now();
        let person = {
            let mut sessions = lock(&self.sessions);
            sessions.retain(|_, s| s.last_used + SESSION_IDLE_SECS > now);
            let session = sessions.get_mut(token.as_str()).ok_or_else(refused)?;
            session.last_used = now;
            session.person
        };
        self.last_used.store(now, Ordering::Relaxed);
        let actor = self.owner.look(move |world| world.office.staff().actor(person)).await.map_err(not_taken)?;
        actor.ok_or_else(refused)
    }

    /// When somebody signed in last asked for something, unix seconds.
    #[must_use]
    pub fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// The open key file, for what runs beside the handle.
    #[must_use]
    pub fn keys(&self) -> Arc<Mutex<Opened>> {
        Arc::clone(&self.keys)
    }

    /// The way to the owner, for what runs beside the handle.
    #[must_use]
    pub fn owner(&self) -> &Owner<S> {
        &self.owner
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the owner did not take something, in words.
fn not_taken(why: NotTaken) -> ControlFailure {
    match why {
        NotTaken::Store(text) => failure("CH-S0101", format!("Not done, nothing sent: {text}.")),
        NotTaken::Stopping => failure("CH-P0101", "The node is stopping. Start it and ask again."),
        NotTaken::Bug => failure("CH-S0102", "Not done, nothing sent: an error of this program. Please report it."),
    }
}

/// Why an act had no effect, in words. `peer` is the other organisation's name.
fn stopped(stop: Stop, moment: Moment, peer: &str) -> ControlFailure {
    match stop {
        Stop::Locked => failure("CH-K0102", "Cases are locked. Unlock them with `clearhouse unlock`, then try again."),
        Stop::NoSuch => failure("CH-N0101", "There is no such case or message here. `clearhouse case list` shows all."),
        Stop::Refused(refusal) => failure(refusal.code(), refusal.sentence(moment, peer)),
        Stop::Route(fault) => {
            failure(route_code(fault), format!("Not sent: {peer} is {fault}. Nothing has left. {}", route_next(fault)))
        }
        Stop::Seal(fault) => failure("CH-R0102", format!("Not sent: {fault}. Nothing has left.")),
        Stop::CannotRead => failure(
            "CH-R0103",
            format!(
                "Not sent: {peer}'s node does not read this kind of message yet. Nothing has left; ask them to update."
            ),
        ),
        Stop::OutboxFull => {
            failure("CH-S0103", "Not sent: too many messages wait already. Nothing has left; see `clearhouse outbox`.")
        }
    }
}

fn route_code(fault: RouteFault) -> &'static str {
    match fault {
        RouteFault::Unknown => "CH-N0102",
        RouteFault::Revoked | RouteFault::Suspended | RouteFault::Contested => "CH-R0104",
        RouteFault::Corridor(_) => "CH-R0114",
        RouteFault::Expired
        | RouteFault::NoDescriptor
        | RouteFault::NoPrekey
        | RouteFault::NoSuite
        | RouteFault::Stale
        | RouteFault::Unpublished
        | RouteFault::OutOfDate => "CH-R0105",
    }
}

fn route_next(fault: RouteFault) -> &'static str {
    match fault {
        RouteFault::Unknown => "Import their records with `clearhouse directory import`.",
        RouteFault::Revoked => "Do not send to them by any other way; ask your coordinator.",
        RouteFault::Expired | RouteFault::NoDescriptor | RouteFault::NoPrekey => {
            "Their records are renewed by themselves when their node is reachable; `clearhouse directory refresh` asks now."
        }
        RouteFault::Suspended => {
            "Nothing new about a person goes to their node until the coordinators have decided. Ask your coordinator; \
             who is on her way already can still be written about."
        }
        RouteFault::Stale => {
            "Phone them and ask that somebody says `clearhouse directory attest` there: nobody new is entrusted to an entry \
             that nobody stands by. Who is on her way already can still be written about."
        }
        RouteFault::Unpublished => {
            "Their records are complete and nobody can know yet whether everybody was shown them. That takes minutes while \
             a coordinator can be reached; `clearhouse directory refresh` asks now. If it lasts, phone a coordinator."
        }
        RouteFault::Corridor(_) => {
            "Write to an organisation that the rule lets you write to, or ask your coordinators, who make the rules."
        }
        RouteFault::OutOfDate => {
            "Reading goes on; nothing new about a person leaves until this node has heard enough coordinators again: what \
             was revoked meanwhile is not known here. Check the connection with `clearhouse directory refresh`."
        }
        RouteFault::Contested => {
            "Somebody signed two truths. Nothing goes there until the coordinators publish a higher version; phone them, and \
             show them what `clearhouse directory export` writes."
        }
        RouteFault::NoSuite => "One of you must update.",
    }
}

fn key_failure(error: &KeyFileError) -> ControlFailure {
    failure("CH-K0103", format!("{error}."))
}
