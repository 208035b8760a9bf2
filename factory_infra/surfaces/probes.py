"""Asks each surface whether it answers, as a client would."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.database import Database
from factory_infra.settings import Settings

SECONDS_MAX = 5.0
"""An answer that comes later is none."""
WORKER, API, GATEWAY, MCP = "worker", "api", "gateway", "mcp"
Check = Callable[[], Awaitable[bool]]


class Prober:
    """Probes the surfaces of an installation; the gateway where its address is known: not every installation has one.

    Args:
        settings: where they listen.
        database: which the worker cannot do without.
        engine: whether the worker's engine answers; it may hang.
        client: in place of one of its own.
    """

    def __init__(self, settings: Settings, database: Database, engine: Check, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(trust_env=False, timeout=SECONDS_MAX)
        self._api = settings.own_url.rstrip("/")
        self._gateway = (settings.gateway_url or "").rstrip("/")
        self._database = database
        self._engine = engine
        self.checks: Mapping[str, Check] = {WORKER: self._worker, API: self._api_answers, MCP: self._mcp}
        if self._gateway:
            self.checks = {**self.checks, GATEWAY: self._gateway_answers}

    async def ask(self) -> dict[str, bool]:
        """Ask every surface at once, and tell which answered."""
        answers = await asyncio.gather(*(self._one(check) for check in self.checks.values()))
        return dict(zip(self.checks, answers, strict=True))

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _one(self, check: Check) -> bool:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                return await check()
        except (TimeoutError, OSError, httpx.HTTPError, SQLAlchemyError):
            return False

    async def _worker(self) -> bool:
        _, answered = await asyncio.gather(self._database.ping(), self._engine())
        return answered

    async def _api_answers(self) -> bool:
        return (await self._client.get(f"{self._api}/v1/health")).is_success

    async def _gateway_answers(self) -> bool:
        return (await self._client.get(f"{self._gateway}/health")).is_success

    async def _mcp(self) -> bool:
        """It asks for a key, and so is there: a probe has none."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        return (await self._client.post(f"{self._api}/mcp", json=asked)).status_code in {200, 401}
