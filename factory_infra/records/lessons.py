"""Keeps what was learnt, each team's by itself."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.records.lesson_tables import LessonRow, RatingRow
from factory_infra.records.models import Event
from factory_infra.records.tables import EventRow

PAGE_MAX = 500
TAUGHT_MAX = 40
"""Promoted lessons that a turn is planned with: the newest. More would make each turn's history long."""
TURN_KINDS = ("message.user", "question", "refusal", "turn.done")


class LessonState(StrEnum):
    """Where a lesson is in its life."""

    CANDIDATE = "candidate"
    EVALUATING = "evaluating"
    PROMOTED = "promoted"
    DROPPED = "dropped"
    REMOVED = "removed"


class Lesson(BaseModel):
    """What one finished run taught: an example says 'these words mean this playbook', a lesson 'these words do not'."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    kind: Literal["example", "lesson"] = "example"
    state: LessonState = LessonState.CANDIDATE
    request: str = Field(description="The person's words.")
    anchor: str = Field(description="The same words with names and numbers masked: what a request is compared with.")
    playbook: str
    slots: dict[str, JsonValue] = {}
    text: str = Field(default="", description="What a person said of it.")
    evidence: dict[str, JsonValue] = Field(description="Plan, digest, outcome, and the rating or the verification.")
    scores: dict[str, JsonValue] = Field(default={}, description="The team's own past requests without it and with it.")
    reason: str = Field(default="", description="Why it was promoted, dropped or removed.")
    workflow_id: str = ""
    by: str = Field(description="Who rated or removed it last, or 'verification'.")
    created_at: datetime = Field(default_factory=utcnow)
    updated_at: datetime = Field(default_factory=utcnow)


class Rating(BaseModel):
    """What one person thought of one plan."""

    model_config = ConfigDict(from_attributes=True)

    plan_id: str
    actor: str
    tenant: str
    thread_id: str
    score: Literal[-1, 1]
    comment: str = ""
    at: datetime = Field(default_factory=utcnow)


def lesson_id(tenant: str, kind: str, playbook: str, anchor: str) -> str:
    """The id of what is taught: the same words of the same team for the same playbook are the same lesson, whoever teaches it."""
    return f"L-{hashlib.sha256(chr(0).join((tenant, kind, playbook, anchor)).encode()).hexdigest()[:16]}"


class Lessons:
    """Lessons and ratings, in PostgreSQL.

    A tenant of None means an administrator, as in `Records`; planning and evaluating always name one. An absent lesson and
    another tenant's give the same NotFound.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rate(self, rating: Rating) -> Rating:
        """Keep a rating; the same person's earlier one of the plan is replaced."""
        values = rating.model_dump()
        said = {name: values[name] for name in ("score", "comment", "at")}
        keep = insert(RatingRow).values(**values).on_conflict_do_update(index_elements=["plan_id", "actor"], set_=said)
        async with self._database.transaction() as session:
            await session.execute(keep)
        return rating

    async def ratings(self, plan_id: str, tenant: str) -> list[Rating]:
        """Return what people thought of a plan, latest first."""
        query = select(RatingRow).where(RatingRow.plan_id == plan_id, RatingRow.tenant == tenant).order_by(RatingRow.at.desc())
        async with self._database.transaction() as session:
            return [Rating.model_validate(row) for row in await session.scalars(query)]

    async def propose(self, lesson: Lesson) -> Lesson:
        """Keep a candidate and return it as it stands: the same again changes nothing, whatever became of the first."""
        async with self._database.transaction() as session:
            await session.execute(insert(LessonRow).values(**lesson.model_dump(mode="python")).on_conflict_do_nothing())
        return await self.get(lesson.id, lesson.tenant)

    async def get(self, identity: str, tenant: str | None) -> Lesson:
        """Return a lesson. Raises NotFound."""
        async with self._database.transaction() as session:
            return Lesson.model_validate(_seen(await session.get(LessonRow, identity), identity, tenant))

    async def find(self, tenant: str | None, state: LessonState | None = None, limit: int = 100, offset: int = 0) -> list[Lesson]:
        """Return lessons, newest first."""
        query = select(LessonRow).order_by(LessonRow.created_at.desc(), LessonRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(LessonRow.tenant == tenant)
        if state is not None:
            query = query.where(LessonRow.state == state.value)
        async with self._database.transaction() as session:
            return [Lesson.model_validate(row) for row in await session.scalars(query)]

    async def promoted(self, tenant: str | None) -> list[Lesson]:
        """Return what a tenant's turns are planned with. One who asks for no team is taught by none."""
        return await self.find(tenant, LessonState.PROMOTED, TAUGHT_MAX) if tenant is not None else []

    async def of_plan(self, plan_id: str, tenant: str) -> list[Lesson]:
        """Return the lessons whose evidence is a plan."""
        query = select(LessonRow).where(LessonRow.tenant == tenant, LessonRow.evidence["plan_id"].astext == plan_id)
        async with self._database.transaction() as session:
            return [Lesson.model_validate(row) for row in await session.scalars(query)]

    async def move(self, lesson: Lesson, state: LessonState, **changed: JsonValue) -> Lesson:
        """Write where a lesson is now, with `scores`, `reason`, `workflow_id` or `by`. Raises Conflict for one that was removed."""
        async with self._database.transaction() as session:
            row = _seen(await session.get(LessonRow, lesson.id, with_for_update=True), lesson.id, lesson.tenant)
            if row.state == LessonState.REMOVED and state is not LessonState.REMOVED:
                raise Conflict(f"Lesson {lesson.id} was removed.", remedy="It stays removed.")
            row.state, row.updated_at = state.value, utcnow()
            for name, value in changed.items():
                setattr(row, name, value)
            return Lesson.model_validate(row)

    async def turns(self, tenant: str, limit: int = 2000) -> list[Event]:
        """Return the events that say what a tenant asked and what came of it, oldest first, the latest `limit` of them."""
        return await self._turn_events(EventRow.tenant == tenant, limit)

    async def turns_of_thread(self, thread_id: str, limit: int = 2000) -> list[Event]:
        """Return the same of one thread. The caller has shown that the thread may be seen."""
        return await self._turn_events(EventRow.thread_id == thread_id, limit)

    async def _turn_events(self, whose: ColumnElement[bool], limit: int) -> list[Event]:
        query = select(EventRow).where(whose, EventRow.kind.in_(TURN_KINDS)).order_by(EventRow.id.desc()).limit(limit)
        async with self._database.transaction() as session:
            return [Event.model_validate(row) for row in reversed((await session.scalars(query)).all())]


def _seen(row: LessonRow | None, identity: str, tenant: str | None) -> LessonRow:
    """A row that the tenant may see. Raises NotFound."""
    if row is None or (tenant is not None and row.tenant != tenant):
        raise NotFound(f"There is no lesson {identity}.", remedy="List your lessons with GET /v1/lessons.", code="lesson_unknown")
    return row
