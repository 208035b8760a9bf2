"""Features: views and their versions, rows, readings, training sets."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep, scope
from api.schemas.features import Materialised, NewRows, NewTrainingSet, NewView, Question, Reading, ViewFacts
from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.paas.features.models import NAME_PATTERN, StoredView, TrainingSet
from factory_infra.paas.features.service import Written
from factory_infra.paas.features.set_files import SetRows
from factory_infra.paas.features.set_files import read_set as rows_of_set
from factory_infra.paas.tenants.models import Principal

router = APIRouter(prefix="/v1/features", tags=["features"])
SetPath = Annotated[str, Path(max_length=64)]
TeamQuery = Annotated[str | None, Query(max_length=64, description="The team, for an administrator.")]


def team(asker: Principal, tenant: str | None) -> str:
    """The team that is meant. Raises NotFound for another's, InvalidInput where an administrator names none."""
    found = scope(asker, tenant)
    if found is None:
        raise InvalidInput("Which team is meant must be said.", remedy="Name it: ?tenant=TEAM.", code="team_missing")
    return found


@router.get("/views")
async def list_views(
    held: HouseDep, tenant: ScopeDep, page: PageDep, every: Annotated[bool, Query(description="Retired versions too.")] = False
) -> list[StoredView]:
    """List feature views by team and name, newest version first."""
    return await held.factory.features.views.list(tenant, every=every, limit=page.limit, offset=page.offset)


@router.post("/views", status_code=201)
async def define(body: NewView, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> StoredView:
    """Define a view; another definition under the same name is its next version. One without a timestamp is refused."""
    owner = team(asker, tenant)
    await held.factory.tenants.get(owner)
    return await held.factory.features.define(owner, body, asker.name)


async def chosen(
    name: Annotated[str, Path(pattern=NAME_PATTERN, max_length=40)],
    asker: PrincipalDep,
    held: HouseDep,
    version: Annotated[int | None, Query(ge=1, description="The newest one in use if left out.")] = None,
    tenant: TeamQuery = None,
) -> StoredView:
    """The version of a view that the address names. Raises NotFound."""
    return await held.factory.features.get(team(asker, tenant), name, version)


async def recent(
    name: Annotated[str, Path(pattern=NAME_PATTERN, max_length=40)],
    asker: PrincipalDep,
    held: HouseDep,
    version: Annotated[int | None, Query(ge=1, description="The newest one in use if left out.")] = None,
    tenant: TeamQuery = None,
) -> StoredView:
    """The same, as it was up to a second ago."""
    return await held.factory.features.views.recent(team(asker, tenant), name, version)


ViewDep = Annotated[StoredView, Depends(chosen)]
RecentDep = Annotated[StoredView, Depends(recent)]


@router.get("/views/{name}")
async def get_view(view: ViewDep, held: HouseDep) -> ViewFacts:
    """Show a version of a view with what was written to it."""
    batches = (await held.factory.features.sources(view)).batches
    return ViewFacts(
        view=view,
        rows_written=sum(batch.rows for batch in batches),
        first_event_at=min((batch.first_event_at for batch in batches), default=None),
        last_event_at=max((batch.last_event_at for batch in batches), default=None),
    )


@router.delete("/views/{name}")
async def retire(view: ViewDep, asker: UserDep, held: HouseDep) -> StoredView:
    """Take a version out of use: it is read and written no more, its history stays."""
    return await held.factory.features.retire(view.tenant, view.name, view.version)


@router.post("/views/{name}/rows")
async def write(view: ViewDep, body: NewRows, asker: UserDep, held: HouseDep) -> Written:
    """Write rows, all or none, once under the key."""
    return await held.factory.features.write(view, body.rows, body.key, online=body.online)


@router.post("/views/{name}/read")
async def read(view: RecentDep, body: Question, asker: UserDep, held: HouseDep) -> Reading:
    """Read the newest features of entities."""
    now = utcnow()
    return Reading(view=view.name, version=view.version, at=now, rows=await held.factory.features.read(view, body.entities, now))


@router.post("/views/{name}/materialise")
async def materialise(view: ViewDep, asker: UserDep, held: HouseDep) -> Materialised:
    """Bring what was written as a backfill into readings; newer values stay."""
    return Materialised(view=view.name, version=view.version, entities=await held.factory.features.materialise(view))


@router.get("/training-sets")
async def list_sets(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[TrainingSet]:
    """List training sets, newest first."""
    return await held.factory.training_sets.list(tenant, page.limit, page.offset)


@router.post("/training-sets", status_code=201)
async def make_set(body: NewTrainingSet, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> TrainingSet:
    """Join features into a training set, each row as it was known at its moment."""
    return await held.factory.training_sets.make(team(asker, tenant), body.spec, body.key, asker.name)


@router.get("/training-sets/{set_id}")
async def get_set(set_id: SetPath, asker: PrincipalDep, held: HouseDep, tenant: TeamQuery = None) -> TrainingSet:
    """Show a training set."""
    return await held.factory.training_sets.get(team(asker, tenant), set_id)


@router.get("/training-sets/{set_id}/rows")
async def get_rows(set_id: SetPath, asker: PrincipalDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None) -> SetRows:
    """Return a page of a training set's rows, column by column. A file that changed since it was made is refused."""
    kept = await held.factory.training_sets.get(team(asker, tenant), set_id)
    return (await asyncio.to_thread(rows_of_set, kept)).part(page.offset, page.limit)
