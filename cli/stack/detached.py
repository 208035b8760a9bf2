"""Starts the stack in the background and waits until it is ready; stops one that runs somewhere."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cli.stack.home import logs_dir, prepare_home, storage_failure
from cli.stack.parts import ROOT
from cli.stack.process import rotate
from cli.stack.settings import environment_full
from cli.stack.state import StackState, lock_path, process_of, read_state, running_state
from factory_infra.errors import LineshaftError, Unavailable
from factory_infra.file_locks import is_held
from factory_infra.settings import Settings

_READY_SECONDS_MAX = 300.0
_STOP_SECONDS_MAX = 15.0
_POLL_SECONDS = 0.1


def start_detached(settings: Settings, only: list[str]) -> StackState:
    """Start a supervisor in a session of its own and return its state once it is ready. Raises what its start raised."""
    prepare_home(settings)
    log = logs_dir(settings) / "supervisor.log"
    command = [sys.executable, "-m", "cli", "--home", str(settings.home), "up", *(["--only", ",".join(only)] if only else [])]
    try:
        rotate(log)
        with log.open("ab") as output:
            begin = output.tell()
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise storage_failure(log, error) from error
    try:
        return _await_ready(settings, child, log, begin)
    except KeyboardInterrupt:
        child.terminate()
        raise


def _environment(settings: Settings) -> dict[str, str]:
    """Ours; a gateway's file that was named from here is named so that it is found from elsewhere."""
    named = {"LINESHAFT_GATEWAY": str(settings.gateway.absolute())} if settings.gateway else {}
    return {**environment_full(), **named}


def _await_ready(settings: Settings, child: subprocess.Popen[bytes], log: Path, begin: int) -> StackState:
    deadline = time.monotonic() + _READY_SECONDS_MAX
    while time.monotonic() < deadline:
        state = read_state(settings)
        if state is not None and state.pid == child.pid and state.phase == "ready":
            return state
        if child.poll() is not None:
            raise _why_it_ended(settings, child.pid, log.read_bytes()[begin:].decode(errors="replace"))
        time.sleep(_POLL_SECONDS)
    child.terminate()
    raise Unavailable(f"The stack was not ready within {_READY_SECONDS_MAX:.0f} s.", remedy=f"Read {log}.", code="stack_slow")


def stop_running(settings: Settings) -> StackState | None:
    """Stop the stack of this home, wherever it was started, and return what it was; None when none runs. Raises Unavailable."""
    deadline = time.monotonic() + _STOP_SECONDS_MAX
    state = running_state(settings)
    told: int | None = None
    while is_held(lock_path(settings)) or (state is not None and _lives(state)):
        state = running_state(settings) or state
        if state is not None and told != state.pid and _lives(state):
            told = state.pid
            with suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            return _force(state)
        time.sleep(_POLL_SECONDS)
    return state


def _lives(state: StackState) -> bool:
    return process_of(state.pid, state.process_created) is not None


def _force(state: StackState | None) -> StackState:
    if state is None or not _lives(state):
        raise Unavailable(
            "The lock is held by a process that does not say who it is.", remedy="Try again in a moment.", code="stack_unknown"
        )
    os.kill(state.pid, signal.SIGKILL)  # The kernel ends its parts with it.
    return state


def _why_it_ended(settings: Settings, pid: int, said: str) -> LineshaftError:
    state = read_state(settings)
    if state is not None and state.pid == pid and state.failure is not None:
        return Unavailable(state.failure.reason, remedy=state.failure.remedy, code=state.failure.code)
    if state is not None and state.pid != pid and is_held(lock_path(settings)):
        since = f"{state.started_at:%Y-%m-%d %H:%M:%S} UTC"
        return Unavailable(
            f"A stack already runs in {settings.home}: process {state.pid}, since {since}, console {state.console_url}.",
            remedy="Use it, stop it with `lineshaft down`, or give this one another folder with --home.",
            code="stack_running",
        )
    lines = "".join(f"\n    {line}" for line in said.splitlines()[-8:])
    return Unavailable(f"The stack ended while it started:{lines}", remedy="Run `lineshaft doctor`.", code="stack_ended")
