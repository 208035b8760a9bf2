"""The machines of a simulation: which are there and in order, which are being made, and what they cost."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from factory_infra.foundation.twin.failures import Failure, failures
from factory_infra.foundation.twin.market import Change, MarketTape
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Seat
from factory_infra.iaas.twin.events import Agenda, Kind
from factory_infra.iaas.twin.scenario import Elastic, Scenario

HOUR = 3600.0
OFF, STARTING, UP = 0, 1, 2


@dataclass
class Room:
    """One pool with the state of its machines."""

    name: str
    specs: tuple[NodeSpec, ...]
    fleet: Fleet
    elastic: Elastic | None
    tape: MarketTape | None
    changes: Iterator[Change] | None = None
    broken: dict[int, Iterator[Failure]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.specs)
        self.gpus = np.array([spec.gpus for spec in self.specs], dtype=np.int64)
        self.state = np.full(count, UP, dtype=np.int8)
        self.up_since = np.zeros(count)
        self.idle_since = np.zeros(count)
        self.busy = np.zeros(count, dtype=np.int64)
        self.life = np.zeros(count, dtype=np.int64)
        self.failed = np.zeros(count, dtype=bool)
        self.noticed = np.zeros(count, dtype=bool)

    def machine(self, node: int) -> str:
        """The name of a machine's present life: one that is made again is another one."""
        return f"{self.specs[node].name}/{self.life[node]}"

    def show(self, node: int) -> None:
        """Tell the scheduler whether a node may be used."""
        fit = bool(self.state[node] == UP and not self.failed[node] and not self.noticed[node])
        if bool(self.fleet.fit[node]) is not fit:
            self.fleet.set_fit(node, fit)


class Machines:
    """All pools of one simulation. Money and node-hours are counted by price class."""

    def __init__(self, scenario: Scenario, seed: int, agenda: Agenda) -> None:
        self._scenario, self._seed, self._agenda = scenario, seed, agenda
        self.cost: defaultdict[str, float] = defaultdict(float)
        self.gpu_hours: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()
        self.up_spans: list[tuple[float, float, int]] = []
        """From when to when how many GPUs were there."""
        self.rooms = {name: self._room(name, specs) for name, specs in scenario.pools.items()}
        for room in self.rooms.values():
            self._begin(room)

    @property
    def fleets(self) -> dict[str, Fleet]:
        """What the scheduler sees."""
        return {name: room.fleet for name, room in self.rooms.items()}

    def _room(self, name: str, specs: tuple[NodeSpec, ...]) -> Room:
        elastic = self._scenario.elastic.get(name)
        tape = MarketTape(elastic.market, self._seed, name) if elastic is not None else None
        return Room(name, specs, Fleet(specs), elastic, tape)

    def _begin(self, room: Room) -> None:
        start = self._scenario.start_at
        room.up_since[:] = start
        room.idle_since[:] = start
        if room.elastic is not None and room.tape is not None:
            for node in range(room.elastic.nodes_min, len(room.specs)):
                room.state[node] = OFF
                room.show(node)
            room.changes = room.tape.changes(start) if room.elastic.market.spot else None
            self._next_change(room)
        unfit = self._scenario.unfit.get(room.name, frozenset())
        for node in unfit:
            room.failed[node] = True
            room.show(node)
        for node, spec in enumerate(room.specs):
            if node in unfit:
                continue
            room.broken[node] = failures(self._scenario.failures, self._seed, f"{room.name}/{spec.name}", start)
            self._next_failure(room, node)

    def _next_failure(self, room: Room, node: int) -> None:
        failure = next(room.broken[node], None)
        if failure is not None:
            self._agenda.add(failure.at, Kind.FAIL, room.name, node, f"{failure.kind}/{failure.back_at!r}")

    def _next_change(self, room: Room) -> None:
        change = next(room.changes, None) if room.changes is not None else None
        if change is not None:
            self._agenda.add(change.at, Kind.STOCK, room.name, int(change.in_stock))

    def fail(self, pool: str, node: int, detail: str) -> bool:
        """A node breaks. Returns whether it was there at all."""
        room = self.rooms[pool]
        kind, _, back = detail.partition("/")
        self._agenda.add(float(back), Kind.BACK, pool, node)
        if room.state[node] != UP:
            return False
        self.counts[f"failures_{kind}"] += 1
        room.failed[node] = True
        room.show(node)
        return True

    def back(self, pool: str, node: int) -> None:
        """A node is repaired."""
        room = self.rooms[pool]
        room.failed[node] = False
        room.show(node)
        self._next_failure(room, node)

    def stock(self, pool: str, now: float, *, there: bool) -> None:
        """A market's stock changes: without it every machine gets notice, and none is made."""
        room = self.rooms[pool]
        self._next_change(room)
        if there or room.elastic is None:
            return
        self.counts["stock_outs"] += 1
        for node in np.flatnonzero(room.state == STARTING).tolist():
            room.state[node] = OFF
        for node in np.flatnonzero((room.state == UP) & ~room.noticed).tolist():
            self._notice(room, node, now)

    def _notice(self, room: Room, node: int, at: float) -> None:
        seconds = room.elastic.market.notice_seconds if room.elastic is not None else 0.0
        room.noticed[node] = True
        room.show(node)
        self._agenda.add(at + seconds, Kind.RECLAIM, room.name, node, room.machine(node))

    def reclaims(self, pool: str, node: int, machine: str, now: float) -> bool:
        """A machine's time is over. The first call for one that had no notice yet gives it; returns whether it is taken now."""
        room = self.rooms[pool]
        if room.state[node] != UP or room.machine(node) != machine:
            return False
        if not room.noticed[node]:
            self._notice(room, node, now)
            return False
        self.counts["interruptions"] += 1
        return True

    def ready(self, pool: str, node: int, machine: str, now: float) -> None:
        """A machine that was asked for is there, unless it was given up meanwhile."""
        room = self.rooms[pool]
        if room.state[node] != STARTING or room.machine(node) != machine or room.tape is None:
            return
        room.state[node], room.up_since[node], room.idle_since[node] = UP, now, now
        room.noticed[node] = False
        room.show(node)
        ends = room.tape.interruptions(machine, now)
        if ends != float("inf"):
            self._agenda.add(ends, Kind.RECLAIM, pool, node, machine)

    def ask(self, room: Room, count: int, now: float) -> int:
        """Ask the market for machines. Returns how many come; 0 where it has none."""
        if room.tape is None or count <= 0:
            return 0
        if room.elastic is not None and room.elastic.market.spot and not room.tape.in_stock(now):
            self.counts["refused_starts"] += 1
            return 0
        chosen = np.flatnonzero(room.state == OFF)[:count].tolist()
        for node in chosen:
            room.state[node] = STARTING
            room.life[node] += 1
            self._agenda.add(now + room.tape.start_seconds(room.machine(node)), Kind.READY, room.name, node, room.machine(node))
        return len(chosen)

    def end(self, room: Room, node: int, now: float) -> None:
        """A machine goes; it is paid until now."""
        self._pay(room, node, now)
        room.state[node], room.noticed[node] = OFF, False
        room.show(node)

    def give_back_idle(self, now: float) -> None:
        """End the machines on which nothing ran for too long."""
        for room in self.rooms.values():
            if room.elastic is None:
                continue
            idle = (room.state == UP) & (room.busy == 0) & ~room.noticed & (now - room.idle_since >= room.elastic.idle_seconds)
            for node in np.flatnonzero(idle).tolist()[::-1][: max(0, int((room.state == UP).sum()) - room.elastic.nodes_min)]:
                self.end(room, node, now)

    def occupy(self, pool: str, seats: tuple[Seat, ...], sign: int, now: float) -> None:
        """Note that a workload came to its nodes (1), or left them (-1)."""
        room = self.rooms[pool]
        for seat in seats:
            room.busy[seat.node] += sign
            room.idle_since[seat.node] = now

    def close(self, now: float) -> None:
        """Pay for what is there at the end."""
        for room in self.rooms.values():
            for node in np.flatnonzero(room.state == UP).tolist():
                self._pay(room, node, now)

    def _pay(self, room: Room, node: int, now: float) -> None:
        spec, begin = room.specs[node], float(room.up_since[node])
        money = room.tape.cost(begin, now) if room.tape is not None else (now - begin) / HOUR * spec.hourly_price
        self.cost[spec.price_class] += money
        self.gpu_hours[spec.price_class] += spec.gpus * (now - begin) / HOUR
        self.up_spans.append((begin, now, spec.gpus))
