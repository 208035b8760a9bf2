"""Jobs that behave badly, at full size on this host: each is told in words, contained while it lasts, and nothing of it is left."""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.checks import Check
from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec, JobState
from factory_infra.iaas.jobs.providers.cage import Cages, hierarchies
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.iaas.jobs.providers.verdict import LOG_BYTES_MAX, PROCESSES_A_SLOT

TENANT = "vision"
GIB, MIB = 1024**3, 1024**2
WAIT_SECONDS = 180.0
FOREVER = "import time\nwhile True: time.sleep(0.2)"
LOGS = (
    "import sys\n"
    "block = ('x' * 999 + '\\n') * 1000\n"
    "for number in range(10_000):\n"  # 10 GB
    "    sys.stdout.write(block)\n"
    "open('all-written', 'w')"
)
FILE = "block = b'x' * 10**6\nwith open('big', 'wb') as file:\n    for _ in range(10_000): file.write(block)\n"
BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
MANY = "import os, time\nfor _ in range(1500):\n    try:\n        if os.fork() == 0: time.sleep(600)\n    except OSError: break\n" + FOREVER
EATER = f"kept = []\nwhile True: kept.append(bytearray(b'x' * {16 * MIB}))"
EATERS = (
    f"import os, time\nfor _ in range(7):\n    if os.fork() == 0: break\nkept = [bytearray(b'x' * {MIB}) for _ in range(200)]\n" + FOREVER
)
DEAF = (
    "import os, signal\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "for _ in range(5):\n"
    "    if os.fork() == 0:\n"
    "        os.setsid()\n"
    "        if os.fork(): os._exit(0)\n"
    "        break\n"
    "print('ready', flush=True)\n" + FOREVER
)


@dataclass
class Peak:
    """The most that was seen of one job while it ran."""

    processes: int = 0
    disk_bytes: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True)
class Case:
    """A bad job: the code with which it ends, and what it may have reached at most."""

    name: str
    code: str
    expected: str
    contained: Callable[[Peak], bool]
    goal: str = ""
    groups: bool = True


CASES = (
    Case("10 GB of logs", LOGS, "storage_full", lambda peak: peak.disk_bytes <= 3 * GIB),
    Case("a file of 10 GB", FILE, "storage_full", lambda peak: peak.disk_bytes <= 3 * GIB),
    Case("all memory eaten by one process", EATER, "job_memory", lambda peak: peak.memory_bytes <= 1.1 * GIB),
    Case("all memory eaten by eight processes", EATERS, "job_memory", lambda peak: peak.memory_bytes <= 1.2 * GIB),
)
CAGED = (
    Case("a fork bomb", BOMB, "job_processes", lambda peak: peak.processes <= PROCESSES_A_SLOT + 2),
    Case("1,500 processes", MANY, "job_processes", lambda peak: peak.processes <= PROCESSES_A_SLOT + 2),
    Case(
        "1,500 processes, control groups off",
        MANY,
        "job_processes",
        lambda peak: peak.processes > PROCESSES_A_SLOT,
        "the control: more than the bound before it is seen",
        groups=False,
    ),
)


class BadJobs:
    """Runs each bad job beside a good one, and looks at what is left."""

    def __init__(self, jobs_dir: Path) -> None:
        self._dir = jobs_dir
        self._jobs = LocalJobs(jobs_dir)
        self._bare = LocalJobs(jobs_dir, groups=False)
        self.checks: list[Check] = []

    async def play(self) -> list[Check]:
        """All of them, and the good one at the end."""
        good = await self._start("good", "import time\nfor number in range(40):\n    print(number, flush=True)\n    time.sleep(0.05)")
        for case in CASES:
            await self._ends(case)
        if groups_here(self._dir):
            for case in CAGED:
                await self._ends(case)
        else:
            reason = "this host gives no control groups: not tried, a bomb would reach the whole host"
            self.checks.append(Check("a fork bomb", reason, "a host with control groups", held=False))
        await self._deaf()
        await self._good(good)
        return self.checks

    async def _start(self, job_id: str, code: str, *, groups: bool = True) -> str:
        limits = JobLimits(memory_gib=1.0, seconds=WAIT_SECONDS)
        argv = [sys.executable, "-IS", "-c", code]
        jobs = self._jobs if groups else self._bare
        return (await jobs.submit(JobSpec(id=job_id, tenant=TENANT, name=job_id, argv=argv, limits=limits))).id

    async def _ends(self, case: Case) -> None:
        """A job that is ended by us: told by its code, within its bounds, nothing left."""
        began, peak = time.monotonic(), Peak()
        job_id = await self._start(f"bad-{len(self.checks)}", case.code, groups=case.groups)
        job = await self._watched(job_id, peak)
        seconds, left = time.monotonic() - began, await self._left(job_id)
        log_bytes = (self._folder(job_id) / "log.txt").stat().st_size
        told = job.failure.reason if job.failure else "nothing was told"
        figure = (
            f"{job.failure.code if job.failure else job.state}: {told} {seconds:.1f} s; seen at most {peak.processes} processes, "
            f"{peak.memory_bytes / MIB:.0f} MiB, {peak.disk_bytes / MIB:.0f} MiB on disk; log {log_bytes / MIB:.0f} MiB; left: {left}"
        )
        right = job.state is JobState.FAILED and job.failure is not None and job.failure.code == case.expected
        held = right and case.contained(peak) and left == NOTHING and log_bytes <= LOG_BYTES_MAX + 1000
        self.checks.append(Check(case.name, figure, case.goal or f"{case.expected}, contained, nothing left", held))

    async def _watched(self, job_id: str, peak: Peak) -> Job:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (job := await self._jobs.get(job_id, TENANT)).state.final:
            assert time.monotonic() < deadline, f"{job_id} did not end"
            found = await asyncio.to_thread(holders, self._folder(job_id))
            peak.processes = max(peak.processes, len(found))
            peak.memory_bytes = max(peak.memory_bytes, proportional(found))
            peak.disk_bytes = max(peak.disk_bytes, size_of(self._folder(job_id)))
            await asyncio.sleep(0.02)
        return job

    async def _deaf(self) -> None:
        job_id = await self._start("deaf", DEAF)
        await until(lambda: self._said(job_id, "ready", 6))
        processes = len(holders(self._folder(job_id)))
        began = time.monotonic()
        job = await self._jobs.cancel(job_id, TENANT)
        left, seconds = await self._left(job_id), time.monotonic() - began
        figure = f"{job.state}: {processes} processes ended in {seconds:.1f} s; left: {left}"
        held = job.state is JobState.CANCELLED and left == NOTHING and seconds < 15
        self.checks.append(Check("SIGTERM ignored, daemons forked", figure, "cancelled below 15 s, nothing left", held))

    async def _good(self, job_id: str) -> None:
        job = await self._watched(job_id, Peak())
        lines = len((await self._jobs.logs(job_id, TENANT)).text.split())
        figure = f"{job.state}, {lines} lines"
        self.checks.append(Check("a good job beside them", figure, "succeeded, 40 lines", (job.state, lines) == (JobState.SUCCEEDED, 40)))

    async def _said(self, job_id: str, word: str, times: int) -> bool:
        return (await self._jobs.logs(job_id, TENANT)).text.count(word) >= times

    async def _left(self, job_id: str) -> str:
        """What is left of a job, its runner given the moment that it needs to go."""
        folder, deadline = self._folder(job_id), time.monotonic() + 10
        while (found := left_of(folder)) != NOTHING and time.monotonic() < deadline:  # noqa: ASYNC110 (the kernel tells, not an event)
            await asyncio.sleep(0.1)
        return found

    def _folder(self, job_id: str) -> Path:
        return self._dir / TENANT / job_id


NOTHING = "0 processes, 0 control groups"


def groups_here(jobs_dir: Path) -> bool:
    """Whether this host lets us bound processes in groups of our own."""
    jobs_dir.mkdir(parents=True, exist_ok=True)
    cages = Cages(JobFolder(jobs_dir), hierarchies())
    cages.remove()
    (jobs_dir / "groups.json").unlink()
    return "pids" in cages.told


def holders(folder: Path) -> list[psutil.Process]:
    """Every process that carries the job's folder in its environment or its arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINESHAFT_JOB_DIR") == str(folder) or str(folder) in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def proportional(processes: list[psutil.Process]) -> int:
    """The memory of a few processes, shared pages divided among them; of many it would take too long."""
    total = 0
    for process in processes if len(processes) < 20 else []:
        try:
            total += int(process.memory_full_info().pss)
        except psutil.Error:
            continue
    return total


def left_of(folder: Path) -> str:
    """What is left of a job, in words."""
    return f"{len(holders(folder))} processes, {groups_left(folder)} control groups"


def groups_left(folder: Path) -> int:
    """How many control groups of a job are still there."""
    paths = json.loads((folder / "groups.json").read_text())["paths"]
    return sum(Path(path).exists() for path in paths)


def size_of(folder: Path) -> int:
    """What a job's files take on the disk."""
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


async def until(ask: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition. Raises AssertionError."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await ask():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.05)


def checks() -> list[Check]:
    """Needs no stack; about a minute and 3 GiB of disk for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        jobs_dir = Path(folder) / "jobs"
        try:
            return asyncio.run(BadJobs(jobs_dir).play())
        finally:
            stop_all(jobs_dir)
