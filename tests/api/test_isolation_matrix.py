"""Every operation of the live OpenAPI document and of MCP, for who may not: no key, one that ended, a role below.

What another team's caller gets is in `test_isolation.py`: a route without a row there fails, and this takes its rows.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from factory_infra.database import utcnow
from factory_infra.paas.tenants.models import Role
from tests.api.house import SECRET, Doors, furnish
from tests.api.test_isolation import MATRIX, Row, ended
from tests.docs.documents import document, rows

pytestmark = pytest.mark.stack

OPEN = {"POST /v1/session", "DELETE /v1/session"}
"""Routes that answer without a key: a key is shown there, or forgotten."""
REPORTERS = {"POST /v1/nodes/{pool}/{name}/heartbeat", "POST /v1/nodes/{pool}/{name}/events"}
"""Routes of nodes' keys."""
BELOW = {Role.USER: "viewer", Role.OPERATOR: "user", Role.APPROVER: "operator", Role.ADMIN: "approver"}
MANAGED = "who administers"
SHOWN_TO_NONE = {"GET /v1/members"}
"""Lists that answer who may not see them with nothing."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def furnished(doors: Doors) -> Doors:
    await furnish(doors.factory)
    await ended(doors.factory)
    key, secret = await doors.factory.tenants.issue_key("vision", "revoked", Role.APPROVER)
    await doors.factory.tenants.revoke_key(key.id)
    _, late = await doors.factory.tenants.issue_key("vision", "late", Role.APPROVER, utcnow() - timedelta(seconds=1))
    doors.keys |= {"revoked": secret, "expired": late, "forged": f"ls_{key.id}_" + "a" * 43, "garbage": "ls_x"}
    return doors


async def answers(doors: Doors, who: str | None, wanted: list[Row]) -> dict[str, tuple[int, str]]:
    """What each row's request is answered."""
    found = {}
    for route, path, _, body in wanted:
        answer = await doors.ask(route.partition(" ")[0], path, who, json=body)
        found[f"{route} at {path}"] = (answer.status_code, answer.text.lower())
    return found


class TestOpenApi:
    @pytest.mark.parametrize("who", [None, "revoked", "expired", "forged", "garbage"])
    async def test_without_a_key_that_is_good_nothing_answers(self, furnished: Doors, who: str | None) -> None:
        told = await answers(furnished, who, [row for row in MATRIX if row[0] not in OPEN])
        assert {name: answer for name, answer in told.items() if answer[0] != 401 or SECRET in answer[1]} == {}

    async def test_a_role_below_is_refused_for_its_own_teams_things_too(self, furnished: Doors) -> None:
        wrong = {}
        for route, path, _, body in MATRIX:
            needed = needed_role(route)
            if needed is None or route in REPORTERS | SHOWN_TO_NONE:
                continue
            own = path.replace("language", "vision")
            answer = await furnished.ask(route.partition(" ")[0], own, BELOW[needed], json=as_own(body))
            if answer.status_code not in {403, 404} or SECRET in answer.text.lower():
                wrong[f"{route} as {BELOW[needed]}"] = (answer.status_code, answer.text[:200])
        assert wrong == {}

    async def test_control_the_role_that_is_needed_is_not_refused_for_its_role(self, furnished: Doors) -> None:
        """Otherwise the test before would pass for a route that nobody may use."""
        refused = {}
        for route, path, _, body in MATRIX:
            needed = needed_role(route)
            if needed in {None, Role.ADMIN} or route in REPORTERS or MANAGED in documented(route):
                continue
            assert needed is not None
            answer = await furnished.ask(route.partition(" ")[0], path.replace("language", "vision"), needed.value, json=as_own(body))
            if answer.status_code == 403 and answer.json()["code"] == "forbidden" and "needs the role" in answer.json()["reason"]:
                refused[route] = answer.text[:200]
        assert refused == {}


class TestMcp:
    @pytest.mark.parametrize("who", [None, "revoked", "expired", "forged", "garbage"])
    async def test_no_request_passes_without_a_key_that_is_good(self, furnished: Doors, who: str | None) -> None:
        for method in ("POST", "GET", "DELETE"):
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
            answer = await furnished.ask(method, "/mcp", who, json=body)
            assert answer.status_code == 401, (method, answer.text)

    async def test_every_tool_asks_the_api_under_the_callers_own_key(self) -> None:
        """MCP has no way of its own into the factory: what REST refuses it refuses."""
        folder = Path(__file__).parents[2] / "api" / "mcp"
        sources = {path.name: path.read_text() for path in folder.glob("*.py")}
        reached = {name for name, text in sources.items() if re.search(r"\bheld\.factory\b", text)}
        assert reached == {"face.py"}  # which checks the key
        assert re.findall(r"factory\.\w+\.\w+", sources["face.py"]) == ["factory.tenants.authenticate"]


def documented(route: str) -> str:
    """The role that docs/api.md says of a route."""
    return rows(document("docs/api.md"), "route")[route][0]


def needed_role(route: str) -> Role | None:
    """The least role of a route as documented, where one lies below it; who administers a place is above an approver."""
    told = documented(route) if route != "GET /v1/metrics" else "viewer"
    if MANAGED in told:
        return Role.ADMIN
    return Role(told) if told in set(BELOW) else None


def as_own(body: object) -> Any:
    """A body that names the asker's own team."""
    if isinstance(body, dict):
        return {name: as_own(value) for name, value in body.items()}
    if isinstance(body, list):
        return [as_own(value) for value in body]
    return body.replace("language", "vision") if isinstance(body, str) else body
