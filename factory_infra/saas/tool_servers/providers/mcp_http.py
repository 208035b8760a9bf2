"""Servers of tools over MCP's streamable HTTP, asked with the official client."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx2
from pydantic import JsonValue

from factory_infra.errors import Conflict, EffectFailed, LineshaftError, Unavailable
from factory_infra.saas.tool_servers.interface import Address
from factory_infra.saas.tool_servers.models import (
    DESCRIPTION_MAX,
    SCHEMA_BYTES_MAX,
    TOOL_NAME,
    TOOLS_MAX,
    ForeignAnswer,
    ToolDescription,
    digest_of,
)

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult, RequestParamsMeta, Tool

ANSWER_BYTES_MAX = 4_000_000
TEXT_MAX = 8_000
STRUCTURED_BYTES_MAX = 20_000


class BoundedBody(httpx2.AsyncByteStream):
    """A body that breaks off where it is too large: a stranger decides what it sends, not how much we keep."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Pass pieces on, up to the limit."""
        seen = 0
        async for piece in self._inner:
            seen += len(piece)
            if seen > ANSWER_BYTES_MAX:
                raise httpx2.ReadError(f"more than {ANSWER_BYTES_MAX} bytes")
            yield piece

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._inner.aclose()


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Bounds every body; knows no proxy, and no address but the one that is asked."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = BoundedBody(response.stream)
        return response


class McpHttp:
    """One short session for each call. The client follows redirects within the server's own origin only."""

    def __init__(self, seconds_max: float = 60.0) -> None:
        self._seconds_max = seconds_max

    async def describe(self, address: Address) -> list[ToolDescription]:
        """Read what tools there are."""
        async with self._session(address) as client:
            return await listed(client)

    async def call(self, address: Address, pinned: str, tool: str, arguments: dict[str, JsonValue], key: str) -> ForeignAnswer:
        """Call a tool of a server that still describes itself as pinned."""
        sent = False
        try:
            async with self._session(address) as client:
                if digest_of(await listed(client)) != pinned:
                    reason = "The tool server describes its tools otherwise than was approved."
                    raise Conflict(reason, code="tool_server_changed", remedy="An administrator reviews it and approves it anew.")
                sent = True
                told: RequestParamsMeta = {"lineshaft/idempotency-key": key}  # type: ignore[typeddict-unknown-key]  # it is open by the standard
                return shaped(await client.call_tool(tool, dict(arguments), meta=told))
        except Unavailable as error:
            if sent:  # whether it acted is not known: to try again could do it twice
                reason = f"The tool server broke off while '{tool}' was called."
                raise EffectFailed(reason, code="tool_server_failed", remedy="Look there whether it acted, then decide.") from error
            raise

    @asynccontextmanager
    async def _session(self, address: Address) -> AsyncIterator["Client"]:
        """Connect within the limit of time; whatever goes wrong inside is told as one of ours."""
        from mcp import Client, MCPError  # noqa: PLC0415  (a second to load, for installations that have such servers)
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

        headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        timeout = httpx2.Timeout(10.0, read=self._seconds_max)
        try:
            with anyio.fail_after(self._seconds_max):
                async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False, transport=BoundedTransport()) as http:
                    transport = streamable_http_client(address.url, http_client=http)
                    async with Client(transport, cache=None, read_timeout_seconds=self._seconds_max) as client:
                        yield client
        except BaseExceptionGroup as group:
            raise translated(group) from group
        except (MCPError, httpx2.HTTPError, TimeoutError, OSError) as error:
            raise translated(error) from error


def translated(error: BaseException) -> BaseException:
    """The cause that is ours if there is one; a cancellation as it is; else that the server does not answer."""
    if isinstance(error, BaseExceptionGroup):
        causes = [translated(each) for each in error.exceptions]
        ours = [each for each in causes if not isinstance(each, Unavailable)]
        return next(iter([*ours, *causes]))
    if isinstance(error, LineshaftError) or not isinstance(error, Exception):
        return error
    reason = f"The tool server does not answer as it should ({type(error).__name__})."
    return Unavailable(reason, code="tool_server_unavailable", remedy="Ask who runs it; it is tried again.")


async def listed(client: "Client") -> list[ToolDescription]:
    """Every page of the server's tools. Raises EffectFailed where a description cannot be kept."""
    tools: list[ToolDescription] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += [described(tool) for tool in page.tools]
        cursor = page.next_cursor
        if len(tools) > TOOLS_MAX:
            raise unreadable(f"It has more than {TOOLS_MAX} tools.")
        if cursor is None:
            return tools


def described(tool: "Tool") -> ToolDescription:
    """One tool's description, within limits: a digest of a part would approve what nobody read."""
    text = tool.description or ""
    if not re.fullmatch(TOOL_NAME, tool.name):
        raise unreadable(f"A tool's name has more than letters, digits, '_' and '-', or is too long: '{tool.name[:60]}'.")
    if len(text) > DESCRIPTION_MAX or len(json.dumps(tool.input_schema)) > SCHEMA_BYTES_MAX:
        raise unreadable(f"The description of '{tool.name}' is too long to be reviewed.")
    return ToolDescription(name=tool.name, description=text, arguments=tool.input_schema)


def unreadable(reason: str) -> EffectFailed:
    """What a server offers that cannot be taken."""
    return EffectFailed(f"The tool server cannot be used. {reason}", code="tool_server_failed", remedy="Ask who runs it.")


def shaped(result: "CallToolResult") -> ForeignAnswer:
    """Cut an answer to what may go on: texts up to a length; pictures and sounds are named, not carried."""
    pieces = [part.text if part.type == "text" else f"[{part.type}, not carried]" for part in result.content]
    text = "\n".join(pieces)
    structured = result.structured_content
    too_large = structured is not None and len(json.dumps(structured)) > STRUCTURED_BYTES_MAX
    return ForeignAnswer(
        text=text[:TEXT_MAX],
        structured=None if too_large else structured,
        failed=bool(result.is_error),
        truncated=too_large or len(text) > TEXT_MAX,
    )
