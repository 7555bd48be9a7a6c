//! Every hard limit of the exchange in one file: sizes, counts, lifetimes. A limit without a name is a bug.
//!
//! These are caps, not policy: a RootPolicy may ask for less, never for more.

/// Seconds in a minute.
pub const MINUTE: u64 = 60;
/// Seconds in an hour.
pub const HOUR: u64 = 60 * MINUTE;
/// Seconds in a day.
pub const DAY: u64 = 24 * HOUR;
/// Seconds in a week: the life of a prekey's duty.
pub const WEEK: u64 = 7 * DAY;

/// How far a peer's clock may be ahead of ours.
pub const SKEW_SECS: u64 = 10 * MINUTE;
/// How much further ahead a letter may be dated and wait, sealed, for its time, instead of ending.
pub const LETTER_AHEAD_WAIT_SECS: u64 = HOUR;
/// How long one that is dated further ahead waits before it is looked at again, while nobody has confirmed this clock.
pub const UNCONFIRMED_LOOK_SECS: u64 = 5 * MINUTE;
/// Longest life of an envelope, from `created` to `expires`.
pub const ENVELOPE_LIFE_SECS: u64 = 30 * DAY;
/// How long a delivered message id is remembered after its envelope could last be valid.
pub const REPLAY_MEMORY_SECS: u64 = 14 * DAY;
/// Prekeys published ahead, the current week included.
pub const PREKEY_WEEKS: u64 = 5;
/// A prekey is erased at the earliest this long after its week ended.
pub const PREKEY_KEEP_MIN_SECS: u64 = 14 * DAY;
/// A prekey is erased at the latest this long after its week ended.
pub const PREKEY_KEEP_MAX_SECS: u64 = 35 * DAY;
/// Longest life of a descriptor.
pub const DESCRIPTOR_LIFE_SECS: u64 = 35 * DAY;
/// TLS keys of a node: its own, and the next one while they turn.
pub const TLS_KEYS_MAX: usize = 2;
/// Coordinators that a policy names, and so directory logs, at most.
pub const COORDINATORS_MAX: usize = 16;
/// How far ahead of our clock a descriptor's serial may lie.
pub const DESCRIPTOR_AHEAD_SECS: u64 = 2 * HOUR;
/// Longest life of a RootPolicy, OrgRecord or NodeCert.
pub const RECORD_LIFE_SECS: u64 = 366 * DAY;

/// Longest encoded header.
pub const HEADER_MAX: usize = 512;
/// Length of `Envelope.kem`: HPKE encapsulation and wrapped content key.
pub const KEM_LEN: usize = KEM_ENC_LEN + KEM_CT_LEN;
/// Length of the X-Wing encapsulation.
pub const KEM_ENC_LEN: usize = 1120;
/// Length of the wrapped 32-byte content key.
pub const KEM_CT_LEN: usize = 48;
/// Length of an X-Wing public key.
pub const PREKEY_LEN: usize = 1216;
/// Plaintext bytes in one content chunk.
pub const CHUNK_LEN: usize = 16 * 1024;
/// Fixed size classes of the padded plaintext; above the last, Padmé.
pub const SIZE_CLASSES: [u64; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Largest padded plaintext.
pub const PLAINTEXT_MAX: u64 = 33 << 20;
/// All attachments of one message together.
pub const ATTACHMENTS_MAX_BYTES: u64 = 32 << 20;
/// Attachments of one message.
pub const ATTACHMENTS_MAX: usize = 32;
/// Longest encoded inner message, attachments apart.
pub const INNER_MAX: usize = 512 << 10;
/// Largest encoded envelope: plaintext, its tags, header, kem and framing.
pub const ENVELOPE_MAX: usize = (PLAINTEXT_MAX as usize) + (PLAINTEXT_MAX as usize / CHUNK_LEN + 2) * 16 + 4096;
/// One frame of a deposit stream.
pub const FRAME_MAX: usize = 64 << 10;
/// Largest unary gRPC message.
pub const UNARY_MAX: usize = 1 << 20;
/// Nesting depth of any protobuf we read.
pub const DEPTH_MAX: usize = 16;
/// Fields of any one protobuf we read, nested ones included.
pub const ELEMENTS_MAX: usize = 4096;
/// Signatures read of one record.
pub const SIGNATURES_MAX: usize = 16;
/// Largest signed record: with its signatures it fits an entry of a directory log.
pub const RECORD_MAX: usize = 60 << 10;
/// Records in one bundle: as many accreditations as fit its bytes, so that they are verified together.
pub const BUNDLE_MAX: usize = 2048;
/// Buckets into which a directory's descriptors fall, by the first byte of SHA-256 of the node's id.
pub const BUCKETS: usize = 256;
/// Descriptors of one bucket that are told and read. Of more, the first by node id count.
pub const BUCKET_ITEMS_MAX: usize = 4096;
/// Bytes of one page of a bucket's list, and of one group of prekeys.
pub const SYNC_PAGE_MAX: usize = 64 << 10;
/// Pages of one bucket that are read. A full bucket needs six; short pages are allowed, endless ones are not.
pub const BUCKET_PAGES_MAX: usize = 16;
/// Descriptors asked for at once.
pub const DESCRIPTORS_ASKED_MAX: usize = 64;
/// Descriptors taken from one peer in one session. What is left comes in the next.
pub const DESCRIPTORS_SESSION_MAX: usize = 4096;
/// Organisations whose records one peer is asked for in one session.
pub const ORGS_SESSION_MAX: usize = 64;
/// Bytes of answers read from one peer in one session: a thousand nodes with all their prekeys are 7 MiB.
pub const SYNC_SESSION_MAX: usize = 16 << 20;
/// Bytes of pages of directory logs read from one peer in one session, in equal parts of each log that is longer there; and
/// of one log in one round of those who follow it. The page with which it is reached is still taken, so that a log of any
/// length is read in so many sessions.
pub const LOG_SESSION_MAX: usize = 16 << 20;
/// Prekeys in one group: who hands a group out learns only that its reader may write to one of so many.
pub const PREKEY_GROUP: usize = 32;
/// In a region of so many nodes everybody holds every prekey; in a larger one those of this week and the next.
pub const PREKEYS_ALL_NODES: usize = 1000;
/// Bytes of one page of a directory's file: the largest record and its frame fit.
pub const FILE_PAGE_LEN: usize = 80 << 10;
/// Pages of one directory's file.
pub const FILE_PAGES_MAX: usize = 4096;
/// After so long without a person's word that it is so, an entry of the directory is not used for anybody new.
pub const ATTESTED_SECS: u64 = 90 * DAY;
/// A revocation counts at once, and stands in a directory log within this, or it is said that it does not.
pub const REVOCATION_LOGGED_SECS: u64 = DAY;
/// A root key that the one before did not sign counts only after everybody could see it for so long.
pub const LOST_KEY_WAIT_SECS: u64 = 72 * HOUR;
/// Objections kept of one organisation against records of its next version. After so many none of them is listened to.
pub const OBJECTIONS_MAX: usize = 4;
/// Prekeys with which a node introduces itself: those of the weeks it publishes, and one more while they turn.
pub const INTRODUCED_PREKEYS_MAX: usize = PREKEY_WEEKS as usize + 1;
/// Records that vouch for a node which introduces itself: of its organisation and of itself the newest, the one before and
/// one that contradicts it.
pub const INTRODUCED_RECORDS_MAX: usize = 6;
/// Longest entry of a directory log: what C2SP's bundles of entries can hold, and more than the largest record with as many
/// signatures as are read.
pub const LOG_ENTRY_MAX: usize = u16::MAX as usize;
/// Entries of one page of a directory log.
pub const LOG_PAGE_ENTRIES_MAX: usize = 2048;
/// Entries of one page of a directory log that names them by the hashes of their leaves.
pub const LOG_LEAVES_MAX: usize = 8192;
/// Entries of one directory log that wait for records they stand on. A coordinator enters what it holds, so that an honest
/// log has next to none.
pub const WAITING_ENTRIES_MAX: usize = 1024;
/// With the newest word of the coordinators older than this, no victim profile leaves.
pub const DIRECTORY_AGED_SECS: u64 = 48 * HOUR;
/// With it older than this, nobody is told anything new about a person.
pub const DIRECTORY_OLD_SECS: u64 = 14 * DAY;
/// Corridor rules of one policy.
pub const CORRIDOR_RULES_MAX: usize = 64;
/// Agreements that one organisation's record lists.
pub const AGREEMENTS_MAX: usize = 32;
/// Organisations that vouch for one that joins.
pub const SPONSORS: usize = 2;
/// How far behind the beginning of a record's life its standards may have been signed: the life begins a day before the
/// record is made.
pub const STANDARDS_AHEAD_SECS: u64 = DAY;
/// Duty hours of one descriptor: two stretches a day.
pub const DUTY_MAX: usize = 14;
/// Mailboxes of one descriptor.
pub const MAILBOXES_MAX: usize = 3;
/// Longest short text in a record: a label, a role, an endpoint.
pub const LABEL_MAX: usize = 120;
/// Envelopes one mailbox holds unopened.
pub const MAILBOX_ITEMS_MAX: usize = 500;
/// Bytes one mailbox holds unopened.
pub const MAILBOX_BYTES_MAX: u64 = 512 << 20;
/// Envelopes that one node keeps unfetched for others, in all.
pub const RELAY_ITEMS_MAX: usize = 20_000;
/// Bytes of them, at the very most; an operator may offer less.
pub const RELAY_BYTES_MAX: u64 = 64 << 30;
/// Of envelopes fetched or expired so many are remembered beyond those waiting; the oldest make way.
pub const RELAY_ENDED_MAX: usize = 50_000;
/// A keeper holds an envelope so long, or until it ends by itself.
pub const RELAY_KEEP_SECS: u64 = 30 * DAY;
/// What became of it is told so long after that.
pub const RELAY_TOLD_SECS: u64 = 30 * DAY;
/// Envelopes that come to their end at one look at the clock.
pub const RELAY_ENDS_AT_ONCE: usize = 200;
/// Slots of one answer to a fetch, dummies among them.
pub const FETCH_SLOTS: usize = 8;
/// Bytes of a slot that holds an envelope of the smallest class, or nothing.
pub const SLOT_LEN: usize = 5632;
/// Length of the encoded envelope of the smallest class; what a dummy claims.
pub const SMALLEST_ENVELOPE_LEN: usize = 5391;
/// Failed questions after which the keeper of a message counts as lost and the message goes to the next mailbox.
pub const KEEPER_LOST_ASKS: u32 = 8;
/// After how long the mailbox that stored a receipt is first asked whether it opened; each next pause is four times as long.
pub const RECEIPT_ASK_SECS: u64 = 5 * MINUTE;
/// Questions about one receipt. The last lies three weeks behind the first: after it nobody asks.
pub const RECEIPT_ASKS_MAX: u32 = 7;
/// How often a receipt that its recipient could not open is made again: it goes anew sealed, with the same words.
pub const RECEIPTS_REMADE_MAX: u32 = 3;
/// How long a receipt waits that is made again for the second time; each next one four times as long.
pub const RECEIPT_AGAIN_SECS: u64 = HOUR;
/// Messages waiting to leave.
pub const OUTBOX_MAX: usize = 10_000;
/// How long a node tells that it was put back from a backup or an old copy.
pub const RESTORE_TOLD_SECS: u64 = 14 * DAY;
/// How far places in conversations are moved on after a restore: more messages than one conversation has in all its time.
pub const PLACES_SKIPPED: u64 = 1 << 20;
/// How long after a restore a notice must have been made to count as the beginning of its conversation: more than the clocks
/// of both sides are apart without either being in doubt.
pub const BEGUN_SLACK_SECS: u64 = DAY;
/// Messages held back because an earlier one of their conversation is missing.
pub const GAP_MAX: u64 = 1_000;
/// Deposit attempts of one message are spread until it expires; the pause between two never exceeds this.
pub const BACKOFF_MAX_SECS: u64 = 15 * MINUTE;
/// First pause after a failed deposit.
pub const BACKOFF_FIRST_SECS: u64 = 2;
/// Longest text of an error sent to a peer.
pub const ERROR_TEXT_MAX: usize = 200;
/// Padded length of an audit opening. The study says 256; an opening that names two parties and three digests is 330.
pub const OPENING_LEN: usize = 512;
/// Step to which audit times are rounded down.
pub const OPENING_STEP_SECS: u64 = 10 * MINUTE;
/// Entries of one account to a coordinator. So many openings stay in one row of the store and are no file of their own.
pub const ACCOUNT_ENTRIES_MAX: usize = 96;
/// A coordinator keeps what entries of others say so long after their messages came to an end (protocol 7.13).
pub const OPENINGS_KEPT_SECS: u64 = 180 * DAY;
/// What entries say of messages that never came to an end is kept no longer than this.
pub const OPENINGS_KEPT_MAX_SECS: u64 = 366 * DAY;
/// Commitments that go to a coordinator with a head, of entries that it was not told of yet. What is more goes in several
/// requests.
pub const TAIL_MAX: usize = 1024;
/// Commitments of one log that a coordinator's node mirrors beyond the entries it was told of: 32 MiB.
pub const MIRRORED_MAX: u64 = 1 << 20;
/// So long entries of a node's log may be without a coordinator that cosigned and mirrors them before `doctor` says so.
pub const UNCOSIGNED_SECS: u64 = DAY;
/// Entries of one message of proofs.
pub const PROVED_ENTRIES_MAX: usize = 64;
/// Ranges of erased openings that one event names; an erasure with more uses more events.
pub const ERASED_RANGES_MAX: usize = 8;
/// Envelopes by which one message names a case that was erased.
pub const ERASED_NAMED_MAX: usize = 64;
/// The history of an erased case's consents is kept so long: claims about what an office did with somebody's data come
/// years later, and end.
pub const CONSENT_HISTORY_KEPT_SECS: u64 = 5 * 366 * DAY;
/// Longest name of the rule by which something was erased.
pub const RETENTION_RULE_MAX: usize = 64;
/// The quarter for which the members' witnesses of a log are drawn: thirteen weeks, counted from 1970.
pub const QUARTER_SECS: u64 = 13 * WEEK;
/// After a quarter changed, the draw of the one before counts so long beside the new one.
pub const QUARTER_GRACE_SECS: u64 = WEEK;
/// Members' nodes drawn as witnesses of a log, beside the coordinators'.
pub const DRAWN_MAX: usize = 4;
/// Coordinators' nodes that witness a log: with the drawn ones, no more than a note has room for.
pub const CORE_MAX: usize = 11;
