"""Reads what happened across threads: a tenant's recent events, a plan's effects. Never another tenant's."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from factory_infra.database import Database
from factory_infra.records.models import Event
from factory_infra.records.tables import EffectRow, EventRow

EVENTS_MAX = 500
EFFECTS_MAX = 200


class Effect(BaseModel):
    """One effect that was done under a key."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    tool: str
    tenant: str
    at: datetime


class Journal:
    """Reads over events and effects, by tenant; a tenant of None sees all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(self, tenant: str | None, *, plan_id: str | None = None, kinds: Sequence[str] = (), limit: int = 50) -> list[Event]:
        """Return the newest events, oldest of them first."""
        query = select(EventRow).order_by(EventRow.id.desc()).limit(max(1, min(limit, EVENTS_MAX)))
        query = query.where(EventRow.tenant == tenant) if tenant is not None else query
        query = query.where(EventRow.plan_id == plan_id) if plan_id is not None else query
        query = query.where(EventRow.kind.in_(kinds)) if kinds else query
        async with self._database.transaction() as session:
            return [Event.model_validate(row) for row in await session.scalars(query)][::-1]

    async def effects(self, plan_id: str) -> list[Effect]:
        """Return the effects that were done under a plan's key, by key, whoever's. The caller has shown that the plan may be seen."""
        query = select(EffectRow).where(EffectRow.key.startswith(f"{plan_id}/", autoescape=True))
        async with self._database.transaction() as session:
            return [Effect.model_validate(row) for row in await session.scalars(query.order_by(EffectRow.key).limit(EFFECTS_MAX))]
