//! Five offices on five machines of [`Net`]: the region's own program on each, at one time that the test may move on.
//!
//! Refuses to run a node outside its namespace: without the file that names it the program does not start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::setup::files;
use clearhouse_protocol::limits::BACKOFF_MAX_SECS;
use clearhouse_protocol::relay::rented;
use clearhouse_wire::v1 as wire;
use prost::Message as _;

use super::super::behind::behind;
use super::super::canaries::ask;
use super::super::region::{Member, Region};
use super::PATIENCE;
use super::net::{Host, Net, PORT, name};

/// The file in a node's folder that names its machine.
const HOST: &str = "host";
const SHIFT: &str = "shift";
/// What clocks may differ by while one looks and another has not yet: half of what offices forgive each other.
const STEP_SECS: u64 = 300;
/// By then every node has looked.
pub(super) const SEEN: Duration = Duration::from_millis(250);
const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";

/// The offices; the machines go after them.
pub(super) struct Hosts {
    pub(super) region: Region,
    /// The office with a port.
    pub(super) reachable: Member,
    /// The second coordinator.
    pub(super) second: Member,
    /// How far ahead of this computer's their clocks are, seconds.
    ahead: u64,
    /// By how much one clock is set wrong besides.
    wrong: BTreeMap<Host, i64>,
    pub(super) net: Net,
    _programs: tempfile::TempDir,
}

impl Hosts {
    /// Founds them on the machines of `net`; nothing runs yet. `None` without a C compiler, which is said.
    pub(super) fn found(net: Net) -> Option<Self> {
        let programs = tempfile::tempdir().unwrap();
        let dated = behind(programs.path(), "shift.c", "CLEARHOUSE_SHIFT", SHIFT)?;
        let program = placed(programs.path(), &dated);
        let now = SystemClock.now();
        let mut region = Region::found_with(&program, CONFIG, false, now).unwrap();
        let (reachable, more) = region.join(("fourth", "Strehe"), CONFIG, now).unwrap();
        let (second, last) = region.join_as(("fifth", "Second coordinator"), &["Coordinator"], CONFIG, now).unwrap();
        for bundle in [more, last] {
            region.records.records.extend(bundle.records);
            region.records.prekeys.extend(bundle.prekeys);
        }
        let mut hosts = Self { region, reachable, second, ahead: 0, wrong: BTreeMap::new(), net, _programs: programs };
        let keepers = [hosts.region.coordinator.made.node, hosts.second.made.node];
        let keepers = format!("[\"{}\", \"{}\"]", keepers[0], keepers[1]);
        for (member, host) in hosts.placed() {
            place(member, host);
            if host.router().is_some() {
                set(member, &[("listen", Some("\"none\"")), ("endpoint", None), ("relays", Some(&keepers))]);
            } else {
                set(member, &[("relay", Some("true"))]);
            }
        }
        Some(hosts)
    }

    fn placed(&mut self) -> [(&mut Member, Host); 5] {
        let region = &mut self.region;
        [
            (&mut region.destination, Host::Destination),
            (&mut region.origin, Host::Origin),
            (&mut self.reachable, Host::Reachable),
            (&mut region.coordinator, Host::First),
            (&mut self.second, Host::Second),
        ]
    }

    /// All of them.
    pub(super) fn all(&mut self) -> [&mut Member; 5] {
        self.placed().map(|(member, _)| member)
    }

    /// Starts everybody, hands everybody's entries round, and signs a person in at each office.
    pub(super) async fn start(&mut self) {
        let records = self.region.records.clone();
        let net = self.region.net;
        let keepers = [self.region.coordinator.made.node, self.second.made.node];
        let mut entries = Vec::new();
        for (member, host) in self.placed() {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
            let place = if host.router().is_some() {
                rented(net, member.made.node, keepers[1]).as_bytes().to_vec()
            } else {
                format!("{}:{PORT}", host.address()).into_bytes()
            };
            entries.push(entry(member, &place).await);
        }
        for entry in &entries {
            for member in self.all() {
                member.learn(entry).await.unwrap();
            }
        }
        self.region.destination.employ("elena", "Elena R.", "Caseworker").await.unwrap();
        self.region.origin.employ("ana", "Ana P.", "Manager").await.unwrap();
        self.reachable.employ("besa", "Besa K.", "Caseworker").await.unwrap();
    }

    /// The time they all live at.
    pub(super) fn now(&self) -> u64 {
        SystemClock.now() + self.ahead
    }

    /// Lets time pass for everybody, running or not. Nodes look at their clocks' files at moments of their own: quarters of
    /// an hour pass in steps below what offices forgive each other's clocks, or a letter on the line in that moment would
    /// come out of the future. Days are for when nothing is on it.
    pub(super) async fn pass(&mut self, secs: u64) {
        let steps = if secs <= BACKOFF_MAX_SECS { secs.div_ceil(STEP_SECS) } else { 1 };
        for step in 0..steps {
            if step > 0 {
                tokio::time::sleep(SEEN).await;
            }
            self.turn(secs / steps + u64::from(step < secs % steps));
        }
    }

    fn turn(&mut self, secs: u64) {
        self.ahead += secs;
        let (ahead, wrong) = (self.ahead, self.wrong.clone());
        for (member, host) in self.placed() {
            let wrong = wrong.get(&host).copied().unwrap_or(0);
            let beside = member.folder.join("shift.new");
            std::fs::write(&beside, format!("{ahead} {wrong}")).unwrap();
            std::fs::rename(beside, member.folder.join(SHIFT)).unwrap();
        }
    }

    /// Sets the clock of one machine wrong by so many seconds, while its uptime says nothing of it; 0 sets it right.
    pub(super) fn step(&mut self, host: Host, by: i64) {
        self.wrong.insert(host, by);
        self.turn(0);
    }

    /// The office on a machine.
    pub(super) fn member(&mut self, host: Host) -> &mut Member {
        self.placed().into_iter().find(|(_, at)| *at == host).map(|(member, _)| member).unwrap()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // Before their machines go.
        self.all().into_iter().for_each(Member::kill);
    }
}

/// Puts a node on a machine; one that can be reached says so.
pub(super) fn place(member: &Member, host: Host) {
    std::fs::write(member.folder.join(HOST), name(host)).unwrap();
    let at = |address: IpAddr| format!("\"{address}:{PORT}\"");
    let (listen, endpoint) = (at([0, 0, 0, 0].into()), at(host.address().into()));
    set(member, &[("listen", Some(&listen)), ("endpoint", Some(&endpoint))]);
}

/// A program that runs `dated` on the machine that the node's folder names. It becomes the node: one process, one id.
fn placed(folder: &Path, dated: &Path) -> PathBuf {
    let script = folder.join("placed.sh");
    let text = format!("#!/bin/sh\nexec ip netns exec \"$(cat \"$3/{HOST}\")\" '{}' \"$@\"\n", dated.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    script
}

/// Replaces lines of a node's configuration, adds them, or takes them away.
fn set(member: &Member, with: &[(&str, Option<&str>)]) {
    let path = member.folder.join(files::CONFIG);
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text.lines().filter(|line| !with.iter().any(|(key, _)| line.starts_with(&format!("{key} = "))));
    let added = with.iter().filter_map(|(key, value)| value.map(|value| format!("{key} = {value}")));
    let lines: Vec<String> = kept.map(str::to_owned).chain(added).collect();
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// The entry of a member, once it says where it can be reached.
pub(super) async fn entry(member: &Member, place: &[u8]) -> wire::RecordBundle {
    let began = Instant::now();
    loop {
        let exported = ask(member, Call::DirectoryExport { org: None }).await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(exported["bundle"].as_str().unwrap()).unwrap();
        if memchr::memmem::find(&bytes, place).is_some() {
            return wire::RecordBundle::decode(bytes.as_slice()).unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "{} does not say where it is", member.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
