//! What persons do at an office: what the next byte says, to the first case there is. A refusal by the case is an answer.

use clearhouse_casework::case::{Case, Direction, Letter};
use clearhouse_casework::office::desk::Stop;
use clearhouse_casework::office::{Now, Office, Step};
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::ids::{CaseId, ConsentId, MsgId, StaffId};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{Consent, ProfilePart};
use rand_chacha::ChaCha20Rng;

use super::office::Site;
use super::region;
use crate::invented::{self, CASEWORKER, acknowledgement, answer, arrival, departure};

fn actor(role: Role) -> Actor {
    Actor { staff_id: StaffId([role as u8 + 1; 16]), label: CASEWORKER.into(), role }
}

/// One act at an office.
pub(super) fn act(site: &mut Site, which: u8, time: u64) {
    site.decides(time, |office, now| attempt(office, which, now).unwrap_or_default());
}

fn attempt(office: &Office, which: u8, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    // An answer is a manager's; the other bit lets somebody else try.
    let is_managers = which & 0x0f == 5 || which & 0x80 != 0;
    let (time, who) = (now.time, actor(if is_managers { Role::Manager } else { Role::Caseworker }));
    if which & 0x0f == 0 {
        let peer = region().members.iter().find(|member| member.org != office.me().org).ok_or(Stop::NoSuch)?;
        return Ok(office.open_case(&who, peer.org, now)?.0);
    }
    let case = office.cases().ok_or(Stop::Locked)?.iter().next().ok_or(Stop::NoSuch)?;
    let (id, answered) = (case.id(), case.notice().map(Letter::id));
    let (what, reply) = match which & 0x0f {
        1 => return office.record_consent(id, &who, consent(case, "ShareNotice", time), now),
        6 => return office.record_consent(id, &who, consent(case, "ShareProfile", time), now),
        7 => return office.record_consent(id, &who, consent(case, "ShareTravel", time), now),
        2 => (notice(time), None),
        3 => return read(office, case, &who, now),
        4 => (acknowledgement(false, time), answered),
        5 => (answer(if which & 0x40 == 0 { "Accepted" } else { "Declined" }, false, time), answered),
        8 => (profile(), None),
        9 => (departure(true, time), None),
        10 => (arrival("ArrivedMet", time), journey(case)),
        11 => return withdraw(office, case, &who, now),
        12 => return Ok(office.stay(id, &who, now)?.0),
        13 => return recall(office, case, &who, now),
        14 => (answer("InfoRequested", false, time), answered),
        _ => (notice(time), answered),
    };
    Ok(office.send(id, &who, what, reply, &[], now)?.0)
}

fn journey(case: &Case) -> Option<MsgId> {
    let left = |letter: &&Letter| letter.kind() == Some(clearhouse_casework::body::Kind::Departure);
    case.letters().iter().filter(left).max_by_key(|letter| letter.seq()).map(Letter::id)
}

fn read(office: &Office, case: &Case, who: &Actor, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    let unread = case.letters().iter().find(|letter| !letter.is_out() && letter.read().is_none());
    office.open_message(case.id(), who, unread.ok_or(Stop::NoSuch)?.id(), now)
}

fn recall(office: &Office, case: &Case, who: &Actor, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    let last = case.letters().iter().rev().find(|letter| letter.is_out()).ok_or(Stop::NoSuch)?;
    office.recall(case.id(), who, last.id(), now)
}

fn withdraw(office: &Office, case: &Case, who: &Actor, now: &mut Now<'_, ChaCha20Rng>) -> Result<Step, Stop> {
    let consent = case.ledger().consents().last().ok_or(Stop::NoSuch)?;
    let id = ConsentId::try_from(consent.id.as_slice()).map_err(|_| Stop::NoSuch)?;
    let said = invented::withdrawal(id.to_vec(), &consent.purpose, vec![], now.time);
    Ok(office.withdraw(case.id(), who, said, now)?.0)
}

fn consent(case: &Case, purpose: &str, time: u64) -> Consent {
    let receiver = if case.direction() == Direction::Sent { case.peer_org() } else { case.receiver() };
    let number = case.ledger().consents().count() as u8;
    invented::consent([number + 1; 16], purpose, receiver, false, time)
}

/// An adult's, without haste.
fn notice(time: u64) -> What {
    What::ReturnNotice(invented::notice(false, time))
}

fn profile() -> What {
    let fields = vec![invented::value("prs_FirstName", "Ileana")];
    invented::profile(vec![ProfilePart { data_class: "Identity".into(), fields, attachments: vec![] }])
}

/// The name of a case, for whoever compares two offices.
pub(super) fn name(id: CaseId) -> String {
    format!("{id}")
}
