//! Machines that are real to the kernel: network namespaces joined by veth pairs. One in the middle carries everything and
//! answers nothing, two offices sit behind routers of their own that let nobody in, the others are reached directly.
//!
//! Refuses to touch anything outside its own namespaces, and leaves none behind: a namespace takes its interfaces, rules
//! and routes with it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The port of every node that can be reached.
pub(super) const PORT: u16 = 7443;
/// What the slow office's line carries, each way.
const SLOW_LINE: [&str; 7] = ["tbf", "rate", "400kbit", "burst", "16kb", "latency", "400ms"];

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    /// What is between all: it routes, and runs nothing.
    Line,
    /// The router of the destination's office.
    DestinationRouter,
    /// The router of the origin's office.
    OriginRouter,
    /// The destination's office, behind its router, on a slow line.
    Destination,
    /// The origin's office, behind its router.
    Origin,
    /// An office with a port.
    Reachable,
    /// The first coordinator.
    First,
    /// The second coordinator.
    Second,
    /// A machine that is bought when another one is lost.
    Spare,
}

impl Host {
    const ALL: [Self; 9] = [
        Self::Line,
        Self::DestinationRouter,
        Self::OriginRouter,
        Self::Destination,
        Self::Origin,
        Self::Reachable,
        Self::First,
        Self::Second,
        Self::Spare,
    ];

    /// The address others see; of an office behind a router, the one inside.
    pub(super) fn address(self) -> Ipv4Addr {
        match self {
            Self::Destination | Self::Origin => Ipv4Addr::new(192, 168, 1, 2),
            Self::Line => Ipv4Addr::new(10, 77, 0, 1),
            Self::DestinationRouter
            | Self::OriginRouter
            | Self::Reachable
            | Self::First
            | Self::Second
            | Self::Spare => Ipv4Addr::new(10, 77, self as u8, 2),
        }
    }

    /// What stands between it and the line.
    pub(super) fn router(self) -> Option<Self> {
        match self {
            Self::Destination => Some(Self::DestinationRouter),
            Self::Origin => Some(Self::OriginRouter),
            Self::Line
            | Self::DestinationRouter
            | Self::OriginRouter
            | Self::Reachable
            | Self::First
            | Self::Second
            | Self::Spare => None,
        }
    }
}

/// All of them. Gone when dropped.
pub(super) struct Net {
    made: Vec<Host>,
}

impl Net {
    /// Machines that nothing joins yet.
    ///
    /// # Errors
    /// What this machine, or this user, cannot do. Nothing is left then.
    pub(super) fn make() -> Result<Self, String> {
        let mut net = Self { made: Vec::new() };
        for host in Host::ALL {
            system(&["ip", "netns", "add", &name(host)], "")?;
            net.made.push(host);
        }
        net.rules(Host::Line, "tried", "")?;
        Ok(net)
    }

    /// Joins them.
    pub(super) fn lay(&self) -> Result<(), String> {
        for host in Host::ALL {
            self.run(host, &["ip", "link", "set", "dev", "lo", "up"])?;
        }
        let public =
            [Host::DestinationRouter, Host::OriginRouter, Host::Reachable, Host::First, Host::Second, Host::Spare];
        for host in public {
            self.join(Host::Line, &format!("to{}", host as u8), gateway(host), (host, "wan", host.address()))?;
        }
        for office in [Host::Destination, Host::Origin] {
            let Some(router) = office.router() else { continue };
            self.join(router, "lan", Ipv4Addr::new(192, 168, 1, 1), (office, "wan", office.address()))?;
            self.rules(router, "office", NOBODY_IN)?;
        }
        for host in [Host::Line, Host::DestinationRouter, Host::OriginRouter] {
            self.run(host, &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        }
        for way in ["wan", "lan"] {
            let mut words = vec!["tc", "qdisc", "add", "dev", way, "root"];
            words.extend(SLOW_LINE);
            self.run(Host::DestinationRouter, &words)?;
        }
        Ok(())
    }

    /// A cable between `at`, who is the way out for the other, and `to`.
    fn join(
        &self,
        at: Host,
        port: &str,
        address: Ipv4Addr,
        (to, other, its): (Host, &str, Ipv4Addr),
    ) -> Result<(), String> {
        let cable = ["ip", "link", "add", port, "netns", &name(at), "type", "veth", "peer", "name", other, "netns"];
        let mut words = cable.to_vec();
        let to_name = name(to);
        words.push(&to_name);
        system(&words, "")?;
        for (host, port, address) in [(at, port, address), (to, other, its)] {
            self.run(host, &["ip", "addr", "add", &format!("{address}/24"), "dev", port])?;
            self.run(host, &["ip", "link", "set", "dev", port, "up"])?;
        }
        self.run(to, &["ip", "route", "add", "default", "via", &address.to_string()])
    }

    /// Has a machine do something to itself.
    pub(super) fn run(&self, host: Host, words: &[&str]) -> Result<(), String> {
        let name = name(host);
        system(&[&["ip", "netns", "exec", &name], words].concat(), "")
    }

    /// Gives a machine a table of rules of that name.
    pub(super) fn rules(&self, host: Host, table: &str, chains: &str) -> Result<(), String> {
        let name = name(host);
        system(&["ip", "netns", "exec", &name, "nft", "-f", "-"], &format!("table ip {table} {{\n{chains}\n}}\n"))
    }

    /// How many packets the counter in a table has seen.
    pub(super) fn counted(&self, host: Host, table: &str) -> u64 {
        let name = name(host);
        let listed = Command::new("ip").args(["netns", "exec", &name, "nft", "list", "table", "ip", table]).output();
        let listed = String::from_utf8_lossy(&listed.unwrap().stdout).into_owned();
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).unwrap().parse().unwrap()
    }

    /// Takes a table away again.
    pub(super) fn lift(&self, host: Host, table: &str) {
        self.run(host, &["nft", "delete", "table", "ip", table]).unwrap();
    }

    /// Does something on a machine; sockets made there stay there.
    pub(super) fn inside<T: Send>(&self, host: Host, what: impl FnOnce() -> T + Send) -> T {
        let at = File::open(format!("/run/netns/{}", name(host))).unwrap();
        let moved = move || {
            // This thread alone, and those it starts.
            move_into_link_name_space(at.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            what()
        };
        std::thread::scope(|scope| scope.spawn(moved).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in &self.made {
            // Said and passed over: a second panic would leave the others.
            if let Err(why) = system(&["ip", "netns", "del", &name(*host)], "") {
                eprintln!("{why}");
            }
        }
    }
}

/// A router that lets answers in and nothing else.
const NOBODY_IN: &str = r#"
chain door { type filter hook forward priority filter; iifname "wan" ct state established,related accept; iifname "wan" drop; }
chain own { type filter hook input priority filter; iifname "wan" ct state established,related accept; iifname "wan" drop; }
chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
"#;

/// Rules under which nothing passes.
pub(super) const CUT: &str = "chain cut { type filter hook forward priority -10; drop; }";

/// Rules under which so many packets of a hundred are lost.
pub(super) fn loss(percent: u8) -> String {
    format!("chain lost {{ type filter hook forward priority -10; numgen random mod 100 < {percent} counter drop; }}")
}

/// Rules under which nothing comes from one machine to another, while the way there is open.
pub(super) fn one_way(from: Host, to: Host) -> String {
    let (from, to) = (from.address(), to.address());
    format!("chain cut {{ type filter hook forward priority -10; ip saddr {from} ip daddr {to} drop; }}")
}

/// Rules of a router that lead what its office sends to each of these addresses to a port of the router's own; lines that
/// were open before end.
pub(super) fn detour(ways: &[(Ipv4Addr, u16)]) -> String {
    let mut text = String::from("chain turn { type nat hook prerouting priority dstnat;\n");
    for (address, port) in ways {
        let _ = writeln!(text, "iifname \"lan\" ip daddr {address} tcp dport {PORT} redirect to :{port}");
    }
    text + "}\nchain ended { type filter hook forward priority -10; iifname \"lan\" tcp dport 7443 reject with tcp reset; }"
}

/// A name no other run has.
pub(super) fn name(host: Host) -> String {
    format!("clearhouse-{}-{}", std::process::id(), host as u8)
}

fn gateway(host: Host) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, host as u8, 1)
}

/// Runs a tool of the system to its end.
fn system(words: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", words.join(" "));
    let mut child = command.spawn().map_err(|e| failed(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|e| failed(&e))?;
    }
    let ended = child.wait_with_output().map_err(|e| failed(&e))?;
    if ended.status.success() { Ok(()) } else { Err(failed(&String::from_utf8_lossy(&ended.stderr).trim())) }
}
