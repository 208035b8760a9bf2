"""Keeps one part running: starts it, waits for its health, starts it again when it dies."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cli.stack.events import Event, OnEvent
from cli.stack.home import storage_failure
from cli.stack.part import Part
from cli.stack.process import PartProcess, last_lines, rotate
from cli.stack.state import PartCondition, PartState
from factory_infra.errors import LineshaftError, Unavailable


@dataclass(frozen=True)
class Pace:
    """How patient a keeper is; tests make it hurry."""

    back_off_seconds: float = 0.5
    back_off_seconds_max: float = 30.0
    back_off_reset_seconds: float = 60.0
    poll_seconds: float = 0.1
    watch_seconds: float = 10.0
    first_attempts: int = 4

    def pause(self, failures: int) -> float:
        """Seconds before the start that follows so many failures in a row."""
        return float(min(self.back_off_seconds * 2 ** (failures - 1), self.back_off_seconds_max))


class Keeper:
    """Owns the one process of a part and tells its state to the listener at every change."""

    def __init__(self, part: Part, log: Path, *, on_event: OnEvent, on_change: Callable[[], None], pace: Pace) -> None:
        self.part = part
        self.state = PartState(name=part.name, url=part.url, log=str(log))
        self._log = log
        self._emit = on_event
        self._changed = on_change
        self._pace = pace
        self._process: PartProcess | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring the part to health and keep it there. Raises LineshaftError with the end of its log when that fails."""
        started = time.monotonic()
        self._set("starting")
        self._emit(Event(self.part.name, "starting"))
        try:
            rotate(self._log)
            await self._first_start()
        except OSError as error:
            failure = storage_failure(self._log, error)
            self._set("failed", error=failure.reason)
            raise failure from error
        except LineshaftError as error:
            self._set("failed", error=error.reason)
            raise
        seconds = time.monotonic() - started
        self.state.ready_seconds = round(seconds, 2)
        self._set("done" if self.part.once else "healthy")
        self._emit(Event(self.part.name, "done" if self.part.once else "healthy", self.part.url, seconds))
        if not self.part.once:
            self._watch = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def stop(self) -> None:
        """End the part and all of its processes. Idempotent."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if self._process is not None:
            self._set("stopping")
            self._emit(Event(self.part.name, "stopping"))
            await self._process.stop()
            self._process = None
            self._emit(Event(self.part.name, "stopped"))
        if self.state.state not in {"done", "failed", "waiting"}:
            self._set("stopped")
        if self.part.after_stop is not None:
            await asyncio.to_thread(self.part.after_stop)

    async def _first_start(self) -> None:
        attempts = 1 if self.part.once else self._pace.first_attempts
        attempt = 1
        while (code := await self._start_once()) is not None and attempt < attempts:
            await self._back_off(attempt, code)
            attempt += 1
        if code is None:
            return
        what = "could not be done" if self.part.once else "ended before it was ready"
        raise self._failure("part_dies", f"Part {self.part.name} {what} ({_ending(code)}).")

    async def _start_once(self) -> int | None:
        """Start the process and return None once it is healthy (a step: done), or its exit code when it died."""
        if self.part.before is not None:
            await self.part.before()
        self._process = await PartProcess.start(self.part, self._log)
        self.state.pid, self.state.process_created = self._process.pid, self._process.created
        self._changed()
        deadline = time.monotonic() + self.part.healthy_seconds_max
        while time.monotonic() < deadline:
            code = await self._process.wait(self._pace.poll_seconds)
            if code is not None:
                self._gone()
                return None if self.part.once and code == 0 else code
            if await self._is_healthy():
                return None
        await self._process.stop()
        self._gone()
        raise self._failure("part_not_healthy", f"Part {self.part.name} did not answer within {self.part.healthy_seconds_max:.0f} s.")

    async def _is_healthy(self) -> bool:
        with suppress(OSError):
            return self._process is not None and await self.part.health(self._process.pid)
        return False

    async def _keep(self) -> None:
        failures = 0
        while True:
            healthy_since = time.monotonic()
            code = await self._until_it_dies()
            if time.monotonic() - healthy_since > self._pace.back_off_reset_seconds:
                failures = 0
            failures = await self._start_again(failures, code)

    async def _until_it_dies(self) -> int:
        assert self._process is not None  # noqa: S101 - only entered with a started process
        while True:
            code = await self._process.wait(self._pace.watch_seconds)
            if code is not None:
                self._gone()
                return code
            healthy = await self._is_healthy()
            if healthy != (self.state.state == "healthy"):
                self._set("healthy" if healthy else "unhealthy")
                self._emit(Event(self.part.name, "healthy" if healthy else "unhealthy", "answers again" if healthy else "does not answer"))

    async def _start_again(self, failures: int, code: int) -> int:
        """Start with growing pauses until the part is healthy; return the failures in a row so far."""
        ending: int | str = code
        while True:
            failures += 1
            self.state.restarts += 1
            await self._back_off(failures, ending)
            started = time.monotonic()
            try:
                died = await self._start_once()
            except (LineshaftError, OSError) as error:
                ending = str(error)
                continue
            if died is None:
                self._set("healthy")
                self._emit(Event(self.part.name, "healthy", "up again", time.monotonic() - started))
                return failures
            ending = died

    async def _back_off(self, failures: int, ending: int | str) -> None:
        pause = self._pace.pause(failures)
        reason = _ending(ending) if isinstance(ending, int) else ending
        self._set("restarting", error=reason)
        self._emit(Event(self.part.name, "restarting", f"{reason}; starting it again in {pause:.1f} s"))
        await asyncio.sleep(pause)

    def _gone(self) -> None:
        if self._process is not None:
            self._process.kill_group()
        self._process = None
        self.state.pid = self.state.process_created = None

    def _set(self, state: PartCondition, error: str = "") -> None:
        self.state.state = state
        self.state.error = error
        self._changed()

    def _failure(self, code: str, reason: str) -> LineshaftError:
        lines = "".join(f"\n    {line}" for line in last_lines(self._log))
        remedy = self.part.remedy or "Run `lineshaft doctor`, mend what it names, and start again."
        return Unavailable(f"{reason} The end of {self._log}:{lines or ' (empty)'}", remedy=remedy, code=code)


def _ending(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
