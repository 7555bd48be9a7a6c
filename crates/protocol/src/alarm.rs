//! An alarm: a coordinator's node tells both ends of a message that a person may be in danger now, and later that she no
//! longer is (protocol section 7.8, "alert both ends"). It names an envelope that both ends know, a kind and a time.
//! Refuses a word about the person by having no field for it, and to be read as anything but a question to be answered.

use clearhouse_wire::v1 as wire;
use prost::Message as _;

pub use wire::AlarmKind;

use crate::canon;
use crate::ids::Digest;
use crate::limits::INNER_MAX;

/// What an ALARM message says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// What was due and did not come.
    pub kind: AlarmKind,
    /// The envelope of the notice or the departure.
    pub digest: Digest,
    /// When it was due, as far as the logs say; unix seconds.
    pub since: u64,
    /// It came after all.
    pub ended: bool,
}

/// The body of an ALARM message.
#[must_use]
pub fn compose(alarm: &Alarm) -> Vec<u8> {
    let Alarm { kind, digest, since, ended } = *alarm;
    wire::Alarm { digest: digest.to_vec(), kind: kind.into(), since, ended }.encode_to_vec()
}

/// Reads the body of an ALARM message; `None` when it is none, or of a kind this version does not know.
#[must_use]
pub fn check(body: &[u8]) -> Option<Alarm> {
    let said: wire::Alarm = canon::decode(body, INNER_MAX).ok()?;
    let digest = Digest::try_from(said.digest.as_slice()).ok()?;
    let kind = AlarmKind::try_from(said.kind).ok().filter(|kind| *kind != AlarmKind::Unspecified)?;
    Some(Alarm { kind, digest, since: said.since, ended: said.ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_read_as_it_was_written_and_nothing_else_is_one() {
        let alarm =
            Alarm { kind: AlarmKind::OverdueArrival, digest: Digest([7; 32]), since: 1_700_000_000, ended: false };
        let body = compose(&alarm);
        assert!(check(&body) == Some(alarm));
        let said = |kind: i32, digest: &[u8]| {
            wire::Alarm { digest: digest.to_vec(), kind, since: 1, ended: true }.encode_to_vec()
        };
        for (bad, why) in [
            (said(0, &[7; 32]), "no kind"),
            (said(99, &[7; 32]), "an unknown kind"),
            (said(1, &[7; 31]), "a short digest"),
            (said(1, &[]), "no digest"),
            ([body.as_slice(), &body].concat(), "twice"),
            (body[..body.len() - 1].to_vec(), "cut"),
            (vec![], "nothing"),
        ] {
            assert!(check(&bad).is_none(), "{why}");
        }
    }
}
