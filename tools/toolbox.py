"""Every tool by its name."""

from typing import Any

from factory_infra.errors import NotFound
from tools import accelerators, catalog, deployments, jobs, leases, metering, registry, tenants, training
from tools.spec import Tool

AnyTool = Tool[Any, Any]
"""A tool whose argument and result types are known to itself only."""

TOOLS: dict[str, AnyTool] = {
    tool.name: tool
    for noun in (accelerators, catalog, deployments, jobs, leases, metering, registry, tenants, training)
    for tool in noun.TOOLS
}


def tool_named(name: str) -> AnyTool:
    """Return a tool. Raises NotFound that lists the names."""
    if name not in TOOLS:
        raise NotFound(f"There is no tool '{name}'.", code="tool_unknown", remedy=f"Tools: {', '.join(sorted(TOOLS))}.")
    return TOOLS[name]
