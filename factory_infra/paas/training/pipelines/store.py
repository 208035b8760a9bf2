"""Where steps' files lie: each under the SHA-256 of its bytes, apart for each team, and checked whenever it is read."""

import asyncio
import hashlib
import re
import shutil
from pathlib import Path

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.paas.training.data.versions import write_whole

DIGEST = re.compile(r"[0-9a-f]{64}")


class Store:
    """Keeps bytes by content. Jobs never see the folder: what they read is handed to them.

    Args:
        folder: below it lies one folder for each team.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, tenant: str, data: bytes) -> str:
        """Keep bytes and return their digest; what is there already is not written again, unless it was changed."""
        return await asyncio.to_thread(self._put, tenant, data)

    async def get(self, tenant: str, digest: str) -> bytes:
        """Return bytes that were kept. Raises Conflict `artefact_changed` where they are gone, or are others."""
        return await asyncio.to_thread(self._get, tenant, digest)

    async def whole(self, tenant: str, digests: list[str]) -> bool:
        """Whether all of these are there, byte for byte."""
        return await asyncio.to_thread(lambda: all(self._same(self._path(tenant, digest), digest) for digest in digests))

    async def forget(self, tenant: str) -> None:
        """Remove all that is a team's."""
        await asyncio.to_thread(shutil.rmtree, self._folder / tenant, ignore_errors=True)

    def _path(self, tenant: str, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise InvalidInput("A file is named by 64 small hexadecimal digits.", remedy="Read the step to see its files.")
        return self._folder / tenant / digest[:2] / digest

    def _put(self, tenant: str, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(tenant, digest)
        if not self._same(path, digest):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, data)
        return digest

    def _get(self, tenant: str, digest: str) -> bytes:
        path = self._path(tenant, digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise lost(digest, "is gone") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise lost(digest, "holds other bytes")
        return data

    def _same(self, path: Path, digest: str) -> bool:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except OSError:
            return False


def lost(digest: str, what: str) -> Conflict:
    """Say that a file is not what it was."""
    return Conflict(
        f"The file {digest[:16]}… of a step {what}.",
        remedy="Run the pipeline again: what is not whole is made anew.",
        code="artefact_changed",
    )
