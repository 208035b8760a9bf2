"""All that a scheduler knows between two passes: what waits, what runs, what is kept free; it is copied to look ahead."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.estimates import Errors, Waits
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Running, Seat, Shape, Topology, Workload
from factory_infra.iaas.scheduling.ordering import Entry, Kind, Queue, key_of
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.placement.registry import DEFAULT_POLICY, build
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.pricing import Offer
from factory_infra.iaas.scheduling.quotas import BASE, Need, Quotas
from factory_infra.iaas.scheduling.shares import Shares

PLAIN = "first_fit"
"""With which placement it is found out whether something would fit at a later time."""


class KindSpec(NamedTuple):
    """What makes two workloads ask for the same."""

    shape: Shape
    members: int
    members_min: int
    topology: Topology
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A workload that runs, with what it takes and how far it has come."""

    running: Running
    entry: Entry
    need: Need
    since: float
    """When it began to run on so many members as now."""
    work_seconds: float
    """How far it was then, in seconds on all of its members."""

    @property
    def members(self) -> int:
        """On how many members it runs."""
        return len(self.running.seats)

    def work(self, now: float) -> float:
        """How far it is, in seconds on all of its members, if it runs as fast as was estimated."""
        return self.work_seconds + max(0.0, now - self.since) * self.members / self.entry.workload.members

    def lost(self, now: float) -> float:
        """How much of that is lost at most if it ends now: since its last checkpoint, or all since its start."""
        done = self.work(now) - self.entry.progress_seconds
        kept = self.entry.workload.checkpoint_seconds
        return min(done, kept) if kept > 0 else self.work(now)

    def ends_after(self, now: float) -> float:
        """When it should end, seen from now: one that takes longer than estimated is given a tenth of what it has run, again and again."""
        if self.running.ends_at > now:
            return self.running.ends_at
        return now + 1.0 + 0.1 * (now - self.running.started_at)


@dataclass(slots=True)
class Reservation:
    """Capacity that is kept free, from a time on, for one that waits."""

    workload: str
    pool: str
    at: float
    seats: tuple[Seat, ...]
    ends_at: float
    firm: bool
    """For one that has waited too long: nothing at all goes before it."""
    fleet: Fleet
    """The pool as it will be at that time, with these seats taken."""
    left: dict[int, list[int]]
    """What the caps on its queue's path will leave at that time, it included."""
    given: set[str]
    """What runs now and will have ended by then."""
    stale: bool = False
    """Something ended since: it may be possible sooner."""

    def copy(self) -> "Reservation":
        """Return one that goes its own way from here."""
        left = {node: list(row) for node, row in self.left.items()}
        return replace(self, fleet=self.fleet.copy(), left=left, given=set(self.given))


@dataclass(slots=True)
class State:
    """What a `Scheduler` is made of. The functions of this package read and change it; nobody else does."""

    policy: SchedulingPolicy
    quotas: Quotas
    shares: Shares
    fleets: dict[str, Fleet]
    placements: Mapping[str, Placement]
    plain: Placement
    now: float = float("-inf")
    hypothetical: bool = False
    """A copy that looks ahead: what is submitted to it teaches nobody anything."""
    numbers: int = 0
    entries: dict[str, Entry] = field(default_factory=dict)
    queues: dict[int, Queue] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    held_by_queue: dict[int, dict[str, None]] = field(default_factory=dict)
    short: dict[str, None] = field(default_factory=dict)
    """Elastic workloads that run with fewer than all of their members."""
    ends: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    kinds: dict[KindSpec, Kind] = field(default_factory=dict)
    kind_specs: list[KindSpec] = field(default_factory=list)
    frees: dict[str, int] = field(default_factory=dict)
    """How often something became free in each pool."""
    seen: dict[str, int] = field(default_factory=dict)
    """The fleets' own counts after our last change, to notice changes by others."""
    full: dict[Kind, tuple[int, ...]] = field(default_factory=dict)
    """Kinds that did not fit when so often something had become free in their pools."""
    reservations: list[Reservation] = field(default_factory=list)
    reserved: int = 0
    """How often a reservation came, went or moved."""
    kept: dict[Kind, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    """Kinds that did not get past what is reserved when they run so long, with what must not have changed since."""
    errors: Errors = field(default_factory=Errors)
    lowest: dict[int, float] = field(default_factory=dict)
    unreserved: dict[str, tuple[object, Fleet]] = field(default_factory=dict)
    possible: dict[tuple[str, int, Kind, frozenset[str]], bool] = field(default_factory=dict)
    waits: Waits = field(default_factory=Waits)
    """Waiting time by what was foretold of it."""
    foretold: dict[str, tuple[float, float]] = field(default_factory=dict)
    """For those that wait: when something was foretold, and the start that was."""
    offers: dict[tuple[str, int, Shape], tuple[Offer, ...]] = field(default_factory=dict)

    def pools_of(self, workload: Workload) -> tuple[str, ...]:
        """The pools that will do and are there, the preferred first."""
        return tuple(pool for pool in workload.pools if pool in self.fleets) if workload.pools else tuple(self.fleets)

    def ever_holds(self, pool: str, entry: Entry) -> bool:
        """Whether a pool could hold a workload if it were empty and whole; worked out once for as long as its nodes stay the same."""
        fleet, least = self.fleets[pool], entry.members_least if self.policy.elastic else entry.workload.members
        shape = self.shape_possible(entry)
        key = (pool, fleet.generation, entry.kind, shape.models)
        found = self.possible.get(key)
        if found is None:
            if entry.workload.topology == "any":
                found = int(fleet.slots_when_empty(shape).sum()) >= least
            else:
                empty = Fleet([spec for spec in fleet.specs if spec is not None])
                found = self.plain.place_gang(empty, replace(entry.workload, shape=shape), least) is not None
            self.possible[key] = found
        return found

    def shape_possible(self, entry: Entry) -> Shape:
        """The shape, on those GPU types whose own quota could ever be enough for all members: a gang may lie on one of them alone."""
        quotas, shape = self.quotas, entry.workload.shape
        if not quotas.models or not shape.gpus:
            return shape
        known = shape.models or frozenset(model for fleet in self.fleets.values() for model in fleet.models)
        members = entry.members_least if self.policy.elastic else entry.workload.members

        def possible(model: str) -> bool:
            need = quotas.need(shape, members, model)
            return all(amount <= quotas.caps[node][at] for node in quotas.paths[entry.node] for at, amount in enumerate(need))

        models = frozenset(model for model in known if possible(model))
        return shape if models == known else replace(shape, models=models or frozenset({"(none)"}))

    def hopeless(self, entry: Entry) -> bool:
        """Whether no waiting would ever start it: no pool could hold it, or a cap is below what it takes."""
        if not any(self.ever_holds(pool, entry) for pool in self.pools_of(entry.workload)):
            return True
        members = entry.members_least if self.policy.elastic else entry.workload.members
        need, caps = self.quotas.need(entry.workload.shape, members), self.quotas.caps
        return any(amount > caps[node][at] for node in self.quotas.paths[entry.node] for at, amount in enumerate(need))

    def stamp(self, kind: Kind) -> tuple[int, ...]:
        """What changes when something becomes free in a pool of this kind."""
        pools = self.kind_specs[kind].pools or self.frees
        return tuple(self.frees.get(pool, 0) for pool in pools)

    def entry(self, workload: Workload, progress_seconds: float = 0.0, number: int | None = None) -> Entry:
        """Work out once what is asked of a workload again and again."""
        if number is None:
            self.numbers += 1
            number = self.numbers
        spec = KindSpec(workload.shape, workload.members, workload.members_min, workload.topology, workload.pools)
        kind = self.kinds.setdefault(spec, len(self.kinds))
        if kind == len(self.kind_specs):
            self.kind_specs.append(spec)
        node = self.quotas.node(workload.queue)
        need = self.quotas.need(workload.shape, workload.members)
        key = key_of(self.policy.order, workload, number, max(1.0, workload.seconds - progress_seconds))
        return Entry(workload, number, node, kind, need, key, progress_seconds)

    def wait(self, entry: Entry) -> None:
        """Put a workload among those that wait."""
        self.entries[entry.workload.id] = entry
        self.queues.setdefault(entry.node, Queue(entry.node)).add(entry)

    def forget(self, name: str) -> Entry:
        """Take a workload from among those that wait, with what is kept for it."""
        entry = self.entries.pop(name)
        self.queues[entry.node].drop(entry)
        kept = [each for each in self.reservations if each.workload != name]
        if len(kept) < len(self.reservations):  # those after it in time were worked out with its seats taken
            self.keep_only(kept)
        return entry

    def keep_only(self, kept: list[Reservation]) -> None:
        """Give up the other reservations."""
        self.reserved += 1
        self.reservations = kept
        for each in kept:
            each.stale = True

    def need_of(self, entry: Entry, pool: str, seats: tuple[Seat, ...]) -> Need:
        """What seats take of every resource, GPU types with quotas of their own included."""
        shape = entry.workload.shape
        if len(self.quotas.resources) == len(BASE):
            return self.quotas.need(shape, len(seats))
        fleet = self.fleets[pool]
        each = [self.quotas.need(shape, 1, fleet.spec(seat.node).model) for seat in seats]
        return tuple(sum(column) for column in zip(*each, strict=True))

    def hold(self, held: Held, *, take: bool = True) -> None:
        """Let a workload run: its seats and its quota are taken."""
        running, entry = held.running, held.entry
        if take:
            self.fleets[running.pool].take(running.seats, entry.workload.shape)
            self.touched(running.pool)
        self.shares.settle(entry.node, self.now)
        self.quotas.charge(entry.node, held.need)
        self.held[running.workload.id] = held
        self.held_by_queue.setdefault(entry.node, {})[running.workload.id] = None
        self.lowest.pop(entry.node, None)
        insort(self.ends[running.pool], (running.ends_at, running.workload.id))
        if 0 < running.workload.members_min <= held.members < running.workload.members:
            self.short[running.workload.id] = None

    def release(self, name: str) -> Held:
        """End a workload: its seats and its quota are free again."""
        held = self.held.pop(name)
        self.short.pop(name, None)
        running = held.running
        del self.held_by_queue[held.entry.node][name]
        self.lowest.pop(held.entry.node, None)
        ends = self.ends[running.pool]
        del ends[bisect_left(ends, (running.ends_at, name))]
        self.fleets[running.pool].give(running.seats, held.entry.workload.shape)
        self.touched(running.pool)
        self.frees[running.pool] += 1
        self.shares.settle(held.entry.node, self.now)
        self.quotas.charge(held.entry.node, held.need, -1)
        for each in self.reservations:
            each.stale = True
        return held

    def resize(self, name: str, seats: tuple[Seat, ...]) -> None:
        """Let an elastic workload go on with fewer or more members, on these seats."""
        held = self.release(name)
        work = held.work(self.now)
        left = max(1.0, held.entry.workload.seconds - work) * held.entry.workload.members / len(seats)
        running = replace(held.running, seats=seats, ends_at=self.now + left)
        self.hold(Held(running, held.entry, self.need_of(held.entry, running.pool, seats), self.now, work))

    def lowest_priority(self, node: int) -> float:
        """The lowest priority that runs in a queue."""
        known = self.lowest.get(node)
        if known is None:
            known = min((self.held[name].running.workload.priority for name in self.held_by_queue.get(node, ())), default=float("inf"))
            self.lowest[node] = known
        return known

    def touched(self, pool: str) -> None:
        """Remember that the last change of a fleet was ours."""
        self.seen[pool] = self.fleets[pool].changes

    def notice(self) -> bool:
        """Find out whether somebody else changed a fleet, such as a node that broke or came back. Then nothing that was found out holds."""
        strange = [pool for pool, fleet in self.fleets.items() if fleet.changes != self.seen[pool]]
        for pool in strange:
            self.frees[pool] += 1
            self.touched(pool)
        if strange:
            self.shares.rescale(totals(self.fleets))
            for each in self.reservations:
                each.stale = True
        return bool(strange)

    def running(self) -> Iterator[Running]:
        """All that runs, in the order in which it started to."""
        return (held.running for held in self.held.values())

    def copy(self) -> "State":
        """Return one in the same state that goes its own way from here.

        Placements are shared, they keep what they know by fleet; so are the numbers of kinds, and what was worked out by them.
        """
        quotas = self.quotas.copy()
        fleets = {pool: fleet.copy() for pool, fleet in self.fleets.items()}
        return State(
            policy=self.policy,
            quotas=quotas,
            shares=self.shares.copy(quotas),
            fleets=fleets,
            placements=self.placements,
            plain=self.plain,
            now=self.now,
            hypothetical=True,
            numbers=self.numbers,
            entries=dict(self.entries),
            queues={node: queue.copy() for node, queue in self.queues.items()},
            held=dict(self.held),
            held_by_queue={node: dict(names) for node, names in self.held_by_queue.items()},
            short=dict(self.short),
            ends={pool: list(ends) for pool, ends in self.ends.items()},
            kinds=self.kinds,
            kind_specs=self.kind_specs,
            frees=dict(self.frees),
            seen=dict(self.seen),
            full=dict(self.full),
            reserved=self.reserved,
            kept=dict(self.kept),
            reservations=[each.copy() for each in self.reservations],
            errors=self.errors,
            waits=self.waits,
            possible=self.possible,
            offers=self.offers,
        )


def totals(fleets: Mapping[str, Fleet]) -> tuple[int, int, int]:
    """All that the fleets have of GPUs, cores and memory, in thousandths and MiB."""
    return (
        sum(fleet.capacity_milli for fleet in fleets.values()),
        sum(int(fleet.cpu_capacity.sum()) for fleet in fleets.values()),
        sum(int(fleet.memory_capacity.sum()) for fleet in fleets.values()),
    )


def opened(
    policy: SchedulingPolicy, tree: QuotaTree | None, fleets: Mapping[str, Fleet], placement: Mapping[str, Placement] | Placement | None
) -> State:
    """Build the state of a scheduler for which nothing waits or runs.

    Raises:
        InvalidInput: the policy names a placement that is not there, or a pool has no placement.
    """
    if isinstance(placement, Mapping):
        placements = dict(placement)
    else:
        one = placement if placement is not None else build(policy.placement or DEFAULT_POLICY)
        placements = dict.fromkeys(fleets, one)
    without = sorted(set(fleets) - set(placements))
    if without or not fleets:
        missing = ", ".join(without) or "any pool"
        raise InvalidInput(f"There is no placement for {missing}.", remedy="Give a fleet and a placement for every pool.")
    quotas = Quotas(tree, borrowing=policy.borrowing)
    return State(
        policy=policy,
        quotas=quotas,
        shares=Shares(quotas, totals(fleets), policy.history_half_life_seconds),
        fleets=dict(fleets),
        placements=placements,
        plain=build(PLAIN),
        ends={pool: [] for pool in fleets},
        frees=dict.fromkeys(fleets, 0),
        seen={pool: fleet.changes for pool, fleet in fleets.items()},
    )
