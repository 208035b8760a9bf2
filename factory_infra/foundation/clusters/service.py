"""Clusters with their ledger: a row before anything is made, and the row's end when it is gone."""

import builtins
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol, cast

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.clusters.interface import Clusters, ClusterTemplates, MachineReplacement
from factory_infra.foundation.clusters.models import Cluster, ClusterForm, ClusterSpec, ClusterState
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.reconciliation import Finding, Owner
from factory_infra.foundation.clusters.tables import ClusterRow, FindingRow
from factory_infra.foundation.pools.spec import PriceClass

MAKING, HELD, ENDING, ENDED, REFUSED = "making", "held", "ending", "ended", "refused"


class Makers(Protocol):
    """What makes machines in each pool."""

    def names(self) -> list[str]:
        """The pools in which machines are made."""
        ...

    def of(self, pool: str) -> Clusters:
        """What makes machines in a pool. Raises NotFound, InvalidInput `not_offered`."""
        ...


class Term(BaseModel):
    """How long a cluster may be held, and how large it may become: what is reserved for it."""

    seconds: int
    count_max: int


class ClusterRecord(BaseModel):
    """A cluster as the ledger knows it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    pool: str
    tenant: str
    lease_id: str
    run_id: str
    form: ClusterForm
    machine: str
    price_class: PriceClass
    count: int
    count_max: int
    state: str
    machines: list[str]
    machine_seconds: float
    expires_at: datetime | None
    note: str
    asked_at: datetime
    ended_at: datetime | None


class FindingRecord(BaseModel):
    """A difference as it was last told."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    pool: str
    tenant: str
    cluster_id: str
    lease_id: str
    kind: str
    machines: list[str]
    words: str
    outcome: str
    found_at: datetime
    seen_at: datetime
    settled_at: datetime | None


class ClusterBook:
    """Clusters that people and plans ask for, beside those of leases. Every method may be called again after any failure.

    Args:
        database: where the rows lie.
        makers: what makes machines in each pool.
    """

    def __init__(self, database: Database, makers: Makers) -> None:
        self._database = database
        self.makers = makers

    async def provision(self, pool: str, wanted: ClusterSpec, term: Term | None = None) -> Cluster:
        """Make the cluster of this key. Raises as Clusters.provision, and Conflict `key_reused` where the key asked for another one."""
        maker, name = self.makers.of(pool), cluster_id(wanted.key, wanted.form)
        row = await self._record(pool, wanted, term)
        if (row.pool, row.tenant, row.machine) != (pool, wanted.tenant, wanted.machine):
            raise Conflict(f"The key of {name} asked for another cluster before.", code="key_reused", remedy="Use another key.")
        if row.state in {ENDING, ENDED}:
            raise Conflict(f"Cluster {name} was released.", code="cluster_released", remedy="Ask for a new one with another key.")
        try:
            made = await maker.provision(wanted)
        except LineshaftError as error:
            if not error.retryable:
                await self._move(name, REFUSED, note=error.reason)
            raise
        await self._move(name, HELD, made)
        return made

    async def get(self, name: str, tenant: str | None) -> Cluster:
        """Return a cluster's present state. Raises NotFound, also for another team's."""
        row = await self.record(name, tenant)
        if row.state in {ENDED, REFUSED}:
            return of_record(row)
        return await self.makers.of(row.pool).get(name, row.tenant)

    async def record(self, name: str, tenant: str | None) -> ClusterRecord:
        """Return what the ledger knows of a cluster. Raises NotFound, also for another team's."""
        async with self._database.transaction() as session:
            row = await session.get(ClusterRow, name)
        if row is None or tenant not in (None, row.tenant):
            raise NotFound(f"There is no cluster {name[:60]}.", code="cluster_unknown", remedy="lineshaft clusters list shows yours.")
        return ClusterRecord.model_validate(row)

    async def scale(self, name: str, tenant: str | None, count: int, key: str) -> Cluster:
        """Bring a cluster to so many machines, once for each key. Raises as Clusters.scale, and CapacityExceeded `cluster_full`."""
        row = await self._standing(name, tenant)
        if count > row.count_max:
            reason = f"Cluster {name} may have {row.count_max} machines; {count} were asked for."
            raise CapacityExceeded(reason, code="cluster_full", remedy="Ask for another cluster, or name a larger count_max at first.")
        made = await self.makers.of(row.pool).scale(name, row.tenant, count, key)
        await self._move(name, HELD, made, count=count)
        return made

    async def replace(self, name: str, tenant: str | None, machine_id: str, key: str, *, ending: bool = True) -> Cluster:
        """Put another machine in the place of one, once for each key. Raises as MachineReplacement.replace, InvalidInput `not_offered`."""
        row = await self._standing(name, tenant)
        maker = self.makers.of(row.pool)
        if not hasattr(maker, "replace"):
            raise InvalidInput(f"Pool '{row.pool}' replaces no machines.", code="not_offered", remedy="Scale up, and down again.")
        made = await cast(MachineReplacement, maker).replace(name, row.tenant, machine_id, key, ending=ending)
        await self._move(name, HELD, made)
        return made

    async def release(self, name: str, tenant: str | None) -> Cluster:
        """Remove everything of a cluster. Releasing a released one is not an error. Raises NotFound, Unavailable."""
        row = await self.record(name, tenant)
        if row.state == ENDED:
            return of_record(row)
        await self._move(name, ENDING)
        gone = await self.makers.of(row.pool).release(name, row.tenant)
        await self._move(name, ENDED if gone.state is ClusterState.RELEASED else ENDING, gone)
        return gone

    async def template(self, pool: str, wanted: ClusterSpec) -> str:
        """The CloudFormation template of what is long-lived. Raises InvalidInput `not_offered` for a pool that has none."""
        maker = self.makers.of(pool)
        if not hasattr(maker, "template"):
            raise InvalidInput(f"Pool '{pool}' has no templates.", code="not_offered", remedy="Only pools of AWS have.")
        return cast(ClusterTemplates, maker).template(wanted)

    async def list(
        self, tenant: str | None = None, *, standing: bool = True, limit: int = 100, offset: int = 0
    ) -> builtins.list[ClusterRecord]:
        """Return clusters as the ledger knows them, newest first: a team's, or all."""
        query = select(ClusterRow).order_by(ClusterRow.asked_at.desc(), ClusterRow.id).limit(min(limit, 500)).offset(offset)
        if tenant is not None:
            query = query.where(ClusterRow.tenant == tenant)
        if standing:
            query = query.where(ClusterRow.state.in_((MAKING, HELD, ENDING)))
        async with self._database.transaction() as session:
            return [ClusterRecord.model_validate(row) for row in await session.scalars(query)]

    async def overdue(self, pool: str) -> builtins.list[ClusterRecord]:
        """Return the clusters of a pool whose term is over, and those whose release was cut off."""
        late = (ClusterRow.expires_at < utcnow()) & ClusterRow.state.in_((MAKING, HELD))
        query = select(ClusterRow).where(ClusterRow.pool == pool).where(late | (ClusterRow.state == ENDING))
        async with self._database.transaction() as session:
            return [ClusterRecord.model_validate(row) for row in await session.scalars(query)]

    async def owners(self, pool: str, known: Collection[str]) -> builtins.list[Owner]:
        """Who owns the clusters of a pool: all that stand, and of those that are named also the ended ones."""
        standing = ClusterRow.state.in_((MAKING, HELD, ENDING))
        query = select(ClusterRow).where(ClusterRow.pool == pool).where(standing | ClusterRow.id.in_(known))
        async with self._database.transaction() as session:
            return [owner_of(row) for row in await session.scalars(query)]

    async def note(self, pool: str, findings: Sequence[Finding], outcomes: Callable[[Finding], str]) -> builtins.list[FindingRecord]:
        """Keep what was found in a pool; what is not found any more is settled. Returns what is new."""
        now = utcnow()
        async with self._database.transaction(lock=f"findings/{pool}") as session:
            known = {row.id: row for row in await session.scalars(select(FindingRow).where(FindingRow.pool == pool))}
            fresh = [each for each in findings if each.id not in known or known[each.id].settled_at is not None]
            for each in findings:
                await self._keep(session, each, outcomes(each), now)
            for row in known.values():
                if row.settled_at is None and row.id not in {each.id for each in findings}:
                    row.settled_at = now
            rows = [await session.get_one(FindingRow, each.id, populate_existing=True) for each in fresh]
            return [FindingRecord.model_validate(row) for row in rows]

    async def findings(
        self, tenant: str | None = None, *, open_only: bool = True, limit: int = 100, offset: int = 0
    ) -> builtins.list[FindingRecord]:
        """Return what reconciliations found, newest first: a team's, or all."""
        query = select(FindingRow).order_by(FindingRow.found_at.desc(), FindingRow.id).limit(min(limit, 500)).offset(offset)
        if tenant is not None:
            query = query.where(FindingRow.tenant == tenant)
        if open_only:
            query = query.where(FindingRow.settled_at.is_(None))
        async with self._database.transaction() as session:
            return [FindingRecord.model_validate(row) for row in await session.scalars(query)]

    async def _standing(self, name: str, tenant: str | None) -> ClusterRecord:
        row = await self.record(name, tenant)
        if row.state not in {MAKING, HELD}:
            raise Conflict(f"Cluster {name} is {row.state}.", code="cluster_released", remedy="Ask for a new one with another key.")
        return row

    async def _record(self, pool: str, wanted: ClusterSpec, term: Term | None) -> ClusterRecord:
        """Write the row unless one is there; one that could not be had may be asked for again."""
        name = cluster_id(wanted.key, wanted.form)
        values = {
            **wanted.model_dump(include={"tenant", "key", "lease_id", "run_id", "form", "machine", "price_class", "count"}),
            "id": name,
            "pool": pool,
            "state": MAKING,
            "count_max": max(term.count_max, wanted.count) if term is not None else wanted.count,
            "machines": [],
            "machine_seconds": 0.0,
            "expires_at": utcnow() + timedelta(seconds=term.seconds) if term is not None else None,
            "note": "",
            "asked_at": utcnow(),
        }
        async with self._database.transaction() as session:
            await session.execute(insert(ClusterRow).values(values).on_conflict_do_nothing())
            row = await session.get_one(ClusterRow, name, with_for_update=True)
            if row.state == REFUSED and row.tenant == wanted.tenant:
                row.state, row.ended_at, row.asked_at = MAKING, None, utcnow()
            return ClusterRecord.model_validate(row)

    async def _move(self, name: str, state: str, seen: Cluster | None = None, *, note: str = "", count: int | None = None) -> None:
        async with self._database.transaction() as session:
            row = await session.get_one(ClusterRow, name, with_for_update=True)
            if row.state == ENDED or (row.state == ENDING and state == HELD):
                return  # a release that came meanwhile stands
            now = utcnow()
            if row.counted_at is not None:
                row.machine_seconds += len(row.machines) * (now - row.counted_at).total_seconds()
            row.counted_at = now if state in {HELD, ENDING} else None
            row.state, row.note = state, note or (seen.note if seen is not None else "")
            row.ended_at = now if state in {ENDED, REFUSED} else None
            if state == ENDING:
                row.machines = []  # whoever releases pays no longer, however long it takes
            elif seen is not None:
                row.machines = [machine.id for machine in seen.machines]
            if count is not None:
                row.count = count

    async def _keep(self, session: AsyncSession, finding: Finding, outcome: str, now: datetime) -> None:
        values = {
            **finding.model_dump(include={"pool", "tenant", "cluster_id", "lease_id", "words"}),
            "id": finding.id,
            "kind": finding.kind.value,
            "machines": builtins.list(finding.machines),
            "outcome": outcome,
            "found_at": now,
            "seen_at": now,
            "settled_at": None,
        }
        again = {name: values[name] for name in ("machines", "words", "outcome", "seen_at", "settled_at")}
        statement = insert(FindingRow).values(values)
        await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=again))


def owner_of(row: ClusterRow) -> Owner:
    """The row as an owner."""
    return Owner(
        cluster_id=row.id,
        tenant=row.tenant,
        lease_id=row.lease_id,
        wanted=row.count,
        machines=tuple(row.machines),
        state="making" if row.state == MAKING else "held" if row.state == HELD else "ended",
        since=row.ended_at or row.asked_at,
    )


def of_record(row: ClusterRecord) -> Cluster:
    """An ended cluster, as far as the ledger still knows it."""
    return Cluster(
        id=row.id,
        pool=row.pool,
        tenant=row.tenant,
        lease_id=row.lease_id,
        run_id=row.run_id,
        form=row.form,
        state=ClusterState.RELEASED,
        wanted=0,
        note=row.note,
        created_at=row.asked_at,
    )
