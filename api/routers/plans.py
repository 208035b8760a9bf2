"""Plans: read, approve, refuse, cancel."""

from fastapi import APIRouter

from api.deps import ApproverDep, House, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.chat import who
from api.schemas.chat import Approval, Refusal
from factory_infra.errors import Conflict
from factory_infra.paas.tenants.models import Principal
from factory_infra.records.models import PlanRecord
from tools.plan import PlanState
from workflows.definitions.plan import PlanWorkflow
from workflows.messages import Cancellation, Decision, PlanStatus

router = APIRouter(prefix="/v1/plans", tags=["plans"])


@router.get("")
async def list_plans(held: HouseDep, tenant: ScopeDep, page: PageDep, state: PlanState | None = None) -> list[PlanRecord]:
    """List plans, newest first."""
    return await held.factory.records.plans(tenant, state.value if state else None, page.limit, page.offset)


@router.get("/{plan_id}")
async def get_plan(plan_id: str, asker: PrincipalDep, held: HouseDep) -> PlanRecord:
    """Show a plan, with the digest that an approval must name."""
    return await held.factory.records.plan(plan_id, asker.tenant)


OPEN = {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING}


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
async def approve(plan_id: str, body: Approval, asker: ApproverDep, held: HouseDep) -> PlanStatus:
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
