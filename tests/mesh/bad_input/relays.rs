//! Nodes that keep mailboxes, and those that abuse them: an office that names itself as its keeper, a member that deposits
//! without end, one that fetches and reads nothing. Rows 5, 25 and 58 of reliability section 5.
//!
//! Refuses a keeper that serves only the loudest: while one member is refused, another's letter is taken and fetched.

use std::time::{Duration, Instant};

use clearhouse_node::limits::Limits;
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::{PeerError, Refused};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::MailboxId;
use clearhouse_protocol::relay::rented;
use clearhouse_wire::v1::MailboxState;
use tokio::task::JoinSet;

use super::super::notice::{directory, line, sealed_notice};
use super::super::region::{Member, Region};
use super::super::relay::{behind_a_router, start};
use super::{Office, WAIT_MAX, found, runtime, silent};

/// Deposits of a member that means harm.
const FLOOD: usize = 10_000;
/// Deposits under way at once, as many calls as a line may have.
const AT_ONCE: usize = 32;
/// Fetches of which nothing is read.
const FETCHES: usize = 200;
/// Memory that a keeper may take for all of it.
const GROWTH_MAX: u64 = 64 << 20;

#[test]
fn an_office_that_names_itself_as_its_keeper_does_not_start_and_is_told_why() {
    let region = found("keep_content_open = true\n");
    let member = &region.origin;
    let mut office = Office::running_in(&member.folder);
    let whole = office.config();
    let portless: Vec<&str> =
        whole.lines().filter(|l| !l.starts_with("listen = ") && !l.starts_with("endpoint = ")).collect();
    for text in [whole.clone(), format!("listen = \"none\"\n{}\n", portless.join("\n"))] {
        office.set_config(&format!("relays = [\"{}\"]\n{text}", member.made.node));
        let told = runtime().block_on(office.start()).unwrap_err();
        told.refused(2, "CH-U0903", &["relays", "own id", "name other nodes"]);
    }
    office.set_config(&whole);
    runtime().block_on(office.start()).unwrap_or_else(|told| panic!("{}", told.all));
}

/// A keeper with a tenant, both running, a member that means harm and one that does not.
struct Kept {
    region: Region,
    known: Directory,
    other: Member,
    mailbox: MailboxId,
}

impl Kept {
    async fn open() -> Self {
        let mut region = behind_a_router("debug");
        let now = clearhouse_node::clock::Clock::now(&clearhouse_node::clock::SystemClock);
        let (other, records) = region.join(("fourth", "Strehe"), "", now).unwrap();
        region.records.records.extend(records.records);
        region.records.prekeys.extend(records.prekeys);
        start(&mut region).await;
        region.destination.kill();
        let known = directory(&region);
        let mailbox = rented(region.net, region.origin.made.node, region.coordinator.made.node);
        Self { region, known, other, mailbox }
    }

    async fn line(&self, from: &Member) -> Client {
        line(&self.known, from, &self.region.coordinator).await.unwrap()
    }

    /// Another member's letter is taken and fetched.
    async fn serves_others(&self) {
        let client = self.line(&self.other).await;
        let (_, letter) = sealed_notice(&self.known, &self.other, &self.region.origin);
        client.deposit(self.mailbox, letter.digest, letter.bytes).await.unwrap();
        let began = Instant::now();
        while client.outcome(letter.digest).await.unwrap().state() != MailboxState::Fetched {
            assert!(began.elapsed() < WAIT_MAX, "it is not fetched");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Largest memory of the keeper, bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.region.coordinator.pid().unwrap()));
        let status = status.unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    fn is_silent(&self) {
        silent(&Office::running_in(&self.region.coordinator.folder).log());
    }
}

#[test]
fn a_member_that_deposits_ten_thousand_times_gets_its_share_and_others_theirs() {
    runtime().block_on(async {
        let kept = Kept::open().await;
        let before = kept.resident();
        let mut client = kept.line(&kept.region.destination).await;
        let began = Instant::now();
        let (mut taken, mut too_fast, mut cut) = (0, 0, 0);
        let mut under_way = JoinSet::new();
        // The same again and again: the door counts before it looks.
        let (_, letter) = sealed_notice(&kept.known, &kept.region.destination, &kept.region.origin);
        for n in 0..FLOOD {
            if n == FLOOD / 2 {
                kept.serves_others().await;
            }
            if !client.is_usable() {
                client = kept.line(&kept.region.destination).await;
            }
            let (client, letter, mailbox) = (client.clone(), letter.clone(), kept.mailbox);
            under_way.spawn(async move { client.deposit(mailbox, letter.digest, letter.bytes).await });
            while under_way.len() >= AT_ONCE || (n + 1 == FLOOD && !under_way.is_empty()) {
                match under_way.join_next().await.unwrap().unwrap() {
                    Ok(_) => taken += 1,
                    Err(PeerError::Refused(Refused::TooFast | Refused::Busy)) => too_fast += 1,
                    // The door ends a line on which nearly everything is refused.
                    Err(PeerError::Protocol | PeerError::Unreachable) => cut += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        let minutes = u32::try_from(began.elapsed().as_secs() / 60 + 2).unwrap();
        assert!(taken <= Limits::HARD.deposits_per_minute * minutes, "{taken} in {minutes} minutes");
        assert!(taken > 0 && too_fast > 0, "{taken} taken, {too_fast} refused, {cut} cut");
        kept.serves_others().await;
        let grown = kept.resident() - before;
        assert!(grown < GROWTH_MAX, "{grown} bytes");
        kept.is_silent();
        println!(
            "{FLOOD} deposits of one member: {taken} taken, {too_fast} refused, {cut} cut, {grown} bytes of memory"
        );
    });
}

#[test]
fn two_hundred_fetches_of_which_nothing_is_read_hold_up_nobody() {
    runtime().block_on(async {
        let mut kept = Kept::open().await;
        // The tenant's own machine, in a stranger's hands.
        kept.region.origin.kill();
        let sender = kept.line(&kept.other).await;
        for _ in 0..8 {
            let (_, letter) = sealed_notice(&kept.known, &kept.other, &kept.region.origin);
            sender.deposit(kept.mailbox, letter.digest, letter.bytes).await.unwrap();
        }
        let before = kept.resident();
        let mut held = Vec::new();
        let mut refused = 0;
        for n in 0..FETCHES {
            if n % 20 == 0 {
                held.push((kept.line(&kept.region.origin).await, Vec::new()));
            }
            let (client, answers) = held.last_mut().unwrap();
            match client.fetch(kept.mailbox).await {
                Ok(answer) => answers.push(answer),
                Err(_) => refused += 1,
            }
        }
        let (_, letter) = sealed_notice(&kept.known, &kept.other, &kept.region.origin);
        sender.deposit(kept.mailbox, letter.digest, letter.bytes).await.unwrap();
        let grown = kept.resident().saturating_sub(before);
        assert!(grown < GROWTH_MAX, "{grown} bytes");
        drop(held);
        kept.region.origin.start().await.unwrap();
        kept.serves_others().await;
        let state = sender.outcome(letter.digest).await.unwrap().state();
        assert_eq!(state.as_str_name(), MailboxState::Fetched.as_str_name());
        kept.is_silent();
        println!("{FETCHES} fetches that read nothing: {refused} refused or cut, {grown} bytes of memory");
    });
}
