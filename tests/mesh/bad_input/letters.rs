//! Letters that are wrong, deposited over real TLS as an accredited member's broken or hostile program would. Rows 9 to
//! 14 of reliability section 5, and consent as it arrives.
//!
//! Refuses to stop at the refusal: after every bad letter a good one from the same member is taken, once.

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::rpc::client::Client;
use clearhouse_node::rpc::status::{PeerError, Refused};
use clearhouse_protocol::chunked;
use clearhouse_protocol::envelope::{Outside, Sealed};
use clearhouse_protocol::ids::{Digest, MailboxId};
use clearhouse_protocol::limits::{
    CHUNK_LEN, DAY, ENVELOPE_LIFE_SECS, ENVELOPE_MAX, LETTER_AHEAD_WAIT_SECS, MINUTE, SKEW_SECS,
};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use serde_json::Value;

use super::silent;
use super::station::in_station;

/// Bytes before a stream's chunks, and of the tag behind each.
const PREFIX: usize = 24 + 32;
const TAG: usize = 16;
const MIB: u64 = 1 << 20;

/// The parts of an envelope, to be changed.
fn parts(sealed: &Sealed) -> wire::Envelope {
    wire::Envelope::decode(sealed.bytes.as_slice()).unwrap()
}

/// An envelope changed outside, under the digest it now has.
fn renamed(envelope: &wire::Envelope) -> Sealed {
    let bytes = envelope.encode_to_vec();
    let outside = Outside::parse(&bytes).unwrap();
    Sealed { digest: outside.digest, mailbox: outside.mailbox, bytes }
}

async fn refused(client: &Client, mailbox: MailboxId, digest: Digest, bytes: Vec<u8>, why: Refused) {
    let told = client.deposit(mailbox, digest, bytes).await.err().unwrap();
    assert_eq!(told, PeerError::Refused(why));
    silent(&told.to_string());
}

#[test]
fn a_letter_cut_at_any_chunk_border_is_refused_and_not_one_word_of_it_is_kept() {
    in_station(async |station| {
        let client = station.line().await;
        let mut draft = station.draft();
        draft.attached = 3 * CHUNK_LEN;
        let (_, letter) = station.seal(&draft);
        let whole = parts(&letter);
        let chunks = (whole.content.len() - PREFIX).div_ceil(CHUNK_LEN + TAG);
        assert!(chunks >= 4, "too short to cut: {chunks} chunks");
        let malformed = station.counter("malformed").await;
        for n in 0..chunks {
            let border = PREFIX + n * (CHUNK_LEN + TAG);
            for len in [border.saturating_sub(1), border, border + 1] {
                let mut cut = whole.clone();
                cut.content.truncate(len);
                refused(&client, letter.mailbox, letter.digest, cut.encode_to_vec(), Refused::Malformed).await;
            }
            let raw = letter.bytes[..letter.bytes.len() - whole.content.len() + border].to_vec();
            refused(&client, letter.mailbox, letter.digest, raw, Refused::Malformed).await;
        }
        assert!(station.counter("malformed").await >= malformed + 4 * chunks as u64);
        // The header says the shorter length too: outside it is an envelope, inside it does not open.
        let mut short = whole.clone();
        let mut header = wire::Header::decode(short.header.as_slice()).unwrap();
        header.size_class = CHUNK_LEN as u64;
        short.header = header.encode_to_vec();
        short.content.truncate(chunked::sealed_len(CHUNK_LEN));
        // Two chunks changed places; one stands twice.
        let (mut swapped, mut twice) = (whole.clone(), whole.clone());
        let chunk = |n: usize| PREFIX + n * (CHUNK_LEN + TAG)..PREFIX + (n + 1) * (CHUNK_LEN + TAG);
        let (first, second) = (whole.content[chunk(0)].to_vec(), whole.content[chunk(1)].to_vec());
        swapped.content[chunk(0)].copy_from_slice(&second);
        swapped.content[chunk(1)].copy_from_slice(&first);
        twice.content[chunk(2)].copy_from_slice(&second);
        for changed in [short, swapped, twice] {
            let changed = renamed(&changed);
            client.deposit(changed.mailbox, changed.digest, changed.bytes).await.unwrap();
            station.ends(&client, changed.digest, wire::MailboxState::Unopenable).await;
        }
        station.still_takes(&client, vec![]).await;
    });
}

#[test]
fn an_envelope_larger_than_any_is_refused_before_memory_is_given_to_it() {
    in_station(async |station| {
        let client = station.line().await;
        let (_, letter) = station.seal(&station.draft());
        let before = station.resident();
        refused(&client, letter.mailbox, letter.digest, vec![0; ENVELOPE_MAX + 1], Refused::TooLarge).await;
        let grown = station.resident().saturating_sub(before);
        assert!(grown < 8 * MIB, "{grown} bytes were given to an announcement");
        // The largest that is allowed is read whole, found to be nothing, and let go of.
        refused(&client, letter.mailbox, letter.digest, vec![0; ENVELOPE_MAX], Refused::Malformed).await;
        let grown = station.resident().saturating_sub(before);
        assert!(grown < 160 * MIB, "{grown} bytes for one deposit of {ENVELOPE_MAX}");
        refused(&client, letter.mailbox, letter.digest, vec![], Refused::Malformed).await;
        station.still_takes(&client, vec![]).await;
    });
}

#[test]
fn bytes_that_are_not_the_one_encoding_of_an_envelope_are_refused() {
    in_station(async |station| {
        let client = station.line().await;
        let (_, letter) = station.seal(&station.draft());
        let whole = parts(&letter);
        let field = |n: u8, bytes: &[u8]| {
            let mut out = vec![n << 3 | 2];
            prost::encoding::encode_varint(bytes.len() as u64, &mut out);
            out.extend_from_slice(bytes);
            out
        };
        let encoded = [field(1, &whole.header), field(2, &whole.kem), field(3, &whole.content)];
        assert_eq!(encoded.concat(), letter.bytes, "the test knows the encoding");
        let mut long = encoded[0].clone();
        long[1] |= 0x80;
        long.insert(2, 0);
        let forms = [
            [letter.bytes.as_slice(), &[0x7a, 0x00]].concat(),
            [&encoded[2][..], &encoded[0], &encoded[1]].concat(),
            [&encoded[0][..], &encoded[0], &encoded[1], &encoded[2]].concat(),
            [&long[..], &encoded[1], &encoded[2]].concat(),
            [letter.bytes.as_slice(), &[0]].concat(),
            letter.bytes[1..].to_vec(),
        ];
        for bytes in forms {
            refused(&client, letter.mailbox, letter.digest, bytes, Refused::Malformed).await;
        }
        let mut other = letter.digest;
        other.0[0] ^= 1;
        refused(&client, letter.mailbox, other, letter.bytes.clone(), Refused::Malformed).await;
        refused(&client, MailboxId([3; 16]), letter.digest, letter.bytes, Refused::UnknownMailbox).await;
        station.still_takes(&client, vec![]).await;
    });
}

#[test]
fn a_letter_sent_again_at_once_after_a_restart_or_in_a_new_envelope_has_one_effect() {
    in_station(async |mut station| {
        let client = station.line().await;
        let draft = station.draft();
        let (code, letter) = station.seal(&draft);
        let deposit = |client: Client, letter: Sealed| async move {
            client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap()
        };
        let first = deposit(client.clone(), letter.clone()).await;
        assert!(deposit(client.clone(), letter.clone()).await.receipt == first.receipt);
        station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        assert!(deposit(client, letter.clone()).await.receipt == first.receipt);
        station.restart().await;
        let client = station.line().await;
        assert!(deposit(client.clone(), letter).await.receipt == first.receipt, "the stored receipt again");
        let (_, again) = station.seal(&draft);
        deposit(client.clone(), again.clone()).await;
        station.ends(&client, again.digest, wire::MailboxState::Taken).await;
        station.still_takes(&client, vec![code]).await;
    });
}

#[test]
fn a_letter_from_the_far_future_the_past_or_for_too_long_is_not_opened_and_one_from_the_near_future_waits() {
    in_station(async |mut station| {
        let client = station.line().await;
        let now = SystemClock.now();
        // While nobody has said that it is not this clock that is behind, a letter of a later day waits as well.
        let mut unsure = station.draft();
        (unsure.created, unsure.expires) = (now + 2 * DAY, now + 4 * DAY);
        let (_, laid_aside) = station.seal(&unsure);
        client.deposit(laid_aside.mailbox, laid_aside.digest, laid_aside.bytes).await.unwrap();
        let (first, letter) = station.seal(&station.draft());
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        let state = station.state(&client, laid_aside.digest).await;
        assert_eq!(state.as_str_name(), wire::MailboxState::Stored.as_str_name());
        station.confirm_clock().await;
        let mut ahead = station.draft();
        (ahead.created, ahead.expires) = (now + SKEW_SECS + LETTER_AHEAD_WAIT_SECS + 5 * MINUTE, now + DAY);
        let mut days_ahead = station.draft();
        (days_ahead.created, days_ahead.expires) = (now + 3 * DAY, now + 4 * DAY);
        for draft in [ahead, days_ahead] {
            let (_, letter) = station.seal(&draft);
            client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
            station.ends(&client, letter.digest, wire::MailboxState::Unopenable).await;
        }
        let mut over = station.draft();
        (over.created, over.expires) = (now - 2 * DAY, now - DAY);
        let (_, letter) = station.seal(&over);
        refused(&client, letter.mailbox, letter.digest, letter.bytes, Refused::Malformed).await;
        // Half an hour ahead waits for its time, and one second in front of what clocks are forgiven opens by itself.
        let mut waits = station.draft();
        (waits.created, waits.expires) = (now + 30 * MINUTE, now + DAY);
        let (_, waiting) = station.seal(&waits);
        client.deposit(waiting.mailbox, waiting.digest, waiting.bytes).await.unwrap();
        let mut soon = station.draft();
        soon.created = SystemClock.now() + SKEW_SECS + 1;
        soon.expires = soon.created + DAY;
        let (by_itself, letter) = station.seal(&soon);
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        // Nine minutes ahead is a clock, not a fault; thirty days is the longest a letter lives.
        let mut skewed = station.draft();
        (skewed.created, skewed.expires) = (now + 9 * MINUTE, now + 9 * MINUTE + ENVELOPE_LIFE_SECS);
        let (code, letter) = station.seal(&skewed);
        client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
        station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        station.still_takes(&client, vec![first, by_itself, code]).await;
        // Letters are opened in the order in which they came: it was looked at, and is laid aside.
        let state = station.state(&client, waiting.digest).await;
        assert_eq!(state.as_str_name(), wire::MailboxState::Stored.as_str_name());
        let doctor = station.region.origin.ask(Call::Doctor).await.unwrap();
        assert!(doctor["findings"].as_array().unwrap().iter().any(|f| f["code"] == "CH-D0220"), "{doctor}");
    });
}

#[test]
fn a_notice_whose_consent_is_missing_expired_or_for_another_receiver_becomes_no_case() {
    in_station(async |station| {
        let client = station.line().await;
        let now = SystemClock.now();
        let mut missing = station.draft();
        missing.body.consent = None;
        let mut expired = station.draft();
        let consent = expired.body.consent.as_mut().unwrap();
        (consent.given_at, consent.expires_at) = (now - 3 * DAY, now - DAY);
        let mut elsewhere = station.draft();
        let other = station.region.coordinator.made.org;
        elsewhere.body.consent.as_mut().unwrap().recipient_org = other.to_vec();
        for draft in [missing, expired, elsewhere] {
            let (_, letter) = station.seal(&draft);
            client.deposit(letter.mailbox, letter.digest, letter.bytes).await.unwrap();
            station.ends(&client, letter.digest, wire::MailboxState::Taken).await;
        }
        station.still_takes(&client, vec![]).await;
    });
}

#[test]
fn letters_of_one_conversation_that_overtake_one_another_are_both_kept_and_the_gap_is_shown() {
    in_station(async |station| {
        let client = station.line().await;
        let mut late = station.draft();
        late.seq = 2;
        let (code, second) = station.seal(&late);
        client.deposit(second.mailbox, second.digest, second.bytes).await.unwrap();
        station.ends(&client, second.digest, wire::MailboxState::Taken).await;
        let show = || station.region.origin.ask(Call::CaseShow { case: code.clone() });
        let shown: Value = show().await.unwrap();
        assert_eq!(shown["gaps"], serde_json::json!([[1, 1]]));
        // The one before it comes after all: it is no notice that replaces another, so it is told and not taken.
        let mut early = station.draft();
        early.conversation = late.conversation;
        let (_, first) = station.seal(&early);
        client.deposit(first.mailbox, first.digest, first.bytes).await.unwrap();
        station.ends(&client, first.digest, wire::MailboxState::Taken).await;
        let shown: Value = show().await.unwrap();
        assert_eq!(shown["not_taken"].as_array().map(Vec::len), Some(1), "{shown}");
        assert_eq!(shown["messages"].as_array().map(Vec::len), Some(1), "{shown}");
        assert_eq!(shown["gaps"], serde_json::json!([]), "the gap is closed by what was not taken, too");
        station.still_takes(&client, vec![code]).await;
    });
}
