"""Answers that were given before, to exactly the same request of the same team: in memory, bounded, and gone with the process."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.routing.config import CacheBounds, Target

ENTRY_OVERHEAD_BYTES = 512
"""What an entry takes besides its bytes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer: one body, or the chunks of a stream in their order, as JSON."""

    pieces: tuple[bytes, ...]
    usage: Usage
    target: Target
    """Who gave it."""

    @property
    def size(self) -> int:
        """What it takes of the memory, in bytes."""
        return sum(map(len, self.pieces)) + ENTRY_OVERHEAD_BYTES


@dataclass(slots=True)
class _Entry:
    tenant: str
    kept: Kept
    until: float


def key_of(tenant: str, model: str, version: str, sent: JsonObject) -> bytes:
    """The whole of what an answer depends on, in a digest: the team, the virtual model, its targets and every field of the request."""
    return hashlib.sha256(orjson.dumps([tenant, model, version, sent], option=orjson.OPT_SORT_KEYS)).digest()


class Cache:
    """Keeps answers by their digest; the one that was not asked for the longest goes first. No team can push out all of another's."""

    def __init__(self, bounds: CacheBounds, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_tenant: dict[str, OrderedDict[bytes, None]] = {}
        self._tenant_bytes: dict[str, int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._entries)

    def get(self, key: bytes) -> Kept | None:
        """The answer to a request, if it is kept and not too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry.until:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        self._by_tenant[entry.tenant].move_to_end(key)
        return entry.kept

    def put(self, key: bytes, tenant: str, kept: Kept, seconds: float) -> None:
        """Keep an answer for some seconds; one that is larger than a team's share is not kept."""
        share = int(self._bounds.bytes_max * self._bounds.tenant_share)
        if kept.size > share:
            return
        self._drop(key)
        while self._tenant_bytes.get(tenant, 0) + kept.size > share:
            self._drop(next(iter(self._by_tenant[tenant])))
        while self.bytes + kept.size > self._bounds.bytes_max:
            self._drop(next(iter(self._entries)))
        self._entries[key] = _Entry(tenant, kept, self._clock() + seconds)
        self._by_tenant.setdefault(tenant, OrderedDict())[key] = None
        self._tenant_bytes[tenant] = self._tenant_bytes.get(tenant, 0) + kept.size
        self.bytes += kept.size

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.kept.size
        left = self._tenant_bytes[entry.tenant] - entry.kept.size
        del self._by_tenant[entry.tenant][key]
        if self._by_tenant[entry.tenant]:
            self._tenant_bytes[entry.tenant] = left
        else:
            del self._by_tenant[entry.tenant], self._tenant_bytes[entry.tenant]
