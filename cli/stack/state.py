"""`stack.json`: what runs now, for `status`, `down` and every other command."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, Field

from factory_infra.file_locks import is_held
from factory_infra.settings import Settings

PartCondition = Literal["waiting", "starting", "healthy", "unhealthy", "restarting", "done", "stopping", "stopped", "failed", "external"]
Phase = Literal["starting", "ready", "stopping", "failed"]


class PartState(BaseModel):
    """A part as the supervisor sees it now."""

    name: str
    state: PartCondition = "waiting"
    pid: int | None = None
    process_created: float | None = Field(default=None, description="With the pid it names one process for ever.")
    url: str = ""
    restarts: int = 0
    ready_seconds: float | None = None
    log: str = ""
    error: str = ""


class Failure(BaseModel):
    """Why the last start did not succeed."""

    code: str
    reason: str
    remedy: str = ""


class StackState(BaseModel):
    """The stack of one home."""

    pid: int
    process_created: float
    started_at: datetime
    phase: Phase = "starting"
    ready_seconds: float | None = None
    console_url: str = ""
    links: dict[str, str] = {}
    parts: list[PartState] = []
    failure: Failure | None = None


def state_path(settings: Settings) -> Path:
    """Where the state of a home lies."""
    return settings.run_dir / "stack.json"


def lock_path(settings: Settings) -> Path:
    """Where the lock of a home lies."""
    return settings.run_dir / "stack.lock"


def new_state() -> StackState:
    """The state of a stack whose supervisor is this process."""
    return StackState(pid=os.getpid(), process_created=psutil.Process().create_time(), started_at=datetime.now(UTC))


def write_state(settings: Settings, state: StackState) -> None:
    """Replace the file as a whole. Raises OSError."""
    path = state_path(settings)
    partial = path.with_suffix(".partial")
    partial.write_text(state.model_dump_json(indent=1))
    partial.replace(path)


def read_state(settings: Settings) -> StackState | None:
    """Return what the file says, whether or not that stack still runs; None where there is none or it is torn."""
    try:
        return StackState.model_validate_json(state_path(settings).read_text())
    except (FileNotFoundError, ValueError):
        return None


def running_state(settings: Settings) -> StackState | None:
    """Return the state of the stack that runs now, or None."""
    return read_state(settings) if is_held(lock_path(settings)) else None


def process_of(pid: int | None, created: float | None) -> psutil.Process | None:
    """Return the process that the state names if it still lives; never another one that was given its number."""
    if pid is None or created is None:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None
