//! What if a member hid a message? Two logs of five days, made here with the product's own code, one of them by a node that
//! took a notice and says nothing of it. The coordinator's reconciliation names it; without the lie it finds nothing.

use clearhouse_node::clock::{Chance, Clock as _, SystemClock, chance};
use clearhouse_protocol::audit::{self, AuditEvent, Happening};
use clearhouse_protocol::ids::{Digest, Net};
use clearhouse_protocol::limits::{DAY, HOUR, MINUTE};
use clearhouse_protocol::log::tree::Edge;
use clearhouse_protocol::log::{Hash, leaf_hash};
use clearhouse_protocol::reconcile::account::{Account, Head, Shown, examine};
use clearhouse_protocol::reconcile::{Finding, Join, Kind, Party, Policy};
use clearhouse_wire::v1::MessageType;
use rand_core::Rng as _;

use super::region::Region;
use super::{Failure, Teller};

/// How long ago the notice was sent: longer than anybody may leave one unread.
const AGO: u64 = 5 * DAY;

/// Tells what the reconciliation says of a hidden notice.
pub(super) fn named(region: &Region, teller: &mut Teller) -> Result<(), Failure> {
    let of = |member: &super::region::Member| (member.made.org, member.made.node);
    let ends = [of(&region.destination), of(&region.origin)];
    let now = SystemClock.now();
    let (honest, hidden) = (reconcile(region.net, ends, false, now), reconcile(region.net, ends, true, now));
    let named = |finding: &Finding| finding.kind == Kind::WithheldByRecipient && finding.parties == ends;
    if !honest.is_empty() || hidden.len() != 1 || !hidden.iter().all(named) {
        return Err(Failure::new("CH-E0313", "A hidden message was not named, or an honest log was."));
    }
    let text = format!(
        "two invented logs of five days, one of a node that took a notice and kept silent: named {}; told honestly, nothing",
        Kind::WithheldByRecipient.name()
    );
    teller.step("Hidden", &text, None);
    Ok(())
}

/// The logs of a sender and of a recipient, held against each other.
fn reconcile(net: Net, [from, to]: [Party; 2], hides: bool, now: u64) -> Vec<Finding> {
    let (began, mut rng) = (now - AGO, chance());
    let mut digest = Digest([0; 32]);
    rng.fill_bytes(&mut digest.0);
    let about =
        |event, peer: Party| Happening::of(event).with(peer.0, peer.1).about(digest, MessageType::ReturnNotice as u32);
    let sender = [(began, about(AuditEvent::Sent, to)), (began + MINUTE, about(AuditEvent::ReceiptReceived, to))];
    let took = [
        (began + MINUTE, about(AuditEvent::AuditReceived, from)),
        (began + HOUR, about(AuditEvent::AuditOpened, from)),
    ];
    let signs_in = (began + DAY, Happening::of(AuditEvent::SignIn));
    let recipient: Vec<_> = took.into_iter().filter(|_| !hides).chain([signs_in]).collect();

    let policy = Policy::default();
    let mut join = Join::new(policy, [from, to]);
    let mut findings = take(&mut join, from, &sender, net, &policy, now, &mut rng);
    findings.extend(take(&mut join, to, &recipient, net, &policy, now, &mut rng));
    findings.extend(join.report(now).findings);
    findings
}

/// Makes a node's log, with a head that three witnesses saw a minute ago, and lets the join hear it.
fn take(
    join: &mut Join,
    party: Party,
    happened: &[(u64, Happening)],
    net: Net,
    policy: &Policy,
    now: u64,
    rng: &mut Chance,
) -> Vec<Finding> {
    let origin = audit::origin(net, party.0, party.1, audit::FIRST_GENERATION);
    let (mut edge, mut shown, mut commitments) = (Edge::default(), Vec::new(), Vec::<Hash>::new());
    for (index, (at, happening)) in (0..).zip(happened) {
        let row = audit::record(happening, net, &origin, index, *at, rng);
        edge.push(leaf_hash(&row.commitment));
        commitments.push(row.commitment);
        shown.push(Shown { index, salt: row.salt, opening: row.opening.into() });
    }
    let heads = [Head { size: edge.size(), root: edge.root(), seen: vec![now - MINUTE; 3] }];
    let (commitments, heads) = (commitments.as_slice(), heads.as_slice());
    let account = Account {
        party,
        net,
        origin: &origin,
        heads,
        audited: None,
        quorum: 2,
        faulty: 0,
        commitments,
        first: 0,
        settled: &[],
    };
    let examined = examine(&account, shown, policy, now, |opening| join.take(party, opening));
    join.hear(examined.standing);
    examined.findings
}
