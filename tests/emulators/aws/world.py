"""What the emulated account has beside moto's own state: how much capacity, how fast machines come and go, what was asked before."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
FROM_MOTO = object()
"""A handler returns it to leave the call to moto."""


@dataclass
class Request:
    """One call as the server reads it."""

    service: str
    action: str
    region: str
    account: str
    method: str
    path: str
    query: str
    body: bytes
    temporary: bool = False
    """Whether it comes with the credentials of an assumed role, which may be another account's."""

    def json(self) -> Json:
        """The body, where it is JSON."""
        read: Json = json.loads(self.body or b"{}")
        return read


@dataclass
class Answer:
    """What a handler answers."""

    body: Json | bytes | str = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""
    """The error's code, where it is one; `body` is then its message."""


Handler = Callable[["World", Request], Answer | object]
_PRESENT = threading.local()


def present() -> "World":
    """The world whose call moto answers in this thread: for what is plugged into moto's own classes."""
    found: World = _PRESENT.world
    return found


@contextmanager
def answering(world: "World") -> Iterator[None]:
    """Make it the present one."""
    before, _PRESENT.world = getattr(_PRESENT, "world", None), world
    try:
        yield
    finally:
        _PRESENT.world = before


@dataclass
class World:
    """One fresh account. Times are in seconds."""

    account: str
    boot_seconds: float = 0.0
    end_seconds: float = 0.0
    seen_after_seconds: float = 0.0
    """For so long a describe does not show what was just launched."""
    honours_tokens: bool = True
    capacity: dict[tuple[str, str], int] = field(default_factory=dict)
    """Free machines by (type, zone), or by (type, "") for all zones together; what is not named is without end."""
    prices: dict[str, float] = field(default_factory=dict)
    """On demand, USD an hour; spot is 0.4 of it."""
    tokens: dict[tuple[str, ...], tuple[str, Any]] = field(default_factory=dict)
    fleets: dict[str, Json] = field(default_factory=dict)
    groups: dict[str, Json] = field(default_factory=dict)
    reservations: dict[str, Json] = field(default_factory=dict)
    spot_requests: dict[str, Json] = field(default_factory=dict)
    events: dict[str, list[Json]] = field(default_factory=dict)
    """Scheduled events by instance."""
    handlers: dict[tuple[str, str], Handler] = field(default_factory=dict)
    """What is answered in moto's place, by (service, action)."""
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Each call as (service, action, what it was about: client token, ids or name)."""
    bodies: dict[tuple[str, str], str] = field(default_factory=dict)
    """The last body of each call."""
    extra: dict[str, Any] = field(default_factory=dict)
    """State of other services' plug-ins, each under its own name."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    broken: list[str] = field(default_factory=list)
    """Faults of the emulator itself."""

    def free(self, kind: str, zone: str) -> int | None:
        """How many machines of a type are free in a zone; None is without end."""
        return self.capacity.get((kind, zone), self.capacity.get((kind, "")))

    def take(self, kind: str, zone: str, count: int) -> None:
        """Take machines; a negative count gives them back."""
        for place in ((kind, zone), (kind, "")):
            if place in self.capacity:
                self.capacity[place] -= count
                return

    def once(self, key: tuple[str, ...], signature: str, make: Callable[[], Any], mismatch: Callable[[], Exception]) -> Any:
        """Do what was not done under this token yet, else return what came of it; another wording under it is refused."""
        if not self.honours_tokens or not key[-1]:
            return make()
        if key not in self.tokens:
            self.tokens[key] = (signature, make())
        known, answer = self.tokens[key]
        if known != signature:
            raise mismatch()
        return answer

    def now(self) -> float:
        """The moment, for ages."""
        return time.monotonic()

    def changes(self) -> Counter[tuple[str, str]]:
        """Calls that change something, by (action, what they were about)."""
        reading = ("Describe", "List", "Get")
        return Counter((action, about) for _, action, about in self.told if not action.startswith(reading))
