"""Jobs as real processes of this machine."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput, NotFound, StorageFull
from factory_infra.iaas.jobs.models import JobLimits, JobSpec, JobState
from factory_infra.iaas.jobs.programs import SOURCE_ROOT, python_environment
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from tests.factory_infra.iaas.jobs.hosts import FOREVER, TENANT, ended, folder_of, gone, holders, log_of, python, said, until


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[LocalJobs]:
    """A provider whose jobs are all ended after the test."""
    yield LocalJobs(tmp_path / "jobs")
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


async def test_runs_to_success_with_log_progress_result_and_a_clean_environment(jobs: LocalJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINESHAFT_DATABASE_URL", "postgresql://secret")
    code = (
        "import json, os\n"
        "open('progress.jsonl', 'a').write(json.dumps({'percent': 40, 'stage': 'half'}) + '\\n')\n"
        "open('result.json', 'w').write(json.dumps({'env': dict(os.environ), 'input': open('in.txt').read(), 'nice': os.nice(0)}))\n"
        "print('héllo ✓')"
    )
    await jobs.submit(python(code, inputs={"in.txt": "given"}, environment={"EXTRA": "1"}, slots=[0]))
    job = await ended(jobs)
    assert (job.state, job.exit_code, job.percent, job.stage) == (JobState.SUCCEEDED, 0, 100.0, "half")
    assert job.started_at is not None and job.finished_at is not None
    text = await jobs.result("job-1", TENANT, "result.json")
    assert text is not None
    result = json.loads(text)
    assert result["input"] == "given" and result["env"]["EXTRA"] == "1" and result["env"]["OMP_NUM_THREADS"] == "1" and result["nice"] == 5
    assert "LINESHAFT_DATABASE_URL" not in result["env"]
    chunk = await jobs.logs("job-1", TENANT)
    assert chunk.text == "héllo ✓\n" and chunk.complete
    assert await jobs.result("job-1", TENANT, "absent.json") is None


async def test_submits_of_several_processes_at_once_start_one_job(jobs: LocalJobs, tmp_path: Path) -> None:
    spec = python(f"open('count', 'a').write('x')\n{FOREVER}").model_dump_json()
    code = (
        "import asyncio, sys, pathlib\n"
        "from factory_infra.iaas.jobs.models import JobSpec\n"
        "from factory_infra.iaas.jobs.providers.local import LocalJobs\n"
        "print(asyncio.run(LocalJobs(pathlib.Path(sys.argv[1])).submit(JobSpec.model_validate_json(sys.argv[2]))).state)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "jobs"), spec]
    submitters = [
        await asyncio.create_subprocess_exec(*argv, env=python_environment(), cwd=SOURCE_ROOT, stdout=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    answers = [(await process.communicate())[0].decode().strip() for process in submitters]
    assert set(answers) <= {"running", "pending"} and len(answers) == 3

    async def wrote() -> bool:
        return (folder_of(tmp_path) / "count").exists()

    await until(wrote)
    assert (folder_of(tmp_path) / "count").read_text() == "x"
    # The three that submitted are gone, the job is not.
    assert (await jobs.get("job-1", TENANT)).state is JobState.RUNNING


async def test_cancel_ends_a_tree_that_ignores_the_first_signal_and_forks(jobs: LocalJobs, tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        f"print('ready', flush=True)\n{FOREVER}"
    )
    await jobs.submit(python(code))

    async def ready() -> bool:
        return (await log_of(jobs)).count("ready") == 2

    await until(ready)
    assert len(holders(folder_of(tmp_path))) == 3
    job = await jobs.cancel("job-1", TENANT)
    assert job.state is JobState.CANCELLED and job.failure is not None and job.failure.code == "cancelled"
    await gone(tmp_path)
    assert (await jobs.cancel("job-1", TENANT)).state is JobState.CANCELLED
    assert (await jobs.submit(python(code))).state is JobState.CANCELLED


async def test_a_job_over_its_memory_fails_with_the_code(jobs: LocalJobs) -> None:
    await jobs.submit(python("x = bytearray(10**10)", limits=JobLimits(memory_gib=0.5).model_dump()))
    job = await ended(jobs)
    assert job.state is JobState.FAILED and job.failure is not None and job.failure.code == "job_memory"


async def test_a_job_over_its_time_is_ended(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python(FOREVER, limits=JobLimits(seconds=0.5).model_dump()))
    job = await ended(jobs)
    assert job.state is JobState.FAILED and job.failure is not None and job.failure.code == "job_timeout"
    await gone(tmp_path)


async def test_a_service_has_no_wall_time(jobs: LocalJobs) -> None:
    await jobs.submit(python("import time; time.sleep(1)", service=True, limits=JobLimits(seconds=0.1).model_dump()))
    assert (await ended(jobs)).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    "code",
    [
        "while True: print('x' * 100_000)",
        "open('/dev/full', 'wb', 0).write(b'x')",
        "import sys; sys.exit(74)",
        "open('big', 'wb').truncate(10**9)",
    ],
    ids=["log over the limit", "disk full", "exit code", "file over the limit"],
)
async def test_a_job_that_cannot_write_says_so(jobs: LocalJobs, code: str) -> None:
    await jobs.submit(python(code, limits=JobLimits(file_gib=0.01).model_dump()))
    job = await ended(jobs)
    assert job.state is JobState.FAILED and job.failure is not None and job.failure.code == "storage_full"


async def test_a_failing_job_shows_its_last_line(jobs: LocalJobs) -> None:
    await jobs.submit(python("raise ValueError('no such column')"))
    job = await ended(jobs)
    assert job.failure is not None and job.failure.code == "job_failed" and "no such column" in job.failure.reason
    assert job.exit_code == 1


async def test_processes_that_outlive_the_job_are_ended_with_it(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python(f"import os\nif os.fork() == 0:\n    os.setsid()\n    {FOREVER.replace(chr(10), chr(10) + '    ')}"))
    assert (await ended(jobs)).state is JobState.SUCCEEDED
    await gone(tmp_path)


async def test_a_job_whose_runner_was_killed_is_lost_and_starts_again(jobs: LocalJobs, tmp_path: Path) -> None:
    code = (
        "import os\nopen('count', 'a').write('x')\n"
        "if open('count').read() == 'x':\n    os.fork() == 0 and os.setsid()\n    print('ready', flush=True)\n"
        f"    {FOREVER.replace(chr(10), chr(10) + '    ')}"
    )
    await jobs.submit(python(code))
    await said(jobs, "ready", times=2)
    os.kill(json.loads((folder_of(tmp_path) / "run.json").read_text())["pid"], signal.SIGKILL)

    async def lost() -> bool:
        return (await jobs.get("job-1", TENANT)).state is JobState.LOST

    await until(lost)
    await jobs.submit(python(code))
    assert (await ended(jobs)).state is JobState.SUCCEEDED
    assert (folder_of(tmp_path) / "count").read_text() == "xx"
    await gone(tmp_path)
    assert "started again" in await log_of(jobs)


async def test_a_lost_job_can_be_cancelled(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python(FOREVER))
    assert await asyncio.to_thread(stop_all, tmp_path / "jobs") == 1
    assert (await jobs.cancel("job-1", TENANT)).state is JobState.CANCELLED


async def test_stop_all_leaves_no_process_and_loses_every_live_job(jobs: LocalJobs, tmp_path: Path) -> None:
    stubborn = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{FOREVER}"
    await jobs.submit(python(stubborn, "job-1"))
    await jobs.submit(python(FOREVER, "job-2", service=True))
    await jobs.submit(python("pass", "job-3"))
    await ended(jobs, "job-3")
    began = time.monotonic()
    assert await asyncio.to_thread(stop_all, tmp_path / "jobs") == 2
    assert time.monotonic() - began < 20  # its bound is 4 s, and the machine may be busy
    states = {job.id: job.state for job in await jobs.list(TENANT)}
    assert states == {"job-1": JobState.LOST, "job-2": JobState.LOST, "job-3": JobState.SUCCEEDED}
    await gone(tmp_path, "job-1")
    await gone(tmp_path, "job-2")


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".", "..", "x" * 200, "a\n"])
async def test_names_that_could_leave_the_folder_are_refused(jobs: LocalJobs, tmp_path: Path, name: str) -> None:
    for fields in ({"id": name}, {"tenant": name}, {"inputs": {name: ""}}, {"inputs": {"spec.json": ""}}):
        with pytest.raises(InvalidInput):
            await jobs.submit(python("pass", **fields))
    with pytest.raises(NotFound):
        await jobs.get(name, TENANT)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "jobs"])


async def test_another_tenants_job_is_not_found(jobs: LocalJobs) -> None:
    await jobs.submit(python("pass"))
    for ask in (jobs.get, jobs.logs, jobs.cancel):
        with pytest.raises(NotFound):
            await ask("job-1", "other")
    with pytest.raises(NotFound):
        await jobs.result("job-1", "other", "result.json")
    assert await jobs.list("other") == []
    # The same id is free for another tenant, and says nothing about this one.
    await jobs.submit(python("pass").model_copy(update={"tenant": "other"}))
    assert len(await jobs.list()) == 2


async def test_what_cannot_run_is_refused_before_anything_is_written(jobs: LocalJobs, tmp_path: Path) -> None:
    for argv in ([], ["no-such-program"]):
        with pytest.raises(InvalidInput):
            await jobs.submit(JobSpec(id="job-1", tenant=TENANT, name="x", argv=argv))
    assert not (tmp_path / "jobs").exists()


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file where the folder should be")
    with pytest.raises(StorageFull):
        await LocalJobs(tmp_path / "jobs").submit(python("pass"))


async def test_the_specification_is_private_and_leaves_out_the_inputs(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python("pass", inputs={".token": "s3cret"}))
    spec = folder_of(tmp_path) / "spec.json"
    assert spec.stat().st_mode & 0o777 == 0o600 and "s3cret" not in spec.read_text()
    assert await jobs.result("job-1", TENANT, ".token") is None


async def test_jobs_that_end_at_once_are_seen_to_end(jobs: LocalJobs) -> None:
    names = [f"job-{number}" for number in range(10)]
    for name in names:
        await jobs.submit(JobSpec(id=name, tenant=TENANT, name="quick", argv=["/bin/true"]))
    states = [(await ended(jobs, name)).state for name in names]
    assert set(states) == {JobState.SUCCEEDED}
