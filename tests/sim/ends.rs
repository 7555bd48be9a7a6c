//! How a run ends: the storm is over, every node starts and opens, time runs until nothing moves, then past the life of
//! every envelope. And what must be true then.

use clearhouse_casework::case::{Case, Fact, Fired, Letter};
use clearhouse_casework::deadlines::Rule;
use clearhouse_casework::office::cases::{Document, document_key};
use clearhouse_protocol::audit;
use clearhouse_protocol::ids::{CaseId, Digest, MsgId};
use clearhouse_protocol::limits::{DAY, ENVELOPE_LIFE_SECS, HOUR, REPLAY_MEMORY_SECS};
use clearhouse_protocol::mail::Delivery;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store as _;

use super::Violation;
use super::canary;
use super::net::{FAIR, Site};
use super::node::{Ask, BEHIND, KEEPER, Records, SITES, read};
use super::owner::Meets;
use super::portrait::fate;
use super::world::{SKEW_MAX, World};

/// Rounds within which a fair net must bring everything to rest, each a quarter of an hour at most.
const ROUNDS_MAX: u32 = 400;

/// Least time between two of them.
const PATIENCE_SECS: u64 = 30;

/// A case at one of its ends.
type End = (Site, CaseId);

fn list(case: &Case) -> String {
    let line = |l: &Letter| format!("{} out {} {:?} {}", l.id(), l.is_out(), l.kind(), fate(l));
    case.letters().iter().map(line).collect::<Vec<_>>().join("\n ")
}

impl World {
    /// Calm weather until everything that can arrive has arrived.
    pub(super) fn calm(&mut self) -> Result<(), Violation> {
        self.net.weather = FAIR;
        self.net.heal();
        let dead = self.dead;
        for site in (0..SITES).filter(|site| dead != Some(*site)) {
            self.nodes[site].start(true, Records::Checked, self.time)?;
            self.lock(site, false)?;
        }
        for _ in 0..ROUNDS_MAX {
            self.clocks_are_right();
            for site in 0..SITES {
                self.ask(site, Ask::Tick)?;
            }
            self.everybody()?;
            match self.next_due().into_iter().chain(self.net.next_arrival()).min() {
                // What waits behind another looks due already.
                Some(next) => self.time = next.max(self.time + PATIENCE_SECS),
                None => return Ok(()),
            }
        }
        Err(Violation::new(format!(
            "P3: still under way after days of a fair net: {}",
            self.under_way().join("\n    ")
        )))
    }

    /// Messages that have not come to their end, and how the letter stands at the other side.
    fn under_way(&self) -> Vec<String> {
        let describe = |(msg_id, mail): (MsgId, &super::model::Mail)| {
            let out = self.nodes[mail.from].up.as_ref()?.office.mail().outgoing(msg_id)?;
            let state = Delivery::of(out);
            let digest = Digest::try_from(out.digest.as_slice()).ok()?;
            let there = self.nodes[mail.to].up.as_ref()?.office.mail().letter(digest).map(|l| l.state);
            let open = matches!(state, Delivery::Queued | Delivery::Stored);
            let (from, to) = (mail.from, mail.to);
            let wait = out.next_try.saturating_sub(self.nodes[from].clock(self.time));
            let in_hand = self.nodes[from].up.as_ref()?.errands.contains_key(&msg_id);
            let word = format!(
                "{msg_id} {from} to {to}: {state:?}, fault {}, letter {there:?}, tried in {wait} s, in hand {in_hand}",
                out.fault
            );
            open.then_some(word)
        };
        self.model.mail().filter_map(describe).collect()
    }

    /// Time runs past the life of every envelope.
    pub(super) fn months(&mut self) -> Result<(), Violation> {
        for days in [1, 3, 8, ENVELOPE_LIFE_SECS / DAY + 1] {
            self.time += days * DAY;
            self.clocks_are_right();
            for _ in 0..3 {
                for site in 0..SITES {
                    self.ask(site, Ask::Tick)?;
                }
                self.everybody()?;
            }
        }
        Ok(())
    }

    /// Everybody does everything there is to do now.
    fn everybody(&mut self) -> Result<(), Violation> {
        for _ in 0..12 {
            self.fetch()?;
            for site in 0..SITES {
                self.courier(site)?;
                self.opener(site)?;
                while self.nodes[site].up.as_ref().is_some_and(|up| !up.inbox.is_empty()) {
                    self.owner(site, Meets::Nothing)?;
                }
            }
            while let Some(packet) = self.net.arrive(self.time, &mut self.dice) {
                self.arrive(packet)?;
            }
        }
        Ok(())
    }

    /// One site stays away for good: its disk may be broken, or its office closed. Who has to do with it waits for nothing
    /// else.
    pub(super) fn loses_one(&mut self) -> Result<(), Violation> {
        let site = self.dice.index(SITES);
        self.audit(site)?;
        self.note(format!("site {site} does not come back"));
        self.nodes[site].crash();
        self.dead = Some(site);
        Ok(())
    }

    /// Whether a message between two sites can come to its end by a fair net.
    fn can_move(&self, from: Site, to: Site) -> bool {
        let away = |site: Site| self.dead == Some(site) || (self.dead == Some(KEEPER) && site == BEHIND);
        !self.model.is_cut(from, to) && !away(from) && !away(to)
    }

    /// When something is due next, of what a fair net can still move.
    fn next_due(&self) -> Option<u64> {
        let due = |site: Site| {
            let now = self.nodes[site].clock(self.time);
            let up = self.nodes[site].up.as_ref()?;
            let open = up.office.mail().all_outgoing().filter(|(id, out)| {
                let moves = self.model.one(*id).is_some_and(|m| self.can_move(m.from, m.to));
                matches!(Delivery::of(out), Delivery::Queued | Delivery::Stored) && out.expires > now && moves
            });
            let next = open.map(|(_, out)| out.next_try).min()?;
            Some(self.time + next.saturating_sub(now))
        };
        (0..SITES).filter_map(due).min()
    }

    /// After the calm: both ends of a case say the same, and have the same papers. A clock may run out at one end some
    /// minutes before the other, so they are asked again before it counts.
    pub(super) fn both_ends_agree(&mut self) -> Result<(), Violation> {
        if self
            .ends()
            .into_iter()
            .any(|(here, there)| self.case(here).map(Case::state) != self.case(there).map(Case::state))
        {
            self.time += 2 * SKEW_MAX + HOUR;
            self.calm()?;
        }
        for (here, there) in self.ends() {
            let (Some(case), Some(peer)) = (self.case(here), self.case(there)) else { continue };
            // What ran out on the way is known at one end only.
            let lost = |l: &Letter| l.is_out() && matches!(fate(l).as_str(), "expired" | "failed");
            let whole = !case.letters().iter().chain(peer.letters()).any(lost);
            if whole && case.state() != peer.state() {
                let said =
                    format!("{:?} and {:?}\n {}\n  and\n {}", case.state(), peer.state(), list(case), list(peer));
                return Err(Violation::new(format!("{here:?} and {there:?} disagree: {said}")));
            }
            self.same_papers(here.0, case, there.0, peer)?;
        }
        Ok(())
    }

    /// Each case that both ends have and that nobody was put out of: where it was sent from, and where it was received.
    fn ends(&self) -> Vec<(End, End)> {
        let mut ends = Vec::new();
        for here in 0..SITES {
            let Some(cases) = self.nodes[here].up.as_ref().and_then(|up| up.office.cases()) else { continue };
            for case in cases.iter().filter(|c| !c.is_receiver()) {
                let own = self.nodes[here].member().org;
                let there = (0..SITES).find(|s| self.nodes[*s].member().org == case.peer_org());
                let Some(there) = there.filter(|there| self.can_move(here, *there)) else { continue };
                let office = self.nodes[there].up.as_ref().map(|up| &up.office);
                let peer = office.and_then(|o| o.cases()?.in_conversation(case.conversation(), own));
                ends.extend(peer.map(|peer| ((here, case.id()), (there, peer.id()))));
            }
        }
        ends
    }

    fn case(&self, (site, case): End) -> Option<&Case> {
        self.nodes[site].up.as_ref()?.office.cases()?.case(case)
    }

    fn same_papers(&self, here: Site, case: &Case, there: Site, peer: &Case) -> Result<(), Violation> {
        let paper = |site: Site, case, msg_id, what| {
            let (key, _) = document_key(case, msg_id, what);
            let up = self.nodes[site].up.as_ref()?;
            up.ledger.read(Table::Document, &key).ok().flatten()
        };
        for letter in peer.letters().iter().filter(|l| !l.is_out()) {
            let Some(body) = letter.body() else { continue };
            for (class, _) in body.parts() {
                let what = Document::Part(class);
                let (sent, came) =
                    (paper(here, case.id(), letter.id(), what), paper(there, peer.id(), letter.id(), what));
                if sent.is_none() || sent != came {
                    return Err(Violation::new(format!(
                        "P1: the part {class:?} of {} is not what was sent",
                        letter.id()
                    )));
                }
            }
        }
        Ok(())
    }

    /// At the very end: nothing is under way, nothing is gone, nothing happened twice.
    pub(super) fn judge(&self) -> Result<(), Violation> {
        for (msg_id, mail) in self.model.mail().filter(|(_, mail)| self.dead != Some(mail.from)) {
            self.judge_message(msg_id, mail)?;
        }
        self.nothing_kept_is_lost()?;
        for (site, digest, expires) in self.model.receipts() {
            // What was kept for another was looked for above, and is opened there.
            let is_kept = site == KEEPER && self.model.was_kept(digest);
            let site = if is_kept { BEHIND } else { site };
            let now = self.nodes[site].clock(self.time);
            let Some(up) = self.nodes[site].up.as_ref() else { continue };
            let letter = up.office.mail().letter(digest);
            if letter.is_none() && !is_kept && expires + REPLAY_MEMORY_SECS >= now {
                return Err(Violation::new(format!("P1: site {site} signed for {digest} and does not have it")));
            }
            if letter.is_some_and(|l| l.state == 1) {
                return Err(Violation::new(format!("P3: the letter {digest} at site {site} was never opened")));
            }
        }
        (0..SITES).try_for_each(|site| {
            self.dated_in_order(site)?;
            self.judge_site(site)
        })
    }

    fn judge_message(&self, msg_id: MsgId, mail: &super::model::Mail) -> Result<(), Violation> {
        let office = self.nodes[mail.from].up.as_ref().map(|up| &up.office);
        let broken = |what: &str| Err(Violation::new(format!("message {msg_id} of site {}: {what}", mail.from)));
        let Some(out) = office.and_then(|o| o.mail().outgoing(msg_id)) else {
            return broken("P3: it is gone without a word");
        };
        let effects = self.model.effects(mail.to, msg_id);
        let refused = self.model.was_not_taken(mail.to, msg_id);
        match Delivery::of(out) {
            Delivery::Queued | Delivery::Stored => return broken("P3: it never came to an end"),
            Delivery::Settled if !mail.is_receipt && effects == 0 && !refused && !self.answered_refusal(msg_id) => {
                return broken("P2: it was answered and had no effect");
            }
            Delivery::Recalled if !mail.has_left() && effects > 0 => return broken("it never left and had an effect"),
            Delivery::NotOpened if effects > 0 => return broken("it was not opened and had an effect"),
            Delivery::Recalled | Delivery::Settled | Delivery::NotOpened | Delivery::Expired => {}
        }
        let case = mail.case.and_then(|id| office?.cases()?.case(id));
        if let Some(letter) = case.and_then(|c| c.letter(msg_id)) {
            let shown = fate(letter);
            if shown == "waiting" || shown.starts_with("stored") {
                return broken("P3: the person who sent it still sees it under way");
            }
            let alarm = |f: &Fired| f.rule == Rule::NodeReceipt && f.about == Some(msg_id);
            if matches!(shown.as_str(), "expired" | "failed") && !case.is_some_and(|c| c.fired().iter().any(alarm)) {
                return broken("P3: it did not arrive, and no alarm was written down");
            }
        } else if mail.case.is_some() {
            return broken("P5: its case does not know it");
        }
        Ok(())
    }

    /// A notice that opened no case there is refused without a fact; the receipt says so.
    fn answered_refusal(&self, msg_id: MsgId) -> bool {
        let mail = self.model.one(msg_id);
        let case = mail.and_then(|m| self.nodes[m.from].up.as_ref()?.office.cases()?.case(m.case?));
        case.and_then(|c| c.letter(msg_id)).is_some_and(|l| fate(l).starts_with("refused"))
    }

    fn judge_site(&self, site: Site) -> Result<(), Violation> {
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        let store = up.ledger.store();
        let mut expected = 0;
        while expected < store.event_count() {
            let page = store.events(expected, 256).map_err(Violation::because("events cannot be read"))?;
            for leaf in page {
                let event =
                    up.ledger.vault().open_event(&leaf).map_err(Violation::because("an event does not open"))?;
                if leaf.index != expected || audit::reveal(&event.commitment, &event.salt, &event.opening).is_none() {
                    return Err(Violation::new(format!("P5: event {expected} of site {site} is not whole")));
                }
                expected += 1;
            }
        }
        if expected != up.office.event_count() {
            return Err(Violation::new(format!("P5: site {site} counts other events than it has")));
        }
        self.judge_facts(site)?;
        self.judge_locked(site)
    }

    /// Counts effects once more, in the facts as they lie on the disk.
    fn judge_facts(&self, site: Site) -> Result<(), Violation> {
        let Some(up) = self.nodes[site].up.as_ref() else { return Ok(()) };
        let mut taken = std::collections::BTreeSet::new();
        for row in read(&up.ledger, &[Table::Fact])? {
            if let Ok(Fact::MessageIn(f)) = Fact::decode(row.value.as_deref().unwrap_or_default())
                && !taken.insert(f.msg_id.clone())
            {
                return Err(Violation::new(format!("P2: site {site} has the fact of one message twice")));
            }
        }
        Ok(())
    }

    /// Whoever has the disk and the keys of a locked node reads nothing a person said.
    fn judge_locked(&self, site: Site) -> Result<(), Violation> {
        let (_, ledger) = self.nodes[site].shadow(false)?;
        for table in Table::ALL.into_iter().filter(|t| *t != Table::Wrap) {
            let loaded = ledger.load(&[table]).map_err(Violation::because("a table cannot be read"))?;
            let seen = loaded.rows.iter().find_map(|row| canary::find(row.value.as_deref().unwrap_or_default()));
            if let Some(word) = seen {
                return Err(Violation::new(format!("P10: site {site} is locked and {word:?} opens from {table:?}")));
            }
        }
        Ok(())
    }
}
