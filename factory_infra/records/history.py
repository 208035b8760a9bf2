"""What a team did lately, in numbers: what a policy's limits by the hour are compared with."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select

from factory_infra.database import Database
from factory_infra.records.tables import EffectRow, EventRow, PlanRow
from factory_infra.saas.metering.tables import EntryRow

UNDER_WAY = ("approved", "running", "paused")
"""States of plans that hold, or may soon hold, something."""


class ModelUse(NamedTuple):
    """Calls of the model and their tokens, in both directions."""

    calls: int
    tokens: int


class History:
    """Counts over effects, plans and the ledger, of one team at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def effects(self, tenant: str, since: datetime, job_tools: Collection[str] = ()) -> dict[str, int]:
        """Return how many effects a team had since a moment, by tool.

        Args:
            tenant: the team.
            since: the moment.
            job_tools: tools whose work is a job; their effects are counted where they began, for the job itself keeps their key.
        """
        done = select(EffectRow.tool, func.count()).where(EffectRow.tenant == tenant, EffectRow.at >= since)
        tool = EventRow.payload["tool"].astext
        begun = select(tool, func.count()).where(EventRow.tenant == tenant, EventRow.at >= since, EventRow.kind == "step.started")
        async with self._database.transaction() as session:
            found = Counter({row[0]: int(row[1]) for row in await session.execute(done.group_by(EffectRow.tool))})
            if job_tools:
                rows = await session.execute(begun.where(tool.in_(job_tools)).group_by(tool))
                found.update({row[0]: int(row[1]) for row in rows})
        return dict(found)

    async def runs_at_once(self, tenant: str, but: str = "") -> int:
        """Return how many plans of a team are under way, leaving one out."""
        query = select(func.count()).where(PlanRow.tenant == tenant, PlanRow.state.in_(UNDER_WAY), PlanRow.id != but)
        async with self._database.transaction() as session:
            return int(await session.scalar(query) or 0)

    async def model_use(self, tenant: str, since: datetime) -> ModelUse:
        """Return what the ledger has of a team's calls of the model since a moment."""
        tokens = func.coalesce(func.sum(EntryRow.quantity + EntryRow.quantity_out), 0)
        query = select(func.count(), tokens).where(
            EntryRow.tenant == tenant, EntryRow.at >= since, EntryRow.unit == "tokens", EntryRow.action == "settle"
        )
        async with self._database.transaction() as session:
            calls, used = (await session.execute(query)).one()
        return ModelUse(int(calls), int(used))
