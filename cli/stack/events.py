"""What the stack tells while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

EventKind = Literal["note", "starting", "healthy", "done", "unhealthy", "restarting", "stopping", "stopped", "failed", "ready"]


@dataclass(frozen=True)
class Event:
    """One thing that happened to a part, or to the stack where `part` is empty."""

    part: str
    kind: EventKind
    text: str = ""
    seconds: float | None = None


OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
