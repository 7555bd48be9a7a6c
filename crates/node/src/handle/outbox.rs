//! What of this office's messages has not been answered, where each of them is, and why it is not further.
//!
//! Refuses to leave one without its reason: a message that waits behind another tells what holds that one up.

use std::collections::BTreeMap;

use clearhouse_casework::forms::show_time;
use clearhouse_casework::office::cases::case_code;
use clearhouse_protocol::ids::{CaseId, OrgId};
use clearhouse_protocol::mail::{Delivery, Outgoing};
use clearhouse_store::Store;
use clearhouse_wire::v1::MessageType;
use serde_json::{Value, json};

use super::show::{at_keeper, org_label};
use super::state::finding_of;
use crate::courier::fault;
use crate::owner::World;

/// Why a letter did not open is never told to its sender by the other node. Most often it is one of these.
const NOT_OPENED: &str = "their node could not open it: see that the clocks of both offices are right, run `clearhouse directory refresh`, then send it anew";

/// The same of a receipt, which went several times by itself.
const RECEIPT_NOT_OPENED: &str = "their node could not open this receipt, also when it was sealed anew: see that the clocks of both offices are right, and tell them by phone that their message is here";

/// Why a message was not tried itself: those of one conversation leave in their order.
const GOES_FIRST: &str = "an earlier message to them, perhaps a receipt, goes first; ";

/// A conversation and a peer.
type Thread<'a> = (&'a [u8], &'a [u8]);

fn thread(o: &Outgoing) -> Thread<'_> {
    (&o.conversation, &o.peer_node)
}

/// The message that leaves first of each conversation in which any waits.
fn firsts<'a>(all: impl Iterator<Item = &'a Outgoing>) -> BTreeMap<Thread<'a>, &'a Outgoing> {
    let mut firsts = BTreeMap::new();
    for o in all.filter(|o| Delivery::of(o) == Delivery::Queued) {
        let first = firsts.entry(thread(o)).or_insert(o);
        if o.seq < first.seq {
            *first = o;
        }
    }
    firsts
}

/// Why a message is not further.
fn why(o: &Outgoing, firsts: &BTreeMap<Thread<'_>, &Outgoing>) -> String {
    let first = firsts.get(&thread(o)).filter(|first| first.seq < o.seq);
    match (Delivery::of(o), first) {
        (Delivery::NotOpened, _) if o.msg_type == MessageType::Receipt as u32 => RECEIPT_NOT_OPENED.to_owned(),
        (Delivery::NotOpened, _) => NOT_OPENED.to_owned(),
        (Delivery::Queued, Some(first)) => format!("{GOES_FIRST}{}", fault::sentence(first.fault)),
        (Delivery::Queued | Delivery::Stored | Delivery::Settled | Delivery::Expired | Delivery::Recalled, _) => {
            fault::sentence(o.fault).to_owned()
        }
    }
}

pub(super) fn outbox<S: Store>(world: &World<S>, training: bool) -> Vec<Value> {
    let word = |o: &Outgoing| match Delivery::of(o) {
        Delivery::Queued => "waiting to leave".to_owned(),
        Delivery::Stored => at_keeper(world, o).unwrap_or_else(|| "stored there, not answered yet".to_owned()),
        Delivery::Settled => "answered".to_owned(),
        Delivery::NotOpened => "could not be opened there".to_owned(),
        Delivery::Expired => "expired".to_owned(),
        Delivery::Recalled => "recalled".to_owned(),
    };
    let mail = world.office.mail();
    let firsts = firsts(mail.all_outgoing().map(|(_, o)| o));
    let open = mail.all_outgoing().filter(|(_, o)| Delivery::of(o) != Delivery::Settled);
    let hidden = |o: &Outgoing| CaseId::try_from(o.case.as_slice()).is_ok_and(|case| world.office.is_hidden(case));
    open.filter(|(_, o)| !hidden(o))
        .map(|(id, o)| {
            let conversation = o.conversation.as_slice().try_into();
            let code = conversation.ok().filter(|_| !o.case.is_empty()).map(|c| case_code(c, training));
            let org = OrgId::try_from(o.peer_org.as_slice()).map(|org| org_label(world, org)).unwrap_or_default();
            json!({
                "message": id.to_string(), "case": code, "to": org, "type": o.msg_type, "state": word(o),
                "locked_there": o.locked, "attempts": o.attempts, "next_try": show_time(o.next_try),
                "expires": show_time(o.expires), "why": why(o, &firsts),
            })
        })
        .collect()
}

/// What `doctor` says of messages that a restored node did not carry.
pub(super) fn held_finding(held: usize) -> Option<Value> {
    let text = format!(
        "{held} messages were on their way in the backup or old copy this node was put back from. They are not sent by \
         themselves: they may have been recalled since, or she may have withdrawn."
    );
    let next = "See them with clearhouse outbox, ask the other side what it has, and send again what should go.";
    (held > 0).then(|| finding_of("CH-D0229", text, next, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(conversation: u8, seq: u64, state: Delivery, fault: u32) -> Outgoing {
        let conversation = vec![conversation; 32];
        Outgoing { conversation, seq, state: state as u32, fault, peer_node: vec![1; 16], ..Outgoing::default() }
    }

    #[test]
    fn what_waits_behind_another_message_tells_what_holds_that_one_up() {
        let first = row(1, 3, Delivery::Queued, fault::UNREACHABLE);
        let behind = row(1, 4, Delivery::Queued, 0);
        let gone = row(1, 2, Delivery::Stored, fault::BROKE_OFF);
        let other = row(2, 9, Delivery::Queued, 0);
        let firsts = firsts([&behind, &gone, &first, &other].into_iter());
        assert_eq!(why(&first, &firsts), fault::sentence(fault::UNREACHABLE));
        assert_eq!(why(&behind, &firsts), format!("{GOES_FIRST}{}", fault::sentence(fault::UNREACHABLE)));
        assert_eq!(why(&gone, &firsts), fault::sentence(fault::BROKE_OFF));
        assert_eq!(why(&other, &firsts), "");
        let ended = row(2, 1, Delivery::NotOpened, 0);
        assert_eq!(why(&ended, &firsts), NOT_OPENED);
        let receipt = Outgoing { msg_type: MessageType::Receipt as u32, ..ended };
        assert_eq!(why(&receipt, &firsts), RECEIPT_NOT_OPENED, "nobody can send one anew");
    }
}
