//! Two ends of one case, joined by a wire that delays, and overtakes where a test asks for it.

use std::collections::VecDeque;

use clearhouse_protocol::ids::StaffId;
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{CaseBody, RefusalCode, Stage};

use super::fact::{
    By, ConsentRecorded, MessageIn, MessageOut, Opened, OpenedHere, Recalled, ReceiptIn, RefusedHere, Stayed, Stored,
};
use super::*;
use crate::body::samples as bodies;
use crate::body::{self, BODY_VERSION};
use crate::consent::Purpose;
use crate::deadlines::Deadlines;
use crate::refusal::Refusal;
use crate::roles::{Actor, Role};

mod both_ends;
mod child_path;
mod edges;
mod erasing;
mod guards;
mod peers;
mod show;

pub(crate) use bodies::{DAY, HOUR, NOW};

const ORG_D: OrgId = OrgId([0xd0; 16]);
const ORG_O: OrgId = OrgId(bodies::RECEIVER);

pub(super) fn actor(role: Role) -> Actor {
    let label = match role {
        Role::Manager => "Mira M.",
        Role::ChildOfficer => "Cora C.",
        Role::Caseworker => "Ana P.",
        Role::Administrator | Role::Auditor => "Adam A.",
    };
    Actor { staff_id: StaffId([role as u8; 16]), label: label.into(), role }
}

/// Who signed a test body.
fn signer(body: &CaseBody) -> Actor {
    actor(Role::parse(&body.actor_role).unwrap())
}

/// The reader the acceptances of the tests name.
pub(super) fn elena() -> Actor {
    Actor { staff_id: StaffId([0xe1; 16]), label: "Elena R.".into(), role: Role::Caseworker }
}

/// One end: the case, and the facts it is a fold of.
pub(super) struct End {
    pub(super) case: Case,
    pub(super) facts: Vec<Fact>,
}

impl End {
    fn new(direction: Direction) -> Self {
        let (own, peer) = if direction == Direction::Sent { (ORG_D, ORG_O) } else { (ORG_O, ORG_D) };
        let opened = Fact::Opened(Opened {
            case: vec![own.0[0] + 1; 16],
            direction: direction.number(),
            conversation: vec![0xcc; 32],
            peer_org: peer.to_vec(),
            own_org: own.to_vec(),
            own_node: vec![own.0[0] + 2; 16],
            at: NOW - DAY,
            by: None,
        });
        Self { case: Case::fold([&opened]).unwrap(), facts: vec![opened] }
    }

    pub(super) fn note(&mut self, fact: Fact) {
        self.case.apply(&fact);
        self.facts.push(fact);
    }

    fn node(&self) -> Vec<u8> {
        self.case.own_node.to_vec()
    }
}

/// What is under way.
enum Load {
    Message { id: MsgId, msg_type: u32, seq: u64, at: u64, bytes: Vec<u8> },
    Receipt { id: MsgId, stage: Stage, refusal: RefusalCode, at: u64, label: String },
}

/// Both ends and the two directions between them.
pub(super) struct Pair {
    pub(super) d: End,
    pub(super) o: End,
    pub(super) now: u64,
    to_o: VecDeque<Load>,
    to_d: VecDeque<Load>,
    made: u8,
}

impl Pair {
    pub(super) fn new() -> Self {
        let ends = (End::new(Direction::Sent), End::new(Direction::Received));
        let (to_o, to_d) = (VecDeque::new(), VecDeque::new());
        Self { d: ends.0, o: ends.1, now: NOW, to_o, to_d, made: 0 }
    }

    /// A pair whose sender has recorded these consents.
    pub(super) fn with(consents: &[clearhouse_wire::v1::Consent]) -> Self {
        let mut pair = Self::new();
        consents.iter().for_each(|c| pair.record(c.clone()).unwrap());
        pair
    }

    pub(super) fn record(&mut self, consent: clearhouse_wire::v1::Consent) -> Result<(), Refusal> {
        let who = actor(Role::Caseworker);
        self.d.case.may(&Act::RecordConsent(&consent), &who, self.now)?;
        let by = Some(By::from(&who));
        self.d.note(Fact::ConsentRecorded(ConsentRecorded { consent: Some(consent), at: self.now, by }));
        Ok(())
    }

    fn end(&mut self, at_d: bool) -> &mut End {
        if at_d { &mut self.d } else { &mut self.o }
    }

    /// Sends a body from one end as whoever signed it.
    pub(super) fn send(&mut self, from_d: bool, body: &CaseBody) -> Result<MsgId, Refusal> {
        let checked = body::prepare(body).map_err(Refusal::Body)?;
        let who = signer(body);
        let now = self.now;
        self.end(from_d).case.may(&Act::Send(&checked), &who, now)?;
        Ok(self.force(from_d, body))
    }

    /// Sends without asking: what a peer with other software might do.
    pub(super) fn force(&mut self, from_d: bool, body: &CaseBody) -> MsgId {
        let checked = body::prepare(body).map_err(|f| f.to_string()).unwrap();
        self.made += 1;
        let id = MsgId([0x40 + self.made; 16]);
        let msg_type = checked.kind().message_type() as u32;
        let (now, end) = (self.now, self.end(from_d));
        let seq = end.case.next_seq();
        end.note(Fact::MessageOut(MessageOut {
            msg_id: id.to_vec(),
            msg_type,
            body_version: BODY_VERSION,
            seq,
            body: checked.skeleton().to_vec(),
            at: now,
            by: None,
        }));
        let load = Load::Message { id, msg_type, seq, at: now, bytes: checked.encode().to_vec() };
        if from_d {
            self.to_o.push_back(load)
        } else {
            self.to_d.push_back(load)
        }
        id
    }

    /// Carries the next load of one direction; false when there is none.
    pub(super) fn carry(&mut self, to_o: bool) -> bool {
        self.carry_nth(to_o, 0)
    }

    /// Carries the n-th load of one direction, past those before it.
    pub(super) fn carry_nth(&mut self, to_o: bool, n: usize) -> bool {
        let queue = if to_o { &mut self.to_o } else { &mut self.to_d };
        let load = queue.remove(n.min(queue.len().saturating_sub(1)));
        match load {
            None => return false,
            Some(Load::Receipt { id, stage, refusal, at, label }) => {
                let (node, org) = if to_o { (self.d.node(), ORG_D) } else { (self.o.node(), ORG_O) };
                let receipt = ReceiptIn {
                    msg_id: id.to_vec(),
                    stage: stage.into(),
                    at,
                    node,
                    org: org.to_vec(),
                    actor_label: label,
                    refusal: refusal.into(),
                };
                self.end(!to_o).note(Fact::ReceiptIn(receipt));
            }
            Some(Load::Message { id, msg_type, seq, at, bytes }) => self.arrive(to_o, id, msg_type, seq, at, &bytes),
        }
        true
    }

    fn arrive(&mut self, to_o: bool, id: MsgId, msg_type: u32, seq: u64, at: u64, bytes: &[u8]) {
        // A recalled message never left.
        if self.end(to_o).case.letter(id).is_some_and(|l| l.fate() == Fate::Recalled) {
            return;
        }
        let now = self.now;
        let body = body::check(msg_type, BODY_VERSION, bytes).map_err(|f| f.to_string()).unwrap();
        let (org, node) = if to_o { (ORG_D, self.d.node()) } else { (ORG_O, self.o.node()) };
        let verdict = self.end(!to_o).case.accepts(&body, org, now);
        let (stage, refusal) = match verdict {
            Ok(()) => (Stage::Received, RefusalCode::Unspecified),
            Err(refusal) => (Stage::Refused, refusal.wire()),
        };
        let fact = match verdict {
            Ok(()) => Fact::MessageIn(MessageIn {
                msg_id: id.to_vec(),
                msg_type,
                body_version: BODY_VERSION,
                seq,
                body: body.skeleton().to_vec(),
                sent_at: at,
                received_at: now,
                org: org.to_vec(),
                node,
                digest: vec![id.0[0]; 32],
            }),
            Err(refusal) => Fact::RefusedHere(RefusedHere {
                msg_id: id.to_vec(),
                msg_type,
                seq,
                at: now,
                code: refusal.code().to_owned(),
                digest: vec![id.0[0]; 32],
            }),
        };
        self.end(!to_o).note(fact);
        self.receipt(to_o, id, stage, refusal, "");
    }

    fn receipt(&mut self, to_o: bool, id: MsgId, stage: Stage, refusal: RefusalCode, label: &str) {
        let load = Load::Receipt { id, stage, refusal, at: self.now, label: label.to_owned() };
        if to_o { self.to_d.push_back(load) } else { self.to_o.push_back(load) }
    }

    /// A person opens a message at one end.
    pub(super) fn open(&mut self, at_d: bool, id: MsgId, who: &Actor) -> Result<(), Refusal> {
        let now = self.now;
        self.end(at_d).case.may(&Act::OpenMessage(id), who, now)?;
        self.end(at_d).note(Fact::OpenedHere(OpenedHere { msg_id: id.to_vec(), at: now, by: Some(By::from(who)) }));
        self.receipt(!at_d, id, Stage::Opened, RefusalCode::Unspecified, &who.label);
        Ok(())
    }

    pub(super) fn stay(&mut self, at_d: bool) {
        let who = actor(Role::Caseworker);
        let now = self.now;
        self.end(at_d).case.may(&Act::Stay, &who, now).unwrap();
        self.end(at_d).note(Fact::Stayed(Stayed { at: now, by: Some(By::from(&who)) }));
        let body = if at_d {
            bodies::departure("ChoseNotToTravel", now)
        } else {
            bodies::arrival("ChoseNotToTravel", &[], now)
        };
        self.send(at_d, &body).unwrap();
    }

    pub(super) fn recall(&mut self, id: MsgId) -> Result<(), Refusal> {
        let now = self.now;
        self.d.case.may(&Act::Recall(id), &actor(Role::Caseworker), now)?;
        self.d.note(Fact::Recalled(Recalled { msg_id: id.to_vec(), at: now, by: None }));
        self.to_o.retain(|load| !matches!(load, Load::Message { id: waiting, .. } if *waiting == id));
        Ok(())
    }

    pub(super) fn store(&mut self, id: MsgId, locked: bool) {
        let (node, org, at) = (self.o.node(), ORG_O.to_vec(), self.now);
        self.d.note(Fact::Stored(Stored { msg_id: id.to_vec(), node, at, locked, org }));
    }

    /// Carries everything both ways until nothing is under way.
    pub(super) fn settle(&mut self) {
        while self.carry(true) || self.carry(false) {}
    }

    /// Writes down every clock that has run out, at both ends.
    pub(super) fn tick(&mut self) {
        for at_d in [true, false] {
            let now = self.now;
            let fired = self.end(at_d).case.fires(&Deadlines::default(), now);
            fired.into_iter().for_each(|fact| self.end(at_d).note(fact));
        }
    }

    pub(super) fn states(&self) -> (State, State) {
        (self.d.case.state(), self.o.case.state())
    }

    pub(super) fn both_are(&self, state: State) {
        assert_eq!(self.states(), (state, state));
    }

    pub(super) fn notice_id(&self) -> MsgId {
        self.d.case.notice().map(Letter::id).unwrap()
    }

    fn journey_id(&self) -> MsgId {
        self.d.case.journey().map(Letter::id).unwrap()
    }
}

/// The four consents the test bodies carry.
pub(super) fn consents() -> Vec<clearhouse_wire::v1::Consent> {
    vec![
        bodies::consent(1, "ShareNotice", &[]),
        bodies::consent(2, "ShareProfile", &["Identity", "Contact"]),
        bodies::consent(3, "ShareHealth", &["Health"]),
        bodies::consent(4, "ShareTravel", &["Travel"]),
    ]
}

/// A pair brought to a state by ordinary acts, everything delivered.
pub(super) fn pair_in(state: State) -> Pair {
    let mut pair = Pair::with(&consents());
    if state == State::Draft {
        return pair;
    }
    pair.send(true, &bodies::notice()).unwrap();
    if state == State::Notified {
        return pair;
    }
    pair.settle();
    bring(&mut pair, state);
    pair.both_are(state);
    pair
}

fn bring(pair: &mut Pair, state: State) {
    let notice = pair.notice_id();
    match state {
        State::Draft | State::Notified | State::Delivered => {}
        State::Expired => {
            pair.now += 7 * DAY + 1;
            pair.tick();
        }
        State::Withdrawn => {
            pair.send(true, &bodies::withdrawal(1, "ShareNotice", &[], pair.now)).unwrap();
        }
        State::Stayed => pair.stay(true),
        State::Acknowledged => {
            pair.send(false, &bodies::acknowledgement(notice.as_bytes())).unwrap();
        }
        State::InfoRequested | State::Declined | State::AcceptedCond | State::Accepted => {
            bring(pair, State::Acknowledged);
            let kinds = [
                (State::InfoRequested, "InfoRequested"),
                (State::Declined, "Declined"),
                (State::AcceptedCond, "AcceptedWithConditions"),
                (State::Accepted, "Accepted"),
            ];
            let kind = kinds.iter().find(|k| k.0 == state).unwrap().1;
            pair.send(false, &bodies::answer(kind, notice.as_bytes())).unwrap();
        }
        State::Prepared => {
            bring(pair, State::Accepted);
            let profile = pair.send(true, &bodies::profile()).unwrap();
            pair.settle();
            pair.open(false, profile, &elena()).unwrap();
        }
        State::InTransit => {
            bring(pair, State::Prepared);
            pair.send(true, &bodies::departure("Left", pair.now)).unwrap();
        }
        State::Arrived | State::ArrivedUnmet | State::NoShow => {
            bring(pair, State::InTransit);
            let results =
                [(State::Arrived, "ArrivedMet"), (State::ArrivedUnmet, "ArrivedNotMet"), (State::NoShow, "NotArrived")];
            let result = results.iter().find(|r| r.0 == state).unwrap().1;
            let journey = pair.journey_id();
            pair.send(false, &bodies::arrival(result, journey.as_bytes(), pair.now)).unwrap();
        }
    }
    pair.settle();
}

#[test]
fn every_state_is_reached_by_ordinary_acts_and_both_ends_agree() {
    for &state in State::ALL {
        let pair = pair_in(state);
        assert_eq!(pair.d.case.state(), state);
        for end in [&pair.d, &pair.o] {
            assert_eq!(end.case.unreadable(), 0);
            let refolded = Case::fold(&end.facts).unwrap();
            assert_eq!(refolded.state(), end.case.state(), "a fold and a history of applies agree");
        }
    }
}

#[test]
fn facts_survive_the_disk_as_a_case() {
    let pair = pair_in(State::Arrived);
    let disk: Vec<_> = pair.o.facts.iter().map(Fact::encode).collect();
    let read: Vec<_> = disk.iter().map(|bytes| Fact::decode(bytes).unwrap()).collect();
    assert_eq!(Case::fold(&read).unwrap().state(), State::Arrived);
    assert!(Case::fold(&read[1..]).is_err(), "a case begins with its opening");
    assert!(Case::fold([]).is_err());
}

#[test]
fn a_repeated_fact_changes_nothing() {
    let pair = pair_in(State::Arrived);
    for end in [&pair.d, &pair.o] {
        let doubled = end.facts.iter().take(1).chain(end.facts.iter().skip(1).flat_map(|f| [f, f]));
        let case = Case::fold(doubled).unwrap();
        assert_eq!((case.state(), case.letters().len()), (end.case.state(), end.case.letters().len()));
        assert_eq!(case.unreadable(), 0);
    }
}

#[test]
fn damage_is_counted_and_shown_never_skipped() {
    let mut pair = pair_in(State::Delivered);
    pair.o.note(Fact::MessageIn(MessageIn {
        msg_id: vec![0x77; 16],
        msg_type: 3,
        body_version: 1,
        seq: 2,
        body: vec![0xff, 0xff],
        sent_at: NOW,
        received_at: NOW,
        org: ORG_D.to_vec(),
        node: vec![1; 16],
        digest: vec![],
    }));
    assert_eq!(pair.o.case.unreadable(), 1);
    assert_eq!(pair.o.case.state(), State::Delivered);
    assert!(pair.o.case.facts_view(&Deadlines::default()).waiting.contains(&Waiting::Damaged));
}
