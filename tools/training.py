"""Tools over training: the work itself is a job on leased slots."""

import asyncio
import json
from math import isfinite

from pydantic import Field, JsonValue

from factory_infra.errors import InvalidInput, JobFailed, LineshaftError, PostconditionFailed
from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec
from factory_infra.paas.features.set_files import numeric_rows
from factory_infra.paas.training.blueprints.catalogue import blueprint_named
from factory_infra.paas.training.blueprints.jobs import (
    Wanted,
    blueprint_job,
    check_place,
    checked_order,
    dataset_of,
    result_of,
    with_python,
    with_rows,
)
from factory_infra.paas.training.blueprints.models import BlueprintResult
from factory_infra.paas.training.datasets import DATASETS
from factory_infra.paas.training.models import TrainingResult, TrainingSpec
from factory_infra.paas.training.runs import Comparison, RunLine
from factory_infra.paas.training.spec import DATA_FILE, SET_PREFIX, training_job
from tools.jobs import job_id
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, JobTool, Raw, Result, Tool, ToolContext, refused, text_argument
from tools.waiting import ready_lease

RUNS_MAX = 100


class TrainArguments(Arguments):
    """What to train, on what, where."""

    dataset: str
    model_name: str
    lease_id: str
    algorithm: str = "auto"


async def train(context: ToolContext, arguments: TrainArguments) -> TrainingResult:
    """Train a classifier on a dataset of the catalog, on the slots of a lease; logs, progress and the run are kept."""
    raise JobFailed("A training job is run by the job workflow.", remedy="Start it through a plan.")


async def prepare(context: ToolContext, arguments: TrainArguments) -> JobSpec:
    """Say what to run, on the slots of a lease that is still held."""
    settings = context.factory.settings
    lease = await ready_lease(context, arguments.lease_id)
    name = job_id(context.key)
    spec = TrainingSpec(
        tenant=context.tenant,
        dataset=arguments.dataset,
        model_name=arguments.model_name,
        algorithm=arguments.algorithm,
        run_key=context.key,
        plan_id=context.plan_id,
    )
    limits = JobLimits(memory_gib=settings.job_memory_gib_max, file_gib=settings.job_file_gib_max, seconds=settings.job_seconds_max)
    job = training_job(spec, job_id=name, slot_kind=lease.slot_kind, slots=lease.slots, mlflow_url=settings.mlflow_url or "", limits=limits)
    if spec.dataset.startswith(SET_PREFIX):
        rows = await training_rows(context, spec.dataset.removeprefix(SET_PREFIX))
        job = job.model_copy(update={"inputs": {**job.inputs, DATA_FILE: rows}})
    return job.model_copy(update={"pool": lease.pool, "lease_id": lease.id, "devices": lease.devices})


async def training_rows(context: ToolContext, set_id: str) -> str:
    """The rows of a training set as a job reads them. Raises NotFound, Conflict where its file changed, InvalidInput, TooLarge."""
    kept = await context.factory.training_sets.get(context.tenant, set_id)
    return await asyncio.to_thread(numeric_rows, kept)


async def collect(context: ToolContext, arguments: TrainArguments, job: Job) -> TrainingResult:
    """Read what the job left. Raises JobFailed when it left nothing readable."""
    text = await context.factory.jobs.result(job.id, context.tenant, "result.json")
    if text is None:
        raise JobFailed(f"Job {job.id} ended without a result.", remedy=f"Read its log: lineshaft jobs logs {job.id}.")
    return TrainingResult.model_validate(json.loads(text))


async def dry_run(context: ToolContext, raw: Raw) -> DryRun:
    """The dataset must be there."""
    wanted = text_argument(raw, "dataset")
    if wanted is None:
        return DryRun(reason="on the training set that an earlier step makes")
    if wanted.startswith(SET_PREFIX):
        return await dry_run_set(context, wanted.removeprefix(SET_PREFIX))
    names = [dataset.name for dataset in DATASETS]
    if wanted not in names:
        return refused(
            InvalidInput(f"There is no dataset '{wanted}'.", code="dataset_unknown", remedy=f"Choose one of {', '.join(names)}.")
        )
    return DryRun(reason="the dataset ships with scikit-learn; starts when the lease is granted", starts_in_seconds=0.0)


async def dry_run_set(context: ToolContext, set_id: str) -> DryRun:
    """The training set must be there, with labels."""
    try:
        kept = await context.factory.training_sets.get(context.tenant, set_id)
        if not kept.label:
            raise InvalidInput(f"Training set {set_id} has no labels.", remedy="Make one with a label.", code="training_set_unlabelled")
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"{kept.rows} rows of training set {kept.id}; starts when the lease is granted", starts_in_seconds=0.0)


async def price(context: ToolContext, raw: Raw) -> Price:
    """Nothing beyond the slots that it runs on."""
    return Price(currency=context.factory.metering.prices.currency, basis="paid by the lease that it runs on")


async def verify(context: ToolContext, arguments: TrainArguments, result: TrainingResult) -> None:
    """The job has succeeded and its accuracy is a number that can be one."""
    job = await context.factory.jobs.get(job_id(context.key), context.tenant)
    if job.state.value != "succeeded" or not 0.0 <= result.accuracy <= 1.0:
        raise PostconditionFailed(f"Job {job.id} is {job.state} with accuracy {result.accuracy}.")


class RunsArguments(Arguments):
    """Which runs."""

    experiment: str = Field(default="", description="Of one model or study, by its name.")
    study_id: str = ""
    limit: int = Field(default=20, ge=1, le=RUNS_MAX)
    offset: int = Field(default=0, ge=0)


class RunFacts(Result):
    """One run, as far as a reader needs it."""

    run_id: str
    experiment: str
    name: str
    status: str
    metrics: dict[str, float]
    parameters: dict[str, str]
    url: str


class RunList(Result):
    """Runs, newest first."""

    runs: list[RunFacts]


class CompareArguments(Arguments):
    """Which runs."""

    run_ids: list[str] = Field(min_length=2, max_length=20)


def facts(run: RunLine) -> RunFacts:
    """Shape a run for a reader."""
    return RunFacts.model_validate(run.model_dump(include=set(RunFacts.model_fields)))


async def runs(context: ToolContext, arguments: RunsArguments) -> RunList:
    """List the team's training runs, newest first, with their metrics and parameters."""
    found = await context.factory.training_runs.list(
        context.tenant,
        experiment=arguments.experiment or None,
        study=arguments.study_id or None,
        limit=arguments.limit,
        offset=arguments.offset,
    )
    return RunList(runs=[facts(each) for each in found])


async def compare(context: ToolContext, arguments: CompareArguments) -> Comparison:
    """Put training runs side by side: metrics, parameters and what they ran on; what differs comes first."""
    return await context.factory.training_runs.compare(context.tenant, arguments.run_ids)


class BlueprintArguments(Arguments):
    """Which blueprint, with what order, where."""

    blueprint: str = Field(description="ddp, fsdp, lora, ray or sagemaker.")
    model_name: str = Field(description="Its runs are in the experiment of this name.")
    lease_id: str
    order: dict[str, JsonValue] = Field(default={}, description="What its program is to do: epochs, steps, rank and the like.")
    nodes: int = Field(default=1, ge=1, le=64)
    image: str = Field(default="", max_length=255, description="The container image, where the pool runs containers.")
    install: bool = Field(default=False, description="Let the job install what it needs, where the pool has no environment for it.")
    seconds: int = Field(default=3600, ge=1, le=604_800)
    memory_gib: float = Field(default=4.0, gt=0, le=100_000)


async def blueprint(context: ToolContext, arguments: BlueprintArguments) -> BlueprintResult:
    """Run a training blueprint as a job: DDP, FSDP, LoRA, Ray Train or SageMaker; its run is in MLflow and can be registered."""
    raise JobFailed("A training job is run by the job workflow.", remedy="Start it through a plan.")


async def prepare_blueprint(context: ToolContext, arguments: BlueprintArguments) -> JobSpec:
    """Say what to run, on the slots of a lease that is still held."""
    factory, lease = context.factory, await ready_lease(context, arguments.lease_id)
    wanted = wanted_of(context, arguments)
    pool = factory.pools.named(lease.pool)
    check_place(wanted, pool, lease)
    limits = JobLimits(memory_gib=arguments.memory_gib, file_gib=factory.settings.job_file_gib_max, seconds=arguments.seconds)
    job = blueprint_job(wanted, job_id(context.key), lease, limits, factory.settings.mlflow_url or "")
    job = with_python(job, wanted, pool, factory.training_environments)
    dataset = dataset_of(wanted.order)
    return with_rows(job, await training_rows(context, dataset.removeprefix(SET_PREFIX))) if dataset else job


def wanted_of(context: ToolContext, arguments: BlueprintArguments) -> Wanted:
    """A blueprint's run as the factory takes it. Raises InvalidInput."""
    return Wanted(
        blueprint=blueprint_named(arguments.blueprint),
        order=checked_order(arguments.blueprint, arguments.order),
        tenant=context.tenant,
        model_name=arguments.model_name,
        run_key=context.key,
        nodes=arguments.nodes,
        image=arguments.image,
        install=arguments.install,
        tags={"plan_id": context.plan_id, "job_id": job_id(context.key)},
    )


async def collect_blueprint(context: ToolContext, arguments: BlueprintArguments, job: Job) -> BlueprintResult:
    """Read what the job left. Raises JobFailed when it left nothing readable."""
    return result_of(arguments.blueprint, await context.factory.jobs.result(job.id, context.tenant, "result.json"), job.id)


async def dry_run_blueprint(context: ToolContext, raw: Raw) -> DryRun:
    """The blueprint takes this order, and what it needs is installed where the lease is."""
    name, order, lease_id = text_argument(raw, "blueprint"), raw.get("order", {}), text_argument(raw, "lease_id")
    try:
        checked = checked_order(name or "", order if isinstance(order, dict) else {})
        known = blueprint_named(name or "")
        if dataset := dataset_of(checked):
            await context.factory.training_sets.get(context.tenant, dataset.removeprefix(SET_PREFIX))
        if lease_id is not None:
            arguments = BlueprintArguments.model_validate(dict(raw))
            pool, wanted = context.factory.pools.named((lease := await ready_lease(context, lease_id)).pool), wanted_of(context, arguments)
            check_place(wanted, pool, lease)
            with_python(blueprint_job(wanted, "job", lease, JobLimits(), ""), wanted, pool, context.factory.training_environments)
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"{known.description} It needs the training environment {known.environment}, or an image that has it.")


async def verify_blueprint(context: ToolContext, arguments: BlueprintArguments, result: BlueprintResult) -> None:
    """The job has succeeded and its value is a number."""
    job = await context.factory.jobs.get(job_id(context.key), context.tenant)
    if job.state.value != "succeeded" or not isfinite(result.value):
        raise PostconditionFailed(f"Job {job.id} is {job.state} with value {result.value}.")


TOOLS = (
    JobTool(
        "training.run",
        Effect.COSTLY,
        TrainArguments,
        TrainingResult,
        train,
        dry_run,
        price,
        verify,
        undo_words="cancel the job; its run stays in MLflow as a record",
        postcondition="the job succeeded and its run is in MLflow",
        runs_as="job",
        identify=job_id,
        prepare=prepare,
        collect=collect,
    ),
    Tool("training.runs", Effect.READ, RunsArguments, RunList, runs),
    Tool("training.compare", Effect.READ, CompareArguments, Comparison, compare),
    JobTool(
        "training.blueprint",
        Effect.COSTLY,
        BlueprintArguments,
        BlueprintResult,
        blueprint,
        dry_run_blueprint,
        price,
        verify_blueprint,
        undo_words="cancel the job; its run stays in MLflow as a record",
        postcondition="the job succeeded and its run is in MLflow",
        runs_as="job",
        identify=job_id,
        prepare=prepare_blueprint,
        collect=collect_blueprint,
    ),
)
