"""Tools over studies: once under a key, foreseen, undone, waited for; and those over runs and blueprints."""

import asyncio
from typing import Any

import pytest

from factory_infra.errors import Conflict, InvalidInput, NotFound, PostconditionFailed, Unavailable
from factory_infra.factory import Factory
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.paas.training.studies.tables import StudyRow
from tools.spec import ToolContext
from tools.toolbox import TOOLS

pytestmark = pytest.mark.stack
START = TOOLS["studies.start"]
STUDY: dict[str, Any] = {
    "name": "search",
    "space": {"x": {"kind": "float", "low": 0, "high": 1}, "c": {"kind": "choice", "choices": ["a", 2]}},
    "program": {"kind": "command", "argv": ["p", "{x}"]},
    "bounds": {"trials_max": 3},
}


@pytest.fixture
async def lease(factory: Factory) -> str:
    """A lease of two slots."""
    return (await factory.leases.acquire(LeaseRequest(tenant="vision", slots=2, key="lease"))).id


async def stopping(factory: Factory, study_id: str) -> None:
    """Wait until a study is about to end."""
    async with asyncio.timeout(30):
        while (await factory.studies.get(study_id, "vision")).state.value != "stopping":  # noqa: ASYNC110 - it is in the database
            await asyncio.sleep(0.02)


async def test_a_start_is_foreseen_done_once_verified_and_undone(context: ToolContext, factory: Factory, lease: str) -> None:
    raw: dict[str, Any] = {"study": STUDY, "lease_id": lease}
    assert START.dry_run is not None and START.verify is not None and START.undo is not None
    told = await START.dry_run(context, raw)
    assert told.feasible and "at most 3 trials" in told.reason
    arguments = START.parse(raw)
    made = await START.call(context, arguments)
    assert (await START.call(context, arguments)).study_id == made.study_id
    assert len(await factory.studies.list("vision")) == 1
    await START.verify(context, arguments, made)

    async def turned() -> None:
        await stopping(factory, made.study_id)
        async with factory.database.transaction() as session:
            (await session.get_one(StudyRow, ("vision", made.study_id))).state = "stopped"

    undone, _ = await asyncio.gather(START.undo(context, arguments, made), turned())
    assert "stopped" in undone
    async with factory.database.transaction() as session:
        await session.delete(await session.get_one(StudyRow, ("vision", made.study_id)))
    with pytest.raises(NotFound):
        await START.verify(context, arguments, made)


async def test_what_cannot_be_is_refused_before_anything_is_done(context: ToolContext, lease: str) -> None:
    assert START.dry_run is not None
    moon = {**STUDY, "program": {"kind": "tabular", "dataset": "moon", "algorithm": "svm"}}
    asked: list[tuple[dict[str, Any], str]] = [
        ({"study": moon, "lease_id": lease}, "dataset_unknown"),
        ({"study": STUDY, "lease_id": "lease-x"}, "not_found"),
    ]
    for raw, code in asked:
        told = await START.dry_run(context, raw)
        assert not told.feasible and told.code == code and told.remedy
    for wrong in ({**STUDY, "surprise": 1}, {**STUDY, "space": {}}, {**STUDY, "bounds": {"parallel": 0}}):
        with pytest.raises(InvalidInput, match=r"studies\.start"):
            START.parse({"study": wrong, "lease_id": lease})


async def test_waiting_asks_again_until_it_has_ended(context: ToolContext, factory: Factory, lease: str) -> None:
    made = await START.call(context, START.parse({"study": STUDY, "lease_id": lease}))
    wait = TOOLS["studies.wait"]
    asked = wait.parse({"study_id": made.study_id, "seconds_max": 0.01})
    with pytest.raises(Unavailable) as raised:
        await wait.call(context, asked)
    assert raised.value.error_code == "study_running" and raised.value.retryable
    async with factory.database.transaction() as session:
        row = await session.get_one(StudyRow, ("vision", made.study_id))
        row.state, row.code = "failed", "trials_failed"
    assert not (await wait.call(context, asked)).passed


async def test_a_stop_is_foreseen_and_verified(context: ToolContext, factory: Factory, lease: str) -> None:
    made = await START.call(context, START.parse({"study": STUDY, "lease_id": lease}))
    stop = TOOLS["studies.stop"]
    assert stop.dry_run is not None and stop.verify is not None
    arguments = stop.parse({"study_id": made.study_id})
    assert (await stop.dry_run(context, {"study_id": made.study_id})).feasible
    with pytest.raises(PostconditionFailed):
        await stop.verify(context, arguments, made)
    assert (await stop.call(context, arguments)).state == "stopping"
    await stop.verify(context, arguments, made)
    other = ToolContext(factory, "language", "eve", "k")
    with pytest.raises(NotFound):
        await stop.call(other, arguments)


async def test_a_blueprint_is_foreseen_with_what_it_lacks(context: ToolContext, lease: str) -> None:
    tool = TOOLS["training.blueprint"]
    assert tool.dry_run is not None
    raw: dict[str, Any] = {"blueprint": "lora", "model_name": "sayings", "lease_id": lease, "order": {"steps": 5}}
    missing = await tool.dry_run(context, raw)
    assert (missing.feasible, missing.code) == (False, "environment_missing") and "install lora" in missing.remedy
    assert (await tool.dry_run(context, {**raw, "install": True})).feasible
    assert (await tool.dry_run(context, {**raw, "lease_id": {"from_step": "lease", "field": "lease_id"}})).feasible
    assert (await tool.dry_run(context, {**raw, "order": {"step": 5}})).code == "blueprint_invalid"


async def test_a_lease_that_ended_takes_no_study(context: ToolContext, factory: Factory, lease: str) -> None:
    await factory.leases.release("vision", lease)
    assert START.dry_run is not None
    assert (await START.dry_run(context, {"study": STUDY, "lease_id": lease})).code == "lease_ended"
    with pytest.raises(Conflict):
        await START.call(context, START.parse({"study": STUDY, "lease_id": lease}))
