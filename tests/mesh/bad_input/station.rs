//! An office that listens on a real socket, and a member of its region played by the test: what it seals, what it
//! changes in it, and what the office says of it afterwards.
//!
//! Refuses to count a bad letter as dealt with before a good one behind it was taken.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock, chance};
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::{PeerError, Refused};
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Attachment, Letter, Sealed, seal};
use clearhouse_protocol::ids::{ConversationId, Digest, MsgId, Net};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::limits::DAY;
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::super::notice::{directory, line, notice_body};
use super::super::region::Region;
use super::{Office, WAIT_MAX, found_at, runtime, silent};

/// One office that listens, and a member played by the test.
pub(super) struct Station {
    pub(super) region: Region,
    pub(super) known: Directory,
}

/// What a member's program puts into a letter. A test changes what it wants to be wrong.
pub(super) struct Draft {
    pub(super) net: Net,
    pub(super) msg_id: [u8; 16],
    pub(super) conversation: [u8; 32],
    pub(super) seq: u64,
    pub(super) created: u64,
    pub(super) expires: u64,
    pub(super) body: wire::CaseBody,
    pub(super) attached: usize,
}

impl Station {
    pub(super) async fn open() -> Self {
        Self::of(found_at(SystemClock.now())).await
    }

    pub(super) async fn of(mut region: Region) -> Self {
        let records = region.records.clone();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        let known = directory(&region);
        Self { region, known }
    }

    /// A coordinator runs, and the office has heard that its clock agrees.
    pub(super) async fn confirm_clock(&mut self) {
        let records = self.region.records.clone();
        self.region.coordinator.start().await.unwrap();
        self.region.coordinator.learn(&records).await.unwrap();
        let began = Instant::now();
        while self.region.origin.ask(Call::Status).await.unwrap()["clock"] != "trusted" {
            assert!(began.elapsed() < WAIT_MAX, "nobody confirms the office's clock");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) fn draft(&self) -> Draft {
        let now = SystemClock.now();
        let (mut msg_id, mut conversation) = ([0; 16], [0; 32]);
        chance().fill_bytes(&mut msg_id);
        chance().fill_bytes(&mut conversation);
        let body = notice_body(self.region.origin.made.org, now);
        let mut body = wire::CaseBody::decode(body.as_slice()).unwrap();
        body.actor_label = "Zarnixa R.".into();
        Draft {
            net: self.region.net,
            msg_id,
            conversation,
            seq: 1,
            created: now,
            expires: now + DAY,
            body,
            attached: 0,
        }
    }

    /// The draft, sealed to the office, and the code its case would have there.
    pub(super) fn seal(&self, draft: &Draft) -> (String, Sealed) {
        let (from, to) = (&self.region.destination, &self.region.origin);
        let tag = |n: usize| Attachment { name_tag: [7; 16], bytes: Zeroizing::new(vec![5; n]) };
        let attachments: Vec<Attachment> = (draft.attached > 0).then(|| tag(draft.attached)).into_iter().collect();
        let letter = Letter {
            net: draft.net,
            msg_type: wire::MessageType::ReturnNotice as u32,
            body_version: 1,
            msg_id: MsgId(draft.msg_id),
            sender: (from.made.org, from.made.node),
            conversation: ConversationId(draft.conversation),
            seq: draft.seq,
            prev_digest: (draft.seq > 1).then_some([9; 32]),
            created: draft.created,
            expires: draft.expires,
            actor: None,
            body: &draft.body.encode_to_vec(),
            attachments: &attachments,
        };
        let recipient = self.known.recipient(to.made.org, to.made.node, SystemClock.now()).unwrap();
        let key = SigningKey::from_seed(from.made.keys.service().node_seed.expose());
        let code = clearhouse_casework::office::cases::case_code(letter.conversation, true);
        (code, seal(&letter, &recipient, 0, &key, &mut chance()).unwrap())
    }

    pub(super) async fn line(&self) -> Client {
        line(&self.known, &self.region.destination, &self.region.origin).await.unwrap()
    }

    /// The mailbox says of a letter, once it no longer waits, that it ended as it must.
    pub(super) async fn ends(&self, client: &Client, digest: Digest, as_it_must: wire::MailboxState) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < WAIT_MAX, "the letter is not dealt with");
            let state = self.state(client, digest).await;
            if state != wire::MailboxState::Stored {
                return assert_eq!(state.as_str_name(), as_it_must.as_str_name());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the mailbox says of a letter. On a busy machine a test takes longer than a minute's questions last.
    pub(super) async fn state(&self, client: &Client, digest: Digest) -> wire::MailboxState {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < WAIT_MAX, "the mailbox does not answer");
            match client.outcome(digest).await {
                Ok(outcome) => return outcome.state(),
                Err(PeerError::Refused(Refused::TooFast)) => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(other) => panic!("{other}"),
            }
        }
    }

    pub(super) async fn cases(&self) -> Vec<String> {
        let listed = self.region.origin.ask(Call::CaseList).await.unwrap();
        listed["cases"].as_array().unwrap().iter().map(|c| c["case"].as_str().unwrap().to_owned()).collect()
    }

    /// A good letter of the same member is taken, and of all sent only `expected` and it are cases here.
    pub(super) async fn still_takes(&self, client: &Client, mut expected: Vec<String>) {
        let (code, letter) = self.seal(&self.draft());
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        self.ends(client, letter.digest, wire::MailboxState::Taken).await;
        expected.push(code);
        expected.sort();
        let mut cases = self.cases().await;
        cases.sort();
        assert_eq!(cases, expected);
        silent(&self.office().log());
    }

    pub(super) async fn counter(&self, name: &str) -> u64 {
        self.region.origin.ask(Call::Doctor).await.unwrap()["door"][name].as_u64().unwrap()
    }

    /// Memory in use by the office's process, bytes.
    pub(super) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.region.origin.pid().unwrap())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    pub(super) fn office(&self) -> Office {
        Office::running_in(&self.region.origin.folder)
    }

    pub(super) async fn restart(&mut self) {
        self.region.origin.kill();
        self.region.origin.start().await.unwrap();
        self.region.origin.session = None;
        let passphrase = super::demo_passphrase("ana").to_string();
        let session = self.region.origin.ask(Call::SignIn { login: "ana".into(), passphrase }).await.unwrap();
        let token = session["token"].as_str().unwrap().to_owned();
        self.region.origin.session = Some(clearhouse_node::control::SessionToken::new(token));
    }
}

pub(super) fn in_station(test: impl AsyncFnOnce(Station)) {
    runtime().block_on(async { test(Station::open().await).await });
}
