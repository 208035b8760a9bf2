"""The first start: an administrator's key, the pepper of all keys, and the secret that signs browser sessions."""

import contextlib
import os
import secrets
from decimal import Decimal
from pathlib import Path

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput
from factory_infra.paas.tenants.models import PLATFORM, Role
from factory_infra.paas.tenants.service import Tenants
from factory_infra.settings import Settings

PEPPER_CHARACTERS_MIN = 32
PLATFORM_BUDGET = Decimal(100)


def write_secret(path: Path, secret: str) -> None:
    """Write a secret to a file that only its owner can read, whole or not at all."""
    _written(path, secret).replace(path)


def write_secret_once(path: Path, secret: str) -> None:
    """Do the same unless the file is there already: of several processes that try at one time the first wins, and no other changes it."""
    partial = _written(path, secret)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink()


def _written(path: Path, secret: str) -> Path:
    """Write a secret beside its place, down to the disk, and return where."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    return partial


def key_pepper(settings: Settings) -> bytes:
    """Return the pepper that every key's digest is made with, made at the first call; LINESHAFT_KEY_PEPPER wins over the file.

    Processes on several hosts that share a database need the same one. Without it no key can be checked: it belongs into a backup,
    and away from the database's. Raises InvalidInput for one that is too short to protect anything.
    """
    if settings.key_pepper is not None:
        pepper, place = settings.key_pepper.get_secret_value(), "LINESHAFT_KEY_PEPPER"
    else:
        path = settings.secrets_dir / "keys.pepper"
        if not path.exists():
            write_secret_once(path, secrets.token_hex(32))
        pepper, place = path.read_text().strip(), str(path)
    if len(pepper) < PEPPER_CHARACTERS_MIN:
        raise InvalidInput(
            f"The pepper in {place} has fewer than {PEPPER_CHARACTERS_MIN} characters.",
            remedy="Put the one back that the keys were made with.",
            code="pepper_invalid",
        )
    return pepper.encode()


def session_secret(settings: Settings) -> str:
    """Return the secret that signs browser sessions, made at the first call."""
    path = settings.secrets_dir / "session.key"
    if not path.exists():
        write_secret(path, secrets.token_hex(32))
    return path.read_text().strip()


async def ensure_platform_team(tenants: Tenants) -> None:
    """Make the administrators' own team at the first start; what they ask without naming a team is charged to it. Idempotent."""
    with contextlib.suppress(Conflict):
        await tenants.create(PLATFORM, quota_slots=0, budget=PLATFORM_BUDGET)


async def ensure_admin_key(settings: Settings, database: Database) -> str | None:
    """Make the administrators' team and, at the first start, a key of theirs; return it, to be shown once; None when it was made before.

    The key lies in `secrets/admin.key`, readable by its owner only. If the file is gone a new key is made: whoever can write
    the file can use the database as well.
    """
    tenants = Tenants(database, key_pepper(settings))
    await ensure_platform_team(tenants)
    path = settings.secrets_dir / "admin.key"
    if path.exists():
        return None
    _, key = await tenants.issue_key(None, "admin", Role.ADMIN)
    write_secret(path, key)
    return key
