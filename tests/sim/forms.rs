//! What persons of the simulation write: by chance urgent, short or long, with canaries where people's words go.

use clearhouse_casework::consent::DataClass;
use clearhouse_casework::office::desk::Attached;
use clearhouse_protocol::envelope::Attachment;
use clearhouse_protocol::ids::{MsgId, OrgId};
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_wire::v1::case_body::What;
use clearhouse_wire::v1::{AttachmentNote, Consent, ProfilePart, ReturnNotice};

use super::canary;
use super::dice::Dice;
use crate::invented::{self, due, value};

/// Classes of a profile in this simulation, with the purpose each needs.
pub(super) const PARTS: [(DataClass, &str); 4] = [
    (DataClass::Identity, "ShareProfile"),
    (DataClass::Contact, "ShareProfile"),
    (DataClass::Health, "ShareHealth"),
    (DataClass::Travel, "ShareTravel"),
];

/// What about the person decides who may act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) child: bool,
    pub(super) high_risk: bool,
}

pub(super) fn notice(person: Person, supersedes: Option<MsgId>, now: u64, dice: &mut Dice) -> What {
    let mut notice = ReturnNotice {
        risk_level: if person.high_risk { "High" } else { "Medium" }.into(),
        supersedes: supersedes.map(MsgId::to_vec).unwrap_or_default(),
        ..invented::notice(person.child, now)
    };
    if dice.percent(20) {
        notice.urgency = "Emergency24h".into();
        notice.acknowledge_by = due(now + 2 * HOUR, "acknowledge-emergency");
        notice.answer_by = due(now + 12 * HOUR, "answer-emergency");
    }
    What::ReturnNotice(notice)
}

pub(super) fn consent(purpose: &str, receiver: OrgId, child: bool, now: u64, dice: &mut Dice) -> Consent {
    // A few are short, so that they run out while a message under them waits.
    let life = if dice.percent(10) { dice.between(HOUR, DAY) } else { 150 * DAY };
    let consent = invented::consent(dice.id(), purpose, receiver, child, now);
    Consent { given_at: now - dice.below(120), expires_at: now + life, ..consent }
}

fn part(class: DataClass, dice: &mut Dice, attached: &mut Vec<Attached>) -> ProfilePart {
    let mut part = ProfilePart { data_class: class.code().into(), ..ProfilePart::default() };
    match class {
        DataClass::Identity => {
            let name = if dice.percent(50) { canary::NAME_LATIN } else { canary::NAME_CYRILLIC };
            part.fields = vec![value("prs_FirstName", name)];
        }
        DataClass::Contact => {
            part.fields = vec![
                value("prs_MobilePhone", canary::PHONE),
                value("xsc_Channel", "Text"),
                value("xsc_SafeTimes", "weekdays 10-12"),
                value("xsc_MayLeaveMessage", "false"),
                value("xsc_CallerMayNameNGO", "false"),
            ];
        }
        _ => {
            part.fields = vec![value("xhs_Summary", canary::HEALTH)];
            let name_tag = dice.id();
            let media_type = "application/pdf".to_owned();
            part.attachments =
                vec![AttachmentNote { name_tag: name_tag.to_vec(), name: "letter.pdf".into(), media_type }];
            let bytes = canary::ATTACHED.repeat(usize::try_from(dice.between(1, 200)).unwrap_or(1)).into_bytes();
            attached.push((class, Attachment { name_tag, bytes: bytes.into() }));
        }
    }
    part
}

/// A profile of these classes, and what is attached to it.
pub(super) fn profile(classes: &[DataClass], dice: &mut Dice) -> (What, Vec<Attached>) {
    let mut attached = Vec::new();
    let parts = classes.iter().map(|class| part(*class, dice, &mut attached)).collect();
    (invented::profile(parts), attached)
}
