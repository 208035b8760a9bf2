"""Tools over the key figures of the installation."""

from pydantic import AwareDatetime, Field

from factory_infra.errors import Forbidden
from factory_infra.paas.kpis.models import Amount, Exclusion, Kpi
from factory_infra.paas.tenants.models import PLATFORM
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


class ShowArguments(Arguments):
    """Which figures, over which window: all of them over the last 30 days where nothing is named."""

    names: list[str] = Field(default=[], max_length=20)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class KpiLine(Result):
    """One figure."""

    name: str
    title: str
    value: float | None
    unit: str
    goal: str
    met: bool | None
    note: str
    numerator: Amount
    denominator: Amount
    exclusions: list[Exclusion]


class KpiList(Result):
    """Figures over one window."""

    since: AwareDatetime
    until: AwareDatetime
    kpis: list[KpiLine]


async def show(context: ToolContext, arguments: ShowArguments) -> KpiList:
    """Show the installation's key figures with numerator, denominator and exclusions; one without a number says why.

    They are: use of GPUs, time between failures, provisioning, availability, cost reduction, isolation, cycle time of models, self-service,
    success of deployments, use across teams. Only the platform may ask.
    """
    if context.tenant != PLATFORM:
        raise Forbidden("The key figures are of all teams together.", code="platform_only", remedy="Ask an administrator.")
    page = await context.factory.kpis.page(arguments.since, arguments.until, arguments.names)
    return KpiList(since=page.since, until=page.until, kpis=[line(each) for each in page.kpis])


def line(kpi: Kpi) -> KpiLine:
    """A figure in a line."""
    fields = {name: getattr(kpi, name) for name in KpiLine.model_fields if name != "goal"}
    return KpiLine(**fields, goal=kpi.goal.words)


TOOLS = (Tool("kpis.show", Effect.READ, ShowArguments, KpiList, show),)
