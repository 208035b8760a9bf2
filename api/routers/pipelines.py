"""Pipelines: apply, show, run, and people's standing word on a version."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import ApproverDep, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.features import TeamQuery, team
from api.schemas.pipelines import Checked, NewPipeline, NewPipelineRun, StandingWord
from factory_infra.paas.training.pipelines.models import NewRun, PipelineLine, PipelineRun, PipelineVersion
from factory_infra.paas.training.pipelines.reading import Definition, read
from factory_infra.paas.training.pipelines.spec import NAME_PATTERN
from factory_infra.records.audit import digest_of
from tools.pipeline_steps import check_tools
from workflows.pipeline_starting import begin
from workflows.proposal import Starter

router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"])
NamePath = Annotated[str, Path(pattern=NAME_PATTERN, max_length=40)]
VersionQuery = Annotated[int | None, Query(ge=1, description="The newest one if left out.")]


async def definition_of(body: NewPipeline) -> Definition:
    """The pipeline that was sent, read beside other requests. Raises InvalidInput that names file, line and remedy."""
    made = await asyncio.to_thread(read, body.text, body.file, body.files)
    check_tools(made.source, made.spec)
    return made


@router.get("")
async def list_pipelines(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[PipelineLine]:
    """List pipelines in use by team and name."""
    return await held.factory.pipelines.list(tenant, page.limit, page.offset)


@router.post("/check")
async def check(body: NewPipeline, asker: PrincipalDep) -> Checked:
    """Say whether a file is a pipeline; nothing is kept. What is wrong is told with file, line and remedy."""
    made = await definition_of(body)
    steps = [step.id for step in made.spec.steps]
    return Checked(pipeline=made.spec.pipeline, digest=digest_of(made.source.document), steps=steps)


@router.post("", status_code=201)
async def apply(body: NewPipeline, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> PipelineVersion:
    """Keep a pipeline; another text under the same name is its next version."""
    owner, made = team(asker, tenant), await definition_of(body)
    await held.factory.tenants.get(owner)
    for step in made.spec.steps:
        held.factory.pools.named(getattr(step, "pool", ""))
    if made.spec.project:
        await held.factory.organisations.project(owner, made.spec.project)
    return await held.factory.pipelines.apply(owner, made, asker.actor, made_from=body.made_from)


@router.get("/{name}")
async def get_pipeline(
    name: NamePath, asker: PrincipalDep, held: HouseDep, version: VersionQuery = None, tenant: TeamQuery = None
) -> PipelineVersion:
    """Show a version with its text."""
    return await held.factory.pipelines.get(team(asker, tenant), name, version)


@router.get("/{name}/versions")
async def list_versions(
    name: NamePath, asker: PrincipalDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None
) -> list[PipelineVersion]:
    """List the versions of one, newest first."""
    return await held.factory.pipelines.versions(team(asker, tenant), name, page.limit, page.offset)


@router.delete("/{name}")
async def retire(name: NamePath, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> PipelineVersion:
    """Take a pipeline out of use: nothing starts it any more, and its runs stay."""
    return await held.factory.pipelines.retire(team(asker, tenant), name)


@router.post("/{name}/approve")
async def stand_by(name: NamePath, body: StandingWord, asker: ApproverDep, held: HouseDep, tenant: TeamQuery = None) -> PipelineVersion:
    """Approve the runs of exactly this version for so many days. Each still passes its own gates; another version needs another word."""
    return await held.factory.pipelines.stand_by(team(asker, tenant), name, body.digest, (asker.actor, asker.role.value), body.days)


@router.post("/{name}/runs", status_code=202)
async def run(name: NamePath, body: NewPipelineRun, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> PipelineRun:
    """Start a run; what was done before with the same program, data and parameters is not done again."""
    wanted = NewRun(
        tenant=team(asker, tenant),
        pipeline=name,
        version=body.version,
        parameters=body.parameters,
        key=f"api/{body.key}",
        actor=asker.actor,
        role=asker.role.value,
        cache=body.cache,
    )
    asked = await held.factory.pipeline_runs.ask(wanted)
    await begin(Starter(held.factory, held.temporal, held.task_queue), asked)
    return await held.factory.pipeline_runs.get(asked.id, asker.tenant)
