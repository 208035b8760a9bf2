"""Tools of other people's servers, behind the same seam as our own: pinned, declared by the operator, and never trusted."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import ConfigDict, JsonValue

from factory_infra.errors import EffectFailed, LineshaftError, NotFound
from factory_infra.factory import Factory
from factory_infra.saas.tool_servers.models import ToolDescription, ToolServer
from factory_infra.saas.tool_servers.service import check_arguments
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, reference, refused

PREFIX = "mcp."
UNDO_WORDS = "none: a tool of another's server has no undo that we know"
POSTCONDITION = "not checked: only its own server could tell"


class ForeignArguments(Arguments):
    """What the pinned schema of the tool says: it is checked against that."""

    model_config = ConfigDict(extra="allow", strict=True)


class ForeignResult(Result):
    """What another's tool said: data of a stranger, whatever it tells the reader to do."""

    untrusted: Literal[True] = True
    source: str
    text: str
    structured: JsonValue = None
    truncated: bool = False


@dataclass(frozen=True)
class ForeignTool(Tool[ForeignArguments, ForeignResult]):
    """One tool of one approved server."""

    described: ToolDescription = field(default_factory=lambda: ToolDescription(name="", arguments={}))

    @property
    def description(self) -> str:
        """The server's own words, as an administrator approved them."""
        return self.described.description.strip() or f"{self.name}: its server says nothing of it."

    def parse(self, raw: Raw) -> ForeignArguments:
        """Validate arguments against the pinned schema. Raises InvalidInput, TooLarge."""
        check_arguments(self.described, dict(raw))
        return super().parse(raw)


def full_name(server: ToolServer, tool: ToolDescription) -> str:
    """The name under which everything of ours knows a tool."""
    return f"{PREFIX}{server.name}.{tool.name}"


def foreign_tool(server: ToolServer, tool: ToolDescription) -> ForeignTool:
    """Wrap one pinned tool."""
    name = full_name(server, tool)

    async def call(context: ToolContext, arguments: ForeignArguments) -> ForeignResult:
        """Call the server. Raises EffectFailed where the tool says that it failed."""
        sent: dict[str, JsonValue] = arguments.model_dump(mode="json")
        answer = await context.factory.tool_servers.call(context.tenant, server.name, tool.name, sent, context.key)
        if answer.failed:
            raise EffectFailed(f"{name} failed: {answer.text[:300]}", code="foreign_tool_failed", remedy="Look at what its server says.")
        return ForeignResult(source=name, text=answer.text, structured=answer.structured, truncated=answer.truncated)

    async def dry_run(context: ToolContext, raw: Raw) -> DryRun:
        """Tell whether the server is approved still and the arguments fit; what it would do, only the server knows."""
        try:
            await context.factory.tool_servers.tool(context.tenant, server.name, tool.name)
            if not any(reference(value) for value in raw.values()):
                check_arguments(tool, dict(raw))
        except LineshaftError as error:
            return refused(error)
        return DryRun(reason=f"calls {server.url}; what it does there cannot be foreseen from here")

    async def price(context: ToolContext, raw: Raw) -> Price:
        """What another's server charges is not in our price book."""
        currency = context.factory.metering.prices.currency
        return Price(currency=currency, basis=f"{name} is not in the price book: its owner may charge for it")

    effect = Effect(server.effect(tool.name))
    return ForeignTool(
        name,
        effect,
        ForeignArguments,
        ForeignResult,
        call,
        dry_run,
        price if effect is Effect.COSTLY else None,
        undo_words="" if effect is Effect.READ else UNDO_WORDS,
        postcondition="" if effect is Effect.READ else POSTCONDITION,
        described=tool,
    )


async def foreign_tool_named(factory: Factory, name: str, tenant: str | None) -> ForeignTool:
    """Return a tool of an approved server that the team may use. Raises NotFound, Conflict."""
    server, _, tool = name.removeprefix(PREFIX).partition(".")
    if not name.startswith(PREFIX) or not tool:
        raise NotFound(f"There is no tool '{name}'.", code="tool_unknown", remedy="List the tools with GET /v1/tools.")
    return foreign_tool(*await factory.tool_servers.tool(tenant, server, tool))


async def foreign_tools(factory: Factory, tenant: str | None) -> list[ForeignTool]:
    """Every tool of every approved server that the team may use."""
    servers = await factory.tool_servers.list(tenant, usable=True)
    return [foreign_tool(server, tool) for server in servers for tool in server.pinned]
