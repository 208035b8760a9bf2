"""Tools over the ledger."""

from decimal import Decimal
from typing import Literal

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.saas.metering.models import Cost
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


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
    entries = await context.factory.catalog.list([context.tenant], "model")
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


TOOLS = (Tool("metering.cost", Effect.READ, CostArguments, CostReport, cost),)
