"""Endpoints that chat: real servers of real, if senseless, language models."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from factory_infra.database import Database
from factory_infra.errors import EffectFailed, InvalidInput, NotFound
from factory_infra.iaas.jobs.models import Job
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.deployments.models import ChatServer
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollout_models import NewRollout, RolloutPlan, RolloutState, Strategy
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.training.tracking import Tracking
from tests.tiny_gguf import pull_tiny, write_tiny_gguf

pytestmark = pytest.mark.stack
ASKED = {"model": "any", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4}


@dataclass
class Place:
    """What a test acts on."""

    deployments: LocalDeployments
    jobs: LocalJobs
    weights: Path

    async def deploy(self, model_name: str, key: str) -> ChatServer:
        """Put weights live; return where they are served."""
        await self.deployments.deploy("vision", "chat", model_name, 1, key)
        return await self.deployments.chat_server("vision", "chat")

    async def live_jobs(self) -> list[Job]:
        """The servers that run."""
        return [job for job in await self.jobs.list("vision") if not job.state.final]


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[Place]:
    """Two pulled models and no endpoint; every server is ended after the test."""
    for seed, name in enumerate(("tiny", "tinier")):
        pull_tiny(tmp_path / "weights", name, seed)
    registry = MlflowRegistry("http://127.0.0.1:9", database, tmp_path / "weights")
    jobs = LocalJobs(tmp_path / "jobs")
    deployments = LocalDeployments(database, registry, jobs, tmp_path / "endpoints", "http://127.0.0.1:8400")
    yield Place(deployments, jobs, tmp_path / "weights")
    await deployments.close()
    await registry.close()
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


async def asked(server: ChatServer, key: str | None = None, path: str = "/chat/completions", **headers: str) -> httpx.Response:
    """Ask a server."""
    key = server.key.get_secret_value() if key is None else key
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(server.url + path, json=ASKED, headers={"authorization": f"Bearer {key}", **headers})


async def test_pulled_weights_go_live_over_each_other_and_back(place: Place) -> None:
    first = await place.deploy("tiny", "plan-1/deploy")
    said = await asked(first)
    assert said.status_code == 200 and said.json()["usage"]["completion_tokens"] == 4
    endpoint = await place.deployments.get("vision", "chat")
    assert (endpoint.model_name, endpoint.version) == ("tiny", 1)
    assert endpoint.url == "http://127.0.0.1:8400/v1/endpoints/vision/chat"
    assert await place.deploy("tiny", "plan-1/deploy") == first
    second = await place.deploy("tinier", "plan-2/deploy")
    assert second.model_name == "tinier" and second.job_id != first.job_id
    with pytest.raises(httpx.TransportError):
        await asked(first)
    assert (await asked(second, second.key.get_secret_value())).is_success
    assert [job.id for job in await place.live_jobs()] == [second.job_id]
    back = await place.deployments.rollback("vision", "chat", "plan-2/undo")
    assert back is not None and back.model_name == "tiny"
    assert (await asked(await place.deployments.chat_server("vision", "chat"))).is_success
    await place.deployments.retire("vision", "chat", "plan-3/retire")
    assert await place.live_jobs() == []
    with pytest.raises(NotFound):
        await place.deployments.chat_server("vision", "chat")


async def test_a_language_model_is_rolled_out_at_once_and_back_at_once(place: Place, database: Database) -> None:
    first = await place.deploy("tiny", "plan-1/deploy")
    rollouts = Rollouts(database, place.deployments)
    wanted = NewRollout(tenant="vision", endpoint="chat", model_name="tinier", version=1, key="k")
    with pytest.raises(InvalidInput) as raised:
        await rollouts.start(wanted)
    assert raised.value.error_code == "rollout_kind"
    at_once = RolloutPlan(strategy=Strategy.BLUE_GREEN, step_seconds=3600)
    begun = await rollouts.start(wanted.model_copy(update={"plan": at_once}))
    await rollouts.turn(begun.id)
    second = await place.deployments.chat_server("vision", "chat")
    assert second.model_name == "tinier" and (await asked(second)).is_success and (await asked(first)).is_success
    # Who finds it silent is told of the one that stands by.
    assert (await place.deployments.chat_server("vision", "chat", second.job_id)).job_id == first.job_id
    # One that dies is started again; one that keeps dying goes back.
    states = []
    for _ in range(3):
        dead = await place.deployments.chat_server("vision", "chat")
        await place.jobs.cancel(dead.job_id, "vision")
        states.append((await rollouts.turn(begun.id)).state)
    assert states == [RolloutState.RUNNING, RolloutState.RUNNING, RolloutState.ROLLED_BACK]
    assert await place.deployments.chat_server("vision", "chat") == first


async def test_only_its_key_opens_a_server_and_no_web_page_is_let_in(place: Place) -> None:
    server = await place.deploy("tiny", "plan-1/deploy")
    for key in ("none", "wrong", server.key.get_secret_value()[:-1]):
        for path in ("/chat/completions", "/completions", "/embeddings"):
            assert (await asked(server, key, path)).status_code == 401
    # The control: the same call with the key goes through; and not even that one is told to a page of another origin.
    answered = await asked(server, origin="http://evil.example")
    assert answered.is_success and not answered.headers.get("access-control-allow-origin")


async def test_a_server_that_is_silent_is_started_again_and_one_that_is_up_is_left_alone(place: Place) -> None:
    server = await place.deploy("tiny", "plan-1/deploy")
    assert await place.deployments.chat_server("vision", "chat", silent=server.job_id) == server
    await place.jobs.cancel(server.job_id, "vision")
    assert await place.deployments.chat_server("vision", "chat") == server
    found = await asyncio.gather(*(place.deployments.chat_server("vision", "chat", silent=server.job_id) for _ in range(3)))
    assert found[0] != server and len({each.job_id for each in found}) == 1 and (await asked(found[0])).is_success
    assert len(await place.live_jobs()) == 1


async def test_what_is_not_the_verified_file_never_goes_live(place: Place) -> None:
    await place.deploy("tiny", "plan-1/deploy")
    path = place.weights / "tinier.gguf"
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    # As the file system would show a bit that has turned: size and time as before, so only the digest tells.
    path.write_bytes(bytes(data))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(EffectFailed, match="not healthy"):
        await place.deploy("tinier", "plan-2/deploy")
    assert (await place.deployments.get("vision", "chat")).model_name == "tiny" and len(await place.live_jobs()) == 1
    path.write_bytes(b"another file")
    with pytest.raises(NotFound):
        await place.deploy("tinier", "plan-3/deploy")


async def test_rows_are_refused_by_name(place: Place) -> None:
    await place.deploy("tiny", "plan-1/deploy")
    with pytest.raises(InvalidInput) as refused:
        await place.deployments.predict("vision", "chat", [[1.0]])
    assert refused.value.error_code == "endpoint_chats"
    with pytest.raises(InvalidInput):
        await place.deployments.smoke_test("vision", "chat")
    for tenant, name in (("speech", "chat"), ("vision", "absent")):
        with pytest.raises(NotFound):
            await place.deployments.chat_server(tenant, name)


async def test_a_team_registers_a_file_of_its_own(database: Database, mlflow_url: str, runs: list[str], tmp_path: Path) -> None:
    tracking, registry = Tracking(mlflow_url), MlflowRegistry(mlflow_url, database, tmp_path / "weights")
    run = await tracking.run_of_key(await tracking.experiment("chats"), "tiny/1", 0.0)
    await tracking.log(run.info.run_id, {}, {}, {"lineshaft.tenant": "vision", "lineshaft.algorithm": "gguf"})
    await tracking.upload(run, "model.gguf", write_tiny_gguf(tmp_path / "model.gguf").read_bytes())
    version = await registry.register("vision", "own", run.info.run_id, "register/1")
    assert version.chats
    rows = await registry.register("vision", "taster", runs[0], "register/2")
    jobs = LocalJobs(tmp_path / "jobs")
    deployments = LocalDeployments(database, registry, jobs, tmp_path / "endpoints", "")
    try:
        await deployments.deploy("vision", "any", rows.model_name, rows.version, "plan-1/deploy")
        with pytest.raises(InvalidInput) as refused:
            await deployments.chat_server("vision", "any")
        assert refused.value.error_code == "endpoint_not_chat"
        # One name may go from rows to words, and back.
        await deployments.deploy("vision", "any", "own", version.version, "plan-2/deploy")
        assert (await asked(await deployments.chat_server("vision", "any"))).is_success
        await deployments.rollback("vision", "any", "plan-2/undo")
        assert (await deployments.smoke_test("vision", "any")).agrees_with_training
    finally:
        for each in (deployments, registry, tracking):
            await each.close()
        await asyncio.to_thread(stop_all, tmp_path / "jobs")
