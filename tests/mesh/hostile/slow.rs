//! Attacks that take their time: a byte now and then, an answer that is never taken. By an accredited member.

use std::time::Duration;

use super::floods::{DEPOSIT, OUTCOME};
use super::frames::*;
use super::peer::{Hostile, Target};
use super::siege::{Ending, must};

const HERE: [u8; 4] = [127, 0, 7, 1];
const DEADLINE_EXCEEDED: u32 = 4;
/// A whole call has thirty seconds, and a deposit as long before its pace counts.
const CALL: Duration = Duration::from_secs(30);
/// What a busy machine adds.
const MORE: Duration = Duration::from_secs(6);
/// One byte so often.
const BYTE_EVERY: Duration = Duration::from_secs(10);

/// A stream on which a byte comes every ten seconds ends after [`CALL`], with a status; the line may go on.
pub(super) async fn dripping(target: &Target, path: &str) -> Ending {
    let mut line = target.line(HERE).await;
    // What time the caller says it has changes nothing.
    let ten_years: (&[u8], &[u8]) = (b"grpc-timeout", b"87600H");
    line.say(&frame(HEADERS, END_HEADERS, 1, &call_headers(path, &[ten_years]))).await;
    line.say(&data(1, &message(0, 1000, &[]), false)).await;
    loop {
        let heard = line.until(BYTE_EVERY, |heard| heard.status.contains_key(&1) || heard.closed.is_some()).await;
        if let Some((code, _)) = heard.status.get(&1) {
            must(*code == DEADLINE_EXCEEDED, format!("status {code}"))?;
            break;
        }
        must(heard.closed.is_none(), "the line was closed, not the call")?;
        must(line.began.elapsed() < CALL + MORE, "the stream is still open")?;
        line.say(&data(1, b"\0", false)).await;
    }
    Ok(format!("status {DEADLINE_EXCEEDED} after {:.1?}", line.began.elapsed()))
}

/// A deposit that has begun and does not go on.
pub(super) fn unfinished_deposit() -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, 1, &call_headers(DEPOSIT, &[]));
    [headers, data(1, &message(0, 1000, &[]), false)].concat()
}

/// An answer waits for a window that never comes: the line is ended, and with it the slot.
pub(super) async fn no_window(target: &Target) -> Ending {
    let mut line = Hostile::new(target.let_in(HERE).await);
    line.say(&[PREFACE, &settings(&[(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, 0)])].concat()).await;
    line.say(&call(1, OUTCOME, &[], &whole(&field(1, &[7; 32])))).await;
    let after = line.closed(CALL + MORE).await.ok_or("the line is still open")?;
    must(after + MORE > CALL, format!("closed already after {after:.1?}: not what is tried"))?;
    Ok(format!("line ended after {after:.1?}"))
}

/// All three at once: the door has them side by side, too.
pub(super) async fn all(target: &Target) -> Ending {
    let (deposit, call, window) = tokio::join!(dripping(target, DEPOSIT), dripping(target, OUTCOME), no_window(target));
    let named = |what: &str, ending: Ending| ending.map_err(|e| format!("{what}: {e}")).map(|e| format!("{what}: {e}"));
    Ok([named("deposit", deposit)?, named("call", call)?, named("window", window)?].join("; "))
}
