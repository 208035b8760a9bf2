"""Tools over the catalog: search, show, lineage, blueprints, access."""

from pydantic import Field, JsonValue

from factory_infra.errors import LineshaftError, PostconditionFailed
from factory_infra.paas.catalog.access_models import OPEN_STATES, AccessRequest, AccessState, NewAccess
from factory_infra.paas.catalog.blueprints import filled
from factory_infra.paas.catalog.lineage import Direction
from factory_infra.paas.catalog.models import CatalogEntry, Filters, Kind, Viewer
from tools.plan import DryRun, Effect
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, refused, text_argument

NODES_MAX = 60


def viewer(context: ToolContext) -> Viewer:
    """For whom a tool looks."""
    return Viewer(teams=(context.tenant,), actor=context.actor)


class SearchArguments(Arguments):
    """What to look for."""

    query: str = Field(min_length=1)
    kind: Kind | None = None
    owner: str | None = None
    tag: str | None = None
    badge: str | None = Field(default=None, description="NAME or NAME:LEVEL, such as quality:good.")
    version: str | None = None


class Found(Result):
    """One thing that was found."""

    id: str
    kind: str
    name: str
    description: str
    facts: dict[str, JsonValue]
    url: str
    owner: str = ""
    tags: list[str] = []
    badges: list[str] = []


class FoundList(Result):
    """What was found, best first."""

    entries: list[Found]
    note: str = ""


def found_line(entry: CatalogEntry) -> Found:
    """Shape an entry for a reader."""
    fields = set(Found.model_fields) - {"badges"}
    badges = [f"{each.name}: {each.value} ({each.level})" for each in entry.badges]
    return Found.model_validate({**entry.model_dump(include=fields), "badges": badges})


async def search(context: ToolContext, arguments: SearchArguments) -> FoundList:
    """Search services, models, datasets, features, pipelines, endpoints, documents, agents and tools by meaning and by name."""
    filters = Filters.model_validate(arguments.model_dump(exclude={"query"}))
    found = await context.factory.catalog_index.find(viewer(context), arguments.query, filters, 5)
    return FoundList(entries=[found_line(entry) for entry in found.entries], note=found.note)


class EntryArguments(Arguments):
    """Which entry."""

    entry_id: str = Field(min_length=1)


class Shown(Found):
    """An entry with what may be done with it."""

    usable: bool
    slots: dict[str, JsonValue] = {}


async def show(context: ToolContext, arguments: EntryArguments) -> Shown:
    """Show one entry of the catalog: its facts and badges, whether the team may use it, and a blueprint's slots."""
    entry = await context.factory.catalog.get(arguments.entry_id, viewer(context))
    usable = await context.factory.catalog.may_use(entry.id, viewer(context))
    slots = {name: slot.model_dump(mode="json") for name, slot in entry.blueprint.slots.items()} if entry.blueprint else {}
    return Shown(**found_line(entry).model_dump(), usable=usable, slots=slots)


class LineageArguments(Arguments):
    """Around what, which way, how far."""

    node: str = Field(min_length=3, description="KIND/NAME, such as model/vision/reader/3, endpoint/vision/reader or run/ID.")
    direction: Direction = "both"
    depth: int = Field(default=4, ge=1, le=12)


class LineageFound(Result):
    """What is around a thing."""

    node: str
    made_from: list[str]
    led_to: list[str]
    edges: list[str]
    truncated: bool


async def lineage(context: ToolContext, arguments: LineageArguments) -> LineageFound:
    """Tell what a thing was made from and what came of it: data, training sets, runs, model versions, endpoints, invoices."""
    graph = await context.factory.lineage.around(context.tenant, arguments.node, arguments.direction, arguments.depth)
    return LineageFound(
        node=graph.start,
        made_from=[each.id for each in graph.nodes if each.distance < 0][-NODES_MAX:],
        led_to=[each.id for each in graph.nodes if each.distance > 0][:NODES_MAX],
        edges=[f"{edge.source} -> {edge.target} ({edge.how})" for edge in graph.edges[:NODES_MAX]],
        truncated=graph.truncated or len(graph.nodes) > NODES_MAX,
    )


class BlueprintArguments(Arguments):
    """Which blueprint, with what in its slots."""

    entry_id: str = Field(min_length=1)
    values: dict[str, JsonValue] = {}


class BlueprintSteps(Result):
    """The steps of a plan."""

    entry_id: str
    name: str
    steps: list[dict[str, JsonValue]]


async def blueprint(context: ToolContext, arguments: BlueprintArguments) -> BlueprintSteps:
    """Fill a blueprint's slots and return the steps of the plan that it becomes; nothing is done by this: propose them as a plan."""
    entry = await context.factory.catalog.get(arguments.entry_id, viewer(context))
    steps = [step.model_dump(mode="json") for step in filled(entry, arguments.values)]
    return BlueprintSteps(entry_id=entry.id, name=entry.name, steps=steps)


class NoArguments(Arguments):
    """Nothing is asked."""


class AccessLine(Result):
    """A request for access as it stands."""

    request_id: str
    entry_id: str
    team: str
    owner_team: str
    state: str
    expires_at: str


class AccessLines(Result):
    """Requests, newest first."""

    requests: list[AccessLine]


def access_line(request: AccessRequest) -> AccessLine:
    """Shape a request for a reader."""
    return AccessLine(
        request_id=request.id,
        entry_id=request.entry_id,
        team=request.tenant,
        owner_team=request.owner_tenant,
        state=request.state.value,
        expires_at=request.expires_at.isoformat() if request.expires_at else "",
    )


async def access(context: ToolContext, arguments: NoArguments) -> AccessLines:
    """List the team's requests for access to what other teams own, and those of others that the team decides."""
    return AccessLines(requests=[access_line(each) for each in await context.factory.access.list(context.tenant, limit=50)])


class RequestArguments(Arguments):
    """What the team wishes to use, what for, for how long."""

    entry_id: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    days: int = Field(default=30, ge=1, le=365)


async def request_access(context: ToolContext, arguments: RequestArguments) -> AccessLine:
    """Ask another team for access to what an entry of the catalog stands for; its owners decide, and are reminded."""
    wanted = NewAccess.model_validate(arguments.model_dump())
    return access_line(await context.factory.access.ask(viewer(context), context.tenant, wanted))


async def dry_run_request(context: ToolContext, raw: Raw) -> DryRun:
    """The entry must be there, and not be the team's already."""
    entry_id = text_argument(raw, "entry_id") or ""
    try:
        entry = await context.factory.catalog.get(entry_id, viewer(context))
    except LineshaftError as error:
        return refused(error)
    if entry.tenant == context.tenant or entry.access == "open":
        return DryRun(feasible=False, code="access_not_needed", reason=f"The team may use '{entry.id}' already.", remedy="Use it.")
    return DryRun(reason=f"team {entry.tenant} is asked")


async def verify_request(context: ToolContext, arguments: RequestArguments, result: AccessLine) -> None:
    """The request is kept."""
    kept = await context.factory.access.get(result.request_id, context.tenant)
    if kept.entry_id != arguments.entry_id:
        raise PostconditionFailed(f"Request {kept.id} asks for '{kept.entry_id}'.")


async def undo_request(context: ToolContext, arguments: RequestArguments, result: AccessLine) -> str:
    """Withdraw it while it is open."""
    kept = await context.factory.access.get(result.request_id, context.tenant)
    if kept.state not in OPEN_STATES:
        return f"{kept.id} is {kept.state.value} already"
    await context.factory.access.move(kept.id, AccessState.WITHDRAWN, context.actor, "Undone.")
    return f"{kept.id} withdrawn"


TOOLS = (
    Tool("catalog.search", Effect.READ, SearchArguments, FoundList, search),
    Tool("catalog.show", Effect.READ, EntryArguments, Shown, show),
    Tool("catalog.lineage", Effect.READ, LineageArguments, LineageFound, lineage),
    Tool("catalog.blueprint", Effect.READ, BlueprintArguments, BlueprintSteps, blueprint),
    Tool("catalog.access", Effect.READ, NoArguments, AccessLines, access),
    Tool(
        "catalog.request_access",
        Effect.WRITE,
        RequestArguments,
        AccessLine,
        request_access,
        dry_run_request,
        None,
        verify_request,
        undo_request,
        undo_words="withdraw the request",
        postcondition="the request is kept, and its owners are told",
    ),
)
