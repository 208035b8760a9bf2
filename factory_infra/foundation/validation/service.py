"""Keeps what burn-ins found, judges each node against its fleet, and says which nodes must not be handed out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound
from factory_infra.foundation.validation.baseline import Baseline, baseline_file, load_baseline
from factory_infra.foundation.validation.baseline import compare as drift_of
from factory_infra.foundation.validation.judging import Fleet
from factory_infra.foundation.validation.models import BurnIn, Comparison, Drift, Fitness, NodeVerdict, Stack, StackReport
from factory_infra.foundation.validation.tables import BurnInRow, NodeVerdictRow

PAGE_MAX = 500
FLEET_MAX = 10_000
REJUDGED_MAX = 64
"""In a larger fleet one more node moves the median by nothing: only the node itself is judged."""


class Listener(Protocol):
    """Whoever wants to know when a node becomes unfit, or fit again."""

    async def node_judged(self, verdict: NodeVerdict) -> None:
        """Take note. Called after it was written, once for each change."""
        ...


@dataclass(frozen=True)
class Origin:
    """Where a burn-in ran: the job that did it, and the node as its pool calls it."""

    pool: str
    node: str
    job_id: str
    tenant: str
    rank: int = 0


class Validation:
    """Burn-ins and verdicts, in PostgreSQL.

    Args:
        database: where they are kept.
        home: the folder of the installation; baselines lie in it, a file a pool.
        listeners: told of changes.
    """

    def __init__(self, database: Database, home: Path, listeners: Sequence[Listener] = ()) -> None:
        self._database = database
        self._home = home
        self._listeners = tuple(listeners)

    def baseline(self, pool: str) -> Baseline:
        """The baseline of a pool; without a file one that wants no software and compares with the fleet. Raises InvalidInput."""
        return load_baseline(baseline_file(self._home, pool)) or Baseline()

    def report(self, stack: Stack, pool: str, node: str = "") -> StackReport:
        """Compare a node's software with the baseline of its pool. Raises InvalidInput for a baseline that cannot be read."""
        file = baseline_file(self._home, pool)
        baseline = load_baseline(file)
        drift = drift_of(stack, baseline) if baseline else []
        return StackReport(pool=pool, node=node, stack=stack, drift=drift, baseline=file.name if baseline else "")

    async def record(self, found: BurnIn, origin: Origin) -> NodeVerdict:
        """Keep a burn-in and judge its node, and the others of its type again: a fleet that grows can now be compared.

        The same job and rank are kept once. Returns the verdict of this node.
        """
        operators = self.baseline(origin.pool).burn_in.operators
        changed: list[NodeVerdict] = []
        async with self._database.transaction(lock=f"validation/{found.machine_type}") as session:
            await self._keep(session, found, origin, counts=not operators or origin.tenant in operators)
            rows = await newest_of_type(session, found.machine_type)
            fleet = Fleet({key_of(row): BurnIn.model_validate(row.found) for row in rows})
            for row in rows:
                if len(rows) <= REJUDGED_MAX or row.job_id == origin.job_id:
                    changed += await self._judge(session, row, fleet)
            written = await session.get(NodeVerdictRow, (origin.pool, origin.node))
        for verdict in changed:
            for listener in self._listeners:
                await listener.node_judged(verdict)
        if written is None:
            # Its team is none of the operators': it is kept and told, and decides nothing.
            return self._uncounted(found, origin)
        return NodeVerdict.model_validate(written.verdict)

    async def _keep(self, session: AsyncSession, found: BurnIn, origin: Origin, *, counts: bool) -> None:
        values = {
            "job_id": origin.job_id,
            "tenant": origin.tenant,
            "rank": origin.rank,
            "pool": origin.pool,
            "node": origin.node,
            "machine_type": found.machine_type,
            "counts": counts,
            "at": utcnow(),
            "found": found.model_dump(mode="json"),
        }
        await session.execute(insert(BurnInRow).values(values).on_conflict_do_nothing())

    async def _judge(self, session: AsyncSession, row: BurnInRow, fleet: Fleet) -> list[NodeVerdict]:
        """Write what is thought of a node now; return it where it has become unfit, or has been."""
        baseline = self.baseline(row.pool)
        mine = BurnIn.model_validate(row.found)
        comparisons = fleet.compare(key_of(row), baseline.burn_in)
        drift = drift_of(mine.stack, baseline) if mine.stack else []
        fitness, reasons = conclude(comparisons, drift)
        verdict = NodeVerdict(
            pool=row.pool,
            node=row.node,
            host=mine.host,
            machine_type=row.machine_type,
            fitness=fitness,
            reasons=reasons,
            comparisons=comparisons,
            drift=drift,
            measured_at=row.at,
            judged_at=utcnow(),
            job_id=row.job_id,
            tenant=row.tenant,
        )
        before = await session.get(NodeVerdictRow, (row.pool, row.node))
        was = before.fitness if before else "unknown"
        values = {"fitness": fitness, "judged_at": verdict.judged_at, "verdict": verdict.model_dump(mode="json")}
        statement = insert(NodeVerdictRow).values({"pool": row.pool, "node": row.node, **values})
        await session.execute(statement.on_conflict_do_update(index_elements=["pool", "node"], set_=values))
        if before is not None:
            await session.refresh(before)
        return [verdict] if "unfit" in {was, fitness} and was != fitness else []

    def _uncounted(self, found: BurnIn, origin: Origin) -> NodeVerdict:
        now = utcnow()
        told = {"pool": origin.pool, "node": origin.node, "job_id": origin.job_id, "tenant": origin.tenant}
        return NodeVerdict.model_validate(
            {
                **told,
                "host": found.host,
                "machine_type": found.machine_type,
                "fitness": "unknown",
                "reasons": ["Burn-ins of this team do not count in this pool: see 'operators' in its baseline."],
                "comparisons": [],
                "measured_at": now,
                "judged_at": now,
            }
        )

    async def unfit(self, pool: str) -> set[str]:
        """Return the names of the nodes of a pool that must not be handed out."""
        query = select(NodeVerdictRow.node).where(NodeVerdictRow.pool == pool, NodeVerdictRow.fitness == "unfit")
        async with self._database.transaction() as session:
            return set(await session.scalars(query))

    async def verdicts(self, pool: str | None = None, limit: int = 100, offset: int = 0) -> list[NodeVerdict]:
        """Return what is thought of the nodes of a pool, or of all, by name."""
        query = select(NodeVerdictRow).order_by(NodeVerdictRow.pool, NodeVerdictRow.node).limit(min(limit, PAGE_MAX)).offset(offset)
        if pool is not None:
            query = query.where(NodeVerdictRow.pool == pool)
        async with self._database.transaction() as session:
            return [NodeVerdict.model_validate(row.verdict) for row in await session.scalars(query)]

    async def burn_ins(self, pool: str, node: str, limit: int = 20) -> list[BurnIn]:
        """Return the burn-ins of a node, newest first."""
        query = select(BurnInRow).where(BurnInRow.pool == pool, BurnInRow.node == node).order_by(BurnInRow.at.desc())
        async with self._database.transaction() as session:
            return [BurnIn.model_validate(row.found) for row in await session.scalars(query.limit(min(limit, PAGE_MAX)))]

    async def forgive(self, pool: str, node: str) -> None:
        """Forget what was measured on a node, after it was repaired or when it is gone: it is handed out again. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(NodeVerdictRow, (pool, node))
            if row is None:
                raise NotFound(f"Nothing is known of node '{node}' of pool {pool}.", remedy="See 'lineshaft validation report'.")
            await session.delete(row)
            for each in await session.scalars(select(BurnInRow).where(BurnInRow.pool == pool, BurnInRow.node == node)):
                each.counts = False


def key_of(row: BurnInRow) -> str:
    """A node's name among all pools."""
    return f"{row.pool}/{row.node}"


async def newest_of_type(session: AsyncSession, machine_type: str) -> list[BurnInRow]:
    """The newest burn-in that counts of every node of a type."""
    query = (
        select(BurnInRow)
        .where(BurnInRow.machine_type == machine_type, BurnInRow.counts)
        .distinct(BurnInRow.pool, BurnInRow.node)
        .order_by(BurnInRow.pool, BurnInRow.node, BurnInRow.at.desc())
        .limit(FLEET_MAX)
    )
    return list(await session.scalars(query))


def conclude(comparisons: Sequence[Comparison], drift: Sequence[Drift]) -> tuple[Fitness, list[str]]:
    """One bad figure or one error in the software makes a node unfit; where nothing could be compared, nothing is known."""
    bad = [each.reason for each in comparisons if each.verdict == "below"] + [each.reason for each in drift if each.severity == "error"]
    if bad:
        return "unfit", bad
    if not comparisons or all(each.verdict == "too_few" for each in comparisons):
        return "unknown", [comparisons[0].reason] if comparisons else ["Nothing was measured."]
    return "fit", []
