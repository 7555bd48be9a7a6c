//! What persons do: mostly what a case asks for next, now and then anything at all.
//!
//! A wish is drawn when somebody sits down, and carried out when the owner gets to it; by then the case may have moved
//! on, as it does in an office. A refusal by the case is an ordinary answer.

use clearhouse_casework::body::Kind;
use clearhouse_casework::case::{Case, Direction, Letter, State};
use clearhouse_casework::consent::DataClass;
use clearhouse_casework::office::desk::{Stop, Withdrawn};
use clearhouse_casework::office::{Now, Office, Step};
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::ids::{CaseId, ConsentId, MsgId, OrgId, StaffId};
use clearhouse_protocol::keys::SigningKey;

use super::dice::Dice;
use super::forms::{self, PARTS, Person};
use crate::invented::{self, CASEWORKER, CHILD_OFFICER, MANAGER};

/// What somebody wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    OpenCase(OrgId),
    RecordConsent(CaseId, &'static str),
    Notify(CaseId),
    Acknowledge(CaseId),
    Answer(CaseId, &'static str),
    SendProfile(CaseId),
    Depart(CaseId, bool),
    Arrive(CaseId, &'static str),
    Withdraw(CaseId),
    Stay(CaseId),
    Recall(CaseId),
    Read(CaseId),
}

impl Wish {
    /// A message of the case's ordinary course, which a node in doubt about its clock does not seal.
    pub(super) fn seals(self) -> bool {
        match self {
            Self::Notify(_)
            | Self::Acknowledge(_)
            | Self::Answer(..)
            | Self::SendProfile(_)
            | Self::Depart(..)
            | Self::Arrive(..) => true,
            Self::OpenCase(_)
            | Self::RecordConsent(..)
            | Self::Withdraw(_)
            | Self::Stay(_)
            | Self::Recall(_)
            | Self::Read(_) => false,
        }
    }
}

/// What a person is told once it is durable.
pub(super) enum Told {
    /// Nothing that could be lost.
    Done,
    /// "Sent": from now on the message is ours to carry.
    Sent(MsgId),
    /// "Taken back before it left".
    TakenBack(MsgId),
    /// Her word is written down.
    HerWord(CaseId, Withdrawn),
    /// Refused; nothing happened.
    Stopped,
}

/// Draws a wish for one case, if there is anything to wish for.
pub(super) fn wish(case: &Case, dice: &mut Dice) -> Option<Wish> {
    let id = case.id();
    match dice.below(400) {
        0..2 => return Some(Wish::Withdraw(id)),
        2 if dice.percent(50) => return Some(Wish::Stay(id)),
        3..7 => return Some(Wish::Recall(id)),
        7..17 => return Some(anything(id, dice)),
        _ => {}
    }
    let unread = case.letters().iter().any(|l| !l.is_out() && l.read().is_none());
    if unread && dice.percent(50) {
        return Some(Wish::Read(id));
    }
    match case.direction() {
        Direction::Sent => sender_wish(case, dice),
        Direction::Received => receiver_wish(case, dice),
    }
}

fn sender_wish(case: &Case, dice: &mut Dice) -> Option<Wish> {
    let id = case.id();
    let has = |purpose: &str| case.ledger().consents().any(|c| c.purpose == purpose);
    let missing = ["ShareNotice", "ShareProfile", "ShareHealth", "ShareTravel"].into_iter().find(|p| !has(p));
    let profile = case.letters().iter().any(|l| l.kind() == Some(Kind::VictimProfile));
    match (case.state(), missing) {
        (State::Draft, Some("ShareNotice")) => Some(Wish::RecordConsent(id, "ShareNotice")),
        (State::Draft | State::InfoRequested, _) => Some(Wish::Notify(id)),
        (State::Accepted | State::Prepared, None) if !profile || dice.percent(15) => Some(Wish::SendProfile(id)),
        (State::Accepted | State::Prepared | State::NoShow, None) => Some(Wish::Depart(id, dice.percent(85))),
        (State::Stayed | State::Withdrawn, _) => None,
        (_, Some(purpose)) => Some(Wish::RecordConsent(id, purpose)),
        (_, None) => None,
    }
}

fn receiver_wish(case: &Case, dice: &mut Dice) -> Option<Wish> {
    let id = case.id();
    match case.state() {
        State::Delivered => Some(Wish::Acknowledge(id)),
        State::Acknowledged | State::InfoRequested | State::AcceptedCond => {
            let kinds = ["Accepted", "Accepted", "Accepted", "AcceptedWithConditions", "InfoRequested", "Declined"];
            Some(Wish::Answer(id, dice.pick(&kinds)))
        }
        State::InTransit | State::ArrivedUnmet => {
            let results = ["ArrivedMet", "ArrivedMet", "ArrivedNotMet", "NotArrived"];
            Some(Wish::Arrive(id, dice.pick(&results)))
        }
        _ => None,
    }
}

fn anything(id: CaseId, dice: &mut Dice) -> Wish {
    dice.pick(&[
        Wish::RecordConsent(id, "ShareNotice"),
        Wish::Notify(id),
        Wish::Acknowledge(id),
        Wish::Answer(id, "Declined"),
        Wish::Answer(id, "Accepted"),
        Wish::SendProfile(id),
        Wish::Depart(id, true),
        Wish::Depart(id, false),
        Wish::Arrive(id, "ArrivedMet"),
        Wish::Read(id),
    ])
}

/// The person at the sending office, from the number of the case; at the other office what the notice said.
fn person(case: &Case) -> Person {
    let [first, second, ..] = case.id().0;
    let here = case.direction() == Direction::Sent;
    Person { child: case.is_child() || here && first < 26, high_risk: here && second < 40 }
}

fn actor(wish: Wish, person: Person, dice: &mut Dice) -> Actor {
    let role = match wish {
        _ if dice.percent(4) => dice.pick(&[Role::Caseworker, Role::Manager, Role::ChildOfficer]),
        Wish::Notify(_) | Wish::Acknowledge(_) | Wish::Answer(..) if person.child => Role::ChildOfficer,
        Wish::Notify(_) if person.high_risk => Role::Manager,
        Wish::Answer(_, kind) if kind != "InfoRequested" => Role::Manager,
        _ => Role::Caseworker,
    };
    let label = match role {
        Role::Manager => MANAGER,
        Role::ChildOfficer => CHILD_OFFICER,
        Role::Caseworker | Role::Administrator | Role::Auditor => CASEWORKER,
    };
    Actor { staff_id: StaffId([label.len() as u8; 16]), label: label.to_owned(), role }
}

/// Carries a wish out on the office as it stands: the second beat.
pub(super) fn act(wish: Wish, office: &Office, time: u64, key: &SigningKey, dice: &mut Dice) -> (Step, Told) {
    match attempt(wish, office, time, key, dice) {
        Ok(done) => done,
        Err(_) => (Step::default(), Told::Stopped),
    }
}

fn attempt(wish: Wish, office: &Office, time: u64, key: &SigningKey, dice: &mut Dice) -> Result<(Step, Told), Stop> {
    let case_of = |id| office.cases().ok_or(Stop::Locked)?.case(id).ok_or(Stop::NoSuch);
    let (what, reply, attached, id) = match wish {
        Wish::OpenCase(peer) => {
            let who = actor(wish, Person { child: false, high_risk: false }, dice);
            let (step, _) = office.open_case(&who, peer, &mut Now { time, rng: dice.rng(), key })?;
            return Ok((step, Told::Done));
        }
        Wish::RecordConsent(id, purpose) => {
            let case = case_of(id)?;
            let who = actor(wish, person(case), dice);
            let consent = forms::consent(purpose, case.receiver(), person(case).child, time, dice);
            let step = office.record_consent(id, &who, consent, &mut Now { time, rng: dice.rng(), key })?;
            return Ok((step, Told::Done));
        }
        Wish::Withdraw(id) => return withdraw(case_of(id)?, office, time, key, dice),
        Wish::Stay(id) => {
            let who = actor(wish, person(case_of(id)?), dice);
            let (step, done) = office.stay(id, &who, &mut Now { time, rng: dice.rng(), key })?;
            return Ok((step, Told::HerWord(id, done)));
        }
        Wish::Recall(id) => {
            let case = case_of(id)?;
            let last = case.letters().iter().rev().find(|l| l.is_out()).ok_or(Stop::NoSuch)?.id();
            let who = actor(wish, person(case), dice);
            let step = office.recall(id, &who, last, &mut Now { time, rng: dice.rng(), key })?;
            return Ok((step, Told::TakenBack(last)));
        }
        Wish::Read(id) => {
            let case = case_of(id)?;
            let unread: Vec<MsgId> =
                case.letters().iter().filter(|l| !l.is_out() && l.read().is_none()).map(Letter::id).collect();
            let all: Vec<MsgId> = case.letters().iter().map(Letter::id).collect();
            let from = if unread.is_empty() { &all } else { &unread };
            if from.is_empty() {
                return Err(Stop::NoSuch);
            }
            let message = dice.pick(from);
            let who = actor(wish, person(case), dice);
            let step = office.open_message(id, &who, message, &mut Now { time, rng: dice.rng(), key })?;
            return Ok((step, Told::Done));
        }
        Wish::Notify(id) => {
            let case = case_of(id)?;
            let old = case.notice().filter(|_| case.state() == State::InfoRequested).map(Letter::id);
            (forms::notice(person(case), old, time, dice), old, Vec::new(), id)
        }
        Wish::Acknowledge(id) => {
            let case = case_of(id)?;
            let notice = case.notice().map(Letter::id);
            (invented::acknowledgement(person(case).child, time), notice, Vec::new(), id)
        }
        Wish::Answer(id, kind) => {
            let case = case_of(id)?;
            (invented::answer(kind, person(case).child, time), case.notice().map(Letter::id), Vec::new(), id)
        }
        Wish::SendProfile(id) => {
            let mut classes = vec![DataClass::Identity];
            classes.extend(dice.percent(60).then_some(DataClass::Contact));
            classes.extend(dice.percent(60).then_some(DataClass::Health));
            let (what, attached) = forms::profile(&classes, dice);
            (what, None, attached, id)
        }
        Wish::Depart(id, left) => (invented::departure(left, time), None, Vec::new(), id),
        Wish::Arrive(id, result) => {
            let left = |l: &&Letter| l.kind() == Some(Kind::Departure);
            let journey = case_of(id)?.letters().iter().filter(left).max_by_key(|l| l.seq()).map(Letter::id);
            (invented::arrival(result, time), journey, Vec::new(), id)
        }
    };
    let who = actor(wish, person(case_of(id)?), dice);
    let (step, sent) = office.send(id, &who, what, reply, &attached, &mut Now { time, rng: dice.rng(), key })?;
    Ok((step, Told::Sent(sent)))
}

fn withdraw(case: &Case, office: &Office, time: u64, key: &SigningKey, dice: &mut Dice) -> Result<(Step, Told), Stop> {
    let all: Vec<_> = case.ledger().consents().collect();
    if all.is_empty() {
        return Err(Stop::NoSuch);
    }
    // The whole is withdrawn less often than a part: most cases should live to see a departure.
    let of = if dice.percent(70) { all.iter().rposition(|c| c.purpose != "ShareNotice") } else { None };
    let consent = *all.get(of.unwrap_or(0)).ok_or(Stop::NoSuch)?;
    let of_it = |(class, purpose): &&(DataClass, &str)| *purpose == consent.purpose && *class != DataClass::Contact;
    let classes: Vec<String> = PARTS.iter().filter(of_it).map(|(class, _)| class.code().to_owned()).collect();
    let classes = if dice.percent(50) { classes } else { Vec::new() };
    let id = ConsentId::try_from(consent.id.as_slice()).map_err(|_| Stop::NoSuch)?;
    let said = invented::withdrawal(id.to_vec(), &consent.purpose, classes, time);
    let who = actor(Wish::Withdraw(case.id()), person(case), dice);
    let (step, done) = office.withdraw(case.id(), &who, said, &mut Now { time, rng: dice.rng(), key })?;
    Ok((step, Told::HerWord(case.id(), done)))
}
