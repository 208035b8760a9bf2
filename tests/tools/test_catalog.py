"""Tools over the catalog: what an agent finds, follows, fills and asks for."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.catalog.models import Badge, Blueprint, BlueprintStep, CatalogEntry, Slot
from tools import catalog
from tools.spec import ToolContext

pytestmark = pytest.mark.stack
STEP = BlueprintStep(id="a", tool="leases.acquire", agent="provisioner", summary="Lease {n}", arguments={"slots": "{n}"})
ENTRIES = [
    CatalogEntry(
        id="pipeline/language/b",
        kind="pipeline",
        tenant="language",
        name="burst",
        description="Leases slots.",
        visibility="organisation",
        access="request",
        badges=[Badge(name="quality", value="tried", level="good")],
        blueprint=Blueprint(steps=[STEP], slots={"n": Slot(kind="int", default=1)}),
    ),
    CatalogEntry(id="model/language/hidden", kind="model", tenant="language", name="hidden", description="Leases slots in secret."),
]


@pytest.fixture
async def near(context: ToolContext) -> ToolContext:
    """Two teams of one organisation."""
    async with context.factory.database.transaction() as session:
        await session.execute(text("INSERT INTO organisations VALUES ('acme', '', 1, now())"))
        for team in ("vision", "language"):
            words = "INSERT INTO tenants (name, budget, created_at) VALUES (:n, 1, now()) ON CONFLICT DO NOTHING"
            await session.execute(text(words), {"n": team})
        await session.execute(text("UPDATE tenants SET organisation = 'acme'"))
    for entry in ENTRIES:
        await context.factory.catalog.put(entry)
    return context


async def test_a_search_shows_badges_and_says_what_it_left_out(near: ToolContext) -> None:
    found = await catalog.search(near, catalog.SearchArguments(query="leases slots", kind="pipeline"))
    assert [(each.id, each.badges) for each in found.entries] == [("pipeline/language/b", ["quality: tried (good)"])]
    assert found.note
    assert (await catalog.search(near, catalog.SearchArguments(query="leases", badge="quality:poor"))).entries == []


async def test_what_must_be_granted_is_asked_for_once_and_undone(near: ToolContext) -> None:
    shown = await catalog.show(near, catalog.EntryArguments(entry_id="pipeline/language/b"))
    assert (shown.usable, shown.slots) == (False, {})
    with pytest.raises(InvalidInput):
        await catalog.blueprint(near, catalog.BlueprintArguments(entry_id="pipeline/language/b"))
    arguments = catalog.RequestArguments(entry_id="pipeline/language/b", reason="a burst")
    assert (await catalog.dry_run_request(near, arguments.model_dump())).feasible
    asked = await catalog.request_access(near, arguments)
    assert await catalog.request_access(near, arguments) == asked
    await catalog.verify_request(near, arguments, asked)
    owner = replace(near, tenant="language")
    assert [each.request_id for each in (await catalog.access(owner, catalog.NoArguments())).requests] == [asked.request_id]
    for words in ("withdrawn", "already"):
        assert words in await catalog.undo_request(near, arguments, asked)


@pytest.mark.parametrize("entry_id", ["model/language/hidden", "model/language/nothing"])
async def test_what_is_not_seen_is_not_there(near: ToolContext, entry_id: str) -> None:
    with pytest.raises(NotFound):
        await catalog.show(near, catalog.EntryArguments(entry_id=entry_id))
    assert (await catalog.dry_run_request(near, {"entry_id": entry_id})).code == "entry_unknown"


async def test_ones_own_need_not_be_asked_for(near: ToolContext) -> None:
    owner = replace(near, tenant="language")
    with pytest.raises(Conflict):
        await catalog.request_access(owner, catalog.RequestArguments(entry_id="pipeline/language/b", reason="r"))
    assert (await catalog.dry_run_request(owner, {"entry_id": "pipeline/language/b"})).code == "access_not_needed"
    filled = await catalog.blueprint(owner, catalog.BlueprintArguments(entry_id="pipeline/language/b", values={"n": 3}))
    assert filled.steps[0]["arguments"] == {"slots": 3}


async def test_lineage_says_both_ways(near: ToolContext) -> None:
    await near.factory.lineage.link(near.tenant, "run/1", "model/vision/m/1", "registered")
    told = await catalog.lineage(near, catalog.LineageArguments(node="model/vision/m/1"))
    assert (told.made_from, told.led_to) == (["run/1"], [])
    assert told.edges == ["run/1 -> model/vision/m/1 (registered)"]
