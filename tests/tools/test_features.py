"""Tools over features: once under a key, undone, and told when the factory lost them."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import JsonValue

from factory_infra.errors import NotFound, PostconditionFailed
from factory_infra.factory import Factory
from factory_infra.paas.features.tables import TrainingSetRow
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tools.features import TOOLS
from tools.spec import ToolContext
from tools.toolbox import AnyTool

pytestmark = pytest.mark.stack
BY_NAME: dict[str, AnyTool] = {tool.name: tool for tool in TOOLS}
VIEW: dict[str, JsonValue] = {
    "name": "customers",
    "keys": [{"name": "customer", "kind": "int"}],
    "features": [{"name": "spent"}],
    "timestamp": "seen_at",
}
WATCHED: dict[str, JsonValue] = {"name": "buyers", "view": "customers", "set_id": "set-1", "window_seconds": 3600}


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    made = factory_with_slots(connected, 1)
    await made.tenants.create("vision", quota_slots=1, budget=Decimal(1))
    kept: dict[str, JsonValue] = {"digest": "d", "rows": 1, "features": ["customers__spent"], "views": [], "complete": 1.0}
    kept |= {"request": {}, "path": "p"}
    async with made.database.transaction() as session:
        for number in (1, 2):
            session.add(TrainingSetRow(id=f"set-{number}", tenant="vision", key=f"vision/{number}", created_by="a", **kept))
    yield made
    await made.close()


@pytest.fixture
def act(factory: Factory) -> Callable[[str], ToolContext]:
    """A context under a key."""
    return lambda key: ToolContext(factory=factory, tenant="vision", actor="alice", key=key)


async def test_a_definition_is_undone_only_by_who_made_it(act: Callable[[str], ToolContext]) -> None:
    tool = BY_NAME["features.define"]
    arguments = tool.parse(VIEW)
    assert tool.dry_run is not None
    assert tool.verify is not None
    assert tool.undo is not None
    assert "version 1" in (await tool.dry_run(act("k"), VIEW)).reason
    made = await tool.call(act("k"), arguments)
    again = await tool.call(act("k2"), arguments)
    assert (made.created, again.created, again.version) == (True, False, 1)
    await tool.verify(act("k"), arguments, made)
    assert "stays" in await tool.undo(act("k2"), arguments, again)
    for _ in range(2):
        assert "retired" in await tool.undo(act("k"), arguments, made)
    with pytest.raises(PostconditionFailed):
        await tool.verify(act("k"), arguments, made)
    refused = await tool.dry_run(act("k"), {**VIEW, "timestamp": ""})
    assert (refused.feasible, refused.code) == (False, "feature_view_without_timestamp")


async def test_features_are_listed_and_read(factory: Factory, act: Callable[[str], ToolContext]) -> None:
    await BY_NAME["features.define"].call(act("k"), BY_NAME["features.define"].parse(VIEW))
    view = await factory.features.get("vision", "customers")
    seen = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    await factory.features.write(view, [{"customer": 7, "seen_at": seen, "spent": 2.5}], "w")
    read = BY_NAME["features.read"]
    found = await read.call(act("k"), read.parse({"view": "customers", "entities": [{"customer": 7}]}))
    assert found.rows[0]["values"] == {"spent": 2.5}
    listed = await BY_NAME["features.list"].call(act("k"), BY_NAME["features.list"].parse({}))
    assert [(each.view, each.version) for each in listed.views] == [("customers", 1)]


async def test_a_monitor_is_watched_rebased_and_put_back(factory: Factory, act: Callable[[str], ToolContext]) -> None:
    await BY_NAME["features.define"].call(act("k"), BY_NAME["features.define"].parse(VIEW))
    watch, rebase, unwatch = (BY_NAME[f"features.{name}"] for name in ("watch", "rebase", "unwatch"))
    made = await watch.call(act("k"), watch.parse(WATCHED))
    assert (made.revision, made.verdict, made.before) == (1, "not checked yet", {})
    moved = rebase.parse({"monitor": "buyers", "set_id": "set-2"})
    told = await rebase.call(act("r"), moved)
    assert (await factory.drift.book.get("vision", "buyers")).past.set_id == "set-2"
    assert rebase.verify is not None
    await rebase.verify(act("r"), moved, told)
    assert rebase.undo is not None
    for _ in range(2):
        assert "set-1" in await rebase.undo(act("r"), moved, told)
    with pytest.raises(PostconditionFailed):
        await rebase.verify(act("r"), moved, told)
    changed = await watch.call(act("c"), watch.parse({**WATCHED, "window_seconds": 7200}))
    assert changed.before["window_seconds"] == 3600
    assert watch.undo is not None
    await watch.undo(act("c"), watch.parse({**WATCHED, "window_seconds": 7200}), changed)
    assert (await factory.drift.book.get("vision", "buyers")).window_seconds == 3600
    gone = await unwatch.call(act("u"), unwatch.parse({"monitor": "buyers"}))
    assert unwatch.verify is not None
    await unwatch.verify(act("u"), unwatch.parse({"monitor": "buyers"}), gone)
    assert unwatch.undo is not None
    assert "again" in await unwatch.undo(act("u"), unwatch.parse({"monitor": "buyers"}), gone)
    await watch.undo(act("k"), watch.parse(WATCHED), made)
    with pytest.raises(NotFound):
        await factory.drift.book.get("vision", "buyers")


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("watch", {**WATCHED, "view": "nothing"}, "feature_view_unknown"),
        ("watch", {**WATCHED, "endpoint": "reader"}, "invalid_input"),
        ("rebase", {"monitor": "nothing", "set_id": "set-1"}, "monitor_unknown"),
        ("unwatch", {"monitor": "nothing"}, "monitor_unknown"),
        ("training_set", {"features": ["nothing"], "spine": "nothing"}, "feature_view_unknown"),
        ("training_set", {"features": ["a b"], "spine": "nothing"}, "invalid_input"),
    ],
)
async def test_what_cannot_be_is_foreseen(act: Callable[[str], ToolContext], name: str, arguments: dict[str, JsonValue], code: str) -> None:
    tool = BY_NAME[f"features.{name}"]
    assert tool.dry_run is not None
    foreseen = await tool.dry_run(act("k"), arguments)
    assert (foreseen.feasible, foreseen.code) == (False, code)
    assert foreseen.remedy
