"""Finding a pool's jobs again and saying how they stand, from our records, the jobs' folders and Slurm."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from factory_infra.errors import NotFound, Unavailable
from factory_infra.file_locks import is_held
from factory_infra.foundation.pools.slurm_accounts import user_of
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm_engine import STATES_WAITING, Engine, Releasing, Row
from factory_infra.iaas.jobs.providers.slurm_files import Exit, SlurmFiles, Submission, Traces
from factory_infra.iaas.jobs.providers.slurm_reading import Facts, array_of, job_of
from factory_infra.iaas.jobs.providers.slurm_words import SUBMITTING

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
INDEX = re.compile(r"0|[1-9][0-9]{0,4}")
LAUNCH_FAILED = "launch failed requeued held"
RELEASES_MAX = 5
CLOCKS_APART = timedelta(hours=1)
"""How far the accounts' clock may be behind ours."""


@dataclass(frozen=True)
class Place:
    """A job, or one task of an array."""

    files: SlurmFiles
    index: int | None = None


def engine_name(tenant: str, job_id: str, generation: int) -> str:
    """What Slurm calls a job: by this it is found again. A later generation of the same job has another name."""
    return f"{tenant}/{job_id}" if generation == 1 else f"{tenant}/{job_id}+{generation}"


class SlurmLedger:
    """Reads the jobs of one pool. It writes nothing but what it found out: a number, or an end.

    Args:
        pool: its folder and accounts.
        engine: who asks Slurm.
    """

    def __init__(self, pool: SlurmPool, engine: Engine) -> None:
        self._pool = pool
        self._engine = engine
        self._root = pool.work_dir / pool.name

    def files(self, tenant: str, job_id: str) -> SlurmFiles:
        """Where a job's files lie, whether it exists or not."""
        return SlurmFiles(self._root / "records" / tenant / job_id, self._root / "jobs" / tenant / job_id, self._pool.users.get(tenant, ""))

    def find(self, job_id: str, tenant: str) -> Place:
        """Return where a job, or a task as ID.INDEX, lies. Raises NotFound, also for another team's."""
        if NAME.fullmatch(job_id) and NAME.fullmatch(tenant):
            files = self.files(tenant, job_id)
            if files.spec_file.exists():
                return Place(files)
            name, dot, index = job_id.rpartition(".")
            files = self.files(tenant, name) if dot else files
            if dot and INDEX.fullmatch(index) and files.spec_file.exists() and int(index) < files.spec().array:
                return Place(files, int(index))
        raise NotFound(f"There is no job {job_id[:128]!r}.", remedy="List the jobs to see those that exist.", code="job_unknown")

    def all(self, tenant: str | None) -> list[SlurmFiles]:
        """The files of every job of a team, or of all, newest first."""
        if tenant is not None and not NAME.fullmatch(tenant):
            return []
        specs = (self._root / "records").glob(f"{tenant or '*'}/*/spec.json")
        newest = sorted(specs, key=lambda spec: spec.stat().st_mtime_ns, reverse=True)
        return [self.files(spec.parent.parent.name, spec.parent.name) for spec in newest]

    def job(self, place: Place) -> Job:
        """Say how a job or a task stands."""
        if place.index is not None:
            return self.tasks(place.files, [place.index])[0]
        return self.jobs([place.files])[0]

    def jobs(self, many: Sequence[SlurmFiles]) -> list[Job]:
        """Say how several jobs stand, with as few questions to Slurm as can be."""
        known = {files.records: files.final() for files in many}
        if all(known.values()):
            return [job for job in known.values() if job is not None]
        open_ones = {files.records: (files, self.identified(files)) for files in many if known[files.records] is None}
        rows = self._rows([submission.engine_id for _, submission in open_ones.values() if submission and submission.engine_id])
        return [known[files.records] or self._stands(*open_ones[files.records], rows) for files in many]

    def _stands(self, files: SlurmFiles, submission: Submission | None, rows: dict[str, list[Row]]) -> Job:
        spec = files.spec()
        if submission is None or not submission.engine_id:
            return self._not_yet(files, spec, submission)
        own = self._own(rows.get(submission.engine_id, []), files, submission)
        job = self._array(files, spec, submission, own) if spec.array else self._single(files, spec, submission, own)
        if job.state.final and job.state is not JobState.LOST:
            files.write(files.end, job.model_dump_json())
        return job

    def _own(self, rows: Iterable[Row], files: SlurmFiles, submission: Submission) -> list[Row]:
        """Only what bears our name: after a loss, Slurm may give a number to somebody else's job."""
        name = engine_name(files.records.parent.name, files.records.name, submission.generation)
        user = user_of(self._pool, files.records.parent.name)
        return [row for row in rows if row.name == name and row.user == user]

    def _single(self, files: SlurmFiles, spec: JobSpec, submission: Submission, rows: list[Row]) -> Job:
        traces = files.traces(submission.generation)
        row = rows[0] if rows else None
        if row is None and (traces.exit is None or traces.exit.code != 0):
            past = self._past(files, submission, known=traces.exit is not None)
            row = past[0] if past else None
        facts = Facts(row, traces, cancelled=files.was_cancelled())
        if facts.succeeded and row is not None and row.state in STATES_WAITING:
            # A controller that died may have forgotten that it had started the job, and have it in its queue once more.
            self._engine.end(row.id, "withdraw")
        elif row is not None and row.reason == LAUNCH_FAILED and not facts.cancelled:
            self._let_go(files, row)
        return job_of(spec, facts, engine_id=submission.engine_id, pool=self._pool.name)

    def _let_go(self, files: SlurmFiles, row: Row) -> None:
        """Have a start that failed on its node tried again, a few times: Slurm itself would hold the job until somebody comes.

        So it is after a controller died that had not saved that the job runs: its node refuses a second copy. Our script's lock keeps a
        start behind one that still ends, and finds it done where that one came to its good end.
        """
        told = files.records / "releases"
        before = int(told.read_text()) if told.exists() else 0
        if before < RELEASES_MAX and isinstance(self._engine, Releasing):
            files.write(told, str(before + 1))
            self._engine.release(row.id)

    def _past(self, files: SlurmFiles, submission: Submission, *, known: bool) -> list[Row]:
        """What the accounts know of its end. What they think still waits or runs is lost if slurmctld does not know it."""
        try:
            rows = self._engine.ended([submission.engine_id], submission.at - CLOCKS_APART)
        except Unavailable:
            if known:
                return []
            raise
        return [row for row in self._own(rows, files, submission) if row.final]

    def _array(self, files: SlurmFiles, spec: JobSpec, submission: Submission, rows: list[Row]) -> Job:
        """Only what each task needs for its state is looked at: there may be ten thousand."""
        seen = self._seen(files, submission, rows, range(spec.array))
        codes = files.ended_tasks(submission.generation)
        states = {}
        for index in range(spec.array):
            said = Exit(codes[index], submission.at, timed_out=False) if index in codes else None
            facts = Facts(seen.get(index), Traces(exit=said), cancelled=files.was_cancelled(index))
            states[index] = job_of(spec, facts, engine_id="", pool="").state
        job = array_of(spec, states, engine_id=submission.engine_id, pool=self._pool.name)
        job.attempt = submission.generation
        job.started_at = min((row.starts_at for row in seen.values() if row.starts_at and row.nodes), default=None)
        if job.state.final:
            job.finished_at = max((row.ended_at for row in seen.values() if row.ended_at), default=datetime.now(UTC))
        return job

    def _seen(self, files: SlurmFiles, submission: Submission, rows: list[Row], indices: Sequence[int]) -> dict[int, Row]:
        """The rows by index; the accounts are asked for those that slurmctld knows no more and that left no good end."""
        by_index = {row.index: row for row in rows if row.index is not None}
        codes = files.ended_tasks(submission.generation)
        missing = [index for index in indices if index not in by_index and codes.get(index) != 0]
        if missing:
            past = self._past(files, submission, known=all(index in codes for index in missing))
            by_index = {row.index: row for row in past if row.index is not None} | by_index
        return by_index

    def tasks(self, files: SlurmFiles, indices: Sequence[int]) -> list[Job]:
        """Say how tasks of an array stand."""
        spec, submission = files.spec(), self.identified(files)
        if submission is None or not submission.engine_id:
            waiting = self._not_yet(files, spec, submission)
            return [waiting.model_copy(update={"id": f"{spec.id}.{index}"}) for index in indices]
        rows = self._own(self._rows([submission.engine_id]).get(submission.engine_id, []), files, submission)
        seen = self._seen(files, submission, rows, indices)
        found = []
        for index in indices:
            own = spec.model_copy(update={"id": f"{spec.id}.{index}", "array": 0})
            facts = Facts(seen.get(index), files.traces(submission.generation, index), cancelled=files.was_cancelled(index))
            found.append(job_of(own, facts, engine_id=f"{submission.engine_id}_{index}", pool=self._pool.name))
        return found

    def _not_yet(self, files: SlurmFiles, spec: JobSpec, submission: Submission | None) -> Job:
        """A job that Slurm has not been handed: another process is about to, or was killed before."""
        traces = files.traces(submission.generation) if submission and not spec.array else Traces()
        job = job_of(spec, Facts(traces=traces), engine_id="", pool=self._pool.name)
        if job.state is JobState.LOST and is_held(files.lock):
            job.state, job.failure, job.waiting = JobState.PENDING, None, SUBMITTING
        return job

    def identified(self, files: SlurmFiles) -> Submission | None:
        """The newest submission with Slurm's number for it, looked for by name where the answer was lost."""
        submission = files.submitted()
        if submission is None:
            return None
        claimed = files.claimed_by(submission.generation)
        if claimed and claimed != submission.engine_id and claimed.isdecimal():
            return submission.model_copy(update={"engine_id": claimed})
        if submission.engine_id or is_held(files.lock):
            return submission
        return self.adopt(files, submission)

    def adopt(self, files: SlurmFiles, submission: Submission) -> Submission:
        """Look for a job whose number we never heard; of two, the later is taken back."""
        name = engine_name(files.records.parent.name, files.records.name, submission.generation)
        rows = self._own(self._engine.named(name, submission.at - CLOCKS_APART), files, submission)
        numbers = list(dict.fromkeys(row.job for row in rows))
        for number in numbers[1:]:
            self._engine.end(number, "withdraw")
        return submission.model_copy(update={"engine_id": numbers[0]}) if numbers else submission

    def highest_number(self) -> int:
        """The highest number that Slurm has given to a job of ours whose end we have not seen."""
        submissions = [files.submitted() for files in self.all(None) if not files.end.exists()]
        return max((int(each.engine_id) for each in submissions if each and each.engine_id.isdecimal()), default=0)

    def _rows(self, ids: Sequence[str]) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {}
        for row in self._engine.queued(list(dict.fromkeys(ids))) if ids else []:
            rows.setdefault(row.job, []).append(row)
        return rows
