"""What a pool's bucket tells of its jobs: intents, claims, starts, ends; written so that of two writers one wins."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TypeVar, cast
from uuid import uuid4

from factory_infra.errors import InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.iaas.jobs.carrier.carrying import Intent
from factory_infra.iaas.jobs.carrier.keys import ROOT, Folder, job_folder, tenant_prefix
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.aws_records import Claim, Record

KEPT_MAX = 20_000
Key = TypeVar("Key")
Value = TypeVar("Value")
LOST_RACE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})


class JobBucket:
    """Reads and writes the records of jobs; each is an object, and what decides is written only where nothing was.

    Args:
        access: the pool's door to AWS.
    """

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._intents: dict[Folder, Intent] = {}
        self._submitted: dict[tuple[Folder, int], Record] = {}

    @property
    def name(self) -> str:
        """The bucket. Raises InvalidInput where the pool names none."""
        bucket = self._access.pool.bucket
        if not bucket:
            raise InvalidInput(
                f"Pool {self._access.pool.name} names no bucket, and jobs need one.",
                remedy="Set 'bucket' in the pools' file.",
                code="pool_incomplete",
            )
        return bucket

    async def intent(self, folder: Folder) -> Intent | None:
        """What was asked for, or None where there is no such job. It never changes, and so is kept."""
        if folder not in self._intents:
            body = await self.get(folder.spec)
            if body is None:
                return None
            forget_many(self._intents)
            self._intents[folder] = Intent.model_validate_json(body)
        return self._intents[folder]

    async def begin(self, spec: JobSpec) -> Intent:
        """Write the inputs, then the intent unless one is there; return the one that is there."""
        folder = job_folder(spec.tenant, spec.id)
        for name, text in spec.inputs.items():
            await self.put(folder.inputs + name, text.encode())
        kept = Intent(spec=spec.model_copy(update={"inputs": {}}), at=datetime.now(UTC))
        await self.put_new(folder.spec, kept.model_dump_json().encode())
        return await self.intent(folder) or kept

    async def withdraw(self, folder: Folder, generation: int) -> None:
        """Take back an intent that the engine refused, so that the job does not exist."""
        self._intents.pop(folder, None)
        for key in (folder.claim(generation), folder.spec):
            await self._access.change("s3", "delete_object", Bucket=self.name, Key=key)

    async def claim(self, folder: Folder) -> Claim | None:
        """The newest generation's claim."""
        found = [key async for key in self._keys(f"{folder.prefix}submissions/")]
        if not found:
            return None
        generation = int(found[-1].rsplit("/", 1)[-1].removesuffix(".json"))
        known = self._submitted.get((folder, generation), {})
        claimed, engine = (
            (known, known) if known else await asyncio.gather(*map(self.record, (folder.claim(generation), folder.engine(generation))))
        )
        if engine:
            forget_many(self._submitted)
            self._submitted[folder, generation] = engine
        return Claim(generation, age_of(claimed), str(engine.get("id", "")), age_of(engine))

    async def take(self, folder: Folder, generation: int) -> bool:
        """Claim a generation; return whether it is ours."""
        return await self.put_new(folder.claim(generation), stamped({}))

    async def submitted(self, folder: Folder, generation: int, engine_id: str) -> None:
        """Write down what the engine calls it."""
        await self.put(folder.engine(generation), stamped({"id": engine_id}))

    async def owner(self, folder: Folder, generation: int) -> str:
        """Which of the engine's jobs runs the program; empty while none does."""
        return (await self.get(folder.owner(generation)) or b"").decode()

    async def exit(self, folder: Folder, attempt: int, generation: int) -> Record | None:
        """How an attempt of a generation ended; None where it left no word."""
        record = await self.record(folder.exit(attempt)) if attempt else {}
        return record if record.get("generation") == generation else None

    async def hosts(self, folder: Folder, generation: int) -> list[str]:
        """Where the nodes run, by rank."""
        return [(await self.get(key) or b"").decode() async for key in self._keys(folder.hosts(generation))]

    async def folders(self, tenant: str | None) -> list[Folder]:
        """The folders of all jobs of a tenant, or of all tenants."""
        tenants = [tenant_prefix(tenant)] if tenant is not None else [prefix async for prefix in self._prefixes(ROOT)]
        return [Folder(prefix) for each in tenants async for prefix in self._prefixes(each)]

    async def record(self, key: str) -> Record:
        """A JSON object, empty where there is none."""
        body = await self.get(key)
        return {} if body is None else cast("Record", json.loads(body))

    async def exists(self, key: str) -> bool:
        """Whether an object is there."""
        return await self.get(key, limit=1) is not None

    async def get(self, key: str, limit: int = 0) -> bytes | None:
        """Read an object, or its first bytes; None where there is none. Raises NotFound where the bucket is not."""
        client = await self._access.client("s3")
        part = {"Range": f"bytes=0-{limit - 1}"} if limit else {}

        def fetch(**arguments: object) -> Answer:
            answer = client.get_object(**arguments)
            return {"bytes": answer["Body"].read()}  # type: ignore[attr-defined]

        try:
            answer = await self._access.call(fetch, Bucket=self.name, Key=key, **part)
        except NotFound as error:
            if aws_code(error) == "NoSuchBucket":
                raise self._no_bucket() from error
            return None
        except InvalidInput as error:
            if aws_code(error) == "InvalidRange":  # the object is empty
                return b""
            raise
        return cast("bytes", answer["bytes"])

    async def put(self, key: str, body: bytes) -> None:
        """Write an object whole."""
        try:
            await self._access.change("s3", "put_object", Bucket=self.name, Key=key, Body=body)
        except NotFound as error:
            raise self._no_bucket() from error

    async def put_new(self, key: str, body: bytes) -> bool:
        """Write an object where none is; return whether that was so. A first try whose answer was lost counts as ours."""
        try:
            await self._access.change("s3", "put_object", Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
        except LineshaftError as error:
            if aws_code(error) not in LOST_RACE:
                raise
            return await self.get(key) == body
        return True

    async def _keys(self, prefix: str) -> AsyncIterator[str]:
        for each in await self._access.read_all("s3", "list_objects_v2", "Contents", Bucket=self.name, Prefix=prefix):
            yield str(each["Key"])

    async def _prefixes(self, prefix: str) -> AsyncIterator[str]:
        found = await self._access.read_all("s3", "list_objects_v2", "CommonPrefixes", Bucket=self.name, Prefix=prefix, Delimiter="/")
        for each in found:
            yield str(each["Prefix"])

    def _no_bucket(self) -> NotFound:
        return NotFound(
            f"The bucket {self.name} of pool {self._access.pool.name} does not exist.",
            remedy="Make it, or correct 'bucket' in the pools' file.",
            code="bucket_unknown",
        )


def aws_code(error: LineshaftError) -> str:
    """The code that AWS itself gave to an error of ours."""
    response = getattr(error.__cause__, "response", None)
    found = response.get("Error") if isinstance(response, dict) else None
    return str(found.get("Code", "")) if isinstance(found, dict) else ""


def forget_many(kept: dict[Key, Value]) -> None:
    """Bound what a process remembers: it can read everything again."""
    if len(kept) >= KEPT_MAX:
        kept.clear()


def stamped(record: Record) -> bytes:
    """A record with the moment and a mark of its own: two writers never write the same."""
    return json.dumps({**record, "at": datetime.now(UTC).isoformat(), "mark": uuid4().hex}).encode()


def age_of(record: Record) -> float:
    """How long ago a record was written, in seconds."""
    at = record.get("at")
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() if isinstance(at, str) else 0.0
