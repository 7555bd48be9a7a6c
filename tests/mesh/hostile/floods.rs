//! Frames in numbers and sizes that no client has: on a line that began well, by an accredited member.

use std::time::{Duration, Instant};

use super::frames::*;
use super::peer::{Hostile, Target, narrow_tcp};
use super::siege::{Ending, must};

/// A call that is offered to every member.
pub(super) const OUTCOME: &str = "/clearhouse.v1.Exchange/Outcome";
pub(super) const DEPOSIT: &str = "/clearhouse.v1.Exchange/Deposit";
pub(super) const FETCH: &str = "/clearhouse.v1.Mailboxes/Fetch";
/// Streams of a rapid reset.
const STREAMS: u32 = 20_000;
/// How long a door may take to see what it has before it.
const SEEN_MAX: Duration = Duration::from_secs(6);

const HERE: [u8; 4] = [127, 0, 5, 1];

/// Stream ids of a client.
fn streams() -> impl Iterator<Item = u32> {
    (0..STREAMS).map(|n| 2 * n + 1)
}

/// Says pieces until the line is ended or all are said; how many were taken.
async fn pour(line: &mut Hostile, pieces: impl Iterator<Item = Vec<u8>>) -> usize {
    let mut said = 0;
    for piece in pieces {
        if line.heard().closed.is_some() || !line.say(&piece).await {
            break;
        }
        said += 1;
    }
    said
}

/// The door must end the line, whatever it says with it.
async fn ended(line: &Hostile, said: usize) -> Ending {
    let heard = line.until(SEEN_MAX, |heard| heard.closed.is_some()).await;
    must(heard.closed.is_some(), format!("the line goes on after {said} pieces: {heard:?}"))?;
    let code = heard.goaway.map_or_else(|| "no GOAWAY".to_owned(), |code| format!("GOAWAY {code}"));
    Ok(format!("ended after {said} pieces with {code}"))
}

/// Opens and resets streams, `piece` each; the door must end the line, or let go of each stream as it is reset.
async fn resets(target: &Target, piece: impl Fn(u32) -> Vec<u8>) -> Ending {
    let mut line = target.line(HERE).await;
    let said =
        pour(&mut line, streams().map(|id| [piece(id), frame(RST_STREAM, 0, id, &8u32.to_be_bytes())].concat())).await;
    ended(&line, said).await
}

pub(super) async fn rapid_reset_before_the_end(target: &Target) -> Ending {
    resets(target, |id| frame(HEADERS, END_HEADERS, id, &call_headers(DEPOSIT, &[]))).await
}

pub(super) async fn rapid_reset_after_the_end(target: &Target) -> Ending {
    resets(target, |id| call(id, OUTCOME, &[], &whole(&field(1, &[7; 32])))).await
}

/// Fetches that would wait for fifty seconds, each given up at once.
pub(super) async fn cancelled_polls(target: &Target, mailbox: &[u8]) -> Ending {
    resets(target, |id| call(id, FETCH, &[], &whole(&field(1, mailbox)))).await
}

/// More streams left open than a line may have.
pub(super) async fn open_streams(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    let open = |id| frame(HEADERS, END_HEADERS, id, &call_headers(DEPOSIT, &[]));
    let said = pour(&mut line, streams().take(1000).map(open)).await;
    let refused =
        |heard: &super::peer::Heard| heard.closed.is_some() || heard.resets.len() + heard.status.len() >= 1000 - 32;
    let heard = line.until(SEEN_MAX, refused).await;
    if heard.closed.is_some() {
        return Ok(format!("line ended after {said} streams, GOAWAY {:?}", heard.goaway));
    }
    let held = said - (heard.resets.len() + heard.status.len()).min(said);
    must(held <= 32, format!("{held} of {said} streams are held"))?;
    Ok(format!("{held} of {said} streams are held"))
}

pub(super) async fn continuation(target: &Target, contents: usize, count: usize) -> Ending {
    let mut line = target.line(HERE).await;
    let begun = frame(HEADERS, 0, 1, &call_headers(OUTCOME, &[]));
    let mut piece = header(b"x-much", &vec![b'a'; contents.saturating_sub(12)]);
    piece.truncate(contents);
    let more = (0..count).map(|_| frame(CONTINUATION, 0, 1, &piece));
    let said = pour(&mut line, std::iter::once(begun).chain(more)).await;
    ended(&line, said).await
}

/// Ten thousand headers, none like another, in one block of as many frames as it takes.
pub(super) async fn many_headers(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    let mut block = call_headers(OUTCOME, &[]);
    (0..10_000).for_each(|n| block.extend(header(format!("x-{n}").as_bytes(), b"1")));
    let mut pieces = block.chunks(FRAME_MAX);
    let first = frame(HEADERS, 0, 1, pieces.next().unwrap_or_default());
    let last = block.len().div_ceil(FRAME_MAX) - 2;
    let more = pieces.enumerate().map(|(at, p)| frame(CONTINUATION, if at == last { END_HEADERS } else { 0 }, 1, p));
    let all: Vec<Vec<u8>> = std::iter::once(first).chain(more).collect();
    let said = pour(&mut line, all.into_iter()).await;
    refused_or_ended(&line, said).await
}

/// A block that does nothing but change the size of the table.
pub(super) async fn table_sizes(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    let storm: Vec<u8> = [0x20, 0x3f, 0xe1, 0x1f].repeat(FRAME_MAX / 4);
    let blocks = streams().take(200).map(|id| frame(HEADERS, END_HEADERS | END_STREAM, id, &storm));
    let said = pour(&mut line, blocks).await;
    refused_or_ended(&line, said).await
}

/// The stream is refused, by a status of HTTP or a reset, or the line ended.
async fn refused_or_ended(line: &Hostile, said: usize) -> Ending {
    let over = |heard: &super::peer::Heard| heard.closed.is_some() || heard.answered + heard.resets.len() > 0;
    let heard = line.until(SEEN_MAX, over).await;
    must(over(&heard), format!("nothing was refused of {said} pieces: {heard:?}"))?;
    let how = if heard.closed.is_some() { "line ended" } else { "stream refused" };
    Ok(format!("{how}, GOAWAY {:?}, resets {:?}", heard.goaway, heard.resets.values().next()))
}

/// Frames without end from a peer that reads nothing: its line is ended before they can keep anybody busy.
pub(super) async fn unread(target: &Target, piece: Vec<u8>) -> Ending {
    let stream = target.shake(narrow_tcp(HERE, target.at).await.unwrap()).await.unwrap();
    let mut line = Hostile::deaf(stream);
    line.say(&beginning()).await;
    let (pile, began, mut bytes) = (piece.repeat(FRAME_MAX / piece.len()), Instant::now(), 0);
    while began.elapsed() < UNREAD_FOR {
        let before = Instant::now();
        if !line.say(&pile).await {
            // A write that waited is a door that reads no more and holds the line; one that failed is a line that is gone.
            must(before.elapsed() < PRESSED, format!("{bytes} bytes were taken, and the line held"))?;
            return Ok(format!("ended after {} KiB", bytes >> 10));
        }
        bytes += pile.len();
    }
    Err(format!("{bytes} bytes were taken of a peer that reads nothing"))
}

/// A write that waits longer than this is pressed back.
const PRESSED: Duration = Duration::from_secs(2);
/// How long such a flood goes on.
const UNREAD_FOR: Duration = Duration::from_secs(4);

pub(super) async fn empty_data(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    line.say(&frame(HEADERS, END_HEADERS, 1, &call_headers(DEPOSIT, &[]))).await;
    let pile = frame(DATA, 0, 1, &[]).repeat(500);
    let said = pour(&mut line, (0..400).map(|_| pile.clone())).await;
    refused_or_ended(&line, said).await
}

/// The door has said goodbye, and the peer goes on talking.
pub(super) async fn after_goodbye(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    // A window that overflows ends the connection.
    line.say(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes())).await;
    let goodbye = line.until(SEEN_MAX, |heard| heard.goaway.is_some() || heard.closed.is_some()).await;
    must(goodbye.goaway.is_some(), "no GOAWAY for a window that overflows")?;
    let ping = frame(PING, 0, 0, &[5; 8]).repeat(100);
    let said = pour(&mut line, (0..200).map(|_| ping.clone())).await;
    ended(&line, said).await
}

/// Our own goodbye, and then calls all the same.
pub(super) async fn after_own_goodbye(target: &Target) -> Ending {
    let mut line = target.line(HERE).await;
    line.say(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    let said =
        pour(&mut line, streams().take(2000).map(|id| call(id, OUTCOME, &[], &whole(&field(1, &[7; 32]))))).await;
    ended(&line, said).await
}

/// Frames that are wrong by themselves: each must end the line.
pub(super) async fn broken_frames(target: &Target) -> Ending {
    let headers = || frame(HEADERS, END_HEADERS, 1, &call_headers(OUTCOME, &[]));
    let wrong: [(&str, Vec<u8>); 7] = [
        ("a frame longer than allowed", frame(DATA, 0, 1, &vec![0; FRAME_MAX + 1])),
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on an idle stream", frame(DATA, 0, 99, b"x")),
        ("an even stream", frame(HEADERS, END_HEADERS, 2, &call_headers(OUTCOME, &[]))),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, b"x")),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("a frame between headers", [frame(HEADERS, 0, 1, &[]), headers()].concat()),
    ];
    for (what, bytes) in wrong {
        let mut line = target.line(HERE).await;
        line.say(&bytes).await;
        ended(&line, 1).await.map_err(|how| format!("{what}: {how}"))?;
    }
    Ok("each ended its line".to_owned())
}
