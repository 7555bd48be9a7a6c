//! A loopback address for a node that is made now and started later, killed, and started again. The system's own choice (port
//! 0) would be a port that it also gives to any outgoing connection in the meantime. Refuses to promise: another program may
//! still take it before the node does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use clearhouse_node::clock::chance;
use rand_core::Rng as _;

/// Below what systems give to outgoing connections (Linux from 32,768, the IANA range from 49,152).
const FROM: u16 = 16_384;
const PORTS: u16 = 16_384;
/// Ports that are tried: so many in a row are not taken by accident.
const TRIES_MAX: usize = 256;

/// An address at which nobody listens, and that this process was not given before.
///
/// # Errors
/// The system's, when none of [`TRIES_MAX`] ports can be listened at.
pub(crate) fn on_loopback() -> io::Result<SocketAddr> {
    /// The port after the one given last, counted from [`FROM`]; [`PORTS`] before the first.
    static NEXT: AtomicU16 = AtomicU16::new(PORTS);
    // Two processes at once begin far from each other.
    let first = u16::try_from(chance().next_u64() % u64::from(PORTS)).unwrap_or_default();
    let _ = NEXT.compare_exchange(PORTS, first, Ordering::Relaxed, Ordering::Relaxed);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES_MAX {
        let next = |port: u16| Some((port + 1) % PORTS);
        let port = FROM + NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match TcpListener::bind(at) {
            Ok(_) => return Ok(at),
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_address_is_given_twice_none_that_is_taken_and_none_of_those_that_systems_give() {
        let held: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind(on_loopback().unwrap()).unwrap()).collect();
        let given: BTreeSet<u16> = (0..64).map(|_| on_loopback().unwrap().port()).collect();
        assert_eq!(given.len(), 64);
        assert!(given.iter().all(|port| (FROM..FROM + PORTS).contains(port)), "{given:?}");
        assert!(held.iter().all(|held| !given.contains(&held.local_addr().unwrap().port())));
    }
}
