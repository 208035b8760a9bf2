"""The hardware of this machine, as the pool shows it."""

import os

import pynvml
import pytest

from factory_infra.foundation.accelerators.providers.local import LocalAccelerators


def no_driver() -> None:
    """Stand for a machine without a driver."""
    raise pynvml.NVMLError_LibraryNotFound


async def test_without_a_driver_the_cores_are_the_slots_and_the_note_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    pool = await LocalAccelerators().pool()
    assert pool.kind == "cpu"
    assert [slot.index for slot in pool.slots] == list(range(len(os.sched_getaffinity(0))))
    assert all(slot.memory_gib > 0 for slot in pool.slots)
    assert "no GPU" in pool.note


async def test_no_more_slots_than_allowed_are_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert len((await LocalAccelerators(slots_max=1).pool()).slots) == 1
    assert (await LocalAccelerators(slots_max=0).pool()).slots == []
