"""Tools over hardware."""

from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


class ShowArguments(Arguments):
    """Nothing is asked."""


class Hardware(Result):
    """What this machine hands out."""

    slot_kind: str
    slots_total: int
    slots_free: int
    name: str
    note: str


async def show(context: ToolContext, arguments: ShowArguments) -> Hardware:
    """Show which slots exist (GPUs where there are any, else CPU cores) and how many are free."""
    pool = await context.factory.accelerators.pool()
    usage = await context.factory.leases.usage(context.tenant)
    name = pool.slots[0].name if pool.slots else "none"
    return Hardware(slot_kind=pool.kind, slots_total=usage.slots_total, slots_free=usage.slots_free, name=name, note=pool.note)


TOOLS = (Tool("accelerators.show", Effect.READ, ShowArguments, Hardware, show),)
