"""The program of a trial of our own, and a study of it with real jobs and a real tracking server."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.training.programs.data import load
from factory_infra.paas.training.programs.trial import kept, tried
from factory_infra.paas.training.runs import TrainingRuns
from factory_infra.paas.training.studies.around import Around
from factory_infra.paas.training.studies.models import StudyState
from factory_infra.paas.training.studies.programs import TrialOrder
from factory_infra.paas.training.studies.reports import parsed
from factory_infra.paas.training.studies.tracked import StudyRuns
from factory_infra.paas.training.studies.turning import StudyTurns
from factory_infra.paas.training.tracking import Tracking
from tests.factory_infra.paas.training.studies.stand_in import TEAM, Bench, spec_of

CASES = {
    "mlp": {"hidden": 8, "layers": 2, "alpha": 0.01, "learning_rate": 0.05, "batch": 16, "activation": "tanh"},
    "logistic_regression": {"C": 3.0},
    "svm": {"C": 2.0, "gamma": 0.1, "kernel": "rbf"},
    "k_neighbors": {"n_neighbors": 3, "weights": "distance"},
    "random_forest": {"n_estimators": 5, "max_depth": 4, "min_samples_leaf": 2, "max_features": 0.5},
}


@pytest.mark.parametrize("algorithm", CASES)
async def test_every_algorithm_reports_on_its_way_and_exports(algorithm: str, tmp_path: Path) -> None:
    told = {"study_id": "s", "number": 0, "tenant": TEAM, "metric": "value", "direction": "maximize", "seed": 3}
    order = TrialOrder.model_validate({**told, "parameters": CASES[algorithm], "dataset": "wine", "algorithm": algorithm, "epochs": 6})
    data = load("wine", 3)
    classifier, value = tried(order, data, tmp_path)
    reports = parsed((tmp_path / "reports.jsonl").read_text().splitlines())
    assert [each.step for each in reports] == list(range(1, 7)) and reports[-1].value == value > 0.5
    metrics = await kept(order, data, classifier, {})
    assert metrics["export_agreement"] >= 0.99


@pytest.mark.stack
async def test_a_study_on_real_jobs_leaves_nested_runs_of_which_the_best_is_registered(
    database: Database, mlflow_url: str, tmp_path: Path
) -> None:
    jobs, tracking, bench = LocalJobs(tmp_path / "jobs"), Tracking(mlflow_url), Bench(database)
    around = Around(
        jobs=jobs,
        leases=bench.leases,
        runs=StudyRuns(tracking),
        rows=bench.rows,
        python=lambda name, pool: None,
        mlflow_url=mlflow_url,
        file_gib=1.0,
    )
    program = {"kind": "tabular", "dataset": "iris", "algorithm": "k_neighbors", "epochs": 2}
    space = {"n_neighbors": {"kind": "int", "low": 1, "high": 9}}
    study = await bench.start(spec_of(name="flowers", program=program, space=space, bounds={"trials_max": 2, "parallel": 2}))
    deadline = time.monotonic() + 120
    try:
        while (state := (await StudyTurns(database, around).turn(study)).state) is StudyState.RUNNING:
            assert time.monotonic() < deadline, "the study did not end"
            await asyncio.sleep(0.2)
    finally:
        await asyncio.to_thread(stop_all, tmp_path / "jobs")
    report = await bench.studies.report(study, TEAM)
    assert state is StudyState.FINISHED and report.best is not None, [each.reason for each in await bench.trials(study)]
    runs = await TrainingRuns(tracking).list(TEAM, study=study)
    children = [run for run in runs if run.parent_run_id == report.study.run_id]
    assert len(runs) == 3 and len(children) == 2 and {run.status for run in runs} == {"FINISHED"}
    best = next(run for run in children if run.run_id == report.best.run_id)
    assert best.parameters["n_neighbors"] == str(report.best.parameters["n_neighbors"])
    assert best.metrics["value"] == report.best.value and {"python", "packages_digest", "cores"} <= set(best.environment)
    registry = MlflowRegistry(mlflow_url, database)
    version = await registry.register(TEAM, "flowers", report.best.run_id, "study/1")
    assert version.dataset == "iris" and json.loads(
        (await registry.download(version, tmp_path / "v")).with_name("holdout.json").read_text()
    )
    compared = await TrainingRuns(tracking).compare(TEAM, [run.run_id for run in children])
    assert compared.parameters[0].name == "n_neighbors" and compared.parameters[0].differs
    await registry.close()
    await tracking.close()
