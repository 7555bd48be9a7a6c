//! One node: what survives a crash (keys, disk), what does not (office, ledger, asks, errands), and the way back.
//!
//! A start reads the store and nothing else.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::mailing::Deposit;
use clearhouse_casework::office::records::reading_order;
use clearhouse_casework::office::relay::Leave;
use clearhouse_casework::office::{Me, Now, Office};
use clearhouse_protocol::audit::AuditEvent;
use clearhouse_protocol::clocks::watch::Watch;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::envelope::{Opening, Unopenable};
use clearhouse_protocol::fixture::{Member, NOW, Region};
use clearhouse_protocol::ids::{Digest, MsgId, PrekeyId};
use clearhouse_protocol::keys::PrekeySecret;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::mail::Attempt;
use clearhouse_protocol::relay::rented;
use clearhouse_protocol::rows::{Row, Table, Under};
use clearhouse_protocol::signed::sign;
use clearhouse_store::Store;
use clearhouse_store::keyfile::{ContentKeys, ServiceKeys};
use clearhouse_store::ledger::Ledger;
use clearhouse_store::vault::Vault;
use clearhouse_wire::v1::{Descriptor, Mailbox, Prekey, RecordBundle};
use prost::Message as _;

use super::Violation;
use super::clocks;
use super::dice::Dice;
use super::disk::Disk;
use super::flaw::Flaw;
use super::net::{Call, Said, Site};
use super::people::Wish;
use super::relay::mailbox_there;

/// Offices of a region: two of destination, two of origin.
pub(super) const SITES: usize = 4;
/// The office whose router lets nobody in, and the one that keeps its mailbox.
pub(super) const BEHIND: Site = 3;
pub(super) const KEEPER: Site = 2;
/// Tables a node reads at a start, in order; those of cases only while content is open.
const SERVICE_TABLES: [Table; 8] = [
    Table::Directory,
    Table::Mailbox,
    Table::Relay,
    Table::Outbox,
    Table::Taken,
    Table::Conversation,
    Table::Staff,
    Table::Timer,
];

/// What a site was given once: its member's keys, its key file, a store that knows the directory.
pub(super) struct Ground {
    pub(super) member: &'static Member,
    pub(super) prekeys: Vec<(PrekeyId, &'static PrekeySecret)>,
    service: ServiceKeys,
    content: ContentKeys,
    start: Disk,
}

/// The region of every run. Made once: runs differ by what happens, not by who is there.
pub(super) fn region() -> &'static Region {
    static REGION: OnceLock<Region> = OnceLock::new();
    REGION.get_or_init(|| {
        let mut region = Region::new(1, SITES);
        rent(&mut region);
        region
    })
}

/// One office has its only mailbox at another.
fn rent(region: &mut Region) {
    let (tenant, keeper) = (&region.members[BEHIND], &region.members[KEEPER]);
    let held = region.directory.descriptor(tenant.node).expect("a member is described");
    let there = region.directory.descriptor(keeper.node).expect("a member is described").mailboxes[0].clone();
    let id = rented(region.net, tenant.node, keeper.node).to_vec();
    let said = Descriptor { serial: held.serial + 1, mailboxes: vec![Mailbox { id, ..there }], ..held.clone() };
    let signed = sign(media::DESCRIPTOR, said.encode_to_vec(), &tenant.sign);
    let checked = region.directory.check(&signed, NOW).expect("it is sound").expect("it is new");
    region.directory.insert(checked);
    // Of each member three records: what coordinators, the organisation and the node itself signed.
    let place = &mut region.records[3 * BEHIND + 2];
    assert_eq!(place.payload_type, media::DESCRIPTOR);
    *place = signed;
}

/// The ground under each site.
pub(super) fn grounds() -> &'static [Ground] {
    static GROUNDS: OnceLock<Vec<Ground>> = OnceLock::new();
    GROUNDS.get_or_init(|| (0..SITES).map(ground).collect())
}

fn ground(site: Site) -> Ground {
    let member = &region().members[site];
    let mut dice = Dice::new(site as u64);
    let id = |secret: &PrekeySecret| secret.public().expect("a fixture prekey is sound").id();
    let mut ground = Ground {
        member,
        prekeys: member.prekeys.iter().map(|(_, secret)| (id(secret), secret)).collect(),
        service: ServiceKeys::generate(dice.rng()),
        content: ContentKeys::generate(dice.rng()),
        start: Disk::default(),
    };
    let empty = wake(&ground, Disk::default(), false, Records::Checked);
    let (mut office, mut ledger) = empty.expect("an empty store opens");
    let mut prekeys = Vec::new();
    for (week, secret) in region().members.iter().flat_map(|m| &m.prekeys) {
        let public = secret.public().expect("a fixture prekey is sound");
        prekeys.push(Prekey { week: *week, pk: public.as_bytes().to_vec() });
    }
    let bundle = RecordBundle { records: region().records.clone(), prekeys, published: vec![] };
    let time = NOW;
    let (step, _) = office.admit(&bundle, &mut Now { time, rng: dice.rng(), key: &member.sign });
    ledger.commit(&step.rows, &step.events, dice.rng()).expect("a fresh store takes the directory");
    office.take(&step);
    ground.start = ledger.into_store();
    ground
}

fn me(member: &Member) -> Me {
    let behind = member.node == region().members[BEHIND].node;
    let mailboxes = vec![if behind { mailbox_there() } else { member.mailbox }];
    Me { net: region().net, org: member.org, node: member.node, mailboxes, generation: 1, zone: Zone::utc() }
}

/// How a start comes by its directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// From the genesis and the store, every signature checked: as a node starts.
    Checked,
    /// Those of the region are taken as known, if they are all there; the rest is checked. Many times faster.
    Known,
}

/// Starts an office from a store, as the owner does: service tables, then cases when content is open.
pub(super) fn wake<S: Store>(
    ground: &Ground,
    store: S,
    open: bool,
    records: Records,
) -> Result<(Office, Ledger<S>), Violation> {
    let vault = Vault::new(&ground.service, None).map_err(Violation::because("the vault does not open"))?;
    let ledger = Ledger::new(store, vault);
    let (directory, mut rows) = match records {
        Records::Checked => {
            let founded = Directory::found(&region().genesis, Some(region().net));
            let founded = founded.map_err(Violation::because("the genesis does not hold"))?;
            (founded, read(&ledger, &SERVICE_TABLES[..1])?)
        }
        Records::Known => (region().directory.clone(), later_records(ground, &ledger)?),
    };
    reading_order(&mut rows);
    rows.extend(read(&ledger, &SERVICE_TABLES[1..])?);
    let mut office = Office::new(me(ground.member), directory);
    office.recorded(ledger.store().event_count());
    office.apply(&rows);
    if open {
        unlock(ground, &mut office, &ledger)?;
    }
    Ok((office, ledger))
}

/// Records beyond those every run begins with, which must all be there, byte for byte.
fn later_records<S: Store>(ground: &Ground, ledger: &Ledger<S>) -> Result<Vec<Row>, Violation> {
    let scan = |store: &dyn Store| store.scan(Table::Directory as u8, None, usize::MAX);
    let begun = scan(&ground.start).map_err(Violation::because("records"))?.rows;
    let mut held = scan(ledger.store()).map_err(Violation::because("records"))?.rows;
    let all = held.len();
    held.retain(|row| !begun.contains(row));
    if all - held.len() != begun.len() {
        return Err(Violation::new("records of the directory are gone from the store".to_owned()));
    }
    let open = |(key, value): &(clearhouse_store::Key, Vec<u8>)| {
        let plain = ledger.vault().open(Table::Directory, key, value, ledger.store());
        let plain = plain.map_err(Violation::because("a record does not open"))?;
        let (key, value) = (plain.key, Some(plain.value.to_vec()));
        Ok(Row { table: Table::Directory, key, value, under: Under::Service, must_be_new: false })
    };
    held.iter().map(open).collect()
}

/// Opens the content compartment and reads the cases.
pub(super) fn unlock<S: Store>(ground: &Ground, office: &mut Office, ledger: &Ledger<S>) -> Result<(), Violation> {
    ledger.vault().unlock(&ground.content).map_err(Violation::because("the vault does not unlock"))?;
    let mut rows = read(ledger, &[Table::Fact])?;
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    office.lock();
    office.unlock();
    office.apply(&rows);
    office.settle_cases();
    Ok(())
}

/// All rows of these tables. Damage and what is locked without need are violations.
pub(super) fn read<S: Store>(ledger: &Ledger<S>, tables: &[Table]) -> Result<Vec<Row>, Violation> {
    let loaded = ledger.load(tables).map_err(Violation::because("a table cannot be read"))?;
    match loaded.damaged.first() {
        Some((table, count)) => Err(Violation::new(format!("{count} values of {table:?} do not open"))),
        None => Ok(loaded.rows),
    }
}

/// What waits for a node's owner.
pub(super) enum Ask {
    /// A deposit from a peer, whose answer goes back by this call.
    Deposit { call: Call, from: Site, deposit: Deposit },
    /// A deposit for the office whose mailbox is kept here.
    LeaveHere { call: Call, from: Site, leave: Leave },
    /// That office has these on its own disk.
    Acked(Vec<Digest>),
    /// What opening a letter gave.
    Letter { digest: Digest, result: Result<Opening, Unopenable> },
    /// How an attempt ended.
    Attempt { msg_id: MsgId, attempt: Attempt },
    /// The courier is about to carry this.
    Leave(MsgId),
    /// A person.
    Wish(Wish),
    /// Time.
    Tick,
    /// Records, from a file or a peer.
    Admit(RecordBundle),
    /// Somebody signed in, locked, unlocked.
    Note(AuditEvent),
}

/// A message the courier sees to.
pub(super) enum Errand {
    /// The owner is asked whether it may leave, or told how it ended.
    WithOwner,
    /// It may leave, and is about to.
    InHand { to: Site, digest: Digest, said: Said },
    /// On the line, given up at this time.
    OnTheLine { call: Call, until: u64, question: bool },
}

impl Errand {
    /// It can be put on the line, or the call is to be given up.
    pub(super) fn wants_a_turn(&self, time: u64) -> bool {
        match self {
            Self::WithOwner => false,
            Self::InHand { .. } => true,
            Self::OnTheLine { until, .. } => *until <= time,
        }
    }
}

/// A node that runs.
pub(super) struct Up {
    pub(super) office: Office,
    pub(super) ledger: Ledger<Disk>,
    pub(super) inbox: VecDeque<Ask>,
    pub(super) errands: BTreeMap<MsgId, Errand>,
    /// The directory as committed: what door, opener and courier go by.
    pub(super) directory: Arc<Directory>,
    /// The prekeys are at hand.
    pub(super) open: bool,
    /// The call that waits at the keeper, given up at this time.
    pub(super) fetching: Option<(Call, u64)>,
}

/// A node.
pub(super) struct Node {
    pub(super) site: Site,
    /// How far its clock is from the true time when nobody has set it wrong, seconds.
    pub(super) skew: i64,
    /// How far it was set wrong.
    pub(super) off: i64,
    /// What judges it while the node runs.
    pub(super) watch: RefCell<Option<Watch>>,
    pub(super) flaw: Option<Flaw>,
    /// The disk, while it is down.
    disk: Option<Disk>,
    pub(super) up: Option<Up>,
}

impl Node {
    pub(super) fn new(site: Site, skew: i64, flaw: Option<Flaw>) -> Self {
        let mut disk = grounds()[site].start.clone();
        disk.plant(flaw);
        Self { site, skew, off: 0, watch: RefCell::default(), flaw, disk: Some(disk), up: None }
    }

    pub(super) fn ground(&self) -> &'static Ground {
        &grounds()[self.site]
    }

    pub(super) fn member(&self) -> &'static Member {
        self.ground().member
    }

    /// Starts from the disk at a true time. A running node stays as it is.
    pub(super) fn start(&mut self, open: bool, records: Records, time: u64) -> Result<(), Violation> {
        let Some(disk) = self.disk.take() else { return Ok(()) };
        let flaw = self.flaw;
        let (mut office, ledger) = wake(self.ground(), disk, open, records)?;
        if flaw == Some(Flaw::OutboxNotReadBack) {
            office = forgetful(self.ground(), &ledger, open)?;
        }
        let attested = office.directory().newest_word_of_others(self.member().node);
        *self.watch.borrow_mut() = Some(clocks::watch(&ledger, attested, self.reading(time))?);
        let directory = Arc::clone(office.directory());
        let (inbox, errands) = (VecDeque::new(), BTreeMap::new());
        self.up = Some(Up { office, ledger, inbox, errands, directory, open, fetching: None });
        Ok(())
    }

    /// The power goes. What is on the disk stays.
    pub(super) fn crash(&mut self) {
        if let Some(up) = self.up.take() {
            *self.watch.borrow_mut() = None;
            self.disk = Some(up.ledger.into_store().restarted());
        }
    }

    /// What a power cut would leave now.
    pub(super) fn disk(&self) -> &Disk {
        match (&self.up, &self.disk) {
            (Some(up), _) => up.ledger.store(),
            (None, Some(disk)) => disk,
            (None, None) => &self.ground().start,
        }
    }

    /// The office as a start would find it now, in the same state of lock.
    pub(super) fn shadow(&self, open: bool) -> Result<(Office, Ledger<Disk>), Violation> {
        wake(self.ground(), self.disk().clone().restarted(), open, Records::Known)
    }
}

/// The planted start that leaves the outbox unread.
fn forgetful(ground: &Ground, ledger: &Ledger<Disk>, open: bool) -> Result<Office, Violation> {
    let (mut office, _) = wake(ground, Disk::default(), false, Records::Checked)?;
    let mut rows = read(ledger, &SERVICE_TABLES)?;
    office.recorded(ledger.store().event_count());
    let records = rows.iter().take_while(|r| r.table == Table::Directory).count();
    reading_order(&mut rows[..records]);
    rows.retain(|row| row.table != Table::Outbox);
    office.apply(&rows);
    if open {
        unlock(ground, &mut office, ledger)?;
    }
    Ok(office)
}
