//! Attack 40: a letter sealed to a week's prekey, when that week is long over. It opens as long as it can still be valid,
//! also at a node that was away; then the seed goes, and with it what a thief of the disk could open.

use clearhouse_protocol::directory::Recipient;
use clearhouse_protocol::envelope::{Letter, Opening, Outside, Reader, Sealed, Unopenable, open, seal};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::{ConversationId, MsgId};
use clearhouse_protocol::limits::{DAY, ENVELOPE_LIFE_SECS, WEEK};
use clearhouse_store::keyfile::{ContentKeys, DeviceSecret, KeyFile, NewSlot, Opens, ServiceKeys, SlotSecret};
use clearhouse_store::passphrase::Credential;
use tempfile::TempDir;

use super::*;
use crate::clock::chance;

/// A member with a key file of its own, and a letter to it, sealed in the last second of this week to this week's prekey.
struct Scene {
    region: Region,
    folder: TempDir,
    keys: Opened,
    /// When the week ended.
    end: u64,
    seed: [u8; 32],
    sealed: Sealed,
}

impl Scene {
    fn new() -> Self {
        let (mut rng, folder) = (chance(), tempfile::tempdir().unwrap());
        let region = Region::new(1, 2);
        let to = &region.members[1];
        let device = DeviceSecret::create(&folder.path().join("device"), &mut rng).unwrap();
        let secret = Credential::create(&folder.path().join("credential"), &mut rng).unwrap();
        let parts = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
        let slots = [NewSlot::Credential { secret: &secret, opens: Opens::Both }];
        let whose = (region.net, to.node);
        let path = folder.path().join("keys");
        let mut keys = KeyFile::create(&path, whose, parts, &slots, &device, &mut rng).unwrap();
        let (week, prekey) = renew_prekeys(&mut keys, NOW, &mut rng).unwrap().swap_remove(0);
        let end = (week + 1) * WEEK;
        let mailboxes = vec![(to.mailbox, to.node, "a.example.org:7443".to_owned())];
        let prekey = std::sync::Arc::new(prekey);
        let recipient = Recipient { org: to.org, node: to.node, mailboxes, prekey, week, reads: vec![] };
        let from = &region.members[0];
        let letter = Letter {
            net: region.net,
            msg_type: 2,
            body_version: 1,
            msg_id: MsgId([5; 16]),
            sender: (from.org, from.node),
            conversation: ConversationId([6; 32]),
            seq: 1,
            prev_digest: None,
            created: end - 1,
            expires: end - 1 + ENVELOPE_LIFE_SECS,
            actor: None,
            body: b"body",
            attachments: &[],
        };
        let sealed = seal(&letter, &recipient, 0, &from.sign, &mut rng).unwrap();
        let seed = *keys.content().unwrap().prekeys()[&week].expose();
        Self { region, folder, keys, end, seed, sealed }
    }

    /// Opens the letter `days` after the week ended, with what the key file holds then.
    fn open(&self, days: u64) -> Result<Opening, Unopenable> {
        let outside = Outside::parse(&self.sealed.bytes).unwrap();
        let seeds = self.keys.content().unwrap().prekeys().values();
        let mut held = seeds.map(|seed| PrekeySecret::from_seed(seed.expose()));
        let prekey = held.find(|secret| secret.public().unwrap().id() == outside.prekey);
        let to = &self.region.members[1];
        let now = self.end + days * DAY;
        open(&outside, prekey.as_ref(), &Reader::new((to.org, to.node), &self.region.directory, now))
    }

    fn opens(&self, days: u64) -> bool {
        matches!(self.open(days), Ok(Opening::Whole(_)))
    }

    /// What a node does each hour; how many weeks were erased. The others' word is of the same day.
    fn refresh(&mut self, days: u64) -> usize {
        let now = self.end + days * DAY;
        renew_prekeys(&mut self.keys, now, &mut chance()).unwrap();
        erase_outlived(&mut self.keys, now, Some(now), &mut chance()).unwrap()
    }

    /// Whether the seed can be had from what lies on the disk now.
    fn is_on_disk(&self) -> bool {
        let device = DeviceSecret::open(&self.folder.path().join("device")).unwrap();
        let secret = Credential::from_file(&self.folder.path().join("credential")).unwrap();
        let locked = KeyFile::open(&self.folder.path().join("keys")).unwrap();
        let opened = locked.unlock(&SlotSecret::Credential(&secret), &device).unwrap();
        let in_it = opened.content().unwrap().prekeys().values().any(|seed| *seed.expose() == self.seed);
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let plain = |file: std::path::PathBuf| std::fs::read(file).unwrap().windows(32).any(|at| at == self.seed);
        in_it || files.filter(|file| file.is_file()).any(plain)
    }
}

#[test]
fn attack_40_a_letter_to_an_ended_weeks_prekey_opens_on_day_13_and_after_the_erasing_nothing_opens_it() {
    let mut scene = Scene::new();
    for days in [0, 7, 13, 15, 29] {
        assert_eq!(scene.refresh(days), 0, "day {days}");
        assert!(scene.opens(days), "day {days}");
    }
    assert_eq!(scene.open(30).err(), Some(Unopenable::Time), "its own time ended before its key's");
    assert_eq!((scene.refresh(34), scene.is_on_disk()), (0, true));
    assert_eq!((scene.refresh(35), scene.is_on_disk()), (1, false));
    // Whoever kept a copy of the letter and takes the disk now, at whatever time his clock shows.
    assert_eq!(scene.open(13).err(), Some(Unopenable::Prekey));
}

#[test]
fn attack_40_a_node_that_was_off_for_twenty_days_opens_first_and_erases_later() {
    let mut scene = Scene::new();
    assert_eq!(scene.refresh(20), 0);
    assert!(scene.opens(20) && scene.is_on_disk());
    assert_eq!(scene.refresh(35), 1);
    assert!(!scene.is_on_disk());
}

#[test]
fn attack_38_a_clock_three_days_off_erases_no_prekey_that_a_letter_may_need() {
    let mut scene = Scene::new();
    // The true day is the 33rd: this clock says the 36th, and others say what is true. Then the other way round.
    for (ours, theirs) in [(36, 33), (33, 36)] {
        let (ours, theirs) = (scene.end + ours * DAY, scene.end + theirs * DAY);
        renew_prekeys(&mut scene.keys, ours, &mut chance()).unwrap();
        assert_eq!(erase_outlived(&mut scene.keys, ours, Some(theirs), &mut chance()).unwrap(), 0);
    }
    assert!(scene.is_on_disk());
}
