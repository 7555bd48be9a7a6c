//! What waits and is taken back: by a person, by her word, because she stays, because time passed. And what is not.

use clearhouse_protocol::ids::ConsentId;
use clearhouse_wire::v1::VictimProfile;

use super::*;
use crate::body::prepare;
use crate::case::Fate;
use crate::consent::DataClass;
use crate::office::desk::{Withdrawn, is_not_her_word, rests_on, withdrawal_of};

impl Told {
    /// What the sender says, and no courier has carried yet.
    fn waiting(&mut self, what: What) -> MsgId {
        self.at += HOUR;
        let (case, who, at) = (only_case(&self.sender), actor(Role::Caseworker), self.at);
        self.sender.act(&self.region, at, |office, now| office.send(case, &who, what, None, &[], now).unwrap()).1
    }

    fn waiting_notice(&mut self) -> MsgId {
        self.waiting(bodies::notice_at(NOW).what.unwrap())
    }

    fn waiting_departure(&mut self) -> MsgId {
        let at = self.at;
        self.waiting(bodies::departure("Left", at).what.unwrap())
    }

    fn waiting_profile(&mut self) -> MsgId {
        let part = bodies::part("Identity", vec![bodies::value("prs_FirstName", &["Ileana"])]);
        let for_worker = "Elena R.".to_owned();
        self.waiting(What::VictimProfile(VictimProfile { parts: vec![part], for_worker, consents: vec![] }))
    }

    fn recalls(&mut self, msg_id: MsgId) -> Result<Step, Stop> {
        let (case, ana, at) = (only_case(&self.sender), actor(Role::Caseworker), self.at);
        let told = self.sender.act(&self.region, at, |office, now| match office.recall(case, &ana, msg_id, now) {
            Ok(step) => (step, None),
            Err(stop) => (Step::default(), Some(stop)),
        });
        told.1.map_or(Ok(told.0), Err)
    }

    /// Her word at the sender, which no courier has carried yet.
    fn withdraws(&mut self, consent: u8, purpose: &str) -> Withdrawn {
        self.at += HOUR;
        let (case, ana, at) = (only_case(&self.sender), actor(Role::Caseworker), self.at);
        let word =
            Withdrawal { consent_id: vec![consent; 16], purpose: purpose.into(), data_classes: vec![], effective: at };
        self.sender.act(&self.region, at, |office, now| office.withdraw(case, &ana, word, now).unwrap()).1
    }

    fn departs_at(&mut self, msg_id: MsgId, at: u64) -> bool {
        self.sender.act(&self.region, at, |office, now| office.depart(msg_id, now)).1
    }

    fn fate(&self, msg_id: MsgId) -> Fate {
        self.case().letter(msg_id).unwrap().fate()
    }

    /// Whether a message is taken back: in the outbox, in its case, and in the log with its envelope.
    fn is_taken_back(&self, msg_id: MsgId) -> bool {
        let digest = self.sender.office.digest_of_ours(msg_id).unwrap();
        let openings = self.sender.events.iter().filter_map(|row| audit::unpad(&row.opening));
        let logged = openings.filter(|o| o.event() == AuditEvent::Recalled && o.envelope_digest == digest.0).count();
        let found = (state(self, msg_id) == Delivery::Recalled, self.fate(msg_id) == Fate::Recalled, logged == 1);
        assert!(found.0 == found.1 && found.1 == found.2, "all three say the same: {found:?}");
        found.0
    }
}

#[test]
fn a_person_takes_back_what_waits_once_and_nothing_that_may_have_left() {
    let mut told = Told::before();
    let notice = told.waiting_notice();
    assert!(!told.is_taken_back(notice));
    assert!(told.recalls(MsgId([9; 16])).is_err());
    told.recalls(notice).unwrap();
    assert!(told.is_taken_back(notice));
    assert!(told.recalls(notice).is_err(), "it is over");
    let mut told = Told::before();
    let notice = told.waiting_notice();
    let at = told.at;
    assert!(told.departs_at(notice, at));
    assert!(matches!(told.recalls(notice), Err(Stop::Refused(Refusal::HasLeft))));
    assert!(!told.is_taken_back(notice));
}

#[test]
fn her_word_takes_back_what_rests_on_it_and_on_the_core_everything() {
    let mut told = Told::new().accepted();
    let (departure, profile) = (told.waiting_departure(), told.waiting_profile());
    let said = told.withdraws(2, "ShareTravel");
    assert_eq!(said.recalled, [departure]);
    assert!(told.is_taken_back(departure) && !told.is_taken_back(profile));
    assert!(said.told.is_some() && !said.must_tell, "they have the notice");
    let word = said.told.unwrap();
    let said = told.withdraws(1, "ShareNotice");
    assert_eq!(said.recalled, [profile]);
    assert!(told.is_taken_back(profile) && !told.is_taken_back(word), "her own word stays on its way");
}

#[test]
fn where_nothing_has_left_nobody_is_told() {
    let mut told = Told::before();
    let notice = told.waiting_notice();
    let said = told.withdraws(1, "ShareNotice");
    assert_eq!(said, Withdrawn { recalled: vec![notice], told: None, must_tell: false });
    let mut told = Told::before();
    let notice = told.waiting_notice();
    let (case, ana, at) = (only_case(&told.sender), actor(Role::Caseworker), told.at);
    let (_, said) = told.sender.act(&told.region, at, |office, now| office.stay(case, &ana, now).unwrap());
    assert_eq!(said, Withdrawn { recalled: vec![notice], told: None, must_tell: false });
    // What may have got through is carried no further, and they are told all the same.
    let mut told = Told::before();
    let notice = told.waiting_notice();
    let at = told.at;
    assert!(told.departs_at(notice, at));
    let said = told.withdraws(1, "ShareNotice");
    assert!(said.recalled.is_empty() && said.told.is_some());
    assert_eq!(state(&told, notice), Delivery::Recalled);
}

#[test]
fn when_she_stays_all_but_her_word_is_taken_back() {
    let mut told = Told::new().accepted();
    let profile = told.waiting_profile();
    let word = told.withdraws(2, "ShareTravel").told.unwrap();
    told.at += HOUR;
    let (case, ana, at) = (only_case(&told.sender), actor(Role::Caseworker), told.at);
    let (_, said) = told.sender.act(&told.region, at, |office, now| office.stay(case, &ana, now).unwrap());
    assert_eq!(said.recalled, [profile]);
    assert!(told.is_taken_back(profile) && !told.is_taken_back(word));
    assert!(said.told.is_some_and(|stay| !told.is_taken_back(stay)));
}

#[test]
fn what_may_not_leave_any_more_is_taken_back_instead_of_carried() {
    for changed in [false, true] {
        let mut told = Told::new().accepted();
        let (notice, profile) = (told.notice(), told.waiting_profile());
        if changed {
            told.send(false, &bodies::answer("Declined", &[]), Some(notice));
        }
        let at = told.at;
        assert!(!told.is_taken_back(profile), "it is looked at when somebody would carry it");
        assert_eq!((told.departs_at(profile, at), told.is_taken_back(profile)), (!changed, changed));
    }
}

#[test]
fn a_message_rests_on_its_consent_on_others_of_its_purpose_and_on_the_core() {
    let (notice, acknowledgement) =
        (prepare(&bodies::notice()).unwrap(), prepare(&bodies::acknowledgement(&[7; 16])).unwrap());
    let own = notice.consents().next().unwrap().id[0];
    let said = |consent: u8, purpose: &str| Withdrawal {
        consent_id: vec![consent; 16],
        purpose: purpose.into(),
        ..Withdrawal::default()
    };
    for (consent, purpose, rests) in [
        (own, "ShareNotice", true),
        (99, "ShareNotice", true),
        (own, "Interview", true),
        (99, "PrepareReturn", true),
        (99, "ShareProfile", false),
        (99, "nothing", false),
    ] {
        assert_eq!(rests_on(&notice, &said(consent, purpose)), rests, "{consent} {purpose}");
    }
    assert!(!rests_on(&acknowledgement, &said(99, "PrepareReturn")), "nothing of hers is in it");
    let word = prepare(&bodies::withdrawal(1, "ShareNotice", &[], NOW)).unwrap();
    let stay = prepare(&bodies::departure("ChoseNotToTravel", NOW)).unwrap();
    assert!(is_not_her_word(&notice) && !is_not_her_word(&word) && !is_not_her_word(&stay));
}

#[test]
fn a_withdrawal_names_the_consent_of_this_case_or_none() {
    let told = Told::before();
    let named = withdrawal_of(told.case(), ConsentId([2; 16]), &[DataClass::Travel], 7).unwrap();
    let classes = vec!["Travel".to_owned()];
    let expected =
        Withdrawal { consent_id: vec![2; 16], purpose: "ShareTravel".into(), data_classes: classes, effective: 7 };
    assert!(named == expected);
    assert!(withdrawal_of(told.case(), ConsentId([9; 16]), &[], 7).is_none());
}

#[test]
fn her_word_that_was_heard_there_takes_back_what_rests_on_it_here() {
    for (consent, purpose, all) in [(2, "ShareTravel", false), (1, "ShareNotice", true)] {
        let mut told = Told::new().accepted();
        let (departure, profile) = (told.waiting_departure(), told.waiting_profile());
        let Told { region, sender, receiver, at } = &mut told;
        let (case, ana) = (only_case(receiver), actor(Role::Caseworker));
        let word =
            Withdrawal { consent_id: vec![consent; 16], purpose: purpose.into(), data_classes: vec![], effective: *at };
        act(region, (receiver, sender), *at, |office, now| office.withdraw(case, &ana, word, now).unwrap().0);
        assert!(told.is_taken_back(departure) && told.is_taken_back(profile) == all, "{purpose}");
    }
}

#[test]
fn when_she_stays_there_nothing_of_her_leaves_here() {
    let mut told = Told::new().accepted();
    let profile = told.waiting_profile();
    let word = told.withdraws(2, "ShareTravel").told.unwrap();
    told.stay(false);
    assert!(told.is_taken_back(profile) && !told.is_taken_back(word));
}
