"""Section 11 of proto/README.md, as far as a depositor needs it: storage receipts and NotOpened."""

import hashlib

import wire
from keys import sha256

STORAGE = "application/vnd.clearhouse.storage-receipt.v1+pb"
NOT_OPENED = "application/vnd.clearhouse.not-opened.v1+pb"


def leaf(data):
    return sha256(b"\x00" + data)


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def leads(hash_, index, size, path, root):
    """RFC 9162, 2.1.3.2."""
    if index >= size or len(path) > 64:
        return False
    fn, sn = index, size - 1
    for sibling in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            hash_ = node(sibling, hash_)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            hash_ = node(hash_, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and hash_ == root


def spoken(signed, name, kind, key):
    """The message in a Signed of this kind by this key, or None."""
    named = [s["sig"] for s in signed["signatures"] if s.get("key_id") == key.id]
    held = any(key.holds(kind, signed["payload"], sig) for sig in named)
    return wire.decode(name, signed["payload"], 64 << 10) if held and signed["payload_type"] == kind else None


def is_stored(receipt, digest, net, keeper, key):
    receipt = wire.decode("StorageReceipt", receipt, 64 << 10)
    head = spoken(receipt["head"], "StorageHead", STORAGE, key)
    if not head or (head["net"], head["node"]) != (net, keeper) or head["time"] % 600:
        return False
    return leads(leaf(digest), receipt.get("index", 0), head["count"], receipt.get("path", []), head["root"])


def was_not_opened(signed, digest, net, keeper, key):
    said = spoken(wire.decode("Signed", signed, 64 << 10), "NotOpened", NOT_OPENED, key)
    return said is not None and (said["net"], said["node"], said["envelope_digest"]) == (net, keeper, digest)
