//! Who inside an office may do what with a case (domain section d.1). Refuses to let one role hold both content and
//! administration, and knows no role outside the office: a coordinator or node operator changes no case.

use clearhouse_protocol::ids::StaffId;

use crate::body::codes::codes;
use crate::refusal::Refusal;

codes!(
    /// What a member of staff is in the office.
    Role {
        /// Works with persons.
        Caseworker = "Caseworker",
        /// Answers for the team: accepts and declines, and signs for high risk.
        Manager = "Manager",
        /// Works with children; every child's case is hers.
        ChildOfficer = "ChildOfficer",
        /// Keeps accounts and machines. Sees no case.
        Administrator = "Administrator",
        /// Reads the log. Sees no case and changes nothing.
        Auditor = "Auditor",
    }
);

impl Role {
    /// True for roles that read and write cases.
    #[must_use]
    pub fn handles_cases(self) -> bool {
        match self {
            Self::Caseworker | Self::Manager | Self::ChildOfficer => true,
            Self::Administrator | Self::Auditor => false,
        }
    }

    /// True for roles that change accounts, keys or settings. Never true together with [`Role::handles_cases`].
    #[must_use]
    pub fn administers(self) -> bool {
        match self {
            Self::Administrator => true,
            Self::Caseworker | Self::Manager | Self::ChildOfficer | Self::Auditor => false,
        }
    }
}

/// The signed-in person who acts.
#[derive(Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who, in this office's records.
    pub staff_id: StaffId,
    /// As colleagues and the other side read it: "Ana P.". See [`is_label`].
    pub label: String,
    /// As what.
    pub role: Role,
}

/// Longest label of a member of staff, in characters.
pub const STAFF_LABEL_MAX: usize = 40;
/// Most words in a label.
pub const STAFF_LABEL_WORDS_MAX: usize = 4;

/// True for what may stand as a worker's name in a message: one to four words of letters, with dots, hyphens and
/// apostrophes. No digits, so that no phone number or address fits; no invisible or turning characters.
#[must_use]
pub fn is_label(label: &str) -> bool {
    // The modifier apostrophe U+02BC and the typographic one U+2019 belong to names of the region.
    let letter = |c: char| c.is_alphabetic() || matches!(c, '.' | '-' | '\'' | '\u{2019}' | '\u{2bc}');
    let words = label.split(' ');
    label.chars().count() <= STAFF_LABEL_MAX
        && words.clone().count() <= STAFF_LABEL_WORDS_MAX
        && words.clone().all(|word| word.chars().any(char::is_alphabetic) && word.chars().all(letter))
}

/// Everything a person can do with a case in this version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ActKind {
    /// Write down a consent.
    RecordConsent,
    /// Send the notice.
    SendNotice,
    /// Send a notice that replaces one about which something was asked.
    SupersedeNotice,
    /// Say who has read the notice.
    Acknowledge,
    /// Ask for more about a notice.
    AskInfo,
    /// Accept, accept with conditions, or decline.
    Answer,
    /// Send the profile.
    SendProfile,
    /// Say that she left, or did not.
    Depart,
    /// Say whether she came and was met.
    ConfirmArrival,
    /// Pass on that consent is withdrawn.
    WithdrawConsent,
    /// Write down that she stays.
    Stay,
    /// Take back what has not left yet.
    Recall,
    /// Open a message.
    OpenMessage,
    /// Erase the case, or parts of its profile.
    Erase,
}

impl ActKind {
    /// Every act.
    pub const ALL: [Self; 14] = [
        Self::RecordConsent,
        Self::SendNotice,
        Self::SupersedeNotice,
        Self::Acknowledge,
        Self::AskInfo,
        Self::Answer,
        Self::SendProfile,
        Self::Depart,
        Self::ConfirmArrival,
        Self::WithdrawConsent,
        Self::Stay,
        Self::Recall,
        Self::OpenMessage,
        Self::Erase,
    ];
}

/// What about a case changes who may act.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stakes {
    /// The person walks the child path.
    pub child: bool,
    /// The notice says high risk.
    pub high_risk: bool,
}

/// The table of d.1 for the acts here. The same table judges what a peer's signed body says about its own actor.
///
/// In this version an act has one actor, so a countersignature becomes a choice of who acts: a high-risk notice is a
/// manager's, and in a child's case notice, acknowledgement, question and answer are a child officer's.
///
/// # Errors
/// [`Refusal::NoContentRole`], [`Refusal::RoleMayNot`], [`Refusal::ChildOfficerOnly`], [`Refusal::HighRiskNeedsManager`].
pub fn may(role: Role, act: ActKind, stakes: Stakes) -> Result<(), Refusal> {
    use ActKind as A;
    if !role.handles_cases() {
        return Err(Refusal::NoContentRole);
    }
    let (caseworker, child_officer, manager) = match act {
        // The person's own word: whoever handles cases writes it down.
        A::WithdrawConsent | A::Stay => return Ok(()),
        A::SendNotice | A::SupersedeNotice | A::Acknowledge | A::AskInfo => (true, true, true),
        A::Depart | A::ConfirmArrival | A::Recall | A::OpenMessage => (true, true, true),
        // A manager reads consent and profile and writes neither (d.1).
        A::RecordConsent | A::SendProfile => (true, true, false),
        // What cannot be undone is decided by whoever answers for the team, for a child also by a child officer.
        A::Answer | A::Erase => (false, stakes.child, true),
    };
    let spoken_for = matches!(act, A::SendNotice | A::SupersedeNotice | A::Acknowledge | A::AskInfo | A::Answer);
    if stakes.child && spoken_for {
        return if role == Role::ChildOfficer { Ok(()) } else { Err(Refusal::ChildOfficerOnly) };
    }
    let listed = match role {
        Role::Caseworker => caseworker,
        Role::ChildOfficer => child_officer,
        Role::Manager => manager,
        Role::Administrator | Role::Auditor => false,
    };
    if !listed {
        return Err(Refusal::RoleMayNot);
    }
    if stakes.high_risk && matches!(act, A::SendNotice | A::SupersedeNotice) && role != Role::Manager {
        return Err(Refusal::HighRiskNeedsManager);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per act: who may, for an adult's ordinary case, in the order caseworker, child officer, manager.
    const ADULT: [(ActKind, [bool; 3]); 14] = [
        (ActKind::RecordConsent, [true, true, false]),
        (ActKind::SendNotice, [true, true, true]),
        (ActKind::SupersedeNotice, [true, true, true]),
        (ActKind::Acknowledge, [true, true, true]),
        (ActKind::AskInfo, [true, true, true]),
        (ActKind::Answer, [false, false, true]),
        (ActKind::SendProfile, [true, true, false]),
        (ActKind::Depart, [true, true, true]),
        (ActKind::ConfirmArrival, [true, true, true]),
        (ActKind::WithdrawConsent, [true, true, true]),
        (ActKind::Stay, [true, true, true]),
        (ActKind::Recall, [true, true, true]),
        (ActKind::OpenMessage, [true, true, true]),
        (ActKind::Erase, [false, false, true]),
    ];
    const CASE_ROLES: [Role; 3] = [Role::Caseworker, Role::ChildOfficer, Role::Manager];

    #[test]
    fn the_table_for_an_adult_is_as_written() {
        assert_eq!(ADULT.map(|(act, _)| act), ActKind::ALL);
        for (act, row) in ADULT {
            for (role, allowed) in CASE_ROLES.into_iter().zip(row) {
                assert_eq!(may(role, act, Stakes::default()).is_ok(), allowed, "{act:?} {role:?}");
            }
        }
    }

    #[test]
    fn a_childs_notice_and_answer_belong_to_a_child_officer() {
        let child = Stakes { child: true, high_risk: true };
        for act in
            [ActKind::SendNotice, ActKind::SupersedeNotice, ActKind::Acknowledge, ActKind::AskInfo, ActKind::Answer]
        {
            assert_eq!(may(Role::ChildOfficer, act, child), Ok(()), "{act:?}");
            assert_eq!(may(Role::Caseworker, act, child), Err(Refusal::ChildOfficerOnly), "{act:?}");
            assert_eq!(may(Role::Manager, act, child), Err(Refusal::ChildOfficerOnly), "{act:?}");
        }
    }

    #[test]
    fn a_case_is_erased_by_a_manager_and_a_childs_also_by_a_child_officer() {
        let child = Stakes { child: true, high_risk: false };
        assert_eq!(may(Role::Manager, ActKind::Erase, child), Ok(()));
        assert_eq!(may(Role::ChildOfficer, ActKind::Erase, child), Ok(()));
        assert_eq!(may(Role::Caseworker, ActKind::Erase, child), Err(Refusal::RoleMayNot));
    }

    #[test]
    fn a_high_risk_notice_is_a_managers() {
        let high = Stakes { child: false, high_risk: true };
        for act in [ActKind::SendNotice, ActKind::SupersedeNotice] {
            assert_eq!(may(Role::Caseworker, act, high), Err(Refusal::HighRiskNeedsManager));
            assert_eq!(may(Role::ChildOfficer, act, high), Err(Refusal::HighRiskNeedsManager));
            assert_eq!(may(Role::Manager, act, high), Ok(()));
        }
        assert_eq!(may(Role::Caseworker, ActKind::Acknowledge, high), Ok(()));
    }

    #[test]
    fn nobody_holds_both_content_and_administration() {
        for &role in Role::ALL {
            assert!(!(role.handles_cases() && role.administers()), "{role:?}");
            for act in ActKind::ALL {
                let allowed = may(role, act, Stakes::default()).is_ok()
                    || may(role, act, Stakes { child: true, high_risk: false }).is_ok();
                assert!(!allowed || role.handles_cases(), "{role:?} {act:?}");
            }
        }
        assert_eq!(may(Role::Administrator, ActKind::OpenMessage, Stakes::default()), Err(Refusal::NoContentRole));
        assert_eq!(may(Role::Auditor, ActKind::Stay, Stakes::default()), Err(Refusal::NoContentRole));
        assert_eq!(may(Role::Administrator, ActKind::Erase, Stakes::default()), Err(Refusal::NoContentRole));
    }

    #[test]
    fn a_label_is_a_name_and_nothing_else() {
        for label in ["Ana P.", "Ђорђе М.", "Jean-Luc d'Arc", "Ș.", "Dr. Ana Maria P."] {
            assert!(is_label(label), "{label}");
        }
        let long = "a".repeat(41);
        for label in
            ["", " ", "Ana  P.", " Ana", "Ana P. 0888123", "a@b.c", "Ana\u{202e}P", "a b c d e", ".", &long, "Ana\nP"]
        {
            assert!(!is_label(label), "{label:?}");
        }
    }
}
