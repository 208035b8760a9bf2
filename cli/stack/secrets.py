"""Secrets of the local stack: one file each, readable by its owner only."""

import os
import secrets
from pathlib import Path


def own_secret(folder: Path, name: str) -> str:
    """Return the secret of this name, made at the first call. The folder is closed to others. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    if not path.exists():
        _write(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def _write(path: Path, secret: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    partial.replace(path)
