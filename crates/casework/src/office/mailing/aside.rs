//! Letters that wait sealed because this node's directory cannot tell yet whether their sender may speak: no coordinator was
//! heard for long, or the sender was only just let in. Refuses to end one for what this node has not read.

use clearhouse_protocol::directory::logs::Freshness;
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::limits::HOUR;

use super::{Effect, Office, Step};

/// Hours for which a letter waits for its sender to be shown in the logs that this node reads each minute.
pub(super) const UNPUBLISHED_HOURS: u64 = 2;

impl Office {
    /// Whether a log may show soon what it does not show here: no coordinator was heard for long, or the letter just came.
    pub(super) fn may_be_behind(&self, digest: Digest, now: u64) -> bool {
        let fresh = matches!(self.directory.freshness(now), Freshness::Fresh(_));
        let came = self.mail.letter(digest).map_or(0, |letter| letter.stored_hour);
        !fresh || now / HOUR < came.saturating_add(UNPUBLISHED_HOURS)
    }

    /// Whether what an organisation wrote must wait until the directory is up to date: no coordinator was heard for 14
    /// days, so that it may have been put out since, and nothing passed between it and this office before (protocol
    /// section 7.4). Coordinators are known by the policy. The letter stays sealed; its sender sees it stored.
    pub(super) fn must_wait(&self, org: OrgId, now: u64) -> bool {
        matches!(self.directory.freshness(now), Freshness::Old(_)) && !self.directory.is_coordinator(org) && {
            let had_cases = || self.cases.as_ref().is_some_and(|cases| cases.iter().any(|case| case.peer_org() == org));
            let wrote = || self.directory.nodes_of(org).any(|node| self.mail.has_written_with(node));
            !wrote() && !had_cases()
        }
    }

    /// Takes up what was laid aside as soon as coordinators are heard again.
    pub(in crate::office) fn open_aside(&self, step: &mut Step, now: u64) {
        if matches!(self.directory.freshness(now), Freshness::Old(_)) {
            return;
        }
        let rows: Vec<_> = self.mail.aside().filter_map(|digest| self.mail.lay_aside(digest, false)).collect();
        if !rows.is_empty() {
            step.effects.push(Effect::OpenLetters);
        }
        step.rows.extend(rows);
    }
}
