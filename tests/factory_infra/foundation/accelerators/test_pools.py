"""The hardware of all pools: each under its name, within its bounds, and shared where its file says so."""

from pathlib import Path

import pytest

from factory_infra.errors import NotFound
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.accelerators.pools import PooledAccelerators, bounded
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import AwsPool, LocalPool
from factory_infra.settings import Settings


def host(*slots: Slot) -> Pool:
    return Pool(name="local", slots=list(slots))


def gpu(index: int, device: str = "") -> Slot:
    return Slot(index=index, kind="gpu", name="NVIDIA H100", memory_gib=80, accelerator="H100", device=device)


class TestBounds:
    def test_a_pool_has_the_slots_that_it_names(self) -> None:
        found = bounded(host(gpu(0), gpu(1), gpu(2)), LocalPool(name="half", slots=(0, 2)))
        assert (found.name, [slot.index for slot in found.slots]) == ("half", [0, 2])

    def test_its_machines_are_paid_as_its_file_says(self) -> None:
        west = AwsPool(name="west", region="us-west-2", price_class="spot")
        assert (bounded(host(gpu(0)), west).price_class, bounded(host(gpu(0)), LocalPool(name="a")).price_class) == ("spot", "on_demand")

    def test_and_no_more_than_it_may(self) -> None:
        assert len(bounded(host(gpu(0), gpu(1)), LocalPool(name="local", slots_max=1)).slots) == 1


class TestShares:
    def test_a_gpu_is_several_slots_that_name_it(self) -> None:
        found = bounded(host(gpu(0), gpu(1)), LocalPool(name="local", shares=4))
        assert [slot.index for slot in found.slots] == list(range(8))
        assert [slot.device for slot in found.slots] == ["0"] * 4 + ["1"] * 4
        assert {slot.memory_gib for slot in found.slots} == {20.0}

    def test_a_slice_and_a_core_stay_one(self) -> None:
        core = Slot(index=0, kind="cpu", name="core", memory_gib=1)
        sliced = gpu(4, "MIG-1")
        assert bounded(host(core, sliced), LocalPool(name="local", shares=4)).slots == [core, sliced]


class TestAsking:
    async def test_the_default_pool_is_this_host(self, tmp_path: Path) -> None:
        pools = PooledAccelerators(PoolBook(tmp_path / "pools.yaml"), Settings(home=tmp_path))
        assert (await pools.pool()).name == (await pools.pool("local")).name == "local"

    async def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            await PooledAccelerators(PoolBook(tmp_path / "pools.yaml"), Settings(home=tmp_path)).pool("mars")
