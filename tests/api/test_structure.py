"""Organisations, projects, members, roles of one's own, service accounts, quotas by pool, closing a team: through the API."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx
import pytest
import pytest_asyncio

from api.deps import TEAM_HEADER
from api.permissions import known_permissions
from api.sessions import COOKIE
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.paas.features.service import Features
from factory_infra.paas.tenants.models import KeyTerms, Principal, Role
from tests.api.house import Doors

pytestmark = pytest.mark.stack


class Person(Protocol):
    """A browser that somebody has signed in with."""

    async def __call__(self, method: str, path: str, *, team: str | None = None, **request: Any) -> httpx.Response:
        """Send a request, in a team of theirs."""
        ...


def vouched(doors: Doors, subject: str) -> Person:
    """The browser of a person for whom a provider of identities has vouched."""
    cookie = doors.app.state.house.sessions.issue(Principal(key_id=subject, name="", role=Role.VIEWER, tenant="-"))

    async def ask(method: str, path: str, *, team: str | None = None, **request: Any) -> httpx.Response:
        headers = {"cookie": f"{COOKIE}={cookie}", **({TEAM_HEADER: team} if team else {}), **request.pop("headers", {})}
        return await doors.http.request(method, path, headers=headers, **request)

    return ask


def noting(forgotten: list[str]) -> Callable[[Features, str], Awaitable[None]]:
    """A store of features that notes which team it was to forget."""

    async def forget(self: Features, tenant: str) -> None:
        forgotten.append(tenant)

    return forget


def terms(custom_role: str) -> KeyTerms:
    return KeyTerms(custom_role=custom_role)


async def ok(doors: Doors, method: str, path: str, who: str = "admin", **request: Any) -> Any:
    answer = await doors.ask(method, path, who, **request)
    assert answer.is_success, (method, path, answer.text)
    return answer.json() if answer.content else {}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def team(doors: Doors) -> str:
    """A team of an organisation, beside those that all tests share."""
    await ok(doors, "POST", "/v1/organisations", json={"name": "acme", "title": "Акме"})
    await ok(doors, "POST", "/v1/tenants", json={"name": "speech", "quota_slots": 2, "title": "話し言葉", "organisation": "acme"})
    for role in (Role.USER, Role.APPROVER):
        doors.keys[f"speech-{role}"] = (await doors.factory.tenants.issue_key("speech", role.value, role))[1]
    return "speech"


class TestTeams:
    async def test_a_title_in_another_script_is_shown_and_a_name_stays_plain(self, doors: Doors, team: str) -> None:
        shown = await ok(doors, "GET", "/v1/tenants/speech", "speech-user")
        assert (shown["title"], shown["organisation"], shown["revision"]) == ("話し言葉", "acme", 1)
        assert (await doors.ask("POST", "/v1/tenants", "admin", json={"name": "話", "quota_slots": 1})).status_code == 422
        for title in ("a\u202eb", "a\nb", "a\x00b"):
            answer = await doors.ask("PATCH", "/v1/tenants/speech", "admin", json={"title": title})
            assert answer.status_code == 422, title

    async def test_two_who_edit_one_team_do_not_overwrite_each_other(self, doors: Doors, team: str) -> None:
        tag = (await doors.ask("GET", "/v1/tenants/speech", "admin")).headers["etag"]
        edits = [doors.ask("PATCH", "/v1/tenants/speech", "admin", json={"budget": n}, headers={"if-match": tag}) for n in (7, 8, 9)]
        answers = await asyncio.gather(*edits)
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        stale = next(answer for answer in answers if answer.status_code == 409)
        assert stale.json()["code"] == "revision_stale"
        assert (await doors.ask("PATCH", "/v1/tenants/speech", "admin", json={"budget": 1}, headers={"if-match": "x"})).status_code == 422

    async def test_a_quota_below_use_takes_nothing_and_says_so(self, doors: Doors, team: str) -> None:
        lease = await doors.factory.leases.acquire(LeaseRequest(tenant="speech", slots=2, purpose="", plan_id="", key="speech-1"))
        told = await ok(doors, "PATCH", "/v1/tenants/speech", json={"quota_slots": 1})
        assert "holds 2 slots, more than its quota of 1" in str(told["note"])
        pool = await ok(doors, "PUT", "/v1/quotas", json={"tenant": "speech", "pool": "local", "slots_max": 1})
        assert (pool["slots_held"], "more than the quota" in str(pool["note"])) == (2, True)
        assert (await doors.factory.leases.get("speech", lease.id)).state.held
        refused = await doors.ask("DELETE", "/v1/tenants/speech", "admin")
        assert refused.status_code == 409 and refused.json()["code"] == "team_in_use"
        assert lease.id in refused.json()["reason"]
        await doors.factory.leases.release("speech", lease.id)
        await ok(doors, "DELETE", "/v1/quotas?tenant=speech&pool=local")
        await ok(doors, "PATCH", "/v1/tenants/speech", json={"quota_slots": 2})

    async def test_a_closed_team_may_nothing_and_its_records_remain(self, doors: Doors, team: str, monkeypatch: pytest.MonkeyPatch) -> None:
        await ok(doors, "POST", "/v1/tenants", json={"name": "gone", "quota_slots": 1, "organisation": "acme"})
        key = (await doors.factory.tenants.issue_key("gone", "k", Role.USER))[1]
        doors.keys["gone"] = key
        assert (await doors.ask("GET", "/v1/me", "gone")).status_code == 200
        forgotten: list[str] = []
        monkeypatch.setattr(Features, "forget", noting(forgotten))
        closed = await ok(doors, "DELETE", "/v1/tenants/gone")
        assert closed["closed_at"] and closed == await ok(doors, "DELETE", "/v1/tenants/gone")
        assert forgotten == ["gone", "gone"]
        assert (await doors.ask("GET", "/v1/me", "gone")).status_code == 401
        for path, body in (("/v1/tenants/gone/keys", {"name": "k"}), ("/v1/tenants", {"name": "gone", "quota_slots": 1})):
            assert (await doors.ask("POST", path, "admin", json=body)).status_code in {404, 409}
        told = await ok(doors, "GET", "/v1/audit?tenant=gone")
        assert [each["action"] for each in told] == ["tenants:create", "keys:create", "tenants:delete"]
        assert (await doors.ask("DELETE", "/v1/tenants/platform", "admin")).status_code == 409


class TestProjects:
    async def test_are_a_teams_own_and_go_when_nothing_names_them(self, doors: Doors, team: str) -> None:
        made = await ok(doors, "POST", "/v1/projects", "speech-approver", json={"name": "reader", "title": "Читатель"})
        assert made["tenant"] == "speech"
        assert (await doors.ask("POST", "/v1/projects", "speech-approver", json={"name": "reader"})).status_code == 409
        assert (await doors.ask("POST", "/v1/projects", "speech-user", json={"name": "other"})).status_code == 403
        changed = await ok(doors, "PATCH", "/v1/projects/speech/reader", "speech-approver", json={"title": "t", "revision": 1})
        assert changed["revision"] == 2
        stale = await doors.ask("PATCH", "/v1/projects/speech/reader", "speech-approver", json={"title": "u", "revision": 1})
        assert stale.json()["code"] == "revision_stale"
        account = {"name": "p", "project": "reader"}
        await ok(doors, "POST", "/v1/accounts", "speech-approver", json=account)
        assert (await doors.ask("DELETE", "/v1/projects/speech/reader", "speech-approver")).json()["code"] == "project_in_use"
        await ok(doors, "POST", "/v1/projects", "speech-approver", json={"name": "short"})
        await ok(doors, "DELETE", "/v1/projects/speech/short", "speech-approver")
        assert [each["name"] for each in await ok(doors, "GET", "/v1/projects", "speech-user")] == ["reader"]


class TestRoles:
    async def test_a_role_of_ones_own_gives_what_it_names_and_nothing_else(self, doors: Doors, team: str) -> None:
        wanted = {"tenant": "speech", "name": "janitor", "permissions": ["jobs:*", "projects:read"], "counts_as": "operator"}
        role = await ok(doors, "POST", "/v1/roles", json=wanted)
        issued = await ok(doors, "POST", "/v1/keys", "speech-approver", json={"name": "j", "custom_role": "janitor", "role": "viewer"})
        doors.keys["janitor"] = str(issued["secret"])
        assert issued["key"]["scopes"] == ["manage"]
        models = {"name": "j", "custom_role": "janitor", "scopes": ["gateway"]}
        assert (await doors.ask("POST", "/v1/keys", "speech-approver", json=models)).status_code == 422
        await ok(doors, "POST", "/v1/roles", json={**wanted, "name": "asker", "permissions": ["models:call"]})
        asking = await ok(doors, "POST", "/v1/keys", "speech-approver", json={**models, "custom_role": "asker"})
        assert asking["key"]["scopes"] == ["gateway"]
        me = await ok(doors, "GET", "/v1/me", "janitor")
        assert (me["role"], me["permissions"]) == ("operator", ["jobs:*", "projects:read"])
        seen = {
            path: (await doors.ask("GET", path, "janitor")).status_code for path in ("/v1/jobs", "/v1/projects", "/v1/plans", "/v1/keys")
        }
        assert seen == {"/v1/jobs": 200, "/v1/projects": 200, "/v1/plans": 403, "/v1/keys": 403}
        refused = await doors.ask("POST", "/v1/projects", "janitor", json={"name": "x"})
        assert refused.json()["code"] == "permission_needed"
        await ok(doors, "PATCH", f"/v1/roles/{role['id']}", json={"permissions": ["plans:read"], "revision": 1})
        assert (await doors.ask("GET", "/v1/plans", "janitor")).status_code == 200
        assert (await doors.ask("GET", "/v1/jobs", "janitor")).status_code == 403
        stale = await doors.ask("PATCH", f"/v1/roles/{role['id']}", "admin", json={"permissions": ["jobs:read"], "revision": 1})
        assert stale.json()["code"] == "revision_stale"
        await ok(doors, "DELETE", f"/v1/roles/{role['id']}")
        assert (await doors.ask("GET", "/v1/plans", "janitor")).status_code == 403

    async def test_nobody_gains_by_one(self, doors: Doors, team: str) -> None:
        wanted = {"tenant": "speech", "name": "maker", "permissions": ["keys:create"], "counts_as": "approver"}
        await ok(doors, "POST", "/v1/roles", json=wanted)
        doors.keys["maker"] = (await doors.factory.tenants.issue_key("speech", "m", Role.APPROVER, terms=terms("maker")))[1]
        for body in ({"role": "viewer"}, {"role": "user"}, {"role": "approver"}):
            assert (await doors.ask("POST", "/v1/keys", "maker", json={"name": "k", **body})).status_code == 403
        misleading: list[dict[str, Any]] = [{"name": "admin"}, {"counts_as": "admin"}, {"permissions": ["moon:fly"]}]
        for change in misleading:
            answer = await doors.ask("POST", "/v1/roles", "admin", json={**wanted, "name": "other", **change})
            assert answer.status_code == 422, change
        assert (await doors.ask("POST", "/v1/roles", "speech-approver", json={**wanted, "name": "other"})).status_code == 403
        everything = {"tenant": "speech", "name": "nearly", "permissions": sorted(known_permissions(doors.app)), "counts_as": "approver"}
        await ok(doors, "POST", "/v1/roles", json=everything)
        doors.keys["nearly"] = (await doors.factory.tenants.issue_key("speech", "n", Role.APPROVER, terms=terms("nearly")))[1]
        of_administrators: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/v1/tenants", {"name": "mine", "quota_slots": 1}),
            ("PUT", "/v1/switch", {"stopped": True}),
            ("POST", "/v1/organisations", {"name": "mine"}),
            ("PUT", "/v1/quotas", {"tenant": "speech", "pool": "local", "slots_max": 9}),
        ]
        for method, path, asked in of_administrators:
            assert (await doors.ask(method, path, "nearly", json=asked)).status_code == 403, path


class TestAccounts:
    async def test_a_program_has_keys_that_end_with_it(self, doors: Doors, team: str) -> None:
        await ok(doors, "POST", "/v1/accounts", "speech-approver", json={"name": "nightly", "role": "operator", "title": "夜"})
        issued = await ok(doors, "POST", "/v1/accounts/speech/nightly/keys", "speech-approver", json={"days": 1})
        doors.keys["nightly"] = str(issued["secret"])
        assert (await ok(doors, "GET", "/v1/me", "nightly"))["role"] == "operator"
        await ok(doors, "DELETE", "/v1/accounts/speech/nightly", "speech-approver")
        assert (await doors.ask("GET", "/v1/me", "nightly")).status_code == 401
        again = await doors.ask("POST", "/v1/accounts/speech/nightly/keys", "speech-approver", json={})
        assert again.json()["code"] == "account_ended"
        for role in ("approver", "admin"):
            assert (await doors.ask("POST", "/v1/accounts", "speech-approver", json={"name": "x", "role": role})).status_code == 403


class TestPeople:
    async def test_act_in_one_of_their_teams_and_end_at_once(self, doors: Doors, team: str) -> None:
        ann, cookie = "oidc:ann", vouched(doors, "oidc:ann")
        assert (await cookie("GET", "/v1/me")).json()["code"] == "no_membership"
        member = await ok(doors, "POST", "/v1/members", json={"tenant": "speech", "subject": ann, "role": "operator", "title": "Ann"})
        me = (await cookie("GET", "/v1/me")).json()
        assert (me["name"], me["role"], me["tenant"]) == ("Ann", "operator", "speech")
        await ok(doors, "POST", "/v1/members", json={"tenant": "vision", "subject": ann, "role": "viewer"})
        assert (await cookie("GET", "/v1/me", team="vision")).json()["role"] == "viewer"
        assert (await cookie("GET", "/v1/me", team="language")).status_code == 403
        assert (await doors.ask("POST", "/v1/members", "admin", json={"tenant": "speech", "subject": ann})).json()[
            "code"
        ] == "member_exists"
        await ok(doors, "DELETE", f"/v1/members/{member['id']}")
        assert (await cookie("GET", "/v1/me", team="speech")).status_code == 403

    async def test_an_administrator_of_an_organisation_orders_it_and_nothing_else(self, doors: Doors, team: str) -> None:
        bob = vouched(doors, "oidc:bob")
        await ok(doors, "POST", "/v1/members", json={"organisation": "acme", "subject": "oidc:bob", "role": "admin"})
        me = (await bob("GET", "/v1/me")).json()
        assert (me["role"], me["tenant"]) == ("approver", "speech") and {"organisation/acme", "team/speech"} <= set(me["manages"])
        assert (await bob("PATCH", "/v1/organisations/acme", json={"title": "Acme"})).status_code == 200
        assert (await bob("POST", "/v1/members", json={"tenant": "speech", "subject": "oidc:eve"})).status_code == 201
        assert (await bob("GET", "/v1/members?organisation=acme")).json()[0]["subject"] == "oidc:bob"
        for method, path, body in (
            ("POST", "/v1/members", {"tenant": "vision", "subject": "oidc:eve"}),
            ("POST", "/v1/tenants", {"name": "mine", "quota_slots": 1}),
            ("PATCH", "/v1/tenants/speech", {"quota_slots": 99}),
            ("PUT", "/v1/switch", {"stopped": True}),
        ):
            assert (await bob(method, path, json=body)).status_code == 403, path
        assert (await bob("GET", "/v1/tenants/vision")).status_code == 404

    async def test_one_of_a_project_reaches_no_more_than_can_be_told_apart_by_project(self, doors: Doors, team: str) -> None:
        await ok(doors, "POST", "/v1/projects", json={"tenant": "speech", "name": "small"})
        eve = vouched(doors, "oidc:small")
        place = {"tenant": "speech", "project": "small", "subject": "oidc:small", "role": "approver"}
        await ok(doors, "POST", "/v1/members", json=place)
        assert (await eve("GET", "/v1/projects")).status_code == 200
        assert (await eve("GET", "/v1/plans")).status_code == 403
        assert (await eve("POST", "/v1/keys", json={"name": "k"})).status_code == 403
        for body in ({"project": "small"}, {"project": "small", "scopes": ["manage"]}, {"scopes": ["gateway"]}):
            assert (await eve("POST", "/v1/keys", json={"name": "k", **body})).status_code == 403, body
        assert (await eve("POST", "/v1/keys", json={"name": "k", "project": "small", "scopes": ["gateway"]})).status_code == 201

    async def test_a_page_of_another_origin_may_not_act(self, doors: Doors, team: str) -> None:
        bob = vouched(doors, "oidc:bob")
        answer = await bob("PATCH", "/v1/organisations/acme", json={"title": "x"}, headers={"sec-fetch-site": "cross-site"})
        assert answer.json()["code"] == "cross_origin"


async def test_every_change_through_the_api_is_in_the_log(doors: Doors, team: str) -> None:
    head = str((await ok(doors, "GET", "/v1/audit/verify"))["head"])
    before = int(head.partition(":")[0])
    await ok(doors, "PUT", "/v1/limits", json={"tenant": "speech", "resource": "tokens", "window": "day", "cap": 9})
    assert (await doors.ask("PUT", "/v1/limits", "speech-user", json={})).status_code in {403, 422}
    await ok(doors, "PATCH", "/v1/organisations/acme", json={"title": "=1+1"})
    told = await ok(doors, "GET", f"/v1/audit?after={before}")
    rows = [(each["action"], each["outcome"], each["actor"].partition(" ")[0]) for each in told]
    assert rows[0] == ("limits:change", "done", "root") and rows[-1] == ("organisations:change", "done", "root")
    assert ("limits:change", "refused 403", "user") in rows or ("limits:change", "refused 422", "user") in rows
    assert (await doors.ask("GET", f"/v1/audit/verify?head={head}", "admin")).json()["holds"]
    own = await doors.ask("GET", "/v1/audit.jsonl", "speech-approver")
    assert '"tenant":"speech"' in own.text and "organisation/acme" not in own.text
    exported = await doors.ask("GET", "/v1/audit.csv", "admin")
    assert exported.headers["content-type"].startswith("text/csv") and exported.text.startswith("seq,at,tenant")
