"""How MCP's tools reach the product: the REST doors under the caller's own key, so that no rule is written twice."""

from collections.abc import Callable
from typing import Any

import httpx
from mcp.server.context import ServerRequestContext
from pydantic import JsonValue

from api.client import ApiRefusal, JsonObject
from factory_infra.errors import Unavailable

Context = ServerRequestContext[Any, Any]
"""The request that is answered, as the SDK hands it over."""
HeaderOf = Callable[[Context], str]
"""The caller's `Authorization` header."""


def header_of_request(context: Context) -> str:
    """Of HTTP: what came with this very request, not with the session's first."""
    headers = getattr(context.request, "headers", {})
    return str(headers.get("authorization", ""))


class Door:
    """Asks the API on behalf of who called the tool."""

    def __init__(self, http: httpx.AsyncClient, header_of: HeaderOf) -> None:
        self._http = http
        self._header_of = header_of

    async def ask(self, context: Context, method: str, path: str, body: JsonObject | None = None, **query: JsonValue) -> JsonValue:
        """Send a request. Raises ApiRefusal with what the API said, Unavailable where it does not answer."""
        parameters = {name: str(value) for name, value in query.items() if value is not None}
        headers = {"authorization": self._header_of(context)}
        try:
            response = await self._http.request(method, path, json=body, params=parameters, headers=headers)
        except httpx.TransportError as error:
            raise Unavailable("The API does not answer.", remedy="Start it with 'lineshaft up'.") from error
        if response.is_success:
            told: JsonValue = response.json() if response.content else None
            return told
        problem = response.json() if "json" in response.headers.get("content-type", "") else {}
        raise ApiRefusal(response.status_code, problem if isinstance(problem, dict) else {})

    async def object(self, context: Context, method: str, path: str, body: JsonObject | None = None, **query: JsonValue) -> JsonObject:
        """Ask for what is one object."""
        told = await self.ask(context, method, path, body, **query)
        return told if isinstance(told, dict) else {}

    async def list(self, context: Context, path: str, **query: JsonValue) -> list[JsonObject]:
        """Ask for a list of objects."""
        told = await self.ask(context, "GET", path, None, **query)
        return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
