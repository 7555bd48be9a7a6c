//! A witness killed between its store and its reply, 200 times: what it had written down stands, and it never cosigns a
//! smaller head after a larger. The process is this test's own program, playing a witness on a real store.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::{Me, Now, Office};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::log::Hash;
use clearhouse_protocol::log::checkpoint::Checkpoint;
use clearhouse_protocol::log::tree::{self, Hashes};
use clearhouse_protocol::log::witness::{Request, WitnessFault};
use clearhouse_protocol::merkle;
use clearhouse_protocol::rows::Table;
use clearhouse_store::DurableStore;
use clearhouse_store::keyfile::{ContentKeys, ServiceKeys};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const KILLS: u64 = 200;
const KILLS_PLANTED: u64 = 3;
/// Set for the child: the folder of its store.
const FOLDER: &str = "CLEARHOUSE_TEST_WITNESS";
/// Set for the child that plays a witness which replies before it stores.
const PLANTED: &str = "CLEARHOUSE_TEST_WITNESS_PLANTED";

struct Leaves(Vec<Hash>);

impl Hashes for Leaves {
    type Error = Infallible;

    fn at(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let (from, len) = (usize::try_from(index).unwrap() << level, 1 << level);
        Ok(merkle::root(&self.0[from..from + len]))
    }
}

fn request(region: &Region, old: u64, size: u64) -> Request {
    let leaves = Leaves((0..size).map(|n| merkle::leaf(&n.to_be_bytes())).collect());
    let member = &region.members[1];
    let origin = clearhouse_protocol::audit::origin(region.net, member.org, member.node, 1);
    let head = Checkpoint { origin, size, root: tree::root(&leaves, size).unwrap() };
    // Where there is no way from there to here, an empty one is offered.
    let path = if old <= size { tree::consistency(&leaves, old, size).unwrap() } else { Vec::new() };
    Request { old, path, note: head.sign(&member.log()).unwrap() }
}

/// The witness: reads `old size`, says `stored` when that is durable, and replies when it is told to.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let planted = std::env::var(PLANTED).is_ok();
    let region = Region::with_coordinators(1, 3, 1);
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let (service, content) = (ServiceKeys::generate(&mut rng), ContentKeys::generate(&mut rng));
    let vault = Vault::new(&service, Some(&content)).unwrap();
    let mut ledger = Ledger::new(DurableStore::open(Path::new(&folder)).unwrap().0, vault);
    let member = &region.members[0];
    let me = Me {
        net: region.net,
        org: member.org,
        node: member.node,
        mailboxes: vec![member.mailbox],
        generation: 1,
        zone: Zone::utc(),
    };
    let mut office = Office::new(me, region.directory.clone());
    office.apply(&ledger.load(&[Table::Witness]).unwrap().rows);
    // The harness of the tests writes on the same output: each word stands behind a mark.
    let say = |word: &str| {
        println!("\n> {word}");
        std::io::stdout().flush().unwrap();
    };
    say("up");
    let mut lines = std::io::stdin().lines();
    while let Some(Ok(line)) = lines.next() {
        let mut numbers = line.split(' ').map(|n| n.parse().unwrap());
        let asked = request(&region, numbers.next().unwrap(), numbers.next().unwrap());
        let mut now = Now { time: NOW, rng: &mut rng, key: &member.sign };
        let (step, decided) = office.cosign(region.members[1].node, &asked, &mut now);
        let reply = match decided {
            Ok(cosigning) => format!("cosigned {}", cosigning.held().size),
            Err(WitnessFault::Conflict(size)) => format!("conflict {size}"),
            Err(fault) => format!("fault {fault}"),
        };
        if planted {
            say(&reply);
            lines.next();
        }
        if !step.rows.is_empty() {
            ledger.commit(&step.rows, &step.events, &mut rng).unwrap();
            office.take(&step);
        }
        say("stored");
        lines.next();
        say(&reply);
    }
}

struct Witness {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Witness {
    fn start(folder: &Path, planted: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "mesh::witness_beats::child", "--nocapture"]).env(FOLDER, folder);
        if planted {
            command.env(PLANTED, "1");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut witness = Self { process, input, output };
        assert_eq!(witness.hear(), "up");
        witness
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
        self.input.flush().unwrap();
    }

    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the witness ended by itself");
            if let Some(word) = line.strip_prefix("> ") {
                return word.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, old: u64, size: u64) -> String {
        self.tell(&format!("{old} {size}"));
        let mut word = self.hear();
        while word == "stored" {
            self.tell("");
            word = self.hear();
        }
        word
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Kills the witness after its first word about a larger head, so often, and asks the next one for a smaller. What the
/// first wrong answer was, if any.
fn kills(times: u64, planted: bool) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let (mut before, mut size) = (0, 3);
    let mut witness = Witness::start(folder.path(), planted);
    for _ in 0..times {
        witness.tell(&format!("{before} {size}"));
        // An honest one has stored; the planted one has replied.
        let word = witness.hear();
        assert!(word == "stored" || planted, "{word}");
        witness.kill();
        witness = Witness::start(folder.path(), planted);
        let answer = witness.ask(before, size - 1);
        if answer != format!("conflict {size}") {
            return Some(answer);
        }
        // At least two more, so that a smaller one lies between.
        (before, size) = (size, size + 2 + size % 3);
    }
    witness.kill();
    None
}

#[test]
fn attack_23_a_witness_killed_200_times_between_store_and_reply_never_cosigns_a_smaller_head() {
    assert_eq!(kills(KILLS, false), None);
}

#[test]
fn attack_23_a_witness_that_replies_before_it_stores_is_found() {
    assert!(kills(KILLS_PLANTED, true).is_some_and(|answer| answer.starts_with("cosigned")));
}
