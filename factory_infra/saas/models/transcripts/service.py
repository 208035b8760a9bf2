"""Prompts and answers that a team asked to have kept: sealed, for as long as it said, and gone afterwards."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.notices import tell
from factory_infra.saas.models.transcripts.models import Kept, Retention, Transcript, TranscriptHead
from factory_infra.saas.models.transcripts.seal import Seal
from factory_infra.saas.models.transcripts.tables import RetentionRow, TranscriptRow

CHANNEL = "model_retention"
"""Told with a team's name when what it wants kept has changed."""
DAYS_MAX = 365


class Transcripts:
    """Keeping, reading and forgetting, in PostgreSQL."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    async def retention(self, tenant: str) -> Retention:
        """Whether a team's calls are kept, and for how long."""
        async with self._database.transaction() as session:
            row = await session.get(RetentionRow, tenant)
        if row is None:
            return Retention(tenant=tenant, days=None)
        return Retention(tenant=tenant, days=row.days, set_by=row.set_by, set_at=row.set_at)

    async def set_retention(self, tenant: str, days: int | None, by: str) -> Retention:
        """Have a team's calls kept for some days from now on, or (None) nothing kept and what was kept forgotten at once.

        Shorter than before, what is older goes at once; longer, what is there keeps the day that it was promised. Raises InvalidInput.
        """
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise InvalidInput(
                f"Calls are kept for 1 to {DAYS_MAX} days.", remedy="Name a number of days, or none.", code="retention_invalid"
            )
        async with self._database.transaction(lock=f"retention/{tenant}") as session:
            if days is None:
                await session.execute(delete(RetentionRow).where(RetentionRow.tenant == tenant))
                await session.execute(delete(TranscriptRow).where(TranscriptRow.tenant == tenant))
            else:
                set_to = {"days": days, "set_by": by, "set_at": utcnow()}
                values = insert(RetentionRow).values(tenant=tenant, **set_to)
                await session.execute(values.on_conflict_do_update(index_elements=[RetentionRow.tenant], set_=set_to))
                oldest = utcnow() - timedelta(days=days)
                await session.execute(delete(TranscriptRow).where(TranscriptRow.tenant == tenant, TranscriptRow.at < oldest))
            await tell(session, CHANNEL, tenant)
        return await self.retention(tenant)

    async def keep(self, calls: Sequence[Kept]) -> int:
        """Keep those calls whose teams want it now, and say how many that were; the same call again changes nothing."""
        now, kept = utcnow(), 0
        async with self._database.transaction() as session:
            wanted = {call.tenant for call in calls}
            # Held until the rows are in: a team that turns keeping off at this moment waits, and then forgets these too.
            rows = await session.scalars(select(RetentionRow).where(RetentionRow.tenant.in_(wanted)).with_for_update(read=True))
            days = {row.tenant: row.days for row in rows}
            for call in calls:
                if call.tenant in days:
                    await session.execute(insert(TranscriptRow).values(self._row(call, now, days[call.tenant])).on_conflict_do_nothing())
                    kept += 1
        return kept

    def _row(self, call: Kept, now: datetime, days: int) -> dict[str, object]:
        sealed = self._seal.close(call.tenant, call.id, {"request": call.request, "answer": call.answer})
        head = call.model_dump(include={"id", "tenant", "key_id", "model"})
        return {**head, "at": now, "expires_at": now + timedelta(days=days), "sealed": sealed}

    async def list(self, tenant: str, limit: int = 100, offset: int = 0) -> list[TranscriptHead]:
        """Return a team's kept calls, newest first, without a word of them."""
        query = select(TranscriptRow).where(TranscriptRow.tenant == tenant, TranscriptRow.expires_at > utcnow())
        query = query.order_by(TranscriptRow.at.desc(), TranscriptRow.id).limit(limit).offset(offset)
        async with self._database.transaction() as session:
            return [TranscriptHead.model_validate(row) for row in await session.scalars(query)]

    async def read(self, transcript_id: str, tenant: str) -> Transcript:
        """Open a kept call of a team. Raises NotFound, also once its time is over, and EffectFailed `transcript_unreadable`."""
        async with self._database.transaction() as session:
            row = await session.get(TranscriptRow, transcript_id)
        if row is None or row.tenant != tenant or row.expires_at <= utcnow():
            raise unknown(transcript_id)
        opened = self._seal.open(row.tenant, row.id, row.sealed)
        head = TranscriptHead.model_validate(row)
        return Transcript.model_validate({**head.model_dump(), **(opened if isinstance(opened, dict) else {})})

    async def forget(self, transcript_id: str, tenant: str) -> None:
        """Remove a kept call of a team now. Raises NotFound."""
        async with self._database.transaction() as session:
            gone = delete(TranscriptRow).where(TranscriptRow.id == transcript_id, TranscriptRow.tenant == tenant)
            found = await session.execute(gone.returning(TranscriptRow.id))
            if found.first() is None:
                raise unknown(transcript_id)

    async def expire(self) -> int:
        """Remove what has been kept for as long as was promised, and say how many that were. A job calls this."""
        async with self._database.transaction() as session:
            gone = delete(TranscriptRow).where(TranscriptRow.expires_at <= utcnow()).returning(TranscriptRow.id)
            return len((await session.execute(gone)).all())


def unknown(transcript_id: str) -> NotFound:
    """The refusal of a transcript that is absent, another team's, or past its time."""
    return NotFound(f"There is no transcript {transcript_id}.", code="transcript_unknown", remedy="List them with GET /v1/transcripts.")
