use super::*;
use crate::directory::{Checked, RecordFault};
use crate::fixture::{NOW, Region};
use crate::keys::SigningKey;
use crate::signed::{SignedFault, add_signature};

fn in_three(work: &(dyn Fn(usize, usize) -> Verdicts + Sync)) -> Verdicts {
    let mut all = work(2, 3);
    all.join(work(0, 3));
    all.join(work(1, 3));
    all
}

/// Takes records into a directory that knows only the genesis; what became of each.
fn taken(region: &Region, records: &[Signed], verdicts: &Verdicts) -> Vec<Result<bool, RecordFault>> {
    let mut directory = Directory::found(&region.genesis, None).unwrap();
    let check = |signed| {
        let checked = directory.check_beside(signed, NOW, verdicts)?;
        Ok(checked.map(|checked| directory.insert(checked)).is_some())
    };
    records.iter().map(check).collect()
}

fn ahead(region: &Region, records: &[Signed]) -> Verdicts {
    Directory::found(&region.genesis, None).unwrap().try_ahead(records, &[], &in_three)
}

#[test]
fn every_signature_of_a_pile_is_known_before_the_first_record_is_taken() {
    let region = Region::new(1, 6);
    let verdicts = ahead(&region, &region.records);
    let signatures: usize = region.records.iter().map(|signed| signed.signatures.len()).sum();
    assert_eq!(verdicts.signatures(), signatures);
    assert!(taken(&region, &region.records, &verdicts).iter().all(|result| *result == Ok(true)));
    // Held already, and asked about once more: the keys are those of the directory.
    let again = region.directory.try_ahead(&region.records, &[], &in_one);
    assert_eq!(again.signatures(), signatures);
    let descriptors: Vec<Signed> =
        region.records.iter().filter(|r| r.payload_type == media::DESCRIPTOR).cloned().collect();
    assert_eq!(region.directory.try_ahead(&descriptors, &[], &in_one).signatures(), descriptors.len());
}

#[test]
fn every_key_of_a_pile_is_known_before_the_first_record_is_taken() {
    let region = Region::new(1, 40);
    let verdicts = ahead(&region, &region.records);
    for signed in &region.records {
        let keys: Vec<Vec<u8>> = match signed.payload_type.as_str() {
            media::ORG => vec![OrgRecord::decode(signed.payload.as_slice()).unwrap().org_root_pk],
            media::DESCRIPTOR => Descriptor::decode(signed.payload.as_slice()).unwrap().tls_pks,
            media::NODECERT => {
                let cert = NodeCert::decode(signed.payload.as_slice()).unwrap();
                let notes = [&cert.log_vkey, &cert.witness_vkey].map(|vkey| NoteKey::parse(vkey).unwrap());
                notes.iter().map(|key| key.public().to_vec()).chain([cert.sign_pk]).collect()
            }
            _ => vec![],
        };
        assert!(keys.iter().all(|key| verdicts.knows(key.as_slice().try_into().unwrap())));
    }
}

/// Whatever is wrong with a record is found with verdicts about the true ones in hand, and with verdicts about itself.
#[test]
fn verdicts_let_nothing_in_that_would_not_come_in_without() {
    let region = Region::new(1, 4);
    let honest = ahead(&region, &region.records);
    let stranger = Region::new(2, 4);
    for place in 0..region.records.len() {
        let mut wrong: Vec<Signed> = Vec::new();
        let record = &region.records[place];
        for flip in [0, record.payload.len() / 2, record.payload.len() - 1] {
            let mut flipped = record.clone();
            flipped.payload[flip] ^= 1;
            wrong.push(flipped);
        }
        let mut changed = record.clone();
        changed.signatures.iter_mut().for_each(|s| s.sig[40] ^= 1);
        wrong.push(changed);
        let mut by_another = record.clone();
        by_another.signatures.clear();
        add_signature(&mut by_another, &stranger.members[0].root);
        wrong.push(by_another);
        for record in wrong {
            let mut records = region.records.clone();
            records[place] = record;
            let without = taken(&region, &records, &Verdicts::default());
            assert!(without[place].is_err());
            assert!(taken(&region, &records, &honest) == without, "{place}");
            assert!(taken(&region, &records, &ahead(&region, &records)) == without, "{place}");
        }
    }
}

/// Whoever puts a false accreditation with a key of his own into the pile has that key tried, and has signed truly with it:
/// what is known of that signature must not serve under the true key, in whichever order the records come.
#[test]
fn a_key_that_only_the_pile_vouches_for_signs_nothing() {
    let region = Region::new(1, 4);
    let thief = SigningKey::from_seed(&[9; 32]);
    let last = region.records.len() - 3;
    let [org, cert] = [0, 1].map(|n| region.records[last + n].clone());
    let mut false_org = OrgRecord::decode(org.payload.as_slice()).unwrap();
    false_org.org_root_pk = thief.public().to_vec();
    let false_org = Signed { payload: false_org.encode_to_vec(), signatures: vec![], ..org.clone() };
    let mut false_cert = NodeCert::decode(cert.payload.as_slice()).unwrap();
    false_cert.sign_pk = SigningKey::from_seed(&[8; 32]).public().to_vec();
    let false_cert = crate::signed::sign(media::NODECERT, false_cert.encode_to_vec(), &thief);
    for pile in [vec![false_org.clone(), org.clone(), false_cert.clone()], vec![org, false_org, false_cert]] {
        let known = ahead(&region, &pile);
        assert!(known.signatures() > 0);
        let without = taken(&region, &pile, &Verdicts::default());
        assert!(without.last().unwrap().is_err());
        assert!(taken(&region, &pile, &known) == without);
    }
}

#[test]
fn what_nobody_signed_does_not_multiply_the_work() {
    let region = Region::new(1, 4);
    let mut said = Descriptor::decode(region.records.last().unwrap().payload.as_slice()).unwrap();
    said.tls_pks = (0..1500u32).map(|n| [n.to_be_bytes(); 8].concat()).collect();
    let mut policy = RootPolicy::decode(region.genesis.payload.as_slice()).unwrap();
    policy.coordinators = vec![policy.coordinators[0].clone(); COORDINATORS_MAX + 1];
    for (n, coordinator) in policy.coordinators.iter_mut().enumerate() {
        coordinator.accreditation_pk = vec![u8::try_from(n).unwrap(); 32];
    }
    let unsigned = |media: &str, payload| Signed { payload_type: media.to_owned(), payload, signatures: vec![] };
    let pile =
        Pile::of(&[unsigned(media::DESCRIPTOR, said.encode_to_vec()), unsigned(media::ROOT, policy.encode_to_vec())]);
    assert_eq!((pile.fresh.len(), pile.coordinators.len()), (TLS_KEYS_MAX, 0));
}

#[test]
fn a_weak_key_in_a_pile_is_refused_as_it_is_alone() {
    let region = Region::new(1, 4);
    let mut said = Descriptor::decode(region.records.last().unwrap().payload.as_slice()).unwrap();
    said.tls_pks = vec![vec![0; 32]];
    let sign = &region.members.last().unwrap().sign;
    let weak = crate::signed::sign(media::DESCRIPTOR, said.encode_to_vec(), sign);
    let mut records = region.records.clone();
    *records.last_mut().unwrap() = weak;
    let all = taken(&region, &records, &ahead(&region, &records));
    assert!(matches!(all.last(), Some(Err(RecordFault::Key(_)))), "{:?}", all.last());
}

#[test]
fn prekeys_are_admitted_ahead_and_a_weak_one_is_not() {
    let region = Region::new(1, 4);
    let bundle = region.directory.bundle(region.members[3].org);
    let mut prekeys = bundle.prekeys.clone();
    assert!(!prekeys.is_empty());
    let known = region.directory.try_ahead(&[], &prekeys, &in_three);
    let mut directory = Directory::found(&region.genesis, None).unwrap();
    for record in &region.records {
        let checked = directory.check(record, NOW).unwrap().unwrap();
        directory.insert(checked);
    }
    let checked = directory.check_prekey_beside(prekeys[0].week, &prekeys[0].pk, &known).unwrap();
    assert!(matches!(checked, Some(Checked::Prekey(..))));
    // Its X25519 half of low order: no descriptor lists it, and no verdict speaks for it.
    let half = prekeys[0].pk.len() - 32;
    prekeys[0].pk[half..].fill(0);
    let none = region.directory.try_ahead(&[], &prekeys[..1], &in_one);
    assert!(none.admit_prekey(&prekeys[0].pk, &crate::pae::sha256(&prekeys[0].pk)).is_err());
}

#[test]
fn padded_signatures_are_refused_whoever_signs_beside_them() {
    let region = Region::new(1, 4);
    let shape = Err(RecordFault::Signed(SignedFault::Shape));
    type Padding = fn(&mut wire::Signature);
    let paddings: [Padding; 5] = [
        |s| s.sig.push(0),
        |s| s.sig.clear(),
        |s| s.key_id = vec![7; 4096],
        |s| s.key_id.truncate(15),
        |s| s.key_id.clear(),
    ];
    for pad in paddings {
        let mut records = region.records.clone();
        let last = records.last_mut().unwrap();
        let mut padding = last.signatures[0].clone();
        pad(&mut padding);
        last.signatures.push(padding);
        assert_eq!(taken(&region, &records, &Verdicts::default()).last(), Some(&shape));
    }
}
