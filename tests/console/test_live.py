"""Every page over the real API and a real database: nothing is refused, nothing is missing, nothing of another team or host is seen."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Page, expect
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from starlette.routing import Route
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import ROUTERS
from factory_infra.database import driver_url
from factory_infra.settings import Settings
from tests.api.house import Doors, furnish, open_doors
from tests.console.sight import faults, settled
from tests.parts import factory_with_slots
from tests.waiting import eventually

pytestmark = pytest.mark.stack

CONSOLE = Path(__file__).parents[2] / "console"
PAGES = sorted(each.name for each in CONSOLE.glob("*.html") if each.name != "index.html")
OWN, OTHERS = "<i>brush</i>", "<i>palette</i>"


class Served:
    """The application at an address."""

    def __init__(self, doors: Doors, url: str) -> None:
        self.doors = doors
        self.url = url


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """The API with two furnished teams."""
    name = f"console_{uuid.uuid4().hex[:8]}"
    engine = create_engine(driver_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE postgres"))
    engine.dispose()
    url = postgres_url.replace("/postgres?", f"/{name}?")
    factory = factory_with_slots(Settings(home=tmp_path_factory.mktemp("home"), model="none", database_url=SecretStr(url)), 6)
    temporal = await Client.connect("127.0.0.1:9", lazy=True, data_converter=pydantic_data_converter)
    doors = await open_doors(factory, temporal)
    await furnish(factory, "language", OTHERS)
    await furnish(factory, "vision", OWN)
    server = uvicorn.Server(uvicorn.Config(doors.app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, 30)
    yield Served(doors, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    server.should_exit = True
    await serving
    await doors.http.aclose()
    await factory.close()


async def visit(page: Page, served: Served, who: str, pages: Sequence[str]) -> dict[str, str]:
    """Look at pages as somebody; return what each says."""
    signed = await page.request.post(f"{served.url}/v1/session", data={"key": served.doors.keys[who]})
    assert signed.status == 204
    said = {}
    for name in pages:
        await page.goto(f"{served.url}/console/{name}")
        await settled(page)
        refused = [words for words in await page.locator(".problem").all_text_contents() if "tracking_unavailable" not in words]
        assert refused == [], name  # but for MLflow, which is not here
        assert await faults(page) == [], name
        said[name] = await page.locator("body").inner_text()
    return said


async def test_a_team_sees_its_own_and_nothing_of_another_team_or_host(page: Page, served: Served) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    said = await visit(page, served, "approver", PAGES)
    assert OTHERS not in "".join(said.values())
    shown = {name for name, words in said.items() if OWN in words}
    assert {"endpoints.html", "people.html", "team.html", "plans.html", "catalog.html"} <= shown
    await page.goto(f"{served.url}/console/catalog.html")
    await page.get_by_label("Search").fill("brush")
    await page.get_by_label("Search").blur()
    await expect(page.locator(".less")).not_to_be_empty()  # nothing searches by meaning here, and the page says so
    assert {re.match(r"\w+://[^/]+", url)[0] for url in asked if not url.startswith("data:")} == {served.url}  # type: ignore[index]  # an address


async def test_an_administrator_sees_all_teams_and_what_is_opened_by_its_address(page: Page, served: Served) -> None:
    said = await visit(page, served, "admin", ["endpoints.html", "kpis.html"])
    assert OWN in said["endpoints.html"] and OTHERS in said["endpoints.html"]
    assert "no number" in said["kpis.html"]
    for each in ("endpoints.html#/endpoint/vision/reader", "endpoints.html#/rollout/ro-vision", "plans.html#/plan-vision"):
        await page.goto("about:blank")
        await page.goto(f"{served.url}/console/{each}")
        await settled(page)
        assert await page.locator(".problem").all_text_contents() == [], each
        assert OWN in await page.locator("main").inner_text(), each
        assert await faults(page) == [], each


async def test_a_viewer_is_offered_nothing_to_change(page: Page, served: Served) -> None:
    said = await visit(page, served, "viewer", ["audit.html", "team.html"])
    assert "The audit log is shown to approvers." in said["audit.html"] and "Key figures" not in said["audit.html"]
    assert await page.get_by_role("button").all_text_contents() == ["Sign out"]
    assert await page.locator("details").count() == 0


def test_it_asks_only_for_routes_that_there_are() -> None:
    known = {re.sub(r"\{[^}]+\}", "*", route.path) for each in ROUTERS for route in each.router.routes if isinstance(route, Route)}
    assert not any(fits("/v1/atlantis", each) or fits("/v1/nodes/*/*/burn", each) for each in known)
    for file in (CONSOLE / "js").glob("*.js"):
        for found in re.findall(r"[\"'`](/v1/[^\"'`\s]*)", file.read_text()):
            path = re.sub(r"\$\{[^}]*\}", "*", found).split("?")[0].rstrip("/")
            assert any(fits(path, each) for each in known), f"{file.name}: {found}"


def fits(asked: str, known: str) -> bool:
    """Whether an address of the console's, with * for what it fills in, is one of the API's or the beginning of one."""
    parts, wanted = asked.split("/"), known.split("/")
    return len(parts) <= len(wanted) and all(other == "*" or fnmatch(other, mine) for mine, other in zip(parts, wanted, strict=False))
