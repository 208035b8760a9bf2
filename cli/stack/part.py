"""The specification of a part: what to run, what it needs, and how to know that it works."""

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SystemUser:
    """An account of this machine that a part runs as instead of root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Part:
    """One process of the stack. No secret may stand in `command`, `url` or `remedy`: they are shown."""

    name: str
    command: list[str]
    health: Callable[[int], Awaitable[bool]]
    """Whether the part answers; takes its process id. False and OSError both mean: not yet."""
    environment: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    before: Callable[[], Awaitable[None]] | None = None
    """Runs before each start; raises LineshaftError when the part cannot be started."""
    after_stop: Callable[[], None] | None = None
    """Runs once when the stack has stopped the part, in a thread."""
    once: bool = False
    """A step rather than a server: healthy means that it ended with exit code 0."""
    url: str = ""
    user: SystemUser | None = None
    healthy_seconds_max: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_seconds_max: float = 2.0
    death_signal: int = signal.SIGKILL
    """What the kernel sends to the part when the supervisor dies without a word."""
    remedy: str = ""


def closure(parts: list[Part], wanted: list[str]) -> list[Part]:
    """Return the wanted parts with all that they need, in the given order."""
    by_name = {part.name: part for part in parts}
    chosen: set[str] = set()
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name in by_name and name not in chosen:
            chosen.add(name)
            queue.extend(by_name[name].needs)
    return [part for part in parts if part.name in chosen]
