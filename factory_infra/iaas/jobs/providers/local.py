"""Jobs as processes of this machine: one folder a job, one detached runner beside each process."""

import asyncio
import builtins
import signal
from datetime import datetime
from pathlib import Path
from typing import cast

from factory_infra.errors import Conflict, EffectFailed, InvalidInput, NotFound, StorageFull, Unavailable
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.providers.attempts import forgive
from factory_infra.iaas.jobs.providers.before import code_of
from factory_infra.iaas.jobs.providers.cage import end_left
from factory_infra.iaas.jobs.providers.folder import OWN_FILES, JobFolder
from factory_infra.iaas.jobs.providers.reading import Place, read_job, read_log, read_place, read_result, read_spec, read_tail
from factory_infra.iaas.jobs.providers.signals import cancel_runner, kill_runner, runner_known, tell, wait_for
from factory_infra.iaas.jobs.providers.starting import FILE, NAME, Host, Walls, check, check_spec, start
from factory_infra.iaas.jobs.providers.verdict import LOG_BYTES_MAX
from factory_infra.iaas.jobs.providers.walls_local import Reach, WallOrder, order_of

CANCEL_SECONDS = 8.0
STOP_SECONDS = 2.0
STOP_START_SECONDS = 1.0


class LocalJobs:
    """Runs jobs on this machine; they outlive this process, and several processes may ask at once.

    Args:
        jobs_dir: where the folders lie, one for each tenant and in it one for each job.
        walls: what a job may reach on this host; of the jobs of other tenants nothing where this is left out.
        log_bytes_max: what a job's log may hold before the job is ended.
        groups: control groups where this host lets us make them; off only in the tests that show what they hold.
    """

    def __init__(self, jobs_dir: Path, walls: Walls | None = None, *, log_bytes_max: int = LOG_BYTES_MAX, groups: bool = True) -> None:
        self._jobs_dir = jobs_dir.absolute()
        self._host = Host(walls or self._own_walls, log_bytes_max, groups)

    async def submit(self, spec: JobSpec) -> Job:
        """Start the job unless one of this id exists already; a lost one is started again."""
        return await asyncio.to_thread(self._submit, spec)

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state; `ID.INDEX` is a task of an array."""
        return await asyncio.to_thread(lambda: read_place(self._find(job_id, tenant)))

    async def list(self, tenant: str | None = None) -> list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        return await asyncio.to_thread(list_jobs, self._jobs_dir, tenant)

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return a piece of the log from a byte offset; a character is never cut in two."""
        return await asyncio.to_thread(lambda: read_log(self._find(job_id, tenant), max(offset, 0), max(limit, 4)))

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the log's end, at most so many bytes."""
        return await asyncio.to_thread(lambda: read_tail(self._find(job_id, tenant).folder, max(limit, 1)))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started. Raises InvalidInput `not_offered` for one task of an array."""
        return await asyncio.to_thread(lambda: cancel(self._whole(job_id, tenant)))

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job left; files whose name begins with a dot are the job's own."""
        check(FILE, name, "A result's name")
        file = self._find(job_id, tenant).folder.path / name
        return None if name in OWN_FILES or name.startswith(".") else await asyncio.to_thread(read_result, file)

    async def retry(self, job_id: str, tenant: str) -> Job:
        """Start a job that ended without success again, from its checkpoints; of an array only the tasks that did not succeed."""
        return await asyncio.to_thread(lambda: self._retry(self._whole(job_id, tenant)))

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> builtins.list[Job]:
        """Return a page of the tasks by index; a job that is no array has none."""
        return await asyncio.to_thread(lambda: list_tasks(self._whole(job_id, tenant), max(limit, 0), max(offset, 0)))

    async def walls(self, job_id: str, tenant: str) -> dict[str, str]:
        """Say what holds each wall of a job that has started: memory, processes, cores, files, log."""
        folder = self._whole(job_id, tenant)
        record = await asyncio.to_thread(folder.read, folder.run) or {}
        return cast("dict[str, str]", record.get("walls", {}))

    def _own_walls(self, spec: JobSpec) -> WallOrder:
        return order_of(spec.tenant, Reach(home=self._jobs_dir, jobs_dir=self._jobs_dir))

    def _find(self, job_id: str, tenant: str) -> Place:
        if NAME.fullmatch(job_id) and NAME.fullmatch(tenant):
            folder = JobFolder(self._jobs_dir / tenant / job_id)
            if folder.spec.exists():
                return Place(folder)
            above, _, index = job_id.rpartition(".")
            array = JobFolder(self._jobs_dir / tenant / above) if above else folder
            if index.isdecimal() and array.spec.exists() and int(index) < read_spec(array).array and index == str(int(index)):
                return Place(JobFolder(array.task(int(index))), array, int(index))
        raise NotFound(f"There is no job {job_id[:128]!r}.", remedy="List the jobs to see those that exist.", code="job_unknown")

    def _whole(self, job_id: str, tenant: str) -> JobFolder:
        place = self._find(job_id, tenant)
        if place.array is not None:
            raise InvalidInput(f"{job_id} is a task of an array.", remedy="Ask for the array as a whole.", code="not_offered")
        return place.folder

    def _submit(self, spec: JobSpec) -> Job:
        folder = JobFolder(self._jobs_dir / spec.tenant / spec.id)
        check_spec(spec, folder.path.parent)
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder.submitting() as held:
                if not held:
                    raise busy(spec.id)
                again = folder.spec.exists()
                if not again or read_job(folder).state is JobState.LOST:
                    note = "started again: the process before was lost" if again else ""
                    start(folder, spec, self._host, note)
        except OSError as error:
            raise unwritable(spec.id, error) from error
        return read_job(folder)

    def _retry(self, folder: JobFolder) -> Job:
        with folder.submitting() as held:
            if not held:
                raise busy(folder.path.name)
            job = read_job(folder)
            if not job.state.final or job.state is JobState.SUCCEEDED:
                raise Conflict(f"Job {job.id} is {job.state.value}.", remedy="Only what ended without success is started again.")
            try:
                spec = read_spec(folder)
                check_spec(spec, folder.path.parent)
                folder.cancel.unlink(missing_ok=True)
                forgive(folder)
                reopen_tasks(folder)
                start(folder, spec, self._host, "started again: somebody asked for it")
            except OSError as error:
                raise unwritable(job.id, error) from error
        return read_job(folder)


def unwritable(job_id: str, error: OSError) -> StorageFull:
    """Say that a job's folder takes no files."""
    return StorageFull(
        f"The folder of job {job_id} cannot be written: {error.strerror}.", remedy="Free space on the disk that holds the jobs."
    )


def busy(job_id: str) -> Unavailable:
    """Say that another submit or cancel of the job does not come to its end."""
    return Unavailable(f"Job {job_id} is being started or ended elsewhere.", remedy="Ask again in a moment.", code="job_busy")


def list_jobs(jobs_dir: Path, tenant: str | None) -> list[Job]:
    """Read every job of a tenant, or of all, newest first."""
    if tenant is not None and not NAME.fullmatch(tenant):
        return []
    specs = jobs_dir.glob(f"{tenant or '*'}/*/spec.json")
    newest_first = sorted(specs, key=lambda spec: spec.stat().st_mtime_ns, reverse=True)
    return [read_job(JobFolder(spec.parent)) for spec in newest_first]


def list_tasks(folder: JobFolder, limit: int, offset: int) -> list[Job]:
    """Read a page of an array's tasks."""
    end = min(offset + limit, read_spec(folder).array)
    return [read_place(Place(JobFolder(folder.task(index)), folder, index)) for index in range(offset, end)]


def reopen_tasks(folder: JobFolder) -> None:
    """Let the tasks of an array that did not succeed begin again; those that did keep their end."""
    for record in folder.tasks.glob("*/exit.json"):
        task = JobFolder(record.parent)
        if code_of(task.read(task.exit)):
            forgive(task)
            record.unlink()


def cancel(folder: JobFolder) -> Job:
    """Ask the runner to end the tree and wait for its record; write the record of a job that has no runner any more."""
    with folder.submitting():  # where something is in the way of the lock, the job is ended all the same
        job = read_job(folder)
        if job.state.final and job.state is not JobState.LOST:
            return job
        folder.write(folder.cancel, "")
        if not cancel_runner(folder, CANCEL_SECONDS):
            raise EffectFailed(f"Job {job.id} does not end.", remedy="Look at its processes on this machine.", code="job_stuck")
        if not folder.exit.exists():
            end_left(folder)  # the runner was killed before, and what it started may still be there
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
