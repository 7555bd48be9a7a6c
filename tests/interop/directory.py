"""Sections 8 and 9 of proto/README.md: records, and who may speak."""

import re
import unicodedata

import wire
from keys import NotAdmitted, Prekey, VerifyKey, pae, sha256

MEDIA = "application/vnd.clearhouse.{}.v1+pb"
NODE_ID = "clearhouse/node-id/v1"
RECORD_MAX = 60 << 10
DAY = 86400
LIVE = 2
CODE = re.compile(r"[A-Z][A-Za-z0-9]{0,39}")
SLUG = re.compile(r"[a-z0-9-]{1,32}")
AREA = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
KINDS = {"ORGANISATION": 1, "NODE": 2, "KEY": 3}


class BadRecord(Exception):
    """A record that must not be taken."""


class MayNotSpeak(Exception):
    """Why a node may not speak: Unknown, Revoked or Expired."""


def demand(condition, what):
    if not condition:
        raise BadRecord(what)


def signers(signed, kind, keys):
    """Positions of the keys that signed, each once."""
    demand(signed.get("payload_type") == kind, "another payload type")
    signatures = signed.get("signatures", [])
    payload = signed.get("payload", b"")
    demand(len(signatures) <= 16 and len(payload) <= RECORD_MAX, "too much of it")
    shaped = all(len(s.get("key_id", b"")) == 16 and len(s.get("sig", b"")) == 64 for s in signatures)
    demand(shaped, "a signature of another length")
    by = [[s["sig"] for s in signatures if s["key_id"] == k.id] for k in keys]
    return [i for i, k in enumerate(keys) if any(k.holds(kind, payload, sig) for sig in by[i])]


def parsed(signed, name):
    try:
        return wire.decode(name, signed.get("payload", b""), RECORD_MAX)
    except wire.NotCanonical as fault:
        raise BadRecord(str(fault)) from None


def admitted(public):
    try:
        return VerifyKey(public)
    except NotAdmitted as fault:
        raise BadRecord(str(fault)) from None


def short(*texts):
    return all(len(t) <= 120 and not any(unicodedata.category(c) == "Cc" for c in t) for t in texts)


def digits(text):
    return sum(c.isdigit() for c in text)


def is_code(text):
    return bool(CODE.fullmatch(text)) and digits(text) <= 4


def is_agreement(text):
    return bool(SLUG.fullmatch(text)) and digits(text) <= 4


class Directory:
    """The records of one network, each verified here."""

    def __init__(self, genesis, net):
        payload = genesis.get("payload", b"")
        demand(sha256(payload) == net, "another network")
        policy = parsed(genesis, "RootPolicy")
        demand(policy.get("version") == 1 and not policy.get("prev_hash"), "not a first policy")
        keys = self.policy_keys(policy)
        demand(len(signers(genesis, MEDIA.format("root"), keys)) >= policy["k_root"], "not enough coordinators")
        self.net, self.policy, self.policy_hash, self.coordinators = net, policy, sha256(payload), keys
        self.named = {c["id"] for c in policy["coordinators"]}
        self.orgs, self.certs, self.descriptors, self.prekeys, self.revocations = {}, {}, {}, {}, {}
        self.waiting, self.objections = {}, set()

    def take(self, signed, now):
        """Takes a record, or raises BadRecord."""
        takers = {
            MEDIA.format("root"): self.take_policy,
            MEDIA.format("org"): self.take_org,
            MEDIA.format("nodecert"): self.take_cert,
            MEDIA.format("descriptor"): lambda record: self.take_descriptor(record, now),
            MEDIA.format("revocation"): self.take_revocation,
            MEDIA.format("objection"): self.take_objection,
        }
        demand(signed.get("payload_type") in takers, "no record of the directory")
        takers[signed["payload_type"]](signed)

    @staticmethod
    def common(record, start, end):
        demand(not any(e.get("critical") for e in record.get("extensions", [])), "a critical extension")
        demand(0 < record.get(end, 0) - record.get(start, 0) <= 366 * DAY, "a lifetime")

    def policy_keys(self, policy):
        self.common(policy, "not_before", "not_after")
        coordinators = policy.get("coordinators", [])
        n = len(coordinators)
        demand(1 <= n <= 16 and policy.get("kind") in (1, 2), "a policy without people or kind")
        demand(all(1 <= policy.get(k, 0) <= n for k in ("k_accredit", "k_revoke", "k_root")), "a threshold")
        demand(policy.get("min_suite", 0) in policy.get("allowed_suites", []), "suites")
        demand(short(policy.get("label", ""), *(c.get("country", "") for c in coordinators)), "a text")
        demand(all(len(c.get("id", b"")) == 16 for c in coordinators), "an id")
        keys = [admitted(c.get("accreditation_pk", b"")) for c in coordinators]
        demand(len({k.public for k in keys}) == n, "a key listed twice")
        rules = policy.get("corridor_rules", [])
        names = [r.get("name", "") for r in rules]
        demand(len(rules) <= 64 and len(set(names)) == len(rules) and all(map(SLUG.fullmatch, names)), "a rule's name")
        demand(all("agreement" not in r or is_agreement(r["agreement"]) for r in rules), "a rule's agreement")
        return keys

    @staticmethod
    def follows(held, record, payload):
        """True for the next version, False for the record already held."""
        version, old = record.get("version", 0), held["record"].get("version", 0)
        if version == old:
            demand(sha256(payload) == held["hash"], "two truths")
            return False
        demand(version == old + 1 and record.get("prev_hash") == held["hash"], "does not follow")
        return True

    def take_policy(self, signed):
        policy = parsed(signed, "RootPolicy")
        held = {"record": self.policy, "hash": self.policy_hash}
        if not self.follows(held, policy, signed["payload"]):
            return
        demand(policy.get("kind") == self.policy["kind"], "another kind of network")
        keys = self.policy_keys(policy)
        kind = MEDIA.format("root")
        demand(len(signers(signed, kind, self.coordinators)) >= self.policy["k_root"], "the old ones did not sign")
        demand(len(signers(signed, kind, keys)) >= policy["k_root"], "the new ones did not sign")
        self.policy, self.policy_hash, self.coordinators = policy, sha256(signed["payload"]), keys
        self.named |= {c["id"] for c in policy["coordinators"]}

    def take_org(self, signed):
        kind = MEDIA.format("org")
        signing = signers(signed, kind, self.coordinators)
        org = parsed(signed, "OrgRecord")
        demand(org.get("net") == self.net and len(org.get("org_id", b"")) == 16, "another network, or no id")
        self.common(org, "valid_from", "valid_until")
        country = org.get("country", "")
        demand(len(country) == 2 and country.isascii() and country.isupper(), "a country")
        demand(short(org.get("label", "")), "a text")
        demand(all(map(is_code, [*org.get("roles", []), *org.get("competences", [])])), "a code")
        self.check_membership(org)
        admitted(org.get("org_root_pk", b""))
        countries = {self.policy["coordinators"][i].get("country") for i in signing}
        enough = len(signing) >= self.policy["k_accredit"]
        demand(enough and len(countries) >= 2 and countries != {country}, "not enough coordinators")
        held, lost = self.orgs.get(org["org_id"]), org.get("lost_key", False)
        demand(not lost or org.get("version", 0) >= 2, "a lost key, and none before")
        if held:
            if not self.follows(held, org, signed["payload"]):
                return
            old = held["record"]["org_root_pk"]
            demand(not lost or old != org["org_root_pk"], "a lost key that is the same")
            agreed = old == org["org_root_pk"] or signers(signed, kind, [admitted(old)])
            demand(agreed or lost, "the old root did not sign")
            lost = not agreed
        if lost:
            self.wait(org, sha256(signed["payload"]))
            return
        self.waiting.pop(org["org_id"], None)
        self.orgs[org["org_id"]] = {"record": org, "hash": sha256(signed["payload"])}

    def wait(self, org, hash_):
        """Beside what is held: it counts after 72 hours in a log, and this reader follows none."""
        demand(hash_ not in self.objections, "the key in force objected")
        waits = self.waiting.setdefault(org["org_id"], set())
        demand(hash_ in waits or len(waits) < 2, "two wait already")
        waits.add(hash_)

    def take_objection(self, signed):
        said = parsed(signed, "Objection")
        demand(said.get("net") == self.net and len(said.get("announced", b"")) == 32, "another network, or no hash")
        demand(not any(e.get("critical") for e in said.get("extensions", [])), "a critical extension")
        held = self.orgs.get(said.get("org_id", b""))
        demand(held, "an organisation nobody accredited")
        root = admitted(held["record"]["org_root_pk"])
        demand(signers(signed, MEDIA.format("objection"), [root]), "not signed by the key in force")
        demand(said.get("version", 0) == held["record"]["version"] + 1, "an objection to another version")
        self.objections.add(said["announced"])

    def check_membership(self, org):
        """How it came in, and what it bound itself to."""
        area = org.get("area", "")
        demand(not area or (AREA.fullmatch(area) and area[:2] == org["country"]), "an area")
        standards, at = org.get("standards", ""), org.get("standards_signed", 0)
        demand(bool(standards) == bool(at) and (not standards or is_code(standards)), "standards")
        demand(at <= org.get("valid_from", 0) + DAY, "standards of tomorrow")
        agreements = org.get("agreements", [])
        names = {a.get("name", "") for a in agreements}
        demand(len(agreements) <= 32 and len(names) == len(agreements) and all(map(is_agreement, names)), "agreements")
        demand(all(a.get("valid_until", 0) for a in agreements), "an agreement without an end")
        sponsors = org.get("sponsors", [])
        joins = self.policy["kind"] == LIVE and org.get("version") == 1 and org["org_id"] not in self.named
        demand(len(sponsors) == 2 or (not sponsors and not joins), "sponsors")
        demand(len({*sponsors, org["org_id"]}) == len(sponsors) + 1, "sponsors")
        demand(all(len(sponsor) == 16 for sponsor in sponsors), "sponsors")

    def refusal(self, signed):
        """What a coordinator's notice says, or raises BadRecord. No directory holds it."""
        kind = MEDIA.format("refusal")
        demand(signed.get("payload_type") == kind, "another payload type")
        notice = parsed(signed, "Refusal")
        demand(notice.get("net") == self.net and len(notice.get("org_id", b"")) == 16, "another network, or no id")
        demand(is_code(notice.get("reason", "")) and len(notice.get("application", b"")) == 32, "a reason or a hash")
        named = [c["id"] == notice.get("coordinator") for c in self.policy["coordinators"]]
        keys = [key for key, one in zip(self.coordinators, named) if one][:1]
        demand(keys and signers(signed, kind, keys), "not signed by the coordinator it names")
        return notice

    def take_cert(self, signed):
        cert = parsed(signed, "NodeCert")
        org, node = cert.get("org_id", b""), cert.get("node_id", b"")
        demand(cert.get("net") == self.net and len(org) == 16 and len(node) == 16, "another network, or no id")
        demand(node[:12] == sha256(pae(NODE_ID, self.net + org))[:12], "a node of another organisation")
        self.common(cert, "valid_from", "valid_until")
        admitted(cert.get("sign_pk", b""))
        demand(org in self.orgs, "an organisation nobody accredited")
        root = admitted(self.orgs[org]["record"]["org_root_pk"])
        demand(signers(signed, MEDIA.format("nodecert"), [root]), "not signed by its organisation")
        held = self.certs.get(node)
        if held:
            demand(held["record"]["org_id"] == org, "a node that moved")
            if not self.follows(held, cert, signed["payload"]):
                return
        self.certs[node] = {"record": cert, "hash": sha256(signed["payload"])}

    def take_descriptor(self, signed, now):
        d = parsed(signed, "Descriptor")
        node = d.get("node_id", b"")
        demand(d.get("net") == self.net and len(node) == 16 and node in self.certs, "another network or no certificate")
        demand(not any(e.get("critical") for e in d.get("extensions", [])), "a critical extension")
        key = admitted(self.certs[node]["record"]["sign_pk"])
        demand(signers(signed, MEDIA.format("descriptor"), [key]), "not signed by its node")
        serial, weeks = d.get("serial", 0), [p.get("week", 0) for p in d.get("prekeys", [])]
        demand(serial * 3600 <= now + 7200, "from the future")
        demand(d.get("expires", 0) <= serial * 3600 + 35 * DAY, "a lifetime")
        demand(1 <= len(d.get("tls_pks", [])) <= 2 and 1 <= len(d.get("mailboxes", [])) <= 3, "a count")
        demand(1 <= len(weeks) <= 6 and weeks == sorted(set(weeks)), "weeks")
        demand(1 <= len(d.get("suites", [])) <= 16 and len(d.get("reads", [])) <= 64, "a count")
        demand(all(len(p.get("sha256", b"")) == 32 for p in d["prekeys"]), "a hash")
        boxes = d["mailboxes"]
        demand(all(len(m.get("id", b"")) == 16 and len(m.get("node_id", b"")) == 16 for m in boxes), "an id")
        demand(short(*(m.get("endpoint", "") for m in boxes), *d.get("languages", [])), "a text")
        others = [pk for n, held in self.descriptors.items() if n != node for pk in held["record"]["tls_pks"]]
        demand(all(admitted(pk) and pk not in others for pk in d["tls_pks"]), "a TLS key of another node")
        held, hash_ = self.descriptors.get(node), sha256(signed["payload"])
        demand(not held or held["hash"] == hash_ or held["record"].get("serial", 0) < serial, "an old serial")
        self.descriptors[node] = {"record": d, "hash": hash_}

    def take_prekey(self, prekey):
        week, pk = prekey.get("week", 0), prekey.get("pk", b"")
        for node, held in self.descriptors.items():
            if {"week": week, "sha256": sha256(pk)} in held["record"]["prekeys"]:
                try:
                    self.prekeys[node, week] = Prekey(pk)
                except NotAdmitted as fault:
                    raise BadRecord(str(fault)) from None
                return
        raise BadRecord("a prekey that no descriptor lists")

    def take_revocation(self, signed):
        r = parsed(signed, "Revocation")
        subject, kind = r.get("subject", b""), r.get("subject_kind", 0)
        demand(r.get("net") == self.net and len(subject) == 16 and kind in KINDS.values(), "another network or subject")
        demand(not any(e.get("critical") for e in r.get("extensions", [])), "a critical extension")
        demand(is_code(r.get("reason", "")), "a reason")
        media = MEDIA.format("revocation")
        own = [admitted(pk) for pk in self.own_keys(kind, subject)]
        enough = len(signers(signed, media, self.coordinators)) >= self.policy["k_revoke"]
        demand(enough or signers(signed, media, own), "not enough coordinators")
        effective = r.get("effective", 0)
        held = self.revocations.get((subject, kind))
        self.revocations[subject, kind] = effective if held is None else min(held, effective)

    def own_keys(self, kind, subject):
        certs = [c["record"] for c in self.certs.values()]
        if kind == KINDS["ORGANISATION"]:
            return [self.orgs[subject]["record"]["org_root_pk"]] if subject in self.orgs else []
        if kind == KINDS["NODE"]:
            certs = [c for c in certs if c["node_id"] == subject]
        else:
            certs = [c for c in certs if sha256(c["sign_pk"])[:16] == subject]
        return [pk for c in certs[:1] for pk in (c["sign_pk"], self.orgs[c["org_id"]]["record"]["org_root_pk"])]

    def may_speak(self, org, node, now):
        """The signing key of a node that may speak now, or MayNotSpeak."""
        if node not in self.certs or org not in self.orgs or self.certs[node]["record"]["org_id"] != org:
            raise MayNotSpeak("Unknown")
        cert, record = self.certs[node]["record"], self.orgs[org]["record"]
        key = admitted(cert["sign_pk"])
        for (subject, _), effective in self.revocations.items():
            if subject in (org, node, key.id) and effective <= now:
                raise MayNotSpeak("Revoked")
        spans = [(record["valid_from"], record["valid_until"]), (cert["valid_from"], cert["valid_until"])]
        spans.append((self.policy["not_before"], self.policy["not_after"]))
        if not all(start <= now < end for start, end in spans):
            raise MayNotSpeak("Expired")
        return key

    def seal_to(self, org, node, now):
        """Mailbox id and prekey to seal to now."""
        self.may_speak(org, node, now)
        d = self.descriptors[node]["record"]
        suite = 1 in d["suites"] and 1 in self.policy["allowed_suites"] and self.policy["min_suite"] <= 1
        demand(d["expires"] > now and suite, "no descriptor, or no common suite")
        return d["mailboxes"][0]["id"], self.prekeys[node, now // (7 * DAY)]
