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
    let held = OrgId::try_from(id).ok().and_then(|id| Some((id, directory.org(id)?)));
    let coordinator = directory.policy().coordinators.iter().find(|c| c.id == id);
    let ended = held.is_some_and(|(id, _)| directory.is_revoked(&id.0, now));
    json!({
        "org": hex(id), "label": held.map(|(_, org)| org.label.clone()),
        "country": held.map(|(_, org)| org.country.clone()).or_else(|| coordinator.map(|c| c.country.clone())),
        "coordinator": coordinator.is_some(), "ended": ended, "known": held.is_some() || coordinator.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use clearhouse_protocol::fixture::{NOW, Region};
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
}
