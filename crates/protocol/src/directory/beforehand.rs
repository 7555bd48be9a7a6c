//! What can be found out about many records before any of them is decided on: which signatures hold, which keys are sound.
//!
//! It asks neither whether a record may be taken nor in which order: every key that a record could be signed with, held or
//! in the same pile, is tried by the hint of the signature. So it can be done elsewhere, in parts side by side, while the
//! directory goes on; [`Directory::check_beside`] then decides. Decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_wire::v1::{self as wire, Descriptor, NodeCert, OrgRecord, RootPolicy, Signed};
use prost::Message;

use super::Directory;
use crate::canon;
use crate::ids::{KeyId, NodeId, OrgId};
use crate::keys::key_id;
use crate::labels::media;
use crate::limits::{COORDINATORS_MAX, PREKEY_LEN, RECORD_MAX, SIGNATURES_MAX, TLS_KEYS_MAX};
use crate::log::note::NoteKey;
use crate::signed::{Trial, Verdicts};

/// Runs `work(part, of)` for every part below `of`, here or elsewhere, and joins what each found.
pub type InParts<'a> = &'a dyn Fn(&(dyn Fn(usize, usize) -> Verdicts + Sync)) -> Verdicts;

/// All of it as one part, here.
#[must_use]
pub fn in_one(work: &(dyn Fn(usize, usize) -> Verdicts + Sync)) -> Verdicts {
    work(0, 1)
}

/// A key to try, and whether the directory holds it.
type Candidate = ([u8; 32], bool);

/// The keys that a pile of records brings and calls for.
#[derive(Default)]
struct Pile {
    coordinators: BTreeMap<KeyId, Candidate>,
    roots: BTreeMap<OrgId, Vec<[u8; 32]>>,
    nodes: BTreeMap<NodeId, Vec<[u8; 32]>>,
    /// All keys that have to be admitted.
    fresh: BTreeSet<[u8; 32]>,
}

impl Directory {
    /// Verifies what there is to verify about these records and prekeys, in as many parts as `in_parts` makes of it. What
    /// is not found here is verified by the check.
    #[must_use]
    pub fn try_ahead(&self, records: &[Signed], prekeys: &[wire::Prekey], in_parts: InParts<'_>) -> Verdicts {
        let mut pile = Pile::of(records);
        pile.coordinators.extend(self.coordinators.iter().map(|key| (key.id(), (key.public(), true))));
        let fresh: Vec<[u8; 32]> = pile.fresh.iter().copied().collect();
        in_parts(&|part, of| {
            let mut verdicts = Verdicts::default();
            let mine = some(records, part, of).iter();
            let trials: Vec<Trial<'_>> = mine.flat_map(|signed| self.trials(signed, &pile)).collect();
            verdicts.try_all(some(&fresh, part, of), &trials);
            let whole = some(prekeys, part, of).iter().filter(|prekey| prekey.pk.len() == PREKEY_LEN);
            verdicts.try_prekeys(whole.map(|prekey| prekey.pk.as_slice()));
            verdicts
        })
    }

    /// The signatures of a record that could be by a key that could sign it.
    fn trials<'r>(&self, signed: &'r Signed, pile: &Pile) -> Vec<Trial<'r>> {
        let own;
        let keys = match signed.payload_type.as_str() {
            media::ORG | media::REVOCATION => &pile.coordinators,
            media::NODECERT => {
                own = read::<NodeCert>(signed).map_or_else(BTreeMap::new, |cert| self.roots_of(&cert, pile));
                &own
            }
            media::DESCRIPTOR => {
                own = read::<Descriptor>(signed).map_or_else(BTreeMap::new, |said| self.keys_of(&said, pile));
                &own
            }
            _ => return Vec::new(),
        };
        let signatures = signed.signatures.iter().take(SIGNATURES_MAX);
        let tried = signatures.filter_map(|s| {
            let (key, admitted) = *keys.get(&KeyId(s.key_id.as_slice().try_into().ok()?))?;
            Some(Trial { signed, signature: &s.sig, key, admitted })
        });
        tried.collect()
    }

    fn roots_of(&self, cert: &NodeCert, pile: &Pile) -> BTreeMap<KeyId, Candidate> {
        let Ok(org) = OrgId::try_from(cert.org_id.as_slice()) else { return BTreeMap::new() };
        let held = self.org(org).and_then(|record| record.org_root_pk.as_slice().try_into().ok());
        candidates(pile.roots.get(&org), held)
    }

    fn keys_of(&self, said: &Descriptor, pile: &Pile) -> BTreeMap<KeyId, Candidate> {
        let Ok(node) = NodeId::try_from(said.node_id.as_slice()) else { return BTreeMap::new() };
        let held = self.cert(node).and_then(|cert| cert.sign_pk.as_slice().try_into().ok());
        candidates(pile.nodes.get(&node), held)
    }
}

impl Pile {
    fn of(records: &[Signed]) -> Self {
        let mut pile = Self::default();
        for signed in records {
            match signed.payload_type.as_str() {
                media::ROOT => {
                    // No more than a policy has; whatever else is in it, nobody has signed for it yet.
                    let policy = read::<RootPolicy>(signed).filter(|p| p.coordinators.len() <= COORDINATORS_MAX);
                    let policy = policy.unwrap_or_default();
                    let keys = policy.coordinators.iter().filter_map(|c| c.accreditation_pk.as_slice().try_into().ok());
                    pile.coordinators.extend(keys.map(fresh));
                }
                media::ORG => pile.take_org(&read::<OrgRecord>(signed).unwrap_or_default()),
                media::NODECERT => pile.take_cert(&read::<NodeCert>(signed).unwrap_or_default()),
                media::DESCRIPTOR => {
                    let said = read::<Descriptor>(signed).unwrap_or_default();
                    let keys = said.tls_pks.iter().take(TLS_KEYS_MAX);
                    pile.fresh.extend(keys.filter_map(|pk| <[u8; 32]>::try_from(pk.as_slice()).ok()));
                }
                _ => {}
            }
        }
        pile
    }

    fn take_org(&mut self, org: &OrgRecord) {
        let (id, root) = (org.org_id.as_slice().try_into(), org.org_root_pk.as_slice().try_into());
        if let (Ok(id), Ok(root)) = (id, root) {
            self.roots.entry(id).or_default().push(root);
            self.fresh.insert(root);
        }
    }

    fn take_cert(&mut self, cert: &NodeCert) {
        let (id, key) = (cert.node_id.as_slice().try_into(), cert.sign_pk.as_slice().try_into());
        if let (Ok(id), Ok(key)) = (id, key) {
            self.nodes.entry(id).or_default().push(key);
            self.fresh.insert(key);
        }
        let notes = [&cert.log_vkey, &cert.witness_vkey];
        self.fresh.extend(notes.into_iter().filter_map(|vkey| NoteKey::public_in(vkey)));
    }
}

/// One of `of` parts, each of neighbours.
fn some<T>(all: &[T], part: usize, of: usize) -> &[T] {
    let cut = |part: usize| all.len() * part / of.max(1);
    all.get(cut(part)..cut(part + 1)).unwrap_or_default()
}

fn fresh(key: [u8; 32]) -> (KeyId, Candidate) {
    (key_id(&key), (key, false))
}

/// Those that the pile brings, and the one that is held, which is the same if it is among them.
fn candidates(brought: Option<&Vec<[u8; 32]>>, held: Option<[u8; 32]>) -> BTreeMap<KeyId, Candidate> {
    let held = held.map(|key| (key_id(&key), (key, true)));
    brought.into_iter().flatten().copied().map(fresh).chain(held).collect()
}

/// What a record claims: read only to know which keys to try.
fn read<T: Message + Default>(signed: &Signed) -> Option<T> {
    (signed.payload.len() <= RECORD_MAX).then(|| canon::claimed(&signed.payload)).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
