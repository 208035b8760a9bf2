"""What a graph may reach from inside a workflow: durable calls and events, nothing else."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

JsonObject = dict[str, JsonValue]


class Ports(Protocol):
    """The only way from a graph to the world. The workflow gives the implementation."""

    async def call(self, activity: str, argument: Mapping[str, JsonValue]) -> JsonObject:
        """Run an activity by its name, durably, and return its result. Raises what the activity raised."""
        ...

    async def emit(self, kind: str, payload: Mapping[str, JsonValue]) -> None:
        """Write an event to the thread's stream, once."""
        ...
