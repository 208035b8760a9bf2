"""A surface answers, refuses, hangs or is away: the probe says which, and never raises."""

import asyncio

import httpx
import pytest

from factory_infra.database import Database
from factory_infra.settings import Settings
from factory_infra.surfaces import probes
from factory_infra.surfaces.probes import Prober


class Present(Database):
    async def ping(self) -> None:
        """It is there."""


def prober(settings: Settings, answers: dict[str, int], *, engine: bool = True) -> Prober:
    """One whose surfaces answer with a status; one that is not named is away."""

    def answer(request: httpx.Request) -> httpx.Response:
        status = answers.get(request.url.path)
        if status is None:
            raise httpx.ConnectError("away", request=request)
        return httpx.Response(status)

    async def checked() -> bool:
        return engine

    settings = settings.model_copy(update={"gateway_url": "http://gateway"})
    return Prober(settings, Present("postgresql://nowhere/x"), checked, httpx.AsyncClient(transport=httpx.MockTransport(answer)))


async def test_each_surface_is_told_by_itself(settings: Settings) -> None:
    told = prober(settings, {"/v1/health": 200, "/health": 503, "/mcp": 401})
    assert await told.ask() == {"worker": True, "api": True, "gateway": False, "mcp": True}
    await told.close()
    assert await prober(settings, {}, engine=False).ask() == {"worker": False, "api": False, "gateway": False, "mcp": False}


async def test_a_gateway_that_there_is_not_is_not_asked(settings: Settings) -> None:
    async def checked() -> bool:
        return True

    assert "gateway" not in Prober(settings, Present("postgresql://nowhere/x"), checked).checks


async def test_a_surface_that_breaks_at_its_door_is_down(settings: Settings) -> None:
    assert (await prober(settings, {"/mcp": 500}).ask())["mcp"] is False


async def test_what_hangs_is_down(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "SECONDS_MAX", 0.01)
    told = prober(settings, {"/v1/health": 200})

    async def hang() -> bool:
        await asyncio.sleep(60)
        return True

    told.checks = {"api": hang}
    assert await told.ask() == {"api": False}
