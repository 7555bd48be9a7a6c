//! How an organisation came in and what it bound itself to, as replies say it: the door asked only whether the words are
//! well formed; here it is said what they mean now, which agreement has ended, and who its sponsors are.

use clearhouse_casework::forms::show_day;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{OrgId, hex};
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1::OrgRecord;
use serde_json::{Value, json};

/// What an entry says of its membership at `now`, each part left empty that it does not say.
#[must_use]
pub fn membership(directory: &Directory, org: &OrgRecord, now: u64) -> Value {
    let agreement = |agreement: &clearhouse_wire::v1::Agreement| {
        // The last day is the one before the second at which it ends.
        let last = show_day(agreement.valid_until.saturating_sub(1) / DAY);
        json!({"name": agreement.name, "until": last, "ended": agreement.valid_until <= now})
    };
    let signed = (org.standards_signed > 0).then(|| show_day(org.standards_signed / DAY));
    json!({
        "area": org.area, "standards": org.standards, "standards_signed": signed,
        "agreements": org.agreements.iter().map(agreement).collect::<Vec<_>>(),
        "sponsors": org.sponsors.iter().map(|id| sponsor(directory, id, now)).collect::<Vec<_>>(),
    })
}

/// Who vouches for it, as far as this directory knows: a name, or the country of a coordinator that the policy names.
fn sponsor(directory: &Directory, id: &[u8], now: u64) -> Value {
    // A coordinator may be named by the id it was founded with: the next policy names its organisation.
    let coordinator = directory.coordinator_named(id);
    let named = coordinator.as_ref().map_or(id, |(coordinator, _)| &coordinator.id);
    let held = [id, named].into_iter().find_map(|id| {
        let id = OrgId::try_from(id).ok()?;
        Some((id, directory.org(id)?))
    });
    let ended = held.is_some_and(|(id, _)| directory.is_revoked(&id.0, now));
    let country = || coordinator.as_ref().map(|(coordinator, _)| coordinator.country.clone());
    json!({
        "org": hex(id), "label": held.map(|(_, org)| org.label.clone()),
        "country": held.map(|(_, org)| org.country.clone()).or_else(country),
        "coordinator": coordinator.as_ref().is_some_and(|(_, in_force)| *in_force), "ended": ended,
        "known": held.is_some() || coordinator.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::ceremony::next_policy;
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::signed::add_signature;
    use clearhouse_wire::v1::Agreement;

    use super::*;

    #[test]
    fn what_ended_and_who_is_unknown_is_said() {
        let region = Region::new(1, 2);
        let (one, other) = (region.members[0].org, region.members[1].org);
        let agreement = |name: &str, valid_until| Agreement { name: name.to_owned(), valid_until };
        let org = OrgRecord {
            agreements: vec![agreement("north", NOW), agreement("south", NOW + 1)],
            sponsors: vec![other.to_vec(), vec![1; 16], vec![9; 16]],
            standards: "Region2026".to_owned(),
            standards_signed: NOW,
            ..region.directory.org(one).unwrap().clone()
        };
        let said = membership(&region.directory, &org, NOW);
        let field = |list: &str, field: &str| -> Vec<Value> {
            said[list].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
        };
        assert_eq!(field("agreements", "ended"), [json!(true), json!(false)]);
        assert_eq!(field("sponsors", "known"), [json!(true), json!(true), json!(false)]);
        assert_eq!(field("sponsors", "label")[0], region.directory.org(other).unwrap().label.as_str());
        assert_eq!(
            (field("sponsors", "country")[1].clone(), field("sponsors", "coordinator")[1].clone()),
            (json!("RO"), json!(true))
        );
        assert_eq!(said["standards_signed"], "2026-11-14");
    }

    #[test]
    fn a_coordinator_is_known_by_the_id_it_was_founded_with_whatever_the_next_policy_calls_it() {
        let mut region = Region::new(1, 2);
        let newcomer = SigningKey::from_seed(&[77; 32]);
        let own = region.members[0].org;
        let mut next = next_policy(region.directory.newest_policy(), NOW, |policy| {
            policy.coordinators[0].id = own.to_vec();
            policy.coordinators[1].id = vec![8; 16];
            policy.coordinators[1].accreditation_pk = newcomer.public().to_vec();
        })
        .unwrap();
        region.coordinators.iter().chain([&newcomer]).for_each(|key| add_signature(&mut next, key));
        let checked = region.directory.check(&next, NOW).unwrap().unwrap();
        region.directory.insert(checked);
        let said = |id: u8| sponsor(&region.directory, &[id; 16], NOW);
        let label = region.directory.org(own).unwrap().label.as_str();
        assert_eq!((&said(1)["coordinator"], &said(1)["label"]), (&json!(true), &json!(label)), "the one of today");
        assert_eq!((&said(2)["coordinator"], &said(2)["known"]), (&json!(false), &json!(true)), "it was one");
        assert_eq!((&said(8)["coordinator"], &said(9)["known"]), (&json!(true), &json!(false)));
    }
}
