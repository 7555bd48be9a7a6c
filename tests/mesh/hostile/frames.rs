//! HTTP/2 made by hand: frames and header blocks as a peer sends them who keeps to nothing.
//!
//! Refuses every library that would correct what is wrong on purpose. What the door answers is read with the same few
//! lines: no dynamic table (we say that we keep none), and Huffman only as far as the words of a status go.

/// What every HTTP/2 client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Largest frame a door takes.
pub(super) const FRAME_MAX: usize = 16 << 10;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// One frame; nothing about it is checked.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, contents: &[u8]) -> Vec<u8> {
    let len = u32::try_from(contents.len()).unwrap().to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(contents);
    bytes
}

/// Settings, each a number and its value.
pub(super) fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let each = all.iter().flat_map(|(id, value)| id.to_be_bytes().into_iter().chain(value.to_be_bytes()));
    frame(SETTINGS, 0, 0, &each.collect::<Vec<_>>())
}

/// The name of the setting of the peer's dynamic table.
pub(super) const HEADER_TABLE_SIZE: u16 = 1;
/// The name of the setting of how much may be sent ahead on a new stream.
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;

/// How a client begins that is well so far.
pub(super) fn beginning() -> Vec<u8> {
    [PREFACE, &settings(&[(HEADER_TABLE_SIZE, 0)])].concat()
}

/// One header, literal, not indexed, without Huffman.
pub(super) fn header(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        length(&mut bytes, 0x7f, text.len());
        bytes.extend(text);
    }
    bytes
}

/// An HPACK integer (RFC 7541 section 5.1) into the low bits of a fresh byte.
fn length(bytes: &mut Vec<u8>, full: usize, mut value: usize) {
    if value < full {
        return bytes.push(u8::try_from(value).unwrap());
    }
    bytes.push(u8::try_from(full).unwrap());
    value -= full;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
}

/// The headers of a gRPC call, and `more` behind them.
pub(super) fn call_headers(path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let usual: [(&[u8], &[u8]); 6] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", b"node.invalid"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ];
    usual.iter().chain(more).flat_map(|(name, value)| header(name, value)).collect()
}

/// A whole unary call: headers, then `body` in as many frames as it takes.
pub(super) fn call(stream: u32, path: &str, more: &[(&[u8], &[u8])], body: &[u8]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &call_headers(path, more));
    bytes.extend(data(stream, body, true));
    bytes
}

/// `body` in frames, the last of which ends the stream when `ends`.
pub(super) fn data(stream: u32, body: &[u8], ends: bool) -> Vec<u8> {
    let mut pieces: Vec<&[u8]> = body.chunks(FRAME_MAX).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let flags = |at: usize| if ends && at == last { END_STREAM } else { 0 };
    pieces.iter().enumerate().flat_map(|(at, piece)| frame(DATA, flags(at), stream, piece)).collect()
}

/// A gRPC message: not compressed unless `flag` says so, and as long as it says.
pub(super) fn message(flag: u8, says: u32, contents: &[u8]) -> Vec<u8> {
    [&[flag][..], &says.to_be_bytes(), contents].concat()
}

/// A gRPC message that is what it says.
pub(super) fn whole(contents: &[u8]) -> Vec<u8> {
    message(0, u32::try_from(contents.len()).unwrap(), contents)
}

/// One protobuf field of bytes.
pub(super) fn field(number: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut len = contents.len();
    while len >= 128 {
        bytes.push(u8::try_from(len % 128).unwrap() | 128);
        len /= 128;
    }
    bytes.push(u8::try_from(len).unwrap());
    bytes.extend(contents);
    bytes
}

/// Headers with a literal name out of a block of the door's; others are skipped. `None` where it cannot be read.
pub(super) fn read_headers(mut block: &[u8]) -> Option<Vec<(String, String)>> {
    let mut read = Vec::new();
    while let Some(first) = block.first().copied() {
        let (bits, literal) = match first {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = integer(&mut block, bits)?;
        if literal {
            let name = if index == 0 { string(&mut block)? } else { String::new() };
            read.push((name, string(&mut block)?));
        }
    }
    Some(read)
}

fn integer(bytes: &mut &[u8], bits: u8) -> Option<usize> {
    let (first, mut rest) = bytes.split_first()?;
    let mut value = usize::from(first & bits);
    if value == usize::from(bits) {
        for shift in (0..28).step_by(7) {
            let (next, after) = rest.split_first()?;
            rest = after;
            value += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    *bytes = rest;
    Some(value)
}

fn string(bytes: &mut &[u8]) -> Option<String> {
    let squeezed = bytes.first()? & 0x80 != 0;
    let len = integer(bytes, 0x7f)?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    if squeezed { unsqueeze(text) } else { String::from_utf8(text.to_vec()).ok() }
}

/// The letters of the first 74 codes of RFC 7541 appendix B: those of five, six, seven and eight bits, each group counting
/// on from its first code.
const CODES: [(usize, u32, &str); 4] = [
    (5, 0, "012aceiost"),
    (6, 0x14, " %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, "&*,;XZ"),
];

fn unsqueeze(text: &[u8]) -> Option<String> {
    let bits: Vec<u32> = text.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))).collect();
    let (mut at, mut read) = (0, String::new());
    'letters: while at < bits.len() {
        for (len, first, letters) in CODES {
            let Some(code) = bits.get(at..at + len) else { break };
            let code = code.iter().fold(0, |all, bit| all << 1 | bit);
            if let Some(letter) = code.checked_sub(first).and_then(|n| letters.chars().nth(n as usize)) {
                read.push(letter);
                at += len;
                continue 'letters;
            }
        }
        // What is left is the padding of ones, or a letter that no status of ours has.
        let padding = bits.len() - at < 8 && bits[at..].iter().all(|bit| *bit == 1);
        return padding.then_some(read);
    }
    Some(read)
}

#[test]
fn what_is_written_here_is_read_here_and_huffman_is_the_tables() {
    let block = [header(b"grpc-status", b"12"), vec![0x88], header(b"x", &[b'y'; 300])].concat();
    let read = read_headers(&block).unwrap();
    assert_eq!(read[0], ("grpc-status".to_owned(), "12".to_owned()));
    assert_eq!(read[1].1.len(), 300);
    // RFC 7541 C.4.1 and C.6.1: as others wrote them.
    let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(unsqueeze(&example).as_deref(), Some("www.example.com"));
    assert_eq!(unsqueeze(&[0xae, 0xc3, 0x77, 0x1a, 0x4b]).as_deref(), Some("private"));
}
