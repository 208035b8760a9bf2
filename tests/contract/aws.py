"""AWS Batch as a house: the emulator with containers as processes of this machine."""

import asyncio
from pathlib import Path
from typing import ClassVar

import boto3
import pytest

from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.providers.aws import AwsJobs
from factory_infra.settings import Settings
from tests.emulators.aws import batch
from tests.emulators.aws.server import PLUGINS, Emulator
from tests.emulators.aws.standing import KEYS

REGION = "us-east-1"
QUEUE = "gpu-queue"
if batch.plug not in PLUGINS:
    PLUGINS.append(batch.plug)


class House:
    """Jobs of a pool with a queue of Batch."""

    tenant = "vision"
    other_tenant = "speech"
    lacks: ClassVar[dict[str, str]] = {}
    fields: ClassVar[dict[str, object]] = {"pool": "cloud"}
    wait_seconds = 60.0
    engine = "batch"

    def __init__(self, folder: Path) -> None:
        self._settings = Settings(home=folder / "home")
        self._environment = pytest.MonkeyPatch()
        self.emulator = Emulator()
        self.jobs: AwsJobs

    async def __aenter__(self) -> "House":
        for name, value in KEYS.items():
            self._environment.setenv(name, value)
        await asyncio.to_thread(self._open)
        await self.forget()
        return self

    def _open(self) -> None:
        self.emulator.start()
        self.emulator.world.extra["endpoint"] = self.emulator.address
        client("s3", self.emulator.address).create_bucket(Bucket=self.bucket)
        client("batch", self.emulator.address).create_job_queue(jobQueueName=QUEUE, priority=1, state="ENABLED", computeEnvironmentOrder=[])

    async def __aexit__(self, *exception: object) -> None:
        for job in list(batch.of(self.emulator.world).jobs.values()):
            job.terminate("the house closes")
        self.emulator.stop()
        self._environment.undo()

    @property
    def bucket(self) -> str:
        """The pool's bucket: names of buckets are shared by all accounts."""
        return f"lineshaft-jobs-{self.emulator.world.account}"

    @property
    def pool(self) -> AwsPool:
        """The pool's entry."""
        return AwsPool.model_validate(
            {
                "name": "cloud",
                "region": REGION,
                "endpoint_url": self.emulator.address,
                "instance_types": ["g6.xlarge"],
                "slots_max": 4,
                "bucket": self.bucket,
                "jobs": self.engine,
                "batch_queue": QUEUE,
                "job_image": "lineshaft:latest",
                "job_role_arn": "arn:aws:iam::123456789012:role/lineshaft-jobs",
                "job_sync_seconds": 0.2,
                "settle_seconds": 0.05,
            }
        )

    def python(self, code: str) -> list[str]:
        """The image's interpreter, without the packages of the environment."""
        return ["python3", "-IS", "-c", code]

    async def preempt(self, job_id: str) -> None:
        """Take the machine away, as a spot interruption does; Batch queues the job again by itself."""
        engine_id = (await self.jobs.get(job_id, self.tenant)).engine_id
        batch.of(self.emulator.world).jobs[engine_id].interrupt()

    async def forget(self) -> None:
        """A new object knows only the bucket and the queue."""
        self.jobs = AwsJobs(self.pool, self._settings)

    async def gone(self, job_id: str) -> bool:
        """Whether no process carries the job's name in its environment."""
        return not await asyncio.to_thread(carriers, job_id)


def carriers(job_id: str) -> bool:
    """Whether any process has the job's id among its variables."""
    mark = f"LINESHAFT_JOB_ID={job_id}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    return True
            except OSError:
                continue
    return False


def client(service: str, address: str):  # type: ignore[no-untyped-def]
    """A client of the emulator."""
    return boto3.client(service, region_name=REGION, endpoint_url=address, aws_access_key_id="test", aws_secret_access_key="test")
