"""Tools over training: the work itself is a job on leased slots."""

import asyncio
import json

from factory_infra.errors import InvalidInput, JobFailed, LineshaftError, PostconditionFailed
from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec
from factory_infra.paas.features.set_files import numeric_rows
from factory_infra.paas.training.datasets import DATASETS
from factory_infra.paas.training.models import TrainingResult, TrainingSpec
from factory_infra.paas.training.spec import DATA_FILE, SET_PREFIX, training_job
from tools.jobs import job_id
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, JobTool, Raw, ToolContext, refused, text_argument
from tools.waiting import ready_lease


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
)
