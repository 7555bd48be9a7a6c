//! Directory logs in an office: entered, followed, proved, and there again after a restart.

use clearhouse_protocol::audit::unpad;
use clearhouse_protocol::directory::logs::Freshness;
use clearhouse_protocol::directory::{Directory, RouteFault};
use clearhouse_protocol::fixture::{NOW, Region};
use clearhouse_protocol::ids::ConversationId;
use clearhouse_protocol::limits::{DAY, HOUR};
use clearhouse_protocol::log::note::Note;
use clearhouse_protocol::log::witness::Request;
use clearhouse_wire::v1::MessageType;

use super::super::desk::Stop;
use super::super::hearing::tests::Node;
use super::super::records::reading_order;
use super::super::sending::Parcel;
use super::*;

/// A region of three coordinators whose logs are empty, and everything that the first has to enter.
fn entries(node: &Node) -> Vec<Vec<u8>> {
    let office = &node.office;
    office.directory().to_enter(office.me().node).into_iter().map(wire::Signed::encode_to_vec).collect()
}

/// The same office out of its rows, as a store gives them: table by table, keys in no order.
pub(super) fn again(region: &Region, node: &Node, n: usize) -> Node {
    let mut again = Node::new(region, n);
    let mut rows: Vec<Row> = node.rows.clone();
    rows.reverse();
    let mut newest = BTreeSet::new();
    rows.retain(|row| newest.insert((row.table, row.key.clone())));
    rows.sort_by_key(|row| row.table);
    reading_order(&mut rows);
    again.office.apply(&rows);
    again
}

#[test]
fn a_coordinator_enters_what_it_holds_once_and_members_follow_it() {
    let region = Region::with_logs(1, 6);
    let (mut keeper, mut member) = (Node::new(&region, 0), Node::new(&region, 4));
    let own = region.members[0].node;
    assert!(member.office.enter_records().rows.is_empty(), "nobody but a coordinator keeps one");
    let all = entries(&keeper);
    keeper.act(&region, NOW, |office, _| (office.enter_records(), ()));
    assert_eq!(keeper.office.directory().followed(own), all.len() as u64);
    assert!(keeper.office.enter_records().rows.is_empty(), "once");
    let speaks =
        |node: &Node| node.office.directory().signing_key(region.members[5].org, region.members[5].node, NOW).is_ok();
    assert!(!speaks(&keeper), "not before the others cosigned");

    let head = wire::DirectoryLogReply { entries: vec![], ..region.log_page(0, &all, (0, all.len()), (&[1, 2], NOW)) };
    let (_, taken) = keeper.act(&region, NOW, |office, now| office.follow(own, &head, now));
    assert!(taken.is_ok_and(|intake| intake.new == 0) && speaks(&keeper));
    assert!(speaks(&again(&region, &keeper, 0)), "and after a restart");

    // The member asks, page by page, and keeps enough to tell others in its turn.
    let told = keeper.office.directory().page_of(own, 0, 0, all[..4].to_vec());
    member.act(&region, NOW, |office, now| office.follow(own, &told, now)).1.unwrap();
    assert!(!speaks(&member));
    let mut member = again(&region, &member, 4);
    let told = keeper.office.directory().page_of(own, 4, 0, all[4..].to_vec());
    let (step, taken) = member.act(&region, NOW, |office, now| office.follow(own, &told, now));
    assert!(taken.is_ok() && speaks(&member) && step.effects.contains(&Effect::DirectoryChanged));
    let kept: Vec<[u8; 32]> = member.office.entry_keys(own, 0);
    assert_eq!(kept, keeper.office.entry_keys(own, 0));
    assert!(step.rows.iter().any(|row| row.table == Table::DirectoryEntry && row.key == kept[4]));
}

#[test]
fn a_log_brings_records_that_were_not_held() {
    let region = Region::with_logs(2, 6);
    let mut founded = Region::new(2, 6);
    founded.directory = Directory::found(&region.genesis, None).unwrap();
    let own = region.members[1].node;
    let all = entries(&Node::new(&region, 1));
    let policy = wire::RecordBundle { records: region.records[..1].to_vec(), ..wire::RecordBundle::default() };
    let mut node = Node::new(&founded, 4);
    node.act(&founded, NOW, |office, now| office.admit(&policy, now));
    let page = region.log_page(1, &all, (0, all.len()), (&[0, 2], NOW));
    let (_, taken) = node.act(&founded, NOW, |office, now| office.follow(own, &page, now));
    assert_eq!(taken.unwrap().new, all.len() - 1, "all but the policy");
    let m = &region.members[5];
    assert!(node.office.directory().signing_key(m.org, m.node, NOW).is_ok());
}

#[test]
fn a_head_that_is_held_already_is_written_once_and_a_newer_one_of_the_same_size_again() {
    let region = Region::with_logs(3, 6);
    let own = region.members[0].node;
    let mut node = Node::new(&region, 4);
    let all = entries(&Node::new(&region, 0));
    let page = |time| region.log_page(0, &all, (0, all.len()), (&[1, 2], time));
    let bare = |time| wire::DirectoryLogReply { entries: vec![], ..page(time) };
    node.act(&region, NOW, |office, now| office.follow(own, &page(NOW), now)).1.unwrap();
    let (step, taken) = node.act(&region, NOW, |office, now| office.follow(own, &bare(NOW), now));
    assert!(taken.is_ok() && step.rows.is_empty() && step.effects.is_empty(), "nothing is new");
    let (step, taken) = node.act(&region, NOW + HOUR, |office, now| office.follow(own, &bare(NOW + HOUR), now));
    assert!(taken.is_ok() && step.rows.len() == 1 && step.effects.contains(&Effect::DirectoryChanged));
}

#[test]
fn attack_15_a_log_with_two_histories_is_kept_as_evidence_and_followed_no_more() {
    let region = Region::with_logs(3, 6);
    let own = region.members[0].node;
    let mut node = Node::new(&region, 4);
    let all = entries(&Node::new(&region, 0));
    let page = |all: &[Vec<u8>], time| region.log_page(0, all, (0, all.len()), (&[1, 2], time));
    node.act(&region, NOW, |office, now| office.follow(own, &page(&all, NOW), now)).1.unwrap();
    let mut other = all.clone();
    other[2].push(0);
    let forked = wire::DirectoryLogReply { entries: vec![], ..page(&other, NOW + HOUR) };
    let (step, refused) = node.act(&region, NOW, |office, now| office.follow(own, &forked, now));
    let Some(LogFault::Forked(Some(proof))) = refused.err() else { panic!("two histories are no proof") };
    // Two who follow it and meet keep the same; about another log it proves nothing.
    let mut met = Node::new(&region, 5);
    let elsewhere = region.members[1].node;
    met.act(&region, NOW, |office, now| (office.keep_fork(elsewhere, &proof, now), ()));
    assert!(!met.office.directory().is_suspended(elsewhere) && met.rows.is_empty());
    met.act(&region, NOW, |office, now| (office.keep_fork(own, &proof, now), ()));
    assert!(met.office.directory().is_suspended(own));
    let entered: Vec<_> = step.events.iter().map(|row| unpad(&row.opening).unwrap().event()).collect();
    assert!(entered == [wire::AuditEvent::EquivocationFound]);
    let (whose, proof) = node.office.equivocations().next().unwrap();
    assert!(whose == own && node.office.directory().is_suspended(own));
    // Whoever is told of it comes to the same, and nobody follows it on.
    let mut told = Node::new(&region, 5);
    let proof = proof.as_bytes().to_vec();
    let (_, taken) = told.act(&region, NOW, |office, now| office.take_equivocation(&proof, now));
    assert_eq!(taken.ok(), Some(own));
    for node in [&node, &again(&region, &node, 4), &told] {
        assert_eq!(node.office.directory().check_page(own, &page(&all, NOW), NOW).err(), Some(LogFault::NoSuchLog));
    }
}

#[test]
fn attack_16_with_no_new_word_of_coordinators_profiles_stay_and_then_notices_too() {
    let mut region = Region::with_logs(4, 6);
    region.publish_all(NOW);
    let (to, sender) = (&region.members[5], Node::new(&region, 4));
    let send = |kind: MessageType, at: u64| {
        let mut rng = rand_chacha::ChaCha20Rng::clone(&region.rng);
        let mut now = Now { time: at, rng: &mut rng, key: &region.members[4].sign };
        let parcel = Parcel {
            msg_type: kind as u32,
            body_version: 1,
            to: (to.org, to.node),
            conversation: ConversationId([1; 32]),
            body: b"body",
            attachments: &[],
            actor: None,
            case: None,
            not_after: at + DAY,
            remade: 0,
        };
        sender.office.seal_and_queue(&parcel, &mut Step::default(), &mut now).err()
    };
    let out_of_date = Some(Stop::Route(RouteFault::OutOfDate));
    let rows = [
        (47 * HOUR, None, None),
        (48 * HOUR, None, out_of_date),
        (14 * DAY - 1, None, out_of_date),
        (14 * DAY, out_of_date, out_of_date),
    ];
    for (age, notice, profile) in rows {
        assert_eq!(send(MessageType::ReturnNotice, NOW + age), notice, "{age}");
        assert_eq!(send(MessageType::VictimProfile, NOW + age), profile, "{age}");
        assert_eq!(send(MessageType::Answer, NOW + age), None, "who is on her way is written about");
    }
    assert_eq!(sender.office.directory().freshness(NOW + 48 * HOUR), Freshness::Aged(NOW));
}

#[test]
fn a_bundle_with_proofs_makes_its_records_count_and_a_false_proof_is_named() {
    let mut region = Region::with_logs(5, 6);
    let mut stranger = Node::new(&region, 4);
    region.publish_all(NOW);
    let m = &region.members[5];
    let bundle = region.directory.bundle(m.org);
    let mut false_ones = bundle.clone();
    false_ones.published[0].proof[30] ^= 1;
    let speaks = |node: &Node| node.office.directory().signing_key(m.org, m.node, NOW).is_ok();
    let (_, intake) = stranger.act(&region, NOW, |office, now| office.admit(&false_ones, now));
    assert_eq!(intake.refused.len(), 1);
    // It is named by its place: records first, then prekeys, then proofs.
    let before = bundle.records.len() + bundle.prekeys.len();
    assert_eq!(intake.refused[0].0, before);
    let mut last_false = bundle.clone();
    let last = last_false.published.len() - 1;
    assert!(last > 0 && before > 0);
    last_false.published[last].proof[30] ^= 1;
    let mut other = Node::new(&Region::with_logs(5, 6), 4);
    let (_, intake) = other.act(&region, NOW, |office, now| office.admit(&last_false, now));
    assert_eq!(intake.refused[0].0, before + last);
    let (step, intake) = stranger.act(&region, NOW, |office, now| office.admit(&bundle, now));
    assert!(intake.refused.is_empty() && speaks(&stranger) && !step.rows.is_empty());
    assert!(speaks(&again(&region, &stranger, 4)));
    let (step, _) = stranger.act(&region, NOW, |office, now| office.admit(&bundle, now));
    assert!(step.rows.is_empty(), "known");
}

#[test]
fn a_head_to_cosign_is_of_the_log_that_it_names() {
    let region = Region::with_logs(3, 6);
    let (asked, mut keeper) = (Node::new(&region, 1), Node::new(&region, 0));
    let m = &region.members[0];
    let all = entries(&keeper);
    let shared = region.log_page(0, &all, (0, all.len()), (&[1], NOW)).head;
    keeper.send(&region, 2, 1);
    let own = keeper.head(&region, &[]);
    let named = |note: Note| {
        let request = Request { old: 0, path: vec![], note };
        asked.office.log_asked_for(m.node, &request).unwrap().name().to_owned()
    };
    let directory_log = region.directory.directory_log(m.node).unwrap();
    assert_eq!(named(Note::parse(&shared).unwrap()), directory_log.name());
    assert_eq!(named(own), region.directory.log_key(m.node).unwrap().name());
    assert_ne!(directory_log.name(), region.directory.log_key(m.node).unwrap().name());
}

#[test]
fn entries_that_go_on_in_the_middle_of_a_row_are_kept_behind_those_that_are_there() {
    let region = Region::with_logs(1, 6);
    let mut node = Node::new(&region, 4);
    let own = region.members[0].node;
    let bytes = |range: std::ops::Range<u32>| range.map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>();
    let entered = |bytes: &[Vec<u8>]| bytes.iter().map(|entry| Entered::of(entry)).collect::<Vec<_>>();
    let (old, new) = (entered(&bytes(0..300)), bytes(300..600));
    Arc::make_mut(&mut node.office.directory).take_entries(own, 0, &old);
    let mut step = Step::default();
    node.office.keep_entries(own, 300, &entered(&new), &new, &mut step);
    let rows: Vec<&Row> = step.rows.iter().filter(|row| row.table != Table::DirectoryEntry).collect();
    let page = |row: &Row| u32::from_be_bytes(*row.key.last_chunk().unwrap());
    assert_eq!(rows.iter().map(|row| page(row)).collect::<Vec<_>>(), [1, 2]);
    let all = [old, entered(&new)].concat();
    let kept: Vec<u8> = rows.iter().flat_map(|row| row.value.clone().unwrap()).collect();
    assert_eq!(kept, all[ROW_ENTRIES..].iter().flat_map(Entered::bytes).collect::<Vec<u8>>());
}
