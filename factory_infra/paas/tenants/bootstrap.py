"""The first start: an administrator's key, and the secret that signs browser sessions."""

import os
import secrets
from pathlib import Path

from factory_infra.database import Database
from factory_infra.foundation.accelerators.providers.local import LocalAccelerators
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.service import Tenants
from factory_infra.settings import Settings


def write_secret(path: Path, secret: str) -> None:
    """Write a secret to a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    partial.replace(path)


def session_secret(settings: Settings) -> str:
    """Return the secret that signs browser sessions, made at the first call."""
    path = settings.secrets_dir / "session.key"
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    return path.read_text().strip()


async def ensure_admin_key(settings: Settings, database: Database) -> str | None:
    """Make the administrator's key at the first start and return it, to be shown once; None when it was made before.

    The key lies in `secrets/admin.key`, readable by its owner only. If the file is gone a new key is made: whoever can write
    the file can use the database as well.
    """
    path = settings.secrets_dir / "admin.key"
    if path.exists():
        return None
    tenants = Tenants(database, Leases(database, LocalAccelerators(settings.slots_max)))
    _, key = await tenants.issue_key(None, "admin", Role.ADMIN)
    write_secret(path, key)
    return key
