//! Nodes with much in them: the start of an empty one, the memory of one with 10,000 messages, and how it goes on to
//! 300,000. A stored message is a return notice that came the whole way, opened, in a case of its own with its facts.

use std::path::Path;
use std::time::Duration;

use clearhouse_node::clock::{Clock as _, SystemClock};
use tokio::runtime::Runtime;

use super::children::{Served, figure};
use super::deposit::Mailbox;
use super::log::bytes;
use super::measure::{Outcome, Run, Spread, micros};
use super::node::{Node, directory, threads};
use super::rounds::TOGETHER;
use super::sealing::Sealer;
use super::table::{Goal, Grown, Row, Sheet};
use super::trip::Road;
use crate::demo::region::Region;

/// Messages of the idle node whose memory is told.
const STORED: usize = 10_000;
/// Sizes of the table of growth.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 300_000];
/// How long a node that serves is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(10);
/// Bursts of deposits in each round at each size, as in the rounds of the deposit alone.
const BURSTS: usize = 6;
/// The stripped program may be so large.
const PROGRAM_MAX_MB: f64 = 18.0;

/// Start to SERVING of an empty folder, opened by a credential: without the time that a pass phrase costs.
pub(crate) fn start(rounds: usize, folder: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let mut took = Vec::new();
    // The first does not count: the program comes off the disk.
    for n in 0..=rounds {
        let region = Region::found_in(folder, Path::new("clearhouse"), "keep_content_open = true\n", false, now())?;
        let (served, time) = Served::start(&region.origin.folder)?;
        served.stop()?;
        if n > 0 {
            took.push(micros(time) / 1000.0);
        }
    }
    let name = "start to SERVING, empty folder, without pass phrase";
    sheet.rows.push(Row::alone(name, "ms", Spread::of(took), Goal::Within(120.0)));
    program(sheet)
}

/// The size of the program that runs.
fn program(sheet: &mut Sheet) -> Outcome<()> {
    let path = std::env::current_exe()?;
    let size = Spread::of(vec![std::fs::metadata(&path)?.len() as f64 / 1e6]);
    let is_stripped = is_stripped(&std::fs::read(&path)?);
    let (name, goal) = match is_stripped {
        true => ("size of this program, stripped", Goal::Within(PROGRAM_MAX_MB)),
        false => ("size of this program, NOT stripped", Goal::None),
    };
    if !is_stripped {
        sheet.remark(format!("strip a copy of {} and run its `bench start` to have its size judged", path.display()));
    }
    sheet.rows.push(Row::alone(name, "MB", size, goal));
    Ok(())
}

/// Whether an ELF file of 64 bits has neither symbols nor anything for a debugger, by the names of its sections.
fn is_stripped(program: &[u8]) -> bool {
    let names = section_names(program).unwrap_or_default();
    // `.debug_gdb_scripts` is loaded with the program: strip leaves it.
    const SYMBOLS: [&[u8]; 3] = [b".symtab", b".debug_info", b".debug_line"];
    !names.split(|byte| *byte == 0).any(|name| SYMBOLS.contains(&name))
}

/// The table of section names, as the header of the file tells where it is.
fn section_names(program: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, len: usize| {
        let bytes = program.get(at..at.checked_add(len)?)?;
        bytes.iter().rev().try_fold(0usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)))
    };
    let (headers, each, which) = (number(0x28, 8)?, number(0x3A, 2)?, number(0x3E, 2)?);
    let header = headers.checked_add(each.checked_mul(which)?)?;
    let (from, len) = (number(header.checked_add(0x18)?, 8)?, number(header.checked_add(0x20)?, 8)?);
    program.get(from..from.checked_add(len)?)
}

/// What an idle node with many messages takes of memory.
pub(crate) fn memory(rounds: usize, folder: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let mut stock = Stock::new(folder)?;
    stock.grow(STORED)?;
    let mut resident = Vec::new();
    for _ in 0..rounds {
        resident.push(stock.served()?.1);
    }
    let name = format!("memory of an idle node with {STORED} messages (RSS)");
    sheet.rows.push(Row::alone(name, "MB", Spread::of(resident), Goal::Within(30.0)));
    sheet.remark(format!(
        "memory: each message a notice in a case of its own, opened, with the case open and its facts; read {} s after the \
         node serves; this program by itself has {:.1} MB",
        IDLE.as_secs(),
        figure("self", "RssFile")? as f64 * 1024.0 / 1e6,
    ));
    Ok(())
}

/// The table of growth.
pub(crate) fn growth(rounds: usize, folder: &Path, sheet: &mut Sheet, tell: impl Fn(&str)) -> Outcome<()> {
    let mut stock = Stock::new(folder)?;
    for size in SIZES {
        tell(&format!("Growing to {size} messages."));
        stock.grow(size)?;
        let (mut rates, mut slowest) = (Vec::new(), Vec::new());
        for run in stock.deposits(rounds)? {
            rates.push(run.rate());
            slowest.push(run.quantile_ms(0.99));
        }
        let (mut starts, mut resident) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (start, memory) = stock.served()?;
            starts.push(start);
            resident.push(memory);
        }
        sheet.growth.push(Grown {
            messages: stock.held,
            deposits: Spread::of(rates),
            slowest: Spread::of(slowest),
            start: Spread::of(starts),
            memory: Spread::of(resident),
            disk: bytes(&stock.region.origin.folder, "")? as f64 / 1e6,
        });
    }
    sheet.remark(
        "growth: deposits at the locked node, 64 in flight, one burst after the other; memory read 10 s after it serves; disk is \
         all of its folder; its own log is caught up with by the process that is started, while a coordinator witnesses it",
    );
    Ok(())
}

/// A region whose origin has many messages.
struct Stock {
    region: Region,
    senders: Runtime,
    held: usize,
    coordinator: Option<Served>,
}

impl Stock {
    fn new(folder: &Path) -> Outcome<Self> {
        let config = "keep_content_open = true\nlog_level = \"error\"\n";
        let region = Region::found_in(folder, Path::new("clearhouse"), config, false, now())?;
        Ok(Self { region, senders: threads("senders")?, held: 0, coordinator: None })
    }

    /// Has notices sent until the origin holds `size` of them.
    fn grow(&mut self, size: usize) -> Outcome<()> {
        let (from, to) = (&self.region.destination, &self.region.origin);
        let (a, b) = (Node::start(&self.region, from, "a", true)?, Node::start(&self.region, to, "b", true)?);
        let grown = self.senders.block_on(async {
            let road = Road::new(&a, &b, to.made.org).await?;
            while self.held < size {
                let count = TOGETHER.min(size - self.held);
                road.together(count).await?;
                self.held += count;
            }
            Outcome::Ok(())
        });
        [a, b].into_iter().for_each(Node::stop);
        grown
    }

    /// Bursts of deposits at the locked node, one [`Run`] a round.
    fn deposits(&self, rounds: usize) -> Outcome<Vec<Run>> {
        let (from, to) = (&self.region.destination, &self.region.origin);
        let sealer = Sealer::new(&directory(&self.region)?, from, to, now())?;
        let body = sealer.longest_small_body()?;
        let node = Node::start(&self.region, to, "b", false)?;
        let measured = self.senders.block_on(async {
            let mailbox = Mailbox::new(&self.region, (&node, to), from, &sealer, body).await?;
            mailbox.measure().await?;
            let mut all = Vec::new();
            for _ in 0..rounds {
                let mut round = Run::default();
                for _ in 0..BURSTS {
                    round.absorb(mailbox.measure().await?.0);
                }
                all.push(round);
            }
            Outcome::Ok(all)
        });
        node.stop();
        measured
    }

    /// Runs the node as a process: milliseconds to SERVING, and its memory in megabytes when it was idle for a while.
    fn served(&mut self) -> Outcome<(f64, f64)> {
        if self.coordinator.is_none() {
            // Who has a log asks its witnesses at each start how far it went.
            let (served, _) = Served::start(&self.region.coordinator.folder)?;
            let records = self.region.records.clone();
            let coordinator = &mut self.region.coordinator;
            let learned = self.senders.block_on(coordinator.learn(&records));
            learned.map_err(|failure| failure.text)?;
            self.coordinator = Some(served);
        }
        let (served, took) = Served::start(&self.region.origin.folder)?;
        left_alone();
        let memory = served.figure("VmRSS")? as f64 * 1024.0 / 1e6;
        served.stop()?;
        Ok((micros(took) / 1000.0, memory))
    }
}

#[expect(clippy::disallowed_methods, reason = "an idle node is one that was left alone for a while")]
fn left_alone() {
    std::thread::sleep(IDLE);
}

fn now() -> u64 {
    SystemClock.now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one section, the table of names.
    fn file(names: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 0x80];
        file[0x28] = 0x40;
        (file[0x3A], file[0x3C]) = (0x40, 1);
        (file[0x40 + 0x18], file[0x40 + 0x20]) = (0x80, u8::try_from(names.len()).unwrap());
        file.extend_from_slice(names);
        file
    }

    #[test]
    fn a_program_with_symbols_is_told_from_one_without() {
        assert!(is_stripped(&file(b"\0.text\0.shstrtab\0")));
        assert!(is_stripped(&file(b"\0.text\0.debug_gdb_scripts\0")));
        assert!(!is_stripped(&file(b"\0.symtab\0.strtab\0.shstrtab\0")));
        assert!(!is_stripped(&file(b"\0.text\0.debug_info\0")));
        // This very program, as tests are built.
        assert!(!is_stripped(&std::fs::read(std::env::current_exe().unwrap()).unwrap()));
        // Cut short anywhere, it is read without a panic.
        let whole = file(b"\0.symtab\0");
        assert!((0..whole.len()).all(|len| section_names(&whole[..len]).is_none()));
    }
}
