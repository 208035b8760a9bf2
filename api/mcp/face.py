"""MCP over streamable HTTP inside the API: a key with every request, its owner's session only, and no strange host or origin."""

from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.deps import House
from api.mcp.door import Door, header_of_request
from api.mcp.server import build_server
from factory_infra.errors import Unauthenticated
from factory_infra.settings import Settings

SESSIONS_MAX = 1_000
SESSION_IDLE_SECONDS = 900.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def security(settings: Settings) -> TransportSecuritySettings:
    """Which hosts and origins may be named: this machine's, and where the operator says that the API is found."""
    hosts = {f"{host}:*" for host in LOOPBACK} | set(LOOPBACK) | {f"{settings.api_host}:*"}
    if settings.api_url:
        hosts.add(urlsplit(settings.api_url).netloc)
    origins = [f"{scheme}://{host}" for host in sorted(hosts) for scheme in ("http", "https")]
    return TransportSecuritySettings(allowed_hosts=sorted(hosts), allowed_origins=origins)


def in_process(app: FastAPI) -> httpx.AsyncClient:
    """A client of the application's own routes, without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://127.0.0.1", timeout=60)


class McpFace:
    """The application at `/mcp`. Runs within `manager.run()`."""

    def __init__(self, app: FastAPI, settings: Settings, server: Server[Any] | None = None) -> None:
        self._app = app
        self.manager = StreamableHTTPSessionManager(
            server or build_server(Door(in_process(app), header_of_request)),
            security_settings=security(settings),
            max_request_body_size=settings.api_body_bytes_max,
            session_idle_timeout=SESSION_IDLE_SECONDS,
            max_sessions=SESSIONS_MAX,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the key of this very request, then hand it to the session that the key opened. Raises Unauthenticated."""
        scheme, _, key = Request(scope).headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("A key is needed.", remedy="Send 'Authorization: Bearer …' with every request.")
        held: House = self._app.state.house
        asker = await held.factory.tenants.authenticate(key.strip())
        owner = AccessToken(token="", client_id=asker.key_id, scopes=[asker.role.value])
        await self.manager.handle_request({**scope, "user": AuthenticatedUser(owner)}, receive, send)
