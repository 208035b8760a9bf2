"""How the server of an endpoint is found: by records that may be slow, wrong or away. The engine itself is asked in tests/api/gateway."""

import asyncio
import socket
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from factory_infra.errors import EffectFailed, NotFound, Unavailable
from factory_infra.paas.deployments.models import ChatServer
from factory_infra.saas.models.backends.deployment import FRESH_SECONDS, DeploymentBackend, OurEndpoints
from factory_infra.saas.models.backends.spec import DeploymentSpec
from factory_infra.settings import Settings
from tests.factory_infra.saas.models.backends.calls import call, read
from tests.waiting import eventually


def nowhere() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


def server(job_id: str) -> ChatServer:
    """A server that is down."""
    return ChatServer(job_id=job_id, url=nowhere(), key=SecretStr("k"), model_name="tiny", version=1)


@dataclass
class Records:
    """Endpoints as a test tells them."""

    answers: list[ChatServer | Exception]
    asked: list[str] = field(default_factory=list)
    held: asyncio.Event | None = None

    async def chat_server(self, tenant: str, name: str, silent: str = "") -> ChatServer:
        assert (tenant, name) == ("vision", "chat")
        self.asked.append(silent)
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None: ...


class Clock:
    """Time as a test tells it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


SPEC = DeploymentSpec(kind="deployment", name="ours", team="vision", endpoint="chat")


def backend(records: Records, clock: Clock, settings: Settings) -> DeploymentBackend:
    """A backend over these records."""
    return DeploymentBackend(SPEC, settings, None, records, clock)


async def test_an_endpoint_that_is_gone_is_a_fault_of_the_target_and_not_of_the_request(settings: Settings) -> None:
    gone = NotFound("Endpoint chat is retired.", remedy="Deploy a version to it.", code="endpoint_retired")
    held = backend(Records([gone]), Clock(), settings)
    with pytest.raises(EffectFailed) as refused:
        await held.complete(call())
    assert refused.value.error_code == "endpoint_retired" and "ours" in refused.value.reason
    _, error = await read(held.stream(call()))
    assert isinstance(error, EffectFailed)
    await held.close()


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_a_server_that_fails_though_it_is_up_is_not_asked_twice(settings: Settings) -> None:
    same = server("chat-1")
    records = Records([same])
    held = backend(records, Clock(), settings)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await held.complete(call())
    assert records.asked == ["", "chat-1"]
    await held.close()


@pytest.mark.allow_hosts(["127.0.0.1"])
async def test_what_was_found_is_believed_for_a_moment_and_longer_while_the_records_are_away(settings: Settings) -> None:
    clock, away = Clock(), OperationalError("SELECT", {}, Exception("away"))
    records = Records([server("chat-1"), away])
    held = backend(records, clock, settings)
    for _ in range(2):
        # The records cannot say whether it was replaced, so the call fails by what it knows.
        with pytest.raises(Unavailable):
            await held.complete(call())
    assert records.asked == ["", "chat-1", "chat-1"]
    clock.now += FRESH_SECONDS + 0.1
    with pytest.raises(Unavailable):
        await held.complete(call())
    assert records.asked[3:] == ["", "chat-1"]
    await held.close()


async def test_one_search_serves_all_and_outlives_who_began_it(settings: Settings) -> None:
    records = Records([NotFound("no", code="endpoint_unknown")], held=asyncio.Event())
    held = backend(records, Clock(), settings)
    calls = [asyncio.create_task(held.complete(call())) for _ in range(5)]
    await eventually(lambda: records.asked)
    calls[0].cancel()
    with pytest.raises(Unavailable, match="within"):
        await held.complete(call(deadline=0.01))
    assert records.held is not None
    records.held.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError) and all(isinstance(each, EffectFailed) for each in ended[1:])
    assert records.asked == [""]
    await held.close()


async def test_without_a_database_it_says_so(settings: Settings) -> None:
    endpoints = OurEndpoints(settings)
    with pytest.raises(Unavailable, match="no address"):
        await endpoints.chat_server("vision", "chat")
    await endpoints.close()
