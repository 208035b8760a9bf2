"""Who calls and to what it belongs: keys only in headers, scopes and roles, the project of the key, names that are names."""

import pytest

from factory_infra.paas.tenants.models import Role
from tests.api.gateway.house import KEY, Gate, gate

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def doors() -> Gate:
    return gate()


class TestAddress:
    @pytest.mark.parametrize(
        "query",
        [
            f"key={KEY}",
            f"api_key={KEY}",
            "api-key=x",
            "x-api-key=x",
            f"access_token={KEY}",
            "a=1&token=x",
            "%6bey=x",
            f"anything={KEY}",
            f"anything=%6cs{KEY[2:]}",
            "q=sk-abcdefghijklmnop1234",
        ],
    )
    async def test_a_key_in_it_is_refused_even_beside_a_good_one(self, doors: Gate, query: str) -> None:
        answer = await doors.post(f"/v1/chat/completions?{query}", CHAT)
        assert answer.status_code == 401 and "address" in answer.json()["error"]["message"]
        assert KEY not in answer.text and doors.script.asked == []

    async def test_nor_in_the_path(self, doors: Gate) -> None:
        assert (await doors.http.get(f"/v1/models/{KEY}", headers={"x-api-key": KEY})).status_code == 401

    async def test_another_query_is_harmless(self, doors: Gate) -> None:
        assert (await doors.post("/v1/chat/completions?beta=true&monkey=1&api-version=2024-10-21", CHAT)).status_code == 200


class TestCaller:
    async def test_a_key_without_the_scope_calls_no_model(self, doors: Gate) -> None:
        doors.keys.scopes = frozenset({"manage"})
        for path in ("/v1/chat/completions", "/v1/messages"):
            assert (await doors.post(path, CHAT)).status_code == 403
        assert (await doors.http.get("/v1/models", headers={"x-api-key": KEY})).status_code == 403

    async def test_nor_does_a_viewers(self, doors: Gate) -> None:
        doors.keys.role = Role.VIEWER
        assert (await doors.post("/v1/chat/completions", CHAT)).status_code == 403


class TestTeam:
    async def test_an_administrator_names_who_is_charged(self, doors: Gate) -> None:
        doors.keys.role, doors.keys.tenant = Role.ADMIN, None
        await doors.post("/v1/chat/completions", CHAT, **{"x-lineshaft-tenant": "language"})
        await doors.post("/v1/chat/completions", CHAT)
        assert [asker.tenant for asker, _ in doors.script.asked] == ["language", "platform"]

    async def test_nobody_else_names_another_team(self, doors: Gate) -> None:
        assert (await doors.post("/v1/chat/completions", CHAT, **{"x-lineshaft-tenant": "language"})).status_code == 404
        assert (await doors.post("/v1/chat/completions", CHAT, **{"x-lineshaft-tenant": "vision"})).status_code == 200
        assert [asker.tenant for asker, _ in doors.script.asked] == ["vision"]


class TestAttribution:
    async def test_what_the_headers_name_is_whose_it_is(self, doors: Gate) -> None:
        names = {"run": "plan-1", "thread": "thread-1", "agent": "tuner", "step": "a/2", "project": "ocr"}
        await doors.post("/v1/chat/completions", CHAT, **{f"x-lineshaft-{name}": value for name, value in names.items()})
        whose = doors.script.asked[0][0].whose
        assert (whose.plan_id, whose.thread_id, whose.agent, whose.step, whose.project) == tuple(names.values())
        assert (whose.tenant, whose.key_id) == ("vision", "0123456789ab")
        assert doors.limits.asked == [("vision", "ocr", "0123456789ab")]

    @pytest.mark.parametrize("value", ["x" * 65, "a b", "a\tb", "-a", "é", "a;drop", "{{7*7}}", "${x}"])
    @pytest.mark.parametrize("name", ["run", "project"])
    async def test_what_is_no_name_is_refused(self, doors: Gate, name: str, value: str) -> None:
        headers = [(b"authorization", f"Bearer {KEY}".encode()), (f"x-lineshaft-{name}".encode(), value.encode())]
        answer = await doors.http.post("/v1/chat/completions", json=CHAT, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "header_invalid")

    async def test_a_project_only_within_the_keys_own(self, doors: Gate) -> None:
        doors.keys.project = "ocr"
        assert (await doors.post("/v1/chat/completions", CHAT, **{"x-lineshaft-project": "other"})).status_code == 403
        assert (await doors.post("/v1/chat/completions", CHAT, **{"x-lineshaft-project": "ocr"})).status_code == 200
        assert (await doors.post("/v1/chat/completions", CHAT)).status_code == 200
        assert [asker.whose.project for asker, _ in doors.script.asked] == ["ocr", "ocr"]

    async def test_no_cache_when_the_client_says_so(self, doors: Gate) -> None:
        for value in ("no-store", "max-age=0, No-Cache"):
            await doors.post("/v1/chat/completions", CHAT, **{"cache-control": value})
        await doors.post("/v1/chat/completions", CHAT)
        assert [asker.cacheable for asker, _ in doors.script.asked] == [False, False, True]
