"""Jobs in a partition of a Slurm cluster. They outlive this process, and several processes may ask at once."""

import asyncio
import builtins
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

from factory_infra.errors import Conflict, EffectFailed, InvalidInput, LineshaftError, NotFound, StorageFull, Unavailable
from factory_infra.file_locks import hold
from factory_infra.foundation.pools.slurm import SlurmCommands
from factory_infra.foundation.pools.slurm_accounts import SlurmAccounts
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import Job, JobFailure, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.providers.slurm_commands import CommandEngine
from factory_infra.iaas.jobs.providers.slurm_engine import Engine, Order
from factory_infra.iaas.jobs.providers.slurm_files import KEPT_FILES, SlurmFiles, Submission
from factory_infra.iaas.jobs.providers.slurm_ledger import Place, SlurmLedger, engine_name
from factory_infra.iaas.jobs.providers.slurm_logs import read_log, read_result, read_tail
from factory_infra.iaas.jobs.providers.slurm_orders import FILE, check, check_spec, order_of
from factory_infra.iaas.jobs.providers.slurm_reading import dependency_failed, failure_of
from factory_infra.iaas.jobs.providers.slurm_script import script_of, step_of
from factory_infra.settings import Settings

GRACE_SECONDS = 5.0
END_SECONDS = 45.0
"""Slurm itself waits KillWait, 30 s by default, before it kills what was told to end."""
POLL_SECONDS = 0.1
VOID_MAX = 200


class SlurmJobs:
    """Runs jobs through Slurm: one folder a job on a file system that all nodes see, and one batch job beside it.

    Args:
        pool: the partition, the account and the folder.
        settings: of the installation.
        engine: how Slurm is asked; its command line if None.
    """

    def __init__(self, pool: SlurmPool, settings: Settings, engine: Engine | None = None) -> None:
        self._pool = pool
        commands = SlurmCommands(pool)
        self._engine = engine or CommandEngine(pool, commands)
        self._accounts = SlurmAccounts(pool, commands)
        self._ledger = SlurmLedger(pool, self._engine)

    async def submit(self, spec: JobSpec) -> Job:
        """Hand the job to Slurm unless one of this id exists already; a lost one is handed over again."""
        return await asyncio.to_thread(self._submit, spec)

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state. Raises Unavailable when Slurm does not answer."""
        return await asyncio.to_thread(lambda: self._ledger.job(self._ledger.find(job_id, tenant)))

    async def list(self, tenant: str | None = None) -> list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        return await asyncio.to_thread(lambda: self._ledger.jobs(self._ledger.all(tenant)))

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return a piece of the log from a byte offset; a character is never cut in two."""
        return await asyncio.to_thread(self._log, job_id, tenant, max(offset, 0), max(limit, 4))

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the log's end, at most so many bytes."""
        return await asyncio.to_thread(lambda: read_tail(self._ledger.find(job_id, tenant), max(limit, 1)))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started, wherever it runs."""
        return await asyncio.to_thread(self._cancel, job_id, tenant)

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job left; files whose name begins with a dot are the job's own."""
        check(FILE, name, "A result's name")
        place = await asyncio.to_thread(self._ledger.find, job_id, tenant)
        return None if name in KEPT_FILES or name.startswith(".") else await asyncio.to_thread(read_result, place, name)

    async def retry(self, job_id: str, tenant: str) -> Job:
        """Hand a job that did not succeed over again, under its id, with its checkpoints. Raises Conflict while it runs."""
        return await asyncio.to_thread(self._retry, job_id, tenant)

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> builtins.list[Job]:
        """Return a page of the tasks of an array."""
        return await asyncio.to_thread(self._tasks, job_id, tenant, max(limit, 0), max(offset, 0))

    def _submit(self, spec: JobSpec) -> Job:
        check_spec(spec)
        files = self._ledger.files(spec.tenant, spec.id)
        try:
            files.enter()
            with hold(files.lock) as descriptor:
                return self._submit_once(files, spec, descriptor)
        except OSError as error:
            raise StorageFull(
                f"The folder of job {spec.id} cannot be written (pool '{self._pool.name}'): {error.strerror}.",
                remedy=f"Free space below {self._pool.work_dir}, or let this service write there.",
            ) from error

    def _submit_once(self, files: SlurmFiles, spec: JobSpec, descriptor: int) -> Job:
        """With the lock held: it is ours until `sbatch` has answered, even if we are killed meanwhile."""
        if not files.spec_file.exists():
            return self._send(files, spec, 1, descriptor)
        job = files.final() or self._found(files)
        if job is not None and job.state is not JobState.LOST:
            return job
        submission = files.submitted()
        return self._send(files, spec, (submission.generation if submission else 0) + 1, descriptor)

    def _found(self, files: SlurmFiles) -> Job | None:
        """How the job stands; None where Slurm was never handed it."""
        submission = self._known(files)
        return self._ledger.job(Place(files)) if submission is not None and submission.engine_id else None

    def _known(self, files: SlurmFiles) -> Submission | None:
        """The newest submission; one whose answer was lost is looked for by its name."""
        submission = files.submitted()
        if submission is not None and not submission.engine_id:
            submission = self._ledger.adopt(files, submission)
            if submission.engine_id:
                files.note(submission)
        return submission

    def _send(self, files: SlurmFiles, spec: JobSpec, generation: int, descriptor: int) -> Job:
        """Write down what is about to be asked, ask, and write down the answer."""
        after = self._before(spec)
        files.prepare(spec)
        files.put("generation", str(generation))
        files.put("step.sh", step_of(spec, self._argv(spec)))
        forgotten = generation > 1 and not files.end.exists()
        files.forget_end()
        files.note(Submission(generation=generation, at=datetime.now(UTC)))
        files.write(files.spec_file, spec.model_dump_json(exclude={"inputs"}))
        if after is None:
            return self._close(files, spec, JobState.FAILED, dependency_failed(spec))
        name = engine_name(spec.tenant, spec.id, generation)
        order = order_of(self._pool, spec, files, script_of(spec, files.work, name, generation), after)
        try:
            if forgotten:
                self._pass_over(order)
            number = self._queue(order, spec.tenant, descriptor)
        except LineshaftError as error:
            if not isinstance(error, Unavailable) and generation == 1:
                files.spec_file.unlink()
            raise
        files.note(Submission(generation=generation, engine_id=number, at=datetime.now(UTC)))
        return self._ledger.job(Place(files))

    def _pass_over(self, order: Order) -> None:
        """Use up numbers that Slurm may give twice: one that died counts on from what it had saved.

        A node on which the forgotten job of a number still ends would be drained if another of the same number came to it.
        """
        highest = self._ledger.highest_number()
        void = replace(order, name=f"{order.name}-void", held=True, array=0, lanes=0, log="/dev/null", after=())
        for _ in range(VOID_MAX):
            number = self._engine.submit(void)
            self._engine.end(number, "withdraw")
            if int(number) > highest:
                return

    def _queue(self, order: Order, tenant: str, descriptor: int) -> str:
        """Submit; a team that has no account yet gets one."""
        try:
            return self._engine.submit(order, (descriptor,))
        except EffectFailed as error:
            if error.error_code != "account_missing":
                raise
        self._accounts.ensure(tenant)
        return self._engine.submit(order, (descriptor,))

    def _before(self, spec: JobSpec) -> tuple[str, ...] | None:
        """Slurm's numbers of the jobs before this one that have not ended; None where one did not succeed."""
        numbers = []
        for name in spec.after:
            try:
                job = self._ledger.job(Place(self._ledger.find(name, spec.tenant).files))
            except NotFound as error:
                raise InvalidInput(
                    f"There is no job {name[:128]!r} in pool '{self._pool.name}' to wait for.",
                    remedy="Name jobs of the same team and pool.",
                    code="dependency_unknown",
                ) from error
            if job.state.final and job.state is not JobState.SUCCEEDED:
                return None
            if not job.state.final:
                numbers.append(job.engine_id)
        return tuple(number for number in numbers if number)

    def _argv(self, spec: JobSpec) -> builtins.list[str]:
        """The program; our own interpreter becomes the pool's."""
        first, *rest = spec.argv
        return [self._pool.python if self._pool.python and first == sys.executable else first, *rest]

    def _log(self, job_id: str, tenant: str, offset: int, limit: int) -> LogChunk:
        place = self._ledger.find(job_id, tenant)
        # The state is asked before the log is read: what is written between the two belongs to the next piece.
        final = self._ledger.job(place).state.final
        return read_log(place, offset, limit, final=final)

    def _tasks(self, job_id: str, tenant: str, limit: int, offset: int) -> builtins.list[Job]:
        place = self._ledger.find(job_id, tenant)
        count = 0 if place.index is not None else place.files.spec().array
        return self._ledger.tasks(place.files, range(count)[offset : offset + limit]) if count else []

    def _retry(self, job_id: str, tenant: str) -> Job:
        place = self._ledger.find(job_id, tenant)
        if place.index is not None:
            raise InvalidInput(f"{job_id} is one task of an array.", remedy="Retry the array: what succeeded is not run again.")
        files = place.files
        with hold(files.lock) as descriptor:
            job = files.final() or self._found(files)
            if job is not None and (not job.state.final or job.state is JobState.SUCCEEDED):
                raise Conflict(
                    f"Job {job_id} is {job.state.value}.", remedy="Only a job that did not succeed is tried again.", code="job_not_ended"
                )
            submission = files.submitted()
            return self._send(files, files.spec(), (submission.generation if submission else 0) + 1, descriptor)

    def _cancel(self, job_id: str, tenant: str) -> Job:
        place = self._ledger.find(job_id, tenant)
        files = place.files
        with hold(files.lock):
            whole = files.final() or self._found(files)
            job = self._ledger.job(place) if whole is not None else None
            if job is not None and job.state.final and job.state is not JobState.LOST:
                return job
            if job is None or job.state is JobState.LOST:
                return self._taken_back(files)
            files.cancel(place.index)
            files.hurry(place.index)
            return self._end(place, job.engine_id)

    def _taken_back(self, files: SlurmFiles) -> Job:
        """Write the end of a job of which Slurm knows nothing; its script, should it come yet, finds another generation."""
        if files.work.exists():
            files.put("generation", "0")
        return self._close(files, files.spec(), JobState.CANCELLED, failure_of("CANCELLED"))

    def _close(self, files: SlurmFiles, spec: JobSpec, state: JobState, failure: JobFailure) -> Job:
        job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=state, pool=self._pool.name)
        job.failure, job.finished_at = failure, datetime.now(UTC)
        files.write(files.end, job.model_dump_json())
        return job

    def _end(self, place: Place, name: str) -> Job:
        """Take it out of the queue, else ask its processes to end, else kill them."""
        self._engine.end(name, "withdraw")
        if not self._over(place):
            self._engine.end(name, "ask")
        if not self._wait(place, GRACE_SECONDS):
            self._engine.end(name, "kill")
            if not self._wait(place, END_SECONDS):
                raise EffectFailed(f"Job {name} of Slurm does not end.", remedy="Look at its nodes: `sinfo -R`.", code="job_stuck")
        return self._ledger.job(place)

    def _over(self, place: Place) -> bool:
        return self._ledger.job(place).state.final

    def _wait(self, place: Place, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._over(place):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True
