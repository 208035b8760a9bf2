"""What `status` tells: the supervisor's state with each part's present memory."""

from datetime import datetime

import psutil
from pydantic import BaseModel

from cli.stack.state import Failure, PartState, StackState, process_of, read_state, running_state
from factory_infra.settings import Settings


class PartReport(BaseModel):
    """One part now."""

    name: str
    state: str
    healthy: bool
    pid: int | None = None
    url: str = ""
    restarts: int = 0
    memory_bytes: int = 0
    ready_seconds: float | None = None
    log: str = ""
    error: str = ""


class StackReport(BaseModel):
    """The stack now; `memory_bytes` is the sum, shared pages counted once (PSS) where the system tells."""

    running: bool
    home: str
    phase: str = "stopped"
    pid: int | None = None
    started_at: datetime | None = None
    ready_seconds: float | None = None
    console_url: str = ""
    links: dict[str, str] = {}
    parts: list[PartReport] = []
    memory_bytes: int = 0
    failure: Failure | None = None


def report(settings: Settings) -> StackReport:
    """Look at the stack of a home, and at the last failed start where none runs."""
    state = running_state(settings)
    if state is None:
        earlier = read_state(settings)
        return StackReport(running=False, home=str(settings.home), failure=earlier.failure if earlier else None)
    parts = [_supervisor(state), *(_part(part) for part in state.parts)]
    return StackReport(
        running=True,
        home=str(settings.home),
        phase=state.phase,
        pid=state.pid,
        started_at=state.started_at,
        ready_seconds=state.ready_seconds,
        console_url=state.console_url if any(part.name == "api" for part in state.parts) else "",
        links=state.links,
        parts=parts,
        memory_bytes=sum(part.memory_bytes for part in parts),
    )


def _supervisor(state: StackState) -> PartReport:
    process = process_of(state.pid, state.process_created)
    memory = _memory_of(process) if process else 0
    return PartReport(
        name="supervisor", state="healthy" if process else "unknown", healthy=process is not None, pid=state.pid, memory_bytes=memory
    )


def _part(part: PartState) -> PartReport:
    process = process_of(part.pid, part.process_created)
    condition = "gone" if part.state == "healthy" and process is None else part.state
    family = [process, *_children_of(process)] if process else []
    return PartReport(
        name=part.name,
        state=condition,
        healthy=condition in {"healthy", "done", "external"},
        pid=part.pid,
        url=part.url,
        restarts=part.restarts,
        memory_bytes=sum(_memory_of(member) for member in family),
        ready_seconds=part.ready_seconds,
        log=part.log,
        error=part.error,
    )


def _children_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _memory_of(process: psutil.Process) -> int:
    """Proportional share of memory where the kernel tells it, else resident memory; 0 for a process that is gone."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        pass
    except psutil.Error:
        return 0
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
