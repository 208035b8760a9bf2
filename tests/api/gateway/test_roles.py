"""A role of one's own calls models where it has `models:call`: as it is now, in every process, and for no other reason."""

import asyncio
import time

import httpx
import pytest

from api.gateway import auth
from factory_infra.paas.tenants.members import Members
from factory_infra.paas.tenants.models import KeyTerms, Role
from factory_infra.paas.tenants.structure import NewRole
from tests.api.gateway.real import Real

pytestmark = pytest.mark.stack
CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}


async def called(whole: Real, key: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=30) as http:
        return await http.post(f"{whole.url}/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {key}"})


async def becomes(whole: Real, key: str, status: int) -> None:
    """Wait until a key is answered so: news of a role take a moment."""
    deadline = time.monotonic() + 30
    while (await called(whole, key)).status_code != status:
        assert time.monotonic() < deadline, "the role's change is not seen"
        await asyncio.sleep(0.02)


async def keyed(whole: Real, name: str, *permissions: str, counts_as: Role = Role.VIEWER) -> tuple[str, str]:
    """A role of team vision, and a key that has it and opens the gateway; the role's id and the secret."""
    role = await Members(whole.database).create_role(NewRole(tenant="vision", name=name, permissions=[*permissions], counts_as=counts_as))
    terms = KeyTerms(custom_role=name, scopes=frozenset({"gateway"}))
    return role.id, (await whole.tenants.issue_key("vision", name, counts_as, terms=terms))[1]


async def test_it_may_with_the_permission_whatever_it_counts_as(whole: Real) -> None:
    for name, permission in (("asker", "models:call"), ("every", "models:*")):
        assert (await called(whole, (await keyed(whole, name, permission))[1])).status_code == 200


async def test_without_it_it_may_not_though_it_counts_as_an_approver(whole: Real) -> None:
    _, key = await keyed(whole, "reader", "*:read", "jobs:*", counts_as=Role.APPROVER)
    refused = await called(whole, key)
    assert refused.status_code == 403 and "models:call" in refused.text


async def test_what_is_taken_away_ends_at_once_without_a_new_key(whole: Real) -> None:
    role, key = await keyed(whole, "passing", "models:call")
    assert (await called(whole, key)).status_code == 200
    await Members(whole.database).change_role(role, ["jobs:read"])
    await becomes(whole, key, 403)
    await Members(whole.database).change_role(role, ["models:call"])
    await becomes(whole, key, 200)
    await Members(whole.database).delete_role(role)
    await becomes(whole, key, 403)


async def test_control_without_the_check_every_role_would(whole: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "check_granted", lambda permissions, wanted: None)
    _, key = await keyed(whole, "unchecked", "jobs:read")
    assert (await called(whole, key)).status_code == 200
