//! Who holds a connection: strangers by address until they prove a key, then nodes by name. Counts, caps, ends them.
//!
//! Refuses to let one address or one node take the places of others, and keeps no address once a key is proven.

use crate::limits::{Counters, Limits, lock};
use clearhouse_protocol::ids::NodeId;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

/// All connections of one listener.
pub struct Places {
    strangers_per_address: usize,
    strangers: usize,
    lines_per_node: usize,
    connections: usize,
    counters: Arc<Counters>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    strangers: BTreeMap<IpAddr, usize>,
    strangers_in_all: usize,
    /// Lines by node and by the order in which they came.
    lines: BTreeMap<(NodeId, u64), Arc<Fate>>,
    next: u64,
}

impl Places {
    /// Nobody connected, under the caps of `limits`.
    #[must_use]
    pub fn new(limits: &Limits, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            strangers_per_address: limits.strangers_per_address,
            strangers: limits.strangers,
            lines_per_node: limits.lines_per_node,
            connections: limits.connections,
            counters,
            held: Mutex::default(),
        })
    }

    /// A place for a connection from `address`, given back when dropped; `None` when a cap is reached.
    pub(super) fn stranger(self: &Arc<Self>, address: IpAddr) -> Option<StrangerPlace> {
        let address = neighbourhood(address);
        let mut held = lock(&self.held);
        let here = held.strangers.get(&address).copied().unwrap_or(0);
        if here >= self.strangers_per_address
            || held.strangers_in_all >= self.strangers
            || held.strangers_in_all + held.lines.len() >= self.connections
        {
            self.counters.over_cap.add();
            return None;
        }
        held.strangers.insert(address, here + 1);
        held.strangers_in_all += 1;
        Some(StrangerPlace { places: Arc::clone(self), address })
    }

    /// Ends every line of `node`. For a revocation that shall not wait for the next call.
    pub fn hang_up(&self, node: NodeId) {
        let held = lock(&self.held);
        held.lines.range((node, 0)..=(node, u64::MAX)).for_each(|(_, fate)| fate.hang_up());
    }

    /// Ends every line there is.
    pub(super) fn hang_up_all(&self) {
        lock(&self.held).lines.values().for_each(|fate| fate.hang_up());
    }

    /// Lines of accredited nodes now open.
    #[must_use]
    pub fn lines(&self) -> usize {
        lock(&self.held).lines.len()
    }

    fn settle(self: &Arc<Self>, node: NodeId) -> LinePlace {
        let fate = Arc::new(Fate::default());
        let mut held = lock(&self.held);
        // After a network change a node's old lines may look alive for a minute; its newest one is the one it uses.
        let own: Vec<_> = held.lines.range((node, 0)..=(node, u64::MAX)).map(|(at, _)| *at).collect();
        for oldest in own.iter().take((own.len() + 1).saturating_sub(self.lines_per_node)) {
            if let Some(fate) = held.lines.remove(oldest) {
                fate.hang_up();
                self.counters.lines_replaced.add();
            }
        }
        let at = (node, held.next);
        held.next += 1;
        held.lines.insert(at, Arc::clone(&fate));
        LinePlace { places: Arc::clone(self), at, fate }
    }
}

/// The place of a connection that has not proven a key.
pub(super) struct StrangerPlace {
    places: Arc<Places>,
    address: IpAddr,
}

impl StrangerPlace {
    /// The stranger has proven to be `node`: the address counts no more, the node does.
    pub(super) fn settle(self, node: NodeId) -> LinePlace {
        self.places.settle(node)
    }
}

impl Drop for StrangerPlace {
    fn drop(&mut self) {
        let mut held = lock(&self.places.held);
        held.strangers_in_all -= 1;
        if let Some(here) = held.strangers.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                held.strangers.remove(&self.address);
            }
        }
    }
}

/// The place of one line of one node.
pub(super) struct LinePlace {
    places: Arc<Places>,
    at: (NodeId, u64),
    /// By which the line can be ended.
    pub(super) fate: Arc<Fate>,
}

impl Drop for LinePlace {
    fn drop(&mut self) {
        lock(&self.places.held).lines.remove(&self.at);
    }
}

/// A switch that ends one line from outside.
#[derive(Default)]
pub struct Fate {
    over: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Fate {
    /// Ends the line: its next read or write fails.
    pub fn hang_up(&self) {
        self.over.store(true, Ordering::Release);
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }

    /// Whether the line is over; if not, `cx` is woken when it is.
    pub(super) fn is_over(&self, cx: &Context<'_>) -> bool {
        {
            let mut waker = lock(&self.waker);
            if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        // Read after the waker stands: a switch thrown in between is seen here, a later one wakes.
        self.over.load(Ordering::Acquire)
    }
}

/// What counts as one address: whoever has an IPv6 address has 2^64 of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(limits: Limits) -> Arc<Places> {
        Places::new(&limits, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_cap_and_gets_places_back() {
        let places = places(Limits { strangers_per_address: 2, ..Limits::HARD });
        let first = places.stranger(ip("192.0.2.1"));
        let _second = places.stranger(ip("::ffff:192.0.2.1"));
        assert!(places.stranger(ip("192.0.2.1")).is_none());
        assert!(places.stranger(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(places.stranger(ip("192.0.2.1")).is_some());
        assert_eq!(places.counters.over_cap.read(), 1);
    }

    #[test]
    fn all_of_one_ipv6_network_is_one_address() {
        let places = places(Limits { strangers_per_address: 1, ..Limits::HARD });
        let _one = places.stranger(ip("2001:db8::1")).unwrap();
        assert!(places.stranger(ip("2001:db8::ffff:1")).is_none());
        assert!(places.stranger(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn an_office_behind_one_address_is_not_counted_as_strangers_once_known() {
        let places = places(Limits { strangers_per_address: 1, ..Limits::HARD });
        let lines: Vec<_> =
            (0..5u8).map(|n| places.stranger(ip("192.0.2.1")).unwrap().settle(NodeId([n; 16]))).collect();
        assert_eq!(places.lines(), 5);
        drop(lines);
        assert_eq!(places.lines(), 0);
        assert!(lock(&places.held).strangers.is_empty());
    }

    #[test]
    fn strangers_cannot_take_the_places_of_members() {
        let places = places(Limits { strangers: 3, connections: 5, ..Limits::HARD });
        let strangers: Vec<_> = (0..9u8).filter_map(|n| places.stranger([192, 0, 2, n].into())).collect();
        assert_eq!(strangers.len(), 3);
    }

    #[test]
    fn members_and_strangers_together_stay_under_the_cap_of_all() {
        let places = places(Limits { connections: 3, ..Limits::HARD });
        let member = |n: u8| places.stranger(ip("192.0.2.1")).map(|p| p.settle(NodeId([n; 16])));
        let _members = [member(1).unwrap(), member(2).unwrap()];
        let stranger = places.stranger(ip("192.0.2.2"));
        assert!(stranger.is_some() && member(3).is_none());
        drop(stranger);
        assert!(member(3).is_some());
    }

    #[test]
    fn a_nodes_newest_line_ends_its_oldest_and_nobody_elses() {
        let places = places(Limits { lines_per_node: 2, ..Limits::HARD });
        let line = |n: u8| places.stranger(ip("192.0.2.1")).unwrap().settle(NodeId([n; 16]));
        let (other, first, second, third) = (line(1), line(2), line(2), line(2));
        let over = |place: &LinePlace| place.fate.over.load(Ordering::Acquire);
        assert_eq!([&other, &first, &second, &third].map(over), [false, true, false, false]);
        drop(first);
        assert_eq!(places.lines(), 3, "an ended line gives its place back once");
    }

    #[test]
    fn hanging_up_on_a_node_ends_all_its_lines() {
        let places = places(Limits::HARD);
        let line = |n: u8| places.stranger(ip("192.0.2.1")).unwrap().settle(NodeId([n; 16]));
        let lines = [line(1), line(2), line(2)];
        places.hang_up(NodeId([2; 16]));
        assert_eq!(lines.each_ref().map(|l| l.fate.over.load(Ordering::Acquire)), [false, true, true]);
    }
}
