"""What one tenant can try on another's job in a Slurm cluster, tried: with the attacker's own Unix account, and through our own door."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from factory_infra.errors import LineshaftError, NotFound
from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands
from factory_infra.foundation.pools.slurm_accounts import account_name
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.isolation.models import Attempt, Door
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs

LIMITS = JobLimits(memory_gib=0.25, file_gib=0.01, seconds=120.0)
BAIT_FILE = "bait.txt"
LED = "led.txt"
HIDDEN = "Slurm shows no such job (PrivateData)"


@dataclass(frozen=True)
class Bait:
    """A job of the victim that is there to be attacked."""

    job_id: str
    number: str
    folder: Path
    word: str
    account: str


@dataclass(frozen=True)
class Try:
    """One thing that the attacker's account does with Slurm's programs or a shell's.

    `shows`: it went through when this is in its answer; else when it ends with code 0. `undo`: what takes back what went through.
    """

    door: Door
    what: str
    argv: tuple[str, ...]
    shows: str = ""
    undo: str = ""


class Attack:
    """Attacks one pool.

    Args:
        pool: whose walls.
        jobs: its jobs.
        commands: how programs are run.
    """

    def __init__(self, pool: SlurmPool, jobs: SlurmJobs, commands: SlurmCommands) -> None:
        self._pool = pool
        self._jobs = jobs
        self._commands = commands

    async def run(self, attacker: str, victim: str) -> list[Attempt]:
        """Submit a job of each, try everything, and take both jobs back."""
        name, word = f"audit-{secrets.token_hex(6)}", f"bait-{secrets.token_hex(8)}"
        bait_job = await self._submit(f"{name}-bait", victim, {BAIT_FILE: word})
        own_job = await self._submit(f"{name}-attack", attacker, {})
        try:
            job = await self._jobs.get(bait_job, victim)
            bait = Bait(bait_job, job.engine_id, self._folder(victim, bait_job), word, account_name(self._pool, victim))
            found = [await asyncio.to_thread(self._try, each, attacker, bait) for each in tries(bait)]
            return [*found, await self._linked(attacker, own_job, bait), *await self._door(attacker, bait)]
        finally:
            await self._jobs.cancel(own_job, attacker)
            await self._jobs.cancel(bait_job, victim)

    async def _submit(self, job_id: str, tenant: str, inputs: dict[str, str]) -> str:
        spec = JobSpec(
            id=job_id, tenant=tenant, name="isolation audit", argv=["sleep", "100"], inputs=inputs, limits=LIMITS, pool=self._pool.name
        )
        return (await self._jobs.submit(spec)).id

    def _folder(self, tenant: str, job_id: str) -> Path:
        return self._pool.work_dir / self._pool.name / "jobs" / tenant / job_id

    def _try(self, each: Try, attacker: str, bait: Bait) -> Attempt:
        said = self._as(attacker, each.argv)
        through = each.shows in said.out if each.shows else said.code == 0
        if through and each.undo:
            self._commands.ask(Ask([each.undo, said.out.strip().splitlines()[-1].partition(";")[0]]))
        by = "" if through else (said.err.strip() and said.words) or HIDDEN
        where = "slurm" if each.argv[0] in {"squeue", "sacct", "scontrol", "scancel", "sbatch", "sacctmgr", "srun"} else "host"
        return Attempt(door=each.door, through=where, tried=each.what, refused=not through, by=by)

    def _as(self, tenant: str, argv: tuple[str, ...]) -> Said:
        return self._commands.ask(Ask(argv, user=self._pool.users.get(tenant, "")))

    async def _linked(self, attacker: str, own_job: str, bait: Bait) -> Attempt:
        """Leave a link to the victim's file as an own result, and have the factory read it."""
        link = ("ln", "-sf", str(bait.folder / BAIT_FILE), str(self._folder(attacker, own_job) / LED))
        await asyncio.to_thread(self._as, attacker, link)
        led = await self._jobs.result(own_job, attacker, LED)
        through = led is not None and bait.word in led
        what = "have the factory read the other's file through a link left as an own result"
        by = "" if through else "results are never read through a link"
        return Attempt(door="use_data", through="host", tried=what, refused=not through, by=by)

    async def _door(self, attacker: str, bait: Bait) -> list[Attempt]:
        """Ask for the victim's job by its id through our own door."""
        asks: tuple[tuple[Door, str, Callable[[], Awaitable[object]]], ...] = (
            ("see", "ask for the job's state", lambda: self._jobs.get(bait.job_id, attacker)),
            ("read_logs", "ask for the job's log", lambda: self._jobs.logs(bait.job_id, attacker)),
            ("use_data", "ask for the job's result", lambda: self._jobs.result(bait.job_id, attacker, BAIT_FILE)),
            ("stop", "cancel the job", lambda: self._jobs.cancel(bait.job_id, attacker)),
        )
        found = []
        for door, what, ask in asks:
            try:
                await ask()
                found.append(Attempt(door=door, through="jobs", tried=what, refused=False))
            except NotFound as error:
                found.append(Attempt(door=door, through="jobs", tried=what, refused=True, by=error.reason))
            except LineshaftError as error:
                found.append(Attempt(door=door, through="jobs", tried=what, refused=False, by=error.reason))
        return found


def tries(bait: Bait) -> list[Try]:
    """Everything that is tried with the attacker's own account. What stops the job comes last."""
    job, folder = bait.number, bait.folder
    spend = ("sbatch", "--parsable", "--hold", f"--account={bait.account}", "--chdir=/", "--output=/dev/null", "--mem=1M", "--wrap=true")
    describe = ("sacctmgr", "--immediate", "modify", "account", "where", f"name={bait.account}", "set", "description=lineshaft")
    return [
        Try("see", "find the job in the queue", ("squeue", "--noheader", "--format=%i", f"--jobs={job}"), shows=job),
        Try("see", "find the job in the accounts", ("sacct", "--noheader", "--allusers", "--format=JobID", f"--jobs={job}"), shows=job),
        Try("see", "show the job", ("scontrol", "show", "job", job), shows=f"JobId={job}"),
        Try("see", "read the job's script", ("scontrol", "write", "batch_script", job, "-"), shows="#!"),
        Try("see", "list the job's folder", ("ls", str(folder))),
        Try("read_logs", "read the log's file", ("cat", str(folder / "log.txt"))),
        Try("use_data", "read the job's file", ("cat", str(folder / BAIT_FILE)), shows=bait.word),
        Try("use_data", "list the job's checkpoints", ("ls", str(folder / "checkpoints"))),
        Try("use_data", "write into the job's folder", ("touch", str(folder / "checkpoints" / "foreign"))),
        Try("use_data", "read our records of the team's jobs", ("ls", str(folder.parents[2] / "records"))),
        Try("use_data", "run a program inside the job", ("srun", f"--jobid={job}", "--overlap", "--immediate=5", "--chdir=/", "true")),
        Try("spend", "submit under the team's account", spend, undo="scancel"),
        Try("spend", "change the team's account", describe),
        Try("stop", "hold the job", ("scontrol", "hold", job)),
        Try("stop", "shorten the job", ("scontrol", "update", f"JobId={job}", "TimeLimit=1")),
        Try("stop", "requeue the job", ("scontrol", "requeue", job)),
        Try("stop", "cancel the job", ("scancel", job)),
    ]
