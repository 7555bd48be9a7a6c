//! How old a backup is when it comes back: one of more than 35 days does not without a word, and none does by a clock that
//! shows a time before it was made.

use std::path::Path;

use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_node::restored::Mark;
use clearhouse_protocol::limits::DAY;
use clearhouse_store::backup::keys::EXPIRES_SECS;

use super::backup::{KEPT_OPEN, block_on, create, restoring, said, shelf, take_sheets};
use super::behind::behind;
use super::region::Region;

const VARIABLE: &str = "CLEARHOUSE_SHIFT";
const CONTROL: &str = "shift";
/// How far the clock of the node goes ahead of the clock it is restored by.
const AHEAD: &str = "3600";

#[test]
fn an_expired_backup_and_one_of_a_time_to_come_are_refused() {
    block_on(async {
        let programs = tempfile::tempdir().unwrap();
        let Some(program) = behind(programs.path(), "shift.c", VARIABLE, CONTROL) else { return };
        let mut region = Region::found_with(&program, KEPT_OPEN, false, SystemClock.now()).unwrap();
        let records = region.records.clone();
        region.origin.start().await.unwrap();
        region.origin.learn(&records).await.unwrap();
        let (shelf, sheets) = (shelf(&region), take_sheets(&region.origin, &region.folder));
        let target = region.folder.join("target");
        let restored = |backup: &serde_json::Value, days: u64, more: &[&str]| {
            let file = Path::new(backup["file"].as_str().unwrap());
            let control = region.folder.join(CONTROL);
            std::fs::write(&control, (days * DAY).to_string()).unwrap();
            let mut command = restoring(file, &target, [&sheets[0], &sheets[1]], more);
            command.env("LD_PRELOAD", programs.path().join("shift.so")).env(VARIABLE, control).output().unwrap()
        };

        let backup = create(&region.origin, &shelf).await;
        let expired = restored(&backup, 36, &[]);
        assert!(said(&expired).contains("CH-R0904") && said(&expired).contains("35 days"), "{}", said(&expired));
        assert!(!target.exists());
        let although = restored(&backup, 36, &["--although-expired"]);
        assert!(although.status.success() && said(&although).contains(r#""expired":true"#), "{}", said(&although));
        // What the first start finds: how old it was when it came back.
        let mark = Mark::read(&target).unwrap().unwrap();
        assert!(mark.restored - mark.made > EXPIRES_SECS && mark.although_expired);
        std::fs::remove_dir_all(&target).unwrap();

        region.origin.kill();
        std::fs::write(region.origin.folder.join(CONTROL), AHEAD).unwrap();
        region.origin.start().await.unwrap();
        region.origin.session = None;
        region.origin.learn(&records).await.unwrap();
        let ahead = create(&region.origin, &shelf).await;
        for more in [&[] as &[&str], &["--although-expired"]] {
            let refused = restored(&ahead, 0, more);
            assert!(!refused.status.success() && !target.exists(), "{}", said(&refused));
            assert!(said(&refused).contains("Set the clock"), "{}", said(&refused));
        }
        // By a clock that caught up, it comes back.
        let back = restored(&ahead, 1, &[]);
        assert!(back.status.success() && said(&back).contains(r#""expired":false"#), "{}", said(&back));
    });
}
