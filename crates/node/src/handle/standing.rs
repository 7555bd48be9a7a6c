//! What `doctor` says of members' standing: an accreditation that ends, an end that no log shows, a root key that is lost. Names organisations as the directory does, and nothing of a case.

use clearhouse_casework::forms::show_time;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::directory::lost_key::{LostKey, Stage};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1::{Revocation, SubjectKind};
use serde_json::Value;

use super::state::finding_of;

/// So long before an accreditation ends its people are told to renew it.
const RENEW_SECS: u64 = 60 * DAY;
/// Findings about revocations that no log shows, and about lost root keys, at most of each.
const TOLD_MAX: usize = 8;

/// All of it, for a node of an organisation.
pub(super) fn findings(directory: &Directory, (org, node): (OrgId, NodeId), now: u64) -> Vec<Value> {
    // Whose own it is reads it first, however many there are.
    let (own, others): (Vec<_>, Vec<_>) = directory.lost_keys(now).partition(|waiting| waiting.org == org);
    let lost = own.iter().chain(&others).take(TOLD_MAX).map(|waiting| lost_key(waiting, org));
    ends_soon(directory, org, node, now).into_iter().chain(unlogged(directory, now)).chain(lost).collect()
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

/// A new root key that the old one did not sign. Everybody is told: only who has the old one can tell whether it is theirs.
fn lost_key(waiting: &LostKey<'_>, me: OrgId) -> Value {
    let own = waiting.org == me;
    let whom = if own { "this organisation" } else { waiting.record.label.as_str() };
    let what = format!("A new root key for {whom}, without the old one's word,");
    let text = match waiting.stage {
        Stage::Unseen => format!("{what} waits: no coordinators' log that is read here shows it yet."),
        Stage::Until(until) => {
            format!("{what} waits until {} and until coordinators were heard after that.", show_time(until))
        }
        Stage::Contested => format!("{what} waits beside another one: neither of them will count."),
        Stage::Objected => format!("{what} was objected to with the old one: it never counts."),
        Stage::Ended => format!("{what} waits for nothing: the organisation was ended."),
    };
    let next = match (waiting.is_settled(), own) {
        (true, _) => "Tell a coordinator if you know more. Nothing changed.",
        (false, true) => {
            "Is it yours? Then wait. If you did not ask for it, say so with the old key, and phone the coordinators: \
             clearhouse directory object --help"
        }
        (false, false) => {
            "Phone them at the number you know: is it theirs? If they did not ask for it, they object while it waits."
        }
    };
    finding_of("CH-D0209", text, next, !waiting.is_settled())
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

#[cfg(test)]
mod tests {
    use clearhouse_protocol::ceremony::next_org;
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::limits::{DIRECTORY_AGED_SECS, LOST_KEY_WAIT_SECS};
    use clearhouse_protocol::signed::add_signature;
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
    fn a_lost_root_key_is_told_to_everybody_and_first_to_whose_it_would_be() {
        let region = Region::new(1, 3);
        let mut directory = region.directory.clone();
        for (of, seed) in [(0, 7), (1, 8)] {
            let key = SigningKey::from_seed(&[seed; 32]);
            let change = |record: &mut OrgRecord| (record.org_root_pk, record.lost_key) = (key.public().to_vec(), true);
            let mut next = next_org(&region.records[3 * of], NOW, change).unwrap();
            region.coordinators.iter().for_each(|coordinator| add_signature(&mut next, coordinator));
            let checked = directory.check(&next, NOW).unwrap().unwrap();
            directory.insert(checked);
        }
        directory.waits_begun(NOW).iter().for_each(|wait| directory.begin_wait(wait));
        let told = |of: usize| {
            let m = &region.members[of];
            let all = findings(&directory, (m.org, m.node), NOW);
            all.into_iter().filter(|finding| finding["code"] == "CH-D0209").collect::<Vec<_>>()
        };
        let until = show_time(NOW + LOST_KEY_WAIT_SECS);
        for of in [0, 1] {
            let [own, other] = &told(of)[..] else { panic!() };
            assert!(own["text"].as_str().unwrap().contains("this organisation") && own["problem"] == true, "{own}");
            assert!(own["text"].as_str().unwrap().contains(&until), "{own}");
            assert!(own["next"].as_str().unwrap().contains("clearhouse directory object"), "{own}");
            assert!(!other["text"].as_str().unwrap().contains("this organisation"), "{other}");
        }
        assert_eq!(told(2).len(), 2, "a stranger to both is told, too");
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
}
