"""Runs of pipelines on the real workflows, activities, jobs, leases and ledger: known work is not done again, nothing is left behind."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.worker import Worker

from factory_infra.factory import Factory
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.paas.training.pipelines.models import NewRun, NewTrigger, PipelineRun, RunState, StepState
from factory_infra.paas.training.pipelines.reading import read
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tests.workflows.line import development_server
from tools.pipeline_steps import check_tools
from workflows.activities.records import RecordActivities
from workflows.activities.steps import StepActivities
from workflows.definitions.pipeline import PipelineWorkflow
from workflows.definitions.pipeline_firing import PipelineFiringWorkflow
from workflows.messages import Cancellation, Decision, Who
from workflows.pipeline_starting import Firing, begin, pipeline_activities
from workflows.proposal import Starter
from workflows.sandbox import sandbox

pytestmark = pytest.mark.stack

ANN = Who(actor="ann (1)", role="approver", tenant="vision")
EVE = Who(actor="eve (2)", role="user", tenant="vision")
STRANGER = Who(actor="sam (3)", role="approver", tenant="language")
CSV = "petal,species\n" + "".join(f"{number % 10}.{number % 3},{'ab'[number % 10 > 4]}\n" for number in range(60))
COUNT = """
steps:
  - id: data
    kind: data
    dataset: flowers
  - id: checked
    kind: validate
    rows: data/rows.csv
    columns: {petal: {kind: number, min: 0, max: 20}, species: {one_of: [a, b]}}
    rows_min: 50
  - id: counted
    argv: [/bin/sh, count.sh, "${word}"]
    files: {count.sh: "echo $1 >> ran.txt; wc -l < rows.csv > lines.txt; echo '{\\"rows\\": 60}' > result.json"}
    inputs: {rows.csv: checked/rows.csv}
    outputs: [lines.txt]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient() -> AsyncIterator[Client]:
    """A server whose clock does not jump."""
    async with development_server() as connected:
        yield connected


class House:
    """A worker of the real parts over a factory of its own."""

    def __init__(self, starter: Starter) -> None:
        self.starter = starter
        self.factory: Factory = starter.factory

    def worker(self) -> Worker:
        """What runs workflows and activities."""
        steps, records = StepActivities(self.factory), RecordActivities(self.factory)
        acts: list[Any] = [steps.run, steps.verify, steps.undo, records.save_approval, *pipeline_activities(self.starter)]
        return Worker(
            self.starter.temporal,
            task_queue=self.starter.task_queue,
            workflows=[PipelineWorkflow, PipelineFiringWorkflow],
            activities=acts,
            workflow_runner=sandbox(),
            graceful_shutdown_timeout=timedelta(0),
        )

    async def apply(self, text: str, name: str = "count", head: str = "parameters: {word: one}") -> str:
        """Keep a pipeline."""
        made = read(f"pipeline: {name}\n{head}\n{text}", f"{name}.yaml")
        check_tools(made.source, made.spec)
        return (await self.factory.pipelines.apply("vision", made, "ann (1)")).name

    async def ask(self, name: str = "count", who: Who = ANN, **fields: object) -> PipelineRun:
        """Ask for a run and start it."""
        wanted = {"tenant": "vision", "pipeline": name, "key": uuid.uuid4().hex, "actor": who.actor, "role": who.role, **fields}
        run = await self.factory.pipeline_runs.ask(NewRun.model_validate(wanted))
        await begin(self.starter, run)
        return run

    async def stands(self, run: PipelineRun, *states: RunState) -> PipelineRun:
        """Wait until a run is in one of some states."""
        async with asyncio.timeout(60):
            while (found := await self.factory.pipeline_runs.get(run.id, None)).state not in states:  # noqa: ASYNC110
                await asyncio.sleep(0.03)
        return found

    async def ended(self, run: PipelineRun) -> PipelineRun:
        """Wait until a run is over."""
        return await self.stands(run, *(state for state in RunState if state.ended))

    async def decide(self, run: PipelineRun, who: Who = ANN, *, approve: bool = True, step: str = "", digest: str = "") -> None:
        """Say yes or no to what is asked now. Raises ApplicationError where the workflow refuses that."""
        if not digest:
            found = await self.factory.pipeline_runs.get(run.id, None)
            card = (await self.factory.pipeline_runs.step(run.id, step)).card if step else found.card
            digest = str(card["digest"])
        handle = self.starter.temporal.get_workflow_handle_for(PipelineWorkflow.run, run.id)
        try:
            await handle.execute_update(PipelineWorkflow.decide, Decision(approve=approve, digest=digest, who=who))
        except WorkflowUpdateFailedError as error:
            raise error.cause from None

    async def ran(self, name: str = "count", **fields: object) -> PipelineRun:
        """Run to the end, approved where it is asked for."""
        run = await self.ask(name, ANN, **fields)
        found = await self.stands(run, RunState.PROPOSED, *(state for state in RunState if state.ended))
        if found.state is RunState.PROPOSED:
            await self.decide(run)
        return await self.ended(run)

    async def steps(self, run: PipelineRun) -> dict[str, str]:
        """The states of its steps."""
        return {step.step: step.state.value for step in await self.factory.pipeline_runs.steps(run.id)}

    async def held(self) -> int:
        """Slots that the team holds now."""
        return (await self.factory.leases.usage("vision")).quota_slots_used


@pytest_asyncio.fixture(loop_scope="session")
async def idle(patient: Client, connected: Settings, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose worker does not run yet."""
    factory = factory_with_slots(connected, 3)
    await factory.tenants.create("vision", quota_slots=2, budget=Decimal(100))
    await factory.datasets.add("vision", "flowers", CSV.encode(), "csv", by="ann (1)")
    yield House(Starter(factory, patient, f"q-{uuid.uuid4().hex[:8]}"))
    await asyncio.to_thread(stop_all, connected.jobs_dir)
    await factory.close()


@pytest_asyncio.fixture(loop_scope="session")
async def house(idle: House) -> AsyncIterator[House]:
    """A house at work."""
    async with idle.worker():
        yield idle


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, with a limit."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_what_is_known_is_not_done_again(house: House) -> None:
    await house.apply(COUNT)
    first = await house.ran()
    assert (first.state, await house.steps(first)) == (RunState.DONE, {"data": "done", "checked": "done", "counted": "done"}), first
    left = await house.factory.pipeline_runs.step(first.id, "counted")
    assert await house.factory.pipeline_store.get("vision", left.outputs["lines.txt"]) == b"61\n"
    assert left.result["rows"] == 60
    second = await house.ran()
    assert await house.steps(second) == {"data": "done", "checked": "cached", "counted": "cached"}
    assert (await house.factory.pipeline_runs.step(second.id, "counted")).cached_from == first.id
    other = await house.ran(parameters={"word": "two"})
    assert await house.steps(other) == {"data": "done", "checked": "cached", "counted": "done"}
    assert len(await house.factory.jobs.list("vision")) == 3
    assert await house.held() == 0
    assert (await house.factory.metering.reconcile()).equal
    cost = await house.factory.metering.cost(tenant="vision", plan_id=first.id)
    assert cost.spent > 0
    assert cost.reserved == 0


async def test_a_file_that_changed_in_the_store_is_made_anew(house: House) -> None:
    await house.apply(COUNT)
    first = await house.ran()
    digest = (await house.factory.pipeline_runs.step(first.id, "counted")).outputs["lines.txt"]
    [file] = (house.factory.settings.home / "pipelines").rglob(digest)
    file.chmod(0o600)
    file.write_text("62\n")
    second = await house.ran()
    assert (await house.steps(second))["counted"] == "done"
    assert await house.factory.pipeline_store.get("vision", digest) == b"61\n"


async def test_a_dataset_whose_bytes_changed_is_refused_with_file_and_line(house: House) -> None:
    await house.apply(COUNT)
    kept = await house.factory.datasets.get("vision", "flowers")
    file = house.factory.settings.home / "datasets" / kept.file
    file.chmod(0o600)
    file.write_text(CSV.replace("3.0,a", "3.0,b", 1))
    ended = await house.ran()
    assert (ended.state, ended.code) == (RunState.FAILED, "dataset_changed")
    assert "count.yaml, line 5, step 'data'" in ended.reason
    assert "flowers@1" in ended.reason
    assert "between line 1 and line 1000" in ended.reason
    assert "lineshaft datasets add flowers" in ended.remedy
    assert await house.steps(ended) == {"data": "failed", "checked": "skipped", "counted": "skipped"}
    assert await house.held() == 0


async def test_rows_that_break_a_rule_are_named_by_their_line(house: House) -> None:
    await house.apply(COUNT.replace("max: 20", "max: 8"))
    ended = await house.ran()
    assert (ended.state, ended.code) == (RunState.FAILED, "data_invalid")
    assert "rows.csv, line 10: column 'petal' has 8.2, more than 8" in ended.reason


FLAKY = """
steps:
  - id: flaky
    attempts: 2
    argv: [/bin/sh, go.sh]
    files: {go.sh: "case $PWD in *MARK*) exit 0;; esac; echo sorry; exit 3"}
  - id: never
    after: [flaky]
    argv: [/bin/true]
"""


async def test_a_step_that_fails_is_tried_again_and_then_told(house: House) -> None:
    await house.apply(FLAKY, head="")
    ended = await house.ran()
    assert (ended.state, ended.code) == (RunState.FAILED, "job_failed")
    assert "sorry" in ended.reason
    step = await house.factory.pipeline_runs.step(ended.id, "flaky")
    assert (step.state, step.attempt) == (StepState.FAILED, 2)
    assert (await house.steps(ended))["never"] == "skipped"
    assert len(await house.factory.jobs.list("vision")) == 2


async def test_a_run_that_is_cancelled_ends_its_jobs_and_gives_its_slots_back(house: House) -> None:
    await house.apply(
        "steps:\n  - id: long\n    argv: [/bin/sleep, '300']\n  - id: later\n    after: [long]\n    argv: [/bin/true]", head=""
    )
    run = await house.ask()
    await house.stands(run, RunState.PROPOSED)
    await house.decide(run)

    async def runs() -> bool:
        return any(job.state.value == "running" for job in await house.factory.jobs.list("vision"))

    await until(runs)
    handle = house.starter.temporal.get_workflow_handle_for(PipelineWorkflow.run, run.id)
    await handle.execute_update(PipelineWorkflow.cancel, Cancellation(who=ANN, reason="Wrong data."))
    ended = await house.ended(run)
    assert (ended.state, ended.reason) == (RunState.CANCELLED, "Wrong data.")
    assert await house.steps(ended) == {"long": "cancelled", "later": "skipped"}
    assert [job.state.value for job in await house.factory.jobs.list("vision")] == ["cancelled"]
    assert await house.held() == 0
    assert (await house.factory.metering.reconcile()).equal


GATED = """
steps:
  - id: measured
    argv: [/bin/sh, go.sh]
    files: {go.sh: "echo '{\\"accuracy\\": 0.9}' > result.json"}
  - id: good
    kind: gate
    value: {from: measured, field: accuracy}
    above: ${least}
    approval: {approvals: 1, requester_may_approve: false}
  - id: after
    after: [good]
    argv: [/bin/true]
"""
LEAST = "parameters: {least: 0.5}"


class TestGates:
    async def test_a_number_that_does_not_pass_ends_the_run_as_gated(self, house: House) -> None:
        await house.apply(GATED, head=LEAST)
        ended = await house.ran(parameters={"least": 0.9})
        assert (ended.state, await house.steps(ended)) == (RunState.GATED, {"measured": "done", "good": "failed", "after": "skipped"})
        assert "measured.accuracy is 0.9, not above 0.9" in ended.reason

    async def test_people_decide_on_exactly_what_was_found_and_nobody_holds_slots_meanwhile(self, house: House) -> None:
        await house.apply(GATED, head=LEAST)
        run = await house.ask(who=EVE)
        await house.stands(run, RunState.PROPOSED)
        await house.decide(run)
        await house.stands(run, RunState.WAITING)
        assert await house.held() == 0
        for who, digest in ((EVE, ""), (STRANGER, ""), (ANN, "0" * 64)):
            with pytest.raises(Exception, match=r"asks for|no pipeline run|names something else"):
                await house.decide(run, who, step="good", digest=digest)
        await house.decide(run, step="good")
        ended = await house.ended(run)
        assert (ended.state, await house.steps(ended)) == (RunState.DONE, {"measured": "done", "good": "done", "after": "done"})
        given = await house.factory.approvals.of_plan(run.id)
        assert [(each.actor, each.approve, each.used_at is not None) for each in given] == [("ann (1)", True, True)] * 2
        assert len({each.digest for each in given}) == 2

    async def test_a_word_on_a_version_stands_for_its_runs_and_for_no_other_version(self, house: House) -> None:
        await house.apply(FLAKY, head="")
        version = await house.factory.pipelines.get("vision", "count")
        await house.factory.pipelines.stand_by("vision", "count", version.digest, (ANN.actor, ANN.role), 30)
        run = await house.ask(who=EVE)
        assert (await house.ended(run)).state is RunState.FAILED
        await house.apply(FLAKY.replace("exit 3", "exit 4"), head="")
        assert (await house.stands(await house.ask(who=EVE), RunState.PROPOSED)).state is RunState.PROPOSED

    async def test_a_refused_run_does_nothing(self, house: House) -> None:
        await house.apply(FLAKY, head="")
        run = await house.ask()
        await house.stands(run, RunState.PROPOSED)
        await house.decide(run, approve=False)
        ended = await house.ended(run)
        assert (ended.state, await house.factory.jobs.list("vision")) == (RunState.REFUSED, [])


async def test_more_slots_than_there_are_is_refused_before_anything_begins(house: House) -> None:
    await house.apply("steps:\n  - id: big\n    slots: 50\n    argv: [/bin/true]", head="")
    ended = await house.ended(await house.ask())
    assert (ended.state, ended.code) == (RunState.REFUSED, "capacity_exceeded")


async def test_what_a_tool_did_is_undone_where_the_run_fails(house: House) -> None:
    await house.apply(
        "steps:\n  - id: slots\n    kind: tool\n    tool: leases.acquire\n    arguments: {slots: 1, seconds: 600}\n"
        "  - id: bad\n    after: [slots]\n    argv: [/bin/false]",
        head="",
    )
    ended = await house.ran()
    assert (ended.state, await house.steps(ended)) == (RunState.FAILED, {"slots": "undone", "bad": "failed"})
    assert "Undone: slots." in ended.reason
    assert await house.held() == 0


async def test_a_run_goes_on_after_its_worker_was_lost(idle: House) -> None:
    await idle.apply("steps:\n  - id: one\n    argv: [/bin/sleep, '1']\n  - id: two\n    after: [one]\n    argv: [/bin/true]", head="")
    first = idle.worker()
    task = asyncio.create_task(first.run())
    run = await idle.ask()
    await idle.stands(run, RunState.PROPOSED)
    await idle.decide(run)

    async def runs() -> bool:
        return (await idle.steps(run))["one"] == "running" and bool(await idle.factory.jobs.list("vision"))

    await until(runs)
    await first.shutdown()
    await asyncio.wait([task])
    async with idle.worker():
        ended = await idle.ended(run)
    assert (ended.state, await idle.steps(ended)) == (RunState.DONE, {"one": "done", "two": "done"})
    assert len(await idle.factory.jobs.list("vision")) == 2
    assert await idle.held() == 0


class TestTriggers:
    async def test_new_data_starts_one_run_of_it(self, house: House) -> None:
        await house.apply(
            "steps:\n  - id: data\n    kind: data\n    dataset: ${dataset}", name="fresh", head="parameters: {dataset: flowers}"
        )
        wanted = NewTrigger(name="new", kind="data", dataset="flowers")
        trigger = await house.factory.pipeline_triggers.put("vision", "fresh", wanted, ("ann (1)", "approver"))
        firing = Firing(house.starter)
        await firing.look()
        assert await house.factory.pipeline_triggers.firings(trigger.id) == []
        await house.factory.datasets.add("vision", "flowers", f"{CSV}9.9,a\n".encode(), "csv", by="ann (1)")
        for _ in range(2):
            await firing.look()
        [fired] = await house.factory.pipeline_triggers.firings(trigger.id)
        run = await house.ended(await house.factory.pipeline_runs.get(fired.run_id, "vision"))
        assert (run.state, run.trigger, run.parameters) == (RunState.DONE, "data", {"dataset": "flowers@2"})

    async def test_the_clock_starts_runs_and_forgets_a_trigger_that_is_removed(self, house: House) -> None:
        await house.apply("steps:\n  - id: data\n    kind: data\n    dataset: flowers", name="timed", head="")
        wanted = NewTrigger.model_validate({"name": "often", "kind": "schedule", "schedule": {"every_seconds": 10}})
        trigger = await house.factory.pipeline_triggers.put("vision", "timed", wanted, ("ann (1)", "approver"))
        firing = Firing(house.starter)
        await firing.look()
        handle = house.starter.temporal.get_schedule_handle(f"pipeline-{trigger.id}")
        await handle.trigger()

        async def fired() -> bool:
            return bool(await house.factory.pipeline_triggers.firings(trigger.id))

        await until(fired)
        [*_, first] = await house.factory.pipeline_triggers.firings(trigger.id)
        run = await house.factory.pipeline_runs.get(first.run_id, "vision")
        assert (await house.ended(run)).trigger == "schedule"
        await house.factory.pipeline_triggers.remove(trigger)
        await firing.look()
        with pytest.raises(Exception, match="not found"):
            await handle.describe()


async def test_equal_steps_of_one_run_both_run_and_bytes_that_are_no_text_are_refused(house: House) -> None:
    twice = "steps:\n  - id: one\n    argv: [/bin/true]\n  - id: two\n    after: [one]\n    argv: [/bin/true]"
    await house.apply(twice, head="")
    assert await house.steps(await house.ran()) == {"one": "done", "two": "done"}
    assert await house.steps(await house.ran()) == {"one": "cached", "two": "cached"}
    await house.apply("steps:\n  - id: raw\n    argv: [/bin/sh, -c, \"printf '\\\\377' > a.bin\"]\n    outputs: [a.bin]", head="")
    ended = await house.ran()
    assert (ended.state, ended.code) == (RunState.FAILED, "output_invalid")
