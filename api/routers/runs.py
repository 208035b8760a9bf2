"""Runs: what is going on, and how to end it; and the switch that stops every effect."""

from typing import Annotated

from fastapi import APIRouter, Query
from temporalio.client import Client
from temporalio.service import RPCError

from api.deps import AdminDep, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.chat import who
from api.schemas.chat import Refusal
from api.schemas.runs import SwitchTurn
from factory_infra.errors import Conflict
from factory_infra.factory import Factory
from factory_infra.records.runs import Run
from factory_infra.records.switch import SwitchState
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.definitions.undo import UndoWorkflow
from workflows.messages import Cancellation, Kill

router = APIRouter(prefix="/v1", tags=["runs"])
PLANS_MAX = 500


@router.get("/runs")
async def list_runs(
    held: HouseDep, tenant: ScopeDep, page: PageDep, state: Annotated[str | None, Query(max_length=16)] = None
) -> list[Run]:
    """List runs, newest first; state=open shows those that may still do something."""
    return await held.factory.runs.list(tenant, state=state, limit=page.limit, offset=page.offset)


@router.get("/runs/{run_id}")
async def get_run(run_id: str, asker: PrincipalDep, held: HouseDep) -> Run:
    """Show a run: how far it went, and where it stands."""
    return await held.factory.runs.get(run_id, asker.tenant)


@router.post("/runs/{run_id}/kill", status_code=202)
async def kill(run_id: str, body: Refusal, asker: UserDep, held: HouseDep) -> Run:
    """End a run: a turn that thinks stops, a plan that waits or runs is cancelled and undone."""
    run = await held.factory.runs.get(run_id, asker.tenant)
    if not run.open:
        raise Conflict(f"Run {run_id} is {run.state} already.", remedy="List the open ones with GET /v1/runs?state=open.")
    reason = body.reason or f"Killed by {asker.actor}."
    thread = held.temporal.get_workflow_handle_for(ThreadWorkflow.run, run.thread_id)
    await thread.signal(ThreadWorkflow.kill, Kill(run_id=run_id, who=who(asker), reason=reason))
    if run.state != "thinking":
        handle = held.temporal.get_workflow_handle_for(PlanWorkflow.run, run_id)
        await handle.execute_update(PlanWorkflow.cancel, Cancellation(who=who(asker), reason=reason))
    return await held.factory.runs.get(run_id, asker.tenant)


@router.get("/switch")
async def get_switch(asker: PrincipalDep, held: HouseDep) -> SwitchState:
    """Tell whether effects are stopped; who stopped them is told to those who may turn it."""
    state = await held.factory.switch.state()
    return state if asker.tenant is None else state.model_copy(update={"actor": "", "reason": ""})


@router.put("/switch")
async def turn_switch(body: SwitchTurn, asker: AdminDep, held: HouseDep) -> SwitchState:
    """Stop every effect of the installation, or let them go on; reads go on all the while."""
    state = await held.factory.switch.turn(stopped=body.stopped, actor=asker.actor, reason=body.reason)
    if not state.stopped:
        await wake(held.factory, held.temporal)
    return state


async def wake(factory: Factory, temporal: Client) -> None:
    """Tell every plan and undo that is held that effects may happen; one that ended meanwhile need not hear it."""
    for record in await factory.records.plans(None, "paused", PLANS_MAX):
        for signal, name in ((PlanWorkflow.effects_started, record.id), (UndoWorkflow.effects_started, f"{record.id}-undo")):
            try:
                await temporal.get_workflow_handle(name).signal(signal)
            except RPCError:
                continue
