"""Arrays, nodes, waiting and attempts of jobs on this host: what goes beyond the contract that all providers share."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from factory_infra.errors import Conflict, InvalidInput, StorageFull
from factory_infra.iaas.jobs.models import JobLimits, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from tests.factory_infra.iaas.jobs.hosts import FOREVER, TENANT, ended, folder_of, gone, holders, log_of, python, said, until, until_state

INDEX = "import json, os, time\nindex = int(os.environ['LINESHAFT_ARRAY_INDEX'])\nopen('count', 'a').write('x')\n"


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[LocalJobs]:
    """A provider whose jobs are all ended after the test."""
    yield LocalJobs(tmp_path / "jobs")
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


def runner_of(folder: Path) -> int:
    """The process that watches a job or a task."""
    return int(json.loads((folder / "run.json").read_text())["pid"])


class TestArrays:
    """Tasks side by side."""

    async def test_so_many_run_at_one_time_as_there_are_slots_each_on_one(self, jobs: LocalJobs) -> None:
        code = INDEX + (
            "import pathlib\n"
            "seen = {'gpu': os.environ['CUDA_VISIBLE_DEVICES'], 'input': open('in.txt').read(), 'began': time.monotonic()}\n"
            "time.sleep(0.2)\n"
            "open('result.json', 'w').write(json.dumps(seen | {'ended': time.monotonic()}))"
        )
        asked = {"slot_kind": "gpu", "slots": [4, 6], "devices": ["GPU-a", "GPU-b"]}
        await jobs.submit(python(code, array=5, inputs={"in.txt": "given"}, **asked))
        job = await ended(jobs)
        assert (job.state, job.percent, job.stage, job.tasks) == (JobState.SUCCEEDED, 100.0, "5 of 5 tasks", {"succeeded": 5})
        seen = [json.loads(await jobs.result(f"job-1.{index}", TENANT, "result.json") or "") for index in range(5)]
        assert {each["gpu"] for each in seen} == {"GPU-a", "GPU-b"} and {each["input"] for each in seen} == {"given"}
        for gpu in ("GPU-a", "GPU-b"):
            spans = sorted((each["began"], each["ended"]) for each in seen if each["gpu"] == gpu)
            assert all(before[1] <= after[0] for before, after in pairwise(spans)), "two tasks at once on one slot"
        assert await log_of(jobs) == ""

    async def test_only_tasks_that_had_not_ended_run_again_after_a_loss(self, jobs: LocalJobs, tmp_path: Path) -> None:
        code = (
            INDEX
            + f"if index == 1 and os.environ['LINESHAFT_ATTEMPT'] == '1':\n    os.fork() == 0 and os.setsid()\n    {indented(FOREVER)}"
        )
        spec = python(code, array=3, slots=[0, 1])
        await jobs.submit(spec)

        async def two_ended() -> bool:
            return (await jobs.get("job-1", TENANT)).tasks == {"succeeded": 2, "running": 1}

        await until(two_ended)
        os.kill(runner_of(folder_of(tmp_path)), signal.SIGKILL)
        lost = await until_state(jobs, JobState.LOST)
        assert lost.tasks == {"succeeded": 2, "lost": 1}
        assert [task.state for task in await jobs.tasks("job-1", TENANT)] == [JobState.SUCCEEDED, JobState.LOST, JobState.SUCCEEDED]
        await jobs.submit(spec)
        job = await ended(jobs)
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
        counts = [(folder_of(tmp_path) / "tasks" / str(index) / "count").read_text() for index in range(3)]
        assert counts == ["x", "xx", "x"]
        assert (await jobs.get("job-1.1", TENANT)).attempt == 2 and "started again" in await log_of(jobs, "job-1.1")
        await gone(tmp_path)

    async def test_only_tasks_that_did_not_succeed_are_tried_again(self, jobs: LocalJobs, tmp_path: Path) -> None:
        await jobs.submit(python(INDEX + "assert index != 1 or os.environ['LINESHAFT_ATTEMPT'] == '2'", array=2))
        assert (await ended(jobs)).state is JobState.FAILED
        await jobs.retry("job-1", TENANT)
        job = await ended(jobs)
        assert (job.state, job.tasks) == (JobState.SUCCEEDED, {"succeeded": 2})
        assert (folder_of(tmp_path) / "tasks" / "0" / "count").read_text() == "x"
        with pytest.raises(Conflict):
            await jobs.retry("job-1", TENANT)

    async def test_each_task_has_its_own_attempts(self, jobs: LocalJobs) -> None:
        await jobs.submit(python(INDEX + "assert index != 1 or os.environ['LINESHAFT_ATTEMPT'] == '2'", array=2, attempts_max=2))
        assert (await ended(jobs)).state is JobState.SUCCEEDED
        assert [task.attempt for task in await jobs.tasks("job-1", TENANT)] == [1, 2]
        assert "-- attempt 2 begins, 1 of 2 failed" in await log_of(jobs, "job-1.1")

    async def test_a_task_whose_watcher_was_killed_has_failed_and_the_others_go_on(self, jobs: LocalJobs, tmp_path: Path) -> None:
        stay = f"os.fork() == 0 and os.setsid()\nprint('ready', flush=True)\nif index == 0:\n    {indented(FOREVER)}"
        await jobs.submit(python(INDEX + stay, array=3, slots=[0]))
        await said(jobs, "ready", "job-1.0", times=2)
        os.kill(runner_of(folder_of(tmp_path) / "tasks" / "0"), signal.SIGKILL)
        job = await ended(jobs)
        assert job.state is JobState.FAILED and job.tasks == {"succeeded": 2, "failed": 1}
        assert job.failure is not None and "1 of 3" in job.failure.reason
        assert (await jobs.get("job-1.0", TENANT)).state is JobState.FAILED
        await gone(tmp_path)

    async def test_a_task_is_looked_at_and_not_handled_by_itself(self, jobs: LocalJobs) -> None:
        await jobs.submit(python("pass", array=2))
        await ended(jobs)
        for ask in (jobs.cancel, jobs.retry, jobs.tasks):
            with pytest.raises(InvalidInput) as refused:
                await ask("job-1.0", TENANT)
            assert refused.value.error_code == "not_offered"
        with pytest.raises(InvalidInput) as refused:
            await jobs.submit(python("pass", "job-1.0"))
        assert refused.value.error_code == "name_invalid"
        await jobs.submit(python("pass", "job-2.0"))
        assert (await ended(jobs, "job-2.0")).tasks == {}
        assert await jobs.tasks("job-2.0", TENANT) == []
        assert await jobs.tail("job-1.1", TENANT) == ""


class TestNodes:
    """Several nodes of one job."""

    async def test_each_node_has_its_share_of_the_slots(self, jobs: LocalJobs) -> None:
        code = "import os\nprint(os.environ['NODE_RANK'] + ':' + os.environ['CUDA_VISIBLE_DEVICES'], flush=True)"
        await jobs.submit(python(code, nodes=2, slot_kind="gpu", slots=[0, 1, 2, 3]))
        job = await ended(jobs)
        assert job.state is JobState.SUCCEEDED and sorted((await log_of(jobs)).split()) == ["0:0,1", "1:2,3"]

    async def test_a_node_whose_watcher_was_killed_fails_the_job(self, jobs: LocalJobs, tmp_path: Path) -> None:
        await jobs.submit(python(f"print('ready', flush=True)\n{FOREVER}", nodes=2))
        await said(jobs, "ready", times=2)
        watchers = psutil.Process(runner_of(folder_of(tmp_path))).children()
        os.kill(watchers[1].pid, signal.SIGKILL)
        job = await ended(jobs)
        assert job.state is JobState.FAILED and job.failure is not None and "Node 1" in job.failure.reason
        await gone(tmp_path)

    async def test_all_nodes_are_started_again_together(self, jobs: LocalJobs) -> None:
        code = (
            "import os, sys\nprint(os.environ['NODE_RANK'], os.environ['LINESHAFT_ATTEMPT'], flush=True)\n"
            f"if os.environ['LINESHAFT_ATTEMPT'] == '1':\n    if os.environ['NODE_RANK'] == '1': sys.exit(3)\n    {indented(FOREVER)}"
        )
        await jobs.submit(python(code, nodes=2, attempts_max=2))
        job = await ended(jobs)
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
        assert {"1 1", "0 2", "1 2"} <= set((await log_of(jobs)).splitlines())


class TestWaiting:
    """Jobs that wait for others, and the stack that goes down meanwhile."""

    async def test_whatever_lives_is_lost_with_the_stack_and_goes_on_later(self, jobs: LocalJobs, tmp_path: Path) -> None:
        specs = [
            python(f"import os\nprint('ready', flush=True)\nif os.environ['LINESHAFT_ATTEMPT'] == '1':\n    {indented(FOREVER)}", "first"),
            python(f"import os\nif os.environ['LINESHAFT_ATTEMPT'] == '1':\n    {indented(FOREVER)}", "array", array=2),
            python(f"import os\nif os.environ['LINESHAFT_ATTEMPT'] == '1':\n    {indented(FOREVER)}", "nodes", nodes=2),
            python("pass", "waiting", after=["first"]),
        ]
        for spec in specs:
            await jobs.submit(spec)
        for name in ("first", "array", "nodes"):
            await until_state(jobs, JobState.RUNNING, name)
        await said(jobs, "ready", "first")
        assert await asyncio.to_thread(stop_all, tmp_path / "jobs") == 4
        for spec in specs:
            assert (await jobs.get(spec.id, TENANT)).state is JobState.LOST
            assert holders(folder_of(tmp_path, spec.id)) == []
        assert (await jobs.get("array", TENANT)).tasks == {"lost": 2}
        assert "did not succeed" not in await log_of(jobs, "nodes")
        await jobs.submit(specs[3])
        waiting = (await jobs.get("waiting", TENANT)).waiting
        assert waiting is not None and "first, lost with its host" in waiting.reason and waiting.remedy
        for spec in specs[:3]:
            await jobs.submit(spec)
        for spec in specs:
            assert (await ended(jobs, spec.id)).state is JobState.SUCCEEDED

    async def test_a_job_that_is_there_is_found_though_the_one_before_it_is_not(self, jobs: LocalJobs, tmp_path: Path) -> None:
        await jobs.submit(python("pass", "first"))
        await jobs.submit(python("pass", after=["first"]))
        await ended(jobs)
        (folder_of(tmp_path, "first") / "spec.json").unlink()
        assert (await jobs.submit(python("pass", after=["first"]))).state is JobState.SUCCEEDED

    async def test_a_job_cannot_wait_for_itself(self, jobs: LocalJobs) -> None:
        with pytest.raises(InvalidInput):
            await jobs.submit(python("pass", after=["job-1"]))


class TestAttempts:
    """What is started again by itself, and what is not."""

    async def test_a_job_that_ran_too_long_is_not(self, jobs: LocalJobs) -> None:
        await jobs.submit(python(FOREVER, attempts_max=3, limits=JobLimits(seconds=0.3).model_dump()))
        job = await ended(jobs)
        assert job.attempt == 1 and job.failure is not None and job.failure.code == "job_timeout"

    async def test_a_lost_host_costs_no_attempt(self, jobs: LocalJobs, tmp_path: Path) -> None:
        code = f"import os, sys\nprint('ready', flush=True)\nif os.environ['LINESHAFT_ATTEMPT'] != '1': sys.exit(3)\n{FOREVER}"
        spec = python(code, attempts_max=2)
        await jobs.submit(spec)
        await said(jobs, "ready")
        os.kill(runner_of(folder_of(tmp_path)), signal.SIGKILL)
        await until_state(jobs, JobState.LOST)
        await jobs.submit(spec)
        job = await ended(jobs)
        assert (job.state, job.attempt) == (JobState.FAILED, 3)

    async def test_a_log_that_was_replaced_by_a_link_is_never_followed(self, jobs: LocalJobs, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.touch()
        await jobs.submit(python(f"import os\nos.unlink('log.txt'); os.symlink({str(victim)!r}, 'log.txt')\nraise SystemExit(3)"))
        assert (await ended(jobs)).state is JobState.FAILED
        with pytest.raises(StorageFull):
            await jobs.retry("job-1", TENANT)
        assert victim.read_text() == ""


@pytest.mark.parametrize("fields", [{"image": "x"}, {"queue": "x"}, {"array": 2, "nodes": 2}, {"nodes": 65}])
async def test_what_this_host_does_not_do_is_refused_by_name(jobs: LocalJobs, tmp_path: Path, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        await jobs.submit(python("pass", **fields))
    assert refused.value.error_code == "not_offered" and refused.value.remedy
    assert not (tmp_path / "jobs").exists()


async def test_a_job_of_an_earlier_release_reads_as_before(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python("print('done')"))
    await ended(jobs)
    folder = folder_of(tmp_path)
    await gone(tmp_path)
    later = {"devices", "nodes", "array", "after", "attempts_max", "image", "queue", "pool", "lease_id"}
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps({name: value for name, value in spec.items() if name not in later}))
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({"pid": run["pid"], "started_at": run["started_at"]}))
    (folder / "attempts.json").unlink()
    (tmp_path / "jobs" / ".kept" / TENANT / "job-1.kept").unlink()
    job = await jobs.get("job-1", TENANT)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    (folder / "exit.json").unlink()
    await until_state(jobs, JobState.LOST)
    await jobs.submit(python("pass"))
    assert (await ended(jobs)).state is JobState.SUCCEEDED


def indented(code: str) -> str:
    """Code as the body of a block."""
    return code.replace("\n", "\n    ")
