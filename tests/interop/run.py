"""Two implementations of proto/README.md against each other: clearhouse in Rust, and the Python beside this file.

Usage: run.py WORKDIR COMMAND..., where COMMAND runs the Rust half (`make DIR`, `open DIR` are appended).
Prints a line for each check that fails and `N passed, N failed` at the end; exits with 1 when any failed.
"""

import copy
import json
import subprocess
import sys
import traceback
from pathlib import Path

import clearhouse_envelope as ce
import receipts
import wire
from accounts import account_is_read
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from directory import MEDIA, BadRecord, Directory
from keys import NotAdmitted, Prekey, PrekeySecret, SigningKey, VerifyKey, key_id, pae, sha256
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

ROOT = Path(__file__).resolve().parents[2]
WEEK, DAY = 604800, 86400
RESULTS = {"passed": 0, "failed": 0}


def check(name, good):
    RESULTS["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED: {name}")


def unhex(text):
    return bytes.fromhex(text)


def record(text):
    return wire.decode("Signed", unhex(text), 1 << 17)


def raises(fault, call, *args):
    try:
        call(*args)
    except fault:
        return True
    return False


def directory_of(file):
    """The directory a file describes."""
    directory = Directory(record(file["genesis"]), unhex(file["net"]))
    for signed in file["records"]:
        directory.take(record(signed), file["now"])
    return directory


def assemble(recipe, good):
    return b"".join(unhex(p) if isinstance(p, str) else good[p[0] : p[1]] for p in recipe)


def verdict(reader, data, now):
    try:
        return reader.open(data, now), None
    except ce.Refused as fault:
        return None, str(fault)


def hexed(value):
    """An inner message as the golden file writes it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [hexed(v) for v in value]
    return {k: hexed(v) for k, v in value.items()} if isinstance(value, dict) else value


def same_fields(found, expected):
    """Whether a decoded message is what the file says; absent fields are defaults."""
    if isinstance(expected, dict):
        return not set(found) - set(expected) and all(same_fields(found.get(k), v) for k, v in expected.items())
    if isinstance(expected, list):
        found = found or []
        return len(found) == len(expected) and all(map(same_fields, found, expected))
    return found == expected or (found is None and not expected)


# --- the files of tests/vectors ---------------------------------------------------------------------------------


def golden_envelopes():
    file = json.loads((ROOT / "tests/vectors/envelope.json").read_text())
    me = file["recipient"]
    secret = PrekeySecret(unhex(me["prekey_seed"]))
    check("the prekey of the golden seed", secret.prekey.public.hex() == me["prekey"])
    base = directory_of(file)

    def outcome(entry):
        data = unhex(entry["bytes"]) if "bytes" in entry else None
        if data is None:
            data = assemble(entry["recipe"], unhex(file["good"][entry["of"]]["bytes"]))
        directory, now = copy.deepcopy(base), entry.get("now", file["now"])
        for signed in entry.get("records", []):
            directory.take(record(signed), now)
        return verdict(ce.Reader(unhex(me["org"]), unhex(me["node"]), [secret], directory), data, now)

    for entry in file["good"]:
        opened, fault = outcome(entry)
        expected = entry["expected"]
        good = (
            fault is None
            and opened["digest"].hex() == expected["digest"]
            and opened["sig"].hex() == expected["signature"]
            and sha256(opened["signed"]).hex() == expected["signed_inner_sha256"]
            and [data.hex() for _, data in opened["attachments"]] == expected["attachments"]
            and same_fields(hexed(opened["inner"]), expected["inner"])
        )
        check(f"golden envelope opens: {entry['name']} ({fault})", good)
    for entry in file["refused"]:
        _, fault = outcome(entry)
        # In which way an encoding is bad is not part of the wire.
        expected = entry["refusal"].split("(")[0] if entry["refusal"].startswith("Encoding") else entry["refusal"]
        check(f"golden envelope is refused, {expected}: {entry['name']} ({fault})", fault == expected)
    check("the golden envelopes are all there", (len(file["good"]), len(file["refused"])) == (9, 103))


def golden_streams():
    file = json.loads((ROOT / "tests/vectors/chunked.json").read_text())
    key, salt, context = (unhex(file[k]) for k in ("input_key", "salt", "context"))

    def plaintext(n):
        return bytes(i % 251 for i in range(n))

    for good in file["good"]:
        n = good["plaintext_len"]
        stream = ce.seal_stream(key, context, plaintext(n), salt)
        told = (len(stream), sha256(stream).hex(), stream[:128].hex(), stream[-16:].hex())
        wanted = tuple(good[k] for k in ("stream_len", "stream_sha256", "stream_first", "stream_last"))
        check(f"golden stream of {n}", told == wanted and ce.open_stream(key, context, stream) == plaintext(n))
    for bad in file["refused"]:
        stream = ce.seal_stream(key, context, plaintext(bad["plaintext_len"]), salt)
        try:
            ce.open_stream(
                unhex(bad["input_key"]) if "input_key" in bad else key,
                unhex(bad["context"]) if "context" in bad else context,
                assemble(bad["recipe"], stream),
            )
            fault = None
        except ce.Refused as refused:
            fault = str(refused)
        check(f"golden stream is refused, {bad['refusal']}: {bad['name']} ({fault})", fault == bad["refusal"])
    check("the golden streams are all there", (len(file["good"]), len(file["refused"])) == (6, 40))


def worked_bytes():
    """The block of section 14, recomputed here."""
    block = (ROOT / "proto/README.md").read_text().split("```worked\n")[1].split("```")[0]
    values, name = {}, ""
    for line in block.splitlines():
        if line.startswith(" "):
            values[name][-1] += line.strip()
        elif not line.startswith("--"):
            name, _, value = line.partition("= ")
            name = name.strip()
            values.setdefault(name, []).append(value)
    key = SigningKey(bytes([1]) * 32)
    keys, salt, context = bytes([0x11]) * 32, bytes([0x22]) * 24, bytes([0x33]) * 32
    stream = ce.seal_stream(keys, context, b"\x00", salt)
    header, cek, outer = (unhex(values[n][0]) for n in ("header", "CEK", "outer"))
    leaves = [receipts.leaf(bytes([n]) * 32) for n in (1, 2, 3)]
    left = receipts.node(leaves[0], leaves[1])
    computed = {
        "pae": [pae("http://example.com/HelloWorld", b"hello world").hex()],
        "public": [key.public.hex()],
        "key_id": [key.id.hex()],
        "commitment": [stream[24:56].hex()],
        "stream": [stream.hex()],
        "prekey_id": [PrekeySecret(unhex(values["prekey_seed"][0])).prekey.id.hex()],
        "next prev_digest": [ce.body_digest(b"\xa1" * 16, b"an invented body, for the golden file only").hex()],
        "leaf": [leaves[0].hex()],
        "root": [receipts.node(left, leaves[2]).hex()],
        "path": [left.hex()],
    }
    for name, wanted in computed.items():
        check(f"worked bytes: {name}", values[name] == wanted)
    receipt = "application/vnd.clearhouse.receipt.v1+pb"
    check("worked bytes: sig", values["sig"][0] == key.sign(receipt, b"hello world").hex())
    check("worked bytes: info", values["info"][1] == ce.hpke_info(unhex(values["net"][0]), header).hex())
    inner = wire.decode("Inner", unhex(values["inner"][0]), ce.INNER_MAX)
    check("worked bytes: inner", inner["outer"] == outer and len(cek) == 32)


# --- what clearhouse made ---------------------------------------------------------------------------------------


def ours_is_read(work):
    """Opens the envelope clearhouse made; returns what answering needs."""
    region = json.loads((work / "region.json").read_text())
    expected = json.loads((work / "expected.json").read_text())
    me, peer = region["stranger"], region["clearhouse"]
    directory = directory_of(region)
    reader = ce.Reader(unhex(me["org"]), unhex(me["node"]), [PrekeySecret(unhex(me["prekey_seed"]))], directory)
    data = (work / "envelope.bin").read_bytes()
    opened, fault = verdict(reader, data, region["now"])
    check(f"an envelope made by clearhouse opens ({fault})", fault is None and said(opened) == expected)
    for bit in range(0, len(data) * 8, 4999):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        check(f"bit {bit} of it counts", verdict(reader, bytes(bad), region["now"])[0] is None)

    account_is_read(work, region, reader, verdict, check)

    bundle = wire.decode("RecordBundle", unhex(peer["bundle"]), 1 << 20)
    fresh = Directory(record(region["genesis"]), unhex(region["net"]))
    for signed in bundle["records"]:
        fresh.take(signed, region["now"])
    for prekey in bundle["prekeys"]:
        fresh.take_prekey(prekey)
    check("a bundle brings five prekeys", len(fresh.prekeys) == 5)
    worse = {**bundle["prekeys"][0], "pk": bundle["prekeys"][0]["pk"][:-32] + bytes(32)}
    check("an unlisted prekey is refused", raises(BadRecord, fresh.take_prekey, worse))
    return region, fresh


def said(opened):
    inner = opened["inner"]
    return {
        "digest": opened["digest"].hex(),
        "msg_type": inner.get("msg_type", 0),
        "body_version": inner.get("body_version", 0),
        "msg_id": inner["msg_id"].hex(),
        "sender_org": inner["sender"]["org"].hex(),
        "sender_node": inner["sender"]["node"].hex(),
        "created": inner["created"],
        "expires": inner["expires"],
        "conversation": inner["conversation"].hex(),
        "seq": inner["seq"],
        "prev_digest": inner.get("prev_digest", b"").hex(),
        "body": inner.get("body", b"").hex(),
        "actor_id": inner.get("actor_id", b"").hex(),
        "attachments": [{"name_tag": t.hex(), "bytes": d.hex()} for t, d in opened["attachments"]],
    }


def accreditation(work):
    """securesystemslib counts the coordinators' signatures on an OrgRecord."""
    file = json.loads((work / "coordinators.json").read_text())
    k = file["k"]
    keys = []
    for entry in file["keys"]:
        public = Ed25519PublicKey.from_public_bytes(unhex(entry["public"]))
        keys.append(SSlibKey.from_crypto(public, keyid=entry["keyid"]))
        check("a key id is half a hash", key_id(unhex(entry["public"])).hex() == entry["keyid"])

    def dsse(name):
        return Envelope.from_dict(json.loads((work / name).read_text()))

    check(f"securesystemslib accepts {k} of {k}", len(dsse("org.k.json").verify(keys, k)) == k)
    check(f"securesystemslib refuses {k - 1} of {k}", raises(VerificationError, dsse("org.k-1.json").verify, keys, k))
    check(f"securesystemslib accepts {k - 1} of {k - 1}", len(dsse("org.k-1.json").verify(keys, k - 1)) == k - 1)
    relabelled = dsse("org.k.json")
    relabelled.payload_type = MEDIA.format("descriptor")
    check("another payload type is refused", raises(VerificationError, relabelled.verify, keys, 1))
    changed = dsse("org.k.json")
    changed.payload = changed.payload[:-1] + bytes([changed.payload[-1] ^ 1])
    check("a changed payload is refused", raises(VerificationError, changed.verify, keys, 1))


def becomes(directory, signed, file):
    try:
        directory.take(signed, file["now"])
    except BadRecord:
        return "refused"
    if directory.objections:
        return "objects"
    return "waits" if directory.waiting else "taken"


def joining(work):
    """First records and refusals: both implementations say the same of each."""
    for file in json.loads((work / "joining.json").read_text()):
        genesis, net = record(file["genesis"]), unhex(file["net"])
        for row in file["records"]:
            try:
                Directory(genesis, net).take(record(row["record"]), file["now"])
                fault = None
            except BadRecord as bad:
                fault = str(bad)
            check(f"a first record, {row['name']} ({fault})", (fault is None) == row["taken"])
        for row in file["refusals"]:
            try:
                said = Directory(genesis, net).refusal(record(row["record"]))["reason"] == row["reason"]
            except BadRecord:
                said = None
            check(f"a refusal, {row['name']}", said == (True if row["holds"] else None))
        for row in file["second"]:
            directory = Directory(genesis, net)
            directory.take(record(row["first"]), file["now"])
            check(f"a second record, {row['name']}", becomes(directory, record(row["record"]), file) == row["becomes"])
        check("second records end in every way", len({row["becomes"] for row in file["second"]}) == 4)
        good = [row["name"] for row in file["records"] if row["taken"]]
        check("some records are good and some are not", "as it should be" in good and 5 <= len(good) <= 8)


def stored(work, region, directory):
    file = json.loads((work / "receipts.json").read_text())
    net, node = unhex(region["net"]), unhex(region["clearhouse"]["node"])
    key = directory.may_speak(unhex(region["clearhouse"]["org"]), node, region["now"])
    for entry in file["stored"]:
        digest, receipt = unhex(entry["digest"]), unhex(entry["receipt"])
        check("a storage receipt covers its digest", receipts.is_stored(receipt, digest, net, node, key))
        check("and no other", not receipts.is_stored(receipt, bytes([99]) * 32, net, node, key))
        check("and no other node", not receipts.is_stored(receipt, digest, net, bytes(16), key))
    closed = file["not_opened"]
    args = unhex(closed["signed"]), unhex(closed["digest"]), net, node, key
    check("a NotOpened verifies", receipts.was_not_opened(*args))
    check("for its digest only", not receipts.was_not_opened(args[0], bytes(32), *args[2:]))
    check("the batch is all there", len(file["stored"]) == 7)


def admission():
    """The simplest keys that must not come in; the Rust side runs all published ones."""
    check("the neutral element is not admitted", raises(NotAdmitted, VerifyKey, b"\x01" + bytes(31)))
    check("a point of order four is not admitted", raises(NotAdmitted, VerifyKey, bytes(32)))
    sound = PrekeySecret(bytes(32)).prekey.public
    check("a sound prekey is admitted", Prekey(sound).public == sound)
    check("a prekey with a zero X25519 half is not", raises(NotAdmitted, Prekey, sound[:-32] + bytes(32)))
    check("a prekey with an ML-KEM half out of range is not", raises(NotAdmitted, Prekey, b"\xff" * 3 + sound[3:]))


# --- what clearhouse must read ----------------------------------------------------------------------------------


def answers(work, region, directory):
    """Makes envelopes for clearhouse, honest and not, and a descriptor of our own."""
    me, peer, now = region["stranger"], region["clearhouse"], region["now"]
    key = SigningKey(unhex(me["sign_seed"]))
    org, node = unhex(peer["org"]), unhex(peer["node"])
    mailbox, prekey = directory.seal_to(org, node, now)
    net = unhex(region["net"])
    inner = {
        "msg_type": 3,
        "body_version": 1,
        "msg_id": b"\x41" * 16,
        "sender": {"org": unhex(me["org"]), "node": unhex(me["node"]), "key": key.id},
        "recipient": {"org": org, "node": node, "key": prekey.id},
        "created": now - 1,
        "expires": now + 3 * DAY,
        "conversation": b"\x42" * 32,
        "seq": 1,
        "body": b"an answer from elsewhere",
    }
    entries = []

    def put(name, refusal=None, attachments=(), signer=key, twist=lambda stage, value: value, **change):
        message = {**inner, **change}
        data, digest = ce.make(net, mailbox, prekey, signer, message, attachments, twist)
        (work / f"{name}.bin").write_bytes(data)
        entry = {"file": f"{name}.bin"}
        if refusal:
            entry["refusal"] = refusal
        else:
            entry["said"] = said({"inner": message, "attachments": list(attachments), "digest": digest})
        entries.append(entry)

    def at(stage, change):
        return lambda here, value: change(value) if here == stage else value

    put("answer-plain")
    put("answer-actor", actor_id=b"\x43" * 16, seq=2, prev_digest=ce.body_digest(b"\x41" * 16, inner["body"]))
    put("answer-attachments", attachments=[(b"\x01" * 16, b"a" * 70000), (b"\x02" * 16, b"b")])
    put("answer-large", attachments=[(b"\x03" * 16, bytes(range(256)) * 5000)])
    put("answer-empty-body", body=b"")
    full = {**inner, "net": net, "suite": 1, "outer": bytes(32), "body": b"x" * 200}
    room = 4096 - 68 - len(wire.encode("Inner", full))
    put("answer-brim", body=b"x" * (200 + room))
    put("answer-over", body=b"x" * (201 + room))
    put("answer-unknown-type", msg_type=999, extensions=[{"type": 5, "value": b"carried"}])

    stranger = SigningKey(b"\x99" * 32)
    put("bad-signer", "Signature", signer=stranger)
    put("bad-signature", "Signature", twist=at("sig", lambda s: s[:-1] + bytes([s[-1] ^ 0x20])))
    put("bad-padding", "Inner", twist=at("plaintext", lambda p: p[:-1] + b"\x01"))
    put("bad-encoding", "Inner", twist=at("signed", lambda s: s + b"\xf8\x07\x01"))
    put("bad-recipient", "Misdirected", recipient={**inner["recipient"], "node": b"\x55" * 16})
    put("bad-outer", "Misdirected", outer=bytes(32))
    put("bad-life", "Time", created=now - 28 * DAY)
    put("bad-future", "Time", created=now + 601)
    put("bad-hour", "Time", twist=at("header", lambda h: {**h, "expires_hour": h["expires_hour"] + 1}))
    put("bad-sender", "Sender(Unknown)", sender={**inner["sender"], "org": org})
    put("bad-extension", "Rejected(Extension)", extensions=[{"type": 5, "critical": True}])
    put("bad-class", "Length", twist=at("header", lambda h: {**h, "size_class": 5000}))
    put("bad-header", "Kem", twist=at("sent header", lambda h: h.replace(mailbox, b"\x66" * 16)))
    sha512 = lambda cek, outer, plain: ce.seal_stream(cek, outer, plain, bytes(24), hashes.SHA512())  # noqa: E731
    put("bad-derivation", "Content(Commitment)", twist=at("content", lambda _: sha512))
    put("bad-chunk", "Content(Chunk)", twist=at("content", lambda c: c[:-1] + bytes([c[-1] ^ 1])))
    file = {"envelopes": entries, "descriptor": descriptor(region, key)}
    (work / "answers.json").write_text(json.dumps(file))
    return len(entries)


def descriptor(region, key):
    """The stranger's next descriptor, signed by securesystemslib."""
    me, now = region["stranger"], region["now"]
    mine = directory_of(region).descriptors[unhex(me["node"])]["record"]
    payload = wire.encode("Descriptor", {**mine, "serial": now // 3600 + 1, "languages": ["srp", "sqi"]})
    signer = CryptoSigner(key.secret, SSlibKey.from_crypto(key.secret.public_key(), keyid=key.id.hex()))
    envelope = Envelope(payload, MEDIA.format("descriptor"), {})
    signature = envelope.sign(signer)
    signed = {
        "payload_type": envelope.payload_type,
        "payload": payload,
        "signatures": [{"key_id": key.id, "sig": unhex(signature.signature)}],
    }
    return wire.encode("Signed", signed).hex()


def main():
    work, command = Path(sys.argv[1]), sys.argv[2:]
    subprocess.run([*command, "make", str(work)], check=True, stdout=subprocess.DEVNULL)
    worked_bytes()
    golden_streams()
    golden_envelopes()
    admission()
    accreditation(work)
    joining(work)
    region, directory = ours_is_read(work)
    stored(work, region, directory)
    made = answers(work, region, directory)
    opened = subprocess.run([*command, "open", str(work)], capture_output=True, text=True)
    lines = [line for line in opened.stdout.splitlines() if line.startswith("ok ")]
    for line in lines:
        check(line, True)
    check(f"clearhouse reads all of ours: {opened.stderr}", opened.returncode == 0 and len(lines) == made + 1)


if __name__ == "__main__":
    try:
        main()
    except Exception:  # A check that could not run has failed.
        traceback.print_exc()
        RESULTS["failed"] += 1
    print(f"{RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)
