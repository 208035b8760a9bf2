"""What Batch and SageMaker have in common for us: one submission, one look, one stop; and their reasons in our words."""

import hashlib
import re
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.aws import AwsAccess
from factory_infra.iaas.isolation.aws_roles import role_arn
from factory_infra.iaas.jobs.models import JobFailure, JobSpec, Waiting

NAME_CHARACTERS = 40
DIGEST_CHARACTERS = 12


class Stream(BaseModel):
    """One log stream of a job, in the order in which they are read."""

    name: str
    over: bool


class Seen(BaseModel):
    """A job as its engine sees it."""

    state: Literal["pending", "running", "succeeded", "failed"]
    waiting: Waiting | None = None
    failure: JobFailure | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    tasks: dict[str, int] = {}

    @property
    def final(self) -> bool:
        """Whether it will not change any more."""
        return self.state in {"succeeded", "failed"}


class Submission(BaseModel):
    """What an engine is asked to start."""

    spec: JobSpec
    name: str
    environment: dict[str, str]
    generation: int
    after: list[str] = []


class Engine(Protocol):
    """One engine of a pool of AWS."""

    log_group: str

    def check(self, spec: JobSpec) -> None:
        """Raise InvalidInput `not_offered` for what it cannot do, `pool_incomplete` for what the pool's entry lacks."""
        ...

    async def submit(self, asked: Submission) -> str:
        """Start it and return the engine's id. Raises Unavailable where nobody knows whether it was started."""
        ...

    async def find(self, name: str, spec: JobSpec) -> str:
        """The id of the job of this name, or nothing."""
        ...

    async def look(self, engine_ids: list[str]) -> dict[str, Seen]:
        """How jobs stand; those that the engine does not know are left out."""
        ...

    async def stop(self, engine_id: str) -> None:
        """Ask that it ends. Asking for one that has ended is not an error."""
        ...

    async def streams(self, engine_id: str, nodes: int) -> list[Stream]:
        """The log streams of all its attempts and nodes."""
        ...


def engine_name(tenant: str, job_id: str, generation: int) -> str:
    """The name by which a generation of a job is found again: our id as far as letters go, and what makes it the only one."""
    digest = hashlib.sha256(f"{tenant}/{job_id}".encode()).hexdigest()[:DIGEST_CHARACTERS]
    letters = re.sub(r"[^A-Za-z0-9]+", "-", job_id).strip("-")[:NAME_CHARACTERS].strip("-") or "job"
    return f"{letters}-{digest}-{generation}"


async def role_of(access: AwsAccess, tenant: str) -> str:
    """The role that a tenant's containers run under: its own, where the pool wants that, else the pool's."""
    if not access.pool.tenant_roles:
        return access.pool.job_role_arn
    account = str((await access.read("sts", "get_caller_identity"))["Account"])
    return role_arn(access.pool, account, tenant)


def not_offered(engine: str, ability: str, instead: str) -> InvalidInput:
    """What an engine cannot do."""
    return InvalidInput(f"{engine} has no {ability}.", remedy=instead, code="not_offered")


def pool_lacks(pool: str, field: str) -> InvalidInput:
    """What a pool's entry must say before jobs can run there."""
    return InvalidInput(
        f"Pool {pool} names no {field}, and its jobs need one.", remedy=f"Set '{field}' in the pools' file.", code="pool_incomplete"
    )


WAITING: tuple[tuple[str, str, str], ...] = (
    (
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        "No machine of the queue is large enough for what the job asks.",
        "Ask for fewer slots or less memory, or add a larger type of machine to the compute environment.",
    ),
    (
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "The queue's compute environment may not grow to what the job asks.",
        "Raise its maxvCpus, or ask for less.",
    ),
    (
        "MISCONFIGURATION",
        "The queue's compute environment is set up in a way that starts nothing.",
        "Read the engine's reason and correct it.",
    ),
    (
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "AWS has no machine of the wanted types free now; the job starts once there is one.",
        "Wait, or add other types or zones to the compute environment, or use a capacity reservation.",
    ),
    (
        "ACTION_REQUIRED",
        "The queue's compute environment is broken and needs a hand.",
        "Read the engine's reason; often a role or a network is missing.",
    ),
    ("CapacityError", "AWS has no machine of the wanted type free now.", "Wait, or take another type of machine or region."),
)
QUEUED = ("The job waits for its turn in the queue.", "Nothing is wrong: wait, or use a queue of higher priority.")


def waiting_for(code: str, said: str) -> Waiting:
    """Put an engine's reason for not starting into words."""
    for start, reason, remedy in WAITING:
        if said.startswith(start) or code.startswith(start):
            return Waiting(code=said.split(" ")[0][:120] or code, reason=f"{reason} ({said})" if said else reason, remedy=remedy)
    reason, remedy = QUEUED
    return Waiting(code=code, reason=f"{reason} ({said})" if said else reason, remedy=remedy)


FAILURES: tuple[tuple[str, str, str, str], ...] = (
    (
        "Dependent Job failed",
        "dependency_failed",
        "A job that had to succeed before did not.",
        "See why that one failed, then submit both again.",
    ),
    ("OutOfMemory", "job_memory", "The job needed more memory than it had.", "Use less, or ask for more memory."),
    ("exceeded timeout", "job_timeout", "The job ran longer than it may.", "Make it shorter, or raise its limit of time."),
    ("MaxRuntimeExceeded", "job_timeout", "The job ran longer than it may.", "Make it shorter, or raise its limit of time."),
    ("CannotPullContainer", "image_unavailable", "The job's image cannot be had.", "Check its name and that the machines may read it."),
    ("CannotCreateContainer", "image_unavailable", "The job's container cannot be made.", "Check the image and the job's role."),
    (
        "Host EC2",
        "host_lost",
        "The machine was taken away more often than a job may be started again.",
        "Retry it, or use machines on demand.",
    ),
    ("CapacityError", "capacity_short", "AWS had no machine of the wanted type.", "Try again later, or take another type or region."),
    (
        "ResourceLimitExceeded",
        "account_limit",
        "A limit of the account is reached.",
        "Release what is not needed, or ask AWS to raise the limit.",
    ),
    ("AlgorithmError", "job_failed", "The job's program failed.", "Read the job's log."),
    (
        "ClientError",
        "job_failed",
        "The job could not be set up.",
        "Read the engine's reason; often a role may not read the bucket or the image.",
    ),
    ("InternalServerError", "engine_failed", "The engine itself failed.", "Retry it."),
)


def failure_from(said: str) -> JobFailure:
    """Put an engine's reason for a failure into words."""
    for part, code, reason, remedy in FAILURES:
        if part.lower() in said.lower():
            return JobFailure(code=code, reason=f"{reason} ({said[:300]})", remedy=remedy)
    return JobFailure(code="job_failed", reason=f"The job failed: {said[:300] or 'the engine says no more'}.", remedy="Read the job's log.")
