"""Tools over gauges."""

from factory_infra.foundation.telemetry.models import Reading
from tools.plan import Effect
from tools.spec import Arguments, Tool, ToolContext


class ShowArguments(Arguments):
    """Nothing is asked."""


async def show(context: ToolContext, arguments: ShowArguments) -> Reading:
    """Show how busy the host is now: cores, load, memory, disk, and each GPU where there are any."""
    return await context.factory.telemetry.read()


TOOLS = (Tool("telemetry.show", Effect.READ, ShowArguments, Reading, show),)
