"""The seam to somebody else's tools."""

from typing import NamedTuple, Protocol

from pydantic import JsonValue

from factory_infra.saas.tool_servers.models import ForeignAnswer, ToolDescription


class Address(NamedTuple):
    """Where a server is, and the key that it wants; never logged."""

    url: str
    key: str


class ToolSource(Protocol):
    """Speaks to one server of tools. Nothing is kept between calls."""

    async def describe(self, address: Address) -> list[ToolDescription]:
        """Read what tools there are. Raises Unavailable, or EffectFailed for an answer that cannot be read."""
        ...

    async def call(self, address: Address, pinned: str, tool: str, arguments: dict[str, JsonValue], key: str) -> ForeignAnswer:
        """Call a tool of a server whose descriptions still have the pinned digest.

        Args:
            key: the idempotency key, told to the server, which may ignore it.

        Raises Conflict (`tool_server_changed`) before anything is called, Unavailable where the server was not reached, and
        EffectFailed, which is not tried again, where it was and did not answer well.
        """
        ...
