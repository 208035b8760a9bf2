"""Endpoints on this machine: real servers of real versions."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from factory_infra.database import Database
from factory_infra.errors import Conflict, EffectFailed, InvalidInput, NotFound
from factory_infra.iaas.jobs.models import Job
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.providers.wire import Holdout
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry

pytestmark = pytest.mark.stack


@dataclass
class Place:
    """What a test acts on."""

    deployments: LocalDeployments
    jobs: LocalJobs
    registry: MlflowRegistry
    versions: list[ModelVersion]
    home: Path

    async def deploy(self, version: ModelVersion, key: str) -> int:
        """Put a version live; return its number."""
        return (await self.deployments.deploy("vision", "tasting", version.model_name, version.version, key)).version

    async def live_jobs(self) -> list[Job]:
        """The servers that run."""
        return [job for job in await self.jobs.list("vision") if not job.state.final]

    def holdout(self) -> Holdout:
        """The held-out rows of the first version."""
        return Holdout.model_validate_json((self.files() / "holdout.json").read_bytes())

    def files(self, number: int = 0) -> Path:
        """Where a version's files lie."""
        version = self.versions[number]
        return self.home / "endpoints" / "vision" / version.model_name / str(version.version)


@pytest.fixture
async def place(database: Database, mlflow_url: str, runs: list[str], tmp_path: Path) -> AsyncIterator[Place]:
    """Two registered versions and no endpoint; every server is ended after the test."""
    registry = MlflowRegistry(mlflow_url, database)
    versions = [await registry.register("vision", "taster", run, f"register/{run}") for run in runs]
    jobs = LocalJobs(tmp_path / "jobs")
    deployments = LocalDeployments(database, registry, jobs, tmp_path / "endpoints", "http://127.0.0.1:8400/")
    yield Place(deployments, jobs, registry, versions, tmp_path)
    await deployments.close()
    await registry.close()
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


def kill_server(folder: Path) -> None:
    """Kill the process that serves from a job's folder, as a crash would."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINESHAFT_JOB_DIR") == str(folder):
                os.kill(process.pid, signal.SIGKILL)
        except psutil.Error:
            continue


async def test_a_deployed_version_answers_as_training_did(place: Place) -> None:
    endpoint = await place.deployments.deploy("vision", "tasting", "taster", place.versions[0].version, "plan-1/deploy")
    assert endpoint.url == "http://127.0.0.1:8400/v1/endpoints/vision/tasting/predict"
    assert await place.deployments.list("vision") == [endpoint] and await place.deployments.list("speech") == []
    report = await place.deployments.smoke_test("vision", "tasting")
    assert report.rows == 36 and report.agrees_with_training and report.accuracy > 0.8
    [job] = await place.live_jobs()
    resident = sum(process.memory_info().rss for process in psutil.process_iter() if serves(process, place, job))
    assert 0 < resident < 120 * 1024**2


def serves(process: psutil.Process, place: Place, job: Job) -> bool:
    """Whether a process serves from this job's folder."""
    try:
        return process.environ().get("LINESHAFT_JOB_DIR") == str(place.home / "jobs" / "vision" / job.id)
    except psutil.Error:
        return False


async def test_deploying_is_idempotent_by_key(place: Place) -> None:
    await place.deploy(place.versions[0], "plan-1/deploy")
    before = await place.live_jobs()
    await place.deploy(place.versions[0], "plan-1/deploy")
    assert [job.id for job in await place.live_jobs()] == [job.id for job in before] and len(before) == 1
    with pytest.raises(Conflict):
        await place.deployments.rollback("vision", "tasting", "plan-1/deploy")


async def test_two_deploys_of_one_key_at_once_leave_one_server(place: Place) -> None:
    await asyncio.gather(*(place.deploy(place.versions[0], "plan-1/deploy") for _ in range(3)))
    assert len(await place.live_jobs()) == 1
    assert (await place.deployments.get("vision", "tasting")).previous_version is None


async def test_rollbacks_go_back_one_by_one_and_then_retire(place: Place) -> None:
    first, second = place.versions
    await place.deploy(first, "plan-1/deploy")
    await place.deploy(second, "plan-2/deploy")
    live = await place.deployments.get("vision", "tasting")
    assert (live.version, live.previous_version) == (second.version, first.version)
    assert len(await place.live_jobs()) == 1
    back = await place.deployments.rollback("vision", "tasting", "plan-2/undo")
    assert back is not None and back.version == first.version
    again = await place.deployments.rollback("vision", "tasting", "plan-2/undo")
    assert again == back
    assert (await place.deployments.predict("vision", "tasting", place.holdout().rows)).version == first.version
    assert await place.deployments.rollback("vision", "tasting", "plan-1/undo") is None
    assert await place.live_jobs() == []
    with pytest.raises(NotFound):
        await place.deployments.predict("vision", "tasting", [[0.0] * 13])


async def test_a_retired_name_can_be_deployed_again(place: Place) -> None:
    await place.deploy(place.versions[0], "plan-1/deploy")
    await place.deployments.retire("vision", "tasting", "plan-2/retire")
    await place.deployments.retire("vision", "tasting", "plan-2/retire")
    assert await place.live_jobs() == [] and await place.deployments.list() == []
    await place.deploy(place.versions[1], "plan-3/deploy")
    assert (await place.deployments.get("vision", "tasting")).previous_version is None


async def test_a_version_that_is_not_healthy_leaves_the_old_one_live_and_nothing_running(place: Place) -> None:
    first, second = place.versions
    await place.deploy(first, "plan-1/deploy")
    await place.registry.download(second, place.files(1))
    (place.files(1) / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EffectFailed):
        await place.deploy(second, "plan-2/deploy")
    assert (await place.deployments.get("vision", "tasting")).version == first.version
    assert len(await place.live_jobs()) == 1
    # Mended, the same key goes through.
    await place.registry.download(second, place.files(1))
    assert await place.deploy(second, "plan-2/deploy") == second.version


async def test_a_model_that_answers_otherwise_than_in_training_never_goes_live(place: Place) -> None:
    await place.registry.download(place.versions[0], place.files())
    holdout = place.holdout()
    lies = holdout.model_copy(update={"predictions": holdout.predictions[1:] + holdout.predictions[:1]})
    (place.files() / "holdout.json").write_text(lies.model_dump_json())
    with pytest.raises(EffectFailed):
        await place.deploy(place.versions[0], "plan-1/deploy")
    assert await place.live_jobs() == []


async def test_a_killed_or_stopped_server_is_started_again_by_the_next_question(place: Place) -> None:
    await place.deploy(place.versions[0], "plan-1/deploy")
    holdout = place.holdout()
    [job] = await place.live_jobs()
    await asyncio.to_thread(kill_server, place.home / "jobs" / "vision" / job.id)
    answers = await asyncio.gather(*(place.deployments.predict("vision", "tasting", holdout.rows) for _ in range(3)))
    assert all(answer.labels == holdout.predictions for answer in answers)
    assert len(await place.live_jobs()) == 1
    assert await asyncio.to_thread(stop_all, place.home / "jobs") == 1
    assert (await place.deployments.predict("vision", "tasting", holdout.rows)).labels == holdout.predictions
    assert len(await place.live_jobs()) == 1


@pytest.mark.parametrize("rows", [[], [[1.0]], [[float("nan")] * 13], [[float("inf")] * 13], [[0.0] * 13] * 1001])
async def test_rows_that_do_not_fit_are_refused(place: Place, rows: list[list[float]]) -> None:
    await place.deploy(place.versions[0], "plan-1/deploy")
    with pytest.raises(InvalidInput):
        await place.deployments.predict("vision", "tasting", rows)


async def test_unknown_names_and_other_teams_are_not_found(place: Place) -> None:
    await place.deploy(place.versions[0], "plan-1/deploy")
    for tenant, name in (("speech", "tasting"), ("vision", "absent")):
        with pytest.raises(NotFound):
            await place.deployments.get(tenant, name)
        with pytest.raises(NotFound):
            await place.deployments.predict(tenant, name, [[0.0] * 13])
        with pytest.raises(NotFound):
            await place.deployments.retire(tenant, name, f"retire/{tenant}/{name}")
    with pytest.raises(NotFound):
        await place.deployments.deploy("vision", "tasting", "taster", 99, "plan-2/deploy")
    with pytest.raises(InvalidInput):
        await place.deployments.deploy("vision", "../x", "taster", place.versions[0].version, "plan-3/deploy")


async def test_the_server_answers_only_to_its_token(place: Place) -> None:
    await place.deploy(place.versions[0], "plan-1/deploy")
    [job] = await place.live_jobs()
    address = await place.jobs.result(job.id, "vision", "endpoint.json")
    assert address is not None
    port = httpx.Response(200, text=address).json()["port"]
    async with httpx.AsyncClient(trust_env=False) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            assert (await client.get(f"http://127.0.0.1:{port}/health", headers=headers)).status_code == 401
    assert await place.jobs.result(job.id, "vision", ".token") is None
