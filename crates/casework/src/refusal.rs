//! Every way a step in a case can be refused: one closed list with a stable code, a sentence for the person in front
//! of the screen, and the coarse word the other side gets. Refuses to repeat what was in the message: a sentence names
//! at most the other organisation, a purpose and a class of data, never a value.

use clearhouse_protocol::ids::OrgId;
use clearhouse_wire::v1::RefusalCode;

use crate::body::{BodyFault, FaultKind};
use crate::consent::{ConsentFault, DataClass, Purpose};

/// When the refusal happened, and so what became of the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Somebody here wanted to act.
    Act,
    /// A message was about to leave.
    Release,
    /// A message came in.
    Arrival,
}

/// Which consent a refusal is about. The receiver is an id; whoever prints the sentence knows its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject {
    /// What the consent would have to be for.
    pub purpose: Purpose,
    /// The class of data, where the purpose is given class by class.
    pub class: Option<DataClass>,
    /// The organisation it would have to name.
    pub receiver: OrgId,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $wire:ident, $why:literal, $next:literal;)+) => {
        /// Why a step was refused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Refusal {
            $($(#[$doc])* #[doc = $why] $name,)+
            /// A consent that is needed is not there, or does not cover this.
            Consent(ConsentFault, Subject),
            /// The body breaks the rules of its type.
            Body(BodyFault),
        }

        impl Refusal {
            /// Every refusal that has no parts of its own.
            pub const PLAIN: &'static [Self] = &[$(Self::$name),+];

            /// The stable code by which support and handbook name it.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                    Self::Consent(fault, _) => fault.code(),
                    Self::Body(fault) => fault.kind.code(),
                }
            }

            /// What the other side is told: a coarse word and nothing about our checks.
            #[must_use]
            pub const fn wire(&self) -> RefusalCode {
                match self {
                    $(Self::$name => RefusalCode::$wire,)+
                    Self::Consent(..) => RefusalCode::Consent,
                    Self::Body(fault) => fault.kind.wire(),
                }
            }

            fn why(&self, peer: &str) -> String {
                match self {
                    $(Self::$name => $why.replace("{peer}", peer),)+
                    Self::Consent(fault, subject) => fault.why(subject, peer),
                    Self::Body(fault) => fault.to_string(),
                }
            }

            fn next(&self) -> &'static str {
                match self {
                    $(Self::$name => $next,)+
                    Self::Consent(fault, _) => fault.next(),
                    Self::Body(fault) => fault.kind.next(),
                }
            }
        }
    };
}

refusals! {
    // 01: who acts.
    NoContentRole = "CH-C0101", NotAllowed,
        "This account looks after machines or logs and does not touch cases.",
        "Ask a caseworker of your office; a withdrawal or 'she stays' is taken by any of them at once.";
    RoleMayNot = "CH-C0102", NotAllowed,
        "This step belongs to another role in the office.",
        "Ask a colleague whose role covers it: answers and erasing are a manager's, consent and profile a caseworker's.";
    ChildOfficerOnly = "CH-C0103", NotAllowed,
        "This is a child's case, and this step is a child officer's.",
        "Hand the case to a child officer of the office.";
    HighRiskNeedsManager = "CH-C0104", NotAllowed,
        "The notice says high risk, and a high-risk notice is a manager's to send.",
        "Ask a manager to read and send it.";
    SignedForAnother = "CH-C0105", NotAllowed,
        "The message carries the name or role of somebody other than the person acting.",
        "Sign in as the person who acts, or write the message anew.";
    WrongSide = "CH-C0106", NotAllowed,
        "This step belongs to the other organisation in this case.",
        "Wait for their message, or phone their named contact.";
    NotParty = "CH-C0107", NotAllowed,
        "The message comes from an organisation that has no part in this case.",
        "Tell your coordinator: somebody knows of a conversation that is not theirs.";
    ProfileForAnother = "CH-C0108", NotAllowed,
        "The profile is for one named colleague, and you are somebody else.",
        "Ask the colleague named in it, or a manager.";

    // 02: the order of things.
    CaseEnded = "CH-C0201", OutOfOrder,
        "The case has ended: she stays, or consent was withdrawn.",
        "If she comes back, open a new case with a new consent.";
    AlreadySent = "CH-C0202", OutOfOrder,
        "A notice of this case is with {peer} already.",
        "Wait for the answer. If they ask for more, send a notice that supersedes this one.";
    NothingToSupersede = "CH-C0203", OutOfOrder,
        "A new notice replaces an old one only after {peer} asked for more about exactly that one.",
        "Wait for their question, or withdraw and open a new case.";
    NothingToAcknowledge = "CH-C0204", OutOfOrder,
        "There is no notice waiting to be acknowledged, or it has been acknowledged.",
        "Look at the case again; the light 'read' says who acknowledged it.";
    NotAcknowledged = "CH-C0205", OutOfOrder,
        "The notice has not been acknowledged by a named person, and an answer comes after that.",
        "Acknowledge the notice first.";
    NotThisNotice = "CH-C0206", OutOfOrder,
        "The message is about another notice than the one in force.",
        "Open the latest notice of the case and answer that one.";
    AskedAlready = "CH-C0207", OutOfOrder,
        "More information has been asked for once in this case, and the clock is paused only once.",
        "Accept, accept with conditions, or decline; phone the sender for anything else.";
    AnsweredAlready = "CH-C0208", OutOfOrder,
        "This notice has that answer already, or she is on her way.",
        "Phone the other side's named contact if something changed.";
    NotAccepted = "CH-C0209", OutOfOrder,
        "{peer} has not accepted, or its conditions are not settled.",
        "Wait until they answer 'accepted'. Silence and conditions are not a yes.";
    NotTheirWorker = "CH-C0210", OutOfOrder,
        "The profile is addressed to somebody {peer} did not name in its acceptance.",
        "Address it to the contact or the alternate of the acceptance.";
    NotWaitingToLeave = "CH-C0211", OutOfOrder,
        "In this case a departure is not expected now.",
        "Look at the case again: she is on her way, or has arrived, or it has ended.";
    NotOnTheWay = "CH-C0212", OutOfOrder,
        "No departure has come for which an arrival could be confirmed.",
        "Phone the sender's named contact and ask for the departure notice.";
    NotThisJourney = "CH-C0213", OutOfOrder,
        "The arrival speaks of another departure than the last one.",
        "Open the last departure of the case and confirm that one.";
    ReflectionRuns = "CH-C0214", OutOfOrder,
        "Her time for reflection has not ended, and no wish to go earlier is recorded.",
        "Wait for its end. If she asks for it herself, record that she wishes to go earlier.";
    WindowPast = "CH-C0215", OutOfOrder,
        "The time of travel lies in the past.",
        "Agree on new dates with her.";
    NotYetHappened = "CH-C0216", OutOfOrder,
        "The message reports something that has not happened yet.",
        "Check date and clock, and report it when it has happened.";
    TooManyMessages = "CH-C0217", NotAllowed,
        "The case holds as many messages as a case may.",
        "Tell your coordinator: no honest case needs so many.";
    NotSuperseding = "CH-C0218", OutOfOrder,
        "A second notice came that replaces none.",
        "The sender must name the notice it replaces, or open a new case.";

    // 04: children. 03 is consent, below.
    ChildNoGuardian = "CH-C0401", ChildPath,
        "This person is, or may be, a child, and no guardian is appointed or asked for.",
        "Ask the guardianship authority first and record 'Appointed' or 'Pending'.";
    ChildGuardianRefused = "CH-C0402", ChildPath,
        "This person is, or may be, a child, and the authority refused to appoint a guardian.",
        "Take it up with the child-protection body; a child is not sent without one.";
    ChildNotInInterest = "CH-C0403", ChildPath,
        "The best-interests decision says that return is not in the child's interest.",
        "Do not prepare a return. The decision can be reviewed only by the body that took it.";
    ChildProfile = "CH-C0404", ChildPath,
        "A child's profile is not sent: the best-interests decision is not supported yet.",
        "Work with the guardian and the child-protection bodies by the road you use today.";
    ChildDeparture = "CH-C0405", ChildPath,
        "A child's departure is not sent: the best-interests decision is not supported yet.",
        "A child is handed to a body and an adult with proof in the hand. Call the other side's child officer.";
    ChildConsent = "CH-C0406", ChildPath,
        "For a child the guardian gives consent, and this one was given without.",
        "Ask the guardian, with the child where the child understands.";
    ChildView = "CH-C0407", ChildPath,
        "The child's own view is not recorded with the consent.",
        "Ask the child, or record that the child is too young or was not asked.";
    ChildObjects = "CH-C0408", ChildPath,
        "The child objects. In conflict stop first, decide later.",
        "Bring guardian, child officer and child together before anything is sent.";
    ChildStaysChild = "CH-C0409", ChildPath,
        "This case walks the child path, and a new notice cannot turn the person into an adult.",
        "In doubt it is a child. A change of age status needs two people and a document, and is not supported yet.";
    ChildContact = "CH-C0410", ChildPath,
        "In a child's case the named contact is a child officer.",
        "Name a child officer of the office as contact.";
    ChildPlace = "CH-C0411", ChildPath,
        "A child was accepted without saying that there is a place for a child.",
        "Accept only if there is one, and say so; otherwise decline with 'not for children'.";

    // 07: erasing.
    ErasureUnopened = "CH-C0701", NotAllowed,
        "A message of {peer} in this case has been opened by nobody here, and what nobody read is not erased.",
        "Open it first: `clearhouse inbox` names it.";
    ErasureCannotRead = "CH-C0702", NotAllowed,
        "A message of {peer} in this case is kept sealed, because this version cannot read it yet.",
        "Ask your system administrator for the newer version, open the message, then erase.";
    ErasureUnderWay = "CH-C0703", NotAllowed,
        "A message of this case, or the receipt of one, is still on its way to {peer}.",
        "Wait until it is there, or recall what has not left. `clearhouse outbox` shows it.";
    ErasureAnswerDue = "CH-C0704", NotAllowed,
        "The notice of this case has not been answered.",
        "Answer it, or wait for the answer. If it must go all the same, say so with --although-open: coordinators see it.";
    ErasureArrivalDue = "CH-C0705", NotAllowed,
        "She left, and nobody has said whether she arrived.",
        "Find out first. If it must go all the same, say so with --although-open: coordinators see it.";
    ErasureLettersWait = "CH-C0706", NotAllowed,
        "Sealed letters wait to be opened by this node, and one may belong to this case.",
        "Try again in a moment.";
    BeingErased = "CH-C0707", NotAllowed,
        "The case is being erased.",
        "If it must stay, `clearhouse case keep` calls the erasure off for as long as it is not final.";
    NotBeingErased = "CH-C0708", NotAllowed,
        "Nothing of this case is being erased, or it is erased already.",
        "Look at the list of cases.";
    NothingToErase = "CH-C0709", NotAllowed,
        "No part of that class is in this case.",
        "Look at the profile, and name the classes as it shows them.";

    ErasureNeverOpened = "CH-C0710", NotAllowed,
        "A message of {peer} in this case was opened by nobody here, and her word or a date now keeps it closed.",
        "If it must go unread, say so with --although-open: coordinators see that nobody opened it.";

    // 06: single messages.
    NoSuchMessage = "CH-C0601", OutOfOrder,
        "The case holds no such message.",
        "Look at the case again.";
    HasLeft = "CH-C0602", OutOfOrder,
        "The message has left already, so it cannot be recalled.",
        "Withdraw the consent it rests on: the receiver must then stop using it.";
    NeverRecalled = "CH-C0603", OutOfOrder,
        "A withdrawal, and the word that she stays, are never taken back.",
        "If she changes her mind, open a new case with a new consent.";
    IsOver = "CH-C0604", OutOfOrder,
        "The message is over: recalled, run out or undeliverable.",
        "Write a new one if it is still wanted.";
    NotForReading = "CH-C0605", OutOfOrder,
        "Only messages from {peer} are opened.",
        "Your own message is shown with its lights.";
}

impl Refusal {
    /// What happened to the message, why, and what to do next; ends with the code.
    ///
    /// `peer` is the other organisation's name as the directory has it. For a consent it is the receiver.
    #[must_use]
    pub fn sentence(&self, moment: Moment, peer: &str) -> String {
        let fate = match moment {
            Moment::Act => "Nothing was sent or changed.".to_owned(),
            Moment::Release => "The message has not left and will not leave.".to_owned(),
            Moment::Arrival => format!("A message from {peer} was not taken; nobody here has read it."),
        };
        format!("{fate} {} {} ({})", self.why(peer), self.next(), self.code())
    }

    /// One of each, for the handbook's list of codes and for tests.
    #[must_use]
    pub fn every() -> Vec<Self> {
        let subject =
            Subject { purpose: Purpose::ShareProfile, class: Some(DataClass::Identity), receiver: OrgId([0; 16]) };
        let consents = ConsentFault::ALL.iter().map(|&fault| Self::Consent(fault, subject));
        let bodies = FaultKind::ALL.iter().map(|&kind| Self::Body(BodyFault { kind, field: "body" }));
        Self::PLAIN.iter().copied().chain(consents).chain(bodies).collect()
    }
}

/// What the sender reads when the other side's node signed a refusal: all it knows is the coarse word.
#[must_use]
pub fn sentence_of(code: RefusalCode, peer: &str) -> String {
    let (why, next) = match code {
        RefusalCode::Consent => (
            "no consent covers it there",
            "Check receiver, purpose, classes and dates of the consent with the person; then send anew.",
        ),
        RefusalCode::NotAllowed => ("your office or the person acting may not send this", "Check who signed it."),
        RefusalCode::OutOfOrder => {
            ("the case is not at that step there", "Read their latest message; your messages may have crossed.")
        }
        RefusalCode::ChildPath => {
            ("a rule that protects children forbids it", "Bring in a child officer; do not send it as an adult's.")
        }
        RefusalCode::Malformed => {
            ("it breaks the rules of its type", "Tell your system administrator: software differs.")
        }
        RefusalCode::TooOld => ("it was too old when it came", "Write it anew if it is still true."),
        RefusalCode::Extension => ("it demands something their version does not know", "Ask them to update."),
        RefusalCode::Unspecified => ("no reason was given", "Phone their named contact."),
    };
    format!("{peer} did not take the message: {why}. Nobody there has read it. {next}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_refusal_has_a_code_of_its_own() {
        let all = Refusal::every();
        assert!(all.len() > Refusal::PLAIN.len() + ConsentFault::ALL.len());
        let codes: BTreeSet<_> = all.iter().map(Refusal::code).collect();
        assert_eq!(codes.len(), all.len());
        for code in codes {
            assert!(
                code.len() == 8 && code.starts_with("CH-C") && code[4..].bytes().all(|b| b.is_ascii_digit()),
                "{code}"
            );
        }
    }

    #[test]
    fn every_refusal_says_what_happened_and_what_to_do() {
        for refusal in Refusal::every() {
            for moment in [Moment::Act, Moment::Release, Moment::Arrival] {
                let text = refusal.sentence(moment, "Casa Nova");
                assert!(text.ends_with(&format!("({})", refusal.code())), "{text}");
                assert!(!text.contains('{') && text.len() < 400, "{text}");
                assert!(refusal.next().ends_with('.') && refusal.why("X").ends_with('.'), "{text}");
            }
            // CannotRead is kept, not refused: it has no word on the wire.
            let kept = matches!(refusal, Refusal::Body(BodyFault { kind: FaultKind::CannotRead, .. }));
            assert_eq!(refusal.wire() == RefusalCode::Unspecified, kept, "{}", refusal.code());
        }
    }

    #[test]
    fn a_consent_refusal_names_receiver_purpose_and_class() {
        let subject =
            Subject { purpose: Purpose::ShareHealth, class: Some(DataClass::Health), receiver: OrgId([0; 16]) };
        for &fault in ConsentFault::ALL {
            let text = Refusal::Consent(fault, subject).sentence(Moment::Act, "Casa Nova");
            assert!(text.contains("Casa Nova") && text.contains("Health"), "{text}");
        }
    }

    #[test]
    fn a_coarse_refusal_from_the_other_side_has_a_sentence_too() {
        for code in 0..=7 {
            let text = sentence_of(RefusalCode::try_from(code).unwrap(), "Casa Nova");
            assert!(text.starts_with("Casa Nova did not take the message") && text.ends_with('.'), "{text}");
        }
    }
}
