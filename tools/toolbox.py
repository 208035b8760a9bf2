"""Every tool by its name."""

from typing import Any

from factory_infra.errors import NotFound
from factory_infra.factory import Factory
from tools import (
    accelerators,
    catalog,
    clusters,
    deployments,
    events,
    features,
    isolation,
    jobs,
    kpis,
    leases,
    metering,
    nodes,
    optimization,
    pipelines,
    plans,
    pools,
    registry,
    reliability,
    scheduling,
    studies,
    telemetry,
    tenants,
    training,
    twin,
    validation,
    vms,
)
from tools.foreign import PREFIX, foreign_tool_named
from tools.spec import Tool

AnyTool = Tool[Any, Any]
"""A tool whose argument and result types are known to itself only."""

TOOLS: dict[str, AnyTool] = {
    tool.name: tool
    for noun in (
        accelerators,
        catalog,
        clusters,
        deployments,
        events,
        features,
        isolation,
        jobs,
        kpis,
        leases,
        metering,
        nodes,
        optimization,
        pipelines,
        plans,
        pools,
        registry,
        reliability,
        scheduling,
        studies,
        telemetry,
        tenants,
        training,
        twin,
        validation,
        vms,
    )
    for tool in noun.TOOLS
}


def tool_named(name: str) -> AnyTool:
    """Return a tool. Raises NotFound that lists the names."""
    if name not in TOOLS:
        raise NotFound(f"There is no tool '{name}'.", code="tool_unknown", remedy=f"Tools: {', '.join(sorted(TOOLS))}.")
    return TOOLS[name]


async def resolve_tool(factory: Factory, name: str, tenant: str | None) -> AnyTool:
    """Return a tool of ours, or one of an approved server of others that the team may use. Raises NotFound, Conflict."""
    if name.startswith(PREFIX):
        return await foreign_tool_named(factory, name, tenant)
    return tool_named(name)
