"""Access to what other teams own: asked for, decided by its owners, shared, taken back."""

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from api.deps import ApproverDep, House, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.catalog import owner_team, viewer_of
from api.schemas.catalog import NewRequest, NewShare, Word
from factory_infra.errors import NotFound
from factory_infra.paas.catalog.access_models import AccessRequest, AccessState, NewAccess
from factory_infra.paas.tenants.models import Principal, Role
from workflows.access import AccessMove, Act
from workflows.cataloguing import follow
from workflows.definitions.access import AccessWorkflow
from workflows.proposal import Starter

router = APIRouter(prefix="/v1/access-requests", tags=["catalog"])
AWAY = (RPCError, RuntimeError)
"""What Temporal's client raises where no server answers: the latter at its first connection."""
RequestPath = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_requests(
    held: HouseDep,
    tenant: ScopeDep,
    page: PageDep,
    side: Annotated[Literal["asked", "owned", "both"], Query(description="What the team asked for, or what it decides.")] = "both",
    state: AccessState | None = None,
) -> list[AccessRequest]:
    """List requests, newest first."""
    return list(await held.factory.access.list(tenant, side, state, page.limit, page.offset))


@router.get("/{request_id}")
async def get_request(request_id: RequestPath, asker: PrincipalDep, held: HouseDep) -> AccessRequest:
    """Show a request of the team, or for what it owns."""
    return await held.factory.access.get(request_id, asker.tenant)


@router.post("", status_code=201)
async def ask(body: NewRequest, asker: UserDep, held: HouseDep) -> AccessRequest:
    """Ask for what an entry stands for. While a request is open it is that one; its owners are told and reminded."""
    tenant = owner_team(asker, body.tenant)
    wanted = NewAccess(entry_id=body.entry_id, reason=body.reason, days=body.days)
    return await followed(held, await held.factory.access.ask(viewer_of(asker, tenant), tenant, wanted))


@router.post("/share", status_code=201)
async def share(body: NewShare, asker: ApproverDep, held: HouseDep) -> AccessRequest:
    """Give a team of the organisation access to an entry of one's own, unasked; an administrator gives it to any team."""
    viewer = viewer_of(asker, asker.tenant)
    return await followed(held, await held.factory.access.share(body.entry_id, viewer, body.team, body.days, body.reason))


@router.post("/{request_id}/approve")
async def approve(request_id: RequestPath, body: Word, asker: UserDep, held: HouseDep) -> AccessRequest:
    """Grant it, from now on for the days that were asked for. Its owner and approvers of its team may."""
    return await decided(held, request_id, asker, "granted", body.reason)


@router.post("/{request_id}/refuse")
async def refuse(request_id: RequestPath, body: Word, asker: UserDep, held: HouseDep) -> AccessRequest:
    """Refuse it."""
    return await decided(held, request_id, asker, "refused", body.reason)


@router.post("/{request_id}/revoke")
async def revoke(request_id: RequestPath, body: Word, asker: UserDep, held: HouseDep) -> AccessRequest:
    """Take a grant back; it ends at once."""
    return await decided(held, request_id, asker, "revoked", body.reason)


@router.post("/{request_id}/withdraw")
async def withdraw(request_id: RequestPath, body: Word, asker: UserDep, held: HouseDep) -> AccessRequest:
    """Give up a request, or what it granted: the team's that asked."""
    request = await held.factory.access.get(request_id, asker.tenant)
    if asker.tenant not in (None, request.tenant):
        raise NotFound(f"There is no access request {request_id} of yours.", code="access_unknown", remedy="List what you asked for.")
    return await moved(held, request, asker, "withdrawn", body.reason)


async def decided(held: House, request_id: str, asker: Principal, act: Act, reason: str) -> AccessRequest:
    """Move a request by those who own what it asks for. Raises NotFound, Forbidden, Conflict."""
    request = await held.factory.access.get(request_id, asker.tenant)
    approver = asker.role.reaches(Role.APPROVER)
    await held.factory.access.check_decider(request, viewer_of(asker, asker.tenant), approver=approver)
    return await moved(held, request, asker, act, reason)


async def moved(held: House, request: AccessRequest, asker: Principal, act: Act, reason: str) -> AccessRequest:
    """Write it first, so that it counts from this moment, whatever runs; then have the workflow go on."""
    done = await held.factory.access.move(request.id, AccessState(act), asker.actor, reason)
    move = AccessMove(act=act, by=asker.actor, reason=reason)
    try:
        await held.temporal.get_workflow_handle_for(AccessWorkflow.run, request.id).execute_update(AccessWorkflow.move, move)
    except (*AWAY, WorkflowUpdateFailedError):
        await followed(held, done)  # it was never started, or has ended: what is due is in the row
    return done


async def followed(held: House, request: AccessRequest) -> AccessRequest:
    """Have a workflow follow it. Where Temporal is away it is kept all the same: the worker sees to it later."""
    with suppress(*AWAY):
        await follow(Starter(held.factory, held.temporal, held.task_queue), request)
    return request
