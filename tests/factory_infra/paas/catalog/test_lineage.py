"""The lineage: up and down, cycles, bounds, one team's history only."""

import asyncio

import pytest

from factory_infra.database import Database
from factory_infra.errors import InvalidInput
from factory_infra.paas.catalog import lineage as module
from factory_infra.paas.catalog.lineage import Lineage, node

pytestmark = pytest.mark.stack
CHAIN = ["dataset/shared/digits", "training_set/s1", "run/r1", "model/vision/reader/1", "endpoint/vision/reader", "invoice/vision/2026-11"]


@pytest.fixture
async def lineage(database: Database) -> Lineage:
    made = Lineage(database)
    for source, target, how in zip(CHAIN, CHAIN[1:], ("joined", "trained", "registered", "deployed", "billed"), strict=False):
        await made.link("vision", source, target, how)  # type: ignore[arg-type]
    return made


async def test_from_data_to_the_invoice_and_back(lineage: Lineage) -> None:
    down = await lineage.around("vision", CHAIN[0], "down")
    assert [each.id for each in down.nodes] == CHAIN
    assert [each.distance for each in down.nodes] == [0, 1, 2, 3, 4, 5]
    up = await lineage.around("vision", CHAIN[-1], "up")
    assert [each.id for each in up.nodes] == CHAIN
    assert [each.distance for each in up.nodes] == [-5, -4, -3, -2, -1, 0]
    both = await lineage.around("vision", CHAIN[3])
    assert {each.id for each in both.nodes} == set(CHAIN)
    assert len(both.edges) == 5
    assert not both.truncated


async def test_depth_is_bounded_and_told(lineage: Lineage) -> None:
    near = await lineage.around("vision", CHAIN[0], "down", 2)
    assert [each.id for each in near.nodes] == CHAIN[:3]
    assert near.truncated
    for depth in (0, 13):
        with pytest.raises(InvalidInput):
            await lineage.around("vision", CHAIN[0], depth=depth)


async def test_cycles_end(lineage: Lineage) -> None:
    await lineage.link("vision", CHAIN[3], CHAIN[1], "read")
    await lineage.link("vision", CHAIN[5], CHAIN[0], "read")
    found = await lineage.around("vision", CHAIN[2], depth=12)
    assert {each.id for each in found.nodes} == set(CHAIN)
    assert not found.truncated
    assert len(found.edges) == 7


async def test_a_link_is_one_however_often_and_by_however_many(lineage: Lineage) -> None:
    await asyncio.gather(*(lineage.link("vision", CHAIN[0], CHAIN[1], "joined") for _ in range(8)))
    assert len((await lineage.around("vision", CHAIN[0], "down", 1)).edges) == 1


async def test_a_team_sees_its_own_history_of_shared_data(lineage: Lineage) -> None:
    await lineage.link("language", CHAIN[0], "run/theirs", "trained")
    assert "run/theirs" not in {each.id for each in (await lineage.around("vision", CHAIN[0])).nodes}
    assert {each.id for each in (await lineage.around("language", CHAIN[0])).nodes} == {CHAIN[0], "run/theirs"}
    assert "run/theirs" in {each.id for each in (await lineage.around(None, CHAIN[0])).nodes}
    await lineage.forget_team("vision")
    assert (await lineage.around("vision", CHAIN[0])).edges == []


async def test_a_broad_graph_is_cut_and_says_so(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EDGES_MAX", 5)
    for number in range(9):
        await lineage.link("vision", "dataset/vision/hub", f"run/n{number}", "trained")
    found = await lineage.around("vision", "dataset/vision/hub", "down")
    assert len(found.edges) == 5
    assert found.truncated


@pytest.mark.parametrize("name", ["", "run", "run/", "/x", "Run/x", "run/a\nb", "run/" + "a" * 400, "run/a//b"])
async def test_what_names_nothing_is_refused(lineage: Lineage, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await lineage.link("vision", name, "run/x", "trained")
    assert caught.value.error_code == "node_invalid"
    assert node("dataset", "vision", "手写 汉字", 3) == "dataset/vision/手写 汉字/3"


async def test_itself_and_unknown_ways_are_refused(lineage: Lineage) -> None:
    with pytest.raises(InvalidInput):
        await lineage.link("vision", "run/x", "run/x", "trained")
    with pytest.raises(InvalidInput):
        await lineage.link("vision", "run/x", "run/y", "conjured")  # type: ignore[arg-type]
