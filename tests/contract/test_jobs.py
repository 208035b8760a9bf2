"""What every provider of jobs does alike."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from pydantic import ValidationError

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from tests.contract.houses import FOREVER, Site

BEGAN = "print('began', flush=True)\n"
FAIL = "import sys; sys.exit(3)"
STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if os.fork() == 0: os.setsid()\n"
    f"print('ready', flush=True)\n{FOREVER}"
)
VARIABLES = (
    "import json, os, pathlib\n"
    "names = ['MASTER_ADDR', 'MASTER_PORT', 'NNODES', 'NODE_RANK', 'WORLD_SIZE', 'EXTRA']\n"
    "found = {k: v for k, v in os.environ.items() if k.startswith('LINESHAFT_') or k in names}\n"
    "pathlib.Path(found['LINESHAFT_CHECKPOINT_DIR'], 'kept').write_text('x')\n"
    "pathlib.Path(found['LINESHAFT_JOB_DIR'], 'made').write_text('x')\n"
    "found['input'] = pathlib.Path(found['LINESHAFT_JOB_DIR'], 'in.txt').read_text()\n"
    "print(json.dumps(found))\n"
)
RENDEZVOUS = (
    "import os, socket, time\n"
    "rank, address = int(os.environ['NODE_RANK']), (os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))\n"
    "assert os.environ['NNODES'] == os.environ['WORLD_SIZE'] == '2'\n"
    "if rank == 0:\n"
    "    with socket.create_server(('', address[1])) as door:\n"
    "        door.settimeout(60)\n"
    "        said = door.accept()[0].makefile().readline().strip()\n"
    "        print('rank 0 heard', said, flush=True)\n"
    "else:\n"
    "    deadline = time.monotonic() + 60\n"
    "    while True:\n"
    "        try:\n"
    "            line = socket.create_connection(address, 5)\n"
    "            break\n"
    "        except OSError:\n"
    "            assert time.monotonic() < deadline\n"
    "            time.sleep(0.05)\n"
    "    line.sendall(b'rank 1\\n')\n"
    "    print('rank 1 spoke', flush=True)\n"
)
RESUME = (
    "import os, pathlib, time\n"
    "kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')\n"
    "print('attempt', os.environ['LINESHAFT_ATTEMPT'], 'from', kept.read_text() if kept.exists() else 'the start', flush=True)\n"
    "if not kept.exists():\n"
    "    kept.write_text('step 7')\n"
    "    print('saved', flush=True)\n"
)


async def code_of(ask: Awaitable[object]) -> str:
    """The code with which something is refused."""
    with pytest.raises(LineshaftError) as refused:
        await ask
    assert refused.value.reason and refused.value.remedy, "a refusal names the object and the remedy"
    return refused.value.error_code


async def test_a_job_runs_to_success(site: Site) -> None:
    spec = site.spec("print('done')")
    job = await site.jobs.submit(spec)
    assert (job.id, job.tenant, job.name) == (spec.id, site.tenant, "a contract test")
    job = await site.ended(spec.id)
    assert (job.state, job.exit_code, job.failure, job.attempt, job.waiting) == (JobState.SUCCEEDED, 0, None, 1, None)
    assert job.started_at is not None and job.finished_at is not None and job.started_at <= job.finished_at
    assert job.started_at.tzinfo is not None and job.finished_at.tzinfo is not None
    assert await site.whole_log(spec.id) == "done\n"


async def test_a_job_submitted_twice_is_one(site: Site) -> None:
    spec = site.spec(BEGAN)
    await site.jobs.submit(spec)
    first = await site.ended(spec.id)
    again = await site.jobs.submit(spec)
    assert (again.state, again.started_at) == (JobState.SUCCEEDED, first.started_at)
    assert (await site.whole_log(spec.id)).count("began") == 1


async def test_a_job_submitted_five_times_at_once_is_one(site: Site) -> None:
    spec = site.spec(BEGAN)
    await asyncio.gather(*(site.jobs.submit(spec) for _ in range(5)))
    await site.ended(spec.id)
    assert (await site.whole_log(spec.id)).count("began") == 1
    assert [job.id for job in await site.jobs.list(site.tenant)].count(spec.id) == 1


async def test_a_job_is_found_again_and_never_doubled_when_our_worker_is_killed(site: Site) -> None:
    spec = site.spec(BEGAN + FOREVER)
    await site.jobs.submit(spec)
    await site.said(spec.id, "began")
    began_at = (await site.until_state(spec.id, JobState.RUNNING)).started_at
    await site.house.forget()
    assert (await site.get(spec.id)).state is JobState.RUNNING
    assert (await site.jobs.submit(spec)).started_at == began_at
    assert (await site.log(spec.id)).count("began") == 1
    assert spec.id in [job.id for job in await site.jobs.list(site.tenant)]
    assert (await site.jobs.cancel(spec.id, site.tenant)).state is JobState.CANCELLED


async def test_a_log_is_read_while_the_job_runs(site: Site) -> None:
    job = await site.start("print('first', flush=True)\n" + FOREVER)
    await site.said(job, "first")
    chunk = await site.jobs.logs(job, site.tenant)
    assert chunk.text == "first\n" and not chunk.complete
    rest = await site.jobs.logs(job, site.tenant, chunk.next_offset)
    assert (rest.text, rest.next_offset, rest.complete) == ("", chunk.next_offset, False)
    await site.jobs.cancel(job, site.tenant)


async def test_a_log_in_pieces_never_cuts_a_character(site: Site) -> None:
    text = "é✓😀" * 20 + "\n"
    job = await site.start(f"import sys\nsys.stdout.buffer.write({text!r}.encode())")
    await site.ended(job)
    assert await site.whole_log(job) == text
    offset, read, complete = 0, "", False
    while not complete:
        chunk = await site.jobs.logs(job, site.tenant, offset, limit=5)
        assert len(chunk.text.encode()) <= 5
        assert chunk.next_offset > offset or chunk.complete
        offset, read, complete = chunk.next_offset, read + chunk.text, chunk.complete
    assert read == text and offset == len(text.encode())


async def test_the_end_of_a_log_is_read_by_itself(site: Site) -> None:
    tails = site.tails
    job = await site.start("for number in range(2000): print('line', number)")
    await site.ended(job)
    await site.whole_log(job)
    end = await tails.tail(job, site.tenant, limit=100)
    assert end.endswith("line 1999\n") and end.startswith("line ") and len(end) <= 100


async def test_results_are_read_by_name(site: Site) -> None:
    files = site.files
    job = await site.start("import os\nopen(os.environ['LINESHAFT_JOB_DIR'] + '/result.json', 'w').write('{\"é\": 1}')")
    await site.ended(job)
    assert await files.result(job, site.tenant, "result.json") == '{"é": 1}'
    assert await files.result(job, site.tenant, "absent.json") is None
    with pytest.raises(InvalidInput):
        await files.result(job, site.tenant, "../escape")


async def test_progress_is_seen_while_the_job_runs(site: Site) -> None:
    site.need("progress")
    line = json.dumps({"percent": 40, "stage": "half"})
    job = await site.start(f"import os\nopen(os.environ['LINESHAFT_JOB_DIR'] + '/progress.jsonl', 'a').write({line!r} + '\\n')\n{FOREVER}")

    async def half() -> bool:
        now = await site.get(job)
        return (now.state, now.percent, now.stage) == (JobState.RUNNING, 40.0, "half")

    await site.until(half, "40 percent")
    await site.jobs.cancel(job, site.tenant)


async def test_a_job_gets_its_variables_and_inputs(site: Site) -> None:
    job = await site.start(VARIABLES, environment={"EXTRA": "1"}, inputs={"in.txt": "given"})
    ended = await site.ended(job)
    log = await site.whole_log(job)
    assert ended.state is JobState.SUCCEEDED, log
    found = json.loads(log.splitlines()[-1])
    assert (found["LINESHAFT_JOB_ID"], found["LINESHAFT_ATTEMPT"], found["EXTRA"], found["input"]) == (job, "1", "1", "given")
    assert (found["NNODES"], found["NODE_RANK"], found["WORLD_SIZE"]) == ("1", "0", "1")
    assert found["MASTER_ADDR"] and 0 < int(found["MASTER_PORT"]) < 65536
    assert "LINESHAFT_ARRAY_INDEX" not in found and "LINESHAFT_DATABASE_URL" not in found


async def test_a_job_that_fails_says_how(site: Site) -> None:
    job = await site.start("raise ValueError('no such column')")
    ended = await site.ended(job)
    assert (ended.state, ended.exit_code) == (JobState.FAILED, 1)
    assert ended.failure is not None and ended.failure.code == "job_failed" and ended.failure.reason and ended.failure.remedy
    other = await site.ended(await site.start(FAIL))
    assert other.exit_code == 3 and other.failure is not None and "3" in other.failure.reason
    assert other.finished_at is not None


async def test_a_job_is_cancelled_once_and_stays_so(site: Site) -> None:
    job = await site.start(BEGAN + FOREVER)
    await site.said(job, "began")
    ended = await site.jobs.cancel(job, site.tenant)
    assert ended.state is JobState.CANCELLED and ended.failure is not None and ended.failure.code == "cancelled"
    assert (await site.jobs.cancel(job, site.tenant)).state is JobState.CANCELLED
    assert (await site.jobs.submit(site.spec(BEGAN, id=job))).state is JobState.CANCELLED
    await site.gone(job)
    assert (await site.whole_log(job)).count("began") == 1


async def test_a_job_that_ended_keeps_its_end_when_it_is_cancelled(site: Site) -> None:
    job = await site.start("pass")
    await site.ended(job)
    assert (await site.jobs.cancel(job, site.tenant)).state is JobState.SUCCEEDED


async def test_a_job_that_ignores_the_first_signal_and_forks_is_ended_whole(site: Site) -> None:
    job = await site.start(STUBBORN)
    await site.said(job, "ready", times=2)
    assert (await site.jobs.cancel(job, site.tenant)).state is JobState.CANCELLED
    await site.gone(job)


async def test_another_team_never_sees_a_job(site: Site) -> None:
    job = await site.start("open('result.json', 'w').write('secret')")
    await site.ended(job)
    absent = site.spec("pass").id
    asks: list[Callable[[str], Awaitable[object]]] = [
        lambda name: site.jobs.get(name, site.house.other_tenant),
        lambda name: site.jobs.logs(name, site.house.other_tenant),
        lambda name: site.jobs.cancel(name, site.house.other_tenant),
    ]
    if "results" not in site.house.lacks:
        asks.append(lambda name: site.files.result(name, site.house.other_tenant, "result.json"))
    if "tail" not in site.house.lacks:
        asks.append(lambda name: site.tails.tail(name, site.house.other_tenant))
    if "retry" not in site.house.lacks:
        asks.append(lambda name: site.retries.retry(name, site.house.other_tenant))
    if "arrays" not in site.house.lacks:
        asks.append(lambda name: site.tasks.tasks(name, site.house.other_tenant))
    for ask in asks:
        with pytest.raises(NotFound) as there:
            await ask(job)
        with pytest.raises(NotFound) as nowhere:
            await ask(absent)
        assert str(there.value).replace(job, "") == str(nowhere.value).replace(absent, "")
    assert job not in [each.id for each in await site.jobs.list(site.house.other_tenant)]
    assert (await site.get(job)).state is JobState.SUCCEEDED


async def test_the_same_id_is_free_for_another_team(site: Site) -> None:
    spec = site.spec("print('ours')")
    await site.jobs.submit(spec)
    theirs = site.spec("print('theirs')", id=spec.id, tenant=site.house.other_tenant)
    await site.jobs.submit(theirs)
    await site.ended(spec.id)
    assert await site.whole_log(spec.id) == "ours\n"

    async def ended() -> bool:
        return (await site.jobs.logs(spec.id, site.house.other_tenant)).complete

    await site.until(ended, "the other team's job ended")
    assert (await site.jobs.logs(spec.id, site.house.other_tenant)).text == "theirs\n"


async def test_jobs_are_listed_newest_first(site: Site) -> None:
    names = []
    for _ in range(3):
        names.append(await site.start("pass"))
        await site.ended(names[-1])
    other = site.spec("pass", tenant=site.house.other_tenant)
    await site.jobs.submit(other)
    listed = [job.id for job in await site.jobs.list(site.tenant)]
    assert [name for name in listed if name in names] == names[::-1] and other.id not in listed
    everything = [(job.tenant, job.id) for job in await site.jobs.list()]
    assert {(site.tenant, names[0]), (other.tenant, other.id)} <= set(everything)


async def test_a_job_over_its_time_is_ended(site: Site) -> None:
    site.need("limits")
    job = await site.start(FOREVER, limits={"memory_gib": 0.5, "file_gib": 0.1, "seconds": 1.0})
    ended = await site.ended(job)
    assert ended.state is JobState.FAILED and ended.failure is not None and ended.failure.code == "job_timeout"
    assert ended.failure.reason and ended.failure.remedy
    await site.gone(job)


async def test_a_job_over_its_memory_is_ended(site: Site) -> None:
    site.need("limits")
    code = f"data = [b'x' * 10**6 + bytes([number % 256]) for number in range(4000)]\n{FOREVER}"
    job = await site.start(code, limits={"memory_gib": 0.2, "file_gib": 0.1, "seconds": 600.0})
    ended = await site.ended(job)
    assert ended.state is JobState.FAILED and ended.failure is not None and ended.failure.code == "job_memory"
    assert ended.failure.reason and ended.failure.remedy
    await site.gone(job)


async def test_the_tasks_of_an_array_have_their_index_log_and_end(site: Site) -> None:
    tasks = site.tasks
    code = (
        "import os, sys\n"
        "index = int(os.environ['LINESHAFT_ARRAY_INDEX'])\n"
        "print('task', index, 'of', os.environ['LINESHAFT_ARRAY_COUNT'])\n"
        "sys.exit(3 if index == 1 else 0)"
    )
    job = await site.start(code, array=3)
    ended = await site.ended(job)
    assert ended.state is JobState.FAILED and ended.tasks == {"succeeded": 2, "failed": 1}
    assert ended.failure is not None and ended.failure.code == "job_failed" and "1 of 3" in ended.failure.reason
    found = await tasks.tasks(job, site.tenant)
    assert [(task.id, task.state) for task in found] == [
        (f"{job}.0", JobState.SUCCEEDED),
        (f"{job}.1", JobState.FAILED),
        (f"{job}.2", JobState.SUCCEEDED),
    ]
    assert found[1].exit_code == 3 and found[1].failure is not None and found[1].failure.code == "job_failed"
    assert [task.id for task in await tasks.tasks(job, site.tenant, limit=1, offset=2)] == [f"{job}.2"]
    assert await tasks.tasks(job, site.tenant, limit=10, offset=3) == []
    for index in range(3):
        assert await site.whole_log(f"{job}.{index}") == f"task {index} of 3\n"
    listed = [each.id for each in await site.jobs.list(site.tenant)]
    assert job in listed and f"{job}.0" not in listed
    with pytest.raises(NotFound):
        await site.jobs.logs(f"{job}.3", site.tenant)
    with pytest.raises(NotFound):
        await site.jobs.logs(f"{job}.0", site.house.other_tenant)


async def test_an_array_whose_tasks_succeed_has_succeeded(site: Site) -> None:
    site.need("arrays")
    job = await site.start("pass", array=2)
    ended = await site.ended(job)
    assert (ended.state, ended.failure, ended.tasks) == (JobState.SUCCEEDED, None, {"succeeded": 2})


async def test_cancelling_an_array_cancels_all_its_tasks(site: Site) -> None:
    site.need("arrays")
    job = await site.start(FOREVER, array=4)
    await site.until_state(job, JobState.RUNNING)
    ended = await site.jobs.cancel(job, site.tenant)
    assert (ended.state, ended.tasks) == (JobState.CANCELLED, {"cancelled": 4})
    await site.gone(job)


async def test_a_job_starts_once_those_before_it_succeeded(site: Site) -> None:
    site.need("dependencies")
    before = [await site.start("pass"), await site.start("pass")]
    job = await site.start("pass", after=before)
    ended = await site.ended(job)
    assert ended.state is JobState.SUCCEEDED and ended.started_at is not None
    for name in before:
        finished = (await site.get(name)).finished_at
        assert finished is not None and finished <= ended.started_at
    late = await site.ended(await site.start("pass", after=before))
    assert late.state is JobState.SUCCEEDED


async def test_a_job_waits_in_words_and_fails_with_the_one_before_it(site: Site) -> None:
    site.need("dependencies")
    first = await site.start(FOREVER)
    second = await site.start(BEGAN, after=[first])
    third = await site.start(BEGAN, after=[second])
    waiting = await site.get(second)
    assert waiting.state is JobState.PENDING and waiting.started_at is None
    assert waiting.waiting is not None and first in waiting.waiting.reason and waiting.waiting.code and waiting.waiting.remedy
    await site.jobs.cancel(first, site.tenant)
    for name in (second, third):
        ended = await site.ended(name)
        assert ended.state is JobState.FAILED and ended.failure is not None and ended.failure.code == "dependency_failed"
        assert ended.failure.remedy
        assert "began" not in await site.whole_log(name)


async def test_a_job_that_waits_is_cancelled(site: Site) -> None:
    site.need("dependencies")
    first = await site.start(FOREVER)
    second = await site.start(BEGAN, after=[first])
    assert (await site.jobs.cancel(second, site.tenant)).state is JobState.CANCELLED
    assert (await site.get(first)).state in {JobState.RUNNING, JobState.PENDING}
    await site.jobs.cancel(first, site.tenant)
    assert "began" not in await site.whole_log(second)


async def test_a_job_cannot_wait_for_one_that_is_not_there_or_not_ours(site: Site) -> None:
    site.need("dependencies")
    theirs = site.spec("pass", tenant=site.house.other_tenant)
    await site.jobs.submit(theirs)
    for name in (site.spec("pass").id, theirs.id):
        spec = site.spec("pass", after=[name])
        assert await code_of(site.jobs.submit(spec)) == "dependency_unknown"
        with pytest.raises(NotFound):
            await site.get(spec.id)


async def test_the_nodes_of_a_job_find_each_other(site: Site) -> None:
    site.need("several_nodes")
    job = await site.start(RENDEZVOUS, nodes=2)
    ended = await site.ended(job)
    log = await site.whole_log(job)
    assert ended.state is JobState.SUCCEEDED, log
    assert "rank 0 heard rank 1" in log and "rank 1 spoke" in log
    assert len(ended.nodes) == 2


async def test_a_node_that_fails_ends_the_others(site: Site) -> None:
    site.need("several_nodes")
    job = await site.start(f"import os, sys\nif os.environ['NODE_RANK'] == '1': sys.exit(3)\n{FOREVER}", nodes=2)
    ended = await site.ended(job)
    assert ended.state is JobState.FAILED and ended.failure is not None and ended.failure.code == "job_failed"
    await site.gone(job)


async def test_a_program_that_fails_is_started_again_as_often_as_was_asked(site: Site) -> None:
    site.need("retry")
    code = f"{RESUME}    import sys; sys.exit(3)\n"
    job = await site.start(code, attempts_max=3)
    ended = await site.ended(job)
    log = await site.whole_log(job)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2), log
    assert "attempt 1 from the start" in log and "attempt 2 from step 7" in log
    hopeless = await site.start("import os, sys\nprint('attempt', os.environ['LINESHAFT_ATTEMPT'])\nsys.exit(3)", attempts_max=2)
    ended = await site.ended(hopeless)
    assert (ended.state, ended.exit_code, ended.attempt) == (JobState.FAILED, 3, 2)
    assert (await site.whole_log(hopeless)).count("attempt 3") == 0


async def test_a_preempted_job_goes_on_from_its_checkpoint(site: Site) -> None:
    site.need("preemption")
    job = await site.start(f"{RESUME}    while True: time.sleep(0.2)\n")
    await site.said(job, "saved")
    await site.house.preempt(job)
    ended = await site.ended(job)
    log = await site.whole_log(job)
    assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2), log
    assert "attempt 1 from the start" in log and "attempt 2 from step 7" in log


async def test_a_failed_job_is_tried_again_from_its_checkpoint(site: Site) -> None:
    retries = site.retries
    job = await site.start(f"{RESUME}    import sys; sys.exit(3)\n")
    assert (await site.ended(job)).state is JobState.FAILED
    again = await retries.retry(job, site.tenant)
    assert again.id == job and again.state is not JobState.FAILED
    ended = await site.ended(job)
    assert (ended.state, ended.attempt, ended.failure) == (JobState.SUCCEEDED, 2, None)
    assert "attempt 2 from step 7" in await site.whole_log(job)
    with pytest.raises(Conflict):
        await retries.retry(job, site.tenant)


async def test_a_cancelled_job_is_tried_again_and_a_running_one_is_not(site: Site) -> None:
    retries = site.retries
    job = await site.start(BEGAN + FOREVER)
    await site.said(job, "began")
    with pytest.raises(Conflict):
        await retries.retry(job, site.tenant)
    await site.jobs.cancel(job, site.tenant)
    await retries.retry(job, site.tenant)
    await site.said(job, "began", times=2)
    assert (await site.get(job)).attempt == 2
    await site.jobs.cancel(job, site.tenant)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", "..", "x" * 200, "a\n", "a b"])
async def test_names_that_could_be_mistaken_are_refused(site: Site, name: str) -> None:
    for fields in ({"id": name}, {"tenant": name}, {"inputs": {name: ""}}):
        with pytest.raises(InvalidInput):
            await site.jobs.submit(site.spec("pass", **fields))
    with pytest.raises(NotFound):
        await site.jobs.get(name, site.tenant)


async def test_a_program_that_does_not_exist_is_told(site: Site) -> None:
    with pytest.raises(InvalidInput):
        await site.jobs.submit(site.spec("pass", argv=[]))
    spec = site.spec("pass", argv=["no-such-program"])
    try:
        await site.jobs.submit(spec)
    except InvalidInput as refused:
        assert refused.error_code == "program_unknown" and "no-such-program" in refused.reason
        return
    # Where only the engine's image knows its programs, the job fails in words.
    ended: Job = await site.ended(spec.id)
    assert ended.state is JobState.FAILED and ended.failure is not None
    assert ended.failure.code in {"program_unknown", "job_failed"} and ended.failure.reason and ended.failure.remedy


async def test_counts_that_cannot_be_are_refused(site: Site) -> None:
    for fields in ({"nodes": 0}, {"nodes": -1}, {"array": -1}, {"array": 10_001}, {"attempts_max": 0}, {"after": ["x"] * 101}):
        with pytest.raises(ValidationError):
            site.spec("pass", **fields)


async def test_what_a_provider_lacks_is_refused_by_name(site: Site) -> None:
    asked: dict[str, dict[str, object]] = {"arrays": {"array": 2}, "several_nodes": {"nodes": 2}, "dependencies": {"after": ["x"]}}
    for ability in asked.keys() & site.house.lacks.keys():
        spec: JobSpec = site.spec("pass", **asked[ability])
        assert await code_of(site.jobs.submit(spec)) == "not_offered"
