"""Blueprints as jobs: what is shipped, what is refused, and the real programs where their environment is installed."""

import ast
import asyncio
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from factory_infra.errors import InvalidInput, JobFailed
from factory_infra.foundation.pools.spec import AwsPool, LocalPool
from factory_infra.iaas.jobs.models import Job, JobLimits, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.training.blueprints.catalogue import BLUEPRINTS, blueprint_named
from factory_infra.paas.training.blueprints.jobs import (
    Wanted,
    blueprint_job,
    check_place,
    checked_order,
    result_of,
    with_python,
)
from factory_infra.paas.training.blueprints.shipping import needed, shipped, starter
from factory_infra.paas.training.environments.service import Environments
from tests.contract.aws_sagemaker import House
from tests.emulators.aws import sagemaker
from tests.factory_infra.paas.training.studies.stand_in import TEAM, lease_of

LOCAL = LocalPool(name="local")


def wanted(name: str, **order: Any) -> Wanted:
    """A run of a blueprint for team vision."""
    return Wanted(blueprint_named(name), checked_order(name, order), TEAM, "reader", "p1/train", tags={"plan_id": "p1"})


class TestShipping:
    @pytest.mark.parametrize("name", sorted({each.program for each in BLUEPRINTS}))
    def test_a_program_is_one_file_that_needs_nothing_of_this_tree(self, name: str) -> None:
        text = shipped(name)
        tree = ast.parse(text)
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [each for each in modules if each.startswith("factory_infra")]
        assert text.count('if __name__ == "__main__":') == 1 and text.rstrip().endswith("main()")
        assert "kit" in needed(name)[:-1] and len(text) < 65_536
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert {"order", "report", "leave", "main"} <= set(defined)

    def test_the_starter_needs_the_standard_library_only(self) -> None:
        names = {node.module for node in ast.walk(ast.parse(starter())) if isinstance(node, ast.ImportFrom)}
        assert names == {"pathlib"}


class TestOrders:
    @pytest.mark.parametrize(
        ("name", "order", "code"),
        [
            ("tpu", {}, "blueprint_unknown"),
            ("ddp", {"epoch": 3}, "blueprint_invalid"),
            ("ddp", {"epochs": 0}, "blueprint_invalid"),
            ("ddp", {"dataset": "digits"}, "blueprint_invalid"),
            ("lora", {"base": "../weights"}, "blueprint_invalid"),
            ("lora", {"learning_rate": "NaN"}, "blueprint_invalid"),
            ("fsdp", {"rank": 4}, "blueprint_invalid"),
        ],
    )
    def test_what_the_program_does_not_take_is_refused_with_what_it_takes(self, name: str, order: dict[str, Any], code: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            checked_order(name, order)
        assert raised.value.error_code == code and raised.value.remedy

    def test_places_that_cannot_run_it_are_refused(self) -> None:
        aws = AwsPool(name="cloud", provider="aws", region="eu-central-1", jobs="batch")
        for asked, pool, slots in (
            (dataclasses.replace(wanted("ddp"), nodes=3), LOCAL, 2),
            (dataclasses.replace(wanted("lora"), nodes=2), LOCAL, 4),
            (wanted("sagemaker"), LOCAL, 2),
            (wanted("sagemaker"), aws, 2),
            (dataclasses.replace(wanted("ddp"), model_name="Bad Name"), LOCAL, 2),
        ):
            with pytest.raises(InvalidInput):
                check_place(asked, pool, lease_of(slots))
        check_place(wanted("sagemaker"), aws.model_copy(update={"jobs": "sagemaker"}), lease_of(2))
        check_place(dataclasses.replace(wanted("ddp"), nodes=2), LOCAL, lease_of(2))

    def test_a_missing_environment_is_told_with_the_command_that_installs_it(self, tmp_path: Path) -> None:
        job = blueprint_job(wanted("lora"), "j", lease_of(2), JobLimits(), "")
        with pytest.raises(InvalidInput) as raised:
            with_python(job, wanted("lora"), LOCAL, Environments(tmp_path))
        assert raised.value.error_code == "environment_missing"
        assert raised.value.remedy == "lineshaft training environments install lora"
        # Elsewhere the pool's own interpreter, or the image's, is what runs it; and a job may install what it needs.
        aws = AwsPool(name="cloud", provider="aws", region="eu-central-1")
        assert with_python(job, wanted("lora"), aws, Environments(tmp_path)) == job
        own = dataclasses.replace(wanted("lora"), install=True)
        assert with_python(job, own, LOCAL, Environments(tmp_path)) == job
        told = json.loads(blueprint_job(own, "j", lease_of(2), JobLimits(), "").inputs["order.json"])
        assert any(each.startswith("torch==") for each in told["requirements"])

    def test_processes_are_the_slots_of_a_node_unless_they_are_named(self) -> None:
        for asked, processes in ((wanted("ddp"), 4), (dataclasses.replace(wanted("ddp"), nodes=2), 2), (wanted("ddp", processes=3), 3)):
            job = blueprint_job(asked, "j", lease_of(4), JobLimits(), "http://tracking")
            told = json.loads(job.inputs["order.json"])
            assert (told["processes"], job.nodes) == (processes, asked.nodes)
            assert (
                told["experiment"] == "vision/reader"
                and told["tags"]["lineshaft.tenant"] == TEAM
                and told["tags"]["lineshaft.plan_id"] == "p1"
            )

    def test_nothing_is_told_to_third_parties(self) -> None:
        environment = blueprint_job(wanted("ray"), "j", lease_of(4), JobLimits(), "").environment
        assert environment["RAY_USAGE_STATS_ENABLED"] == "0" and environment["HF_HUB_OFFLINE"] == "1"

    @pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"run_id": "r"}', '{"run_id": "r", "value": "x"}'])
    def test_a_job_that_left_nothing_readable_failed(self, text: str | None) -> None:
        with pytest.raises(JobFailed):
            result_of("ddp", text, "j")


async def run(jobs: LocalJobs, asked: Wanted, mlflow_url: str, python: Path, slots: int = 2) -> dict[str, Any]:
    """Run a blueprint as a job of this machine, and return its result."""
    job = blueprint_job(asked, f"job-{asked.blueprint.name}", lease_of(slots), JobLimits(memory_gib=6), mlflow_url)
    await jobs.submit(job.model_copy(update={"argv": [str(python), *job.argv[1:]]}))
    deadline = time.monotonic() + 240
    while not (seen := await jobs.get(job.id, TEAM)).state.final:
        assert time.monotonic() < deadline, "the job did not end"
        await asyncio.sleep(0.2)
    assert seen.state is JobState.SUCCEEDED, (await said(jobs, seen))[-3000:]
    found: dict[str, Any] = json.loads(await jobs.result(job.id, TEAM, "result.json") or "")
    return found


class TestSageMaker:
    """The emulator really starts the program, once on each host; PyTorch itself runs there in the benchmark."""

    @pytest.mark.stack
    async def test_it_is_a_training_job_of_two_machines_whose_result_comes_back(self, tmp_path: Path) -> None:
        program = "import json, sys; json.dump({'value': 0.5, 'run_id': '', 'told': sys.argv[1]}, open('result.json', 'w'))"
        async with House(tmp_path) as house:
            asked = dataclasses.replace(wanted("sagemaker"), nodes=2)
            lease = lease_of(2).model_copy(update={"pool": "cloud"})
            check_place(asked, house.pool, lease)
            job = blueprint_job(asked, "job-sm", lease, JobLimits(), "")
            order = json.loads(job.inputs["order.json"]) | {"launcher": "python"}
            inputs = {**job.inputs, "train.py": program, "order.json": json.dumps(order)}
            await house.jobs.submit(job.model_copy(update={"inputs": inputs, "argv": ["python3", *job.argv[1:]]}))
            deadline = time.monotonic() + 90
            while not (seen := await house.jobs.get("job-sm", TEAM)).state.final:
                assert time.monotonic() < deadline, "the job did not end"
                await asyncio.sleep(0.1)
            assert seen.state is JobState.SUCCEEDED, await house.jobs.tail("job-sm", TEAM, 5000)
            (training,) = sagemaker.of(house.emulator.world).jobs.values()
            assert training.asked["ResourceConfig"]["InstanceCount"] == 2
            assert result_of("sagemaker", await house.jobs.result("job-sm", TEAM, "result.json"), "job-sm").value == 0.5


async def said(jobs: LocalJobs, job: Job) -> str:
    """The end of a job's log."""
    return await jobs.tail(job.id, TEAM, 20_000)


@pytest.mark.stack
class TestPrograms:
    """Long runs, and those of several processes, are in benchmarks/control_plane/blueprints.py."""

    @pytest.fixture
    def python(self) -> Path:
        """The interpreter of the installed environment."""
        found = installed("torch")
        if found is None:
            pytest.skip("PyTorch is not installed: lineshaft training environments install torch")
        return found

    async def test_ddp_on_two_processes_ends_with_equal_replicas_and_a_run(self, python: Path, mlflow_url: str, tmp_path: Path) -> None:
        jobs = LocalJobs(tmp_path / "jobs")
        try:
            found = await run(jobs, wanted("ddp", epochs=2, rows=300), mlflow_url, python)
        finally:
            await asyncio.to_thread(stop_all, tmp_path / "jobs")
        assert found["world_size"] == 2 and found["replicas_equal"] == 1 and found["losses"][1] < found["losses"][0]
        assert len(found["run_id"]) == 32


def installed(name: str) -> Path | None:
    """The interpreter of an environment of this account's installation, where there is one."""
    from factory_infra.settings import Settings  # noqa: PLC0415 - the account's own home, which no other test may look at

    return Environments(Settings().home / "environments").python(name)
