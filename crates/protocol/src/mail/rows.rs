//! Disk formats of the mailroom's rows. Field numbers are on disk: never renumbered, never reused.

/// What a mailbox knows of one envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Letter {
    /// The mailbox it was left in.
    #[prost(bytes = "vec", tag = "1")]
    pub mailbox: Vec<u8>,
    /// Position in the order of arrival.
    #[prost(uint64, tag = "2")]
    pub arrival: u64,
    /// Encoded length in bytes.
    #[prost(uint64, tag = "3")]
    pub len: u64,
    /// When it was stored, rounded to the hour.
    #[prost(uint64, tag = "4")]
    pub stored_hour: u64,
    /// When it ends, unix seconds.
    #[prost(uint64, tag = "5")]
    pub expires: u64,
    /// 1 stored, 2 taken, 3 unopenable, 4 in quarantine.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// The storage receipt its depositor got, encoded.
    #[prost(bytes = "vec", tag = "7")]
    pub receipt: Vec<u8>,
    /// The signed statement that it could not be opened, encoded; empty otherwise.
    #[prost(bytes = "vec", tag = "8")]
    pub not_opened: Vec<u8>,
    /// When its sender proved that sending it is in its log, unix seconds; 0 before.
    #[prost(uint64, tag = "9")]
    pub proved_at: u64,
    /// Why it is, or was, in quarantine; nothing otherwise.
    #[prost(message, optional, tag = "10")]
    pub quarantine: Option<Quarantine>,
    /// A person let it out of quarantine: it is opened although its sender is revoked.
    #[prost(bool, tag = "11")]
    pub released: bool,
    /// It is not opened for now: the directory cannot tell yet whether its sender may speak, because no coordinator was
    /// heard for long, or because the sender was only just let in; or its own date lies ahead, see `opens_at`.
    #[prost(bool, tag = "12")]
    pub aside: bool,
    /// It is laid aside because it is dated further ahead than clocks are forgiven: from when on it is opened, unix
    /// seconds; 0 when that is not why.
    #[prost(uint64, tag = "13")]
    pub opens_at: u64,
}

/// What is shown of a letter in quarantine. Its sender's key signed all of it; who held the key then is the question.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Quarantine {
    /// From which organisation.
    #[prost(bytes = "vec", tag = "1")]
    pub org: Vec<u8>,
    /// From which node.
    #[prost(bytes = "vec", tag = "2")]
    pub node: Vec<u8>,
    /// MessageType number.
    #[prost(uint32, tag = "3")]
    pub msg_type: u32,
    /// When it says it was made, unix seconds.
    #[prost(uint64, tag = "4")]
    pub created: u64,
    /// Since when it waits for a person, unix seconds.
    #[prost(uint64, tag = "5")]
    pub since: u64,
}

/// A message on its way out, kept after its end so that its fate can be shown.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outgoing {
    /// The current sealing.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
    /// The conversation.
    #[prost(bytes = "vec", tag = "2")]
    pub conversation: Vec<u8>,
    /// Its place in the conversation.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// To which organisation.
    #[prost(bytes = "vec", tag = "4")]
    pub peer_org: Vec<u8>,
    /// To which node.
    #[prost(bytes = "vec", tag = "5")]
    pub peer_node: Vec<u8>,
    /// MessageType number.
    #[prost(uint32, tag = "6")]
    pub msg_type: u32,
    /// When it was committed, unix seconds.
    #[prost(uint64, tag = "7")]
    pub queued_at: u64,
    /// When the envelope ends, unix seconds.
    #[prost(uint64, tag = "8")]
    pub expires: u64,
    /// 1 queued, 2 stored, 3 settled, 4 not opened, 5 expired, 6 recalled.
    #[prost(uint32, tag = "9")]
    pub state: u32,
    /// Attempts so far.
    #[prost(uint32, tag = "10")]
    pub attempts: u32,
    /// Not before this time, unix seconds.
    #[prost(uint64, tag = "11")]
    pub next_try: u64,
    /// When the mailbox had it on disk.
    #[prost(uint64, tag = "12")]
    pub stored_at: u64,
    /// The recipient's people had locked their node when last asked.
    #[prost(bool, tag = "13")]
    pub locked: bool,
    /// When it was settled.
    #[prost(uint64, tag = "14")]
    pub settled_at: u64,
    /// The local case it belongs to; empty for the node's own mail.
    #[prost(bytes = "vec", tag = "15")]
    pub case: Vec<u8>,
    /// Code of the last failure, 0 for none.
    #[prost(uint32, tag = "16")]
    pub fault: u32,
    /// It may have reached the mailbox although no answer came back.
    #[prost(bool, tag = "17")]
    pub may_have_left: bool,
    /// An attempt to carry it began and has not ended. Standing after a start, it counts as `may_have_left`.
    #[prost(bool, tag = "18")]
    pub departing: bool,
    /// When the other node first proved that what it did with it is in its log, unix seconds; 0 before.
    #[prost(uint64, tag = "19")]
    pub proved_at: u64,
    /// The node that keeps it for the recipient until that one fetches it; empty when there is none.
    #[prost(bytes = "vec", tag = "20")]
    pub keeper: Vec<u8>,
    /// Questions to that node in a row that brought no answer.
    #[prost(uint32, tag = "21")]
    pub unanswered: u32,
    /// The prekey it is sealed to; empty in a row of before.
    #[prost(bytes = "vec", tag = "24")]
    pub prekey: Vec<u8>,
    /// What it names as the body before it; empty at the first.
    #[prost(bytes = "vec", tag = "25")]
    pub prev_digest: Vec<u8>,
    /// For whom it went; empty when the node acted by itself.
    #[prost(bytes = "vec", tag = "26")]
    pub actor: Vec<u8>,
    /// What a receipt says, as it was signed, until its recipient's node opened it or nobody asks any more: it may have to be
    /// sealed again. Empty in anything else.
    #[prost(bytes = "vec", tag = "27")]
    pub statement: Vec<u8>,
    /// How often this receipt was made again before.
    #[prost(uint32, tag = "28")]
    pub remade: u32,
    /// It was under way in a copy that this folder was put back from: what people decided on it since is not known here.
    #[prost(bool, tag = "29")]
    pub of_old: bool,
}

/// A message that had its effect, remembered for as long as it could come again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Taken {
    /// The envelope that was opened.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
    /// The Stage that was answered.
    #[prost(int32, tag = "2")]
    pub stage: i32,
    /// The RefusalCode, when it was a refusal.
    #[prost(int32, tag = "3")]
    pub refusal: i32,
    /// Until when it must be remembered, unix seconds.
    #[prost(uint64, tag = "4")]
    pub keep_until: u64,
}

/// From where on places are given out after the folder was put back from an older copy: one row for all conversations, and
/// one for each that was begun since, which has places of its own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Places {
    /// No place up to this one is given out.
    #[prost(uint64, tag = "1")]
    pub from: u64,
    /// When the folder was put back, unix seconds; 0 where that was not kept.
    #[prost(uint64, tag = "2")]
    pub at: u64,
}

/// Order within one conversation with one peer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Thread {
    /// Last place given out.
    #[prost(uint64, tag = "1")]
    pub sent: u64,
    /// Digest of the last body sent.
    #[prost(bytes = "vec", tag = "2")]
    pub sent_digest: Vec<u8>,
    /// Highest place received.
    #[prost(uint64, tag = "3")]
    pub received: u64,
    /// Digest of the body at that place.
    #[prost(bytes = "vec", tag = "4")]
    pub received_digest: Vec<u8>,
    /// Places that were skipped and have not come since.
    #[prost(uint64, repeated, tag = "5")]
    pub missing: Vec<u64>,
    /// The chain of bodies did not match at some point.
    #[prost(bool, tag = "6")]
    pub broken: bool,
}
