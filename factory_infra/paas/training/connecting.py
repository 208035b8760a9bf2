"""Builds what training needs around it, for the factory."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from factory_infra.database import Database
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import LocalPool, TwinPool
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.catalog.lineage import Lineage
from factory_infra.paas.features.set_files import numeric_rows
from factory_infra.paas.features.training_sets import TrainingSets
from factory_infra.paas.training.environments.service import Environments
from factory_infra.paas.training.runs import TrainingRuns
from factory_infra.paas.training.studies.around import Around
from factory_infra.paas.training.studies.service import Studies
from factory_infra.paas.training.studies.tracked import StudyRuns
from factory_infra.paas.training.studies.turning import StudyTurns
from factory_infra.paas.training.tracking import Tracking
from factory_infra.settings import Settings


@dataclass(frozen=True)
class Training:
    """Everything of training that has a state."""

    studies: Studies
    turns: StudyTurns
    runs: TrainingRuns
    environments: Environments


def training_of(database: Database, settings: Settings, jobs: PooledJobs, leases: Leases, sets: TrainingSets) -> Training:
    """Build it. Connects to nothing until it is used."""
    runs = TrainingRuns(Tracking(settings.mlflow_url or ""))
    around = surroundings(settings, jobs=jobs, leases=leases, sets=sets, runs=runs, lineage=Lineage(database))
    return Training(Studies(database, leases), StudyTurns(database, around), runs, environments_of(settings))


def environments_of(settings: Settings) -> Environments:
    """The training environments of this machine."""
    return Environments(settings.home / "environments")


def surroundings(  # noqa: PLR0913 - a study is surrounded by much, each named at the call
    settings: Settings, *, jobs: PooledJobs, leases: Leases, sets: TrainingSets, runs: TrainingRuns, lineage: Lineage
) -> Around:
    """What a study's turn works with."""
    environments, book = environments_of(settings), PoolBook(settings.pools_file)

    async def rows(tenant: str, set_id: str) -> str:
        kept = await sets.get(tenant, set_id)
        return await asyncio.to_thread(numeric_rows, kept)

    def python(name: str, pool: str) -> Path | None:
        return environments.python(name) if isinstance(book.named(pool), LocalPool | TwinPool) else None

    return Around(
        jobs=jobs,
        leases=leases,
        runs=StudyRuns(runs.tracking),
        rows=rows,
        python=python,
        mlflow_url=settings.mlflow_url or "",
        file_gib=settings.job_file_gib_max,
        lineage=lineage,
    )
