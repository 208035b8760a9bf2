"""The factory in which a case is played: its setup made through the product's own tools, and its state read back."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import cast

import httpx
from pydantic import JsonValue

from evals.first_job.suite import EndpointSeen, FactoryState, LeaseSeen, ModelSetup, Setup, VersionSeen
from factory_infra.errors import JobFailed
from factory_infra.factory import Factory, address
from factory_infra.iaas.jobs.models import JobLimits, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.training.models import TrainingResult, TrainingSpec
from factory_infra.paas.training.spec import RESULT_FILE, training_job
from factory_infra.paas.training.tracking import Tracking
from factory_infra.saas.vectors.providers.chroma import COLLECTIONS_PATH
from factory_infra.settings import Settings
from tools.deployments import DeployArguments, deploy
from tools.leases import AcquireArguments, acquire
from tools.registry import RegisterArguments, register
from tools.spec import ToolContext

BUDGET = Decimal(1000)
ACTOR = "evaluation"
TRAINING_SECONDS_MAX = 300.0
POLL_SECONDS = 0.2
SERVING = "serve-"
"""Jobs whose id begins so serve an endpoint, which the state shows as such."""


class Workshop:
    """Trains what setups need by the product's own job, once for each team and dataset: the runs are kept for all cases."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._jobs = LocalJobs(folder)
        self._mlflow_url = address(settings.mlflow_url, "MLflow")
        self._runs: dict[tuple[str, str], str] = {}

    async def run_of(self, factory: Factory, team: str, dataset: str) -> str:
        """Return the id of a finished run of a team on a dataset. Raises JobFailed."""
        if (team, dataset) not in self._runs:
            self._runs[team, dataset] = await self._train(factory, team, dataset)
        return self._runs[team, dataset]

    def stop(self) -> None:
        """End what still trains."""
        stop_all(self._folder)

    async def _train(self, factory: Factory, team: str, dataset: str) -> str:
        pool = await factory.accelerators.pool()
        name = f"setup-{team}-{dataset}"
        spec = TrainingSpec(tenant=team, dataset=dataset, model_name=model_name(dataset), run_key=name)
        slots = [slot.index for slot in pool.slots]
        limits = JobLimits(seconds=TRAINING_SECONDS_MAX)
        job = await self._jobs.submit(
            training_job(spec, job_id=name, slot_kind=pool.kind, slots=slots, mlflow_url=self._mlflow_url, limits=limits)
        )
        deadline = time.monotonic() + TRAINING_SECONDS_MAX
        while not job.state.final and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            job = await self._jobs.get(name, team)
        told = await self._jobs.result(name, team, RESULT_FILE)
        if job.state is not JobState.SUCCEEDED or told is None:
            raise JobFailed(f"The setup's training on {dataset} ended as {job.state}.", remedy="Play the first job to see why.")
        return TrainingResult.model_validate_json(told).run_id


def model_name(dataset: str) -> str:
    """What a setup calls the model of a dataset."""
    return f"{endpoint_name(dataset)}-classifier"


def endpoint_name(dataset: str) -> str:
    """What a setup calls the endpoint of a dataset."""
    return dataset.replace("_", "-")


async def forget_models(settings: Settings) -> None:
    """Delete what former cases left in the servers that all share: registered models, so that versions count from 1, and vectors."""
    tracking = Tracking(address(settings.mlflow_url, "MLflow"))
    try:
        found = await tracking.get("/registered-models/search", {"max_results": 1000})
        for model in cast("list[dict[str, JsonValue]]", found.get("registered_models", [])):
            await tracking.post("/registered-models/delete", {"name": model["name"]}, method="DELETE")
    finally:
        await tracking.close()
    async with httpx.AsyncClient(base_url=address(settings.chroma_url, "Chroma"), trust_env=False) as chroma:
        await chroma.delete(f"{COLLECTIONS_PATH}/lineshaft")


async def prepare(factory: Factory, setup: Setup, workshop: Workshop) -> None:
    """Make the state before the first request: teams, registered and live models, leases."""
    for team in setup.teams:
        await factory.tenants.create(team.name, quota_slots=team.quota_slots, budget=BUDGET)
    for number, model in enumerate(setup.models):
        await _prepare_model(factory, model, workshop, f"setup/model/{number}")
    for number, lease in enumerate(setup.leases):
        arguments = AcquireArguments(slots=lease.slots, purpose="held before", seconds=3600)
        await acquire(_context(factory, lease.team, f"setup/lease/{number}"), arguments)


async def _prepare_model(factory: Factory, model: ModelSetup, workshop: Workshop, key: str) -> None:
    run_id = await workshop.run_of(factory, model.team, model.dataset)
    name = model_name(model.dataset)
    versions = []
    for number in range(model.versions):
        context = _context(factory, model.team, f"{key}/register/{number}")
        versions.append((await register(context, RegisterArguments(model_name=name, run_id=run_id))).version)
    for version in versions[-2:] if model.deployed else []:
        arguments = DeployArguments(endpoint=endpoint_name(model.dataset), model_name=name, version=version)
        await deploy(_context(factory, model.team, f"{key}/deploy/{version}"), arguments)


def _context(factory: Factory, team: str, key: str) -> ToolContext:
    return ToolContext(factory=factory, tenant=team, actor=ACTOR, key=key, plan_id="")


async def read_state(factory: Factory) -> FactoryState:
    """Read what there is of all teams at this moment, in an order that does not depend on time."""
    versions = [
        VersionSeen(team=each.tenant, model_name=each.model_name, version=each.version, dataset=each.dataset)
        for each in await factory.registry.list()
    ]
    leases = [LeaseSeen(team=each.tenant, id=each.id, slots=len(each.slots)) for each in await factory.leases.list()]
    running = [each.id for each in await factory.jobs.list() if not each.state.final and not each.id.startswith(SERVING)]
    return FactoryState(
        endpoints=tuple(sorted(await _endpoints(factory), key=lambda each: (each.team, each.name))),
        versions=tuple(sorted(versions, key=lambda each: (each.team, each.model_name, each.version))),
        leases=tuple(sorted(leases, key=lambda each: each.id)),
        jobs_running=tuple(sorted(running)),
    )


async def _endpoints(factory: Factory) -> list[EndpointSeen]:
    seen = []
    for each in await factory.deployments.list():
        served = await factory.registry.get(each.tenant, each.model_name, each.version)
        seen.append(
            EndpointSeen(
                team=each.tenant,
                name=each.name,
                model_name=each.model_name,
                version=each.version,
                dataset=served.dataset,
                accuracy=served.metrics.get("accuracy"),
            )
        )
    return seen
