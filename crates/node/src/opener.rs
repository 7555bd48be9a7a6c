//! Opens letters: fetches each sealed envelope, opens it beside the owner's thread, and hands the result in, in the
//! order the letters came. While content is locked letters wait; nothing is lost by waiting.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use clearhouse_protocol::envelope::{Opening, Outside, Reader, Unopenable, open};
use clearhouse_protocol::ids::{Digest, NodeId, OrgId, PrekeyId};
use clearhouse_protocol::keys::PrekeySecret;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_store::keyfile::ContentKeys;

use crate::clock::Clock;
use crate::owner::Owner;

/// Letters opened side by side.
const AT_ONCE: usize = 8;
/// How often waiting letters are looked for without being told of one.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The prekeys at hand: none while locked.
#[derive(Clone, Default)]
pub struct Prekeys(Arc<RwLock<Option<Ring>>>);

/// Every prekey by its id.
type Ring = Arc<Vec<(PrekeyId, PrekeySecret)>>;

impl Prekeys {
    /// Takes the prekeys of an open content compartment.
    pub fn unlock(&self, content: &ContentKeys) {
        let secrets = content.prekeys().values().filter_map(|seed| {
            let secret = PrekeySecret::from_seed(seed.expose());
            Some((secret.public().ok()?.id(), secret))
        });
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(secrets.collect()));
    }

    /// Drops them. An opening under way ends with its own copy.
    pub fn lock(&self) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    fn at_hand(&self) -> Option<Ring> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// What the opener needs.
pub struct Opener<S> {
    /// The way to the owner.
    pub owner: Owner<S>,
    /// The prekeys.
    pub prekeys: Prekeys,
    /// This organisation and node.
    pub me: (OrgId, NodeId),
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl<S: Store + 'static> Opener<S> {
    /// Runs until the owner is gone.
    pub async fn run(self) {
        loop {
            match self.open_some().await {
                Some(0) => {
                    let told = self.owner.signals.letters.notified();
                    let _ = tokio::time::timeout(LOOK_EVERY, told).await;
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Opens up to [`AT_ONCE`] letters and says how many were dealt with; `None` when the owner is gone.
    async fn open_some(&self) -> Option<usize> {
        let Some(prekeys) = self.prekeys.at_hand() else { return Some(0) };
        // Whether a letter is expired, and by whose key it was signed then, cannot be told now.
        if self.clock.doubt().is_some() {
            return Some(0);
        }
        let letters = self
            .owner
            .look(|world| {
                let first = world.office.mail().to_open().take(AT_ONCE);
                first.map(|d| (d, world.ledger.read(Table::Envelope, d.as_bytes()))).collect::<Vec<_>>()
            })
            .await
            .ok()?;
        let directory = self.owner.signals.directory.borrow().clone();
        let (me, now) = (self.me, self.clock.now());
        let (sure, is_confirmed) = (self.clock.sure().min(now), self.clock.is_confirmed());
        let mut openings = Vec::with_capacity(letters.len());
        for (digest, bytes) in letters {
            let (prekeys, directory) = (Arc::clone(&prekeys), Arc::clone(&directory));
            openings.push(tokio::task::spawn_blocking(move || {
                let bytes = match bytes {
                    Ok(Some(bytes)) => bytes,
                    // A body that rotted is no different to its sender from one that never opened: it will resend.
                    Ok(None) | Err(_) => return (digest, Err(Unopenable::Length)),
                };
                let reader = Reader { sure, is_confirmed, ..Reader::new(me, &directory, now) };
                (digest, open_one(&bytes, &prekeys, &reader))
            }));
        }
        let count = openings.len();
        for opening in openings {
            let Ok((digest, result)) = opening.await else { continue };
            if let Err(fault) = &result {
                // The reason stays in this log; outward every one of them is the same signed statement.
                tracing::info!(digest = %digest, reason = %fault, "a letter does not open");
            }
            self.hand_in(digest, result).await?;
        }
        Some(count)
    }

    async fn hand_in(&self, digest: Digest, result: Result<Opening, Unopenable>) -> Option<()> {
        let decided = self.owner.decide(move |world, now| match world.office.opened(digest, result, now) {
            Some(step) => (step, ()),
            None => (Default::default(), ()),
        });
        match decided.await {
            Ok(()) => Some(()),
            Err(crate::owner::NotTaken::Stopping) => None,
            Err(_) => {
                // Not taken for want of disk: the letter waits, and so do we.
                tokio::time::sleep(LOOK_EVERY).await;
                Some(())
            }
        }
    }
}

fn open_one(bytes: &[u8], prekeys: &[(PrekeyId, PrekeySecret)], reader: &Reader<'_>) -> Result<Opening, Unopenable> {
    let outside = Outside::parse(bytes)?;
    let prekey = prekeys.iter().find(|(id, _)| *id == outside.prekey).map(|(_, secret)| secret);
    open(&outside, prekey, reader)
}
