//! Revocations by coordinators that a later policy replaced, for who joins after it.

use super::*;
use crate::ceremony::{Thresholds, next_policy, revoke};
use crate::fixture::{NOW, Region};
use crate::keys::SigningKey;
use crate::signed::add_signature;

/// Whom the revocation puts out: the last member.
const ENDED: usize = 5;
const COUNTRIES: [&str; 4] = ["RO", "IT", "MD", "RS"];

/// A region of four coordinators, of whom one may lie, and the third policy, which replaces the keys of two.
struct Replaced {
    region: Region,
    third: Signed,
}

impl Replaced {
    fn new() -> Self {
        let k = Thresholds { accredit: 3, revoke: 2, root: 3, f: 1 };
        let region = Region::with_council(1, 6, &COUNTRIES, k);
        let fresh = [71, 72].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let mut third = next_policy(region.directory.newest_policy(), NOW, |policy| {
            for (coordinator, key) in policy.coordinators.iter_mut().zip(&fresh) {
                coordinator.accreditation_pk = key.public().to_vec();
            }
        })
        .unwrap();
        region.coordinators.iter().chain(&fresh).for_each(|key| add_signature(&mut third, key));
        Self { region, third }
    }

    /// Signed by these of the coordinators of before: the first two are replaced.
    fn revocation(&self, by: &[usize]) -> Signed {
        let keys: Vec<&SigningKey> = by.iter().map(|n| &self.region.coordinators[*n]).collect();
        let org = self.region.members[ENDED].org;
        revoke(self.region.net, SubjectKind::Organisation, org.0, "Closed", NOW, &keys)
    }

    /// The directory of somebody who joins now, and has read these logs: each shows its tail behind what everybody has.
    fn joined(&self, tails: &[(usize, &[&Signed])]) -> Directory {
        let mut directory = self.region.directory.clone();
        let all: Vec<Vec<u8>> =
            directory.to_enter(self.region.members[0].node).iter().map(|r| r.encode_to_vec()).collect();
        let checked = directory.check(&self.third, NOW).unwrap().unwrap();
        directory.insert(checked);
        for (of, tail) in tails {
            let entries: Vec<Vec<u8>> = all.iter().cloned().chain(tail.iter().map(|r| r.encode_to_vec())).collect();
            let others: Vec<usize> = (0..COUNTRIES.len()).filter(|n| n != of).collect();
            let page = self.region.log_page(*of, &entries, (0, entries.len()), (&others, NOW));
            let page = directory.check_page(self.region.members[*of].node, &page, NOW).unwrap();
            directory.follow(&page);
        }
        directory
    }
}

fn fault(directory: &Directory, signed: &Signed) -> Option<RecordFault> {
    directory.check(signed, NOW).err()
}

#[test]
fn what_everybody_was_shown_before_its_signers_were_replaced_is_taken_by_who_joins_after() {
    let scene = Replaced::new();
    let (end, third) = (scene.revocation(&[0, 1]), &scene.third);
    assert_eq!(fault(&scene.region.directory, &end), None, "while they were coordinators");
    let ahead: &[&Signed] = &[&end, third];
    let mut directory = scene.joined(&[(2, ahead), (3, ahead)]);
    assert!(matches!(directory.check(&end, NOW), Ok(Some(Checked::Revocation(_)))));
    let checked = directory.check(&end, NOW).unwrap().unwrap();
    directory.insert(checked);
    assert!(directory.is_revoked(&scene.region.members[ENDED].org.0, NOW));
    // One still a coordinator and one replaced are not enough of today's, and were enough of then.
    let mixed = scene.revocation(&[1, 2]);
    let ahead: &[&Signed] = &[&mixed, third];
    assert_eq!(fault(&scene.joined(&[(0, ahead), (3, ahead)]), &mixed), None);
    assert_eq!(fault(&scene.joined(&[]), &mixed), Some(RecordFault::Threshold));
}

#[test]
fn attack_20_keys_of_replaced_coordinators_end_nobody_with_what_they_sign_later() {
    let scene = Replaced::new();
    let (end, third) = (scene.revocation(&[0, 1]), &scene.third);
    let (ahead, behind): (&[&Signed], &[&Signed]) = (&[&end, third], &[third, &end]);
    for (logs, why) in [
        (&[][..], "no log shows it"),
        (&[(2, ahead)], "one log, and one coordinator may lie"),
        (
            &[(2, ahead), (3, &[&end])],
            "a keeper that has not read the new policy takes it from whoever has the old keys",
        ),
        (&[(2, ahead), (3, behind)], "an honest log has it behind the policy that replaced them"),
        (&[(0, behind), (1, behind), (2, behind), (3, behind)], "everybody was shown it too late"),
    ] {
        assert_eq!(fault(&scene.joined(logs), &end), Some(RecordFault::Threshold), "{why}");
    }
    // A stolen key is below every policy's threshold, wherever it stands.
    let one = scene.revocation(&[0]);
    let ahead: &[&Signed] = &[&one, third];
    let everywhere = [(0, ahead), (1, ahead), (2, ahead), (3, ahead)];
    assert_eq!(fault(&scene.joined(&everywhere), &one), Some(RecordFault::Threshold));
    // And those of two policies are not counted together.
    let fresh = SigningKey::from_seed(&[71; 32]);
    let org = scene.region.members[ENDED].org;
    let keys = [&scene.region.coordinators[1], &fresh];
    let both = revoke(scene.region.net, SubjectKind::Organisation, org.0, "Closed", NOW, &keys);
    let ahead: &[&Signed] = &[&both, third];
    assert_eq!(fault(&scene.joined(&[(2, ahead), (3, ahead)]), &both), Some(RecordFault::Threshold));
}

#[test]
fn who_was_let_in_by_coordinators_of_before_is_still_there_after_a_start() {
    let scene = Replaced::new();
    let directory = scene.joined(&[]);
    let mut again = Directory::found(&scene.region.genesis, None).unwrap();
    for record in directory.records() {
        if let Some(checked) = again.check_kept(record, &Verdicts::default()).unwrap() {
            again.insert(checked);
        }
    }
    assert!(scene.region.members.iter().all(|m| again.org(m.org).is_some() && again.cert(m.node).is_some()));
    // To a stranger they sign nothing any more.
    let org = directory.newest_org(scene.region.members[ENDED].org).unwrap();
    let mut stranger = Directory::found(&scene.region.genesis, None).unwrap();
    for policy in directory.records().filter(|record| record.payload_type == media::ROOT) {
        if let Some(checked) = stranger.check(policy, NOW).unwrap() {
            stranger.insert(checked);
        }
    }
    assert_eq!(fault(&stranger, org), Some(RecordFault::Threshold));
}
