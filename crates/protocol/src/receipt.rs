//! What a node signs about messages it holds: storage receipts by the batch, receipts by the message, and the one
//! uniform statement that something could not be opened. The other side keeps these as evidence.

use clearhouse_wire::v1 as wire;
use prost::Message as _;

use crate::ids::{Digest, MsgId, Net, NodeId, OrgId};
use crate::keys::{SigningKey, VerifyKey};
use crate::labels::media;
use crate::limits::{HOUR, OPENING_STEP_SECS};
use crate::log::tree::{self, Levels};
use crate::merkle;
use crate::rows::EventRow;
use crate::signed::{self, SignedFault, Verified};

/// Why a receipt proves nothing to the one it was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// The envelope around it.
    #[error("{0}")]
    Signed(#[from] SignedFault),
    /// For another network, node or message.
    #[error("the receipt is about something else")]
    Other,
    /// The path does not lead from the digest to the signed root.
    #[error("the receipt does not cover this message")]
    Path,
    /// The opening does not belong to this message.
    #[error("the receipt's opening does not match")]
    Opening,
}

/// Signs one head for all digests of a commit and gives each its receipt, in the same order (decision 24).
#[must_use]
pub fn storage_batch(
    net: Net,
    node: NodeId,
    digests: &[Digest],
    now: u64,
    key: &SigningKey,
) -> Vec<wire::StorageReceipt> {
    if digests.is_empty() {
        return Vec::new();
    }
    let leaves = Levels::over(digests.iter().map(|d| merkle::leaf(&d.0)).collect());
    let count = digests.len() as u64;
    let Ok(root) = tree::root(&leaves, count);
    let head = wire::StorageHead {
        net: net.to_vec(),
        node: node.to_vec(),
        root: root.to_vec(),
        count,
        time: now - now % OPENING_STEP_SECS,
    };
    let head = signed::sign(media::STORAGE, head.encode_to_vec(), key);
    let receipt = |index: u64| {
        let Ok(path) = tree::inclusion(&leaves, index, count);
        wire::StorageReceipt { head: Some(head.clone()), index, path: path.iter().map(|h| h.to_vec()).collect() }
    };
    (0..count).map(receipt).collect()
}

/// Checks that `node`, whose key is `key`, stored `digest`.
///
/// # Errors
/// [`ReceiptFault`]: then nothing may be believed stored.
pub fn check_storage(
    receipt: &wire::StorageReceipt,
    net: Net,
    node: NodeId,
    digest: Digest,
    key: &VerifyKey,
) -> Result<(), ReceiptFault> {
    let head = receipt.head.as_ref().ok_or(ReceiptFault::Other)?;
    let head: Verified<wire::StorageHead> = signed::verify(media::STORAGE, head, key)?;
    let head = head.value();
    if head.net != net.0 || head.node != node.0 {
        return Err(ReceiptFault::Other);
    }
    let hash = |bytes: &Vec<u8>| <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| ReceiptFault::Path);
    let path = receipt.path.iter().map(hash).collect::<Result<Vec<_>, _>>()?;
    let root = hash(&head.root)?;
    let leaf = merkle::leaf(&digest.0);
    if path.len() <= 64 && merkle::includes(&leaf, receipt.index, head.count, &path, &root) {
        Ok(())
    } else {
        Err(ReceiptFault::Path)
    }
}

/// What a receipt says, apart from who signs it.
pub struct Statement<'a> {
    /// The envelope.
    pub digest: Digest,
    /// The message.
    pub msg_id: MsgId,
    /// The fact.
    pub stage: wire::Stage,
    /// Why, when the fact is a refusal.
    pub refusal: wire::RefusalCode,
    /// Who holds it.
    pub holder: (OrgId, NodeId),
    /// For whom, as colleagues know that person.
    pub actor_label: &'a str,
    /// The event behind the fact.
    pub event: &'a EventRow,
}

/// Signs a receipt. Its log proof is pending until the next tick.
#[must_use]
pub fn issue(net: Net, statement: &Statement<'_>, now: u64, key: &SigningKey) -> wire::Signed {
    let receipt = wire::Receipt {
        net: net.to_vec(),
        envelope_digest: statement.digest.to_vec(),
        msg_id: statement.msg_id.to_vec(),
        stage: statement.stage.into(),
        refusal: statement.refusal.into(),
        time: now,
        holder_org: statement.holder.0.to_vec(),
        holder_node: statement.holder.1.to_vec(),
        actor_label: statement.actor_label.to_owned(),
        opening: statement.event.opening.clone(),
        salt: statement.event.salt.to_vec(),
        proof: vec![],
        extensions: vec![],
    };
    signed::sign(media::RECEIPT, receipt.encode_to_vec(), key)
}

/// Checks a receipt by `holder` with `key`. Which message it is about is for the caller to match.
///
/// # Errors
/// [`ReceiptFault`].
pub fn check(
    receipt: &wire::Signed,
    net: Net,
    holder: (OrgId, NodeId),
    key: &VerifyKey,
) -> Result<Verified<wire::Receipt>, ReceiptFault> {
    let verified: Verified<wire::Receipt> = signed::verify(media::RECEIPT, receipt, key)?;
    let said = verified.value();
    if said.net != net.0 || said.holder_org != holder.0.0 || said.holder_node != holder.1.0 {
        return Err(ReceiptFault::Other);
    }
    let opening = crate::audit::unpad(&said.opening).ok_or(ReceiptFault::Opening)?;
    if opening.net != said.net || opening.envelope_digest != said.envelope_digest || said.salt.len() != 32 {
        return Err(ReceiptFault::Opening);
    }
    Ok(verified)
}

/// Signs the one statement made about anything that could not be opened, for whatever reason.
#[must_use]
pub fn not_opened(net: Net, node: NodeId, digest: Digest, now: u64, key: &SigningKey) -> wire::Signed {
    let statement = wire::NotOpened {
        net: net.to_vec(),
        envelope_digest: digest.to_vec(),
        node: node.to_vec(),
        time: now - now % OPENING_STEP_SECS,
    };
    signed::sign(media::NOT_OPENED, statement.encode_to_vec(), key)
}

/// Checks a [`not_opened`] statement.
///
/// # Errors
/// [`ReceiptFault`].
pub fn check_not_opened(
    statement: &wire::Signed,
    net: Net,
    node: NodeId,
    digest: Digest,
    key: &VerifyKey,
) -> Result<(), ReceiptFault> {
    let verified: Verified<wire::NotOpened> = signed::verify(media::NOT_OPENED, statement, key)?;
    let said = verified.value();
    let same = said.net == net.0 && said.node == node.0 && said.envelope_digest == digest.0;
    if same { Ok(()) } else { Err(ReceiptFault::Other) }
}

/// Signs that nobody fetched an envelope from a mailbox kept here before its time was over.
#[must_use]
pub fn expired(net: Net, node: NodeId, digest: Digest, now: u64, key: &SigningKey) -> wire::Signed {
    let statement = wire::Expired {
        net: net.to_vec(),
        envelope_digest: digest.to_vec(),
        node: node.to_vec(),
        time: now - now % HOUR,
    };
    signed::sign(media::EXPIRED, statement.encode_to_vec(), key)
}

/// Checks an [`expired`] statement of the keeper `node`.
///
/// # Errors
/// [`ReceiptFault`].
pub fn check_expired(
    statement: &wire::Signed,
    net: Net,
    node: NodeId,
    digest: Digest,
    key: &VerifyKey,
) -> Result<(), ReceiptFault> {
    let verified: Verified<wire::Expired> = signed::verify(media::EXPIRED, statement, key)?;
    let said = verified.value();
    let same = said.net == net.0 && said.node == node.0 && said.envelope_digest == digest.0;
    if same { Ok(()) } else { Err(ReceiptFault::Other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditEvent, Happening, record};
    use crate::fixture::{Member, NOW, Region};

    #[test]
    fn one_signature_covers_a_batch_and_each_receipt_only_its_own_message() {
        let region = Region::new(1, 2);
        let m = &region.members[0];
        let digests: Vec<Digest> = (0..5).map(|i| Digest([i; 32])).collect();
        let key = VerifyKey::admit(&m.sign.public()).unwrap();
        let receipts = storage_batch(region.net, m.node, &digests, NOW, &m.sign);
        for (receipt, digest) in receipts.iter().zip(&digests) {
            assert_eq!(check_storage(receipt, region.net, m.node, *digest, &key), Ok(()));
            let other = Digest([99; 32]);
            assert_eq!(check_storage(receipt, region.net, m.node, other, &key), Err(ReceiptFault::Path));
            let node = region.members[1].node;
            assert_eq!(check_storage(receipt, region.net, node, *digest, &key), Err(ReceiptFault::Other));
            assert_eq!(check_storage(receipt, Net([9; 32]), m.node, *digest, &key), Err(ReceiptFault::Other));
            let mut cut = receipt.clone();
            cut.path[0].truncate(31);
            assert_eq!(check_storage(&cut, region.net, m.node, *digest, &key), Err(ReceiptFault::Path));
            let headless = wire::StorageReceipt { head: None, ..receipt.clone() };
            assert_eq!(check_storage(&headless, region.net, m.node, *digest, &key), Err(ReceiptFault::Other));
        }
        let later = storage_batch(region.net, m.node, &digests, NOW + OPENING_STEP_SECS - 1, &m.sign);
        assert!(later == receipts, "it tells the time by steps alone");
        assert!(storage_batch(region.net, m.node, &[], NOW, &m.sign).is_empty());
    }

    /// What `holder` says of a message that it received.
    fn received<'e>(digest: Digest, holder: &Member, event: &'e EventRow) -> Statement<'e> {
        Statement {
            digest,
            msg_id: MsgId([1; 16]),
            stage: wire::Stage::Received,
            refusal: wire::RefusalCode::Unspecified,
            holder: (holder.org, holder.node),
            actor_label: "",
            event,
        }
    }

    #[test]
    fn a_receipt_holds_for_its_holder_and_its_opening_only() {
        let mut region = Region::new(1, 2);
        let digest = Digest([4; 32]);
        let happening = Happening::of(AuditEvent::AuditReceived).about(digest, 2);
        let event = record(&happening, region.net, "o", 0, NOW, &mut region.rng);
        let m = &region.members[0];
        let key = VerifyKey::admit(&m.sign.public()).unwrap();
        let statement = received(digest, m, &event);
        let receipt = issue(region.net, &statement, NOW, &m.sign);
        assert!(check(&receipt, region.net, (m.org, m.node), &key).is_ok());
        let other = (region.members[1].org, region.members[1].node);
        assert_eq!(check(&receipt, region.net, other, &key).err(), Some(ReceiptFault::Other));
        let swapped = Statement { digest: Digest([5; 32]), ..statement };
        let swapped = issue(region.net, &swapped, NOW, &m.sign);
        assert_eq!(check(&swapped, region.net, (m.org, m.node), &key).err(), Some(ReceiptFault::Opening));
    }

    #[test]
    fn every_name_in_a_receipt_counts_by_itself() {
        let mut region = Region::new(1, 2);
        let digest = Digest([4; 32]);
        let happening = Happening::of(AuditEvent::AuditReceived).about(digest, 2);
        let event = record(&happening, region.net, "o", 0, NOW, &mut region.rng);
        let elsewhere = record(&happening, Net([9; 32]), "o", 0, NOW, &mut region.rng);
        let (m, other) = (&region.members[0], &region.members[1]);
        let key = VerifyKey::admit(&m.sign.public()).unwrap();
        let statement = received(digest, m, &event);
        let fault = |change: &dyn Fn(&mut wire::Receipt)| {
            let mut said: wire::Receipt =
                crate::canon::decode(&issue(region.net, &statement, NOW, &m.sign).payload, 4096).unwrap();
            change(&mut said);
            let signed = signed::sign(media::RECEIPT, said.encode_to_vec(), &m.sign);
            check(&signed, region.net, (m.org, m.node), &key).err()
        };
        assert_eq!(fault(&|_| {}), None);
        assert_eq!(fault(&|said| said.net = vec![9; 32]), Some(ReceiptFault::Other));
        assert_eq!(fault(&|said| said.holder_org = other.org.to_vec()), Some(ReceiptFault::Other));
        assert_eq!(fault(&|said| said.holder_node = other.node.to_vec()), Some(ReceiptFault::Other));
        assert_eq!(fault(&|said| said.opening = elsewhere.opening.to_vec()), Some(ReceiptFault::Opening));
        assert_eq!(fault(&|said| said.salt.push(0)), Some(ReceiptFault::Opening));
    }

    // Attack 43: whatever was wrong, the statement is the same bytes.
    #[test]
    fn attack_43_every_reason_gives_one_statement() {
        let region = Region::new(1, 1);
        let m = &region.members[0];
        let key = VerifyKey::admit(&m.sign.public()).unwrap();
        let digest = Digest([4; 32]);
        let a = not_opened(region.net, m.node, digest, NOW, &m.sign);
        let b = not_opened(region.net, m.node, digest, NOW + 5, &m.sign);
        assert!(a == b);
        let said = wire::NotOpened::decode(b.payload.as_slice()).unwrap();
        assert!(said.time <= NOW && NOW - said.time < OPENING_STEP_SECS && said.time % OPENING_STEP_SECS == 0);
        assert_eq!(check_not_opened(&a, region.net, m.node, digest, &key), Ok(()));
        for (net, node, digest) in [
            (Net([9; 32]), m.node, digest),
            (region.net, NodeId([9; 16]), digest),
            (region.net, m.node, Digest([5; 32])),
        ] {
            assert_eq!(check_not_opened(&a, net, node, digest, &key), Err(ReceiptFault::Other));
        }
    }

    #[test]
    fn a_keepers_word_that_an_envelope_expired_is_about_that_envelope_and_tells_the_hour_alone() {
        let region = Region::new(1, 2);
        let m = &region.members[0];
        let key = VerifyKey::admit(&m.sign.public()).unwrap();
        let digest = Digest([4; 32]);
        let word = expired(region.net, m.node, digest, NOW, &m.sign);
        assert!(word == expired(region.net, m.node, digest, NOW + 3599, &m.sign), "NOW is a whole hour");
        assert_eq!(check_expired(&word, region.net, m.node, digest, &key), Ok(()));
        assert!(check_expired(&word, region.net, m.node, Digest([5; 32]), &key).is_err());
        assert!(check_expired(&word, region.net, region.members[1].node, digest, &key).is_err());
        assert!(check_expired(&word, Net([9; 32]), m.node, digest, &key).is_err());
        let other = not_opened(region.net, m.node, digest, NOW, &m.sign);
        assert!(check_expired(&other, region.net, m.node, digest, &key).is_err(), "one word is not the other");
    }
}
