"""What is refused at the door: no key, too low a role, a wrong host, a page of another origin, what is too large or malformed."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.deps import House
from api.sessions import COOKIE
from factory_infra.database import utcnow
from factory_infra.paas.tenants.models import Role
from tests.api.house import DIGEST, Doors, client_of, furnish

pytestmark = pytest.mark.stack

MEGABYTE = b"x" * 1_000_000


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> None:
    """A refusal has its form, its code, a reason and a remedy."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert code is None or body["code"] == code
    assert body["code"] and body["title"] and body["reason"] and body["remedy"], body


class TestKey:
    @pytest.mark.parametrize("path", ["/v1/me", "/v1/threads", "/v1/leases", "/v1/ledger", "/v1/links", "/v1/metrics", "/v1/catalog/x/y"])
    async def test_without_one_nothing_is_told(self, doors: Doors, path: str) -> None:
        answer = await doors.ask("GET", path, None)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "header", ["Bearer", "Bearer ", "Bearer x", "Basic dXNlcjpwYXNz", "ls_1_2", "Bearer ls_000000000000_" + "a" * 43]
    )
    async def test_a_wrong_one_is_refused(self, doors: Doors, header: str) -> None:
        assert_problem(await doors.http.get("/v1/me", headers={"authorization": header}), 401, "unauthenticated")

    async def test_a_revoked_or_expired_one_is_refused_at_once(self, doors: Doors) -> None:
        key, secret = await doors.factory.tenants.issue_key("vision", "k", Role.USER)
        _, expired = await doors.factory.tenants.issue_key("vision", "k", Role.USER, utcnow() - timedelta(seconds=1))
        doors.keys |= {"k": secret, "expired": expired}
        me = (await doors.ask("GET", "/v1/me", "k")).json()
        assert (me["name"], me["role"], me["tenant"]) == ("k", "user", "vision")
        assert (await doors.ask("DELETE", f"/v1/keys/{key.id}", "admin")).status_code == 204
        assert_problem(await doors.ask("GET", "/v1/me", "k"), 401, "unauthenticated")
        assert_problem(await doors.ask("GET", "/v1/me", "expired"), 401, "unauthenticated")

    async def test_a_key_in_the_address_is_no_key(self, doors: Doors) -> None:
        assert_problem(await doors.ask("GET", f"/v1/me?key={doors.keys['user']}&access_token={doors.keys['user']}", None), 401)


class TestRole:
    @pytest.mark.parametrize(
        ("who", "method", "path", "body"),
        [
            ("viewer", "POST", "/v1/threads", {}),
            ("viewer", "POST", "/v1/threads/thread-vision/messages", {"text": "hello"}),
            ("viewer", "POST", "/v1/plans/plan-vision/approve", {"digest": DIGEST}),
            ("viewer", "POST", "/v1/plans/plan-vision/refuse", {}),
            ("viewer", "POST", "/v1/plans/plan-vision/cancel", {}),
            ("viewer", "POST", "/v1/endpoints/vision/reader/predict", {"rows": [[1.0]]}),
            ("user", "POST", "/v1/plans/plan-vision/approve", {"digest": DIGEST}),
            ("user", "POST", "/v1/plans/plan-vision/refuse", {}),
            ("user", "POST", "/v1/jobs/job-vision/cancel", None),
            ("approver", "POST", "/v1/tenants", {"name": "new", "quota_slots": 1}),
            ("approver", "PATCH", "/v1/tenants/vision", {"quota_slots": 99}),
            ("approver", "POST", "/v1/tenants/vision/keys", {"name": "k", "role": "approver"}),
            ("user", "GET", "/v1/keys", None),
            ("approver", "GET", "/v1/reconciliation", None),
        ],
    )
    async def test_too_low_a_role_is_refused_on_its_own_objects(self, doors: Doors, who: str, method: str, path: str, body: object) -> None:
        await furnish(doors.factory, "vision", "word")
        assert_problem(await doors.ask(method, path, who, json=body), 403, "forbidden")
        assert (await doors.factory.tenants.get("vision")).quota_slots == 3

    async def test_each_role_may_read_its_own(self, doors: Doors) -> None:
        await furnish(doors.factory, "vision", "word")
        for who in ("viewer", "user", "approver", "admin"):
            for path in ("/v1/threads/thread-vision", "/v1/plans/plan-vision", "/v1/jobs/job-vision", "/v1/endpoints/vision/reader"):
                assert (await doors.ask("GET", path, who)).status_code == 200, (who, path)


class TestHost:
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8400", "127.0.0.1.evil.example", "0.0.0.0"])  # noqa: S104
    async def test_another_name_is_refused(self, doors: Doors, host: str) -> None:
        answer = await doors.ask("GET", "/v1/me", headers={"host": host})
        assert answer.status_code == 400
        assert "vision" not in answer.text

    @pytest.mark.parametrize("host", ["127.0.0.1:8400", "localhost:8400", "localhost"])
    async def test_its_own_names_are_taken(self, doors: Doors, host: str) -> None:
        assert (await doors.ask("GET", "/v1/me", headers={"host": host})).status_code == 200


class TestBrowser:
    async def signed_in(self, doors: Doors, who: str = "user") -> dict[str, str]:
        answer = await doors.http.post("/v1/session", json={"key": doors.keys[who]})
        assert answer.status_code == 204
        kept = answer.headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=strict" in kept
        assert doors.keys[who][16:].lower() not in kept
        cookie = answer.cookies[COOKIE]
        doors.http.cookies.clear()
        return {"cookie": f"{COOKIE}={cookie}"}

    async def test_a_session_reads_and_acts_from_its_own_page(self, doors: Doors) -> None:
        cookie = await self.signed_in(doors)
        assert (await doors.http.get("/v1/me", headers=cookie)).json()["name"] == "user"
        for site in ({}, {"sec-fetch-site": "same-origin"}):
            assert (await doors.http.post("/v1/threads", json={}, headers={**cookie, **site})).status_code == 201

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
    async def test_a_page_of_another_origin_may_not_act(self, doors: Doors, site: str) -> None:
        cookie, before = await self.signed_in(doors), await doors.factory.records.threads(None)
        answer = await doors.http.post("/v1/threads", json={}, headers={**cookie, "sec-fetch-site": site})
        assert_problem(answer, 403, "cross_origin")
        assert await doors.factory.records.threads(None) == before

    async def test_a_form_of_another_page_is_no_json(self, doors: Doors) -> None:
        cookie = await self.signed_in(doors)
        answer = await doors.http.post("/v1/threads", data={"tenant": "vision"}, headers=cookie)
        assert_problem(answer, 422)

    async def test_a_revoked_key_ends_its_session(self, doors: Doors) -> None:
        key, doors.keys["browser"] = await doors.factory.tenants.issue_key("vision", "browser", Role.USER)
        cookie = await self.signed_in(doors, "browser")
        await doors.factory.tenants.revoke_key(key.id)
        assert_problem(await doors.http.get("/v1/me", headers=cookie), 401, "unauthenticated")

    @pytest.mark.parametrize("cookie", ["x", "a.b.c", "..", "é.é.é"])
    async def test_an_altered_cookie_is_refused(self, doors: Doors, cookie: str) -> None:
        answer = await doors.http.get("/v1/me", headers=[(b"cookie", f"{COOKIE}={cookie}".encode("latin-1"))])
        assert_problem(answer, 401, "unauthenticated")

    @pytest.mark.parametrize("path", ["/v1/me", "/v1/nowhere", "/console/", "/"])
    async def test_every_answer_bounds_what_a_page_may_do(self, doors: Doors, path: str) -> None:
        answer = await doors.ask("GET", path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == ("no-cache" if path == "/console/" else "no-store")
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "access-control-allow-origin" not in answer.headers


class TestSize:
    @pytest.fixture
    async def messages(self, doors: Doors) -> str:
        await furnish(doors.factory, "vision", "word")
        return "/v1/threads/thread-vision/messages"

    async def test_an_empty_message_is_refused(self, doors: Doors, messages: str) -> None:
        for text in ("", "   ", "\n\t "):
            assert_problem(await doors.ask("POST", messages, json={"text": text}), 422, "invalid_input")

    async def test_a_message_of_100_kb_is_refused(self, doors: Doors, messages: str) -> None:
        assert_problem(await doors.ask("POST", messages, json={"text": "a" * 100_000}), 413, "too_large")

    async def test_a_body_of_10_mb_is_refused_by_its_length(self, doors: Doors, messages: str) -> None:
        began = time.process_time()
        assert_problem(await doors.ask("POST", messages, content=MEGABYTE * 10), 413, "too_large")
        assert time.process_time() - began < 1.0

    async def test_a_body_of_unknown_length_is_refused_as_it_grows(self, doors: Doors, messages: str) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(100):
                sent += 1
                yield MEGABYTE

        assert_problem(await doors.ask("POST", messages, content=endless(), headers={"content-type": "application/json"}), 413, "too_large")
        assert sent <= 3

    @pytest.mark.parametrize("length", ["-1", "1e3", "abc", "99999999999999999999"])
    async def test_a_length_that_is_no_number_is_refused(self, doors: Doors, messages: str, length: str) -> None:
        assert_problem(await doors.ask("POST", messages, content=b"{}", headers={"content-length": length}), 413)

    async def test_a_refused_message_leaves_no_trace(self, doors: Doors, messages: str) -> None:
        await doors.ask("POST", messages, json={"text": "a" * 100_000})
        assert len(await doors.factory.records.read_events("thread-vision")) == 1


class TestForm:
    @pytest.mark.parametrize("content", [b"{", b"", b"[]", b"null", b'"text"', b"{'text': 'a'}", b"\xff\xfe", b'{"text": "a"', b"[" * 5000])
    async def test_what_is_no_json_object_is_refused(self, doors: Doors, content: bytes) -> None:
        answer = await doors.ask("POST", "/v1/threads/t/messages", content=content, headers={"content-type": "application/json"})
        assert_problem(answer, 422, "invalid_input")

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/v1/threads", {"tenant": "vision", "admin": True}),
            ("POST", "/v1/threads/t/messages", {"text": "a", "role": "system"}),
            ("POST", "/v1/threads/t/messages", {"text": 7}),
            ("POST", "/v1/threads/t/messages", {"text": "a", "message_id": "../x"}),
            ("POST", "/v1/threads/t/messages", {"text": "a", "message_id": "a" * 65}),
            ("POST", "/v1/threads/t/messages", {"text": "a\x00b"}),
            ("POST", "/v1/plans/p/approve", {}),
            ("POST", "/v1/plans/p/approve", {"digest": "D" * 64}),
            ("POST", "/v1/plans/p/approve", {"digest": DIGEST, "who": "root"}),
            ("POST", "/v1/plans/p/refuse", {"reason": "a" * 501}),
            ("POST", "/v1/endpoints/vision/reader/predict", {"rows": []}),
            ("POST", "/v1/endpoints/vision/reader/predict", {"rows": [["a"]]}),
            ("GET", "/v1/plans?state=perhaps", None),
            ("GET", "/v1/plans?limit=0", None),
            ("GET", "/v1/plans?limit=501", None),
            ("GET", "/v1/plans?offset=-1", None),
            ("GET", "/v1/threads?limit=many", None),
            ("GET", "/v1/catalog?q=", None),
            ("GET", "/v1/catalog?q=a&limit=501", None),
            ("GET", "/v1/catalog?q=a&kind=weapon", None),
            ("GET", "/v1/jobs/j/logs?offset=-1", None),
        ],
    )
    async def test_what_the_form_does_not_have_is_refused_by_field(self, doors: Doors, method: str, path: str, body: object) -> None:
        assert_problem(await doors.ask(method, path, "approver", json=body), 422, "invalid_input")

    @pytest.mark.parametrize("rows", ["[[NaN]]", "[[Infinity]]", "[[1e999]]"])
    async def test_numbers_that_are_none_are_refused(self, doors: Doors, rows: str) -> None:
        content = f'{{"rows": {rows}}}'.encode()
        path = "/v1/endpoints/vision/reader/predict"
        assert_problem(await doors.ask("POST", path, content=content, headers={"content-type": "application/json"}), 422, "invalid_input")

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/threads/a%00b",
            "/v1/plans/a%00b",
            "/v1/jobs/a%00b",
            "/v1/jobs/..%2f..%2fetc",
            "/v1/catalog/a%00b",
            "/v1/ledger?plan_id=%00",
            "/v1/tenants/%00",
            "/v1/threads/" + "a" * 3000,
            "/v1/threads?offset=99999999999999999999",
            "/v1/endpoints/vision/%00",
        ],
    )
    async def test_names_that_cannot_be_are_refused_and_not_a_fault(self, doors: Doors, path: str) -> None:
        answer = await doors.ask("GET", path, "viewer")
        assert answer.status_code in {404, 422}, answer.text
        assert_problem(answer, answer.status_code)

    async def test_a_number_beyond_all_events_is_refused_and_not_a_fault(self, doors: Doors) -> None:
        await furnish(doors.factory, "vision", "word")
        answer = await doors.ask("GET", "/v1/threads/thread-vision/events", headers={"last-event-id": "9" * 30})
        assert answer.status_code in {200, 422}

    async def test_what_was_sent_is_not_repeated(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/session", None, json={"key": 7, "password": "tell-nobody"})
        assert_problem(answer, 422)
        assert "tell-nobody" not in answer.text

    async def test_unknown_routes_and_methods_have_the_same_form(self, doors: Doors) -> None:
        assert_problem(await doors.ask("GET", "/v1/nowhere"), 404, "not_found")
        assert_problem(await doors.ask("PUT", "/v1/threads"), 405, "method_not_allowed")

    async def test_a_team_that_is_not_there_or_there_twice(self, doors: Doors) -> None:
        assert_problem(await doors.ask("GET", "/v1/tenants/nobody", "admin"), 404, "team_unknown")
        assert_problem(await doors.ask("POST", "/v1/threads", "admin", json={"tenant": "nobody"}), 404, "team_unknown")
        assert_problem(await doors.ask("POST", "/v1/tenants", "admin", json={"name": "vision", "quota_slots": 1}), 409, "conflict")
        assert_problem(await doors.ask("POST", "/v1/tenants", "admin", json={"name": "Vision!", "quota_slots": 1}), 422, "invalid_input")


class TestPages:
    async def test_lists_are_cut_into_pages(self, doors: Doors) -> None:
        for _ in range(3):
            await doors.ask("POST", "/v1/threads", json={})
        first = (await doors.ask("GET", "/v1/threads?limit=2")).json()
        second = (await doors.ask("GET", "/v1/threads?limit=2&offset=2")).json()
        assert len(first) == 2
        assert second
        everything = (await doors.ask("GET", "/v1/threads")).json()
        assert [each["id"] for each in first + second][:3] == [each["id"] for each in everything][:3]


class TestAway:
    @pytest.mark.parametrize(
        ("status", "code", "http"),
        [
            (RPCStatusCode.UNAVAILABLE, "unavailable", 503),
            (RPCStatusCode.CANCELLED, "unavailable", 503),
            (RPCStatusCode.NOT_FOUND, "not_found", 404),
        ],
    )
    async def test_what_temporal_says_is_translated(
        self, doors: Doors, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode, code: str, http: int
    ) -> None:
        def away(*_: object) -> None:
            raise RPCError("127.0.0.1:7233 refused", status, b"")

        await furnish(doors.factory, "vision", "word")
        held: House = doors.app.state.house
        monkeypatch.setattr(held.temporal, "get_workflow_handle_for", away)
        answer = await doors.ask("POST", "/v1/plans/plan-vision/approve", "approver", json={"digest": DIGEST})
        assert_problem(answer, http, code)
        assert "7233" not in answer.text

    async def test_an_unforeseen_fault_tells_no_more_than_that(self, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: object) -> None:
            raise KeyError("postgresql://user:password@host")

        monkeypatch.setattr(doors.factory.records, "threads", broken)
        answer = await doors.ask("GET", "/v1/threads")
        assert_problem(answer, 500, "internal")
        assert "password" not in answer.text


async def test_an_app_that_listens_elsewhere_takes_other_names(doors: Doors) -> None:
    async with client_of(doors.app, "http://evil.example") as http:
        assert (await http.get("/v1/health")).status_code == 400
