//! Order within a conversation: the next place out, and what is missing on the way in (protocol section 7.2).

use super::{Mailroom, Thread, service_row};
use crate::envelope::{Opened, body_digest};
use crate::ids::{ConversationId, NodeId};
use crate::limits::GAP_MAX;
use crate::rows::{Row, Table};
use prost::Message as _;

/// A place in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// 1, 2, 3 ...; after a restore they go on further up.
    pub seq: u64,
    /// Digest of the last body that is known here; `None` before the first.
    pub prev: Option<[u8; 32]>,
}

impl Mailroom {
    /// The place of the next message to `peer` in `conversation`: one that was never given out, also not in what a folder
    /// that was put back does not remember.
    #[must_use]
    pub fn next_place(&self, conversation: ConversationId, peer: NodeId) -> Place {
        self.next_place_beside(&[], conversation, peer)
    }

    /// [`Mailroom::next_place`], where these rows are kept in the same commit: one of them may begin the conversation, or
    /// be a message before this one.
    #[must_use]
    pub fn next_place_beside(&self, rows: &[Row], conversation: ConversationId, peer: NodeId) -> Place {
        let thread = self.thread_beside(rows, conversation, peer);
        let sent = thread.as_ref().map_or(0, |thread| thread.sent);
        let used = if Self::begins(rows, conversation) { 0 } else { self.places_used(conversation) };
        Place {
            seq: sent.max(used).saturating_add(1),
            prev: thread.and_then(|thread| thread.sent_digest.as_slice().try_into().ok()),
        }
    }

    /// Places of `peer`'s side that were skipped and have not come since, and whether the chain ever broke.
    #[must_use]
    pub fn gaps(&self, conversation: ConversationId, peer: NodeId) -> (&[u64], bool) {
        self.threads.get(&(conversation, peer)).map_or((&[], false), |t| (&t.missing, t.broken))
    }

    /// The highest place received from `peer` in `conversation`; 0 before the first.
    #[must_use]
    pub fn received_up_to(&self, conversation: ConversationId, peer: NodeId) -> u64 {
        self.threads.get(&(conversation, peer)).map_or(0, |t| t.received)
    }

    /// Whether any message was taken from a node, or queued for it.
    #[must_use]
    pub fn has_written_with(&self, peer: NodeId) -> bool {
        self.threads.keys().any(|(_, node)| *node == peer)
    }

    /// The key under which the order of a conversation with a node is kept.
    #[must_use]
    pub fn thread_key(conversation: ConversationId, peer: NodeId) -> Vec<u8> {
        [conversation.as_bytes(), peer.as_bytes()].concat()
    }

    /// How a conversation stands once these rows, of the same commit, are kept.
    fn thread_beside(&self, rows: &[Row], conversation: ConversationId, peer: NodeId) -> Option<Thread> {
        let key = Self::thread_key(conversation, peer);
        let staged = rows.iter().rfind(|row| row.table == Table::Conversation && row.key == key);
        let staged = staged.and_then(|row| Thread::decode(row.value.as_deref()?).ok());
        staged.or_else(|| self.threads.get(&(conversation, peer)).cloned())
    }

    pub(super) fn sent(
        &self,
        rows: &[Row],
        (conversation, peer): (ConversationId, NodeId),
        seq: u64,
        body: [u8; 32],
    ) -> Row {
        let mut thread = self.thread_beside(rows, conversation, peer).unwrap_or_default();
        thread.sent = seq;
        thread.sent_digest = body.to_vec();
        row(conversation, peer, &thread)
    }

    pub(super) fn received(&self, opened: &Opened) -> Row {
        let (conversation, (_, peer)) = (opened.conversation, opened.sender);
        let inner = opened.inner();
        let mut thread = self.threads.get(&(conversation, peer)).cloned().unwrap_or_default();
        let digest = body_digest(opened.msg_id, &inner.body).to_vec();
        if inner.seq > thread.received {
            // A gap wider than the limit is not listed place by place: the break says it.
            let missing = thread.received + 1..inner.seq;
            if inner.seq - thread.received > GAP_MAX {
                thread.broken = true;
            } else {
                thread.broken |= missing.is_empty() && inner.prev_digest != thread.received_digest;
                thread.missing.extend(missing);
            }
            thread.received = inner.seq;
            thread.received_digest = digest;
        } else {
            let before = thread.missing.len();
            thread.missing.retain(|m| *m != inner.seq);
            // A place that was neither missing nor next: the peer used it twice.
            thread.broken |= thread.missing.len() == before;
        }
        row(conversation, peer, &thread)
    }
}

pub(super) fn row(conversation: ConversationId, peer: NodeId, thread: &Thread) -> Row {
    service_row(Table::Conversation, &Mailroom::thread_key(conversation, peer), Some(thread))
}
