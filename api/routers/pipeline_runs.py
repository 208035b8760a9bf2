"""Runs of pipelines: read, decide, cancel, run again."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse

from api.deps import ApproverDep, House, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.chat import who
from api.schemas.chat import NewApproval, Refusal
from api.schemas.pipelines import RunFacts
from factory_infra.errors import Conflict, NotFound
from factory_infra.paas.tenants.models import Principal
from factory_infra.paas.training.pipelines.models import NewRun, PipelineRun, RunState, StepState
from factory_infra.records.approvals import Approval
from workflows.definitions.pipeline import PipelineWorkflow
from workflows.messages import Cancellation, Decision
from workflows.pipeline_starting import begin
from workflows.pipelining import PipelineStatus
from workflows.proposal import Starter

router = APIRouter(prefix="/v1/pipeline-runs", tags=["pipelines"])
RunPath = Annotated[str, Path(max_length=64)]
StateQuery = Annotated[RunState | Literal["open"] | None, Query(description="open: every run that is not over.")]


@router.get("")
async def list_runs(
    held: HouseDep,
    tenant: ScopeDep,
    page: PageDep,
    pipeline: Annotated[str | None, Query(max_length=40)] = None,
    state: StateQuery = None,
) -> list[PipelineRun]:
    """List runs, newest first."""
    return await held.factory.pipeline_runs.list(
        tenant, pipeline=pipeline, state=str(state) if state else None, limit=page.limit, offset=page.offset
    )


@router.get("/{run_id}")
async def get_run(run_id: RunPath, asker: PrincipalDep, held: HouseDep) -> RunFacts:
    """Show a run with its steps. What people are asked has a card with the digest that an approval must name."""
    run = await held.factory.pipeline_runs.get(run_id, asker.tenant)
    return RunFacts(**run.model_dump(), steps=await held.factory.pipeline_runs.steps(run_id))


@router.get("/{run_id}/approvals")
async def list_approvals(run_id: RunPath, asker: PrincipalDep, held: HouseDep) -> list[Approval]:
    """List who decided what on a run and at its gates, oldest first."""
    await held.factory.pipeline_runs.get(run_id, asker.tenant)
    return await held.factory.approvals.of_plan(run_id)


@router.get("/{run_id}/steps/{step}/files/{file}", response_class=PlainTextResponse)
async def get_file(
    run_id: RunPath,
    step: Annotated[str, Path(max_length=40)],
    file: Annotated[str, Path(max_length=100)],
    asker: PrincipalDep,
    held: HouseDep,
) -> str:
    """Return a file that a step left. The text comes from a program: it is data."""
    run = await held.factory.pipeline_runs.get(run_id, asker.tenant)
    found = await held.factory.pipeline_runs.step(run_id, step)
    if file not in found.outputs:
        left = ", ".join(found.outputs) or "none"
        raise NotFound(f"Step {step[:40]} left no file {file[:100]!r}.", remedy=f"It left: {left}.", code="output_unknown")
    return (await held.factory.pipeline_store.get(run.tenant, found.outputs[file])).decode(errors="replace")


async def open_run(run_id: str, asker: Principal, held: House) -> PipelineRun:
    """Return a run whose workflow still listens. Raises NotFound, Conflict."""
    run = await held.factory.pipeline_runs.get(run_id, asker.tenant)
    if run.state.ended:
        raise Conflict(f"Run {run_id} is {run.state} already.", remedy="Read it; run the pipeline again for another.")
    return run


async def decide(run_id: str, asker: Principal, held: House, decision: Decision) -> PipelineStatus:
    """Hand a decision to the run's workflow, which alone says whether it still counts."""
    await open_run(run_id, asker, held)
    return await held.temporal.get_workflow_handle_for(PipelineWorkflow.run, run_id).execute_update(PipelineWorkflow.decide, decision)


@router.post("/{run_id}/approve")
async def approve(run_id: RunPath, body: NewApproval, asker: UserDep, held: HouseDep) -> PipelineStatus:
    """Approve exactly what the digest names: the run, or one of its gates. Who may is said by the policy, and by the gate."""
    return await decide(run_id, asker, held, Decision(approve=True, digest=body.digest, who=who(asker)))


@router.post("/{run_id}/refuse")
async def refuse(run_id: RunPath, body: Refusal, asker: ApproverDep, held: HouseDep) -> PipelineStatus:
    """Refuse what a run asks now: before it began nothing is done; at a gate nothing after it is."""
    run = await open_run(run_id, asker, held)
    steps = await held.factory.pipeline_runs.steps(run_id)
    cards = [run.card, *(step.card for step in steps if step.state is StepState.ASKING)]
    digest = next((str(card["digest"]) for card in cards if "digest" in card), "")
    return await decide(run_id, asker, held, Decision(approve=False, digest=digest, who=who(asker), reason=body.reason))


@router.post("/{run_id}/cancel")
async def cancel(run_id: RunPath, body: Refusal, asker: UserDep, held: HouseDep) -> PipelineStatus:
    """End a run: its jobs are ended, and what its tools did is undone. What steps left stays known."""
    await open_run(run_id, asker, held)
    handle = held.temporal.get_workflow_handle_for(PipelineWorkflow.run, run_id)
    return await handle.execute_update(PipelineWorkflow.cancel, Cancellation(who=who(asker), reason=body.reason))


@router.post("/{run_id}/rerun", status_code=202)
async def rerun(run_id: RunPath, asker: UserDep, held: HouseDep) -> PipelineRun:
    """Run the same version with the same parameters once more: it goes on where this one stopped, for what is done is known."""
    run = await held.factory.pipeline_runs.get(run_id, asker.tenant)
    if not run.state.ended:
        raise Conflict(f"Run {run_id} is {run.state}.", remedy="Wait for its end, or cancel it.")
    wanted = run.model_dump(include={"tenant", "pipeline", "version", "parameters", "cache"})
    said = {"key": f"rerun/{run_id}/{run.ended_at}", "actor": asker.actor, "role": asker.role.value, "trigger": "rerun"}
    asked = await held.factory.pipeline_runs.ask(NewRun.model_validate({**wanted, **said}))
    await begin(Starter(held.factory, held.temporal, held.task_queue), asked)
    return await held.factory.pipeline_runs.get(asked.id, asker.tenant)
