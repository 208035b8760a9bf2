"""Jobs whose programs are not run: their time is drawn, their log says so, and their state is a fold of the pool's log and the time."""

import asyncio
import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, NotFound
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre
from factory_infra.foundation.twin.clock import Anchor
from factory_infra.foundation.twin.commands import Command, CommandLog
from factory_infra.foundation.twin.places import Places
from factory_infra.iaas.jobs.models import Job, JobFailure, JobSpec, JobState, LogChunk, Waiting
from factory_infra.iaas.jobs.providers.twin_timeline import Asked, Course, course
from factory_infra.settings import Settings

LOG = "simulated.jsonl"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
Key = tuple[str, str]


@dataclass
class Recorded:
    """One job as the log tells it."""

    spec: JobSpec
    at: float
    asked: int = 1
    """How often somebody asked for it."""
    cancelled_at: float | None = None


class SimulatedJobs:
    """Jobs in virtual time only.

    Args:
        pool: its entry.
        settings: the home, below which the log lies.
    """

    def __init__(self, pool: TwinPool, settings: Settings) -> None:
        self._pool = pool
        self._centre = DataCentre(pool, settings)
        self._places = Places(self._centre)
        self._log = CommandLog(self._centre.folder / LOG)

    async def submit(self, spec: JobSpec) -> Job:
        """See Jobs.submit. The program is not looked for: it is never run. Raises CapacityExceeded where there is no machine for it."""
        return await asyncio.to_thread(self._submit, spec)

    def _submit(self, spec: JobSpec) -> Job:
        check(spec)
        with self._log.writing() as writer:
            known = recorded(writer.commands)
            if (spec.tenant, spec.id) not in known:
                for name in spec.after:
                    if (spec.tenant, name) not in known:
                        reason = f"Job {spec.id} is to wait for {name[:128]!r}, and there is no such job."
                        raise InvalidInput(reason, remedy="Submit that one first, in the same pool.", code="dependency_unknown")
                self._places.choose(spec.id, spec.nodes, spec.slots, spec.lease_id)
                told = spec.model_dump(mode="json", exclude={"inputs", "environment"})
                writer.append({"do": "submit", "at": self._centre.now(), "spec": told})
        return self._get(spec.id, spec.tenant)

    async def get(self, job_id: str, tenant: str) -> Job:
        """See Jobs.get."""
        return await asyncio.to_thread(self._get, job_id, tenant)

    def _get(self, job_id: str, tenant: str) -> Job:
        known = recorded(self._log.read())
        return self._told(self._known(known, job_id, tenant), known)

    async def list(self, tenant: str | None = None) -> list[Job]:
        """See Jobs.list."""
        return await asyncio.to_thread(self._list, tenant)

    def _list(self, tenant: str | None) -> builtins.list[Job]:
        known = recorded(self._log.read())
        return [self._told(each, known) for each in reversed(known.values()) if tenant in (None, each.spec.tenant)]

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return what happened in virtual time, from a byte offset; every line says that it is simulated."""
        job = await self.get(job_id, tenant)
        data = (await asyncio.to_thread(self._text, job_id, tenant)).encode()
        piece = data[max(offset, 0) : max(offset, 0) + max(limit, 4)]
        following = max(offset, 0) + len(piece)
        return LogChunk(text=piece.decode(errors="ignore"), next_offset=following, complete=job.state.final and following >= len(data))

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """See JobTail.tail."""
        text = await asyncio.to_thread(self._text, job_id, tenant)
        end = text[-max(limit, 1) :]
        return end if len(text) <= limit else end.partition("\n")[2]

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """A program that is not run leaves no file. Raises NotFound."""
        await self.get(job_id, tenant)
        return None

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """See Jobs.cancel."""
        return await asyncio.to_thread(self._cancel, job_id, tenant)

    def _cancel(self, job_id: str, tenant: str) -> Job:
        with self._log.writing() as writer:
            job = self._told(self._known(recorded(writer.commands), job_id, tenant), recorded(writer.commands))
            if not job.state.final:
                writer.append({"do": "cancel", "at": self._centre.now(), "tenant": tenant, "id": job_id})
        return self._get(job_id, tenant)

    async def retry(self, job_id: str, tenant: str) -> Job:
        """See JobRetry.retry."""
        return await asyncio.to_thread(self._retry, job_id, tenant)

    def _retry(self, job_id: str, tenant: str) -> Job:
        with self._log.writing() as writer:
            known = recorded(writer.commands)
            job = self._told(self._known(known, job_id, tenant), known)
            if not job.state.final or job.state is JobState.SUCCEEDED:
                raise Conflict(f"Job {job_id} is {job.state.value}.", remedy="Only what ended without success is started again.")
            writer.append({"do": "retry", "at": self._centre.now(), "tenant": tenant, "id": job_id})
        return self._get(job_id, tenant)

    def _known(self, known: dict[Key, Recorded], job_id: str, tenant: str) -> Recorded:
        if (tenant, job_id) not in known:
            raise NotFound(f"There is no job {job_id[:128]!r}.", remedy="List the jobs to see those that exist.", code="job_unknown")
        return known[tenant, job_id]

    def _course(self, one: Recorded, begin: float) -> Course:
        spec = one.spec
        asked = Asked(
            name=f"{self._pool.seed}/{spec.tenant}/{spec.id}/{one.asked}",
            at=begin,
            nodes=spec.nodes,
            slots=spec.slots,
            lease=spec.lease_id,
            seconds_max=spec.limits.seconds,
            service=spec.service,
            median=self._pool.job_seconds,
            sigma=self._pool.job_sigma,
        )
        return course(asked, lambda name, count, at: self._chosen(spec, name, count, at), self._places.next_failure)

    def _chosen(self, spec: JobSpec, name: str, count: int, at: float) -> "builtins.list[str] | str":
        try:
            return self._places.choose(name, count, spec.slots, spec.lease_id, at)
        except CapacityExceeded as error:
            return error.reason

    def _told(self, one: Recorded, known: dict[Key, Recorded]) -> Job:
        """The job as it stands now."""
        now, anchor = self._centre.now(), self._centre.anchor()
        spec = one.spec
        job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.PENDING, pool=self._pool.name)
        job.engine_id = f"simulated/{self._pool.name}"
        begin, why = self._begin(one, known)
        if one.cancelled_at is not None and one.cancelled_at <= begin:
            return ended(job, JobState.CANCELLED, when(anchor, one.cancelled_at), CANCELLED)
        if isinstance(why, JobFailure):
            return ended(job, JobState.FAILED, when(anchor, begin), why)
        if why is not None:
            job.waiting = why
            return job
        return self._running(job, one, begin, (now, anchor))

    def _running(self, job: Job, one: Recorded, begin: float, clock: tuple[float, Anchor]) -> Job:
        now, anchor = clock
        run = self._course(one, begin)
        until = now if one.cancelled_at is None else min(now, one.cancelled_at)
        begun = [attempt for attempt in run.attempts if attempt.begin <= until]
        if not begun:
            job.waiting = Waiting(code="no_machine", reason=run.stuck or "Its machines are being restarted.", remedy="Wait.")
            return job
        job.started_at, job.attempt, job.nodes = when(anchor, begun[0].begin), len(begun) + one.asked - 1, begun[-1].nodes
        job.percent, job.stage = round(100 * run.done(until), 1), "simulated"
        if one.cancelled_at is not None and one.cancelled_at < run.end:
            return ended(job, JobState.CANCELLED, when(anchor, one.cancelled_at), CANCELLED)
        if run.end > now:
            job.state = JobState.RUNNING
            return job
        job.percent = job.percent if run.out_of_time else 100.0
        if run.out_of_time:
            return ended(job, JobState.FAILED, when(anchor, run.end), TIMEOUT)
        job.exit_code = 0
        return ended(job, JobState.SUCCEEDED, when(anchor, run.end), None)

    def _begin(self, one: Recorded, known: dict[Key, Recorded]) -> tuple[float, JobFailure | Waiting | None]:
        """When it may begin, and why not yet or never."""
        anchor, begin = self._centre.anchor(), one.at
        for name in one.spec.after:
            before = self._told(known[one.spec.tenant, name], known)
            if not before.state.final:
                reason = f"It waits for job {name}, which is {before.state.value}."
                return begin, Waiting(code="after", reason=reason, remedy=f"See how {name} goes.")
            finished = anchor.virtual_at(before.finished_at.timestamp()) if before.finished_at else begin
            begin = max(begin, finished)
            if before.state is not JobState.SUCCEEDED:
                reason = f"Job {name}, which had to succeed before, did not."
                return begin, JobFailure(code="dependency_failed", reason=reason, remedy=f"See why {name} failed.")
        return begin, None

    def _text(self, job_id: str, tenant: str) -> str:
        known = recorded(self._log.read())
        one = self._known(known, job_id, tenant)
        job, now, anchor = self._told(one, known), self._centre.now(), self._centre.anchor()
        begin, why = self._begin(one, known)
        lines = [(begin, f"the program is not run: {' '.join(one.spec.argv)[:200]}")]
        for number, attempt in enumerate(self._course(one, begin).attempts if why is None else (), one.asked):
            lines.append((attempt.begin, f"attempt {number} on {', '.join(attempt.nodes)}"))
            if attempt.lost:
                lines.append((attempt.end, f"{attempt.lost}: it goes on from its last checkpoint"))
        if job.finished_at is not None:
            last = anchor.virtual_at(job.finished_at.timestamp())
            lines = [line for line in lines if line[0] <= last]
            lines.append((last, job.state.value + (f": {job.failure.reason}" if job.failure is not None else "")))
        return "".join(f"simulated {when(anchor, at):%Y-%m-%d %H:%M:%S} {words}\n" for at, words in lines if at <= now)


CANCELLED = JobFailure(code="cancelled", reason="Somebody cancelled it.", remedy="Try it again if it is still wanted.")
TIMEOUT = JobFailure(code="job_timeout", reason="It ran for longer than it may.", remedy="Allow it more time.")


def check(spec: JobSpec) -> None:
    """Raise InvalidInput for what cannot be simulated."""
    for name in (spec.id, spec.tenant, *spec.inputs):
        if not NAME.fullmatch(name):
            reason = f"A name is not valid: {name[:80]!r}."
            raise InvalidInput(reason, remedy="Use letters, digits, '.', '_' and '-', at most 128.", code="name_invalid")
    if not spec.argv:
        raise InvalidInput(f"Job {spec.id} names no program.", remedy="Give an argument vector.", code="program_unknown")
    for what, asked in (("image", bool(spec.image)), ("queue", bool(spec.queue)), ("array", bool(spec.array))):
        if asked:
            reason = f"Job {spec.id} asks for an {what}: a simulated pool that runs no programs has none."
            raise InvalidInput(reason, remedy=f"Leave the {what} out.", code="not_offered")


def recorded(commands: Sequence[Command]) -> dict[Key, Recorded]:
    """Every job of the log, the oldest first."""
    found: dict[Key, Recorded] = {}
    for each in commands:
        at = float(str(each["at"]))
        if each["do"] == "submit":
            spec = JobSpec.model_validate(each["spec"])
            found[spec.tenant, spec.id] = Recorded(spec, at)
            continue
        one = found[str(each["tenant"]), str(each["id"])]
        if each["do"] == "cancel":
            one.cancelled_at = at
        else:
            one.at, one.asked, one.cancelled_at = at, one.asked + 1, None
    return found


def when(anchor: Anchor, virtual: float) -> datetime:
    """A virtual time as a moment of ours."""
    return datetime.fromtimestamp(anchor.real_at(virtual), UTC)


def ended(job: Job, state: JobState, at: datetime, failure: JobFailure | None) -> Job:
    """The same job at its end."""
    job.state, job.finished_at, job.failure = state, at, failure
    return job
