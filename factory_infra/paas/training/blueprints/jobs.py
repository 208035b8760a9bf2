"""From a blueprint and its order to the job that runs it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue, ValidationError

from factory_infra.errors import InvalidInput, JobFailed
from factory_infra.foundation.pools.spec import AwsPool, LocalPool, PoolSpec, TwinPool
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.iaas.leases.models import Lease
from factory_infra.paas.training.blueprints.catalogue import blueprint_named
from factory_infra.paas.training.blueprints.models import Blueprint, BlueprintResult, DistributedOrder, LoraOrder, Order
from factory_infra.paas.training.blueprints.shipping import shipped, starter
from factory_infra.paas.training.environments.catalogue import environment_named
from factory_infra.paas.training.environments.service import Environments
from factory_infra.paas.training.spec import DATA_FILE, NAME

START_FILE, PROGRAM_FILE, ORDER_FILE, TEXT_FILE, RESULT_FILE = "start.py", "train.py", "order.json", "text.txt", "result.json"
SAGEMAKER = "sagemaker"
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
"""Nothing is told to, or fetched from, third parties."""


@dataclass(frozen=True)
class Wanted:
    """A blueprint's run, whoever asks for it.

    Args:
        blueprint: which.
        order: what its program is to do.
        tenant: whose.
        model_name: its experiment in MLflow is TEAM/MODEL_NAME.
        run_key: the run of this key is found again, never made twice.
        nodes: so many machines, each of which starts it.
        image: the container image, where the pool runs containers.
        install: let the job itself install what it needs, where neither an environment nor the image has it.
        tags: of the run.
    """

    blueprint: Blueprint
    order: Order
    tenant: str
    model_name: str
    run_key: str
    nodes: int = 1
    image: str = ""
    install: bool = False
    tags: dict[str, str] = field(default_factory=dict)


def checked_order(name: str, order: Mapping[str, JsonValue]) -> Order:
    """Return what a blueprint's program is to do. Raises InvalidInput `blueprint_unknown`, `blueprint_invalid` with the field."""
    blueprint = blueprint_named(name)
    try:
        return blueprint.order.model_validate(dict(order))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "order"
        known = ", ".join(sorted(blueprint.order.model_fields))
        raise InvalidInput(
            f"{where} of blueprint {name}: {first['msg']}.", remedy=f"It takes {known}.", code="blueprint_invalid"
        ) from error


def check_place(wanted: Wanted, pool: PoolSpec, lease: Lease) -> None:
    """Refuse what this pool cannot run. Raises InvalidInput `blueprint_invalid`."""
    if not NAME.fullmatch(wanted.model_name):
        reason, remedy = (
            f"The model's name is not valid: {wanted.model_name[:80]!r}.",
            "Use at most 63 small letters, digits, '.', '_' and '-'.",
        )
        raise InvalidInput(reason, remedy=remedy, code="model_name_invalid")
    if wanted.nodes > wanted.blueprint.nodes_max:
        reason = f"Blueprint {wanted.blueprint.name} runs on at most {wanted.blueprint.nodes_max} nodes."
        raise InvalidInput(reason, remedy="Ask for fewer nodes.", code="blueprint_invalid")
    if wanted.blueprint.name == SAGEMAKER and not (isinstance(pool, AwsPool) and pool.jobs == SAGEMAKER):
        reason = f"Pool {pool.name} is no pool of SageMaker."
        raise InvalidInput(reason, remedy="Name a pool of AWS with jobs: sagemaker.", code="blueprint_invalid")
    if lease.slots and len(lease.slots) < wanted.nodes:
        reason = f"Lease {lease.id} has {len(lease.slots)} slots for {wanted.nodes} nodes."
        raise InvalidInput(reason, remedy="Lease more slots.", code="blueprint_invalid")


def blueprint_job(wanted: Wanted, job_id: str, lease: Lease, limits: JobLimits, mlflow_url: str) -> JobSpec:
    """Return the job, for this interpreter: see `with_python` for the environment's. Its folder then holds `result.json`."""
    order = wanted.order
    processes = order.processes or max(len(lease.slots) // wanted.nodes, 1)
    told = {
        **order.model_dump(mode="json", exclude={"text", "processes"}),
        "strategy": wanted.blueprint.strategy,
        "launcher": wanted.blueprint.launcher,
        "processes": processes,
        "cpu": lease.slot_kind == "cpu",
        "tracking_url": mlflow_url,
        "experiment": f"{wanted.tenant}/{wanted.model_name}",
        "run_key": wanted.run_key,
        "tags": {"mlflow.user": wanted.tenant, **{f"lineshaft.{name}": value for name, value in tags_of(wanted).items()}},
        "requirements": environment_named(wanted.blueprint.environment).requirements if wanted.install else [],
    }
    inputs = {START_FILE: starter(), PROGRAM_FILE: shipped(wanted.blueprint.program), ORDER_FILE: json.dumps(told, indent=1)}
    if isinstance(order, LoraOrder) and order.text:
        inputs[TEXT_FILE] = order.text
    return JobSpec(
        id=job_id,
        tenant=wanted.tenant,
        name=f"{wanted.blueprint.name} {wanted.model_name}",
        argv=[sys.executable, START_FILE],
        # The variable is what opens the way to the tracking server in the walls around local jobs.
        environment={"MLFLOW_TRACKING_URI": mlflow_url, **QUIET},
        inputs=inputs,
        slot_kind=lease.slot_kind,
        slots=lease.slots,
        devices=lease.devices,
        limits=limits,
        pool=lease.pool,
        lease_id=lease.id,
        image=wanted.image,
        nodes=wanted.nodes,
    )


def with_python(job: JobSpec, wanted: Wanted, pool: PoolSpec, environments: Environments) -> JobSpec:
    """The job with the interpreter that has what it needs. Raises InvalidInput `environment_missing` on this machine without it."""
    if wanted.install or not isinstance(pool, LocalPool | TwinPool):
        return job
    name = wanted.blueprint.environment
    python = environments.python(name)
    if python is None:
        raise InvalidInput(
            f"The training environment {name} is not installed.",
            remedy=f"lineshaft training environments install {name}",
            code="environment_missing",
        )
    return job.model_copy(update={"argv": [str(python), *job.argv[1:]]})


def with_rows(job: JobSpec, rows: str) -> JobSpec:
    """The job with the rows of a training set."""
    return job.model_copy(update={"inputs": {**job.inputs, DATA_FILE: rows}})


def dataset_of(order: Order) -> str:
    """The training set that an order names, or nothing."""
    return order.dataset if isinstance(order, DistributedOrder) else ""


def tags_of(wanted: Wanted) -> dict[str, str]:
    """Whose run it is, and what registering it needs."""
    algorithm = "lora" if wanted.blueprint.program == "lora" else wanted.blueprint.name
    base = wanted.order.base if isinstance(wanted.order, LoraOrder) else ""
    dataset = dataset_of(wanted.order) or ("text" if isinstance(wanted.order, LoraOrder) else "spirals")
    told = {"tenant": wanted.tenant, "model_name": wanted.model_name, "blueprint": wanted.blueprint.name, "algorithm": algorithm}
    return {**told, "dataset": dataset, "dataset_digest": "", **({"base": base or "tiny"} if algorithm == "lora" else {}), **wanted.tags}


def result_of(blueprint: str, text: str | None, job_id: str) -> BlueprintResult:
    """Read what the job left. Raises JobFailed when it left nothing readable."""
    try:
        read = json.loads(text or "")
        metrics = {name: float(value) for name, value in read.items() if isinstance(value, int | float) and not isinstance(value, bool)}
        return BlueprintResult(blueprint=blueprint, job_id=job_id, run_id=str(read["run_id"]), value=metrics.pop("value"), metrics=metrics)
    except (ValueError, KeyError, AttributeError) as error:
        raise JobFailed(f"Job {job_id} ended without a result.", remedy=f"Read its log: lineshaft jobs logs {job_id}.") from error
