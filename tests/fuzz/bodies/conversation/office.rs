//! One office with its rows as its disk: what survives when the power goes, and what is held against it afterwards.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_casework::case::Fact;
use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::mailing::Deposit;
use clearhouse_casework::office::records::reading_order;
use clearhouse_casework::office::{Me, Now, Office, Step};
use clearhouse_protocol::ceremony;
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::fixture::Member;
use clearhouse_protocol::ids::{Digest, MsgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::mail::{Attempt, Delivery};
use clearhouse_protocol::rows::{Row, Table};
use clearhouse_wire::v1 as wire;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::acts::name;
use super::region;

/// A stable number of a failure, as the product's courier has them.
const BROKE_OFF: u32 = 4;
/// Tables of cases: read only while content is open.
const OF_CASES: Table = Table::Fact;

/// An office and its disk.
pub(super) struct Site {
    member: &'static Member,
    office: Office,
    rows: BTreeMap<(u8, Vec<u8>), Row>,
    events: u64,
    rng: ChaCha20Rng,
    is_open: bool,
    /// The next commit fails: the store takes nothing, and says so.
    refuses: bool,
    /// Messages whose facts were written.
    taken: BTreeSet<Vec<u8>>,
    /// Calls without an answer.
    calls: BTreeMap<Digest, MsgId>,
    /// How far each message and each letter came.
    settled: BTreeSet<MsgId>,
    opened: BTreeSet<Digest>,
}

impl Site {
    pub(super) fn new(number: usize) -> Self {
        let member = &region().members[number];
        Self {
            member,
            office: asleep(member),
            rows: BTreeMap::new(),
            events: 0,
            rng: ChaCha20Rng::seed_from_u64(number as u64),
            is_open: true,
            refuses: false,
            taken: BTreeSet::new(),
            calls: BTreeMap::new(),
            settled: BTreeSet::new(),
            opened: BTreeSet::new(),
        }
        .awake()
    }

    fn awake(mut self) -> Self {
        self.office.unlock();
        self
    }

    /// Decides and commits.
    pub(super) fn decides(&mut self, time: u64, what: impl FnOnce(&Office, &mut Now<'_, ChaCha20Rng>) -> Step) -> bool {
        let step = what(&self.office, &mut Now { time, rng: &mut self.rng, key: &self.member.sign });
        if std::mem::take(&mut self.refuses) {
            return false;
        }
        for event in &step.events {
            assert_eq!(event.index, self.events, "an event is out of its place");
            self.events += 1;
        }
        self.keep(&step, time);
        self.office.take(&step);
        self.judge();
        true
    }

    fn keep(&mut self, step: &Step, time: u64) {
        for row in &step.rows {
            let key = (row.table as u8, row.key.clone());
            assert!(!row.must_be_new || !self.rows.contains_key(&key), "a row that must be new is there");
            if row.table == OF_CASES
                && let Some(Ok(Fact::MessageIn(fact))) = row.value.as_deref().map(Fact::decode)
            {
                assert!(self.taken.insert(fact.msg_id.clone()), "a message changed a case twice");
                let from = (fact.org.as_slice().try_into(), fact.node.as_slice().try_into());
                let (Ok(org), Ok(node)) = from else { panic!("a fact names nobody") };
                assert!(
                    self.office.directory().signing_key(org, node, time).is_ok(),
                    "a party that is out has an effect"
                );
            }
            match row.value {
                Some(_) => self.rows.insert(key, row.clone()),
                None => self.rows.remove(&key),
            };
        }
    }

    /// What came to its end stays there.
    fn judge(&mut self) {
        let mail = self.office.mail();
        for (id, out) in mail.all_outgoing() {
            let is_settled = Delivery::of(out) == Delivery::Settled;
            assert!(is_settled || !self.settled.contains(&id), "message {id} is under way again");
            if is_settled {
                self.settled.insert(id);
            }
        }
        let waits: BTreeSet<Digest> = mail.to_open().collect();
        assert!(waits.is_disjoint(&self.opened), "a letter that was opened waits again");
    }

    /// How many of its messages were answered.
    pub(super) fn settled(&self) -> usize {
        self.settled.len()
    }

    /// Envelopes that leave now: each after the commit that lets it.
    pub(super) fn leaving(&mut self, time: u64) -> Vec<(Digest, Vec<u8>)> {
        let mut all = Vec::new();
        for id in self.office.mail().due(time) {
            if self.calls.values().any(|called| *called == id) {
                continue;
            }
            let mut leaves = false;
            let is_kept = self.decides(time, |office, now| {
                let (step, may) = office.depart(id, now);
                leaves = may;
                step
            });
            let Some(out) = self.office.mail().outgoing(id).filter(|_| leaves && is_kept) else { continue };
            let digest = Digest::try_from(out.digest.as_slice()).expect("a message has a digest");
            let row = self.rows.get(&(Table::Envelope as u8, digest.to_vec()));
            let bytes = row.and_then(|row| row.value.clone()).expect("an envelope that is to leave is kept");
            self.calls.insert(digest, id);
            all.push((digest, bytes));
        }
        all
    }

    /// A letter comes to this office's door. Answers once it is durable.
    pub(super) fn takes(&mut self, bytes: &[u8], digest: Digest, time: u64) -> Option<Attempt> {
        let caller = region().members.iter().find(|member| member.org != self.member.org)?;
        if self.office.directory().signing_key(caller.org, caller.node, time).is_err() {
            return Some(Attempt::Failed { fault: 6 });
        }
        let outside = Outside::parse(bytes).ok().filter(|outside| outside.digest == digest);
        let Some(outside) = outside else { return Some(Attempt::Failed { fault: 6 }) };
        let mut result = None;
        let is_kept = self.decides(time, |office, now| {
            let (step, mut all) = office.deposit(vec![Deposit { outside, bytes: bytes.to_vec() }], now);
            result = all.pop();
            step
        });
        let locked = !self.is_open;
        match result.filter(|_| is_kept)? {
            Ok(_) => Some(Attempt::Stored { locked }),
            Err(_) => Some(Attempt::Failed { fault: 5 }),
        }
    }

    /// A call ended with an answer, or without one.
    pub(super) fn answered(&mut self, digest: Digest, answer: Option<Attempt>, time: u64) {
        let Some(id) = self.calls.remove(&digest) else { return };
        let attempt = answer.unwrap_or(Attempt::Unclear { fault: BROKE_OFF });
        self.decides(time, |office, now| office.attempted(id, attempt, now));
    }

    pub(super) fn give_up_calls(&mut self, time: u64, which: u8) {
        if which & 1 == 0 {
            return;
        }
        for digest in self.calls.keys().copied().collect::<Vec<_>>() {
            self.answered(digest, None, time);
        }
    }

    pub(super) fn open_letters(&mut self, time: u64) {
        if !self.is_open {
            return;
        }
        for digest in self.office.mail().to_open().collect::<Vec<_>>() {
            let row = self.rows.get(&(Table::Envelope as u8, digest.to_vec()));
            let bytes = row.and_then(|row| row.value.as_deref()).expect("a letter that waits is kept");
            let outside = Outside::parse(bytes).expect("it was parsed at the door");
            let directory = self.office.directory().clone();
            let reader = Reader::new((self.member.org, self.member.node), &directory, time);
            let result = open(&outside, Some(self.member.prekey(super::NOW)), &reader);
            self.decides(time, |office, now| office.opened(digest, result, now).unwrap_or_default());
            if self.office.mail().to_open().all(|waits| waits != digest)
                && self.office.mail().aside().all(|a| a != digest)
            {
                self.opened.insert(digest);
            }
        }
    }

    /// Asks what became of letters, and hears one thing or another: the other side may say anything.
    pub(super) fn ask_after(&mut self, time: u64, which: u8) {
        for id in self.office.mail().to_ask(time).collect::<Vec<_>>() {
            let attempt = match which % 4 {
                0 => Attempt::Taken,
                1 => Attempt::Stored { locked: which & 0x40 != 0 },
                2 => Attempt::NotOpened,
                _ => Attempt::Lost,
            };
            self.decides(time, |office, now| office.attempted(id, attempt, now));
        }
    }

    pub(super) fn tick(&mut self, time: u64) {
        self.decides(time, |office, now| office.tick(time, now));
    }

    /// Coordinators put the other office out, or one of its nodes; this one hears of it.
    pub(super) fn put_out(&mut self, which: u8, time: u64) {
        let other = region().members.iter().find(|member| member.org != self.member.org).expect("there are two");
        let keys: Vec<&SigningKey> = region().coordinators.iter().collect();
        let (kind, subject) = match which % 2 {
            0 => (wire::SubjectKind::Organisation, other.org.0),
            _ => (wire::SubjectKind::Node, other.node.0),
        };
        let record = ceremony::revoke(region().net, kind, subject, "Misuse", super::NOW, &keys);
        let bundle = wire::RecordBundle { records: vec![record], ..wire::RecordBundle::default() };
        self.decides(time, |office, now| office.admit(&bundle, now).0);
    }

    /// Cases are locked, or opened again from the rows.
    pub(super) fn lock(&mut self, is_locked: bool) {
        self.is_open = !is_locked;
        self.office.lock();
        if self.is_open {
            self.unlock();
        }
    }

    pub(super) fn loses_its_next_commit(&mut self) {
        self.refuses = true;
    }

    /// The power goes: memory is gone, and read again.
    pub(super) fn starts_again(&mut self, time: u64) {
        let before = self.portrait(time);
        self.calls.clear();
        self.refuses = false;
        self.office = asleep(self.member);
        let of =
            |table: Table| self.rows.iter().filter(move |((t, _), _)| *t == table as u8).map(|(_, row)| row.clone());
        let mut records: Vec<Row> = of(Table::Directory).collect();
        reading_order(&mut records);
        let tables = [Table::Mailbox, Table::Relay, Table::Outbox, Table::Taken, Table::Conversation, Table::Timer];
        records.extend(tables.into_iter().flat_map(of));
        self.office.recorded(self.events);
        self.office.apply(&records);
        if self.is_open {
            self.unlock();
        }
        assert_eq!(self.portrait(time), before, "an office starts again as another one");
        self.judge();
    }

    fn unlock(&mut self) {
        let facts: Vec<Row> =
            self.rows.iter().filter(|((t, _), _)| *t == OF_CASES as u8).map(|(_, row)| row.clone()).collect();
        self.office.unlock();
        self.office.apply(&facts);
        self.office.settle_cases();
    }

    /// What an office knows, in comparable words.
    fn portrait(&self, time: u64) -> Vec<String> {
        let (mail, mut said) = (self.office.mail(), Vec::new());
        said.push(format!("{} {:?} {:?}", self.office.event_count(), mail.next_due(), mail.unopened()));
        said.extend(
            mail.all_outgoing().map(|(id, out)| format!("{id} {:?} {} {}", Delivery::of(out), out.fault, out.next_try)),
        );
        for case in self.office.cases().into_iter().flat_map(|cases| cases.iter()) {
            said.push(format!("{} {:?} {}", name(case.id()), case.state(), case.next_seq()));
            for letter in case.letters() {
                let may = case.release_still_allowed(letter.id(), time).is_ok();
                said.push(format!("{} {} {} {may}", letter.id(), letter.seq(), letter.read().is_some()));
            }
            said.extend(case.ledger().consents().map(|c| format!("{:?}", case.ledger().status(c, time))));
        }
        said
    }
}

fn asleep(member: &Member) -> Office {
    let net = region().net;
    let (org, node, mailboxes) = (member.org, member.node, vec![member.mailbox]);
    Office::new(Me { net, org, node, mailboxes, generation: 1, zone: Zone::utc() }, region().directory.clone())
}
