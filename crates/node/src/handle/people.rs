//! Signing in and out, locking and unlocking, and who works here.

use std::sync::Arc;

use clearhouse_casework::office::people::{Invitee, StaffFault};
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::ids::{StaffId, hex};
use clearhouse_protocol::pae::sha256;
use clearhouse_store::Store;
use clearhouse_store::keyfile::{NewSlot, Opened, SlotKind, SlotSecret, Verifier};
use clearhouse_store::passphrase::{Passphrase, pause_after};
use rand_core::Rng as _;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Answer, Handle, SESSIONS_MAX, Session, failure, key_failure, lock, not_taken};
use crate::clock::chance;
use crate::control::{ControlFailure, SessionToken};

/// Letters of an invitation code: no vowels, nothing that looks like something else.
const CODE_LETTERS: &[u8; 24] = b"BCDFGHJKMNPQRSTVWXZ23457";
const CODE_LEN: usize = 20;

impl<S: Store + 'static> Handle<S> {
    pub(super) async fn sign_in(&self, login: String, passphrase: Zeroizing<String>) -> Answer {
        let passphrase = Arc::new(read_passphrase(passphrase)?);
        self.slow_down(&login).await;
        let name = login.clone();
        let found = self.owner.look(move |world| {
            let staff = world.office.staff();
            staff
                .by_login(&name)
                .filter(|(_, m)| m.is_active())
                .map(|(id, m)| (id, m.verifier.clone(), m.label.clone()))
        });
        let wrong =
            || failure("CH-K0104", "The login or the pass phrase is not right. After several tries answers slow down.");
        let Some((person, verifier, label)) = found.await.map_err(not_taken)? else {
            self.failed(&login);
            return Err(wrong());
        };
        let given = Arc::clone(&passphrase);
        let right =
            tokio::task::spawn_blocking(move || Verifier::from_bytes(&verifier).and_then(|v| v.check(person, &given)));
        match right.await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                self.failed(&login);
                return Err(wrong());
            }
            Ok(Err(error)) => return Err(key_failure(&error)),
            Err(_) => return Err(failure("CH-S0102", "Signing in failed by an error of this program.")),
        }
        lock(&self.failures).remove(&login);
        let unlocked = self.unlock_as(person, &passphrase).await?;
        let token = self.begin_session(person)?;
        let noted = self.owner.decide(move |world, now| {
            let actor = world.office.staff().actor(person);
            (world.office.note(AuditEvent::SignIn, actor.as_ref(), now), ())
        });
        noted.await.map_err(not_taken)?;
        Ok(json!({"schema": "ch.session/1", "token": token, "login": login, "label": label, "unlocked": unlocked}))
    }

    fn begin_session(&self, person: StaffId) -> Result<String, ControlFailure> {
        let mut bytes = [0u8; 32];
        chance().fill_bytes(&mut bytes);
        let token = hex(&bytes);
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= SESSIONS_MAX {
            return Err(failure("CH-S0104", "Too many people are signed in. Somebody has to sign out first."));
        }
        let now = self.clock.now();
        self.last_used.store(now, std::sync::atomic::Ordering::Relaxed);
        sessions.insert(token.clone(), Session { person, last_used: now });
        Ok(token)
    }

    /// Opens cases with a person's own pass phrase, when her role has a slot and cases are locked.
    async fn unlock_as(&self, person: StaffId, passphrase: &Arc<Passphrase>) -> Result<bool, ControlFailure> {
        let has_slot = {
            let keys = lock(&self.keys);
            keys.content().is_none() && keys.slots().iter().any(|s| s.kind == SlotKind::Person(person))
        };
        if !has_slot {
            return Ok(false);
        }
        let given = Arc::clone(passphrase);
        self.unlock_with(move |keys| keys.unlock_content(&SlotSecret::Person(person, &given))).await?;
        Ok(true)
    }

    pub(super) fn sign_out(&self, session: Option<&SessionToken>) -> Answer {
        if let Some(token) = session {
            lock(&self.sessions).remove(token.as_str());
        }
        Ok(json!({"schema": "ch.done/1", "done": "signed out"}))
    }

    pub(super) async fn unlock(&self, login: Option<String>, passphrase: Zeroizing<String>) -> Answer {
        if let Some(login) = login {
            return self.sign_in(login, passphrase).await;
        }
        let passphrase = read_passphrase(passphrase)?;
        self.slow_down("").await;
        let opened = self.unlock_with(move |keys| keys.unlock_content(&SlotSecret::Passphrase(&passphrase))).await;
        if opened.is_err() {
            self.failed("");
        }
        opened?;
        lock(&self.failures).remove("");
        Ok(json!({"schema": "ch.done/1", "done": "cases are open"}))
    }

    /// Opens the content compartment and everything that hangs on it.
    async fn unlock_with(
        &self,
        open: impl FnOnce(&mut Opened) -> Result<(), clearhouse_store::keyfile::KeyFileError> + Send + 'static,
    ) -> Result<(), ControlFailure> {
        let keys = Arc::clone(&self.keys);
        let opened = tokio::task::spawn_blocking(move || open(&mut lock(&keys))).await;
        opened
            .map_err(|_| failure("CH-S0102", "Unlocking failed by an error of this program."))?
            .map_err(|error| key_failure(&error))?;
        let (keys, prekeys) = (Arc::clone(&self.keys), self.prekeys.clone());
        let loaded = self.owner.look(move |world| {
            let keys = lock(&keys);
            let content = keys.content().ok_or_else(|| {
                failure("CH-K0102", "Cases were locked again while they were being opened. Unlock them once more.")
            })?;
            world
                .unlock(content)
                .map_err(|_| failure("CH-I0101", "Cases could not be read with this key. Run `clearhouse doctor`."))?;
            prekeys.unlock(content);
            Ok(())
        });
        loaded.await.map_err(not_taken)??;
        self.last_used.store(self.clock.now(), std::sync::atomic::Ordering::Relaxed);
        let noted = self.owner.decide(|world, now| (world.office.note(AuditEvent::Unlocked, None, now), ()));
        noted.await.map_err(not_taken)?;
        self.owner.signals.letters.notify_one();
        self.refresh_presence().await;
        Ok(())
    }

    /// Drops every case key, every case and every prekey.
    pub async fn lock_cases(&self, by: Option<Actor>) -> Answer {
        lock(&self.staged).clear();
        let (keys, prekeys) = (Arc::clone(&self.keys), self.prekeys.clone());
        // All of it in one turn of the owner: an unlock that is under way finds either everything open or nothing.
        let locked = self.owner.look(move |world| {
            let mut keys = lock(&keys);
            keys.lock_content();
            prekeys.lock();
            world.lock();
        });
        locked.await.map_err(not_taken)?;
        let noted = self.owner.decide(move |world, now| (world.office.note(AuditEvent::Locked, by.as_ref(), now), ()));
        noted.await.map_err(not_taken)?;
        Ok(json!({"schema": "ch.done/1", "done": "cases are locked; messages are stored until somebody unlocks"}))
    }

    pub(super) async fn invite(&self, actor: Actor, login: String, label: String, role: String) -> Answer {
        let role = Role::parse(&role).ok_or_else(|| {
            failure("CH-U0102", "The role is one of Caseworker, Manager, ChildOfficer, Administrator, Auditor.")
        })?;
        let code = invitation_code();
        let (hash, name) = (code_hash(&code), login.clone());
        let decided = self.owner.decide(move |world, now| {
            let invitee = Invitee { login: &name, label: &label, role, code_hash: hash };
            match world.office.invite(Some(&actor), &invitee, now) {
                Ok((step, _)) => (step, Ok(())),
                Err(fault) => (Default::default(), Err(fault)),
            }
        });
        decided.await.map_err(not_taken)?.map_err(staff_failure)?;
        Ok(json!({
            "schema": "ch.invitation/1", "login": login, "code": code.as_str(), "days": 3,
            "next": format!("Hand over the code in person, then: clearhouse user accept {login}"),
        }))
    }

    pub(super) async fn accept(&self, login: String, code: Zeroizing<String>, passphrase: Zeroizing<String>) -> Answer {
        let passphrase = Arc::new(read_passphrase(passphrase)?);
        self.slow_down(&login).await;
        let hash = code_hash(&code);
        let name = login.clone();
        let found = self.owner.look(move |world| {
            let (id, member) = world.office.staff().by_login(&name)?;
            (member.invitation == hash).then(|| (id, member.role()))
        });
        let Some((person, Some(role))) = found.await.map_err(not_taken)? else {
            self.failed(&login);
            return Err(staff_failure(StaffFault::Invitation));
        };
        if role.handles_cases() && lock(&self.keys).content().is_none() {
            return Err(failure(
                "CH-K0102",
                "Cases are locked, so this person cannot be given their key. Unlock with `clearhouse unlock`, then accept again.",
            ));
        }
        let (keys, given, cost) = (Arc::clone(&self.keys), Arc::clone(&passphrase), self.cost);
        let made = tokio::task::spawn_blocking(move || {
            let verifier = Verifier::make(person, &given, cost, &mut chance())?;
            if role.handles_cases() {
                lock(&keys).add_slot(&NewSlot::Person { staff: person, secret: &given, cost }, &mut chance())?;
            }
            Ok(verifier.to_bytes())
        });
        let verifier = made
            .await
            .map_err(|_| failure("CH-S0102", "An error of this program; the invitation still holds."))?
            .map_err(|error: clearhouse_store::keyfile::KeyFileError| key_failure(&error))?;
        let name = login.clone();
        let decided =
            self.owner.decide(move |world, now| match world.office.accept_invitation(&name, hash, verifier, now) {
                Ok((step, _)) => (step, Ok(())),
                Err(fault) => (Default::default(), Err(fault)),
            });
        decided.await.map_err(not_taken)?.map_err(staff_failure)?;
        Ok(json!({
            "schema": "ch.done/1", "done": "account ready",
            "next": format!("clearhouse user sign-in {login}"),
        }))
    }

    pub(super) async fn leave(&self, actor: Actor, login: String) -> Answer {
        let decided = self.owner.decide(move |world, now| match world.office.end_account(&actor, &login, now) {
            Ok((step, id)) => (step, Ok(id)),
            Err(fault) => (Default::default(), Err(fault)),
        });
        let person = decided.await.map_err(not_taken)?.map_err(staff_failure)?;
        lock(&self.sessions).retain(|_, s| s.person != person);
        let slot_left = {
            let mut keys = lock(&self.keys);
            let slot = keys.slots().iter().find(|s| s.kind == SlotKind::Person(person)).map(|s| s.id);
            slot.is_some_and(|id| keys.remove_slot(id, &mut chance()).is_err())
        };
        let next = if slot_left {
            "The account is closed. Their key is still in the key file: unlock cases and end the account again."
        } else {
            "The account is closed and its key removed."
        };
        Ok(json!({"schema": "ch.done/1", "done": next}))
    }

    pub(super) async fn users(&self) -> Answer {
        let users = self.owner.look(|world| {
            let row = |(_, m): (StaffId, &clearhouse_casework::office::people::Member)| {
                json!({"login": m.login, "label": m.label, "role": m.role, "state": m.state_word()})
            };
            world.office.staff().iter().map(row).collect::<Vec<_>>()
        });
        Ok(json!({"schema": "ch.users/1", "users": users.await.map_err(not_taken)?}))
    }

    async fn slow_down(&self, login: &str) {
        let failures = lock(&self.failures).get(login).copied().unwrap_or(0);
        tokio::time::sleep(pause_after(failures)).await;
    }

    fn failed(&self, login: &str) {
        let mut failures = lock(&self.failures);
        // A flood of invented logins must not grow memory: beyond the cap they share one count.
        let key = if failures.len() < 1024 || failures.contains_key(login) { login } else { "" };
        *failures.entry(key.to_owned()).or_insert(0) += 1;
    }
}

fn read_passphrase(text: Zeroizing<String>) -> Result<Passphrase, ControlFailure> {
    Passphrase::new(text).map_err(|error| failure("CH-K0105", format!("{error}.")))
}

fn staff_failure(fault: StaffFault) -> ControlFailure {
    let code = match fault {
        StaffFault::NotAdministrator => "CH-R0106",
        StaffFault::Login | StaffFault::Label | StaffFault::Full => "CH-U0103",
        StaffFault::NoSuch => "CH-N0103",
        StaffFault::Invitation => "CH-K0106",
        StaffFault::LastAdministrator => "CH-R0107",
    };
    failure(code, format!("Not done: {fault}."))
}

fn invitation_code() -> Zeroizing<String> {
    let mut bytes = [0u8; 1];
    let mut code = Zeroizing::new(String::with_capacity(CODE_LEN + 4));
    let mut letters = 0;
    while letters < CODE_LEN {
        chance().fill_bytes(&mut bytes);
        // Only values that fall evenly on the letters, so that none is likelier.
        if let Some(letter) = CODE_LETTERS.get(usize::from(bytes[0] & 31)) {
            if letters > 0 && letters % 5 == 0 {
                code.push('-');
            }
            code.push(char::from(*letter));
            letters += 1;
        }
    }
    code
}

fn code_hash(code: &str) -> [u8; 32] {
    let plain: Zeroizing<String> =
        Zeroizing::new(code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect());
    sha256(plain.as_bytes())
}
