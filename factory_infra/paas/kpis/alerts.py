"""Raises and clears alerts, and keeps what was measured last for scrapes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.paas.kpis.burn import SERIES, WINDOWS, burns
from factory_infra.paas.kpis.facts import Window
from factory_infra.paas.kpis.models import Burn, KpiPage
from factory_infra.paas.kpis.service import Kpis
from factory_infra.paas.kpis.tables import AlertRow, ShownRow
from factory_infra.records.happenings import Happening, happened


class Alerts:
    """Watches objectives. Any number of workers may: an alert is raised once."""

    def __init__(self, database: Database, kpis: Kpis) -> None:
        self._database = database
        self._kpis = kpis

    async def look(self, now: datetime | None = None) -> list[Burn]:
        """Measure every objective now, and raise or clear its alerts. While the sums are being made nothing is said."""
        until, found = now or utcnow(), {}
        for seconds in WINDOWS:
            found[seconds], progress = await self._kpis.aggregates.measure(Window(until - timedelta(seconds=seconds), until), SERIES)
            if not progress.whole:
                return []
        told = list(burns(found))
        await self._settle(told, until)
        return told

    async def _settle(self, told: Sequence[Burn], now: datetime) -> None:
        burning: dict[tuple[str, str], Burn] = {}
        for each in told:
            if each.burning:
                burning.setdefault((each.objective, each.severity), each)
        async with self._database.transaction(lock="kpis/alerts", whole=True) as session:
            standing = list(await session.scalars(select(AlertRow).where(AlertRow.cleared_at.is_(None)).with_for_update()))
            for row in standing:
                if (row.objective, row.severity) not in burning:
                    row.cleared_at = now
                    await happened(session, Happening(kind="alert.cleared", subject=row.id, payload={"objective": row.objective}, at=now))
            known = {(row.objective, row.severity) for row in standing}
            for key, burn in burning.items():
                if key not in known:
                    row = raised(burn, now)
                    session.add(row)
                    payload = {"objective": row.objective, "severity": row.severity, "burn": row.burn, "reason": row.reason}
                    await happened(session, Happening(kind="alert.raised", subject=row.id, payload=payload, at=now))

    async def keep(self, page: KpiPage, told: Sequence[Burn]) -> None:
        """Keep what was measured for scrapes."""
        page = page.model_copy(update={"kpis": [each.model_copy(update={"query": ""}) for each in page.kpis]})
        document = {"page": page.model_dump(mode="json"), "burns": [each.model_dump(mode="json") for each in told]}
        values = {"id": 1, "at": utcnow(), "document": document}
        statement = insert(ShownRow).values(values).on_conflict_do_update(index_elements=["id"], set_=values)
        async with self._database.transaction(whole=True) as session:
            await session.execute(statement)

    async def shown(self) -> ShownRow | None:
        """What was kept last."""
        async with self._database.transaction(whole=True) as session:
            return await session.get(ShownRow, 1)


def raised(burn: Burn, now: datetime) -> AlertRow:
    """A new alert."""
    pace = burn.long or 0.0
    return AlertRow(
        id=f"alert-{burn.objective.replace('/', '-')}-{burn.severity}-{int(now.timestamp() * 1000)}",
        objective=burn.objective,
        severity=burn.severity,
        burn=pace,
        reason=(
            f"{burn.objective} burns its budget of errors {pace:.1f} times too quickly over {burn.long_seconds // 60} min, and still does "
            f"over the last {burn.short_seconds // 60} min; {burn.factor:g} is too much."
        ),
        raised_at=now,
    )
