//! How each fact changes a case. Total: nothing here fails, and a damaged fact is counted, never skipped in silence.

use clearhouse_protocol::ids::{Digest, MsgId, NodeId, OrgId};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{RefusalCode, Stage};

use super::fact::{self, Fact};
use super::letter::{Kept, Letter, Light};
use super::{Case, Fired, GAPS_MAX, NotTaken, child, keep};
use crate::body::{self, CheckedBody};
use crate::consent::DataClass;
use crate::deadlines::Rule;
use crate::roles::is_label;

fn id(bytes: &[u8]) -> Option<MsgId> {
    MsgId::try_from(bytes).ok()
}

impl Case {
    pub(super) fn take(&mut self, fact: &Fact) {
        self.note_digest(fact);
        self.note_witness(fact);
        let taken = match fact {
            // A case is opened once; a second opening is damage.
            Fact::Opened(_) => None,
            Fact::ConsentRecorded(f) => f.consent.as_ref().map(|c| self.ledger.record(c)),
            Fact::ConsentWithdrawn(f) => f.withdrawal.as_ref().map(|w| self.ledger.withdraw(w)),
            Fact::MessageOut(f) => self.message_out(f),
            Fact::MessageIn(f) => self.message_in(f),
            Fact::Stored(f) => self.stored(f),
            Fact::ReceiptIn(f) => self.receipt_in(f),
            Fact::OpenedHere(f) => self.opened_here(f),
            Fact::SendFailed(f) => self.change(&f.msg_id, |l| l.failed = true),
            Fact::Expired(f) => self.change(&f.msg_id, |l| l.expired = true),
            Fact::Recalled(f) => self.change(&f.msg_id, |l| l.recalled = true),
            Fact::Gap(f) => self.gap(f),
            Fact::TimerFired(f) => self.timer_fired(f),
            Fact::Stayed(f) => {
                self.stayed_here.get_or_insert(f.at);
                Some(())
            }
            Fact::Logged(f) => {
                self.logged.push(f.event);
                Some(())
            }
            Fact::PartsErased(f) => self.parts_erased(f),
            Fact::RefusedHere(f) => self.note_not_taken(&f.msg_id, f.msg_type, f.seq, f.at, Some(f.code.clone())),
            Fact::HeldUnread(f) => self.note_not_taken(&f.msg_id, f.msg_type, f.seq, f.at, None),
        };
        if taken.is_none() {
            self.unreadable = self.unreadable.saturating_add(1);
        }
    }

    /// Remembers the envelope in which a message of theirs came.
    fn note_digest(&mut self, fact: &Fact) {
        let digest = match fact {
            Fact::MessageIn(f) => &f.digest,
            Fact::RefusedHere(f) => &f.digest,
            Fact::HeldUnread(f) => &f.digest,
            Fact::Opened(_)
            | Fact::ConsentRecorded(_)
            | Fact::ConsentWithdrawn(_)
            | Fact::MessageOut(_)
            | Fact::Stored(_)
            | Fact::ReceiptIn(_)
            | Fact::OpenedHere(_)
            | Fact::SendFailed(_)
            | Fact::Expired(_)
            | Fact::Recalled(_)
            | Fact::Gap(_)
            | Fact::TimerFired(_)
            | Fact::Stayed(_)
            | Fact::Logged(_)
            | Fact::PartsErased(_) => return,
        };
        let _ = Digest::try_from(digest.as_slice()).map(|digest| keep(&mut self.came_in, digest));
    }

    fn parts_erased(&mut self, f: &fact::PartsErased) -> Option<()> {
        let classes: Option<Vec<DataClass>> = f.classes.iter().map(|code| DataClass::from_code(code)).collect();
        let newest = self.letters.len();
        self.erased_parts.extend(classes?.into_iter().map(|class| (class, newest)));
        Some(())
    }

    /// The other organisation of this case; a fact about any other has no place here.
    fn peer(&self, org: &[u8]) -> Option<OrgId> {
        (org == self.peer_org.as_bytes()).then_some(self.peer_org)
    }

    fn change(&mut self, msg_id: &[u8], change: impl FnOnce(&mut Letter)) -> Option<()> {
        let msg_id = id(msg_id)?;
        let letter = self.letters.iter_mut().find(|l| l.out && l.id == msg_id)?;
        change(letter);
        Some(())
    }

    fn message_out(&mut self, f: &fact::MessageOut) -> Option<()> {
        let (org, node) = (self.own_org, self.own_node);
        let body = body::restore(f.msg_type, &f.body);
        let letter = letter(id(&f.msg_id)?, true, f.seq, f.at, (org, node), body.as_ref());
        self.add(letter, body)
    }

    fn message_in(&mut self, f: &fact::MessageIn) -> Option<()> {
        let org = self.peer(&f.org)?;
        let node = NodeId::try_from(f.node.as_slice()).ok()?;
        let body = body::restore(f.msg_type, &f.body);
        // Whoever answers a message has it, whatever became of the receipt.
        let signed = Light { at: f.sent_at, node, org: Some(org), label: String::new() };
        let answered = body.as_ref().and_then(CheckedBody::in_reply_to);
        if let Some(ours) = self.letters.iter_mut().find(|l| l.out && Some(l.id) == answered) {
            ours.received.get_or_insert(signed);
        }
        let mut letter = letter(id(&f.msg_id)?, false, f.seq, f.sent_at, (org, node), body.as_ref());
        letter.received =
            Some(Light { at: f.received_at, node: self.own_node, org: Some(self.own_org), label: String::new() });
        self.add(letter, body)
    }

    /// Adds a message once, and what it says about consent, age and her staying.
    fn add(&mut self, letter: Letter, body: Option<CheckedBody>) -> Option<()> {
        if self.letters.iter().any(|l| l.id == letter.id) {
            return Some(());
        }
        let readable = body.as_ref().map(|body| {
            body.consents().for_each(|c| self.ledger.record(c));
            match body.what() {
                Some(What::Withdrawal(w)) => self.ledger.withdraw(w),
                // Even a notice that was refused or recalled: nobody becomes an adult by a second form.
                Some(What::ReturnNotice(n)) => self.child |= child::is_child(n),
                Some(
                    What::Acknowledgement(_)
                    | What::Answer(_)
                    | What::VictimProfile(_)
                    | What::Departure(_)
                    | What::Arrival(_),
                )
                | None => {}
            }
        });
        if let Some(body) = &body {
            self.note_witnessed(body, letter.org, letter.at);
        }
        if !letter.out {
            self.close_gap(letter.seq);
        }
        keep(&mut self.letters, letter);
        readable
    }

    fn stored(&mut self, f: &fact::Stored) -> Option<()> {
        let node = NodeId::try_from(f.node.as_slice()).ok()?;
        let org = OrgId::try_from(f.org.as_slice()).ok();
        self.change(&f.msg_id, |l| {
            l.stored.get_or_insert(Light { at: f.at, node, org, label: String::new() });
            l.locked = f.locked;
        })
    }

    fn receipt_in(&mut self, f: &fact::ReceiptIn) -> Option<()> {
        let stage = Stage::try_from(f.stage).ok()?;
        let node = NodeId::try_from(f.node.as_slice()).ok()?;
        let org = Some(self.peer(&f.org)?);
        // The other node chose the label; on a screen here it is a name or nothing.
        let label = if is_label(&f.actor_label) { f.actor_label.as_str() } else { "" };
        let light = |label: &str| Light { at: f.at, node, org, label: label.to_owned() };
        self.change(&f.msg_id, |l| match stage {
            Stage::Received => drop(l.received.get_or_insert_with(|| light(""))),
            // What a person did implies what the node did before.
            Stage::Opened | Stage::Met | Stage::NotMet => {
                l.received.get_or_insert_with(|| light(""));
                if stage == Stage::Opened {
                    l.read.get_or_insert_with(|| light(label));
                }
            }
            Stage::Refused => l.refused = Some(RefusalCode::try_from(f.refusal).unwrap_or(RefusalCode::Unspecified)),
            Stage::CannotRead => l.cannot_read = true,
            Stage::Unspecified => {}
        })
    }

    fn opened_here(&mut self, f: &fact::OpenedHere) -> Option<()> {
        let msg_id = id(&f.msg_id)?;
        let label = f.by.as_ref().map(|by| by.label.clone()).unwrap_or_default();
        let light = Light { at: f.at, node: self.own_node, org: Some(self.own_org), label };
        self.letters.iter_mut().find(|l| !l.out && l.id == msg_id)?.read.get_or_insert(light);
        Some(())
    }

    fn timer_fired(&mut self, f: &fact::TimerFired) -> Option<()> {
        let rule = Rule::parse(&f.rule)?;
        let about = if f.msg_id.is_empty() { None } else { Some(id(&f.msg_id)?) };
        if !self.fired.iter().any(|old| old.rule == rule && old.about == about) {
            self.fired.push(Fired { rule, due: f.due, at: f.at, about });
        }
        Some(())
    }

    fn note_not_taken(&mut self, msg_id: &[u8], msg_type: u32, seq: u64, at: u64, code: Option<String>) -> Option<()> {
        let id = id(msg_id)?;
        self.close_gap(seq);
        if self.not_taken.len() < super::LETTERS_MAX {
            self.not_taken.insert(seq, NotTaken { id, msg_type, seq, at, code });
        }
        Some(())
    }

    fn gap(&mut self, f: &fact::Gap) -> Option<()> {
        if f.from == 0 || f.from > f.to {
            return None;
        }
        if self.gaps.len() < GAPS_MAX && !self.gaps.contains(&(f.from, f.to)) {
            self.gaps.push((f.from, f.to));
        }
        let arrived: Vec<u64> = self.letters.iter().filter(|l| !l.out).map(|l| l.seq).collect();
        arrived.into_iter().for_each(|seq| self.close_gap(seq));
        Some(())
    }

    /// Takes one number out of the gaps; a number in the middle leaves two.
    fn close_gap(&mut self, seq: u64) {
        self.gaps =
            std::mem::take(&mut self.gaps)
                .into_iter()
                .flat_map(|(from, to)| {
                    if (from..=to).contains(&seq) { [(from, seq - 1), (seq + 1, to)] } else { [(from, to), (1, 0)] }
                })
                .filter(|(from, to)| from <= to)
                .collect();
    }
}

fn letter(id: MsgId, out: bool, seq: u64, at: u64, from: (OrgId, NodeId), body: Option<&CheckedBody>) -> Letter {
    Letter {
        id,
        out,
        seq,
        at,
        org: from.0,
        node: from.1,
        body: body.map(Kept::of),
        stored: None,
        locked: false,
        received: None,
        read: None,
        refused: None,
        cannot_read: false,
        recalled: false,
        failed: false,
        expired: false,
    }
}
