"""Tools over scheduling: why something waits, and what would become of a lease if it were asked for."""

from pydantic import Field

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.answers import Foreseen, Why
from tools.leases import AcquireArguments, request_of
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


class WhyArguments(Arguments):
    """Which lease, or which job."""

    lease_id: str = Field(default="", max_length=64)
    job_id: str = Field(default="", max_length=128)


class Explained(Why, Result):
    """Why a lease or a job does not run yet."""


async def why(context: ToolContext, arguments: WhyArguments) -> Explained:
    """Tell why a lease or a job waits, when it should begin, and which change to what was asked for would let it begin sooner.

    Each change was tried on the scheduler as it stands now; the times are predictions, with an interval.
    """
    if bool(arguments.lease_id) == bool(arguments.job_id):
        raise InvalidInput("Name a lease or a job.", remedy="Give lease_id or job_id, and not both.")
    scheduling = context.factory.scheduling
    if arguments.job_id:
        found = await scheduling.why_job(arguments.job_id, context.tenant)
    else:
        found = await scheduling.why(arguments.lease_id, context.tenant)
    return Explained.model_validate(found.model_dump())


class ForeseeArguments(AcquireArguments):
    """The lease that would be asked for."""


class ForeseenLease(Foreseen, Result):
    """What would become of a lease."""

    currency: str


async def foresee(context: ToolContext, arguments: ForeseeArguments) -> ForeseenLease:
    """Tell what would become of a lease if it were asked for now: will it begin, when, for how much, and what would begin sooner."""
    found = await context.factory.scheduling.foresee(request_of(context, arguments))
    return ForeseenLease(currency=context.factory.metering.prices.currency, **found.model_dump())


TOOLS = (
    Tool("scheduling.why", Effect.READ, WhyArguments, Explained, why),
    Tool("scheduling.foresee", Effect.READ, ForeseeArguments, ForeseenLease, foresee),
)
