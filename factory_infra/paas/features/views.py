"""Definitions of views and their versions, and which writes count."""

import time
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.paas.features.interface import Sources
from factory_infra.paas.features.models import Batch, FeatureView, StoredView
from factory_infra.paas.features.rows import checked_view
from factory_infra.paas.features.tables import BatchRow, ViewRow

RECENT_SECONDS = 1.0
RECENT_MAX = 1_000


class ViewBook:
    """Keeps definitions: a version never changes; another definition under the same name is the next version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent: dict[tuple[str, str, int | None], tuple[float, StoredView]] = {}

    async def define(self, tenant: str, view: FeatureView, provider: str, by: str) -> StoredView:
        """Keep a definition and return its version: the newest one where that is equal. Raises InvalidInput."""
        checked_view(view)
        self._recent.clear()
        digest = view.digest()
        async with self._database.transaction(lock=f"feature-view:{tenant}/{view.name}") as session:
            newest = await session.scalar(_versions(tenant, view.name).limit(1))
            if newest is not None and newest.digest == digest and newest.retired_at is None:
                return stored(newest)
            row = ViewRow(
                tenant=tenant,
                name=view.name,
                version=newest.version + 1 if newest is not None else 1,
                definition=view.model_dump(mode="json"),
                digest=digest,
                provider=provider,
                created_by=by[:128],
                created_at=utcnow(),
                retired_at=None,
            )
            session.add(row)
            return stored(row)

    async def get(self, tenant: str, name: str, version: int | None = None) -> StoredView:
        """Return a version, the newest that is not retired without a number. Raises NotFound, also for another team's."""
        query = _versions(tenant, name)
        query = query.where(ViewRow.retired_at.is_(None)) if version is None else query.where(ViewRow.version == version)
        async with self._database.transaction() as session:
            row = await session.scalar(query.limit(1))
        if row is None:
            what = name if version is None else f"{name}@{version}"
            raise NotFound(
                f"Team {tenant} has no feature view {what[:80]}.",
                remedy="List the views to see those that exist.",
                code="feature_view_unknown",
            )
        return stored(row)

    async def recent(self, tenant: str, name: str, version: int | None = None) -> StoredView:
        """Return what `get` would, or would have up to a second ago: for readings, which would else ask twice. Raises NotFound.

        What this process itself defines or retires is seen at once.
        """
        known = self._recent.get((tenant, name, version))
        if known is not None and time.monotonic() - known[0] < RECENT_SECONDS:
            return known[1]
        view = await self.get(tenant, name, version)
        if len(self._recent) >= RECENT_MAX:
            self._recent.clear()
        self._recent[tenant, name, version] = (time.monotonic(), view)
        return view

    async def list(self, tenant: str | None, *, every: bool = False, limit: int = 100, offset: int = 0) -> list[StoredView]:
        """Return views by team and name, newest version first.

        Args:
            tenant: whose; None for all teams'.
            every: retired versions too.
            limit: at most so many.
            offset: leave out so many.
        """
        query = select(ViewRow).order_by(ViewRow.tenant, ViewRow.name, ViewRow.version.desc()).limit(limit).offset(offset)
        if tenant is not None:
            query = query.where(ViewRow.tenant == tenant)
        if not every:
            query = query.where(ViewRow.retired_at.is_(None))
        async with self._database.transaction() as session:
            return [stored(row) for row in await session.scalars(query)]

    async def retire(self, tenant: str, name: str, version: int) -> StoredView:
        """Take a version out of use. Idempotent. Raises NotFound."""
        self._recent.clear()
        async with self._database.transaction(lock=f"feature-view:{tenant}/{name}") as session:
            row = await session.get(ViewRow, (tenant, name, version))
            if row is not None:
                row.retired_at = row.retired_at or utcnow()
                return stored(row)
        return await self.get(tenant, name, version)

    async def sources(self, view: StoredView) -> Sources:
        """The view with every write that counts, in the order in which they were made."""
        query = select(BatchRow).where(BatchRow.tenant == view.tenant, BatchRow.view == view.name, BatchRow.version == view.version)
        async with self._database.transaction() as session:
            rows = await session.scalars(query.order_by(BatchRow.written_at, BatchRow.key))
            return Sources(view=view, batches=tuple(batch_of(row) for row in rows))

    async def batch(self, tenant: str, key: str, digest: str) -> Batch | None:
        """The write of a key, None where there is none. Raises Conflict where it wrote other rows."""
        async with self._database.transaction() as session:
            return await known_batch(session, tenant, key, digest)

    async def keep(self, key: str, batch: Batch) -> Batch:
        """Make a write count, once under its key. Raises Conflict."""
        async with self._database.transaction(lock=f"feature-batch:{batch.tenant}/{key}") as session:
            known = await known_batch(session, batch.tenant, key, batch.digest)
            if known is None:
                session.add(BatchRow(key=key, **batch.model_dump()))
            return known or batch

    async def shown(self, view: StoredView, end: datetime) -> None:
        """Note that readings see every write of a version whose events end by a moment."""
        hidden = update(BatchRow).where(BatchRow.tenant == view.tenant, BatchRow.view == view.name, BatchRow.version == view.version)
        async with self._database.transaction() as session:
            await session.execute(hidden.where(~BatchRow.online, BatchRow.last_event_at <= end).values(online=True))

    async def counts(self, views: Sequence[StoredView]) -> dict[str, int]:
        """How many rows were written to each of some views, by title and team."""
        query = select(BatchRow.tenant, BatchRow.view, BatchRow.version, func.sum(BatchRow.rows))
        query = query.where(BatchRow.tenant.in_({view.tenant for view in views}), BatchRow.view.in_({view.name for view in views}))
        async with self._database.transaction() as session:
            found = await session.execute(query.group_by(BatchRow.tenant, BatchRow.view, BatchRow.version))
            return {f"{tenant}/{name}@{version}": int(rows) for tenant, name, version, rows in found}


def _versions(tenant: str, name: str) -> Select[ViewRow]:
    return select(ViewRow).where(ViewRow.tenant == tenant, ViewRow.name == name).order_by(ViewRow.version.desc())


async def known_batch(session: AsyncSession, tenant: str, key: str, digest: str) -> Batch | None:
    """The write of a key, None where there is none. Raises Conflict where it wrote other rows."""
    row = await session.get(BatchRow, (tenant, key))
    if row is not None and row.digest != digest:
        raise Conflict("This key wrote other rows.", remedy="Use a key once; nothing was written.", code="key_reused")
    return batch_of(row) if row is not None else None


def batch_of(row: BatchRow) -> Batch:
    """Shape a row for callers."""
    return Batch(**{name: getattr(row, name) for name in Batch.model_fields})


def stored(row: ViewRow) -> StoredView:
    """Shape a row for callers."""
    kept = {name: getattr(row, name) for name in ("tenant", "version", "provider", "created_by", "created_at", "retired_at")}
    return StoredView.model_validate({**row.definition, **kept})
