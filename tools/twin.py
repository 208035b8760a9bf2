"""Tools over the twin: what would become of the installation if something were different."""

from pydantic import Field

from factory_infra.iaas.twin.questions import StartsThen, WhatIf, WhatIfAnswer
from factory_infra.iaas.twin.service import Asker
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext

LINES_MAX = 20


class WhatIfArguments(Arguments):
    """What is different, and where."""

    question: str = Field(
        min_length=1,
        max_length=1000,
        description="Changes in words, `and` between: `add 2 nodes to POOL`, `order shortest`, `8 slots for 2 hours`, `without LEASE`.",
    )
    pool: str = Field(default="", max_length=40, description="The pool that is asked about; the default one if empty.")


class WaitingLine(Result):
    """One lease that waits, as it is and with the changes."""

    lease_id: str
    slots: int
    hypothetical: bool
    starts_as_it_is: str
    starts_then: str
    sooner_seconds: float | None


class WhatIfResult(Result):
    """What the simulation came to; nothing real was changed."""

    simulated: bool
    changes: list[str]
    leases: list[WaitingLine]
    others_delayed: int = Field(description="Waiting leases of other teams that would start later.")
    figures: list[dict[str, str | float]]


async def what_if(context: ToolContext, arguments: WhatIfArguments) -> WhatIfResult:
    """Simulate the installation from now on with changes, beside how it is: when waiting leases would start, use, cost. Changes nothing."""
    question = WhatIf(pool=arguments.pool, words=arguments.question)
    return shaped(await context.factory.what_ifs.ask(question, Asker(context.tenant)))


def shaped(found: WhatIfAnswer) -> WhatIfResult:
    """Shape an answer for a reader."""
    return WhatIfResult(
        simulated=found.simulated,
        changes=found.told,
        leases=[line_of(each) for each in found.leases[:LINES_MAX]],
        others_delayed=found.others_delayed,
        figures=found.figures,
    )


def line_of(each: StartsThen) -> WaitingLine:
    """One that waits."""
    return WaitingLine(
        lease_id=each.lease_id,
        slots=each.slots,
        hypothetical=each.hypothetical,
        starts_as_it_is=each.starts_as_it_is.isoformat() if each.starts_as_it_is else "never" if not each.hypothetical else "",
        starts_then=each.starts_then.isoformat() if each.starts_then else "never",
        sooner_seconds=each.sooner_seconds,
    )


TOOLS = (Tool("twin.what_if", Effect.READ, WhatIfArguments, WhatIfResult, what_if),)
