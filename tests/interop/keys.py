"""Sections 2 and 3 of proto/README.md: what is signed and hashed, and which keys are let in."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey

PREKEY_LEN = 1216
MLKEM_LEN = 1184
MLKEM_Q = 3329


def sha256(data):
    return hashlib.sha256(data).digest()


def pae(kind, body):
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(body), body)


def labelled_hash(label, body):
    return sha256(pae(label, body))


def key_id(public):
    return sha256(public)[:16]


class NotAdmitted(Exception):
    """A public key that must not be used."""


# The curve of Ed25519, only as far as admission needs it. Nothing secret passes here.
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493
NEUTRAL = (0, 1)


def point_of(public):
    """The point whose canonical encoding this is, or None."""
    number = int.from_bytes(public, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x, y)


def add(a, b):
    t = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + t, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - t, -1, P)
    return x % P, y % P


def times(k, point):
    out = NEUTRAL
    for bit in bin(k)[2:]:
        out = add(out, out)
        out = add(out, point) if bit == "1" else out
    return out


ADMITTED = {}


class VerifyKey:
    """An Ed25519 public key that was admitted."""

    def __init__(self, public):
        if public not in ADMITTED:
            point = point_of(public) if len(public) == 32 else None
            small = point is not None and times(8, point) == NEUTRAL
            ADMITTED[public] = point is not None and not small and times(L, point) == NEUTRAL
        if not ADMITTED[public]:
            raise NotAdmitted("a signing key that must not be used")
        self.public = bytes(public)
        self.id = key_id(self.public)

    def holds(self, kind, body, sig):
        """Whether `sig` is this key's over PAE(kind, body), strictly."""
        if len(sig) != 64 or int.from_bytes(sig[32:], "little") >= L:
            return False
        r = point_of(sig[:32])
        if r is None or times(8, r) == NEUTRAL:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(sig, pae(kind, body))
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """An Ed25519 key by its seed."""

    def __init__(self, seed):
        self.secret = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.secret.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, kind, body):
        return self.secret.sign(pae(kind, body))


class Prekey:
    """An X-Wing public key that was admitted."""

    def __init__(self, public):
        if len(public) != PREKEY_LEN:
            raise NotAdmitted("a prekey of another length")
        mlkem, x25519 = public[:MLKEM_LEN], public[MLKEM_LEN:]
        for at in range(0, MLKEM_LEN - 32, 3):
            pair = int.from_bytes(mlkem[at : at + 3], "little")
            if pair & 0xFFF >= MLKEM_Q or pair >> 12 >= MLKEM_Q:
                raise NotAdmitted("an ML-KEM key out of range")
        try:
            half = X25519PublicKey.from_public_bytes(x25519)
            # The library refuses a result of zeros.
            X25519PrivateKey.from_private_bytes(b"\x55" * 32).exchange(half)
        except ValueError:
            raise NotAdmitted("an X25519 key of low order") from None
        self.hpke = MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(mlkem), half)
        self.public = bytes(public)
        self.id = sha256(self.public)[:16]


class PrekeySecret:
    """An X-Wing secret by its 32-byte seed."""

    def __init__(self, seed):
        expanded = hashlib.shake_256(seed).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self.hpke = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.prekey = Prekey(mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())
