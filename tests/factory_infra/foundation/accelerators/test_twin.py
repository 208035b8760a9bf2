"""The slots of a simulated data centre: those of machines in order, under indices that stay, and marked as what they are."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from factory_infra.foundation.accelerators.models import Pool
from factory_infra.foundation.accelerators.registry import build
from factory_infra.foundation.pools.spec import POOL_SPEC, TwinPool
from factory_infra.foundation.twin.centre import DataCentre, node_name
from factory_infra.settings import Settings


async def told(pool: TwinPool, home: Path) -> Pool:
    return await build(pool, Settings(home=home)).pool()


async def test_every_slot_says_that_it_is_simulated(tmp_path: Path) -> None:
    found = await told(TwinPool(name="twin", nodes=3, gpus=2, gpu="H200"), tmp_path)
    assert len(found.slots) == 6 and found.placement == "ours" and found.note.startswith("Simulated")
    assert all(slot.name == "simulated H200" and slot.node.startswith("simulated-twin-") for slot in found.slots)
    assert {slot.accelerator for slot in found.slots} == {"H200"} and {slot.memory_gib for slot in found.slots} == {141}
    assert [slot.model_dump() for slot in Pool.model_validate(found.model_dump()).slots] == [slot.model_dump() for slot in found.slots]


async def test_a_machine_that_failed_has_no_slots_until_it_is_back(tmp_path: Path) -> None:
    pool = TwinPool(name="twin", nodes=3, gpus=2, speed=10_000)
    whole = await told(pool, tmp_path)
    DataCentre(pool, Settings(home=tmp_path)).fail(node_name(pool, 1), hours=1000)
    found = await told(pool, tmp_path)
    assert [slot.index for slot in found.slots] == [0, 1, 4, 5] and f"{node_name(pool, 1)} failed" in found.note
    DataCentre(pool, Settings(home=tmp_path)).fail(node_name(pool, 1), hours=0)
    assert [slot.index for slot in whole.slots] == list(range(6))


async def test_without_gpus_a_slot_is_a_core(tmp_path: Path) -> None:
    found = await told(TwinPool(name="twin", nodes=2, gpus=0, cores=4, memory_gib=16), tmp_path)
    assert found.kind == "cpu" and len(found.slots) == 8 and {slot.memory_gib for slot in found.slots} == {4}


async def test_without_standing_machines_they_are_made_for_leases(tmp_path: Path) -> None:
    found = await told(TwinPool(name="twin", nodes=0, machines_max=3, price_class="spot"), tmp_path)
    assert found.placement == "machines" and [machine.name for machine in found.machines] == ["twin.8xh100"]
    assert len(found.slots) == 24 and found.price_class == "spot" and not any(slot.node for slot in found.slots)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "hall"},
        {"gpu": "Z9000"},
        {"nodes": -1},
        {"nodes": 0, "machines_max": 0},
        {"speed": 0},
        {"failures": "mine"},
        {"market": {"spot": True}},
        {"market": {"prices": [[5, 1], [4, 1]]}},
        {"colour": "blue"},
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object]) -> None:
    assert POOL_SPEC.validate_python({"name": "twin", "provider": "twin"})
    with pytest.raises(ValidationError):
        POOL_SPEC.validate_python({"name": "twin", "provider": "twin"} | fields)
