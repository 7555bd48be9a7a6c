//! How the directory spreads: five real nodes, each of which asks a few others. What one says of itself reaches all without
//! anybody asking it directly, and who was away is up to date after one session.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_wire::v1 as wire;
use serde_json::Value;

use super::canaries::ask;
use super::found;
use super::region::{Member, Region};

/// On a busy machine; rounds are a second apart.
const LATE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CONFIG: &str = "keep_content_open = true\nlog_level = \"info\"\n";

/// What is new.
const NEW: &str = "ChildOfficer";

/// Three members of a region, and two more.
struct Five {
    region: Region,
    fourth: Member,
    fifth: Member,
    records: wire::RecordBundle,
}

impl Five {
    fn found() -> Self {
        let region = found(CONFIG);
        let now = SystemClock.now();
        let (fourth, more) = region.join(("fourth", "Strehe"), CONFIG, now).unwrap();
        let (fifth, last) = region.join(("fifth", "Porta"), CONFIG, now).unwrap();
        let mut records = region.records.clone();
        for bundle in [more, last] {
            records.records.extend(bundle.records);
            records.prekeys.extend(bundle.prekeys);
        }
        Self { region, fourth, fifth, records }
    }

    fn all(&mut self) -> [&mut Member; 5] {
        let region = &mut self.region;
        [&mut region.destination, &mut region.origin, &mut region.coordinator, &mut self.fourth, &mut self.fifth]
    }
}

impl Drop for Five {
    fn drop(&mut self) {
        self.all().into_iter().for_each(Member::kill);
    }
}

fn run<F: Future<Output = ()>>(what: impl FnOnce(Five) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(what(Five::found()));
}

/// The role that a member's entry names, as another one knows it.
async fn seen(at: &Member, of: &str) -> String {
    let shown = ask(at, Call::DirectoryShow { org: of.to_owned() }).await;
    shown["nodes"][0]["alternate"].as_str().unwrap_or_default().to_owned()
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < LATE, "{what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[test]
fn what_one_node_says_of_itself_reaches_all_without_anybody_asking_it() {
    run(|mut five| async move {
        let records = five.records.clone();
        for member in five.all() {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        let org = five.fifth.made.org.to_string();
        // All but one are away while it says something new; then it is away itself.
        for member in [&mut five.region.destination, &mut five.region.origin, &mut five.region.coordinator] {
            member.kill();
        }
        let attest = Call::DirectoryAttest { duty: None, alternate: Some(NEW.into()), child_places: None };
        ask(&five.fifth, attest).await;
        until("the one that is awake does not hear of it", async || seen(&five.fourth, &org).await == NEW).await;
        five.fifth.kill();
        let Five { region, .. } = &mut five;
        for member in [&mut region.destination, &mut region.origin, &mut region.coordinator] {
            member.start().await.unwrap();
            until("it did not come by others", async || seen(member, &org).await == NEW).await;
        }
    });
}

#[test]
fn a_node_that_knows_one_other_knows_everybody_after_its_first_session_and_can_write_to_them() {
    run(|mut five| async move {
        let records = five.records.clone();
        let own = five.fifth.made.org.to_string();
        let Five { region, fourth, fifth, .. } = &mut five;
        for member in [&mut region.destination, &mut region.origin, &mut region.coordinator, fourth] {
            member.start().await.unwrap();
            member.learn(&records).await.unwrap();
        }
        // The coordinator's records and its own, and nobody's prekeys.
        let mut known = wire::RecordBundle::default();
        let few = |bundle: &wire::RecordBundle, org: &[u8]| -> Vec<wire::Signed> {
            bundle.records.iter().filter(|r| r.payload.windows(16).any(|w| w == org)).cloned().collect()
        };
        let (coordinator, me) = (region.coordinator.made.org, fifth.made.org);
        for (org, node) in [(coordinator, region.coordinator.made.node), (me, fifth.made.node)] {
            known.records.extend(few(&records, &org.0));
            let by_node = few(&records, &node.0);
            known.records.extend(by_node.into_iter().filter(|r| !known.records.contains(r)).collect::<Vec<_>>());
        }
        fifth.start().await.unwrap();
        fifth.learn(&known).await.unwrap();
        let refreshed = ask(fifth, Call::DirectoryRefresh).await;
        assert!(refreshed["refused"].as_array().unwrap().is_empty(), "{refreshed}");
        until("not everybody is known", async || {
            let listed = ask(fifth, Call::DirectoryList).await;
            let rows: Vec<&Value> = listed["organisations"].as_array().unwrap().iter().collect();
            let usable = |row: &&&Value| row["org"] == own.as_str() || row["state"] == "reachable by record";
            rows.len() == 5 && rows.iter().filter(usable).count() == 5
        })
        .await;
        let again = ask(fifth, Call::DirectoryRefresh).await;
        assert_eq!((&again["new"], again["answered"].as_u64() > Some(1)), (&0.into(), true), "{again}");
        // Nobody can be asked for the prekeys of one organisation: that would tell to whom somebody is about to write.
        let directory = super::notice::directory(region);
        let line = super::notice::line(&directory, &region.destination, &region.coordinator).await.unwrap();
        let bundle = line.records(Some(region.origin.made.org)).await.unwrap();
        assert!(bundle.prekeys.is_empty() && bundle.records.len() > 3, "{}", bundle.records.len());
    });
}

#[test]
fn a_region_goes_by_a_stick_and_one_flipped_bit_costs_its_page_and_no_other() {
    run(|mut five| async move {
        let (records, office) = (five.records.clone(), five.fifth.made.org.to_string());
        let Five { region, fifth, .. } = &mut five;
        region.coordinator.start().await.unwrap();
        region.coordinator.learn(&records).await.unwrap();
        let stick = tempfile::tempdir().unwrap();
        let (whole, touched) = (stick.path().join("region.records"), stick.path().join("touched.records"));
        let typed = |member: &Member, args: &[&std::ffi::OsStr]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clearhouse"));
            let phrase = super::region::demo_passphrase("admin");
            let secret = member.folder.join("phrase");
            std::fs::write(&secret, phrase.as_bytes()).unwrap();
            std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            command.args(args).args(["--json", "--as", "admin", "--passphrase-file"]).arg(&secret);
            let told = command.arg("--node").arg(&member.folder).output().unwrap();
            let said = String::from_utf8_lossy(&told.stdout).into_owned();
            assert!(told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));
            (told.status.code(), serde_json::from_str::<Value>(&said).unwrap())
        };
        let (code, saved) = typed(
            &region.coordinator,
            &["directory".as_ref(), "export".as_ref(), "--all".as_ref(), "--out".as_ref(), whole.as_ref()],
        );
        assert_eq!((code, &saved["pages"]), (Some(0), &2.into()), "{saved}");
        region.coordinator.kill();
        let mut bytes = std::fs::read(&whole).unwrap();
        let middle = bytes.len() / 2 + 5000;
        bytes[middle] ^= 4;
        std::fs::write(&touched, bytes).unwrap();
        fifth.start().await.unwrap();
        let import = |file: &std::path::Path| typed(fifth, &["directory".as_ref(), "import".as_ref(), file.as_ref()]);
        let (code, told) = import(&touched);
        assert_eq!((code, &told["damaged_pages"][0]["number"]), (Some(3), &2.into()), "{told}");
        assert_eq!((told["damaged_pages"].as_array().unwrap().len(), &told["pages"]), (1, &2.into()));
        let usable = async || {
            let listed = ask(fifth, Call::DirectoryList).await;
            let rows = listed["organisations"].as_array().unwrap().clone();
            let others = rows.iter().filter(|row| row["org"] != office.as_str());
            (rows.len(), others.filter(|row| row["state"] == "reachable by record").count())
        };
        assert_eq!(usable().await, (5, 0), "everybody is known, and nobody's prekeys");
        let (code, told) = import(&whole);
        assert_eq!((code, told["damaged_pages"].as_array().unwrap().len()), (Some(0), 0), "{told}");
        assert_eq!(usable().await, (5, 4));
    });
}
