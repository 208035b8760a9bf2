"""Tools over costs: who used what, what stood idle, what would mend it, and what will be needed. All of them only read."""

from pydantic import Field

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.paas.optimization.capacity import CapacityAsk
from factory_infra.paas.optimization.finding_book import USUAL
from factory_infra.paas.optimization.forecast_models import CapacityReport
from factory_infra.paas.optimization.models import DIMENSIONS, Dimension
from factory_infra.paas.optimization.service import Owner
from factory_infra.saas.metering.invoices import Period
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext

LINES_MAX = 40


class AllocationArguments(Arguments):
    """Of which month, broken down by what."""

    month: str = Field(default="", max_length=7, description="Such as 2026-11; this month if empty.")
    by: list[str] = Field(default=["project", "pool", "model"], max_length=9, description=f"Of {', '.join(DIMENSIONS)}.")

    def dimensions(self) -> list[Dimension]:
        """What it is broken down by. Raises InvalidInput."""
        found = [each for word in self.by for each in DIMENSIONS if each == word]
        if len(found) < len(self.by):
            remedy = f"Use {', '.join(DIMENSIONS)}."
            raise InvalidInput("Costs cannot be broken down by that.", remedy=remedy, code="breakdown_invalid")
        return found


def period_of(month: str) -> Period:
    """A month, this one if it is not named. Raises InvalidInput."""
    return Period.month(month or f"{utcnow():%Y-%m}")


class AllocationRow(Result):
    """One line."""

    name: str
    amount: str
    quantity: str
    unit: str


class AllocationResult(Result):
    """What was charged to the team, dearest first."""

    team: str
    month: str
    by: list[str]
    currency: str
    total: str
    exact: bool = Field(description="Whether the lines are the ledger's total, to the last digit.")
    rows: list[AllocationRow]
    rows_left_out: int = 0
    url: str


async def allocation(context: ToolContext, arguments: AllocationArguments) -> AllocationResult:
    """Tell what the team was charged in a month, by project, plan, model, pool, agent, key or day: exact to the ledger."""
    by, period = arguments.dimensions(), period_of(arguments.month)
    found = await context.factory.optimization.allocation(period, Owner(context.tenant), by)
    lines = sorted(found.lines, key=lambda line: -line.amount)
    rows = [
        AllocationRow(
            name=", ".join(str(getattr(line, each)) or "(none)" for each in by) or "(all)",
            amount=f"{line.amount:.6f}",
            quantity=f"{line.quantity + line.quantity_out:f}",
            unit=line.unit,
        )
        for line in lines[:LINES_MAX]
    ]
    return AllocationResult(
        team=context.tenant,
        month=f"{period.since:%Y-%m}",
        by=[*by],
        currency=found.currency,
        total=f"{found.total:.6f}",
        exact=found.exact,
        rows=rows,
        rows_left_out=max(len(lines) - LINES_MAX, 0),
        url=f"/v1/costs/allocation?month={period.since:%Y-%m}",
    )


class IdleArguments(Arguments):
    """Of which month."""

    month: str = Field(default="", max_length=7, description="Such as 2026-11; this month if empty.")


class IdleRow(Result):
    """A lease's unused time."""

    lease_id: str
    pool: str
    slots: int
    unused_slot_hours: float
    amount: str
    active: bool


class IdleResult(Result):
    """What the team leased and did not use, and its share of what stood unleased."""

    team: str
    month: str
    currency: str
    unused_total: str
    shares_total: str
    rule: str
    rows: list[IdleRow]
    url: str


async def idle(context: ToolContext, arguments: IdleArguments) -> IdleResult:
    """Tell what the team leased in a month without a job running on it, and its share of idle slots by the installation's rule."""
    period = period_of(arguments.month)
    found = await context.factory.optimization.idle(period, Owner(context.tenant))
    rows = [
        IdleRow(
            lease_id=line.lease_id,
            pool=line.pool,
            slots=line.slots,
            unused_slot_hours=round(float(line.unused_slot_seconds) / 3600, 3),
            amount=f"{line.amount:.6f}",
            active=line.active,
        )
        for line in found.unused[:LINES_MAX]
    ]
    return IdleResult(
        team=context.tenant,
        month=f"{period.since:%Y-%m}",
        currency=found.currency,
        unused_total=f"{found.unused_total:.6f}",
        shares_total=f"{found.shares_total:.6f}",
        rule=found.rule_in_words,
        rows=rows,
        url=f"/v1/costs/idle?month={period.since:%Y-%m}",
    )


class FindingsArguments(Arguments):
    """From when on a lease counts as idle."""

    idle_minutes: int = Field(default=30, ge=1, le=43_200)


class FindingRow(Result):
    """One finding."""

    finding_id: str
    kind: str
    title: str
    evidence: str
    saving_hourly: str
    saving_left: str
    blocked: str
    plan_id: str


class FindingsResult(Result):
    """What the team pays for and does not need, what saves most first."""

    team: str
    currency: str
    rows: list[FindingRow]
    rows_left_out: int = 0
    url: str


async def findings(context: ToolContext, arguments: FindingsArguments) -> FindingsResult:
    """List what the team pays for and does not need: idle, oversized and dear leases, unused endpoints and clusters. Changes nothing."""
    from_when = USUAL.model_copy(update={"idle_seconds": arguments.idle_minutes * 60})
    found = await context.factory.findings.list(Owner(context.tenant), from_when)
    rows = [
        FindingRow(
            finding_id=each.id,
            kind=each.kind,
            title=each.title,
            evidence=each.evidence,
            saving_hourly=f"{each.saving_hourly:.6f}",
            saving_left=f"{each.saving_left:.6f}",
            blocked=each.blocked,
            plan_id=each.plan_id,
        )
        for each in found[:LINES_MAX]
    ]
    left_out, currency = max(len(found) - LINES_MAX, 0), context.factory.metering.prices.currency
    return FindingsResult(team=context.tenant, currency=currency, rows=rows, rows_left_out=left_out, url="/v1/costs/findings")


class CapacityArguments(Arguments):
    """Of which pool."""

    pool: str = Field(default="", max_length=40, description="The default one if empty.")


class CapacityResult(Result):
    """What a pool will be asked for, and when it is full."""

    pool: str
    enough: bool = Field(description="Whether enough of the past is known; without it nothing is foreseen.")
    words: str
    capacity: int
    team_now: float
    team_mean: float = Field(description="What the team is foreseen to ask for, on the mean of the horizon.")
    fills_earliest: str
    fills_expected: str
    model: str
    error: float | None = Field(description="Slots that the forecast was off by in its past, unseen.")
    error_naive: float | None = Field(description="The same of the seasonal naive forecast.")
    url: str


async def capacity(context: ToolContext, arguments: CapacityArguments) -> CapacityResult:
    """Foresee what a pool will be asked for, when it is full, and the team's own part, with how good the forecast was in the past."""
    found = await context.factory.capacity.plan(CapacityAsk(pool=arguments.pool), Owner(context.tenant))
    own = found.teams[0] if found.teams else None
    means = [point.mean for point in own.points] if own else []
    return CapacityResult(
        pool=found.pool,
        enough=found.enough,
        words=found.words,
        capacity=found.capacity,
        team_now=own.now if own else 0.0,
        team_mean=round(sum(means) / len(means), 4) if means else 0.0,
        **fills_of(found),
        model=found.model,
        error=found.backtest.error if found.backtest else None,
        error_naive=found.backtest.error_naive if found.backtest else None,
        url=f"/v1/costs/capacity?pool={found.pool}",
    )


def fills_of(found: CapacityReport) -> dict[str, str]:
    """When it is full, as words."""
    fills = found.fills
    return {
        "fills_earliest": fills.earliest.isoformat() if fills and fills.earliest else "",
        "fills_expected": fills.expected.isoformat() if fills and fills.expected else "",
    }


TOOLS = (
    Tool("optimization.allocation", Effect.READ, AllocationArguments, AllocationResult, allocation),
    Tool("optimization.idle", Effect.READ, IdleArguments, IdleResult, idle),
    Tool("optimization.findings", Effect.READ, FindingsArguments, FindingsResult, findings),
    Tool("optimization.capacity", Effect.READ, CapacityArguments, CapacityResult, capacity),
)
