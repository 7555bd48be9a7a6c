//! Records that contradict what is held: taken as evidence, entered in the log, and there again after a restart.

use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::ceremony::{self, Application, accredit};
use clearhouse_protocol::directory::RouteFault;
use clearhouse_protocol::fixture::{Member, NOW, Region};
use clearhouse_protocol::ids::{ConversationId, StaffId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::labels;
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_protocol::signed::add_signature;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::deadlines::Zone;
use crate::office::Me;
use crate::office::desk::Stop;
use crate::office::sending::Parcel;
use crate::roles::Role;

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
    let all = wire::RecordBundle { records: region.records.clone(), prekeys: Vec::new(), published: vec![] };
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
    let bundle = wire::RecordBundle { records: vec![rival.clone(), rival], prekeys: Vec::new(), published: vec![] };
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

#[test]
fn an_entry_is_confirmed_by_a_person_and_nobody_new_goes_to_one_that_is_not() {
    let region = Region::new(1, 2);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (mut here, mut there) = (office(&region, region.directory.clone()), region.directory.clone());
    let other = &region.members[1];
    let old = Attested { at: NOW - 90 * DAY, ..Attested::default() };
    let stale = attest(there.descriptor(other.node).unwrap(), &old, &other.sign, NOW);
    let checked = there.check(&stale, NOW).unwrap().unwrap();
    there.insert(checked);
    let sender = office(&region, there);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[0].sign };
    let mut send = |office: &Office, kind: wire::MessageType| {
        let parcel = Parcel {
            msg_type: kind as u32,
            body_version: 1,
            to: (other.org, other.node),
            conversation: ConversationId([7; 32]),
            body: b"body",
            attachments: &[],
            actor: None,
            case: None,
            not_after: u64::MAX,
            remade: 0,
        };
        office.seal_and_queue(&parcel, &mut Step::default(), &mut now).err()
    };
    for kind in [wire::MessageType::ReturnNotice, wire::MessageType::VictimProfile] {
        assert_eq!(send(&sender, kind), Some(Stop::Route(RouteFault::Stale)));
        assert_eq!(send(&here, kind), None, "of a confirmed entry");
    }
    // Who is on her way is not abandoned.
    for kind in [wire::MessageType::Departure, wire::MessageType::Withdrawal, wire::MessageType::Answer] {
        assert_eq!(send(&sender, kind), None);
    }

    let actor = Actor { staff_id: StaffId([1; 16]), label: "Vera S.".into(), role: Role::Manager };
    let said = Attested { at: NOW + DAY, alternate: "ChildOfficer".into(), child_places: Some(false), ..old };
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut now = Now { time: NOW + DAY, rng: &mut rng, key: &region.members[0].sign };
    let step = here.attest(&said, &actor, &mut now).ok().unwrap();
    here.take(&step);
    let held = here.directory().descriptor(here.me().node).unwrap();
    assert!(Attested::of(held) == said && held.mailboxes.len() == 1, "what is not attested anew stays");
    let entered: Vec<_> = step.events.iter().map(|row| unpad(&row.opening).unwrap()).collect();
    assert_eq!((entered.len(), entered[1].actor_role.as_str(), entered[1].index), (2, "Manager", entered[0].index + 1));
    // The serial is an hour, and may not run ahead of the clock by more than two.
    for allowed in [true, true, false] {
        let step = here.attest(&said, &actor, &mut now);
        assert_eq!(step.as_ref().err(), if allowed { None } else { Some(&Some(RecordFault::Broken)) });
        step.into_iter().for_each(|step| here.take(&step));
    }
    let named = Attested { alternate: "Ana Popescu".into(), ..said };
    now.time += 5 * HOUR;
    assert_eq!(here.attest(&named, &actor, &mut now).err(), Some(Some(RecordFault::Field)));
    let stranger = office(&region, Directory::found(&region.genesis, None).unwrap());
    assert_eq!(stranger.attest(&named, &actor, &mut now).err(), Some(None));
}

#[test]
fn what_an_old_root_key_signed_outlives_it_and_the_restart() {
    let region = Region::new(1, 3);
    let founded = Directory::found(&region.genesis, None).unwrap();
    let mut office = office(&region, founded.clone());
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[0].sign };
    let mut rows = Vec::new();
    let mut admit = |office: &mut Office, records: Vec<wire::Signed>| {
        let bundle = wire::RecordBundle { records, prekeys: Vec::new(), published: vec![] };
        let (step, intake) = office.admit(&bundle, &mut now);
        assert!(intake.refused.is_empty(), "{:?}", intake.refused);
        office.take(&step);
        rows.extend(step.rows);
    };
    admit(&mut office, region.records.clone());
    // One organisation ends itself, one does not; both had changed, or change, their root key with the old one's word.
    let (ended, goes_on) = (&region.members[1], &region.members[2]);
    let changed = |m: &Member, n: u8| {
        let is_its = |record: &&wire::Signed| {
            let read = wire::OrgRecord::decode(record.payload.as_slice());
            record.payload_type == labels::media::ORG && read.is_ok_and(|read| read.org_id == m.org.0)
        };
        let held = region.records.iter().find(is_its).unwrap();
        let key = SigningKey::from_seed(&[n; 32]);
        let mut next = ceremony::next_org(held, NOW, |record| record.org_root_pk = key.public().to_vec()).unwrap();
        region.coordinators.iter().chain([&m.root]).for_each(|key| add_signature(&mut next, key));
        next
    };
    admit(&mut office, vec![ceremony::end_itself(region.net, ended.org, &ended.root, NOW)]);
    admit(&mut office, vec![changed(ended, 8), changed(goes_on, 9)]);

    let standing = |office: &Office| [ended, goes_on].map(|m| office.directory().signing_key(m.org, m.node, NOW).err());
    assert_eq!(standing(&office), [Some(RouteFault::Revoked), None]);
    let mut again = self::office(&region, founded);
    reading_order(&mut rows);
    again.apply(&rows);
    assert_eq!(standing(&again), [Some(RouteFault::Revoked), None], "nothing lifts it, and no certificate is lost");
}

#[test]
fn a_lost_root_key_waits_over_restarts_counts_after_three_days_and_its_rows_go_together() {
    let region = Region::new(1, 2);
    let founded = Directory::found(&region.genesis, None).unwrap();
    let mut office = office(&region, founded.clone());
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let (sign, org) = (&region.members[0].sign, region.members[1].org);
    let mut kept: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
    let mut keep = |step: &Step| {
        for row in step.rows.iter().filter(|row| row.table == Table::Directory) {
            match row.value {
                Some(_) => drop(kept.insert(row.key.clone(), row.clone())),
                None => drop(kept.remove(&row.key)),
            }
        }
        kept.values().cloned().collect::<Vec<Row>>()
    };
    let mut records = region.records.clone();
    let held = records.iter().find(|record| {
        let read = wire::OrgRecord::decode(record.payload.as_slice());
        record.payload_type == labels::media::ORG && read.is_ok_and(|read| read.org_id == org.0)
    });
    let key = SigningKey::from_seed(&[9; 32]);
    let change = |record: &mut wire::OrgRecord| (record.org_root_pk, record.lost_key) = (key.public().to_vec(), true);
    let mut next = ceremony::next_org(held.unwrap(), NOW, change).unwrap();
    region.coordinators.iter().for_each(|coordinator| add_signature(&mut next, coordinator));
    records.push(next);
    let bundle = wire::RecordBundle { records, prekeys: Vec::new(), published: vec![] };
    let (step, intake) = office.admit(&bundle, &mut Now { time: NOW, rng: &mut rng, key: sign });
    assert!(intake.refused.is_empty() && intake.waiting == 1);
    office.take(&step);
    keep(&step);

    let root = |office: &Office| office.directory().org(org).unwrap().org_root_pk == key.public();
    for (days, counts) in [(0, false), (1, false), (2, false), (3, true)] {
        let (step, changed) = office.mind_lost_keys(&mut Now { time: NOW + days * DAY, rng: &mut rng, key: sign });
        assert_eq!(changed, if counts { vec![org] } else { vec![] });
        office.take(&step);
        assert_eq!(root(&office), counts, "after {days} days");
        // Each day the node is started again, from what it kept.
        let mut rows = keep(&step);
        office = self::office(&region, founded.clone());
        reading_order(&mut rows);
        office.apply(&rows);
        assert_eq!((root(&office), office.directory().lost_key(org, NOW).is_some()), (counts, !counts), "{days} days");
        assert!(counts != rows.iter().any(|row| row.key[0] == b'A' || row.key[0] == b'W'), "nothing is left over");
    }
    let (step, _) = office.mind_lost_keys(&mut Now { time: NOW + 9 * DAY, rng: &mut rng, key: sign });
    assert!(step.rows.is_empty());
}

#[test]
fn what_is_refused_of_a_bundle_is_named_by_its_place_records_first() {
    let region = Region::new(1, 2);
    let office = office(&region, region.directory.clone());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { time: NOW, rng: &mut rng, key: &region.members[0].sign };
    let mut broken = region.records[1].clone();
    broken.signatures[0].sig = vec![0; 64];
    let stray = wire::Prekey { week: 1, pk: vec![3; 9] };
    let records = vec![region.records[0].clone(), broken, region.records[2].clone()];
    let bundle = wire::RecordBundle { records, prekeys: vec![stray.clone(), stray], published: vec![] };
    let (step, intake) = office.admit(&bundle, &mut now);
    let places: Vec<usize> = intake.refused.iter().map(|(place, _)| *place).collect();
    assert!(step.rows.is_empty() && intake.new == 0);
    assert!(places.ends_with(&[3, 4]) && places.iter().all(|place| [1, 3, 4].contains(place)), "{places:?}");
}
