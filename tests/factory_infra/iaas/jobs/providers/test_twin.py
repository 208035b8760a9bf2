"""Real programs on simulated machines: a failure takes their place, whoever looks carries it out, and a kill in between changes nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.iaas.jobs.providers.signals import kill_runner
from factory_infra.iaas.jobs.providers.twin import POOL_VARIABLE, TwinJobs
from factory_infra.settings import Settings

WAIT_SECONDS = 60
CODE = f"""
import os, pathlib, time
kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')
print(os.environ['{POOL_VARIABLE}'], 'attempt', os.environ['LINESHAFT_ATTEMPT'], flush=True)
if not kept.exists():
    kept.write_text('1')
    time.sleep(600)
"""
POOL = TwinPool(name="twin", nodes=3, gpus=2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
async def jobs(settings: Settings) -> AsyncIterator[TwinJobs]:
    made = TwinJobs(POOL, settings)
    yield made
    await asyncio.to_thread(stop_all, made.jobs_dir)


def spec(**fields: object) -> JobSpec:
    argv = [sys.executable, "-IS", "-c", CODE]
    return JobSpec.model_validate({"id": "j", "tenant": "vision", "name": "n", "argv": argv, "pool": "twin", **fields})


async def saved(jobs: TwinJobs) -> Job:
    """Wait until the first checkpoint is written."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not list((jobs.jobs_dir / "vision").glob("**/step")):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return await jobs.get("j", "vision")


async def ended(jobs: TwinJobs) -> Job:
    async with asyncio.timeout(WAIT_SECONDS):
        while not (await jobs.get("j", "vision")).state.final:  # noqa: ASYNC110 (files tell, not an event)
            await asyncio.sleep(0.02)
    return await jobs.get("j", "vision")


async def test_slots_of_a_lease_say_the_machine_and_are_no_slots_of_this_host(jobs: TwinJobs) -> None:
    await jobs.submit(spec(slots=[4, 5], slot_kind="gpu"))
    running = await saved(jobs)
    assert running.nodes == ["simulated-twin-0002"] and running.engine_id == "simulated/twin"
    assert "CUDA_VISIBLE_DEVICES" not in (jobs.jobs_dir / "vision" / "j" / "spec.json").read_text()


async def test_many_who_look_carry_a_failure_out_once(jobs: TwinJobs, settings: Settings) -> None:
    await jobs.submit(spec())
    before = await saved(jobs)
    DataCentre(POOL, settings).fail(before.nodes[0], hours=100)
    await asyncio.gather(*(TwinJobs(POOL, settings).get("j", "vision") for _ in range(5)))
    after = await ended(jobs)
    assert (after.state, after.attempt) == (JobState.SUCCEEDED, 2) and after.nodes != before.nodes
    assert (await jobs.logs("j", "vision")).text.count("simulated: ") == 1


async def test_one_who_is_killed_in_between_is_made_up_for(jobs: TwinJobs, settings: Settings) -> None:
    await jobs.submit(spec())
    before = await saved(jobs)
    DataCentre(POOL, settings).fail(before.nodes[0], hours=100)
    assert await asyncio.to_thread(kill_runner, JobFolder(jobs.jobs_dir / "vision" / "j"))
    after = await ended(TwinJobs(POOL, settings))
    assert (after.state, after.attempt) == (JobState.SUCCEEDED, 2)


async def test_a_job_that_is_lost_for_another_reason_stays_lost(jobs: TwinJobs) -> None:
    await jobs.submit(spec())
    await saved(jobs)
    assert await asyncio.to_thread(kill_runner, JobFolder(jobs.jobs_dir / "vision" / "j"))
    assert (await jobs.get("j", "vision")).state is JobState.LOST
