"""Nodes: what they report, their health, and how reliable they are. They are changed by plans: see the tools over nodes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from api.deps import HouseDep, PageDep, PrincipalDep
from api.schemas.nodes import NewEvents, Recorded
from factory_infra.errors import Forbidden, Unauthenticated
from factory_infra.foundation.reliability.health import Health
from factory_infra.foundation.reliability.node_models import Figures, Node, NodeFilter, NodeHistory, NodeName, NodeReport, PoolName
from factory_infra.paas.tenants.models import Principal, Reporter
from factory_infra.second_wall import look_as

router = APIRouter(prefix="/v1", tags=["nodes"])
PoolPath = Annotated[PoolName, Path()]
NodePath = Annotated[NodeName, Path()]


async def reporter(request: Request, pool: PoolPath, held: HouseDep) -> Reporter:
    """Who reports: a node's key or an administrator's, for a pool that there is. Raises Unauthenticated, Forbidden, NotFound."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("A key is needed.", remedy="Send 'Authorization: Bearer …'.")
    found = await held.factory.tenants.reporter(key.strip())
    if found.pool not in {None, pool}:
        remedy = f"It is a key of pool {found.pool}: report there, or use another one."
        raise Forbidden(f"This key does not speak for nodes of pool {pool}.", remedy=remedy, code="scope_missing")
    held.factory.pools.named(pool)
    look_as(None)  # nodes are no team's
    return found


ReporterDep = Annotated[Reporter, Depends(reporter)]


@router.post("/nodes/{pool}/{name}/heartbeat")
async def heartbeat(pool: PoolPath, name: NodePath, body: NodeReport, asker: ReporterDep, held: HouseDep) -> Node:
    """Report as a node; the first report registers it."""
    return await held.factory.nodes.report(pool, name, body)


@router.post("/nodes/{pool}/{name}/events")
async def events(pool: PoolPath, name: NodePath, body: NewEvents, asker: ReporterDep, held: HouseDep) -> Recorded:
    """Tell what happened on a node; each event counts once under its id."""
    new = await held.factory.nodes.record(pool, name, body.events)
    return Recorded(received=len(body.events), new=new)


@router.get("/nodes")
async def list_nodes(
    asker: PrincipalDep,
    held: HouseDep,
    page: PageDep,
    pool: Annotated[PoolName | None, Query()] = None,
    health: Health | None = None,
) -> list[Node]:
    """List nodes by pool and name."""
    found = await held.factory.nodes.list(NodeFilter(pool=pool, health=health), page.limit, page.offset)
    return [seen(node, asker) for node in found]


@router.get("/nodes/{pool}/{name}")
async def get_node(pool: PoolPath, name: NodePath, asker: PrincipalDep, held: HouseDep) -> NodeHistory:
    """Show a node with its incidents, events and moves, newest first."""
    told = await held.factory.nodes.history(pool, name)
    if asker.tenant is None:
        return told
    return NodeHistory(
        node=seen(told.node, asker),
        incidents=[each.model_copy(update={"plan_id": ""}) for each in told.incidents],
        events=[each.model_copy(update={"words": ""}) for each in told.events],
        moves=[each.model_copy(update={"actor": ""}) for each in told.moves],
    )


@router.get("/reliability")
async def reliability(  # noqa: PLR0913 - each is a filter of its own
    asker: PrincipalDep,
    held: HouseDep,
    pool: Annotated[PoolName | None, Query()] = None,
    node: Annotated[NodeName | None, Query()] = None,
    cluster: Annotated[str | None, Query(max_length=120)] = None,
    confidence: Annotated[float, Query(ge=0.5, le=0.999)] = 0.9,
) -> Figures:
    """Tell the mean time between failures and to repair, with bounds; of a node where `pool` and `node` are named."""
    return await held.factory.nodes.figures(pool, node if pool else None, cluster, confidence=confidence)


def seen(node: Node, asker: Principal) -> Node:
    """A node as the asker may see it: how busy it is tells what other teams do, and is for administrators."""
    return node if asker.tenant is None else node.model_copy(update={"gauges": [], "machine_id": "", "cluster_id": ""})
