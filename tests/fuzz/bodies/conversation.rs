//! A whole conversation: bytes read as a list of events over two offices, from the opening of a case to its end. People act,
//! the line loses, repeats, reorders and changes what is on it, an office loses its power between any two beats, she takes
//! back her word, coordinators put a party out.
//!
//! Promises: no message changes a case twice; nothing goes back (a letter that was opened, a message that was settled); a
//! party known to be out changes nothing; an office that starts again from its rows is the office it was; events have no gap.

mod acts;
mod office;

use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::limits::{DAY, HOUR, MINUTE};
use std::sync::OnceLock;

use super::Seed;
use super::bytes::Bytes;
use office::Site;

/// Events of one run.
const EVENTS_MAX: usize = 160;
/// Envelopes on the line at most.
const LINE_MAX: usize = 16;

fn region() -> &'static Region {
    static REGION: OnceLock<Region> = OnceLock::new();
    REGION.get_or_init(|| Region::new(11, 2))
}

/// What is on the line: an envelope under way to an office, by the name it left with.
struct Packet {
    to: usize,
    digest: clearhouse_protocol::ids::Digest,
    bytes: Vec<u8>,
}

struct World {
    sites: [Site; 2],
    line: Vec<Packet>,
    now: u64,
}

/// Gives it bytes.
pub fn run(data: &[u8]) {
    settled(data);
}

/// Gives it bytes; how many messages of both offices were answered, at the end.
pub fn settled(data: &[u8]) -> usize {
    let mut bytes = Bytes::new(data);
    let mut world = World { sites: [Site::new(0), Site::new(1)], line: Vec::new(), now: NOW + HOUR };
    for _ in 0..EVENTS_MAX {
        if bytes.is_empty() {
            break;
        }
        world.happen(&mut bytes);
        world.now += 1;
    }
    for site in &mut world.sites {
        site.starts_again(world.now);
    }
    world.sites.iter().map(Site::settled).sum()
}

impl World {
    fn happen(&mut self, bytes: &mut Bytes<'_>) {
        let (what, which) = (bytes.u8(), bytes.u8());
        let (here, now) = (usize::from(what >> 7), self.now);
        match what & 0x0f {
            0..=2 => acts::act(&mut self.sites[here], which, now),
            3 | 4 => self.courier(here, which),
            5 | 6 => self.arrive(which, false),
            7 => self.sites[here].open_letters(now),
            8 => self.sites[here].starts_again(now),
            9 => self.spoil(what, which, bytes.u16()),
            10 => {
                self.now += [MINUTE, HOUR, 6 * HOUR, DAY, 5 * DAY][usize::from(which) % 5];
                self.sites[here].tick(self.now);
            }
            11 => self.sites[here].ask_after(now, which),
            12 => self.arrive(which, true),
            13 => self.sites[here].put_out(which, now),
            14 => self.sites[here].lock(which % 2 == 0),
            _ => self.sites[here].loses_its_next_commit(),
        }
    }

    /// The courier of an office puts on the line what is due.
    fn courier(&mut self, here: usize, which: u8) {
        for (digest, bytes) in self.sites[here].leaving(self.now) {
            if self.line.len() < LINE_MAX {
                self.line.push(Packet { to: 1 - here, digest, bytes });
            }
        }
        // Nobody waits for an answer for ever.
        self.sites[here].give_up_calls(self.now, which);
    }

    /// Something on the line arrives; it may arrive again, and its answer may be lost.
    fn arrive(&mut self, which: u8, again: bool) {
        if self.line.is_empty() {
            return;
        }
        let place = usize::from(which) % self.line.len();
        let packet = if again {
            let Packet { to, digest, bytes } = &self.line[place];
            Packet { to: *to, digest: *digest, bytes: bytes.clone() }
        } else {
            self.line.remove(place)
        };
        let answer = self.sites[packet.to].takes(&packet.bytes, packet.digest, self.now);
        let is_heard = which & 0x40 == 0;
        self.sites[1 - packet.to].answered(packet.digest, if is_heard { answer } else { None }, self.now);
    }

    /// Something on the line is lost, or a bit of it changes.
    fn spoil(&mut self, what: u8, which: u8, at: u16) {
        if self.line.is_empty() {
            return;
        }
        let place = usize::from(which) % self.line.len();
        if what & 0x10 == 0 {
            self.line.remove(place);
            return;
        }
        let bytes = &mut self.line[place].bytes;
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= 1 << (which & 7);
    }
}

/// Small sound inputs: a case from its first day on, and the same under bad weather.
pub fn seeds() -> Vec<Seed> {
    // Everything that one office says comes to the other, is opened, and the answer comes back.
    let round = |here: u8| {
        let there = here ^ 0x80;
        [3 | here, 0, 5, 0, 5, 0, 7 | there, 0, 3 | there, 0, 5, 0, 5, 0, 7 | here, 0, 11 | here, 0]
    };
    let say = |here: u8, act: u8| [&[here, act][..], &round(here)].concat();
    let opened = [&[0, 0, 0, 1][..], &say(0, 2)].concat();
    let accepted = [opened.clone(), say(0x80, 3), say(0x80, 4), say(0x80, 5)].concat();
    let sent = [accepted.clone(), vec![0, 6, 0, 7], say(0, 8), say(0x80, 3), say(0, 9), say(0x80, 10)].concat();
    let again = [&[0, 0, 0, 1, 0, 2, 3, 0, 12, 0, 12, 0, 5, 0, 7 | 0x80, 0, 8 | 0x80, 0][..], &round(0x80)].concat();
    let late = [&[0, 0, 0, 1, 0, 2, 3, 0, 12, 0, 7 | 0x80, 0, 5, 0, 7 | 0x80, 0][..], &round(0x80)].concat();
    let spoiled = [&[0, 0, 0, 1, 0, 2, 3, 0, 12, 0, 0x19, 3, 9, 9, 5, 0][..], &round(0)].concat();
    let taken_back = [&accepted[..], &[0, 6, 0, 8, 0, 11, 3, 0, 5, 0], &round(0)].concat();
    let put_out = [&opened[..], &[13 | 0x80, 0, 0, 11, 3, 0, 5, 0, 7 | 0x80, 0], &round(0)].concat();
    let cut = [&[0, 0, 8, 0, 0, 1, 15, 0, 0, 2, 8, 0, 0, 2, 3, 0, 8, 0, 3, 0, 5, 0x40, 10, 2][..], &round(0)].concat();
    let slow = [&opened[..], &[10, 3, 10 | 0x80, 3, 10, 4, 10 | 0x80, 4], &round(0), &round(0x80)].concat();
    let locked = [&[0, 0, 0, 1, 0, 2, 14 | 0x80, 0][..], &round(0), &[14 | 0x80, 1], &round(0x80)].concat();
    [
        ("opened", opened),
        ("accepted", accepted),
        ("whole", sent),
        ("again", again),
        ("late-copy", late),
        ("spoiled", spoiled),
        ("taken-back", taken_back),
        ("put-out", put_out),
        ("power-cuts", cut),
        ("slow", slow),
        ("locked", locked),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
