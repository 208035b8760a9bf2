"""Tools over the ledger."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import Field

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.paas.catalog.models import Filters, Viewer
from factory_infra.saas.metering.models import Breakdown, Cost, UsageLine
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext

ROWS_MAX = 40
DAYS_FORESEEN_MAX = 3650


class CostArguments(Arguments):
    """The cost of what."""

    subject: Literal["team", "model", "plan"]
    name: str | None = None
    version: int | None = None


class CostReport(Result):
    """What was spent, with the ledger's own lines."""

    subject: str
    spent: str
    reserved: str
    currency: str
    slot_seconds: float
    tokens: int
    plan_ids: list[str]
    ledger_url: str


async def cost(context: ToolContext, arguments: CostArguments) -> CostReport:
    """Tell from the ledger what a team, a plan or the training of a model cost: slot-seconds and tokens."""
    metering = context.factory.metering
    if arguments.subject == "team":
        found = await metering.cost(tenant=context.tenant)
        return report(f"team {context.tenant}", [found], [], f"/v1/ledger?tenant={context.tenant}")
    if arguments.name is None:
        raise InvalidInput(f"The cost of which {arguments.subject}?", remedy="Name it.")
    plans = [arguments.name] if arguments.subject == "plan" else await plans_of_model(context, arguments.name, arguments.version)
    costs = [await metering.cost(tenant=context.tenant, plan_id=plan) for plan in plans]
    version = f" version {arguments.version}" if arguments.version is not None else ""
    return report(f"{arguments.subject} {arguments.name}{version}", costs, plans, f"/v1/ledger?plan_id={plans[0]}")


async def plans_of_model(context: ToolContext, name: str, version: int | None) -> list[str]:
    """Find the plans that trained a model, by its catalog entries. Raises NotFound."""
    entries = await context.factory.catalog.list(Viewer.of(context.tenant), Filters(kind="model", tenant=context.tenant), 500)
    plans = [
        str(entry.facts["plan_id"])
        for entry in entries
        if entry.name == name and version in (None, entry.facts.get("version")) and entry.facts.get("plan_id")
    ]
    if not plans:
        raise NotFound(f"The ledger knows no training of '{name}'.", code="model_unknown", remedy="List the models of the team.")
    return plans


def report(subject: str, costs: list[Cost], plans: list[str], url: str) -> CostReport:
    """Add up."""
    lines = [line for each in costs for line in each.lines]
    return CostReport(
        subject=subject,
        spent=f"{sum((each.spent for each in costs), Decimal(0)):.6f}",
        reserved=f"{sum((each.reserved for each in costs), Decimal(0)):.6f}",
        currency=costs[0].currency,
        slot_seconds=float(sum((line.quantity for line in lines if line.unit == "slot_seconds"), Decimal(0))),
        tokens=int(sum((line.quantity + line.quantity_out for line in lines if line.unit == "tokens"), Decimal(0))),
        plan_ids=plans,
        ledger_url=url,
    )


class UsageArguments(Arguments):
    """Over which days, broken down by what."""

    days: int = Field(default=7, ge=1, le=90)
    by: Breakdown = "day"


class UsageRow(Result):
    """One line of the breakdown."""

    name: str
    amount: str
    share_percent: float
    slot_seconds: float
    tokens: int


class UsageReport(Result):
    """What a team spent over some days, and how long its budget lasts at that pace."""

    team: str
    days: int
    by: str
    currency: str
    spent: str
    rows: list[UsageRow]
    rows_left_out: int = 0
    budget: str
    budget_left: str
    per_day: str = Field(description="The mean of these days, those without any spending counted.")
    budget_ends_at: datetime | None = Field(default=None, description="At this pace; None where nothing was spent, or in over ten years.")
    ledger_url: str


async def usage(context: ToolContext, arguments: UsageArguments) -> UsageReport:
    """Tell what the team spent over the last days, by day, agent, model, project or key, and when its budget ends at that pace."""
    metering, now = context.factory.metering, utcnow()
    since = now - timedelta(days=arguments.days)
    lines = await metering.usage(context.tenant, since, arguments.by)
    spent = sum((line.amount for line in await metering.usage(context.tenant, since, "day")), Decimal(0))
    tenant, ever = await context.factory.tenants.get(context.tenant), await metering.cost(tenant=context.tenant)
    left, per_day = tenant.budget - ever.spent - ever.reserved, spent / arguments.days
    return UsageReport(
        team=context.tenant,
        days=arguments.days,
        by=arguments.by,
        currency=ever.currency,
        spent=f"{spent:.6f}",
        rows=[usage_row(line, spent) for line in (lines[-ROWS_MAX:] if arguments.by == "day" else lines[:ROWS_MAX])],
        rows_left_out=max(len(lines) - ROWS_MAX, 0),
        budget=f"{tenant.budget:.2f}",
        budget_left=f"{left:.6f}",
        per_day=f"{per_day:.6f}",
        budget_ends_at=budget_end(left, per_day, now),
        ledger_url=f"/v1/ledger?tenant={context.tenant}",
    )


def usage_row(line: UsageLine, spent: Decimal) -> UsageRow:
    """Shape a line of the ledger's breakdown."""
    return UsageRow(
        name=line.name or "(none)",
        amount=f"{line.amount:.6f}",
        share_percent=round(float(line.amount / spent * 100), 1) if spent else 0.0,
        slot_seconds=float(line.slot_seconds),
        tokens=int(line.tokens),
    )


def budget_end(left: Decimal, per_day: Decimal, now: datetime) -> datetime | None:
    """When the money that is left is spent at a pace per day; None for no pace, or one that lasts longer than ten years."""
    if per_day <= 0 or left / per_day > DAYS_FORESEEN_MAX:
        return None
    return now + timedelta(days=float(max(left, Decimal(0)) / per_day))


TOOLS = (
    Tool("metering.cost", Effect.READ, CostArguments, CostReport, cost),
    Tool("metering.usage", Effect.READ, UsageArguments, UsageReport, usage),
)
