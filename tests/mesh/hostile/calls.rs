//! Calls that HTTP/2 has nothing against: lengths that lie, compression, bombs of fields, names and times of nonsense.
//! All by an accredited member.

use std::time::Duration;

use super::floods::{DEPOSIT, OUTCOME};
use super::frames::*;
use super::peer::Target;
use super::siege::{Ending, must};

const DIGESTS: &str = "/clearhouse.v1.Sync/Digests";
const HERE: [u8; 4] = [127, 0, 6, 1];
/// How long an answer may take that needs no thought.
const ANSWER_MAX: Duration = Duration::from_secs(6);
/// Longest words that go with a refusal.
const TEXT_MAX: usize = 200;

/// Numbers of gRPC.
pub(super) const OK: u32 = 0;
const INVALID_ARGUMENT: u32 = 3;
const DEADLINE_EXCEEDED: u32 = 4;
const OUT_OF_RANGE: u32 = 11;
const UNIMPLEMENTED: u32 = 12;

/// What a call with these headers and this body is answered with on a line of its own; the line must go on, too.
async fn answer(target: &Target, path: &str, more: &[(&[u8], &[u8])], body: &[u8]) -> Result<u32, String> {
    let mut line = target.line(HERE).await;
    line.say(&frame(HEADERS, END_HEADERS, 1, &call_headers(path, more))).await;
    line.say_within_windows(1, body).await;
    let Some((code, text)) = line.answer(1, ANSWER_MAX).await else {
        return Err(format!("no status: {:?}", line.heard()));
    };
    must(text.len() <= TEXT_MAX, format!("{} bytes of text", text.len()))?;
    line.say(&call(3, OUTCOME, &[], &whole(&field(1, &[7; 32])))).await;
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
    // Most of what `Digests` takes, as records that vouch for the caller and have nothing in them.
    refused(target, DIGESTS, &whole(&[0x22, 0].repeat(200_000)), INVALID_ARGUMENT).await?;
    // One record with as many signatures.
    refused(target, DIGESTS, &whole(&field(4, &[0x1a, 0].repeat(200_000))), INVALID_ARGUMENT).await?;
    // A field that is there once, so often that only its last counts; and one that nobody knows.
    refused(target, OUTCOME, &whole(&[0x0a, 0].repeat(20_000)), INVALID_ARGUMENT).await?;
    refused(target, OUTCOME, &whole(&[0x78, 0].repeat(20_000)), INVALID_ARGUMENT).await?;
    Ok(format!("status {INVALID_ARGUMENT}"))
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
    let outcome = whole(&field(1, &[7; 32]));
    for time in ["87600H", "99999999H", "garbage", "-1S", "184467440737095516150S", "1", "S", ""] {
        let told = answer(target, OUTCOME, &[(b"grpc-timeout", time.as_bytes())], &outcome).await?;
        must(told == OK, format!("{time:?}: status {told}"))?;
    }
    let told = answer(target, OUTCOME, &[(b"grpc-timeout", b"0n")], &outcome).await;
    // An answer may be faster than no time.
    must(matches!(told, Ok(OK | DEADLINE_EXCEEDED)), format!("no time: {told:?}"))?;
    Ok("answered, or in no time".to_owned())
}

/// Metadata with line ends, escapes and what is not base64: no line of the log may come of it.
pub(super) async fn metadata(target: &Target) -> Ending {
    let outcome = whole(&field(1, &[7; 32]));
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
        line.say(&call(1, OUTCOME, &[(name, value)], &outcome)).await;
        let told = line.answer(1, ANSWER_MAX).await.map(|(code, _)| code);
        let heard = line.heard();
        let over = told == Some(OK) || heard.closed.is_some() || heard.resets.contains_key(&1);
        must(over, format!("{name:?}: {heard:?}"))?;
        ends.push(if told == Some(OK) { "ignored" } else { "refused" });
    }
    Ok(ends.join(", "))
}
