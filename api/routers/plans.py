"""Plans: read, approve, refuse, edit, hold, cancel, undo."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from api.deps import ApproverDep, House, HouseDep, OperatorDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.chat import who
from api.schemas.chat import NewApproval, PlanEdit, Refusal
from factory_infra.errors import Conflict
from factory_infra.paas.tenants.models import Principal
from factory_infra.records.approvals import Approval
from factory_infra.records.models import PlanRecord
from tools.drawing import diagram_of, text_of
from tools.plan import Plan, PlanState
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.undo import UndoWorkflow
from workflows.messages import Cancellation, Decision, Edit, Pause, PlanOutcome, PlanStatus, Resume, UndoInput

router = APIRouter(prefix="/v1/plans", tags=["plans"])


@router.get("")
async def list_plans(
    held: HouseDep, tenant: ScopeDep, page: PageDep, state: PlanState | None = None, project: Annotated[str, Query(max_length=64)] = ""
) -> list[PlanRecord]:
    """List plans, newest first."""
    return await held.factory.records.plans(tenant, state.value if state else None, page.limit, page.offset, project=project)


@router.get("/{plan_id}")
async def get_plan(plan_id: str, asker: PrincipalDep, held: HouseDep) -> PlanRecord:
    """Show a plan, with the digest that an approval must name."""
    return await held.factory.records.plan(plan_id, asker.tenant)


@router.get("/{plan_id}/text", response_class=PlainTextResponse)
async def get_plan_text(plan_id: str, asker: PrincipalDep, held: HouseDep) -> str:
    """Show a plan as plain text."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    return text_of(Plan.model_validate(record.document))


@router.get("/{plan_id}/diagram", response_class=PlainTextResponse)
async def get_plan_diagram(plan_id: str, asker: PrincipalDep, held: HouseDep) -> str:
    """Show a plan as a Mermaid flow chart."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    return diagram_of(Plan.model_validate(record.document))


@router.get("/{plan_id}/approvals")
async def list_approvals(plan_id: str, asker: PrincipalDep, held: HouseDep) -> list[Approval]:
    """List who decided what on which revision of a plan, oldest first."""
    await held.factory.records.plan(plan_id, asker.tenant)
    return await held.factory.approvals.of_plan(plan_id)


@router.get("/{plan_id}/status")
async def get_status(plan_id: str, asker: PrincipalDep, held: HouseDep) -> PlanStatus:
    """Ask the plan's workflow where it is: its steps, and whose approvals count so far."""
    await open_plan(plan_id, asker, held)
    return await held.temporal.get_workflow_handle_for(PlanWorkflow.run, plan_id).query(PlanWorkflow.status)


OPEN = {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING, PlanState.PAUSED}
ENDED_WITH_EFFECT = {PlanState.DONE, PlanState.GATED, PlanState.ESCALATED, PlanState.UNDONE}


async def open_plan(plan_id: str, asker: Principal, held: House) -> PlanRecord:
    """Return a plan whose workflow still listens. Raises NotFound, Conflict."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    if record.state not in OPEN:
        raise Conflict(f"Plan {plan_id} is {record.state} already.", remedy="Read it; ask again for a new one.")
    return record


async def decide(plan_id: str, asker: Principal, held: House, decision: Decision) -> PlanStatus:
    """Hand a decision to the plan's workflow, which alone says whether it still counts."""
    await open_plan(plan_id, asker, held)
    return await held.temporal.get_workflow_handle_for(PlanWorkflow.run, plan_id).execute_update(PlanWorkflow.decide, decision)


@router.post("/{plan_id}/approve")
async def approve(plan_id: str, body: NewApproval, asker: ApproverDep, held: HouseDep) -> PlanStatus:
    """Approve exactly the plan that the digest names. It counts once."""
    return await decide(plan_id, asker, held, Decision(approve=True, digest=body.digest, who=who(asker)))


@router.post("/{plan_id}/refuse")
async def refuse(plan_id: str, body: Refusal, asker: ApproverDep, held: HouseDep) -> PlanStatus:
    """Refuse a plan: nothing of it is done."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    return await decide(plan_id, asker, held, Decision(approve=False, digest=record.digest, who=who(asker), reason=body.reason))


@router.post("/{plan_id}/cancel")
async def cancel(plan_id: str, body: Refusal, asker: UserDep, held: HouseDep) -> PlanStatus:
    """End a plan: what runs is stopped, what was done is undone."""
    await open_plan(plan_id, asker, held)
    handle = held.temporal.get_workflow_handle_for(PlanWorkflow.run, plan_id)
    return await handle.execute_update(PlanWorkflow.cancel, Cancellation(who=who(asker), reason=body.reason))


@router.post("/{plan_id}/pause")
async def pause(plan_id: str, body: Refusal, asker: UserDep, held: HouseDep) -> PlanStatus:
    """Hold a plan that runs: the step at work ends, nothing more begins."""
    await open_plan(plan_id, asker, held)
    handle = held.temporal.get_workflow_handle_for(PlanWorkflow.run, plan_id)
    return await handle.execute_update(PlanWorkflow.pause, Pause(who=who(asker), reason=body.reason))


@router.post("/{plan_id}/resume")
async def resume(plan_id: str, asker: OperatorDep, held: HouseDep) -> PlanStatus:
    """Let a held plan go on. While every effect is stopped it is held again at its next effect."""
    await open_plan(plan_id, asker, held)
    handle = held.temporal.get_workflow_handle_for(PlanWorkflow.run, plan_id)
    return await handle.execute_update(PlanWorkflow.resume, Resume(who=who(asker)))


@router.put("/{plan_id}")
async def edit(plan_id: str, body: PlanEdit, asker: UserDep, held: HouseDep) -> PlanRecord:
    """Change the steps of a plan that is proposed or paused: a new revision with a new digest, which needs its own approval."""
    await open_plan(plan_id, asker, held)
    handle = held.temporal.get_workflow_handle_for(PlanWorkflow.run, plan_id)
    change = Edit(digest=body.digest, steps=body.steps, who=who(asker), reason=body.reason)
    await handle.execute_update(PlanWorkflow.edit, change)
    return await held.factory.records.plan(plan_id, asker.tenant)


@router.post("/{plan_id}/undo", status_code=202)
async def undo(plan_id: str, body: Refusal, asker: ApproverDep, held: HouseDep) -> PlanRecord:
    """Undo what stands of a plan that ended, newest first. Asked again, what could not be undone is tried again."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    if record.state not in ENDED_WITH_EFFECT:
        raise Conflict(f"Plan {plan_id} is {record.state}: there is nothing to undo.", remedy="Cancel a plan that still runs.")
    outcome = {name: value for name, value in record.outcome.items() if name in PlanOutcome.model_fields}
    asked = UndoInput(
        plan=Plan.model_validate(record.document), outcome=PlanOutcome.model_validate(outcome), who=who(asker), reason=body.reason
    )
    await held.temporal.start_workflow(
        UndoWorkflow.run,
        asked,
        id=f"{plan_id}-undo",
        task_queue=held.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=f"undo {asked.plan.title}"[:200],
    )
    return record
