//! Letters that wait sealed: because this node's directory cannot tell yet whether their sender may speak, as no coordinator
//! was heard for long, or the sender was only just let in; or because they are dated ahead of their time, as one of two
//! clocks is wrong. Refuses to end one for what this node has not read, or for a clock that may be its own.

use clearhouse_protocol::directory::logs::Freshness;
use clearhouse_protocol::ids::{Digest, OrgId};
use clearhouse_protocol::limits::{HOUR, LETTER_AHEAD_WAIT_SECS};

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

    /// Takes up what was laid aside: as soon as coordinators are heard again, and what is dated ahead when its time has come.
    pub(in crate::office) fn open_aside(&self, step: &mut Step, now: u64) {
        let old = matches!(self.directory.freshness(now), Freshness::Old(_));
        let due = |digest: &Digest| match self.mail.letter(*digest).map_or(0, |letter| letter.opens_at) {
            0 => !old,
            // Further away than any wait is long: the clock was set back since.
            opens_at => opens_at <= now || opens_at > now.saturating_add(LETTER_AHEAD_WAIT_SECS),
        };
        let due = self.mail.aside().filter(due);
        let rows: Vec<_> = due.filter_map(|digest| self.mail.lay_aside(digest, false)).collect();
        if !rows.is_empty() {
            step.effects.push(Effect::OpenLetters);
        }
        step.rows.extend(rows);
    }
}
