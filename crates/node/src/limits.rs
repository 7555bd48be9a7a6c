//! What the node's doors allow: sizes, counts and times of connections and calls, and what keeps count of them.
//!
//! Refuses to be raised: [`Limits::HARD`] are caps (reliability section 8), a configuration may only ask for less.
//! Sizes of messages are not here but in [`clearhouse_protocol::limits`].

use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::limits::ENVELOPE_MAX;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Everything a door bounds. Tests use shorter times; a node uses [`Limits::HARD`] or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time to find a peer's address and to be answered there, when this node dials.
    pub dial: Duration,
    /// Time for a whole TLS handshake, waiting for a turn included.
    pub handshake: Duration,
    /// Time from the end of the handshake to the end of the client's first SETTINGS frame.
    pub preface: Duration,
    /// Handshakes whose arithmetic may be under way at once.
    pub handshakes_in_flight: usize,
    /// Connections of one address (one /64 of IPv6) that have not shown an accredited key yet.
    pub strangers_per_address: usize,
    /// Connections in all that have not shown an accredited key yet. Half of all, so that members find room.
    pub strangers: usize,
    /// Connections of one accredited node. A further one ends the oldest.
    pub lines_per_node: usize,
    /// Connections in all.
    pub connections: usize,
    /// HTTP/2 streams one connection may hold open.
    pub streams_per_connection: u32,
    /// Calls of one connection worked on at once; more are refused, not queued.
    pub calls_per_connection: usize,
    /// Bytes of headers of one call.
    pub header_list: u32,
    /// Bytes of one HTTP/2 frame.
    pub http_frame: u32,
    /// Bytes a peer may send ahead on one stream.
    pub stream_window: u32,
    /// Bytes a peer may send ahead on one connection.
    pub connection_window: u32,
    /// Frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones) that a peer may send ahead of
    /// [`Limits::chatter_per_second`]. Who fetches eight of the largest envelopes gives some nine thousand windows.
    pub chatter_ahead: u32,
    /// Such frames a second. Each takes time to read, and none of them is a call.
    pub chatter_per_second: u32,
    /// Streams reset by the peer before they were accepted: more end the connection.
    pub pending_resets: usize,
    /// Streams reset by us for the peer's errors: more end the connection.
    pub local_resets: usize,
    /// Time for a whole call, its answer taken included. Deposits have a pace instead.
    pub call: Duration,
    /// Silence after which a peer is asked whether it is there.
    pub keepalive_every: Duration,
    /// Time it has to answer that.
    pub keepalive_answer: Duration,
    /// Age at which a connection takes no new calls.
    pub connection_age: Duration,
    /// Time calls under way then have to end.
    pub connection_grace: Duration,
    /// Head start of a deposit before its pace counts.
    pub deposit_grace: Duration,
    /// Slowest pace of a deposit, in bytes per second. 1 KiB/s is a poor mobile line; below it memory is only held.
    pub deposit_pace: u64,
    /// Longest deposit whatever its size. With [`CLIENT_LINE_AGE`] it fits into `connection_age`.
    pub deposit_longest: Duration,
    /// Bytes of deposits in flight up to [`LETTER_MAX`] each. A notice never waits behind photographs.
    pub letters_in_flight: usize,
    /// Bytes of larger deposits in flight.
    pub parcels_in_flight: usize,
    /// Bytes of deposits in flight of one node.
    pub in_flight_per_node: usize,
    /// Deposits of one node in a minute.
    pub deposits_per_minute: u32,
    /// Questions for an outcome of one node in a minute.
    pub outcomes_per_minute: u32,
    /// Questions for directory records of one node in a minute.
    pub records_per_minute: u32,
    /// Heads of its log that one node may ask to have cosigned in a minute.
    pub checkpoints_per_minute: u32,
    /// Questions of one node in a minute about what this directory holds. One that has been away for long needs hundreds.
    pub syncs_per_minute: u32,
    /// Fetches from a mailbox that one node may begin in a minute, and as many words of what it has.
    pub fetches_per_minute: u32,
    /// How long a fetch waits for something to be left. Shorter than routers forget a line.
    pub fetch_hold: Duration,
    /// Time open calls have to end when the node stops.
    pub drain: Duration,
}

/// Deposits up to this size draw on `letters_in_flight`: all size classes of messages without large attachments.
pub const LETTER_MAX: usize = (1 << 20) + (64 << 10);
/// A client starts no call on a connection older than this, so that the server's age limit never cuts a deposit.
pub const CLIENT_LINE_AGE: Duration = Duration::from_secs(15 * 60);
/// Nodes whose pace is remembered. Beyond it, those that have been quiet are forgotten first.
pub const METERED_NODES_MAX: usize = 4096;

/// Fields of one message of a call, nested ones included: a full bundle of records has some thirty thousand. Of one list
/// there are [`clearhouse_protocol::limits::ELEMENTS_MAX`] at most.
pub const FIELDS_MAX: usize = 1 << 16;

/// Envelopes that one organisation may leave within an hour in mailboxes kept here for others.
pub const RELAY_ORG_ITEMS_PER_HOUR: usize = 600;
/// Bytes of them.
pub const RELAY_ORG_BYTES_PER_HOUR: u64 = 512 << 20;

impl Limits {
    /// The caps. Also the defaults: there is no reason to allow less until an operator has one.
    pub const HARD: Self = Self {
        dial: Duration::from_secs(10),
        handshake: Duration::from_secs(5),
        preface: Duration::from_secs(5),
        handshakes_in_flight: 32,
        strangers_per_address: 8,
        strangers: 256,
        lines_per_node: 4,
        connections: 512,
        streams_per_connection: 64,
        calls_per_connection: 32,
        header_list: 16 << 10,
        http_frame: 16 << 10,
        stream_window: 64 << 10,
        connection_window: 1 << 20,
        chatter_ahead: 32 << 10,
        chatter_per_second: 2 << 10,
        pending_resets: 20,
        local_resets: 100,
        call: Duration::from_secs(30),
        keepalive_every: Duration::from_secs(60),
        keepalive_answer: Duration::from_secs(20),
        connection_age: Duration::from_secs(60 * 60),
        connection_grace: Duration::from_secs(60),
        deposit_grace: Duration::from_secs(30),
        deposit_pace: 1 << 10,
        deposit_longest: Duration::from_secs(40 * 60),
        letters_in_flight: 32 << 20,
        parcels_in_flight: 96 << 20,
        in_flight_per_node: ENVELOPE_MAX,
        deposits_per_minute: 60,
        outcomes_per_minute: 120,
        records_per_minute: 600,
        checkpoints_per_minute: 120,
        syncs_per_minute: 600,
        fetches_per_minute: 240,
        fetch_hold: Duration::from_secs(50),
        drain: Duration::from_secs(10),
    };

    /// When a deposit of which `received` bytes have come is too slow, counted from its start.
    #[must_use]
    pub fn deposit_allowance(&self, received: u64) -> Duration {
        let earned = Duration::from_secs(received / self.deposit_pace.max(1));
        self.deposit_grace.saturating_add(earned).min(self.deposit_longest)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::HARD
    }
}

/// How often each node may do one thing: a bucket of tokens a node, filled evenly, one minute's worth deep.
pub struct Meter {
    per_minute: u32,
    buckets: Mutex<BTreeMap<NodeId, Bucket>>,
}

struct Bucket {
    tokens: f64,
    seen: Instant,
}

impl Meter {
    /// A meter that lets each node act `per_minute` times a minute.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes one token of `node` at `now`; false when none is left, which changes nothing.
    pub fn take(&self, node: NodeId, now: Instant) -> bool {
        let full = f64::from(self.per_minute);
        let filled = |b: &Bucket| {
            let passed = now.saturating_duration_since(b.seen).as_secs_f64();
            (b.tokens + passed * full / 60.0).min(full)
        };
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= METERED_NODES_MAX && !buckets.contains_key(&node) {
            buckets.retain(|_, b| filled(b) < full);
            if buckets.len() >= METERED_NODES_MAX {
                return false;
            }
        }
        let bucket = buckets.entry(node).or_insert(Bucket { tokens: full, seen: now });
        let tokens = filled(bucket);
        let enough = tokens >= 1.0;
        *bucket = Bucket { tokens: if enough { tokens - 1.0 } else { tokens }, seen: now };
        enough
    }
}

/// Memory for deposits on their way in. Taken whole before the first byte is kept, so it cannot be overdrawn.
pub struct Room {
    letters: usize,
    parcels: usize,
    per_node: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    letters: usize,
    parcels: usize,
    nodes: BTreeMap<NodeId, usize>,
}

/// Why there is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// This node's own deposits under way fill its share.
    Yours,
    /// All deposits under way fill the room.
    Everyones,
}

impl Room {
    /// The room `limits` give.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            letters: limits.letters_in_flight,
            parcels: limits.parcels_in_flight,
            per_node: limits.in_flight_per_node,
            used: Mutex::default(),
        })
    }

    /// Takes `len` bytes for `node` until the returned value is dropped.
    ///
    /// # Errors
    /// [`NoRoom`]: nothing was taken; the same may fit later.
    pub fn take(self: &Arc<Self>, node: NodeId, len: usize) -> Result<Taken, NoRoom> {
        let mut used = lock(&self.used);
        let own = used.nodes.get(&node).copied().unwrap_or(0).saturating_add(len);
        if own > self.per_node {
            return Err(NoRoom::Yours);
        }
        let letter = len <= LETTER_MAX;
        let (all, cap) = if letter { (used.letters, self.letters) } else { (used.parcels, self.parcels) };
        let all = all.saturating_add(len);
        if all > cap {
            return Err(NoRoom::Everyones);
        }
        *(if letter { &mut used.letters } else { &mut used.parcels }) = all;
        used.nodes.insert(node, own);
        Ok(Taken { room: Arc::clone(self), node, len })
    }
}

/// A piece of [`Room`], given back when dropped.
pub struct Taken {
    room: Arc<Room>,
    node: NodeId,
    len: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = lock(&self.room.used);
        if self.len <= LETTER_MAX {
            used.letters = used.letters.saturating_sub(self.len);
        } else {
            used.parcels = used.parcels.saturating_sub(self.len);
        }
        if let Some(own) = used.nodes.get_mut(&self.node) {
            *own = own.saturating_sub(self.len);
            if *own == 0 {
                used.nodes.remove(&self.node);
            }
        }
    }
}

/// Locks, also after a panic elsewhere: what these locks guard is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What happened at the doors, as bare numbers: no address, nothing about a message, and no peer but one that
        /// presses against its limits.
        #[derive(Default)]
        pub struct Counters {
            /// Who presses against the limits of deposits.
            pub(crate) pressing: crate::pressing::Pressing,
            $($(#[$doc])* pub(crate) $name: Counter,)+
        }

        impl Counters {
            /// Every counter with its name, in a fixed order.
            #[must_use]
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.read())),+]
            }
        }
    };
}

counters! {
    /// Connections whose peer showed an accredited key.
    lines_opened,
    /// Connections closed at once because a cap was reached.
    over_cap,
    /// Older lines of a node ended by its newer ones.
    lines_replaced,
    /// Handshakes that failed: not TLS 1.3, another group, an unknown key, no proof of the key.
    handshake_failed,
    /// Handshakes not finished in time.
    handshake_slow,
    /// Connections that spoke TLS but not HTTP/2.
    preface_wrong,
    /// Connections that did not begin HTTP/2 in time.
    preface_slow,
    /// Errors of the system while accepting: too many files, no memory.
    accept_failed,
    /// Lines ended because an answer was not taken in time.
    answers_not_taken,
    /// Calls of a node that is no longer accredited.
    not_accredited,
    /// Calls refused for their pace.
    too_fast,
    /// Calls refused because memory or turns were taken.
    busy,
    /// Deposits cut for lack of progress, and calls over their time.
    too_slow,
    /// Calls whose bytes did not follow the rules.
    malformed,
    /// Calls that are not offered here.
    not_offered,
    /// Lines ended for frames that carry nothing, in numbers that no client has.
    chatter,
    /// Deposits handed to the mailbox.
    deposits,
    /// Calls that panicked. Each is a bug.
    panics,
    /// Calls at the local socket refused for who or what they came from.
    control_refused,
}

/// A number that only rises.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Its value now.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 16]);
    const B: NodeId = NodeId([2; 16]);

    #[test]
    fn a_node_gets_a_minutes_worth_at_once_and_then_its_even_share() {
        let meter = Meter::new(60);
        let start = Instant::now();
        assert!((0..60).all(|_| meter.take(A, start)));
        assert!(!meter.take(A, start));
        assert!(meter.take(B, start), "another node has its own bucket");
        let later = start + Duration::from_secs(2);
        assert!(meter.take(A, later) && meter.take(A, later));
        assert!(!meter.take(A, later));
    }

    #[test]
    fn the_meter_remembers_a_bounded_number_of_nodes_and_forgets_the_quiet_ones() {
        let meter = Meter::new(60);
        let start = Instant::now();
        for i in 0..METERED_NODES_MAX as u128 {
            assert!(meter.take(NodeId(i.to_be_bytes()), start));
        }
        assert!(!meter.take(NodeId([255; 16]), start));
        assert!(meter.take(NodeId([255; 16]), start + Duration::from_secs(60)));
        assert_eq!(lock(&meter.buckets).len(), 1);
    }

    #[test]
    fn one_node_cannot_take_the_room_of_all_and_gives_back_what_it_had() {
        let limits = Limits { letters_in_flight: 100, in_flight_per_node: 60, ..Limits::HARD };
        let room = Room::new(&limits);
        let first = room.take(A, 60).unwrap();
        assert_eq!(room.take(A, 1).err(), Some(NoRoom::Yours));
        let _second = room.take(B, 40).unwrap();
        assert_eq!(room.take(NodeId([3; 16]), 1).err(), Some(NoRoom::Everyones));
        drop(first);
        assert!(room.take(A, 60).is_ok());
    }

    #[test]
    fn a_notice_finds_room_while_attachments_fill_theirs() {
        let room = Room::new(&Limits::HARD);
        let nodes: Vec<_> = (0..8u8).map(|n| NodeId([n; 16])).collect();
        let parcels: Vec<_> = nodes.iter().filter_map(|n| room.take(*n, 30 << 20).ok()).collect();
        assert_eq!(parcels.len(), 3);
        assert!(room.take(NodeId([9; 16]), 16 << 10).is_ok());
    }

    #[test]
    fn a_deposit_earns_time_by_the_bytes_it_brings_and_never_more_than_the_longest() {
        let limits = Limits::HARD;
        assert_eq!(limits.deposit_allowance(0), Duration::from_secs(30));
        assert_eq!(limits.deposit_allowance(10 << 10), Duration::from_secs(40));
        assert_eq!(limits.deposit_allowance(u64::MAX), limits.deposit_longest);
        assert!(limits.deposit_longest + CLIENT_LINE_AGE < limits.connection_age);
    }
}
