//! Who may be invited, take up an invitation and be let go, and that nothing else changes an account.

use clearhouse_protocol::audit;
use clearhouse_protocol::fixture::{NOW, Region};

use super::super::erasing::tests::actor;
use super::super::hearing::tests::{Node, region};
use super::*;

const CODE: [u8; 32] = [7; 32];

/// An office whose administrator has taken up her invitation.
struct Staffed {
    region: Region,
    node: Node,
    admin: Actor,
}

fn invitee(login: &str, role: Role) -> Invitee<'_> {
    Invitee { login, label: "Ana P.", role, code_hash: CODE }
}

impl Staffed {
    fn empty() -> Self {
        let (region, _, node, _) = region();
        Self { region, node, admin: actor(Role::Administrator) }
    }

    fn new() -> Self {
        let mut office = Self::empty();
        let founded = office.act(NOW, |office, now| office.invite(None, &invitee("admin", Role::Administrator), now));
        assert_eq!(founded, Ok(office.id("admin")));
        office.accept("admin", NOW).unwrap();
        office.admin = office.staff().actor(office.id("admin")).unwrap();
        office
    }

    fn staff(&self) -> &Staff {
        self.node.office.staff()
    }

    fn id(&self, login: &str) -> StaffId {
        self.staff().by_login(login).unwrap().0
    }

    fn member(&self, login: &str) -> Member {
        self.staff().by_login(login).unwrap().1.clone()
    }

    /// What an office decides becomes true; what it refuses leaves no trace.
    fn act<T>(
        &mut self,
        at: u64,
        decide: impl FnOnce(&Office, &mut Now<'_, rand_chacha::ChaCha20Rng>) -> Result<(Step, T), StaffFault>,
    ) -> Result<T, StaffFault> {
        let taken = |decided: Result<(Step, T), StaffFault>| match decided {
            Ok((step, value)) => (step, Ok(value)),
            Err(fault) => (Step::default(), Err(fault)),
        };
        self.node.act(&self.region, at, |office, now| taken(decide(office, now))).1
    }

    fn invite(&mut self, invitee: &Invitee<'_>) -> Result<StaffId, StaffFault> {
        let admin = self.admin.clone();
        self.act(NOW, |office, now| office.invite(Some(&admin), invitee, now))
    }

    fn accept(&mut self, login: &str, at: u64) -> Result<StaffId, StaffFault> {
        self.act(at, |office, now| office.accept_invitation(login, CODE, vec![9; 3], now))
    }

    fn end(&mut self, login: &str) -> Result<StaffId, StaffFault> {
        let admin = self.admin.clone();
        self.act(NOW, |office, now| office.end_account(&admin, login, now))
    }
}

#[test]
fn the_first_account_is_an_administrators_and_nobody_else_is_invited_by_nobody() {
    let mut office = Staffed::empty();
    for role in [Role::Caseworker, Role::Manager, Role::ChildOfficer, Role::Auditor] {
        let invited = office.act(NOW, |office, now| office.invite(None, &invitee("ana", role), now));
        assert_eq!(invited, Err(StaffFault::NotAdministrator), "{role:?}");
    }
    let mut office = Staffed::new();
    let again = office.act(NOW, |office, now| office.invite(None, &invitee("other", Role::Administrator), now));
    assert_eq!(again, Err(StaffFault::NotAdministrator), "only while there is no account at all");
    for role in [Role::Caseworker, Role::Manager, Role::ChildOfficer, Role::Auditor] {
        let by = actor(role);
        let invited = office.act(NOW, |office, now| office.invite(Some(&by), &invitee("ana", Role::Caseworker), now));
        assert_eq!(invited, Err(StaffFault::NotAdministrator), "{role:?}");
        assert_eq!(
            office.act(NOW, |office, now| office.end_account(&by, "admin", now)),
            Err(StaffFault::NotAdministrator)
        );
    }
    assert_eq!(office.staff().iter().count(), 1);
}

#[test]
fn whoever_is_invited_is_kept_as_invited_and_acts_only_after_taking_it_up() {
    let mut office = Staffed::new();
    let before = office.node.office.event_count();
    let id = office.invite(&invitee("ana.p", Role::Manager)).unwrap();
    let member = Member {
        login: "ana.p".into(),
        label: "Ana P.".into(),
        role: Role::Manager.code().into(),
        state: INVITED,
        verifier: vec![],
        invitation: CODE.to_vec(),
        invited_until: NOW + 3 * DAY,
        since: NOW,
    };
    assert_eq!((office.id("ana.p"), office.member("ana.p")), (id, member.clone()));
    assert_eq!((office.staff().actor(id).is_none(), member.state_word()), (true, "invited"));
    office.accept("ana.p", NOW + DAY).unwrap();
    let active = Member { state: ACTIVE, verifier: vec![9; 3], invitation: vec![], invited_until: 0, ..member };
    assert_eq!((office.member("ana.p"), active.state_word()), (active.clone(), "active"));
    let acts = office.staff().actor(id).unwrap();
    assert_eq!((acts.staff_id, acts.label.as_str(), acts.role), (id, "Ana P.", Role::Manager));
    office.end("ana.p").unwrap();
    let left = Member { state: LEFT, verifier: vec![], ..active };
    assert_eq!((office.member("ana.p"), left.state_word()), (left.clone(), "left"));
    assert!(office.staff().actor(id).is_none());
    // Each of the three is told in the log.
    let told = &office.node.events[usize::try_from(before).unwrap()..];
    let of_staff = |row: &clearhouse_protocol::rows::EventRow| {
        audit::unpad(&row.opening).is_some_and(|opening| opening.event() == AuditEvent::StaffChanged)
    };
    assert!(told.len() == 3 && told.iter().all(of_staff));
}

#[test]
fn a_login_is_plain_short_and_given_once_even_to_one_who_left() {
    let mut office = Staffed::new();
    let longest = "a".repeat(LOGIN_MAX);
    for login in ["ab", "a1.b-c", longest.as_str()] {
        assert!(office.invite(&invitee(login, Role::Caseworker)).is_ok(), "{login}");
    }
    let too_long = "b".repeat(LOGIN_MAX + 1);
    for login in ["", "b", "Bo", "b o", "b_o", "b/o", "bö", "b\n", too_long.as_str(), "ab", "admin"] {
        assert_eq!(office.invite(&invitee(login, Role::Caseworker)), Err(StaffFault::Login), "{login:?}");
    }
    office.end("ab").unwrap();
    assert_eq!(office.invite(&invitee("ab", Role::Caseworker)), Err(StaffFault::Login));
    let unnamed = Invitee { label: "4", ..invitee("bo", Role::Caseworker) };
    assert_eq!(office.invite(&unnamed), Err(StaffFault::Label));
}

#[test]
fn an_office_has_so_many_accounts_and_not_one_more() {
    let mut office = Staffed::new();
    for n in office.staff().iter().count()..STAFF_MAX {
        office.invite(&invitee(&format!("worker{n}"), Role::Caseworker)).unwrap();
    }
    assert_eq!(office.invite(&invitee("one-more", Role::Caseworker)), Err(StaffFault::Full));
    // Who left still counts: what they did names them.
    office.end("worker7").unwrap();
    assert_eq!(office.invite(&invitee("one-more", Role::Caseworker)), Err(StaffFault::Full));
}

#[test]
fn an_invitation_holds_for_its_person_with_its_code_once_and_for_three_days() {
    let mut office = Staffed::new();
    office.invite(&invitee("ana", Role::Caseworker)).unwrap();
    let other = office.act(NOW, |office, now| office.accept_invitation("ana", [8; 32], vec![9], now));
    assert_eq!(other, Err(StaffFault::Invitation), "another code");
    assert_eq!(office.accept("bo", NOW), Err(StaffFault::Invitation), "another person");
    assert_eq!(office.accept("ana", NOW + INVITATION_SECS), Err(StaffFault::Invitation), "too late");
    office.accept("ana", NOW + INVITATION_SECS - 1).unwrap();
    assert_eq!(office.accept("ana", NOW), Err(StaffFault::Invitation), "taken up before");
    // Neither does an invitation without a code stand for one that was used.
    let empty = office.act(NOW, |office, now| office.accept_invitation("ana", [0; 32], vec![9], now));
    assert_eq!(empty, Err(StaffFault::Invitation));
    // One that was taken back is none.
    office.invite(&invitee("mira", Role::Caseworker)).unwrap();
    office.end("mira").unwrap();
    assert_eq!(office.accept("mira", NOW), Err(StaffFault::Invitation));
}

#[test]
fn the_last_administrator_who_can_sign_in_stays() {
    let mut office = Staffed::new();
    assert_eq!(office.end("admin"), Err(StaffFault::LastAdministrator));
    // One who was only invited cannot take over, and may be let go of; a colleague of another role is none.
    office.invite(&invitee("second", Role::Administrator)).unwrap();
    office.invite(&invitee("ana", Role::Caseworker)).unwrap();
    office.accept("ana", NOW).unwrap();
    assert_eq!(office.end("admin"), Err(StaffFault::LastAdministrator));
    office.end("ana").unwrap();
    office.end("second").unwrap();
    let second = office.member("second");
    assert!(
        second.state == LEFT && second.invitation.is_empty() && second.verifier.is_empty(),
        "nothing to sign in with"
    );
    assert!(office.member("ana").verifier.is_empty(), "hers is gone too");
    assert_eq!(office.end("second"), Err(StaffFault::NoSuch), "once");
    assert_eq!(office.end("nobody"), Err(StaffFault::NoSuch));
    office.invite(&invitee("third", Role::Administrator)).unwrap();
    office.accept("third", NOW).unwrap();
    office.end("admin").unwrap();
    assert_eq!(office.end("third"), Err(StaffFault::LastAdministrator));
}

#[test]
fn kept_rows_are_members_and_what_is_none_changes_nothing() {
    let member = Member { login: "ana".into(), state: ACTIVE, role: "Director".into(), ..Member::default() };
    let row = |key: Vec<u8>, value| Row { table: Table::Staff, key, value, under: Under::Service, must_be_new: false };
    let mut staff = Staff::default();
    staff.apply(&row(vec![1; 15], Some(member.encode_to_vec())));
    assert_eq!(staff.iter().count(), 0);
    staff.apply(&row(vec![1; 16], Some(member.encode_to_vec())));
    staff.apply(&row(vec![1; 16], Some(vec![0xff])));
    assert_eq!(staff.by_login("ana"), Some((StaffId([1; 16]), &member)));
    assert!(staff.actor(StaffId([1; 16])).is_none(), "a role that this version does not know lets nobody act");
    staff.apply(&row(vec![1; 16], None));
    assert_eq!(staff.iter().count(), 0);
}

#[test]
fn entries_that_came_back_are_told_with_their_range() {
    let mut office = Staffed::new();
    let (step, told) = office.node.act(&office.region, NOW, |office, now| {
        // Two entries are there: what ends behind them is no range of theirs.
        assert!(office.restored((1, 0), now).is_none() && office.restored((0, 2), now).is_none());
        let step = office.restored((0, 1), now).unwrap();
        let opening = audit::unpad(&step.events[0].opening).unwrap();
        (step, (opening.event(), opening.erased[0].to))
    });
    assert!(told == (AuditEvent::Restore, 1) && step.events.len() == 1 && step.rows.is_empty());
}
