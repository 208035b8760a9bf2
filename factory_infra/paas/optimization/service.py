"""Cost allocation: who used what, what stood idle, and who is shown it, by a stated rule."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.iaas.leases.pool_quotas import PoolQuotaRow
from factory_infra.iaas.leases.tables import QuotaRow
from factory_infra.paas.optimization import spans
from factory_infra.paas.optimization.idle import (
    DAY,
    EPOCH,
    DaySum,
    Held,
    Kind,
    Span,
    held_by_team,
    micros,
    observed_share,
    seconds,
    unleased,
    unused,
)
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.optimization.models import (
    BY_DEFAULT,
    RULES,
    SMALLEST,
    Allocation,
    Charge,
    Days,
    Dimension,
    IdleLine,
    IdleReport,
    IdleRule,
    ShareLine,
    UnusedLine,
    midnight,
)
from factory_infra.paas.optimization.splitting import split
from factory_infra.second_wall import bounded

HOUR = Decimal(3600)
MICROS_AN_HOUR = 3_600_000_000
LINES_MAX = 500
ZERO = Decimal(0)


class Owner(NamedTuple):
    """Who asks: a team is shown its own, an administrator (None) everything."""

    team: str | None


class Optimization:
    """Reads; it changes nothing.

    Args:
        database: where leases and jobs lie.
        ledger: who holds the books.
        rule: by which idle cost is shared where a question does not say.
    """

    def __init__(self, database: Database, ledger: Ledger, rule: IdleRule = "platform") -> None:
        self._database = database
        self._ledger = ledger
        self.rule: IdleRule = rule

    @property
    def currency(self) -> str:
        """The currency of all amounts."""
        return self._ledger.currency

    async def allocation(self, days: Days, owner: Owner, by: Sequence[Dimension] = BY_DEFAULT) -> Allocation:
        """Return what was charged over some days, each amount in exactly one line. A team that spent nothing has none."""
        return await self._ledger.allocated(days, by, owner.team)

    async def charges(self, days: Days, owner: Owner) -> Sequence[Charge]:
        """Return the same money charge by charge, with prices: what an export is made of. Raises TooLarge."""
        return await self._ledger.charges(days, owner.team)

    async def idle(self, days: Days, owner: Owner, rule: IdleRule | None = None) -> IdleReport:
        """Return what stood unleased, who is shown it by the rule, and what was leased and not used. The future is not idle yet."""
        now, used_rule, team = utcnow(), rule or self.rule, bounded(owner.team)
        window = Span(micros(midnight(days.since)), min(micros(midnight(days.until)), max(micros(now), micros(midnight(days.since)))))
        async with self._database.transaction(whole=True) as session:  # a pool is idle only where no team holds it
            stood = await spans.standing(session, window)
            held = await spans.held(session, window, now)
            jobs = await spans.job_spans(session, [each.lease for each in held if team in (None, each.team)], now)
            quotas = await quotas_by_pool(session, {row.pool for row in stood})
        lines = [self._idle_line(kind, sums) for kind, sums in sorted(unleased(stood, held, window).items())]
        weights = quotas if used_rule == "quota" else held_by_team(held, window)
        shares = [] if used_rule == "platform" else shared(lines, weights)
        own = [each for each in shares if team in (None, each.team)]
        wasted = [self._unused_line(each, jobs.get(each.lease, []), window) for each in held if team in (None, each.team)]
        found = sorted((line for line in wasted if line.unused_slot_seconds), key=lambda line: (-line.amount, line.lease_id))
        return IdleReport(
            since=days.since,
            until=days.until,
            as_of=now,
            team=team,
            currency=self.currency,
            rule=used_rule,
            rule_in_words=RULES[used_rule],
            unleased=lines if team is None else [],
            shares=own,
            unused=found[:LINES_MAX],
            unleased_total=sum((line.amount for line in lines), ZERO) if team is None else ZERO,
            shares_total=sum((each.amount for each in own), ZERO),
            unused_total=sum((line.amount for line in found), ZERO),
            observed_hours=max(observed_share(stood, window).values(), default=0) / MICROS_AN_HOUR,
            period_hours=window.length / MICROS_AN_HOUR,
        )

    def _idle_line(self, kind: Kind, sums: dict[int, DaySum]) -> IdleLine:
        amounts = (self._cost(kind, day, total.idle) for day, total in sums.items())
        return IdleLine(
            pool=kind.pool,
            accelerator=kind.accelerator,
            slot_kind=kind.slot_kind,
            price_class=kind.price_class,
            slot_seconds=seconds(sum(total.stood for total in sums.values())),
            leased_slot_seconds=seconds(sum(total.leased for total in sums.values())),
            idle_slot_seconds=seconds(sum(total.idle for total in sums.values())),
            amount=sum(amounts, ZERO),
        )

    def _cost(self, kind: Kind, day: int, slot_micros: int) -> Decimal:
        """What idle time of one day would have cost by the prices of that day; nothing where the book knows none."""
        at = EPOCH + timedelta(microseconds=day * DAY)
        hour = self._ledger.hour_price(kind.slot_kind, kind.accelerator, kind.price_class, at) or ZERO
        return (seconds(slot_micros) * hour / HOUR).quantize(SMALLEST)

    def _unused_line(self, held: Held, jobs: Sequence[Span], window: Span) -> UnusedLine:
        leased, wasted = unused(held, jobs, window)
        slot_kind, _, rest = held.subject.partition(":")
        accelerator, _, price_class = rest.partition(":")
        hour = self._ledger.hour_price(slot_kind, accelerator, price_class or "on_demand", utcnow()) or ZERO
        return UnusedLine(
            lease_id=held.lease,
            team=held.team,
            project=held.project,
            pool=held.pool,
            subject=held.subject,
            slots=len(held.slots),
            leased_slot_seconds=seconds(leased),
            unused_slot_seconds=seconds(wasted),
            amount=(seconds(wasted) * hour / HOUR).quantize(SMALLEST),
            active=held.active,
        )


def shared(lines: Sequence[IdleLine], weights: dict[str, dict[str, Decimal]]) -> list[ShareLine]:
    """Each pool's idle cost shared out to the last digit; a pool in which nobody has a weight stays with the platform."""
    pools: dict[str, Decimal] = {}
    for line in lines:
        pools[line.pool] = pools.get(line.pool, ZERO) + line.amount
    return [
        ShareLine(team=team, pool=pool, weight=weights[pool][team], amount=amount)
        for pool, whole in sorted(pools.items())
        for team, amount in sorted(split(whole, weights.get(pool, {})).items())
    ]


async def quotas_by_pool(session: AsyncSession, pools: set[str]) -> dict[str, dict[str, Decimal]]:
    """The slots that each team may hold in each pool: its quota there, or else its quota over all pools."""
    overall = {row.tenant: Decimal(row.slots_max) for row in await session.scalars(select(QuotaRow))}
    found = {pool: dict(overall) for pool in pools}
    query = select(PoolQuotaRow).where(PoolQuotaRow.pool.in_(pools), PoolQuotaRow.accelerator == "")
    for row in await session.scalars(query):
        if row.tenant in overall:
            found[row.pool][row.tenant] = min(Decimal(row.slots_max), overall[row.tenant])
    return found
