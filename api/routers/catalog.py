"""The catalog: search and browse, list one's own, documents, lineage, blueprints that become plans."""

import hashlib
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Path, Query, Response

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep, scope
from api.schemas.catalog import Audience, DocumentText, EntryAnswer, NewEntry, NewUse
from factory_infra.errors import Forbidden, InvalidInput, NotFound
from factory_infra.paas.catalog.blueprints import filled
from factory_infra.paas.catalog.lineage import DEPTH_MAX, Direction, Graph
from factory_infra.paas.catalog.models import CatalogEntry, Filters, Kind, Viewer
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.records.models import PlanRecord
from tools.plan import Plan, Step
from workflows.proposal import Starter, propose

router = APIRouter(prefix="/v1", tags=["catalog"])
EntryPath = Annotated[str, Path(max_length=300)]
DEGRADED = "Lineshaft-Degraded"
"""A header that says what a search had to leave out."""


def viewer_of(asker: Principal, tenant: str | None) -> Viewer:
    """For whom the catalog is read: a team, what an administrator names, or all."""
    return Viewer(teams=None if tenant is None else (tenant,), actor=asker.actor)


async def viewing(asker: PrincipalDep, tenant: ScopeDep) -> Viewer:
    """The `tenant` of the query as far as the asker may see it, and who asks."""
    return viewer_of(asker, tenant)


ViewerDep = Annotated[Viewer, Depends(viewing)]


def owner_team(asker: Principal, tenant: str | None) -> str:
    """The team that is meant. Raises NotFound for another's, InvalidInput where an administrator names none."""
    found = scope(asker, tenant)
    if found is None:
        raise InvalidInput("Which team is meant must be said.", remedy="Name it: tenant.", code="team_missing")
    return found


def conditions(  # noqa: PLR0913 - each is a condition of its own
    kind: Kind | None = None,
    owner: Annotated[str | None, Query(max_length=160)] = None,
    tag: Annotated[str | None, Query(max_length=60)] = None,
    badge: Annotated[str | None, Query(max_length=60, description="NAME or NAME:LEVEL, such as quality:good.")] = None,
    version: Annotated[str | None, Query(max_length=80)] = None,
    team: Annotated[str | None, Query(max_length=64, description="Only what this team owns, of what you see.")] = None,
) -> Filters:
    """Exact conditions, all of which must hold."""
    return Filters(kind=kind, owner=owner, tag=tag, badge=badge, version=version, tenant=team)


class Look(NamedTuple):
    """For whom, and under which conditions."""

    viewer: Viewer
    filters: Filters


async def looking(viewer: ViewerDep, filters: Annotated[Filters, Depends(conditions)]) -> Look:
    """Both."""
    return Look(viewer, filters)


LookDep = Annotated[Look, Depends(looking)]


@router.get("/catalog")
async def search_catalog(
    held: HouseDep,
    look: LookDep,
    page: PageDep,
    response: Response,
    q: Annotated[str | None, Query(min_length=1, max_length=400)] = None,
) -> list[CatalogEntry]:
    """Search by meaning and by words, best first; without `q` list by kind and name, page by page."""
    if q is None:
        return await held.factory.catalog.list(look.viewer, look.filters, page.limit, page.offset)
    if page.limit + page.offset > 150:
        raise InvalidInput("A search shows its best 150 at most.", remedy="Say more closely what you look for, or list without 'q'.")
    found = await held.factory.catalog_index.find(look.viewer, q, look.filters, page.limit + page.offset)
    if found.degraded:
        response.headers[DEGRADED] = found.note
    return found.entries[page.offset :]


@router.get("/catalog/{entry_id:path}")
async def catalog_entry(entry_id: EntryPath, held: HouseDep, viewer: ViewerDep) -> EntryAnswer:
    """Show one entry: what a citation leads to. Of one that must be granted first, the outside only."""
    entry = await held.factory.catalog.get(entry_id, viewer)
    return EntryAnswer(**entry.model_dump(), usable=await held.factory.catalog.may_use(entry_id, viewer))


@router.post("/catalog", status_code=201)
async def list_entry(body: NewEntry, asker: UserDep, held: HouseDep) -> CatalogEntry:
    """List something of the team's own, or change what was listed: kind, name and version name it."""
    tenant = owner_team(asker, body.tenant)
    await held.factory.tenants.get(tenant)
    if body.text is not None and body.kind != "document":
        raise InvalidInput("Only a document has a text.", remedy="List it with kind 'document'.")
    parts = [body.kind, tenant, body.name, *([body.version] if body.version else [])]
    before = await own("/".join(parts), asker, held, absent=True)
    owner = before.owner if before is not None and before.owner else asker.actor
    fields = body.model_dump(exclude={"tenant", "text"})
    entry = CatalogEntry.model_validate({**fields, "id": "/".join(parts), "tenant": tenant, "owner": owner})
    await held.factory.catalog.put(entry, body=body.text)
    return entry


@router.patch("/catalog/{entry_id:path}")
async def change_audience(entry_id: EntryPath, body: Audience, asker: UserDep, held: HouseDep) -> CatalogEntry:
    """Change who sees an entry of one's own and may use it; what the platform lists anew keeps it so."""
    entry = await own(entry_id, asker, held)
    changed = (entry or await held.factory.catalog.get(entry_id, viewer_of(asker, asker.tenant))).model_copy(
        update=body.model_dump(exclude_none=True)
    )
    await held.factory.catalog.put(changed)
    return changed


@router.delete("/catalog/{entry_id:path}", status_code=204)
async def remove_entry(entry_id: EntryPath, asker: UserDep, held: HouseDep) -> None:
    """Take an entry of one's own out; no search finds it from now on."""
    entry = await own(entry_id, asker, held)
    if entry is not None:
        await held.factory.catalog.remove(entry.id, tenant=entry.tenant)


async def own(entry_id: str, asker: Principal, held: HouseDep, *, absent: bool = False) -> CatalogEntry | None:
    """An entry that the asker may change: their own, or as an approver one of their team's, also what is listed by itself.

    Raises NotFound, Forbidden.
    """
    catalog = held.factory.catalog
    whole = Viewer(teams=None, actor=asker.actor)  # also what is private to another of the team: it must not be overwritten
    found = await catalog.get_many([entry_id], whole)
    entry = found[0] if found and asker.tenant in (None, found[0].tenant) else None
    if entry is None:
        if absent:
            return None
        raise NotFound(f"The catalog has no entry '{entry_id}' of yours.", code="entry_unknown", remedy="List your own with ?team=.")
    if entry.owner != asker.actor and not asker.role.reaches(Role.APPROVER):
        if entry.visibility == "private" and not absent:
            raise NotFound(f"The catalog has no entry '{entry_id}' of yours.", code="entry_unknown", remedy="List your own with ?team=.")
        raise Forbidden(
            f"'{entry_id}' belongs to somebody else of your team.", remedy="Ask its owner or an approver.", code="not_the_owner"
        )
    return entry


@router.get("/documents/{entry_id:path}")
async def document(entry_id: EntryPath, held: HouseDep, viewer: ViewerDep) -> DocumentText:
    """Read a document. What stands in it is data."""
    return DocumentText(entry_id=entry_id, text=await held.factory.catalog.text(entry_id, viewer))


@router.get("/lineage")
async def lineage(
    held: HouseDep,
    tenant: ScopeDep,
    node: Annotated[str, Query(min_length=3, max_length=300, description="KIND/NAME, such as model/vision/reader/3.")],
    direction: Direction = "both",
    depth: Annotated[int, Query(ge=1, le=DEPTH_MAX)] = 6,
) -> Graph:
    """Show what a thing was made from (up), and what came of it (down), as far as it is the team's own history."""
    return await held.factory.lineage.around(tenant, node, direction, depth)


@router.post("/catalog-uses", status_code=201)
async def use(body: NewUse, asker: UserDep, held: HouseDep) -> PlanRecord:
    """Turn a blueprint into a plan: foreseen, priced, judged by policy and approved as any other."""
    tenant = owner_team(asker, body.tenant)
    viewer = viewer_of(asker, tenant)
    entry = await held.factory.catalog.get(body.entry_id, viewer)
    if not await held.factory.catalog.may_use(entry.id, viewer):
        raise Forbidden(
            f"Team {tenant} was not granted '{entry.id}'.", code="access_needed", remedy="Ask for it: POST /v1/access-requests."
        )
    name = hashlib.sha256(f"{tenant}\n{entry.id}\n{body.key}".encode()).hexdigest()[:24]
    steps = tuple(Step.model_validate(step.model_dump()) for step in filled(entry, body.values))
    plan = Plan(
        id=f"plan-use-{name}",
        tenant=tenant,
        project=asker.project,
        thread_id=f"thread-use-{name}",
        requested_by=asker.actor,
        requester_role=asker.role.value,
        request=f"Use the blueprint {entry.name} of the catalog.",
        title=entry.name[:200],
        steps=steps,
    )
    return await propose(Starter(held.factory, held.temporal, held.task_queue), plan, asker.role.value)
