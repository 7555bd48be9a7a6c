//! Letters whose sender the directory cannot judge yet: of organisations that never wrote here, while it is too old to tell
//! whether they still may, and of those that were only just let in.

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Letter, Outside, Reader, open, seal};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::ConversationId;
use clearhouse_protocol::limits::{DAY, DIRECTORY_OLD_SECS, HOUR, LETTER_AHEAD_WAIT_SECS, SKEW_SECS};
use clearhouse_protocol::rows::Table;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::super::Me;
use super::aside::UNPUBLISHED_HOURS;
use super::*;

const COORDINATOR: usize = 0;
const SENDER: usize = 3;
const RECEIVER: usize = 4;
/// A member that is neither.
const ANOTHER: usize = 5;

/// An office whose coordinators were heard `ago` seconds ago, in a region that they can be heard in again.
struct Stage {
    region: Region,
    office: Office,
    logs: Vec<Vec<Vec<u8>>>,
    rng: ChaCha20Rng,
    now: u64,
}

impl Stage {
    fn heard(ago: u64) -> Self {
        let mut region = Region::with_logs(7, 6);
        let log = |of: usize| region.directory.to_enter(region.members[of].node);
        let logs = (0..3).map(|of| log(of).into_iter().map(prost::Message::encode_to_vec).collect()).collect();
        region.publish_all(NOW - ago);
        let m = &region.members[RECEIVER];
        let (mailboxes, zone) = (vec![m.mailbox], crate::deadlines::Zone::utc());
        let me = Me { net: region.net, org: m.org, node: m.node, mailboxes, generation: 1, zone };
        let mut office = Office::new(me, region.directory.clone());
        office.unlock();
        Self { region, office, logs, rng: ChaCha20Rng::seed_from_u64(1), now: NOW }
    }

    /// One whose directory has nothing of any log yet.
    fn new_here() -> Self {
        let mut stage = Self::heard(0);
        let mut directory = Directory::found(&stage.region.genesis, None).unwrap();
        let policies = [stage.region.directory.newest_policy().clone()];
        for record in policies.iter().chain(&stage.region.records) {
            if let Ok(Some(checked)) = directory.check(record, NOW) {
                directory.insert(checked);
            }
        }
        stage.office.directory = std::sync::Arc::new(directory);
        stage
    }

    /// The coordinators cosign the same logs anew, and this office follows.
    fn hears_again(&mut self) {
        self.hears(|_| true);
    }

    /// It follows logs with those entries alone.
    fn hears(&mut self, has: impl Fn(&[u8]) -> bool) {
        for of in 0..3 {
            let others: Vec<usize> = (0..3).filter(|n| *n != of).collect();
            let all: Vec<Vec<u8>> = self.logs[of].iter().filter(|entry| has(entry)).cloned().collect();
            let held = self.office.directory.followed(self.region.members[of].node) > 0;
            let page = self.region.log_page(of, &all, (0, all.len()), (&others, NOW));
            let entries = if held { vec![] } else { page.entries.clone() };
            let page = wire::DirectoryLogReply { entries, ..page };
            let directory = std::sync::Arc::make_mut(&mut self.office.directory);
            let page = directory.check_page(self.region.members[of].node, &page, NOW).unwrap();
            directory.follow(&page);
        }
    }

    /// Deposits a notice of a member, its `nth`.
    fn stored(&mut self, from: usize, nth: u8) -> (Digest, Vec<u8>) {
        let (a, b) = (&self.region.members[from], &self.region.members[RECEIVER]);
        let to = self.region.directory.recipient(b.org, b.node, NOW).unwrap();
        let letter = Letter {
            net: self.region.net,
            msg_type: MessageType::ReturnNotice as u32,
            body_version: 1,
            msg_id: MsgId([nth; 16]),
            sender: (a.org, a.node),
            conversation: ConversationId([6; 32]),
            seq: u64::from(nth),
            prev_digest: (nth > 1).then_some([1; 32]),
            created: NOW,
            expires: NOW + DAY,
            actor: None,
            body: b"a notice",
            attachments: &[],
        };
        let bytes = seal(&letter, &to, 0, &a.sign, &mut self.rng).unwrap().bytes;
        let outside = Outside::parse(&bytes).unwrap();
        let digest = outside.digest;
        let mut now = Now { time: NOW, rng: &mut self.rng, key: &b.sign };
        let (step, replies) = self.office.deposit(vec![Deposit { outside, bytes: bytes.clone() }], &mut now);
        assert!(replies[0].is_ok(), "its sender sees it stored");
        self.office.take(&step);
        (digest, bytes)
    }

    fn opened(&mut self, digest: Digest, bytes: &[u8]) -> Step {
        let m = &self.region.members[RECEIVER];
        let reader = Reader::new((m.org, m.node), self.office.directory(), self.now);
        let opening = open(&Outside::parse(bytes).unwrap(), Some(m.prekey(NOW)), &reader);
        let mut now = Now { time: self.now, rng: &mut self.rng, key: &m.sign };
        let step = self.office.opened(digest, opening, &mut now).unwrap();
        self.office.take(&step);
        step
    }

    fn tick(&mut self) -> Step {
        let m = &self.region.members[RECEIVER];
        let step = self.office.tick(self.now, &mut Now { time: self.now, rng: &mut self.rng, key: &m.sign });
        self.office.take(&step);
        step
    }

    fn to_open(&self) -> Vec<Digest> {
        self.office.mail().to_open().collect()
    }
}

fn is_taken(step: &Step) -> bool {
    step.rows.iter().any(|row| row.table == Table::Taken)
}

#[test]
fn a_stranger_waits_sealed_while_no_coordinator_is_heard_and_is_taken_up_by_itself() {
    let mut stage = Stage::heard(DIRECTORY_OLD_SECS);
    let (digest, bytes) = stage.stored(SENDER, 1);
    let step = stage.opened(digest, &bytes);
    assert!(step.events.is_empty() && step.effects.is_empty(), "nobody is answered");
    assert!(step.rows.iter().all(|row| row.table == Table::Mailbox), "nothing of it is kept but that it waits");
    let mail = stage.office.mail();
    assert_eq!((mail.aside().collect::<Vec<_>>(), mail.unopened()), (vec![digest], vec![digest]), "it is there");
    assert!(stage.to_open().is_empty(), "and is not opened again and again");
    assert!(!stage.tick().rows.iter().any(|row| row.table == Table::Mailbox), "time alone changes nothing");

    stage.hears_again();
    let step = stage.tick();
    assert!(step.effects.contains(&Effect::OpenLetters));
    assert_eq!(stage.to_open(), [digest]);
    let step = stage.opened(digest, &bytes);
    assert!(is_taken(&step) && stage.office.mail().unopened().is_empty());
    assert!(stage.tick().rows.is_empty(), "once");
}

#[test]
fn whoever_wrote_here_before_and_the_coordinators_are_taken_all_the_same() {
    let mut stage = Stage::heard(0);
    let (digest, bytes) = stage.stored(SENDER, 1);
    assert!(is_taken(&stage.opened(digest, &bytes)), "while coordinators are heard, anybody");
    let fresh = stage.office;
    let mut stage = Stage::heard(DIRECTORY_OLD_SECS);
    stage.office.mail = fresh.mail;
    let (digest, bytes) = stage.stored(SENDER, 2);
    assert!(is_taken(&stage.opened(digest, &bytes)), "it is known here");
    let (digest, bytes) = stage.stored(COORDINATOR, 1);
    assert!(is_taken(&stage.opened(digest, &bytes)), "the policy knows it");
}

#[test]
fn whoever_a_case_here_was_opened_towards_is_taken_and_no_other_stranger() {
    let mut stage = Stage::heard(DIRECTORY_OLD_SECS);
    let (ana, peer) =
        (crate::office::erasing::tests::actor(crate::roles::Role::Caseworker), stage.region.members[SENDER].org);
    let mut now = Now { time: NOW, rng: &mut stage.rng, key: &stage.region.members[RECEIVER].sign };
    let (step, _) = stage.office.open_case(&ana, peer, &mut now).unwrap();
    stage.office.take(&step);
    let (digest, bytes) = stage.stored(SENDER, 1);
    assert!(is_taken(&stage.opened(digest, &bytes)), "people here chose them");
    let (digest, bytes) = stage.stored(ANOTHER, 2);
    assert!(!is_taken(&stage.opened(digest, &bytes)));
    assert_eq!(stage.office.mail().aside().collect::<Vec<_>>(), [digest]);
}

#[test]
fn a_day_less_than_too_old_is_not_too_old() {
    let mut stage = Stage::heard(DIRECTORY_OLD_SECS - DAY);
    let (digest, bytes) = stage.stored(SENDER, 1);
    assert!(is_taken(&stage.opened(digest, &bytes)));
}

#[test]
fn who_was_just_let_in_waits_until_the_logs_are_read_and_not_for_long_after() {
    let mut stage = Stage::new_here();
    let (digest, bytes) = stage.stored(SENDER, 1);
    assert!(stage.opened(digest, &bytes).events.is_empty(), "nobody is answered");
    assert_eq!(stage.office.mail().aside().collect::<Vec<_>>(), [digest]);
    stage.hears_again();
    assert!(stage.tick().effects.contains(&Effect::OpenLetters));
    assert!(is_taken(&stage.opened(digest, &bytes)));

    // The logs are read, and the sender is in none: for a while that may be because they are read no faster.
    let mut stage = Stage::new_here();
    let sender = stage.region.members[SENDER].org;
    stage.hears(|entry| !entry.windows(16).any(|id| id == sender.0));
    let (digest, bytes) = stage.stored(SENDER, 1);
    assert!(stage.opened(digest, &bytes).events.is_empty());
    stage.tick();
    stage.now += UNPUBLISHED_HOURS * HOUR;
    assert_eq!(stage.to_open(), [digest]);
    let step = stage.opened(digest, &bytes);
    assert!(!is_taken(&step) && stage.office.mail().unopened().is_empty(), "it ends, and its sender is told");
}

#[test]
fn what_is_dated_ahead_waits_sealed_for_its_time_and_is_taken_up_by_itself() {
    let mut stage = Stage::heard(0);
    stage.now = NOW - SKEW_SECS - LETTER_AHEAD_WAIT_SECS;
    let (digest, bytes) = stage.stored(SENDER, 1);
    let step = stage.opened(digest, &bytes);
    assert!(step.events.is_empty() && step.effects.is_empty(), "nobody is answered");
    let mail = stage.office.mail();
    assert_eq!((mail.dated_ahead().collect::<Vec<_>>(), mail.unopened()), (vec![digest], vec![digest]));
    assert!(stage.to_open().is_empty(), "it is not opened again and again, and no erasure waits for it");
    stage.now = NOW - SKEW_SECS - 1;
    assert!(!stage.tick().rows.iter().any(|row| row.table == Table::Mailbox), "not yet");

    stage.now = NOW - SKEW_SECS;
    assert!(stage.tick().effects.contains(&Effect::OpenLetters));
    assert_eq!((stage.to_open(), stage.office.mail().dated_ahead().count()), (vec![digest], 0));
    assert!(is_taken(&stage.opened(digest, &bytes)));
    assert!(stage.tick().rows.is_empty(), "once");

    // Laid aside by a clock that is set back afterwards: longer than any wait is long it does not wait.
    let mut stage = Stage::heard(0);
    stage.now = NOW - SKEW_SECS - 1;
    let (digest, bytes) = stage.stored(SENDER, 1);
    stage.opened(digest, &bytes);
    stage.now = NOW - SKEW_SECS - LETTER_AHEAD_WAIT_SECS;
    stage.tick();
    assert!(stage.to_open().is_empty());
    stage.now -= 1;
    stage.tick();
    assert_eq!(stage.to_open(), [digest]);

    let mut stage = Stage::heard(0);
    stage.now = NOW - SKEW_SECS - LETTER_AHEAD_WAIT_SECS - 1;
    let (digest, bytes) = stage.stored(SENDER, 1);
    let step = stage.opened(digest, &bytes);
    assert!(!is_taken(&step) && stage.office.mail().unopened().is_empty(), "further ahead it ends as ever");
}

#[test]
fn a_date_ahead_is_waited_for_by_its_own_time_and_not_by_what_the_directory_knows() {
    let mut stage = Stage::heard(DIRECTORY_OLD_SECS);
    stage.now = NOW - SKEW_SECS - 1;
    let (digest, bytes) = stage.stored(SENDER, 1);
    stage.opened(digest, &bytes);
    assert_eq!(stage.office.mail().dated_ahead().count(), 1);
    stage.now = NOW;
    stage.tick();
    assert_eq!(stage.to_open(), [digest], "its time has come");
    stage.opened(digest, &bytes);
    let mail = stage.office.mail();
    assert_eq!((mail.aside().count(), mail.dated_ahead().count()), (1, 0), "and now it waits for coordinators");
}
