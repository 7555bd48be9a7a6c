//! Erasing on a real disk, cut short at every commit: nobody is locked out, nobody else is lost, and it comes to its end.

use std::path::{Path, PathBuf};

use clearhouse_casework::case::erase::ErasureRule;
use clearhouse_casework::consent::history::History;
use clearhouse_casework::office::erasing::Order;
use clearhouse_casework::office::mailing::Deposit;
use clearhouse_casework::office::{Office, Step};
use clearhouse_casework::roles::{Actor, Role};
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::envelope::{Letter, Outside, seal};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::StaffId;
use clearhouse_protocol::limits::{CONSENT_HISTORY_KEPT_SECS, DAY};
use clearhouse_protocol::mail;
use clearhouse_store::DurableStore;
use clearhouse_store::faulty::{Fault, Faulty};
use clearhouse_store::keyfile::{ContentKeys, DeviceSecret, KeyFile, NewSlot, Opens, ServiceKeys, SlotSecret};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::passphrase::Credential;
use clearhouse_store::vault::Vault;

use super::*;

/// A word of the erased case.
const NAME: &str = "Ileana Canary";

struct Node {
    dir: tempfile::TempDir,
    region: Region,
    world: World<Faulty<DurableStore>>,
    keys: Opened,
}

fn actor(role: Role) -> Actor {
    Actor { staff_id: StaffId([role as u8; 16]), label: "Mira M.".into(), role }
}

fn office(region: &Region) -> Office {
    crate::fixture::office(region, 0, region.directory.clone())
}

fn opened(dir: &Path) -> Opened {
    let device = DeviceSecret::open(&dir.join("device")).unwrap();
    let secret = Credential::from_file(&dir.join("credential")).unwrap();
    KeyFile::open(&dir.join("keys")).unwrap().unlock(&SlotSecret::Credential(&secret), &device).unwrap()
}

impl Node {
    fn new() -> Self {
        let (dir, mut rng) = (tempfile::tempdir().unwrap(), chance());
        let region = Region::new(1, 2);
        let device = DeviceSecret::create(&dir.path().join("device"), &mut rng).unwrap();
        let secret = Credential::create(&dir.path().join("credential"), &mut rng).unwrap();
        let parts = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
        let slots = [NewSlot::Credential { secret: &secret, opens: Opens::Both }];
        let whose = (region.net, region.members[0].node);
        let keys = KeyFile::create(&dir.path().join("keys"), whose, parts, &slots, &device, &mut rng).unwrap();
        let (world, keys) = Self::load(dir.path(), &region, keys);
        Self { dir, region, world, keys }
    }

    fn load(dir: &Path, region: &Region, keys: Opened) -> (World<Faulty<DurableStore>>, Opened) {
        let (store, findings) = DurableStore::open(&dir.join("store")).unwrap();
        assert!(findings.iter().all(|f| f.weight() == clearhouse_store::Weight::Note), "{findings:?}");
        let vault = Vault::new(keys.service(), keys.content()).unwrap();
        let (world, loaded) = World::load(office(region), Ledger::new(Faulty::new(store), vault)).unwrap();
        assert!(loaded.damaged.is_empty() && loaded.locked == 0);
        (world, keys)
    }

    /// A process that died and started again.
    fn restart(self) -> Self {
        let Self { dir, region, world, .. } = self;
        drop(world);
        let keys = opened(dir.path());
        let (mut world, keys) = Self::load(dir.path(), &region, keys);
        world.finish_plans().unwrap();
        Self { dir, region, world, keys }
    }

    fn act<T>(&mut self, act: impl FnOnce(&Office, &mut Now<'_, Chance>) -> (Step, T)) -> T {
        let mut rng = chance();
        let mut now = Now { time: NOW, rng: &mut rng, key: &self.region.members[0].sign };
        let (step, value) = act(&self.world.office, &mut now);
        self.world.ledger.commit(&step.rows, &step.events, &mut chance()).unwrap();
        self.world.office.take(&step);
        value
    }

    /// A case with a consent that carries the name where an office should write none.
    fn case(&mut self, name: &str) -> CaseId {
        let peer = self.region.members[1].org;
        let ana = actor(Role::Caseworker);
        let id = self.act(|office, now| office.open_case(&ana, peer, now).unwrap());
        let consent = wire::Consent {
            id: vec![7; 16],
            purpose: "ShareNotice".into(),
            recipient_org: peer.to_vec(),
            given_by: "Person".into(),
            form: "Written".into(),
            language: "ron".into(),
            given_at: NOW - DAY,
            expires_at: NOW + 90 * DAY,
            ..wire::Consent::default()
        };
        self.act(|office, now| (office.record_consent(id, &ana, consent, now).unwrap(), ()));
        // Drafts are rows of a case too; here they hold what must be gone.
        let row = clearhouse_protocol::rows::Row {
            table: Table::Document,
            key: document_key(id, clearhouse_protocol::ids::MsgId([9; 16]), Document::Unread).0,
            value: Some(name.as_bytes().to_vec()),
            under: clearhouse_protocol::rows::Under::Case(id, 0),
            must_be_new: true,
        };
        self.world.ledger.commit(&[row], &[], &mut chance()).unwrap();
        id
    }

    fn decide(&mut self, case: CaseId) {
        let order = Order { rule: ErasureRule::PersonAsked, classes: vec![], although_open: false };
        self.act(|office, now| (office.erase(case, &actor(Role::Manager), &order, now).unwrap(), ()));
    }

    /// What the eraser does in one beat; the first error ends it.
    fn beat(&mut self) -> Result<(), Unfinished> {
        let mut rng = chance();
        for case in self.world.office.to_erase(NOW) {
            let top = self.world.ledger.store().event_count();
            let mut trail = self.world.office.trail(case).unwrap();
            self.world.follow(&mut trail, 0, top)?;
            let mut now = Now { time: NOW, rng: &mut rng, key: &self.region.members[0].sign };
            self.world.plan_erasure(case, trail, top, &mut now)?;
        }
        self.world.finish_plans()?;
        self.world.turn_keys(&mut self.keys)
    }

    fn openings(&self) -> Vec<Option<wire::Opening>> {
        let leaves = self.world.ledger.store().events(0, 1000).unwrap();
        let open = |leaf| unpad(&self.world.ledger.vault().open_event(leaf).ok()?.opening);
        leaves.iter().map(open).collect()
    }
}

/// The erased case and the one that stays, in a node in which nothing is left to do.
fn ended(node: &Node, gone: CaseId, stays: CaseId) {
    let office = &node.world.office;
    assert!(office.cases().unwrap().case(gone).is_none() && office.cases().unwrap().case(stays).is_some());
    assert_eq!(office.cases().unwrap().damaged(), 0);
    assert!(office.plans().is_empty() && office.turn_due().is_none() && office.being_erased(gone).is_none());
    let openings = node.openings();
    // Two acts in each case, the decision, and the event that says that the first ones are erased.
    let open: Vec<bool> = openings.iter().map(Option::is_some).collect();
    assert_eq!(open, [false, false, true, true, true, true]);
    let said = openings[5].as_ref().unwrap();
    assert!(said.event() == AuditEvent::CaseErased);
    assert_eq!((said.retention_rule.as_str(), said.actor_role.as_str()), ("PersonAsked", "Manager"));
    assert_eq!(said.erased.iter().map(|r| (r.from, r.to)).collect::<Vec<_>>(), [(0, 1)]);
    let facts = node.world.ledger.load(&[Table::Fact, Table::Erasing]).unwrap();
    assert!(facts.damaged.is_empty(), "{:?}", facts.damaged);
    assert!(facts.rows.iter().all(|row| row.key.starts_with(stays.as_bytes())));
    stays_once(node);
    let wraps = node.world.ledger.store().scan(Table::Wrap as u8, None, 100).unwrap();
    assert_eq!((wraps.rows.len(), node.keys.epoch() > 1), (1, true));
}

/// Whatever was cut short, the history of the erased case's consents is there once, and nothing in it is hers.
fn stays_once(node: &Node) {
    let kept = node.world.ledger.load(&[Table::ConsentHistory]).unwrap();
    assert!(kept.damaged.is_empty() && kept.locked == 0, "{:?}", kept.damaged);
    assert_eq!(kept.rows.len(), 1);
    let value = kept.rows[0].value.as_deref().unwrap();
    let history = History::decode(value).unwrap();
    let lines: Vec<_> = history.lines.iter().map(|line| (line.said.as_str(), line.role.as_str())).collect();
    assert_eq!((lines, history.rule.as_str()), (vec![("Given", "Caseworker")], "PersonAsked"));
    assert_eq!(history.until, NOW + CONSENT_HISTORY_KEPT_SECS);
    for word in [NAME, "Mira", "ron"] {
        assert!(!value.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
    }
}

#[test]
fn an_erased_case_is_gone_and_the_other_one_stays() {
    let mut node = Node::new();
    let (gone, stays) = (node.case(NAME), node.case("Mira"));
    let before = node.world.ledger.store().events(0, 10).unwrap();
    node.decide(gone);
    assert!(node.world.office.is_hidden(gone) && !node.world.office.is_hidden(stays));
    node.beat().unwrap();
    ended_but_document(&node, gone, stays);
    let node = node.restart();
    ended_but_document(&node, gone, stays);
    // The leaves are what they were.
    let after = node.world.ledger.store().events(0, 10).unwrap();
    assert!(before.iter().zip(&after).all(|(b, a)| b.commitment == a.commitment));
    assert_eq!(node.keys.epoch(), 2);
}

/// The planted document has no fact that names it: its row stays, and nothing opens it.
fn ended_but_document(node: &Node, gone: CaseId, stays: CaseId) {
    ended(node, gone, stays);
    let of = |case| document_key(case, clearhouse_protocol::ids::MsgId([9; 16]), Document::Unread).0;
    assert!(node.world.ledger.read(Table::Document, &of(gone)).is_err());
    assert_eq!(node.world.ledger.read(Table::Document, &of(stays)).unwrap().unwrap().as_slice(), b"Mira");
}

#[test]
fn a_crash_at_every_commit_of_an_erasure_is_mended_by_the_next_start() {
    for fault in [Fault::FatalAndLost, Fault::FatalButSaved, Fault::NotTaken] {
        // Decision and plan, its part, wraps for the new epoch, the old ones removed, the mark.
        let mut cut = 0;
        loop {
            let mut node = Node::new();
            let (gone, stays) = (node.case(NAME), node.case("Mira"));
            node.decide(gone);
            let plan = (0..cut).map(|_| None).chain([Some(fault)]);
            node.world.ledger.store_mut().plan(plan);
            let done = node.beat();
            if done.is_ok() {
                assert!(cut >= 4, "{fault:?}: only {cut} commits were cut");
                break;
            }
            assert_eq!(done.unwrap_err().is_fatal(), fault != Fault::NotTaken, "{fault:?} at {cut}");
            let mut node = if fault == Fault::NotTaken { node } else { node.restart() };
            for _ in 0..2 {
                node.beat().unwrap_or_else(|error| panic!("{fault:?} at {cut}: {error}"));
            }
            ended_but_document(&node, gone, stays);
            let node = node.restart();
            ended_but_document(&node, gone, stays);
            cut += 1;
        }
    }
}

#[test]
fn a_locked_node_finishes_what_has_no_way_back_and_turns_its_keys_after_the_unlock() {
    let mut node = Node::new();
    let (gone, stays) = (node.case(NAME), node.case("Mira"));
    node.decide(gone);
    // The part of the plan is lost with the power; the node starts locked.
    node.world.ledger.store_mut().plan([None, Some(Fault::FatalAndLost)]);
    assert!(node.beat().unwrap_err().is_fatal());
    let Node { dir, region, world, mut keys } = node;
    drop(world);
    keys.lock_content();
    let (store, _) = DurableStore::open(&dir.path().join("store")).unwrap();
    let vault = Vault::new(keys.service(), None).unwrap();
    let (mut world, _) = World::load(office(&region), Ledger::new(Faulty::new(store), vault)).unwrap();
    assert_eq!(world.office.plans(), [gone]);
    world.finish_plans().unwrap();
    assert!(world.office.plans().is_empty());
    world.turn_keys(&mut keys).unwrap();
    assert_eq!((world.office.turn_due(), keys.epoch()), (Some(1), 1), "not while locked");
    let keys = opened(dir.path());
    world.unlock(keys.content().unwrap()).unwrap();
    let mut node = Node { dir, region, world, keys };
    node.beat().unwrap();
    ended_but_document(&node, gone, stays);
}

#[test]
fn attack_34_old_copies_of_store_and_key_file_do_not_bring_an_erased_case_back() {
    let mut node = Node::new();
    let (gone, stays) = (node.case(NAME), node.case("Mira"));
    let old = tempfile::tempdir().unwrap();
    for file in files(node.dir.path()) {
        let to = old.path().join(file.strip_prefix(node.dir.path()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, to).unwrap();
    }
    node.decide(gone);
    node.beat().unwrap();
    let node = node.restart();
    ended_but_document(&node, gone, stays);
    let Node { dir, region, world, .. } = node;
    drop(world);
    // A backup of the key file beside the new store: the device secret has turned.
    std::fs::copy(old.path().join("keys"), dir.path().join("keys.old")).unwrap();
    let device = DeviceSecret::open(&dir.path().join("device")).unwrap();
    let secret = Credential::from_file(&dir.path().join("credential")).unwrap();
    let stolen = KeyFile::open(&dir.path().join("keys.old")).unwrap();
    assert!(stolen.unlock(&SlotSecret::Credential(&secret), &device).is_err());
    // A backup of the store under the keys of today: every value of a case is closed in it, the erased one for ever.
    let keys = opened(dir.path());
    let (store, _) = DurableStore::open(&old.path().join("store")).unwrap();
    let vault = Vault::new(keys.service(), keys.content()).unwrap();
    let loaded = Ledger::new(store, vault).load(&[Table::Fact]).unwrap();
    assert!(loaded.rows.is_empty() && loaded.damaged[0].1 > 0);
    drop(region);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_message_that_comes_between_the_look_and_the_plan_is_never_left_out() {
    let mut node = Node::new();
    let gone = node.case(NAME);
    node.decide(gone);
    let top = node.world.ledger.store().event_count();
    let mut trail = node.world.office.trail(gone).unwrap();
    node.world.follow(&mut trail, 0, top).unwrap();
    let entries: Vec<u64> = trail.entries().collect();
    assert_eq!(entries, [0, 1]);
    // Her word comes and calls it off, which the trail does not know; then it is decided again.
    let ana = actor(Role::Caseworker);
    node.act(|office, now| office.stay(gone, &ana, now).unwrap());
    node.decide(gone);
    let mut late = node.world.office.trail(gone).unwrap();
    let mut rng = chance();
    let mut now = Now { time: NOW, rng: &mut rng, key: &node.region.members[0].sign };
    assert!(!node.world.plan_erasure(gone, late.clone(), top, &mut now).unwrap(), "an entry came that nobody had seen");
    let top = node.world.ledger.store().event_count();
    node.world.follow(&mut late, 0, top).unwrap();
    assert_eq!(late.entries().collect::<Vec<_>>(), [0, 1, 4]);
    let trail = late;
    node.act(|office, now| (office.note(AuditEvent::SignIn, None, now), ()));
    let mut rng = chance();
    let mut now = Now { time: NOW, rng: &mut rng, key: &node.region.members[0].sign };
    assert!(
        node.world.plan_erasure(gone, trail, top, &mut now).unwrap(),
        "what is not of the case keeps nobody waiting"
    );
    assert_eq!(node.world.office.plans(), [gone]);
}

/// The entry that said that a case was erased, as a mirror gives it back.
fn said(node: &Node, case: CaseId) -> wire::Opening {
    let mut trail = node.world.office.trail(case).unwrap();
    for opening in node.openings().iter().flatten().rev() {
        trail.see(opening);
    }
    let erased = trail.entries().map(|at| wire::IndexRange { from: at, to: at }).collect();
    wire::Opening {
        event: AuditEvent::CaseErased.into(),
        index: 1000,
        time: NOW,
        erased,
        retention_rule: "PersonAsked".into(),
        actor_role: "Manager".into(),
        ..wire::Opening::default()
    }
}

#[test]
fn what_was_erased_after_a_copy_goes_again_wherever_that_is_cut_short_and_the_other_case_stays() {
    for fault in [Fault::FatalAndLost, Fault::FatalButSaved, Fault::NotTaken] {
        let mut cut = 0;
        loop {
            let mut node = Node::new();
            let (gone, stays) = (node.case(NAME), node.case("Mira"));
            let row = node.world.office.retractions([said(&node, gone)].iter()).unwrap();
            let step = Step { rows: vec![row], ..Step::default() };
            node.act(|_, _| (step, ()));
            assert!(node.world.office.has_retractions());
            let plan = (0..cut).map(|_| None).chain([Some(fault)]);
            node.world.ledger.store_mut().plan(plan);
            let done = node.world.retract();
            // Also when it was never met: what is planned is gone with the process.
            let mut node = if done.is_err() && fault == Fault::NotTaken { node } else { node.restart() };
            node.world.retract().unwrap_or_else(|error| panic!("{fault:?} at {cut}: {error}"));
            let cases = node.world.office.cases().unwrap();
            assert!(cases.case(gone).is_none() && cases.case(stays).is_some(), "{fault:?} at {cut}");
            assert!(!node.world.office.has_retractions() && node.world.office.plans().is_empty());
            assert_eq!(node.openings().iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, true]);
            stays_once(&node);
            node.beat().unwrap();
            assert_eq!((node.keys.epoch(), node.world.office.turn_due()), (2, None));
            let of = document_key(gone, clearhouse_protocol::ids::MsgId([9; 16]), Document::Unread).0;
            assert!(node.world.ledger.read(Table::Document, &of).is_err());
            if done.is_ok() {
                assert!(cut >= 3, "{fault:?}: only {cut} commits were cut");
                break;
            }
            cut += 1;
        }
    }
}

#[test]
fn what_was_erased_after_a_copy_is_gone_before_anybody_sees_it_when_cases_are_unlocked() {
    let mut node = Node::new();
    let (gone, stays) = (node.case(NAME), node.case("Mira"));
    let row = node.world.office.retractions([said(&node, gone)].iter()).unwrap();
    node.act(|_, _| (Step { rows: vec![row], ..Step::default() }, ()));
    node.world.lock();
    node.world.retract().unwrap();
    assert!(node.world.office.has_retractions(), "nothing can be found while cases are locked");
    // When it fails, nobody sees anything.
    node.world.ledger.store_mut().plan([Some(Fault::NotTaken)]);
    assert!(node.world.unlock(node.keys.content().unwrap()).is_err());
    assert!(!node.world.office.is_open() && node.world.ledger.vault().is_locked());
    node.world.unlock(node.keys.content().unwrap()).unwrap();
    let cases = node.world.office.cases().unwrap();
    assert!(cases.case(gone).is_none() && cases.case(stays).is_some());
}

impl Node {
    /// A letter of the other member lies here, sealed; the entry that says so.
    fn letter(&mut self, id: u8) -> (Digest, u64) {
        let (me, peer) = (&self.region.members[0], &self.region.members[1]);
        let to = self.region.directory.recipient(me.org, me.node, NOW).unwrap();
        let draft = Letter {
            net: self.region.net,
            msg_type: 1,
            body_version: 1,
            msg_id: clearhouse_protocol::ids::MsgId([id; 16]),
            sender: (peer.org, peer.node),
            conversation: clearhouse_protocol::ids::ConversationId([id; 32]),
            seq: 1,
            prev_digest: None,
            created: NOW,
            expires: NOW + DAY,
            actor: None,
            body: &[id],
            attachments: &[],
        };
        let sealed = seal(&draft, &to, 0, &peer.sign, &mut chance()).unwrap();
        let deposit = Deposit { outside: Outside::parse(&sealed.bytes).unwrap(), bytes: sealed.bytes };
        self.act(|office, now| office.deposit(vec![deposit], now)).remove(0).unwrap();
        (sealed.digest, self.world.ledger.store().event_count() - 1)
    }

    /// Changes what the mailroom says of a letter.
    fn put(&mut self, digest: Digest, change: impl FnOnce(&mut mail::Letter)) {
        let mut letter = self.world.office.mail().letter(digest).unwrap().clone();
        change(&mut letter);
        let row = clearhouse_protocol::rows::Row {
            table: Table::Mailbox,
            key: digest.to_vec(),
            value: Some(letter.encode_to_vec()),
            under: clearhouse_protocol::rows::Under::Service,
            must_be_new: false,
        };
        self.act(|_, _| (Step { rows: vec![row], ..Step::default() }, ()));
    }

    fn retract_letters(&mut self) {
        let key = &self.region.members[0].sign;
        self.world.retract_letters(key, NOW).unwrap();
    }
}

#[test]
fn letters_of_an_erased_case_that_the_copy_has_not_opened_never_open() {
    let mut node = Node::new();
    let letters: Vec<_> = (1..=5).map(|id| node.letter(id)).collect();
    let [waits, aside, quarantined, stays, taken] = letters[..] else { panic!() };
    node.put(aside.0, |letter| letter.aside = true);
    node.put(quarantined.0, |letter| (letter.state, letter.quarantine) = (4, Some(mail::Quarantine::default())));
    node.put(taken.0, |letter| letter.state = 2);
    let erased = [waits, aside, quarantined, taken].map(|(_, at)| wire::IndexRange { from: at, to: at });
    let opening = wire::Opening {
        event: AuditEvent::CaseErased.into(),
        index: 99,
        erased: erased.into(),
        ..wire::Opening::default()
    };
    let row = node.world.office.retractions([opening].iter()).unwrap();
    node.act(|_, _| (Step { rows: vec![row], ..Step::default() }, ()));
    let before = node.world.ledger.store().event_count();
    // Also while cases are locked: one of these may be the notice that would found the case anew.
    node.world.lock();
    node.retract_letters();
    let mut node = node.restart();
    let mailroom = node.world.office.mail();
    for (digest, _) in [waits, aside, quarantined] {
        let letter = mailroom.letter(digest).unwrap();
        assert!(letter.state == 2 && letter.quarantine.is_none() && !letter.aside);
        assert!(!matches!(node.world.ledger.read(Table::Envelope, digest.as_bytes()), Ok(Some(_))), "it is here");
    }
    assert_eq!((mailroom.to_open().collect::<Vec<_>>(), mailroom.quarantined().len()), (vec![stays.0], 0));
    let said = node.openings().iter().skip(before as usize).flatten().map(|o| o.event()).collect::<Vec<_>>();
    assert!(said == [AuditEvent::KeyErased; 3]);
    assert!(node.openings()[waits.1 as usize].is_none() && node.openings()[stays.1 as usize].is_some());
    assert_eq!(node.world.office.turn_due(), Some(1), "the keys turn");
    // Once more finds nothing, and then the cases go as ever.
    node.retract_letters();
    assert_eq!(node.world.ledger.store().event_count(), before + 3);
    node.world.retract().unwrap();
    assert!(!node.world.office.has_retractions());
}
