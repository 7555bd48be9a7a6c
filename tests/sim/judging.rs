//! What must hold whenever it is looked at: a node is what it would find at a start, nobody is left untold, nothing leaves
//! against her word, and no receipt says what did not happen. Draws nothing.

use clearhouse_casework::body::CheckedBody;
use clearhouse_casework::consent::{DataClass, Purpose};
use clearhouse_casework::office::desk::Withdrawn;
use clearhouse_casework::roles::ActKind;
use clearhouse_protocol::audit;
use clearhouse_protocol::ids::{CaseId, MsgId};
use clearhouse_store::Store as _;
use clearhouse_wire::v1::{self as wire, Stage, Withdrawal};

use super::Violation;
use super::model::site_of;
use super::net::Site;
use super::portrait::{difference, fate, portrait};
use super::world::World;

impl World {
    /// What a node has in memory equals what it would find at a start; and what is locked is locked.
    pub(super) fn audit(&mut self, site: Site) -> Result<(), Violation> {
        self.nothing_ended_early(site)?;
        let now = self.nodes[site].clock(self.time);
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        if up.open != up.office.cases().is_some() || up.open == up.ledger.vault().is_locked() {
            return Err(Violation::new(format!("P10: site {site} is locked and has cases or their keys")));
        }
        let (found, _) = self.nodes[site].shadow(up.open)?;
        match difference(&portrait(&up.office, &self.model, now), &portrait(&found, &self.model, now)) {
            Some(other) => Err(Violation::new(format!("site {site} would start as another node: {other}"))),
            None => Ok(()),
        }
    }

    /// She withdrew, or stays: whoever wrote it down is told what was taken back, and whether somebody has something.
    pub(super) fn she_is_told(&mut self, site: Site, case: CaseId, done: &Withdrawn) -> Result<(), Violation> {
        let cases = self.nodes[site].up.as_ref().and_then(|up| up.office.cases());
        let letter = |id| cases.and_then(|c| c.case(case)?.letter(id));
        let over = |id| letter(id).is_none_or(|l| matches!(fate(l).as_str(), "failed" | "expired" | "cannot read"));
        let refused = |id| letter(id).is_some_and(|l| fate(l).starts_with("refused"));
        let may_be_there = |id| !over(id) && !refused(id);
        let left = self.model.mail().any(|(id, m)| m.from == site && m.has_left() && may_be_there(id));
        if left && done.told.is_none() && !done.must_tell {
            return Err(Violation::new(format!("P4: site {site} has sent something of {case}, and nobody is told")));
        }
        done.recalled.iter().try_for_each(|msg_id| self.model.taken_back(*msg_id))
    }

    /// Her word is durable at a site: nothing of the case that rests on it leaves from here any more.
    pub(super) fn stop_resting(&mut self, site: Site, case: CaseId, said: Option<&Withdrawal>) {
        let Some(up) = self.nodes[site].up.as_ref() else { return };
        let Some(case) = up.office.cases().and_then(|c| c.case(case)) else { return };
        let why = if said.is_some() { "its consent was withdrawn" } else { "she stays" };
        for letter in case.letters().iter().filter(|l| l.is_out()) {
            self.model.may_stop(letter.id());
            if letter.body().is_some_and(|body| rests(&body, said)) {
                self.model.stop(letter.id(), why);
            }
        }
    }

    /// A receipt came and was believed: what it says must be true, and its event in the record of whoever signed it.
    pub(super) fn check_receipt(&self, site: Site, msg_id: MsgId, said: &wire::Receipt) -> Result<(), Violation> {
        let lie = |what: &str| Err(Violation::new(format!("site {site} holds a receipt for {msg_id}: {what}")));
        let Some(holder) = site_of(&said.holder_node) else { return lie("by nobody") };
        match said.stage() {
            Stage::Received if self.model.effects(holder, msg_id) != 1 => return lie("received, and it had no effect"),
            Stage::Opened if !self.model.was_read(holder, msg_id) => return lie("opened, and nobody opened it"),
            Stage::Refused if !self.model.was_not_taken(holder, msg_id) && self.model.effects(holder, msg_id) > 0 => {
                return lie("refused, and it had its effect");
            }
            _ => {}
        }
        let Some(opening) = audit::unpad(&said.opening) else { return lie("its event is none") };
        let Ok(salt) = <[u8; 32]>::try_from(said.salt.as_slice()) else { return lie("its salt is none") };
        let kept = self.nodes[holder].disk().events(opening.index, 1).map_err(Violation::because("events"))?;
        match kept.first() {
            Some(event) if event.commitment == audit::commit(&salt, &said.opening) => Ok(()),
            Some(_) | None => lie("its event is not in the record of its signer"),
        }
    }
}

/// True when a message rests on what was withdrawn; without a withdrawal, when it says anything of her.
fn rests(body: &CheckedBody, said: Option<&Withdrawal>) -> bool {
    let Some(said) = said else {
        return !matches!(body.act(), ActKind::WithdrawConsent | ActKind::Stay) && !body.needs().is_empty();
    };
    let named = |class: Option<DataClass>| {
        said.data_classes.is_empty() || class.is_none_or(|c| said.data_classes.iter().any(|d| d == c.code()))
    };
    let whole = Purpose::parse(&said.purpose).is_some_and(Purpose::is_core);
    let hit = |purpose: Purpose, class| whole || purpose.code() == said.purpose && named(class);
    let under = |purpose: Purpose| {
        let older = |c: &wire::Consent| c.purpose == purpose.code() && c.given_at <= said.effective;
        whole || body.consents().any(|c| c.id == said.consent_id || older(c))
    };
    body.needs().into_iter().any(|(purpose, class)| hit(purpose, class) && under(purpose))
}
