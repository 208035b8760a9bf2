"""Jobs, walls and logs in an emulated Kubernetes: nothing doubles under faults, every reason is in words, every wall is found missing."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from cli.checks import Check
from factory_infra.errors import LineshaftError
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.jobs.providers.kubernetes import KubernetesJobs
from factory_infra.iaas.kubernetes.names import JOB, job_name
from factory_infra.settings import Settings
from tests.contract.kubernetes_walls import WallsHouse
from tests.emulators.kubernetes.store import Refusal
from tests.factory_infra.iaas.jobs.clusters import TEAM, ClusterSite, cluster

PROGRAMS = 60
SECONDS_MAX = 240.0
LOG_MIB = 8
STEPS = (
    "import os, pathlib, time\n"
    "kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')\n"
    "step = int(kept.read_text()) if kept.exists() else 0\n"
    "while step < 12:\n"
    "    step += 1; new = kept.with_name('new'); new.write_text(str(step)); new.replace(kept)\n"
    "    print('step', step, flush=True); time.sleep(0.1)\n"
    "with open(os.environ['LINESHAFT_JOB_DIR'] + '/result.txt', 'w') as file: file.write('done')\n"
)
LINES = f"for number in range({LOG_MIB} * 8192): print(f'{{number:<126}}')"


def checks() -> list[Check]:
    """All rows."""
    return [*asyncio.run(faults()), *asyncio.run(calls()), *asyncio.run(logs()), *asyncio.run(walls())]


async def faults() -> list[Check]:
    """Seeded programs: answers are lost, our worker is killed, pods are taken away, nodes go down, the API is away."""
    async with cluster("jobset") as site:
        began = time.monotonic()
        taking = asyncio.create_task(take_away(site))
        found = await asyncio.gather(*(program(site, seed) for seed in range(PROGRAMS)))
        taking.cancel()
        seconds = time.monotonic() - began
        made = Counter(job["metadata"]["labels"][JOB] for job in site.emulator.store.all("jobs", site.namespace))
        doubled = sum(count > 1 for count in made.values())
        results = [await site.jobs.result(f"fault-{seed}", TEAM, "result.txt") for seed in range(PROGRAMS)]
        good = sum(job.state is JobState.SUCCEEDED for job in found)
        taken = sum(job.attempt - 1 for job in found)
    held = good == PROGRAMS and taken > 0 and results == ["done"] * PROGRAMS
    return [
        Check(
            f"{PROGRAMS} seeded programs of faults: jobs that succeeded", f"{good}, {taken} times taken away, {seconds:.0f} s", "all", held
        ),
        Check("Jobs in the cluster for one id", f"{doubled} doubled of {len(made)}", "0 doubled", doubled == 0 and len(made) == PROGRAMS),
    ]


async def program(site: ClusterSite, seed: int) -> Job:
    """One job and its faults; whoever asks starts anew after each."""
    dice = random.Random(seed)  # noqa: S311 (faults, not secrets)
    spec = site.spec(STEPS, id=f"fault-{seed}")
    if dice.random() < 0.5:
        site.emulator.lose_answer("POST", dice.choice(("/jobs", "/configmaps", "/secrets", "/rolebindings")))
    if dice.random() < 0.3:
        site.emulator.fail("POST", dice.choice(("/jobs", "/secrets")), Refusal(503, "ServiceUnavailable", "away"))
    jobs, deadline = KubernetesJobs(site.pool, Settings()), time.monotonic() + SECONDS_MAX
    job = None
    while time.monotonic() < deadline:
        try:
            job = await jobs.submit(spec)
            if job.state.final and job.state is not JobState.LOST:
                return job
        except LineshaftError:
            jobs = KubernetesJobs(site.pool, Settings())
        if dice.random() < 0.3:
            # Our worker is killed: another one knows only the cluster.
            jobs = KubernetesJobs(site.pool, Settings())
        await asyncio.sleep(0.3)
    raise AssertionError(f"fault-{seed} did not end: {job}")


async def take_away(site: ClusterSite) -> None:
    """Preempt running pods of every second program, each once or twice."""
    left = {job_name(f"fault-{seed}"): 1 + seed % 3 for seed in range(0, PROGRAMS, 2)}
    while True:
        for pod in site.emulator.pods(site.namespace, {}):
            name = pod["metadata"]["labels"].get(JOB, "")
            states = pod["status"].get("containerStatuses") or [{"state": {}}]
            if left.get(name, 0) and "running" in states[0]["state"]:
                left[name] -= 1
                site.emulator.preempt(site.namespace, {JOB: name})
        await asyncio.sleep(0.1)


async def calls() -> list[Check]:
    """How often the API is asked."""
    async with cluster() as site:
        await site.ended(await site.start())
        asked = site.emulator.api.asked
        mine: list[int] = []
        for number in range(3):
            site.emulator.cordon(f"node-{number}")
        before = len(asked)
        waiting = await site.start()
        mine.append(len(asked) - before)
        before = len(asked)
        await site.get(waiting)
        mine.append(len(asked) - before)
        ended = (await site.jobs.cancel(waiting, TEAM)).id
        before = len(asked)
        await site.get(ended)
        mine.append(len(asked) - before)
    submit, look, over = mine
    return [
        Check("requests of a submit", str(submit), "at most 24", submit <= 24),
        Check("requests of a look at a job, and at an ended one", f"{look}, {over}", "at most 6, 1", look <= 6 and over == 1),
    ]


async def logs() -> list[Check]:
    """A long log, in pieces, byte for byte."""
    async with cluster(log_bytes_max=2**30) as site:
        job = await site.start(LINES)
        await site.ended(job)
        offset, read, complete = 0, 0, False
        while not complete:
            chunk = await site.jobs.logs(job, TEAM, offset, limit=2**20)
            offset, read, complete = chunk.next_offset, read + len(chunk.text.encode()), chunk.complete
    return [
        Check(
            f"{LOG_MIB} MiB of log in pieces of 1 MiB",
            f"{read} bytes",
            f"{LOG_MIB * 8192 * 127} bytes",
            read == offset == LOG_MIB * 8192 * 127,
        )
    ]


async def walls() -> list[Check]:
    """The attack with all walls up, and with each taken down."""
    with tempfile.TemporaryDirectory() as folder:
        async with WallsHouse(Path(folder)) as house:
            for tenant in (house.attacker, house.victim):
                await house.walls.ensure(tenant)
            attempts = await house.walls.attack(house.attacker, house.victim)
            through = [each.tried for each in attempts if not each.refused]
            found = 0
            for name in house.removable:
                async with house.without(name) as down:
                    open_doors = [each for each in await down.attack(house.attacker, house.victim) if not each.refused]
                    found += bool(open_doors) or any(wall.state != "up" for wall in await down.check(house.victim))
                for tenant in (house.attacker, house.victim):
                    await house.walls.ensure(tenant)
    return [
        Check(
            "tries of one team on another's in a cluster, refused by name",
            f"{len(attempts) - len(through)} of {len(attempts)}",
            "all",
            not through,
        ),
        Check("walls taken down on purpose and found", f"{found} of {len(house.removable)}", "all", found == len(house.removable)),
    ]
