"""Where workflows ask for a graph by name, and the worker registers it: workflow files import no agent."""

from collections.abc import Awaitable, Callable

from tools.ports import JsonObject, Ports

Graph = Callable[[Ports, JsonObject], Awaitable[JsonObject]]
"""Runs one turn: from the turn's input to its result, both JSON."""

_GRAPHS: dict[str, Graph] = {}


def register(name: str, graph: Graph) -> None:
    """Make a graph known under a name; the worker does it before it starts."""
    _GRAPHS[name] = graph


def graph_named(name: str) -> Graph:
    """Return a graph. A KeyError here fails the workflow task, which is tried again when a worker knows the graph."""
    return _GRAPHS[name]
