"""Validation: the software of nodes against their baseline, and what burn-ins say of them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import AdminDep, HouseDep, PageDep, PrincipalDep
from factory_infra.foundation.pools.spec import Name
from factory_infra.foundation.validation.models import BurnIn, NodeVerdict, StackReport
from tools.validation import stacks

router = APIRouter(prefix="/v1/validation", tags=["validation"])
Node = Annotated[str, Query(max_length=255, description="As the pool's slots call it; empty for this host.")]


@router.get("/nodes")
async def nodes(asker: PrincipalDep, held: HouseDep, page: PageDep, pool: Name | None = None) -> list[NodeVerdict]:
    """List what is thought of each node that was burnt in. Whose job measured it, only an administrator sees."""
    found = await held.factory.validation.verdicts(pool, page.limit, page.offset)
    return found if asker.tenant is None else [each.model_copy(update={"tenant": "", "job_id": ""}) for each in found]


@router.get("/burn-ins")
async def burn_ins(
    asker: AdminDep, held: HouseDep, pool: Name, node: Node = "", limit: Annotated[int, Query(ge=1, le=500)] = 20
) -> list[BurnIn]:
    """Show a node's burn-ins, newest first."""
    return await held.factory.validation.burn_ins(pool, node, limit)


@router.get("/stacks")
async def software(asker: AdminDep, held: HouseDep, pool: Name | None = None) -> list[StackReport]:
    """Compare the software of a pool's nodes with its baseline."""
    return await stacks(held.factory, pool or "")


@router.delete("/nodes", status_code=204)
async def forget(asker: AdminDep, held: HouseDep, pool: Name, node: Node = "") -> None:
    """Forget what was measured on a node, once it was repaired: it is handed out again."""
    await held.factory.validation.forgive(pool, node)
