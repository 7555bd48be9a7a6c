//! What leaves, by example.

use super::*;
use crate::ids::{Digest, NodeId};
use crate::reconcile::Corridor;

const POLICY_MIN: u64 = 11;
/// Wednesday, 18 November 2026, 09:30 UTC, and the Monday before.
const WEDNESDAY: u64 = 1_794_994_200;
const MONDAY: u64 = 1_794_787_200;

fn org(n: u8) -> OrgId {
    OrgId([n; 16])
}

fn finding(kind: Kind, from: u8, to: u8) -> Finding {
    let parties = vec![(org(from), NodeId([from; 16])), (org(to), NodeId([to; 16]))];
    Finding { kind, parties, digest: Some(Digest([77; 32])), index: Some(5), since: WEDNESDAY }
}

/// From, to, and how many are open of each class.
type Open<'a> = (u8, u8, &'a [(u32, u64)]);

fn report(corridors: &[Open<'_>], findings: Vec<Finding>) -> Report {
    let corridor = |open: &[(u32, u64)]| Corridor { open: open.iter().copied().collect(), oldest: WEDNESDAY };
    let corridors = corridors.iter().map(|(from, to, open)| ((org(*from), org(*to)), corridor(open)));
    Report { corridors: corridors.collect(), findings, ..Report::default() }
}

fn by_org(report: &Report) -> Coarse<OrgId> {
    coarse(report, &Policy::default(), |org| org)
}

#[test]
fn a_small_corridor_says_only_whether_something_is_overdue() {
    assert_eq!(Policy::default().min_cell, POLICY_MIN);
    let late = report(&[(1, 2, &[(2, 10)])], vec![finding(Kind::Unattended, 1, 2)]);
    assert_eq!(by_org(&late).figures(&org(1), &org(2)), Figures::Few { overdue: true });
    // In time, or settled, or no message at all: it looks the same, and is not listed.
    for quiet in
        [report(&[(1, 2, &[(2, 10)])], vec![]), report(&[], vec![finding(Kind::Replay, 1, 2)]), report(&[], vec![])]
    {
        let coarse = by_org(&quiet);
        assert_eq!(coarse.figures(&org(1), &org(2)), Figures::Few { overdue: false });
        assert_eq!(coarse.corridors().count(), 0);
    }
}

#[test]
fn eleven_open_messages_are_enough_and_a_corridor_has_a_direction() {
    let coarse = by_org(&report(&[(1, 2, &[(2, 11)])], vec![finding(Kind::Unattended, 1, 2)]));
    let Figures::Counted { open, classes, oldest_week, findings } = coarse.figures(&org(1), &org(2)) else {
        panic!("enough");
    };
    assert_eq!((open, oldest_week), (11, Some(MONDAY)));
    assert_eq!(classes, BTreeMap::from([(2, 11)]));
    assert_eq!(findings, BTreeMap::from([(Kind::Unattended, Tally { count: 1, week: Some(MONDAY) })]));
    assert_eq!(coarse.figures(&org(2), &org(1)), Figures::Few { overdue: false });
}

#[test]
fn a_class_is_shown_only_with_eleven_and_never_so_that_a_smaller_one_can_be_told() {
    let classes = |open: &[(u32, u64)]| {
        let coarse = by_org(&report(&[(1, 2, open)], vec![]));
        let Figures::Counted { classes, .. } = coarse.figures(&org(1), &org(2)) else { panic!("enough") };
        classes.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(classes(&[(2, 6), (6, 5)]), []);
    assert_eq!(classes(&[(2, 30), (6, 10), (9, 9)]), [(2, 30)]);
    assert_eq!(classes(&[(2, 30), (6, 12), (9, 3)]), [(2, 30)], "fifteen left out, not three");
    assert_eq!(classes(&[(2, 30), (9, 3)]), []);
    assert_eq!(classes(&[(2, 30), (6, 11), (9, 10)]), [(2, 30)], "ten left out would be told");
    assert_eq!(classes(&[(2, 30), (6, 12), (9, 6), (10, 5)]), [(2, 30), (6, 12)], "eleven are not");
    assert_eq!(classes(&[(2, 12), (6, 12), (9, 1)]), [(6, 12)], "of two alike the first goes");
}

#[test]
fn countries_gather_the_corridors_of_their_organisations() {
    let exact = report(&[(1, 2, &[(2, 6)]), (3, 2, &[(2, 6)])], vec![finding(Kind::Unattended, 3, 2)]);
    let coarse = coarse(&exact, &Policy::default(), |org| if org.0[0] == 2 { "MD" } else { "IT" });
    let Figures::Counted { open, .. } = coarse.figures(&"IT", &"MD") else { panic!("enough") };
    assert_eq!(open, 12);
    assert_eq!(coarse.corridors().count(), 1);
}

#[test]
fn an_urgent_finding_names_the_two_organisations_once_and_no_more() {
    let urgent = || finding(Kind::OverdueArrival, 1, 2);
    let mut other = urgent();
    other.digest = Some(Digest([78; 32]));
    let coarse = by_org(&report(&[(1, 2, &[(9, 2)])], vec![urgent(), other, finding(Kind::Unattended, 1, 2)]));
    assert_eq!(coarse.alerts, [Alert { kind: Kind::OverdueArrival, from: org(1), to: org(2) }]);
    assert_eq!(coarse.figures(&org(1), &org(2)), Figures::Few { overdue: true });
}

#[test]
fn what_is_wrong_with_a_node_is_told_by_organisation_and_week() {
    let mut about = finding(Kind::Unexplained, 1, 1);
    (about.parties, about.digest) = (vec![(org(1), NodeId([1; 16]))], None);
    let coarse = by_org(&report(&[], vec![about.clone(), Finding { index: Some(6), ..about.clone() }]));
    assert_eq!(coarse.nodes, [AboutNode { kind: Kind::Unexplained, org: org(1), week: Some(MONDAY) }]);
    let never = by_org(&report(&[], vec![Finding { since: 0, ..about }]));
    assert_eq!(never.nodes[0].week, None);
}

#[test]
fn no_digest_no_position_and_no_day_leaves() {
    let findings = Kind::ALL.iter().map(|kind| finding(*kind, 1, 2)).collect();
    let coarse = by_org(&report(&[(1, 2, &[(2, 40)]), (2, 1, &[(2, 3)])], findings));
    let text = format!("{coarse:?}");
    for told in ["Digest", "4d4d4d4d", "77, 77", &WEDNESDAY.to_string(), &(WEDNESDAY / DAY).to_string()] {
        assert!(!text.contains(told), "{told} in {text}");
    }
    assert!(text.contains(&MONDAY.to_string()));
}

#[test]
fn what_is_late_or_unanswered_is_overdue_and_what_is_wrong_otherwise_is_not() {
    let late = [
        Kind::OverdueArrival,
        Kind::Unanswered,
        Kind::Unattended,
        Kind::WithheldByRecipient,
        Kind::RecipientOffline,
        Kind::LostOrNotDeposited,
    ];
    for kind in Kind::ALL {
        let coarse = by_org(&report(&[(1, 2, &[(2, 1)])], vec![finding(kind, 1, 2)]));
        assert_eq!(coarse.figures(&org(1), &org(2)), Figures::Few { overdue: late.contains(&kind) }, "{kind:?}");
        assert_eq!(coarse.alerts.len(), usize::from(kind.is_urgent()));
    }
}

#[test]
fn findings_of_a_corridor_are_counted_since_the_monday_of_the_oldest() {
    let at = |since: u64| Finding { since, ..finding(Kind::Replay, 1, 2) };
    let tally = |findings: Vec<Finding>| {
        let coarse = by_org(&report(&[(1, 2, &[(2, 11)])], findings));
        let Figures::Counted { findings, .. } = coarse.figures(&org(1), &org(2)) else { panic!("enough") };
        findings[&Kind::Replay]
    };
    assert_eq!(tally(vec![at(MONDAY)]), Tally { count: 1, week: Some(MONDAY) });
    assert_eq!(tally(vec![at(MONDAY + WEEK - 1), at(0)]), Tally { count: 2, week: Some(MONDAY) });
    assert_eq!(tally(vec![at(WEDNESDAY), at(MONDAY - 1), at(WEDNESDAY)]).week, Some(MONDAY - WEEK));
    assert_eq!(tally(vec![at(0)]), Tally { count: 1, week: None }, "nobody knows since when");
}
