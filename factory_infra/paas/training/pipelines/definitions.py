"""Pipelines of teams: versions that never change, and people's standing word on them."""

import builtins
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from pydantic import JsonValue
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.training.pipelines.models import PipelineLine, PipelineVersion, Standing
from factory_infra.paas.training.pipelines.reading import Definition, Source, define
from factory_infra.paas.training.pipelines.tables import VersionRow
from factory_infra.records.audit import digest_of

STANDING_DAYS_MAX = 365
Listed = Callable[[PipelineVersion, bool], Awaitable[None]]


class Pipelines:
    """Keeps definitions.

    Args:
        database: where they are kept.
        listed: told of each new version (True) and of each that is retired (False): the catalog lists them.
    """

    def __init__(self, database: Database, listed: Listed | None = None) -> None:
        self._database = database
        self._listed = listed

    async def apply(self, tenant: str, made: Definition, by: str, *, made_from: int | None = None) -> PipelineVersion:
        """Keep a definition as the next version; one that equals the newest is that version.

        Args:
            tenant: whose.
            made: as it was read.
            by: who.
            made_from: the version that the change was made from. Raises Conflict `pipeline_changed` where another is the newest by now.
        """
        source, name = made.source, made.spec.pipeline
        digest = digest_of(source.document)
        async with self._database.transaction(lock=f"pipeline:{tenant}/{name}") as session:
            newest = await newest_row(session, tenant, name)
            there = newest.version if newest is not None else 0
            if made_from is not None and made_from != there:
                raise Conflict(
                    f"Pipeline {name} has version {there} by now, your change was made from {made_from}.",
                    remedy="Read it again, and make your change to that version.",
                    code="pipeline_changed",
                )
            if newest is not None and newest.digest == digest and newest.retired_at is None:
                return shaped(newest)
            row = VersionRow(
                tenant=tenant,
                name=name,
                version=there + 1,
                digest=digest,
                document=source.document,
                text=source.text,
                file=source.file[-200:],
                lines={**source.lines()},
                approvals=[],
                created_by=by[:128],
                created_at=utcnow(),
                retired_at=None,
            )
            session.add(row)
            kept = shaped(row)
        if self._listed is not None:
            await self._listed(kept, True)
        return kept

    async def get(self, tenant: str, name: str, version: int | None = None) -> PipelineVersion:
        """Return a version, the newest where none is named. Raises NotFound `pipeline_unknown`, also for another team's."""
        async with self._database.transaction() as session:
            return shaped(await found(session, tenant, name, version))

    async def list(self, tenant: str | None, limit: int = 100, offset: int = 0) -> builtins.list[PipelineLine]:
        """Return the newest version of each pipeline in use, by team and name."""
        newest = select(VersionRow.tenant, VersionRow.name, func.max(VersionRow.version).label("version"))
        latest = newest.group_by(VersionRow.tenant, VersionRow.name).subquery()
        same = (VersionRow.tenant == latest.c.tenant) & (VersionRow.name == latest.c.name) & (VersionRow.version == latest.c.version)
        query = select(VersionRow).join(latest, same).where(VersionRow.retired_at.is_(None))
        query = query.where(VersionRow.tenant == tenant) if tenant is not None else query
        query = query.order_by(VersionRow.tenant, VersionRow.name).limit(limit).offset(offset)
        async with self._database.transaction() as session:
            return [line_of(row) for row in await session.scalars(query)]

    async def versions(self, tenant: str, name: str, limit: int = 100, offset: int = 0) -> builtins.list[PipelineVersion]:
        """Return the versions of one, newest first. Raises NotFound."""
        query = select(VersionRow).where(VersionRow.tenant == tenant, VersionRow.name == name).order_by(VersionRow.version.desc())
        async with self._database.transaction() as session:
            await found(session, tenant, name, None)
            return [shaped(row) for row in await session.scalars(query.limit(limit).offset(offset))]

    async def retire(self, tenant: str, name: str) -> PipelineVersion:
        """Take a pipeline out of use: it starts no more, and its runs stay. Raises NotFound."""
        async with self._database.transaction(lock=f"pipeline:{tenant}/{name}") as session:
            row = await found(session, tenant, name, None)
            row.retired_at = row.retired_at or utcnow()
            kept = shaped(row)
        if self._listed is not None:
            await self._listed(kept, False)
        return kept

    async def stand_by(self, tenant: str, name: str, digest: str, who: tuple[str, str], days: int) -> PipelineVersion:
        """Keep one person's standing word on the newest version: for so many days its runs need no other word of theirs.

        Args:
            tenant: whose.
            name: which pipeline.
            digest: of the version that was read. Raises Conflict `digest_mismatch` for any other.
            who: the actor and their role.
            days: at most a year; 0 takes the word back.
        """
        actor, role = who
        if not 0 <= days <= STANDING_DAYS_MAX:
            raise InvalidInput(f"A word stands for at most {STANDING_DAYS_MAX} days.", remedy="Give fewer.")
        async with self._database.transaction(lock=f"pipeline:{tenant}/{name}") as session:
            row = await found(session, tenant, name, None)
            if row.digest != digest:
                raise Conflict(
                    f"Pipeline {name} is version {row.version} with another digest.", remedy="Read it again.", code="digest_mismatch"
                )
            now = utcnow()
            others = [each for each in shaped(row).approvals if each.actor != actor]
            mine = [Standing(actor=actor, role=role, at=now, expires_at=now + timedelta(days=days))] if days else []
            row.approvals = [each.model_dump(mode="json") for each in (*others, *mine)]
            return shaped(row)

    def defined(self, kept: PipelineVersion, given: Mapping[str, JsonValue], *, stand_ins: bool = False) -> Definition:
        """A version with its parameters filled in. Raises InvalidInput that names file and line."""
        return define(Source(kept.document, kept.text, kept.file), given, stand_ins=stand_ins)


async def newest_row(session: AsyncSession, tenant: str, name: str) -> VersionRow | None:
    """The row of the newest version."""
    query = select(VersionRow).where(VersionRow.tenant == tenant, VersionRow.name == name)
    row: VersionRow | None = await session.scalar(query.order_by(VersionRow.version.desc()).limit(1))
    return row


async def found(session: AsyncSession, tenant: str, name: str, version: int | None) -> VersionRow:
    """The row of a version. Raises NotFound."""
    row = await newest_row(session, tenant, name) if version is None else await session.get(VersionRow, (tenant, name, version))
    if row is None:
        wanted = name if version is None else f"{name} version {version}"
        remedy = "List them with 'lineshaft pipelines list', or add it: lineshaft pipelines apply FILE."
        raise NotFound(f"Team {tenant} has no pipeline {wanted[:80]}.", remedy=remedy, code="pipeline_unknown")
    return row


def shaped(row: VersionRow) -> PipelineVersion:
    """Shape a row for callers."""
    return PipelineVersion.model_validate(row)


def line_of(row: VersionRow) -> PipelineLine:
    """Shape a row for a list."""
    steps = row.document.get("steps")
    return PipelineLine(
        tenant=row.tenant,
        name=row.name,
        version=row.version,
        description=str(row.document.get("description", "")),
        steps=len(steps) if isinstance(steps, list) else 0,
        digest=row.digest,
        created_by=row.created_by,
        created_at=row.created_at,
    )
