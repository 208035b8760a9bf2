"""Servers of somebody else's tools: an administrator adds, reviews, approves and removes them."""

from fastapi import APIRouter

from api.deps import AdminDep, HouseDep
from api.schemas.tools import NewToolServer, ServerApproval
from factory_infra.saas.tool_servers.models import ToolServer, ToolServerRequest

router = APIRouter(prefix="/v1/tool-servers", tags=["tools"])


@router.post("", status_code=201)
async def add_server(body: NewToolServer, asker: AdminDep, held: HouseDep) -> ToolServer:
    """Add a server. Nothing is asked of it, and its tools are unknown, before it is reviewed and approved."""
    if body.tenant is not None:
        await held.factory.tenants.get(body.tenant)
    return await held.factory.tool_servers.add(ToolServerRequest(**body.model_dump(), added_by=asker.actor))


@router.get("")
async def list_servers(asker: AdminDep, held: HouseDep) -> list[ToolServer]:
    """List servers."""
    return await held.factory.tool_servers.list()


@router.get("/{name}")
async def get_server(name: str, asker: AdminDep, held: HouseDep) -> ToolServer:
    """Show a server with what it offers and what of it is approved."""
    return await held.factory.tool_servers.get(name)


@router.post("/{name}/review")
async def review_server(name: str, asker: AdminDep, held: HouseDep) -> ToolServer:
    """Read what the server offers now; read it yourself before you approve its digest."""
    return await held.factory.tool_servers.review(name)


@router.post("/{name}/approve")
async def approve_server(name: str, body: ServerApproval, asker: AdminDep, held: HouseDep) -> ToolServer:
    """Approve exactly the descriptions of the digest, and say what each tool does to the world."""
    return await held.factory.tool_servers.approve(name, body.digest, body.effects, asker.actor)


@router.delete("/{name}", status_code=204)
async def remove_server(name: str, asker: AdminDep, held: HouseDep) -> None:
    """Switch a server off: its tools are gone at once."""
    await held.factory.tool_servers.remove(name)
