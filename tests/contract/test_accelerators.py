"""What every provider of accelerators tells alike."""

from typing import NamedTuple, cast

import pytest

from factory_infra.foundation.accelerators.catalogue import ACCELERATORS
from factory_infra.foundation.accelerators.interface import Accelerators
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.foundation.accelerators.registry import build
from factory_infra.foundation.pools.spec import LocalPool, PoolSpec
from factory_infra.settings import Settings
from tests.contract.houses import Site

PLACEMENTS = {"local": "ours", "slurm": "engine", "kubernetes": "engine", "aws": "machines", "twin": "ours"}
"""Who says where a lease lies, by provider."""


class Told(NamedTuple):
    """A provider and what it told."""

    provider: str
    accelerators: Accelerators
    pool: Pool


@pytest.fixture(scope="module")
def asked() -> dict[str, Told]:
    """What was told already: each provider is asked once."""
    return {}


@pytest.fixture
async def hardware(site: Site, asked: dict[str, Told]) -> Told:
    """The hardware behind each house of jobs in turn."""
    if site.provider not in asked:
        spec = cast("PoolSpec", getattr(site.house, "pool", None) or LocalPool(name="local"))
        try:
            accelerators = build(spec, Settings())
        except ModuleNotFoundError as error:
            pytest.skip(f"{site.provider} is not here: {error.name} does not exist yet")
        asked[site.provider] = Told(spec.provider, accelerators, await accelerators.pool())
    return asked[site.provider]


async def test_it_says_who_places_a_lease(hardware: Told) -> None:
    assert hardware.pool.placement == PLACEMENTS[hardware.provider]


async def test_slots_are_there_and_have_indices_of_their_own(hardware: Told) -> None:
    slots = hardware.pool.slots
    assert slots and len({slot.index for slot in slots}) == len(slots)
    assert all(slot.name and slot.memory_gib >= 0 for slot in slots)


async def test_a_pool_has_slots_of_one_kind(hardware: Told) -> None:
    assert {slot.kind for slot in hardware.pool.slots} == {hardware.pool.kind}


async def test_a_type_is_one_of_the_catalogue_or_none(hardware: Told) -> None:
    assert {slot.accelerator for slot in hardware.pool.slots} <= {"", *ACCELERATORS}


async def test_slots_of_an_engine_name_their_machine(hardware: Told) -> None:
    if hardware.pool.placement != "engine" and hardware.provider != "twin":
        assert all(not slot.node for slot in hardware.pool.slots)
        return
    assert all(slot.node for slot in hardware.pool.slots)


async def test_machines_are_named_where_they_are_made(hardware: Told) -> None:
    pool = hardware.pool
    assert bool(pool.machines) is (pool.placement == "machines")
    assert all(machine.slots >= 1 for machine in pool.machines)


async def test_asking_twice_tells_the_same(hardware: Told) -> None:
    again = await hardware.accelerators.pool()
    assert [slot.index for slot in again.slots] == [slot.index for slot in hardware.pool.slots]
