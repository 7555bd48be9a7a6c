//! Following the coordinators' directory logs, keeping one, and cosigning the others': the moves of a node, each page, head
//! and cosignature checked by the product.

use clearhouse_protocol::audit;
use clearhouse_protocol::directory::logs::{Entered, LogFault, Newest};
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::HOUR;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::{Note, NoteKey};
use clearhouse_protocol::log::witness::{Held, Request, WitnessFault, decide};
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::common::Common;
use crate::flaw::Flaw;
use crate::line::Line;
use crate::replica::Replica;

/// Pages read of one log in one round.
const PAGES_MAX: usize = 256;
/// A log that has nothing new is cosigned again after this.
const COSIGN_AGAIN_SECS: u64 = 6 * HOUR;
/// Records entered in one step.
const ENTER_MAX: usize = 256;

impl Replica {
    /// Reads one log from one peer; whether to the end of what the peer knows.
    pub(crate) fn read(&mut self, log: NodeId, line: &mut Line<'_>) -> bool {
        let mut in_full = false;
        for _ in 0..PAGES_MAX {
            let (first, fresh) =
                (self.directory.followed(log), self.directory.newest_head(log).map_or(0, Newest::fresh));
            let leaves = !std::mem::take(&mut in_full) && self.directory.shows_more(log);
            let page = line.log(&wire::DirectoryLogRequest { node: log.to_vec(), first, fresh, leaves });
            if page.head.is_empty() {
                return true;
            }
            match self.follow(log, &page, line.common) {
                Ok(()) => {}
                Err(LogFault::NotHeld) if leaves => in_full = true,
                Err(_) => return false,
            }
        }
        false
    }

    /// Takes a page of a log that holds, and what is sound of its records.
    pub(crate) fn follow(
        &mut self,
        log: NodeId,
        page: &wire::DirectoryLogReply,
        common: &mut Common,
    ) -> Result<(), LogFault> {
        let checked = match self.directory.check_page(log, page, common.now) {
            Ok(checked) => checked,
            Err(fault) => {
                common.tally.pages_refused += 1;
                if let LogFault::Forked(Some(_)) = &fault {
                    self.suspend(log, common);
                }
                if common.has(Flaw::TakesAnyPage) {
                    self.follow_blindly(log, page, common);
                }
                return Err(fault);
            }
        };
        common.tally.pages += 1;
        let records: Vec<wire::Signed> =
            page.entries.iter().filter_map(|entry| wire::Signed::decode(entry.as_slice()).ok()).collect();
        self.take(&records, common);
        page.entries.iter().for_each(|entry| common.keep(entry));
        self.directory.follow(&checked);
        self.changed(true);
        Ok(())
    }

    /// A planted bug: the entries count, whoever signed the head.
    fn follow_blindly(&mut self, log: NodeId, page: &wire::DirectoryLogReply, common: &mut Common) {
        let records: Vec<wire::Signed> =
            page.entries.iter().filter_map(|entry| wire::Signed::decode(entry.as_slice()).ok()).collect();
        self.take(&records, common);
        page.entries.iter().for_each(|entry| common.keep(entry));
        let entered: Vec<Entered> = page.entries.iter().map(|entry| Entered::of(entry)).collect();
        self.directory.take_entries(log, self.directory.followed(log), &entered);
        let kept = [&common.now.to_be_bytes()[..], &page.head].concat();
        if let Some(newest) = Newest::kept(&kept) {
            self.directory.take_newest(log, newest);
        }
        self.changed(true);
    }

    /// Remembers that a log showed two histories.
    pub(crate) fn suspend(&mut self, log: NodeId, common: &mut Common) {
        if !self.directory.is_suspended(log) {
            common.tally.proofs += 1;
            self.directory.suspend(log);
        }
    }

    /// At a coordinator: enters what is held and stands in its log not yet. The head over all of it, signed, if it is time
    /// to have it cosigned.
    pub(crate) fn enter(&mut self, common: &mut Common) -> Option<(Checkpoint, Note)> {
        let fresh = self.directory.to_enter(self.node).into_iter().take(ENTER_MAX);
        let entries: Vec<Vec<u8>> = fresh.map(wire::Signed::encode_to_vec).collect();
        if !entries.is_empty() {
            let entered: Vec<Entered> = entries.iter().map(|entry| Entered::of(entry)).collect();
            self.directory.take_entries(self.node, self.directory.followed(self.node), &entered);
            entries.iter().for_each(|entry| common.keep(entry));
            self.changed(true);
        }
        let head = self.directory.head_to_sign(self.node, self.org);
        let aged = |fresh: u64| common.now.saturating_sub(fresh) >= COSIGN_AGAIN_SECS;
        let newest = self.directory.newest_head(self.node);
        if head.size == 0 || newest.is_some_and(|newest| newest.size() == head.size && !aged(newest.fresh())) {
            return None;
        }
        let note = head.sign(&common.member(self.place).log()).unwrap();
        Some((head, note))
    }

    /// Asks one witness to cosign. `None` when it does not; an error when it shows that this node signed more than is here.
    pub(crate) fn ask(
        &self,
        line: &mut Line<'_>,
        key: &NoteKey,
        head: &Checkpoint,
        note: &Note,
    ) -> Option<Result<Note, ()>> {
        let mut old = self.directory.newest_head(self.node).map_or(0, Newest::size);
        for _ in 0..3 {
            let path = self.directory.consistency(self.node, old, head.size);
            match line.cosign(self.node, &Request { old, path, note: note.clone() }) {
                Ok(signed) => {
                    let by = signed.text() == head.text() && matches!(signed.signed_by(key), Ok(Some(_)));
                    let own = if line.common.has(Flaw::GathersEveryLine) { signed } else { signed.only(key) };
                    return by.then_some(Ok(own));
                }
                // Of a size alone, which anybody can say, nothing follows; here no disk is ever put back.
                Err(Some(WitnessFault::Conflict(size))) if size > head.size => {
                    return line.common.has(Flaw::BelievesASize).then_some(Err(()));
                }
                Err(Some(WitnessFault::Conflict(size))) if size != old => old = size,
                Err(_) => return None,
            }
        }
        None
    }

    /// Takes the head of its own log when enough cosigned it: from now on it is told to everybody.
    pub(crate) fn publish(&mut self, head: &Checkpoint, note: &Note, common: &mut Common) -> bool {
        let page = wire::DirectoryLogReply { head: note.to_string().into_bytes(), ..Default::default() };
        if self.follow(self.node, &page, common).is_err() {
            return false;
        }
        let size = usize::try_from(head.size).unwrap();
        common.show(self.directory.entered(self.node, 0, size));
        true
    }

    /// As a witness: cosigns a head that grows out of the last one it cosigned of this log.
    pub(crate) fn cosign(
        &mut self,
        from: NodeId,
        request: &Request,
        common: &mut Common,
    ) -> Result<Note, WitnessFault> {
        let log = self.directory.directory_log(from);
        let log = log.ok_or(WitnessFault::Checkpoint(clearhouse_protocol::log::note::NoteFault::NotSigned))?;
        let (held, signed) = self.cosigned.get(&from).map_or((Held::default(), None), |(h, n)| (h.clone(), Some(n)));
        let member = common.member(self.place);
        let name = audit::witness_name(common.region.net, member.org, member.node);
        match decide(request, &log, &held) {
            Ok(cosigning) => {
                self.cosigned.insert(from, (cosigning.held().clone(), cosigning.signed().clone()));
                Ok(cosigning.cosign(&name, &member.witness(), common.now).unwrap())
            }
            Err(_) if common.has(Flaw::CosignsAnything) => {
                let mut note = Note::unsigned(request.note.text().to_owned());
                note.cosign(&name, &member.witness(), common.now).unwrap();
                Ok(note)
            }
            Err(fault) => {
                if fault.is_proof() && signed.is_some() {
                    self.suspend(from, common);
                }
                Err(fault)
            }
        }
    }

    /// What a witness of the base directory's logs remembers: their heads there.
    pub(crate) fn remember(&mut self) {
        let logs: Vec<NodeId> = self.directory.directory_logs().map(|(node, _)| node).collect();
        for log in logs {
            let Some(newest) = self.directory.newest_head(log) else { continue };
            let head = Checkpoint::parse(newest.note().text()).unwrap();
            self.cosigned.insert(log, (Held { size: head.size, root: head.root }, newest.note().clone()));
        }
    }
}
