//! Members of staff: invited once, signed in per person, one role each. Refuses an office without an administrator.
//!
//! Pass phrases never come here: a verifier is made and checked elsewhere and kept as opaque bytes. An invitation is
//! kept as the hash of its code, so the store cannot be used to accept one.

use std::collections::BTreeMap;

use clearhouse_protocol::audit::{AuditEvent, Erasure, Happening, record_erasure};
use clearhouse_protocol::ids::StaffId;
use clearhouse_protocol::limits::DAY;
use clearhouse_protocol::rows::{Row, Table, Under};
use prost::Message as _;
use rand_core::CryptoRng;

use super::{Now, Office, Step};
use crate::roles::{Actor, Role, is_label};

/// How long an invitation can be taken up.
pub const INVITATION_SECS: u64 = 3 * DAY;
/// Longest login name, in characters.
pub const LOGIN_MAX: usize = 32;
/// Accounts of one office, past ones included.
pub const STAFF_MAX: usize = 500;

/// One member of staff as kept. Numbers are on disk and are never reused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Member {
    /// Login name, unique.
    #[prost(string, tag = "1")]
    pub login: String,
    /// As colleagues and the other side read it: "Ana P.".
    #[prost(string, tag = "2")]
    pub label: String,
    /// Role code.
    #[prost(string, tag = "3")]
    pub role: String,
    /// 1 invited, 2 active, 3 left.
    #[prost(uint32, tag = "4")]
    pub state: u32,
    /// Sign-in verifier, opaque here.
    #[prost(bytes = "vec", tag = "5")]
    pub verifier: Vec<u8>,
    /// SHA-256 of the invitation code, while invited.
    #[prost(bytes = "vec", tag = "6")]
    pub invitation: Vec<u8>,
    /// Until when the invitation holds, unix seconds.
    #[prost(uint64, tag = "7")]
    pub invited_until: u64,
    /// When the account began, unix seconds.
    #[prost(uint64, tag = "8")]
    pub since: u64,
}

const INVITED: u32 = 1;
const ACTIVE: u32 = 2;
const LEFT: u32 = 3;

impl Member {
    /// The role, if it is one this version knows.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        Role::parse(&self.role)
    }

    /// Whether this person can sign in.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == ACTIVE
    }

    /// The state in a word: invited, active, left.
    #[must_use]
    pub fn state_word(&self) -> &'static str {
        match self.state {
            INVITED => "invited",
            ACTIVE => "active",
            _ => "left",
        }
    }
}

/// Why a change of staff is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StaffFault {
    /// Only an administrator changes accounts.
    #[error("only an administrator of this office may do that")]
    NotAdministrator,
    /// The login is taken or not a plain name.
    #[error("a login is 2 to 32 letters, digits, dots or hyphens, and is given once")]
    Login,
    /// The label would not be accepted in a message.
    #[error("the name shown must be one to four words of letters, at most 40 characters")]
    Label,
    /// No such person, or not in a state for this.
    #[error("there is no such account, or it is not in a state for this")]
    NoSuch,
    /// The invitation is over, or the code is another.
    #[error("this invitation does not hold: the code is wrong, used, or older than three days")]
    Invitation,
    /// The last administrator cannot leave.
    #[error("an office keeps at least one administrator: invite another first")]
    LastAdministrator,
    /// Too many accounts.
    #[error("this office has as many accounts as it can have")]
    Full,
}

/// All members of staff by id.
#[derive(Clone, Default)]
pub struct Staff(BTreeMap<StaffId, Member>);

impl Staff {
    /// Takes one kept row.
    pub fn apply(&mut self, row: &Row) {
        let Ok(id) = StaffId::try_from(row.key.as_slice()) else { return };
        match row.value.as_deref().map(Member::decode) {
            Some(Ok(member)) => drop(self.0.insert(id, member)),
            None => drop(self.0.remove(&id)),
            Some(Err(_)) => {}
        }
    }

    /// Everybody, by id.
    pub fn iter(&self) -> impl Iterator<Item = (StaffId, &Member)> {
        self.0.iter().map(|(id, m)| (*id, m))
    }

    /// The person with this login.
    #[must_use]
    pub fn by_login(&self, login: &str) -> Option<(StaffId, &Member)> {
        self.iter().find(|(_, m)| m.login == login)
    }

    /// The active person with this id, ready to act.
    #[must_use]
    pub fn actor(&self, id: StaffId) -> Option<Actor> {
        let member = self.0.get(&id).filter(|m| m.is_active())?;
        Some(Actor { staff_id: id, label: member.label.clone(), role: member.role()? })
    }

    fn administrators(&self) -> usize {
        self.0.values().filter(|m| m.is_active() && m.role() == Some(Role::Administrator)).count()
    }
}

/// A person to be invited.
pub struct Invitee<'a> {
    /// Login name.
    pub login: &'a str,
    /// Name shown.
    pub label: &'a str,
    /// Role.
    pub role: Role,
    /// SHA-256 of the code that the person will be handed.
    pub code_hash: [u8; 32],
}

impl Office {
    /// Invites a person. The very first account of an office is invited by nobody and is an administrator's.
    ///
    /// # Errors
    /// [`StaffFault`].
    pub fn invite<R: CryptoRng>(
        &self,
        by: Option<&Actor>,
        invitee: &Invitee<'_>,
        now: &mut Now<'_, R>,
    ) -> Result<(Step, StaffId), StaffFault> {
        let founding = self.staff.0.is_empty() && invitee.role == Role::Administrator;
        if !founding && !by.is_some_and(|a| a.role.administers()) {
            return Err(StaffFault::NotAdministrator);
        }
        if self.staff.0.len() >= STAFF_MAX {
            return Err(StaffFault::Full);
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        let sound = (2..=LOGIN_MAX).contains(&invitee.login.len()) && invitee.login.chars().all(plain);
        if !sound || self.staff.by_login(invitee.login).is_some() {
            return Err(StaffFault::Login);
        }
        if !is_label(invitee.label) {
            return Err(StaffFault::Label);
        }
        let mut id = [0u8; 16];
        now.rng.fill_bytes(&mut id);
        let member = Member {
            login: invitee.login.to_owned(),
            label: invitee.label.to_owned(),
            role: invitee.role.code().to_owned(),
            state: INVITED,
            invitation: invitee.code_hash.to_vec(),
            invited_until: now.time + INVITATION_SECS,
            since: now.time,
            ..Member::default()
        };
        Ok((self.staff_step(StaffId(id), &member, now), StaffId(id)))
    }

    /// Takes up an invitation: from now on the person signs in with the pass phrase behind `verifier`.
    ///
    /// # Errors
    /// [`StaffFault::Invitation`], whatever was wrong with it.
    pub fn accept_invitation<R: CryptoRng>(
        &self,
        login: &str,
        code_hash: [u8; 32],
        verifier: Vec<u8>,
        now: &mut Now<'_, R>,
    ) -> Result<(Step, StaffId), StaffFault> {
        let (id, member) = self.staff.by_login(login).ok_or(StaffFault::Invitation)?;
        let holds = member.state == INVITED && member.invitation == code_hash && member.invited_until > now.time;
        if !holds {
            return Err(StaffFault::Invitation);
        }
        let member = Member { state: ACTIVE, verifier, invitation: vec![], invited_until: 0, ..member.clone() };
        Ok((self.staff_step(id, &member, now), id))
    }

    /// Ends an account: the person can no longer sign in. What they did stays theirs.
    ///
    /// # Errors
    /// [`StaffFault`].
    pub fn end_account<R: CryptoRng>(
        &self,
        by: &Actor,
        login: &str,
        now: &mut Now<'_, R>,
    ) -> Result<(Step, StaffId), StaffFault> {
        if !by.role.administers() {
            return Err(StaffFault::NotAdministrator);
        }
        let (id, member) = self.staff.by_login(login).filter(|(_, m)| m.state != LEFT).ok_or(StaffFault::NoSuch)?;
        let last = member.is_active() && member.role() == Some(Role::Administrator) && self.staff.administrators() == 1;
        if last {
            return Err(StaffFault::LastAdministrator);
        }
        let member = Member { state: LEFT, verifier: vec![], invitation: vec![], ..member.clone() };
        Ok((self.staff_step(id, &member, now), id))
    }

    /// Records a sign-in, a lock or an unlock.
    pub fn note<R: CryptoRng>(&self, event: AuditEvent, by: Option<&Actor>, now: &mut Now<'_, R>) -> Step {
        self.note_happening(&Happening::of(event).by(by.map_or("", |a| a.role.code())), now)
    }

    /// [`Office::note`] of an event that names more.
    pub fn note_happening<R: CryptoRng>(&self, happening: &Happening, now: &mut Now<'_, R>) -> Step {
        let mut step = Step::default();
        self.record(&mut step, happening, now);
        step
    }

    /// Rows by which a folder that was put back does not use again what it does not remember: places in conversations move
    /// on ([`Mailroom::move_places_on`]), and accounts that were under way are told again. Twice does no harm.
    ///
    /// [`Mailroom::move_places_on`]: clearhouse_protocol::mail::Mailroom::move_places_on
    #[must_use]
    pub fn move_on(&self, now: u64) -> Vec<Row> {
        std::iter::once(self.mail.move_places_on(now)).chain(self.tell_again()).collect()
    }

    /// Records that entries of this node's own log, first and last, came back from a mirror without what they say.
    /// `None` when the range is none.
    #[must_use]
    pub fn restored<R: CryptoRng>(&self, range: (u64, u64), now: &mut Now<'_, R>) -> Option<Step> {
        let (happening, erasure) = (Happening::of(AuditEvent::Restore), Erasure { ranges: &[range], rule: "" });
        let index = self.next_event;
        let event = record_erasure(&happening, erasure, self.me.net, &self.origin, index, now.time, now.rng)?;
        Some(Step { events: vec![event], ..Step::default() })
    }

    fn staff_step<R: CryptoRng>(&self, id: StaffId, member: &Member, now: &mut Now<'_, R>) -> Step {
        let row = Row {
            table: Table::Staff,
            key: id.to_vec(),
            value: Some(member.encode_to_vec()),
            under: Under::Service,
            must_be_new: false,
        };
        let mut step = Step { rows: vec![row], ..Step::default() };
        self.record(&mut step, &Happening::of(AuditEvent::StaffChanged), now);
        step
    }
}

#[cfg(test)]
mod tests;
