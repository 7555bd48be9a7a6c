//! Entries of directory logs that were refused for lack of what they stand on: a certificate whose organisation comes in a
//! later page or out of another log, a version before the one that it follows, an end by a key that is not known yet.
//!
//! Their bytes are kept like every entry's. Here stands what each waits for, until that came and it was tried again; a page
//! is never asked for twice, and what finds no room any more comes by another log or by sync. Refuses to let one log fill the
//! room of another, and to keep what no record can make good.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::canon;
use clearhouse_protocol::directory::{Checked, RecordFault, Rival};
use clearhouse_protocol::ids::{NodeId, OrgId};
use clearhouse_protocol::keys::key_id;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::limits::WAITING_ENTRIES_MAX;
use clearhouse_protocol::rows::Row;
use clearhouse_protocol::signed::Verdicts;
use clearhouse_wire::v1 as wire;
use rand_core::CryptoRng;

use super::log_row;
use crate::office::records::Intake;
use crate::office::{Now, Office, Step};

/// The kind of its rows: log, leaf, and for whom it waits.
pub(super) const WAITING: u8 = b'W';

/// The id of an organisation, node or key.
type Name = [u8; 16];
/// An entry of a log, by the hash of its leaf.
pub type Place = (NodeId, [u8; 32]);

/// Of whom something came that entries may have waited for.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct News {
    all: bool,
    names: BTreeSet<Name>,
}

impl News {
    /// Of this organisation: what it, or its record, may do now that it might not do before.
    #[must_use]
    pub fn of(org: OrgId) -> Self {
        Self { all: false, names: BTreeSet::from([org.0]) }
    }

    /// Of everybody: at a start, or with a new policy.
    #[must_use]
    pub fn of_everybody() -> Self {
        Self { all: true, names: BTreeSet::new() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    /// Takes up what else came.
    pub fn join(&mut self, other: Self) {
        self.all |= other.all;
        self.names.extend(other.names);
    }

    /// Takes up a record that is about to be held.
    pub(in crate::office) fn add(&mut self, checked: &Checked) {
        match checked {
            Checked::Policy(..) | Checked::Rival(Rival::Policy(_)) => self.all = true,
            Checked::Org(org, _) | Checked::Rival(Rival::Org(org, _)) => drop(self.names.insert(org.0)),
            Checked::Cert(node, cert) | Checked::Rival(Rival::Cert(node, cert)) => {
                let key = <[u8; 32]>::try_from(cert.value().sign_pk.as_slice()).map(|key| key_id(&key).0);
                let org = Name::try_from(cert.value().org_id.as_slice());
                self.names.extend([Some(node.0), key.ok(), org.ok()].into_iter().flatten());
            }
            // What waits beside an organisation changes nothing about what it may do.
            Checked::Announced(..) | Checked::Rival(Rival::Announced(..)) | Checked::Objection(..) => {}
            Checked::Descriptor(..) | Checked::Revocation(_) | Checked::Prekey(..) => {}
        }
    }
}

/// What waits, by log.
#[derive(Default)]
pub(in crate::office) struct Waiting(BTreeMap<NodeId, BTreeMap<[u8; 32], Name>>);

impl Waiting {
    /// Takes one row in, or out.
    pub(super) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some((node, leaf)) = key.split_first_chunk::<16>() else { return };
        let Ok(leaf) = <[u8; 32]>::try_from(leaf) else { return };
        let of_log = self.0.entry(NodeId(*node)).or_default();
        match value.and_then(|name| Name::try_from(name).ok()) {
            Some(name) => drop(of_log.insert(leaf, name)),
            None => drop(of_log.remove(&leaf)),
        }
    }

    fn of(&self, log: NodeId) -> impl Iterator<Item = (&[u8; 32], &Name)> {
        self.0.get(&log).into_iter().flatten()
    }

    /// What of this news anything waits for, `fresh` beside what is here.
    pub(in crate::office) fn wanted(&self, news: &News, fresh: &[Name]) -> News {
        let kept = || self.0.values().flat_map(BTreeMap::values);
        let names = kept().chain(fresh).filter(|name| news.names.contains(*name)).copied().collect();
        News { all: news.all && (kept().next().is_some() || !fresh.is_empty()), names }
    }
}

impl Office {
    /// Entries of directory logs that wait here for what came: [`Office::try_again`] takes them with their bytes.
    #[must_use]
    pub fn waiting_for(&self, came: &News) -> Vec<Place> {
        let all = self.waiting.0.iter().flat_map(|(log, of_log)| of_log.iter().map(move |entry| (*log, entry)));
        let due = all.filter(|(_, (_, name))| came.all || came.names.contains(*name));
        due.map(|(log, (leaf, _))| (log, *leaf)).collect()
    }

    /// Decides anew on entries that waited. What still lacks something waits on; what is held now, or can never be, does not.
    pub fn try_again<R: CryptoRng>(
        &self,
        entries: &[(Place, Option<wire::Signed>)],
        verdicts: Verdicts,
        now: &mut Now<'_, R>,
    ) -> (Step, Intake) {
        let with_bytes: Vec<&wire::Signed> = entries.iter().filter_map(|(_, signed)| signed.as_ref()).collect();
        let records = with_bytes.into_iter().cloned().collect();
        let bundle = wire::RecordBundle { records, ..wire::RecordBundle::default() };
        let (mut step, intake) = self.admit_beside(&bundle, verdicts, now);
        let waits_on: BTreeSet<usize> = intake.refused.iter().filter(|(_, f)| lacks(*f)).map(|(at, _)| *at).collect();
        let mut position = 0;
        for ((log, leaf), signed) in entries {
            let lasting = signed.is_some() && waits_on.contains(&position);
            position += usize::from(signed.is_some());
            if !lasting {
                step.rows.push(Row { value: None, ..row(*log, leaf, Vec::new()) });
            }
        }
        (step, intake)
    }

    /// Has the entries of a page wait that were refused for lack of something, as far as there is room for this log; the
    /// names they wait for.
    pub(super) fn have_wait(
        &self,
        log: NodeId,
        shown: &[([u8; 32], wire::Signed)],
        refused: &[(usize, RecordFault)],
        step: &mut Step,
    ) -> Vec<Name> {
        let lacking =
            refused.iter().filter(|(_, fault)| lacks(*fault)).filter_map(|(position, _)| shown.get(*position));
        let named = lacking.filter_map(|(leaf, signed)| Some((leaf, waits_for(signed)?)));
        let room = WAITING_ENTRIES_MAX.saturating_sub(self.waiting.of(log).count());
        let taken: Vec<([u8; 32], Name)> = named.take(room).map(|(leaf, name)| (*leaf, name)).collect();
        step.rows.extend(taken.iter().map(|(leaf, name)| row(log, leaf, name.to_vec())));
        taken.into_iter().map(|(_, name)| name).collect()
    }
}

/// Whether what is still to come can change it.
fn lacks(fault: RecordFault) -> bool {
    matches!(fault, RecordFault::Signer | RecordFault::Threshold | RecordFault::Broken)
}

/// Whose records it stands on; a policy stands on policies, of which each is news for all.
fn waits_for(signed: &wire::Signed) -> Option<Name> {
    let payload = signed.payload.as_slice();
    let name = match signed.payload_type.as_str() {
        media::ORG => canon::claimed::<wire::OrgRecord>(payload)?.org_id,
        media::NODECERT => canon::claimed::<wire::NodeCert>(payload)?.org_id,
        media::OBJECTION => canon::claimed::<wire::Objection>(payload)?.org_id,
        media::REVOCATION => canon::claimed::<wire::Revocation>(payload)?.subject,
        media::ROOT => vec![0; 16],
        _ => return None,
    };
    name.try_into().ok()
}

fn row(log: NodeId, leaf: &[u8; 32], name: Vec<u8>) -> Row {
    log_row([&[WAITING], log.as_bytes(), leaf.as_slice()].concat(), name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
