"""The installation as the scheduler sees it: slots as nodes and seats, leases as workloads. Pure: nothing is read or written."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import GPU_MILLI, GPUS_A_NODE_MAX, NodeSpec, Running, Seat, Shape, Workload
from factory_infra.iaas.scheduling.placement.registry import build
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.rules import HourlyPrice, no_price

CORE_MILLI = 1000
KINDS = ("gpus", "cpus")
PLACEMENT = "best_fit"
"""Of pools that name none. Slots are alike, so there is no mix of shapes to learn: the fullest node keeps others whole."""


@dataclass(frozen=True)
class Claim:
    """A lease that waits or is held, with what was asked for."""

    id: str
    queue: str
    pool: str
    kind: str
    size: int
    """Slots: those that it holds, or waits for."""
    request: LeaseRequest
    asked_at: float
    slots: tuple[int, ...] = ()
    since: float = 0.0
    until: float = 0.0
    """When its term ends; both are of one that is held."""
    not_before: float = 0.0
    reserved: bool = False
    """Slots were kept free for it by the pass before."""
    pools: tuple[str, ...] = ()
    """The pools that will do, the preferred first; where one that is held lies."""
    foretold: tuple[float, float] | None = None
    """When it was foretold when it would begin, and that moment."""


class Layout:
    """A pool's slots as nodes of a fleet. A GPU slot is one GPU of its node, a CPU slot one core; a share or MIG slice counts as whole.

    Where machines are made for a lease, slots are only counted.
    """

    def __init__(self, pool: Pool, unfit: Collection[str] = (), price: HourlyPrice = no_price) -> None:
        self.pool = pool
        self._price = price
        self._slots: list[list[Slot]] = []
        self._seats: dict[int, Seat] = {}
        for group in grouped(pool):
            node = len(self._slots)
            self._slots.append(group)
            for position, slot in enumerate(group):
                self._seats[slot.index] = Seat(node, (position,)) if slot.kind == "gpu" else Seat(node)
        self.nodes = tuple(self._node(index, group) for index, group in enumerate(self._slots))
        self.unfit = frozenset(unfit)

    def _node(self, index: int, group: list[Slot]) -> NodeSpec:
        first = group[0]
        gpus = len(group) if first.kind == "gpu" else 0
        return NodeSpec(
            name=f"{first.node or self.pool.name}/{index}",
            cpu_milli=0 if gpus else CORE_MILLI * len(group),
            memory_mib=0,
            gpus=gpus,
            model=first.accelerator,
            rack=self.pool.name,
            price_class=self.pool.price_class,
            hourly_price=len(group) * self._price(first.kind, first.accelerator, self.pool.price_class),
        )

    def fleet(self) -> Fleet:
        """The nodes, empty; those that are unfit are marked so."""
        made = Fleet(self.nodes)
        for index, group in enumerate(self._slots):
            if group[0].node in self.unfit:
                made.set_fit(index, False)
        return made

    def seats(self, slots: Iterable[int]) -> tuple[Seat, ...]:
        """The seats of some slots; what the pool does not have any more has none."""
        return tuple(self._seats[index] for index in slots if index in self._seats)

    def slots(self, seats: Sequence[Seat], taken: Collection[int]) -> list[Slot]:
        """The slots that seats are, in order: on cores, the lowest free ones of each node. Fewer than seats where they are not free."""
        found: list[Slot] = []
        cores: dict[int, int] = defaultdict(int)
        for seat in seats:
            if seat.gpus:
                found += [self._slots[seat.node][gpu] for gpu in seat.gpus]
            else:
                cores[seat.node] += 1
        for node, count in cores.items():
            found += [slot for slot in self._slots[node] if slot.index not in taken][:count]
        return sorted((slot for slot in found if slot.index not in taken), key=lambda slot: slot.index)


def grouped(pool: Pool) -> list[list[Slot]]:
    """Slots that are alike and in one machine; slots that are only counted, a machine's worth together."""
    groups: dict[tuple[str, str, str], list[Slot]] = {}
    for slot in pool.slots:
        groups.setdefault((slot.node, slot.kind, slot.accelerator), []).append(slot)
    if pool.placement != "machines":
        return list(groups.values())
    width = GPUS_A_NODE_MAX
    return [group[start : start + width] for group in groups.values() for start in range(0, len(group), width)]


def absent(name: str, held: Sequence[Claim]) -> Pool:
    """What is known of a pool that does not answer: the slots that are held in it, so that they count."""
    slots = [
        Slot(index=index, kind="gpu" if claim.kind == "gpu" else "cpu", name="", memory_gib=0, accelerator=claim.request.accelerator)
        for claim in held
        for index in claim.slots
    ]
    return Pool(name=name, slots=slots)


def workload_of(claim: Claim, layouts: Sequence[Layout], now: float) -> Workload:
    """A lease as a workload: so many members of one slot each, which begin together.

    Args:
        claim: the lease.
        layouts: those of the pools that will do for it.
        now: a moment that another host's clock put after it is it.
    """
    request, counted = claim.request, any(layout.pool.placement == "machines" for layout in layouts)
    least = request.slots_min if 0 < request.slots_min < claim.size and not counted else 0
    return Workload(
        id=claim.id,
        queue=claim.queue,
        shape=shape_of(request, layouts),
        submitted_at=min(claim.asked_at, now),
        seconds=float(min(request.expected_seconds or request.seconds, request.seconds)),
        seconds_max=float(request.seconds),
        members=claim.size,
        members_min=least if not claim.slots else 0,
        priority=request.priority,
        topology="any" if counted else request.topology,
        preemptible=request.preemptible,
        deadline_at=request.deadline_at.timestamp() if request.deadline_at else None,
        not_before=claim.not_before,
        pools=tuple(layout.pool.name for layout in layouts),
    )


def shape_of(request: LeaseRequest, layouts: Sequence[Layout]) -> Shape:
    """What one slot asks of a node; its type as the pools spell it. Where machines are made for it, slots of any type are counted."""
    if layouts[0].pool.kind == "cpu":
        return Shape(cpu_milli=CORE_MILLI)
    wanted, models = request.accelerator.casefold(), set[str]()
    for layout in layouts:
        counted = layout.pool.placement == "machines"
        models |= {slot.accelerator for slot in layout.pool.slots if wanted and (counted or slot.accelerator.casefold() == wanted)}
    return Shape(gpu_milli=GPU_MILLI, gpus=1, models=frozenset(models))


def running_of(claim: Claim, layout: Layout, now: float) -> Running | None:
    """A lease that is held as what runs; None where its pool has none of its slots any more."""
    seats = layout.seats(claim.slots)
    if not seats:
        return None
    workload = workload_of(Claim(**{**vars(claim), "size": len(seats)}), [layout], now)
    likely = min(claim.since, now) + workload.seconds
    return Running(workload, claim.pool, seats, started_at=min(claim.since, now), ends_at=max(min(likely, claim.until), now))


@dataclass(frozen=True)
class Scene:
    """All that is known when a pass begins."""

    layouts: Mapping[str, Layout]
    claims: Sequence[Claim]
    past: Sequence[Claim] = ()
    """Leases that have ended, for the history of shares and of estimates."""
    now: float = 0.0

    def of(self, claim: Claim) -> list[Layout]:
        """The pools that will do for a lease, of those that answer."""
        return [self.layouts[name] for name in claim.pools or (claim.pool,) if name in self.layouts]


def scheduler_of(policy: SchedulingPolicy, quotas: QuotaTree, scene: Scene) -> Scheduler:
    """A scheduler over the pools, with what is held in its place, what waits in line, and what was kept free for whom."""
    fleets = {name: layout.fleet() for name, layout in scene.layouts.items()}
    made = Scheduler(policy, quotas, fleets, build(policy.placement or PLACEMENT))
    for claim in scene.past:
        _learn(made, claim, scene)
    begun = sorted((each for each in (*scene.past, *scene.claims) if each.slots), key=lambda each: (each.since, each.id))
    made.learn(waits=[(each.since - each.foretold[0], each.foretold[1] - each.foretold[0]) for each in begun if each.foretold])
    for claim in sorted(scene.claims, key=lambda each: (each.asked_at, each.id)):
        if not claim.slots:
            made.submit(workload_of(claim, scene.of(claim), scene.now))
        elif (running := running_of(claim, scene.layouts[claim.pool], scene.now)) is not None:
            made.adopt(running)
    for claim in scene.claims:
        if claim.reserved and not claim.slots:
            made.reserve(claim.id, max(made.now, scene.now))
    return made


def _learn(made: Scheduler, claim: Claim, scene: Scene) -> None:
    """Count a lease that has ended to its queue's history, and how long it was held to that of estimates."""
    layout = scene.layouts.get(claim.pool)
    seconds = min(claim.until, scene.now) - claim.since
    if layout is None or seconds <= 0:
        return
    workload = workload_of(claim, [layout], scene.now)
    made.remember(workload, claim.since, min(claim.until, scene.now))
    made.learn(runs=[(seconds, workload.seconds)])


def with_team_limits(quotas: QuotaTree, limits: Mapping[str, int]) -> QuotaTree:
    """The tree in which no team exceeds its slot quota of either kind. What it is over both together is counted where slots are granted."""
    listed = {spec.name: spec for spec in quotas.queues}
    for queue, slots in limits.items():
        spec = listed.get(queue) or QuotaSpec.model_construct(name=queue, parent=None)
        limit = {kind: min(spec.limit.get(kind, float(slots)), float(slots)) for kind in KINDS}
        listed[queue] = spec.model_copy(update={"limit": {**spec.limit, **limit}})
    return QuotaTree.model_construct(queues=tuple(listed.values()))
