"""What an engine says, in our words; and what a job is called there."""

import re
from datetime import UTC, datetime

import pytest

from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers import aws_batch, sagemaker
from factory_infra.iaas.jobs.providers.aws_batch import requirements, streams_of
from factory_infra.iaas.jobs.providers.aws_engine import engine_name, failure_from, waiting_for
from factory_infra.iaas.jobs.providers.sagemaker import host_order, training_type


class TestNames:
    def test_one_for_each_tenant_job_and_generation(self) -> None:
        names = [engine_name(*each) for each in (("a", "j.1", 1), ("b", "j.1", 1), ("a", "j-1", 1), ("a", "j.1", 2))]
        assert len(set(names)) == 4 and names[0].startswith("j-1-")

    @pytest.mark.parametrize("job_id", ["x" * 128, "a..b__c", "9-", "A.b"])
    def test_they_fit_both_engines(self, job_id: str) -> None:
        name = engine_name("tenant", job_id, 12)
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)


class TestWords:
    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too large", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
            ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none", "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"),
            ("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS", "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS"),
            ("", "RUNNABLE"),
        ],
    )
    def test_why_a_job_waits(self, said: str, code: str) -> None:
        waiting = waiting_for("RUNNABLE", said)
        assert waiting.code == code and waiting.reason and waiting.remedy

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ("Dependent Job failed", "dependency_failed"),
            ("Essential container in task exited OutOfMemoryError: Container killed due to memory usage", "job_memory"),
            ("Job attempt duration exceeded timeout", "job_timeout"),
            ("CannotPullContainerError: manifest unknown", "image_unavailable"),
            ("Host EC2 (instance i-1) terminated.", "host_lost"),
            ("CapacityError: Unable to provision requested ML compute capacity", "capacity_short"),
            ("ResourceLimitExceeded: ml.p5.48xlarge", "account_limit"),
            ("AlgorithmError: exit code 1", "job_failed"),
            ("whatever else", "job_failed"),
            ("", "job_failed"),
        ],
    )
    def test_why_a_job_failed(self, said: str, code: str) -> None:
        failure = failure_from(said)
        assert failure.code == code and failure.reason and failure.remedy


class TestBatch:
    def test_an_array_runs_while_its_tasks_do(self) -> None:
        told = {"status": "PENDING", "arrayProperties": {"statusSummary": {"RUNNING": 1, "RUNNABLE": 1, "STARTING": 1, "FAILED": 0}}}
        seen = aws_batch.seen(told)
        assert seen.state == "running" and seen.tasks == {"running": 1, "pending": 2}

    def test_moments_come_in_milliseconds(self) -> None:
        seen = aws_batch.seen({"status": "SUCCEEDED", "startedAt": 1_700_000_000_000, "stoppedAt": 1_700_000_001_500})
        assert seen.started_at == datetime.fromtimestamp(1_700_000_000, UTC) and seen.finished_at is not None
        assert (seen.finished_at - seen.started_at).total_seconds() == 1.5

    def test_streams_are_those_of_all_attempts_once(self) -> None:
        told = {"attempts": [{"container": {"logStreamName": "a"}}, {"container": {}}], "container": {"logStreamName": "b"}}
        assert streams_of(told) == ["a", "b"]
        assert streams_of({"attempts": [{"container": {"logStreamName": "a"}}], "container": {"logStreamName": "a"}}) == ["a"]

    def test_slots_are_shared_out_over_the_nodes(self) -> None:
        spec = JobSpec(id="a", tenant="t", name="n", argv=["x"], slot_kind="gpu", slots=[*range(16)], nodes=2)
        assert {each["type"]: each["value"] for each in requirements(spec)} == {"GPU": "8", "VCPU": "32", "MEMORY": "4352"}


class TestTraining:
    def test_hosts_are_sorted_by_number(self) -> None:
        names = [f"j/algo-{number}-17" for number in (10, 2, 1)]
        assert sorted(names, key=host_order) == [names[2], names[1], names[0]]

    def test_a_machine_has_a_name_of_its_own_there(self) -> None:
        assert training_type("p5.48xlarge") == training_type("ml.p5.48xlarge") == "ml.p5.48xlarge"

    @pytest.mark.parametrize(
        ("told", "state"),
        [
            ({"TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting"}, "pending"),
            ({"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"}, "running"),
            ({"TrainingJobStatus": "InProgress", "SecondaryStatus": "Interrupted"}, "pending"),
            ({"TrainingJobStatus": "Stopping", "SecondaryStatus": "Stopping"}, "running"),
            ({"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}, "succeeded"),
            ({"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}, "failed"),
        ],
    )
    def test_states(self, told: dict[str, str], state: str) -> None:
        assert sagemaker.seen(told).state == state
