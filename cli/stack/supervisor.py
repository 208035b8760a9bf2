"""The stack: takes the lock, starts the parts in order of need, keeps them running, stops them in reverse."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.stack.events import Event, OnEvent, ignore
from cli.stack.home import logs_dir, prepare_home, storage_failure
from cli.stack.keeper import Keeper, Pace
from cli.stack.leftovers import end_leftovers
from cli.stack.lock import StackLock
from cli.stack.part import Part
from cli.stack.state import Failure, PartState, StackState, lock_path, new_state, read_state, state_path, write_state
from factory_infra.errors import Conflict, LineshaftError
from factory_infra.settings import Settings


@dataclass(frozen=True)
class Assembly:
    """What a stack consists of, decided once the lock is held and the ports are chosen."""

    parts: list[Part]
    console_url: str = ""
    links: dict[str, str] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)
    """Parts that the user runs elsewhere: name → address without credentials."""


class Stack:
    """All parts of one home. Start it in the main thread: the kernel ties the parts' lives to the thread that started them."""

    def __init__(
        self, settings: Settings, assemble: Callable[[OnEvent], Assembly], *, on_event: OnEvent = ignore, pace: Pace | None = None
    ) -> None:
        self._settings = settings
        self._assemble = assemble
        self._emit = on_event
        self._pace = pace or Pace()
        self._lock = StackLock(lock_path(settings))
        self._keepers: dict[str, Keeper] = {}
        self._stop_asked = asyncio.Event()
        self.state: StackState = new_state()

    @property
    def running(self) -> bool:
        """Whether this stack holds its home: from `start` until `stop`, or until a start that failed has cleaned up."""
        return self._lock.held

    async def start(self) -> None:
        """Bring every part to health. Raises Conflict when a stack runs here already, else LineshaftError after stopping all again."""
        prepare_home(self._settings)
        if not await asyncio.to_thread(self._lock.take):
            raise self._running_already()
        started = time.monotonic()
        try:
            await asyncio.to_thread(end_leftovers, read_state(self._settings), self._emit)
            self._build(self._assemble(self._emit))
            await self._start_unless_asked_to_stop()
        except OSError as error:
            raise await self._give_up(storage_failure(self._settings.home, error)) from error
        except LineshaftError as error:
            raise await self._give_up(error) from error
        except BaseException:
            await self.stop()
            raise
        self.state.phase = "ready"
        self.state.ready_seconds = round(time.monotonic() - started, 2)
        self._save()
        self._emit(Event("", "ready", self.state.console_url, self.state.ready_seconds))

    async def wait(self) -> None:
        """Return when the stack was asked to stop."""
        await self._stop_asked.wait()

    def ask_to_stop(self) -> None:
        """Make `wait` return, and a start under way give up. Safe to call from a signal handler of the loop."""
        self._stop_asked.set()

    def handle_signals(self) -> None:
        """Ask to stop at Ctrl-C and at SIGTERM, instead of dying of them."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.ask_to_stop)

    async def stop(self) -> None:
        """Stop all parts, each after those that need it, and free the lock. Idempotent; takes at most about 10 s."""
        if not self.running:
            return
        await self._stop_parts()
        with contextlib.suppress(OSError):
            state_path(self._settings).unlink(missing_ok=True)
        self._lock.release()

    def _build(self, assembly: Assembly) -> None:
        folder = logs_dir(self._settings)
        for part in assembly.parts:
            log = folder / f"{part.name}.log"
            self._keepers[part.name] = Keeper(part, log, on_event=self._emit, on_change=self._save, pace=self._pace)
        outside = [PartState(name=name, state="external", url=url) for name, url in assembly.external.items()]
        self.state.parts = outside + [keeper.state for keeper in self._keepers.values()]
        self.state.console_url = assembly.console_url
        self.state.links = assembly.links
        write_state(self._settings, self.state)

    async def _start_unless_asked_to_stop(self) -> None:
        starting = asyncio.create_task(self._start_all())
        asked = asyncio.create_task(self._stop_asked.wait())
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise Conflict("The stack was asked to stop before it was ready.", code="stack_stopped")
            await starting
        finally:
            for task in (starting, asked):
                task.cancel()
            await asyncio.gather(starting, asked, return_exceptions=True)

    async def _start_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                tasks: dict[str, asyncio.Task[None]] = {}
                for name, keeper in self._keepers.items():
                    needs = [tasks[need] for need in keeper.part.needs if need in tasks]
                    tasks[name] = group.create_task(_start_after(needs, keeper), name=f"start {name}")
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _stop_parts(self) -> None:
        self.state.phase = "stopping"
        self._save()
        tasks: dict[str, asyncio.Task[None]] = {}
        for name, keeper in reversed(self._keepers.items()):
            users = [tasks[other.part.name] for other in self._keepers.values() if name in other.part.needs]
            tasks[name] = asyncio.create_task(_stop_after(users, keeper), name=f"stop {name}")
        outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for name, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._emit(Event(name, "failed", f"while stopping: {outcome}"))

    async def _give_up(self, error: LineshaftError) -> LineshaftError:
        await self._stop_parts()
        self.state.phase = "failed"
        self.state.failure = Failure(code=error.error_code, reason=error.reason, remedy=error.remedy)
        self._save()
        self._lock.release()
        return error

    def _running_already(self) -> Conflict:
        other = read_state(self._settings)
        about = f"process {other.pid}, since {other.started_at:%Y-%m-%d %H:%M:%S} UTC, console {other.console_url}" if other else "starting"
        return Conflict(
            f"A stack already runs in {self._settings.home}: {about}.",
            remedy="Use it, stop it with `lineshaft down`, or give this one another folder with --home.",
            code="stack_running",
        )

    def _save(self) -> None:
        try:
            write_state(self._settings, self.state)
        except OSError as error:  # The parts still run: say it and go on.
            self._emit(Event("", "note", f"{storage_failure(state_path(self._settings), error)}"))


async def _start_after(needs: list[asyncio.Task[None]], keeper: Keeper) -> None:
    for need in needs:
        await asyncio.shield(need)
    await keeper.start()


async def _stop_after(users: list[asyncio.Task[None]], keeper: Keeper) -> None:
    await asyncio.gather(*users, return_exceptions=True)
    await keeper.stop()
