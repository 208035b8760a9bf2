"""Requests and answers that a team asked to have kept of an endpoint: sealed, for as long as it said, and gone afterwards."""

import asyncio
import builtins
import contextvars
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import structlog
from pydantic import BaseModel, JsonValue
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput
from factory_infra.paas.deployments.models import Prediction
from factory_infra.paas.deployments.routes import Route
from factory_infra.paas.deployments.rows import find, lock_of
from factory_infra.paas.deployments.traffic_tables import ConsentRow, RequestRow

DAYS_MAX = 365
WRITE_SECONDS = 0.5
WAITING_MAX = 2000
"""Requests that wait to be written; where the database is away for longer, later ones are not kept."""
PAGE_MAX = 500
log = structlog.get_logger("requests")


class Sealing(Protocol):
    """Closes and opens records under a key of each team."""

    def close(self, tenant: str, name: str, value: JsonValue) -> bytes:
        """Return a value sealed."""
        ...

    def open(self, tenant: str, name: str, sealed: bytes) -> JsonValue:
        """Return what was sealed. Raises EffectFailed."""
        ...


class Consent(BaseModel):
    """Whether an endpoint's requests are kept, for how long, and how many of them."""

    tenant: str
    endpoint: str
    days: int | None
    """None: nothing is kept."""
    share: float = 0.0
    set_by: str = ""
    set_at: datetime | None = None


class LoggedRequest(BaseModel):
    """A request that was kept, with what it was answered."""

    id: str
    at: datetime
    model_name: str
    version: int
    rows: list[list[float]]
    labels: list[str]
    probabilities: list[list[float]] | None = None


class _Waiting(NamedTuple):
    tenant: str
    name: str
    rows: list[list[float]]
    prediction: Prediction
    at: datetime


class RequestLog:
    """Keeping, reading and forgetting, in PostgreSQL. Nothing is kept unless the endpoint's team asked for it."""

    def __init__(self, database: Database, seal: Sealing) -> None:
        self._database = database
        self._seal = seal
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def consent(self, tenant: str, name: str) -> Consent:
        """Whether an endpoint's requests are kept. Raises NotFound."""
        async with self._database.transaction() as session:
            await find(session, tenant, name)
            row = await session.get(ConsentRow, (tenant, name))
        if row is None:
            return Consent(tenant=tenant, endpoint=name, days=None)
        return Consent(tenant=tenant, endpoint=name, days=row.days, share=row.share, set_by=row.set_by, set_at=row.set_at)

    async def set_consent(self, wanted: Consent) -> Consent:
        """Have an endpoint's requests kept from now on, or (days None) nothing, and what was kept forgotten at once.

        Shorter than before, what is older goes at once. Other processes follow within half a second. Raises NotFound, InvalidInput.
        """
        check_consent(wanted)
        tenant, name = wanted.tenant, wanted.endpoint
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            await find(session, tenant, name)
            mine = (RequestRow.tenant == tenant, RequestRow.name == name)
            if wanted.days is None:
                await session.execute(delete(ConsentRow).where(ConsentRow.tenant == tenant, ConsentRow.name == name))
                await session.execute(delete(RequestRow).where(*mine))
            else:
                set_to = {"days": wanted.days, "share": wanted.share, "set_by": wanted.set_by, "set_at": utcnow()}
                values = insert(ConsentRow).values(tenant=tenant, name=name, **set_to)
                await session.execute(values.on_conflict_do_update(index_elements=[ConsentRow.tenant, ConsentRow.name], set_=set_to))
                await session.execute(delete(RequestRow).where(*mine, RequestRow.at < utcnow() - timedelta(days=wanted.days)))
        return await self.consent(tenant, name)

    def keep(self, route: Route, rows: builtins.list[builtins.list[float]], prediction: Prediction) -> None:
        """Take note of a request; it is written a moment later, if its team still wants it then."""
        if len(self._waiting) >= WAITING_MAX:
            return
        self._waiting.append(_Waiting(route.row.tenant, route.row.name, rows, prediction, utcnow()))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._keep_writing(), context=contextvars.Context())

    async def write(self) -> int:
        """Write what waits, where its team wants it now, and say how many that were."""
        taken, self._waiting = self._waiting, []
        kept = 0
        async with self._database.transaction() as session:
            for place in sorted({(each.tenant, each.name) for each in taken}):
                # Held until the rows are in: a team that takes its consent back at this moment waits, and then forgets these too.
                query = select(ConsentRow).where(ConsentRow.tenant == place[0], ConsentRow.name == place[1])
                consent = await session.scalar(query.with_for_update(read=True))
                if consent is not None:
                    wanted = [each for each in taken if (each.tenant, each.name) == place]
                    session.add_all([self._row(each, consent.days) for each in wanted])
                    kept += len(wanted)
        return kept

    def _row(self, waiting: _Waiting, days: int) -> RequestRow:
        name = f"rq-{secrets.token_hex(12)}"
        said = waiting.prediction
        value: dict[str, JsonValue] = {
            "rows": [[*row] for row in waiting.rows],
            "labels": [*said.labels],
            "probabilities": None if said.probabilities is None else [[*each] for each in said.probabilities],
        }
        return RequestRow(
            id=name,
            tenant=waiting.tenant,
            name=waiting.name,
            model_name=said.model_name,
            version=said.version,
            at=waiting.at,
            expires_at=waiting.at + timedelta(days=days),
            sealed=self._seal.close(waiting.tenant, name, value),
        )

    async def recent(
        self, tenant: str, name: str, since: datetime | None = None, limit: int = 100, offset: int = 0
    ) -> builtins.list[LoggedRequest]:
        """Open an endpoint's kept requests, newest first. Raises NotFound, EffectFailed `transcript_unreadable`."""
        query = select(RequestRow).where(RequestRow.tenant == tenant, RequestRow.name == name, RequestRow.expires_at > utcnow())
        query = query.where(RequestRow.at >= since) if since is not None else query
        query = query.order_by(RequestRow.at.desc(), RequestRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        async with self._database.transaction() as session:
            await find(session, tenant, name)
            return [self._opened(row) for row in await session.scalars(query)]

    def _opened(self, row: RequestRow) -> LoggedRequest:
        value = self._seal.open(row.tenant, row.id, row.sealed)
        head = {"id": row.id, "at": row.at, "model_name": row.model_name, "version": row.version}
        return LoggedRequest.model_validate({**head, **(value if isinstance(value, dict) else {})})

    async def expire(self) -> int:
        """Remove what has been kept for as long as was promised, and say how many that were. A job calls this."""
        async with self._database.transaction() as session:
            gone = delete(RequestRow).where(RequestRow.expires_at <= utcnow()).returning(RequestRow.id)
            return len((await session.execute(gone)).all())

    async def close(self) -> None:
        """Write the rest."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
            self._writer = None
            await self.write()

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            try:
                if self._waiting:
                    await self.write()
            except SQLAlchemyError as error:
                log.warning("requests not kept", error=type(error).__name__)


def check_consent(wanted: Consent) -> None:
    """Raise InvalidInput for days or a share that cannot be."""
    if wanted.days is not None and (not 1 <= wanted.days <= DAYS_MAX or not 0 < wanted.share <= 1):
        raise InvalidInput(
            f"Requests are kept for 1 to {DAYS_MAX} days, a share above 0 and at most 1 of them.",
            remedy="Name a number of days and a share, or no days.",
            code="retention_invalid",
        )
