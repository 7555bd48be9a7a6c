//! What a node says of itself when it calls: nobody can ask an office without a port (protocol section 7.4).
//!
//! A call begins with one hash over that; only where it is not held does the caller say it, and what it says is checked as
//! a stranger's. Refuses a word about anybody else: about others one asks whoever one likes.

use clearhouse_wire::v1 as wire;

use super::{Chained, Directory, Held};
use crate::canon;
use crate::ids::{NodeId, OrgId};
use crate::labels::{self, media};
use crate::limits::{INTRODUCED_PREKEYS_MAX, INTRODUCED_RECORDS_MAX, RECORD_MAX, WEEK};
use crate::pae::hash;

/// One hash over what a node says of itself to a node of `to`, as far as it is held: its descriptor, and to a coordinator,
/// which enters them in a log for all others, its newest accreditation and certificate. A renewed accreditation changes no
/// descriptor. `None` when nothing describes it.
#[must_use]
pub fn own_digest(directory: &Directory, node: NodeId, to: OrgId) -> Option<[u8; 32]> {
    fn newest<T: Chained>(held: Option<&Held<T>>) -> Option<[u8; 32]> {
        held.map(|held| held.newest().hash)
    }
    let described = directory.descriptors.get(&node)?.hash;
    let mut parts = vec![described];
    if directory.is_coordinator(to) {
        let org = directory.org_of(node)?;
        parts.extend(newest(directory.orgs.get(&org)));
        parts.extend(newest(directory.certs.get(&node)));
    }
    Some(hash(labels::SYNC_OWN, &parts.iter().map(|part| &part[..]).collect::<Vec<_>>()))
}

/// What a node says of itself to a node of `to` that has not heard it: its descriptor, the prekeys that it lists, and to a
/// coordinator the records that vouch for it.
#[must_use]
pub fn introduction(directory: &Directory, me: NodeId, to: OrgId) -> wire::DigestsRequest {
    let org = directory.org_of(me).filter(|_| directory.is_coordinator(to));
    let vouching = org.map_or_else(Vec::new, |org| directory.vouching(org, me));
    let own = directory.descriptors.get(&me).map(|entry| entry.record.raw().clone());
    let prekeys = directory.prekeys.range((me, 0)..=(me, u64::MAX)).take(INTRODUCED_PREKEYS_MAX);
    let prekeys = prekeys.map(|((_, week), key)| wire::Prekey { week: *week, pk: key.as_bytes().to_vec() });
    wire::DigestsRequest { own, prekeys: prekeys.collect(), vouching, ..wire::DigestsRequest::default() }
}

/// Whether a node of `me` lacks what a caller could say of itself: what its digest is over, or its prekey of this week or
/// the next. Nothing is lacking of who names no digest.
#[must_use]
pub fn is_unheard(directory: &Directory, me: OrgId, from: NodeId, theirs: &[u8], now: u64) -> bool {
    if theirs.is_empty() {
        return false;
    }
    let weeks = now / WEEK..now / WEEK + 2;
    let lists = |week: &u64| directory.descriptor(from).is_some_and(|d| d.prekeys.iter().any(|p| p.week == *week));
    let lacks = |week: u64| !directory.prekeys.contains_key(&(from, week));
    own_digest(directory, from, me).is_none_or(|held| held != theirs) || weeks.filter(lists).any(lacks)
}

/// What a caller, a node of `org`, said of itself, to be checked like a stranger's. `None` when it said nothing, more than
/// there can be, or anything about somebody else.
#[must_use]
pub fn introduced(request: wire::DigestsRequest, from: NodeId, org: Option<OrgId>) -> Option<wire::RecordBundle> {
    let own = request.own.filter(|own| own.payload_type == media::DESCRIPTOR)?;
    let sound = request.prekeys.len() <= INTRODUCED_PREKEYS_MAX && request.vouching.len() <= INTRODUCED_RECORDS_MAX;
    let records: Vec<wire::Signed> = request.vouching.into_iter().chain([own]).collect();
    let about = records.iter().all(|record| is_about(record, from, org));
    (sound && about).then_some(wire::RecordBundle { records, prekeys: request.prekeys, published: Vec::new() })
}

/// Whether a record is of a node, or vouches for it.
fn is_about(record: &wire::Signed, node: NodeId, org: Option<OrgId>) -> bool {
    if record.payload.len() > RECORD_MAX {
        return false;
    }
    let payload = record.payload.as_slice();
    let is_org = |id: &[u8]| org.is_some_and(|org| id == org.0);
    match record.payload_type.as_str() {
        media::DESCRIPTOR => canon::claimed::<wire::Descriptor>(payload).is_some_and(|said| said.node_id == node.0),
        media::NODECERT => {
            canon::claimed::<wire::NodeCert>(payload).is_some_and(|cert| cert.node_id == node.0 && is_org(&cert.org_id))
        }
        media::ORG => canon::claimed::<wire::OrgRecord>(payload).is_some_and(|record| is_org(&record.org_id)),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/introduction.rs"]
mod tests;
