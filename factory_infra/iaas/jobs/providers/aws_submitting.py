"""Brings a job to its engine once: an intent, a claim, a name that is asked for before anything is started again."""

import asyncio
import time

from factory_infra.errors import InvalidInput, NotFound, Unavailable
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.aws_bucket import JobBucket
from factory_infra.iaas.jobs.providers.aws_engine import Engine, Submission, engine_name
from factory_infra.iaas.jobs.providers.aws_view import Found, JobView

CLAIM_SECONDS = 20.0
"""After so long whoever claimed a submission and did not make it is taken for dead."""
POLL_SECONDS = 0.2
SUBMITS_MAX = 3


class Submitting:
    """Submits jobs of one pool.

    Args:
        pool: the pool's entry.
        bucket: the records.
        engine: who runs them.
        view: reads jobs.
        keys: off only in control tests: then nothing asks whether it was done before.
    """

    def __init__(self, pool: AwsPool, bucket: JobBucket, engine: Engine, view: JobView, *, keys: bool) -> None:
        self._pool, self._bucket, self._engine, self._view, self._keys = pool, bucket, engine, view, keys

    async def start(self, found: Found, generation: int) -> None:
        """See to it that one job of the engine exists for a generation."""
        name = engine_name(found.intent.spec.tenant, found.intent.spec.id, generation)
        if self._keys and not await self._bucket.take(found.folder, generation) and await self._by_another(found, generation, name):
            return
        engine_id = await self._submitted(found, generation, name)
        await self._bucket.take(found.folder, generation)
        await self._bucket.submitted(found.folder, generation, engine_id)

    async def _by_another(self, found: Found, generation: int, name: str) -> bool:
        """Wait for whoever claimed it; False when that one is gone and has started nothing."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while time.monotonic() < deadline:
            claim = await self._bucket.claim(found.folder)
            if claim is not None and (claim.generation > generation or claim.engine_id):
                return True
            known = await self._engine.find(name, found.intent.spec)
            if known:
                await self._bucket.submitted(found.folder, generation, known)
                return True
            if claim is not None and claim.age_seconds > CLAIM_SECONDS:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _submitted(self, found: Found, generation: int, name: str) -> str:
        """Submit; where the answer was lost ask for the name first. What the engine refuses never was."""
        spec = found.intent.spec
        after = await self.engine_ids(spec)
        asked = Submission(spec=spec, name=name, environment=self._environment(found, generation), generation=generation, after=after)
        for attempt in range(1, SUBMITS_MAX + 1):
            try:
                return await self._engine.submit(asked)
            except Unavailable:
                await asyncio.sleep(POLL_SECONDS * attempt)
                known = await self._engine.find(name, spec) if self._keys else ""
                if known:
                    return known
                if attempt == SUBMITS_MAX:
                    raise
            except (InvalidInput, NotFound):
                if generation == 1:
                    await self._bucket.withdraw(found.folder, generation)
                raise
        raise Unavailable(f"Job {spec.id} could not be submitted.", remedy="It is tried again under the same id.")

    def _environment(self, found: Found, generation: int) -> dict[str, str]:
        """What the carrier needs to know; everything else lies in the bucket."""
        own = {"BUCKET": self._bucket.name, "PREFIX": found.folder.prefix, "REGION": self._pool.region, "GENERATION": str(generation)}
        own["SYNC_SECONDS"] = f"{self._pool.job_sync_seconds:g}"
        own |= {} if self._keys else {"KEYS": "false"}
        return {f"LINESHAFT_CARRIER_{name}": value for name, value in own.items()}

    async def engine_ids(self, spec: JobSpec) -> list[str]:
        """What the engine calls the jobs that must succeed before; those that have are left out. Raises InvalidInput for an unknown one."""
        ids = []
        for each in spec.after:
            try:
                found = await self._view.find(each, spec.tenant)
            except NotFound as error:
                raise InvalidInput(
                    f"Job {spec.id} should wait for job {each[:128]!r}, which is not there.",
                    remedy="Submit that one first, to the same pool.",
                    code="dependency_unknown",
                ) from error
            if found.engine_id and (await self._view.job(found)).state is not JobState.SUCCEEDED:
                ids.append(found.engine_id)
        return ids
