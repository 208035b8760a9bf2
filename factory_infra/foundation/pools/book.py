"""The pools of an installation, as its file names them; without a file there is one: this host."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import JsonValue, ValidationError

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.file_locks import hold
from factory_infra.foundation.pools.spec import PoolFile, PoolSpec

HEAD = """# The pools of this installation: `lineshaft pools add|check|list|remove` keep it. The first one is the default.
# No secret stands here, only where one lies.
"""
Stamp = tuple[int, int, int]


class PoolBook:
    """Reads the file whenever it has changed, so that every process knows a pool as soon as it is added.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[Stamp | None, PoolFile] | None = None

    def all(self) -> tuple[PoolSpec, ...]:
        """Every pool, the default one first. Raises InvalidInput that names the file where it cannot be read."""
        return self._file().pools

    def default(self) -> PoolSpec:
        """The first one."""
        return self.all()[0]

    def named(self, name: str = "") -> PoolSpec:
        """Return a pool, or the default one where no name is given. Raises NotFound `pool_unknown` that lists the names."""
        if not name:
            return self.default()
        for pool in self.all():
            if pool.name == name:
                return pool
        names = ", ".join(pool.name for pool in self.all())
        remedy = f"Pools: {names}. Add one with 'lineshaft pools add'."
        raise NotFound(f"There is no pool '{name[:40]}'.", code="pool_unknown", remedy=remedy)

    def add(self, spec: PoolSpec) -> None:
        """Add a pool. Raises Conflict where one of this name is there."""
        if any(pool.name == spec.name for pool in self.all()):
            raise Conflict(f"There is a pool '{spec.name}' already.", remedy="Remove it first, or choose another name.", code="pool_taken")
        self._change(lambda pools: (*pools, spec))

    def remove(self, name: str) -> PoolSpec:
        """Take a pool out of the file; what runs there goes on, and is not seen any more. Raises NotFound, or Conflict for the last one."""
        gone = self.named(name)
        if len(self.all()) == 1:
            raise Conflict(f"'{name}' is the only pool.", remedy="Add another one first.", code="pool_last")
        self._change(lambda pools: tuple(pool for pool in pools if pool.name != name))
        return gone

    def _file(self) -> PoolFile:
        stamp = stamp_of(self._path)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, self._load() if stamp else PoolFile())
        return self._read[1]

    def _load(self) -> PoolFile:
        try:
            found = PoolFile.model_validate(yaml.safe_load(self._path.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
            raise InvalidInput(f"{self._path.name}: {told(error)}", remedy="Correct what is named.", code="pools_invalid") from error
        return found

    def _change(self, change: Callable[[tuple[PoolSpec, ...]], tuple[PoolSpec, ...]]) -> None:
        """Write the file whole or not at all, one writer at a time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with hold(self._path.with_suffix(".lock")):
            try:
                made = PoolFile(pools=change(self._file().pools))
            except ValidationError as error:
                reason = f"The pools cannot be so: {told(error)}"
                raise InvalidInput(reason, remedy="Correct what is named.", code="pools_invalid") from error
            dumped = {"pools": [written(spec) for spec in made.pools]}
            partial = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}.partial")
            with partial.open("w", encoding="utf-8") as file:
                file.write(HEAD + yaml.safe_dump(dumped, sort_keys=False, allow_unicode=True, width=140))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)


def written(spec: PoolSpec) -> dict[str, JsonValue]:
    """A pool as the file shows it: what it is, and what differs from the defaults."""
    return {"name": spec.name, "provider": spec.provider, **spec.model_dump(mode="json", exclude_defaults=True)}


def stamp_of(path: Path) -> Stamp | None:
    """What tells one writing of a file from another; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def told(error: Exception) -> str:
    """What is wrong with a file, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error).replace("\n", " ")[:300]
