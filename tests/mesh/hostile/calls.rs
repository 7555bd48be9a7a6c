//! Calls that HTTP/2 has nothing against: lengths that lie, compression, bombs of fields, names and times of nonsense.
//! All by an accredited member.

use std::time::Duration;

use super::floods::{DEPOSIT, OUTCOME};
use super::frames::*;
use super::peer::{Hostile, Target};
use super::siege::{Ending, must};
use super::site::Site;

pub(super) const DIGESTS: &str = "/clearhouse.v1.Sync/Digests";
/// As much as such a call takes, or next to it.
pub(super) const DIGESTS_MAX: usize = 440 << 10;
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/Check";
const HERE: [u8; 4] = [127, 0, 6, 1];
/// How long an answer may take that needs no thought.
const ANSWER_MAX: Duration = Duration::from_secs(6);
/// Longest words that go with a refusal.
const TEXT_MAX: usize = 200;

/// Numbers of gRPC.
pub(super) const OK: u32 = 0;
const CANCELLED: u32 = 1;
const INVALID_ARGUMENT: u32 = 3;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const OUT_OF_RANGE: u32 = 11;
const UNIMPLEMENTED: u32 = 12;

/// What a call with these headers and this body is answered with on a line of its own; the line must go on, too.
async fn answer(target: &Target, path: &str, more: &[(&[u8], &[u8])], body: &[u8]) -> Result<u32, String> {
    let mut line = target.line(HERE).await;
    line.say(&frame(HEADERS, END_HEADERS, 1, &call_headers(path, more))).await;
    line.say_within_windows(1, body, true).await;
    let Some((code, text)) = line.answer(1, ANSWER_MAX).await else {
        return Err(format!("no status: {:?}", line.heard()));
    };
    must(text.len() <= TEXT_MAX, format!("{} bytes of text", text.len()))?;
    // Of these there are as many as anybody likes.
    line.say(&call(3, HEALTH, &[], &whole(&[]))).await;
    let next = line.answer(3, ANSWER_MAX).await.map(|(code, _)| code);
    must(next == Some(OK), format!("the next call on the line: {next:?}"))?;
    Ok(code)
}

async fn refused(target: &Target, path: &str, body: &[u8], code: u32) -> Ending {
    let told = answer(target, path, &[], body).await?;
    must(told == code, format!("status {told}, not {code}"))?;
    Ok(format!("status {told}"))
}

pub(super) async fn four_gigabytes(target: &Target) -> Ending {
    for path in [OUTCOME, DEPOSIT, DIGESTS] {
        refused(target, path, &message(0, u32::MAX, &[1; 64]), OUT_OF_RANGE)
            .await
            .map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(format!("status {OUT_OF_RANGE} of all"))
}

/// Sixteen MiB of zeros, squeezed.
pub(super) async fn gzip(target: &Target) -> Ending {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![0; 16 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let body = message(1, u32::try_from(bomb.len()).unwrap(), &bomb);
    for path in [OUTCOME, DEPOSIT] {
        for encoding in [&b"gzip"[..], b"deflate", b"zstd", b"no-such"] {
            let told = answer(target, path, &[(b"grpc-encoding", encoding)], &body).await?;
            must(told == UNIMPLEMENTED, format!("{path}: status {told}"))?;
        }
        let told = answer(target, path, &[], &body).await?;
        must(matches!(told, INVALID_ARGUMENT | OUT_OF_RANGE), format!("{path}, not announced: status {told}"))?;
    }
    Ok(format!("status {UNIMPLEMENTED}"))
}

/// Messages made of empty fields: as many as fit into what a call takes, and a whole mebibyte of them.
pub(super) async fn elements(target: &Target) -> Ending {
    refused(target, OUTCOME, &whole(&[0x0a, 0].repeat(500_000)), OUT_OF_RANGE).await?;
    records(target).await?;
    // One record with as many signatures.
    refused(target, DIGESTS, &whole(&field(4, &[0x1a, 0].repeat(200_000))), INVALID_ARGUMENT).await?;
    // A field that is there once, so often that only its last counts; and one that nobody knows.
    refused(target, OUTCOME, &whole(&[0x0a, 0].repeat(20_000)), INVALID_ARGUMENT).await?;
    refused(target, OUTCOME, &whole(&[0x78, 0].repeat(20_000)), INVALID_ARGUMENT).await?;
    Ok(format!("status {INVALID_ARGUMENT}"))
}

/// Most of what `Digests` takes, as records that vouch for the caller and have nothing in them.
pub(super) async fn records(target: &Target) -> Ending {
    refused(target, DIGESTS, &whole(&[0x22, 0].repeat(200_000)), INVALID_ARGUMENT).await
}

/// Groups in groups, which is how an unknown field nests.
pub(super) async fn depth(target: &Target) -> Ending {
    for deep in [17, 101, 10_000] {
        let nested = [[0x7b].repeat(deep), [0x7c].repeat(deep)].concat();
        refused(target, OUTCOME, &whole(&nested), INVALID_ARGUMENT).await.map_err(|e| format!("{deep} deep: {e}"))?;
    }
    Ok(format!("status {INVALID_ARGUMENT}"))
}

/// What is not offered is not there, in one way; and health is, but not without end.
pub(super) async fn unknown_calls(target: &Target) -> Ending {
    for path in [
        "/clearhouse.v1.Exchange/Nothing",
        "/no.such.Service/Call",
        "/",
        "/clearhouse.v1.Exchange/Outcome/more",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Watch",
    ] {
        refused(target, path, &whole(&[]), UNIMPLEMENTED).await.map_err(|e| format!("{path}: {e}"))?;
    }
    let check = answer(target, "/grpc.health.v1.Health/Check", &[], &whole(&[])).await?;
    must(check == OK, format!("health: status {check}"))?;
    Ok(format!("status {UNIMPLEMENTED}"))
}

/// Deadlines of the caller's: ten years, none at all, and no time.
pub(super) async fn timeouts(target: &Target) -> Ending {
    for time in ["87600H", "99999999H", "garbage", "-1S", "184467440737095516150S", "1", "S", ""] {
        let told = answer(target, HEALTH, &[(b"grpc-timeout", time.as_bytes())], &whole(&[])).await?;
        must(told == OK, format!("{time:?}: status {told}"))?;
    }
    let told = answer(target, HEALTH, &[(b"grpc-timeout", b"0n")], &whole(&[])).await;
    // An answer may be faster than no time; where it is not, the library says so in its own way.
    must(matches!(told, Ok(OK | CANCELLED | DEADLINE_EXCEEDED)), format!("no time: {told:?}"))?;
    Ok("answered, or in no time".to_owned())
}

/// Metadata with line ends, escapes and what is not base64: no line of the log may come of it.
pub(super) async fn metadata(target: &Target) -> Ending {
    let hostile: [(&[u8], &[u8]); 6] = [
        (b"x-note", b"a\r\nERROR clearhouse: all is lost"),
        (b"x-note", b"\x1b[2J\x1b]0;owned\x07"),
        (b"x-note-bin", b"!!!not base64!!!"),
        (b"x-note-bin", b"DQobWzJK"),
        (b"user-agent", "\u{202e}reversed".as_bytes()),
        (b"grpc-status-details-bin", b"\xff\xfe"),
    ];
    let mut ends = Vec::new();
    for (name, value) in hostile {
        let mut line = target.line(HERE).await;
        line.say(&call(1, HEALTH, &[(name, value)], &whole(&[]))).await;
        let told = line.answer(1, ANSWER_MAX).await.map(|(code, _)| code);
        let heard = line.heard();
        let over = told == Some(OK) || heard.closed.is_some() || heard.resets.contains_key(&1);
        must(over, format!("{name:?}: {heard:?}"))?;
        ends.push(if told == Some(OK) { "ignored" } else { "refused" });
    }
    Ok(ends.join(", "))
}

/// Calls as fast as they are answered: the bucket of a minute is empty before long.
pub(super) async fn too_fast(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    for n in 0..1000 {
        line.say(&call(2 * n + 1, OUTCOME, &[], &whole(&field(1, &[7; 32])))).await;
        match line.answer(2 * n + 1, ANSWER_MAX).await {
            Some((OK, _)) => {}
            Some((RESOURCE_EXHAUSTED, _)) => return Ok(format!("status {RESOURCE_EXHAUSTED} after {n}")),
            other => return Err(format!("call {n}: {other:?}")),
        }
    }
    Err("a thousand calls were answered".to_owned())
}

/// Questions after a health, as many as a line holds at once, until it is enough.
pub(super) async fn too_healthy(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    for from in (0..10_000).step_by(16) {
        let ids = || (from..from + 16).map(|n| 2 * n + 1);
        line.say(&ids().flat_map(|id| call(id, HEALTH, &[], &whole(&[]))).collect::<Vec<_>>()).await;
        for id in ids() {
            match line.answer(id, ANSWER_MAX).await {
                Some((OK, _)) => {}
                Some((RESOURCE_EXHAUSTED, _)) => return Ok(format!("status {RESOURCE_EXHAUSTED} after {from}")),
                other => return Err(format!("call {id}: {other:?}")),
            }
        }
    }
    Err("ten thousand questions were answered".to_owned())
}

/// Lines of one node, and calls of one line.
const LINES: u8 = 4;
const CALLS: u32 = 32;
/// What all bodies that one node leaves unfinished may take, with what else goes on.
const HELD_MAX: u64 = 24 << 20;

/// On every line and call that one node may have a body of which the last byte never comes.
pub(super) async fn held(site: &Site, path: &str, len: usize) -> Ending {
    let before = site.used().resident;
    let message = whole(&vec![0; len]);
    let lines = super::site::all_of((1..=LINES).map(|n| fill(&site.fast, [127, 0, 6, n], path, &message))).await;
    let grown = site.used().resident.saturating_sub(before);
    let held: usize = lines.iter().map(|(_, held)| held).sum();
    must(grown <= HELD_MAX, format!("{held} bodies of {len} bytes are held in {} MiB", grown >> 20))?;
    Ok(format!("{held} held, {} MiB more", grown >> 20))
}

/// One line of such calls, and how many of them were not refused.
async fn fill(target: &Target, from: [u8; 4], path: &str, message: &[u8]) -> (Hostile, usize) {
    let mut line = target.line(from).await;
    for n in 0..CALLS {
        line.say(&frame(HEADERS, END_HEADERS, 2 * n + 1, &call_headers(path, &[]))).await;
        line.say_within_windows(2 * n + 1, &message[..message.len() - 1], false).await;
    }
    let refused = line.heard().status.len();
    (line, CALLS as usize - refused)
}
