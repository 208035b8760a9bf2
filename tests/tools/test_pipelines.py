"""Tools over pipelines: a run once under its key, foreseen, ended; never another team's."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from factory_infra.errors import NotFound
from factory_infra.factory import Factory
from factory_infra.paas.training.pipelines.reading import read
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tools.pipelines import (
    NameArguments,
    RunArguments,
    RunIdArguments,
    RunsArguments,
    cancel,
    dry_run_run,
    run,
    runs,
    show_pipeline,
    undo_run,
    verify_cancel,
)
from tools.spec import ToolContext

pytestmark = pytest.mark.stack
TEXT = "pipeline: mill\nparameters: {least: 0.5}\nsteps:\n  - id: a\n    argv: [/bin/true, '${least}']\n"


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    """A factory with a pipeline."""
    built = factory_with_slots(connected, 2)
    await built.tenants.create("vision", quota_slots=2, budget=Decimal(10))
    await built.pipelines.apply("vision", read(TEXT), "ann (1)")
    yield built
    await built.close()


def context(factory: Factory, tenant: str = "vision", key: str = "plan-1/run") -> ToolContext:
    return ToolContext(factory=factory, tenant=tenant, actor="ann (1)", key=key, plan_id="plan-1")


async def test_the_same_key_is_the_same_run_and_its_end_can_be_asked_for(factory: Factory) -> None:
    asked = RunArguments(pipeline="mill", parameters={"least": 0.9})
    first, again = [await run(context(factory), asked) for _ in range(2)]
    assert first == again
    assert [each.run_id for each in (await runs(context(factory), RunsArguments(pipeline="mill"))).runs] == [first.run_id]
    kept = await factory.pipeline_runs.get(first.run_id, "vision")
    assert (kept.plan_id, kept.trigger, kept.parameters) == ("plan-1", "plan", {"least": 0.9})
    await cancel(context(factory), RunIdArguments(run_id=first.run_id))
    again_ended = await cancel(context(factory), RunIdArguments(run_id=first.run_id))
    await verify_cancel(context(factory), RunIdArguments(run_id=first.run_id), again_ended)
    assert [each.id for each in await factory.pipeline_runs.wished()] == [first.run_id]
    assert "being ended" in await undo_run(context(factory), asked, first)


async def test_it_is_foreseen(factory: Factory) -> None:
    assert (await dry_run_run(context(factory), {"pipeline": "mill"})).feasible
    for raw, code in (({"pipeline": "none"}, "pipeline_unknown"), ({"pipeline": "mill", "parameters": {"x": 1}}, "parameter_unknown")):
        told = await dry_run_run(context(factory), raw)  # type: ignore[arg-type]
        assert (told.feasible, told.code) == (False, code)


async def test_another_team_sees_none_of_it(factory: Factory) -> None:
    asked = await run(context(factory), RunArguments(pipeline="mill"))
    stranger = context(factory, "language")
    with pytest.raises(NotFound):
        await show_pipeline(stranger, NameArguments(pipeline="mill"))
    with pytest.raises(NotFound):
        await cancel(stranger, RunIdArguments(run_id=asked.run_id))
    assert (await runs(stranger, RunsArguments())).runs == []
