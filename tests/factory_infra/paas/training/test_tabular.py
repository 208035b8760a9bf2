"""The training program, end to end: a real job against a real tracking server."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.training.models import TrainingResult, TrainingSpec
from factory_infra.paas.training.programs.data import load
from factory_infra.paas.training.spec import training_job
from factory_infra.paas.training.tracking import Tracking

pytestmark = pytest.mark.stack


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[LocalJobs]:
    """A provider whose jobs are all ended after the test."""
    yield LocalJobs(tmp_path / "jobs")
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


def job_of(spec: TrainingSpec, job_id: str, mlflow_url: str) -> JobSpec:
    """The training as a job on one core."""
    return training_job(spec, job_id=job_id, slot_kind="cpu", slots=[0], mlflow_url=mlflow_url, limits=JobLimits())


async def ended(jobs: LocalJobs, job_id: str, seconds: float = 90.0) -> Job:
    """Wait for a job's end."""
    deadline = time.monotonic() + seconds
    while not (job := await jobs.get(job_id, "vision")).state.final:
        assert time.monotonic() < deadline, "the training did not end"
        await asyncio.sleep(0.1)
    return job


async def runs_of(tracking: Tracking, experiment_id: str) -> int:
    """How many runs an experiment has."""
    runs = (await tracking.post("/runs/search", {"experiment_ids": [experiment_id], "max_results": 100})).get("runs", [])
    assert isinstance(runs, list)
    return len(runs)


async def test_digits_train_above_95_percent_and_leave_their_lineage_once(jobs: LocalJobs, tmp_path: Path, mlflow_url: str) -> None:
    spec = TrainingSpec(tenant="vision", dataset="digits", model_name="reader", run_key="p1/train", plan_id="p1")
    began = time.monotonic()
    # The first job is stopped in mid-training, as when the stack goes down; the second takes its place under the same id.
    await jobs.submit(job_of(spec, "p1-train", mlflow_url))
    while (await jobs.get("p1-train", "vision")).percent is None:
        assert time.monotonic() - began < 60
        await asyncio.sleep(0.02)
    assert await asyncio.to_thread(stop_all, tmp_path / "jobs") == 1
    await jobs.submit(job_of(spec, "p1-train", mlflow_url))
    job = await ended(jobs, "p1-train")
    assert job.state is JobState.SUCCEEDED, (await jobs.logs("p1-train", "vision")).text
    result = TrainingResult.model_validate_json(await jobs.result("p1-train", "vision", "result.json") or "")
    assert result.accuracy > 0.95 and result.metrics["export_agreement"] >= 0.99
    assert result.dataset_digest == load("digits", 0).digest

    # The same training once more, in another job: the run of the key is found again.
    await jobs.submit(job_of(spec, "p1-train-2", mlflow_url))
    assert (await ended(jobs, "p1-train-2")).state is JobState.SUCCEEDED
    again = TrainingResult.model_validate_json(await jobs.result("p1-train-2", "vision", "result.json") or "")
    assert again.run_id == result.run_id

    tracking = Tracking(mlflow_url)
    run = await tracking.run(result.run_id)
    assert await runs_of(tracking, result.experiment_id) == 1
    assert run.info.status == "FINISHED" and run.metrics["accuracy"] == pytest.approx(result.accuracy)
    assert {run.tags[f"lineshaft.{tag}"] for tag in ("tenant", "plan_id", "dataset")} == {"vision", "p1", "digits"}
    assert "lineshaft.package.scikit-learn" in run.tags
    await tracking.close()


async def test_without_a_tracking_server_the_job_fails_and_says_why(jobs: LocalJobs) -> None:
    spec = TrainingSpec(tenant="vision", dataset="iris", model_name="reader", algorithm="svm", run_key="p2/train")
    await jobs.submit(job_of(spec, "p2-train", "http://127.0.0.1:9"))
    job = await ended(jobs, "p2-train")
    assert job.failure is not None and "tracking_unavailable" in job.failure.reason


def test_the_split_is_the_same_for_the_same_seed_and_keeps_parts_apart() -> None:
    one, two, other = load("iris", 0), load("iris", 0), load("iris", 1)
    assert one.held_out.rows.tolist() == two.held_out.rows.tolist() != other.held_out.rows.tolist()
    assert one.digest == other.digest
    assert [len(part.labels) for part in (one.fit, one.validate, one.held_out)] == [90, 30, 30]
