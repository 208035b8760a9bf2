"""This machine's hardware: its GPUs through NVML where there are any, else the CPU cores that this process may use."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pynvml

from factory_infra.foundation.accelerators.models import Pool, Slot

GIB = 1024**3


class LocalAccelerators:
    """The slots of this host, read afresh at each call.

    Args:
        slots_max: at most this many are handed out; None for all.
    """

    def __init__(self, slots_max: int | None = None) -> None:
        self._slots_max = slots_max

    async def pool(self) -> Pool:
        """Return the GPUs, or the CPU cores with a note that says why there are no GPUs."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Pool:
        try:
            gpus = read_gpus()
            note = "" if gpus else "NVML found no GPU on this host: a slot is a CPU core."
        except pynvml.NVMLError as error:
            gpus, note = [], f"NVML found no GPU on this host ({error}): a slot is a CPU core."
        slots = gpus or read_cores()
        limit = len(slots) if self._slots_max is None else max(self._slots_max, 0)
        return Pool(name="local", slots=slots[:limit], note=note)


def read_gpus() -> list[Slot]:
    """Ask NVML for every GPU. Raises pynvml.NVMLError without a driver."""
    with nvml():
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Slot(
                index=index,
                kind="gpu",
                name=str(pynvml.nvmlDeviceGetName(handle)),
                memory_gib=round(pynvml.nvmlDeviceGetMemoryInfo(handle).total / GIB, 1),
            )
            for index, handle in enumerate(handles)
        ]


@contextmanager
def nvml() -> Iterator[None]:
    """Open NVML, and close it whatever happens in between."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def read_cores() -> list[Slot]:
    """Count the cores that this process may use; a slot's index is the core's position among them in order."""
    cores = sorted(os.sched_getaffinity(0))
    share = round(psutil.virtual_memory().total / GIB / len(cores), 1)
    return [Slot(index=index, kind="cpu", name=f"CPU core {core}", memory_gib=share) for index, core in enumerate(cores)]
