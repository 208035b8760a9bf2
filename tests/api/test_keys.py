"""Keys over HTTP: who may make, rotate and revoke which, and what a key for models only is refused."""

from datetime import timedelta

import pytest

from factory_infra.database import utcnow
from factory_infra.paas.tenants.models import KeyTerms, Role
from tests.api.house import Doors, furnish

pytestmark = pytest.mark.stack


async def made(doors: Doors, who: str = "approver", **fields: object) -> tuple[str, str]:
    """Make a key of team vision; its id and its secret."""
    answer = await doors.ask("POST", "/v1/keys", who, json={"name": "k", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]["id"], answer.json()["secret"]


async def opens(doors: Doors, secret: str) -> int:
    """The status that a key gets."""
    return (await doors.http.get("/v1/me", headers={"authorization": f"Bearer {secret}"})).status_code


class TestMaking:
    async def test_an_approver_makes_a_key_with_all_its_terms(self, doors: Doors) -> None:
        end = (utcnow() + timedelta(hours=1)).isoformat()
        terms = {"project": "reader", "models": ["fast", "best"], "scopes": ["gateway"], "expires_at": end}
        answer = await doors.ask("POST", "/v1/keys", "approver", json={"name": "app", "role": "viewer", **terms})
        key = answer.json()["key"]
        assert answer.status_code == 201 and (key["tenant"], key["role"], key["state"]) == ("vision", "viewer", "active")
        assert (key["project"], key["models"], key["scopes"]) == ("reader", ["best", "fast"], ["gateway"])
        assert "digest" not in answer.text and answer.text.count(answer.json()["secret"]) == 1

    @pytest.mark.parametrize(
        ("who", "role", "status"), [("user", "viewer", 403), ("approver", "approver", 403), ("approver", "admin", 403)]
    )
    async def test_nobody_makes_keys_above_or_beside_their_own(self, doors: Doors, who: str, role: str, status: int) -> None:
        assert (await doors.ask("POST", "/v1/keys", who, json={"name": "k", "role": role})).status_code == status

    async def test_an_administrator_makes_any(self, doors: Doors) -> None:
        for fields in ({"role": "approver", "tenant": "language"}, {"role": "admin"}):
            key_id, secret = await made(doors, "admin", **fields)
            assert await opens(doors, secret) == 200
            assert (await doors.ask("DELETE", f"/v1/keys/{key_id}", "admin")).status_code == 204

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expiry_invalid"),
            ({"expires_at": "2099-01-01T00:00:00"}, "invalid_input"),
            ({"scopes": ["root"]}, "invalid_input"),
            ({"scopes": []}, "invalid_input"),
            ({"models": []}, "invalid_input"),
            ({"models": [""]}, "invalid_input"),
            ({"project": "../x"}, "invalid_input"),
            ({"role": "owner"}, "invalid_input"),
            ({"name": ""}, "invalid_input"),
            ({"digest": "d"}, "invalid_input"),
        ],
    )
    async def test_what_cannot_be_is_refused_by_its_field(self, doors: Doors, fields: dict[str, object], code: str) -> None:
        answer = await doors.ask("POST", "/v1/keys", "approver", json={"name": "k", **fields})
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    async def test_a_bound_approver_hands_out_no_more_than_it_has(self, doors: Doors) -> None:
        terms = KeyTerms(project="reader", scopes=frozenset({"manage"}))
        _, doors.keys["bound"] = await doors.factory.tenants.issue_key("vision", "bound", Role.APPROVER, None, terms)
        body = {"name": "k", "project": "reader", "scopes": ["manage"]}
        assert (await doors.ask("POST", "/v1/keys", "bound", json=body)).status_code == 201
        for more in ({"project": ""}, {"scopes": ["gateway"]}):
            assert (await doors.ask("POST", "/v1/keys", "bound", json={**body, **more})).status_code == 403

    async def test_nor_by_turning_over_a_key_that_may_more(self, doors: Doors) -> None:
        tenants = doors.factory.tenants
        terms = KeyTerms(project="reader", models=frozenset({"small"}), scopes=frozenset({"manage"}))
        _, doors.keys["bound"] = await tenants.issue_key("vision", "bound", Role.APPROVER, None, terms)
        same, _ = await tenants.issue_key("vision", "same", Role.USER, None, terms)
        other, _ = await tenants.issue_key("vision", "other", Role.USER, None, KeyTerms(project="prod", scopes=frozenset({"gateway"})))
        told = [await doors.ask("POST", f"/v1/keys/{key.id}/rotate", "bound", json={"overlap_seconds": 0}) for key in (same, other)]
        assert [each.status_code for each in told] == [200, 403]
        assert (await doors.ask("DELETE", f"/v1/keys/{other.id}", "bound")).status_code == 204  # ending a key hands nothing out


class TestScope:
    async def test_a_key_for_models_only_is_refused_at_every_other_door(self, doors: Doors) -> None:
        _, secret = await made(doors, scopes=["gateway"])
        headers = {"authorization": f"Bearer {secret}"}
        for method, path, body in (
            ("GET", "/v1/me", None),
            ("GET", "/v1/keys", None),
            ("POST", "/v1/threads", {}),
            ("POST", "/v1/session", {"key": secret}),
            ("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        ):
            answer = await doors.http.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path


class TestCare:
    async def test_a_rotation_with_overlap(self, doors: Doors) -> None:
        key_id, old = await made(doors)
        answer = await doors.ask("POST", f"/v1/keys/{key_id}/rotate", "approver", json={"overlap_seconds": 60})
        new = answer.json()["secret"]
        assert answer.status_code == 200 and answer.json()["key"]["old_until"] is not None
        assert [await opens(doors, each) for each in (old, new)] == [200, 200]
        newest = (await doors.ask("POST", f"/v1/keys/{key_id}/rotate", "approver", json={})).json()["secret"]
        assert [await opens(doors, each) for each in (old, new, newest)] == [401, 401, 200]
        assert (await doors.ask("DELETE", f"/v1/keys/{key_id}", "approver")).status_code == 204
        assert await opens(doors, newest) == 401
        answer = await doors.ask("POST", f"/v1/keys/{key_id}/rotate", "approver", json={})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")

    async def test_an_approver_cares_for_no_approver(self, doors: Doors) -> None:
        key, _ = await doors.factory.tenants.issue_key("vision", "other", Role.APPROVER)
        for method, path in (("DELETE", f"/v1/keys/{key.id}"), ("POST", f"/v1/keys/{key.id}/rotate")):
            assert (await doors.ask(method, path, "approver", json={})).status_code == 403
            assert (await doors.ask(method, path, "user", json={})).status_code == 403

    async def test_an_absent_and_another_teams_key_are_told_alike(self, doors: Doors) -> None:
        await furnish(doors.factory)
        told = {
            (await doors.ask("DELETE", f"/v1/keys/{key}", "approver")).json()["code"] for key in ("key-language", "0" * 12, "' OR 1=1 --")
        }
        assert told == {"key_unknown"}

    async def test_the_list_is_the_teams_own_filtered_and_paged(self, doors: Doors) -> None:
        key_id, _ = await made(doors, project="lister")
        await doors.ask("DELETE", f"/v1/keys/{key_id}", "approver")
        found = (await doors.ask("GET", "/v1/keys?project=lister&state=revoked", "approver")).json()
        assert [each["id"] for each in found] == [key_id]
        assert (await doors.ask("GET", "/v1/keys?project=lister&state=active", "approver")).json() == []
        page = (await doors.ask("GET", "/v1/keys?limit=2&offset=1", "approver")).json()
        assert page == (await doors.ask("GET", "/v1/keys?limit=3", "approver")).json()[1:]
        assert {each["tenant"] for each in (await doors.ask("GET", "/v1/keys", "approver")).json()} == {"vision"}
