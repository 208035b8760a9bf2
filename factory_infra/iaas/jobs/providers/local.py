"""Jobs as processes of this machine: one folder a job, one detached runner beside each process."""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from factory_infra.errors import EffectFailed, InvalidInput, NotFound, StorageFull
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.programs import python_environment
from factory_infra.iaas.jobs.providers.folder import OWN_FILES, JobFolder, hold
from factory_infra.iaas.jobs.providers.reading import read_job, read_log, read_result, read_tail
from factory_infra.iaas.jobs.providers.runner import SEARCH_PATH
from factory_infra.iaas.jobs.providers.signals import cancel_runner, kill_runner, runner_known, tell, wait_for

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
FILE = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CANCEL_SECONDS = 8.0
RUNNER = "factory_infra.iaas.jobs.providers.runner"
START_SECONDS = 20.0
STOP_SECONDS = 2.0
STOP_START_SECONDS = 1.0


class LocalJobs:
    """Runs jobs on this machine; they outlive this process, and several processes may ask at once.

    Args:
        jobs_dir: where the folders lie, one for each tenant and in it one for each job.
    """

    def __init__(self, jobs_dir: Path) -> None:
        self._jobs_dir = jobs_dir.absolute()

    async def submit(self, spec: JobSpec) -> Job:
        """Start the job unless one of this id exists already; a lost one is started again."""
        return await asyncio.to_thread(self._submit, spec)

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state."""
        return await asyncio.to_thread(lambda: read_job(self._find(job_id, tenant)))

    async def list(self, tenant: str | None = None) -> list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        return await asyncio.to_thread(list_jobs, self._jobs_dir, tenant)

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return a piece of the log from a byte offset; a character is never cut in two."""
        return await asyncio.to_thread(lambda: read_log(self._find(job_id, tenant), max(offset, 0), max(limit, 4)))

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the log's end, at most so many bytes."""
        return await asyncio.to_thread(lambda: read_tail(self._find(job_id, tenant), max(limit, 1)))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started."""
        return await asyncio.to_thread(lambda: cancel(self._find(job_id, tenant)))

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job left; files whose name begins with a dot are the job's own."""
        check(FILE, name, "A result's name")
        file = self._find(job_id, tenant).path / name
        return None if name in OWN_FILES or name.startswith(".") else await asyncio.to_thread(read_result, file)

    def _find(self, job_id: str, tenant: str) -> JobFolder:
        if NAME.fullmatch(job_id) and NAME.fullmatch(tenant):
            folder = JobFolder(self._jobs_dir / tenant / job_id)
            if folder.spec.exists():
                return folder
        raise NotFound(f"There is no job {job_id[:128]!r}.", remedy="List the jobs to see those that exist.", code="job_unknown")

    def _submit(self, spec: JobSpec) -> Job:
        check_spec(spec)
        folder = JobFolder(self._jobs_dir / spec.tenant / spec.id)
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder.submitting():
                again = folder.spec.exists()
                if not again or read_job(folder).state is JobState.LOST:
                    start(folder, spec, again=again)
        except OSError as error:
            raise StorageFull(
                f"The folder of job {spec.id} cannot be written: {error.strerror}.", remedy="Free space on the disk that holds the jobs."
            ) from error
        return read_job(folder)


def list_jobs(jobs_dir: Path, tenant: str | None) -> list[Job]:
    """Read every job of a tenant, or of all, newest first."""
    if tenant is not None and not NAME.fullmatch(tenant):
        return []
    specs = jobs_dir.glob(f"{tenant or '*'}/*/spec.json")
    newest_first = sorted(specs, key=lambda spec: spec.stat().st_mtime_ns, reverse=True)
    return [read_job(JobFolder(spec.parent)) for spec in newest_first]


def check(pattern: re.Pattern[str], value: str, what: str) -> None:
    """Raise InvalidInput unless the whole value matches: what passes cannot leave its folder."""
    if not pattern.fullmatch(value):
        raise InvalidInput(
            f"{what} is not valid: {value[:80]!r}.", remedy="Use letters, digits, '.', '_' and '-', at most 128.", code="name_invalid"
        )


def check_spec(spec: JobSpec) -> None:
    """Raise InvalidInput for a specification that cannot be run."""
    check(NAME, spec.id, "The job's id")
    check(NAME, spec.tenant, "The tenant's name")
    for name in spec.inputs:
        check(FILE, name, "An input's name")
        if name in OWN_FILES:
            raise InvalidInput(
                f"The input {name} has a name that the runner keeps for itself.", remedy="Name it otherwise.", code="name_invalid"
            )
    if not spec.argv or shutil.which(spec.argv[0], path=SEARCH_PATH) is None:
        program = spec.argv[0] if spec.argv else ""
        raise InvalidInput(
            f"Job {spec.id} names no program that exists: {program!r}.", remedy="Give an argument vector.", code="program_unknown"
        )


def prepare(folder: JobFolder, spec: JobSpec, *, again: bool) -> None:
    """Write inputs first and the specification last: a folder without a specification is no job."""
    for leftover in (folder.run, folder.exit, folder.progress):
        leftover.unlink(missing_ok=True)
    folder.tmp.mkdir(mode=0o700, exist_ok=True)
    folder.reserve_exit()
    with folder.log.open("a", encoding="utf-8") as log:
        if again:
            log.write("-- started again: the process before was lost --\n")
    folder.log.chmod(0o600)
    for name, text in spec.inputs.items():
        folder.write(folder.path / name, text)
    folder.write(folder.spec, spec.model_dump_json(exclude={"inputs"}))


def start(folder: JobFolder, spec: JobSpec, *, again: bool) -> None:
    """Start the runner with the lock already held, so that at no moment the job looks lost. Raises EffectFailed."""
    with hold(folder.lock) as descriptor:
        prepare(folder, spec, again=again)
        argv = [sys.executable, "-P", "-m", RUNNER, str(folder.path), str(descriptor)]
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                argv + ["--again"] * again,
                cwd=folder.path,
                env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8", **python_environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(descriptor,),
            )
        if process.wait(START_SECONDS) != 0:
            raise EffectFailed("The job's runner could not be started.", remedy="Read the job's log.", code="runner_failed")


def cancel(folder: JobFolder) -> Job:
    """Ask the runner to end the tree and wait for its record; write the record of a job that has no runner any more."""
    with folder.submitting():
        job = read_job(folder)
        if job.state.final and job.state is not JobState.LOST:
            return job
        folder.cancel.touch(mode=0o600)
        if not cancel_runner(folder, CANCEL_SECONDS):
            raise EffectFailed(f"Job {job.id} does not end.", remedy="Look at its processes on this machine.", code="job_stuck")
        if not folder.exit.exists():
            failure = {"code": "cancelled", "reason": "The job was cancelled.", "remedy": ""}
            started = job.started_at.isoformat() if job.started_at else None
            now = datetime.now().astimezone().isoformat()
            folder.write_exit({"exit_code": None, "signal": None, "started_at": started, "finished_at": now, "failure": failure})
        return read_job(folder)


def stop_all(jobs_dir: Path) -> int:
    """End every live job and service of this folder within 4 s without an exit record, so that they are lost and start again later.

    Returns how many were live. For the moment when the whole stack goes down.
    """
    folders = [JobFolder(spec.parent) for spec in jobs_dir.absolute().glob("*/*/spec.json")]
    # A runner that has written its record is on its way out, and has nothing left to end.
    live = [folder for folder in folders if folder.alive() and not folder.exit.exists()]
    wait_for(lambda: all(runner_known(folder) for folder in live), STOP_START_SECONDS)
    asked = [folder for folder in live if tell(folder, signal.SIGUSR1)]
    wait_for(lambda: not any(folder.alive() for folder in asked), STOP_SECONDS)
    for folder in live:
        if folder.alive():
            kill_runner(folder)
    return len(live)
