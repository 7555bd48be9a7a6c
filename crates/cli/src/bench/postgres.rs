//! PostgreSQL beside the deposits, where it is installed: rows of 4 KiB, each a transaction of its own that is on the disk before
//! it is answered, by as many clients. In its favour: they come over a socket of the same machine without TLS, send no
//! body (the server makes it), and nothing is sealed or signed. Refuses to measure one that does not sync.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::measure::Outcome;
use super::rounds::{IN_FLIGHT, MESSAGE};
use crate::interrupt;

/// Where the packages of the distributions lie, one folder a version.
const PACKAGES: &str = "/usr/lib/postgresql";
/// Seconds that its clients write in each round.
const SECONDS: &str = "1";
/// What it says when it can be asked.
const UP: &str = "database system is ready to accept connections";

/// A server of its own, below the folder of the benchmark.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    server: Child,
}

impl Postgres {
    /// The programs of the newest version here, if any.
    pub(crate) fn installed() -> Option<PathBuf> {
        let versions = fs::read_dir(PACKAGES).ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
        let whole =
            |bin: &PathBuf| ["initdb", "postgres", "psql", "pgbench"].iter().all(|name| bin.join(name).exists());
        versions.filter(whole).max()
    }

    /// Makes a database with one table and starts it.
    pub(crate) fn start(programs: PathBuf, beside: &Path) -> Outcome<Self> {
        let folder = beside.join("pg");
        fs::create_dir(&folder)?;
        let data = folder.join("data");
        let mut command = Command::new(programs.join("initdb"));
        said(command.args(["--no-locale", "-A", "trust", "-U", "bench", "-D"]).arg(&data))?;
        let mut command = Command::new(programs.join("postgres"));
        // Its own values, named here so that no file of the machine says otherwise.
        let kept =
            ["fsync=on", "synchronous_commit=on", "full_page_writes=on", "listen_addresses=", "logging_collector=off"];
        command.args(kept.iter().flat_map(|setting| ["-c", setting]));
        command.arg("-c").arg(format!("unix_socket_directories={}", folder.display())).arg("-D").arg(&data);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        interrupt::started(child.id());
        let mut made = Self { programs, folder, server: child };
        let mut lines = BufReader::new(made.server.stderr.take().ok_or("no pipe")?).lines();
        if !lines.by_ref().map_while(Result::ok).any(|line| line.contains(UP)) {
            return Err("PostgreSQL did not start".into());
        }
        // A pipe that nobody reads would stop it when it is full.
        std::thread::spawn(move || lines.for_each(drop));
        let table = "create table letters (digest bytea primary key, envelope bytea not null); create sequence letter; \
                     alter table letters alter column envelope set storage external";
        let mut command = made.client("psql");
        said(command.args(["-c", table]))?;
        let insert = format!(
            "insert into letters select sha256(int8send(nextval('letter'))), convert_to(repeat('x', {MESSAGE}), 'UTF8');\n"
        );
        fs::write(made.folder.join("insert.sql"), insert)?;
        Ok(made)
    }

    /// Rows a second.
    pub(crate) fn rate(&self) -> Outcome<f64> {
        let mut command = self.client("pgbench");
        let clients = IN_FLIGHT.to_string();
        command.args(["-n", "-M", "prepared", "-j", "2", "-T", SECONDS, "-c", &clients, "-f"]);
        let told = said(command.arg(self.folder.join("insert.sql")))?;
        rate_of(&told).ok_or_else(|| "pgbench said no rate".into())
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env("PGHOST", &self.folder).env("PGUSER", "bench").env("PGDATABASE", "postgres").env("PGOPTIONS", "");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Fast": it writes down what it has and ends.
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        if pid.is_none_or(|pid| kill_process(pid, Signal::INT).is_err()) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
        interrupt::over(self.server.id());
    }
}

/// What a program says, once it ended well.
fn said(command: &mut Command) -> Outcome<String> {
    let done = command.stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&done.stderr);
    Err(format!("PostgreSQL: {}", why.lines().next().unwrap_or("it ended without a word")).into())
}

/// The rate that pgbench tells, connections not counted.
fn rate_of(told: &str) -> Option<f64> {
    told.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_pgbench_is_read() {
        let told = "number of failed transactions: 0 (0.000%)\ntps = 5210.25 (without initial connection time)\n";
        assert_eq!(rate_of(told), Some(5210.25));
        assert_eq!(rate_of("tps = \nlatency average = 1 ms"), None);
    }
}
