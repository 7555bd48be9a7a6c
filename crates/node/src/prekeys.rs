//! The prekey seeds in the key file: this week's and the next four are made in time, those of weeks long past are
//! erased. Refuses to let a failure to erase stop the making of new ones: a node without a prekey cannot be written to.

use std::collections::BTreeMap;

use clearhouse_protocol::keys::{Prekey, PrekeySecret};
use clearhouse_protocol::prekeys::{is_outlived, published};
use clearhouse_store::keyfile::{KeyFileError, Opened, PREKEYS_MAX};
use clearhouse_store::secret::SecretBytes;
use rand_core::CryptoRng;

use crate::setup::SetupError;

type Seeds = BTreeMap<u64, SecretBytes>;

/// Makes sure that prekeys for this week and the next four exist; returns all that are to be published.
///
/// # Errors
/// [`SetupError::Keys`] when content is locked or the key file cannot be rewritten.
pub fn renew_prekeys(keys: &mut Opened, now: u64, rng: &mut impl CryptoRng) -> Result<Vec<(u64, Prekey)>, SetupError> {
    let mut seeds = held(keys)?;
    let missing: Vec<u64> = published(now).filter(|week| !seeds.contains_key(week)).collect();
    if !missing.is_empty() {
        // A node that heard of nobody for half a year has room for new weeks all the same.
        while seeds.len() + missing.len() > PREKEYS_MAX {
            seeds.pop_first();
        }
        seeds.extend(missing.into_iter().map(|week| (week, SecretBytes::random(rng))));
        keys.set_prekeys(seeds, rng)?;
    }
    let held = keys.content().ok_or(KeyFileError::ContentLocked)?.prekeys();
    published(now)
        .map(|week| {
            let seed = held.get(&week).ok_or(SetupError::Generation)?;
            let public = PrekeySecret::from_seed(seed.expose()).public().map_err(|_| SetupError::Generation)?;
            Ok((week, public))
        })
        .collect()
}

/// Erases the seeds of weeks that are outlived by both clocks; returns how many. `heard` is the newest time another
/// party signed. When one goes, the device secret turns, so that no old block of the key file opens it again.
///
/// # Errors
/// [`SetupError::Keys`] when content is locked or the key file cannot be rewritten; then all seeds are still there.
pub fn erase_outlived(
    keys: &mut Opened,
    now: u64,
    heard: Option<u64>,
    rng: &mut impl CryptoRng,
) -> Result<usize, SetupError> {
    let mut seeds = held(keys)?;
    let before = seeds.len();
    seeds.retain(|week, _| !is_outlived(*week, now, heard));
    let gone = before - seeds.len();
    if gone > 0 {
        keys.set_prekeys(seeds, rng)?;
    }
    Ok(gone)
}

fn held(keys: &Opened) -> Result<Seeds, SetupError> {
    let held = keys.content().ok_or(KeyFileError::ContentLocked)?.prekeys();
    held.iter()
        .map(|(week, seed)| Ok((*week, SecretBytes::from_slice(seed.expose()).ok_or(SetupError::Generation)?)))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod epochs;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::ids::{Net, NodeId};
    use clearhouse_protocol::limits::{DAY, PREKEY_WEEKS, WEEK};
    use clearhouse_store::keyfile::{ContentKeys, DeviceSecret, KeyFile, NewSlot, Opens, ServiceKeys};
    use clearhouse_store::passphrase::Credential;

    use super::*;
    use crate::clock::chance;

    const NOW: u64 = 3000 * WEEK + 3;

    fn key_file(dir: &std::path::Path) -> Opened {
        let mut rng = chance();
        let device = DeviceSecret::create(&dir.join("device"), &mut rng).unwrap();
        let secret = Credential::create(&dir.join("credential"), &mut rng).unwrap();
        let parts = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
        let slots = [NewSlot::Credential { secret: &secret, opens: Opens::Both }];
        let whose = (Net([1; 32]), NodeId([2; 16]));
        KeyFile::create(&dir.join("keys"), whose, parts, &slots, &device, &mut rng).unwrap()
    }

    fn weeks(keys: &Opened) -> Vec<u64> {
        keys.content().unwrap().prekeys().keys().copied().collect()
    }

    #[test]
    fn a_year_of_weeks_never_fills_the_key_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = key_file(dir.path());
        for week in 0..60 {
            let now = NOW + week * WEEK;
            let published = renew_prekeys(&mut keys, now, &mut chance()).unwrap();
            assert_eq!(published.len() as u64, PREKEY_WEEKS);
            assert_eq!(published[0].0, now / WEEK);
        }
        // Nobody was ever heard, so nothing was erased before its place was needed.
        assert_eq!(weeks(&keys).len(), PREKEYS_MAX);
    }

    #[test]
    fn past_weeks_go_when_another_partys_time_agrees() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = key_file(dir.path());
        renew_prekeys(&mut keys, NOW, &mut chance()).unwrap();
        let later = NOW + 7 * WEEK;
        renew_prekeys(&mut keys, later, &mut chance()).unwrap();
        let mut erase = |heard| erase_outlived(&mut keys, later, heard, &mut chance()).unwrap();
        assert_eq!(erase(None), 0);
        assert_eq!(erase(Some(NOW + DAY)), 0, "their time says that it is too early");
        assert_eq!(erase(Some(later)), 2, "weeks 3000 and 3001 ended at least 35 days ago");
        assert_eq!(weeks(&keys).first(), Some(&3002));
        assert!(weeks(&keys).ends_with(&[3007, 3008, 3009, 3010, 3011]));
    }
}
