"""Finds jobs in a pool's bucket and asks the engine how they stand; changes nothing."""

import asyncio
from datetime import UTC, datetime

from factory_infra.iaas.jobs.carrier.carrying import Intent
from factory_infra.iaas.jobs.carrier.keys import Folder, job_folder
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.jobs.providers.aws_bucket import JobBucket, forget_many
from factory_infra.iaas.jobs.providers.aws_engine import Engine, Stream
from factory_infra.iaas.jobs.providers.aws_reading import Standing, job_of, unknown_job
from factory_infra.iaas.jobs.providers.aws_records import NAME, Claim

SETTLE_SECONDS = 15.0
"""CloudWatch may deliver the last lines so much later than a job ends."""
AT_ONCE = 8


class Found:
    """A job, or the task of an array, and the newest claim to it."""

    def __init__(self, folder: Folder, intent: Intent, claim: Claim | None, index: int | None = None, *, remembered: bool = False) -> None:
        self.folder, self.intent, self.claim, self.index, self.remembered = folder, intent, claim, index, remembered

    def renew(self, claim: Claim | None) -> None:
        """Take the claim that was just read."""
        self.claim, self.remembered = claim, False

    @property
    def base(self) -> Folder:
        """Where its records lie."""
        return self.folder if self.index is None else self.folder.task(self.index)

    @property
    def generation(self) -> int:
        """The newest one."""
        return self.claim.generation if self.claim else 1

    @property
    def engine_id(self) -> str:
        """What the engine calls it; empty while it does not know of it. An array of one is a plain job there."""
        if self.claim is None or not self.claim.engine_id:
            return ""
        plain = self.index is None or self.intent.spec.array == 1
        return self.claim.engine_id if plain else f"{self.claim.engine_id}:{self.index}"

    def task(self, index: int) -> "Found":
        """One of an array's tasks."""
        return Found(self.folder, self.intent, self.claim, index)


class JobView:
    """Reads jobs.

    Args:
        pool: its name.
        bucket: the records.
        engine: who runs them.
    """

    def __init__(self, pool: str, bucket: JobBucket, engine: Engine) -> None:
        self._pool, self._bucket, self._engine = pool, bucket, engine
        self._ended: dict[tuple[str, int], Job] = {}
        self._live: dict[Folder, Claim | None] = {}

    async def find(self, job_id: str, tenant: str) -> Found:
        """A job, or the task `ID.INDEX` of an array. Raises NotFound."""
        if NAME.fullmatch(job_id) and NAME.fullmatch(tenant):
            folder = job_folder(tenant, job_id)
            intent = await self._bucket.intent(folder)
            if intent is not None:
                return await self._claimed(folder, intent)
            array, dot, index = job_id.rpartition(".")
            folder = job_folder(tenant, array)
            intent = await self._bucket.intent(folder) if dot and array and index.isdecimal() else None
            if intent is not None and int(index) < intent.spec.array:
                return await self._claimed(folder, intent, int(index))
        raise unknown_job(job_id)

    async def job(self, found: Found) -> Job:
        """How it stands. An end does not change within a generation, and so is kept."""
        key = (found.base.prefix, found.generation)
        if key not in self._ended:
            job = job_of(await self._standing(found))
            if found.remembered and job.state.final:
                # It has ended: only now somebody may have started another generation.
                found.renew(await self._bucket.claim(found.folder))
                return await self.job(found)
            if not job.state.final or job.state is JobState.LOST:
                self._remember(found, live=not job.state.final)
                return job
            self._remember(found, live=False)
            forget_many(self._ended)
            self._ended[key] = job
        return self._ended[key].model_copy(deep=True)

    def _remember(self, found: Found, *, live: bool) -> None:
        """While the engine has it, no other generation can begin: its claim need not be read again."""
        forget_many(self._live)
        if live and found.engine_id:
            self._live[found.folder] = found.claim
        else:
            self._live.pop(found.folder, None)

    async def _claimed(self, folder: Folder, intent: Intent, index: int | None = None) -> Found:
        if folder in self._live:
            return Found(folder, intent, self._live[folder], index, remembered=True)
        return Found(folder, intent, await self._bucket.claim(folder), index)

    async def jobs(self, tenant: str | None) -> list[Job]:
        """All jobs of a tenant, or of all, newest first."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(folder: Folder) -> tuple[datetime, Job] | None:
            async with turns:
                intent = await self._bucket.intent(folder)
                return None if intent is None else (intent.at, await self.job(Found(folder, intent, await self._bucket.claim(folder))))

        found = await asyncio.gather(*(one(folder) for folder in await self._bucket.folders(tenant)))
        return [job for _, job in sorted((each for each in found if each), key=lambda each: each[0], reverse=True)]

    async def streams(self, found: Found) -> list[Stream]:
        """The log streams of a job. An array has no log of its own."""
        spec = found.intent.spec
        if not found.engine_id or (spec.array > 1 and found.index is None):
            return []
        earlier: list[Stream] = []
        for generation in range(1, found.generation):
            engine_id = str((await self._bucket.record(found.folder.engine(generation))).get("id", ""))
            task = f":{found.index}" if found.index is not None and spec.array > 1 else ""
            earlier += await self._engine.streams(engine_id + task, spec.nodes) if engine_id else []
        return [*(each.model_copy(update={"over": True}) for each in earlier), *await self._engine.streams(found.engine_id, spec.nodes)]

    async def settled(self, found: Found, job: Job, read_bytes: int | None) -> bool:
        """Whether the log of an ended job is all there: as long as its carrier says, or a while has passed."""
        last = found.base.node(found.intent.spec.nodes - 1)
        record = await self._bucket.exit(last, job.attempt, found.generation) if job.state is not JobState.LOST else None
        written = (record or {}).get("log_bytes")
        if isinstance(written, int):
            return (read_bytes or 0) >= written
        if job.started_at is None:
            return True
        return job.finished_at is None or (datetime.now(UTC) - job.finished_at).total_seconds() > SETTLE_SECONDS

    async def _standing(self, found: Found) -> Standing:
        """Gather what the bucket and the engine say."""
        standing = Standing(pool=self._pool, intent=found.intent, claim=found.claim, index=found.index, engine_id=found.engine_id)
        if found.claim is None:
            return standing
        if found.engine_id:
            standing.seen = (await self._engine.look([found.engine_id])).get(found.engine_id)
        seen, bucket = standing.seen, self._bucket
        if seen is None or seen.state != "pending":
            standing.status = await bucket.record(found.base.status)
            standing.hosts = await self._hosts(found, standing)
        if seen is None or seen.final:
            ended = bucket.exit(found.base, standing.attempt, found.generation)
            standing.exit, standing.cancelled = await asyncio.gather(ended, bucket.exists(found.folder.cancel(found.generation)))
        return standing

    async def _hosts(self, found: Found, standing: Standing) -> list[str]:
        if found.intent.spec.nodes > 1:
            return await self._bucket.hosts(found.base, found.generation)
        return [str(standing.status["host"])] if standing.status.get("generation") == found.generation else []
