"""Ends what an earlier supervisor left behind when it died without a word."""

import time

from cli.stack.events import Event, OnEvent
from cli.stack.process import kill_group
from cli.stack.state import StackState, process_of

_GRACE_SECONDS = 5.0


def end_leftovers(earlier: StackState | None, emit: OnEvent) -> None:
    """Wait for the parts of a dead stack to end, as the kernel told them to; then end those that still run."""
    if earlier is None:
        return
    deadline = time.monotonic() + _GRACE_SECONDS
    for part in earlier.parts:
        while (left := process_of(part.pid, part.process_created)) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if left is not None:
            emit(Event(part.name, "note", f"ended process {left.pid}, left over from an earlier run"))
            kill_group(left.pid)
