"""Findings with what was decided about each: listed afresh from what is known now, dismissed for a time, or being mended by a plan."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.paas.optimization.facts import FactReader
from factory_infra.paas.optimization.findings import Finding, Thresholds, find
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.optimization.service import Owner
from factory_infra.paas.optimization.tables import FindingRow

USUAL = Thresholds()
FIXING, DISMISSED = "fixing", "dismissed"
STATES_OVER = frozenset({"failed", "cancelled", "refused", "expired", "escalated", "undone", "gated"})
"""States of a plan after which its finding is open again: it did not mend it."""


class Attempt(BaseModel):
    """A plan that is about to be proposed for a finding."""

    finding: Finding
    number: int
    """From 1: each has an id of its own."""

    @property
    def plan_id(self) -> str:
        """The same attempt at the same finding gives the same plan."""
        return f"plan-{self.finding.id}-{self.number}"


class Findings:
    """Finds what is paid for and not needed."""

    def __init__(self, database: Database, ledger: Ledger, accelerators: AcceleratorPools) -> None:
        self._database = database
        self._reader = FactReader(database, ledger, accelerators)

    async def list(self, owner: Owner, limits: Thresholds = USUAL, *, every: bool = False) -> Sequence[Finding]:
        """Return what is found now, what saves most first. Dismissed ones are left out unless all are wanted."""
        found = find(await self._reader.read(owner.team, limits), limits)
        now = utcnow()
        async with self._database.transaction() as session:
            rows = await session.scalars(select(FindingRow).where(FindingRow.id.in_([each.id for each in found])))
            decided = {row.id: row for row in rows}
        told = [with_decision(each, decided.get(each.id), now) for each in found]
        return [each for each in told if every or each.state != DISMISSED]

    async def get(self, finding_id: str, owner: Owner, limits: Thresholds = USUAL) -> Finding:
        """Return a finding that still holds. Raises NotFound: for what is mended already, and for another team's alike."""
        for each in await self.list(owner, limits, every=True):
            if each.id == finding_id:
                return each
        raise NotFound(
            f"There is no finding {finding_id[:64]} now.", remedy="List them with 'lineshaft costs findings'.", code="finding_unknown"
        )

    async def attempt(self, finding_id: str, owner: Owner) -> Attempt:
        """Return what a plan is to be proposed for. Raises NotFound, and Conflict for what cannot be mended now (`finding_blocked`)."""
        found = await self.get(finding_id, owner)
        if found.blocked:
            raise Conflict(found.blocked, remedy="Ask again when they have ended.", code="finding_blocked")
        async with self._database.transaction() as session:
            row = await session.get(FindingRow, finding_id)
        over = row is not None and row.decision != FIXING
        return Attempt(finding=found, number=(row.attempts if row else 0) + 1 if row is None or over else row.attempts)

    async def fixing(self, attempt: Attempt, by: str) -> None:
        """Keep which plan mends a finding. The same attempt again changes nothing."""
        found = attempt.finding
        values = {"decision": FIXING, "plan_id": attempt.plan_id, "attempts": attempt.number, "reason": "", "until": None}
        await self._decide(found, {**values, "decided_by": by[:160], "decided_at": utcnow()})

    async def reopened(self, finding_id: str, plan_state: str) -> bool:
        """Open a finding again whose plan ended without mending it. Returns whether it did."""
        if plan_state not in STATES_OVER:
            return False
        async with self._database.transaction() as session:
            row = await session.get(FindingRow, finding_id, with_for_update=True)
            if row is None or row.decision != FIXING:
                return False
            row.decision, row.plan_id = "open", ""
        return True

    async def dismiss(self, finding_id: str, owner: Owner, reason: str, days: int | None, by: str) -> Finding:
        """Leave a finding out of lists for some days, or for good. Raises NotFound."""
        found = await self.get(finding_id, owner)
        until = None if days is None else utcnow() + timedelta(days=days)
        told = {"decision": DISMISSED, "reason": reason[:400], "until": until, "decided_by": by[:160], "decided_at": utcnow()}
        await self._decide(found, told)
        return found.model_copy(update={"state": DISMISSED})

    async def _decide(self, found: Finding, told: Mapping[str, object]) -> None:
        row = {"id": found.id, "tenant": found.team, "kind": found.kind, "subject": found.subject[:200]}
        statement = insert(FindingRow).values({"plan_id": "", "attempts": 0, **row, **told})
        async with self._database.transaction() as session:
            await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=dict(told)))


def with_decision(found: Finding, row: FindingRow | None, now: datetime) -> Finding:
    """A finding with what was decided of it, while that holds."""
    if row is None or row.decision == "open" or (row.decision == DISMISSED and row.until is not None and row.until <= now):
        return found
    return found.model_copy(update={"state": row.decision, "plan_id": row.plan_id})
