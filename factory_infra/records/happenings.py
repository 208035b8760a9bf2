"""Events that belong to no thread: what happened to leases, nodes, teams and the like, written in the transaction that made it so."""

import hashlib
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.records.tables import EventRow

KEY_MAX = 200


class Happening(BaseModel):
    """Something that happened to a thing; once for each thing and verb."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=40, description="NOUN.VERB, such as lease.begun.")
    subject: str = Field(description="What it happened to: the event's key is SUBJECT/VERB.")
    tenant: str | None = Field(default=None, description="Whose; none where it is the platform's own.")
    payload: dict[str, JsonValue] = {}
    at: datetime = Field(default_factory=utcnow, description="When it happened, which may be before it is written.")

    @property
    def key(self) -> str:
        """What makes it one, however often it is written."""
        return f"{self.subject}/{self.kind.rpartition('.')[2]}"


def subject_of(noun: str, *parts: str) -> str:
    """A subject of fixed length for a thing whose name may be long."""
    return f"{noun}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}"


def statement(happening: Happening) -> Insert:
    """What writes it; again changes nothing."""
    values = {
        "key": happening.key[:KEY_MAX],
        "tenant": happening.tenant,
        "thread_id": "",
        "plan_id": "",
        "run_id": "",
        "kind": happening.kind,
        "payload": happening.payload,
        "at": happening.at,
    }
    return insert(EventRow).values(values).on_conflict_do_nothing()


async def happened(session: AsyncSession, happening: Happening) -> None:
    """Write it within the caller's transaction: it happened if and only if the change is committed."""
    await session.execute(statement(happening))
