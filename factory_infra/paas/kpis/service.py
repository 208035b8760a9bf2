"""The key figures: measured over any window, told with all that they are made of; alerts; counterfactuals."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.kpis.aggregates import Aggregates, Progress
from factory_infra.paas.kpis.facts import Measured, Window, window
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.metrics.promises import digest_of
from factory_infra.paas.kpis.models import Alert, FixedCounterfactual, Kpi, KpiPage, NewCounterfactual
from factory_infra.paas.kpis.reading import HOUR, floor
from factory_infra.paas.kpis.rules import COUNTERFACTUAL, UNREADABLE
from factory_infra.paas.kpis.statements import shown
from factory_infra.paas.kpis.tables import AlertRow
from factory_infra.records.happenings import Happening, happened
from factory_infra.records.tables import EventRow

DAYS = 30
PAGE_MAX = 500
NAMES_MAX = 20
CATCH_UP = 5000
"""So many events a page reads itself; where more wait, the worker is at it."""


class Kpis:
    """Key figures over the log of events. They are of all teams together, so only administrators are shown them: callers see to it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.aggregates = Aggregates(database)

    async def page(self, since: datetime | None = None, until: datetime | None = None, names: Sequence[str] = ()) -> KpiPage:
        """Measure every figure, or some, over a window: the last 30 days where none is named.

        What the log has got since the worker read it last is read first. Raises NotFound `kpi_unknown`, InvalidInput `period_invalid`.
        """
        wanted, over, began = chosen(names), over_of(since, until), time.perf_counter()
        await self.aggregates.advance(CATCH_UP, wait=False)
        series = frozenset(each for name in wanted for each in METRICS[name].series)
        found, progress = await self.aggregates.measure(over, series | {UNREADABLE})
        return KpiPage(
            since=over.since,
            until=over.until,
            log_read_at=progress.at,
            log_events=progress.events,
            kpis=[told(name, found, progress) for name in wanted],
            milliseconds=round((time.perf_counter() - began) * 1000, 1),
        )

    async def get(self, name: str, since: datetime | None = None, until: datetime | None = None) -> Kpi:
        """Measure one figure, with the statement that recomputes it. Raises as `page`."""
        page = await self.page(since, until, [name])
        return page.kpis[0].model_copy(update={"query": shown(METRICS[name].series, page.since, page.until)})

    async def rebuild(self) -> Progress:
        """Forget the kept sums, and begin to make them anew from the log; the worker reads on. Until its end there are no figures."""
        await self.aggregates.rebuild()
        return await self.aggregates.advance()

    async def fix(self, document: NewCounterfactual, by: str) -> FixedCounterfactual:
        """Write a counterfactual into the log, dated now: it counts for windows that begin later. Raises Conflict for the same again."""
        kept = document.model_dump(mode="json")
        digest = digest_of(kept)
        told_of = Happening(
            kind=COUNTERFACTUAL, subject=f"counterfactual-{digest}", payload={"digest": digest, "document": kept, "by": by[:128]}
        )
        async with self._database.transaction(lock="kpis/counterfactual", whole=True) as session:
            if await session.scalar(select(EventRow.id).where(EventRow.key == told_of.key)) is not None:
                raise Conflict(f"Counterfactual {digest[:16]} was fixed before.", remedy="It stands; see 'lineshaft kpis counterfactuals'.")
            await happened(session, told_of)
        return FixedCounterfactual(digest=digest, fixed_at=told_of.at, fixed_by=by, document=kept)

    async def counterfactuals(self, limit: int = 100, offset: int = 0) -> list[FixedCounterfactual]:
        """Return those that were fixed, newest first."""
        query = select(EventRow).where(EventRow.kind == COUNTERFACTUAL).order_by(EventRow.at.desc(), EventRow.id.desc())
        async with self._database.transaction(whole=True) as session:
            rows = list(await session.scalars(query.limit(min(limit, PAGE_MAX)).offset(offset)))
        return [
            FixedCounterfactual(
                digest=str(row.payload["digest"]), fixed_at=row.at, fixed_by=str(row.payload.get("by", "")), document=document
            )
            for row in rows
            if isinstance(document := row.payload.get("document"), dict)
        ]

    async def alerts(self, *, open_only: bool = False, limit: int = 100, offset: int = 0) -> list[Alert]:
        """Return alerts, newest first."""
        query = select(AlertRow).order_by(AlertRow.raised_at.desc(), AlertRow.id).limit(min(limit, PAGE_MAX)).offset(offset)
        query = query.where(AlertRow.cleared_at.is_(None)) if open_only else query
        async with self._database.transaction(whole=True) as session:
            return [Alert.model_validate(row) for row in await session.scalars(query)]


def told(name: str, found: Measured, progress: Progress) -> Kpi:
    """A figure; while the sums are being made from the log there is no number, for it would be another one a moment later."""
    kpi = METRICS[name].of(found)
    if progress.whole:
        return kpi
    note = f"The sums are being made from the log: {progress.events} events so far. Ask again in a while."
    return kpi.model_copy(update={"value": None, "met": None, "lower": None, "upper": None, "parts": [], "note": note})


def chosen(names: Sequence[str]) -> list[str]:
    """The figures that are asked for, in the book's order. Raises NotFound."""
    if len(names) > NAMES_MAX:
        raise InvalidInput(f"{len(names)} figures at once are too many.", remedy="Leave the names out for all of them.")
    for name in names:
        if name not in METRICS:
            raise NotFound(f"There is no figure '{name[:40]}'.", remedy=f"One of {', '.join(METRICS)}.", code="kpi_unknown")
    return [name for name in METRICS if name in names] if names else list(METRICS)


def over_of(since: datetime | None, until: datetime | None) -> Window:
    """The window that is asked for: until now, and from the hour 30 days before its end where its beginning is not named."""
    last = until or utcnow()
    return window(since or floor(last - timedelta(days=DAYS), HOUR), last)
