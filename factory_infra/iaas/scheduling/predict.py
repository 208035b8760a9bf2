"""When those that wait should start: the same scheduler, run on in virtual time on expected run times."""

from collections.abc import Collection
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from factory_infra.iaas.scheduling.models import Running
from factory_infra.iaas.scheduling.queueing import Scheduler

HORIZON_SECONDS: Final = 30 * 86_400.0
PASSES_MAX: Final = 20_000
"""After so many passes what has not started is said not to be known."""
SMALLEST_STEP_SECONDS: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a workload should start."""

    starts_at: float
    starts_by: tuple[float, float]
    """With a probability of about 80 % it starts between these."""
    pool: str
    members: int
    ends_at: float
    after: str = ""
    """The workload whose end lets it start; empty where it starts at once or nothing in particular ended."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A start in virtual time."""

    at: float
    running: Running
    after: str


def starts(scheduler: Scheduler, names: Collection[str], now: float, *, horizon_seconds: float = HORIZON_SECONDS) -> dict[str, Forecast]:
    """Predict the starts of some of those that wait; who is not in the result does not start within the horizon, as far as is known.

    The interval comes from how far past forecasts were from what came (`Scheduler.foretold`, `Scheduler.learn`): they know of run times
    that are not as estimated, and of what arrives later and goes before.
    """
    expected, waits = forward(scheduler, names, now, horizon_seconds=horizon_seconds), scheduler.state.waits
    found: dict[str, Forecast] = {}
    for name, begun in expected.items():
        low, high = waits.interval(begun.at - now) if begun.at > now else (0.0, 0.0)
        found[name] = _forecast(begun, (now + low, now + high))
    return found


def _forecast(begun: Begun, between: tuple[float, float]) -> Forecast:
    running = begun.running
    return Forecast(begun.at, between, running.pool, len(running.seats), running.ends_at, begun.after)


def forward(scheduler: Scheduler, names: Collection[str], now: float, *, horizon_seconds: float = HORIZON_SECONDS) -> dict[str, Begun]:
    """Run a copy on until all of these have started, or nothing more would happen, or the horizon is reached."""
    world = _World(scheduler.copy())
    wanted = {name for name in names if name in world.core.state.entries and not world.core.state.hopeless(world.core.state.entries[name])}
    return world.run(wanted, now, now + horizon_seconds)


def expected_end(running: Running, now: float) -> float:
    """When one should end by its estimate; one that takes longer already gets a tenth of what it has run."""
    return running.ends_at if running.ends_at > now else now + 1.0 + 0.1 * (now - running.started_at)


class _World:
    """A copy of a scheduler whose workloads end when they should."""

    def __init__(self, core: Scheduler) -> None:
        self.core = core
        self._ends: list[tuple[float, str, float]] = []

    def run(self, wanted: Collection[str], now: float, until: float) -> dict[str, Begun]:
        """Go from event to event."""
        found: dict[str, Begun] = {}
        left, ended = set(wanted), ""
        self._ends = [(expected_end(held.running, now), name, held.running.started_at) for name, held in self.core.state.held.items()]
        heapify(self._ends)
        for _ in range(PASSES_MAX):
            if not left:
                break
            for name in self._decide(now):
                if name in left:
                    left.remove(name)
                    found[name] = Begun(now, self.core.state.held[name].running, ended)
            at = self._next(now)
            if not left or at is None or at > until:
                break
            now = at
            ended = self._end(now)
        return found

    def _decide(self, now: float) -> list[str]:
        decision = self.core.decide(now)
        begun = [start.workload for start in decision.starts]
        for name in (*begun, *(name for name, _ in (*decision.shrunk, *decision.grown))):
            running = self.core.state.held[name].running
            heappush(self._ends, (max(expected_end(running, now), now + SMALLEST_STEP_SECONDS), name, running.started_at))
        return begun

    def _valid(self) -> bool:
        """Whether the next end is of one that still runs, and not of an attempt that was displaced or was longer then."""
        at, name, began = self._ends[0]
        held = self.core.state.held.get(name)
        return held is not None and held.running.started_at == began and (held.since == began or at >= held.running.ends_at)

    def _next(self, now: float) -> float | None:
        while self._ends and not self._valid():
            heappop(self._ends)
        alarm = self.core.waking.alarms[0][0] if self.core.waking.alarms else None
        times = [each for each in (self._ends[0][0] if self._ends else None, alarm) if each is not None]
        return max(min(times), now) if times else None

    def _end(self, now: float) -> str:
        """End all whose time has come, and return the largest of them."""
        ended: list[tuple[int, str]] = []
        while self._ends and self._ends[0][0] <= now:
            if self._valid():
                name = self._ends[0][1]
                ended.append((self.core.state.held[name].running.workload.milli, name))
                self.core.finish(name, now)
            heappop(self._ends)
        return max(ended)[1] if ended else ""
