"""SageMaker training as the engine of a pool's jobs: a job's name is what makes it one."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.aws import Answer, AwsAccess, tags
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.carrier.keys import COMMAND
from factory_infra.iaas.jobs.models import JobSpec, Waiting
from factory_infra.iaas.jobs.providers.aws_bucket import aws_code
from factory_infra.iaas.jobs.providers.aws_engine import (
    Seen,
    Stream,
    Submission,
    failure_from,
    not_offered,
    pool_lacks,
    role_of,
    waiting_for,
)

VOLUME_GB_MIN = 30
SECONDS_MAX = 28 * 24 * 3600
SPOT_WAIT_SECONDS = 24 * 3600
SECONDS_MORE = 120
"""The carrier keeps the job's own limit; SageMaker's is for a carrier that hangs."""
RUNNING = {"Training", "Uploading", "Stopping"}


class TrainingEngine:
    """Creates training jobs.

    Args:
        pool: the pool's entry.
        access: its door to AWS.
    """

    log_group = "/aws/sagemaker/TrainingJobs"

    def __init__(self, pool: AwsPool, access: AwsAccess) -> None:
        self._pool = pool
        self._access = access

    def check(self, spec: JobSpec) -> None:
        """Refuse by name what training jobs cannot do."""
        if spec.array:
            raise not_offered("SageMaker", "array", "Submit single jobs, or use a pool with Batch.")
        if spec.after:
            raise not_offered("SageMaker", "job that waits for others", "Submit it when they have succeeded, or use a pool with Batch.")
        if spec.attempts_max > 1 and spec.nodes > 1:
            raise not_offered(
                "SageMaker", "second attempt of a failed program on several nodes", "Retry it yourself, or use a pool with Batch."
            )
        if spec.service:
            raise not_offered("SageMaker", "job without an end", "Use an endpoint, or a pool with Batch.")
        if spec.queue:
            raise not_offered("SageMaker", "queue", "Leave the queue out.")
        role = self._pool.job_role_arn or self._pool.tenant_roles
        fields = (("job_role_arn", role), ("job_image", spec.image or self._pool.job_image))
        for field, value in (*fields, ("instance_types", self._pool.instance_types)):
            if not value:
                raise pool_lacks(self._pool.name, field)

    async def submit(self, asked: Submission) -> str:
        """Create it under its name; one of that name is this one."""
        spec = asked.spec
        client = await self._access.client("sagemaker", attempts_max=1)
        try:
            await self._access.call(client.create_training_job, **self._request(asked, await role_of(self._access, spec.tenant)))
        except Conflict as error:
            if aws_code(error) == "ResourceInUse":
                return asked.name
            raise
        except LineshaftError as error:
            if aws_code(error) == "ResourceInUse":
                return asked.name
            if aws_code(error) == "ValidationException":
                reason = f"SageMaker does not take job {spec.id}: {error.reason}"
                raise InvalidInput(reason, remedy="Correct what it names.", code="aws_refused") from error
            raise
        return asked.name

    def _request(self, asked: Submission, role: str) -> dict[str, object]:
        spec, pool = asked.spec, self._pool
        seconds = min(int(spec.limits.seconds or SECONDS_MAX) + SECONDS_MORE, SECONDS_MAX)
        spot = pool.price_class == "spot"
        output = asked.environment["LINESHAFT_CARRIER_PREFIX"]
        return {
            "TrainingJobName": asked.name,
            "AlgorithmSpecification": {
                "TrainingImage": spec.image or pool.job_image,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": COMMAND,
            },
            "RoleArn": role,
            "Environment": {**asked.environment, "TRAINING_JOB_NAME": asked.name},
            "OutputDataConfig": {"S3OutputPath": f"s3://{pool.bucket}/{output}sagemaker"},
            "ResourceConfig": {
                "InstanceType": training_type(pool.instance_types[0]),
                "InstanceCount": spec.nodes,
                "VolumeSizeInGB": max(VOLUME_GB_MIN, int(spec.limits.file_gib * 2)),
            },
            "StoppingCondition": {
                "MaxRuntimeInSeconds": seconds,
                **({"MaxWaitTimeInSeconds": seconds + SPOT_WAIT_SECONDS} if spot else {}),
            },
            "EnableManagedSpotTraining": spot,
            "Tags": tags(
                {
                    "lineshaft:job": spec.id,
                    "lineshaft:tenant": spec.tenant,
                    "lineshaft:generation": str(asked.generation),
                    "lineshaft:lease": spec.lease_id,
                }
            ),
            **(
                {"VpcConfig": {"SecurityGroupIds": list(pool.security_group_ids), "Subnets": list(pool.subnet_ids)}}
                if pool.subnet_ids
                else {}
            ),
        }

    async def find(self, name: str, spec: JobSpec) -> str:
        """The name itself, where there is such a job."""
        return name if await self._described(name) else ""

    async def look(self, engine_ids: list[str]) -> dict[str, Seen]:
        """How jobs stand."""
        told = {each: await self._described(each) for each in engine_ids}
        return {name: seen(described) for name, described in told.items() if described}

    async def stop(self, engine_id: str) -> None:
        """Ask for its end: SIGTERM, and two minutes later SIGKILL."""
        try:
            await self._access.change("sagemaker", "stop_training_job", TrainingJobName=engine_id)
        except (NotFound, InvalidInput):
            # One that has ended cannot be stopped, and need not be.
            return

    async def streams(self, engine_id: str, nodes: int) -> list[Stream]:
        """The streams of its hosts, in their order."""
        described = await self._described(engine_id)
        try:
            told = await self._access.read_all(
                "logs", "describe_log_streams", "logStreams", logGroupName=self.log_group, logStreamNamePrefix=f"{engine_id}/"
            )
        except NotFound:
            return []
        over = str(described.get("TrainingJobStatus")) in {"Completed", "Failed", "Stopped"}
        names = sorted((str(each["logStreamName"]) for each in told), key=host_order)
        return [Stream(name=name, over=over) for name in names]

    async def _described(self, name: str) -> Answer:
        try:
            return await self._access.read("sagemaker", "describe_training_job", TrainingJobName=name)
        except NotFound:
            return {}
        except InvalidInput as error:
            # Its answer for a job that is not there is a validation error.
            if aws_code(error) == "ValidationException" and "not found" in error.reason.lower():
                return {}
            raise


def training_type(machine: str) -> str:
    """What SageMaker calls a machine of EC2."""
    return machine if machine.startswith("ml.") else f"ml.{machine}"


def host_order(stream: str) -> tuple[str, int, str]:
    """Sort `NAME/algo-10-…` after `NAME/algo-2-…`; restarts of a host come one after the other."""
    name, _, rest = stream.partition("/")
    parts = rest.split("-")
    number = int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
    return name, number, rest


def seen(told: Mapping[str, object]) -> Seen:
    """Read the answer of DescribeTrainingJob."""
    status, secondary = str(told["TrainingJobStatus"]), str(told.get("SecondaryStatus", ""))
    said = str(told.get("FailureReason") or "")
    looked = Seen(state="pending", started_at=moment(told, "TrainingStartTime"), finished_at=moment(told, "TrainingEndTime"))
    if status == "Completed":
        looked.state = "succeeded"
    elif status in {"Failed", "Stopped"}:
        looked.state = "failed"
        looked.failure = failure_from(said or secondary)
    elif secondary in RUNNING:
        looked.state = "running"
    else:
        looked.waiting = waiting(secondary, told)
    return looked


def waiting(secondary: str, told: Mapping[str, object]) -> Waiting:
    """Why it does not train yet, by the last message of its transitions."""
    transitions = cast("list[Mapping[str, object]]", told.get("SecondaryStatusTransitions") or [])
    said = str(transitions[-1].get("StatusMessage") or "") if transitions else ""
    if "capacity" in said.lower():
        return waiting_for("CapacityError", said)
    if secondary == "Interrupted":
        return Waiting(code=secondary, reason="The spot machine was taken away; the job goes on when there is one.", remedy="Wait.")
    return Waiting(code=secondary or "Pending", reason=f"SageMaker prepares the job{f': {said}' if said else '.'}", remedy="Wait.")


def moment(told: Mapping[str, object], name: str) -> datetime | None:
    """A moment as botocore reads it."""
    value = told.get(name)
    return value if isinstance(value, datetime) else None
