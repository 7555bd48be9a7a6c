"""Attack 45 in two libraries: PyCA opens a key wrap that clearhouse made, and securesystemslib counts signatures.

Usage: attack_45.py CASE.json. Prints "ok", or what did not hold, and ends with 1.
"""

import json
import sys
from pathlib import Path

import clearhouse_envelope as ce
import wire
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from directory import Directory
from keys import PrekeySecret
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey


def record(text):
    return wire.decode("Signed", bytes.fromhex(text), 1 << 17)


def opens(case, data):
    """The body of an envelope, or None."""
    directory = Directory(record(case["genesis"]), bytes.fromhex(case["net"]))
    for signed in case["records"]:
        directory.take(record(signed), case["now"])
    secret = PrekeySecret(bytes.fromhex(case["seed"]))
    reader = ce.Reader(bytes.fromhex(case["org"]), bytes.fromhex(case["node"]), [secret], directory)
    try:
        opened = reader.open(data, case["now"])
    except ce.Refused:
        return None
    return opened["digest"].hex(), opened["inner"]["body"].hex()


def counts(case, dsse, keys):
    try:
        return len(Envelope.from_dict(json.loads(json.dumps(dsse))).verify(keys, case["k"])) == case["k"]
    except (VerificationError, ValueError):
        return False


def main():
    case = json.loads(Path(sys.argv[1]).read_text())
    data = bytes.fromhex(case["envelope"])
    wrap = wire.decode("Envelope", data, len(data))["kem"]
    at = data.index(wrap)
    faults = []
    if opens(case, data) != (case["digest"], case["body"]):
        faults.append("PyCA does not open our key wrap")
    for place in (0, len(wrap) // 2, len(wrap) - 1):
        bad = bytearray(data)
        bad[at + place] ^= 1
        if opens(case, bytes(bad)) is not None:
            faults.append(f"a wrap with byte {place} changed opens")
    public = [(Ed25519PublicKey.from_public_bytes(bytes.fromhex(k["public"])), k["keyid"]) for k in case["keys"]]
    keys = [SSlibKey.from_crypto(key, keyid=keyid) for key, keyid in public]
    if not counts(case, case["enough"], keys):
        faults.append("securesystemslib does not accept k of n")
    if counts(case, case["too_few"], keys):
        faults.append("securesystemslib accepts one less than k")
    twice = {**case["too_few"], "signatures": case["too_few"]["signatures"] * 2}
    if counts(case, twice, keys):
        faults.append("securesystemslib counts a signature twice")
    print("; ".join(faults) or "ok")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
