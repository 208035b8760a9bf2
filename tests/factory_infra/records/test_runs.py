"""Runs: each event moves its run once, however often it is written; and another team sees none."""

import asyncio

import pytest

from factory_infra.database import Database
from factory_infra.errors import NotFound
from factory_infra.records.models import NewEvent
from factory_infra.records.runs import Run, Runs
from factory_infra.records.service import Records

pytestmark = pytest.mark.stack

PROPOSED: dict[str, object] = {
    "plan": {"title": "Train.", "requested_by": "ann (1)", "verdict": {"bounds": {"steps_max": 3}}},
    "digest": "d",
}
LIFE: list[tuple[str, dict[str, object], str]] = [
    ("message.user", {"text": "Train.", "actor": "ann (1)", "message_id": "m"}, "thinking"),
    ("model.called", {"agent": "dispatcher", "tokens": 120}, "thinking"),
    ("model.called", {"agent": "dispatcher", "failed": "away"}, "thinking"),
    ("tool.returned", {"tool": "leases.list", "outcome": "ok"}, "thinking"),
    ("plan.proposed", PROPOSED, "proposed"),
    ("turn.done", {"turn": 1, "plan_id": "run-1"}, "proposed"),
    ("plan.started", {"steps": 2}, "running"),
    ("step.done", {"step": "a"}, "running"),
    ("plan.paused", {"actor": "ann (1)", "reason": "Wait."}, "paused"),
    ("plan.proposed", PROPOSED, "paused"),
    ("plan.resumed", {"actor": "ann (1)"}, "running"),
    ("step.done", {"step": "b"}, "running"),
    ("plan.ended", {"state": "done", "code": "", "reason": ""}, "done"),
]


async def write(database: Database, number: int, run: str = "run-1", tenant: str = "vision") -> None:
    kind, payload, _ = LIFE[number]
    event = {"key": f"{run}/{number}", "tenant": tenant, "thread_id": "t", "run_id": run, "kind": kind, "payload": payload}
    await Records(database).write_event(NewEvent.model_validate(event))


async def lived(database: Database, times: int) -> list[Run]:
    """The run after each of its events, each written so often."""
    found = []
    for number in range(len(LIFE)):
        await asyncio.gather(*(write(database, number) for _ in range(times)))
        found.append(await Runs(database).get("run-1", "vision"))
    return found


@pytest.mark.parametrize("times", [1, 4])
async def test_each_event_moves_it_once(database: Database, times: int) -> None:
    stages = await lived(database, times)
    assert [each.state for each in stages] == [state for _, _, state in LIFE]
    last = stages[-1]
    assert (last.model_calls, last.tokens, last.tool_calls, last.steps_done) == (2, 120, 1, 2)
    assert (last.title, last.actor, last.bounds) == ("Train.", "ann (1)", {"steps_max": 3})
    assert [each.open for each in stages] == [True] * 12 + [False]
    assert last.ended_at is not None


async def test_an_event_that_is_written_again_later_moves_nothing(database: Database) -> None:
    await lived(database, 1)
    for number in range(len(LIFE)):
        await write(database, number)
    last = await Runs(database).get("run-1", "vision")
    assert (last.state, last.model_calls, last.steps_done) == ("done", 2, 2)


@pytest.mark.parametrize(
    ("events", "state", "code"),
    [
        ([("refusal", {"code": "bound_reached", "reason": "Enough."}), ("turn.done", {"plan_id": None})], "refused", "bound_reached"),
        ([("turn.done", {"plan_id": None})], "done", ""),
        ([("plan.ended", {"state": "escalated", "code": "undo_failed", "reason": "Locked."})], "escalated", "undo_failed"),
    ],
)
async def test_how_it_ended_is_told(database: Database, events: list[tuple[str, dict[str, object]]], state: str, code: str) -> None:
    await write(database, 0)
    for number, (kind, payload) in enumerate(events):
        event = {"key": f"e{number}", "tenant": "vision", "thread_id": "t", "run_id": "run-1", "kind": kind, "payload": payload}
        await Records(database).write_event(NewEvent.model_validate(event))
    run = await Runs(database).get("run-1", "vision")
    assert (run.state, run.code, run.open) == (state, code, False)


async def test_what_names_no_run_moves_none(database: Database) -> None:
    await Records(database).write_event(NewEvent(key="k", tenant="vision", thread_id="t", kind="message.user", payload={"text": "x"}))
    assert await Runs(database).list(None) == []


async def test_a_team_sees_its_own_and_an_administrator_all(database: Database) -> None:
    await write(database, 0)
    await write(database, 0, "run-2", "language")
    await write(database, 12, "run-2", "language")
    runs = Runs(database)
    assert [each.id for each in await runs.list("vision")] == ["run-1"]
    assert [each.id for each in await runs.list(None)] == ["run-2", "run-1"]
    assert [each.id for each in await runs.list(None, state="open")] == ["run-1"]
    assert [each.id for each in await runs.list(None, state="done")] == ["run-2"]
    assert [each.id for each in await runs.list(None, limit=1, offset=1)] == ["run-1"]
    told = []
    for name in ("run-2", "run-9"):
        with pytest.raises(NotFound) as raised:
            await runs.get(name, "vision")
        told.append(raised.value.reason.replace(name, ""))
    assert told[0] == told[1]
    assert (await runs.get("run-2", None)).tenant == "language"
