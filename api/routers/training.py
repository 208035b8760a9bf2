"""Training: runs and their comparison, blueprints, environments. Work begins by plans: see the tools over training."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import HouseDep, PageDep, PrincipalDep, scope
from api.schemas.training import BlueprintFacts
from factory_infra.errors import InvalidInput
from factory_infra.paas.tenants.models import Principal
from factory_infra.paas.training.blueprints.catalogue import BLUEPRINTS, blueprint_named
from factory_infra.paas.training.environments.service import InstalledEnvironment
from factory_infra.paas.training.runs import COMPARED_MAX, Comparison, RunLine

router = APIRouter(prefix="/v1/training", tags=["training"])
TeamQuery = Annotated[str | None, Query(max_length=64, description="The team, for an administrator.")]


def team(asker: Principal, tenant: str | None) -> str:
    """The team that is meant. Raises NotFound for another's, InvalidInput where an administrator names none."""
    found = scope(asker, tenant)
    if found is None:
        raise InvalidInput("Which team is meant must be said.", remedy="Name it: ?tenant=TEAM.", code="team_missing")
    return found


@router.get("/runs")
async def list_runs(  # noqa: PLR0913 - each is a filter of its own
    asker: PrincipalDep,
    held: HouseDep,
    page: PageDep,
    experiment: Annotated[str | None, Query(max_length=128, description="A model's or a study's name.")] = None,
    study_id: Annotated[str | None, Query(max_length=64)] = None,
    tenant: TeamQuery = None,
) -> list[RunLine]:
    """List a team's training runs, newest first, with metrics, parameters and what they ran on."""
    owner = team(asker, tenant)
    return await held.factory.training_runs.list(owner, experiment=experiment, study=study_id, limit=page.limit, offset=page.offset)


@router.get("/runs/{run_id}")
async def get_run(run_id: Annotated[str, Path(max_length=64)], asker: PrincipalDep, held: HouseDep, tenant: TeamQuery = None) -> RunLine:
    """Show a training run."""
    return await held.factory.training_runs.get(team(asker, tenant), run_id)


@router.get("/compare")
async def compare(
    asker: PrincipalDep,
    held: HouseDep,
    run_id: Annotated[list[str], Query(min_length=2, max_length=COMPARED_MAX, description="Several times.")],
    tenant: TeamQuery = None,
) -> Comparison:
    """Put runs side by side; what differs comes first."""
    return await held.factory.training_runs.compare(team(asker, tenant), run_id)


@router.get("/blueprints")
async def list_blueprints(asker: PrincipalDep) -> list[BlueprintFacts]:
    """List the ways of training that are ready to run."""
    return [BlueprintFacts.of(each) for each in BLUEPRINTS]


@router.get("/blueprints/{name}")
async def get_blueprint(name: Annotated[str, Path(max_length=63)], asker: PrincipalDep) -> BlueprintFacts:
    """Show a blueprint with what its order takes."""
    return BlueprintFacts.of(blueprint_named(name))


@router.get("/environments")
async def list_environments(asker: PrincipalDep, held: HouseDep) -> list[InstalledEnvironment]:
    """List the training environments of this host, and whether each is installed. They are installed on the host itself."""
    return await asyncio.to_thread(held.factory.training_environments.list)
