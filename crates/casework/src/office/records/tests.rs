//! Records that contradict what is held: taken as evidence, entered in the log, and there again after a restart.

use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::ceremony::{Application, accredit};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::fixture::{NOW, Region};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::deadlines::Zone;
use crate::office::Me;

fn office(region: &Region, directory: Directory) -> Office {
    let member = &region.members[0];
    let me = Me {
        net: region.net,
        org: member.org,
        node: member.node,
        mailboxes: vec![member.mailbox],
        generation: 1,
        zone: Zone::utc(),
    };
    Office::new(me, directory)
}

#[test]
fn attack_20_what_contradicts_is_evidence_an_entry_of_the_log_and_outlives_a_restart() {
    let region = Region::new(1, 2);
    let founded = Directory::found(&region.genesis, None).unwrap();
    let mut office = office(&region, founded.clone());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[0].sign };
    let all = wire::RecordBundle { records: region.records.clone(), prekeys: Vec::new() };
    let (step, intake) = office.admit(&all, &mut now);
    assert_eq!((intake.new, intake.contested), (region.records.len(), 0));
    office.take(&step);
    let mut rows = step.rows;

    let other = &region.members[1];
    let application = Application {
        org: other.org,
        label: "Shelter of friends",
        country: "AL",
        roles: &["Origin"],
        competences: &[],
        root_pk: other.root.public(),
    };
    let keys: Vec<_> = region.coordinators.iter().collect();
    let rival = accredit(region.net, &application, &keys, NOW);
    let bundle = wire::RecordBundle { records: vec![rival.clone(), rival], prekeys: Vec::new() };
    let (step, intake) = office.admit(&bundle, &mut now);
    assert_eq!((intake.new, intake.contested, intake.known), (1, 1, 1));
    let entered: Vec<_> = step.events.iter().map(|row| unpad(&row.opening).unwrap()).collect();
    assert!(entered[1].event() == AuditEvent::EquivocationFound);
    assert_eq!(entered[1].envelope_digest.len(), 32);
    office.take(&step);
    rows.extend(step.rows);
    let fault = |office: &Office| office.directory().signing_key(other.org, other.node, NOW).err();
    assert_eq!(fault(&office), Some(RouteFault::Contested));

    let mut again = self::office(&region, founded);
    reading_order(&mut rows);
    again.apply(&rows);
    assert_eq!(fault(&again), Some(RouteFault::Contested));
    assert_eq!(again.directory().contested().count(), 1);
}
