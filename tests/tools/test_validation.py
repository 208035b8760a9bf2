"""Tools over validation: a burn-in as a job on a lease, inside its walls, kept and judged."""

import asyncio
import time
from dataclasses import replace

import pytest

from factory_infra.errors import InvalidInput, JobFailed, PostconditionFailed
from factory_infra.foundation.validation.baseline import Baseline, baseline_file, write_baseline
from factory_infra.iaas.isolation.providers.local import wall_orders
from factory_infra.iaas.jobs.models import Job
from factory_infra.iaas.jobs.providers.local import LocalJobs
from tools import leases, validation
from tools.leases import AcquireArguments
from tools.spec import ToolContext
from tools.validation import BurnInArguments, PoolArguments

pytestmark = pytest.mark.stack
QUICK = {"seconds": 0.05, "disk_mib": 4, "memory_mib": 16}


@pytest.fixture
async def lease_id(context: ToolContext) -> str:
    """A slot that the team holds."""
    return (await leases.acquire(context, AcquireArguments(slots=1))).lease_id


async def burnt(context: ToolContext, arguments: BurnInArguments) -> tuple[ToolContext, Job]:
    """Run the job as the workflow does, inside the walls of the installation."""
    factory = context.factory
    settings = factory.settings.model_copy(update={"temporal_address": None, "chroma_url": None, "mlflow_url": None})
    jobs = LocalJobs(settings.jobs_dir, wall_orders(factory.pools, settings))
    walled = replace(context, factory=replace(factory, jobs=jobs))  # type: ignore[arg-type]
    job = await jobs.submit(await validation.prepare(walled, arguments))
    deadline = time.monotonic() + 90
    while not job.state.final:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
        job = await jobs.get(job.id, "vision")
    assert job.state.value == "succeeded", await jobs.tail(job.id, "vision")
    return walled, job


class TestBurnIn:
    async def test_is_run_kept_and_judged_by_the_baseline(self, context: ToolContext, lease_id: str) -> None:
        home = context.factory.settings.home
        write_baseline(baseline_file(home, "local"), Baseline.model_validate({"burn_in": {"floors": {"matmul/float64": 1e9}}}))
        arguments = BurnInArguments.model_validate({"lease_id": lease_id, **QUICK})
        walled, job = await burnt(context, arguments)
        result = await validation.collect(walled, arguments, job)
        await validation.verify(walled, arguments, result)
        assert {each.figure.partition("/")[0] for each in result.measured} == {
            *("matmul", "memory", "all_reduce", "disk_write", "disk_read", "network", "latency")
        }
        [node] = result.nodes
        assert node.fitness == "unfit"
        assert "the baseline wants at least 1e+09" in node.reasons[0]
        assert await context.factory.validation.unfit("local") == {""}
        told = await validation.report(context, PoolArguments())
        assert (told.unfit, told.nodes[0].fitness) == (1, "unfit")
        again = await validation.collect(walled, arguments, job)
        assert [each.value for each in again.measured] == [each.value for each in result.measured]

    async def test_needs_a_lease_that_is_held(self, context: ToolContext, lease_id: str) -> None:
        await context.factory.leases.release("vision", lease_id)
        with pytest.raises(InvalidInput, match="released"):
            await validation.prepare(context, BurnInArguments(lease_id=lease_id))

    async def test_what_a_job_left_is_not_trusted(self, context: ToolContext, lease_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        job = Job.model_validate({"id": "job-1", "tenant": "vision", "name": "burn-in", "state": "succeeded"})
        for left in (None, "no json", '{"host": "h", "surprise": 1}'):

            async def result(job_id: str, tenant: str, name: str, told: str | None = left) -> str | None:
                return told

            monkeypatch.setattr(context.factory.jobs, "result", result)
            with pytest.raises(JobFailed):
                await validation.collect(context, BurnInArguments(lease_id=lease_id), job)

    async def test_a_job_that_failed_is_found_out(self, context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
        async def get(job_id: str, tenant: str) -> Job:
            return Job.model_validate({"id": job_id, "tenant": tenant, "name": "burn-in", "state": "failed"})

        monkeypatch.setattr(context.factory.jobs, "get", get)
        empty = validation.BurnInResult(pool="local", nodes=[], measured=[], skipped=[])
        with pytest.raises(PostconditionFailed):
            await validation.verify(context, BurnInArguments(lease_id="l"), empty)


class TestCheck:
    async def test_tells_the_software_and_what_drifts(self, context: ToolContext) -> None:
        rules = {"software": {"python": {"exact": "2.7", "severity": "warning"}, "kernel": {"absent": True}}}
        write_baseline(baseline_file(context.factory.settings.home, "local"), Baseline.model_validate(rules))
        told = await validation.check(context, PoolArguments())
        assert told.baseline == "local.yaml"
        [node] = told.nodes
        assert not node.sound
        assert [(each.component, each.severity) for each in node.drift] == [("kernel", "error"), ("python", "warning")]
        assert node.versions["kernel"]
