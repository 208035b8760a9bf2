"""Tools over teams."""

from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


class ShowArguments(Arguments):
    """Nothing is asked."""


class TeamUse(Result):
    """What a team may use and what it uses."""

    team: str
    quota_slots: int
    quota_slots_used: int
    budget: str
    spent: str
    reserved: str
    currency: str


async def show(context: ToolContext, arguments: ShowArguments) -> TeamUse:
    """Show the team's quota and budget, and how much of each is in use."""
    tenant = await context.factory.tenants.get(context.tenant)
    usage = await context.factory.leases.usage(context.tenant)
    cost = await context.factory.metering.cost(tenant=context.tenant)
    return TeamUse(
        team=tenant.name,
        quota_slots=tenant.quota_slots,
        quota_slots_used=usage.quota_slots_used,
        budget=f"{tenant.budget:.2f}",
        spent=f"{cost.spent:.6f}",
        reserved=f"{cost.reserved:.6f}",
        currency=cost.currency,
    )


TOOLS = (Tool("tenants.show", Effect.READ, ShowArguments, TeamUse, show),)
