"""A language model that is deployed here, called through the whole gateway: a real engine, real records, the ledger."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import openai
import pytest
from sqlalchemy import select

from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.saas.metering.tables import EntryRow
from factory_infra.settings import Settings
from tests.api.gateway.real import Real, real
from tests.tiny_gguf import pull_tiny

pytestmark = pytest.mark.stack

FILE = """
backends:
  ours: {{kind: deployment, team: vision, endpoint: chat}}
models:
  mine: {{route: [{{backend: ours, model: tiny, price_as: qwen2.5-coder-0.5b}}]}}
"""
HELLO = [{"role": "user", "content": "hello"}]
BOOLEAN = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}


@dataclass
class House:
    """A gateway and the deployments beside it, in a process of the API's as it were."""

    gateway: Real
    deployments: LocalDeployments
    jobs: LocalJobs
    client: Any

    async def deploy(self, model_name: str, key: str) -> str:
        """Put weights live; return the job that serves them."""
        await self.deployments.deploy("vision", "chat", model_name, 1, key)
        return (await self.deployments.chat_server("vision", "chat")).job_id

    async def ask(self, **more: Any) -> Any:
        """Ask through the gateway; the raw response."""
        return await self.client.chat.completions.with_raw_response.create(
            model="mine", messages=HELLO, max_tokens=6, temperature=0, **more
        )

    async def ledger(self, request_id: str) -> list[tuple[str, str, int, int, Decimal]]:
        """What was settled of a call: backend, outcome, tokens in and out, amount."""
        await self.gateway.meter.posted()
        query = select(EntryRow).where(EntryRow.reservation.startswith(request_id), EntryRow.action == "settle")
        async with self.gateway.database.transaction() as session:
            rows = await session.scalars(query)
            return [(row.backend, row.outcome, int(row.quantity), int(row.quantity_out), row.amount) for row in rows]


@pytest.fixture
async def house(settings: Settings, database_url: str) -> AsyncIterator[House]:
    """Two pulled models, no endpoint yet, and a gateway whose file names one."""
    for seed, name in enumerate(("tiny", "tinier")):
        pull_tiny(settings.weights_dir, name, seed)
    async with real(settings, database_url, FILE) as running:
        registry = MlflowRegistry("", running.database, settings.weights_dir)
        jobs = LocalJobs(settings.jobs_dir)
        deployments = LocalDeployments(running.database, registry, jobs, settings.home / "endpoints", "")
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0, timeout=60) as client:
            yield House(running, deployments, jobs, client)
        await deployments.close()
        await registry.close()
    await asyncio.to_thread(stop_all, settings.jobs_dir)


async def test_it_chats_and_streams_and_is_charged_by_the_engines_own_count(house: House) -> None:
    await house.deploy("tiny", "plan-1/deploy")
    raw = await house.ask()
    answer = raw.parse()
    assert answer.model == "mine" and answer.usage.completion_tokens == 6 and answer.choices[0].finish_reason == "length"
    [(backend, outcome, tokens_in, tokens_out, amount)] = await house.ledger(raw.headers["x-request-id"])
    assert (backend, outcome, tokens_in, tokens_out) == ("ours", "done", answer.usage.prompt_tokens, 6)
    assert amount == Decimal(raw.headers["x-lineshaft-cost"]) > 0

    stream = await house.client.chat.completions.create(
        model="mine", messages=HELLO, max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    chunks = [each async for each in stream]
    assert chunks[-1].usage.completion_tokens == 5 and {each.model for each in chunks} == {"mine"}
    [(_, outcome, tokens_in, tokens_out, _)] = await house.ledger(stream.response.headers["x-request-id"])
    assert (outcome, tokens_in, tokens_out) == ("done", chunks[-1].usage.prompt_tokens, 5)

    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": BOOLEAN}}
    held = await house.client.chat.completions.create(model="mine", messages=HELLO, max_tokens=200, response_format=form)
    assert held.choices[0].message.content.strip().startswith("{")
    likely = (await house.ask(logprobs=True, top_logprobs=2)).parse()
    # A character of several bytes is told as one.
    assert 1 <= len(likely.choices[0].logprobs.content) <= 6
    with pytest.raises(openai.BadRequestError) as refused:
        await house.ask(n=2)
    assert refused.value.code == "ability_missing"


async def test_calls_follow_what_is_live(house: House, settings: Settings) -> None:
    with pytest.raises(openai.APIStatusError) as missing:
        await house.ask()
    assert (missing.value.status_code, missing.value.code) == (502, "endpoint_unknown")
    first = await house.deploy("tiny", "plan-1/deploy")
    said = (await house.ask()).parse().choices[0].message.content
    second = await house.deploy("tinier", "plan-2/deploy")
    # At once after the switch: what was found a moment ago is gone, and the call finds the new one by itself.
    raw = await house.ask()
    assert raw.parse().choices[0].message.content != said and second != first
    assert [row[1] for row in await house.ledger(raw.headers["x-request-id"])] == ["done"]
    await house.jobs.cancel(second, "vision")
    # A server that died is started again by the call that misses it, and by no more than one of many.
    answers = await asyncio.gather(*(house.ask() for _ in range(4)))
    assert all(each.parse().usage.completion_tokens == 6 for each in answers)
    [live] = [job for job in await house.jobs.list("vision") if not job.state.final]
    # Though a gateway started it, it has the walls of every job of this host: the home's secrets are closed to it.
    walls = json.loads((settings.jobs_dir / "vision" / live.id / "walls.json").read_text())
    assert str(settings.home.resolve()) in walls["closed"]
    await house.deployments.retire("vision", "chat", "plan-3/retire")
    with pytest.raises(openai.APIStatusError) as retired:
        await house.ask()
    assert retired.value.code == "endpoint_retired"


async def test_no_request_chooses_an_address(house: House) -> None:
    await house.deploy("tiny", "plan-1/deploy")
    for name in ("endpoint", "team", "url", "api_base"):
        with pytest.raises(openai.BadRequestError) as refused:
            await house.ask(extra_body={name: "speech"})
        assert refused.value.code == "unknown_parameter"
