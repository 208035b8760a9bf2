"""Tools over the catalog."""

from typing import Literal

from pydantic import Field, JsonValue

from factory_infra.paas.catalog.models import SHARED
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


class SearchArguments(Arguments):
    """What to look for."""

    query: str = Field(min_length=1)
    kind: Literal["dataset", "model", "endpoint"] | None = None


class Found(Result):
    """One thing that was found."""

    id: str
    kind: str
    name: str
    description: str
    facts: dict[str, JsonValue]
    url: str


class FoundList(Result):
    """What was found, best first."""

    entries: list[Found]
    note: str = ""


async def search(context: ToolContext, arguments: SearchArguments) -> FoundList:
    """Search datasets, models and endpoints by meaning and by name: the team's own and what every team shares."""
    found = await context.factory.catalog_index.find([context.tenant, SHARED], arguments.query, arguments.kind, 5)
    fields = set(Found.model_fields)
    entries = [Found.model_validate(entry.model_dump(include=fields)) for entry in found.entries]
    return FoundList(entries=entries, note=found.note)


TOOLS = (Tool("catalog.search", Effect.READ, SearchArguments, FoundList, search),)
