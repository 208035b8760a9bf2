"""Signing in with a browser at a real provider of identities, and what its groups give."""

import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.deps import TEAM_COOKIE
from api.routers.sign_in import ATTEMPT_COOKIE
from api.sessions import COOKIE
from factory_infra.paas.tenants.sign_in import SignIn
from factory_infra.second_wall import EVERYTHING, view
from tests.api.house import Doors

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A real provider, on this machine."""
    from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]  # noqa: PLC0415 - heavy, and only for these tests

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    people = [User(sub="ann", claims={"name": "Ann", "groups": ["ops"]}), User(sub="eve", claims={"name": "Eve"})]
    with run_server_in_thread(user_claims=people, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(doors: Doors, issuer: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the application's door; the application knows the provider."""
    factory = doors.factory
    settings = factory.settings.model_copy(update={"oidc_issuer": issuer, "oidc_client_secret": SecretStr("hush")})
    (settings.home / "groups.yaml").write_text("groups: [{group: ops, tenant: vision, role: operator}]")
    house = doors.app.state.house
    sign_in = SignIn(settings, factory.members, factory.directory)
    doors.app.state.house = replace(house, factory=replace(factory, sign_in=sign_in))
    transport = httpx.ASGITransport(doors.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
        yield client
    await sign_in.close()
    doors.app.state.house = house


async def back_from(browser: httpx.AsyncClient, person: str) -> httpx.URL:
    """Go to the provider, be that person there, and return the address that the browser is sent back to."""
    sent = await browser.get("/v1/sign-in")
    assert sent.status_code == 303 and "verifier" not in sent.headers["location"]
    async with httpx.AsyncClient() as outside:
        answer = await outside.post(sent.headers["location"], data={"sub": person})
    return httpx.URL(answer.headers["location"])


async def come_back(browser: httpx.AsyncClient, address: httpx.URL) -> httpx.Response:
    return await browser.get(f"{address.path}?{address.query.decode()}")


async def test_without_a_provider_there_is_no_sign_in(doors: Doors) -> None:
    answer = await doors.ask("GET", "/v1/sign-in", None)
    assert (answer.status_code, answer.json()["code"]) == (404, "oidc_not_set")
    assert (await doors.ask("GET", "/v1/sign-in/provider", None)).json() == {"provider": None}


class TestSignIn:
    async def test_a_person_of_a_group_is_in(self, browser: httpx.AsyncClient) -> None:
        browser.cookies.clear()
        answer = await come_back(browser, await back_from(browser, "ann"))
        assert answer.status_code == 200, answer.text
        cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(COOKIE))
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        me = (await browser.get("/v1/me")).json()
        assert (me["name"], me["role"], me["tenant"]) == ("Ann", "operator", "vision")
        assert (await browser.get("/v1/sign-in/provider")).json() == {"provider": "localhost"}
        assert ATTEMPT_COOKIE not in browser.cookies
        assert view() == EVERYTHING

    async def test_a_browser_keeps_the_team_that_was_chosen_as_long_as_the_person_is_in_it(
        self, browser: httpx.AsyncClient, doors: Doors
    ) -> None:
        browser.cookies.clear()
        await come_back(browser, await back_from(browser, "ann"))
        session = browser.cookies[COOKIE]
        joined = await doors.ask("POST", "/v1/members", "admin", json={"tenant": "language", "subject": "oidc:ann", "role": "viewer"})

        async def at(team: str) -> dict[str, object]:
            answer = await browser.get("/v1/me", headers={"cookie": f"{COOKIE}={session}; {TEAM_COOKIE}={team}"})
            told: dict[str, object] = answer.json()
            return told

        chosen, other = await at("language"), await at("atlantis")
        assert (chosen["tenant"], chosen["role"], chosen["teams"]) == ("language", "viewer", ["language", "vision"])
        assert other["tenant"] in {"language", "vision"}
        assert (await doors.ask("DELETE", f"/v1/members/{joined.json()['id']}", "admin")).status_code == 204
        assert (await at("language"))["tenant"] == "vision"

    async def test_a_person_of_no_group_is_told_so(self, browser: httpx.AsyncClient) -> None:
        browser.cookies.clear()
        answer = await come_back(browser, await back_from(browser, "eve"))
        assert (answer.status_code, answer.json()["code"]) == (403, "no_membership")
        assert COOKIE not in browser.cookies

    async def test_an_address_of_another_browser_opens_nothing(self, browser: httpx.AsyncClient) -> None:
        browser.cookies.clear()
        address = await back_from(browser, "ann")
        browser.cookies.clear()
        assert (await come_back(browser, address)).status_code == 401
        await browser.get("/v1/sign-in")
        assert (await come_back(browser, address)).json()["code"] == "sign_in_failed"
        assert COOKIE not in browser.cookies

    async def test_a_code_is_good_once(self, browser: httpx.AsyncClient) -> None:
        browser.cookies.clear()
        address = await back_from(browser, "ann")
        attempt = browser.cookies[ATTEMPT_COOKIE]
        assert (await come_back(browser, address)).status_code == 200
        browser.cookies.clear()
        browser.cookies.set(ATTEMPT_COOKIE, attempt)
        assert (await come_back(browser, address)).json()["code"] == "sign_in_failed"

    async def test_a_session_cookie_is_no_attempt_and_an_attempt_no_session(self, browser: httpx.AsyncClient) -> None:
        browser.cookies.clear()
        address = await back_from(browser, "ann")
        attempt = browser.cookies[ATTEMPT_COOKIE]
        assert (await come_back(browser, address)).status_code == 200
        session = browser.cookies[COOKIE]
        browser.cookies.clear()
        assert (await browser.get("/v1/me", headers={"cookie": f"{COOKIE}={attempt}"})).status_code == 401
        headers = {"cookie": f"{ATTEMPT_COOKIE}={session}"}
        answer = await browser.get(f"{address.path}?{address.query.decode()}", headers=headers)
        assert answer.json()["code"] == "sign_in_failed"
