"""The capacity plan of a pool: what teams will ask for, when it is full, and how much of it is best reserved."""

import asyncio
import hashlib
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import EffectFailed, RateLimited, Unavailable
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.optimization.demand import HOUR, HOURS_A_DAY, Claim, by_team, hourly, peaks
from factory_infra.paas.optimization.forecast_models import (
    Ask,
    Bucket,
    CapacityReport,
    Fills,
    Line,
    Lines,
    Point,
    Reserving,
    TeamLine,
)
from factory_infra.paas.optimization.idle import Span, micros, moment
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.optimization.reserving import best_reserved
from factory_infra.paas.optimization.service import Owner
from factory_infra.paas.optimization.tables import CapacityRow, ForecastRow
from factory_infra.second_wall import bounded

HISTORY_DAYS_MAX = 180
SEASONS: dict[Bucket, int] = {"hour": 24, "day": 7}
ENOUGH: dict[Bucket, int] = {"hour": 7 * 24, "day": 28}
"""So many buckets of the past are needed: fewer leave nothing to try models on."""
TEAMS_MAX = 50
"""So many teams have a line of their own, those that asked for most; the others are one."""
OTHERS = "(other teams)"
TOTAL = "\0total"
FRESH_SECONDS = 6 * 3600.0
SECONDS_MAX = 120.0
LOAD_HOURS = 28 * 24


class CapacityAsk(BaseModel):
    """What is to be foreseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: str = Field(default="", max_length=40, description="The default one if empty.")
    bucket: Bucket | None = Field(default=None, description="day: each day's busiest hour. hour. Days where the past is long enough.")
    horizon: int | None = Field(default=None, ge=1, le=366, description="Buckets: 28 days, or 168 hours, where left out.")
    level: float = Field(default=0.8, gt=0, lt=1, description="How much of the future the interval is to hold.")
    reserved_share: float | None = Field(
        default=None, gt=0, lt=1, description="A reserved slot-hour's price over that of one on demand; by the price book where left out."
    )

    @property
    def name(self) -> str:
        """The same question has the same one."""
        return hashlib.sha256(self.model_dump_json(exclude={"pool"}).encode()).hexdigest()[:32]


class Stands(NamedTuple):
    """What stands in a pool now."""

    slots: int
    slot_kind: str
    accelerator: str


class Past(NamedTuple):
    """What was asked for so far, hour by hour, up to the last whole hour."""

    total: list[float]
    teams: dict[str, list[float]]
    until: datetime


class Capacity:
    """Makes capacity plans. The newest of a question is kept, so that asking again costs nothing for some hours."""

    def __init__(self, database: Database, book: PoolBook, ledger: Ledger, models: tuple[str, ...] = ()) -> None:
        """`models` are those that are tried; all of them where it is empty."""
        self._database = database
        self._models = models
        self._book = book
        self._ledger = ledger

    async def plan(self, ask: CapacityAsk, owner: Owner, *, fresh: bool = False) -> CapacityReport:
        """Return the plan of a pool. A team sees its own line, and the other teams' as one.

        Raises NotFound `pool_unknown`, Unavailable where the forecast takes too long, and RateLimited where one is made already.
        """
        pool = self._book.named(ask.pool).name
        kept = None if fresh else await self._kept(pool, ask)
        report = kept or await self._made(pool, ask)
        team = bounded(owner.team)
        return report if team is None else as_seen_by(report, team)

    async def _kept(self, pool: str, ask: CapacityAsk) -> CapacityReport | None:
        async with self._database.transaction(whole=True) as session:
            row = await session.get(ForecastRow, (pool, ask.name))
        if row is None or utcnow() - row.made_at > timedelta(seconds=FRESH_SECONDS):
            return None
        return CapacityReport.model_validate(row.report)

    async def _made(self, pool: str, ask: CapacityAsk) -> CapacityReport:
        now = utcnow()
        async with self._database.transaction(whole=True) as session:
            stands = await standing(session, pool)
            past = await past_of(session, pool, now)
        report = await self._foreseen(pool, ask, stands, past)
        values = {"pool": pool, "question": ask.name, "made_at": report.made_at, "report": report.model_dump(mode="json")}
        statement = insert(ForecastRow).values(values)
        async with self._database.transaction(whole=True) as session:
            await session.execute(statement.on_conflict_do_update(index_elements=["pool", "question"], set_=values))
        return report

    async def _foreseen(self, pool: str, ask: CapacityAsk, stands: Stands, past: Past) -> CapacityReport:
        bucket: Bucket = ask.bucket or ("day" if len(past.total) >= ENOUGH["day"] * HOURS_A_DAY else "hour")
        series = {TOTAL: past.total, **most_asking(past.teams)}
        values = {name: peaks(aligned(hours)) if bucket == "day" else hours for name, hours in series.items()}
        told = CapacityReport(
            pool=pool,
            bucket=bucket,
            made_at=utcnow(),
            as_of=past.until,
            capacity=stands.slots,
            history=len(values[TOTAL]),
            enough=len(values[TOTAL]) >= ENOUGH[bucket] and any(past.total),
            words="",
            level=ask.level,
        )
        if not told.enough:
            least = f"{ENOUGH[bucket]} {bucket}s"
            return told.model_copy(update={"words": f"Too little of the past is known: {told.history} {bucket}s, and {least} are needed."})
        horizon = ask.horizon or (28 if bucket == "day" else 168)
        asked = Ask(series=values, season=SEASONS[bucket], horizon=horizon, level=ask.level, models=self._models)
        lines = await in_process(asked)
        return self._with_reserving(self._report(told, lines, values, past), ask, stands, past)

    def _report(self, told: CapacityReport, lines: Lines, values: Mapping[str, Sequence[float]], past: Past) -> CapacityReport:
        whole = lines.lines[TOTAL]
        points = points_of(whole, told.bucket, past.until)
        teams = team_lines(lines, values, points, told.bucket)
        fills = fills_of(points, told.capacity) if told.capacity else None
        words = in_words(told.capacity, fills, points)
        return told.model_copy(
            update={"total": points, "model": whole.model, "backtest": whole.backtest, "fills": fills, "teams": teams, "words": words}
        )

    def _with_reserving(self, report: CapacityReport, ask: CapacityAsk, stands: Stands, past: Past) -> CapacityReport:
        """The report with how much to reserve, where it is known what that costs."""
        now = utcnow()
        on_demand, reserved = (
            self._ledger.hour_price(stands.slot_kind, stands.accelerator, price_class, now) for price_class in ("on_demand", "reserved")
        )
        share = ask.reserved_share or (float(reserved / on_demand) if reserved and on_demand else 1.0)
        if share >= 1 or not on_demand:
            return report
        load = past.total[-LOAD_HOURS:]
        season = SEASONS[report.bucket]
        lately = peaks(aligned(load)) if report.bucket == "day" else load
        before = sum(lately[-4 * season :]) / max(len(lately[-4 * season :]), 1)
        growth = sum(point.mean for point in report.total) / len(report.total) / before if before else 1.0
        best = best_reserved([hour * growth for hour in load], share)
        hourly_price = float(on_demand)
        told = Reserving(
            slots=best.slots,
            share_of_on_demand=round(share, 6),
            hourly_cost=round(best.cost * hourly_price, 6),
            hourly_cost_on_demand=round(best.cost_none * hourly_price, 6),
            hourly_cost_peak=round(best.cost_peak * hourly_price, 6),
            growth=round(growth, 6),
        )
        return report.model_copy(update={"reserving": told})


async def standing(session: AsyncSession, pool: str) -> Stands:
    """What stood in a pool at the last look; nothing where nobody looked, or machines are made for leases."""
    newest = await session.scalar(select(func.max(CapacityRow.seen_until)).where(CapacityRow.pool == pool))
    query = select(CapacityRow).where(CapacityRow.pool == pool, CapacityRow.seen_until == newest).order_by(CapacityRow.id)
    last = {(row.slot_kind, row.accelerator): row for row in await session.scalars(query)}
    if not last:
        return Stands(0, "cpu", "")
    largest = max(last.values(), key=lambda row: len(row.slots))
    return Stands(sum(len(row.slots) for row in last.values()), largest.slot_kind, largest.accelerator)


async def past_of(session: AsyncSession, pool: str, now: datetime) -> Past:
    """What was held and waited for in a pool since its first lease, at most half a year."""
    until = now.replace(minute=0, second=0, microsecond=0)
    oldest = until - timedelta(days=HISTORY_DAYS_MAX)
    ended = func.coalesce(LeaseRow.ended_at, LeaseRow.expires_at)
    open_still = LeaseRow.state == LeaseState.QUEUED.value
    query = select(LeaseRow).where(LeaseRow.pool == pool, LeaseRow.state != LeaseState.REFUSED.value, or_(ended > oldest, open_still))
    claims = [claim for row in await session.scalars(query) for claim in claims_of(row, now)]
    if not claims:
        return Past([], {}, until)
    first = moment(max(min(claim.span.begin for claim in claims), micros(oldest)))
    begin = first.replace(minute=0, second=0, microsecond=0)
    hours = max((micros(until) - micros(begin)) // HOUR, 0)
    teams = {team: hourly(mine, micros(begin), hours) for team, mine in by_team(claims).items()}
    return Past([sum(each) for each in zip(*teams.values(), strict=True)], teams, until)


def claims_of(row: LeaseRow, now: datetime) -> list[Claim]:
    """A lease as what it asked for: while it waited, and while it held its slots."""
    wanted = row.slots_wanted or len(row.slots)
    if row.state in (LeaseState.QUEUED.value, LeaseState.GRANTING.value):
        return [Claim(row.tenant, wanted, Span(micros(row.asked_at or row.granted_at), micros(now)))]
    waited = [Claim(row.tenant, wanted, Span(micros(row.asked_at), micros(row.granted_at)))] if row.asked_at else []
    end = row.ended_at or min(now, row.expires_at)
    return [*waited, Claim(row.tenant, len(row.slots), Span(micros(row.granted_at), micros(end)))]


def aligned(hours: Sequence[float]) -> Sequence[float]:
    """The last whole days of a series of hours: its end is now, so days are counted back from there."""
    return hours[len(hours) % HOURS_A_DAY :]


def most_asking(teams: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The teams that asked for most, each by itself, and the others as one."""
    order = sorted(teams, key=lambda team: (-sum(teams[team]), team))
    found = {team: teams[team] for team in order[:TEAMS_MAX]}
    rest = [teams[team] for team in order[TEAMS_MAX:]]
    return {**found, OTHERS: [sum(each) for each in zip(*rest, strict=True)]} if rest else found


_one_at_a_time = asyncio.Semaphore(1)


async def in_process(ask: Ask) -> Lines:
    """Have a forecast made by a process of its own: what it needs takes seconds to import, and a core while it works.

    Raises RateLimited where this process has one made already, Unavailable where it takes too long, EffectFailed where it breaks.
    """
    if _one_at_a_time.locked():
        raise RateLimited("Another forecast is being made.", remedy="Ask again in a moment.", code="forecast_busy", retry_after_seconds=5.0)
    async with _one_at_a_time:
        argv = python_argv("factory_infra.paas.optimization.forecasting")
        pipe = asyncio.subprocess.PIPE
        environment = {**python_environment(), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        child = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                out, told = await child.communicate(ask.model_dump_json().encode())
        except TimeoutError as error:
            reason = f"The forecast takes longer than {SECONDS_MAX:.0f} s."
            raise Unavailable(reason, remedy="Ask for fewer buckets, or try again later.", code="forecast_too_long") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    try:
        return Lines.model_validate_json(out)
    except ValidationError as error:
        said = told.decode(errors="replace").strip().splitlines()[-1:] or [f"it ended with {child.returncode}"]
        raise EffectFailed(f"The forecast could not be made: {said[0][:200]}", remedy=f"See '{sys.executable} -m pip check'.") from error


def points_of(line: Line, bucket: Bucket, until: datetime) -> list[Point]:
    """A line of a forecast with its moments: the first bucket begins where the past ends."""
    step = timedelta(hours=1) if bucket == "hour" else timedelta(days=1)
    rows = zip(line.mean, line.low, line.high, strict=True)
    return [Point(at=until + number * step, mean=mean, low=low, high=high) for number, (mean, low, high) in enumerate(rows)]


def team_lines(lines: Lines, values: Mapping[str, Sequence[float]], total: Sequence[Point], bucket: Bucket) -> list[TeamLine]:
    """Each team's part of the total: by its own forecast over that of all teams, step by step, so that the parts are the whole.

    That is top-down by forecast proportions (R. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 11.3).
    """
    own = {team: line for team, line in lines.lines.items() if team != TOTAL}
    sums = [sum(line.mean[step] for line in own.values()) for step in range(len(total))]
    season = SEASONS[bucket]
    found = []
    for team, line in own.items():
        parts = [line.mean[step] / sums[step] if sums[step] else 0.0 for step in range(len(total))]
        points = [
            Point(at=point.at, mean=round(point.mean * part, 6), low=line.low[step], high=line.high[step])
            for step, (point, part) in enumerate(zip(total, parts, strict=True))
        ]
        lately = values[team][-season:]
        found.append(TeamLine(team=team, model=line.model, now=round(sum(lately) / len(lately), 6), points=points, backtest=line.backtest))
    return found


def fills_of(points: Sequence[Point], capacity: int) -> Fills:
    """The first buckets in which the upper end, the forecast and the lower end reach what stands there."""

    def first(values: Sequence[float]) -> datetime | None:
        return next((point.at for point, value in zip(points, values, strict=True) if value >= capacity), None)

    return Fills(
        earliest=first([point.high for point in points]),
        expected=first([point.mean for point in points]),
        latest=first([point.low for point in points]),
    )


def in_words(capacity: int, fills: Fills | None, points: Sequence[Point]) -> str:
    """When it is full, as a sentence."""
    end = points[-1].at
    if fills is None:
        return (
            f"No slots stand there now: machines are made as they are asked for. Up to {max(point.high for point in points):.1f} will be."
        )
    if fills.earliest is None:
        return f"It is not full before {end:%Y-%m-%d}: at most {max(point.high for point in points):.1f} of {capacity} slots are asked for."
    expected = f"is expected to be on {fills.expected:%Y-%m-%d %H:%M}" if fills.expected else f"is not expected to be before {end:%Y-%m-%d}"
    latest = f"{fills.latest:%Y-%m-%d %H:%M}" if fills.latest else f"after {end:%Y-%m-%d}"
    return f"All {capacity} slots may be asked for from {fills.earliest:%Y-%m-%d %H:%M} on; it {expected}, and surely by {latest}."


def as_seen_by(report: CapacityReport, team: str) -> CapacityReport:
    """The plan as a team sees it: its own line; the others' part is one number, and what is reserved is the platform's business."""
    own = [line for line in report.teams if line.team == team]
    mean = sum(point.mean for point in report.total) / len(report.total) if report.total else 0.0
    mine = sum(point.mean for line in own for point in line.points) / len(report.total) if report.total else 0.0
    rest = max(mean - mine, 0.0)
    others = Point(at=report.as_of, mean=round(rest, 6), low=round(rest, 6), high=round(rest, 6)) if report.total else None
    return report.model_copy(update={"teams": own, "others": others, "reserving": None})
