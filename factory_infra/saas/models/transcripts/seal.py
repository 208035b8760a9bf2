"""Sealing: AES-256-GCM (NIST SP 800-38D) under a key of each team, derived by HKDF (RFC 5869) from the installation's."""

import os
import secrets

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import JsonValue

from factory_infra.errors import EffectFailed
from factory_infra.paas.tenants.bootstrap import write_secret_once
from factory_infra.settings import Settings

NONCE_BYTES = 12
KEY_BYTES = 32


class Seal:
    """Closes and opens records. A record opens only for the team and under the id that it was closed for."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def close(self, tenant: str, name: str, value: JsonValue) -> bytes:
        """Return a value sealed: nonce, then cipher text and tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(tenant).encrypt(nonce, orjson.dumps(value), _bound(tenant, name))

    def open(self, tenant: str, name: str, sealed: bytes) -> JsonValue:
        """Return what was sealed. Raises EffectFailed `transcript_unreadable` for another key, team or id, or an altered record."""
        try:
            plain = self._cipher(tenant).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(tenant, name))
        except (InvalidTag, ValueError) as error:
            raise EffectFailed(
                f"The transcript {name} cannot be opened.",
                remedy="Put the file secrets/transcripts.key back that it was written with.",
                code="transcript_unreadable",
            ) from error
        value: JsonValue = orjson.loads(plain)
        return value

    def _cipher(self, tenant: str) -> AESGCM:
        derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"lineshaft transcripts " + tenant.encode())
        return AESGCM(derived.derive(self._secret))


def _bound(tenant: str, name: str) -> bytes:
    """What a record is bound to besides its key: moved to another row, it does not open."""
    return orjson.dumps([tenant, name])


def seal_of(settings: Settings) -> Seal:
    """The installation's seal; its key is made at the first call. LINESHAFT_TRANSCRIPT_KEY wins over the file: several hosts share one."""
    if settings.transcript_key is not None:
        return Seal(settings.transcript_key.get_secret_value().encode())
    path = settings.secrets_dir / "transcripts.key"
    if not path.exists():
        write_secret_once(path, secrets.token_hex(KEY_BYTES))
    return Seal(path.read_text().strip().encode())
