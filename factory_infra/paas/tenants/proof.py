"""How a key is checked: what is kept of its secret, and the one comparison that every door goes through."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from factory_infra.database import utcnow
from factory_infra.errors import Unauthenticated

KEY_PATTERN = re.compile(r"^ls_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$")
PEPPERED = "hmac1:"
NOBODYS = PEPPERED + "A" * 43
"""Compared with where there is no digest, so that a key which is not there costs what one costs that is."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KeyProof:
    """What is needed to check a secret without asking again. `ends_at` lies in the past for a revoked key."""

    digest: str
    digest_old: str | None = None
    old_until: datetime | None = None
    ends_at: datetime | None = None


NO_KEY = KeyProof(digest=NOBODYS, ends_at=LONG_AGO)


def invalid_key() -> Unauthenticated:
    """The one refusal of every key that is not valid."""
    return Unauthenticated("The key is not valid.", remedy="Send a key that is neither revoked nor expired as 'Authorization: Bearer …'.")


def parted(key: str) -> tuple[str, str]:
    """Split a key into its id and its secret. Raises Unauthenticated for what cannot be one: nothing is looked up for it."""
    match = KEY_PATTERN.fullmatch(key)
    if match is None:
        raise invalid_key()
    return match[1], match[2]


def digest_of(secret: str, pepper: bytes) -> str:
    """HMAC-SHA256 of a secret under the installation's pepper.

    No slow hash is needed for 256 random bits, which no dictionary holds; the pepper makes a stolen table useless by itself, and a digest
    of one installation worth nothing in another.
    """
    mac = hmac.digest(pepper, secret.encode(), hashlib.sha256)
    return PEPPERED + base64.urlsafe_b64encode(mac).decode().rstrip("=")


def fits(kept: str, secret: str, digest: str) -> bool:
    """Whether a secret, which has this digest, is the one that is kept, in a time that does not tell how much of it was right.

    What was kept before there was a pepper is the plain SHA-256 in hexadecimal; it says so by its form.
    """
    return hmac.compare_digest(kept, digest if kept.startswith(PEPPERED) else hashlib.sha256(secret.encode()).hexdigest())


def check(proof: KeyProof, secret: str, pepper: bytes) -> datetime | None:
    """Return until when a secret is good, None for ever. Raises Unauthenticated, with the same words and steps for every reason."""
    now, digest = utcnow(), digest_of(secret, pepper)
    current = fits(proof.digest, secret, digest)
    former = fits(proof.digest_old or NOBODYS, secret, digest) and proof.old_until is not None and now < proof.old_until
    standing = proof.ends_at is None or now < proof.ends_at
    if not standing or not (current or former):
        raise invalid_key()
    if current or proof.old_until is None:
        return proof.ends_at
    return min(proof.old_until, proof.ends_at or proof.old_until)
