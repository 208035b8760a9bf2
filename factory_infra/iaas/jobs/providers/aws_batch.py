"""AWS Batch as the engine of a pool's jobs."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from factory_infra.errors import InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.carrier.carrying import EXIT_AGAIN, EXIT_PREEMPTED
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

ATTEMPTS_OF_ENGINE = 10
"""What Batch allows at most. The carrier says when a program failed often enough; a lost machine counts only here."""
AFTER_MAX = 20
ARRAY_MIN = 2
ARRAY_MAX = 10_000
TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MORE = 60, 120
"""The carrier keeps the job's own limit; Batch's is for a carrier that hangs."""
DESCRIBED_AT_ONCE = 100
CARRIER_MEMORY_MIB = 256
VCPUS_PER_GPU = 4
STATES = {"SUBMITTED": "pending", "PENDING": "pending", "RUNNABLE": "pending", "STARTING": "pending"}
STATES |= {"RUNNING": "running", "SUCCEEDED": "succeeded", "FAILED": "failed"}


class BatchEngine:
    """Submits to one queue.

    Args:
        pool: the pool's entry.
        access: its door to AWS.
    """

    log_group = "/aws/batch/job"

    def __init__(self, pool: AwsPool, access: AwsAccess) -> None:
        self._pool = pool
        self._access = access
        self._defined: set[str] = set()

    def check(self, spec: JobSpec) -> None:
        """Refuse by name what Batch cannot do."""
        if spec.array > 1 and spec.nodes > 1:
            raise not_offered("Batch", "array of jobs over several nodes", "Ask for one of the two.")
        if len(spec.after) > AFTER_MAX:
            raise not_offered("Batch", f"job that waits for more than {AFTER_MAX} others", f"Name at most {AFTER_MAX}.")
        for field, value in (("batch_queue", spec.queue or self._pool.batch_queue), ("job_image", spec.image or self._pool.job_image)):
            if not value:
                raise pool_lacks(self._pool.name, field)

    async def submit(self, asked: Submission) -> str:
        """Register what is not registered yet, then submit once: a lost answer is the caller's to look after."""
        spec = asked.spec
        definition = await self._definition(spec)
        client = await self._access.client("batch", attempts_max=1)
        arguments: dict[str, object] = {
            "jobName": asked.name,
            "jobQueue": spec.queue or self._pool.batch_queue,
            "jobDefinition": definition,
            "dependsOn": [{"jobId": each} for each in asked.after],
            "retryStrategy": retry_strategy(),
            "tags": {
                "lineshaft:job": spec.id,
                "lineshaft:tenant": spec.tenant,
                "lineshaft:generation": str(asked.generation),
                **({"lineshaft:lease": spec.lease_id} if spec.lease_id else {}),
            },
            "propagateTags": True,
        }
        if spec.array >= ARRAY_MIN:
            arguments["arrayProperties"] = {"size": spec.array}
        if not spec.service and spec.limits.seconds is not None:
            seconds = max(TIMEOUT_SECONDS_MIN, int(spec.limits.seconds) + TIMEOUT_SECONDS_MORE)
            arguments["timeout"] = {"attemptDurationSeconds": seconds}
        container = {
            "environment": [{"name": name, "value": value} for name, value in sorted(asked.environment.items())],
            "resourceRequirements": requirements(spec),
        }
        if spec.nodes > 1:
            parts = [{"targetNodes": "0:", "containerOverrides": container}]
            arguments["nodeOverrides"] = {"numNodes": spec.nodes, "nodePropertyOverrides": parts}
        else:
            arguments["containerOverrides"] = container
        try:
            return str((await self._access.call(client.submit_job, **arguments))["jobId"])
        except LineshaftError as error:
            raise self._refused(error, spec) from error

    def _refused(self, error: LineshaftError, spec: JobSpec) -> LineshaftError:
        """A queue that is not there or takes nothing is told by its name."""
        queue = spec.queue or self._pool.batch_queue
        if aws_code(error) == "ClientException" and "queue" in error.reason.lower():
            return InvalidInput(
                f"The job queue {queue} of pool {self._pool.name} takes no jobs: {error.reason}",
                remedy="Enable it, or correct 'batch_queue' in the pools' file.",
                code="queue_closed",
            )
        return error

    async def find(self, name: str, spec: JobSpec) -> str:
        """The id of the job of this name, in any state: names are ours alone."""
        wanted = [{"name": "JOB_NAME", "values": [name]}]
        queue = spec.queue or self._pool.batch_queue
        told = await self._access.read_all("batch", "list_jobs", "jobSummaryList", jobQueue=queue, filters=wanted)
        return next((str(each["jobId"]) for each in told if each["jobName"] == name), "")

    async def look(self, engine_ids: list[str]) -> dict[str, Seen]:
        """How jobs stand."""
        return {str(each["jobId"]): seen(each) for each in await self._described(engine_ids)}

    async def stop(self, engine_id: str) -> None:
        """End it in whatever state it is."""
        try:
            await self._access.change("batch", "terminate_job", jobId=engine_id, reason="Cancelled by Lineshaft.")
        except NotFound:
            return

    async def streams(self, engine_id: str, nodes: int) -> list[Stream]:
        """The streams of all attempts; of several nodes first those of one attempt, by rank."""
        parts = [f"{engine_id}#{rank}" for rank in range(nodes)] if nodes > 1 else [engine_id]
        told = {str(each["jobId"]): each for each in await self._described(parts)}
        by_part = [streams_of(told[part]) for part in parts if part in told]
        over = all(str(each["status"]) in {"SUCCEEDED", "FAILED"} for each in told.values())
        rounds = max((len(each) for each in by_part), default=0)
        found = [(names[attempt], attempt < rounds - 1 or over) for attempt in range(rounds) for names in by_part if attempt < len(names)]
        return [Stream(name=name, over=ended) for name, ended in found]

    async def _described(self, engine_ids: list[str]) -> list[Answer]:
        found: list[Answer] = []
        for start in range(0, len(engine_ids), DESCRIBED_AT_ONCE):
            told = await self._access.read("batch", "describe_jobs", jobs=engine_ids[start : start + DESCRIBED_AT_ONCE])
            found += cast("list[Answer]", told.get("jobs", []))
        return found

    async def _definition(self, spec: JobSpec) -> str:
        """The name of the definition for an image, a role and a number of nodes; registered once, found by a name made of these."""
        image = spec.image or self._pool.job_image
        role = await role_of(self._access, spec.tenant)
        parts = [image, role, str(spec.nodes), " ".join(COMMAND)]
        name = "lineshaft-" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        if name in self._defined:
            return name
        known = await self._access.read("batch", "describe_job_definitions", jobDefinitionName=name, status="ACTIVE")
        if not known.get("jobDefinitions"):
            await self._access.change("batch", "register_job_definition", **self._registration(name, image, role, spec.nodes))
        self._defined.add(name)
        return name

    def _registration(self, name: str, image: str, role: str, nodes: int) -> dict[str, object]:
        container: dict[str, object] = {
            "image": image,
            "command": COMMAND,
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
        }
        if role:
            container["jobRoleArn"] = role
        common: dict[str, object] = {"jobDefinitionName": name, "propagateTags": True, "tags": {"lineshaft:pool": self._pool.name}}
        if nodes == 1:
            return {**common, "type": "container", "containerProperties": container}
        ranges = [{"targetNodes": "0:", "container": container}]
        return {**common, "type": "multinode", "nodeProperties": {"numNodes": nodes, "mainNode": 0, "nodeRangeProperties": ranges}}


def retry_strategy() -> dict[str, object]:
    """Again where the machine was lost or the carrier asks for it; never by any other end."""
    return {
        "attempts": ATTEMPTS_OF_ENGINE,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onExitCode": str(EXIT_AGAIN), "action": "RETRY"},
            {"onExitCode": str(EXIT_PREEMPTED), "action": "RETRY"},
            {"onStatusReason": "*", "action": "EXIT"},
        ],
    }


def requirements(spec: JobSpec) -> list[dict[str, str]]:
    """What one container needs: the slots are shared out evenly over the nodes."""
    slots = max(1, len(spec.slots) // spec.nodes)
    gpu = spec.slot_kind == "gpu"
    memory = int(spec.limits.memory_gib * 1024) + CARRIER_MEMORY_MIB
    wanted = [{"type": "VCPU", "value": str(slots * VCPUS_PER_GPU if gpu else slots)}, {"type": "MEMORY", "value": str(memory)}]
    return [*wanted, {"type": "GPU", "value": str(slots)}] if gpu else wanted


def seen(told: Mapping[str, object]) -> Seen:
    """Read one entry of DescribeJobs."""
    status, said = str(told["status"]), str(told.get("statusReason") or "")
    state = STATES[status]
    container = cast("Mapping[str, object]", told.get("container") or {})
    looked = Seen.model_validate(
        {
            "state": state,
            "started_at": moment(told.get("startedAt")),
            "finished_at": moment(told.get("stoppedAt")),
            "exit_code": container.get("exitCode"),
        }
    )
    summary = cast("Mapping[str, Mapping[str, int]]", told.get("arrayProperties") or {}).get("statusSummary")
    if summary:
        looked.tasks = {}
        for name, count in summary.items():
            if count:
                looked.tasks[STATES[name]] = looked.tasks.get(STATES[name], 0) + count
        # Batch calls an array pending while its tasks run.
        if not looked.final and set(looked.tasks) - {"pending"}:
            looked.state = "running"
    if looked.state == "pending":
        looked.waiting = waiting(status, said)
    if looked.state == "failed":
        looked.failure = failure_from(f"{said} {container.get('reason') or ''}".strip())
    return looked


def waiting(status: str, said: str) -> Waiting:
    """Why a job does not run yet."""
    if status == "PENDING":
        return Waiting(code="DEPENDENCY", reason="Jobs that must succeed before have not.", remedy="Wait for them, or cancel this one.")
    if status == "STARTING":
        return Waiting(code="STARTING", reason="A machine is there and brings the image.", remedy="Wait.")
    return waiting_for(status, said)


def streams_of(told: Mapping[str, object]) -> list[str]:
    """The streams of one job or node, one an attempt."""
    attempts = cast("list[Mapping[str, Mapping[str, object]]]", told.get("attempts") or [])
    present = cast("Mapping[str, object]", told.get("container") or {}).get("logStreamName")
    names = [each.get("container", {}).get("logStreamName") for each in attempts]
    return [str(name) for name in dict.fromkeys([*names, present]) if name]


def moment(milliseconds: object) -> datetime | None:
    """A moment as Batch tells it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if isinstance(milliseconds, int | float) and milliseconds > 0 else None
