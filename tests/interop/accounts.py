"""Sections 11 and 12 of proto/README.md: what a coordinator can open of an account, and what it cannot."""

import hashlib
import hmac
import json

import wire
from keys import pae

OPENING_LEN = 512
TYPE = "application/vnd.clearhouse.opening.v1+pb"


def opening_of(entry):
    """The opening behind a commitment; None when it does not belong to it or is not padded as it must be."""
    salt, padded = entry.get("salt", b""), entry.get("opening", b"")
    mac = hmac.new(salt, pae(TYPE, padded), hashlib.sha256).digest()
    if len(salt) != 32 or len(padded) != OPENING_LEN or not hmac.compare_digest(mac, entry["commitment"]):
        return None
    size = int.from_bytes(padded[:2], "big")
    return wire.decode("Opening", padded[2 : 2 + size], OPENING_LEN) if not any(padded[2 + size :]) else None


def root_of(entries):
    """The RFC 6962 root over the leaves 0x01 || commitment."""
    level = [hashlib.sha256(b"\x00\x01" + entry["commitment"]).digest() for entry in entries]

    def tree(leaves):
        if len(leaves) == 1:
            return leaves[0]
        split = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest()

    return tree(level)


def account_is_read(work, region, reader, verdict, check):
    """Opens the account with the coordinator's key; the letter between others stays shut with every key it has."""
    import base64

    expected = json.loads((work / "account.json").read_text())
    opened, fault = verdict(reader, (work / "account.bin").read_bytes(), region["now"])
    check(f"an account opens with the coordinator's key ({fault})", fault is None)
    account = wire.decode("Account", opened["inner"]["body"], 1 << 19)
    openings = [opening_of(entry) for entry in account["entries"]]
    check("each opening belongs to its commitment", all(openings))
    check("the events are those of the log", [o["event"] for o in openings] == expected["events"])
    own = [(o["origin"], o.get("index", 0), o["peer_org"].hex()) for o in openings]
    check("of this log, in order", own == [(expected["origin"], n, expected["peer"]) for n in range(3)])
    head = account["head"].decode().split("\n")
    check("their root is the head's", head[:3] == [expected["origin"], "3", base64.b64encode(root_of(account["entries"])).decode()])
    for field in ("salt", "opening", "commitment"):
        entry = dict(account["entries"][0])
        entry[field] = bytes([entry[field][0] ^ 1]) + entry[field][1:]
        check(f"another {field} opens nothing", opening_of(entry) is None)
    _, fault = verdict(reader, (work / "private.bin").read_bytes(), region["now"])
    check("a letter between others does not open", fault is not None)
