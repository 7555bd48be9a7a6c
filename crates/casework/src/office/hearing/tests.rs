//! Logs told, heard and proved between offices that exchange real envelopes.

use clearhouse_protocol::account::Shown;
use clearhouse_protocol::audit::{AuditEvent, Happening};
use clearhouse_protocol::envelope::{Outside, Reader, open};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::Digest;
use clearhouse_protocol::limits::{DAY, TAIL_MAX};
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::mail::Attempt;
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::{EventRow, Row, Table};
use clearhouse_wire::v1::MessageType;
use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::super::mailing::Deposit;
use super::super::telling::{ToTell, is_telling};
use super::super::{Me, Now, Office, Step};
use super::{Heard, Offered, Page, page_key};

/// An office with everything it recorded.
pub(in crate::office) struct Node {
    n: usize,
    pub(in crate::office) office: Office,
    pub(in crate::office) events: Vec<EventRow>,
    /// Every row it kept, in order.
    pub(in crate::office) rows: Vec<Row>,
    rng: ChaCha20Rng,
}

impl Node {
    pub(in crate::office) fn new(region: &Region, n: usize) -> Self {
        let member = &region.members[n];
        let me = Me {
            net: region.net,
            org: member.org,
            node: member.node,
            mailboxes: vec![member.mailbox],
            generation: 1,
            zone: crate::deadlines::Zone::utc(),
        };
        let mut office = Office::new(me, region.directory.clone());
        office.unlock();
        Self { n, office, events: Vec::new(), rows: Vec::new(), rng: ChaCha20Rng::seed_from_u64(n as u64) }
    }

    pub(in crate::office) fn act<T>(
        &mut self,
        region: &Region,
        at: u64,
        act: impl FnOnce(&Office, &mut Now<'_, ChaCha20Rng>) -> (Step, T),
    ) -> (Step, T) {
        let mut now = Now { time: at, rng: &mut self.rng, key: &region.members[self.n].sign };
        let (step, value) = act(&self.office, &mut now);
        for row in step.rows.iter().filter(|row| row.must_be_new) {
            let before = self.rows.iter().rev().find(|kept| kept.table == row.table && kept.key == row.key);
            assert!(before.is_none_or(|kept| kept.value.is_none()), "a store refuses a row that is not new");
        }
        self.office.take(&step);
        self.events.extend(step.events.iter().cloned());
        self.rows.extend(step.rows.iter().cloned());
        (step, value)
    }

    /// Records a message sent to another member.
    pub(in crate::office) fn send(&mut self, region: &Region, to: usize, digest: u8) {
        let peer = (region.members[to].org, region.members[to].node);
        let happening = Happening::of(AuditEvent::Sent).with(peer.0, peer.1).about(Digest([digest; 32]), 2);
        self.act(region, NOW, |office, now| (office.note_happening(&happening, now), ()));
    }

    fn leaves(&self) -> Vec<Hash> {
        self.events.iter().map(|row| leaf_hash(&row.commitment)).collect()
    }

    /// The head over everything so far, cosigned by these members.
    pub(in crate::office) fn head(&self, region: &Region, witnesses: &[usize]) -> Note {
        self.head_at(region, witnesses, NOW)
    }

    /// [`Node::head`], cosigned at this time.
    pub(in crate::office) fn head_at(&self, region: &Region, witnesses: &[usize], at: u64) -> Note {
        let member = &region.members[self.n];
        let origin = clearhouse_protocol::audit::origin(region.net, member.org, member.node, 1);
        let leaves = self.leaves();
        let head = Checkpoint { origin, size: leaves.len() as u64, root: merkle::root(&leaves) };
        let mut note = head.sign(&member.log()).unwrap();
        for witness in witnesses.iter().map(|n| &region.members[*n]) {
            let name = clearhouse_protocol::audit::witness_name(region.net, witness.org, witness.node);
            note.cosign(&name, &witness.witness(), at).unwrap();
        }
        note
    }

    /// Tells the coordinator everything from `tell.first` on; the sealed envelopes.
    pub(in crate::office) fn tell(&mut self, region: &Region, tell: ToTell, head: &Note, at: u64) -> Vec<Vec<u8>> {
        let shown: Vec<Shown> = self.events[tell.first as usize..].iter().map(|row| Shown::Open(row.clone())).collect();
        let head = head.to_string();
        let (step, ()) = self.act(region, at, |office, now| (office.tell(tell, &shown, &head, now).unwrap(), ()));
        envelopes(&step)
    }

    /// Takes envelopes in, and returns those that answer them.
    pub(in crate::office) fn take(&mut self, region: &Region, envelopes: Vec<Vec<u8>>, at: u64) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for bytes in envelopes {
            let outside = Outside::parse(&bytes).unwrap();
            let again = Outside::parse(&bytes).unwrap();
            self.act(region, at, |office, now| office.deposit(vec![Deposit { outside, bytes }], now));
            let member = &region.members[self.n];
            let me = Reader::new((member.org, member.node), &region.directory, at);
            let opened = open(&again, Some(member.prekey(at)), &me);
            let (step, ()) =
                self.act(region, at, |office, now| (office.opened(again.digest, opened, now).unwrap(), ()));
            answers.extend(envelopes_of(&step, region, self.n));
        }
        answers
    }

    fn heard(&self) -> Option<Heard> {
        self.office.heard().next().map(|(_, heard)| heard.clone())
    }
}

pub(in crate::office) fn envelopes(step: &Step) -> Vec<Vec<u8>> {
    let rows = step.rows.iter().filter(|row| row.table == Table::Envelope);
    rows.filter_map(|row: &Row| row.value.clone()).collect()
}

/// Envelopes that a step queued: those that are not addressed to its own node.
pub(in crate::office) fn envelopes_of(step: &Step, region: &Region, n: usize) -> Vec<Vec<u8>> {
    let own = region.members[n].mailbox;
    envelopes(step).into_iter().filter(|bytes| Outside::parse(bytes).is_ok_and(|o| o.mailbox != own)).collect()
}

/// A coordinator and two members, each with an office.
pub(in crate::office) fn region() -> (Region, Node, Node, Node) {
    let region = Region::with_coordinators(1, 3, 1);
    let nodes = [0, 1, 2].map(|n| Node::new(&region, n));
    let [coordinator, one, two] = nodes;
    (region, coordinator, one, two)
}

#[test]
fn a_log_is_heard_in_order_and_the_next_stretch_waits_for_the_receipt() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let tell = one.office.to_tell(NOW);
    assert_eq!(tell.iter().map(|t| (t.to.1, t.first)).collect::<Vec<_>>(), [(region.members[0].node, 0)]);
    let head = one.head(&region, &[0, 2]);
    let sent = one.tell(&region, tell[0], &head, NOW);
    assert!(one.office.to_tell(NOW + 10).is_empty(), "one is under way");
    let receipts = coordinator.take(&region, sent, NOW);
    let heard = coordinator.heard().unwrap();
    assert_eq!((heard.size, heard.head_size, heard.head_at, heard.contradiction.len()), (1, 1, NOW, 0));
    one.take(&region, receipts, NOW);
    assert_eq!(one.office.told()[0].took, 1);
    // Since then it has recorded the telling and its receipt.
    let next = one.office.to_tell(NOW + 2);
    assert_eq!(next[0].first, 1);
    let head = one.head(&region, &[0, 2]);
    let sent = one.tell(&region, next[0], &head, NOW + 2);
    let before = one.events.len() as u64 - 1;
    coordinator.take(&region, sent, NOW + 2);
    assert_eq!(coordinator.heard().unwrap().size, before);
}

#[test]
fn a_coordinator_that_lost_its_memory_hears_everything_again() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let head = one.head(&region, &[0, 2]);
    let tell = one.office.to_tell(NOW)[0];
    let sent = one.tell(&region, tell, &head, NOW);
    let receipts = coordinator.take(&region, sent, NOW);
    one.take(&region, receipts, NOW);
    let mut anew = Node::new(&region, 0);
    anew.rng = ChaCha20Rng::seed_from_u64(99);
    let head = one.head(&region, &[0, 2]);
    let tell = one.office.to_tell(NOW + 2)[0];
    assert!(tell.first > 0);
    let sent = one.tell(&region, tell, &head, NOW + 2);
    let refusals = anew.take(&region, sent, NOW + 2);
    assert!(anew.heard().is_none());
    one.take(&region, refusals, NOW + 2);
    assert_eq!(one.office.told()[0].took, 0, "an erasure does not rest on what nobody has any more");
    let tell = one.office.to_tell(NOW + 3)[0];
    assert_eq!(tell.first, 0);
    let head = one.head(&region, &[0, 2]);
    let sent = one.tell(&region, tell, &head, NOW + 3);
    anew.take(&region, sent, NOW + 3);
    assert_eq!(anew.heard().unwrap().size, one.events.len() as u64 - 1);
    // And one that hears again what it knows keeps what it has.
    let known = coordinator.heard().unwrap().size;
    let tell = ToTell { first: 0, ..tell };
    let head = one.head(&region, &[0, 2]);
    let sent = one.tell(&region, tell, &head, NOW + 4);
    coordinator.take(&region, sent, NOW + 4);
    assert!(coordinator.heard().unwrap().size > known);
}

#[test]
fn what_ended_without_an_answer_is_told_again_after_the_pause_and_a_quiet_log_once_a_day() {
    let (region, _, mut one, _) = region();
    one.send(&region, 2, 1);
    let head = one.head(&region, &[0, 2]);
    let tell = one.office.to_tell(NOW)[0];
    one.tell(&region, tell, &head, NOW);
    let (msg_id, _) = one.office.mail().all_outgoing().next().unwrap();
    // Its node could not open it: a clock that is wrong, for instance.
    let not_opened = Attempt::NotOpened;
    one.act(&region, NOW, |office, now| (office.attempted(msg_id, not_opened, now), ()));
    assert!(one.office.to_tell(NOW).is_empty(), "a node that opens nothing is not asked without end");
    let again = one.office.to_tell(NOW + 1);
    assert_eq!(again.iter().map(|t| (t.first, t.anyway)).collect::<Vec<_>>(), [(0, false)]);
    assert!(one.office.to_tell(NOW + DAY)[0].anyway);
}

#[test]
fn a_mirror_reaches_the_head_that_is_cosigned_and_takes_nothing_that_does_not_make_it() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let leaves = |node: &Node, from: usize| node.events[from..].iter().map(|row| row.commitment).collect::<Vec<_>>();
    let head = |node: &Node| (node.events.len() as u64, merkle::root(&node.leaves()));
    let node = region.members[1].node;
    // Before its first account it is mirrored from its first entry on, and not heard of for that.
    let kept = |at: &Node, first: usize, leaves: &[Hash], head: (u64, Hash)| {
        let mirrored = at.office.mirror(node, Offered { first: first as u64, leaves, path: &[] }, head);
        assert_eq!(mirrored.reaches, mirrored.up_to == head.0);
        (mirrored.reaches, mirrored.up_to, mirrored.rows)
    };
    let no = |(reaches, _, rows): (bool, u64, Vec<Row>)| !reaches && rows.is_empty();
    assert!(no(kept(&one, 0, &leaves(&one, 0), head(&one))), "not at a member");
    assert!(no(kept(&coordinator, 1, &leaves(&one, 1), head(&one))), "a gap");
    let (reaches, up_to, rows) = kept(&coordinator, 0, &leaves(&one, 0), head(&one));
    assert!(reaches && up_to == one.events.len() as u64);
    coordinator.office.apply(&rows);
    assert_eq!(coordinator.office.mirrored(node).unwrap().tail, leaves(&one, 0).concat());
    assert!(coordinator.office.heard().next().is_none());
    let tell = one.office.to_tell(NOW)[0];
    let note = one.head(&region, &[0, 2]);
    let sent = one.tell(&region, tell, &note, NOW);
    let receipts = coordinator.take(&region, sent, NOW);
    one.take(&region, receipts, NOW);
    one.send(&region, 2, 2);
    let (heard, all) = (coordinator.heard().unwrap().size, head(&one));
    assert!(all.0 > heard + 1);
    let mirror = |first: usize, leaves: &[Hash], head| kept(&coordinator, first, leaves, head);
    let at = heard as usize;
    assert!(no(mirror(at, &leaves(&one, at + 1), all)), "one is left out");
    assert!(no(mirror(at + 1, &leaves(&one, at + 1), all)), "a gap");
    assert!(no(mirror(at, &leaves(&one, at), (all.0, [7; 32]))), "another root");
    assert!(no(mirror(at, &leaves(&one, at), (all.0 - 1, all.1))), "another size");
    assert!(no(mirror(at, &vec![[1; 32]; TAIL_MAX + 1], all)), "too many");
    for first in [0, at] {
        let (_, _, rows) = mirror(first, &leaves(&one, first), all);
        let kept = Heard::decode(rows[0].value.as_deref().unwrap()).unwrap();
        assert_eq!((kept.size, kept.tail), (heard, leaves(&one, at).concat()));
    }
    // The next account takes over from the tail what it brings.
    let (.., rows) = mirror(at, &leaves(&one, at), all);
    coordinator.office.apply(&rows);
    let tell = one.office.to_tell(NOW + 2)[0];
    let note = one.head(&region, &[0, 2]);
    let beyond = one.events.len();
    let sent = one.tell(&region, tell, &note, NOW + 2);
    coordinator.take(&region, sent, NOW + 2);
    let after = coordinator.heard().unwrap();
    assert_eq!((after.size, after.tail.len()), (beyond as u64, 0));
}

#[test]
fn what_entries_say_is_deleted_page_by_page_and_the_tree_goes_on() {
    let (region, mut coordinator, mut one, _) = region();
    let mut kept = Vec::new();
    for round in 0..2 {
        one.send(&region, 2, round);
        let tell = one.office.to_tell(NOW + 2 * u64::from(round))[0];
        let head = one.head(&region, &[0, 2]);
        let sent = one.tell(&region, tell, &head, NOW);
        let receipts = coordinator.take(&region, sent, NOW);
        one.take(&region, receipts, NOW);
        kept.push(tell.first);
    }
    let node = region.members[1].node;
    let rows = coordinator.rows.iter().filter(|row| row.table == Table::Account && row.value.is_some());
    let pages: Vec<(u64, Page)> =
        kept.iter().copied().zip(rows.map(|row| Page::decode(row.value.as_deref().unwrap()).unwrap())).collect();
    assert_eq!(pages.len(), 2);
    let before = coordinator.heard().unwrap();
    let mut close = |pages: &[(u64, Page)]| {
        let pages = pages.to_vec();
        coordinator.act(&region, NOW, |office, now| {
            let step = office.close_pages(node, &pages, now);
            let done = step.is_some();
            (step.unwrap_or_default(), done)
        })
    };
    assert!(!close(&pages[1..]).1, "the first page comes first");
    let (step, done) = close(&pages[..1]);
    assert!(done && step.events.len() == 1);
    let closed = step.rows.iter().find(|row| row.table == Table::Account).unwrap();
    let bytes = closed.value.as_deref().unwrap();
    assert_eq!(closed.key, page_key(&before.origin, 0));
    let closed = Page::decode(bytes).unwrap();
    for (was, is) in pages[0].1.entries.iter().zip(&closed.entries) {
        assert_eq!(was.commitment, is.commitment);
        assert!(is.salt.is_empty() && is.opening.is_empty());
        assert!(!bytes.windows(was.salt.len()).any(|window| window == was.salt));
    }
    assert!(!close(&pages[..1]).1, "once");
    let after = coordinator.heard().unwrap();
    assert_eq!((after.first, after.size, &after.edge), (pages[1].0, before.size, &before.edge));
    // What comes later is heard as before.
    one.send(&region, 2, 9);
    let tell = one.office.to_tell(NOW + 9)[0];
    let head = one.head(&region, &[0, 2]);
    let sent = one.tell(&region, tell, &head, NOW + 9);
    coordinator.take(&region, sent, NOW + 9);
    let later = coordinator.heard().unwrap();
    assert!(later.size > before.size && later.first == pages[1].0 && later.contradiction.is_empty());
}

#[test]
fn what_is_urgent_does_not_wait_for_the_pause_unless_it_is_refused() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let head = one.head(&region, &[0, 2]);
    let tell = one.office.to_tell(NOW)[0];
    let sent = one.tell(&region, tell, &head, NOW);
    let urgent = one.office.urgent_row(0, NOW);
    one.office.apply([&urgent]);
    let receipts = coordinator.take(&region, sent, NOW);
    one.take(&region, receipts, NOW);
    assert!(one.office.to_tell(NOW).is_empty(), "it was told with the first");
    let urgent = one.office.urgent_row(one.events.len() as u64, NOW);
    one.office.apply([&urgent]);
    let next = one.office.to_tell(NOW);
    assert_eq!(next.iter().map(|tell| tell.first).collect::<Vec<_>>(), [1]);
    // A coordinator that refuses is asked again after the pause, and no sooner.
    let head = one.head(&region, &[0, 2]);
    one.tell(&region, next[0], &head, NOW);
    let (msg_id, _) = one.office.mail().all_outgoing().max_by_key(|(_, out)| (out.msg_type == 101, out.seq)).unwrap();
    let urgent = one.office.urgent_row(one.events.len() as u64, NOW);
    let refusal = clearhouse_wire::v1::Receipt {
        stage: clearhouse_wire::v1::Stage::Refused.into(),
        refusal: clearhouse_wire::v1::RefusalCode::Malformed.into(),
        ..Default::default()
    };
    let told = one.office.account_answered(msg_id, region.members[0].node, &refusal).unwrap();
    let settled = one.office.mail().settle(msg_id, region.members[0].node, NOW).unwrap();
    one.office.apply(settled.iter().chain([&urgent, &told]));
    assert!(one.office.to_tell(NOW).is_empty());
    assert_eq!(one.office.to_tell(NOW + 1).len(), 1);
    // Nor is one that has to hear everything again, and says so each time.
    let again = clearhouse_wire::v1::Receipt {
        refusal: clearhouse_wire::v1::RefusalCode::OutOfOrder.into(),
        ..refusal.clone()
    };
    let next = one.office.to_tell(NOW + 1)[0];
    let head = one.head(&region, &[0, 2]);
    one.tell(&region, next, &head, NOW + 1);
    let (msg_id, _) = one.office.mail().all_outgoing().max_by_key(|(_, out)| (out.msg_type == 101, out.seq)).unwrap();
    let told = one.office.account_answered(msg_id, region.members[0].node, &again).unwrap();
    let settled = one.office.mail().settle(msg_id, region.members[0].node, NOW + 1).unwrap();
    one.office.apply(settled.iter().chain([&told]));
    assert!(one.office.to_tell(NOW + 1).is_empty());
    assert_eq!(one.office.to_tell(NOW + 2).iter().map(|tell| tell.first).collect::<Vec<_>>(), [0]);
}

#[test]
fn who_is_no_coordinator_hears_nothing() {
    let (region, _, mut one, mut two) = region();
    one.send(&region, 2, 1);
    let head = one.head(&region, &[0, 2]);
    let to = (region.members[2].org, region.members[2].node);
    let sent = one.tell(&region, ToTell { to, first: 0, anyway: false }, &head, NOW);
    let answers = two.take(&region, sent, NOW);
    assert!(two.heard().is_none());
    one.take(&region, answers, NOW);
    assert!(one.office.told()[0].refused, "and it says so");
}

#[test]
fn attack_22_a_log_that_shows_another_past_contradicts_itself() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let head = one.head(&region, &[0, 2]);
    let tell = one.office.to_tell(NOW)[0];
    let sent = one.tell(&region, tell, &head, NOW);
    coordinator.take(&region, sent, NOW);
    // The same node with another first entry: what it shows now does not grow out of what was heard.
    let mut other = Node::new(&region, 1);
    for digest in [7, 8] {
        other.send(&region, 2, digest);
    }
    let head = other.head(&region, &[]);
    let sent = other.tell(&region, ToTell { first: 1, ..tell }, &head, NOW);
    coordinator.take(&region, sent, NOW);
    let heard = coordinator.heard().unwrap();
    assert_eq!((heard.size, heard.contradiction), (1, head.to_string().into_bytes()));
}

#[test]
fn mail_about_logs_makes_nobody_tell() {
    let (region, _, mut one, _) = region();
    let peer = (region.members[2].org, region.members[2].node);
    let mut said = |event, class: MessageType| {
        let happening = Happening::of(event).with(peer.0, peer.1).about(Digest([1; 32]), class as u32);
        let (step, ()) = one.act(&region, NOW, |office, now| (office.note_happening(&happening, now), ()));
        is_telling(&step.events)
    };
    for class in [MessageType::Receipt, MessageType::Audit, MessageType::Proofs] {
        assert!(!said(AuditEvent::Sent, class) && !said(AuditEvent::AuditReceived, class));
    }
    assert!(!said(AuditEvent::Deposited, MessageType::Unspecified));
    assert!(!said(AuditEvent::ReceiptSent, MessageType::Unspecified));
    assert!(said(AuditEvent::Sent, MessageType::ReturnNotice));
    assert!(said(AuditEvent::SignIn, MessageType::Unspecified));
}

/// What the other end owes for one message that it says it received, proved under a head with these witnesses.
fn proved_by(region: &Region, one: &mut Node, two: &mut Node, witnesses: &[usize]) -> bool {
    let peer = (region.members[1].org, region.members[1].node);
    // A message of the first node, as its mailroom has it.
    let head = one.head(region, &[0, 2]);
    let tell = ToTell { to: (region.members[2].org, region.members[2].node), first: 0, anyway: false };
    let sent = one.tell(region, tell, &head, NOW);
    let digest = Outside::parse(&sent[0]).unwrap().digest;
    let happening = Happening::of(AuditEvent::AuditReceived).with(peer.0, peer.1).about(digest, 2);
    two.act(region, NOW, |office, now| (office.note_happening(&happening, now), ()));
    let (size, events) = (two.events.len() as u64, two.events.clone());
    two.act(region, NOW, |office, _| (office.owe(size, &events), ()));
    assert_eq!(two.office.proofs_cursor(), size);
    let (to, owed) = two.office.owed().remove(0);
    assert_eq!((to, owed.last()), (peer, Some(&(size - 1))));
    let head = two.head(region, witnesses).to_string();
    let leaves = two.leaves();
    let entries: Vec<_> =
        owed.iter().map(|i| (two.events[*i as usize].clone(), merkle::path(&leaves, *i as usize))).collect();
    let (step, ()) = two.act(region, NOW, |office, now| (office.send_proofs(to, &head, &entries, now).unwrap(), ()));
    assert!(two.office.owed().is_empty(), "what was sent is owed no more");
    assert!(one.take(region, envelopes(&step), NOW).is_empty(), "nobody answers a proof");
    let (_, out) = one.office.mail().all_outgoing().find(|(_, out)| out.digest == digest.0).unwrap();
    out.proved_at == NOW
}

#[test]
fn what_the_other_end_did_is_proved_under_a_head_that_a_quorum_cosigned() {
    let (region, _, mut one, mut two) = region();
    one.send(&region, 2, 1);
    assert!(proved_by(&region, &mut one, &mut two, &[0, 1]));
}

#[test]
fn each_message_is_marked_once_however_many_proofs_of_it_come_together_and_all_are_kept() {
    let (region, _, mut one, mut two) = region();
    one.send(&region, 2, 1);
    let peer = (region.members[1].org, region.members[1].node);
    let head = one.head(&region, &[0, 2]);
    let tell = |first| ToTell { to: (region.members[2].org, region.members[2].node), first, anyway: true };
    let digests: Vec<Digest> = [0, 1]
        .into_iter()
        .flat_map(|_| one.tell(&region, tell(0), &head, NOW))
        .map(|bytes| Outside::parse(&bytes).unwrap().digest)
        .collect();
    let marked = [digests[0], *digests.last().unwrap()];
    assert_ne!(marked[0], marked[1]);
    for (event, digest) in [
        (AuditEvent::AuditReceived, marked[0]),
        (AuditEvent::AuditOpened, marked[0]),
        (AuditEvent::AuditReceived, marked[1]),
    ] {
        let happening = Happening::of(event).with(peer.0, peer.1).about(digest, 2);
        two.act(&region, NOW, |office, now| (office.note_happening(&happening, now), ()));
    }
    let (head, leaves) = (two.head(&region, &[0, 1]).to_string(), two.leaves());
    let entry = |n: usize| (two.events[n].clone(), merkle::path(&leaves, n));
    let entries: Vec<_> = (two.events.len() - 3..two.events.len()).map(entry).collect();
    let (step, ()) = two.act(&region, NOW, |office, now| (office.send_proofs(peer, &head, &entries, now).unwrap(), ()));
    let before = one.rows.len();
    one.take(&region, envelopes(&step), NOW);
    let rows = &one.rows[before..];
    let count = |table| rows.iter().filter(|row| row.table == table && row.value.is_some()).count();
    assert_eq!((count(Table::Outbox), count(Table::Receipt)), (2, 3));
    let proved = one.office.mail().all_outgoing().filter(|(_, out)| out.proved_at == NOW).count();
    assert_eq!(proved, 2);
}

#[test]
fn attack_29_a_proof_under_a_head_without_a_quorum_proves_nothing() {
    for witnesses in [&[][..], &[1], &[0]] {
        let (region, _, mut one, mut two) = region();
        one.send(&region, 2, 1);
        assert!(!proved_by(&region, &mut one, &mut two, witnesses), "{witnesses:?}");
    }
}

#[test]
fn an_account_under_way_in_an_old_copy_is_told_again_without_a_pause_and_taken_once() {
    let (region, mut coordinator, mut one, _) = region();
    one.send(&region, 2, 1);
    let head = one.head(&region, &[0, 2]);
    let tell = one.office.to_tell(NOW)[0];
    // The receipt comes to the living node, and the copy does not know it.
    let sent = one.tell(&region, tell, &head, NOW);
    coordinator.take(&region, sent, NOW);
    let (msg_id, _) = one.office.mail().all_outgoing().next().unwrap();
    one.act(&region, NOW, |office, now| (office.attempted(msg_id, Attempt::Stored { locked: false }, now), ()));
    assert!(one.office.to_tell(NOW + 1).is_empty(), "its answer is waited for");
    one.act(&region, NOW, |office, _| (Step { rows: office.move_on(NOW), ..Step::default() }, ()));
    let again = one.office.to_tell(NOW + 1)[0];
    assert_eq!(again.first, 0);
    let (head, before) = (one.head(&region, &[0, 2]), coordinator.heard().unwrap().size);
    let sent = one.tell(&region, again, &head, NOW + 1);
    let receipts = coordinator.take(&region, sent, NOW + 1);
    assert!(coordinator.heard().unwrap().size >= before && coordinator.heard().unwrap().contradiction.is_empty());
    one.take(&region, receipts, NOW + 1);
    assert!(one.office.told()[0].took >= before);
}
