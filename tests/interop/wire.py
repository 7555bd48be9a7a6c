"""Section 1 of proto/README.md: the one good encoding of each message, by hand and without generated code.

Messages are plain dicts; a field at its default value is absent. Refuses every encoding but the one it would write.
"""

DEPTH_MAX = 16
FIELDS_MAX = 4096

U32, U64, BOOL, BYTES, TEXT = "u32", "u64", "bool", "bytes", "text"


class Many:
    """A repeated field of the given kind; numbers are packed."""

    def __init__(self, kind):
        self.kind = kind


# Message name -> field number -> (name, kind). A kind that is a text not above names a message.
SCHEMAS = {
    "Envelope": {1: ("header", BYTES), 2: ("kem", BYTES), 3: ("content", BYTES)},
    "Header": {
        1: ("version", U32),
        2: ("suite", U32),
        3: ("mailbox", BYTES),
        4: ("prekey_id", BYTES),
        5: ("expires_hour", U64),
        6: ("size_class", U64),
    },
    "Party": {1: ("org", BYTES), 2: ("node", BYTES), 3: ("key", BYTES)},
    "DirectoryHead": {1: ("origin", TEXT), 2: ("size", U64), 3: ("root", BYTES)},
    "AttachmentRef": {1: ("name_tag", BYTES), 2: ("len", U64), 3: ("sha256", BYTES)},
    "Extension": {1: ("type", U32), 2: ("critical", BOOL), 3: ("value", BYTES)},
    "Inner": {
        1: ("net", BYTES),
        2: ("suite", U32),
        3: ("msg_type", U32),
        4: ("body_version", U32),
        5: ("msg_id", BYTES),
        6: ("sender", "Party"),
        7: ("recipient", "Party"),
        8: ("outer", BYTES),
        9: ("created", U64),
        10: ("expires", U64),
        11: ("conversation", BYTES),
        12: ("seq", U64),
        13: ("prev_digest", BYTES),
        14: ("directory_head", "DirectoryHead"),
        15: ("attachments", Many("AttachmentRef")),
        16: ("body", BYTES),
        17: ("actor_id", BYTES),
        18: ("actor_key_id", BYTES),
        19: ("actor_sig", BYTES),
        20: ("extensions", Many("Extension")),
    },
    "Account": {
        1: ("origin", TEXT),
        2: ("first", U64),
        3: ("entries", Many("AccountEntry")),
        4: ("head", BYTES),
    },
    "AccountEntry": {1: ("commitment", BYTES), 2: ("salt", BYTES), 3: ("opening", BYTES)},
    "IndexRange": {1: ("from", U64), 2: ("to", U64)},
    "Opening": {
        1: ("net", BYTES),
        2: ("origin", TEXT),
        3: ("event", U32),
        4: ("time", U64),
        5: ("peer_org", BYTES),
        6: ("peer_node", BYTES),
        7: ("envelope_digest", BYTES),
        8: ("msg_class", U32),
        9: ("due_day", U64),
        10: ("ref_digest", BYTES),
        11: ("actor_role", TEXT),
        12: ("index", U64),
        13: ("replaces_digest", BYTES),
        14: ("erased", Many("IndexRange")),
        15: ("retention_rule", TEXT),
    },
    "Signed": {1: ("payload_type", TEXT), 2: ("payload", BYTES), 3: ("signatures", Many("Signature"))},
    "Signature": {1: ("key_id", BYTES), 2: ("sig", BYTES)},
    "Coordinator": {
        1: ("id", BYTES),
        2: ("country", TEXT),
        3: ("accreditation_pk", BYTES),
        4: ("log_vkey", TEXT),
        5: ("witness_vkey", TEXT),
        6: ("node_id", BYTES),
    },
    "DeadlineOverride": {1: ("rule", TEXT), 2: ("secs", U64)},
    "RootPolicy": {
        1: ("version", U64),
        2: ("prev_hash", BYTES),
        3: ("kind", U32),
        4: ("label", TEXT),
        5: ("not_before", U64),
        6: ("not_after", U64),
        7: ("coordinators", Many("Coordinator")),
        8: ("k_accredit", U32),
        9: ("k_revoke", U32),
        10: ("k_root", U32),
        11: ("f", U32),
        12: ("witness_policy", TEXT),
        13: ("allowed_suites", Many(U32)),
        14: ("min_suite", U32),
        16: ("log_tick_secs", U32),
        17: ("audit_push_secs", U32),
        18: ("cover", BOOL),
        19: ("deadline_overrides", Many("DeadlineOverride")),
        20: ("extensions", Many("Extension")),
        21: ("corridor_rules", Many("CorridorRule")),
    },
    "CorridorRule": {
        1: ("name", TEXT),
        2: ("msg_types", Many(U32)),
        3: ("from_roles", Many(TEXT)),
        4: ("to_roles", Many(TEXT)),
        5: ("from_countries", Many(TEXT)),
        6: ("to_countries", Many(TEXT)),
        7: ("valid_until", U64),
        8: ("agreement", TEXT),
    },
    "Agreement": {1: ("name", TEXT), 2: ("valid_until", U64)},
    "OrgRecord": {
        1: ("net", BYTES),
        2: ("org_id", BYTES),
        3: ("version", U64),
        4: ("prev_hash", BYTES),
        5: ("label", TEXT),
        6: ("country", TEXT),
        7: ("roles", Many(TEXT)),
        8: ("competences", Many(TEXT)),
        9: ("org_root_pk", BYTES),
        10: ("valid_from", U64),
        11: ("valid_until", U64),
        12: ("extensions", Many("Extension")),
        13: ("area", TEXT),
        14: ("standards", TEXT),
        15: ("standards_signed", U64),
        16: ("agreements", Many("Agreement")),
        17: ("sponsors", Many(BYTES)),
        18: ("lost_key", BOOL),
    },
    "Objection": {
        1: ("net", BYTES),
        2: ("org_id", BYTES),
        3: ("version", U64),
        4: ("announced", BYTES),
        5: ("made", U64),
        6: ("extensions", Many("Extension")),
    },
    "NodeCert": {
        1: ("net", BYTES),
        2: ("org_id", BYTES),
        3: ("node_id", BYTES),
        4: ("version", U64),
        5: ("prev_hash", BYTES),
        6: ("sign_pk", BYTES),
        7: ("log_vkey", TEXT),
        8: ("witness_vkey", TEXT),
        9: ("valid_from", U64),
        10: ("valid_until", U64),
        11: ("extensions", Many("Extension")),
    },
    "Mailbox": {1: ("id", BYTES), 2: ("node_id", BYTES), 3: ("endpoint", TEXT)},
    "PrekeyHash": {1: ("week", U64), 2: ("sha256", BYTES)},
    "Readable": {1: ("msg_type", U32), 2: ("max_version", U32)},
    "Descriptor": {
        1: ("net", BYTES),
        2: ("node_id", BYTES),
        3: ("serial", U64),
        4: ("tls_pks", Many(BYTES)),
        5: ("mailboxes", Many("Mailbox")),
        6: ("prekeys", Many("PrekeyHash")),
        7: ("suites", Many(U32)),
        8: ("languages", Many(TEXT)),
        9: ("reads", Many("Readable")),
        10: ("expires", U64),
        11: ("extensions", Many("Extension")),
        12: ("attested", U64),
        13: ("duty", Many("DutyHours")),
        14: ("alternate", TEXT),
        15: ("child_places", U32),
    },
    "DutyHours": {1: ("day", U32), 2: ("from_minute", U32), 3: ("until_minute", U32)},
    "Prekey": {1: ("week", U64), 2: ("pk", BYTES)},
    "Revocation": {
        1: ("net", BYTES),
        2: ("subject_kind", U32),
        3: ("subject", BYTES),
        4: ("reason", TEXT),
        5: ("effective", U64),
        6: ("pre_signed", BOOL),
        7: ("record_hash", BYTES),
        8: ("extensions", Many("Extension")),
    },
    "Refusal": {
        1: ("net", BYTES),
        2: ("org_id", BYTES),
        3: ("application", BYTES),
        4: ("reason", TEXT),
        5: ("coordinator", BYTES),
        6: ("made", U64),
    },
    "RecordBundle": {1: ("records", Many("Signed")), 2: ("prekeys", Many("Prekey")), 3: ("published", Many("Published"))},
    "Published": {1: ("node", BYTES), 2: ("entry", BYTES), 3: ("proof", BYTES)},
    "StorageHead": {1: ("net", BYTES), 2: ("node", BYTES), 3: ("root", BYTES), 4: ("count", U64), 5: ("time", U64)},
    "StorageReceipt": {1: ("head", "Signed"), 2: ("index", U64), 3: ("path", Many(BYTES))},
    "NotOpened": {1: ("net", BYTES), 2: ("envelope_digest", BYTES), 3: ("node", BYTES), 4: ("time", U64)},
}


class NotCanonical(Exception):
    """The bytes are not the one good encoding of the message they should be."""


def encode(name, message):
    """The one good encoding of `message`."""
    schema = SCHEMAS[name]
    unknown = set(message) - {field for field, _ in schema.values()}
    assert not unknown, f"{name} has no {unknown}"
    out = b""
    for number in sorted(schema):
        field, kind = schema[number]
        value = message.get(field)
        if value is None:
            continue
        if isinstance(kind, Many):
            if kind.kind in (U32, U64):
                packed = b"".join(varint(v) for v in value)
                out += tagged(number, packed) if value else b""
            else:
                out += b"".join(tagged(number, plain(kind.kind, v)) for v in value)
        elif kind in (U32, U64, BOOL):
            out += varint(number << 3) + varint(int(value)) if value else b""
        elif kind in (BYTES, TEXT):
            out += tagged(number, plain(kind, value)) if value else b""
        else:
            out += tagged(number, encode(kind, value))
    return out


def decode(name, data, longest):
    """Reads `data` as `name`, or raises NotCanonical."""
    if len(data) > longest:
        raise NotCanonical("longer than this place allows")
    if (count(data, DEPTH_MAX) or 0) > FIELDS_MAX:
        raise NotCanonical("too many fields")
    message = read(name, data, DEPTH_MAX)
    if encode(name, message) != data:
        raise NotCanonical("another encoding")
    return message


def read(name, data, depth):
    if depth == 0:
        raise NotCanonical("nested too deeply")
    message = {}
    for number, wire_type, value in fields(data):
        if number not in SCHEMAS[name]:
            raise NotCanonical(f"{name} has no field {number}")
        field, kind = SCHEMAS[name][number]
        many = isinstance(kind, Many)
        inner = kind.kind if many else kind
        if many and inner in (U32, U64):
            if wire_type != 2:
                raise NotCanonical("a number outside its pack")
            message[field] = [number_of(inner, v) for v in varints(value)]
        elif many:
            if wire_type != 2:
                raise NotCanonical("another wire type")
            message.setdefault(field, []).append(value_of(inner, value, depth))
        else:
            if wire_type != (0 if inner in (U32, U64, BOOL) else 2):
                raise NotCanonical("another wire type")
            message[field] = value_of(inner, value, depth)
    return message


def value_of(kind, value, depth):
    if kind in (U32, U64, BOOL):
        return number_of(kind, value)
    if kind == BYTES:
        return value
    if kind == TEXT:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise NotCanonical("not UTF-8") from None
    return read(kind, value, depth - 1)


def number_of(kind, value):
    if value >> {U32: 32, U64: 64, BOOL: 1}[kind]:
        raise NotCanonical("a number too large")
    return bool(value) if kind == BOOL else value


def plain(kind, value):
    if kind == BYTES:
        return bytes(value)
    return value.encode() if kind == TEXT else encode(kind, value)


def tagged(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise NotCanonical("a cut number")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise NotCanonical("an endless number")


def varints(data):
    at = 0
    while at < len(data):
        value, at = read_varint(data, at)
        yield value


def fields(data):
    """(number, wire type, value) of each field. Only numbers and length-delimited values exist here."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = read_varint(data, at)
        elif wire_type == 2:
            length, at = read_varint(data, at)
            value, at = data[at : at + length], at + length
            if at > len(data):
                raise NotCanonical("a cut field")
        else:
            raise NotCanonical("another wire type")
        yield number, wire_type, value


def count(data, depth):
    """Length-delimited fields of `data`, those inside counted too; None when it is not protobuf."""
    found, at = 0, 0
    try:
        while at < len(data):
            tag, at = read_varint(data, at)
            if tag & 7 == 0:
                _, at = read_varint(data, at)
            elif tag & 7 in (1, 5):
                at += 8 if tag & 7 == 1 else 4
                if at > len(data):
                    return None
            elif tag & 7 == 2:
                length, at = read_varint(data, at)
                if at + length > len(data):
                    return None
                found += 1
                if depth > 1:
                    found += count(data[at : at + length], depth - 1) or 0
                at += length
                if found > FIELDS_MAX:
                    return found
            else:
                return None
    except NotCanonical:
        return None
    return found
