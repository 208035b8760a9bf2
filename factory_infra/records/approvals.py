"""Approvals as they were given: each names one revision of one plan by its digest, and is used once."""

import hashlib
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.records.control_tables import ApprovalRow


class Approval(BaseModel):
    """One person's word on one revision of a plan."""

    model_config = ConfigDict(from_attributes=True)

    plan_id: str
    tenant: str
    digest: str
    revision: int
    actor: str
    role: str
    approve: bool
    reason: str = ""
    at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class Approvals:
    """Written by the plan's workflow, which alone decides whether an approval counts; read by people and by the audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, approval: Approval) -> None:
        """Keep an approval; the same person's word on the same digest again changes nothing."""
        name = hashlib.sha256(f"{approval.plan_id}/{approval.digest}/{approval.actor}".encode()).hexdigest()[:32]
        async with self._database.transaction() as session:
            await session.execute(insert(ApprovalRow).values(id=f"approval-{name}", **approval.model_dump()).on_conflict_do_nothing())

    async def use(self, plan_id: str, digest: str) -> None:
        """Mark the approvals of a digest as used; those that are used already keep their moment."""
        query = update(ApprovalRow).where(ApprovalRow.plan_id == plan_id, ApprovalRow.digest == digest, ApprovalRow.used_at.is_(None))
        async with self._database.transaction() as session:
            await session.execute(query.values(used_at=utcnow()))

    async def of_plan(self, plan_id: str) -> list[Approval]:
        """Return what people said of a plan, oldest first. The caller has shown that the plan may be seen."""
        query = select(ApprovalRow).where(ApprovalRow.plan_id == plan_id).order_by(ApprovalRow.at)
        async with self._database.transaction() as session:
            return [Approval.model_validate(row) for row in await session.scalars(query)]
