"""Roll-outs: list, show, hold, go on, abort. They begin by plans: see the tools over deployments."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import ApproverDep, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.schemas.endpoints import AbortReason
from factory_infra.paas.deployments.rollout_models import Rollout, RolloutReport

router = APIRouter(prefix="/v1/rollouts", tags=["deployments"])
RolloutPath = Annotated[str, Path(max_length=64)]


@router.get("")
async def list_rollouts(
    held: HouseDep,
    tenant: ScopeDep,
    page: PageDep,
    endpoint: Annotated[str | None, Query(max_length=63)] = None,
    open_only: Annotated[bool, Query(description="Only those that have not ended.")] = False,
) -> list[Rollout]:
    """List roll-outs, newest first."""
    return await held.factory.rollouts.list(tenant, endpoint, open_only=open_only, limit=page.limit, offset=page.offset)


@router.get("/{rollout_id}")
async def get_rollout(rollout_id: RolloutPath, asker: PrincipalDep, held: HouseDep) -> RolloutReport:
    """Show a roll-out with its moves and what was counted of both versions in its present step."""
    return await held.factory.rollouts.report(rollout_id, asker.tenant)


@router.post("/{rollout_id}/pause")
async def pause(rollout_id: RolloutPath, asker: UserDep, held: HouseDep) -> Rollout:
    """Hold it at its share; where a gate fails it still goes back."""
    return await held.factory.rollouts.pause(rollout_id, asker.tenant)


@router.post("/{rollout_id}/resume")
async def resume(rollout_id: RolloutPath, asker: ApproverDep, held: HouseDep) -> Rollout:
    """Let it go on."""
    return await held.factory.rollouts.resume(rollout_id, asker.tenant)


@router.post("/{rollout_id}/abort")
async def abort(rollout_id: RolloutPath, body: AbortReason, asker: UserDep, held: HouseDep) -> Rollout:
    """Give all requests back to the version that was live before it."""
    return await held.factory.rollouts.abort(rollout_id, asker.tenant, body.reason or f"Ended by {asker.name}.")
