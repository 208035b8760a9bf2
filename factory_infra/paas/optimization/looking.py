"""Looks at pools now and then, and keeps what stood there and how busy it was: without it nobody can say later what was idle."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import AwsPool, LocalPool
from factory_infra.foundation.reliability.tables import NodeRow
from factory_infra.foundation.telemetry.interface import Telemetry
from factory_infra.paas.optimization.tables import ActivityRow, CapacityRow

GAP_SECONDS_MAX = 600.0
"""Two looks that are further apart do not belong together: what was between them was not seen."""
KEPT = timedelta(days=400)
ACTIVITY_KEPT = timedelta(days=45)
REPORT_SECONDS_MAX = 300.0
"""A node that has not told of itself for so long tells nothing of now."""


class Looked(NamedTuple):
    """What one look found: how many pools answered, which did not, and of how many slots it is known how busy they are."""

    pools: int
    silent: list[str]
    slots_measured: int


class Kinds(NamedTuple):
    """What is told apart in a pool."""

    slot_kind: str
    accelerator: str


class Lookout:
    """Looks at every pool. Any process may do it at any time, and two at once do no harm."""

    def __init__(self, database: Database, book: PoolBook, accelerators: AcceleratorPools, telemetry: Telemetry) -> None:
        self._database = database
        self._book = book
        self._accelerators = accelerators
        self._telemetry = telemetry

    async def look(self) -> Looked:
        """Look once, and keep what was seen. A pool that does not answer is left out: it was not seen."""
        silent, measured, answered = list[str](), 0, 0
        for spec in self._book.all():
            if isinstance(spec, AwsPool):  # machines are made there for leases: nothing stands unleased, and asking costs calls
                continue
            try:
                pool = await self._accelerators.pool(spec.name)
            except LineshaftError:
                silent.append(spec.name)
                continue
            answered += 1
            busy = await self._busy_here(pool) if isinstance(spec, LocalPool) else await self._busy_nodes(pool)
            measured += len(busy)
            async with self._database.transaction(lock=f"capacity/{spec.name}", whole=True) as session:
                now = utcnow()
                await note_capacity(session, pool, now)
                await note_activity(session, spec.name, busy, now)
        return Looked(answered, silent, measured)

    async def forget(self) -> None:
        """Remove what is too old to be asked about."""
        now = utcnow()
        async with self._database.transaction(whole=True) as session:
            await session.execute(delete(CapacityRow).where(CapacityRow.seen_until < now - KEPT))
            await session.execute(delete(ActivityRow).where(ActivityRow.hour < now - ACTIVITY_KEPT))

    async def _busy_here(self, pool: Pool) -> Mapping[int, float]:
        """How busy the GPUs of this host are, by slot. Cores are not measured one by one: nothing is said of them."""
        if pool.kind != "gpu":
            return {}
        reading = await self._telemetry.read()
        known = {name: gpu.busy_percent for gpu in reading.gpus for name in (gpu.uuid, str(gpu.index)) if gpu.busy_percent is not None}
        return {slot.index: known[slot.device or str(slot.index)] for slot in pool.slots if (slot.device or str(slot.index)) in known}

    async def _busy_nodes(self, pool: Pool) -> Mapping[int, float]:
        """How busy the accelerators of a pool's nodes are, as their agents told lately."""
        since = utcnow() - timedelta(seconds=REPORT_SECONDS_MAX)
        query = select(NodeRow.name, NodeRow.report).where(NodeRow.pool == pool.name, NodeRow.heartbeat_at > since)
        async with self._database.transaction(whole=True) as session:
            reports = dict((await session.execute(query)).tuples().all())
        return told(pool.slots, {name: gauges(report.get("accelerators")) for name, report in reports.items()})


def gauges(reported: object) -> dict[int, float]:
    """How busy each accelerator of a node is, by its index."""
    rows = reported if isinstance(reported, list) else []
    return {
        int(row["index"]): float(row["busy_percent"])
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("busy_percent"), int | float) and isinstance(row.get("index"), int)
    }


def told(slots: Sequence[Slot], nodes: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Nodes' gauges by the slots of a pool: the n-th GPU slot of a node is its n-th accelerator."""
    place: dict[str, int] = {}
    found: dict[int, float] = {}
    for slot in sorted(slots, key=lambda each: each.index):
        if slot.kind == "gpu" and slot.node:
            number = place.get(slot.node, 0)
            place[slot.node] = number + 1
            if number in nodes.get(slot.node, {}):
                found[slot.index] = nodes[slot.node][number]
    return found


async def note_capacity(session: AsyncSession, pool: Pool, now: datetime) -> None:
    """Lengthen what stands as it stood, and begin anew what has changed or was not seen for too long."""
    query = select(CapacityRow).where(CapacityRow.pool == pool.name, CapacityRow.seen_until > now - timedelta(seconds=GAP_SECONDS_MAX))
    newest: dict[Kinds, CapacityRow] = {}
    for row in await session.scalars(query.order_by(CapacityRow.seen_until, CapacityRow.id)):
        newest[Kinds(row.slot_kind, row.accelerator)] = row
    for kinds, slots in by_kind(pool).items():
        last = newest.get(kinds)
        if last is not None:
            last.seen_until = max(last.seen_until, now)  # until this look it was as before
        if last is None or last.slots != slots or last.price_class != pool.price_class:
            fields = {"slot_kind": kinds.slot_kind, "accelerator": kinds.accelerator, "price_class": pool.price_class}
            session.add(CapacityRow(pool=pool.name, slots=slots, since=now, seen_until=now, **fields))


def by_kind(pool: Pool) -> dict[Kinds, list[int]]:
    """The slots of a pool that stand there whether or not they are leased. Machines that are made for a lease go with it."""
    found: dict[Kinds, list[int]] = {}
    if pool.placement == "machines":
        return found
    for slot in pool.slots:
        found.setdefault(Kinds(slot.kind, slot.accelerator), []).append(slot.index)
    return {kinds: sorted(slots) for kinds, slots in found.items()}


async def note_activity(session: AsyncSession, pool: str, busy: Mapping[int, float], now: datetime) -> None:
    """Add what was measured to the sums of this hour."""
    if not busy:
        return
    hour = now.replace(minute=0, second=0, microsecond=0)
    rows = [
        {"pool": pool, "slot": slot, "hour": hour, "looks": 1, "busy_percent_sum": percent, "busy_percent_max": percent}
        for slot, percent in sorted(busy.items())
    ]
    statement = insert(ActivityRow).values(rows)
    given = statement.excluded
    more = {
        "looks": ActivityRow.looks + given.looks,
        "busy_percent_sum": ActivityRow.busy_percent_sum + given.busy_percent_sum,
        "busy_percent_max": func.greatest(ActivityRow.busy_percent_max, given.busy_percent_max),
    }
    await session.execute(statement.on_conflict_do_update(index_elements=["pool", "slot", "hour"], set_=more))
