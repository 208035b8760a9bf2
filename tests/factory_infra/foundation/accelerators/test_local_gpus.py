"""The hardware of a machine with GPUs: NVIDIA's binding over a library of our own that stands where the driver's would."""

import os
from pathlib import Path

import psutil
import pynvml
import pytest

from factory_infra.foundation.accelerators.models import Pool
from tests.nvml.library import Machine, build
from tests.nvml.simulator import Lacks

H100 = "NVIDIA H100 80GB HBM3"
ASKED_AT_ONCE = (
    "import asyncio, pynvml\n"
    "from factory_infra.foundation.accelerators.providers.local import LocalAccelerators\n"
    "async def ask():\n"
    "    pools = await asyncio.gather(*(LocalAccelerators().pool() for _ in range(16)))\n"
    "    print([len(pool.slots) for pool in pools if pool.kind == 'gpu'])\n"
    "asyncio.run(ask())\n"
    "try: pynvml.nvmlDeviceGetCount()\n"
    "except pynvml.NVMLError_Uninitialized: print('closed')"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built library."""
    return build(tmp_path_factory.mktemp("nvml"))


def assert_cores(pool: Pool) -> None:
    """The pool fell back to the cores that this process may use."""
    assert pool.kind == "cpu"
    assert [slot.kind for slot in pool.slots] == ["cpu"] * len(os.sched_getaffinity(0))
    assert "a slot is a CPU core" in pool.note


class TestSoundGpus:
    async def test_each_is_a_slot_with_its_name_and_memory(self, library: Path) -> None:
        pool = await Machine(library, "........").pool()
        assert (pool.name, pool.kind, pool.note) == ("local", "gpu", "")
        assert [(slot.index, slot.kind, slot.name, slot.memory_gib) for slot in pool.slots] == [(i, "gpu", H100, 79.6) for i in range(8)]

    @pytest.mark.parametrize(("slots_max", "indices"), [(3, [0, 1, 2]), (8, list(range(8))), (99, list(range(8))), (0, []), (-1, [])])
    async def test_no_more_than_allowed_are_handed_out(self, library: Path, slots_max: int, indices: list[int]) -> None:
        assert [slot.index for slot in (await Machine(library, "........").pool_of(slots_max)).slots] == indices

    async def test_asked_many_times_at_once_all_are_told_and_the_library_is_closed(self, library: Path) -> None:
        assert (await Machine(library, "........").run(ASKED_AT_ONCE)).splitlines() == [str([8] * 16), "closed"]

    async def test_one_that_shares_the_hosts_memory_has_that(self, library: Path) -> None:
        (slot,) = (await Machine(library, "u").pool()).slots
        assert (slot.kind, slot.name) == ("gpu", "NVIDIA GB10")
        assert slot.memory_gib == pytest.approx(psutil.virtual_memory().total / 1024**3, abs=0.1)


class TestBrokenGpus:
    @pytest.mark.parametrize(("state", "reason"), [("l", "GPU is lost"), ("f", "Unknown Error")])
    async def test_one_is_left_out_and_the_others_keep_their_indices(self, library: Path, state: str, reason: str) -> None:
        pool = await Machine(library, f"...{state}....").pool()
        assert pool.kind == "gpu"
        assert [slot.index for slot in pool.slots] == [0, 1, 2, 4, 5, 6, 7]
        assert pool.note == f"GPU 3 is left out ({reason})."

    async def test_the_bound_counts_those_that_can_be_used(self, library: Path) -> None:
        pool = await Machine(library, "l...").pool_of(2)
        assert [slot.index for slot in pool.slots] == [1, 2]
        assert "GPU 0" in pool.note

    async def test_where_all_are_lost_the_cores_are_the_slots(self, library: Path) -> None:
        pool = await Machine(library, "ll").pool()
        assert_cores(pool)
        assert "GPU 0 is left out" in pool.note and "GPU 1 is left out" in pool.note


class TestNoGpus:
    async def test_a_driver_without_any_leaves_the_cores(self, library: Path) -> None:
        assert_cores(await Machine(library, "").pool())

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "version mismatch"),
            (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
            (pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"),
            (777, "An error of the test's library"),
        ],
    )
    async def test_a_driver_that_cannot_be_opened_leaves_the_cores_and_says_why(self, library: Path, code: int, reason: str) -> None:
        pool = await Machine(library, "........", init=code).pool()
        assert_cores(pool)
        assert reason in pool.note


class TestParts:
    async def test_each_part_is_a_slot_with_the_memory_that_it_has_and_a_name_for_its_device(self, library: Path) -> None:
        machine = Machine(library, "....")
        machine.simulator.mig(1, 1, 2)
        pool = await machine.pool()
        assert [slot.index for slot in pool.slots] == [0, 2070, 2080, 2, 3]
        first, second = pool.slots[1:3]
        assert (first.kind, first.name, first.accelerator, first.memory_gib) == ("gpu", f"{H100} MIG 1g.10gb", "H100", 9.6)
        assert (second.name, second.memory_gib) == (f"{H100} MIG 2g.20gb", 19.2)
        assert first.device.startswith("MIG-") and first.device != second.device
        assert [slot.device for slot in pool.slots if slot.index < 1000] == ["", "", ""]

    async def test_a_part_keeps_its_index_when_another_is_removed(self, library: Path) -> None:
        machine = Machine(library, ".")
        machine.simulator.mig(0, 1, 1, 1)
        before = [slot.index for slot in (await machine.pool()).slots]
        parts = machine.simulator.gpu(0)
        parts.mig_devices[0], parts.migs = parts.mig_devices[2], 2
        assert [slot.index for slot in (await machine.pool()).slots] == [before[2], before[1]]

    async def test_a_gpu_that_is_to_be_parted_and_is_not_yet_is_told(self, library: Path) -> None:
        machine = Machine(library, "..")
        machine.simulator.gpu(0).mig = 1
        pool = await machine.pool()
        assert [slot.index for slot in pool.slots] == [1]
        assert pool.note == "GPU 0 is to be parted by MIG and has no parts yet."

    async def test_one_that_cannot_be_parted_is_whole(self, library: Path) -> None:
        machine = Machine(library, ".")
        machine.simulator.gpu(0).lacks = Lacks.MIG
        assert [(slot.index, slot.accelerator) for slot in (await machine.pool()).slots] == [(0, "H100")]
