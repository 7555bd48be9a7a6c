//! A node that hears nobody but the two liars for two days: what it knows ages, and it knows that.

use clearhouse_protocol::directory::logs::Freshness;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::{DIRECTORY_AGED_SECS, HOUR};
use clearhouse_wire::v1 as wire;

use crate::liar::postdated;
use crate::world::{COUNTRIES, World};

impl World {
    /// Cuts one node off from everybody honest, lets two days pass and shows it every head that it holds, made again by
    /// the two with the time that it is. The rest goes on.
    pub(crate) fn freeze(&mut self) -> Result<(), String> {
        let &[one, other] = self.liars.as_slice() else { return Ok(()) };
        let ordinary: Vec<usize> = self.honest().into_iter().filter(|place| *place >= COUNTRIES.len()).collect();
        let (victim, free) = (ordinary[0], ordinary[1]);
        self.common.now += DIRECTORY_AGED_SECS + HOUR;
        for place in self.honest_coordinators() {
            self.keep(place);
        }
        let logs: Vec<NodeId> = self.replicas[free].directory.directory_logs().map(|(node, _)| node).collect();
        for log in &logs {
            self.follow(free, *log, &logs);
            let Some(held) = self.replicas[victim].directory.newest_head(*log) else { continue };
            let note = postdated(held.note(), &[one, other], &self.common, 0);
            let page = wire::DirectoryLogReply { head: note.to_string().into_bytes(), ..Default::default() };
            // Taken or not: what counts is what it believes then.
            drop(self.replicas[victim].follow(*log, &page, &mut self.common));
        }
        let freshness = |place: usize| self.replicas[place].directory.freshness(self.common.now);
        if !matches!(freshness(free), Freshness::Fresh(at) if at <= self.common.now) {
            return Err(format!("node {free} hears everybody and holds its directory to be old"));
        }
        match freshness(victim) {
            Freshness::Aged(_) => Ok(()),
            Freshness::NoLogs | Freshness::Fresh(_) | Freshness::Old(_) => {
                Err(format!("node {victim} heard nobody but liars for two days and does not notice"))
            }
        }
    }
}
