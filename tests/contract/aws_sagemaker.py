"""SageMaker training as a house: the emulator with containers as processes of this machine."""

from typing import ClassVar

from tests.contract.aws import House as BatchHouse
from tests.emulators.aws import sagemaker
from tests.emulators.aws.server import PLUGINS

if sagemaker.plug not in PLUGINS:
    PLUGINS.append(sagemaker.plug)


class House(BatchHouse):
    """Jobs of a pool that trains with SageMaker."""

    engine = "sagemaker"
    lacks: ClassVar[dict[str, str]] = {
        "arrays": "a training job is one job: submit several, or use a pool with Batch",
        "dependencies": "training jobs do not wait for others: pipelines are another service",
    }

    async def __aexit__(self, *exception: object) -> None:
        for job in list(sagemaker.of(self.emulator.world).jobs.values()):
            if not job.ended:
                job.stop()
        await super().__aexit__(*exception)

    async def preempt(self, job_id: str) -> None:
        """Take the spot machine away; SageMaker starts the job again by itself."""
        engine_id = (await self.jobs.get(job_id, self.tenant)).engine_id
        sagemaker.of(self.emulator.world).jobs[engine_id].interrupt()
