"""Sections 4 to 7 of proto/README.md: making and opening envelopes of suite 1, written from that text alone."""

import hmac
import os

import wire
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from directory import MayNotSpeak
from keys import labelled_hash, pae, sha256

INNER = "application/vnd.clearhouse.inner.v1+pb"
HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
KEM_LEN, HEADER_MAX, INNER_MAX = 1168, 512, 512 << 10
CHUNK, TAG, PREFIX = 16384, 16, 56
CLASSES = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]
PLAINTEXT_MAX = 33 << 20
ENVELOPE_MAX = PLAINTEXT_MAX + 16 * (PLAINTEXT_MAX // CHUNK + 2) + 4096
LIFE_MAX, SKEW = 30 * 86400, 600


class Refused(Exception):
    """An envelope that must not be opened; the text is the name of section 7."""


def demand(condition, name):
    if not condition:
        raise Refused(name)


def size_class(length):
    """The smallest class that holds `length` bytes."""
    for fixed in CLASSES:
        if length <= fixed:
            return fixed
    e = length.bit_length() - 1
    s = e.bit_length()
    step = 1 << (e - s)
    return -(-length // step) * step


def stream_len(length):
    return PREFIX + length + TAG * (length // CHUNK + 1)


def stream_keys(key, salt, context, hash_=None):
    info = b"c2sp.org/chunked-encryption@v1+AEAD_CHACHA20_POLY1305\x00" + salt + context
    okm = HKDFExpand(hash_ or hashes.SHA256(), 76, info).derive(key)
    return ChaCha20Poly1305(okm[:32]), int.from_bytes(okm[32:44], "big"), okm[44:]


def nonce(base, index):
    return (base ^ index).to_bytes(12, "big")


def seal_stream(key, context, plaintext, salt, hash_=None):
    cipher, base, commitment = stream_keys(key, salt, context, hash_)
    pieces = [plaintext[i : i + CHUNK] for i in range(0, len(plaintext) + 1, CHUNK)]
    return salt + commitment + b"".join(cipher.encrypt(nonce(base, i), p, b"") for i, p in enumerate(pieces))


def open_stream(key, context, stream):
    demand(len(stream) >= PREFIX + TAG and (len(stream) - PREFIX) % (CHUNK + TAG) >= TAG, "Length")
    cipher, base, commitment = stream_keys(key, stream[:24], context)
    demand(hmac.compare_digest(commitment, stream[24:PREFIX]), "Commitment")
    chunks = [stream[i : i + CHUNK + TAG] for i in range(PREFIX, len(stream), CHUNK + TAG)]
    try:
        return b"".join(cipher.decrypt(nonce(base, i), chunk, b"") for i, chunk in enumerate(chunks))
    except InvalidTag:
        raise Refused("Chunk") from None


def hpke_info(net, header):
    return pae("clearhouse/hpke-info/v1", net + header)


def outer_of(header, kem):
    return labelled_hash("clearhouse/outer/v1", header + kem)


def digest_of(outer, content):
    return labelled_hash("clearhouse/envelope-digest/v1", outer + sha256(content))


def body_digest(msg_id, body):
    return labelled_hash("clearhouse/body-digest/v1", msg_id + sha256(body))


def make(net, mailbox, prekey, key, inner, attachments=(), twist=lambda stage, value: value):
    """Seals `inner` (without outer and attachments) and (name_tag, bytes) attachments.

    `twist` sees every intermediate value and may replace it: that is how the tests lie.
    """
    refs = [{"name_tag": tag, "len": len(data), "sha256": sha256(data)} for tag, data in attachments]
    behind = b"".join(data for _, data in attachments)
    inner = twist("inner", {**inner, "net": net, "suite": 1, "attachments": refs})
    needed = 4 + len(wire.encode("Inner", {**inner, "outer": bytes(32)})) + 64 + len(behind)
    header = {
        "version": 1,
        "suite": 1,
        "mailbox": mailbox,
        "prekey_id": prekey.id,
        "expires_hour": -(-inner["expires"] // 3600),
        "size_class": size_class(needed),
    }
    header = wire.encode("Header", twist("header", header))
    cek = os.urandom(32)
    kem = HPKE.encrypt(cek, prekey.hpke, hpke_info(net, header))
    assert len(kem) == KEM_LEN
    outer = outer_of(header, kem)
    signed = twist("signed", wire.encode("Inner", {"outer": outer, **inner}))
    sig = twist("sig", key.sign(INNER, signed))
    plaintext = len(signed).to_bytes(4, "big") + signed + sig + behind
    plaintext = twist("plaintext", plaintext.ljust(size_class(needed), b"\x00"))
    content = twist("content", seal_stream(cek, outer, plaintext, os.urandom(24)))
    if callable(content):
        content = content(cek, outer, plaintext)
    header = twist("sent header", header)
    return wire.encode("Envelope", {"header": header, "kem": kem, "content": content}), digest_of(outer, content)


class Reader:
    """One node that opens: its organisation, its node id, its prekeys by id, its directory."""

    def __init__(self, org, node, secrets, directory):
        self.org, self.node, self.directory = org, node, directory
        self.secrets = {secret.prekey.id: secret for secret in secrets}

    def open(self, data, now):
        """What an envelope says, or Refused."""
        envelope, header = self.outside(data)
        policy = self.directory.policy
        demand(1 in policy.get("allowed_suites", []) and policy.get("min_suite", 0) <= 1, "Suite")
        ends = header.get("expires_hour", 0) * 3600
        demand(ends > now, "Time")
        secret = self.secrets.get(header["prekey_id"])
        demand(secret, "Prekey")
        net, outer = self.directory.net, outer_of(envelope["header"], envelope["kem"])
        try:
            cek = HPKE.decrypt(envelope["kem"], secret.hpke, hpke_info(net, envelope["header"]))
        except (InvalidTag, ValueError):
            raise Refused("Kem") from None
        demand(len(cek) == 32, "Kem")
        try:
            plaintext = open_stream(cek, outer, envelope["content"])
        except Refused as fault:
            raise Refused(f"Content({fault})") from None
        inner, signed, sig, attachments = divide(plaintext)
        self.addressed(inner, header, outer)
        created, expires = inner.get("created", 0), inner.get("expires", 0)
        timely = 0 < expires - created <= LIFE_MAX and expires > now and created <= now + SKEW
        demand(timely and -(-expires // 3600) * 3600 == ends, "Time")
        sender = inner.get("sender") or {}
        ids = [sender.get(part, b"") for part in ("org", "node", "key")]
        demand(all(len(i) == 16 for i in ids), "Inner")
        try:
            key = self.directory.may_speak(ids[0], ids[1], now)
        except MayNotSpeak as fault:
            raise Refused(f"Sender({fault})") from None
        demand(ids[2] == key.id and key.holds(INNER, signed, sig), "Signature")
        lengths = len(inner.get("msg_id", b"")), len(inner.get("conversation", b"")), len(inner.get("actor_id", b""))
        demand(lengths[:2] == (16, 32) and lengths[2] in (0, 16), "Inner")
        demand(not any(e.get("critical") for e in inner.get("extensions", [])), "Rejected(Extension)")
        return {
            "inner": inner,
            "signed": signed,
            "sig": sig,
            "attachments": attachments,
            "header": header,
            "digest": digest_of(outer, envelope["content"]),
        }

    @staticmethod
    def outside(data):
        """What a mailbox may check."""
        demand(len(data) <= ENVELOPE_MAX, "Length")
        try:
            envelope = wire.decode("Envelope", data, ENVELOPE_MAX)
            header = wire.decode("Header", envelope.get("header", b""), HEADER_MAX)
        except wire.NotCanonical:
            raise Refused("Encoding") from None
        demand(header.get("version") == 1 and header.get("suite") == 1, "Suite")
        size, content = header.get("size_class", 0), envelope.get("content", b"")
        demand(len(envelope.get("kem", b"")) == KEM_LEN, "Length")
        demand(0 < size <= PLAINTEXT_MAX and size_class(size) == size, "Length")
        demand(len(content) == stream_len(size), "Length")
        demand(len(header.get("mailbox", b"")) == 16 and len(header.get("prekey_id", b"")) == 16, "Length")
        demand(header.get("expires_hour", 0) * 3600 < 2**64, "Time")
        return envelope, header

    def addressed(self, inner, header, outer):
        to = inner.get("recipient") or {}
        mine = (to.get("org"), to.get("node"), to.get("key")) == (self.org, self.node, header["prekey_id"])
        bound = inner.get("outer") == outer and inner.get("suite") == 1 and inner.get("net") == self.directory.net
        demand(mine and bound, "Misdirected")


def divide(plaintext):
    """The inner message, its exact bytes, its signature and its attachments."""
    length = int.from_bytes(plaintext[:4], "big")
    signed, sig, rest = plaintext[4 : 4 + length], plaintext[4 + length : 68 + length], plaintext[68 + length :]
    demand(len(signed) == length and len(sig) == 64, "Inner")
    try:
        inner = wire.decode("Inner", signed, INNER_MAX)
    except wire.NotCanonical:
        raise Refused("Inner") from None
    attachments = []
    refs = inner.get("attachments", [])
    demand(len(refs) <= 32, "Inner")
    for ref in refs:
        length = ref.get("len", 0)
        data, rest = rest[:length], rest[length:]
        sound = 0 < length == len(data) and ref.get("sha256") == sha256(data)
        demand(sound and len(ref.get("name_tag", b"")) == 16, "Inner")
        attachments.append((ref["name_tag"], data))
    demand(not any(rest), "Inner")
    return inner, signed, sig, attachments
