"""The work of a simulation: what waits, what runs where and how far it is, and what every interruption cost it."""

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace

from factory_infra.iaas.scheduling.models import Seat, Start, Workload
from factory_infra.iaas.twin.arrivals import Arrival

NOTICE_ENOUGH_SECONDS = 60.0
"""With so long a notice, whatever writes checkpoints writes one more before its machine goes."""
ESTIMATE_SECONDS_MIN = 1.0


@dataclass(slots=True)
class Live:
    """One workload from its arrival to its end."""

    arrival: Arrival
    workload: Workload
    """As the scheduler knows it now."""
    done_seconds: float = 0.0
    """Work that is safe, as seconds on all members."""
    starts: int = 0
    version: int = 0
    """Which of its ends is meant: one that was planned before a change is not."""
    running: bool = False
    started_at: float = 0.0
    began_at: float = 0.0
    """Since when it runs with as many members as now."""
    idle_until: float = 0.0
    """Until then it only loads its checkpoint."""
    pool: str = ""
    seats: tuple[Seat, ...] = ()
    members: int = 0
    first_start_at: float | None = None
    ended_at: float | None = None
    lost_seconds: float = 0.0
    outcome: str = "waiting"

    @property
    def rate(self) -> float:
        """How fast it goes, against all of its members."""
        return self.members / self.arrival.workload.members


@dataclass(frozen=True, slots=True)
class Span:
    """GPUs that one workload held for a time."""

    queue: str
    pool: str
    begin: float
    end: float
    milli: int
    activity: float


@dataclass
class Work:
    """All workloads of one simulation."""

    live: dict[str, Live] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    lost_gpu_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By what took it: failure, interruption, preemption."""
    on_node: defaultdict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    waiting: dict[str, None] = field(default_factory=dict)
    short: dict[str, None] = field(default_factory=dict)
    """Elastic ones that run with fewer than all of their members."""
    running: int = 0

    def arrive(self, arrival: Arrival) -> Live:
        """A workload is submitted."""
        made = Live(arrival, arrival.workload)
        self.live[arrival.workload.id] = made
        self.waiting[arrival.workload.id] = None
        return made

    def start(self, one: Live, start: Start, now: float, restart_seconds: float) -> float:
        """It starts. Returns when it will end, if nothing comes between."""
        del self.waiting[one.arrival.workload.id]
        one.starts += 1
        one.first_start_at = now if one.first_start_at is None else one.first_start_at
        one.started_at, one.idle_until = now, now + (restart_seconds if one.starts > 1 else 0.0)
        self.place(one, start.pool, start.seats, start.members, now)
        return self.ends_at(one)

    def place(self, one: Live, pool: str, seats: tuple[Seat, ...], members: int, now: float) -> None:
        """Put it where it runs from now on."""
        one.running, one.began_at, one.pool, one.seats, one.members = True, now, pool, seats, members
        one.version += 1
        self.running += 1
        if 0 < one.workload.members_min <= members < one.workload.members:
            self.short[one.arrival.workload.id] = None
        for seat in seats:
            self.on_node[pool, seat.node].add(one.arrival.workload.id)

    def ends_at(self, one: Live) -> float:
        """When it ends: its work is done, or its time is over."""
        left = max(0.0, one.arrival.actual_seconds - one.done_seconds) / one.rate
        end = max(one.began_at, one.idle_until) + left
        limit = one.workload.seconds_max
        return min(end, max(one.began_at, one.started_at + limit)) if limit > 0 else end

    def leave(self, one: Live, now: float) -> float:
        """It leaves its place. Returns the seconds that it worked there, as on all members."""
        for seat in one.seats:
            self.on_node[one.pool, seat.node].discard(one.arrival.workload.id)
        milli = one.arrival.workload.shape.milli * one.members
        if milli and now > one.began_at:
            self.spans.append(Span(one.arrival.workload.queue, one.pool, one.began_at, now, milli, one.arrival.activity))
        one.running = False
        self.running -= 1
        self.short.pop(one.arrival.workload.id, None)
        return max(0.0, now - max(one.began_at, one.idle_until)) * one.rate

    def finish(self, one: Live, now: float) -> None:
        """It comes to its end."""
        worked = self.leave(one, now)
        over = one.done_seconds + worked < one.arrival.actual_seconds - 1e-6 * max(1.0, one.arrival.actual_seconds)
        one.outcome, one.ended_at = ("out_of_time" if over else "finished"), now

    def cut_off(self, one: Live, now: float, cause: str, *, notice_seconds: float = 0.0) -> Workload:
        """It loses its place and waits again. Returns what is to be submitted: the same, with so much less to do."""
        worked = self.leave(one, now)
        step = one.workload.checkpoint_seconds
        if step > 0:
            kept = worked if notice_seconds >= NOTICE_ENOUGH_SECONDS else math.floor(worked / one.rate / step) * step * one.rate
        else:
            kept = 0.0
        one.done_seconds += kept
        one.lost_seconds += worked - kept
        self.lost_gpu_seconds[cause] += (worked - kept) * one.arrival.workload.milli / 1000
        self.waiting[one.arrival.workload.id] = None
        left = max(ESTIMATE_SECONDS_MIN, one.arrival.workload.seconds - one.done_seconds)
        one.workload = replace(one.arrival.workload, seconds=left)
        return one.workload

    def resize(self, one: Live, seats: tuple[Seat, ...], now: float) -> float:
        """An elastic workload goes on with fewer or more members and loses nothing. Returns when it will end now."""
        one.done_seconds += self.leave(one, now)
        self.place(one, one.pool, seats, len(seats), now)
        return self.ends_at(one)

    def give_up(self, one: Live, now: float) -> None:
        """Its owner does not wait any longer."""
        self.waiting.pop(one.arrival.workload.id, None)
        one.outcome, one.ended_at = "left", now
