//! What `doctor` says of members' standing: an accreditation that ends, a root key that somebody asks for, an end that no log
//! shows. Names organisations as the directory does, and nothing of a case.

use clearhouse_casework::forms::show_time;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::lost_key::Waiting;
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1::{Revocation, SubjectKind};
use serde_json::Value;

use super::state::finding_of;

/// So long before an accreditation ends its people are told to renew it.
const RENEW_SECS: u64 = 60 * DAY;
/// Findings about revocations that no log shows, and about new root keys, at most of each.
const TOLD_MAX: usize = 8;

/// All of it, for a node of an organisation.
pub(super) fn findings(directory: &Directory, (org, node): (OrgId, NodeId), now: u64) -> Vec<Value> {
    let keys = directory.waiting_keys(now).take(TOLD_MAX).map(|asked| root_key(&asked, org));
    ends_soon(directory, org, node, now).into_iter().chain(unlogged(directory, now)).chain(keys).collect()
}

/// Who was put out without everybody seeing it.
fn unlogged(directory: &Directory, now: u64) -> Vec<Value> {
    let finding = |revocation: &Revocation| {
        let whom = match revocation.subject_kind() {
            SubjectKind::Organisation => {
                let org = OrgId::try_from(revocation.subject.as_slice()).ok().and_then(|org| directory.org(org));
                org.map_or_else(|| "an organisation".to_owned(), |org| org.label.clone())
            }
            SubjectKind::Node => "a node".to_owned(),
            SubjectKind::Key | SubjectKind::Unspecified => "a key".to_owned(),
        };
        let since = show_time(revocation.effective);
        let text =
            format!("The revocation of {whom}, in force since {since}, stands in no coordinator's directory log.");
        let next = "It counts. If this is here in an hour still, phone a coordinator: everybody has to see it.";
        finding_of("CH-D0208", text, next, true)
    };
    directory.unlogged_revocations(now).take(TOLD_MAX).map(finding).collect()
}

/// That this node's own accreditation ends soon: coordinators of several countries have to sign the next one.
fn ends_soon(directory: &Directory, org: OrgId, node: NodeId, now: u64) -> Option<Value> {
    let until = directory.accredited(org)?.valid_until.min(directory.cert(node)?.valid_until);
    (now < until && until < now + RENEW_SECS).then(|| {
        let text = format!("This organisation's accreditation ends on {}.", show_time(until));
        let next = "Make the next one and send it to your coordinators: clearhouse directory renew --help";
        finding_of("CH-D0210", text, next, true)
    })
}

/// A new root key that the old one did not sign: everybody is told, because only who has the old one can tell whether it is
/// theirs.
fn root_key(asked: &Waiting<'_>, me: OrgId) -> Value {
    let whom = if asked.org == me { "this organisation" } else { asked.record.label.as_str() };
    let text = match (asked.objected, asked.until()) {
        (true, _) => {
            format!("A new root key for {whom}, which the old one did not sign, was objected to: it never counts.")
        }
        (false, Some(until)) => {
            format!(
                "A new root key for {whom} was entered without the old one's signature. It counts from {}.",
                show_time(until)
            )
        }
        (false, None) => format!("A new root key for {whom} is signed, not by the old one, and stands in no log yet."),
    };
    let next = if asked.org == me {
        "Is it yours? If not, object now with the old key: clearhouse directory object. And phone the coordinators."
    } else {
        "Phone them at the number you know: is it theirs? If not, they have until then to object."
    };
    finding_of("CH-D0209", text, next, !asked.objected)
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::limits::{DIRECTORY_AGED_SECS, LOST_KEY_WAIT_SECS};
    use clearhouse_wire::v1::OrgRecord;

    use super::*;

    #[test]
    fn a_revocation_that_no_log_shows_within_a_day_is_a_finding_and_counts_all_the_same() {
        let mut region = Region::with_logs(1, 5);
        region.publish_all(NOW);
        let member = &region.members[4];
        let keys: Vec<_> = region.coordinators.iter().collect();
        let kind = SubjectKind::Organisation;
        let ended = clearhouse_protocol::ceremony::revoke(region.net, kind, member.org.0, "Closed", NOW, &keys);
        let checked = region.directory.check(&ended, NOW).unwrap().unwrap();
        region.directory.insert(checked);
        assert!(region.directory.signing_key(member.org, member.node, NOW).is_err());
        assert_eq!(unlogged(&region.directory, NOW + DAY).len(), 0);
        let found = unlogged(&region.directory, NOW + DAY + 1);
        assert!(found.len() == 1 && found[0]["code"] == "CH-D0208", "{found:?}");
        assert!(unlogged(&region.directory, NOW + DIRECTORY_AGED_SECS).is_empty(), "the logs are what is out of date");
        region.directory.publish(clearhouse_protocol::pae::sha256(&ended.payload));
        assert!(unlogged(&region.directory, NOW + DAY + 1).is_empty());
    }

    #[test]
    fn the_end_of_an_accreditation_is_told_two_months_before_and_not_after() {
        let region = Region::new(1, 2);
        let m = &region.members[0];
        let directory = &region.directory;
        let until = directory.org(m.org).unwrap().valid_until.min(directory.cert(m.node).unwrap().valid_until);
        let told = |now| ends_soon(directory, m.org, m.node, now).is_some();
        let seen = [NOW, until - RENEW_SECS, until - RENEW_SECS + 1, until - 1, until].map(told);
        assert_eq!(seen, [false, false, true, true, false]);
    }

    #[test]
    fn a_new_root_key_without_the_old_one_is_told_to_everybody_and_loudest_to_whose_it_would_be() {
        let record = OrgRecord { label: "Casa Nova".into(), ..OrgRecord::default() };
        let (org, other) = (OrgId([1; 16]), OrgId([2; 16]));
        let told = |since, objected, me| root_key(&Waiting { org, record: &record, since, objected }, me);
        let (own, others) = (told(Some(NOW), false, org), told(Some(NOW), false, other));
        let until = show_time(NOW + LOST_KEY_WAIT_SECS);
        assert!(own["text"].as_str().unwrap().contains(&until) && own["next"].as_str().unwrap().contains("object"));
        assert!(others["text"].as_str().unwrap().contains("Casa Nova") && others["problem"] == true, "{others}");
        assert!(told(None, false, other)["text"].as_str().unwrap().contains("no log yet"));
        assert!(told(Some(NOW), true, other)["problem"] == false);
    }
}
