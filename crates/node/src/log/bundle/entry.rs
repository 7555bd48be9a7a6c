//! One entry of a bundle in plain words. What it says and the bytes it was made of stand together, so that a stranger can
//! compute the leaf from the file alone.

use clearhouse_casework::forms::{show_day, show_time};
use clearhouse_protocol::audit::{commit, reveal};
use clearhouse_protocol::ids::{OrgId, hex};
use clearhouse_protocol::log::{Hash, leaf_data};
use clearhouse_wire::v1 as wire;
use serde_json::{Value, json};

use crate::log::vouched::Voucher;

/// What an entry's file calls itself.
const SCHEMA: &str = "ch.evidence/1";

/// One entry: where it stands, its commitment, and what opens that.
#[derive(Clone)]
pub struct Entry {
    /// Its place in the log, from 0.
    pub index: u64,
    /// Its commitment.
    pub commitment: Hash,
    /// Salt and padded opening; `None` for one that was erased, of which only its place is left.
    pub opened: Option<([u8; 32], Vec<u8>)>,
}

impl Entry {
    /// The bytes of its leaf.
    #[must_use]
    pub fn leaf(&self) -> Vec<u8> {
        leaf_data(&self.commitment).to_vec()
    }

    /// What it says, when salt and opening are those of its commitment.
    #[must_use]
    pub fn opening(&self) -> Option<wire::Opening> {
        let (salt, padded) = self.opened.as_ref()?;
        reveal(&self.commitment, salt, padded)
    }

    /// Its file. Parties are named as the voucher's records name them.
    pub(super) fn shown(&self, voucher: &Voucher) -> Value {
        let mut shown =
            json!({"schema": SCHEMA, "index": self.index, "leaf": hex(&self.leaf()), "event": "not readable any more"});
        let Some((salt, padded)) = &self.opened else { return shown };
        shown["salt"] = json!(hex(salt));
        shown["opening"] = json!(hex(padded));
        let Some(opening) = self.opening() else { return shown };
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| hex(bytes));
        let org = OrgId::try_from(opening.peer_org.as_slice()).ok().and_then(|org| voucher.organisation(org));
        let class = wire::MessageType::try_from(i32::try_from(opening.msg_class).unwrap_or(0)).ok();
        shown["event"] = json!(words(opening.event().as_str_name()));
        shown["time"] = json!(show_time(opening.time));
        shown["message"] = json!(class.filter(|class| *class as i32 != 0).map(|class| words(class.as_str_name())));
        shown["with"] = json!(org.map(|(label, country)| format!("{label} ({country})")));
        shown["with_organisation"] = json!(some(&opening.peer_org));
        shown["with_node"] = json!(some(&opening.peer_node));
        shown["envelope"] = json!(some(&opening.envelope_digest));
        shown["answers"] = json!(some(&opening.ref_digest));
        shown["role"] = json!(Some(opening.actor_role.as_str()).filter(|role| !role.is_empty()));
        shown["due"] = json!((opening.due_day > 0).then(|| show_day(opening.due_day)));
        shown
    }

    /// Reads the bytes of an entry's file again. `None` when they are not there or do not fit each other; the words are
    /// not looked at.
    pub(super) fn read(index: u64, shown: &Value) -> Option<Self> {
        let bytes = |field: &str| unhex(shown.get(field)?.as_str()?);
        let leaf = bytes("leaf")?;
        let commitment = clearhouse_protocol::log::commitment(&leaf)?;
        let opened = match (shown.get("salt"), shown.get("opening")) {
            (None, None) => None,
            _ => Some((bytes("salt")?.try_into().ok()?, bytes("opening")?)),
        };
        let fits = |(salt, padded): &([u8; 32], Vec<u8>)| commit(salt, padded) == commitment;
        opened.as_ref().is_none_or(fits).then_some(Self { index, commitment, opened })
    }
}

/// A code of the wire as words: `AUDIT_RECEIVED` is `received`.
#[must_use]
pub fn words(code: &str) -> String {
    code.trim_start_matches("AUDIT_").trim_start_matches("MESSAGE_TYPE_").to_lowercase().replace('_', " ")
}

/// Lower-case hex, strictly.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| bytes.collect())?
}
