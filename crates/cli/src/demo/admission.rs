//! How an organisation comes to belong: the network gets directory logs, an organisation of a fourth country applies, two
//! signatures are refused, the third makes it sound, and the coordinators' logs make it count. Nobody but a coordinator
//! takes it in at a desk; the others hear of it.

use std::time::{Duration, Instant};

use clearhouse_node::calls::Call;
use clearhouse_node::clock::{Clock as _, SystemClock};
use clearhouse_protocol::ceremony::{name_log, next_policy};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::signed::add_signature;
use clearhouse_wire::v1 as wire;
use serde_json::Value;

use super::region::{Member, Region, Role, sign_first};
use super::{Failure, Teller};

/// How long news may take to go round on a busy machine.
pub(super) const LATE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the nodes that came later have in their configuration.
const CONFIG: &str = "keep_content_open = true\nlog_level = \"debug\"\n";
/// The newcomer's name.
pub(super) const NEWCOMER: &str = "Strehim";
/// What the directory says of an organisation that can be written to.
pub(super) const REACHABLE: &str = "reachable by record";

/// The coordinators' second policy: from then on a record counts only when their directory logs show it. The second
/// coordinator's node, which cosigns the first one's log.
pub(super) async fn logs(region: &mut Region, teller: &mut Teller) -> Result<Member, Failure> {
    let (began, now) = (Instant::now(), SystemClock.now());
    let role = Role {
        key: "second-coordinator",
        name: "Second coordinator",
        country: "IT",
        roles: &["Coordinator"],
        competences: &[],
        language: "ita",
        keeper: None,
    };
    let (mut second, mut records) = region.apply(&role, CONFIG, now)?;
    sign_first(&mut records, &region.coordinators);
    add(region, records);
    region.records.records.push(policy(region, &second, now)?);
    second.start().await?;
    second.learn(&region.records).await?;
    region.coordinator.learn(&region.records).await?;
    // The NGOs are told nothing: policy, new coordinator and logs come to them by themselves.
    for (at, of) in [(&region.destination, &region.origin), (&region.origin, &region.destination)] {
        until(at, "the directory logs", |list| {
            let logs = list["logs"].as_array().map_or(&[][..], Vec::as_slice);
            let heard = logs.iter().filter(|log| log["heard"].is_string()).count();
            heard == 2 && state(list, of.name) == REACHABLE && state(list, second.name) == REACHABLE
        })
        .await?;
    }
    let text = "three coordinators of three countries signed a second policy: two of them keep directory logs and cosign \
                each other's; what is in no log counts no more, and the logs show all 4 organisations";
    teller.step("Logs", text, Some(began.elapsed()));
    Ok(second)
}

/// The next policy, signed by all: the two coordinators' nodes keep directory logs.
fn policy(region: &Region, second: &Member, now: u64) -> Result<wire::Signed, Failure> {
    let mut named = Ok(());
    let policy = next_policy(&region.genesis()?, now, |policy| {
        for (coordinator, of) in policy.coordinators.iter_mut().zip([&region.coordinator.made, &second.made]) {
            let keys = of.keys.service();
            let [log, witness] =
                [&keys.log_seed, &keys.witness_seed].map(|seed| SigningKey::from_seed(seed.expose()).public());
            named = named.and(name_log(coordinator, region.net, (of.org, of.node), &log, &witness));
        }
    });
    let mut policy = policy.filter(|_| named.is_ok()).ok_or_else(|| Failure::bug("a policy"))?;
    region.coordinators.iter().for_each(|key| add_signature(&mut policy, key));
    Ok(policy)
}

/// An organisation of a fourth country applies and is admitted by coordinators of three; its node, which does not run yet.
pub(super) async fn admitted(region: &mut Region, teller: &mut Teller) -> Result<Member, Failure> {
    let role = Role {
        key: "newcomer",
        name: NEWCOMER,
        country: "AL",
        roles: &["Origin"],
        competences: &["Shelter", "LegalAid"],
        language: "sqi",
        keeper: Some(region.coordinator.made.node),
    };
    let (newcomer, mut application) = region.apply(&role, CONFIG, SystemClock.now())?;
    let (two, third) = region.coordinators.split_at(2);
    sign_first(&mut application, two);
    too_few(region, &application, teller).await?;
    sign_first(&mut application, third);
    shown_to_one(region, &application).await?;
    let began = Instant::now();
    region.coordinator.learn(&application).await?;
    for at in [&region.destination, &region.origin] {
        until(at, "the admission", |list| state(list, NEWCOMER) == REACHABLE).await?;
    }
    let text = format!(
        "the coordinator of a third country signs; brought to Casa Nova alone it counts for nothing, being in no log; now \
         that the coordinators' logs show it, Porto Sicuro may write to {NEWCOMER}, and nobody brought it there"
    );
    teller.step("Admitted", &text, Some(began.elapsed()));
    add(region, application);
    Ok(newcomer)
}

/// Two coordinators of two countries signed: their own node refuses the record.
async fn too_few(region: &Region, application: &wire::RecordBundle, teller: &mut Teller) -> Result<(), Failure> {
    let taken = region.coordinator.import(application).await?;
    let why = taken["refused"][0]["why"].as_str().unwrap_or_default().to_owned();
    let list = region.coordinator.ask(Call::DirectoryList).await?;
    if taken["new"] != 0 || !why.contains("not enough coordinators") || !state(&list, NEWCOMER).is_empty() {
        return Err(Failure::new("CH-E0314", "An application with two signatures was not refused for that."));
    }
    let text = format!("{NEWCOMER} (Albania) applies; with the signatures of two coordinators it is refused: {why}");
    teller.step("Application", &text, None);
    Ok(())
}

/// With all signatures and in no log, the record counts neither where it was brought nor anywhere else.
async fn shown_to_one(region: &Region, application: &wire::RecordBundle) -> Result<(), Failure> {
    // Accreditation and certificate: what would vouch for a node.
    let records = application.records.iter().take(2).cloned().collect();
    let taken = region.origin.import(&wire::RecordBundle { records, ..Default::default() }).await?;
    let (here, there) =
        (region.origin.ask(Call::DirectoryList).await?, region.destination.ask(Call::DirectoryList).await?);
    let one = state(&here, NEWCOMER).contains("not shown to everybody");
    if taken["new"] == 2 && one && state(&there, NEWCOMER).is_empty() {
        return Ok(());
    }
    Err(Failure::new("CH-E0315", "A record that no coordinators' log shows counted all the same, or was not kept."))
}

/// More records that the region's people know of.
fn add(region: &mut Region, mut records: wire::RecordBundle) {
    region.records.records.append(&mut records.records);
    region.records.prekeys.append(&mut records.prekeys);
}

/// What a directory says of an organisation; nothing of one that it does not know.
pub(super) fn state<'a>(list: &'a Value, name: &str) -> &'a str {
    let all = list["organisations"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(|org| org["label"] == name).and_then(|org| org["state"].as_str()).unwrap_or_default()
}

/// Waits until a member's directory is as it should be.
pub(super) async fn until(member: &Member, what: &str, done: impl Fn(&Value) -> bool) -> Result<(), Failure> {
    let deadline = Instant::now() + LATE;
    while !done(&member.ask(Call::DirectoryList).await?) {
        if Instant::now() > deadline {
            let text = format!("{} did not hear of {what} in time.", member.name);
            return Err(Failure::new("CH-E0316", text));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
