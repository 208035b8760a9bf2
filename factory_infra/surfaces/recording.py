"""Tells the log what no change of a row tells: which surfaces answered, how many slots pools have, which teams called models."""

from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.paas.kpis.tables import PoolRow
from factory_infra.records.happenings import Happening, happened, subject_of
from factory_infra.saas.metering.tables import DailyRow

MINUTES_MAX = 1440
"""So many minutes are kept while the database is away."""


class ProbeBook:
    """Counts probes and tells of each minute when it is over: one event for each surface, whoever else probes too.

    What cannot be told while the database is away is told when it is back: else an outage that it caused would not count.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._minutes: dict[datetime, dict[str, Counter[str]]] = {}

    async def add(self, answers: dict[str, bool], at: datetime | None = None) -> None:
        """Count one round of probes; the minutes before are told where this is another one."""
        minute = (at or utcnow()).replace(second=0, microsecond=0)
        counted = self._minutes.setdefault(minute, {})
        for surface, answered in answers.items():
            counted.setdefault(surface, Counter())["ok" if answered else "failed"] += 1
        while len(self._minutes) > MINUTES_MAX:
            del self._minutes[min(self._minutes)]
        await self._tell([each for each in self._minutes if each < minute])

    async def flush(self) -> None:
        """Tell of what was counted."""
        await self._tell(list(self._minutes))

    async def _tell(self, minutes: list[datetime]) -> None:
        for minute in sorted(minutes):
            async with self._database.transaction() as session:
                for surface, counts in sorted(self._minutes[minute].items()):
                    known = Happening(kind="surface.watched", subject=f"surface-{surface}", payload={"surface": surface}, at=minute)
                    payload = {"surface": surface, "ok": counts["ok"], "failed": counts["failed"]}
                    subject = f"probe-{surface}-{int(minute.timestamp()) // 60}"
                    await happened(session, known)
                    await happened(session, Happening(kind="surface.probed", subject=subject, payload=payload, at=minute))
            self._minutes.pop(minute, None)


class PoolWatch:
    """Tells of every change of how many slots a pool has.

    Pools whose machines are made for leases have none of their own, and those of the twin are simulated: both are left out.
    """

    def __init__(self, database: Database, book: PoolBook, accelerators: AcceleratorPools) -> None:
        self._database = database
        self._book = book
        self._accelerators = accelerators

    async def look(self) -> list[str]:
        """Compare every pool with what was told of it; return those that changed. One that does not answer is as it was."""
        names = [spec.name for spec in self._book.all() if not isinstance(spec, TwinPool)]
        found: dict[str, tuple[str, int]] = {}
        for name in names:
            try:
                pool = await self._accelerators.pool(name)
            except LineshaftError:
                continue
            found[name] = (pool.kind, 0 if pool.placement == "machines" else len(pool.slots))
        async with self._database.transaction(lock="kpis/pools", whole=True) as session:
            known = {row.pool: row for row in await session.scalars(select(PoolRow))}
            gone = {name: (row.kind, 0) for name, row in known.items() if name not in names}
            return [name for name, now in (found | gone).items() if await self._told(session, known.get(name), name, now)]

    async def _told(self, session: AsyncSession, row: PoolRow | None, name: str, now: tuple[str, int]) -> bool:
        kind, slots = now
        if row is None:
            row = PoolRow(pool=name, kind=kind, slots=0, changes=0)
            session.add(row)
        if (row.kind, row.slots) == (kind, slots):
            return False
        steps = [(kind, slots - row.slots)] if row.kind == kind else [(row.kind, -row.slots), (kind, slots)]
        for of, more in steps:
            if more:
                row.changes += 1
                payload = {"pool": name, "kind": of, "slots": abs(more)}
                subject = f"{subject_of('pool', name)}-{row.changes}"
                await happened(session, Happening(kind="pool.grown" if more > 0 else "pool.shrunk", subject=subject, payload=payload))
        row.kind, row.slots = kind, slots
        return True


async def tell_of_models(database: Database, now: datetime | None = None) -> int:
    """Tell which teams called models today: one event a team and day. Returns how many teams did."""
    at = now or utcnow()
    day = at.astimezone(UTC).date()
    query = select(DailyRow.tenant).where(DailyRow.day == day, DailyRow.unit == "tokens", DailyRow.calls > 0).distinct()
    async with database.transaction(whole=True) as session:
        teams = [str(each) for each in await session.scalars(query)]
        for team in teams:
            subject = f"models-{team}-{day:%Y%m%d}"
            await happened(session, Happening(kind="models.used", subject=subject, tenant=team, payload={"team": team}, at=at))
    return len(teams)
