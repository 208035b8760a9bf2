"""Writes and reads what happened."""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound
from factory_infra.records.audit import NewEntry, digest_of, write
from factory_infra.records.models import Event, NewEvent, PlanRecord, Thread
from factory_infra.records.runs import project
from factory_infra.records.tables import EffectRow, EventRow, PlanRow, ThreadRow

PAGE_MAX = 500
EFFECTS_MAX = 8
"""Effects at one time: each holds a connection for its lock, and needs others of the same pool for its work."""


class Records:
    """Threads, plans, events and the journal of effects, in PostgreSQL.

    A tenant of None in a read means an administrator, who sees all; anything else sees its own only, and an absent object
    and another tenant's give the same NotFound.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._effects = asyncio.Semaphore(EFFECTS_MAX)

    async def write_event(self, event: NewEvent) -> None:
        """Append an event and move its run; one of the same key is left as it was, and moves nothing.

        The lock makes ids grow in the order of commits within a thread, so that a stream which resumes after an id misses none.
        """
        async with self._database.transaction(lock=f"events/{event.thread_id}") as session:
            values = insert(EventRow).values(**event.model_dump(), at=utcnow())
            written = await session.scalar(values.on_conflict_do_nothing().returning(EventRow.id))
            if written is not None:
                await project(session, event)

    async def read_events(self, thread_id: str, after: int = 0, limit: int = PAGE_MAX) -> list[Event]:
        """Return a thread's events after an id, oldest first. The caller has shown that the thread may be seen."""
        query = select(EventRow).where(EventRow.thread_id == thread_id, EventRow.id > after).order_by(EventRow.id)
        async with self._database.transaction() as session:
            return [Event.model_validate(row) for row in await session.scalars(query.limit(min(limit, PAGE_MAX)))]

    async def create_thread(self, thread: Thread) -> None:
        """Keep a new thread; the same id again changes nothing."""
        async with self._database.transaction() as session:
            await session.execute(insert(ThreadRow).values(**thread.model_dump()).on_conflict_do_nothing())

    async def thread(self, thread_id: str, tenant: str | None) -> Thread:
        """Return a thread. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(ThreadRow, thread_id)
        if row is None or (tenant is not None and row.tenant != tenant):
            raise NotFound(f"There is no thread {thread_id}.", remedy="List your threads with GET /v1/threads.")
        return Thread.model_validate(row)

    async def threads(self, tenant: str | None, limit: int = 50, offset: int = 0) -> list[Thread]:
        """Return threads, newest first."""
        query = select(ThreadRow).order_by(ThreadRow.created_at.desc()).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(ThreadRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [Thread.model_validate(row) for row in await session.scalars(query)]

    async def title_thread(self, thread_id: str, title: str) -> None:
        """Name a thread by its first message; a named one keeps its name."""
        async with self._database.transaction() as session:
            row = await session.get(ThreadRow, thread_id)
            if row is not None and not row.title:
                row.title = title[:200]

    async def save_plan(self, record: PlanRecord) -> None:
        """Keep a new plan, or another revision of its document; what became of it and who decided stay."""
        changed = {"document": record.document, "digest": record.digest, "updated_at": record.updated_at}
        values = insert(PlanRow).values(**record.model_dump())
        async with self._database.transaction() as session:
            await session.execute(values.on_conflict_do_update(index_elements=[PlanRow.id], set_=changed))

    async def move_plan(
        self, plan_id: str, state: str, *, decided_by: str | None = None, outcome: dict[str, JsonValue] | None = None
    ) -> None:
        """Write where a plan is now. Raises NotFound. Writing the same again changes nothing but the moment."""
        async with self._database.transaction() as session:
            row = await session.get(PlanRow, plan_id, with_for_update=True)
            if row is None:
                raise NotFound(f"There is no plan {plan_id}.")
            row.state, row.updated_at = state, utcnow()
            row.decided_by = decided_by or row.decided_by
            row.outcome = outcome if outcome is not None else row.outcome

    async def plan(self, plan_id: str, tenant: str | None) -> PlanRecord:
        """Return a plan. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(PlanRow, plan_id)
        if row is None or (tenant is not None and row.tenant != tenant):
            raise NotFound(f"There is no plan {plan_id}.", remedy="List your plans with GET /v1/plans.")
        return PlanRecord.model_validate(row)

    async def plans(
        self, tenant: str | None, state: str | None = None, limit: int = 50, offset: int = 0, *, project: str = ""
    ) -> list[PlanRecord]:
        """Return plans, newest first; of a state or a project where it is named."""
        query = select(PlanRow).order_by(PlanRow.created_at.desc()).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(PlanRow.tenant == tenant)
        if state is not None:
            query = query.where(PlanRow.state == state)
        if project:
            query = query.where(PlanRow.project == project)
        async with self._database.transaction() as session:
            return [PlanRecord.model_validate(row) for row in await session.scalars(query)]

    async def once(self, key: str, tool: str, tenant: str, effect: Callable[[], Awaitable[dict[str, JsonValue]]]) -> dict[str, JsonValue]:
        """Do an effect at most once under a key and return its result; asked again, return the first result.

        The lock is held while the effect runs, so that an attempt whose caller was given up for dead and its successor
        run one after the other. A crash between the effect and this record is closed by the effect's own key.
        """
        async with self._effects, self._database.transaction(lock=f"effect/{key}") as session:
            row = await session.get(EffectRow, key)
            if row is not None:
                return row.result
            result = await effect()
            session.add(EffectRow(key=key, tool=tool, tenant=tenant, result=result))
            told = NewEntry(action=f"tool:{tool}", object=f"effect/{key}", tenant=tenant, after=digest_of(result), actor="agents")
            await write(session, told)
            return result
