"""What a node keeps on its disk, made a second time from the texts in crates/store/src alone.

keyfile/format.rs, keyfile/slot.rs, vault/value.rs, vault/wrap.rs and heads.rs describe the bytes; this file writes them
with other people's primitives and fixed inputs, and `tests/vectors/at_rest.txt` is what came out. The Rust tests open
it. Usage: at_rest.py > tests/vectors/at_rest.txt
"""

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NET, NODE = b"\x07" * 32, b"\x09" * 16


def pae(kind, *parts):
    body = b"".join(parts)
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def mac(key, *message):
    return hmac.digest(key, b"".join(message), "sha256")


def hkdf(ikm, info):
    return HKDF(hashes.SHA256(), 32, None, info).derive(ikm)


def hchacha20(key, nonce):
    """draft-irtf-cfrg-xchacha-03, section 2.2."""
    s = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = (s[z] << turn | s[z] >> (32 - turn)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<8I", *s[:4], *s[12:])


# Section 2.2.1 of that draft.
assert hchacha20(bytes(range(32)), bytes.fromhex("000000090000004a0000000031415927")).hex() == (
    "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
)


def seal(key, nonce, aad, plain):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(b"\0\0\0\0" + nonce[16:], plain, aad)


def framed(key, nonce, aad, plain):
    return nonce + seal(key, nonce, aad, plain)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


# ---- the vault

SERVICE, EVIDENCE, CASE, LETTER = 1, 2, 3, 4
WRAP_TABLE = 1


def blind(index, table, key):
    return mac(index, pae(b"clearhouse/blind-key/v1", bytes([table]), key))


def under(index, kind, name):
    handle = bytes(16) if kind in (SERVICE, EVIDENCE) else blind(index, WRAP_TABLE, bytes([kind]) + name)[:16]
    return bytes([kind]) + handle


def value(index, dek, tag, table, key, plain, nonce):
    aad = pae(b"clearhouse/value/v1", bytes([table]), blind(index, table, key), b"\x01", tag)
    masked = xor(tag, mac(index, pae(b"clearhouse/value/v1", nonce)))
    return b"\x01" + masked + nonce + seal(dek, nonce, aad, plain + key + struct.pack(">H", len(key)))


def wrap(index, nmk, tag, epoch, dek, nonce):
    row = blind(index, WRAP_TABLE, tag[1:] + struct.pack(">I", epoch))
    prefix = b"\x01" + tag[:1] + struct.pack(">I", epoch)
    return row, prefix + framed(nmk, nonce, pae(b"clearhouse/wrap/v1", row, prefix), dek + tag[1:])


def event(evidence, index, commitment, salt, opening, nonce):
    aad = pae(b"clearhouse/value/v1", b"\x00", struct.pack(">Q", index), commitment, b"\x01")
    return b"\x01" + framed(evidence, nonce, aad, salt + opening)


# ---- the key file


def varint(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, content):
    """One protobuf field; a default value is absent."""
    if not content:
        return b""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def slot(number, kind, staff, opens, cost, salt, stretched, device, boxes, nonce):
    clear = b"".join(field(n, c) for n, c in enumerate([number, kind, staff, opens, *cost, salt], 1))
    kek = hkdf(stretched + device, pae(b"clearhouse/kek/v1", NET, NODE, struct.pack(">I", number)))
    aad = pae(b"clearhouse/key-slot/v1", struct.pack(">I", 1), NET, NODE, clear)
    return clear + field(9, framed(kek, nonce, aad, boxes))


def compartment(which, box, turn, bound, plain, nonce):
    key = hkdf(box + turn, pae(b"clearhouse/key-compartment/v1", bytes([which]), NET, NODE))
    aad = pae(b"clearhouse/key-compartment/v1", bytes([which]), struct.pack(">I", 1), bound)
    return framed(key, nonce, aad, plain)


def key_file(epoch, slots, service, content, boxes, turn, nonces):
    head = field(1, NET) + field(2, NODE) + field(3, epoch) + field(4, len(slots) + 1)
    head += b"".join(field(5, s) for s in slots)
    bound = NET + NODE + struct.pack(">I", epoch)
    head += field(6, compartment(2, boxes[1], turn, bound, content, nonces[0]))
    body = head + field(7, compartment(1, boxes[0], turn, head, service, nonces[1]))
    out = b"clearhouse key file\n" + struct.pack(">II", 1, len(body)) + body
    return out + hashlib.sha256(out).digest()


def heads_file(data, generation, events, head):
    key = hkdf(data, pae(b"clearhouse/heads/v1", NET, NODE))
    out = b"clearhouse heads\n" + struct.pack(">IQQI", 1, generation, events, len(head)) + head
    return out + mac(key, pae(b"clearhouse/heads/v1", out))


def fixed(name, length=32):
    return hashlib.sha256(b"at rest " + name.encode()).digest()[:length]


def main():
    out = {}
    names = ["node", "tls", "log", "witness", "mailbox", "data", "evidence", "index", "nmk"]
    keys = [fixed(name) for name in names]
    data, evidence, index, nmk = keys[5:]
    content_nmk, prekey, epoch = fixed("content nmk"), fixed("prekey"), 5
    service = b"".join(field(n, key) for n, key in enumerate(keys, 1))
    content = field(1, content_nmk) + field(2, field(1, 2900) + field(2, prekey))

    device, turn, boxes = fixed("device"), fixed("turn"), [fixed("service box"), fixed("content box")]
    credential, salt = fixed("credential"), [fixed("salt 2", 16), fixed("salt 3", 16)]
    words, hers, staff = b"six words nobody put together", "ђачка лозинка дуга".encode(), b"\x01" * 16
    stretch = lambda text, salt: Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65536).derive(text)
    nonce = lambda name: fixed("nonce of " + name)[:24]
    slots = [
        slot(1, 2, b"", 1, (0, 0, 0), b"", credential, device, boxes[0], nonce("slot 1")),
        slot(2, 1, b"", 3, (65536, 3, 4), salt[0], stretch(words, salt[0]), device, b"".join(boxes), nonce("slot 2")),
        slot(3, 3, staff, 2, (65536, 3, 4), salt[1], stretch(hers, salt[1]), device, boxes[1], nonce("slot 3")),
    ]
    out["credential"] = credential
    out["passphrase"] = words
    out["person_passphrase"] = hers
    out["device"] = device + turn
    out["key_file"] = key_file(epoch, slots, service, content, boxes, turn, [nonce("content"), nonce("lid")])
    for name, key in zip(names, keys):
        out["key_" + name] = key
    out["key_content_nmk"], out["key_prekey_2900"] = content_nmk, prekey
    out["heads_file"] = heads_file(data, 11, 23, b"a signed head")

    case, digest, deks = b"\xa1" * 16, b"\xc3" * 32, [fixed("case dek"), fixed("letter dek")]
    rows = {
        "service": (SERVICE, b"", data),
        "evidence": (EVIDENCE, b"", evidence),
        "case": (CASE, case + b"\x03", deks[0]),
        "letter": (LETTER, digest, deks[1]),
    }
    for name, (kind, whose, dek) in rows.items():
        key = b"key of " + name.encode()
        tag = under(index, kind, whose)
        out[name + "_blind"] = blind(index, 8, key)
        out[name + "_value"] = value(index, dek, tag, 8, key, b"value of " + name.encode(), nonce(name))
        if kind in (CASE, LETTER):
            wrapping = content_nmk if kind == CASE else nmk
            out[name + "_wrap_row"], out[name + "_wrap"] = wrap(index, wrapping, tag, epoch, dek, nonce(name + " wrap"))
    out["event_sealed"] = event(evidence, 42, b"\x05" * 32, b"\x06" * 32, b"an opening", nonce("event"))
    for name, content in out.items():
        print(name, content.hex())


if __name__ == "__main__":
    main()
