"""What turns roll-outs: every move is told to its thread once, the catalog follows, and nothing goes further while effects are stopped."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from factory_infra.errors import Conflict, Unavailable
from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import Filters, Viewer
from factory_infra.paas.deployments.rollout_models import RolloutState
from factory_infra.paas.deployments.scaling import Scaler
from factory_infra.settings import Settings
from tests.factory_infra.paas.deployments.fakes import FakeServing, Place
from tests.parts import factory_with_slots
from tools import deployments
from tools.spec import ToolContext
from tools.toolbox import tool_named
from tools.traffic import RolloutArguments, RolloutIdArguments, ScaleArguments, WatchArguments, rollout_line
from workflows.messages import JsonObject
from workflows.rollouts import Turner

pytestmark = pytest.mark.stack
QUICK = {"step_seconds": 0.0, "requests_min": 20, "shares": [0.5]}


@dataclass
class Line:
    """What a test acts on."""

    place: Place
    factory: Factory
    context: ToolContext

    async def look(self) -> None:
        """One look at all there is to do."""
        await self.place.deployments.traffic.tally.write()
        turner = Turner(self.factory)
        await turner.look()
        await turner.idle()

    async def begin(self, version: int = 2, key: str = "plan-1/rollout", **fields: object) -> str:
        """Begin a roll-out by the tool."""
        arguments = RolloutArguments.model_validate({"endpoint": "reader", "model_name": "digits", "version": version, **QUICK, **fields})
        told = await deployments.rollout(replace(self.context, key=key), arguments)
        return told.rollout_id

    async def told(self) -> list[tuple[str, float]]:
        """What the thread was told."""
        events = await self.factory.records.read_events("thread-1")
        return [(str(each.payload["state"]), float(str(each.payload["share"]))) for each in events if each.kind == "rollout.moved"]


@pytest.fixture
async def line(connected: Settings, tmp_path: Path) -> AsyncIterator[Line]:
    """An endpoint of team vision that answers with version 1."""
    built = factory_with_slots(connected, 2)
    place = Place(built.database, tmp_path, FakeServing())
    factory = replace(built, deployments=place.deployments, rollouts=place.rollouts, scaler=Scaler(built.database, place.deployments))
    await place.deploy()
    yield Line(place, factory, ToolContext(factory, "vision", "ann", "plan-1/rollout", plan_id="plan-1", thread_id="thread-1"))
    await place.deployments.close()
    await built.close()


async def test_each_move_is_told_once_and_the_catalog_names_what_is_live(line: Line) -> None:
    name = await line.begin()
    await line.look()
    line.place.deployments.traffic.routes.forget("vision", "reader")
    await line.place.ask(100)
    for _ in range(3):
        await line.look()
    assert await line.told() == [("preparing", 0.0), ("running", 0.5), ("promoted", 1.0)]
    [entry] = await line.factory.catalog.list(Viewer.of("vision"), Filters(kind="endpoint"))
    assert entry.facts["version"] == 2
    end = await deployments.watch_rollout(line.context, WatchArguments(rollout_id=name))
    assert (end.passed, end.state) == (True, "promoted")
    assert "back on version 1" in await line_undo(line, name)
    assert await line.place.live_version() == 1 and "nothing to undo" in await line_undo(line, name)


async def line_undo(line: Line, name: str) -> str:
    """Undo the step."""
    undo = tool_named("deployments.rollout").undo
    assert undo is not None
    arguments = RolloutArguments.model_validate({"endpoint": "reader", "model_name": "digits", "version": 2, **QUICK})
    return await undo(line.context, arguments, await told_of(line, name))


async def told_of(line: Line, name: str) -> object:
    """What the step's result is."""
    return rollout_line(await line.factory.rollouts.get(name, None))


async def test_one_that_goes_back_does_not_pass_and_the_reason_is_told(line: Line) -> None:
    line.place.serving.fails = {2}
    name = await line.begin()
    await line.look()
    line.place.deployments.traffic.routes.forget("vision", "reader")
    await line.place.ask(60)
    await line.look()
    end = await deployments.watch_rollout(line.context, WatchArguments(rollout_id=name))
    assert (end.passed, end.state, end.code) == (False, "rolled_back", "error_rate") and "failed" in end.value


async def test_while_effects_are_stopped_nothing_begins_and_nothing_goes_further(line: Line) -> None:
    name = await line.begin()
    await line.factory.switch.turn(stopped=True, actor="root")
    await line.look()
    assert (await line.factory.rollouts.get(name, None)).state is RolloutState.PREPARING
    await line.factory.switch.turn(stopped=False, actor="root")
    await line.look()
    assert (await line.factory.rollouts.get(name, None)).state is RolloutState.RUNNING


async def test_the_tools_are_foreseen_verified_and_undone(line: Line) -> None:
    raw: JsonObject = {"endpoint": "reader", "model_name": "digits", "version": 2}
    rollout, abort, scale = (tool_named(f"deployments.{name}") for name in ("rollout", "abort_rollout", "scale"))
    assert rollout.dry_run and abort.dry_run and scale.dry_run and rollout.verify and abort.verify and scale.verify
    assert "1.00%, 10.00%, 50.00%" in (await rollout.dry_run(line.context, raw)).reason
    wrongs: list[tuple[JsonObject, str]] = [
        ({"version": 99}, "version_unknown"),
        ({"endpoint": "none"}, "endpoint_unknown"),
        ({"shares": [0.5, 0.1]}, "rollout_invalid"),
    ]
    for wrong, code in wrongs:
        assert (await rollout.dry_run(line.context, {**raw, **wrong})).code == code
    name = await line.begin()
    assert await line.begin() == name
    assert (await rollout.dry_run(line.context, raw)).code == "rollout_open"
    with pytest.raises(Conflict):
        await line.begin(3, "plan-2/rollout")
    with pytest.raises(Unavailable):
        await deployments.watch_rollout(line.context, WatchArguments(rollout_id=name, seconds_max=0.01))
    assert (await abort.dry_run(line.context, {"rollout_id": name})).feasible
    assert "stays on version 1" in await line_undo(line, name)
    done = await abort.call(line.context, RolloutIdArguments(rollout_id=name))
    await abort.verify(line.context, RolloutIdArguments(rollout_id=name), done)
    wanted = ScaleArguments(endpoint="reader", servers_max=2)
    await scale.verify(line.context, wanted, await scale.call(line.context, wanted))
    assert (await deployments.health(line.context, deployments.EndpointArguments(endpoint="reader"))).state == "healthy"
